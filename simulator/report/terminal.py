"""An answer as a page of text of at most 100 columns, read from top to bottom."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from simulator.report import evidence, goals, growth, sections
from simulator.report.decision import decision, ranges
from simulator.report.text import clean, style, wrap

VERDICTS = {"FITS": ("green", "bold"), "TIGHT": ("yellow", "bold"), "DOES NOT FIT": ("red", "bold")}
"""Verdict on memory, to its style."""


def page(document: Mapping[str, Any], *, color: bool = False) -> str:
    """The whole answer.

    Parameters
    ----------
    document : mapping
        `simulator.result.Result.to_dict`.
    color : bool, optional
        Whether to mark headings and verdicts with terminal codes.

    Returns
    -------
    str
    """
    document = clean(document)
    asked, answer = document["scenario"], document["answer"]
    lines = [style(line, "bold", color=color) for line in wrap(str(asked["name"]))]
    if asked.get("description"):
        lines += [style(line, "dim", color=color) for line in wrap(str(asked["description"]))]
    lines += ["", *(style(line, "bold", color=color) for line in wrap(decision(document)))]
    if answer:
        closest = (
            "The figures below are those of the plan that comes closest. "
            if document.get("infeasible")
            else ""
        )
        lines += wrap(f"{closest}{ranges(document)}")
        lines += ["", *sections.plan(answer), "", *sections.spending(answer), *sections.utilisation(answer)]
        lines += _memory(answer, color)
    for title, body in _sections(document):
        if body:
            lines += ["", style(title, "bold", color=color), *body]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _memory(answer: Mapping[str, Any], color: bool) -> list[str]:
    used, verdict, margin = sections.memory_head(answer)
    marked = style(verdict, *VERDICTS.get(verdict, ("bold",)), color=color)
    return [
        "",
        f"{style('Memory', 'bold', color=color)}     {used}  {marked}, {margin}",
        *sections.memory(answer),
    ]


def _sections(document: Mapping[str, Any]) -> list[tuple[str, list[str]]]:
    """Titles and bodies below the summary."""
    answer = document["answer"]
    out: list[tuple[str, list[str]]] = []
    if answer:
        out.append(("Step time", sections.breakdown(answer)))
        out.append(("Loss", sections.loss(document)))
        out.append(("Growth", growth.section(document)))
        out.append(("Required", goals.requirements(document)))
        out.append(("Front", goals.front(document)))
        out.append(("Alternatives", sections.alternatives(document)))
        out.append(("What binds", wrap(sections.binds(document), indent=2, hang=2)))
        out.append(("Offers", goals.offers(document)))
        out.append(("Fewest accelerators", goals.fewest(document)))
        out.append(("Interruptions", goals.interruptions(document)))
        out.append(("How good is the evidence", evidence.evidence(answer)))
    out.append(("What was searched", sections.search(document)))
    out.append(("Assumed", sections.bullets(document["assumptions"])))
    out.append(("Not included", sections.bullets(document["excluded"])))
    out.append(("Warnings", sections.warnings(document["warnings"])))
    out.append(("Sources", sections.sources(document["sources"])))
    return out
