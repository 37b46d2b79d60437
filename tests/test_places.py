"""What hardware that is compared takes over from the scenario's own, and what a cluster supplies."""

from __future__ import annotations

from typing import Any

import pytest

import simulator as sim
from simulator.errors import SpecError
from simulator.schema.places import told

CLUSTER = {
    "name": "our racks",
    "nic_bandwidth": "100 Gb/s",
    "nics_per_node": 4,
    "oversubscription": 2,
    "collective_bandwidth": "20 GB/s",
    "host_power": "3 kW",
    "pue": 1.4,
    "grid_intensity": "50 g/kWh",
    "source": "our own",
    "retrieved": "2026-11-21",
}
FIGURES = ("time_to_train_days", "cost_usd", "energy_mwh", "co2e_t", "n_gpus", "usd_per_gpu_hour")


def question(**hardware: Any) -> dict[str, Any]:
    return {
        "model": "llama-2-7b",
        "training": {"tokens": "10B"},
        "hardware": {"accelerator": "a100-sxm-80gb", "n_gpus": 64, **hardware},
    }


@pytest.mark.parametrize(
    "hardware",
    [
        {"network_bandwidth": "10 Gb/s"},
        {"cluster": "ethernet-100g", "accelerators_per_node": 4},
        {"cluster": CLUSTER, "price": "$2/GPU-h"},
        {"cluster": "dgx-a100", "collective_bandwidth": "5 GB/s", "grid_intensity": "400 g/kWh"},
        {"reliability": {"gpu_mtbf": "2000 h", "checkpoint_time": "5 min", "restart_time": "20 min"}},
        {"offers": ["$2/GPU-h", {"buy": "$9k/GPU"}]},
    ],
)
@pytest.mark.parametrize("name", ["a100-sxm-80gb", "A100:64"])
def test_the_scenarios_own_accelerator_is_answered_as_by_run(hardware: dict[str, Any], name: str) -> None:
    """Only price, offers and grid were taken over: `run` said 30.1 days and `compare` 20.8 of one machine."""
    answer = sim.run(question(**hardware)).answer
    found = sim.compare(question(**hardware), [name])
    assert {key: found.rows[0][key] for key in FIGURES} == {key: answer[key] for key in FIGURES}
    assert found.carried == ()


def test_what_is_asked_goes_before_what_is_taken_over() -> None:
    asked = question(cluster="ethernet-100g", network_bandwidth="10 Gb/s", price="$2/GPU-h")
    found = sim.compare(
        asked,
        [
            {"accelerator": "a100-sxm-80gb", "n_gpus": 128, "price": {"provider": "crusoe"}},
            {"accelerator": "a100-sxm-80gb", "cluster": "dgx-a100"},
        ],
    )
    rows = {row["n_gpus"]: row for row in found.rows}
    assert rows[128]["provider"] == "Crusoe"
    alone = sim.run(question(cluster="dgx-a100", price="$2/GPU-h")).answer
    assert rows[64]["time_to_train_days"] == alone["time_to_train_days"]
    assert rows[64]["usd_per_gpu_hour"] == 2.0


def test_another_entry_of_the_scenario_keeps_its_own_too() -> None:
    entries = [{"accelerator": "h100-sxm-80gb", "n_gpus": 32}, question(cluster=CLUSTER)["hardware"]]
    asked = {**question(), "hardware": entries}
    row = sim.compare(asked, ["a100-sxm-80gb:64"]).rows[0]
    assert row["energy_mwh"] == sim.run(question(cluster=CLUSTER)).answer["energy_mwh"]
    # as many as the first entry where none is written
    assert sim.compare(asked, ["a100-sxm-80gb"]).rows[0]["n_gpus"] == 32


