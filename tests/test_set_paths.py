"""Paths that ``--set`` gives: from where the user stands first, then from the folder of the scenario."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from simulator.errors import SpecError
from simulator.schema import load_scenario

SCENARIO = """\
model: {num_hidden_layers: 12, hidden_size: 768, num_attention_heads: 12}
training: {tokens: 1B, seq_length: 1024, global_batch_size: 64}
hardware: {accelerator: a100-sxm-80gb, n_gpus: 8}
"""


def config(path: Path, layers: int) -> None:
    """A Hugging Face configuration of some depth."""
    sizes = {"hidden_size": 768, "num_attention_heads": 12, "intermediate_size": 2048, "vocab_size": 32000}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"model_type": "llama", "num_hidden_layers": layers, **sizes}))


@pytest.fixture
def scenario(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A scenario in one folder; the user stands in another."""
    (tmp_path / "plans").mkdir()
    (tmp_path / "here").mkdir()
    (tmp_path / "plans" / "plan.yaml").write_text(SCENARIO)
    monkeypatch.chdir(tmp_path / "here")
    return "../plans/plan.yaml"


def layers(scenario: str, setting: str) -> int:
    model = load_scenario(scenario, (setting,)).model
    assert model is not None
    return model.num_hidden_layers


@pytest.mark.parametrize("written", ["./file.json", "file.json"])
def test_a_file_is_looked_for_where_the_user_stands(scenario: str, tmp_path: Path, written: str) -> None:
    config(tmp_path / "here" / "file.json", 5)
    config(tmp_path / "plans" / "file.json", 7)
    assert layers(scenario, f"model={written}") == 5
    (tmp_path / "here" / "file.json").unlink()
    assert layers(scenario, f"model={written}") == 7


def test_so_is_the_folder_of_a_checkpoint_and_a_path_inside_a_value(scenario: str, tmp_path: Path) -> None:
    config(tmp_path / "here" / "llama" / "config.json", 5)
    assert layers(scenario, "model=./llama") == 5
    (tmp_path / "here" / "chip.yaml").write_text("extends: h100-sxm-80gb\nname: Ours\nsource: our racks\n")
    found = load_scenario(scenario, ("hardware={accelerator: ./chip.yaml, n_gpus: 16}",))
    assert found.hardware[0].accelerator.name == "Ours"


def test_a_file_that_is_nowhere_is_named(scenario: str) -> None:
    with pytest.raises(SpecError, match=r"\./gone\.json: no such file"):
        load_scenario(scenario, ("model=./gone.json",))


def test_a_configuration_of_another_name_gives_the_model_its_own(scenario: str, tmp_path: Path) -> None:
    config(tmp_path / "here" / "mine.json", 5)
    config(tmp_path / "here" / "llama" / "config.json", 5)
    for written, name in (("./mine.json", "mine"), ("./llama", "llama"), ("./llama/config.json", "llama")):
        model = load_scenario(scenario, (f"model={written}",)).model
        assert model is not None
        assert model.name == name
