"""Fit a law to runs: Huber on the logarithm of the loss, many starts, intervals by bootstrap.

The method of Hoffmann et al. 2022 as audited by Besiroglu et al. 2024 (arXiv:2404.10102): minimise the sum of Huber losses
(delta 1e-3) of ``log Lpredicted - log L``, with the prediction computed as a log-sum-exp, from a spread of starts. All starts, then all
bootstraps and all leave-one-outs, are solved together (see `simulator.scaling.minimize`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from simulator.errors import SimulatorError, UnknownNameError

from . import batch
from .law import REFIT, Array, Form, Law
from .problem import EXPONENTS, Problem, flat_directions, predict, solve
from .registry import forms, laws
from .runs import columns, implausible, left_out, need

DELTA = 1e-3
"""Where Huber's loss turns linear, in the logarithm of the loss. [-]"""

STARTS = 48
"""Starting points of a fit."""

INSTEAD = "move a published law to the runs instead: simulator.scaling.transfer, trainsim laws fit --from"
"""What to do where runs do not identify a law."""


@dataclass(frozen=True)
class Fit:
    """A law fitted to runs, with what is known of its uncertainty.

    Attributes
    ----------
    law : Law
        The fitted law, ready for `simulator.scaling.loss`.
    constants : dict
        Value of each constant.
    intervals : dict
        95 % bootstrap interval of each constant; empty without bootstraps.
    standard_errors : dict
        Standard deviation over bootstraps.
    n : int
        Runs used.
    objective : float
        Mean Huber loss over delta. [-]
    r2 : float
        Share of the variance of the loss explained.
    mae : float
        Mean absolute residual, in the unit of the loss.
    leave_one_out : float
        Mean absolute error on each run from a fit to the others; not-a-number unless asked for.
    warnings : tuple of str
        What the data cannot tell.
    draws : array
        Constants of each bootstrap, shape (bootstraps, constants).
    """

    law: Law
    constants: dict[str, float]
    n: int
    objective: float
    r2: float
    mae: float
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    standard_errors: dict[str, float] = field(default_factory=dict)
    leave_one_out: float = float("nan")
    warnings: tuple[str, ...] = ()
    draws: Array = field(default_factory=lambda: np.empty((0, 0)), repr=False)

    def predict(self, **numbers: Any) -> Any:
        """Loss at new inputs."""
        return self.law(**numbers)

    def interval(self, level: float = 0.8, **numbers: Any) -> tuple[Any, Any]:
        """Interval of the fitted curve at new inputs from the bootstraps, run-to-run noise not included."""
        if not len(self.draws):
            raise SimulatorError("this fit has no bootstraps: fit with n_bootstrap=1000, say")
        inputs = {name: np.asarray(numbers[name], dtype=float)[..., None] for name in self.law.inputs}
        names = self.law.form.parameters
        values = self.law.form.function(**inputs, **{name: self.draws[:, i] for i, name in enumerate(names)})
        low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2], axis=-1)
        return low[()], high[()]


