"""Mixtures of experts: granularity, number of experts, share of inactive ones."""

from __future__ import annotations

from typing import Any

import numpy as np

from .chinchilla import CHINCHILLA
from .law import FORM, REFIT, Form, Law, Numeric


def krajewski(
    *,
    total_params: Numeric,
    tokens: Numeric,
    granularity: Numeric,
    c: Numeric,
    a: Numeric,
    alpha: Numeric,
    b: Numeric,
    beta: Numeric,
    g: Numeric,
    gamma: Numeric,
) -> Numeric:
    r"""Loss of a mixture of fine-grained experts at an expansion of 64.

    Parameters
    ----------
    total_params : numeric
        All parameters, experts included (see `moe_params`). [-]
    tokens : numeric
        Tokens. [tokens]
    granularity : numeric
        How many times narrower an expert is than a dense feed-forward. [-]
    c, a, alpha, b, beta, g, gamma : numeric
        Constants.

    Returns
    -------
    numeric
        Loss. [nats/token]

    Notes
    -----
    .. math:: L = c + (g G^{-\gamma} + a) N^{-\alpha} + b D^{-\beta}

    The printed, rounded constants give the paper's own Table 2 about 0.7 % low.

    References
    ----------
    .. [1] J. Krajewski et al., "Scaling laws for fine-grained mixture of experts", arXiv:2402.07871, 2024.

    Examples
    --------
    >>> round(float(krajewski(total_params=4.3e9, tokens=4.37e9, granularity=8, **LAWS[0].constants)), 2)
    3.11
    """
    n, d = np.asarray(total_params, dtype=float), np.asarray(tokens, dtype=float)
    return c + (g * np.asarray(granularity, dtype=float) ** -gamma + a) * n**-alpha + b * d**-beta


def moe_params(*, dense_params: Numeric, expansion: Numeric) -> Numeric:
    """Total parameters when the feed-forward of a dense model is expanded, ``N (8 E + 4) / 12`` [-].

    Examples
    --------
    >>> float(moe_params(dense_params=1e9, expansion=64))
    43000000000.0
    """
    return np.asarray(dense_params, dtype=float) * (8 * np.asarray(expansion, dtype=float) + 4) / 12


def effective_experts(*, num_experts: Numeric, start: Numeric, saturation: Numeric) -> Numeric:
    r"""Experts after saturation at both ends (Clark et al. 2022) [-].

    Notes
    -----
    .. math:: \frac{1}{\hat E} = \frac{1}{E - 1 + \left(1/E_{start} - 1/E_{max}\right)^{-1}} + \frac{1}{E_{max}}

    Examples
    --------
    >>> round(float(effective_experts(num_experts=1, start=2.57, saturation=250)), 2)
    2.57
    """
    inner = np.asarray(num_experts, dtype=float) - 1 + 1 / (1 / start - 1 / saturation)
    return 1 / (1 / inner + 1 / saturation)


def clark(
    *,
    dense_params: Numeric,
    num_experts: Numeric,
    a: Numeric,
    b: Numeric,
    c: Numeric,
    d: Numeric,
    start: Numeric,
    saturation: Numeric,
) -> Numeric:
    r"""Loss of a routed model from its dense size and its number of experts, one expert per token, every other block.

    Parameters
    ----------
    dense_params : numeric
        Parameters of the model without routing. [-]
    num_experts : numeric
        Experts. [-]
    a, b, c, d, start, saturation : numeric
        Constants.

    Returns
    -------
    numeric
        Loss at the end of the authors' runs. [nats/token]

    Notes
    -----
    .. math:: \log_{10} L = a \log N + b \log \hat E + c \log N \log \hat E + d

    The cross term says that routing helps less as models grow; the tokens are fixed, so it says nothing about training longer.

    References
    ----------
    .. [1] A. Clark et al., "Unified scaling laws for routed language models", arXiv:2202.01169, 2022.

    Examples
    --------
    >>> law = {"a": -0.0853, "b": -0.1312, "c": 0.0114, "d": 1.1342, "start": 2.57, "saturation": 250.0}
    >>> round(float(clark(dense_params=1.3e9, num_experts=64, **law)), 2)
    2.04
    """
    n = np.log10(np.asarray(dense_params, dtype=float))
    e = np.log10(effective_experts(num_experts=num_experts, start=start, saturation=saturation))
    return 10 ** (a * n + b * e + c * n * e + d)


