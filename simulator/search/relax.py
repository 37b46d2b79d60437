"""When nothing keeps all limits: which one binds, and the least change of one that would do."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from simulator.search import choice, evaluate, goal, lacking, planner, quality, required
from simulator.search import question as questions
from simulator.search.evaluate import Counts
from simulator.search.lattice import powers_of_two
from simulator.search.question import Limits, Question
from simulator.search.shortfalls import LIMIT_NAMES, UNITS, amount, of
from simulator.search.table import Plan
from simulator.transformer import Shape

COLUMN = {"time_s": "wall_s", "cost_usd": "cost_usd", "energy_j": "energy_j", "co2e_kg": "co2e_kg"}
"""Limit to the column that it limits."""

MORE_GPUS = 65_536
"""Accelerators tried at most, when more of them are asked to help. [-]"""

Change = dict[str, Any]


def changes(question: Question, candidates: Shape) -> list[Change]:
    """For every limit and requirement, the least change of it alone with which a plan runs, smallest change first.

    Each comes from a search with that one freed and made the objective, so it is exact on the lattice.
    """
    found = [_limit(question, candidates, name) for name in question.limits.given]
    found += [_quality(question, candidates, place) for place in range(len(question.qualities))]
    found += [_latency(question, candidates), _accelerators(question, candidates)]
    known = [change for change in found if change is not None]
    return sorted(known, key=lambda change: abs(np.log(change["needed"] / change["available"])))


def why(question: Question, candidates: Shape, counts: Counts) -> dict[str, Any]:
    """The reason that nothing runs, with what would help; empty if no limit is to blame."""
    if unknown := lacking.reason(question):
        return unknown
    if not (question.limits.given or question.qualities or question.service):
        return {}
    known = changes(question, candidates)
    out: dict[str, Any] = {}
    if known:
        first = known[0]
        out = {name: first[name] for name in ("reason", "needed", "available", "unit", "text")}
        out["smallest_change"] = "; or ".join(change["change"] for change in known)
        out["would_work"] = known
    else:
        out = _together(question, candidates)
    if out and counts.refused:
        out["refused"] = dict(sorted(counts.refused.items()))
    return out


def best(question: Question, candidates: Shape) -> Plan | None:
    """The best plan over all machines, or none."""
    found: list[Plan] = []
    objective = goal.main(question)
    for index, machine in enumerate(question.machines):
        if not machine.counts or not question.bounded:
            continue
        seen = planner.search(question, candidates, machine=index, margin=0.0)
        pool = choice.pool(question, seen, objective=objective)
        if len(pool):
            found.append(pool.plan(question, seen, 0))
    return min(found, key=lambda plan: choice.rank_key(question, plan, objective)) if found else None


def _ends(question: Question) -> bool:
    """Whether a run has an end of its own: tokens, or a quality that it must reach."""
    return question.fixed or bool(question.qualities)


def _limit(question: Question, candidates: Shape, name: str) -> Change | None:
    column = COLUMN[name]
    if not _ends(question):
        return _serving(question, candidates) if name == "cost_usd" else None
    freed = replace(question, limits=replace(question.limits, **{name: None}), objectives=(column,))
    plan = best(freed, candidates)
    if plan is None:
        return None
    need, have = _spent(freed, plan, column), float(getattr(question.limits, name))
    scale, unit = UNITS[name]
    if not np.isfinite(need) or need <= have:
        return None
    return _change(
        LIMIT_NAMES[name],
        need / scale,
        have / scale,
        unit,
        f"{LIMIT_NAMES[name]}: everything else asks for at least {amount(need, name, up=True)}, "
        f"{amount(have, name)} are allowed",
        f"allow {amount(need, name, up=True)}",
    )


def _serving(question: Question, candidates: Shape) -> Change | None:
    """The least that serving alone costs, where that is more than there is."""
    have = float(question.limits.cost_usd or 0.0)
    sizes = evaluate.active_parameters(candidates)
    costs = [
        float(np.min(questions.serving_s(question, machine, sizes))) / 3600.0 * machine.usd_per_gpu_hour
        for machine in question.machines
        if machine.usd_per_gpu_hour is not None
    ]
    need = min(costs, default=float("nan"))
    if not need > have:
        return None
    text = f"money: serving the smallest model alone takes {_usd(need, up=True)}, {_usd(have)} are allowed"
    return _change(
        "money", need, have, "USD", text, f"allow more than {_usd(need, up=True)}, or serve fewer tokens"
    )


def _spent(question: Question, plan: Plan, column: str) -> float:
    """What a plan takes of a limit: a limit on cost covers serving."""
    value = float(plan.columns[column])
    if question.counts_batch:
        value /= float(plan.columns["batch_factor"])
    if column == "cost_usd" and question.inference_tokens:
        price = question.machines[plan.machine].usd_per_gpu_hour or float("nan")
        value += float(plan.columns["serving_s"]) / 3600.0 * price
    return value


def _quality(question: Question, candidates: Shape, place: int) -> Change | None:
    asked = question.qualities[place]
    if not question.limits.given and not question.fixed:
        return _floor(question, candidates, place)
    free = replace(asked, limit=float("inf"))
    others = (*question.qualities[:place], *question.qualities[place + 1 :])
    column = "loss" if asked.task is None else "accuracy_loss"
    # The task that is freed comes first: it is the one whose loss is a column.
    plan = best(replace(question, qualities=(free, *others), objectives=(column,)), candidates)
    if plan is None:
        return None
    loss = float(asked.loss(question.learning, plan.shape, plan.columns["tokens"], plan.batch_tokens))
    return _reached(asked, loss, "the limits allow")


def _floor(question: Question, candidates: Shape, place: int) -> Change | None:
    """What the law itself allows: the largest model that is tried, on as many tokens as there may be."""
    asked = question.qualities[place]
    columns = questions.columns_of(candidates)
    loss = float(
        np.min(asked.bound(question.learning, columns, np.full(np.shape(columns.hidden_size), quality.MOST)))
    )
    return (
        None
        if loss <= asked.limit
        else _reached(
            asked,
            loss,
            "no model that is tried, on any number of tokens, does better than",
        )
    )


def _reached(asked: quality.Quality, loss: float, how: str) -> Change | None:
    reached = float(asked.shown(loss))
    if loss <= asked.limit:
        return None
    shown = f"{reached:.4g}" if asked.name == "loss" else f"{100 * reached:.3g} %"
    # What would be asked for is rounded to the side that works.
    step = 1e-3
    eased = np.floor(reached / step) * step if asked.task is not None else np.ceil(reached / step) * step
    easier = f"{eased:.3f}" if asked.name == "loss" else f"{100 * eased:.1f} %"
    return _change(
        asked.name,
        float(eased),
        asked.wanted,
        "nats/token" if asked.name == "loss" else "share",
        f"{required.words(asked)} is required, {how} {shown}",
        f"require {asked.name} {easier}",
    )


def _latency(question: Question, candidates: Shape) -> Change | None:
    service = question.service
    if service is None or service.latency_s is None:
        return None
    freed = replace(question, service=replace(service, latency_s=None), objectives=("latency_s",))
    plan = best(freed, candidates) if freed.bounded else None
    if plan is None or plan.columns["latency_s"] <= service.latency_s:
        return None
    need, have = plan.columns["latency_s"] * 1e3, service.latency_s * 1e3
    return _change(
        "latency",
        need,
        have,
        "ms",
        f"latency: everything else asks for at least {need:.3g} ms between two tokens, {have:.3g} ms are allowed",
        f"allow inference.latency {_milliseconds(need)}",
    )


def _accelerators(question: Question, candidates: Shape) -> Change | None:
    """The fewest accelerators, of more than there are, on which a plan runs."""
    if not _ends(question):
        return None
    most = max(max(machine.counts, default=0) for machine in question.machines)
    wider = tuple(
        replace(machine, counts=tuple(n for n in powers_of_two(MORE_GPUS) if most < n <= 16 * most))
        for machine in question.machines
    )
    plan = best(replace(question, machines=wider, objectives=("n_gpus",)), candidates)
    if plan is None:
        return None
    label = question.machines[plan.machine].label
    return _change(
        "n_gpus",
        float(plan.n_gpus),
        float(most),
        "accelerators",
        f"n_gpus: no plan on at most {most:,} accelerators keeps the limits, one on {plan.n_gpus:,} does",
        f"use {plan.n_gpus:,} x {label}",
    )


def _together(question: Question, candidates: Shape) -> dict[str, Any]:
    """No limit alone is to blame: what a plan takes that ignores them all."""
    if not _ends(question):
        return {}
    service = None if question.service is None else replace(question.service, latency_s=None)
    column = "wall_s" if "time_s" in question.limits.given else "cost_usd"
    free = replace(question, limits=Limits(), service=service, objectives=(column,))
    plan = best(free, candidates)
    if plan is None:
        return {}
    over = []
    for name in question.limits.given:
        (scale, unit), need = UNITS[name], _spent(free, plan, COLUMN[name])
        have = float(getattr(question.limits, name))
        if np.isfinite(need) and need > have:
            told = of(need, have, name)
            over.append((need / have, name, need / scale, have / scale, unit, told))
    if not over:
        return {}
    over.sort(reverse=True)
    _, name, need, have, unit, _ = over[0]
    told = ", ".join(words for *_, words in over)
    return {
        "reason": LIMIT_NAMES[name],
        "needed": need,
        "available": have,
        "unit": unit,
        "text": f"no single limit is to blame; without them the {goal.WORDS[column]} is least at {told}",
        "smallest_change": "raise " + " and ".join(LIMIT_NAMES[one] for _, one, *_ in over),
        "binding_together": [LIMIT_NAMES[one] for _, one, *_ in over],
    }


def _usd(value: float, *, up: bool = False) -> str:
    return amount(value, "cost_usd", up=up)


def _milliseconds(value: float) -> str:
    """A time, rounded up to three digits so that what is asked for is enough."""
    size = 10.0 ** (np.floor(np.log10(value)) - 2)
    return f"{float(f'{np.ceil(value / size - 1e-9) * size:.6g}'):g} ms"


def _change(reason: str, needed: float, available: float, unit: str, text: str, change: str) -> Change:
    return {
        "reason": reason,
        "needed": needed,
        "available": available,
        "unit": unit,
        "text": text,
        "change": change,
    }
