"""Whether a specification is one of a machine that could exist: a unit a thousand times off is a number like any other.

The ranges reach from a fifth of the least to five times the most that any shipped specification has, or wider.
"""

from __future__ import annotations

import datetime
from typing import Any

from simulator.schema.accelerator import Accelerator
from simulator.schema.base import Spec
from simulator.schema.cluster import Cluster
from simulator.units import format_quantity

Range = tuple[str, float, float]
"""Dimension, least and most, in its base unit."""

RATE, SPEED = "FLOP/second", "byte/second"

ACCELERATOR: dict[str, Range] = {
    "memory": ("byte", 2e9, 1.5e12),
    "memory_usable": ("byte", 2e9, 1.5e12),
    "memory_bandwidth": (SPEED, 60e9, 110e12),
    "peak_flops.fp64": (RATE, 50e9, 1e15),
    "peak_flops.fp32": (RATE, 1e12, 1e15),
    "peak_flops.tf32": (RATE, 5e12, 10e15),
    "peak_flops.fp16": (RATE, 5e12, 20e15),
    "peak_flops.bf16": (RATE, 5e12, 20e15),
    "peak_flops.fp8": (RATE, 20e12, 90e15),
    "peak_flops.int8": (RATE, 20e12, 90e15),
    "peak_flops.fp4": (RATE, 100e12, 200e15),
    "l2_cache": ("byte", 0.5e6, 2e9),
    "link.bandwidth": (SPEED, 1e9, 10e12),
    "network.bandwidth": (SPEED, 0.1e9, 1e12),
    "host_link.bandwidth": (SPEED, 1e9, 5e12),
    "tdp": ("watt", 15.0, 7e3),
    "purchase_price": ("USD/GPU", 100.0, 1e6),
}
"""What fields of an accelerator usually hold."""

CLUSTER: dict[str, Range] = {
    "nic_bandwidth": (SPEED, 0.1e9, 1e12),
    "collective_bandwidth": (SPEED, 0.1e9, 20e12),
    "host_power": ("watt", 50.0, 100e3),
    "grid_intensity": ("gCO2e/kWh", 0.0, 2000.0),
}
"""What fields of a cluster usually hold."""

READ_S = (0.002, 0.5)
"""Time to read the whole memory once; 13 to 80 ms for what ships. [s]"""

FLOP_PER_BYTE = (4.0, 3000.0)
"""16-bit rate over memory bandwidth; 20 to 560 for what ships. [FLOP/B]"""

AHEAD = datetime.timedelta(days=366)
"""A source cannot be read in the future; clocks may be wrong."""


def implausible(spec: Accelerator | Cluster, today: datetime.date) -> list[str]:
    """What in a specification is far from that of any machine, each with the usual range.

    Parameters
    ----------
    spec : Accelerator or Cluster
        Own or shipped.
    today : datetime.date
        Day against which `retrieved` is judged.

    Examples
    --------
    >>> cluster = Cluster(name="ours", host_power="3 MW", source="our racks", retrieved="2026-11-21")
    >>> implausible(cluster, datetime.date(2026, 11, 21))
    ['host_power: 3 MW; usual is 50 W to 100 kW']
    """
    ranges = ACCELERATOR if isinstance(spec, Accelerator) else CLUSTER
    found = [text for path, usual in ranges.items() if (text := _outside(spec, path, usual))]
    if isinstance(spec, Accelerator) and not found:
        found = _out_of_proportion(spec)
    if spec.retrieved > today + AHEAD:
        found.append(f"retrieved: {spec.retrieved} is yet to come")
    return found


def _outside(spec: Spec, path: str, usual: Range) -> str:
    value: Any = spec
    for part in path.split("."):
        value = getattr(value, part, None)
    dimension, low, high = usual
    if value is None or low <= value <= high:
        return ""
    shown, least, most = (format_quantity(each, dimension, digits=3) for each in (value, low, high))
    return f"{path}: {shown}; usual is {least} to {most}"


def _out_of_proportion(spec: Accelerator) -> list[str]:
    """Rates that are no fault alone, and do not go together."""
    found, read = [], spec.memory / spec.memory_bandwidth
    if not READ_S[0] <= read <= READ_S[1]:
        low, high = (format_quantity(each, "second") for each in READ_S)
        text = format_quantity(read, "second", digits=3)
        found.append(f"memory over memory_bandwidth: {text} to read all of it; usual is {low} to {high}")
    name = "bf16" if spec.peak_flops.bf16 else "fp16"
    rate = getattr(spec.peak_flops, name)
    if rate and not FLOP_PER_BYTE[0] <= rate / spec.memory_bandwidth <= FLOP_PER_BYTE[1]:
        low, high = (f"{each:g}" for each in FLOP_PER_BYTE)
        ratio = f"{rate / spec.memory_bandwidth:.3g}"
        found.append(
            f"peak_flops.{name} over memory_bandwidth: {ratio} FLOP per byte; usual is {low} to {high}"
        )
    return found
