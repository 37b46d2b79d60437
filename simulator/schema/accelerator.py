"""One accelerator, as its datasheet describes it."""

from __future__ import annotations

import datetime
from typing import Annotated, Literal

from pydantic import Field, model_validator

from simulator.schema.base import (
    Bytes,
    BytesPerSecond,
    Flag,
    FlopPerSecond,
    Identifier,
    Spec,
    Text,
    UsdPerGpu,
    Watts,
    Whole,
    fail,
)

Directions = Literal["one", "both"]
Precision = Literal["fp32", "tf32", "fp16", "bf16", "fp8", "fp4"]


class PeakFlops(Spec):
    """Dense peak rates by number format, without structured sparsity. One multiply-add is 2 FLOP."""

    fp64: FlopPerSecond | None = None
    """Double precision."""
    fp32: FlopPerSecond | None = None
    """Single precision, outside the tensor cores."""
    tf32: FlopPerSecond | None = None
    """TF32 tensor cores."""
    fp16: FlopPerSecond | None = None
    """FP16 with FP32 accumulation."""
    bf16: FlopPerSecond | None = None
    """BF16 with FP32 accumulation."""
    fp8: FlopPerSecond | None = None
    """FP8."""
    int8: FlopPerSecond | None = None
    """INT8 operations."""
    fp4: FlopPerSecond | None = None
    """FP4."""

    @model_validator(mode="after")
    def _some(self) -> PeakFlops:
        if not self.known():
            raise fail("no peak rate is given", "write at least one, such as bf16: 989 TFLOP/s")
        if set(self.known()) == {"int8"}:
            raise fail("int8 alone trains nothing", "add a rate of floating point, such as bf16: 989 TFLOP/s")
        return self

    def known(self) -> dict[str, float]:
        """Number format to rate, for the formats that are given. [FLOP/s]"""
        rates = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: rate for name, rate in rates.items() if rate is not None}


class Link(Spec):
    """The scale-up link between accelerators (NVLink, xGMI, ICI, PCIe)."""

    type: Text | None = None
    """Name and generation, such as ``NVLink 4``."""
    bandwidth: BytesPerSecond
    """Bandwidth of one accelerator over all its links."""
    directions: Directions
    """``one``: the figure counts one direction; ``both``: it adds both, as NVIDIA prints it."""
    domain_size: Whole | None = None
    """Accelerators that reach each other over this link."""
    topology: Literal["switch", "mesh"] | None = None
    """``mesh``: each pair has a link of its own, so that a group of n uses n - 1 of them; any group has all of it otherwise."""

    @property
    def one_way(self) -> float:
        """Bandwidth in one direction. [B/s]"""
        return self.bandwidth / (2 if self.directions == "both" else 1)


class Network(Spec):
    """The usual scale-out network, per accelerator."""

    type: Text | None = None
    """Name, such as ``InfiniBand NDR``."""
    bandwidth: BytesPerSecond
    """Bandwidth available to one accelerator."""
    directions: Directions = "one"
    """``one``: the figure counts one direction; ``both``: it adds both."""

    @property
    def one_way(self) -> float:
        """Bandwidth in one direction. [B/s]"""
        return self.bandwidth / (2 if self.directions == "both" else 1)


class HostLink(Spec):
    """The link to the host (PCIe, NVLink-C2C)."""

    type: Text | None = None
    """Name and generation, such as ``PCIe 5 x16``."""
    bandwidth: BytesPerSecond
    """Bandwidth."""
    directions: Directions = "one"
    """``one``: the figure counts one direction; ``both``: it adds both."""

    @property
    def one_way(self) -> float:
        """Bandwidth in one direction. [B/s]"""
        return self.bandwidth / (2 if self.directions == "both" else 1)


class Accelerator(Spec):
    """A GPU, TPU or other accelerator: what one device is, with the source of every number.

    A datasheet needs `name`, `memory`, `memory_bandwidth`, one rate in `peak_flops`, `source` and
    `retrieved`; the rest sharpens the prediction.
    """

    id: Identifier | None = None
    """Name of the file, ``<chip>-<form>-<memory>``; filled in from the file name."""
    name: Text
    """Name as the vendor prints it."""
    vendor: Text | None = None
    """Vendor."""
    architecture: Text | None = None
    """Architecture, such as ``Hopper``; accelerators of one architecture share calibrations."""
    aliases: tuple[Text, ...] = ()
    """Other names it is known by."""
    extends: Text | None = None
    """Id or path of a similar accelerator; this file then holds only the differences."""
    memory: Bytes
    """Nominal capacity, as printed."""
    memory_usable: Bytes | None = None
    """Capacity that a program sees, where known."""
    memory_type: Text | None = None
    """Kind of memory, such as ``HBM3``."""
    memory_bandwidth: BytesPerSecond
    """Peak bandwidth of the device memory."""
    peak_flops: PeakFlops
    """Dense peak rates by number format."""
    sm_count: Whole | None = None
    """Streaming multiprocessors, compute units or cores."""
    vector_lanes: Whole | None = None
    """Lanes of a vector unit to which the heads of attention are padded (128 on a TPU)."""
    l2_cache: Bytes | None = None
    """Last-level cache."""
    link: Link | None = None
    """Scale-up link."""
    network: Network | None = None
    """Usual scale-out network per accelerator."""
    host_link: HostLink | None = None
    """Link to the host."""
    tdp: Watts | None = None
    """Board power limit."""
    purchase_price: UsdPerGpu | None = None
    """Price to buy one."""
    source: Text
    """Where the numbers come from: document and page, or address."""
    retrieved: Annotated[datetime.date, Field(strict=False)]
    """Day the source was read."""
    sources: dict[str, tuple[Text, ...]] = Field(default_factory=dict)
    """Dotted field, to further sources that confirm it."""
    doubtful: dict[str, Text] = Field(default_factory=dict)
    """Dotted field, to the reason for doubt, such as sources that differ."""
    measured: Flag = False
    """True if shipped calibrations were measured on it; false means known from a datasheet only."""
    notes: Text | None = None
    """Anything a reader should know."""

    @model_validator(mode="after")
    def _usable(self) -> Accelerator:
        if self.memory_usable is not None and self.memory_usable > 1.1 * self.memory:
            raise fail(
                "more usable than nominal memory", "memory_usable is at most memory", at=("memory_usable",)
            )
        return self

    @property
    def label(self) -> str:
        """Id, or the name if it was written inline."""
        return self.id or self.name
