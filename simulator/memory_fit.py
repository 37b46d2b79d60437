"""Fit the allocator's share of peak memory from measured runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from simulator.memory import MEMORY_PROFILES, MemoryConstants
from simulator.validate.memory import capacities, predict, read_rows, scores

if TYPE_CHECKING:
    import pandas as pd

GIB = float(2**30)

FITTED: dict[str, tuple[float, float]] = {
    "fragmentation": (0.0, 0.5),
    "gathered_tensors": (0.0, 8.0),
    "late_tensors": (0.0, 4.0),
    "kept_gathers": (0.0, 2.0),
    "logit_bytes": (4.0, 14.0),
    "late_logit_bytes": (0.0, 8.0),
    "reserve_bytes": (0.0, 2.0 * GIB),
}
"""Constants fitted, with the bounds that the framework's source allows."""

START = (0.1, 3.0, 1.5, 1.5, 8.0, 3.0, 0.2 * GIB)


def with_fitted(values: Any) -> tuple[MemoryConstants, MemoryConstants]:
    """Return nanotron's profiles, repaired and unrepaired, with the fitted constants `values` in the order of `FITTED`."""
    new = dict(zip(FITTED, (float(v) for v in values), strict=True))
    repaired = MEMORY_PROFILES["nanotron"].with_(**{**new, "kept_gathers": 0.0})
    return repaired, MEMORY_PROFILES["nanotron_unrepaired"].with_(**{**new, "late_tensors": 0.0})


def predict_with(rows: pd.DataFrame, values: Any, *, capacity: Any = None) -> dict[str, Any]:
    """Predict rows with fitted constants."""
    repaired, unrepaired = with_fitted(values)
    return predict(rows, repaired=repaired, unrepaired=unrepaired, capacity=capacity)


def fit_rows(rows: pd.DataFrame) -> Any:
    """Robust least squares of the logarithm of the reserved peak over the rows that ran. Returns the fitted values."""
    from scipy.optimize import least_squares

    ran = rows[rows["ran"] & rows["peak_reserved_gb"].notna()]
    measured = ran["peak_reserved_gb"].to_numpy(float) * GIB
    scale = np.array([high for _, high in FITTED.values()])

    capacity = capacities(ran)

    def residual(x: Any) -> Any:
        return np.log(predict_with(ran, x * scale, capacity=capacity)["reserved"] / measured)

    bounds = (np.array([low for low, _ in FITTED.values()]) / scale, np.ones(len(scale)))
    found = least_squares(residual, np.array(START) / scale, bounds=bounds, loss="soft_l1", f_scale=0.05)
    return np.asarray(found.x) * scale


def fit_memory(path: str | Path) -> dict[str, Any]:
    """Fit the constants of the nanotron profile and cross-validate them, one model left out at a time.

    Parameters
    ----------
    path : str or Path
        CSV with the columns of ``measurements/memory.md``.

    Returns
    -------
    dict
        ``constants`` (fitted values), ``in_sample`` and ``left_out`` (scores as in
        `simulator.validate.memory.validate_memory`; ``left_out`` predicts each model with constants fitted to the others)
        and ``by_model`` (the scores of each model left out).
    """
    rows = read_rows(path)
    values = fit_rows(rows)
    models = rows.groupby(["n_layers", "d_model", "d_ff"], sort=True).ngroup().to_numpy()
    left_out = {name: np.zeros(len(rows)) for name in ("reserved", "total", "capacity")}
    by_model = {}
    for model in np.unique(models):
        out = models == model
        part = predict_with(rows[out], fit_rows(rows[~out]))
        for name, column in left_out.items():
            column[out] = part[name]
        layers, width = int(rows["n_layers"][out].iloc[0]), int(rows["d_model"][out].iloc[0])
        by_model[f"{layers} layers of {width}"] = scores(rows[out], part)
    return {
        "constants": dict(zip(FITTED, values.tolist(), strict=True)),
        "in_sample": scores(rows, predict_with(rows, values)),
        "left_out": scores(rows, left_out),
        "by_model": by_model,
    }
