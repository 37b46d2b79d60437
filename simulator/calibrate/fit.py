"""Fit the few physical constants of accelerators, fabrics and software stacks to measured step times.

Every constant has a prior with a source. Robust least squares on the logarithm of the step time moves them; a constant that the
rows neither narrow nor move far is refused, put back to its mean over sets or to its own centre, and the others are fitted again.
Groups of rows (organisations) are weighted so that none dominates, and a configuration that was measured several times counts once.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from simulator import calibrations, clock
from simulator.calibrate.belief import Belief, belief_of, has_mean
from simulator.calibrate.priors import Key, prior_values
from simulator.device import Constants
from simulator.validate import cases as tables
from simulator.validate.folds import row_weights

if TYPE_CHECKING:
    from collections.abc import Callable

    from simulator.validate.cases import Cases

NOISE = 0.1
"""Scatter of repeated measurements of one configuration: NVIDIA's releases differ by up to 0.16. [-]"""


@dataclass(frozen=True)
class Fit:
    """Result of a calibration."""

    values: dict[Key, float]
    spread: dict[Key, float]
    """Posterior standard deviation of the logarithm. [-]"""
    rows: dict[str, int]
    groups: dict[str, tuple[str, ...]]
    identified: dict[Key, bool] = field(default_factory=dict)
    centred: frozenset[Key] = frozenset()
    """Constants whose prior was centred on a measurement or on a shipped set."""


def fit(
    cases: Cases,
    *,
    start: dict[Key, float] | None = None,
    warm: dict[Key, float] | None = None,
    max_evaluations: int = 40,
) -> Fit:
    """Fit the constants that the rows bear on; the others keep their prior.

    Parameters
    ----------
    cases : Cases
        Measured rows.
    start : dict, optional
        Centre of the prior where given (a shipped set, for a user's own runs).
    warm : dict, optional
        Where the optimiser starts; it does not move the prior. The centre if absent.
    max_evaluations : int, optional
        Bound on the optimiser. [-]

    Returns
    -------
    Fit
    """
    base = {**prior_values(), **(start or {})}
    keys = tuple(sorted({key for row in cases.keys for key in row.values()}))
    belief = belief_of(keys, base, frozenset(start or {}))
    index = {key: i for i, key in enumerate(keys)}
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

    first = belief.centre.copy()
    first[: len(keys)] = np.log([(warm or {}).get(key, base[key]) for key in keys])
    x, posterior = _solve(errors, list(places.values()), belief, first, max_evaluations)
    held = ~_identified(belief, x, posterior)
    held[len(keys) :] = False
    x, narrowed = _solve(
        errors, list(places.values()), belief.holding(held), belief.settled(x, held), max_evaluations
    )
    x, posterior = belief.settled(x, held), np.where(held, posterior, narrowed)
    values = _unseen(base, start or {}, belief.means(x))
    values |= dict(zip(keys, np.exp(x[: len(keys)]).tolist(), strict=True))
    rows, groups = _support(cases)
    return Fit(
        values=values,
        spread={key: float(min(posterior[i], belief.spread[i])) for i, key in enumerate(keys)},
        rows=rows,
        groups=groups,
        identified={key: not held[i] for i, key in enumerate(keys)},
        centred=frozenset(start or {}),
    )


def _support(cases: Cases) -> tuple[dict[str, int], dict[str, tuple[str, ...]]]:
    """Rows and organisations that describe each set."""
    names = [{key for key, _ in row.values()} for row in cases.keys]
    sets = {name for each in names for name in each}
    rows = {name: sum(name in each for each in names) for name in sets}
    groups = {
        name: tuple(sorted({str(s) for s, each in zip(cases.source, names, strict=True) if name in each}))
        for name in sets
    }
    return rows, groups


IDENTIFIED = 0.9
"""Posterior over prior spread, the mean over sets known, below which the rows identify a constant. [-]"""

MOVED = 1.0
"""Distance from what a constant is drawn to, in standard deviations, above which the rows identify it too: where the clock is not
linear in it, they can move it without narrowing it. [-]"""


def _identified(belief: Belief, x: np.ndarray, posterior: np.ndarray) -> np.ndarray:
    """Which unknowns the rows narrow, or move far."""
    return np.asarray((posterior < IDENTIFIED * belief.own) | (np.abs(belief.residuals(x)) > MOVED))


