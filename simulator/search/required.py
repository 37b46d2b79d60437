"""A run that ends when it is good enough: what decides its length, what certainty costs, and what is missing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from simulator import energy
from simulator.search import choice, goal, quality
from simulator.search.answer import law_error
from simulator.search.quality import Quality
from simulator.search.question import Question
from simulator.search.table import Found, Plan
from simulator.units import format_quantity

STEP_NATS = 0.01
"""A little more quality. [nats/token]"""

STEP_ACCURACY = 0.01
"""A little more accuracy, or less error. [-]"""

UNIT = {
    "cost_usd": (1.0, "USD"),
    "wall_s": (86400.0, "days"),
    "energy_j": (3.6e9, "MWh"),
    "co2e_kg": (1e3, "t CO2e"),
    "n_gpus": (1.0, "accelerators"),
    "tokens": (1e9, "B tokens"),
    "params": (1e9, "B parameters"),
    "latency_s": (1e-3, "ms"),
}
"""Objectives in the units of answers."""

LADDERS = {"MWh": (energy.ENERGY, ""), "t CO2e": (energy.CARBON, " CO2e")}
"""Units of `UNIT` that are shown in smaller ones, and what follows those."""


def tightest(question: Question, plan: Plan) -> Quality:
    """The requirement that needs most tokens."""
    needs = [
        float(np.max(quality.required_tokens(question.learning, (q,), plan.shape, plan.batch_tokens)))
        for q in question.qualities
    ]
    return question.qualities[int(np.argmax(needs))]


def words(q: Quality) -> str:
    """A requirement in words.

    Examples
    --------
    >>> words(Quality("loss", 2.0, 2.0)), words(Quality("mmlu", 0.6, 0.65, "mmlu"))
    ('loss 2', 'mmlu 60 %')
    """
    return f"loss {q.wanted:.4g}" if q.name == "loss" else f"{q.name} {100 * q.wanted:.3g} %"


def harder(q: Quality) -> tuple[Quality, str]:
    """A requirement that asks for a little more, and in words."""
    if q.name == "loss":
        return replace(
            q, wanted=q.wanted - STEP_NATS, limit=q.limit - STEP_NATS
        ), f"{STEP_NATS} nats less loss"
    if q.task is not None:
        return quality.of_accuracy(q.task, q.wanted + STEP_ACCURACY), f"one point more of {q.name}"
    corpus = str(q.curve).removeprefix("Gadre2024Error46")
    return quality.of_error(f"Gadre2024{corpus}", q.wanted - STEP_ACCURACY), "one point less error"


def binding(question: Question, plan: Plan, found: Found | None) -> dict[str, Any]:
    """The requirement that ends the run, and what a little more quality costs or a little more of a limit saves."""
    tight = tightest(question, plan)
    out: dict[str, Any] = {"constraint": tight.name}
    text = [f"the run ends when it reaches {words(tight)}"]
    if found is not None:
        prices = _prices(question, plan, found)
        out["shadow_prices"] = prices
        text += [_price_words(price) for price in prices.values()]
    out["text"] = "; ".join(text)
    return out


def _prices(question: Question, plan: Plan, found: Found) -> dict[str, Any]:
    from simulator.search.explain import more
    from simulator.search.shortfalls import LIMIT_NAMES

    name = goal.main(question)
    mine = float(goal.value(question, plan.figures, name))
    prices: dict[str, Any] = {}

    def ask(changed: Question, key: str, change: str) -> None:
        best = choice.pool(changed, found, objective=name)
        value = float(goal.value(changed, best.columns, name)[0]) if len(best) else None
        scale, unit = UNIT[name]
        prices[key] = {
            "change": change,
            "objective": goal.WORDS[name],
            "difference": None if value is None else (value - mine) / scale,
            "share": None if value is None else value / mine - 1,
            "unit": unit,
            "loss_difference": None,
            "compute_multiplier": None,
        }

    for place, q in enumerate(question.qualities):
        stricter, change = harder(q)
        several = (*question.qualities[:place], stricter, *question.qualities[place + 1 :])
        ask(replace(question, qualities=several), q.name, change)
    for limit in question.limits.given:
        limits, change = more(question.limits, limit)
        ask(replace(question, limits=limits), LIMIT_NAMES[limit], change)
    return prices


def _price_words(price: dict[str, Any]) -> str:
    if price["difference"] is None:
        return f"{price['change']} is out of reach of the plans that were looked at"
    if abs(price["share"]) < 1e-6:
        return f"{price['change']} changes nothing"
    sign = "adds" if price["difference"] > 0 else "takes off"
    shown = difference_words(abs(price["difference"]), price["unit"])
    return f"{price['change']} {sign} {shown} ({100 * price['share']:+.1f} %)"


def difference_words(amount: float, unit: str) -> str:
    """What more or less of an objective is taken, from a unit of `UNIT`; energy and carbon in the largest unit of which there is one.

    Examples
    --------
    >>> difference_words(5.5e-05, "MWh"), difference_words(0.0121, "t CO2e"), difference_words(12.5, "USD"), difference_words(2.06e6, "USD")
    ('55 Wh', '12.1 kg CO2e', '$12.5', '$2.06M')
    """
    if unit == "USD":
        return f"${amount:,.3g}" if amount < 1000 else format_quantity(amount, "USD")
    if unit in LADDERS:
        ladder, gas = LADDERS[unit]
        name, size = energy.rung(amount, ladder)
        return f"{amount / size:,.3g} {name}{gas}"
    return f"{amount:,.3g} {unit}"


# --- what is reached, and how surely --------------------------------------------------------------------------------


def reached(question: Question, plan: Plan) -> dict[str, Any]:
    """Each requirement beside what the plan is predicted to reach, with its 80 % interval.

    ``certain`` is what the same plan takes to keep the requirement at the far end of the interval: nine times in ten.
    """
    out: dict[str, Any] = {}
    if not np.isfinite(plan.columns["tokens"]):
        return out
    for q in question.qualities:
        loss = quality.of_plan(q, question.learning, plan)
        low, high = _interval(q, loss, law_error(question, plan))
        out[q.name] = {
            "wanted": q.wanted,
            "predicted": float(q.shown(loss)),
            "interval": sorted([low, high]),
            "met": bool(loss <= q.limit * (1 + 10 * quality.ROUNDING)),
            "certain": _certain(question, plan, q),
            "text": f"{words(q)}: predicted {_shown(q, float(q.shown(loss)))}, 80 % interval {_shown(q, low)} to {_shown(q, high)}",
        }
    return out


def _shown(q: Quality, value: float) -> str:
    return f"{value:.3f}" if q.name == "loss" else f"{100 * value:.1f} %"


def _interval(q: Quality, loss: float, error: float) -> tuple[float, float]:
    """What is reached at the lower and the upper end of the error."""
    if q.task is not None:
        middle = float(q.shown(loss))
        return max(0.0, middle - quality.LADDER_ERROR), min(1.0, middle + quality.LADDER_ERROR)
    return float(q.shown(loss * (1 - error))), float(q.shown(loss * (1 + error)))


def _certain(question: Question, plan: Plan, q: Quality) -> dict[str, float] | None:
    """Tokens, and how many times the plan's, at which the far end of the interval meets a requirement."""
    if q.task is not None:
        target = min(q.wanted + quality.LADDER_ERROR, 0.999)
        stricter = quality.of_accuracy(q.task, target)
    else:
        stricter = replace(q, limit=q.limit / (1 + law_error(question, plan)))
    needed = _needed(question, plan, stricter)
    if not np.isfinite(needed):
        return None
    return {"tokens": needed, "times": needed / plan.columns["tokens"]}


