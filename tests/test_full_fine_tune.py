"""A model whose weights exist and are all trained on: time, memory and cost, and no loss."""

from __future__ import annotations

from typing import Any

import pytest

import simulator as sim
from simulator.errors import SpecError
from simulator.report import decision
from simulator.schema import Training, load_scenario

RUN: dict[str, Any] = {
    "find": "estimate",
    "model": "llama-2-7b",
    "hardware": {"accelerator": "a100-sxm-80gb", "n_gpus": 16, "price": "$2/GPU-h"},
    "training": {"tokens": "100M", "global_batch_size": 64},
}


def asked(**training: Any) -> dict[str, Any]:
    return {**RUN, "training": {**RUN["training"], **training}}


def warned(result: sim.Result) -> set[str]:
    return {each["id"] for each in result.warnings}


def test_a_full_fine_tune_costs_what_training_costs_and_has_no_loss() -> None:
    scratch, tuned = sim.run(asked()), sim.run(asked(from_pretrained=True))
    for figure in ("step_time_s", "memory_gib", "cost_usd", "time_to_train_days"):
        assert tuned.answer[figure] == scratch.answer[figure]
    assert scratch.answer["loss"] > 4
    assert tuned.answer["loss"] is None
    assert tuned.answer["batch_factor"] is None
    assert tuned.answer["interval"]["loss"] is None
    assert "loss" not in decision.decision(tuned.to_dict())
    assert "fine-tuning" in warned(tuned)
    assert not warned(tuned) & {"law-range", "few-tokens"}
    assert "loss is not known" in tuned.explain("loss")


@pytest.mark.parametrize(("tokens", "few"), [("100M", True), ("6B", True), ("7B", False), ("2T", False)])
def test_fewer_tokens_than_parameters_raise_the_question(tokens: str, *, few: bool) -> None:
    assert ("few-tokens" in warned(sim.run(asked(tokens=tokens)))) == few


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"find": "architecture", "budget": {"time": "1 day"}}, "find: architecture is for training"),
        ({"require": {"loss": 2.0}}, "a law of loss is for training from scratch"),
        ({"growth": {}}, "growth is for training from scratch"),
    ],
)
def test_what_rests_on_a_law_of_loss_cannot_be_asked_of_it(change: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecError, match=words) as caught:
        load_scenario({**asked(from_pretrained=True), **change})
    assert "leave out from_pretrained: true" in str(caught.value)


def test_adapters_are_on_a_model_that_exists() -> None:
    assert Training(trainable="lora").fine_tunes
    assert not Training(from_pretrained=False).fine_tunes
    with pytest.raises(SpecError, match="adapters are trained on a model that exists"):
        Training.model_validate({"trainable": "lora", "from_pretrained": False})
