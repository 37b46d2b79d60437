"""llm-foundry's YAML: an MPT model or a Hugging Face name, batch, and the sharding of FSDP [1]_.

References
----------
.. [1] https://github.com/mosaicml/llm-foundry, ``scripts/train/yamls/pretrain/*.yaml``, read 2026-11.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

from simulator.errors import SpecError
from simulator.importers import huggingface
from simulator.importers.ledger import Imported, Ledger, check_gpus, flatten
from simulator.importers.sizedmodel import model_data
from simulator.importers.unmodelled import BUFFERS, WIDTHS

KIND = "llm-foundry"

IGNORABLE = """
variables.* data_local data_remote global_seed seed run_name* tokenizer.* tokenizer_name train_loader.* eval_loader.* eval_loader
scheduler.* optimizer.lr optimizer.betas* optimizer.eps optimizer.weight_decay algorithms.* eval_* device_eval_batch_size
progress_bar log_to_console console_log_interval callbacks.* loggers.* save_* load_* dist_timeout autoresume python_log_level
model.init_device model.init_config.* model.loss_fn model.attn_config.* model.max_seq_len
model.use_cache model.logit_scale model.verbose model.fc_type* model.param_init_fn model.pretrained model.use_auth_token
model.config_overrides.torch_dtype expandable_segments
fsdp_config.activation_checkpointing_reentrant fsdp_config.verbose fsdp_config.state_dict_type fsdp_config.sync_module_states
fsdp_config.use_orig_params metadata.* icl_* max_seq_len accumulate_train_batch_on_tokens
""".split()

UNMODELLED = {
    "fsdp_config.mixed_precision": WIDTHS,
    "fsdp_config.limit_all_gathers fsdp_config.forward_prefetch fsdp_config.backward_prefetch": BUFFERS,
    "model.resid_pdrop model.emb_pdrop model.attn_config.attn_pdrop": "memory has no masks of dropout, and the clock no time for them",
}
"""Keys that time or memory depends on and a scenario does not hold, with what is assumed whatever they say."""

MODEL_KEYS = """
d_model n_heads n_layers expansion_ratio vocab_size no_bias norm_type tie_word_embeddings learned_pos_emb ffn_config.*
attn_config.alibi attn_config.rope* attn_config.attn_type attn_config.kv_n_heads attn_config.qk_ln attn_config.clip_qkv
""".split()
"""Keys of an MPT model that its sizes are made of."""

PRECISIONS = {"amp_bf16": "bf16", "amp_fp16": "fp16", "amp_fp8": "fp8", "fp32": "fp32"}
NODE = 8
"""Accelerators of the node that PyTorch's hybrid sharding takes as a group. [-]"""

SHARDING = {"FULL_SHARD": 3, "SHARD_GRAD_OP": 2, "NO_SHARD": 0, "HYBRID_SHARD": 3, "_HYBRID_SHARD_ZERO2": 2}


def interpolated(data: Mapping[str, Any]) -> dict[str, Any]:
    """``${name}`` replaced by the top-level value or variable of that name, as OmegaConf does.

    Examples
    --------
    >>> interpolated({"max_seq_len": 2048, "model": {"max_seq_len": "${max_seq_len}"}})["model"]
    {'max_seq_len': 2048}
    """
    variables = data.get("variables")
    known = {**data, **(variables if isinstance(variables, Mapping) else {})}

    def walk(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: walk(inner) for key, inner in value.items()}
        if isinstance(value, str) and (match := re.fullmatch(r"\$\{(?:variables\.)?(\w+)\}", value)):
            found = known.get(match[1])
            return found if not isinstance(found, (Mapping, list)) and found is not None else value
        return value

    return {key: walk(value) for key, value in data.items()}


def read_mapping(data: Mapping[str, Any], *, file: str = "", n_gpus: int | None = None) -> Imported:
    """A scenario from llm-foundry's YAML, already parsed.

    Examples
    --------
    >>> read = read_mapping({"max_seq_len": 2048, "model": {"name": "mpt_causal_lm", "d_model": 768, "n_heads": 12,
    ...     "n_layers": 12, "vocab_size": 50368}, "global_train_batch_size": 256, "max_duration": "4800ba"})
    >>> read.data["model"]["hidden_size"], read.data["training"]["steps"]
    (768, 4800)
    """
    data = interpolated(data)
    book = Ledger(KIND, flatten(data), file=file, ignorable=IGNORABLE, unmodelled=UNMODELLED)
    book.data["name"] = "imported from llm-foundry"
    model = data.get("model")
    _model(book, model if isinstance(model, Mapping) else {}, data)
    book.whole("training.seq_length", "max_seq_len", "model.max_seq_len")
    _batch(book)
    _duration(book)
    _sharding(book)
    n_gpus = check_gpus(book, None, given=n_gpus)
    if n_gpus is None:
        book.lack("hardware.n_gpus: composer takes it from the launcher; name --hardware NAME:COUNT")
    else:
        book.put("hardware.n_gpus", n_gpus, "--hardware")
    book.data["software"] = "llm-foundry"
    return book.close()


