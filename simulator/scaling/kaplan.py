"""Kaplan et al. 2020 (arXiv:2001.08361): the laws of WebText2, with parameters counted without embeddings.

Loss in nats per token of a 50,257-token BPE; compute in PF-days (1 PF-day = 8.64e19 FLOP) inside the printed constants and in
FLOP at every argument here. Seed noise is about 0.02 nats. The exponents of the frontier are those of a fixed learning-rate
schedule and of compute without the head, which is why they differ from Chinchilla's (arXiv:2406.19146).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .law import Form, Law, Numeric, Power

PF_DAY = 8.64e19
"""Floating-point operations of one petaFLOP/s-day. [FLOP]"""


def power_law(*, x: Numeric, scale: Numeric, exponent: Numeric) -> Numeric:
    r"""Loss falling as a pure power, :math:`(x_c / x)^{a}`.

    Parameters
    ----------
    x, scale : numeric
        Parameters, tokens or compute, and the value of it at which the loss would be one nat per token, in the same unit.
    exponent : numeric
        Power. [-]

    Returns
    -------
    numeric
        Loss. [nats/token]

    Notes
    -----
    No floor: far enough out it promises a loss below the entropy of text. Source: arXiv:2001.08361.

    Examples
    --------
    >>> round(float(power_law(x=1e9, scale=8.8e13, exponent=0.076)), 2)
    2.38
    """
    return (scale / np.asarray(x, dtype=float)) ** exponent


def loss_of_params(*, non_embedding_params: Numeric, Nc: Numeric, aN: Numeric) -> Numeric:
    """Loss at convergence on unlimited data, ``(Nc/N)^aN`` [nats/token]; see `power_law`.

    Examples
    --------
    >>> round(float(loss_of_params(non_embedding_params=1e9, Nc=8.8e13, aN=0.076)), 2)
    2.38
    """
    return power_law(x=non_embedding_params, scale=Nc, exponent=aN)


def loss_of_tokens(*, tokens: Numeric, Dc: Numeric, aD: Numeric) -> Numeric:
    """Loss of a large model stopped early on `tokens` tokens, ``(Dc/D)^aD`` [nats/token]; see `power_law`.

    Examples
    --------
    >>> round(float(loss_of_tokens(tokens=1e10, Dc=5.4e13, aD=0.095)), 2)
    2.26
    """
    return power_law(x=tokens, scale=Dc, exponent=aD)


def loss_of_compute(*, compute_flop: Numeric, Cc: Numeric, aC: Numeric) -> Numeric:
    """Loss on a compute frontier, ``(Cc/C)^aC``, with `Cc` in PF-days and `compute_flop` in FLOP [nats/token].

    Examples
    --------
    >>> round(float(loss_of_compute(compute_flop=8.64e19, Cc=3.1e8, aC=0.050)), 2)
    2.66
    """
    return power_law(x=np.asarray(compute_flop, dtype=float) / PF_DAY, scale=Cc, exponent=aC)


def loss_of_params_and_tokens(
    *, non_embedding_params: Numeric, tokens: Numeric, Nc: Numeric, Dc: Numeric, aN: Numeric, aD: Numeric
) -> Numeric:
    r"""Loss of a model of `non_embedding_params` stopped early on `tokens` tokens.

    Parameters
    ----------
    non_embedding_params, tokens : numeric
        Size and data. [-], [tokens]
    Nc, Dc : numeric
        Scales. [-], [tokens]
    aN, aD : numeric
        Exponents. [-]

    Returns
    -------
    numeric
        Loss. [nats/token]

    Notes
    -----
    .. math:: L = \left[ (N_c/N)^{a_N/a_D} + D_c/D \right]^{a_D}

    Fitted with 10 % dropout and early stopping, so repeated data are inside it.

    Examples
    --------
    >>> round(float(loss_of_params_and_tokens(
    ...     non_embedding_params=1e9, tokens=2e10, Nc=6.4e13, Dc=1.8e13, aN=0.076, aD=0.103)), 2)
    2.37
    """
    n, d = np.asarray(non_embedding_params, dtype=float), np.asarray(tokens, dtype=float)
    return ((Nc / n) ** (aN / aD) + Dc / d) ** aD


def loss_of_params_and_steps(
    *, non_embedding_params: Numeric, min_steps: Numeric, Nc: Numeric, Sc: Numeric, aN: Numeric, aS: Numeric
) -> Numeric:
    r"""Loss after `min_steps` steps at a batch far above the critical one, :math:`(N_c/N)^{a_N} + (S_c/S_{min})^{a_S}`.

    Parameters
    ----------
    non_embedding_params, min_steps : numeric
        Size, and steps as if the batch were unlimited (`simulator.scaling.batch.min_steps`). [-]
    Nc, Sc, aN, aS : numeric
        Scales and exponents. [-]

    Returns
    -------
    numeric
        Loss. [nats/token]

    Examples
    --------
    >>> round(float(loss_of_params_and_steps(
    ...     non_embedding_params=1e9, min_steps=1e5, Nc=6.5e13, Sc=2.1e3, aN=0.077, aS=0.76)), 2)
    2.4
    """
    n, s = np.asarray(non_embedding_params, dtype=float), np.asarray(min_steps, dtype=float)
    return (Nc / n) ** aN + (Sc / s) ** aS


def critical_batch(*, loss: Numeric, B_star: Numeric = 2.1e8, aB: Numeric = 0.21) -> Numeric:
    """Critical batch at a loss, ``B* / L^(1/aB)`` [tokens].

    Examples
    --------
    >>> round(float(critical_batch(loss=3.0)) / 1e6, 2)
    1.12
    """
    return B_star / np.asarray(loss, dtype=float) ** (1 / aB)


def overfit_threshold_tokens(*, non_embedding_params: Numeric) -> Numeric:
    """Fewest tokens that avoid an overfitting penalty above seed noise, ``5e3 N^0.74`` [tokens].

    Examples
    --------
    >>> round(float(overfit_threshold_tokens(non_embedding_params=1e9)) / 1e9, 1)
    22.9
    """
    return 5e3 * np.asarray(non_embedding_params, dtype=float) ** 0.74


def early_stop_step(
    *, loss: Numeric, loss_infinite_data: Numeric, Sc: Numeric = 2.1e3, aS: Numeric = 0.76
) -> Numeric:
    """Lower bound on the step at which a data-limited run should stop, ``Sc / (L(N,D) - L(N,inf))^(1/aS)`` [-].

    Examples
    --------
    >>> round(float(early_stop_step(loss=2.6, loss_infinite_data=2.4)))
    17455
    """
    return Sc / (np.asarray(loss, dtype=float) - loss_infinite_data) ** (1 / aS)


def frontier(*, compute_flop: Numeric, at_critical_batch: bool = True) -> dict[str, Any]:
    """Compute-efficient size, critical batch, fewest steps and tokens for a budget.

    Parameters
    ----------
    compute_flop : numeric
        Budget, ``6 N B S``. [FLOP]
    at_critical_batch : bool, optional
        Whether the run uses the critical batch, where half the compute is the price of parallel speed (``C_min = C/2``); otherwise the
        budget is taken as ``C_min``, a batch far below critical.

    Returns
    -------
    dict
        ``non_embedding_params`` [-], ``critical_batch_tokens`` [tokens], ``min_steps`` [-], ``tokens`` [tokens].

    Notes
    -----
    ``N = 1.3e9 C^0.73``, ``B_crit = 2.0e6 C^0.24``, ``S_min = 5.4e3 C^0.03``, ``D = 2e10 C^0.27`` with C in PF-days of ``C_min``
    (Table 6, which has ``B << B_crit``). The critical batch is that of the run where the run is at it, and otherwise a bound: a batch
    well below it, in ``tokens / batch`` steps, of which ``S_min`` is the fewest at any batch. The tokens are those at the critical
    batch; far below it half as many do, and what is returned is ``C_min / 6N``.

    Examples
    --------
    >>> round(float(frontier(compute_flop=1e21)["non_embedding_params"]) / 1e9, 2)
    4.68
    """
    c = np.asarray(compute_flop, dtype=float) * (0.5 if at_critical_batch else 1.0) / PF_DAY
    params = 1.3e9 * c**0.73
    return {
        "non_embedding_params": params,
        "critical_batch_tokens": 2.0e6 * c**0.24,
        "min_steps": 5.4e3 * c**0.03,
        "tokens": 2e10 * c**0.27 if at_critical_batch else c * PF_DAY / (6 * params),
    }


def compute_for_loss(
    *,
    loss: Numeric,
    non_embedding_params: Numeric,
    Nc: Numeric = 6.5e13,
    Sc: Numeric = 2.1e3,
    aN: Numeric = 0.077,
    aS: Numeric = 0.76,
    B_star: Numeric = 2.1e8,
    aB: Numeric = 0.21,
) -> Numeric:
    """Compute to reach a loss with a given size at the critical batch (appendix B) [FLOP].

    Infinite where the size cannot reach the loss. Counts ``6 N B S`` with ``S = S_min`` at ``B = B_crit`` as the paper does, that is
    ``C_min`` when multiplied by one.

    Examples
    --------
    >>> round(float(compute_for_loss(loss=3.0, non_embedding_params=1e8)) / 8.64e19, 3)
    0.139
    """
    n, loss_ = np.asarray(non_embedding_params, dtype=float), np.asarray(loss, dtype=float)
    gap = loss_ - (Nc / n) ** aN
    with np.errstate(divide="ignore", invalid="ignore"):
        compute = 6 * B_star * Sc * n / loss_ ** (1 / aB) * np.where(gap > 0, gap, np.nan) ** (-1 / aS)
    return np.where(gap > 0, compute, np.inf)[()]


def compute_exponent(*, aN: Numeric = 0.077, aS: Numeric = 0.76, aB: Numeric = 0.21) -> Numeric:
    """Exponent of loss against efficient compute, ``1 / (1/aS + 1/aB + 1/aN)`` [-].

    Examples
    --------
    >>> round(float(compute_exponent()), 3)
    0.052
    """
    return 1 / (1 / aS + 1 / aB + 1 / aN)


def stop_fraction(*, aN: Numeric = 0.077, aS: Numeric = 0.76) -> Numeric:
    """How far above its converged loss a compute-efficient run stops, ``aN / aS`` [-].

    Examples
    --------
    >>> round(float(stop_fraction()), 2)
    0.1
    """
    return aN / aS


def stop_fraction_ratios(
    *, f: Numeric, reference: Numeric, aN: Numeric = 0.077, aS: Numeric = 0.76
) -> dict[str, Any]:
    """Size, steps and compute of stopping at a fraction `f` above convergence, relative to stopping at `reference`.

    The two runs reach the same loss (equations B.12 to B.14).

    Returns
    -------
    dict
        ``params``, ``steps``, ``compute`` ratios. [-]

    Examples
    --------
    >>> {k: round(float(v), 2) for k, v in stop_fraction_ratios(f=0.077 / 0.76, reference=0.02).items()}
    {'params': 2.71, 'steps': 0.13, 'compute': 0.35}
    """
    params = ((1 + np.asarray(f, dtype=float)) / (1 + np.asarray(reference, dtype=float))) ** (1 / aN)
    steps = ((1 + 1 / np.asarray(f, dtype=float)) / (1 + 1 / np.asarray(reference, dtype=float))) ** (1 / aS)
    return {"params": params, "steps": steps, "compute": params * steps}


def off_optimal_size(*, size_ratio: Numeric, aN: Numeric = 0.077, aS: Numeric = 0.76) -> dict[str, Any]:
    """Compute and steps of training a size other than the efficient one to the same loss, relative to the efficient one.

    Takes the size over the efficient size; the ratios ``compute`` and ``steps`` are infinite where it cannot reach the loss. [-]

    Examples
    --------
    >>> {k: round(float(v), 2) for k, v in off_optimal_size(size_ratio=2.2).items()}
    {'compute': 1.2, 'steps': 0.55}
    """
    ratio = np.asarray(size_ratio, dtype=float)
    bracket = 1 + (aS / aN) * (1 - ratio**-aN)
    with np.errstate(divide="ignore", invalid="ignore"):
        steps = np.where(bracket > 0, np.where(bracket > 0, bracket, np.nan) ** (-1 / aS), np.inf)[()]
    return {"compute": ratio * steps, "steps": steps}


_ABOUT: dict[str, Any] = {
    "corpus": "WebText2",
    "tokenizer": "BPE, 50257",
    "n_convention": "non_embedding",
    "source": "arXiv:2001.08361",
}
_N, _D = (768.0, 1.5e9), (22e6, 23e9)

COMPUTE = Form(
    "kaplan_compute",
    loss_of_compute,
    ("compute_flop",),
    ("Cc", "aC"),
    "L = (Cc/C)^aC, C in PF-days",
    starts={"Cc": (1e5, 1e10), "aC": (0.02, 0.15)},
)

LAWS = (
    Law(
        name="Kaplan2020",
        form=Form(
            "kaplan",
            loss_of_params_and_tokens,
            ("non_embedding_params", "tokens"),
            ("Nc", "Dc", "aN", "aD"),
            "L = ((Nc/N)^(aN/aD) + Dc/D)^aD",
            starts={"Nc": (1e12, 1e15), "Dc": (1e12, 1e15), "aN": (0.04, 0.15), "aD": (0.04, 0.2)},
        ),
        constants={"Nc": 6.4e13, "Dc": 1.8e13, "aN": 0.076, "aD": 0.103},
        range={"non_embedding_params": _N, "tokens": _D},
        notes="No floor; 10 % dropout and early stopping. Embeddings are not counted in N.",
        **_ABOUT,
    ),
    Law(
        name="Kaplan2020Params",
        form=Form(
            "kaplan_params",
            loss_of_params,
            ("non_embedding_params",),
            ("Nc", "aN"),
            "L = (Nc/N)^aN",
            powers=(Power("Nc", "non_embedding_params", "aN", point=True),),
        ),
        constants={"Nc": 8.8e13, "aN": 0.076},
        range={"non_embedding_params": _N},
        notes="Trained to convergence on unlimited data.",
        **_ABOUT,
    ),
    Law(
        name="Kaplan2020Tokens",
        form=Form(
            "kaplan_tokens",
            loss_of_tokens,
            ("tokens",),
            ("Dc", "aD"),
            "L = (Dc/D)^aD",
            powers=(Power("Dc", "tokens", "aD", point=True),),
        ),
        constants={"Dc": 5.4e13, "aD": 0.095},
        range={"tokens": _D},
        notes="Large models, stopped early.",
        **_ABOUT,
    ),
    Law(
        name="Kaplan2020Compute",
        form=COMPUTE,
        constants={"Cc": 1.6e7, "aC": 0.057},
        notes="Naive frontier, at a fixed batch.",
        **_ABOUT,
    ),
    Law(
        name="Kaplan2020ComputeMin",
        form=COMPUTE,
        constants={"Cc": 3.1e8, "aC": 0.050},
        notes="Frontier at a batch far below critical. The paper also prints 2.3e8 and 2.0e7 for Cc; Table 5 is used.",
        **_ABOUT,
    ),
    Law(
        name="Kaplan2020Steps",
        form=Form(
            "kaplan_steps",
            loss_of_params_and_steps,
            ("non_embedding_params", "min_steps"),
            ("Nc", "Sc", "aN", "aS"),
            "L = (Nc/N)^aN + (Sc/S_min)^aS",
            powers=(
                Power("Nc", "non_embedding_params", "aN", point=True),
                Power("Sc", "min_steps", "aS", point=True),
            ),
        ),
        constants={"Nc": 6.5e13, "Sc": 2.1e3, "aN": 0.077, "aS": 0.76},
        range={"non_embedding_params": _N},
        notes="Unlimited data; S_min is what the steps would be at a very large batch.",
        **_ABOUT,
    ),
)
