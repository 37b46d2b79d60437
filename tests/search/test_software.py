"""Stacks get no layouts that they do not have, unless the scenario fixes them."""

from __future__ import annotations

import typing

import pytest

import simulator as sim
from simulator import memory
from simulator.layout import Layout
from simulator.schema.scenario import Software
from simulator.search import software
from simulator.transformer import decoder

FINE_TUNE = {
    "model": "llama-3.1-8b",
    "software": "hf",
    "training": {"tokens": "300M", "seq_length": 4096, "global_batch_size": 64, "from_pretrained": True},
    "hardware": {"accelerator": "a100-sxm-80gb", "n_gpus": 8},
}
LORA = {
    "model": "llama-3.1-70b",
    "software": "hf",
    "training": {"tokens": "50M", "seq_length": 2048, "global_batch_size": 32, "trainable": "lora"},
    "hardware": {"accelerator": "h100-sxm-80gb", "n_gpus": 8},
}


def told(result: sim.Result) -> list[str]:
    """What is said of choices that the software does not have."""
    return [each["message"] for each in result.warnings if each["id"] == "software"]


@pytest.mark.parametrize("asked", [FINE_TUNE, LORA], ids=["8B", "70B with adapters"])
def test_the_trainer_gets_data_parallelism_alone_and_finds_zero_3(asked: dict[str, typing.Any]) -> None:
    found = sim.run(asked)
    assert found.feasible
    for plan in (found.answer, *found.alternatives):
        assert [plan[name] for name in ("tp", "pp", "cp", "ep", "sequence_parallel")] == [1, 1, 1, 1, False]
    assert found.answer["zero_stage"] == 3
    assert not told(found)


def test_what_the_scenario_fixes_is_taken_and_warned_of() -> None:
    found = sim.run(FINE_TUNE, set=["parallelism.tp=2", "parallelism.pp=2"])
    assert (found.answer["tp"], found.answer["pp"], found.answer["sequence_parallel"]) == (2, 2, False)
    assert len(told(found)) == 2
    assert all(f"parallelism.{name} 2" in text for name, text in zip(("tp", "pp"), told(found), strict=True))
    assert not told(sim.run(FINE_TUNE, set=["parallelism.tp=1"]))


@pytest.mark.parametrize(
    ("name", "asked", "split"),
    [
        ("deepspeed", [], False),
        ("deepspeed", ["parallelism.sequence_parallel=true"], True),
        ("megatron", [], True),
        ("megatron", ["parallelism.sequence_parallel=false"], False),
        ("nanotron", [], True),
        ("fsdp", [], True),
    ],
)
def test_sequence_parallelism_is_where_the_stack_has_it_or_the_scenario_says_so(
    name: str, asked: list[str], split: bool
) -> None:
    found = sim.run(FINE_TUNE, set=[f"software={name}", "parallelism.tp=4", *asked])
    assert found.answer["sequence_parallel"] is split
    assert bool(told(found)) is (name == "deepspeed" and split)


def test_long_sequences_are_not_split_by_a_stack_without_ring_attention() -> None:
    asked = {**FINE_TUNE, "training": {**FINE_TUNE["training"], "seq_length": 32768, "global_batch_size": 16}}
    split = ["hardware.accelerator=h100-sxm-80gb", "hardware.n_gpus=32"]
    degrees = {
        name: sim.run(asked, set=[*split, f"software={name}"]).answer["cp"]
        for name in ("megatron", "nanotron")
    }
    assert degrees["megatron"] > degrees["nanotron"] == 1


def test_advice_does_not_ask_for_what_the_stack_lacks() -> None:
    why = sim.run(FINE_TUNE, set=["model=llama-3.1-70b"]).infeasible
    assert why["reason"] == "memory"
    assert not any(word in why["smallest_change"].split() for word in ("tp", "pp"))
    assert why["smallest_change"].startswith("dp 8 -> ")
    llama = decoder(num_hidden_layers=80, hidden_size=8192, num_attention_heads=64, vocab_size=128256)
    fewest = memory.fewest_gpus(llama, Layout(zero_stage=3, recompute=2), capacity=80e9, without=("tp", "pp"))
    assert fewest is not None
    assert (fewest.layout.tp, fewest.layout.pp, fewest.layout.sequence_parallel) == (1, 1, 0)


def test_the_table_names_stacks_and_fields_that_there_are() -> None:
    assert set(software.LACKS) <= set(typing.get_args(Software))
    for lacks in software.LACKS.values():
        assert set(lacks) <= set(software.SPLITS)
        assert "tp" not in lacks or "sequence_parallel" in lacks


def test_what_no_number_of_accelerators_helps_asks_for_other_software() -> None:
    """Sequences of 131,072 tokens, fewer of them than accelerators: without a split of the sequence no layout divides."""
    why = sim.run("long-context", set=["software=hf"]).infeasible
    assert why["smallest_change"].startswith("take software that has ")
    assert "cp " in why["smallest_change"]
    assert sim.run("long-context", set=["software=fsdp"]).feasible


def test_deepspeed_gets_zero_3_without_tensor_parallelism_unless_both_are_fixed() -> None:
    asked = {**FINE_TUNE, "model": "llama-3.1-70b", "software": "deepspeed"}
    wide = ["hardware.n_gpus=64", "hardware.accelerator=h100-sxm-80gb"]
    found = sim.run(asked, set=wide)
    for plan in (found.answer, *found.alternatives):
        assert plan["tp"] == 1 or plan["zero_stage"] < 3
    both = sim.run(asked, set=[*wide, "parallelism.tp=8", "parallelism.pp=1", "parallelism.zero_stage=3"])
    assert (both.answer["tp"], both.answer["zero_stage"]) == (8, 3)
    why = sim.run(asked, set=["parallelism.pp=1"]).infeasible
    assert why["reason"] == "memory"
    assert "tp " not in why["smallest_change"] or "zero_stage" not in why["smallest_change"]
