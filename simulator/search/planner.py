"""The search: every shape with every layout, without looking at what cannot win.

For one shape and one batch the fastest layout is the best under every limit, so layouts are reduced first and the loss is
evaluated on a small table of shapes and batches. Shapes whose most hopeful outcome, from a lower bound on their time per
token, is worse than a plan already found are left out; the answer is the same as without this (tests prove it on random
lattices).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from simulator import scaling, transformer
from simulator.scaling import batch as batch_laws
from simulator.search import evaluate, goal, lattice, numbers, quality
from simulator.search import question as questions
from simulator.search.lattice import Axes
from simulator.search.question import Machine, Question
from simulator.search.table import Found, Table
from simulator.transformer import Shape

Array = NDArray[np.float64]

BLOCK = 48
"""Shapes evaluated between two looks at the best plan so far."""

TIE = 1e-9
"""Slack of comparisons between a bound and a loss, which are computed in different orders. [nats/token]"""

PROBE = 6
"""Shapes evaluated on every number of accelerators before the rest."""

BATCH_SPAN = (0.125, 32.0)
"""Batches tried, relative to the batch that the reference law recommends for the tokens at hand. [-]"""

BATCH_TOLERANCE = 0.05
"""A batch written in tokens may be rounded by this much to one that the devices divide. [-]"""


# --- batches and layouts --------------------------------------------------------------------------------------------


def batches(question: Question, machine: Machine, n_gpus: int, shape: Shape) -> list[float]:
    """Global batches to try on one number of accelerators. [sequences]"""
    pinned = question.pins.global_batch_size
    if pinned is not None:
        return near_batches(pinned, n_gpus) if question.batch_in_tokens else [float(pinned)]
    tokens = likely_tokens(question, machine, n_gpus, shape)
    best = float(batch_laws.recommended_batch_tokens(law=questions.REFERENCE_BATCH_LAW, tokens=tokens))
    middle = best / question.seq_length
    high = max(middle * BATCH_SPAN[1], float(n_gpus))
    return lattice.batch_sizes(n_gpus=n_gpus, low=middle * BATCH_SPAN[0], high=high)


def near_batches(sequences: float, n_gpus: int, tolerance: float = BATCH_TOLERANCE) -> list[float]:
    """Batches near one that was written in tokens, each a multiple of a larger divisor of the accelerators. [sequences]

    Examples
    --------
    >>> near_batches(977, 1024)
    [960.0, 976.0, 977.0, 992.0, 1024.0]
    """
    near = {float(sequences)}
    for divisor in lattice.divisors(n_gpus, int(max(1.0, sequences))):
        rounded = max(1.0, float(np.round(sequences / divisor))) * divisor
        if abs(rounded / sequences - 1) <= tolerance:
            near.add(rounded)
    return sorted(near)


def likely_tokens(question: Question, machine: Machine, n_gpus: int, shape: Shape) -> float:
    """Order of magnitude of the tokens of a run, to centre the batches on. [tokens]"""
    if question.tokens is not None:
        return question.tokens
    sizes = transformer.active_parameters(shape)
    if question.shortest and not question.limits.given:
        needed = needed_tokens(question, shape)
        known = needed[np.isfinite(needed)]
        return float(np.exp(np.median(np.log(known)))) if known.size else 1e9
    smallest, largest = float(np.min(sizes)), float(np.max(sizes))
    cap, _ = questions.wall_limit_s(question, machine, n_gpus, np.asarray(smallest), question.limits)
    seconds = float(cap) if np.isfinite(cap) and float(cap) > 0 else 30 * 86400.0
    compute = 0.4 * float(machine.setting.device.peak_flops) * n_gpus * seconds
    params = smallest
    if largest > 2 * smallest:
        best, _ = scaling.optimal(scaling.DEFAULT, compute)
        params = float(np.clip(best, smallest, largest))
    return max(compute / (6.0 * params), 1e6)


def axes_for(question: Question, machine: Machine, n_gpus: int, shape: Shape) -> Axes:
    """Layouts to try on one number of accelerators."""
    return lattice.layout_axes(
        n_gpus=n_gpus,
        link_domain=int(machine.setting.device.link_domain),
        shape=shape,
        seq_length=question.seq_length,
        batches=batches(question, machine, n_gpus, shape),
        pins=question.pins,
        flash_attention=question.flash_attention,
        selective=machine.setting.selective_drops,
        zero_stages=question.zero_stages,
        interleave=question.interleave,
    )


# --- search ---------------------------------------------------------------------------------------------------------


@dataclass
class Front:
    """Shapes still to look at on one number of accelerators, most hopeful first."""

    axes: Axes
    per_token: Array
    """Least accelerator seconds per token of every shape and kernel, (S, K). [s]"""
    bound: Array
    """Lowest score that a shape can have, (S)."""
    order: NDArray[np.intp]
    needed: Array | None = None
    """Fewest tokens that are good enough, (S, 1), where the run ends there. [tokens]"""
    done: int = 0

    @property
    def next_bound(self) -> float:
        """Bound of the next shape."""
        return float(self.bound[self.order[self.done]]) if self.done < len(self.order) else np.inf


def search(
    question: Question,
    shape: Shape,
    *,
    machine: int = 0,
    prune: bool = True,
    margin: float | None = None,
) -> Found:
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
        Leave out shapes that cannot be best; on the number of accelerators that is best, those that cannot come within
        `margin` of it.
    margin : float, optional
        Score within which plans are kept, for the alternatives; what the law of loss cannot resolve if absent.

    Returns
    -------
    Found
    """
    found, where = Found(), question.machines[machine]
    if prune and goal.main(question) == "n_gpus":
        return _fewest(question, shape, machine, margin)
    margin = goal.margin(question) if margin is None else margin
    number = lattice.count(shape)
    found.shapes_considered = number * len(where.counts)
    if not prune or number == 1 or not question.bounded:
        for n_gpus in where.counts:
            axes = axes_for(question, where, n_gpus, shape)
            _add(
                question,
                found,
                Table(machine, axes, shape, evaluate.fastest(shape, axes, where.setting, found.counts)),
            )
        return found
    known: dict[tuple[float, ...], Array] = {}
    needed = needed_tokens(question, shape) if question.shortest else None
    fronts = [front(question, where, n_gpus, shape, known, needed) for n_gpus in where.counts]
    fronts.sort(key=lambda one: (one.next_bound, one.axes.n_gpus))
    best, home = np.inf, fronts[0]
    for most in (PROBE, number):
        for one in fronts:
            lowest = _advance(question, machine, shape, one, found, best, margin=0.0, keep=margin, most=most)
            if lowest < best:
                best, home = lowest, one
    _advance(question, machine, shape, home, found, best, margin=margin, keep=margin, most=number)
    found.shapes_pruned = sum(number - one.done for one in fronts)
    return found


