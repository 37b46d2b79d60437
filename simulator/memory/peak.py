"""Peak memory of one accelerator at the worst moment of a training step, by category."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from simulator.layout import NF4_BYTES, Layout, expert_shard_degree, is_dualpipe, shard_degree
from simulator.memory import activations, states
from simulator.memory.constants import MEMORY_PROFILES, MemoryConstants
from simulator.memory.held import STAGES, Held, hold, hold_both_ends
from simulator.transformer import Shape, decoder  # noqa: F401 (decoder is used by the doctest)

Numeric = Any

CATEGORIES = (
    "weights",
    "gradients",
    "optimizer",
    "activations",
    "logits",
    "gathered",
    "communication",
    "fragmentation",
    "context",
)
"""Lines of the breakdown; they sum to ``total``."""


@dataclass(frozen=True)
class Recipe:
    """How the states are kept: optimizer, precision, what is trained."""

    optimizer: str
    precision: str
    trainable: str
    lora_rank: Numeric


@dataclass(frozen=True)
class Work:
    """What does not depend on the pipeline stage: bytes of one micro-batch. [B]"""

    dense: Numeric
    """Kept by one dense layer."""
    sparse: Numeric
    """Kept by one mixture-of-experts layer."""
    recomputed: Numeric
    """Working set of the layer that is being recomputed, beyond what it keeps."""
    whole: Numeric
    """One hidden-state tensor that sequence parallelism gathers; 0 without it."""
    logit: Numeric
    """Number of logits."""


def is_frozen(layout: Layout, recipe: Recipe) -> Numeric:
    """Whether adapters learn and the weights do not."""
    return np.asarray(layout.frozen) > 0 if recipe.trainable == "full" else np.asarray(True)


def is_quantized(layout: Layout, recipe: Recipe) -> Numeric:
    """Whether the frozen weights of layers are kept in 4 bits."""
    return np.asarray(layout.quantized) > 0 if recipe.trainable == "full" else recipe.trainable == "qlora"


def adapter_parameters(s: Shape, layout: Layout, held: Held, recipe: Recipe) -> Numeric:
    """Adapters of one stage. [parameters]"""
    return held.layers * states.lora_parameters_per_layer(s, rank=recipe.lora_rank, tp=layout.tp)


def state_bytes(
    s: Shape, layout: Layout, held: Held, *, recipe: Recipe, constants: MemoryConstants
) -> dict[str, Numeric]:
    """Weights, gradients and optimizer states of one stage. [B]

    Under autocast weights and gradients have 32 bits, no master copy is apart, and the 16-bit copies of the layers' weights
    live until the backward pass has used them. Frozen weights are updated by nothing and have no master: where the sharded weights
    themselves would be it (FSDP), they have 16 bits. Of quantized weights those of layers have 4 bits, tables and head 16.
    """
    bytes_, moments = states.PRECISIONS[recipe.precision], states.OPTIMIZERS[recipe.optimizer]
    z, ranks = layout.zero_stage, shard_degree(layout)
    expert_ranks = np.minimum(expert_shard_degree(layout), ranks * np.asarray(layout.tp))
    cast = (np.asarray(layout.autocast) > 0) & (bytes_.master > 0)
    frozen, packed = is_frozen(layout, recipe), is_quantized(layout, recipe)
    in_place = cast | ((bool(constants.sharded_master) and bytes_.master > 0) & ~np.asarray(frozen))
    weight, master = (
        np.where(in_place, bytes_.master, bytes_.weights),
        np.where(in_place, 0.0, bytes_.master),
    )
    gradient = np.where(cast, 4.0, bytes_.gradient or constants.gradient_bytes)
    matrix, other, experts = held.matrix, held.other, held.experts
    adapters: Numeric = 0.0
    if np.any(frozen):
        adapters = np.where(frozen, adapter_parameters(s, layout, held, recipe), 0.0)
        matrix, other, experts = (
            np.where(frozen, adapters, matrix),
            np.where(frozen, 0.0, other),
            np.where(frozen, 0.0, experts),
        )
    has_buckets = (ranks > 1) & (np.asarray(z) < 2) if constants.bucket_bytes else np.asarray(0)

    def at(stage: int, dense: Numeric, expert: Numeric) -> Numeric:
        first = states.sharded(dense, zero_stage=z, at=stage, degree=ranks)
        return first + states.sharded(expert, zero_stage=z, at=stage, degree=expert_ranks)

    per_matrix, per_other = master + moments.matrix, master + moments.other
    buckets = (matrix + other + experts) * np.where(has_buckets, constants.bucket_bytes, 0.0)
    weights = at(3, held.matrix + held.other, held.experts) * weight
    if np.any(packed):
        tables = bytes_.weights * at(3, held.other, np.asarray(0.0))
        weights = np.where(packed, NF4_BYTES * at(3, held.matrix, held.experts) + tables, weights)
    if np.any(cast):
        weights = weights + at(3, held.matrix, held.experts) * np.where(cast, bytes_.weights, 0.0)
    return {
        "weights": weights + adapters * bytes_.weights,
        "gradients": at(2, matrix + other, experts) * gradient + buckets,
        "optimizer": at(1, matrix * per_matrix + other * per_other, experts * per_matrix),
    }


def gathered_bytes(
    layout: Layout,
    held: Held,
    *,
    element: float,
    constants: MemoryConstants,
    frozen: Numeric = False,
    packed: Numeric = False,
) -> Numeric:
    """Whole weights and gradients of the layers at work where ZeRO shards them. [B]

    Under ZeRO-3 the running layer and the prefetched one are present whole, and one layer's gradient before it is
    scattered; under ZeRO-2 the gradient alone; frozen weights have none. With the allocator's share never more than the stage
    before holds whole, and only the part that is not resident: experts that no other rank holds are whole. `packed` weights of
    layers travel in 4 bits.
    """
    z = np.asarray(layout.zero_stage)
    if not np.any(z >= 2):
        return np.asarray(0.0)
    ranks = np.maximum(shard_degree(layout), 1)
    same = np.maximum(np.minimum(expert_shard_degree(layout), ranks * np.asarray(layout.tp)), 1)
    away, experts = 1.0 - 1.0 / np.asarray(ranks), held.experts * (1.0 - 1.0 / same)
    layer, whole = held.matrix * away + experts, (held.matrix + held.other) * away + experts
    if np.any(packed):
        layer = layer * np.where(packed, NF4_BYTES / element, 1.0)
        whole = np.where(packed, layer + held.other * away, whole)
    layer = np.maximum(layer / np.maximum(held.layers, 1), held.other * away)
    most = whole / (1.0 + constants.fragmentation)
    weights = np.where(z >= 3, np.minimum(constants.gathered_layers * layer, most), 0.0)
    gradient = np.where((z >= 2) & ~np.asarray(frozen), np.minimum(layer, most), 0.0)
    return element * (weights + gradient)


def at_work_bytes(
    s: Shape, layout: Layout, held: Held, *, element: float, constants: MemoryConstants, recipe: Recipe
) -> Numeric:
    """What `gathered_bytes` counts, and the matrix that is written out of 4 bits. [B]"""
    frozen, packed = is_frozen(layout, recipe), is_quantized(layout, recipe)
    how: dict[str, Any] = {"element": element, "constants": constants, "frozen": frozen, "packed": packed}
    gathered = gathered_bytes(layout, held, **how)
    if not np.any(packed):
        return gathered
    return gathered + np.where(packed, element * states.largest_matrix(s, layout), 0.0)


def update_bytes(layout: Layout, dense: Numeric, experts: Numeric, *, constants: MemoryConstants) -> Numeric:
    """Copies made while updated parameters are gathered after a sharded optimizer step; no activation lives then. [B]

    Experts that no other rank holds are updated whole where they are, and not gathered.
    """
    ranks = shard_degree(layout)
    same = np.minimum(expert_shard_degree(layout), ranks * np.asarray(layout.tp))
    sharded = np.asarray(layout.zero_stage) >= 1
    parts = ((dense, ranks), (experts, same))
    copies = (np.where(sharded & (n > 1), 1 + 1 / np.maximum(n, 1), 0.0) * held for held, n in parts)
    return constants.optimizer_gather_bytes * sum(copies)


def work_of(s: Shape, layout: Layout, *, element: float, constants: MemoryConstants) -> Work:
    """Return the bytes of one micro-batch in one layer, and its logits."""
    tokens = activations.tokens_per_microbatch(layout)
    any_sparse = bool(np.any(np.asarray(s.num_experts) > 0))
    any_recompute = bool(np.any(np.asarray(layout.recompute) > 0))
    dense = activations.layer_bytes(s, layout, constants=constants, element=element)
    sparse, recomputed = np.asarray(0.0), np.asarray(0.0)
    if any_sparse:
        sparse = activations.layer_bytes(s, layout, sparse=True, constants=constants, element=element)
    if any_recompute:
        plain = layout.with_(recompute=0)
        recomputed = activations.layer_bytes(s, plain, constants=constants, element=element) - dense
        if any_sparse:
            all_sparse = activations.layer_bytes(s, plain, sparse=True, constants=constants, element=element)
            recomputed = np.where(np.asarray(s.num_experts) > 0, all_sparse - sparse, recomputed)
    split = (np.asarray(layout.tp) > 1) & (np.asarray(layout.sequence_parallel) > 0)
    return Work(
        dense=dense,
        sparse=sparse,
        recomputed=recomputed,
        whole=np.where(split, element * tokens * np.asarray(s.hidden_size), 0.0),
        logit=tokens * np.asarray(s.vocab_size) / layout.tp,
    )


def stage_peak(
    s: Shape, layout: Layout, work: Work, *, stage: str, recipe: Recipe, constants: MemoryConstants
) -> dict[str, Numeric]:
    """Peak of one pipeline stage by category: the worse of backward pass and optimizer step. [B]"""
    held = hold(s, layout, stage=stage, balance=constants.stage_balance)
    element = states.PRECISIONS[recipe.precision].activations
    both = hold_both_ends(s, layout, held, stage=stage, balance=constants.stage_balance)
    out = state_bytes(s, layout, both, recipe=recipe, constants=constants)
    if both is not held:
        # A sharded optimizer shares its states between the two devices that hold the same stages.
        shared = state_bytes(s, layout, held, recipe=recipe, constants=constants)["optimizer"]
        out["optimizer"] = np.where(np.asarray(layout.zero_stage) >= 1, shared, out["optimizer"])
    layers = held.layers
    gathers = constants.kept_gathers * (np.asarray(layout.recompute) < 2) * layers * held.inflight
    kept = (
        held.inflight * (held.dense_layers * work.dense + held.sparse_layers * work.sparse)
        + (held.layers > 0) * work.recomputed
    )
    kept = kept + work.whole * (constants.gathered_tensors + gathers)
    logit = both.has_logits * work.logit
    logits = constants.logit_bytes * logit
    frozen, dense, experts = is_frozen(layout, recipe), both.matrix + both.other, both.experts
    if np.any(frozen):
        dense = np.where(frozen, adapter_parameters(s, layout, held, recipe), dense)
        experts = np.where(frozen, 0.0, experts)
    gathered = at_work_bytes(s, layout, held, element=element, constants=constants, recipe=recipe)
    late = constants.late_tensors * work.whole * layers * np.maximum(held.inflight - 2, 0)
    late = late + constants.late_logit_bytes * logit * (np.asarray(layout.num_microbatches) > 1)
    slack = constants.fragmentation * (kept + logits + gathered) + late
    update = update_bytes(layout, dense, experts, constants=constants)
    in_backward = kept + logits + gathered + slack >= update
    out["activations"] = np.where(in_backward, kept, 0.0)
    out["logits"] = np.where(in_backward, logits, 0.0)
    out["gathered"] = np.where(in_backward, gathered, update)
    out["communication"] = communicators(layout) * constants.communicator_bytes
    out["fragmentation"] = np.where(in_backward, slack, 0.0) + constants.reserve_bytes
    out["context"] = np.asarray(constants.context_bytes)
    return out


def communicators(layout: Layout) -> Numeric:
    """NCCL communicators that one rank opens: one per parallel dimension in use. [-]"""
    degrees = (layout.tp, layout.pp, layout.dp, layout.cp, layout.ep)
    return sum((np.where(np.asarray(n) > 1, 1, 0) for n in degrees), start=np.asarray(0))


def peak(
    shape: Shape,
    layout: Layout,
    *,
    optimizer: str = "adamw",
    precision: str = "bf16",
    trainable: str = "full",
    lora_rank: Numeric = 0,
    constants: MemoryConstants = MEMORY_PROFILES["megatron"],
    stages: tuple[str, ...] = STAGES,
) -> dict[str, Any]:
    """Memory of one accelerator at the worst moment of a step, on the fullest pipeline stage.

    Parameters
    ----------
    shape, layout : Shape, Layout
        Model and layout; scalars or arrays that broadcast.
    optimizer : str, optional
        A key of `OPTIMIZERS`.
    precision : str, optional
        A key of `PRECISIONS`.
    trainable : {"full", "lora", "qlora"}, optional
        What receives gradients, with ``qlora`` adapters on weights in 4 bits; rows with ``layout.frozen`` train adapters in any
        case, on weights in 4 bits with ``layout.quantized``.
    lora_rank : numeric, optional
        Rank of the adapters. [-]
    constants : MemoryConstants, optional
        Framework profile.
    stages : tuple of str, optional
        Pipeline stages to consider, of ``first middle last``.

    Returns
    -------
    dict
        Bytes per category (`CATEGORIES`) and their sum ``total``. [B]

    Notes
    -----
    Optimistic for unbalanced expert routing, and for a micro-batch so large that its tensors no longer fit the blocks the
    allocator holds (docs/memory.md names the worst cases).

    References
    ----------
    .. [1] V. Korthikanti et al., "Reducing activation recomputation in large transformer models", arXiv:2205.05198.
    .. [2] S. Rajbhandari et al., "ZeRO: memory optimizations toward training trillion parameter models", arXiv:1910.02054.

    Examples
    --------
    Llama-2 7B over two accelerators: half of 6.74 billion weights, two bytes each.

    >>> llama = decoder(num_hidden_layers=32, hidden_size=4096, intermediate_size=11008, num_attention_heads=32,
    ...                 vocab_size=32000)
    >>> out = peak(llama, Layout(tp=2, dp=4, zero_stage=1, sequence_parallel=1))
    >>> print(round(float(out["weights"]) / 1e9, 2), bool(out["total"] == sum(out[c] for c in CATEGORIES)))
    6.74 True
    """
    recipe = Recipe(optimizer, precision, trainable, lora_rank)
    worst: dict[str, Any] = {}
    for part in _stage_peaks(shape, layout, recipe, constants, stages):
        fuller = part["total"] > worst.get("total", -np.inf)
        worst = {c: np.where(fuller, part[c], worst.get(c, 0.0)) for c in (*CATEGORIES, "total")}
    return worst


def peak_total(
    shape: Shape,
    layout: Layout,
    *,
    optimizer: str = "adamw",
    precision: str = "bf16",
    trainable: str = "full",
    lora_rank: Numeric = 0,
    constants: MemoryConstants = MEMORY_PROFILES["megatron"],
) -> Numeric:
    """The ``total`` of `peak`, where nobody asks for the categories. [B]"""
    recipe = Recipe(optimizer, precision, trainable, lora_rank)
    total: Numeric = 0.0
    for part in _stage_peaks(shape, layout, recipe, constants, STAGES):
        total = np.where(part["total"] > total, part["total"], total)
    return total


def _stage_peaks(
    shape: Shape, layout: Layout, recipe: Recipe, constants: MemoryConstants, stages: tuple[str, ...]
) -> Iterator[dict[str, Numeric]]:
    """`stage_peak` with its ``total`` of every stage that can be the fullest. [B]"""
    element = states.PRECISIONS[recipe.precision].activations
    work = work_of(shape, layout, element=element, constants=constants)
    both_ends = constants.stage_balance and np.any(is_dualpipe(layout))
    if not np.any(np.asarray(shape.num_experts) > 0) and not both_ends:
        # With equal layers, or the last stage the emptiest, no middle one holds more than the first. But under DualPipe a
        # device holds two middle stages, or the first with the emptiest.
        stages = tuple(n for n in stages if n != "middle") or stages
    if np.all(np.asarray(layout.pp) == 1):
        stages = stages[:1]
    for stage in stages:
        part = stage_peak(shape, layout, work, stage=stage, recipe=recipe, constants=constants)
        yield {**part, "total": sum(part[c] for c in CATEGORIES)}
