"""Families with a gated feed-forward block: Llama, Mistral, Qwen, Gemma, OLMo, DeepSeek and their kin."""

from __future__ import annotations

from simulator.importers.reader import REQUIRED, Reader
from simulator.importers.sizes import Fields, base, biases, experts, filled_reader, llama_like


def llama(c: Reader) -> Fields:
    """Llama 1 to 3, Yi, Granite: the plain case."""
    return llama_like(c, **biases(c, "attention_bias", False), mlp_bias=c.flag("mlp_bias", False))


def smollm3(c: Reader) -> Fields:
    """SmolLM 3: Llama, tied, four key heads."""
    bias = biases(c, "attention_bias", False)
    return llama_like(c, kv_heads=4, tied=True, **(bias | {"mlp_bias": c.flag("mlp_bias", False)}))


def mistral(c: Reader) -> Fields:
    """Mistral: grouped queries, no biases."""
    return llama_like(c, kv_heads=8)


def mixtral(c: Reader) -> Fields:
    """Mixtral: every layer routes."""
    fields = llama_like(c, kv_heads=8)
    return experts(c, fields, ("num_local_experts",), width=fields["intermediate_size"], default=8, top_k=2)


def phi3(c: Reader) -> Fields:
    """Phi-3 and 4: fused projections, the same sizes."""
    return llama_like(c)


def phimoe(c: Reader) -> Fields:
    """Phi-3.5-MoE: LayerNorms with bias, a head with bias."""
    fields = llama_like(
        c,
        kv_heads=8,
        norm_parameters=2,
        **biases(c, "attention_bias", False),
        lm_head_bias=c.flag("lm_head_bias", False),
    )
    return experts(c, fields, ("num_local_experts",), width=fields["intermediate_size"], default=16, top_k=2)


def granitemoe(c: Reader) -> Fields:
    """Granite MoE: every layer routes."""
    fields = llama(c)
    return experts(c, fields, ("num_local_experts",), width=fields["intermediate_size"], default=8, top_k=2)


