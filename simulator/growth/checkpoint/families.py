"""The families whose checkpoints can be grown: names of their tensors, keys of their configuration, what to rewrite.

A family is a row of `FAMILIES`. Sizes come from `simulator.importers.huggingface.read_config`, which checks them; what
each tensor's axes count comes from `simulator.growth.weights`, with the family's own rules before it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from simulator.errors import InfeasibleError, Problem, SpecError, nearest
from simulator.growth.tensor_rules import Rule, rule_of
from simulator.growth.weights import layer_sources
from simulator.importers.huggingface import read_config

_HEADS, _KV, _NORM = Rule("vector", ("heads",)), Rule("vector", ("kv",)), Rule("vector", ("hidden",))


@dataclass(frozen=True)
class Family:
    """How one ``model_type`` names things."""

    layout: str
    """Forward pass of `simulator.growth.checkpoint.forward` that it follows."""
    prefixes: tuple[str, ...] = ("model.",)
    """Beginnings of the names of all tensors but the head."""
    embedding: str = "embed_tokens.weight"
    head: str = "lm_head.weight"
    final_norm: str = "norm.weight"
    width_key: str = "intermediate_size"
    """Key of the feed-forward width in ``config.json``."""
    needed: tuple[str, ...] = ()
    """Endings of the weights that every layer has, without ``.weight``."""
    rules: Mapping[str, Rule] = field(default_factory=dict)
    """Rules by ending that differ from the common ones."""

    def rule(self, name: str) -> Rule:
        """Rule of a tensor."""
        own = [ending for ending in self.rules if name.endswith("." + ending)]
        return self.rules[max(own, key=len)] if own else rule_of(name)


_PROJECTIONS = tuple(f"self_attn.{part}_proj" for part in "qkvo") + tuple(
    f"mlp.{part}_proj" for part in ("gate", "up", "down")
)
_LLAMA = Family("llama", needed=_PROJECTIONS)
_OLMO2 = Family(
    "olmo2",
    needed=_PROJECTIONS,
    rules={
        "q_norm.weight": _HEADS,
        "k_norm.weight": _KV,
        "post_attention_layernorm.weight": _NORM,
        "post_feedforward_layernorm.weight": _NORM,
    },
)

FAMILIES: dict[str, Family] = {
    "llama": _LLAMA,
    "mistral": _LLAMA,
    "qwen2": _LLAMA,
    "qwen3": _LLAMA,
    "olmo": _LLAMA,
    "olmo2": _OLMO2,
    "gpt_neox": Family(
        "gpt_neox",
        prefixes=("gpt_neox.",),
        needed=("attention.query_key_value", "attention.dense", "mlp.dense_h_to_4h", "mlp.dense_4h_to_h"),
        embedding="embed_in.weight",
        head="embed_out.weight",
        final_norm="final_layer_norm.weight",
    ),
    "opt": Family(
        "opt",
        prefixes=("model.decoder.", "decoder."),
        needed=(*(f"self_attn.{part}_proj" for part in ("q", "k", "v", "out")), "fc1", "fc2"),
        final_norm="final_layer_norm.weight",
        width_key="ffn_dim",
        rules={
            "project_in.weight": Rule("linear", ("hidden",), "embedding"),
            "project_out.weight": Rule("linear", ("embedding",), "hidden"),
        },
    ),
}
"""``model_type`` to family."""

REFUSED = {
    "gemma": "it multiplies embeddings by the root of the width, which repeated vectors do not survive",
    "gemma2": "it multiplies embeddings by the root of the width, which repeated vectors do not survive",
    "gemma3_text": "it multiplies embeddings by the root of the width, which repeated vectors do not survive",
    "mixtral": "experts are not grown",
    "qwen2_moe": "experts are not grown",
    "qwen3_moe": "experts are not grown",
}
"""Why some families that resemble the supported ones are not."""


@dataclass(frozen=True)
class Model:
    """A checkpoint's configuration, checked."""

    folder: Path
    config: Mapping[str, Any]
    """The content of ``config.json``."""
    kind: str
    """``model_type``."""
    family: Family
    sizes: Mapping[str, int]
    """Fields of `simulator.transformer.Shape`."""

    @property
    def multi_query(self) -> bool:
        """One key-value head serves several queries; it stays one."""
        return self.sizes["num_key_value_heads"] == 1 and self.sizes["num_attention_heads"] > 1

    @property
    def tied(self) -> bool:
        """The output head is the embedding."""
        return bool(self.sizes["tie_word_embeddings"])

    @property
    def axes(self) -> dict[str, int]:
        """Length of each axis that rules name."""
        s = self.sizes
        return {
            "hidden": s["hidden_size"],
            "heads": s["num_attention_heads"] * s["head_dim"],
            "kv": s["num_key_value_heads"] * s["head_dim"],
            "ffn": s["intermediate_size"],
            "vocab": s["vocab_size"],
            "embedding": s.get("embedding_proj_dim", 0) or s["hidden_size"],
        }


