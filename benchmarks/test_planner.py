"""Speed of the planner: plans per second through clock and memory, the bound, and questions from end to end.

Run with ``make bench``. ``plans_per_s`` counts every plan of the lattice, refused or not; ``feasible_per_s`` those that run.
"""

from __future__ import annotations

import numpy as np
import pytest

import simulator as sim
from simulator import calibrations, clocks
from simulator.schema import load_accelerator
from simulator.search import evaluate, lattice, shapes
from simulator.search.evaluate import Counts, Setting
from simulator.search.lattice import Pins

TEN_DAYS = {
    "find": "architecture",
    "budget": {"time": "10 days", "cost": "$60k"},
    "hardware": {"accelerator": "h100-sxm-80gb", "n_gpus": 64, "price": "$2.99/GPU-h"},
    "training": {"seq_length": 4096, "unique_tokens": "400B"},
}
MODEL = {"num_hidden_layers": 32, "hidden_size": 4096, "num_attention_heads": 32, "intermediate_size": 11008}


def h100(clock="memory_copies"):
    accelerator = load_accelerator("h100-sxm-80gb")
    constants, _ = calibrations.constants_of(accelerator)
    return Setting(calibrations.device_of(accelerator), constants, clocks.CLOCKS[clock])


def axes_of(shape, n_gpus=64, batches=(256.0, 512.0, 1024.0, 2048.0)):
    return lattice.layout_axes(
        n_gpus=n_gpus, link_domain=8, shape=shape, seq_length=4096, batches=list(batches), pins=Pins()
    )


def dense_shapes(number):
    whole = shapes.candidates()
    keep = np.flatnonzero(
        (whole.hidden_size >= 2048) & (whole.hidden_size <= 6144) & (whole.num_hidden_layers % 8 == 0)
    )
    return lattice.take(whole, keep[:number])


def expert_shapes(number):
    dense = dense_shapes(number)
    return dense.with_(num_experts=8, num_experts_per_tok=2, moe_intermediate_size=dense.intermediate_size)


@pytest.mark.parametrize("kind", ["dense", "experts"])
def test_plans_through_clock_and_memory(benchmark, kind):
    shape = dense_shapes(96) if kind == "dense" else expert_shapes(24)
    axes, setting, counts = axes_of(shape), h100(), []

    def work():
        counts.append(Counts())
        return evaluate.fastest(shape, axes, setting, counts[-1])

    benchmark(work)
    seconds = benchmark.stats["min"]
    benchmark.extra_info["plans"] = counts[-1].considered
    benchmark.extra_info["plans_per_s"] = round(counts[-1].considered / seconds)
    benchmark.extra_info["feasible_per_s"] = round(counts[-1].feasible / seconds)
    assert counts[-1].considered / seconds > 100_000


def test_bound(benchmark):
    shape = shapes.candidates()
    axes, setting = axes_of(shape), h100()
    benchmark(lambda: evaluate.least_gpu_seconds_per_token(shape, axes, setting))
    benchmark.extra_info["pairs_per_s"] = round(lattice.count(shape) * axes.kernels / benchmark.stats["min"])


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("estimate", {"model": MODEL, "hardware": TEN_DAYS["hardware"], "training": {"tokens": "1T"}}),
        ("architecture", TEN_DAYS),
        ("growth", {**TEN_DAYS, "find": "growth", "growth": {"max_stages": 2}}),
    ],
)
def test_question(benchmark, name, asked):
    scenario = sim.load_scenario(asked)
    result = benchmark(lambda: sim.run(scenario))
    benchmark.extra_info["plans"] = result.search["plans_considered"]
    assert result.feasible
