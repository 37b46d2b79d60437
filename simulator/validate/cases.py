"""Published throughput rows as columns: what was run, on what, and how long a step took.

`read` turns a table in the format of ``measurements/throughput.csv`` into `Cases`: a `Shape`, a `Layout` and a `Device`
whose fields are arrays with one entry per row, the calibration sets each row uses, and the measured step time. A field
that a row leaves empty takes the framework's usual default, stated in `PROFILES`; a row that cannot be predicted is
skipped with its reason. The measured value is never an input.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from simulator import calibrations, transformer
from simulator.device import Constants, Device
from simulator.errors import SpecError, UnknownNameError
from simulator.layout import RECOMPUTE, Layout
from simulator.transformer import Shape

if TYPE_CHECKING:
    import pandas as pd

    from simulator.schema import Accelerator
    from simulator.schema.calibration import Calibration

MEASURED = ("step_time_s", "tokens_per_s", "tokens_per_s_per_gpu", "tflops_per_gpu", "mfu", "gpu_hours_total")
"""Quantities that can be turned into a step time."""

REQUIRED = ("gpu", "n_gpus", "n_layers", "d_model", "n_heads", "seq_len", "global_batch_seqs", "measured_quantity")
"""Columns without which a row cannot be predicted."""

COMPLETE = (*REQUIRED, "d_ff", "vocab", "micro_batch", "tp", "pp")
"""Columns of a complete configuration."""


@dataclass(frozen=True)
class Profile:
    """What a framework does unless a row says otherwise."""

    software: str
    flash_attention: int = 1
    sequence_parallel: int = 1
    zero_stage: int = 1
    recompute: str = "none"


PROFILES: dict[str, Profile] = {
    "nanotron": Profile("nanotron", zero_stage=0),
    "llm-foundry": Profile("llm-foundry", zero_stage=3, sequence_parallel=0),
    "composer": Profile("llm-foundry", zero_stage=3, sequence_parallel=0),
    "torchtitan": Profile("fsdp", zero_stage=3),
    "fsdp": Profile("fsdp", zero_stage=3),
    "languini": Profile("pytorch", flash_attention=0, zero_stage=0, sequence_parallel=0),
    "torchao": Profile("pytorch", zero_stage=0, sequence_parallel=0),
    "llm.c": Profile("pytorch", zero_stage=1, sequence_parallel=0),
    "lightning": Profile("fsdp", zero_stage=3, sequence_parallel=0),
    "hf trainer": Profile("deepspeed", zero_stage=3, sequence_parallel=0, flash_attention=0),
    "megatron-deepspeed": Profile("deepspeed", flash_attention=0, sequence_parallel=0, zero_stage=0),
    "deepspeed": Profile("deepspeed", flash_attention=0, sequence_parallel=0, zero_stage=1),
    "megatron-bridge": Profile("megatron"),
    "megatron-core": Profile("megatron"),
    "megatron-lm 0.": Profile("megatron"),
    "nemo": Profile("megatron"),
    "megatron-lm": Profile("megatron", flash_attention=0, sequence_parallel=0, zero_stage=0),
    "maxtext": Profile("maxtext", zero_stage=3, sequence_parallel=0),
    "pax": Profile("maxtext", zero_stage=3, sequence_parallel=0),
    "jax": Profile("maxtext", zero_stage=3, sequence_parallel=0),
    "colossalai": Profile("deepspeed", zero_stage=3, sequence_parallel=0),
}
"""First word of the framework column that matches, to its usual settings. Sources: the frameworks' example configurations."""

USUAL = Profile("megatron")
"""Framework not named, or not known: a current Megatron-Core stack."""


