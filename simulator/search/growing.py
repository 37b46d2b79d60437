"""Growth inside a search: sizes that an operator links, each with its own fastest layout, and the best schedule."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator import goodput, growth, scaling, transformer
from simulator.growth import GrowthAnswer, GrowthPlan, SunkSource
from simulator.growth import operators as operators_of
from simulator.growth.planning import MAX_STAGES
from simulator.scaling import batch, learning_rate
from simulator.search import evaluate, lattice, planner
from simulator.search import growing_sizes as of
from simulator.search import question as questions
from simulator.search.efforts import EFFORTS, Effort
from simulator.search.evaluate import Counts
from simulator.search.growing_sizes import FACTOR, Pins
from simulator.search.lattice import Axes
from simulator.search.question import REFERENCE_BATCH_LAW, Machine, Question
from simulator.search.table import Plan, plan_of, scalar_shape
from simulator.transformer import Shape
from simulator.units import format_quantity

Array = NDArray[np.float64]

OPERATOR_OF = {"hypercloning": "hypercloning", "stacking": "g_stack"}
"""Operators of scenarios to those of `simulator.growth`."""

LARGEST_TARGET = 4
"""Largest model that growth may end in, relative to the best run from scratch. [-]"""

SWITCH_S = goodput.LLAMA3_LOST_S
"""Time that a switch stops training where the scenario does not say: what one interruption of Llama 3's run cost at most. [s]"""


@dataclass(frozen=True)
class Given:
    """A model that already exists."""

    name: str
    shape: Shape
    tokens: float
    """Tokens that it was trained on, or that the law says it takes to reach its loss. [tokens]"""
    loss: float | None = None
    """Loss that it reached, where that was said. [nats/token]"""


@dataclass(frozen=True)
class Laid:
    """Sizes that run, each in its own fastest layout."""

    shapes: Shape
    axes: Axes
    fastest: evaluate.Fastest
    batch: NDArray[np.intp]
    """Best batch of every size, as an index."""
    seconds: Array
    """Time of a token that is worth one at the law's own batch, for every size. [s]"""


@dataclass(frozen=True)
class Grown:
    """Schedules for every assumption, and what is needed to describe them."""

    plan: GrowthPlan
    laid: Laid
    machine: int
    budget_s: float
    chosen: str
    """Name of the assumption that the answer follows."""
    given: Given | None = None
    """The model that every schedule starts from."""
    switch_s: float = SWITCH_S
    """Time that a switch stops training. [s]"""

    @property
    def answer(self) -> GrowthAnswer:
        """The schedule under the chosen assumption."""
        return self.plan.answers[self.chosen]


