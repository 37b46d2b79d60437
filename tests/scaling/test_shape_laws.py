"""Laws that see width and depth are evaluated as they are, and never corrected for shape a second time."""

from __future__ import annotations

import numpy as np
import pytest

import simulator as sim
from simulator import scaling
from simulator.errors import SimulatorError, UnknownNameError

SHAPED = [name for name, law in scaling.laws.items() if law.sees_shape and law.quantity == "loss"]
POINT = {"params": 1e9, "tokens": 1e11, "hidden_size": 2048, "num_hidden_layers": 16}


def test_the_laws_in_question_are_known() -> None:
    assert SHAPED == ["Gemstones2025", "Gemstones2025Hot", "Gemstones2025HotOver100B", "Bian2025a"]


@pytest.mark.parametrize("name", SHAPED)
def test_closed_forms_of_parameters_and_tokens_refuse_a_law_that_sees_shape(name: str) -> None:
    value = float(scaling.loss(law=name, **POINT))
    for ask in (
        lambda: scaling.optimal(name, 1e21),
        lambda: scaling.tokens_for_loss(name, 1e9, value),
        lambda: scaling.asymptote(name, 1e9),
        lambda: scaling.compute_for_loss(name, value),
    ):
        with pytest.raises(SimulatorError, match="not of the form"):
            ask()


@pytest.mark.parametrize(
    "name", [n for n, law in scaling.laws.items() if law.terms and law.n_convention == "total"]
)
def test_terms_give_the_law_where_data_do_not_end(name: str) -> None:
    sizes = {"params": 3e8, "tokens": 6e10}
    terms = scaling.terms_of(name)
    plain = terms["E"] + terms["A"] * 3e8 ** -terms["alpha"] + terms["B"] * 6e10 ** -terms["beta"]
    assert np.isclose(scaling.loss(law=name, **sizes), plain, rtol=1e-6)


@pytest.mark.parametrize("name", SHAPED)
def test_no_second_correction_for_shape(name: str) -> None:
    with pytest.raises(SimulatorError, match="sees width and depth"):
        scaling.loss(law=name, shape_law="Gemstones2025", **POINT)
    question = {
        "find": "architecture",
        "law": name,
        "hardware": {"accelerator": "h100-sxm-80gb", "n_gpus": 8},
        "budget": {"time": "2 days"},
    }
    found = sim.run(question, effort="preview")
    answer = found.answer
    assert answer["shape_law"] is None
    bare = scaling.loss(
        law=name,
        params=answer["params"],
        tokens=answer["tokens"],
        hidden_size=answer["hidden_size"],
        num_hidden_layers=answer["num_hidden_layers"],
    )
    assert answer["loss"] >= bare * (1 - 1e-9)
    named = sim.run({**question, "shape_law": "Bian2025b"}, effort="preview")
    assert named.answer["loss"] == answer["loss"]
    assert any("shape_law Bian2025b is left out" in text for text in named.assumptions)


def test_an_input_that_no_law_has_is_named() -> None:
    with pytest.raises(UnknownNameError, match="unique_token") as caught:
        scaling.loss(params=7e9, tokens=2e12, unique_token=20e9)
    assert "unique_tokens" in caught.value.hint
    assert scaling.loss(params=7e9, tokens=2e12, granularity=4.0) == scaling.loss(params=7e9, tokens=2e12)


@pytest.mark.parametrize("wrong", [{"params": "7B"}, {"unique_tokens": -1}, {"tokens": -1e9}])
def test_sizes_that_are_none_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(SimulatorError, match=next(iter(wrong))):
        scaling.loss(**{"params": 7e9, "tokens": 1e9, **wrong})


def test_a_law_of_overtraining_does_not_choose_tokens_unsaid() -> None:
    question = {
        "find": "architecture",
        "law": "Gadre2024C4",
        "hardware": {"accelerator": "h100-sxm-80gb", "n_gpus": 8},
        "budget": {"time": "2 days"},
    }
    said = [one["id"] for one in sim.run(question, effort="preview").warnings]
    assert "law-choice" in said
    given = {**question, "training": {"tokens": "20B"}}
    assert "law-choice" not in [one["id"] for one in sim.run(given, effort="preview").warnings]


def test_far_below_the_critical_batch_the_budget_is_spent_once() -> None:
    for at_critical in (True, False):
        found = scaling.kaplan.frontier(compute_flop=1e21, at_critical_batch=at_critical)
        assert np.isclose(6 * found["non_embedding_params"] * found["tokens"], 1e21, rtol=0.1)
        # Table 6: at the critical batch twice the fewest steps; far below it the fewest tokens, S_min times the critical batch.
        times = 2 if at_critical else 1
        critical = found["critical_batch_tokens"]
        assert np.isclose(found["tokens"], times * found["min_steps"] * critical, rtol=0.1)
        assert "batch_tokens" not in found


def test_a_form_of_a_batch_law_can_be_fitted_as_its_error_says() -> None:
    tokens = np.geomspace(1e9, 1e12, 12)
    runs = {"tokens": tokens, "batch_tokens": 3.0 * tokens**0.462}
    with pytest.raises(SimulatorError, match="target="):
        scaling.batch.laws["PowerLines2025"](tokens=1e11)
    found = scaling.fit(runs, law="PowerLines2025", target="batch_tokens")
    assert np.allclose([found.constants["c"], found.constants["p"]], [3.0, 0.462], rtol=1e-4)


def test_a_corpus_too_small_for_the_compute_has_no_best_size() -> None:
    assert np.all(np.isnan(scaling.optimal_repeated("Besiroglu2024", 1e24, 1e7)))
    assert np.all(np.isfinite(scaling.optimal_repeated("Besiroglu2024", 1e21, [1e9, 1e10, 1e13])))


def test_a_law_that_is_not_there_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="Besiroglu") as caught:
        scaling.laws["Besiroglu"]
    assert "Besiroglu2024" in caught.value.hint
    assert scaling.laws.get("Besiroglu") is None
