"""Percentiles of measured over predicted by regime, from predictions of rows that the constants never saw.

Split conformal prediction: the spread of the errors on left-out rows is the spread to expect of the next one. A row of an
organisation whose other runs the constants were fitted to is like a model left out; a plan of a reader is like a whole
organisation left out. The second is wider, and is taken symmetric: whether the next organisation is faster or slower than
the constants is not known from those that were. In a regime organisations of `SAY` rows or more have the same weight, split over
their rows: the next run is a draw among organisations first, and among the runs of one second (arXiv:1809.07441). The median error
beside an interval has the same weights, so that it is never the larger of the two.

Errors grow with the share of a step that is exposed communication. One number says how much, the same in all regimes; errors
are divided by it before their percentiles are taken.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from simulator.uncertainty import LEVELS, Table, name_of, widening
from simulator.validate import folds
from simulator.validate.regimes import formats, regimes

if TYPE_CHECKING:
    from simulator.validate.cases import Cases

LEVEL = 0.8
"""Share of the measured values that an interval is to hold. [-]"""

SAY = 10
"""Rows of a regime from which on an organisation has its whole say; fewer rows, which tell less of it, have as much less. A
choice: at 1 four mixtures of torchtitan weigh as much as a hundred of NVIDIA's; at 25 the intervals of vTrain's several nodes, where it
is left out, hold 93 in a hundred instead of 83. [-]"""

MOST = 20.0
"""Bound on how much less communication is known than computing. [-]"""


@dataclass(frozen=True)
class Part:
    """Rows predicted by constants that never saw them."""

    cases: Cases
    names: tuple[np.ndarray, ...]
    """Name of each row's regime at each of `LEVELS`."""
    predicted: np.ndarray
    """Step times. [s]"""
    exposed: np.ndarray
    """Share of each step that is communication nothing hides. [-]"""

    def take(self, places: np.ndarray) -> Part:
        """Some of the rows."""
        names = tuple(each[places] for each in self.names)
        return Part(self.cases.take(places), names, self.predicted[places], self.exposed[places])


def part(cases: Cases, kind: str, predicted: np.ndarray, exposed: np.ndarray) -> Part:
    """One kind of left-out predictions with the regime that each row is left in."""
    found = regimes(cases, folds.grades(cases, kind), seen=kind != "source")
    names = tuple(np.array([name_of(regime, level) for regime in found]) for level in LEVELS)
    return Part(cases, names, predicted, exposed)


def percentiles(parts: list[Part], communication: float | None = None) -> Table:
    """Percentiles of measured over predicted by the name of a regime, and how much communication widens them.

    Parameters
    ----------
    parts : list of Part
        Rows predicted by constants that never saw them.
    communication : float, optional
        Width at nothing but exposed communication over that without any; fitted to the rows if absent. [-]
    """
    ratio = np.concatenate([each.cases.measured_s / each.predicted for each in parts])
    weight = np.concatenate([folds.row_weights(each.cases) ** 2 for each in parts])
    sources = np.concatenate([each.cases.source.astype(str) for each in parts])
    exposed = np.concatenate([each.exposed for each in parts])
    bits = np.concatenate([formats(each.cases) for each in parts])
    keep = np.isfinite(ratio)
    if communication is None:
        communication = _communication(np.abs(np.log(ratio[keep])), exposed[keep], weight[keep])
    wider = widening(exposed, communication)
    table: dict[str, dict[str, float]] = {}
    for number in range(len(LEVELS)):
        names = np.concatenate([each.names[number] for each in parts])
        for name in sorted(set(names[keep].tolist())):
            own = keep & (names == name)
            _, of, rows = np.unique(sources[own], return_inverse=True, return_counts=True)
            symmetric = "seen=false" in name
            even = np.minimum(rows, SAY)[of] / rows[of]
            found = _summary(ratio[own], wider[own], even, symmetric=symmetric) | {"sources": len(rows)}
            table[name] = found | _by_format(ratio[own], bits[own], even)
    return Table(table, communication)


