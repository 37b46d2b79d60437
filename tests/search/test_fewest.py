"""The fewest accelerators for a deadline: no smaller number of nodes does it, and no batch that teaches little buys it."""

from __future__ import annotations

import pytest

import simulator as sim

LLAMA_70B = {
    "model": "llama-3.1-70b",
    "find": "hardware",
    "objective": "n_gpus",
    "hardware": {"accelerator": "h100-sxm-80gb"},
    "training": {"tokens": "2T", "seq_length": 8192},
}


@pytest.fixture(scope="module", params=[30, 60])
def asked(request):
    """A question, its deadline in days, and its answer."""
    scenario = {**LLAMA_70B, "budget": {"time": f"{request.param} days"}}
    return scenario, request.param, sim.run(scenario)


def test_no_smaller_number_of_nodes_ends_in_time(asked) -> None:
    scenario, days, result = asked
    fewest = result.answer["n_gpus"]
    for fewer in range(fewest - 32, fewest, 8):
        alone = sim.run({**scenario, "hardware": {**scenario["hardware"], "n_gpus": fewer}})
        tight = alone.feasible and alone.answer["memory_verdict"] == "TIGHT"
        assert tight or not alone.feasible, fewer
        if tight:
            assert result.fewest_gpus["tight"]["n_gpus"] <= fewer
    told = result.fewest_gpus["one_fewer"]
    assert told["n_gpus"] == fewest - 8
    assert told["time_to_train_days"] > days


def test_headline_and_section_name_the_same_number(asked) -> None:
    _, _, result = asked
    assert result.fewest_gpus["n_gpus"] == result.answer["n_gpus"]
    assert result.fewest_gpus["time_to_train_days"] == result.answer["time_to_train_days"]


def test_the_same_number_is_named_beside_another_objective(asked) -> None:
    scenario, _, result = asked
    cheapest = sim.run({**scenario, "objective": "cost"})
    assert cheapest.fewest_gpus["n_gpus"] == result.answer["n_gpus"] <= cheapest.answer["n_gpus"]


def test_the_deadline_holds_with_the_tokens_that_a_batch_costs(asked) -> None:
    _, days, result = asked
    assert result.answer["time_to_train_days"] / result.answer["batch_factor"] <= days


def test_a_batch_that_is_written_is_taken_as_it_is() -> None:
    """32M tokens teach less than a quarter of what they could; who writes them is asked about the time they take."""
    training = {**LLAMA_70B["training"], "global_batch_size": 4096}
    result = sim.run({**LLAMA_70B, "training": training, "budget": {"time": "30 days"}})
    assert result.answer["batch_factor"] < 0.5
    assert 29 < result.answer["time_to_train_days"] <= 30


def test_a_deadline_that_no_number_keeps_asks_for_time_that_is_enough() -> None:
    scenario = {**LLAMA_70B, "budget": {"time": "30 days", "max_gpus": 512}}
    why = sim.run(scenario).infeasible
    allow = why["smallest_change"].split(";")[0].removeprefix("allow ")
    assert sim.run({**scenario, "budget": {"time": allow, "max_gpus": 512}}).feasible


def test_fewer_with_little_memory_to_spare_are_named() -> None:
    scenario = {**LLAMA_70B, "training": {"tokens": "2B", "seq_length": 8192}}
    result = sim.run(scenario)
    tight = result.fewest_gpus["tight"]
    assert tight["n_gpus"] < result.answer["n_gpus"]
    assert f"{tight['n_gpus']} would do with tight memory" in result.fewest_gpus["text"]
    alone = sim.run({**scenario, "hardware": {**scenario["hardware"], "n_gpus": tight["n_gpus"]}})
    assert alone.answer["memory_verdict"] == "TIGHT"


def test_a_machine_that_fits_only_tightly_is_ranked_with_one_that_has_room() -> None:
    """Memory to spare on one machine takes no plan from another, which would be the answer alone; its verdict tells what it leaves."""
    result = sim.run(
        {
            "find": "hardware",
            "model": "llama-3.1-8b",
            "training": {"tokens": "100B", "seq_length": 8192},
            "hardware": [
                {"accelerator": "h100-sxm-80gb", "n_gpus": 2},
                {"accelerator": "h200-sxm-141gb", "n_gpus": 2},
            ],
        }
    )
    (beside,) = (row for row in result.alternatives if row["kind"] == "hardware")
    judged = {row["accelerator"]: row for row in (result.answer, beside)}
    assert judged["h100-sxm-80gb"]["memory_verdict"] == "TIGHT"
    assert judged["h200-sxm-141gb"]["memory_verdict"] == "FITS"
    assert result.answer["cost_usd"] <= beside["cost_usd"]


def test_a_number_that_was_passed_over_is_not_forgotten() -> None:
    """Of 576 sequences nine nodes take 8 each; 80 accelerators, the next number of the coarse steps, divide them badly."""
    scenario = {
        "find": "hardware",
        "objective": "n_gpus",
        "model": {
            "num_hidden_layers": 16,
            "hidden_size": 4096,
            "intermediate_size": 16384,
            "num_attention_heads": 32,
            "vocab_size": 32000,
        },
        "training": {"tokens": "50B", "seq_length": 1024, "global_batch_size": 576},
        "software": "megatron",
        "budget": {"time": "0.5 days", "max_gpus": 96},
        "hardware": {"accelerator": "h100-sxm-80gb"},
    }
    result = sim.run(scenario)
    assert result.answer["n_gpus"] == result.fewest_gpus["n_gpus"] == 72
