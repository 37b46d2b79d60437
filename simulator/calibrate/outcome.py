"""What a calibration did: the error before and after, the constants that moved, the rows that it cannot explain."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from simulator.calibrate.fit import NOISE, Fit
from simulator.calibrate.priors import Key
from simulator.calibrate.write import SAME
from simulator.validate.metrics import summary

FAR = 3.0 * NOISE
"""Relative error after the fit above which a row is named: three times what the fit expects of one. [-]"""


@dataclass(frozen=True)
class Moved:
    """A constant that a fit moved."""

    set: str
    name: str
    before: float
    after: float


@dataclass(frozen=True)
class Far:
    """A row that is far off after the fit."""

    id: str
    """As the table has it; its place among the rows read, if it has none."""
    measured_s: float
    """Step time. [s]"""
    predicted_s: float
    """Step time. [s]"""


@dataclass(frozen=True)
class Outcome:
    """A finished calibration."""

    fit: Fit
    start: dict[Key, float]
    """Constants before the fit."""
    sets: tuple[str, ...]
    """Ids of the sets that were written."""
    files: tuple[Path, ...]
    ids: tuple[str, ...]
    """Rows that were read."""
    measured_s: np.ndarray
    """Step time of each. [s]"""
    before_s: np.ndarray
    """The same, predicted before the fit. [s]"""
    after_s: np.ndarray
    """The same after it. [s]"""
    skipped: dict[str, int]
    """Rows that were not read, by reason."""

    @property
    def values(self) -> dict[Key, float]:
        """Every constant after the fit."""
        return self.fit.values

    @property
    def before(self) -> dict[str, float]:
        """Error before the fit, as `summary` has it."""
        return summary(self.before_s, self.measured_s)

    @property
    def after(self) -> dict[str, float]:
        """Error after it."""
        return summary(self.after_s, self.measured_s)

    def moved(self) -> list[Moved]:
        """Constants of the written sets that moved, furthest first."""
        found = [
            Moved(key[0], key[1], self.start[key], value)
            for key, value in self.fit.values.items()
            if key[0] in self.sets and abs(value / self.start.get(key, value) - 1.0) > SAME
        ]
        return sorted(found, key=lambda each: -abs(float(np.log(each.after / each.before))))

    def far(self) -> list[Far]:
        """Rows that are more than `FAR` off after the fit, the furthest first."""
        names = [name or f"row {place}" for place, name in enumerate(self.ids, 1)]
        rows = zip(names, self.measured_s, self.after_s, strict=True)
        found = [Far(name, float(m), float(p)) for name, m, p in rows if abs(p / m - 1.0) > FAR]
        return sorted(found, key=lambda each: -abs(float(np.log(each.predicted_s / each.measured_s))))
