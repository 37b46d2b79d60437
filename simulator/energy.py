"""From hours to energy and carbon."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from simulator.columns import Numeric

JOULE_PER_MWH = 3.6e9
"""Joules in a megawatt-hour. [J]"""

ENERGY = (("MWh", 1.0), ("kWh", 1e-3), ("Wh", 1e-6))
"""Units in which energy is shown, largest first. [MWh]"""

CARBON = (("t", 1.0), ("kg", 1e-3), ("g", 1e-6))
"""Units in which carbon is shown, largest first. [t]"""


def rung(value: float, ladder: Sequence[tuple[str, float]]) -> tuple[str, float]:
    """The largest unit of which there is one, else the smallest, with its size.

    Examples
    --------
    >>> rung(10.752, ENERGY), rung(0.0000166, ENERGY), rung(0.0123, CARBON)
    (('MWh', 1.0), ('Wh', 1e-06), ('kg', 0.001))
    """
    # 999.9 kWh would be shown as 1,000 kWh, so it is counted as 1 MWh.
    fitting = (step for step in ladder if abs(value) >= step[1] * 0.9995)
    return next(fitting, ladder[-1])


def power_per_gpu_w(
    *,
    tdp_w: Numeric,
    host_power_w: Numeric = 0.0,
    accelerators_per_node: Numeric = 8,
    pue: Numeric = 1.0,
    load: Numeric = 1.0,
) -> Numeric:
    """Power at the meter of one accelerator with its share of the node and the building. [W]

    Parameters
    ----------
    tdp_w : numeric
        Board power limit. [W]
    host_power_w : numeric, optional
        Node without its accelerators. [W]
    accelerators_per_node : numeric, optional
        Accelerators that share the node. [-]
    pue : numeric, optional
        Power of the building over power of the machines. [-]
    load : numeric, optional
        Mean draw over the limit; 1, as the model cards of Llama count, is an upper bound. [-]

    Examples
    --------
    >>> print(power_per_gpu_w(tdp_w=700, host_power_w=4600, accelerators_per_node=8, pue=1.2))
    1530.0
    """
    return (np.asarray(tdp_w) * load + np.asarray(host_power_w) / accelerators_per_node) * pue


def energy_j(*, n_gpus: Numeric, seconds: Numeric, power_per_gpu_w: Numeric) -> Numeric:
    """Energy at the meter. [J]"""
    return np.asarray(n_gpus) * seconds * power_per_gpu_w


def energy_mwh(*, n_gpus: Numeric, seconds: Numeric, power_per_gpu_w: Numeric) -> Numeric:
    """Energy at the meter. [MWh]

    Examples
    --------
    >>> print(energy_mwh(n_gpus=1000, seconds=3600, power_per_gpu_w=1000))
    1.0
    """
    return energy_j(n_gpus=n_gpus, seconds=seconds, power_per_gpu_w=power_per_gpu_w) / JOULE_PER_MWH


def affordable_s(*, joules: Numeric, n_gpus: Numeric, power_per_gpu_w: Numeric) -> Numeric:
    """Wall-clock time that an amount of energy allows. [s]"""
    return np.asarray(joules) / (np.asarray(n_gpus) * power_per_gpu_w)


def co2e_t(*, energy_mwh: Numeric, grid_g_per_kwh: Numeric) -> Numeric:
    """Emissions of the electricity, without the making of the machines. [t CO2e]

    Examples
    --------
    >>> print(co2e_t(energy_mwh=10, grid_g_per_kwh=400))
    4.0
    """
    return np.asarray(energy_mwh) * grid_g_per_kwh * 1e-3


def joules_for(*, co2e_kg: Numeric, grid_g_per_kwh: Numeric) -> Numeric:
    """Energy that an amount of emissions allows. [J]

    Examples
    --------
    >>> print(joules_for(co2e_kg=4000, grid_g_per_kwh=400) / JOULE_PER_MWH)
    10.0
    """
    with np.errstate(divide="ignore"):
        return np.asarray(co2e_kg) * 1e3 / np.asarray(grid_g_per_kwh, dtype=float) * 3.6e6
