"""How far a measured step may lie from a predicted one."""

from __future__ import annotations

from simulator import uncertainty
from simulator.search.question import Question
from simulator.search.table import Plan

GRADES = ("measured", "transferred", "datasheet")
"""Grades of evidence, best first."""


def step_factors(question: Question, plan: Plan) -> tuple[float, float]:
    """10th and 90th percentile of the step time over the prediction; they enclose 1. [-]

    From the residuals of measured rows in the plan's regime (`simulator.uncertainty`). Weaker evidence never narrows the
    interval: it encloses those of the better grades.
    """
    evidence = question.machines[plan.machine].about["evidence"]
    low = high = 1.0
    for grade in GRADES[: GRADES.index(str(evidence["grade"])) + 1]:
        factors = _factors(question, plan, grade)
        low, high = min(low, factors.low), max(high, factors.high)
    return low, high


def rows_like_this(question: Question, plan: Plan) -> dict[str, float | int | str]:
    """How wrong the clock was on measured rows of the plan's regime: ``median_error``, ``rows``, ``regime``."""
    factors = _factors(question, plan, str(question.machines[plan.machine].about["evidence"]["grade"]))
    return {"median_error": factors.median_error, "rows": factors.rows, "regime": factors.regime}


def _factors(question: Question, plan: Plan, grade: str) -> uncertainty.Factors:
    """Percentiles of the regime that a plan would be in with evidence of a grade."""
    machine = question.machines[plan.machine]
    regime = uncertainty.regime_of(
        grade=grade,
        num_experts=float(plan.shape.num_experts),
        frozen=float(plan.layout.frozen),
        n_gpus=float(plan.n_gpus),
        link_domain=float(machine.setting.device.link_domain),
        complete=True,
        software=str(machine.about["evidence"]["sets"][-1]),
    )
    return uncertainty.step_time_factors(regime)
