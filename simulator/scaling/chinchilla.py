"""Laws of parameters and tokens with a floor: ``L = E + A / N^alpha + B / D^beta``.

The form is due to Hoffmann et al. 2022. Its optimum under a compute budget, its inverses and its time-optimal size are closed
formulas, which is why the planner and the growth rooms are built on it.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .law import Form, Law, Numeric, Power

BLOCK = 1 << 15
"""Points per block in `chinchilla`: what keeps the intermediates in cache."""


def _two_powers(params: Any, tokens: Any, E: float, A: float, B: float, alpha: float, beta: float) -> Any:
    shape = np.broadcast_shapes(np.shape(params), np.shape(tokens))
    flat_params = np.broadcast_to(params, shape).reshape(-1)
    flat_tokens = np.broadcast_to(tokens, shape).reshape(-1)
    out = np.empty(flat_params.size)
    work = np.empty(min(BLOCK, out.size))
    log_a, log_b = np.log(A), np.log(B)
    for start in range(0, out.size, BLOCK):
        part = out[start : start + BLOCK]
        spare = work[: part.size]
        np.log(flat_params[start : start + BLOCK], out=part)
        part *= -alpha
        part += log_a
        np.exp(part, out=part)
        np.log(flat_tokens[start : start + BLOCK], out=spare)
        spare *= -beta
        spare += log_b
        np.exp(spare, out=spare)
        part += spare
        part += E
    return out.reshape(shape)


def chinchilla(
    *, params: Numeric, tokens: Numeric, E: Numeric, A: Numeric, B: Numeric, alpha: Numeric, beta: Numeric
) -> Numeric:
    r"""Loss of a model of a given size after a given number of tokens.

    Parameters
    ----------
    params : numeric
        Parameters. [-]
    tokens : numeric
        Training tokens, each seen once. [tokens]
    E : numeric
        Irreducible loss. [nats/token]
    A, B : numeric
        Scale of the finite-size and of the finite-data term. [nats/token]
    alpha, beta : numeric
        Exponents. [-]

    Returns
    -------
    numeric
        Loss. [nats/token]

    Notes
    -----
    .. math:: L = E + A N^{-\alpha} + B D^{-\beta}

    Wrong for tokens repeated more than about four times (see `simulator.scaling.data`), optimistic about very long training of
    small models (Sardana et al. 2024), and blind to shape, batch size and learning rate, each of which moves loss by 0.5 to 3 %.

    References
    ----------
    .. [1] J. Hoffmann et al., "Training compute-optimal large language models", arXiv:2203.15556, 2022.

    Examples
    --------
    >>> round(float(chinchilla(params=1e9, tokens=20e9, E=1.69, A=406.4, B=410.7, alpha=0.34, beta=0.28)), 3)
    2.58
    """
    constants = (E, A, B, alpha, beta)
    big = max(np.size(params), np.size(tokens)) > BLOCK
    if big and all(np.ndim(c) == 0 for c in constants) and float(np.min(A)) > 0 and float(np.min(B)) > 0:
        return _two_powers(params, tokens, *(float(c) for c in constants))
    n, d = np.asarray(params, dtype=float), np.asarray(tokens, dtype=float)
    return E + A * n**-alpha + B * d**-beta


def training_flop(
    *,
    num_hidden_layers: Numeric,
    hidden_size: Numeric,
    intermediate_size: Numeric,
    num_attention_heads: Numeric,
    key_size: Numeric,
    seq_length: Numeric,
    vocab_size: Numeric = 0,
) -> Numeric:
    """FLOP to train on one sequence, as counted in appendix F of Hoffmann et al. 2022, backward twice the forward [FLOP].

    The ratios to ``6 N D`` in their Table A4 come out only without the two vocabulary terms, hence the default.

    Examples
    --------
    >>> shape = {"num_hidden_layers": 10, "hidden_size": 640, "intermediate_size": 2560, "num_attention_heads": 10}
    >>> round(float(training_flop(**shape, key_size=64, seq_length=2048)) / (6 * 73e6 * 2048), 2)
    1.04
    """
    d, s = np.asarray(hidden_size, dtype=float), np.asarray(seq_length, dtype=float)
    keys = np.asarray(key_size, dtype=float) * num_attention_heads
    attention = 2 * 3 * s * d * keys + 2 * s * s * keys + 3 * num_attention_heads * s * s + 2 * s * s * keys
    layer = attention + 2 * s * keys * d + 2 * s * (2 * d * intermediate_size)
    return 3 * (4 * s * np.asarray(vocab_size, dtype=float) * d + num_hidden_layers * layer)


CHINCHILLA = Form(
    "chinchilla",
    chinchilla,
    ("params", "tokens"),
    ("E", "A", "B", "alpha", "beta"),
    "L = E + A/N^alpha + B/D^beta",
    powers=(Power("A", "params", "alpha"), Power("B", "tokens", "beta")),
    floor="E",
)


def _law(name: str, constants: dict[str, float], **about: Any) -> Law:
    return Law(name=name, form=CHINCHILLA, constants=constants, terms=constants, **about)


MASSIVE = {"corpus": "MassiveText", "tokenizer": "SentencePiece, 32k"}
HOFFMANN_RANGE = {"params": (70e6, 16e9), "tokens": (5e9, 5e11)}

LAWS = (
    _law(
        "Besiroglu2024",
        {"E": 1.8172, "A": 482.01, "B": 2085.43, "alpha": 0.3478, "beta": 0.3658},
        **MASSIVE,
        source="arXiv:2404.10102",
        range=HOFFMANN_RANGE,
        uncertainty={"E": 0.026, "A": 124.5, "B": 1293.0, "alpha": 0.015, "beta": 0.021},
        notes="Refit of 240 points read off Hoffmann's figure; the default. B and beta lie on a ridge: their errors are correlated.",
    ),
    _law(
        "Hoffmann2022",
        {"E": 1.6934, "A": 406.401, "B": 410.7228, "alpha": 0.33917, "beta": 0.28491},
        **MASSIVE,
        source="arXiv:2203.15556",
        range=HOFFMANN_RANGE,
        notes="Approach 3, unrounded constants of the paper's TeX source. Does not fit its own data (arXiv:2404.10102).",
    ),
    _law(
        "Hoffmann2022Rounded",
        {"E": 1.69, "A": 406.4, "B": 410.7, "alpha": 0.34, "beta": 0.28},
        **MASSIVE,
        source="arXiv:2203.15556",
        range=HOFFMANN_RANGE,
        notes="As printed; two-digit exponents move the optimal tokens per parameter at 6e23 FLOP by tens of percent.",
    ),
    _law(
        "Sardana2024",
        {"E": 1.69, "A": 406.4, "B": 410.7, "alpha": 0.336, "beta": 0.283},
        **MASSIVE,
        source="arXiv:2401.00448",
        range=HOFFMANN_RANGE,
        notes="The Chinchilla constants in the authors' code for lifetime cost; their tables need these.",
    ),
    _law(
        "KyoTakano2024",
        {"E": 1.700, "A": 184.7, "B": 1633.5, "alpha": 0.2890, "beta": 0.3558},
        corpus="not stated",
        tokenizer="not stated",
        source="https://github.com/kyo-takano/chinchilla",
        notes="Default constants of a peer library; kept so that its tables can be reproduced.",
    ),
)
