"""Plans as files of other programs, read back to the same layout and model."""

from __future__ import annotations

import json
import subprocess
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from simulator.cli import main
from simulator.errors import InfeasibleError, SpecError
from simulator.exporters import EXPORTERS, TrainingPlan, export, plan_of
from simulator.exporters.huggingface import ARCHITECTURES, config_of
from simulator.exporters.torchtitan import feed_forward, rounded
from simulator.importers import megatron, torchtitan
from simulator.importers.huggingface import read_config
from simulator.importers.read import read_file
from simulator.schema import load_model, load_scenario
from simulator.simulate import run
from simulator.transformer import Shape, parameters

LLAMA: dict[str, Any] = {
    "name": "dense",
    "model": "llama-3.1-8b",
    "training": {"tokens": "100B", "seq_length": 8192, "global_batch_size": 128, "micro_batch_size": 1},
    "hardware": {"accelerator": "h100-sxm-80gb", "n_gpus": 64},
}
MIXTURE: dict[str, Any] = {
    **LLAMA,
    "name": "mixture",
    "model": "mixtral-8x7b",
    "parallelism": {"tp": 2, "pp": 2, "ep": 8, "zero_stage": 1},
}
LATENT: dict[str, Any] = {
    **LLAMA,
    "name": "latent",
    "model": "deepseek-v2-lite",
    "parallelism": {"tp": 1, "pp": 1, "ep": 8, "zero_stage": 1},
}
INTERLEAVED: dict[str, Any] = {
    **LLAMA,
    "name": "interleaved",
    "model": "gpt-3-175b",
    "training": {
        "steps": 500,
        "seq_length": 2048,
        "global_batch_size": 1536,
        "micro_batch_size": 1,
        "recompute": "full",
    },
    "hardware": {"accelerator": "a100-sxm-80gb", "n_gpus": 512},
    "parallelism": {"tp": 8, "pp": 8, "vp": 3, "zero_stage": 1, "sequence_parallel": True},
}


def planned(data: dict[str, Any], **changes: Any) -> TrainingPlan:
    scenario = load_scenario({**data, **changes})
    return plan_of(scenario, run(scenario))


@pytest.mark.parametrize("data", [LLAMA, MIXTURE, LATENT, INTERLEAVED], ids=lambda data: str(data["name"]))
def test_megatron_script_is_shell_and_comes_back_whole(data: dict[str, Any], tmp_path: Path) -> None:
    plan = planned(data)
    text = export(plan, "megatron").text
    script = tmp_path / "train.sh"
    script.write_text(text)
    assert subprocess.run(["/bin/bash", "-n", str(script)], check=False).returncode == 0
    back = read_file(script)
    assert not back.missing
    assert not back.not_understood
    assert back.data["hardware"]["n_gpus"] == plan.layout["n_gpus"]
    again = load_scenario(
        {**back.data, "hardware": {**back.data["hardware"], "accelerator": "h100-sxm-80gb"}}
    )
    assert again.model is not None
    assert int(parameters(Shape(**again.model.sizes()))) == int(parameters(Shape(**plan.sizes)))
    for name in ("tp", "pp", "cp", "ep", "vp", "zero_stage"):
        assert (getattr(again.parallelism, name) or 1) == plan.layout[name] or name == "zero_stage"
    assert again.parallelism.zero_stage == plan.layout["zero_stage"]
    assert again.training.recompute == plan.training["recompute"]


def test_megatron_script_hands_over_these_arguments(tmp_path: Path) -> None:
    """The script is run with a torchrun that prints what it is given."""
    fake = tmp_path / "torchrun"
    fake.write_text('#!/bin/bash\nprintf "%s\\n" "$@"\n')
    fake.chmod(0o755)
    script = tmp_path / "train.sh"
    plan = planned(LATENT)
    script.write_text(export(plan, "megatron").text)
    done = subprocess.run(
        ["/bin/bash", str(script)],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )
    words = done.stdout.split("\n")
    assert words[words.index("--num-layers") + 1] == "27"
    assert words[words.index("--moe-layer-freq") + 1] == "([0]*1+[1]*26)"
    assert words[words.index("--nproc_per_node") + 1] == "8"
    assert "pretrain_gpt.py" in words
    back = megatron.read_script(" ".join(f"'{word}'" for word in words if word), n_gpus=64)
    assert back.data["model"]["first_k_dense_replace"] == 1


