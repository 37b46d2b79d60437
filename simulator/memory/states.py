"""Bytes per parameter of weights and optimizer states, and the parameters that one accelerator holds."""

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
    activations: float
    """Element of an activation. [B]"""
    source: str


PRECISIONS: dict[str, Precision] = {
    "bf16": Precision(2, 4, 2, "Micikevicius et al., arXiv:1710.03740; Rajbhandari et al., arXiv:1910.02054, section 3"),
    "fp16": Precision(2, 4, 2, "Micikevicius et al., arXiv:1710.03740"),
    "fp32": Precision(4, 0, 4, "weights are their own master"),
    "tf32": Precision(4, 0, 4, "TF32 changes the multiplication, not the storage"),
    "bf16_pure": Precision(2, 0, 2, "torchtune full_finetune_single_device: bf16 weights updated in place"),
    "fp8": Precision(4, 4, 2, "NVIDIA/TransformerEngine: bf16 weights plus fp8 copies for both GEMM layouts"),
}
"""Recipes by name."""


@dataclass(frozen=True)
class OptimizerStates:
    """Bytes of optimizer state per parameter, without the master copy."""

    matrix: float
    """For weight matrices of the layers. [B/parameter]"""
    other: float
    """For embeddings, head and vectors. [B/parameter]"""
    source: str


OPTIMIZERS: dict[str, OptimizerStates] = {
    "adamw": OptimizerStates(8, 8, "two fp32 moments; Kingma and Ba, arXiv:1412.6980"),
    "adamw_bf16": OptimizerStates(4, 4, "two bf16 moments; DeepSeek-V3, arXiv:2412.19437, section 3.3.2"),
    "adamw_8bit": OptimizerStates(
        2 * (1 + 4 / 256), 2 * (1 + 4 / 256), "two 8-bit moments, one fp32 scale per 256; bitsandbytes>=0.43"
    ),
    "adafactor": OptimizerStates(0.004, 0.004, "row and column sums only, 4 B (1/rows + 1/columns); arXiv:1804.04235"),
    "muon": OptimizerStates(4, 8, "one fp32 momentum for matrices, AdamW for the rest; Moonlight, arXiv:2502.16982"),
    "lion": OptimizerStates(4, 4, "one fp32 momentum; arXiv:2302.06675"),
    "sgd": OptimizerStates(0, 0, "no state"),
    "sgd_momentum": OptimizerStates(4, 4, "one fp32 momentum"),
}
"""Optimizers by name."""


def attention_weights(s: Shape, *, tp: Numeric) -> Numeric:
    """Attention weights of one layer on one accelerator, low-rank down-projections replicated. [parameters]"""
    h = np.asarray(s.hidden_size)
    replicated = np.where(transformer.is_latent(s), h * (np.asarray(s.q_lora_rank) + s.kv_lora_rank + s.qk_rope_head_dim), 0)
    return (transformer.attention_matrix_parameters(s) - replicated) / tp + replicated


def vector_weights(s: Shape) -> Numeric:
    """Norms and biases of one layer, replicated over the tensor-parallel group. [parameters]"""
    return transformer.small_layer_parameters(s)


def dense_layer_weights(s: Shape, *, tp: Numeric) -> Numeric:
    """Weights of one dense layer on one accelerator. [parameters]"""
    return attention_weights(s, tp=tp) + transformer.dense_mlp_parameters(s) / tp + vector_weights(s)


def sparse_layer_weights(s: Shape, *, tp: Numeric) -> Numeric:
    """Weights of one mixture-of-experts layer on one accelerator, without its routed experts. [parameters]"""
    shared = transformer.shared_expert_parameters(s) / tp
    return attention_weights(s, tp=tp) + shared + transformer.router_parameters(s) + vector_weights(s)


def expert_weights(s: Shape, layout: Layout) -> Numeric:
    """Routed experts of one layer on one accelerator. [parameters]"""
    return transformer.expert_parameters(s) * np.asarray(s.num_experts) / layout.ep / expert_tp(layout)


def expert_shard_degree(layout: Layout) -> Numeric:
    """Ranks that hold the same experts: their own data-parallel group. [-]"""
    ranks = np.asarray(layout.dp) * layout.cp * layout.tp
    return np.maximum(1, ranks / (np.asarray(layout.ep) * expert_tp(layout)))


def lora_parameters_per_layer(s: Shape, *, rank: Numeric, tp: Numeric) -> Numeric:
    """Adapters on every projection of one dense layer, ``r (in + out)`` each. [parameters]"""
    h, f, q, kv, v = (
        np.asarray(s.hidden_size),
        np.asarray(s.intermediate_size),
        transformer.query_width(s),
        transformer.key_value_width(s),
        transformer.value_width(s),
    )
    attention = (h + q) + (2 * h + kv) + (v + h)
    return rank * (attention + transformer.mlp_matrices(s) * (h + f)) / tp
