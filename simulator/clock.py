"""From copies to seconds: the default clock, `memory_copies`.

Each function takes a `Shape`, a `Layout`, a `Device` and `Constants` (numbers or arrays) and returns seconds. The chain
is: one layer on one micro-batch -> one pipeline stage -> one step.
"""

from __future__ import annotations

import numpy as np

from simulator import copies, pipeline, traffic
from simulator import transformer as tf
from simulator.columns import Numeric
from simulator.device import Constants, Device
from simulator.kernels import (
    ALIGNED,
    BACKWARD_PASSES,
    attention_time,
    dequantize_time,
    elementwise_time,
    matmul,
    matmul_time,
    unfused_softmax,
)
from simulator.layout import (
    SCHEDULES,
    Layout,
    expert_shard_degree,
    expert_tp,
    hides_exchange,
    is_dualpipe,
    shard_degree,
    stages_held,
    tokens_per_microbatch,
)
from simulator.transformer import Shape


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


CORE_ALONE = 0.01
"""Share of the forward matmuls up to which selective recomputation is taken to repeat nothing but the attention core. [-]"""

GRAPH_GAP = (3.4 - 2.9) / (3.8 - 2.9)
"""Gap between kernels of a CUDA graph, relative to kernels issued one behind the other: kernels of 2.9 us took 3.4 and 3.8 us each
(developer.nvidia.com/blog/cuda-graphs). [-]"""


def issued_kernels(shape: Shape, layout: Layout, c: Constants, *, sparse: bool) -> tuple[Numeric, Numeric]:
    """Kernels of one layer and pass: (all that the device runs, those that the host issues). [-]

    A grouped matmul is a kernel for each expert that is at home on the device. A CUDA graph is issued like one kernel; a partial
    one leaves out dispatch, experts and combination. Overlapping the exchange splits layers into pieces, which take longer to issue.
    """
    graphs = np.asarray(layout.cuda_graphs)
    run: Numeric = np.asarray(c.kernels_per_layer) + 0.0 * graphs
    outside: Numeric = 0.0
    pieces: Numeric = 1.0
    if sparse:
        local = np.asarray(shape.num_experts) / np.maximum(layout.ep, 1)
        experts = c.expert_kernels * np.where(np.asarray(layout.fused_experts) > 0, 1.0, local)
        outside = run * c.moe_kernel_factor * c.eager_share + experts
        run = run * c.moe_kernel_factor + experts
        pieces = np.where(np.asarray(layout.expert_overlap) > 0, c.overlap_kernels, 1.0)
    return run, np.where(graphs > 1, 1.0, np.where(graphs > 0, 1.0 + outside * pieces, run * pieces))


def _is_split(shape: Shape, layout: Layout) -> Numeric:
    """1 where tensor parallelism splits a block of experts, so that its ranks communicate beside the exchange, else 0.

    Whole experts take their tokens from the exchange. Shared experts are split as a dense block is.
    """
    return ((expert_tp(layout) > 1) | (np.asarray(shape.shared_expert_intermediate_size) > 0)).astype(float)


