"""Calibration recovers what it should, keeps the prior where it must, and stays accurate on the shipped table."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from simulator import calibrate, calibrations, library
from simulator.calibrate import chain, gemm, left_out, links, write
from simulator.calibrate.belief import SHARED, belief_of, has_mean
from simulator.errors import SpecError
from simulator.schema import load_spec
from simulator.validate import cases as tables
from simulator.validate.machines import network_bandwidth
from simulator.validate.metrics import spearman, summary
from simulator.validate.throughput import validate_throughput

TABLE = library.find("measurements", "throughput")


@pytest.fixture(scope="module")
def report() -> dict[str, object]:
    """The shipped table, predicted."""
    return validate_throughput(TABLE, rows=True)


def test_contract_keys(report: dict[str, object]) -> None:
    wanted = (
        "n n_skipped skipped median_ape mape p90_ape bias spearman coverage_80 by_source by_gpu rows".split()
    )
    assert set(wanted) <= set(report)
    row = report["rows"][0]
    assert list(row) == ["id", "predicted_step_time_s", "measured_step_time_s", "low", "high"]
    assert row["low"] < row["high"]


def test_median_error_on_complete_rows(report: dict[str, object]) -> None:
    # Target: at most 12 %. The bound is a little above what the shipped constants reach.
    assert report["complete"]["n"] > 3400
    assert report["complete"]["median_ape"] <= 0.09
    assert report["complete"]["mean_over_sources_mape"] <= 0.12
    assert report["spearman"] >= 0.99


def test_intervals_cover_what_they_say(report: dict[str, object]) -> None:
    assert 0.75 <= report["coverage_80"] <= 0.88


def test_the_default_clock_beats_every_rival(report: dict[str, object]) -> None:
    best = report["complete"]
    for name in ("constant_mfu", "flops", "hbm_copies", "roofline", "linear_copies"):
        rival = validate_throughput(TABLE, clock=name)["complete"]
        assert best["median_ape"] < rival["median_ape"]
        assert best["mean_over_sources_mape"] < rival["mean_over_sources_mape"]


def synthetic(changes: dict[tuple[str, str], float], rows: int = 60) -> tables.Cases:
    """Rows of the shipped table, timed by the clock itself with other constants."""
    frame = pd.read_csv(TABLE)
    frame = frame[(frame.source_group == "MosaicML") & (frame.gpu == "A100-SXM-80GB")].head(rows)
    cases = tables.of_frame(frame)
    values = {**calibrations.shipped_values(), **changes}
    truth = calibrate.predict(cases, values)
    return tables.Cases(**{**vars(cases), "measured_s": truth})


def test_known_constants_are_recovered() -> None:
    truth = {("ampere", "tile_efficiency_16"): 0.6, ("llm-foundry", "elementwise_factor"): 2.5}
    fitted = calibrate.fit(synthetic(truth))
    assert fitted.values["ampere", "tile_efficiency_16"] == pytest.approx(0.6, rel=0.15)
    assert (
        summary(calibrate.predict(synthetic(truth), fitted.values), synthetic(truth).measured_s)["median_ape"]
        < 0.02
    )


def test_a_decomposition_that_does_not_converge_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """LAPACK's divide and conquer failed on one of the matrices of the shipped table, with one thread."""
    import scipy.linalg
    import scipy.optimize._lsq.trf as solver

    seen = []

    def fails_once(matrix: np.ndarray, **options: Any) -> Any:
        seen.append(matrix)
        if len(seen) == 2:
            raise np.linalg.LinAlgError("SVD did not converge")
        return scipy.linalg.svd(matrix, **options)

    cases = synthetic({("ampere", "tile_efficiency_16"): 0.6}, rows=30)
    usual = calibrate.fit(cases)
    monkeypatch.setattr(solver, "svd", fails_once)
    again = calibrate.fit(cases)
    assert len(seen) > 3
    assert again.values == pytest.approx(usual.values, rel=1e-4)

    def fails(matrix: np.ndarray, **options: Any) -> Any:
        raise np.linalg.LinAlgError("SVD did not converge")

    monkeypatch.setattr(solver, "svd", fails)
    with pytest.raises(np.linalg.LinAlgError):
        calibrate.fit(cases)


def test_what_the_rows_do_not_say_keeps_the_prior() -> None:
    fitted = calibrate.fit(synthetic({}))
    key = ("llm-foundry", "send_latency_s")  # no pipeline in these rows
    assert not fitted.identified[key]
    assert fitted.values[key] == pytest.approx(calibrate.PRIORS["send_latency_s"].value, rel=1e-9)