@dataclass(frozen=True)
class Cases:
    """Rows of a throughput table as columns."""

    id: np.ndarray
    source: np.ndarray
    gpu: np.ndarray
    complete: np.ndarray
    quality: np.ndarray
    config_group: np.ndarray
    shape: Shape
    layout: Layout
    device: Device
    keys: tuple[dict[str, tuple[str, str]], ...]
    """For each row, where each constant is found (see `calibrations.keys_of`)."""
    compiled: np.ndarray
    measured_s: np.ndarray
    grade: np.ndarray
    skipped: dict[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.id)

    def take(self, index: Any) -> Cases:
        """Rows `index`, in order."""
        index = np.asarray(index)
        index = np.flatnonzero(index) if index.dtype == bool else index
        values: dict[str, Any] = {}
        for each in fields(self):
            value = getattr(self, each.name)
            if each.name == "keys":
                value = tuple(value[i] for i in index)
            elif isinstance(value, np.ndarray) or hasattr(value, "take"):
                value = value.take(index) if not isinstance(value, np.ndarray) else value[index]
            values[each.name] = value
        return Cases(**values)


def read(path: str | Path, known: dict[str, Calibration] | None = None) -> Cases:
    """Read a throughput table.

    Raises
    ------
    SpecError
        If the file is missing, is not CSV, or lacks the columns of the format.
    """
    return of_frame(read_frame(path), known)


def read_frame(path: str | Path, *, required: tuple[str, ...] = (*REQUIRED, "measured_value")) -> pd.DataFrame:
    """Read a CSV file of measurements, with clear errors for what is not one."""
    import pandas as pd

    path = Path(path)
    if not path.is_file():
        raise SpecError(f"{path}: no such file")
    try:
        frame = pd.read_csv(path, low_memory=False)
    except (UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError, ValueError) as error:
        raise SpecError(f"{path}: not a CSV table: {str(error).splitlines()[0]}") from None
    missing = [name for name in required if name not in frame.columns]
    if missing:
        raise SpecError(f"{path}: missing columns {', '.join(missing)}; see docs/validation.md for the format")
    return frame


def of_frame(frame: pd.DataFrame, known: dict[str, Calibration] | None = None) -> Cases:
    """Turn rows into columns; rows that cannot be predicted are counted in ``skipped``."""
    frame = _with_all_columns(frame)
    reasons: dict[str, int] = {}
    rows = []
    for row in frame.to_dict("records"):
        try:
            rows.append(_Row(row))
        except _SkipError as skip:
            reasons[str(skip)] = reasons.get(str(skip), 0) + 1
    return _gather(rows, reasons, calibrations.sets() if known is None else known)


class _SkipError(Exception):
    """A row that cannot be predicted, with its reason."""


class _Row:
    """One row, read and completed."""

    def __init__(self, row: dict[str, Any]) -> None:
        self.raw = row
        for name in REQUIRED:
            if _empty(row[name]):
                raise _SkipError(f"{name} not stated")
        if row["measured_quantity"] not in MEASURED or _empty(row["measured_value"]):
            raise _SkipError("no measured value")
        self.accelerator = _accelerator(str(row["gpu"]))
        self.profile = profile_of(row["framework"])
        self.precision = _precision(row["precision"], usual_precision(row))
        self.shape = _shape(row)
        self.device = calibrations.device_of(
            self.accelerator,
            precision=self.precision,
            network_bandwidth=network_bandwidth(row["interconnect"], _number(row["gpus_per_node"], 8)),
            accelerators_per_node=int(_number(row["gpus_per_node"], 8)),
        )
        self.layout = _layout(row, self.profile, self.shape, self.device)
        self.measured_s = _step_time(row, self)
        if not (np.isfinite(self.measured_s) and self.measured_s > 0):
            raise _SkipError("measured value cannot be turned into a step time")
        self.complete = not any(_empty(row[name]) for name in COMPLETE)
        self.compiled = _flag(row["compile"], 0) == 1
        self.fabric = fabric_of(row)
        self.software = software_of(row, self.profile, self.fabric)


def profile_of(framework: Any) -> Profile:
    """Usual settings of a framework, by the first known word in its name.

    Examples
    --------
    >>> profile_of("NeMo (Megatron-Core)").software
    'megatron'
    """
    name = "" if _empty(framework) else str(framework).lower()
    return next((profile for word, profile in PROFILES.items() if word in name), USUAL)


