"""What is said of growth holds by the tool's own predictions: against every run from scratch that it can find, on one page."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

import simulator as sim
from simulator import transformer
from simulator.report import growth as told
from simulator.report import terminal
from simulator.result import Result
from simulator.schema import load_model, load_scenario
from simulator.search import choice, growth_answers
from simulator.search.notes import Notes
from simulator.search.translate import question_of

BASE: dict[str, Any] = {
    "find": "growth",
    "budget": {"time": "1 day"},
    "training": {"seq_length": 2048},
    "hardware": {"accelerator": "h100-sxm-80gb", "n_gpus": 8, "price": "$2.50/GPU-h"},
    "growth": {},
}
SERVED = {"inference": {"tokens": "1T", "utilisation": "25 %"}}
ENOUGH = {"training": {"seq_length": 2048, "unique_tokens": "1T"}}
SCARCE = {"training": {"seq_length": 2048, "unique_tokens": "3B"}}
SCENARIOS: dict[str, dict[str, Any]] = {
    "plain": BASE,
    "depth": {**BASE, "growth": {"operator": "stacking", "kappa": 1.5}},
    "served": {**BASE, **SERVED},
    "served for money": {**BASE, **SERVED, "budget": {"cost": "$1500"}},
    "enough data": {**BASE, **ENOUGH},
    "served, enough data": {**BASE, **SERVED, **ENOUGH},
    "large batch": {**BASE, "training": {"seq_length": 2048, "global_batch_size": 2048}},
    "pinned": {**BASE, "search": {"hidden_size": [2048, 4096]}},
    "size alone": {**BASE, "shape_law": "none"},
    "given": {**BASE, **SERVED, "growth": {"source_model": "tinyllama-1.1b", "source_tokens": "3T"}},
}
NOT_JUDGED = {"scarce": {**BASE, **SCARCE}, "served, scarce": {**BASE, **SERVED, **SCARCE}}


def from_scratch(asked: dict[str, Any], **changes: Any) -> list[dict[str, Any]]:
    """Plans from scratch that the tool finds under the limits of a scenario, the answer first."""
    result = sim.run({**asked, "find": "architecture", "growth": {"operator": "none"}, **changes})
    return [result.answer, *(row for row in result.alternatives if row["kind"] == "architecture")]


def free_of_serving(asked: dict[str, Any]) -> dict[str, Any]:
    """The same question with the lowest loss first, where serving takes nothing off the limits."""
    return {k: v for k, v in asked.items() if k != "inference" or "cost" in asked["budget"]}


@pytest.fixture(scope="module")
def answered() -> dict[str, Result]:
    return {name: sim.run(asked) for name, asked in SCENARIOS.items()}


# --- the comparison -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SCENARIOS)
def test_growth_that_pays_beats_every_run_from_scratch(answered: dict[str, Result], name: str) -> None:
    """Those of the whole search, where growth was compared with all, and those in the shape that it ends in."""
    asked, growth = SCENARIOS[name], answered[name].growth
    assert growth
    every = from_scratch(free_of_serving(asked)) if growth["compared_with"] == "lowest loss" else []
    paying = [case for case in growth["cases"].values() if case["pays"]]
    for case in paying:
        last = case["stages"][-1]
        ends = {"hidden_size": [last["hidden_size"]], "num_hidden_layers": [last["num_hidden_layers"]]}
        for plan in (*every, *from_scratch(asked, search=ends)):
            assert case["loss_gain"] >= 0
            assert case["loss"] <= plan["loss"] + 1e-6, plan["params"]
            assert case["loss_scratch"] <= plan["loss"] + 1e-6


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_answer_is_no_worse_than_any_plan_beside_it(answered: dict[str, Result], name: str) -> None:
    """With inference a lower loss may serve at a higher cost; nothing is better in both."""
    result = answered[name]
    for row in result.alternatives:
        life = "lifetime_cost_usd" if "inference" in SCENARIOS[name] else "cost_usd"
        dearer = row[life] > result.answer[life] * (1 + 1e-9)
        assert row["loss"] >= result.answer["loss"] - 1e-9 or dearer, row["why"]


@pytest.mark.parametrize("name", ["plain", "served", "large batch", "enough data"])
def test_schedules_of_one_stage_end_as_the_search_predicts(answered: dict[str, Result], name: str) -> None:
    """The run from scratch of a schedule is one that the search gives, to the last digit."""
    result = answered[name]
    (row,) = [row for row in result.alternatives if row["kind"] == "scratch"]
    assert row["loss"] == pytest.approx(result.growth["cases"]["central"]["loss_scratch"], abs=1e-9)


def test_of_equals_in_loss_the_answer_serves_at_no_higher_cost(answered: dict[str, Result]) -> None:
    """Growth does not turn the smaller of equally good models into a larger one."""
    asked, result = SCENARIOS["served"], answered["served"]
    assert result.growth["compared_with"] == "lowest loss at no higher cost of serving"
    alone = from_scratch(asked)[0]
    assert result.stages
    assert result.answer["params"] <= alone["params"]
    assert result.answer["loss"] <= alone["loss"]
    assert "by any model that serves at no higher cost" in told.words(result.to_dict())


@pytest.mark.parametrize("name", NOT_JUDGED)
def test_growth_is_not_judged_on_repeated_data(name: str) -> None:
    """Schedules took data as unlimited where the run from scratch paid for every repetition."""
    result = sim.run(NOT_JUDGED[name])
    assert result.growth == {}
    assert not result.stages
    [line] = [row["message"] for row in result.warnings if row["id"] == "growth"]
    assert line.startswith("growth is not judged on repeated data: the run from scratch of lowest loss sees")
    assert "Growth is not judged on repeated data" in told.words(result.to_dict())


# --- one plan on a page ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def required() -> Result:
    changes = {"require": {"accuracy": {"mmlu": "20 %"}, "loss": 3.0}}
    return sim.run({**BASE, **ENOUGH, **changes})


def test_requirements_are_of_the_plan_that_is_shown(required: Result) -> None:
    assert required.stages
    assert required.requirements["mmlu"]["predicted"] == required.answer["quality"]["mmlu"]
    assert required.requirements["loss"]["predicted"] == required.answer["loss"]
    assert all(row["met"] for row in required.requirements.values())
    for row in required.requirements.values():
        times = row["certain"]["times"] if row["certain"] else None
        assert times is None or row["certain"]["tokens"] == pytest.approx(times * required.answer["tokens"])


def test_growth_ends_in_no_model_that_answers_too_slowly() -> None:
    given = {"source_model": "tinyllama-1.1b", "source_tokens": "3T"}
    result = sim.run({**BASE, "growth": given, "inference": {"latency": "0.4 ms"}})
    assert not result.stages
    assert result.answer["latency_s"] <= 4e-4
    words = told.words(result.to_dict())
    assert words.startswith("Train it from scratch. No growth: nothing that tinyllama-1.1b grows into fits")
    assert words.endswith("and answers in time.")


def test_a_schedule_that_misses_a_requirement_is_not_the_answer() -> None:
    """The plan of a schedule is judged by what its last model is trained as far as."""
    question = question_of(load_scenario({**BASE, "require": {"loss": 2.5}}), Notes())
    shape = transformer.shape_of(load_model("llama-2-7b"))
    plans, _ = choice.layouts(question, 0, 8, shape, number=1)
    columns = {**plans[0].columns, "worth_tokens": 1e11, "worth_per_token": 1.1, "quick": 1.0}
    for loss, said in ((2.49, ""), (2.51, "growth would pay, but what it ends in misses loss 2.5")):
        plan = replace(plans[0], columns={**columns, "loss": loss})
        assert growth_answers.unfit(question, plan) == said
    slow = replace(plans[0], columns={**columns, "loss": 2.4, "quick": 0.0})
    assert growth_answers.unfit(question, slow).endswith("misses inference.latency")


def test_interruptions_and_limits_are_of_the_plan_that_is_shown(answered: dict[str, Result]) -> None:
    result = answered["plain"]
    assert result.stages
    curve = result.interruptions["curve"]
    worst, best = curve[0], curve[-1]
    assert best["loss"] <= result.answer["loss"] <= worst["loss"]
    assert result.answer["loss"] - best["loss"] < 1e-3
    for row in curve:
        assert row["time_to_train_days"] == pytest.approx(result.answer["time_to_train_days"])
    price = result.binding["shadow_prices"]["time"]
    longer = sim.run({**BASE, "budget": {"time": "2 days"}})
    assert 0 > price["loss_difference"] >= longer.answer["loss"] - result.answer["loss"] - 1e-9
    assert result.binding["text"].endswith("the stages before the last are held")
    assert result.family["text"].startswith("from scratch, compared with the best such run: ")


# --- the law of shape -----------------------------------------------------------------------------------------------

WIDE = {
    "find": "growth",
    "budget": {"time": "30 days"},
    "training": {"seq_length": 8192},
    "hardware": {"accelerator": "h100-sxm-80gb", "n_gpus": 512, "price": "$2.3/GPU-h"},
    "growth": {"source_model": "llama-3.1-8b", "source_tokens": "2T", "max_stages": 2},
}


@pytest.fixture(scope="module")
def wide() -> Result:
    return sim.run(WIDE)


def test_a_verdict_that_rests_on_the_law_of_shape_says_so(wide: Result) -> None:
    found, case = wide.growth["by_size"], wide.growth["cases"]["central"]
    assert case["loss_gain"] < 0
    assert found["loss_scratch"] > found["loss"]
    assert found["decides"]
    assert "Between these two plans Gemstones2025 decides: " in told.words(wide.to_dict())
    assert [row for row in wide.warnings if row["id"] == "growth-shape"]


def test_the_law_of_shape_can_be_left_out(answered: dict[str, Result]) -> None:
    result = answered["size alone"]
    assert result.answer["shape_law"] is None
    assert "by_size" not in result.growth
    assert "depth and width do not move the loss (shape_law: none)" in result.assumptions
    assert answered["plain"].answer["shape_law"] == "Gemstones2025"


def test_by_size_alone_is_what_leaving_the_law_out_predicts(answered: dict[str, Result]) -> None:
    """The run from scratch of the comparison, asked for in its own width and depth without a law of shape."""
    result = answered["plain"]
    (row,) = [row for row in result.alternatives if row["kind"] == "scratch"]
    names = ("hidden_size", "num_hidden_layers")
    (plan, *_) = from_scratch(BASE, shape_law="none", search={name: [row[name]] for name in names})
    assert plan["loss"] == pytest.approx(result.growth["by_size"]["loss_scratch"], abs=1e-3)


# --- words ----------------------------------------------------------------------------------------------------------


def test_an_estimate_says_that_it_does_not_grow() -> None:
    asked = {**BASE, "find": "estimate", "model": "llama-2-7b", "growth": {"operator": "stacking"}}
    result = sim.run(asked)
    [line] = [row["message"] for row in result.warnings if row["id"] == "growth"]
    assert line.startswith("the growth block is left out")
    assert told.words(result.to_dict()) == f"{line[:1].upper()}{line[1:]}."
    without = sim.run({**asked, "growth": {"operator": "none"}})
    assert not [row for row in without.warnings if row["id"] == "growth"]


def test_what_costs_many_times_as_much_is_told_as_that(wide: Result) -> None:
    text = terminal.page(wide.to_dict())
    assert wide.growth["cases"]["central"]["saving"] < -1
    assert "00 %" not in "".join(row[6] for row in told.case_rows(wide.growth))
    assert f"costs {1 - wide.growth['cases']['central']['saving']:.0f} times" in text


def test_growth_that_pays_at_every_kappa_says_so() -> None:
    case = {"break_even_kappa": 0.1}
    assert told.reading({"cases": {"central": case}}).startswith("Growth pays at every kappa from 0.1 on.")
