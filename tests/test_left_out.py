"""Folds: whole groups out, the same optimum as `calibrate.fit`, a table that survives interruption and knows its age."""

from __future__ import annotations

import functools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from simulator import calibrate, calibrations, library, uncertainty
from simulator.calibrate import left_out as refits
from simulator.calibrate.fit import grouped_jacobian
from simulator.cli import main
from simulator.errors import SpecError
from simulator.validate import cases as tables
from simulator.validate import conformal, folds, left_out, regimes

TABLE = library.find("measurements", "throughput")
SOURCES = ("MosaicML", "NVIDIA-papers-2021-22", "MooreThreads-SimuMax", "MLPerf-Dell")


@functools.lru_cache(maxsize=1)
def whole() -> tables.Cases:
    """The table that ships, read once."""
    return tables.read(TABLE)


@pytest.fixture(scope="module")
def cases() -> tables.Cases:
    frame = tables.read_frame(TABLE)
    return tables.of_frame(pd.concat([frame[frame["source_group"] == name].head(16) for name in SOURCES]))


def test_folds_leave_whole_groups_out() -> None:
    every = whole()
    groups = folds.groups_of(every, "source")
    for name in ("KAIST-vTrain", "HuggingFace", "NVIDIA"):
        assert (groups[every.source == name] == name).all()
        assert set(every.source[groups == name].tolist()) == {name}
    few = {str(each) for each in every.source[groups == "(few)"]}
    assert all((every.source == each).sum() < folds.FEWEST for each in few)
    models = folds.groups_of(every, "model")
    layers = every.shape.num_hidden_layers
    korthikanti = np.char.startswith(every.id.astype(str), "korthikanti-0001") | np.char.startswith(
        every.id.astype(str), "korthikanti-0002"
    )
    assert len(set(models[korthikanti].tolist())) == 1
    assert len(set(layers[korthikanti].tolist())) == 1


def test_a_table_of_few_rows_keeps_its_folds_apart(cases: tables.Cases) -> None:
    """Sixteen rows of each of four organisations: no accelerator has the thirty of a fold, and each is one all the same."""
    groups = folds.groups_of(cases, "accelerator").astype(str)
    assert len(set(groups.tolist())) > 1
    assert np.array_equal(groups, cases.gpu.astype(str))


def test_grouped_differences_are_the_jacobian() -> None:
    """Rows that take two constants each, against differences one constant at a time."""
    random = np.random.default_rng(0)
    first, second = random.integers(0, 3, 40), random.integers(3, 5, 40)

    def errors(x: np.ndarray) -> np.ndarray:
        return np.log(np.exp(x[first]) + 2.0 * np.exp(x[second])) * (1.0 + np.arange(40))

    x = random.normal(size=5)
    found = grouped_jacobian(errors, x, [first, second])
    step = 1e-6
    dense = np.stack([(errors(x + step * e) - errors(x - step * e)) / (2 * step) for e in np.eye(5)], 1)
    assert found == pytest.approx(dense, abs=1e-3)


@pytest.mark.parametrize("source", ["MosaicML", "NVIDIA-papers-2021-22"])
def test_a_warm_start_finds_the_optimum_of_the_plain_fit(cases: tables.Cases, source: str) -> None:
    """On two folds: the constants of `calibrate.fit`, and so the predictions, to two thousandths."""
    centre = refits.micro_centre()
    inside, outside = cases.take(cases.source != source), cases.take(cases.source == source)
    plain = calibrate.fit(inside, start=centre, max_evaluations=100)
    warm = calibrate.fit(inside, start=centre, warm=calibrations.shipped_values(), max_evaluations=100)
    times = [calibrate.predict(outside, each.values) for each in (plain, warm)]
    assert times[1] == pytest.approx(times[0], rel=2e-3)


def test_rows_outside_a_fold_are_all_that_its_constants_saw(cases: tables.Cases) -> None:
    """Other measured times inside the fold leave its predictions as they are."""
    name = "MooreThreads-SimuMax"
    known = {"centre": refits.micro_centre(), "warm": calibrations.shipped_values()}
    slower = tables.Cases(
        **{
            **vars(cases),
            "measured_s": np.where(cases.source == name, 3 * cases.measured_s, cases.measured_s),
        }
    )
    first, second = (refits.predict_fold(each, "source", name, **known)[1] for each in (cases, slower))
    assert np.array_equal(first, second)


