"""Device time of the kernels of one layer: matmuls, attention's core, and the small operations between them.

Each function takes a `Shape`, a `Layout`, a `Device` and `Constants` (numbers or arrays) and returns seconds.
"""

from __future__ import annotations

import numpy as np

from simulator import copies, windows
from simulator import transformer as tf
from simulator.columns import Numeric
from simulator.device import Constants, Device
from simulator.layout import NF4_BYTES, Layout, expert_tp, tokens_per_microbatch
from simulator.transformer import Shape

BACKWARD_PASSES = 2.0
"""A backward pass moves about twice what the forward pass moves: input gradients and weight gradients."""

ALIGNED = 8
"""Widths that are a multiple of this many 16-bit elements keep tensor cores fed (16 bytes, cuBLAS guide). [-]"""

HEAD_FILL = 22.0
"""Width of a head whose products take as long as what fused attention does once per score (exponentials, maxima, sums). [-]

The middle of 24 pairs of FlashAttention-2 on A100 and H100, heads of 64 against 128 (measurements/micro.csv, ``attention_fwd_bwd``;
tests/test_kernels.py repeats it).
"""

USUAL_HEAD = 128.0
"""Width of the heads of which `attention_efficiency` is told. [-]"""

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


def matmul(m: Numeric, n: Numeric, k: Numeric, device: Device, c: Constants) -> Numeric:
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
    triples = [matmul(m, n, k, device, c) for n, k in widths]
    scale = [np.asarray(n) * k > 0 for n, k in widths]
    up = 1.0 + np.asarray(shape.gated)
    if sparse:
        etp, ep = expert_tp(layout), np.maximum(layout.ep, 1)
        rows = m * shape.num_experts_per_tok * ep / np.maximum(shape.num_experts, 1) * etp / tp
        f, local = np.asarray(shape.moe_intermediate_size) / etp, np.asarray(shape.num_experts) / ep
        triples += [matmul(rows, up * f, h, device, c), matmul(rows, h, f, device, c)]
        last = [len(triples) - 1, len(triples) + 1]
        rate = np.where(np.asarray(layout.fused_experts) > 0, c.fused_rate, c.grouped_rate)
        grouped = local / np.where(local > 1, rate, 1.0)  # one expert is a plain matmul
        scale += [grouped, grouped]
        shared = np.asarray(shape.shared_expert_intermediate_size) / tp
        on = shared > 0
        triples += [
            matmul(m, up * shared, h, device, c),
            matmul(m, h, np.maximum(shared, 1), device, c),
        ]
        scale += [on, on]
    else:
        f = np.asarray(shape.intermediate_size) / tp
        triples += [matmul(m, up * f, h, device, c), matmul(m, h, f, device, c)]
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


def score_matmuls(shape: Shape, layout: Layout, device: Device, c: Constants) -> tuple[Numeric, Numeric]:
    """Time of plain attention's products on the tensor cores: queries with keys, and scores with values. [s]

    One product per head and sequence, each in tiles as any other matmul. A head is narrow: the contraction of queries and keys
    ends before a tile's pipeline has filled, and the product with the values is narrower than a tile. So a head of 64 takes
    nearly as long as one of 128. Heads whose width is no multiple of `ALIGNED` leave the tensor cores.
    """
    heads = np.maximum(np.asarray(shape.num_attention_heads, dtype=float), 1.0)
    width, value = tf.query_width(shape) / heads, tf.value_width(shape) / heads
    length = np.asarray(layout.seq_length, dtype=float)
    bandwidth = copies.operand_bandwidth(peak_flops=device.peak_flops, operand_bytes=device.operand_bytes)
    ragged = np.where(width % ALIGNED != 0, np.asarray(c.unaligned_heads_rate), 1.0)

    def tiles(n: Numeric, k: Numeric) -> Numeric:
        moved = copies.quantized_tile_bytes(
            m=tokens_per_microbatch(layout) * heads / layout.tp,
            n=n,
            k=k,
            sm_count=device.sm_count,
            operand_bytes=device.operand_bytes,
            fill=c.tile_fill,
        )
        return moved / (bandwidth * tile_share(device, c) * ragged)

    return tiles(length, width), tiles(value, length)


def flash_time(shape: Shape, layout: Layout, device: Device, c: Constants) -> Numeric:
    """Forward time of one layer's fused attention. [s]

    The unmasked half of ``2 s (q + v)`` FLOP per token; of windowed layers the blocks that their windows touch. Narrow heads are
    slower: every score costs its exponential, of however few products it is the sum (`HEAD_FILL`). On a TPU heads are padded to
    the lanes of its vector units.
    """
    m, tp = tokens_per_microbatch(layout), np.asarray(layout.tp, dtype=float)
    heads = np.asarray(shape.num_attention_heads, dtype=float)
    each = np.maximum(heads, 1.0)
    lanes = np.asarray(device.vector_lanes, dtype=float)
    query, value = (
        np.ceil(width / each / lanes) * lanes for width in (tf.query_width(shape), tf.value_width(shape))
    )
    width = (query + value + 2.0 * HEAD_FILL) * heads
    seen = windows.attended_share(shape, seq_length=layout.seq_length, block=windows.KERNEL_BLOCK)
    peak = np.asarray(device.attention_peak_flops)
    flop = m * layout.seq_length * width / tp * seen / (1.0 + HEAD_FILL / USUAL_HEAD)
    return flop / (peak * c.attention_efficiency * c.attention_factor)


