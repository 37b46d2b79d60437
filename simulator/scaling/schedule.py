"""Loss along a learning-rate schedule.

A schedule is an array of learning rates, one per step after warm-up. The multi-power law (arXiv:2503.12811) predicts the loss at any step
of any schedule from constants fitted on a few runs; Tissue et al. (arXiv:2408.11029) is its simpler rival, a form to fit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from simulator.errors import UnknownNameError

from .law import FORM, Array, Form, Law, Numeric
from .minimize import huber, minimize


def cosine(*, steps: int, peak: float, final_share: float = 0.1) -> Array:
    """Learning rates of a cosine from `peak` to a share of it.

    Examples
    --------
    >>> cosine(steps=3, peak=1.0, final_share=0.0).round(2).tolist()
    [1.0, 0.5, 0.0]
    """
    progress = np.arange(steps) / max(steps - 1, 1)
    return peak * (final_share + (1 - final_share) * 0.5 * (1 + np.cos(np.pi * progress)))


def warmup_stable_decay(
    *, steps: int, peak: float, decay_share: float = 0.2, final_share: float = 0.1
) -> Array:
    """Learning rates that stay at `peak` and fall exponentially over the last share of the steps.

    Examples
    --------
    >>> warmup_stable_decay(steps=5, peak=1.0, decay_share=0.4, final_share=0.25).round(2).tolist()
    [1.0, 1.0, 1.0, 0.5, 0.25]
    """
    falling = round(steps * decay_share)
    rates = np.full(steps, float(peak))
    rates[steps - falling :] *= final_share ** (np.arange(1, falling + 1) / max(falling, 1))
    return rates


def multi_power(
    *,
    learning_rates: Any,
    L0: Numeric,
    A: Numeric,
    alpha: Numeric,
    B: Numeric,
    C: Numeric,
    beta: Numeric,
    gamma: Numeric,
    warmup_sum: float = 0.0,
    at: Any = None,
) -> Any:
    r"""Loss at steps of a schedule.

    Parameters
    ----------
    learning_rates : array
        Learning rate of each step after warm-up. [-]
    L0, A, alpha, B, C, beta, gamma : numeric
        Constants.
    warmup_sum : float, optional
        Sum of the learning rates of the warm-up. [-]
    at : array of int, optional
        Steps, counted from one; the last if absent.

    Returns
    -------
    numeric
        Loss. [nats/token]

    Notes
    -----
    .. math:: L(t) = L_0 + A (S_1(t) + S_W)^{-\alpha} - B \sum_{k \le t} (\eta_{k-1} - \eta_k) G(\eta_k^{-\gamma} S_k(t))

    .. math:: G(x) = 1 - (C x + 1)^{-\beta}, \quad S_1 = \sum_{i \le t} \eta_i, \quad S_k = \sum_{k \le i \le t} \eta_i

    Says nothing about sizes, batches or peak rates other than those fitted.

    References
    ----------
    .. [1] K. Luo et al., "A multi-power law for loss curve prediction across learning rate schedules", arXiv:2503.12811, 2025.

    Examples
    --------
    >>> constants = LAWS[0].constants
    >>> round(float(multi_power(learning_rates=cosine(steps=24_000, peak=3e-4), **constants)), 2)
    3.21
    """
    eta = np.asarray(learning_rates, dtype=float)
    total = np.cumsum(eta)
    steps = np.atleast_1d(len(eta) if at is None else np.asarray(at))
    drop = eta[:-1] - eta[1:]
    changes = np.flatnonzero(drop) + 1  # zero-based step at which the rate is new
    out = np.empty(len(steps))
    for i, step in enumerate(steps):
        past = changes[changes < step]
        since = total[step - 1] - total[past] + eta[past]
        with np.errstate(divide="ignore"):
            reach = np.where(eta[past] > 0, eta[past] ** -gamma, 0.0) * since
        annealed = np.sum(drop[past - 1] * (1 - (C * reach + 1) ** -beta))
        out[i] = L0 + A * (total[step - 1] + warmup_sum) ** -alpha - B * annealed
    return out if at is not None else out[0]


def tissue(
    *, learning_rates: Any, L0: Numeric, A: Numeric, alpha: Numeric, C: Numeric, lam: Numeric, at: Any = None
) -> Any:
    r"""Loss at steps of a schedule from the area under it and its annealing; a form to fit.

    Parameters
    ----------
    learning_rates : array
        Learning rate of each step. [-]
    L0, A, alpha, C, lam : numeric
        Constants; `lam` is the memory of the annealing.
    at : array of int, optional
        Steps, counted from one; the last if absent.

    Returns
    -------
    numeric
        Loss. [nats/token]

    Notes
    -----
    .. math:: L = L_0 + A S_1^{-\alpha} - C S_2, \quad
              S_2 = \sum_i \sum_{k \le i} (\eta_{k-1} - \eta_k) \lambda^{i-k}

    References
    ----------
    .. [1] H. Tissue et al., "Scaling law with learning rate annealing", arXiv:2408.11029, 2024.

    Examples
    --------
    >>> flat = np.ones(10)
    >>> float(tissue(learning_rates=flat, L0=2.0, A=1.0, alpha=1.0, C=5.0, lam=0.9))
    2.1
    """
    eta = np.asarray(learning_rates, dtype=float)
    drop = np.concatenate([[0.0], eta[:-1] - eta[1:]])
    momentum, annealed = 0.0, np.empty(len(eta))
    for i, change in enumerate(drop):
        momentum = lam * momentum + change
        annealed[i] = momentum
    curve = L0 + A * np.cumsum(eta) ** -alpha - C * np.cumsum(annealed)
    return curve[np.asarray(at) - 1] if at is not None else curve[-1]


def fit_curves(
    curves: Sequence[tuple[Any, Any, Any]],
    law: str = "multi_power",
    *,
    start: Mapping[str, float],
    fixed: Mapping[str, float] | None = None,
    delta: float = 1e-3,
) -> dict[str, float]:
    """Fit a schedule law to loss curves.

    Parameters
    ----------
    curves : sequence of (learning_rates, steps, losses)
        One run each: its whole schedule, and the loss at some steps, counted from one.
    law : str, optional
        ``multi_power`` or ``tissue``.
    start : mapping
        Value of every constant to start from: those of a shipped law for ``multi_power``.
    fixed : mapping, optional
        Constants held at a value, such as the ``warmup_sum``.
    delta : float, optional
        Where Huber's loss turns linear, in log loss. [-]

    Returns
    -------
    dict
        The constants.

    Notes
    -----
    Smoothed curves of two or three schedules suffice; keep one schedule aside to see how it predicts.

    Examples
    --------
    >>> true = {"L0": 2.0, "A": 0.5, "alpha": 0.5, "C": 3.0, "lam": 0.99}
    >>> rates, at = cosine(steps=200, peak=0.01), np.arange(20, 201, 20)
    >>> flat = np.full(200, 0.01)
    >>> runs = [(eta, at, tissue(learning_rates=eta, at=at, **true)) for eta in (rates, flat)]
    >>> found = fit_curves(runs, "tissue", start=true | {"L0": 1.9, "A": 0.55}, fixed={"lam": 0.99})
    >>> round(found["L0"], 2)
    2.0
    """
    if law not in ("multi_power", "tissue"):
        raise UnknownNameError(law, kind="schedule law", names=["multi_power", "tissue"])
    function = multi_power if law == "multi_power" else tissue
    held = dict(fixed or {})
    names = [name for name in start if name not in held]
    first = np.log([start[name] for name in names])
    target = np.log(np.concatenate([np.asarray(losses, dtype=float) for _, _, losses in curves]))

    def predicted(theta: Array) -> Array:
        constants = dict(zip(names, np.exp(theta), strict=True)) | held
        with np.errstate(all="ignore"):
            values = [function(learning_rates=eta, at=at, **constants) for eta, at, _ in curves]
            out: Array = np.log(np.concatenate(values))
        return out

    def objective(theta: Array, _: Any) -> tuple[Array, Array]:
        value, slope = np.empty(len(theta)), np.empty_like(theta)
        for i, row in enumerate(theta):
            value[i] = huber(predicted(row) - target, delta).mean() / delta
            for j, step in enumerate(np.eye(len(row)) * 1e-6):
                ahead = huber(predicted(row + step) - target, delta).mean() / delta
                behind = huber(predicted(row - step) - target, delta).mean() / delta
                slope[i, j] = (ahead - behind) / 2e-6
        return value, slope

    end = minimize(objective, first[None], gradient_tolerance=1e-6)
    return dict(zip(names, np.exp(end.theta[0]).tolist(), strict=True)) | held


_LETTERS = ("L0", "A", "alpha", "B", "C", "beta", "gamma")
MULTI_POWER = Form(
    "multi_power",
    multi_power,
    ("learning_rates",),
    _LETTERS,
    "L(t) = L0 + A (S1 + SW)^-alpha - B sum (eta_k-1 - eta_k) G(eta_k^-gamma S_k)",
)
TISSUE = Form(
    "tissue", tissue, ("learning_rates",), ("L0", "A", "alpha", "C", "lam"), "L = L0 + A S1^-alpha - C S2"
)


def _law(size: str, values: tuple[float, ...], error: float) -> Law:
    return Law(
        name=f"MultiPower2025Size{size}",
        form=MULTI_POWER,
        constants=dict(zip(_LETTERS, values, strict=True)),
        corpus="not stated",
        tokenizer="not stated",
        n_convention="none",
        source="arXiv:2503.12811, https://github.com/thu-yao-01-luo/MultiPowerLaw",
        notes=f"For a model of {size} parameters, up to 72,000 steps; mean error {error} nats on nine schedules.",
    )


LAWS = (
    _law("25M", (3.040, 0.525, 0.508, 363.788, 2.066, 0.583, 0.641), 0.0038),
    _law("100M", (2.651, 0.601, 0.453, 437.946, 2.132, 0.598, 0.655), 0.0044),
    _law("400M", (2.375, 0.654, 0.429, 523.425, 2.025, 0.594, 0.635), 0.0048),
    Law(
        name="Tissue2024",
        form=TISSUE,
        constants={},
        corpus="not stated",
        tokenizer="not stated",
        n_convention="none",
        source="arXiv:2408.11029",
        provenance=FORM,
        notes="Takes a whole schedule: fit it to your loss curves with simulator.scaling.schedule.fit_curves.",
    ),
)