def test_what_the_rows_neither_narrow_nor_move_is_refused() -> None:
    """Such constants are exactly what a set without rows takes, the mean over sets, or their own centre."""
    cases = synthetic({("ampere", "tile_efficiency_16"): 0.6})
    fitted = calibrate.fit(cases)
    assert fitted.identified["ampere", "tile_efficiency_16"]
    refused = [key for key, known in fitted.identified.items() if not known]
    assert 10 < len(refused) < len(fitted.identified)
    unmeasured = {"ampere": ("generic",), "llm-foundry": ("pytorch", "deepspeed")}
    for key in refused:
        if key[0] in unmeasured:
            likes = [(name, key[1]) for name in unmeasured[key[0]] if has_mean((name, key[1]))]
            mean = fitted.values[likes[0]]
            drawn = mean if has_mean(key) else calibrate.prior_values()[key]
            assert fitted.values[key] == pytest.approx(drawn, rel=1e-9)
    again = calibrate.fit(cases, start=fitted.values, warm=fitted.values)
    for key, known in again.identified.items():
        assert known or again.values[key] == pytest.approx(fitted.values[key], rel=1e-12)


def test_a_stack_without_rows_takes_the_mean_of_those_that_have_some() -> None:
    """Launches of one stack twice as slow as believed: an unmeasured stack is believed half of that."""
    slow = {("pytorch", "launch_s"): 2.0 * calibrate.PRIORS["launch_s"].value}
    frame = pd.read_csv(TABLE)
    cases = tables.of_frame(frame[(frame.source_group == "Languini") & (frame.n_layers < 13)].head(80))
    values = {**calibrate.prior_values(), **slow}
    own = tables.Cases(**{**vars(cases), "measured_s": calibrate.predict(cases, values)})
    found = calibrate.fit(own).values
    measured, unmeasured = found["pytorch", "launch_s"], found["megatron", "launch_s"]
    prior = calibrate.PRIORS["launch_s"].value
    assert measured > 1.5 * prior
    assert np.log(unmeasured / prior) == pytest.approx(SHARED * np.log(measured / prior), rel=0.1)
    assert found["megatron", "gradient_bytes"] == calibrate.prior_values()["megatron", "gradient_bytes"]


def test_what_was_measured_is_not_drawn_to_the_mean() -> None:
    keys = (("hopper", "tile_fill"), ("ampere", "tile_fill"))
    base = {**calibrate.prior_values(), keys[0]: 300.0}
    belief = belief_of(keys, base, frozenset(keys[:1]))
    at = np.log([300.0, 200.0, 200.0])
    assert belief.residuals(at) == pytest.approx(0.0)
    assert belief.shared == ("tile_fill",)
    assert abs(belief.residuals(at + np.array([0.1, 0.0, 0.0]))[0]) == pytest.approx(0.1 / belief.spread[0])


def test_a_prior_split_into_mean_and_deviation_is_as_wide_as_before() -> None:
    keys = (("hopper", "hbm_efficiency"), ("ampere", "hbm_efficiency"))
    belief = belief_of(keys, calibrate.prior_values(), frozenset())
    covariance = np.linalg.inv(belief.slopes.T @ belief.slopes)
    spread = calibrate.PRIORS["hbm_efficiency"].spread
    assert np.sqrt(np.diag(covariance))[:2] == pytest.approx(spread)
    assert covariance[0, 1] == pytest.approx(SHARED * spread**2)


def test_measured_collectives_centre_the_links() -> None:
    found = links.fit_links(library.find("measurements", "micro"))
    assert {"a100-sxm-80gb", "h100-sxm-80gb", "b200-sxm-180gb"} <= set(found)
    switched = [each for name, each in found.items() if name.startswith(("a100", "h", "b", "gb"))]
    assert len(switched) == 7
    for each in switched:  # two constants, nearly the same on every machine with a switch
        assert 0.75 < each["link_efficiency"] < 0.9
        assert 4e-6 < each["link_fill_s"] < 1.5e-5
        assert each["median_error"] < 0.12
    shipped = calibrations.shipped_values()["fabric", "link_efficiency"]
    assert shipped == pytest.approx(
        links.centre(library.find("measurements", "micro"))["link_efficiency"], rel=0.2
    )


def test_three_runs_of_ones_own_move_the_shipped_set() -> None:
    slower = {("ampere", "tile_efficiency_16"): 0.45}
    own = synthetic(slower, rows=3)
    before = summary(calibrate.predict(own, calibrations.shipped_values()), own.measured_s)["median_ape"]
    fitted = calibrate.fit(own, start=calibrations.shipped_values())
    after = summary(calibrate.predict(own, fitted.values), own.measured_s)["median_ape"]
    assert after < 0.5 * before


def test_sets_survive_writing(tmp_path: Path) -> None:
    fitted = calibrate.fit(synthetic({}, rows=10))
    write.write_sets(fitted, tmp_path, command="test", data="synthetic")
    one = load_spec("calibrations", str(tmp_path / "ampere.yaml"))
    assert one.constants["tile_efficiency_16"].value == pytest.approx(
        fitted.values["ampere", "tile_efficiency_16"], rel=1e-3
    )
    assert not list(tmp_path.glob("*.tmp"))


