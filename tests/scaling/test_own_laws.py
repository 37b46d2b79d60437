"""Laws of one's own: written by a fit, found by name, and stated in the answer that rests on them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import simulator as sim
from simulator import scaling
from simulator.cli import main
from simulator.errors import SpecError, UnknownNameError
from simulator.scaling import own
from simulator.schema import OwnLaw, load_scenario

CONSTANTS = {"E": 1.7, "A": 106.0, "B": 298.0, "alpha": 0.243, "beta": 0.273}
QUESTION: dict[str, Any] = {
    "model": {"num_hidden_layers": 24, "hidden_size": 2048, "num_attention_heads": 16},
    "training": {"tokens": "20B", "global_batch_size": 512},
    "hardware": {"accelerator": "h100-sxm-80gb", "n_gpus": 8},
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of `TRAINSIM_PATH` with runs, and room for laws."""
    n = np.geomspace(1e8, 4e9, 12)
    d = n * np.resize([20.0, 60.0, 10.0, 120.0], 12)
    noise = np.exp(np.random.default_rng(5).normal(0, 0.005, 12))
    loss = scaling.loss(law="Gadre2024RedPajama", params=n, tokens=d) * noise
    lines = [f"{a},{b},{c}" for a, b, c in zip(n, d, loss, strict=True)]
    (tmp_path / "runs.csv").write_text("\n".join(["params,tokens,loss", *lines]) + "\n")
    (tmp_path / "laws").mkdir()
    monkeypatch.setenv("TRAINSIM_PATH", str(tmp_path))
    return tmp_path


def fitted(folder: Path, *options: str) -> Path:
    path = folder / "laws" / "mylaw.yaml"
    assert main(["laws", "fit", str(folder / "runs.csv"), "--out", str(path), "--force", *options]) == 0
    return path


