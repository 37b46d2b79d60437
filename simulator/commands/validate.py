"""``trainsim validate``: predict published measurements and report the error."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

WORST = 10
"""Worst cases shown unless asked otherwise."""


@click.command("validate")
@click.option(
    "--cases", type=click.Path(path_type=Path), help="CSV of measured step times (docs/validation.md)."
)
@click.option(
    "--memory", type=click.Path(path_type=Path), help="CSV of measured memory and of runs that ran out of it."
)
@click.option("--losses", type=click.Path(path_type=Path), help="CSV of training runs with their loss.")
@click.option("--growth", type=click.Path(path_type=Path), help="CSV of published growth experiments.")
@click.option(
    "--layouts",
    is_flag=True,
    help="Only what choices lose: the layout ranked first against the best measured, and published GPU-hours.",
)
@click.option(
    "--clock",
    default="memory_copies",
    show_default=True,
    help="Clock that predicts step times; all compares them.",
)
@click.option("--rows", is_flag=True, help="Also list every row.")
@click.option(
    "--worst", default=WORST, show_default=True, type=click.IntRange(0), help="Worst cases to show."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.option("--csv", "as_csv", is_flag=True, help="Print every row as CSV (one table only).")
@click.option(
    "--write",
    type=click.Path(path_type=Path),
    help="Write the page docs/accuracy.md from the shipped tables.",
)
def command(
    cases: Path | None,
    memory: Path | None,
    losses: Path | None,
    growth: Path | None,
    layouts: bool,
    clock: str,
    rows: bool,
    worst: int,
    as_json: bool,
    as_csv: bool,
    write: Path | None,
) -> None:
    """Predict each row of a table of measurements from its configuration, and report the error.

    A row is predicted from its configuration and the shipped calibration, never from its own measured value. Without a
    table: the measurements that ship.
    """
    from simulator.report import output, validation

    output.one_of(json=as_json, csv=as_csv, write=write is not None)
    if layouts:
        output.one_of(layouts=True, csv=as_csv, write=write is not None)
        output.emit(_layouts(cases, clock, rows=rows, as_json=as_json))
        return
    given = {"cases": cases, "memory": memory, "losses": losses, "growth": growth}
    chosen = {kind: path for kind, path in given.items() if path is not None}
    if write is not None:
        if chosen:
            raise click.UsageError("--write takes the shipped tables; leave the others out")
        output.emit(validation.accuracy_page(), write)
        return
    if as_csv and len(chosen) != 1:
        raise click.UsageError(
            "--csv writes the rows of one table; name one with --cases, --losses or --growth"
        )
    reports = validation.collect(chosen or validation.shipped(), clock=clock)
    if as_json:
        output.emit(output.json_text(_document(reports, rows)))
    elif as_csv:
        output.emit(output.csv_text(validation.rows_of(next(iter(reports.values())))))
    else:
        output.emit(validation.page(reports, worst=worst, rows=rows))


def _document(reports: dict[str, Any], rows: bool) -> Any:
    """One report as it is; several by kind."""
    from simulator.report import validation

    shown = {kind: validation.plain_report(report, rows=rows) for kind, report in reports.items()}
    return next(iter(shown.values())) if len(shown) == 1 else shown


def _layouts(cases: Path | None, clock: str, *, rows: bool, as_json: bool) -> str:
    """What choices lose, as a page or JSON."""
    from simulator.report import layouts, output, validation
    from simulator.result import plain
    from simulator.validate.layouts import validate_layouts

    found = validate_layouts(cases or validation.shipped()["cases"], clock=clock, rows=rows)
    return output.json_text(plain(found)) if as_json else layouts.page(found)
