"""What hides behind what, what it takes from it, and what limits a rate: one effect a test."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pandas as pd
import pytest

from simulator import calibrations, clock, collectives, copies, kernels, library, pipeline, traffic
from simulator.device import Constants, Device
from simulator.layout import Layout, n_gpus
from simulator.schema import load_accelerator, load_model
from simulator.transformer import Shape, attention_matrix_parameters, decoder, expert_parameters, shape_of
from simulator.validate import cases as tables
from simulator.validate import intervals

H100 = load_accelerator("h100-sxm-80gb")
DEVICE = calibrations.device_of(H100)
CONSTANTS, _ = calibrations.constants_of(H100)
SHAPE = decoder(
    num_hidden_layers=32, hidden_size=8192, intermediate_size=28672, num_attention_heads=64, vocab_size=32000
)
MIXTURE = SHAPE.with_(num_experts=8, num_experts_per_tok=2, moe_intermediate_size=14336)


def levels(
    layout: Layout, shape: Shape = SHAPE, device: Device = DEVICE, constants: Constants = CONSTANTS
) -> dict[str, float]:
    found = clock.memory_copies(shape, layout, device, constants)
    return {name: float(value) for name, value in found.items()}


def test_interleaved_stages_hide_gradients_behind_later_chunks() -> None:
    layout = Layout(tp=8, pp=8, dp=64, num_microbatches=8, zero_stage=1, sequence_parallel=1, seq_length=2048)
    plain, interleaved = levels(layout), levels(layout.with_(vp=4))
    sent = float(traffic.data_parallel_time(SHAPE, layout, DEVICE, CONSTANTS))
    assert interleaved["data_parallel"] < plain["data_parallel"] <= sent
    assert interleaved["data_parallel"] >= sent * CONSTANTS.stolen_share * (1 - 1e-9)


@pytest.mark.parametrize("zero_stage", [1, 3])
def test_hidden_traffic_takes_its_share(zero_stage: int) -> None:
    layout = Layout(dp=64, micro_batch_size=4, num_microbatches=4, zero_stage=zero_stage, seq_length=4096)
    free, taken = (levels(layout, constants=CONSTANTS.with_(stolen_share=share)) for share in (0.0, 0.5))
    assert free["data_parallel"] == pytest.approx(0.0, abs=1e-9)  # all of it hides
    forward, backward = traffic.gather_time(SHAPE, layout, DEVICE, CONSTANTS)
    sent = traffic.data_parallel_time(SHAPE, layout, DEVICE, CONSTANTS) + 4 * (forward + backward)
    assert taken["data_parallel"] == pytest.approx(0.5 * float(sent))


def test_what_interleaved_stages_send_hides_behind_a_share_of_them() -> None:
    layout = Layout(tp=8, pp=4, num_microbatches=16, sequence_parallel=1, seq_length=4096, vp=2)
    none, some = (levels(layout, constants=CONSTANTS.with_(send_overlap=share)) for share in (0.0, 1.0))
    assert none["pipeline_send"] > 0.0
    assert some["pipeline_send"] == 0.0
    blocking = layout.with_(vp=1)
    none, some = (levels(blocking, constants=CONSTANTS.with_(send_overlap=share)) for share in (0.0, 1.0))
    assert none["pipeline_send"] == some["pipeline_send"] > 0.0


def test_experts_in_groups_are_slower_by_their_rate() -> None:
    layout = Layout(dp=8, ep=4, num_microbatches=4, seq_length=4096)
    whole, half = (levels(layout, MIXTURE, constants=CONSTANTS.with_(grouped_rate=r)) for r in (1.0, 0.5))
    dense = [levels(layout, constants=CONSTANTS.with_(grouped_rate=r))["tiles"] for r in (1.0, 0.5)]
    assert whole["tiles"] < half["tiles"] < 2.0 * whole["tiles"]
    assert dense[0] == dense[1]


def test_one_expert_on_a_device_is_a_plain_matmul() -> None:
    alone = Layout(dp=8, ep=8, num_microbatches=4, seq_length=4096)
    several = alone.with_(ep=4)
    for layout, slower in ((alone, False), (several, True)):
        rates = [levels(layout, MIXTURE, constants=CONSTANTS.with_(grouped_rate=r)) for r in (1.0, 0.5)]
        assert (rates[1]["tiles"] > rates[0]["tiles"]) == slower


def test_projections_have_the_weights_of_every_published_model() -> None:
    """Rows times columns of the attention matmuls are the attention's weights, latent or not, with and without splitting."""
    for name in library.names("models"):
        shape = shape_of(load_model(name))
        weights = sum(float(np.asarray(n) * k) for n, k in kernels.projections(shape, tp=1.0))
        assert weights == pytest.approx(float(attention_matrix_parameters(shape)), rel=1e-12), name
        split = sum(float(np.asarray(n) * k) for n, k in kernels.projections(shape, tp=2.0))
        assert weights / 2 <= split < weights


