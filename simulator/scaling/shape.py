"""Laws that see depth, width and the feed-forward share.

All three say that shape moves loss by 0.5 to 3 %. Shape moves wall-clock by two to five times: choose it by time, then correct
the loss. A correction is the ratio of the law at the shape to the law at its own best shape of the same size.
"""

from __future__ import annotations

import numpy as np

from .chinchilla import CHINCHILLA
from .law import Form, Law, Numeric, Power


def gemstones(
    *,
    params: Numeric,
    tokens: Numeric,
    hidden_size: Numeric,
    num_hidden_layers: Numeric,
    E: Numeric,
    cw: Numeric,
    aw: Numeric,
    cd: Numeric,
    ad: Numeric,
    cp: Numeric,
    ap: Numeric,
    ct: Numeric,
    at: Numeric,
) -> Numeric:
    r"""Loss from width, depth, parameters and tokens as four separate powers.

    Parameters
    ----------
    params, tokens : numeric
        Size with embeddings (vocabulary 50,304) and tokens. [-], [tokens]
    hidden_size, num_hidden_layers : numeric
        Width and depth. [-]
    E, cw, aw, cd, ad, cp, ap, ct, at : numeric
        Floor, and scale and exponent of width, depth, parameters and tokens.

    Returns
    -------
    numeric
        Loss. [nats/token]

    Notes
    -----
    .. math:: L = E + c_w w^{-a_w} + c_d d^{-a_d} + c_p N^{-a_p} + c_t D^{-a_t}

    References
    ----------
    .. [1] S. McLeish et al., "Gemstones: a model suite for multi-faceted scaling laws", arXiv:2502.06857, 2025.

    Examples
    --------
    >>> round(float(gemstones(params=1e9, tokens=1e11, hidden_size=2048, num_hidden_layers=16, **LAWS[0].constants)), 2)
    2.62
    """
    w, d = np.asarray(hidden_size, dtype=float), np.asarray(num_hidden_layers, dtype=float)
    n, t = np.asarray(params, dtype=float), np.asarray(tokens, dtype=float)
    return E + cw * w**-aw + cd * d**-ad + cp * n**-ap + ct * t**-at


def bian_aspect(
    *,
    params: Numeric,
    tokens: Numeric,
    hidden_size: Numeric,
    num_hidden_layers: Numeric,
    E: Numeric,
    A: Numeric,
    B: Numeric,
    alpha: Numeric,
    eps: Numeric,
) -> Numeric:
    r"""Chinchilla's form times a penalty on width over depth.

    Parameters
    ----------
    params, tokens, hidden_size, num_hidden_layers : numeric
        Size, tokens, width and depth. [-]
    E, A, B, alpha, eps : numeric
        Constants.

    Returns
    -------
    numeric
        Loss. [nats/token]

    Notes
    -----
    .. math:: L = (E + A N^{-\alpha} + B D^{-\alpha}) (1 + \varepsilon (w/d)^{\alpha})

    E and the exponent are local to 80M-1.7B parameters: use the ratio, not the value, outside. It always prefers depth.

    References
    ----------
    .. [1] S. Bian et al., "Scaling inference-efficient language models", arXiv:2501.18107, 2025.

    Examples
    --------
    >>> law = {"E": 2.4475, "A": 5.475e4, "B": 7.783e5, "alpha": 0.6146, "eps": 1.146e-3}
    >>> round(float(bian_aspect(params=1.4398e9, tokens=28.991e9, hidden_size=2048, num_hidden_layers=24, **law)), 2)
    2.92
    """
    n, t = np.asarray(params, dtype=float), np.asarray(tokens, dtype=float)
    aspect = np.asarray(hidden_size, dtype=float) / num_hidden_layers
    return (E + A * n**-alpha + B * t**-alpha) * (1 + eps * aspect**alpha)


