"""One question on several kinds of hardware, as a ranked table."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from simulator.energy import CARBON, ENERGY, rung
from simulator.ranking import by_law
from simulator.report import sections
from simulator.report.decision import days
from simulator.report.text import (
    clean,
    duration,
    number,
    page_width,
    percent,
    plural,
    quantity,
    span,
    style,
    table,
    wrap,
)

DAY = 86400.0

Document = Mapping[str, Any]
Cell = Callable[[Document], str]

SPENT = (("energy_mwh", ENERGY, ""), ("co2e_t", CARBON, " CO2e"))
"""Figures that are shown in one unit for all rows, that of the largest: units, and what follows them in the head."""

SPARE = ("params", "MFU", *(unit + of for _, ladder, of in SPENT for unit, _ in ladder))
"""Columns that are left out, in this order of the table, where it would be wider than a page; JSON and CSV keep them."""

USUAL_TERMS = "on_demand"
"""Terms that a headline does not name."""

LAWS = ("law", "shape_law")
"""Fields by whose values rows are told apart before they are compared."""

SHOWN_ELSEWHERE = ("hardware.n_gpus", "hardware.accelerator", "hardware.price")
"""Fields that have a column or a line of their own, whether they vary or not."""


def held(rows: Sequence[Document]) -> str:
    """What the intervals of the rows are of, in one line."""
    of = "step time and loss law" if any(row.get("loss") is not None for row in rows) else "step time"
    return f"Ranges are 80 % intervals of {of}, at the price and goodput of each row."


def headline(rows: Sequence[Document]) -> str:
    """Lowest loss (where it differs), cheapest and fastest in one sentence each, intervals first; law by law, if several."""
    running = [row for row in rows if row["feasible"]]
    if not running:
        return "None of them runs this."
    groups = by_law(running)
    if len(groups) < 2:
        return _best(running)
    told = (
        (", ".join(dict.fromkeys(map(str, law))), [_lawless(row) for row in of]) for law, of in groups.items()
    )
    return " ".join(f"By law {law}: {_plan(of[0]) if len(of) == 1 else _best(of)}" for law, of in told)


def _lawless(row: Document) -> Document:
    """A row without the law among what varies."""
    varied = row.get("vary") or {}
    return {**row, "vary": {path: each for path, each in varied.items() if path.split(".")[0] not in LAWS}}


def _plan(row: Document) -> str:
    """Accelerators, what varies, time and cost of a row."""
    figures = ", ".join(
        filter(None, [f"{row['n_gpus']:,} x {row['accelerator']}{_provider(row)}", _figures(row)])
    )
    return f"{figures}."


def _best(running: Sequence[Document]) -> str:
    """The sentences of `headline` for rows of one law."""
    losses = {f"{row['loss']:.4f}" for row in running if row.get("loss") is not None}
    wanted = [("Lowest loss", "loss")] if len(losses) > 1 else []
    wanted += [("Cheapest", "cost_usd"), ("Fastest", "time_to_train_days")]
    parts: dict[str, str] = {}
    for name, key in wanted:
        known = [row for row in running if row[key] is not None]
        # What a limit cuts off is equal up to rounding: none is the best where all are, and of equals the cheaper one is named.
        if len({f"{row[key]:.4g}" for row in known}) > 1 or len(known) == 1:
            best = min(known, key=lambda row: (float(f"{row[key]:.4g}"), _dollars(row)))
            plan = _plan(best)
            parts[plan] = f"{parts[plan]} and {name.lower()}" if plan in parts else name
    if not parts:
        return f"First: {running[0]['n_gpus']:,} x {running[0]['accelerator']}."
    return " ".join(f"{name}: {plan}" for plan, name in parts.items())


def _several_laws(rows: Sequence[Document]) -> bool:
    """Whether the losses of rows are predicted by more than one law."""
    return len(by_law(rows)) > 1


def _dollars(row: Document) -> float:
    """Cost of a row to choose by: without a price the dearest. [USD]"""
    return math.inf if row["cost_usd"] is None else float(row["cost_usd"])


def _provider(row: Document) -> str:
    values = ", ".join(f"{path} {value}" for path, value in _varied(row))
    terms = str(row.get("terms") or "")
    named = (values, str(row.get("provider") or ""), terms.replace("_", " ") if terms != USUAL_TERMS else "")
    held = ", ".join(filter(None, named))
    return f" ({held})" if held else ""


def _varied(row: Document) -> list[tuple[str, Any]]:
    """What varies, apart from what has a column of its own."""
    return [(path, value) for path, value in (row.get("vary") or {}).items() if path not in SHOWN_ELSEWHERE]


def _figures(row: Document) -> str:
    bounds = row.get("interval") or {}
    time, cost = bounds.get("time_to_train_days"), bounds.get("cost_usd")
    shown = [days(time)] if time else []
    return ", ".join([*shown, *([span(cost, "USD")] if cost else [])])


def columns(rows: Sequence[Document]) -> list[tuple[str, bool, Cell]]:
    """Head, whether it is aligned left, and text of every column; what no row knows is left out."""
    names = list(dict.fromkeys(path for row in rows for path, _ in _varied(row)))
    out: list[tuple[str, bool, Cell]] = [
        ("", True, lambda row: f"{row['rank']}{'*' if row['pareto'] else ''}"),
        ("accelerator", True, lambda row: str(row["accelerator"])),
        ("GPUs", False, lambda row: f"{row['n_gpus']:,}" if row["n_gpus"] else "-"),
    ]
    out += [(_head(path), False, _value_of(path)) for path in names]
    out += [
        ("time", False, lambda row: _days(row["time_to_train_days"])),
        ("cost", False, lambda row: quantity(row["cost_usd"], "USD")),
        ("params", False, lambda row: quantity(row["params"], "parameter")),
        ("tokens", False, lambda row: quantity(row["tokens"], "token")),
        ("loss", False, lambda row: "-" if row["loss"] is None else f"{row['loss']:.3f}"),
        ("memory GiB", False, _memory),
    ]
    for key, ladder, of in SPENT:
        known = [row[key] for row in rows if row[key] is not None]
        if known:
            unit, size = rung(max(known), ladder)
            out.append((unit + of, False, _number_of(key, size)))
    return [*out, ("MFU", False, lambda row: percent(row["mfu"]) if row["mfu"] is not None else "-")]


def _head(path: str) -> str:
    """Head of a field that varies: its last name, unless a figure is called so."""
    last = path.rpartition(".")[2]
    return path if last in ("time", "cost", "params", "tokens", "loss", "energy") else last


def _value_of(path: str) -> Cell:
    return lambda row: str(row["vary"].get(path, "-"))


def _number_of(key: str, size: float) -> Cell:
    return lambda row: "-" if row[key] is None else number(row[key] / size)


def _days(took: float | None) -> str:
    return "-" if took is None else duration(took * DAY)


def _memory(row: Document) -> str:
    return f"{row['memory_gib']:.0f}/{row['memory_capacity_gib']:.0f}" if row["memory_gib"] else "-"


def layout(row: Document) -> str:
    """Degrees and recipe of a row in one line."""
    if row["tp"] is None:
        return ""
    degrees = [f"{name} {row[name]}" for name in ("tp", "pp", "dp", "cp", "ep", "vp") if (row[name] or 1) > 1]
    zero = [f"ZeRO {row['zero_stage']}"] if row["zero_stage"] else []
    batch = f"batch {row['global_batch_size']:,}, micro-batch {row['micro_batch_size']}"
    return ", ".join([*(degrees or ["one device"]), *zero, batch, f"recompute {row['recompute']}"])


def ranges(row: Document) -> str:
    """Intervals of a row in one line."""
    bounds = row.get("interval") or {}
    shown = [_figures(row)] if _figures(row) else []
    if bounds.get("tokens") and bounds["tokens"][0] != bounds["tokens"][1]:
        shown.append(f"{span(bounds['tokens'], 'token')} tokens")
    if bounds.get("loss"):
        shown.append(f"loss {span(bounds['loss'], '')}")
    return ", ".join(shown)


def price(row: Document) -> str:
    """Price of a row with provider, terms and date."""
    rent = row["usd_per_gpu_hour"]
    if rent is None:
        return ""
    named = (row.get("provider"), str(row.get("terms") or "").replace("_", " "), row.get("region"))
    return ", ".join(filter(None, (f"${rent:.2f}/GPU-h", *named, row.get("price_date"))))


def page(document: Document, *, color: bool = False) -> str:
    """The comparison as a page of at most 100 columns.

    Parameters
    ----------
    document : mapping
        `simulator.comparison.Comparison.to_dict`.
    color : bool, optional
        Whether to mark headings with terminal codes.
    """
    document = clean(document)
    rows = document["rows"]
    lines = [style(str(document["scenario"]["name"]), "bold", color=color), ""]
    lines += [
        *(style(line, "bold", color=color) for line in wrap(headline(rows))),
        *wrap(held(rows)),
        "",
    ]
    lines += _table(rows, color=color)
    lines += wrap(f"* {starred(rows)}. MFU: of each part's own dense peak.")
    for title, body in (
        ("Assumed", sections.bullets(document["assumptions"])),
        ("Not included", sections.bullets(document["excluded"])),
        ("Warnings", sections.warnings(document["warnings"])),
        ("Sources", sections.sources(document["sources"])),
    ):
        if body:
            lines += ["", style(title, "bold", color=color), *body]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def starred(rows: Sequence[Document]) -> str:
    """What a star means, without a full stop."""
    running = [row for row in rows if row["feasible"]]
    several = _several_laws(running)
    text = f"no other row{' of the same law' if several else ''} is better in loss, time and cost at once"
    if several:
        text += "; losses of different laws belong to different corpora and tokenizers and are not compared"
    if len({row["cost_usd"] is None for row in running}) > 1:
        text += ", a row without a price counted as the dearest"
    return text


def _table(rows: Sequence[Document], *, color: bool) -> list[str]:
    """One line of figures per row, and below it the intervals, the layout, the price, and why it lost."""
    shown = columns(rows)
    while True:
        left = [place for place, (_, aligned, _) in enumerate(shown) if aligned]
        body = [[cell(row) for _, _, cell in shown] for row in rows]
        lines = table([head for head, _, _ in shown], body, left=left, indent=0, gap=2, width=10_000)
        spare = _spare([head for head, _, _ in shown], rows)
        if max(map(len, lines)) <= page_width() or spare is None:
            break
        del shown[spare]
    out = [style(lines[0], "bold", color=color)]
    for line, row in zip(lines[1:], rows, strict=True):
        about = [ranges(row), layout(row), price(row), evidence(row)]
        # Where too many fields vary for columns of their own, their values stand here.
        heads = {head for head, _, _ in shown}
        values = [f"{path} {value}" for path, value in _varied(row) if _head(path) not in heads]
        for text in (", ".join(values), "; ".join(filter(None, about)), why(row)):
            line += "".join(f"\n{each}" for each in wrap(text, indent=4, hang=4))
        out += line.split("\n")
    return out


def _spare(heads: Sequence[str], rows: Sequence[Document]) -> int | None:
    """Place of the column that is left out next, if the table is too wide: a figure, then a field that varies."""
    varied = {_head(path) for row in rows for path, _ in _varied(row)}
    figures = (place for place, head in enumerate(heads) if head in SPARE)
    fields = (place for place, head in reversed(list(enumerate(heads))) if head in varied)
    return next(figures, next(fields, None))


def evidence(row: Document) -> str:
    """How well the constants of a row are known, and how wrong the clock was on the nearest measured runs.

    Examples
    --------
    >>> known = {"evidence": "measured", "evidence_median_error": 0.086, "evidence_rows": 35}
    >>> evidence({**known, "evidence_regime": "seen=false bits=16"})
    'constants measured, median error 8.6 % on 35 rows'
    """
    if not row["evidence"]:
        return ""
    text = f"constants {row['evidence']}"
    if not row["evidence_rows"]:
        return text
    text += f", median error {percent(row['evidence_median_error'])} on {plural(row['evidence_rows'], 'row')}"
    return text if "bits=" in row["evidence_regime"] else f"{text} in other formats"


def why(row: Document) -> str:
    """Why a row lost, or that it did not."""
    reason = row["why"] or ("first" if row["rank"] == 1 else "")
    return reason if row["feasible"] else f"does not run; {reason}"