def software_of(row: dict[str, Any], profile: Profile, fabric: str) -> str:
    """Software set of a row: the framework's, or that of an early version which the row's notes tell apart.

    nanotron's pipeline engine blocked on every message between nodes until it was repaired; rows of the repaired
    engine carry ``after_pp_fix=True``.
    """
    early = profile.software == "nanotron" and "after_pp_fix=True" not in str(row["notes"])
    blocked = early and fabric != calibrations.FABRIC
    return "nanotron-early" if blocked and _number(row["pp"], 1) > 1 else profile.software


def _empty(value: Any) -> bool:
    return value is None or value == "" or (isinstance(value, float) and np.isnan(value))


def _number(value: Any, default: float) -> float:
    if _empty(value):
        return float(default)
    try:
        return float(value)
    except (TypeError, ValueError):
        raise _SkipError(f"not a number: {str(value)[:40]}") from None


def _flag(value: Any, default: int) -> int:
    if _empty(value):
        return default
    return int(str(value).strip().lower() in ("true", "1", "1.0", "yes"))


_ACCELERATORS: dict[str, Accelerator] = {}


def _accelerator(name: str) -> Accelerator:
    if name not in _ACCELERATORS:
        from simulator.schema import load_accelerator

        try:
            _ACCELERATORS[name] = load_accelerator(name)
        except (UnknownNameError, SpecError):
            raise _SkipError(f"accelerator not known: {name[:40]}") from None
    return _ACCELERATORS[name]


def usual_precision(row: dict[str, Any]) -> str:
    """Precision of a row that states none: FP8 in MLPerf submissions (where the part has it), 16 bits elsewhere."""
    return "fp8" if "mlperf" in f"{row['source']} {row['source_group']}".lower() else "bf16"


def _precision(value: Any, usual: str) -> str:
    name = usual if _empty(value) else str(value).lower()
    name = {"mxfp8": "fp8", "nvfp4": "fp4", "mxfp4": "fp4", "float16": "fp16", "bfloat16": "bf16"}.get(name, name)
    return name if name in calibrations.BITS else usual


def _shape(row: dict[str, Any]) -> Shape:
    """Read the model; a missing feed-forward width is four times the hidden size, a missing vocabulary 50,304."""
    heads, width = _number(row["n_heads"], 1), _number(row["d_model"], 1)
    gated = 1 if str(row["mlp_type"]).lower() in ("swiglu", "geglu") else 0
    experts = _number(row["moe_experts"], 0)
    feed_forward = _number(row["d_ff"], 4 * width)
    return transformer.decoder(
        num_hidden_layers=_number(row["n_layers"], 1),
        hidden_size=width,
        intermediate_size=feed_forward,
        num_attention_heads=heads,
        num_key_value_heads=_number(row["n_kv_heads"], heads),
        vocab_size=_number(row["vocab"], 50304),
        gated=gated,
        rotary=gated,
        num_experts=experts,
        num_experts_per_tok=_number(row["moe_topk"], 0) if experts else 0.0,
        moe_intermediate_size=_number(row["moe_d_ff"], feed_forward) if experts else 0.0,
    )


def _layout(row: dict[str, Any], profile: Profile, shape: Shape, device: Device) -> Layout:
    """Read the layout; data parallelism and gradient accumulation follow from the other degrees if absent."""
    cp = _number(row["cp"], 1)
    usual_tp, usual_pp = usual_degrees(row, profile, shape, device)
    tp, pp = _number(row["tp"], usual_tp), _number(row["pp"], usual_pp)
    dp = _number(row["dp"], max(_number(row["n_gpus"], 1) / (tp * pp * cp), 1))
    batch, ep = _number(row["global_batch_seqs"], 1), _number(row["ep"], 1)
    if batch < dp:  # fewer sequences than replicas: the sequences themselves are split
        cp, dp = cp * dp / batch, batch
    local = max(batch / dp, 1e-9)
    micro = min(_number(row["micro_batch"], local if profile.zero_stage >= 3 else 1), local)
    recompute = profile.recompute if _empty(row["act_ckpt"]) else str(row["act_ckpt"]).lower()
    return Layout(
        tp=tp,
        pp=pp,
        dp=dp,
        cp=cp,
        ep=ep,
        etp=1.0 if ep > 1 else 0.0,
        vp=max(_number(row["vpp"], 1), 1.0),
        micro_batch_size=micro,
        num_microbatches=max(batch / (dp * micro), 1.0),
        seq_length=_number(row["seq_len"], 2048),
        zero_stage=_number(row["zero_stage"], profile.zero_stage),
        sequence_parallel=_flag(row["seq_parallel"], profile.sequence_parallel),
        recompute=RECOMPUTE.get(recompute, 0),
        flash_attention=_flag(row["flash_attn"], profile.flash_attention),
        frozen=_lora(row),
    )


