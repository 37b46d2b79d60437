"""Settings of imported files that a scenario does not hold: nothing that time or memory depends on is called harmless."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from simulator.cli import main
from simulator.errors import SpecError
from simulator.importers import deepspeed, megatron, nanotron, torchtitan
from simulator.importers.megatron_stages import layers_of
from simulator.importers.read import read_file
from simulator.importers.shell import arguments

HF = Path(__file__).parent / "data" / "hf"

SIZES = "--num-layers 126 --hidden-size 64 --num-attention-heads 4 --vocab-size 512 --pipeline-model-parallel-size 16 "
QUIET = "--attention-dropout 0 --hidden-dropout 0.0 --overlap-grad-reduce "


def noted(lines: tuple[str, ...], word: str) -> list[str]:
    return [line for line in lines if word in line]


# --- arrays of a shell ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "PAR=(--tensor-model-parallel-size 4 --pipeline-model-parallel-size 2)",
        "PAR=( --tensor-model-parallel-size 4 --pipeline-model-parallel-size 2 )",
        "PAR=(--tensor-model-parallel-size 4\n  --pipeline-model-parallel-size 2)",
        "PAR=(\n--tensor-model-parallel-size 4 # two\n--pipeline-model-parallel-size 2\n)",
        "declare -a PAR=(--tensor-model-parallel-size 4); PAR+=(--pipeline-model-parallel-size 2)",
        'PAR=("--tensor-model-parallel-size 4" "--pipeline-model-parallel-size" 2); run "${PAR[@]}"',
    ],
)
def test_arrays_are_opened_on_one_line_or_several(text: str) -> None:
    assert arguments(text).options == {
        "tensor-model-parallel-size": ["4"],
        "pipeline-model-parallel-size": ["2"],
    }


def test_brackets_of_a_value_do_not_close_an_array() -> None:
    found = arguments("M=(--moe-layer-freq ([0]*1+[1]*3) --bf16)\nN=(--moe-layer-freq2 '([0]*1)')")
    assert found.options == {"moe-layer-freq": ["([0]*1+[1]*3)"], "bf16": [], "moe-layer-freq2": ["([0]*1)"]}


# --- assumptions of the clock and the memory model ------------------------------------------------------------------


def test_megatron_settings_that_matter_are_not_ignored() -> None:
    got = megatron.read_script(SIZES + QUIET + "--tp-comm-overlap --grad-reduce-in-bf16 --lr 1e-4")
    assert got.ignored == ("lr",)
    assert not got.not_understood
    for name in ("overlap-grad-reduce", "tp-comm-overlap", "grad-reduce-in-bf16"):
        (line,) = noted(got.assumed, name)
        assert line.startswith("not modelled: ")
        assert "assume" in line
    assert noted(got.taken, "no masks of dropout")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (
            "--attention-dropout 0.1 --hidden-dropout 0 --overlap-grad-reduce",
            "--attention-dropout 0.1: memory has no",
        ),
        ("--attention-dropout 0 --overlap-grad-reduce", "--hidden-dropout is not given, 0.1 by default"),
        (
            "--overlap-grad-reduce",
            "neither --attention-dropout nor --hidden-dropout is given, 0.1 by default",
        ),
        ("--attention-dropout 0 --hidden-dropout 0", "no --overlap-grad-reduce: the clock assumes"),
    ],
)
def test_megatron_is_warned_where_it_contradicts_an_assumption(changed: str, said: str) -> None:
    got = megatron.read_script(SIZES + changed)
    assert len(noted(got.not_understood, said)) == len(got.not_understood) == 1


def test_gradients_of_one_replica_need_no_overlap() -> None:
    got = megatron.read_script(SIZES + "--attention-dropout 0 --hidden-dropout 0", n_gpus=16)
    assert not got.not_understood


def test_torchtitan_settings_that_matter_are_not_ignored() -> None:
    data: dict[str, Any] = {
        "model": {"name": "llama3", "flavor": "8B"},
        "training": {"local_batch_size": 1},
        "parallelism": {"enable_async_tensor_parallel": True, "fsdp_reshard_after_forward": "never"},
    }
    got = torchtitan.read_mapping(data, n_gpus=8)
    assert not got.ignored
    assert noted(got.assumed, "not modelled: parallelism.enable_async_tensor_parallel: the clock assumes")
    assert noted(got.not_understood, "fsdp_reshard_after_forward never")


@pytest.mark.parametrize(("value", "head"), [(True, "assumed"), (False, "not_understood")])
def test_deepspeed_overlap_is_an_assumption_or_against_it(value: bool, head: str) -> None:
    got = deepspeed.read_mapping(
        {"train_batch_size": 8, "zero_optimization": {"stage": 2, "overlap_comm": value}}
    )
    (line,) = noted(getattr(got, head), "overlap_comm")
    assert line.startswith("not modelled: ")
    assert "zero_optimization.overlap_comm" not in got.ignored


def test_nanotron_async_communication_is_an_assumption() -> None:
    got = nanotron.read_mapping(
        {"parallelism": {"dp": 1, "tp": 2, "pp": 1, "tp_linear_async_communication": True}}
    )
    assert noted(got.assumed, "tp_linear_async_communication")


def test_the_listing_calls_nothing_harmless_that_is_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script = tmp_path / "train.sh"
    script.write_text(
        SIZES
        + "--attention-dropout 0.1 --hidden-dropout 0 --overlap-grad-reduce --lr 1e-4 --seq-length 8 --max-position-embeddings 8"
    )
    assert main(["import", str(script), "--hardware", "h100:64", "--set", "parallelism.zero_stage=1"]) == 0
    out = capsys.readouterr()
    (harmless,) = [line for line in out.err.splitlines() if "neither time nor memory" in line]
    assert "overlap" not in harmless
    assert "dropout" not in harmless
    assert "not modelled: overlap-grad-reduce" in out.err
    assert "# Not held by a scenario: not modelled: --attention-dropout 0.1" in out.out


# --- groups of queries, uneven stages, a batch that is auto ---------------------------------------------------------


def test_groups_of_queries_need_their_switch() -> None:
    """Megatron-LM's `core_transformer_config_from_args` reads the number only beside --group-query-attention."""
    alone = megatron.read_script(SIZES + QUIET + "--num-query-groups 2")
    assert "num_key_value_heads" not in alone.data["model"]
    assert noted(alone.not_understood, "without --group-query-attention")
    both = megatron.read_script(SIZES + QUIET + "--num-query-groups 2 --group-query-attention")
    assert both.data["model"]["num_key_value_heads"] == 2


