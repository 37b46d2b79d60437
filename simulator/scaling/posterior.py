"""The most probable constants of a moved law: what is believed before the runs are seen, and what the runs add.

The widths of the prior are the spread of published laws; the growth of the noise was set once on six public sets of runs
(`docs/scaling.md` has the figures), by predicting the runs above a tenth of the largest compute from those below.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import data
from .chinchilla import chinchilla
from .law import Array
from .minimize import huber, minimize

FLOOR_WIDTH = 0.15
"""Spread of ln E about the scaled law, before the runs are seen. [-]"""

TERM_WIDTH = 0.5
"""The same for the logarithm of the size and of the data term at the center of the runs. [-]"""

EXPONENT_WIDTH = 0.15
"""The same for each exponent: about the standard deviation of the exponents of the laws in this package (0.13 and 0.15). [-]"""

SEED_NOISE = 0.005
"""Run-to-run noise of log loss: seeds and evaluation. [-]"""

DISTANCE_NOISE = 0.02
"""Error of the form per e-fold of compute between a run and the largest run. [-]"""

REPEAT_NOISE = 0.1
"""Error of the form per e-fold of epochs. [-]"""

AHEAD = 0.5
"""Share of the two errors of the form that a prediction carries: 80 % intervals then hold 80 % of the runs ahead. [-]"""

EMBEDDING_WIDTH = 0.2
"""Spread of the worth of an embedding parameter about one. [-]"""

SHAPE_WEIGHT, SHAPE_WIDTH = 0.5, 0.3
"""Share of the published effect of shape that is believed, and its spread. [-]"""

OUTLIER = 1.5
"""Residual, in standard deviations, beyond which a run pulls with constant force. [-]"""

STEP = 1e-5
"""Step of the numerical derivatives, in coordinates. [-]"""


def noise(pairs: Any, epochs: Any, largest: float, *, share: float = 1.0) -> Any:
    """Standard deviation of log loss of a run: seed, distance in compute, repetition. [-]

    Examples
    --------
    >>> round(float(noise(1e18, 1.0, 1e20)), 3), float(noise(1e20, 1.0, 1e20))
    (0.092, 0.005)
    """
    distance = share * DISTANCE_NOISE * np.log(pairs / largest)
    return np.sqrt(SEED_NOISE**2 + distance**2 + (share * REPEAT_NOISE * np.log(epochs)) ** 2)


def _epochs(table: Mapping[str, Array]) -> Array:
    unique = table.get("unique_tokens", np.full(len(table["tokens"]), np.nan))
    return np.fmax(np.nan_to_num(table["tokens"] / unique, nan=1.0), 1.0)


def fresh_tokens(table: Mapping[str, Array]) -> Array:
    """Tokens after the discount of repeats; parameters keep their worth, which the runs themselves settle.

    Refitted to the 182 runs of arXiv:2305.16264 with every constant free, the discount of parameters vanishes (R2 0.93).
    """
    if "unique_tokens" not in table:
        return table["tokens"]
    fresh = data.repeated(**{k: table[k] for k in ("params", "tokens", "unique_tokens")})[1]
    return np.asarray(fresh, dtype=float)


def prior(
    terms: Mapping[str, float], table: Mapping[str, Array], center: tuple[float, float], *, shaped: bool
) -> tuple[Array, Array]:
    """Center and widths: the law, scaled to the level of the largest runs."""
    n, d = table["params"], fresh_tokens(table)
    guess = np.log(chinchilla(params=n, tokens=d, **terms))
    pairs = table["params"] * table["tokens"]
    scale = float(np.average(np.log(table["loss"]) - guess, weights=np.sqrt(pairs / np.max(pairs))))
    mean = [
        np.log(terms["E"]) + scale,
        np.log(terms["A"]) - terms["alpha"] * center[0] + scale,
        np.log(terms["B"]) - terms["beta"] * center[1] + scale,
        terms["alpha"],
        terms["beta"],
    ]
    width = [FLOOR_WIDTH, TERM_WIDTH, TERM_WIDTH, EXPONENT_WIDTH, EXPONENT_WIDTH]
    if shaped:
        mean, width = [*mean, 1.0, SHAPE_WEIGHT], [*width, EMBEDDING_WIDTH, SHAPE_WIDTH]
    return np.array(mean), np.array(width)


@dataclass(frozen=True)
class Posterior:
    """Coordinates of greatest density, with what remains uncertain.

    Attributes
    ----------
    theta, covariance : array
        The coordinates and their covariance.
    log_predicted : array
        Logarithm of the loss that they predict for each run.
    inflation : float
        Factor on standard deviations where the runs scatter more than their noise says, else one. [-]
    """

    theta: Array
    covariance: Array
    log_predicted: Array
    inflation: float


def most_probable(
    predicted: Callable[[Array], Array], table: Mapping[str, Array], mean: Array, spread: Array
) -> Posterior:
    """Coordinates of greatest posterior density and their covariance, from the prior and a start to either side."""
    target, pairs = np.log(table["loss"]), table["params"] * table["tokens"]
    sigma = noise(pairs, _epochs(table), float(np.max(pairs)))
    size = len(mean)
    moves = np.concatenate([np.zeros((1, size)), np.eye(size), -np.eye(size)]) * STEP

    def objective(theta: Array, _: Any) -> tuple[Array, Array]:
        points = theta[:, None, :] + moves
        with np.errstate(all="ignore"):
            misfit = huber((predicted(points) - target) / sigma, OUTLIER).sum(axis=-1)
            value = misfit + 0.5 * np.sum(((points - mean) / spread) ** 2, axis=-1)
            return value[:, 0], (value[:, 1 : size + 1] - value[:, size + 1 :]) / (2 * STEP)

    side = np.resize([-1.0, 1.0, 1.0, -0.5, -0.5, 0.0, 0.0], size)
    starts = np.stack([mean, mean + side * spread, mean - side * spread])
    end = minimize(objective, starts, gradient_tolerance=1e-6)
    theta = end.theta[int(np.argmin(end.value))]
    residual = (predicted(theta[None])[0] - target) / sigma
    around = predicted(theta + moves[1:])
    slope = ((around[:size] - around[size:]) / (2 * STEP)).T / sigma[:, None]
    weight = np.minimum(1.0, OUTLIER / np.maximum(np.abs(residual), 1e-12))
    precision = (slope * weight[:, None]).T @ slope + np.diag(spread**-2.0)
    degrees = max(len(target) - size, 1)
    inflation = max(
        1.0, float(np.sqrt(np.sum(weight * residual**2) / degrees)) if len(target) > size else 1.0
    )
    return Posterior(theta, np.linalg.inv(precision), residual * sigma + target, inflation)