def test_an_accelerator_that_is_written_out_is_the_scenarios_own() -> None:
    own = {"extends": "a100-sxm-80gb", "name": "A100 at 300 W", "tdp": "300 W"}
    asked = question(accelerator=own, network_bandwidth="10 Gb/s")
    row = sim.compare(asked, [{"accelerator": own}]).rows[0]
    assert row["time_to_train_days"] == sim.run(asked).answer["time_to_train_days"]


def test_others_take_the_network_and_the_grid_of_the_place() -> None:
    asked = question(network_bandwidth="10 Gb/s", grid_intensity="400 g/kWh")
    found = sim.compare(asked, ["h100-sxm-80gb", "b200-sxm-180gb"])
    alone = sim.run({**asked, "hardware": {**asked["hardware"], "accelerator": "h100-sxm-80gb"}}).answer
    row = next(row for row in found.rows if row["accelerator"] == "h100-sxm-80gb")
    assert row["time_to_train_days"] == alone["time_to_train_days"]
    assert row["co2e_t"] == alone["co2e_t"]
    taken = "taken from the scenario for h100-sxm-80gb and b200-sxm-180gb"
    line = f"{taken}: network_bandwidth and grid_intensity"
    assert found.to_dict()["assumptions"][0] == line


def test_others_do_not_take_the_cluster_and_that_is_said() -> None:
    hardware = {"cluster": CLUSTER, "reliability": {"gpu_mtbf": "50000 h"}}
    found = sim.compare(question(**hardware), ["a100-sxm-80gb", "h100-sxm-80gb", "b200-sxm-180gb"])
    alone = sim.run({**question(), "hardware": {"accelerator": "h100-sxm-80gb", "n_gpus": 64}}).answer
    row = next(row for row in found.rows if row["accelerator"] == "h100-sxm-80gb")
    assert row["energy_mwh"] == pytest.approx(1.4 * alone["energy_mwh"])
    assert row["co2e_t"] == pytest.approx(0.05 * row["energy_mwh"])
    kept, left = found.carried
    assert kept == "taken from the scenario for h100-sxm-80gb and b200-sxm-180gb: grid_intensity and pue"
    assert left == (
        "cluster our racks and reliability: of a100-sxm-80gb only; h100-sxm-80gb and b200-sxm-180gb with "
        "the usual network of the part, nodes of 8 and no power of the rest of a node"
    )


def test_a_cluster_of_its_own_brings_its_network() -> None:
    asked = question(network_bandwidth="10 Gb/s", cluster="ethernet-100g")
    found = sim.compare(asked, [{"accelerator": "h100-sxm-80gb", "cluster": "dgx-h100"}])
    own = {"accelerator": "h100-sxm-80gb", "n_gpus": 64, "cluster": "dgx-h100"}
    assert (
        found.rows[0]["time_to_train_days"]
        == sim.run({**asked, "hardware": own}).answer["time_to_train_days"]
    )
    assert found.carried == ()


def test_interruptions_alone_are_left_without_a_word_on_the_network() -> None:
    asked = sim.load_scenario(question(reliability={"gpu_mtbf": "50000 h"}))
    entries = [question(reliability={"gpu_mtbf": "50000 h"})["hardware"]]
    assert told([{"accelerator": "h100-sxm-80gb"}], entries, asked.hardware) == (
        "reliability: of a100-sxm-80gb only; h100-sxm-80gb without",
    )


def test_an_answer_says_what_its_cluster_supplies_and_where_that_is_from() -> None:
    """The cluster stood nowhere in an answer."""
    result = sim.run(question(cluster="dgx-h100"))
    source = next(one["source"] for one in result.sources if one["what"] == "cluster dgx-h100")
    assert "MLPerf" in source
    assert (
        "cluster dgx-h100: 8 accelerators per node, 8 ports of 400 Gb/s per node, oversubscription 1, "
        "4.6 kW for the rest of a node, PUE 1.2" in result.assumptions
    )
    told_ = next(a for a in sim.run(question(cluster=CLUSTER)).assumptions if a.startswith("cluster"))
    assert told_ == (
        "cluster our racks: 8 accelerators per node, 4 ports of 100 Gb/s per node, oversubscription 2, "
        "at most 20 GB/s for one collective, 3 kW for the rest of a node, PUE 1.4, 50 gCO2e/kWh"
    )