def test_every_shipped_constant_lies_in_its_interval() -> None:
    for one in calibrations.sets().values():
        for name, constant in one.constants.items():
            assert constant.low <= constant.value <= constant.high, (one.id, name)
            assert constant.status == "fitted" or constant.source


def test_the_sets_that_ship_are_those_of_the_recipe() -> None:
    """All of one command on the tables that ship; a constant that no row uses is that of every set without rows, not edited."""
    cases, sets = tables.read(TABLE), calibrations.packaged_sets()
    recipe = (Path(__file__).parents[1] / "Makefile").read_text(encoding="utf-8").split("\ncalibrations:")[1]
    words = recipe.split("\n\n")[0]
    used = {key for row in cases.keys for key in row.values()}
    rows = [{name for name, _ in row.values()} for row in cases.keys]
    alone = left_out.micro_centre()
    unseen: dict[str, set[float]] = {}
    for name, one in sets.items():
        command = re.findall(r"--\w+ \S+", one.provenance.command)
        assert command
        assert all(option in words for option in command), name
        assert one.provenance.rows == sum(name in each for each in rows), name
        for constant, known in one.constants.items():
            if (name, constant) not in used and has_mean((name, constant)) and (name, constant) not in alone:
                assert known.status == "prior", (name, constant)
                unseen.setdefault(constant, set()).add(known.value)
    assert len(unseen) >= 8
    assert {name: values for name, values in unseen.items() if len(values) > 1} == {}


def test_rows_that_cannot_be_predicted_are_counted_with_their_reason() -> None:
    frame = pd.read_csv(TABLE).head(4)
    frame.loc[0, "gpu"] = "No Such GPU"
    frame.loc[1, "n_layers"] = np.nan
    frame.loc[2, "measured_value"] = np.nan
    cases = tables.of_frame(frame)
    assert len(cases) == 1
    assert cases.skipped == {
        "accelerator not known: No Such GPU": 1,
        "n_layers not stated": 1,
        "no measured value": 1,
    }


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", "\x00\x01"])
def test_files_that_are_no_table(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SpecError):
        validate_throughput(path)
    with pytest.raises(SpecError):
        validate_throughput(tmp_path / "missing.csv")


def test_the_measured_value_is_never_an_input() -> None:
    frame = pd.read_csv(TABLE).sample(50, random_state=0)
    other = frame.assign(measured_value=1.2 * frame.measured_value)
    values = calibrations.shipped_values()
    one, two = (calibrate.predict(tables.of_frame(each), values) for each in (frame, other))
    assert np.array_equal(one, two)


def test_network_bandwidth_from_words() -> None:
    assert network_bandwidth("RoCE 1600 Gbps/node", 8) == pytest.approx(25e9)
    assert network_bandwidth("", 8) is None


def test_spearman() -> None:
    assert spearman(np.array([1.0, 2.0, 3.0]), np.array([10.0, 20.0, 15.0])) == pytest.approx(0.5)
    assert spearman(np.array([1.0, 1.0, 2.0]), np.array([1.0, 1.0, 2.0])) == pytest.approx(1.0)


def test_a_minimal_table_of_ones_own_is_enough() -> None:
    text = (
        "gpu,n_gpus,n_layers,d_model,n_heads,seq_len,global_batch_seqs,measured_quantity,measured_value\n"
        "h100-sxm-80gb,8,32,4096,32,4096,64,step_time_s,4.1\n"
    )
    cases = tables.of_frame(pd.read_csv(io.StringIO(text)))
    assert len(cases) == 1
    assert float(calibrate.predict(cases, calibrations.shipped_values())[0]) > 0


def test_measured_matmuls_fill_their_tiles() -> None:
    found = gemm.fit_gemms(library.find("measurements", "micro"))
    assert {"a100-sxm-80gb", "h100-sxm-80gb", "b300-sxm-288gb"} <= set(found)
    h100 = found["h100-sxm-80gb"]
    assert h100["median_error"] < 0.05
    assert 0.7 < h100["tile_efficiency"] < 0.95  # best of a search over shapes: 0.80 (MAMF)
    assert 100 < gemm.fill_by_architecture(library.find("measurements", "micro"))["hopper"] < 300


def test_rows_with_impossible_numbers_are_skipped_not_predicted() -> None:
    frame = (
        pd.read_csv(TABLE, low_memory=False).sample(40, random_state=1).reset_index(drop=True).astype(object)
    )
    columns = [name for name in frame.columns if name not in ("id", "source", "source_ref", "notes")]
    odd = [0, -1, 1e30, "abc", np.nan, float("inf"), "", 1e-9, "1e400"]
    random = np.random.default_rng(0)
    for _ in range(15):
        broken = frame.copy()
        for _ in range(6):
            broken.loc[random.integers(len(frame)), random.choice(columns)] = odd[random.integers(len(odd))]
        cases = tables.of_frame(broken)
        assert len(cases) + sum(cases.skipped.values()) == len(frame)
        assert np.isfinite(calibrate.predict(cases, calibrations.shipped_values())).all()


