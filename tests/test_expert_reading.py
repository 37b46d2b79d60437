"""What a sceptical reader of answers stumbled over: pins that were dropped, reasons that did not hold, figures that read wrong."""

from __future__ import annotations

from typing import Any

import pytest

import simulator as sim
from simulator import growth
from simulator.errors import SpecError
from simulator.growth import evidence
from simulator.report import decision, sections, terminal
from simulator.report import evidence as told
from simulator.search import remarks
from simulator.search.lattice import Pins

H100 = {"accelerator": "h100-sxm-80gb", "n_gpus": 8, "price": "$2/GPU-h"}
SMALL = {
    "num_hidden_layers": 16,
    "hidden_size": 2048,
    "num_attention_heads": 16,
    "intermediate_size": 5632,
    "vocab_size": 32000,
}


def asked(**changes: Any) -> dict[str, Any]:
    return {"name": "a plan", "hardware": H100, "model": SMALL, "training": {"tokens": "1B"}, **changes}


def messages(result: Any, name: str) -> list[str]:
    return [each["message"] for each in result.warnings if each["id"] == name]


# --- a ZeRO stage that is pinned ------------------------------------------------------------------------------------


def test_a_pinned_stage_that_shards_is_never_dropped_for_a_layout_without_ranks() -> None:
    tune = {"tokens": "300M", "seq_length": 2048, "from_pretrained": True}
    cards = {"accelerator": "rtx-4090-24gb", "n_gpus": 8}
    answer = sim.run(
        asked(
            model="llama-3.2-3b",
            software="deepspeed",
            training=tune,
            hardware=cards,
            parallelism={"zero_stage": 3},
        )
    ).answer
    assert (answer["zero_stage"], answer["pp"]) == (3, 1)
    assert answer["dp"] > 1


@pytest.mark.parametrize(
    ("pins", "needs"),
    [
        (Pins(zero_stage=3), True),
        (Pins(zero_stage=3, tp=2), True),
        (Pins(zero_stage=3, tp=8), False),
        (Pins(zero_stage=3, tp=2, pp=4), False),
        (Pins(zero_stage=3, dp=1), False),
        (Pins(zero_stage=1), False),
        (Pins(), False),
    ],
)
def test_where_the_other_pins_leave_no_ranks_there_is_nothing_to_shard(pins: Pins, *, needs: bool) -> None:
    assert pins.shards_over_some(8) is needs
    assert not Pins(zero_stage=3).shards_over_some(1)


# --- whose errors the range is made of ------------------------------------------------------------------------------


def test_the_page_says_which_rows_the_range_rests_on() -> None:
    answer = sim.run(asked(hardware={**H100, "n_gpus": 64})).answer
    wider = {**answer["evidence"], "interval_rows": 4 * answer["evidence"]["rows"]}
    wider |= {"regime": "seen=false kind=dense bits=16", "interval_regime": "seen=false kind=dense"}
    text = " ".join(" ".join(told.evidence({**answer, "evidence": wider})).split())
    assert f"at least that of all {wider['interval_rows']:,} of them in any format" in text


def test_rows_that_are_the_same_are_named_once() -> None:
    known = {
        "text": "x",
        "median_error": 0.1,
        "rows": 9,
        "regime": "seen=false",
        "interval_rows": 9,
        "interval_regime": "seen=false",
    }
    text = " ".join(told.evidence({"accelerator": "a", "evidence": known}))
    assert "The range" not in text
    nearer = {**known, "interval_rows": 30, "interval_regime": "seen=false kind=moe"}
    text = " ".join(" ".join(told.evidence({"accelerator": "a", "evidence": nearer})).split())
    assert "the 30 rows nearest to it (another organisation, mixture of experts)" in text


# --- fine-tunes -----------------------------------------------------------------------------------------------------


def test_what_a_batch_costs_a_fine_tune_is_said_to_be_a_guess_from_training_from_scratch() -> None:
    tune = {"tokens": "50M", "trainable": "lora"}
    result = sim.run(asked(model="llama-2-13b", software="fsdp", training=tune))
    whys = [each["why"] for each in result.alternatives if "more tokens" in each["why"]]
    assert whys
    assert all("if it is as in training from scratch" in why for why in whys)