@pytest.mark.parametrize("data", [LLAMA, {**LLAMA, "parallelism": {"tp": 8, "pp": 2, "zero_stage": 3}}])
def test_torchtitan_comes_back_with_its_flavor(data: dict[str, Any], tmp_path: Path) -> None:
    plan = planned(data, software="fsdp")
    path = tmp_path / "train.toml"
    path.write_text(export(plan, "torchtitan").text)
    back = read_file(path)
    assert back.data["model"] == "llama-3.1-8b"
    assert not back.missing
    assert not back.not_understood
    for name in ("global_batch_size", "micro_batch_size", "seq_length", "recompute", "precision"):
        assert back.data["training"][name] == plan.training[name]
    assert back.data["parallelism"]["tp"] == plan.layout["tp"]
    assert back.data["parallelism"]["pp"] == plan.layout["pp"]


def test_torchtitan_writes_the_entry_of_an_unnamed_model() -> None:
    sizes = {
        "num_hidden_layers": 20,
        "hidden_size": 2048,
        "num_attention_heads": 16,
        "intermediate_size": 5632,
    }
    plan = planned(LLAMA, model=sizes, software="fsdp")
    out = export(plan, "torchtitan")
    assert "dim=2048, n_layers=20, n_heads=16, n_kv_heads=16" in out.text
    assert any("no flavor" in note for note in out.notes)
    assert tomllib.loads(out.text)["model"]["flavor"] == "planned"


@pytest.mark.parametrize(
    ("width", "inner"),
    [(4096, 14336), (8192, 28672), (2048, 5632), (4096, 11008), (5120, 13824), (768, 2048), (1000, 2731)],
)
def test_torchtitan_arrives_at_the_feed_forward_width(width: int, inner: int) -> None:
    multiple, factor = feed_forward(width, inner)
    assert rounded(int(2 * 4 * width / 3), factor, multiple) == inner


NANO: dict[str, Any] = {**LLAMA, "software": "nanotron", "parallelism": {"tp": 4, "zero_stage": 1}}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"model": "llama-3.2-3b"},
        {"model": "mixtral-8x7b", "parallelism": {"tp": 2, "pp": 4, "ep": 8, "zero_stage": 1}},
    ],
)
def test_nanotron_comes_back_whole(changes: dict[str, Any], tmp_path: Path) -> None:
    plan = planned(NANO | {"training": {**LLAMA["training"], "recompute": "full"}}, **changes)
    path = tmp_path / "config.yaml"
    path.write_text(export(plan, "nanotron").text)
    back = read_file(path)
    assert not back.not_understood
    again = load_scenario(
        {**back.data, "hardware": {**back.data["hardware"], "accelerator": "h100-sxm-80gb"}}
    )
    assert again.model is not None
    assert int(parameters(Shape(**again.model.sizes()))) == int(parameters(Shape(**plan.sizes)))
    assert back.data["hardware"]["n_gpus"] == 64
    assert back.data["training"]["global_batch_size"] == 128


def test_deepspeed_comes_back_and_says_what_it_leaves_out(tmp_path: Path) -> None:
    plan = planned(LLAMA, parallelism={"tp": 1, "pp": 1, "cp": 1, "zero_stage": 3}, software="deepspeed")
    out = export(plan, "deepspeed")
    path = tmp_path / "ds_config.json"
    path.write_text(out.text)
    back = read_file(path)
    assert back.data["hardware"]["n_gpus"] == 64
    assert back.data["parallelism"]["zero_stage"] == 3
    assert back.data["training"]["global_batch_size"] == 128
    assert any("sequence length" in note for note in out.notes)


