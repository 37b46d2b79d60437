"""What `trainsim validate` collects and shows, and the page *How wrong is it?*."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from simulator import clocks, library, uncertainty
from simulator.report import accuracy, coverage, residuals
from simulator.report.tables import Table
from simulator.report.text import percent
from simulator.result import plain
from simulator.validate import contradictions, intervals, left_out, slices
from simulator.validate.metrics import with_coverage
from simulator.validate.published import validate_published
from simulator.validate.throughput import means_over

TABLES = {"cases": "throughput", "memory": "memory", "losses": "loss_runs", "growth": "growth"}
"""Kind of measurement, to the table that ships."""

KNOWN = ("korthikanti", "megatron21")
"""Published runs that many readers know, shown one by one."""


@dataclass(frozen=True)
class Checked:
    """One table, checked: the report of the contract, and what only the page needs."""

    kind: str
    path: Path
    report: dict[str, Any]
    labels: dict[str, str] = field(default_factory=dict)
    """Id of a row, to what was run."""
    by_clock: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Reports of other clocks on the same rows."""

    @property
    def name(self) -> str:
        """File name."""
        return self.path.name


def shipped() -> dict[str, Path]:
    """Tables that ship, by kind."""
    return {kind: library.find("measurements", name) for kind, name in TABLES.items()}


def collect(tables: Mapping[str, Path], *, clock: str = "memory_copies") -> dict[str, Checked]:
    """Check tables by kind (`TABLES`), with one clock or with all of them."""
    checks = {
        "cases": lambda path: _cases(path, clock),
        "memory": _memory,
        "losses": _losses,
        "growth": _growth,
    }
    return {kind: checks[kind](path) for kind, path in tables.items()}


def shipped_cases() -> tuple[Any, Any]:
    """The table of step times that ships, as it is and as columns."""
    from simulator.validate import cases as measured

    frame = measured.read_frame(shipped()["cases"])
    return frame, measured.of_frame(frame)


def _cases(path: Path, clock: str) -> Checked:
    from simulator.validate import cases as measured
    from simulator.validate.throughput import validate_cases

    frame = measured.read_frame(path)
    found = measured.of_frame(frame)
    if len(frame):
        measured.check_some(found, path, "checked")
    first = next(iter(clocks.CLOCKS)) if clock == "all" else clock
    report = validate_cases(found, clock=first, rows=True)
    others = {}
    if clock == "all":
        others = {
            name: report if name == first else validate_cases(found, clock=name, rows=True)
            for name in clocks.CLOCKS
        }
    return Checked("cases", path, report, _labels(frame), others)


def _labels(frame: Any) -> dict[str, str]:
    """What was run, in a few words, by the id of the row."""
    from simulator.validate.cells import empty

    labels = {}
    for row in frame.to_dict("records"):
        model = "model" if empty(row.get("model_name")) else str(row["model_name"])
        number = row.get("n_gpus")
        gpus = (
            "" if empty(number) else f"{number:.0f} x " if isinstance(number, float | int) else f"{number} x "
        )
        labels[str(row.get("id", ""))] = f"{model[:28]}, {gpus}{row.get('gpu')}"
    return labels


def _memory(path: Path) -> Checked:
    from simulator.validate.memory import validate_memory

    return Checked("memory", path, validate_memory(path))


def _losses(path: Path) -> Checked:
    from simulator.validate.losses import validate_losses

    return Checked("losses", path, validate_losses(path, rows=True))


def _growth(path: Path) -> Checked:
    from simulator.validate.growth import validate_growth

    return Checked("growth", path, validate_growth(path))


# --- as data --------------------------------------------------------------------------------------------------------


def plain_report(checked: Checked, *, rows: bool) -> dict[str, Any]:
    """The report of one table, with the keys of docs/validation.md; rows of cases, memory and losses only if asked."""
    out = {k: v for k, v in checked.report.items() if k != "rows" or rows or checked.kind == "growth"}
    if checked.kind == "losses" and not rows:
        out["by_dataset"] = {
            name: {k: v for k, v in entry.items() if k != "rows"}
            for name, entry in checked.report["by_dataset"].items()
        }
    if checked.by_clock:
        out["by_clock"] = {
            name: {k: v for k, v in report.items() if k != "rows" or rows}
            for name, report in checked.by_clock.items()
        }
    return dict(plain(out))


def rows_of(checked: Checked) -> list[dict[str, Any]]:
    """Every row of a table that has rows."""
    if checked.kind == "losses":
        sets = checked.report["by_dataset"]
        return [{"dataset": name, **row} for name, entry in sets.items() for row in entry.get("rows", [])]
    return list(checked.report.get("rows", []))


# --- as a page ------------------------------------------------------------------------------------------------------


