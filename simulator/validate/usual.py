"""What a row leaves open about its layout: recomputation, interleaving, micro-batch, degrees, as its framework's users choose them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from simulator import transformer
from simulator.errors import SpecError, UnknownNameError
from simulator.layout import NF4_BYTES, RECOMPUTE
from simulator.validate.cells import NO, YES, SkipError, empty, number, text
from simulator.validate.profiles import SOFTMAX_MULTIPLE, Profile
from simulator.validate.recipes import BRIDGE

if TYPE_CHECKING:
    from simulator.device import Device
    from simulator.schema import Accelerator
    from simulator.transformer import Shape

RECOMPUTATION = {
    **{name: name for name in RECOMPUTE},
    **dict.fromkeys((*YES, "full recompute", "block", "uniform", "every layer"), "full"),
    **dict.fromkeys(NO, "none"),
    "core": "selective",
    "core_attn": "selective",
    "selective recompute": "selective",
}
"""Words for recomputation, to those of the project: a plain yes is every layer."""


def recompute_of(row: dict[str, Any]) -> str:
    """Recomputation mode that a row states; empty where it states none.

    vTrain's rows take it from the configuration files of a simulator (``config/validation JSONs``), not from the runs.
    On several nodes the activations would not fit without it. On one node they fit, and the runs were as fast as runs
    without it: constants fitted to all other rows predict them far too slow with recomputation, and about right without,
    where nothing but matmuls counts (docs/validation.md gives the figures). These rows are read as runs without it.
    """
    if empty(row["act_ckpt"]):
        return ""
    if text(row["act_ckpt"]) not in RECOMPUTATION:
        raise SkipError(f"act_ckpt not known: {str(row['act_ckpt'])[:40]}")
    return "none" if is_sum_of_layers(row) else RECOMPUTATION[text(row["act_ckpt"])]


def is_sum_of_layers(row: dict[str, Any]) -> bool:
    """Whether a row adds up layers that were measured alone: vTrain's on one node (docs/validation.md)."""
    one_node = number(row["n_gpus"], 1) <= number(row["gpus_per_node"], 8)
    return one_node and "config/validation JSONs" in str(row["notes"])


def pads_vocabulary(row: dict[str, Any], profile: Profile) -> float:
    """1 where the vocabulary was padded: as the framework does it, not where its layers were measured alone.

    The output layer of vTrain's rows of one node takes four times as long on one rank as on two.
    """
    return float(profile.pads_vocabulary and not is_sum_of_layers(row))


_ACCELERATORS: dict[str, Accelerator] = {}


def accelerator_of(row: dict[str, Any]) -> Accelerator:
    """Accelerator of a row."""
    name = str(row["gpu"]).strip()
    if name not in _ACCELERATORS:
        from simulator.schema import load_accelerator

        try:
            _ACCELERATORS[name] = load_accelerator(name)
        except UnknownNameError:
            raise SkipError(f"accelerator not known: {str(row['gpu'])[:40]}") from None
        except SpecError as error:
            first = error.problems[0]
            what = f"{first.path}: {first.reason}" if first.path else first.reason
            raise SkipError(f"accelerator {str(row['gpu'])[:40]} is described wrongly: {what}") from None
    return _ACCELERATORS[name]


def is_tpu(row: dict[str, Any]) -> bool:
    """Whether a row ran on TPUs."""
    return (accelerator_of(row).architecture or "").startswith("tpu")


def usual_recompute(
    row: dict[str, Any], profile: Profile, shape: Shape, device: Device, layout: tuple[float, ...]
) -> str:
    """Recomputation mode of a row that states none: none, or the framework's where activations would not fit without.

    Only on TPUs: what NVIDIA's own MaxText recipes for H100 keep is not published, and those runs were as fast as without.
    `layout` is ``tp pp cp dp micro``, micro the sequences of one forward pass.
    """
    tp, pp, cp, dp, micro = layout
    if profile.recompute == "none" or not is_tpu(row):
        return "none"
    states = _states_on_device(row, profile, shape, device, tp * pp, dp * cp)
    tokens = micro * number(row["seq_len"], 2048) / cp / tp
    kept = KEPT_BYTES * tokens * float(shape.num_hidden_layers) * float(shape.hidden_size) / pp
    return profile.recompute if states + kept > float(device.memory_capacity) else "none"


def _states_on_device(
    row: dict[str, Any], profile: Profile, shape: Shape, device: Device, split: float, ranks: float
) -> float:
    """Bytes of weights, gradients and optimizer states, `split` over model parallelism and sharded over `ranks`. [B]"""
    zero = number(row["zero_stage"], profile.zero_stage)
    kept, shared = _state_bytes(row, device)
    each = kept / (ranks if zero >= 3 else 1.0) + shared / (ranks if zero >= 1 else 1.0)
    return each * float(transformer.parameters(shape)) / split


CHUNK_LAYERS = 2.0
"""Layers of a virtual stage in the interleaved recipes that state one (GPT-3 175B, Llama 3.1 405B). [-]"""


def usual_interleaving(profile: Profile, shape: Shape, pp: float) -> float:
    """Virtual stages of a row that states none.

    A Megatron run is taken as interleaved, two layers at a time, as its published recipes are. Others are taken as they stand.
    """
    if not profile.software.startswith("megatron") or pp <= 1:
        return 1.0
    return max(float(np.floor(np.asarray(shape.num_hidden_layers) / pp / CHUNK_LAYERS)), 1.0)


KEPT_BYTES = 34.0
"""Bytes of activations per token, layer and unit of width that a run without recomputation keeps (Korthikanti et al.,
arXiv:2205.05198, equation 1 without attention's scores). [B]"""

