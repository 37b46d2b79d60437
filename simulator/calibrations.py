"""From named sets to numbers: the `Device` of an accelerator, and the `Constants` of it with a software stack.

A calibration set belongs to an accelerator architecture, to a fabric or to a software stack; one of each makes the
constants of a run. An accelerator without a set of its own takes its architecture's, and without that the generic one;
the `Evidence` says which, and intervals widen with it.
"""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING

from simulator import evidence, library
from simulator.device import Constants, Device
from simulator.errors import UnknownNameError

if TYPE_CHECKING:
    from simulator.schema import Accelerator
    from simulator.schema.calibration import Calibration

BITS = {"fp32": "32", "tf32": "32", "fp16": "16", "bf16": "16", "fp8": "8", "int8": "8", "fp4": "4"}
"""Width class of a matmul precision; one tile efficiency each."""

OPERAND_BYTES = {"32": 4.0, "16": 2.0, "8": 1.0, "4": 0.5}
"""Bytes per matmul operand by width class. [B]"""

GENERIC = evidence.GENERIC
"""Set of an accelerator whose architecture nobody has calibrated."""

FABRIC = "fabric"
"""Set of a healthy link and network."""

SIMPLE_CLOCKS = "simple-clocks"
"""Set of the constants of the simple clocks."""

SOFTWARE_ALIASES = {"generic": "pytorch"}
"""Software names without a set of their own, to the set they use."""

NO_LINK = 12e9
"""Bandwidth between accelerators of a machine whose spec names neither a link nor a host link: half a PCIe 4.0 x16
port, which peers share with the host. [B/s]"""


LARGEST_NODE = 16
"""Link domains up to this size end at the node; larger ones (a rack, a pod) join several nodes. [-]"""

Evidence = evidence.Evidence


@functools.lru_cache(maxsize=1)
def _shipped(folders: tuple[str, ...]) -> dict[str, Calibration]:
    from simulator.schema.load import load_file

    files = sorted(library.files("calibrations"), key=lambda path: path.stem)
    return {
        path.stem: _completed(load_file("calibrations", path))
        for path in files
        if not path.stem.startswith("_")
    }


def _completed(one: Calibration) -> Calibration:
    """A set with the constants that it lacks, because an older version wrote it, from the shipped set of its name or kind."""
    wanted = set(CONSTANTS_OF.get(one.kind, ()))
    if wanted <= set(one.constants):
        return one
    from simulator.schema import load_spec

    folder = library.packaged_root() / "hardware_specs" / "calibrations"
    own = folder / f"{one.id}.yaml"
    donor = load_spec("calibrations", str(own if own.is_file() else folder / f"{USUAL_SETS[one.kind]}.yaml"))
    lacking = {
        name: donor.constants[name] for name in sorted(wanted - set(one.constants)) if name in donor.constants
    }
    return one.with_(constants={**one.constants, **lacking})


def sets() -> dict[str, Calibration]:
    """All calibration sets by id."""
    return _shipped(tuple(str(folder) for folder in library.folders("calibrations")))


def packaged_sets() -> dict[str, Calibration]:
    """The sets that ship by id, whatever own sets the library finds before them."""
    from simulator.schema import load_spec

    folder = library.packaged_root() / "hardware_specs" / "calibrations"
    return {path.stem: load_spec("calibrations", str(path)) for path in sorted(folder.glob("*.yaml"))}


def shipped_values(known: dict[str, Calibration] | None = None) -> dict[tuple[str, str], float]:
    """Value of every constant of every set, those that are found unless others are given, by (set id, constant)."""
    known = sets() if known is None else known
    return {(name, key): c.value for name, one in known.items() for key, c in one.constants.items()}


def accelerator_set(accelerator: Accelerator, known: dict[str, Calibration] | None = None) -> str:
    """Id of the set for an accelerator: its own, its architecture's, or the generic one."""
    known = sets() if known is None else known
    wanted = [accelerator.id or "", (accelerator.architecture or "").lower()]
    for name in filter(None, wanted):
        for key in sorted(known, key=lambda each: each != name):  # of two that apply, the one of that name
            if known[key].kind == "accelerator" and name in known[key].applies_to:
                return key
    return GENERIC


def software_set(software: str, known: dict[str, Calibration] | None = None) -> str:
    """Id of the set for a software stack.

    Raises
    ------
    UnknownNameError
        If no set applies to it.
    """
    known = sets() if known is None else known
    software = SOFTWARE_ALIASES.get(software, software)
    for key, one in known.items():
        if one.kind == "software" and software in one.applies_to:
            return key
    names = sorted(name for one in known.values() if one.kind == "software" for name in one.applies_to)
    raise UnknownNameError(software, kind="software", names=names)


