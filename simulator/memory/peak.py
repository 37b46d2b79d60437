"""Peak memory of one accelerator at the worst moment of a training step, by category."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from simulator import transformer
from simulator.layout import Layout, shard_degree
from simulator.memory import activations, states
from simulator.memory.constants import MEMORY_PROFILES, MemoryConstants
from simulator.transformer import Shape

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

STAGES = ("first", "middle", "last")
"""Pipeline stages that can be the fullest."""


@dataclass(frozen=True)
class Held:
    """What one pipeline stage holds: layers and parameters of one accelerator."""

    dense_layers: Numeric
    sparse_layers: Numeric
    matrix: Numeric
    """Parameters of layers, apart from routed experts."""
    other: Numeric
    """Parameters of embeddings and head."""
    experts: Numeric
    inflight: Numeric
    logits: Numeric
    """1 where the stage computes logits."""


def layers_on_stage(s: Shape, layout: Layout, *, stage: str, balance: int = 0) -> Numeric:
    """Layers that one pipeline stage holds. [layers]

    Evenly dealt: ``ceil(L / pp)``. With ``balance`` the output head counts as a layer by its cost and the first stage takes
    layers until it has passed its share (nanotron's `build_model`).
    """
    pp, n = np.asarray(layout.pp), np.asarray(s.num_hidden_layers)
    even = np.ceil(n / pp)
    if not balance:
        return even
    h = np.asarray(s.hidden_size)
    head = h * s.vocab_size / (4 * h * s.num_attention_heads * s.head_dim + 3 * h * np.asarray(s.intermediate_size))
    share = (n + head) / pp
    passed = np.where(pp > 1, np.floor(share) + 1, n)
    last = np.where(pp > 1, np.maximum(0, n - np.floor(share * (pp - 1)) - 1), n)
    return np.minimum(last if stage == "last" else passed, n)


def stage_parts(s: Shape, layout: Layout, *, stage: str, constants: MemoryConstants) -> Held:
    """Layers, parameters and micro-batches in flight of one pipeline stage."""
    pp, tp = np.asarray(layout.pp), np.asarray(layout.tp)
    layers = layers_on_stage(s, layout, stage=stage, balance=constants.stage_balance)
    moe_share = transformer.moe_layers(s) / np.asarray(s.num_hidden_layers)
    first_dense = np.where(np.asarray(s.num_experts) > 0, np.minimum(s.first_k_dense_replace, layers), layers)
    sparse = (layers - first_dense) / s.moe_layer_freq if stage == "first" else layers * np.where(moe_share > 0, 1, 0)
    if stage != "first":
        sparse = np.where(moe_share > 0, layers / s.moe_layer_freq, 0)
    sparse = np.where(pp == 1, transformer.moe_layers(s), sparse)
    dense = layers - sparse
    is_first, is_last = np.where(pp == 1, 1, stage == "first"), np.where(pp == 1, 1, stage == "last")
    matrix = dense * states.dense_layer_weights(s, tp=tp) + sparse * states.sparse_layer_weights(s, tp=tp)
    positions = np.asarray(s.learned_positions) * s.hidden_size
    table = (transformer.embedding_parameters(s) - positions) / tp + positions
    own_head = np.where(pp == 1, 1 - np.asarray(s.tie_word_embeddings), 1) * np.asarray(s.vocab_size) * s.hidden_size
    other = is_first * table + is_last * own_head / tp
    rank = {"first": 0, "middle": np.minimum(1, pp - 1), "last": pp - 1}[stage]
    return Held(
        dense_layers=dense,
        sparse_layers=sparse,
        matrix=matrix,
        other=other,
        experts=sparse * states.expert_weights(s, layout),
        inflight=activations.inflight_microbatches(layout, stage=rank),
        logits=is_last,
    )


def sharded(amount: Numeric, *, zero_stage: Numeric, at: int, degree: Numeric) -> Numeric:
    """Divide `amount` by `degree` where the ZeRO stage is at least `at`."""
    return amount / np.where(np.asarray(zero_stage) >= at, degree, 1)


def state_bytes(
    s: Shape,
    layout: Layout,
    held: Held,
    *,
    optimizer: str,
    precision: str,
    trainable: str,
    lora_rank: Numeric,
    constants: MemoryConstants,
) -> dict[str, Numeric]:
    """Weights, gradients and optimizer states of one stage. [B]"""
    recipe, moments = states.PRECISIONS[precision], states.OPTIMIZERS[optimizer]
    z, ranks = layout.zero_stage, shard_degree(layout)
    expert_ranks = np.minimum(states.expert_shard_degree(layout), np.maximum(1, ranks * layout.tp))
    master = recipe.weights if not recipe.master else recipe.master
    z3 = np.asarray(z) >= 3
    per_weight = np.where(z3, master, recipe.weights) if constants.sharded_master else recipe.weights
    per_master = np.where(z3, 0.0, recipe.master) if constants.sharded_master else recipe.master
    buckets = np.where((ranks > 1) & (np.asarray(z) < 2), constants.bucket_bytes, 0.0)
    gradient = np.maximum(recipe.weights, constants.gradient_bytes) if recipe.weights > 2 else constants.gradient_bytes
    frozen = trainable != "full"
    layers = held.dense_layers + held.sparse_layers
    adapters = layers * states.lora_parameters_per_layer(s, rank=lora_rank, tp=layout.tp) if frozen else 0.0
    matrix, other, experts = (adapters, 0.0, 0.0) if frozen else (held.matrix, held.other, held.experts)
    dense = matrix + other
    return {
        "weights": sharded(held.matrix + held.other, zero_stage=z, at=3, degree=ranks) * per_weight
        + sharded(held.experts, zero_stage=z, at=3, degree=expert_ranks) * per_weight
        + (adapters * recipe.weights if frozen else 0.0),
        "gradients": sharded(dense, zero_stage=z, at=2, degree=ranks) * gradient
        + sharded(experts, zero_stage=z, at=2, degree=expert_ranks) * gradient
        + (dense + experts) * buckets,
        "optimizer": sharded(matrix, zero_stage=z, at=1, degree=ranks) * (per_master + moments.matrix)
        + sharded(other, zero_stage=z, at=1, degree=ranks) * (per_master + moments.other)
        + sharded(experts, zero_stage=z, at=1, degree=expert_ranks) * (per_master + moments.matrix),
    }


def gathered_bytes(s: Shape, layout: Layout, held: Held, *, element: float, constants: MemoryConstants) -> Numeric:
    """Whole weights and gradients of the layers at work where ZeRO shards them. [B]

    Under ZeRO-3 the running layer and the prefetched one are present whole, and one layer's gradient before it is scattered;
    under ZeRO-2 the gradient alone. Never more than the stage has, and only the part that is not resident.
    """
    ranks, z = shard_degree(layout), np.asarray(layout.zero_stage)
    total = held.matrix + held.other + held.experts
    layers = np.maximum(held.dense_layers + held.sparse_layers, 1)
    layer = np.maximum((held.matrix + held.experts) / layers, held.other)
    away = 1.0 - 1.0 / np.asarray(np.maximum(ranks, 1))
    weights = np.minimum(constants.gathered_layers * layer, total)
    gradient = np.minimum(layer, total)
    return element * away * (np.where(z >= 3, weights, 0.0) + np.where(z >= 2, gradient, 0.0))


def transient_bytes(s: Shape, layout: Layout, *, element: float, constants: MemoryConstants) -> Numeric:
    """Whole-width tensors that sequence parallelism gathers at the worst moment. [B]"""
    tokens = activations.tokens_per_microbatch(layout)
    split = (np.asarray(layout.tp) > 1) & (np.asarray(layout.sequence_parallel) > 0)
    return np.where(split, constants.gathered_tensors, 0.0) * element * tokens * np.asarray(s.hidden_size)


def activation_bytes(
    s: Shape, layout: Layout, held: Held, *, element: float, constants: MemoryConstants
) -> Numeric:
    """Activations of the micro-batches in flight on one stage, with one layer's working set under recomputation. [B]"""
    dense = activations.layer_bytes(s, layout, sparse=False, constants=constants, element=element)
    sparse = activations.layer_bytes(s, layout, sparse=True, constants=constants, element=element)
    kept = held.inflight * (held.dense_layers * dense + held.sparse_layers * sparse)
    whole_layout = layout.with_(recompute=0)
    whole: Numeric = np.where(
        held.sparse_layers > 0,
        activations.layer_bytes(s, whole_layout, sparse=True, constants=constants, element=element),
        activations.layer_bytes(s, whole_layout, sparse=False, constants=constants, element=element),
    )
    drop: Numeric = np.where(held.sparse_layers > 0, sparse, dense)
    return kept + np.where(np.asarray(layout.recompute) > 0, whole - drop, 0.0)


def communicators(layout: Layout) -> Numeric:
    """NCCL communicators that one rank opens: one per parallel dimension in use. [-]"""
    degrees = (layout.tp, layout.pp, layout.dp, layout.cp, layout.ep)
    return sum((np.where(np.asarray(n) > 1, 1, 0) for n in degrees), start=np.asarray(0))


def stage_peak(
    s: Shape,
    layout: Layout,
    *,
    stage: str,
    optimizer: str,
    precision: str,
    trainable: str,
    lora_rank: Numeric,
    constants: MemoryConstants,
) -> dict[str, Numeric]:
    """Peak of one pipeline stage by category: the worse of backward pass and optimizer step. [B]"""
    held = stage_parts(s, layout, stage=stage, constants=constants)
    element = states.PRECISIONS[precision].activations
    out = state_bytes(
        s,
        layout,
        held,
        optimizer=optimizer,
        precision=precision,
        trainable=trainable,
        lora_rank=lora_rank,
        constants=constants,
    )
    tokens = activations.tokens_per_microbatch(layout)
    work = transient_bytes(s, layout, element=element, constants=constants)
    kept = activation_bytes(s, layout, held, element=element, constants=constants) + work
    logits = held.logits * constants.logit_bytes * tokens * np.asarray(s.vocab_size) / layout.tp
    gathered = gathered_bytes(s, layout, held, element=element, constants=constants)
    ranks = shard_degree(layout)
    update = np.where(
        (np.asarray(layout.zero_stage) >= 1) & (ranks > 1), constants.optimizer_gather_bytes * (1 + 1 / ranks), 0.0
    ) * (held.matrix + held.other + held.experts)
    backward = kept + logits + gathered
    in_backward = backward >= update
    out["activations"] = np.where(in_backward, kept, 0.0)
    out["logits"] = np.where(in_backward, logits, 0.0)
    out["gathered"] = np.where(in_backward, gathered, update)
    out["communication"] = communicators(layout) * constants.communicator_bytes
    out["fragmentation"] = constants.fragmentation * backward + constants.reserve_bytes
    out["context"] = np.asarray(constants.context_bytes)
    return out


def peak(
    s: Shape,
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
    s, layout : Shape, Layout
        Model and layout; scalars or arrays that broadcast.
    optimizer : str, optional
        A key of `OPTIMIZERS`.
    precision : str, optional
        A key of `PRECISIONS`.
    trainable : {"full", "lora"}, optional
        What receives gradients.
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
    Optimistic for unbalanced expert routing and for allocators that fragment more than the fitted share.

    References
    ----------
    .. [1] V. Korthikanti et al., "Reducing activation recomputation in large transformer models", arXiv:2205.05198.
    .. [2] S. Rajbhandari et al., "ZeRO: memory optimizations toward training trillion parameter models", arXiv:1910.02054.

    Examples
    --------
    >>> llama = transformer.decoder(num_hidden_layers=32, hidden_size=4096, intermediate_size=11008,
    ...                             num_attention_heads=32, vocab_size=32000)
    >>> out = peak(llama, Layout(tp=2, dp=4, zero_stage=1, seq_length=4096, sequence_parallel=1))
    >>> print(round(float(out["weights"]) / 1e9, 2), float(out["total"]) == sum(float(out[c]) for c in CATEGORIES))
    6.74 True
    """
    parts = [
        stage_peak(
            s,
            layout,
            stage=stage,
            optimizer=optimizer,
            precision=precision,
            trainable=trainable,
            lora_rank=lora_rank,
            constants=constants,
        )
        for stage in stages
    ]
    worst = {c: parts[0][c] for c in CATEGORIES}
    total = sum(worst[c] for c in CATEGORIES)
    for part in parts[1:]:
        other = sum(part[c] for c in CATEGORIES)
        fuller = other > total
        worst = {c: np.where(fuller, part[c], worst[c]) for c in CATEGORIES}
        total = np.where(fuller, other, total)
    worst["total"] = sum(worst[c] for c in CATEGORIES)
    return worst