def abnar(
    *,
    total_params: Numeric,
    tokens: Numeric,
    inactive_share: Numeric,
    a: Numeric,
    alpha: Numeric,
    b: Numeric,
    beta: Numeric,
    c: Numeric,
    lam: Numeric,
    d: Numeric,
    delta: Numeric,
    gamma: Numeric,
    e: Numeric,
) -> Numeric:
    r"""Loss from size, tokens and the share of inactive experts; a form to fit.

    Parameters
    ----------
    total_params, tokens : numeric
        Size and tokens. [-], [tokens]
    inactive_share : numeric
        Share of experts that a token does not use. [-]
    a, alpha, b, beta, c, lam, d, delta, gamma, e : numeric
        Constants.

    Returns
    -------
    numeric
        Loss. [nats/token]

    Notes
    -----
    .. math:: L = a N^{-\alpha} + b D^{-\beta} + c (1-S)^{-\lambda} + d (1-S)^{-\delta} N^{-\gamma} + e

    References
    ----------
    .. [1] S. Abnar et al., "Parameters vs FLOPs: scaling laws for optimal sparsity", arXiv:2501.12370, 2025.

    Examples
    --------
    >>> k = dict(a=1.0, alpha=1.0, b=1.0, beta=1.0, c=1.0, lam=1.0, d=0.0, delta=1.0, gamma=1.0, e=0.0)
    >>> float(abnar(total_params=1.0, tokens=1.0, inactive_share=0.5, **k))
    4.0
    """
    n, t = np.asarray(total_params, dtype=float), np.asarray(tokens, dtype=float)
    active = 1 - np.asarray(inactive_share, dtype=float)
    return a * n**-alpha + b * t**-beta + c * active**-lam + d * active**-delta * n**-gamma + e


KRAJEWSKI = Form(
    "krajewski",
    krajewski,
    ("total_params", "tokens", "granularity"),
    ("c", "a", "alpha", "b", "beta", "g", "gamma"),
    "L = c + (g/G^gamma + a)/N^alpha + b/D^beta",
    starts={
        "c": (0.2, 2.0),
        "a": (1.0, 1e3),
        "alpha": (0.08, 0.4),
        "b": (1.0, 1e3),
        "beta": (0.08, 0.4),
        "g": (0.1, 10.0),
        "gamma": (0.2, 1.0),
    },
)
CLARK = Form(
    "clark",
    clark,
    ("dense_params", "num_experts"),
    ("a", "b", "c", "d", "start", "saturation"),
    "log10 L = a log N + b log E' + c log N log E' + d",
    starts={
        "a": (-0.2, -0.02),
        "b": (-0.3, -0.02),
        "c": (-0.02, 0.04),
        "d": (0.5, 1.5),
        "start": (1.1, 8.0),
        "saturation": (50.0, 1000.0),
    },
)
ABNAR = Form(
    "abnar",
    abnar,
    ("total_params", "tokens", "inactive_share"),
    ("a", "alpha", "b", "beta", "c", "lam", "d", "delta", "gamma", "e"),
    "L = a/N^alpha + b/D^beta + c/(1-S)^lam + d/((1-S)^delta N^gamma) + e",
    starts={
        "a": (1e2, 1e5),
        "alpha": (0.2, 0.7),
        "b": (1e2, 1e5),
        "beta": (0.2, 0.7),
        "c": (0.05, 1.0),
        "lam": (-0.5, 0.5),
        "d": (1.0, 50.0),
        "delta": (-0.5, 0.5),
        "gamma": (0.05, 0.5),
        "e": (0.5, 2.0),
    },
)


def _clark(name: str, values: tuple[float, ...], notes: str) -> Law:
    return Law(
        name=name,
        form=CLARK,
        constants=dict(zip(CLARK.parameters, values, strict=True)),
        corpus="not stated",
        tokenizer="not stated",
        source="arXiv:2202.01169, https://github.com/google-deepmind/scaling_laws_for_routing",
        n_convention="dense",
        provenance=REFIT,
        notes=f"Fitted to the authors' public curves (final step, one expert per token); the paper's own constants differ. {notes}",
    )


_KRAJEWSKI: dict[str, Any] = {"corpus": "not stated", "tokenizer": "not stated", "source": "arXiv:2402.07871"}
_DENSE = {"E": 0.47, "A": 16.3, "alpha": 0.126, "B": 26.7, "beta": 0.127}

LAWS = (
    Law(
        name="Krajewski2024",
        form=KRAJEWSKI,
        constants={"c": 0.47, "a": 18.1, "alpha": 0.115, "b": 30.8, "beta": 0.147, "g": 2.1, "gamma": 0.58},
        n_convention="total, experts included",
        notes="Expansion of 64. Rounded constants: about 0.7 % below the paper's Table 2.",
        **_KRAJEWSKI,
    ),
    Law(
        name="Krajewski2024Dense",
        form=CHINCHILLA,
        constants=_DENSE,
        terms=_DENSE,
        notes="The dense models of the same study.",
        **_KRAJEWSKI,
    ),
    _clark(
        "Clark2022SBase",
        (-0.0853, -0.1312, 0.0114, 1.1342, 2.57, 250.0),
        "Residual 0.0033 in log10, 61 points.",
    ),
    _clark(
        "Clark2022RLR", (-0.0844, -0.1341, 0.0124, 1.1228, 2.17, 410.0), "Routing by reinforcement learning."
    ),
    _clark("Clark2022Hash", (-0.0897, -0.1530, 0.0141, 1.1826, 5.24, 352.0), "Routing by hash."),
    Law(
        name="Abnar2025",
        form=ABNAR,
        constants={},
        corpus="not stated",
        tokenizer="not stated",
        source="arXiv:2501.12370",
        provenance=FORM,
        notes="No constants confirmed.",
    ),
)
