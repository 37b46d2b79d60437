"""Growth as an answer: against the best run from scratch, from a model that exists, within the pins of a search."""

from __future__ import annotations

import numpy as np
import pytest

import simulator as sim
from simulator.growth import operators
from simulator.report import growth as told
from simulator.report import page_charts, terminal
from simulator.search import growing_sizes as of
from simulator.search import lattice, shapes

PYTHIA = {
    "find": "growth",
    "budget": {"time": "10 days", "cost": "$30k"},
    "training": {"seq_length": 2048},
    "hardware": {"accelerator": "h100-sxm-80gb", "n_gpus": 32, "price": "$3/GPU-h"},
    "growth": {"source_model": "pythia-1.4b", "source_tokens": "300B", "max_stages": 3},
}
TINYLLAMA = {
    "find": "growth",
    "budget": {"time": "1 day"},
    "training": {"seq_length": 2048},
    "hardware": {"accelerator": "h100-sxm-80gb", "n_gpus": 8},
    "growth": {"source_model": "tinyllama-1.1b", "source_tokens": "3T"},
}
NEW = {**TINYLLAMA, "growth": {}}


@pytest.fixture(scope="module")
def lost():
    """A source that loses to training from scratch."""
    return sim.run(PYTHIA)


@pytest.fixture(scope="module")
def won():
    """A source that is better than any run from scratch."""
    return sim.run(TINYLLAMA)


def kinds(result, kind):
    return [row for row in result.alternatives if row["kind"] == kind]


# --- a model that exists --------------------------------------------------------------------------------------------


def test_a_source_is_compared_with_the_best_run_from_scratch(lost):
    plain = sim.run({**PYTHIA, "find": "architecture"})
    for result in (lost, plain):
        assert not result.stages
        assert result.answer["loss"] == plain.answer["loss"]
        assert all(row["loss"] >= result.answer["loss"] for row in result.alternatives)
        for case in result.growth["cases"].values():
            assert case["loss_scratch"] == pytest.approx(plain.answer["loss"], abs=1e-6)
            assert not case["pays"]


def test_the_schedule_of_a_source_that_loses_is_shown_with_its_reason(lost):
    (row,) = kinds(lost, "growth")
    case = lost.growth["cases"]["central"]
    assert row["loss"] == case["loss"] > lost.answer["loss"]
    assert row["params"] == case["stages"][-1]["params"]
    assert row["why"].startswith("pythia-1.4b grown; loss +")
    words = told.words(lost.to_dict())
    assert words.startswith(
        "Train it from scratch: your pythia-1.4b (already trained on 300B tokens), grown to "
    )
    assert "nats/token higher, at kappa 1.1 (central)" in words


def test_a_source_takes_up_no_stage(won):
    source, target = won.stages
    assert won.scenario["growth"]["max_stages"] == 2
    assert (source["stage"], target["stage"]) == (0, 1)
    assert source["tokens"] == source["cost_usd"] == source["time_days"] == 0
    assert source["credit_tokens"] == pytest.approx(3e12)
    assert target["time_days"] == pytest.approx(1)
    words = told.words(won.to_dict())
    assert words.startswith(
        "Grow it: start with your tinyllama-1.1b (already trained on 3T tokens), then double"
    )
    assert won.growth["given"] == {"name": "tinyllama-1.1b", "tokens": 3e12, "loss": None}
    assert kinds(won, "scratch")[0]["loss"] > won.answer["loss"]
    for case in won.growth["cases"].values():
        assert case["stages"][0]["hidden_size"] == 2048


def test_the_page_shows_a_source_as_given(won):
    text = terminal.page(won.to_dict())
    assert "1.1B given > 4.14B 1 day" in text
    assert "0 1.1B 22x2048" in text
    assert "0 s" not in told.words(won.to_dict())
    drawn = str(page_charts.growth(won.to_dict(), {}))
    assert "1.1B given" in drawn
    assert "nan" not in drawn


@pytest.mark.parametrize(("stages", "models"), [(1, [0, 1]), (3, [0, 1, 2])])
def test_stages_count_what_is_trained(stages, models):
    """Where the budget is large, as many are used as may be."""
    asked = {
        **TINYLLAMA,
        "budget": {"time": "100 days"},
        "search": {"num_hidden_layers": [22], "hidden_size": [4096, 8192]},
    }
    asked["growth"] = {**TINYLLAMA["growth"], "max_stages": stages, "kappa": 2.0}
    result = sim.run(asked)
    case = result.growth["cases"]["given"]
    assert [stage["stage"] for stage in case["stages"]][: len(models)] == models