def _fewest(question: Question, shape: Shape, machine: int, margin: float | None) -> Found:
    """Search one number of accelerators after the other, fewest first, until a plan runs; then the nodes below it.

    Of one model every number of nodes between the last two is looked at, and those passed over before, from below; of many shapes
    they are halved again and again.
    """
    total, few = Found(), 0
    for enough in sorted(question.machines[machine].counts):
        if _runs_on(question, shape, machine, enough, margin, total):
            break
        few = enough
    else:
        return total
    nodes = numbers.between(few, enough, question.machines[machine].node_size) if few else []
    one = lattice.count(shape) == 1
    if one:
        nodes = [*numbers.passed_over(few, enough, question.machines[machine].node_size), *nodes]
    while nodes:
        place = 0 if one else len(nodes) // 2
        if _runs_on(question, shape, machine, nodes[place], margin, total):
            nodes = nodes[:place]
        else:
            nodes = nodes[place + 1 :]
    return total


def _runs_on(
    question: Question, shape: Shape, machine: int, n_gpus: int, margin: float | None, total: Found
) -> bool:
    """Search the cheapest plan on one number of accelerators, add it to what was found, and say whether one runs."""
    machines = list(question.machines)
    machines[machine] = replace(machines[machine], counts=(n_gpus,))
    cheapest = replace(question, machines=tuple(machines), objectives=("cost_usd",))
    found = search(cheapest, shape, machine=machine, margin=margin)
    total.merge(found)
    total.tables += found.tables
    return any(np.any(table.outcome(question)["runs"]) for table in found.tables)


