"""Step times of every row predicted by constants that never saw it: whole sources, models or accelerators left out.

Refitting once per source takes minutes, so the folds are written to a table that the pages read
(``hardware_specs/intervals/left_out.csv``), one fold at a time: a run that was interrupted goes on where it stopped.

A fold starts from constants that are known to be good and takes all constants of one name at a time in its finite
differences; both change how long the optimiser takes, not the optimum that it finds (``tests/test_left_out.py``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from simulator import calibrations, clock, library
from simulator.calibrate import crossval, gemm
from simulator.calibrate.fit import IDENTIFIED, NOISE, Fit, predict, row_weights
from simulator.calibrate.priors import Key, prior_of, prior_values
from simulator.device import Constants
from simulator.validate import left_out as stored
from simulator.validate.left_out import KINDS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from simulator.validate.cases import Cases

FEWEST = 5
"""Sources of fewer rows are left out together, as a stricter test than one at a time. [-]"""

STEP = 1e-6
"""Step of the finite differences in the logarithm of a constant. [-]"""


def source_groups(cases: Cases) -> np.ndarray:
    """Source of each row; those with few rows are held out together."""
    names, inverse, counts = np.unique(cases.source.astype(str), return_inverse=True, return_counts=True)
    return np.where(counts >= FEWEST, names, "(few)")[inverse]


def groups_of(cases: Cases, kind: str) -> np.ndarray:
    """Fold of each row: rows of one fold are left out together.

    Raises
    ------
    KeyError
        If `kind` is none of `KINDS`.
    """
    return {
        "source": source_groups,
        "model": crossval.model_folds,
        "accelerator": crossval.accelerator_groups,
    }[kind](cases)


def folds(cases: Cases, kind: str) -> list[str]:
    """Names of the folds, in the order in which they are computed."""
    return sorted({str(name) for name in groups_of(cases, kind)})


def predict_fold(
    cases: Cases, kind: str, name: str, *, centre: dict[Key, float], warm: dict[Key, float]
) -> tuple[np.ndarray, np.ndarray]:
    """Fit to the rows outside a fold and predict those inside: (places of the rows, step times [s])."""
    out = groups_of(cases, kind).astype(str) == name
    result = refit(cases.take(~out), centre=centre, warm=warm)
    return np.flatnonzero(out), predict(cases.take(out), crossval.with_generic(result.values, result))


def all_folds(
    cases: Cases,
    kinds: tuple[str, ...] = KINDS,
    *,
    done: dict[tuple[str, str], np.ndarray] | None = None,
    tell: Callable[[str], None] = lambda text: None,
    keep: Callable[[str, str, np.ndarray], None] = lambda kind, name, predicted: None,
) -> dict[str, np.ndarray]:
    """Predict every row once per kind of fold.

    Parameters
    ----------
    cases : Cases
        All rows.
    kinds : tuple of str, optional
        Of `KINDS`.
    done : dict, optional
        Folds that an earlier run finished: by kind and name, the step times of the rows inside. [s]
    tell : callable, optional
        Receives progress.
    keep : callable, optional
        Receives every fold as it is finished.

    Returns
    -------
    dict
        By kind, the step time of every row. [s]
    """
    centre = gemm_centre()
    warm = calibrations.shipped_values()
    predicted = {}
    for kind in kinds:
        column = np.full(len(cases), np.nan)
        groups, names = groups_of(cases, kind).astype(str), folds(cases, kind)
        for number, name in enumerate(names, 1):
            places = np.flatnonzero(groups == name)
            found = (done or {}).get((kind, name))
            if found is None or len(found) != len(places):
                tell(f"{kind} {number}/{len(names)}: {name}, {len(places)} rows left out")
                places, found = predict_fold(cases, kind, name, centre=centre, warm=warm)
                keep(kind, name, found)
            column[places] = found
        predicted[kind] = column
    return predicted


def gemm_centre() -> dict[Key, float]:
    """Priors that measured matmuls centre, as in the shipped calibration."""
    micro = library.find("measurements", "micro")
    return {(name, "tile_fill"): value for name, value in gemm.fill_by_architecture(micro).items()}


def refit(
    cases: Cases,
    *,
    centre: dict[Key, float],
    warm: dict[Key, float] | None = None,
    max_evaluations: int = 40,
) -> Fit:
    """Fit the constants as `calibrate.fit` does: same residuals, same priors, same rule for what rows identify.

    Parameters
    ----------
    cases : Cases
        Measured rows.
    centre : dict
        Centre of the prior where it is not the shipped prior.
    warm : dict, optional
        Where the optimiser starts; it does not move the prior. The centre if absent.
    max_evaluations : int, optional
        Bound on the optimiser. [-]
    """
    base = {**prior_values(), **centre}
    free = sorted({key for row in cases.keys for key in row.values()})
    priors = [prior_of(key) for key in free]
    spread = np.array([p.spread for p in priors])
    bounds = np.log([p.low for p in priors]), np.log([p.high for p in priors])
    middle = np.clip(np.log([base[key] for key in free]), bounds[0] + 1e-6, bounds[1] - 1e-6)
    first = np.clip(
        np.log([(warm or {}).get(key, base[key]) for key in free]), bounds[0] + 1e-6, bounds[1] - 1e-6
    )
    index = {key: i for i, key in enumerate(free)}
    names = list(calibrations.keys_of("", "", "bf16"))
    places = {n: np.array([index[row[n]] for row in cases.keys]) for n in names}
    weight, measured = row_weights(cases), np.log(cases.measured_s)

    def logs(x: np.ndarray) -> np.ndarray:
        columns = {name: np.exp(x)[place] for name, place in places.items()}
        columns["compiled_factor"] = np.where(cases.compiled, columns["compiled_factor"], 1.0)
        levels = clock.memory_copies(cases.shape, cases.layout, cases.device, Constants(**columns))
        return np.asarray(np.log(sum(levels.values())))

    def residuals(x: np.ndarray) -> np.ndarray:
        error = (logs(x) - measured) / NOISE
        robust = np.sign(error) * np.sqrt(2.0 * (np.sqrt(1.0 + error**2) - 1.0))
        return np.concatenate([weight * robust, (x - middle) / spread])

    def jacobian(x: np.ndarray) -> np.ndarray:
        return grouped_jacobian(residuals, x, list(places.values()), spread)

    everything = np.ones(len(free), dtype=bool)
    x, posterior = _solve(residuals, jacobian, first, bounds, spread, everything, max_evaluations)
    identified = posterior < IDENTIFIED * spread
    x, _ = _solve(
        residuals, jacobian, np.where(identified, x, middle), bounds, spread, identified, max_evaluations
    )
    values = {**base, **{key: float(np.exp(x[i])) for i, key in enumerate(free) if identified[i]}}
    known = {key: bool(identified[i]) for i, key in enumerate(free)}
    return Fit(values=values, spread={}, rows={}, groups={}, identified=known)


def grouped_jacobian(
    residuals: Callable[[np.ndarray], np.ndarray],
    x: np.ndarray,
    places: list[np.ndarray],
    spread: np.ndarray,
) -> np.ndarray:
    """Jacobian of row residuals and priors by finite differences that move many constants at once.

    Parameters
    ----------
    residuals : callable
        Rows first, then one residual ``(x - centre) / spread`` per constant.
    x : array
        Logarithms of the constants.
    places : list of array
        For each constant of the clock, the place in `x` that every row takes it from. A row takes each constant of the
        clock from one place, so the places of one array never share a row and can be moved together.
    spread : array
        Widths of the priors.

    Returns
    -------
    array
        Rows and priors by constants. With 28 constants of the clock in 21 sets, some 30 evaluations instead of 185.
    """
    start = residuals(x)
    rows = len(places[0])
    found = np.zeros((len(start), len(x)))
    found[rows:] = np.diag(1.0 / spread)
    for place in places:
        moved = x.copy()
        moved[np.unique(place)] += STEP
        difference = (residuals(moved)[:rows] - start[:rows]) / STEP
        found[np.arange(rows), place] += difference
    return found


def _solve(
    residuals: Callable[[np.ndarray], np.ndarray],
    jacobian: Callable[[np.ndarray], np.ndarray],
    start: np.ndarray,
    bounds: tuple[np.ndarray, np.ndarray],
    scale: np.ndarray,
    free: np.ndarray,
    max_evaluations: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Least squares over the free constants, the others held: solution, and posterior spread of the free ones."""
    from scipy.optimize import least_squares

    def whole(part: np.ndarray) -> np.ndarray:
        x = start.copy()
        x[free] = part
        return x

    found = least_squares(
        lambda part: residuals(whole(part)),
        start[free],
        jac=lambda part: jacobian(whole(part))[:, free],
        bounds=(bounds[0][free], bounds[1][free]),
        max_nfev=max_evaluations,
        x_scale=scale[free],
    )
    x, posterior = whole(found.x), scale.copy()
    posterior[free] = np.sqrt(np.clip(np.diag(np.linalg.pinv(found.jac.T @ found.jac)), 0.0, None))
    return x, posterior


def write(path: Path, cases: Cases, *, tell: Callable[[str], None] = lambda text: None) -> None:
    """Write the table of all folds; an interrupted run is continued from ``FILE.part``.

    Parameters
    ----------
    path : Path
        Where the table goes, written whole or not at all.
    cases : Cases
        All rows.
    tell : callable, optional
        Receives progress.
    """
    part, key = path.with_name(path.name + ".part"), stored.key_of(cases)
    done = stored.read_partial(part.read_text(encoding="utf-8"), key) if part.is_file() else {}
    if done:
        tell(f"{len(done)} folds are done already ({part.name})")

    def keep(kind: str, name: str, predicted: np.ndarray) -> None:
        done[kind, name] = predicted
        part.write_text(stored.partial_text(done, key), encoding="utf-8")

    predicted = all_folds(cases, done=done, tell=tell, keep=keep)
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(stored.text_of(cases, predicted), encoding="utf-8")
    temporary.replace(path)
    part.unlink(missing_ok=True)
