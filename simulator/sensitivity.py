"""What moves an answer: every uncertain input over its own 80 % range, alone (a tornado) and together (Sobol indices).

The plan is held: shape, layout and batch stay, and the figures of the run are computed again. What a better choice could
recover under other inputs is not counted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator import calibrations, scaling
from simulator.errors import InfeasibleError, SimulatorError
from simulator.goodput import scaled as scaled_goodput
from simulator.scaling.law import Law
from simulator.schema.quotes import quotes
from simulator.search import question as questions
from simulator.search.answer import DAY, LAW_ERROR
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

LEAST = 1e-6
"""Relative change of every figure below which an input is left out. [-]"""

FIGURES = ("tokens", "loss", "cost_usd", "time_to_train_days", "step_time_s")
"""Figures that are followed."""


@dataclass(frozen=True)
class Case:
    """A question on its machine with some inputs changed."""

    question: Question
    machine: Machine
    step_factor: float = 1.0
    """Measured over predicted step time. [-]"""
    loss_factor: float = 1.0
    """True over predicted loss. [-]"""


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
        """Value below which a share of the values lies: normal on each side of the value that was used.

        Cut at twice the distance of the range.
        """
        from scipy.special import ndtri

        score = np.clip(ndtri(np.asarray(share, dtype=float)) / P90, -2.0, 2.0)
        width = np.where(score < 0, self.value - self.low, self.high - self.value)
        return np.asarray(self.value + score * width)


# --- inputs ---------------------------------------------------------------------------------------------------------


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
        of the law of loss with a published error, and the law's own error. What a user wrote is taken as known.
    """
    machine = basis.question.machines[basis.plan.machine]
    found = [*_clock(basis), *_constants(machine), *_price(basis, machine, scenario), *_goodput(basis)]
    learns = basis.question.from_scratch and np.isfinite(basis.plan.columns["loss"])
    return found + (_law(basis.question) if learns else [])


def _clock(basis: Basis) -> list[Input]:
    low, high = step_factors(basis.question, basis.plan)
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


