"""Several objectives at once: the plans that no other plan beats in all of them.

With the loss (or an accuracy) among the objectives the length of a run is one more choice: it may spend all of its limits,
or a share of them (`SHARES`). Without, a run ends where its tokens or its quality are reached. The front is exact on that
lattice: a shape is left out only where plans already found beat the least that its bounds allow, in every objective.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.search import choice, evaluate, goal, lattice, planner, quality
from simulator.search import question as questions
from simulator.search.planner import BLOCK, Front
from simulator.search.question import Machine, Question
from simulator.search.table import Found, Plan, Table, plan_at
from simulator.transformer import Shape

Array = NDArray[np.float64]

SHARES = 2.0 ** (-np.arange(13) / 2.0)
"""Shares of the limits that a run may spend: all, and twelve times a factor of the root of two less. [-]"""

SAME = 1e-9
"""Relative difference up to which two values of an objective are equal. [-]"""


def questions_of(question: Question) -> list[Question]:
    """The question at every share of its limits; itself where a run has an end of its own."""
    if question.fixed or not quality.BETTER_WITH_TOKENS & set(question.objectives):
        return [question]
    limits = question.limits
    return [
        replace(question, limits=limits.scaled(**dict.fromkeys(limits.given, float(share))), spend_all=True)
        for share in SHARES
    ]


def search(
    question: Question, shape: Shape, *, machine: int = 0, prune: bool = True
) -> tuple[Found, list[Plan]]:
    """Plans on one machine that no other beats in all objectives, in order of the first.

    Parameters
    ----------
    question : Question
        With two objectives or more.
    shape : Shape
        Shapes, as arrays of one length.
    machine : int, optional
        Index into the question's machines.
    prune : bool, optional
        Leave out shapes that cannot be on the front.
    """
    where, levels = question.machines[machine], questions_of(question)
    found, number = Found(), lattice.count(shape)
    found.shapes_considered = number * len(where.counts)
    needed = planner.needed_tokens(question, shape) if question.shortest else None
    known: dict[tuple[float, ...], Array] = {}
    first = replace(levels[0], objectives=(_sorted_by(question),))
    fronts = [planner.front(first, where, n, shape, known, needed) for n in where.counts]
    archive: list[tuple[Array, tuple[int, int, int, int]]] = []
    points = np.empty((0, len(question.objectives)))
    for one in sorted(fronts, key=lambda each: (each.next_bound, each.axes.n_gpus)):
        bounds = [_bounds(level, where, one, shape) for level in levels] if prune else []
        for start in range(0, number, BLOCK):
            rows = np.sort(one.order[start : start + BLOCK])
            if prune:
                rows = rows[_hopeful([each[rows] for each in bounds], points)]
            if not rows.size:
                continue
            found.shapes_pruned -= len(rows)
            some = lattice.take(shape, rows)
            table = Table(
                machine, one.axes, some, evaluate.fastest(some, one.axes, where.setting, found.counts)
            )
            found.tables.append(table)
            archive = _keep(archive, _points(levels, table, len(found.tables) - 1))
            points = np.stack([point for point, _ in archive]) if archive else points
    found.shapes_pruned += found.shapes_considered
    return found, [_plan(levels, found, place) for _, place in archive]


def _sorted_by(question: Question) -> str:
    """The objective by whose bound shapes are looked at: the loss, whose winners beat most."""
    better = [name for name in question.objectives if name in quality.BETTER_WITH_TOKENS]
    return better[0] if better else question.objectives[0]


def _hopeful(bounds: list[Array], points: Array) -> NDArray[np.bool_]:
    """Which shapes may have a plan that none of the points beats, from their bounds at every share of the limits."""
    hope = np.zeros(len(bounds[0]), dtype=bool)
    for each in bounds:
        runs = np.all(np.isfinite(each), axis=1)
        hope |= runs & ~_beaten(each, points)
    return hope


def _bounds(level: Question, machine: Machine, one: Front, shape: Shape) -> Array:
    """Lower bounds on the scores of all objectives at one share of the limits, one row per shape."""
    least = np.min(one.per_token, axis=1, keepdims=True)

    def bound(name: str) -> Array:
        return planner.score_bound(level, machine, shape, one.axes, least, one.needed, name=name)[:, 0]

    first = _sorted_by(level)
    known, columns = bound(first), []
    for name in level.objectives:
        if name in goal.SPENT and level.spend_all:
            columns.append(_spent(level, machine, one, shape, name, known))
        else:
            columns.append(known if name == first else bound(name))
    return np.stack(columns, axis=1)


def _spent(level: Question, machine: Machine, one: Front, shape: Shape, name: str, score: Array) -> Array:
    """What a run that spends its limits takes, however fast it is: as long as they allow; infinite where it has no score."""
    active = evaluate.active_parameters(shape)
    wall, _ = questions.wall_limit_s(level, machine, one.axes.n_gpus, active, level.limits)
    hours = np.maximum(wall, 0.0) * one.axes.n_gpus / 3600.0
    with np.errstate(divide="ignore", invalid="ignore"):
        spent = goal.score(level, planner.figures_of(level, machine, one.axes, hours, active), name)
    return np.where(np.isfinite(score), spent, np.inf)


def _beaten(bounds: Array, points: Array) -> NDArray[np.bool_]:
    """Which rows some point beats: nowhere worse, and somewhere better by more than rounding."""
    if not len(points):
        return np.zeros(len(bounds), dtype=bool)
    with np.errstate(invalid="ignore"):
        slack = SAME * np.maximum(1.0, np.where(np.isfinite(bounds), np.abs(bounds), 0.0))
        no_worse = np.all(points[None] <= (bounds + slack)[:, None], axis=2)
        better = np.any(points[None] < (bounds - slack)[:, None], axis=2)
    return np.asarray(np.any(no_worse & better, axis=1))


Entry = tuple[Array, tuple[int, int, int, int]]


def _points(levels: list[Question], table: Table, index: int) -> list[Entry]:
    """Scores of all plans of a table, with where they are: level, table, shape, batch."""
    out: list[Entry] = []
    for place, level in enumerate(levels):
        columns = table.figures(table.outcome(level))
        scores = np.stack([goal.score(level, columns, name) for name in level.objectives], axis=-1)
        keep = columns["runs"] & np.all(np.isfinite(scores), axis=-1)
        rows, cells = np.nonzero(keep)
        out += [
            (score, (place, index, int(s), int(g)))
            for score, s, g in zip(scores[keep], rows, cells, strict=True)
        ]
    return _keep([], out)


def _keep(archive: list[Entry], fresh: list[Entry]) -> list[Entry]:
    """Entries that no other beats, in order of their scores; of equal ones the first."""
    every = sorted([*archive, *fresh], key=lambda entry: (*entry[0], entry[1]))
    if not every:
        return []
    points = np.stack([point for point, _ in every])
    kept = front_of(points)
    return [every[place] for place in kept]


def front_of(points: Array) -> list[int]:
    """Places of the points that no other beats, of points in lexicographic order; of equal ones the first.

    Examples
    --------
    >>> front_of(np.array([[1.0, 5.0], [2.0, 4.0], [2.0, 4.0], [3.0, 4.5], [4.0, 1.0]]))
    [0, 1, 4]
    """
    kept: list[int] = []
    alive = np.arange(len(points))
    while alive.size:
        first = int(alive[0])
        kept.append(first)
        slack = SAME * np.maximum(1.0, np.abs(points[first]))
        alive = alive[1:]
        alive = alive[np.any(points[alive] < points[first] - slack, axis=1)]
    # What is first by less than rounding may still be beaten by a later one.
    beaten = _beaten(points[kept], points[kept])
    return [place for place, lost in zip(kept, beaten, strict=True) if not lost]


def _plan(levels: list[Question], found: Found, place: tuple[int, int, int, int]) -> Plan:
    level, table, shape, batch = place
    return plan_at(levels[level], found.tables[table], shape, batch)


def merge(question: Question, plans: list[Plan]) -> list[Plan]:
    """The plans of several machines that no other beats, in order of the first objective."""
    scored = [
        (tuple(float(goal.score(question, plan.figures, name)) for name in question.objectives), plan)
        for plan in plans
    ]
    scored.sort(key=lambda pair: (*pair[0], choice.rank_key(question, pair[1], question.objectives[0])))
    if not scored:
        return []
    return [scored[place][1] for place in front_of(np.array([score for score, _ in scored]))]


def best_of_machines(question: Question, plans: list[Plan]) -> list[Plan]:
    """Of every machine on a front the plan that is best in the first objective."""
    best: dict[int, Plan] = {}
    for plan in plans:
        best.setdefault(plan.machine, plan)
    return list(best.values())


def knee(question: Question, plans: list[Plan]) -> int:
    """Place of the plan that gives up least: nearest to the best of every objective, each between its ends.

    On the scale of scores: losses as they are, logarithms of what is spent.
    """
    scores = np.array(
        [[float(goal.score(question, p.figures, name)) for name in question.objectives] for p in plans]
    )
    low, high = scores.min(axis=0), scores.max(axis=0)
    width = np.where(high > low, high - low, 1.0)
    return int(np.argmin(np.linalg.norm((scores - low) / width, axis=1)))


def held(question: Question, plan: Plan) -> Question:
    """The question of one plan of a front: its length is given, as it is one of the choices."""
    if question.fixed or question.shortest:
        return question
    return replace(question, tokens=plan.columns["tokens"])


def binding(question: Question, plans: list[Plan]) -> dict[str, Any]:
    """What the answer is among the plans of a front, and what the next step along it costs."""
    first, last = question.objectives[0], question.objectives[-1]
    place = knee(question, plans)
    words = " and ".join(goal.words(question, name) for name in question.objectives)
    text = [f"of {len(plans)} plans that no other beats in {words}, the answer gives up least of each"]
    steps = []
    for side, told in ((place - 1, "one step back"), (place + 1, "one step on")):
        if not 0 <= side < len(plans):
            continue
        changes = {name: _change(question, plans[side], plans[place], name) for name in (first, last)}
        steps.append({"step": told, **{goal.WORDS[name]: change for name, change in changes.items()}})
        text.append(
            f"{told}: "
            + ", ".join(f"{goal.words(question, name)} {change}" for name, change in changes.items())
        )
    return {"constraint": "front", "steps": steps, "text": "; ".join(text)}


def _change(question: Question, plan: Plan, other: Plan, name: str) -> str:
    mine, its = (float(goal.value(question, each.figures, name)) for each in (plan, other))
    if name in ("loss", "accuracy_loss"):
        return f"{mine - its:+.4f}"
    return f"{100 * (mine / its - 1):+.0f} %"


def marks(question: Question, plans: list[Plan]) -> list[list[str]]:
    """What each plan of a front is best in, and which is the knee."""
    out: list[list[str]] = [[] for _ in plans]
    for name in question.objectives:
        values = [float(goal.value(question, plan.figures, name)) for plan in plans]
        out[int(np.argmin(values))].append(f"least {goal.words(question, name)}")
    if len(plans) > 2:
        out[knee(question, plans)].append("knee")
    return out


def spread(number: int, wanted: int, keep: set[int]) -> list[int]:
    """Places along a front, evenly, with those that must be shown."""
    even = np.linspace(0, number - 1, min(number, max(wanted, 1))).round().astype(int).tolist()
    return sorted({*even, *(place for place in keep if 0 <= place < number)})


def rows(question: Question, plans: list[Plan]) -> list[dict[str, Any]]:
    """The front as records: what each plan is, and what it comes to."""
    told = marks(question, plans)
    out = []
    for plan, mark in zip(plans, told, strict=True):
        c, machine = plan.columns, question.machines[plan.machine]
        record: dict[str, Any] = {
            "mark": ", ".join(mark),
            "accelerator": machine.label,
            "offer": machine.about.get("offer", {}).get("text"),
            "n_gpus": plan.n_gpus,
            "params": plan.params,
            "num_hidden_layers": plan.shape.num_hidden_layers,
            "hidden_size": plan.shape.hidden_size,
            "global_batch_size": plan.batch_sequences,
            **{name: float(getattr(plan.layout, name)) for name in ("tp", "pp", "dp", "cp", "ep", "vp")},
            "tokens": c["tokens"],
            "loss": c["loss"] if question.from_scratch else None,
            "time_to_train_days": c["wall_s"] / 86400.0,
            "cost_usd": c["cost_usd"],
            "energy_mwh": c["energy_j"] / 3.6e9,
            "co2e_t": c["co2e_kg"] / 1e3,
        }
        if question.inference_tokens:
            rent = machine.usd_per_gpu_hour
            served = None if rent is None else c["serving_s"] / 3600.0 * rent
            record["lifetime_cost_usd"] = None if served is None else c["cost_usd"] + served
        if question.service is not None:
            record["latency_s"] = c["latency_s"]
        task = next((q for q in question.qualities if q.task is not None), None)
        if task is not None and "accuracy_loss" in c:
            record["accuracy"] = float(task.shown(c["accuracy_loss"]))
        out.append(record)
    return out
