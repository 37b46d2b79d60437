"""Answers as a page shows them: the part that runs in a process of its own."""

from __future__ import annotations

import time
from typing import Any

from simulator import curves, simulate
from simulator.errors import SimulatorError
from simulator.report import page
from simulator.report.decision import decision
from simulator.report.text import clean
from simulator.web import questions
from simulator.web.questions import Ask, Changes, Open

SHOWN = ("params", "tokens", "time_to_train_days", "cost_usd", "loss", "accelerator", "n_gpus", "step_time_s")
"""Figures that a page gets as data beside the sections."""

Payload = dict[str, Any]


def answer(ask: Ask) -> Payload:
    """Answer a scenario: sections of the report, the sentence of the decision, and what was searched.

    Returns
    -------
    dict
        ``effort plans seconds feasible decision figures sections yaml controls``, or ``error`` with the text of a mistake.
    """
    start = time.perf_counter()
    document, scenario = questions.asked(ask.scenario, ask.changes)
    result = simulate.run(scenario, effort=ask.effort)
    quick = any(w["id"] == "preview" for w in result.warnings)
    around = page.NO_CURVES if ask.effort == "preview" else curves.around(scenario, result)
    told = result.to_dict()
    return {
        "effort": "preview" if quick or ask.effort == "preview" else "full",
        "whole": not quick,
        "plans": result.search["plans_considered"],
        "feasible": result.feasible,
        "decision": str(clean(decision(told))),
        "figures": {name: result.answer.get(name) for name in SHOWN},
        "sections": page.sections_of(told, around),
        "yaml": _file(ask.scenario, ask.changes, document),
        "controls": questions.controls(scenario),
        "seconds": time.perf_counter() - start,
    }


def opened(request: Open) -> Payload:
    """A scenario as it is read: its text and where the controls stand."""
    text = questions.library_text(request.name) if request.name is not None else request.scenario or ""
    document, scenario = questions.asked(text, request.changes)
    return {"yaml": _file(text, request.changes, document), "controls": questions.controls(scenario)}


def _file(text: str, changes: Changes, document: Any) -> str:
    """The text as it came, comments and all, if no control was touched; else the changed data."""
    return questions.file_of(document) if changes.model_fields_set else text


def start() -> Payload:
    """What a page needs to begin with."""
    from simulator import __version__, library

    return {
        "version": __version__,
        "accelerators": library.names("accelerators"),
        "scenarios": library.names("scenarios"),
        **opened(Open(name="quickstart")),
        "name": "quickstart",
    }


def do(kind: str, data: bytes) -> Payload:
    """One job, ``start``, ``open`` or ``answer``, from its JSON; mistakes of whoever asked become an ``error``."""
    try:
        if kind == "start":
            return start()
        if kind == "open":
            return opened(Open.model_validate_json(data))
        return answer(Ask.model_validate_json(data))
    except SimulatorError as error:
        return {"error": str(error)}
