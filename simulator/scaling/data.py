"""What repeated tokens are worth, and how parameters are counted.

Muennighoff et al. 2023 (arXiv:2305.16264): a token seen again is worth less than a fresh one, and parameters beyond what the unique
data can feed are worth less than those below. Both maps go around any law of parameters and tokens.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .chinchilla import chinchilla
from .law import Form, Law, Numeric

REPEAT_CONSTANT = 15.387756
"""R_D*: repeats after which a further repeat is worth 1/e of a fresh pass (arXiv:2305.16264). [-]"""

EXCESS_CONSTANT = 5.309743
"""R_N*: the same for parameters in excess of what the unique tokens can feed. [-]"""

PEARCE_COEFFICIENT = 47491.0
"""Embedding parameters per cube root of the others, 32k vocabulary (arXiv:2406.12907). [-]"""


def _saturated(amount: Any, constant: Any) -> Any:
    return constant * -np.expm1(-amount / constant)


def effective_tokens(
    *, tokens: Numeric, unique_tokens: Numeric, repeat_constant: Numeric = REPEAT_CONSTANT
) -> Numeric:
    r"""Fresh tokens worth the same as `tokens` drawn from `unique_tokens` by repetition.

    Parameters
    ----------
    tokens : numeric
        Tokens processed. [tokens]
    unique_tokens : numeric
        Tokens in the corpus. [tokens]
    repeat_constant : numeric, optional
        Repeats after which one more is worth 1/e of a fresh pass. [-]

    Returns
    -------
    numeric
        Effective tokens, equal to `tokens` up to one epoch. [tokens]

    Notes
    -----
    .. math:: D' = U + U R^* (1 - e^{-R/R^*}), \quad R = D/U - 1

    Never above :math:`U (1 + R^*)`. Even with it, a loss is 0.2 nats uncertain beyond about ten repeats; beyond that, real runs get
    worse again (they overfit), which this does not show.

    References
    ----------
    .. [1] N. Muennighoff et al., "Scaling data-constrained language models", arXiv:2305.16264, 2023.

    Examples
    --------
    >>> float(effective_tokens(tokens=1e9, unique_tokens=5e9))
    1000000000.0
    >>> round(float(effective_tokens(tokens=100e9, unique_tokens=25e9)) / 1e9, 1)
    93.1
    """
    d, u = np.asarray(tokens, dtype=float), np.asarray(unique_tokens, dtype=float)
    fresh = np.fmin(d, u)
    return (fresh + fresh * _saturated(d / fresh - 1, repeat_constant))[()]


def effective_params(
    *,
    params: Numeric,
    unique_tokens: Numeric,
    G: Numeric,
    alpha: Numeric,
    beta: Numeric,
    excess_constant: Numeric = EXCESS_CONSTANT,
) -> Numeric:
    r"""Parameters worth the same as `params` when only `unique_tokens` distinct tokens feed them.

    Parameters
    ----------
    params : numeric
        Parameters. [-]
    unique_tokens : numeric
        Distinct tokens seen. [tokens]
    G, alpha, beta : numeric
        Of the law: :math:`G = (\alpha A / \beta B)^{1/(\alpha+\beta)}` and its exponents. [-]
    excess_constant : numeric, optional
        Excess at which one more parameter is worth 1/e. [-]

    Returns
    -------
    numeric
        Effective parameters, equal to `params` up to the size that is compute-optimal for the unique tokens. [-]

    Notes
    -----
    .. math:: N' = U_N + U_N R^* (1 - e^{-R/R^*}), \quad U_N = \min(N, (U G)^{\beta/\alpha} G), \quad R = N/U_N - 1

    Source: arXiv:2305.16264.

    Examples
    --------
    >>> round(float(effective_params(params=2e9, unique_tokens=1e9, G=0.2258, alpha=0.35, beta=0.35)) / 1e6)
    322
    """
    n, u = np.asarray(params, dtype=float), np.asarray(unique_tokens, dtype=float)
    fed = np.fmin(n, (u * G) ** (beta / alpha) * G)
    return (fed + fed * _saturated(n / fed - 1, excess_constant))[()]


def muennighoff(
    *,
    params: Numeric,
    tokens: Numeric,
    unique_tokens: Numeric,
    E: Numeric,
    A: Numeric,
    B: Numeric,
    alpha: Numeric,
    beta: Numeric,
    RD: Numeric = REPEAT_CONSTANT,
    RN: Numeric = EXCESS_CONSTANT,
) -> Numeric:
    """Loss with repeated data exactly as published, ``E + A / N'^alpha + B / D'^beta`` [nats/token].

    Unlike the wrapper in `simulator.scaling.loss`, it discounts excess parameters in a single epoch as well.

    Examples
    --------
    >>> constants = LAWS[0].constants
    >>> round(float(muennighoff(params=6.34e9, tokens=242e9, unique_tokens=25e9, **constants)), 6)
    2.225644
    """
    d, u = np.asarray(tokens, dtype=float), np.asarray(unique_tokens, dtype=float)
    G = (alpha * A / (beta * B)) ** (1 / (alpha + beta))
    n_eff = effective_params(
        params=params, unique_tokens=np.fmin(d, u), G=G, alpha=alpha, beta=beta, excess_constant=RN
    )
    d_eff = effective_tokens(tokens=d, unique_tokens=u, repeat_constant=RD)
    return chinchilla(params=n_eff, tokens=d_eff, E=E, A=A, B=B, alpha=alpha, beta=beta)


def repeated(
    *, params: Numeric, tokens: Numeric, unique_tokens: Numeric, terms: Any = None
) -> tuple[Numeric, Numeric]:
    r"""Effective parameters and tokens for a law fitted on fresh data.

    Parameters
    ----------
    params, tokens, unique_tokens : numeric
        Size, tokens processed, tokens in the corpus (not-a-number for unlimited). [-], [tokens], [tokens]
    terms : mapping, optional
        ``A B alpha beta`` of the law; without them only the tokens are mapped.

    Returns
    -------
    tuple of numeric
        Effective parameters and effective tokens.

    Notes
    -----
    The tokens are mapped as published. A law fitted on fresh data already knows what a large model does in its first epoch, so the
    parameters are discounted in proportion to repetition, :math:`N'' = N (N'/N)^{1 - e^{-R_D}}`: identity up to one epoch, continuous,
    and the published :math:`N'` after a few. On the 182 runs of the paper this costs 0.02 of R2 (0.751 against 0.772).

    Examples
    --------
    >>> n, d = repeated(params=2e9, tokens=1e9, unique_tokens=5e9)
    >>> float(n), float(d)
    (2000000000.0, 1000000000.0)
    """
    n, d = np.asarray(params, dtype=float), np.asarray(tokens, dtype=float)
    fresh = np.fmin(d, np.asarray(unique_tokens, dtype=float))
    d_eff = effective_tokens(tokens=d, unique_tokens=fresh)
    if not terms:
        return n[()], d_eff
    alpha, beta = terms["alpha"], terms["beta"]
    G = (alpha * terms["A"] / (beta * terms["B"])) ** (1 / (alpha + beta))
    n_eff = effective_params(params=n, unique_tokens=fresh, G=G, alpha=alpha, beta=beta)
    weight = -np.expm1(-(d / fresh - 1))
    return np.where(weight > 0, n * (n_eff / n) ** weight, n)[()], d_eff


def total_params(*, non_embedding_params: Numeric, coefficient: Numeric = PEARCE_COEFFICIENT) -> Numeric:
    r"""Total parameters of a typical decoder from those without embeddings, :math:`N_T = N_E + 47491 N_E^{1/3}`.

    Parameters
    ----------
    non_embedding_params : numeric
        Parameters without embeddings. [-]
    coefficient : numeric, optional
        For a vocabulary of 32k and a width of about 39 times the depth. [-]

    Returns
    -------
    numeric
        Parameters. [-]

    Notes
    -----
    For when only N is known; with a shape at hand, count. Source: T. Pearce and J. Song, arXiv:2406.12907.

    Examples
    --------
    >>> round(float(total_params(non_embedding_params=85e6)) / 1e6)
    106
    """
    n = np.asarray(non_embedding_params, dtype=float)
    return n + coefficient * np.cbrt(n)


def non_embedding_params(*, params: Numeric, coefficient: Numeric = PEARCE_COEFFICIENT) -> Numeric:
    """Invert `total_params`: parameters without embeddings of a typical decoder with `params` in all. [-]

    Solves the cubic ``x^3 + c x = N`` for ``x = N_E^(1/3)`` in closed form.

    Examples
    --------
    >>> round(float(non_embedding_params(params=total_params(non_embedding_params=85e6))) / 1e6, 6)
    85.0
    """
    half = np.asarray(params, dtype=float) / 2
    third = coefficient / 3
    big = np.cbrt(half + np.sqrt(half**2 + third**3))
    root = big - third / big
    for _ in range(2):  # the closed form cancels for small N: polish by Newton
        root = root - (root**3 + coefficient * root - 2 * half) / (3 * root**2 + coefficient)
    return root**3


_TERMS = {
    "E": float(np.exp(0.6254804)),
    "A": float(np.exp(6.255414)),
    "B": float(np.exp(7.3049974)),
    "alpha": 0.3526596,
    "beta": 0.3526596,
}

LAWS = (
    Law(
        name="Muennighoff2023",
        form=Form(
            "muennighoff",
            muennighoff,
            ("params", "tokens", "unique_tokens"),
            ("E", "A", "B", "alpha", "beta", "RD", "RN"),
            "L = E + A/N'^alpha + B/D'^beta, D' = U + U RD (1 - exp(-(D/U - 1)/RD))",
            starts={
                "E": (1.0, 2.5),
                "A": (1e2, 2e3),
                "B": (1e2, 5e3),
                "alpha": (0.25, 0.45),
                "beta": (0.25, 0.45),
                "RD": (1.0, 50.0),
                "RN": (1.0, 50.0),
            },
        ),
        constants={**_TERMS, "RD": REPEAT_CONSTANT, "RN": EXCESS_CONSTANT},
        corpus="C4",
        tokenizer="GPT-2, 50257",
        source="arXiv:2305.16264",
        range={"params": (7e6, 9e9), "tokens": (1e8, 9e11)},
        notes="R2 0.772 over 182 runs with up to 1500 epochs; without unique_tokens it is a plain Chinchilla law.",
        terms=_TERMS,
    ),
)
