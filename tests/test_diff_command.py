"""Two plans side by side."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest

from simulator.cli import main

PLAN = "llama-2-7b-a100"


def compared(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, dict[str, Any]]:
    assert main(["diff", *arguments, "--json"]) == 0
    return {row["figure"]: row for row in json.loads(capsys.readouterr().out)["rows"]}


def test_equal_plans_have_no_difference(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diff", PLAN, PLAN]) == 0
    assert capsys.readouterr().out == "the two plans are equal\n"


def test_a_change_shows_what_it_does_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    rows = compared(capsys, PLAN, PLAN, "--set-second", "training.tokens=4T")
    assert set(rows) == {
        "tokens",
        "steps",
        "time_to_train_days",
        "gpu_hours",
        "cost_usd",
        "energy_mwh",
        "loss",
        "tokens_per_param",
    }
    assert rows["cost_usd"]["ratio"] == pytest.approx(2.0)
    assert rows["cost_usd"]["certain"] is True


def test_figures_are_those_of_the_two_answers(capsys: pytest.CaptureFixture[str]) -> None:
    rows = compared(capsys, PLAN, PLAN, "--set-second", "hardware.accelerator=h100-sxm-80gb", "--all")
    for column, changes in (("first", []), ("second", ["--set", "hardware.accelerator=h100-sxm-80gb"])):
        assert main(["run", PLAN, *changes, "--json"]) == 0
        answer = json.loads(capsys.readouterr().out)["answer"]
        for figure in ("step_time_s", "accelerator", "mfu", "cost_usd", "params"):
            assert rows[figure][column] == answer[figure]
        assert rows["breakdown.tiles"][column] == answer["breakdown"]["tiles"]


def test_overlapping_intervals_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    change = [
        "--set-second",
        "training.micro_batch_size=2",
        "--set",
        "parallelism.tp=2",
        "--set",
        "training.recompute=full",
    ]
    assert main(["diff", PLAN, PLAN, *change, "--set", "training.micro_batch_size=1"]) == 0
    page = capsys.readouterr().out
    assert "intervals overlap" in page
    assert max(map(len, page.splitlines())) <= 100


def test_csv(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diff", PLAN, PLAN, "--set-second", "training.tokens=4T", "--csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert "loss" in {row["figure"] for row in rows}


def test_a_plan_that_does_not_run_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diff", PLAN, "does-not-fit"]) == 1
    assert "does-not-fit: no plan runs" in capsys.readouterr().out