def search(
    question: Question,
    candidates: Shape,
    best: Plan,
    *,
    operator: str,
    max_stages: int,
    kappas: Mapping[str, float],
    chosen: str,
    given: Given | None = None,
    pins: Pins = Pins(),  # noqa: B008 - frozen
    template: Shape | None = None,
    effort: Effort = EFFORTS["full"],
    switch_s: float = SWITCH_S,
) -> Grown | str:
    """Find the best schedules on the machine and the number of accelerators of a plan.

    Parameters
    ----------
    question : Question
        What is asked; a limit must end the run.
    candidates : Shape
        Shapes that a search without growth tries.
    best : Plan
        The best run from scratch, which every schedule is compared with.
    operator, max_stages, kappas, chosen
        Operator, stages of training at most, token efficiencies by name, and the name that the answer follows.
    given : Given, optional
        A model that already exists: every schedule starts from it.
    pins : Pins, optional
        Widths and depths that the last model must have.
    template : Shape, optional
        The family of the models.
    effort : Effort, optional
        How many targets, and how many points at which to switch.
    switch_s : float, optional
        Time that a switch stops training. [s]

    Returns
    -------
    Grown or str
        The reason, where no schedule can be planned.
    """
    law = scaling.get(question.learning.law)
    machine = question.machines[best.machine]
    active = np.asarray(transformer.active_parameters(best.shape), dtype=float)
    cap, _ = questions.wall_limit_s(question, machine, best.n_gpus, active, question.limits)
    if not law.terms:
        return unpriced(law.name)
    if question.objectives not in ((), ("loss",)):
        return "growth is planned for the lowest loss; leave out objective"
    if not np.isfinite(cap):
        return "growth is planned for a limit on time or money; none ends this run"
    budget = float(cap) * question.goodput_of(best.n_gpus, machine)
    if given is None and budget <= switch_s:
        return no_time_to_switch(switch_s, budget)
    stages = min(max_stages, MAX_STAGES)
    if given is None:
        first = of.starts(candidates, pins, template=template, operator=operator, stages=stages)
        sizes = of.linked(first, operator=operator, stages=stages, around=_around(best))
        sizes = _servable(question, machine, best.n_gpus, sizes, cap)
        sizes = _promising(question, machine, best.n_gpus, sizes, operator, pins, effort.growth_targets)
    else:
        sizes = _servable(question, machine, best.n_gpus, of.family(given.shape, operator, stages), cap)
    sizes = of.unique(of.concatenate([of.as_columns(one) for one in (sizes, best.shape)]))
    laid = _laid(question, machine, best, sizes)
    alone = of.index_of(laid.shapes, best.shape)
    source = None if given is None else of.index_of(laid.shapes, given.shape)
    reason = _unlinked(laid.shapes, given, source, operator, pins)
    if reason or alone is None:
        return reason or "no growth: the best run from scratch has no layout to compare with"
    plan = growth.plan(
        shapes=laid.shapes,
        params=evaluate.active_parameters(laid.shapes),
        operator=operator,
        factors=(FACTOR,),
        kappas=kappas,
        levels=effort.growth_levels,
        max_stages=stages,
        seconds_per_token=laid.seconds,
        budget_s=budget,
        reload_s=switch_s,
        floors=_floors(question, laid.shapes, law.terms, best.columns["tokens"]),
        sunk_source=None if given is None or source is None else SunkSource(size=source, tokens=given.tokens),
        ends=pins.keep(laid.shapes),
        alone=alone,
        **{name: float(law.terms[name]) for name in ("E", "A", "alpha", "B", "beta")},
    )
    return Grown(plan, laid, best.machine, budget, chosen, given, switch_s)


def no_time_to_switch(switch_s: float, budget_s: float) -> str:
    """Why nothing is grown in a run that is shorter than one switch.

    Examples
    --------
    >>> no_time_to_switch(1029.0, 600.0)
    'no growth: a switch is taken to stop training for 17 min, and the whole run is 10 min; growth.switch_time sets it'
    """
    stop, run = (format_quantity(value, "second", digits=2) for value in (switch_s, budget_s))
    return f"no growth: a switch is taken to stop training for {stop}, and the whole run is {run}; growth.switch_time sets it"


def unpriced(law: str) -> str:
    """Why growth has no price under a law, and the laws under which it has one."""
    able = [one.name for one in scaling.laws.values() if one.terms and one.name != scaling.DEFAULT]
    return (
        f"growth cannot be priced under {law}: its loss is no sum of a term in parameters and one in tokens, which the "
        f"credit of a source needs; {scaling.DEFAULT} (the default), {', '.join(able[:3])} and {len(able) - 3} other laws can"
    )


def _laid(question: Question, machine: Machine, best: Plan, sizes: Shape) -> Laid:
    """The sizes that run on the machine and the number of accelerators of a plan."""
    axes = planner.axes_for(question, machine, best.n_gpus, sizes)
    fastest = evaluate.fastest(sizes, axes, machine.setting, Counts())
    batch_tokens = axes.global_batch_size * axes.seq_length
    factor = question.learning.batch_factor(tokens=best.columns["tokens"], batch_tokens=batch_tokens)
    worth = fastest.step_time_s / (batch_tokens * factor)
    runs = np.isfinite(np.min(worth, axis=1))
    kept = evaluate.Fastest(*(getattr(fastest, f.name)[runs] for f in fields(fastest)))
    worth = worth[runs]
    return Laid(
        lattice.take(sizes, np.flatnonzero(runs)),
        axes,
        kept,
        np.argmin(worth, axis=1),
        np.min(worth, axis=1),
    )