def fit(
    runs: Any,
    law: str | Form | Law = "chinchilla",
    *,
    n_bootstrap: int = 0,
    seed: int = 0,
    delta: float = DELTA,
    fixed: Mapping[str, float] | None = None,
    leave_one_out: bool = False,
    n_starts: int = STARTS,
    residual: str | None = None,
    name: str = "fitted",
    target: str = "loss",
) -> Fit:
    """Fit a form to runs.

    Parameters
    ----------
    runs : DataFrame, mapping of columns, or list of rows
        One run per row; columns ``params`` (or N), ``tokens`` (or D), ``loss`` and whatever else the form needs.
    law : str, Form or Law, optional
        A key of `forms`, or a law, whose form is taken.
    n_bootstrap : int, optional
        Bootstraps for intervals.
    seed : int, optional
        Of the starts and the bootstraps.
    delta : float, optional
        Where Huber's loss turns linear, in the unit of the residual; large for least squares. [-]
    fixed : mapping, optional
        Constants held at a value.
    leave_one_out : bool, optional
        Whether to refit without each run in turn.
    n_starts : int, optional
        Starting points.
    residual : str, optional
        ``log`` (differences of logarithms) or ``linear``; the form's own if absent.
    name : str, optional
        Name of the fitted law.
    target : str, optional
        Column to fit.

    Returns
    -------
    Fit
        Constants, intervals, residuals and warnings.

    Notes
    -----
    Constants of a fit are strongly correlated (a scale with its exponent): compare predictions, or draws, not constants one by one. A
    fit of fewer than about ten runs, or of runs at one ratio of tokens to parameters, does not identify the exponents; then
    `simulator.scaling.transfer` is the better tool. Exponents of sums of powers stay within `simulator.scaling.problem.EXPONENTS`;
    a fit that ends at one of the two says so.

    References
    ----------
    .. [1] T. Besiroglu et al., "Chinchilla scaling: a replication attempt", arXiv:2404.10102, 2024.

    Examples
    --------
    >>> n = np.repeat([1e8, 3e8, 1e9], 3); d = np.tile([2e9, 1e10, 5e10], 3)
    >>> runs = {"params": n, "tokens": d, "loss": laws["Besiroglu2024"](params=n, tokens=d)}
    >>> round(fit(runs, fixed={"E": 1.8172}).constants["alpha"], 3)
    0.348
    """
    problem, said = _problem(runs, _form(law, residual), dict(fixed or {}), target)
    rng = np.random.default_rng(seed)
    first = solve(problem, _starts(problem, rng, n_starts), None, delta)
    if not np.any(np.isfinite(first.value)):
        raise SimulatorError(
            f"no start of the fit of {problem.form.name} gave a finite loss: check the units of the runs"
        )
    best = int(np.argmin(first.value))
    theta, count = first.theta[best], len(problem.target)
    draws = _draws(problem, theta, delta, rng, n_bootstrap)
    constants = {k: float(v[0]) for k, v in problem.to_constants(theta[None]).items()}
    constants = {k: constants[k] for k in problem.form.parameters}
    fitted = predict(problem, theta[None])[0]
    misses = problem.target - fitted
    spread = np.sum((problem.target - np.mean(problem.target)) ** 2)
    result = Fit(
        law=_as_law(problem, constants, law, name),
        constants=constants,
        n=count,
        objective=float(first.value[best]),
        r2=float(1 - np.sum(misses**2) / spread) if spread > 0 else float("nan"),
        mae=float(np.mean(np.abs(misses))),
        leave_one_out=_held_out(problem, theta, delta) if leave_one_out else float("nan"),
        draws=draws,
    )
    if n_bootstrap:
        names = problem.form.parameters
        with np.errstate(over="ignore", invalid="ignore"):  # a scale that the runs leave open may overflow
            ends = np.quantile(draws, [0.025, 0.975], axis=0)
            errors = {k: float(np.std(draws[:, i])) for i, k in enumerate(names)}
        intervals = {k: (float(ends[0, i]), float(ends[1, i])) for i, k in enumerate(names)}
        result = replace(result, intervals=intervals, standard_errors=errors)
    return replace(result, warnings=(*said, *_warnings(problem, theta, result)))


def _draws(problem: Problem, theta: Array, delta: float, rng: np.random.Generator, count: int) -> Array:
    """Constants of fits to runs drawn with replacement, shape (bootstraps, constants)."""
    if not count:
        return np.empty((0, len(problem.form.parameters)))
    runs = len(problem.target)
    weights = rng.multinomial(runs, np.full(runs, 1 / runs), size=count).astype(float)
    return _table(problem, solve(problem, np.tile(theta, (count, 1)), weights, delta).theta)


def _held_out(problem: Problem, theta: Array, delta: float) -> float:
    """Mean absolute error on each run of a fit to the others."""
    count = len(problem.target)
    ends = solve(problem, np.tile(theta, (count, 1)), 1.0 - np.eye(count), delta).theta
    return float(np.mean(np.abs(np.diagonal(predict(problem, ends)) - problem.target)))


def _problem(
    runs: Any, form: Form, fixed: Mapping[str, float], target: str
) -> tuple[Problem, tuple[str, ...]]:
    """The form on the complete runs, and what is to be said of the table."""
    names = (*form.inputs, target)
    table = need(columns(runs, names), names, what=f"a fit of {form.name}")
    good, lost = left_out(table, names)
    table = {key: column[good] for key, column in table.items()}
    unknown = set(fixed) - set(form.parameters)
    if unknown:
        raise UnknownNameError(min(unknown), kind="constant", names=form.parameters)
    free = tuple(key for key in form.parameters if key not in fixed)
    count = int(np.sum(good))
    if count < max(len(free), 2):
        raise SimulatorError(
            f"{form.name} has {len(free)} constants to fit and there are {count} complete runs; "
            "fix some constants, or move a law with simulator.scaling.transfer"
            + (f". {lost}" if lost else "")
        )
    positive = {term.input for term in form.powers} | (set() if form.linear else {target})
    bad = [key for key in positive if np.any(table[key] <= 0)]
    if bad:
        raise SimulatorError(f"{', '.join(sorted(bad))} must be positive")
    centers = {term.input: float(np.mean(np.log(table[term.input]))) for term in form.powers}
    data = {key: table[key] for key in form.inputs}
    said = ([lost] if lost else []) + implausible(table)
    return Problem(form, data, table[target], free, fixed, centers), tuple(said)


