"""An answer as a fragment of HTML for notebooks: no script, no external style, everything escaped."""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from simulator.report import goals, sections
from simulator.report.decision import days, decision, layout_words, shape_words
from simulator.report.text import duration, number, percent, quantity, span

Document = Mapping[str, Any]

BAR = "<div style='background:#7a9cc6;height:0.8em;width:{:.1f}%'></div>"

DAY = 86400.0


def fragment(document: Document) -> str:
    """The answer as tables: the decision, the figures, memory, step time, alternatives.

    Parameters
    ----------
    document : mapping
        `simulator.result.Result.to_dict`.

    Examples
    --------
    >>> empty = {"scenario": {"name": "a <b>", "find": "estimate"}, "answer": {},
    ...          "infeasible": {"text": "no layout"}, "alternatives": []}
    >>> fragment(empty)
    '<div><h4>a &lt;b&gt;</h4><p><b>No plan keeps all limits. No layout.</b></p></div>'
    """
    answer = document["answer"]
    parts = [f"<h4>{_text(document['scenario']['name'])}</h4><p><b>{_text(decision(document))}</b></p>"]
    if answer:
        parts += [_table(("", "80 % interval", "point"), figures(answer)), *_bars(answer)]
        parts.append(f"<p>{_text(shape_words(answer))}<br>{_text(layout_words(answer))}</p>")
    others = document["alternatives"]
    if answer and others:
        aims = goals.aims(document)
        rows = [
            (*sections.alternative_row(row, sections.plan_name(row, answer), aims), row.get("why", ""))
            for row in others
        ]
        parts.append(_table((*sections.alternative_heads(document), "why it lost"), rows))
    warnings = "".join(
        f"<li>{_text(w['id'])}: {_text(w['message'])}</li>" for w in document.get("warnings", ())
    )
    return f"<div>{''.join(parts)}{f'<ul>{warnings}</ul>' if warnings else ''}</div>"


def comparison(document: Document) -> str:
    """A comparison as one table, with the columns of the terminal's and the reason why each row lost.

    Parameters
    ----------
    document : mapping
        `simulator.comparison.Comparison.to_dict`.
    """
    from simulator.report import comparison as page

    rows = document["rows"]
    columns = page.columns(rows)
    heads = [*(head for head, _, _ in columns), "80 % intervals", "layout", "price", "why it lost"]
    cells = [
        (
            *(cell(row) for _, _, cell in columns),
            page.ranges(row),
            page.layout(row),
            page.price(row),
            page.why(row),
        )
        for row in rows
    ]
    lead = f"<h4>{_text(document['scenario']['name'])}</h4><p><b>{_text(page.headline(rows))}</b></p>"
    note = f"<p>* {_text(page.starred(rows))}.</p>"
    return f"<div>{lead}{_table(heads, cells)}{note}</div>"


SWEPT = (
    "feasible accelerator n_gpus params tokens loss time_to_train_days cost_usd memory_gib mfu why".split()
)
"""Columns of a sweep that a notebook shows, beside what varies."""

MOST_ROWS = 50
"""Rows of a sweep that a notebook shows. [-]"""


def sweep(frame: Any, title: str) -> str:
    """Head of the table of a sweep.

    Parameters
    ----------
    frame : pandas.DataFrame
        `simulator.sweeping.Sweep.frame`.
    title : str
        Heading.
    """
    varied = [name for name in frame.columns if str(name).startswith("vary.")]
    shown = [*varied, *(name for name in SWEPT if name in frame.columns)]
    cells = [
        [_cell(value) for value in line]
        for line in frame[shown].head(MOST_ROWS).itertuples(index=False, name=None)
    ]
    more = len(frame) - len(cells)
    note = f"<p>and {more:,} more rows</p>" if more > 0 else ""
    heads = [str(name).removeprefix("vary.") for name in shown]
    return f"<div><h4>{_text(title)}</h4>{_table(heads, cells)}{note}</div>"


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return "" if value != value else number(value, 4)
    return str(value)


def rows(title: str, heads: Sequence[str], cells: Iterable[Sequence[Any]]) -> str:
    """A titled table.

    Examples
    --------
    >>> rows("a<b", ("n",), [(1,)])
    "<div><h4>a&lt;b</h4><table><tr><th>n</th></tr><tr><td style='text-align:left;min-width:3em'>1</td></tr></table></div>"
    """
    return f"<div><h4>{_text(title)}</h4>{_table(heads, cells)}</div>"


def preformatted(title: str, text: str) -> str:
    """A page of the terminal with its columns as they are.

    Examples
    --------
    >>> preformatted("log", "a < b")
    '<div><h4>log</h4><pre>a &lt; b</pre></div>'
    """
    return f"<div><h4>{_text(title)}</h4><pre>{_text(text)}</pre></div>"


def figures(answer: Document) -> list[tuple[str, str, str]]:
    """Name, interval and point of the figures that matter."""
    bounds = answer["interval"]
    took = bounds.get("time_to_train_days")
    return [
        (
            "step",
            span(bounds["step_time_s"], "second", top="s"),
            quantity(answer["step_time_s"], "second", top="s"),
        ),
        (
            "time",
            days(took),
            "-" if answer["time_to_train_days"] is None else duration(DAY * answer["time_to_train_days"]),
        ),
        ("cost", span(bounds.get("cost_usd"), "USD"), quantity(answer["cost_usd"], "USD")),
        ("tokens", span(bounds.get("tokens"), "token"), quantity(answer["tokens"], "token")),
        ("loss", span(bounds.get("loss"), ""), "-" if answer["loss"] is None else f"{answer['loss']:.3f}"),
        (
            "MFU",
            "",
            f"{percent(answer['mfu'], 3)} of {number(answer['peak_tflops'])} TFLOP/s ({answer['flop_convention']})",
        ),
        (
            "memory",
            answer["memory_verdict"],
            f"{answer['memory_gib']:.1f} of {answer['memory_capacity_gib']:.1f} GiB",
        ),
    ]


def _bars(answer: Document) -> list[str]:
    """Memory by category and step time by level, largest first."""
    out = []
    for title, parts, unit in (("memory", answer["memory"], "GiB"), ("step time", answer["breakdown"], "s")):
        total = sum(parts.values())
        rows = [
            (name, f"{number(value)} {unit}", percent(value / total), Raw(BAR.format(100 * value / total)))
            for name, value in sorted(parts.items(), key=lambda item: -item[1])
            if value >= sections.LEAST * total
        ]
        out.append(_table((title, "", "", ""), rows))
    return out


class Raw(str):
    """Text that is HTML already."""

    __slots__ = ()


def _text(value: Any) -> str:
    return str(value) if isinstance(value, Raw) else html.escape(str(value))


def _table(heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    head = "".join(f"<th>{_text(each)}</th>" for each in heads)
    body = "".join(
        "<tr>"
        + "".join(f"<td style='text-align:left;min-width:3em'>{_text(cell)}</td>" for cell in row)
        + "</tr>"
        for row in rows
    )
    return f"<table><tr>{head}</tr>{body}</table>"
