"""Published throughput rows as columns: what was run, on what, and how long a step took.

`read` turns a table in the format of ``measurements/throughput.csv`` into `Cases`: a `Shape`, a `Layout` and a `Device`
whose fields are arrays with one entry per row, the calibration sets each row uses, and the measured step time. A field
that a row leaves empty takes the framework's usual default, stated in `profiles.PROFILES`; a row that cannot be predicted is
skipped with its reason. The measured value is never an input.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from simulator import calibrations, evidence
from simulator.device import Constants, Device
from simulator.errors import Problem, SpecError
from simulator.layout import Layout
from simulator.transformer import Shape
from simulator.validate.cells import SkipError, empty
from simulator.validate.contradictions import TOLERANCE, beyond_peak, quarantined
from simulator.validate.counts import impossible
from simulator.validate.headers import missing, read_table
from simulator.validate.rows import REQUIRED, Row, with_all_columns

if TYPE_CHECKING:
    import pandas as pd

    from simulator.schema.calibration import Calibration


UNNAMED = "(unnamed)"
"""Source of a row that names none."""


@dataclass(frozen=True)
class Cases:
    """Rows of a throughput table as columns."""

    id: np.ndarray
    source: np.ndarray
    gpu: np.ndarray
    """Accelerator, under the first name that the table has for it."""
    complete: np.ndarray
    quality: np.ndarray
    config_group: np.ndarray
    shape: Shape
    layout: Layout
    device: Device
    keys: tuple[dict[str, tuple[str, str]], ...]
    """For each row, where each constant is found (see `calibrations.keys_of`)."""
    compiled: np.ndarray
    measured_s: np.ndarray
    grade: np.ndarray
    seen: np.ndarray
    """Whether the software's constants were fitted to other runs of the row's organisation."""
    skipped: dict[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.id)

    def take(self, index: Any) -> Cases:
        """Rows `index`, in order."""
        index = np.asarray(index)
        index = np.flatnonzero(index) if index.dtype == bool else index
        values: dict[str, Any] = {}
        for each in fields(self):
            value = getattr(self, each.name)
            if each.name == "keys":
                value = tuple(value[i] for i in index)
            elif isinstance(value, np.ndarray) or hasattr(value, "take"):
                value = value.take(index) if not isinstance(value, np.ndarray) else value[index]
            values[each.name] = value
        return Cases(**values)


def read(path: str | Path, known: dict[str, Calibration] | None = None) -> Cases:
    """Read a throughput table.

    Raises
    ------
    SpecError
        If the file is missing, is not CSV, or lacks the columns of the format.
    """
    return of_frame(read_frame(path), known)


def read_frame(
    path: str | Path, *, required: tuple[str, ...] = (*REQUIRED, "measured_value")
) -> pd.DataFrame:
    """Read a CSV file of measurements, or one with semicolons or tabs, with clear errors for what is not one."""
    path = Path(path)
    frame = read_table(path)
    lacking = missing(frame.columns, required)
    if lacking:
        raise SpecError(f"{path}: missing columns {lacking}; see docs/validation.md for the format")
    return frame


def of_frame(frame: pd.DataFrame, known: dict[str, Calibration] | None = None) -> Cases:
    """Turn rows into columns; rows that cannot be predicted are counted in ``skipped``."""
    frame = with_all_columns(frame)
    reasons: dict[str, int] = {}
    named: dict[str, str] = {}
    rows = []
    for row, again in zip(frame.to_dict("records"), frame.duplicated(), strict=True):
        try:
            rows.append(_possible({str(key): value for key, value in row.items()}, again=bool(again)))
        except SkipError as skip:
            reason = named.setdefault(skip.kind, str(skip))
            reasons[reason] = reasons.get(reason, 0) + 1
    if known is None:
        return _gather(rows, reasons, calibrations.sets(), own=frozenset(evidence.own_files()))
    return _gather(rows, reasons, known)


def _possible(raw: dict[str, Any], *, again: bool) -> Row:
    """One row, read; `again` where an earlier one agrees with it in every cell, which under one id is one run copied."""
    doubtful = quarantined()
    if str(raw["id"]) in doubtful:
        raise SkipError(f"contradicts itself: {doubtful[str(raw['id'])]}")
    if again and not empty(raw["id"]):
        raise SkipError("the same as an earlier row, id included")
    row = Row(raw)
    if wrong := [*impossible(row), *beyond_peak(row, TOLERANCE)]:
        reason, figures = wrong[0]
        raise SkipError(f"contradicts itself: {reason} ({figures})", kind=reason)
    return row


def _gather(
    rows: list[Row],
    reasons: dict[str, int],
    known: dict[str, Calibration],
    own: frozenset[str] = frozenset(),
) -> Cases:
    """Columns of rows; `own` are the ids of those sets that a user's own runs wrote."""
    keys, grade = [], []
    for row in rows:
        chip = calibrations.accelerator_set(row.accelerator, known)
        software = calibrations.software_set(row.software, known)
        keys.append(calibrations.keys_of(chip, software, row.precision, row.fabric))
        applies = known[chip].applies_to if chip in own else ()
        grade.append(evidence.grade_of(row.accelerator, chip, applies))

    def column(name: str) -> np.ndarray:
        return np.array(["" if empty(r.raw[name]) else str(r.raw[name]) for r in rows], dtype=object)

    def stack(record: type, items: list[Any]) -> Any:
        names = [f.name for f in fields(record)]
        return record(**{n: np.array([getattr(i, n) for i in items], dtype=float) for n in names})

    source = np.where(column("source_group") == "", column("source"), column("source_group"))
    source = np.where(source == "", UNNAMED, source)
    measured_by = [known[each["launch_s"][0]].provenance.groups for each in keys]
    return Cases(
        id=column("id"),
        source=source,
        gpu=_accelerators(rows),
        complete=np.array([r.complete for r in rows], dtype=bool),
        quality=column("quality"),
        config_group=column("config_group"),
        shape=stack(Shape, [r.shape for r in rows]),
        layout=stack(Layout, [r.layout for r in rows]),
        device=stack(Device, [r.device for r in rows]),
        keys=tuple(keys),
        compiled=np.array([r.compiled for r in rows], dtype=bool),
        measured_s=np.array([r.measured_s for r in rows], dtype=float),
        grade=np.array(grade, dtype=object),
        seen=np.array([name in groups for name, groups in zip(source, measured_by, strict=True)], dtype=bool),
        skipped=reasons,
    )


