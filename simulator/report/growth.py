"""The growth section: models trained in turn, beside training from scratch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from simulator.report.text import duration, number, percent, quantity, table, wrap

DAY = 86400.0

Document = Mapping[str, Any]

OPERATORS = {
    "hypercloning": "double the width",
    "g_stack": "double the depth",
    "stacking": "double the depth",
}
"""Operator, to what it does to a model."""


def days(value: float) -> str:
    """Days as time with two digits.

    Examples
    --------
    >>> days(9.336), days(0.664)
    ('9.3 days', '16 h')
    """
    return duration(value * DAY, 2)


def chain(stages: Sequence[Document]) -> str:
    """Sizes and times of stages in a row."""
    return " > ".join(f"{quantity(s['params'], 'parameter')} {days(s['time_days'])}" for s in stages)


def words(document: Document) -> str:
    """What to do about growth, in one sentence."""
    stages, growth = document.get("stages") or [], document.get("growth") or {}
    if not growth:
        return ""
    followed = growth["cases"][growth["follows"]]
    if not stages:
        return f"Train it from scratch: at kappa {followed['kappa']:g} ({growth['follows']}) growing a smaller model first does not pay."
    steps = [f"start with {quantity(stages[0]['params'], 'parameter')} for {days(stages[0]['time_days'])}"]
    doing = OPERATORS.get(growth["operator"], growth["operator"])
    steps += [
        f"{doing} to {quantity(s['params'], 'parameter')} and train on for {days(s['time_days'])}"
        for s in stages[1:]
    ]
    gain, saving = followed["loss_gain"], followed["saving"]
    worth = f"; {gain:.4f} nats/token better than from scratch" if gain and gain > 0 else ""
    spared = f", the same loss for {percent(saving)} less" if saving and saving > 0 else ""
    return f"Grow it: {', then '.join(steps)}{worth}{spared}, if kappa is {followed['kappa']:g} ({growth['follows']})."


def section(document: Document) -> list[str]:
    """Growth against scratch for each token efficiency, and the stages of the answer."""
    growth = document.get("growth") or {}
    if not growth:
        return []
    lines = table(CASE_HEADS, case_rows(growth), left=(0, 2, 7), gap=1)
    lines += wrap(reading(growth), indent=2, hang=2)
    if document.get("stages"):
        lines += ["", *stage_table(document["stages"])]
    return lines


CASE_HEADS = ("assumption", "kappa", "best stages", "loss", "scratch", "gain", "saves", "")


def case_rows(growth: Document) -> list[tuple[str, ...]]:
    """Growth against scratch for each token efficiency, as cells."""
    rows: list[tuple[str, ...]] = []
    for name, case in growth["cases"].items():
        mark = "*" if name == growth["follows"] else ""
        loss = "-" if case["loss"] is None else f"{case['loss']:.3f}"
        gain = "-" if case["loss_gain"] is None else f"{case['loss_gain']:+.4f}"
        saves = "-" if case["saving"] is None else percent(case["saving"])
        verdict = "pays" if case["pays"] else "does not pay"
        rows.append(
            (
                f"{name}{mark}",
                f"{case['kappa']:g}",
                chain(case["stages"]),
                loss,
                f"{case['loss_scratch']:.3f}",
                gain,
                saves,
                verdict,
            )
        )
    return rows


def reading(growth: Document) -> str:
    """How to read the rows."""
    known = [
        case["break_even_kappa"] for case in growth["cases"].values() if case["break_even_kappa"] is not None
    ]
    above = (
        f"Growth pays above kappa {number(known[0])}. "
        if known
        else "Growth pays at no kappa that was tried. "
    )
    return (
        f"{above}kappa: what a token is worth after the switch, relative to a model trained from scratch; an assumption read "
        "from published cases (trainsim validate --growth). Gain: loss from scratch minus loss grown. Saves: share of the "
        "budget spared on the way to the loss from scratch. The answer follows the line marked *."
    )


def stage_table(stages: Sequence[Document]) -> list[str]:
    """Every stage with its layout, and the learning rates and batches that a law recommends."""
    lines = table(STAGE_HEADS, stage_rows(stages), left=(1,), gap=1)
    if any("peak_learning_rate" not in s for s in stages):
        return lines
    rates = ", ".join(f"{s['peak_learning_rate']:.1e}" for s in stages)
    sizes = ", ".join(quantity(s["recommended_batch_tokens"], "token") for s in stages)
    return [*lines, f"  Peak learning rates by StepLaw: {rates}; its batches: {sizes} tokens."]


def stage_rows(stages: Sequence[Document]) -> list[tuple[str, ...]]:
    """Every stage with its layout, as cells."""
    return [
        (
            str(s["stage"]),
            f"{quantity(s['params'], 'parameter')} {s['num_hidden_layers']}x{s['hidden_size']}",
            quantity(s["tokens"], "token"),
            days(s["time_days"]),
            number(s["step_time_s"]),
            str(s["global_batch_size"]),
            *(str(s[name]) for name in ("micro_batch_size", "tp", "pp", "dp")),
            "-" if s["cost_usd"] is None else quantity(s["cost_usd"], "USD"),
            "-" if s["loss_start"] is None else f"{s['loss_start']:.3f}",
            f"{s['loss_end']:.3f}",
        )
        for s in stages
    ]


STAGE_HEADS = (
    *("stage", "model", "tokens", "time", "step s", "GBS", "MBS", "TP", "PP", "DP"),
    *("cost", "loss from", "to"),
)
