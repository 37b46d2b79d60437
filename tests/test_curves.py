"""Curves around an answer agree with the answer and with the planner."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest

import simulator as sim
from simulator import curves

SEARCHED = ("growth", "quickstart", "data-limited", "inference-heavy")
FIXED = ("llama-2-7b-a100", "mixture-of-experts")


@functools.cache
def answered(name: str) -> tuple[Any, sim.Result, dict[str, Any]]:
    scenario = sim.load_scenario(name)
    result = sim.run(scenario)
    return scenario, result, curves.around(scenario, result)


@pytest.mark.parametrize("name", SEARCHED)
def test_the_u_curve_has_its_lowest_point_near_the_answer(name: str) -> None:
    _, result, around = answered(name)
    rows = around["sizes"]
    best = min(rows, key=lambda row: row["loss"])
    assert rows[0]["loss"] > best["loss"] < rows[-1]["loss"]
    scratch = [row["loss"] for row in result.alternatives if row["kind"] == "scratch"]
    assert best["loss"] == pytest.approx(scratch[0] if scratch else result.answer["loss"], abs=0.01)
    assert 0.3 < best["params"] / result.answer["params"] < 3


@pytest.mark.parametrize("name", SEARCHED)
def test_no_size_on_the_curve_beats_the_planner(name: str) -> None:
    _, result, around = answered(name)
    planned = [result.answer["loss"], *(row["loss"] for row in result.alternatives)]
    if not result.growth and not result.answer.get("inference_tokens"):
        assert min(row["loss"] for row in around["sizes"]) >= min(planned) - 1e-9


@pytest.mark.parametrize("name", [*SEARCHED, *FIXED])
def test_a_larger_budget_never_has_a_higher_loss(name: str) -> None:
    rows = answered(name)[2]["frontier"]
    assert curves.BUDGETS - 2 <= len(rows) <= curves.BUDGETS
    assert [row["factor"] for row in rows] == sorted(row["factor"] for row in rows)
    assert np.all(np.diff([row["loss"] for row in rows]) < 0)
    assert np.all(np.diff([row["time_to_train_days"] for row in rows]) > 0)


def test_the_frontier_agrees_with_the_planner_at_another_budget() -> None:
    scenario, _, around = answered("data-limited")
    row = around["frontier"][-1]
    longer = sim.run(scenario.with_(budget={"time": f"{row['time_to_train_days']} days"}))
    assert row["loss"] == pytest.approx(longer.answer["loss"], abs=0.01)


@pytest.mark.parametrize("name", FIXED)
def test_a_fixed_model_passes_through_its_answer(name: str) -> None:
    _, result, around = answered(name)
    middle = next(row for row in around["frontier"] if row["factor"] == pytest.approx(1))
    for figure in ("loss", "time_to_train_days", "cost_usd", "tokens"):
        assert middle[figure] == pytest.approx(result.answer[figure], rel=0.005)
    assert around["sizes"] == []


def test_growth_curves_end_at_the_losses_of_the_plan() -> None:
    _, result, around = answered("growth")
    lines = around["growth"]
    for line, stage in zip(lines["stages"], result.stages, strict=True):
        assert line["loss"][-1] == pytest.approx(stage["loss_end"])
        assert np.all(np.diff(line["loss"]) < 0)
    assert lines["stages"][1]["loss"][0] == pytest.approx(lines["stages"][0]["loss"][-1])
    assert lines["stages"][-1]["days"][-1] == pytest.approx(result.answer["time_to_train_days"])
    assert lines["scratch"][0]["loss"][-1] == pytest.approx(
        next(row["loss"] for row in result.alternatives if row["kind"] == "scratch")
    )


@pytest.mark.parametrize("name", ["growth", "llama-2-7b-a100"])
def test_what_moves_the_answer_is_sorted_and_surrounds_it(name: str) -> None:
    _, result, around = answered(name)
    rows = around["sensitivity"]
    assert 3 <= len(rows) <= curves.INPUTS
    spans = [row["worse"] - row["better"] for row in rows]
    assert spans == sorted(spans, reverse=True)
    found = result.sensitivity()
    for row in rows:
        assert row["figure"] == found["figure"]
        assert row["base"] == found["base"][row["figure"]]
        assert row["better"] < row["worse"]
    if name != "growth":
        assert "step time" in {row["name"] for row in rows}


def test_matrix_products_lie_under_the_roof() -> None:
    _, _, around = answered("llama-2-7b-a100")
    rows = {row["name"]: row for row in around["matmuls"]}
    one = rows["feed-forward, out"]
    m, n, k = one["m"], one["n"], one["k"]
    assert one["intensity"] == pytest.approx(m * n * k / (m * k + k * n + m * n))
    for row in rows.values():
        roof = min(row["peak_tflops"], row["intensity"] * row["memory_bandwidth"] / 1e12)
        assert row["attainable_tflops"] == pytest.approx(roof)


@pytest.mark.parametrize("name", ["does-not-fit"])
def test_without_an_answer_there_is_no_curve(name: str) -> None:
    around = answered(name)[2]
    assert not any(around.values())


def test_a_step_alone_has_no_budget_to_vary() -> None:
    question = {
        "model": {"num_hidden_layers": 12, "hidden_size": 768, "num_attention_heads": 12},
        "hardware": {"accelerator": "a100-sxm-80gb", "n_gpus": 8},
    }
    assert curves.frontier(question, sim.run(question)) == []
