"""Megatron-LM: a launch script, a command line, or the YAML of arguments that its functional tests use.

Names and defaults are those of ``megatron/training/arguments.py`` and ``megatron/core/transformer/transformer_config.py``
[1]_. Where the program has a default that changes time or memory, it is written into the scenario and said.

References
----------
.. [1] https://github.com/NVIDIA/Megatron-LM, read 2026-11.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from simulator.importers.ledger import Imported, Ledger, check_gpus, data_parallel
from simulator.importers.shell import arguments

KIND = "megatron"

IGNORABLE = """
lr* min-lr* decoupled-* weight-decay* start-weight-decay end-weight-decay adam-* sgd-* muon-* clip-grad seed init-method-*
log-* no-log-* eval-* save* load* no-save-* no-load-* tensorboard-* wandb-* ckpt-* dist-ckpt-* use-checkpoint-* exit-*
data-* train-data-path valid-data-path test-data-path mock-data vocab-file merge-file tokenizer-* tiktoken-* split
num-workers dataloader-* no-create-attention-mask-in-dataloader no-mmap-bin-files reset-* eod-mask-loss
master-addr master-port node-rank rdzv-* timing-log-level distributed-timeout-minutes distributed-backend profile*
use-mcore-models use-legacy-models transformer-impl attention-dropout hidden-dropout norm-epsilon layernorm-epsilon
rotary-base rotary-percent rotary-scaling-factor rope-scaling* use-rope-scaling rotary-interleaved apply-layernorm-1p
moe-aux-loss-coeff moe-z-loss-coeff moe-router-* moe-token-dispatcher-type moe-grouped-gemm moe-permute-fusion
moe-token-drop-policy moe-pad-expert-input-to-capacity moe-per-layer-logging moe-enable-deepep
overlap-grad-reduce overlap-param-gather* tp-comm-overlap* cross-entropy-* no-*-fusion apply-query-key-layer-scaling
attention-softmax-in-fp32 accumulate-allreduce-grads-in-fp32 grad-reduce-in-bf16 manual-gc* empty-unused-memory-level
calculate-per-token-loss deterministic-mode no-gradient-accumulation-fusion fp8-* fp4-* loss-scale* initial-loss-scale
min-loss-scale hysteresis override-opt_param-scheduler override-opt-param-scheduler use-precision-aware-optimizer
no-check-for-nan-in-loss-and-grad check-weight-hash-across-dp-replicas-interval no-masked-softmax-fusion enable-experimental
multiple-validation-sets job-name project-name moe-apply-probs-on-input te-rng-tracker nccl-* use-tp-pp-dp-mapping
mscale* beta-fast beta-slow rope-type
""".split()
"""Arguments that change the result of training, its logs or its start-up, but not the sizes, layout or batch."""

MODEL = {
    "num_hidden_layers": ("num-layers", "encoder-num-layers"),
    "hidden_size": ("hidden-size",),
    "num_attention_heads": ("num-attention-heads",),
}


def read_script(text: str, *, file: str = "", n_gpus: int | None = None) -> Imported:
    """A scenario from a launch script or a command line.

    Examples
    --------
    >>> read = read_script("pretrain_gpt.py --num-layers 2 --hidden-size 64 --num-attention-heads 4 --vocab-size 512 "
    ...                    "--max-position-embeddings 128 --micro-batch-size 1 --bf16")
    >>> read.data["model"]["hidden_size"], read.data["parallelism"]["tp"], read.data["training"]["precision"]
    (64, 1, 'bf16')
    """
    found = arguments(text)
    flat: dict[str, Any] = {name: values or True for name, values in found.options.items()}
    doubts = [
        f"--{name} {' '.join(values)}".rstrip()
        + " stands inside a condition of the script; add it with --set"
        for name, values in found.conditional.items()
        if name not in found.options and _matters(name)
    ]
    return _read(flat, file=file, n_gpus=n_gpus, doubts=doubts)


def read_mapping(data: Mapping[str, Any], *, file: str = "", n_gpus: int | None = None) -> Imported:
    """A scenario from a mapping of arguments: ``MODEL_ARGS`` of a functional test, or plain names with underscores."""
    inner = data.get("MODEL_ARGS", data)
    flat: dict[str, Any] = {}
    for key, value in _leaves(inner if isinstance(inner, Mapping) else {}):
        flat[str(key).lstrip("-").replace("_", "-")] = value
    return _read(flat, file=file, n_gpus=n_gpus, doubts=[])


def _leaves(data: Mapping[str, Any]) -> list[tuple[str, Any]]:
    out: list[tuple[str, Any]] = []
    for key, value in data.items():
        out += _leaves(value) if isinstance(value, Mapping) else [(key, value)]
    return out


def _matters(name: str) -> bool:
    import fnmatch

    return name in ("fp8-format",) or not any(fnmatch.fnmatchcase(name, pattern) for pattern in IGNORABLE)


class _Book(Ledger):
    """A ledger whose values may be lists of words, as a command line has them."""

    def find(self, *names: str) -> tuple[str, Any]:
        name, value = super().find(*names)
        return f"--{name}", value[0] if isinstance(value, list) and value else value

    def on(self, name: str) -> bool:
        """Whether a switch is given."""
        value = self.raw(name)
        return value is not None and str(value).lower() != "false"


def _read(flat: Mapping[str, Any], *, file: str, n_gpus: int | None, doubts: list[str]) -> Imported:
    book = _Book(KIND, flat, file=file, ignorable=IGNORABLE)
    book.data["name"] = "imported from Megatron-LM"
    _model(book)
    _parallelism(book)
    _training(book)
    _accelerators(book, n_gpus)
    book.data["software"] = "megatron"
    for line in doubts:
        book.doubt(line)
    return book.close()


# --- model ----------------------------------------------------------------------------------------------------------


def _model(book: _Book) -> None:
    found = {name: book.whole(f"model.{name}", *theirs) for name, theirs in MODEL.items()}
    missing = [MODEL[name][0] for name, value in found.items() if value is None]
    if missing:
        book.lack("the model: the file has no " + ", ".join(f"--{name}" for name in missing))
    width, heads = found["hidden_size"], found["num_attention_heads"]
    gated = book.on("swiglu") or book.on("gated-linear-unit") or book.raw("activation-func") == "swiglu"
    source = "--swiglu" if gated else "no --swiglu"
    book.put("model.mlp_type", "swiglu" if gated else "gelu", source)
    if book.whole("model.intermediate_size", "ffn-hidden-size") is None and width is not None:
        size = int(4 * width * 2 / 3) // 64 * 64 if gated else 4 * width
        book.assume("model.intermediate_size", size, "the default of --ffn-hidden-size")
    head_dim = book.whole("model.head_dim", "kv-channels")
    if head_dim is None and width and heads:
        head_dim = width // heads
    grouped = book.on("group-query-attention") or book.raw("num-query-groups") is not None
    if grouped and book.whole("model.num_key_value_heads", "num-query-groups") is None:
        book.assume("model.num_key_value_heads", 1, "the default of --num-query-groups")
    _vocabulary(book)
    untied = book.on("untie-embeddings-and-output-weights")
    book.put("model.tie_word_embeddings", not untied, "untied" if untied else "no --untie-embeddings-...")
    _positions(book)
    layernorm = str(book.raw("normalization") or "LayerNorm").lower() != "rmsnorm"
    book.put("model.norm", "layernorm" if layernorm else "rmsnorm", "--normalization")
    _biases(book)
    if book.on("qk-layernorm") and head_dim and not book.on("multi-latent-attention"):
        book.put("model.exact.qk_norm_size", 2 * head_dim * (1 + layernorm), "--qk-layernorm")
    _experts(book)
    _windows(book, found["num_hidden_layers"])
    _latent(book)


def _vocabulary(book: _Book) -> None:
    size = book.whole("model.vocab_size", "vocab-size", "padded-vocab-size")
    book.raw("make-vocab-size-divisible-by")
    if size is None:
        book.lack(
            "model.vocab_size: it comes from the tokenizer, which is not read; "
            "32,000 holds until you write it (--set model.vocab_size=...)"
        )


def _positions(book: _Book) -> None:
    kind = book.raw("position-embedding-type") or "learned_absolute"
    if book.on("use-rotary-position-embeddings"):
        kind = "rope"
    if book.on("no-position-embedding") and kind == "learned_absolute":
        kind = "none"
    ours = {"rope": "rope", "yarn": "rope", "learned_absolute": "learned", "none": "none", "mrope": "rope"}
    if kind not in ours:
        book.doubt(f"--position-embedding-type {kind}")
        return
    book.put("model.position_embedding", ours[kind], f"position embedding {kind}")
    book.whole("model.max_position_embeddings", "max-position-embeddings")


def _biases(book: _Book) -> None:
    without = book.on("disable-bias-linear") or str(book.raw("add-bias-linear")).lower() == "false"
    queries = book.on("add-qkv-bias")
    source = "--disable-bias-linear" if without else "no --disable-bias-linear"
    book.put("model.mlp_bias", not without, source)
    book.put("model.attention_bias", queries or not without, "--add-qkv-bias" if queries else source)
    if queries and without:
        book.put("model.exact.attention_output_bias", 0, source)


def _experts(book: _Book) -> None:
    if not book.whole("model.num_experts", "num-experts", "num-moe-experts"):
        return
    book.whole("model.num_experts_per_tok", "moe-router-topk", default=2)
    if book.whole("model.moe_intermediate_size", "moe-ffn-hidden-size") is None:
        book.assume(
            "model.moe_intermediate_size", book.at("model.intermediate_size"), "as wide as --ffn-hidden-size"
        )
    book.whole(
        "model.shared_expert_intermediate_size", "moe-shared-expert-intermediate-size", default=0, low=0
    )
    if book.on("moe-shared-expert-gate"):
        book.put("model.exact.shared_expert_gate", 1, "--moe-shared-expert-gate")
    if book.on("moe-router-enable-expert-bias"):
        book.put("model.exact.router_bias", 1, "--moe-router-enable-expert-bias")
    pattern = layer_pattern(book.raw("moe-layer-freq"))
    if isinstance(pattern, int) and pattern > 1:
        book.put("model.moe_layer_freq", pattern, "--moe-layer-freq")
    elif isinstance(pattern, list):
        dense = pattern.index(1) if 1 in pattern else len(pattern)
        if all(pattern[dense:]):
            book.put("model.first_k_dense_replace", dense, "--moe-layer-freq")
        else:
            book.doubt(f"--moe-layer-freq {book.raw('moe-layer-freq')}: dense layers between mixtures")


def _windows(book: _Book, layers: int | None) -> None:
    """``--window-size left,right``: the tokens before and after, the token itself not counted."""
    text, skip = book.raw("window-size"), book.raw("window-attn-skip-freq")
    if text is None:
        return
    sides = re.findall(r"-?\d{1,9}", str(text))
    if len(sides) != 2 or int(sides[0]) < 0:
        book.doubt(f"--window-size {text}")
        return
    book.put("model.sliding_window", int(sides[0]) + 1, "--window-size and the token itself")
    pattern = layer_pattern(skip) if skip is not None else 0
    if isinstance(pattern, list):
        whole = pattern.count(0)
        pattern = (layers or len(pattern)) // whole if whole else 0
    if pattern is None:
        book.doubt(f"--window-attn-skip-freq {skip}")
    elif pattern:
        book.put("model.sliding_window_pattern", pattern, "--window-attn-skip-freq")


def layer_pattern(value: Any) -> int | list[int] | None:
    """Megatron's ``--moe-layer-freq``: a number, or a list written as ``([0]*3+[1]*58)``.

    Examples
    --------
    >>> layer_pattern("([0]*1+[1]*3)"), layer_pattern("2"), layer_pattern("os.getcwd()") is None
    ([0, 1, 1, 1], 2, True)
    """
    text = str(value).strip("'\"() ").replace(" ", "")
    if text.isdecimal() and len(text) < 6:
        return int(text)
    out: list[int] = []
    for term in text.split("+"):
        match = re.fullmatch(r"\(?\[([01](?:,[01])*)\]\)?(?:\*(\d{1,4}))?\)?", term)
        if match is None:
            return None
        out += [int(bit) for bit in match[1].split(",")] * int(match[2] or 1)
    return out


def _latent(book: _Book) -> None:
    if not book.on("multi-latent-attention"):
        return
    book.whole("model.q_lora_rank", "q-lora-rank", default=0, low=0)
    book.whole("model.kv_lora_rank", "kv-lora-rank", default=32)
    nope = book.whole("model.qk_nope_head_dim", "qk-head-dim", default=128) or 0
    rope = book.whole("model.qk_rope_head_dim", "qk-pos-emb-head-dim", default=64, low=0) or 0
    book.whole("model.v_head_dim", "v-head-dim", default=128)
    book.put("model.head_dim", nope + rope, "--qk-head-dim + --qk-pos-emb-head-dim")
    book.on("qk-layernorm")


# --- layout and run -------------------------------------------------------------------------------------------------


def _parallelism(book: _Book) -> None:
    tp = book.whole("parallelism.tp", "tensor-model-parallel-size", default=1)
    pp = book.whole("parallelism.pp", "pipeline-model-parallel-size", default=1)
    book.whole("parallelism.cp", "context-parallel-size", default=1)
    if book.at("model.num_experts"):
        book.whole("parallelism.ep", "expert-model-parallel-size", default=1)
        book.whole("parallelism.etp", "expert-tensor-parallel-size")
    else:
        book.number("expert-model-parallel-size")
    _virtual(book, pp)
    book.put(
        "parallelism.sequence_parallel",
        book.on("sequence-parallel") and (tp or 1) > 1,
        "--sequence-parallel, which needs tensor parallel"
        if book.on("sequence-parallel")
        else "no --sequence-parallel",
    )
    _sharding(book)


def _virtual(book: _Book, pp: int | None) -> None:
    per_stage = book.number("num-layers-per-virtual-pipeline-stage")
    stages = book.number("num-virtual-stages-per-pipeline-rank", "virtual-pipeline-model-parallel-size")
    layers = book.at("model.num_hidden_layers")
    if per_stage and pp and layers:
        if layers % (pp * per_stage):
            book.fail(
                "--num-layers-per-virtual-pipeline-stage", f"{per_stage} x pp {pp} does not divide {layers}"
            )
            return
        stages = layers // pp // per_stage
    if stages:
        book.put("parallelism.vp", stages, "virtual pipeline stages")
    else:
        book.assume("parallelism.vp", 1, "no virtual pipeline stages are named")


SHARDING = {"no_shard": 0, "optim": 1, "optim_grads": 2, "optim_grads_params": 3}


def _sharding(book: _Book) -> None:
    fully = book.on("use-torch-fsdp2") or book.on("use-megatron-fsdp") or book.on("use-custom-fsdp")
    strategy = str(book.raw("data-parallel-sharding-strategy") or "no_shard")
    distributed = book.on("use-distributed-optimizer")
    if fully and strategy in SHARDING and strategy != "no_shard":
        book.put(
            "parallelism.zero_stage", SHARDING[strategy], f"--data-parallel-sharding-strategy {strategy}"
        )
    elif book.on("use-torch-fsdp2"):
        book.put("parallelism.zero_stage", 3, "--use-torch-fsdp2")
    elif distributed:
        book.put("parallelism.zero_stage", 1, "--use-distributed-optimizer")
    else:
        book.put("parallelism.zero_stage", 0, "no --use-distributed-optimizer")


def _training(book: _Book) -> None:
    length = book.whole("training.seq_length", "seq-length", "encoder-seq-length")
    if length is None:
        book.lack("training.seq_length: the file has no --seq-length")
    book.whole("training.micro_batch_size", "micro-batch-size")
    book.whole("training.global_batch_size", "global-batch-size")
    if book.raw("rampup-batch-size") is not None:
        book.doubt("--rampup-batch-size: the batch is taken at its full size from the first step")
    samples = book.number("train-samples")
    if samples and length:
        book.put("training.tokens", samples * length, f"--train-samples {samples}")
    else:
        book.whole("training.steps", "train-iters")
    _precision(book)
    _recompute(book)
    optimizer = str(book.raw("optimizer") or "adam").lower()
    ours = {"adam": "adamw", "sgd": "sgd", "muon": "muon", "dist_muon": "muon"}
    if optimizer in ours:
        book.put("training.optimizer", ours[optimizer], f"--optimizer {optimizer}")
    else:
        book.doubt(f"--optimizer {optimizer}")
    backend = str(book.raw("attention-backend") or "auto")
    flash = backend not in ("unfused", "local") or book.on("use-flash-attn")
    book.put("training.flash_attention", flash, f"--attention-backend {backend}")
    if book.on("cpu-offloading") or book.on("optimizer-cpu-offload"):
        book.doubt("offloading to the host is not modelled")


def _precision(book: _Book) -> None:
    fp8 = book.raw("fp8-format", "fp8")
    if fp8 is not None and str(fp8).lower() not in ("none", "false"):
        book.put("training.precision", "fp8", f"--fp8-format {fp8}")
        book.on("bf16")
    elif book.on("bf16"):
        book.put("training.precision", "bf16", "--bf16")
    elif book.on("fp16"):
        book.put("training.precision", "fp16", "--fp16")
    else:
        book.assume("training.precision", "fp32", "neither --bf16 nor --fp16 is given")


def _recompute(book: _Book) -> None:
    kind = book.raw("recompute-granularity")
    if kind is None and book.on("recompute-activations"):
        kind = "selective"
    method, layers = book.raw("recompute-method"), book.number("recompute-num-layers")
    modules = book.flat.get("recompute-modules")
    book.raw("recompute-modules")
    if kind is not None and kind not in ("full", "selective", "none"):
        book.fail("--recompute-granularity", f"{kind!r} is neither full nor selective")
        return
    if kind == "selective" and isinstance(modules, list) and modules != ["core_attn"]:
        book.doubt(f"--recompute-modules {' '.join(modules)}: selective means the attention core here")
    if kind == "full" and (method == "block" or (layers or 1) > 1):
        book.doubt(
            f"--recompute-method {method} with {layers} layers: taken as full, every layer from its input"
        )
    book.put(
        "training.recompute",
        kind or "none",
        f"--recompute-granularity {kind}" if kind else "no recomputation",
    )


def _accelerators(book: _Book, given: int | None) -> None:
    per_node, nodes = book.raw("nproc-per-node"), book.raw("nnodes")
    stated = None
    if str(per_node).isdecimal() and str(nodes or 1).isdecimal():
        stated = int(per_node) * int(nodes or 1)
    product = 1
    for name in ("tp", "pp", "cp"):
        product *= book.at(f"parallelism.{name}") or 1
    if stated is not None and given is not None and stated != given:
        book.doubt(f"--nproc_per_node x --nnodes = {stated}: --hardware names {given}, which is taken")
        stated = given
    if stated is not None and stated % product:
        book.doubt(f"--nproc_per_node x --nnodes = {stated}: tp x pp x cp = {product} does not divide it")
        stated = given
    n_gpus = check_gpus(book, stated, given=given)
    if n_gpus is not None:
        book.put("hardware.n_gpus", n_gpus, "accelerators")
        dp, micro = data_parallel(book, n_gpus), book.at("training.micro_batch_size")
        if dp and micro and book.at("training.global_batch_size") is None:
            book.assume("training.global_batch_size", dp * micro, "micro-batch times data-parallel ranks")
    else:
        book.lack("hardware.n_gpus: it does not follow from the file; name --hardware NAME:COUNT")
    _instances(book, n_gpus)


def _instances(book: _Book, n_gpus: int | None) -> None:
    """Hybrid sharding: copies of the distributed optimizer, each over its part of the data-parallel ranks."""
    instances = book.number("num-distributed-optimizer-instances") or 1
    if instances == 1:
        return
    ranks = data_parallel(book, n_gpus)
    if ranks is None:
        book.lack("parallelism.shard_group: it follows from the number of accelerators")
        return
    ranks *= book.at("parallelism.cp") or 1
    if instances < 1 or ranks % instances:
        book.doubt(
            f"--num-distributed-optimizer-instances {instances}: does not divide {ranks} data-parallel ranks"
        )
        return
    book.put(
        "parallelism.shard_group", ranks // instances, f"--num-distributed-optimizer-instances {instances}"
    )
