"""What may be chosen, as arrays: shapes on one axis, layouts on three more.

A lattice has four axes: shapes (S), batches (G), what decides the work of one layer (K: ``tp cp ep micro_batch_size
recompute``), and how layers and states are spread (P: ``pp vp zero_stage``). A column that does not depend on an axis has
length one there, so numpy computes the work of a layer once for all pipelines and batches that share it. Kernels and spreads
stand last because most columns depend on both, or neither: numpy then runs through them in one long loop.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.layout import SCHEDULES, Layout
from simulator.transformer import Shape

Array = NDArray[np.float64]

SHAPE, BATCH, KERNEL, SPREAD = range(4)
"""Axes of a lattice."""

MAX_TP = 64
"""Largest tensor-parallel degree tried. [-]"""

MAX_PP = 64
"""Largest pipeline degree tried. [-]"""

MAX_TOKENS_PER_MICROBATCH = 262_144
"""Largest micro-batch tried. [tokens]"""

LONG_SEQUENCE = 16_384
"""Context parallelism is tried from this sequence length on. [tokens]"""

USUAL_CP = 8
"""Largest context-parallel degree that is tried for any long sequence. [-]"""

TOKENS_OF_RANK = 8192
"""Tokens of a sequence that are left to a rank of a larger context-parallel degree, at least: Llama 3 trained on 131,072 with
cp 16 (arXiv:2407.21783, table 4). [tokens]"""

ASPECTS = (16.0, 256.0)
"""Width over depth of the shapes tried: the range in which laws of shape have data (arXiv:2502.06857). [-]"""


@dataclass(frozen=True)
class Pins:
    """Choices that are fixed; ``None`` is free."""

    tp: int | None = None
    pp: int | None = None
    dp: int | None = None
    cp: int | None = None
    ep: int | None = None
    vp: int | None = None
    etp: int | None = None
    zero_stage: int | None = None
    shard_group: int | None = None
    """Ranks of a group of hybrid sharding; ``None`` shards over all."""
    sequence_parallel: bool | None = None
    without: tuple[str, ...] = ()
    """Ways to split a model that are not chosen, since the software lacks them (`software.not_tried`)."""
    zero_with_tp: int = 3
    """Largest ZeRO stage that is chosen beside tensor parallelism."""
    schedule: int = 1
    micro_batch_size: int | None = None
    recompute: int | None = None
    global_batch_size: float | None = None
    frozen: int = 0
    """1 where only adapters learn."""
    quantized: int = 0
    """1 where the frozen weights are kept in 4 bits."""
    autocast: int = 0
    """1 where weights are kept in 32 bits and cast for every matmul."""
    autocast_frozen: int = 0
    """What `autocast` would be if only adapters learned: 1 where the scenario says so itself."""
    update_share: float = 1.0
    """Bytes that the optimizer's sweep moves, relative to AdamW with 32-bit states. [-]"""
    pads_vocabulary: int = 0
    """1 where the software pads the vocabulary."""
    cuda_graphs: int = 0
    """What is captured in CUDA graphs, as a code of the layout."""
    fused_experts: int = 0
    """1 where one kernel carries out the matmuls of all experts of a device."""
    plain_dispatch: int = 0
    """1 where every copy of a token crosses the network by itself."""
    expert_overlap: int = 0
    """1 where the exchange between experts goes on beside the work of another micro-batch."""

    @property
    def splits_sequences(self) -> bool:
        """Whether tensor parallelism is joined by sequence parallelism: as it is fixed, else where the software has it."""
        usual = "sequence_parallel" not in self.without
        return usual if self.sequence_parallel is None else self.sequence_parallel

    def shards_over_some(self, n_gpus: int) -> bool:
        """Whether a fixed ZeRO stage that shards gradients or weights needs ranks to shard over, and the other pins leave some.

        A layout without such ranks is not sharded, whatever stage it is said to have. Stage 1 is the usual of much software, which
        leaves it on where there is nothing to shard.
        """
        split = (self.tp or 1) * (self.pp or 1) * (self.cp or 1)
        return (self.zero_stage or 0) > 1 and self.dp != 1 and split != n_gpus

    def whole(self, name: str) -> int | None:
        """A degree that is not chosen: the one that is fixed, or 1 where the software lacks it; ``None`` where it is free."""
        fixed: int | None = getattr(self, name)
        return 1 if fixed is None and name in self.without else fixed


