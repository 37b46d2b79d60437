"""Sections on what was asked for: requirements, fronts, offers, deadlines, interruptions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from simulator.energy import CARBON, ENERGY, rung
from simulator.report.text import duration, number, quantity, table, wrap

Document = Mapping[str, Any]

DAY = 86400.0

MANY = 256
"""Accelerators from which on interruptions have a section of their own. [-]"""

FIGURES = {
    "loss": ("loss", lambda row: f"{row['loss']:.3f}"),
    "cost_usd": ("cost", lambda row: _or_dash(row["cost_usd"], "USD")),
    "lifetime": ("in all", lambda row: _or_dash(row["lifetime_cost_usd"], "USD")),
    "wall_s": ("time", lambda row: duration(row["time_to_train_days"] * DAY)),
    "latency_s": ("latency", lambda row: _or_dash(row.get("latency_s"), "second")),
}
"""Column of a front: head, and cell of a row."""

SPENT = {"energy_j": ("energy", ENERGY), "co2e_kg": ("CO2e", CARBON)}
"""Columns of a front that are shown in one unit for all rows, that of the largest: head, and units."""

KEYS = {
    "loss": "loss",
    "cost_usd": "cost_usd",
    "lifetime": "lifetime_cost_usd",
    "wall_s": "time_to_train_days",
    "energy_j": "energy_mwh",
    "co2e_kg": "co2e_t",
    "latency_s": "latency_s",
}
"""Column of a front to the figure of a row, in the order of the table."""


MOST_ROWS = 24
"""Rows of a front that a terminal shows; all of them are in the JSON. [-]"""

AIMS = {"cost": "lifetime", "energy": "energy_j", "carbon": "co2e_kg", "latency": "latency_s"}
"""Objectives of a scenario to the column that shows them beside alternatives, where they have no other."""


def _or_dash(value: float | None, dimension: str) -> str:
    return "-" if value is None else quantity(value, dimension)


def requirement_texts(document: Document) -> list[str]:
    """What was required of the trained model, what is predicted, how surely, and what certainty costs."""
    out = []
    for row in (document.get("requirements") or {}).values():
        text, sure = row["text"], row.get("certain")
        if sure is None:
            text += "; no number of tokens brings this model to the safe end of the interval"
        elif sure["times"] > 1.005:
            text += (
                f"; to keep it nine times in ten, train on {quantity(sure['tokens'], 'token')} tokens, "
                f"{number(sure['times'], 2)} times as many"
            )
        out.append(f"{text}.")
    return out


def requirements(document: Document) -> list[str]:
    """`requirement_texts` as a list."""
    return bullets(requirement_texts(document))


def bullets(texts: list[str]) -> list[str]:
    """Sentences as lines of a list."""
    return [line for text in texts for line in wrap(f"- {text}", indent=2, hang=4)]


def front(document: Document) -> list[str]:
    """The plans that no other beats, in order of the first objective."""
    rows = document.get("frontier") or []
    if not rows:
        return []
    several = len({row["accelerator"] for row in rows}) > 1 or len({row.get("offer") for row in rows}) > 1
    columns, some = shown(rows), thinned(rows)
    heads = ("model", "GPUs", "tokens", *(head for head, _ in columns), "")
    cells = [
        (
            name(row, several),
            f"{row['n_gpus']:,}",
            quantity(row["tokens"], "token"),
            *(cell(row) for _, cell in columns),
            row["mark"],
        )
        for row in some
    ]
    left = len(rows) - len(some)
    text = f"{left:,} plans between these are left out here; --json has all {len(rows):,}."
    return table(heads, cells, left=(0, len(heads) - 1)) + (wrap(text, indent=2, hang=2) if left else [])


def thinned(rows: list[dict[str, Any]], most: int = MOST_ROWS) -> list[dict[str, Any]]:
    """Rows of a front for a page: evenly along it, and all that are marked.

    Examples
    --------
    >>> rows = [{"place": n, "mark": "knee" if n == 4 else ""} for n in range(10)]
    >>> [row["place"] for row in thinned(rows, 4)], len(thinned(rows))
    ([0, 3, 4, 6, 9], 10)
    """
    if len(rows) <= most:
        return rows
    even = {round(place * (len(rows) - 1) / (most - 1)) for place in range(most)}
    return [row for place, row in enumerate(rows) if place in even or row["mark"]]


def shown(rows: list[dict[str, Any]]) -> list[tuple[str, Any]]:
    """Columns in which the rows of a front differ, with how they are written."""
    return [
        _spent(column, key, rows) if column in SPENT else FIGURES[column]
        for column, key in KEYS.items()
        if column in ("loss", "cost_usd", "wall_s") or len({row.get(key) for row in rows}) > 1
        if rows[0].get(key) is not None
    ]


def aims(document: Document) -> list[tuple[str, Any]]:
    """Columns of the objectives that a table of alternatives has no column for, with how they are written."""
    rows = [document["answer"], *document["alternatives"]]
    asked = [AIMS[name] for name in document["scenario"].get("objective") or [] if name in AIMS]
    return [
        _spent(column, KEYS[column], rows) if column in SPENT else FIGURES[column]
        for column in asked
        if any(row.get(KEYS[column]) is not None for row in rows)
    ]


def _spent(column: str, key: str, rows: list[dict[str, Any]]) -> tuple[str, Any]:
    """Head and cell of energy or carbon."""
    head, ladder = SPENT[column]
    unit, size = rung(max(row.get(key) or 0.0 for row in rows), ladder)
    return head, lambda row: "-" if row.get(key) is None else f"{number(row[key] / size)} {unit}"


def name(row: Document, several: bool) -> str:
    """What tells a plan of a front apart."""
    size = f"{quantity(row['params'], 'parameter')} {row['num_hidden_layers']:g}x{row['hidden_size']:g}"
    if not several:
        return size
    offer = row.get("offer")
    where = f"{row['accelerator']}, {offer}" if offer and offer != "the scenario" else row["accelerator"]
    return f"{size} on {where}"


def offer_texts(document: Document) -> list[str]:
    """When spot stops paying, from which use on buying pays."""
    return [f"{row['text']}." for row in document.get("offers") or ()]


def offers(document: Document) -> list[str]:
    """`offer_texts` as a list."""
    return bullets(offer_texts(document))


def fewest(document: Document) -> list[str]:
    """The fewest accelerators for the deadline."""
    text = (document.get("fewest_gpus") or {}).get("text", "")
    return wrap(f"{text}.", indent=2, hang=2) if text else []


def interruptions(document: Document) -> list[str]:
    """Where the goodput comes from, and the curve over rates that are not known."""
    found, answer = document.get("interruptions") or {}, document["answer"]
    if not found or (found["source"] == "scaled from Llama 3" and answer["n_gpus"] < MANY):
        return []
    text = found["text"]
    out = wrap(text[:1].upper() + text[1:] + ".", indent=2, hang=2)
    if found["source"] == "scenario":
        return out
    rows = [
        (
            f"{row['gpu_hours_per_interruption']:,.0f}",
            duration(row["job_mtbf_h"] * 3600.0),
            f"{100 * row['goodput']:.3g} %",
            duration(row["time_to_train_days"] * DAY),
            "-" if row["cost_usd"] is None else quantity(row["cost_usd"], "USD"),
            "-" if row["loss"] is None else f"{row['loss']:.3f}",
            "" if row["keeps_the_limits"] else "breaks a limit",
        )
        for row in found.get("curve") or ()
    ]
    heads = ("GPU-h per interruption", "every", "goodput", "time", "cost", "loss", "")
    return out + (table(heads, rows, left=(6,)) if rows else [])
