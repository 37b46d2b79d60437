"""Why this plan: what binds it, what a little more would buy, why the others lost, and which are as good."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from simulator import memory, scaling
from simulator.errors import SimulatorError
from simulator.search import choice, goal, planner, required
from simulator.search.breakdown import breakdown
from simulator.search.choice import Pool
from simulator.search.question import ENOUGH_DATA, ONE_STEP, RESOLUTION_NATS, Limits, Question
from simulator.search.table import Found, Plan
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
        if found is not None:
            out |= _shadow_prices(question, plan, found, out["constraint"])
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


def _shadow_prices(question: Question, plan: Plan, found: Found, tight: str) -> dict[str, Any]:
    """What a little more of each limit would buy; data are the constraint if they buy more than the limit itself."""

    def gain(changed: Question, limits: Limits) -> float | None:
        better = choice.pool(changed, found, limits)
        if not len(better):
            return None
        first = choice.lifetime_first(changed, better)
        return min(float(better.columns["loss"][first]) - plan.columns["loss"], 0.0)

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
    for price in out.get("shadow_prices", {}).values():
        if price["loss_difference"] < 0:
            worth = (
                f", worth {100 * (price['compute_multiplier'] - 1):.1f} % compute"
                if price["compute_multiplier"]
                else ""
            )
            text += f"; {price['change']} lowers the loss by {-price['loss_difference']:.4f}{worth}"
        else:
            text += f"; {price['change']} changes nothing"
    return text


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
        f"{small / 1e9:.3g} to {large / 1e9:.3g}B parameters, {few:.0f} to {many:.0f} layers, "
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
    cost = plan.columns["cost_usd"] - best.columns["cost_usd"]
    if np.isfinite(cost) and abs(cost) > 1e-6 * abs(best.columns["cost_usd"]):
        parts.append(f"cost {'+' if cost > 0 else '-'}${abs(cost):,.0f}")
    if not np.isclose(size, 1.0) or not np.isclose(data, 1.0):
        parts.append(f"{100 * (size - 1):+.0f} % parameters, {100 * (data - 1):+.0f} % tokens")
    parts += _place_words(question, plan, best)
    days = (plan.columns["wall_s"] - best.columns["wall_s"]) / DAY
    if np.isfinite(days) and abs(days) > 1e-6 * best.columns["wall_s"] / DAY:
        parts.append(f"{days:+.2f} days")
    return "; ".join(parts)


def _place_words(question: Question, plan: Plan, best: Plan) -> list[str]:
    """Offer and grid of a plan on the answer's accelerator, where they are not the answer's."""
    here, there = question.machines[plan.machine], question.machines[best.machine]
    if here.label != there.label:
        return []
    mine, other = (machine.about.get("offer") or {} for machine in (here, there))
    words = [f"price: {mine['text']}"] if mine.get("text") and mine != other else []
    if here.grid_g_per_kwh is not None and here.grid_g_per_kwh != there.grid_g_per_kwh:
        words.append(f"grid of {here.grid_g_per_kwh:g} gCO2e/kWh")
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
        words.append(
            f"a batch of {plan.batch_sequences:,.0f} sequences takes {100 * more:.0f} % more tokens to the same loss"
        )
    setting = question.machines[plan.machine].setting
    capacity = float(setting.device.memory_capacity)
    judged, margin = memory.verdict(float(setting.memory(plan.shape, plan.layout)["total"]), capacity)
    if judged == "TIGHT":
        words.append(f"its memory is tight: {float(margin) / 2**30:.2g} GiB are left")
    return " and ".join(words) or "it lasts longer in all"


def shortfall(question: Question, plan: Plan) -> dict[str, Any]:
    """Why a plan breaks a limit or is not good enough, by how much, and the smallest change."""
    limits, c, machine = question.limits, plan.columns, question.machines[plan.machine]
    poor = required.shortfall(question, plan)
    if poor:
        return poor
    needs = _needs(plan, c["wall_s"])
    if c["steps"] < ONE_STEP:
        return too_short(question, plan)
    over = {n: needs[n] / getattr(limits, n) for n in limits.given if np.isfinite(needs[n])}
    if not over:
        return no_price(machine.label)
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
    """The plan that a question gets for another number of tokens: one with memory to spare, if that keeps the limits."""
    asked = replace(question, tokens=tokens)
    best = None
    for each in (planner.with_headroom(asked, memory.advice.TIGHT_SHARE), asked):
        plans, _ = choice.layouts(each, plan.machine, plan.n_gpus, plan.shape, number=1)
        best = best or (plans[0] if plans else None)
        if plans and plans[0].columns["runs"] >= 1:
            return plans[0]
    return best


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


def no_price(labels: str) -> dict[str, Any]:
    """Why a limit on cost cannot be judged, and what to write."""
    return {
        "reason": "price",
        "text": f"a limit on cost needs hardware.price: no price is known for {labels}",
        "smallest_change": "write hardware.price, such as $2.50/GPU-h",
    }


def limits_text(limits: Limits) -> str:
    """Limits in words."""
    return ", ".join(LIMIT_NAMES[name] for name in limits.given) or "none"
