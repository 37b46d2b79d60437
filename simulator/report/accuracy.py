"""Tables of `trainsim validate`: how wrong predictions are, worst first."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from simulator.report.tables import Table
from simulator.report.text import number, percent, quantity
from simulator.validate.slices import FEW, Scored

Report = Mapping[str, Any]

HEADS = ("", "rows", "median", "mean", "90th", "bias", "rank", "in 80 %")
"""Heads of a table of errors: see docs/validation.md."""

NOTE = (
    "Median, mean and 90th percentile of the relative error; bias: above 0 the prediction is too slow; rank: Spearman's "
    "correlation; in 80 %: share of measured values inside the 80 % interval."
)


def error(value: Any) -> str:
    """A relative error in percent, with the digits that errors deserve.

    Examples
    --------
    >>> error(0.0806), error(1.4), error(None)
    ('8.1 %', '140 %', '-')
    """
    return percent(value) if isinstance(value, (int, float)) else "-"


def signed(value: Any) -> str:
    """Mean logarithm of predicted over measured as a signed percentage.

    Examples
    --------
    >>> signed(-0.0142), signed(0.0)
    ('-1.4 %', '0 %')
    """
    if not isinstance(value, (int, float)) or not math.isfinite(value):
        return "-"
    share = math.expm1(value)
    return f"{'+' if share > 0 else ''}{number(100 * share, 2)} %"


def error_row(name: str, row: Report) -> tuple[str, ...]:
    """One line of a table of errors."""
    return (
        name,
        f"{row.get('n', 0):,}",
        *(error(row.get(key)) for key in ("median_ape", "mape", "p90_ape")),
        signed(row.get("bias")),
        number(row.get("spearman"), 3),
        error(row.get("coverage_80")),
    )


def overall(report: Report, name: str) -> Table:
    """All rows, complete rows, and the mean over sources."""
    whole = report.get("complete") or {}
    rows = [error_row("all rows", report), error_row("complete configurations", whole)]
    if whole.get("n_sources"):
        mean = (whole["mean_over_sources_median_ape"], whole["mean_over_sources_mape"])
        rows.append(
            (f"mean over {whole['n_sources']} sources", "", error(mean[0]), error(mean[1]), "", "", "", "")
        )
    return Table(f"Step time by {report['clock']}, {name}", HEADS, rows, note=NOTE)


def grouped(groups: Report, title: str, *, most: int | None = None) -> Table:
    """Errors by name, worst median first; groups of fewer than five rows come last."""
    order = sorted(
        groups,
        key=lambda name: (groups[name].get("n", 0) < 5, -(groups[name].get("median_ape") or 0.0), name),
    )
    shown = order if most is None else order[:most]
    rows = [error_row(name, groups[name]) for name in shown]
    return Table(title, ("", *HEADS[1:]), rows, hidden=len(order) - len(shown))


def regimes(parts: Mapping[str, Report]) -> Table:
    """Errors by kind of training, width of the format, scale and completeness, the most rows of each first."""
    rows = [
        (part, *error_row(name, groups[name]))
        for part, groups in parts.items()
        for name in sorted(groups, key=lambda each: -groups[each].get("n", 0))
    ]
    return Table("By regime", ("", "", *HEADS[1:]), rows, left=(0, 1))


def skipped(report: Report) -> Table | None:
    """Rows that were not predicted, by reason."""
    reasons = report.get("skipped") or {}
    if not reasons:
        return None
    rows = [(reason, f"{count:,}") for reason, count in sorted(reasons.items(), key=lambda item: -item[1])]
    total = sum(reasons.values())
    return Table(f"Skipped, {total:,} row{'' if total == 1 else 's'}", ("reason", "rows"), rows)


def worst(rows: Sequence[Report], labels: Mapping[str, str], *, most: int = 10) -> Table:
    """Cases with the largest relative errors."""
    order = sorted(
        rows, key=lambda row: -abs(math.log(row["predicted_step_time_s"] / row["measured_step_time_s"]))
    )
    return Table("Worst cases", CASE_HEADS, [case_row(row, labels) for row in order[:most]], left=(0, 1))


CASE_HEADS = ("id", "run", "measured", "predicted", "ratio", "in 80 %")


def case_row(row: Report, labels: Mapping[str, str]) -> tuple[str, ...]:
    """One case: measured against predicted."""
    predicted, measured = row["predicted_step_time_s"], row["measured_step_time_s"]
    return (
        row["id"],
        labels.get(row["id"], ""),
        quantity(measured, "second", top="s"),
        quantity(predicted, "second", top="s"),
        number(predicted / measured, 3),
        "yes" if row["low"] <= measured <= row["high"] else "no",
    )


def clocks(reports: Mapping[str, Report]) -> Table:
    """All clocks on the same rows, best mean over sources first."""
    key = "mean_over_sources_median_ape"
    order = sorted(reports, key=lambda name: (reports[name].get("complete") or {}).get(key, math.inf))
    rows = []
    for name in order:
        report, whole = reports[name], reports[name].get("complete") or {}
        rows.append(
            (
                name,
                f"{whole.get('n', 0):,}",
                *(error(whole.get(each)) for each in ("median_ape", "mape", "p90_ape")),
                signed(whole.get("bias")),
                number(whole.get("spearman"), 3),
                error(whole.get(key)),
                error(whole.get("mean_over_sources_mape")),
                error(report.get("median_ape")),
            )
        )
    heads = ("clock", *HEADS[1:7], "sources: median", "sources: mean", "all rows: median")
    note = "Complete configurations. Sources: the mean over sources of each source's median and mean error."
    return Table("Clocks on the same rows", heads, rows, note=note)


def clock_sources(reports: Mapping[str, Report], *, fewest: int = 5) -> Table:
    """Median error of every clock on every source."""
    names = list(reports)
    groups = {source: row for source, row in reports[names[0]]["by_source"].items() if row["n"] >= fewest}
    rows = [
        (
            source,
            f"{row['n']:,}",
            *(error(reports[name]["by_source"][source].get("median_ape")) for name in names),
        )
        for source, row in sorted(groups.items(), key=lambda item: -item[1]["n"])
    ]
    heads = ("source", "rows", *(name.replace("_", " ") for name in names))
    return Table(f"Median error by source, sources of {fewest} rows or more", heads, rows)


def memory(report: Report, name: str) -> Table:
    """Errors of the memory peak, and how well *fits* is told."""
    fits = report["fits"]
    rows = [
        ("runs that ran", f"{report['n']:,}"),
        ("median error of the reserved peak", error(report["median_ape"])),
        ("mean error", error(report["mape"])),
        ("mean signed error", signed(math.log1p(report["bias"])) if report["bias"] is not None else "-"),
        ("fits: precision (said to fit, did)", error(fits["precision"])),
        ("fits: recall (fitted, was said to)", error(fits["recall"])),
        ("fits: accuracy", error(fits["accuracy"])),
    ]
    return Table(f"Memory, {name}", ("", ""), rows)


def memory_rows(rows: Sequence[Report]) -> Table:
    """Every run with its peak, the one furthest off first, and the runs that ran out of memory after those that ran."""

    def order(row: Report) -> tuple[bool, float]:
        measured = row["measured_reserved_gib"]
        return measured is None, -abs(row["predicted_reserved_gib"] / measured - 1) if measured else 0.0

    cells = [
        (
            row["id"],
            "-" if row["measured_reserved_gib"] is None else f"{row['measured_reserved_gib']:.1f}",
            f"{row['predicted_reserved_gib']:.1f}",
            "yes" if row["ran"] else "no",
            "yes" if row["predicted_fits"] else "no",
        )
        for row in sorted(rows, key=order)
    ]
    return Table("Runs, GiB", ("id", "measured", "predicted", "ran", "said to fit"), cells, left=(0,))


def losses(report: Report, name: str) -> Table:
    """Ranking and transfer errors by set of runs, worst first."""
    sets = report["by_dataset"]
    order = sorted(
        sets, key=lambda key: (sets[key].get("mae_transfer") is None, -(sets[key].get("mae_transfer") or 0.0))
    )
    rows = [
        (
            key,
            f"{sets[key]['n']:,}",
            sets[key].get("law") or "-",
            number(sets[key].get("spearman"), 3),
            number(sets[key].get("mae_transfer"), 2),
            f"{sets[key].get('n_predicted', 0):,}",
            error(sets[key].get("coverage_80")),
        )
        for key in order
    ]
    heads = ("runs", "n", "law", "rank", "error", "predicted", "in 80 %")
    note = (
        "Rank: Spearman's correlation of a law that was fitted elsewhere. Error: mean absolute error in nats/token of the runs "
        "above a tenth of the largest compute, after the law was moved to the corpus with the runs below it."
    )
    return Table(f"Loss, {name}", heads, rows, left=(0, 2), note=note)


def growth(report: Report, name: str, *, most: int = 10) -> list[Table]:
    """Direction and size of predicted savings, and the worst cases."""
    lines = [("each case left out of its own evidence", report)]
    apart = report.get("leave_one_paper_out")
    if apart:
        lines.append(("its whole paper left out", apart))
    if report.get("src_charged_yes"):
        lines.append(("source model charged, case left out", report["src_charged_yes"]))
    rows = [
        (
            label,
            f"{row['n']:,}",
            error(row["direction_right"]),
            error(row["within_10_points"]),
            number(row.get("median_error_points"), 2),
        )
        for label, row in lines
    ]
    heads = ("", "cases", "direction right", "within 10 points", "median, points")
    tables = [Table(f"Growth, {name}", heads, rows)]
    order = sorted(
        report["rows"], key=lambda row: -abs(row["predicted_saving_pct"] - row["published_saving_pct"])
    )
    cells = [
        (row["id"], *(f"{row[key]:.0f} %" for key in ("published_saving_pct", "predicted_saving_pct")))
        for row in order[:most]
    ]
    tables.append(Table("Growth, worst cases", ("id", "published saving", "predicted"), cells))
    return tables


def held_out(regimes: Mapping[str, Report]) -> Table:
    """Errors on rows that the constants were not fitted to, by grade of evidence."""
    names = {
        "grade=measured seen=true": "accelerator and organisation measured, model not seen",
        "grade=measured seen=false": "accelerator measured, organisation not seen",
        "grade=transferred seen=true": "architecture measured on another part",
        "grade=datasheet seen=true": "architecture not measured, from its datasheet",
        "seen=false": "organisation not seen, and whatever else it alone measured",
    }
    rows = [
        (words, f"{regimes[key]['rows']:,}", error(regimes[key]["median_error"]), _factors(regimes[key]))
        for key, words in names.items()
        if key in regimes
    ]
    note = (
        "Each row predicted by constants fitted without it. The interval is that of measured over predicted step time where no "
        "communication is exposed; organisations of ten rows or more have the same weight in both."
    )
    return Table("Rows left out of the fit", ("", "rows", "median", "80 % interval"), rows, note=note)


def _factors(row: Report) -> str:
    return f"{row['low']:.2f} to {row['high']:.2f}"


def select(rows: Iterable[Report], prefixes: Sequence[str]) -> list[Report]:
    """Rows whose id starts with one of some prefixes."""
    return [row for row in rows if str(row["id"]).startswith(tuple(prefixes))]


SEEN = {
    None: "in sample",
    "source": "the whole source left out of the fit",
    "model": "a fifth of the models left out of the fit",
    "accelerator": "the accelerator left out of the fit",
    "architecture": "the architecture taken as the mean of the others",
}
"""What the fit did not see, in words."""

SLICE_HEADS = ("", "rows", "median", "goal", "mean", "goal", *HEADS[4:], "met")


def slices(
    found: Sequence[Scored], kind: str | None = None, *, title: str = "Slices", explained: bool = True
) -> Table:
    """What the project promises, and whether it holds."""
    note = (
        f"{NOTE} Goals: what the project promises; beside them 70 to 90 % of the measured values of a slice of {FEW} rows or more "
        f"inside the 80 % interval, 75 to 85 % of all rows{_ranks(found)}. A mean over sources takes each organisation's figures once."
    )
    rows = [_slice_row(each) for each in found]
    return Table(f"{title}, {SEEN[kind]}", SLICE_HEADS, rows, note=note if explained else "")


def _slice_row(each: Scored) -> tuple[str, ...]:
    name, rows, median, mean, *rest = error_row(each.part.name, each.figures)
    goals = [error(each.part.targets.get(figure)) for figure in ("median_ape", "mape")]
    met = {True: "yes", False: "no", None: "-"}[each.met]
    return (name, rows, median, goals[0], mean, goals[1], *rest, met)


def _ranks(found: Sequence[Scored]) -> str:
    """Goals of rank correlations, which only few slices have."""
    goals = [(each.part.name, each.part.targets.get("spearman")) for each in found]
    return "".join(f", and a rank of {number(goal, 2)} on {name}" for name, goal in goals if goal)


def contradictions(rows: Sequence[Report], name: str) -> Table:
    """Rows whose own figures disagree, with the figures."""
    cells = [(row["id"], row["reason"], row["figures"]) for row in rows]
    title = f"Rows that contradict themselves, {name}: {len(rows):,}"
    return Table(title, ("id", "reason", "figures"), cells, left=(0, 1, 2))
