"""Step times of every row predicted by constants that never saw it: whole sources, models or accelerators left out.

Refitting once per source takes minutes, so the folds are written to a table that the pages read
(``hardware_specs/intervals/left_out.csv``), one fold at a time: a run that was interrupted goes on where it stopped.

A fold starts from constants that are known to be good, which changes how long the optimiser takes, not the optimum that
it finds (``tests/test_left_out.py``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from simulator import calibrations, library
from simulator.calibrate import crossval, gemm
from simulator.calibrate.fit import fit, predict
from simulator.calibrate.priors import Key
from simulator.validate import left_out as stored
from simulator.validate.left_out import KINDS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from simulator.validate.cases import Cases

FEWEST = 5
"""Sources of fewer rows are left out together, as a stricter test than one at a time. [-]"""


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
    result = fit(cases.take(~out), start=centre, warm=warm)
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
