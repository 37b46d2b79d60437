"""From copies to seconds: the default clock, `memory_copies`.

Each function takes a `Shape`, a `Layout`, a `Device` and `Constants` (numbers or arrays) and returns seconds. The chain
is: one layer on one micro-batch -> one pipeline stage -> one step.
"""

from __future__ import annotations

import numpy as np

from simulator import copies, pipeline, traffic, windows
from simulator import transformer as tf
from simulator.columns import Numeric
from simulator.device import Constants, Device
from simulator.layout import SCHEDULES, Layout, expert_tp, shard_degree, tokens_per_microbatch
from simulator.transformer import Shape

BACKWARD_PASSES = 2.0
"""A backward pass moves about twice what the forward pass moves: input gradients and weight gradients."""

ALIGNED = 8
"""Widths that are a multiple of this many 16-bit elements keep tensor cores fed (16 bytes, cuBLAS guide). [-]"""

FLASH_BACKWARD = 2.5
"""Matmuls of a fused attention backward relative to forward: five against two (Dao et al., arXiv:2205.14135)."""


def tile_share(device: Device, c: Constants) -> Numeric:
    """Share of the peak operand rate that full waves of tiles keep up within the board's power. [-]"""
    return np.asarray(c.tile_efficiency) * copies.power_share(
        tdp_w=device.tdp_w,
        peak_flops=device.peak_flops,
        operand_bytes=device.operand_bytes,
        exponent=c.power_exponent,
    )


def _matmul_s(m: Numeric, n: Numeric, k: Numeric, device: Device, c: Constants) -> Numeric:
    """Forward, input-gradient and weight-gradient time of ``[m, k] x [k, n]``: a triple (fwd, dgrad, wgrad). [s]"""
    bandwidth = copies.operand_bandwidth(peak_flops=device.peak_flops, operand_bytes=device.operand_bytes)
    rate = bandwidth * tile_share(device, c)
    hbm = np.asarray(device.memory_bandwidth) * c.hbm_efficiency
    sm, b = device.sm_count, device.operand_bytes
    memory = copies.matmul_memory_bytes(m=m, n=n, k=k, operand_bytes=b) / hbm

    def tile(mm: Numeric, nn: Numeric, kk: Numeric) -> Numeric:
        return np.maximum(
            copies.quantized_tile_bytes(m=mm, n=nn, k=kk, sm_count=sm, operand_bytes=b, fill=c.tile_fill)
            / rate,
            memory,
        )

    return tile(m, n, k), tile(m, k, n), tile(n, k, m)


def projections(shape: Shape, *, tp: Numeric) -> list[tuple[Numeric, Numeric]]:
    """Weights of one layer's attention on one device, ``[k, n]`` as (n, k); zero where a model has no such matmul.

    Latent attention goes through two low ranks, whose down-projections every tensor-parallel rank repeats
    (DeepSeek-V2, arXiv:2405.04434, section 2.1).
    """
    h, value = np.asarray(shape.hidden_size), tf.value_width(shape) / tp
    query, both = tf.query_width(shape) / tp, (tf.query_width(shape) + tf.key_value_width(shape)) / tp
    if not np.any(tf.is_latent(shape)):
        return [(both, h), (h, value)]
    latent, q_rank = np.asarray(tf.is_latent(shape)), np.asarray(shape.q_lora_rank) * 1.0
    keys = shape.num_attention_heads * (np.asarray(shape.qk_nope_head_dim) + shape.v_head_dim) / tp
    down = np.where(latent, q_rank + shape.kv_lora_rank + shape.qk_rope_head_dim, both)
    return [
        (down, h),
        (np.where(latent, query, 0.0), np.where(q_rank > 0, q_rank, h)),
        (np.where(latent, keys, 0.0), np.asarray(shape.kv_lora_rank) * 1.0),
        (h, value),
    ]


