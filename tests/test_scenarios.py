"""Every shipped scenario runs, is a lesson, and teaches what its comment says."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import pytest
import yaml

from simulator import simulate
from simulator.cli import main
from simulator.report import nomenclature, terminal
from simulator.result import Result

FOLDER = Path(__file__).resolve().parent.parent / "scenarios"
NAMES = sorted(path.stem for path in FOLDER.glob("*.yaml"))
INFEASIBLE = {"does-not-fit", "not-enough-money"}
NOTHING = {"not-enough-money"}
"""Scenarios without even a plan that comes closest."""
ANSWERED = [name for name in NAMES if name not in NOTHING]


@functools.cache
def answered(name: str) -> Result:
    return simulate.run(FOLDER / f"{name}.yaml")


def without(name: str, *keys: str) -> Result:
    """The scenario with some fields removed."""
    data: dict[str, Any] = yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))
    for key in keys:
        *path, last = key.split(".")
        place = data
        for part in path:
            place = place[part]
        del place[last]
    return simulate.run(data)


def test_the_questions_that_must_be_there() -> None:
    wanted = (
        "quickstart llama-2-7b-a100 gpt-3-175b rtx-4090-one-day compare-hardware data-limited inference-heavy growth "
        "mixture-of-experts does-not-fit datasheet-accelerator"
    ).split()
    assert set(wanted) <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_is_a_short_commented_lesson(name: str) -> None:
    lines = (FOLDER / f"{name}.yaml").read_text(encoding="utf-8").splitlines()
    assert lines[0] == "# yaml-language-server: $schema=../schemas/scenario.json"
    assert 3 <= sum(line.startswith("#") for line in lines) <= 12
    assert len(lines) <= 45
    data = yaml.safe_load("\n".join(lines))
    assert data["name"]
    assert data["description"]


@pytest.mark.parametrize("name", NAMES)
def test_runs_from_the_command_line(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(FOLDER / f"{name}.yaml")]) == (1 if name in INFEASIBLE else 0)
    streams = capsys.readouterr()
    assert streams.err == ""
    lines = streams.out.splitlines()
    assert max(map(len, lines)) <= 100
    assert "None" not in streams.out
    assert "nan" not in streams.out.split()
    assert lines[0] == answered(name).scenario["name"]


@pytest.mark.parametrize("name", ANSWERED)
def test_figures_are_consistent(name: str) -> None:
    answer = answered(name).to_dict()["answer"]
    assert sum(answer["breakdown"].values()) == pytest.approx(answer["step_time_s"], rel=1e-6)
    assert sum(answer["memory"].values()) == pytest.approx(answer["memory_gib"], rel=1e-6)
    assert answer["tp"] * answer["pp"] * answer["dp"] * answer["cp"] == answer["n_gpus"]
    batch = answer["micro_batch_size"] * answer["num_microbatches"] * answer["dp"]
    assert batch == pytest.approx(answer["global_batch_size"])
    assert answer["gpu_hours"] == pytest.approx(
        24 * answer["time_to_train_days"] * answer["n_gpus"], rel=1e-6
    )
    assert answer["cost_usd"] == pytest.approx(answer["gpu_hours"] * answer["usd_per_gpu_hour"], rel=1e-6)
    assert 0.02 < answer["mfu"] < 1
    assert answer["mfu"] <= answer["hfu"] + 1e-12
    for figure, bounds in answer["interval"].items():
        low, high = bounds
        assert low <= answer[figure] * (1 + 1e-9), figure
        assert high >= answer[figure] * (1 - 1e-9), figure


@pytest.mark.parametrize("name", NAMES)
def test_every_figure_is_in_the_nomenclature(name: str) -> None:
    document = answered(name).to_dict()
    assert set(document) <= set(nomenclature.SECTIONS)
    for record in (document["answer"], *document["alternatives"]):
        assert set(record) <= set(nomenclature.RESULT)
    for stage in document.get("stages", []):
        assert set(stage) <= set(nomenclature.RESULT) | set(nomenclature.STAGE)


@pytest.mark.parametrize("name", ANSWERED)
def test_every_answer_says_what_it_assumes_leaves_out_and_rests_on(name: str) -> None:
    result = answered(name)
    assert result.assumptions
    assert result.excluded
    assert {"accelerator", "price"} <= {source["what"].split()[0] for source in result.sources}
    assert result.answer["evidence"]["grade"] in ("measured", "transferred", "datasheet")


def test_gpt_3_as_narayanan_published_it() -> None:
    """34 days, 140 TFLOP/s with recomputation counted (arXiv:2104.04473); the interval holds both."""
    answer = answered("gpt-3-175b").answer
    low, high = answer["interval"]["time_to_train_days"]
    assert low < 34 < high
    assert answer["time_to_train_days"] == pytest.approx(34, rel=0.15)
    assert answer["hfu"] * answer["peak_tflops"] == pytest.approx(140, rel=0.15)


def test_llama_2_as_meta_published_it() -> None:
    """184,320 hours with everything that went wrong on the way (arXiv:2307.09288); a clean run needs less."""
    hours = answered("llama-2-7b-a100").answer["gpu_hours"]
    assert 0.55 * 184_320 < hours < 1.05 * 184_320


def test_one_day_on_a_card_the_best_model_is_not_the_largest() -> None:
    answer = answered("rtx-4090-one-day").answer
    assert answer["time_to_train_days"] == pytest.approx(1)
    assert 5e7 < answer["params"] < 1.5e9
    assert answer["memory_verdict"] != "DOES NOT FIT"
    assert answer["tokens_per_param"] > 5


def test_hardware_is_ranked_and_each_loser_says_why() -> None:
    result = answered("compare-hardware")
    others = [row for row in result.alternatives if row["kind"] == "hardware"]
    assert len(others) == 4
    assert len({result.answer["accelerator"], *(row["accelerator"] for row in others)}) == 5
    assert result.answer["cost_usd"] == min(row["cost_usd"] for row in (result.answer, *others))
    assert all(row["why"] for row in others)


def test_scarce_data_make_the_model_smaller_and_the_loss_higher() -> None:
    scarce, endless = (
        answered("data-limited").answer,
        without("data-limited", "training.unique_tokens").answer,
    )
    assert scarce["epochs"] > 4
    assert scarce["loss"] > endless["loss"]
    assert scarce["params"] < endless["params"]


def test_serving_makes_the_model_smaller() -> None:
    serving, training = answered("inference-heavy").answer, without("inference-heavy", "inference").answer
    assert serving["params"] < 0.5 * training["params"]
    assert serving["lifetime_cost_usd"] <= 150_000 * (1 + 1e-9)
    assert serving["tokens_per_param"] > training["tokens_per_param"]


def test_growth_stands_beside_scratch_for_every_kappa() -> None:
    growth = answered("growth").growth
    assert set(growth["cases"]) == {"pessimistic", "central", "optimistic"}
    losses = [growth["cases"][name]["loss"] for name in ("optimistic", "central", "pessimistic")]
    assert losses == sorted(losses)
    for case in growth["cases"].values():
        assert case["pays"] == (case["saving"] > 0.01 or case["loss_gain"] > 0)


def test_a_mixture_computes_little_and_holds_much() -> None:
    answer = answered("mixture-of-experts").answer
    assert answer["params"] == pytest.approx(46.7e9, rel=0.01)
    assert answer["active_params"] == pytest.approx(12.9e9, rel=0.02)


def test_what_does_not_fit_says_by_how_much_and_what_would() -> None:
    result = answered("does-not-fit")
    assert not result.feasible
    assert result.infeasible["needed"] > result.infeasible["available"]
    assert result.answer["memory_verdict"] == "DOES NOT FIT"
    assert "pp 1 -> 2" in result.infeasible["smallest_change"]


def test_a_datasheet_is_worth_less_than_a_measurement() -> None:
    result = answered("datasheet-accelerator")
    assert result.answer["evidence"]["grade"] == "datasheet"
    assert "datasheet" in terminal.page(result.to_dict())
    known = simulate.run(FOLDER / "datasheet-accelerator.yaml", set=["hardware.accelerator=h100-sxm-80gb"])
    assert known.answer["evidence"]["grade"] == "measured"

    def width(answer: dict[str, Any]) -> float:
        low, high = answer["interval"]["step_time_s"]
        return float(high / low)

    assert width(result.answer) > width(known.answer)


# --- what was asked for ---------------------------------------------------------------------------------------------


def test_the_cheapest_run_ends_at_the_loss_and_certainty_costs_more() -> None:
    result = answered("cheapest-to-a-loss")
    assert result.answer["loss"] == pytest.approx(2.2, abs=1e-6)
    assert result.binding["constraint"] == "loss"
    assert result.binding["shadow_prices"]["loss"]["difference"] > 0
    reached = result.requirements["loss"]
    assert reached["interval"][0] < 2.2 < reached["interval"][1]
    assert reached["certain"]["times"] > 1
    assert all(row["cost_usd"] >= result.answer["cost_usd"] * (1 - 1e-9) for row in result.alternatives)
    near = result.family
    assert near["shapes"] > 10
    assert near["ranges"]["params"][0] <= result.answer["params"] <= near["ranges"]["params"][1]
    assert "to" in near["text"]


def test_along_the_front_every_dollar_lowers_the_loss() -> None:
    rows = answered("pareto-front").frontier
    assert len(rows) > 5
    costs, losses = [row["cost_usd"] for row in rows], [row["loss"] for row in rows]
    assert costs == sorted(costs)
    assert losses == sorted(losses, reverse=True)
    assert [row["mark"] for row in rows if row["mark"]] == ["least cost", "knee", "least loss"]
    alone = simulate.run(FOLDER / "pareto-front.yaml", set=["objective=loss"])
    assert rows[-1]["loss"] == pytest.approx(alone.answer["loss"], rel=1e-9)


def test_spot_says_when_it_stops_paying_and_a_purchase_from_when_on() -> None:
    result = answered("rent-spot-or-buy")
    offers = {row["kind"]: row for row in result.offers}
    assert offers["spot"]["known_interruption_h"] is None
    assert offers["spot"]["pays"] is None
    assert offers["spot"]["break_even_interruption_h"] > 0
    assert 0 < offers["buy"]["break_even_utilisation"] < 1
    assert {row["offer"].split(",")[0] for row in (result.answer, *result.alternatives)} >= {"Crusoe"}


def test_one_step_fewer_misses_the_deadline() -> None:
    result = answered("fewest-gpus")
    assert result.answer["time_to_train_days"] <= 21
    fewer = simulate.run(FOLDER / "fewest-gpus.yaml", set=[f"hardware.n_gpus={result.answer['n_gpus'] // 2}"])
    assert not fewer.feasible
    assert fewer.infeasible["reason"] in ("time", "n_gpus")
    told = result.fewest_gpus
    assert told["n_gpus"] == result.answer["n_gpus"] == 2 * told["one_fewer"]["n_gpus"]
    assert f"{told['one_fewer']['late_days']:.3g} too many" in told["text"]


def test_fewer_that_only_the_written_batch_forbids_are_named() -> None:
    asked = ["budget.time=14 days", "parallelism.pp=1"]
    result = simulate.run(FOLDER / "fewest-gpus.yaml", set=asked)
    other = result.fewest_gpus["other_batch"]
    assert (result.answer["n_gpus"], other["n_gpus"], other["global_batch_size"]) == (32, 24, 1008)
    assert "24 would do with a batch of 1,008 sequences" in result.fewest_gpus["text"]
    changed = [*asked, "training.global_batch_size=1008"]
    again = simulate.run(FOLDER / "fewest-gpus.yaml", set=changed)
    assert again.answer["n_gpus"] == 24
    assert again.answer["time_to_train_days"] == pytest.approx(other["time_to_train_days"])
    assert again.fewest_gpus["other_batch"] is None


def test_a_rate_of_interruptions_is_that_of_the_spot_machine_alone() -> None:
    result = simulate.run(FOLDER / "rent-spot-or-buy.yaml", set=["reliability.node_interruption=1 h"])
    assert result.answer["offer"].startswith("bought")
    assert result.answer["cost_usd"] == pytest.approx(14_100, rel=0.05)
    (row,) = [row for row in result.offers if row["kind"] == "spot"]
    assert row["pays"] is False


def test_a_cleaner_grid_buys_a_lower_loss() -> None:
    result = answered("carbon-budget")
    assert result.answer["co2e_t"] == pytest.approx(10)
    assert result.binding["constraint"] == "carbon"
    dirty = next(row for row in result.alternatives if row["kind"] == "hardware")
    assert dirty["loss"] > result.answer["loss"]
    assert "grid of 380" in dirty["why"]


def test_when_nothing_is_found_each_change_that_is_named_works() -> None:
    result = answered("not-enough-money")
    ways = {change["reason"]: change["needed"] for change in result.infeasible["would_work"]}
    assert set(ways) == {"loss", "money"}
    path = FOLDER / "not-enough-money.yaml"
    assert simulate.run(path, set=[f"budget.cost=${ways['money'] * 1.001:.0f}"]).feasible
    assert simulate.run(path, set=[f"require.loss={ways['loss']}"]).feasible
    assert not simulate.run(path, set=[f"budget.cost=${ways['money'] * 0.97:.0f}"]).feasible


def test_blooms_goodput_follows_from_its_failures() -> None:
    told = answered("failures").interruptions
    assert told["source"] == "modelled"
    assert told["job_mtbf_h"] == pytest.approx(7 * 24 / 1.5, rel=0.01)
    assert told["checkpoint_interval_s"] == 3 * 3600
    assert 0.95 < told["value"] < 0.99
    days = answered("failures").answer["interval"]["time_to_train_days"]
    # 1,082,990 hours on 384 accelerators (arXiv:2211.05100), with everything that went wrong beyond failures of machines.
    assert days[0] < 1_082_990 / 384 / 24


def test_a_quick_answer_needs_a_small_model() -> None:
    result = answered("serve-fast")
    assert result.answer["latency_s"] <= 0.004
    assert without("serve-fast", "inference").answer["params"] > 2 * result.answer["params"]
