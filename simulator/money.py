"""From hours to money: rent, purchase spread over a service life, and the price of a token."""

from __future__ import annotations

import numpy as np

from simulator.columns import Numeric

HOUR = 3600.0
"""Seconds in an hour. [s]"""

SERVICE_LIFE_YEARS = 4.0
"""Years over which a bought accelerator is written off, where nothing else is said. [years]

The middle of the three to five years that operators use; a purchase price says nothing about it, so it is shown.
"""


def gpu_hours(*, n_gpus: Numeric, seconds: Numeric) -> Numeric:
    """Accelerator hours of a run. [h]

    Examples
    --------
    >>> print(gpu_hours(n_gpus=64, seconds=86400))
    1536.0
    """
    return np.asarray(n_gpus) * seconds / HOUR


def cost_usd(*, gpu_hours: Numeric, usd_per_gpu_hour: Numeric) -> Numeric:
    """Rent of a run. [USD]

    Without storage, egress, staff or idle reservation.

    Examples
    --------
    >>> print(cost_usd(gpu_hours=1536, usd_per_gpu_hour=2.5))
    3840.0
    """
    return np.asarray(gpu_hours) * usd_per_gpu_hour


def affordable_s(*, usd: Numeric, n_gpus: Numeric, usd_per_gpu_hour: Numeric) -> Numeric:
    """Wall-clock time that money buys. [s]

    Examples
    --------
    >>> print(affordable_s(usd=3840, n_gpus=64, usd_per_gpu_hour=2.5) / 86400)
    1.0
    """
    return np.asarray(usd) / (np.asarray(n_gpus) * usd_per_gpu_hour) * HOUR


def usd_per_m_tokens(*, cost_usd: Numeric, tokens: Numeric) -> Numeric:
    """Training cost of a million tokens. [USD]

    Examples
    --------
    >>> print(usd_per_m_tokens(cost_usd=2000, tokens=1e9))
    2.0
    """
    return np.asarray(cost_usd) / np.asarray(tokens) * 1e6


def hourly_purchase_price(
    *, usd_per_gpu: Numeric, years: Numeric = SERVICE_LIFE_YEARS, share_used: Numeric = 1.0
) -> Numeric:
    """Straight-line write-off of a bought accelerator per hour of use. [USD/h]

    Parameters
    ----------
    usd_per_gpu : numeric
        Price of one accelerator. [USD]
    years : numeric, optional
        Service life. [years]
    share_used : numeric, optional
        Share of the hours in which it works. [-]

    Examples
    --------
    >>> print(round(hourly_purchase_price(usd_per_gpu=30000), 3))
    0.856
    """
    return np.asarray(usd_per_gpu) / (np.asarray(years) * 365.0 * 24.0 * share_used)


def ownership_usd_per_gpu_hour(
    *,
    usd_per_gpu: Numeric,
    years: Numeric = SERVICE_LIFE_YEARS,
    resale: Numeric = 0.0,
    share_used: Numeric = 1.0,
    power_w: Numeric = 0.0,
    usd_per_kwh: Numeric = 0.0,
    hosting_usd_per_gpu_hour: Numeric = 0.0,
) -> Numeric:
    r"""What an hour of work costs the owner of an accelerator. [USD/h]

    Parameters
    ----------
    usd_per_gpu, years, share_used : numeric
        As for `hourly_purchase_price`. [USD], [years], [-]
    resale : numeric, optional
        Share of the price that is recovered at the end. [-]
    power_w : numeric, optional
        Power at the meter of a working accelerator; an idle one is taken to draw nothing. [W]
    usd_per_kwh : numeric, optional
        Price of energy. [USD/kWh]
    hosting_usd_per_gpu_hour : numeric, optional
        What every hour costs, worked or not. [USD/h]

    Notes
    -----
    .. math:: c = \frac{P (1 - s) / (8760\, y) + h}{u} + w\,e

    Straight line, without the cost of capital; idle power counts as hosting.

    Examples
    --------
    >>> print(round(ownership_usd_per_gpu_hour(
    ...     usd_per_gpu=35040, share_used=0.5, power_w=1000, usd_per_kwh=0.1, hosting_usd_per_gpu_hour=0.2), 3))
    2.5
    """
    price = np.asarray(usd_per_gpu) * (1.0 - np.asarray(resale))
    idle = hourly_purchase_price(usd_per_gpu=price, years=years) + np.asarray(hosting_usd_per_gpu_hour)
    return idle / share_used + np.asarray(power_w) / 1e3 * usd_per_kwh


