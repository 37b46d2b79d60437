"""torchtitan's TOML: its job configuration with ``[model] [training] [parallelism]`` [1]_.

The sizes of a model stand in torchtitan's program, under ``name`` and ``flavor``; `FLAVORS` names the same sizes here.

References
----------
.. [1] https://github.com/pytorch/torchtitan, ``torchtitan/models/*/train_configs/*.toml`` and
   ``torchtitan/models/*/__init__.py``, read 2026-11.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from simulator.importers.ledger import Imported, Ledger, check_gpus, data_parallel, flatten
from simulator.importers.torchtitan_stages import PLACES, read_schedule
from simulator.importers.unmodelled import KERNELS, TP_OVERLAP, WIDTHS

KIND = "torchtitan"

FLAVORS = {
    ("llama2", "7B"): "llama-2-7b",
    ("llama2", "13B"): "llama-2-13b",
    ("llama2", "70B"): "llama-2-70b",
    ("llama3", "8B"): "llama-3.1-8b",
    ("llama3", "70B"): "llama-3.1-70b",
    ("llama3", "405B"): "llama-3.1-405b",
    ("deepseek_v3", "16B"): "deepseek-v2-lite",
    ("deepseek_v3", "236B"): "deepseek-v2",
    ("deepseek_v3", "671B"): "deepseek-v3",
}
"""Name and flavor in torchtitan's program, to the id of a model with the same sizes."""

IGNORABLE = """
job.* profiling.* metrics.* checkpoint.* comm.* fault_tolerance.* validation.* debug.* experimental.custom_* memory_estimation.*
model.tokenizer_path model.hf_assets_path model.norm_type model.print_after_conversion
optimizer.lr optimizer.eps optimizer.beta* optimizer.weight_decay optimizer.fused optimizer.foreach optimizer.implementation
lr_scheduler.* training.max_norm training.dataset* training.warmup_steps training.seed
training.gc_freq training.gc_debug training.data_parallel_type activation_checkpoint.early_stop compile.*
training.enable_cpu_offload_false
""".split()

UNMODELLED = {
    "parallelism.enable_async_tensor_parallel experimental.enable_async_tensor_parallel": TP_OVERLAP,
    "training.mixed_precision_reduce": WIDTHS,
    "float8.* mx.* quantize.* training.deterministic parallelism.context_parallel_rotate_method "
    "parallelism.enable_compiled_autograd parallelism.enable_approx_mid_stage_split": KERNELS,
    "activation_checkpoint.selective_ac_option activation_checkpoint.per_op_*": "selective recomputation is assumed as it is by "
    "default: every second matmul and fused attention are kept",
    "parallelism.disable_loss_parallel": "memory and clock assume the logits split over the tensor-parallel ranks",
    "parallelism.fsdp_reshard_after_forward": "weights are assumed to be freed after the forward pass, and gathered again",
}
"""Keys that time or memory depends on and a scenario does not hold, with what is assumed whatever they say."""

COMM_BACKEND = "parallelism.expert_parallel_comm_backend"
DISPATCHERS = {"standard": "alltoall", "deepep": "deepep"}
"""Backends of the exchange between experts, and what a scenario calls them."""


def read_mapping(
    data: Mapping[str, Any], *, file: str = "", n_gpus: int | None = None, layers: int | None = None
) -> Imported:
    """A scenario from torchtitan's TOML, already parsed; `layers` are those of a model that is not known by its name.

    Examples
    --------
    >>> read = read_mapping({"model": {"name": "llama3", "flavor": "8B"}, "training": {"local_batch_size": 2,
    ...     "seq_len": 8192, "steps": 1000}, "parallelism": {"data_parallel_shard_degree": -1}}, n_gpus=8)
    >>> read.data["model"], read.data["training"]["global_batch_size"], read.data["parallelism"]["zero_stage"]
    ('llama-3.1-8b', 16, 3)
    """
    book = Ledger(KIND, flatten(data), file=file, ignorable=IGNORABLE, unmodelled=UNMODELLED)
    book.data["name"] = "imported from torchtitan"
    _model(book)
    _parallelism(book, layers)
    n_gpus = _accelerators(book, n_gpus)
    _training(book, n_gpus)
    if book.flat.get("parallelism.fsdp_reshard_after_forward") == "never":
        book.raw("parallelism.fsdp_reshard_after_forward")
        book.against(
            "parallelism.fsdp_reshard_after_forward never: weights are assumed to be freed after the forward pass"
        )
    if book.flat.get("parallelism.disable_loss_parallel") is True:
        book.raw("parallelism.disable_loss_parallel")
        book.against(
            "parallelism.disable_loss_parallel true: the logits are assumed to be split over the tensor-parallel ranks"
        )
    if (path := book.raw("checkpoint.initial_load_path")) is not None:
        book.put("training.from_pretrained", True, f"checkpoint.initial_load_path {path}")
    book.data["software"] = "torchtitan"
    return book.close()


def _model(book: Ledger) -> None:
    name, flavor = book.raw("model.name"), book.raw("model.flavor")
    found = FLAVORS.get((str(name), str(flavor)))
    if found is not None:
        book.put("model", found, f"model.name {name}, model.flavor {flavor}")
    else:
        known = ", ".join(" ".join(pair) for pair in FLAVORS)
        book.lack(
            f"model: the sizes of {name} {flavor} stand in torchtitan's program; write model: <id> or --set "
            f"model=<id> (known: {known})"
        )


def _degree(book: Ledger, ours: str, name: str) -> int | None:
    """A degree under its places over the years: [parallelism], [experimental], [training]."""
    return book.whole(f"parallelism.{ours}", *(f"{place}.{name}" for place in PLACES), default=1)