def test_what_the_scenario_states_is_not_said_to_be_the_clusters() -> None:
    own = {"network_bandwidth": "10 Gb/s", "accelerators_per_node": 4, "grid_intensity": "400 g/kWh"}
    result = sim.run(question(cluster=CLUSTER, **own))
    assert "cluster our racks: 3 kW for the rest of a node, PUE 1.4" in result.assumptions


def test_a_cluster_of_several_offers_is_told_once() -> None:
    result = sim.run(question(cluster="dgx-a100", offers=["$2/GPU-h", "$3/GPU-h"]))
    assert sum(line.startswith("cluster dgx-a100") for line in result.assumptions) == 1


def test_the_pue_is_the_buildings_whatever_stands_in_it() -> None:
    """Machines beside the scenario's own were compared as if they needed no cooling."""
    own = sim.run(question(pue=1.5)).answer["energy_mwh"]
    assert own == pytest.approx(1.5 * sim.run(question()).answer["energy_mwh"])
    assert any("at PUE 1.5" in line for line in sim.run(question(pue=1.5)).assumptions)
    found = sim.compare(question(cluster=CLUSTER, pue=1.5), ["a100-sxm-80gb", "h100-sxm-80gb"])
    alone = sim.run(question(accelerator="h100-sxm-80gb")).answer["energy_mwh"]
    rows = {row["accelerator"]: row["energy_mwh"] for row in found.rows}
    assert rows["a100-sxm-80gb"] == sim.run(question(cluster=CLUSTER, pue=1.5)).answer["energy_mwh"]
    assert rows["h100-sxm-80gb"] == pytest.approx(1.5 * alone)
    elsewhere = {"accelerator": "h100-sxm-80gb", "cluster": "dgx-h100"}
    found = sim.compare(question(cluster=CLUSTER), [elsewhere])
    alone = sim.run(question(accelerator="h100-sxm-80gb", cluster="dgx-h100")).answer["energy_mwh"]
    assert found.rows[0]["energy_mwh"] == alone
    with pytest.raises(SpecError, match="at least 1"):
        sim.run(question(pue=0.9))


def test_an_accelerator_that_varies_takes_what_a_named_one_takes() -> None:
    """A provider that does not sell one of them ended the whole comparison."""
    asked = question(cluster=CLUSTER, price={"provider": "lambda", "terms": "on_demand"})
    names = ["a100-sxm-80gb", "rtx-4090-24gb", "h100-sxm-80gb"]
    varied = sim.compare(asked, vary={"hardware.accelerator": names})
    named = sim.compare(asked, names)
    figures = (*FIGURES, "accelerator", "provider")
    assert [[row[key] for key in figures] for row in varied.rows] == [
        [row[key] for key in figures] for row in named.rows
    ]
    assert varied.carried == named.carried


def test_a_price_that_nobody_asks_is_a_row_where_values_vary() -> None:
    asked = question(price={"provider": "lambda", "terms": "on_demand"})
    names = ["a100-sxm-80gb", "rtx-4090-24gb"]
    varied = {"hardware.accelerator": names, "hardware.price.provider": ["lambda", "crusoe"]}
    rows = sim.compare(asked, vary=varied).rows
    assert [row["feasible"] for row in rows] == [True, True, False, False]
    assert {row["accelerator"] for row in rows[2:]} == {"rtx-4090-24gb"}
    assert all("asks no on demand price for rtx-4090-24gb" in row["why"] for row in rows[2:])
    with pytest.raises(SpecError, match="asks no on demand price"):
        sim.compare(asked, vary={**varied, "hardware.accelerator": names[1:]})
