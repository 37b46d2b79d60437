"""A small decoder in numpy, to check that an operator preserves what it says it preserves.

Not fast and not for training: a forward pass that reads weights under their Llama names and takes from their presence
whether there are biases, gates, learned positions, a learned norm, norms of queries and keys, and a head of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]


@dataclass(frozen=True)
class Decoder:
    """What the shapes of the weights do not say."""

    num_attention_heads: int
    num_key_value_heads: int
    norm: str = "rms"
    """``rms`` or ``layer``."""
    rotary: bool = True
    eps: float = 1e-6
    query_scale: float = 1.0
    """Factor on queries, for operators that widen heads."""


def _norm(x: Array, weights: Mapping[str, Array], name: str, how: Decoder) -> Array:
    if how.norm == "layer":
        x = x - x.mean(axis=-1, keepdims=True)
    x = x / np.sqrt(np.mean(x**2, axis=-1, keepdims=True) + how.eps)
    return x * weights.get(f"{name}.weight", 1.0) + weights.get(f"{name}.bias", 0.0)


def _linear(x: Array, weights: Mapping[str, Array], name: str) -> Array:
    return x @ weights[f"{name}.weight"].T + weights.get(f"{name}.bias", 0.0)


def _rotate(x: Array) -> Array:
    """Rotary positions on the last axis, halves paired; `x` is heads x tokens x head width."""
    half = x.shape[-1] // 2
    angle = np.arange(x.shape[-2])[:, None] * 10_000.0 ** (-np.arange(half) / half)
    a, b = x[..., :half], x[..., half:]
    return np.concatenate(
        [a * np.cos(angle) - b * np.sin(angle), b * np.cos(angle) + a * np.sin(angle)], axis=-1
    )


def _heads(x: Array, weights: Mapping[str, Array], name: str, part: str, count: int, how: Decoder) -> Array:
    """Queries, keys or values, tokens x heads x head width; normed over all heads or over each, as long as the norm is."""
    rows = _linear(x, weights, f"{name}.{part}_proj")
    norm = weights.get(f"{name}.{part}_norm.weight")
    if norm is not None and len(norm) == rows.shape[-1]:
        rows = _norm(rows, weights, f"{name}.{part}_norm", how)
    split = rows.reshape(len(x), count, -1)
    if norm is not None and len(norm) != rows.shape[-1]:
        split = _norm(split, weights, f"{name}.{part}_norm", how)
    return split


def _attention(x: Array, weights: Mapping[str, Array], name: str, how: Decoder) -> Array:
    tokens, heads, groups = x.shape[0], how.num_attention_heads, how.num_key_value_heads
    counts = {"q": heads, "k": groups, "v": groups}
    query, key, value = (
        np.repeat(_heads(x, weights, name, part, count, how).swapaxes(0, 1), heads // count, 0)
        for part, count in counts.items()
    )
    if how.rotary:
        query, key = _rotate(query), _rotate(key)
    scores = how.query_scale * query @ key.swapaxes(1, 2) / np.sqrt(query.shape[-1])
    scores = np.where(np.tri(tokens, dtype=bool), scores, -np.inf)
    share = np.exp(scores - scores.max(axis=-1, keepdims=True))
    share /= share.sum(axis=-1, keepdims=True)
    return _linear((share @ value).swapaxes(0, 1).reshape(tokens, -1), weights, f"{name}.o_proj")


def _feed_forward(x: Array, weights: Mapping[str, Array], name: str) -> Array:
    up = _linear(x, weights, f"{name}.up_proj")
    if f"{name}.gate_proj.weight" in weights:
        gate = _linear(x, weights, f"{name}.gate_proj")
        return _linear(up * gate / (1 + np.exp(-gate)), weights, f"{name}.down_proj")
    return _linear(np.maximum(up, 0), weights, f"{name}.down_proj")


def logits(weights: Mapping[str, Array], token_ids: NDArray[np.integer], how: Decoder) -> Array:
    """Logits of one sequence, tokens x vocabulary.

    Parameters
    ----------
    weights : mapping
        Weights under their Llama names; ``model.embed_positions.weight`` if positions are learned.
    token_ids : array of int
        One sequence.
    how : Decoder
        Heads, norm and positions.
    """
    x = weights["model.embed_tokens.weight"][token_ids]
    if "model.embed_positions.weight" in weights:
        x = x + weights["model.embed_positions.weight"][: len(token_ids)]
    layers = 1 + max(int(name.split(".")[2]) for name in weights if name.startswith("model.layers."))
    for i in range(layers):
        name = f"model.layers.{i}"
        x = x + _attention(
            _norm(x, weights, f"{name}.input_layernorm", how), weights, f"{name}.self_attn", how
        )
        x = x + _feed_forward(
            _norm(x, weights, f"{name}.post_attention_layernorm", how), weights, f"{name}.mlp"
        )
    head = weights.get("lm_head.weight", weights["model.embed_tokens.weight"])
    return _norm(x, weights, "model.norm", how) @ head.T
