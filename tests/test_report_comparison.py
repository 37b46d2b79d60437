"""The section of the report page that compares."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from simulator.cli import main

QUESTION = """\
name: <b>small</b>
model: {num_hidden_layers: 24, hidden_size: 2048, num_attention_heads: 16}
training: {tokens: 20B, seq_length: 2048, global_batch_size: 128}
hardware: {accelerator: a100-sxm-80gb, n_gpus: 8, price: {provider: crusoe}}
"""


@pytest.fixture
def question(tmp_path: Path) -> str:
    path = tmp_path / "question.yaml"
    path.write_text(QUESTION)
    return str(path)


def test_rows_bars_and_reasons(question: str, tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    varied = ["--hardware", "h100-sxm-80gb,a100-sxm-80gb", "--vary", "training.tokens=10B,20B"]
    assert main(["report", question, "--out", str(out), *varied]) == 0
    text = out.read_text(encoding="utf-8")
    section = re.search(r'<section aria-labelledby="compared">.*?</section>', text, re.DOTALL)
    assert section
    assert '<a href="#compared">Compared</a>' in text
    body = section[0]
    assert body.count('<th scope="row"') == 4 + 4 + 4
    assert "Cost of each row" in body
    assert "Time of each row" in body
    assert "Crusoe, on demand, 20" in body
    assert "loss +" in body
    assert "<script" not in text
    assert "<b>small" not in text


def test_without_the_options_there_is_no_such_section(question: str, tmp_path: Path) -> None:
    out = tmp_path / "report.html"
    assert main(["report", question, "--out", str(out)]) == 0
    assert 'id="compared"' not in out.read_text(encoding="utf-8")


def test_a_value_without_its_unit_is_refused_and_nothing_written(
    question: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "report.html"
    assert main(["report", question, "--out", str(out), "--vary", "budget.time=5,10"]) == 2
    assert "unit" in capsys.readouterr().err
    assert not out.exists()
