"""A decoder as numbers: its parameters and its floating-point operations.

`Shape` holds the sizes of a decoder-only transformer under their Hugging Face names. Every field is a number or a
numpy array, and all arrays broadcast against each other, so that one `Shape` is either one model or a lattice of models.

The functions below are closed formulas of a `Shape`. They hold for multi-head, grouped-query and multi-head latent
attention, for plain and gated feed-forward blocks, for dense models and mixtures of experts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from simulator.columns import Columns, Numeric
from simulator.errors import Problem, SpecError

Formula = Callable[["Shape"], Numeric]


@dataclass(frozen=True)
class Shape(Columns):
    """Sizes of a decoder-only transformer (scalars, or arrays that broadcast).

    Names are those of Hugging Face's ``config.json``. Flags are 0 or 1 so that they broadcast too.
    """

    num_hidden_layers: Numeric
    hidden_size: Numeric
    intermediate_size: Numeric
    num_attention_heads: Numeric
    num_key_value_heads: Numeric
    head_dim: Numeric
    vocab_size: Numeric
    gated: Numeric = 1
    """1 for SwiGLU/GeGLU (three matrices), 0 for a plain feed-forward block (two)."""
    tie_word_embeddings: Numeric = 0
    learned_positions: Numeric = 0
    """Rows of a learned position table; 0 for rotary or ALiBi."""
    rotary: Numeric = 1
    # mixture of experts; num_experts = 0 is a dense model
    num_experts: Numeric = 0
    num_experts_per_tok: Numeric = 0
    moe_intermediate_size: Numeric = 0
    shared_expert_intermediate_size: Numeric = 0
    first_k_dense_replace: Numeric = 0
    moe_layer_freq: Numeric = 1
    """One layer in this many is a mixture of experts (after the dense first layers)."""
    # what attention sees: `simulator.windows`
    sliding_window: Numeric = 0
    """Last tokens, itself included, that a token sees in a windowed layer; 0 where every layer sees all."""
    attention_chunk_size: Numeric = 0
    """Tokens of a chunk where a token sees its own chunk only (Llama 4); 0 for none."""
    sliding_window_pattern: Numeric = 0
    """One layer in this many sees the whole sequence nevertheless; 0 where none does."""
    # multi-head latent attention; kv_lora_rank = 0 is ordinary attention
    q_lora_rank: Numeric = 0
    kv_lora_rank: Numeric = 0
    qk_nope_head_dim: Numeric = 0
    qk_rope_head_dim: Numeric = 0
    v_head_dim: Numeric = 0
    # what exact parameter counts need and nothing else does
    attention_bias: Numeric = 0
    attention_output_bias: Numeric = 0
    mlp_bias: Numeric = 0
    norm_parameters: Numeric = 1
    """Vectors per normalisation: 1 RMSNorm, 2 LayerNorm (weight and bias), 0 non-parametric."""
    norms_per_layer: Numeric = 2
    final_norm: Numeric = 1
    embedding_norm: Numeric = 0
    qk_norm_size: Numeric = 0
    """Parameters of the query and key normalisations in one layer."""
    router_bias: Numeric = 0
    shared_expert_gate: Numeric = 0
    embedding_proj_dim: Numeric = 0
    """Width of the embedding where it differs from the model's (OPT-350m); 0 if it does not."""
    lm_head_bias: Numeric = 0
    attention_sinks: Numeric = 0
    """1 where each query head learns a logit that no token receives (gpt-oss)."""
    num_nextn_predict_layers: Numeric = 0
    """Blocks for multi-token prediction, counted apart: see `multi_token_prediction_parameters`."""
    extra_parameters: Numeric = 0
    """Parameters outside this scheme, counted one by one."""


