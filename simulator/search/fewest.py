"""The fewest accelerators on which a plan's model still ends in time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from simulator.search import choice, lattice
from simulator.search.planner import BATCH_TOLERANCE
from simulator.search.question import Question
from simulator.search.table import Plan

DAY = 86400.0

LEAST_SCALING = 0.6
"""Numbers below this share of what perfect scaling asks for are no candidates: no layout gains so much. [-]"""

LARGER = 64
"""Times the accelerators of the plan that are tried at most. [-]"""


def counts(limit: int, node_size: int) -> list[int]:
    """Numbers of accelerators to find the fewest among: powers of two in a node, then four steps of nodes per doubling.

    Examples
    --------
    >>> counts(100, 8)
    [1, 2, 4, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96]
    """
    inside = [2**k for k in range(node_size.bit_length()) if 2**k <= min(limit, node_size)]
    steps = {
        node_size * 2**k * quarter // 4
        for k in range(max(1, limit // node_size).bit_length())
        for quarter in (4, 5, 6, 7)
        if 2**k * quarter % 4 == 0
    }
    return sorted({*inside, *(n for n in steps if n <= limit)})


def report(question: Question, plan: Plan) -> dict[str, Any]:
    """The fewest accelerators for the deadline, with the same model, tokens or quality; empty without a deadline.

    Returns
    -------
    dict
        ``n_gpus time_to_train_days cost_usd``; ``one_fewer`` (the next smaller number on which it trains, its days, and by how
        much it is late); ``other_batch`` (fewer accelerators that only the pinned batch forbids, the batch, its days and cost);
        ``text``.
    """
    limit = question.limits.time_s
    if limit is None or not (question.fixed or question.shortest):
        return {}
    ideal = plan.n_gpus * plan.columns["wall_s"] / limit
    numbers = counts(LARGER * plan.n_gpus, question.machines[plan.machine].node_size)
    alone = replace(question, limits=replace(question.limits, cost_usd=None, energy_j=None, co2e_kg=None))
    other: Plan | None = None
    for n_gpus in [n for n in numbers if LEAST_SCALING * ideal <= n <= 8 * max(ideal, 1)]:
        found = _fastest(alone, plan, n_gpus)
        if found is None:
            other = other or _with_other_batch(alone, plan, n_gpus)
        elif found.columns["runs"]:
            smaller = [n for n in numbers if n < n_gpus]
            return _told(question, found, _late(alone, plan, smaller, limit), other)
    return {}


def _fastest(question: Question, plan: Plan, n_gpus: int, batch: float | None = None) -> Plan | None:
    """The fastest layout of a plan's model on another number of accelerators."""
    found, _ = choice.layouts(question, plan.machine, n_gpus, plan.shape, batch=batch, number=1)
    return found[0] if found else None


def _late(question: Question, plan: Plan, smaller: list[int], limit: float) -> Plan | None:
    """The plan on the largest of these numbers on which the model trains, where it misses the deadline."""
    found = next(filter(None, (_fastest(question, plan, n) for n in reversed(smaller))), None)
    return found if found is not None and limit < found.columns["wall_s"] < float("inf") else None


def _with_other_batch(question: Question, plan: Plan, n_gpus: int) -> Plan | None:
    """The fastest plan in time with a batch a little smaller than the pinned one, which does not divide among these."""
    pinned = question.pins.global_batch_size
    if pinned is None or question.steps is not None:
        return None
    near = {pinned // divisor * divisor for divisor in lattice.divisors(n_gpus, int(pinned))}
    batches = sorted(b for b in near if (1 - BATCH_TOLERANCE) * pinned <= b < pinned)
    found = filter(None, (_fastest(question, plan, n_gpus, batch) for batch in batches))
    return min(
        (each for each in found if each.columns["runs"]), key=lambda p: p.columns["wall_s"], default=None
    )


def _record(plan: Plan) -> dict[str, Any]:
    return {"n_gpus": plan.n_gpus, "time_to_train_days": plan.columns["wall_s"] / DAY}


def _told(question: Question, plan: Plan, late: Plan | None, other: Plan | None) -> dict[str, Any]:
    days = (question.limits.time_s or 0.0) / DAY
    record = _record(plan) | {"cost_usd": plan.columns["cost_usd"]}
    text = (
        f"{record['n_gpus']:,} accelerators are the fewest that train this model in {days:.3g} days "
        f"({record['time_to_train_days']:.3g} days)"
    )
    one_fewer = other_batch = None
    if late is not None:
        one_fewer = _record(late)
        one_fewer["late_days"] = one_fewer["time_to_train_days"] - days
        text += f"; {late.n_gpus:,} take {one_fewer['time_to_train_days']:.3g} days, {one_fewer['late_days']:.3g} too many"
    if other is not None:
        other_batch = _record(other) | {
            "cost_usd": other.columns["cost_usd"],
            "global_batch_size": other.batch_sequences,
        }
        text += (
            f"; {other.n_gpus:,} would do with a batch of {other.batch_sequences:,.0f} sequences "
            f"({other_batch['time_to_train_days']:.3g} days): {question.pins.global_batch_size:,.0f} do not divide among them"
        )
    return {**record, "one_fewer": one_fewer, "other_batch": other_batch, "text": text}
