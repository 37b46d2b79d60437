"""One entry of ``hardware:`` as a `Machine`: its device and constants, counts, price, power and failures."""

from __future__ import annotations

from typing import Any

from simulator import calibrations, energy, money
from simulator.clocks import CLOCKS
from simulator.device import Constants, Device
from simulator.memory import MEMORY_PROFILES, states
from simulator.schema import Accelerator, Hardware, Ownership, Scenario, quote
from simulator.schema.base import Rent
from simulator.schema.plausible import implausible
from simulator.schema.quotes import MAX_AGE_DAYS, age_days, today, unusual
from simulator.search.evaluate import Setting
from simulator.search.failures import Failures
from simulator.search.lattice import powers_of_two
from simulator.search.notes import Notes
from simulator.search.numbers import counts
from simulator.search.question import Machine
from simulator.search.software import COMPILES, MEMORY_OF
from simulator.units import format_quantity

MOST_GPUS = 4096
"""Accelerators tried at most where the scenario leaves the number open. [-]"""

LORA_RANK = 16
"""Rank of adapters where none is written. [-]"""

USED_FIELDS = (
    "memory",
    "memory_usable",
    "memory_bandwidth",
    "peak_flops",
    "sm_count",
    "link.bandwidth",
    "network.bandwidth",
)
"""Fields of an accelerator that a prediction rests on, beside the rate of its precision."""


def machine_of(scenario: Scenario, hardware: Hardware, notes: Notes) -> Machine:
    """One entry of ``hardware:`` as numbers."""
    accelerator, precision = hardware.accelerator, scenario.training.precision
    network, collective = _network(hardware)
    device = calibrations.device_of(
        accelerator,
        precision=precision,
        network_bandwidth=network,
        collective_bandwidth=collective,
        accelerators_per_node=hardware.node_size,
        fp8_attention=bool(scenario.training.fp8_attention),
    )
    if scenario.budget.memory is not None:
        device = device.with_(memory_capacity=min(float(device.memory_capacity), scenario.budget.memory))
    used, _ = calibrations.peak_of(accelerator, precision)
    compiled = scenario.training.compile
    constants, evidence = calibrations.constants_of(
        accelerator,
        software=scenario.software,
        precision=used,
        compiled=scenario.software in COMPILES if compiled is None else compiled,
    )
    _warn(notes, accelerator, precision, used, evidence, network)
    notes.source(f"accelerator {accelerator.label}", accelerator.source)
    _tell_cluster(hardware, notes)
    _doubt(hardware, notes)
    power = _power(hardware, notes)
    price, offer = _price(hardware, notes, power)
    return Machine(
        label=accelerator.label,
        setting=_setting(scenario, device, constants, used),
        counts=counts_of(scenario, hardware),
        node_size=hardware.node_size,
        bf16_peak=calibrations.peak_of(accelerator, "bf16")[1],
        matmul_precision=used,
        about={
            "evidence": {"grade": evidence.grade, "sets": list(evidence.sets), "text": evidence.sentence},
            "offer": offer,
            "cluster": None if hardware.cluster is None else hardware.cluster.label,
            "no_network": network is None and accelerator.network is None,
            "no_link": accelerator.link is None,
            "power_without": _left_out(hardware),
            "fp8_attention": _narrow_attention(scenario, accelerator, notes),
        },
        grid_g_per_kwh=hardware.grid_g_per_kwh,
        failures=failures_of(scenario, hardware, notes, offer.get("text", "")),
        usd_per_gpu_hour=price,
        power_per_gpu_w=power,
    )


def _narrow_attention(scenario: Scenario, accelerator: Accelerator, notes: Notes) -> bool:
    """Whether attention multiplies in 8 bits, as `calibrations.device_of` has it; said where it is asked for in vain."""
    if not scenario.training.fp8_attention:
        return False
    has = calibrations.peak_of(accelerator, "fp8")[0] == "fp8"
    if not has:
        notes.warn("precision", f"{accelerator.label} has no fp8 matrix units; its attention runs in 16 bits")
    return has


def _doubt(hardware: Hardware, notes: Notes) -> None:
    """Say where a specification is far from that of any machine, as it is when a unit is wrong."""
    for spec in (hardware.accelerator, hardware.cluster):
        label = "" if spec is None else spec.label
        for text in [] if spec is None else implausible(spec, today()):
            notes.warn("implausible", f"{label} {text}")


def _network(hardware: Hardware) -> tuple[float | None, float | None]:
    """Bandwidth of the network and of collectives; a stated network replaces all that the cluster says of its own. [B/s]"""
    network, collective, cluster = hardware.network_bandwidth, hardware.collective_bandwidth, hardware.cluster
    if network is not None or cluster is None:
        return network, collective
    ports = cluster.network_per_accelerator
    network = ports / cluster.oversubscription if ports is not None else None
    return network, collective or cluster.collective_bandwidth


