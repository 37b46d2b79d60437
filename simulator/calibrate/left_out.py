"""Step times of every row predicted by constants that never saw it: whole sources, models, accelerators, architectures out.

Refitting once per fold takes minutes, so the predictions are written to a table that the pages read
(``hardware_specs/intervals/left_out.csv``), one fold at a time: a run that was interrupted goes on where it stopped. The
intervals (``step_time.yaml`` beside it) are the percentiles of the same predictions.

A fold starts from constants that are known to be good, which changes how long the optimiser takes, not the optimum that
it finds (``tests/test_left_out.py``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from simulator import calibrations, library
from simulator.calibrate import gemm, links
from simulator.calibrate.fit import fit, predict
from simulator.calibrate.priors import Key
from simulator.errors import SpecError
from simulator.validate import left_out as stored
from simulator.validate.folds import KINDS, groups_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from simulator.validate.cases import Cases


def folds(cases: Cases, kind: str) -> list[str]:
    """Names of the folds, in the order in which they are computed."""
    return sorted({str(name) for name in groups_of(cases, kind)})


WHAT = {
    "source": "organisations",
    "model": "groups of models",
    "accelerator": "accelerators",
    "architecture": "architectures",
}
"""What a fold leaves out, in words."""


def check(cases: Cases, kinds: tuple[str, ...] = KINDS) -> None:
    """See that something is left to fit to whatever is left out.

    Raises
    ------
    SpecError
        If all rows are of one fold; every kind that is so is named.
    """
    alone = [
        f"{WHAT[kind]} (one here: {names[0].strip('()')})"
        for kind in kinds
        if len(names := folds(cases, kind)) == 1
    ]
    if alone:
        raise SpecError(
            f"leaving rows out needs rows of two {', of two '.join(alone)}; nothing would be left to fit to"
        )


def predict_fold(
    cases: Cases, kind: str, name: str, *, centre: dict[Key, float], warm: dict[Key, float]
) -> tuple[np.ndarray, np.ndarray]:
    """Fit to the rows outside a fold and predict those inside: (places of the rows, step times [s]).

    An architecture goes out with what its own matmuls say of it, and gets the mean of the others; its software keeps the
    constants of all rows (`warm`), because whoever runs on a new architecture brings a known stack. Optimistic as far as
    those were fitted together with the architecture's.
    """
    out = groups_of(cases, kind).astype(str) == name
    known = {key: value for key, value in centre.items() if kind != "architecture" or key[0] != name}
    result = fit(cases.take(~out), start=known, warm=warm)
    values = result.values
    if kind == "architecture":
        means = {c: value for (one, c), value in values.items() if one == calibrations.GENERIC}
        values = warm | {(name, c): value for c, value in means.items()}
    return np.flatnonzero(out), predict(cases.take(out), values)


def all_folds(
    cases: Cases,
    kinds: tuple[str, ...] = KINDS,
    *,
    centre: dict[Key, float] | None = None,
    warm: dict[Key, float] | None = None,
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
    centre : dict, optional
        Centre of the prior where it was measured; from the shipped small measurements if absent.
    warm : dict, optional
        Where each fit starts; the shipped constants if absent.
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
    check(cases, kinds)
    centre = micro_centre() if centre is None else centre
    warm = calibrations.shipped_values() if warm is None else warm
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


def micro_centre(path: Path | None = None) -> dict[Key, float]:
    """Priors that measured matmuls and collectives centre; from the table that ships if none is given."""
    path = path or library.find("measurements", "micro")
    found = {(name, "tile_fill"): value for name, value in gemm.fill_by_architecture(path).items()}
    measured = links.centre(path)
    found |= {(calibrations.FABRIC, name): value for name, value in measured.items()}
    if "link_efficiency" in measured:
        found |= {("fabric-degraded", name): value for name, value in measured.items()}
    return found


def write(
    path: Path,
    cases: Cases,
    *,
    centre: dict[Key, float] | None = None,
    values: dict[Key, float] | None = None,
    tell: Callable[[str], None] = lambda text: None,
) -> dict[str, np.ndarray]:
    """Write the table of all folds; an interrupted run is continued from ``FILE.part``.

    Parameters
    ----------
    path : Path
        Where the table goes, written whole or not at all.
    cases : Cases
        All rows.
    centre : dict, optional
        As in `all_folds`.
    values : dict, optional
        Constants of the fit to all rows, of which the table will tell whether it is still theirs; the shipped ones if absent.
    tell : callable, optional
        Receives progress.

    Returns
    -------
    dict
        By kind, the step time of every row. [s]
    """
    values = calibrations.shipped_values() if values is None else values
    part, key = path.with_name(path.name + ".part"), stored.key_of(cases, values)
    done = stored.read_partial(part.read_text(encoding="utf-8"), key) if part.is_file() else {}
    if done:
        tell(f"{len(done)} folds are done already ({part.name})")

    def keep(kind: str, name: str, predicted: np.ndarray) -> None:
        done[kind, name] = predicted
        part.write_text(stored.partial_text(done, key), encoding="utf-8")

    predicted = all_folds(cases, centre=centre, warm=values, done=done, tell=tell, keep=keep)
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(stored.text_of(cases, predicted, values), encoding="utf-8")
    temporary.replace(path)
    part.unlink(missing_ok=True)
    return predicted