def matmul_time(
    shape: Shape, layout: Layout, device: Device, c: Constants, *, sparse: bool
) -> tuple[Numeric, Numeric, Numeric]:
    """Time of one layer's matmuls without attention's core: forward, backward, and forward of the last ones. [s]

    The last are the down-projections, whose results no backward pass needs. Frozen weights (adapters) need input gradients
    but no weight gradients.
    """
    m, tp, h = (
        tokens_per_microbatch(layout),
        np.asarray(layout.tp, dtype=float),
        np.asarray(shape.hidden_size),
    )
    widths = projections(shape, tp=tp)
    triples = [_matmul_s(m, n, k, device, c) for n, k in widths]
    scale = [np.asarray(n) * k > 0 for n, k in widths]
    up = 1.0 + np.asarray(shape.gated)
    if sparse:
        etp, ep = expert_tp(layout), np.maximum(layout.ep, 1)
        rows = m * shape.num_experts_per_tok * ep / np.maximum(shape.num_experts, 1) * etp / tp
        f, local = np.asarray(shape.moe_intermediate_size) / etp, np.asarray(shape.num_experts) / ep
        triples += [_matmul_s(rows, up * f, h, device, c), _matmul_s(rows, h, f, device, c)]
        last = [len(triples) - 1, len(triples) + 1]
        grouped = local / np.where(local > 1, c.grouped_rate, 1.0)  # one expert is a plain matmul
        scale += [grouped, grouped]
        shared = np.asarray(shape.shared_expert_intermediate_size) / tp
        on = shared > 0
        triples += [
            _matmul_s(m, up * shared, h, device, c),
            _matmul_s(m, h, np.maximum(shared, 1), device, c),
        ]
        scale += [on, on]
    else:
        f = np.asarray(shape.intermediate_size) / tp
        triples += [_matmul_s(m, up * f, h, device, c), _matmul_s(m, h, f, device, c)]
        last = [len(triples) - 1]
        scale += [1.0, 1.0]
    learns = 1.0 - np.asarray(layout.frozen)
    forward = sum(s * t[0] for s, t in zip(scale, triples, strict=True))
    backward = sum(s * (t[1] + learns * t[2]) for s, t in zip(scale, triples, strict=True))
    return forward, backward, sum(scale[i] * triples[i][0] for i in last)


def unfused_softmax(shape: Shape, layout: Layout, c: Constants) -> Numeric:
    """1 where plain attention falls back to a softmax in single operations, else 0. [-]

    Megatron-LM's fused softmax takes score matrices (heads of a rank times sequences) by `softmax_multiple`, and is not used
    where their number is no multiple of it (github:NVIDIA/Megatron-LM megatron/model/fused_softmax.py).
    """
    plain = np.asarray(layout.flash_attention) == 0
    if not np.any(plain):
        return 0.0
    matrices = np.asarray(shape.num_attention_heads) / layout.tp * np.asarray(layout.micro_batch_size)
    return plain & (matrices % np.maximum(np.round(c.softmax_multiple), 1.0) != 0)


def attention_time(shape: Shape, layout: Layout, device: Device, c: Constants) -> tuple[Numeric, Numeric]:
    """Forward and backward time of one layer's attention core. [s]

    Flash attention: the unmasked half of ``2 s (q + v)`` FLOP per token, backward 2.5 times; of windowed layers the blocks
    that their windows touch. Plain attention: the whole matrix at matmul speed plus its passes over device memory; its
    products of one head at a time leave the tensor cores where a head's width is no multiple of `ALIGNED`.
    """
    m, tp = tokens_per_microbatch(layout), np.asarray(layout.tp, dtype=float)
    flop = 2.0 * m * layout.seq_length * (tf.query_width(shape) + tf.value_width(shape)) / tp
    peak = np.asarray(device.attention_peak_flops)
    seen = windows.attended_share(shape, seq_length=layout.seq_length, block=windows.KERNEL_BLOCK)
    flash = 0.5 * seen * flop / (peak * c.attention_efficiency * c.attention_factor)
    scores = copies.score_bytes(
        num_attention_heads=shape.num_attention_heads,
        seq_length=layout.seq_length,
        passes=c.softmax_passes + copies.UNFUSED_PASSES * unfused_softmax(shape, layout, c),
    )
    moved = m * scores / tp / (np.asarray(device.memory_bandwidth) * c.hbm_efficiency)
    sixteen = device.with_(peak_flops=peak, operand_bytes=2)  # attention stays in 16 bits
    ragged = tf.query_width(shape) / np.maximum(shape.num_attention_heads, 1) % ALIGNED != 0
    rate = np.where(ragged, np.asarray(c.unaligned_heads_rate), 1.0)
    plain = flop / (peak * tile_share(sixteen, c) * rate) + moved
    is_flash = np.asarray(layout.flash_attention) > 0
    return np.where(is_flash, flash, plain), np.where(
        is_flash, FLASH_BACKWARD * flash, BACKWARD_PASSES * plain
    )


