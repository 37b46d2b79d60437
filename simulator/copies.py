"""Bytes that a training step moves, per level of the memory hierarchy.

Time is what must be moved. A matmul streams operand tiles through on-chip memory; every operation that is not fused
reads and writes device memory; collectives cross links and networks; the optimizer sweeps its states once per step.
The functions here count those bytes for one token, one layer or one micro-batch; `simulator.clock` divides them by
bandwidths.
"""

from __future__ import annotations

import numpy as np

from simulator.columns import Numeric

TILE = (128, 256)
"""Rows and columns of the output tile that the large matmul kernels of cuBLAS and CUTLASS compute per processor."""

SMALL_TILE = (128, 128)
"""The tile that is used where the large one would leave processors idle."""

SPLITS = (2, 4)
"""Parts into which a contraction may be split so that a wave is better filled."""


def tile_bytes(
    *, m: Numeric, n: Numeric, k: Numeric, operand_bytes: Numeric = 2, tile: tuple[int, int] = TILE
) -> Numeric:
    r"""Operand bytes that a matmul streams through on-chip memory, without quantisation.

    Parameters
    ----------
    m, n, k : numeric
        Rows and columns of the result, length of the contraction. [-]
    operand_bytes : numeric, optional
        Bytes per operand element. [B]
    tile : (int, int), optional
        Rows and columns of an output tile. [-]

    Notes
    -----
    .. math:: b\,m\,n\,k \left(\frac{1}{t_m} + \frac{1}{t_n}\right)

    Every output tile reads ``t_m k`` and ``t_n k`` elements.

    Examples
    --------
    >>> print(tile_bytes(m=4096, n=4096, k=4096) / 1e9)
    1.610612736
    """
    return operand_bytes * np.asarray(m, dtype=float) * n * k * (1.0 / tile[0] + 1.0 / tile[1])


def operand_bandwidth(
    *, peak_flops: Numeric, operand_bytes: Numeric = 2, tile: tuple[int, int] = TILE
) -> Numeric:
    """Rate at which operands must stream to keep the tensor cores at their peak. [B/s]

    The peak FLOP rate expressed as a copy rate: a tile of ``t_m x t_n`` does ``2 t_m t_n`` FLOP on ``b (t_m + t_n)``
    bytes per step of the contraction, so tile copies divided by this rate are FLOP divided by the peak.

    Examples
    --------
    >>> print(round(operand_bandwidth(peak_flops=989e12) / 1e12, 2))
    11.59
    """
    return np.asarray(peak_flops) * operand_bytes * (1.0 / tile[0] + 1.0 / tile[1]) / 2.0


AMPLE_POWER = 1e-12
"""Energy per FLOP of the 16-bit peak from which on a board's power limit does not slow its matmuls. [J]

A round number, chosen: an A100 has 1.28e-12 J (400 W, 312 TFLOP/s) and its best matmuls reach 0.87 of the peak; parts with less reach 0.5 to 0.8
(github:stas00/ml-engineering@744d01e, MAMF table).
"""


def power_share(
    *, tdp_w: Numeric, peak_flops: Numeric, operand_bytes: Numeric = 2, exponent: Numeric = 0.0
) -> Numeric:
    r"""Share of a matmul's rate that a board's power limit leaves. [-]

    Parameters
    ----------
    tdp_w : numeric
        Thermal design power; 0 where it is not known, which limits nothing. [W]
    peak_flops : numeric
        Dense peak of the matmul's precision. [FLOP/s]
    operand_bytes : numeric, optional
        Bytes per operand, which bring the peak to that of 16 bits. [B]
    exponent : numeric, optional
        1/3 where the voltage follows the clock (power grows with its cube), 1 where it does not. [-]

    Notes
    -----
    .. math:: \min\left(1, \frac{W}{P_{16}\,e_0}\right)^{\alpha}

    with :math:`e_0` = `AMPLE_POWER`. A newer part has more FLOP than watts: its clock falls under load. Wrong for boards
    whose datasheet prints a peak at a clock that they hold, and for liquid cooling beyond the printed power.

    Examples
    --------
    >>> print(round(power_share(tdp_w=700, peak_flops=989e12, exponent=0.5), 2))
    0.84
    >>> print(power_share(tdp_w=400, peak_flops=312e12, exponent=0.5))
    1.0
    """
    half_width = np.asarray(peak_flops, dtype=float) * np.asarray(operand_bytes) / 2.0
    energy = np.asarray(tdp_w, dtype=float) / (half_width * AMPLE_POWER)
    return np.where(energy > 0, np.minimum(energy, 1.0), 1.0) ** np.asarray(exponent)


