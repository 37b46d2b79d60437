"""Specifications of a user's own: units that are off are told, narrow formats do not serve wide ones."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

import pytest

import simulator as sim
from simulator import calibrations, library
from simulator.cli import main
from simulator.errors import SpecError
from simulator.schema import Accelerator, load_accelerator, load_cluster
from simulator.schema.plausible import implausible

TODAY = datetime.date(2026, 11, 21)
SHEET: dict[str, Any] = {
    "name": "Nova",
    "memory": "240 GB",
    "memory_bandwidth": "9 TB/s",
    "peak_flops": {"bf16": "2600 TFLOP/s"},
    "tdp": "1200 W",
    "source": "a datasheet",
    "retrieved": "2026-11-21",
}


@pytest.mark.parametrize("name", library.names("accelerators"))
def test_shipped_accelerators_are_plausible(name: str) -> None:
    assert implausible(load_accelerator(name), TODAY) == []


@pytest.mark.parametrize("name", library.names("clusters"))
def test_shipped_clusters_are_plausible(name: str) -> None:
    assert implausible(load_cluster(name), TODAY) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"memory_bandwidth": "9 GB/s"}, "memory_bandwidth: 9 GB/s; usual is 60 GB/s to 110 TB/s"),
        ({"memory_bandwidth": "9 PB/s"}, "memory_bandwidth: "),
        ({"peak_flops": {"bf16": "2600 GFLOP/s"}}, "peak_flops.bf16: 2.6 TFLOP/s; usual is 5 TFLOP/s"),
        ({"tdp": "1200 kW"}, "tdp: 1.2 MW; usual is 15 W to 7 kW"),
        ({"memory": "240 MB"}, "memory: 240 MB; usual is 2 GB"),
        ({"retrieved": "2031-01-01"}, "retrieved: 2031-01-01 is yet to come"),
        ({"memory_bandwidth": "100 GB/s"}, "s to read all of it; usual is 2 ms to 500 ms"),
        ({"link": {"bandwidth": "900 MB/s", "directions": "both"}}, "link.bandwidth: 900 MB/s"),
    ],
)
def test_what_is_a_thousand_times_off_is_one_warning(change: dict[str, Any], words: str) -> None:
    found = implausible(Accelerator.model_validate({**SHEET, **change}), TODAY)
    assert found
    assert words in found[0]


def test_an_answer_warns_of_units_that_are_off(tmp_path: Path) -> None:
    chip, cluster = tmp_path / "nova.yaml", tmp_path / "racks.yaml"
    chip.write_text(json.dumps({**SHEET, "memory_bandwidth": "9 GB/s"}))
    cluster.write_text("name: racks\nhost_power: 3 MW\nsource: our racks\nretrieved: 2026-11-21\n")
    hardware = {"accelerator": str(chip), "cluster": str(cluster), "n_gpus": 8}
    result = sim.run({"find": "estimate", "model": "llama-2-7b", "hardware": hardware})
    told = [each["message"] for each in result.warnings if each["id"] == "implausible"]
    assert [text.split(";")[0] for text in told] == [
        "nova memory_bandwidth: 9 GB/s",
        "racks host_power: 3 MW",
    ]


# --- number formats ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rates", "asked", "used", "peak"),
    [
        ({"fp8": 2e15}, "fp8", "fp8", 2e15),
        ({"fp8": 2e15}, "bf16", "bf16", 1e15),
        ({"fp8": 2e15}, "fp32", "fp32", 0.5e15),
        ({"fp4": 4e15}, "fp8", "fp8", 2e15),
        ({"fp4": 4e15, "int8": 9e15}, "bf16", "bf16", 1e15),
        ({"tf32": 5e14, "fp8": 2e15}, "bf16", "tf32", 5e14),
        ({"fp64": 5e13, "fp8": 2e15}, "bf16", "fp32", 5e13),
    ],
)
def test_a_narrow_format_does_not_serve_a_wide_one(
    rates: dict[str, float], asked: str, used: str, peak: float
) -> None:
    chip = Accelerator.model_validate({**SHEET, "peak_flops": rates})
    found = calibrations.peak_of(chip, asked)
    assert found[0] == used
    assert found[1] == pytest.approx(peak)


@pytest.mark.parametrize("name", library.names("accelerators"))
def test_no_shipped_accelerator_needs_it(name: str) -> None:
    assert all(
        calibrations.narrower(load_accelerator(name), asked) == "" for asked in ("bf16", "fp16", "fp32")
    )


def test_training_in_16_bits_on_a_chip_of_8_is_told_and_held_in_16() -> None:
    def run(rates: dict[str, str]) -> sim.Result:
        hardware = {"accelerator": {**SHEET, "peak_flops": rates}, "n_gpus": 8}
        return sim.run({"find": "estimate", "model": "llama-2-7b", "hardware": hardware})

    narrow, wide = run({"fp8": "5200 TFLOP/s"}), run({"bf16": "2600 TFLOP/s"})
    assert narrow.answer["precision"] == "bf16"
    assert narrow.answer["step_time_s"] == wide.answer["step_time_s"]
    assert narrow.answer["memory_gib"] == wide.answer["memory_gib"]
    told = [each["message"] for each in narrow.warnings if each["id"] == "precision"]
    assert told == ["Nova states no rate for bf16 or wider; half of its fp8 rate is taken"]


def test_int8_alone_is_no_machine_to_train_on() -> None:
    with pytest.raises(SpecError, match="int8 alone trains nothing"):
        Accelerator.model_validate({**SHEET, "peak_flops": {"int8": "2000 TFLOP/s"}})


@pytest.mark.parametrize("form", [[], ["--json"], ["--csv"]])
def test_the_list_of_figures_doubts_them_too(
    form: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "nova.yaml"
    path.write_text(json.dumps({**SHEET, "memory": "240 MB"}))
    assert main(["hardware", "show", str(path), *form]) == 0
    assert capsys.readouterr().err == "implausible: memory: 240 MB; usual is 2 GB to 1.5 TB\n"