TOLERANCE = 1e-6
"""Relative change of cost and constants at which the optimiser stops; a constant moves by less than its spread. [-]"""

STEP = 1e-6
"""Step of the finite differences, in the logarithm of a constant. [-]"""


def grouped_jacobian(
    errors: Callable[[np.ndarray], np.ndarray], x: np.ndarray, places: list[np.ndarray]
) -> np.ndarray:
    """Derivatives of row errors by finite differences that move many constants at once.

    Parameters
    ----------
    errors : callable
        Error of every row at the logarithms of the constants.
    x : array
        Logarithms of the constants.
    places : list of array
        For each field of `Constants`, the place in `x` that every row takes it from. A row takes each field from one
        place, so the places of one field never share a row and can be moved together.

    Returns
    -------
    array
        Rows by constants. With 30 fields in 22 sets, 31 evaluations instead of some 200.
    """
    base = errors(x)
    found = np.zeros((len(base), len(x)))
    for place in places:
        moved = x.copy()
        moved[np.unique(place)] += STEP
        found[np.arange(len(base)), place] += (errors(moved) - base) / STEP
    return found


GAIN = 0.2
"""Fall of the cost, half a sum of squared standard deviations, below which the optimiser is not started again. [-]"""

ROUNDS = 6
"""Bound on its starts. [-]"""


def _solve(
    errors: Callable[[np.ndarray], np.ndarray],
    places: list[np.ndarray],
    belief: Belief,
    start: np.ndarray,
    max_evaluations: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Least squares over row errors and prior: the unknowns, and their posterior spread.

    The clock has kinks (the longer of two times, whole waves of tiles), at which the optimiser's steps shrink until it stops.
    It is started again from there, the means over sets back at their prior, which takes it off the kink, until that gains
    nothing.
    """
    best: Any = None
    for _ in range(ROUNDS):
        found = _least_squares(
            lambda x: np.concatenate([errors(x), belief.residuals(x)]),
            belief.inside(start),
            jac=lambda x: np.vstack([grouped_jacobian(errors, x, places), belief.slopes]),
            bounds=(belief.low, belief.high),
            max_nfev=max_evaluations,
            x_scale=belief.spread,
            ftol=TOLERANCE,
            xtol=TOLERANCE,
        )
        gain = np.inf if best is None else best.cost - found.cost
        best = found if gain > 0.0 else best
        if gain < GAIN:
            break
        start = np.concatenate([best.x[: len(belief.keys)], belief.centre[len(belief.keys) :]])
    return best.x, np.sqrt(np.clip(np.diag(np.linalg.pinv(best.jac.T @ best.jac)), 0.0, None))


TRIES = 4
"""Times that the optimiser is tried. [-]"""

NUDGE = 1e-9
"""Relative change of the scales with which a decomposition that did not converge is tried again. [-]"""


def _least_squares(
    function: Callable[[np.ndarray], np.ndarray], start: np.ndarray, *, x_scale: np.ndarray, **options: Any
) -> Any:
    """SciPy's least squares, tried again where a singular value decomposition does not converge.

    LAPACK's divide and conquer fails on a very rare matrix, and on another one for each number of threads; a matrix that
    differs in the ninth digit is decomposed.
    """
    from scipy.optimize import least_squares

    def solved(attempt: int) -> Any:
        return least_squares(function, start, x_scale=x_scale * (1.0 + attempt * NUDGE), **options)

    for attempt in range(TRIES - 1):
        try:
            return solved(attempt)
        except np.linalg.LinAlgError:
            continue
    return solved(TRIES - 1)


def _unseen(base: dict[Key, float], start: dict[Key, float], means: dict[str, float]) -> dict[Key, float]:
    """Constants that no row uses: a measured or shipped centre, a prior of their own, or the mean of the sets that rows use."""
    return {
        key: means[key[1]] if key not in start and has_mean(key) and key[1] in means else value
        for key, value in base.items()
    }


def predict(cases: Cases, values: dict[Key, float]) -> np.ndarray:
    """Step time of every row. [s]"""
    levels = clock.memory_copies(cases.shape, cases.layout, cases.device, tables.constants(cases, values))
    return np.asarray(sum(levels.values()))
