"""The machines around the accelerators: nodes, network, power."""

from __future__ import annotations

import datetime
from typing import Annotated

from pydantic import Field

from simulator.schema.base import BytesPerSecond, CarbonIntensity, Identifier, Spec, Text, Watts, Whole


class Cluster(Spec):
    """How accelerators are put into nodes and nodes into a network."""

    id: Identifier | None = None
    """Name of the file; filled in from the file name."""
    name: Text
    """What it is."""
    aliases: tuple[Text, ...] = ()
    """Other names it is known by."""
    extends: Text | None = None
    """Id or path of a similar cluster; this file then holds only the differences."""
    accelerators_per_node: Whole = 8
    """Accelerators in one node."""
    nics_per_node: Whole | None = None
    """Network ports of one node; one per accelerator if absent."""
    nic_bandwidth: BytesPerSecond | None = None
    """Bandwidth of one port in one direction."""
    collective_bandwidth: BytesPerSecond | None = None
    """Most that a collective of all accelerators gets out of a node, where its ports have more: nccl-tests' bus bandwidth."""
    topology: Text | None = None
    """Shape of the network, such as ``fat-tree`` or ``rail-optimised``."""
    oversubscription: Annotated[float, Field(ge=1, lt=1000)] = 1.0
    """Bandwidth into the leaf switches over bandwidth out of them; 1 is full bisection. [-]"""
    pue: Annotated[float, Field(ge=1, lt=10)] = 1.2
    """Power of the building over power of the machines. [-]"""
    grid_intensity: CarbonIntensity | None = None
    """Carbon intensity of the electricity."""
    host_power: Watts | None = None
    """Power of one node without its accelerators."""
    source: Text
    """Where the numbers come from."""
    retrieved: datetime.date
    """Day the source was read."""
    notes: Text | None = None
    """Anything a reader should know."""

    @property
    def label(self) -> str:
        """Id, or the name if it was written inline."""
        return self.id or self.name

    @property
    def network_per_accelerator(self) -> float | None:
        """One-directional network bandwidth that one accelerator has to itself. [B/s]"""
        if self.nic_bandwidth is None:
            return None
        ports = self.nics_per_node or self.accelerators_per_node
        return self.nic_bandwidth * ports / self.accelerators_per_node
