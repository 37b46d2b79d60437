"""Plans that a program would refuse when it starts are refused by the export, with the setting that avoids it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from simulator.errors import SpecError
from simulator.exporters import TrainingPlan, demands, export, plan_of
from simulator.importers import deepspeed, megatron
from simulator.schema import load_scenario
from simulator.simulate import run

DENSE: dict[str, Any] = {
    "model": "llama-3.1-8b",
    "training": {"steps": 10, "seq_length": 4096, "global_batch_size": 128, "micro_batch_size": 1},
    "parallelism": {"tp": 2, "pp": 1, "cp": 1, "zero_stage": 1},
    "hardware": {"accelerator": "h100-sxm-80gb", "n_gpus": 64},
}
MIXTURE: dict[str, Any] = {
    **DENSE,
    "model": "mixtral-8x7b",
    "parallelism": {"tp": 2, "pp": 2, "ep": 8, "zero_stage": 1},
}


def planned(data: dict[str, Any], **parallelism: Any) -> TrainingPlan:
    scenario = load_scenario({**data, "parallelism": {**data["parallelism"], **parallelism}})
    return plan_of(scenario, run(scenario))


def changed(plan: TrainingPlan, **values: Any) -> TrainingPlan:
    """The plan with other values, as another scenario would have brought them."""
    layout = {name: values.get(name, value) for name, value in plan.layout.items()}
    training = {name: values.get(name, value) for name, value in plan.training.items()}
    return replace(plan, layout=layout, training=training)


@pytest.mark.parametrize(("tp", "stage", "starts"), [(2, 3, False), (2, 2, True), (2, 1, True), (1, 3, True)])
def test_deepspeed_takes_automatic_tensor_parallelism_up_to_zero_2(
    tp: int, stage: int, *, starts: bool
) -> None:
    """engine.py: assert self.zero_optimization_stage() <= 2."""
    plan = planned(DENSE, tp=tp, zero_stage=stage)
    if starts:
        assert export(plan, "deepspeed").text
        return
    with pytest.raises(SpecError, match="takes ZeRO up to 2, not 3") as caught:
        export(plan, "deepspeed")
    assert "--set parallelism.tp=1, or --set parallelism.zero_stage=1" in str(caught.value)


def test_deepspeed_says_everything_at_once() -> None:
    plan = changed(planned(DENSE), zero_stage=3, pp=2)
    with pytest.raises(SpecError) as caught:
        export(plan, "deepspeed")
    assert all(word in str(caught.value) for word in ("takes ZeRO up to 2", "pp = 2"))


def test_deepspeed_shards_in_groups_under_zero_3_only() -> None:
    plan = planned(DENSE, tp=1, zero_stage=1)
    assert demands.deepspeed(changed(plan, shard_group=8, zero_stage=3)) == []
    assert "under ZeRO 3 only" in demands.deepspeed(changed(plan, shard_group=8))[0]


@pytest.mark.parametrize(
    ("optimizer", "kind", "untested"),
    [("adamw", "AdamW", False), ("lion", "Lion", False), ("sgd", "SGD", True), ("sgd_momentum", "SGD", True)],
)
def test_zero_is_told_of_optimizers_that_it_was_not_tested_with(
    optimizer: str, kind: str, *, untested: bool
) -> None:
    """zero/utils.py lists the others; engine.py asserts zero_allow_untested_optimizer."""
    plan = changed(planned(DENSE), optimizer=optimizer)
    data = json.loads(export(plan, "deepspeed").text)
    assert data["optimizer"]["type"] == kind
    assert data.get("zero_allow_untested_optimizer", False) == untested
    assert deepspeed.read_mapping(data).data["training"]["optimizer"] == optimizer


@pytest.mark.parametrize("optimizer", ["adamw", "sgd", "sgd_momentum"])
def test_megatrons_sgd_has_the_momentum_of_the_plan(optimizer: str) -> None:
    text = export(changed(planned(DENSE), optimizer=optimizer), "megatron").text
    assert megatron.read_script(text).data["training"]["optimizer"] == optimizer


@pytest.mark.parametrize(
    ("data", "change", "says"),
    [
        (MIXTURE, {"precision": "fp16"}, "its expert parallelism has no fp16"),
        (MIXTURE, {"sequence_parallel": False}, "need sequence parallelism"),
        (DENSE, {"tp": 16}, "tp 16 must divide the 8 heads of keys and values (--set parallelism.tp=8)"),
        (DENSE, {"cp": 3}, "2 x cp = 6 must divide the sequence length 4096"),
    ],
)
def test_megatron_refuses(data: dict[str, Any], change: dict[str, Any], says: str) -> None:
    plan = planned(data)
    assert demands.megatron(plan) == []
    with pytest.raises(SpecError) as caught:
        export(changed(plan, **change), "megatron")
    assert says in str(caught.value)


@pytest.mark.parametrize(("precision", "grouped"), [("bf16", True), ("fp16", False), ("fp32", False)])
def test_grouped_experts_are_in_bf16(precision: str, *, grouped: bool) -> None:
    """arguments.py: Currently GroupedGEMM for MoE only supports bf16 dtype."""
    plan = changed(planned(MIXTURE, ep=1), precision=precision)
    assert ("--moe-grouped-gemm" in export(plan, "megatron").text) == grouped


def test_latent_attention_has_no_heads_of_keys_to_divide() -> None:
    plan = planned({**DENSE, "model": "deepseek-v2-lite"}, tp=1, ep=8)
    assert demands.megatron(replace(plan, sizes={**plan.sizes, "num_key_value_heads": 3})) == []


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"zero_stage": 0}, "it has data parallelism alone"),
        ({"tp": 3}, "must divide the sequence length 4096"),
    ],
)
def test_torchtitan_refuses(change: dict[str, Any], says: str) -> None:
    plan = planned(DENSE, zero_stage=3)
    assert demands.torchtitan(plan) == []
    with pytest.raises(SpecError) as caught:
        export(changed(plan, **change), "torchtitan")
    assert says in str(caught.value)


def test_nanotron_divides_the_heads_of_keys() -> None:
    plan = planned(DENSE)
    assert demands.nanotron(plan) == []
    assert "must divide the 8 heads" in demands.nanotron(changed(plan, tp=16))[0]