@pytest.mark.parametrize(
    ("program", "changes", "reason"),
    [
        ("nanotron", {"parallelism": {"tp": 1, "pp": 1, "zero_stage": 3}}, "ZeRO 0 and 1, not 3"),
        (
            "nanotron",
            {"model": "gpt2-xl", "training": {"steps": 10, "recompute": "none"}},
            "would be read as",
        ),
        ("torchtitan", {"parallelism": {"tp": 2, "pp": 1, "zero_stage": 1}}, "not with ZeRO 1"),
        (
            "torchtitan",
            {"model": "gpt2-xl", "parallelism": {"tp": 1, "pp": 1, "zero_stage": 3}},
            "no place for the sizes",
        ),
        ("deepspeed", {"parallelism": {"tp": 2, "pp": 2, "zero_stage": 1}}, "pp = 2"),
        ("megatron", {"model": "gemma-2-9b"}, "norms_per_layer = 4"),
    ],
)
def test_what_a_program_cannot_hold_is_an_error(program: str, changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(SpecError, match=reason):
        export(planned(LLAMA, **changes), program)


MODELS = """llama-3.1-8b llama-3.2-1b qwen2.5-7b qwen3-8b olmo-2-7b gemma-2-9b gpt2-xl mixtral-8x7b qwen3-30b-a3b
qwen1.5-moe-a2.7b olmoe-1b-7b deepseek-v2-lite deepseek-v3 starcoder2-7b pythia-1b mpt-7b-alibi""".split()


@pytest.mark.parametrize("name", MODELS)
def test_config_json_has_the_same_parameters(name: str) -> None:
    sizes = {key: int(value) for key, value in load_model(name).sizes().items()}
    config = config_of(sizes)
    assert config["model_type"] in ARCHITECTURES
    assert int(parameters(Shape(**read_config(config)))) == int(parameters(Shape(**sizes)))


def test_config_json_of_no_family_names_the_nearest() -> None:
    sizes = {key: int(value) for key, value in load_model("llama-3.1-8b").sizes().items()} | {
        "embedding_norm": 1
    }
    with pytest.raises(SpecError, match="embedding_norm = 1 would be read as 0"):
        config_of(sizes)


def test_a_searched_architecture_is_exported_with_its_parameters() -> None:
    scenario = load_scenario("quickstart")
    result = run(scenario)
    plan = plan_of(scenario, result, stage=2)
    assert int(parameters(Shape(**plan.sizes))) == result.answer["params"]
    config = json.loads(export(plan, "hf").text)
    assert config["num_hidden_layers"] == result.answer["num_hidden_layers"]


def test_a_grown_plan_is_a_file_for_each_stage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "quickstart", "--to", "megatron", "--out", str(tmp_path / "train.sh")]) == 2
    said = capsys.readouterr().err
    result = run("quickstart")
    for row in result.stages:
        assert f"stage {row['stage']}: {row['params'] / 1e9:.3g}B, " in said
    assert "--stage N" in said
    assert not list(tmp_path.iterdir())
    days = []
    for row, words in zip(result.stages, ("new weights", "trainsim grow CHECKPOINT"), strict=True):
        out = tmp_path / f"stage{row['stage']}.sh"
        number = str(row["stage"])
        assert main(["export", "quickstart", "--to", "megatron", "--stage", number, "--out", str(out)]) == 0
        assert words in capsys.readouterr().err
        assert words in out.read_text()
        back = read_file(out)
        assert not back.not_understood
        again = run({**back.data, "hardware": {**back.data["hardware"], "accelerator": "h100-sxm-80gb"}})
        assert again.answer["params"] == row["params"]
        days.append(again.answer["time_to_train_days"])
        assert days[-1] == pytest.approx(row["time_days"] - row["switch_days"], rel=1e-3)
    switches = sum(row["switch_days"] for row in result.stages)
    assert sum(days) + switches == pytest.approx(result.answer["time_to_train_days"], rel=1e-3)
    assert main(["export", "quickstart", "--to", "hf", "--stage", "3"]) == 2
    assert "no stage 3" in capsys.readouterr().err


@pytest.mark.parametrize("program", ["torchtitan", "nanotron"])
def test_comments_say_where_weights_come_from(program: str) -> None:
    changes = {"software": "fsdp"} if program == "torchtitan" else {"parallelism": {"tp": 4, "zero_stage": 1}}
    plan = replace(planned(LLAMA, **changes), origin="stage 2 starts from somewhere")
    recompute = {**plan.training, "recompute": "full"}
    out = export(replace(plan, training=recompute), program)
    assert "# stage 2 starts from somewhere\n" in out.text
    assert out.notes[0] == plan.origin


def test_nothing_to_export_where_nothing_runs() -> None:
    scenario = load_scenario("does-not-fit")
    with pytest.raises(InfeasibleError, match="nothing to export"):
        plan_of(scenario, run(scenario))


@pytest.mark.parametrize("program", EXPORTERS)
def test_command_writes_every_program(program: str, tmp_path: Path) -> None:
    zero = 1 if program == "nanotron" else 3
    out = tmp_path / "out"
    changes = [
        "--set",
        f"parallelism.zero_stage={zero}",
        "--set",
        "training.recompute=full",
        "--set",
        "parallelism.cp=1",
    ]
    changes += (
        ["--set", "parallelism.pp=1", "--set", "parallelism.tp=1"]
        if program != "nanotron"
        else ["--set", "parallelism.tp=2"]
    )
    assert main(["export", "llama-2-7b-a100", "--to", program, *changes, "--out", str(out)]) == 0
    assert out.stat().st_size > 100


@pytest.mark.parametrize("schedule", ["zero_bubble", "gpipe"])
def test_megatron_is_given_no_schedule_that_it_does_not_have(schedule: str) -> None:
    asked = {**LLAMA, "parallelism": {"tp": 1, "pp": 4, "vp": 1, "schedule": schedule}}
    scenario = load_scenario(asked)
    with pytest.raises(SpecError, match=f"not {schedule}"):
        export(plan_of(scenario, run(scenario)), "megatron")
    alone = load_scenario({**LLAMA, "parallelism": {"tp": 8, "pp": 1, "schedule": schedule}})
    assert "pipeline-model-parallel" in export(plan_of(alone, run(alone)), "megatron").text


