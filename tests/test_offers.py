"""The page names the offer that won, what a purchase takes at once, and what tells machines of one accelerator apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import simulator as sim
from simulator.cli import main
from simulator.report import page, terminal
from simulator.report.decision import decision

BASE: dict[str, Any] = {
    "find": "hardware",
    "objective": "cost",
    "model": "llama-3.1-8b",
    "training": {"tokens": "100B", "seq_length": 4096, "global_batch_size": 512},
}
HARDWARE = {"accelerator": "h100-sxm-80gb", "n_gpus": 64}
SPOT, RENT = {"provider": "crusoe", "terms": "spot"}, {"provider": "crusoe"}
BOUGHT = {"buy": "$32k/GPU", "years": 5, "utilisation": "80 %"}


def answered(*offers: Any, **more: Any) -> sim.Result:
    return sim.run({**BASE, "hardware": {**HARDWARE, "offers": list(offers)}, **more})


def ids(result: sim.Result) -> set[str]:
    return {each["id"] for each in result.warnings}


def test_an_answer_that_buys_says_so_and_names_the_outlay() -> None:
    result = answered(RENT, BOUGHT)
    assert result.answer["terms"] == "owned"
    assert result.answer["outlay_usd"] == pytest.approx(64 * 32_000)
    assert "(bought: the run's share of an outlay of $2.05M)" in decision(result.to_dict())
    text = " ".join(terminal.page(result.to_dict()).split())
    assert "per accelerator-hour (bought at $32,000, 5 years, 80 % of hours used)" in text
    assert "only the run's share of it counts as cost and against budget.cost" in text
    assert "the answer; price: bought at $32,000" in text
    shown = page.page(result.to_dict(), page.NO_CURVES)
    assert "an outlay of $2.05M" in shown
    assert "0: the answer; price: bought at $32,000" in shown
    assert "outlay" not in ids(result)


def test_an_outlay_above_the_limit_on_cost_is_warned_of() -> None:
    result = answered(RENT, BOUGHT, budget={"cost": "$100k"})
    (text,) = [each["message"] for each in result.warnings if each["id"] == "outlay"]
    assert "$2.05M at once, more than budget.cost ($100k)" in text
    assert "outlay" not in ids(answered(RENT, BOUGHT, budget={"cost": "$3M"}))


def test_a_price_per_accelerator_in_the_scenario_has_an_outlay_too() -> None:
    result = sim.run({**BASE, "hardware": {**HARDWARE, "price": "$30k/GPU"}})
    assert result.answer["outlay_usd"] == pytest.approx(64 * 30_000)
    assert "an outlay of $1.92M" in decision(result.to_dict())


def test_an_answer_on_spot_says_so_and_warns_where_no_rate_is_known() -> None:
    result = answered(RENT, SPOT)
    assert "(Crusoe, spot, " in decision(result.to_dict())
    assert "spot" in ids(result)
    known = answered(RENT, SPOT, reliability={"node_interruption": "900 h"})
    assert known.answer["terms"] == "spot"
    assert "spot" not in ids(known)
    rented = answered(RENT, "$5/GPU-h")
    assert rented.answer["terms"] == "on_demand"
    assert "spot" not in ids(rented)


def test_a_written_rent_needs_no_words() -> None:
    result = sim.run({**BASE, "hardware": {**HARDWARE, "price": "$2.5/GPU-h"}})
    assert not {"offer", "outlay_usd"} & set(result.answer)
    assert "(" not in decision(result.to_dict()).partition("cost ")[2]


def test_a_comparison_on_spot_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "spot.yaml"
    file.write_text(
        "model: llama-3.1-8b\ntraining: {tokens: 100B, seq_length: 4096, global_batch_size: 512}\n"
        "hardware: {accelerator: h100-sxm-80gb, n_gpus: 64}\n",
        encoding="utf-8",
    )
    assert main(["compare", str(file), "--providers", "crusoe", "--terms", "spot"]) == 0
    assert "64 x h100-sxm-80gb (Crusoe, spot)" in capsys.readouterr().out


# --- places ---------------------------------------------------------------------------------------------------------

FABRICS = [
    {**HARDWARE, "network_bandwidth": "400 Gb/s", "price": "$2.2/GPU-h"},
    {**HARDWARE, "network_bandwidth": "100 Gb/s", "price": "$2.1/GPU-h"},
    {**HARDWARE, "cluster": "ethernet-100g", "price": "$2.0/GPU-h"},
    {**HARDWARE, "accelerator": "h200-sxm-141gb", "price": "$9/GPU-h"},
]


def test_machines_that_differ_in_fabric_alone_are_told_apart() -> None:
    result = sim.run({**BASE, "hardware": FABRICS})
    rows = [result.answer, *(row for row in result.alternatives if row["kind"] == "hardware")]
    own = [row for row in rows if row["accelerator"] == "h100-sxm-80gb"]
    assert sorted(row["network_gbit_per_s"] for row in own) == pytest.approx([12.5, 100.0, 400.0])
    assert {row.get("cluster") for row in own} == {None, "ethernet-100g"}
    for row in own[1:] if own[0] is result.answer else own:
        assert f"network {row['network_gbit_per_s']:.4g} Gb/s" in row["why"]
        assert f"price: ${row['usd_per_gpu_hour']:.2f}/GPU-h" in row["why"]
    alone = next(row for row in rows if row["accelerator"] == "h200-sxm-141gb")
    assert "network" not in alone["why"]
    for text in (terminal.page(result.to_dict()), page.page(result.to_dict(), page.NO_CURVES)):
        for network in ("400 Gb/s", "100 Gb/s", "12.5 Gb/s"):
            assert f"h100-sxm-80gb {network}" in text


def test_machines_that_differ_in_price_alone_are_told_apart_by_it() -> None:
    text = terminal.page(answered("$2/GPU-h", "$3/GPU-h").to_dict())
    assert "h100-sxm-80gb $2.00/h" in text
    assert "h100-sxm-80gb $3.00/h" in text
    assert "the answer; price: $2.00/GPU-h" in text


def test_a_cluster_without_a_network_is_not_asked_for_again() -> None:
    asked = {
        **BASE,
        "find": "estimate",
        "hardware": {**HARDWARE, "accelerator": "rtx-4090-24gb", "n_gpus": 16},
    }
    asked["model"] = "gpt2"
    asked["training"] = {"tokens": "10B", "seq_length": 1024, "global_batch_size": 512}
    bare = next(each["message"] for each in sim.run(asked).warnings if each["id"] == "no-network")
    assert bare.endswith("or name a cluster")
    named = sim.run({**asked, "hardware": {**asked["hardware"], "cluster": "pcie-workstation"}})
    text = next(each["message"] for each in named.warnings if each["id"] == "no-network")
    assert "cluster pcie-workstation states a network" in text
    assert "name a cluster" not in text
