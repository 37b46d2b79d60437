"""A table of plans, answered line by line."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from simulator.cli import main
from simulator.commands.evaluate import SHORT
from simulator.schema import Hardware, Parallelism, Training

PLAN = "llama-2-7b-a100"


def table(tmp_path: Path, text: str) -> str:
    path = tmp_path / "plans.csv"
    path.write_text(text)
    return str(path)


def test_each_line_is_the_answer_of_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plans = table(tmp_path, "id,tp,micro_batch_size,training.recompute\na,2,1,full\nb,1,2,\n\nc,,,\n")
    assert main(["evaluate", PLAN, "--plans", plans]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [(row["id"], row["line"]) for row in rows] == [("a", "2"), ("b", "3"), ("c", "5")]
    own = (
        ["parallelism.tp=2", "training.micro_batch_size=1", "training.recompute=full"],
        ["parallelism.tp=1", "training.micro_batch_size=2"],
        [],
    )
    for row, changes in zip(rows, own, strict=True):
        assert main(["run", PLAN, "--json", *(part for c in changes for part in ("--set", c))]) == 0
        answer = json.loads(capsys.readouterr().out)["answer"]
        for figure in ("step_time_s", "memory_gib", "cost_usd"):
            assert float(row[figure]) == pytest.approx(answer[figure], rel=1e-12)
        assert float(row["step_time_s_p10"]) == pytest.approx(answer["interval"]["step_time_s"][0])


def test_a_plan_that_does_not_run_says_why_and_the_others_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plans = table(tmp_path, "n_gpus,tp,pp,zero_stage\n1,1,1,0\n256,1,1,3\n")
    assert main(["evaluate", PLAN, "--plans", plans, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert [row["feasible"] for row in rows] == [False, True]
    assert rows[0]["why"]


def test_every_mistake_of_the_table_is_named_with_its_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plans = table(tmp_path, "tp,training.colour\n0,\n1,red\n2,\n")
    assert main(["evaluate", PLAN, "--plans", plans]) == 2
    text = capsys.readouterr().err
    assert "plans.csv:2" in text
    assert "plans.csv:3" in text
    assert "plans.csv:4" not in text


def test_a_mistake_of_the_scenario_is_told_once_and_at_its_own_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scenario = tmp_path / "asked.yaml"
    scenario.write_text("extends: llama-2-7b-a100\nparallelism: {tpp: 3}\n")
    plans = table(tmp_path, "tp\n1\nx\n2\n")
    assert main(["evaluate", str(scenario), "--plans", plans]) == 2
    text = capsys.readouterr().err
    assert text.count("asked.yaml:2") == text.count("parallelism.tpp") == 1
    assert text.count("plans.csv:") == text.count("plans.csv:3") == 1


@pytest.mark.parametrize("text", ["", "tp\n", "tp,tp\n1,1\n", "tp,pp\n1\n", "tp,\n1,1\n"])
def test_what_is_no_table_is_one_clear_error(
    tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", PLAN, "--plans", table(tmp_path, text)]) == 2
    assert "plans.csv" in capsys.readouterr().err


def test_short_heads_are_fields() -> None:
    classes = {"parallelism": Parallelism, "training": Training, "hardware": Hardware}
    for path in SHORT.values():
        noun, _, field = path.partition(".")
        assert field in classes[noun].model_fields


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("tp;pp\n1;1\n", ["plans.csv:1:3", "separated by `;`, not by a comma", "tp;pp"]),
        ("tp\tpp\n1\t1\n", ["separated by a tab"]),
        ("id,ngpus\na,8\n", ["plans.csv:1:4", "id,ngpus", "did you mean n_gpus?"]),
        ("gpus,qqq\n8,1\n", ["`gpus` is called `n_gpus` here", "heads: tp, pp", "2 errors"]),
        ("id,tp\na,0\n", ["plans.csv:2:3", "a,0", "must be greater than 0"]),
        ("tp,pp\n1\n", ["plans.csv:2", "   2 | 1", "1 cells under 2 heads"]),
    ],
)
def test_a_mistake_is_shown_at_its_cell_with_what_to_write(
    tmp_path: Path, text: str, told: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", PLAN, "--plans", table(tmp_path, text)]) == 2
    shown = capsys.readouterr().err
    assert [each for each in told if each not in shown] == []
