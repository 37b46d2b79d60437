"""Rows of a comparison: their figures, their order, their labels, and which of them no other beats."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from simulator.errors import SpecError
from simulator.result import Result
from simulator.schema import Ownership, Scenario, quote

FIGURES = (
    "accelerator n_gpus params tokens loss time_to_train_days gpu_hours cost_usd usd_per_gpu_hour usd_per_m_tokens "
    "energy_mwh co2e_t step_time_s tokens_per_s_per_gpu model_tflops_per_gpu mfu memory_gib memory_capacity_gib "
    "memory_verdict tp pp dp cp ep vp micro_batch_size global_batch_size recompute zero_stage interval loss_law"
).split()
"""Figures of a row, as in the answer of a result."""

NEAREST = ("median_error", "rows", "regime", "bits")
"""What a row says of the nearest measured runs: how wrong the clock was on them, how many they are, and which; and the width of
its format."""

PARETO = ("loss", "time_to_train_days", "cost_usd")
"""Figures in which a row may be beaten; smaller is better in each."""

FIRST_OF_LAW = "first of its law"
"""Why a row stands where it stands, if losses of several laws are not compared."""

WRITTEN_RENT = "the scenario"
"""Label of a price that the scenario states itself; an answer at such a price names no offer."""


def law_of(row: Mapping[str, Any]) -> tuple[Any, ...]:
    """What the loss of a row is predicted by; losses of rows that differ in it belong to different corpora or constants.

    Examples
    --------
    >>> law_of({"loss_law": "Besiroglu2024", "vary": {"law": "Besiroglu2024", "training.tokens": "1T"}})
    ('Besiroglu2024', 'Besiroglu2024')
    """
    varied = (value for path, value in row["vary"].items() if path.split(".")[0] in ("law", "shape_law"))
    return (row["loss_law"], *varied)


def by_law(rows: Sequence[Any]) -> dict[tuple[Any, ...], list[Any]]:
    """Rows by the law of their losses, in their order; rows without a loss go with the first law.

    Examples
    --------
    >>> rows = [{"loss": 2.1, "loss_law": law, "vary": {}} for law in ("Besiroglu2024", "Kaplan2020", "Besiroglu2024")]
    >>> {law: len(group) for law, group in by_law(rows).items()}
    {('Besiroglu2024',): 2, ('Kaplan2020',): 1}
    """
    first = next((law_of(row) for row in rows if row.get("loss") is not None), ())
    out: dict[tuple[Any, ...], list[Any]] = {}
    for row in rows:
        out.setdefault(first if row.get("loss") is None else law_of(row), []).append(row)
    return out


def key(result: Result, fixed: bool, law: int) -> tuple[float, ...]:
    """What a row is ordered by: whether it runs, the place of its law, its loss unless that is fixed, cost and time."""
    figures = {
        name: result.answer.get(name) for name in ("loss", "cost_usd", "time_to_train_days", "step_time_s")
    }
    big = {name: (np.inf if value is None else float(value)) for name, value in figures.items()}
    last = (big["cost_usd"], big["time_to_train_days"], big["step_time_s"])
    return (not result.feasible, law, *(last if fixed else (big["loss"], *last)))


def row_of(
    result: Result, entry: Mapping[str, Any], named: Mapping[str, str], asked: Scenario | SpecError
) -> dict[str, Any]:
    """The figures of an answer, with what varied, the price, and the reason where nothing runs."""
    answer = result.answer
    row: dict[str, Any] = {"label": "", "vary": dict(named), "feasible": result.feasible}
    row |= {"pareto": False, "why": ""}
    row |= {figure: answer.get(figure) for figure in FIGURES}
    row["n_gpus"] = answer.get("n_gpus", entry.get("n_gpus"))
    row["accelerator"] = (
        asked.hardware[0].accelerator.label if isinstance(asked, Scenario) else _text(entry["accelerator"])
    )
    row |= _price(asked, answer.get("offer", WRITTEN_RENT) if answer else None)
    known = answer.get("evidence") or {}
    row["evidence"] = known.get("grade")
    row |= {f"evidence_{name}": known.get(name) for name in NEAREST}
    if not result.feasible:
        row["why"] = str(result.infeasible.get("text", "nothing runs"))
    return row


def _text(accelerator: Any) -> str:
    return str(accelerator.get("name", "")) if isinstance(accelerator, Mapping) else str(accelerator)


def _price(asked: Scenario | SpecError, offer: str | None) -> dict[str, str]:
    """Who asks the price of a row, on which terms, where and when; empty texts if nobody's is known."""
    choices = asked.hardware[0].choices if isinstance(asked, Scenario) else ()
    priced = [(choice, found) for choice in choices if (found := quote(choice)) is not None]
    if len(choices) > 1:
        bought = [found for choice, found in priced if isinstance(choice.price, Ownership)]
        named = [found for _, found in priced if found.label == offer] or (bought if offer else [])
    else:
        named = [found for _, found in priced]
    found = named[0] if named else None
    if found is None:
        return {"provider": "", "terms": "", "region": "", "price_date": ""}
    return {
        "provider": found.provider,
        "terms": found.terms,
        "region": found.region,
        "price_date": found.date,
    }


def label(rows: Sequence[dict[str, Any]]) -> None:
    """Name the rows: hardware, then what varies; the provider where that alone tells them apart."""
    for row in rows:
        number = f"{row['n_gpus']:,} x " if row["n_gpus"] else ""
        own = ("hardware.n_gpus", "hardware.accelerator")
        values = [
            f"{path.rpartition('.')[2]} {value}" for path, value in row["vary"].items() if path not in own
        ]
        row["label"] = ", ".join([f"{number}{row['accelerator']}", *values])
    labels = [row["label"] for row in rows]
    for row, label in zip(rows, labels, strict=True):
        if labels.count(label) > 1 and row["provider"]:
            row["label"] = f"{label} ({row['provider']})"


def mark(rows: list[dict[str, Any]]) -> None:
    """Mark the rows that no other beats in every figure of `PARETO`, and say why the others lost to the first of their law."""
    running = [row for row in rows if row["feasible"]]
    for row in running:
        row["pareto"] = not any(_beats(other, row) for other in running if other is not row)
    groups = by_law(running)
    for best, row in ((group[0], row) for group in groups.values() for row in group[1:]):
        parts = []
        if None not in (row["loss"], best["loss"]) and abs(row["loss"] - best["loss"]) > 1e-9:
            parts.append(f"loss {row['loss'] - best['loss']:+.4f}")
        for figure, words in (
            ("cost_usd", "the cost"),
            ("time_to_train_days", "the time"),
            ("step_time_s", "the step time"),
        ):
            mine, other = row[figure], best[figure]
            if mine is not None and other and abs(mine / other - 1) > 5e-4 and len(parts) < 3:
                parts.append(f"{mine / other:.3g} x {words}")
        row["why"] = ", ".join(parts) or "as good, named later"
    for group in groups.values() if len(groups) > 1 else ():
        group[0]["why"] = FIRST_OF_LAW


def _beats(other: dict[str, Any], row: dict[str, Any]) -> bool:
    """Whether a row of the same law is as good in every figure and better in one; a figure that is not known is the worst."""
    if None not in (other["loss"], row["loss"]) and law_of(other) != law_of(row):
        return False
    pairs = [[np.inf if one[name] is None else one[name] for one in (other, row)] for name in PARETO]
    return all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)