def read_model(folder: str | Path) -> Model:
    """Read a checkpoint's ``config.json``.

    Raises
    ------
    SpecError
        If it is missing or wrong, its family is unknown, or it uses something that cannot be grown.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise SpecError(Problem("no such folder", file=str(folder)))
    path = folder / "config.json"
    sizes = read_config(folder)
    config = json.loads(path.read_text(encoding="utf-8-sig"))
    kind = config.get("model_type", "")
    if kind not in FAMILIES:
        raise SpecError(_unknown(kind, path))
    problems = [
        Problem("quantized weights cannot be grown; grow the original checkpoint", path=key, file=str(path))
        for key in ("quantization_config", "compression_config")
        if config.get(key)
    ]
    if problems:
        raise SpecError(problems)
    return Model(folder, config, kind, FAMILIES[kind], sizes)


def _unknown(kind: object, path: Path) -> Problem:
    known = ", ".join(sorted(FAMILIES))
    if kind in REFUSED:
        return Problem(
            f"checkpoints of {kind} cannot be grown: {REFUSED[str(kind)]}", path="model_type", file=str(path)
        )
    near = nearest(str(kind), FAMILIES)
    hint = f"did you mean {near[0]}? " if near else ""
    return Problem(
        f"checkpoints of {str(kind)[:60]!r} cannot be grown; {hint}supported: {known}",
        path="model_type",
        file=str(path),
    )


# --- the larger model's configuration -------------------------------------------------------------------------------


def grown_config(
    model: Model,
    *,
    factor: int,
    ffn_factor: int,
    depth_factor: int,
    order: str,
    untie: bool,
    dtype: str | None,
) -> dict[str, Any]:
    """Content of the larger model's ``config.json``; keys that growth does not touch stay as they are."""
    sizes, config = model.sizes, dict(model.config)
    config["hidden_size"] = sizes["hidden_size"] * factor
    config["num_attention_heads"] = sizes["num_attention_heads"] * factor
    config[model.family.width_key] = sizes["intermediate_size"] * ffn_factor
    config["num_hidden_layers"] = sizes["num_hidden_layers"] * depth_factor
    if model.kind not in {"gpt_neox", "opt"}:
        config["num_key_value_heads"] = sizes["num_key_value_heads"] * (1 if model.multi_query else factor)
    if model.kind == "opt":
        config["word_embed_proj_dim"] = model.axes["embedding"] * factor
    if untie:
        config["tie_word_embeddings"] = False
    if dtype is not None:
        config["dtype" if "dtype" in config else "torch_dtype"] = dtype
    if depth_factor > 1:
        kinds = layer_kinds(model)
        if kinds is not None:
            sources = layer_sources(sizes["num_hidden_layers"], factor=depth_factor, order=order)
            config["layer_types"] = [kinds[i] for i in sources]
    return config


def layer_kinds(model: Model) -> list[str] | None:
    """Kind of attention of each layer, where a family mixes them."""
    layers, config = model.sizes["num_hidden_layers"], model.config
    given = config.get("layer_types")
    if isinstance(given, list):
        if len(given) != layers:
            raise InfeasibleError(f"config.json lists {len(given)} layer_types for {layers} layers")
        return [str(kind) for kind in given]
    if model.kind in {"qwen2", "qwen3"} and config.get("use_sliding_window"):
        given = config.get("max_window_layers", 28)
        full = given if isinstance(given, int) else layers
        return ["full_attention" if i < full else "sliding_attention" for i in range(layers)]
    return None
