"""What of a scenario's hardware holds for other accelerators that are compared with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from simulator.errors import SimulatorError
from simulator.schema.hardware import Hardware
from simulator.schema.load import load_accelerator
from simulator.schema.price import PriceChoice
from simulator.schema.quotes import quotes

Entry = Mapping[str, Any]

NETWORK = ("network_bandwidth", "collective_bandwidth")
"""Fields of the network, which is the place's where its bandwidth is written."""

OF_THE_MACHINE = ("cluster", "accelerators_per_node", "collective_bandwidth", "reliability")
"""Fields of the machines, which are built for one kind of accelerator."""

OF_THE_CLUSTER = (*NETWORK, "accelerators_per_node")
"""Fields that replace what a cluster says, and so do not outlast it."""


def entry_at(own: Entry, entries: Sequence[Entry], hardware: Sequence[Hardware]) -> dict[str, Any]:
    """An entry of hardware, filled in from those of a scenario.

    An accelerator of the scenario keeps its whole entry. Another one takes the number, the network, the grid and the PUE
    of the first entry, and its provider where that one sells it.

    Parameters
    ----------
    own : mapping
        What was asked for; it goes before all that is filled in.
    entries : sequence of mapping
        The scenario's, as written.
    hardware : sequence of Hardware
        The same, as understood.
    """
    first = hardware[0]
    number = {} if first.n_gpus is None else {"n_gpus": first.n_gpus}
    priced = "price" in own or "offers" in own
    same = _place_of(own, entries, hardware)
    if same is not None:
        replaced = (*(("price", "offers") if priced else ()), *(OF_THE_CLUSTER if "cluster" in own else ()))
        kept = {name: value for name, value in entries[same].items() if name not in replaced}
        return {**kept, **number, **own, "accelerator": kept["accelerator"]}
    price = {} if priced else _price(first.price, own)
    return {**_of_the_place(own, entries[0], first), **number, **({"price": price} if price else {}), **own}


def told(asked: Sequence[Entry], entries: Sequence[Entry], hardware: Sequence[Hardware]) -> tuple[str, ...]:
    """What other accelerators take over from the scenario's first entry, and what they do not, in sentences."""
    kept: dict[str, list[str]] = {}
    left: dict[tuple[str, str], list[str]] = {}
    for own in asked:
        if _place_of(own, entries, hardware) is not None:
            continue
        carried = [name for name in _of_the_place(own, entries[0], hardware[0]) if name not in own]
        if carried:
            kept.setdefault(_listed(carried), []).append(_label(own))
        dropped = _dropped(own, entries[0], carried)
        if dropped:
            named = _listed([f"cluster {_name(hardware[0])}" if one == "cluster" else one for one in dropped])
            left.setdefault((named, _instead(dropped, carried)), []).append(_label(own))
    first = hardware[0].accelerator.label
    return (
        *(f"taken from the scenario for {_listed(names)}: {fields}" for fields, names in kept.items()),
        *(
            f"{fields}: of {first} only; {_listed(names)} {instead}"
            for (fields, instead), names in left.items()
        ),
    )


def _of_the_place(own: Entry, written: Entry, first: Hardware) -> dict[str, Any]:
    """Network, grid and PUE of the first entry, unless a cluster of its own is asked for: that brings its own."""
    whole = "network_bandwidth" in written and "cluster" not in own
    names = (*(NETWORK if whole else ()), "grid_intensity", "pue")
    found = {name: written[name] for name in names if name in written}
    if first.grid_g_per_kwh is not None and not {"grid_intensity", "cluster"} & {*found, *own}:
        found["grid_intensity"] = f"{first.grid_g_per_kwh:g} g/kWh"
    if first.building_pue is not None and not {"pue", "cluster"} & {*found, *own}:
        found["pue"] = first.building_pue
    return found


def _dropped(own: Entry, written: Entry, carried: Sequence[str]) -> list[str]:
    """Fields of the first entry that do not hold for another accelerator, and that it does not state itself."""
    out = [name for name in OF_THE_MACHINE if name in written and name not in (*own, *carried)]
    return [name for name in out if "cluster" not in own or name not in OF_THE_CLUSTER]


def _instead(dropped: Sequence[str], carried: Sequence[str]) -> str:
    """What stands in the place of what was dropped."""
    parts = []
    if "cluster" in dropped and "network_bandwidth" not in carried:
        parts.append("the usual network of the part")
    if "cluster" in dropped or "accelerators_per_node" in dropped:
        parts.append("nodes of 8")
    if "cluster" in dropped:
        parts.append("no power of the rest of a node")
    return f"with {_listed(parts)}" if parts else "without"


def _place_of(own: Entry, entries: Sequence[Entry], hardware: Sequence[Hardware]) -> int | None:
    """Which entry of the scenario is of the accelerator that is asked for; None if it is another one."""
    label = _label(own)
    for place, (written, each) in enumerate(zip(entries, hardware, strict=True)):
        if own.get("accelerator") == written.get("accelerator") or label == each.accelerator.label:
            return place
    return None


def _label(own: Entry) -> str:
    """Id of the accelerator of an entry, as far as it can be told before the entry is read."""
    named = own.get("accelerator")
    if isinstance(named, Mapping):
        return str(named.get("id") or named.get("name") or "")
    try:
        return load_accelerator(str(named)).label
    except SimulatorError:  # told with its place when the entry is read
        return str(named)


def _name(hardware: Hardware) -> str:
    cluster = hardware.cluster
    return "" if cluster is None else cluster.label


def _price(price: Any, own: Entry) -> dict[str, Any]:
    """The provider, terms and region of a price, where an entry's accelerator is sold so."""
    if not isinstance(price, PriceChoice) or not isinstance(own.get("accelerator"), str):
        return {}
    found = quotes(_label(own), provider=price.provider, terms=price.terms)
    if not found:
        return {}
    same = price.region is not None and any(each.region == price.region for each in found)
    return {"provider": price.provider, "terms": price.terms} | ({"region": price.region} if same else {})


def _listed(names: Sequence[str]) -> str:
    """Names with commas, each once.

    Examples
    --------
    >>> _listed(["h100", "b200", "h100", "mi300x"])
    'h100, b200 and mi300x'
    """
    *rest, last = dict.fromkeys(names)
    return f"{', '.join(rest)} and {last}" if rest else last
