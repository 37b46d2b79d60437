"""Parts of the page on what was asked for: requirements, fronts, offers, deadlines, interruptions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from simulator.report import goals
from simulator.report import page_charts as charts
from simulator.report.page_parts import Raw, cells, items, join, para
from simulator.report.text import duration, percent, quantity

Document = Mapping[str, Any]

DAY = 86400.0


def sections(document: Document) -> list[tuple[str, str, str]]:
    """Key, title and body of each part; empty where nothing was asked."""
    fewest = " ".join(line.strip() for line in goals.fewest(document))
    return [
        ("required", "Required", items(goals.requirement_texts(document))),
        ("front", "Plans that no other beats", front(document)),
        ("offers", "Offers", items(goals.offer_texts(document))),
        ("fewest", "Fewest accelerators", para(fewest) if fewest else Raw("")),
        ("interruptions", "Interruptions", interruptions(document)),
    ]


def front(document: Document) -> str:
    """The front as a chart and a table."""
    rows = document.get("frontier") or []
    if not rows:
        return ""
    several = len({(row["accelerator"], row.get("offer")) for row in rows}) > 1
    shown = goals.shown(list(rows))
    heads = ("plan", "accelerators", "tokens", *(head for head, _ in shown), "mark")
    body = [
        (
            goals.name(row, several),
            f"{row['n_gpus']:,}",
            quantity(row["tokens"], "token"),
            *(cell(row) for _, cell in shown),
            row["mark"],
        )
        for row in rows
    ]
    title = "Plans that no other beats in all objectives"
    table = cells(title, heads, body, wide=True, words=(len(heads) - 1,))
    drawn = len({row["loss"] for row in rows}) > 2
    return join([charts.front(rows, document["answer"]) if drawn else Raw(""), table])


def interruptions(document: Document) -> str:
    """Where the goodput comes from, and the answer under other rates."""
    found = document.get("interruptions") or {}
    if not goals.interruptions(document):
        return ""
    rows = [
        (
            f"{row['gpu_hours_per_interruption']:,.0f}",
            duration(row["job_mtbf_h"] * 3600.0),
            percent(row["goodput"], 3),
            duration(row["time_to_train_days"] * DAY),
            "-" if row["loss"] is None else f"{row['loss']:.3f}",
        )
        for row in found.get("curve") or ()
    ]
    heads = ("accelerator-hours per interruption", "every", "goodput", "time", "loss")
    title = "The answer under other rates of interruptions"
    text = found["text"]
    return join([para(f"{text[:1].upper()}{text[1:]}."), cells(title, heads, rows) if rows else Raw("")])
