"""What an export must say beside sizes and degrees: programs start with it, and compute the model that was imported."""

from __future__ import annotations

import json
import os
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

from simulator.errors import SpecError
from simulator.exporters import EXPORTERS, TrainingPlan, export, plan_of
from simulator.exporters.stages import dealt, layout
from simulator.importers import megatron
from simulator.importers.kept import kept
from simulator.importers.megatron_stages import layers_of
from simulator.importers.read import read_file
from simulator.importers.shell import arguments
from simulator.importers.torchtitan_stages import dealt as dealt_by_torchtitan
from simulator.memory import MEMORY_PROFILES
from simulator.schema import load_scenario
from simulator.simulate import run

HF = Path(__file__).parent / "data" / "hf"

DENSE: dict[str, Any] = {
    "name": "dense",
    "model": "llama-3.1-8b",
    "training": {"steps": 10, "seq_length": 8192, "global_batch_size": 128, "micro_batch_size": 1},
    "hardware": {"accelerator": "h100-sxm-80gb", "n_gpus": 64},
}
SMALL = {"num_hidden_layers": 16, "hidden_size": 2048, "num_attention_heads": 16}
DEEP: dict[str, Any] = {
    **DENSE,
    "name": "deep",
    "model": "llama-3.1-405b",
    "hardware": {"accelerator": "b300-sxm-288gb", "n_gpus": 1024},
    "parallelism": {"tp": 8, "pp": 16, "cp": 1, "vp": 1, "zero_stage": 1},
}


def planned(data: dict[str, Any], **changes: Any) -> TrainingPlan:
    scenario = load_scenario({**data, **changes})
    return plan_of(scenario, run(scenario))


def words(text: str) -> dict[str, list[str]]:
    return arguments(text).options


def imported(config: dict[str, Any], tmp_path: Path) -> dict[str, Any]:
    path = tmp_path / "model.json"
    path.write_text(json.dumps(config))
    return dict(read_file(path, kind="huggingface").data)


# --- adapters -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("program", EXPORTERS)
def test_adapters_are_never_exported_as_full_training(program: str) -> None:
    training = {**DENSE["training"], "trainable": "lora", "lora_rank": 16}
    plan = planned(DENSE, training=training, parallelism={"tp": 1, "pp": 1, "zero_stage": 1})
    with pytest.raises(SpecError, match="adapters of rank 16") as caught:
        export(plan, program)
    assert "--set training.trainable=full --set training.lora_rank=null" in str(caught.value)


def test_everything_that_is_wrong_is_said_at_once() -> None:
    training = {**DENSE["training"], "trainable": "lora", "precision": "fp8"}
    plan = planned(DENSE, training=training, parallelism={"tp": 1, "pp": 1, "zero_stage": 3})
    with pytest.raises(SpecError) as caught:
        export(plan, "nanotron")
    said = str(caught.value)
    assert all(word in said for word in ("adapters", "no fp8", "ZeRO 0 and 1, not 3"))


