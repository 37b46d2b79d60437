"""Settings of a model that its sizes do not show: those that its file keeps in ``config``, and those that it lacks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from simulator.schema import Model

THETA = ("rope_theta", "rotary_emb_base")
EPSILON = ("rms_norm_eps", "layer_norm_eps", "layer_norm_epsilon", "norm_epsilon")
PARTIAL = ("partial_rotary_factor", "rotary_pct")
ACTIVATIONS = ("hidden_act", "hidden_activation", "activation_function")
ROUTING = ("n_group", "topk_group", "routed_scaling_factor")

WORDLESS = frozenset({"model_type", "bos_token_id", "eos_token_id", "pad_token_id"})
"""Keys that a training program takes from elsewhere, or has no use for."""

PLAIN: dict[str, tuple[Any, ...]] = {
    "partial_rotary_factor": (1,),
    "rotary_pct": (1,),
    "norm_topk_prob": (True,),
    "topk_method": ("greedy", "noaux_tc"),
    "routed_scaling_factor": (1,),
    "n_group": (1,),
    "topk_group": (1,),
    "logit_scale": (1,),
    "logits_scaling": (1,),
    "embedding_multiplier": (1,),
    "residual_multiplier": (1,),
    "scoring_func": ("softmax",),
}
"""Values that a plain decoder has anyway: nothing is lost where there is no word for them."""


def first(config: Mapping[str, Any], names: Iterable[str]) -> Any:
    """The value of the first of the keys that is there, or ``None``."""
    return next((config[name] for name in names if config.get(name) is not None), None)


def absent(model: Model) -> tuple[str, ...]:
    """Settings that the file of a given model does not say, where its kind has them.

    Examples
    --------
    >>> absent(Model(num_hidden_layers=2, hidden_size=64, num_attention_heads=4))
    ('max_position_embeddings', 'rope_theta')
    """
    wanted = [] if model.max_position_embeddings else ["max_position_embeddings"]
    if model.position_embedding == "rope" and first(model.config, THETA) is None:
        wanted.append("rope_theta")
    if model.exact.get("router_bias") and model.kv_lora_rank:
        wanted += [name for name in ROUTING if name not in model.config]
    return tuple(wanted)


def note_absent(names: tuple[str, ...], program: str) -> list[str]:
    """A note of what the model's file does not say, if anything."""
    if not names:
        return []
    own = "the sequence length" if names[0] == "max_position_embeddings" else ""
    rest = names[1:] if own else names
    parts = [f"max_position_embeddings is {own}"] if own else []
    parts += [f"{_listed(rest)} as {program} has by default"] if rest else []
    return [
        f"{' and '.join(parts)}: the model's file does not say; import its config.json to carry such settings"
    ]


def note_lost(
    config: Mapping[str, Any], held: Iterable[str], program: str, *, gated: bool = True
) -> list[str]:
    """A note of kept settings that a program's file does not hold, if there are any.

    A program's gated block has SiLU, its plain block GELU.

    Examples
    --------
    >>> note_lost({"rope_theta": 5e5, "query_pre_attn_scalar": 256}, ["rope_theta"], "nanotron")
    ['not held by nanotron, so that the model computes otherwise: query_pre_attn_scalar = 256']
    """
    skipped = WORDLESS | set(held)
    usual = dict.fromkeys(
        ACTIVATIONS, ("silu", "swish") if gated else ("gelu", "gelu_new", "gelu_pytorch_tanh")
    )
    gone = {
        name: value
        for name, value in config.items()
        if name not in skipped and value is not None and value not in (usual | PLAIN).get(name, ())
    }
    if not gone:
        return []
    told = ", ".join(f"{name} = {_short(value)}" for name, value in gone.items())
    return [f"not held by {program}, so that the model computes otherwise: {told}"]


def _listed(names: tuple[str, ...]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 80 else text[:77] + "..."
