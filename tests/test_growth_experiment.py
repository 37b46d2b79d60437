"""The page of the growth experiment says what the script finds in the committed curves."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "examples" / "growth_experiment"
RESULTS = FOLDER / "results" / "cpu"


@pytest.fixture(scope="module")
def analyse():
    spec = importlib.util.spec_from_file_location("growth_experiment_analyse", FOLDER / "analyse.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def experiment(analyse):
    return analyse.Experiment(RESULTS)


def test_the_page_quotes_what_the_script_prints(analyse):
    page = (ROOT / "docs" / "experiment.md").read_text(encoding="utf-8")
    missing = [line for line in analyse.report(RESULTS).splitlines() if line and line not in page]
    assert not missing


def test_the_results_say_where_they_come_from(experiment):
    about = experiment.about
    assert all(about[key] for key in ("command", "date", "machine", "python", "torch", "files"))
    assert experiment.params[experiment.large] > 3 * experiment.params[experiment.small]


def test_every_run_has_the_same_budget(experiment):
    for run in experiment.runs:
        share = float(run.name.split()[1]) if run.name.startswith("short") else 1.0
        assert run.clock_s[-1] == pytest.approx(share * experiment.budget_s, rel=0.005)


def test_growing_kept_the_loss(experiment):
    for run in experiment.runs:
        if run.was_grown:
            source = next(r for r in experiment.named("small") if r.seed == run.seed)
            switch = run.share * experiment.budget_s
            at = int(np.argmin(np.abs(source.clock_s - switch)))
            assert run.loss[0] == pytest.approx(source.loss[at], abs=2e-5)


def test_the_law_describes_the_runs_it_was_fitted_to(experiment):
    assert experiment.law.error < 0.03
    assert experiment.law.floors[experiment.large] < experiment.law.floors[experiment.small]


def test_kappa_without_a_law(experiment):
    """Read off the measured curve of the large model: tokens between two losses, over the tokens spent."""
    found, fitted = [], []
    for run in experiment.runs:
        if run.name not in {"grown 0.125", "grown 0.25"}:
            continue
        large = next(r for r in experiment.named("large") if r.seed == run.seed)
        curve = np.minimum.accumulate(large.loss[large.stable])
        tokens = large.tokens[large.stable]
        start, end = (np.interp(-loss, -curve, tokens) for loss in (run.loss[0], run.loss[run.stable][-1]))
        found.append((end - start) / run.tokens[run.stable][-1])
        fitted.append(experiment.kappa(run))
    assert np.median(found) == pytest.approx(np.median(fitted), abs=0.15)


def test_the_plot_is_drawn(analyse, tmp_path):
    pytest.importorskip("matplotlib")
    analyse.plot(RESULTS, tmp_path / "curves.png")
    assert (tmp_path / "curves.png").read_bytes()[:4] == b"\x89PNG"
