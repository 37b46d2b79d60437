"""Residuals on rows that a fit has not seen: by model, by source, by accelerator; and the intervals made of them."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

from simulator import calibrations
from simulator.calibrate.fit import Fit, fit, predict, row_weights
from simulator.calibrate.priors import ACCELERATOR_SETS, Key, prior_values
from simulator.uncertainty import LEVELS, Regime, name_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from simulator.validate.cases import Cases

FOLDS = 5
"""Parts into which models are split. [-]"""


def model_folds(cases: Cases) -> np.ndarray:
    """Number of the part a row belongs to; all rows of one model of one source share it."""
    names = zip(cases.source, cases.shape.num_hidden_layers, cases.shape.hidden_size, strict=True)
    return np.array([zlib.crc32(f"{s}/{int(n)}/{int(h)}".encode()) % FOLDS for s, n, h in names])


def accelerator_groups(cases: Cases, *, fewest: int = 30) -> np.ndarray:
    """Accelerator of each row; those with few rows are held out together."""
    names, inverse, counts = np.unique(cases.gpu.astype(str), return_inverse=True, return_counts=True)
    return np.where(counts >= fewest, names, "(rare)")[inverse]


def held_out(
    cases: Cases,
    groups: np.ndarray,
    tell: Callable[[str], None] = lambda text: None,
    start: dict[Key, float] | None = None,
    warm: dict[Key, float] | None = None,
) -> np.ndarray:
    """Predict every row by constants fitted to the rows of the other groups; `warm` only saves time. [s]"""
    predicted = np.full(len(cases), np.nan)
    names = sorted(set(groups.tolist()), key=str)
    for number, name in enumerate(names, 1):
        out = groups == name
        result = fit(cases.take(~out), start=start, warm=warm)
        predicted[out] = predict(cases.take(out), with_generic(result.values, result))
        tell(f"held out {number}/{len(names)}: {name} ({int(out.sum())} rows)")
    return predicted


def with_generic(values: dict[Key, float], result: Fit, without: tuple[str, ...] = ()) -> dict[Key, float]:
    """Set the constants of an unknown accelerator to the geometric mean over the calibrated ones."""
    done = dict(values)
    for constant in {key[1] for key in values if key[0] == calibrations.GENERIC}:
        logs = [
            np.log(values[name, constant])
            for name in ACCELERATOR_SETS
            if name not in without and result.identified.get((name, constant), False)
        ]
        done[calibrations.GENERIC, constant] = (
            float(np.exp(np.mean(logs))) if logs else prior_values()[calibrations.GENERIC, constant]
        )
    return done


def as_unknown(cases: Cases, result: Fit) -> np.ndarray:
    """Predict every row as if nobody had calibrated its architecture. [s]"""
    predicted = np.full(len(cases), np.nan)
    chips = np.array([row["hbm_efficiency"][0] for row in cases.keys])
    for chip in np.unique(chips):
        own = chips == chip
        values = with_generic(result.values, result, without=(str(chip),))
        for constant in {key[1] for key in values if key[0] == chip}:
            values[str(chip), constant] = values[calibrations.GENERIC, constant]
        predicted[own] = predict(cases.take(own), values)
    return predicted


def percentiles(parts: list[tuple[Cases, list[Regime], np.ndarray]]) -> dict[str, dict[str, float]]:
    """Percentiles of measured over predicted by regime, from held-out predictions."""
    ratio = np.concatenate([cases.measured_s / predicted for cases, _, predicted in parts])
    weight = np.concatenate([row_weights(cases) ** 2 for cases, _, _ in parts])
    found = [regime for _, each, _ in parts for regime in each]
    keep = np.isfinite(ratio)
    table: dict[str, dict[str, float]] = {}
    for level in LEVELS:
        names = np.array([name_of(regime, level) for regime in found])
        for name in sorted(set(names[keep].tolist())):
            own = keep & (names == name)
            plain = "software" in level
            table[name] = _summary(ratio[own], np.ones(own.sum()) if plain else weight[own])
    return table


def _summary(ratio: np.ndarray, weight: np.ndarray) -> dict[str, float]:
    error = np.abs(1.0 / ratio - 1.0)
    return {
        "rows": len(ratio),
        "low": round(_quantile(ratio, weight, 0.1), 3),
        "high": round(_quantile(ratio, weight, 0.9), 3),
        "median_error": round(_quantile(error, weight, 0.5), 3),
    }


def _quantile(values: np.ndarray, weight: np.ndarray, share: float) -> float:
    """Weighted percentile, moved outwards by the finite-sample term of split conformal prediction."""
    n = len(values)
    share = min(max(share + (share - 0.5) * 2.0 / max(n, 1), 0.0), 1.0)
    order = np.argsort(values)
    position = (np.cumsum(weight[order]) - 0.5 * weight[order]) / weight.sum()
    return float(np.interp(share, position, values[order]))


def document(table: dict[str, dict[str, float]], *, command: str, data: str) -> dict[str, Any]:
    """The table as plain data, ready to be written as YAML."""
    return {"command": command, "data": data, "regimes": table}
