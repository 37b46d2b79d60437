"""From a scenario to numbers: machines, limits and pins of a `Question`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from simulator import calibrations, energy, money, scaling
from simulator.clocks import CLOCKS
from simulator.errors import UnknownNameError
from simulator.layout import RECOMPUTE, SCHEDULES
from simulator.memory import MEMORY_PROFILES, states
from simulator.schema import Hardware, Ownership, Scenario, quote
from simulator.schema.quotes import MAX_AGE_DAYS, age_days
from simulator.search import fewest, goal, quality
from simulator.search.evaluate import Setting
from simulator.search.failures import Failures
from simulator.search.lattice import Pins, powers_of_two
from simulator.search.quality import Quality
from simulator.search.question import Learning, Limits, Machine, Question, Service

MEMORY_OF = {"llm-foundry": "fsdp", "maxtext": "fsdp", "hf": "deepspeed", "generic": "megatron"}
"""Memory profile of software without one of its own."""

ZERO_OF = {"fsdp": (3,), "llm-foundry": (3,), "maxtext": (3,), "nanotron": (1,)}
"""ZeRO stages tried for software that does not offer both 1 and 3."""

INTERLEAVES = ("megatron", "generic")
"""Software with virtual pipeline stages."""

AUTOCASTS = ("generic", "hf")
"""Software that keeps 32-bit weights and casts them for every matmul by default, as plain PyTorch does (``torch.autocast``)."""

COMPILES = ("maxtext",)
"""Software that compiles its graph by default."""

MOST_GPUS = 4096
"""Accelerators tried at most where the scenario leaves the number open. [-]"""

LONGEST_DAYS = 90.0
"""Length of a run where neither time nor the number of accelerators is given. [days]"""

DEFAULT_SHAPE_LAW = "Gemstones2025"
"""Law of depth and width for a search over shapes that names none: without one only speed would choose the shape."""


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


@dataclass
class Notes:
    """What has to be said beside the numbers."""

    warnings: list[dict[str, str]] = field(default_factory=list)
    sources: list[dict[str, str]] = field(default_factory=list)
    assumptions: list[str] = field(default_factory=list)
    excluded: list[str] = field(default_factory=list)

    def warn(self, name: str, message: str) -> None:
        """Add a warning once."""
        if not any(w["id"] == name and w["message"] == message for w in self.warnings):
            self.warnings.append({"id": name, "message": message})

    def source(self, what: str, source: str) -> None:
        """Add a source once."""
        if source and not any(s["what"] == what and s["source"] == source for s in self.sources):
            self.sources.append({"what": what, "source": source})


def question_of(scenario: Scenario, notes: Notes) -> Question:
    """Numbers of a scenario; what was assumed on the way goes into `notes`."""
    if scenario.clock not in CLOCKS:
        raise UnknownNameError(scenario.clock, kind="clock", names=CLOCKS)
    open_count = any(h.n_gpus is None for h in scenario.hardware)
    budget, training = scenario.budget, scenario.training
    time_s = budget.time
    if time_s is None and open_count:
        time_s = LONGEST_DAYS * 86400.0
        notes.assumptions.append(
            f"a run of at most {LONGEST_DAYS:g} days, since neither time nor n_gpus is given"
        )
    shape_law = _shape_law(scenario, notes)
    _template(scenario, notes)
    machines = tuple(
        machine_of(scenario, choice, notes) for hardware in scenario.hardware for choice in hardware.choices
    )
    if budget.cost is not None and any(m.usd_per_gpu_hour is None for m in machines):
        bare = ", ".join(m.label for m in machines if m.usd_per_gpu_hour is None)
        notes.warn("no-price", f"no price is known for {bare}; write hardware.price, such as $2.50/GPU-h")
    return Question(
        machines=machines,
        limits=Limits(time_s, budget.cost, budget.energy, budget.carbon),
        learning=Learning(scenario.law, shape_law, training.unique_tokens),
        seq_length=training.seq_length,
        pins=pins_of(scenario),
        tokens=training.tokens,
        steps=training.steps,
        goodput=scenario.goodput,
        inference_tokens=scenario.inference.tokens if scenario.inference else None,
        serving_utilisation=scenario.inference.utilisation if scenario.inference else None,
        zero_stages=ZERO_OF.get(scenario.software, (1, 3)),
        interleave=scenario.software in INTERLEAVES,
        flash_attention=training.flash_attention,
        max_alternatives=scenario.search.max_alternatives,
        batch_in_tokens=training.global_batch_tokens is not None,
        qualities=qualities_of(scenario, notes),
        objectives=tuple(goal.COLUMNS[name] for name in scenario.objective),
        service=service_of(scenario),
    )


def _template(scenario: Scenario, notes: Notes) -> None:
    """Say what becomes of a model that is given to a search over shapes."""
    if scenario.model is None or not scenario.searches_shapes:
        return
    notes.assumptions.append(
        f"{scenario.model.label} is a template: vocabulary, kind and relative width of the feed-forward block, size of heads "
        "and share of key and value heads are kept, width and depth are searched for; for exactly this model leave out find, "
        "or write find: estimate"
    )


def _shape_law(scenario: Scenario, notes: Notes) -> str | None:
    """The law of shape that corrects the loss; a law that sees width and depth itself takes none."""
    law = scaling.get(scenario.law)
    if law.sees_shape:
        if scenario.shape_law is not None:
            notes.assumptions.append(
                f"shape_law {scenario.shape_law} is left out: {law.name} sees width and depth itself"
            )
        return None
    if scenario.shape_law is None and scenario.searches_shapes:
        notes.assumptions.append(f"depth and width move the loss as in {DEFAULT_SHAPE_LAW}")
        return DEFAULT_SHAPE_LAW
    return scenario.shape_law


def qualities_of(scenario: Scenario, notes: Notes) -> tuple[Quality, ...]:
    """Requirements on the trained model as losses; those that no model meets are said."""
    asked = scenario.require
    if asked is None:
        return ()
    found = [] if asked.loss is None else [Quality("loss", asked.loss, asked.loss)]
    found += [quality.of_accuracy(task, share) for task, share in asked.accuracy.items()]
    if asked.error is not None:
        found.append(quality.of_error(scenario.law, asked.error))
    if asked.accuracy:
        notes.source(
            "accuracy of tasks",
            "OLMo ladder, arXiv:2412.04403, five-shot, constants as printed to two digits",
        )
    if asked.error is not None:
        notes.source("error over 46 tasks", f"{found[-1].curve}, arXiv:2403.08540")
    return tuple(found)


def service_of(scenario: Scenario) -> Service | None:
    """How the trained model answers, where the scenario asks about its speed."""
    asked = scenario.inference
    if asked is None or (asked.latency is None and "latency" not in scenario.objective):
        return None
    return Service(
        context_length=asked.context_length or scenario.training.seq_length,
        batch_size=asked.batch_size,
        n_gpus=asked.n_gpus,
        precision=asked.precision,
        latency_s=asked.latency,
    )


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


def pins_of(scenario: Scenario) -> Pins:
    """Choices that the scenario fixes."""
    p, training = scenario.parallelism, scenario.training
    return Pins(
        tp=p.tp,
        pp=p.pp,
        dp=p.dp,
        cp=p.cp,
        ep=p.ep,
        vp=p.vp,
        etp=p.etp,
        zero_stage=p.zero_stage,
        shard_group=p.shard_group,
        sequence_parallel=p.sequence_parallel,
        schedule=SCHEDULES[p.schedule] if p.schedule else SCHEDULES["1f1b"],
        micro_batch_size=training.micro_batch_size,
        recompute=None if training.recompute is None else RECOMPUTE[training.recompute],
        global_batch_size=training.batch_sequences,
        frozen=int(training.trainable == "lora"),
        autocast=int(autocasts(scenario)),
        update_share=states.update_share(precision=training.precision, optimizer=training.optimizer),
    )


def autocasts(scenario: Scenario) -> bool:
    """Whether 32-bit weights are cast for every matmul: as the scenario says, else as its software usually does."""
    asked, narrow = scenario.training.autocast, scenario.training.precision not in states.WHOLE
    return narrow and (scenario.software in AUTOCASTS if asked is None else asked)


def machine_of(scenario: Scenario, hardware: Hardware, notes: Notes) -> Machine:
    """One entry of ``hardware:`` as numbers."""
    accelerator, training = hardware.accelerator, scenario.training
    cluster = hardware.cluster
    network, collective = hardware.network_bandwidth, hardware.collective_bandwidth
    if (
        network is None and cluster is not None
    ):  # a stated network replaces all that the cluster says of its own
        ports = cluster.network_per_accelerator
        network = ports / cluster.oversubscription if ports is not None else None
        collective = collective or cluster.collective_bandwidth
    device = calibrations.device_of(
        accelerator,
        precision=training.precision,
        network_bandwidth=network,
        collective_bandwidth=collective,
        accelerators_per_node=hardware.node_size,
    )
    if scenario.budget.memory is not None:
        device = device.with_(memory_capacity=min(float(device.memory_capacity), scenario.budget.memory))
    used, _ = calibrations.peak_of(accelerator, training.precision)
    if used != training.precision:
        notes.warn(
            "precision", f"{accelerator.label} has no {training.precision} matrix units; it runs in {used}"
        )
    compiled = training.compile if training.compile is not None else scenario.software in COMPILES
    constants, evidence = calibrations.constants_of(
        accelerator, software=scenario.software, precision=used, compiled=compiled
    )
    if evidence.grade != "measured":
        notes.warn(
            "evidence", f"{accelerator.label}: constants {evidence.sentence}; the interval is wider for it"
        )
    for name, reason in accelerator.doubtful.items():
        if name in (*USED_FIELDS, f"peak_flops.{used}") and not (network and name.startswith("network")):
            notes.warn("doubtful", f"{accelerator.label} {name}: {reason}")
    profile = MEMORY_OF.get(scenario.software, scenario.software)
    setting = Setting(
        device=device,
        constants=constants,
        clock=CLOCKS[scenario.clock],
        precision=_recipe(training.precision, used),
        optimizer=training.optimizer,
        trainable=training.trainable,
        lora_rank=training.lora_rank or (LORA_RANK if training.trainable == "lora" else 0),
        profile=MEMORY_PROFILES.get(profile, MEMORY_PROFILES["megatron"]),
    )
    notes.source(f"accelerator {accelerator.label}", accelerator.source)
    power = _power(hardware, notes)
    price, offer = _price(hardware, notes, power)
    return Machine(
        label=accelerator.label,
        setting=setting,
        counts=counts_of(scenario, hardware),
        node_size=hardware.node_size,
        bf16_peak=calibrations.peak_of(accelerator, "bf16")[1],
        matmul_precision=used,
        about={
            "evidence": {"grade": evidence.grade, "sets": list(evidence.sets), "text": evidence.sentence},
            "offer": offer,
            "no_network": network is None and accelerator.network is None,
            "no_link": accelerator.link is None,
        },
        grid_g_per_kwh=hardware.grid_g_per_kwh,
        failures=failures_of(scenario, hardware, notes, offer.get("text", "")),
        usd_per_gpu_hour=price,
        power_per_gpu_w=power,
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
        return tuple(sorted({*fewest.counts(limit, hardware.node_size), limit}))
    return tuple(sorted({*powers_of_two(limit), limit}))


def _price(hardware: Hardware, notes: Notes, power_w: float | None) -> tuple[float | None, dict[str, Any]]:
    """Price of an accelerator-hour, and what has to be known about the offer."""
    found, name = quote(hardware), hardware.accelerator.label
    if isinstance(hardware.price, Ownership):
        return _owned(hardware.price, name, notes, power_w)
    if found is None:
        return None, {}
    if found.newest is not None and (age := age_days(found.newest)) > MAX_AGE_DAYS:
        text = f"{age} days old; write hardware.price, or take new ones with trainsim prices refresh"
        notes.warn("old-price", f"the price of {name} ({found.label}) is {text}")
    offer = {"terms": found.terms, "text": found.label}
    if found.usd_per_gpu_hour is not None:
        notes.source(
            f"price of {name}", f"{found.label}: ${found.usd_per_gpu_hour:g}/GPU-h. {found.source}".strip()
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
    pue = cluster.pue if cluster else 1.0
    power = float(
        energy.power_per_gpu_w(
            tdp_w=tdp, host_power_w=host, accelerators_per_node=hardware.node_size, pue=pue
        )
    )
    left_out = [] if host else ["the nodes' own power"]
    left_out += [] if cluster else ["cooling (PUE 1)"]
    without = f", without {' and '.join(left_out)}" if left_out else ""
    text = f"{hardware.accelerator.label} draws its board limit of {tdp:g} W{without}"
    if text not in notes.assumptions:
        notes.assumptions.append(text)
    return power