def autocast_elements(shape: Shape, layout: Layout, *, sparse: bool) -> Numeric:
    """Sixteen-bit elements that casting a device's 32-bit weights of one layer moves in a forward pass. [elements]

    Reads 4 bytes and writes 2 per weight and micro-batch; the backward pass casts the gradients, twice as much. Zero
    without autocast.
    """
    block = tf.shared_expert_parameters(shape) if sparse else tf.dense_mlp_parameters(shape)
    weights = (tf.attention_matrix_parameters(shape) + block) / layout.tp
    if sparse:
        local = np.asarray(shape.num_experts) / np.maximum(layout.ep, 1)
        weights = weights + tf.expert_parameters(shape) * local / expert_tp(layout)
    return 3.0 * np.asarray(layout.autocast) * weights


def elementwise_time(shape: Shape, layout: Layout, device: Device, c: Constants, *, sparse: bool) -> Numeric:
    """Forward time of one layer's norms, residuals, rotary embedding and activation. [s]

    Plain attention also turns queries, keys, values and outputs into another memory layout: a read and a write each.
    Under autocast norms and residuals are 32 bits wide, and weights are cast for every micro-batch.
    """
    m, tp = tokens_per_microbatch(layout), np.asarray(layout.tp, dtype=float)
    f = (
        np.asarray(shape.moe_intermediate_size) * shape.num_experts_per_tok
        + shape.shared_expert_intermediate_size
        if sparse
        else np.asarray(shape.intermediate_size)
    )
    routed = 4.0 * np.asarray(shape.num_experts_per_tok) * shape.hidden_size if sparse else 0.0
    rotary = np.asarray(shape.rotary) * (tf.query_width(shape) + tf.key_value_width(shape) / 2)
    full = copies.full_width_elements(hidden_size=shape.hidden_size)
    full = full / np.where(np.asarray(layout.sequence_parallel) > 0, tp, 1.0)
    split = copies.split_width_elements(rotary_width=rotary, intermediate_size=f, gated=shape.gated) + routed
    inputs = (
        tf.query_width(shape)
        + f
        + np.asarray(shape.hidden_size) * (1.0 + (np.asarray(shape.num_experts_per_tok) if sparse else 1.0))
    )
    narrow = np.asarray(device.operand_bytes) < 2.0
    heads = tf.query_width(shape) + tf.key_value_width(shape) + tf.value_width(shape)
    turned = np.where(np.asarray(layout.flash_attention) > 0, 0.0, 2.0 * heads)
    cast = autocast_elements(shape, layout, sparse=sparse) / m
    full = full * (1.0 + np.asarray(layout.autocast))
    elements = (
        full
        + (split + turned) / tp
        + cast
        + np.where(narrow, copies.quantized_elements(inputs=inputs, frozen=layout.frozen) / tp, 0.0)
    )
    return (
        2.0
        * m
        * elements
        * c.elementwise_factor
        * c.compiled_factor
        / (np.asarray(device.memory_bandwidth) * c.hbm_efficiency)
    )


def _exposed(communication: Numeric, cover: Numeric) -> Numeric:
    """Return the part of a communication that its cover does not hide."""
    return np.maximum(communication - cover, 0.0)


def _longer(device_s: Numeric, host_s: Numeric) -> Numeric:
    """Time of work that the host issues while the device carries it out. [s]

    The longer of the two, rounded off where they are alike: large kernels keep the device busy while small ones wait for
    the host, so a stage is bound by both. The fourth-power norm is a choice; it adds at most 19 %. (The power 3 is a
    little closer in sample, but vTrain's rows are 15 instead of 10 % off where they are left out.)
    """
    return np.sqrt(np.sqrt(np.square(np.square(device_s)) + np.square(np.square(host_s))))


def _beside(waiting_s: Numeric, work_s: Numeric) -> Numeric:
    """Return what waiting adds to work that goes on beside it: the root of the sum of squares, less the work. [s]

    Next to little work all of it; next to much work little of it.
    """
    return np.sqrt(np.square(waiting_s) + np.square(work_s)) - work_s


