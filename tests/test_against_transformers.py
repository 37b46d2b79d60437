"""Our count beside the parameters that each family's own class in transformers creates.

Needs transformers 4.57 and torch (``pip install transformers==4.57.1 torch``); nothing is downloaded, and the weights
are never allocated (meta device).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from simulator.importers.families import FAMILIES
from simulator.importers.huggingface import read_config
from simulator.transformer import Shape, parameters
from simulator.windows import windowed_layers

torch = pytest.importorskip("torch", reason="torch and transformers are not installed")
transformers = pytest.importorskip("transformers", reason="transformers is not installed")

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

SMALL = {
    "num_hidden_layers": 4,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "vocab_size": 100,
    "pad_token_id": 0,
}
MOE = {
    "num_local_experts": 6,
    "num_experts": 6,
    "n_routed_experts": 8,
    "n_shared_experts": 2,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 24,
    "shared_expert_intermediate_size": 40,
    "n_group": 1,
    "topk_group": 1,
}
LATENT = {
    "q_lora_rank": 20,
    "kv_lora_rank": 12,
    "qk_nope_head_dim": 16,
    "qk_rope_head_dim": 8,
    "v_head_dim": 14,
}
GPT = {"n_layer": 3, "n_embd": 64, "n_head": 4, "vocab_size": 100, "n_positions": 50, "rotary_dim": 8}
OPT = {
    "num_hidden_layers": 2,
    "hidden_size": 64,
    "ffn_dim": 128,
    "num_attention_heads": 4,
    "vocab_size": 100,
    "max_position_embeddings": 50,
    "word_embed_proj_dim": 64,
    "pad_token_id": 0,
}
FALCON = {"hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4, "vocab_size": 100}
DENSE = """arcee cohere cohere2 ernie4_5 gemma gemma2 gemma3_text glm glm4 gpt_neox granite llama mistral nemotron olmo
olmo2 olmo3 phi phi3 qwen2 qwen3 seed_oss smollm3 stablelm starcoder2""".split()
SPARSE = "glm4_moe gpt_oss granitemoe mixtral olmoe phimoe qwen2_moe qwen3_moe".split()

VARIANTS: list[tuple[str, dict[str, Any]]] = [
    *((kind, {**SMALL, **change})
      for kind in DENSE
      for change in ({}, {"attention_bias": True}, {"head_dim": 8}, {"tie_word_embeddings": True},
                     {"tie_word_embeddings": False}, {"attention_bias": True, "mlp_bias": True})),
    # Nemotron's class cannot do without the number of key heads.
    *((kind, {key: value for key, value in SMALL.items() if key != "num_key_value_heads"}
       | {"num_attention_heads": 32, "hidden_size": 128}) for kind in DENSE if kind != "nemotron"),
    *((kind, {**SMALL, **MOE, **change})
      for kind in SPARSE
      for change in ({}, {"attention_bias": True, "first_k_dense_replace": 1}, {"decoder_sparse_step": 2},
                     {"mlp_only_layers": [0, 2], "use_qk_norm": True, "lm_head_bias": True, "qkv_bias": False})),
    *((kind, {**SMALL, **MOE, **LATENT, **change})
      for kind in ("deepseek_v2", "deepseek_v3")
      for change in ({}, {"q_lora_rank": None, "first_k_dense_replace": 2}, {"attention_bias": True})),
    *((kind, {**GPT, **change})
      for kind in ("gpt2", "gpt_bigcode", "gptj", "codegen")
      for change in ({}, {"n_inner": 96}, {"multi_query": False})),
    *(("opt", {**OPT, **change})
      for change in ({}, {"word_embed_proj_dim": 32, "do_layer_norm_before": False}, {"enable_bias": False},
                     {"_remove_final_layer_norm": True})),
    *(("falcon", {**FALCON, **change})
      for change in ({}, {"parallel_attn": False}, {"multi_query": False}, {"bias": True, "alibi": True},
                     {"new_decoder_architecture": True, "num_kv_heads": 2}, {"ffn_hidden_size": 100},
                     {"new_decoder_architecture": True, "num_kv_heads": 2, "num_ln_in_parallel_attn": 1})),
    ("cohere", {**SMALL, "use_qk_norm": True}),
    ("stablelm", {**SMALL, "use_qkv_bias": True, "use_parallel_residual": True}),
    ("ernie4_5", {**SMALL, "use_bias": True}),
    ("starcoder2", {**SMALL, "use_bias": False}),
    ("seed_oss", {**SMALL, "attention_out_bias": True}),
    ("phi", {**SMALL, "qk_layernorm": True}),
    ("llama4_text", {**SMALL, **MOE, "intermediate_size_mlp": 80}),
    ("llama4_text", {**SMALL, **MOE, "intermediate_size_mlp": 80, "interleave_moe_layer_step": 2}),
    ("gpt_neo", {"num_layers": 2, "num_heads": 4, "hidden_size": 64, "vocab_size": 100,
                 "attention_types": [[["global", "local"], 1]], "max_position_embeddings": 50}),
    ("mpt", {"d_model": 64, "n_heads": 4, "n_layers": 3, "vocab_size": 100, "expansion_ratio": 4, "max_seq_len": 50}),
    ("bloom", {"hidden_size": 64, "n_layer": 3, "n_head": 4, "vocab_size": 100}),
    ("dbrx", {"d_model": 64, "n_heads": 4, "n_layers": 3, "vocab_size": 100, "attn_config": {"kv_n_heads": 2},
              "ffn_config": {"ffn_hidden_size": 40, "moe_num_experts": 4, "moe_top_k": 2}}),
]  # fmt: skip
PUBLISHED = sorted((Path(__file__).parent / "data" / "hf").glob("*.json"))
# Read by code that lives beside the weights on the Hub, not in transformers.
ELSEWHERE = {"Yi", "RefinedWeb", "RefinedWebModel", "baichuan", "deepseek", "grok-1", "hf_olmo", "internlm", "internlm2",
             "kimi_k2", "ministral3", "phi-msft", "qwen"}  # fmt: skip


def created(kind: str, config: dict[str, Any]) -> int:
    """Parameters that the family's class creates, with the router's correction, which is stored as a buffer."""
    built = transformers.CONFIG_MAPPING[kind](**config)
    # Weights that do not exist need no values; without them transformers leaves shared ones to be tied.
    with torch.device("meta"), transformers.modeling_utils.no_init_weights():
        model = transformers.AutoModelForCausalLM.from_config(built)
    model.tie_weights()
    corrections = (b.numel() for name, b in model.named_buffers() if name.endswith("e_score_correction_bias"))
    return sum(p.numel() for p in model.parameters()) + sum(corrections)


@pytest.mark.parametrize(
    ("kind", "config"), VARIANTS, ids=[f"{kind}-{i}" for i, (kind, _) in enumerate(VARIANTS)]
)
def test_variant(kind: str, config: dict[str, Any]) -> None:
    assert int(parameters(Shape(**read_config({**config, "model_type": kind})))) == created(kind, config)


@pytest.mark.parametrize("path", PUBLISHED, ids=[path.stem for path in PUBLISHED])
def test_published(path: Path) -> None:
    config = json.loads(path.read_text())
    config = dict(config.get("text_config", config))
    kind = config.pop("model_type")
    if kind in ELSEWHERE:
        pytest.skip(f"{kind} is not part of transformers")
    assert int(parameters(Shape(**read_config(path)))) == created(kind, config)


WINDOWED = [
    *((kind, {**SMALL, **MOE, "num_hidden_layers": layers}) for kind in ("cohere2", "gemma2", "gemma3_text", "gpt_oss", "olmo3")
      for layers in (4, 12, 13)),
    *((kind, {**SMALL, **MOE, "num_hidden_layers": 12, "use_sliding_window": True, "max_window_layers": first})
      for kind in ("qwen2", "qwen3") for first in (0, 3, 6, 12)),
    *(("gemma3_text", {**SMALL, "num_hidden_layers": 12, "sliding_window_pattern": pattern}) for pattern in (2, 3, 4)),
    *(("llama4_text", {**SMALL, **MOE, "num_hidden_layers": 12, **change})
      for change in ({}, {"no_rope_layer_interval": 3}, {"no_rope_layers": [1, 0] * 6})),
]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "config"), WINDOWED, ids=[f"{kind}-{i}" for i, (kind, _) in enumerate(WINDOWED)]
)
def test_layers_with_windows(kind: str, config: dict[str, Any]) -> None:
    built = transformers.CONFIG_MAPPING[kind](**config)
    shape = Shape(**read_config({**config, "model_type": kind}))
    words = built.layer_types
    assert int(windowed_layers(shape)) == sum(word != "full_attention" for word in words)
    if kind == "llama4_text":
        assert shape.attention_chunk_size == built.attention_chunk_size
    elif windowed_layers(shape):
        assert shape.sliding_window == built.sliding_window


def test_every_family_is_checked() -> None:
    checked = {kind for kind, _ in VARIANTS} | {"gemma3"}
    assert set(FAMILIES) - ELSEWHERE == checked
