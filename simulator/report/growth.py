"""The growth section: models trained in turn, beside training from scratch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from simulator.growth.planning import BREAK_EVEN_RANGE
from simulator.report.text import duration, number, percent, quantity, table, wrap
from simulator.scaling.learning_rate import STEP_LAW_RANGE
from simulator.search.growing_stages import FRUGAL

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


SMALLEST = 0.0005
"""Shares below this one, either way, are shown as none. [-]"""


def saves(share: float | None) -> str:
    """A share that is saved; less than a twentieth of a percent either way is none, and what costs twice as much or more is told so.

    Examples
    --------
    >>> saves(-2e-15), saves(0.0947), saves(-0.36), saves(-47.0), saves(None)
    ('0 %', '9.5 %', '-36 %', 'costs 48 times', '-')
    """
    if share is not None and share <= -1:
        return f"costs {number(1 - share, 2)} times"
    return "0 %" if share is not None and abs(share) < SMALLEST else percent(share)


def trained(stages: Sequence[Document]) -> list[Document]:
    """Stages in which something is trained; stage zero is a model that existed before."""
    return [stage for stage in stages if stage["stage"]]


def chain(stages: Sequence[Document]) -> str:
    """Sizes and times of stages in a row."""
    return " > ".join(
        f"{quantity(s['params'], 'parameter')} {days(s['time_days']) if s['stage'] else 'given'}"
        for s in stages
    )


def given_words(given: Document) -> str:
    """A model that exists, and how far it was trained.

    Examples
    --------
    >>> given_words({"name": "tinyllama-1.1b", "tokens": 3e12, "loss": None})
    'your tinyllama-1.1b (already trained on 3T tokens)'
    """
    loss = given["loss"]
    far = f"on {quantity(given['tokens'], 'token')} tokens" if loss is None else f"to {loss:g} nats/token"
    return f"your {given['name']} (already trained {far})"


def words(document: Document) -> str:
    """What to do about growth, in one sentence."""
    stages, growth = document.get("stages") or [], document.get("growth") or {}
    if not growth:
        return _unplanned(document)
    followed = growth["cases"][growth["follows"]]
    if not stages and followed["pays"] and document["scenario"]["find"] == "growth":
        return f"Train it from scratch.{_left_out(document)}"
    if not stages:
        return _from_scratch(growth, followed)
    doing = OPERATORS.get(growth["operator"], growth["operator"])
    steps = [_first_words(stages[0], growth.get("given"))]
    steps += [
        f"{doing} to {quantity(s['params'], 'parameter')} and train on for {days(s['time_days'])}"
        for s in stages[1:]
    ]
    gain, saving = followed["loss_gain"], followed["saving"]
    among = _among(growth)
    worth = f"; {gain:.4f} nats/token better than from scratch{among}" if gain and gain > 0 else ""
    spared = f", the same loss for {percent(saving)} less" if saving and saving >= SMALLEST else ""
    left_out = _left_out(document) if _asked_for_a_source(document) and not growth.get("given") else ""
    head = "Grow it" if len(stages) > 1 else "Go on with it"
    return f"{head}: {', then '.join(steps)}{worth}{spared}, {_if(growth, followed)}.{_early_words(document)}{_shape_words(growth)}{left_out}"


def _early_words(document: Document) -> str:
    """That the switch comes earlier than in any published case, where it does."""
    early = any(each["id"] == "growth-early" for each in document.get("warnings") or [])
    return " No published case grew so early: take the gain as unproven." if early else ""


def _among(growth: Document) -> str:
    """Which runs from scratch growth was compared with, where not with all under the same limits."""
    least = growth.get("compared_with") == FRUGAL
    return " by any model that serves at no higher cost" if least else ""


def _shape_words(growth: Document) -> str:
    """What the law of size alone says, where the law of shape decides."""
    found = growth.get("by_size") or {}
    if not found.get("decides"):
        return ""
    gain = found["loss_scratch"] - found["loss"]
    ends = f"{abs(gain):.4f} nats/token {'lower' if gain > 0 else 'higher'}"
    return f" Between these two plans {found['shape_law']} decides: by size and tokens alone the grown one would end {ends}."


def _if(growth: Document, followed: Document) -> str:
    return f"if kappa is {followed['kappa']:g} ({growth['follows']})"


def _first_words(stage: Document, given: Document | None) -> str:
    if given is None:
        return f"start with {quantity(stage['params'], 'parameter')} for {days(stage['time_days'])}"
    if not stage["stage"]:
        return f"start with {given_words(given)}"
    return f"train {given_words(given)} on for {days(stage['time_days'])}"


def _from_scratch(growth: Document, followed: Document) -> str:
    """Why the answer is a run from scratch."""
    at, given, gain = (
        f"kappa {followed['kappa']:g} ({growth['follows']})",
        growth.get("given"),
        followed["loss_gain"],
    )
    if followed["pays"]:
        first = "a smaller model first" if given is None else given_words(given)
        return f"Growing {first} would end {gain:.4f} nats/token lower than from scratch, at {at}; find: growth answers with it.{_shape_words(growth)}"
    if given is None:
        return f"Train it from scratch: at {at} growing a smaller model first does not pay.{_shape_words(growth)}"
    if gain is None:
        return f"Train it from scratch: {given_words(given)} cannot be grown within the limits."
    last = quantity(followed["stages"][-1]["params"], "parameter")
    ends = f"{abs(gain):.4f} nats/token {'lower, which saves too little' if gain > 0 else 'higher'}"
    return (
        f"Train it from scratch: {given_words(given)}, grown to {last}, would end {ends}, at {at}.{_shape_words(growth)} "
        "Without growth.source_model a new small model is considered."
    )


def _asked_for_a_source(document: Document) -> bool:
    return bool((document["scenario"].get("growth") or {}).get("source_model"))


def _left_out(document: Document) -> str:
    """What warnings say about growth, as sentences."""
    told = [w["message"] for w in document.get("warnings") or [] if w["id"] == "growth"]
    return "".join(f" {text[:1].upper()}{text[1:]}." for text in told)


def _unplanned(document: Document) -> str:
    """Why no growth was planned, where that was asked."""
    told = _left_out(document)
    if document["scenario"]["find"] == "estimate":
        return told.strip()
    return f"Train it from scratch.{told}" if told else ""


def section(document: Document) -> list[str]:
    """Growth against scratch for each token efficiency, and the stages of the answer."""
    growth = document.get("growth") or {}
    if not growth:
        return []
    lines = table(CASE_HEADS, wrapped(case_rows(growth)), left=(0, 2, 7), gap=1)
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
        gain = "-" if case["loss_gain"] is None else f"{round(case['loss_gain'], 4) + 0.0:+.4f}"
        verdict = "pays" if case["pays"] else "does not pay"
        rows.append(
            (
                f"{name}{mark}",
                f"{case['kappa']:g}",
                chain(case["stages"]),
                loss,
                f"{case['loss_scratch']:.3f}",
                gain,
                saves(case["saving"]),
                verdict,
            )
        )
    return rows


def wrapped(rows: Sequence[tuple[str, ...]], most: int = 2) -> list[tuple[str, ...]]:
    """Rows of a terminal's table, with stages beyond the first `most` in lines below, where nothing is cut off.

    Examples
    --------
    >>> for row in wrapped([("central", "1.1", "5.22B 8.5 h > 10.2B 3 days > 20.1B 6.6 days", "pays")]):
    ...     print(row)
    ('central', '1.1', '5.22B 8.5 h > 10.2B 3 days >', 'pays')
    ('', '', '20.1B 6.6 days', '')
    """
    out = []
    for row in rows:
        stages = row[2].split(" > ")
        lines = [" > ".join(stages[i : i + most]) for i in range(0, len(stages), most)]
        lines = [f"{line} >" for line in lines[:-1]] + lines[-1:]
        out.append((*row[:2], lines[0], *row[3:]))
        out += [("", "", line, *[""] * len(row[3:])) for line in lines[1:]]
    return out


def reading(growth: Document) -> str:
    """How to read the rows."""
    known = [
        case["break_even_kappa"] for case in growth["cases"].values() if case["break_even_kappa"] is not None
    ]
    least, most = BREAK_EVEN_RANGE
    if not known:
        above = f"Growth pays at no kappa up to {most:g}. "
    elif known[0] <= least:
        above = f"Growth pays at every kappa from {least:g} on. "
    else:
        above = f"Growth pays above kappa {number(known[0])}. "
    return (
        f"{above}kappa: what a token is worth after the switch, relative to a model trained from scratch; an assumption read "
        "from published cases (trainsim validate --growth). Gain: loss from scratch minus loss grown. Saves: share of the "
        "budget spared on the way to the loss from scratch. The answer follows the line marked *."
    )


def stage_table(stages: Sequence[Document]) -> list[str]:
    """Every stage with its layout, and the learning rates and batches that a law recommends."""
    lines, own = table(STAGE_HEADS, stage_rows(stages), left=(1,), gap=1), trained(stages)
    if any("peak_learning_rate" not in s for s in own):
        return lines
    rates = ", ".join(f"{s['peak_learning_rate']:.1e}" for s in own)
    sizes = ", ".join(quantity(s["recommended_batch_tokens"], "token") for s in own)
    text = f"Peak learning rates by StepLaw: {rates}; its batches: {sizes} tokens.{_beyond_step_law(own)}"
    return [*lines, *wrap(text, indent=2, hang=2)]


def _beyond_step_law(stages: Sequence[Document]) -> str:
    """On what the law of rates and batches was fitted, where a stage lies outside; else empty.

    Examples
    --------
    >>> _beyond_step_law([{"params": 4e8, "tokens": 1e10}, {"params": 2.7e9, "tokens": 3.8e12}])
    ' It was fitted on 60M to 1B parameters and 2B to 100B tokens; beyond, both are extrapolations.'
    >>> _beyond_step_law([{"params": 4e8, "tokens": 1e10}])
    ''
    """
    if all(low <= s[name] <= high for s in stages for name, (low, high) in STEP_LAW_RANGE.items()):
        return ""
    covered = [
        f"{quantity(low, 'token')} to {quantity(high, 'token')} {'parameters' if name == 'params' else name}"
        for name, (low, high) in STEP_LAW_RANGE.items()
    ]
    return f" It was fitted on {' and '.join(covered)}; beyond, both are extrapolations."


def stage_rows(stages: Sequence[Document]) -> list[tuple[str, ...]]:
    """Every stage with its layout, as cells; of a model that existed before, its tokens and its loss."""
    return [_given_row(s) if not s["stage"] else _stage_row(s) for s in stages]


def _model(s: Document) -> str:
    return f"{quantity(s['params'], 'parameter')} {s['num_hidden_layers']}x{s['hidden_size']}"


def _given_row(s: Document) -> tuple[str, ...]:
    tokens = quantity(s["credit_tokens"], "token")
    return ("0", _model(s), tokens, "given", *("-" for _ in range(8)), f"{s['loss_end']:.3f}")


def _stage_row(s: Document) -> tuple[str, ...]:
    return (
        str(s["stage"]),
        _model(s),
        quantity(s["tokens"], "token"),
        days(s["time_days"]),
        number(s["step_time_s"]),
        str(s["global_batch_size"]),
        *(str(s[name]) for name in ("micro_batch_size", "tp", "pp", "dp")),
        "-" if s["cost_usd"] is None else quantity(s["cost_usd"], "USD"),
        "-" if s["loss_start"] is None else f"{s['loss_start']:.3f}",
        f"{s['loss_end']:.3f}",
    )


STAGE_HEADS = (
    *("stage", "model", "tokens", "time", "step s", "GBS", "MBS", "TP", "PP", "DP"),
    *("cost", "loss from", "to"),
)
