"""Measured steps of which one effect is a large part: the clock meets them, and without the effect it would not.

`test_effects` compares runs that differ in one thing alone. Here are effects that no such pair shows, or hardly.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from simulator import calibrations, clock, kernels, library, pipeline, traffic
from simulator.schema import load_accelerator
from simulator.validate import cases as tables
from simulator.validate.cases import Cases
from simulator.validate.kernels import FORMATS, matmuls

MICRO = library.find("measurements", "micro")
MOST = 1e9
"""Of an overlap: all there is hides."""


@pytest.fixture(scope="module")
def every() -> Cases:
    return tables.read(library.find("measurements", "throughput"))


def off(cases: Cases, **constants: float) -> Any:
    """Predicted over measured step time of every row, less one; with some constants replaced."""
    known = tables.constants(cases, calibrations.shipped_values())
    replaced = replace(known, **{name: np.full(len(cases), value) for name, value in constants.items()})
    found = clock.memory_copies(cases.shape, cases.layout, cases.device, replaced)
    return sum(found.values()) / cases.measured_s - 1.0


def took(cases: Cases, rows: Any) -> Cases:
    return cases.take(np.flatnonzero(np.asarray(rows)))


def without(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Make one kind of traffic cost nothing."""
    real = getattr(traffic, name)

    def free(*args: Any, **named: Any) -> Any:
        found = real(*args, **named)
        return tuple(0.0 * each for each in found) if isinstance(found, tuple) else 0.0 * found

    monkeypatch.setattr(traffic, name, free)


# --- ZeRO 3: gathers and what hides them ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sharded(every: Cases) -> Cases:
    """GPT-3 175B, all states sharded over 128 to 2,048 H100s, two short sequences on each: a third of a step is gathering."""
    own = (every.layout.zero_stage == 3) & (every.shape.hidden_size == 12288) & (every.layout.dp >= 128)
    found = took(every, own & (every.source == "NVIDIA") & (every.gpu == "H100-SXM-80GB"))
    assert len(found) == 5
    return found


def test_gathers_of_sharded_weights_are_met(sharded: Cases) -> None:
    assert np.max(np.abs(off(sharded))) < 0.15