def test_adapters_that_do_not_fit_are_offered_four_bits() -> None:
    tune = {"tokens": "10M", "seq_length": 8192, "trainable": "lora", "lora_rank": 64}
    scenario = asked(model="llama-3.1-405b", software="fsdp", training=tune)
    assert "or training.trainable: qlora" in sim.run(scenario).infeasible["smallest_change"]
    assert sim.run({**scenario, "training": {**tune, "trainable": "qlora"}}).feasible


# --- growth ---------------------------------------------------------------------------------------------------------


def brief(**changes: Any) -> dict[str, Any]:
    budget = {"time": "14 days", "cost": "$300k"}
    serving = {
        "tokens": "10T",
        "utilisation": "25 %",
        "latency": "10 ms",
        "batch_size": 32,
        "context_length": 8192,
    }
    hardware = {**H100, "n_gpus": 128}
    how = {"operator": "stacking", "max_stages": 2, **changes}
    training = {"seq_length": 4096}
    return {
        "name": "brief",
        "find": "growth",
        "budget": budget,
        "training": training,
        "inference": serving,
        "hardware": hardware,
        "growth": how,
    }


def test_growth_after_a_moment_of_a_small_model_is_warned_of() -> None:
    result = sim.run(brief())
    first, last = result.stages
    share = first["params"] * first["tokens"] / (last["params"] * last["tokens"])
    assert share < growth.LEAST_SOURCE_SHARE
    assert len(messages(result, "growth-early")) == 1
    assert "No published case grew so early" in decision.decision(result.to_dict())


def test_growth_within_the_published_cases_is_not() -> None:
    assert not messages(sim.run("growth"), "growth-early")


def test_the_least_share_is_that_of_the_published_cases() -> None:
    shares = [
        one.source_params
        * one.source_tokens
        / (one.source_params * one.source_tokens + one.params * one.tokens)
        for one in evidence.shipped_cases()
        if one.saving == one.saving
    ]
    known = [share for share in shares if share == share]
    assert min(known) == pytest.approx(growth.LEAST_SOURCE_SHARE, abs=5e-4)


def test_a_run_from_scratch_has_no_switch() -> None:
    stage = growth.Stage(
        size=0,
        params=1e9,
        tokens=1e9,
        cost=1.0,
        switch_cost=0.0,
        loss_start=3.0,
        loss_end=2.0,
        credit_tokens=0.0,
        kappa=1.0,
    )
    assert remarks.earliest_switch(growth.Schedule((stage,), 2.0, 1.0)) == 1.0


def test_the_run_that_repeats_data_is_told_from_the_answer() -> None:
    result = sim.run(
        {
            "name": "served",
            "find": "growth",
            "budget": {"time": "20 days"},
            "training": {"unique_tokens": "200B"},
            "inference": {"tokens": "10T", "utilisation": "20 %"},
            "hardware": {**H100, "n_gpus": 128},
            "growth": {"max_stages": 2},
        }
    )
    (line,) = messages(result, "growth")
    assert "the run from scratch of lowest loss sees the distinct tokens" in line


# --- deadlines, batches, power --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def unaffordable() -> Any:
    budget = {"time": "10 days", "cost": "$50k"}
    training = {"tokens": "2T", "seq_length": 8192}
    hardware = {**H100, "n_gpus": 64, "price": "$2.2/GPU-h"}
    return sim.run(asked(model="llama-3.1-70b", budget=budget, training=training, hardware=hardware))


def test_accelerators_that_keep_the_deadline_but_not_the_cost_say_so(unaffordable: Any) -> None:
    fewest = unaffordable.fewest_gpus
    assert fewest["cost_usd"] > 50e3
    assert "over the limit of $50k" in fewest["text"]


def test_a_time_just_over_the_deadline_is_not_written_as_the_deadline(unaffordable: Any) -> None:
    fewest = unaffordable.fewest_gpus
    days = fewest["one_fewer"]["time_to_train_days"]
    assert days > 10
    assert "take 10 days" not in fewest["text"]
    assert any(f"take {days:.{digits}g} days" in fewest["text"] for digits in (3, 4, 5))