def quantized_tile_bytes(
    *,
    m: Numeric,
    n: Numeric,
    k: Numeric,
    sm_count: Numeric,
    operand_bytes: Numeric = 2,
    fill: Numeric = 0,
    small_tile_rate: float = 0.9,
    splits: tuple[int, ...] = SPLITS,
) -> Numeric:
    r"""Operand bytes of a matmul, with tiles rounded up to whole tiles and whole waves of processors.

    Parameters
    ----------
    m, n, k : numeric
        Rows and columns of the result, length of the contraction. [-]
    sm_count : numeric
        Processors that work on tiles side by side. [-]
    operand_bytes : numeric, optional
        Bytes per operand element. [B]
    fill : numeric, optional
        Contraction steps of 16-bit operands that a tile loses to filling and draining its pipeline and to writing its result.
        They are a time: steps of narrower operands are shorter, so more of them are lost. [-]
    small_tile_rate : float, optional
        Rate of the small tile relative to the large one. [-]
    splits : tuple of int, optional
        Parts into which the contraction may be split. [-]

    Returns
    -------
    numeric
        Bytes, expressed as tiles of the large size. [B]

    Notes
    -----
    A partly filled last wave takes as long as a full one (wave quantisation), so
    ``waves = ceil(ceil(m / t_m) ceil(n / t_n) / SMs)`` and each wave streams ``SMs`` tiles. The best of two tile sizes and
    of whole or split contractions (`SPLITS`) is taken, as a library's heuristic does. The sums over the parts of a split
    contraction are left out.

    Examples
    --------
    One wave of 128 tiles on 132 processors moves 3 % more than the tiles themselves.

    >>> full = tile_bytes(m=2048, n=2048, k=4096)
    >>> print(round(quantized_tile_bytes(m=2048, n=2048, k=4096, sm_count=132) / full, 3))
    1.031
    """
    m, n, sm = np.asarray(m, dtype=float), np.asarray(n, dtype=float), np.asarray(sm_count, dtype=float)
    width = np.asarray(operand_bytes, dtype=float)
    k, fill = np.asarray(k, dtype=float), np.asarray(fill, dtype=float) * 2.0 / width
    rows = np.ceil(m * (1.0 / TILE[0]))
    share = SMALL_TILE[0] * SMALL_TILE[1] / (TILE[0] * TILE[1] * small_tile_rate)
    large, small = rows * np.ceil(n * (1.0 / TILE[1])) / sm, rows * np.ceil(n * (1.0 / SMALL_TILE[1])) / sm
    best = np.minimum(np.ceil(large), np.ceil(small) * share) * (k + fill)
    for parts in splits:
        waves = np.minimum(np.ceil(large * parts), np.ceil(small * parts) * share)
        best = np.minimum(best, waves * (k / parts + fill))
    area = TILE[0] * TILE[1] * (1.0 / TILE[0] + 1.0 / TILE[1])
    return best * sm * (area * width)


def matmul_memory_bytes(
    *, m: Numeric, n: Numeric, k: Numeric, operand_bytes: Numeric = 2, result_bytes: Numeric = 2
) -> Numeric:
    """Device-memory bytes of one matmul: both operands once, the result once. [B]

    Optimistic for operands that do not fit in the last-level cache and are read again.

    Examples
    --------
    >>> print(matmul_memory_bytes(m=4096, n=4096, k=4096) / 1e6)
    100.663296
    """
    m, n = np.asarray(m, dtype=float), np.asarray(n, dtype=float)
    return (m + n) * k * operand_bytes + m * n * result_bytes


