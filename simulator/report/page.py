"""An answer as one page of HTML: no network, no script; readable on a phone, on paper, by keyboard and screen reader."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from simulator.report import (
    evidence,
    goals,
    page_comparison,
    page_goals,
    page_style,
    places,
    sections,
    sensitivity,
)
from simulator.report import html as notebook
from simulator.report import page_charts as charts
from simulator.report.decision import decision, ranges
from simulator.report.page_parts import (
    Raw,
    cells,
    esc,
    items,
    join,
    label_pairs,
    linked,
    pairs,
    para,
    yaml_of,
)
from simulator.report.text import clean, percent
from simulator.search.required import difference_words

Document = Mapping[str, Any]

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
"""What a browser may load for the page: nothing."""

NO_CURVES: Document = {"sizes": [], "frontier": [], "growth": {}, "matmuls": [], "sensitivity": []}
"""Curves of a page that is shown before they are computed."""

VERDICTS = {"FITS": "good", "TIGHT": "fair", "DOES NOT FIT": "bad"}


def page(document: Document, curves: Document, compared: Document | None = None) -> str:
    """The whole page.

    Parameters
    ----------
    document : mapping
        `simulator.result.Result.to_dict`.
    curves : mapping
        `simulator.curves.around` of the same answer.
    compared : mapping, optional
        `simulator.comparison.Comparison.to_dict`, for a section that compares.

    Returns
    -------
    str
    """
    document = _without_controls(document)
    name = str(document["scenario"]["name"])
    parts = sections_of(document, curves)
    if compared is not None:
        at = next((place for place, part in enumerate(parts, 1) if part[0] == "alternatives"), 1)
        parts.insert(at, ("compared", "Compared", str(page_comparison.section(_without_controls(compared)))))
    contents = "".join(f'<li><a href="#{key}">{esc(title)}</a></li>' for key, title, _ in parts)
    main = "".join(
        f'<section aria-labelledby="{key}"><h2 id="{key}">{esc(title)}</h2>{body}</section>'
        for key, title, body in parts
    )
    told = document["scenario"].get("description") or ""
    told_ranges = ranges(document) if document["answer"] else ""
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="referrer" content="no-referrer"><link rel="icon" href="data:,">'
        f"<title>{esc(name)} - trainsim</title><style>{page_style.sheet()}</style></head>\n"
        '<body><a class="skip" href="#main">Skip to the answer</a>'
        f'<header><h1 dir="auto">{esc(name)}</h1>{para(told, "dim")}</header>'
        f'<nav aria-label="Contents"><ul>{contents}</ul></nav>\n'
        f'<main id="main" tabindex="-1">{main}</main>\n'
        f"<footer><p class=dim>Written by trainsim {esc(document['version'])}. {esc(told_ranges)}</p></footer>"
        "</body></html>\n"
    )


def sections_of(document: Document, curves: Document) -> list[tuple[str, str, str]]:
    """Key, title and HTML of every section that has something to say, in reading order.

    Parameters
    ----------
    document, curves
        As in `page`; `NO_CURVES` where there was no time for them.

    Returns
    -------
    list of (str, str, str)
        The HTML holds no script and no inline style; everything that a scenario wrote is escaped in it.
    """
    cleaned = _without_controls(document)
    return [(key, title, str(body)) for key, title, body in _sections(cleaned, curves) if body]


def _without_controls(document: Document) -> dict[str, Any]:
    """The document without control characters and without marks that turn the direction of a line."""
    cleaned = clean(document)
    return dict(cleaned)


def _sections(document: Document, curves: Document) -> list[tuple[str, str, str]]:
    """Key, title and body of every section, in reading order; empty ones are left out."""
    answer = document["answer"]
    out: list[tuple[str, str, str]] = [("decision", "Decision", _decision(document))]
    asked = page_goals.sections(document)
    if answer:
        out += [
            ("answer", "Answer", _answer(document)),
            ("frontier", "Loss against time and cost", _frontier(document, curves)),
            (
                "size",
                "Loss over size",
                charts.sizes(curves["sizes"], answer) if _drawable(curves["sizes"]) else "",
            ),
            ("step", "Where a step goes", charts.step(answer)),
            ("memory", "Memory", _memory(answer)),
            (
                "growth",
                "Growth or scratch",
                charts.growth(document, curves["growth"]) if document.get("growth") else "",
            ),
            *asked[:2],
            ("alternatives", "Alternatives, and why each lost", _alternatives(document)),
            ("binding", "What binds", _binding(document)),
            *asked[2:],
            ("sensitivity", "What moves the answer", _sensitivity(curves)),
            ("evidence", "How good is the evidence", para(_joined(evidence.evidence(answer)))),
        ]
    return [
        *out,
        ("warnings", "Warnings", _warnings(document)),
        ("assumed", "Assumed", items(document["assumptions"])),
        ("excluded", "Not included", items(document["excluded"])),
        ("sources", "Sources", pairs((s["what"], s["source"]) for s in document["sources"])),
        ("searched", "What was searched", para(_joined(sections.search(document)))),
        ("question", "The question", _question(document)),
    ]


def _joined(lines: list[str]) -> str:
    return " ".join(line.strip() for line in lines)


def _drawable(rows: Any) -> bool:
    return len(rows) > 2 and all(row["loss"] is not None for row in rows)


def _decision(document: Document) -> Raw:
    out = [Raw(f'<p class="lead" dir="auto">{esc(decision(document))}</p>')]
    if document.get("infeasible") and document["answer"]:
        out.append(para("The figures below are those of the plan that comes closest."))
    return join(out)


def _answer(document: Document) -> Raw:
    answer = document["answer"]
    table = cells(
        "Figures of the plan",
        ("figure", "80 % interval", "point"),
        notebook.figures(answer),
        numbers=(),
        words=(),
    )
    spent = label_pairs(
        [*sections.plan(answer), *sections.spending(answer), *sections.utilisation(answer)], sections.LABEL
    )
    return join([table, pairs(spent), _loss(document)])


def _loss(document: Document) -> Raw:
    text = _joined(sections.loss(document))
    return Raw(f"<h3>Loss</h3><p>{linked(text)}</p>") if text else Raw("")


def _frontier(document: Document, curves: Document) -> str:
    rows = curves["frontier"]
    if not _drawable(rows) or document["answer"].get("loss") is None:
        return ""
    scaled = "tokens" if (document.get("binding") or {}).get("constraint") == "tokens" else "budget"
    note = (
        f"The {scaled} from an eighth to eight times as large, on the same accelerators; growth is left out."
    )
    return join([para(note), charts.frontier(rows, document["answer"])])


def _memory(answer: Document) -> Raw:
    used, verdict, margin = sections.memory_head(answer)
    kind = VERDICTS.get(verdict, "")
    head = f'<p>{esc(used)}: <span class="badge {kind}">{esc(verdict)}</span>, {esc(margin)}.</p>'
    return join([head, charts.memory(answer)])


def _alternatives(document: Document) -> str:
    answer, others = document["answer"], document["alternatives"]
    if not others:
        return ""
    shown = [answer, *others]
    names = places.labels(shown, [sections.plan_name(row, answer) for row in shown])
    own = places.answer_words(answer, others)
    aims = goals.aims(document)
    rows = [
        sections.alternative_row(row, f"{place}: {one}", aims)
        for place, (row, one) in enumerate(zip(shown, names, strict=True))
    ]
    reasons = [f"0: {own}"] if own != "the answer" else []
    reasons += [f"{place}: {sections.reason(row, answer)}" for place, row in enumerate(others, 1)]
    note = (
        "TFLOP/s and tokens/s of one accelerator. GBS, MBS: global and micro-batch in sequences; TP, PP, CP, EP, VP: "
        "tensor, pipeline, context, expert parallelism and interleaving."
    )
    title = "The answer (0) and the next best plans"
    table = cells(title, sections.alternative_heads(document), rows, first=True, wide=True)
    return join([table, para(note, "dim"), Raw("<h3>Why each lost</h3>"), items(reasons)])


def _binding(document: Document) -> str:
    found = document.get("binding") or {}
    text = sections.binds(document)
    if not text:
        return ""
    rows = [
        (
            name,
            price.get("change", ""),
            _gain(price),
            "-"
            if price.get("compute_multiplier") is None
            else f"{percent(price['compute_multiplier'] - 1, 3)} compute",
        )
        for name, price in (found.get("shadow_prices") or {}).items()
    ]
    heads = ("limit", "a little more", "changes", "worth")
    table = (
        cells("Shadow prices: what a little more of each limit buys", heads, rows, numbers=(2, 3))
        if rows
        else ""
    )
    return join([para(text), table])


def _gain(price: Document) -> str:
    """What a little more of a limit changes: the loss, or what the run takes."""
    if price.get("loss_difference") is not None:
        return f"loss {price['loss_difference']:+.4f}"
    if price.get("difference") is None:
        return "-"
    sign = "-" if price["difference"] < 0 else "+"
    amount = difference_words(abs(price["difference"]), price["unit"])
    return f"{price['objective']} {sign}{amount} ({100 * price['share']:+.1f} %)"


def _sensitivity(curves: Document) -> str:
    rows = curves["sensitivity"]
    if not rows:
        return ""
    note = f"{sensitivity.NOTE.replace('`', '')} Blue: toward the better end; orange: toward the worse."
    return join([para(note), charts.tornado(rows)])


def _warnings(document: Document) -> Raw:
    return items(f"{w['id']}: {w['message']}" for w in document["warnings"]) or para("None.")


def _question(document: Document) -> Raw:
    inner = f'<pre dir="auto">{esc(yaml_of(document["scenario"]))}</pre>'
    return Raw(f"<details><summary>The scenario as it was understood</summary>{inner}</details>")
