"""Where answers go: files, links, pipes, and a disk that is full."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from simulator.errors import SpecError
from simulator.report.output import write_whole


def test_a_link_stays_a_link_and_what_it_points_to_is_written(tmp_path: Path) -> None:
    real, link, second = tmp_path / "real.txt", tmp_path / "link.txt", tmp_path / "second.txt"
    real.write_text("old")
    real.chmod(0o640)
    link.symlink_to("real.txt")
    second.symlink_to(link)
    write_whole(second, "new")
    assert real.read_text() == "new"
    assert real.stat().st_mode & 0o777 == 0o640
    assert link.is_symlink()
    assert second.is_symlink()
    assert {each.name for each in tmp_path.iterdir()} == {"real.txt", "link.txt", "second.txt"}


def test_a_link_to_nothing_yet_makes_its_file(tmp_path: Path) -> None:
    link = tmp_path / "link.txt"
    link.symlink_to("later.txt")
    write_whole(link, "new")
    assert (tmp_path / "later.txt").read_text() == "new"
    assert link.is_symlink()


def test_links_in_a_circle_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    with pytest.raises(SpecError, match="cannot be written"):
        write_whole(tmp_path / "a", "new")
    assert (tmp_path / "a").is_symlink()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
def test_a_pipe_is_written_to_and_stays_a_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()), daemon=True)
    reader.start()
    write_whole(pipe, "new")
    reader.join(timeout=10)
    assert read == ["new"]
    assert pipe.is_fifo()


def test_a_folder_is_no_place_for_a_file(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="directory"):
        write_whole(tmp_path, "new")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
@pytest.mark.parametrize("arguments", [["schema", "scenario"], ["--help"]])
def test_a_full_disk_is_no_fault_of_the_program(arguments: list[str]) -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "simulator.cli", *arguments],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 2
    assert done.stderr.strip() == "the output cannot be written: No space left on device"


@pytest.mark.parametrize(
    "arguments",
    [["compare", "llama-2-7b-a100"], ["hardware", "list", "--csv"], ["prices", "lambda", "--json"]],
)
def test_closed_output_is_no_fault_of_the_program(arguments: list[str]) -> None:
    command = f"'{sys.executable}' -m simulator.cli {' '.join(arguments)} >&-"
    done = subprocess.run(["/bin/bash", "-c", command], stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.strip() == "the output cannot be written: standard output is closed"
