"""The calibration command: read, fit, cross-validate, write."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from simulator import calibrations
from simulator.calibrate import left_out, simple, write
from simulator.calibrate.fit import Fit, fit, predict
from simulator.calibrate.outcome import Outcome
from simulator.calibrate.own import own_sets
from simulator.calibrate.priors import SETS, prior_values
from simulator.errors import SpecError
from simulator.evidence import FEWEST_OWN
from simulator.validate import cases as tables
from simulator.validate import conformal, headers
from simulator.validate import left_out as stored
from simulator.validate.intervals import exposed_shares
from simulator.validate.metrics import in_words, summary

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from simulator.calibrate.priors import Key
    from simulator.schema.calibration import Calibration
    from simulator.validate.cases import Cases


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
) -> Outcome:
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
    rows, known, own = _read(cases, shipped, tell)
    if intervals is not None:
        left_out.check(rows)
    start = calibrations.shipped_values(known) if shipped else {}
    if micro is not None:
        start |= left_out.micro_centre(micro)
    final = _fitted(rows, start, shipped=shipped)
    command = f"trainsim calibrate --cases {cases} --out {out} --start {'shipped' if shipped else 'prior'}"
    command += f" --micro {micro}" if micro else ""
    names = _touched(final, own) if shipped else tuple(SETS)
    files = write.write_sets(
        final,
        out,
        command=command,
        data=str(cases),
        names=names,
        own={name: known[name].applies_to for name in own},
        centre="the set that ships" if shipped else write.MEASURED_CENTRE,
        kept=known if shipped else None,
    )
    found = _outcome(rows, {**prior_values(), **start}, final, names, files)
    if found.after["median_ape"] > DOUBTFUL:
        tell(
            f"Half of the rows are more than {100 * found.after['median_ape']:.0f} % off even after the fit: look for wrong units or "
            f"configurations (trainsim validate --cases {cases} --contradictions) before you use these sets"
        )
    if intervals is not None:
        _cross_validate(rows, start, final, intervals, command, tell)
    return found


def _read(
    cases: Path, shipped: bool, tell: Callable[[str], None]
) -> tuple[Cases, dict[str, Calibration], tuple[str, ...]]:
    """Rows of a table, the sets they are read with, and those of these that are accelerators' own.

    Raises
    ------
    SpecError
        If no row can be predicted; every reason is named.
    """
    known = calibrations.packaged_sets() if shipped else write.planned_sets()
    frame = tables.read_frame(cases)
    for told in filter(None, (headers.remark(cases), headers.remark_on_frameworks(cases) if shipped else "")):
        tell(told)
    rows = tables.of_frame(frame, known)
    own = own_sets(rows, known) if shipped else {}
    if own:
        known = {**own, **known}
        rows = tables.of_frame(frame, known)
    tell(f"{len(rows)} rows, {sum(rows.skipped.values())} skipped")
    tables.check_some(rows, cases, "fitted")
    for reason, number in rows.skipped.items():
        tell(f"  {number} skipped: {reason}")
    if len(rows) < FEWEST_OWN:
        tell(
            f"{FEWEST_OWN} rows are the fewest that move constants reliably and make a plan that of a known organisation"
        )
    return rows, known, tuple(own)


def _fitted(rows: Cases, start: dict[Key, float], *, shipped: bool) -> Fit:
    """The fit; from the priors, with the constants of the simple clocks."""
    result = fit(rows, start=start)
    if shipped:
        return result
    values, identified = dict(result.values), dict(result.identified)
    simplest = simple.fit_simple(rows, tables.constants(rows, values))
    values |= {(calibrations.SIMPLE_CLOCKS, name): value for name, value in simplest.items()}
    identified |= {(calibrations.SIMPLE_CLOCKS, name): True for name in simplest}
    return replace(result, values=values, identified=identified)


def _touched(result: Fit, own: tuple[str, ...]) -> tuple[str, ...]:
    """Sets that rows describe, those of single accelerators first."""
    physical = [name for name, (kind, _) in SETS.items() if kind != "clocks"]
    return tuple(name for name in (*own, *physical) if result.rows.get(name))


def _outcome(
    rows: Cases, start: dict[Key, float], final: Fit, names: tuple[str, ...], files: list[Path]
) -> Outcome:
    return Outcome(
        fit=final,
        start=start,
        sets=names,
        files=tuple(files),
        ids=tuple(rows.id.tolist()),
        measured_s=rows.measured_s,
        before_s=predict(rows, start),
        after_s=predict(rows, final.values),
        skipped=rows.skipped,
    )


def _cross_validate(
    rows: Cases,
    start: dict[Key, float],
    final: Fit,
    intervals: Path,
    command: str,
    tell: Callable[[str], None],
) -> None:
    """Predict every row by constants that never saw it, and write the percentiles of the errors."""
    table = intervals.with_name(stored.shipped_path().name)
    predicted = left_out.write(table, rows, centre=start, values=final.values, tell=tell)
    exposed = exposed_shares(rows, values=final.values)
    parts = [conformal.part(rows, kind, column, exposed) for kind, column in predicted.items()]
    for each in parts:
        tell(f"left out, {len(each.cases)} rows: {in_words(summary(each.predicted, rows.measured_s))}")
    document = conformal.document(
        conformal.percentiles(parts),
        command=f"{command} --intervals {intervals}",
        data=f"{table.name}: {len(rows)} rows",
    )
    write.write_yaml(intervals, document)
