"""Fit a law to runs: Huber on the logarithm of the loss, many starts, intervals by bootstrap.

The method of Hoffmann et al. 2022 as audited by Besiroglu et al. 2024 (arXiv:2404.10102): minimise the sum of Huber losses
(delta 1e-3) of ``log L_predicted - log L``, with the prediction computed as a log-sum-exp, from a spread of starts. All starts, then all
bootstraps and all leave-one-outs, are solved together (see `simulator.scaling.minimize`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from simulator.errors import SimulatorError, UnknownNameError

from .law import REFIT, Array, Form, Law
from .minimize import CHUNK_POINTS, Minimum, huber, huber_slope, minimize
from .registry import forms, laws
from .runs import columns, need

DELTA = 1e-3
"""Where Huber's loss turns linear, in the logarithm of the loss. [-]"""

STARTS = 48
"""Starting points of a fit."""

STEP = 1e-5
"""Relative step of the central differences, for forms without exact gradients."""


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


@dataclass(frozen=True)
class _Problem:
    """A form on data: how free coordinates become constants and predictions."""

    form: Form
    data: Mapping[str, Array]
    target: Array
    free: tuple[str, ...]
    fixed: Mapping[str, float]
    centers: Mapping[str, float]

    def to_constants(self, theta: Array) -> dict[str, Array]:
        """Constants (k,) of each row of coordinates (k, free)."""
        raw = {name: theta[:, i] for i, name in enumerate(self.free)}
        out: dict[str, Array] = {k: np.full(len(theta), v) for k, v in self.fixed.items()}
        if not self.form.powers:
            return out | {k: np.exp(v) if k in self.positive else v for k, v in raw.items()}
        if self.form.floor in raw:
            out[self.form.floor] = np.exp(raw[self.form.floor])
        for term in self.form.powers:
            exponent = raw[term.exponent] if term.exponent in raw else out[term.exponent] * term.sign
            out[term.exponent] = exponent * term.sign
            if term.scale in raw:
                log_scale = raw[term.scale] + exponent * self.centers[term.input]
                with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
                    out[term.scale] = np.exp(log_scale / exponent if term.point else log_scale)
        return out

    def to_theta(self, constants: Mapping[str, float]) -> Array:
        """Free coordinates of given constants."""
        out = {}
        for name in self.free:
            value = float(constants[name])
            out[name] = float(np.log(value)) if name in self.positive else value
        for term in self.form.powers:
            exponent = float(constants[term.exponent]) * term.sign
            log_scale = float(np.log(constants[term.scale])) * (exponent if term.point else 1.0)
            if term.scale in out:
                out[term.scale] = log_scale - exponent * self.centers[term.input]
            if term.exponent in out:
                out[term.exponent] = exponent
        return np.array([out[name] for name in self.free])

    @property
    def positive(self) -> set[str]:
        """Constants fitted in the logarithm."""
        if self.form.powers:
            return {self.form.floor, *(term.scale for term in self.form.powers)} - {""}
        return {name for name, (low, _) in self.form.starts.items() if low > 0}


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
    `simulator.scaling.transfer` is the better tool.

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
    form = _form(law)
    if residual is not None:
        if residual not in ("log", "linear"):
            raise UnknownNameError(residual, kind="residual", names=["log", "linear"])
        form = replace(form, linear=residual == "linear")
    problem = _problem(runs, form, dict(fixed or {}), target)
    rng = np.random.default_rng(seed)
    first = _solve(problem, _starts(problem, rng, n_starts), None, delta)
    if not np.any(np.isfinite(first.value)):
        raise SimulatorError(
            f"no start of the fit of {problem.form.name} gave a finite loss: check the units of the runs"
        )
    best = int(np.argmin(first.value))
    theta, count = first.theta[best], len(problem.target)
    draws = np.empty((0, len(problem.form.parameters)))
    if n_bootstrap:
        weights = rng.multinomial(count, np.full(count, 1 / count), size=n_bootstrap).astype(float)
        draws = _table(problem, _solve(problem, np.tile(theta, (n_bootstrap, 1)), weights, delta).theta)
    held_out = float("nan")
    if leave_one_out:
        weights = 1.0 - np.eye(count)
        ends = _solve(problem, np.tile(theta, (count, 1)), weights, delta).theta
        held_out = float(np.mean(np.abs(np.diagonal(_predict(problem, ends)) - problem.target)))
    constants = {k: float(v[0]) for k, v in problem.to_constants(theta[None]).items()}
    constants = {k: constants[k] for k in problem.form.parameters}
    fitted = _predict(problem, theta[None])[0]
    misses = problem.target - fitted
    spread = np.sum((problem.target - np.mean(problem.target)) ** 2)
    result = Fit(
        law=_as_law(problem, constants, law, name),
        constants=constants,
        n=count,
        objective=float(first.value[best]),
        r2=float(1 - np.sum(misses**2) / spread) if spread > 0 else float("nan"),
        mae=float(np.mean(np.abs(misses))),
        leave_one_out=held_out,
        draws=draws,
    )
    if n_bootstrap:
        ends_ = np.quantile(draws, [0.025, 0.975], axis=0)
        names = problem.form.parameters
        result = replace(
            result,
            intervals={k: (float(ends_[0, i]), float(ends_[1, i])) for i, k in enumerate(names)},
            standard_errors={k: float(np.std(draws[:, i])) for i, k in enumerate(names)},
        )
    return replace(result, warnings=_warnings(problem, theta, result))


