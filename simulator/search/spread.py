"""How far a measured step may lie from a predicted one."""

from __future__ import annotations

from simulator import uncertainty
from simulator.search.question import Question
from simulator.search.table import Plan


def step_factors(question: Question, plan: Plan) -> tuple[float, float]:
    """10th and 90th percentile of the step time over the prediction; they enclose 1. [-]

    From the residuals of measured rows in the plan's regime (`simulator.uncertainty`).
    """
    machine = question.machines[plan.machine]
    evidence = machine.about["evidence"]
    regime = uncertainty.regime_of(
        grade=str(evidence["grade"]),
        num_experts=float(plan.shape.num_experts),
        frozen=float(plan.layout.frozen),
        n_gpus=float(plan.n_gpus),
        link_domain=float(machine.setting.device.link_domain),
        complete=True,
        software=str(evidence["sets"][-1]),
    )
    factors = uncertainty.step_time_factors(regime)
    return min(factors.low, 1.0), max(factors.high, 1.0)
