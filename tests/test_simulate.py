"""From a scenario to a result: contract, published runs, limits, reproducibility."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

import simulator as sim
from simulator.errors import InfeasibleError, UnknownNameError

LLAMA2 = {"num_hidden_layers": 32, "hidden_size": 4096, "num_attention_heads": 32, "intermediate_size": 11008}
GPT3 = {
    "num_hidden_layers": 96,
    "hidden_size": 12288,
    "num_attention_heads": 96,
    "mlp_type": "gelu",
    "vocab_size": 51200,
    "tie_word_embeddings": True,
    "position_embedding": "learned",
    "max_position_embeddings": 2048,
    "norm": "layernorm",
}
TEN_DAYS = {
    "name": "Ten days on 64 H100s",
    "find": "architecture",
    "budget": {"time": "10 days", "cost": "$60k"},
    "hardware": {"accelerator": "h100-sxm-80gb", "n_gpus": 64, "price": "$2.99/GPU-h"},
    "training": {"seq_length": 4096, "unique_tokens": "400B"},
}
SMALL_SEARCH = {"hidden_size": [1024, 1536, 2048, 3072, 4096], "num_hidden_layers": [16, 24, 32, 48]}
CONTRACT = (
    "accelerator n_gpus tp pp dp cp ep vp micro_batch_size global_batch_size num_hidden_layers hidden_size "
    "intermediate_size num_attention_heads params tokens step_time_s tokens_per_s_per_gpu model_tflops_per_gpu mfu "
    "memory_gib time_to_train_days gpu_hours cost_usd loss breakdown interval"
).split()


def estimate(**changes):
    base = {
        "model": LLAMA2,
        "hardware": {"accelerator": "h100-sxm-80gb", "n_gpus": 64},
        "training": {"tokens": "100B"},
    }
    return sim.run({**base, **changes})


def numbers_of(value):
    if isinstance(value, dict):
        for item in value.values():
            yield from numbers_of(item)
    elif isinstance(value, list):
        for item in value:
            yield from numbers_of(item)
    else:
        yield value


@pytest.fixture(scope="module")
def ten_days():
    return sim.run(TEN_DAYS)


# --- contract -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("which", ["estimate", "ten_days"])
def test_answer_holds_what_other_programs_rely_on(which, ten_days):
    result = ten_days if which == "ten_days" else estimate()
    document = result.to_dict()
    assert {"scenario", "version", "answer", "alternatives", "warnings", "sources"} <= set(document)
    answer = document["answer"]
    assert set(CONTRACT) <= set(answer)
    assert sum(answer["breakdown"].values()) == pytest.approx(answer["step_time_s"], rel=1e-9)
    assert sum(answer["memory"].values()) == pytest.approx(answer["memory_gib"], rel=1e-9)
    for figure in ("step_time_s", "time_to_train_days", "cost_usd", "loss"):
        low, high = answer["interval"][figure]
        assert low <= answer[figure] * (1 + 1e-9)
        assert high >= answer[figure] * (1 - 1e-9)
    assert answer["tp"] * answer["pp"] * answer["cp"] * answer["dp"] == answer["n_gpus"]
    assert (
        answer["micro_batch_size"] * answer["num_microbatches"] * answer["dp"] == answer["global_batch_size"]
    )


def test_document_is_plain_data(ten_days):
    document = ten_days.to_dict()
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    kinds = {type(value) for value in numbers_of(document)}
    assert kinds <= {str, int, float, bool, type(None)}
    for warning in document["warnings"]:
        assert set(warning) == {"id", "message"}


def test_figures_follow_from_each_other():
    a = estimate(
        hardware={"accelerator": "h100-sxm-80gb", "n_gpus": 64, "price": "$2/GPU-h"}, goodput=0.9
    ).answer
    tokens_per_step = a["global_batch_size"] * a["seq_length"]
    assert a["tokens_per_s"] == pytest.approx(tokens_per_step / a["step_time_s"])
    assert a["tokens_per_s_per_gpu"] * 64 == pytest.approx(a["tokens_per_s"])
    days = a["tokens"] / a["tokens_per_s"] / 0.9 / 86400
    assert a["time_to_train_days"] == pytest.approx(days)
    assert a["gpu_hours"] == pytest.approx(days * 24 * 64)
    assert a["cost_usd"] == pytest.approx(a["gpu_hours"] * 2)
    assert a["usd_per_m_tokens"] == pytest.approx(a["cost_usd"] / a["tokens"] * 1e6)
    assert a["mfu"] == pytest.approx(a["model_tflops_per_gpu"] / a["peak_tflops"])
    assert a["hfu"] >= a["mfu"]
    assert a["mfu_by_convention"]["6N"] == pytest.approx(
        6 * a["params"] * a["tokens_per_s_per_gpu"] / (a["peak_tflops"] * 1e12)
    )
    assert a["mfu_by_convention"]["maxtext"] < a["mfu_by_convention"]["megatron"]


def test_full_recomputation_shows_in_hfu_not_in_mfu():
    a = estimate(training={"tokens": "100B", "recompute": "full"}).answer
    assert a["recompute"] == "full"
    assert a["hfu"] / a["mfu"] == pytest.approx(4 / 3, rel=0.03)


def test_equal_scenarios_give_equal_bytes_in_any_process():
    code = "import json, simulator as s, sys; print(json.dumps(s.run(json.loads(sys.argv[1])).to_dict()))"
    asked = json.dumps({**TEN_DAYS, "search": SMALL_SEARCH, "growth": {"max_stages": 2}})
    outs = set()
    for seed in ("1", "2"):
        env = {**os.environ, "PYTHONHASHSEED": seed}
        done = subprocess.run([sys.executable, "-c", code, asked], capture_output=True, check=True, env=env)
        outs.add(done.stdout)
    assert len(outs) == 1


def test_frame_html_and_repr(ten_days):
    frame = ten_days.frame
    assert list(frame["rank"]) == list(range(1 + len(ten_days.alternatives)))
    assert "\n" not in repr(ten_days)
    assert "<table" in ten_days._repr_html_()


def test_explain_names_formula_interval_and_unknown_figures(ten_days):
    assert "gpu_hours x usd_per_gpu_hour" in ten_days.explain("cost_usd")
    assert "80 % interval" in ten_days.explain("loss")
    assert "binding" in ten_days.explain("binding")
    with pytest.raises(UnknownNameError, match="cost_usd"):
        ten_days.explain("costs_usd")


# --- published runs -------------------------------------------------------------------------------------------------


def test_llama2_7b_accelerator_hours():
    """184,320 A100 hours for 2T tokens (arXiv:2307.09288, table 2), restarts included."""
    a = sim.run(
        {
            "model": LLAMA2,
            "hardware": {"accelerator": "a100-sxm-80gb", "n_gpus": 1024},
            "training": {"tokens": "2T", "seq_length": 4096, "global_batch_tokens": "4M"},
        }
    ).answer
    assert a["params"] == 6_738_415_616
    assert 0.65 < a["gpu_hours"] / 184_320 < 1.1
    assert a["global_batch_tokens"] == pytest.approx(4e6, rel=0.05)


def test_gpt3_on_1024_a100_takes_about_a_month():
    """34 days for 300B tokens at 140 TFLOP/s with recomputation (arXiv:2104.04473, section 5.1)."""
    a = sim.run(
        {
            "model": GPT3,
            "hardware": {"accelerator": "a100-sxm-80gb", "n_gpus": 1024},
            "parallelism": {"tp": 8, "pp": 8},
            "training": {
                "tokens": "300B",
                "seq_length": 2048,
                "global_batch_size": 1536,
                "micro_batch_size": 1,
                "recompute": "full",
            },
        }
    ).answer
    assert a["params"] == pytest.approx(174.6e9, rel=1e-3)
    assert 0.7 < a["time_to_train_days"] / 34 < 1.3
    assert 0.7 < a["hfu"] * a["peak_tflops"] / 140 < 1.4
    assert (a["tp"], a["pp"], a["dp"]) == (8, 8, 16)


# --- limits ---------------------------------------------------------------------------------------------------------


def test_a_time_limit_is_used_up_and_a_cost_limit_is_kept(ten_days):
    a = ten_days.answer
    assert a["time_to_train_days"] == pytest.approx(10)
    assert a["cost_usd"] <= 60_000
    assert ten_days.binding["constraint"] == "time"
    dear = sim.run({**TEN_DAYS, "budget": {"time": "10 days", "cost": "$20k"}, "search": SMALL_SEARCH})
    assert dear.binding["constraint"] == "money"
    assert dear.answer["cost_usd"] == pytest.approx(20_000)
    assert dear.answer["time_to_train_days"] < 10


def test_shadow_prices_point_the_right_way(ten_days):
    prices = ten_days.binding["shadow_prices"]
    assert prices["time"]["loss_difference"] < 0
    assert prices["time"]["compute_multiplier"] > 1
    assert prices["money"]["loss_difference"] == 0


def test_shadow_price_is_what_a_longer_run_finds(ten_days):
    longer = sim.run({**TEN_DAYS, "budget": {"time": "11 days", "cost": "$60k"}})
    promised = ten_days.binding["shadow_prices"]["time"]["loss_difference"]
    assert longer.answer["loss"] - ten_days.answer["loss"] == pytest.approx(promised, rel=0.1)


def test_time_budget_moves_tokens_and_fixed_tokens_move_time(ten_days):
    budgeted, fixed = ten_days.answer["interval"], estimate().answer["interval"]
    assert budgeted["time_to_train_days"][0] == pytest.approx(budgeted["time_to_train_days"][1])
    assert budgeted["tokens"][0] < budgeted["tokens"][1]
    assert fixed["time_to_train_days"][0] < fixed["time_to_train_days"][1]
    assert fixed["tokens"][0] == fixed["tokens"][1]


def test_little_data_makes_data_the_limit_and_says_so():
    scarce = sim.run({**TEN_DAYS, "training": {"unique_tokens": "5B"}, "search": SMALL_SEARCH})
    plenty = sim.run({**TEN_DAYS, "training": {}, "search": SMALL_SEARCH})
    assert scarce.answer["epochs"] > 4
    assert scarce.binding["constraint"] == "data"
    assert {"repeated-data"} <= {w["id"] for w in scarce.warnings}
    assert scarce.answer["loss"] > plenty.answer["loss"]


def test_serving_demand_moves_to_a_smaller_model(ten_days):
    served = sim.run({**TEN_DAYS, "inference": {"tokens": "10B"}})
    assert served.answer["params"] < ten_days.answer["params"]
    assert served.answer["lifetime_cost_usd"] <= 60_000 * (1 + 1e-9)


def test_plans_leave_room_in_memory(ten_days):
    assert ten_days.answer["memory_verdict"] == "FITS"


# --- nothing runs ---------------------------------------------------------------------------------------------------


def test_model_that_does_not_fit_says_by_how_much_and_what_would():
    result = sim.run(
        {
            "model": GPT3,
            "hardware": {"accelerator": "a100-sxm-80gb", "n_gpus": 8},
            "training": {"tokens": "300B", "seq_length": 2048},
        }
    )
    assert not result.feasible
    assert result.infeasible["reason"] == "memory"
    assert result.infeasible["needed"] > result.infeasible["available"]
    assert result.infeasible["smallest_change"]
    assert result.answer["memory_verdict"] == "DOES NOT FIT"
    assert json.dumps(result.to_dict(), allow_nan=False)


def test_estimate_over_its_limit_says_by_how_much():
    result = estimate(budget={"time": "1 hour"})
    assert result.infeasible["reason"] == "time"
    assert result.infeasible["needed"] == pytest.approx(result.answer["time_to_train_days"])
    assert result.infeasible["available"] == pytest.approx(1 / 24)


def test_pinned_layout_that_cannot_be_names_the_pin_to_free():
    result = estimate(
        hardware={"accelerator": "h100-sxm-80gb", "n_gpus": 48},
        parallelism={"tp": 1, "pp": 1},
        training={"global_batch_size": 64},
    )
    assert not result.feasible
    assert result.answer == {}
    assert "batch" in result.infeasible["text"]
    assert "global_batch_size" in result.infeasible["smallest_change"]


def test_search_without_a_plan_names_the_reason():
    cheap = {**TEN_DAYS, "training": {"tokens": "100T"}, "search": SMALL_SEARCH}
    result = sim.run(cheap)
    assert not result.feasible
    assert result.infeasible["reason"] in ("time", "cost")


def test_limit_on_cost_without_a_price_asks_for_it():
    inline = {
        "name": "mine",
        "memory": "80 GB",
        "memory_bandwidth": "2 TB/s",
        "peak_flops": {"bf16": "300 TFLOP/s"},
    }
    inline |= {"source": "datasheet", "retrieved": "2026-11-01"}
    result = sim.run({**TEN_DAYS, "hardware": {"accelerator": inline, "n_gpus": 8}, "search": SMALL_SEARCH})
    assert result.infeasible["reason"] == "price"
    assert "hardware.price" in result.infeasible["text"]


def test_unknown_clock_is_named():
    with pytest.raises(UnknownNameError, match="memory_copies"):
        estimate(clock="memory_copy")


# --- other questions ------------------------------------------------------------------------------------------------


def test_tokens_may_be_left_open():
    result = estimate(training={})
    assert result.answer["time_to_train_days"] is None
    assert result.answer["loss"] is None
    assert result.answer["step_time_s"] > 0
    assert {"no-tokens"} <= {w["id"] for w in result.warnings}


def test_several_machines_in_an_estimate_are_compared():
    two = [{"accelerator": name, "n_gpus": 64} for name in ("a100-sxm-80gb", "h100-sxm-80gb")]
    timed = estimate(hardware=two)
    assert timed.answer["cost_usd"] <= min(
        a["cost_usd"] for a in timed.alternatives if a["kind"] == "hardware"
    )
    fastest = estimate(hardware=two, training={})
    assert fastest.answer["accelerator"] == "h100-sxm-80gb"
    assert fastest.answer["step_time_s"] == estimate(training={}).answer["step_time_s"]


def test_steps_set_the_tokens():
    a = estimate(training={"steps": 1000, "global_batch_size": 64}).answer
    assert a["steps"] == pytest.approx(1000)
    assert a["tokens"] == pytest.approx(1000 * 64 * 4096)


def test_rival_clocks_answer_too():
    times = {
        clock: estimate(clock=clock).answer["step_time_s"]
        for clock in ("memory_copies", "constant_mfu", "flops")
    }
    assert all(value > 0 for value in times.values())
    assert len({round(value, 6) for value in times.values()}) == 3


def test_settings_and_shipped_objects_are_accepted():
    asked = {
        "model": LLAMA2,
        "hardware": {"accelerator": "h100-sxm-80gb", "n_gpus": 8},
        "training": {"tokens": "1B"},
    }
    scenario = sim.load_scenario(asked)
    assert sim.run(scenario).to_dict() == sim.run(asked).to_dict()
    changed = sim.run(asked, set=["training.tokens=2B"])
    assert changed.answer["tokens"] == 2e9


def test_mixture_of_experts_runs_and_warns():
    mixtral = {
        "num_hidden_layers": 32,
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "num_experts": 8,
        "num_experts_per_tok": 2,
    }
    result = estimate(model=mixtral, training={"tokens": "100B", "seq_length": 4096})
    assert result.answer["active_params"] < result.answer["params"]
    assert result.answer["params"] == pytest.approx(46.7e9, rel=0.01)
    assert {"moe-loss"} <= {w["id"] for w in result.warnings}


def test_growth_is_planned_beside_scratch():
    asked = {**TEN_DAYS, "find": "growth", "growth": {"operator": "hypercloning", "max_stages": 2}}
    result = sim.run(asked)
    cases = result.growth["cases"]
    assert set(cases) == {"pessimistic", "central", "optimistic"}
    losses = [cases[name]["loss"] for name in ("pessimistic", "central", "optimistic")]
    assert losses == sorted(losses, reverse=True)
    central = cases["central"]
    assert central["pays"] == (central["loss"] < central["loss_scratch"])
    if central["pays"]:
        first, last = result.stages
        assert last["hidden_size"] == 2 * first["hidden_size"]
        assert last["num_hidden_layers"] == first["num_hidden_layers"]
        assert sum(stage["time_days"] for stage in result.stages) == pytest.approx(10, rel=1e-6)
        assert result.answer["hidden_size"] == last["hidden_size"]
        assert result.answer["tokens"] == pytest.approx(sum(stage["tokens"] for stage in result.stages))
    else:
        assert not result.stages


def test_growth_from_scratch_agrees_with_the_search(ten_days):
    """Two ways to the same number: the schedule of one stage and the search, up to the sizes that growth looks at."""
    asked = {**TEN_DAYS, "growth": {"max_stages": 2}, "training": {"seq_length": 4096}}
    result = sim.run(asked)
    scratch = result.growth["cases"]["central"]["loss_scratch"]
    assert scratch == pytest.approx(result.answer["loss"], abs=0.01)


def test_existing_model_is_sunk_cost():
    asked = {
        **TEN_DAYS,
        "find": "growth",
        "training": {"seq_length": 4096},  # data without end: growth is not judged on repeated ones
        "growth": {"source_model": LLAMA2, "source_tokens": "1T"},
        "search": {**SMALL_SEARCH, "hidden_size": [*SMALL_SEARCH["hidden_size"], 8192]},
    }
    result = sim.run(asked)
    assert result.stages[0]["cost_usd"] == 0
    assert result.stages[-1]["params"] > result.stages[0]["params"]


def test_hardware_question_ranks_machines():
    names = ["a100-sxm-80gb", "h100-sxm-80gb"]
    result = sim.run(
        {
            "find": "hardware",
            "model": LLAMA2,
            "training": {"tokens": "100B"},
            "budget": {"time": "30 days"},
            "hardware": [{"accelerator": name, "n_gpus": 64} for name in names],
        }
    )
    assert result.answer["accelerator"] in names
    others = [row for row in result.alternatives if row["kind"] == "hardware"]
    assert {result.answer["accelerator"], *(row["accelerator"] for row in others)} == set(names)
    assert others[0]["cost_usd"] >= result.answer["cost_usd"]
    assert others[0]["why"]


def test_fewest_accelerators_for_a_deadline_are_found():
    asked = {
        "find": "hardware",
        "model": LLAMA2,
        "training": {"tokens": "100B"},
        "hardware": {"accelerator": "h100-sxm-80gb", "price": "$2/GPU-h"},
    }
    tight = sim.run({**asked, "budget": {"time": "2 days"}}).answer
    loose = sim.run({**asked, "budget": {"time": "40 days"}}).answer
    assert tight["time_to_train_days"] <= 2
    assert tight["n_gpus"] >= loose["n_gpus"]
    assert loose["cost_usd"] <= tight["cost_usd"] * 1.03


def test_step_time_in_one_call():
    seconds = sim.step_time(LLAMA2, "a100-sxm-80gb", n_gpus=8, micro_batch_size=1, global_batch_size=64, tp=2)
    result = estimate(
        hardware={"accelerator": "a100-sxm-80gb", "n_gpus": 8},
        training={"micro_batch_size": 1, "global_batch_size": 64},
        parallelism={"tp": 2},
    )
    assert seconds == result.answer["step_time_s"]
    with pytest.raises(InfeasibleError, match="memory"):
        sim.step_time(GPT3, "a100-sxm-80gb", n_gpus=1)


def test_compare_ranks_marks_and_explains():
    asked = {
        "model": LLAMA2,
        "hardware": {"accelerator": "a100-sxm-80gb", "n_gpus": 8},
        "training": {"tokens": "10B"},
    }
    compared = sim.compare(asked, ["a100-sxm-80gb", "h100-sxm-80gb", "rtx-4090-24gb:1"])
    assert callable(sim.compare)
    assert [row["rank"] for row in compared.rows] == [1, 2, 3]
    running = [row for row in compared.rows if row["feasible"]]
    assert running[0]["pareto"]
    costs = [row["cost_usd"] for row in running]
    assert costs == sorted(costs)
    assert all(row["why"] for row in compared.rows[1:])
    lost = compared.rows[-1]
    assert (lost["accelerator"], lost["feasible"]) == ("rtx-4090-24gb", False)
    assert json.dumps(compared.to_dict(), allow_nan=False)
    assert list(compared.frame["accelerator"]) == [row["accelerator"] for row in compared.rows]


def test_intervals_widen_with_weaker_evidence():
    known = estimate().answer
    inline = {
        "name": "mine",
        "memory": "80 GB",
        "memory_bandwidth": "3.35 TB/s",
        "peak_flops": {"bf16": "989 TFLOP/s"},
        "sm_count": 132,
        "source": "datasheet",
        "retrieved": "2026-11-01",
    }
    unknown = estimate(hardware={"accelerator": inline, "n_gpus": 64})
    assert unknown.answer["evidence"]["grade"] == "datasheet"
    assert {"evidence"} <= {w["id"] for w in unknown.warnings}

    def factors(answer):
        low, high = answer["interval"]["step_time_s"]
        return low / answer["step_time_s"], high / answer["step_time_s"]

    assert factors(unknown.answer)[0] <= factors(known)[0]
    assert factors(unknown.answer)[1] >= factors(known)[1]
    assert factors(unknown.answer) != factors(known)


def test_autocast_is_the_usual_of_plain_pytorch_and_can_be_turned_off() -> None:
    from simulator import run

    asked = {
        "model": "llama-3.2-1b",
        "hardware": {"accelerator": "h100-sxm-80gb", "n_gpus": 1},
        "software": "generic",
        "training": {"tokens": "1B", "seq_length": 2048, "global_batch_size": 16, "micro_batch_size": 4},
    }

    def step(**training: object) -> float:
        return float(run({**asked, "training": {**asked["training"], **training}}).answer["step_time_s"])

    assert step() == step(autocast=True) > step(autocast=False)
    assert step(precision="fp32", autocast=True) == step(precision="fp32", autocast=False)
    assert step(optimizer="sgd") < step()
