"""Runs of one's own: what is fitted and written, what a plan says of it, and tables that are not as they should be."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from simulator import calibrate, calibrations, evidence, library
from simulator.cli import main
from simulator.schema import load_accelerator, load_spec
from simulator.validate import cases as tables
from simulator.validate import contradictions, counts, headers, usual

ROOT = Path(__file__).resolve().parent.parent
START = (ROOT / "docs" / "start.md").read_text(encoding="utf-8")
NOVA = (
    "name: Nova {name}\nvendor: Nova\narchitecture: Nova\nmemory: 80 GB\nmemory_bandwidth: 3 TB/s\n"
    "peak_flops: {{bf16: 800 TFLOP/s}}\nlink: {{bandwidth: 400 GB/s, directions: one, domain_size: 8}}\n"
    "source: made up\nretrieved: 2026-11-21\n"
)


def block(name: str) -> str:
    """A file of docs/start.md."""
    found = re.search(
        rf"<!-- file: {re.escape(name)} -->\n```\w*\n(.*?)^```$", START, re.DOTALL | re.MULTILINE
    )
    assert found, name
    return found[1]


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The files of docs/start.md, two accelerators that nobody has measured, and a folder that is searched."""
    for name in ("my-run.yaml", "runs.csv"):
        (tmp_path / name).write_text(block(name), encoding="utf-8")
    folder = tmp_path / "own" / "accelerators"
    folder.mkdir(parents=True)
    for name in ("x1", "x2"):
        (folder / f"nova-{name}.yaml").write_text(NOVA.format(name=name), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRAINSIM_PATH", str(tmp_path / "own"))
    monkeypatch.setattr(usual, "_ACCELERATORS", {})
    return tmp_path


def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget what was found in folders before they were written to."""
    calibrations._shipped.cache_clear()
    evidence._own_files.cache_clear()


def slower(path: Path, gpu: str, *, factor: float = 1.2, **changes: Any) -> Path:
    """The three runs of docs/start.md on another accelerator, as the shipped constants predict them, times a factor."""
    frame = pd.read_csv(path.parent / "runs.csv").assign(gpu=gpu, measured_value=100.0, **changes)
    predicted = calibrate.predict(tables.of_frame(frame), calibrations.shipped_values())
    frame.assign(measured_value=factor * predicted).to_csv(path, index=False)
    return path


def answer(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    capsys.readouterr()
    assert main(["run", *arguments, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def calibrated(capsys: pytest.CaptureFixture[str], path: Path, *more: str) -> dict[str, Any]:
    capsys.readouterr()
    assert main(["calibrate", "--cases", str(path), "--out", "own/calibrations", "--json", *more]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


# --- what is fitted and written -----------------------------------------------------------------------------------------


def test_own_runs_move_the_sets_that_they_touch_and_leave_the_rest(
    own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = calibrated(capsys, own / "runs.csv")
    assert sorted(path.stem for path in (own / "own" / "calibrations").iterdir()) == [
        "ampere",
        "fabric",
        "megatron",
    ]
    assert [each["set"] for each in found["sets"]] == ["ampere", "fabric", "megatron"]
    assert {each["rows"] for each in found["sets"]} == {3}
    assert found["before"]["median_ape"] > 0.12 > 0.04 > found["after"]["median_ape"]
    moved = {(each["set"], each["name"]): each for each in found["constants"]}
    rate = moved["ampere", "tile_efficiency_16"]
    assert rate["before"] == calibrations.packaged_sets()["ampere"].constants["tile_efficiency_16"].value
    assert rate["after"] < 0.95 * rate["before"]
    for name in ("ampere", "fabric", "megatron"):
        written = load_spec("calibrations", str(own / "own" / "calibrations" / f"{name}.yaml"))
        assert written.provenance.command.endswith("--start shipped")
        shipped = calibrations.packaged_sets()[name].constants
        kept = {each for each in shipped if (name, each) not in moved}
        assert len(kept) > len(shipped) - 6  # three rows identify few constants; the rest is refused
        for each in kept:
            assert written.constants[each] == shipped[each]


def test_the_shipped_sets_are_fitted_from_the_priors() -> None:
    recipe = (ROOT / "Makefile").read_text(encoding="utf-8").split("\ncalibrations:")[1].split("\n\n")[0]
    assert "--start prior" in recipe


def test_the_page_of_a_fit_is_a_table(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame = pd.read_csv("runs.csv")
    frame.loc[2, "measured_value"] *= 3
    frame.head(2).to_csv("two.csv", index=False)
    frame.to_csv("far.csv", index=False)
    assert main(["calibrate", "--cases", "far.csv", "--out", "own/calibrations"]) == 0
    said = capsys.readouterr()
    for text in (
        "Error on the rows of the table",
        "before",
        "after",
        "tile_efficiency_16",
        "Sets",
    ):
        assert text in said.out
    assert "{" not in said.out + said.err
    assert re.search(r"Rows that the fit does not explain: 1\n.*\n +own-3 ", said.out)
    assert main(["calibrate", "--cases", "two.csv", "--out", "own/calibrations"]) == 0
    assert "3 rows are the fewest" in capsys.readouterr().err


# --- what a plan says of it -----------------------------------------------------------------------------------------------


def test_three_runs_narrow_the_range_and_are_named(
    own: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What step 7 of docs/start.md says."""
    fresh(monkeypatch)
    before = answer(capsys, "my-run.yaml")["answer"]
    calibrated(capsys, own / "runs.csv")
    fresh(monkeypatch)
    document = answer(capsys, "my-run.yaml")
    after, known = document["answer"], document["answer"]["evidence"]
    assert 1.1 < after["step_time_s"] / before["step_time_s"] < 1.3
    widths = [
        (each["interval"]["step_time_s"][1] - each["interval"]["step_time_s"][0]) / each["step_time_s"]
        for each in (before, after)
    ]
    assert widths[1] < widths[0]
    assert "own" not in before["evidence"]
    assert "seen=true" in known["regime"]
    assert [(each["set"], each["rows"], each["groups"]) for each in known["own"]] == [
        (name, 3, ["us"]) for name in ("ampere", "fabric", "megatron")
    ]
    assert known["own"][0]["file"].endswith("ampere.yaml")
    assert any("your own sets" in each["source"] for each in document["sources"])
    assert main(["run", "my-run.yaml"]) == 0
    page = " ".join(capsys.readouterr().out.split())
    assert re.search(
        r"ampere, fabric, megatron are your own sets, fitted to \S*runs.csv \(3 rows of us\)", page
    )
    assert "Median error of the shipped constants, which your own sets replace" in page


def test_fewer_runs_than_three_do_not_narrow_it(
    own: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pd.read_csv("runs.csv").head(2).to_csv("two.csv", index=False)
    calibrated(capsys, own / "two.csv")
    fresh(monkeypatch)
    assert "seen=false" in answer(capsys, "my-run.yaml")["answer"]["evidence"]["regime"]


def test_an_unmeasured_accelerator_gets_a_set_of_its_own(
    own: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The warning ends for the part that was run, and no other part's constants move."""

    def known(name: str, software: str = "megatron") -> calibrations.Evidence:
        return calibrations.constants_of(load_accelerator(name), software=software)[1]

    fresh(monkeypatch)
    on_nova = ("my-run.yaml", "--set", "hardware.accelerator=nova-x1")
    assert known("nova-x1").grade == "datasheet"
    assert "evidence" in {each["id"] for each in answer(capsys, *on_nova)["warnings"]}
    calibrated(capsys, slower(own / "nova.csv", "nova-x1"))
    fresh(monkeypatch)
    assert sorted(path.stem for path in (own / "own" / "calibrations").iterdir()) == [
        "fabric",
        "megatron",
        "nova",
    ]
    assert (known("nova-x1").grade, known("nova-x1").sets[0]) == ("measured", "nova")
    assert "evidence" not in {each["id"] for each in answer(capsys, *on_nova)["warnings"]}
    assert "seen=false" in answer(capsys, *on_nova)["answer"]["evidence"]["regime"]
    assert known("nova-x2").grade == "transferred"
    assert known("nova-x1", "fsdp").grade == "transferred"
    assert known("trainium2-96gb").sets[0] == calibrations.GENERIC
    cases = tables.read("nova.csv")
    assert set(cases.grade) == {"measured"}


def test_fewer_runs_than_three_leave_an_unmeasured_accelerator_to_its_datasheet(
    own: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fresh(monkeypatch)
    pd.read_csv(slower(own / "nova.csv", "nova-x1")).head(2).to_csv("two.csv", index=False)
    calibrated(capsys, own / "two.csv")
    fresh(monkeypatch)
    for name in ("nova-x1", "nova-x2"):
        known = calibrations.constants_of(load_accelerator(name), software="megatron")[1]
        assert (known.grade, known.sets[0]) == ("datasheet", "nova")
        assert known.sentence.startswith("from datasheet: 2 rows of your own, fewer than 3 (nova,")


def test_fewer_runs_than_three_leave_a_measured_accelerator_measured(
    own: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pd.read_csv("runs.csv").head(2).to_csv("two.csv", index=False)
    calibrated(capsys, own / "two.csv")
    fresh(monkeypatch)
    known = calibrations.constants_of(load_accelerator("a100-sxm-80gb"), software="megatron")[1]
    assert (known.grade, known.own[0].rows) == ("measured", 2)


def test_an_unmeasured_part_of_a_measured_architecture_gets_its_id(
    own: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fresh(monkeypatch)
    for name in ("h800-sxm-80gb", "tpu-v3"):  # the second is the name of an architecture too
        assert calibrations.constants_of(load_accelerator(name), software="maxtext")[1].grade == "transferred"
        found = calibrated(capsys, slower(own / f"{name}.csv", name, framework="MaxText"))
        assert found["sets"][0]["set"] == name
        fresh(monkeypatch)
        known = calibrations.constants_of(load_accelerator(name), software="maxtext")[1]
        assert (known.grade, known.sets[0]) == ("measured", name)
    assert calibrations.accelerator_set(load_accelerator("h100-sxm-80gb")) == "hopper"


# --- what is measured of what ships ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "software", "grade"),
    [
        ("a100-sxm-80gb", "megatron", "measured"),
        ("tpu-v5p", "maxtext", "measured"),
        ("tpu-v5p", "megatron", "transferred"),
        ("h800-sxm-80gb", "megatron", "transferred"),
        ("gaudi2-96gb", "megatron", "datasheet"),
        ("trainium2-96gb", "megatron", "datasheet"),
    ],
)
def test_a_part_is_measured_with_the_software_that_it_was_measured_with(
    name: str, software: str, grade: str
) -> None:
    assert calibrations.constants_of(load_accelerator(name), software=software)[1].grade == grade


def test_pairs_are_those_of_the_shipped_rows() -> None:
    cases = tables.read(library.find("measurements", "throughput"))
    rows = {(keys["hbm_efficiency"][0], keys["launch_s"][0]) for keys in cases.keys}
    assert evidence.measured_pairs() == rows


def test_a_stack_that_never_ran_on_the_part_is_warned_of(capsys: pytest.CaptureFixture[str]) -> None:
    plan = ["llama-2-7b-a100", "--set", "hardware.accelerator=tpu-v5p", "--set", "hardware.price=$4/GPU-h"]
    far = answer(capsys, *plan, "--set", "software=megatron")
    near = answer(capsys, *plan, "--set", "software=maxtext")
    said = {each["id"]: each["message"] for each in far["warnings"]}
    assert "tpu was measured, never with megatron" in said["evidence"]
    assert "evidence" not in {each["id"] for each in near["warnings"]}
    widths = [
        each["answer"]["interval"]["step_time_s"][1] / each["answer"]["step_time_s"] for each in (far, near)
    ]
    assert widths[0] > 1.2


# --- tables that are not as they should be --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"tp": 64}, counts.DIVISOR),
        ({"tp": 7}, counts.DIVISOR),
        ({"n_gpus": 16.5}, counts.PARTS),
        ({"n_layers": 28.5}, counts.PARTS),
        ({"micro_batch": 3}, counts.MICRO),
        ({"micro_batch": 64}, counts.MICRO),
        ({"global_batch_seqs": 524288}, counts.TOKENS),
        ({"dp": 4}, counts.DEGREES),
    ],
)
def test_runs_that_cannot_have_been_are_skipped_with_their_reason(
    own: Path, changes: dict[str, float], reason: str
) -> None:
    frame = pd.read_csv("runs.csv").assign(**changes)
    cases = tables.of_frame(frame.head(1))
    assert len(cases) == 0
    assert [text.startswith(f"contradicts itself: {reason}") for text in cases.skipped] == [True]
    assert reason in {each["reason"] for each in contradictions.find(frame.head(1))}


def test_the_shipped_rows_are_all_possible() -> None:
    cases = tables.read(library.find("measurements", "throughput"))
    assert len(cases) == 3861
    new = (counts.DIVISOR, counts.PARTS, counts.MICRO, counts.TOKENS)
    assert not [text for text in cases.skipped if any(reason in text for reason in new)]


def test_misspelt_columns_are_named(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frame = pd.read_csv("runs.csv").rename(columns={"micro_batch": "micro_batch_size"})
    frame.assign(zero=1, colour="red").to_csv("odd.csv", index=False)
    assert main(["validate", "--cases", "odd.csv", "--json"]) == 0
    said = capsys.readouterr()
    json.loads(said.out)
    expected = "micro_batch_size (did you mean micro_batch?), zero (did you mean zero_stage?), colour"
    assert said.err.count(expected) == 1
    assert main(["calibrate", "--cases", "odd.csv", "--out", "own/calibrations"]) == 0
    assert expected in capsys.readouterr().err
    pd.read_csv("runs.csv").rename(columns={"n_layers": "num_hidden_layers"}).to_csv("odd.csv", index=False)
    assert main(["validate", "--cases", "odd.csv"]) == 2
    assert "n_layers (is it num_hidden_layers?)" in capsys.readouterr().err


def test_every_column_of_what_ships_is_read() -> None:
    assert headers.remark(library.find("measurements", "throughput")) == ""
    assert headers.remark(ROOT / "examples" / "measured_cpu" / "steps.csv") == ""


@pytest.mark.parametrize(
    ("mark", "head"), [(";", ""), ("\t", ""), (";", "sep=;\n"), ("|", "sep=|\n"), (",", "\ufeff")]
)
def test_other_separators_are_read(own: Path, mark: str, head: str) -> None:
    plain = pd.read_csv("runs.csv")
    text = plain.to_csv(index=False, sep=mark, decimal="," if mark == ";" else ".")
    Path("other.csv").write_text(head + text, encoding="utf-8")
    pd.testing.assert_frame_equal(tables.read_frame("other.csv"), plain)
    assert headers.remark(Path("other.csv")) == ""


def test_a_table_of_which_nothing_is_read_is_an_error(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pd.read_csv("runs.csv").assign(gpu="MyGPU").to_csv("none.csv", index=False)
    for arguments in ([], ["--json"], ["--csv"], ["--clock", "all"]):
        assert main(["validate", "--cases", "none.csv", *arguments]) == 2
        said = capsys.readouterr()
        assert said.out == ""
        assert "3 rows skipped: accelerator not known: MyGPU" in said.err


def test_no_row_covers_nothing(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pd.read_csv("runs.csv").drop(columns=["tp"]).to_csv("open.csv", index=False)
    assert main(["validate", "--cases", "open.csv", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["complete"] == {"n": 0}
    assert main(["validate", "--cases", "open.csv"]) == 0
    (line,) = [each for each in capsys.readouterr().out.splitlines() if "complete configurations" in each]
    assert line.split()[-1] == "-"


def test_an_accelerator_whose_file_is_wrong_is_told_apart(own: Path) -> None:
    path = own / "own" / "accelerators" / "nova-x1.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("directions: one, ", ""), encoding="utf-8")
    cases = tables.of_frame(pd.read_csv("runs.csv").assign(gpu="nova-x1"))
    assert list(cases.skipped) == ["accelerator nova-x1 is described wrongly: link.directions: is missing"]


@pytest.mark.parametrize("option", ["--growth", "--losses", "--memory", "--published", "--cases"])
def test_an_option_alone_is_the_table_that_ships(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", option, "--json"]) == 0
    alone = capsys.readouterr().out
    names = {"growth": "growth", "losses": "loss_runs", "memory": "memory", "published": "published_runs"}
    path = library.find("measurements", names.get(option[2:], "throughput"))
    assert main(["validate", option, str(path), "--json"]) == 0
    assert capsys.readouterr().out == alone