def test_a_batch_in_tokens_that_is_rounded_is_named() -> None:
    hardware = {**H100, "n_gpus": 512}
    training = {
        "tokens": "20B",
        "seq_length": 131072,
        "global_batch_tokens": "8M",
        "from_pretrained": True,
    }
    result = sim.run(asked(model="llama-3.1-70b", training=training, hardware=hardware))
    assert result.answer["global_batch_size"] != 61
    (line,) = [each for each in result.assumptions if each.startswith("global_batch_tokens is rounded")]
    assert f"to {result.answer['global_batch_size']} sequences" in line
    exact = {"tokens": "1B", "seq_length": 4096, "global_batch_tokens": 4096 * 64}
    assert not [each for each in sim.run(asked(training=exact)).assumptions if "is rounded" in each]


def test_power_that_is_not_known_is_said_where_the_energy_would_stand() -> None:
    result = sim.run(asked(hardware={"accelerator": "tpu-v5p", "n_gpus": 8}))
    assert "Energy     no power is known; write the accelerator's tdp" in terminal.page(result.to_dict())
    endless = {**result.answer, "gpu_hours": None}
    assert sections.energy(endless) == ""


# --- words ----------------------------------------------------------------------------------------------------------


def test_one_sequence_is_no_plural() -> None:
    answer = {"global_batch_size": 1, "seq_length": 8192, "global_batch_tokens": 8192}
    assert decision.batch_words(answer) == "1 sequence of 8,192 = 8.19k tokens per step"


def test_small_families_are_written_in_millions() -> None:
    result = sim.run(
        {
            "name": "a dollar",
            "find": "architecture",
            "budget": {"cost": "$1"},
            "hardware": H100,
            "training": {},
        }
    )
    assert "M parameters" in result.family["text"]
    assert " 0.0" not in result.family["text"].partition(": ")[2].partition(" parameters")[0]


@pytest.mark.parametrize(
    ("change", "reason", "hint"),
    [
        ({"budget": {"cost": "-$5k"}}, "'-$5k' is below zero", "write $60k or $1.5M"),
        ({"hardware": {**H100, "price": "$0/GPU-h"}}, "is out of range", "leave price and budget.cost out"),
        (
            {"hardware": {"accelerator": "h100-sxm-80gb"}},
            "needs the number",
            "or find: hardware to have it chosen",
        ),
        (
            {"hardware": {**H100, "price": {"provider": "aws", "terms": "spot"}}},
            "asks no spot price",
            "on the same terms by",
        ),
    ],
)
def test_mistakes_about_money_and_numbers_say_what_to_write(
    change: dict[str, Any], reason: str, hint: str
) -> None:
    with pytest.raises(SpecError) as caught:
        sim.run(asked(**change))
    assert reason in str(caught.value)
    assert hint in str(caught.value)


def test_the_shorter_run_that_nearly_does_is_in_the_headline_of_a_question_about_growth() -> None:
    result = sim.run(
        {
            "name": "few data",
            "find": "growth",
            "budget": {"time": "5 days"},
            "training": {"unique_tokens": "1B"},
            "hardware": {**H100, "n_gpus": 64},
        }
    )
    text = decision.decision(result.to_dict())
    assert "Growth is not judged on repeated data" in text
    assert result.binding["enough"]["text"] in text
    assert "e+" not in text


def test_the_next_best_plan_is_no_other_layout_of_the_same_model() -> None:
    answer = {
        "loss": 2.0,
        "interval": {"loss": [1.9, 2.1]},
        "loss_law": "a law",
        "shape_law": None,
        "batch_factor": 1.0,
    }
    rows = [{"kind": "layout", "loss": 2.00002}, {"kind": "architecture", "loss": 2.0003}]
    document = {"answer": answer, "alternatives": rows, "sources": [], "family": {}}
    assert sections.loss(document)[0].strip() == "The next best plan that differs is 0.0003 nats/token worse."
    rows[1]["loss"] = 2.00003
    assert "less than 0.0001 nats/token worse" in sections.loss(document)[0]


def test_differences_in_dollars_have_three_digits() -> None:
    scenario = {
        "name": "two",
        "find": "hardware",
        "model": "llama-2-70b",
        "budget": {"time": "30 days"},
        "training": {"tokens": "1T"},
        "hardware": [
            {"accelerator": "h100-sxm-80gb", "price": "$2/GPU-h"},
            {"accelerator": "a100-sxm-80gb", "price": "$2/GPU-h"},
        ],
    }
    (why,) = [each["why"] for each in sim.run(scenario).alternatives if each["kind"] == "hardware"]
    assert "cost +$" in why
    assert why.partition("cost +$")[2].partition(";")[0][-1] in "kM"
