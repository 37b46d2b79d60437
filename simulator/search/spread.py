"""How far a measured step may lie from a predicted one."""

from __future__ import annotations

from simulator import uncertainty
from simulator.search.breakdown import breakdown
from simulator.search.question import Question
from simulator.search.table import Plan

GRADES = ("measured", "transferred", "datasheet")
"""Grades of evidence, best first."""


def step_factors(question: Question, plan: Plan) -> tuple[float, float]:
    """10th and 90th percentile of the step time over the prediction; they enclose 1. [-]

    From the residuals of measured rows in the plan's regime (`simulator.uncertainty`), wider the more of the step is exposed
    communication. Weaker evidence never narrows the interval: it encloses those of the better grades.
    """
    evidence = question.machines[plan.machine].about["evidence"]
    exposed, low, high = _exposed_share(question, plan), 1.0, 1.0
    for grade in GRADES[: GRADES.index(str(evidence["grade"])) + 1]:
        factors = _factors(question, plan, grade, exposed=exposed)
        low, high = min(low, factors.low), max(high, factors.high)
    return low, high


def rows_like_this(question: Question, plan: Plan) -> dict[str, float | int | str]:
    """How wrong the clock was on measured rows of the plan's regime: ``median_error``, ``rows``, ``regime``.

    Beside them ``exposed_share``, the share of the step that is communication nothing hides: it widens the interval.
    """
    factors = _factors(question, plan, str(question.machines[plan.machine].about["evidence"]["grade"]))
    return {
        "median_error": factors.median_error,
        "rows": factors.rows,
        "regime": factors.regime,
        "exposed_share": _exposed_share(question, plan),
    }


def _exposed_share(question: Question, plan: Plan) -> float:
    return float(uncertainty.exposed_share(breakdown(plan, question.machines[plan.machine])))


def _factors(question: Question, plan: Plan, grade: str, *, exposed: float = 0.0) -> uncertainty.Factors:
    """Percentiles of the regime that a plan would be in with evidence of a grade."""
    machine = question.machines[plan.machine]
    setting = machine.setting
    regime = uncertainty.regime_of(
        grade=grade,
        sets=[str(name) for name in machine.about["evidence"]["sets"]],
        num_experts=float(plan.shape.num_experts),
        frozen=float(plan.layout.frozen),
        n_gpus=float(plan.n_gpus),
        link_domain=float(setting.device.link_domain),
        complete=True,
    )
    return uncertainty.step_time_factors(regime, exposed=exposed)