@dataclass(frozen=True)
class Axes:
    """Layouts of one number of accelerators, as one array per choice."""

    n_gpus: int
    tp: Array
    cp: Array
    ep: Array
    micro_batch_size: Array
    recompute: Array
    pp: Array
    vp: Array
    zero_stage: Array
    global_batch_size: Array
    seq_length: int
    pins: Pins
    flash_attention: int = 1

    @property
    def kernels(self) -> int:
        """Length of the K axis."""
        return len(self.tp)

    @property
    def spreads(self) -> int:
        """Length of the P axis."""
        return len(self.pp)

    @property
    def batches(self) -> int:
        """Length of the G axis."""
        return len(self.global_batch_size)

    @property
    def fills_pipelines(self) -> bool:
        """Whether plans need as many micro-batches as stages: where the batch is free, and larger ones are tried beside it."""
        return self.batches > 1 and self.pins.global_batch_size is None

    @property
    def layouts(self) -> int:
        """Layouts per shape."""
        return self.kernels * self.spreads * self.batches

    def take(self, kernels: Any, spreads: Any = slice(None)) -> Axes:
        """Keep some of the K axis and of the P axis."""
        kept = {name: getattr(self, name)[kernels] for name in KERNEL_FIELDS}
        kept |= {name: getattr(self, name)[spreads] for name in SPREAD_FIELDS}
        return replace(self, **kept)

    def size(self, shapes: int) -> tuple[int, int, int, int]:
        """Lengths of the four axes with some number of shapes."""
        return shapes, self.batches, self.kernels, self.spreads

    def layout(self) -> Layout:
        """All layouts, each field with length one on the axes it does not depend on."""
        tp, cp = on_axis(self.tp, KERNEL), on_axis(self.cp, KERNEL)
        micro, pp = on_axis(self.micro_batch_size, KERNEL), on_axis(self.pp, SPREAD)
        dp = self.n_gpus / (tp * cp * pp)
        return Layout(
            tp=tp,
            cp=cp,
            ep=on_axis(self.ep, KERNEL),
            etp=float(self.pins.etp or 0),
            pp=pp,
            dp=dp,
            vp=on_axis(self.vp, SPREAD),
            micro_batch_size=micro,
            num_microbatches=on_axis(self.global_batch_size, BATCH) / (micro * dp),
            seq_length=float(self.seq_length),
            zero_stage=np.where(dp * cp > 1, on_axis(self.zero_stage, SPREAD), 0.0),
            shard_group=float(self.pins.shard_group or 0),
            sequence_parallel=(tp > 1) * float(self.pins.splits_sequences),
            recompute=on_axis(self.recompute, KERNEL),
            flash_attention=float(self.flash_attention),
            frozen=float(self.pins.frozen),
            quantized=float(self.pins.quantized),
            autocast=float(self.pins.autocast),
            update_share=self.pins.update_share,
            schedule=float(self.pins.schedule),
            pads_vocabulary=float(self.pins.pads_vocabulary),
            cuda_graphs=float(self.pins.cuda_graphs),
            fused_experts=float(self.pins.fused_experts),
            plain_dispatch=float(self.pins.plain_dispatch),
            expert_overlap=float(self.pins.expert_overlap),
        )


KERNEL_FIELDS = ("tp", "cp", "ep", "micro_batch_size", "recompute")
"""Fields of `Axes` on the K axis."""


SPREAD_FIELDS = ("pp", "vp", "zero_stage")
"""Fields of `Axes` on the P axis."""


