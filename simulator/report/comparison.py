"""One question on several kinds of hardware, as a ranked table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from simulator.report import sections
from simulator.report.decision import days
from simulator.report.text import clean, duration, percent, quantity, span, style, table, wrap

DAY = 86400.0

Document = Mapping[str, Any]

HEADS = (
    *(
        "",
        "accelerator",
        "GPUs",
        "price",
        "time",
        "cost",
        "loss",
        "MFU",
        "memory GiB",
        "TP",
        "PP",
        "EP",
        "MBS",
    ),
    "evidence",
)


def headline(rows: Sequence[Document]) -> str:
    """Cheapest and fastest in one sentence, intervals first."""
    running = [row for row in rows if row["feasible"]]
    if not running:
        return "None of them runs this."
    costs = [row for row in running if row["cost_usd"] is not None]
    timed = [row for row in running if row["time_to_train_days"] is not None]
    parts: dict[str, str] = {}
    for name, group, key in (("Cheapest", costs, "cost_usd"), ("Fastest", timed, "time_to_train_days")):
        if group:
            best = min(group, key=lambda row: row[key])
            plan = f"{best['n_gpus']:,} x {best['accelerator']}{_provider(best)}, {_figures(best)}."
            parts[plan] = f"{parts[plan]} and {name.lower()}" if plan in parts else name
    if not parts:
        return f"First: {running[0]['n_gpus']:,} x {running[0]['accelerator']}."
    return " ".join(f"{name}: {plan}" for plan, name in parts.items())


def _provider(row: Document) -> str:
    return f" ({row['provider']})" if row.get("provider") else ""


def _figures(row: Document) -> str:
    bounds = row.get("interval") or {}
    time, cost = bounds.get("time_to_train_days"), bounds.get("cost_usd")
    shown = [days(time)] if time else []
    return ", ".join([*shown, *([span(cost, "USD")] if cost else [])])


def cells(row: Document) -> tuple[str, ...]:
    """One row; a star marks what no other row beats in loss, time and cost."""
    rent, took = row["usd_per_gpu_hour"], row["time_to_train_days"]
    used = f"{row['memory_gib']:.0f}/{row['memory_capacity_gib']:.0f}" if row["memory_gib"] else "-"
    return (
        f"{row['rank']}{'*' if row['pareto'] else ''}",
        str(row["accelerator"]),
        f"{row['n_gpus']:,}" if row["n_gpus"] else "-",
        "-" if rent is None else f"${rent:.2f}",
        "-" if took is None else duration(took * DAY),
        quantity(row["cost_usd"], "USD"),
        "-" if row["loss"] is None else f"{row['loss']:.3f}",
        percent(row["mfu"]) if row["mfu"] is not None else "-",
        used,
        *(
            str(row[name]) if row[name] is not None else "-"
            for name in ("tp", "pp", "ep", "micro_batch_size")
        ),
        str(row["evidence"] or "-"),
    )


def page(document: Document, *, color: bool = False) -> str:
    """The comparison as a page of at most 100 columns.

    Parameters
    ----------
    document : mapping
        `simulator.comparison.Comparison.to_dict`, its rows with ``interval`` and ``provider``.
    color : bool, optional
        Whether to mark headings with terminal codes.
    """
    document = clean(document)
    rows = document["rows"]
    lines = [style(str(document["scenario"]["name"]), "bold", color=color), ""]
    lines += [
        *(style(line, "bold", color=color) for line in wrap(headline(rows))),
        "Ranges are 80 % intervals.",
        "",
    ]
    shown = table(HEADS, [cells(row) for row in rows], left=(0, 1, 13), indent=0, gap=1)
    lines.append(style(shown[0], "bold", color=color))
    for line, row in zip(shown[1:], rows, strict=True):
        lines += [line, *wrap(why(row), indent=4, hang=4)]
    lines += wrap(
        "* no other row is better in loss, time and cost at once. MFU: of each part's own dense peak."
    )
    for title, body in (
        ("Assumed", sections.bullets(document["assumptions"])),
        ("Not included", sections.bullets(document["excluded"])),
        ("Warnings", sections.warnings(document["warnings"])),
        ("Sources", sections.sources(document["sources"])),
    ):
        if body:
            lines += ["", style(title, "bold", color=color), *body]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def why(row: Document) -> str:
    """Why a row lost, or that it did not; the provider of its price."""
    reason = row["why"] or ("first" if row["rank"] == 1 else "")
    if not row["feasible"]:
        reason = f"does not run; {reason}"
    return "; ".join(filter(None, (str(row.get("provider") or ""), reason)))