def usual_degrees(row: dict[str, Any], profile: Profile, shape: Shape, device: Device) -> tuple[float, float]:
    """Tensor- and pipeline-parallel degrees of a row that states none: the smallest that hold the states.

    Weights and gradients (6 B per parameter; 2 B if frozen) are split by both degrees, optimizer states (12 B) also
    over data parallelism; six tenths of the memory are left to them. FSDP stacks use neither.
    """
    if not (_empty(row["tp"]) and _empty(row["pp"])) or profile.zero_stage >= 3:
        return 1.0, 1.0
    gpus, total = _number(row["n_gpus"], 1), float(transformer.parameters(shape))
    kept, shared = (2.0, 0.0) if _lora(row) else (6.0, 12.0)
    room = 0.6 * float(device.memory_capacity) - shared * total / gpus
    split = 2.0 ** np.ceil(np.log2(max(kept * total / max(room, 1.0), 1.0)))
    split = min(split, 2.0 ** np.floor(np.log2(max(gpus, 1.0))))
    tp = min(split, 8.0, float(device.link_domain))
    return tp, max(split / tp, 1.0)


def _lora(row: dict[str, Any]) -> int:
    """Adapters on frozen weights are a different training, which the table writes into the model column."""
    return int("lora" in str(row["model_name"]).lower())


def network_bandwidth(text: Any, per_node: float) -> float | None:
    """Read the scale-out bandwidth per accelerator from a free-text interconnect; None if it is not stated. [B/s]

    Examples
    --------
    >>> network_bandwidth("RoCE 1600 Gbps/node", 8)
    25000000000.0
    >>> network_bandwidth("NVLink/NVSwitch; 8x HDR200 IB per node (Selene)", 8) is None
    True
    """
    if _empty(text):
        return None
    node = re.search(r"(\d+)\s*Gbps/node", str(text))
    if node:
        return float(node.group(1)) * 1e9 / 8 / per_node
    ports = re.search(r"(\d+)\s*[x×]\s*(\d+)\s*Gb(?:ps|/s|it/s)?\s*(?:OPA|Omni-Path)", str(text), re.IGNORECASE)
    if ports:
        return float(ports.group(1)) * float(ports.group(2)) * 1e9 / 8 / per_node
    return None


DEGRADED_PROBE = 0.8
"""A fabric whose all-reduce probe over the whole job is below this share of the healthy value is degraded. [-]"""


def fabric_of(row: dict[str, Any]) -> str:
    """Set of fabric constants for a row: ``fabric``, or the degraded one where the row's own probe says so.

    Some rows print an all-reduce probe that was run before training, over all ranks and inside a node. Healthy
    networks hold their bus bandwidth as the job grows; on degraded ones it falls as one over the ranks, the sign of a
    large latency in every ring step.
    """
    found = re.search(r"probe ([\d.]+) GB/s world, ([\d.]+) GB/s in node", str(row["notes"]))
    if found and _number(row["n_gpus"], 1) > _number(row["gpus_per_node"], 8) and float(found.group(2)) < 442:
        return "fabric-degraded"
    return calibrations.FABRIC