def decoder(
    *,
    num_hidden_layers: Numeric,
    hidden_size: Numeric,
    num_attention_heads: Numeric,
    vocab_size: Numeric,
    intermediate_size: Numeric | None = None,
    num_key_value_heads: Numeric | None = None,
    head_dim: Numeric | None = None,
    **flags: Numeric,
) -> Shape:
    """Build a `Shape`, filling what is usually left out.

    Parameters
    ----------
    num_hidden_layers, hidden_size, num_attention_heads, vocab_size : numeric
        Layers, width, query heads, vocabulary. [-]
    intermediate_size : numeric, optional
        Width of the feed-forward block; ``4 * hidden_size`` if absent. [-]
    num_key_value_heads : numeric, optional
        Key and value heads; as many as query heads if absent. [-]
    head_dim : numeric, optional
        Width of a head; ``hidden_size / num_attention_heads`` if absent. [-]
    **flags : numeric
        Any other field of `Shape`.

    Examples
    --------
    >>> gpt3 = decoder(num_hidden_layers=96, hidden_size=12288, num_attention_heads=96, vocab_size=51200,
    ...                gated=0, tie_word_embeddings=1, learned_positions=2048)
    >>> print(round(parameters(gpt3) / 1e9, 1))
    174.6
    """
    return Shape(
        num_hidden_layers=num_hidden_layers,
        hidden_size=hidden_size,
        intermediate_size=4 * hidden_size if intermediate_size is None else intermediate_size,
        num_attention_heads=num_attention_heads,
        num_key_value_heads=num_attention_heads if num_key_value_heads is None else num_key_value_heads,
        head_dim=hidden_size / num_attention_heads if head_dim is None else head_dim,
        vocab_size=vocab_size,
        **flags,
    )


def shape_of(model: Any) -> Shape:
    """Return the `Shape` of a `simulator.schema.Model`, or of a mapping of a Shape's fields as importers return it.

    Raises
    ------
    SpecError
        If the model's ``exact`` names a field that a Shape does not have.

    Examples
    --------
    >>> from simulator.schema.model import Model
    >>> small = shape_of(Model(num_hidden_layers=12, hidden_size=768, num_attention_heads=12, vocab_size=50257))
    >>> small.head_dim, small.intermediate_size
    (64, 2048)
    """
    sizes = dict(model) if isinstance(model, Mapping) else model.sizes()
    known = {f.name for f in fields(Shape)}
    wrong = [name for name in sizes if name not in known]
    if wrong:
        raise SpecError(
            [
                Problem(
                    "no such size of a decoder",
                    path=f"exact.{name}"[:80],
                    hint=f"known: {', '.join(sorted(known))}",
                )
                for name in wrong
            ]
        )
    return Shape(**sizes)


# --- widths ---------------------------------------------------------------------------------------------------------


def _where(condition: Any, a: Numeric, b: Numeric) -> Numeric:
    """`numpy.where` that copies nothing where the condition is one value for the whole lattice."""
    one = np.asarray(condition)
    return (a if one else b) if one.ndim == 0 else np.where(one, a, b)


def _either(condition: Any, yes: Formula, no: Formula, s: Shape) -> Numeric:
    """``yes(s)`` where the condition holds, else ``no(s)``; one of them is left out if it holds nowhere."""
    one = np.asarray(condition)
    return (yes(s) if one else no(s)) if one.ndim == 0 else np.where(one, yes(s), no(s))


def is_latent(s: Shape) -> Numeric:
    """Return 1 where attention is multi-head latent (DeepSeek), 0 where it is not."""
    return np.asarray(s.kv_lora_rank) > 0


def query_width(s: Shape) -> Numeric:
    """Width of all queries of one token, over all heads. [elements]"""
    latent = s.num_attention_heads * (np.asarray(s.qk_nope_head_dim) + s.qk_rope_head_dim)
    return _where(is_latent(s), latent, np.asarray(s.num_attention_heads) * s.head_dim)


def key_value_width(s: Shape) -> Numeric:
    """Width of the keys and values of one token as the attention kernel reads them. [elements]"""
    latent = s.num_attention_heads * (np.asarray(s.qk_nope_head_dim) + s.qk_rope_head_dim + s.v_head_dim)
    return _where(is_latent(s), latent, 2 * np.asarray(s.num_key_value_heads) * s.head_dim)


def value_width(s: Shape) -> Numeric:
    """Width of attention's output before the output projection. [elements]"""
    return _where(
        is_latent(s),
        np.asarray(s.num_attention_heads) * s.v_head_dim,
        np.asarray(s.num_attention_heads) * s.head_dim,
    )


def mlp_matrices(s: Shape) -> Numeric:
    """Matrices of one feed-forward block: 3 if gated, else 2."""
    return 2 + np.asarray(s.gated)


def has_experts(s: Shape) -> Numeric:
    """Return 1 where some layers are mixtures of experts, 0 where the model is dense."""
    return np.asarray(s.num_experts) > 0


