"""How far a measured step may lie from a predicted one."""

from __future__ import annotations

from typing import Any

from simulator import calibrations, evidence, uncertainty
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
    known = str(question.machines[plan.machine].about["evidence"]["grade"])
    exposed, low, high = _exposed_share(question, plan), 1.0, 1.0
    for grade in GRADES[: GRADES.index(known) + 1]:
        factors = _factors(question, plan, grade, exposed=exposed)
        low, high = min(low, factors.low), max(high, factors.high)
    return low, high


def rows_like_this(question: Question, plan: Plan) -> dict[str, Any]:
    """How wrong the clock was on measured rows of the plan's regime: ``median_error``, ``rows``, ``regime``, ``bits``.

    They are those of rows whose format is as wide as the plan's (``bits``), which ``regime`` says; where no table has a handful
    of such rows, those of other widths. The interval is made of ``interval_rows`` of ``interval_regime``. Beside them
    ``exposed_share``, the share of the step that is communication nothing hides: it widens the interval; and ``own``, calibration
    sets that are a user's own, if there are any: the error is that of the shipped sets, which they replace.
    """
    own = [{**vars(each), "groups": list(each.groups)} for each in _own_sets(question, plan)]
    regime = _regime(question, plan, str(question.machines[plan.machine].about["evidence"]["grade"]))
    factors, ranged = uncertainty.in_format(regime), uncertainty.step_time_factors(regime)
    return {
        "median_error": factors.median_error,
        "rows": factors.rows,
        "regime": factors.regime,
        "bits": int(regime.bits),
        "interval_rows": ranged.rows,
        "interval_regime": ranged.regime,
        "exposed_share": _exposed_share(question, plan),
        **({"own": own} if own else {}),
    }


def _own_sets(question: Question, plan: Plan) -> tuple[evidence.Own, ...]:
    """Sets of the plan that a user's own runs wrote."""
    names = question.machines[plan.machine].about["evidence"]["sets"]
    return evidence.own_of([str(name) for name in names], calibrations.sets())


def _is_known(question: Question, plan: Plan, sets: list[str]) -> bool:
    """Whether the constants were fitted to other runs of whoever asks: the rule for measured rows, by the software's set.

    Only on a part that others measured with that software and in a format as wide: of no other is it known how far a fit to
    one's own runs is off.
    """
    own = {each.set: each.rows for each in _own_sets(question, plan)}
    shared = (sets[0], sets[-1]) in evidence.measured_pairs()
    shared = shared and evidence.is_measured_in(sets[0], _bits(question, plan))
    return shared and own.get(sets[-1], 0) >= evidence.FEWEST_OWN


def _bits(question: Question, plan: Plan) -> str:
    """Width class of the format of the plan's matmuls."""
    return calibrations.BITS[question.machines[plan.machine].matmul_precision]


def _exposed_share(question: Question, plan: Plan) -> float:
    return float(uncertainty.exposed_share(breakdown(plan, question.machines[plan.machine])))


def _factors(question: Question, plan: Plan, grade: str, *, exposed: float = 0.0) -> uncertainty.Factors:
    """Percentiles of the regime that a plan would be in with evidence of a grade."""
    regime = _regime(question, plan, grade)
    found = uncertainty.step_time_factors(regime, exposed=exposed)
    return uncertainty.centred(found) if regime.seen else found


def _regime(question: Question, plan: Plan, grade: str) -> uncertainty.Regime:
    """The regime that a plan would be in with evidence of a grade."""
    machine = question.machines[plan.machine]
    setting = machine.setting
    sets = [str(name) for name in machine.about["evidence"]["sets"]]
    return uncertainty.regime_of(
        grade=grade,
        sets=sets,
        seen=_is_known(question, plan, sets),
        num_experts=float(plan.shape.num_experts),
        frozen=float(plan.layout.frozen),
        n_gpus=float(plan.n_gpus),
        link_domain=float(setting.device.link_domain),
        complete=True,
        bits=_bits(question, plan),
    )
