"""The figures of the report page, from rows of `simulator.curves` and the answer."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from simulator.report import growth as growing
from simulator.report import svg
from simulator.report.page_parts import Raw, cells, esc, join, para
from simulator.report.sections import CATEGORIES, LEAST, LEVELS
from simulator.report.sections import gib as gib_words
from simulator.report.sensitivity import value_words
from simulator.report.text import duration, number, percent, quantity

Document = Mapping[str, Any]

DAY = 86400.0


def days(value: float) -> str:
    """A tick of time."""
    return duration(value * DAY, 2) if value else "0"


def moments(low: float, high: float) -> list[list[float]]:
    """Ticks of time that are round in the unit in which they are written, the densest set first. [days]

    Examples
    --------
    >>> [[days(each) for each in some] for some in moments(0.07, 2.6)]
    [['3 h', '6 h', '12 h', '1 day', '2 days'], ['6 h', '1 day'], ['1 day']]
    """
    out = []
    for minutes, hours, whole in (
        ((1, 2, 5, 10, 30), (1, 3, 6, 12), (1, 2, 5)),
        ((1, 10), (1, 6), (1, 3)),
        ((1,), (1,), (1,)),
    ):
        every = [m / 1440 for m in minutes] + [h / 24 for h in hours]
        every += [d * 10.0**p for p in range(6) for d in whole]
        out.append(svg.within(every, low, high))
    return out


def dollars(value: float) -> str:
    """A tick of money."""
    return quantity(value, "USD", 2)


def sizes_words(value: float) -> str:
    """A tick of a count of parameters."""
    return quantity(value, "parameter", 2)


def figure(image: str, caption: str, table: Raw) -> Raw:
    """An image, its caption, and its numbers for those who cannot see it."""
    numbers = f"<details><summary>The numbers of this figure</summary>{table}</details>"
    return Raw(f"<figure>{image}<figcaption>{esc(caption)}</figcaption>{numbers}</figure>")


def front(rows: Sequence[Document], answer: Document) -> Raw:
    """The plans that no other beats: loss against cost, or against time without prices."""
    field, name, words = ("cost_usd", "cost", dollars)
    if answer.get("lifetime_cost_usd") is not None:
        field, name = ("lifetime_cost_usd", "cost with serving")
    if any(row.get(field) is None for row in rows) or answer[field] is None:
        field, name, words = ("time_to_train_days", "time", days)
    ordered = sorted(rows, key=lambda row: row[field])
    first, last = ordered[0], ordered[-1]
    text = (
        f"{len(rows)} plans, from a loss of {first['loss']:.3f} for {words(first[field])} to {last['loss']:.3f} for "
        f"{words(last[field])}; the answer has {answer['loss']:.3f} for {words(answer[field])}."
    )
    chart = svg.Chart(
        "fr",
        f"Loss against {name} of the plans that no other beats",
        text,
        f"{name}, logarithmic",
        "loss [nats/token]",
        words,
        "{:.2f}".format,
        log=True,
        x_ticks=moments if name == "time" else None,
    )
    line = svg.Line(
        "plans of the front", [r[field] for r in ordered], [r["loss"] for r in ordered], dots=True
    )
    drawn = svg.lines(chart, [line], (answer[field], answer["loss"], "the answer"))
    return Raw(f'<div class="two"><figure>{drawn}<figcaption>{esc(text)}</figcaption></figure></div>')


def frontier(rows: Sequence[Document], answer: Document) -> Raw:
    """Loss against time, and against cost where a price is known."""
    body = [
        (
            days(row["time_to_train_days"]),
            "-" if row["cost_usd"] is None else quantity(row["cost_usd"], "USD"),
            quantity(row["params"], "parameter"),
            quantity(row["tokens"], "token"),
            f"{row['loss']:.3f}",
        )
        for row in rows
    ]
    table = cells("Lowest loss for a budget", ("time", "cost", "parameters", "tokens", "loss"), body)
    low, high = rows[-1], rows[0]
    text = (
        f"The lowest loss falls from {high['loss']:.3f} in {days(high['time_to_train_days'])} "
        f"to {low['loss']:.3f} in {days(low['time_to_train_days'])}; the answer has {answer['loss']:.3f}."
    )
    out = []
    for key, name, words, field in (
        ("ft", "time", days, "time_to_train_days"),
        ("fc", "cost", dollars, "cost_usd"),
    ):
        if any(row[field] is None for row in rows) or answer[field] is None:
            continue
        chart = svg.Chart(
            key,
            f"Loss against {name}",
            text,
            f"{name}, logarithmic",
            "loss [nats/token]",
            words,
            "{:.2f}".format,
            log=True,
            x_ticks=moments if name == "time" else None,
        )
        line = svg.Line(
            "best plan from scratch", [r[field] for r in rows], [r["loss"] for r in rows], dots=True
        )
        out.append(
            figure(
                svg.lines(chart, [line], (answer[field], answer["loss"], "the answer")),
                f"Loss against {name}: each point is the best plan for its budget, on the same accelerators.",
                table,
            )
        )
    return Raw(f'<div class="two">{"".join(out)}</div>')


def sizes(rows: Sequence[Document], answer: Document) -> Raw:
    """Loss over size within the limits."""
    best = min(rows, key=lambda row: float(row["loss"]))
    text = (
        f"Loss over size is lowest at {quantity(best['params'], 'parameter')} parameters with {best['loss']:.3f}; "
        f"{quantity(rows[0]['params'], 'parameter')} have {rows[0]['loss']:.3f} and "
        f"{quantity(rows[-1]['params'], 'parameter')} have {rows[-1]['loss']:.3f}."
    )
    chart = svg.Chart(
        "us",
        "Loss over size",
        text,
        "parameters, logarithmic",
        "loss [nats/token]",
        sizes_words,
        "{:.2f}".format,
        log=True,
    )
    line = svg.Line(
        "best layout, from scratch", [r["params"] for r in rows], [r["loss"] for r in rows], dots=True
    )
    body = [
        (
            quantity(row["params"], "parameter"),
            quantity(row["tokens"], "token"),
            number(row["step_time_s"]),
            f"{row['global_batch_size']:,.0f}",
            f"{row['loss']:.3f}",
        )
        for row in rows
    ]
    table = cells("Loss over size", ("parameters", "tokens", "step s", "batch", "loss"), body)
    image = svg.lines(chart, [line], (answer["params"], answer["loss"], "the answer"))
    return figure(
        image, "Every size in its own fastest layout until the budget is spent, from scratch.", table
    )


def step(answer: Document) -> Raw:
    """Step time by level, largest first; rows add up to the step."""
    total = answer["step_time_s"]
    order = sorted(answer["breakdown"].items(), key=lambda item: -item[1])
    shown = [(name, value) for name, value in order if value >= LEAST * total]
    rest = total - sum(value for _, value in shown)
    rows: list[tuple[Any, ...]] = [
        (name, number(value), percent(value / total), svg_bar(value / total), LEVELS.get(name, ""))
        for name, value in shown
    ]
    if rest > 1e-9 * total:
        rows.append(
            (
                "other",
                number(rest),
                percent(rest / total),
                svg_bar(rest / total),
                "levels below half a percent",
            )
        )
    rows.append(("total", number(total), "100 %", "", ""))
    heads = ("level", "s", "share", "", "what is copied or waited for")
    return cells("Time of a step by level of the copies", heads, rows, numbers=(1, 2), bars=(3,), words=(4,))


def svg_bar(share: float, place: int = 0) -> Raw:
    """A bar that is HTML already."""
    return Raw(svg.bar(share, place))


def memory(answer: Document) -> Raw:
    """Memory as one bar against the capacity, and its parts."""
    total, capacity = answer["memory_gib"], answer["memory_capacity_gib"]
    shown = {name: gib for name, gib in answer["memory"].items() if gib >= LEAST * total}
    letters = {name: chr(ord("a") + place) for place, name in enumerate(shown)}
    words = ", ".join(f"{CATEGORIES.get(name, name)} {number(gib)} GiB" for name, gib in shown.items())
    image = svg.stacked(
        "mb",
        "Memory of the fullest device",
        f"{gib_words(total)} of {gib_words(capacity)} GiB: {words}.",
        [(letters[name], gib) for name, gib in shown.items()],
        capacity,
        f"capacity {gib_words(capacity)} GiB",
    )
    rows: list[tuple[Any, ...]] = [
        (
            Raw(
                f'<span class="key k{i % 8}" aria-hidden="true">{letters[n]}</span>{esc(CATEGORIES.get(n, n))}'
            ),
            number(gib),
            percent(gib / total),
        )
        for i, (n, gib) in enumerate(shown.items())
    ]
    rest = total - sum(shown.values())
    if rest > 1e-6 * total:
        rows.append(("other", number(rest), percent(rest / total)))
    rows.append(("total", gib_words(total), "100 %"))
    table = cells("Memory of the fullest device", ("what", "GiB", "share"), rows)
    return Raw(f"<figure>{image}</figure>{table}")


def growth(document: Document, curves: Document) -> Raw:
    """Growth against scratch: timeline, curves in time, every assumption, stages."""
    found = document["growth"]
    case = found["cases"][found["follows"]]
    parts = []
    if case["stages"]:
        spans = [
            (f"{quantity(s['params'], 'parameter')}, {days(s['time_days'])}", s["time_days"])
            for s in growing.trained(case["stages"])
        ]
        total = sum(value for _, value in spans)
        alone = f"from scratch: loss {case['loss_scratch']:.3f}"
        grown = f"grown ({found['follows']}, kappa {case['kappa']:g}): loss {case['loss']:.3f}"
        text = f"{grown} after {growing.chain(case['stages'])}; {alone} after {days(total)}."
        parts.append(
            f"<figure>{svg.timeline('gt', 'Growth timeline', text, [(grown, spans), (alone, [('', total)])], days)}"
            f"<figcaption>Stages in time, above training from scratch with the same budget.</figcaption></figure>"
        )
    if curves:
        parts.append(_growth_curves(curves))
    rows = growing.case_rows(found)
    parts.append(
        cells(
            "Growth under each assumption",
            growing.CASE_HEADS,
            rows,
            words=(2,),
            numbers=(1, 3, 4, 5, 6),
        )
    )
    parts.append(para(growing.reading(found)))
    if document.get("stages"):
        parts.append(
            cells(
                "Stages of the answer",
                growing.STAGE_HEADS,
                growing.stage_rows(document["stages"]),
                numbers=tuple(range(2, 13)),
            )
        )
    return join(parts)


def _growth_curves(curves: Document) -> Raw:
    scratch = curves["scratch"][0]
    grown = [line for line in curves["stages"] if all(map(math.isfinite, line["loss"]))]
    some = [
        svg.Line(
            f"{quantity(scratch['params'], 'parameter')} from scratch", scratch["days"], scratch["loss"], 7
        )
    ]
    for place, one in enumerate(grown):
        name = f"stage {place + 1}: {quantity(one['params'], 'parameter')}"
        some.append(svg.Line(name, one["days"], one["loss"], (0, 1, 2, 4)[place % 4]))
    ends = [one["loss"][-1] for one in (scratch, *grown)]
    start = scratch["loss"][len(scratch["loss"]) // 10]
    text = f"Both losses fall; grown ends at {grown[-1]['loss'][-1]:.3f}, from scratch at {scratch['loss'][-1]:.3f}."
    chart = svg.Chart(
        "gc",
        "Loss in time",
        text,
        "time",
        "loss [nats/token]",
        days,
        "{:.2f}".format,
        y_range=(min(ends), start),
    )
    body = [
        (one.label, days(one.x[0]), f"{one.y[0]:.3f}", days(one.x[-1]), f"{one.y[-1]:.3f}") for one in some
    ]
    table = cells("Ends of the lines", ("line", "from", "loss", "to", "loss"), body)
    return figure(
        svg.lines(chart, some), "Loss in time, with the learning rate decayed at every point.", table
    )


def tornado(rows: Sequence[Document]) -> Raw:
    """What moves the answer, with bars on one axis."""
    every = [value for row in rows for value in (row["better"], row["worse"], row["base"])]
    ends = (min(every), max(every))
    name = rows[0]["figure"]

    def words(value: float) -> str:
        if name == "loss":
            return f"{value:.3f}"
        dimension = {"cost_usd": "USD", "tokens": "token"}.get(name)
        return quantity(value, dimension) if dimension else days(value)

    body = [
        (
            row["name"],
            f"{value_words(row['low'])} to {value_words(row['high'])}",
            words(row["better"]),
            words(row["worse"]),
            Raw(svg.between(row["better"], row["worse"], row["base"], ends)),
        )
        for row in rows
    ]
    told = {"loss": "loss [nats/token]", "cost_usd": "cost", "tokens": "tokens"}.get(name, "time")
    title = f"Effect of one input at a time on the {told}; the plan has {words(rows[0]['base'])}"
    heads = ("input", "80 % range", "better end", "worse end", "")
    return cells(title, heads, body, numbers=(1, 2, 3), bars=(4,))
