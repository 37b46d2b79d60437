"""Settings and values of other tools: what to write instead, and optimizers of the page on memory."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, get_args

import pytest

import simulator as sim
from simulator.errors import SpecError
from simulator.memory.states import OPTIMIZERS
from simulator.schema import Training
from simulator.schema.synonyms import ABSENT, FIELDS
from simulator.schema.training import Optimizer

PAGE = Path(__file__).parent.parent / "docs" / "memory.md"

RUN: dict[str, Any] = {
    "model": {"num_hidden_layers": 24, "hidden_size": 2048, "num_attention_heads": 16},
    "training": {"tokens": "20B", "seq_length": 2048, "global_batch_size": 128, "micro_batch_size": 4},
    "parallelism": {"tp": 1, "pp": 1, "zero_stage": 1},
    "hardware": {"accelerator": "a100-sxm-80gb", "n_gpus": 8},
}


def test_scenario_memory_and_page_know_the_same_optimizers() -> None:
    listed = re.search(r"\| optimizer \|.*?\n\n", PAGE.read_text(), re.DOTALL)
    assert listed
    named = {
        name
        for line in listed[0].strip().splitlines()[2:]
        for name in re.findall(r"`(\w+)`", line.split("|")[1])
    }
    assert set(get_args(Optimizer)) == set(OPTIMIZERS) == named


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_can_be_planned_with(name: str) -> None:
    found = sim.run({**RUN, "training": {**RUN["training"], "optimizer": name}})
    usual = sim.run(RUN)
    assert found.answer["optimizer"] == name
    assert found.answer["memory_gib"] <= usual.answer["memory_gib"]
    assert found.answer["step_time_s"] <= usual.answer["step_time_s"]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("gradient_accumulation_steps", "write micro_batch_size and global_batch_size"),
        ("batch_accumulation_per_replica", "write micro_batch_size and global_batch_size"),
        ("dropout", "no masks of dropout are counted"),
        ("num_train_epochs", "unique_tokens"),
        ("learning_rate", "neither time nor memory depends on it"),
        ("load-in-4bit", "write trainable: qlora"),
    ],
)
def test_a_setting_without_a_field_says_what_to_write(name: str, says: str) -> None:
    with pytest.raises(SpecError) as caught:
        Training.model_validate({name: 1})
    assert says in caught.value.problems[0].hint
    assert "did you mean" not in str(caught.value)


def test_no_setting_is_both_called_otherwise_and_absent() -> None:
    assert not {*ABSENT} & {*FIELDS}


@pytest.mark.parametrize(
    ("written", "ours"), [("paged_adamw_8bit", "adamw_8bit"), ("adamw_torch_fused", "adamw")]
)
def test_names_of_optimizers_elsewhere(written: str, ours: str) -> None:
    with pytest.raises(SpecError, match=f"is called `{ours}` here"):
        Training.model_validate({"optimizer": written})