def _parallelism(book: Ledger, layers: int | None) -> None:
    tp = _degree(book, "tp", "tensor_parallel_degree")
    pp = _degree(book, "pp", "pipeline_parallel_degree")
    _degree(book, "cp", "context_parallel_degree")
    if (ep := book.number("parallelism.expert_parallel_degree")) and ep > 1:
        book.put("parallelism.ep", ep, f"parallelism.expert_parallel_degree {ep}")
        _degree(book, "etp", "expert_tensor_parallel_degree")
        _dispatcher(book)
    else:
        book.raw(COMM_BACKEND)
        book.number("parallelism.expert_tensor_parallel_degree")
    if (tp or 1) > 1:
        book.assume("parallelism.sequence_parallel", True, "torchtitan's tensor parallel always shards it")
    read_schedule(book, pp or 1, layers)
    name, shard = book.find(
        *(f"{place}.data_parallel_shard_degree" for place in PLACES), "training.data_parallel_degree"
    )
    if shard is None:
        book.assume("parallelism.zero_stage", 3, "data_parallel_shard_degree is -1 by default")
    else:
        book.put("parallelism.zero_stage", 0 if shard == 1 else 3, f"{name} {shard}")


def _dispatcher(book: Ledger) -> None:
    """How tokens reach their experts; ``standard`` is an all-to-all of every copy."""
    backend = book.raw(COMM_BACKEND)
    if backend in DISPATCHERS:
        book.put("parallelism.dispatcher", DISPATCHERS[backend], f"{COMM_BACKEND} {backend}")
    elif backend is not None:
        book.doubt(f"{COMM_BACKEND} {backend}")


def _accelerators(book: Ledger, given: int | None) -> int | None:
    shard = book.number(
        *(f"{place}.data_parallel_shard_degree" for place in PLACES), "training.data_parallel_degree"
    )
    replicate = book.number(*(f"{place}.data_parallel_replicate_degree" for place in PLACES)) or 1
    stated = None
    if shard is not None and shard > 0:
        stated = shard * replicate
        for name in ("tp", "pp", "cp"):
            stated *= book.at(f"parallelism.{name}") or 1
    n_gpus = check_gpus(book, stated, given=given)
    if n_gpus is None:
        book.lack(
            "hardware.n_gpus: data_parallel_shard_degree is -1, all that is left; name --hardware NAME:COUNT"
        )
    else:
        book.put("hardware.n_gpus", n_gpus, "product of the degrees" if given is None else "--hardware")
    if replicate > 1 and shard != 1:
        ranks = data_parallel(book, n_gpus)
        group = (ranks or 0) // replicate or (shard or 0)
        if ranks is not None and ranks % replicate:
            book.doubt(
                f"data_parallel_replicate_degree {replicate}: does not divide {ranks} data-parallel ranks"
            )
        elif group > 0:
            group *= book.at("parallelism.cp") or 1
            book.put(
                "parallelism.shard_group",
                group,
                f"data_parallel_replicate_degree {replicate}: hybrid sharding",
            )
        else:
            book.lack(
                "parallelism.shard_group: it follows from the number of accelerators; name --hardware NAME:COUNT"
            )
    return n_gpus


def _training(book: Ledger, n_gpus: int | None) -> None:
    book.whole("training.seq_length", "training.seq_len", default=2048)
    local = book.number("training.local_batch_size", "training.batch_size")
    name, total = "training.global_batch_size", book.number("training.global_batch_size")
    dp = data_parallel(book, n_gpus)
    pipelined = (book.at("parallelism.pp") or 1) > 1
    if pipelined:
        book.whole("training.micro_batch_size", "parallelism.pipeline_parallel_microbatch_size", default=1)
    elif local:
        book.put("training.micro_batch_size", local, f"training.local_batch_size {local}")
    if total is not None and total > 0:
        book.put(name, total, f"{name} {total}")
    elif local and dp:
        book.put(name, local * dp, f"local_batch_size {local} x {dp} data-parallel ranks")
    elif local:
        book.lack(f"{name}: {local} x data-parallel ranks, which the file does not say")
    book.whole("training.steps", "training.steps")
    _numbers(book)
    mode = str(book.raw("activation_checkpoint.mode") or "selective")
    if mode in ("none", "selective", "full"):
        book.put("training.recompute", mode, f"activation_checkpoint.mode {mode}")
    else:
        book.doubt(f"activation_checkpoint.mode {mode}")
    optimizer = str(book.raw("optimizer.name") or "AdamW")
    if optimizer.lower() in ("adam", "adamw"):
        book.put("training.optimizer", "adamw", f"optimizer.name {optimizer}")
    else:
        book.doubt(f"optimizer.name {optimizer}")
    if book.flag("training.enable_cpu_offload"):
        book.doubt("training.enable_cpu_offload: offloading to the host is not modelled")


def _numbers(book: Ledger) -> None:
    converters = book.raw("model.converters") or []
    names = converters if isinstance(converters, list) else str(converters).split(",")
    eight = bool(book.flag("float8.enable_float8_linear")) or any(
        n.strip() in ("float8", "mx", "quantize.dense.float8") for n in map(str, names)
    )
    if eight:
        book.put("training.precision", "fp8", f"model.converters {converters or 'float8'}")
    else:
        wide = str(book.raw("training.mixed_precision_param") or "bfloat16")
        ours = {"bfloat16": "bf16", "float32": "fp32"}.get(wide, "bf16")
        book.put("training.precision", ours, f"mixed_precision_param {wide}")
    compiled = book.flag("training.compile")
    if compiled is None:
        components = book.raw("compile.components")
        whole = components is None or "model" in str(components)
        compiled = bool(book.flag("compile.enable")) and whole
    book.put("training.compile", compiled, "compile")
