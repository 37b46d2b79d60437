"""The chain from a scenario to a result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from simulator import assembly, transformer
from simulator.errors import InfeasibleError
from simulator.result import Result
from simulator.schema import Scenario, load_scenario
from simulator.search import (
    choice,
    efforts,
    estimate,
    frontier,
    growth_answers,
    planner,
    relax,
    room,
    shapes,
    shortfalls,
)
from simulator.search.choice import Pool
from simulator.search.efforts import Effort
from simulator.search.notes import Notes
from simulator.search.question import Question
from simulator.search.room import Tried
from simulator.search.table import Basis, Found, Plan, scalar_shape, single
from simulator.search.translate import question_of


def run(
    source: str | Path | Mapping[str, Any] | Scenario,
    *,
    set: Sequence[str] = (),  # noqa: A002 - named as on the command line
    scenario: str | None = None,
    effort: str = "full",
) -> Result:
    """Answer a scenario.

    Parameters
    ----------
    source : str, Path, mapping or Scenario
        A file, the id of a shipped scenario, its fields, or a scenario already loaded.
    set : sequence of str, optional
        Changes such as ``training.tokens=15T``.
    scenario : str, optional
        Name of a variant that the file declares.
    effort : str, optional
        ``full``, or ``preview``: a coarser lattice that answers in a tenth of the time and says so in a warning; see
        `simulator.search.efforts`.

    Returns
    -------
    Result
        Where nothing runs, ``feasible`` is false and ``infeasible`` says why, by how much, and what would help.

    Raises
    ------
    SpecError
        If the scenario is wrong.
    UnknownNameError
        If it names something that does not exist; so does an effort.

    Examples
    --------
    >>> result = run({"model": {"num_hidden_layers": 32, "hidden_size": 4096, "num_attention_heads": 32,
    ...                         "intermediate_size": 11008},
    ...               "hardware": {"accelerator": "h100-sxm-80gb", "n_gpus": 64}, "training": {"tokens": "100B"}})
    >>> result.feasible, result.answer["params"]
    (True, 6738415616)
    """
    asked = load_scenario(source, set, scenario)
    notes, how = Notes(), efforts.get("full" if _fixed(asked) else effort)
    question = how.question(question_of(asked, notes))
    if not any(machine.counts for machine in question.machines):
        fewest = min(h.n_gpus for h in asked.hardware if h.n_gpus is not None)
        reason = {"reason": "max_gpus", "text": "n_gpus exceeds budget.max_gpus"}
        reason["smallest_change"] = f"raise budget.max_gpus to {fewest:,}"
        return assembly.nothing(asked, notes, reason, Found())
    if asked.find == "estimate" and len(question.machines) == 1 and not question.objectives:
        return _estimate(asked, question, notes)
    return _search(asked, question, notes, how)


def _fixed(scenario: Scenario) -> bool:
    """Whether the model is given, so that nothing but its layout is searched for: little work."""
    return scenario.find in ("hardware", "estimate") and scenario.model is not None


def _shape(scenario: Scenario) -> transformer.Shape | None:
    return None if scenario.model is None else transformer.shape_of(scenario.model)


# --- estimate -------------------------------------------------------------------------------------------------------


def _estimate(scenario: Scenario, question: Question, notes: Notes) -> Result:
    """One model on given hardware: the fastest layout that fits, or the one that is pinned."""
    shape = _shape(scenario)
    if shape is None:
        raise InfeasibleError("an estimate needs a model")
    growth_answers.annotate_unasked(scenario, notes)
    machine, n_gpus = 0, question.machines[0].counts[0]
    number = question.max_alternatives + 1
    asked, plans, counts = room.layouts(question, machine, n_gpus, shape, number=number)
    tight, _ = choice.layouts(question, machine, n_gpus, shape, number=number)
    infeasible: dict[str, Any] = {}
    if not plans:
        closest = estimate.closest(question, machine, n_gpus, shape)
        infeasible = estimate.why_nothing(question, machine, n_gpus, shape, closest, counts)
        if closest is None:
            return assembly.nothing(scenario, notes, infeasible, Found(counts=counts, shapes_considered=1))
        plans = [closest]
    best = plans[0]
    if not infeasible and room.falls_short(question, best):
        infeasible = shortfalls.shortfall(question, best)
    plans[1:] = [*(plan for plan in tight if plan.worth_s < best.worth_s), *plans[1:]][: number - 1]
    others = [assembly.alternative(question, plan, best, "layout") for plan in plans[1:]]
    found = Found(counts=counts, shapes_considered=1)
    objective = choice.objective_of(question, fixed=True)
    basis = Basis(asked, best, tuple(plans[1:]), objective)
    near = choice.near_layouts(question, best) if infeasible.get("reason") != "memory" else {}
    return assembly.result_of(
        scenario, asked, notes, best, others, found, infeasible=infeasible, basis=basis, near=near
    )


# --- search ---------------------------------------------------------------------------------------------------------


def _search(scenario: Scenario, question: Question, notes: Notes, how: Effort) -> Result:
    """Best plan over shapes, layouts, batches and machines."""
    candidates, fixed = _candidates(scenario, how), _fixed(scenario)
    if len(question.objectives) > 1:
        return _front(scenario, question, notes, candidates, how)
    objective = choice.objective_of(question, fixed=fixed)
    total = Found()
    asked, per_machine = _per_machine(question, candidates, objective, total)
    if how.coarse:
        notes.warn("preview", how.told(total.counts.considered))
    if not per_machine:
        return _nothing(scenario, question, notes, candidates, total)
    per_machine.sort(key=lambda item: choice.rank_key(asked, item[0], objective))
    best, found, choices = per_machine[0]
    lowest = choices.plan(asked, found, 0) if len(choices) else best
    grown = growth_answers.asked_for(
        scenario, asked, notes, candidates, (best, lowest), how, model=_shape(scenario), fixed=fixed
    )
    total.tables = found.tables
    answer = best
    if scenario.find == "growth" and grown is not None and grown.answer.pays:
        answer = growth_answers.followed(asked, grown, notes) or best
    grows = answer is not best
    if grows and grown is not None:
        best = grown.scratch
    others = [assembly.alternative(asked, best, answer, "scratch")] if grows else []
    given = growth_answers.given_alternative(asked, grown, best) if grown is not None and not grows else None
    others += [given] if given is not None else []
    beside = [plan for plan, _, _ in per_machine[1:]]
    others += [assembly.alternative(asked, plan, answer, "hardware") for plan in beside]
    if not how.beside:
        basis = Basis(asked, best, (), objective)
        return assembly.result_of(
            scenario, asked, notes, best, others, total, grown=grown, answer=answer, basis=basis, sure=False
        )
    if not fixed:
        shown = [plan for plan in _architectures(asked, found, choices) if plan != best]
        others += [assembly.alternative(asked, plan, answer, "architecture") for plan in shown]
        beside += shown
    runners, _ = choice.layouts(
        asked, best.machine, best.n_gpus, answer.shape, batch=answer.batch_sequences, number=3
    )
    others += [assembly.alternative(asked, plan, runners[0], "layout") for plan in runners[1:]]
    if not grows:
        beside += [plan for plan in runners[1:] if plan.layout != best.layout]
    return assembly.result_of(
        scenario,
        asked,
        notes,
        best,
        others,
        total,
        choices=None if fixed else choices,
        grown=grown,
        answer=answer,
        basis=Basis(asked, best, tuple(beside), objective),
        near=choice.near_layouts(asked, best) if fixed and not grows else {},
        beside=[plan for plan, _, _ in per_machine],
    )


def _candidates(scenario: Scenario, how: Effort) -> transformer.Shape:
    """The model where it is fixed, else the shapes that are tried."""
    model = _shape(scenario)
    if _fixed(scenario) and model is not None:
        return single(model)
    tried = shapes.candidates(
        template=model,
        hidden_size=scenario.search.hidden_size,
        num_hidden_layers=scenario.search.num_hidden_layers,
    )
    return how.shapes(tried)


def _nothing(
    scenario: Scenario, question: Question, notes: Notes, candidates: transformer.Shape, total: Found
) -> Result:
    """The result where no plan runs: which limit is in the way, else what every shape lacks."""
    reason = relax.why(question, candidates, total.counts)
    reason = reason or estimate.why_no_plan(question, candidates, total.counts)
    return assembly.nothing(scenario, notes, reason, total)


def _architectures(question: Question, found: Found, choices: Pool) -> list[Plan]:
    """The best plans of other shapes on the machine of the best."""
    start = choice.lifetime_first(question, choices)
    places = choice.distinct(choices, question.max_alternatives, start=start)[1:]
    return [choices.plan(question, found, place) for place in places]


def _front(
    scenario: Scenario, question: Question, notes: Notes, candidates: transformer.Shape, how: Effort
) -> Result:
    """The plans that no other beats in all objectives; the answer is the one that gives up least."""
    if scenario.growth is not None and scenario.growth.operator != "none":
        notes.warn(
            "growth", "growth is planned for one objective; the plans of a front are trained from scratch"
        )
    total = Found()
    asked, plans = _fronts(question, candidates, total)
    if how.coarse:
        notes.warn("preview", how.told(total.counts.considered))
    if not plans:
        return _nothing(scenario, question, notes, candidates, total)
    plans = frontier.merge(asked, plans)
    place, records = frontier.knee(asked, plans), frontier.rows(asked, plans)
    shown = frontier.spread(len(plans), asked.max_alternatives + 1, {place})
    best = plans[place]
    others = [
        {
            **assembly.alternative(frontier.held(asked, plans[i]), plans[i], best, "frontier"),
            "mark": records[i]["mark"],
        }
        for i in shown
        if i != place
    ]
    total.tables = []
    held = frontier.held(asked, best)
    return assembly.result_of(
        scenario,
        held,
        notes,
        best,
        others,
        total,
        basis=Basis(held, best, (), asked.objectives[0]),
        sure=False,
        beside=frontier.best_of_machines(asked, plans),
        front=records,
        bound=frontier.binding(asked, plans),
    )


def _fronts(question: Question, candidates: transformer.Shape, total: Found) -> tuple[Question, list[Plan]]:
    """The fronts of all machines, and the question in the memory that their plans may use."""
    tried = []
    for index, machine in enumerate(question.machines):
        if not machine.counts:
            continue

        def attempt(asked: Question, machine: int = index) -> Tried:
            found, plans = frontier.search(asked, candidates, machine=machine)
            return Tried(asked, plans, bool(plans), found)

        tried.append((index, room.search(question, index, attempt)))
        total.merge(tried[-1][1].rest)
    return room.joined(question, tried), [plan for _, each in tried for plan in each.plans]


def _per_machine(
    question: Question, candidates: transformer.Shape, objective: str, total: Found
) -> tuple[Question, list[tuple[Plan, Found, Pool]]]:
    """The best plan of every machine on which something runs, and the question in the memory that plans may use there."""
    tried, out = [], []
    look = _best_plan if question.bounded else _fastest_layout
    for index, machine in enumerate(question.machines):
        if not machine.counts:
            continue

        def attempt(asked: Question, machine: int = index) -> Tried:
            return look(asked, candidates, objective, machine)

        tried.append((index, room.search(question, index, attempt)))
        found, choices = tried[-1][1].rest
        total.merge(found)
        if tried[-1][1].runs:
            out.append((tried[-1][1].plans[0], found, choices))
    return room.joined(question, tried), out


def _best_plan(question: Question, candidates: transformer.Shape, objective: str, machine: int) -> Tried:
    """The best plan on one machine; beside it the smallest model, and one on the most accelerators."""
    found = planner.search(question, candidates, machine=machine)
    choices = choice.pool(question, found, objective=objective)
    if not len(choices):
        return Tried(question, [], False, (found, choices))
    smallest, most = (
        int(np.argmin(choices.columns[name] * sign)) for name, sign in (("params", 1), ("n_gpus", -1))
    )
    places = (choice.lifetime_first(question, choices), smallest, most)
    plans = [choices.plan(question, found, place) for place in dict.fromkeys(places)]
    return Tried(question, plans, True, (found, choices))


def _fastest_layout(question: Question, model: transformer.Shape, objective: str, machine: int) -> Tried:
    """The fastest layout of one model on the most accelerators, where nothing ends the run."""
    n_gpus = max(question.machines[machine].counts)
    plans, counts = choice.layouts(question, machine, n_gpus, scalar_shape(model, 0), number=1)
    nothing = choice.pool(question, Found(), objective=objective)
    return Tried(question, plans, bool(plans), (Found(counts=counts, shapes_considered=1), nothing))


def step_time(model: Any, accelerator: str | Mapping[str, Any], *, n_gpus: int = 1, **settings: Any) -> float:
    """Predict the time of one optimizer step. [s]

    Parameters
    ----------
    model : str or mapping
        Model by id or path, or its fields.
    accelerator : str or mapping
        Accelerator by id, alias or path, or its fields.
    n_gpus : int, optional
        Accelerators. [-]
    **settings
        Fields of ``training`` and ``parallelism``, and ``clock`` and ``software``; what is left out is chosen.

    Raises
    ------
    InfeasibleError
        If no layout runs.

    Examples
    --------
    >>> model = {"num_hidden_layers": 32, "hidden_size": 4096, "num_attention_heads": 32, "intermediate_size": 11008}
    >>> step_time(model, "a100-sxm-80gb", n_gpus=8, micro_batch_size=1, global_batch_size=64, tp=2) > 1
    True
    """
    from simulator.schema import Parallelism

    top: dict[str, Any] = {name: settings.pop(name) for name in ("clock", "software") if name in settings}
    degrees = {name: settings.pop(name) for name in list(settings) if name in Parallelism.model_fields}
    asked: dict[str, Any] = {
        "model": model,
        "hardware": {"accelerator": accelerator, "n_gpus": n_gpus},
        "training": settings,
        "parallelism": degrees,
        **top,
    }
    result = run(asked)
    if not result.feasible:
        raise InfeasibleError(str(result.infeasible.get("text")))
    return float(result.answer["step_time_s"])