def _tell_cluster(hardware: Hardware, notes: Notes) -> None:
    """What a cluster supplies, and where its numbers come from; what the scenario states itself is not the cluster's."""
    cluster = hardware.cluster
    if cluster is None:
        return
    label = cluster.label
    notes.source(f"cluster {label}", cluster.source)
    given = []
    if hardware.accelerators_per_node is None:
        given.append(f"{cluster.accelerators_per_node} accelerators per node")
    ports = cluster.nics_per_node or cluster.accelerators_per_node
    if hardware.network_bandwidth is None and cluster.nic_bandwidth is not None:
        port = format_quantity(cluster.nic_bandwidth, "byte/second", unit="Gb/s")
        given.append(
            f"{ports} {'port' if ports == 1 else 'ports'} of {port} per node, oversubscription {cluster.oversubscription:g}"
        )
    collective = None if hardware.network_bandwidth is not None else cluster.collective_bandwidth
    if collective is not None and hardware.collective_bandwidth is None:
        given.append(f"at most {format_quantity(collective, 'byte/second')} for one collective")
    if cluster.host_power:
        given.append(f"{format_quantity(cluster.host_power, 'watt')} for the rest of a node")
    if hardware.pue is None:
        given.append(f"PUE {cluster.pue:g}")
    if hardware.grid_intensity is None and cluster.grid_intensity is not None:
        given.append(f"{cluster.grid_intensity:g} gCO2e/kWh")
    text = f"cluster {label}: {', '.join(given)}"
    if text not in notes.assumptions:
        notes.assumptions.append(text)


def _warn(
    notes: Notes,
    accelerator: Accelerator,
    asked: str,
    used: str,
    evidence: calibrations.Evidence,
    network: float | None,
) -> None:
    """Say where an accelerator runs in another precision, was not measured, or is described by doubtful figures."""
    if used != asked:
        notes.warn("precision", f"{accelerator.label} has no {asked} matrix units; it runs in {used}")
    elif narrow := calibrations.narrower(accelerator, asked):
        times = int(calibrations.BITS[asked]) // int(calibrations.BITS[narrow])
        share = {2: "half", 4: "a quarter", 8: "an eighth"}[times]
        notes.warn(
            "precision",
            f"{accelerator.label} states no rate for {asked} or wider; {share} of its {narrow} rate is taken",
        )
    if evidence.grade != "measured":
        notes.warn(
            "evidence", f"{accelerator.label}: constants {evidence.sentence}; the interval is wider for it"
        )
    for name, reason in accelerator.doubtful.items():
        if name in (*USED_FIELDS, f"peak_flops.{used}") and not (network and name.startswith("network")):
            notes.warn("doubtful", f"{accelerator.label} {name}: {reason}")


def _setting(scenario: Scenario, device: Device, constants: Constants, used: str) -> Setting:
    """How step time and memory of a layout are computed on one device."""
    training = scenario.training
    profile = MEMORY_OF.get(scenario.software, scenario.software)
    return Setting(
        device=device,
        constants=constants,
        clock=CLOCKS[scenario.clock],
        precision=_recipe(training.precision, used),
        optimizer=training.optimizer,
        trainable=training.trainable,
        lora_rank=training.lora_rank or (LORA_RANK if training.adapts else 0),
        profile=MEMORY_PROFILES.get(profile, MEMORY_PROFILES["megatron"]),
    )


def _recipe(asked: str, used: str) -> str:
    """Recipe of weights and optimizer: that of the format asked for, of the wider one where the part has no such units.

    32-bit weights stay 32 bits wide whatever multiplies them, and 4-bit recipes keep what those of 8 bits keep.
    """
    if used != asked and asked not in states.WHOLE and used in states.PRECISIONS:
        return used
    return "fp8" if asked == "fp4" else asked


def counts_of(scenario: Scenario, hardware: Hardware) -> tuple[int, ...]:
    """Numbers of accelerators that may be used."""
    most = scenario.budget.max_gpus
    if hardware.n_gpus is not None:
        return (hardware.n_gpus,) if most is None or hardware.n_gpus <= most else ()
    limit = most or MOST_GPUS
    if "n_gpus" in scenario.objective:
        return tuple(sorted({*counts(limit, hardware.node_size), limit}))
    return tuple(sorted({*powers_of_two(limit), limit}))


