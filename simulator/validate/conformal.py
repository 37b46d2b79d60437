"""Percentiles of measured over predicted by regime, from predictions of rows that the constants never saw.

Split conformal prediction: the spread of the errors on left-out rows is the spread to expect of the next one. A row of an
organisation whose other runs the constants were fitted to is like a model left out; a plan of a reader is like a whole
organisation left out. The second is wider, and is taken symmetric: whether the next organisation is faster or slower than
the constants is not known from those that were.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from simulator.uncertainty import LEVELS, Regime, name_of
from simulator.validate import folds
from simulator.validate.regimes import regimes

if TYPE_CHECKING:
    from simulator.validate.cases import Cases

Table = dict[str, dict[str, float]]


@dataclass(frozen=True)
class Part:
    """Rows predicted by constants that never saw them."""

    cases: Cases
    regimes: list[Regime]
    predicted: np.ndarray
    """Step times. [s]"""


def part(cases: Cases, kind: str, predicted: np.ndarray) -> Part:
    """One kind of left-out predictions with the regime that each row is left in."""
    return Part(cases, regimes(cases, folds.grades(cases, kind), seen=kind != "source"), predicted)


def percentiles(parts: list[Part]) -> Table:
    """Percentiles by the name of a regime: ``rows sources low high median_error``."""
    ratio = np.concatenate([each.cases.measured_s / each.predicted for each in parts])
    weight = np.concatenate([folds.row_weights(each.cases) ** 2 for each in parts])
    sources = np.concatenate([each.cases.source.astype(str) for each in parts])
    found = [regime for each in parts for regime in each.regimes]
    keep = np.isfinite(ratio)
    table: Table = {}
    for level in LEVELS:
        names = np.array([name_of(regime, level) for regime in found])
        for name in sorted(set(names[keep].tolist())):
            own = keep & (names == name)
            even = np.ones(own.sum()) if "software" in level else weight[own]
            symmetric = "seen=false" in name
            table[name] = _summary(ratio[own], even, symmetric=symmetric) | {
                "sources": len(set(sources[own].tolist()))
            }
    return table


def _summary(ratio: np.ndarray, weight: np.ndarray, *, symmetric: bool) -> dict[str, float]:
    error = np.abs(1.0 / ratio - 1.0)
    if symmetric:
        high = float(np.exp(_quantile(np.abs(np.log(ratio)), weight, 0.8)))
        low = 1.0 / high
    else:
        low, high = _quantile(ratio, weight, 0.1), _quantile(ratio, weight, 0.9)
    return {
        "rows": len(ratio),
        "low": round(low, 3),
        "high": round(high, 3),
        "median_error": round(_quantile(error, weight, 0.5), 3),
    }


def _quantile(values: np.ndarray, weight: np.ndarray, share: float) -> float:
    """Weighted percentile, moved outwards by the finite-sample term of split conformal prediction."""
    n = len(values)
    share = min(max(share + (share - 0.5) * 2.0 / max(n, 1), 0.0), 1.0)
    order = np.argsort(values)
    position = (np.cumsum(weight[order]) - 0.5 * weight[order]) / weight.sum()
    return float(np.interp(share, position, values[order]))


def without_own_source(cases: Cases, predicted: np.ndarray, shipped: Table) -> list[Table]:
    """For each row, the table that lacks the residuals of the row's own source: what would ship had it never measured."""
    whole = part(cases, "source", predicted)
    groups = folds.groups_of(cases, "source")
    rest = {name: row for name, row in shipped.items() if "seen=false" not in name}
    tables: dict[str, Table] = {}
    for name in np.unique(groups):
        inside = np.flatnonzero(groups != name)
        others = Part(cases.take(inside), [whole.regimes[i] for i in inside], predicted[inside])
        tables[str(name)] = {**rest, **{k: v for k, v in percentiles([others]).items() if "seen=false" in k}}
    return [tables[str(name)] for name in groups]


def document(table: Table, *, command: str, data: str) -> dict[str, Any]:
    """The table as plain data, ready to be written as YAML."""
    return {"command": command, "data": data, "regimes": table}
