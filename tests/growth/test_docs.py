"""The manual shows what the code computes."""

from __future__ import annotations

from pathlib import Path

from simulator.growth import KAPPA, OPERATORS, evidence
from simulator.validate.growth import accuracy_markdown

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "growth.md").read_text(encoding="utf-8")


def test_generated_tables_are_fresh():
    assert evidence.kappa_markdown() in PAGE
    assert accuracy_markdown(ROOT / "measurements" / "growth.csv") in PAGE


def test_assumptions_and_operators_are_on_the_page():
    for name, value in KAPPA.items():
        assert f"{name} {value:.2f}" in PAGE
    for operator in OPERATORS.values():
        assert f"| `{operator.name}` | {operator.axis} |" in PAGE


def test_no_recalled_number_enters_the_evidence():
    used = {one.case.id for one in evidence.evidence(evidence.shipped_cases())}
    recalled = {one.id for one in evidence.shipped_cases() if ";q=M" in one.notes or "+M" in one.notes}
    assert recalled
    assert not used & recalled
