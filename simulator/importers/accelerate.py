"""Accelerate's YAML of ``accelerate config``: processes, precision and how they share the model; no model and no batch [1]_.

References
----------
.. [1] https://github.com/huggingface/accelerate, ``src/accelerate/utils/dataclasses.py``, ``examples/config_yaml_templates`` and
   ``tests/test_configs``, read 2026-11.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from simulator.importers.ledger import Imported, Ledger, check_gpus, flatten
from simulator.importers.unmodelled import BUFFERS, WIDTHS

KIND = "accelerate"

IGNORABLE = """
compute_environment debug machine_rank main_process_* main_training_function rdzv_* same_network tpu_* use_cpu gpu_ids
enable_cpu_affinity downcast_bf16 commands command_file dynamo_config.* deepspeed_config.zero3_* deepspeed_config.deepspeed_hostfile
deepspeed_config.deepspeed_multinode_launcher deepspeed_config.deepspeed_moe_layer_cls_names deepspeed_config.gradient_clipping
fsdp_config.fsdp_state_dict_type fsdp_config.fsdp_sync_module_states fsdp_config.fsdp_use_orig_params fsdp_config.fsdp_version
fsdp_config.fsdp_cpu_ram_efficient_loading fsdp_config.fsdp_auto_wrap_policy fsdp_config.fsdp_transformer_layer_cls_to_wrap
fsdp_config.fsdp_min_num_params mpirun_config.* ipex_config.*
""".split()

UNMODELLED = {
    "fsdp_config.fsdp_backward_prefetch* fsdp_config.fsdp_forward_prefetch fsdp_config.fsdp_limit_all_gathers": BUFFERS,
    "fp8_config.*": WIDTHS,
}
"""Keys that time or memory depends on and a scenario does not hold, with what is assumed whatever they say."""

PRECISIONS = {"no": "fp32", "bf16": "bf16", "fp16": "fp16", "fp8": "fp8"}
"""Words of ``mixed_precision``."""

SHARDING = ("FULL_SHARD", "SHARD_GRAD_OP", "NO_SHARD", "HYBRID_SHARD", "HYBRID_SHARD_ZERO2")
"""Strategies of FSDP in PyTorch's order, which numbers them from 1."""

STAGES = dict(zip(SHARDING, (3, 2, 0, 3, 2), strict=True))
"""Strategies as ZeRO stages."""

SOFTWARE = {"FSDP": "fsdp", "DEEPSPEED": "deepspeed", "MULTI_GPU": "hf", "NO": "hf"}
"""What shares the model, as the software of a scenario; the last two keep it whole in every process."""


def read_mapping(data: Mapping[str, Any], *, file: str = "", n_gpus: int | None = None) -> Imported:
    """A scenario from Accelerate's YAML, already parsed.

    Examples
    --------
    >>> read = read_mapping({"distributed_type": "FSDP", "num_machines": 2, "num_processes": 16, "mixed_precision": "bf16",
    ...                      "fsdp_config": {"fsdp_sharding_strategy": "HYBRID_SHARD"}})
    >>> read.data["parallelism"], read.data["training"], read.data["software"]
    ({'zero_stage': 3, 'shard_group': 8, 'tp': 1, 'pp': 1}, {'precision': 'bf16'}, 'fsdp')
    """
    book = Ledger(KIND, flatten(data), file=file, ignorable=IGNORABLE, unmodelled=UNMODELLED)
    book.data["name"] = "imported from Accelerate"
    _machines(book)
    count = check_gpus(book, book.number("num_processes"), given=n_gpus)
    if count is None:
        book.lack("hardware.n_gpus: the file has no num_processes; name --hardware NAME:COUNT")
    else:
        book.put("hardware.n_gpus", count, f"num_processes {count}")
    _precision(book)
    kind = str(book.raw("distributed_type") or "NO").upper()
    if kind not in SOFTWARE:
        book.fail("distributed_type", f"{kind} is not read here; {', '.join(SOFTWARE)} are")
        return book.close()
    {"FSDP": _fsdp, "DEEPSPEED": _deepspeed}.get(kind, _whole)(book, count)
    book.data["software"] = SOFTWARE[kind]
    book.assumed.append(f"software = {SOFTWARE[kind]}: distributed_type {kind}")
    book.lack("model: the file has no sizes; write model: <id> or --set model=<id>")
    book.lack("training.seq_length: the file has none; 4,096 holds until you write it")
    if book.at("training.global_batch_size") is None:
        book.lack("training.global_batch_size: the batch stands in the training program; left to the planner")
    return book.close()


def _precision(book: Ledger) -> None:
    word = book.raw("mixed_precision")
    if word is None:
        book.assume("training.precision", "fp32", "the default of Accelerate's mixed_precision")
        return
    word = "no" if word is False else str(word).lower()  # YAML 1.1 reads a bare no as false
    if word in PRECISIONS:
        book.put("training.precision", PRECISIONS[word], f"mixed_precision {word}")
    else:
        book.doubt(f"mixed_precision {word}")


