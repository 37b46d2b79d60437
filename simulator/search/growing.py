"""Growth inside a search: sizes that an operator links, each with its own fastest layout, and the best schedule."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator import goodput, growth, scaling, transformer
from simulator.growth import GrowthAnswer, GrowthPlan, SunkSource
from simulator.growth import operators as operators_of
from simulator.scaling import batch, learning_rate
from simulator.search import evaluate, lattice, planner
from simulator.search import question as questions
from simulator.search.efforts import EFFORTS, Effort
from simulator.search.evaluate import Counts
from simulator.search.lattice import Axes
from simulator.search.question import REFERENCE_BATCH_LAW, Machine, Question
from simulator.search.table import Plan, plan_of, scalar_shape
from simulator.transformer import Shape

Array = NDArray[np.float64]

OPERATOR_OF = {"hypercloning": "hypercloning", "stacking": "g_stack"}
"""Operators of scenarios to those of `simulator.growth`."""

FACTOR = 2
"""Growth factor of one switch. [-]"""

SMALLEST_SOURCE = 1 / 64
"""Smallest source relative to the largest model that is considered. [-]"""

SWITCH_S = goodput.LLAMA3_LOST_S
"""Time that a switch stops training: what one interruption of Llama 3's run cost at most. [s]"""


@dataclass(frozen=True)
class Grown:
    """Schedules for every assumption, and what is needed to describe them."""

    plan: GrowthPlan
    shapes: Shape
    axes: Axes
    fastest: evaluate.Fastest
    batch: NDArray[np.intp]
    """Best batch of every size, as an index."""
    machine: int
    budget_s: float
    chosen: str
    """Name of the assumption that the answer follows."""

    @property
    def answer(self) -> GrowthAnswer:
        """The schedule under the chosen assumption."""
        return self.plan.answers[self.chosen]


def linked(candidates: Shape, *, operator: str, stages: int, around: Array) -> Shape:
    """Sources, and what the operator makes of them in up to `stages` - 1 switches, as one lattice.

    Parameters
    ----------
    candidates : Shape
        Shapes that a run may start from.
    operator : str
        Name of a growth operator.
    stages : int
        Models trained in turn at most.
    around : array
        Smallest and largest size wanted. [parameters]
    """
    grow = operators_of.get(operator).grow
    generation, found = candidates, [candidates]
    for _ in range(stages - 1):
        generation = grow(generation, factor=FACTOR)
        found.append(generation)
    union = concatenate(found)
    size = evaluate.parameters(union)
    keep = (size >= around[0] * SMALLEST_SOURCE) & (size <= around[1])
    return unique(lattice.take(union, np.flatnonzero(keep)))


def concatenate(parts: list[Shape]) -> Shape:
    """Several lattices of shapes as one."""
    values = {}
    for f in fields(Shape):
        columns = [np.asarray(getattr(part, f.name), dtype=float) for part in parts]
        if all(c.ndim == 0 for c in columns) and len({float(c) for c in columns}) == 1:
            values[f.name] = getattr(parts[0], f.name)
        else:
            sizes = [lattice.count(part) for part in parts]
            values[f.name] = np.concatenate(
                [np.broadcast_to(c, (n,)) for c, n in zip(columns, sizes, strict=True)]
            )
    return Shape(**values)


def unique(shape: Shape) -> Shape:
    """Shapes without repetition, in order of first appearance."""
    number = lattice.count(shape)
    rows = np.stack(
        [np.broadcast_to(np.asarray(getattr(shape, f.name), dtype=float), (number,)) for f in fields(shape)],
        axis=1,
    )
    _, first = np.unique(rows, axis=0, return_index=True)
    return lattice.take(shape, np.sort(first))


def search(
    question: Question,
    candidates: Shape,
    best: Plan,
    *,
    operator: str,
    max_stages: int,
    kappas: dict[str, float],
    chosen: str,
    sunk: tuple[Shape, float] | None = None,
    effort: Effort = EFFORTS["full"],
) -> Grown | None:
    """Find the best schedules on the machine and the number of accelerators of a plan.

    Parameters
    ----------
    question : Question
        What is asked; a limit must end the run.
    candidates : Shape
        Shapes that a run may start from.
    best : Plan
        The best run from scratch.
    operator, max_stages, kappas, chosen
        Operator, stages at most, token efficiencies by name, and the name that the answer follows.
    sunk : (Shape, float), optional
        A model that already exists, and the tokens it was trained on.
    effort : Effort, optional
        How many targets, and how many points at which to switch.

    Returns
    -------
    Grown or None
        ``None`` if no pair of sizes is linked, or the law has no closed form.
    """
    law = scaling.get(question.learning.law)
    machine = question.machines[best.machine]
    cap, _ = questions.wall_limit_s(question, machine, best.n_gpus, np.asarray(best.params), question.limits)
    if not law.terms or not np.isfinite(cap):
        return None
    if sunk is not None:
        sizes = unique(
            concatenate(
                [_columns(sunk[0]), *(_columns(s) for s in _grown_from(sunk[0], operator, max_stages))]
            )
        )
    else:
        sizes = linked(
            candidates, operator=operator, stages=max_stages, around=np.array([best.params, 4 * best.params])
        )
        sizes = _servable(question, machine, best.n_gpus, sizes, cap)
        sizes = _promising(question, machine, best.n_gpus, sizes, operator, effort.growth_targets)
    if lattice.count(sizes) < 2:
        return None
    axes = planner.axes_for(question, machine, best.n_gpus, sizes)
    fastest = evaluate.fastest(sizes, axes, machine.setting, Counts())
    tokens = best.columns["tokens"]
    worth = fastest.step_time_s / (
        axes.global_batch_size
        * axes.seq_length
        * question.learning.batch_factor(tokens=tokens, batch_tokens=axes.global_batch_size * axes.seq_length)
    )
    batch = np.argmin(worth, axis=1)
    seconds = np.min(worth, axis=1)
    runs = np.isfinite(seconds)
    sizes, batch, seconds = lattice.take(sizes, np.flatnonzero(runs)), batch[runs], seconds[runs]
    kept = evaluate.Fastest(*(getattr(fastest, f.name)[runs] for f in fields(fastest)))
    budget = float(cap) * question.goodput_of(best.n_gpus, machine)
    params = evaluate.active_parameters(sizes)
    problem: dict[str, Any] = {
        **{name: float(law.terms[name]) for name in ("E", "A", "alpha", "B", "beta")},
        "seconds_per_token": seconds,
        "budget_s": budget,
        "max_stages": min(max_stages, 4),
        "reload_s": SWITCH_S,
        "floors": _floors(question, sizes, law.terms, tokens),
    }
    if sunk is not None:
        problem["sunk_source"] = SunkSource(size=_index(sizes, sunk[0]), tokens=sunk[1])
    plan = growth.plan(
        shapes=sizes,
        params=params,
        operator=operator,
        factors=(FACTOR,),
        kappas=kappas,
        levels=effort.growth_levels,
        **problem,
    )
    return Grown(plan, sizes, axes, kept, batch, best.machine, budget, chosen)