def on_axis(column: Array, axis: int) -> Array:
    """View a column along one of the four axes."""
    shape = [1, 1, 1, 1]
    shape[axis] = -1
    return np.asarray(column, dtype=float).reshape(shape)


def shapes_on_axis(shape: Shape) -> Shape:
    """View the arrays of a `Shape` along the S axis."""
    values = {f.name: getattr(shape, f.name) for f in fields(shape)}
    return Shape(**{k: (on_axis(v, SHAPE) if np.ndim(v) else v) for k, v in values.items()})


def count(shape: Shape) -> int:
    """Shapes in a `Shape` of arrays."""
    return max((np.size(getattr(shape, f.name)) for f in fields(shape)), default=1)


def take(shape: Shape, index: Any) -> Shape:
    """Some shapes of a `Shape` of arrays; a scalar field stays one."""
    return shape.take(index)


def divisors(number: int, largest: int | None = None) -> list[int]:
    """Divisors of a number, ascending.

    Examples
    --------
    >>> divisors(24, largest=8)
    [1, 2, 3, 4, 6, 8]
    """
    top = number if largest is None else min(number, largest)
    return [d for d in range(1, top + 1) if number % d == 0]


def powers_of_two(largest: float) -> list[int]:
    """1, 2, 4 ... up to a number (at least 1)."""
    return [2**i for i in range(int(math.log2(max(1.0, largest))) + 1)]


