"""The page of the laws is up to date, and the command line shows them."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from simulator import scaling
from simulator.commands.laws import command
from simulator.errors import SimulatorError, SpecError, UnknownNameError
from simulator.scaling import reference

ROOT = Path(__file__).parents[2]
RUNS = str(ROOT / "measurements" / "loss_runs.csv")


def laws(*words: str) -> Result:
    return CliRunner().invoke(command, list(words), catch_exceptions=False)


def test_the_page_is_fresh() -> None:
    page = (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8")
    assert page == reference.written(page), "run python -m simulator.scaling.reference docs/scaling.md"


def test_the_page_gives_the_table_of_losses_by_name() -> None:
    page = (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8")
    assert "`trainsim validate --losses`" not in page
    assert "`trainsim validate --losses measurements/loss_runs.csv`" in page
    assert (ROOT / "measurements" / "loss_runs.csv").is_file()


def test_list() -> None:
    rows = json.loads(laws("list", "--json").stdout)
    assert {row["name"] for row in rows} == set(reference.everything())
    assert all(row["source"] and row["equation"] for row in rows)
    some = laws("list", "muennighoff").stdout
    assert "Muennighoff2023" in some
    assert "Besiroglu2024" not in some
    assert max(map(len, laws("list").stdout.splitlines())) <= 100
    table = list(csv.DictReader(laws("list", "--csv").stdout.splitlines()))
    assert len(table) == len(rows)
    assert laws("list", "--csv", "--json").exit_code == 2


def test_show() -> None:
    text = laws("show", "Besiroglu2024").stdout
    assert "L = E + A/N^alpha + B/D^beta" in text
    assert "0.3478  +- 0.015" in text
    assert json.loads(laws("show", "batch/Zhang2024", "--json").stdout)["quantity"] == "critical batch"
    assert laws("show", "StepLaw2025").stdout == laws("show", "batch/StepLaw2025").stdout
    assert laws("show", "Kaplan2020").stdout != laws("show", "batch/Kaplan2020").stdout
    assert "to be fitted" in laws("show", "Farseer2025").stdout
    with pytest.raises(UnknownNameError, match="Besiroglu2024"):
        laws("show", "besiroglu")


def test_compare(tmp_path: Path) -> None:
    rows = json.loads(laws("compare", "--params", "7B", "--tokens", "400B", "--json").stdout)
    assert all(row["in_range"] for row in rows)
    found = {row["law"]: row for row in rows}
    assert found["Besiroglu2024"]["loss"] == pytest.approx(float(scaling.loss(params=7e9, tokens=4e11)))
    assert found["Besiroglu2024"]["loss_above_best"] >= 0
    every = json.loads(laws("compare", "--params", "7B", "--tokens", "400B", "--all", "--json").stdout)
    assert len(every) > len(rows)
    with_shape = laws(
        "compare", "--params", "1B", "--tokens", "20B", "--hidden-size", "2048", "--layers", "18"
    ).stdout
    assert "Gemstones2025" in with_shape
    assert max(map(len, with_shape.splitlines())) <= 100
    assert "no law covers" in laws("compare", "--params", "100T", "--tokens", "1").stdout
    assert laws("compare", "--params", "seven", "--tokens", "1B").exit_code == 2
    pytest.importorskip("matplotlib")
    plot = tmp_path / "laws.svg"
    laws("compare", "--params", "1B", "--tokens", "20B", "--all", "--plot", str(plot))
    assert "<svg" in plot.read_text(encoding="utf-8")
    with pytest.raises(SimulatorError, match="cannot be written"):
        laws("compare", "--params", "1B", "--tokens", "20B", "--plot", str(tmp_path / "none" / "x.png"))


def test_fit() -> None:
    words = ("fit", RUNS, "--dataset", "gadre2024_rpj", "--bootstrap", "50", "--json")
    found = json.loads(laws(*words).stdout)
    assert found["n"] == 35
    assert set(found["intervals_95"]) == {"E", "A", "B", "alpha", "beta"}
    held = json.loads(laws(*words, "--fix", "alpha=0.3").stdout)
    assert held["constants"]["alpha"] == 0.3
    assert "95 % interval" in laws("fit", RUNS, "--dataset", "gadre2024_rpj", "--bootstrap", "20").stdout
    assert laws(*words, "--fix", "alpha").exit_code == 2
    with pytest.raises(SpecError, match="no row"):
        laws("fit", RUNS, "--dataset", "nothing")
    with pytest.raises(SpecError, match="cannot be read"):
        laws("fit", "nowhere.csv")


def test_move() -> None:
    words = ("fit", RUNS, "--dataset", "gadre2024_rpj", "--from", "Besiroglu2024")
    found = json.loads(laws(*words, "--json").stdout)
    assert found["from"] == "Besiroglu2024"
    ahead = found["ahead"]
    assert all(row["loss_p10"] < row["loss"] < row["loss_p90"] for row in ahead)
    width = [row["loss_p90"] - row["loss_p10"] for row in ahead]
    assert width == sorted(width)
    assert "80 % interval" in laws(*words).stdout
