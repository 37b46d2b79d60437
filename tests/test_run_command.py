"""``trainsim run`` and ``trainsim prices``: what is printed, where it goes, and the exit code."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from simulator.cli import main

SMALL = """\
model: {num_hidden_layers: 12, hidden_size: 768, num_attention_heads: 12}
training: {tokens: 1B, seq_length: 1024, global_batch_size: 64}
hardware: {accelerator: a100-sxm-80gb, n_gpus: 8, price: $2/GPU-h}
overrides:
  more: {training.tokens: 10B}
scenarios:
  longer: more
"""

ANSWER = (
    "accelerator n_gpus tp pp dp cp ep vp micro_batch_size global_batch_size num_hidden_layers hidden_size intermediate_size "
    "num_attention_heads params tokens step_time_s tokens_per_s_per_gpu model_tflops_per_gpu mfu memory_gib "
    "time_to_train_days gpu_hours cost_usd loss breakdown interval"
).split()
"""What other programs rely on."""


@pytest.fixture
def small(tmp_path: Path) -> str:
    path = tmp_path / "small.yaml"
    path.write_text(SMALL)
    return str(path)


def out(capsys: pytest.CaptureFixture[str]) -> str:
    return capsys.readouterr().out


def test_json_is_one_document_with_the_keys_of_the_contract(
    small: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", small, "--json"]) == 0
    document = json.loads(out(capsys))
    assert {"scenario", "version", "answer", "alternatives", "warnings", "sources"} <= set(document)
    answer = document["answer"]
    assert set(ANSWER) <= set(answer)
    assert {"step_time_s", "time_to_train_days", "cost_usd", "loss"} <= set(answer["interval"])
    assert sum(answer["breakdown"].values()) == pytest.approx(answer["step_time_s"], rel=1e-9)
    assert sum(answer["memory"].values()) == pytest.approx(answer["memory_gib"], rel=1e-9)


def test_the_same_question_gives_the_same_bytes(small: str, capsys: pytest.CaptureFixture[str]) -> None:
    main(["run", small, "--json"])
    first = out(capsys)
    main(["run", small, "--json"])
    assert out(capsys) == first


def test_page_when_piped_has_no_codes(small: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", small]) == 0
    page = out(capsys)
    assert "\x1b" not in page
    assert page.splitlines()[0] == "small"
    for title in ("Step time", "Loss", "Assumed", "Not included", "Sources"):
        assert f"\n{title}\n" in page


def test_set_changes_the_question(small: str, capsys: pytest.CaptureFixture[str]) -> None:
    main(["run", small, "--json"])
    before = json.loads(out(capsys))["answer"]
    main(["run", small, "--json", "--set", "training.tokens=2B", "--set", "hardware.price=$4/GPU-h"])
    after = json.loads(out(capsys))["answer"]
    assert after["time_to_train_days"] == pytest.approx(2 * before["time_to_train_days"])
    assert after["cost_usd"] == pytest.approx(4 * before["cost_usd"])


def test_variant_of_a_file(small: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", small, "--json", "--scenario", "longer"]) == 0
    assert json.loads(out(capsys))["answer"]["tokens"] == 1e10


def test_csv_has_the_answer_first(small: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", small, "--csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(out(capsys))))
    assert [row["rank"] for row in rows] == [str(i) for i in range(len(rows))]
    assert (
        float(rows[0]["step_time_s_p10"]) < float(rows[0]["step_time_s"]) < float(rows[0]["step_time_s_p90"])
    )
    assert rows[0]["breakdown.tiles"]


def test_explain_shows_the_way_to_a_figure(small: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", small, "--explain", "cost_usd", "--explain", "binding"]) == 0
    text = out(capsys)
    assert "gpu_hours x usd_per_gpu_hour" in text
    assert "80 % interval" in text


def test_explain_of_what_is_not_there(small: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", small, "--explain", "cost_used"]) == 2
    streams = capsys.readouterr()
    assert streams.out == ""
    assert "cost_usd" in streams.err


def test_out_writes_a_file_and_says_so_on_stderr(
    small: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "answer.json"
    assert main(["run", small, "--json", "--out", str(path)]) == 0
    streams = capsys.readouterr()
    assert streams.out == ""
    assert str(path) in streams.err
    assert json.loads(path.read_text())["feasible"] is True


def test_two_forms_at_once_are_refused(small: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", small, "--json", "--csv"]) == 2
    assert "cannot be given together" in capsys.readouterr().err


def test_a_plan_that_cannot_run_exits_with_1_and_still_answers(
    small: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [
        "run",
        small,
        "--set",
        "model=llama-2-70b",
        "--set",
        "parallelism.tp=1",
        "--set",
        "parallelism.pp=1",
    ]
    assert main([*arguments, "--json"]) == 1
    document = json.loads(out(capsys))
    assert document["feasible"] is False
    assert document["infeasible"]["smallest_change"]
    assert main(arguments) == 1
    assert "does not run" in out(capsys)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["missing.yaml"], "missing.yaml"),
        (["quickstat"], "quickstart"),
        (["quickstart", "--set", "training.tokns=1B"], "tokens"),
        (["quickstart", "--set", "nonsense"], "nonsense"),
        (["quickstart", "--scenario", "none"], "none"),
    ],
)
def test_bad_input_is_one_clear_error(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", *arguments]) == 2
    streams = capsys.readouterr()
    assert streams.out == ""
    assert says in streams.err
    assert "Traceback" not in streams.err


def test_prices_by_accelerator_provider_and_terms(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prices", "h100-sxm", "--provider", "crusoe", "--terms", "spot", "--json"]) == 0
    rows = json.loads(out(capsys))
    assert rows
    assert {row["provider"] for row in rows} == {"Crusoe"}
    assert all("h100-sxm" in row["accelerator"] and row["terms"] == "spot" and row["date"] for row in rows)
    assert main(["prices", "h100"]) == 0
    assert "/GPU-h" in out(capsys)
    assert main(["prices", "nothing-like-this"]) == 2
    assert "nothing-like-this" in capsys.readouterr().err
    assert main(["prices", "--terms", "sport"]) == 2
    assert "spot" in capsys.readouterr().err
    assert main(["prices", "--provider", "cruso"]) == 2