def _advance(
    question: Question,
    machine: int,
    shape: Shape,
    one: Front,
    found: Found,
    best: float,
    *,
    margin: float,
    keep: float,
    most: int,
) -> float:
    """Evaluate the next shapes of a front while they may come within `margin` of the best; returns the best score."""
    where, end = question.machines[machine], min(len(one.order), one.done + most)
    while one.done < end and one.next_bound <= best + margin + TIE and np.isfinite(one.next_bound):
        rows = one.order[one.done : min(one.done + BLOCK, end)]
        rows = rows[one.bound[rows] <= best + margin + TIE]
        one.done += len(rows)
        some = lattice.take(shape, np.sort(rows))
        needed = None if one.needed is None else one.needed[np.sort(rows)]
        hopeful = score_bound(question, where, some, one.axes, one.per_token[np.sort(rows)], needed)
        part = one.axes.take(np.flatnonzero(np.any(hopeful <= best + keep + TIE, axis=0)))
        if part.kernels:
            table = Table(machine, part, some, evaluate.fastest(some, part, where.setting, found.counts))
            best = min(best, _add(question, found, table))
    return best


def _add(question: Question, found: Found, table: Table) -> float:
    """Keep a table; returns its lowest score."""
    columns = table.outcome(question)
    lost = np.isfinite(table.fastest.step_time_s) & ~columns["runs"]
    slow, poor = lost & ~columns["quick"], lost & columns["quick"] & ~columns["good"]
    found.counts.add("latency", int(np.count_nonzero(slow)))
    found.counts.add("quality", int(np.count_nonzero(poor)))
    found.counts.add("time", int(np.count_nonzero(lost & ~slow & ~poor)))
    found.tables.append(table)
    scores = goal.score(question, table.figures(columns), goal.main(question))[columns["runs"]]
    scores = scores[~np.isnan(scores)]
    return float(np.min(scores)) if scores.size else float("inf")


def front(
    question: Question,
    machine: Machine,
    n_gpus: int,
    shape: Shape,
    known: dict[tuple[float, ...], Array] | None = None,
    needed: Array | None = None,
) -> Front:
    """Order shapes by the lowest score that they can have.

    The bound on their time does not depend on the number of accelerators: `known` keeps its columns by kernel.
    """
    axes = axes_for(question, machine, n_gpus, shape)
    known = {} if known is None else known
    rows = [
        tuple(float(getattr(axes, name)[k]) for name in lattice.KERNEL_FIELDS) for k in range(axes.kernels)
    ]
    fresh = [k for k, row in enumerate(rows) if row not in known]
    if fresh:
        least = evaluate.least_gpu_seconds_per_token(shape, axes.take(np.array(fresh)), machine.setting)
        known |= {rows[k]: least[:, place] for place, k in enumerate(fresh)}
    per_token = np.stack([known[row] for row in rows], axis=1)
    least = np.min(per_token, axis=1, keepdims=True)
    bound = score_bound(question, machine, shape, axes, least, needed)[:, 0]
    return Front(axes, per_token, bound, np.argsort(bound, kind="stable"), needed)


def needed_tokens(question: Question, shape: Shape) -> Array:
    """Lower bound on the tokens after which shapes are good enough, of shape (S, 1). [tokens]"""
    least = quality.least_tokens(question.learning, question.qualities, questions.columns_of(shape))
    return least * (1 - quality.ROUNDING)


