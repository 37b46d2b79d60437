"""What providers ask for accelerators, by terms and date."""

from __future__ import annotations

import datetime
from typing import Literal

from pydantic import Field

from simulator.schema.base import Identifier, Price, Spec, Text, Whole

Terms = Literal[
    "on_demand",
    "spot",
    "reserved",
    "reserved_short",
    "reserved_1y",
    "reserved_3y",
    "community",
    "capacity_block",
    "serverless",
    "marketplace",
    "purchase",
]


class PriceEntry(Spec):
    """One price: of what, from when, on which terms."""

    accelerator: Text
    """Id of the accelerator."""
    price: Price
    """Amount and per what."""
    terms: Terms
    """Kind of contract."""
    instance: Text | None = None
    """Name of the machine type."""
    accelerators_per_instance: Whole | None = None
    """Accelerators in it."""
    date: datetime.date | Text | None = None
    """Day (or year, or month) that the price held."""
    region: Text | None = None
    """Region."""
    source: Text
    """Where it was read."""
    retrieved: datetime.date
    """Day the source was read."""
    notes: Text | None = None
    """Anything a reader should know."""

    @property
    def usd_per_gpu_hour(self) -> float | None:
        """Rent of one accelerator for an hour, or None for a purchase. [USD/h]"""
        return self.price.usd_per_gpu_hour(self.accelerators_per_instance or 8)


class PriceBook(Spec):
    """Prices of one provider. There is no price without provider, terms and date."""

    id: Identifier | None = None
    """Name of the file; filled in from the file name."""
    provider: Text
    """Who asks the prices."""
    aliases: tuple[Text, ...] = ()
    """Other names of the provider."""
    currency: Literal["USD"] = "USD"
    """Currency of all prices in the file."""
    notes: Text | None = None
    """Anything a reader should know."""
    prices: tuple[PriceEntry, ...] = Field(min_length=1)
    """The prices."""


class PriceChoice(Spec):
    """A price taken from a shipped book instead of written down."""

    provider: Text
    """Id or name of the provider."""
    terms: Terms = "on_demand"
    """Kind of contract."""
    region: Text | None = None
    """Region, where the provider has several."""