def _price(hardware: Hardware, notes: Notes, power_w: float | None) -> tuple[float | None, dict[str, Any]]:
    """Price of an accelerator-hour, and what has to be known about the offer."""
    found, name = quote(hardware), hardware.accelerator.label
    if found is None:
        return None, {}
    if isinstance(hardware.price, Rent | Ownership) and (odd := unusual(name, found)):
        notes.warn("price-range", f"the price of {name} in the scenario: {odd}; is it per accelerator?")
    if isinstance(hardware.price, Ownership):
        return _owned(hardware.price, name, notes, power_w)
    if found.newest is not None and (age := age_days(found.newest)) > MAX_AGE_DAYS:
        text = f"{age} days old; write hardware.price, or take new ones with trainsim prices refresh"
        notes.warn("old-price", f"the price of {name} ({found.label}) is {text}")
    offer = {"terms": found.terms, "text": found.label}
    if found.usd_per_gpu_hour is not None:
        notes.source(
            f"price of {name}", f"{found.label}: ${found.usd_per_gpu_hour:.2f}/GPU-h. {found.source}".strip()
        )
        return found.usd_per_gpu_hour, offer
    rent = float(money.hourly_purchase_price(usd_per_gpu=found.usd_per_gpu))
    notes.source(
        f"price of {name}", f"{found.label}: ${found.usd_per_gpu:g} per accelerator. {found.source}".strip()
    )
    notes.assumptions.append(
        f"{name}: purchase written off over {money.SERVICE_LIFE_YEARS:g} years of full use"
    )
    owned = {"usd_per_gpu": found.usd_per_gpu, "years": money.SERVICE_LIFE_YEARS, "share_used": 1.0}
    return rent, {**offer, "owned": owned}


def _owned(price: Ownership, name: str, notes: Notes, power_w: float | None) -> tuple[float, dict[str, Any]]:
    """Price of an hour of a bought accelerator."""
    how = {
        "usd_per_gpu": price.buy,
        "years": price.years,
        "resale": price.resale,
        "share_used": price.utilisation,
        "power_w": power_w or 0.0,
        "usd_per_kwh": price.electricity,
        "hosting_usd_per_gpu_hour": price.hosting,
    }
    text = (
        f"bought at ${price.buy:,.0f}, {price.years:g} years, {100 * price.utilisation:.0f} % of hours used"
    )
    notes.source(f"price of {name}", f"{text}: price in the scenario")
    if not price.electricity:
        notes.assumptions.append(f"{name}, bought: energy is not in the price (electricity is not given)")
    return float(money.ownership_usd_per_gpu_hour(**how)), {"terms": "owned", "text": text, "owned": how}


def _power(hardware: Hardware, notes: Notes) -> float | None:
    tdp, cluster = hardware.accelerator.tdp, hardware.cluster
    if not tdp:
        return None
    host = cluster.host_power if cluster and cluster.host_power else 0.0
    pue = hardware.building_pue
    power = float(
        energy.power_per_gpu_w(
            tdp_w=tdp, host_power_w=host, accelerators_per_node=hardware.node_size, pue=pue or 1.0
        )
    )
    left_out = _left_out(hardware)
    without = f", without {' and '.join(left_out)}" if left_out else ""
    at = f" at PUE {pue:g}" if hardware.pue is not None else ""
    text = f"{hardware.accelerator.label} draws its board limit of {tdp:,.0f} W{at}{without}"
    if text not in notes.assumptions:
        notes.assumptions.append(text)
    return power


def _left_out(hardware: Hardware) -> list[str]:
    """What the power at the meter does not contain, since nothing is known of it."""
    cluster = hardware.cluster
    left_out = [] if cluster and cluster.host_power else ["the nodes' own power"]
    return left_out + ([] if hardware.building_pue else ["cooling (PUE 1)"])


def failures_of(scenario: Scenario, hardware: Hardware, notes: Notes, offer: str) -> Failures | None:
    """What is known about interruptions: that of the hardware, else that of the scenario; nobody takes away what is not spot."""
    known = hardware.reliability or scenario.reliability
    if known is None:
        return None
    taken = known.node_interruption
    if taken is not None and not taken_away(scenario, hardware):
        taken = None
        where = {"": "without a price", "the scenario": "at the rent in the scenario"}.get(offer, offer)
        notes.assumptions.append(
            f"{hardware.accelerator.label} ({where}) is not on spot terms: node_interruption does not hold for it"
        )
    return Failures(
        gpu_mtbf_s=known.gpu_mtbf,
        node_interruption_s=taken,
        checkpoint_s=known.checkpoint_time,
        restart_s=known.restart_time,
        interval_s=known.checkpoint_interval,
        stragglers=known.stragglers,
    )


def taken_away(scenario: Scenario, hardware: Hardware) -> bool:
    """Whether a rate at which nodes are taken away holds for one choice of hardware.

    Where the price names no terms it does, unless another price that shares the rate is named spot.
    """
    if hardware.taken_away is not None:
        return hardware.taken_away
    beside = [each for each in scenario.hardware if each.reliability is hardware.reliability]
    return not any(choice.taken_away for each in beside for choice in each.choices)