def moe_layers(s: Shape) -> Numeric:
    """Layers whose feed-forward block is a mixture of experts."""
    return _either(has_experts(s), _sparse_layers, _none, s)


def _sparse_layers(s: Shape) -> Numeric:
    return (np.asarray(s.num_hidden_layers) - s.first_k_dense_replace) // s.moe_layer_freq


def dense_layers(s: Shape) -> Numeric:
    """Layers whose feed-forward block is dense."""
    return np.asarray(s.num_hidden_layers) - moe_layers(s)


# --- parameters -----------------------------------------------------------------------------------------------------


def attention_matrix_parameters(s: Shape) -> Numeric:
    """Weights of one layer's attention projections, without biases and norms. [parameters]

    Ordinary attention has ``h (q + kv) + v h``; latent attention (DeepSeek-V2, arXiv:2405.04434) goes through two
    low-rank bottlenecks.
    """
    return _either(is_latent(s), _latent_attention_parameters, _plain_attention_parameters, s)


def _plain_attention_parameters(s: Shape) -> Numeric:
    return np.asarray(s.hidden_size) * (query_width(s) + key_value_width(s) + value_width(s))


def _latent_attention_parameters(s: Shape) -> Numeric:
    h, a = np.asarray(s.hidden_size), np.asarray(s.num_attention_heads)
    q_rank, kv_rank = np.asarray(s.q_lora_rank), np.asarray(s.kv_lora_rank)
    query = query_width(s)
    return (
        _where(q_rank > 0, h * q_rank + q_rank * query, h * query)
        + h * (kv_rank + s.qk_rope_head_dim)
        + kv_rank * a * (np.asarray(s.qk_nope_head_dim) + s.v_head_dim)
        + value_width(s) * h
    )


def dense_mlp_parameters(s: Shape) -> Numeric:
    """Weights of one dense feed-forward block. [parameters]"""
    return mlp_matrices(s) * s.intermediate_size * np.asarray(s.hidden_size)


def expert_parameters(s: Shape) -> Numeric:
    """Weights of one routed expert. [parameters]"""
    return mlp_matrices(s) * s.moe_intermediate_size * np.asarray(s.hidden_size)


def shared_expert_parameters(s: Shape) -> Numeric:
    """Weights of the shared experts of one layer, with their gate. [parameters]"""
    gate = np.asarray(s.shared_expert_gate) * s.hidden_size
    return mlp_matrices(s) * np.asarray(s.hidden_size) * s.shared_expert_intermediate_size + gate


def router_parameters(s: Shape) -> Numeric:
    """Weights of one layer's router. [parameters]"""
    return np.asarray(s.num_experts) * (np.asarray(s.hidden_size) + s.router_bias)


def moe_block_parameters(s: Shape) -> Numeric:
    """Parameters of one layer's mixture of experts: all routed experts, the shared ones, the router. [parameters]"""
    expert = expert_parameters(s) + mlp_bias_parameters(s, width=s.moe_intermediate_size)
    return expert * s.num_experts + shared_expert_parameters(s) + router_parameters(s)


def small_layer_parameters(s: Shape) -> Numeric:
    """Biases, normalisations and sinks of one layer; of the feed-forward block only in a dense model. [parameters]"""
    h, q_rank, kv_rank = np.asarray(s.hidden_size), np.asarray(s.q_lora_rank), np.asarray(s.kv_lora_rank)
    low_rank = q_rank + kv_rank + s.qk_rope_head_dim
    biased = _where(is_latent(s), low_rank, query_width(s) + key_value_width(s))
    biases = s.attention_bias * biased + s.attention_output_bias * h
    mlp_bias = _where(has_experts(s), 0, mlp_bias_parameters(s, width=s.intermediate_size))
    norms = s.norms_per_layer * np.asarray(s.norm_parameters) * h
    latent_norms = _where(is_latent(s), q_rank + kv_rank, 0)
    sinks = s.attention_sinks * np.asarray(s.num_attention_heads)
    return biases + mlp_bias + norms + latent_norms + s.qk_norm_size + sinks


def mlp_bias_parameters(s: Shape, *, width: Numeric) -> Numeric:
    """Biases of one feed-forward block or expert of a width. [parameters]"""
    return s.mlp_bias * ((1 + np.asarray(s.gated)) * width + s.hidden_size)


