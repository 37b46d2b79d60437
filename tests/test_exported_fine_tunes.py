"""Exports of a run that goes on from trained weights: every file loads them, or its note says who does."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from simulator.exporters import EXPORTERS, Exported, TrainingPlan, export, plan_of
from simulator.exporters.weights import FINE_TUNING, FOLDER, FROM_SCRATCH
from simulator.importers.read import read_file
from simulator.importers.shell import arguments
from simulator.schema import load_scenario
from simulator.simulate import run

RUN: dict[str, Any] = {
    "name": "fine-tune",
    "model": "llama-3.1-8b",
    "training": {
        "steps": 10,
        "seq_length": 4096,
        "global_batch_size": 64,
        "micro_batch_size": 1,
        "recompute": "full",
    },
    "parallelism": {"tp": 1, "pp": 1, "cp": 1, "zero_stage": 3},
    "hardware": {"accelerator": "a100-sxm-80gb", "n_gpus": 8},
}


def plan(program: str, *, given: bool) -> TrainingPlan:
    data = {**RUN, "training": {**RUN["training"], **({"from_pretrained": True} if given else {})}}
    if program == "nanotron":
        data["parallelism"] = {**RUN["parallelism"], "tp": 4, "zero_stage": 1}
    scenario = load_scenario(data)
    return plan_of(scenario, run(scenario))


def written(program: str, *, given: bool = True) -> Exported:
    return export(plan(program, given=given), program)


@pytest.mark.parametrize("program", EXPORTERS)
def test_a_note_says_how_the_weights_are_loaded_and_only_then(program: str) -> None:
    assert written(program).notes[0].startswith("a fine-tune of the given weights of llama-3.1-8b: ")
    assert not any("given weights" in note for note in written(program, given=False).notes)


def test_megatron_stops_without_a_checkpoint_and_begins_at_step_zero() -> None:
    found = arguments(written("megatron").text).options
    assert "pretrained-checkpoint" in found
    assert "exit-on-missing-checkpoint" in found
    assert "${PRETRAINED:?" in written("megatron").text
    assert "${LR:-2.0e-05}" in written("megatron").text
    scratch = written("megatron", given=False).text
    assert "PRETRAINED" not in scratch
    assert "${LR:-3.0e-04}" in scratch


def test_torchtitan_loads_safetensors_before_the_first_step() -> None:
    data = tomllib.loads(written("torchtitan").text)
    assert data["checkpoint"] == {
        "enable": True,
        "initial_load_path": FOLDER,
        "initial_load_model_only": True,
        "initial_load_in_hf": True,
    }
    assert data["optimizer"]["lr"] == FINE_TUNING
    assert "checkpoint" not in tomllib.loads(written("torchtitan", given=False).text)


def test_nanotron_initialises_from_a_path() -> None:
    data = yaml.safe_load(written("nanotron").text)
    assert data["model"]["init_method"] == {"path": FOLDER}
    schedule = data["optimizer"]["learning_rate_scheduler"]
    assert (schedule["learning_rate"], schedule["min_decay_lr"]) == (FINE_TUNING, 2e-6)
    assert yaml.safe_load(written("nanotron", given=False).text)["model"]["init_method"] == {"std": 0.02}


def test_deepspeed_has_a_rate_for_given_weights() -> None:
    rate = {
        given: json.loads(written("deepspeed", given=given).text)["optimizer"]["params"]["lr"]
        for given in (True, False)
    }
    assert rate == {True: FINE_TUNING, False: FROM_SCRATCH}


@pytest.mark.parametrize(
    ("program", "name"), [("megatron", "a.sh"), ("torchtitan", "a.toml"), ("nanotron", "a.yaml")]
)
def test_a_fine_tune_is_read_back_as_one(program: str, name: str, tmp_path: Path) -> None:
    for given in (True, False):
        path = tmp_path / name
        path.write_text(written(program, given=given).text)
        back = read_file(path, n_gpus=8)
        assert back.data["training"].get("from_pretrained", False) == given
        assert not back.not_understood


def test_megatrons_own_switch_means_given_weights(tmp_path: Path) -> None:
    path = tmp_path / "train.sh"
    path.write_text(
        written("megatron", given=False).text.replace("--mock-data", "--mock-data --finetune --load x")
    )
    back = read_file(path)
    assert back.data["training"]["from_pretrained"] is True
    assert not back.not_understood
