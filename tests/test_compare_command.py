"""``trainsim compare``: ranked, marked, and with the reason why each lost."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

import simulator as sim
from simulator.cli import main
from simulator.errors import SpecError, UnknownNameError
from simulator.report import comparison

QUESTION = """\
name: small run
model: {num_hidden_layers: 24, hidden_size: 2048, num_attention_heads: 16}
training: {tokens: 20B, seq_length: 2048, global_batch_size: 128}
hardware: {accelerator: a100-sxm-80gb, n_gpus: 8, price: {provider: crusoe}}
"""


@pytest.fixture
def question(tmp_path: Path) -> str:
    path = tmp_path / "question.yaml"
    path.write_text(QUESTION)
    return str(path)


def rows(capsys: pytest.CaptureFixture[str], *arguments: str) -> list[dict[str, Any]]:
    assert main(["compare", *arguments, "--json"]) == 0
    found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)["rows"]
    return found


def test_ranked_by_cost_with_numbers_from_the_option(
    question: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found = rows(capsys, question, "--hardware", "h100-sxm-80gb:16,a100-sxm-80gb")
    assert [row["rank"] for row in found] == [1, 2]
    assert {row["accelerator"]: row["n_gpus"] for row in found} == {"h100-sxm-80gb": 16, "a100-sxm-80gb": 8}
    assert found[0]["cost_usd"] <= found[1]["cost_usd"]
    assert found[1]["why"]
    for row in found:
        low, high = row["interval"]["time_to_train_days"]
        assert low < row["time_to_train_days"] < high


def test_pareto_marks_are_what_they_say(question: str, capsys: pytest.CaptureFixture[str]) -> None:
    found = rows(
        capsys, question, "--hardware", "h100-sxm-80gb:16,a100-sxm-80gb:8,b200-sxm-180gb:8,v100-sxm2-32gb:8"
    )
    running = [row for row in found if row["feasible"]]
    assert len(running) >= 3
    for row in running:
        beaten = any(
            other["cost_usd"] <= row["cost_usd"]
            and other["time_to_train_days"] <= row["time_to_train_days"]
            and other["loss"] <= row["loss"]
            and (other["cost_usd"], other["time_to_train_days"])
            != (row["cost_usd"], row["time_to_train_days"])
            for other in running
        )
        assert row["pareto"] is not beaten


def test_the_provider_of_the_scenario_is_kept_where_it_sells(
    question: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found = rows(capsys, question, "--hardware", "h100-sxm-80gb,rtx-4090-24gb")
    providers = {row["accelerator"]: row["provider"] for row in found}
    assert providers["h100-sxm-80gb"] == "Crusoe"
    assert providers["rtx-4090-24gb"] not in ("", "Crusoe")


def test_every_provider_that_sells(question: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--hardware", "h100-sxm-80gb,mi300x-oam-192gb", "--providers", "crusoe,lambda"]
    assert main(["compare", question, *arguments, "--json"]) == 0
    streams = capsys.readouterr()
    found = json.loads(streams.out)["rows"]
    assert {(row["accelerator"], row["provider"]) for row in found} == {
        ("h100-sxm-80gb", "Crusoe"),
        ("h100-sxm-80gb", "Lambda"),
        ("mi300x-oam-192gb", "Crusoe"),
    }
    assert "Lambda asks no on demand price for mi300x-oam-192gb" in streams.err
    h100 = {row["provider"]: row for row in found if row["accelerator"] == "h100-sxm-80gb"}
    ratio = h100["Crusoe"]["usd_per_gpu_hour"] / h100["Lambda"]["usd_per_gpu_hour"]
    assert h100["Crusoe"]["cost_usd"] / h100["Lambda"]["cost_usd"] == pytest.approx(ratio)


def test_what_does_not_run_comes_last_with_its_reason(
    question: str, capsys: pytest.CaptureFixture[str]
) -> None:
    changed = ["--set", "model=llama-2-70b"]
    found = rows(capsys, question, "--hardware", "rtx-4090-24gb:1,h100-sxm-80gb:64", *changed)
    assert [row["feasible"] for row in found] == [True, False]
    assert "GiB" in found[1]["why"]


def test_page(question: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", question, "--hardware", "h100-sxm-80gb:16,a100-sxm-80gb:8,v100-sxm2-32gb:8"]) == 0
    page = capsys.readouterr().out
    assert "\x1b" not in page
    assert max(map(len, page.splitlines())) <= 100
    lines = page.splitlines()
    assert lines[0] == "small run"
    assert lines[2].startswith("Cheapest")
    for title in ("Assumed", "Not included", "Sources"):
        assert title in lines
    assert any(line.startswith("1*") for line in lines)


def test_csv(question: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", question, "--hardware", "h100-sxm-80gb,a100-sxm-80gb", "--csv"]) == 0
    found = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["rank"] for row in found] == ["1", "2"]
    assert float(found[0]["cost_usd_p10"]) < float(found[0]["cost_usd"])


def test_without_the_option_the_hardware_of_the_scenario(capsys: pytest.CaptureFixture[str]) -> None:
    assert len(rows(capsys, "compare-hardware")) == 5


def test_values_vary_beside_hardware(question: str, capsys: pytest.CaptureFixture[str]) -> None:
    varied = ["--vary", "training.tokens=10B,20B", "--vary", "hardware.n_gpus=8,16"]
    found = rows(capsys, question, "--hardware", "h100-sxm-80gb,a100-sxm-80gb", *varied)
    assert len(found) == 8
    assert {(row["accelerator"], row["vary"]["training.tokens"], row["n_gpus"]) for row in found} == {
        (name, tokens, n)
        for name in ("h100-sxm-80gb", "a100-sxm-80gb")
        for tokens in ("10B", "20B")
        for n in (8, 16)
    }
    by_tokens = {row["vary"]["training.tokens"]: row["loss"] for row in found}
    assert by_tokens["20B"] < by_tokens["10B"]
    assert [row["loss"] for row in found] == sorted(row["loss"] for row in found)


COLUMNS = (
    "rank accelerator n_gpus vary.training.tokens provider terms region price_date usd_per_gpu_hour "
    "time_to_train_days time_to_train_days_p10 cost_usd cost_usd_p90 tokens loss loss_p10 memory_gib tp pp dp "
    "micro_batch_size recompute energy_mwh co2e_t pareto why mfu"
).split()


def test_every_column_in_csv_json_and_the_terminal(question: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [question, "--vary", "training.tokens=10B,20B"]
    assert main(["compare", *arguments, "--csv"]) == 0
    table = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert set(COLUMNS) <= set(table[0])
    found = rows(capsys, *arguments)
    assert [row["rank"] for row in found] == [1, 2]
    assert found[0]["interval"]["cost_usd"][0] == pytest.approx(float(table[0]["cost_usd_p10"]))
    assert (found[0]["provider"], found[0]["terms"]) == ("Crusoe", "on_demand")
    assert found[0]["price_date"].startswith("20")
    assert main(["compare", *arguments]) == 0
    page = capsys.readouterr().out
    heads = next(line for line in page.splitlines() if "memory GiB" in line)
    assert {"training.tokens", "time", "cost", "tokens", "loss"} <= set(heads.split())
    assert "Crusoe, on demand, 20" in page
    assert "micro-batch" in page
    assert page.count("loss +") == 1


def test_carbon_of_the_same_grid_for_all(question: str, capsys: pytest.CaptureFixture[str]) -> None:
    grid = ["--set", "hardware.grid_intensity=400 g/kWh"]
    found = rows(capsys, question, "--hardware", "h100-sxm-80gb,a100-sxm-80gb", *grid)
    for row in found:
        assert row["co2e_t"] == pytest.approx(0.4 * row["energy_mwh"], rel=1e-6)
    assert main(["compare", question, "--hardware", "h100-sxm-80gb", *grid]) == 0
    assert "kg CO2e" in capsys.readouterr().out


def test_wide_grids_stay_on_the_page(question: str, capsys: pytest.CaptureFixture[str]) -> None:
    varied = ["--vary", "training.tokens=10B,20B", "--vary", "training.seq_length=2048,4096"]
    varied += ["--vary", "training.global_batch_size=64,128", "--vary", "training.optimizer=adamw,sgd"]
    assert main(["compare", question, "--hardware", "h100-sxm-80gb", *varied]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 100
    assert sum(line.strip().startswith("first") for line in lines) == 1


def test_values_that_do_not_go_together_are_rows_with_their_reason(
    question: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found = rows(capsys, question, "--vary", "parallelism.tp=2,16", "--vary", "hardware.n_gpus=8,16")
    refused = [row for row in found if not row["feasible"]]
    assert [row["vary"] for row in refused] == [{"parallelism.tp": "16", "hardware.n_gpus": "8"}]
    assert "does not divide" in refused[0]["why"]
    assert refused[0]["rank"] == 4


@pytest.mark.parametrize(
    ("varied", "says"),
    [
        ("training.tokns=1B,2B", "tokens"),
        ("training.tokens=1B,many", "many"),
        ("training.tokens", "path=value"),
        ("training.tokens=1B,1B", "more than once"),
        ("training.seq_length=" + ",".join(str(n) for n in range(1, 300)), "trainsim sweep"),
    ],
)
def test_bad_values(question: str, varied: str, says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", question, "--vary", varied]) == 2
    streams = capsys.readouterr()
    assert streams.out == ""
    assert says in streams.err


def test_a_comparison_in_python() -> None:
    question = yaml.safe_load(QUESTION)
    found = sim.compare(question, vary={"hardware.n_gpus": [8, 16], "training.tokens": ["10B", "20B"]})
    assert len(found.rows) == len(found.results) == 4
    frame = found.frame
    assert {"vary.hardware.n_gpus", "cost_usd_p10", "provider", "label"} <= set(frame.columns)
    assert frame.label.is_unique
    assert "cost_usd =" in found.explain(1, "cost_usd")
    with pytest.raises(UnknownNameError):
        found.explain(9, "cost_usd")
    shown = found._repr_html_()
    assert shown.count("<tr>") == 5
    assert "why it lost" in shown
    assert repr(found).startswith("Comparison(")


def test_python_and_the_command_line_carry_the_same_provider_over(
    question: str, capsys: pytest.CaptureFixture[str]
) -> None:
    named = ["h100-sxm-80gb:16", "a100-sxm-80gb:8", "b200-sxm-180gb", "tpu-v5p:8"]
    told = rows(capsys, question, "--hardware", ",".join(named))
    assert told == sim.compare(question, named).to_dict()["rows"]
    bare = [{"accelerator": one.partition(":")[0], "n_gpus": 8} for one in named]
    providers = {row["accelerator"]: row["provider"] for row in sim.compare(question, bare).rows}
    assert [providers[one] == "Crusoe" for one in ("h100-sxm-80gb", "a100-sxm-80gb")] == [True, True]
    assert providers["tpu-v5p"] != "Crusoe"
    own = sim.compare(question, [{"accelerator": "h100-sxm-80gb", "price": "$2/GPU-h"}]).rows[0]
    assert own["usd_per_gpu_hour"] == 2.0


def test_a_name_that_is_no_count_is_not_taken_for_one(question: str) -> None:
    with pytest.raises(SpecError, match="8x8"):
        sim.compare(question, ["h100-sxm-80gb:8x8"])


def test_a_row_names_the_offer_that_it_took() -> None:
    asked = {
        **yaml.safe_load(QUESTION),
        "hardware": {
            "accelerator": "h100-sxm-80gb",
            "n_gpus": 8,
            "offers": [{"provider": "crusoe", "terms": terms} for terms in ("on_demand", "spot")],
        },
    }
    row = sim.compare(asked).rows[0]
    assert (row["provider"], row["terms"]) == ("Crusoe", "spot")
    asked["hardware"]["offers"].append({"buy": "$1000/GPU"})
    assert sim.compare(asked).rows[0]["terms"] == "purchase"
    asked["hardware"]["offers"].append("$0.01/GPU-h")
    assert sim.compare(asked).rows[0]["provider"] == "the scenario"


def test_nothing_runs_exits_with_1(question: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", question, "--hardware", "rtx-4090-24gb:1", "--set", "model=llama-2-70b"]) == 1
    assert "None of them runs this." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--hardware", "h10-sxm:8"], "h100"),
        (["--hardware", "h100-sxm-80gb:8x8"], "h100-sxm-80gb:64"),
        (["--hardware", "h100-sxm-80gb:0"], "no number"),
        (["--providers", "cruso"], "Crusoe"),
        (["--json", "--csv"], "together"),
    ],
)
def test_bad_options(
    question: str, arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", question, *arguments]) == 2
    streams = capsys.readouterr()
    assert streams.out == ""
    assert says in streams.err


def test_a_provider_that_sells_none_of_them(question: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", question, "--hardware", "rtx-4090-24gb", "--providers", "together"]) == 1
    assert "Together" in capsys.readouterr().err


def test_cheapest_and_fastest_are_named_apart() -> None:
    base = {"feasible": True, "n_gpus": 8, "provider": "", "interval": {}}
    slow = {**base, "accelerator": "slow", "cost_usd": 1.0, "time_to_train_days": 9.0}
    fast = {**base, "accelerator": "fast", "cost_usd": 2.0, "time_to_train_days": 1.0}
    text = comparison.headline([slow, fast])
    assert text.index("Cheapest: 8 x slow") < text.index("Fastest: 8 x fast")
    assert comparison.headline([slow]).startswith("Cheapest and fastest: 8 x slow")


def test_a_rent_that_the_scenario_states_holds_for_its_own_accelerator() -> None:
    """It was dropped as soon as hardware was named; other accelerators take list prices."""
    question = {
        "model": "llama-2-7b",
        "training": {"tokens": "10B"},
        "hardware": {"accelerator": "a100-sxm-80gb", "n_gpus": 16, "price": "$1.60/GPU-h"},
    }
    rows = sim.compare(question, ["a100-sxm-80gb:16", "a100-sxm-80gb:32", "h100-sxm-80gb:16"]).rows
    rents = {(row["accelerator"], row["n_gpus"]): row["usd_per_gpu_hour"] for row in rows}
    assert rents["a100-sxm-80gb", 16] == rents["a100-sxm-80gb", 32] == 1.60
    assert rents["h100-sxm-80gb", 16] > 1.60


def test_offers_of_the_scenario_hold_for_its_own_accelerator() -> None:
    alone = sim.compare("rent-spot-or-buy")
    named = sim.compare("rent-spot-or-buy", ["h100-sxm-80gb", "a100-sxm-80gb"])
    own = [row for row in named.rows if row["accelerator"] == "h100-sxm-80gb"]
    assert [row["cost_usd"] for row in own] == [row["cost_usd"] for row in alone.rows]


def test_a_row_without_a_price_takes_no_star_from_those_that_have_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It beat every priced row that was slower, its cost being left out of the comparison."""
    named = ["--hardware", "h100-sxm-80gb:64,mi300x:64,gaudi3:64"]
    found = {row["accelerator"]: row for row in rows(capsys, "llama-2-7b-a100", *named)}
    assert found["gaudi3-128gb"]["cost_usd"] is None
    assert found["gaudi3-128gb"]["time_to_train_days"] < found["h100-sxm-80gb"]["time_to_train_days"]
    assert [row["pareto"] for row in found.values()] == [True, True, True]
    assert main(["compare", "llama-2-7b-a100", *named]) == 0
    assert "a row without a price counted as the dearest" in " ".join(capsys.readouterr().out.split())