def _law(question: Question) -> list[Input]:
    law = scaling.get(question.learning.law)
    found = [
        Input(
            "law of loss",
            1 - LAW_ERROR,
            1.0,
            1 + LAW_ERROR,
            "error of extrapolated laws, arXiv:2410.11840",
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
        changed: Any = replace(now, constants={**now.constants, name: float(value)})
        return replace(
            case, question=replace(case.question, learning=replace(case.question.learning, law=changed))
        )

    return apply


# --- figures --------------------------------------------------------------------------------------------------------


def figures(basis: Basis, case: Case) -> dict[str, float]:
    """`FIGURES` of the plan in a case; NaN where there is none."""
    plan = basis.plan
    step = float(case.machine.setting.step_time(plan.shape, plan.layout)) * case.step_factor
    question = case.question
    if question.shortest and case.loss_factor != 1.0:
        # A law that is off by a factor asks for other tokens, where a loss is required.
        wanted = tuple(
            q if q.task is not None else replace(q, limit=q.limit / case.loss_factor)
            for q in question.qualities
        )
        question = replace(question, qualities=wanted)
    run = questions.outcome(
        question,
        case.machine,
        n_gpus=plan.n_gpus,
        shape=plan.shape,
        batch_sequences=plan.batch_sequences,
        step_time_s=step,
    )
    return {
        "tokens": float(run["tokens"]),
        "loss": float(run["loss"]) * case.loss_factor if question.from_scratch else float("nan"),
        "cost_usd": float(run["cost_usd"]),
        "time_to_train_days": float(run["wall_s"]) / DAY,
        "step_time_s": step,
    }


def main_figure(basis: Basis) -> str:
    """The figure by which inputs are ordered: the loss (the tokens of a fine-tune) where limits end the run, else cost or time."""
    if not basis.question.bounded:
        return "step_time_s"
    if not basis.question.fixed and not basis.question.shortest:
        return "loss" if basis.question.from_scratch else "tokens"
    return "cost_usd" if np.isfinite(basis.plan.columns["cost_usd"]) else "time_to_train_days"


def tornado(
    basis: Basis | None, scenario: Mapping[str, Any], growth: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Move every input to both ends of its 80 % range, one at a time.

    Parameters
    ----------
    basis : Basis
        The question and the plan of a result.
    scenario, growth : mapping
        As the result holds them.

    Returns
    -------
    dict
        ``figure`` (by which rows are ordered), ``base`` (figures of the plan), ``most`` (for each figure the input that moves
        it most) and ``rows``: ``name low value high source``, and for each figure ``[at low, at high]``.

    Raises
    ------
    InfeasibleError
        If there is no plan.

    Notes
    -----
    Constants of a law are moved one by one, but their errors are correlated: together they move the loss less than the rows
    suggest (see ``law of loss`` for their joint error).
    """
    basis = _needed(basis)
    start = Case(basis.question, basis.question.machines[basis.plan.machine])
    base = figures(basis, start)
    rows = []
    for one in inputs(basis, scenario):
        ends = [figures(basis, one.apply(start, value)) for value in (one.low, one.high)]
        rows.append(_row(one, {name: [end[name] for end in ends] for name in FIGURES}))
    rows += _kappa(growth or {})
    figure = main_figure(basis)
    kept = [row for row in rows if max(swing(row, base, name) for name in FIGURES) > LEAST]
    kept.sort(key=lambda row: -swing(row, base, figure))
    most = {}
    for name in FIGURES:
        first = max(kept, key=lambda row: swing(row, base, name), default=None)
        if first is not None and swing(first, base, name) > LEAST:
            most[name] = first["name"]
    return {"figure": figure, "base": base, "most": most, "rows": kept}


def _needed(basis: Basis | None) -> Basis:
    if basis is None:
        raise InfeasibleError("nothing runs, so nothing moves the answer")
    return basis


def _row(one: Input, ends: dict[str, list[float]]) -> dict[str, Any]:
    return {
        "name": one.name,
        "low": one.low,
        "value": one.value,
        "high": one.high,
        "source": one.source,
        **ends,
    }


def swing(row: Mapping[str, Any], base: Mapping[str, float], figure: str) -> float:
    """How far an input moves a figure, relative to it; infinite where at one end nothing is left to train with. [-]"""
    low, high = row.get(figure) or (np.nan, np.nan)
    start = base[figure]
    if figure not in row or not np.isfinite(start):
        return 0.0
    if not (np.isfinite(low) and np.isfinite(high)):
        return float("inf")
    return float(max(abs(low - start), abs(high - start), abs(high - low)) / abs(start))


def _kappa(growth: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The assumption on growth, from the cases that were planned."""
    cases = growth.get("cases") or {}
    names = ("pessimistic", "central", "optimistic")
    if not set(names) <= set(cases) or any(not cases[name].get("stages") for name in names):
        return []
    low, value, high = (cases[name]["kappa"] for name in names)
    ends = [min(cases[n]["loss"], cases[n]["loss_scratch"]) for n in ("pessimistic", "optimistic")]
    row = {"name": "kappa (growth)", "low": low, "value": value, "high": high}
    return [{**row, "source": "published growth experiments", "loss": ends}]


def sobol(
    basis: Basis | None,
    scenario: Mapping[str, Any],
    *,
    figure: str | None = None,
    names: Sequence[str] = (),
    most: int = 8,
    n: int = 256,
    seed: int = 0,
) -> dict[str, Any]:
    """Shares of a figure's variance that inputs explain, alone and with their interactions.

    Parameters
    ----------
    basis, scenario
        As for `tornado`.
    figure : str, optional
        One of `FIGURES`; the one that the tornado orders by if absent.
    names : sequence of str, optional
        Inputs; those that move the figure most if absent.
    most : int, optional
        How many of them. [-]
    n : int, optional
        Samples, a power of two; ``n (most + 2)`` runs are computed. [-]
    seed : int, optional
        Of the samples.

    Returns
    -------
    dict
        ``figure`` and ``rows`` with ``name``, ``first_order`` and ``total_order``, largest first. [-]

    Raises
    ------
    InfeasibleError
        If there is no plan, or none in a part of the draws.

    Notes
    -----
    Saltelli's estimators as in `scipy.stats.sobol_indices`. Inputs are drawn independently from their ranges.
    """
    from scipy import stats

    basis = _needed(basis)
    figure = main_figure(basis) if figure is None else figure
    if figure not in FIGURES:
        raise SimulatorError(f"no figure named {figure!r}; known: {', '.join(FIGURES)}")
    known = {one.name: one for one in inputs(basis, scenario)}
    ranked = [row["name"] for row in _by(tornado(basis, scenario), figure) if row["name"] in known]
    chosen = [known[name] for name in (names or ranked[:most])]
    if not chosen:
        raise SimulatorError(f"no input with a range moves {figure}")
    start = Case(basis.question, basis.question.machines[basis.plan.machine])

    def at(shares: Array) -> Array:
        values = np.stack([one.quantile(row) for one, row in zip(chosen, shares, strict=True)])
        out = np.empty(shares.shape[1])
        for column in range(shares.shape[1]):
            case = start
            for one, value in zip(chosen, values[:, column], strict=True):
                case = one.apply(case, float(value))
            out[column] = figures(basis, case)[figure]
        if not np.all(np.isfinite(out)):
            share = float(np.mean(~np.isfinite(out)))
            raise InfeasibleError(f"nothing is left to train with in {100 * share:.2g} % of the draws")
        return out[None, :]

    drawn = stats.sobol_indices(func=at, n=n, dists=[stats.uniform(0, 1)] * len(chosen), random_state=seed)
    first, total = np.atleast_2d(drawn.first_order)[0], np.atleast_2d(drawn.total_order)[0]
    rows = [
        {"name": one.name, "first_order": float(first[i]), "total_order": float(total[i])}
        for i, one in enumerate(chosen)
    ]
    return {"figure": figure, "rows": sorted(rows, key=lambda row: -row["total_order"])}


def _by(found: Mapping[str, Any], figure: str) -> list[dict[str, Any]]:
    """Rows of a tornado that move a figure, most first."""
    base = found["base"]
    moving = [row for row in found["rows"] if swing(row, base, figure) > LEAST]
    return sorted(moving, key=lambda row: -swing(row, base, figure))
