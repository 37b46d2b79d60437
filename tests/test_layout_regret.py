"""``trainsim validate --layouts``: what choices lose against measurements."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from simulator import calibrations, clocks, library
from simulator.cli import main
from simulator.errors import UnknownNameError
from simulator.search.robust import OWN_SHARE, OWN_SPREAD
from simulator.validate import cases as tables
from simulator.validate.layouts import groups, own_share, regret, spreads, validate_layouts
from simulator.validate.machines import BROKEN_PROBE, node_probe

TABLE = library.packaged_root() / "measurements" / "throughput.csv"


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    return validate_layouts(TABLE, rows=True)


def test_regret_on_the_measured_sweep(report: dict[str, Any]) -> None:
    found = report["regret"]
    assert found["n"] >= 20
    assert found["layouts"] >= 1000
    assert found["median"] <= 0.05
    assert found["best_first"] >= 0.3
    regrets = [row["regret"] for row in report["rows"]]
    assert found["p90"] == pytest.approx(np.quantile(regrets, 0.9), abs=1e-4)
    assert min(regrets) >= 0


def test_broken_nodes_are_no_choice(tmp_path: Path, report: dict[str, Any]) -> None:
    """Rows whose own probe was a tenth of the usual one are left out, and no others."""
    frame = tables.read_frame(TABLE)
    probes = frame["notes"].map(node_probe)
    broken = probes[probes < BROKEN_PROBE]
    assert len(broken) == 18
    assert broken.max() < 46.0
    assert probes[probes >= BROKEN_PROBE].min() > 380.0
    table = tmp_path / "without.csv"
    frame[~frame["id"].isin(frame["id"][broken.index])].to_csv(table, index=False)
    assert validate_layouts(table)["regret"] == report["regret"]


def test_the_clock_ranks_better_than_chance() -> None:
    frame = tables.read_frame(TABLE)
    cases = tables.of_frame(frame[frame["framework"].fillna("").str.startswith("nanotron")])
    constants = tables.constants(cases, calibrations.shipped_values())
    levels = clocks.CLOCKS["memory_copies"](cases.shape, cases.layout, cases.device, constants)
    predicted = np.asarray(sum(levels.values()) + np.zeros(len(cases)), dtype=float)
    chance = [
        float(np.mean(one["measured"]) / np.min(one["measured"]) - 1) for one in groups(cases, predicted)
    ]
    chosen = [regret(one["predicted"], one["measured"]) for one in groups(cases, predicted)]
    assert np.median(chosen) < 0.25 * np.median(chance)


def test_groups_differ_in_layout_only(report: dict[str, Any]) -> None:
    keys = [(r["num_hidden_layers"], r["hidden_size"], r["n_gpus"], r["batch"]) for r in report["rows"]]
    assert all(row["layouts"] >= 3 for row in report["rows"])
    assert len(keys) == len(report["rows"])
    for row in report["rows"]:
        assert row["first_tp"] * row["first_pp"] <= row["n_gpus"]


def test_regret_of_small_examples() -> None:
    assert regret(np.array([1.0, 2.0]), np.array([3.0, 5.0])) == 0.0
    assert regret(np.array([2.0, 1.0]), np.array([4.0, 5.0])) == 0.25


def test_own_share_recovers_known_components() -> None:
    draw = np.random.default_rng(0)
    found = []
    for _ in range(400):
        common = draw.normal(0, 0.2)
        predicted = np.ones(12)
        found.append({"predicted": predicted, "measured": np.exp(common + draw.normal(0, 0.1, 12))})
    assert own_share(found) == pytest.approx(0.1**2 / (0.1**2 + 0.2**2), abs=0.03)


def test_three_runs_that_hung_do_not_make_the_spread() -> None:
    draw = np.random.default_rng(0)
    found = [{"predicted": np.ones(12), "measured": np.exp(draw.normal(0, 0.1, 12))} for _ in range(40)]
    found[3]["measured"][0] = 20.0
    assert spreads(found)[0] == pytest.approx(0.1, abs=0.01)


def test_the_share_that_robustness_uses_is_the_measured_one(report: dict[str, Any]) -> None:
    assert report["own_share"] == pytest.approx(OWN_SHARE, abs=0.1)
    assert report["own_spread"] == pytest.approx(OWN_SPREAD, abs=0.01)


def test_published_hours_are_shown_beside(report: dict[str, Any]) -> None:
    assert report["hours"]["n"] == len(report["hours"]["rows"]) >= 20


def test_page_and_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", "--layouts"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("Regret: measured step")
    assert "Published GPU-hours" in text
    assert main(["validate", "--layouts", "--json", "--rows"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["regret"]["n"] == len(document["rows"])
    assert main(["validate", "--layouts", "--csv"]) == 2


def test_clear_errors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UnknownNameError, match="memory_copies"):
        validate_layouts(TABLE, clock="memory_copy")
    (tmp_path / "x.csv").write_text("a,b\n1,2\n")
    assert main(["validate", "--layouts", "--cases", str(tmp_path / "x.csv")]) == 2
    assert "missing columns" in capsys.readouterr().err
