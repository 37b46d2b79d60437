"""What an answer says of itself: templates, fine-tunes, doubtful places, ranges, changes that would help."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import simulator as sim
from simulator import curves
from simulator.report import decision, page, terminal
from simulator.result import Result
from simulator.schema import load_scenario
from simulator.search import remarks

LORA: dict[str, Any] = {
    "model": "llama-3-8b",
    "hardware": {"accelerator": "rtx-4090-24gb", "n_gpus": 1, "price": "$0.60/GPU-h"},
    "training": {"tokens": "1B", "seq_length": 2048, "trainable": "lora", "global_batch_size": 16},
}
SEARCH: dict[str, Any] = {
    "budget": {"time": "1 day"},
    "hardware": {"accelerator": "a100-sxm-80gb", "n_gpus": 8},
    "search": {"hidden_size": [1024, 2048], "num_hidden_layers": [16, 24]},
}


def answered(base: dict[str, Any], **changes: Any) -> Result:
    return sim.run({**base, **changes})


def warned(result: Result) -> set[str]:
    return {each["id"] for each in result.warnings}


# --- templates ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("find", ["architecture", "growth"])
def test_a_template_is_named_as_one(find: str) -> None:
    told = [t for t in answered(SEARCH, find=find, model="llama-2-7b").assumptions if "template" in t]
    assert len(told) == 1
    assert told[0].startswith("llama-2-7b is a template")
    assert "find: estimate" in told[0]


def test_a_model_that_is_taken_as_it_is_is_no_template() -> None:
    assert not any("template" in text for text in answered(LORA).assumptions)
    assert not any("template" in text for text in answered(SEARCH, find="architecture").assumptions)


# --- fine-tunes -----------------------------------------------------------------------------------------------------


def losses(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every field of a document that holds a loss."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, below in items:
        if str(key) in ("loss", "loss_difference", "batch_factor", "compute_multiplier"):
            yield f"{path}{key}", below
        yield from losses(below, f"{path}{key}.")


@pytest.mark.parametrize(
    "change",
    [
        {},
        {
            "find": "hardware",
            "budget": {"time": "2 days"},
            "hardware": ["rtx-4090-24gb:4", "a100-sxm-80gb:8"],
            "training": {"seq_length": 2048, "trainable": "lora"},
        },
        {
            "find": "hardware",
            "objective": ["cost", "time"],
            "hardware": ["rtx-4090-24gb:4", "a100-sxm-80gb:8"],
        },
    ],
)
def test_a_fine_tune_has_no_loss_anywhere(change: dict[str, Any]) -> None:
    asked = {**LORA, **change}
    result = answered(asked)
    document = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    found = dict(losses(document))
    assert {"answer.loss", "answer.interval.loss"} <= set(found)
    assert set(found.values()) == {None}
    assert document["answer"]["interval"]["step_time_s"]
    assert "loss" not in decision.decision(document)
    assert not any("critical" in text or "of the loss" in text for text in document["assumptions"])
    assert "nats" not in terminal.page(document)
    assert "fine-tuning" in warned(result)
    assert not warned(result) & {"law-range", "moe-loss", "repeated-data"}
    moved = result.sensitivity()
    assert moved["figure"] != "loss"
    assert all("loss" not in moved["most"] for _ in moved["rows"])
    html = page.page(document, curves.around(asked, result))
    assert "nats" not in html
    for kind in ("alternatives", "frontier"):
        assert result.plot(kind) is not None


def test_a_fine_tune_beside_training_from_scratch() -> None:
    full = {**LORA["training"], "trainable": "full"}
    both = [answered(LORA, hardware="a100-sxm-80gb:8", training=t) for t in (LORA["training"], full)]
    rows = {row["figure"]: row for row in sim.diff(both[0], both[1]).rows}
    assert rows["loss"]["first"] is None
    assert rows["loss"]["second"] > 1
    compared = sim.compare(load_scenario(LORA), hardware=["rtx-4090-24gb:1", "a100-sxm-80gb:1"])
    assert [row["loss"] for row in compared.rows] == [None, None]


def test_a_batch_that_nobody_gave_a_fine_tune_is_assumed() -> None:
    free = {key: value for key, value in LORA["training"].items() if key != "global_batch_size"}
    told = [t for t in answered(LORA, training=free).assumptions if "global_batch_size" in t]
    assert len(told) == 1
    assert not any("global_batch_size" in text for text in answered(LORA).assumptions)


# --- doubtful places ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cluster", "accelerator", "doubted"),
    [
        ("dgx-a100", "rtx-4090-24gb", True),
        ("dgx-a100", "a100-sxm-40gb", False),
        ("dgx-h100", "h200-sxm-141gb", False),
        ("tpu-v4-pod", "h100-sxm-80gb", True),
        ("azure-nd-h100-v5", "mi300x-oam-192gb", False),
        ("aws-p5", "h100-sxm-80gb", False),
        ("ethernet-100g", "rtx-4090-24gb", False),
    ],
)
def test_a_cluster_of_other_accelerators_is_doubted(cluster: str, accelerator: str, *, doubted: bool) -> None:
    hardware = {"accelerator": accelerator, "n_gpus": 8, "cluster": cluster}
    result = answered(LORA, model="llama-3.2-1b", hardware=hardware)
    assert ("cluster" in warned(result)) == doubted


def test_chips_are_whole_words() -> None:
    assert remarks.chips_in("gb200-nvl72") == {"gb200"}
    assert remarks.chips_in("GCP a2-highgpu", "PCIe workstation") == set()


@pytest.mark.parametrize(("seq_length", "longer"), [(4096, False), (4097, True)])
def test_sequences_longer_than_the_positions_are_doubted(seq_length: int, *, longer: bool) -> None:
    asked = {"model": "llama-2-7b", "hardware": "a100-sxm-80gb:8"}
    result = answered(asked, training={"tokens": "1B", "seq_length": seq_length})
    assert ("sequence-length" in warned(result)) == longer


def test_positions_of_a_template_are_not_those_of_the_answer() -> None:
    result = answered(SEARCH, find="architecture", model="llama-2-7b", training={"seq_length": 8192})
    assert "sequence-length" not in warned(result)


# --- ranges ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({}, "of step time, at the price given and the goodput assumed."),
        ({"goodput": 0.9}, "of step time, at the price and goodput given."),
        ({"hardware": "rtx-4090-24gb:1"}, "of step time, at the price and goodput assumed."),
        (
            {"hardware": "rtx-4090-24gb:1", "goodput": 0.9},
            "of step time, at the goodput given and the price assumed.",
        ),
        ({"training": {"seq_length": 2048, "trainable": "lora"}}, "of step time."),
        (
            {"hardware": "a100-sxm-80gb:8", "training": {"tokens": "1B"}},
            "of step time and loss law, at the price and goodput assumed.",
        ),
    ],
)
def test_the_line_below_the_decision_says_what_the_ranges_are_of(change: dict[str, Any], told: str) -> None:
    shown = terminal.page(answered(LORA, **change).to_dict()).splitlines()
    line = next(each for each in shown if each.startswith("Ranges are"))
    assert line == f"Ranges are 80 % intervals {told}"


# --- changes that would help ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "asked",
    [
        {"find": "architecture"},
        {"model": "llama-3-8b", "training": {"tokens": "100B"}},
        {"model": "llama-3-8b"},
        {"model": "llama-3-8b", "find": "hardware", "training": {"tokens": "100B"}},
    ],
)
def test_a_limit_on_cost_without_a_price_asks_for_the_price_only(asked: dict[str, Any]) -> None:
    card = {
        "name": "unheard of",
        "memory": "80 GB",
        "memory_bandwidth": "2 TB/s",
        "peak_flops": {"bf16": "300 TFLOP/s"},
        "source": "none",
        "retrieved": "2026-11-21",
    }
    search = {"hidden_size": [1024], "num_hidden_layers": [16]}
    why = sim.run(
        {
            **asked,
            "hardware": {"accelerator": card, "n_gpus": 8},
            "budget": {"cost": "$10k"},
            "search": search,
        }
    ).infeasible
    assert why["reason"] == "price"
    assert why["smallest_change"] == "write hardware.price, such as $2.50/GPU-h"


def test_what_would_fit_in_place_of_more_tensor_parallelism_is_named_and_fits() -> None:
    base = {"model": "llama-3-8b", "training": {"tokens": "1B", "seq_length": 2048}}
    why = sim.run({**base, "hardware": "rtx-3090-24gb:1"}).infeasible
    first, sharded, adapters = why["smallest_change"].split("; or ")
    assert first.startswith("pp 1 -> 16, 16 times the accelerators")
    many, rest = sharded.split(" accelerators with ZeRO ")
    stage = int(rest.split()[0])
    assert adapters == "training.trainable: lora, for a fine-tune"
    zero = {"parallelism": {"zero_stage": stage}}
    assert sim.run({**base, **zero, "hardware": f"rtx-3090-24gb:{many}"}).feasible
    assert not sim.run({**base, **zero, "hardware": f"rtx-3090-24gb:{int(many) // 2}"}).feasible
    lora = {"training": {**base["training"], "trainable": "lora"}}
    assert sim.run({**base, **lora, "hardware": "rtx-3090-24gb:1"}).feasible


def test_adapters_that_do_not_fit_are_not_named() -> None:
    asked = {"model": "llama-2-70b", "training": {"tokens": "1B", "seq_length": 2048}}
    why = sim.run({**asked, "hardware": "rtx-3090-24gb:1"}).infeasible
    assert why["reason"] == "memory"
    assert "lora" not in why["smallest_change"]


def test_a_change_on_the_same_accelerators_is_enough() -> None:
    pinned = {"tp": 1, "pp": 1, "dp": 8, "zero_stage": 1}
    asked = {"model": "llama-3-8b", "parallelism": pinned, "hardware": "a100-sxm-40gb:8"}
    why = sim.run({**asked, "training": {"tokens": "1B", "seq_length": 2048}}).infeasible
    assert why["smallest_change"].startswith("zero_stage 1 -> 2: ")
    assert "; or " not in why["smallest_change"]


def test_the_page_in_the_documentation_shows_the_line() -> None:
    root = Path(__file__).resolve().parent.parent
    for name in ("README.md", "docs/start.md"):
        assert "Ranges are 80 % intervals of step time and loss law" in (root / name).read_text(
            encoding="utf-8"
        )


@pytest.mark.parametrize(
    ("accelerator", "n_gpus", "said"),
    [
        ("rtx-4090-24gb", 64, ["no-network"]),
        ("rtx-4090-24gb", 8, []),
        ("mi210-pcie-64gb", 4, ["no-link"]),
        ("mi210-pcie-64gb", 1, []),
        ("h100-sxm-80gb", 64, []),
    ],
)
def test_a_link_of_which_nothing_is_known_is_said(accelerator: str, n_gpus: int, said: list[str]) -> None:
    question = {"model": "llama-2-7b", "training": {"tokens": "10B"}}
    found = sim.run({**question, "hardware": {"accelerator": accelerator, "n_gpus": n_gpus}})
    assert [one["id"] for one in found.warnings if one["id"].startswith("no-")] == said


def test_a_network_that_is_given_is_no_surprise() -> None:
    question = {"model": "llama-2-7b", "training": {"tokens": "10B"}}
    hardware = {"accelerator": "rtx-4090-24gb", "n_gpus": 64, "network_bandwidth": "25 GB/s"}
    found = sim.run({**question, "hardware": hardware})
    assert not [one for one in found.warnings if one["id"] == "no-network"]


def test_a_front_says_that_it_plans_no_growth() -> None:
    found = sim.run("pareto-front", set=["growth.operator=hypercloning"])
    assert any(each["id"] == "growth" for each in found.warnings)
