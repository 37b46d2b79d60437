"""More memory never makes an answer worse, though plans leave some of it free."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import simulator as sim
from simulator.search import room

GB = st.floats(1e9, 1e12)

LLAMA = {"model": "llama-2-7b", "training": {"tokens": "10B", "seq_length": 4096, "global_batch_size": 32}}

SIZES = [*np.geomspace(16.0, 64.0, 30), 34.19, 34.9, 35.0, 35.07, 35.24, 36.0]
"""Memories of a card. [GB]"""


def card(gigabytes: float, accelerator: str = "h100-sxm-80gb") -> dict[str, Any]:
    size = f"{gigabytes:.4f} GB"
    return {"extends": accelerator, "name": "card", "memory": size, "memory_usable": size}


def answers(
    scenario: dict[str, Any], n_gpus: int, others: tuple[dict[str, Any], ...] = (), **how: Any
) -> list[sim.Result]:
    """Results of a scenario on cards of more and more memory, from the first on that is enough."""
    found = []
    for size in sorted(SIZES):
        hardware = [{"accelerator": card(size), "n_gpus": n_gpus, "price": "$2/GPU-h"}, *others]
        found.append(sim.run({**scenario, "hardware": hardware if others else hardware[0]}, **how))
    first = next(place for place, each in enumerate(found) if each.feasible)
    assert all(each.feasible for each in found[first:])
    return found[first:]


def never_rises(values: list[float], slack: float = 1e-9) -> bool:
    return all(later <= value * (1 + slack) for value, later in pairwise(values))


@given(GB, GB, GB)
def test_what_plans_may_use_never_falls(least: float, one: float, other: float) -> None:
    small, large = sorted((one, other))
    low, high = (room.allowed(each, lambda size: size >= least) for each in (small, large))
    assert low <= high
    assert room.KEPT * large <= high <= large
    if room.KEPT * small < least:
        assert low == small


@pytest.mark.parametrize(("n_gpus", "batch"), [(4, 32), (8, 64)])
def test_a_step_never_takes_longer_with_more_memory(n_gpus: int, batch: int) -> None:
    training = {**LLAMA["training"], "global_batch_size": batch}
    found = answers({**LLAMA, "training": training}, n_gpus)
    assert never_rises([each.answer["step_time_s"] for each in found])
    assert {each.answer["memory_verdict"] for each in found} == {"TIGHT", "FITS"}
    for each in found:
        full = each.answer["memory_gib"] + each.answer["memory_margin_gib"]
        tight = each.answer["memory_margin_gib"] < 0.08 * full
        assert (each.answer["memory_verdict"] == "TIGHT") == tight


@pytest.mark.parametrize("days", [4, 6])
def test_nor_with_a_deadline(days: int) -> None:
    """One that only full cards keep, and one that the first layout with memory to spare keeps too."""
    found = answers({**LLAMA, "budget": {"time": f"{days} days"}}, 4)
    assert never_rises([each.answer["step_time_s"] for each in found])
    assert never_rises([each.fewest_gpus["n_gpus"] for each in found if each.fewest_gpus])


@pytest.mark.parametrize("kind", ["h200-sxm-141gb", card(34.5)])
def test_nor_beside_other_machines(kind: str | dict[str, Any]) -> None:
    """One has memory to spare, one has not: a plan that fills a card is one of those that are ranked, whatever the other leaves."""
    other = {
        "accelerator": kind,
        "n_gpus": 4,
        "price": "$4/GPU-h" if isinstance(kind, str) else "$2.10/GPU-h",
    }
    found = answers({**LLAMA, "find": "hardware"}, 4, (other,))
    assert never_rises([each.answer["cost_usd"] for each in found])


def test_nor_does_a_search_over_models_or_a_front_get_worse() -> None:
    searched = {
        "find": "architecture",
        "training": {"seq_length": 4096},
        "search": {"hidden_size": [4096], "num_hidden_layers": [32, 40]},
        "budget": {"time": "10 days"},
    }
    found = answers(searched, 4, effort="preview")
    assert never_rises([each.answer["loss"] for each in found])
    fronts = [
        each.frontier for each in answers({**searched, "objective": ["loss", "time"]}, 4, effort="preview")
    ]
    for before, after in pairwise(fronts):
        for point in before:
            assert any(
                all(new[name] <= point[name] * (1 + 1e-9) for name in ("loss", "time_to_train_days"))
                for new in after
            )
