"""The sizes of a plan's model as a Hugging Face ``config.json``: the first family whose reader gives the same sizes back."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from simulator.errors import SpecError
from simulator.exporters.kept import ACTIVATIONS, EPSILON, ROUTING, first, note_absent, note_lost
from simulator.exporters.plan import TrainingPlan, unequal
from simulator.importers.huggingface import read_config

Sizes = dict[str, int]

ARCHITECTURES = {
    "llama": "LlamaForCausalLM",
    "qwen2": "Qwen2ForCausalLM",
    "qwen3": "Qwen3ForCausalLM",
    "olmo2": "Olmo2ForCausalLM",
    "mistral": "MistralForCausalLM",
    "gemma2": "Gemma2ForCausalLM",
    "gemma3_text": "Gemma3ForCausalLM",
    "gpt2": "GPT2LMHeadModel",
    "gpt_neox": "GPTNeoXForCausalLM",
    "starcoder2": "Starcoder2ForCausalLM",
    "mpt": "MptForCausalLM",
    "mixtral": "MixtralForCausalLM",
    "olmoe": "OlmoeForCausalLM",
    "gpt_oss": "GptOssForCausalLM",
    "qwen3_moe": "Qwen3MoeForCausalLM",
    "qwen2_moe": "Qwen2MoeForCausalLM",
    "deepseek_v2": "DeepseekV2ForCausalLM",
    "deepseek_v3": "DeepseekV3ForCausalLM",
}
"""Families that are tried, in this order, and their classes in transformers."""


def write(plan: TrainingPlan) -> tuple[str, list[str]]:
    """Return the JSON; the layout and the batch have no place in it."""
    config = config_of(plan.sizes, max_position_embeddings=plan.max_position_embeddings, kept=plan.config)
    kind = config["model_type"]
    groups = {"n_group", "topk_group"}
    unsaid = tuple(name for name in plan.absent if name not in groups)
    notes = ["a config.json holds the model only", *note_absent(unsaid, f"{kind} of transformers")]
    if groups & set(plan.absent):
        notes.append("n_group and topk_group are 1, one group of experts: the model's file does not say")
    if plan.config.get("model_type") != kind:
        held = [*_carried(plan.config, kind, config), *EPSILON]
        notes += note_lost(plan.config, held, f"the family {kind}")
    return json.dumps(config, indent=2) + "\n", notes


def config_of(
    sizes: Sizes, *, max_position_embeddings: int = 4096, kept: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """A ``config.json`` whose sizes are these.

    Parameters
    ----------
    sizes : dict
        Fields of `simulator.transformer.Shape`.
    max_position_embeddings : int, optional
        The longest sequence. [tokens]
    kept : mapping, optional
        Settings that the sizes do not show, as ``Model.config`` keeps them; its ``model_type`` is tried first.

    Raises
    ------
    SpecError
        If no family has these sizes; the nearest one and what differs are named.

    Examples
    --------
    >>> from simulator.schema import load_model
    >>> config_of(load_model("llama-3.1-8b").sizes())["model_type"]
    'llama'
    """
    nearest: tuple[int, str, list[str]] = (10**6, "", [])
    kept = kept or {}
    own = kept.get("model_type")
    for kind in sorted(ARCHITECTURES, key=lambda each: each != own):
        config = _config(kind, sizes, max_position_embeddings, kept)
        try:
            wrong = unequal(sizes, read_config(config))
        except SpecError as error:
            wrong = [problem.reason for problem in error.problems] * 10
        if not wrong:
            return config
        if len(wrong) < nearest[0]:
            nearest = (len(wrong), kind, wrong)
    raise SpecError(
        f"no Hugging Face family has these sizes; the nearest is {nearest[1]}: " + "; ".join(nearest[2])
    )


def _config(kind: str, sizes: Sizes, longest: int, kept: Mapping[str, Any]) -> dict[str, Any]:
    """The ``config.json`` of a family, whether it has these sizes or not."""
    built = BUILDERS.get(kind, _common)(sizes, longest)
    named = {"architectures": [ARCHITECTURES[kind]], "model_type": kind}
    return {**named, **built, **_carried(kept, kind, built), "torch_dtype": "bfloat16"}


def _carried(kept: Mapping[str, Any], kind: str, built: Mapping[str, Any]) -> dict[str, Any]:
    """Kept settings that a family has a key for: all of its own, those that every family has of another's."""
    if kept.get("model_type") == kind:
        return {name: value for name, value in kept.items() if name != "model_type"}
    shared = {"rope_theta", "rope_scaling"} | (set(built) & {*ACTIVATIONS, "bos_token_id", "eos_token_id"})
    if kind.startswith("deepseek"):
        shared |= {*ROUTING, "norm_topk_prob", "scoring_func", "topk_method"}
    carried = {name: value for name, value in kept.items() if name in shared}
    epsilon = first(kept, EPSILON)
    return carried | ({"rms_norm_eps": epsilon} if epsilon and "rms_norm_eps" in built else {})


