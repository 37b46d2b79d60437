"""The coarse lattice of a preview against the whole one."""

from __future__ import annotations

import numpy as np
import pytest

import simulator as sim
from simulator import library
from simulator.errors import SpecError, UnknownNameError
from simulator.schema import load_scenario
from simulator.search import efforts, lattice, shapes
from simulator.search.question import RESOLUTION_NATS

ASKED = {
    "find": "growth",
    "budget": {"time": "10 days"},
    "hardware": {"accelerator": "h100-sxm-80gb", "n_gpus": 64, "price": "$2.99/GPU-h"},
}


@pytest.mark.parametrize(
    "changes",
    [[], ["budget.time=2 days"], ["budget.cost=$20k", "find=architecture"], ["inference.tokens=1e13"]],
)
def test_a_preview_is_within_what_the_laws_can_tell(changes: list[str]) -> None:
    full, quick = (sim.run(ASKED, set=changes, effort=effort) for effort in ("full", "preview"))
    assert quick.search["plans_considered"] < full.search["plans_considered"] / 3
    assert abs(quick.answer["loss"] - full.answer["loss"]) < RESOLUTION_NATS
    assert [w["id"] for w in quick.warnings].count("preview") == 1
    assert "preview" not in [w["id"] for w in full.warnings]


def test_a_preview_of_a_given_model_is_the_answer() -> None:
    question = {**ASKED, "find": "estimate", "model": "llama-3-8b", "training": {"tokens": "100B"}}
    full, quick = (sim.run(question, effort=effort) for effort in ("full", "preview"))
    assert full.to_dict() == quick.to_dict()


def test_shapes_of_a_preview_are_shapes_of_the_search() -> None:
    every = shapes.candidates()
    some = efforts.get("preview").shapes(every)
    assert 50 < lattice.count(some) < lattice.count(every) / 5
    assert set(some.hidden_size.tolist()) <= set(every.hidden_size.tolist())
    assert set(some.num_hidden_layers.tolist()) <= set(every.num_hidden_layers.tolist())
    assert efforts.get("full").shapes(every) is every


def test_sizes_that_a_scenario_lists_are_all_tried() -> None:
    listed = shapes.candidates(hidden_size=(1152, 1664), num_hidden_layers=(22,))
    assert np.array_equal(efforts.get("preview").shapes(listed).hidden_size, listed.hidden_size)


def test_an_unknown_effort_is_named() -> None:
    with pytest.raises(UnknownNameError, match="effort"):
        sim.run(ASKED, effort="quick")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("model", "/etc/passwd"),
        ("model", "../secret"),
        ("model", "folder"),
        ("model", {"extends": "x/config.json"}),
        ("hardware", {"accelerator": "/etc/passwd", "n_gpus": 8}),
        ("hardware", {"accelerator": "~/gpu.yaml", "n_gpus": 8}),
        ("hardware", {"accelerator": "h100-sxm-80gb", "n_gpus": 8, "cluster": "./cluster.yaml"}),
    ],
)
def test_paths_can_be_refused(field: str, value: object, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "config.json").write_text("{}", encoding="utf-8")
    with library.names_only(), pytest.raises((SpecError, ValueError)) as caught:
        load_scenario({**ASKED, "find": "estimate", "model": "llama-3-8b", field: value})
    assert "config.json" not in str(caught.value) or field == "model"
    assert "a path is not accepted here" in str(caught.value) or "no model named" in str(caught.value)
    assert library.paths_allowed()


@pytest.mark.parametrize("effort", ["full", "preview"])
def test_growth_keeps_a_limit_on_cost_that_covers_serving(effort: str) -> None:
    asked = {
        "find": "growth",
        "budget": {"time": "25 days", "cost": "$236k"},
        "hardware": {"accelerator": "h100-sxm-80gb", "n_gpus": 8, "price": "$3.9/GPU-h"},
        "inference": {"tokens": 1.92e13},
    }
    answer = sim.run(asked, effort=effort).answer
    assert answer["lifetime_cost_usd"] <= 236e3 * (1 + 1e-6)
