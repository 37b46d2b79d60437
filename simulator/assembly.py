"""From plans to a `Result`: the record of the answer, of what lost, and of what was asked."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from simulator import library
from simulator.errors import SpecError, UnknownNameError
from simulator.result import Result
from simulator.schema import Accelerator, Scenario, load_accelerator
from simulator.search import answer as answers
from simulator.search import (
    explain,
    fewest,
    growing,
    growing_stages,
    growth_answers,
    held,
    interrupted,
    offers,
    remarks,
    required,
    robust,
)
from simulator.search.choice import Pool
from simulator.search.notes import Notes
from simulator.search.question import Question
from simulator.search.spread import step_factors
from simulator.search.table import Basis, Found, Plan


def alternative(question: Question, plan: Plan, best: Plan, kind: str) -> dict[str, Any]:
    """A plan that lost, without the nested figures, and why."""
    record = answers.describe(question, plan, factors=step_factors(question, plan))
    kept = {k: v for k, v in record.items() if not isinstance(v, dict)} | {"interval": record["interval"]}
    why = explain.why_layout_lost if kind == "layout" else explain.why_shape_lost
    return {"kind": kind, "why": why(question, plan, best), **kept}


def result_of(
    scenario: Scenario,
    question: Question,
    notes: Notes,
    best: Plan,
    others: list[dict[str, Any]],
    found: Found,
    *,
    choices: Pool | None = None,
    infeasible: dict[str, Any] | None = None,
    grown: growing.Grown | None = None,
    answer: Plan | None = None,
    basis: Basis | None = None,
    sure: bool = True,
    near: dict[str, Any] | None = None,
    beside: Sequence[Plan] = (),
    front: Sequence[dict[str, Any]] = (),
    bound: dict[str, Any] | None = None,
) -> Result:
    """The result of a search whose best run from scratch is `best`; `answer` differs from it if growth pays."""
    grows = answer is not None and answer is not best
    shown = answer if answer is not None else best
    remarks.annotate(scenario, question, notes, shown)
    by_size = held.by_size(question, grown) if grown is not None else {}
    if grown is not None:
        remarks.annotate_growth(question, notes, grown, by_size)
    if grows:
        record = growth_answers.record_of(question, shown)
    else:
        record = answers.describe(question, best, factors=step_factors(question, best))
    stages = (
        growing_stages.describe_stages(question, grown, grown.answer.best)
        if grows and grown is not None
        else []
    )
    kept = held.hold(question, grown) if grows and grown is not None else None
    if basis is not None and kept is not None and grown is not None:
        basis = replace(basis, plan=grown.scratch, held=kept)
    return Result(
        scenario=asked_of(scenario),
        version=version(),
        answer=record,
        alternatives=tuple(others),
        warnings=tuple(notes.warnings),
        sources=tuple(notes.sources),
        assumptions=tuple(notes.assumptions),
        excluded=tuple(notes.excluded),
        binding=bound or _binding(question, best, found if choices is not None else None, kept),
        family=_family(
            scenario, question, choices, best, None if grows or infeasible or not sure else basis, near, kept
        ),
        stages=tuple(stages),
        growth=growing_stages.report(question, grown, by_size) if grown is not None else {},
        search=_searched(found),
        infeasible=infeasible or {},
        requirements=required.reached(question, shown),
        interruptions=interrupted.report(question, shown, kept) if sure or front else {},
        offers=tuple(offers.report(question, list(beside))),
        fewest_gpus=fewest.report(question, best) if sure or front else {},
        frontier=tuple(front),
        formulas={
            **answers.FORMULAS,
            **interrupted.formulas(question, best),
            **(held.formulas(record, stages) if stages else {}),
        },
        basis=basis,
    )


def _binding(question: Question, best: Plan, found: Found | None, kept: held.Held | None) -> dict[str, Any]:
    """What ends the run, and what a little more of each limit buys: for a plan that grows, with its stages held."""
    return explain.binding(question, best, found) if kept is None else held.binding(question, kept)


def _family(
    scenario: Scenario,
    question: Question,
    choices: Pool | None,
    best: Plan,
    basis: Basis | None,
    near: dict[str, Any] | None = None,
    kept: held.Held | None = None,
) -> dict[str, Any]:
    """Plans that the laws cannot tell apart, and how sure the choice is among those shown."""
    family = explain.family(question, choices, best) if choices is not None else dict(near or {})
    if kept is not None and family:
        family["text"] = f"from scratch, compared with the best such run: {family['text']}"
    sure = robust.robustness(basis, seed=scenario.seed) if basis is not None else {}
    if not sure:
        return family
    text = "; ".join(filter(None, [family.get("text"), sure["text"]]))
    return {**family, "robustness": sure, "text": text}


def _searched(found: Found) -> dict[str, Any]:
    return {
        "plans_considered": found.counts.considered,
        "plans_feasible": found.counts.feasible,
        "refused": dict(sorted(found.counts.refused.items())),
        "shapes_considered": found.shapes_considered,
        "shapes_excluded_by_bound": found.shapes_pruned,
    }


def nothing(scenario: Scenario, notes: Notes, reason: dict[str, Any], found: Found) -> Result:
    """A result without an answer."""
    return Result(
        scenario=asked_of(scenario),
        version=version(),
        answer={},
        warnings=tuple(notes.warnings),
        sources=tuple(notes.sources),
        assumptions=tuple(notes.assumptions),
        excluded=tuple(notes.excluded),
        search=_searched(found),
        infeasible=reason,
        formulas=answers.FORMULAS,
    )


def asked_of(scenario: Scenario) -> dict[str, Any]:
    """The scenario as it was understood, as plain data."""
    data = scenario.model_dump(mode="json", exclude_none=True, exclude={"overrides", "scenarios"})
    data["hardware"] = [
        {"accelerator": _named(spec.accelerator), **{k: v for k, v in entry.items() if k != "accelerator"}}
        for entry, spec in zip(data["hardware"], scenario.hardware, strict=True)
    ]
    return data


def _named(accelerator: Accelerator) -> str | dict[str, Any]:
    """The name of an accelerator of the library; all fields of another, so that the echo of a scenario can be asked again."""
    folders = tuple(str(folder) for folder in library.folders("accelerators"))
    if accelerator.id is not None and _of_library(accelerator.id, folders) == accelerator:
        return accelerator.label
    return accelerator.model_dump(mode="json", exclude_unset=True)


@functools.lru_cache(maxsize=64)
def _of_library(name: str, folders: tuple[str, ...]) -> Accelerator | None:
    """The accelerator that the library has under an id."""
    try:
        return load_accelerator(name)
    except (UnknownNameError, SpecError):
        return None


@functools.cache
def version() -> str:
    """Version of the installed distribution."""
    from importlib import metadata

    try:
        return metadata.version("trainsim")
    except metadata.PackageNotFoundError:
        return "0+unknown"
