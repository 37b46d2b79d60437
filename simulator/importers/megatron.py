"""Megatron-LM: a launch script, a command line, or the YAML of arguments that its functional tests use.

Names and defaults are those of ``megatron/training/arguments.py`` and ``megatron/core/transformer/transformer_config.py``
[1]_. Where the program has a default that changes time or memory, it is written into the scenario and said.

References
----------
.. [1] https://github.com/NVIDIA/Megatron-LM, read 2026-11; `UNMODELLED` and dropout at 000c4ac24f61159c138b0975def722c65245983c.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from typing import Any

from simulator.importers.ledger import ArgumentLedger, Imported, check_gpus, data_parallel
from simulator.importers.megatron_launch import ARGUMENTS, read_launch
from simulator.importers.megatron_model import read_model
from simulator.importers.megatron_stages import read_stages
from simulator.importers.shell import arguments
from simulator.importers.unmodelled import GRADIENTS, KERNELS, TP_OVERLAP, WIDTHS

KIND = "megatron"

IGNORABLE = (
    """
lr* min-lr* decoupled-* weight-decay* start-weight-decay end-weight-decay adam-* sgd-* muon-* clip-grad seed init-method-*
log-* no-log-* eval-* save* load* no-save-* no-load-* tensorboard-* wandb-* ckpt-* dist-ckpt-* use-checkpoint-* exit-*
data-* train-data-path valid-data-path test-data-path mock-data vocab-file merge-file tokenizer-* tiktoken-* split
num-workers dataloader-* no-create-attention-mask-in-dataloader no-mmap-bin-files reset-* eod-mask-loss
master-addr master-port node-rank rdzv-* timing-log-level distributed-timeout-minutes distributed-backend profile*
use-mcore-models use-legacy-models transformer-impl norm-epsilon layernorm-epsilon
rotary-base rotary-percent rotary-scaling-factor rotary-seq-len-interpolation-factor rope-scaling* use-rope-scaling
rotary-interleaved apply-layernorm-1p
moe-aux-loss-coeff moe-z-loss-coeff moe-router-* moe-per-layer-logging apply-query-key-layer-scaling
manual-gc* empty-unused-memory-level calculate-per-token-loss fp8-* fp4-* loss-scale* initial-loss-scale
min-loss-scale hysteresis override-opt_param-scheduler override-opt-param-scheduler
no-check-for-nan-in-loss-and-grad check-weight-hash-across-dp-replicas-interval enable-experimental
multiple-validation-sets job-name project-name moe-apply-probs-on-input te-rng-tracker
mscale* beta-fast beta-slow rope-type
""".split()
    + ARGUMENTS
)
"""Arguments that change the result of training, its logs or its start-up, but not the sizes, layout or batch; or that
`read_launch` leaves where nothing depends on them."""

UNMODELLED = {
    "overlap-grad-reduce": GRADIENTS,
    "overlap-param-gather*": "the clock assumes that weights are gathered behind the passes",
    "tp-comm-overlap*": TP_OVERLAP,
    "accumulate-allreduce-grads-in-fp32 grad-reduce-in-bf16 use-precision-aware-optimizer attention-softmax-in-fp32": WIDTHS,
    "no-*-fusion cross-entropy-* moe-grouped-gemm moe-permute-fusion* delay-wgrad-compute moe-mlp-glu-interleave-size": KERNELS,
    "moe-*-num-sms* moe-hybridep-* moe-paged-stash*": KERNELS,
    "moe-token-drop-policy moe-pad-expert-input-to-capacity moe-expert-rank-capacity-factor": "the clock assumes that no token is dropped and none is padded",
    "deterministic-mode nccl-* use-tp-pp-dp-mapping": KERNELS,
}
"""Arguments that time or memory depends on and a scenario does not hold, with what is assumed whatever they say."""


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
    patterns = [*IGNORABLE, *" ".join(UNMODELLED).split()]
    read = ("fp8-format", *ARGUMENTS)
    return any(fnmatch.fnmatchcase(name, each) for each in read) or not any(
        fnmatch.fnmatchcase(name, pattern) for pattern in patterns
    )


def _read(flat: Mapping[str, Any], *, file: str, n_gpus: int | None, doubts: list[str]) -> Imported:
    book = ArgumentLedger(KIND, flat, file=file, ignorable=IGNORABLE, unmodelled=UNMODELLED)
    book.data["name"] = "imported from Megatron-LM"
    read_model(book)
    _parallelism(book)
    _training(book)
    read_launch(book)
    _accelerators(book, n_gpus)
    _dropout(book)
    _overlap(book, n_gpus)
    book.data["software"] = "megatron"
    for line in doubts:
        book.doubt(line)
    return book.close()


# --- layout and run -------------------------------------------------------------------------------------------------


def _parallelism(book: ArgumentLedger) -> None:
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


def _virtual(book: ArgumentLedger, pp: int | None) -> None:
    if read_stages(book, pp):
        return
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


def _sharding(book: ArgumentLedger) -> None:
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


def _training(book: ArgumentLedger) -> None:
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
    plain = str(book.raw("sgd-momentum")) in ("0", "0.0")  # it is 0.9 by default
    ours = {"adam": "adamw", "muon": "muon", "dist_muon": "muon", "sgd": "sgd" if plain else "sgd_momentum"}
    if optimizer in ours:
        book.put("training.optimizer", ours[optimizer], f"--optimizer {optimizer}")
    else:
        book.doubt(f"--optimizer {optimizer}")
    backend = str(book.raw("attention-backend") or "auto")
    flash = backend not in ("unfused", "local") or book.on("use-flash-attn")
    book.put("training.flash_attention", flash, f"--attention-backend {backend}")
    given = [name for name in ("pretrained-checkpoint", "finetune") if book.on(name)]
    if given:
        book.put("training.from_pretrained", True, " ".join(f"--{name}" for name in given))
    if book.on("cpu-offloading") or book.on("optimizer-cpu-offload"):
        book.doubt("offloading to the host is not modelled")


def _precision(book: ArgumentLedger) -> None:
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


def _recompute(book: ArgumentLedger) -> None:
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


DROPOUT = 0.1
"""Of attention and of the residual stream, where the arguments do not say. [-]"""


def _dropout(book: ArgumentLedger) -> None:
    """Dropout above zero: no mask of it is counted."""
    given = {name: book.raw(name) for name in ("attention-dropout", "hidden-dropout")}
    unsaid = [f"--{name}" for name, value in given.items() if value is None]
    zeros: list[str] = []
    dropped: list[str] = []
    for name, value in given.items():
        if value is not None:
            (zeros if _zero(value) else dropped).append(f"--{name} {value}")
    if unsaid:
        absent = f"{unsaid[0]} is not" if len(unsaid) == 1 else f"neither {' nor '.join(unsaid)} is"
        dropped.append(f"{absent} given, {DROPOUT} by default")
    for line in dropped:
        book.against(f"{line}: memory has no masks of dropout, and the clock no time for them")
    if zeros:
        book.taken.append(f"{', '.join(zeros)} -> no masks of dropout in memory")


def _zero(value: Any) -> bool:
    try:
        return float(value) == 0
    except (TypeError, ValueError):
        return False


def _overlap(book: ArgumentLedger, n_gpus: int | None) -> None:
    """Gradients that wait for the backward pass to end, which is Megatron-LM's default."""
    n_gpus = book.at("hardware.n_gpus") or n_gpus
    if "overlap-grad-reduce" in book.flat and book.on("overlap-grad-reduce"):
        book.used.discard("overlap-grad-reduce")
    elif n_gpus is None or (data_parallel(book, n_gpus) or 1) > 1:
        book.against(f"no --overlap-grad-reduce: {GRADIENTS}; without it a step is longer")


def _accelerators(book: ArgumentLedger, given: int | None) -> None:
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


def _instances(book: ArgumentLedger, n_gpus: int | None) -> None:
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
