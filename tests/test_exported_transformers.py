"""Exported ``config.json`` files in transformers itself: they load, and its classes create our count of parameters."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from simulator.exporters.huggingface import ARCHITECTURES, config_of
from simulator.schema import load_model
from simulator.transformer import Shape, parameters

torch = pytest.importorskip("torch", reason="torch and transformers are not installed")
transformers = pytest.importorskip("transformers", reason="transformers is not installed")

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

MODELS = """llama-3.1-8b qwen2.5-7b qwen3-8b olmo-2-7b gemma-2-9b gpt2-xl mixtral-8x7b qwen3-30b-a3b qwen1.5-moe-a2.7b
olmoe-1b-7b deepseek-v2-lite deepseek-v3 pythia-1b mpt-7b-alibi mistral-7b gemma-3-4b gpt-oss-20b starcoder2-7b""".split()


@pytest.mark.parametrize("name", MODELS)
def test_transformers_loads_the_file_and_creates_our_parameters(name: str, tmp_path: Path) -> None:
    sizes = {key: int(value) for key, value in load_model(name).sizes().items()}
    written = config_of(sizes, max_position_embeddings=2048)
    (tmp_path / "config.json").write_text(json.dumps(written))
    config = transformers.AutoConfig.from_pretrained(tmp_path)
    # Weights that do not exist need no values; without them transformers leaves shared ones to be tied.
    with torch.device("meta"), transformers.modeling_utils.no_init_weights():
        model = transformers.AutoModelForCausalLM.from_config(config)
    model.tie_weights()
    assert type(model).__name__ == written["architectures"][0] == ARCHITECTURES[written["model_type"]]
    buffers = (b.numel() for key, b in model.named_buffers() if key.endswith("e_score_correction_bias"))
    assert sum(p.numel() for p in model.parameters()) + sum(buffers) == int(parameters(Shape(**sizes)))
