"""``trainsim validate --slices``: the promised slices, their figures, and what keeps or breaks a promise."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from simulator import library
from simulator.cli import main
from simulator.errors import SpecError
from simulator.validate import cases as tables
from simulator.validate import intervals, slices

TABLE = library.find("measurements", "throughput")


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return tables.read_frame(TABLE)


@pytest.fixture(scope="module")
def cases(frame: pd.DataFrame) -> tables.Cases:
    return tables.of_frame(frame)


@pytest.fixture(scope="module")
def found(frame: pd.DataFrame, cases: tables.Cases) -> dict[str, slices.Scored]:
    scored = slices.score(frame, cases, intervals.step_times(cases))
    return {each.part.name: each for each in scored}


def test_slices_hold_the_rows_that_they_name(frame: pd.DataFrame, cases: tables.Cases) -> None:
    rows = slices.members(frame, cases)
    counts = {name: int(own.sum()) for name, own in rows.items()}
    assert counts["Korthikanti 2022"] == 8
    assert counts["Narayanan 2021"] == 10
    assert counts["Megatron README, H100"] == 9
    assert counts["vTrain, one node"] + counts["vTrain, several nodes"] == 1271
    assert counts["layout sweep, H100"] == 1035 - 18  # runs whose probe shows a broken node
    assert counts["all rows"] == len(cases)
    dense = rows["dense 16-bit A100, H100"]
    assert (cases.quality[dense] == "A").all()
    assert cases.complete[dense].all()
    assert (cases.shape.num_experts[dense] == 0).all()
    assert (cases.layout.frozen[rows["mean of sources, dense"]] == 0).all()
    assert not (dense & rows["layout sweep, H100"]).any()


def test_figures_are_those_of_the_rows(found: dict[str, slices.Scored], cases: tables.Cases) -> None:
    predicted = intervals.step_times(cases)
    own = np.char.startswith(cases.id.astype(str), "korthikanti")
    error = np.abs(predicted[own] / cases.measured_s[own] - 1)
    assert found["Korthikanti 2022"].figures["mape"] == pytest.approx(error.mean(), abs=1e-4)
    dense = slices.members(tables.read_frame(TABLE), cases)["mean of sources, dense"]
    error = np.abs(predicted / cases.measured_s - 1)
    means = [error[dense & (cases.source == each)].mean() for each in set(cases.source[dense].tolist())]
    assert found["mean of sources, dense"].figures["mape"] == pytest.approx(np.mean(means), abs=1e-4)


def test_a_promise_is_kept_by_the_measured_times_and_broken_by_others(
    frame: pd.DataFrame, cases: tables.Cases
) -> None:
    scored = slices.score(frame, cases, cases.measured_s)
    for each in scored:
        assert set(each.missed) <= {"coverage_80"}, each.part.name
    for each in slices.score(frame, cases, 1.5 * cases.measured_s):
        bounds = {name for name in each.part.targets if name != "spearman"}
        assert bounds <= set(each.missed), each.part.name
    shuffled = np.random.default_rng(0).permutation(cases.measured_s)
    broken = {each.part.name: each.missed for each in slices.score(frame, cases, shuffled)}
    assert "spearman" in broken["layout sweep, H100"]


def test_promises_about_accelerators_never_fitted_need_folds(
    frame: pd.DataFrame, cases: tables.Cases, found: dict[str, slices.Scored]
) -> None:
    assert "unseen accelerators" not in found
    scored = slices.score(frame, cases, intervals.step_times(cases), "accelerator")
    assert "unseen accelerators" in {each.part.name for each in scored}


def test_every_target_is_a_figure_that_is_reported(found: dict[str, slices.Scored]) -> None:
    for each in found.values():
        assert set(each.part.targets) <= set(each.figures)
        assert each.part.text


def test_rows_need_their_own_id(frame: pd.DataFrame) -> None:
    twice = pd.concat([frame.head(3), frame.head(3)])
    with pytest.raises(SpecError, match="id"):
        slices.members(twice, tables.of_frame(twice))


def test_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", "--slices"]) == 0
    page = capsys.readouterr().out
    assert "Korthikanti 2022" in page
    assert "goal" in page
    assert main(["validate", "--slices", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {"slice", "n", "median_ape", "coverage_80", "targets", "missed", "met"} <= set(rows[0])
    assert {row["met"] for row in rows} <= {True, False, None}


def test_options_that_do_not_go_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (
        ["--slices", "--csv"],
        ["--slices", "--layouts"],
        ["--slices", "--write", str(tmp_path / "x.csv")],
        ["--left-out", "source", "--write", str(tmp_path / "x.csv")],
        ["--left-out", "all", "--write", str(tmp_path / "none" / "x.csv")],
        ["--left-out", "organisation"],
        ["--slices", "--cases", "missing.csv"],
    ):
        assert main(["validate", *arguments]) == 2, arguments
        assert "Traceback" not in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
