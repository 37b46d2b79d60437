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
    machine = question.machines[plan.machine]
    evidence = machine.about["evidence"]
    low = high = 1.0
    for grade in GRADES[: GRADES.index(str(evidence["grade"])) + 1]:
        regime = uncertainty.regime_of(
            grade=grade,
            num_experts=float(plan.shape.num_experts),
            frozen=float(plan.layout.frozen),
            n_gpus=float(plan.n_gpus),
            link_domain=float(machine.setting.device.link_domain),
            complete=True,
            software=str(evidence["sets"][-1]),
        )
        factors = uncertainty.step_time_factors(regime)
        low, high = min(low, factors.low), max(high, factors.high)
    return low, high