def test_a_slow_row_without_a_price_is_beaten() -> None:
    asked = {**yaml.safe_load(QUESTION), "hardware": {"accelerator": "h100-sxm-80gb", "n_gpus": 64}}
    found = {row["n_gpus"]: row for row in sim.compare(asked, ["h100-sxm-80gb", "gaudi3-128gb:8"]).rows}
    assert found[8]["cost_usd"] is None
    assert (found[64]["pareto"], found[8]["pareto"]) == (True, False)
    unpriced = sim.compare(asked, ["gaudi3-128gb:8", "gaudi3-128gb:64"]).rows
    assert {row["n_gpus"]: row["pareto"] for row in unpriced} == {8: False, 64: True}


def test_of_equal_times_the_row_with_a_price_is_named() -> None:
    base = {"feasible": True, "n_gpus": 8, "provider": "", "interval": {}, "time_to_train_days": 1.0}
    free = {**base, "accelerator": "unpriced", "cost_usd": None}
    paid = {**base, "accelerator": "priced", "cost_usd": 2.0}
    slower = {**free, "accelerator": "slower", "time_to_train_days": 2.0}
    assert "Cheapest and fastest: 8 x priced" in comparison.headline([free, paid, slower])


def test_of_rows_that_take_equally_long_none_is_the_fastest() -> None:
    base = {"feasible": True, "n_gpus": 8, "provider": "", "interval": {}, "time_to_train_days": 10.0}
    rows = [{**base, "accelerator": name, "cost_usd": cost} for name, cost in (("cheap", 1.0), ("dear", 2.0))]
    assert comparison.headline(rows) == "Cheapest: 8 x cheap."


