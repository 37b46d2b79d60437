"""Where micro-batches are no multiple of the stages, what would be as fast is named, and is."""

from __future__ import annotations

import re

import pytest

import simulator as sim

LLAMA_70B = {
    "model": "llama-3.1-70b",
    "training": {"tokens": "2T", "seq_length": 8192, "global_batch_size": 1024},
    "hardware": {"accelerator": "h100-sxm-80gb", "n_gpus": 6144, "price": "$2.5/GPU-h"},
}


def said(result: sim.Result) -> str:
    return next((each["message"] for each in result.warnings if each["id"] == "uneven-batch"), "")


def test_fewer_accelerators_and_another_batch_are_named_and_are_as_good_as_said() -> None:
    result = sim.run(LLAMA_70B)
    assert result.answer["num_microbatches"] % result.answer["pp"]
    text, days = said(result), result.answer["time_to_train_days"]
    fewer = re.search(r"([\d,]+) accelerators would be as fast", text)
    batch = re.search(r"with (global_batch_size) ([\d,]+), 6,144", text)
    assert fewer is not None
    assert batch is not None
    few = sim.run(LLAMA_70B, set=[f"hardware.n_gpus={fewer[1].replace(',', '')}"])
    assert few.answer["time_to_train_days"] <= days
    assert few.answer["cost_usd"] < result.answer["cost_usd"]
    other = sim.run(LLAMA_70B, set=[f"training.{batch[1]}={batch[2].replace(',', '')}"])
    assert other.answer["time_to_train_days"] < 0.95 * days
    assert other.answer["vp"] > 1


def test_a_batch_in_tokens_is_named_in_tokens() -> None:
    training = {"tokens": "2T", "seq_length": 8192, "global_batch_tokens": "8M"}
    assert "with global_batch_tokens 6,291,456" in said(sim.run({**LLAMA_70B, "training": training}))


@pytest.mark.parametrize(
    "change",
    ["hardware.n_gpus=4096", "parallelism.vp=1", "software=deepspeed", "training.global_batch_size=768"],
)
def test_nothing_is_said_where_interleaving_is_not_in_question(change: str) -> None:
    assert not said(sim.run(LLAMA_70B, set=[change]))
