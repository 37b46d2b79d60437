"""``trainsim laws``: fits that are finite, JSON that is JSON, and a plot only where there is something to draw."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from simulator import scaling
from simulator.cli import main
from simulator.report import laws as report
from simulator.scaling.fitting import Fit


@pytest.fixture
def runs(tmp_path: Path) -> str:
    """Eleven runs at 20 tokens per parameter with 1 % noise."""
    n = np.geomspace(1e8, 1e10, 11)
    loss = scaling.loss(params=n, tokens=20 * n) * np.exp(np.random.default_rng(3).normal(0, 0.01, 11))
    lines = [f"{a},{20 * a},{b}" for a, b in zip(n, loss, strict=True)]
    path = tmp_path / "runs.csv"
    path.write_text("\n".join(["params,tokens,loss", *lines]) + "\n")
    return str(path)


def test_runs_at_one_ratio_give_a_finite_fit(runs: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["laws", "fit", runs, "--bootstrap", "50", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["mae"] < 0.03
    assert found["r2"] > 0.98
    assert min(found["constants"].values()) > 0
    assert any("--from" in text for text in found["warnings"])
    assert main(["laws", "fit", runs, "--bootstrap", "0"]) == 0
    page = capsys.readouterr().out
    assert "nan" not in page
    assert "--from" in page


def test_what_is_no_number_is_null_and_a_dash() -> None:
    nan, inf = float("nan"), float("inf")
    law = scaling.laws["Besiroglu2024"]
    broken = Fit(
        law=law,
        constants={**law.constants, "A": inf},
        n=5,
        objective=0.0,
        r2=nan,
        mae=nan,
        intervals=dict.fromkeys(law.constants, (0.0, nan)),
        standard_errors=dict.fromkeys(law.constants, nan),
    )
    record = report.fit_record(broken)
    assert json.loads(json.dumps(record, allow_nan=False))["constants"]["A"] is None
    assert (record["mae"], record["intervals_95"]["A"], record["standard_errors"]["B"]) == (
        None,
        [0.0, None],
        None,
    )
    page = report.fit_page(broken)
    assert "nan" not in page
    assert "inf" not in page


def test_a_plot_of_no_law_is_refused_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    path = tmp_path / "laws.png"
    point = ["laws", "compare", "--params", "7B", "--tokens", "2T", "--plot", str(path)]
    assert main([*point, "--json"]) == 2
    streams = capsys.readouterr()
    assert json.loads(streams.out) == []
    assert streams.err == f"{path} is not written: no law covers this point; add --all\n"
    assert not path.exists()


def test_a_plot_has_every_law_of_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    figures = pytest.importorskip("matplotlib.figure")
    path = tmp_path / "laws.svg"
    kept = []
    save = figures.Figure.savefig
    monkeypatch.setattr(
        figures.Figure, "savefig", lambda self, *a, **k: (kept.append(self), save(self, *a, **k))
    )
    point = ["laws", "compare", "--params", "7B", "--tokens", "2T", "--unique-tokens", "200B"]
    assert main([*point, "--hidden-size", "4096", "--layers", "32", "--all", "--plot", str(path)]) == 0
    assert path.is_file()
    axes = kept[0].axes[0]
    curves = {line.get_label(): line for line in axes.lines if len(line.get_xdata()) == 81}
    assert {"Besiroglu2024", "Muennighoff2023", "Gemstones2025"} <= set(curves)
    for name, line in curves.items():  # zero at the point itself, also for laws of repeated data
        assert line.get_ydata()[40] == pytest.approx(0.0, abs=1e-9), name


def table(path: Path, *rows: str) -> str:
    path.write_text("\n".join(["params,tokens,loss", *rows]) + "\n")
    return str(path)


ROWS = ("50M,1B,4.1", "100M,2B,3.7", "400M,8B,3.2", "800M,4B,3.1", "1B,20B,2.9", "2B,2B,3.0", "3B,60B,2.5")


@pytest.mark.parametrize("options", [("--bootstrap", "0"), ("--from", "Besiroglu2024")])
def test_cells_are_read_with_their_suffixes_and_a_lost_row_is_told(
    options: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = [row.replace("M", "e6").replace("B", "e9") for row in ROWS]
    found = []
    for rows in ((*ROWS, "200M,4B,"), plain):
        assert main(["laws", "fit", table(tmp_path / "runs.csv", *rows), *options, "--json"]) == 0
        found.append(json.loads(capsys.readouterr().out))
    assert found[0]["constants"] == pytest.approx(found[1]["constants"])
    assert "1 of 8 runs is left out: no loss in row 8" in found[0]["warnings"]
    assert not any("left out" in text for text in found[1]["warnings"])
    assert main(["laws", "fit", table(tmp_path / "runs.csv", *ROWS, "1B,2X,3"), *options]) == 2
    assert "column tokens, row 8: unknown unit 'X'" in capsys.readouterr().err


@pytest.mark.parametrize("options", [("--bootstrap", "0"), ("--from", "Besiroglu2024")])
def test_a_table_in_billions_is_told(
    options: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [row.replace("50M", "0.05").replace("00M", "e-1").replace("B", "") for row in ROWS]
    assert main(["laws", "fit", table(tmp_path / "runs.csv", *rows), *options]) == 0
    page = capsys.readouterr().out
    assert "params are 0.05 to 3: in millions or billions?" in page
    assert "tokens are 1 to 60" in page


def test_a_law_whose_folder_is_missing_is_told_before_the_fit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = tmp_path / "none" / "mine.yaml"
    assert main(["laws", "fit", str(tmp_path / "no-runs.csv"), "--out", str(missing)]) == 2
    assert f"there is no folder {missing.parent}" in capsys.readouterr().err
