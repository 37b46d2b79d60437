"""What a comparison asks of a scenario: no more than a sweep does, and no winner among laws of loss."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import simulator as sim
from simulator import ranking
from simulator.cli import main
from simulator.errors import SpecError
from simulator.report import comparison
from simulator.schema import load_scenario
from simulator.sweeping import sweep

FEWEST = """\
name: fewest
find: hardware
objective: n_gpus
model: llama-3.1-70b
training: {tokens: 2T, seq_length: 8192, global_batch_tokens: 8M}
budget: {time: 30 days}
hardware: {accelerator: h100-sxm-80gb, price: $2.5/GPU-h}
"""
CHANGES = ("objective=cost", "find=estimate", "budget={}")
SMALL: dict[str, Any] = {
    "model": {"num_hidden_layers": 24, "hidden_size": 2048, "num_attention_heads": 16},
    "training": {"tokens": "20B", "seq_length": 2048, "global_batch_size": 128},
    "hardware": {"accelerator": "a100-sxm-80gb", "n_gpus": 8, "price": "$2/GPU-h"},
}
LAWS = {"law": ["Besiroglu2024", "Kaplan2020"]}


@pytest.fixture
def fewest(tmp_path: Path) -> str:
    path = tmp_path / "fewest.yaml"
    path.write_text(FEWEST)
    return str(path)


def options(changes: tuple[str, ...]) -> list[str]:
    return [part for change in changes for part in ("--set", change)]


# --- what varies is there before anything is missed ------------------------------------------------------------------


def test_what_varies_may_be_what_the_scenario_lacks(
    fewest: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    varied = ["--vary", "hardware.n_gpus=256,512"]
    assert main(["compare", fewest, *options(CHANGES), *varied, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["rows"]
    assert {row["n_gpus"] for row in found} == {256, 512}
    axes = {"hardware.n_gpus": [256, 512]}
    swept = sweep(fewest, axes, out=tmp_path / "out", set=CHANGES).frame
    assert sorted(swept["step_time_s"]) == pytest.approx(sorted(row["step_time_s"] for row in found))


def test_a_model_may_vary_that_the_scenario_has_none_of() -> None:
    bare = {name: value for name, value in SMALL.items() if name != "model"}
    found = sim.compare(bare, vary={"model": ["llama-3.2-1b", "gpt2-xl"]})
    assert [row["feasible"] for row in found.rows] == [True, True]


def test_the_first_value_that_makes_it_whole_is_taken(fewest: str) -> None:
    found = sim.compare(fewest, set=CHANGES, vary={"hardware.n_gpus": [16, 512], "parallelism.tp": [32, 8]})
    assert sum(row["feasible"] for row in found.rows) >= 1


@pytest.mark.parametrize(
    ("varied", "says"),
    [
        ([], "an estimate needs the number of accelerators"),
        (["--vary", "hardware.n_gpus=abc,-3"], "'abc' is not a whole number"),
        (["--vary", "training.optimizer=adamw"], "an estimate needs the number of accelerators"),
    ],
)
def test_what_is_missing_all_the_same_is_said(
    fewest: str, varied: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", fewest, *options(CHANGES), *varied]) == 2
    assert says in capsys.readouterr().err


# --- nothing under a name is as if it were left out --------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["budget", "parallelism", "search", "reliability", "require", "inference", "growth", "clock"]
)
def test_null_leaves_a_field_out(name: str) -> None:
    scenario = load_scenario(SMALL, (f"{name}=null",))
    assert scenario == load_scenario(SMALL)
    assert name not in scenario.model_fields_set


def test_null_takes_out_what_the_file_says(fewest: str) -> None:
    assert load_scenario(fewest, ("budget=null",)).budget.time is None
    bound = {**SMALL, "parallelism": {"tp": 4}}
    assert load_scenario(bound, ("parallelism=null",)).parallelism.tp is None


def test_hardware_cannot_be_left_out() -> None:
    with pytest.raises(SpecError, match="hardware"):
        load_scenario(SMALL, ("hardware=null",))


# --- laws ------------------------------------------------------------------------------------------------------------


def test_no_law_wins_over_another() -> None:
    found = sim.compare(SMALL, ["a100-sxm-80gb", "h100-sxm-80gb"], vary=LAWS)
    said = comparison.headline(found.rows)
    first, second = (said.index(f"By law {law}: ") for law in LAWS["law"])
    assert first < second
    assert said[first:second].count("heapest") == said[second:].count("heapest") == 1
    assert "(law " not in said
    assert [row["why"] for row in found.rows].count(ranking.FIRST_OF_LAW) == 2


def test_one_row_by_law_is_neither_cheapest_nor_fastest() -> None:
    said = comparison.headline(sim.compare(SMALL, vary=LAWS).rows)
    assert said.startswith("By law Besiroglu2024: 8 x a100-sxm-80gb (the scenario), ")
    assert "By law Kaplan2020: 8 x a100-sxm-80gb (the scenario), " in said
    assert "heapest" not in said


def test_one_law_is_headlined_as_ever() -> None:
    said = comparison.headline(sim.compare(SMALL, ["a100-sxm-80gb", "h100-sxm-80gb"]).rows)
    assert "Cheapest" in said
    assert "By law" not in said
