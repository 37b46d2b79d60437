"""Rows that contradict themselves: found, listed, left out and counted; rows that are merely slow are not."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pandas as pd
import pytest

from simulator import library
from simulator.cli import main
from simulator.validate import cases as tables
from simulator.validate import contradictions, counts

TABLE = library.find("measurements", "throughput")


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    return tables.with_all_columns(tables.read_frame(TABLE))


def some(frame: pd.DataFrame, prefix: str, rows: int = 6) -> pd.DataFrame:
    return frame[frame["id"].str.startswith(prefix)].head(rows).reset_index(drop=True).astype(object)


def test_the_list_that_ships_is_what_the_command_finds(frame: pd.DataFrame) -> None:
    """Refresh with: trainsim validate --contradictions --write measurements/quarantine.csv."""
    with library.find("measurements", "quarantine").open(encoding="utf-8", newline="") as file:
        assert list(csv.DictReader(file)) == contradictions.find(frame)


def test_few_rows_are_left_out_and_counted(frame: pd.DataFrame) -> None:
    listed = contradictions.quarantined()
    assert 0 < len(listed) < 0.01 * len(frame)
    cases = tables.of_frame(frame)
    assert not set(listed) & set(cases.id.tolist())
    counted = sum(n for reason, n in cases.skipped.items() if reason.startswith("contradicts itself: "))
    assert counted == len(listed)
    assert set(listed) <= set(frame["id"])  # kept in the table


def test_degrees_that_do_not_multiply(frame: pd.DataFrame) -> None:
    rows = some(frame, "megatron21")
    assert not contradictions.find(rows)
    rows.loc[2, "dp"] = 2 * rows.loc[2, "dp"]
    found = contradictions.find(rows)
    assert [(each["id"], each["reason"]) for each in found] == [(rows.loc[2, "id"], counts.DEGREES)]


def test_a_batch_that_does_not_multiply(frame: pd.DataFrame) -> None:
    known = frame[frame["id"].str.startswith("hf-ultrascale") & frame["grad_accum"].notna()]
    rows = known.head(3).reset_index(drop=True).astype(object)
    assert not contradictions.find(rows)
    rows.loc[0, "grad_accum"] = 2 * rows.loc[0, "grad_accum"]
    assert counts.BATCH in {each["reason"] for each in contradictions.find(rows)}


def test_faster_than_the_peak(frame: pd.DataFrame) -> None:
    rows = some(frame, "korthikanti")
    rows.loc[0, "measured_value"] = 0.2 * rows.loc[0, "measured_value"]
    found = contradictions.find(rows)
    assert [each["reason"] for each in found] == [contradictions.PEAK]
    assert "%" in found[0]["figures"]


def test_a_printed_token_rate_that_disagrees(frame: pd.DataFrame) -> None:
    rows = frame[frame["source"] == "Languini Kitchen"].head(4).reset_index(drop=True).astype(object)
    assert not contradictions.find(rows)
    rows.loc[1, "measured_value"] = 1.2 * rows.loc[1, "measured_value"]
    assert [each["reason"] for each in contradictions.find(rows)] == [contradictions.TOKENS]


def test_a_printed_flop_rate_that_disagrees(frame: pd.DataFrame) -> None:
    rows = frame[frame["source"].str.startswith("HF Ultra-Scale")]
    rows = rows[
        (rows["model_name"] == rows["model_name"].iloc[0]) & (rows["seq_len"] == rows["seq_len"].iloc[0])
    ]
    rows = rows.head(5).reset_index(drop=True).astype(object)
    assert not contradictions.find(rows)
    rows.loc[3, "measured_value"] = 0.55 * rows.loc[3, "measured_value"]
    assert [each["reason"] for each in contradictions.find(rows)] == [contradictions.RATE]


def test_slow_rows_are_no_contradiction(frame: pd.DataFrame) -> None:
    rows = some(frame, "korthikanti")
    rows["measured_value"] = 30 * rows["measured_value"]
    assert not contradictions.find(rows)


def test_command(tmp_path: Path, frame: pd.DataFrame, capsys: pytest.CaptureFixture[str]) -> None:
    rows = some(frame, "megatron21")
    rows.loc[2, "dp"] = 2 * rows.loc[2, "dp"]
    path, out = tmp_path / "cases.csv", tmp_path / "found.csv"
    rows.to_csv(path, index=False)
    assert main(["validate", "--contradictions", "--cases", str(path)]) == 0
    assert counts.DEGREES.split(",")[0] in capsys.readouterr().out
    assert main(["validate", "--contradictions", "--cases", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["n"] == 1
    assert main(["validate", "--contradictions", "--cases", str(path), "--write", str(out)]) == 0
    assert len(out.read_text(encoding="utf-8").splitlines()) == 2
    assert main(["validate", "--contradictions", "--layouts"]) == 2