def test_a_source_known_by_its_loss():
    asked = {**TINYLLAMA, "growth": {"source_model": "tinyllama-1.1b", "source_loss": 2.3}}
    result = sim.run(asked)
    assert result.growth["given"]["loss"] == 2.3
    assert "your tinyllama-1.1b (already trained to 2.3 nats/token)" in told.words(result.to_dict())


def test_a_source_without_tokens_is_left_out_and_that_is_said():
    result = sim.run({**TINYLLAMA, "growth": {"source_model": "tinyllama-1.1b"}})
    assert "given" not in result.growth
    assert "Growth.source_model needs source_tokens" in told.words(result.to_dict())


def test_a_source_that_may_not_grow_is_trained_on():
    result = sim.run({**TINYLLAMA, "search": {"hidden_size": [2048], "num_hidden_layers": [22]}})
    (only,) = result.stages
    assert only["stage"] == 1
    assert only["credit_tokens"] == pytest.approx(3e12)
    words = told.words(result.to_dict())
    assert words.startswith(
        "Go on with it: train your tinyllama-1.1b (already trained on 3T tokens) on for 1 day"
    )


def test_nothing_that_a_source_grows_into_fits():
    asked = {**TINYLLAMA, "search": {"hidden_size": [3072], "num_hidden_layers": [26]}}
    result = sim.run(asked)
    assert not result.growth
    assert "nothing that tinyllama-1.1b grows into fits and has the width" in told.words(result.to_dict())


# --- pins -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("operator", ["hypercloning", "stacking"])
@pytest.mark.parametrize("model", [None, "llama-2-7b"])
def test_pins_of_the_search_bind_the_last_model(model, operator):
    asked = {
        **NEW,
        "search": {"hidden_size": [4096], "num_hidden_layers": [32]},
        "growth": {"operator": operator, "kappa": 1.5},
    }
    result = sim.run(asked if model is None else {**asked, "model": model})
    for case in result.growth["cases"].values():
        first, last = case["stages"]
        assert (last["hidden_size"], last["num_hidden_layers"]) == (4096, 32)
        assert first["params"] < last["params"]
    assert (result.answer["hidden_size"], result.answer["num_hidden_layers"]) == (4096, 32)


def test_pins_bind_what_a_source_grows_into():
    asked = {**TINYLLAMA, "search": {"hidden_size": [4096], "num_hidden_layers": [22]}}
    for case in sim.run(asked).growth["cases"].values():
        assert (case["stages"][-1]["hidden_size"], case["stages"][-1]["num_hidden_layers"]) == (4096, 22)


def test_one_pin_leaves_the_other_free():
    result = sim.run({**NEW, "search": {"hidden_size": [2048]}})
    for case in result.growth["cases"].values():
        assert case["stages"][-1]["hidden_size"] == 2048


def test_starts_grow_into_the_pins():
    pins = of.Pins((4096, 3072), (20,))
    for operator, stages in (("hypercloning", 2), ("hypercloning", 3), ("g_stack", 2)):
        first = of.starts(shapes.candidates(), pins, template=None, operator=operator, stages=stages)
        grown = of.descendants(first, operator=operator, switches=stages - 1)
        assert any(np.any(pins.keep(one)) for one in grown)
        every = of.concatenate([first, *grown])
        found = lattice.take(every, np.flatnonzero(pins.keep(every)))
        assert set(np.asarray(found.hidden_size).tolist()) == {4096, 3072}
    odd = of.starts(shapes.candidates(), of.Pins(None, (21,)), template=None, operator="g_stack", stages=2)
    assert lattice.count(odd) == 0


def test_index_of_finds_a_shape_or_nothing():
    some = shapes.candidates(hidden_size=(1024, 2048), num_hidden_layers=(16,))
    for place in range(lattice.count(some)):
        assert of.index_of(some, lattice.take(some, np.array([place]))) == place
    assert of.index_of(some, operators.widen(lattice.take(some, np.array([0])), factor=8)) is None


# --- laws and numbers -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("law", ["Gemstones2025", "Bian2025a"])
def test_a_law_that_sees_the_shape_cannot_price_growth_and_says_so(law):
    result = sim.run({**NEW, "law": law})
    assert result.feasible
    assert not result.growth
    assert np.isfinite(result.answer["loss"])
    words = told.words(result.to_dict())
    assert words.startswith(f"Train it from scratch. Growth cannot be priced under {law}")
    assert "Besiroglu2024 (the default)" in words
    assert words in " ".join(terminal.page(result.to_dict()).split())


