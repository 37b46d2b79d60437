"""The calibration command: read, fit, cross-validate, write."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from simulator import calibrations
from simulator.calibrate import left_out, simple, write
from simulator.calibrate.fit import Fit, fit, predict
from simulator.validate import cases as tables
from simulator.validate import conformal
from simulator.validate import left_out as stored
from simulator.validate.intervals import exposed_shares
from simulator.validate.metrics import summary

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


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
        Take the shipped sets, not the priors, as the centre.
    tell : callable
        Receives progress.
    intervals : Path, optional
        File for the percentiles of the errors on rows left out of the fit; the predictions go into a table beside it.
    micro : Path, optional
        Table of measured matmuls and collectives, which centre the fill of the tiles and the links.
    """
    known = calibrations.sets() if shipped else write.planned_sets()
    rows = tables.read(cases, known)
    tell(f"{len(rows)} rows, {sum(rows.skipped.values())} skipped")
    if intervals is not None:
        left_out.check(rows)
    start = calibrations.shipped_values() if shipped else {}
    if micro is not None:
        start |= left_out.micro_centre(micro)
    result = fit(rows, start=start)
    values, identified = dict(result.values), dict(result.identified)
    if not shipped:
        found = simple.fit_simple(rows, tables.constants(rows, values))
        values |= {(calibrations.SIMPLE_CLOCKS, name): value for name, value in found.items()}
        identified |= {(calibrations.SIMPLE_CLOCKS, name): True for name in found}
    final = replace(result, values=values, identified=identified)
    command = f"trainsim calibrate --cases {cases} --out {out}" + (" --start shipped" if shipped else "")
    command += f" --micro {micro}" if micro else ""
    write.write_sets(final, out, command=command, data=str(cases))
    tell(f"in sample: {summary(predict(rows, values), rows.measured_s)}")
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
