"""The fewest accelerators on which a plan's model still ends in time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from simulator.search import choice, lattice, numbers, room
from simulator.search.numbers import LEAST_SCALING, counts
from simulator.search.planner import BATCH_TOLERANCE
from simulator.search.question import Question
from simulator.search.table import Plan
from simulator.units import format_quantity

DAY = 86400.0
GIB = float(2**30)

LARGER = 64
"""Times the accelerators of the plan that are tried at most. [-]"""

MOST_DIGITS = 6
"""Digits of a time that is told from a deadline. [-]"""


@dataclass(frozen=True)
class Fewest:
    """The fewest accelerators that are enough, and what was seen on the way."""

    plan: Plan
    late: Plan | None
    """On the largest smaller number on which the model trains, where it misses the deadline."""
    other: Plan | None
    """On fewer, which only the written batch forbids."""
    step: int
    """Accelerators from one number that was tried to the next. [-]"""
    smaller: tuple[int, ...] = ()
    """Numbers below it that might have been enough."""


def report(question: Question, plan: Plan) -> dict[str, Any]:
    """The fewest accelerators for the deadline, with the same model, tokens or quality; empty without a deadline.

    Returns
    -------
    dict
        ``n_gpus time_to_train_days cost_usd``; ``one_fewer`` (the next smaller number on which it trains, its days, and by how
        much it is late); ``other_batch`` (fewer accelerators that only the pinned batch forbids, the batch, its days and cost);
        ``tight`` (fewer on which it fits with little memory to spare, and the memory left); ``text``.
    """
    if question.limits.time_s is None or not (question.fixed or question.shortest):
        return {}
    asked = _asked(question, plan)
    found = _search(asked, plan)
    if found is None:
        return {}
    told = _told(asked, found, _tight(asked, plan, found.smaller))
    return told | {"text": told["text"] + _beyond(told["n_gpus"], question.limits.cost_usd, told["cost_usd"])}


def _beyond(n_gpus: int, limit_usd: float | None, cost_usd: float) -> str:
    """That the accelerators cost more than a run may, which the deadline alone does not ask; empty if they do not.

    Examples
    --------
    >>> _beyond(2672, 50e3, 1.41e6), _beyond(2672, None, 1.41e6)
    ('; on 2,672 the run costs $1.41M, over the limit of $50k', '')
    """
    if limit_usd is None or not cost_usd > limit_usd:
        return ""
    cost, limit = format_quantity(cost_usd, "USD"), format_quantity(limit_usd, "USD")
    return f"; on {n_gpus:,} the run costs {cost}, over the limit of {limit}" if cost != limit else ""


def _asked(question: Question, plan: Plan) -> Question:
    """The deadline alone, for plans that keep it in spite of their batch, unless the answer does not."""
    limits = question.limits
    alone = replace(question, limits=replace(limits, cost_usd=None, energy_j=None, co2e_kg=None))
    counted, limit = replace(alone, counts_batch=alone.batch_matters), limits.time_s or 0.0
    by_its_batch = plan.columns["wall_s"] <= limit < _counted_s(counted, plan)
    return alone if by_its_batch else counted


def _counted_s(question: Question, plan: Plan) -> float:
    """Time of a run that the deadline is held against. [s]"""
    return float(plan.columns["wall_s"]) / (plan.columns["batch_factor"] if question.counts_batch else 1.0)


def _numbers(question: Question, plan: Plan, most: int) -> list[int]:
    """Numbers of accelerators that may be enough, up to one."""
    ideal = plan.n_gpus * _counted_s(question, plan) / (question.limits.time_s or 1.0)
    tried = {*counts(most, question.machines[plan.machine].node_size), plan.n_gpus}
    return [n for n in sorted(tried) if LEAST_SCALING * ideal <= n <= max(8 * ideal, plan.n_gpus)]


def _search(question: Question, plan: Plan) -> Fewest | None:
    """The fewest accelerators: four steps per doubling first, then the nodes between the last two of them."""
    node, other, few = question.machines[plan.machine].node_size, None, 0
    for n_gpus in _numbers(question, plan, LARGER * plan.n_gpus):
        found = _fastest(question, plan, n_gpus)
        if found is not None and found.columns["runs"]:
            break
        other = (other or _with_other_batch(question, plan, n_gpus)) if found is None else other
        few = n_gpus
    else:
        return None
    few = few or max((n for n in counts(n_gpus, node) if n < n_gpus), default=0)
    nodes = [*numbers.passed_over(few, n_gpus, node), *numbers.between(few, n_gpus, node)] if few else []
    for fewer in nodes:
        better = _fastest(question, plan, fewer)
        if better is not None and better.columns["runs"]:
            found, n_gpus = better, fewer
            break
    smaller = sorted({*counts(n_gpus, node), *nodes})
    late = _late(question, plan, [n for n in smaller if n < n_gpus])
    other = other if other is not None and other.n_gpus < n_gpus else None
    might = sorted(n for n in {*_numbers(question, plan, n_gpus), *nodes} if n < n_gpus)
    return Fewest(
        found, late, other, numbers.step_between(few, n_gpus, node) if nodes else node, tuple(might)
    )


def _fastest(question: Question, plan: Plan, n_gpus: int, batch: float | None = None) -> Plan | None:
    """The fastest layout of a plan's model on another number of accelerators; at the plan's batch where only that ends in time."""
    own = plan.batch_sequences if question.pins.global_batch_size is None else None
    best: Plan | None = None
    for size in dict.fromkeys((batch, batch or own)):
        found, _ = choice.layouts(question, plan.machine, n_gpus, plan.shape, batch=size, number=1)
        if found and found[0].columns["runs"]:
            return found[0]
        best = best or (found[0] if found else None)
    return best


def _late(question: Question, plan: Plan, smaller: list[int]) -> Plan | None:
    """The plan on the largest of these numbers on which the model trains, where it misses the deadline."""
    found = next(filter(None, (_fastest(question, plan, n) for n in reversed(smaller))), None)
    if found is None:
        return None
    return found if (question.limits.time_s or 0.0) < _counted_s(question, found) < float("inf") else None


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


def _tight(question: Question, plan: Plan, smaller: Sequence[int]) -> dict[str, Any] | None:
    """The fewest of these numbers on which the model trains in time if no memory need be left free."""
    setting = question.machines[plan.machine].setting
    capacity = float(setting.device.memory_capacity)
    if setting.memory_limit >= capacity:
        return None
    whole = room.within(question, plan.machine, capacity)
    for n_gpus in smaller:
        found = _fastest(whole, plan, n_gpus)
        if found is not None and found.columns["runs"]:
            left = capacity - float(setting.memory(found.shape, found.layout)["total"])
            return _record(whole, found) | {"memory_margin_gib": left / GIB}
    return None


def _tight_words(tight: dict[str, Any]) -> str:
    return (
        f"{tight['n_gpus']:,} would do with tight memory: {tight['memory_margin_gib']:.2g} GiB would be left "
        f"({_time(tight['time_to_train_days'])})"
    )


def _record(question: Question, plan: Plan) -> dict[str, Any]:
    return {"n_gpus": plan.n_gpus, "time_to_train_days": _counted_s(question, plan) / DAY}


def _counted(n_gpus: float) -> str:
    return "1 accelerator is" if n_gpus == 1 else f"{n_gpus:,} accelerators are"


def _time(days: float, unlike: str = "") -> str:
    """A time in days, one below a day in smaller units; with as many digits as tell it from another.

    Examples
    --------
    >>> _time(10.0177), _time(10.0177, unlike="10 days")
    ('10 days', '10.02 days')
    """
    written = [
        f"{days:.{digits}g} days" if days >= 1 else format_quantity(days * DAY, "second", digits=digits)
        for digits in range(3, MOST_DIGITS + 1)
    ]
    return next((each for each in written if each != unlike), written[0])


def _told(question: Question, found: Fewest, tight: dict[str, Any] | None) -> dict[str, Any]:
    plan, late, other = found.plan, found.late, found.other
    days = (question.limits.time_s or 0.0) / DAY
    record = {"n_gpus": plan.n_gpus, "time_to_train_days": plan.columns["wall_s"] / DAY}
    record["cost_usd"] = plan.columns["cost_usd"]
    tried = (
        "" if found.step <= question.machines[plan.machine].node_size else f", in steps of {found.step:,},"
    )
    text = (
        f"{_counted(record['n_gpus'])} the fewest{tried} that train{'s' if record['n_gpus'] == 1 else ''} this model "
        f"in {_time(days)} ({_time(record['time_to_train_days'])})"
    )
    one_fewer = other_batch = None
    if late is not None:
        one_fewer = _record(question, late)
        one_fewer["late_days"] = one_fewer["time_to_train_days"] - days
        over, taken = one_fewer["late_days"], _time(one_fewer["time_to_train_days"], unlike=_time(days))
        much = f"{over:.3g}" if one_fewer["time_to_train_days"] >= 1 else _time(over)
        text += f"; {late.n_gpus:,} take{'s' if late.n_gpus == 1 else ''} {taken}, {much} too many"
    if other is not None:
        other_batch = _record(question, other) | {
            "cost_usd": other.columns["cost_usd"],
            "global_batch_size": other.batch_sequences,
        }
        text += (
            f"; {other.n_gpus:,} would do with a batch of {other.batch_sequences:,.0f} sequences "
            f"({_time(other_batch['time_to_train_days'])}): {question.pins.global_batch_size:,.0f} do not divide among them"
        )
    if tight is not None:
        text += f"; {_tight_words(tight)}"
    return {**record, "one_fewer": one_fewer, "other_batch": other_batch, "tight": tight, "text": text}
