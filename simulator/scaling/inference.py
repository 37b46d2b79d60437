"""Training and serving together: the size and tokens of least lifetime cost for a wanted loss.

Sardana et al. 2024 (arXiv:2401.00448). Both their objectives, FLOP and dollars, are one problem with one number: minimise
``6 N (D + k/3)`` at a fixed loss, where k are the training-equivalent tokens of the demand.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .frontier import FLOP_PER_PARAM_TOKEN, optimal_tokens_for_size, terms_of
from .law import Law, Numeric

SERVE_FLOP = 2.0
"""Inference FLOP per parameter and token. [FLOP]"""


def lifetime_flop(*, params: Numeric, tokens: Numeric, inference_tokens: Numeric) -> Numeric:
    """FLOP of training and serving, ``6 N D + 2 N D_inference`` [FLOP].

    Examples
    --------
    >>> float(lifetime_flop(params=1e9, tokens=2e10, inference_tokens=3e10))
    1.8e+20
    """
    n = np.asarray(params, dtype=float)
    return FLOP_PER_PARAM_TOKEN * n * tokens + SERVE_FLOP * n * inference_tokens


def demand_tokens(*, requests: Numeric, tokens_per_request: Numeric, samples: Numeric = 1.0) -> Numeric:
    """Tokens served over a lifetime, with `samples` drawn per request at test time [tokens].

    Examples
    --------
    >>> float(demand_tokens(requests=1e9, tokens_per_request=285, samples=4))
    1140000000000.0
    """
    return np.asarray(requests, dtype=float) * tokens_per_request * samples


def dollar_demand_tokens(
    *,
    input_tokens: Numeric,
    output_tokens: Numeric,
    price_ratio: Numeric,
    training_mfu: Numeric = 0.5,
    input_mfu: Numeric = 0.5,
    output_mfu: Numeric = 0.01,
) -> Numeric:
    r"""Demand in the unit of training dollars: what `lifetime_optimal` takes to minimise cost rather than FLOP.

    Parameters
    ----------
    input_tokens, output_tokens : numeric
        Tokens read and written over the lifetime. [tokens]
    price_ratio : numeric
        Dollars per peak FLOP of the serving hardware over those of the training hardware. [-]
    training_mfu, input_mfu, output_mfu : numeric, optional
        Share of peak reached in training, reading and writing. [-]

    Returns
    -------
    numeric
        Equivalent tokens. [tokens]

    Notes
    -----
    .. math:: k = \frac{c_i}{c_t} U_t \left(\frac{T_{in}}{U_{in}} + \frac{T_{out}}{U_{out}}\right)

    The published dollar scenarios need a price ratio of 0.33; the list prices printed beside them give 0.367, unexplained.

    Examples
    --------
    >>> round(float(dollar_demand_tokens(input_tokens=1e11, output_tokens=3e11, price_ratio=0.33)) / 1e12, 2)
    4.98
    """
    busy = (
        np.asarray(input_tokens, dtype=float) / input_mfu
        + np.asarray(output_tokens, dtype=float) / output_mfu
    )
    return price_ratio * training_mfu * busy


def price_per_flop(*, usd_per_hour: Numeric, peak_flop_per_s: Numeric) -> Numeric:
    """Dollars per floating-point operation at peak [USD/FLOP].

    Examples
    --------
    >>> round(float(price_per_flop(usd_per_hour=1.50, peak_flop_per_s=312e12)) * 1e18, 2)
    1.34
    """
    return np.asarray(usd_per_hour, dtype=float) / (3600 * np.asarray(peak_flop_per_s, dtype=float))


def quality_loss(law: str | Law | Mapping[str, float], params: Numeric) -> Numeric:
    """Loss of a compute-optimal model of a given size: how the paper states a wanted quality [nats/token].

    Examples
    --------
    >>> round(float(quality_loss("Sardana2024", 7e9)), 3)
    2.127
    """
    terms = terms_of(law)
    n, d = np.asarray(params, dtype=float), optimal_tokens_for_size(terms, params)
    return terms["E"] + terms["A"] * n ** -terms["alpha"] + terms["B"] * d ** -terms["beta"]


def lifetime_optimal(
    law: str | Law | Mapping[str, float], *, loss: Numeric, demand: Numeric = 0.0
) -> tuple[Numeric, Numeric]:
    r"""Parameters and tokens that reach a loss at the least cost of training and serving.

    Parameters
    ----------
    law : str, Law or mapping
        A law of the Chinchilla form; ``Sardana2024`` for the paper's tables.
    loss : numeric
        Wanted loss (see `quality_loss`). [nats/token]
    demand : numeric, optional
        Tokens served, or their dollar equivalent (see `dollar_demand_tokens`). [tokens]

    Returns
    -------
    tuple of numeric
        Parameters and tokens; not-a-number at or below the floor of the law.

    Notes
    -----
    The root in D of

    .. math:: \left(\tfrac{\beta}{\alpha} + 1\right) B D^{-\beta} + \tfrac{\beta k}{3\alpha} B D^{-\beta-1} + E - l = 0

    then :math:`N = (A / (l - E - B D^{-\beta}))^{1/\alpha}`. With no demand, the Chinchilla optimum. Beyond about a hundred tokens per
    parameter the Chinchilla constants are pessimistic about the small model (same paper, section 4). Memory, latency and batching of
    serving are outside.

    Examples
    --------
    >>> n, d = lifetime_optimal("Sardana2024", loss=quality_loss("Sardana2024", 30e9), demand=1e13)
    >>> f"{n / 1e9:.1f}B {d / 1e12:.2f}T"
    '13.6B 4.43T'
    """
    terms = terms_of(law)
    A, B, alpha, beta = terms["A"], terms["B"], terms["alpha"], terms["beta"]
    k = np.asarray(demand, dtype=float)
    gap = np.asarray(loss, dtype=float) - terms["E"]
    gap = np.where(gap > 0, gap, np.nan)
    with np.errstate(divide="ignore"):
        low = np.log((B / gap) ** (1 / beta))
        alone = np.log((2 * (beta / alpha + 1) * B / gap) ** (1 / beta))
        served = np.log(2 * beta * B * k / (3 * alpha * gap)) / (beta + 1)
    low, high = np.broadcast_arrays(low, np.fmax(alone, served))
    for _ in range(80):
        middle = (low + high) / 2
        tokens = np.exp(middle)
        slack = (
            (beta / alpha + 1) * B * tokens**-beta + beta * k / (3 * alpha) * B * tokens ** (-beta - 1) - gap
        )
        low, high = np.where(slack > 0, middle, low), np.where(slack > 0, high, middle)
    tokens = np.exp((low + high) / 2)
    params = (A / (gap - B * tokens**-beta)) ** (1 / alpha)
    return params[()], tokens[()]


def saving(
    law: str | Law | Mapping[str, float], *, quality_params: Numeric, demand: Numeric
) -> dict[str, Any]:
    """What the lifetime optimum saves against the compute-optimal model of the same quality.

    Parameters
    ----------
    law : str, Law or mapping
        A law of the Chinchilla form.
    quality_params : numeric
        Size of the compute-optimal model that has the wanted loss. [-]
    demand : numeric
        Tokens served, or their dollar equivalent. [tokens]

    Returns
    -------
    dict
        ``params``, ``tokens``, ``tokens_ratio`` (against the compute-optimal model), ``saving_share`` of the lifetime cost, ``extra_share``
        that the compute-optimal model costs more, ``saving_flop``.

    Examples
    --------
    >>> round(float(saving("Sardana2024", quality_params=30e9, demand=1e13)["saving_share"]), 2)
    0.28
    """
    wanted = quality_loss(law, quality_params)
    base_tokens = optimal_tokens_for_size(law, quality_params)
    params, tokens = lifetime_optimal(law, loss=wanted, demand=demand)
    base = lifetime_flop(params=quality_params, tokens=base_tokens, inference_tokens=demand)
    best = lifetime_flop(params=params, tokens=tokens, inference_tokens=demand)
    return {
        "params": params,
        "tokens": tokens,
        "tokens_ratio": tokens / base_tokens,
        "saving_share": 1 - best / base,
        "extra_share": base / best - 1,
        "saving_flop": base - best,
    }
