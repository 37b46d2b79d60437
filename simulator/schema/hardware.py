"""What the run is executed on, and what that costs."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Discriminator, Field, GetCoreSchemaHandler, GetJsonSchemaHandler, Tag, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from simulator.schema.accelerator import Accelerator
from simulator.schema.base import (
    BytesPerSecond,
    CarbonIntensity,
    Named,
    OneOrMany,
    Price,
    Rent,
    Spec,
    Whole,
    fail,
)
from simulator.schema.cluster import Cluster
from simulator.schema.ownership import Ownership
from simulator.schema.price import PriceChoice
from simulator.schema.reliability import Reliability


def _price_form(value: Any) -> str:
    if isinstance(value, Ownership) or (isinstance(value, dict) and "buy" in value):
        return "ownership"
    if isinstance(value, PriceChoice) or (isinstance(value, dict) and "usd" not in value):
        return "choice"
    return "price"


Offer = Annotated[
    Annotated[Price, Tag("price")]
    | Annotated[PriceChoice, Tag("choice")]
    | Annotated[Ownership, Tag("ownership")],
    Discriminator(_price_form),
]
"""A price in one of its forms."""

TAKEN_AWAY = ("spot", "marketplace")
"""Terms on which a provider may take accelerators away while they work."""


class Hardware(Spec):
    """Accelerators of one kind, in one cluster, at one price."""

    accelerator: Annotated[Accelerator, Named("accelerators")]
    """Id, path, or the fields of an accelerator inline."""
    n_gpus: Whole | None = None
    """Accelerators; the planner chooses where the scenario lets it."""
    cluster: Annotated[Cluster, Named("clusters")] | None = None
    """Id, path, or the fields of a cluster inline."""
    accelerators_per_node: Whole | None = None
    """Accelerators in one node; the cluster's, or the accelerator's usual, if absent."""
    network_bandwidth: BytesPerSecond | None = None
    """Scale-out bandwidth of one accelerator in one direction; replaces the cluster's."""
    collective_bandwidth: BytesPerSecond | None = None
    """Most that a collective of all accelerators gets out of a node: nccl-tests' bus bandwidth; replaces the cluster's."""
    price: Offer | None = None
    """Such as ``$2.99/GPU-h``; ``{provider: ..., terms: ...}`` from the shipped price books; ``{buy: $30k/GPU, ...}``."""
    offers: Annotated[tuple[Offer, ...], Field(max_length=20), OneOrMany()] = ()
    """Several prices to choose from, in place of one."""
    reliability: Reliability | None = None
    """Interruptions on this hardware; those of the scenario if absent."""
    grid_intensity: CarbonIntensity | None = None
    """Carbon intensity of the electricity; the cluster's if absent."""
    pue: Annotated[float, Field(ge=1, lt=10)] | None = None
    """Power of the building over power of the machines; the cluster's if absent. [-]"""

    @model_validator(mode="after")
    def _one_price(self) -> Hardware:
        if self.price is not None and self.offers:
            raise fail("has both price and offers", "write all prices under offers", at=("offers",))
        return self

    @property
    def choices(self) -> tuple[Hardware, ...]:
        """Itself, once for every offer."""
        if not self.offers:
            return (self,)
        return tuple(self.model_copy(update={"price": each, "offers": ()}) for each in self.offers)

    @property
    def taken_away(self) -> bool | None:
        """Whether its price is on terms on which it may be taken away; None where the price names no terms."""
        if isinstance(self.price, PriceChoice):
            return self.price.terms in TAKEN_AWAY
        if self.price is None or self.written_usd_per_gpu_hour is not None:
            return None
        return False

    @property
    def grid_g_per_kwh(self) -> float | None:
        """Carbon intensity of the electricity. [g/kWh]"""
        if self.grid_intensity is not None:
            return self.grid_intensity
        return self.cluster.grid_intensity if self.cluster is not None else None

    @property
    def building_pue(self) -> float | None:
        """Power of the building over power of the machines; None where neither it nor a cluster is written. [-]"""
        if self.pue is not None:
            return self.pue
        return self.cluster.pue if self.cluster is not None else None

    @property
    def node_size(self) -> int:
        """Accelerators in one node. [-]"""
        if self.accelerators_per_node is not None:
            return self.accelerators_per_node
        return self.cluster.accelerators_per_node if self.cluster is not None else 8

    @property
    def written_usd_per_gpu_hour(self) -> float | None:
        """The rent that the scenario states itself, if it does. [USD/h]"""
        return self.price.usd_per_gpu_hour(self.node_size) if isinstance(self.price, Rent) else None


class Shorthand:
    """Marks hardware that may be written as schedulers do: ``h100-sxm-80gb:64``."""

    @staticmethod
    def spread(value: Any) -> Any:
        """Name and count to the fields of `Hardware`."""
        if isinstance(value, int) and not isinstance(value, bool):
            return {"accelerator": value}
        if not isinstance(value, str):
            return value
        name, _, count = value.rpartition(":")
        if name and count.isascii() and count.isdigit() and len(count) < 10:
            return {"accelerator": name, "n_gpus": int(count)}
        return {"accelerator": value}

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self.spread, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {"anyOf": [{"type": "string", "examples": ["h100-sxm-80gb:64"]}, handler(schema)]}