def context_degrees(seq_length: int, n_gpus: int) -> list[int]:
    """Context-parallel degrees tried: powers of two, as many as leave a rank `TOKENS_OF_RANK` tokens, but at least `USUAL_CP`.

    Examples
    --------
    >>> context_degrees(8192, 64), context_degrees(32_768, 64), context_degrees(2**20, 64), context_degrees(2**20, 4)
    ([1], [1, 2, 4, 8], [1, 2, 4, 8, 16, 32, 64], [1, 2, 4])
    """
    if seq_length < LONG_SEQUENCE:
        return [1]
    return powers_of_two(min(n_gpus, max(USUAL_CP, seq_length // TOKENS_OF_RANK)))


def batch_sizes(*, n_gpus: int, low: float, high: float) -> list[float]:
    """Batches tried, in sequences: powers of two times the odd part of the number of accelerators.

    Any other batch leaves devices idle or has to be padded.

    Examples
    --------
    >>> batch_sizes(n_gpus=24, low=10, high=100)
    [12.0, 24.0, 48.0, 96.0]
    """
    odd = n_gpus
    while odd % 2 == 0:
        odd //= 2
    first = max(0, math.ceil(math.log2(max(1.0, low / odd)) - 1e-9))
    last = max(first, math.floor(math.log2(max(1.0, high / odd)) + 1e-9))
    return [float(odd * 2**i) for i in range(first, last + 1)]


MICRO_STEP = 1.25
"""Least ratio of one micro-batch to the next that is tried: nearer ones differ by less than the step time is known. [-]"""


def micro_batches(batches: list[float], largest: int) -> list[int]:
    """Micro-batches tried, in sequences: what divides the batch, in steps of a quarter; powers of two where several batches are tried.

    Examples
    --------
    >>> micro_batches([480.0], 64)
    [1, 2, 3, 4, 5, 8, 10, 15, 20, 30, 40, 60]
    >>> micro_batches([256.0, 512.0], 32)
    [1, 2, 4, 8, 16, 32]
    """
    if len(batches) > 1:
        return powers_of_two(largest)
    kept: list[int] = []
    for size in divisors(int(batches[0]), largest):
        if not kept or size >= MICRO_STEP * kept[-1]:
            kept.append(size)
    return kept


def _spread(
    pps: list[int], pins: Pins, zero_stages: tuple[int, ...], *, interleave: bool
) -> list[tuple[int, int, int]]:
    """Pipeline stages, virtual stages and ZeRO stages that are tried together.

    A pinned ZeRO stage that the software has no pipeline with leaves out the pipelines that nobody pinned.
    """
    if (pins.zero_stage or 0) > max(1, zero_stages[0]) and pins.pp is None and pins.dp is None:
        pps = [pp for pp in pps if pp == 1] or pps
    interleave = interleave and pins.schedule not in (SCHEDULES["zero_bubble"], SCHEDULES["dualpipe"])
    return [
        (pp, vp, zero)
        for pp in pps
        for vp in ([pins.vp] if pins.vp else ([1, 2, 4] if interleave and pp > 1 else [1]))
        for zero in (
            [pins.zero_stage]
            if pins.zero_stage is not None
            else (zero_stages if pp == 1 else zero_stages[:1])
        )
    ]


def _degrees(
    n_gpus: int, link_domain: int, experts: int, seq_length: int, pins: Pins
) -> tuple[list[int], list[int], list[int]]:
    """Degrees of tensor, context and expert parallelism that are tried."""
    tp, cp, ep = (pins.whole(name) for name in ("tp", "cp", "ep"))
    tps = [tp] if tp else [d for d in divisors(link_domain, MAX_TP) if n_gpus % d == 0]
    cps = [cp] if cp else context_degrees(seq_length, n_gpus)
    if ep or not experts:
        return tps, cps, [ep or 1]
    return tps, cps, [d for d in divisors(experts, MAX_TP) if n_gpus % d == 0]


def layout_axes(
    *,
    n_gpus: int,
    link_domain: int,
    shape: Shape,
    seq_length: int,
    batches: list[float],
    pins: Pins,
    flash_attention: bool = True,
    selective: bool = False,
    zero_stages: tuple[int, ...] = (1, 3),
    interleave: bool = True,
    one_microbatch: bool = False,
) -> Axes:
    """Build the layouts that are tried on one number of accelerators.

    Parameters
    ----------
    n_gpus, link_domain : int
        Accelerators, and how many share a scale-up domain (a node, a rack). [-]
    shape : Shape
        Shapes that will be laid out; only their largest sizes are looked at.
    seq_length : int
        Sequence length. [tokens]
    batches : list of float
        Global batches. [sequences]
    pins : Pins
        What is fixed.
    flash_attention : bool, optional
        Without it selective recomputation, which repeats the attention core, is tried too.
    selective : bool, optional
        Try selective recomputation under flash attention too: it drops more than the core.
    zero_stages : tuple of int, optional
        Stages tried with one pipeline stage; with more, the first of them.
    interleave : bool, optional
        Try virtual pipeline stages.
    one_microbatch : bool, optional
        Try micro-batches of one sequence only.
    """
    depth, pp = int(np.max(shape.num_hidden_layers)), pins.whole("pp")
    largest = max(1, min(MAX_TOKENS_PER_MICROBATCH // seq_length, int(max(batches))))
    tps, cps, eps = _degrees(n_gpus, link_domain, int(np.max(shape.num_experts)), seq_length, pins)
    micro = (
        [pins.micro_batch_size]
        if pins.micro_batch_size
        else ([1] if one_microbatch else micro_batches(batches, largest))
    )
    modes = [0, 1, 2] if selective or not flash_attention else [0, 2]
    modes = modes if pins.recompute is None else [pins.recompute]
    kernel = np.array(list(itertools.product(tps, cps, eps, micro, modes)), dtype=float)
    pps = [pp] if pp else divisors(n_gpus, min(MAX_PP, depth))
    columns = np.array(_spread(pps, pins, zero_stages, interleave=interleave), dtype=float)
    return Axes(
        n_gpus=n_gpus,
        **dict(zip(KERNEL_FIELDS, kernel.T.copy(), strict=True)),
        **dict(zip(SPREAD_FIELDS, columns.T.copy(), strict=True)),
        global_batch_size=np.array(batches, dtype=float),
        seq_length=seq_length,
        pins=pins,
        flash_attention=int(flash_attention),
    )
