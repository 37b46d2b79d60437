"""What choices lose against measurements, as a page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from simulator.report.tables import Table
from simulator.report.text import number, quantity, wrap


def page(found: Mapping[str, Any]) -> str:
    """Regret of layouts and errors of published accelerator-hours.

    Parameters
    ----------
    found : mapping
        As of `simulator.validate.layouts.validate_layouts`.
    """
    rows = [
        (
            words,
            str(one["n"]),
            str(one.get("layouts", "-")),
            *(_percent(one.get(name)) for name in ("median", "p90", "best_first")),
        )
        for words, one in (
            ("same model, batch, accelerators", found["regret"]),
            ("and same fabric and engine", found["regret_same_fabric"]),
        )
    ]
    heads = ("groups", "number", "layouts", "median", "90th", "best ranked first")
    title = "Regret: measured step of the layout predicted fastest over the fastest measured"
    lines = Table(title, heads, rows, left=(0,)).text()
    share = found["own_share"]
    if share is not None and share == share:
        text = (
            f"{100 * share:.0f} % of the variance of the error differs between layouts of a group, with a standard deviation of "
            f"{100 * found['own_spread']:.0f} %; the rest they share."
        )
        lines += wrap(text, indent=2, hang=2)
    return "\n".join([*lines, "", *_groups(found), *_hours(found["hours"])]) + "\n"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f} %"


def _groups(found: Mapping[str, Any]) -> list[str]:
    if not found.get("rows"):
        return []
    names = ("tp", "pp", "micro_batch_size", "zero_stage")
    cells = [
        (
            f"{row['num_hidden_layers']:.0f} x {row['hidden_size']:.0f}",
            f"{row['n_gpus']:.0f}",
            str(row["layouts"]),
            *(" ".join(f"{row[f'{word}_{name}']:.0f}" for name in names) for word in ("first", "best")),
            _percent(row["regret"]),
        )
        for row in sorted(found["rows"], key=lambda row: -row["regret"])
    ]
    heads = ("layers x width", "GPUs", "layouts", "ranked first", "best", "regret")
    note = "A layout as tp, pp, micro-batch, ZeRO stage."
    return [*Table("Groups, worst first", heads, cells, left=(0, 3, 4), note=note).text(), ""]


def published(found: Mapping[str, Any], *, rows: bool = False) -> str:
    """Published accelerator-hours and costs beside their predictions, as a page.

    Parameters
    ----------
    found : mapping
        As of `simulator.validate.published.validate_published`.
    rows : bool, optional
        Also say what each run's hours contain, and its source.
    """
    lines = _hours(found)
    if rows:
        for row in found["rows"]:
            lines += ["", f"{row['id']}: {100 * row['error']:+.0f} %"]
            text = f"{row['includes']}. {row['source']}"
            lines += wrap(text, indent=2, hang=2)
    return "\n".join(lines) + "\n"


def _hours(hours: Mapping[str, Any]) -> list[str]:
    if not hours["n"]:
        return ["No published accelerator-hours.", *_skipped(hours)]
    cells = [
        (
            row["id"],
            str(row["n_gpus"]),
            row["hours_kind"],
            number(row["published_gpu_hours"], 4),
            number(row["predicted_gpu_hours"], 4),
            f"{100 * row['error']:+.0f} %",
            "; ".join(part for part in (row["assumed"], "" if row["fits"] else "would not fit") if part),
        )
        for row in hours["rows"]
    ]
    heads = ("run", "GPUs", "hours are", "published", "predicted", "error", "chosen here")
    title = f"Published GPU-hours: {hours['n']} runs, median error {_percent(hours['median_ape'])}"
    note = (
        "steps: time of a step times steps; elapsed: with everything that went wrong; stated: as the authors count; assumed: "
        "read off a logbook by others. A prediction is of steps, with the default of lost time where the hours contain losses."
    )
    lines = Table(title, heads, cells, left=(0, 2, 6), note=note).text()
    lines += ["", *Table("By what is published", KINDS, kinds(hours), left=(0,)).text(), *_costs(hours)]
    return [*lines, *_skipped(hours)]


KINDS = ("runs", "number", "median", "90th", "mean log ratio", "in 80 %")
"""Columns of `kinds`."""


def kinds(hours: Mapping[str, Any]) -> list[tuple[str, ...]]:
    """Errors of published hours by what is published, as cells under `KINDS`; the last counts runs inside the interval."""
    found = [("all", hours)]
    found += [(f"layout {word}", one) for word, one in hours["by_layout"].items()]
    found += [(f"hours {word}", one) for word, one in hours["by_hours"].items()]
    return [
        (
            words,
            str(one["n"]),
            _percent(one["median_ape"]),
            _percent(one["p90_ape"]),
            f"{one['bias']:+.2f}",
            f"{one['coverage_80'] * one['n']:.0f}",
        )
        for words, one in found
        if one["n"]
    ]


def _costs(hours: Mapping[str, Any]) -> list[str]:
    rows = [
        (
            row["id"],
            quantity(row["published_cost_usd"], "USD"),
            quantity(row["predicted_cost_usd"], "USD"),
            f"{100 * (row['predicted_cost_usd'] / row['published_cost_usd'] - 1):+.0f} %",
        )
        for row in hours["rows"]
        if row["published_cost_usd"] is not None and row["predicted_cost_usd"] is not None
    ]
    if not rows:
        return []
    note = "At the price that the authors used."
    return ["", *Table("Cost", ("run", "published", "predicted", "error"), rows, left=(0,), note=note).text()]


def _skipped(hours: Mapping[str, Any]) -> list[str]:
    skipped = hours["skipped"]
    if not skipped:
        return []
    reasons = ", ".join(f"{name} ({why})" for name, why in skipped.items())
    return wrap(f"{len(skipped)} rows skipped: {reasons}.", indent=2, hang=2)