def _problem(runs: Any, form: Form, fixed: Mapping[str, float], target: str) -> _Problem:
    table = need(columns(runs), (*form.inputs, target), what=f"a fit of {form.name}")
    good = np.all([np.isfinite(column) for column in table.values()], axis=0)
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
        )
    positive = {term.input for term in form.powers} | (set() if form.linear else {target})
    bad = [key for key in positive if np.any(table[key] <= 0)]
    if bad:
        raise SimulatorError(f"{', '.join(sorted(bad))} must be positive")
    centers = {term.input: float(np.mean(np.log(table[term.input]))) for term in form.powers}
    data = {key: table[key] for key in form.inputs}
    return _Problem(form, data, table[target], free, fixed, centers)


def _form(law: str | Form | Law) -> Form:
    if isinstance(law, Form):
        return law
    if isinstance(law, Law):
        return law.form
    if law in laws:
        return laws[law].form
    if law in forms:
        return forms[law]
    raise UnknownNameError(law, kind="form", names=[*forms, *laws])


def _starts(problem: _Problem, rng: np.random.Generator, count: int) -> Array:
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


def _solve(problem: _Problem, starts: Array, weights: Array | None, delta: float) -> Minimum:
    """Minimise all problems, in chunks that stay in cache."""
    chunk = max(1, CHUNK_POINTS // len(problem.target))
    parts = []
    for begin in range(0, len(starts), chunk):
        part = None if weights is None else weights[begin : begin + chunk]
        parts.append(minimize(_objective(problem, part, delta), starts[begin : begin + chunk]))
    return Minimum(
        np.concatenate([m.theta for m in parts]),
        np.concatenate([m.value for m in parts]),
        np.concatenate([m.converged for m in parts]),
    )


def _objective(
    problem: _Problem, weights: Array | None, delta: float
) -> Callable[[Array, Any], tuple[Array, Array]]:
    """Mean Huber loss over delta and its gradient, for many coordinates at once."""
    slope = _power_slope if problem.form.powers else _numeric_slope

    def objective(theta: Array, index: Any) -> tuple[Array, Array]:
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            share = None if weights is None else weights[index]
            return slope(problem, theta, share, delta)

    return objective


def _loss_and_pull(
    problem: _Problem, predicted: Array, weights: Array | None, delta: float
) -> tuple[Array, Array]:
    """Value (k,) and its derivative with respect to each prediction (k, n)."""
    scale = delta * len(problem.target)
    if problem.form.linear:
        residual = predicted - problem.target
    else:
        residual = np.log(predicted) - np.log(problem.target)
    value, pull = huber(residual, delta) / scale, huber_slope(residual, delta) / scale
    if not problem.form.linear:
        pull = pull / predicted
    if weights is not None:
        value, pull = value * weights, pull * weights
    return np.sum(value, axis=1), pull


def _power_slope(problem: _Problem, theta: Array, weights: Array | None, delta: float) -> tuple[Array, Array]:
    place = {name: i for i, name in enumerate(problem.free)}
    form, constants = problem.form, problem.to_constants(theta)
    terms, total = [], np.zeros((len(theta), len(problem.target)))
    if form.floor:
        total += constants[form.floor][:, None]
    for term in form.powers:
        x = np.log(problem.data[term.input]) - problem.centers[term.input]
        exponent = (constants[term.exponent] * term.sign)[:, None]
        if term.scale in place:
            level = theta[:, place[term.scale], None]
        else:
            log_scale = np.log(constants[term.scale])[:, None] * (exponent if term.point else 1.0)
            level = log_scale - exponent * problem.centers[term.input]
        value = np.exp(level - exponent * x)
        terms.append((term, x, value))
        total += value
    value_, pull = _loss_and_pull(problem, total, weights, delta)
    gradient = np.zeros_like(theta)
    if form.floor in place:
        gradient[:, place[form.floor]] = np.sum(pull, axis=1) * constants[form.floor]
    for term, x, value in terms:
        weighted = pull * value
        if term.scale in place:
            gradient[:, place[term.scale]] = np.sum(weighted, axis=1)
        if term.exponent in place:
            gradient[:, place[term.exponent]] -= np.sum(weighted * x, axis=1)
    return value_, gradient


def _numeric_slope(
    problem: _Problem, theta: Array, weights: Array | None, delta: float
) -> tuple[Array, Array]:
    rows, width = theta.shape
    step = STEP * np.maximum(np.abs(theta), 0.1)
    moves = np.concatenate([np.zeros((1, width)), np.eye(width), -np.eye(width)])
    points = theta[:, None, :] + moves[None] * step[:, None, :]
    predicted = _predict(problem, points.reshape(-1, width))
    shares = None if weights is None else np.repeat(weights, len(moves), axis=0)
    values = _loss_and_pull(problem, predicted, shares, delta)[0].reshape(rows, len(moves))
    return values[:, 0], (values[:, 1 : width + 1] - values[:, width + 1 :]) / (2 * step)


def _predict(problem: _Problem, theta: Array) -> Array:
    constants = {key: value[:, None] for key, value in problem.to_constants(theta).items()}
    inputs = {key: value[None] for key, value in problem.data.items()}
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        values = problem.form.function(**inputs, **constants)
    return np.broadcast_to(np.asarray(values, dtype=float), (len(theta), len(problem.target)))


def _table(problem: _Problem, theta: Array) -> Array:
    constants = problem.to_constants(theta)
    return np.stack([constants[key] for key in problem.form.parameters], axis=1)


def _as_law(problem: _Problem, constants: dict[str, float], law: str | Form | Law, name: str) -> Law:
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


def _warnings(problem: _Problem, theta: Array, result: Fit) -> tuple[str, ...]:
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
    flat = _flat_directions(problem, theta)
    if flat:
        found.append(f"the runs hardly constrain {', '.join(flat)}")
    wide = [
        key
        for key, (low, high) in result.intervals.items()
        if key not in problem.positive and abs(high - low) > abs(result.constants[key])
    ]
    if wide:
        found.append(f"the interval of {', '.join(wide)} is as wide as its value")
    return tuple(found)


def _flat_directions(problem: _Problem, theta: Array) -> list[str]:
    """Constants along directions in which the residuals move less than their own noise allows to see."""
    step = STEP * np.maximum(np.abs(theta), 0.1)
    moved = np.concatenate([theta + np.diag(step), theta - np.diag(step)])
    values = _predict(problem, moved)
    center = _predict(problem, theta[None])[0]
    if not problem.form.linear:
        values, center = np.log(values), np.log(center)
    width = len(theta)
    jacobian = ((values[:width] - values[width:]) / (2 * step[:, None])).T
    observed = problem.target if problem.form.linear else np.log(problem.target)
    noise = max(float(np.sqrt(np.mean((center - observed) ** 2))), 1e-4)
    if not np.all(np.isfinite(jacobian)):
        return list(problem.free)
    _, singular, directions = np.linalg.svd(jacobian, full_matrices=True)
    singular = np.concatenate([singular, np.zeros(width - len(singular))])
    out = []
    for size, direction in zip(singular, directions, strict=True):
        if size < noise / 0.5:  # a move of one half in a logarithm or an exponent drowns in the noise
            out += [problem.free[i] for i in np.flatnonzero(np.abs(direction) > 0.5)]
    return [key for key in problem.free if key in out]
