"""A format that nobody measured on an architecture: the grade, the interval and the nearest rows say so."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import numpy as np
import pytest

import simulator as sim
from simulator import calibrations, evidence, library, uncertainty
from simulator.calibrate.fit import Fit
from simulator.calibrate.write import bounds, set_document
from simulator.report import comparison, measuring, residuals
from simulator.report.evidence import evidence as told
from simulator.schema import load_accelerator
from simulator.validate import cases as tables
from simulator.validate import conformal
from simulator.validate.regimes import formats

PLAN: dict[str, Any] = {
    "model": "llama-2-7b",
    "hardware": {"accelerator": "h100-sxm-80gb", "n_gpus": 64, "price": "$2/GPU-h"},
    "training": {"tokens": "20B", "global_batch_size": 256},
    "software": "megatron",
}


def answer(precision: str, accelerator: str = "h100-sxm-80gb") -> dict[str, Any]:
    training = {**PLAN["training"], "precision": precision}
    hardware = {**PLAN["hardware"], "accelerator": accelerator}
    found: dict[str, Any] = sim.run({**PLAN, "training": training, "hardware": hardware}).answer
    return found


def ends(found: dict[str, Any]) -> np.ndarray:
    return np.asarray(np.array(found["interval"]["step_time_s"]) / found["step_time_s"])


@pytest.fixture(scope="module")
def rows() -> tables.Cases:
    return tables.read(library.find("measurements", "throughput"))


def test_formats_are_those_of_the_shipped_rows(rows: tables.Cases) -> None:
    chips = [keys["hbm_efficiency"][0] for keys in rows.keys]
    assert evidence.measured_formats() == Counter(zip(chips, formats(rows).tolist(), strict=True))
    assert "32" not in formats(rows)


@pytest.mark.parametrize(
    ("name", "precision", "grade", "why"),
    [
        ("h100-sxm-80gb", "bf16", "measured", ""),
        ("h100-sxm-80gb", "fp8", "measured", ""),
        ("h100-sxm-80gb", "fp32", "transferred", "hopper was measured, never in 32 bits"),
        ("b200-sxm-180gb", "tf32", "transferred", "blackwell was measured, never in 32 bits"),
        ("l40s", "fp8", "transferred", "ada was measured, in 8 bits by 2 rows only"),
        ("mi300x-192gb", "bf16", "transferred", "cdna was measured, in 16 bits by one row only"),
        ("mi300x-192gb", "fp8", "measured", ""),
        ("v100-sxm2-32gb", "fp16", "measured", ""),
        ("gaudi2-96gb", "fp32", "datasheet", "one row of this architecture"),
    ],
)
def test_a_part_is_measured_in_the_formats_that_it_was_measured_in(
    name: str, precision: str, grade: str, why: str
) -> None:
    stack = "deepspeed" if name.startswith("v100") else "megatron"
    found = calibrations.constants_of(load_accelerator(name), software=stack, precision=precision)[1]
    assert found.grade == grade
    assert why in found.why


def test_a_rate_that_rows_do_not_tell_is_not_measured() -> None:
    """Nine rows of TPUs are in 8 bits; did they not tell the rate, it would be a prior."""
    known = dict(calibrations.sets())
    constants = dict(known["tpu"].constants)
    told = evidence.evidence_of(load_accelerator("tpu-v5p"), ("tpu", "fabric", "maxtext"), "8", known)
    assert told.grade == "measured"
    constants["tile_efficiency_8"] = constants["tile_efficiency_8"].model_copy(update={"status": "prior"})
    known["tpu"] = known["tpu"].model_copy(update={"constants": constants})
    found = evidence.evidence_of(load_accelerator("tpu-v5p"), ("tpu", "fabric", "maxtext"), "8", known)
    assert found.why.endswith("by 9 rows in 8 bits that do not tell the rate of its matmuls")


def test_software_and_format_that_nobody_measured_are_both_named() -> None:
    found = calibrations.constants_of(load_accelerator("tpu-v5p"), software="megatron", precision="fp32")[1]
    assert found.why == "transferred: tpu was measured, never with megatron and never in 32 bits"


def test_an_extrapolation_in_precision_is_wider_and_says_why() -> None:
    wide, usual, narrow = (answer(each) for each in ("fp32", "bf16", "fp8"))
    for each in (usual, narrow):
        assert each["evidence"]["grade"] == "measured"
        assert np.log(ends(wide)[1] / ends(wide)[0]) > 1.5 * np.log(ends(each)[1] / ends(each)[0])
    assert "never in 32 bits" in wide["evidence"]["text"]
    page = " ".join(" ".join(told(wide)).split())
    assert "rows like this one but in other formats, since too few are in 32 bits" in page
    assert "other formats" not in " ".join(told(usual))


def test_the_interval_of_measured_formats_is_that_of_the_regime() -> None:
    for precision in ("bf16", "fp8"):
        found = answer(precision)
        sets = found["evidence"]["sets"]
        bits = str(found["evidence"]["bits"])
        regime = uncertainty.regime_of(grade="measured", sets=sets, n_gpus=64, bits=bits)
        factors = uncertainty.step_time_factors(regime, exposed=found["evidence"]["exposed_share"])
        assert ends(found) == pytest.approx([factors.low, factors.high])


def test_the_nearest_rows_are_of_the_same_width() -> None:
    usual, narrow = (answer(each)["evidence"] for each in ("bf16", "fp8"))
    assert (usual["bits"], narrow["bits"]) == (16, 8)
    for each, bits in ((usual, "16"), (narrow, "8")):
        assert f"bits={bits}" in each["regime"]
        row = evidence.intervals()["regimes"][each["regime"].removesuffix(f" bits={bits}")]
        assert (each["rows"], each["median_error"]) == (row[f"rows_{bits}"], row[f"median_error_{bits}"])


def test_percentiles_count_rows_by_format(rows: tables.Cases) -> None:
    few = rows.take(np.flatnonzero(np.isin(formats(rows), ("4", "8"))))
    error = np.where(formats(few) == "4", 1.25, 1.0)
    part = conformal.part(few, "source", few.measured_s * error, np.zeros(len(few)))
    row = conformal.percentiles([part]).regimes["seen=false"]
    assert (row["rows_4"], row["rows_8"]) == (9, len(few) - 9)
    assert (row["median_error_4"], row["median_error_8"]) == (0.25, 0.0)
    assert "rows_16" not in row


# --- comparisons, assumptions, pictures, ranges ---------------------------------------------------------------------------


def test_a_comparison_shows_the_nearest_measured_rows() -> None:
    found = sim.compare(PLAN, vary={"training.precision": ["bf16", "fp32"]})
    shown = {row["vary"]["training.precision"]: row for row in found.to_dict()["rows"]}
    for precision, row in shown.items():
        known = answer(precision)["evidence"]
        assert row["evidence"] == known["grade"]
        for name in ("median_error", "rows", "regime", "bits"):
            assert row[f"evidence_{name}"] == known[name]
    said = comparison.evidence(shown["bf16"])
    assert said.startswith("constants measured, median error ")
    assert said.endswith(f" on {shown['bf16']['evidence_rows']} rows")
    assert comparison.evidence(shown["fp32"]).endswith(" in other formats")
    page = " ".join(comparison.page(found.to_dict()).split())
    assert "constants transferred, median error" in page
    json.dumps(found.to_dict())


def test_software_that_is_not_named_is_an_assumption() -> None:
    named = sim.run(PLAN)
    other = sim.run({key: value for key, value in PLAN.items() if key != "software"})
    assert other.answer["step_time_s"] == named.answer["step_time_s"]
    assert not any("the software is" in text for text in named.assumptions)
    (said,) = [text for text in other.assumptions if "the software is" in text]
    assert said.startswith("the software is megatron, since none is named")


def test_a_source_of_ten_rows_has_a_picture() -> None:
    counts = {"MLPerf-Google": 12, "Ten": 10, "Nine": 9}
    rows = [{"source": name} for name, count in counts.items() for _ in range(count)]
    assert list(residuals.pictured(rows)) == ["MLPerf-Google", "Ten"]


def test_the_range_of_a_share_ends_at_one() -> None:
    key = ("hopper", "tile_efficiency_32")
    fitted = Fit({key: 0.75}, {key: 0.3}, {}, {}, identified={key: True})
    assert measuring._low_high(fitted, key) == "0.51 to 1.0"
    assert bounds(key, 0.75, 0.3)[1] == 1.0
    values = {("own", name): 0.95 for name in calibrations.CONSTANTS_OF["accelerator"]}
    entry = set_document("own", Fit(values, {}, {}, {}), command="-", data="-", date=None)["constants"]
    assert all(one["high"] <= 1.0 for name, one in entry.items() if "efficiency" in name)
