"""Properties that every plan has to keep, on every accelerator of the library, for dense models and mixtures.

Of memory (sums, ZeRO, recomputation, division by tp and pp) see test_memory.py; of single collectives test_copies.py.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import simulator as sim
from simulator import calibrations, clock, clocks, library
from simulator.device import Constants, Device
from simulator.flop import model_flop_per_token
from simulator.layout import Layout, n_gpus, tokens_per_step
from simulator.memory import MEMORY_PROFILES, peak
from simulator.schema import load_accelerator
from simulator.transformer import Shape, decoder

SLACK = 1e-9
"""Rounding."""

TRIFLE = 1e-6
"""What may be lost where waiting and work are rounded into each other: less tile time then shows a little more waiting."""

ACCELERATORS = tuple(library.names("accelerators"))
SOFTWARE = ("megatron", "deepspeed", "fsdp", "llm-foundry", "nanotron", "pytorch", "maxtext")

SHAPES = {
    "tiny": decoder(num_hidden_layers=4, hidden_size=256, num_attention_heads=4, vocab_size=1000),
    "1b": decoder(num_hidden_layers=24, hidden_size=2048, num_attention_heads=16, vocab_size=50304, gated=0),
    "llama-7b": decoder(
        num_hidden_layers=32,
        hidden_size=4096,
        intermediate_size=11008,
        num_attention_heads=32,
        vocab_size=32000,
    ),
    "llama-70b": decoder(
        num_hidden_layers=80,
        hidden_size=8192,
        intermediate_size=28672,
        num_attention_heads=64,
        num_key_value_heads=8,
        vocab_size=128256,
    ),
    "mixtral": decoder(
        num_hidden_layers=32,
        hidden_size=4096,
        intermediate_size=14336,
        num_attention_heads=32,
        num_key_value_heads=8,
        vocab_size=32000,
        num_experts=8,
        num_experts_per_tok=2,
        moe_intermediate_size=14336,
    ),
}

shapes = st.sampled_from(sorted(SHAPES))
layouts = st.builds(
    Layout,
    tp=st.sampled_from([1, 2, 4, 8, 16]),
    pp=st.sampled_from([1, 2, 4, 8]),
    dp=st.sampled_from([1, 2, 8, 32, 256]),
    cp=st.sampled_from([1, 2, 4]),
    vp=st.sampled_from([1, 2]),
    ep=st.sampled_from([1, 2, 4]),
    micro_batch_size=st.sampled_from([1, 2, 8]),
    num_microbatches=st.sampled_from([1, 4, 16, 64]),
    seq_length=st.sampled_from([512, 4096, 32768]),
    zero_stage=st.sampled_from([0, 1, 2, 3]),
    sequence_parallel=st.sampled_from([0, 1]),
    recompute=st.sampled_from([0, 1, 2]),
    flash_attention=st.sampled_from([0, 1]),
    frozen=st.sampled_from([0, 1]),
)
machines = st.tuples(
    st.sampled_from(ACCELERATORS), st.sampled_from(["bf16", "fp8", "fp32"]), st.sampled_from(SOFTWARE)
)
Machine = tuple[str, str, str]


def parts_of(machine: Machine) -> tuple[Device, Constants]:
    """Device and constants of an accelerator, a precision and a software."""
    name, precision, software = machine
    spec = load_accelerator(name)
    constants, _ = calibrations.constants_of(spec, precision=precision, software=software)
    return calibrations.device_of(spec, precision=precision), constants


def levels(shape: Shape, layout: Layout, device: Device, constants: Constants) -> dict[str, float]:
    """Seconds by level."""
    found = clock.memory_copies(shape, layout, device, constants)
    return {name: float(value) for name, value in found.items()}


def step(shape: Shape, layout: Layout, device: Device, constants: Constants) -> float:
    """Seconds of one step."""
    return sum(levels(shape, layout, device, constants).values())


def fits_together(layout: Layout) -> bool:
    """Whether experts have the ranks that they need."""
    return float(layout.ep) <= float(layout.dp) * float(layout.cp) * float(layout.tp)


def stages_hold_layers(shape: str, layout: Layout) -> bool:
    """Whether every stage has a layer."""
    return float(layout.pp) * float(layout.vp) <= float(SHAPES[shape].num_hidden_layers)


def link_is_no_slower(device: Device, constants: Constants) -> bool:
    """Whether neighbours in a node reach each other at least as fast as over the network.

    Not so where a spec names no link: half a host port is taken, and a fast network card beats it. Then leaving the node
    is what shortens a step.
    """
    link = min(device.link_bandwidth, device.link_pair_bandwidth) * constants.link_efficiency
    return bool(link >= device.network_bandwidth * constants.network_efficiency)


@given(shape=shapes, layout=layouts, machine=machines)
@settings(max_examples=250, deadline=None)
def test_no_plan_is_faster_than_the_peak(shape: str, layout: Layout, machine: Machine) -> None:
    """Adapters need four instead of six FLOP per frozen parameter; causal attention counts half."""
    device, constants = parts_of(machine)
    flop = float(
        model_flop_per_token(SHAPES[shape], seq_length=layout.seq_length, convention="maxtext")
        * tokens_per_step(layout)
    )
    flop *= 2.0 / 3.0 if layout.frozen else 1.0
    seconds = step(SHAPES[shape], layout, device, constants)
    peak_flops = max(float(device.peak_flops), float(device.attention_peak_flops))
    assert flop / (seconds * float(n_gpus(layout)) * peak_flops) <= 1.0


@given(shape=shapes, layout=layouts, machine=machines)
@settings(max_examples=100, deadline=None)
def test_every_level_is_finite_and_none_is_negative(shape: str, layout: Layout, machine: Machine) -> None:
    found = levels(SHAPES[shape], layout, *parts_of(machine))
    assert all(np.isfinite(value) and value >= 0.0 for value in found.values()), found


@given(shape=shapes, layout=layouts, machine=machines, factor=st.sampled_from([2, 4, 16]))
@settings(max_examples=250, deadline=None)
def test_more_data_parallelism_at_the_same_work_per_device_never_shortens_the_step(
    shape: str, layout: Layout, machine: Machine, factor: int
) -> None:
    """Only the optimizer may: ZeRO gives each rank a smaller part of its states.

    And links without a switch, of which a larger group has more (``test_links.py``).
    """
    assume(fits_together(layout) and stages_hold_layers(shape, layout))
    assume(link_is_no_slower(*parts_of(machine)) and np.isinf(parts_of(machine)[0].link_pair_bandwidth))
    small, large = (
        levels(SHAPES[shape], layout.with_(dp=dp), *parts_of(machine))
        for dp in (layout.dp, factor * layout.dp)
    )
    rest = [sum(value for name, value in each.items() if name != "optimizer") for each in (small, large)]
    assert rest[1] >= rest[0] * (1.0 - SLACK)
    if layout.zero_stage == 0:
        assert sum(large.values()) >= sum(small.values()) * (1.0 - SLACK)


@given(shape=shapes, layout=layouts, machine=machines)
@settings(max_examples=150, deadline=None)
def test_selective_recomputation_is_never_slower_than_full_and_never_lighter(
    shape: str, layout: Layout, machine: Machine
) -> None:
    assume(stages_hold_layers(shape, layout))
    device, constants = parts_of(machine)
    times = [step(SHAPES[shape], layout.with_(recompute=mode), device, constants) for mode in (0, 1, 2)]
    assert times[0] <= times[1] * (1.0 + SLACK)
    assert times[1] <= times[2] * (1.0 + SLACK)
    held = [
        float(np.max(peak(SHAPES[shape], layout.with_(recompute=mode), constants=profile)["total"]))
        for profile in MEMORY_PROFILES.values()
        for mode in (1, 2)
    ]
    for selective, full in zip(held[::2], held[1::2], strict=True):
        assert selective >= full * (1.0 - SLACK)


BETTER = ("peak_flops", "attention_peak_flops", "memory_bandwidth", "memory_capacity", "link_bandwidth", "link_pair_bandwidth", "link_domain", "network_bandwidth", "collective_bandwidth")  # fmt: skip
"""Fields of a device of which more is better. Not `sm_count`: at one peak, more processors are slower processors; nor `vector_lanes`, to which
heads are padded."""


def test_every_field_of_a_device_is_judged() -> None:
    assert {each.name for each in fields(Device)} == {
        *BETTER,
        "sm_count",
        "vector_lanes",
        "operand_bytes",
        "tdp_w",
    }


@pytest.mark.parametrize("field", BETTER)
@given(shape=shapes, layout=layouts, machine=machines, factor=st.sampled_from([1.01, 2, 10]))
@settings(max_examples=60, deadline=None)
def test_a_better_machine_never_hurts(
    field: str, shape: str, layout: Layout, machine: Machine, factor: float
) -> None:
    device, constants = parts_of(machine)
    if field == "link_domain":
        assume(link_is_no_slower(device, constants))
        assume(float(np.log2(device.link_domain)).is_integer())  # see the test below
        factor = 2.0 ** np.ceil(factor / 4.0)
    better = device.with_(**{field: factor * getattr(device, field)})
    before, after = (step(SHAPES[shape], layout, each, constants) for each in (device, better))
    assert after <= before * (1.0 + SLACK)


def test_a_larger_domain_that_does_not_divide_the_group_never_hurts() -> None:
    device, constants = parts_of(("h100-sxm-80gb", "bf16", "megatron"))
    layout = Layout(dp=64, seq_length=512, zero_stage=3)
    times = [step(SHAPES["tiny"], layout, device.with_(link_domain=size), constants) for size in (32, 40)]
    assert times[1] <= times[0] * (1.0 + SLACK)


HIGHER = (
    "tile_efficiency attention_efficiency hbm_efficiency link_efficiency network_efficiency attention_factor "
    "dp_overlap gather_overlap ep_overlap"
).split()
LOWER = (
    "tile_fill link_latency_s network_latency_s network_slowdown launch_s compiled_factor kernels_per_layer "
    "moe_kernel_factor elementwise_factor softmax_passes unfused_kernels kernel_gap_s send_latency_s gradient_buckets gradient_bytes optimizer_bytes "
    "step_overhead_s"
).split()


@pytest.mark.parametrize("field", [*HIGHER, *LOWER])
@given(shape=shapes, layout=layouts, machine=machines, share=st.sampled_from([0.1, 0.5, 0.95]))
@settings(max_examples=40, deadline=None)
def test_a_better_constant_never_hurts(
    field: str, shape: str, layout: Layout, machine: Machine, share: float
) -> None:
    if field not in {each.name for each in fields(Constants)}:
        pytest.skip(f"the clock has no {field}")
    device, constants = parts_of(machine)
    value = float(getattr(constants, field))
    better = value * share if field in LOWER else value + (1.0 - share) * max(1.0 - value, 0.0)
    times = [
        step(SHAPES[shape], layout, device, each) for each in (constants, constants.with_(**{field: better}))
    ]
    assert times[1] <= times[0] * (1.0 + TRIFLE)


def test_more_tensor_parallel_overlap_never_hurts() -> None:
    device, constants = parts_of(("a10-pcie-24gb", "bf16", "megatron"))
    layout = Layout(tp=2, seq_length=512)
    before, after = (
        step(SHAPES["1b"], layout, device, constants.with_(tp_overlap=value)) for value in (0.5, 0.9)
    )
    assert after <= before * (1.0 + SLACK)


@given(shape=shapes, layout=layouts, machine=machines)
@settings(max_examples=150, deadline=None)
def test_microbatches_add_their_time_without_a_pipeline(shape: str, layout: Layout, machine: Machine) -> None:
    """Each one adds the same; what comes once per step is not negative."""
    alone = layout.with_(pp=1, vp=1)
    times = [
        step(SHAPES[shape], alone.with_(num_microbatches=count), *parts_of(machine))
        for count in (8, 16, 24, 48)
    ]
    each = (times[1] - times[0]) / 8
    assert times[2] - times[1] == pytest.approx(8 * each, rel=1e-6)
    assert times[3] - times[2] == pytest.approx(24 * each, rel=1e-6)
    assert times[0] >= 8 * each * (1.0 - 1e-6)


@given(shape=shapes, layout=layouts, machine=machines, name=st.sampled_from(sorted(clocks.CLOCKS)))
@settings(max_examples=60, deadline=None)
def test_levels_sum_to_the_step_for_every_clock(
    shape: str, layout: Layout, machine: Machine, name: str
) -> None:
    device, constants = parts_of(machine)
    total = float(clocks.step_time(SHAPES[shape], layout, device, constants, name=name))
    parts = clocks.CLOCKS[name](SHAPES[shape], layout, device, constants)
    assert sum(float(value) for value in parts.values()) == pytest.approx(total, rel=1e-12)


@pytest.mark.parametrize("name", ACCELERATORS)
def test_the_name_of_an_accelerator_changes_nothing(name: str) -> None:
    spec = load_accelerator(name)
    renamed = spec.with_(name="Something else", id="something-else")
    for precision in ("bf16", "fp8"):
        assert calibrations.device_of(renamed, precision=precision) == calibrations.device_of(
            spec, precision=precision
        )
        first, second = (calibrations.constants_of(each, precision=precision)[0] for each in (spec, renamed))
        assert first == second


MODEL: dict[str, Any] = {
    "num_hidden_layers": 16,
    "hidden_size": 2048,
    "intermediate_size": 8192,
    "num_attention_heads": 16,
    "vocab_size": 32000,
}


def test_the_name_of_a_model_changes_nothing() -> None:
    answers = []
    for name in ("gpt-3-175b", "Llama 2 7B", "zzz"):
        scenario = {
            "name": name,
            "find": "estimate",
            "model": {"name": name, **MODEL},
            "training": {"tokens": "10B", "seq_length": 2048, "global_batch_size": 64, "precision": "bf16"},
            "hardware": {"accelerator": "a100-sxm-80gb", "n_gpus": 8},
        }
        answers.append(sim.run(scenario).answer)
    assert answers[0]["step_time_s"] == answers[1]["step_time_s"] == answers[2]["step_time_s"]
    assert answers[0]["memory_gib"] == answers[2]["memory_gib"]
    total = sum(answers[0]["breakdown"].values())
    assert total == pytest.approx(answers[0]["step_time_s"], rel=1e-6)
