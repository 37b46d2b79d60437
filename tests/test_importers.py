"""Files of other training programs: what is taken, what is ignored, what is missing; nothing in silence."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest

from simulator.cli import main
from simulator.errors import SpecError
from simulator.importers import megatron
from simulator.importers.ledger import Imported
from simulator.importers.read import kind_of, read_file, to_yaml
from simulator.importers.shell import arguments
from simulator.schema import load_model, load_scenario
from simulator.transformer import parameters, shape_of

DATA = Path(__file__).parent / "data" / "importers"
HF = Path(__file__).parent / "data" / "hf"
FILES = sorted(path for path in DATA.iterdir() if path.suffix != ".md")


def read(name: str, **known: Any) -> Imported:
    return read_file(DATA / name, **known)


def values(imported: Imported, *paths: str) -> list[Any]:
    out: list[Any] = []
    for path in paths:
        at: Any = imported.data
        for part in path.split("."):
            at = at.get(part) if isinstance(at, dict) else None
        out.append(at)
    return out


LAYOUT = (
    "parallelism.tp",
    "parallelism.pp",
    "parallelism.cp",
    "parallelism.zero_stage",
    "training.recompute",
)
BATCH = ("training.seq_length", "training.micro_batch_size", "training.global_batch_size", "training.steps")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_program_is_recognized_by_its_file(path: Path) -> None:
    prefix = {"llmfoundry": "llm-foundry"}.get(path.name.split("_")[0], path.name.split("_")[0])
    assert read_file(path).kind == prefix


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_key_is_accounted_for(path: Path) -> None:
    """The published files hold nothing of which nothing is known: each key is taken, ignored, or named with a reason."""
    for line in read_file(path).not_understood:
        assert " = " not in line or ": " in line, line


def test_megatron_175b_is_the_paper_s_model_with_both_vocabularies() -> None:
    got = read("megatron_gpt3_175b.sh")
    assert values(got, *LAYOUT, *BATCH) == [8, 16, 1, 0, "none", 2048, 1, 1536, 500000]
    assert got.data["training"]["precision"] == "fp16"
    assert any("--nproc_per_node" in line for line in got.not_understood)
    assert any(line.startswith("model.vocab_size") for line in got.missing)
    assert any(line.startswith("hardware.n_gpus") for line in got.missing)
    whole = load_scenario(
        {**got.data, "hardware": "a100-sxm-80gb:1024", "model": {**got.data["model"], "vocab_size": 51200}}
    )
    assert whole.model is not None
    assert (
        parameters(shape_of(whole.model))
        == parameters(shape_of(load_model("gpt-3-175b")))
        + (51200 - load_model("gpt-3-175b").vocab_size) * 12288
    )


def test_megatron_llama3_fp8_leaves_conditions_to_the_reader() -> None:
    got = read("megatron_llama3_8b_fp8.sh")
    assert got.data["training"]["precision"] == "bf16"
    text = "\n".join(got.not_understood)
    assert "--fp8-format hybrid" in text
    assert "--vocab-size 128256" in text
    assert got.data["training"]["tokens"] == 1953125000 * 8192
    # The file asks for sequence parallelism with one tensor-parallel rank, which Megatron itself turns off.
    assert got.data["parallelism"]["sequence_parallel"] is False
    model = {**got.data["model"], "vocab_size": 128256, "norm": "rmsnorm"}
    scenario = load_scenario({**got.data, "model": model, "hardware": "h100-sxm-80gb:8"})
    assert scenario.model is not None
    assert parameters(shape_of(scenario.model)) == parameters(shape_of(load_model("llama-3.1-8b")))


def test_megatron_mixture_and_comments_inside_arrays() -> None:
    got = read("megatron_mixtral.sh")
    assert values(
        got, "model.num_experts", "model.num_experts_per_tok", "parallelism.ep", "hardware.n_gpus"
    ) == [2, 2, 2, 2]
    assert got.data["training"]["precision"] == "fp32"  # --bf16 is a comment in the published file
    assert any("fp32" in line for line in got.assumed)


def test_megatron_yaml_of_arguments() -> None:
    got = read("megatron_tp2_pp2.yaml", n_gpus=8)
    assert values(got, *LAYOUT, *BATCH) == [2, 2, 1, 0, "none", 1024, 4, 32, 50]
    assert got.data["training"]["flash_attention"] is False
    assert got.data["model"]["position_embedding"] == "learned"


def test_torchtitan_70b_on_its_64_accelerators() -> None:
    got = read("torchtitan_llama3_70b.toml", n_gpus=64)
    assert got.data["model"] == "llama-3.1-70b"
    assert values(got, *LAYOUT, *BATCH) == [8, 1, 1, 3, "full", 8192, 8, 64, 1000]
    assert not got.missing
    alone = read("torchtitan_llama3_70b.toml")
    assert {line.split(":")[0] for line in alone.missing} == {"hardware.n_gpus", "training.global_batch_size"}


def test_torchtitan_float8_and_the_older_places_of_its_keys() -> None:
    assert read("torchtitan_llama3_405b.toml").data["training"]["precision"] == "fp8"
    assert (
        read("torchtitan_llama3_70b.toml").data["training"]["precision"] == "bf16"
    )  # converters is a comment
    old = read("torchtitan_llama3_8b_2024.toml", n_gpus=64)
    assert values(old, *LAYOUT, *BATCH) == [1, 1, 1, 3, "selective", 8192, 1, 64, 1000]


def test_torchtitan_deepseek_compiles_its_loss_only() -> None:
    got = read("torchtitan_deepseek_671b.toml", n_gpus=512)
    assert got.data["model"] == "deepseek-v3"
    assert got.data["training"]["compile"] is False


def test_nanotron_product_of_degrees_and_sequence_parallelism() -> None:
    tiny, large = read("nanotron_tiny_llama.yaml"), read("nanotron_llama3.2_3b.yaml")
    assert values(tiny, "hardware.n_gpus", "parallelism.sequence_parallel", *BATCH) == [
        8,
        True,
        256,
        2,
        4,
        15,
    ]
    assert values(large, "hardware.n_gpus", "parallelism.sequence_parallel", *BATCH) == [
        4,
        False,
        8192,
        2,
        16,
        200,
    ]
    assert parameters(
        shape_of(load_scenario({**large.data, "hardware": "h100-sxm-80gb:4"}).model)
    ) == parameters(shape_of(load_model("llama-3.2-3b")))


def test_nanotron_experts_without_a_width_are_assumed_aloud() -> None:
    got = read("nanotron_moe.yaml")
    assert values(got, "model.num_experts", "model.num_experts_per_tok", "model.moe_intermediate_size") == [
        8,
        1,
        768,
    ]
    assert sum("moe_config names none" in line for line in got.assumed) == 2


def test_deepspeed_batch_stage_and_what_it_cannot_know() -> None:
    got = read("deepspeed_zero3.json", n_gpus=16)
    assert values(got, "parallelism.zero_stage", "training.precision", *BATCH[1:3]) == [3, "fp16", 8, 256]
    assert {line.split(":")[0] for line in got.missing} == {"model", "training.seq_length"}
    offload = read("deepspeed_offload.json")
    assert offload.data["hardware"]["n_gpus"] == 1
    assert any("offload_optimizer to cpu" in line for line in offload.not_understood)
    auto = read("deepspeed_auto.json")
    assert "global_batch_size" not in auto.data["training"]
    assert sum("auto" in line for line in auto.not_understood) == 4


def test_deepspeed_70b_on_the_accelerators_that_its_batch_implies() -> None:
    got = read("deepspeed_llama_70b.json")
    assert got.data["hardware"]["n_gpus"] == 256 // (1 * 8)
    assert values(got, "parallelism.zero_stage", "training.precision", *BATCH[1:3]) == [3, "bf16", 1, 256]
    assert got.not_understood == ("optimizer.type OneBitAdam",)


def test_deepspeed_degrees_of_tensor_and_expert_parallelism() -> None:
    experts = read("deepspeed_autoep.json", n_gpus=32)
    assert values(experts, "parallelism.ep", "parallelism.zero_stage", BATCH[2]) == [8, 1, 64]
    assert experts.not_understood == ("expert_parallel.preset_model = qwen3_5_moe: write model: <id>",)
    tensors = read("deepspeed_autotp.json", n_gpus=8)
    assert values(tensors, "parallelism.tp", "parallelism.zero_stage") == [4, 2]
    assert all("auto" in line for line in tensors.not_understood)


def test_llm_foundry_1b_as_it_is_published() -> None:
    got = read("llmfoundry_mpt_1b.yaml", n_gpus=32)
    assert values(got, *BATCH, "training.recompute") == [2048, 4, 512, 24800, "none"]
    scenario = load_scenario({**got.data, "hardware": "a100-sxm-80gb:32"})
    assert scenario.model is not None
    # 12 h^2 per layer with biases and norms, and tied embeddings of words and positions.
    h, layers, vocabulary, length = 2048, 24, 50368, 2048
    per_layer = 12 * h * h + 13 * h
    assert parameters(shape_of(scenario.model)) == layers * per_layer + (vocabulary + length) * h + 2 * h
    assert not any("d_model" in line for line in got.ignored)
    assert got.not_understood == ()


def test_llm_foundry_with_a_model_of_hugging_face() -> None:
    got = read("llmfoundry_hf_llama31_8b.yaml", n_gpus=8)
    assert values(got, *BATCH, "training.flash_attention") == [2048, 1, 8, 50, True]
    assert any("meta-llama/Meta-Llama-3.1-8B" in line for line in got.missing)
    assert got.not_understood == ()


def test_every_program_has_three_published_files() -> None:
    counts = dict.fromkeys(("megatron", "torchtitan", "nanotron", "deepspeed", "llm-foundry"), 0)
    for path in FILES:
        counts[read_file(path).kind] += 1
    assert min(counts.values()) >= 3
    listed = (DATA / "README.md").read_text(encoding="utf-8")
    assert all(f"`{path.name}`" in listed for path in FILES)


def test_llm_foundry_is_the_shipped_mpt() -> None:
    got = read("llmfoundry_mpt_7b.yaml", n_gpus=64)
    scenario = load_scenario({**got.data, "hardware": "a100-sxm-80gb:64"})
    assert scenario.model is not None
    assert scenario.model.sizes() == load_model("mpt-7b").sizes()
    assert values(got, *BATCH) == [2048, 8, 1024, 63900]
    large = read("llmfoundry_mpt_30b.yaml", n_gpus=64)
    assert "micro_batch_size" not in large.data["training"]
    thirty = load_scenario({**large.data, "hardware": "a100-sxm-80gb:64"}).model
    assert thirty is not None
    assert thirty.sizes() == load_model("mpt-30b").sizes()


@pytest.mark.parametrize(
    "config", sorted(HF.rglob("*.json"))[:40], ids=lambda path: path.parent.name + "-" + path.stem
)
def test_config_json_becomes_a_model_of_the_same_sizes(config: Path, tmp_path: Path) -> None:
    from simulator.importers.huggingface import read_config

    out = tmp_path / "model.yaml"
    assert main(["import", str(config), "--from", "huggingface", "--out", str(out)]) == 0
    sizes = read_config(config)
    written = load_model(str(out)).sizes()
    assert {name: written[name] for name in sizes} == sizes


CONFIG = HF / "llama-3.2-1b.json"


def imported(capsys: pytest.CaptureFixture[str], *options: str) -> dict[str, Any]:
    assert main(["import", str(CONFIG), "--json", *options]) == 0
    document: dict[str, Any] = json.loads(capsys.readouterr().out)
    return document


def test_a_config_json_with_hardware_is_a_scenario(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "q.yaml"
    options = ["--hardware", "h100:64", "--set", "training.tokens=1T", "--set", "vocab_size=51200"]
    assert main(["import", str(CONFIG), *options, "--out", str(out)]) == 0
    asked = load_scenario(str(out))
    assert (asked.hardware[0].accelerator.id, asked.hardware[0].n_gpus) == ("h100-sxm-80gb", 64)
    assert asked.training.tokens == 1e12
    assert asked.model is not None
    assert asked.model.vocab_size == 51200
    capsys.readouterr()
    one = imported(capsys, "--hardware", "h100")
    assert any(line.startswith("hardware.n_gpus") for line in one["missing"])
    bare = imported(capsys, "--set", "training.tokens=1T")
    assert any(line.startswith("hardware:") for line in bare["missing"])
    assert bare["data"]["training"] == {"tokens": "1T"}


@pytest.mark.parametrize("path", ["vocab_size", "model.vocab_size"])
def test_a_config_json_alone_stays_a_model(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    data = imported(capsys, "--set", f"{path}=1000")["data"]
    assert data["vocab_size"] == 1000
    assert "model" not in data
    assert main(["import", str(CONFIG), "--set", "vocab_sise=1000"]) == 2
    assert "vocab_size" in capsys.readouterr().err


def test_unknown_keys_are_named(tmp_path: Path) -> None:
    path = tmp_path / "odd.toml"
    path.write_text('[model]\nname = "llama3"\nflavor = "8B"\n[training]\nseq_len = 128\nwarp_drive = true\n')
    assert "training.warp_drive = true" in read_file(path).not_understood


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("a.toml", "[training\n", "not TOML"),
        (
            "a.json",
            '{"train_batch_size": 3, "train_micro_batch_size_per_gpu": 2, "gradient_accumulation_steps": 1}',
            "multiple",
        ),
        ("a.json", "[1]", "mapping"),
        ("a.json", '{"zero_optimization": {"stage": 9}}', "not 0, 1, 2 or 3"),
        ("a.yaml", "color: red\n", "--from"),
        ("a.sh", "echo hello\n", "--from"),
        ("a.yaml", "MODEL_ARGS: {--num-layers: many, --hidden-size: -2}\n", "not a whole number"),
        ("a.yaml", "parallelism: {dp: 0, tp: 1, pp: 1}\ntokens: {}\n", "below 1"),
    ],
)
def test_mistakes_end_in_one_clear_error(tmp_path: Path, name: str, text: str, reason: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(SpecError, match=reason):
        read_file(path)


def test_a_contradicted_number_of_accelerators_is_refused() -> None:
    with pytest.raises(SpecError, match="the file runs on 8"):
        read("nanotron_tiny_llama.yaml", n_gpus=16)


def test_virtual_stages_from_layers_per_stage() -> None:
    command = "--num-layers 32 --hidden-size 64 --num-attention-heads 4 --pipeline-model-parallel-size 4 {}"
    got = megatron.read_script(command.format("--num-layers-per-virtual-pipeline-stage 2"))
    assert got.data["parallelism"]["vp"] == 4
    with pytest.raises(SpecError, match="does not divide"):
        megatron.read_script(command.format("--num-layers-per-virtual-pipeline-stage 3"))


def test_shell_is_read_and_never_run(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    text = f"TP=$(touch {mark}; echo 8)\nrun --tensor-model-parallel-size $TP `touch {mark}` --a $((2*3)) --b ${{X:-7}}\n"
    found = arguments(text)
    assert not mark.exists()
    assert found.options["a"] == ["6"]
    assert found.options["b"] == ["7"]


def test_command_writes_a_scenario_that_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "scenario.yaml"
    source = str(DATA / "torchtitan_llama3_8b_2024.toml")
    assert main(["import", source, "--hardware", "h100-sxm-80gb:64", "--out", str(out)]) == 0
    account = capsys.readouterr().err
    assert "taken" in account
    assert "missing" not in account
    assert main(["run", str(out), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)["answer"]
    assert [answer[name] for name in ("tp", "dp", "zero_stage", "micro_batch_size")] == [1, 64, 3, 1]


def test_command_fills_gaps_by_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    changes = [
        "--set",
        "model=llama-2-7b",
        "--set",
        "training.seq_length=2048",
        "--hardware",
        "a100-sxm-80gb:16",
    ]
    assert main(["import", str(DATA / "deepspeed_zero3.json"), *changes, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["missing"] == []
    assert load_scenario(document["data"]).training.seq_length == 2048


def test_comments_cannot_break_out_of_the_yaml() -> None:
    text = to_yaml(Imported("toy", {"name": "x"}, not_understood=("a = 1\nmodel: evil",)), "b\nmodel: evil")
    assert [line for line in text.splitlines() if not line.startswith("#")] == ["name: x"]


def test_marks_tell_programs_apart() -> None:
    assert kind_of({"model_type": "llama"}) == "huggingface"
    assert kind_of({"parallelism": {}, "training": {}}) == "torchtitan"


JUNK = ["null", "[]", "{}", "-1", "1e400", "true", "''", "$X", "0", "abc", "9" * 30, "[1, 2]", "{a: 1}"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_spoiled_files_end_in_a_clear_error_or_a_scenario(path: Path, tmp_path: Path) -> None:
    """Every value of the file replaced by nonsense, one at a time: nothing but our own error may come of it."""
    lines = path.read_text().split("\n")
    place = tmp_path / path.name
    for number, line in enumerate(lines):
        head, mark, _ = line.partition(next((m for m in (": ", " = ", " ") if m in line.strip()), "\0"))
        for junk in JUNK if mark else ():
            place.write_text("\n".join([*lines[:number], head + mark + junk, *lines[number + 1 :]]))
            with contextlib.suppress(SpecError):
                assert read_file(place, n_gpus=8).data
