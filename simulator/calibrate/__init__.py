"""Calibration: from measured runs to named sets of physical constants."""

from __future__ import annotations

from simulator.calibrate.fit import Fit, fit, predict
from simulator.calibrate.priors import PRIORS, SETS, Key, prior_values
from simulator.calibrate.write import planned_sets, write_sets

__all__ = [
    "PRIORS",
    "SETS",
    "Fit",
    "Key",
    "fit",
    "planned_sets",
    "predict",
    "prior_values",
    "write_sets",
]
