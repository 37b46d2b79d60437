"""Hybrid sharding: ZeRO inside groups that are replicas of each other, in clock, memory, search and files."""

from __future__ import annotations

from typing import Any

import pytest

import simulator as sim
from simulator import calibrations, clock, collectives, memory, traffic
from simulator.exporters.check import export
from simulator.exporters.plan import plan_of
from simulator.importers import deepspeed, llmfoundry, megatron, torchtitan
from simulator.layout import Layout, is_hybrid, shard_degree
from simulator.report.decision import layout_words
from simulator.schema import load_accelerator, load_model, load_scenario
from simulator.transformer import shape_of

H100 = load_accelerator("h100-sxm-80gb")
DEVICE = calibrations.device_of(H100)
CONSTANTS, _ = calibrations.constants_of(H100, software="fsdp")
SHAPE = shape_of(load_model("llama-3.1-8b"))
WHOLE = Layout(dp=64, micro_batch_size=1, num_microbatches=4, zero_stage=3, seq_length=4096)
HYBRID = WHOLE.with_(shard_group=8)

SCENARIO: dict[str, Any] = {
    "model": "llama-3.1-8b",
    "software": "fsdp",
    "hardware": {"accelerator": "h100-sxm-80gb", "n_gpus": 64},
    "training": {"tokens": 1e9, "seq_length": 4096, "global_batch_size": 256},
}


def test_one_group_of_all_is_plain_sharding() -> None:
    same = WHOLE.with_(shard_group=64)
    assert not is_hybrid(same)
    assert is_hybrid(HYBRID)
    assert shard_degree(same) == shard_degree(WHOLE) == 64
    one, other = (clock.memory_copies(SHAPE, each, DEVICE, CONSTANTS) for each in (WHOLE, same))
    assert {k: float(v) for k, v in one.items()} == {k: float(v) for k, v in other.items()}


def test_gathers_stay_in_the_group_and_gradients_meet_once_per_step() -> None:
    inside = traffic.gather_time(SHAPE, HYBRID, DEVICE, CONSTANTS)
    alone = traffic.gather_time(SHAPE, WHOLE.with_(dp=8), DEVICE, CONSTANTS)
    across = traffic.gather_time(SHAPE, WHOLE, DEVICE, CONSTANTS)
    assert inside == alone
    assert inside[0] < across[0]
    assert traffic.data_parallel_time(SHAPE, WHOLE, DEVICE, CONSTANTS) == 0.0
    between = float(traffic.data_parallel_time(SHAPE, HYBRID, DEVICE, CONSTANTS))
    dense, _ = traffic.device_parameters(SHAPE, HYBRID)
    wire = collectives.all_reduce_bytes(nbytes=dense * CONSTANTS.gradient_bytes / 8, ranks=8)
    least = wire / (DEVICE.network_bandwidth * CONSTANTS.network_efficiency)
    assert least < between < 4 * least


@pytest.mark.parametrize("zero_stage", [1, 2, 3])
@pytest.mark.parametrize("group", [1, 2, 8, 32, 64])
def test_memory_is_that_of_a_run_of_one_group(zero_stage: int, group: int) -> None:
    hybrid = WHOLE.with_(zero_stage=zero_stage, shard_group=group)
    held = memory.peak(SHAPE, hybrid)
    alone = memory.peak(SHAPE, WHOLE.with_(zero_stage=zero_stage, dp=group))
    for name in ("weights", "gradients", "optimizer"):
        if group > 1 or name == "weights":
            assert held[name] == pytest.approx(alone[name])


def test_larger_groups_hold_less() -> None:
    totals = [float(memory.peak(SHAPE, WHOLE.with_(shard_group=g))["total"]) for g in (2, 4, 8, 16, 32, 64)]
    assert totals == sorted(totals, reverse=True)


def test_replicas_without_zero_are_plain_data_parallelism() -> None:
    plain, grouped = WHOLE.with_(zero_stage=0), WHOLE.with_(zero_stage=0, shard_group=8)
    assert traffic.data_parallel_time(SHAPE, plain, DEVICE, CONSTANTS) == traffic.data_parallel_time(
        SHAPE, grouped, DEVICE, CONSTANTS
    )


def test_a_scenario_pins_the_group_and_the_answer_says_so() -> None:
    training = {**SCENARIO["training"], "micro_batch_size": 1, "recompute": "none"}
    fixed = {**SCENARIO, "training": training, "parallelism": {"tp": 1, "pp": 1}}
    answer = sim.run({**fixed, "parallelism": {"tp": 1, "pp": 1, "shard_group": 8}}).answer
    whole = sim.run(fixed).answer
    assert answer["shard_group"] == 8
    assert "shard_group" not in whole
    assert answer["memory_gib"] > whole["memory_gib"]
    assert "ZeRO 3 in groups of 8" in layout_words(answer)