def _accelerators(rows: list[Row]) -> np.ndarray:
    """Accelerators as the table first writes them: RTX4090 after RTX 4090 is the same one."""
    first: dict[str, str] = {}
    for row in rows:
        first.setdefault(row.accelerator.label, str(row.raw["gpu"]))
    return np.array([first[row.accelerator.label] for row in rows], dtype=object)


def check_some(cases: Cases, path: Path, what: str) -> None:
    """See that rows were read.

    Parameters
    ----------
    cases : Cases
        Rows of a table.
    path : Path
        The table, for the message.
    what : str
        What cannot be done without a row: ``fitted``, ``checked``.

    Raises
    ------
    SpecError
        If no row can be predicted; every reason is named.
    """
    if len(cases):
        return
    reasons = (
        [Problem("the table holds no row")]
        if not cases.skipped
        else [
            Problem(f"{number} row{'' if number == 1 else 's'} skipped: {reason}")
            for reason, number in cases.skipped.items()
        ]
    )
    head = Problem(f"no row can be predicted, so nothing can be {what}", file=str(path))
    raise SpecError([head, *reasons])


def constants(cases: Cases, values: dict[tuple[str, str], float]) -> Constants:
    """Constants of every row from values by (set id, constant)."""
    names = list(calibrations.keys_of("", "", "bf16"))
    columns = {n: np.array([values[k[n]] for k in cases.keys], dtype=float) for n in names}
    columns["compiled_factor"] = np.where(cases.compiled, columns["compiled_factor"], 1.0)
    return Constants(**columns)