@pytest.mark.parametrize(
    ("stages", "said"),
    [
        ("--decoder-first-pipeline-num-layers 7 --decoder-last-pipeline-num-layers 7", ""),
        ("--decoder-last-pipeline-num-layers 6", ""),
        (
            "--decoder-first-pipeline-num-layers 21",
            "21 on the fullest: the planner deals them evenly, 8 on the fullest",
        ),
        ("--pipeline-model-parallel-layout 'Et*6|(t*8|)*14,t*8,L'", ""),
        ("--pipeline-model-parallel-layout 'Et*126|L'", "no whole number of stages for pp 16"),
    ],
)
def test_uneven_stages_are_compared_with_the_planner_s(stages: str, said: str) -> None:
    got = megatron.read_script(SIZES + QUIET + stages)
    assert len(noted(got.not_understood, said)) == len(got.not_understood) == bool(said)


@pytest.mark.parametrize(
    "layout", ["E(t*9999|)*9999L", "(" * 50_000, "(a" * 50_000, "E" + "(t*9|)*999" * 999]
)
def test_hostile_layouts_of_stages_end_quickly(layout: str) -> None:
    started = time.perf_counter()
    assert layers_of(layout) is None
    assert time.perf_counter() - started < 1.0


def test_stages_that_do_not_add_up_are_a_mistake() -> None:
    with pytest.raises(SpecError, match="122 layers are left for 15 stages"):
        megatron.read_script(SIZES + "--decoder-first-pipeline-num-layers 4")
    with pytest.raises(SpecError, match="it holds 32 layers, --num-layers is 126"):
        megatron.read_script(SIZES + "--pipeline-model-parallel-layout 'Et*2|(t*2|)*14,t*2,L'")


@pytest.mark.parametrize(
    ("schedule", "per_stage", "vp"),
    [
        ("1F1B", None, None),
        ("Interleaved1F1B", None, 2),
        ("Interleaved1F1B", 2, 4),
        ("ZBVZeroBubble", None, 2),
    ],
)
def test_torchtitan_stages_per_rank(schedule: str, per_stage: int | None, vp: int | None) -> None:
    layout = {
        "pipeline_parallel_degree": 4,
        "pipeline_parallel_schedule": schedule,
        "pipeline_parallel_first_stage_less_layers": 0,
        "pipeline_parallel_last_stage_less_layers": 0,
    } | ({"pipeline_parallel_layers_per_stage": per_stage} if per_stage else {})
    got = torchtitan.read_mapping(
        {"model": {"name": "llama3", "flavor": "8B"}, "parallelism": layout}, n_gpus=8
    )
    assert got.data["parallelism"].get("vp") == vp
    assert not got.not_understood


