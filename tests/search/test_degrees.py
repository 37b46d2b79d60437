"""Degrees that are tried where the scenario leaves them open, and what software they are tried for."""

from __future__ import annotations

import numpy as np
import pytest

import simulator as sim
from simulator.schema import load_scenario
from simulator.search import feasibility, lattice, planner
from simulator.search.lattice import Pins
from simulator.search.notes import Notes
from simulator.search.translate import question_of
from simulator.transformer import decoder

LLAMA_405B = {
    "model": "llama-3.1-405b",
    "hardware": {"accelerator": "h100-sxm-80gb", "n_gpus": 16384},
    "training": {"tokens": "15.6T", "global_batch_tokens": 16777216, "seq_length": 8192},
}


def stages_that_run(depth: int, *, n_gpus: int = 64, **pins) -> set[int]:
    """Pipelines of a model of some depth that its layers can be dealt to."""
    shape = decoder(num_hidden_layers=depth, hidden_size=1024, num_attention_heads=8, vocab_size=32000)
    axes = lattice.layout_axes(
        n_gpus=n_gpus, link_domain=8, shape=shape, seq_length=1024, batches=[64.0], pins=Pins(**pins)
    )
    refused = np.broadcast_to(
        dict(feasibility.refusals(shape, axes.layout(), axes))["layers"],
        axes.size(1),
    )
    alone = refused.all(axis=(lattice.SHAPE, lattice.BATCH, lattice.KERNEL))
    return {int(pp) for pp, no in zip(axes.pp, alone, strict=True) if not no}


@pytest.mark.parametrize(
    ("depth", "stages"),
    [(32, {1, 2, 4, 8, 16, 32}), (126, {1, 2, 4, 8, 16, 32, 64}), (61, {1, 2, 4, 8, 16, 32, 64} - {64})],
)
def test_stages_that_nearly_divide_the_layers_are_tried(depth: int, stages: set[int]) -> None:
    """The fullest of 16 stages of Llama 3's 126 layers holds 8, of DeepSeek-V3's 61 four: 1.6 and 5 % more than the mean."""
    assert stages_that_run(depth) == stages


def test_very_uneven_stages_are_for_those_who_write_them() -> None:
    assert 16 not in stages_that_run(20)
    assert stages_that_run(20, pp=16) == {16}
    assert not stages_that_run(8, pp=16)


def test_llama_3_gets_a_pipeline_and_the_answer_says_how_its_layers_are_dealt() -> None:
    found = sim.run(LLAMA_405B)
    sharded = sim.run({**LLAMA_405B, "parallelism": {"pp": 1}})
    assert found.answer["pp"] > 1
    assert found.answer["time_to_train_days"] < 0.6 * sharded.answer["time_to_train_days"]
    pinned = sim.run({**LLAMA_405B, "parallelism": {"pp": 16}})
    assert found.answer["time_to_train_days"] <= pinned.answer["time_to_train_days"]
    told = "126 layers on 16 stages: 8 on 14 of them, 7 on the other 2, the last among these"
    assert any(line.startswith(told) for line in pinned.assumptions)
    assert not any("stages:" in line for line in sharded.assumptions)


def test_context_parallelism_reaches_as_far_as_long_sequences_do() -> None:
    asked = {
        "model": "llama-3.1-70b",
        "hardware": {"accelerator": "h100-sxm-80gb", "n_gpus": 1024},
        "training": {"tokens": "1T", "seq_length": 2**20, "global_batch_tokens": 2**24},
    }
    free, eight = (sim.run({**asked, "parallelism": p}).answer for p in ({}, {"cp": 8}))
    assert free["cp"] > 8
    assert free["time_to_train_days"] < 0.8 * eight["time_to_train_days"]


def test_frozen_weights_are_not_cast_unless_the_scenario_says_so() -> None:
    def seconds(**training) -> float:
        asked = {
            "model": "llama-3.1-8b",
            "software": "hf",
            "hardware": {"accelerator": "h100-sxm-80gb", "n_gpus": 8},
            "training": {
                "tokens": "1B",
                "seq_length": 4096,
                "global_batch_size": 64,
                "trainable": "lora",
                **training,
            },
        }
        return float(sim.run(asked).answer["step_time_s"])

    assert seconds() == seconds(autocast=False) < 0.8 * seconds(autocast=True)


@pytest.mark.parametrize(
    ("software", "modes"),
    [("fsdp", {0, 1, 2}), ("maxtext", {0, 1, 2}), ("megatron", {0, 2}), ("llm-foundry", {0, 2})],
)
def test_selective_recomputation_is_tried_where_it_saves_memory(software: str, modes: set[int]) -> None:
    """Under flash attention only software that drops results of matmuls gains from it; where its cost is unknown it is not tried."""
    asked = {
        "model": "llama-3.1-70b",
        "software": software,
        "hardware": {"accelerator": "h100-sxm-80gb", "n_gpus": 256},
        "training": {"tokens": "1T", "seq_length": 8192, "global_batch_size": 512},
    }
    scenario = load_scenario(asked)
    question = question_of(scenario, Notes())
    shape = decoder(num_hidden_layers=80, hidden_size=8192, num_attention_heads=64, vocab_size=128256)
    axes = planner.axes_for(question, question.machines[0], 256, shape)
    assert set(axes.recompute.tolist()) == modes


def test_selective_recomputation_wins_where_it_is_faster_than_repeating_everything() -> None:
    asked = {
        "model": "llama-3.1-70b",
        "software": "fsdp",
        "hardware": {"accelerator": "h100-sxm-80gb", "n_gpus": 256},
        "training": {"tokens": "1T", "seq_length": 8192, "global_batch_size": 512},
    }
    answer = sim.run(asked).answer
    whole = sim.run(asked, set=["training.recompute=full"]).answer
    assert answer["recompute"] == "selective"
    assert answer["step_time_s"] < whole["step_time_s"]
    assert answer["mfu"] < answer["hfu"] < 4 / 3 * answer["mfu"]


@pytest.mark.parametrize("pins", [{"dp": 8}, {"dp": 8, "tp": 2}, {"dp": 16, "pp": 2}])
def test_replicas_that_are_written_leave_the_other_degrees_open(pins: dict[str, int]) -> None:
    """``dp: 8`` on 64 accelerators was refused, as if the degrees that are not written were 1."""
    answer = sim.run(
        {
            "model": "llama-2-7b",
            "training": {"tokens": "1B", "seq_length": 4096, "global_batch_size": 64},
            "parallelism": pins,
            "hardware": {"accelerator": "h100-sxm-80gb", "n_gpus": 64},
        }
    ).answer
    assert all(answer[name] == value for name, value in pins.items())
    assert answer["tp"] * answer["pp"] * answer["dp"] * answer["cp"] == 64