FOUR_BITS: dict[str, Any] = {
    **LLAMA,
    "training": {**LLAMA["training"], "precision": "fp4"},
    "hardware": {"accelerator": "b200-sxm-180gb", "n_gpus": 64},
    "parallelism": {"zero_stage": 3},
}


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("megatron", "Megatron-LM has no fp4 here (--set training.precision=fp8)"),
        ("torchtitan", "torchtitan has no fp4 here (--set training.precision=fp8)"),
        ("nanotron", "nanotron has no fp4 here (--set training.precision=bf16)"),
        ("deepspeed", "DeepSpeed has no fp4 here (--set training.precision=bf16)"),
    ],
)
def test_no_program_is_given_four_bits(program: str, words: str) -> None:
    with pytest.raises(SpecError) as caught:
        export(planned(FOUR_BITS), program)
    assert str(caught.value.problems[0]) == words


def test_four_bits_are_called_so() -> None:
    answer = run(load_scenario(FOUR_BITS)).answer
    assert answer is not None
    assert (answer["precision"], answer["peak_precision"]) == ("fp4", "fp4")


@pytest.mark.parametrize("program", ["megatron", "torchtitan", "deepspeed"])
def test_the_precision_of_a_file_is_the_priced_one(program: str) -> None:
    asked = {
        **LLAMA,
        "training": {**LLAMA["training"], "precision": "fp8"},
        "parallelism": {"tp": 1, "pp": 1, "cp": 1, "zero_stage": 3},
        "hardware": {"accelerator": "a100-sxm-80gb", "n_gpus": 64},
    }
    plan = planned(asked)
    out = export(plan, program)
    assert plan.training["precision"] == "bf16"
    assert "fp8" not in out.text
    assert "float8" not in out.text
    assert "precision bf16: the accelerator has no fp8 matrix units" in out.notes
    narrow = planned({**asked, "hardware": LLAMA["hardware"]})
    if program == "deepspeed":
        with pytest.raises(SpecError, match="has no fp8 here"):
            export(narrow, program)
    else:
        assert any(word in export(narrow, program).text for word in ("fp8", "float8"))


@pytest.mark.parametrize("stage", [1, 2, 3])
def test_megatron_shards_nothing_under_muon(stage: int) -> None:
    """Its arguments assert that Muon goes with neither the distributed optimizer nor FSDP."""
    training = {**LLAMA["training"], "optimizer": "muon"}
    with pytest.raises(SpecError, match=r"Muon works with no sharded optimizer .*zero_stage=0"):
        export(
            planned(LLAMA, training=training, parallelism={"tp": 8, "pp": 1, "zero_stage": stage}), "megatron"
        )
    plan = planned(LLAMA, training=training, parallelism={"tp": 8, "pp": 1, "zero_stage": 0})
    exported = export(plan, "megatron")
    assert "--ckpt-format torch\n" in exported.text
    assert "overlap" not in exported.text
    assert any("not with Muon" in note for note in exported.notes)


MIXTURE: dict[str, Any] = {
    "model": "deepseek-v2-lite",
    "software": "fsdp",
    "training": {"tokens": "100B", "global_batch_size": 256},
    "hardware": {"accelerator": "h100-sxm-80gb", "n_gpus": 64},
}


@pytest.mark.parametrize(("etp", "written"), [(None, 2), (2, 2), (1, 1)])
def test_torchtitan_splits_experts_as_the_plan_does(etp: int | None, written: int) -> None:
    """Without the key torchtitan leaves experts whole; without one the plan splits them as all other weights."""
    layout = {"tp": 2, "pp": 1, "ep": 8, **({} if etp is None else {"etp": etp})}
    text = export(planned(MIXTURE, parallelism=layout), "torchtitan").text
    parallelism = tomllib.loads(text)["parallelism"]
    assert parallelism["expert_tensor_parallel_degree"] == written
    assert torchtitan.read_mapping(tomllib.loads(text), n_gpus=64).data["parallelism"]["etp"] == written
    bare = text.replace(f"expert_tensor_parallel_degree = {written}\n", "")
    assert torchtitan.read_mapping(tomllib.loads(bare), n_gpus=64).data["parallelism"]["etp"] == 1


def test_torchtitan_splits_experts_whole_or_not_at_all() -> None:
    with pytest.raises(SpecError, match=r"not etp 2 \(--set parallelism.etp=4\)"):
        export(planned(MIXTURE, parallelism={"tp": 4, "pp": 1, "ep": 8, "etp": 2}), "torchtitan")