def test_an_interrupted_run_goes_on(
    cases: tables.Cases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    computed: list[tuple[str, str]] = []

    def quick(every: tables.Cases, kind: str, name: str, **_: object) -> tuple[np.ndarray, np.ndarray]:
        places = np.flatnonzero(folds.groups_of(every, kind).astype(str) == name)
        if len(computed) == 3:
            raise KeyboardInterrupt
        computed.append((kind, name))
        return places, every.measured_s[places] * 1.1

    monkeypatch.setattr(refits, "predict_fold", quick)
    path = tmp_path / "left_out.csv"
    with pytest.raises(KeyboardInterrupt):
        refits.write(path, cases)
    assert not path.exists()
    before, told = list(computed), []
    computed.append(("", ""))  # past the interruption
    refits.write(path, cases, tell=told.append)
    assert any("3 folds are done" in line for line in told)
    assert not set(before) & set(computed[4:])
    assert not list(tmp_path.glob("*.part"))
    then, found = left_out.read(path)
    assert left_out.is_fresh(cases, then)
    assert not left_out.is_fresh(cases.take(cases.source != "MosaicML"), then)
    for kind, column in left_out.columns(cases, found).items():
        assert column == pytest.approx(1.1 * cases.measured_s, rel=1e-3), kind


def test_what_is_no_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="no such file"):
        left_out.read(tmp_path / "none.csv")
    (tmp_path / "bad.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    with pytest.raises(SpecError, match="not a table"):
        left_out.read(tmp_path / "bad.csv")


def test_the_table_that_ships_holds_every_row(capsys: pytest.CaptureFixture[str]) -> None:
    """Refresh with: make calibrations."""
    every = whole()
    then, found = left_out.read()
    assert then["rows"] == pytest.approx(len(every), rel=0.02)
    assert tuple(found) == folds.KINDS
    for column in left_out.columns(every, found).values():
        assert np.isfinite(column).mean() > 0.98
        column = np.where(np.isfinite(column), column, every.measured_s)
        assert 0.5 < np.median(column / every.measured_s) < 2.0
    if left_out.is_fresh(every, then):
        assert main(["validate", "--left-out", "accelerator"]) == 0
        assert "unseen accelerators" in capsys.readouterr().out


def test_what_is_left_of_the_evidence() -> None:
    """Out goes a source that alone measured an accelerator, an architecture, or neither."""
    every = whole()
    by_source = folds.grades(every, "source")
    mosaic = every.source == "MosaicML"
    assert (by_source[mosaic & (every.gpu == "H100-SXM-80GB")] == "measured").all()  # so did others
    assert (by_source[every.gpu == "H100-SXM-96GB-HBM2e"] == "transferred").all()  # others: 80 GB
    pascal = every.gpu == "P100-SXM2-16GB"
    assert (by_source[pascal] == "datasheet").all()  # Languini alone measured Pascal
    assert (folds.grades(every, "architecture") == "datasheet").all()
    b200 = every.gpu == "B200-SXM-180GB"
    assert (folds.grades(every, "accelerator")[b200] == "transferred").all()
    assert (folds.grades(every, "model") == every.grade).mean() > 0.99


def test_an_unknown_organisation_is_never_known_better_than_a_known_one() -> None:
    every = whole()
    assert every.seen.all()
    own, other = (
        [uncertainty.step_time_factors(each) for each in regimes.regimes(every, seen=seen)]
        for seen in (True, False)
    )
    assert all(b.low <= a.low and b.high >= a.high for a, b in zip(own, other, strict=True))
    widths = [np.log(each.high / each.low) for each in other]
    assert np.median(widths) > 1.3 * np.median([np.log(each.high / each.low) for each in own])


def test_intervals_of_a_left_out_source_do_not_know_its_residuals(cases: tables.Cases) -> None:
    predicted = cases.measured_s.copy()
    predicted[cases.source == "MosaicML"] *= 100.0  # absurd errors of one source
    shipped = uncertainty.Table({"all": {"rows": 1}}, 2.0)
    known = conformal.without_own_source(cases, predicted, np.zeros(len(cases)), shipped)
    mine = known[int(np.flatnonzero(cases.source == "MosaicML")[0])].regimes
    others = known[int(np.flatnonzero(cases.source == "MLPerf-Dell")[0])].regimes
    assert mine["seen=false"]["high"] == pytest.approx(1.0)
    assert others["seen=false"]["high"] > 50.0
    assert mine["seen=false"]["sources"] == others["seen=false"]["sources"] == len(SOURCES) - 1


def test_percentiles_of_unknown_organisations_are_symmetric(cases: tables.Cases) -> None:
    none = np.zeros(len(cases))
    slow = conformal.part(cases, "source", cases.measured_s / 1.5, none)
    row = conformal.percentiles([slow]).regimes["seen=false"]
    assert row["high"] == pytest.approx(1.5, rel=1e-3)
    assert row["low"] == pytest.approx(1 / 1.5, rel=1e-3)
    known = conformal.part(cases, "model", cases.measured_s / 1.5, none)
    row = conformal.percentiles([known]).regimes["seen=true"]
    assert row["low"] == pytest.approx(1.5, rel=1e-3)


def test_in_a_regime_organisations_weigh_alike(cases: tables.Cases) -> None:
    """Three are predicted to the per cent, however often they measured; the fourth, twice off, has a quarter of the say.

    Of three rows it has less, and the interval is that of the others.
    """
    many = cases.take(np.concatenate([np.repeat(np.flatnonzero(cases.source != "MosaicML"), 50),
                                      np.flatnonzero(cases.source == "MosaicML")]))  # fmt: skip
    predicted = many.measured_s / np.where(many.source == "MosaicML", 2.0, 1.01)
    found = conformal.percentiles([conformal.part(many, "source", predicted, np.zeros(len(many)))])
    assert found.regimes["all"]["sources"] == len(SOURCES)
    assert (cases.source == "MosaicML").sum() >= conformal.SAY
    assert found.regimes["seen=false"]["high"] == pytest.approx(2.0, rel=1e-3)
    few = np.concatenate(
        [np.flatnonzero(many.source != "MosaicML"), np.flatnonzero(many.source == "MosaicML")[:3]]
    )
    found = conformal.percentiles(
        [conformal.part(many.take(few), "source", predicted[few], np.zeros(len(few)))]
    )
    assert found.regimes["seen=false"]["high"] == pytest.approx(1.01, rel=1e-3)


def test_a_regime_knows_the_architecture_and_the_fabric() -> None:
    """Where enough rows say so: V100 clusters are known less well than A100 clusters, and degraded fabrics are apart."""
    known = uncertainty.Regime(seen=True, software="deepspeed")
    ampere, volta = (
        uncertainty.step_time_factors(replace(known, architecture=name)) for name in ("ampere", "volta")
    )
    assert "architecture=ampere" in ampere.regime
    assert np.log(volta.high / volta.low) > 1.5 * np.log(ampere.high / ampere.low)
    plan = uncertainty.Regime(software="nanotron")
    healthy, degraded = (
        uncertainty.step_time_factors(replace(plan, fabric=name)) for name in ("fabric", "fabric-degraded")
    )
    assert "fabric=fabric" in healthy.regime.split()
    assert "fabric=fabric" not in degraded.regime.split()
    assert degraded.high > healthy.high


def test_evidence_of_few_organisations_still_widens_an_interval() -> None:
    """What two organisations saw of a grade says no bound, but no plan of that grade is known better."""
    rows = {"rows": 40.0, "sources": 9.0, "median_error": 0.1}
    name = "grade=datasheet seen=false"
    known = uncertainty.Table(
        {
            "all": {**rows, "low": 0.9, "high": 1.1},
            "seen=false": {**rows, "low": 0.9, "high": 1.1},
            name: {**rows, "sources": 2.0, "low": 0.5, "high": 2.0},
        }
    )
    found = uncertainty.step_time_factors(uncertainty.Regime(grade="datasheet"), known)
    assert (found.low, found.high) == (0.5, 2.0)
    measured = uncertainty.step_time_factors(uncertainty.Regime(grade="measured"), known)
    assert (measured.low, measured.high) == (0.9, 1.1)


@pytest.mark.parametrize("true", [1.0, 2.5, 6.0])
def test_how_much_communication_widens_an_interval_is_found(cases: tables.Cases, true: float) -> None:
    """Errors drawn with a spread that grows along the share: the fit finds by how much, and the intervals cover 80 %."""
    source = np.random.default_rng(7)
    many = cases.take(np.tile(np.arange(len(cases)), 8))
    share = source.uniform(0.0, 1.0, len(many))
    spread = 0.05 * (1.0 + (true - 1.0) * share)
    predicted = many.measured_s * np.exp(spread * source.standard_normal(len(many)))
    table = conformal.percentiles([conformal.part(many, "model", predicted, share)])
    assert table.communication == pytest.approx(true, rel=0.25)
    assert table.communication >= 1.0
    found = [
        uncertainty.step_time_factors(each, table, exposed=float(x))
        for each, x in zip(regimes.regimes(many, seen=True), share, strict=True)
    ]
    ratio = many.measured_s / predicted
    inside = (ratio >= [each.low for each in found]) & (ratio <= [each.high for each in found])
    for part in (share < 0.3, share > 0.7):
        assert 0.7 < inside[part].mean() < 0.9


def test_exposed_communication_widens_the_shipped_intervals() -> None:
    shipped = uncertainty.table()
    assert 1.5 < shipped.communication < 4.0
    none, half, all_of_it = (
        uncertainty.step_time_factors(uncertainty.Regime(), exposed=x) for x in (0, 0.5, 1)
    )
    assert all_of_it.low < half.low < none.low < 1.0 < none.high < half.high < all_of_it.high
    assert np.log(all_of_it.high) == pytest.approx(shipped.communication * np.log(none.high))
    assert none.regime == half.regime


def test_rows_of_one_organisation_leave_nothing_to_fit_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One clear line, and no half-written sets, for a reader's own runs."""
    few = tmp_path / "few.csv"
    lines = Path(TABLE).read_text(encoding="utf-8").splitlines(keepends=True)
    few.write_text("".join(lines[:8]), encoding="utf-8")
    asked = ["calibrate", "--cases", str(few), "--out", str(tmp_path / "sets"), "--start", "shipped"]
    assert main([*asked, "--intervals", str(tmp_path / "intervals.yaml")]) != 0
    told = capsys.readouterr().err
    assert "needs rows of two organisations (one here: MosaicML), of two" in told
    assert "internal" not in told
    assert not (tmp_path / "sets").exists()
    assert main(["validate", "--cases", str(few), "--slices", "--left-out", "source"]) != 0
    assert "two organisations" in capsys.readouterr().err