def break_even_utilisation(
    *,
    rent_usd_per_gpu_hour: Numeric,
    usd_per_gpu: Numeric,
    years: Numeric = SERVICE_LIFE_YEARS,
    resale: Numeric = 0.0,
    power_w: Numeric = 0.0,
    usd_per_kwh: Numeric = 0.0,
    hosting_usd_per_gpu_hour: Numeric = 0.0,
) -> Numeric:
    """Share of all hours in use from which on buying costs less than renting; above one, never. [-]

    The parameters are those of `ownership_usd_per_gpu_hour`.

    Examples
    --------
    >>> print(round(break_even_utilisation(rent_usd_per_gpu_hour=2.5, usd_per_gpu=35040, power_w=1000,
    ...                                    usd_per_kwh=0.1, hosting_usd_per_gpu_hour=0.2), 3))
    0.5
    """
    idle = ownership_usd_per_gpu_hour(
        usd_per_gpu=usd_per_gpu,
        years=years,
        resale=resale,
        hosting_usd_per_gpu_hour=hosting_usd_per_gpu_hour,
    )
    saved = np.asarray(rent_usd_per_gpu_hour) - np.asarray(power_w) / 1e3 * usd_per_kwh
    with np.errstate(divide="ignore"):
        return np.where(saved > 0, idle / np.maximum(saved, 1e-300), np.inf)[()]


def serving_gpu_seconds(
    *, active_params: Numeric, tokens: Numeric, peak_flops: Numeric, utilisation: Numeric
) -> Numeric:
    r"""Accelerator time that serving a model takes over its life. [s]

    Parameters
    ----------
    active_params : numeric
        Parameters that one token passes through. [-]
    tokens : numeric
        Tokens served. [tokens]
    peak_flops : numeric
        Dense peak of one accelerator. [FLOP/s]
    utilisation : numeric
        Share of the peak that serving reaches. [-]

    Notes
    -----
    .. math:: t = 2 N D / (u P)

    Sardana et al., arXiv:2401.00448, equation 4. Without the memory traffic of the weights, which `utilisation` stands for.

    Examples
    --------
    >>> print(round(serving_gpu_seconds(active_params=7e9, tokens=1e12, peak_flops=312e12, utilisation=0.5) / 3600, 1))
    24928.8
    """
    return 2.0 * np.asarray(active_params, dtype=float) * tokens / (np.asarray(utilisation) * peak_flops)


SARDANA_UTILISATION = {"prompt": 0.5, "generation": 0.01}
"""Share of the peak in prompt processing and in generation, in the code of arXiv:2401.00448. [-]"""

SARDANA_REQUEST = {"prompt": 70.0, "generation": 215.0}
"""Tokens of one request, in the code of arXiv:2401.00448. [tokens]"""


def request_utilisation(
    *,
    prompt_tokens: Numeric = SARDANA_REQUEST["prompt"],
    generated_tokens: Numeric = SARDANA_REQUEST["generation"],
    prompt_utilisation: Numeric = SARDANA_UTILISATION["prompt"],
    generation_utilisation: Numeric = SARDANA_UTILISATION["generation"],
) -> Numeric:
    """Utilisation over a whole request: the harmonic mean weighted by tokens. [-]

    Examples
    --------
    >>> print(round(request_utilisation(), 4))
    0.0132
    """
    work = (
        np.asarray(prompt_tokens) / prompt_utilisation + np.asarray(generated_tokens) / generation_utilisation
    )
    return (np.asarray(prompt_tokens) + generated_tokens) / work
