"""The clock joined with a law of loss: how the best size grows with the time budget."""

from __future__ import annotations

import numpy as np
import pytest

import simulator as sim
from simulator import scaling


@pytest.mark.parametrize(("gamma", "published"), [(1.0, 0.513), (0.886, 0.544), (0.826, 0.563)])
def test_closed_form(gamma: float, published: float) -> None:
    # seconds per token proportional to N ** gamma; Besiroglu 2024
    assert scaling.time_exponent("Besiroglu2024", gamma) == pytest.approx(published, abs=1e-3)


def test_one_rtx_4090_from_an_hour_to_a_day() -> None:
    # Time Is Not Compute, arXiv:2603.28823: N* ~ t ** (0.60 +- 0.07) on one RTX 4090, 5 minutes to 24 hours. The planner
    # steps between few shapes, which moves the slope by 0.03.
    hours = np.array([1, 1.5, 2, 3, 4, 6, 8, 12, 16, 24])
    sizes = [sim.run("rtx-4090-one-day", set=[f"budget.time={t} h"]).answer["params"] for t in hours]
    exponent = np.polyfit(np.log(hours), np.log(sizes), 1)[0]
    assert 0.50 <= exponent <= 0.70


def test_each_stage_of_growth_gets_a_learning_rate_and_a_batch() -> None:
    small, large = sim.run("growth").stages
    assert 1e-4 < large["peak_learning_rate"] < small["peak_learning_rate"] < 1e-2
    assert small["recommended_batch_tokens"] < large["recommended_batch_tokens"]
