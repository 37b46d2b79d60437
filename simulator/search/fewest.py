"""The fewest accelerators on which a plan's model still ends in time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from simulator.search import choice
from simulator.search.question import Question
from simulator.search.table import Plan

DAY = 86400.0

LEAST_SCALING = 0.6
"""Numbers below this share of what perfect scaling asks for are not looked at: no layout gains so much. [-]"""

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
        ``n_gpus time_to_train_days cost_usd``, ``one_fewer`` (the next smaller number and its days) and ``text``.
    """
    limit = question.limits.time_s
    if limit is None or not (question.fixed or question.shortest):
        return {}
    machine = question.machines[plan.machine]
    ideal = plan.n_gpus * plan.columns["wall_s"] / limit
    tried = [
        n
        for n in counts(LARGER * plan.n_gpus, machine.node_size)
        if LEAST_SCALING * ideal <= n <= 8 * max(ideal, 1)
    ]
    alone = replace(question, limits=replace(question.limits, cost_usd=None, energy_j=None, co2e_kg=None))
    missed: dict[str, Any] | None = None
    for n_gpus in tried:
        found, _ = choice.layouts(alone, plan.machine, n_gpus, plan.shape, number=1)
        if not found:
            continue
        columns = found[0].columns
        record = {"n_gpus": n_gpus, "time_to_train_days": columns["wall_s"] / DAY}
        if columns["runs"]:
            return _told(question, plan, {**record, "cost_usd": columns["cost_usd"]}, missed)
        missed = record
    return {}


def _told(
    question: Question, plan: Plan, record: dict[str, Any], missed: dict[str, Any] | None
) -> dict[str, Any]:
    days = (question.limits.time_s or 0.0) / DAY
    text = (
        f"{record['n_gpus']:,} accelerators are the fewest that train this model in {days:.3g} days "
        f"({record['time_to_train_days']:.3g} days)"
    )
    if missed is not None:
        text += f"; {missed['n_gpus']:,} take {missed['time_to_train_days']:.3g}"
    return {**record, "one_fewer": missed, "text": text}
