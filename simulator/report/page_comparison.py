"""The section of the page that compares: hardware and values side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from simulator.report import comparison
from simulator.report.page_parts import Raw, cells, items, join, para
from simulator.report.svg import bar
from simulator.report.text import quantity

Document = Mapping[str, Any]

BARRED = (("cost_usd", "cost", "USD"), ("time_to_train_days", "time", "second"))
"""Figures that are drawn as bars, with heading and dimension."""

DAY = 86400.0


def section(document: Document) -> Raw:
    """The rows of a comparison as a table, bars of cost and time, and why each lost.

    Parameters
    ----------
    document : mapping
        `simulator.comparison.Comparison.to_dict`.
    """
    rows = document["rows"]
    columns = comparison.columns(rows)
    heads = [head for head, _, _ in columns]
    words = [place for place, (_, left, _) in enumerate(columns) if left]
    table = cells(
        f"Side by side, ranked; * {comparison.starred(rows)}",
        heads,
        [[cell(row) for _, _, cell in columns] for row in rows],
        numbers=[place for place in range(1, len(columns)) if place not in words],
        wide=True,
    )
    reasons = (f"{row['rank']}: " + "; ".join(filter(None, _about(row))) for row in rows)
    lead = para(comparison.headline(rows) + f" {comparison.held(rows)}")
    return join(
        [
            lead,
            table,
            *_bars(rows),
            Raw("<h3>Intervals, layout, price, evidence, and why each lost</h3>"),
            items(reasons),
        ]
    )


def _about(row: Document) -> tuple[str, ...]:
    return (
        row["label"],
        comparison.ranges(row),
        comparison.layout(row),
        comparison.price(row),
        comparison.evidence(row),
        comparison.why(row),
    )


def _bars(rows: Any) -> list[Raw]:
    """Cost and time of what runs, as bars of one scale each."""
    out = []
    for figure, name, dimension in BARRED:
        known = [row for row in rows if row["feasible"] and row[figure] is not None]
        largest = max((row[figure] for row in known), default=0.0)
        if len(known) < 2 or largest <= 0:
            continue
        scale = DAY if dimension == "second" else 1.0
        body = [
            (
                row["label"],
                quantity(scale * row[figure], dimension, top="days" if scale > 1 else None),
                _bar(row[figure] / largest),
            )
            for row in known
        ]
        out.append(
            cells(f"{name.capitalize()} of each row", ("row", name, ""), body, numbers=(1,), bars=(2,))
        )
    return out


def _bar(share: float) -> Raw:
    return Raw(bar(share))