def _model(book: Ledger, model: Mapping[str, Any], data: Mapping[str, Any]) -> None:
    name = book.raw("model.name")
    if name == "hf_causal_lm":
        found = book.raw("model.pretrained_model_name_or_path")
        if book.flag("model.use_flash_attention_2"):
            book.put("training.flash_attention", True, "model.use_flash_attention_2 true")
        book.lack(
            f"model: the sizes are those of {found} on Hugging Face; --set model=<id> or its config.json"
        )
        return
    if name not in ("mpt_causal_lm", "mosaic_gpt"):
        book.lack(f"model: model.name {name} is not known; write model: <id>")
        return
    feed = model.get("ffn_config")
    feed = feed if isinstance(feed, Mapping) else {}
    filled = _filled(model, feed, data)
    try:
        sizes = dict(huggingface.read_config(filled))
    except SpecError as error:
        book.problems += error.problems
        return
    if feed.get("ffn_type") in ("mptglu", "torch_dmoe", "mb_moe", "mb_dmoe"):
        if feed["ffn_type"] != "mptglu":
            book.lack(f"model: ffn_type {feed['ffn_type']} is a mixture of experts, which is not read")
            return
        sizes["gated"] = 1
    if isinstance(feed.get("ffn_hidden_size"), int):
        sizes["intermediate_size"] = feed["ffn_hidden_size"]
    if "rmsnorm" in str(model.get("norm_type", "")):
        sizes["norm_parameters"] = 1
    sizes["rotary"] = int(bool(filled["attn_config"].get("rope")))
    read = [
        name
        for name in book.flat
        if any(fnmatchcase(name.removeprefix("model."), pattern) for pattern in MODEL_KEYS)
    ]
    book.used.update(read)
    book.put(
        "model", model_data(sizes), f"model (MPT: {', '.join(name.rpartition('.')[2] for name in read)})"
    )
    if "no_bias" not in model:
        book.assumed.append("model: biases everywhere, since no_bias is false by default")


def _filled(model: Mapping[str, Any], feed: Mapping[str, Any], data: Mapping[str, Any]) -> dict[str, Any]:
    """The ``config.json`` of an MPT model, with MPT's own defaults: unlike its Hugging Face class, no ALiBi, and biases."""
    attention = model.get("attn_config")
    filled: dict[str, Any] = {
        "no_bias": False,
        **{key: value for key, value in model.items() if not isinstance(value, str) or "$" not in value},
        "model_type": "mpt",
        "attn_config": {"alibi": False, **(attention if isinstance(attention, Mapping) else {})},
    }
    if "expansion_ratio" in feed:
        filled["expansion_ratio"] = feed["expansion_ratio"]
    if "max_seq_len" not in filled and data.get("max_seq_len"):
        filled["max_seq_len"] = data["max_seq_len"]
    filled.setdefault("tie_word_embeddings", True)
    return filled


def _batch(book: Ledger) -> None:
    book.whole("training.global_batch_size", "global_train_batch_size")
    name, micro = book.find("device_train_microbatch_size")
    if micro == "auto":
        book.doubt(f"{name} = auto: left to the planner")
    else:
        book.whole("training.micro_batch_size", name)
    precision = book.raw("precision")
    precision = precision if precision is None else str(precision)
    if precision in PRECISIONS:
        book.put("training.precision", PRECISIONS[precision], f"precision {precision}")
    elif precision is not None:
        book.doubt(f"precision {precision}")
    optimizer = str(book.raw("optimizer.name") or "")
    if "adamw" in optimizer:
        book.put("training.optimizer", "adamw", f"optimizer.name {optimizer}")
    elif "lion" in optimizer:
        book.put("training.optimizer", "lion", f"optimizer.name {optimizer}")
    elif optimizer:
        book.doubt(f"optimizer.name {optimizer}: the states of AdamW are counted")


def _duration(book: Ledger) -> None:
    text = str(book.raw("max_duration") or "")
    match = re.fullmatch(r"([\d_.e+]+)(ba|tok|ep|sp)", text)
    if match is None:
        if text:
            book.doubt(f"max_duration {text}")
        return
    amount = float(match[1])
    if match[2] == "ba":
        book.put("training.steps", int(amount), f"max_duration {text}")
    elif match[2] == "tok":
        book.put("training.tokens", int(amount), f"max_duration {text}")
    else:
        book.lack(f"training.tokens: max_duration {text} depends on the size of the data")


def _sharding(book: Ledger) -> None:
    strategy = book.raw("fsdp_config.sharding_strategy")
    if strategy is None and not any(name.startswith("fsdp_config") for name in book.flat):
        book.assume("parallelism.zero_stage", 0, "the file has no fsdp_config")
    elif strategy is None or str(strategy) in SHARDING:
        source = f"sharding_strategy {strategy or 'FULL_SHARD, the default'}"
        book.put("parallelism.zero_stage", SHARDING[str(strategy or "FULL_SHARD")], source)
    else:
        book.doubt(f"fsdp_config.sharding_strategy {strategy}")
    mesh = book.raw("fsdp_config.device_mesh")
    if isinstance(mesh, list) and len(mesh) == 2 and all(isinstance(size, int) and size > 0 for size in mesh):
        book.put("parallelism.shard_group", mesh[1], f"device_mesh {mesh}: replicas, ranks of a group")
    elif "HYBRID" in str(strategy):
        book.assume("parallelism.shard_group", NODE, f"{strategy} shards inside a node")
    elif mesh is not None and not isinstance(mesh, list):
        book.doubt(f"fsdp_config.device_mesh {mesh}")
    again = book.flag("fsdp_config.activation_checkpointing") or False
    book.put(
        "training.recompute", "full" if again else "none", f"activation_checkpointing {str(again).lower()}"
    )
    if book.flag("fsdp_config.activation_cpu_offload"):
        book.doubt("fsdp_config.activation_cpu_offload: offloading is not modelled")
    book.assume("parallelism.tp", 1, "llm-foundry shards over data-parallel ranks only")
    book.assume("parallelism.pp", 1, "llm-foundry shards over data-parallel ranks only")
