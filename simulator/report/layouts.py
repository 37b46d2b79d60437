"""What choices lose against measurements, as a page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from simulator.report.tables import Table
from simulator.report.text import number, wrap


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
        text = f"{100 * share:.0f} % of the variance of the error differs between layouts of a group; the rest they share."
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


def _hours(hours: Mapping[str, Any]) -> list[str]:
    if not hours["n"]:
        return ["No published accelerator-hours."]
    cells = [
        (
            row["model"],
            str(row["n_gpus"]),
            number(row["published_gpu_hours"], 4),
            number(row["predicted_gpu_hours"], 4),
            f"{100 * row['error']:+.0f} %",
            row["assumed"],
        )
        for row in hours["rows"]
    ]
    heads = ("model", "GPUs", "published", "predicted", "error", "chosen here")
    title = f"Published GPU-hours, planned from the model card alone: median error {_percent(hours['median_ape'])}"
    note = (
        "Published hours contain restarts, evaluation and later stages; the prediction is a healthy run in the layout that "
        "the planner chooses."
    )
    lines = Table(title, heads, cells, left=(0, 5), note=note).text()
    skipped = hours["skipped"]
    if skipped:
        reasons = ", ".join(dict.fromkeys(skipped.values()))
        lines += wrap(f"{len(skipped)} rows skipped: {reasons}.", indent=2, hang=2)
    return lines
