"""Uncertain inputs of an answer, each with its own 80 % range: the clock, prices, goodput, the law of loss, kappa."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator import calibrations, scaling
from simulator.goodput import scaled as scaled_goodput
from simulator.scaling.law import Law
from simulator.schema.quotes import quotes
from simulator.search.answer import LAW_ERROR, law_error
from simulator.search.question import Machine, Question
from simulator.search.spread import step_factors
from simulator.search.table import Basis

Array = NDArray[np.float64]

P90 = 1.2815515594
"""90th percentile of the normal distribution, in standard deviations. [-]"""

P975 = 1.9599639845
"""97.5th percentile of the normal distribution, in standard deviations. [-]"""

OPT_GOODPUT, OPT_GPUS = 0.59, 992
"""Share of its time that OPT-175B trained, and on how many accelerators
(https://glennklockwood.com/garden/job-reliability): the worst of the published runs. [-]"""

KAPPA_NAME, KAPPA_SOURCE = "kappa (growth)", "published growth experiments"
"""Name of kappa as an input, and where its range comes from."""

KAPPA_CASES = ("pessimistic", "central", "optimistic")
"""Assumptions on kappa, lowest first."""


@dataclass(frozen=True)
class Case:
    """A question on its machine with some inputs changed."""

    question: Question
    machine: Machine
    step_factor: float = 1.0
    """Measured over predicted step time. [-]"""
    loss_factor: float = 1.0
    """True over predicted loss. [-]"""
    kappa: float | None = None
    """Efficiency of tokens after growth; that of the plan if absent. [-]"""


@dataclass(frozen=True)
class Input:
    """An uncertain input with its 80 % range."""

    name: str
    low: float
    """10th percentile."""
    value: float
    """What the answer was computed with."""
    high: float
    """90th percentile."""
    source: str
    """Where the range comes from."""
    apply: Callable[[Case, float], Case]
    """The case with another value of this input."""

    def quantile(self, share: Any) -> Array:
        """Value below which a share of the values lies: normal on each side of the value that was used, log-normal where all are positive.

        Cut at twice the distance of the range.
        """
        from scipy.special import ndtri

        score = np.clip(ndtri(np.asarray(share, dtype=float)) / P90, -2.0, 2.0)
        if (
            min(self.low, self.value, self.high) > 0
        ):  # a scale of a law is uncertain by more than itself, and stays a scale
            ratio = np.where(score < 0, self.value / self.low, self.high / self.value)
            return np.asarray(self.value * ratio**score)
        width = np.where(score < 0, self.value - self.low, self.high - self.value)
        return np.asarray(self.value + score * width)


def inputs(basis: Basis, scenario: Mapping[str, Any]) -> list[Input]:
    """Inputs of a plan that have a range.

    Parameters
    ----------
    basis : Basis
        The question and the plan.
    scenario : mapping
        The scenario as the result holds it, for the price.

    Returns
    -------
    list of Input
        The clock's error on rows like the plan, each constant of its calibration sets, the price, goodput, each constant
        of the law of loss with a published error, the law's own error, and of a plan that grows its kappa. What a user wrote
        is taken as known.
    """
    machine = basis.question.machines[basis.plan.machine]
    found = [*_clock(basis), *_constants(machine), *_price(basis, machine, scenario), *_goodput(basis)]
    found += _kappa(basis)
    learns = basis.question.from_scratch and np.isfinite(basis.plan.columns["loss"])
    return found + (_law(basis.question, law_error(basis.question, basis.plan)) if learns else [])


def _clock(basis: Basis) -> list[Input]:
    low, high = step_factors(basis.question, basis.shown)
    return [
        Input(
            "step time",
            low,
            1.0,
            high,
            "measured over predicted on rows of the same regime",
            lambda case, value: replace(case, step_factor=value),
        )
    ]


def _constants(machine: Machine) -> list[Input]:
    chip, fabric, stack = (str(name) for name in machine.about["evidence"]["sets"])
    found = []
    for field, (key, name) in calibrations.keys_of(chip, stack, machine.matmul_precision, fabric).items():
        known = calibrations.sets()[key].constants[name]
        value = float(getattr(machine.setting.constants, field))
        if known.low is None or known.high is None or value != known.value:
            continue
        source = f"calibration set {key}, {known.status}"
        found.append(Input(f"{name} ({key})", known.low, value, known.high, source, _constant(field)))
    return found


def _constant(field: str) -> Callable[[Case, float], Case]:
    def apply(case: Case, value: float) -> Case:
        constants = replace(case.machine.setting.constants, **{field: value})
        return replace(
            case, machine=replace(case.machine, setting=replace(case.machine.setting, constants=constants))
        )

    return apply


def _price(basis: Basis, machine: Machine, scenario: Mapping[str, Any]) -> list[Input]:
    """The list prices of the accelerator on the same terms; a price that a user wrote is known."""
    offers = [
        price
        for entry in scenario["hardware"]
        for price in (entry["offers"] if entry.get("offers") else [entry.get("price")])
    ]
    written = offers[basis.plan.machine]
    if machine.usd_per_gpu_hour is None or (isinstance(written, Mapping) and "provider" not in written):
        return []
    terms = str(written["terms"]) if isinstance(written, Mapping) and written.get("terms") else "on_demand"
    rents = [q.usd_per_gpu_hour for q in quotes(machine.label, terms=terms)]
    known = [rent for rent in rents if rent is not None]
    if len(known) < 3:
        return []
    low, high = (float(v) for v in np.quantile(known, (0.1, 0.9)))
    price = machine.usd_per_gpu_hour
    return [
        Input(
            "price",
            min(low, price),
            price,
            max(high, price),
            f"{len(known)} list prices, {terms.replace('_', ' ')}",
            lambda case, value: replace(case, machine=replace(case.machine, usd_per_gpu_hour=value)),
        )
    ]


def _goodput(basis: Basis) -> list[Input]:
    failures = basis.question.machines[basis.plan.machine].failures
    if basis.question.goodput is not None or (failures is not None and failures.rated):
        return []
    n = basis.plan.n_gpus
    lost = (1 - OPT_GOODPUT) / OPT_GOODPUT / OPT_GPUS * n
    return [
        Input(
            "goodput",
            1.0 / (1.0 + lost),
            float(scaled_goodput(n_gpus=n)),
            1.0,
            "OPT-175B's losses per accelerator, to none",
            lambda case, value: replace(case, question=replace(case.question, goodput=float(value))),
        )
    ]


def _kappa(basis: Basis) -> list[Input]:
    """The assumption on growth, where the answer grows a model and the scenario gives no number."""
    if basis.held is None:
        return []
    grown = basis.held.grown
    kappas = {name: answer.kappa for name, answer in grown.plan.answers.items()}
    if grown.chosen not in KAPPA_CASES or not set(KAPPA_CASES) <= set(kappas):
        return []
    low, high = kappas[KAPPA_CASES[0]], kappas[KAPPA_CASES[-1]]
    return [
        Input(
            KAPPA_NAME,
            low,
            kappas[grown.chosen],
            high,
            KAPPA_SOURCE,
            lambda case, value: replace(case, kappa=float(value)),
        )
    ]


def _law(question: Question, error: float) -> list[Input]:
    law = scaling.get(question.learning.law)
    found = [
        Input(
            "law of loss",
            1 - error,
            1.0,
            1 + error,
            "error of extrapolated laws, arXiv:2410.11840" if error == LAW_ERROR else law.source,
            lambda case, value: replace(case, loss_factor=value),
        )
    ]
    for name, spread in law.uncertainty.items():
        value = float(law.constants[name])
        if isinstance(spread, tuple):
            low, high = (value + (float(end) - value) * P90 / P975 for end in spread)
        else:
            low, high = value - P90 * float(spread), value + P90 * float(spread)
        found.append(Input(f"{name} ({law.name})", low, value, high, law.source, _of_law(law, name)))
    return found


def _of_law(law: Law, name: str) -> Callable[[Case, float], Case]:
    def apply(case: Case, value: float) -> Case:
        now: Any = case.question.learning.law
        now = now if isinstance(now, Law) else law
        # Repeated data and growth are computed from the terms of the law, which repeat its constants.
        terms = {**now.terms, name: float(value)} if name in now.terms else now.terms
        changed: Any = replace(now, constants={**now.constants, name: float(value)}, terms=terms)
        return replace(
            case, question=replace(case.question, learning=replace(case.question.learning, law=changed))
        )

    return apply
