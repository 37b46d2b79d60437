"""Token efficiency from published cases, and predicted savings under each case's own accounting."""

from __future__ import annotations

import csv
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from simulator.growth import KAPPA, accounting, evidence, published
from simulator.validate.growth import validate_growth

TABLE = Path(__file__).parents[2] / "measurements" / "growth.csv"
CASES = {one.id: one for one in published.read_cases(TABLE)}


@pytest.mark.parametrize(
    ("name", "kappa"),
    [
        ("gstack-1.1b-depth-stack", 1.50), ("gstack-3b-180b", 1.48), ("gstack-3b-240b", 1.54),
        ("gstack-7b-160b", 1.39), ("gstack-7b-220b", 1.54), ("gstack-7b-280b", 1.53), ("gstack-7b-300b", 1.54),
        ("gstack-410m-400b", 1.54), ("gstack-410m-700b", 1.31), ("chen26-7", 1.05), ("chen26-8", 1.13),
        ("hyper-olmo-2.9b", 0.78),
    ],
)  # fmt: skip
def test_kappa_from_published_savings(name, kappa):
    assert accounting.implied_kappa(CASES[name]) == pytest.approx(kappa, abs=0.025)


@pytest.mark.parametrize(
    ("name", "kappa"),
    [
        ("sparkling-inner2x", 1.31), ("sparkling-hidden2x", 1.21), ("sparkling-both2x", 1.23),
        ("naivefp-inner2x", 0.98), ("naivefp-hidden2x", 0.89), ("naivefp-both2x", 0.85),
    ],
)  # fmt: skip
def test_kappa_from_published_losses(name, kappa):
    got = accounting.kappa_from_losses(CASES[name], CASES.values())
    assert got == pytest.approx(kappa, abs=0.006)


def test_shipped_assumptions_span_the_evidence():
    """Pessimistic, central, optimistic: the 5th, 50th and 90th percentile, papers weighted equally."""
    low, middle, high = evidence.kappa_quantiles((0.05, 0.5, 0.9))
    assert KAPPA["pessimistic"] == pytest.approx(low, abs=0.03)
    assert KAPPA["central"] == pytest.approx(middle, abs=0.03)
    assert KAPPA["optimistic"] == pytest.approx(high, abs=0.05)


def test_kinds_of_growth():
    kinds = {name: evidence.kind(one) for name, one in CASES.items()}
    assert kinds["gstack-1.1b-depth-random"] == "depth random"
    assert kinds["gstack-1.1b-depth-zero"] == kinds["gstack-7b-300b"] == kinds["midas"] == "depth"
    assert kinds["gstack-1.1b-width-direct"] == kinds["naivefp-both2x"] == kinds["hyper-olmo-2.9b"] == "width"
    assert kinds["gstack-1.1b-width-learn"] == "width fresh"
    assert kinds["sparkling-both2x"] == "asymmetric"
    assert kinds["ligo-3"] == "distilled"
    assert kinds["ligo-5"] == "learned"
    assert kinds["chen26-6"] == "architecture"
    assert kinds["chen26-8"] == "tuned"
    assert kinds["staged-3"] == "staged"
    assert kinds["compound-base"] == "whole"


def test_published_savings_under_their_own_accounting():
    result = validate_growth(TABLE)
    assert result["n"] == 76
    assert result["n_skipped"] == 15
    charged = result["src_charged_yes"]
    assert charged["n"] == 43
    assert charged["within_10_points"] > 0.85
    assert charged["direction_right"] > 0.95
    assert result["within_10_points"] > 0.8
    assert result["direction_right"] > 0.95
    apart = result["leave_one_paper_out"]
    assert apart["direction_right"] > 0.9
    assert apart["src_charged_yes"]["direction_right"] >= 0.9
    for row in result["rows"]:
        assert {
            "id",
            "predicted_saving_pct",
            "published_saving_pct",
            "pays_predicted",
            "pays_published",
        } <= set(row)


