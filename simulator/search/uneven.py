"""Micro-batches that are no multiple of the stages forbid interleaving: fewer accelerators, or another batch, may then be as fast."""

from __future__ import annotations

from simulator.search import choice, lattice, numbers
from simulator.search.notes import Notes
from simulator.search.question import Question
from simulator.search.table import Plan
from simulator.search.undivided import batch_words
from simulator.units import format_quantity

FASTER = 0.95
"""Time, relative to the plan's, from which on another batch is worth naming. [-]"""

FARTHEST = 1.5
"""Batches up to this many times larger or smaller are looked at. [-]"""


def annotate(question: Question, notes: Notes, plan: Plan) -> None:
    """Name fewer accelerators that are as fast as a plan whose micro-batches forbid interleaving, and a batch that is faster."""
    if not _uneven(question, plan):
        return
    fewer, other = _fewer(question, plan), _other_batch(question, plan)
    if fewer is None and other is None:
        return
    stages, micro = int(plan.layout.pp), int(plan.layout.num_microbatches)
    told = [] if fewer is None else [f"{fewer.n_gpus:,} accelerators would be as fast ({_spent(fewer)})"]
    if other is not None:
        words = batch_words(question, other.batch_sequences)
        told.append(f"with {words}, {plan.n_gpus:,} accelerators would take {_spent(other)}")
    notes.warn(
        "uneven-batch",
        f"{micro:,} micro-batches are no multiple of {stages:,} stages, which forbids interleaved stages ({_spent(plan)}): "
        + "; ".join(told),
    )


def _uneven(question: Question, plan: Plan) -> bool:
    """Whether a run of given length could interleave its stages but for the number of its micro-batches."""
    x, free = plan.layout, question.pins.vp is None
    able = question.interleave and free and x.vp == 1 and x.pp > 1
    return bool(able and question.fixed and plan.columns["runs"] and x.num_microbatches % x.pp)


def _fewer(question: Question, plan: Plan) -> Plan | None:
    """The plan on the fewest accelerators, but at least half as many, that takes no longer."""
    node = question.machines[plan.machine].node_size
    for n_gpus in numbers.counts(plan.n_gpus - 1, node):
        if 2 * n_gpus < plan.n_gpus:
            continue
        batch = None if question.pins.global_batch_size is not None else plan.batch_sequences
        found, _ = choice.layouts(question, plan.machine, n_gpus, plan.shape, batch=batch, number=1)
        if found and found[0].columns["runs"] and _wall(found[0]) <= _wall(plan):
            return found[0]
    return None


def _other_batch(question: Question, plan: Plan) -> Plan | None:
    """The plan with the nearest batch on the same accelerators that is clearly faster for what it teaches."""
    pinned = question.pins.global_batch_size
    if pinned is None or question.steps is not None:
        return None
    for batch in _full(question, plan, pinned):
        found, _ = choice.layouts(question, plan.machine, plan.n_gpus, plan.shape, batch=batch, number=1)
        if found and found[0].columns["runs"] and _wall(found[0]) <= FASTER * _wall(plan):
            return found[0]
    return None


def _full(question: Question, plan: Plan, pinned: float) -> list[float]:
    """Batches of as many micro-batches of one sequence as stages, or a multiple of it, nearest first. [sequences]"""
    domain = int(question.machines[plan.machine].setting.device.link_domain)
    degrees = [d for d in lattice.divisors(domain, lattice.MAX_TP) if plan.n_gpus % d == 0]
    units = [plan.n_gpus // d for d in degrees]
    near = {pinned // unit * unit for unit in units} | {-(-pinned // unit) * unit for unit in units}
    near = {size for size in near if pinned / FARTHEST <= size <= pinned * FARTHEST}
    return sorted(near - {pinned, plan.batch_sequences}, key=lambda size: (abs(size - pinned), size))


def _wall(plan: Plan) -> float:
    """Time of a run that makes up for the tokens that its batch costs. [s]"""
    return float(plan.columns["wall_s"] / plan.columns["batch_factor"])


def _spent(plan: Plan) -> str:
    """Time of a run, and its cost where a price is known."""
    took = format_quantity(plan.columns["wall_s"], "second", digits=3)
    cost = plan.columns["cost_usd"]
    return f"{took}, {format_quantity(cost, 'USD', digits=3)}" if cost == cost else took
