"""What an answer says of data that run out, of energy and carbon, of fronts with serving, and of figures that are not known."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import simulator as sim
from simulator import scaling
from simulator.report import decision, goals, terminal
from simulator.search import enough, lacking
from simulator.search.failures import Failures
from simulator.search.interrupted import formulas

H100 = {"accelerator": "h100-sxm-80gb", "n_gpus": 64, "price": "$2/GPU-h"}
MODEL = {
    "num_hidden_layers": 16,
    "hidden_size": 2048,
    "num_attention_heads": 16,
    "intermediate_size": 5632,
    "vocab_size": 32000,
}


def asked(**changes: Any) -> dict[str, Any]:
    return {"name": "a plan", "hardware": H100, "model": MODEL, **changes}


# --- data that run out ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def repeats() -> Any:
    training = {"seq_length": 4096, "unique_tokens": "20B"}
    return sim.run(asked(training=training, budget={"time": "30 days"}))


def test_data_bind_where_more_of_them_buys_more_than_a_longer_run(repeats: Any) -> None:
    assert repeats.binding["constraint"] == "data"
    prices = repeats.binding["shadow_prices"]
    assert prices["data"]["loss_difference"] < prices["time"]["loss_difference"] <= 0


def test_the_part_of_a_run_that_nearly_does_reaches_what_it_says(repeats: Any) -> None:
    found = repeats.binding["enough"]
    assert found["share"] < 0.5
    assert repeats.to_dict()["binding"]["enough"]["text"] in decision.decision(repeats.to_dict())
    training = {
        "seq_length": 4096,
        "unique_tokens": "20B",
        "tokens": found["tokens"],
        "global_batch_size": int(found["global_batch_size"]),
    }
    shorter = sim.run(asked(training=training))
    gap = shorter.answer["loss"] - repeats.answer["loss"]
    assert gap == pytest.approx(enough.NEXT_TO_NOTHING, abs=1e-6)
    assert shorter.answer["cost_usd"] == pytest.approx(found["cost_usd"], rel=1e-6)


def test_a_pinned_batch_is_kept_and_short_runs_say_nothing() -> None:
    training = {"seq_length": 4096, "unique_tokens": "20B", "global_batch_size": 512}
    found = sim.run(asked(training=training, budget={"time": "30 days"})).binding["enough"]
    assert found["global_batch_size"] == 512
    fresh = sim.run(asked(training={**training, "unique_tokens": "20T"}, budget={"time": "30 days"}))
    assert "enough" not in fresh.binding
    assert fresh.binding["constraint"] == "time"
    assert fresh.binding["shadow_prices"]["time"]["loss_difference"] < 0


# --- accuracies see shape -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("law", ["Gemstones2025", "Gemstones2025Hot", "Gemstones2025HotOver100B"])
def test_the_usual_shape_of_that_size_has_the_same_terms(law: str) -> None:
    width, depth = np.array([6656.0, 1024.0, 4096.0]), np.array([26.0, 64.0, 32.0])
    inside = 12 * depth * width**2
    share = scaling.shape_size(shape_law=law, params=inside, hidden_size=width, num_hidden_layers=depth)
    usual = np.cbrt(70 * share * inside / 12)
    found = scaling.get(law)
    here = found(params=inside, tokens=1e12, hidden_size=width, num_hidden_layers=depth)
    there = found(params=share * inside, tokens=1e12, hidden_size=usual, num_hidden_layers=usual / 70)
    np.testing.assert_allclose(here, there, rtol=1e-12)


def test_the_usual_shape_counts_as_itself_and_other_laws_say_nothing() -> None:
    sizes = {"params": 7e9, "hidden_size": 70 * 40.0, "num_hidden_layers": 40.0}
    inside = 12 * 40.0 * 2800.0**2
    usual = scaling.shape_size(shape_law="Gemstones2025", non_embedding_params=inside, **sizes)
    assert float(usual) == pytest.approx(1.0, abs=1e-9)
    assert scaling.shape_size(shape_law="Bian2025a", **sizes) == 1.0


def test_the_cheapest_model_of_an_accuracy_is_neither_the_widest_nor_the_shallowest() -> None:
    question = {
        "name": "arc",
        "find": "architecture",
        "objective": "cost",
        "require": {"accuracy": {"arc_easy": 0.6}},
        "training": {"seq_length": 2048},
        "hardware": H100,
    }
    result = sim.run(question)
    aspect = result.answer["hidden_size"] / result.answer["num_hidden_layers"]
    assert 20 < aspect < 150
    assert result.answer["quality"]["arc_easy"] == pytest.approx(0.6, abs=1e-6)
    assert any("width and depth count" in text for text in result.assumptions)
    other = sim.run(question, set=["shape_law=Bian2025a"])
    assert any("not width and depth" in text for text in other.assumptions)


# --- fronts with serving --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def front() -> Any:
    return sim.run(
        {
            "name": "front",
            "find": "architecture",
            "objective": ["cost", "loss"],
            "budget": {"time": "10 days", "cost": "$40k"},
            "training": {"seq_length": 4096},
            "inference": {"tokens": "1T", "utilisation": "25 %"},
            "hardware": H100,
        },
        effort="preview",
    )


def test_a_front_with_serving_is_ordered_by_the_cost_that_it_shows(front: Any) -> None:
    costs = [row["lifetime_cost_usd"] for row in front.frontier]
    assert costs == sorted(costs)
    assert front.frontier[0]["mark"] == "least cost with serving"
    heads = goals.front(front.to_dict())[0]
    assert "in all" in heads


def test_a_terminal_shows_a_part_of_a_long_front_and_says_how_much_is_left_out(front: Any) -> None:
    document = front.to_dict()
    rows = document["frontier"] = [{**document["frontier"][0], "mark": "", "loss": n} for n in range(100)]
    rows[42]["mark"] = "knee"
    lines = goals.front(document)
    assert len(lines) < goals.MOST_ROWS + 5
    assert any("knee" in line for line in lines)
    left = 100 - len(goals.thinned(rows))
    assert f"{left} plans between these are left out here; --json has all 100." in lines[-1]


# --- what is not known ----------------------------------------------------------------------------------------------

TPU = {"accelerator": "tpu-v5p", "n_gpus": 64, "price": "$2/GPU-h", "grid_intensity": "20 gCO2e/kWh"}
TRAINING = {"tokens": "100B", "seq_length": 4096, "global_batch_size": 512}


@pytest.mark.parametrize(
    "changes",
    [
        {"budget": {"energy": "500 MWh"}},
        {"objective": "energy"},
        {"budget": {"energy": "1 Wh"}, "objective": "carbon"},
    ],
)
def test_energy_without_a_tdp_is_a_reason_of_its_own(changes: dict[str, Any]) -> None:
    found = sim.run(asked(training=TRAINING, **{"hardware": TPU, **changes})).infeasible
    assert found["reason"] == "power"
    assert "no tdp is known for tpu-v5p" in found["text"]
    assert "tdp" in found["smallest_change"]


def test_the_change_that_is_named_works() -> None:
    better = {**TPU, "accelerator": {"extends": "tpu-v5p", "tdp": "700 W"}}
    assert sim.run(asked(training=TRAINING, hardware=better, objective="energy")).feasible


def test_a_price_is_still_asked_for() -> None:
    bare = {"accelerator": {**_bare(), "name": "bare"}, "n_gpus": 64}
    found = sim.run(
        asked(training=TRAINING, hardware=bare, budget={"cost": "$1M", "time": "1 min"})
    ).infeasible
    assert found["reason"] == "price"


def _bare() -> dict[str, Any]:
    return {
        "memory": "80 GB",
        "memory_bandwidth": "3.35 TB/s",
        "peak_flops": {"bf16": "989 TFLOP/s"},
        "source": "none",
        "retrieved": "2025-01-01",
    }


@pytest.fixture(scope="module")
def greenest() -> Any:
    hardware = [
        {**H100, "cluster": "dgx-h100", "grid_intensity": "380 gCO2e/kWh"},
        {
            "accelerator": "a100-sxm-80gb",
            "n_gpus": 128,
            "grid_intensity": "20 gCO2e/kWh",
            "price": "$1/GPU-h",
        },
        TPU,
    ]
    return sim.run(asked(find="hardware", objective="carbon", training=TRAINING, hardware=hardware))


def test_hardware_that_cannot_be_judged_is_named(greenest: Any) -> None:
    told = {each["id"]: each["message"] for each in greenest.warnings}
    assert "tpu-v5p" in told["no-power"]
    assert "h100-sxm-80gb with hosts and cooling" in told["energy-boundary"]
    assert "a100-sxm-80gb without" in told["energy-boundary"]


def test_the_figure_that_was_to_be_low_stands_in_headline_table_and_reasons(greenest: Any) -> None:
    document = greenest.to_dict()
    assert "emissions " in decision.decision(document)
    assert " CO2e, cost" in decision.decision(document)
    page = terminal.page(document)
    assert re.search(r"CO2e +cost", page)
    lost = next(row for row in greenest.alternatives if row["kind"] == "hardware")
    gap = lost["co2e_t"] / greenest.answer["co2e_t"] - 1
    assert f"({100 * gap:+.0f} %)" in lost["why"]
    assert "emissions +" in lost["why"]


def test_machines_that_count_alike_are_not_warned_of() -> None:
    alike = [{**H100, "grid_intensity": grid} for grid in ("20 gCO2e/kWh", "380 gCO2e/kWh")]
    result = sim.run(asked(find="hardware", objective="carbon", training=TRAINING, hardware=alike))
    assert "energy-boundary" not in {each["id"] for each in result.warnings}


def test_every_need_has_a_reason() -> None:
    assert {what for needs in lacking.NEEDS.values() for what in needs} == set(lacking.REASONS)


# --- formulas and phrases -------------------------------------------------------------------------------------------


def test_steps_speed_and_goodput_have_formulas() -> None:
    result = sim.run(asked(training=TRAINING))
    for name in ("steps", "tokens_per_s", "goodput"):
        assert len(result.explain(name).splitlines()) > 1, name
    assert "16,384" in result.explain("goodput")


def test_the_goodput_of_rates_is_shown_by_its_four_terms() -> None:
    reliability = {
        "gpu_mtbf": "5000 h",
        "checkpoint_time": "2 min",
        "restart_time": "10 min",
        "stragglers": "2 %",
    }
    result = sim.run(asked(training=TRAINING, reliability=reliability))
    text = result.explain("goodput")
    assert all(word in text for word in ("stragglers", "checkpoints", "lost work", "restarts"))
    failures = Failures(gpu_mtbf_s=1.8e7, checkpoint_s=120.0, restart_s=600.0, stragglers=0.02)
    lost = failures.lost(1.8e7 / 64)
    assert result.answer["goodput"] == pytest.approx(0.98 / (1 + sum(lost.values())), rel=1e-9)
    given = sim.run(asked(training=TRAINING, goodput=0.9))
    assert given.basis is not None
    assert formulas(given.basis.question, given.basis.plan) == {"goodput": "as the scenario says"}


def test_sentences_without_a_price_and_with_several_things() -> None:
    bare = {"accelerator": {**_bare(), "name": "bare"}, "n_gpus": 64}
    text = decision.decision(sim.run(asked(training=TRAINING, hardware=bare)).to_dict())
    assert "; no price is known" in text
    assert "cost no" not in text
    scenario = {"objective": ["n_gpus"], "require": {"loss": 2.9}, "find": "hardware", "name": "x"}
    document = {
        "scenario": scenario,
        "frontier": [],
        "answer": {"n_gpus": 8, "accelerator": "a", "params": 1e9},
    }
    assert decision._aim(document).startswith("Fewest accelerators that reach loss 2.9: training")
    scenario["objective"] = ["cost"]
    assert decision._aim(document).startswith("Cheapest run that reaches loss 2.9")
