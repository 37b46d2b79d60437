"""Runs that are too small to be one: less than a step, a limit of next to nothing, sequences that no memory holds."""

from __future__ import annotations

import copy
import re
import warnings
from typing import Any

import pytest

import simulator as sim
from simulator.result import Result

BASE: dict[str, Any] = {
    "find": "estimate",
    "model": {
        "num_hidden_layers": 4,
        "hidden_size": 512,
        "intermediate_size": 1536,
        "num_attention_heads": 8,
        "num_key_value_heads": 8,
        "vocab_size": 32000,
    },
    "training": {"tokens": "10B", "seq_length": 2048},
    "hardware": {"accelerator": "a100-sxm-80gb", "n_gpus": 8, "price": "$1.60/GPU-h"},
}


def run(*changes: str, find: str = "estimate", tokens: str | None = "10B") -> Result:
    asked = copy.deepcopy(BASE) | {"find": find}
    if tokens is None:
        del asked["training"]["tokens"]
    else:
        asked["training"]["tokens"] = tokens
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        return sim.run(asked, set=changes)


def test_fewer_tokens_than_one_step_are_no_plan() -> None:
    why = run(tokens="2048").infeasible
    assert why["reason"] == "tokens"
    assert why["text"] == "2,048 tokens are less than one step of 16,384"
    assert why["smallest_change"] == "train on at least 16,384 tokens, or a smaller batch"
    assert run(tokens="16384").feasible
    assert run("training.global_batch_size=1", tokens="2048").feasible


def test_a_search_refuses_fewer_tokens_than_its_smallest_step() -> None:
    why = run(
        "training.global_batch_size=64", "budget.time=1 h", find="architecture", tokens="2048"
    ).infeasible
    assert why["reason"] == "tokens"
    assert why["text"] == "2,048 tokens are less than one step of 131,072"


@pytest.mark.parametrize("find", ["estimate", "architecture"])
@pytest.mark.parametrize(
    ("limit", "reason"),
    [("cost=$1e-9", "money"), ("time=1 us", "time"), ("energy=1e-9 MWh", "energy")],
)
def test_a_limit_of_less_than_one_step_is_named_with_the_step(limit: str, reason: str, find: str) -> None:
    result = run(f"budget.{limit}", find=find, tokens=None)
    assert not result.feasible
    assert result.infeasible["reason"] == reason
    assert "one step takes" in result.infeasible["text"]
    allowed = result.infeasible["smallest_change"].removeprefix("allow ")
    assert run(f"budget.{limit.split('=')[0]}={allowed}", find=find, tokens=None).feasible


def test_a_limit_of_less_than_one_step_is_named_with_the_step_of_given_tokens() -> None:
    why = run("budget.time=1 ms").infeasible
    assert why["reason"] == "time"
    assert "one step takes" in why["text"]
    assert "train on" not in why["smallest_change"]


def test_a_loss_above_that_of_guessing_is_told() -> None:
    assert any("that of guessing" in str(each) for each in run(tokens="200k").warnings)
    assert not any("that of guessing" in str(each) for each in run().warnings)


@pytest.mark.parametrize("limit", ["time=5 min", "cost=$1", "energy=1 kWh", "time=20 s"])
def test_each_advised_change_keeps_the_limit(limit: str) -> None:
    name = limit.split("=")[0]
    allow, tokens = run(f"budget.{limit}").infeasible["smallest_change"].split(", or train on ")
    assert run(f"budget.{limit}", tokens=tokens).feasible
    assert run(f"budget.{name}={allow.removeprefix('allow ')}").feasible


def test_sequences_that_no_memory_holds_get_a_length_that_does() -> None:
    why = run("training.seq_length=100000000").infeasible
    assert why["reason"] == "memory"
    length = why["smallest_change"].split("would: ")[1].split(" fits")[0].replace(",", "")
    assert run(f"training.seq_length={length}").feasible
    assert not run(f"training.seq_length={2 * int(length)}").feasible


def test_what_is_missing_is_written_as_on_the_rest_of_the_page() -> None:
    why = run("budget.time=5 min").infeasible
    minutes = re.fullmatch(r"time: needs ([\d.]+) min of 5 min", why["text"])
    assert minutes is not None
    assert why["needed"] == pytest.approx(float(minutes[1]) / 1440, rel=2e-2)
    assert run("budget.energy=1 kWh").infeasible["text"].endswith("kWh of 1 kWh")
    assert why["unit"] == "days"
