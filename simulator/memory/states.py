"""Bytes per parameter of weights, gradients and optimizer states, and how ZeRO shards them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from simulator import transformer
from simulator.layout import Layout, expert_tp
from simulator.transformer import Shape

Numeric = Any


@dataclass(frozen=True)
class Precision:
    """Bytes per element of one mixed-precision recipe."""

    weights: float
    """Resident weights that the forward pass reads. [B/parameter]"""
    master: float
    """Separate master copy that the optimizer updates; 0 if it updates the weights themselves. [B/parameter]"""
    gradient: float
    """Gradient; 0 where the framework decides. [B/parameter]"""
    activations: float
    """Element of an activation. [B]"""
    source: str


PRECISIONS: dict[str, Precision] = {
    "bf16": Precision(2, 4, 0, 2, "arXiv:1710.03740; arXiv:1910.02054, section 3"),
    "fp16": Precision(2, 4, 0, 2, "arXiv:1710.03740; arXiv:1910.02054, section 3"),
    "fp32": Precision(4, 0, 4, 4, "the weights are their own master"),
    "tf32": Precision(4, 0, 4, 4, "TF32 changes the multiplication, not the storage"),
    "bf16_pure": Precision(
        2, 0, 2, 2, "torchtune full_finetune_single_device: bf16 weights updated in place"
    ),
    "fp8": Precision(
        4, 4, 0, 2, "TransformerEngine: bf16 weights and an fp8 copy for each of two GEMM layouts"
    ),
}
"""Recipes by name. ``fp8`` keeps activations at 2 B: pessimistic, as the inputs of fp8 GEMMs are kept at 1 B."""

WHOLE = ("fp32", "tf32", "bf16_pure")
"""Recipes in which nothing is cast: weights are as wide as the operands."""


@dataclass(frozen=True)
class OptimizerStates:
    """Bytes of optimizer state per parameter, without the master copy."""

    matrix: float
    """For the weights of layers. [B/parameter]"""
    other: float
    """For embeddings and head. [B/parameter]"""
    source: str


OPTIMIZERS: dict[str, OptimizerStates] = {
    "adamw": OptimizerStates(8, 8, "two fp32 moments: arXiv:1711.05101"),
    "adamw_bf16": OptimizerStates(4, 4, "two bf16 moments: DeepSeek-V3, arXiv:2412.19437, section 3.3.2"),
    "adamw_8bit": OptimizerStates(
        2 * (1 + 4 / 256),
        2 * (1 + 4 / 256),
        "two 8-bit moments, an fp32 scale per block of 256: bitsandbytes",
    ),
    "adafactor": OptimizerStates(
        0.004, 0.004, "sums of rows and columns, 4 (1/r + 1/c) B: arXiv:1804.04235; r, c = 2048"
    ),
    "muon": OptimizerStates(4, 8, "one fp32 momentum for matrices, AdamW for the rest: arXiv:2502.16982"),
    "lion": OptimizerStates(4, 4, "one fp32 momentum: arXiv:2302.06675"),
    "sgd": OptimizerStates(0, 0, "no state"),
    "sgd_momentum": OptimizerStates(4, 4, "one fp32 momentum"),
}
"""Optimizers by name."""


def update_bytes(*, precision: str, optimizer: str) -> float:
    """Bytes per weight that an optimizer step reads and writes. [B/parameter]

    Master copy and moments in and out, the gradient in, the 16-bit weight out. A gradient whose width the framework decides
    counts 4 bytes.

    Examples
    --------
    >>> update_bytes(precision="bf16", optimizer="adamw"), update_bytes(precision="bf16_pure", optimizer="adamw_bf16")
    (30.0, 14.0)
    """
    kept = PRECISIONS[precision]
    own, copy = (kept.master, min(kept.weights, 2.0)) if kept.master else (kept.weights, 0.0)
    return float(2.0 * (own + OPTIMIZERS[optimizer].matrix) + (kept.gradient or 4.0) + copy)


def update_share(*, precision: str, optimizer: str) -> float:
    """Bytes of an optimizer step relative to AdamW with a 32-bit master copy and 32-bit moments. [-]

    Examples
    --------
    >>> update_share(precision="bf16", optimizer="adamw")
    1.0
    """
    usual = update_bytes(precision="bf16", optimizer="adamw")
    return update_bytes(precision="fp8" if precision == "fp4" else precision, optimizer=optimizer) / usual


def attention_weights(s: Shape, *, tp: Numeric) -> Numeric:
    """Attention weights of one layer on one accelerator, low-rank down-projections replicated. [parameters]"""
    low_rank = np.asarray(s.q_lora_rank) + s.kv_lora_rank + s.qk_rope_head_dim
    replicated = np.where(transformer.is_latent(s), np.asarray(s.hidden_size) * low_rank, 0)
    return (transformer.attention_matrix_parameters(s) - replicated) / tp + replicated


def dense_layer_weights(s: Shape, *, tp: Numeric) -> Numeric:
    """Weights of one dense layer on one accelerator; norms and biases are replicated. [parameters]"""
    vectors = transformer.small_layer_parameters(s)
    if np.any(np.asarray(s.num_experts) > 0):  # a dense layer of a sparse model has its biases here
        vectors = vectors + np.where(
            np.asarray(s.num_experts) > 0, transformer.mlp_bias_parameters(s, width=s.intermediate_size), 0
        )
    return attention_weights(s, tp=tp) + transformer.dense_mlp_parameters(s) / tp + vectors


def sparse_layer_weights(s: Shape, *, tp: Numeric) -> Numeric:
    """Weights of one mixture-of-experts layer on one accelerator, without its routed experts. [parameters]"""
    shared = transformer.shared_expert_parameters(s) / tp
    vectors = transformer.small_layer_parameters(s) + transformer.router_parameters(s)
    return attention_weights(s, tp=tp) + shared + vectors


def expert_weights(s: Shape, layout: Layout) -> Numeric:
    """Routed experts of one layer on one accelerator. [parameters]"""
    biases = transformer.mlp_bias_parameters(s, width=s.moe_intermediate_size)
    expert = transformer.expert_parameters(s) + biases
    return expert * np.asarray(s.num_experts) / layout.ep / expert_tp(layout)


def lora_parameters_per_layer(s: Shape, *, rank: Numeric, tp: Numeric) -> Numeric:
    """Adapters on every projection of one dense layer, ``r (in + out)`` each (arXiv:2106.09685). [parameters]"""
    h, f = np.asarray(s.hidden_size), np.asarray(s.intermediate_size)
    q, kv, v = transformer.query_width(s), transformer.key_value_width(s), transformer.value_width(s)
    attention = (h + q) + (2 * h + kv) + (v + h)
    return rank * (attention + transformer.mlp_matrices(s) * (h + f)) / tp


def largest_matrix(s: Shape, layout: Layout) -> Numeric:
    """Weights of the largest matrix of a layer on one accelerator; gate, up and down are three. [parameters]"""
    h, tp = np.asarray(s.hidden_size), np.asarray(layout.tp)
    attention = np.maximum(transformer.query_width(s), transformer.value_width(s))
    wide = np.maximum(attention, np.where(np.asarray(s.num_experts) > 0, 0, s.intermediate_size))
    return h * np.maximum(wide / tp, np.asarray(s.moe_intermediate_size) / expert_tp(layout))


def sharded(amount: Numeric, *, zero_stage: Numeric, at: int, degree: Numeric) -> Numeric:
    """Divide `amount` by `degree` where the ZeRO stage is at least `at`."""
    return amount / np.where(np.asarray(zero_stage) >= at, degree, 1)
