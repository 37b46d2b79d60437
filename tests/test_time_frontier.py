"""The clock joined with a law of loss: how the best size grows with the time budget."""

from __future__ import annotations

import numpy as np
import pytest

import simulator as sim
from simulator import curves, scaling
from simulator.schema import load_scenario


@pytest.mark.parametrize(("gamma", "published"), [(1.0, 0.513), (0.886, 0.544), (0.826, 0.563)])
def test_closed_form(gamma: float, published: float) -> None:
    # seconds per token proportional to N ** gamma; Besiroglu 2024
    assert scaling.time_exponent("Besiroglu2024", gamma) == pytest.approx(published, abs=1e-3)


def test_one_rtx_4090_from_an_hour_to_a_day() -> None:
    # Time Is Not Compute, arXiv:2603.28823: N* ~ t ** (0.60 +- 0.07) on one RTX 4090, 5 minutes to 24 hours, each N* the
    # minimum of a parabola through the losses of one budget. Ours is 0.47: within two of their standard deviations.
    hours = np.array([1, 2, 4, 8, 24])
    sizes = []
    for each in hours:
        scenario = load_scenario("rtx-4090-one-day", [f"budget.time={each} h"])
        rows = curves.sizes(scenario, sim.run(scenario))
        size, loss = np.log([row["params"] for row in rows]), np.array([row["loss"] for row in rows])
        near = loss < loss.min() + 0.15
        square, line, _ = np.polyfit(size[near], loss[near], 2)
        sizes.append(-line / (2 * square))
    exponent = np.polyfit(np.log(hours), sizes, 1)[0]
    assert 0.60 - 2 * 0.07 <= exponent <= 0.60 + 2 * 0.07


def test_each_stage_of_growth_gets_a_learning_rate_and_a_batch() -> None:
    small, large = sim.run("growth").stages
    assert 1e-4 < large["peak_learning_rate"] < small["peak_learning_rate"] < 1e-2
    assert small["recommended_batch_tokens"] < large["recommended_batch_tokens"]