def test_latent_and_plain_models_side_by_side_are_as_fast_as_alone() -> None:
    deepseek, llama = (shape_of(load_model(name)) for name in ("deepseek-v2-lite", "llama-3.1-8b"))
    both = Shape(
        **{f.name: np.array([getattr(deepseek, f.name), getattr(llama, f.name)]) for f in fields(Shape)}
    )
    layout = Layout(num_microbatches=2, seq_length=2048)
    together = clock.memory_copies(both, layout, DEVICE, CONSTANTS)
    for place, shape in enumerate((deepseek, llama)):
        alone = levels(layout, shape)
        assert float(together["tiles"][place]) == pytest.approx(alone["tiles"], rel=1e-12)


def test_casting_weights_costs_less_the_more_tokens_share_it() -> None:
    """Autocast doubles the bytes of norms and residuals; the weights are cast once per micro-batch."""
    ratios = []
    for micro in (1, 4, 16):
        layout = Layout(micro_batch_size=micro, num_microbatches=16 // micro, seq_length=1024)
        plain, cast = (levels(layout.with_(autocast=a)) for a in (0, 1))
        same = {name for name in plain if cast[name] == pytest.approx(plain[name], rel=1e-9)}
        assert set(plain) - same <= {"memory", "host", "data_parallel"}
        ratios.append(cast["memory"] / plain["memory"])
    assert ratios == sorted(ratios, reverse=True)
    assert ratios[-1] > 1.3  # norms and residuals stay


def test_experts_that_are_not_split_are_cast_whole() -> None:
    layout = Layout(tp=4, dp=8, ep=8, num_microbatches=4, autocast=1)
    whole, split = (
        float(kernels.autocast_elements(MIXTURE, layout.with_(etp=etp), sparse=True)) for etp in (1, 4)
    )
    experts = 3.0 * float(expert_parameters(MIXTURE))  # one on each device
    assert whole - split == pytest.approx(experts * 3 / 4)


def test_narrow_optimizer_states_are_swept_faster() -> None:
    layout = Layout(num_microbatches=4)
    wide, narrow = (levels(layout.with_(update_share=share))["optimizer"] for share in (1.0, 14 / 30))
    assert narrow == pytest.approx(wide * 14 / 30)


def test_the_host_issues_collectives_too() -> None:
    small = SHAPE.with_(hidden_size=1024, intermediate_size=4096, num_attention_heads=16, head_dim=64)
    layout = Layout(tp=2, num_microbatches=4, seq_length=512)
    few, many = (levels(layout, small, constants=CONSTANTS.with_(collective_kernels=n)) for n in (1.0, 50.0))
    assert sum(many.values()) > sum(few.values())
    one = layout.with_(tp=1)
    few, many = (levels(one, small, constants=CONSTANTS.with_(collective_kernels=n)) for n in (1.0, 50.0))
    assert few == many


def test_fewer_watts_are_fewer_flop_but_never_in_proportion() -> None:
    layout = Layout(dp=8, micro_batch_size=4, seq_length=4096)
    at_700, at_500 = (levels(layout, device=DEVICE.with_(tdp_w=w))["tiles"] for w in (700.0, 500.0))
    assert 1.0 < at_500 / at_700 < 700.0 / 500.0
    assert (
        levels(layout, device=DEVICE.with_(tdp_w=2000.0))["tiles"]
        == levels(layout, device=DEVICE.with_(tdp_w=1000.0))["tiles"]
    )
    shares = copies.power_share(
        tdp_w=np.array([0.0, 700.0, 700.0]),
        peak_flops=np.array([989e12, 989e12, 1979e12]),
        operand_bytes=np.array([2.0, 2.0, 1.0]),
        exponent=0.5,
    )
    assert shares[0] == 1.0  # not known, so no limit
    assert shares[1] == pytest.approx(shares[2], rel=1e-3)  # one board, whatever the format


def test_an_all_reduce_costs_what_collectives_measure() -> None:
    """An all-reduce of 16 MiB over eight H100s takes between 0.1 and 0.3 ms (micro.csv: 0.12 to 0.23 ms)."""
    layout = Layout(tp=8, micro_batch_size=1, seq_length=1024)
    moving, waiting = traffic.tensor_parallel_time(SHAPE, layout, DEVICE, CONSTANTS)
    assert 1e-4 < float(moving + waiting) < 3e-4


def test_chunks_of_the_best_size_are_the_best_of_all_sizes() -> None:
    """`collectives.filled_time` is the minimum over the number of chunks, within rounding to whole ones."""
    stages, start_s = 8, 1e-6
    for stream_s in (1e-6, 1e-4, 1e-2):
        chunks = np.arange(1.0, 1e5)
        every = (stages - 1 + chunks) * (start_s + stream_s / chunks)
        best = collectives.filled_time(fill_s=(stages - 1) * start_s, stream_s=stream_s)
        assert float(best) <= every.min() < 1.5 * float(best)
    assert float(best) == pytest.approx(every.min(), rel=1e-3)  # of a long message
    assert float(collectives.filled_time(fill_s=0.0, stream_s=1e-3)) == pytest.approx(1e-3)


def test_frozen_weights_halve_the_casts_to_narrow_formats() -> None:
    """An input that no weight gradient reads needs no transposed copy, and the backward pass casts one operand less."""
    assert float(copies.quantized_elements(inputs=10.0)) == 20.0
    assert float(copies.quantized_elements(inputs=10.0, frozen=1)) == 10.0
    layout = Layout(dp=8, micro_batch_size=2, seq_length=4096, frozen=1.0)
    narrow = DEVICE.with_(operand_bytes=1.0)
    casts = [
        levels(each, device=narrow)["memory"] - levels(each)["memory"]
        for each in (layout, layout.with_(frozen=0.0))
    ]
    assert 0.0 < casts[0] == pytest.approx(0.5 * casts[1])


def test_a_stack_that_counts_the_logits_deals_fewer_layers_to_their_stage() -> None:
    """nanotron on Llama-like models of the sweep, whose vocabulary of 131,072 weighs as much as four of 16 layers."""
    small = decoder(
        num_hidden_layers=16,
        hidden_size=2048,
        intermediate_size=8192,
        num_attention_heads=32,
        vocab_size=131072,
    )
    assert float(pipeline.head_cost(small)) == pytest.approx(4.0)
    layout = Layout(pp=4, num_microbatches=32, micro_batch_size=4, seq_length=4096)
    even, counted = (
        sum(levels(layout, small, constants=CONSTANTS.with_(stage_balance=how)).values())
        for how in (0.0, 1.0)
    )
    assert 1.2 < even / counted < 1.6  # 4 + 4 of 20 layers' worth on the last stage against 5
    one = layout.with_(pp=1)
    assert levels(one, small) == levels(one, small, constants=CONSTANTS.with_(stage_balance=1.0))


def test_pipelined_runs_of_the_sweep_are_met_by_stages_dealt_by_cost() -> None:
    frame = pd.read_csv(library.find("measurements", "throughput"), low_memory=False)
    healthy = frame.notes.astype(str).str.contains("after_pp_fix=True")
    cases = tables.of_frame(frame[(frame.source_group == "HuggingFace") & healthy & (frame.pp >= 4)])
    assert len(cases) > 150
    constants = tables.constants(cases, calibrations.shipped_values())
    medians = {}
    for how in (0.0, 1.0):
        found = clock.memory_copies(
            cases.shape, cases.layout, cases.device, constants.with_(stage_balance=np.full(len(cases), how))
        )
        medians[how] = float(np.median(np.abs(sum(found.values()) / cases.measured_s - 1.0)))
    assert medians[1.0] < 0.12 < 0.14 < medians[0.0]


def test_sequence_parallelism_gathers_inputs_once_more_beside_the_input_gradients() -> None:
    """Hidden on a fast link but for what its kernels take; beyond the gradients' time where the link is slow."""
    layout = Layout(tp=8, micro_batch_size=2, sequence_parallel=1, seq_length=4096)
    constants = CONSTANTS.with_(tp_overlap=0.0, stolen_share=0.0)
    free = clock.layer_time(SHAPE, layout, DEVICE, constants, sparse=False)
    moving, waiting = traffic.tensor_parallel_time(SHAPE, layout, DEVICE, constants)
    assert float(free["tensor_parallel"]) < 4.0 * float(moving + waiting)
    taken = clock.layer_time(SHAPE, layout, DEVICE, constants.with_(stolen_share=0.5), sparse=False)
    assert float(taken["tensor_parallel"] - free["tensor_parallel"]) == pytest.approx(0.5 * float(moving))
    frozen = clock.layer_time(
        SHAPE, layout.with_(frozen=1.0), DEVICE, constants.with_(stolen_share=0.5), sparse=False
    )
    assert float(frozen["tensor_parallel"]) < float(
        taken["tensor_parallel"]
    )  # no weight gradient, no input needed
    slow = DEVICE.with_(link_bandwidth=DEVICE.link_bandwidth / 50.0)
    crawling = clock.layer_time(SHAPE, layout, slow, constants, sparse=False)
    moving, _ = traffic.tensor_parallel_time(SHAPE, layout, slow, constants)
    assert 4.5 * float(moving) < float(crawling["tensor_parallel"]) < 5.01 * float(moving)
    whole = clock.layer_time(SHAPE, layout.with_(sequence_parallel=0), slow, constants, sparse=False)
    assert float(whole["tensor_parallel"]) < 4.01 * float(moving)


@pytest.mark.parametrize(
    ("tp", "micro_batch_size", "flash", "multiple", "unfused"),
    [
        (8, 1, 0, 4.0, True),  # two matrices
        (8, 2, 0, 4.0, False),  # four
        (8, 3, 0, 4.0, True),  # six
        (4, 1, 0, 4.0, False),
        (8, 1, 1, 4.0, False),  # flash attention has no such softmax
        (8, 1, 0, 1.0, False),  # a stack without the rule
    ],
)
def test_megatron_fuses_the_softmax_of_four_matrices_at_a_time(
    tp: int, micro_batch_size: int, flash: int, multiple: float, unfused: bool
) -> None:
    shape = decoder(num_hidden_layers=24, hidden_size=2048, num_attention_heads=16, vocab_size=51200)
    layout = Layout(tp=tp, micro_batch_size=micro_batch_size, flash_attention=flash, seq_length=1024)
    constants = CONSTANTS.with_(softmax_multiple=multiple, unfused_kernels=5.0)
    assert bool(np.any(kernels.unfused_softmax(shape, layout, constants))) == unfused
    found, fused = (
        clock.layer_time(shape, layout, DEVICE, each, sparse=False)
        for each in (constants, constants.with_(softmax_multiple=1.0))
    )
    assert (float(found["attention"]) > float(fused["attention"])) == unfused
    more = float(found["host"] - fused["host"])
    assert more == pytest.approx(3.0 * 5.0 * constants.launch_s if unfused else 0.0)


@pytest.fixture(scope="module")
def every() -> tables.Cases:
    return tables.read(library.find("measurements", "throughput"))


def test_vtrain_ran_without_the_fused_softmax_where_two_heads_met_one_sequence(every: tables.Cases) -> None:
    """Sixteen heads, tensor parallelism 8, one sequence: predicted a quarter too fast with it, a tenth without."""
    heads = every.shape.num_attention_heads / every.layout.tp
    own = (every.source == "KAIST-vTrain") & (heads * every.layout.micro_batch_size == 2.0)
    cases = every.take(np.flatnonzero(own))
    assert len(cases) >= 30
    constants = tables.constants(cases, calibrations.shipped_values())
    found, fused = (
        sum(clock.memory_copies(cases.shape, cases.layout, cases.device, each).values()) / cases.measured_s
        for each in (constants, constants.with_(softmax_multiple=np.ones(len(cases))))
    )
    assert np.median(fused) < 0.80 < 0.85 < np.median(found) < 1.15


def test_the_device_pauses_between_kernels() -> None:
    layout = Layout(micro_batch_size=4, num_microbatches=3, seq_length=4096)
    none, some = (levels(layout, constants=CONSTANTS.with_(kernel_gap_s=gap)) for gap in (0.0, 2e-6))
    count = 3.0 * 32 * 3.0 * CONSTANTS.kernels_per_layer * CONSTANTS.compiled_factor
    assert some["host"] - none["host"] == pytest.approx(2e-6 * count, rel=0.01)
    same = set(none) - {"host"}
    assert {name: none[name] for name in same} == pytest.approx({name: some[name] for name in same})


def test_where_collectives_keep_the_host_the_device_works_on() -> None:
    """Waiting is then the host's: a stage takes the longer of it and of the device's work, not their sum."""
    layout = Layout(tp=8, micro_batch_size=16, sequence_parallel=1, seq_length=4096)
    shape = SHAPE.with_(hidden_size=2048.0, intermediate_size=8192.0, num_attention_heads=32.0)
    waits = CONSTANTS.with_(link_latency_s=3e-4)
    on_device, on_host = (levels(layout, shape, constants=waits.with_(host_blocking=x)) for x in (0.0, 1.0))
    assert on_host["tensor_parallel"] < on_device["tensor_parallel"]
    assert sum(on_host.values()) < sum(on_device.values())
    _, waiting = traffic.tensor_parallel_time(shape, layout, DEVICE, waits)
    small, large = (
        sum(
            levels(layout.with_(micro_batch_size=b), shape, constants=waits.with_(host_blocking=1.0)).values()
        )
        for b in (1, 8)
    )
    assert small > 4.0 * float(waiting) * 32
    assert large < 1.2 * small  # eight times the work in about the same time


def test_the_degraded_sweep_took_as_long_with_one_sequence_as_with_eight(every: tables.Cases) -> None:
    """Rows of the degraded fabric with tensor parallelism 8, whose micro-batch alone differs: measured and predicted."""
    fabric = np.array([keys["link_latency_s"][0] for keys in every.keys])
    own = (fabric == "fabric-degraded") & (every.layout.tp == 8) & (every.shape.hidden_size == 2048)
    own &= np.array([keys["launch_s"][0] == "nanotron" for keys in every.keys]) & (every.layout.pp == 2)
    cases = every.take(np.flatnonzero(own))
    constants = tables.constants(cases, calibrations.shipped_values())
    predicted = sum(clock.memory_copies(cases.shape, cases.layout, cases.device, constants).values())
    slots = (
        (cases.layout.num_microbatches + cases.layout.pp - 1)
        * cases.shape.num_hidden_layers
        / cases.layout.pp
    )
    one, eight = (cases.layout.micro_batch_size == b for b in (1, 8))
    assert one.sum() >= 3
    assert eight.sum() >= 3
    for step_s in (cases.measured_s, predicted):
        layer_s = step_s / slots
        assert 0.7 < np.median(layer_s[eight]) / np.median(layer_s[one]) < 1.3


def test_sharded_experts_are_gathered_from_the_ranks_that_hold_the_same_ones() -> None:
    """With as many expert-parallel ranks as there are in all, nobody else holds them: only the dense part moves."""
    layout = Layout(dp=64, zero_stage=3, num_microbatches=4)
    many = MIXTURE.with_(num_experts=64)
    dense, _ = traffic.device_parameters(many, layout.with_(ep=64))
    alone = traffic.gather_time(many, layout.with_(ep=64), DEVICE, CONSTANTS)
    without = traffic.gather_time(many, layout.with_(ep=64), DEVICE, CONSTANTS, held=(dense, 0.0))
    assert float(alone[0]) == pytest.approx(float(without[0]))
    assert float(alone[1]) == pytest.approx(float(without[1]))
    shared = [float(traffic.gather_time(MIXTURE, layout.with_(ep=ep), DEVICE, CONSTANTS)[0]) for ep in (1, 8)]
    network, port = (
        float(DEVICE.link_domain),
        1.0,
    )  # ports of a domain for all ranks, own port for ranks a domain apart
    assert network / 2 > shared[1] / shared[0] > port / 8


def test_work_hides_one_transfer_only() -> None:
    """More peak never lengthens a step in which experts and tensor parallelism wait for the same matmuls."""
    layout = Layout(
        tp=8, pp=8, dp=8, ep=8, schedule=4, num_microbatches=32, sequence_parallel=1, micro_batch_size=1
    )
    times = [
        sum(
            levels(
                layout,
                MIXTURE,
                DEVICE.with_(attention_peak_flops=factor * float(DEVICE.attention_peak_flops)),
            ).values()
        )
        for factor in (1.0, 1.5, 2.0, 3.0)
    ]
    assert times == sorted(times, reverse=True)
    sharded = Layout(pp=8, dp=64, schedule=4, zero_stage=3, num_microbatches=32)
    slow = DEVICE.with_(network_bandwidth=2e9)
    times = [
        sum(levels(sharded, SHAPE, slow.with_(peak_flops=factor * float(DEVICE.peak_flops))).values())
        for factor in (1.0, 2.0, 4.0)
    ]
    assert times == sorted(times, reverse=True)


def test_selective_recomputation_never_repeats_more_than_full() -> None:
    tiny = decoder(
        num_hidden_layers=8,
        hidden_size=64,
        intermediate_size=14336,
        num_attention_heads=1,
        vocab_size=32000,
        gated=0,
    )
    for software in ("maxtext", "fsdp"):
        constants, _ = calibrations.constants_of(H100, software=software)
        layout = Layout(micro_batch_size=8, seq_length=4096, dp=8)
        selective, full = (levels(layout.with_(recompute=mode), tiny, DEVICE, constants) for mode in (1, 2))
        assert sum(selective.values()) <= sum(full.values()) * (1 + 1e-12)


def test_dualpipe_sends_the_gradients_of_two_stages() -> None:
    layout = Layout(pp=16, dp=64, zero_stage=1, num_microbatches=64)
    one, two = (
        float(traffic.data_parallel_time(SHAPE, layout.with_(schedule=code), DEVICE, CONSTANTS))
        for code in (1, 4)
    )
    assert 1.9 < two / one < 2.2


def test_the_first_micro_batch_crosses_each_boundary_once() -> None:
    def handed(**layout: int) -> float:
        return float(pipeline.handing_time(send_s=4.0, **layout))

    assert handed(pp=1, num_microbatches=8) == 0.0
    assert handed(pp=2, num_microbatches=1) == 4.0  # there and back
    assert handed(pp=3, num_microbatches=1) == 4.0  # two boundaries, half of a middle stage's messages each
    assert handed(pp=8, num_microbatches=1) == 14.0
    assert handed(pp=8, num_microbatches=16) == 15 * 4.0 + 14.0
    assert handed(pp=8, num_microbatches=16, vp=2) == 15 * 4.0 + 7.0
    assert handed(pp=8, num_microbatches=16, serial=1) == 16 * 14.0
    assert handed(pp=8, num_microbatches=16, idle=0) == 15 * 4.0


def test_runs_that_wait_for_their_messages_take_as_long_as_the_messages_on_the_longest_path() -> None:
    """nanotron before its repair blocked on every message: one time per message describes runs of 4 to 32 stages.

    If every stage that fills the pipeline paid for all messages of a micro-batch, the same time would scatter twice as much.
    """
    cases = tables.read(library.find("measurements", "throughput"))
    levels = intervals.levels_of(cases)
    pp, m = (
        np.asarray(column) + np.zeros(len(cases))
        for column in (cases.layout.pp, cases.layout.num_microbatches)
    )
    waiting = levels["pipeline_send"] > 0.8 * sum(levels.values())
    early = np.array([keys["send_latency_s"][0] == "nanotron-early" for keys in cases.keys])
    rows = early & (pp >= 4) & waiting
    assert rows.sum() > 60
    messages = pipeline.handing_time(send_s=1.0, pp=pp[rows], num_microbatches=m[rows])
    beats = m[rows] + pp[rows] - 1.0
    scatter = [float(np.std(np.log(cases.measured_s[rows] / each))) for each in (messages, beats)]
    assert scatter[0] < 0.08
    assert scatter[1] > 1.5 * scatter[0]


def test_a_padded_vocabulary_keeps_the_tensor_cores_fed() -> None:
    gpt2, aligned = SHAPE.with_(vocab_size=50257), SHAPE.with_(vocab_size=50304)
    layout = Layout(dp=8, seq_length=2048)
    ragged, padded = (
        float(clock.head_time(gpt2, layout.with_(pads_vocabulary=pads), DEVICE, CONSTANTS)) for pads in (0, 1)
    )
    assert ragged > 1.3 * padded
    assert padded == pytest.approx(float(clock.head_time(aligned, layout, DEVICE, CONSTANTS)), rel=0.01)


def test_megatron_rows_have_padded_vocabularies() -> None:
    """BigScience's 1.3B runs on V100 count on it; layers that vTrain measured alone were not padded."""
    frame = pd.read_csv(library.find("measurements", "throughput"), low_memory=False)
    cases = tables.of_frame(frame[frame.source_group.isin(["BigScience", "KAIST-vTrain", "MosaicML"])])
    pads = np.asarray(cases.layout.pads_vocabulary) + np.zeros(len(cases))
    small = np.char.startswith(cases.id.astype(str), "bigsci-v100-0") & (
        np.asarray(cases.shape.hidden_size) == 2048
    )
    one_node = (cases.source == "KAIST-vTrain") & (np.asarray(n_gpus(cases.layout)) <= 8)
    assert small.sum() > 10
    assert pads[small].all()
    assert not pads[one_node].any()
    assert not pads[cases.source == "MosaicML"].any()
