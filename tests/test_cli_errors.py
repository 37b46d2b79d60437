"""The command line: exit codes, clean streams, no traceback for a user's mistake."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import types
from pathlib import Path

import click
import pytest

import simulator.cli
from simulator.cli import cli, main
from simulator.errors import InfeasibleError, SpecError, UnknownNameError


def fails_with(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Make ``trainsim schema`` raise this error."""

    @click.command("schema")
    def command() -> None:
        raise error

    module = types.ModuleType("simulator.commands.schema")
    module.command = command  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "simulator.commands.schema", module)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (SpecError("f.yaml:3:1  wrong"), 2),
        (UnknownNameError("h10", kind="accelerator", names=["h100"]), 2),
        (InfeasibleError("does not fit"), 1),
        (click.UsageError("bad option"), 2),
        (KeyboardInterrupt(), 130),
        (ZeroDivisionError("boom"), 1),
    ],
)
def test_exit_codes_and_streams(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: BaseException, code: int
) -> None:
    fails_with(monkeypatch, error)
    assert main(["schema"]) == code
    streams = capsys.readouterr()
    assert streams.out == ""
    assert "Traceback" not in streams.err
    if not isinstance(error, KeyboardInterrupt):
        assert str(error) in streams.err


@pytest.mark.parametrize("arguments", [["--debug", "schema"], ["schema", "--debug"]])
def test_debug_shows_where_it_arose(monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> None:
    error = SpecError("wrong")
    fails_with(monkeypatch, error)
    with pytest.raises(SpecError):
        main(arguments)


def test_a_fault_of_ours_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    fails_with(monkeypatch, ZeroDivisionError("boom"))
    main(["schema"])
    assert "fault of trainsim" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [["--help"], ["-h"], ["--version"], ["schema", "--help"]])
def test_questions_are_answered(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 0
    assert capsys.readouterr().out


def test_without_a_verb_the_help_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    streams = capsys.readouterr()
    assert "Commands:" in streams.out + streams.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["schem"], "did you mean schema?"),
        (["qqqqqq"], "commands: "),
        (["x" * 10_000], "no command"),
        (["schema", "--nothing"], "--nothing"),
        (["schema", "scenaro"], "did you mean scenario?"),
        (["hardware", "show", "h10-sxm-80gb"], "did you mean h100-sxm-80gb"),
        (["hardware", "show", "no/such/card.yaml"], "there is no folder"),
        (["hardware", "show"], "NAME"),
        (["--nothing"], "--nothing"),
    ],
)
def test_bad_usage_ends_in_2_and_says_what_to_do(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    streams = capsys.readouterr()
    assert streams.out == ""
    assert words in streams.err
    assert len(streams.err) < 2000


def test_only_verbs_with_a_module_are_listed() -> None:
    for verb in simulator.cli.verbs():
        assert cli.get_command(click.Context(cli), verb) is not None


# --- verbs -----------------------------------------------------------------------------------------


def test_schema_prints_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema", "accelerator"]) == 0
    assert "memory_bandwidth" in json.loads(capsys.readouterr().out)["properties"]


def test_schema_check_finds_a_stale_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("simulator.library.packaged_root", lambda: tmp_path)
    assert main(["schema", "--check"]) == 1
    assert main(["schema", "--write"]) == 0
    assert main(["schema", "--check"]) == 0
    (tmp_path / "schemas" / "model.json").write_text("{}")
    capsys.readouterr()
    assert main(["schema", "--check"]) == 1
    assert "model.json" in capsys.readouterr().err


def test_hardware_list_as_json_csv_and_table_agree(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["hardware", "list", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert main(["hardware", "list", "--csv"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert main(["hardware", "list"]) == 0
    table = capsys.readouterr().out.splitlines()
    assert len(rows) == len(lines) - 1 == len(table) - 1
    assert len(rows) >= 30
    h100 = next(row for row in rows if row["id"] == "h100-sxm-80gb")
    assert h100["memory_gb"] == 80
    assert h100["bf16_tflops"] == pytest.approx(989, rel=1e-3)
    assert all(len(line) <= 100 for line in table)


def test_hardware_list_keeps_the_rows_with_every_word(capsys: pytest.CaptureFixture[str]) -> None:
    main(["hardware", "list", "hopper", "nvl", "--json"])
    rows = json.loads(capsys.readouterr().out)
    assert rows
    assert all("nvl" in row["id"] for row in rows)


def test_hardware_show_names_every_source(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["hardware", "show", "H100"]) == 0
    text = capsys.readouterr().out
    assert "3.35 TB/s" in text
    assert "retrieved" in text
    assert all(len(line) <= 100 for line in text.splitlines())
    assert main(["hardware", "show", "H100", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["memory_bandwidth"] == 3.35e12
    assert main(["hardware", "show", "H100", "--csv"]) == 0
    assert capsys.readouterr().out.startswith("field,value,sources,doubt\n")


# --- processes -------------------------------------------------------------------------------------


def test_a_reader_that_leaves_early_is_no_error() -> None:
    command = [sys.executable, "-m", "simulator.cli", "schema"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait() == 0


@pytest.mark.skipif(os.name == "nt", reason="no signals")
def test_an_interrupt_ends_in_130_without_a_traceback() -> None:
    script = (
        "import signal, sys, os, simulator.cli as c\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background is born without\n"
        "c.LazyGroup.invoke = lambda self, ctx: os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.exit(c.main(['schema']))"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert result.returncode == 128 + signal.SIGINT
    assert result.stderr.strip() == "interrupted"


# --- hostile and broken scenarios ------------------------------------------------------------------

BOMB = "a0: &a0 [x, x, x, x]\n" + "\n".join(
    f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}, *a{i - 1}]" for i in range(1, 30)
)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (BOMB.encode(), "anchors (&a0) are not used here"),
        (b"name: x\n" * 1_300_000, "at most 1 MB"),
        (b"\x7fELF" + bytes(range(256)), "not"),
        (b"name: \xe9\n", "not UTF-8"),
        (b"extends: scenario.yaml\n", "in a circle"),
        (b"extends: gone.yaml\n", "no such file"),
        (b"", "is empty"),
        (b"[" * 100_000, "deep"),
        (b"name: a\nname: b\n", "duplicate key"),
        (b"budget: {time: 10}\n", "10 has no unit"),
        (b"budget: {time: 10 GB}\n", "expected second"),
        (b"tensor_parallel_degree: 8\n", "`tensor_parallel_degree` is called `tp` here"),
    ],
    ids=range(12),
)
def test_a_wrong_scenario_is_one_clear_error(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    content: bytes,
    words: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("scenario.yaml").write_bytes(content)
    assert main(["schema", "scenario"]) == 0  # the modules are loaded before the clock starts
    capsys.readouterr()
    start = time.process_time()
    assert main(["run", "scenario.yaml", "--json"]) == 2
    assert time.process_time() - start < 1.0
    streams = capsys.readouterr()
    assert streams.out == ""
    assert words in streams.err
    assert "scenario.yaml" in streams.err
    assert "Traceback" not in streams.err


@pytest.mark.parametrize(
    "file", ["gone.yaml", "nowhere/gone.yaml", "/", ".", "", "quikstart", "a\0b", "x" * 9000]
)
def test_a_scenario_that_is_not_there(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", file]) == 2
    streams = capsys.readouterr()
    assert streams.out == ""
    assert streams.err.strip()
    assert len(streams.err) < 2000
