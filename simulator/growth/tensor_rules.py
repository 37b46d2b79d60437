"""What the axes of a checkpoint's tensors count, by the endings of their names."""

from __future__ import annotations

from dataclasses import dataclass

from simulator.errors import InfeasibleError


@dataclass(frozen=True)
class Rule:
    """What the axes of a tensor count, and what kind of tensor it is."""

    kind: str
    """``linear`` (out x in), ``embedding`` (rows x hidden), ``vector``, ``head`` or ``fixed``."""
    out: tuple[str, ...] = ()
    """Axis of the rows; several if the rows are fused parts, such as query, key and value."""
    into: str = ""
    """Axis of the columns."""
    final_norm: bool = False
    writes_residual: bool = False
    """The tensor's output is added to the residual stream: zero it and its layer is the identity."""


def _linear(out: str | tuple[str, ...], into: str, writes_residual: bool = False) -> Rule:
    return Rule("linear", (out,) if isinstance(out, str) else out, into, writes_residual=writes_residual)


_EMBEDDING, _NORM = Rule("embedding", (), "hidden"), Rule("vector", ("hidden",))

TOKEN_EMBEDDINGS = ("embed_tokens.weight", "embed_in.weight")
"""Endings of the embeddings that a head may be tied to."""

RULES: dict[str, Rule] = {
    # Llama, Mistral, Qwen, Gemma, OLMo
    "embed_tokens.weight": _EMBEDDING,
    "q_proj.weight": _linear("heads", "hidden"),
    "k_proj.weight": _linear("kv", "hidden"),
    "v_proj.weight": _linear("kv", "hidden"),
    "o_proj.weight": _linear("hidden", "heads", True),
    "gate_proj.weight": _linear("ffn", "hidden"),
    "up_proj.weight": _linear("ffn", "hidden"),
    "down_proj.weight": _linear("hidden", "ffn", True),
    "input_layernorm.weight": _NORM,
    "post_attention_layernorm.weight": _NORM,
    "q_norm.weight": Rule("fixed"),
    "k_norm.weight": Rule("fixed"),
    "model.norm.weight": Rule("vector", ("hidden",), final_norm=True),
    "lm_head.weight": Rule("head", ("vocab",), "hidden"),
    # Phi-3: fused rows
    "self_attn.qkv_proj.weight": _linear(("heads", "kv", "kv"), "hidden"),
    "mlp.gate_up_proj.weight": _linear(("ffn", "ffn"), "hidden"),
    # GPT-NeoX and Pythia: query, key and value fused head by head, so that rows repeat like heads
    "embed_in.weight": _EMBEDDING,
    "attention.query_key_value.weight": _linear("heads", "hidden"),
    "attention.dense.weight": _linear("hidden", "heads", True),
    "dense_h_to_4h.weight": _linear("ffn", "hidden"),
    "dense_4h_to_h.weight": _linear("hidden", "ffn", True),
    "gpt_neox.final_layer_norm.weight": Rule("vector", ("hidden",), final_norm=True),
    "embed_out.weight": Rule("head", ("vocab",), "hidden"),
    # OPT
    "embed_positions.weight": _EMBEDDING,
    "self_attn.out_proj.weight": _linear("hidden", "heads", True),
    "fc1.weight": _linear("ffn", "hidden"),
    "fc2.weight": _linear("hidden", "ffn", True),
    "self_attn_layer_norm.weight": _NORM,
    "decoder.final_layer_norm.weight": Rule("vector", ("hidden",), final_norm=True),
    "final_layer_norm.weight": _NORM,
    # buffers
    "inv_freq": Rule("fixed"),
    "attention.bias": Rule("fixed"),
    "masked_bias": Rule("fixed"),
}
"""Rules by the ending of a tensor's name; the longest ending that matches holds. A bias follows its weight."""

WHOLE_NORMS = {
    f"{norm}.{part}": Rule("vector", (axis,))
    for norm, axis in (("q_norm", "heads"), ("k_norm", "kv"))
    for part in ("weight", "bias")
}
"""Rules of norms of queries and keys that span all heads."""


def rule_of(name: str) -> Rule:
    """Return the rule of a tensor, from the ending of its name.

    Examples
    --------
    >>> rule_of("model.layers.3.self_attn.o_proj.weight").into
    'heads'
    >>> rule_of("model.layers.3.self_attn.q_proj.bias")
    Rule(kind='vector', out=('heads',), into='', final_norm=False, writes_residual=False)
    """
    known = [ending for ending in RULES if name == ending or name.endswith("." + ending)]
    if known:
        return RULES[max(known, key=len)]
    if name.endswith(".bias"):
        weight = rule_of(name.removesuffix("bias") + "weight")
        if weight.kind in {"linear", "vector"}:
            return Rule("vector", weight.out, "", weight.final_norm, weight.writes_residual)
        return Rule("fixed")
    raise InfeasibleError(f"no growth rule for a tensor named {name!r}")
