"""CUDA graphs, fused experts, attention in 8 bits and the exchange of experts: read, written, refused, answered."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from typing import Any

import pytest

from simulator.errors import SpecError
from simulator.exporters import TrainingPlan, demands, export, launch, plan_of
from simulator.importers import megatron, torchtitan
from simulator.report.decision import layout_words
from simulator.result import Result
from simulator.schema import load_scenario
from simulator.simulate import run

DENSE: dict[str, Any] = {
    "model": "llama-3.1-8b",
    "training": {"steps": 10, "seq_length": 4096, "global_batch_size": 64, "micro_batch_size": 1},
    "parallelism": {"tp": 2, "pp": 1, "cp": 1, "zero_stage": 1},
    "hardware": {"accelerator": "h100-sxm-80gb", "n_gpus": 16},
}
MIXTURE: dict[str, Any] = {
    **DENSE,
    "model": "qwen3-30b-a3b",
    "parallelism": {"tp": 1, "pp": 1, "cp": 1, "ep": 16, "zero_stage": 1},
}
LAUNCH = ("cuda_graphs", "fused_experts", "fp8_attention", "dispatcher", "expert_overlap")

SIZES = "--num-layers 4 --hidden-size 64 --num-attention-heads 4 --vocab-size 512 --seq-length 128 --micro-batch-size 1 --bf16 "
EXPERTS = SIZES + "--num-experts 8 --expert-model-parallel-size 4 "


def asked(data: dict[str, Any], **values: Any) -> dict[str, Any]:
    """A scenario with other settings, each in the block that has it."""
    out = {**data, "training": {**data["training"]}, "parallelism": {**data["parallelism"]}}
    for name, value in values.items():
        laid = name in ("dispatcher", "expert_overlap", "ep", "tp", "pp", "vp", "etp")
        out["parallelism" if laid else "training"][name] = value
    return out


def answered(data: dict[str, Any], **values: Any) -> Result:
    return run(load_scenario(asked(data, **values)))


def planned(data: dict[str, Any], **values: Any) -> TrainingPlan:
    scenario = load_scenario(asked(data, **values))
    return plan_of(scenario, run(scenario))


def changed(plan: TrainingPlan, **values: Any) -> TrainingPlan:
    """The plan with other values, as another scenario would have brought them."""
    layout = {name: values.get(name, value) for name, value in plan.layout.items()}
    training = {name: values.get(name, value) for name, value in plan.training.items()}
    return replace(plan, layout=layout, training=training)


@pytest.fixture(scope="module")
def dense() -> TrainingPlan:
    return planned(DENSE)


@pytest.fixture(scope="module")
def mixture() -> TrainingPlan:
    return planned(MIXTURE, dispatcher="hybridep")


# --- reading --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "graphs"),
    [
        ("", None),
        ("--cuda-graph-impl none", "none"),
        ("--cuda-graph-impl local", "full"),
        ("--cuda-graph-impl local --cuda-graph-scope full_iteration", "full"),
        ("--cuda-graph-impl full_iteration", "full"),
        ("--cuda-graph-impl local --cuda-graph-scope full_iteration_inference", "none"),
        ("--cuda-graph-impl transformer_engine --cuda-graph-scope attn", "partial"),
        ("--cuda-graph-impl transformer_engine --cuda-graph-modules attn mlp", "full"),
        ("--enable-cuda-graph", "full"),
        ("--external-cuda-graph --cuda-graph-scope attn", "partial"),
    ],
)
def test_graphs_of_a_dense_model_are_read(words: str, graphs: str | None) -> None:
    got = megatron.read_script(SIZES + words + " --cuda-graph-warmup-steps 3")
    assert got.data["training"].get("cuda_graphs") == graphs
    assert not any("cuda-graph" in line for line in got.not_understood)


@pytest.mark.parametrize(
    ("scope", "graphs"),
    [("attn moe_router moe_preprocess", "partial"), ("attn mlp", "partial"), ("attn moe", "full")],
)
def test_graphs_without_the_experts_are_partial(scope: str, graphs: str) -> None:
    got = megatron.read_script(EXPERTS + f"--cuda-graph-impl transformer_engine --cuda-graph-scope {scope}")
    assert got.data["training"]["cuda_graphs"] == graphs


@pytest.mark.parametrize(
    ("words", "dispatcher"),
    [
        ("--moe-token-dispatcher-type alltoall", "alltoall"),
        ("--moe-token-dispatcher-type flex --moe-enable-deepep", "deepep"),
        ("--moe-token-dispatcher-type flex", "deepep"),
        ("--moe-token-dispatcher-type flex --moe-flex-dispatcher-backend hybridep", "hybridep"),
    ],
)
def test_dispatchers_are_read(words: str, dispatcher: str) -> None:
    assert megatron.read_script(EXPERTS + words).data["parallelism"]["dispatcher"] == dispatcher


def test_a_gathering_of_all_tokens_is_said_not_to_be_modelled() -> None:
    for words in ("", "--moe-token-dispatcher-type allgather"):
        got = megatron.read_script(EXPERTS + words)
        assert got.data["parallelism"]["dispatcher"] == "alltoall"
        assert any("not modelled" in line and "gathers all tokens" in line for line in got.assumed)


def test_what_a_scenario_cannot_hold_is_not_understood() -> None:
    got = megatron.read_script(
        EXPERTS + "--moe-token-dispatcher-type flex --moe-flex-dispatcher-backend ncclep"
    )
    assert "dispatcher" not in got.data["parallelism"]
    assert any("ncclep" in line for line in got.not_understood)
    alone = SIZES + "--num-experts 8 --overlap-moe-expert-parallel-comm"
    assert any("nothing is exchanged" in line for line in megatron.read_script(alone).not_understood)
    told = megatron.read_script(SIZES + "--fp8-dot-product-attention")
    assert any("without --fp8-format" in line for line in told.not_understood)


def test_kernels_and_overlap_are_read() -> None:
    got = megatron.read_script(
        EXPERTS + "--overlap-moe-expert-parallel-comm --use-transformer-engine-op-fuser --fp8-format hybrid "
        "--fp8-dot-product-attention"
    )
    assert got.data["parallelism"]["expert_overlap"] is True
    assert got.data["training"]["fused_experts"] is True
    assert got.data["training"]["fp8_attention"] is True


def test_settings_of_experts_are_harmless_where_there_are_none() -> None:
    got = megatron.read_script(SIZES + "--moe-token-dispatcher-type flex --overlap-moe-expert-parallel-comm")
    assert "dispatcher" not in got.data["parallelism"]
    assert {"moe-token-dispatcher-type", "overlap-moe-expert-parallel-comm"} <= set(got.ignored)


def test_a_setting_inside_a_condition_is_said() -> None:
    got = megatron.read_script(SIZES + "\nif x; then\nA=(--cuda-graph-impl local)\nfi\n")
    assert any("--cuda-graph-impl local stands inside" in line for line in got.not_understood)


def test_a_mapping_of_a_functional_test_is_read() -> None:
    flat = {"--num-experts": 8, "--expert-model-parallel-size": 4, "--moe-token-dispatcher-type": "alltoall"}
    got = megatron.read_mapping(
        {"MODEL_ARGS": {**flat, "--cuda-graph-impl": "local", "--cuda-graph-scope": "[attn,moe_router]"}}
    )
    assert got.data["training"]["cuda_graphs"] == "partial"
    assert got.data["parallelism"]["dispatcher"] == "alltoall"


def test_torchtitan_reads_its_backend() -> None:
    block = {"expert_parallel_degree": 8, "expert_parallel_comm_backend": "deepep"}
    got = torchtitan.read_mapping(
        {"model": {"name": "deepseek_v3", "flavor": "16B"}, "parallelism": block}, n_gpus=8
    )
    assert got.data["parallelism"]["dispatcher"] == "deepep"


# --- writing --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "values"),
    [
        (DENSE, {}),
        (DENSE, {"cuda_graphs": "full"}),
        (DENSE, {"cuda_graphs": "partial"}),
        (DENSE, {"precision": "fp8", "fp8_attention": True}),
        (MIXTURE, {"dispatcher": "deepep", "cuda_graphs": "partial"}),
        (MIXTURE, {"dispatcher": "alltoall", "expert_overlap": True, "fused_experts": True}),
        (MIXTURE, {"dispatcher": "hybridep", "fused_experts": True, "cuda_graphs": "full"}),
    ],
)
def test_a_scenario_comes_back_from_its_script(data: dict[str, Any], values: dict[str, Any]) -> None:
    text = export(planned(data, recompute="none", **values), "megatron").text
    got = megatron.read_script(text, n_gpus=16).data
    found = {**got["parallelism"], **got["training"]}
    assert {name: found[name] for name in values} == values
    unasked = set(LAUNCH) - set(values) - {"dispatcher"}
    assert not any(name in found for name in unasked)


def test_the_script_has_what_megatron_asserts(dense: TrainingPlan, mixture: TrainingPlan) -> None:
    text = export(changed(dense, cuda_graphs="full", recompute="none"), "megatron").text
    assert "--no-check-for-nan-in-loss-and-grad" in text
    plain = export(changed(mixture, dispatcher="alltoall"), "megatron").text
    assert "--moe-token-dispatcher-type alltoall" in plain
    assert "flex" not in export(changed(mixture, ep=1), "megatron").text
    overlapped = changed(mixture, expert_overlap=True, recompute="none")
    assert "CUDA_DEVICE_MAX_CONNECTIONS=32" in export(overlapped, "megatron").text
    assert "--moe-token-dispatcher" not in export(dense, "megatron").text


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"expert_overlap": True, "pp": 2}, "virtual stages"),
        ({"expert_overlap": True, "recompute": "full"}, "no recomputation of single layers"),
        ({"expert_overlap": True, "precision": "fp32"}, "for 16 bits"),
        ({"cuda_graphs": "partial", "recompute": "full"}, "take no full recomputation"),
        ({"cuda_graphs": "full", "dispatcher": "deepep"}, "by HybridEP and fused experts"),
        ({"fp8_attention": True}, "needs matmuls in 8 bits"),
    ],
)
def test_megatron_refuses(mixture: TrainingPlan, values: dict[str, Any], words: str) -> None:
    usual = changed(mixture, recompute="none")
    assert demands.megatron(usual) == []
    assert any(words in line and "--set" in line for line in demands.megatron(changed(usual, **values)))


@pytest.mark.parametrize("program", ["deepspeed", "nanotron", "torchtitan"])
def test_other_programs_say_what_they_lack(program: str, dense: TrainingPlan) -> None:
    plan = changed(dense, cuda_graphs="full", tp=1, recompute="none")
    plan = changed(plan, zero_stage=3, dp=16) if program == "torchtitan" else changed(plan, dp=16)
    notes = export(plan, program).notes
    assert any("cuda_graphs full" in line and "not written" in line for line in notes)


def test_torchtitan_writes_deepep_and_says_that_it_has_no_hybridep(mixture: TrainingPlan) -> None:
    assert launch.held(changed(mixture, dispatcher="deepep"), "torchtitan") == {"dispatcher": "deepep"}
    assert "dispatcher hybridep" in launch.notes(mixture, "torchtitan")[0]
    assert launch.torchtitan(changed(mixture, dispatcher="deepep", tp=2, etp=2))
    data = {**MIXTURE, "model": "deepseek-v2-lite", "parallelism": {"ep": 8, "etp": 1, "zero_stage": 3}}
    plan = planned(data, tp=1, pp=1, dispatcher="deepep")
    text = export(plan, "torchtitan").text
    assert tomllib.loads(text)["parallelism"]["expert_parallel_comm_backend"] == "deepep"


# --- scenarios ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"), [("dispatcher", "deepep"), ("expert_overlap", True), ("fused_experts", True)]
)
def test_settings_of_experts_need_a_mixture(name: str, value: Any) -> None:
    with pytest.raises(SpecError, match=f"{name} needs a mixture of experts; this model has none") as caught:
        load_scenario(asked(DENSE, **{name: value}))
    assert len(caught.value.problems) == 1
    if value is True:
        load_scenario(asked(DENSE, **{name: False}))


def test_contradictions_are_named() -> None:
    with pytest.raises(SpecError, match="with ep 1 experts exchange nothing"):
        load_scenario(asked(MIXTURE, ep=1, expert_overlap=True))
    with pytest.raises(SpecError, match="not fused has no 8 bits"):
        load_scenario(asked(DENSE, fp8_attention=True, flash_attention=False))


@pytest.mark.parametrize(
    ("place", "foreign", "ours"),
    [
        ("training", "enable_cuda_graph", "cuda_graphs"),
        ("training", "fp8_dot_product_attention", "fp8_attention"),
        ("parallelism", "moe_token_dispatcher_type", "dispatcher"),
        ("parallelism", "moe_a2a_overlap", "expert_overlap"),
    ],
)
def test_names_of_other_tools_are_recognised(place: str, foreign: str, ours: str) -> None:
    with pytest.raises(SpecError, match=f"{foreign}.*{ours}|{ours}"):
        load_scenario({**DENSE, place: {**DENSE[place], foreign: True}})


# --- answers --------------------------------------------------------------------------------------------------------


def test_the_record_holds_what_is_asked_for() -> None:
    assert not set(LAUNCH) & set(answered(DENSE).answer)
    wanted = {
        "cuda_graphs": "partial",
        "fused_experts": True,
        "dispatcher": "hybridep",
        "expert_overlap": True,
    }
    record = answered(MIXTURE, **wanted).answer
    assert {name: record.get(name) for name in wanted} == wanted
    assert "HybridEP behind the computation" in layout_words(record)
    assert answered(MIXTURE).answer["dispatcher"] == "alltoall"
    alone = answered({**MIXTURE, "hardware": {"accelerator": "b200", "n_gpus": 16}}, ep=1).answer
    assert "dispatcher" not in alone


def test_attention_in_8_bits_needs_an_accelerator_that_has_them() -> None:
    fast, slow = (answered(DENSE, fp8_attention=on).answer for on in (True, False))
    assert fast["fp8_attention"] is True
    assert fast["step_time_s"] < slow["step_time_s"]
    older = {**DENSE, "hardware": {"accelerator": "a100-sxm-80gb", "n_gpus": 16}}
    result = answered(older, fp8_attention=True)
    assert "fp8_attention" not in result.answer
    assert any("attention runs in 16 bits" in each["message"] for each in result.warnings)
    noted = export(plan_of(load_scenario(asked(older, fp8_attention=True)), result), "megatron").notes
    assert any("attention in 16 bits" in line for line in noted)


def test_graphs_help_where_the_host_is_the_limit() -> None:
    small = {
        "model": "gpt2",
        "training": {"steps": 10, "seq_length": 256, "global_batch_size": 64, "micro_batch_size": 1},
        "parallelism": {"tp": 1, "pp": 1},
        "hardware": {"accelerator": "h100-sxm-80gb", "n_gpus": 8},
    }
    full, none = (answered(small, cuda_graphs=kind).answer["step_time_s"] for kind in ("full", "none"))
    assert full < 0.9 * none


def test_one_copy_per_node_is_faster_than_one_per_expert() -> None:
    plain, once = (
        answered(MIXTURE, dispatcher=each).answer["step_time_s"] for each in ("alltoall", "deepep")
    )
    assert once < plain
