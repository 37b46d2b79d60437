"""What a published row says of its machine: network, slices, and probes of its fabric."""

from __future__ import annotations

import re
from typing import Any

from simulator import calibrations
from simulator.validate.cells import SkipError, number

OMNI_PATH = 100e9 / 8
"""One port of Omni-Path. [B/s]"""

_PORTS = re.compile(r"(\d+)\s*[x×]\s*\D.*?(\d+)\s*[Gg]b|(\d+)\s*[x×]\s*(\d+)\s*[Gg]b")
_OTHER_PORTS = re.compile(r"Management|Storage:")


def network_bandwidth(text: Any, per_node: float) -> float | None:
    """Read the scale-out bandwidth per accelerator from a free-text interconnect; None if it is not stated. [B/s]

    Of several kinds of ports the fastest ones; those of storage and management do not count.

    Examples
    --------
    >>> network_bandwidth("RoCE 1600 Gbps/node", 8)
    25000000000.0
    >>> network_bandwidth("NVLink; 4x OmniPath per node", 8)
    6250000000.0
    >>> network_bandwidth("NVLink | Compute: 4x ConnectX-7 IB NDR 400Gb/s, Management: 8x 100Gb/s", 8)
    25000000000.0
    >>> network_bandwidth("NVLink/NVSwitch; 8x HDR200 IB per node (Selene)", 8) is None
    True
    """
    node = re.search(r"(\d+)\s*Gbps(?:/node|\s+\S+\s+per node)", str(text))
    if node:
        return float(node.group(1)) * 1e9 / 8 / per_node
    omni = re.search(r"(\d+)\s*[x×]\s*Omni-?Path", str(text), re.IGNORECASE)
    if omni:
        return float(omni.group(1)) * OMNI_PATH / per_node
    parts = [part for part in re.split(r"[,|;]", str(text)) if not _OTHER_PORTS.search(part)]
    found = [_PORTS.search(part) for part in parts]
    totals = [
        float(one.group(1) or one.group(3)) * float(one.group(2) or one.group(4)) for one in found if one
    ]
    return max(totals) * 1e9 / 8 / per_node if totals else None


def collective_bandwidth(text: Any, network: float | None) -> float | None:
    """Most that one collective gets out of a node by a free-text interconnect; None if its ports decide. [B/s]

    On Omni-Path the share of one accelerator: all-reduces over all GPUs of 4 and 16 nodes of Jean Zay with a port for each
    reached 10.6 and 6.8 GB/s, those of 4 nodes with a port for two 5.1 (``micro.csv``).

    Examples
    --------
    >>> collective_bandwidth("NVLink; 400 Gbps OmniPath per node", 12.5e9)
    12500000000.0
    """
    return network if re.search(r"OPA|Omni-?Path", str(text), re.IGNORECASE) else None


def slices_of(notes: Any) -> float:
    """TPU slices of a run, as its notes print them; 1 if they print none. [-]

    Examples
    --------
    >>> slices_of("4 slice(s) of v5e-256"), slices_of("")
    (4.0, 1.0)
    """
    found = re.search(r"(\d+) slice\(s\) of", str(notes))
    return float(found.group(1)) if found else 1.0


DEGRADED_NODE_PROBE = 442.0
"""All-reduce bus bandwidth in a node of eight H100s, measured before a job, below which its fabric is taken as degraded:
midway between the two modes of the published probes, 424 and 459. [GB/s]"""


BROKEN_PROBE = 0.5 * DEGRADED_NODE_PROBE
"""The same below which the node is broken, and its times say nothing of the layout: 18 rows print 45 GB/s where healthy nodes
reach 424 or 459. [GB/s]"""


def fabric_of(row: dict[str, Any]) -> str:
    """Set of fabric constants for a row: ``fabric``, or the degraded one where the row's own probe says so.

    Some rows print an all-reduce probe that was run before training, over all ranks and inside a node. Its values have
    two modes; in the lower one the bus bandwidth over all ranks falls as one over their number, the sign of a large
    latency in every ring step. A row without a probe is taken as healthy.
    """
    several = number(row["n_gpus"], 1) > number(row["gpus_per_node"], 8)
    if several and node_probe(row["notes"]) < DEGRADED_NODE_PROBE:
        return "fabric-degraded"
    return calibrations.FABRIC


def node_probe(notes: Any) -> float:
    """All-reduce bus bandwidth in a node that a row's notes print; infinite if they print none. [GB/s]

    Examples
    --------
    >>> node_probe("all-reduce probe 45.14 GB/s world, 45.98 GB/s in node")
    45.98
    """
    found = re.search(r"probe [\d.]+ GB/s world, ([\d.]+) GB/s in node", str(notes))
    return float(found.group(1)) if found else float("inf")


def says_offloaded(notes: str) -> bool:
    """Whether notes say that something was kept in the host's memory, and not that nothing was.

    Examples
    --------
    >>> [says_offloaded(each) for each in ("CPU offload", "without offloading", "cpu_offload=False", "no offload; zero 3")]
    [True, False, False, False]
    """
    for found in re.finditer(r"offload\w*", notes.lower()):
        before, after = notes.lower()[: found.start()], notes.lower()[found.end() :]
        denied = re.search(r"\b(no|not|without)\b[\s_-]*(\w+[\s_-]+){0,4}(\w+_)?$", before)
        off = re.match(r"[\s\"']*[=:]?[\s\"']*(false|no|none|off|0|disabled)\b", after)
        if not denied and not off:
            return True
    return False


def check_machine(notes: Any) -> None:
    """Skip runs whose own notes say that something ruled their time which no clock here knows."""
    if says_offloaded(str(notes)):
        raise SkipError("states offloaded to the host, which no clock here knows")
    if node_probe(notes) < BROKEN_PROBE:
        raise SkipError("its own probe, taken before training, shows a broken node")
