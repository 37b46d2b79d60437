"""What one pipeline stage holds on one accelerator: layers, parameters, micro-batches in flight."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from simulator import pipeline, transformer
from simulator.layout import Layout, is_dualpipe
from simulator.memory import activations, states
from simulator.transformer import Shape

Numeric = Any

STAGES = ("first", "middle", "last")
"""Pipeline stages that can be the fullest: the first has most micro-batches in flight, the last has the logits."""


@dataclass(frozen=True)
class Held:
    """Layers and parameters of one accelerator of one pipeline stage."""

    dense_layers: Numeric
    sparse_layers: Numeric
    matrix: Numeric
    """Parameters of layers, apart from routed experts."""
    other: Numeric
    """Parameters of embeddings and head."""
    experts: Numeric
    """Parameters of routed experts."""
    inflight: Numeric
    """Micro-batches whose activations are kept at once."""
    has_logits: Numeric
    """1 where the stage computes logits."""

    @property
    def layers(self) -> Numeric:
        """Layers of both kinds."""
        return self.dense_layers + self.sparse_layers

    @property
    def parameters(self) -> Numeric:
        """Parameters of all kinds."""
        return self.matrix + self.other + self.experts


def layers_on_stage(s: Shape, layout: Layout, *, stage: str, balance: int = 0) -> Numeric:
    """Layers that one pipeline stage holds, dealt as `pipeline.stage_layers` says. [layers]

    Dealt evenly (``balance`` 0), every stage counts as the fullest.
    """
    n, pp = np.asarray(s.num_hidden_layers), np.asarray(layout.pp)
    first, last = pipeline.stage_layers(
        num_hidden_layers=n, pp=pp, balance=balance, head=pipeline.head_cost(s)
    )
    return np.where(pp > 1, last if stage == "last" and balance else first, n)


def sparse_on_stage(s: Shape, layout: Layout, layers: Numeric, *, stage: str) -> Numeric:
    """Mixture-of-experts layers among the layers of one stage; dense first layers are on the first stage. [layers]"""
    dense_first = np.minimum(s.first_k_dense_replace, layers) if stage == "first" else np.asarray(0)
    sparse = np.where(np.asarray(s.num_experts) > 0, np.ceil((layers - dense_first) / s.moe_layer_freq), 0)
    return np.where(np.asarray(layout.pp) == 1, transformer.moe_layers(s), sparse)


def hold_both_ends(s: Shape, layout: Layout, held: Held, *, stage: str, balance: int = 0) -> Held:
    """Add the parameters of the stage at the other end, which the same device holds under DualPipe (arXiv:2412.19437)."""
    both = is_dualpipe(layout) & (np.asarray(layout.pp) > 1)
    if not np.any(both):
        return held
    there = hold(s, layout, stage={"first": "last", "last": "first"}.get(stage, stage), balance=balance)
    return replace(
        held,
        matrix=held.matrix + both * there.matrix,
        other=held.other + both * there.other,
        experts=held.experts + both * there.experts,
        has_logits=np.maximum(held.has_logits, both * there.has_logits),
    )


def hold(s: Shape, layout: Layout, *, stage: str, balance: int = 0) -> Held:
    """Return what pipeline stage `stage` holds (tied embeddings have a copy on the first and on the last stage)."""
    pp, tp = np.asarray(layout.pp), np.asarray(layout.tp)
    layers = layers_on_stage(s, layout, stage=stage, balance=balance)
    sparse = sparse_on_stage(s, layout, layers, stage=stage)
    dense = layers - sparse
    is_first, is_last = np.where(pp == 1, 1, stage == "first"), np.where(pp == 1, 1, stage == "last")
    positions = np.asarray(s.learned_positions) * s.hidden_size
    table = (transformer.embedding_parameters(s) - positions) / tp + positions
    tied_here = np.where(pp == 1, s.tie_word_embeddings, 0)
    head = ((1 - tied_here) * np.asarray(s.hidden_size) + s.lm_head_bias) * s.vocab_size / tp
    head = head + s.final_norm * np.asarray(s.hidden_size) * s.norm_parameters + s.extra_parameters
    rank: Numeric = {"first": 0, "middle": np.minimum(1, pp - 1), "last": pp - 1}[stage]
    matrix = dense * states.dense_layer_weights(s, tp=tp)
    experts: Numeric = 0.0
    if np.any(np.asarray(s.num_experts) > 0):
        matrix = matrix + sparse * states.sparse_layer_weights(s, tp=tp)
        experts = sparse * states.expert_weights(s, layout)
    return Held(
        dense_layers=dense,
        sparse_layers=sparse,
        matrix=matrix,
        other=is_first * table + is_last * head,
        experts=experts,
        inflight=activations.inflight_microbatches(layout, stage=rank),
        has_logits=is_last,
    )