def qwen(c: Reader) -> Fields:
    """Qwen of 2023: ``intermediate_size`` counts both halves of the gated block."""
    fields = llama_like(c, attention_bias=1)
    return fields | {"intermediate_size": max(1, fields["intermediate_size"] // 2)}


def qwen2(c: Reader) -> Fields:
    """Qwen 1.5, 2 and 2.5: biases on queries, keys and values only."""
    return llama_like(c, attention_bias=1)


def qwen2_moe(c: Reader) -> Fields:
    """Qwen 1.5 and 2 MoE: a shared expert behind a gate."""
    fields = llama_like(
        c, attention_bias=c.flag("qkv_bias", True), intermediate_size=5632, shared_expert_gate=1
    )
    fields["shared_expert_intermediate_size"] = c.size("shared_expert_intermediate_size", default=5632)
    return qwen_experts(c, fields, width=1408, default=60, top_k=4)


def qwen_experts(c: Reader, fields: Fields, *, width: int, default: int, top_k: int) -> Fields:
    """Routed experts of Qwen: every `decoder_sparse_step` layers, but not in `mlp_only_layers`."""
    expert = c.size("moe_intermediate_size", default=width)
    fields = experts(c, fields, ("num_experts",), width=expert, default=default, top_k=top_k)
    step, dense = c.size("decoder_sparse_step", default=1), c.count("mlp_only_layers")
    if step > 1 and dense:
        c.fail("mlp_only_layers", "cannot be read together with decoder_sparse_step above 1")
    return fields | {"moe_layer_freq": step, "first_k_dense_replace": dense}


def qwen3(c: Reader) -> Fields:
    """Qwen 3: norms of queries and keys per head, heads of 128 whatever the width."""
    head_dim = c.size("head_dim", default=128)
    return llama_like(
        c, kv_heads=32, head_dim=head_dim, **biases(c, "attention_bias", False), qk_norm_size=2 * head_dim
    )


def qwen3_moe(c: Reader) -> Fields:
    """Qwen 3 MoE: no shared expert."""
    fields = llama_like(c, kv_heads=4, intermediate_size=6144, **biases(c, "attention_bias", False))
    fields["qk_norm_size"] = 2 * fields["head_dim"]
    return qwen_experts(c, fields, width=768, default=128, top_k=8)


def gemma(c: Reader) -> Fields:
    """Gemma: wide heads, tied."""
    return llama_like(
        c,
        kv_heads=16,
        head_dim=c.size("head_dim", default=256),
        tied=True,
        **biases(c, "attention_bias", False),
    )


def gemma2(c: Reader) -> Fields:
    """Gemma 2: norms before and after each block."""
    return gemma(c) | {"norms_per_layer": 4, "num_key_value_heads": c.size("num_key_value_heads", default=4)}


def gemma3(c: Reader) -> Fields:
    """Published files leave out every size that equals the class's default, so the defaults hold for sizes too."""
    defaults = {
        "num_attention_heads": 8,
        "vocab_size": 262208,
        "hidden_size": 2304,
        "intermediate_size": 9216,
        "num_hidden_layers": 26,
    }
    filled = filled_reader(c, defaults)
    fields = gemma2(filled)
    return fields | {"qk_norm_size": 2 * fields["head_dim"]}


def olmo(c: Reader) -> Fields:
    """OLMo: norms without parameters."""
    if "d_model" in c.config:
        return old_olmo(c)
    return llama_like(c, **biases(c, "attention_bias", False), norm_parameters=0)


def old_olmo(c: Reader) -> Fields:
    """OLMo's own format: ``mlp_hidden_size`` counts both halves of the gated block, ``embedding_size`` is padded."""
    bias = c.flag("include_bias", False)
    fields = base(c, **biases(c, "include_bias", False), mlp_bias=bias)
    kv_heads = 1 if c.flag("multi_query_attention", False) else fields["num_attention_heads"]
    gated = int(c.config.get("activation_type", "swiglu") == "swiglu")
    width = c.size("mlp_hidden_size", default=c.size("mlp_ratio", default=4) * fields["hidden_size"])
    affine = c.flag("layer_norm_with_affine", True)
    norm_bias = c.flag("bias_for_layer_norm", bool(bias))
    rms = c.config.get("layer_norm_type") == "rms"
    return fields | {
        "num_key_value_heads": c.size("n_kv_heads", default=kv_heads),
        "intermediate_size": max(1, width // (1 + gated)),
        "gated": gated,
        "rotary": 1,
        "norm_parameters": affine * (1 if rms else 1 + norm_bias),
        "vocab_size": c.size("embedding_size", "vocab_size"),
        "tie_word_embeddings": c.flag("weight_tying", True),
    }


def olmo2(c: Reader) -> Fields:
    """OLMo 2 and 3: norms over all queries and all keys."""
    fields = llama_like(c, **biases(c, "attention_bias", False))
    heads = fields["num_attention_heads"] + fields["num_key_value_heads"]
    return fields | {"qk_norm_size": heads * fields["head_dim"]}


def olmoe(c: Reader) -> Fields:
    """OLMoE: OLMo 2 with experts in every layer."""
    fields = olmo2(c)
    return experts(c, fields, ("num_experts",), width=fields["intermediate_size"], default=64, top_k=8)


def internlm(c: Reader) -> Fields:
    """InternLM: Llama with biases in attention."""
    return llama_like(c, **biases(c, "bias", True))


def internlm2(c: Reader) -> Fields:
    """InternLM 2: Llama without biases."""
    return llama_like(c, **biases(c, "bias", False))


def glm(c: Reader) -> Fields:
    """GLM-4 9B: biases on queries, keys and values."""
    return llama_like(
        c, kv_heads=2, head_dim=c.size("head_dim", default=128), attention_bias=c.flag("attention_bias", True)
    )


def glm4(c: Reader) -> Fields:
    """GLM-4 of 2025: norms before and after each block."""
    return llama_like(
        c,
        kv_heads=2,
        head_dim=c.size("head_dim", default=128),
        attention_bias=c.flag("attention_bias", True),
        norms_per_layer=4,
    )


def seed_oss(c: Reader) -> Fields:
    """Seed-OSS: biases on queries, keys and values."""
    return llama_like(
        c,
        kv_heads=8,
        head_dim=c.size("head_dim", default=128),
        attention_bias=c.flag("attention_bias", True),
        attention_output_bias=c.flag("attention_out_bias", False),
        mlp_bias=c.flag("mlp_bias", False),
    )


def ernie4_5(c: Reader) -> Fields:
    """ERNIE 4.5: tied, no biases unless asked."""
    bias = c.flag("use_bias", False)
    return llama_like(
        c,
        kv_heads=2,
        head_dim=c.size("head_dim", default=128),
        tied=True,
        attention_bias=bias,
        attention_output_bias=bias,
        mlp_bias=bias,
    )


def stablelm(c: Reader) -> Fields:
    """StableLM: LayerNorms with bias."""
    fields = llama_like(c, kv_heads=32, attention_bias=c.flag("use_qkv_bias", False), norm_parameters=2)
    fields["head_dim"] = max(1, fields["hidden_size"] // fields["num_attention_heads"])
    heads = fields["num_attention_heads"] + fields["num_key_value_heads"]
    fields["qk_norm_size"] = c.flag("qk_layernorm", False) * heads * fields["head_dim"]
    return fields | {"norms_per_layer": 2 - c.flag("use_parallel_residual", False)}


def cohere(c: Reader) -> Fields:
    """Command R: one norm for both branches, tied."""
    fields = llama_like(c, tied=True, **biases(c, "attention_bias", False), norms_per_layer=1)
    heads = fields["num_attention_heads"] + fields["num_key_value_heads"]
    return fields | {"qk_norm_size": c.flag("use_qk_norm", False) * heads * fields["head_dim"]}


def gpt_oss(c: Reader) -> Fields:
    """gpt-oss: biases everywhere, router and experts included; a learned sink per head."""
    fields = llama_like(
        c,
        kv_heads=8,
        head_dim=c.size("head_dim", default=64),
        **biases(c, "attention_bias", True),
        attention_sinks=1,
        mlp_bias=1,
        router_bias=1,
    )
    return experts(
        c,
        fields,
        ("num_local_experts", "num_experts"),
        width=fields["intermediate_size"],
        default=128,
        top_k=4,
    )


def llama4(c: Reader) -> Fields:
    """Published files leave out sizes that equal the class's defaults; the norm of queries and keys has no weights."""
    filled = filled_reader(
        c, {"hidden_size": 5120, "num_attention_heads": 40, "num_hidden_layers": 48, "vocab_size": 202048}
    )
    fields = llama_like(filled, kv_heads=8, head_dim=c.size("head_dim", default=128), intermediate_size=8192)
    expert = fields["intermediate_size"]
    fields["intermediate_size"] = c.size("intermediate_size_mlp", default=16384)
    fields["shared_expert_intermediate_size"] = expert
    fields["moe_layer_freq"] = c.size("interleave_moe_layer_step", default=1)
    return experts(c, fields, ("num_local_experts",), width=expert, default=16, top_k=1)


def grok1(c: Reader) -> Fields:
    """Grok-1: norms before and after each block."""
    fields = llama_like(c, kv_heads=8, tied=True, norms_per_layer=4)
    return experts(
        c, fields, ("num_experts", "num_local_experts"), width=fields["intermediate_size"], default=8, top_k=2
    )


# --- DeepSeek and its descendants -----------------------------------------------------------------------------------


def deepseek_experts(c: Reader, fields: Fields, *, corrected: int, first_dense: int) -> Fields:
    """Routed and shared experts after the first dense layers; `corrected` is 1 where the router carries a bias."""
    routed = c.size("n_routed_experts", default=0, low=0)
    if not routed:
        return fields
    expert = c.size("moe_intermediate_size")
    fields = experts(c, fields, ("n_routed_experts",), width=expert, default=0, top_k=REQUIRED)
    if c.size("moe_layer_freq", default=1) != 1:
        c.fail("moe_layer_freq", "only 1 can be read")
    return fields | {
        "shared_expert_intermediate_size": c.size("n_shared_experts", default=0, low=0) * expert,
        "first_k_dense_replace": c.size("first_k_dense_replace", default=first_dense, low=0),
        "router_bias": corrected,
        "num_nextn_predict_layers": c.size("num_nextn_predict_layers", default=0, low=0),
    }


def deepseek_moe(c: Reader) -> Fields:
    """DeepSeekMoE (v1): ordinary attention."""
    return deepseek_experts(c, llama(c), corrected=0, first_dense=0)


def latent(c: Reader) -> Fields:
    """Multi-head latent attention."""
    nope, rope = c.size("qk_nope_head_dim", default=128), c.size("qk_rope_head_dim", default=64)
    fields = llama_like(
        c,
        head_dim=nope + rope,
        q_lora_rank=0 if c.null("q_lora_rank") else c.size("q_lora_rank", default=1536, low=0),
        kv_lora_rank=c.size("kv_lora_rank", default=512),
        qk_nope_head_dim=nope,
        qk_rope_head_dim=rope,
        v_head_dim=c.size("v_head_dim", default=128),
        **biases(c, "attention_bias", False),
    )
    # Latent attention gives every query head its own key and value; the file's number of key heads is not used.
    return fields | {"num_key_value_heads": fields["num_attention_heads"]}


def deepseek_v2(c: Reader) -> Fields:
    """DeepSeek-V2 and V2-Lite (no low-rank queries)."""
    return deepseek_experts(c, latent(c), corrected=0, first_dense=0)


def deepseek_v3(c: Reader) -> Fields:
    """DeepSeek-V3, R1 and Kimi K2: a bias that corrects the router."""
    return deepseek_experts(c, latent(c), corrected=1, first_dense=3)


def glm4_moe(c: Reader) -> Fields:
    """GLM-4.5: ordinary attention with DeepSeek-V3 experts."""
    fields = llama_like(c, kv_heads=8, attention_bias=c.flag("attention_bias", False))
    fields["qk_norm_size"] = 2 * fields["head_dim"] * c.flag("use_qk_norm", False)
    return deepseek_experts(c, fields, corrected=1, first_dense=1)
