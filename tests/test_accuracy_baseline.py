"""Accuracy may not get worse unnoticed: the figures that ship against those that were last accepted."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from simulator import library
from simulator.validate import baseline
from simulator.validate import cases as tables

ROOT = Path(__file__).resolve().parent.parent
ACCEPTED = ROOT / "tests" / "accuracy_baseline.json"


@pytest.fixture(scope="module")
def now() -> baseline.Figures:
    frame = tables.read_frame(library.find("measurements", "throughput"))
    return baseline.figures(frame, tables.of_frame(frame))


@pytest.fixture(scope="module")
def then() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(ACCEPTED.read_text(encoding="utf-8"))
    return found


@pytest.fixture
def refresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("refresh", ROOT / "docs" / "refresh.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "BASELINE", tmp_path / "baseline.json")
    return module


def test_accuracy_has_not_got_worse(then: dict[str, Any], now: baseline.Figures) -> None:
    """Refresh after an improvement with: python docs/refresh.py baseline."""
    found = baseline.moves(then, now)
    assert not [move for move in found if move.refused], (
        f"errors grew by more than {baseline.POINTS} points; accept them with "
        f"`python docs/refresh.py baseline --accept-accuracy`\n{baseline.table(found)}"
    )


def test_the_baseline_holds_every_figure(then: dict[str, Any], now: baseline.Figures) -> None:
    """A slice or a source that is new: python docs/refresh.py baseline."""
    for group, rows in now.items():
        assert set(rows) <= set(then[group]), group


def test_a_growth_is_refused_and_an_improvement_is_not(now: baseline.Figures) -> None:
    def changed(group: str, name: str, by: float) -> dict[str, Any]:
        copy: dict[str, Any] = json.loads(json.dumps(now))
        copy[group][name]["median_ape"] += by
        return copy

    assert not [m for m in baseline.moves(now, now) if m.refused]
    worse = baseline.moves(changed("slices", "layout sweep, H100", -0.006), now)
    assert [(m.name, m.figure) for m in worse if m.refused] == [("layout sweep, H100", "median_ape")]
    assert "refused" in baseline.table(worse)
    assert "+0.60" in baseline.table(worse)
    assert not [m for m in baseline.moves(changed("slices", "layout sweep, H100", -0.004), now) if m.refused]
    assert not [m for m in baseline.moves(changed("slices", "layout sweep, H100", 0.05), now) if m.refused]
    assert not [m for m in baseline.moves(changed("sources", "Google", -0.05), now) if m.refused]
    assert [m for m in baseline.moves(changed("pooled", "mean over sources", -0.006), now) if m.refused]


def test_refresh_does_not_accept_a_growth_unless_asked(
    refresh: ModuleType, now: baseline.Figures, capsys: pytest.CaptureFixture[str]
) -> None:
    better: dict[str, Any] = json.loads(json.dumps(now))
    better["slices"]["all rows"]["mape"] -= 0.02
    refresh.BASELINE.write_text(json.dumps(better), encoding="utf-8")
    with pytest.raises(SystemExit) as stopped:
        refresh.baseline()
    assert "--accept-accuracy" in str(stopped.value)
    assert "all rows" in str(stopped.value)
    assert json.loads(refresh.BASELINE.read_text(encoding="utf-8")) == better
    refresh.baseline(accept=True)
    assert json.loads(refresh.BASELINE.read_text(encoding="utf-8")) == now
    refresh.baseline()
    assert json.loads(refresh.BASELINE.read_text(encoding="utf-8")) == now