@pytest.mark.parametrize(("name", "donor"), [("fsdp", "fsdp"), ("mine", calibrations.USUAL_SETS["software"])])
def test_a_set_of_an_older_version_is_completed(
    name: str, donor: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = load_spec("calibrations", "fsdp")
    old = shipped.with_(
        id=name, constants={k: v for k, v in shipped.constants.items() if k != "last_matmul_share"}
    )
    document = old.model_dump(mode="json", exclude_none=True)
    write.write_yaml(tmp_path / "calibrations" / f"{name}.yaml", document)
    monkeypatch.setenv("TRAINSIM_PATH", str(tmp_path))
    read = calibrations.sets()[name]
    lent = load_spec(
        "calibrations", str(library.packaged_root() / "hardware_specs" / "calibrations" / f"{donor}.yaml")
    )
    assert read.constants["last_matmul_share"] == lent.constants["last_matmul_share"]
    assert set(read.constants) == set(shipped.constants)
    assert {k: read.constants[k] for k in old.constants} == dict(old.constants)


OWN = (
    "id,source,framework,gpu,n_gpus,n_layers,d_model,n_heads,n_kv_heads,d_ff,mlp_type,vocab,seq_len,global_batch_seqs,"
    "micro_batch,tp,pp,measured_quantity,measured_value\n"
)


def own_table(path: Path, *rows: tuple[str, int, float]) -> Path:
    """Runs of a Llama of 8 billion parameters on 64 H100s: accelerator, tensor parallelism, seconds."""
    text = [
        f"r{i},me,Megatron-Core,{gpu},64,32,4096,32,8,14336,swiglu,128256,8192,128,1,{tp},1,step_time_s,{seconds}\n"
        for i, (gpu, tp, seconds) in enumerate(rows)
    ]
    path.write_text(OWN + "".join(text), encoding="utf-8")
    return path


def test_the_same_rows_do_not_count_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Own sets that the library finds are not the centre of the next fit, and sets without a row are not written."""
    table = own_table(tmp_path / "own.csv", *(("H100-SXM-80GB", tp, 2.6) for tp in (2, 4, 8)))
    monkeypatch.setenv("TRAINSIM_PATH", str(tmp_path))
    monkeypatch.setattr(calibrations, "_shipped", calibrations._shipped.__wrapped__)
    out = tmp_path / "calibrations"
    first = chain.run(table, out, shipped=True, tell=lambda text: None)
    assert sorted(path.stem for path in out.glob("*.yaml")) == ["fabric", "hopper", "megatron"]
    assert calibrations.shipped_values() != calibrations.shipped_values(calibrations.packaged_sets())
    second = chain.run(table, out, shipped=True, tell=lambda text: None)
    assert first.values == second.values


def test_a_table_from_which_nothing_can_be_fitted_is_one_error(tmp_path: Path) -> None:
    for rows in ((), (("MyGPU", 1, 2.0),)):
        with pytest.raises(SpecError, match="nothing can be fitted") as caught:
            chain.run(
                own_table(tmp_path / "own.csv", *rows), tmp_path / "out", shipped=True, tell=lambda text: None
            )
        assert ("MyGPU" in str(caught.value)) == bool(rows)
    assert not (tmp_path / "out").exists()


def test_a_file_is_no_folder_for_sets(tmp_path: Path) -> None:
    table = own_table(tmp_path / "own.csv", ("H100-SXM-80GB", 4, 2.6))
    with pytest.raises(SpecError, match="names a folder"):
        chain.run(table, table, shipped=True, tell=lambda text: None)
    with pytest.raises(SpecError, match="cannot be made"):
        chain.run(table, table / "below", shipped=True, tell=lambda text: None)


def test_an_absurd_table_is_doubted(tmp_path: Path) -> None:
    rows = [("H100-SXM-80GB", tp, 2.5 * 10 ** (4 * (i % 2))) for i, tp in enumerate((1, 2, 4, 8, 1, 2))]
    said: list[str] = []
    chain.run(own_table(tmp_path / "own.csv", *rows), tmp_path / "out", shipped=True, tell=said.append)
    assert "wrong units" in said[-1]
    said.clear()
    rows = [("H100-SXM-80GB", tp, 2.5) for tp in (2, 4, 8)]
    chain.run(own_table(tmp_path / "own.csv", *rows), tmp_path / "out", shipped=True, tell=said.append)
    assert not any("wrong units" in text for text in said)