def test_a_group_that_does_not_divide_the_ranks_is_an_answer_with_a_reason() -> None:
    result = sim.run({**SCENARIO, "parallelism": {"shard_group": 7}})
    assert not result.feasible
    assert "shard_group" in str(result.infeasible)


# --- files ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("program", "stage", "software"), [("torchtitan", 3, "fsdp"), ("deepspeed", 3, "deepspeed")]
)
def test_written_files_read_back(program: str, stage: int, software: str) -> None:
    changes = {"software": software, "parallelism": {"shard_group": 8, "zero_stage": stage, "tp": 1, "pp": 1}}
    scenario = load_scenario({**SCENARIO, **changes})
    text = export(plan_of(scenario, sim.run(scenario)), program).text
    said = {"torchtitan": "data_parallel_replicate_degree = 8", "deepspeed": '"mics_shard_size": 8'}
    assert said[program] in text


def test_megatron_counts_instances_of_the_optimizer() -> None:
    changes = {"software": "megatron", "parallelism": {"shard_group": 8, "zero_stage": 1, "tp": 2, "pp": 1}}
    scenario = load_scenario({**SCENARIO, **changes})
    text = export(plan_of(scenario, sim.run(scenario)), "megatron").text
    assert "--num-distributed-optimizer-instances 4" in text
    read = megatron.read_script(text, n_gpus=64)
    assert read.data["parallelism"]["shard_group"] == 8


@pytest.mark.parametrize("instances", [3, -2, 1000])
def test_instances_that_do_not_divide_the_ranks_are_named(instances: int) -> None:
    text = (
        "torchrun pretrain_gpt.py --num-layers 32 --hidden-size 4096 --num-attention-heads 32 --seq-length 4096 "
        "--micro-batch-size 1 --global-batch-size 512 --bf16 --use-distributed-optimizer "
        f"--num-distributed-optimizer-instances {instances}"
    )
    read = megatron.read_script(text, n_gpus=64)
    assert "shard_group" not in read.data.get("parallelism", {})
    named = [line for line in read.not_understood if "does not divide 64" in line]
    assert len(named) == 1
    assert "num-distributed-optimizer-instances" in named[0]


@pytest.mark.parametrize(
    ("degrees", "n_gpus", "group"),
    [
        ({"data_parallel_replicate_degree": 8, "data_parallel_shard_degree": 8}, None, 8),
        ({"data_parallel_replicate_degree": 8, "data_parallel_shard_degree": -1}, 64, 8),
        (
            {
                "data_parallel_replicate_degree": 4,
                "data_parallel_shard_degree": 4,
                "context_parallel_degree": 2,
            },
            None,
            8,
        ),
        ({"data_parallel_replicate_degree": 1, "data_parallel_shard_degree": 8}, None, None),
        ({"data_parallel_replicate_degree": 3, "data_parallel_shard_degree": -1}, 64, None),
        ({"data_parallel_replicate_degree": 8, "data_parallel_shard_degree": 1}, None, None),
    ],
)
def test_torchtitan(degrees: dict[str, int], n_gpus: int | None, group: int | None) -> None:
    data = {"model": {"name": "llama3", "flavor": "8B"}, "training": {"local_batch_size": 1, "seq_len": 8192, "steps": 9},
            "parallelism": degrees}  # fmt: skip
    read = torchtitan.read_mapping(data, n_gpus=n_gpus)
    assert read.data.get("parallelism", {}).get("shard_group") == group
    assert any("does not divide" in line for line in read.not_understood) == (
        degrees["data_parallel_replicate_degree"] == 3
    )


def test_deepspeed_and_llm_foundry() -> None:
    states = {
        "train_batch_size": 64,
        "zero_optimization": {"stage": 3, "mics_shard_size": 8},
        "bf16": {"enabled": True},
    }
    assert deepspeed.read_mapping(states, n_gpus=64).data["parallelism"]["shard_group"] == 8
    foundry = {"max_seq_len": 2048, "fsdp_config": {"sharding_strategy": "HYBRID_SHARD"}}
    assert llmfoundry.read_mapping(foundry, n_gpus=64).data["parallelism"]["shard_group"] == 8
    foundry["fsdp_config"] = {"device_mesh": [4, 16]}
    assert llmfoundry.read_mapping(foundry, n_gpus=64).data["parallelism"]["shard_group"] == 16
