"""What moves an answer, and how sure a choice is."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import simulator as sim
from simulator.cli import main
from simulator.errors import InfeasibleError, SimulatorError
from simulator.result import Result
from simulator.search.answer import LAW_ERROR
from simulator.search.robust import OWN_SHARE, robustness
from simulator.sensitivity import FIGURES, Input, figures, inputs, sobol, swing, tornado

FIXED: dict[str, Any] = {
    "model": {"num_hidden_layers": 24, "hidden_size": 2048, "num_attention_heads": 16},
    "training": {"tokens": "20B", "seq_length": 2048, "global_batch_size": 128},
    "hardware": {"accelerator": "a100-sxm-80gb", "n_gpus": 8, "price": {"provider": "crusoe"}},
}
OPEN: dict[str, Any] = {
    "find": "architecture",
    "hardware": {"accelerator": "h100-sxm-80gb", "n_gpus": 16, "price": "$2.50/GPU-h"},
    "budget": {"time": "2 days"},
    "training": {"seq_length": 2048},
}


@pytest.fixture(scope="module")
def fixed() -> Result:
    return sim.run(FIXED)


@pytest.fixture(scope="module")
def open_() -> Result:
    return sim.run(OPEN)


def row(found: dict[str, Any], name: str) -> dict[str, Any]:
    return next(one for one in found["rows"] if one["name"].startswith(name))


def test_base_is_the_answer(fixed: Result, open_: Result) -> None:
    for result in (fixed, open_):
        base = result.sensitivity()["base"]
        for name in FIGURES:
            assert base[name] == pytest.approx(result.answer[name], rel=1e-12), name


def test_ends_equal_a_run_with_that_input(fixed: Result) -> None:
    found = fixed.sensitivity()
    assert found["figure"] == "cost_usd"
    price, goodput, step = (row(found, name) for name in ("price", "goodput", "step time"))
    dear = sim.run({**FIXED, "hardware": {**FIXED["hardware"], "price": f"${price['high']}/GPU-h"}})
    assert price["cost_usd"][1] == pytest.approx(dear.answer["cost_usd"], rel=1e-9)
    assert price["time_to_train_days"][1] == pytest.approx(fixed.answer["time_to_train_days"])
    slow = sim.run({**FIXED, "goodput": goodput["low"]})
    assert goodput["time_to_train_days"][0] == pytest.approx(slow.answer["time_to_train_days"], rel=1e-9)
    assert step["cost_usd"] == pytest.approx(fixed.answer["interval"]["cost_usd"], rel=1e-9)


def test_with_a_budget_tokens_and_loss_move_in_place_of_cost(open_: Result) -> None:
    found = open_.sensitivity()
    step = row(found, "step time")
    assert found["figure"] == "loss"
    assert step["tokens"][0] > open_.answer["tokens"] > step["tokens"][1]
    assert step["loss"][0] < open_.answer["loss"] < step["loss"][1]
    assert step["cost_usd"][0] == pytest.approx(open_.answer["cost_usd"])
    law = row(found, "law of loss")
    assert law["loss"] == pytest.approx(
        [open_.answer["loss"] * (1 - LAW_ERROR), open_.answer["loss"] * (1 + LAW_ERROR)]
    )


def test_rows_are_ordered_by_what_they_move(fixed: Result, open_: Result) -> None:
    for result in (fixed, open_):
        found = result.sensitivity()
        sizes = [swing(one, found["base"], found["figure"]) for one in found["rows"]]
        assert sizes == sorted(sizes, reverse=True)
        assert found["most"][found["figure"]] == found["rows"][0]["name"]
        assert found["most"]["step_time_s"] != "price"


def test_inputs_carry_their_own_ranges(fixed: Result) -> None:
    assert fixed.basis is not None
    known = inputs(fixed.basis, fixed.scenario)
    names = [one.name for one in known]
    assert len(names) == len(set(names))
    for one in known:
        assert one.low <= one.value <= one.high, one.name
        assert one.source, one.name
    assert any(name.startswith("tile_efficiency_16") for name in names)
    assert any(name.startswith("network_efficiency") for name in names)
    assert {"alpha (Besiroglu2024)", "E (Besiroglu2024)"} <= set(names)


def test_what_a_user_wrote_is_known() -> None:
    stated = sim.run({**FIXED, "goodput": 0.9, "hardware": {**FIXED["hardware"], "price": "$3/GPU-h"}})
    assert stated.basis is not None
    names = {one.name for one in inputs(stated.basis, stated.scenario)}
    assert not names & {"price", "goodput"}


def test_a_law_of_standard_errors(open_: Result) -> None:
    alpha = row(open_.sensitivity(), "alpha (Besiroglu2024)")
    assert alpha["high"] - alpha["value"] == pytest.approx(1.2816 * 0.015, rel=1e-3)


def test_quantiles_of_an_input() -> None:
    one = Input("x", 1.0, 2.0, 4.0, "test", lambda case, value: case)
    assert one.quantile(np.array([0.1, 0.5, 0.9])) == pytest.approx([1.0, 2.0, 4.0])
    assert one.quantile(np.array([1e-12, 1 - 1e-12])) == pytest.approx(
        [0.5, 8.0]
    )  # twice the range, as ratios
    signed = Input("x", -1.0, 0.0, 2.0, "test", lambda case, value: case)
    assert signed.quantile(np.array([1e-12, 1 - 1e-12])) == pytest.approx([-2.0, 4.0])


def test_sobol_of_a_product(fixed: Result) -> None:
    """Cost is a product of independent factors: first-order indices of two of them are known in closed form."""
    assert fixed.basis is not None
    found = fixed.sobol(names=("price", "step time"), n=1024)
    known = {one.name: one for one in inputs(fixed.basis, fixed.scenario)}
    share = (np.arange(20_000) + 0.5) / 20_000
    spread = {
        n: np.var(known[n].quantile(share)) / np.mean(known[n].quantile(share)) ** 2
        for n in ("price", "step time")
    }
    total = (1 + spread["price"]) * (1 + spread["step time"]) - 1
    for one in found["rows"]:
        assert one["first_order"] == pytest.approx(spread[one["name"]] / total, abs=0.04)
        assert one["total_order"] >= one["first_order"] - 0.04
    assert found["rows"][0]["name"] == "price"


def test_sobol_takes_what_moves_the_figure(open_: Result) -> None:
    found = open_.sobol(figure="tokens", most=3, n=32)
    assert found["rows"][0]["name"] == "step time"
    assert len(found["rows"]) == 3
    with pytest.raises(SimulatorError, match="no figure named"):
        open_.sobol(figure="color")
    with pytest.raises(SimulatorError, match="no input"):
        sobol(open_.basis, open_.scenario, figure="time_to_train_days")


def test_without_a_plan_nothing_moves() -> None:
    nothing = sim.run({**OPEN, "budget": {"time": "2 days", "max_gpus": 8}})
    assert not nothing.answer
    with pytest.raises(InfeasibleError, match="nothing runs"):
        nothing.sensitivity()


def test_growth_adds_kappa() -> None:
    grown = sim.run("quickstart")
    found = grown.sensitivity()
    low, high = row(found, "kappa")["loss"]
    assert low > grown.answer["loss"] > high
    for name in FIGURES:
        assert found["base"][name] == pytest.approx(grown.answer[name], rel=1e-12), name
    share = grown.sobol(names=("kappa (growth)", "step time"), n=64)["rows"]
    assert share[0]["name"] == "kappa (growth)"


def test_page_names_the_plan_that_is_held(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "quickstart", "--sensitivity"]) == 0
    page = capsys.readouterr().out
    assert "Held: the plan that grows " in page
    assert main(["run", "quickstart", "--sensitivity", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["held"].startswith("the plan that grows ")
    assert main(["run", "llama-2-7b-a100", "--sensitivity"]) == 0
    assert "Held: the plan of 6.74B parameters." in capsys.readouterr().out


def test_page_json_and_csv(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "llama-2-7b-a100", "--sensitivity"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("What moves the answer, by cost")
    assert max(len(line) for line in text.splitlines()) <= 120
    assert main(["run", "llama-2-7b-a100", "--sensitivity", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert main(["run", "llama-2-7b-a100", "--sensitivity", "--csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [one["name"] for one in rows] == [one["name"] for one in document["rows"]]
    assert float(rows[0]["cost_usd_high"]) == document["rows"][0]["cost_usd"][1]
    assert main(["run", "llama-2-7b-a100", "--sensitivity", "--explain", "loss"]) == 2


# --- robustness -----------------------------------------------------------------------------------------------------


def test_alone_or_equal_it_is_the_best(fixed: Result) -> None:
    basis = fixed.basis
    assert basis is not None
    assert robustness(replace(basis, others=())) == {}
    same = robustness(replace(basis, others=(basis.plan,)))
    assert (same["probability_best"], same["regret"]) == (1.0, 0.0)


def test_probability_against_one_other_is_the_closed_form(fixed: Result) -> None:
    """Two layouts on one machine: the difference of their logarithms is normal where the interval is symmetric."""
    from scipy.stats import norm

    from simulator.search import robust

    basis = fixed.basis
    assert basis is not None
    other = replace(basis.plan, layout=basis.plan.layout.with_(tp=2.0, dp=4.0))
    columns = {**other.columns, "cost_usd": 1.1 * basis.plan.columns["cost_usd"]}
    pair = replace(basis, others=(replace(other, columns=columns),))
    width = 0.15
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(robust, "OWN_SPREAD", 1.0)
        patch.setattr(robust, "step_factors", lambda *_: (np.exp(-width), np.exp(width)))
        for share in (0.2, 0.8):
            sigma = np.sqrt(2 * share) * width / robust.P90
            expected = norm.cdf(np.log(1.1) / sigma)
            found = robustness(pair, own_share=share, draws=20_000)
            assert found["probability_best"] == pytest.approx(expected, abs=0.015)
        assert robustness(pair, own_share=0.0)["probability_best"] == 1.0


def test_a_shared_error_of_the_machine_turns_no_layouts_around(open_: Result) -> None:
    assert open_.basis is not None
    unsure = open_.family["robustness"]
    assert 0 < unsure["probability_best"] < 1
    assert unsure["figure"] == "loss"
    assert 0 < unsure["regret"] < 0.05
    assert unsure["text"] in open_.family["text"]
    assert unsure == robustness(open_.basis, own_share=OWN_SHARE)
    sure = robustness(open_.basis, own_share=0.0)
    assert sure["probability_best"] >= unsure["probability_best"]


def test_figures_of_an_unchanged_case(open_: Result) -> None:
    from simulator.sensitivity import Case

    basis = open_.basis
    assert basis is not None
    case = Case(basis.question, basis.question.machines[basis.plan.machine])
    assert figures(basis, case)["loss"] == pytest.approx(open_.answer["loss"], rel=1e-12)
    assert tornado(basis, open_.scenario) == open_.sensitivity()


@pytest.mark.parametrize("name", ["growth", "quickstart"])
def test_a_scale_whose_range_is_wider_than_itself_stays_positive(name: str) -> None:
    """Besiroglu's B is 428 to 3742 about 2085: drawn on a line it went below zero, and growth has no loss there."""
    result = sim.run(name)
    assert result.basis is not None
    for one in inputs(result.basis, result.scenario):
        drawn = one.quantile(np.linspace(0.001, 0.999, 41))
        assert np.all(np.diff(drawn) >= 0)
        assert one.quantile(0.1) == pytest.approx(one.low, rel=1e-6)
        assert one.quantile(0.9) == pytest.approx(one.high, rel=1e-6)
        assert one.low <= 0 or np.all(drawn > 0)
    assert sobol(result.basis, result.scenario, n=64)