def _step_time(row: dict[str, Any], one: _Row) -> float:
    """Measured seconds of one optimizer step."""
    quantity, value = row["measured_quantity"], _number(row["measured_value"], np.nan)
    gpus = _number(row["n_gpus"], 1)
    tokens = _number(row["global_batch_seqs"], 1) * _number(row["seq_len"], 2048)
    if quantity == "step_time_s":
        return value
    if quantity == "tokens_per_s":
        return tokens / value
    if quantity == "tokens_per_s_per_gpu":
        return tokens / (value * gpus)
    if quantity == "gpu_hours_total":
        total = _number(row["total_tokens"], np.nan)
        return value * 3600.0 / gpus * tokens / total
    flop = float(_flop_per_token(row, one) * tokens)
    if quantity == "tflops_per_gpu":
        return flop / (value * 1e12 * gpus)
    return flop / ((value if value <= 1.5 else value / 100) * one.device.peak_flops * gpus)


def _flop_per_token(row: dict[str, Any], one: _Row) -> float:
    """FLOP per token under the row's own convention, to undo a reported TFLOP/s or MFU."""
    text = str(row["flops_convention"]).lower()
    if re.search(r"8\s*\*\s*p", text):
        factor = 8.0 if one.layout.recompute == 2 or "without ckpt" not in text else 6.0
        label = _number(row["params_B"], float(transformer.parameters(one.shape)) / 1e9) * 1e9
        return factor * label
    halved = "halved" in text and "not halved" not in text
    convention = "maxtext" if halved else "megatron"
    flop = float(transformer.model_flop_per_token(one.shape, seq_length=one.layout.seq_length, convention=convention))
    recomputed = text.startswith("hfu") or "incl. full recompute" in text or "recompute included" in text
    return flop * 4 / 3 if recomputed and one.layout.recompute == 2 else flop


def _with_all_columns(frame: pd.DataFrame) -> pd.DataFrame:
    wanted = (
        "id source source_group framework gpus_per_node interconnect precision model_name params_B n_kv_heads d_ff mlp_type "
        "vocab moe_experts moe_topk moe_d_ff micro_batch tp pp vpp cp ep dp zero_stage act_ckpt flash_attn seq_parallel "
        "compile total_tokens notes quality flops_convention config_group"
    ).split()
    absent = [name for name in wanted if name not in frame.columns]
    return frame.assign(**dict.fromkeys(absent)) if absent else frame


def _gather(rows: list[_Row], reasons: dict[str, int], known: dict[str, Calibration]) -> Cases:
    keys, grade = [], []
    for row in rows:
        chip = calibrations.accelerator_set(row.accelerator, known)
        stack = calibrations.software_set(row.software, known)
        keys.append(calibrations.keys_of(chip, stack, row.precision, row.fabric))
        measured = row.accelerator.measured and chip != calibrations.GENERIC
        grade.append("measured" if measured else "datasheet" if chip == calibrations.GENERIC else "transferred")

    def column(name: str) -> np.ndarray:
        return np.array(["" if _empty(r.raw[name]) else str(r.raw[name]) for r in rows], dtype=object)

    def stack(record: type, items: list[Any]) -> Any:
        names = [f.name for f in fields(record)]
        return record(**{n: np.array([getattr(i, n) for i in items], dtype=float) for n in names})

    return Cases(
        id=column("id"),
        source=np.where(column("source_group") == "", column("source"), column("source_group")),
        gpu=column("gpu"),
        complete=np.array([r.complete for r in rows], dtype=bool),
        quality=column("quality"),
        config_group=column("config_group"),
        shape=stack(Shape, [r.shape for r in rows]),
        layout=stack(Layout, [r.layout for r in rows]),
        device=stack(Device, [r.device for r in rows]),
        keys=tuple(keys),
        compiled=np.array([r.compiled for r in rows], dtype=bool),
        measured_s=np.array([r.measured_s for r in rows], dtype=float),
        grade=np.array(grade, dtype=object),
        skipped=reasons,
    )


def constants(cases: Cases, values: dict[tuple[str, str], float]) -> Constants:
    """Constants of every row from values by (set id, constant)."""
    names = list(calibrations.keys_of("", "", "bf16"))
    columns = {n: np.array([values[k[n]] for k in cases.keys], dtype=float) for n in names}
    columns["compiled_factor"] = np.where(cases.compiled, columns["compiled_factor"], 1.0)
    return Constants(**columns)
