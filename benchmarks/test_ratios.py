"""Nothing became slower than `ALLOWED` against the committed ratios: run with ``make bench``; accept with ``ratios.py --write``."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import ratios


@pytest.mark.parametrize("name", ratios.names())
def test_ratio_to_the_reference(benchmark, name):
    allowed = (1 + ratios.ALLOWED) * ratios.baseline()[name]
    found = benchmark.pedantic(lambda: ratios.settled(name, allowed), rounds=1)
    benchmark.extra_info["ratio"], benchmark.extra_info["cpu_s"] = found
    assert found[0] <= allowed, f"{name}: {found[0]:.3g} times the reference, accepted is {allowed:.3g}"


def test_every_piece_of_work_has_its_baseline():
    assert set(ratios.baseline()) == set(ratios.names())
