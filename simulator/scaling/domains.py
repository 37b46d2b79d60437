"""Other data than text, and other models than decoders: Henighan 2020, Droppo 2021, Ghorbani 2021."""

from __future__ import annotations

import numpy as np

from .law import FORM, Form, Law, Numeric, Power

HENIGHAN_EXPONENTS: dict[str, tuple[float, float, float]] = {
    "image 8x8": (0.24, 0.19, 0.64),
    "image 16x16": (0.22, 0.16, 0.75),
    "image 32x32": (0.13, 0.10, 0.65),
    "video VQ 16x16x16": (0.24, 0.14, 0.71),
    "math, extrapolated": (0.16, 0.17, 0.69),
    "language": (0.070, 0.048, 0.73),
}
"""Exponents of loss in parameters, of loss in compute, and of the optimal size in compute (arXiv:2010.14701)."""


def henighan(*, params: Numeric, L_inf: Numeric, x0: Numeric, alpha: Numeric) -> Numeric:
    r"""Loss of an autoregressive model of any domain against its size, :math:`L_\infty + (x_0/x)^{\alpha}`.

    Parameters
    ----------
    params : numeric
        Parameters. [-]
    L_inf, x0, alpha : numeric
        Floor, scale and exponent.

    Returns
    -------
    numeric
        Loss, in nats per token, or per image. [nats]

    Notes
    -----
    Only the exponents are public for most domains (`HENIGHAN_EXPONENTS`): fit the rest with ``fixed={"alpha": ...}``.

    References
    ----------
    .. [1] T. Henighan et al., "Scaling laws for autoregressive generative modeling", arXiv:2010.14701, 2020.

    Examples
    --------
    >>> round(float(henighan(params=1e8, L_inf=0.28, x0=1.1e4, alpha=0.16)), 3)
    0.513
    """
    return L_inf + (x0 / np.asarray(params, dtype=float)) ** alpha


def droppo(
    *,
    params: Numeric,
    tokens: Numeric,
    L_inf: Numeric,
    alpha: Numeric,
    N_C: Numeric,
    alpha_N: Numeric,
    D_C: Numeric,
    alpha_D: Numeric,
) -> Numeric:
    r"""Loss of an acoustic model against size and data; a form to fit.

    Parameters
    ----------
    params, tokens : numeric
        Size, and data in the unit of `D_C`.
    L_inf, alpha, N_C, alpha_N, D_C, alpha_D : numeric
        Constants.

    Returns
    -------
    numeric
        Loss.

    Notes
    -----
    .. math:: L = \left[ L_\infty^{1/\alpha} + (N_C/N)^{\alpha_N/\alpha} + (D_C/D)^{\alpha_D/\alpha} \right]^{\alpha}

    References
    ----------
    .. [1] J. Droppo and O. Elibol, "Scaling laws for acoustic models", arXiv:2106.09488, 2021.

    Examples
    --------
    >>> round(float(droppo(params=1.0, tokens=1.0, L_inf=1.0, alpha=1.0, N_C=1.0, alpha_N=1.0, D_C=1.0, alpha_D=1.0)), 6)
    3.0
    """
    n, d = np.asarray(params, dtype=float), np.asarray(tokens, dtype=float)
    return (L_inf ** (1 / alpha) + (N_C / n) ** (alpha_N / alpha) + (D_C / d) ** (alpha_D / alpha)) ** alpha


