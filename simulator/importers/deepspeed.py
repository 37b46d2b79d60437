"""DeepSpeed's JSON: batch, precision and ZeRO stage; the model and the sequence length stand elsewhere [1]_.

References
----------
.. [1] https://www.deepspeed.ai/docs/config-json/, read 2026-11.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from simulator.importers.ledger import Imported, Ledger, check_gpus, flatten
from simulator.importers.unmodelled import BUFFERS, GRADIENTS, WIDTHS

KIND = "deepspeed"

IGNORABLE = """
steps_per_print wall_clock_breakdown gradient_clipping prescale_gradients gradient_predivide_factor sparse_gradients
zero_allow_untested_optimizer zero_force_ds_cpu_optimizer dump_state comms_logger.* flops_profiler.* tensorboard.* wandb.* csv_monitor.*
zero_optimization.stage3_gather_16bit_weights_on_model_save zero_optimization.stage3_gather_fp16_weights_on_model_save
zero_optimization.ignore_unused_parameters zero_optimization.elastic_checkpoint zero_optimization.load_from_fp32_weights
fp16.loss_scale* fp16.hysteresis fp16.min_loss_scale fp16.initial_scale_power fp16.auto_cast fp16.consecutive_hysteresis
optimizer.params.* scheduler.* aio.* checkpoint.* activation_checkpointing.* zero_optimization.gather_16bit_weights_on_model_save
expert_parallel.load_balance_coeff
""".split()

UNMODELLED = {
    "zero_optimization.overlap_comm": GRADIENTS,
    "fp16.fp16_master_weights_and_grads *communication_data_type data_types.*": WIDTHS,
    "zero_optimization.allgather_* zero_optimization.reduce_* zero_optimization.contiguous_gradients zero_optimization.stage3_* "
    "zero_optimization.sub_group_size zero_optimization.round_robin_gradients": BUFFERS,
}
"""Keys that time or memory depends on and a scenario does not hold, with what is assumed whatever they say."""


def read_mapping(data: Mapping[str, Any], *, file: str = "", n_gpus: int | None = None) -> Imported:
    """A scenario from DeepSpeed's JSON, already parsed.

    Examples
    --------
    >>> read = read_mapping({"train_batch_size": 256, "train_micro_batch_size_per_gpu": 8, "zero_optimization":
    ...                      {"stage": 3}, "bf16": {"enabled": True}})
    >>> read.data["parallelism"], read.data["training"]["global_batch_size"], len(read.missing)
    ({'zero_stage': 3}, 256, 3)
    """
    book = Ledger(KIND, flatten(data), file=file, ignorable=IGNORABLE, unmodelled=UNMODELLED)
    book.data["name"] = "imported from DeepSpeed"
    _batch(book, n_gpus)
    _states(book)
    _numbers(book)
    if any(name.startswith("activation_checkpointing.") for name in book.flat):
        book.doubt(
            "activation_checkpointing: the model decides whether it recomputes; write training.recompute"
        )
    book.data["software"] = "deepspeed"
    book.lack("model: a DeepSpeed file has no sizes; write model: <id> or --set model=<id>")
    book.lack("training.seq_length: a DeepSpeed file has none; 4,096 holds until you write it")
    return book.close()


def _auto(book: Ledger, name: str) -> int | None:
    """A number, or nothing where the file says ``auto``."""
    return None if book.raw(name) == "auto" else book.number(name)


def _left(book: Ledger, names: tuple[str, ...]) -> None:
    """Say what is left to the planner: what is ``auto`` and does not follow from the rest of the file."""
    for name in names:
        if book.raw(name) == "auto":
            book.doubt(f"{name} = auto: left to the planner")


def _batch(book: Ledger, given: int | None) -> None:
    total = _auto(book, "train_batch_size")
    micro = _auto(book, "train_micro_batch_size_per_gpu")
    again = _auto(book, "gradient_accumulation_steps")
    tp = _auto(book, "tensor_parallel.autotp_size")
    if tp:
        book.put("parallelism.tp", tp, f"tensor_parallel.autotp_size {tp}")
    if book.flag("expert_parallel.enabled") and (ep := _auto(book, "expert_parallel.autoep_size")):
        book.put("parallelism.ep", ep, f"expert_parallel.autoep_size {ep}")
    if (preset := book.raw("expert_parallel.preset_model")) is not None:
        book.doubt(f"expert_parallel.preset_model = {preset}: write model: <id>")
    stated = None
    if total and micro and again:
        if total % (micro * again):
            book.fail("train_batch_size", f"{total} is not a multiple of {micro} x {again}")
        else:
            stated = total // micro // again * (tp or 1)
    n_gpus = check_gpus(book, stated, given=given)
    if n_gpus is None:
        book.lack("hardware.n_gpus: it does not follow from the batch; name --hardware NAME:COUNT")
    else:
        followed = "train_batch_size / micro-batch / accumulation"
        book.put("hardware.n_gpus", n_gpus, "--hardware" if stated is None else followed)
    _figures(book, total, micro, again, (n_gpus or 0) // (tp or 1))
    _left(book, ("tensor_parallel.autotp_size", "expert_parallel.autoep_size"))


def _figures(book: Ledger, total: int | None, micro: int | None, again: int | None, ranks: int) -> None:
    """The batch and its parts: any one that is absent follows from the other two and the data-parallel ranks."""
    left = []
    if total:
        book.put("training.global_batch_size", total, f"train_batch_size {total}")
    elif micro and again and ranks:
        source = (
            f"train_micro_batch_size_per_gpu {micro} x gradient_accumulation_steps {again} x {ranks} ranks"
        )
        book.put("training.global_batch_size", micro * again * ranks, source)
    else:
        left.append("train_batch_size")
    if micro:
        book.put("training.micro_batch_size", micro, f"train_micro_batch_size_per_gpu {micro}")
    elif total and again and ranks and total % (again * ranks) == 0:
        source = f"train_batch_size {total} / gradient_accumulation_steps {again} / {ranks} ranks"
        book.put("training.micro_batch_size", total // again // ranks, source)
    else:
        left.append("train_micro_batch_size_per_gpu")
    if not (total and micro):
        left.append("gradient_accumulation_steps")
    _left(book, tuple(left))


def _states(book: Ledger) -> None:
    stage = book.raw("zero_optimization.stage")
    if isinstance(stage, bool) or stage not in (None, 0, 1, 2, 3):
        book.fail("zero_optimization.stage", f"{stage!r} is not 0, 1, 2 or 3")
        return
    if stage is None:
        book.assume("parallelism.zero_stage", 0, "the default of zero_optimization.stage")
    else:
        book.put("parallelism.zero_stage", stage, f"zero_optimization.stage {stage}")
    if book.flat.get("zero_optimization.overlap_comm") is False:
        book.raw("zero_optimization.overlap_comm")
        book.against(f"zero_optimization.overlap_comm false: {GRADIENTS}; without it a step is longer")
    for part in ("optimizer", "param"):
        device = book.raw(f"zero_optimization.offload_{part}.device")
        for name in list(book.flat):
            if name.startswith(f"zero_optimization.offload_{part}"):
                book.used.add(name)
        if device not in (None, "none"):
            book.doubt(f"zero_optimization.offload_{part} to {device}: offloading is not modelled")
    if (size := book.number("zero_optimization.mics_shard_size")) and size > 1:
        book.put("parallelism.shard_group", size, f"zero_optimization.mics_shard_size {size}")
    if (size := book.number("zero_optimization.zero_hpz_partition_size")) and size > 1:
        book.doubt(
            f"zero_optimization.zero_hpz_partition_size {size}: a second copy of the weights per node is not modelled"
        )


def _numbers(book: Ledger) -> None:
    for ours, name in (("bf16", "bf16"), ("bf16", "bfloat16"), ("fp16", "fp16")):
        enabled = book.raw(f"{name}.enabled")
        if enabled == "auto":
            book.doubt(f"{name}.enabled = auto: bf16 holds until you write training.precision")
        elif enabled is True and book.at("training.precision") is None:
            book.put("training.precision", ours, f"{name}.enabled")
    if book.at("training.precision") is None and not any("auto" in each for each in book.unsure):
        book.assume("training.precision", "fp32", "neither bf16 nor fp16 is enabled")
    kind = book.raw("optimizer.type")
    if kind is None:
        return
    names = {
        "adam": "adamw",
        "adamw": "adamw",
        "fusedadam": "adamw",
        "cpuadam": "adamw",
        "lion": "lion",
        "fusedlion": "lion",
        "sgd": "sgd_momentum" if book.raw("optimizer.params.momentum") else "sgd",
        "muon": "muon",
    }
    if str(kind).lower() in names:
        book.put("training.optimizer", names[str(kind).lower()], f"optimizer.type {kind}")
    else:
        book.doubt(f"optimizer.type {kind}")