def _common(s: Sizes, longest: int) -> dict[str, Any]:
    """The keys of most families with a gated block."""
    bias = bool(s.get("attention_bias"))
    config: dict[str, Any] = {
        "hidden_act": "silu" if s.get("gated", 1) else "gelu",
        "hidden_size": s["hidden_size"],
        "intermediate_size": s["intermediate_size"],
        "num_hidden_layers": s["num_hidden_layers"],
        "num_attention_heads": s["num_attention_heads"],
        "num_key_value_heads": s["num_key_value_heads"],
        "head_dim": s["head_dim"],
        "vocab_size": s["vocab_size"],
        "max_position_embeddings": longest,
        "rms_norm_eps": 1e-5,
        "initializer_range": 0.02,
        "attention_bias": bias,
        "mlp_bias": bool(s.get("mlp_bias")),
        "qkv_bias": bias,
        "use_bias": bias,
        "tie_word_embeddings": bool(s.get("tie_word_embeddings")),
        "bos_token_id": 1,
        "eos_token_id": 2,
    }
    return config | _windows(s) | _experts(s)


def _windows(s: Sizes) -> dict[str, Any]:
    """Windowed layers, a word for each where some see the whole sequence."""
    window, pattern = s.get("sliding_window", 0), s.get("sliding_window_pattern", 0)
    if not window:
        return {"sliding_window": None}
    config: dict[str, Any] = {
        "sliding_window": window,
        "use_sliding_window": True,
        "max_window_layers": 0,
    }
    if pattern:
        whole = ((i + 1) % pattern == 0 for i in range(s["num_hidden_layers"]))
        config["layer_types"] = ["full_attention" if each else "sliding_attention" for each in whole]
        config["sliding_window_pattern"] = pattern
    return config


def _experts(s: Sizes) -> dict[str, Any]:
    if not s.get("num_experts"):
        return {}
    shared, width = s.get("shared_expert_intermediate_size", 0), s["moe_intermediate_size"]
    return {
        "num_local_experts": s["num_experts"],
        "num_experts": s["num_experts"],
        "n_routed_experts": s["num_experts"],
        "num_experts_per_tok": s["num_experts_per_tok"],
        "moe_intermediate_size": width,
        "shared_expert_intermediate_size": shared,
        "n_shared_experts": shared // width if width and shared % width == 0 else 0,
        "first_k_dense_replace": s.get("first_k_dense_replace", 0),
        "mlp_only_layers": list(range(s.get("first_k_dense_replace", 0))),
        "decoder_sparse_step": s.get("moe_layer_freq", 1),
    }


def _whole_experts(s: Sizes, longest: int) -> dict[str, Any]:
    """Families whose experts are as wide as ``intermediate_size``."""
    return _common(s, longest) | {
        "intermediate_size": s.get("moe_intermediate_size") or s["intermediate_size"]
    }


def _latent(s: Sizes, longest: int) -> dict[str, Any]:
    config = _common(s, longest) | {
        "q_lora_rank": s.get("q_lora_rank") or None,
        "kv_lora_rank": s.get("kv_lora_rank") or 1,
        "qk_nope_head_dim": s.get("qk_nope_head_dim") or 1,
        "qk_rope_head_dim": s.get("qk_rope_head_dim") or 1,
        "v_head_dim": s.get("v_head_dim") or 1,
        "n_group": 1,
        "topk_group": 1,
        "num_nextn_predict_layers": s.get("num_nextn_predict_layers", 0),
    }
    config["head_dim"] = config["qk_rope_head_dim"]
    return config


def _gpt2(s: Sizes, longest: int) -> dict[str, Any]:
    return {
        "n_embd": s["hidden_size"],
        "n_layer": s["num_hidden_layers"],
        "n_head": s["num_attention_heads"],
        "n_positions": s.get("learned_positions") or longest,
        "n_inner": s["intermediate_size"],
        "activation_function": "gelu_new",
        "vocab_size": s["vocab_size"],
        "tie_word_embeddings": bool(s.get("tie_word_embeddings")),
        "bos_token_id": 0,
        "eos_token_id": 0,
    }


def _mpt(s: Sizes, longest: int) -> dict[str, Any]:
    return {
        "d_model": s["hidden_size"],
        "n_layers": s["num_hidden_layers"],
        "n_heads": s["num_attention_heads"],
        "expansion_ratio": max(1, s["intermediate_size"] // s["hidden_size"]),
        "max_seq_len": longest,
        "vocab_size": s["vocab_size"],
        "no_bias": True,
        "attn_config": {"alibi": True},
    }


BUILDERS: dict[str, Callable[[Sizes, int], dict[str, Any]]] = {
    "gpt2": _gpt2,
    "mpt": _mpt,
    "mixtral": _whole_experts,
    "olmoe": _whole_experts,
    "gpt_oss": _whole_experts,
    "deepseek_v2": _latent,
    "deepseek_v3": _latent,
}