def _unlinked(sizes: Shape, given: Given | None, source: int | None, operator: str, pins: Pins) -> str:
    """Why there is nothing to grow, if there is not."""
    _, target = operators_of.links(sizes, operator=operator, factors=(FACTOR,))
    low, high = lattice.ASPECTS
    asked = f" and is {low:g} to {high:g} times as wide as deep"
    asked = " and has the width and depth that are asked for" if pins.given else asked
    ends = pins.keep(sizes)
    if given is not None and source is None:
        return f"no growth: {given.name} itself has no layout that runs here"
    if np.any(ends[target]) or (source is not None and ends[source]):
        return ""
    if given is not None:
        return f"no growth: nothing that {given.name} grows into fits{asked}"
    return f"no growth: no two sizes are linked by the operator where the larger one fits{asked}"


def _around(best: Plan) -> Array:
    return np.array([best.params, LARGEST_TARGET * best.params])


def _servable(question: Question, machine: Machine, n_gpus: int, sizes: Shape, cap: Any) -> Shape:
    """Sizes whose own serving leaves the run at least this much time: a limit on cost covers serving too. [s]

    A larger model, which serves at a higher cost, would have to train for less; it is left out rather than planned for.
    """
    own, _ = questions.wall_limit_s(
        question, machine, n_gpus, evaluate.active_parameters(sizes), question.limits
    )
    return lattice.take(sizes, np.flatnonzero(own >= float(cap) * (1 - 1e-9)))


def _floors(question: Question, sizes: Shape, terms: Mapping[str, float], tokens: float) -> Array:
    """Loss of every size on unlimited data: what the question's laws say at the tokens of the scratch run, less the data term.

    So a schedule of one stage ends at the loss that the search predicts for the same run. [nats/token]
    """
    column = np.asarray(tokens, dtype=float)
    loss = question.learning.loss(sizes, tokens=column)
    return np.asarray(loss - terms["B"] * column ** -terms["beta"], dtype=float)


def _promising(
    question: Question, machine: Machine, n_gpus: int, sizes: Shape, operator: str, pins: Pins, targets: int
) -> Shape:
    """Targets with the lowest bounds on their loss, and all that they may grow from."""
    source, target = operators_of.links(sizes, operator=operator, factors=(FACTOR,))
    ends = set(target[pins.keep(sizes)[target]].tolist()) if target.size else set()
    if not ends:
        return lattice.take(sizes, np.array([], dtype=np.intp))
    front = planner.front(question, machine, n_gpus, sizes)
    ranked = [i for i in front.order.tolist() if i in ends][:targets]
    kept, fresh = set(ranked), set(ranked)
    while fresh:
        fresh = {int(s) for s, t in zip(source, target, strict=True) if int(t) in fresh} - kept
        kept |= fresh
    return lattice.take(sizes, np.array(sorted(kept), dtype=np.intp))


def stage_plans(question: Question, grown: Grown, schedule: growth.Schedule) -> list[Plan]:
    """The plan of every stage: its shape in its own fastest layout."""
    out = []
    for stage in schedule.stages:
        batch = int(grown.laid.batch[stage.size])
        layout = evaluate.layout_at(
            grown.laid.axes,
            int(grown.laid.fastest.kernel[stage.size, batch]),
            int(grown.laid.fastest.spread[stage.size, batch]),
            batch,
        )
        shape = scalar_shape(grown.laid.shapes, stage.size)
        seconds = float(grown.laid.fastest.step_time_s[stage.size, batch])
        out.append(plan_of(question, grown.machine, grown.laid.axes.n_gpus, shape, layout, seconds))
    return out


def token_worth(stage: growth.Stage, plan: Plan) -> float:
    """Tokens of the schedule that a token of a stage is worth: less than one where its batch costs tokens. [-]"""
    seen = (stage.cost - stage.switch_cost) / plan.step_time_s * plan.batch_tokens
    return min(1.0, round(stage.tokens / seen, 12)) if stage.tokens else 1.0