def test_they_are_a_third_of_the_step_beyond_what_the_prefetch_hides(
    sharded: Cases, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert np.all(off(sharded, gather_overlap=MOST) < -0.2)
    assert np.all(off(sharded, gather_overlap=0.0) > 0.2)
    without(monkeypatch, "gather_time")
    assert np.all(off(sharded) < -0.3)


# --- context parallelism: keys and values pass round behind attention -------------------------------------------------------


def test_keys_and_values_of_a_million_tokens_pass_round_behind_attention(every: Cases) -> None:
    """Half a million tokens and more over 16 to 64 ranks of several nodes: unhidden they would be a sixth to a half of a step."""
    cases = took(every, (every.layout.seq_length >= 2**19) & (every.layout.cp >= 16))
    assert len(cases) >= 4
    error = off(cases)
    assert np.max(np.abs(error)) < 0.13
    known = tables.constants(cases, calibrations.shipped_values())
    passing = traffic.context_parallel_time(cases.shape, cases.layout, cases.device, known)
    layers = cases.shape.num_hidden_layers / cases.layout.pp * cases.layout.num_microbatches
    assert np.all(3.0 * passing * layers / cases.measured_s > 0.13)


def test_keys_and_values_wait_where_a_sequence_is_short(every: Cases) -> None:
    """Of a split sequence each rank's attention shrinks with its square, what it passes on only with its length."""
    cases = took(every, (every.layout.seq_length >= 2**19) & (every.layout.cp >= 16))
    known = tables.constants(cases, calibrations.shipped_values())
    share = []
    for parts in (32, 8, 1):
        layout = cases.layout.with_(seq_length=cases.layout.seq_length / parts)
        found = clock.memory_copies(cases.shape, layout, cases.device, known)
        share.append(found["context_parallel"] / sum(found.values()))
    assert np.all(share[0] > 0.1)
    assert np.all(share[0] >= share[1])
    assert np.all(share[1] >= share[2])
    assert np.all(share[2] == 0.0)


# --- mixtures of experts: the exchange, groups of matmuls, few rows each ------------------------------------------------------


@pytest.fixture(scope="module")
def mixtures(every: Cases) -> Cases:
    return took(every, (every.shape.num_experts > 0) & (every.source == "NVIDIA") & (every.layout.ep > 1))


@pytest.mark.parametrize("over_nodes", [True, False], ids=["between nodes", "in a node or rack"])
def test_the_exchange_between_experts_is_met_and_is_not_free(
    over_nodes: bool, mixtures: Cases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a step of H100s whose experts sit in four nodes and more, a quarter of one where a domain holds them all."""
    crosses = mixtures.layout.ep > mixtures.device.link_domain
    if over_nodes:
        cases = took(mixtures, crosses & (mixtures.gpu == "H100-SXM-80GB") & (mixtures.layout.ep >= 32))
        cases = took(cases, cases.shape.num_experts_per_tok >= 8)
    else:
        few = (mixtures.layout.ep == 8) & (mixtures.shape.num_experts_per_tok >= 8)
        cases = took(mixtures, ~crosses & few & (mixtures.gpu == "GB200"))
    assert len(cases) >= 6
    met = off(cases)
    assert abs(np.median(met)) < (0.22 if over_nodes else 0.12)
    without(monkeypatch, "expert_parallel_time")
    assert np.median((1.0 + off(cases)) / (1.0 + met)) < 0.9


def test_experts_of_one_device_run_as_a_group_slower_than_one_matmul(mixtures: Cases) -> None:
    cases = took(mixtures, mixtures.shape.num_experts / mixtures.layout.ep >= 2)
    assert len(cases) > 100
    plain = np.abs(off(cases, grouped_rate=1.0))
    assert np.median(np.abs(off(cases))) < 0.09 < 0.11 < np.median(plain)


def test_few_rows_for_each_expert_fill_no_tile() -> None:
    """154 rows take two tiles of 128 as 255 would, 308 rows three: measured on a B200, twice the rows in little more time."""
    frame = pd.read_csv(MICRO, low_memory=False)
    frame = frame[(frame.op == "grouped_gemm") & (frame.gpu == "B200-SXM-180GB")]
    sizes = frame.shape_or_size.str.extract(r"M=(?P<m>\d+), N=(?P<n>\d+), K=(?P<k>\d+).*stage=(?P<stage>\w+)")
    rows = frame[["measured_value"]].join(sizes).astype(dict.fromkeys("mnk", float))
    accelerator = load_accelerator("b200-sxm-180gb")
    machine = calibrations.device_of(accelerator), calibrations.constants_of(accelerator)[0]
    errors = []
    for stage, place in (("fwd", 0), ("bwd_grad_act", 1)):
        for n, k in ((3072.0, 5120.0), (5120.0, 1536.0)):
            own = rows[(rows.stage == stage) & (rows.n == n) & (rows.k == k)]
            rate = own.groupby("m").measured_value.median()
            measured = np.log(rate[308.0] / rate[154.0])
            few, more = (float(kernels.matmul(m, n, k, *machine)[place]) / m for m in (154.0, 308.0))
            assert measured > 0.4
            errors.append(abs(np.log(few / more) - measured))
    assert np.median(errors) < 0.13


# --- small matmuls -----------------------------------------------------------------------------------------------------------


def test_measured_matmuls_are_timed_as_those_of_a_step() -> None:
    """What `validate --effects` says of kernels it says of the matmuls in the clock: the longer of tiles and memory."""
    frame = matmuls(MICRO)
    bound_by_memory = 0
    for (gpu, dtype), rows in frame.groupby(["gpu", "dtype"]):
        accelerator, precision = load_accelerator(str(gpu)), FORMATS[str(dtype)]
        constants, _ = calibrations.constants_of(accelerator, precision=precision)
        device = calibrations.device_of(accelerator, precision=precision)
        sizes = [rows[name].to_numpy() for name in "mnk"]
        forward, _, _ = kernels.matmul(*sizes, device, constants)
        assert forward == pytest.approx(rows.clock.to_numpy(), rel=1e-9)
        ample = kernels.matmul(*sizes, device.with_(memory_bandwidth=1e30), constants)[0]
        bound_by_memory += int(np.sum(ample < 0.99 * forward))
    assert bound_by_memory > 30


# --- pipelines whose stages do not divide the layers ----------------------------------------------------------------------------


def test_stages_that_do_not_divide_the_layers_are_as_long_as_the_fullest(
    every: Cases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """BigScience's models of 70 to 100 layers on 6 and 12 stages of A100s are as near as its others, whose stages are alike."""
    own = (every.source == "BigScience") & (every.gpu == "A100-SXM-80GB") & (every.layout.pp >= 4)
    divides = every.shape.num_hidden_layers % every.layout.pp == 0
    alike, uneven = took(every, own & divides), took(every, own & ~divides)
    assert len(alike) > 50
    assert len(uneven) > 20
    assert abs(np.median(off(uneven)) - np.median(off(alike))) < 0.05

    def even(*, num_hidden_layers: Any, pp: Any, **_: Any) -> Any:
        return (np.asarray(num_hidden_layers) / pp,) * 2

    monkeypatch.setattr(pipeline, "stage_layers", even)
    assert np.median(off(uneven)) - np.median(off(alike)) > 0.06


# --- thousands of accelerators ---------------------------------------------------------------------------------------------------


def test_steps_on_four_to_sixteen_thousand_accelerators_are_met(every: Cases) -> None:
    used = every.layout.tp * every.layout.pp * every.layout.dp * every.layout.cp
    cases = took(every, used >= 4096)
    assert np.max(used) == 16384
    assert len(set(cases.source.tolist())) >= 4
    error = np.abs(off(cases))
    assert np.median(error) < 0.1
    assert np.max(error) < 0.19


def test_ten_thousand_accelerators_wait_for_rings_that_slow_down_with_nodes(every: Cases) -> None:
    """MLPerf's GPT-3 on 10,240 and 10,752 H100s, eight micro-batches each: a sixth of a step is gradients that nothing hides."""
    used = every.layout.tp * every.layout.pp * every.layout.dp * every.layout.cp
    cases = took(every, (used >= 10_000) & np.char.startswith(every.source.astype(str), "MLPerf"))
    assert len(cases) >= 3
    found = off(cases)
    assert np.max(np.abs(found)) < 0.1
    for constant in ("network_slowdown", "network_latency_s"):
        assert np.all(off(cases, **{constant: 0.0}) < found - 0.06), constant


# --- selective recomputation that repeats matmuls -----------------------------------------------------------------------------------


def test_matmuls_that_selective_recomputation_repeats_are_met(every: Cases) -> None:
    """MaxText's policies that keep queries, keys and values alone repeat half of a layer's matmuls: an eighth of these steps."""
    cases = took(every, (every.layout.recompute == 1) & (every.gpu == "TPU v6e"))
    assert len(cases) >= 7
    assert abs(np.median(off(cases))) < 0.07
    assert np.median(off(cases, selective_share=0.0)) < -0.05