def _machines(book: Ledger) -> int:
    """Nodes of the run. [-]"""
    return book.number("num_machines") or 1


def _whole(book: Ledger, count: int | None) -> None:
    """Every process keeps the whole model."""
    for name in ("zero_stage", "tp", "pp"):
        book.assume(f"parallelism.{name}", int(name != "zero_stage"), "every process keeps the whole model")
    _recompute(book, again=False)


def _recompute(book: Ledger, *, again: bool) -> None:
    """Recomputation where the file asks for it; the training program may ask as well."""
    if again:
        book.put("training.recompute", "full", "fsdp_activation_checkpointing true")
    else:
        book.lack(
            "training.recompute: the training program decides (gradient_checkpointing); left to the planner"
        )


# --- FSDP -----------------------------------------------------------------------------------------------------------


def _fsdp(book: Ledger, count: int | None) -> None:
    _strategy(book, count)
    _degrees(book)
    if book.flag("fsdp_config.fsdp_offload_params"):
        book.doubt("fsdp_config.fsdp_offload_params: offloading is not modelled")
    _recompute(book, again=book.flag("fsdp_config.fsdp_activation_checkpointing") or False)


def _strategy(book: Ledger, count: int | None) -> None:
    """ZeRO stage and sharding group of a strategy; version 2 says whether weights are freed after the forward pass."""
    name, word = book.find("fsdp_config.fsdp_sharding_strategy", "fsdp_config.fsdp_reshard_after_forward")
    text = {"TRUE": "FULL_SHARD", "FALSE": "SHARD_GRAD_OP"}.get(str(word).upper(), str(word).upper())
    text = SHARDING[int(text) - 1] if text.isdecimal() and 0 < int(text) <= len(SHARDING) else text
    text = text.lstrip("_")
    if word is None:
        book.assume("parallelism.zero_stage", 3, "FULL_SHARD is the default of Accelerate")
        return
    if text not in STAGES:
        book.doubt(f"{name} {word}")
        return
    book.put("parallelism.zero_stage", STAGES[text], f"{name} {word}")
    machines = _machines(book)
    if not text.startswith("HYBRID") or count is None:
        return
    if count % machines:
        book.fail("num_processes", f"{count} is not a multiple of num_machines {machines}")
    else:
        book.put("parallelism.shard_group", count // machines, f"{text} shards inside a node")


def _degrees(book: Ledger) -> None:
    """Degrees of ``parallelism_config``; without it all processes are data-parallel."""
    prefix = "parallelism_config.parallelism_config"
    sizes = {name: book.number(f"{prefix}_{name}_size") for name in "dp_replicate dp_shard tp cp".split()}
    for name in ("tp", "cp"):
        if (size := sizes[name]) is not None:
            book.put(f"parallelism.{name}", size, f"{prefix}_{name}_size {size}")
    if sizes["tp"] is None:
        book.assume("parallelism.tp", 1, "Accelerate's FSDP shards over data-parallel ranks only")
    book.assume("parallelism.pp", 1, "Accelerate's FSDP has no pipeline")
    if (sizes["dp_replicate"] or 1) > 1:
        group = (sizes["dp_shard"] or 1) * (sizes["cp"] or 1)
        book.put("parallelism.shard_group", group, f"{prefix}_dp_shard_size x cp, in replicas")
        if group == 1:
            book.put("parallelism.zero_stage", 0, f"{prefix}_dp_shard_size 1")


# --- DeepSpeed ------------------------------------------------------------------------------------------------------


def _deepspeed(book: Ledger, count: int | None) -> None:
    path = book.raw("deepspeed_config.deepspeed_config_file")
    stage = book.number("deepspeed_config.zero_stage")
    if path is not None:
        book.lack(f"parallelism.zero_stage: it stands in {path}, which can be imported by itself")
    elif stage is None:
        book.assume("parallelism.zero_stage", 2, "the default of Accelerate's zero_stage")
    elif stage in (0, 1, 2, 3):
        book.put("parallelism.zero_stage", stage, f"deepspeed_config.zero_stage {stage}")
    else:
        book.fail("deepspeed_config.zero_stage", f"{stage} is not 0, 1, 2 or 3")
    for part in ("optimizer", "param"):
        device = book.raw(f"deepspeed_config.offload_{part}_device")
        for name in [name for name in book.flat if name.startswith(f"deepspeed_config.offload_{part}")]:
            book.used.add(name)
        if device not in (None, "none"):
            book.doubt(f"deepspeed_config.offload_{part}_device {device}: offloading is not modelled")
    again = book.raw("deepspeed_config.gradient_accumulation_steps")
    if again is not None:
        book.doubt(
            f"deepspeed_config.gradient_accumulation_steps {again}: it needs the micro-batch of the training program"
        )
    book.assume("parallelism.tp", 1, "the file has no tensor parallelism")
    book.assume("parallelism.pp", 1, "the file has no pipeline")
    _recompute(book, again=False)
