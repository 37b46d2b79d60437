"""Step time and memory of every layout of every shape, in chunks of bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator import memory, transformer
from simulator.clock import CORE_ALONE
from simulator.columns import keep_freed_memory
from simulator.device import Constants, Device
from simulator.layout import SCHEDULES, Layout
from simulator.memory import MEMORY_PROFILES, MemoryConstants
from simulator.search import feasibility, lattice
from simulator.search.lattice import Axes
from simulator.transformer import Shape

Array = NDArray[np.float64]
Clock = Callable[[Shape, Layout, Device, Constants], Mapping[str, Any]]

ROWS = 131_072
"""Plans per chunk: eight-byte columns of this length, a megabyte, stay in a second-level cache."""


@dataclass(frozen=True)
class Setting:
    """What is the same for all plans on one machine."""

    device: Device
    constants: Constants
    clock: Clock
    precision: str = "bf16"
    optimizer: str = "adamw"
    trainable: str = "full"
    lora_rank: int = 0
    profile: MemoryConstants = MEMORY_PROFILES["megatron"]
    memory_allowed: float = float("inf")
    """Memory that a plan may use at most, where it is less than there is. [B]"""

    @property
    def memory_limit(self) -> float:
        """Memory that a plan may use. [B]"""
        return min(float(self.device.memory_capacity), self.memory_allowed)

    @property
    def selective_drops(self) -> bool:
        """Whether selective recomputation drops results of matmuls and takes the time to repeat them.

        It then saves memory under flash attention too; else it repeats the attention core, which flash attention never keeps.
        """
        repeats = float(np.min(self.constants.selective_share))
        return self.profile.selective_keeps < 1.0 and repeats > CORE_ALONE

    def step_time(self, shape: Shape, layout: Layout) -> Any:
        """Seconds of one step. [s]"""
        levels = iter(self.clock(shape, layout, self.device, self.constants).values())
        total = next(levels)
        for level in levels:
            total = total + level
        return total

    def memory(self, shape: Shape, layout: Layout) -> dict[str, Any]:
        """Peak memory by category. [B]"""
        return memory.peak(shape, layout, **self.recipe)

    def memory_total(self, shape: Shape, layout: Layout) -> Any:
        """Peak memory of all categories together. [B]"""
        return memory.peak_total(shape, layout, **self.recipe)

    @property
    def recipe(self) -> dict[str, Any]:
        """What the memory of a layout depends on beside the model."""
        return {
            "optimizer": self.optimizer,
            "precision": self.precision,
            "trainable": self.trainable,
            "lora_rank": self.lora_rank,
            "constants": self.profile,
        }


@dataclass
class Counts:
    """How many plans were looked at, and why those that cannot run cannot."""

    considered: int = 0
    refused: dict[str, int] = field(default_factory=dict)

    def add(self, reason: str, number: int) -> None:
        """Add refused plans."""
        if number:
            self.refused[reason] = self.refused.get(reason, 0) + int(number)

    def merge(self, other: Counts) -> None:
        """Add the counts of another part of the search."""
        self.considered += other.considered
        for reason, number in other.refused.items():
            self.add(reason, number)

    @property
    def feasible(self) -> int:
        """Plans that can run."""
        return self.considered - sum(self.refused.values())


def chunk(shape: Shape, axes: Axes, setting: Setting, counts: Counts) -> Array:
    """Step time of every plan of a chunk, infinite where it cannot run. [s]

    Parameters
    ----------
    shape : Shape
        Shapes on the S axis (`lattice.shapes_on_axis`).
    axes : Axes
        Layouts.
    setting : Setting
        Machine and recipe.
    counts : Counts
        Tally that is added to.

    Returns
    -------
    array
        Of shape ``(S, G, K, P)``. [s]
    """
    keep_freed_memory()
    layout = axes.layout()
    size = axes.size(lattice.count(shape))
    counts.considered += int(np.prod(size))
    runs = np.ones(size, dtype=bool)
    left = runs.size
    for reason, mask in feasibility.refusals(shape, layout, axes):
        if np.any(mask):
            runs &= ~mask
            now = int(np.count_nonzero(runs))
            counts.add(reason, left - now)
            left = now
    out = np.full(size, np.inf)
    if not left:
        return out
    divided = _whole(shape, axes, runs).alive(runs)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        fits = divided.runs & fitting(divided, setting)
        now = int(np.count_nonzero(fits))
        counts.add("memory", left - now)
        if now:
            some = divided.alive(fits)
            seconds = setting.step_time(some.shape, some.axes.layout())
            out[np.ix_(*some.places)] = np.where(some.runs, seconds, np.inf)
    return out


@dataclass(frozen=True)
class _Part:
    """Some shapes, kernels and spreads of a chunk, with all batches."""

    shape: Shape
    axes: Axes
    runs: Any
    """Which of its plans run, of shape ``(S, G, K, P)``."""
    places: tuple[NDArray[np.intp], ...]
    """Where it lies in the chunk, by axis."""

    def alive(self, runs: Any) -> _Part:
        """The part of it without shapes, kernels and spreads of which nothing runs."""
        seen = runs.any(axis=lattice.BATCH)
        shapes, kernels, spreads = (np.flatnonzero(seen.any(axis=rest)) for rest in ((1, 2), (0, 2), (0, 1)))
        some = self.shape if len(shapes) == len(runs) else lattice.take(self.shape, shapes)
        kept: tuple[Any, ...] = (shapes, slice(None), kernels, spreads)
        return _Part(
            some,
            self.axes.take(kernels, spreads),
            runs[shapes][:, :, kernels][..., spreads],
            tuple(places[part] for places, part in zip(self.places, kept, strict=True)),
        )


def _whole(shape: Shape, axes: Axes, runs: Any) -> _Part:
    """All of a chunk."""
    return _Part(shape, axes, runs, tuple(np.arange(length) for length in runs.shape))


def fitting(part: _Part, setting: Setting) -> Any:
    """Whether plans fit in memory; it may say no of those that do not run.

    What a stage keeps grows with the number of micro-batches only until the pipeline is full. Where the batch is free
    there are at least as many micro-batches as stages, so that two evaluations (just full, and the most that
    interleaving keeps) stand for all. GPipe keeps every micro-batch and is evaluated one by one, as batches that are given.
    """
    shape, axes, layout, capacity = part.shape, part.axes, part.axes.layout(), setting.memory_limit
    if not axes.fills_pipelines or axes.pins.schedule == SCHEDULES["gpipe"]:
        return setting.memory_total(shape, layout) <= capacity
    full = setting.memory_total(shape, layout.with_(num_microbatches=2.0 * layout.pp)) <= capacity
    fewer = layout.vp > 1
    if setting.profile.late_logit_bytes:  # a single micro-batch has no logits of one before it
        fewer = fewer | (layout.pp == 1)
    short = ~full & (layout.num_microbatches < 2.0 * layout.pp) & fewer & part.runs
    if not np.any(short):
        return full
    some = _whole(shape, axes, short).alive(short)
    few = some.axes.layout()
    shapes, batches, kernels, spreads = some.places
    just = np.zeros((len(short), 1, *short.shape[2:]), dtype=bool)  # alike for all batches
    just[np.ix_(shapes, batches[:1], kernels, spreads)] = (
        setting.memory_total(some.shape, few.with_(num_microbatches=few.pp * 1.0)) <= capacity
    )
    return full | (short & just)


@dataclass(frozen=True)
class Fastest:
    """The fastest layout of every shape and batch."""

    step_time_s: Array
    """Of shape (S, G); infinite where nothing runs. [s]"""
    kernel: NDArray[np.intp]
    """Index on the K axis."""
    spread: NDArray[np.intp]
    """Index on the P axis."""


def fastest(shape: Shape, axes: Axes, setting: Setting, counts: Counts, rows: int = ROWS) -> Fastest:
    """Find the fastest layout for every shape and batch.

    Parameters
    ----------
    shape : Shape
        Shapes, as arrays of one length.
    axes, setting, counts
        As for `chunk`.
    rows : int, optional
        Plans per chunk.

    Returns
    -------
    Fastest
        Tables of shape ``(S, G)``.

    Notes
    -----
    For one shape and one batch, tokens per step are fixed, so the fastest layout is the best under every limit on time,
    money or energy. Of equally fast layouts the first in the order of `lattice.layout_axes` is taken: fewer splits,
    smaller micro-batches, less recomputation.
    """
    number = lattice.count(shape)
    best = np.full((number, axes.batches), np.inf)
    kernel = np.zeros((number, axes.batches), dtype=np.intp)
    spread = np.zeros((number, axes.batches), dtype=np.intp)
    order = _order(shape, number)
    step_k = max(1, min(axes.kernels, rows // max(1, axes.spreads * axes.batches)))
    step_s = max(1, rows // (step_k * axes.spreads * axes.batches))
    for start_k in range(0, axes.kernels, step_k):
        part = axes.take(slice(start_k, start_k + step_k))
        for start_s in range(0, number, step_s):
            rows_s = order[start_s : start_s + step_s]
            some = lattice.shapes_on_axis(lattice.take(shape, rows_s))
            times = chunk(some, part, setting, counts)
            flat = times.reshape(*times.shape[:2], -1)
            where = np.argmin(flat, axis=2)
            found = np.take_along_axis(flat, where[:, :, None], axis=2)[:, :, 0]
            better = found < best[rows_s]
            best[rows_s] = np.where(better, found, best[rows_s])
            kernel[rows_s] = np.where(better, start_k + where // axes.spreads, kernel[rows_s])
            spread[rows_s] = np.where(better, where % axes.spreads, spread[rows_s])
    return Fastest(best, kernel, spread)


def _order(shape: Shape, number: int) -> NDArray[np.intp]:
    """Shapes of one depth and number of heads side by side: pipelines and splits that none of a chunk allows drop out."""
    heads = np.broadcast_to(shape.num_attention_heads, (number,))
    depth = np.broadcast_to(shape.num_hidden_layers, (number,))
    return np.lexsort((heads, depth))


def least_gpu_seconds_per_token(shape: Shape, axes: Axes, setting: Setting) -> Array:
    """Lower bound on accelerator seconds per token of every shape and kernel. [s]

    Returns
    -------
    array
        Of shape ``(S, K)``; infinite where the heads cannot be split so.

    Notes
    -----
    The clock of an endless step on one pipeline stage without data parallelism: no bubble, no gradient traffic, no
    optimizer. The slowest of several stages is never faster than their mean, so no plan with the same kernel is faster.
    Memory is not looked at, which only lowers the bound; nor is recomputation, which only adds work, so kernels that
    differ in it share the bound of the least.
    """
    names = ("tp", "cp", "ep", "micro_batch_size")
    rows = np.stack([getattr(axes, name) for name in names], axis=1)
    _, first, inverse = np.unique(rows, axis=0, return_index=True, return_inverse=True)
    least = replace(axes.take(first), recompute=np.full(len(first), np.min(axes.recompute)))
    endless = 1e9
    tp, cp = lattice.on_axis(least.tp, lattice.KERNEL), lattice.on_axis(least.cp, lattice.KERNEL)
    alone = least.layout().with_(pp=1.0, vp=1.0, dp=1.0, zero_stage=0.0, num_microbatches=endless)
    keep_freed_memory()
    shapes = lattice.shapes_on_axis(shape)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        seconds = np.asarray(setting.step_time(shapes, alone))
    per_token = seconds * tp * cp / (endless * alone.micro_batch_size * axes.seq_length)
    split = feasibility.divides(tp, shapes.num_attention_heads) & feasibility.divides(
        tp, shapes.intermediate_size
    )
    out = np.where(split, per_token, np.inf)
    return np.asarray(out[:, 0, :, 0][:, inverse.reshape(-1)])


def parameters(shape: Shape) -> Array:
    """Parameters of every shape of a lattice, as one column. [-]"""
    return np.atleast_1d(np.asarray(transformer.parameters(shape), dtype=float))


def active_parameters(shape: Shape) -> Array:
    """Parameters that one token passes through, as one column. [-]"""
    return np.atleast_1d(np.asarray(transformer.active_parameters(shape), dtype=float))


def layout_at(axes: Axes, kernel: int, spread: int, batch: int) -> Layout:
    """One layout as plain numbers."""
    tp, cp, pp = (float(axes.tp[kernel]), float(axes.cp[kernel]), float(axes.pp[spread]))
    dp = axes.n_gpus / (tp * cp * pp)
    micro = float(axes.micro_batch_size[kernel])
    zero = float(axes.zero_stage[spread]) if dp * cp > 1 else 0.0
    return Layout(
        tp=tp,
        cp=cp,
        ep=float(axes.ep[kernel]),
        etp=float(axes.pins.etp or 0),
        pp=pp,
        dp=dp,
        vp=float(axes.vp[spread]),
        micro_batch_size=micro,
        num_microbatches=float(axes.global_batch_size[batch]) / (micro * dp),
        seq_length=float(axes.seq_length),
        zero_stage=zero,
        shard_group=float(axes.pins.shard_group or 0),
        sequence_parallel=float(tp > 1 and axes.pins.splits_sequences),
        recompute=float(axes.recompute[kernel]),
        flash_attention=float(axes.flash_attention),
        frozen=float(axes.pins.frozen),
        quantized=float(axes.pins.quantized),
        autocast=float(axes.pins.autocast),
        update_share=axes.pins.update_share,
        schedule=float(axes.pins.schedule),
        pads_vocabulary=float(axes.pins.pads_vocabulary),
        cuda_graphs=float(axes.pins.cuda_graphs),
        fused_experts=float(axes.pins.fused_experts),
        plain_dispatch=float(axes.pins.plain_dispatch),
        expert_overlap=float(axes.pins.expert_overlap),
    )