def _servable(question: Question, machine: Machine, n_gpus: int, sizes: Shape, cap: Any) -> Shape:
    """Sizes whose own serving leaves the run at least this much time: a limit on cost covers serving too. [s]

    A larger model, which serves at a higher cost, would have to train for less; it is left out rather than planned for.
    """
    own, _ = questions.wall_limit_s(
        question, machine, n_gpus, evaluate.active_parameters(sizes), question.limits
    )
    return lattice.take(sizes, np.flatnonzero(own >= float(cap) * (1 - 1e-9)))


def _floors(question: Question, sizes: Shape, terms: Any, tokens: float) -> Array:
    """Loss of every size on unlimited data, with the law of shape at the tokens of the scratch run. [nats/token]"""
    bare = terms["E"] + terms["A"] * evaluate.active_parameters(sizes) ** -terms["alpha"]
    if question.learning.shape_law is None:
        return np.asarray(bare)
    plain = questions.Learning(question.learning.law, None)
    column = np.asarray(tokens)
    ratio = question.learning.loss(sizes, tokens=column) / plain.loss(sizes, tokens=column)
    return np.asarray(bare * ratio)


def _promising(
    question: Question, machine: Machine, n_gpus: int, sizes: Shape, operator: str, targets: int
) -> Shape:
    """Targets with the lowest bounds on their loss, and all that they may grow from."""
    front = planner.front(question, machine, n_gpus, sizes)
    source, target = operators_of.links(sizes, operator=operator, factors=(FACTOR,))
    if not source.size:
        return lattice.take(sizes, np.array([], dtype=np.intp))
    ends = set(target.tolist())
    ranked = [i for i in front.order.tolist() if i in ends][:targets]
    kept, fresh = set(ranked), set(ranked)
    while fresh:
        fresh = {int(s) for s, t in zip(source, target, strict=True) if int(t) in fresh} - kept
        kept |= fresh
    kept |= set(front.order[:targets].tolist())
    return lattice.take(sizes, np.array(sorted(kept), dtype=np.intp))


def _grown_from(shape: Shape, operator: str, stages: int) -> list[Shape]:
    grow = operators_of.get(operator).grow
    out = [grow(shape, factor=factor) for factor in (2, 3, 4)]
    return out if stages < 3 else [*out, grow(out[0], factor=4)]


def _columns(shape: Shape) -> Shape:
    return Shape(
        **{f.name: np.atleast_1d(np.asarray(getattr(shape, f.name), dtype=float)) for f in fields(shape)}
    )


def _index(sizes: Shape, one: Shape) -> int:
    number = lattice.count(sizes)
    same = np.ones(number, dtype=bool)
    for f in fields(sizes):
        same &= np.broadcast_to(np.asarray(getattr(sizes, f.name), dtype=float), (number,)) == float(
            getattr(one, f.name)
        )
    return int(np.flatnonzero(same)[0])


def stage_plans(question: Question, grown: Grown, schedule: growth.Schedule) -> list[Plan]:
    """The plan of every stage: its shape in its own fastest layout."""
    out = []
    for stage in schedule.stages:
        batch = int(grown.batch[stage.size])
        layout = evaluate.layout_at(
            grown.axes,
            int(grown.fastest.kernel[stage.size, batch]),
            int(grown.fastest.spread[stage.size, batch]),
            batch,
        )
        shape = scalar_shape(grown.shapes, stage.size)
        seconds = float(grown.fastest.step_time_s[stage.size, batch])
        out.append(plan_of(question, grown.machine, grown.axes.n_gpus, shape, layout, seconds))
    return out


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
    """Every stage as a flat record."""
    from simulator.search.answer import DAY, whole

    share, records = question.goodput_of(grown.axes.n_gpus, question.machines[grown.machine]), []
    machine = question.machines[grown.machine]
    for number, (stage, plan) in enumerate(
        zip(schedule.stages, stage_plans(question, grown, schedule), strict=True), 1
    ):
        wall = stage.cost / share
        hours = wall / 3600 * plan.n_gpus
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
                "tokens": stage.tokens,
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
    return {
        "operator": grown.plan.operator,
        "follows": grown.chosen,
        "cases": cases,
        "verdict": grown.plan.verdict,
    }
