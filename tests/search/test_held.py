"""A plan that grows a model: its stages one by one, how its figures come about, and what moves them."""

from __future__ import annotations

import re
from typing import Any

import pytest

import simulator as sim
from simulator.errors import SpecError
from simulator.result import Result
from simulator.search import held
from simulator.sensitivity import FIGURES

GROWN: dict[str, Any] = {
    "find": "growth",
    "budget": {"time": "1 day"},
    "training": {"seq_length": 2048},
    "hardware": {"accelerator": "h100-sxm-80gb", "n_gpus": 8, "price": "$2.50/GPU-h"},
    "growth": {},
}
LARGE_BATCH = {**GROWN, "training": {"seq_length": 2048, "global_batch_size": 2048}}
GIVEN = {**GROWN, "growth": {"source_model": "tinyllama-1.1b", "source_tokens": "3T"}}
ASKED = {"grown": GROWN, "large batch": LARGE_BATCH, "given": GIVEN}


@pytest.fixture(scope="module")
def answered() -> dict[str, Result]:
    return {name: sim.run(asked) for name, asked in ASKED.items()}


def trained(result: Result) -> list[dict[str, Any]]:
    return [result.stage(s["stage"]) for s in result.stages if s["stage"]]


# --- stages ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ASKED)
def test_stages_add_up_to_the_answer(answered: dict[str, Result], name: str) -> None:
    result = answered[name]
    for figure in ("steps", "tokens", "time_to_train_days", "gpu_hours", "cost_usd", "energy_mwh"):
        total = sum(stage[figure] for stage in trained(result))
        assert total == pytest.approx(result.answer[figure], rel=1e-9), figure
    for stage, row in zip(trained(result), (s for s in result.stages if s["stage"]), strict=True):
        for figure in ("params", "step_time_s", "tokens", "global_batch_size", "dp"):
            assert stage[figure] == pytest.approx(row[figure]), figure
        assert stage["steps"] * stage["global_batch_tokens"] == pytest.approx(row["tokens"])


@pytest.mark.parametrize("name", ASKED)
def test_steps_take_the_time_of_the_run(answered: dict[str, Result], name: str) -> None:
    """Also where a large batch costs tokens: what is told are the steps that are made."""
    result = answered[name]
    spent = sum(stage["steps"] * stage["step_time_s"] for stage in trained(result)) / 86400
    switches = sum(row["switch_days"] for row in result.stages)
    days = spent / result.answer["goodput"] + switches
    assert days == pytest.approx(result.answer["time_to_train_days"], rel=1e-9)


def test_the_last_stage_is_the_one_without_a_number(answered: dict[str, Result]) -> None:
    result = answered["grown"]
    assert result.stage() == result.stage(2)
    assert (result.stage(1)["stage"], result.stage(1)["stages"]) == (1, 2)
    assert result.stage(1)["params"] < result.stage(2)["params"] == result.answer["params"]
    assert set(result.stage(1)["interval"]) == {"step_time_s"}
    assert result.stage(2)["breakdown"] == result.answer["breakdown"]


def test_one_model_is_its_answer(answered: dict[str, Result]) -> None:
    assert answered["given"].stage() is answered["given"].stage(1)
    assert answered["given"].stage(1) == answered["given"].answer
    with pytest.raises(SpecError, match="no stage 0; the plan trains stage 1"):
        answered["given"].stage(0)
    with pytest.raises(SpecError, match=r"no stage 3; the plan trains stage 1: .*; stage 2: "):
        answered["grown"].stage(3)


def test_where_weights_come_from(answered: dict[str, Result]) -> None:
    def told(name: str, number: int) -> str:
        return held.origin(answered[name].stages, answered[name].growth, number)

    assert told("grown", 1) == "stage 1 starts from new weights"
    assert "checkpoint of stage 1" in told("grown", 2)
    assert "trainsim grow CHECKPOINT --operator hypercloning --factor 2" in told("grown", 2)
    assert "starts from tinyllama-1.1b" in told("given", 1)
    row = {"stage": 1, "hidden_size": 8, "num_hidden_layers": 2}
    alone = held.origin([row], {"operator": "g_stack", "given": {"name": "mine"}}, 1)
    assert alone == "weights of mine, trained on"
    deeper = held.origin([row, {**row, "stage": 2, "num_hidden_layers": 4}], {"operator": "g_stack"}, 2)
    assert "--operator stacking --factor 2" in deeper


