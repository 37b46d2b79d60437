"""The calibration command: read, fit, cross-validate, write."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from simulator import calibrations
from simulator.calibrate import left_out, simple, write
from simulator.calibrate.fit import Fit, fit, predict
from simulator.calibrate.priors import SETS
from simulator.errors import Problem, SpecError
from simulator.validate import cases as tables
from simulator.validate import conformal
from simulator.validate import left_out as stored
from simulator.validate.intervals import exposed_shares
from simulator.validate.metrics import summary

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


DOUBTFUL = 0.3
"""Median error in sample above which a table is doubted: no source that ships is half as far off. [-]"""


def run(
    cases: Path,
    out: Path,
    *,
    shipped: bool,
    tell: Callable[[str], None],
    intervals: Path | None = None,
    micro: Path | None = None,
) -> Fit:
    """Fit the sets to a table and write them into a folder.

    Parameters
    ----------
    cases : Path
        Table of measured runs.
    out : Path
        Folder of the sets.
    shipped : bool
        Take the sets that ship, not the priors, as the centre, and write those only that the rows describe. Own sets are not
        the centre of the next fit: the same rows would count twice.
    tell : callable
        Receives progress.
    intervals : Path, optional
        File for the percentiles of the errors on rows left out of the fit; the predictions go into a table beside it.
    micro : Path, optional
        Table of measured matmuls and collectives, which centre the fill of the tiles and the links.
    """
    if out.exists() and not out.is_dir():
        raise SpecError(f"{out}: a file; --out names a folder")
    known = calibrations.packaged_sets() if shipped else write.planned_sets()
    rows = tables.read(cases, known)
    tell(f"{len(rows)} rows, {sum(rows.skipped.values())} skipped")
    if not len(rows):
        reasons = [Problem(f"{number} rows skipped: {reason}") for reason, number in rows.skipped.items()]
        raise SpecError(
            [Problem("no row can be predicted, so nothing can be fitted", file=str(cases)), *reasons]
        )
    if intervals is not None:
        left_out.check(rows)
    start = calibrations.shipped_values(known) if shipped else {}
    if micro is not None:
        start |= left_out.micro_centre(micro)
    result = fit(rows, start=start)
    values, identified = dict(result.values), dict(result.identified)
    if not shipped:
        simplest = simple.fit_simple(rows, tables.constants(rows, values))
        values |= {(calibrations.SIMPLE_CLOCKS, name): value for name, value in simplest.items()}
        identified |= {(calibrations.SIMPLE_CLOCKS, name): True for name in simplest}
    final = replace(result, values=values, identified=identified)
    command = f"trainsim calibrate --cases {cases} --out {out}" + (" --start shipped" if shipped else "")
    command += f" --micro {micro}" if micro else ""
    found = summary(predict(rows, values), rows.measured_s)
    touched = [n for n, (kind, _) in SETS.items() if kind != "clocks" and result.rows.get(n)]
    write.write_sets(final, out, command=command, data=str(cases), names=touched if shipped else None)
    tell(f"in sample: {found}")
    if found["median_ape"] > DOUBTFUL:
        tell(
            f"Half of the rows are more than {100 * found['median_ape']:.0f} % off even after the fit: look for wrong units or "
            f"configurations (trainsim validate --cases {cases} --contradictions) before you use these sets"
        )
    if intervals is not None:
        table = intervals.with_name(stored.shipped_path().name)
        predicted = left_out.write(table, rows, centre=start, values=values, tell=tell)
        exposed = exposed_shares(rows, values=values)
        parts = [conformal.part(rows, kind, column, exposed) for kind, column in predicted.items()]
        for each in parts:
            tell(f"left out, {len(each.cases)} rows: {summary(each.predicted, rows.measured_s)}")
        document = conformal.document(
            conformal.percentiles(parts),
            command=f"{command} --intervals {intervals}",
            data=f"{table.name}: {len(rows)} rows",
        )
        write.write_yaml(intervals, document)
    return final