def test_scratch_of_growth_is_scratch_of_the_search():
    result = sim.run(NEW)
    (scratch,) = kinds(result, "scratch")
    for case in result.growth["cases"].values():
        assert case["loss_scratch"] == pytest.approx(scratch["loss"], abs=1e-6)


def test_architecture_does_not_deny_growth_that_pays():
    result = sim.run({**NEW, "find": "architecture"})
    case = result.growth["cases"]["central"]
    assert case["pays"]
    words = told.words(result.to_dict())
    assert "does not pay" not in words
    assert f"{case['loss_gain']:.4f} nats/token lower" in words


@pytest.mark.parametrize(
    ("share", "shown"),
    [
        (-2.2e-15, "0 %"),
        (0.00049, "0 %"),
        (-0.0004, "0 %"),
        (0.0006, "0.060 %"),
        (-0.11, "-11 %"),
        (None, "-"),
    ],
)
def test_savings_too_small_to_show_are_none(share, shown):
    assert told.saves(share) == shown
    case = {
        "kappa": 1.1, "stages": [], "loss": 2.1, "loss_scratch": 2.1, "loss_gain": -1e-12, "saving": share,
        "pays": False,
    }  # fmt: skip
    (row,) = told.case_rows({"cases": {"central": case}, "follows": "central"})
    assert row[5:7] == ("+0.0000", shown)


def test_growth_ends_in_the_aspects_that_scratch_is_looked_for_in():
    """With the depth alone pinned, growth once ended 512 times as wide as deep and beat runs that had no such shape."""
    asked = {**NEW, "search": {"num_hidden_layers": 16}}
    cases = sim.run(asked).growth["cases"]
    assert not cases["pessimistic"]["pays"]
    for case in cases.values():
        last = case["stages"][-1]
        assert last["hidden_size"] / last["num_hidden_layers"] <= lattice.ASPECTS[1]


# --- the time of a switch -------------------------------------------------------------------------------------------

SHORT = {**NEW, "budget": {"time": "10 min"}}


def test_a_run_that_is_shorter_than_a_switch_says_so():
    result = sim.run(SHORT)
    (line,) = [row["message"] for row in result.warnings if row["id"] == "growth"]
    assert line.startswith(
        "no growth: a switch is taken to stop training for 17 min, and the whole run is 10 min"
    )
    assert "growth.switch_time sets it" in terminal.page(result.to_dict())


@pytest.mark.parametrize("objective", ["cost", "time", "n_gpus"])
def test_growth_is_planned_for_no_other_objective_than_the_loss(objective):
    """A run that ends at a loss has no limit that schedules could use better."""
    asked = {**NEW, "find": "architecture", "require": {"loss": 3.0}, "objective": objective}
    result = sim.run(asked)
    assert result.growth == {}
    [line] = [each["message"] for each in result.warnings if each["id"] == "growth"]
    assert line == "growth is planned for the lowest loss; leave out objective"
    assert result.answer["loss"] == pytest.approx(3.0, abs=0.01)


def test_the_time_of_a_switch_is_the_scenarios():
    quick = sim.run({**SHORT, "growth": {"switch_time": "0 s"}})
    assert quick.stages
    assert all(stage["switch_days"] == 0 for stage in quick.stages)
    slow = sim.run({**SHORT, "growth": {"switch_time": "1 min"}})
    assert slow.growth["cases"]["central"]["loss_gain"] < quick.growth["cases"]["central"]["loss_gain"]
    assert any("for 1 min, growth.switch_time; 10 % of the run each" in line for line in slow.assumptions)


def test_a_mixture_grows_under_a_limit_on_cost_that_covers_serving():
    """What serving leaves of the limit follows from the active parameters, as everywhere else."""
    result = sim.run(
        {
            "find": "growth",
            "model": "mixtral-8x7b",
            "budget": {"cost": "$200k"},
            "inference": {"tokens": "1T"},
            "training": {"seq_length": 2048},
            "hardware": {"accelerator": "h100-sxm-80gb", "n_gpus": 64, "price": "$2/GPU-h"},
        }
    )
    assert result.growth["cases"]["central"]["loss_scratch"] == pytest.approx(
        min(row["loss"] for row in (result.answer, *result.alternatives)), abs=0.02
    )
