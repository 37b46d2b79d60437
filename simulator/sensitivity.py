"""What moves an answer: every uncertain input over its own 80 % range, alone (a tornado) and together (Sobol indices).

The plan is held: shape, layout and batch stay, and the figures of the run are computed again. Of a plan that grows a model every
model is held, with the tokens of all stages but the last. What a better choice could recover under other inputs is not counted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.errors import InfeasibleError, SimulatorError
from simulator.search import held
from simulator.search import question as questions
from simulator.search.answer import DAY
from simulator.search.table import Basis
from simulator.search.uncertain import KAPPA_CASES, KAPPA_NAME, KAPPA_SOURCE, Case, Input, inputs
from simulator.units import format_quantity

Array = NDArray[np.float64]

LEAST = 1e-6
"""Relative change of every figure below which an input is left out. [-]"""

FIGURES = ("tokens", "loss", "cost_usd", "time_to_train_days", "step_time_s")
"""Figures that are followed."""


def figures(basis: Basis, case: Case) -> dict[str, float]:
    """`FIGURES` of the plan in a case; NaN where there is none."""
    if basis.held is not None:
        return held.outcome(basis.held, case)
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
        ``held`` (what stays), ``figure`` (by which rows are ordered), ``base`` (figures of the plan, as the answer has them),
        ``most`` (for each figure the input that moves it most) and ``rows``: ``name low value high source``, and for each figure
        ``[at low, at high]``.

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
    rows += _kappa(growth or {}) if basis.held is None else []
    figure = main_figure(basis)
    kept = [row for row in rows if max(swing(row, base, name) for name in FIGURES) > LEAST]
    kept.sort(key=lambda row: -swing(row, base, figure))
    most = {}
    for name in FIGURES:
        first = max(kept, key=lambda row: swing(row, base, name), default=None)
        if first is not None and swing(first, base, name) > LEAST:
            most[name] = first["name"]
    return {"held": _held(basis, kept), "figure": figure, "base": base, "most": most, "rows": kept}


def _held(basis: Basis, rows: Sequence[Mapping[str, Any]]) -> str:
    """What every row holds, in words."""
    last = f"{format_quantity(basis.shown.params, 'count')} parameters"
    if basis.held is None:
        instead = f"; the row of {KAPPA_NAME} alone takes growth in its place where that pays"
        return f"the plan of {last}" + (instead if any(row["name"] == KAPPA_NAME for row in rows) else "")
    if len(basis.held.plans) < 2:
        return f"the plan that trains the given model of {last} on"
    first = format_quantity(basis.held.plans[0].params, "count")
    return (
        f"the plan that grows {first} into {last}: its models, layouts and batches, and the tokens of every stage but the last, "
        "which ends with the limit"
    )


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
    """Beside a run from scratch: the loss of the better of it and growth, from the cases that were planned."""
    cases = growth.get("cases") or {}
    if not set(KAPPA_CASES) <= set(cases) or any(not cases[name].get("stages") for name in KAPPA_CASES):
        return []
    low, value, high = (cases[name]["kappa"] for name in KAPPA_CASES)
    ends = [min(cases[n]["loss"], cases[n]["loss_scratch"]) for n in (KAPPA_CASES[0], KAPPA_CASES[-1])]
    row = {"name": KAPPA_NAME, "low": low, "value": value, "high": high}
    return [{**row, "source": f"{KAPPA_SOURCE}; growth in place of the plan where it pays", "loss": ends}]


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