@pytest.mark.parametrize(
    ("schedule", "per_stage", "said"),
    [
        ("1F1B", 4, "1F1B has one stage per rank, not 2"),
        ("Interleaved1F1B", 8, "Interleaved1F1B needs two stages per rank or more"),
        ("ZBVZeroBubble", 8, "ZBVZeroBubble needs two stages per rank or more"),
        ("ZBVZeroBubble", 2, "ZBVZeroBubble has two stages per rank, not 4"),
        ("Interleaved1F1B", 3, "11 stages of 32 layers are no multiple of pp 4"),
    ],
)
def test_torchtitan_stages_that_it_refuses_are_a_mistake(schedule: str, per_stage: int, said: str) -> None:
    layout = {
        "pipeline_parallel_degree": 4,
        "pipeline_parallel_schedule": schedule,
        "pipeline_parallel_layers_per_stage": per_stage,
        "pipeline_parallel_first_stage_less_layers": 0,
        "pipeline_parallel_last_stage_less_layers": 0,
    }
    data = {"model": {"name": "llama3", "flavor": "8B"}, "parallelism": layout}
    with pytest.raises(SpecError, match=said):
        torchtitan.read_mapping(data, n_gpus=8)
    layout |= {"pipeline_parallel_first_stage_less_layers": 10**12, "pipeline_parallel_layers_per_stage": 1}
    with pytest.raises(SpecError, match="are more than 32 layers"):
        torchtitan.read_mapping(data, n_gpus=8)


@pytest.mark.parametrize("schedule", ["1F1B", "Interleaved1F1B", "ZBVZeroBubble"])
def test_torchtitan_has_no_more_stages_than_layers(schedule: str) -> None:
    """And none of a thousand million is dealt."""
    layout = {"pipeline_parallel_degree": 10**9, "pipeline_parallel_schedule": schedule}
    with pytest.raises(SpecError, match="are more than 32 layers"):
        torchtitan.read_mapping({"model": {"name": "llama3", "flavor": "8B"}, "parallelism": layout})


def test_torchtitan_s_own_stages_are_fuller_than_the_planner_s() -> None:
    got = torchtitan.read_mapping(
        {"model": {"name": "llama3", "flavor": "8B"}, "parallelism": {"pipeline_parallel_degree": 4}},
        n_gpus=8,
    )
    assert noted(got.not_understood, "32 layers on 4 stages, 9 on the fullest")


@pytest.mark.parametrize(
    "absent", ["train_batch_size", "train_micro_batch_size_per_gpu", "gradient_accumulation_steps"]
)
def test_what_follows_from_the_rest_is_not_left_to_the_planner(absent: str) -> None:
    figures = {"train_batch_size": 512, "train_micro_batch_size_per_gpu": 4, "gradient_accumulation_steps": 8}
    got = deepspeed.read_mapping({**figures, absent: "auto", "bf16": {"enabled": True}}, n_gpus=16)
    assert got.data["training"]["global_batch_size"] == 512
    assert got.data["training"]["micro_batch_size"] == 4
    assert not got.not_understood
    assert noted(got.taken, "--hardware -> hardware.n_gpus = 16")
    alone = deepspeed.read_mapping({**figures, absent: "auto", "bf16": {"enabled": True}})
    assert len(noted(alone.not_understood, "auto: left to the planner")) == (
        absent != "gradient_accumulation_steps"
    )


# --- names and settings of a config.json ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "name"), [("llama-3.1-8b.json", "llama-3.1-8b"), ("config.json", "my-model")]
)
def test_a_model_is_named_after_its_file(file: str, name: str, tmp_path: Path) -> None:
    folder = tmp_path / "my-model"
    folder.mkdir()
    shutil.copy(HF / "llama-3.1-8b.json", folder / file)
    assert read_file(folder / file).data["name"] == name


def test_settings_beside_the_sizes_are_kept(tmp_path: Path) -> None:
    config = json.loads((HF / "llama-3.1-8b.json").read_text())
    more = {
        "rope_parameters": {"rope_type": "llama3", "factor": 8.0, "rope_theta": 1e6},
        "bos_token_id": float("nan"),
    }
    path = tmp_path / "model.json"
    path.write_text(json.dumps({**{k: v for k, v in config.items() if k != "rope_theta"}, **more}))
    got = read_file(path)
    assert got.data["max_position_embeddings"] == 131072
    assert got.data["config"] == {
        "model_type": "llama",
        "hidden_act": "silu",
        "rms_norm_eps": 1e-5,
        "rope_theta": 1e6,
        "rope_scaling": {"rope_type": "llama3", "factor": 8.0},
    }
    assert noted(got.taken, "config.rope_theta = 1000000.0, for exports")
