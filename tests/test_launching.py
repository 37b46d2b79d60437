"""How kernels are launched and experts reached: CUDA graphs, fused experts, the exchange, and what a row says of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from simulator import calibrations, clock, kernels, library, traffic
from simulator.device import Constants, Device
from simulator.layout import Layout
from simulator.schema import load_accelerator, load_model
from simulator.transformer import Shape, decoder, shape_of
from simulator.validate import cases as tables
from simulator.validate.cells import SkipError
from simulator.validate.profiles import profile_of
from simulator.validate.recipes import launch_of

SMALL = Layout(tp=1, dp=8, ep=8, micro_batch_size=1, num_microbatches=8, seq_length=2048, etp=1)


@pytest.fixture(scope="module")
def mixture() -> Shape:
    return shape_of(load_model("qwen3-30b-a3b"))


def parts(precision: str = "bf16", gpu: str = "H100-SXM-80GB", **named: Any) -> tuple[Device, Constants]:
    accelerator = load_accelerator(gpu)
    constants, _ = calibrations.constants_of(accelerator, software="megatron", precision=precision)
    return calibrations.device_of(accelerator, precision=precision, **named), constants


def seconds(shape: Shape, layout: Layout, device: Device, constants: Constants) -> float:
    return float(np.sum([np.sum(v) for v in clock.memory_copies(shape, layout, device, constants).values()]))


# --- CUDA graphs --------------------------------------------------------------------------------------------------------


def test_a_graph_is_issued_like_one_kernel_and_a_partial_one_leaves_the_experts_out(mixture: Shape) -> None:
    _, c = parts()
    run, issued = zip(
        *(clock.issued_kernels(mixture, SMALL.with_(cuda_graphs=g), c, sparse=True) for g in (0, 1, 2)),
        strict=True,
    )
    assert run[0] == run[1] == run[2]  # the device runs the same kernels
    local = 128 / 8
    outside = 30.0 * c.moe_kernel_factor * c.eager_share + c.expert_kernels * local
    assert issued[0] == pytest.approx(run[0])
    assert issued[1] == pytest.approx(1.0 + outside)
    assert issued[2] == 1.0


def test_of_a_dense_layer_a_partial_graph_is_a_whole_one(mixture: Shape) -> None:
    _, c = parts()
    for graphs in (1, 2):
        assert clock.issued_kernels(mixture, SMALL.with_(cuda_graphs=graphs), c, sparse=False)[1] == 1.0


def test_graphs_speed_up_what_the_host_holds_up(mixture: Shape) -> None:
    device, c = parts()
    eager, partial, full = (seconds(mixture, SMALL.with_(cuda_graphs=g), device, c) for g in (0, 1, 2))
    assert full < partial < eager
    assert full < 0.7 * eager  # 2,048 tokens keep an H100 busy for less than the host needs for 48 layers
    large = SMALL.with_(micro_batch_size=16)
    assert seconds(mixture, large.with_(cuda_graphs=2), device, c) > 0.9 * seconds(mixture, large, device, c)


def test_issuing_grows_with_the_experts_of_a_device_unless_one_kernel_has_them_all(mixture: Shape) -> None:
    _, c = parts()

    def issued(**named: float) -> float:
        return float(clock.issued_kernels(mixture, SMALL.with_(**named), c, sparse=True)[1])

    assert issued(ep=1) - issued(ep=8) == pytest.approx(c.expert_kernels * (128 - 16))
    assert issued(ep=1, fused_experts=1) == pytest.approx(issued(ep=8, fused_experts=1))


def test_overlapping_the_exchange_hides_it_and_takes_longer_to_issue(mixture: Shape) -> None:
    device, c = parts()
    large = SMALL.with_(micro_batch_size=8)
    one, other = (
        clock.layer_time(mixture, large.with_(expert_overlap=on), device, c, sparse=True) for on in (0, 1)
    )
    assert float(other["expert_parallel"]) == pytest.approx(c.stolen_share * float(one["expert_parallel"]))
    assert float(other["host"]) == pytest.approx(c.overlap_kernels * float(one["host"]))


# --- experts ------------------------------------------------------------------------------------------------------------


def test_a_plain_exchange_sends_every_copy_of_a_token_over_the_network(mixture: Shape) -> None:
    device, c = parts()
    wide = SMALL.with_(ep=32, dp=32, micro_batch_size=4)
    few, all_ = (
        float(traffic.expert_parallel_time(mixture, wide.with_(plain_dispatch=on), device, c))
        for on in (0, 1)
    )
    # 8 experts out of 4 nodes: 2.7 of 3 other nodes are visited, 6 copies leave the node
    assert all_ / few == pytest.approx(6.0 / 2.7, rel=0.12)  # less what fills the network either way
    inside = SMALL.with_(micro_batch_size=4)
    assert traffic.expert_parallel_time(
        mixture, inside.with_(plain_dispatch=1), device, c
    ) == traffic.expert_parallel_time(mixture, inside, device, c)


def test_whole_experts_need_no_tensor_parallel_traffic_beside_the_exchange(mixture: Shape) -> None:
    device, c = parts()
    split = SMALL.with_(tp=4, sequence_parallel=1)
    whole = clock.layer_time(mixture, split, device, c, sparse=True)
    cut = clock.layer_time(mixture, split.with_(etp=4), device, c, sparse=True)
    assert float(whole["tensor_parallel"]) < 0.7 * float(cut["tensor_parallel"])
    shared = replace(mixture, shared_expert_intermediate_size=768)
    assert float(clock.layer_time(shared, split, device, c, sparse=True)["tensor_parallel"]) > float(
        whole["tensor_parallel"]
    )


def test_one_kernel_for_all_experts_moves_fewer_bytes(mixture: Shape) -> None:
    device, c = parts("fp8")
    plain, fused = (
        float(kernels.elementwise_time(mixture, SMALL.with_(fused_experts=on), device, c, sparse=True))
        for on in (0, 1)
    )
    assert fused < 0.85 * plain


# --- attention ----------------------------------------------------------------------------------------------------------


def test_attention_in_eight_bits_is_as_much_faster_as_flash_attention_3(mixture: Shape) -> None:
    slow, c = parts()
    fast, _ = parts(fp8_attention=True)
    ratio = kernels.flash_time(mixture, SMALL, slow, c) / kernels.flash_time(mixture, SMALL, fast, c)
    assert float(ratio) == pytest.approx(1200 / 740)  # arXiv:2407.08608
    without, _ = parts(gpu="A100-SXM-80GB", fp8_attention=True)
    assert without == parts(gpu="A100-SXM-80GB")[0]


def test_a_tpu_pads_heads_to_its_lanes() -> None:
    """Heads of 64 take as long as heads of 128 with twice the work, but for what fused attention does once per score."""
    accelerator = load_accelerator("tpu-v5p")
    device = calibrations.device_of(accelerator)
    constants, _ = calibrations.constants_of(accelerator, software="maxtext")
    layout = Layout(dp=16, micro_batch_size=8, seq_length=4096)
    narrow = decoder(num_hidden_layers=12, hidden_size=1024, num_attention_heads=16, vocab_size=32000)
    wide = decoder(num_hidden_layers=12, hidden_size=1024, num_attention_heads=8, vocab_size=32000)
    assert float(device.vector_lanes) == 128
    assert float(kernels.flash_time(narrow, layout, device, constants)) == pytest.approx(
        2.0 * float(kernels.flash_time(wide, layout, device, constants))
    )


def test_selective_recomputation_repeats_fused_attention_too_where_it_repeats_the_core_alone() -> None:
    """Megatron-LM checkpoints the core attention, fused or not; torchtitan keeps its result."""
    device, c = parts()
    shape, layout = (
        shape_of(load_model("llama-3-8b")),
        Layout(tp=2, dp=4, seq_length=8192, num_microbatches=4),
    )
    titan, _ = calibrations.constants_of(load_accelerator("H100-SXM-80GB"), software="torchtitan")

    def attention(constants: Constants, mode: int) -> float:
        return float(
            clock.layer_time(shape, layout.with_(recompute=mode), device, constants, sparse=False)[
                "attention"
            ]
        )

    assert attention(c, 1) / attention(c, 0) == pytest.approx(4.5 / 3.5)
    assert attention(titan, 1) == attention(titan, 0)


# --- rows ---------------------------------------------------------------------------------------------------------------

EMPTY = dict.fromkeys(("cuda_graphs", "dispatcher", "fused_experts", "expert_overlap", "fp8_attention"), "")
ROW = EMPTY | {"framework": "Megatron-Bridge", "precision": "mxfp8", "moe_experts": 128.0}


@pytest.mark.parametrize(
    ("gpu", "release", "precision", "graphs", "dispatcher"),
    [
        ("GB200", "26.08", "mxfp8", "full", "hybridep"),
        ("B300", "26.06", "mxfp8", "full", "hybridep"),
        ("GB300", "26.08", "bf16", "partial", "hybridep"),
        ("GB300", "26.02.01", "mxfp8", "partial", "hybridep"),
        ("GB200", "25.09", "fp8", "full", "alltoall"),
        ("H100-SXM-80GB", "26.06", "fp8", "none", "alltoall"),
        ("B200-SXM-180GB", "26.02", "mxfp8", "none", "alltoall"),
    ],
)
def test_a_row_that_says_nothing_was_launched_as_its_release_does(
    gpu: str, release: str, precision: str, graphs: str, dispatcher: str
) -> None:
    row = ROW | {"gpu": gpu, "precision": precision, "source_ref": f"docs (NeMo {release}, Qwen3)"}
    found = launch_of(row)
    assert (found.cuda_graphs, found.dispatcher) == (graphs, dispatcher)
    assert launch_of(row | {"moe_experts": ""}).cuda_graphs == "none"
    said = launch_of(row | {"cuda_graphs": "partial", "dispatcher": "deepep", "expert_overlap": "no"})
    assert (said.cuda_graphs, said.dispatcher, said.expert_overlap) == ("partial", "deepep", 0)


def test_words_for_graphs_are_understood_and_others_refused() -> None:
    row = ROW | {"gpu": "H100", "source_ref": ""}
    assert [launch_of(row | {"cuda_graphs": word}).cuda_graphs for word in ("true", "False", "Full")] == [
        "full",
        "none",
        "full",
    ]
    for column in ("cuda_graphs", "dispatcher"):
        with pytest.raises(SkipError, match=f"{column} not known"):
            launch_of(row | {column: "some"})


def test_pytorch_is_plain_pytorch_but_for_submissions_to_mlperf() -> None:
    assert profile_of("PyTorch 2.6").software == "pytorch"
    assert profile_of("PyTorch 2.6", "github:mlcommons/training_results_v5.0").software == "megatron"
    assert profile_of("PyTorch FSDP2 (LitGPT)").software == "fsdp"
    assert profile_of("NeMo AutoModel (PyTorch FSDP2)").compiled == 1


def test_a_megatron_lm_with_fused_attention_is_a_current_one() -> None:
    assert profile_of("Megatron-LM", current=True).software == "megatron"
    assert profile_of("Megatron-LM").software == "megatron-2021"
    assert profile_of("Megatron-LM", "arXiv:2205.05198").software == "megatron"


def test_the_launch_of_a_shipped_row_reaches_the_clock() -> None:
    cases = tables.read(library.find("measurements", "throughput"))
    at = {str(name): i for i, name in enumerate(cases.id)}
    full, none = at["nvbridge-0002"], at["nvbridge-0088"]
    assert (cases.layout.cuda_graphs[full], cases.layout.fused_experts[full]) == (2, 1)
    assert (cases.layout.cuda_graphs[none], cases.layout.plain_dispatch[none]) == (0, 1)
    assert cases.layout.expert_overlap[none] == 1
    grok = at["dgxc-0076"]
    assert cases.layout.etp[grok] == cases.layout.tp[grok] == 4


def test_every_added_organisation_is_in_the_page_about_the_table() -> None:
    page = (Path(__file__).parents[1] / "measurements" / "README.md").read_text(encoding="utf-8")
    for name in (
        "InternLM",
        "BAAI-FlagPerf",
        "NVIDIA-AutoModel",
        "Lightning-Thunder",
        "Dao-AILab",
        "Marin",
        "Alpa",
    ):
        assert f"| {name} |" in page
