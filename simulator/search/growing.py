"""Growth inside a search: sizes that an operator links, each with its own fastest layout, and the best schedule."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator import goodput, growth, scaling
from simulator.growth import GrowthAnswer, GrowthPlan, SunkSource
from simulator.growth import operators as operators_of
from simulator.growth.planning import MAX_STAGES
from simulator.search import evaluate, growing_laid, growing_stages, lattice, planner
from simulator.search import growing_sizes as of
from simulator.search import question as questions
from simulator.search.efforts import EFFORTS, Effort
from simulator.search.growing_laid import Laid
from simulator.search.growing_sizes import FACTOR, Pins
from simulator.search.question import Machine, Question
from simulator.search.table import Plan
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
class Grown:
    """Schedules for every assumption, and what is needed to describe them."""

    plan: GrowthPlan
    laid: Laid
    machine: int
    budget_s: float
    chosen: str
    """Name of the assumption that the answer follows."""
    scratch: Plan
    """The run from scratch that schedules are compared with: no other under the same limits has a lower loss."""
    frugal: bool = False
    """Schedules, and the runs from scratch that they are compared with, are those that serve at no higher cost than `scratch`."""
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
    frugal: bool = False,
) -> Grown | str:
    """Find the best schedules on the machine and the number of accelerators of a plan.

    Parameters
    ----------
    question : Question
        What is asked; a limit must end the run.
    candidates : Shape
        Shapes that a search without growth tries.
    best : Plan
        The run from scratch of lowest loss, which every schedule is compared with; a better one in a shape that growth ends in
        takes its place.
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
    frugal : bool, optional
        End in no model that serves at a higher cost than `best`.

    Returns
    -------
    Grown or str
        The reason, where no schedule can be planned.
    """
    machine, law = question.machines[best.machine], scaling.get(question.learning.law)
    cap = _cap(question, best)
    budget = cap * question.goodput_of(best.n_gpus, machine)
    reason = _unplanned(question, best, budget, 0.0 if given is not None else switch_s)
    if reason:
        return reason
    stages, most = min(max_stages, MAX_STAGES), growing_laid.active(best.shape) if frugal else np.inf
    sizes = (
        _fresh(question, candidates, best, operator, stages, pins, template, cap, effort)
        if given is None
        else of.family(given.shape, operator, stages)
    )
    sizes = of.unique(of.concatenate([of.as_columns(one) for one in (sizes, best.shape)]))
    laid = growing_laid.lay(question, machine, best.n_gpus, sizes, budget)
    alone = of.index_of(laid.shapes, best.shape)
    source = None if given is None else of.index_of(laid.shapes, given.shape)
    ends = growing_laid.ends(question, laid, machine, pins, cap=cap, most=most)
    reason = _unlinked(
        laid.shapes, ends, given, source, operator, pins, frugal=frugal, timed=question.service is not None
    )
    if reason or alone is None:
        return reason or "no growth: the best run from scratch has no layout to compare with"
    better = growing_laid.best_alone(question, laid, best.machine, ends, best)
    how: dict[str, Any] = {"operator": operator, "kappas": kappas, "max_stages": stages}
    if better is not None:
        how |= {"chosen": chosen, "given": given, "pins": pins, "template": template, "effort": effort}
        return search(question, candidates, better, switch_s=switch_s, frugal=frugal, **how)
    terms: dict[str, Any] = {name: float(law.terms[name]) for name in ("E", "A", "alpha", "B", "beta")}
    plan = growth.plan(
        **how,
        shapes=laid.shapes,
        params=evaluate.active_parameters(laid.shapes),
        factors=(FACTOR,),
        levels=effort.growth_levels,
        seconds_per_token=laid.seconds,
        budget_s=budget,
        reload_s=switch_s,
        floors=growing_laid.floors(question, laid, law.terms),
        sunk_source=None if given is None or source is None else SunkSource(size=source, tokens=given.tokens),
        ends=ends,
        alone=alone,
        **terms,
    )
    grown = Grown(plan, laid, best.machine, budget, chosen, best, frugal, given, switch_s)
    return _repeating(question, grown) or grown


def _cap(question: Question, best: Plan) -> float:
    """Wall-clock time that the limits leave a run that is served as a plan is. [s]"""
    machine = question.machines[best.machine]
    active = np.asarray(growing_laid.active(best.shape))
    return float(questions.wall_limit_s(question, machine, best.n_gpus, active, question.limits)[0])


def _unplanned(question: Question, best: Plan, budget_s: float, switch_s: float) -> str:
    """Why no schedule is planned for a question, if none is."""
    law, unique = scaling.get(question.learning.law), question.learning.unique_tokens
    if not law.terms:
        return unpriced(law.name)
    if question.objectives not in ((), ("loss",)):
        return "growth is planned for the lowest loss; leave out objective"
    if not np.isfinite(budget_s):
        return "growth is planned for a limit on time or money; none ends this run"
    if unique is not None and best.columns["tokens"] > unique:
        return unjudged("the run from scratch of lowest loss", best.columns["tokens"] / unique)
    return no_time_to_switch(switch_s, budget_s) if budget_s <= switch_s else ""


def unjudged(what: str, epochs: float) -> str:
    """Why nothing is grown where data are repeated.

    Examples
    --------
    >>> unjudged("the run from scratch", 18.3)[:77]
    'growth is not judged on repeated data: the run from scratch sees the distinct'
    """
    return (
        f"growth is not judged on repeated data: {what} sees the distinct tokens {_times(epochs)} times, and kappa and the credit of "
        "a source are known from fresh tokens only"
    )


def _times(count: float) -> str:
    """How many times, with two digits and no power of ten.

    Examples
    --------
    >>> _times(1.25), _times(18.3), _times(1130.2)
    ('1.2', '18', '1,100')
    """
    return f"{float(f'{count:.2g}'):,g}"


def _repeating(question: Question, grown: Grown) -> str:
    """Why schedules are not judged that need more than the distinct tokens."""
    unique = question.learning.unique_tokens
    found = [answer.grown for answer in grown.plan.answers.values() if answer.grown is not None]
    if unique is None or not found:
        return ""
    seen = max(sum(growing_stages.tokens_seen(question, grown, schedule)) for schedule in found)
    return unjudged("the best schedule", seen / unique) if seen > unique else ""


def _fresh(
    question: Question,
    candidates: Shape,
    best: Plan,
    operator: str,
    stages: int,
    pins: Pins,
    template: Shape | None,
    cap: float,
    effort: Effort,
) -> Shape:
    """Sizes of schedules that start from new weights."""
    machine = question.machines[best.machine]
    first = of.starts(candidates, pins, template=template, operator=operator, stages=stages)
    sizes = of.linked(first, operator=operator, stages=stages, around=_around(best))
    kept = growing_laid.servable(question, machine, best.n_gpus, sizes, cap)
    sizes = lattice.take(sizes, np.flatnonzero(kept))
    return _promising(question, machine, best.n_gpus, sizes, operator, pins, effort.growth_targets)


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


def _unlinked(
    sizes: Shape,
    ends: NDArray[np.bool_],
    given: Given | None,
    source: int | None,
    operator: str,
    pins: Pins,
    *,
    frugal: bool,
    timed: bool,
) -> str:
    """Why there is nothing to grow, if there is not."""
    _, target = operators_of.links(sizes, operator=operator, factors=(FACTOR,))
    low, high = lattice.ASPECTS
    asked = f" and is {low:g} to {high:g} times as wide as deep"
    asked = " and has the width and depth that are asked for" if pins.given else asked
    asked += ", and answers in time" if timed else ""
    asked += ", and serves at no higher cost than the run from scratch" if frugal else ""
    if given is not None and source is None:
        return f"no growth: {given.name} itself has no layout that runs here"
    if np.any(ends[target]) or (source is not None and ends[source]):
        return ""
    if given is not None:
        return f"no growth: nothing that {given.name} grows into fits{asked}"
    return f"no growth: no two sizes are linked by the operator where the larger one fits{asked}"


def _around(best: Plan) -> Array:
    return np.array([best.params, LARGEST_TARGET * best.params])


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
