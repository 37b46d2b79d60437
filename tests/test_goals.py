"""Goodput against published runs, serving against a published one, offers, deadlines, and mistakes in what is asked."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import simulator as sim
from simulator import goodput, money, serving, transformer
from simulator.cli import main
from simulator.errors import SpecError
from simulator.report import goals, page_goals
from simulator.report.page import NO_CURVES, page
from simulator.search.failures import Failures

HOUR, DAY, WEEK = 3600.0, 86400.0, 7 * 86400.0

SMALL = {
    "model": {"num_hidden_layers": 12, "hidden_size": 768, "num_attention_heads": 12},
    "training": {"tokens": "20B", "seq_length": 1024, "global_batch_size": 64},
    "hardware": {"accelerator": "a100-sxm-80gb", "n_gpus": 8, "price": "$2/GPU-h"},
}

# --- failures -------------------------------------------------------------------------------------------------------


def test_llama_3_keeps_nine_tenths_with_its_own_rate():
    """One interruption in 2.8 h; above 90 % of the time effective leaves at most 17 minutes for each."""
    rate = goodput.LLAMA3_GPU_HOURS_PER_INTERRUPTION * HOUR
    mtbf = goodput.job_mtbf_s(n_gpus=16_384, gpu_mtbf_s=rate)
    assert mtbf / HOUR == pytest.approx(54 * 24 / 466)
    known = Failures(gpu_mtbf_s=rate)
    assert known.goodput(n_gpus=16_384, accelerators_per_node=8) == pytest.approx(0.90, abs=0.015)
    quick = Failures(gpu_mtbf_s=rate, checkpoint_s=5.0, restart_s=600.0)
    assert quick.goodput(n_gpus=16_384, accelerators_per_node=8) > 0.90


def test_llama_3s_rate_predicts_blooms_one_or_two_failures_a_week():
    every = goodput.job_mtbf_s(n_gpus=384, gpu_mtbf_s=goodput.LLAMA3_GPU_HOURS_PER_INTERRUPTION * HOUR)
    assert 1 <= WEEK / every <= 2


def test_bloom_hardly_lost_time():
    """1.5 failures a week and a checkpoint every three hours: "no significant effect on throughput" (arXiv:2211.05100)."""
    bloom = Failures(gpu_mtbf_s=384 * WEEK / 1.5, checkpoint_s=60.0, restart_s=HOUR, interval_s=3 * HOUR)
    assert 0.96 < bloom.goodput(n_gpus=384, accelerators_per_node=8) < 0.99


def test_opt_failed_up_to_three_times_as_often_as_llama_3_per_accelerator():
    """At least 35 manual and 70 automatic restarts in two months on 992 accelerators (arXiv:2205.01068)."""
    opt = next(run for run in goodput.PUBLISHED if run.name == "OPT-175B")
    often, rarely = opt.gpu_hours_per_interruption
    assert often < goodput.LLAMA3_GPU_HOURS_PER_INTERRUPTION
    assert rarely == pytest.approx(goodput.LLAMA3_GPU_HOURS_PER_INTERRUPTION, rel=0.15)
    # Its 59 % with so many restarts mean hours per restart: people, not machines.
    lost = (1 / opt.goodput - 1) * opt.days * DAY * opt.goodput / opt.interruptions[1]
    assert 3 < lost / HOUR < 8


@settings(max_examples=50)
@given(
    share=st.floats(0.3, 0.999),
    checkpoint=st.floats(0.0, 600.0),
    restart=st.floats(1.0, 7200.0),
    interval=st.one_of(st.none(), st.floats(1e4, 1e5)),
)
def test_break_even_turns_the_model_around(share, checkpoint, restart, interval):
    mtbf = goodput.mtbf_for(goodput=share, checkpoint_s=checkpoint, restart_s=restart, interval_s=interval)
    if not np.isfinite(mtbf):
        assert interval is not None
        assert checkpoint / interval >= 1 / share - 1
        return
    if interval is None and checkpoint == 0:
        again = 1 / (1 + restart / mtbf)
    else:
        again = goodput.modelled(mtbf_s=mtbf, checkpoint_s=checkpoint, restart_s=restart, interval_s=interval)
    assert again == pytest.approx(share, rel=1e-9)


def test_rates_add_up_and_stragglers_take_their_share():
    alone = goodput.job_mtbf_s(n_gpus=64, gpu_mtbf_s=64e6)
    assert alone == pytest.approx(1e6)
    assert goodput.job_mtbf_s(n_gpus=64, gpu_mtbf_s=64e6, node_interruption_s=8e6) == pytest.approx(5e5)
    slow, even = Failures(gpu_mtbf_s=1e9, stragglers=0.1), Failures(gpu_mtbf_s=1e9)
    how = {"n_gpus": 64, "accelerators_per_node": 8}
    assert slow.goodput(**how) == pytest.approx(0.9 * even.goodput(**how))


def test_without_a_rate_the_answer_is_a_curve_and_no_invented_rate():
    result = sim.run({**SMALL, "budget": {"time": "2 days"}})
    told = result.interruptions
    assert told["source"] == "scaled from Llama 3"
    assert "job_mtbf_h" not in told
    assert "no rate of failures is known" in told["text"]
    shares = [row["goodput"] for row in told["curve"]]
    assert shares == sorted(shares)
    assert {row["run"] for row in told["published"]} == {"Llama 3 405B", "OPT-175B", "BLOOM"}
    end = told["break_even"]
    exact = sim.run({**SMALL, "budget": {"time": "2 days"}, "goodput": end["goodput"]})
    assert exact.answer["time_to_train_days"] == pytest.approx(2.0)


# --- serving --------------------------------------------------------------------------------------------------------


def test_palm_took_four_times_the_bound():
    """29 ms per token on 64 TPU v4 of 1.2 TB/s, int8 weights (arXiv:2211.05102)."""
    bound = 540e9 / (64 * 1.2e12)
    assert 3 < 0.029 / bound < 5


def test_latency_scales_and_refuses_what_does_not_fit():
    llama = transformer.decoder(
        num_hidden_layers=32,
        hidden_size=4096,
        intermediate_size=11008,
        num_attention_heads=32,
        vocab_size=32000,
    )
    how = {"memory_bandwidth": 2e12, "context_length": 4096}
    one = serving.least_latency_s(llama, n_gpus=1, **how)
    assert serving.least_latency_s(llama, n_gpus=2, **how) == pytest.approx(one / 2)
    assert serving.least_latency_s(llama, n_gpus=1, batch_size=8, **how) > one
    assert np.isinf(serving.least_latency_s(llama, n_gpus=1, memory_capacity=10e9, **how))


def test_a_batch_of_a_mixture_reads_more_experts_and_never_more_than_all():
    mixture = transformer.shape_of(sim.load_scenario("mixture-of-experts").model)
    read = [float(serving.visited_parameters(mixture, batch_size=b)) for b in (1, 4, 64, 10_000)]
    assert read == sorted(read)
    assert read[-1] <= float(transformer.parameters(mixture))
    assert read[0] == pytest.approx(
        float(transformer.active_parameters(mixture)) - float(mixture.vocab_size * mixture.hidden_size),
        rel=0.02,
    )


# --- offers and deadlines -------------------------------------------------------------------------------------------


def offered(*offers, **more):
    return sim.run(
        {
            **SMALL,
            "find": "hardware",
            "hardware": {**SMALL["hardware"], "price": None, "offers": list(offers), **more},
        }
    )


def test_a_purchase_breaks_even_where_it_says():
    buy = {"buy": "$20000/GPU", "years": 4, "electricity": "$0.1/kWh", "hosting": "$0.1/GPU-h"}
    share = next(row for row in offered("$2/GPU-h", buy).offers if row["kind"] == "buy")[
        "break_even_utilisation"
    ]
    price = money.ownership_usd_per_gpu_hour(
        usd_per_gpu=20000,
        years=4,
        share_used=share,
        power_w=400,
        usd_per_kwh=0.1,
        hosting_usd_per_gpu_hour=0.1,
    )
    assert price == pytest.approx(2.0)
    idle = offered("$2/GPU-h", {**buy, "utilisation": share * 0.9})
    busy = offered("$2/GPU-h", {**buy, "utilisation": min(1.0, share * 1.1)})
    assert idle.answer["usd_per_gpu_hour"] == 2.0
    assert busy.answer["usd_per_gpu_hour"] < 2.0


def test_spot_breaks_even_where_it_says():
    spot, rent = {"provider": "crusoe", "terms": "spot"}, {"provider": "crusoe", "terms": "on_demand"}
    base = {**SMALL, "find": "hardware", "objective": "cost"}
    asked = {"accelerator": "h100-sxm-80gb", "n_gpus": 64}
    open_ = sim.run({**base, "hardware": {**asked, "offers": [spot, rent]}})
    hours = open_.offers[0]["break_even_interruption_h"]
    for factor, pays in ((1.05, True), (0.95, False)):
        known = {"node_interruption": f"{hours * factor:.6f} h"}
        both = [{**asked, "price": spot, "reliability": known}, {**asked, "price": rent}]
        result = sim.run({**base, "hardware": both})
        assert ("spot" in result.answer["offer"]) is pays
        assert result.offers[0]["pays"] is pays


SPOT, RENT = {"provider": "crusoe", "terms": "spot"}, {"provider": "crusoe", "terms": "on_demand"}
BOUGHT = {"buy": "$40000/GPU", "utilisation": 0.6, "hosting": "$0.2/GPU-h"}
TAKEN = {"reliability": {"node_interruption": "1 h"}}


def three_ways(*offers, **more):
    hardware = {"accelerator": "h100-sxm-80gb", "n_gpus": 64}
    own = {"hardware": [{**hardware, **one} for one in offers]} if "price" in offers[0] else {}
    return sim.run(
        {**SMALL, "find": "hardware", "hardware": {**hardware, "offers": list(offers)}, **more, **own}
    )


def costs(result):
    rows = (result.answer, *(row for row in result.alternatives if row["kind"] == "hardware"))
    named = [(row.get("offer", "rent"), row["cost_usd"]) for row in rows]
    return {offer.removeprefix("Crusoe, ").split(",")[0]: cost for offer, cost in named}


@pytest.mark.parametrize("offers", [(SPOT, RENT, BOUGHT), (RENT, SPOT, "$2.5/GPU-h")])
def test_a_rate_at_which_nodes_are_taken_away_holds_for_spot_alone(offers):
    free, taken = costs(three_ways(*offers)), three_ways(*offers, **TAKEN)
    dear = costs(taken)
    assert dear.pop("spot") > 3 * free.pop("spot")
    assert dear == free
    assert "spot" not in taken.answer.get("offer", "rent")
    left_out = [line for line in taken.assumptions if "node_interruption does not hold" in line]
    assert len(left_out) == 2
    assert not any("Crusoe, spot" in line for line in left_out)
    (row,) = [row for row in taken.offers if row["kind"] == "spot"]
    assert row["pays"] is False
    assert row["break_even_interruption_h"] > row["known_interruption_h"] == 1
    assert "does not pay" in row["text"]


def test_a_rate_in_the_scenario_says_the_same_as_one_beside_the_spot_price():
    apart = three_ways({"price": SPOT, **TAKEN}, {"price": RENT}, {"price": BOUGHT})
    assert costs(apart) == costs(three_ways(SPOT, RENT, BOUGHT, **TAKEN))
    inside = {"accelerator": "h100-sxm-80gb", "n_gpus": 64, "offers": [SPOT, RENT, BOUGHT], **TAKEN}
    assert costs(apart) == costs(sim.run({**SMALL, "find": "hardware", "hardware": inside}))


def test_a_written_rent_that_nothing_beside_it_names_spot_is_taken_away():
    hardware = {"accelerator": "h100-sxm-80gb", "n_gpus": 64, "price": "$1.6/GPU-h"}
    rated = sim.run({**SMALL, "hardware": hardware, **TAKEN})
    assert rated.interruptions["value"] < 0.5
    stated = sim.run({**SMALL, "hardware": {**hardware, "price": RENT}, **TAKEN})
    assert stated.interruptions["value"] > 0.99


def test_a_goodput_from_a_rate_is_not_said_to_be_that_of_llama_3():
    result = sim.run({**SMALL, "hardware": {**SMALL["hardware"], "n_gpus": 64}, **TAKEN})
    (line,) = [line for line in result.assumptions if line.startswith("goodput")]
    assert "nodes are taken away as the scenario says" in line
    assert "0.043 % of the time" in line
    assert "goodput" not in {row["what"] for row in result.sources}
    slow = sim.run({**SMALL, "reliability": {"stragglers": "5 %"}})
    assert any(line.endswith("less 5 % for stragglers") for line in slow.assumptions)


def test_fewest_accelerators_for_the_deadline():
    result = sim.run({**SMALL, "budget": {"time": "1 day"}})
    told = result.fewest_gpus
    assert told["n_gpus"] <= 8
    assert told["time_to_train_days"] <= 1
    assert told["n_gpus"] == 1 or told["one_fewer"]["time_to_train_days"] > 1


@pytest.mark.parametrize("days", [0.3, 0.5, 1])
def test_one_fewer_is_late_by_what_is_said(days):
    asked = {**SMALL, "budget": {"time": f"{days} days"}}
    fewer = sim.run(asked).fewest_gpus["one_fewer"]
    alone = {**SMALL, "hardware": {**SMALL["hardware"], "n_gpus": fewer["n_gpus"]}}
    assert sim.run(alone).answer["time_to_train_days"] == pytest.approx(fewer["time_to_train_days"])
    assert fewer["late_days"] == pytest.approx(fewer["time_to_train_days"] - days)
    assert fewer["late_days"] > 0


# --- what is asked --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"objective": "cost", "training": {}}, "alone is least where nothing is trained"),
        ({"objective": ["cost", "cost"]}, "names a figure twice"),
        ({"objective": "accuracy"}, "accuracy of which task"),
        ({"objective": "latency"}, "latency of what"),
        ({"objective": "carbon"}, "needs the grid"),
        ({"objective": "money"}, "`money` is called `cost` here"),
        ({"budget": {"carbon": "10 t"}}, "needs the grid"),
        ({"budget": {"co2": "10 t"}}, "`co2` is called `carbon` here"),
        ({"quality": {"loss": 2}}, "`quality` is called `require` here"),
        ({"require": {}}, "requires nothing"),
        ({"require": {"accuracy": {"mmlu": 60}}}, "require.accuracy.mmlu"),
        ({"require": {"error": "40 %"}}, "not over that of Besiroglu2024"),
        ({"reliability": {"checkpoint_time": "30 s"}}, "restart_time is missing"),
        ({"reliability": {"stragglers": "1 %"}, "goodput": 0.9}, "goodput is given as well"),
        ({"inference": {"n_gpus": 2}}, "neither how much nor how fast"),
        ({"hardware": {**SMALL["hardware"], "offers": ["$1/GPU-h"]}}, "both price and offers"),
    ],
)
def test_mistakes_say_what_to_write(change, words):
    with pytest.raises(SpecError, match=words.replace("?", "")):
        sim.load_scenario({**SMALL, **change})


def test_a_fixed_plan_that_is_not_good_enough_says_by_how_much():
    result = sim.run({**SMALL, "require": {"loss": 2.5}})
    assert not result.feasible
    assert result.infeasible["reason"] == "loss"
    assert result.infeasible["available"] > 2.5
    tokens = (
        float(result.infeasible["smallest_change"].split()[2].removesuffix("B"))
        if "train on" in result.infeasible["smallest_change"]
        else None
    )
    if tokens:
        more = sim.run(
            {
                **SMALL,
                "training": {**SMALL["training"], "tokens": f"{tokens * 1.01:.4f}B"},
                "require": {"loss": 2.5},
            }
        )
        assert more.feasible


def test_an_accuracy_comes_with_its_interval():
    result = sim.run({**SMALL, "require": {"accuracy": {"mmlu": "25 %"}}})
    reached = result.requirements["mmlu"]
    low, high = reached["interval"]
    assert high - low > 0.1
    assert low <= reached["predicted"] <= high
    assert result.answer["quality"]["mmlu"] == pytest.approx(reached["predicted"])


def test_memory_may_be_limited_below_the_cards():
    free = sim.run(SMALL)
    tight = sim.run({**SMALL, "budget": {"memory": "6 GiB"}})
    assert free.answer["memory_capacity_gib"] > 70
    assert tight.answer["memory_gib"] <= 6


def test_parts_of_a_result_are_explained(capsys, tmp_path):
    path = tmp_path / "small.json"
    path.write_text(json.dumps({**SMALL, "budget": {"time": "2 days"}}))
    for part in ("binding", "family", "interruptions", "fewest_gpus", "requirements", "offers"):
        assert main(["run", str(path), "--explain", part]) == 0
        assert capsys.readouterr().out.strip()


# --- small amounts --------------------------------------------------------------------------------------------------


def test_small_energies_are_written_in_small_units():
    """A front wrote 0.00123 MWh, and a price of a little more loss 5.5e-05 MWh."""
    small = {
        "find": "architecture",
        "objective": "energy",
        "require": {"loss": 3.3},
        "budget": {"energy": "20 kWh", "carbon": "3 kg"},
        "hardware": {"accelerator": "h100-sxm-80gb", "n_gpus": 8, "grid_intensity": "300 g/kWh"},
    }
    document = sim.run(small).to_dict()
    assert "MWh" not in document["binding"]["text"]
    assert " Wh (" in document["binding"]["text"]
    html = page(document, NO_CURVES)
    assert " Wh (" in html
    rows = [
        {**dict.fromkeys(goals.KEYS.values(), 1.0), "energy_mwh": energy, "co2e_t": 0.3 * energy}
        for energy in (0.00123, 0.0456)
    ]
    cells = {head: [cell(row) for row in rows] for head, cell in goals.shown(rows)}
    assert cells["energy"] == ["1.23 kWh", "45.6 kWh"]
    assert cells["CO2e"] == ["0.369 kg", "13.7 kg"]


def test_fewest_accelerators_have_one_heading_with_a_deadline_or_without():
    found = {"fewest_gpus": {"text": "2 accelerators are the fewest"}}
    titles = {key: title for key, title, _ in page_goals.sections({"answer": {}, **found})}
    assert titles["fewest"] == "Fewest accelerators"


def test_one_accelerator_for_hours_is_written_so():
    short = {
        "find": "architecture",
        "objective": ["energy", "loss"],
        "budget": {"time": "2 h"},
        "hardware": {"accelerator": "h100-sxm-80gb", "n_gpus": 8},
    }
    text = sim.run(short).fewest_gpus["text"]
    assert text.startswith("1 accelerator is the fewest that trains this model in 2 h (")
