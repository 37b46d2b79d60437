"""Laws of compute alone, laws whose exponents move, and a model that can be solved: baselines and forms to fit."""

from __future__ import annotations

from typing import Any

import numpy as np

from .kaplan import loss_of_params_and_steps
from .law import FORM, Form, Law, Numeric, Power


def guo(*, compute_flop: Numeric, slope: Numeric, intercept: Numeric) -> Numeric:
    r"""Bits per character from compute alone, :math:`a \log C + b`; a form to fit.

    Parameters
    ----------
    compute_flop : numeric
        Compute; its constant factor goes into the intercept. [FLOP]
    slope, intercept : numeric
        Constants; the slope is negative. [bit/character]

    Returns
    -------
    numeric
        Loss. [bit/character]

    Notes
    -----
    Claims that only the product of parameters and tokens matters, which data beyond about a hundred tokens per parameter contradict. A
    baseline.

    References
    ----------
    .. [1] Z. Guo, "More compute is what you need", arXiv:2404.19484, 2024.

    Examples
    --------
    >>> round(float(guo(compute_flop=np.e**2, slope=-0.1, intercept=1.0)), 6)
    0.8
    """
    return slope * np.log(np.asarray(compute_flop, dtype=float)) + intercept


def farseer(
    *,
    params: Numeric,
    tokens: Numeric,
    a1: Numeric,
    b1: Numeric,
    p1: Numeric,
    a2: Numeric,
    b2: Numeric,
    p2: Numeric,
    a3: Numeric,
    b3: Numeric,
    p3: Numeric,
) -> Numeric:
    r"""Loss whose exponent in tokens depends on size; a form to fit.

    Parameters
    ----------
    params, tokens : numeric
        Size and tokens. [-], [tokens]
    a1, b1, p1, a2, b2, p2, a3, b3, p3 : numeric
        Constants.

    Returns
    -------
    numeric
        Loss. [nats/character]

    Notes
    -----
    .. math:: L = e^{a_3 N^{p_3} + b_3} + e^{a_2 N^{p_2} + b_2} D^{-\exp(a_1 N^{p_1} + b_1)}

    The optimal tokens per parameter grow with compute.

    References
    ----------
    .. [1] H. Li et al., "Predictable scale: Part II, Farseer", arXiv:2506.10972, 2025.

    Examples
    --------
    >>> zero = dict.fromkeys(["a1", "b1", "p1", "a2", "b2", "p2", "a3", "b3", "p3"], 0.0)
    >>> float(farseer(params=1e9, tokens=2.0, **zero))
    1.5
    """
    n, d = np.asarray(params, dtype=float), np.asarray(tokens, dtype=float)
    return np.exp(a3 * n**p3 + b3) + np.exp(a2 * n**p2 + b2) * d ** -np.exp(a1 * n**p1 + b1)


def random_features(
    *,
    params: int,
    samples: int,
    exponent: float,
    latent: int = 2000,
    ridge: float = 0.0,
    repeats: int = 4,
    seed: int = 0,
) -> float:
    r"""Test error of linear regression on random features of data with a power-law spectrum, by simulation.

    Parameters
    ----------
    params : int
        Random features. [-]
    samples : int
        Training samples. [-]
    exponent : float
        The spectrum falls as :math:`i^{-(1+\alpha)}`; this is :math:`\alpha`. [-]
    latent : int, optional
        Dimensions of the data; the power law ends there. [-]
    ridge : float, optional
        Ridge on the features' second moment. [-]
    repeats : int, optional
        Draws that are averaged. [-]
    seed : int, optional
        Of the draws.

    Returns
    -------
    float
        Mean squared test error over the variance of the target. [-]

    Notes
    -----
    The model of Maloney, Roberts and Sully 2022 (arXiv:2210.16859), simulated rather than solved: it shows where neural scaling laws may
    come from. The error falls as :math:`N^{-\alpha}` while features are scarce and as :math:`T^{-\alpha}` while samples are, with the
    same exponent, until the latent dimension is reached; without ridge it peaks at N = T. Not a law of language.

    Examples
    --------
    >>> few, many = (random_features(params=n, samples=1500, exponent=1.0, latent=600) for n in (20, 80))
    >>> few > many
    True
    """
    rng = np.random.default_rng(seed)
    scale = np.arange(1, latent + 1) ** (-(1 + exponent) / 2)
    errors = []
    for _ in range(repeats):
        weights = rng.standard_normal(latent)
        features = rng.standard_normal((latent, params)) / np.sqrt(latent)
        data = rng.standard_normal((samples, latent)) * scale
        seen, target = data @ features, data @ weights
        if ridge:
            gram = seen.T @ seen + ridge * samples * np.eye(params)
            solution = np.linalg.solve(gram, seen.T @ target)
        else:
            solution = np.linalg.lstsq(seen, target, rcond=None)[0]
        missed = (features @ solution - weights) * scale
        errors.append(float(np.sum(missed**2) / np.sum((weights * scale) ** 2)))
    return float(np.mean(errors))