# --- Megatron-LM ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("stage", "connections"), [(1, "1"), (2, "unset"), (3, "unset")])
def test_connections_are_one_except_under_fsdp(stage: int, connections: str, tmp_path: Path) -> None:
    """Megatron-LM asserts that they are one with tensor parallelism, and that they are not with FSDP."""
    (tmp_path / "torchrun").write_text('#!/bin/bash\necho "${CUDA_DEVICE_MAX_CONNECTIONS-unset}"\n')
    (tmp_path / "torchrun").chmod(0o755)
    script = tmp_path / "train.sh"
    script.write_text(export(planned(DENSE, parallelism={"tp": 2, "zero_stage": stage}), "megatron").text)
    env = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "CUDA_DEVICE_MAX_CONNECTIONS": "1"}
    done = subprocess.run(["/bin/bash", str(script)], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == connections


@pytest.mark.parametrize("stage", [0, 1, 2, 3])
def test_megatron_overlaps_what_the_clock_hides(stage: int) -> None:
    hardware = {"accelerator": "b300-sxm-288gb", "n_gpus": 64}
    plan = planned(DENSE, parallelism={"tp": 2, "pp": 1, "zero_stage": stage}, hardware=hardware)
    text = export(plan, "megatron").text
    found = words(text)
    assert "overlap-grad-reduce" in found
    assert ("overlap-param-gather" in found) == (stage > 0)
    assert not megatron.read_script(text).not_understood


def test_megatron_drops_nothing_where_memory_has_no_masks() -> None:
    assert all(not profile.dropout for profile in MEMORY_PROFILES.values())
    found = words(export(planned(DENSE), "megatron").text)
    assert found["attention-dropout"] == found["hidden-dropout"] == ["0.0"]


def test_the_null_tokenizer_adds_the_last_token() -> None:
    plan = planned(DENSE, model="llama-2-7b", parallelism={"tp": 2, "zero_stage": 1})
    text = export(plan, "megatron").text
    assert words(text)["vocab-size"] == ["31999"]
    assert megatron.read_script(text).data["model"]["vocab_size"] == 32000


# --- uneven pipelines -----------------------------------------------------------------------------------------------


def test_uneven_stages_are_named_as_llama_3_has_them() -> None:
    text = export(planned(DEEP), "megatron").text
    found = words(text)
    assert found["decoder-first-pipeline-num-layers"] == found["decoder-last-pipeline-num-layers"] == ["7"]
    back = megatron.read_script(text)
    assert not back.not_understood
    assert any("8 on the fullest -> as the planner deals them" in line for line in back.taken)


def test_uneven_virtual_stages_are_a_layout() -> None:
    text = export(planned(DEEP, parallelism={**DEEP["parallelism"], "vp": 2}), "megatron").text
    found = words(text)
    assert "num-virtual-stages-per-pipeline-rank" not in found
    assert layers_of(found["pipeline-model-parallel-layout"][0]) == dealt(126, 16, 2)
    assert megatron.read_script(text).data["parallelism"]["vp"] == 2


@pytest.mark.parametrize(
    ("layers", "pp", "vp"), [(126, 16, 1), (61, 16, 1), (9, 8, 1), (7, 2, 1), (126, 16, 2), (14, 4, 2)]
)
def test_stages_hold_what_the_planner_counts(layers: int, pp: int, vp: int) -> None:
    stages = dealt(layers, pp, vp)
    assert sum(stages) == layers
    ranks = [sum(stages[rank::pp]) for rank in range(pp)]
    fullest = -(-layers // pp)
    assert max(ranks) == fullest
    assert min(ranks) >= fullest - 1
    assert ranks[-1] == fullest - bool(layers % pp)
    assert layers_of(layout(stages)) == stages


def test_torchtitan_deals_layers_as_the_plan_counts_them() -> None:
    plan = planned(DEEP, parallelism={**DEEP["parallelism"], "zero_stage": 3}, software="fsdp")
    data = tomllib.loads(export(plan, "torchtitan").text)["parallelism"]
    ends = [data[f"pipeline_parallel_{end}_stage_less_layers"] for end in ("first", "last")]
    assert max(dealt_by_torchtitan(126, 16, *ends)) == 8
    assert (
        max(dealt_by_torchtitan(32, 4, 1, 1)) == 9
    )  # its own defaults overfill a stage where pp divides the layers
    assert max(dealt_by_torchtitan(32, 4, *ends)) == 8


# --- torchtitan -----------------------------------------------------------------------------------------------------


def torchtitan(schedule: str | None, vp: int, **changes: Any) -> str:
    layers = {"tp": 1, "pp": 4, "vp": vp, "zero_stage": 3} | ({"schedule": schedule} if schedule else {})
    return export(planned(DENSE, parallelism=layers, software="fsdp", **changes), "torchtitan").text


@pytest.mark.parametrize(
    ("schedule", "vp", "written", "per_stage"),
    [
        ("1f1b", 1, "1F1B", None),
        ("gpipe", 1, "GPipe", None),
        (None, 2, "Interleaved1F1B", None),
        ("interleaved", 4, "Interleaved1F1B", 2),
        ("zero_bubble", 2, "InterleavedZeroBubble", None),
    ],
)
def test_torchtitan_schedules_have_their_stages(
    schedule: str | None, vp: int, written: str, per_stage: int | None
) -> None:
    data = tomllib.loads(torchtitan(schedule, vp))["parallelism"]
    assert data["pipeline_parallel_schedule"] == written
    assert data.get("pipeline_parallel_layers_per_stage") == per_stage


@pytest.mark.parametrize("schedule", ["interleaved", "zero_bubble"])
def test_torchtitan_interleaves_no_single_stages(schedule: str) -> None:
    with pytest.raises(SpecError, match=r"two stages per rank or more \(--set parallelism.vp=2"):
        torchtitan(schedule, 1)


def test_torchtitan_has_no_flavor_of_llama_2() -> None:
    text = torchtitan("1f1b", 1, model="llama-2-7b")
    assert tomllib.loads(text)["model"] == {"name": "llama3", "flavor": "planned", "converters": []}
    assert "n_layers=32" in text
    assert "rope_theta=10000, rope_scaling_args=RoPEScalingArgs(scaling_factor=1.0)" in text


# --- settings that sizes do not show --------------------------------------------------------------------------------

LLAMA3: dict[str, Any] = {
    "rope_theta": 500000.0,
    "rope_scaling": {
        "rope_type": "llama3",
        "factor": 32.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    },
}
V3: dict[str, Any] = {
    "max_position_embeddings": 163840,
    "rope_theta": 10000,
    "rope_scaling": {"type": "yarn", "factor": 40, "original_max_position_embeddings": 4096, "mscale": 1.0},
    "n_group": 8,
    "topk_group": 4,
    "routed_scaling_factor": 2.5,
    "scoring_func": "sigmoid",
}


def settings_of(name: str, more: dict[str, Any], tmp_path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """A published configuration with its settings, and its model."""
    config = {**json.loads((HF / f"{name}.json").read_text()), **more}
    return config, imported(config, tmp_path)


@pytest.mark.parametrize(("name", "more"), [("llama-3.2-1b", LLAMA3), ("deepseek-v3", V3)])
def test_a_config_json_comes_back_with_its_settings(name: str, more: dict[str, Any], tmp_path: Path) -> None:
    config, model = settings_of(name, more, tmp_path)
    hardware = {"accelerator": "b300-sxm-288gb", "n_gpus": 1024}
    out = export(planned(DENSE, model=model, hardware=hardware), "hf")
    written = json.loads(out.text)
    for key in ("max_position_embeddings", *more):
        assert written[key] == config[key], key
    assert out.notes == ("a config.json holds the model only",)


def test_megatron_is_given_the_rotation_of_llama_3(tmp_path: Path) -> None:
    _, model = settings_of("llama-3.2-1b", LLAMA3, tmp_path)
    out = export(planned(DENSE, model=model), "megatron")
    found = words(out.text)
    assert found["rotary-base"] == ["500000"]
    assert found["rope-scaling-factor"] == ["32.0"]
    assert "use-rope-scaling" in found
    assert found["max-position-embeddings"] == ["131072"]
    assert found["norm-epsilon"] == ["1e-05"]
    assert len(out.notes) == 1
    kept = megatron.read_script(out.text).data["model"]["config"]
    assert kept == {"rope_theta": 500000, "rms_norm_eps": 1e-5, "rope_scaling": LLAMA3["rope_scaling"]}


def test_megatron_is_given_the_routing_of_deepseek(tmp_path: Path) -> None:
    _, model = settings_of("deepseek-v3", V3, tmp_path)
    hardware = {"accelerator": "b300-sxm-288gb", "n_gpus": 1024}
    out = export(
        planned(DENSE, model=model, hardware=hardware, parallelism={"ep": 8, "pp": 16, "zero_stage": 1}),
        "megatron",
    )
    found = words(out.text)
    assert found["moe-router-num-groups"] == ["8"]
    assert found["moe-router-group-topk"] == ["4"]
    assert found["moe-router-topk-scaling-factor"] == ["2.5"]
    assert found["moe-router-score-function"] == [
        "sigmoid"
    ]  # Megatron-LM refuses the router's bias without it
    assert found["rotary-scaling-factor"] == ["40"]
    assert any("multi-token prediction" in note for note in out.notes)


def test_groups_of_experts_are_written_with_the_number_that_a_token_takes() -> None:
    """Megatron-LM has no default of the second; the model of a user may lack it."""
    experts = {"num_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 1024}

    def exported(config: dict[str, int]) -> tuple[dict[str, list[str]], str]:
        model = {**SMALL, **experts, "config": config}
        out = export(planned(DENSE, model=model, parallelism={"pp": 1, "zero_stage": 1}), "megatron")
        return words(out.text), " ".join(out.notes)

    options, notes = exported({"n_group": 4})
    assert "moe-router-num-groups" not in options
    assert "computes otherwise: n_group = 4" in notes
    options, notes = exported({"n_group": 4, "topk_group": 2})
    assert (options["moe-router-num-groups"], options["moe-router-group-topk"]) == (["4"], ["2"])
    assert "n_group" not in notes


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"rope_theta": "10k"}, "'10k' is not a number"),
        ({"n_group": True}, "'True' is not a number"),
        ({"rope_scaling": {"rope_type": "linear", "factor": "two"}}, "with a number as its factor"),
        ({"rope_scaling": "yarn"}, "'yarn' is not a mapping"),
    ],
)
def test_a_setting_that_is_no_number_is_refused_with_its_place(config: dict[str, Any], said: str) -> None:
    with pytest.raises(SpecError, match=said):
        load_scenario({**DENSE, "model": {**SMALL, "config": config}})
    assert not kept(config)


