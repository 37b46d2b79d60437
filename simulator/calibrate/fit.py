"""Fit the few physical constants of accelerators, fabrics and software stacks to measured step times.

Every constant has a prior with a source. Robust least squares on the logarithm of the step time moves the constants that
the rows identify; a constant whose posterior is hardly narrower than its prior keeps the prior and says so. Groups of
rows (organisations) are weighted so that none dominates, and a configuration that was measured several times counts once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from simulator import calibrations, clock
from simulator.calibrate.priors import Key, prior_of, prior_values
from simulator.device import Constants
from simulator.layout import n_gpus
from simulator.validate import cases as tables

if TYPE_CHECKING:
    from collections.abc import Callable

    from simulator.validate.cases import Cases

NOISE = 0.1
"""Scatter of repeated measurements of one configuration: NVIDIA's releases differ by up to 0.16. [-]"""

GROUP_WEIGHT = 100.0
"""Rows that a group of measurements may count as, at most. A group: one organisation, on one scale-up domain or on
several, which test different constants."""


ONE_NODE = 8
"""Accelerators of the usual node. [-]"""


@dataclass(frozen=True)
class Fit:
    """Result of a calibration."""

    values: dict[Key, float]
    spread: dict[Key, float]
    """Posterior standard deviation of the logarithm. [-]"""
    rows: dict[str, int]
    groups: dict[str, tuple[str, ...]]
    identified: dict[Key, bool] = field(default_factory=dict)


def row_weights(cases: Cases) -> np.ndarray:
    """Weight of each row: configurations count once, groups at most `GROUP_WEIGHT` rows, doubtful rows less."""
    weight = np.where(cases.quality == "C", 0.3, 1.0)
    named = cases.config_group != ""
    _, inverse, counts = np.unique(cases.config_group.astype(str), return_inverse=True, return_counts=True)
    weight = weight / np.where(named, counts[inverse], 1)
    weight = weight * np.where(cases.complete, 1.0, 0.3)
    several = n_gpus(cases.layout) > np.maximum(cases.device.link_domain, ONE_NODE)
    groups = np.char.add(cases.source.astype(str), np.where(several, "/several", "/one"))
    for group in np.unique(groups):
        own = groups == group
        weight[own] *= min(1.0, GROUP_WEIGHT / weight[own].sum())
    return np.asarray(np.sqrt(weight))


def fit(cases: Cases, *, start: dict[Key, float] | None = None, max_evaluations: int = 40) -> Fit:
    """Fit the constants that the rows bear on; the others keep their prior.

    Parameters
    ----------
    cases : Cases
        Measured rows.
    start : dict, optional
        Values to start from and to keep as the centre of the prior where given (a shipped set, for a user's own runs).
    max_evaluations : int, optional
        Bound on the optimiser. [-]

    Returns
    -------
    Fit
    """
    base = {**prior_values(), **(start or {})}
    free = sorted({key for row in cases.keys for key in row.values()})
    priors = [prior_of(key) for key in free]
    spread = np.array([p.spread for p in priors])
    centre = np.log([base[key] for key in free])
    low, high = np.log([p.low for p in priors]), np.log([p.high for p in priors])
    centre = np.clip(centre, low + 1e-6, high - 1e-6)
    index = {key: i for i, key in enumerate(free)}
    places = {
        n: np.array([index[row[n]] for row in cases.keys]) for n in calibrations.keys_of("", "", "bf16")
    }
    weight, measured = row_weights(cases), np.log(cases.measured_s)

    def errors(x: np.ndarray) -> np.ndarray:
        value = np.exp(x)
        columns = {name: value[place] for name, place in places.items()}
        columns["compiled_factor"] = np.where(cases.compiled, columns["compiled_factor"], 1.0)
        levels = clock.memory_copies(cases.shape, cases.layout, cases.device, Constants(**columns))
        error = (np.log(sum(levels.values())) - measured) / NOISE
        return np.asarray(weight * np.sign(error) * np.sqrt(2.0 * (np.sqrt(1.0 + error**2) - 1.0)))

    problem = _Problem(errors, tuple(places.values()), centre, spread, (low, high))
    everything = np.ones(len(free), dtype=bool)
    x, posterior = problem.solve(centre, everything, max_evaluations)
    identified = posterior < IDENTIFIED * spread
    x, _ = problem.solve(np.where(identified, x, centre), identified, max_evaluations)
    values = {**base, **{key: float(np.exp(x[i])) for i, key in enumerate(free) if identified[i]}}
    names = [{key for key, _ in row.values()} for row in cases.keys]
    sets = {name for each in names for name in each}
    rows = {name: sum(name in each for each in names) for name in sets}
    groups = {
        name: tuple(sorted({str(s) for s, each in zip(cases.source, names, strict=True) if name in each}))
        for name in sets
    }
    return Fit(
        values=values,
        spread={key: float(min(posterior[i], spread[i])) for i, key in enumerate(free)},
        rows=rows,
        groups=groups,
        identified={key: bool(identified[i]) for i, key in enumerate(free)},
    )


IDENTIFIED = 0.9
"""Posterior over prior spread above which a constant keeps its prior. [-]"""


STEP = 1e-5
"""Step of the finite differences, in the logarithm of a constant. [-]"""


@dataclass(frozen=True)
class _Problem:
    """Residuals of rows and of priors, and their derivatives."""

    errors: Callable[[np.ndarray], np.ndarray]
    places: tuple[np.ndarray, ...]
    """For each field of `Constants`, the constant that each row takes it from."""
    centre: np.ndarray
    spread: np.ndarray
    bounds: tuple[np.ndarray, np.ndarray]

    def residuals(self, x: np.ndarray) -> np.ndarray:
        """Weighted robust errors of the rows, then the distances from the priors."""
        return np.concatenate([self.errors(x), (x - self.centre) / self.spread])

    def jacobian(self, x: np.ndarray) -> np.ndarray:
        """Finite differences, one evaluation per field: a row takes each field from one set, so sets do not overlap."""
        base = self.errors(x)
        matrix = np.zeros((len(base), len(x)))
        for place in self.places:
            moved = x.copy()
            moved[place] += STEP
            matrix[np.arange(len(base)), place] = (self.errors(moved) - base) / STEP
        return np.vstack([matrix, np.diag(1.0 / self.spread)])

    def solve(
        self, start: np.ndarray, free: np.ndarray, max_evaluations: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Least squares over the free constants, the others held: solution, and posterior spread of the free ones."""
        from scipy.optimize import least_squares

        def whole(part: np.ndarray) -> np.ndarray:
            x = start.copy()
            x[free] = part
            return x

        found = least_squares(
            lambda part: self.residuals(whole(part)),
            start[free],
            jac=lambda part: self.jacobian(whole(part))[:, free],
            bounds=(self.bounds[0][free], self.bounds[1][free]),
            max_nfev=max_evaluations,
            x_scale=self.spread[free],
        )
        posterior = self.spread.copy()
        posterior[free] = np.sqrt(np.clip(np.diag(np.linalg.pinv(found.jac.T @ found.jac)), 0.0, None))
        return whole(found.x), posterior


def predict(cases: Cases, values: dict[Key, float]) -> np.ndarray:
    """Step time of every row. [s]"""
    levels = clock.memory_copies(cases.shape, cases.layout, cases.device, tables.constants(cases, values))
    return np.asarray(sum(levels.values()))
