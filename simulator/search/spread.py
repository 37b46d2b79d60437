"""How far a measured step may lie from a predicted one."""

from __future__ import annotations

from simulator.search.question import Question
from simulator.search.table import Plan

FACTORS = {"measured": (0.86, 1.16), "transferred": (0.78, 1.28), "datasheet": (0.65, 1.55)}
"""10th and 90th percentile of measured over predicted step time, by grade of evidence. [-]"""


def step_factors(question: Question, plan: Plan) -> tuple[float, float]:
    """10th and 90th percentile of the step time over the prediction. [-]"""
    grade = question.machines[plan.machine].about.get("evidence", {}).get("grade", "datasheet")
    return FACTORS[grade]
