"""A growth answer: what a scenario asks of it, the plan of a whole schedule, and its record."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from simulator import money, scaling, transformer
from simulator.errors import SimulatorError
from simulator.growth import KAPPA, Schedule
from simulator.schema import Scenario
from simulator.search import answer as answers
from simulator.search import explain, growing, growing_laid, growing_stages, quality, required
from simulator.search.efforts import Effort
from simulator.search.growing_sizes import Pins
from simulator.search.notes import Notes
from simulator.search.question import RESOLUTION_NATS, Question
from simulator.search.spread import step_factors
from simulator.search.table import Plan
from simulator.transformer import Shape


def settings_of(scenario: Scenario) -> dict[str, Any]:
    """Operator, stages, token efficiencies and the time of a switch that a scenario asks for."""
    asked = scenario.growth
    operator = asked.operator if asked is not None else "hypercloning"
    kappa = asked.kappa if asked is not None else None
    if isinstance(kappa, float):
        kappas, chosen = {**KAPPA, "given": kappa}, "given"
    else:
        kappas, chosen = dict(KAPPA), kappa or "central"
    switch = asked.switch_time if asked is not None else None
    return {
        "switch_s": growing.SWITCH_S if switch is None else switch,
        "operator": growing.OPERATOR_OF[operator],
        "max_stages": asked.max_stages if asked is not None else 2,
        "kappas": kappas,
        "chosen": chosen,
    }


def asked_for(
    scenario: Scenario,
    question: Question,
    notes: Notes,
    candidates: Shape,
    scratch: tuple[Plan, Plan],
    how: Effort,
    *,
    model: Shape | None,
    fixed: bool,
) -> growing.Grown | None:
    """Schedules that grow a model, where the scenario asks for them.

    Parameters
    ----------
    scenario, question, notes
        What is asked, and where to say why nothing is grown.
    candidates : Shape
        Shapes that a search without growth tries.
    scratch : (Plan, Plan)
        ``best`` and ``lowest`` of `planned`.
    how : Effort
        How much is tried.
    model : Shape, optional
        The scenario's model.
    fixed : bool
        Whether just this model is asked about.
    """
    asked = scenario.growth
    if (asked is None and scenario.find != "growth") or (asked is not None and asked.operator == "none"):
        return None
    if question.fixed:
        notes.warn("growth", "growth is planned for a limit on time or money; leave out training.tokens")
        return None
    grown = planned(
        question,
        candidates,
        *scratch,
        given=given_model(scenario, question, notes),
        pins=pins_of(scenario, fixed=fixed),
        template=model,
        effort=how,
        **settings_of(scenario),
    )
    if isinstance(grown, str):
        notes.warn("growth", grown)
        return None
    return grown


def given_model(scenario: Scenario, question: Question, notes: Notes) -> growing.Given | None:
    """A model that already exists, with the tokens it was trained on; says why one is left out."""
    asked = scenario.growth
    if asked is None or asked.source_model is None:
        return None
    shape, name = transformer.shape_of(asked.source_model), asked.source_model.label
    if asked.source_loss is not None:
        params = float(transformer.active_parameters(shape))
        try:
            tokens = float(scaling.tokens_for_loss(question.learning.law, params, asked.source_loss))
        except SimulatorError as error:
            notes.warn("growth", str(error))
            return None
        if np.isfinite(tokens):
            return growing.Given(name, shape, tokens, asked.source_loss)
        notes.warn(
            "growth",
            f"under {question.learning.law_name} a model of this size never reaches {asked.source_loss:g} nats",
        )
        if asked.source_tokens is None:
            return None
    if asked.source_tokens is not None:
        return growing.Given(name, shape, asked.source_tokens)
    notes.warn("growth", "growth.source_model needs source_tokens or source_loss; it is left out")
    return None


def pins_of(scenario: Scenario, *, fixed: bool) -> Pins:
    """Widths and depths that a grown model must have: those of the model where it is fixed, else those of `search`."""
    model = scenario.model
    if fixed and model is not None:
        shape = transformer.shape_of(model)
        return Pins((int(shape.hidden_size),), (int(shape.num_hidden_layers),))
    return Pins(scenario.search.hidden_size, scenario.search.num_hidden_layers)


def planned(
    question: Question, candidates: Shape, best: Plan, lowest: Plan, **how: Any
) -> growing.Grown | str:
    """Schedules beside the run from scratch that they must beat, or why there are none.

    Parameters
    ----------
    question, candidates, how
        As `growing.search` takes them.
    best, lowest : Plan
        The run from scratch that is the answer without growth, and the one of lowest loss; with inference, among equal losses, the
        first is the one that costs least over its life.

    Notes
    -----
    A schedule is held against the lowest loss first. Where it does not beat that by more than the laws can resolve, it is one
    among equals, of which the cheapest over its life is the answer: only schedules count that serve at no higher cost than `best`,
    and no run from scratch that does so has a lower loss than `best`.
    """
    grown = growing.search(question, candidates, lowest, **how)
    same = growing_laid.active(lowest.shape) <= growing_laid.active(best.shape) * (1 + growing_laid.SAME)
    if same or isinstance(grown, str):
        return grown
    if grown.answer.pays and grown.answer.best.loss + RESOLUTION_NATS < lowest.columns["loss"]:
        return grown
    return growing.search(question, candidates, best, frugal=True, **how)


def unfit(question: Question, plan: Plan) -> str:
    """Why a schedule that pays is not the answer: a requirement that it misses; empty if it meets all."""
    missed = [
        required.words(q)
        for q in question.qualities
        if not quality.of_plan(q, question.learning, plan) <= q.limit * (1 + quality.ROUNDING)
    ]
    missed += [] if plan.columns["quick"] else ["inference.latency"]
    return f"growth would pay, but what it ends in misses {' and '.join(missed)}" if missed else ""


def followed(question: Question, grown: growing.Grown, notes: Notes) -> Plan | None:
    """The schedule that pays as the answer; ``None``, and a warning, where it misses a requirement."""
    plan = plan_of(question, grown)
    reason = unfit(question, plan)
    if reason:
        notes.warn("growth", reason)
    return None if reason else plan


def annotate_unasked(scenario: Scenario, notes: Notes) -> None:
    """Say where a scenario describes growth and asks for a plan that does not grow."""
    if scenario.growth is not None and scenario.growth.operator != "none":
        notes.warn(
            "growth",
            "the growth block is left out: an estimate is of one model; write find: growth, or find: architecture, to plan growth",
        )


def plan_of(question: Question, grown: growing.Grown, schedule: Schedule | None = None) -> Plan:
    """The last model of a schedule, the best one if none is named, with tokens, time, money and loss of the whole run.

    ``worth_tokens`` are the tokens from scratch, in a batch that costs none, that the last model is trained as far as;
    ``worth_per_token`` of them come with each further token.
    """
    schedule = schedule or grown.answer.best
    plans = growing_stages.stage_plans(question, grown, schedule)
    last, machine = plans[-1], question.machines[grown.machine]
    wall = schedule.cost / question.goodput_of(last.n_gpus, machine)
    hours = float(money.gpu_hours(n_gpus=last.n_gpus, seconds=wall))
    price = float("nan") if machine.usd_per_gpu_hour is None else machine.usd_per_gpu_hour
    power = float("nan") if machine.power_per_gpu_w is None else machine.power_per_gpu_w
    pairs = list(zip(schedule.stages, plans, strict=True))
    tokens = [stage.tokens / growing_stages.token_worth(stage, plan) for stage, plan in pairs]
    columns = {
        "tokens": float(sum(tokens)),
        "steps": sum(seen / plan.batch_tokens for seen, plan in zip(tokens, plans, strict=True)),
        "wall_s": wall,
        "useful_s": schedule.cost,
        "gpu_hours": hours,
        "cost_usd": hours * price,
        "energy_j": hours * 3600.0 * power,
        "loss": schedule.loss,
        "runs": 1.0,
        "worth_tokens": schedule.stages[-1].credit_tokens
        + schedule.stages[-1].kappa * schedule.stages[-1].tokens,
        "worth_per_token": schedule.stages[-1].kappa * growing_stages.token_worth(*pairs[-1]),
    }
    return replace(last, columns={**last.columns, **columns})


def record_of(question: Question, plan: Plan) -> dict[str, Any]:
    """The record of a run that grows; the interval of its loss is that of the law alone."""
    record = answers.describe(question, plan, factors=step_factors(question, plan))
    loss, error = plan.columns["loss"], answers.law_error(question, plan)
    record["interval"]["loss"] = [loss * (1 - error), loss * (1 + error)]
    return record


def given_alternative(question: Question, grown: growing.Grown, best: Plan) -> dict[str, Any] | None:
    """The best schedule that grows a given model, as an alternative to training `best` from scratch."""
    given, schedule = grown.given, grown.answer.grown
    if given is None or schedule is None:
        return None
    plan = plan_of(question, grown, schedule)
    record = record_of(question, plan)
    kept = {k: v for k, v in record.items() if not isinstance(v, dict)} | {"interval": record["interval"]}
    why = f"{given.name} grown; {explain.why_shape_lost(question, plan, best)}"
    return {"kind": "growth", "why": why, **kept}