def test_what_megatron_cannot_hold_is_listed(tmp_path: Path) -> None:
    stretched = {"rope_scaling": {"rope_type": "dynamic", "factor": 2.0}, "attn_logit_softcapping": 50.0}
    _, model = settings_of("llama-3.2-1b", {**LLAMA3, **stretched}, tmp_path)
    notes = " ".join(export(planned(DENSE, model=model), "megatron").notes)
    assert "not held by Megatron-LM" in notes
    assert "attn_logit_softcapping = 50.0" in notes
    assert "rope_scaling = " in notes


@pytest.mark.parametrize("program", ["hf", "megatron"])
def test_what_a_model_s_file_does_not_say_is_told(program: str) -> None:
    notes = " ".join(export(planned(DENSE, model=SMALL), program).notes)
    assert "max_position_embeddings is the sequence length and rope_theta as" in notes


def test_nanotron_is_given_the_base_of_the_rotation(tmp_path: Path) -> None:
    _, model = settings_of("llama-3.2-1b", LLAMA3, tmp_path)
    out = export(planned(DENSE, model=model, parallelism={"tp": 2, "zero_stage": 1}), "nanotron")
    assert "rope_theta: 500000.0" in out.text
    assert any("rope_scaling" in note for note in out.notes)


def test_another_rotation_is_no_flavor_of_llama_3(tmp_path: Path) -> None:
    """Llama 3 has the sizes of Llama 3.1 but a rotation that is not stretched; torchtitan's flavors stretch it."""
    _, model = settings_of("llama-3.1-8b", {"rope_theta": 500000.0}, tmp_path)
    text = torchtitan("1f1b", 1, model=model)
    assert tomllib.loads(text)["model"]["flavor"] == "planned"
    assert "rope_theta=500000.0, rope_scaling_args=RoPEScalingArgs(scaling_factor=1.0)" in text
    scaled = {"rope_theta": 500000.0, "rope_scaling": {**LLAMA3["rope_scaling"], "factor": 8.0}}
    _, model = settings_of("llama-3.1-8b", scaled, tmp_path)
    assert tomllib.loads(torchtitan("1f1b", 1, model=model))["model"]["flavor"] == "8B"
