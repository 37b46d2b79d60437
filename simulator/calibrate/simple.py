"""Fit the one or two efficiencies of each simple clock, so that they are compared at their best."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from simulator import clocks
from simulator.device import Constants
from simulator.validate.folds import row_weights

if TYPE_CHECKING:
    from simulator.validate.cases import Cases

ONE_PARAMETER = {
    "hbm_copies": "hbm_copies_efficiency",
    "flops": "flops_mfu",
    "roofline": "roofline_efficiency",
}
"""Clocks whose time is inversely proportional to one efficiency."""


def weighted_median(values: np.ndarray, weights: np.ndarray) -> float:
    """Value below which half of the weight lies."""
    order = np.argsort(values)
    cumulative = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(cumulative, 0.5 * cumulative[-1])])


def fit_simple(cases: Cases, constants: Constants) -> dict[str, float]:
    """Constants of the simple clocks that fit the complete rows best.

    One-parameter clocks take the weighted median of measured over predicted, so that half of the rows are slower.
    `linear_copies` takes non-negative least squares on relative errors.
    """
    from scipy.optimize import nnls

    cases = cases.take(cases.complete)
    weight = row_weights(cases) ** 2
    unit = Constants(**{**_scalars(constants), **dict.fromkeys(ONE_PARAMETER.values(), 1.0)})
    found = {}
    for name, constant in ONE_PARAMETER.items():
        ideal = sum(clocks.CLOCKS[name](cases.shape, cases.layout, cases.device, unit).values())
        found[constant] = weighted_median(ideal / cases.measured_s, weight)
    columns = []
    for slopes in ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)):
        names = ("linear_tile_slope", "linear_memory_slope", "linear_intercept_s")
        one = unit.with_(**dict(zip(names, slopes, strict=True)))
        columns.append(sum(clocks.linear_copies(cases.shape, cases.layout, cases.device, one).values()))
    matrix = np.stack(np.broadcast_arrays(*columns), axis=1) / cases.measured_s[:, None]
    solution, _ = nnls(matrix * np.sqrt(weight)[:, None], np.sqrt(weight))
    found |= dict(
        zip(
            ("linear_tile_slope", "linear_memory_slope", "linear_intercept_s"),
            map(float, solution),
            strict=True,
        )
    )
    return found


def _scalars(constants: Constants) -> dict[str, float]:
    return {name: float(np.mean(value)) for name, value in vars(constants).items()}
