"""The search: every shape with every layout, without looking at what cannot win.

For one shape and one batch the fastest layout is the best under every limit, so layouts are reduced first and the loss is
evaluated on a small table of shapes and batches. Shapes whose most hopeful outcome, from a lower bound on their time per
token, is worse than a plan already found are left out; the answer is the same as without this (tests prove it on random
lattices).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator import scaling, transformer
from simulator.layout import Layout
from simulator.scaling import batch as batch_laws
from simulator.search import evaluate, lattice
from simulator.search import question as questions
from simulator.search.evaluate import Counts, Fastest
from simulator.search.lattice import Axes
from simulator.search.question import RESOLUTION_NATS, Limits, Machine, Question
from simulator.transformer import Shape

Array = NDArray[np.float64]

BLOCK = 48
"""Shapes evaluated between two looks at the best plan so far."""

BATCH_SPAN = (0.125, 32.0)
"""Batches tried, relative to the batch that the reference law recommends for the tokens at hand. [-]"""


@dataclass(frozen=True)
class Table:
    """Fastest layouts of some shapes on one number of accelerators of one machine."""

    machine: int
    axes: Axes
    shape: Shape
    fastest: Fastest

    def outcome(self, question: Question, limits: Limits | None = None) -> dict[str, Any]:
        """Columns of `question.outcome`, of shape (S, G)."""
        return questions.outcome(
            question,
            question.machines[self.machine],
            n_gpus=self.axes.n_gpus,
            shape=self.shape,
            batch_sequences=self.axes.global_batch_size,
            step_time_s=self.fastest.step_time_s,
            limits=limits,
        )


@dataclass(frozen=True)
class Plan:
    """One shape in one layout on one machine, with what it comes to."""

    machine: int
    n_gpus: int
    shape: Shape
    layout: Layout
    step_time_s: float
    columns: dict[str, float]

    @property
    def params(self) -> float:
        """Parameters. [-]"""
        return float(transformer.parameters(self.shape))


@dataclass
class Found:
    """All that a search saw."""

    tables: list[Table] = field(default_factory=list)
    counts: Counts = field(default_factory=Counts)
    shapes_considered: int = 0
    shapes_pruned: int = 0
    """Shapes that a bound excluded; their plans are not in `counts`."""


def scalar_shape(shape: Shape, index: int) -> Shape:
    """One shape of arrays as plain numbers."""
    from dataclasses import fields

    values = {}
    for f in fields(shape):
        value = np.asarray(getattr(shape, f.name))
        number = float(value.reshape(-1)[index if value.size > 1 else 0])
        values[f.name] = int(number) if number.is_integer() else number
    return Shape(**values)


def plan_at(question: Question, table: Table, shape: int, batch: int) -> Plan:
    """The plan in one cell of a table, its columns computed as numbers."""
    fastest, axes = table.fastest, table.axes
    chosen = scalar_shape(table.shape, shape)
    layout = evaluate.layout_at(axes, int(fastest.kernel[shape, batch]), int(fastest.spread[shape, batch]), batch)
    return plan_of(question, table.machine, axes.n_gpus, chosen, layout, float(fastest.step_time_s[shape, batch]))


def plan_of(question: Question, machine: int, n_gpus: int, shape: Shape, layout: Layout, step_time_s: float) -> Plan:
    """A plan from a shape and a layout."""
    sequences = layout.micro_batch_size * layout.num_microbatches * layout.dp
    columns = questions.outcome(
        question,
        question.machines[machine],
        n_gpus=n_gpus,
        shape=shape,
        batch_sequences=sequences,
        step_time_s=step_time_s,
    )
    return Plan(machine, n_gpus, shape, layout, step_time_s, {k: float(v) for k, v in columns.items()})


# --- batches --------------------------------------------------------------------------------------------------------


def batches(question: Question, machine: Machine, n_gpus: int, shape: Shape) -> list[float]:
    """Global batches to try on one number of accelerators. [sequences]"""
    if question.pins.global_batch_size is not None:
        return [float(question.pins.global_batch_size)]
    tokens = likely_tokens(question, machine, n_gpus, shape)
    middle = float(batch_laws.recommended_batch_tokens(law=questions.REFERENCE_BATCH_LAW, tokens=tokens)) / question.seq_length
    high = max(middle * BATCH_SPAN[1], float(n_gpus))
    return lattice.batch_sizes(n_gpus=n_gpus, low=middle * BATCH_SPAN[0], high=high)


def likely_tokens(question: Question, machine: Machine, n_gpus: int, shape: Shape) -> float:
    """Order of magnitude of the tokens of a run, to centre the batches on. [tokens]"""
    if question.tokens is not None:
        return question.tokens
    smallest, largest = float(np.min(transformer.parameters(shape))), float(np.max(transformer.parameters(shape)))
    cap, _ = questions.wall_limit_s(question, machine, n_gpus, np.asarray(smallest), question.limits)
    seconds = float(cap) if np.isfinite(cap) and float(cap) > 0 else 30 * 86400.0
    compute = 0.4 * machine.setting.device.peak_flops * n_gpus * seconds
    best = compute / (6.0 * smallest)
    if largest > 2 * smallest:
        params, best = scaling.optimal(scaling.DEFAULT, compute)
        best = compute / (6.0 * float(np.clip(params, smallest, largest)))
    return max(best, 1e6)


def axes_for(question: Question, machine: Machine, n_gpus: int, shape: Shape) -> Axes:
    """Layouts to try on one number of accelerators."""
    domain = int(min(machine.setting.device.link_domain, max(machine.node_size, machine.setting.device.link_domain)))
    return lattice.layout_axes(
        n_gpus=n_gpus,
        link_domain=domain,
        shape=shape,
        seq_length=question.seq_length,
        batches=batches(question, machine, n_gpus, shape),
        pins=question.pins,
        flash_attention=question.flash_attention,
        zero_stages=question.zero_stages,
        interleave=question.interleave,
    )


# --- search ---------------------------------------------------------------------------------------------------------


def search(question: Question, shape: Shape, *, machine: int = 0, prune: bool = True, margin: float = RESOLUTION_NATS) -> Found:
    """Evaluate shapes on one machine and all its numbers of accelerators.

    Parameters
    ----------
    question : Question
        What is asked.
    shape : Shape
        Shapes, as arrays of one length.
    machine : int, optional
        Index into the question's machines.
    prune : bool, optional
        Leave out shapes that cannot come within `margin` of the best.
    margin : float, optional
        Loss within which plans are kept, for the alternatives. [nats/token]

    Returns
    -------
    Found
    """
    found = Found()
    best = np.inf
    for n_gpus in question.machines[machine].counts:
        best = _search_count(question, shape, machine, n_gpus, found, best if prune else None, margin)
    return found


def _search_count(
    question: Question, shape: Shape, machine: int, n_gpus: int, found: Found, best: float | None, margin: float
) -> float:
    """Search one number of accelerators; returns the best loss so far."""
    where = question.machines[machine]
    axes = axes_for(question, where, n_gpus, shape)
    number = lattice.count(shape)
    found.shapes_considered += number
    if best is None or number == 1 or not question.bounded:
        _add(question, found, Table(machine, axes, shape, evaluate.fastest(shape, axes, where.setting, found.counts)))
        return np.inf
    hopeful = hopeful_loss(question, where, n_gpus, shape, axes)
    per_shape = np.min(hopeful, axis=1)
    order = np.argsort(per_shape, kind="stable")
    for start in range(0, number, BLOCK):
        rows = order[start : start + BLOCK]
        rows = rows[per_shape[rows] <= best + margin]
        if not rows.size:
            found.shapes_pruned += number - start
            break
        kernels = np.flatnonzero(np.any(hopeful[rows] <= best + margin, axis=0))
        some, part = lattice.take(shape, np.sort(rows)), axes.take(kernels)
        found.shapes_pruned += min(BLOCK, number - start) - rows.size
        table = Table(machine, part, some, evaluate.fastest(some, part, where.setting, found.counts))
        best = min(best, _add(question, found, table))
    return best


def _add(question: Question, found: Found, table: Table) -> float:
    """Keep a table; returns its lowest loss."""
    columns = table.outcome(question)
    slow = np.isfinite(table.fastest.step_time_s) & ~columns["runs"]
    found.counts.add("time", int(np.count_nonzero(slow)))
    found.tables.append(table)
    losses = columns["loss"][columns["runs"]]
    return float(np.min(losses)) if losses.size else float("inf")


def hopeful_loss(question: Question, machine: Machine, n_gpus: int, shape: Shape, axes: Axes) -> Array:
    """Lower bound on the loss of every shape and kernel, of shape (S, K). [nats/token]

    The tokens that the bound on time allows, at a batch that costs nothing.
    """
    per_token = evaluate.least_gpu_seconds_per_token(shape, axes, machine.setting)
    active = np.broadcast_to(evaluate.active_parameters(shape)[:, None], per_token.shape)
    cap, _ = questions.wall_limit_s(question, machine, n_gpus, active, question.limits)
    useful = cap * question.goodput_of(n_gpus) * n_gpus
    with np.errstate(divide="ignore", invalid="ignore"):
        most = useful / per_token
        if question.tokens is not None:
            tokens = np.full_like(most, question.tokens)
        elif question.steps is not None:
            tokens = np.full_like(most, question.steps * float(np.max(axes.global_batch_size)) * question.seq_length)
        else:
            tokens = most
        ends = (most >= question.tokens) if question.tokens is not None else (most > 0)
        loss = question.learning.loss(questions._columns(shape), tokens=np.maximum(tokens, 1.0))
    return np.where(ends & ~np.isnan(cap), loss, np.inf)


# --- choice ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Pool:
    """All plans of a search as flat columns, best first."""

    table: NDArray[np.intp]
    shape: NDArray[np.intp]
    batch: NDArray[np.intp]
    columns: dict[str, Array]

    def __len__(self) -> int:
        return len(self.table)


def pool(question: Question, found: Found, limits: Limits | None = None, *, objective: str = "loss") -> Pool:
    """Plans that run, ordered by the objective.

    ``loss``: lowest loss, then lowest cost, then least time. ``cost``: least money (or accelerator time) per token that
    counts, then time. ``time``: least time per token that counts.
    """
    parts: dict[str, list[Any]] = {}
    for index, table in enumerate(found.tables):
        columns = table.outcome(question, limits)
        keep = columns["runs"]
        rows, cells = np.nonzero(keep)
        entry: dict[str, Any] = {name: np.broadcast_to(value, keep.shape)[keep] for name, value in columns.items()}
        entry |= {
            "params": evaluate.parameters(table.shape)[rows if lattice.count(table.shape) > 1 else rows * 0],
            "hidden_size": np.asarray(table.shape.hidden_size, dtype=float).reshape(-1)[rows],
            "num_hidden_layers": np.asarray(table.shape.num_hidden_layers, dtype=float).reshape(-1)[rows],
            "n_gpus": np.full(rows.shape, float(table.axes.n_gpus)),
            "step_time_s": table.fastest.step_time_s[keep],
            "global_batch_size": table.axes.global_batch_size[cells],
            "table": np.full(rows.shape, index),
            "shape": rows,
            "batch": cells,
        }
        for name, value in entry.items():
            parts.setdefault(name, []).append(value)
    if not parts:
        empty = np.array([], dtype=np.intp)
        return Pool(empty, empty, empty, {})
    flat = {name: np.concatenate(values) for name, values in parts.items()}
    order = np.lexsort(tuple(reversed(_keys(flat, objective, found))))
    flat = {name: values[order] for name, values in flat.items()}
    return Pool(flat.pop("table"), flat.pop("shape"), flat.pop("batch"), flat)


def _keys(flat: dict[str, Array], objective: str, found: Found) -> list[Array]:
    """Sort keys, most important first; the last make the order independent of how plans were enumerated."""
    cost = np.where(np.isnan(flat["cost_usd"]), flat["gpu_hours"], flat["cost_usd"])
    if objective == "loss":
        main = [flat["loss"], cost, flat["wall_s"]]
    elif objective == "cost":
        main = [cost / flat["batch_factor"], flat["wall_s"]]
    else:
        main = [flat["step_time_s"] / flat["global_batch_size"] / flat["batch_factor"]]
    return [*main, flat["params"], flat["num_hidden_layers"], flat["n_gpus"], flat["global_batch_size"]]


def select(question: Question, found: Found, choices: Pool, index: int) -> Plan:
    """The plan at a place of a pool."""
    return plan_at(question, found.tables[choices.table[index]], int(choices.shape[index]), int(choices.batch[index]))


def distinct(choices: Pool, number: int, *, start: int = 0) -> list[int]:
    """Places of plans that differ from each other in a way that matters, best first.

    Two plans are alike if they have the same number of accelerators, sizes within 15 % and widths over depths within a
    factor of 1.4.
    """
    if not len(choices):
        return []
    size, count = np.log(choices.columns["params"]), choices.columns["n_gpus"]
    aspect = np.log(choices.columns["hidden_size"] / choices.columns["num_hidden_layers"])
    free = np.ones(len(choices), dtype=bool)
    chosen: list[int] = []
    at = start
    while len(chosen) < number + 1:
        chosen.append(at)
        near = (np.abs(size - size[at]) < np.log(1.15)) & (np.abs(aspect - aspect[at]) < np.log(1.4)) & (count == count[at])
        free &= ~near
        left = np.flatnonzero(free)
        if not left.size:
            break
        at = int(left[0])
    return chosen


def layouts(question: Question, machine: int, n_gpus: int, shape: Shape, batch: float | None = None) -> tuple[list[Plan], Counts]:
    """Layouts of one model, fastest first, one per combination of degrees, sharding and recomputation."""
    where = question.machines[machine]
    pinned = question if batch is None else replace(question, pins=replace(question.pins, global_batch_size=batch))
    one = single(shape)
    axes = axes_for(pinned, where, n_gpus, one)
    counts = Counts()
    pieces, step = [], max(1, evaluate.ROWS // max(1, axes.spreads * axes.batches))
    for start in range(0, axes.kernels, step):
        part = axes.take(slice(start, start + step))
        pieces.append(evaluate.chunk(lattice.shapes_on_axis(one), part, where.setting, counts)[0])
    times = np.concatenate(pieces)
    factor = pinned.learning.batch_factor(
        tokens=likely_tokens(pinned, where, n_gpus, one), batch_tokens=axes.global_batch_size * pinned.seq_length
    )
    worth = times / (axes.global_batch_size * factor)
    order = np.argsort(worth, axis=None, kind="stable")
    seen: set[tuple[float, ...]] = set()
    out: list[Plan] = []
    for flat in order[: 50_000]:
        kernel, spread, cell = (int(i) for i in np.unravel_index(flat, times.shape))
        if not np.isfinite(times[kernel, spread, cell]):
            break
        layout = evaluate.layout_at(axes, kernel, spread, cell)
        key = (layout.tp, layout.pp, layout.cp, layout.ep, layout.zero_stage, layout.recompute)
        if key in seen:
            continue
        seen.add(key)
        out.append(plan_of(pinned, machine, n_gpus, shape, layout, float(times[kernel, spread, cell])))
        if len(out) > pinned.max_alternatives + 1:
            break
    return out, counts


def single(shape: Shape) -> Shape:
    """A model as arrays of length one."""
    changes = {
        name: np.atleast_1d(np.asarray(getattr(shape, name), dtype=float)) for name in ("hidden_size", "num_hidden_layers")
    }
    return replace(shape, **changes)


def lifetime_first(question: Question, choices: Pool) -> int:
    """Place of the answer in a pool: the first, or with inference the cheapest over its life among equals.

    Plans within the resolution of the laws of loss are equals; serving then decides, which favours small models.
    """
    if not question.inference_tokens:
        return 0
    columns = choices.columns
    equal = columns["loss"] <= columns["loss"][0] + RESOLUTION_NATS
    lifetime = columns["gpu_hours"] * 3600.0 + columns["serving_s"]
    return int(np.argmin(np.where(equal, lifetime, np.inf)))


def rank_key(question: Question, plan: Plan, objective: str) -> tuple[float, ...]:
    """Order of plans on different machines."""
    c = plan.columns
    cost = c["cost_usd"] if np.isfinite(c["cost_usd"]) else np.inf
    if objective == "cost":
        return (cost, c["gpu_hours"] if np.isinf(cost) else 0.0, c["wall_s"], plan.machine)
    return (c["loss"], cost, c["wall_s"], plan.machine)
