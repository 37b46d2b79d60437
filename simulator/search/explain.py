"""Why this plan: what binds it, what a little more would buy, why the others lost, and which are as good."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from simulator import memory, scaling
from simulator.errors import SimulatorError
from simulator.search import choice, enough, goal, places, required
from simulator.search.breakdown import breakdown
from simulator.search.choice import Pool
from simulator.search.question import ENOUGH_DATA, RESOLUTION_NATS, Limits, Question
from simulator.search.shortfalls import DAY, LIMIT_NAMES
from simulator.search.table import Found, Plan, plan_of
from simulator.units import format_quantity

TEN_THOUSAND = 10_000.0
"""A little more money, where the limit is at least as much. [USD]"""


def more(limits: Limits, name: str) -> tuple[Limits, str]:
    """A little more of a limit, and in words: a day, ten thousand dollars, a tenth."""
    if name == "time_s" and limits.time_s:
        return limits.scaled(time_s=1 + DAY / limits.time_s), "one more day"
    if name == "cost_usd" and limits.cost_usd and limits.cost_usd >= TEN_THOUSAND:
        return limits.scaled(cost_usd=1 + TEN_THOUSAND / limits.cost_usd), "$10k more"
    return limits.scaled(**{name: 1.1}), f"10 % more {LIMIT_NAMES[name]}"


def multiplier(question: Question, loss: float, reference: float) -> float | None:
    """Compute that a difference of losses is worth, at best size; ``None`` where the law has no such form. [-]"""
    try:
        value = float(
            scaling.compute_multiplier(law=question.learning.law, loss=loss, reference_loss=reference)
        )
    except SimulatorError:
        return None
    return value if np.isfinite(value) else None


def binding(question: Question, plan: Plan, found: Found | None = None) -> dict[str, Any]:
    """The limit that ends the run, and the shadow price of each limit."""
    if question.shortest:
        return required.binding(question, plan, found)
    if question.fixed:
        out: dict[str, Any] = {"constraint": _fixed_constraint(question, plan)}
    else:
        out = {"constraint": _constraint(question, plan)}
        if found is not None or (question.from_scratch and plan.columns["runs"] >= 1):
            out |= _shadow_prices(question, plan, found, out["constraint"])
        if spared := enough.report(question, plan):
            out["enough"] = spared
    out["text"] = _binding_text(out)
    return out


def _fixed_constraint(question: Question, plan: Plan) -> str:
    """What decides with the number of tokens given: the limit that is broken, or the tokens."""
    place = int(plan.columns["binding"])
    return LIMIT_NAMES[question.limits.given[place]] if plan.columns["runs"] < 1 and place >= 0 else "tokens"


def _constraint(question: Question, plan: Plan) -> str:
    place = int(plan.columns["binding"])
    if place == ENOUGH_DATA:
        return "data"
    return "none" if place < 0 else LIMIT_NAMES[question.limits.given[place]]


def _least_loss(question: Question, plan: Plan, found: Found | None, limits: Limits) -> float | None:
    """Loss of the answer to a changed question: the best of the plans found, or the same plan where none are at hand."""
    if found is None:
        asked = replace(question, limits=limits)
        again = plan_of(asked, plan.machine, plan.n_gpus, plan.shape, plan.layout, plan.step_time_s)
        return again.columns["loss"] if again.columns["runs"] >= 1 else None
    better = choice.pool(question, found, limits)
    return float(better.columns["loss"][choice.lifetime_first(question, better)]) if len(better) else None


def _shadow_prices(question: Question, plan: Plan, found: Found | None, tight: str) -> dict[str, Any]:
    """What a little more of each limit would buy; data are the constraint if they buy more than the limit itself."""

    def gain(changed: Question, limits: Limits) -> float | None:
        loss = _least_loss(changed, plan, found, limits)
        return None if loss is None else min(loss - plan.columns["loss"], 0.0)

    prices: dict[str, Any] = {}
    for name in question.limits.given:
        limits, change = more(question.limits, name)
        difference = gain(question, limits)
        if difference is not None:
            prices[LIMIT_NAMES[name]] = _price(question, plan, change, difference)
    unique = question.learning.unique_tokens
    if unique is None or tight == "none":
        return {"shadow_prices": prices}
    learning = replace(question.learning, unique_tokens=1.1 * unique)
    data = gain(replace(question, learning=learning), question.limits)
    longer = gain(question, question.limits.scaled(**dict.fromkeys(question.limits.given, 1.1)))
    if data is None or longer is None:
        return {"shadow_prices": prices}
    prices["data"] = _price(question, plan, "10 % more distinct data", data)
    return {"shadow_prices": prices, "constraint": "data" if data < longer else tight}


def _price(question: Question, plan: Plan, change: str, difference: float) -> dict[str, Any]:
    loss = plan.columns["loss"]
    return {
        "change": change,
        "loss_difference": difference,
        "compute_multiplier": multiplier(question, loss + difference, loss),
    }


def _binding_text(out: dict[str, Any]) -> str:
    limit = out["constraint"]
    if limit == "none":
        return "nothing limits the length of the run"
    text = (
        "the number of tokens sets the length of the run"
        if limit == "tokens"
        else f"{limit} is the binding limit"
    )
    text = "; ".join([text, *(_price_words(price) for price in out.get("shadow_prices", {}).values())])
    return f"{text}; {out['enough']['text']}" if "enough" in out else text


SHOWN_NATS = 5e-5
"""Differences of losses below this are zero as they are written. [nats/token]"""


def _price_words(price: dict[str, Any]) -> str:
    """What a little more of a limit buys."""
    lower = -price["loss_difference"]
    if lower <= 0:
        return f"{price['change']} changes nothing"
    if lower < SHOWN_NATS:
        return f"{price['change']} lowers the loss by less than {2 * SHOWN_NATS:.4f}"
    times = price["compute_multiplier"]
    worth = f", worth {100 * (times - 1):.1f} % compute" if times else ""
    return f"{price['change']} lowers the loss by {lower:.4f}{worth}"


def family(question: Question, choices: Pool, plan: Plan) -> dict[str, Any]:
    """The plans that the law cannot tell from the answer, as ranges: equal losses, or as much spent for the same loss."""
    name = goal.main(question)
    if not len(choices) or not np.isfinite(plan.columns["loss"]):
        return {}
    margin = goal.margin(question)
    near = goal.score(question, choices.columns, name) <= goal.score(question, plan.figures, name) + margin
    ranges = {
        each: [float(np.min(choices.columns[each][near])), float(np.max(choices.columns[each][near]))]
        for each in FAMILY_RANGES
    }
    shapes = {
        tuple(row)
        for row in np.stack(
            [choices.columns[n][near] for n in ("params", "hidden_size", "num_hidden_layers")], axis=1
        ).tolist()
    }
    loss = name in ("loss", "accuracy_loss")
    plans = int(np.count_nonzero(near))
    how = (
        f"{len(shapes)} shapes lie within {RESOLUTION_NATS} nats of the answer, which laws of loss cannot tell apart"
        if loss
        else f"{len(shapes)} shapes come within {100 * np.expm1(margin):.1f} % of the answer's {goal.WORDS[name]}, "
        + _what_margin(question, margin)
    )
    return {
        "resolution_nats": RESOLUTION_NATS,
        **({} if loss else {"resolution_share": float(np.expm1(margin))}),
        "plans": plans,
        "shapes": len(shapes),
        "ranges": ranges,
        "text": f"{how}: {_range_words(ranges)} ({plans:,} plans with their batches)",
    }


FAMILY_RANGES = (
    "params",
    "num_hidden_layers",
    "hidden_size",
    "tokens",
    "global_batch_size",
    "n_gpus",
    "wall_s",
    "gpu_hours",
    "loss",
)
"""Columns whose ranges a family shows."""


def _what_margin(question: Question, margin: float) -> str:
    if goal.main(question) in goal.SPENT and margin != goal.MARGIN:
        return f"what {RESOLUTION_NATS} nats are worth, which laws of loss cannot tell apart"
    return "too little to choose by"


def _range_words(ranges: dict[str, list[float]]) -> str:
    (small, large), (few, many), (narrow, wide) = (
        ranges[name] for name in ("params", "num_hidden_layers", "hidden_size")
    )
    return (
        f"{format_quantity(small, 'parameter')} to {format_quantity(large, 'parameter')} parameters, {few:.0f} to {many:.0f} layers, "
        f"{narrow:,.0f} to {wide:,.0f} wide"
    )


def why_shape_lost(question: Question, plan: Plan, best: Plan) -> str:
    """One line on why a plan of another size or place is not the answer."""
    gap = plan.columns["loss"] - best.columns["loss"]
    size, data = plan.params / best.params, plan.columns["tokens"] / best.columns["tokens"]
    if not question.from_scratch:
        parts = []
    elif gap > 1e-9:
        parts = [f"loss +{gap:.4f}"]
        worth = multiplier(question, plan.columns["loss"], best.columns["loss"])
        if worth is not None:
            parts.append(f"as if {100 * (1 - worth):.1f} % of the compute were lost")
    elif gap < -1e-9:
        parts = [f"loss {gap:.4f}"]
    else:
        parts = ["same loss"]
    parts += _aim_words(question, plan, best)
    mine, other = _cost_usd(question, plan), _cost_usd(question, best)
    if np.isfinite(mine - other) and abs(mine - other) > 1e-6 * abs(other):
        much = format_quantity(abs(mine - other), "USD")
        parts.append(f"{goal.words(question, 'cost_usd')} {'+' if mine > other else '-'}{much}")
    if not np.isclose(size, 1.0) or not np.isclose(data, 1.0):
        moves = ((size, "parameters"), (data, "tokens"))
        parts += [f"{100 * (by - 1):+.0f} % {what}" for by, what in moves if abs(by - 1) >= 0.005]
    parts += places.words(question, plan, best)
    days = (plan.columns["wall_s"] - best.columns["wall_s"]) / DAY
    if np.isfinite(days) and abs(days) > 1e-6 * best.columns["wall_s"] / DAY:
        parts.append(f"{days:+.2f} days")
    tight = "" if _tight_words(question, best) else _tight_words(question, plan)
    return "; ".join([*parts, *([tight] if tight else [])])


def _cost_usd(question: Question, plan: Plan) -> float:
    """What a plan costs, with serving where the question demands it. [USD]"""
    price = question.machines[plan.machine].usd_per_gpu_hour or 0.0
    served = plan.columns["serving_s"] / 3600.0 * price if question.inference_tokens else 0.0
    return plan.columns["cost_usd"] + served


AIMS = ("energy_j", "co2e_kg", "latency_s")
"""Objectives whose figure stands in no other part of the reasons."""


def _aim_words(question: Question, plan: Plan, best: Plan) -> list[str]:
    """What a plan takes more, or less, of what was to be low."""
    words = []
    for name in (each for each in question.objectives if each in AIMS):
        mine, other = plan.columns[name], best.columns[name]
        if not np.isfinite(mine - other) or np.isclose(mine, other):
            continue
        scale, unit = required.UNIT[name]
        shown = required.difference_words(abs(mine - other) / scale, unit)
        words.append(
            f"{goal.WORDS[name]} {'+' if mine > other else '-'}{shown} ({100 * (mine / other - 1):+.0f} %)"
        )
    return words


def why_layout_lost(question: Question, plan: Plan, best: Plan) -> str:
    """One line on why a slower layout of the same model lost: the level of its breakdown that grew most."""
    machine = question.machines[plan.machine]
    mine, others = breakdown(plan, machine), breakdown(best, machine)
    scale = plan.batch_tokens / best.batch_tokens
    growth = {name: mine.get(name, 0.0) / scale - others.get(name, 0.0) for name in {*mine, *others}}
    worst = max(sorted(growth), key=lambda name: growth[name])
    slower = plan.step_time_s / scale / best.step_time_s - 1
    if slower < 0:
        return f"{-100 * slower:.1f} % faster per token, but {_but(question, plan, best)}"
    return f"{100 * slower:.1f} % slower per token; {worst} +{growth[worst]:.3g} s per step"


def _but(question: Question, plan: Plan, best: Plan) -> str:
    """What speaks against a layout that is faster per token: a batch that takes more tokens, or memory without reserve."""
    more = best.columns["batch_factor"] / plan.columns["batch_factor"] - 1
    words = []
    if plan.batch_sequences != best.batch_sequences and more > 0:
        scratch = ", if it is as in training from scratch" if question.pretrained else ""
        words.append(
            f"a batch of {plan.batch_sequences:,.0f} sequences takes {100 * more:.0f} % more tokens to the same loss{scratch}"
        )
    words += [text] if (text := _tight_words(question, plan)) else []
    return " and ".join(words) or "it lasts longer in all"


def _tight_words(question: Question, plan: Plan) -> str:
    """Memory without reserve, where a plan leaves so little; else empty."""
    setting = question.machines[plan.machine].setting
    capacity = float(setting.device.memory_capacity)
    judged, margin = memory.verdict(float(setting.memory(plan.shape, plan.layout)["total"]), capacity)
    return f"its memory is tight: {float(margin) / 2**30:.2g} GiB are left" if judged == "TIGHT" else ""