def score_bound(
    question: Question,
    machine: Machine,
    shape: Shape,
    axes: Axes,
    per_token: Array,
    needed: Array | None = None,
    *,
    name: str | None = None,
) -> Array:
    """Lower bound on the score of an objective (the first if `name` is absent), of the shape of `per_token`: (S, K).

    From the tokens that the bound on time allows, or the time that the wanted tokens take, at a batch that costs
    nothing. Infinite where the run cannot end within the limits, or not be good enough.
    """
    name = goal.main(question) if name is None else name
    columns = questions.columns_of(shape)
    active = np.broadcast_to(evaluate.active_parameters(shape)[:, None], per_token.shape)
    cap, _ = questions.wall_limit_s(question, machine, axes.n_gpus, active, question.limits)
    share = question.goodput_of(axes.n_gpus, machine)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        most = cap * share * axes.n_gpus / per_token
        fewest, largest, ends = _token_range(question, axes, most, needed)
        latency = questions.latency_s(question, machine, columns)
        ends = ends & questions.quick_enough(question, latency)
        if not question.shortest:
            for q in question.qualities:
                best = q.bound(question.learning, columns, np.maximum(largest, 1.0))
                ends = ends & (best <= q.limit * (1 + 2 * quality.ROUNDING))
        if name == "loss":
            score = question.learning.loss_bound(columns, tokens=np.maximum(largest, 1.0))
        elif name == "accuracy_loss":
            judged = next(q for q in question.qualities if q.name == quality.first_task(question.qualities))
            score = judged.bound(question.learning, columns, np.maximum(largest, 1.0))
        else:
            # Scale of one accelerator-second, so that every column follows from the least of them.
            hours = fewest * per_token / share / 3600.0
            figures = figures_of(question, machine, axes, hours, active) | {
                "tokens": fewest + 0.0 * hours,
                "params": np.broadcast_to(evaluate.parameters(shape)[:, None], per_token.shape),
                "latency_s": np.broadcast_to(latency, per_token.shape),
            }
            score = goal.score(question, figures, name)
    return np.where(ends & np.isfinite(per_token) & ~np.isnan(cap), score, np.inf)


def _token_range(
    question: Question, axes: Axes, most: Array, needed: Array | None
) -> tuple[Array, Array, NDArray[np.bool_]]:
    """Fewest and most tokens that a run may have, and whether it may end within the limits."""
    if question.tokens is not None:
        tokens = np.full_like(most, question.tokens)
        return tokens, tokens, most >= question.tokens
    if question.steps is not None:
        sizes = question.steps * axes.global_batch_size * question.seq_length
        low, high = np.full_like(most, float(np.min(sizes))), np.full_like(most, float(np.max(sizes)))
        return low, high, most >= low
    if question.shortest:
        if needed is None:
            raise ValueError("a search that ends at a quality needs the tokens that reach it")
        tokens = np.broadcast_to(needed, most.shape)
        return tokens, tokens, np.isfinite(tokens) & (most >= tokens)
    return np.zeros_like(most), most, most > 0


def figures_of(
    question: Question, machine: Machine, axes: Axes, hours: Array, active: Array
) -> dict[str, Array | float]:
    """Columns that follow from accelerator-hours, at a batch that teaches as much as any; ``hours`` sets their size."""
    wall = hours * 3600.0 / axes.n_gpus
    power = np.nan if machine.power_per_gpu_w is None else machine.power_per_gpu_w
    grid = np.nan if machine.grid_g_per_kwh is None else machine.grid_g_per_kwh
    price = np.nan if machine.usd_per_gpu_hour is None else machine.usd_per_gpu_hour
    return {
        "gpu_hours": hours,
        "wall_s": wall,
        "cost_usd": hours * price,
        "energy_j": hours * 3600.0 * power,
        "co2e_kg": hours * power * grid * 1e-6,
        "n_gpus": np.full_like(hours, float(axes.n_gpus)),
        "batch_factor": 1.0,
        "serving_s": questions.serving_s(question, machine, active),
    }
