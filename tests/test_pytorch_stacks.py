"""What is known of PyTorch's stacks: bytes of eager kernels counted, stacks that are told apart, sources that came later."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from simulator import calibrations, copies, library
from simulator.calibrate.priors import prior_of
from simulator.importers.torchtitan import read_mapping
from simulator.schema import load_scenario
from simulator.search.software import MEMORY_OF, ZERO_OF, not_tried
from simulator.validate import cases as tables
from simulator.validate import intervals
from simulator.validate.profiles import profile_of

WIDTH, INNER = 4096.0, 11008.0
"""Llama 2 7B, whose keys and values are as wide as its queries."""


def test_eager_bytes_are_counted() -> None:
    """Norms in 32 bits, rotary embedding in complex numbers, one kernel per operation; and all of it fused."""
    rotary = 2.0 * WIDTH
    textbook = 2.0 * float(
        copies.full_width_elements(hidden_size=WIDTH)
        + copies.split_width_elements(rotary_width=rotary, intermediate_size=INNER, gated=1.0)
    )
    norm = (2 + 4) + (4 + 4) + 4 + (4 + 4) + (4 + 2) + (2 + 2)  # cast, square, mean, scale, cast back, weight
    turned = (2 + 4) + (4 + 4) + (4 + 2)  # cast, multiply, cast back
    residual, activation = 4 + 2, (2 + 2) + (4 + 2)  # add; silu, multiply
    eager = 2 * (norm + residual) * WIDTH + turned * rotary + activation * INNER
    fused = (
        2 * (2 + 2 + 2 + 2) * WIDTH + (2 + 2) * rotary + (4 + 2) * INNER
    )  # residual and norm in one kernel
    for software in ("fsdp", "torchtitan"):
        assert prior_of((software, "elementwise_factor")).value == pytest.approx(eager / textbook, rel=0.02)
        assert prior_of((software, "compiled_factor")).value == pytest.approx(fused / eager, rel=0.03)


def test_torchtitan_is_a_stack_of_its_own() -> None:
    """Its published runs have a fixed time per step that IBM's and Kempner's, which are PyTorch FSDP too, do not show."""
    assert profile_of("torchtitan").software == "torchtitan"
    assert {
        profile_of(name).software for name in ("PyTorch FSDP (fms-fsdp)", "PyTorch FSDP2 (KempnerForge)")
    } == {"fsdp"}
    values = calibrations.shipped_values()
    assert values["torchtitan", "step_overhead_s"] > 0.2 > 2.0 * values["fsdp", "step_overhead_s"]
    assert (MEMORY_OF["torchtitan"], ZERO_OF["torchtitan"], not_tried("torchtitan")) == ("fsdp", (3,), ())


def test_an_imported_job_of_torchtitan_keeps_its_name() -> None:
    found = read_mapping(
        {"model": {"name": "llama3", "flavor": "8B"}, "training": {"seq_len": 8192, "steps": 100}}, n_gpus=8
    )
    assert found.data["software"] == "torchtitan"
    assert load_scenario("quickstart", set=["software=torchtitan"]).software == "torchtitan"


def test_sources_that_came_later_are_in_the_table() -> None:
    frame = pd.read_csv(library.find("measurements", "throughput"), low_memory=False)
    later = frame[frame.source_group.isin(["IBM-PyTorch", "Kempner"])]
    assert later.groupby("source_group").size().to_dict() == {"IBM-PyTorch": 24, "Kempner": 26}
    tokens = later.global_batch_seqs * later.seq_len
    rate = later[later.measured_quantity == "tokens_per_s"].measured_value
    assert (tokens[rate.index] / rate > 1.0).all()  # every printed step takes longer than a second
    assert (later.micro_batch * later.grad_accum * later.dp == later.global_batch_seqs).all()
    assert (later.tp * later.pp * later.cp * later.dp == later.n_gpus).all()


def test_a_compiler_saves_more_of_small_layers_than_of_large_ones() -> None:
    """IBM's runs with and without it: 20 % more tokens at 7B on A100, 10 % at 70B; the clock says so in order and in less than half the size."""
    cases = tables.read(library.find("measurements", "throughput"))
    predicted = dict(zip(cases.id, intervals.step_times(cases), strict=True))
    measured = dict(zip(cases.id, cases.measured_s, strict=True))
    pairs = {"7B": ("ibm-0005", "ibm-0013"), "70B": ("ibm-0011", "ibm-0022")}
    gains = {
        name: [float(times[eager] / times[compiled]) - 1.0 for times in (measured, predicted)]
        for name, (eager, compiled) in pairs.items()
    }
    assert gains["7B"][0] > gains["70B"][0]
    assert gains["7B"][1] > gains["70B"][1] > 0.01
    assert gains["7B"][1] > 0.35 * gains["7B"][0]
    assert np.all(np.array(list(gains.values())) > 0.0)
