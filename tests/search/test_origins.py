"""What a figure of an answer rests on: the sources that `explain` names, and no others."""

from __future__ import annotations

from typing import Any

import pytest

import simulator as sim
from simulator.report.nomenclature import RESULT
from simulator.search import origins

RUN: dict[str, Any] = {
    "find": "estimate",
    "model": "llama-2-7b",
    "hardware": {"accelerator": "a100-sxm-80gb", "n_gpus": 64},
    "training": {"global_batch_size": 1024},
}


@pytest.fixture(scope="module")
def given() -> sim.Result:
    return sim.run({**RUN, "training": {**RUN["training"], "tokens": "2T"}})


@pytest.fixture(scope="module")
def limited() -> sim.Result:
    return sim.run({**RUN, "budget": {"time": "10 days"}})


def kinds(text: str) -> list[str]:
    """Kinds of the sources that a text names."""
    return [
        line.split("source of ")[1].split(":")[0].split(" of ")[0]
        for line in text.splitlines()
        if "source of" in line
    ]


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("usd_per_gpu_hour", ["price"]),
        ("cost_usd", ["price", "accelerator a100-sxm-80gb", "clock and calibration", "goodput"]),
        ("step_time_s", ["accelerator a100-sxm-80gb", "clock and calibration"]),
        ("time_to_train_days", ["accelerator a100-sxm-80gb", "clock and calibration", "goodput"]),
        ("goodput", ["goodput"]),
        ("tokens", []),
        ("tp", []),
    ],
)
def test_a_figure_names_the_sources_it_rests_on(given: sim.Result, key: str, expected: list[str]) -> None:
    assert kinds(given.explain(key)) == expected


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("cost_usd", ["price"]),
        ("energy_mwh", ["accelerator a100-sxm-80gb"]),
        ("tokens", ["accelerator a100-sxm-80gb", "clock and calibration", "goodput"]),
        ("loss", ["law"]),
    ],
)
def test_of_a_run_that_a_limit_ends_the_length_is_no_prediction(
    limited: sim.Result, key: str, expected: list[str]
) -> None:
    assert kinds(limited.explain(key)) == expected


def test_only_a_figure_that_moves_has_an_interval(given: sim.Result, limited: sim.Result) -> None:
    assert "interval" not in given.explain("tokens")
    assert "interval" not in limited.explain("cost_usd")
    assert "80 % interval" in given.explain("cost_usd")
    assert "80 % interval" in limited.explain("tokens")


def test_of_several_prices_that_of_the_answer_is_named() -> None:
    hardware = [{"accelerator": each, "n_gpus": 64} for each in ("a100-sxm-80gb", "h100-sxm-80gb")]
    tokens = {"training": {"global_batch_size": 1024, "tokens": "1T"}}
    found = sim.run({**RUN, **tokens, "find": "hardware", "hardware": hardware})
    text = found.explain("usd_per_gpu_hour")
    assert text.count("source of price") == 1
    assert found.answer["accelerator"] in text


def test_of_several_clusters_that_of_the_answer_is_named() -> None:
    racks = {"a100-sxm-80gb": "aws-p4d", "h100-sxm-80gb": "dgx-h100"}
    hardware = [{"accelerator": a, "cluster": c, "n_gpus": 64} for a, c in racks.items()]
    tokens = {"training": {"global_batch_size": 1024, "tokens": "1T"}}
    found = sim.run({**RUN, **tokens, "find": "hardware", "hardware": hardware})
    named = {each for each in kinds(found.explain("energy_mwh")) if each.startswith("cluster")}
    assert named == {f"cluster {racks[found.answer['accelerator']]}"}


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("co2e_t", "write hardware.grid_intensity"),
        ("cost_usd", "nothing ends the run; write training.tokens"),
    ],
)
def test_what_is_not_known_says_what_to_write(key: str, words: str) -> None:
    own = {} if key == "cost_usd" else {"training": {**RUN["training"], "tokens": "2T"}}
    text = sim.run({**RUN, **own}).explain(key)
    assert text.startswith(f"{key} is not known: ")
    assert words in text
    assert "None" not in text


def test_the_map_names_figures_of_answers() -> None:
    assert {*origins.SOURCES, *origins.MISSING, *origins.ENDS} <= set(RESULT)
