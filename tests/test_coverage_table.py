"""The table of coverage along exposed communication."""

from __future__ import annotations

import numpy as np
import pytest

from simulator import library, uncertainty
from simulator.report import coverage
from simulator.validate import cases as tables
from simulator.validate import intervals, left_out


@pytest.fixture(scope="module")
def every() -> tables.Cases:
    return tables.read(library.find("measurements", "throughput"))


def test_rows_are_cut_once_and_counted(every: tables.Cases) -> None:
    left = left_out.columns(every, left_out.read()[1])
    table = coverage.by_communication(every, left, uncertainty.table().communication)
    heads = ["0 to 2 %", "2 to 10 %", "10 to 25 %", "25 to 50 %", "50 to 100 %"]
    assert [row[0] for row in table.rows] == heads
    assert sum(int(row[1].replace(",", "")) for row in table.rows) == len(every)


def test_what_was_run_is_told_with_width_and_coverage(every: tables.Cases) -> None:
    predicted = left_out.columns(every, left_out.read()[1])["source"]
    table = coverage.by_regime(every, predicted)
    shares = [float(row[-1].removesuffix(" %")) for row in table.rows]
    assert shares == sorted(shares)
    counts = [int(row[5].replace(",", "")) for row in table.rows]
    assert min(counts) >= coverage.FEWEST
    assert 0.9 * len(every) < sum(counts) <= len(every)
    told = {tuple(row[:5]) for row in table.rows}
    assert ("megatron", "hopper", "dense", "cluster", "16") in told
    assert ("megatron", "hopper", "dense", "cluster", "8") in told


def test_the_widened_interval_covers_the_steps_that_wait_for_networks(every: tables.Cases) -> None:
    """Of rows that expose more than two fifths of their step, of organisations that were left out of the fit."""
    predicted = left_out.columns(every, left_out.read()[1])["source"]
    own = (intervals.exposed_shares(every) > 0.4) & np.isfinite(predicted)
    values = left_out.with_interval(every, predicted, "source")
    inside = (values["measured"] >= values["low"]) & (values["measured"] <= values["high"])
    assert own.sum() > 300
    assert inside[own].mean() > 0.6  # 0.5 with an interval that does not know of it