def bian_conditional(
    *,
    non_embedding_params: Numeric,
    hidden_size: Numeric,
    mlp_attention_ratio: Numeric,
    a0: Numeric,
    a1: Numeric,
    a2: Numeric,
    b0: Numeric,
    b1: Numeric,
    b2: Numeric,
) -> Numeric:
    r"""Loss over the loss of the best shape, from width and the share of the feed-forward.

    Parameters
    ----------
    non_embedding_params, hidden_size : numeric
        Size without embeddings, and width. [-]
    mlp_attention_ratio : numeric
        Feed-forward parameters over attention parameters. [-]
    a0, a1, a2, b0, b1, b2 : numeric
        Constants.

    Returns
    -------
    numeric
        Factor on the loss, about 1.003 at its lowest. [-]

    Notes
    -----
    .. math:: (a_0 + a_1 \ln x + a_2/x)(b_0 + b_1 \ln r + b_2/r), \quad x = w/\sqrt{N}

    Lowest at :math:`x = a_2/a_1`, :math:`r = b_2/b_1`. Grouping of queries has no smooth law.

    References
    ----------
    .. [1] S. Bian et al., "Scaling laws meet model architecture", arXiv:2510.18245, 2025.

    Examples
    --------
    >>> a = {"a0": 2.697, "a1": 0.0974, "a2": 0.0078, "b0": 0.3870, "b1": 0.0063, "b2": 0.0065}
    >>> round(float(bian_conditional(non_embedding_params=1e9, hidden_size=2530, mlp_attention_ratio=1.03, **a)), 3)
    1.003
    """
    x = np.asarray(hidden_size, dtype=float) / np.sqrt(non_embedding_params)
    r = np.asarray(mlp_attention_ratio, dtype=float)
    return (a0 + a1 * np.log(x) + a2 / x) * (b0 + b1 * np.log(r) + b2 / r)


GEMSTONES = Form(
    "gemstones",
    gemstones,
    ("params", "tokens", "hidden_size", "num_hidden_layers"),
    ("E", "cw", "aw", "cd", "ad", "cp", "ap", "ct", "at"),
    "L = E + cw/w^aw + cd/d^ad + cp/N^ap + ct/D^at",
    powers=(
        Power("cw", "hidden_size", "aw"),
        Power("cd", "num_hidden_layers", "ad"),
        Power("cp", "params", "ap"),
        Power("ct", "tokens", "at"),
    ),
    floor="E",
)
BIAN_ASPECT = Form(
    "bian_aspect",
    bian_aspect,
    ("params", "tokens", "hidden_size", "num_hidden_layers"),
    ("E", "A", "B", "alpha", "eps"),
    "L = (E + A/N^alpha + B/D^alpha)(1 + eps (w/d)^alpha)",
    starts={"E": (1.0, 3.0), "A": (1e2, 1e6), "B": (1e2, 1e7), "alpha": (0.2, 0.8), "eps": (1e-4, 1e-2)},
)
BIAN_CONDITIONAL = Form(
    "bian_conditional",
    bian_conditional,
    ("non_embedding_params", "hidden_size", "mlp_attention_ratio"),
    ("a0", "a1", "a2", "b0", "b1", "b2"),
    "factor = (a0 + a1 ln x + a2/x)(b0 + b1 ln r + b2/r), x = w/sqrt(N)",
    starts={
        "a0": (0.5, 3.0),
        "a1": (0.01, 0.3),
        "a2": (1e-3, 3e-2),
        "b0": (0.3, 1.0),
        "b1": (1e-3, 2e-2),
        "b2": (1e-3, 2e-2),
    },
)