def keys_of(
    accelerator_key: str, software_key: str, precision: str, fabric: str = FABRIC
) -> dict[str, tuple[str, str]]:
    """Where each field of `Constants` is found: field to (set id, constant).

    Examples
    --------
    >>> keys_of("hopper", "megatron", "fp8")["tile_efficiency"]
    ('hopper', 'tile_efficiency_8')
    """
    places = {"tile_efficiency": (accelerator_key, f"tile_efficiency_{BITS[precision]}")}
    places |= {name: (accelerator_key, name) for name in ACCELERATOR_CONSTANTS}
    places |= {name: (fabric, name) for name in FABRIC_CONSTANTS}
    places |= {name: (software_key, name) for name in SOFTWARE_CONSTANTS}
    places |= {name: (SIMPLE_CLOCKS, name) for name in CLOCK_CONSTANTS}
    return places


ACCELERATOR_CONSTANTS = (
    "tile_fill",
    "power_exponent",
    "unaligned_rate",
    "unaligned_heads_rate",
    "attention_efficiency",
    "hbm_efficiency",
)
FABRIC_CONSTANTS = (
    "link_efficiency",
    "link_latency_s",
    "link_fill_s",
    "network_efficiency",
    "network_latency_s",
    "network_slowdown",
    "host_blocking",
    "tree_all_reduce",
    "crowding",
)
CLOCK_CONSTANTS = (
    "hbm_copies_efficiency",
    "flops_mfu",
    "roofline_efficiency",
    "linear_tile_slope",
    "linear_memory_slope",
    "linear_intercept_s",
)
SOFTWARE_CONSTANTS = (
    "launch_s",
    "kernel_gap_s",
    "attention_factor",
    "compiled_factor",
    "selective_share",
    "last_matmul_share",
    "stage_balance",
    "moe_kernel_factor",
    "expert_kernels",
    "overlap_kernels",
    "eager_share",
    "grouped_rate",
    "fused_rate",
    "collective_kernels",
    "elementwise_factor",
    "softmax_passes",
    "softmax_multiple",
    "unfused_kernels",
    "tp_overlap",
    "dp_overlap",
    "gather_overlap",
    "stolen_share",
    "ep_overlap",
    "send_overlap",
    "send_latency_s",
    "gradient_buckets",
    "gradient_bytes",
    "optimizer_bytes",
    "step_overhead_s",
)
CONSTANTS_OF = {
    "accelerator": (
        *(f"tile_efficiency_{width}" for width in dict.fromkeys(BITS.values())),
        *ACCELERATOR_CONSTANTS,
    ),
    "fabric": FABRIC_CONSTANTS,
    "software": SOFTWARE_CONSTANTS,
    "clocks": CLOCK_CONSTANTS,
}
"""Constants that a set of each kind holds."""

USUAL_SETS = {"accelerator": GENERIC, "fabric": FABRIC, "software": "pytorch", "clocks": SIMPLE_CLOCKS}
"""Shipped set of each kind that lends what a set of another name lacks."""


def constants_of(
    accelerator: Accelerator,
    *,
    software: str = "megatron",
    precision: str = "bf16",
    fabric: str = FABRIC,
    compiled: bool = False,
) -> tuple[Constants, Evidence]:
    """Constants of an accelerator with a software stack, and the evidence behind them.

    Parameters
    ----------
    accelerator : Accelerator
        Its id and architecture choose the set.
    software : str, optional
        Framework profile.
    precision : str, optional
        Matmul precision.
    fabric : str, optional
        Set of link and network constants.
    compiled : bool, optional
        Whether a graph compiler fuses the small operations.

    Raises
    ------
    UnknownNameError
        If no calibration set is known for the software.
    """
    known = sets()
    chip, stack = accelerator_set(accelerator, known), software_set(software, known)
    values = {
        field: known[key].constants[name].value
        for field, (key, name) in keys_of(chip, stack, precision, fabric).items()
    }
    if not compiled:
        values["compiled_factor"] = 1.0
    return Constants(**values), evidence.evidence_of(
        accelerator, (chip, fabric, stack), BITS[precision], known
    )


