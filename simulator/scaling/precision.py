"""Low precision: what bits are worth in parameters. Kumar et al. 2024 (arXiv:2411.04330).

Only part of the constants could be confirmed, so the law of the loss is a form to fit; the effective parameters for weights and for the
key-value cache carry the printed constants.
"""

from __future__ import annotations

import numpy as np

from .law import FORM, Form, Law, Numeric

GAMMA_WEIGHTS = 2.6745
"""Bits over which weights lose all but 1/e of their missing worth (arXiv:2411.04330, appendix K). [bit]"""

GAMMA_KV = 0.96
"""The same for the key-value cache. [bit]"""


def effective_share(*, bits: Numeric, gamma: Numeric = GAMMA_WEIGHTS) -> Numeric:
    r"""Share of the parameters that remains effective when trained at a number of bits.

    Parameters
    ----------
    bits : numeric
        Bits of the weights, activations or cache. [bit]
    gamma : numeric, optional
        Constant of that tensor. [bit]

    Returns
    -------
    numeric
        Share between zero and one; multiply the shares of the tensors. [-]

    Notes
    -----
    .. math:: N_{eff}/N = \prod_x (1 - e^{-P_x/\gamma_x})

    Fitted on 30M to 220M parameters and integer quantisation: floating-point formats with block scales lose less.

    References
    ----------
    .. [1] T. Kumar et al., "Scaling laws for precision", arXiv:2411.04330, 2024.

    Examples
    --------
    >>> [round(float(effective_share(bits=b)), 3) for b in (4, 8)]
    [0.776, 0.95]
    """
    return -np.expm1(-np.asarray(bits, dtype=float) / gamma)


def training_cost_flop(*, params: Numeric, tokens: Numeric, bits: Numeric) -> Numeric:
    """Cost of training when arithmetic is priced by its bits, ``(6/16) N D P`` [FLOP at 16 bits].

    Examples
    --------
    >>> float(training_cost_flop(params=1e9, tokens=1e10, bits=8))
    3e+19
    """
    return 6 / 16 * np.asarray(params, dtype=float) * tokens * bits


def kumar(
    *,
    params: Numeric,
    tokens: Numeric,
    weight_bits: Numeric,
    A: Numeric,
    B: Numeric,
    E: Numeric,
    alpha: Numeric,
    beta: Numeric,
    gamma_w: Numeric,
) -> Numeric:
    """Loss of a model trained with quantised weights, ``A (N share)^-alpha + B D^-beta + E`` [nats/token].

    Examples
    --------
    >>> k = {"A": 4299.0, "B": 0.0, "E": 0.0, "alpha": 0.4965, "beta": 0.4965, "gamma_w": 2.6745}
    >>> round(float(kumar(params=1e8, tokens=1e9, weight_bits=4, **k)), 2)
    0.52
    """
    n = np.asarray(params, dtype=float) * effective_share(bits=weight_bits, gamma=gamma_w)
    return A * n**-alpha + B * np.asarray(tokens, dtype=float) ** -beta + E


def post_training_penalty(
    *,
    params: Numeric,
    tokens: Numeric,
    bits: Numeric,
    C_T: Numeric,
    gamma_post: Numeric,
    gD: Numeric = 0.5068,
    gN: Numeric = 0.3439,
) -> Numeric:
    r"""Loss added by quantising weights after training [nats/token].

    Parameters
    ----------
    params, tokens, bits : numeric
        Size, training tokens, bits after quantisation.
    C_T, gamma_post : numeric
        To be fitted: no confirmed values.
    gD, gN : numeric, optional
        Printed exponents of tokens and of size. [-]

    Returns
    -------
    numeric
        Added loss. [nats/token]

    Notes
    -----
    .. math:: \delta = C_T \frac{D^{g_D}}{N^{g_N}} e^{-P/\gamma}

    The longer a model was trained, the more it loses.

    Examples
    --------
    >>> k = {"params": 1e9, "bits": 4, "C_T": 0.05, "gamma_post": 0.6}
    >>> float(post_training_penalty(tokens=2e11, **k) / post_training_penalty(tokens=1e11, **k)) > 1
    True
    """
    scale = np.asarray(tokens, dtype=float) ** gD / np.asarray(params, dtype=float) ** gN
    return C_T * scale * np.exp(-np.asarray(bits, dtype=float) / gamma_post)


KUMAR = Form(
    "kumar",
    kumar,
    ("params", "tokens", "weight_bits"),
    ("A", "B", "E", "alpha", "beta", "gamma_w"),
    "L = A (N (1 - exp(-P/gamma_w)))^-alpha + B D^-beta + E",
    starts={
        "A": (1e2, 1e5),
        "B": (1e2, 1e6),
        "E": (1.0, 3.0),
        "alpha": (0.2, 0.7),
        "beta": (0.2, 0.7),
        "gamma_w": (0.5, 6.0),
    },
)

LAWS = (
    Law(
        name="Kumar2024",
        form=KUMAR,
        constants={},
        corpus="Dolma",
        tokenizer="not stated",
        n_convention="non_embedding",
        source="arXiv:2411.04330",
        provenance=FORM,
        range={"params": (30e6, 220e6), "tokens": (1.5e9, 26e9), "weight_bits": (3, 16)},
        notes="Confirmed: A 4299, alpha = beta 0.4965, gamma_w 2.6745. B and E are not: fit them, with the others fixed if you like.",
    ),
)
