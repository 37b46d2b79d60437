"""What an accelerator costs an hour to those who buy it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from simulator.schema.base import Fraction, Quantity, Spec, UsdPerGpu, UsdPerKwh

UsdPerGpuHour = Annotated[float, Field(ge=0, lt=1e6), Quantity("USD/GPU-hour")]


class Ownership(Spec):
    """A purchase, spread over the hours in which the accelerators work."""

    buy: UsdPerGpu
    """Price of one accelerator with its share of server, network and installation."""
    years: Annotated[float, Field(gt=0, le=30)] = 4.0
    """Years until it is written off."""
    resale: Annotated[float, Field(ge=0, lt=1), Quantity("fraction")] = 0.0
    """Share of the price that it still brings then."""
    utilisation: Fraction = 1.0
    """Share of all hours in which it works, for this run or another."""
    electricity: UsdPerKwh = 0.0
    """Price of the energy that it draws while it works."""
    hosting: UsdPerGpuHour = 0.0
    """Space, cooling plant, operations and repair, for every hour whether it works or not."""