def embedding_width(s: Shape) -> Numeric:
    """Width of the token table, which a few models (OPT-350m) keep below the model's. [elements]"""
    return _where(np.asarray(s.embedding_proj_dim) > 0, s.embedding_proj_dim, s.hidden_size)


def embedding_parameters(s: Shape) -> Numeric:
    """Weights of the token and position tables. [parameters]"""
    width = embedding_width(s)
    projections = _where(np.asarray(s.embedding_proj_dim) > 0, 2 * np.asarray(s.hidden_size) * width, 0)
    norm = s.embedding_norm * np.asarray(s.norm_parameters) * s.hidden_size
    positions = np.asarray(s.learned_positions) * s.hidden_size
    return np.asarray(s.vocab_size) * width + positions + projections + norm


def head_parameters(s: Shape) -> Numeric:
    """Weights of the output head that are not shared with the embedding. [parameters]"""
    untied = (1 - np.asarray(s.tie_word_embeddings)) * s.vocab_size * np.asarray(s.hidden_size)
    return untied + s.lm_head_bias * np.asarray(s.vocab_size)


def parameters(s: Shape) -> Numeric:
    """Count all parameters, embeddings included. [parameters]

    Examples
    --------
    Llama-2 7B, as published: 6,738,415,616.

    >>> llama2 = decoder(num_hidden_layers=32, hidden_size=4096, intermediate_size=11008, num_attention_heads=32,
    ...                  vocab_size=32000)
    >>> int(parameters(llama2))
    6738415616
    """
    layers = np.asarray(s.num_hidden_layers)
    common = attention_matrix_parameters(s) + small_layer_parameters(s)
    blocks = (
        layers * common
        + dense_layers(s) * dense_mlp_parameters(s)
        + _either(has_experts(s), _sparse_blocks, _none, s)
    )
    final_norm = s.final_norm * np.asarray(s.norm_parameters) * s.hidden_size
    return embedding_parameters(s) + blocks + final_norm + head_parameters(s) + s.extra_parameters


def _sparse_blocks(s: Shape) -> Numeric:
    dense_biases = dense_layers(s) * mlp_bias_parameters(s, width=s.intermediate_size)
    return moe_layers(s) * moe_block_parameters(s) + dense_biases


def _none(_: Shape) -> Numeric:
    return 0


def active_parameters(s: Shape) -> Numeric:
    """Count the parameters that one token passes through (equal to `parameters` for dense models). [parameters]"""
    return parameters(s) - _either(has_experts(s), _idle_parameters, _none, s)


def _idle_parameters(s: Shape) -> Numeric:
    expert = expert_parameters(s) + mlp_bias_parameters(s, width=s.moe_intermediate_size)
    return moe_layers(s) * (np.asarray(s.num_experts) - s.num_experts_per_tok) * expert


def multi_token_prediction_parameters(s: Shape) -> Numeric:
    """Count the blocks that predict further tokens, which published totals leave out. [parameters]

    Each block joins the hidden state with the next token's embedding (a ``2h x h`` matrix and three norms) and runs one
    more layer; embedding and head are the main model's (DeepSeek-V3, arXiv:2412.19437, section 2.2).
    """
    h = np.asarray(s.hidden_size)
    common = (
        attention_matrix_parameters(s) + small_layer_parameters(s) + 2 * h * h + 3 * h * s.norm_parameters
    )
    block = common + _either(has_experts(s), moe_block_parameters, dense_mlp_parameters, s)
    return s.num_nextn_predict_layers * block


def non_embedding_parameters(s: Shape) -> Numeric:
    """Count parameters without the token and position tables and without an untied head (Kaplan's N). [parameters]"""
    return parameters(s) - embedding_parameters(s) - head_parameters(s)


def layer_matrix_parameters(s: Shape) -> Numeric:
    """Matmul weights that one token passes through in all layers, without embedding and head. [parameters]"""
    attention = np.asarray(s.num_hidden_layers) * attention_matrix_parameters(s)
    return (
        attention
        + dense_layers(s) * dense_mlp_parameters(s)
        + _either(has_experts(s), _visited_weights, _none, s)
    )


def _visited_weights(s: Shape) -> Numeric:
    routed = expert_parameters(s) * s.num_experts_per_tok
    return moe_layers(s) * (routed + shared_expert_parameters(s) + router_parameters(s))
