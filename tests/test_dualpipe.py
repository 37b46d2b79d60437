"""DualPipe (DeepSeek-AI, arXiv:2412.19437): bubble, hidden traffic, memory, what it needs, and the hours of DeepSeek-V3."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import simulator as sim
from simulator import library, pipeline
from simulator.errors import SpecError
from simulator.exporters import export
from simulator.exporters.plan import plan_of
from simulator.layout import Layout
from simulator.memory import MEMORY_PROFILES, peak
from simulator.memory.activations import inflight_microbatches
from simulator.schema import load_scenario
from simulator.transformer import decoder
from simulator.validate import published
from simulator.validate.cases import read_frame

MIXTURE: dict[str, Any] = {
    "model": "mixtral-8x7b",
    "software": "megatron",
    "training": {
        "tokens": "100B",
        "seq_length": 4096,
        "global_batch_size": 512,
        "micro_batch_size": 1,
        "recompute": "full",
    },
    "parallelism": {"tp": 1, "pp": 8, "ep": 8, "vp": 1, "zero_stage": 1},
    "hardware": {"accelerator": "h100-sxm-80gb", "n_gpus": 64},
}


def asked(**parallelism: Any) -> dict[str, Any]:
    return {**MIXTURE, "parallelism": {**MIXTURE["parallelism"], **parallelism}}


@pytest.mark.parametrize("again", [0, 1])
@pytest.mark.parametrize("pp", [2, 8, 16])
def test_the_bubble_is_that_of_table_2(pp: int, again: int) -> None:
    forward, weights, backward = 1.0, 1.0, 2.0 + again
    bubble = (pp / 2 - 1) * ((forward + backward) + backward - 3 * weights)
    layout = Layout(pp=pp, schedule=4, recompute=2 * again)
    one = forward + backward
    total = pipeline.pipeline_time(
        middle_s=one, last_s=one, pp=pp, num_microbatches=2 * pp, idle=pipeline.idle_share(layout)
    )
    assert np.isclose(total - 2 * pp * one, bubble)


def test_traffic_of_one_direction_hides_behind_work_of_the_other() -> None:
    usual, both = sim.run(asked()).answer, sim.run(asked(schedule="dualpipe")).answer
    plain, hidden = usual["breakdown"], both["breakdown"]
    work = sum(plain[name] for name in ("tiles", "attention", "memory"))
    assert plain["expert_parallel"] < work
    assert 0 < hidden["expert_parallel"] < 0.25 * plain["expert_parallel"]  # the processors that carry it
    assert hidden["pipeline_send"] == 0 < plain["pipeline_send"]
    assert hidden["pipeline_bubble"] < 0.5 * plain["pipeline_bubble"]
    assert all(np.isclose(hidden[name], plain[name]) for name in ("tiles", "attention", "memory"))
    assert np.isclose(sum(hidden.values()), both["step_time_s"])


def test_what_has_no_work_beside_it_stays_visible() -> None:
    slow = asked(schedule="dualpipe")
    slow["hardware"] = {**slow["hardware"], "accelerators_per_node": 1, "network_bandwidth": "100 Gb/s"}
    parts = sim.run(slow).answer["breakdown"]
    work = sum(parts[name] for name in ("tiles", "attention", "memory"))
    slow["parallelism"] = MIXTURE["parallelism"]
    plain = sim.run(slow).answer["breakdown"]["expert_parallel"]
    assert plain > work
    assert plain - work < parts["expert_parallel"] < plain


def test_memory_holds_two_stages_and_one_more_micro_batch() -> None:
    layout = Layout(pp=8, num_microbatches=16, schedule=4)
    assert [int(inflight_microbatches(layout, stage=stage)) for stage in (0, 3, 7)] == [9, 9, 9]
    usual, both = sim.run(asked()).answer, sim.run(asked(schedule="dualpipe")).answer
    assert both["memory_gib"] > usual["memory_gib"]
    for state in ("weights", "gradients"):
        assert 1.8 < both["memory"][state] / usual["memory"][state] < 2.2
    assert np.isclose(both["memory"]["optimizer"], usual["memory"]["optimizer"], rtol=0.05)
    assert both["memory"]["logits"] > 0  # the device of the first stage holds the last one too


def test_a_device_of_two_middle_stages_may_be_the_fullest() -> None:
    """Where the output head leaves the last stage few layers, the device that holds it beside the first is not the fullest."""
    shape = decoder(num_hidden_layers=16, hidden_size=2048, num_attention_heads=16, vocab_size=1000)
    layout = Layout(pp=8, dp=2, num_microbatches=16, schedule=4)
    profile = MEMORY_PROFILES["nanotron_unrepaired"]
    alone = {
        stage: float(peak(shape, layout, constants=profile, stages=(stage,))["total"])
        for stage in ("first", "middle", "last")
    }
    assert alone["middle"] > max(alone["first"], alone["last"])
    assert float(peak(shape, layout, constants=profile)["total"]) == alone["middle"]


@pytest.mark.parametrize(
    "changes",
    [{"pp": 1}, {"vp": 2}, {"pp": 32, "ep": 2}],
    ids=["one stage", "interleaved", "too few batches"],
)
def test_what_it_cannot_run_is_an_answer_with_the_reason(changes: dict[str, Any]) -> None:
    question = asked(schedule="dualpipe", **changes)
    question["training"] = {**question["training"], "global_batch_size": 64}
    found = sim.run(question)
    assert not found.feasible
    assert found.infeasible["reason"] == "schedule"
    assert "DualPipe needs an even pp" in found.infeasible["text"]


@pytest.mark.parametrize("program", ["megatron", "nanotron", "torchtitan"])
def test_no_program_is_given_a_schedule_that_it_does_not_have(program: str) -> None:
    question = {
        "model": "llama-2-7b",
        "software": "megatron",
        "training": {"tokens": "1B", "seq_length": 4096, "global_batch_size": 64, "recompute": "full"},
        "parallelism": {"tp": 1, "pp": 4, "vp": 1, "zero_stage": 0, "schedule": "dualpipe"},
        "hardware": {"accelerator": "h100-sxm-80gb", "n_gpus": 8},
    }
    scenario = load_scenario(question)
    with pytest.raises(SpecError, match="dualpipe"):
        export(plan_of(scenario, sim.run(scenario)), program)


def test_the_hours_of_deepseek_v3() -> None:
    """2,664,000 H800 hours (arXiv:2412.19437, table 1); with 1F1B the exchange between experts would be as long as the work."""
    frame = read_frame(library.find("measurements", "published_runs"), required=published.REQUIRED)
    (row,) = frame[frame["id"] == "deepseek-v3"].to_dict("records")
    assert row["schedule"] == "dualpipe"
    record = {str(key): value for key, value in row.items()}
    found = published.predicted(record)
    assert abs(found["error"]) < 0.2
    low, high = found["interval_gpu_hours"]
    assert low <= found["published_gpu_hours"] <= high
    assert published.predicted({**record, "schedule": "1f1b"})["error"] > 0.4
