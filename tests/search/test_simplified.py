"""What an answer says of mixtures of experts and of formats below 16 bits."""

from __future__ import annotations

from typing import Any

import pytest

import simulator as sim


def assumed(model: str, precision: str, accelerator: str = "b200-sxm-180gb", **training: Any) -> str:
    result = sim.run(
        {
            "model": model,
            "training": {"tokens": "10B", "precision": precision, "global_batch_size": 64, **training},
            "hardware": {"accelerator": accelerator, "n_gpus": 8},
        }
    )
    return " | ".join(result.assumptions)


def test_a_mixture_says_that_routing_is_balanced() -> None:
    text = assumed("deepseek-moe-16b", "bf16")
    assert "same number of tokens and none is dropped" in text
    assert "balance routing by force" in text
    assert "linear layer" not in text


@pytest.mark.parametrize("precision", ["fp8", "fp4"])
def test_a_narrow_format_says_what_runs_in_it(precision: str) -> None:
    text = assumed("llama-3.1-8b", precision)
    assert f"{precision} for all three products of every linear layer" in text
    assert "attention's core" in text
    assert f"the law of loss does not know of {precision}" in text
    assert "expert gets" not in text


def test_a_format_that_falls_back_is_not_said_to_be_used() -> None:
    assert "linear layer" not in assumed("llama-3.1-8b", "fp8", "a100-sxm-80gb")


def test_frozen_weights_have_no_third_product_and_no_loss() -> None:
    text = assumed("llama-3.1-8b", "fp8", trainable="lora")
    assert "both products" in text
    assert "law of loss" not in text
