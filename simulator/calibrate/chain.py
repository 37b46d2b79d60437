"""The calibration command: read, fit, cross-validate, write."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulator import calibrations
from simulator.calibrate import crossval, gemm, simple, write
from simulator.calibrate.fit import Fit, fit, predict
from simulator.calibrate.priors import Key
from simulator.validate import cases as tables
from simulator.validate.metrics import summary
from simulator.validate.regimes import regimes

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
        File for the percentiles of the cross-validated error.
    micro : Path, optional
        Table of measured matmuls, which centre the fill of the tiles.
    """
    known = calibrations.sets() if shipped else write.planned_sets()
    rows = tables.read(cases, known)
    tell(f"{len(rows)} rows, {sum(rows.skipped.values())} skipped")
    start = calibrations.shipped_values() if shipped else {}
    if micro is not None:
        start |= {(name, "tile_fill"): value for name, value in gemm.fill_by_architecture(micro).items()}
    result = fit(rows, start=start)
    values = crossval.with_generic(result.values, result)
    if not shipped:
        found = simple.fit_simple(rows, tables.constants(rows, values))
        values |= {(calibrations.SIMPLE_CLOCKS, name): value for name, value in found.items()}
        result.identified.update({(calibrations.SIMPLE_CLOCKS, name): True for name in found})
    final = Fit(values, result.spread, result.rows, result.groups, result.identified)
    command = f"trainsim calibrate --cases {cases} --out {out}" + (" --start shipped" if shipped else "")
    command += f" --micro {micro}" if micro else ""
    write.write_sets(final, out, command=command, data=str(cases))
    tell(f"in sample: {summary(predict(rows, values), rows.measured_s)}")
    if intervals is not None:
        _intervals(rows, final, start, intervals, command, tell)
    return final


def _intervals(
    rows: tables.Cases,
    final: Fit,
    start: dict[Key, float],
    path: Path,
    command: str,
    tell: Callable[[str], None],
) -> None:
    """Cross-validate by model, stand in for unknown accelerators, and write the percentiles."""
    models = crossval.held_out(rows, crossval.model_folds(rows), tell, start, final.values)
    tell(f"held out by model: {summary(models, rows.measured_s)}")
    chips = crossval.held_out(rows, crossval.accelerator_groups(rows), tell, start, final.values)
    tell(f"held out by accelerator: {summary(chips, rows.measured_s)}")
    unknown = crossval.as_unknown(rows, final)
    tell(f"architecture unknown: {summary(unknown, rows.measured_s)}")
    table = crossval.percentiles(
        [
            (rows, regimes(rows, "measured"), models),
            (rows, regimes(rows, "transferred"), chips),
            (rows, regimes(rows, "datasheet"), unknown),
        ]
    )
    write.write_yaml(
        path, crossval.document(table, command=f"{command} --intervals {path}", data=f"{len(rows)} rows")
    )