def _needed(question: Question, plan: Plan, q: Quality) -> float:
    """Tokens at which a plan meets a requirement; one that grows a model trains its last model for longer, or less. [tokens]"""
    c = plan.columns
    if "worth_tokens" not in c:
        tokens = quality.required_tokens(question.learning, (q,), plan.shape, plan.batch_tokens)
        return float(np.max(tokens))
    learning = replace(question.learning, unique_tokens=None)
    worth = float(np.max(quality.required_tokens(learning, (q,), plan.shape, 0.0)))
    return c["tokens"] + (worth - c["worth_tokens"]) / c["worth_per_token"]


def shortfall(question: Question, plan: Plan) -> dict[str, Any]:
    """Which requirement on the trained model a plan misses, and by how much; empty if none."""
    if not plan.columns["quick"]:
        return _too_slow(question, plan)
    if plan.columns["good"]:
        return {}
    for q in question.qualities:
        loss = float(q.loss(question.learning, plan.shape, plan.columns["tokens"], plan.batch_tokens))
        if loss <= q.limit:
            continue
        needed = float(
            np.max(quality.required_tokens(question.learning, (q,), plan.shape, plan.batch_tokens))
        )
        change = (
            f"train on {format_quantity(needed, 'token', digits=4)} tokens"
            if np.isfinite(needed)
            else "a larger model or more data; this one never reaches it"
        )
        return {
            "reason": q.name,
            "needed": q.wanted,
            "available": float(q.shown(loss)),
            "unit": "nats/token" if q.name == "loss" else "share",
            "text": f"{words(q)} is required, {_shown(q, float(q.shown(loss)))} is predicted",
            "smallest_change": change,
        }
    return {}


def _too_slow(question: Question, plan: Plan) -> dict[str, Any]:
    least, service = plan.columns["latency_s"], question.service
    wanted = service.latency_s if service is not None and service.latency_s is not None else float("inf")
    if not np.isfinite(least):
        text = "the trained model does not fit the accelerators that serve it"
        return {"reason": "latency", "text": f"latency: {text}", "smallest_change": "raise inference.n_gpus"}
    return {
        "reason": "latency",
        "needed": least * 1e3,
        "available": wanted * 1e3,
        "unit": "ms",
        "text": f"latency: at least {least * 1e3:.3g} ms between two tokens, {wanted * 1e3:.3g} ms are allowed",
        "smallest_change": f"allow {least * 1e3:.3g} ms, or raise inference.n_gpus",
    }