def _form(law: str | Form | Law, residual: str | None) -> Form:
    """The form to fit, with the residual that is asked for in place of its own."""
    form = _form_of(law)
    if residual is None:
        return form
    if residual not in ("log", "linear"):
        raise UnknownNameError(residual, kind="residual", names=["log", "linear"])
    return replace(form, linear=residual == "linear")


def _form_of(law: str | Form | Law) -> Form:
    if isinstance(law, Form):
        return law
    if isinstance(law, Law):
        return law.form
    if law in laws:
        return laws[law].form
    if law in batch.laws:
        return batch.laws[law].form
    if law in forms:
        return forms[law]
    raise UnknownNameError(law, kind="form", names=[*forms, *laws, *batch.laws])


def _starts(problem: Problem, rng: np.random.Generator, count: int) -> Array:
    """Starting coordinates, spread over the ranges of the form or over what the data allow."""
    form, low_loss = problem.form, float(np.min(problem.target))
    out = np.empty((count, len(problem.free)))
    spread = max(float(np.ptp(problem.target)), 1e-3 * abs(low_loss))
    for i, key in enumerate(problem.free):
        if form.powers and key == form.floor:
            out[:, i] = np.log(low_loss * rng.uniform(0.3, 0.98, count))
        elif any(key == term.scale for term in form.powers):
            out[:, i] = np.log(spread) + rng.uniform(-2.5, 0.5, count)
        elif any(key == term.exponent for term in form.powers):
            out[:, i] = rng.uniform(0.1, 0.9, count)
        else:
            if key not in form.starts:
                raise SimulatorError(
                    f"{form.name} has no range to start {key} from: fix it, or give the form starts"
                )
            low, high = form.starts[key]
            out[:, i] = (
                rng.uniform(np.log(low), np.log(high), count) if low > 0 else rng.uniform(low, high, count)
            )
    return out


def _table(problem: Problem, theta: Array) -> Array:
    constants = problem.to_constants(theta)
    return np.stack([constants[key] for key in problem.form.parameters], axis=1)


def _as_law(problem: Problem, constants: dict[str, float], law: str | Form | Law, name: str) -> Law:
    ranges = {key: (float(np.min(v)), float(np.max(v))) for key, v in problem.data.items()}
    origin = laws[law] if isinstance(law, str) and law in laws else law
    about: dict[str, Any] = {
        "quantity": "loss",
        "loss_unit": "unit of the runs",
        "n_convention": "that of the runs",
    }
    if isinstance(origin, Law):
        about = {
            "quantity": origin.quantity,
            "loss_unit": origin.loss_unit,
            "n_convention": origin.n_convention,
        }
    return Law(
        name=name,
        form=problem.form,
        constants=constants,
        corpus="that of the runs",
        tokenizer="that of the runs",
        source=f"fitted to {len(problem.target)} runs",
        range=ranges,
        provenance=REFIT,
        terms=constants if problem.form.name == "chinchilla" else {},
        **about,
    )


def _warnings(problem: Problem, theta: Array, result: Fit) -> tuple[str, ...]:
    """What the runs cannot tell: too few, on one line, a flat direction, an interval as wide as the value."""
    found = []
    if result.n < 2 * len(problem.free):
        found.append(
            f"{result.n} runs for {len(problem.free)} constants: expect other runs to give other constants"
        )
    inputs = [key for key, column in problem.data.items() if np.all(column > 0)]
    for i, one in enumerate(inputs):
        x = np.log(problem.data[one])
        if np.ptp(x) < np.log(2):
            found.append(f"{one} varies by less than a factor of two: its exponent is not identified")
        for other in inputs[i + 1 :]:
            y = np.log(problem.data[other])
            if np.std(x) > 0 and np.std(y) > 0 and abs(np.corrcoef(x, y)[0, 1]) > 0.98:
                found.append(f"{one} and {other} vary together: their terms cannot be told apart")
    ends = [
        key
        for key, *values in zip(problem.free, theta, *problem.bounds, strict=True)
        if np.any(np.isclose(values[0], values[1:]))
    ]
    if ends:
        least, most = EXPONENTS
        found.append(f"{', '.join(ends)} ended at a bound of exponents, {least:g} to {most:g}")
    flat = flat_directions(problem, theta)
    if flat:
        found.append(f"the runs hardly constrain {', '.join(flat)}")
    wide = [
        key
        for key, (low, high) in result.intervals.items()
        if key not in problem.positive and abs(high - low) > abs(result.constants[key])
    ]
    if wide:
        found.append(f"the interval of {', '.join(wide)} is as wide as its value")
    return (*found, INSTEAD) if found else ()
