"""What the error depends on: an effect that is put in is found, and the pictures of the page are those of the sources."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from simulator import library
from simulator.layout import n_gpus
from simulator.report import residuals as report
from simulator.report import validation
from simulator.validate import cases as tables
from simulator.validate import intervals, residuals

DOCS = Path(__file__).resolve().parent.parent / "docs"


@pytest.fixture(scope="module")
def cases() -> tables.Cases:
    return tables.read(library.find("measurements", "throughput"))


def test_an_effect_that_is_missing_is_found(cases: tables.Cases) -> None:
    missing = np.asarray(cases.layout.seq_length, dtype=float) ** 0.1
    found = residuals.trends(cases, cases.measured_s * missing)
    assert found[0].quantity == "sequence length"
    assert found[0].per_doubling == pytest.approx(0.1 * np.log(2.0), rel=0.15)
    assert found[0].explained > 0.9


def test_factors_that_sources_have_of_their_own_are_no_trend(cases: tables.Cases) -> None:
    factor = {source: 1.0 + 0.1 * place for place, source in enumerate(sorted(set(cases.source.tolist())))}
    predicted = cases.measured_s * np.array([factor[str(source)] for source in cases.source])
    noise = np.exp(np.random.default_rng(0).normal(0.0, 0.05, len(cases)))
    assert all(each.explained < 0.01 for each in residuals.trends(cases, predicted * noise))


def test_parts_hold_every_row_once(cases: tables.Cases) -> None:
    predicted = intervals.step_times(cases)
    for name in residuals.QUANTITIES:
        parts = residuals.parts(cases, predicted, name)
        assert sum(part.rows for part in parts) == len(cases)
        assert all(first.high < second.low for first, second in itertools.pairwise(parts))
    small = next(iter(residuals.parts(cases, predicted, "accelerators")))
    own = np.asarray(n_gpus(cases.layout)) <= small.high
    error = np.abs(predicted[own] / cases.measured_s[own] - 1)
    assert small.median_error == pytest.approx(np.median(error))


def test_the_page_names_the_quantities_and_shows_the_pictures(cases: tables.Cases) -> None:
    """Refresh with: python docs/refresh.py accuracy pictures."""
    page = (DOCS / "accuracy.md").read_text(encoding="utf-8")
    assert all(f"| {name} |" in page for name in ("micro-batch", "tensor parallel", "accelerators"))
    found = validation.collect({"cases": library.find("measurements", "throughput")})["cases"]
    names = set(report.pictured(validation.case_rows(found, cases)))
    assert "HuggingFace" in names
    files = {report.file_name(name) for name in names}
    assert files == {path.name for path in (DOCS / report.FOLDER).glob("accuracy-*.png")}
    assert all(f"({report.FOLDER}/{name})" in page for name in files)
    assert sum(path.stat().st_size for path in (DOCS / report.FOLDER).iterdir()) < 600e3


def test_pictures_are_drawn(tmp_path: Path) -> None:
    rows = [
        {"source": "One", "gpu": "x", "predicted_step_time_s": 1.0 + i, "measured_step_time_s": 1.1 + i, "low": 0.9 + i, "high": 1.2 + i}
        for i in range(20)
    ]  # fmt: skip
    (tmp_path / "accuracy-old.png").write_bytes(b"")
    (path,) = report.draw([*rows, {**rows[0], "source": "Two"}], tmp_path)
    assert path.read_bytes().startswith(b"\x89PNG")
    assert [each.name for each in tmp_path.iterdir()] == ["accuracy-one.png"]
