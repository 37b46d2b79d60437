"""Intervals of plans: what a plan is decides how wide they are, and what they reach."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import simulator as sim

DENSE: dict[str, Any] = {
    "model": "llama-2-7b",
    "software": "megatron",
    "training": {"tokens": "10B", "seq_length": 4096, "global_batch_size": 256, "micro_batch_size": 1},
    "hardware": {"accelerator": "h100-sxm-80gb", "n_gpus": 64, "price": "$2/GPU-h"},
}

NOVA = {
    "name": "Nova",
    "architecture": "nova",
    "memory": "80 GB",
    "memory_bandwidth": "3 TB/s",
    "peak_flops": {"bf16": "800 TFLOP/s"},
    "link": {"bandwidth": "400 GB/s", "directions": "one", "domain_size": 8},
    "source": "made up",
    "retrieved": "2026-11-21",
}


def answer(**changes: Any) -> dict[str, Any]:
    """Answer to the scenario with some entries changed."""
    question = {
        key: {**value, **changes.pop(key, {})} if isinstance(value, dict) else changes.pop(key, value)
        for key, value in DENSE.items()
    }
    found: dict[str, Any] = sim.run({**question, **changes}).answer
    return found


def width(found: dict[str, Any]) -> float:
    """Logarithm of the ends of the interval of the step time."""
    low, high = found["interval"]["step_time_s"]
    assert low < found["step_time_s"] < high
    return float(np.log(high / low))


def regime(found: dict[str, Any]) -> dict[str, str]:
    return dict(pair.split("=") for pair in found["evidence"]["regime"].split())


def test_a_mixture_is_known_less_well_than_a_dense_model() -> None:
    dense, mixture = answer(), answer(model="mixtral-8x7b")
    assert regime(dense)["kind"] == "dense"
    assert regime(mixture)["kind"] == "moe"
    assert width(mixture) > 1.5 * width(dense)
    assert mixture["evidence"]["median_error"] != dense["evidence"]["median_error"]


def test_the_rows_are_of_the_same_software_and_the_same_architecture() -> None:
    """Where enough rows of enough organisations are: the error beside an answer is that of runs like it."""
    known = regime(answer(training={"precision": "fp8"}))
    assert (known["software"], known["architecture"], known["complete"]) == ("megatron", "hopper", "true")
    assert "architecture" not in regime(answer(hardware={"accelerator": "mi300x-oam-192gb"}))


def test_adapters_have_rows_of_their_own() -> None:
    assert regime(answer(training={"trainable": "lora"}))["kind"] == "lora"


@pytest.mark.parametrize(("n_gpus", "scale"), [(8, "node"), (16, "cluster"), (64, "cluster")])
def test_a_node_and_a_cluster_are_known_by_rows_of_their_own(n_gpus: int, scale: str) -> None:
    assert regime(answer(hardware={"n_gpus": n_gpus}))["scale"] == scale


def test_an_extrapolation_says_so_by_its_width() -> None:
    """Measured, of an architecture that was measured, of one that nobody ran on."""
    grades, widths = [], []
    for accelerator in ("h100-sxm-80gb", "rtx-5090-32gb", NOVA):
        found = answer(hardware={"accelerator": accelerator})
        grades.append(found["evidence"]["grade"])
        widths.append(width(found))
    assert grades == ["measured", "transferred", "datasheet"]
    assert widths[0] < 0.7 * widths[1] <= 0.7 * widths[2]


def test_communication_that_nothing_hides_widens_it() -> None:
    pinned = {"tp": 8, "pp": 1, "zero_stage": 1}
    fast, slow = (
        answer(parallelism=pinned, hardware={"accelerators_per_node": node, "network_bandwidth": "25 GB/s"})
        for node in (8, 4)
    )
    assert slow["evidence"]["exposed_share"] > fast["evidence"]["exposed_share"] + 0.2
    assert width(slow) > 1.2 * width(fast)


def test_with_tokens_given_time_and_cost_are_as_uncertain_as_the_step() -> None:
    found = answer()
    ends = np.array(found["interval"]["step_time_s"]) / found["step_time_s"]
    for name in ("time_to_train_days", "gpu_hours", "cost_usd"):
        assert np.array(found["interval"][name]) / found[name] == pytest.approx(ends), name
    assert found["interval"]["tokens"] == [found["tokens"]] * 2
    low, high = found["interval"]["loss"]
    assert (high - low) / 2 / found["loss"] == pytest.approx(0.04, rel=1e-6)


def test_with_time_given_tokens_are_uncertain_and_the_loss_more_than_its_law() -> None:
    found = answer(training={"tokens": None}, budget={"time": "2 days"}, find="estimate")
    assert found["interval"]["time_to_train_days"] == [found["time_to_train_days"]] * 2
    few, many = found["interval"]["tokens"]
    low, high = found["interval"]["step_time_s"]
    assert (few, many) == pytest.approx(
        (found["tokens"] * found["step_time_s"] / high, found["tokens"] * found["step_time_s"] / low)
    )
    assert (found["interval"]["loss"][1] - found["interval"]["loss"][0]) / 2 / found["loss"] > 0.0401