def layer_time(
    shape: Shape, layout: Layout, device: Device, c: Constants, *, sparse: bool
) -> dict[str, Numeric]:
    """Seconds of one layer on one micro-batch, forward and backward, by level. [s]

    Beside `LEVELS`: ``host``, the time to issue it, ``blocked``, in which collectives keep the host waiting, and ``gaps``, in
    which the device starts its kernels. Under sequence parallelism the backward pass gathers the inputs of the column-parallel
    matmuls, which are stored split, once more beside their input gradients, half of all input gradients (arXiv:2205.05198,
    section 4.2.2).
    """
    fwd, bwd, last = matmul_time(shape, layout, device, c, sparse=sparse)
    att_fwd, att_bwd = attention_time(shape, layout, device, c)
    elem = elementwise_time(shape, layout, device, c, sparse=sparse)
    full = (np.asarray(layout.recompute) == 2).astype(float)
    selective = np.asarray(layout.recompute) == 1
    core = selective & (np.asarray(layout.flash_attention) == 0)
    half = selective * np.asarray(c.selective_share)
    moving, waiting = traffic.tensor_parallel_time(shape, layout, device, c)
    dropped = full * (1.0 - np.asarray(c.last_matmul_share))
    times = 4.0 + 2.0 * full - dropped
    context = traffic.context_parallel_time(shape, layout, device, c)
    expert = traffic.expert_parallel_time(shape, layout, device, c) if sparse else 0.0
    kernels = np.asarray(c.kernels_per_layer) * (3.0 + full) * (c.moe_kernel_factor if sparse else 1.0)
    issued = np.where(np.asarray(layout.tp) > 1, 1.0 + np.asarray(layout.sequence_parallel), 0.0) * times
    gaps = kernels * c.compiled_factor * c.kernel_gap_s
    kernels = kernels + issued * c.collective_kernels
    kernels = kernels + (3.0 + full) * c.unfused_kernels * unfused_softmax(shape, layout, c)
    context_cover = att_fwd
    tiles = fwd * (1.0 + full + half) + bwd - dropped * last
    blocked = waiting * times * np.asarray(c.host_blocking)
    hidden = np.minimum(moving * times, tiles * np.asarray(c.tp_overlap))
    regathers = (np.asarray(layout.sequence_parallel) > 0) & (np.asarray(layout.frozen) == 0)
    again = np.where(regathers, moving, 0.0)
    hidden = hidden + np.minimum(again, bwd / 4.0)
    return {
        "tiles": tiles,
        "attention": att_fwd * (1.0 + full + core) + att_bwd,
        "memory": elem * (1.0 + full + np.minimum(2.0 * half, 1.0) + BACKWARD_PASSES),
        "host": kernels * c.launch_s,
        "blocked": blocked,
        "gaps": gaps,
        "tensor_parallel": moving * times
        + again
        - hidden * (1.0 - c.stolen_share)
        + _beside(waiting * times - blocked, np.maximum(tiles - hidden, 0.0)),
        "context_parallel": _exposed(context, context_cover) * (1.0 + full)
        + _exposed(2.0 * context, 2.0 * context_cover),
        "expert_parallel": expert * (2.0 + full),
    }


def _with_host(parts: dict[str, Numeric]) -> dict[str, Numeric]:
    """The levels of one layer with what issuing it adds: as ``host``, or to the traffic that kept the host; and the sum, ``all``."""
    work = sum(parts[k] for k in LEVELS) + parts["gaps"]
    issuing = parts["host"] + parts["blocked"]
    longer = _longer(work, issuing)
    kept = (longer - work) * parts["blocked"] / np.maximum(issuing, 1e-300)
    return {
        **parts,
        "tensor_parallel": parts["tensor_parallel"] + kept,
        "host": parts["gaps"] + longer - work - kept,
        "all": longer,
    }


LEVELS = ("tiles", "attention", "memory", "tensor_parallel", "context_parallel", "expert_parallel")
"""Device-side levels of a layer, in the order in which a breakdown lists them."""


def head_time(shape: Shape, layout: Layout, device: Device, c: Constants) -> Numeric:
    """Time of the logits and the loss on one micro-batch, forward and backward. [s]

    A vocabulary that is no multiple of `ALIGNED`, such as GPT-2's 50,257, starves the tensor cores; tensor parallelism
    pads it to divide it.
    """
    m, tp = tokens_per_microbatch(layout), np.asarray(layout.tp, dtype=float)
    fwd, dgrad, wgrad = _matmul_s(m, np.asarray(shape.vocab_size) / tp, shape.hidden_size, device, c)
    ragged = (np.asarray(shape.vocab_size) % ALIGNED != 0) & (tp < 2)
    slower = np.where(ragged, 1.0 / np.asarray(c.unaligned_rate), 1.0)
    moved = m * copies.logit_bytes(vocab_size=shape.vocab_size) / tp
    return (fwd + dgrad + wgrad * (1.0 - np.asarray(layout.frozen))) * slower + moved / (
        np.asarray(device.memory_bandwidth) * c.hbm_efficiency
    )


