"""Step times predicted by constants that never saw the row: the table that ships, and whether it is still that of the clock.

`simulator.calibrate.left_out` computes it; here it is only read and written. The first line of the file holds the accuracy of
the shipped constants when it was written, so that a later calibration is recognised.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np

from simulator import library, uncertainty
from simulator.errors import SpecError
from simulator.validate import cases as tables
from simulator.validate import conformal, folds, intervals
from simulator.validate.folds import KINDS
from simulator.validate.metrics import summary
from simulator.validate.regimes import regimes

if TYPE_CHECKING:
    from pathlib import Path

SAME = 0.0005
"""Difference of two accuracies from which on they are of two calibrations. [-]"""

STATE = ("median_ape", "mape", "bias")


def shipped_path() -> Path:
    """Where the table ships."""
    return library.packaged_root() / "hardware_specs" / "intervals" / "left_out.csv"


def with_interval(
    cases: tables.Cases, predicted: np.ndarray, kind: str | None = None
) -> dict[str, np.ndarray]:
    """Predicted and measured step times with their 80 % interval: ``predicted measured low high``. [s]

    A row whose fold is out gets the interval of the evidence that it has left. Where its whole source is out, so are the
    source's residuals: the interval is made of the other organisations alone.
    """
    grade = folds.grades(cases, kind) if kind else None
    exposed, shipped = intervals.exposed_shares(cases), uncertainty.table()
    return intervals.around(
        cases,
        predicted,
        regimes=regimes(cases, grade, seen=kind != "source" if kind else None),
        exposed=exposed,
        known=conformal.without_own_source(cases, predicted, exposed, shipped) if kind == "source" else None,
    )


def state(cases: tables.Cases, values: dict[tuple[str, str], float] | None = None) -> dict[str, float]:
    """Accuracy of the shipped constants, or others, on the rows: what tells one calibration from the next."""
    found = summary(intervals.step_times(cases, values=values), cases.measured_s)
    return {"rows": len(cases), **{name: found[name] for name in STATE}}


def text_of(
    cases: tables.Cases,
    predicted: dict[str, np.ndarray],
    values: dict[tuple[str, str], float] | None = None,
) -> str:
    """The table as CSV, with the state of the clock in its first line."""
    head = " ".join(f"{name}={value:g}" for name, value in state(cases, values).items())
    lines = [f"# Written by trainsim validate --left-out; constants shipped then: {head}"]
    lines.append(",".join(("id", *(f"{kind}_s" for kind in predicted))))
    columns = list(predicted.values())
    for i, name in enumerate(cases.id):
        lines.append(",".join((str(name), *(f"{column[i]:.4g}" for column in columns))))
    return "\n".join(lines) + "\n"


def read(path: Path | None = None) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
    """Read the table: (state of the clock when it was written, step time [s] by kind and id).

    Raises
    ------
    SpecError
        If the file is missing or is not such a table.
    """
    path = path or shipped_path()
    if not path.is_file():
        raise SpecError(
            f"{path.name}: no such file; write it with trainsim validate --left-out all --write {path.name}"
        )
    head, _, body = path.read_text(encoding="utf-8").partition("\n")
    try:
        pairs = [each.split("=") for each in head.rpartition(": ")[2].split()]
        then = {name: float(value) for name, value in pairs}
        import csv

        rows = list(csv.DictReader(io.StringIO(body)))
        found = {
            kind: {row["id"]: float(row[f"{kind}_s"]) for row in rows}
            for kind in KINDS
            if rows and f"{kind}_s" in rows[0]
        }
    except (ValueError, KeyError, TypeError):
        raise SpecError(f"{path}: not a table of left-out predictions") from None
    return then, found


def is_fresh(cases: tables.Cases, then: dict[str, float]) -> bool:
    """Whether a table was computed with the clock and the constants that ship now."""
    now = state(cases)
    return all(abs(now[name] - then.get(name, np.inf)) <= SAME for name in now)


def columns(cases: tables.Cases, found: dict[str, dict[str, float]]) -> dict[str, np.ndarray]:
    """The table in the order of the rows; nan where it lacks a row."""
    return {
        kind: np.array([by_id.get(str(name), np.nan) for name in cases.id]) for kind, by_id in found.items()
    }


def partial_text(done: dict[tuple[str, str], np.ndarray], key: str) -> str:
    """Finished folds of a run, one line each, after a line that names what they were computed from."""
    lines = [key]
    for (kind, name), values in done.items():
        lines.append("\t".join((kind, name, *(f"{value:.6g}" for value in values))))
    return "\n".join(lines) + "\n"


def read_partial(text: str, key: str) -> dict[tuple[str, str], np.ndarray]:
    """Finished folds of an interrupted run; none if it was computed from something else."""
    first, *lines = text.splitlines() or [""]
    if first != key:
        return {}
    found: dict[tuple[str, str], np.ndarray] = {}
    for line in lines:
        kind, name, *values = line.split("\t")
        found[kind, name] = np.array([float(value) for value in values])
    return found


def key_of(cases: tables.Cases, values: dict[tuple[str, str], float] | None = None) -> str:
    """Name of what folds are computed from: rows and clock."""
    now: dict[str, Any] = state(cases, values)
    return " ".join(f"{name}={value:g}" for name, value in now.items())
