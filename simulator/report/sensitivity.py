"""What moves an answer, as a page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from simulator.report.tables import Table
from simulator.report.text import number, wrap

HEADS = {
    "tokens": "tokens",
    "loss": "loss",
    "cost_usd": "cost",
    "time_to_train_days": "time",
    "step_time_s": "step",
}
"""Heads of the columns, by figure."""

MOST = 16
"""Inputs that are shown; JSON and CSV hold all."""

NOTE = (
    "Figures at the low and at the high end of the 80 % range of one input, the plan and all other inputs held. Constants of a "
    "law are moved one by one though their errors are correlated; `law of loss` is their joint error."
)


def page(found: Mapping[str, Any]) -> str:
    """A tornado as a table: what moves the main figure most comes first.

    Parameters
    ----------
    found : mapping
        As of `simulator.sensitivity.tornado`.
    """
    base, main = found["base"], found["figure"]
    shown = [name for name in HEADS if name in found["most"] and (name != "step_time_s" or name == main)]
    rows: list[tuple[str, ...]] = []
    for row in found["rows"]:
        cells = [_cell(row, base, name) for name in shown]
        if any(cell != "-" for cell in cells) and len(rows) < MOST:
            rows.append((row["name"], f"{value_words(row['low'])} to {value_words(row['high'])}", *cells))
    heads = ("input", "80 % range", *(HEADS[name] for name in shown))
    lines = Table(f"What moves the answer, by {HEADS[found['figure']]}", heads, rows, left=(0, 1)).text()
    lines += ["", *wrap(NOTE, indent=2, hang=2), *wrap(f"Held: {found['held']}.", indent=2, hang=2)]
    return "\n".join(lines) + "\n"


SMALL, LARGE = 1e-3, 1e6
"""Below the one and from the other on a value is written with a power of ten."""


def value_words(value: float) -> str:
    """A value of an input, short whatever its size.

    Examples
    --------
    >>> value_words(5.59e-7), value_words(0.0998), value_words(3740.0), value_words(2.5e9), value_words(0.0)
    ('5.59e-7', '0.0998', '3,740', '2.50e9', '0')
    """
    if value == 0 or SMALL <= abs(value) < LARGE or not np.isfinite(value):
        return number(value, 3)
    digits, _, power = f"{value:.2e}".partition("e")
    return f"{digits}e{int(power)}"


def _cell(row: Mapping[str, Any], base: Mapping[str, float], figure: str) -> str:
    if figure not in row:
        return "-"
    texts = [_change(value, base[figure], figure) for value in row[figure]]
    return "-" if all(text == "0" for text in texts) else " / ".join(texts)


def _change(value: float, start: float, figure: str) -> str:
    """Change of a figure: of the loss in nats, of the rest in percent."""
    if not np.isfinite(value):
        return "no run"
    text = f"{value - start:+.4f}" if figure == "loss" else f"{100 * (value / start - 1):+.1f} %"
    return "0" if float(text.rstrip(" %")) == 0 else text


def records(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows of a tornado for CSV: ``<figure>_low`` and ``<figure>_high``."""
    out = []
    for row in found["rows"]:
        flat = {key: row[key] for key in ("name", "low", "value", "high", "source")}
        for figure in HEADS:
            flat[f"{figure}_low"], flat[f"{figure}_high"] = row.get(figure, (None, None))
        out.append(flat)
    return out
