"""Best sizes under a budget of compute, of time, or for a target loss.

For every law that is of the Chinchilla form in parameters and tokens these are closed formulas; other published frontiers are
power laws of compute, kept in `frontiers` under their names.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from simulator.errors import SimulatorError

from .evaluate import loss as evaluate
from .law import Law, Numeric
from .published import frontiers
from .registry import get

FLOP_PER_PARAM_TOKEN = 6.0
"""Training FLOP per parameter and token, forward and backward. [FLOP]"""


def terms_of(law: str | Law | Mapping[str, float]) -> Mapping[str, float]:
    """Constants ``E A B alpha beta`` of a law, by name, as a `Law`, or given directly.

    Raises
    ------
    SimulatorError
        If the law is not of the Chinchilla form.

    Examples
    --------
    >>> terms_of("Besiroglu2024")["alpha"]
    0.3478
    """
    if isinstance(law, Mapping):
        return law
    found = get(law)
    if not found.terms:
        raise SimulatorError(
            f"{found.name} is not of the form E + A/N^alpha + B/D^beta; this formula needs such a law, Besiroglu2024 for instance"
        )
    return found.terms


def _scale(terms: Mapping[str, float]) -> float:
    alpha, beta = terms["alpha"], terms["beta"]
    return float((alpha * terms["A"] / (beta * terms["B"])) ** (1 / (alpha + beta)))


def optimal(law: str | Law | Mapping[str, float], compute_flop: Numeric) -> tuple[Numeric, Numeric]:
    r"""Parameters and tokens of least loss for a compute budget ``C = 6 N D``.

    Parameters
    ----------
    law : str, Law or mapping
        A law of the Chinchilla form, or the name of a published frontier (see `frontiers`).
    compute_flop : numeric
        Training compute. [FLOP]

    Returns
    -------
    tuple of numeric
        Parameters, counted as the law or the frontier counts them, and tokens.

    Notes
    -----
    .. math:: N^* = G (C/6)^{\beta/(\alpha+\beta)}, \quad D^* = (C/6)^{\alpha/(\alpha+\beta)} / G, \quad
              G = (\alpha A / \beta B)^{1/(\alpha+\beta)}

    Compute without attention; ignores inference, repetition and the clock. Source: arXiv:2203.15556.

    Examples
    --------
    >>> n, d = optimal("Besiroglu2024", 1e21)
    >>> f"{n / 1e9:.2f}B {d / 1e9:.0f}B"
    '2.78B 60B'
    """
    if isinstance(law, str) and law in frontiers:
        frontier = frontiers[law]
        return frontier.params(compute_flop), frontier.tokens(compute_flop)
    terms = terms_of(law)
    alpha, beta, scale = terms["alpha"], terms["beta"], _scale(terms)
    pairs = np.asarray(compute_flop, dtype=float) / FLOP_PER_PARAM_TOKEN
    return scale * pairs ** (beta / (alpha + beta)), pairs ** (alpha / (alpha + beta)) / scale


def optimal_repeated(
    law: str | Law, compute_flop: Numeric, unique_tokens: Numeric, *, widest: float = 100.0
) -> tuple[Numeric, Numeric]:
    """Parameters and tokens of least loss for a compute budget when the corpus is limited.

    Parameters
    ----------
    law : str or Law
        A law of the Chinchilla form; ``Muennighoff2023`` as published.
    compute_flop : numeric
        Training compute. [FLOP]
    unique_tokens : numeric
        Distinct tokens. [tokens]
    widest : float, optional
        How far from the unlimited optimum to search, as a factor on the tokens. [-]

    Returns
    -------
    tuple of numeric
        Parameters and tokens; `optimal` while the corpus suffices, not-a-number where the corpus is so small that no optimum
        lies within `widest` of it.

    Notes
    -----
    By golden section in the logarithm of the tokens, along ``6 N D = C``. The minimum is flat: 10 % in tokens is 0.001 in loss.

    Examples
    --------
    >>> n, d = optimal_repeated("Muennighoff2023", 1e22, 25e9)
    >>> f"{n / 1e9:.1f}B {d / 25e9:.1f} epochs"
    '7.0B 9.5 epochs'
    """
    params, tokens = optimal(law, compute_flop)
    unique = np.asarray(unique_tokens, dtype=float)
    start = np.zeros(np.broadcast_shapes(np.shape(params), np.shape(unique)))
    low, high = start - np.log(widest), start + np.log(widest)
    ratio = (np.sqrt(5) - 1) / 2

    def at(move: Any) -> Any:
        factor = np.exp(move)
        return evaluate(law=law, params=params / factor, tokens=tokens * factor, unique_tokens=unique)

    for _ in range(60):
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        keep = at(left) < at(right)
        low, high = np.where(keep, low, left), np.where(keep, right, high)
    move = (low + high) / 2
    factor = np.exp(np.where(np.abs(move) < 0.999 * np.log(widest), move, np.nan))
    return (params / factor)[()], (tokens * factor)[()]


def compute_for_size(law: str | Law | Mapping[str, float], params: Numeric) -> Numeric:
    """Compute budget at which a size is the best one [FLOP].

    Examples
    --------
    >>> round(float(compute_for_size("Besiroglu2024", optimal("Besiroglu2024", 1e21)[0])) / 1e21, 6)
    1.0
    """
    terms = terms_of(law)
    exponent = (terms["alpha"] + terms["beta"]) / terms["beta"]
    return FLOP_PER_PARAM_TOKEN * (np.asarray(params, dtype=float) / _scale(terms)) ** exponent


def optimal_tokens_for_size(law: str | Law | Mapping[str, float], params: Numeric) -> Numeric:
    """Tokens for which a size is compute-optimal [tokens].

    Examples
    --------
    >>> round(float(optimal_tokens_for_size("Besiroglu2024", 7e9)) / 1e9)
    144
    """
    return compute_for_size(law, params) / (FLOP_PER_PARAM_TOKEN * np.asarray(params, dtype=float))


def asymptote(law: str | Law | Mapping[str, float], params: Numeric) -> Numeric:
    """Loss of a size on unlimited fresh data, ``E + A/N^alpha`` [nats/token].

    Examples
    --------
    >>> round(float(asymptote("Besiroglu2024", 1e9)), 3)
    2.174
    """
    terms = terms_of(law)
    return terms["E"] + terms["A"] * np.asarray(params, dtype=float) ** -terms["alpha"]


def tokens_for_loss(law: str | Law | Mapping[str, float], params: Numeric, loss: Numeric) -> Numeric:
    r"""Tokens after which a size reaches a loss.

    Parameters
    ----------
    law : str, Law or mapping
        A law of the Chinchilla form.
    params : numeric
        Parameters. [-]
    loss : numeric
        Target. [nats/token]

    Returns
    -------
    numeric
        Fresh tokens; infinite where the size cannot reach the loss. [tokens]

    Notes
    -----
    .. math:: D = \left[ B / (l - E - A N^{-\alpha}) \right]^{1/\beta}

    Growing a model maps its loss to the tokens that the larger model is spared by the same formula.

    Examples
    --------
    >>> round(float(tokens_for_loss("Besiroglu2024", 1e9, 2.5)) / 1e9, 1)
    25.5
    """
    terms = terms_of(law)
    gap = np.asarray(loss, dtype=float) - asymptote(terms, params)
    with np.errstate(divide="ignore", over="ignore"):
        tokens = (terms["B"] / np.where(gap > 0, gap, 0.0)) ** (1 / terms["beta"])
    return tokens[()]


def params_for_loss(law: str | Law | Mapping[str, float], tokens: Numeric, loss: Numeric) -> Numeric:
    """Size that reaches a loss on a given number of tokens; infinite where none does [-].

    Examples
    --------
    >>> round(float(params_for_loss("Besiroglu2024", 24.87e9, 2.5)) / 1e9, 2)
    1.02
    """
    terms = terms_of(law)
    data = terms["B"] * np.asarray(tokens, dtype=float) ** -terms["beta"]
    gap = np.asarray(loss, dtype=float) - terms["E"] - data
    with np.errstate(divide="ignore", over="ignore"):
        params = (terms["A"] / np.where(gap > 0, gap, 0.0)) ** (1 / terms["alpha"])
    return params[()]


def compute_for_loss(law: str | Law | Mapping[str, float], loss: Numeric) -> Numeric:
    r"""Least compute that reaches a loss, with the best size for it.

    Notes
    -----
    On the frontier both terms fall as :math:`C^{-\alpha\beta/(\alpha+\beta)}`, so

    .. math:: C = 6 \left[ \frac{A G^{-\alpha} + B G^{\beta}}{l - E} \right]^{(\alpha+\beta)/(\alpha\beta)}

    Infinite at or below E. [FLOP]

    Examples
    --------
    >>> n, d = optimal("Besiroglu2024", 1e21)
    >>> round(float(compute_for_loss("Besiroglu2024", evaluate(params=n, tokens=d))) / 1e21, 6)
    1.0
    """
    terms = terms_of(law)
    alpha, beta, scale = terms["alpha"], terms["beta"], _scale(terms)
    amplitude = terms["A"] * scale**-alpha + terms["B"] * scale**beta
    gap = np.asarray(loss, dtype=float) - terms["E"]
    with np.errstate(divide="ignore", over="ignore"):
        compute = FLOP_PER_PARAM_TOKEN * (amplitude / np.where(gap > 0, gap, 0.0)) ** (
            (alpha + beta) / (alpha * beta)
        )
    return compute[()]


def compute_multiplier(
    *, law: str | Law | Mapping[str, float] = "Besiroglu2024", loss: Numeric, reference_loss: Numeric
) -> Numeric:
    """How many times the compute the reference would need, at best size, to match a loss.

    Parameters
    ----------
    law : str, Law or mapping, optional
        A law of the Chinchilla form; both losses must come from it.
    loss : numeric
        Loss of the plan in question. [nats/token]
    reference_loss : numeric
        Loss of the plan it is compared with. [nats/token]

    Returns
    -------
    numeric
        Above one where the plan is better than the reference. [-]

    Notes
    -----
    A difference of losses means nothing by itself across corpora; the compute it is worth does.

    Examples
    --------
    >>> round(float(compute_multiplier(loss=2.30, reference_loss=2.35)), 2)
    1.74
    """
    return compute_for_loss(law, loss) / compute_for_loss(law, reference_loss)


def time_exponent(law: str | Law | Mapping[str, float], gamma: Numeric) -> Numeric:
    r"""Exponent of the time-optimal size against time, :math:`\beta / (\alpha + \gamma \beta)` [-].

    Parameters
    ----------
    law : str, Law or mapping
        A law of the Chinchilla form.
    gamma : numeric
        Exponent of seconds per token against parameters; 1 for a clock of FLOP, less for one of copies. [-]

    Notes
    -----
    Any clock that grows more slowly than N favors larger models than Chinchilla's.

    Examples
    --------
    >>> [round(float(time_exponent("Besiroglu2024", g)), 3) for g in (1.0, 0.886, 0.826)]
    [0.513, 0.544, 0.563]
    """
    terms = terms_of(law)
    return terms["beta"] / (terms["alpha"] + np.asarray(gamma, dtype=float) * terms["beta"])


def time_optimal_size(
    law: str | Law | Mapping[str, float], seconds: Numeric, c: Numeric, gamma: Numeric
) -> tuple[Numeric, Numeric]:
    r"""Parameters and tokens of least loss for a time budget, when a token takes ``c N^gamma`` seconds.

    Parameters
    ----------
    law : str, Law or mapping
        A law of the Chinchilla form.
    seconds : numeric
        Time budget. [s]
    c : numeric
        Seconds per token of a model of one parameter. [s]
    gamma : numeric
        Exponent of the clock. [-]

    Returns
    -------
    tuple of numeric
        Parameters and tokens.

    Notes
    -----
    .. math:: N^* = \left[\frac{\alpha A}{\gamma \beta B}\right]^{1/(\alpha+\gamma\beta)}
              \left(T/c\right)^{\beta/(\alpha+\gamma\beta)}, \quad D^* = T / (c N^{*\gamma})

    Examples
    --------
    >>> n, d = time_optimal_size("Besiroglu2024", 6e21, 6 / 1e0, 1.0)  # one FLOP per second: the compute optimum
    >>> round(float(n / optimal("Besiroglu2024", 6e21)[0]), 6)
    1.0
    """
    terms = terms_of(law)
    alpha, beta = terms["alpha"], terms["beta"]
    span = np.asarray(seconds, dtype=float) / c
    power = 1 / (alpha + gamma * beta)
    params = (alpha * terms["A"] / (gamma * beta * terms["B"])) ** power * span ** (beta * power)
    return params, span / params**gamma