def _gemstones(
    name: str,
    exponents: list[float],
    log_scales: list[float],
    log_floor: float,
    tokens: tuple[float, float],
    notes: str,
) -> Law:
    letters = ("w", "d", "p", "t")
    constants = {"E": float(np.exp(log_floor))}
    constants |= {f"c{x}": float(np.exp(v)) for x, v in zip(letters, log_scales, strict=True)}
    constants |= {f"a{x}": v for x, v in zip(letters, exponents, strict=True)}
    return Law(
        name=name,
        form=GEMSTONES,
        constants=constants,
        corpus="Dolma",
        tokenizer="50304",
        source="arXiv:2502.06857",
        range={
            "params": (50e6, 2e9),
            "tokens": tokens,
            "hidden_size": (256, 3072),
            "num_hidden_layers": (3, 80),
        },
        notes=notes,
    )


_GEMSTONES_ND = {"E": 2.108, "A": 213.3, "B": 3.178e6, "alpha": 0.297, "beta": 0.690}
_BIAN_A = {"E": 2.44751108, "A": 54754.4297, "B": 778345.518, "alpha": 0.614573724, "eps": 0.00114620739}

LAWS = (
    _gemstones(
        "Gemstones2025",
        [0.30146699, 0.3655461733, 0.5055007692, 0.4670177667],
        [1.6375654653, -0.0254911443, 7.8653383939, 9.9838221358],
        0.4195179541,
        (1.1e10, 1e11),
        "Annealed runs (199 points, mean error 0.014 nats).",
    ),
    _gemstones(
        "Gemstones2025Hot",
        [0.2446914313, 0.3871516764, 0.5000838843, 0.4761055541],
        [1.4520106404, -0.0781020281, 7.9700333376, 10.0594263846],
        0.39245797,
        (2e9, 1e11),
        "Constant learning rate (220 points, mean error 0.016 nats).",
    ),
    _gemstones(
        "Gemstones2025HotOver100B",
        [0.2195783536, 0.4758917337, 0.3636454068, 0.4935127042],
        [1.082043835, -0.2186969889, 6.0902355695, 10.4720427681],
        0.4282048563,
        (1e11, 3.5e11),
        "Constant learning rate, beyond 100B tokens (770 points, mean error 0.012 nats).",
    ),
    Law(
        name="Gemstones2025ParamsTokens",
        form=CHINCHILLA,
        constants=_GEMSTONES_ND,
        corpus="Dolma",
        tokenizer="50304",
        source="arXiv:2502.06857",
        range={"params": (50e6, 2e9), "tokens": (1.1e10, 1e11)},
        notes="The same runs without width and depth (mean error 0.031 nats).",
        terms=_GEMSTONES_ND,
    ),
    Law(
        name="Bian2025a",
        form=BIAN_ASPECT,
        constants=_BIAN_A,
        corpus="DCLM",
        tokenizer="not stated",
        source="arXiv:2501.18107",
        range={"params": (80e6, 1.7e9), "tokens": (1.6e9, 2.7e11)},
        notes="27 runs (R2 0.998 on 76). E and alpha are local: use the ratio of two shapes outside the range.",
    ),
    Law(
        name="Bian2025b",
        form=BIAN_CONDITIONAL,
        constants={"a0": 2.697, "a1": 0.0974, "a2": 0.0078, "b0": 0.3870, "b1": 0.0063, "b2": 0.0065},
        corpus="Dolma",
        tokenizer="not stated",
        n_convention="non_embedding",
        loss_unit="-",
        source="arXiv:2510.18245",
        range={"non_embedding_params": (80e6, 1e9)},
        quantity="correction",
        notes="Fitted below 1B parameters at 100 tokens per parameter; a factor on the loss.",
    ),
    Law(
        name="Bian2025bLarge",
        form=BIAN_CONDITIONAL,
        constants={"a0": 2.319, "a1": 0.238, "a2": 0.0176, "b0": 0.5104, "b1": 0.0051, "b2": 0.0062},
        corpus="Dolma",
        tokenizer="not stated",
        n_convention="non_embedding",
        loss_unit="-",
        source="arXiv:2510.18245",
        range={"non_embedding_params": (1e9, 3e9)},
        quantity="correction",
        notes="Fitted at 1B parameters, used by its authors at 3B; a factor on the loss.",
    ),
)
