"""Speed of the planner: plans per second through clock and memory, the bound, and questions from end to end.

Run with ``make bench``. ``plans_per_s`` counts every plan of the lattice, refused or not; ``feasible_per_s`` those that run.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import simulator as sim
from simulator.search import evaluate, lattice, shapes
from simulator.search.evaluate import Counts

sys.path.insert(0, str(Path(__file__).parent))
from ratios import ESTIMATE, GROWTH, TEN_DAYS, answered, axes_of, dense_shapes, expert_shapes, h100


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
    assert counts[-1].considered / seconds > {"dense": 1_000_000, "experts": 300_000}[kind]


def test_bound(benchmark):
    shape = shapes.candidates()
    axes, setting = axes_of(shape), h100()
    benchmark(lambda: evaluate.least_gpu_seconds_per_token(shape, axes, setting))
    benchmark.extra_info["pairs_per_s"] = round(lattice.count(shape) * axes.kernels / benchmark.stats["min"])


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("estimate", ESTIMATE),
        ("architecture", TEN_DAYS),
        ("growth", GROWTH),
    ],
)
def test_question(benchmark, name, asked):
    scenario = sim.load_scenario(asked)
    result = benchmark(lambda: answered(scenario))
    benchmark.extra_info["plans"] = result.search["plans_considered"]
    assert result.feasible
