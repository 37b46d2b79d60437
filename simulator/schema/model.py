"""A decoder-only transformer, in the words of Hugging Face's ``config.json``."""

from __future__ import annotations

import datetime
import math
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, JsonValue, model_validator

from simulator.importers.kept import no_numbers
from simulator.schema.base import Flag, Identifier, Parameters, Spec, Text, Whole, WholeOrZero, fail_all


class Model(Spec):
    """The shape of a model. Names are those of Hugging Face's ``config.json``."""

    id: Identifier | None = None
    """Name of the file; filled in from the file name."""
    name: Text | None = None
    """Name as published."""
    aliases: tuple[Text, ...] = ()
    """Other names it is known by."""
    family: Text | None = None
    """Family, such as ``llama``."""
    extends: Text | None = None
    """Id or path of a similar model; this file then holds only the differences."""
    num_hidden_layers: Whole
    """Layers."""
    hidden_size: Whole
    """Width of the residual stream."""
    intermediate_size: Whole | None = None
    """Width of the feed-forward block; 4 x `hidden_size` if absent (8/3 x, rounded up to 256, for swiglu)."""
    num_attention_heads: Whole
    """Query heads."""
    num_key_value_heads: Whole | None = None
    """Key and value heads; as many as query heads if absent."""
    head_dim: Whole | None = None
    """Size of one head; `hidden_size` / `num_attention_heads` if absent."""
    vocab_size: Whole = 32_000
    """Tokens in the vocabulary."""
    mlp_type: Literal["gelu", "swiglu"] = "swiglu"
    """``gelu``: two matrices per feed-forward block; ``swiglu``: three, with a gate."""
    tie_word_embeddings: Flag = False
    """Input and output embeddings are one matrix."""
    position_embedding: Literal["rope", "learned", "alibi", "none"] = "rope"
    """How positions enter; only ``learned`` has parameters."""
    max_position_embeddings: Whole | None = None
    """Longest sequence; sizes the table of learned positions."""
    norm: Literal["rmsnorm", "layernorm"] = "rmsnorm"
    """Normalisation; ``layernorm`` has a bias."""
    attention_bias: Flag = False
    """Attention projections have biases."""
    mlp_bias: Flag = False
    """Feed-forward projections have biases."""
    num_experts: WholeOrZero = 0
    """Routed experts per layer; 0 for a dense model."""
    num_experts_per_tok: WholeOrZero = 0
    """Routed experts that each token visits."""
    moe_intermediate_size: Whole | None = None
    """Width of one expert; `intermediate_size` if absent."""
    shared_expert_intermediate_size: WholeOrZero = 0
    """Total width of the experts that every token visits; 0 for none."""
    first_k_dense_replace: WholeOrZero = 0
    """Leading layers that are dense in a mixture of experts."""
    moe_layer_freq: Whole = 1
    """One layer in this many is a mixture of experts, after the dense first ones."""
    sliding_window: WholeOrZero = 0
    """Last tokens, itself included, that a token sees in a windowed layer; 0 where every layer sees the whole sequence."""
    attention_chunk_size: WholeOrZero = 0
    """Tokens of a chunk where a token sees its own chunk only (Llama 4); 0 for none."""
    sliding_window_pattern: WholeOrZero = 0
    """One layer in this many sees the whole sequence nevertheless; 0 where none does."""
    q_lora_rank: WholeOrZero = 0
    """Latent attention: rank of the queries; 0 for a full projection."""
    kv_lora_rank: WholeOrZero = 0
    """Latent attention: rank of keys and values; 0 for ordinary attention."""
    qk_nope_head_dim: WholeOrZero = 0
    """Latent attention: part of a head without rotation."""
    qk_rope_head_dim: WholeOrZero = 0
    """Latent attention: part of a head with rotation."""
    v_head_dim: WholeOrZero = 0
    """Latent attention: size of a value head."""
    exact: dict[Text, WholeOrZero] = Field(default_factory=dict)
    """Further fields of `simulator.transformer.Shape` that exact counts need, such as ``qk_norm_size``."""
    config: dict[Text, JsonValue] = Field(default_factory=dict)
    """Settings of the model's ``config.json`` that change neither size nor time, such as ``rope_theta``: `trainsim export`
    gives them back."""
    parameters: Parameters | None = None
    """Published count of parameters, for checking."""
    source: Text | None = None
    """Where the shape comes from."""
    retrieved: datetime.date | None = None
    """Day the source was read."""
    notes: Text | None = None
    """Anything a reader should know."""

    @model_validator(mode="after")
    def _consistent(self) -> Model:
        found: list[tuple[tuple[str | int, ...], str, str]] = []
        heads, groups = self.num_attention_heads, self.num_key_value_heads
        if self.head_dim is None and not self.kv_lora_rank and self.hidden_size % heads:
            reason = f"hidden_size {self.hidden_size} is not a multiple of num_attention_heads {heads}"
            found.append((("hidden_size",), reason, "change one of them or write head_dim"))
        if groups is not None and (groups > heads or heads % groups):
            reason = f"{groups} does not divide num_attention_heads {heads}"
            found.append((("num_key_value_heads",), reason, ""))
        if self.num_experts and not 0 < self.num_experts_per_tok <= self.num_experts:
            reason = f"{self.num_experts_per_tok} of {self.num_experts} experts per token"
            found.append((("num_experts_per_tok",), reason, "write a number from 1 to num_experts"))
        if not self.num_experts and (self.num_experts_per_tok or self.moe_intermediate_size):
            found.append(
                (("num_experts",), "the model has expert fields but no experts", "write num_experts")
            )
        if self.first_k_dense_replace > self.num_hidden_layers:
            found.append((("first_k_dense_replace",), "more dense layers than layers", ""))
        if self.sliding_window and self.attention_chunk_size:
            reason = "a window and chunks at once"
            found.append((("attention_chunk_size",), reason, "write sliding_window or attention_chunk_size"))
        if self.sliding_window_pattern and not (self.sliding_window or self.attention_chunk_size):
            reason = "says which layers see everything, but no layer sees less"
            found.append((("sliding_window_pattern",), reason, "write sliding_window"))
        if self.position_embedding == "learned" and self.max_position_embeddings is None:
            reason = "learned positions need max_position_embeddings"
            found.append((("position_embedding",), reason, "it sizes their table"))
        if self.kv_lora_rank and not (self.qk_nope_head_dim and self.v_head_dim):
            reason = "latent attention needs qk_nope_head_dim and v_head_dim"
            found.append((("kv_lora_rank",), reason, ""))
        for name in no_numbers(self.config):
            kind = "a mapping with a number as its factor" if name == "rope_scaling" else "a number"
            found.append((("config", name), f"{str(self.config[name])[:60]!r} is not {kind}", ""))
        if found:
            raise fail_all(found)
        return self

    @property
    def gated(self) -> bool:
        """The feed-forward block has a gate."""
        return self.mlp_type == "swiglu"

    def sizes(self) -> dict[str, float]:
        """The fields of `simulator.transformer.Shape`, everything left out filled in.

        Examples
        --------
        >>> small = Model(num_hidden_layers=2, hidden_size=64, num_attention_heads=4)
        >>> sizes = small.sizes()
        >>> sizes["head_dim"], sizes["num_key_value_heads"], sizes["intermediate_size"]
        (16, 4, 256)
        """
        heads = self.num_attention_heads
        width = self.intermediate_size
        if width is None:
            width = (
                4 * self.hidden_size if not self.gated else 256 * math.ceil(8 * self.hidden_size / 3 / 256)
            )
        latent = self.qk_nope_head_dim + self.qk_rope_head_dim
        expert = (self.moe_intermediate_size or width) if self.num_experts else 0
        learned = self.max_position_embeddings if self.position_embedding == "learned" else 0
        same = (
            "num_hidden_layers hidden_size num_attention_heads vocab_size num_experts num_experts_per_tok "
            "shared_expert_intermediate_size first_k_dense_replace moe_layer_freq sliding_window "
            "attention_chunk_size sliding_window_pattern q_lora_rank kv_lora_rank "
            "qk_nope_head_dim qk_rope_head_dim v_head_dim"
        ).split()
        return {
            **{name: getattr(self, name) for name in same},
            "intermediate_size": width,
            "num_key_value_heads": self.num_key_value_heads or heads,
            "head_dim": self.head_dim or (latent if self.kv_lora_rank else self.hidden_size // heads),
            "gated": int(self.gated),
            "tie_word_embeddings": int(self.tie_word_embeddings),
            "learned_positions": learned or 0,
            "rotary": int(self.position_embedding == "rope"),
            "moe_intermediate_size": expert,
            "attention_bias": int(self.attention_bias),
            "attention_output_bias": int(self.attention_bias),
            "mlp_bias": int(self.mlp_bias),
            "norm_parameters": 2 if self.norm == "layernorm" else 1,
            **self.exact,
        }

    @classmethod
    def from_sizes(cls, sizes: Mapping[str, int], **names: Any) -> Model:
        """A model from the fields of `simulator.transformer.Shape`, as importers return them."""
        own: dict[str, Any] = {name: sizes[name] for name in cls.model_fields if name in sizes}
        for flag in ("tie_word_embeddings", "attention_bias", "mlp_bias"):
            own[flag] = bool(sizes.get(flag, 0))
        own["moe_intermediate_size"] = sizes.get("moe_intermediate_size") or None
        if sizes.get("learned_positions"):
            own["position_embedding"] = "learned"
            own["max_position_embeddings"] = sizes["learned_positions"]
        elif "rotary" in sizes and not sizes["rotary"]:
            own["position_embedding"] = "none"
        own["mlp_type"] = "swiglu" if sizes.get("gated", 1) else "gelu"
        own["norm"] = "layernorm" if sizes.get("norm_parameters", 1) == 2 else "rmsnorm"
        plain = cls.model_validate({**own, **names})
        filled = plain.sizes()
        rest = {key: value for key, value in sizes.items() if filled.get(key) != value}
        return plain.with_(exact=rest) if rest else plain

    @property
    def label(self) -> str:
        """Id, name, or the shape in brief."""
        return self.id or self.name or f"{self.num_hidden_layers} layers x {self.hidden_size}"
