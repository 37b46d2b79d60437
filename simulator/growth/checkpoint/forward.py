"""The forward pass of the supported families in numpy, to check that a grown model computes what its source computes.

Weights are read from disk by rows as they are needed, so that memory stays small whatever the model's size; arithmetic
is in double precision. Follows transformers 4.57 [1]_; without dropout, on one sequence.

References
----------
.. [1] https://github.com/huggingface/transformers/tree/v4.57.1/src/transformers/models
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.errors import InfeasibleError
from simulator.growth.checkpoint.families import Model
from simulator.growth.checkpoint.plan import BLOCK
from simulator.growth.checkpoint.tensorfile import Source

Array = NDArray[np.float64]

_ERF = np.array([0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429])


def _erf(x: Array) -> Array:
    """Error function to 2e-7 (Abramowitz and Stegun 7.1.26)."""
    t = 1 / (1 + 0.3275911 * np.abs(x))
    series = sum(c * t ** (i + 1) for i, c in enumerate(_ERF))
    return np.asarray(np.sign(x) * (1 - series * np.exp(-x * x)))


def _tanh_gelu(x: Array) -> Array:
    return np.asarray(0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))))


def _silu(x: Array) -> Array:
    return np.asarray(x * 0.5 * (1 + np.tanh(0.5 * x)))


ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "silu": _silu,
    "swish": _silu,
    "relu": lambda x: np.maximum(x, 0),
    "gelu": lambda x: 0.5 * x * (1 + _erf(x / np.sqrt(2))),
    "gelu_new": _tanh_gelu,
    "gelu_fast": _tanh_gelu,
    "gelu_pytorch_tanh": _tanh_gelu,
}


class Forward:
    """One model on disk as a function from token ids to logits."""

    def __init__(self, model: Model, source: Source) -> None:
        self.model, self.source, self.config = model, source, model.config
        embedding = model.family.embedding
        found = [
            n for n in source.entries if n.endswith("." + embedding) and n.startswith(model.family.prefixes)
        ]
        self.prefix = found[0].removesuffix(embedding)
        self.heads, self.kv_heads = model.sizes["num_attention_heads"], model.sizes["num_key_value_heads"]
        layered = model.kind in {"gpt_neox", "opt", "olmo"}
        self.center = layered
        rms = self.config.get("rms_norm_eps", 1e-5 if model.kind == "olmo2" else 1e-6)
        eps = {"gpt_neox": self.config.get("layer_norm_eps", 1e-5), "opt": 1e-5, "olmo": 1e-5}
        self.eps = float(eps.get(model.kind, rms))
        self.activation = _activation(self.config, model.kind)

    # parts

    def linear(self, x: Array, name: str) -> Array:
        """``x @ weight.T + bias``, the weight read by rows."""
        entry = self.source.entries[f"{name}.weight"]
        out = np.empty((len(x), entry.rows))
        for start, stop in self.source.blocks(entry, BLOCK):
            out[:, start:stop] = x @ self.source.values(entry.name, start, stop).T
        bias = f"{name}.bias"
        return out + self.source.values(bias) if bias in self.source else out

    def norm(self, x: Array, name: str, *, center: bool | None = None) -> Array:
        """RMSNorm or LayerNorm; without weights if there are none."""
        if self.center if center is None else center:
            x = x - x.mean(axis=-1, keepdims=True)
        x = x / np.sqrt(np.mean(x**2, axis=-1, keepdims=True) + self.eps)
        if f"{name}.weight" in self.source:
            x = x * self.source.values(f"{name}.weight")
        return x + self.source.values(f"{name}.bias") if f"{name}.bias" in self.source else x

    def attend(self, query: Array, key: Array, value: Array) -> Array:
        """Causal attention of heads x tokens x head width; returns tokens x (heads times head width)."""
        group = query.shape[0] // key.shape[0]
        key, value = np.repeat(key, group, axis=0), np.repeat(value, group, axis=0)
        scores = query @ key.swapaxes(1, 2) / np.sqrt(query.shape[-1])
        scores = np.where(np.tri(query.shape[1], dtype=bool), scores, -np.inf)
        share = np.exp(scores - scores.max(axis=-1, keepdims=True))
        share /= share.sum(axis=-1, keepdims=True)
        mixed = share @ value
        return np.asarray(mixed.swapaxes(0, 1).reshape(query.shape[1], -1))

    def split(self, x: Array, heads: int) -> Array:
        """Tokens x width into heads x tokens x head width."""
        return x.reshape(len(x), heads, -1).swapaxes(0, 1)

    def rotate(self, x: Array) -> Array:
        """Rotary positions on the first part of the last axis."""
        theta = float(self.config.get("rope_theta", self.config.get("rotary_emb_base", 10_000.0)))
        share = float(self.config.get("rotary_pct", 0.25)) if self.model.kind == "gpt_neox" else 1.0
        width = int(x.shape[-1] * share)
        half = width // 2
        angle = np.arange(x.shape[-2])[:, None] * _scaled(theta ** (-np.arange(half) / half), self.config)
        a, b, rest = x[..., :half], x[..., half:width], x[..., width:]
        cos, sin = np.cos(angle), np.sin(angle)
        return np.concatenate([a * cos - b * sin, b * cos + a * sin, rest], axis=-1)

    # layers

    def llama_attention(self, x: Array, name: str) -> Array:
        """Llama, Mistral, Qwen, OLMo: separate projections, rotary positions, norms of queries and keys if present."""
        query, key, value = (self.linear(x, f"{name}.{part}_proj") for part in "qkv")
        whole = self.model.family.layout == "olmo2"
        if whole:
            query = self.norm(query, f"{name}.q_norm", center=False)
            key = self.norm(key, f"{name}.k_norm", center=False)
        limit = self.config.get("clip_qkv") if self.model.kind == "olmo" else None
        if limit is not None:
            query, key, value = (np.clip(part, -limit, limit) for part in (query, key, value))
        q, k, v = (
            self.split(query, self.heads),
            self.split(key, self.kv_heads),
            self.split(value, self.kv_heads),
        )
        if f"{name}.q_norm.weight" in self.source and not whole:
            q, k = self.norm(q, f"{name}.q_norm"), self.norm(k, f"{name}.k_norm")
        return self.linear(self.attend(self.rotate(q), self.rotate(k), v), f"{name}.o_proj")

    def gated(self, x: Array, name: str) -> Array:
        """Gated feed-forward block."""
        gate = self.activation(self.linear(x, f"{name}.gate_proj"))
        return self.linear(gate * self.linear(x, f"{name}.up_proj"), f"{name}.down_proj")

    def llama_layer(self, x: Array, name: str) -> Array:
        """Norm before attention, norm before the feed-forward block."""
        x = x + self.llama_attention(self.norm(x, f"{name}.input_layernorm"), f"{name}.self_attn")
        return x + self.gated(self.norm(x, f"{name}.post_attention_layernorm"), f"{name}.mlp")

    def olmo2_layer(self, x: Array, name: str) -> Array:
        """Norms after each block, before they are added."""
        x = x + self.norm(self.llama_attention(x, f"{name}.self_attn"), f"{name}.post_attention_layernorm")
        return x + self.norm(self.gated(x, f"{name}.mlp"), f"{name}.post_feedforward_layernorm")

    def neox_layer(self, x: Array, name: str) -> Array:
        """Fused projections, rotary positions on part of each head, both blocks side by side or in turn."""
        fused = self.linear(self.norm(x, f"{name}.input_layernorm"), f"{name}.attention.query_key_value")
        q, k, v = np.split(self.split(fused, self.heads), 3, axis=-1)
        mixed = self.linear(self.attend(self.rotate(q), self.rotate(k), v), f"{name}.attention.dense")
        parallel = self.config.get("use_parallel_residual", True)
        inner = self.norm(x if parallel else x + mixed, f"{name}.post_attention_layernorm")
        hidden = self.activation(self.linear(inner, f"{name}.mlp.dense_h_to_4h"))
        return x + mixed + self.linear(hidden, f"{name}.mlp.dense_4h_to_h")

    def opt_layer(self, x: Array, name: str) -> Array:
        """Norms before each block, or after it (350m)."""
        before = self.config.get("do_layer_norm_before", True)
        inner = self.norm(x, f"{name}.self_attn_layer_norm") if before else x
        q, k, v = (self.split(self.linear(inner, f"{name}.self_attn.{p}_proj"), self.heads) for p in "qkv")
        x = x + self.linear(self.attend(q, k, v), f"{name}.self_attn.out_proj")
        x = x if before else self.norm(x, f"{name}.self_attn_layer_norm")
        inner = self.norm(x, f"{name}.final_layer_norm") if before else x
        x = x + self.linear(self.activation(self.linear(inner, f"{name}.fc1")), f"{name}.fc2")
        return x if before else self.norm(x, f"{name}.final_layer_norm")

    # the whole

    def embed(self, ids: NDArray[np.integer[Any]]) -> Array:
        """Rows of the embedding (and of learned positions)."""
        name = self.prefix + self.model.family.embedding
        x: Array = np.concatenate([self.source.values(name, i, i + 1) for i in ids.tolist()]).astype(float)
        if self.model.kind != "opt":
            return x
        if f"{self.prefix}project_in.weight" in self.source:
            x = self.linear(x, f"{self.prefix}project_in")
        offset = 2
        positions = self.source.values(f"{self.prefix}embed_positions.weight", offset, offset + len(ids))
        return np.asarray(x + positions)

    def logits(self, ids: NDArray[np.integer[Any]]) -> Array:
        """Logits of one sequence, tokens x vocabulary."""
        family = self.model.family
        layer = {
            "llama": self.llama_layer,
            "olmo2": self.olmo2_layer,
            "gpt_neox": self.neox_layer,
            "opt": self.opt_layer,
        }[family.layout]
        x = self.embed(ids)
        for i in range(self.model.sizes["num_hidden_layers"]):
            x = layer(x, f"{self.prefix}layers.{i}")
        if self.model.kind != "opt" or self.model.sizes["final_norm"]:
            x = self.norm(x, self.prefix + family.final_norm.removesuffix(".weight"))
        if f"{self.prefix}project_out.weight" in self.source:
            x = self.linear(x, f"{self.prefix}project_out")
        head = self.prefix + family.embedding if self.model.tied else family.head
        return self.linear(x, head.removesuffix(".weight"))


def _activation(config: Any, kind: str) -> Callable[[Array], Array]:
    default = {"gpt_neox": "gelu", "opt": "relu"}.get(kind, "silu")
    name = config.get("activation_function" if kind == "opt" else "hidden_act") or default
    if name not in ACTIVATIONS:
        raise InfeasibleError(
            f"the check knows no activation {str(name)[:40]!r}",
            remedies=("grow without the check: --no-verify",),
        )
    return ACTIVATIONS[name]


def _scaled(frequencies: Array, config: Any) -> Array:
    """Rotary frequencies under Llama 3's and linear scaling; other kinds unscaled, alike for source and target."""
    scaling = config.get("rope_scaling") or {}
    kind = scaling.get("rope_type", scaling.get("type"))
    if kind == "linear":
        return frequencies / float(scaling["factor"])
    if kind != "llama3":
        return frequencies
    low, high = float(scaling["low_freq_factor"]), float(scaling["high_freq_factor"])
    turns = float(scaling["original_max_position_embeddings"]) * frequencies / (2 * np.pi)
    share = np.clip((turns - low) / (high - low), 0, 1)
    return np.asarray(frequencies * (share + (1 - share) / float(scaling["factor"])))
