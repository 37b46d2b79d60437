"""One published row, read and completed: what was run, on what, and how long a step took."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from simulator import calibrations, transformer
from simulator.flop import model_flop_per_token
from simulator.layout import CUDA_GRAPHS, DISPATCHERS, RECOMPUTE, Layout
from simulator.memory.states import WHOLE, update_share
from simulator.validate.cells import SkipError, empty, flag, number, text
from simulator.validate.machines import (
    check_machine,
    collective_bandwidth,
    fabric_of,
    network_bandwidth,
    slices_of,
)
from simulator.validate.profiles import Profile, profile_of
from simulator.validate.recipes import launch_of
from simulator.validate.shapes import shape_of_row
from simulator.validate.usual import (
    accelerator_of,
    is_lora,
    is_qlora,
    is_tpu,
    pads_vocabulary,
    recompute_of,
    usual_degrees,
    usual_expert_split,
    usual_interleaving,
    usual_micro_batch,
    usual_recompute,
)

if TYPE_CHECKING:
    import pandas as pd

    from simulator.schema import Accelerator

MEASURED = ("step_time_s", "tokens_per_s", "tokens_per_s_per_gpu", "tflops_per_gpu", "mfu", "gpu_hours_total")
"""Quantities that can be turned into a step time."""

REQUIRED = (
    "gpu",
    "n_gpus",
    "n_layers",
    "d_model",
    "n_heads",
    "seq_len",
    "global_batch_seqs",
    "measured_quantity",
)
"""Columns without which a row cannot be predicted."""

COMPLETE = (*REQUIRED, "d_ff", "vocab", "micro_batch", "tp", "pp")
"""Columns of a complete configuration."""


_DEGREES = dict.fromkeys(
    ("tp", "pp", "vpp", "cp", "ep", "etp", "dp", "shard_group", "gpus_per_node", "grad_accum"), (1.0, 1e5)
)
_SIZES = dict.fromkeys(
    ("d_model", "d_ff", "n_heads", "n_kv_heads", "vocab", "seq_len", "global_batch_seqs"), (1.0, 1e8)
)
_EXPERTS = dict.fromkeys(("moe_experts", "moe_topk", "moe_d_ff"), (0.0, 1e6))
BOUNDS: dict[str, tuple[float, float]] = {
    **_DEGREES,
    **_SIZES,
    **_EXPERTS,
    "n_gpus": (1.0, 1e6),
    "n_layers": (1.0, 1e4),
    "micro_batch": (1e-3, 1e6),
    "zero_stage": (0.0, 3.0),
    "params_B": (1e-6, 1e6),
    "measured_value": (1e-9, 1e15),
    "total_tokens": (1.0, 1e17),
}
"""Columns of numbers, and the values that can be meant. A row outside is skipped with its reason."""


OPTIONAL = tuple(
    "id source source_ref source_group framework gpus_per_node interconnect precision model_name params_B n_kv_heads d_ff mlp_type "
    "vocab moe_experts moe_topk moe_d_ff micro_batch grad_accum tp pp vpp cp ep etp dp zero_stage shard_group act_ckpt flash_attn seq_parallel "
    "compile cuda_graphs fused_experts dispatcher expert_overlap fp8_attention total_tokens notes quality flops_convention config_group".split()
)
"""Columns that may be empty or absent."""


def with_all_columns(frame: pd.DataFrame) -> pd.DataFrame:
    """The table with an empty column for each that it lacks."""
    absent = [name for name in OPTIONAL if name not in frame.columns]
    return frame.assign(**dict.fromkeys(absent)) if absent else frame


class Row:
    """One row, read and completed."""

    def __init__(self, row: dict[str, Any]) -> None:
        self.raw = row
        for name in REQUIRED:
            if empty(row[name]):
                raise SkipError(f"{name} not stated")
        row["measured_quantity"] = text(row["measured_quantity"])
        if empty(row["measured_value"]):
            raise SkipError("no measured value")
        if row["measured_quantity"] not in MEASURED:
            raise SkipError(f"measured_quantity not known: {row['measured_quantity'][:40]}")
        for name, (low, high) in BOUNDS.items():
            if not low <= number(row[name], low, name) <= high:
                raise SkipError(f"{name} is not between {low:g} and {high:g}")
        check_machine(row["notes"])
        self.accelerator = accelerator_of(row)
        self.profile = profile_of(
            row["framework"], row["source_ref"], current=_is_current(row, self.accelerator)
        )
        self.precision = _precision(row, self.accelerator)
        self.launch = launch_of(row, self.profile.dispatcher)
        self.shape = shape_of_row(row)
        network = network_bandwidth(row["interconnect"], number(row["gpus_per_node"], 8))
        self.device = calibrations.device_of(
            self.accelerator,
            precision=self.precision,
            network_bandwidth=network,
            collective_bandwidth=collective_bandwidth(row["interconnect"], network),
            accelerators_per_node=int(number(row["gpus_per_node"], 8)),
            fp8_attention=self.launch.fp8_attention == 1,
        )
        self.layout = _layout(row, self)
        slices = slices_of(row["notes"])
        if slices > 1:  # TPU slices meet over the data center's network and hold a copy of the states each
            domain = number(row["n_gpus"], 1) / slices
            self.device = self.device.with_(link_domain=min(domain, float(self.device.link_domain)))
            self.layout = self.layout.with_(shard_group=self.layout.dp * self.layout.cp / slices)
        if not empty(row["shard_group"]):
            self.layout = self.layout.with_(shard_group=_shard_group(row["shard_group"], self.layout))
        self.measured_s = _step_time(row, self)
        if not (np.isfinite(self.measured_s) and self.measured_s > 0):
            raise SkipError("measured value cannot be turned into a step time")
        self.complete = not any(empty(row[name]) for name in COMPLETE)
        self.compiled = flag(row["compile"], self.profile.compiled) == 1
        self.fabric = fabric_of(row)
        self.software = software_of(row, self.profile, self.fabric)


OLDER = ("maxwell", "pascal", "volta", "turing", "ampere")
"""Architectures that code of 2021 ran on."""


def _is_current(row: dict[str, Any], accelerator: Accelerator) -> bool:
    """Whether a run needs code of 2023 or later: it states fused attention, or its accelerator came with or after Hopper."""
    return flag(row["flash_attn"], 0, yes=FLASH) == 1 or accelerator.architecture not in OLDER


def _shard_group(value: Any, layout: Layout) -> float:
    """Ranks that hold one copy of the states, as a row states them."""
    ranks, group = float(layout.dp * layout.cp), number(value, 0)
    if ranks % group:
        raise SkipError(f"shard_group {group:g} does not divide dp x cp = {ranks:g}")
    return group


def usual_precision(row: dict[str, Any]) -> str:
    """Precision of a row that states none: 8 bits in MLPerf submissions (where the part has them), 16 elsewhere.

    FP8 on GPUs, INT8 on TPUs, whose submissions print ``quantization=int8`` in their scripts. Submissions of the reference
    code, on DeepSpeed, run in 16 bits.
    """
    mlperf = "mlperf" in f"{row['source']} {row['source_group']}".lower()
    if not mlperf or profile_of(row["framework"]).software == "deepspeed":
        return "bf16"
    return "int8" if is_tpu(row) else "fp8"


PRECISIONS = {
    **{name: name for name in calibrations.BITS},
    **dict.fromkeys(("mxfp8", "float8", "e4m3", "fp8_e4m3", "fp8-cs", "fp8-ds", "fp8-sc", "fp8-mx"), "fp8"),
    **dict.fromkeys(("nvfp4", "mxfp4", "float4"), "fp4"),
    "float16": "fp16",
    "half": "fp16",
    "bfloat16": "bf16",
    "float32": "fp32",
}
"""Words for the precision of matmuls, to those of the project."""


def _named(stated: str) -> set[str]:
    """Precisions whose words stand in a text, as in ``fp8 (delayed scaling)``."""
    words = re.split(r"[^a-z0-9]+", stated)
    return {PRECISIONS[word] for word in words if word in PRECISIONS}


def _precision(row: dict[str, Any], accelerator: Accelerator) -> str:
    """Precision of a row: the one it states, if the part has it, else the usual one."""
    if empty(row["precision"]):
        return usual_precision(row)
    stated = text(row["precision"])
    named = {PRECISIONS[stated]} if stated in PRECISIONS else _named(stated)
    if len(named) != 1:
        raise SkipError(f"precision not known: {stated[:40]}")
    (name,) = named
    if name in ("fp4", "fp8", "int8") and calibrations.peak_of(accelerator, name)[0] != name:
        raise SkipError(f"{accelerator.label} has no {name}")
    return name


def _layout(row: dict[str, Any], one: Row) -> Layout:
    """Read the layout; data parallelism and gradient accumulation follow from the other degrees if absent."""
    profile, shape, device, launch = one.profile, one.shape, one.device, one.launch
    cp = number(row["cp"], 1)
    usual_tp, usual_pp = usual_degrees(row, profile, shape, device)
    tp, pp = number(row["tp"], usual_tp), number(row["pp"], usual_pp)
    dp = number(row["dp"], max(number(row["n_gpus"], 1) / (tp * pp * cp), 1))
    batch, ep = number(row["global_batch_seqs"], 1), number(row["ep"], 1)
    if batch < dp:  # fewer sequences than replicas: the sequences themselves are split
        cp, dp = cp * dp / batch, batch
    local = max(batch / dp, 1e-9)
    usual = usual_micro_batch(row, profile, shape, device, (tp, pp, cp, dp, local))
    micro = min(number(row["micro_batch"], usual), local)
    recompute = recompute_of(row) or usual_recompute(row, profile, shape, device, (tp, pp, cp, dp, micro))
    return Layout(
        tp=tp,
        pp=pp,
        dp=dp,
        cp=cp,
        ep=ep,
        etp=number(row["etp"], usual_expert_split(row, profile, shape)),
        vp=max(number(row["vpp"], usual_interleaving(profile, shape, pp)), 1.0),
        micro_batch_size=micro,
        num_microbatches=max(batch / (dp * micro), 1.0),
        seq_length=number(row["seq_len"], 2048),
        zero_stage=number(row["zero_stage"], profile.zero_stage),
        sequence_parallel=flag(row["seq_parallel"], profile.sequence_parallel),
        recompute=RECOMPUTE[recompute],
        flash_attention=flag(row["flash_attn"], profile.flash_attention, yes=FLASH),
        frozen=is_lora(row),
        quantized=is_qlora(row),
        autocast=float(profile.autocast and not is_lora(row) and one.precision not in WHOLE),
        update_share=update_share(precision=profile.states[0], optimizer=profile.states[1]),
        pads_vocabulary=pads_vocabulary(row, profile),
        cuda_graphs=CUDA_GRAPHS[launch.cuda_graphs],
        fused_experts=launch.fused_experts,
        plain_dispatch=DISPATCHERS[launch.dispatcher],
        expert_overlap=launch.expert_overlap,
    )


FLASH = frozenset(("flash", "fa", "fa2", "fa3", "flash_attention_2", "flash-attn", "cudnn"))
"""Words that mean fused attention."""


def _step_time(row: dict[str, Any], one: Row) -> float:
    """Measured seconds of one optimizer step."""
    quantity, value = row["measured_quantity"], number(row["measured_value"], np.nan)
    gpus = number(row["n_gpus"], 1)
    tokens = number(row["global_batch_seqs"], 1) * number(row["seq_len"], 2048)
    if quantity == "step_time_s":
        return float(value)
    if quantity == "tokens_per_s":
        return tokens / value
    if quantity == "tokens_per_s_per_gpu":
        return tokens / (value * gpus)
    if quantity == "gpu_hours_total":
        total = number(row["total_tokens"], np.nan)
        return value * 3600.0 / gpus * tokens / total
    flop = float(_flop_per_token(row, one) * tokens)
    if quantity == "tflops_per_gpu":
        return flop / (value * 1e12 * gpus)
    share = value if value <= 1.5 else value / 100
    return flop / float(share * one.device.peak_flops * gpus)


def _flop_per_token(row: dict[str, Any], one: Row) -> float:
    """FLOP per token under the row's own convention, to undo a reported TFLOP/s or MFU."""
    counted = text(row["flops_convention"])
    if re.search(r"8\s*\*\s*p", counted):
        factor = 8.0 if one.layout.recompute == 2 or "without ckpt" not in counted else 6.0
        label = number(row["params_B"], float(transformer.parameters(one.shape)) / 1e9) * 1e9
        return factor * label
    halved = "halved" in counted and "not halved" not in counted
    convention = "maxtext" if halved else "megatron"
    flop = float(model_flop_per_token(one.shape, seq_length=one.layout.seq_length, convention=convention))
    recomputed = (
        counted.startswith("hfu") or "incl. full recompute" in counted or "recompute included" in counted
    )
    return flop * 4 / 3 if recomputed and one.layout.recompute == 2 else flop


def software_of(row: dict[str, Any], profile: Profile, fabric: str) -> str:
    """Software set of a row: the framework's, or that of an early version which the row's notes tell apart.

    nanotron's pipeline engine blocked on every message between nodes until it was repaired; rows of the repaired
    engine carry ``after_pp_fix=True``.
    """
    early = profile.software == "nanotron" and "after_pp_fix=True" not in str(row["notes"])
    blocked = early and fabric != calibrations.FABRIC
    return "nanotron-early" if blocked and number(row["pp"], 1) > 1 else profile.software