def test_energy_and_carbon_are_shown_in_the_unit_of_their_size() -> None:
    rows = [{"energy_mwh": 16.6e-6, "co2e_t": 4e-6}, {"energy_mwh": 0.9e-6, "co2e_t": None}]
    shown = {
        head: [cell(row) for row in rows]
        for head, _, cell in comparison.columns(rows)
        if "W" in head or "CO2e" in head
    }
    assert shown == {"Wh": ["16.6", "0.900"], "g CO2e": ["4.00", "-"]}


def test_losses_of_different_laws_are_neither_ranked_nor_starred(
    question: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """docs/scaling.md: losses of two laws belong to different corpora and tokenizers."""
    arguments = [question, "--hardware", "h100-sxm-80gb,a100-sxm-80gb"]
    arguments += ["--vary", "law=Hoffmann2022,Besiroglu2024"]
    found = rows(capsys, *arguments)
    assert [row["loss_law"] for row in found] == [*2 * ["Hoffmann2022"], *2 * ["Besiroglu2024"]]
    alone = rows(capsys, question, "--hardware", "h100-sxm-80gb,a100-sxm-80gb")
    assert [row["pareto"] for row in found] == 2 * [row["pareto"] for row in alone]
    assert not any("loss" in row["why"] for row in found if row["loss_law"] == found[0]["loss_law"])
    assert found[0]["why"] == found[2]["why"] == "first of its law"
    assert main(["compare", *arguments]) == 0
    page = " ".join(capsys.readouterr().out.split())
    assert "Lowest loss" not in page
    assert (
        "* no other row of the same law is better in loss, time and cost at once; losses of different laws"
        in page
    )


def test_an_option_that_is_given_twice_names_both(question: str, capsys: pytest.CaptureFixture[str]) -> None:
    twice = ["--hardware", "h100-sxm-80gb", "--hardware", "a100-sxm-80gb"]
    assert {row["accelerator"] for row in rows(capsys, question, *twice)} == {
        "h100-sxm-80gb",
        "a100-sxm-80gb",
    }
    sold = ["--hardware", "h100-sxm-80gb", "--providers", "crusoe", "--providers", "lambda"]
    assert {row["provider"] for row in rows(capsys, question, *sold)} == {"Crusoe", "Lambda"}


def test_a_notebook_says_what_a_star_means_as_the_page_does() -> None:
    asked = yaml.safe_load(QUESTION)
    found = sim.compare(asked, ["a100-sxm-80gb", "rubin-sxm-288gb"])
    assert any(row["cost_usd"] is None for row in found.rows)
    assert f"* {comparison.starred(found.rows)}." in found._repr_html_()
    assert "counted as the dearest" in found._repr_html_()