def layer_time(
    shape: Shape, layout: Layout, device: Device, c: Constants, *, sparse: bool
) -> dict[str, Numeric]:
    """Seconds of one layer on one micro-batch, forward and backward, by level. [s]

    Beside `LEVELS`: ``host``, the time to issue it, ``blocked``, in which collectives keep the host waiting, and ``gaps``, in
    which the device starts its kernels. Under sequence parallelism the backward pass gathers the inputs of the column-parallel
    matmuls, which are stored split, once more beside their input gradients, half of all input gradients (arXiv:2205.05198,
    section 4.2.2). The exchange between experts of one micro-batch may go on beside the work of another (`hides_exchange`).
    """
    fwd, bwd, last = matmul_time(shape, layout, device, c, sparse=sparse)
    att_fwd, att_bwd = attention_time(shape, layout, device, c)
    elem = elementwise_time(shape, layout, device, c, sparse=sparse)
    full = (np.asarray(layout.recompute) == 2).astype(float)
    selective = np.asarray(layout.recompute) == 1
    core = selective & (
        (np.asarray(layout.flash_attention) == 0) | (np.asarray(c.selective_share) < CORE_ALONE)
    )
    half = selective * np.asarray(c.selective_share)
    moving, waiting = traffic.tensor_parallel_time(shape, layout, device, c)
    dropped = full * (1.0 - np.asarray(c.last_matmul_share))
    block = _is_split(shape, layout) if sparse else 1.0
    times = (1.0 + block) * (2.0 + full) - block * dropped
    context = traffic.context_parallel_time(shape, layout, device, c)
    expert = traffic.expert_parallel_time(shape, layout, device, c) * (2.0 + full) if sparse else 0.0
    run, issued = issued_kernels(shape, layout, c, sparse=sparse)
    graphed = np.where(np.asarray(layout.cuda_graphs) > 0, GRAPH_GAP, 1.0)
    gaps = run * (3.0 + full) * c.compiled_factor * c.kernel_gap_s * graphed
    one_by_one = np.asarray(layout.cuda_graphs) == 0
    collectives = np.where(np.asarray(layout.tp) > 1, 1.0 + np.asarray(layout.sequence_parallel), 0.0) * times
    kernels = issued * (3.0 + full) + one_by_one * (
        collectives * c.collective_kernels
        + (3.0 + full) * c.unfused_kernels * unfused_softmax(shape, layout, c)
    )
    cover_bwd = np.minimum(2.0 * att_fwd, att_bwd)
    repeated = np.minimum(half * fwd, fwd - (1.0 - np.asarray(c.last_matmul_share)) * last)
    tiles = fwd * (1.0 + full) + repeated + bwd - dropped * last
    blocked = waiting * times * np.asarray(c.host_blocking)
    hidden = np.minimum(moving * times, tiles * np.asarray(c.tp_overlap))
    regathers = (np.asarray(layout.sequence_parallel) > 0) & (np.asarray(layout.frozen) == 0)
    again = np.where(regathers, moving, 0.0) * (1.0 + block) / 2.0
    hidden = hidden + np.minimum(again, bwd / 4.0)
    around = _exposed(context, att_fwd) * (1.0 + full) + _exposed(2.0 * context, cover_bwd)
    attention = att_fwd * (1.0 + full + core) + att_bwd
    memory = elem * (1.0 + full + np.minimum(2.0 * half, 1.0) + BACKWARD_PASSES)
    memory = memory + dequantize_time(shape, layout, device, c, sparse=sparse) * (2.0 + full)
    busy = hidden + context * (3.0 + full) - around  # what hides other traffic already
    free = np.maximum(tiles + attention + memory - busy, 0.0) * hides_exchange(layout)
    other_way = np.minimum(expert, free)
    return {
        "tiles": tiles,
        "attention": attention,
        "memory": memory,
        "host": kernels * c.launch_s,
        "blocked": blocked,
        "gaps": gaps,
        "tensor_parallel": moving * times
        + again
        - hidden * (1.0 - c.stolen_share)
        + _beside(waiting * times - blocked, np.maximum(tiles - hidden, 0.0)),
        "context_parallel": around,
        "expert_parallel": expert - other_way * (1.0 - c.stolen_share),
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

    A vocabulary that is no multiple of `ALIGNED`, such as GPT-2's 50,257, starves the tensor cores, unless the stack pads
    it; tensor parallelism pads it to divide it. A compiler that fuses small operations fuses those of the loss.
    """
    m, tp = tokens_per_microbatch(layout), np.asarray(layout.tp, dtype=float)
    fwd, dgrad, wgrad = matmul(m, np.asarray(shape.vocab_size) / tp, shape.hidden_size, device, c)
    ragged = (
        (np.asarray(shape.vocab_size) % ALIGNED != 0) & (tp < 2) & (np.asarray(layout.pads_vocabulary) < 1)
    )
    slower = np.where(ragged, 1.0 / np.asarray(c.unaligned_rate), 1.0)
    compiled = np.asarray(c.compiled_factor) < 1.0
    moved = m * copies.logit_bytes(vocab_size=shape.vocab_size, fused=compiled) / tp
    return (fwd + dgrad + wgrad * (1.0 - np.asarray(layout.frozen))) * slower + moved / (
        np.asarray(device.memory_bandwidth) * c.hbm_efficiency
    )


def optimizer_time(
    shape: Shape, layout: Layout, device: Device, c: Constants, held: traffic.Held | None = None
) -> Numeric:
    """Time of the optimizer's sweep over its states, which `Layout.update_share` scales. [s]"""
    dense, experts = held or traffic.device_parameters(shape, layout)
    shards = np.where(np.asarray(layout.zero_stage) >= 1, shard_degree(layout), 1.0)
    expert_shards = np.where(
        np.asarray(layout.zero_stage) >= 1, expert_shard_degree(layout, ranks=shards), 1.0
    )
    moved = (dense / shards + experts / expert_shards) * c.optimizer_bytes * np.asarray(layout.update_share)
    moved = moved * np.where(np.asarray(layout.zero_stage) >= 1, 1.0, stages_held(layout))
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
    held = traffic.device_parameters(shape, layout)
    gather_fwd, gather_bwd = traffic.gather_time(shape, layout, device, c, held)
    cover = stage * np.asarray(c.gather_overlap)
    gather = _exposed(gather_fwd, cover / 3.0) + _exposed(gather_bwd, cover * 2.0 / 3.0)
    covered = gather_fwd + gather_bwd - gather
    gather = gather + c.stolen_share * covered
    m = np.asarray(layout.num_microbatches, dtype=float)
    interleaved = np.asarray(layout.vp) > 1
    beside = np.where(is_dualpipe(layout), 1.0, np.where(interleaved, c.send_overlap, 0.0))
    cover_send = np.maximum(stage * beside - covered, 0.0)
    send = _exposed(traffic.send_time(shape, layout, device, c), cover_send)
    middle = stage + gather
    last = middle * last_layers / layers
    others = (shape.num_hidden_layers - last_layers) / np.maximum(np.asarray(layout.pp) - 1.0, 1.0)
    logits = head_time(shape, layout, device, c)
    serial, idle = np.asarray(layout.schedule) == SCHEDULES["serial"], pipeline.idle_share(layout)
    total = pipeline.pipeline_time(
        middle_s=middle,
        mean_s=middle * others / layers,
        last_s=last + logits,
        pp=layout.pp,
        num_microbatches=m,
        vp=layout.vp,
        serial=serial,
        idle=idle,
    )
    beyond = np.maximum(last + logits - middle, 0.0)  # what the logits make the last stage longer
    step = {k: v * m for k, v in levels.items()}
    step["host"] = host * m
    step["logits"] = m * beyond
    step["pipeline_send"] = pipeline.handing_time(
        send_s=send, pp=layout.pp, num_microbatches=m, vp=layout.vp, serial=serial, idle=idle
    )
    step["pipeline_bubble"] = total - m * (middle + beyond)
    window = stage * np.where(
        interleaved, np.maximum(np.minimum(m, layout.pp) * (1.0 - 1.0 / layout.vp), 1.0), 1.0
    )
    sent = traffic.data_parallel_time(shape, layout, device, c, held)
    exposed = _exposed(sent, window * np.asarray(c.dp_overlap))
    exposed = exposed + c.stolen_share * (sent - exposed)
    step["data_parallel"] = gather * m + exposed
    step["optimizer"] = optimizer_time(shape, layout, device, c, held)
    step["overhead"] = np.asarray(c.step_overhead_s) + 0.0 * m
    return step