def layer_elements(
    *,
    hidden_size: Numeric,
    key_value_width: Numeric,
    intermediate_size: Numeric,
    gated: Numeric,
    rotary: Numeric = 0,
) -> Numeric:
    r"""Elements that one layer's forward pass reads and writes per token, nothing fused but attention.

    Parameters
    ----------
    hidden_size, intermediate_size : numeric
        Widths of the model and of the feed-forward block. [-]
    key_value_width : numeric
        Width of the keys of one token (heads times head width). [-]
    gated, rotary : numeric
        1 for a gated feed-forward block, for rotary embeddings. [-]

    Notes
    -----
    .. math:: c = 18 d + 4 k + 2 r (d + k) + (4 + 2 g) f

    Norms 2 x 2d, query-key-value projection 2d + 2k, attention 2d + 2k, output projection 2d, residuals 2 x 3d,
    feed-forward 2d + 4f (plain) or 2d + 6f (gated). This is the proxy of `hbm_copies`.

    Examples
    --------
    A multi-head model with plain ``f = 4d`` moves 38 d per layer; a gated one with rotary and half the key heads 47 d.

    >>> print(layer_elements(hidden_size=1, key_value_width=1, intermediate_size=4, gated=0))
    38
    >>> print(layer_elements(hidden_size=2, key_value_width=1, intermediate_size=8, gated=1, rotary=1) / 2)
    47.0
    """
    d, k, f = np.asarray(hidden_size), np.asarray(key_value_width), np.asarray(intermediate_size)
    return 18 * d + 4 * k + 2 * np.asarray(rotary) * (d + k) + (4 + 2 * np.asarray(gated)) * f


def full_width_elements(*, hidden_size: Numeric) -> Numeric:
    """Elements per token and layer moved by norms and residuals, which see the whole width. [elements]

    Two norms (read, write) and two residual additions (two reads, one write): ``10 d``.
    """
    return 10.0 * np.asarray(hidden_size)


def split_width_elements(*, rotary_width: Numeric, intermediate_size: Numeric, gated: Numeric) -> Numeric:
    """Elements per token and layer moved by kernels between the matmuls: rotary embedding, activation. [elements]

    Rotary reads and writes queries and keys; the activation reads f (or 2f, gated) and writes f. Tensor parallelism
    divides them.
    """
    return 2.0 * np.asarray(rotary_width) + (2.0 + np.asarray(gated)) * intermediate_size


def quantized_elements(*, inputs: Numeric, frozen: Numeric = 0) -> Numeric:
    """Sixteen-bit elements per token moved to cast matmul inputs to 8 bits or fewer. [elements]

    Each input is read (2 B) and written twice (1 B as it is, 1 B transposed for the weight gradient): two elements in the
    forward pass, and twice that in the backward pass. Frozen weights have no gradient, so nothing is transposed and one
    operand less is cast: half of it in all.
    """
    return (2.0 - np.asarray(frozen)) * np.asarray(inputs)


UNFUSED_PASSES = 16.0
"""Times that a softmax in single operations moves the score matrix more than a fused one, in 16-bit passes. [-]

Cast to 32 bits (3), scale (4), mask (4), softmax (4) and cast back (3) against one read and one write
(github:NVIDIA/Megatron-LM megatron/model/fused_softmax.py).
"""


def logit_bytes(*, vocab_size: Numeric, fused: Numeric = 0) -> Numeric:
    """Device-memory bytes per token of the logits and the loss, forward and backward, outside the matmul. [B]

    Logits written and read in 16 bits (2 + 2), cast to 32 (4 + 4), softmax read and written (4 + 4), gradient written
    and read (2 + 2): ``24 V``. Where one kernel does all between the matmuls, logits are written and read in either
    direction, and the gradient written and read: ``10 V``.
    """
    return np.where(np.asarray(fused) > 0, 10.0, 24.0) * np.asarray(vocab_size)


def score_bytes(*, num_attention_heads: Numeric, seq_length: Numeric, passes: Numeric) -> Numeric:
    """Bytes per token and layer of plain attention's score matrix in a forward pass, 16 bits per score. [B]

    ``passes`` counts reads and writes: mask and softmax in and out, dropout in and out.
    Flash attention moves none.
    """
    return 2.0 * np.asarray(passes) * num_attention_heads * seq_length