def ghorbani(
    *,
    encoder_params: Numeric,
    decoder_params: Numeric,
    scale: Numeric,
    pe: Numeric,
    pd: Numeric,
    L_inf: Numeric,
) -> Numeric:
    r"""Loss of a translation model from the sizes of its encoder and decoder; a form to fit.

    Parameters
    ----------
    encoder_params, decoder_params : numeric
        Sizes. [-]
    scale, pe, pd, L_inf : numeric
        Constants.

    Returns
    -------
    numeric
        Loss. [nats/token]

    Notes
    -----
    .. math:: L = s\, N_e^{-p_e} N_d^{-p_d} + L_\infty

    At a given total the best split is :math:`N_e/N_d = p_e/p_d` (`best_split`).

    References
    ----------
    .. [1] B. Ghorbani et al., "Scaling laws for neural machine translation", arXiv:2109.07740, 2021.

    Examples
    --------
    >>> float(ghorbani(encoder_params=4.0, decoder_params=1.0, scale=2.0, pe=0.5, pd=0.5, L_inf=1.0))
    2.0
    """
    e, d = np.asarray(encoder_params, dtype=float), np.asarray(decoder_params, dtype=float)
    return scale * e**-pe * d**-pd + L_inf


def best_split(*, params: Numeric, pe: Numeric, pd: Numeric) -> tuple[Numeric, Numeric]:
    """Encoder and decoder sizes of least loss at a given total [-].

    Examples
    --------
    >>> [float(x) for x in best_split(params=3e8, pe=0.1, pd=0.2)]
    [100000000.0, 200000000.0]
    """
    n = np.asarray(params, dtype=float)
    return n * pe / (pe + pd), n * pd / (pe + pd)


HENIGHAN = Form(
    "henighan",
    henighan,
    ("params",),
    ("L_inf", "x0", "alpha"),
    "L = L_inf + (x0/x)^alpha",
    powers=(Power("x0", "params", "alpha", point=True),),
    floor="L_inf",
)
DROPPO = Form(
    "droppo",
    droppo,
    ("params", "tokens"),
    ("L_inf", "alpha", "N_C", "alpha_N", "D_C", "alpha_D"),
    "L = (L_inf^(1/alpha) + (N_C/N)^(alpha_N/alpha) + (D_C/D)^(alpha_D/alpha))^alpha",
    starts={
        "L_inf": (0.1, 2.0),
        "alpha": (0.1, 1.5),
        "N_C": (1e2, 1e8),
        "alpha_N": (0.1, 1.0),
        "D_C": (1e2, 1e9),
        "alpha_D": (0.1, 1.0),
    },
)
GHORBANI = Form(
    "ghorbani",
    ghorbani,
    ("encoder_params", "decoder_params"),
    ("scale", "pe", "pd", "L_inf"),
    "L = s Ne^-pe Nd^-pd + L_inf",
    starts={"scale": (1.0, 1e5), "pe": (0.05, 0.6), "pd": (0.05, 0.6), "L_inf": (0.3, 3.0)},
)

LAWS = (
    Law(
        name="Henighan2020Math",
        form=HENIGHAN,
        constants={"L_inf": 0.28, "x0": 1.1e4, "alpha": 0.16},
        corpus="procedurally generated mathematics, extrapolated test",
        tokenizer="not stated",
        n_convention="non_embedding",
        source="arXiv:2010.14701",
        notes="The one domain whose constants were found complete.",
    ),
    Law(
        name="Henighan2020",
        form=HENIGHAN,
        constants={},
        corpus="images, video, text and images, mathematics",
        tokenizer="by domain",
        n_convention="non_embedding",
        source="arXiv:2010.14701",
        provenance=FORM,
        notes="Exponents by domain in simulator.scaling.domains.HENIGHAN_EXPONENTS; fit the floor and the scale.",
    ),
    Law(
        name="Droppo2021",
        form=DROPPO,
        constants={},
        corpus="23,000 hours of speech",
        tokenizer="none: acoustic frames",
        source="arXiv:2106.09488",
        provenance=FORM,
        notes="Autoregressive predictive coding.",
    ),
    Law(
        name="Ghorbani2021",
        form=GHORBANI,
        constants={},
        corpus="translation, English to German and others",
        tokenizer="not stated",
        source="arXiv:2109.07740",
        provenance=FORM,
        notes="Encoder and decoder scale apart.",
    ),
)
