"""What texts say: amounts that fit, names that keep their letters, and errors that tell what to write."""

from __future__ import annotations

import re
from typing import Any

import pytest

import simulator as sim
from simulator.errors import SpecError
from simulator.report import decision, growth, nomenclature, sensitivity, software
from simulator.report.text import WIDTH, on_paper, table
from simulator.schema import Cluster, load_scenario
from simulator.units import QuantityError, parse_price, parse_quantity

SMALL: dict[str, Any] = {
    "model": {"num_hidden_layers": 12, "hidden_size": 768, "num_attention_heads": 12},
    "training": {"tokens": "1B", "seq_length": 1024, "global_batch_size": 64},
    "hardware": {"accelerator": "a100-sxm-80gb", "n_gpus": 8, "price": "$2/GPU-h"},
}


def asked(path: str, value: str) -> str:
    """The complaint about one setting of a small run."""
    with pytest.raises(SpecError) as caught:
        load_scenario(SMALL, (f"{path}={value}",))
    return str(caught.value)


# --- pages --------------------------------------------------------------------------------------------------------------


def test_small_values_of_inputs_are_whole_in_the_table() -> None:
    found = sim.run({**SMALL, "find": "estimate"}).sensitivity()
    with on_paper():
        lines = sensitivity.page(found).splitlines()
    assert not [line for line in lines if "..." in line]
    assert [line for line in lines if re.search(r"\de-\d to ", line)]


def test_stages_of_growth_are_never_cut_off() -> None:
    sizes = ((5.22e9, 0.354, 1), (1.02e10, 3.02, 2), (2.01e10, 6.6, 3))
    stages = [{"params": p, "time_days": days, "stage": n} for p, days, n in sizes]
    case = {
        "kappa": 1.1,
        "stages": stages,
        "loss": 2.1,
        "loss_gain": -0.0123,
        "loss_scratch": 2.2,
        "saving": -0.111,
        "pays": False,
        "break_even_kappa": 1.2,
    }
    rows = growth.case_rows({"follows": "central", "cases": {"pessimistic": case, "central": case}})
    with on_paper():
        lines = table(growth.CASE_HEADS, growth.wrapped(rows), left=(0, 2, 7), gap=1)
    assert max(map(len, lines)) <= WIDTH
    assert sum("5.22B 8.5 h > 10.2B 3 days >" in line for line in lines) == 2
    assert sum(line.strip() == "20.1B 6.6 days" for line in lines) == 2


def test_hours_between_interruptions_have_no_power_of_ten() -> None:
    run = {**SMALL, "find": "estimate", "training": {**SMALL["training"], "tokens": "100B"}}
    days = sim.run(run).answer["time_to_train_days"]
    text = sim.run({**run, "budget": {"time": f"{1.0005 * days} days"}}).explain("interruptions")
    assert re.search(r"one interruption per \d{1,3},\d{3} accelerator-hours", text)


def test_few_tokens_that_are_needed_are_written_in_millions() -> None:
    change = {"require": {"loss": 6.0}, "training": {**SMALL["training"], "tokens": "100k"}}
    told = sim.run({**SMALL, **change, "find": "estimate"}).infeasible["smallest_change"]
    assert re.fullmatch(r"train on [\d.]+M tokens", told)


@pytest.mark.parametrize(
    ("change", "start"),
    [
        ({"require": {"accuracy": {"mmlu": "90 %"}}}, "mmlu 90 % is required, "),
        ({"require": {"loss": 2.0}}, "Loss 2 is required, "),
        ({"budget": {"max_gpus": 4}}, "n_gpus exceeds budget.max_gpus."),
    ],
)
def test_a_reason_is_said_once_and_names_keep_their_letters(change: dict[str, Any], start: str) -> None:
    text = decision.decision(sim.run({**SMALL, **change, "find": "estimate"}).to_dict())
    assert start in text
    assert not re.search(r"Mmlu|N_gpus|Loss: loss", text)


def test_one_accelerator_is_no_plural() -> None:
    alone = {"hardware": {**SMALL["hardware"], "n_gpus": 1}}
    told = sim.run({**SMALL, **alone, "find": "estimate"}).assumptions
    assert not [text for text in told if re.search(r"\b1 accelerators", text)]


# --- errors -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["€2/GPU-h", "2 EUR/GPU-h", "£2/node-h"])
def test_other_currencies_are_named_as_such(text: str) -> None:
    with pytest.raises(
        QuantityError, match=r"not in US dollars, the only currency; convert it, and write \$"
    ):
        parse_price(text)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        (2.5, "write $2.50/GPU-h, $2.50/node-h or $2.50/GPU"),
        ("$3", "write $3/GPU-h, $3/node-h or $3/GPU"),
        ("2.5/GPU-h", "write $2.50/GPU-h"),
        ("25k/GPU", "write $25k/GPU"),
        ("2/h", "write $2/GPU-h or $2/node-h"),
        ("cheap", "write $2.99/GPU-h, $24/node-h or $25000/GPU"),
    ],
)
def test_a_price_without_dollars_is_suggested_with_its_own_amount(text: Any, hint: str) -> None:
    with pytest.raises(QuantityError) as caught:
        parse_price(text)
    assert caught.value.hint == hint


def test_so_is_an_amount() -> None:
    with pytest.raises(QuantityError) as caught:
        parse_quantity("60k", "USD")
    assert caught.value.hint == "write $60k"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("-1", "-1 is out of range\n  it must be greater than 0"),
        ("20", "20 is out of range\n  it must be at most 10"),
        ("often", "'often' is not one of pessimistic, central, optimistic, and no number"),
    ],
)
def test_a_word_or_a_number_is_judged_as_what_it_is(value: str, words: str) -> None:
    assert words in asked("growth.kappa", value)


def test_an_accelerator_that_is_not_known_may_be_described() -> None:
    text = asked("hardware.accelerator", "rtx9999")
    assert "describe it in a YAML file of your own" in text
    assert "docs/hardware.md" in text


def test_a_plain_number_is_no_share() -> None:
    with pytest.raises(SpecError, match=r"pue: '115 %' is not a number\n  write 1\.15"):
        Cluster.model_validate({"name": "c", "pue": "115 %", "source": "x", "retrieved": "2026-11-21"})


# --- pages that are written -----------------------------------------------------------------------------------------------


def test_the_page_of_names_knows_the_sets_of_ones_own() -> None:
    row = next(line for line in nomenclature.page().splitlines() if line.startswith("| `evidence` |"))
    assert "`own`: sets of one's own, each with its file, table, rows and organisations" in row


def test_the_page_of_software_says_that_lora_casts_nothing() -> None:
    row = next(line for line in software.page().splitlines() if line.startswith("| `hf` |"))
    assert row.endswith("| yes, unless LoRA |")
