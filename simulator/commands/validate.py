"""``trainsim validate``: predict published measurements and report the error."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from simulator.commands.completion import clocks

Command = TypeVar("Command", bound=Callable[..., Any])

WORST = 10
"""Worst cases shown unless asked otherwise."""

SHIPPED = "(shipped)"
"""Value of an option that names a table and was given none: the table that ships."""


def _table(name: str, text: str) -> Callable[[Command], Command]:
    """An option that takes a table of measurements, or the one that ships where it is given alone."""
    return click.option(
        name,
        type=click.Path(path_type=Path),
        is_flag=False,
        flag_value=SHIPPED,
        metavar="[FILE]",
        help=f"{text}; without a file the one that ships.",
    )


@click.command("validate")
@_table("--cases", "CSV of measured step times (docs/validation.md)")
@_table("--memory", "CSV of measured memory and of runs that ran out of it")
@_table("--losses", "CSV of training runs with their loss")
@_table("--growth", "CSV of published growth experiments")
@click.option(
    "--layouts",
    is_flag=True,
    help="Only what choices lose: the layout ranked first against the best measured, and published GPU-hours.",
)
@click.option(
    "--published",
    is_flag=False,
    flag_value="published_runs",
    metavar="[FILE]",
    help="CSV of whole trainings with their GPU-hours and cost; without a file the one that ships, published_runs.",
)
@click.option(
    "--slices",
    is_flag=True,
    help="Only the slices that the project promises: figures, targets, met or not.",
)
@click.option(
    "--left-out",
    type=click.Choice(["source", "model", "accelerator", "architecture", "all"]),
    help="Slices on rows that the fit did not see; minutes of refits unless the stored table is fresh. "
    "--write FILE stores the predictions of all folds, and goes on where it was interrupted.",
)
@click.option(
    "--effects", is_flag=True, help="Only ratios of shipped runs and kernels that differ in a single thing."
)
@click.option(
    "--contradictions",
    is_flag=True,
    help="Only rows whose own figures disagree; --write FILE stores the list.",
)
@click.option(
    "--clock",
    shell_complete=clocks,
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
    published: str | None,
    slices: bool,
    left_out: str | None,
    effects: bool,
    contradictions: bool,
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
    given = _given({"cases": cases, "memory": memory, "losses": losses, "growth": growth})
    cases = given["cases"]
    if slices or left_out:
        output.one_of(slices=True, csv=as_csv, contradictions=contradictions, layouts=layouts)
        _slices(cases, left_out, as_json=as_json, write=write)
        return
    if effects:
        output.one_of(
            effects=True, csv=as_csv, layouts=layouts, cases=cases is not None, write=write is not None
        )
        output.emit(_effects(as_json=as_json))
        return
    if contradictions:
        output.one_of(contradictions=True, layouts=layouts)
        output.emit(_contradictions(cases, as_json=as_json, as_csv=as_csv or write is not None), write)
        return
    if published is not None:
        output.one_of(
            published=True, csv=as_csv, layouts=layouts, cases=cases is not None, write=write is not None
        )
        output.emit(_published(published, clock, rows=rows, as_json=as_json))
        return
    if layouts:
        output.one_of(layouts=True, csv=as_csv, write=write is not None)
        output.emit(_layouts(cases, clock, rows=rows, as_json=as_json))
        return
    chosen = {kind: path for kind, path in given.items() if path is not None}
    if write is not None:
        if chosen:
            raise click.UsageError("--write takes the shipped tables; leave the others out")
        output.emit(validation.accuracy_page(), write)
        return
    if as_csv and len(chosen) != 1:
        raise click.UsageError(
            "--csv writes the rows of one table; name one with --cases, --memory, --losses or --growth"
        )
    reports = validation.collect(chosen or validation.shipped(), clock=clock)
    if as_json:
        output.emit(output.json_text(_document(reports, rows)))
    elif as_csv:
        output.emit(output.csv_text(validation.rows_of(next(iter(reports.values())))))
    else:
        output.emit(validation.page(reports, worst=worst, rows=rows))


def _given(tables: dict[str, Path | None]) -> dict[str, Path | None]:
    """Tables by kind, those that were asked for without a file from what ships; columns that nothing reads are told."""
    from simulator.report import validation
    from simulator.validate import headers

    alone = Path(SHIPPED)
    if alone in tables.values():
        shipped = validation.shipped()
        tables = {kind: shipped[kind] if path == alone else path for kind, path in tables.items()}
    own = tables["cases"]
    if own is not None:
        frameworks = headers.remark_on_frameworks(own) if own != validation.shipped()["cases"] else ""
        for told in filter(None, (headers.remark(own), frameworks)):
            _tell(told)
    return tables


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


def _published(table: str, clock: str, *, rows: bool, as_json: bool) -> str:
    """Published GPU-hours and costs beside the predicted ones, as a page or JSON."""
    from simulator import library
    from simulator.report import layouts, output
    from simulator.result import plain
    from simulator.validate.published import validate_published

    found = validate_published(library.find("measurements", table), clock=clock)
    return output.json_text(plain(found)) if as_json else layouts.published(found, rows=rows)


def _contradictions(cases: Path | None, *, as_json: bool, as_csv: bool) -> str:
    """Rows whose own figures disagree, as a page, JSON or CSV."""
    from simulator.report import accuracy, output, validation
    from simulator.validate import cases as tables
    from simulator.validate.contradictions import find

    path = cases or validation.shipped()["cases"]
    found = find(tables.read_frame(path))
    if as_json:
        return output.json_text({"n": len(found), "rows": found})
    if as_csv:
        return output.csv_text(found) if found else "id,reason,figures\n"
    return "\n".join(accuracy.contradictions(found, path.name).text()) + "\n"


def _slices(cases: Path | None, kind: str | None, *, as_json: bool, write: Path | None) -> None:
    """Figures of the promised slices, in sample or on rows that the fit did not see."""
    from simulator.report import accuracy, output, validation
    from simulator.validate import cases as tables
    from simulator.validate import intervals, slices

    path = cases or validation.shipped()["cases"]
    frame = tables.read_frame(path)
    found = tables.of_frame(frame)
    if write is not None:
        _write_left_out(found, kind, write)
        return
    predicted = (
        _left_out(found, kind, shipped=path == validation.shipped()["cases"])
        if kind
        else {None: intervals.step_times(found)}
    )
    scored = {each: slices.score(frame, found, values, each) for each, values in predicted.items()}
    if as_json:
        document = {each or "in_sample": slices.documents(rows) for each, rows in scored.items()}
        output.emit(output.json_text(next(iter(document.values())) if len(document) == 1 else document))
    else:
        pages = ["\n".join(accuracy.slices(rows, each).text()) for each, rows in scored.items()]
        output.emit("\n\n".join(pages) + "\n")


def _kinds(kind: str) -> tuple[str, ...]:
    from simulator.validate.folds import KINDS

    return KINDS if kind == "all" else (kind,)


def _tell(text: str) -> None:
    click.echo(text, err=True)


def _write_left_out(found: Any, kind: str | None, write: Path) -> None:
    """Store the predictions of all folds."""
    from simulator.calibrate import left_out
    from simulator.errors import SpecError

    if kind != "all":
        raise click.UsageError("--write stores the predictions of all folds: give --left-out all")
    if not write.parent.is_dir():
        raise SpecError(f"{write}: the folder does not exist")
    left_out.write(write, found, tell=_tell)
    _tell(f"written to {write}")


def _left_out(found: Any, kind: str, *, shipped: bool) -> dict[str | None, Any]:
    """Step times by constants that never saw the row: stored ones if they are of this calibration, else by refits."""
    from simulator.calibrate import left_out as refits
    from simulator.validate import left_out

    if shipped and left_out.shipped_path().is_file():
        then, table = left_out.read()
        if left_out.is_fresh(found, then):
            _tell(f"from {left_out.shipped_path().name}, which is of this calibration")
            return {each: left_out.columns(found, table)[each] for each in _kinds(kind)}
    return dict(refits.all_folds(found, _kinds(kind), tell=_tell).items())


def _effects(*, as_json: bool) -> str:
    """Ratios of runs and kernels that differ in a single thing, as a page or JSON."""
    from dataclasses import asdict

    from simulator import library
    from simulator.report import output, residuals, validation
    from simulator.validate import effects, kernels

    frame, found = validation.shipped_cases()
    if not as_json:
        return "\n".join(residuals.shipped_effects(frame, found).text()) + "\n"
    micro = library.find("measurements", "micro")
    rows = [*effects.tracked(frame, found), *kernels.tracked(micro, frame, found)]
    return output.json_text([asdict(each) for each in rows])
