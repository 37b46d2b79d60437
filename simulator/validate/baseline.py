"""The accuracy that was last accepted, and what has moved since: a change may not quietly make predictions worse."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from simulator.validate import intervals, left_out, slices
from simulator.validate.metrics import by_group
from simulator.validate.throughput import means_over

if TYPE_CHECKING:
    import pandas as pd

    from simulator.validate.cases import Cases

POINTS = 0.5
"""Growth of a gated error from which on a change is refused. [percentage points]"""

FIGURES = ("median_ape", "mape")
"""Errors that are kept."""

GATED = ("pooled", "slices", "left_out")
"""Groups of figures that may not grow; sources are kept to show where a movement comes from."""

LEAST = 5
"""Rows of a source that is kept. [-]"""

Figures = dict[str, dict[str, dict[str, float]]]
"""By group and name: the errors. [-]"""


def figures(frame: pd.DataFrame, cases: Cases) -> Figures:
    """Errors of the constants that ship: pooled, by slice, by source, and on rows left out of the fit (as stored)."""
    predicted = intervals.step_times(cases)
    values = left_out.with_interval(cases, predicted)
    complete = {name: value[cases.complete] for name, value in values.items()}
    means = means_over(cases.source[cases.complete], complete)
    found: Figures = {
        "pooled": {
            "mean over sources": {
                name: means[f"mean_over_sources_{name}"]
                for name in FIGURES
                if f"mean_over_sources_{name}" in means
            }
        },
        "slices": _errors(slices.score(frame, cases, predicted)),
        "left_out": {},
        "sources": {
            name: {each: row[each] for each in FIGURES}
            for name, row in by_group(cases.source, values).items()
            if row["n"] >= LEAST
        },
    }
    if left_out.shipped_path().is_file():
        for kind, column in left_out.columns(cases, left_out.read()[1]).items():
            every = _errors(slices.score(frame, cases, column, kind))
            found["left_out"] |= {f"{kind}: {name}": row for name, row in every.items()}
    return found


def _errors(scored: list[slices.Scored]) -> dict[str, dict[str, float]]:
    return {
        each.part.name: {name: each.figures[name] for name in FIGURES}
        for each in scored
        if each.figures.get("n")
    }


@dataclass(frozen=True)
class Move:
    """One error, then and now. [-]"""

    group: str
    name: str
    figure: str
    then: float
    now: float

    @property
    def points(self) -> float:
        """Growth of the error; below 0 it got better. [percentage points]"""
        return 100.0 * (self.now - self.then)

    @property
    def refused(self) -> bool:
        """Whether the error grew by more than `POINTS` where that is not allowed."""
        return self.group in GATED and self.points > POINTS


def moves(then: Mapping[str, Any], now: Figures) -> list[Move]:
    """Every error that is in both, the largest growth first."""
    found = [
        Move(group, name, figure, float(then[group][name][figure]), value)
        for group, rows in now.items()
        for name, row in rows.items()
        for figure, value in row.items()
        if figure in then.get(group, {}).get(name, {})
    ]
    return sorted(found, key=lambda move: -move.points)


def table(found: list[Move], *, least: float = 0.05) -> str:
    """What moved by `least` points or more, as lines of text."""
    lines = [f"{'':60s} {'then':>7s} {'now':>7s} {'points':>7s}"]
    for move in found:
        if abs(move.points) >= least:
            label = f"{move.group}, {move.name}, {'median' if move.figure == 'median_ape' else 'mean'}"
            mark = "  refused" if move.refused else ""
            lines.append(
                f"{label:60s} {100 * move.then:6.2f}% {100 * move.now:6.2f}% {move.points:+7.2f}{mark}"
            )
    return "\n".join(lines)
