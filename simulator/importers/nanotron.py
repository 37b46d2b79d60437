"""nanotron's YAML: ``model.model_config`` in Hugging Face's names, ``parallelism`` and ``tokens`` [1]_.

References
----------
.. [1] https://github.com/huggingface/nanotron, ``examples/*.yaml`` and ``src/nanotron/config/``, read 2026-11.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from simulator.errors import SpecError
from simulator.importers import huggingface
from simulator.importers.kept import kept, longest
from simulator.importers.ledger import Imported, Ledger, check_gpus, flatten
from simulator.importers.sizedmodel import model_data
from simulator.importers.unmodelled import BUFFERS, TP_OVERLAP, WIDTHS

KIND = "nanotron"

IGNORABLE = """
checkpoints.* data_stages general.* lighteval* logging.* metrics_logging* profiler* tokenizer.* s3_upload*
model.init_method.std model.init_method.scaling_method model.init_method.use_mup model.model_config.*
optimizer.clip_grad optimizer.learning_rate_scheduler.* optimizer.optimizer_factory.adam_* optimizer.weight_decay*
optimizer.optimizer_factory.torch_adam_is_fused tokens.limit_* tokens.val_check_interval
""".split()

UNMODELLED = {
    "parallelism.tp_linear_async_communication": TP_OVERLAP,
    "parallelism.tp_recompute_allgather": "memory assumes what the calibration's runs keep of gathered inputs",
    "optimizer.accumulate_grad_in_fp32": WIDTHS,
    "model.ddp_bucket_cap_mb": BUFFERS,
}
"""Keys that time or memory depends on and a scenario does not hold, with what is assumed whatever they say."""

DTYPES = {"bfloat16": "bf16", "float16": "fp16", "float32": "fp32", "double": "fp32"}


def read_mapping(data: Mapping[str, Any], *, file: str = "", n_gpus: int | None = None) -> Imported:
    """A scenario from nanotron's YAML, already parsed.

    Examples
    --------
    >>> read = read_mapping({"parallelism": {"dp": 2, "tp": 2, "pp": 1, "tp_mode": "REDUCE_SCATTER"},
    ...     "tokens": {"micro_batch_size": 2, "batch_accumulation_per_replica": 4, "sequence_length": 256}})
    >>> read.data["hardware"], read.data["training"]["global_batch_size"], read.data["parallelism"]["sequence_parallel"]
    ({'n_gpus': 4}, 16, True)
    """
    book = Ledger(KIND, flatten(data), file=file, ignorable=IGNORABLE, unmodelled=UNMODELLED)
    book.data["name"] = "imported from nanotron"
    model = data.get("model")
    _model(book, model.get("model_config") if isinstance(model, Mapping) else None)
    _parallelism(book, n_gpus)
    _training(book)
    if (path := book.raw("model.init_method.path")) is not None:
        book.put("training.from_pretrained", True, f"model.init_method.path {path}")
    book.data["software"] = "nanotron"
    return book.close()


def _model(book: Ledger, config: Any) -> None:
    if not isinstance(config, Mapping):
        book.lack("model: the file has no model.model_config")
        return
    kind = (
        "starcoder2"
        if config.get("is_starcoder2_config")
        else "qwen2"
        if config.get("is_qwen2_config")
        else "llama"
    )
    book.used.update(name for name in book.flat if name.startswith("model.model_config.moe_config"))
    filled = {"attention_bias": False, **config, "model_type": kind if kind != "qwen2" else "llama"}
    try:
        sizes = dict(huggingface.read_config(filled))
    except SpecError as error:
        book.problems += error.problems
        return
    moe = config.get("moe_config")
    if isinstance(moe, Mapping):
        _experts(book, moe, sizes)
    if kind == "qwen2" and config.get("attention_bias"):
        sizes["attention_output_bias"] = 0
    carried = {
        name: value for name, value in kept(config).items() if name not in ("bos_token_id", "eos_token_id")
    }
    more = {"config": carried, "max_position_embeddings": longest(config, sizes)}
    written = model_data(sizes, **{name: value for name, value in more.items() if value})
    book.put("model", written, f"model.model_config ({kind})")
    if not config.get("tie_word_embeddings") and "tie_word_embeddings" not in config:
        book.assumed.append("model.tie_word_embeddings = false: the default of nanotron")
    divisor = book.number("model.make_vocab_size_divisible_by") or 1
    tp = book.number("parallelism.tp") or 1
    if sizes["vocab_size"] % (divisor * tp):
        book.doubt(
            f"model.make_vocab_size_divisible_by {divisor}: nanotron pads the vocabulary to it times tp"
        )


def _experts(book: Ledger, moe: Mapping[str, Any], sizes: dict[str, int]) -> None:
    inner = Ledger(KIND, moe)
    count, top = inner.number("num_experts"), inner.number("top_k", "num_experts_per_token")
    width = inner.number("moe_intermediate_size")
    book.problems += inner.problems
    if not count or not top:
        book.lack("model.num_experts: model_config.moe_config names no num_experts or top_k")
        return
    if width is None:
        width = sizes["intermediate_size"]
        book.assumed.append(f"model.moe_intermediate_size = {width}: moe_config names none")
    shared = inner.number("shared_expert_intermediate_size")
    if inner.flag("enable_shared_expert") and shared is None:
        shared = width
        book.assumed.append(f"model.shared_expert_intermediate_size = {width}: moe_config names none")
    sizes |= {
        "num_experts": count,
        "num_experts_per_tok": top,
        "moe_intermediate_size": width,
        "shared_expert_intermediate_size": shared if shared and inner.flag("enable_shared_expert") else 0,
    }


def _parallelism(book: Ledger, given: int | None) -> None:
    stated = 1
    for ours, theirs in (("dp", "dp"), ("tp", "tp"), ("pp", "pp"), ("cp", "context_parallel_size")):
        default = 1 if ours == "cp" else None
        degree = book.whole(f"parallelism.{ours}", f"parallelism.{theirs}", default=default)
        if degree is None:
            book.lack(f"parallelism.{ours}: the file has no parallelism.{theirs}")
        stated *= degree or 1
    model = book.data.get("model")
    if isinstance(model, Mapping) and model.get("num_experts"):
        book.whole("parallelism.ep", "parallelism.expert_parallel_size", default=1)
    else:
        book.number("parallelism.expert_parallel_size")
    engine = str(book.raw("parallelism.pp_engine") or "afab")
    if engine in ("1f1b", "afab"):
        book.put("parallelism.schedule", "1f1b" if engine == "1f1b" else "gpipe", f"pp_engine {engine}")
    else:
        book.doubt(f"parallelism.pp_engine {engine}")
    mode = str(book.raw("parallelism.tp_mode") or "ALL_REDUCE").upper()
    sharded = mode == "REDUCE_SCATTER" and (book.at("parallelism.tp") or 1) > 1
    book.put("parallelism.sequence_parallel", sharded, f"tp_mode {mode}")
    book.whole("parallelism.zero_stage", "optimizer.zero_stage", default=0, low=0)
    if book.flag("parallelism.moe_layer_recompute"):
        book.doubt("parallelism.moe_layer_recompute: experts alone are not recomputed here")
    n_gpus = check_gpus(book, stated, given=given)
    book.put("hardware.n_gpus", n_gpus, "product of the degrees")


def _training(book: Ledger) -> None:
    book.whole("training.seq_length", "tokens.sequence_length")
    micro = book.whole("training.micro_batch_size", "tokens.micro_batch_size")
    again = book.number("tokens.batch_accumulation_per_replica")
    dp = book.at("parallelism.dp")
    if micro and again and dp:
        book.put("training.global_batch_size", micro * again * dp, f"micro-batch {micro} x {again} x dp {dp}")
    book.whole("training.steps", "tokens.train_steps")
    name = str(book.raw("model.dtype") or "bfloat16").removeprefix("torch.")
    if name in DTYPES:
        book.put("training.precision", DTYPES[name], f"model.dtype {name}")
    else:
        book.doubt(f"model.dtype {name}")
    whole = book.flag("parallelism.recompute_layer") or False
    book.put("training.recompute", "full" if whole else "none", f"recompute_layer {str(whole).lower()}")
    optimizer = str(book.raw("optimizer.optimizer_factory.name") or "adamW").lower()
    if optimizer in ("adamw", "sgd"):
        book.put("training.optimizer", optimizer, f"optimizer_factory.name {optimizer}")
    else:
        book.doubt(f"optimizer.optimizer_factory.name {optimizer}")