def attention_time(shape: Shape, layout: Layout, device: Device, c: Constants) -> tuple[Numeric, Numeric]:
    """Forward and backward time of one layer's attention core. [s]

    Flash attention: `flash_time`, backward 2.5 times. Plain attention: two products per head over the whole matrix forward and
    four backward (`score_matmuls`; one and three of them are as narrow as a head), and the passes of mask, softmax and dropout
    over device memory.
    """
    flash = flash_time(shape, layout, device, c)
    is_flash = np.asarray(layout.flash_attention) > 0
    if np.all(is_flash):
        return flash, FLASH_BACKWARD * flash
    scores = copies.score_bytes(
        num_attention_heads=shape.num_attention_heads,
        seq_length=layout.seq_length,
        passes=c.softmax_passes + copies.UNFUSED_PASSES * unfused_softmax(shape, layout, c),
    )
    moved = tokens_per_microbatch(layout) * scores / layout.tp
    moved = moved / (np.asarray(device.memory_bandwidth) * c.hbm_efficiency)
    wide = np.maximum(device.operand_bytes, 2.0)  # attention stays in 16 bits, or in 32 where all is
    own = device.with_(peak_flops=np.asarray(device.attention_peak_flops), operand_bytes=wide)
    keys, values = score_matmuls(shape, layout, own, c)
    return (
        np.where(is_flash, flash, keys + values + moved),
        np.where(is_flash, FLASH_BACKWARD * flash, keys + 3.0 * values + BACKWARD_PASSES * moved),
    )


def layer_weights(shape: Shape, layout: Layout, *, sparse: bool) -> Numeric:
    """Weights of one layer's matrices on one device. [parameters]"""
    block = tf.shared_expert_parameters(shape) if sparse else tf.dense_mlp_parameters(shape)
    weights = (tf.attention_matrix_parameters(shape) + block) / layout.tp
    if sparse:
        local = np.asarray(shape.num_experts) / np.maximum(layout.ep, 1)
        weights = weights + tf.expert_parameters(shape) * local / expert_tp(layout)
    return weights


def autocast_elements(shape: Shape, layout: Layout, *, sparse: bool) -> Numeric:
    """Sixteen-bit elements that casting a device's 32-bit weights of one layer moves in a forward pass. [elements]

    Reads 4 bytes and writes 2 per weight and micro-batch; the backward pass casts the gradients, twice as much. Zero
    without autocast.
    """
    return 3.0 * np.asarray(layout.autocast) * layer_weights(shape, layout, sparse=sparse)


def dequantize_time(shape: Shape, layout: Layout, device: Device, c: Constants, *, sparse: bool) -> Numeric:
    """Time of writing out a layer's frozen 4-bit weights in 16 bits for one pass over them; 0 where none are quantized. [s]

    Every matrix is written out before each product that uses it (arXiv:2305.14314, equation 5): `NF4_BYTES` are read and 2
    written per weight and micro-batch. Optimistic: the product reads them again from device memory, which
    `copies.matmul_memory_bytes` counts, and the kernel is taken to reach the bandwidth of other small operations.
    """
    if not np.any(layout.quantized):
        return 0.0
    moved = (NF4_BYTES + 2.0) * np.asarray(layout.quantized) * layer_weights(shape, layout, sparse=sparse)
    return moved / (np.asarray(device.memory_bandwidth) * c.hbm_efficiency)


def elementwise_time(shape: Shape, layout: Layout, device: Device, c: Constants, *, sparse: bool) -> Numeric:
    """Forward time of one layer's norms, residuals, rotary embedding and activation. [s]

    Plain attention also turns queries, keys, values and outputs into another memory layout: a read and a write each.
    Under autocast norms and residuals are 32 bits wide, and weights are cast for every micro-batch.
    """
    m, tp = tokens_per_microbatch(layout), np.asarray(layout.tp, dtype=float)
    f = np.asarray(shape.intermediate_size)
    if sparse:
        outside = (
            np.asarray(layout.fused_experts) == 0
        )  # else the activation never leaves the matmul's kernel
        f = np.asarray(shape.moe_intermediate_size) * shape.num_experts_per_tok * outside
        f = f + shape.shared_expert_intermediate_size
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
