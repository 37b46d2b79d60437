"""The stages of a schedule one by one: the plan of each, its record, and growth beside a run from scratch as plain data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from simulator import growth, transformer
from simulator.scaling import batch, learning_rate
from simulator.search import growing_laid
from simulator.search.question import REFERENCE_BATCH_LAW, Question
from simulator.search.table import Plan
from simulator.transformer import Shape

if TYPE_CHECKING:
    from collections.abc import Mapping

    from simulator.search.growing import Grown

LOWEST = "lowest loss"
"""Growth was compared with the run from scratch of lowest loss under the same limits."""

FRUGAL = "lowest loss at no higher cost of serving"
"""Growth was compared with the run from scratch of lowest loss among those that serve at no higher cost than the answer."""


def stage_plans(question: Question, grown: Grown, schedule: growth.Schedule) -> list[Plan]:
    """The plan of every stage: its shape in its own fastest layout."""
    return [
        growing_laid.plan_at(question, grown.laid, grown.machine, stage.size) for stage in schedule.stages
    ]


def token_worth(stage: growth.Stage, plan: Plan) -> float:
    """Tokens of the schedule that a token of a stage is worth: less than one where its batch costs tokens. [-]"""
    seen = (stage.cost - stage.switch_cost) / plan.step_time_s * plan.batch_tokens
    return min(1.0, round(stage.tokens / seen, 12)) if stage.tokens else 1.0


def tokens_seen(question: Question, grown: Grown, schedule: growth.Schedule) -> list[float]:
    """Tokens of every stage as they are read: a batch that costs tokens reads more than count. [tokens]"""
    plans = stage_plans(question, grown, schedule)
    return [
        stage.tokens / token_worth(stage, plan) for stage, plan in zip(schedule.stages, plans, strict=True)
    ]


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


def report(question: Question, grown: Grown, by_size: Mapping[str, Any]) -> dict[str, Any]:
    """Growth against scratch for every assumption, as plain data.

    Parameters
    ----------
    question, grown
        What was asked, and the schedules.
    by_size : mapping
        What the law of size alone says of the two (`held.by_size`).
    """
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
        "compared_with": FRUGAL if grown.frugal else LOWEST,
        **({"by_size": dict(by_size)} if by_size else {}),
    }