@pytest.mark.parametrize("options", [("--bootstrap", "40"), ("--from", "Besiroglu2024")])
def test_a_fit_is_written_and_found_by_name(
    folder: Path, options: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    path = fitted(folder, *options, "--json")
    constants = json.loads(capsys.readouterr().out)["constants"]
    law = scaling.get("mylaw")
    assert law.constants == pytest.approx(constants, rel=1e-5)
    assert law.terms == dict(law.constants)
    assert law.range["params"] == pytest.approx((1e8, 4e9))
    assert str(path.name) in law.source
    for name, ends in law.uncertainty.items():
        low, high = ends or (np.nan, np.nan)
        assert low <= law.constants[name] <= high
    shares = [law.error_at(c) for c in (law.error[0][0], 1e24, 1e26, 1e28)]
    assert 0 < shares[0] < shares[1] < shares[2] < shares[3]
    assert main(["laws", "show", "mylaw"]) == 0
    assert "mylaw.yaml" in capsys.readouterr().out
    assert main(["laws", "list", "mylaw"]) == 0
    assert "own" in capsys.readouterr().out
    assert main(["laws", "fit", str(folder / "runs.csv"), "--out", str(path)]) == 2
    assert "--force" in capsys.readouterr().err


def test_an_answer_names_the_file_and_its_range(folder: Path) -> None:
    fitted(folder, "--from", "Besiroglu2024")
    result = sim.run({**QUESTION, "law": "mylaw"}, effort="preview")
    assert result.answer["loss_law"] == "mylaw"
    text = next(s["source"] for s in result.sources if s["what"] == "law of loss mylaw")
    assert "mylaw.yaml" in text
    assert "params 1e8-4e9" in text
    assert not [w for w in result.warnings if w["id"] == "law-range"]
    far = sim.run({**QUESTION, "law": "mylaw", "training": {"tokens": "200T"}}, effort="preview")
    assert "law-range" in [w["id"] for w in far.warnings]
    loss, (low, high) = far.answer["loss"], far.answer["interval"]["loss"]
    assert high - loss > 0.05 * loss  # far from the runs the posterior is wider than the usual 4 %
    assert low < loss
    assert any("mylaw states" in line for line in far.assumptions)


def test_a_path_beside_the_scenario_and_constants_inline_are_one_law(folder: Path) -> None:
    path = fitted(folder, "--bootstrap", "0")
    (folder / "s.yaml").write_text(json.dumps({**QUESTION, "law": "./laws/mylaw.yaml"}))
    by_path = load_scenario(folder / "s.yaml").law
    assert isinstance(by_path, OwnLaw)
    again = load_scenario(load_scenario(folder / "s.yaml"), set=["seed=1"]).law
    assert again == by_path
    inline = OwnLaw(law="chinchilla", constants=dict(by_path.constants))
    point = {"params": 7e9, "tokens": 2e11}
    assert scaling.get(inline)(**point) == scaling.get("mylaw")(**point) == scaling.get(str(path))(**point)
    changed = load_scenario({**QUESTION, "law": {"extends": "mylaw", "constants": {"E": 1.0}}}).law
    assert isinstance(changed, OwnLaw)
    assert changed.constants == {**by_path.constants, "E": 1.0}
    assert "changed" in str(changed.source)


def test_constants_inline_have_the_errors_of_the_law_they_are_of_in_proportion() -> None:
    law = scaling.get(OwnLaw(law="Besiroglu2024", constants={**CONSTANTS, "A": 964.02}))
    assert law.uncertainty["A"] == pytest.approx(2 * 124.5)
    assert law.n_convention == "total"
    same = {"law": "Besiroglu2024", "constants": dict(scaling.laws["Besiroglu2024"].constants)}
    result = sim.run({**QUESTION, "law": same}, effort="preview")
    assert result.answer["loss_law"] == "Besiroglu2024 with own constants"
    assert result.answer["loss"] == sim.run(QUESTION, effort="preview").answer["loss"]
    text = next(s["source"] for s in result.sources if s["what"].startswith("law of loss"))
    assert "a range that is not stated" in text


@pytest.mark.parametrize("name", ["Gadre2024C4", "Muennighoff2023"])
def test_the_terms_of_the_registered_constants_come_out_again(name: str) -> None:
    base = scaling.laws[name]
    law = scaling.get(OwnLaw(law=name, constants=dict(base.constants)))
    assert law.terms == pytest.approx(dict(base.terms))
    assert law.chooses_tokens == base.chooses_tokens


@pytest.mark.parametrize(
    ("law", "words"),
    [
        ({"law": "Besiroglu", "constants": CONSTANTS}, "did you mean Besiroglu2024"),
        ({"law": "Besiroglu2024", "constants": {"E": 1.7}}, "A, B, alpha, beta are missing"),
        (
            {"law": "Besiroglu2024", "constants": {**CONSTANTS, "eta": 1}},
            "constants.eta: is not in the equation",
        ),
        ({"law": "Besiroglu2024", "constants": {**CONSTANTS, "beta": -0.3}}, "rise with size or data"),
        ({"law": "Kaplan2020", "constants": {"Nc": -1, "Dc": 1e13, "aN": 0.07, "aD": 0.1}}, "a loss of nan"),
        ({"law": "Besiroglu2024", "constants": CONSTANTS, "range": {"width": [1, 2]}}, "range.width"),
        ({"law": "Besiroglu2024", "constants": CONSTANTS, "range": {"params": [2, 1]}}, "lower end first"),
        ({"law": "Besiroglu2024", "constants": {**CONSTANTS, "E": "x"}}, "does not start with a number"),
        ({"extends": "Besiroglu2024", "constants": {"E": 1.7}}, "no file of laws/ is named"),
        ("./nowhere.yaml", "no such file"),
    ],
)
def test_each_mistake_has_one_message(law: object, words: str) -> None:
    with pytest.raises(SpecError) as caught:
        sim.run({**QUESTION, "law": law}, effort="preview")
    assert words in str(caught.value)
    assert len(caught.value.problems) == 1


def test_names_are_kept_apart(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fitted(folder, "--bootstrap", "0")
    with pytest.raises(UnknownNameError, match="mylaw"):
        sim.run({**QUESTION, "law": "mylw"})
    for name, words in [
        ("besiroglu2024.yaml", "published law"),
        ("My Law.yaml", "lower-case"),
        ("mine.csv", "mine.yaml"),
    ]:
        out = str(folder / "laws" / name)
        assert main(["laws", "fit", str(folder / "runs.csv"), "--out", out]) == 2
        assert words in capsys.readouterr().err
    text = (folder / "laws" / "mylaw.yaml").read_text()
    (folder / "laws" / "besiroglu2024.yaml").write_text(text)
    with pytest.raises(SpecError, match="published law"):
        sim.run({**QUESTION, "law": "Besiroglu2024"}, effort="preview")
    (folder / "laws" / "broken.yaml").write_text("law: [")
    assert set(own.every()) == {"mylaw"}


def test_an_error_over_tasks_needs_gadres_own_constants() -> None:
    constants = dict(scaling.laws["Gadre2024C4"].constants)
    asked = {"law": {"law": "Gadre2024C4", "constants": constants}, "require": {"error": "60 %"}}
    with pytest.raises(SpecError, match="with own constants"):
        load_scenario({**QUESTION, **asked})


def test_doctor_does_not_miss_laws_of_ones_own() -> None:
    from simulator.commands.doctor import _data

    found = {check["check"]: check["state"] for check in _data()}
    assert found["laws"] == "ok"
