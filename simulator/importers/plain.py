"""Families with a plain feed-forward block, and DBRX: GPT-2, GPT-NeoX, OPT, MPT, BLOOM, Falcon, Phi and their kin."""

from __future__ import annotations

from simulator.importers.reader import Reader
from simulator.importers.sizes import HEADS, Fields, base, gpt_like, llama_like


def gpt2(c: Reader) -> Fields:
    """GPT-2: learned positions, biases everywhere, tied."""
    return gpt_like(c, positions=c.size("n_positions", default=1024))


def gpt_bigcode(c: Reader) -> Fields:
    """StarCoder 1 and SantaCoder: GPT-2 with one key and value head."""
    fields = gpt2(c)
    return fields | {
        "num_key_value_heads": 1 if c.flag("multi_query", True) else fields["num_attention_heads"]
    }


def gpt_neo(c: Reader) -> Fields:
    """GPT-Neo: queries, keys and values without bias."""
    return gpt_like(c, positions=c.size("max_position_embeddings", default=2048), attention_bias=0)


def gpt_neox(c: Reader) -> Fields:
    """GPT-NeoX and Pythia: rotary positions, untied head without bias."""
    bias = c.flag("attention_bias", True)
    return gpt_like(c, tied=False, attention_bias=bias, attention_output_bias=bias)


def gptj(c: Reader) -> Fields:
    """GPT-J and CodeGen: one norm for both branches, no attention biases, a head with bias."""
    return gpt_like(
        c, tied=False, attention_bias=0, attention_output_bias=0, norms_per_layer=1, lm_head_bias=1
    )


def opt(c: Reader) -> Fields:
    """OPT: two position rows more than positions; 350m has a narrow embedding and no final norm."""
    bias = c.flag("enable_bias", True)
    affine = c.flag("layer_norm_elementwise_affine", True)
    final = c.flag("do_layer_norm_before", True) and not c.flag("_remove_final_layer_norm", False)
    fields = gpt_like(
        c,
        positions=c.size("max_position_embeddings", default=2048) + 2,
        attention_bias=bias,
        attention_output_bias=bias,
        mlp_bias=bias,
        norm_parameters=2 * affine,
        final_norm=int(final),
    )
    narrow = c.size("word_embed_proj_dim", default=fields["hidden_size"])
    return fields | {"embedding_proj_dim": 0 if narrow == fields["hidden_size"] else narrow}


def mpt(c: Reader) -> Fields:
    """MPT: no biases by default, ALiBi or learned positions, grouped queries on request."""
    attention = c.inner("attn_config")
    learned = (
        c.flag("learned_pos_emb", True)
        and not attention.flag("alibi", True)
        and not attention.flag("rope", False)
    )
    bias = 1 - c.flag("no_bias", True)
    fields = gpt_like(
        c,
        positions=c.size("max_seq_len", default=2048) if learned else 0,
        attention_bias=bias,
        attention_output_bias=bias,
        mlp_bias=bias,
        norm_parameters=1 + bias,
        rotary=attention.flag("rope", False),
    )
    grouping = attention.config.get("attn_type", "multihead_attention")
    heads = fields["num_attention_heads"]
    default = 1 if grouping == "multiquery_attention" else heads
    fields["num_key_value_heads"] = attention.size("kv_n_heads", default=default)
    fields["intermediate_size"] = c.size("expansion_ratio", default=4) * fields["hidden_size"]
    if attention.flag("qk_ln", False):
        kv_width = fields["num_key_value_heads"] * fields["head_dim"]
        fields["qk_norm_size"] = fields["norm_parameters"] * (fields["hidden_size"] + kv_width)
    return fields


def bloom(c: Reader) -> Fields:
    """BLOOM: ALiBi, a norm after the embedding, tied."""
    return gpt_like(c, embedding_norm=1, rotary=0)


def falcon(c: Reader) -> Fields:
    """Falcon: attention beside the feed-forward block, one key head (7B) or groups (40B, 180B)."""
    heads = c.size(*HEADS)
    grouped = c.flag("new_decoder_architecture", c.config.get("model_type") == "RefinedWeb")
    kv_heads = 1 if c.flag("multi_query", True) else heads
    if grouped:
        kv_heads = c.size("num_kv_heads", "n_head_kv", default=heads)
    parallel = c.flag("parallel_attn", True)
    norms = c.size("num_ln_in_parallel_attn", default=2 if grouped or not parallel else 1)
    bias = c.flag("bias", False)
    fields = gpt_like(
        c,
        attention_bias=bias,
        attention_output_bias=bias,
        mlp_bias=bias,
        norms_per_layer=norms,
        rotary=1 - c.flag("alibi", False),
    )
    width = c.size("ffn_hidden_size", default=4 * fields["hidden_size"])
    return fields | {"num_key_value_heads": kv_heads, "intermediate_size": width}


def phi(c: Reader) -> Fields:
    """Phi 1, 1.5 and 2: one norm for both branches, a head with bias."""
    fields = gpt_like(c, tied=False, norms_per_layer=1, lm_head_bias=1)
    kv_heads = c.size("num_key_value_heads", "n_head_kv", default=fields["num_attention_heads"])
    normed = c.flag("qk_layernorm", False)
    return fields | {"num_key_value_heads": kv_heads, "qk_norm_size": normed * 4 * fields["head_dim"]}


def starcoder2(c: Reader) -> Fields:
    """StarCoder 2: grouped queries, biases everywhere, tied."""
    bias = c.flag("use_bias", True)
    fields = gpt_like(c, attention_bias=bias, attention_output_bias=bias, mlp_bias=bias)
    return fields | {"num_key_value_heads": c.size("num_key_value_heads", default=2)}


def nemotron(c: Reader) -> Fields:
    """Nemotron: squared ReLU, LayerNorms with bias, no other bias."""
    bias = c.flag("attention_bias", False)
    fields = gpt_like(
        c, tied=False, attention_bias=bias, attention_output_bias=bias, mlp_bias=c.flag("mlp_bias", False)
    )
    heads = c.size("num_key_value_heads", default=fields["num_attention_heads"])
    return fields | {"num_key_value_heads": heads}


def arcee(c: Reader) -> Fields:
    """AFM: Llama's attention and norms with a plain block of squared ReLU."""
    bias = c.flag("attention_bias", False)
    fields = llama_like(
        c, attention_bias=bias, attention_output_bias=bias, mlp_bias=c.flag("mlp_bias", False)
    )
    return fields | {"gated": 0}


def dbrx(c: Reader) -> Fields:
    """DBRX: gated experts, norms without bias, grouped queries."""
    attention, ffn = c.inner("attn_config"), c.inner("ffn_config")
    fields = base(c)
    width = ffn.size("ffn_hidden_size", default=3584)
    routed = {
        "num_experts": ffn.size("moe_num_experts", default=4),
        "num_experts_per_tok": ffn.size("moe_top_k", default=1),
        "moe_intermediate_size": width,
        "intermediate_size": width,
    }
    kv_heads = attention.size("kv_n_heads", default=1)
    return fields | routed | {"num_key_value_heads": kv_heads, "gated": 1, "rotary": 1, "norm_parameters": 1}