def advice(shape: Shape, *, tokens: float) -> dict[str, float]:
    """Peak learning rate and batch that a law recommends for a stage, its credit counted as tokens seen.

    `question.REFERENCE_BATCH_LAW` gives both: they were fitted together. A grown model starts from the rate of its new
    size, after a short warm-up; growing at the source's higher rate loses part of the credit (docs/experiment.md).
    """
    rate = learning_rate.recommended_learning_rate(
        law=REFERENCE_BATCH_LAW, params=transformer.non_embedding_parameters(shape), tokens=tokens
    )
    size = batch.recommended_batch_tokens(law=REFERENCE_BATCH_LAW, tokens=tokens)
    return {"peak_learning_rate": float(rate), "recommended_batch_tokens": float(size)}


def describe_stages(question: Question, grown: Grown, schedule: growth.Schedule) -> list[dict[str, Any]]:
    """Every stage as a flat record; a given model that is grown at once is stage zero."""
    from simulator.search.answer import DAY, whole

    share, records = question.goodput_of(grown.laid.axes.n_gpus, question.machines[grown.machine]), []
    machine = question.machines[grown.machine]
    first = 0 if grown.given is not None and not schedule.stages[0].tokens else 1
    for number, (stage, plan) in enumerate(
        zip(schedule.stages, stage_plans(question, grown, schedule), strict=True), first
    ):
        wall = stage.cost / share
        hours, worth = wall / 3600 * plan.n_gpus, token_worth(stage, plan)
        x, s = plan.layout, plan.shape
        names = (
            "num_hidden_layers",
            "hidden_size",
            "intermediate_size",
            "num_attention_heads",
            "num_key_value_heads",
        )
        records.append(
            {
                "stage": number,
                "params": whole(plan.params),
                **{name: whole(getattr(s, name)) for name in names},
                **{
                    name: whole(getattr(x, name))
                    for name in ("tp", "pp", "dp", "cp", "ep", "vp", "micro_batch_size")
                },
                "global_batch_size": whole(plan.batch_sequences),
                "step_time_s": plan.step_time_s,
                "tokens": stage.tokens / worth,
                **({"batch_factor": worth} if worth < 1 else {}),
                "time_days": wall / DAY,
                "switch_days": stage.switch_cost / share / DAY,
                "gpu_hours": hours,
                "cost_usd": None if machine.usd_per_gpu_hour is None else hours * machine.usd_per_gpu_hour,
                "loss_start": stage.loss_start if np.isfinite(stage.loss_start) else None,
                "loss_end": stage.loss_end,
                "credit_tokens": stage.credit_tokens,
                "kappa": stage.kappa,
                **advice(plan.shape, tokens=stage.credit_tokens + stage.tokens),
            }
        )
    return records


def report(question: Question, grown: Grown) -> dict[str, Any]:
    """Growth against scratch for every assumption, as plain data."""
    cases = {}
    for name, answer in grown.plan.answers.items():
        best = answer.grown
        cases[name] = {
            "kappa": answer.kappa,
            "pays": bool(answer.pays),
            "loss": None if best is None else best.loss,
            "loss_scratch": answer.scratch.loss,
            "loss_gain": answer.loss_gain if np.isfinite(answer.loss_gain) else None,
            "saving": answer.saving if np.isfinite(answer.saving) else None,
            "break_even_kappa": answer.break_even_kappa if np.isfinite(answer.break_even_kappa) else None,
            "stages": [] if best is None else describe_stages(question, grown, best),
            "verdict": answer.verdict,
        }
    given = grown.given
    told = {} if given is None else {"name": given.name, "tokens": given.tokens, "loss": given.loss}
    return {
        **({"given": told} if told else {}),
        "operator": grown.plan.operator,
        "follows": grown.chosen,
        "cases": cases,
        "verdict": grown.plan.verdict,
    }