# --- explanations ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ASKED)
@pytest.mark.parametrize("key", ["tokens", "time_to_train_days"])
def test_explained_sums_give_the_figure(answered: dict[str, Result], name: str, key: str) -> None:
    result = answered[name]
    sums = re.findall(r"stage [1-9]: (.*) = (\S+)$", result.explain(key), re.MULTILINE)
    assert len(sums) == len(trained(result))
    values = [eval(text.replace(" x ", " * ")) for text, _ in sums]
    for value, (_, printed) in zip(values, sums, strict=True):
        assert value == pytest.approx(float(printed), rel=1e-4)
    assert sum(values) == pytest.approx(result.answer[key], rel=1e-4)


def test_explained_loss_counts_the_credit(answered: dict[str, Result]) -> None:
    text = answered["large batch"].explain("loss")
    last = answered["large batch"].stages[-1]
    assert f"{last['credit_tokens']:.6g} + 1.1 x {last['batch_factor']:.6g} x {last['tokens']:.6g}" in text
    assert last["batch_factor"] < 1
    assert "sum over stages" not in sim.run({**GROWN, "find": "architecture"}).explain("tokens")


# --- what moves it --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ASKED)
def test_base_is_the_answer(answered: dict[str, Result], name: str) -> None:
    found = answered[name].sensitivity()
    for figure in FIGURES:
        assert found["base"][figure] == pytest.approx(answered[name].answer[figure], rel=1e-9), figure
    assert found["held"].startswith("the plan that grows")
    assert found["figure"] == "loss"


@pytest.mark.parametrize("name", ASKED)
def test_kappa_moves_the_loss_of_the_held_plan_both_ways(answered: dict[str, Result], name: str) -> None:
    result = answered[name]
    row = next(row for row in result.sensitivity()["rows"] if row["name"] == "kappa (growth)")
    assert (row["low"], row["value"], row["high"]) == (0.85, 1.1, 1.5)
    assert row["loss"][0] > result.answer["loss"] > row["loss"][1]
    # Choosing the plan for that kappa is at least as good as holding this one.
    for end, case in zip(row["loss"], ("pessimistic", "optimistic"), strict=True):
        assert result.growth["cases"][case]["loss"] <= end + 1e-6
    assert row["tokens"] == pytest.approx([result.answer["tokens"]] * 2)


def test_a_kappa_of_the_user_is_known() -> None:
    stated = sim.run({**GROWN, "growth": {"kappa": 1.2}})
    assert stated.stages
    assert not any(row["name"].startswith("kappa") for row in stated.sensitivity()["rows"])


def test_step_time_takes_the_last_stage(answered: dict[str, Result]) -> None:
    """With slower steps the earlier stages keep their tokens; the last one has what is left of the time."""
    result = answered["grown"]
    row = next(row for row in result.sensitivity()["rows"] if row["name"] == "step time")
    small, large = result.stages
    share, slow = result.answer["goodput"], row["high"]
    days = 1.0 - small["time_days"] * slow - large["switch_days"]
    last = days * share * 86400 / (large["step_time_s"] * slow) * large["global_batch_size"] * 2048
    assert row["tokens"][1] == pytest.approx(small["tokens"] + last, rel=1e-6)


def test_without_time_for_the_last_stage_there_is_no_run(answered: dict[str, Result]) -> None:
    from dataclasses import replace

    from simulator.search.uncertain import Case
    from simulator.sensitivity import figures

    basis = answered["grown"].basis
    assert basis is not None
    case = Case(basis.question, basis.question.machines[basis.plan.machine])
    late = figures(basis, replace(case, step_factor=100.0))
    assert late["loss"] != late["loss"]
    assert late["cost_usd"] == pytest.approx(answered["grown"].answer["cost_usd"])


def test_a_run_from_scratch_says_what_its_kappa_shows() -> None:
    found = sim.run({**GROWN, "find": "architecture"}).sensitivity()
    row = next(row for row in found["rows"] if row["name"] == "kappa (growth)")
    assert "in place of the plan" in row["source"]
    assert "takes growth in its place where that pays" in found["held"]
    assert found["base"]["loss"] >= max(row["loss"])


def test_terms_follow_a_constant_of_the_law() -> None:
    """With repeated data the law is evaluated by its terms: its constants move the loss there too."""
    repeated = {**GROWN, "find": "architecture", "growth": {"operator": "none"}}
    repeated["training"] = {"seq_length": 2048, "unique_tokens": "1B"}
    rows = {row["name"]: row for row in sim.run(repeated).sensitivity()["rows"]}
    low, high = rows["B (Besiroglu2024)"]["loss"]
    assert low < high