def test_a_prediction_never_sees_its_own_results(tmp_path):
    """Changing what a case published changes nothing in what is predicted for it."""
    rows = list(csv.DictReader(TABLE.read_text(encoding="utf-8").splitlines()))
    for row in rows:
        if row["saving_pct"]:
            row["saving_pct"], row["speedup"] = "1.0", "1.01"
        if row["scratch_value"]:
            row["scratch_value"] = row["grown_value"] = "2.0"
    changed = tmp_path / "changed.csv"
    with changed.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    before = {row["id"]: row["predicted_saving_pct"] for row in validate_growth(TABLE)["rows"]}
    after = {row["id"]: row["predicted_saving_pct"] for row in validate_growth(changed)["rows"]}
    assert after == before


def test_unknown_cases_with_holes_are_still_predicted(tmp_path):
    """Foreign tables: new ids, any cell missing."""
    rng = random.Random(7)
    rows = list(csv.DictReader(TABLE.read_text(encoding="utf-8").splitlines()))
    holed = []
    for copy in range(4):
        for row in rows:
            kept = {
                k: ("" if k not in {"notes", "saving_pct"} and rng.random() < 0.3 else v)
                for k, v in row.items()
            }
            holed.append({**kept, "id": f"new-{copy}-{row['id']}"})
    path = tmp_path / "holed.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(holed)
    result = validate_growth(path, leave="paper")
    assert result["n"] == 4 * 76
    values = np.array([row["predicted_saving_pct"] for row in result["rows"]])
    assert np.isfinite(values).all()
    assert (np.abs(values) < 200).all()


def test_equal_tokens_are_arithmetic():
    """SPARKLING's FLOP savings follow from parameters and tokens; FLM-101B's stages are chained."""
    for name, saving in (("sparkling-inner2x", 0.20), ("naivefp-hidden2x", 0.25), ("sparkling-both2x", 0.35)):
        assert accounting.predicted_saving(CASES[name], kappa=1.0) == pytest.approx(saving, abs=1e-3)
    stages = accounting.chain(CASES["flm-101b"], CASES.values())
    assert [(size, tokens) for size, tokens in stages] == [
        (16e9, 245.37e9),
        (51e9, 39.64e9),
        (101e9, 26.54e9),
    ]
    saved = accounting.predicted_saving(CASES["flm-101b"], kappa=1.0, cases=CASES.values())
    assert saved == pytest.approx(0.719, abs=0.05)


def test_tuned_multiplier_matches_the_schedule():
    """The closed form of two free sizes equals the dynamic programme on a fine lattice."""
    from simulator.growth.problem import Problem
    from simulator.growth.schedule import cheapest_to_loss
    from simulator.growth.warm_start import floor

    small = np.geomspace(2e8, 2e10, 1200)
    sizes, index = np.concatenate([small, 2 * small]), np.arange(1200)
    law = accounting.LAW
    for kappa in (0.95, 1.2, 1.5):
        p = Problem(
            params=sizes,
            floors=np.asarray(floor(E=law["E"], A=law["A"], alpha=law["alpha"], params=sizes)),
            cost_per_token=sizes,
            B=law["B"],
            beta=law["beta"],
            kappa=kappa,
            sources=index,
            targets=index + 1200,
        )
        scratch = cheapest_to_loss(p, final_loss=2.3, stages=1, budget=1e21)
        grown = cheapest_to_loss(p, final_loss=2.3, stages=2, budget=2 * scratch.cost)
        assert scratch.cost / grown.cost == pytest.approx(accounting.tuned_multiplier(kappa), rel=1e-3)


def test_untrained_sources_bring_nothing():
    one = CASES["gstack-1.1b-depth-stack"]
    untrained = replace(one, source_tokens=1.0)
    assert accounting.predicted_saving(untrained, kappa=1.5) == pytest.approx(0.0, abs=1e-6)


def test_saving_and_kappa_are_inverse():
    for one in CASES.values():
        kappa = accounting.implied_kappa(one)
        if np.isfinite(kappa) and evidence.kind(one) != "architecture":
            assert accounting.predicted_saving(one, kappa=kappa) == pytest.approx(one.saving, abs=2e-3)