def page(reports: Mapping[str, Checked], *, worst: int = 10, rows: bool = False) -> str:
    """Text of all tables."""
    parts = [
        table.text() for checked in reports.values() for table in _tables(checked, worst=worst, rows=rows)
    ]
    return "\n\n".join("\n".join(lines) for lines in parts) + "\n"


def _tables(checked: Checked, *, worst: int, rows: bool = False) -> list[Table]:
    if checked.kind == "memory":
        left = accuracy.skipped(checked.report)
        shown = [accuracy.memory(checked.report, checked.name), *([left] if left else [])]
        return [*shown, accuracy.memory_rows(checked.report["rows"])] if rows else shown
    if checked.kind == "losses":
        out = [accuracy.losses(checked.report, checked.name)]
        return [*out, *_all_rows(checked)] if rows else out
    if checked.kind == "growth":
        return accuracy.growth(
            checked.report, checked.name, most=len(checked.report["rows"]) if rows else worst
        )
    return _case_tables(checked, worst=worst, rows=rows)


def _case_tables(checked: Checked, *, worst: int, rows: bool) -> list[Table]:
    report = checked.report
    out = [accuracy.overall(report, checked.name)]
    if checked.by_clock:
        out += [accuracy.clocks(checked.by_clock), accuracy.clock_sources(checked.by_clock)]
    most = len(report["rows"]) if rows else worst
    if most and report["rows"]:
        out.append(accuracy.worst(report["rows"], checked.labels, most=most))
    out.append(accuracy.grouped(report["by_source"], "By source, worst first"))
    out.append(accuracy.grouped(report["by_gpu"], "By accelerator, worst first"))
    out.append(accuracy.regimes(report["by_regime"]))
    left = accuracy.skipped(report)
    return [*out, left] if left else out


def _all_rows(checked: Checked) -> list[Table]:
    heads = ("dataset", "run", "measured", "predicted")
    cells = [
        (r["dataset"], r["run"], f"{r['measured']:.3f}", f"{r['predicted']:.3f}") for r in rows_of(checked)
    ]
    return [Table("Predicted runs", heads, cells, left=(0, 1))]


# --- How wrong is it? -----------------------------------------------------------------------------------------------

COMMAND = "trainsim validate --write docs/accuracy.md"


def accuracy_page() -> str:
    """The page docs/accuracy.md, from the shipped tables and all clocks."""
    found = collect(shipped(), clock="all")
    cases, memory = found["cases"], found["memory"]
    frame, columns = shipped_cases()
    whole = columns.take(columns.complete)
    lines = [f"<!-- Written by `{COMMAND}`; do not edit. -->", "# How wrong is it?", "", *summary(found), ""]
    sections: Sequence[Table | None] = (
        accuracy.worst(cases.report["rows"], cases.labels, most=15),
        *_slices(frame, columns),
        accuracy.held_out(uncertainty.table().regimes),
        *_coverage(columns),
        accuracy.overall(cases.report, cases.name),
        accuracy.clocks(cases.by_clock),
        accuracy.clock_sources(cases.by_clock),
        _known(cases),
        accuracy.grouped(cases.report["by_source"], "By source, worst first"),
        accuracy.grouped(cases.report["by_gpu"], "By accelerator, worst first"),
        accuracy.regimes(cases.report["by_regime"]),
        residuals.trends(whole, intervals.step_times(whole)),
        residuals.parts(whole, intervals.step_times(whole)),
        residuals.shipped_effects(frame, columns),
        accuracy.skipped(cases.report),
        accuracy.contradictions(contradictions.find(frame), cases.name),
        accuracy.memory(memory.report, memory.name),
        accuracy.losses(found["losses"].report, found["losses"].name),
        *accuracy.growth(found["growth"].report, found["growth"].name),
    )
    for table in sections:
        if table is not None:
            lines += [*table.markdown(), ""]
    lines += residuals.gallery(case_rows(cases, columns), cases.report["by_source"])
    return "\n".join(lines).rstrip() + "\n"


def _slices(frame: Any, columns: Any) -> list[Table]:
    """The promised slices in sample and, as far as they are stored, left out of the fit."""
    tables = [accuracy.slices(slices.score(frame, columns, intervals.step_times(columns)))]
    if left_out.shipped_path().is_file():
        then, stored = left_out.read()
        late = "" if left_out.is_fresh(columns, then) else "Slices (of an earlier calibration)"
        for kind, predicted in left_out.columns(columns, stored).items():
            found = slices.score(frame, columns, predicted, kind)
            tables.append(accuracy.slices(found, kind, title=late or "Slices", explained=False))
    return tables


