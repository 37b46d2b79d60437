"""Accelerate's YAML, and files of programs that are known but not read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from simulator.cli import main
from simulator.errors import SpecError
from simulator.importers.accelerate import read_mapping
from simulator.importers.read import MARKS, kind_of, read_file, unread
from simulator.schema import load_scenario

SHARDED: dict[str, Any] = {
    "compute_environment": "LOCAL_MACHINE",
    "distributed_type": "FSDP",
    "fsdp_config": {
        "fsdp_auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
        "fsdp_sharding_strategy": "HYBRID_SHARD",
        "fsdp_offload_params": False,
    },
    "mixed_precision": "bf16",
    "num_machines": 2,
    "num_processes": 16,
}
TEXT = """
compute_environment: LOCAL_MACHINE
distributed_type: FSDP
fsdp_config: {fsdp_sharding_strategy: HYBRID_SHARD, fsdp_offload_params: false}
mixed_precision: bf16
num_machines: 1
num_processes: 8
"""


def read(**changes: Any) -> dict[str, Any]:
    return dict(read_mapping({**SHARDED, **changes}).data)


def test_a_file_of_accelerate_is_not_one_of_llm_foundry(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "acc.yaml"
    path.write_text(TEXT)
    assert main(["import", str(path), "--hardware", "h100-sxm-80gb:8"]) == 0
    out = capsys.readouterr()
    assert "software: fsdp" in out.out
    assert "shard_group: 8" in out.out
    assert "accelerate: " in out.err
    assert "fsdp_sharding_strategy HYBRID_SHARD -> parallelism.zero_stage = 3" in out.err


def test_a_sharding_block_alone_tells_no_program() -> None:
    assert kind_of({"fsdp_config": {}}) == ""
    assert kind_of({"fsdp_config": {}, "max_seq_len": 2048}) == "llm-foundry"
    assert kind_of(SHARDED) == "accelerate"
    assert all("fsdp_config" not in marks for marks in MARKS.values())


@pytest.mark.parametrize(
    ("strategy", "parallelism"),
    [
        ("HYBRID_SHARD", {"zero_stage": 3, "shard_group": 8}),
        ("HYBRID_SHARD_ZERO2", {"zero_stage": 2, "shard_group": 8}),
        ("FULL_SHARD", {"zero_stage": 3}),
        (1, {"zero_stage": 3}),
        ("SHARD_GRAD_OP", {"zero_stage": 2}),
        ("NO_SHARD", {"zero_stage": 0}),
        (None, {"zero_stage": 3}),
    ],
)
def test_strategies_of_fsdp(strategy: Any, parallelism: dict[str, int]) -> None:
    found = read(fsdp_config={"fsdp_sharding_strategy": strategy})
    assert found["parallelism"] == {**parallelism, "tp": 1, "pp": 1}


@pytest.mark.parametrize(("reshards", "stage"), [(True, 3), (False, 2), ("FULL_SHARD", 3)])
def test_version_two_says_whether_weights_are_freed(*, reshards: Any, stage: int) -> None:
    found = read(fsdp_config={"fsdp_version": 2, "fsdp_reshard_after_forward": reshards})
    assert found["parallelism"]["zero_stage"] == stage


def test_degrees_of_accelerates_own_mesh() -> None:
    mesh = {"dp_replicate": 2, "dp_shard": 2, "tp": 2, "cp": 1}
    config = {f"parallelism_config_{name}_size": size for name, size in mesh.items()}
    found = read(fsdp_config={"fsdp_version": 2}, parallelism_config=config, num_processes=8, num_machines=1)
    assert found["parallelism"] == {"zero_stage": 3, "tp": 2, "cp": 1, "pp": 1, "shard_group": 2}


@pytest.mark.parametrize(
    ("word", "precision"), [("bf16", "bf16"), ("no", "fp32"), (False, "fp32"), (None, "fp32")]
)
def test_precision(word: Any, precision: str) -> None:
    assert read(mixed_precision=word)["training"]["precision"] == precision


def test_deepspeed_inside_accelerate() -> None:
    config = {"zero_stage": 3, "offload_optimizer_device": "cpu", "gradient_accumulation_steps": 4}
    found = read_mapping(
        {**SHARDED, "distributed_type": "DEEPSPEED", "fsdp_config": None, "deepspeed_config": config}
    )
    assert found.data["software"] == "deepspeed"
    assert found.data["parallelism"]["zero_stage"] == 3
    assert sum("offload" in line or "accumulation" in line for line in found.not_understood) == 2
    apart = {"deepspeed_config_file": "ds.json"}
    found = read_mapping({"distributed_type": "DEEPSPEED", "num_processes": 8, "deepspeed_config": apart})
    assert any("ds.json" in line for line in found.missing)


def test_whole_copies_are_plain_data_parallelism() -> None:
    found = read_mapping({"distributed_type": "MULTI_GPU", "num_processes": 8, "num_machines": 1})
    assert (found.data["software"], found.data["parallelism"]["zero_stage"]) == ("hf", 0)


def test_other_ways_are_refused_by_name() -> None:
    with pytest.raises(SpecError, match="MEGATRON_LM is not read here; FSDP, DEEPSPEED"):
        read_mapping({"distributed_type": "MEGATRON_LM", "num_processes": 8})


def test_nothing_leaves_the_file_in_silence_and_the_rest_is_a_scenario() -> None:
    found = read_mapping({**SHARDED, "fsdp_config": {**SHARDED["fsdp_config"], "fsdp_colour": "red"}})
    assert found.not_understood == ("fsdp_config.fsdp_colour = red",)
    data = {**found.data, "model": "llama-3.1-8b"}
    data["hardware"] = {**data["hardware"], "accelerator": "h100-sxm-80gb"}
    assert load_scenario(data).hardware[0].n_gpus == 16
    assert [line.split(":")[0] for line in found.missing] == [
        "training.recompute",
        "model",
        "training.seq_length",
        "training.global_batch_size",
    ]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("base_model: meta-llama/Llama-3.1-8B\nsequence_len: 4096\nadapter: qlora\ntokens: [x]\n", "Axolotl"),
        ("base_model: x\nsequence_len: 4096\nfsdp_config: {}\n", "Axolotl"),
        ("model_name_or_path: x\nfinetuning_type: lora\nstage: sft\n", "LLaMA-Factory"),
    ],
)
def test_files_that_are_known_and_not_read_are_named(text: str, name: str, tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(text)
    with pytest.raises(SpecError, match=f"a file of {name}, which is not read here"):
        read_file(path)
    assert unread({}) == ""