def device_of(
    accelerator: Accelerator,
    *,
    precision: str = "bf16",
    network_bandwidth: float | None = None,
    collective_bandwidth: float | None = None,
    accelerators_per_node: int | None = None,
    fp8_attention: bool = False,
) -> Device:
    """An accelerator as the clock sees it.

    Parameters
    ----------
    accelerator : Accelerator
        Datasheet.
    precision : str, optional
        Matmul precision; one the accelerator lacks falls back to the next wider one (`peak_of`).
    network_bandwidth : float, optional
        Scale-out bandwidth per accelerator and direction, where it differs from the usual. [B/s]
    collective_bandwidth : float, optional
        Most that a collective of all its accelerators gets out of a node, where that is less than its ports have. [B/s]
    accelerators_per_node : int, optional
        Accelerators per node, where it differs from the usual link domain. [-]
    fp8_attention : bool, optional
        Whether fused attention multiplies in 8 bits, where the accelerator has them.
    """
    link = accelerator.link
    host = accelerator.host_link.one_way / 2 if accelerator.host_link else NO_LINK
    bandwidth = link.one_way if link else host
    domain = (link.domain_size if link and link.domain_size else accelerators_per_node) or 8
    if accelerators_per_node and domain <= LARGEST_NODE:
        domain = min(domain, accelerators_per_node)
    usual = accelerator.network.one_way if accelerator.network else NO_LINK
    used, peak = peak_of(accelerator, precision)
    gain = FP8_ATTENTION if fp8_attention and peak_of(accelerator, "fp8")[0] == "fp8" else 1.0
    return Device(
        peak_flops=peak,
        memory_bandwidth=accelerator.memory_bandwidth,
        memory_capacity=accelerator.memory_usable or accelerator.memory,
        sm_count=accelerator.sm_count or 1,
        vector_lanes=accelerator.vector_lanes or 1,
        attention_peak_flops=peak_of(accelerator, ATTENTION.get(precision, "bf16"))[1] * gain,
        operand_bytes=OPERAND_BYTES[BITS[used]],
        link_bandwidth=bandwidth,
        link_domain=domain,
        link_pair_bandwidth=bandwidth / max(domain - 1, 1) if link and link.topology == "mesh" else math.inf,
        network_bandwidth=network_bandwidth or usual,
        collective_bandwidth=collective_bandwidth or math.inf,
        tdp_w=accelerator.tdp or 0.0,
    )


ATTENTION = {"fp16": "fp16", "tf32": "tf32", "fp32": "fp32"}
"""Precision of attention's core by that of the matmuls; 16 bits (bf16) where it is not listed, as under narrower formats."""

FP8_ATTENTION = 1200.0 / 740.0
"""Rate of fused attention in 8 bits over that in 16: FlashAttention-3 on H100 reaches close to 1.2 PFLOP/s and 740 TFLOP/s
(arXiv:2407.08608). [-]"""

FALLBACK = {
    "fp4": ("fp4", "fp8", "bf16", "fp16", "fp32"),
    "fp8": ("fp8", "bf16", "fp16", "fp32"),
    "int8": ("int8", "fp8", "bf16", "fp16", "fp32"),
    "bf16": ("bf16", "fp16", "fp32"),
    "fp16": ("fp16", "bf16", "fp32"),
    "tf32": ("tf32", "fp32", "bf16", "fp16"),
    "fp32": ("fp32", "tf32", "bf16", "fp16"),
}
"""Precisions in which a request is carried out, first choice first. No format is replaced by one of 8 bits or fewer that was not
asked for."""


def peak_of(accelerator: Accelerator, precision: str) -> tuple[str, float]:
    """Precision that is used for a request, and its dense peak. [FLOP/s]

    A narrow format does not serve a wide one: where only narrower rates are known, the format asked for runs at half of such a
    rate for every doubling of the width, as on the parts that state both.
    """
    rates = accelerator.peak_flops.known()
    for name in FALLBACK[precision]:
        if name in rates:
            return name, rates[name]
    if narrow := narrower(accelerator, precision):
        return precision, rates[narrow] * int(BITS[narrow]) / int(BITS[precision])
    return ("tf32", rates["tf32"]) if "tf32" in rates else ("fp32", rates["fp64"])


def narrower(accelerator: Accelerator, precision: str) -> str:
    """The format whose rate stands in for one that is wider than all that an accelerator states; empty if none has to.

    Examples
    --------
    >>> from simulator.schema import Accelerator
    >>> sheet = {"name": "Nova", "memory": 8e10, "memory_bandwidth": 3e12, "source": "sheet", "retrieved": "2026-11-21"}
    >>> nova = Accelerator(peak_flops={"fp8": 2e15}, **sheet)
    >>> narrower(nova, "fp8"), narrower(nova, "bf16"), peak_of(nova, "bf16")
    ('', 'fp8', ('bf16', 1000000000000000.0))
    """
    rates = accelerator.peak_flops.known()
    if any(name in rates for name in (*FALLBACK[precision], "tf32", "fp64")):
        return ""
    stated = [name for name in ("fp8", "fp4") if name in rates]
    return max(stated, key=lambda name: rates[name] * int(BITS[name]))