def _coverage(columns: Any) -> list[Table]:
    """Coverage by exposed communication and by what was run, if predictions of left-out rows are stored."""
    if not left_out.shipped_path().is_file():
        return []
    stored = left_out.columns(columns, left_out.read()[1])
    widest = uncertainty.table().communication
    return [
        coverage.by_communication(columns, stored, widest),
        coverage.by_regime(columns, stored["source"]),
    ]


def case_rows(cases: Checked, columns: Any) -> list[dict[str, Any]]:
    """Rows of the report with their source and accelerator, for pictures."""
    named = zip(cases.report["rows"], columns.source, columns.gpu, strict=True)
    return [{**row, "source": str(source), "gpu": str(gpu)} for row, source, gpu in named]


def draw_pictures(folder: Path) -> list[Path]:
    """Draw the pictures of docs/accuracy.md."""
    cases = collect({"cases": shipped()["cases"]})["cases"]
    return residuals.draw(case_rows(cases, shipped_cases()[1]), folder)


def _known(cases: Checked) -> Table:
    rows = [accuracy.case_row(row, cases.labels) for row in accuracy.select(cases.report["rows"], KNOWN)]
    note = (
        "Korthikanti et al. 2022, arXiv:2205.05198, table 5: odd rows with full recomputation, even rows with selective "
        "recomputation and sequence parallelism. Narayanan et al. 2021, arXiv:2104.04473, table 1."
    )
    return Table("Megatron's published runs", accuracy.CASE_HEADS, rows, left=(0, 1), note=note)


def _stored(kind: str) -> tuple[Any, np.ndarray]:
    """Complete rows of the stored table of left-out predictions, and their step times. [s]"""
    columns = shipped_cases()[1]
    predicted = left_out.columns(columns, left_out.read()[1])[kind]
    kept = columns.complete & np.isfinite(predicted)
    return columns.take(kept), predicted[kept]


def _left_out_words() -> str:
    """What stands in the stored table of left-out predictions, as a sentence; nothing if none is stored."""
    if not left_out.shipped_path().is_file():
        return ""
    median = {}
    for kind in ("model", "accelerator"):
        rows, predicted = _stored(kind)
        median[kind] = percent(np.median(np.abs(predicted / rows.measured_s - 1.0)))
    own, predicted = _stored("source")
    values = left_out.with_interval(own, predicted, "source")
    figures, means = with_coverage(values), means_over(own.source, values)
    return (
        "The constants were fitted to these rows, so read this too: on models left out of the fit the median error is "
        f"{median['model']}, on accelerators left out of it {median['accelerator']}. "
        f"With every row of the organisation that measured left out it is {percent(figures['median_ape'])}, "
        f"{percent(means['mean_over_sources_median_ape'])} averaged over organisations, and {percent(figures['coverage_80'])} of "
        "the rows lie inside the 80 % interval.\n"
    )


def _whole_trainings() -> str:
    """How far off the accelerator-hours of whole published trainings are, as a sentence."""
    report = validate_published(library.find("measurements", "published_runs"))
    inside = round(report["coverage_80"] * report["n"])
    return (
        f"Whole trainings, to whose hours nothing was fitted: {percent(report['median_ape'])} off in the median of {report['n']} published "
        f"ones, mostly too low because published hours contain restarts and evaluation; {inside} lie inside the 80 % interval."
    )


def summary(found: Mapping[str, Checked]) -> list[str]:
    """The figures that matter, as a list of sentences in Markdown; `found` holds all shipped tables and all clocks."""
    cases, memory, growth = found["cases"].report, found["memory"].report, found["growth"].report
    whole = cases["complete"]
    mean = "mean_over_sources_median_ape"
    rule = found["cases"].by_clock["constant_mfu"]["complete"]
    apart = growth["leave_one_paper_out"]["direction_right"]
    text = (
        f"Step time: the default clock's median error is {percent(whole['median_ape'])} on {whole['n']:,} measured runs with a "
        f"complete configuration, {percent(whole[mean])} averaged over the {whole['n_sources']} organisations that measured "
        f"them; the rule of half the peak has {percent(rule['median_ape'])} and {percent(rule[mean])} on the same rows. vTrain's rows of one node among them are sums of measured layers, not "
        "steps that were timed one by one.\n"
        f"{_left_out_words()}"
        f"Of the measured step times {percent(cases['coverage_80'])} lie inside the 80 % interval.\n"
        f"Memory: median error of the peak {percent(memory['median_ape'])}; *fits* is told right for "
        f"{percent(memory['fits']['accuracy'])} of the layouts.\n"
        f"Growth: {percent(growth['direction_right'])} of published cases have the right direction, "
        f"{percent(apart)} if their whole paper is left out of the evidence.\n"
        f"{_whole_trainings()}"
    )
    return [f"- {line}" for line in text.splitlines()]
