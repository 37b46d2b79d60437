"""What has measured backing; a file to start from; whether the installation is whole."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from simulator import library
from simulator.cli import main
from simulator.commands import doctor
from simulator.validate import cases
from simulator.validate.support import GROUPS, support
from simulator.validate.throughput import validate_cases


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    return support()


def test_each_row_is_counted_once_in_every_group(report: dict[str, Any]) -> None:
    for group in ("accelerator", "kind", "precision", "software", "scale"):
        assert sum(line["rows"] for line in report[group]) == report["rows"], group
    assert report["rows"] > 3000


def test_errors_are_those_of_the_validation(report: dict[str, Any]) -> None:
    checked = validate_cases(cases.read(library.find("measurements", "throughput")))
    assert checked["n"] == report["rows"]
    by_name = {line["name"]: line for line in report["accelerator"]}
    # One spelling in the table for this part, so that the two ways of grouping agree.
    assert by_name["v100-sxm2-32gb"]["median_error"] == checked["by_gpu"]["V100-SXM2-32GB"]["median_ape"]
    assert by_name["v100-sxm2-32gb"]["coverage_80"] == checked["by_gpu"]["V100-SXM2-32GB"]["coverage_80"]


def test_every_accelerator_is_listed_measured_or_not(report: dict[str, Any]) -> None:
    listed = [line["name"] for line in report["accelerator"]]
    assert sorted(listed) == library.names("accelerators")
    assert next(line for line in report["accelerator"] if line["name"] == "rubin-sxm-288gb")["rows"] == 0


def test_regimes_are_the_shipped_intervals(report: dict[str, Any]) -> None:
    assert any(each["name"] == "all" for each in report["regimes"])
    assert all(0 < each["low"] < each["high"] for each in report["regimes"] if each["rows"] > 3)


def test_support_page_json_and_csv(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["support"]) == 0
    page = capsys.readouterr().out
    assert "no measured run: " in page
    assert max(map(len, page.splitlines())) <= 100
    assert main(["support", "h100", "--json"]) == 0
    kept = json.loads(capsys.readouterr().out)
    assert {line["name"] for line in kept["accelerator"]} == {
        n for n in library.names("accelerators") if "h100" in n
    }
    assert main(["support", "--csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert {row["group"] for row in rows} == set(GROUPS)


@pytest.mark.parametrize("template", library.names("scenarios"))
def test_new_writes_a_scenario_that_is_read(template: str, tmp_path: Path) -> None:
    from simulator.schema import load_scenario

    path = tmp_path / "mine.yaml"
    assert main(["new", str(path), "--template", template]) == 0
    text = path.read_text()
    assert "yaml-language-server" not in text
    assert f"{template}.yaml" not in text.split("\nname:")[0]
    assert load_scenario(path).name == load_scenario(template).name


def test_new_never_writes_over_a_file_unasked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("mine: true\n")
    assert main(["new", str(path)]) == 2
    assert path.read_text() == "mine: true\n"
    assert "--force" in capsys.readouterr().err
    assert main(["new", str(path), "--force"]) == 0
    assert "name:" in path.read_text()


@pytest.mark.parametrize(
    ("arguments", "word"),
    [(["x.yaml", "--template", "quikstart"], "quickstart"), (["x.txt"], "YAML"), ([], "plan.yaml")],
)
def test_new_says_what_is_wrong(
    arguments: list[str],
    word: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["new", *arguments]) == 2
    assert word in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_new_lists_its_templates(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["new", "--list"]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in library.names("scenarios"))


def test_doctor_finds_this_installation_whole(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["ok"]
    assert {"python", "numpy", "accelerators", "user folder", "an answer"} <= {
        c["check"] for c in found["checks"]
    }
    assert main(["doctor"]) == 0


def test_doctor_sees_a_broken_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "accelerators").mkdir()
    (tmp_path / "accelerators" / "odd.yaml").write_text("color: red\n")
    monkeypatch.setenv("TRAINSIM_PATH", str(tmp_path))
    assert main(["doctor", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    broken = [check for check in found["checks"] if check["state"] == "broken"]
    assert [check["check"] for check in broken] == ["accelerators"]
    assert "odd" in broken[0]["text"]


def test_doctor_lists_the_folders_that_are_searched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "own" / "accelerators").mkdir(parents=True)
    card = (library.packaged_root() / "hardware_specs" / "accelerators" / "l4-24gb.yaml").read_text()
    (tmp_path / "own" / "accelerators" / "l4-24gb.yaml").write_text(card)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("TRAINSIM_PATH", f"{tmp_path / 'gone'}:{tmp_path / 'own'}")
    assert main(["doctor", "--json"]) == 0
    checks = json.loads(capsys.readouterr().out)["checks"]
    listed = [(c["state"], c["text"]) for c in checks if c["check"] in ("TRAINSIM_PATH", "user folder")]
    assert listed == [
        ("note", f"{tmp_path / 'gone'} does not exist; it is passed over"),
        ("ok", f"{tmp_path / 'own'} holds 1 accelerators"),
        ("ok", f"{tmp_path / 'config' / 'trainsim'} does not exist; it is made when you need it"),
    ]


@pytest.mark.parametrize(
    ("line", "state"),
    [("numpy>=1.26", "ok"), ("numpy>=999", "broken"), ("no-such-package-here>=1", "broken"), ("click", "ok")],
)
def test_doctor_compares_versions(line: str, state: str) -> None:
    assert doctor._requirement(line)["state"] == state