def _communication(error: np.ndarray, exposed: np.ndarray, weight: np.ndarray) -> float:
    """Width of an interval at nothing but communication over that without any: quantile regression of the errors on its share.

    The `LEVEL` percentile of the absolute logarithmic error is taken as a line in the share; the pinball loss is least there.
    """
    from scipy.optimize import minimize_scalar

    def loss(communication: float) -> float:
        wider = widening(exposed, communication)
        beyond = error - _quantile(error / wider, weight * wider, LEVEL) * wider
        return float(weight @ np.maximum(LEVEL * beyond, (LEVEL - 1.0) * beyond) / weight.sum())

    if not len(error) or not np.ptp(exposed):
        return 1.0
    return round(float(minimize_scalar(loss, bounds=(1.0, MOST), method="bounded").x), 2)


def _summary(
    ratio: np.ndarray, wider: np.ndarray, weight: np.ndarray, *, symmetric: bool
) -> dict[str, float]:
    error = np.abs(1.0 / ratio - 1.0)
    score = np.log(ratio) / wider
    if symmetric:
        high = _outwards(np.abs(score), weight, LEVEL)
        low = -high
    else:
        low, high = (_outwards(score, weight, share) for share in (0.5 - LEVEL / 2.0, 0.5 + LEVEL / 2.0))
    return {
        "rows": len(ratio),
        "low": round(float(np.exp(low)), 3),
        "high": round(float(np.exp(high)), 3),
        "median_error": round(_quantile(error, weight, 0.5), 3),
    }


def _by_format(ratio: np.ndarray, bits: np.ndarray, weight: np.ndarray) -> dict[str, float]:
    """Rows and median error by the width of the format: ``rows_16 median_error_16``, widest first."""
    found: dict[str, float] = {}
    for width in sorted(set(bits.tolist()), key=int, reverse=True):
        own = bits == width
        error = _quantile(np.abs(1.0 / ratio[own] - 1.0), weight[own], 0.5)
        found |= {f"rows_{width}": int(own.sum()), f"median_error_{width}": round(error, 3)}
    return found


def _outwards(values: np.ndarray, weight: np.ndarray, share: float) -> float:
    """Weighted percentile, moved outwards by the finite-sample term of split conformal prediction."""
    moved = share + (share - 0.5) * 2.0 / max(len(values), 1)
    return _quantile(values, weight, min(max(moved, 0.0), 1.0))


def _quantile(values: np.ndarray, weight: np.ndarray, share: float) -> float:
    """Weighted percentile."""
    order = np.argsort(values)
    position = (np.cumsum(weight[order]) - 0.5 * weight[order]) / weight.sum()
    return float(np.interp(share, position, values[order]))


def without_own_source(
    cases: Cases, predicted: np.ndarray, exposed: np.ndarray, shipped: Table
) -> list[Table]:
    """For each row, the table that lacks the residuals of the row's own source: what would ship had it never measured.

    How much communication widens it is left as shipped: one number of all rows, which hardly depends on a single source.
    """
    whole = part(cases, "source", predicted, exposed)
    groups = folds.groups_of(cases, "source")
    rest = {name: row for name, row in shipped.regimes.items() if "seen=false" not in name}
    tables: dict[str, Table] = {}
    for name in np.unique(groups):
        others = whole.take(np.flatnonzero(groups != name))
        found = percentiles([others], shipped.communication)
        unseen = {key: row for key, row in found.regimes.items() if "seen=false" in key}
        tables[str(name)] = Table({**rest, **unseen}, found.communication)
    return [tables[str(name)] for name in groups]


def document(table: Table, *, command: str, data: str) -> dict[str, Any]:
    """The table as plain data, ready to be written as YAML."""
    regimes = {name: dict(row) for name, row in table.regimes.items()}
    return {"command": command, "data": data, "communication": table.communication, "regimes": regimes}
