"""From tables to an answer: ranking, alternatives that differ, layouts of one model."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.search import evaluate, goal, lattice, planner
from simulator.search.evaluate import Counts
from simulator.search.lattice import Axes
from simulator.search.question import RESOLUTION_NATS, Limits, Question
from simulator.search.spread import rows_like_this
from simulator.search.table import Found, Plan, Table, plan_at, plan_of, single
from simulator.transformer import Shape

Array = NDArray[np.float64]

ALIKE_SIZE = 1.15
"""Sizes within this factor are alike. [-]"""

ALIKE_ASPECT = 1.4
"""Widths over depths within this factor are alike. [-]"""

CHEAP_ENOUGH = 1.02
"""Of plans within this factor of the cheapest, the fastest is taken. [-]"""

OBJECTIVES = ("loss", "cost", *goal.WORDS)
"""``loss``: lowest loss, then least money, then least time. ``cost``: of what costs little more (`CHEAP_ENOUGH`) than the
cheapest the fastest. Else a column of `goal.WORDS`, lowest first, then least money, then least time."""


def objective_of(question: Question, *, fixed: bool) -> str:
    """What a question asks to be low: its first objective; else the loss, or with model and tokens fixed the cost."""
    if question.objectives:
        return question.objectives[0]
    return "cost" if fixed and question.fixed else "loss"


@dataclass(frozen=True)
class Pool:
    """All plans of a search that run, as flat columns, best first."""

    table: NDArray[np.intp]
    shape: NDArray[np.intp]
    batch: NDArray[np.intp]
    columns: dict[str, Array]

    def __len__(self) -> int:
        return len(self.table)

    def plan(self, question: Question, found: Found, place: int) -> Plan:
        """The plan at a place."""
        return plan_at(
            question, found.tables[self.table[place]], int(self.shape[place]), int(self.batch[place])
        )


def pool(question: Question, found: Found, limits: Limits | None = None, *, objective: str = "loss") -> Pool:
    """Plans that run, ordered by an objective of `OBJECTIVES`."""
    parts: dict[str, list[Any]] = {}
    for index, table in enumerate(found.tables):
        for name, value in _entries(question, index, table, limits, objective).items():
            parts.setdefault(name, []).append(value)
    flat = {name: np.concatenate(values) for name, values in parts.items()}
    if not flat or not flat["table"].size:
        empty = np.array([], dtype=np.intp)
        return Pool(empty, empty, empty, {})
    order = np.lexsort(tuple(reversed(_keys(question, flat, objective))))
    flat = {name: values[order] for name, values in flat.items()}
    return Pool(flat.pop("table"), flat.pop("shape"), flat.pop("batch"), flat)


def _entries(
    question: Question, index: int, table: Table, limits: Limits | None, objective: str
) -> dict[str, Any]:
    columns = table.outcome(question, limits)
    keep = columns["runs"]
    if objective not in ("loss", "cost"):
        keep = keep & ~np.isnan(goal.value(question, table.figures(columns), objective))
    rows, cells = np.nonzero(keep)
    size = lattice.count(table.shape)
    entry: dict[str, Any] = {
        name: np.broadcast_to(value, keep.shape)[keep] for name, value in columns.items()
    }

    def of_shape(column: Any) -> Array:
        return np.broadcast_to(np.asarray(column, dtype=float).reshape(-1), (size,))[rows]

    return entry | {
        "params": of_shape(evaluate.parameters(table.shape)),
        "hidden_size": of_shape(table.shape.hidden_size),
        "num_hidden_layers": of_shape(table.shape.num_hidden_layers),
        "num_key_value_heads": of_shape(table.shape.num_key_value_heads),
        "n_gpus": np.full(rows.shape, float(table.axes.n_gpus)),
        "step_time_s": table.fastest.step_time_s[keep],
        "global_batch_size": table.axes.global_batch_size[cells],
        "table": np.full(rows.shape, index, dtype=np.intp),
        "shape": rows,
        "batch": cells,
    }


def _keys(question: Question, flat: dict[str, Array], objective: str) -> list[Array]:
    """Sort keys, most important first; the last make the order independent of how plans were enumerated."""
    cost = np.where(np.isnan(flat["cost_usd"]), flat["gpu_hours"], flat["cost_usd"])
    if objective == "loss":
        main = [flat["loss"], cost, flat["wall_s"]]
    elif objective != "cost":
        main = [goal.value(question, flat, objective), goal.value(question, flat, "cost_usd"), flat["wall_s"]]
    else:
        worth = cost / flat["batch_factor"]
        cheap = worth <= CHEAP_ENOUGH * np.min(worth)
        main = [~cheap, np.where(cheap, flat["wall_s"] / flat["batch_factor"], worth), flat["wall_s"]]
    names = ("params", "num_hidden_layers", "num_key_value_heads", "n_gpus", "global_batch_size")
    return [*main, *(flat[name] for name in names)]


def distinct(choices: Pool, number: int, *, start: int = 0) -> list[int]:
    """Places of plans that differ from each other in a way that matters, best first after `start`.

    Two plans are alike if they have the same number of accelerators, sizes within `ALIKE_SIZE` and widths over depths
    within `ALIKE_ASPECT`.
    """
    if not len(choices):
        return []
    size, count = np.log(choices.columns["params"]), choices.columns["n_gpus"]
    aspect = np.log(choices.columns["hidden_size"] / choices.columns["num_hidden_layers"])
    free = np.ones(len(choices), dtype=bool)
    chosen, at = [start], start
    while len(chosen) < number + 1:
        near = (np.abs(size - size[at]) < np.log(ALIKE_SIZE)) & (
            np.abs(aspect - aspect[at]) < np.log(ALIKE_ASPECT)
        )
        free &= ~(near & (count == count[at]))
        left = np.flatnonzero(free)
        if not left.size:
            break
        at = int(left[0])
        chosen.append(at)
    return chosen


SAME_LIFE = 1e-3
"""Relative difference of the cost of a life below which two plans are equally dear. [-]"""


def lifetime_first(question: Question, choices: Pool) -> int:
    """Place of the answer in a pool: the first, or with inference the cheapest over its life among equal losses.

    Plans within the resolution of the laws of loss are equals; serving then decides, which favours small models. Where a limit on
    cost makes lives equally dear, the lowest loss decides.
    """
    if not question.inference_tokens or goal.main(question) != "loss":
        return 0
    columns = choices.columns
    equal = columns["loss"] <= columns["loss"][0] + RESOLUTION_NATS
    lifetime = columns["gpu_hours"] * 3600.0 + columns["serving_s"]
    least = np.min(lifetime[equal])
    return int(np.flatnonzero(equal & (lifetime <= least * (1 + SAME_LIFE)))[0])


def rank_key(question: Question, plan: Plan, objective: str) -> tuple[float, ...]:
    """Order of plans on different machines; what costs nothing known comes last."""
    c = plan.columns
    cost = c["cost_usd"] if np.isfinite(c["cost_usd"]) else np.inf
    if np.isnan(c["wall_s"]):
        return (plan.step_time_s / plan.batch_sequences, plan.machine)
    if objective not in ("loss", "cost"):
        price = float(goal.value(question, plan.figures, "cost_usd")) if np.isfinite(cost) else np.inf
        first = price if objective == "cost_usd" else float(goal.value(question, plan.figures, objective))
        return (first, price, c["gpu_hours"] if np.isinf(price) else 0.0, c["wall_s"], plan.machine)
    if objective == "cost":
        return (cost, c["gpu_hours"] if np.isinf(cost) else 0.0, c["wall_s"], plan.machine)
    return (c["loss"], cost, c["wall_s"], plan.machine)


# --- layouts of one model -------------------------------------------------------------------------------------------


def layouts(
    question: Question,
    machine: int,
    n_gpus: int,
    shape: Shape,
    *,
    batch: float | None = None,
    number: int = 6,
) -> tuple[list[Plan], Counts]:
    """Layouts of one model, best first, one per combination of degrees, sharding and recomputation.

    Parameters
    ----------
    question, machine, n_gpus, shape
        What is asked, where, and the model.
    batch : float, optional
        Global batch; those of the question if absent. [sequences]
    number : int, optional
        Layouts wanted.

    Returns
    -------
    list of Plan, Counts
        Ordered by time per token that counts: a large batch runs faster and teaches less per token.
    """
    where = question.machines[machine]
    if batch is not None:
        question = replace(
            question, batch_in_tokens=False, pins=replace(question.pins, global_batch_size=batch)
        )
    one = single(shape)
    axes = planner.axes_for(question, where, n_gpus, one)
    counts = Counts()
    times = _all_times(one, axes, where.setting, counts)
    factor = question.learning.batch_factor(
        tokens=planner.likely_tokens(question, where, n_gpus, one),
        batch_tokens=axes.global_batch_size * question.seq_length,
    )
    worth = times / (axes.global_batch_size * factor)
    plans = []
    for kernel, spread, cell in _best_per_group(axes, worth)[:number]:
        layout = evaluate.layout_at(axes, kernel, spread, cell)
        plans.append(plan_of(question, machine, n_gpus, shape, layout, float(times[kernel, spread, cell])))
    return plans, counts


def _all_times(one: Shape, axes: Axes, setting: evaluate.Setting, counts: Counts) -> Array:
    """Step times of every layout of one model, of shape (K, P, G). [s]"""
    step = max(1, evaluate.ROWS // max(1, axes.spreads * axes.batches))
    some = lattice.shapes_on_axis(one)
    parts = [
        evaluate.chunk(some, axes.take(slice(start, start + step)), setting, counts)
        for start in range(0, axes.kernels, step)
    ]
    times = np.concatenate(parts, axis=lattice.KERNEL)
    return np.asarray(np.moveaxis(times, lattice.BATCH, -1)[0])


def _best_per_group(axes: Axes, worth: Array) -> list[tuple[int, int, int]]:
    """Best cell of every combination of degrees, sharding and recomputation, best first."""
    cell = np.argmin(worth, axis=2)
    best = np.min(worth, axis=2)
    kernel, spread = np.indices(best.shape)
    keys = np.stack(
        [
            *(getattr(axes, name)[kernel].ravel() for name in ("tp", "cp", "ep", "recompute")),
            *(getattr(axes, name)[spread].ravel() for name in ("pp", "zero_stage")),
        ],
        axis=1,
    )
    order = np.argsort(best.ravel(), kind="stable")
    order = order[np.isfinite(best.ravel()[order])]
    _, first = np.unique(keys[order], axis=0, return_index=True)
    places = order[np.sort(first)]
    return [
        (int(k), int(p), int(cell[k, p])) for k, p in zip(*np.unravel_index(places, best.shape), strict=True)
    ]


def near_layouts(question: Question, plan: Plan) -> dict[str, Any]:
    """Layouts of a plan's model and batch that the clock cannot tell from the plan's.

    Returns
    -------
    dict
        ``layouts``, ``resolution_share`` (median error of the clock on rows like this one), ``ranges`` of degrees and
        ``text``.
    """
    machine = question.machines[plan.machine]
    pinned = replace(
        question,
        batch_in_tokens=False,
        pins=replace(question.pins, global_batch_size=plan.batch_sequences),
    )
    one = single(plan.shape)
    axes = planner.axes_for(pinned, machine, plan.n_gpus, one)
    times = _all_times(one, axes, machine.setting, Counts())
    share = float(rows_like_this(question, plan)["median_error"])
    kernel, spread, _ = np.nonzero(times <= plan.step_time_s * (1.0 + share))
    if not kernel.size:
        return {}
    columns = {name: getattr(axes, name)[kernel] for name in ("tp", "cp", "ep", "micro_batch_size")}
    columns |= {name: getattr(axes, name)[spread] for name in ("pp", "vp")}
    ranges = {name: [float(np.min(values)), float(np.max(values))] for name, values in columns.items()}
    told = ", ".join(
        f"{'micro-batch' if name == 'micro_batch_size' else name} {low:g} to {high:g}"
        for name, (low, high) in ranges.items()
        if low < high
    )
    many = f"{kernel.size:,} layouts come" if kernel.size > 1 else "no other layout comes"
    text = f"{many} within {100 * share:.1f} % of the answer's step time, the clock's median error"
    return {
        "layouts": int(kernel.size),
        "resolution_share": share,
        "ranges": ranges,
        "text": f"{text}: {told}" if told else text,
    }
