"""The gallery runs from top to bottom, cell by cell as a notebook would, and draws what it says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pytest

mpl.use("Agg")

import matplotlib.pyplot as plt

GALLERY = sorted((Path(__file__).resolve().parent.parent / "examples").glob("[0-9][0-9][0-9]_*.py"))
FIGURES = {
    "001_first_answer": 2,
    "002_compare_hardware": 5,
    "003_architecture_under_a_time_budget": 5,
    "004_growth": 2,
}


def cells(path: Path) -> list[tuple[str, str]]:
    """Kind and text of every cell of a percent script."""
    found = re.split(r"^# %%(.*)\n", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert found[0] == ""
    return [(kind.strip(), text) for kind, text in zip(found[1::2], found[2::2], strict=True)]


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    plt.close("all")
    yield
    plt.close("all")


def test_every_script_of_the_gallery_is_known() -> None:
    assert [path.stem for path in GALLERY] == list(FIGURES)


@pytest.mark.parametrize("path", GALLERY, ids=lambda path: path.stem)
def test_the_cells_run_and_draw(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {}
    for kind, text in cells(path):
        if kind != "[markdown]":
            exec(compile(text, str(path), "exec"), names)
    assert len(plt.get_fignums()) == FIGURES[path.stem]
    for number in plt.get_fignums():
        figure = plt.figure(number)
        figure.canvas.draw()
        assert figure.axes[0].get_title()
    printed = capsys.readouterr().out
    assert printed.strip()
    assert "nan" not in printed


@pytest.mark.parametrize("path", GALLERY, ids=lambda path: path.stem)
def test_every_cell_of_code_is_introduced(path: Path) -> None:
    kinds = [kind for kind, _ in cells(path)]
    assert kinds[0] == "[markdown]"
    assert kinds[::2] == ["[markdown]"] * len(kinds[::2])
    for kind, text in cells(path):
        if kind == "[markdown]":
            assert all(line.startswith("#") for line in text.strip().splitlines())
