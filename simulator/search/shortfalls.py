"""What a plan lacks: the limit that it breaks, by how much, and the least change that helps, in the units of answers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from simulator.search import lacking, required, room
from simulator.search.question import ONE_STEP, Question
from simulator.search.table import Plan
from simulator.units import DIMENSIONS, format_quantity

DAY = 86400.0

UNITS = {
    "time_s": (DAY, "days"),
    "cost_usd": (1.0, "USD"),
    "energy_j": (3.6e9, "MWh"),
    "co2e_kg": (1e3, "t CO2e"),
}
"""Limits in the units of answers."""

DIMENSION = {"time_s": "second", "cost_usd": "USD", "energy_j": "joule", "co2e_kg": "kgCO2e"}
"""Limits to their dimension in `simulator.units`."""

COLUMNS = {"time_s": "wall_s", "cost_usd": "cost_usd", "energy_j": "energy_j", "co2e_kg": "co2e_kg"}
"""Limits to the columns that they limit."""

TRIES = 8
"""Numbers of tokens that are tried at most, for one that keeps the limits."""

LIMIT_NAMES = {"time_s": "time", "cost_usd": "money", "energy_j": "energy", "co2e_kg": "carbon"}
"""Limits in the words of answers."""


def shortfall(question: Question, plan: Plan) -> dict[str, Any]:
    """Why a plan breaks a limit or is not good enough, by how much, and the smallest change."""
    limits, c, machine = question.limits, plan.columns, question.machines[plan.machine]
    alone = replace(question, machines=(machine,))
    other = lacking.reason(alone) or required.shortfall(question, plan)
    if other:
        return other
    needs = _needs(plan, c["wall_s"])
    if c["steps"] < ONE_STEP:
        return too_short(question, plan)
    over = {n: needs[n] / getattr(limits, n) for n in limits.given}
    worst = max(over, key=lambda n: over[n])
    scale, unit = UNITS[worst]
    broken = [n for n in limits.given if over.get(n, 0.0) > 1]
    allow = " and ".join(amount(needs[n], n, up=True) for n in broken or [worst])
    step = c["steps"] / over[worst] < ONE_STEP
    one = f"; one step takes {format_quantity(plan.step_time_s, 'second')}" if step else ""
    ways = [f"allow {allow}", _shorter_run(question, plan, over[worst])]
    return {
        "reason": LIMIT_NAMES[worst],
        "needed": needs[worst] / scale,
        "available": getattr(limits, worst) / scale,
        "unit": unit,
        "text": f"{LIMIT_NAMES[worst]}: needs {of(needs[worst], getattr(limits, worst), worst)}{one}",
        "smallest_change": ", or ".join(way for way in ways if way),
    }


def _needs(plan: Plan, wall_s: float) -> dict[str, float]:
    """What a plan takes of every limit in a time, in the units of `Limits`."""
    c, share = plan.columns, wall_s / plan.columns["wall_s"]
    return {name: c[column] * share for name, column in COLUMNS.items()}


def too_short(question: Question, plan: Plan) -> dict[str, Any]:
    """Why a run ends before its first step: too few tokens, or a limit that is too low."""
    c, step = plan.columns, plan.batch_tokens
    place = int(c["binding"])
    if question.fixed or place < 0:
        smaller = plan.batch_sequences > 1 and c["tokens"] >= question.seq_length
        ways = [f"train on at least {step:,.0f} tokens", "a smaller batch" if smaller else ""]
        return {
            "reason": "tokens",
            "needed": step,
            "available": c["tokens"],
            "unit": "tokens",
            "text": f"{c['tokens']:,.10g} tokens are less than one step of {step:,.0f}",
            "smallest_change": ", or ".join(way for way in ways if way),
        }
    name = question.limits.given[place]
    seconds = c["wall_s"] / c["steps"]
    need, have = _needs(plan, seconds)[name], float(getattr(question.limits, name))
    scale, unit = UNITS[name]
    takes = f"one step takes {format_quantity(plan.step_time_s, 'second')} and needs "
    if name == "time_s":
        takes = "one step takes "
    return {
        "reason": LIMIT_NAMES[name],
        "needed": need / scale,
        "available": have / scale,
        "unit": unit,
        "text": f"{LIMIT_NAMES[name]}: {takes}{of(need, have, name)}",
        "smallest_change": f"allow {amount(need, name, up=True)}",
    }


def _shorter_run(question: Question, plan: Plan, over: float) -> str:
    """Tokens or steps that keep the limits, in words; empty if none were found.

    Other tokens may make another batch the best one, so each number is asked as the whole question is.
    """
    if question.steps is not None:
        steps = np.floor(question.steps / over)
        return f"train for {steps:,.0f} steps" if steps >= 1 else ""
    tokens = _rounded(plan.columns["tokens"] / over)
    for _ in range(TRIES):
        best = _asked(question, plan, tokens)
        if best is None or best.columns["steps"] < ONE_STEP:
            return ""
        if best.columns["runs"] >= 1:
            return f"train on {format_quantity(tokens, 'token', digits=4)} tokens"
        needs = _needs(best, best.columns["wall_s"])
        excess = max(needs[n] / getattr(question.limits, n) for n in question.limits.given)
        tokens = _rounded(tokens / max(excess, 1.001))
    return ""


def _asked(question: Question, plan: Plan, tokens: float) -> Plan | None:
    """The plan that a question gets for another number of tokens."""
    asked = replace(question, tokens=tokens)
    _, plans, _ = room.layouts(asked, plan.machine, plan.n_gpus, plan.shape, number=1)
    return plans[0] if plans else None


def _rounded(value: float, *, up: bool = False, digits: int = 4) -> float:
    """A number with few digits, rounded down, or up."""
    if not np.isfinite(value) or value <= 0:
        return value
    size = 10.0 ** (np.floor(np.log10(value)) - digits + 1)
    whole = value / size
    whole = np.ceil(whole - 1e-9) if up else np.floor(whole + 1e-9)
    return float(f"{whole * size:.12g}")


def amount(value: float, name: str, *, up: bool = False, digits: int = 3) -> str:
    """What is spent of a limit, as the rest of a page writes it; rounded up, what is asked for is enough.

    Examples
    --------
    >>> amount(2776.0, "time_s", up=True), amount(9.871, "cost_usd"), amount(8.88e6, "energy_j")
    ('46.3 min', '$9.87', '2.47 kWh')
    """
    if up:
        sizes = [size for _, size in DIMENSIONS[DIMENSION[name]].ladder if size <= value]
        size = sizes[-1] if sizes else 1.0
        value = _rounded(value / size, up=True, digits=digits) * size
    if name == "cost_usd" and 1e3 <= value < 1e6:
        return f"${_rounded(value + 0.5, digits=max(digits, 6)) if not up else value:,.0f}"
    text = format_quantity(value, DIMENSION[name], digits=digits)
    return f"{text} CO2e" if name == "co2e_kg" else text


def of(need: float, have: float, name: str) -> str:
    """What is needed of what there is, with as many digits as tell them apart.

    Examples
    --------
    >>> of(2776.0, 300.0, "time_s"), of(300.01, 300.0, "time_s")
    ('46.3 min of 5 min', '5.0002 min of 5 min')
    """
    for digits in (3, 4, 5, 6, 9):
        mine, other = (amount(value, name, digits=digits) for value in (need, have))
        if mine != other:
            break
    return f"{mine} of {other}"
