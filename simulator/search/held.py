"""A plan that grows a model, held as it was found: its stages one by one, and what it comes to under other inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from simulator import growth, money, scaling
from simulator.growth import warm_start
from simulator.search import answer as answers
from simulator.search import explain, growing, growing_laid, growing_stages
from simulator.search import question as questions
from simulator.search.answer import DAY
from simulator.search.growing import Grown
from simulator.search.question import Question
from simulator.search.shortfalls import LIMIT_NAMES
from simulator.search.spread import step_factors
from simulator.search.table import Plan
from simulator.search.uncertain import Case
from simulator.units import format_quantity

NAN = float("nan")

SHOWN_NATS = 5e-5
"""A difference of losses below this is none as it is written. [nats/token]"""


@dataclass(frozen=True)
class Held:
    """The schedule that an answer follows, and the plan of every stage."""

    grown: Grown
    plans: tuple[Plan, ...]
    """Each model in its own fastest layout; a given model that is grown at once comes first."""
    schedule: growth.Schedule
    """Stages with their tokens and losses."""

    @property
    def first(self) -> int:
        """Number of the first stage: zero is a given model in which nothing is trained."""
        return 0 if self.grown.given is not None and not self.schedule.stages[0].tokens else 1


def hold(question: Question, grown: Grown, schedule: growth.Schedule | None = None) -> Held:
    """A schedule with its plans; that of the answer if none is named."""
    schedule = grown.answer.best if schedule is None else schedule
    return Held(grown, tuple(growing_stages.stage_plans(question, grown, schedule)), schedule)


# --- one stage ------------------------------------------------------------------------------------------------------


def record(question: Question, held: Held, number: int) -> dict[str, Any]:
    """One stage as the record of an answer: its own model, layout, steps, time and cost.

    Parameters
    ----------
    question : Question
        What was asked.
    held : Held
        The plan.
    number : int
        Of the stage, as in ``stages`` of a result.

    Returns
    -------
    dict
        As of `simulator.search.answer.describe`, with ``stage`` and ``stages``: which of how many. Of the intervals only that of
        the step time is given, as the others are of the whole run; what is asked of the last model is left out.
    """
    index = number - held.first
    stage, plan = held.schedule.stages[index], held.plans[index]
    machine = question.machines[plan.machine]
    wall = stage.cost / question.goodput_of(plan.n_gpus, machine)
    hours = float(money.gpu_hours(n_gpus=plan.n_gpus, seconds=wall))
    tokens = stage.tokens / growing_stages.token_worth(stage, plan)
    columns = {
        "tokens": tokens,
        "steps": tokens / plan.batch_tokens,
        "wall_s": wall,
        "useful_s": stage.cost,
        "gpu_hours": hours,
        "cost_usd": hours * (NAN if machine.usd_per_gpu_hour is None else machine.usd_per_gpu_hour),
        "energy_j": hours * 3600.0 * (NAN if machine.power_per_gpu_w is None else machine.power_per_gpu_w),
        "loss": stage.loss_end,
    }
    alone = replace(question, inference_tokens=None, qualities=(), service=None)
    own = replace(plan, columns={**plan.columns, **columns})
    told = answers.describe(alone, own, factors=step_factors(question, plan))
    told["interval"] = {"step_time_s": told["interval"]["step_time_s"]}
    return {"stage": number, "stages": held.first + len(held.plans) - 1, **told}


def words(stages: Sequence[Mapping[str, Any]]) -> str:
    """Stages in which something is trained, with their sizes and times.

    Examples
    --------
    >>> words([{"stage": 1, "params": 4.28e9, "time_days": 0.79}, {"stage": 2, "params": 16.9e9, "time_days": 9.2}])
    'stage 1: 4.28B, 19 h; stage 2: 16.9B, 9.2 days'
    """
    return "; ".join(
        f"stage {s['stage']}: {format_quantity(s['params'], 'count')}, "
        f"{format_quantity(s['time_days'] * DAY, 'second', digits=2)}"
        for s in stages
        if s["stage"]
    )


def origin(stages: Sequence[Mapping[str, Any]], told: Mapping[str, Any], number: int) -> str:
    """Where the weights of a stage come from, in one line.

    Parameters
    ----------
    stages, told : sequence, mapping
        ``stages`` and ``growth`` of a result.
    number : int
        Of the stage.
    """
    place = next(i for i, s in enumerate(stages) if s["stage"] == number)
    name = " ".join(str((told.get("given") or {}).get("name", "")).split())
    if place == 0:
        return f"weights of {name}, trained on" if name else f"stage {number} starts from new weights"
    before, own = stages[place - 1], stages[place]
    axis = "hidden_size" if own["hidden_size"] != before["hidden_size"] else "num_hidden_layers"
    operator = {v: k for k, v in growing.OPERATOR_OF.items()}.get(told["operator"], told["operator"])
    source = f"the last checkpoint of stage {before['stage']}" if before["stage"] else name
    return (
        f"stage {number} starts from {source} (a Hugging Face folder), grown: trainsim grow CHECKPOINT "
        f"--operator {operator} --factor {own[axis] // before[axis]} --out GROWN"
    )


# --- how its figures are computed -----------------------------------------------------------------------------------


def formulas(record: Mapping[str, Any], stages: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """How the figures of a run of several stages are computed, with the numbers of each stage.

    Parameters
    ----------
    record, stages : mapping, sequence
        ``answer`` and ``stages`` of a result.
    """
    batch = "global_batch_size x seq_length"
    heads = {
        "tokens": f"sum over stages of goodput x (time - switch) / step_time_s x {batch}",
        "time_to_train_days": f"sum over stages of tokens / ({batch}) x step_time_s / goodput + switch",
        "loss": "of the last stage: floor of its size + B x (credit_tokens + kappa x batch_factor x tokens)^-beta of loss_law; the"
        " credit is the tokens in which the size would reach the loss before by itself",
    }
    lines: dict[str, list[str]] = {name: [] for name in heads}
    for s in stages:
        if s["stage"]:
            for name, text in _numbers(record, s).items():
                lines[name].append(f"  stage {s['stage']}: {text}")
        else:
            for name in heads:
                lines[name].append(f"  stage 0: given, worth {s['credit_tokens']:.6g} tokens, none trained")
    told = {name: "\n  ".join([head, *lines[name]]) for name, head in heads.items()}
    return {**told, "steps": f"sum over stages of tokens / ({batch})"}


def _numbers(record: Mapping[str, Any], s: Mapping[str, Any]) -> dict[str, str]:
    """The figures of one stage as sums that give them."""
    share = record["goodput"]
    worth = f"{s['kappa']:g} x {s.get('batch_factor', 1.0):.6g}"
    step, size = f"{s['step_time_s']:.6g}", f"{s['global_batch_size']} x {record['seq_length']}"
    days = f"({s['time_days']:.6g} - {s['switch_days']:.6g}) x {DAY:.0f}"
    return {
        "tokens": f"{share:.6g} x {days} / {step} x {size} = {s['tokens']:.6g}",
        "time_to_train_days": f"{s['tokens']:.6g} / ({size}) x {step} / {share:.6g} / {DAY:.0f} + "
        f"{s['switch_days']:.6g} = {s['time_days']:.6g}",
        "loss": f"{s['credit_tokens']:.6g} + {worth} x {s['tokens']:.6g} tokens: {s['loss_end']:.6g}",
    }


# --- under other inputs ---------------------------------------------------------------------------------------------


def outcome(held: Held, case: Case) -> dict[str, float]:
    """Figures of the plan under other inputs; NaN where the limit leaves the last stage nothing.

    Every stage keeps its model, layout and batch, and each but the last its tokens; the last one ends with the limit.

    Parameters
    ----------
    held : Held
        The plan. Limits are taken at the size of its run from scratch, the worth of a batch at the tokens that each model would
        see alone.
    case : Case
        The inputs.

    Returns
    -------
    dict
        ``tokens loss cost_usd time_to_train_days step_time_s``
    """
    question, machine, last = case.question, case.machine, held.plans[-1]
    active = np.asarray(growing_laid.active(held.grown.scratch.shape), dtype=float)
    cap = float(questions.wall_limit_s(question, machine, last.n_gpus, active, question.limits)[0])
    left = cap * question.goodput_of(last.n_gpus, machine)
    seen, loss, step = [], NAN, NAN
    for number, (stage, plan) in enumerate(zip(held.schedule.stages, held.plans, strict=True)):
        step = float(machine.setting.step_time(plan.shape, plan.layout)) * case.step_factor
        at = float(held.grown.laid.tokens[stage.size])
        worth = float(question.learning.batch_factor(tokens=at, batch_tokens=plan.batch_tokens))
        seconds = step / plan.batch_tokens
        left -= held.grown.switch_s if stage.switch_cost else 0.0
        seen.append(left / seconds if plan is last else stage.tokens / worth)
        left -= seen[-1] * seconds
        loss = _learned(case, plan, stage, at, max(seen[-1], 0.0) * worth, loss if number else None)
    runs = seen[-1] > 0 and np.isfinite(loss)
    hours = float(money.gpu_hours(n_gpus=last.n_gpus, seconds=cap))
    return {
        "tokens": float(sum(seen)) if runs else NAN,
        "loss": loss * case.loss_factor if runs else NAN,
        "cost_usd": NAN if machine.usd_per_gpu_hour is None else hours * machine.usd_per_gpu_hour,
        "time_to_train_days": cap / DAY,
        "step_time_s": step,
    }


def _learned(
    case: Case, plan: Plan, stage: growth.Stage, at: float, counted: float, before: float | None
) -> float:
    """Loss after a stage, from the loss before it; the first stage starts with what it is credited with. [nats/token]"""
    learning = case.question.learning
    terms = {name: float(scaling.get(learning.law).terms[name]) for name in ("B", "beta")}
    floor = float(
        growing_laid.floor(case.question, plan.shape, terms=terms, tokens=at, batch_tokens=plan.batch_tokens)
    )
    credit, kappa = stage.credit_tokens, stage.kappa
    if before is not None:
        credit = float(warm_start.tokens_for_loss(floor=floor, loss=before, **terms))
        kappa = stage.kappa if case.kappa is None else case.kappa
    after = warm_start.loss_after_growth(
        floor=floor, credit_tokens=credit, tokens=counted, kappa=kappa, **terms
    )
    return float(after)


def by_size(question: Question, grown: Grown) -> dict[str, Any]:
    """What the law of size alone says of the schedule and of the run from scratch, where a law of shape is asked.

    Both plans are held, so what is told is whether the law of shape decides between them.

    Returns
    -------
    dict
        ``shape_law loss loss_scratch decides``; empty without a law of shape. [-], [nats/token]
    """
    schedule, scratch = grown.answer.grown, grown.scratch
    name = question.learning.shape_law
    if name is None or schedule is None:
        return {}
    plain = replace(question, learning=replace(question.learning, shape_law=None))
    case = Case(plain, plain.machines[grown.machine])
    after = outcome(hold(question, grown, schedule), case)["loss"]
    alone = float(
        plain.learning.loss(
            scratch.shape, tokens=scratch.columns["tokens"], batch_tokens=scratch.batch_tokens
        )
    )
    decides = (after < alone) != (schedule.loss < grown.answer.scratch.loss)
    return {"shape_law": name, "loss": after, "loss_scratch": alone, "decides": bool(decides)}


def binding(question: Question, held: Held) -> dict[str, Any]:
    """The limit that ends the plan, and what a little more of each limit buys its last stage.

    Returns
    -------
    dict
        As of `simulator.search.explain.binding`; what other models would make of a little more is not counted.
    """
    machine = question.machines[held.grown.machine]
    place = int(held.grown.scratch.columns["binding"])
    loss, prices, texts = held.schedule.loss, {}, []
    for name in question.limits.given:
        limits, change = explain.more(question.limits, name)
        again = outcome(held, Case(replace(question, limits=limits), machine))["loss"]
        lower = max(loss - again, 0.0)
        worth = explain.multiplier(question, loss - lower, loss)
        prices[LIMIT_NAMES[name]] = {
            "change": change,
            "loss_difference": -lower,
            "compute_multiplier": worth,
        }
        bought = "changes nothing" if lower <= 0 else f"lowers the loss by less than {2 * SHOWN_NATS:.4f}"
        bought = f"lowers the loss by {lower:.4f}" if lower > SHOWN_NATS else bought
        bought += f", worth {100 * (worth - 1):.1f} % compute" if worth and lower > SHOWN_NATS else ""
        texts.append(f"{change} {bought}")
    tight = "none" if place < 0 else LIMIT_NAMES[question.limits.given[place]]
    text = "; ".join([f"{tight} is the binding limit", *texts, "the stages before the last are held"])
    return {"constraint": tight, "shadow_prices": prices, "text": text}