KEPT_FROZEN_BYTES = 20.0
"""The same where weights are frozen: no inputs are kept for their gradients. Between 19 and 21 it gives the degrees of the
submissions with adapters to MLPerf: 4 on H100, 1 on B200, GB200 and MI300X; on H200 2 where they split the sequence. [B]"""

FILLED = 0.8
"""Share of the memory that a run without a pipeline fills: a choice. On the rows that state their micro-batch 0.7 is farther
off, 0.9 slightly nearer. [-]"""


def usual_micro_batch(
    row: dict[str, Any], profile: Profile, shape: Shape, device: Device, layout: tuple[float, ...]
) -> float:
    """Sequences per forward pass of a row that does not state them.

    Its own accumulation steps if those are stated; the whole share of the batch under the stacks whose recipes do so;
    in a pipeline, whose bubble grows with the micro-batch, one sequence, or as many as a fused softmax needs; else the
    largest power of two that fits in the memory.

    `layout` is ``tp pp cp dp local``, local the sequences of one replica.
    """
    tp, pp, cp, dp, local = layout
    if not empty(row["grad_accum"]):
        return local / max(number(row["grad_accum"], 1), 1.0)
    if profile.whole_share:
        return local
    if pp > 1:
        return _fewest_fused(profile, float(shape.num_attention_heads) / tp)
    room = FILLED * float(device.memory_capacity)
    room -= _states_on_device(row, profile, shape, device, tp, dp * cp)
    width = 2.0 if recompute_of(row) == "full" else KEPT_BYTES
    tokens = number(row["seq_len"], 2048) / cp / tp
    one = tokens * (
        width * float(shape.num_hidden_layers) * float(shape.hidden_size) + 6.0 * float(shape.vocab_size)
    )
    return float(2.0 ** np.floor(np.log2(max(room / one, 1.0))))


def _fewest_fused(profile: Profile, heads: float) -> float:
    """Fewest sequences, a power of two, whose plain attention runs with a fused softmax. [sequences]"""
    multiple = 1.0 if profile.flash_attention else SOFTMAX_MULTIPLE.get(profile.software, 1.0)
    return next((b for b in (1.0, 2.0, 4.0) if heads * b % multiple == 0), 1.0)


def usual_expert_split(row: dict[str, Any], profile: Profile, shape: Shape) -> float:
    """Tensor-parallel degree of the experts of a row that states none; 0 means as the rest.

    Megatron-Core splits experts as it splits the rest unless it is told otherwise (``expert_tensor_parallel_size``), as
    Megatron-Bridge's recipes and those of DeepSeek-V3 do. Others keep them whole.
    """
    if number(row["ep"], 1) <= 1:
        return 0.0
    told = BRIDGE in text(row["framework"]) or float(transformer.is_latent(shape)) > 0
    return 0.0 if profile.software == "megatron" and not told else 1.0


def usual_degrees(row: dict[str, Any], profile: Profile, shape: Shape, device: Device) -> tuple[float, float]:
    """Tensor- and pipeline-parallel degrees of a row that states none: the smallest that hold the states.

    Weights and gradients (6 B per parameter) are split by both degrees, optimizer states (12 B) also over data parallelism;
    six tenths of the memory are left to them. Frozen weights in the matmuls' format share the memory with one sequence. FSDP stacks use neither. Where a row says that it
    did not split sequences and has fewer of them than accelerators, the rest is tensor and pipeline parallelism.
    """
    if not (empty(row["tp"]) and empty(row["pp"])) or profile.zero_stage >= 3:
        return 1.0, 1.0
    gpus, total = number(row["n_gpus"], 1), float(transformer.parameters(shape))
    kept, shared = _state_bytes(row, device)
    room, needed = 0.6 * float(device.memory_capacity) - shared * total / gpus, kept * total
    if is_lora(row):
        room = float(device.memory_capacity)
        needed += (
            KEPT_FROZEN_BYTES
            * float(shape.num_hidden_layers * shape.hidden_size)
            * number(row["seq_len"], 2048)
        )
    split = 2.0 ** np.ceil(np.log2(max(needed / max(room, 1.0), 1.0)))
    if not empty(row["cp"]):  # replicas that have no sequence of their own work on those of others
        split = max(split, gpus / (number(row["cp"], 1) * number(row["global_batch_seqs"], 1)))
    split = min(split, 2.0 ** np.floor(np.log2(max(gpus, 1.0))))
    tp = min(split, 8.0, float(device.link_domain))
    return tp, max(split / tp, 1.0)


def _state_bytes(row: dict[str, Any], device: Device) -> tuple[float, float]:
    """Bytes per parameter that every replica keeps, and that replicas share: frozen weights have the matmuls' width, or 4 bits."""
    if is_qlora(row):
        return NF4_BYTES, 0.0
    return (float(device.operand_bytes), 0.0) if is_lora(row) else (6.0, 12.0)


def is_qlora(row: dict[str, Any]) -> int:
    """Whether the frozen weights below the adapters are kept in 4 bits, written into the model column as a word, QLoRA.

    Examples
    --------
    >>> is_qlora({"model_name": "Llama-3-8B QLoRA"}), is_qlora({"model_name": "Llama-3-8B LoRA"})
    (1, 0)
    """
    return int(is_lora(row) and re.search(r"qlora(?![a-z])", text(row["model_name"])) is not None)


def is_lora(row: dict[str, Any]) -> int:
    """Adapters on frozen weights are a different training, which the table writes into the model column as a word, LoRA."""
    return int(
        re.search(r"(?<![a-z])(?<!no )(?<!without )q?lora(?![a-z])", text(row["model_name"])) is not None
    )
