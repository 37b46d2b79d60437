"""Real architectures: saved by transformers, grown by ``trainsim grow``, loaded by transformers, same logits in fp32.

Needs transformers 4.57 and torch (``make heavy``); nothing is downloaded. Takes half a minute.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from simulator.cli import main
from simulator.growth.checkpoint.families import read_model
from simulator.growth.checkpoint.forward import Forward
from simulator.growth.checkpoint.tensorfile import Source
from simulator.growth.checkpoint.writing import read_entries

torch = pytest.importorskip("torch", reason="torch and transformers are not installed")
transformers = pytest.importorskip("transformers", reason="transformers is not installed")

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

SMALL = {
    "num_hidden_layers": 3,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_attention_heads": 8,
    "vocab_size": 120,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
GQA = SMALL | {"num_key_value_heads": 2}
OPT = {k: v for k, v in SMALL.items() if k != "intermediate_size"} | {
    "ffn_dim": 96,
    "word_embed_proj_dim": 64,
}
LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}

MODELS: dict[str, tuple[str, dict[str, object]]] = {
    "llama": ("Llama", SMALL),
    "llama-gqa-tied": ("Llama", GQA | {"tie_word_embeddings": True, "rope_theta": 500.0}),
    "llama-mqa-biases": (
        "Llama",
        SMALL | {"num_key_value_heads": 1, "attention_bias": True, "mlp_bias": True},
    ),
    "llama-3-rope": ("Llama", GQA | {"rope_scaling": LLAMA3, "head_dim": 12}),
    "mistral": ("Mistral", GQA),
    "qwen2": ("Qwen2", GQA | {"tie_word_embeddings": True}),
    "qwen2-window": (
        "Qwen2",
        GQA | {"use_sliding_window": True, "sliding_window": 64, "max_window_layers": 2},
    ),
    "qwen3": ("Qwen3", GQA | {"head_dim": 16}),
    "gpt_neox": ("GPTNeoX", SMALL | {"rotary_pct": 0.5}),
    "gpt_neox-serial-tied": (
        "GPTNeoX",
        SMALL | {"use_parallel_residual": False, "tie_word_embeddings": True},
    ),
    "opt": ("OPT", OPT),
    "opt-untied": ("OPT", OPT | {"tie_word_embeddings": False}),
    "opt-350m": ("OPT", OPT | {"do_layer_norm_before": False, "word_embed_proj_dim": 32}),
    "opt-post-norm": ("OPT", OPT | {"do_layer_norm_before": False}),
    "olmo": ("Olmo", GQA | {"clip_qkv": 1.0}),
    "olmo-tied": ("Olmo", SMALL | {"tie_word_embeddings": True}),
    "olmo2": ("Olmo2", GQA),
    "olmo2-mqa-tied": ("Olmo2", SMALL | {"num_key_value_heads": 1, "tie_word_embeddings": True}),
}
IDS = np.random.default_rng(5).integers(3, 120, 24)


def save(folder: Path, name: str, **how: object):
    """A random model with scales that make every part matter."""
    family, numbers = MODELS[name]
    config = getattr(transformers, f"{family}Config")(**numbers, attn_implementation="eager")
    torch.manual_seed(1)
    model = getattr(transformers, f"{family}ForCausalLM")(config).eval()
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            scale = parameter.shape[-1] ** -0.5 if parameter.dim() == 2 else 0.3
            noise = torch.randn_like(parameter) * scale
            parameter.copy_(1 + noise if parameter.dim() == 1 and "weight" in key else noise)
    model.save_pretrained(folder, **how)
    return model


def load(folder: Path):
    model, report = transformers.AutoModelForCausalLM.from_pretrained(
        folder, attn_implementation="eager", torch_dtype=torch.float32, output_loading_info=True
    )
    assert not any(
        report[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys", "error_msgs")
    )
    return model.eval()


def logits(model) -> np.ndarray:
    with torch.no_grad():
        return model(torch.from_numpy(IDS)[None]).logits[0].float().numpy()


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(
    "options", [(), ("--noise-db", "10"), ("--factor", "3", "--ffn-factor", "2", "--untie")]
)
def test_a_wider_model_has_the_same_logits(tmp_path, name, options):
    small = save(tmp_path / "small", name)
    assert main(["grow", str(tmp_path / "small"), "--out", str(tmp_path / "large"), *options]) == 0
    large = load(tmp_path / "large")
    assert large.config.hidden_size == 64 * (3 if "3" in options else 2)
    assert sum(p.numel() for p in large.parameters()) > 2 * sum(p.numel() for p in small.parameters())
    before = logits(small)
    assert before.std() > 0.3
    assert np.max(np.abs(logits(large) - before)) <= 1e-4


@pytest.mark.parametrize("name", MODELS)
def test_our_forward_pass_is_theirs(tmp_path, name):
    model = save(tmp_path, name)
    with Source(read_entries(tmp_path)) as source:
        ours = Forward(read_model(tmp_path), source).logits(IDS)
    assert np.max(np.abs(ours - logits(model))) < 1e-4


@pytest.mark.parametrize("name", ["llama-gqa-tied", "gpt_neox", "opt", "olmo2", "qwen2-window"])
def test_identity_layers_keep_the_logits(tmp_path, name):
    small = save(tmp_path / "small", name)
    arguments = [
        "grow",
        str(tmp_path / "small"),
        "--operator",
        "staged_depth",
        "--out",
        str(tmp_path / "deep"),
    ]
    assert main(arguments) == 0
    deep = load(tmp_path / "deep")
    assert deep.config.num_hidden_layers == 6
    assert np.max(np.abs(logits(deep) - logits(small))) <= 1e-4


@pytest.mark.parametrize("name", ["llama", "gpt_neox", "opt-350m", "qwen2-window"])
def test_stacked_layers_are_the_sources(tmp_path, name):
    save(tmp_path / "small", name)
    arguments = ["grow", str(tmp_path / "small"), "--operator", "stacking", "--out", str(tmp_path / "deep")]
    assert main(arguments) == 0
    small, deep = (load(tmp_path / part).state_dict() for part in ("small", "deep"))
    for key, value in deep.items():
        match = key.split(".layers.")
        if len(match) == 2:
            layer, _, rest = match[1].partition(".")
            key = f"{match[0]}.layers.{int(layer) % 3}.{rest}"
        assert torch.equal(value, small[key])
    if name == "qwen2-window":
        kinds = json.loads((tmp_path / "deep" / "config.json").read_text())["layer_types"]
        assert kinds == ["full_attention", "full_attention", "sliding_attention"] * 2


def test_a_bfloat16_model_in_shards(tmp_path):
    small = save(tmp_path / "small", "qwen3").to(torch.bfloat16)
    (tmp_path / "small" / "model.safetensors").unlink()
    small.save_pretrained(tmp_path / "small", max_shard_size="50KB")
    assert len(list((tmp_path / "small").glob("*.safetensors"))) > 1
    arguments = ["grow", str(tmp_path / "small"), "--out", str(tmp_path / "large"), "--shard-gb", "0.0002"]
    assert main(arguments) == 0
    assert len(list((tmp_path / "large").glob("*.safetensors"))) > 1
    small, large = load(tmp_path / "small"), load(tmp_path / "large")
    assert np.max(np.abs(logits(large) - logits(small))) <= 1e-4