def bottleneck(*, params: Numeric, samples: Numeric, scale: Numeric, alpha: Numeric) -> Numeric:
    r"""Loss set by the scarcer of features and samples, :math:`s \min(N, T)^{-\alpha}`; what `random_features` tends to [-].

    Examples
    --------
    >>> float(bottleneck(params=4.0, samples=100.0, scale=1.0, alpha=0.5))
    0.5
    """
    scarce = np.minimum(np.asarray(params, dtype=float), np.asarray(samples, dtype=float))
    return scale * scarce**-alpha


_NINE: dict[str, Any] = {
    "a1": (-0.5, 0.5),
    "b1": (-2.0, 1.0),
    "p1": (-0.2, 0.2),
    "a2": (0.5, 100.0),
    "b2": (-10.0, 2.0),
    "p2": (-0.2, 0.2),
    "a3": (-0.1, 0.1),
    "b3": (-0.5, 0.5),
    "p3": (-0.2, 0.2),
}
GUO = Form(
    "guo",
    guo,
    ("compute_flop",),
    ("slope", "intercept"),
    "L = slope ln C + intercept",
    starts={"slope": (-0.1, -0.005), "intercept": (0.5, 5.0)},
    linear=True,
)
FARSEER = Form(
    "farseer",
    farseer,
    ("params", "tokens"),
    tuple(_NINE),
    "L = exp(a3 N^p3 + b3) + exp(a2 N^p2 + b2) D^-exp(a1 N^p1 + b1)",
    starts=_NINE,
)
SU = Form(
    "su",
    loss_of_params_and_steps,
    ("non_embedding_params", "min_steps"),
    ("Nc", "Sc", "aN", "aS"),
    "L = (Nc/N)^aN + (Sc/S_min)^aS",
    powers=(
        Power("Nc", "non_embedding_params", "aN", point=True),
        Power("Sc", "min_steps", "aS", point=True),
    ),
)
MALONEY = Form(
    "maloney",
    bottleneck,
    ("params", "samples"),
    ("scale", "alpha"),
    "L = s min(N, T)^-alpha",
    starts={"scale": (0.1, 100.0), "alpha": (0.1, 2.0)},
)

_UNKNOWN: dict[str, Any] = {"constants": {}, "provenance": FORM}
LAWS = (
    Law(
        name="Su2024",
        form=SU,
        corpus="C4 and others",
        tokenizer="not stated",
        n_convention="non_embedding",
        source="arXiv:2403.06563",
        notes="Kaplan's equations, estimated anew for each corpus from runs of 1M to 60M parameters: L(N, inf) from well-trained small "
        "models, then aS and Sc at a large batch, then the critical batch from two batch sizes.",
        **_UNKNOWN,
    ),
    Law(
        name="Guo2024",
        form=GUO,
        corpus="a public compression benchmark",
        tokenizer="none: per character",
        loss_unit="bit/character",
        source="arXiv:2404.19484",
        notes="Baseline: compute alone.",
        **_UNKNOWN,
    ),
    Law(
        name="Farseer2025",
        form=FARSEER,
        corpus="not stated",
        tokenizer="none: per character",
        n_convention="not stated",
        loss_unit="nats/character",
        source="arXiv:2506.10972",
        notes="A thousand runs behind it; nine constants need tens of runs spread over size and tokens.",
        **_UNKNOWN,
    ),
    Law(
        name="Maloney2022",
        form=MALONEY,
        corpus="random features",
        tokenizer="none",
        source="arXiv:2210.16859",
        loss_unit="-",
        notes="What simulator.scaling.compute.random_features tends to, far from N = T and from the latent dimension.",
        **_UNKNOWN,
    ),
)
