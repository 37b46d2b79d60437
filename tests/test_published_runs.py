"""``trainsim validate --published``: whole trainings against what their authors published."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from simulator import library
from simulator.cli import main
from simulator.errors import SpecError, UnknownNameError
from simulator.report import reality
from simulator.validate.layouts import validate_layouts
from simulator.validate.published import HOURS, REQUIRED, predicted, scenario_of, validate_published

TABLE = library.find("measurements", "published_runs")


def rows_of(path: Path = TABLE) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    return validate_published(TABLE)


@pytest.mark.parametrize("row", rows_of(), ids=lambda row: row["id"])
def test_every_row_states_what_it_is_and_where_from(row: dict[str, str]) -> None:
    assert all(row[name] for name in (*REQUIRED, "hours_kind", "includes", "quote", "source"))
    assert row["hours_kind"] in HOURS
    assert "arXiv:" in row["source"] or "https://" in row["source"] or "github:" in row["source"]
    library.find("models", row["model"])
    library.find("accelerators", row["accelerator"])
    split = int(row["tp"] or 1) * int(row["pp"] or 1)
    if row["n_gpus"]:
        assert int(row["n_gpus"]) % split == 0


def test_hours_are_the_arithmetic_of_the_quotes() -> None:
    hours = {row["id"]: float(row["gpu_hours"]) for row in rows_of()}
    assert len(hours) == len(rows_of())
    assert hours["mpt-7b"] == 440 * 9.5 * 24
    assert hours["olmo-3-32b"] == (9.5 * 512 + 35 * 1024) * 24
    assert hours["opt-175b"] == 34 * 24 * 992
    assert hours["flm-101b-stage-3"] == pytest.approx(6.54 * 24 * 192, abs=1)
    assert hours["bloom-176b"] == pytest.approx((118 + 5.683 / 24) * 24 * 384, rel=0.01)
    # 143,000 steps of 1,024 sequences of 2,048 tokens.
    assert {float(r["tokens"]) for r in rows_of() if "pythia" in r["id"]} == {143_000 * 1024 * 2048}


def test_every_run_is_predicted(report: dict[str, Any]) -> None:
    assert report["skipped"] == {}
    assert report["n"] == len(report["rows"]) == len(rows_of())
    errors = [row["error"] for row in report["rows"]]
    assert report["median_ape"] == pytest.approx(np.median(np.abs(errors)), abs=1e-4)
    assert sum(one["n"] for one in report["by_layout"].values()) == report["n"]
    assert sum(one["n"] for one in report["by_hours"].values()) == report["n"]
    for row in report["rows"]:
        assert row["error"] == pytest.approx(row["predicted_gpu_hours"] / row["published_gpu_hours"] - 1)


def test_errors_are_bounded(report: dict[str, Any]) -> None:
    by_id = {row["id"]: row["error"] for row in report["rows"]}
    assert report["median_ape"] < 0.3
    assert report["by_hours"]["elapsed"]["median_ape"] < 0.2
    for name in ("bloom-176b", "opt-175b", "olmo-3-32b", "llama-1-65b", "llama-2-70b"):
        assert abs(by_id[name]) < 0.35, name


def test_runs_inside_their_interval_are_counted(report: dict[str, Any]) -> None:
    inside = [
        row["interval_gpu_hours"][0] <= row["published_gpu_hours"] <= row["interval_gpu_hours"][1]
        for row in report["rows"]
    ]
    assert report["coverage_80"] == pytest.approx(np.mean(inside), abs=1e-4)
    assert 0 < report["coverage_80"] < 0.8  # hours hold more than steps, as the page says
    for row in report["rows"]:
        assert row["interval_gpu_hours"][0] < row["predicted_gpu_hours"] < row["interval_gpu_hours"][1]


def test_published_layouts_are_kept(report: dict[str, Any]) -> None:
    found = {row["id"]: row["layout"] for row in report["rows"]}
    for row in rows_of():
        for name in ("tp", "pp", "ep", "micro_batch_size", "recompute"):
            if row[name]:
                assert str(found[row["id"]][name]) == row[name], (row["id"], name)


def test_cost_is_the_published_price_times_the_hours(report: dict[str, Any]) -> None:
    priced = [row for row in report["rows"] if row["published_cost_usd"] is not None]
    assert {row["id"] for row in priced} == {"mpt-7b", "deepseek-v3"}
    for row in priced:
        assert row["predicted_cost_usd"] == pytest.approx(2.0 * row["predicted_gpu_hours"])
        # Published figures are rounded: about $200k.
        assert row["published_cost_usd"] == pytest.approx(2.0 * row["published_gpu_hours"], rel=0.01)


def test_losses_are_predicted_only_where_the_hours_hold_them() -> None:
    row: dict[str, Any] = {
        "model": "llama-2-7b",
        "tokens": "1e12",
        "seq_length": "4096",
        "accelerator": "a100-sxm-80gb",
        "gpu_hours": "1e5",
        "id": "x",
        "n_gpus": 1024,
    }
    with_losses = predicted({**row, "hours_kind": "elapsed"})["predicted_gpu_hours"]
    steps = predicted({**row, "hours_kind": "steps"})["predicted_gpu_hours"]
    assert 0.98 < steps / with_losses < 1
    assert "goodput" not in scenario_of({**row, "hours_kind": "stated"})


def test_a_row_that_cannot_be_predicted_says_why(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    head = "id,model,tokens,seq_length,accelerator,gpu_hours,n_gpus"
    path.write_text(
        f"{head}\na,llama-2-7b,1e12,4096,a100-sxm-80gb,100000,64\nb,nothing,1e12,4096,a100-sxm-80gb,1,8\n"
        "c,llama-2-7b,,4096,a100-sxm-80gb,1,8\nd,llama-2-7b,1e12,4096,a100-sxm-80gb,0,8\n"
        "e,llama-2-7b,1e12,4096,a100-sxm-80gb,x,8\n"
    )
    found = validate_published(path)
    assert [row["id"] for row in found["rows"]] == ["a"]
    assert set(found["skipped"]) == {"b", "c", "d", "e"}
    assert "nothing" in found["skipped"]["b"]
    assert "tokens not stated" in found["skipped"]["c"]
    assert "positive" in found["skipped"]["d"]


def test_clear_errors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UnknownNameError, match="memory_copies"):
        validate_published(TABLE, clock="memory_copy")
    (tmp_path / "x.csv").write_text("a,b\n1,2\n")
    with pytest.raises(SpecError, match="missing columns"):
        validate_published(tmp_path / "x.csv")
    assert main(["validate", "--published", "no_such_table"]) == 2
    assert "Traceback" not in capsys.readouterr().err
    assert main(["validate", "--published", "published_runs", "--csv"]) == 2


def test_page_and_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", "--published", "published_runs", "--rows"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("Published GPU-hours: ")
    assert "arXiv:2211.05100" in text
    assert "At the price that the authors used" in text
    assert main(["validate", "--published", str(TABLE), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["n"] == len(rows_of())


def test_the_written_page_is_of_these_runs() -> None:
    """Figures move with calibrations; refresh with: python docs/refresh.py reality."""
    root = library.packaged_root()
    text = (root / "docs" / "reality.md").read_text(encoding="utf-8")
    for row in rows_of():
        assert f"| {row['id']}" in text, row["id"]
    report = validate_layouts(library.find("measurements", "throughput"), rows=True)
    fresh = reality.page(report)
    assert [line for line in fresh.splitlines() if line.startswith("#")] == [
        line for line in text.splitlines() if line.startswith("#")
    ]
