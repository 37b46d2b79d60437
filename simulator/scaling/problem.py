"""A form on data: coordinates in which it can be minimised, predictions, slopes, and the directions the data leave open."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .law import Array, Form
from .minimize import CHUNK_POINTS, Minimum, huber, huber_slope, minimize

STEP = 1e-5
"""Relative step of the central differences, for forms without exact gradients."""


EXPONENTS = (0.038, 1.52)
"""Exponents of a sum of powers that a fit may give: half the smallest published one (Kaplan et al. 2020, of parameters) to
twice the largest (theirs of steps). Far beyond, a term is constant, or a step, over the runs. [-]"""


@dataclass(frozen=True)
class Problem:
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

    @property
    def positive(self) -> set[str]:
        """Constants fitted in the logarithm."""
        if self.form.powers:
            return {self.form.floor, *(term.scale for term in self.form.powers)} - {""}
        return {name for name, (low, _) in self.form.starts.items() if low > 0}

    @property
    def bounds(self) -> tuple[Array, Array]:
        """Lowest and highest value of each coordinate (free,); infinite but for exponents of a sum of powers."""
        exponents = {term.exponent for term in self.form.powers}
        low, high = EXPONENTS
        return (
            np.array([low if name in exponents else -np.inf for name in self.free]),
            np.array([high if name in exponents else np.inf for name in self.free]),
        )


def solve(problem: Problem, starts: Array, weights: Array | None, delta: float) -> Minimum:
    """Minimise all problems, in chunks that stay in cache."""
    chunk = max(1, CHUNK_POINTS // len(problem.target))
    parts = []
    for begin in range(0, len(starts), chunk):
        part = None if weights is None else weights[begin : begin + chunk]
        objective, some = _objective(problem, part, delta), starts[begin : begin + chunk]
        parts.append(minimize(objective, some, bounds=problem.bounds))
    return Minimum(
        np.concatenate([m.theta for m in parts]),
        np.concatenate([m.value for m in parts]),
        np.concatenate([m.converged for m in parts]),
    )


def _objective(
    problem: Problem, weights: Array | None, delta: float
) -> Callable[[Array, Any], tuple[Array, Array]]:
    """Mean Huber loss over delta and its gradient, for many coordinates at once."""
    slope = _power_slope if problem.form.powers else _numeric_slope

    def objective(theta: Array, index: Any) -> tuple[Array, Array]:
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            share = None if weights is None else weights[index]
            return slope(problem, theta, share, delta)

    return objective


def _loss_and_pull(
    problem: Problem, predicted: Array, weights: Array | None, delta: float
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


def _power_slope(problem: Problem, theta: Array, weights: Array | None, delta: float) -> tuple[Array, Array]:
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
    problem: Problem, theta: Array, weights: Array | None, delta: float
) -> tuple[Array, Array]:
    rows, width = theta.shape
    step = STEP * np.maximum(np.abs(theta), 0.1)
    moves = np.concatenate([np.zeros((1, width)), np.eye(width), -np.eye(width)])
    points = theta[:, None, :] + moves[None] * step[:, None, :]
    predicted = predict(problem, points.reshape(-1, width))
    shares = None if weights is None else np.repeat(weights, len(moves), axis=0)
    values = _loss_and_pull(problem, predicted, shares, delta)[0].reshape(rows, len(moves))
    return values[:, 0], (values[:, 1 : width + 1] - values[:, width + 1 :]) / (2 * step)


def predict(problem: Problem, theta: Array) -> Array:
    """Predictions (k, n) for many coordinates (k, free)."""
    constants = {key: value[:, None] for key, value in problem.to_constants(theta).items()}
    inputs = {key: value[None] for key, value in problem.data.items()}
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        values = problem.form.function(**inputs, **constants)
    return np.broadcast_to(np.asarray(values, dtype=float), (len(theta), len(problem.target)))


def flat_directions(problem: Problem, theta: Array) -> list[str]:
    """Constants along directions in which the residuals move less than their own noise allows to see."""
    step = STEP * np.maximum(np.abs(theta), 0.1)
    moved = np.concatenate([theta + np.diag(step), theta - np.diag(step)])
    values = predict(problem, moved)
    center = predict(problem, theta[None])[0]
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