def optimizer_time(shape: Shape, layout: Layout, device: Device, c: Constants) -> Numeric:
    """Time of the optimizer's sweep over its states, which `Layout.update_share` scales. [s]"""
    dense, experts = traffic.device_parameters(shape, layout)
    shards = np.where(np.asarray(layout.zero_stage) >= 1, shard_degree(layout), 1.0)
    expert_shards = np.maximum(shards / np.maximum(layout.ep, 1), 1.0)
    moved = (dense / shards + experts / expert_shards) * c.optimizer_bytes * np.asarray(layout.update_share)
    learns = 1.0 - np.asarray(layout.frozen)
    return learns * moved / (np.asarray(device.memory_bandwidth) * c.hbm_efficiency)


def memory_copies(shape: Shape, layout: Layout, device: Device, constants: Constants) -> dict[str, Numeric]:
    """Seconds of one optimizer step, by level; the values add up to the step time. [s]

    Parameters
    ----------
    shape, layout, device, constants
        Numbers or arrays that broadcast against each other.

    Returns
    -------
    dict
        ``tiles attention memory host tensor_parallel context_parallel expert_parallel logits pipeline_bubble
        pipeline_send data_parallel optimizer overhead``. [s]

    Notes
    -----
    A stage takes as long as its device work or as the host needs to launch it, whichever is longer; where collectives
    keep the host, their waiting is the host's, and the device works off what was issued before. Stages follow the pipeline
    schedule; the layers' levels are those of the fullest stage.
    Gradient traffic hides behind a share of the last backward pass, ZeRO-3 gathers behind the pass they feed.
    """
    c = constants
    layers, last_layers = pipeline.stage_layers(
        num_hidden_layers=shape.num_hidden_layers,
        pp=layout.pp,
        balance=c.stage_balance,
        head=pipeline.head_cost(shape),
    )
    parts = layer_time(shape, layout, device, c, sparse=False)
    if np.any(np.asarray(shape.num_experts) > 0):
        sparse = layer_time(shape, layout, device, c, sparse=True)
        share = tf.moe_layers(shape) / shape.num_hidden_layers
        parts = {k: parts[k] * (1 - share) + sparse[k] * share for k in parts}
    parts = _with_host(parts)
    levels = {k: parts[k] * layers for k in LEVELS}
    host, stage = parts["host"] * layers, parts["all"] * layers
    gather_fwd, gather_bwd = traffic.gather_time(shape, layout, device, c)
    cover = stage * np.asarray(c.gather_overlap)
    gather = _exposed(gather_fwd, cover / 3.0) + _exposed(gather_bwd, cover * 2.0 / 3.0)
    gather = gather + c.stolen_share * (gather_fwd + gather_bwd - gather)
    m = np.asarray(layout.num_microbatches, dtype=float)
    interleaved = np.asarray(layout.vp) > 1
    send = _exposed(
        traffic.send_time(shape, layout, device, c), stage * np.where(interleaved, c.send_overlap, 0.0)
    )
    middle = stage + gather + send
    last = (stage + gather) * last_layers / layers + send
    others = (shape.num_hidden_layers - last_layers) / np.maximum(np.asarray(layout.pp) - 1.0, 1.0)
    logits = head_time(shape, layout, device, c)
    total = pipeline.pipeline_time(
        middle_s=middle,
        mean_s=(stage + gather) * others / layers + send,
        last_s=last + logits,
        pp=layout.pp,
        num_microbatches=m,
        vp=layout.vp,
        serial=np.asarray(layout.schedule) == SCHEDULES["serial"],
    )
    beyond = np.maximum(last + logits - middle, 0.0)  # what the logits make the last stage longer
    step = {k: v * m for k, v in levels.items()}
    step["host"] = host * m
    step["logits"] = m * beyond
    step["pipeline_send"] = send * m
    step["pipeline_bubble"] = total - m * (middle + beyond)
    window = stage * np.where(
        interleaved, np.maximum(np.minimum(m, layout.pp) * (1.0 - 1.0 / layout.vp), 1.0), 1.0
    )
    sent = traffic.data_parallel_time(shape, layout, device, c)
    exposed = _exposed(sent, window * np.asarray(c.dp_overlap))
    exposed = exposed + c.stolen_share * (sent - exposed)
    step["data_parallel"] = gather * m + exposed
    step["optimizer"] = optimizer_time(shape, layout, device, c)
    step["overhead"] = np.asarray(c.step_overhead_s) + 0.0 * m
    return step
