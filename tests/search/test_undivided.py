"""When no layout divides or fits: the choice that is in the way, and advice that was looked for and found."""

from __future__ import annotations

import re

import pytest

import simulator as sim
from simulator import memory
from simulator.layout import Layout
from simulator.memory import advice
from simulator.transformer import decoder

LLAMA_8B = {
    "model": "llama-3.1-8b",
    "hardware": {"accelerator": "h100-sxm-80gb", "n_gpus": 97},
    "training": {"tokens": "100B", "seq_length": 4096, "global_batch_size": 256},
}


@pytest.mark.parametrize("find", ["estimate", "hardware"])
def test_a_batch_that_does_not_divide_is_named_with_the_nearest_that_do(find: str) -> None:
    why = sim.run({**LLAMA_8B, "find": find}).infeasible
    assert why["reason"] == "batch"
    assert "global_batch_size 256" in why["text"]
    assert why["smallest_change"] == "global_batch_size 194 or global_batch_size 291 would run"
    for batch in (194, 291):
        assert sim.run(LLAMA_8B, set=[f"training.global_batch_size={batch}"]).feasible


def test_a_batch_is_named_as_it_is_written() -> None:
    training = {"tokens": "100B", "seq_length": 4096, "global_batch_tokens": 2**20}
    why = sim.run({**LLAMA_8B, "training": training}).infeasible
    assert "global_batch_tokens 1,048,576" in why["text"]
    near = why["smallest_change"].removesuffix(" would run").split(" or ")
    for each in near:
        name, tokens = each.split()
        assert name == "global_batch_tokens"
        assert sim.run({**LLAMA_8B, "training": {**training, name: int(tokens.replace(",", ""))}}).feasible


def test_many_layouts_that_fail_for_another_reason_do_not_hide_the_one_in_the_way() -> None:
    """On 91 accelerators most pipelines miss the layers; what is left fails for the batch, which is to blame."""
    asked = ["hardware.n_gpus=91"]
    why = sim.run(LLAMA_8B, set=asked).infeasible
    assert why["refused"]["layers"] > why["refused"]["batch"]
    assert why["reason"] == "batch"
    assert sim.run(LLAMA_8B, set=[*asked, "training.global_batch_size=247"]).feasible


@pytest.mark.parametrize(
    ("change", "reason", "name"),
    [
        ("parallelism.vp=3", "layers", "vp"),
        ("parallelism.pp=64", "layers", "pp"),
        ("training.micro_batch_size=3", "batch", "micro_batch_size"),
    ],
)
def test_another_choice_in_the_way_is_left_out(change: str, reason: str, name: str) -> None:
    why = sim.run(LLAMA_8B, set=["hardware.n_gpus=64", change]).infeasible
    assert why["reason"] == reason
    assert why["smallest_change"].startswith(f"leave out {name}; ")


def test_a_prime_number_of_accelerators_is_told_the_nearest_that_run() -> None:
    asked = {**LLAMA_8B, "model": "llama-3.1-8b", "parallelism": {"tp": 97}}
    why = sim.run({**asked, "training": {**LLAMA_8B["training"], "global_batch_size": 1}}).infeasible
    assert why["smallest_change"]
    assert "heads" in why["reason"]


# --- memory ---------------------------------------------------------------------------------------------------------


def test_tensor_parallelism_is_proposed_within_a_scale_up_domain() -> None:
    llama = decoder(
        num_hidden_layers=80,
        hidden_size=8192,
        intermediate_size=28672,
        num_attention_heads=64,
        num_key_value_heads=8,
        vocab_size=128256,
    )
    whole = Layout(tp=8, sequence_parallel=1, recompute=2)
    for domain in (8, 64):
        degrees = {int(x.tp) for _, x in advice.changes(llama, whole, gpus_per_node=domain)}
        assert max(degrees) == domain
    found = memory.smallest_change(llama, whole, capacity=24e9)
    assert found is not None
    assert found.change.startswith("pp 1 -> ")


def test_replicas_that_are_proposed_shard_what_the_software_can() -> None:
    llama = decoder(num_hidden_layers=7, hidden_size=4096, num_attention_heads=1, vocab_size=32000)
    whole = Layout(recompute=2)
    changes = dict(advice.more_gpus(llama, whole))
    assert "dp 1 -> 2, 2 times the accelerators, zero_stage 0 -> 3" in changes
    assert changes["dp 1 -> 2, 2 times the accelerators, zero_stage 0 -> 3"].zero_stage == 3
    assert "dp 1 -> 2, 2 times the accelerators, zero_stage 0 -> 1" in dict(
        advice.more_gpus(llama, whole, most_zero=1)
    )


def test_what_does_not_fit_is_told_of_a_pipeline_that_runs() -> None:
    why = sim.run("does-not-fit").infeasible
    assert why["smallest_change"].startswith("pp 1 -> 2, 2 times the accelerators")
    wider = ["hardware.n_gpus=16", "parallelism.pp=2"]
    assert sim.run("does-not-fit", set=wider).feasible


LLAMA_405B = {
    "model": "llama-3.1-405b",
    "training": {"tokens": "15T", "seq_length": 8192, "global_batch_tokens": "16M"},
    "hardware": {"accelerator": "h100-sxm-80gb", "n_gpus": 24576},
}


def test_a_rounded_batch_may_have_fewer_micro_batches_than_stages() -> None:
    """The nearest batches leave ten micro-batches for sixteen stages, which a batch in sequences always could."""
    result = sim.run(LLAMA_405B)
    assert result.feasible
    assert abs(result.answer["global_batch_tokens"] / 16e6 - 1) <= 0.05
    assert result.answer["num_microbatches"] < result.answer["pp"]
    assert sim.run(LLAMA_405B, set=["training.global_batch_tokens=16121856"]).feasible


def test_batches_that_are_named_in_tokens_run_when_they_are_asked_for() -> None:
    asked = {**LLAMA_405B, "hardware": {**LLAMA_405B["hardware"], "n_gpus": 8 * 509}}
    why = sim.run(asked, set=["training.global_batch_tokens=3M"]).infeasible
    near = re.findall(r"global_batch_tokens ([\d,]+)", why["smallest_change"])
    assert near
    for tokens in near:
        assert sim.run(asked, set=[f"training.global_batch_tokens={tokens.replace(',', '')}"]).feasible
