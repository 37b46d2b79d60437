"""Many small smooth minimisations at once: BFGS over a batch of problems that share their data.

Fitting a law means a few constants, tens to hundreds of runs, dozens of starts and thousands of bootstraps. One at a time in
Python that takes an hour; as arrays with a leading axis of problems it takes seconds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .law import Array

ARMIJO = 1e-4
CHUNK_POINTS = 1 << 17


@dataclass(frozen=True)
class Minimum:
    """Where each problem ended: `theta` (problems, constants), `value` and `converged` (problems,)."""

    theta: Array
    value: Array
    converged: Any


def huber(residual: Array, delta: float) -> Array:
    """Huber's loss: half the square inside `delta`, linear outside.

    Examples
    --------
    >>> huber(np.array([0.5, 3.0]), 1.0).tolist()
    [0.125, 2.5]
    """
    size = np.abs(residual)
    inside = np.minimum(size, delta)
    return inside * (size - 0.5 * inside)


def huber_slope(residual: Array, delta: float) -> Array:
    """Return the derivative of `huber`: the residual, clipped to `delta`.

    Examples
    --------
    >>> huber_slope(np.array([0.5, -3.0]), 1.0).tolist()
    [0.5, -1.0]
    """
    return np.clip(residual, -delta, delta)


def minimize(
    objective: Callable[[Array, Any], tuple[Array, Array]],
    start: Array,
    *,
    bounds: tuple[Array, Array] | None = None,
    max_iterations: int = 500,
    gradient_tolerance: float = 1e-9,
    value_tolerance: float = 1e-12,
) -> Minimum:
    """Minimise a batch of problems by BFGS with backtracking, between bounds where there are any.

    Parameters
    ----------
    objective : callable
        ``objective(theta, index)`` returns values (k,) and gradients (k, p) of the problems numbered `index`.
    start : array
        Starting points, shape (problems, constants), between the bounds.
    bounds : tuple of array, optional
        Lowest and highest value of each constant, shape (constants,); infinite where there is none.
    max_iterations : int, optional
        Steps at most.
    gradient_tolerance : float, optional
        A problem is done when every component of its scaled gradient is below this.
    value_tolerance : float, optional
        A problem is done when three steps together improve its value by less than this share.

    Returns
    -------
    Minimum
        The end points.

    Notes
    -----
    Problems that are done leave the batch, so the slow ones do not hold up the rest. A local minimiser: give several starts.
    A constant stays at its bound as long as the slope points beyond it; a step ends where the first constant meets its bound.

    Examples
    --------
    >>> bowl = lambda theta, index: (np.sum((theta - 3.0) ** 2, axis=1), 2 * (theta - 3.0))
    >>> minimize(bowl, np.zeros((1, 2)), bounds=(np.zeros(2), np.array([1.0, 9.0]))).theta.round(6).tolist()
    [[1.0, 3.0]]
    """
    theta = np.array(start, dtype=float)
    problems, width = theta.shape
    low, high = (np.full(width, -np.inf), np.full(width, np.inf)) if bounds is None else bounds
    value, converged = np.full(problems, np.inf), np.zeros(problems, dtype=bool)
    index = np.arange(problems)
    f, g = objective(theta, index)
    alive = np.isfinite(f) & np.all(np.isfinite(g), axis=1)
    value[index] = np.where(alive, f, np.inf)
    index, x, f, g = index[alive], theta[alive], f[alive], g[alive]
    inverse = np.broadcast_to(np.eye(width), (len(index), width, width)).copy()
    inverse /= np.maximum(np.linalg.norm(g, axis=1), 1e-300)[:, None, None] * 10
    fresh, stall = np.ones(len(index), dtype=bool), np.zeros(len(index), dtype=int)
    for _ in range(max_iterations):
        if not len(index):
            break
        step, slope = _descent(x, g, inverse, low, high)
        ends = np.where(step > 0, high, low)
        x_new, f_new, g_new, moved = _line_search(objective, index, x, f, g, step, slope, ends)
        s = x_new - x
        y = np.where((s == 0) & ((x <= low) | (x >= high)), 0.0, g_new - g)  # curvature among the free alone
        inverse = _update(inverse, s, y, fresh)
        fresh = np.zeros_like(fresh)
        small = (f - f_new) <= value_tolerance * np.maximum(np.abs(f), 1e-300)
        # a failed search resets the metric once before the problem is given up
        stall = np.where(small, stall + 1, 0)
        failed = ~moved
        inverse[failed] = (
            np.eye(width) / np.maximum(np.linalg.norm(g_new[failed], axis=1), 1e-300)[:, None, None] * 1e-3
        )
        x, f, g = x_new, f_new, g_new
        left = np.max(np.abs(_inward(x, g, low, high)), axis=1)
        done = (left < gradient_tolerance) | (stall >= 3)
        if np.any(done):
            theta[index[done]], value[index[done]], converged[index[done]] = x[done], f[done], True
            keep = ~done
            index, x, f, g, inverse = index[keep], x[keep], f[keep], g[keep], inverse[keep]
            fresh, stall = fresh[keep], stall[keep]
    theta[index], value[index] = x, f
    return Minimum(theta, value, converged)


def _inward(x: Array, slope: Array, low: Array, high: Array) -> Array:
    """A slope without the components against which a constant would leave its bounds."""
    return np.where(((x <= low) & (slope > 0)) | ((x >= high) & (slope < 0)), 0.0, slope)


def _descent(x: Array, g: Array, inverse: Array, low: Array, high: Array) -> tuple[Array, Array]:
    """Quasi-Newton steps within the bounds and the slopes along them; a metric that points uphill is reset in place."""
    pull = _inward(x, g, low, high)
    step = -_inward(x, np.einsum("kij,kj->ki", inverse, pull), low, high)
    slope = np.einsum("ki,ki->k", step, pull)
    uphill = ~(slope < 0)
    if np.any(uphill):
        step[uphill] = -pull[uphill]
        inverse[uphill] = np.eye(x.shape[1])
        slope = np.einsum("ki,ki->k", step, pull)
    return step, slope


def _line_search(
    objective: Callable[[Array, Any], tuple[Array, Array]],
    index: Any,
    x: Array,
    f: Array,
    g: Array,
    step: Array,
    slope: Array,
    ends: Array,
) -> tuple[Array, Array, Array, Any]:
    """Backtrack until Armijo holds, with a weak-Wolfe expansion when the first step is far too short."""
    with np.errstate(divide="ignore", invalid="ignore"):
        reach = np.where(step == 0, np.inf, (ends - x) / step)  # where each constant meets its bound
    longest = np.min(reach, axis=1)
    count = len(index)
    x_new, f_new, g_new = x.copy(), f.copy(), g.copy()
    low, high = np.zeros(count), np.full(count, np.inf)
    length, moved = np.minimum(1.0, longest), np.zeros(count, dtype=bool)
    open_ = np.arange(count)
    for _ in range(30):
        trial = x[open_] + length[open_, None] * step[open_]
        trial = np.where(length[open_, None] >= reach[open_], ends[open_], trial)
        ft, gt = objective(trial, index[open_])
        with np.errstate(invalid="ignore"):
            armijo = np.isfinite(ft) & (ft <= f[open_] + ARMIJO * length[open_] * slope[open_])
        armijo &= np.all(np.isfinite(gt), axis=1)
        flat = np.zeros_like(armijo)
        flat[armijo] = np.einsum("ki,ki->k", gt[armijo], step[open_[armijo]]) >= 0.9 * slope[open_[armijo]]
        better = armijo & (~moved[open_] | (ft < f_new[open_]))
        taken = open_[better]
        x_new[taken], f_new[taken], g_new[taken], moved[taken] = trial[better], ft[better], gt[better], True
        high[open_[~armijo]] = length[open_[~armijo]]
        low[open_[armijo]] = length[open_[armijo]]
        open_ = open_[~(armijo & (flat | (length[open_] >= longest[open_])))]
        if not len(open_):
            break
        bounded = np.isfinite(high[open_])
        shrink = np.where(low[open_] > 0, 0.5, 0.3)
        length[open_] = np.where(
            bounded, low[open_] + shrink * (np.where(bounded, high[open_], 0) - low[open_]), 2 * length[open_]
        )
        length[open_] = np.minimum(length[open_], longest[open_])
        open_ = open_[(length[open_] > 1e-12) & (length[open_] < 1e6)]
        if not len(open_):
            break
    return x_new, f_new, g_new, moved


def _update(inverse: Array, s: Array, y: Array, fresh: Any) -> Array:
    """BFGS update of the inverse Hessians, skipped where the curvature along the step is not positive."""
    curvature = np.einsum("ki,ki->k", s, y)
    good = curvature > 1e-12 * np.linalg.norm(s, axis=1) * np.linalg.norm(y, axis=1)
    good &= curvature > 0
    if not np.any(good):
        return inverse
    sg, yg, cg = s[good], y[good], curvature[good]
    h = inverse[good]
    first = fresh[good]
    if np.any(first):
        scale = cg[first] / np.maximum(np.einsum("ki,ki->k", yg[first], yg[first]), 1e-300)
        h[first] = np.eye(s.shape[1]) * scale[:, None, None]
    rho = 1 / cg
    hy = np.einsum("kij,kj->ki", h, yg)
    yhy = np.einsum("ki,ki->k", yg, hy)
    h = h + ((1 + rho * yhy) * rho)[:, None, None] * sg[:, :, None] * sg[:, None, :]
    h -= rho[:, None, None] * (hy[:, :, None] * sg[:, None, :] + sg[:, :, None] * hy[:, None, :])
    inverse = inverse.copy()
    inverse[good] = h
    return inverse
