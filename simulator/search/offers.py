"""Prices beside each other: when spot stops paying, from which use on buying pays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from simulator import goodput, money
from simulator.schema.hardware import TAKEN_AWAY
from simulator.search import places
from simulator.search.failures import Failures
from simulator.search.notes import Notes
from simulator.search.question import Machine, Question
from simulator.search.table import Plan
from simulator.units import format_quantity

HOUR = 3600.0

HOURS_PER_MONTH = 365.0 * 24.0 / 12.0
"""Hours of a month. [h]"""

CURVE_H = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)
"""Times between two interruptions of a node at which spot is shown beside its rival. [h]"""


def report(question: Question, plans: list[Plan]) -> list[dict[str, Any]]:
    """One row per plan whose offer needs a break-even: spot, or a purchase.

    Parameters
    ----------
    question : Question
        What was asked.
    plans : list of Plan
        The best plan of each machine.
    """
    rows = []
    for plan in plans:
        machine = question.machines[plan.machine]
        offer = machine.about.get("offer") or {}
        others = [other for other in plans if other.machine != plan.machine]
        if offer.get("terms") == "spot" or _taken_away(machine):
            rows += _spot(question, plan, _without(question, others, _is_spot, _is_owned))
        if offer.get("owned"):
            rows += _owned(question, plan, _without(question, others, _is_owned, _is_spot))
    return rows


def annotate(question: Question, notes: Notes, plan: Plan) -> None:
    """Say what a purchase takes at once, and that a plan rests on machines of which nobody knows how often they are taken away."""
    machine = question.machines[plan.machine]
    limit, outlay = question.limits.cost_usd, places.outlay_usd(machine, plan.n_gpus)
    if limit is not None and outlay is not None and outlay > limit:
        paid, share = (format_quantity(each, "USD", digits=3) for each in (outlay, plan.columns["cost_usd"]))
        notes.warn(
            "outlay",
            f"the {plan.n_gpus:,} x {machine.label} are bought for {paid} at once, more than budget.cost "
            f"({format_quantity(limit, 'USD', digits=3)}): only the run's share of it, {share}, is held against that limit",
        )
    terms = places.offer_of(machine).get("terms")
    if terms in TAKEN_AWAY and not _taken_away(machine):
        notes.warn(
            "spot",
            f"the answer rests on {_name(machine)}, which may be taken away, at a rate that is not known: the run is planned without "
            "such interruptions; write reliability.node_interruption",
        )


def _without(
    question: Question, plans: list[Plan], never: Callable[[Machine], bool], rather: Callable[[Machine], bool]
) -> list[Plan]:
    """Plans to compare with: those on ordinary rent where there are any."""
    left = [plan for plan in plans if not never(question.machines[plan.machine])]
    plain = [plan for plan in left if not rather(question.machines[plan.machine])]
    return plain or left


def _is_spot(machine: Machine) -> bool:
    return (machine.about.get("offer") or {}).get("terms") == "spot" or _taken_away(machine)


def _is_owned(machine: Machine) -> bool:
    return bool((machine.about.get("offer") or {}).get("owned"))


def _taken_away(machine: Machine) -> bool:
    return machine.failures is not None and machine.failures.node_interruption_s is not None


def _rival(question: Question, plan: Plan, others: list[Plan]) -> Plan | None:
    """The cheapest other plan, of the same accelerator where there is one."""
    label = question.machines[plan.machine].label
    priced = [o for o in others if question.machines[o.machine].usd_per_gpu_hour is not None]
    alike = [o for o in priced if question.machines[o.machine].label == label]
    return min(alike or priced, key=lambda o: _worth(question, o, o.n_gpus), default=None)


def _worth(question: Question, plan: Plan, n_gpus: int) -> float:
    """What a useful accelerator-hour costs; where runs have an end, what the run costs. [USD]"""
    price = question.machines[plan.machine].usd_per_gpu_hour or float("inf")
    if question.fixed or question.shortest:
        return float(plan.columns["cost_usd"])
    return price / question.goodput_of(n_gpus, question.machines[plan.machine])


def _spot(question: Question, plan: Plan, others: list[Plan]) -> list[dict[str, Any]]:
    """The rate of interruptions at which spot costs as much as the cheapest offer that is not taken away."""
    rival, machine = _rival(question, plan, others), question.machines[plan.machine]
    if rival is None or machine.usd_per_gpu_hour is None:
        return []
    failures = machine.failures or Failures()
    nodes = float(np.ceil(plan.n_gpus / machine.node_size))
    now = question.goodput_of(plan.n_gpus, machine)
    kept = now / _share_of_spot(failures, nodes)
    ratio = _worth(question, plan, plan.n_gpus) * now / (_worth(question, rival, rival.n_gpus) * kept)
    checkpoint, restart = failures.times
    known, against = failures.node_interruption_s, _name(question.machines[rival.machine])
    row = {
        "kind": "spot",
        "accelerator": machine.label,
        "offer": (machine.about.get("offer") or {}).get("text"),
        "against": against,
        "n_gpus": plan.n_gpus,
        "nodes": nodes,
        "known_interruption_h": None if known is None else known / HOUR,
        "lost_per_interruption_s": restart if failures.checkpoint_s is None else None,
    }
    if ratio >= 1:
        text = f"{_name(machine)} costs no less than {against}, even without interruptions"
        return [
            {**row, "break_even_interruption_h": None, "break_even_job_h": None, "pays": False, "text": text}
        ]
    mtbf = float(
        goodput.mtbf_for(
            goodput=ratio, checkpoint_s=checkpoint, restart_s=restart, interval_s=failures.interval_s
        )
    )
    curve = [
        {
            "node_interruption_h": hours,
            "goodput": kept * failures.at(hours * HOUR / nodes),
            "cost_ratio": ratio / failures.at(hours * HOUR / nodes),
        }
        for hours in CURVE_H
    ]
    return [
        {
            **row,
            "break_even_interruption_h": mtbf * nodes / HOUR,
            "break_even_job_h": mtbf / HOUR,
            "pays": None if known is None else bool(known >= mtbf * nodes),
            "curve": curve,
            "text": _spot_text(machine, against, failures, nodes, mtbf),
        }
    ]


def _spot_text(machine: Machine, against: str, failures: Failures, nodes: float, mtbf_s: float) -> str:
    """The break-even of spot in words."""
    known, (_, restart) = failures.node_interruption_s, failures.times
    told = "its rate of interruptions is not known"
    if known is not None:
        verdict = "pays" if known >= mtbf_s * nodes else "does not pay"
        told = f"a node is expected to be taken away every {_hours(known / HOUR)}, so it {verdict}"
    text = (
        f"{_name(machine)} pays against {against} as long as each of the {nodes:.0f} nodes is kept for more than "
        f"{_hours(mtbf_s * nodes / HOUR)} on average (the job is then interrupted every {_hours(mtbf_s / HOUR)}); {told}"
    )
    if failures.checkpoint_s is None:
        text += f"; an interruption is taken to cost {restart / 60:.0f} minutes, as in Llama 3's run"
    return text


def _share_of_spot(failures: Failures, nodes: float) -> float:
    """What interruptions by the provider alone leave of the time. [-]"""
    if failures.node_interruption_s is None:
        return 1.0
    return failures.at(failures.node_interruption_s / nodes)


def _owned(question: Question, plan: Plan, others: list[Plan]) -> list[dict[str, Any]]:
    """The share of its life that a bought accelerator must work to cost no more than rent."""
    machine, rival = question.machines[plan.machine], _rival(question, plan, others)
    if rival is None:
        return []
    owned = dict((machine.about.get("offer") or {})["owned"])
    used = owned.pop("share_used")
    there = question.machines[rival.machine]
    rent = float(there.usd_per_gpu_hour or 0.0)
    if there.label != machine.label:
        # Another part takes longer or shorter: its rent is turned into that of an hour of this one.
        rent *= rival.columns["gpu_hours"] / plan.columns["gpu_hours"]
    share = float(money.break_even_utilisation(rent_usd_per_gpu_hour=rent, **owned))
    hours = plan.columns["gpu_hours"] / plan.n_gpus
    years = float(owned["years"])
    if share > 1:
        text = f"buying {machine.label} never costs less than {_name(there)}, even in use all the time"
    else:
        text = (
            f"buying {machine.label} costs less than {_name(there)} from {100 * share:.0f} % use on: "
            f"{share * HOURS_PER_MONTH:.0f} hours a month for {years:g} years; {100 * used:.0f} % are assumed, "
            f"this run alone is {100 * hours / (years * 8760.0):.1f} % of the life"
        )
    return [
        {
            "kind": "buy",
            "accelerator": machine.label,
            "offer": (machine.about.get("offer") or {}).get("text"),
            "against": _name(there),
            "rent_usd_per_gpu_hour": rent,
            "usd_per_gpu_hour": machine.usd_per_gpu_hour,
            "utilisation": used,
            "break_even_utilisation": share if share <= 1 else None,
            "break_even_hours_per_month": share * HOURS_PER_MONTH if share <= 1 else None,
            "share_of_life": hours / (years * 8760.0),
            "pays": bool(share <= used),
            "text": text,
        }
    ]


def _name(machine: Machine) -> str:
    """An accelerator with its offer."""
    text = (machine.about.get("offer") or {}).get("text")
    price = "" if machine.usd_per_gpu_hour is None else f"${machine.usd_per_gpu_hour:.2f}/GPU-h"
    told = ", ".join(filter(None, (text if text != "the scenario" else "", price)))
    return f"{machine.label} ({told})" if told else machine.label


def _hours(hours: float) -> str:
    return (
        f"{hours:.2g} h"
        if hours < 72
        else f"{hours / 24:.2g} days"
        if hours < 2400
        else f"{hours / 24:,.0f} days"
    )
