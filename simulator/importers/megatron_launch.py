"""Launch settings in Megatron-LM's arguments: CUDA graphs, how tokens reach their experts, fused experts, attention in 8 bits.

Names and defaults are those of ``megatron/training/arguments.py`` [1]_ and, for later versions, of
``megatron/core/transformer/transformer_config.py`` and ``cuda_graph_config.py`` [2]_.

References
----------
.. [1] https://github.com/NVIDIA/Megatron-LM at 000c4ac24f61159c138b0975def722c65245983c.
.. [2] The same at 002526d81b81f6ab534e93844f9a228709887494.
"""

from __future__ import annotations

import re

from simulator.importers.ledger import ArgumentLedger

ARGUMENTS = """
cuda-graph-* enable-cuda-graph external-cuda-graph moe-token-dispatcher-type moe-flex-dispatcher-backend moe-enable-deepep
overlap-moe-expert-parallel-comm use-transformer-engine-op-fuser fp8-dot-product-attention
""".split()
"""What is read here; nothing of it matters where it is left, as that of experts in a model that has none."""

OLD_GRAPHS = {"enable-cuda-graph": "local", "external-cuda-graph": "transformer_engine"}
"""Switches of earlier versions, and what ``--cuda-graph-impl`` replaced them by."""

INFERENCE = "full_iteration_inference"
"""A scope that leaves training alone."""

DEFAULT = "allgather"
"""How tokens reach their experts where the arguments do not say."""

BACKENDS = ("deepep", "hybridep")
"""Backends of the flexible dispatcher that a scenario has a name for; the first is the default."""


def read_launch(book: ArgumentLedger) -> None:
    """Read the launch settings; the model, the degrees and the precision are read already."""
    _graphs(book)
    _eight_bits(book)
    if book.at("model.num_experts"):
        _dispatcher(book)
        _experts(book)


def _graphs(book: ArgumentLedger) -> None:
    """What is captured: everything, layers without their experts, or nothing."""
    old = {name: impl for name, impl in OLD_GRAPHS.items() if book.on(name)}
    implementation = str(book.raw("cuda-graph-impl") or next(iter(old.values()), "none"))
    said = f"--{next(iter(old))}" if old else f"--cuda-graph-impl {implementation}"
    scope = _scope(book)
    if "full_iteration" in scope and implementation in ("none", "local"):
        implementation = "full_iteration"  # as later versions read it
    if implementation == "none":
        if book.flat.get("cuda-graph-impl") is not None:
            book.put("training.cuda_graphs", "none", said)
        return
    words = f"{said}, scope {' '.join(scope)}" if scope else said
    if scope == [INFERENCE]:
        book.put("training.cuda_graphs", "none", f"{words}, which is of inference")
        return
    whole = implementation == "full_iteration" or _captures_layers(book, scope)
    book.put("training.cuda_graphs", "full" if whole else "partial", words)


def _scope(book: ArgumentLedger) -> list[str]:
    """Words of the scope under its two names; none and ``full`` both mean whole layers."""
    found: list[str] = []
    for name in ("cuda-graph-scope", "cuda-graph-modules"):
        value = book.flat.get(name)
        book.raw(name)
        words = [value] if isinstance(value, str) else value if isinstance(value, list) else []
        found += [each for word in words for each in re.findall(r"\w+", str(word))]
    return found


def _captures_layers(book: ArgumentLedger, scope: list[str]) -> bool:
    """Whether a scope holds the whole of the layers: attention, and what follows it."""
    if not scope or scope == ["full"]:
        return True
    after = "moe" if book.at("model.num_experts") else "mlp"
    return {"attn", after} <= set(scope)


def _eight_bits(book: ArgumentLedger) -> None:
    if not book.on("fp8-dot-product-attention"):
        return
    if book.at("training.precision") == "fp8" or book.flat.get("fp4-format"):
        book.put("training.fp8_attention", True, "--fp8-dot-product-attention")
    else:
        book.doubt("--fp8-dot-product-attention: without --fp8-format Megatron-LM does not read it")


def _dispatcher(book: ArgumentLedger) -> None:
    """How tokens reach their experts; that of ``allgather`` is not modelled."""
    kind = book.raw("moe-token-dispatcher-type")
    backend = str(book.raw("moe-flex-dispatcher-backend") or BACKENDS[0])
    deepep = book.on("moe-enable-deepep")
    said, path = f"--moe-token-dispatcher-type {kind}", "parallelism.dispatcher"
    instead = "every rank gathers all tokens of its group, which is not modelled"
    if kind == "flex":
        backend = BACKENDS[0] if deepep else backend
        if backend in BACKENDS:
            book.put(path, backend, f"{said}, backend {backend}")
        else:
            book.doubt(f"{said}, backend {backend}: a scenario has {' and '.join(BACKENDS)}")
        return
    if deepep:
        book.doubt(f"--moe-enable-deepep: Megatron-LM takes it with {said.split()[0]} flex only")
    if kind in ("alltoall", "alltoall_seq"):
        book.put(path, "alltoall", said)
    elif (book.at("parallelism.ep") or 1) == 1:
        return
    elif kind in (None, DEFAULT):
        book.assume(path, "alltoall", f"with {said if kind else f'{DEFAULT}, the default,'} {instead}")
    else:
        book.doubt(said)


def _experts(book: ArgumentLedger) -> None:
    """Exchange behind the computation, and matmuls of all experts in one kernel."""
    if book.on("overlap-moe-expert-parallel-comm"):
        if (book.at("parallelism.ep") or 1) > 1:
            book.put("parallelism.expert_overlap", True, "--overlap-moe-expert-parallel-comm")
        else:
            book.doubt("--overlap-moe-expert-parallel-comm: without expert parallelism nothing is exchanged")
    if book.on("use-transformer-engine-op-fuser"):
        book.put("training.fused_experts", True, "--use-transformer-engine-op-fuser")
