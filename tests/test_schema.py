"""The schema: what is accepted, and one clear error per mistake."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from simulator import library
from simulator.errors import SpecError
from simulator.schema import (
    Accelerator,
    Cluster,
    Hardware,
    Model,
    PriceChoice,
    Rent,
    Scenario,
    Training,
    load_accelerator,
    load_scenario,
    load_spec,
    quote,
    quotes,
)
from simulator.schema.jsonschema import SCHEMAS, text_of
from simulator.schema.load import CLASSES
from simulator.schema.problems import fields_at
from simulator.schema.synonyms import FIELDS, VALUES

ROOT = Path(__file__).resolve().parent.parent

CARD = {
    "name": "Card",
    "memory": "80 GB",
    "memory_bandwidth": "3.35 TB/s",
    "peak_flops": {"bf16": "989 TFLOP/s"},
    "source": "datasheet, page 2",
    "retrieved": "2026-11-21",
}
SHAPE = {"num_hidden_layers": 32, "hidden_size": 4096, "num_attention_heads": 32}
PLAN: dict[str, Any] = {"model": SHAPE, "hardware": {"accelerator": CARD, "n_gpus": 64}}


def problems(data: dict[str, Any], cls: Any = Scenario) -> list[tuple[str, str, str]]:
    with pytest.raises(SpecError) as caught:
        cls.model_validate(data)
    return [(p.path, p.reason, p.hint) for p in caught.value.problems]


def from_text(tmp_path: Path, text: str, **options: Any) -> Scenario:
    path = tmp_path / "scenario.yaml"
    path.write_text(text)
    return load_scenario(path, **options)


def mistakes(tmp_path: Path, text: str, **options: Any) -> list[tuple[int | None, str, str, str]]:
    with pytest.raises(SpecError) as caught:
        from_text(tmp_path, text, **options)
    return [(p.line, p.path, p.reason, p.hint) for p in caught.value.problems]


# --- what is accepted ------------------------------------------------------------------------------


def test_the_scenario_of_the_design_is_read(tmp_path: Path) -> None:
    scenario = from_text(
        tmp_path,
        """
name: Ten days on 64 H100s
find: architecture
budget: {time: 10 days, cost: $60k}
hardware: {accelerator: h100-sxm-80gb, n_gpus: 64, price: $2.99/GPU-h}
training: {seq_length: 4096, precision: bf16, unique_tokens: 400B}
law: Besiroglu2024
growth: {operator: hypercloning, max_stages: 2}
""",
    )
    (hardware,) = scenario.hardware
    assert hardware.accelerator == load_accelerator("h100-sxm-80gb")
    assert hardware.price == Rent(usd=2.99, per="GPU-hour")
    assert (scenario.budget.time, scenario.budget.cost) == (864_000, 60_000)
    assert scenario.training.unique_tokens == 400e9
    assert scenario.clock == "memory_copies"


def test_an_accelerator_needs_ten_lines_or_fewer() -> None:
    card = Accelerator.model_validate(CARD)
    assert (card.memory, card.memory_bandwidth, card.peak_flops.bf16) == (80e9, 3.35e12, 989e12)
    assert len(CARD) <= 10
    assert not card.measured


def test_both_directions_of_a_link_are_halved() -> None:
    link = {"bandwidth": "900 GB/s", "directions": "both"}
    card = Accelerator.model_validate({**CARD, "link": link})
    assert card.link is not None
    assert card.link.one_way == 450e9


def test_a_link_must_say_how_it_counts() -> None:
    found = problems({**CARD, "link": {"bandwidth": "900 GB/s"}}, Accelerator)
    assert found[0][:2] == ("link.directions", "is missing")


def test_bare_numbers_are_si_in_python_and_refused_in_files(tmp_path: Path) -> None:
    assert Scenario.model_validate({**PLAN, "budget": {"time": 3600}}).budget.time == 3600
    found = mistakes(tmp_path, "model: {}\nbudget: {time: 3600}\n")
    assert (2, "budget.time", "3600 has no unit", "write 3600 min, 3600 h or 3600 days") in found


def test_one_hardware_is_a_list_of_one() -> None:
    two = {**PLAN, "hardware": [PLAN["hardware"], {**PLAN["hardware"], "n_gpus": 32}]}
    assert [h.n_gpus for h in Scenario.model_validate(two).hardware] == [64, 32]
    assert len(Scenario.model_validate(PLAN).hardware) == 1


def test_hardware_as_schedulers_write_it() -> None:
    scenario = Scenario.model_validate({**PLAN, "hardware": "h100-sxm-80gb:256"})
    assert scenario.hardware[0].n_gpus == 256
    assert scenario.hardware[0].accelerator.id == "h100-sxm-80gb"


def test_inline_fields_may_extend_a_shipped_specification() -> None:
    inline = {"extends": "h100-sxm-80gb", "memory": "96 GB"}
    card = Hardware.model_validate({"accelerator": inline}).accelerator
    assert card.memory == 96e9
    assert card.peak_flops.bf16 == 989e12
    assert card.id is None
    assert not card.measured


def test_with_makes_a_checked_copy() -> None:
    scenario = Scenario.model_validate(PLAN)
    changed = scenario.with_({"hardware.n_gpus": 128, "training.tokens": "1T"}, seed=3)
    assert changed.hardware[0].n_gpus == 128
    assert changed.training.tokens == 1e12
    assert changed.seed == 3
    assert scenario.hardware[0].n_gpus == 64
    assert (
        scenario.with_(training={"tokens": 2e12}).with_(training={"seq_length": 8192}).training.tokens == 2e12
    )
    with pytest.raises(SpecError, match="did you mean seed"):
        scenario.with_(sed=3)


def test_specifications_are_frozen() -> None:
    with pytest.raises(ValidationError):
        Scenario.model_validate(PLAN).seed = 1  # type: ignore[misc]


def test_data_validates_again_to_the_same() -> None:
    scenario = Scenario.model_validate({**PLAN, "budget": {"cost": "$60k"}})
    assert Scenario.model_validate(scenario.model_dump()) == scenario
    assert Scenario.model_validate(json.loads(scenario.model_dump_json())) == scenario


def test_the_order_of_keys_does_not_matter() -> None:
    shuffled = dict(reversed([(k, dict(reversed(v.items()))) for k, v in PLAN.items()]))
    assert Scenario.model_validate(shuffled) == Scenario.model_validate(PLAN)


def test_settings_and_variants(tmp_path: Path) -> None:
    text = """
model: {num_hidden_layers: 32, hidden_size: 4096, num_attention_heads: 32}
hardware: {accelerator: h100-sxm-80gb, n_gpus: 8}
overrides:
  big: {hardware.n_gpus: 64}
scenarios:
  large: [big]
"""
    assert from_text(tmp_path, text, scenario="large").hardware[0].n_gpus == 64
    assert from_text(tmp_path, text, set=["hardware.n_gpus=16"]).hardware[0].n_gpus == 16


def test_the_sizes_of_a_model() -> None:
    model = Model.model_validate({**SHAPE, "position_embedding": "learned", "max_position_embeddings": 2048})
    sizes = model.sizes()
    assert (sizes["head_dim"], sizes["num_key_value_heads"], sizes["learned_positions"]) == (128, 32, 2048)
    assert sizes["intermediate_size"] == 11008
    assert Model.model_validate({**SHAPE, "mlp_type": "gelu"}).sizes()["intermediate_size"] == 16384


def test_sizes_make_the_same_model_again() -> None:
    sizes = Model.model_validate({**SHAPE, "vocab_size": 1000, "tie_word_embeddings": True}).sizes()
    again = Model.from_sizes({**sizes, "qk_norm_size": 256, "attention_output_bias": 1})  # type: ignore[arg-type]
    assert again.sizes() == {**sizes, "qk_norm_size": 256, "attention_output_bias": 1}


def test_the_network_of_a_cluster_is_shared_by_its_accelerators() -> None:
    data = {
        "name": "c",
        "nics_per_node": 4,
        "nic_bandwidth": "400 Gb/s",
        "source": "s",
        "retrieved": "2026-11-21",
    }
    assert Cluster.model_validate(data).network_per_accelerator == 25e9


# --- one clear error per mistake -------------------------------------------------------------------


def test_every_mistake_of_a_file_is_reported_at_once(tmp_path: Path) -> None:
    found = mistakes(
        tmp_path,
        """name: x
model: {num_layers: 32, hidden_size: 4096, num_attention_heads: 32}
training:
  global_batch_sise: 1024
  tokens: 15X
  precision: bfloat16
tensor_model_parallel_size: 8
hardware:
  n_gpus: 12.5
  accelerator: h10-sxm-80gb
  price: $2.99/h
budget: {time: 10 GB, cost: 60k}
growth: {kappa: best}
""",
    )
    assert found == [
        (2, "model.num_layers", "unknown field", "`num_layers` is called `num_hidden_layers` here"),
        (4, "training.global_batch_sise", "unknown field", "did you mean global_batch_size?"),
        (5, "training.tokens", "unknown unit 'X' for token", "write 15T or 400B tokens or 1.5e9"),
        (
            6,
            "training.precision",
            "'bfloat16' is not one of fp32, tf32, fp16, bf16, fp8, fp4",
            "`bfloat16` is called `bf16` here",
        ),
        (
            7,
            "tensor_model_parallel_size",
            "unknown field",
            "`tensor_model_parallel_size` is called `tp` here, and belongs under `parallelism`",
        ),
        (9, "hardware.n_gpus", "12.5 is not a whole number", ""),
        (10, "hardware.accelerator", "no accelerator named 'h10-sxm-80gb'", found[6][3]),
        (11, "hardware.price", "'$2.99/h' does not say per what", "write $2.99/GPU-h or $2.99/node-h"),
        (12, "budget.time", "'10 GB' is in byte, expected second", "write 10 days or 36 h or 20 us"),
        (12, "budget.cost", "'60k' has no currency", "write $60k"),
        (13, "growth.kappa", "'best' is not one of pessimistic, central, optimistic, and no number", ""),
    ]
    assert "h100-sxm-80gb" in found[6][3]


@pytest.mark.parametrize("foreign", sorted(FIELDS))
def test_every_foreign_spelling_leads_to_ours(foreign: str) -> None:
    ours = FIELDS[foreign]
    blocks = {"model", "training", "parallelism", "hardware", "budget", "growth"}
    blocks |= {"inference", "require", "reliability"}
    homes = [b for b in blocks if ours in fields_at(Scenario, (b,))]
    card_or_scenario = ours in Accelerator.model_fields or ours in Scenario.model_fields
    assert homes or card_or_scenario, f"{foreign} leads to {ours}, which no specification has"
    for block in homes:
        if foreign in fields_at(Scenario, (block,)):
            continue
        (hint,) = [
            h for p, r, h in problems({**PLAN, block: {foreign: 1}}) if p.endswith(f"{block}.{foreign}")
        ]
        assert hint == f"`{foreign}` is called `{ours}` here"


def test_every_foreign_value_leads_to_one_that_is_allowed() -> None:
    text = json.dumps([json.loads(text_of(name)) for name in SCHEMAS])
    for field, values in VALUES.items():
        for ours in values.values():
            assert f'"{ours}"' in text, f"{field}: {ours}"


@pytest.mark.parametrize(
    ("change", "path", "words"),
    [
        ({"model": None}, "find", "an estimate needs a model"),
        ({"hardware": {"accelerator": CARD}}, "hardware", "needs the number of accelerators"),
        ({"find": "architecture"}, "find", "needs a budget"),
        ({"find": "growth"}, "find", "needs a budget"),
        ({"find": "hardware", "model": None}, "find", "needs a model or a budget"),
        ({"training": {"tokens": "1T", "steps": 5}}, "training.steps", "both given"),
        (
            {"training": {"global_batch_size": 5, "global_batch_tokens": "4M"}},
            "training.global_batch_tokens",
            "both given",
        ),
        (
            {"training": {"global_batch_tokens": 1024}},
            "training.global_batch_tokens",
            "fewer tokens than one",
        ),
        ({"training": {"lora_rank": 8}}, "training.lora_rank", "without `trainable: lora`"),
        ({"parallelism": {"tp": 3}}, "parallelism", "tp = 3 does not divide n_gpus 64"),
        ({"parallelism": {"tp": 8, "pp": 4, "dp": 4}}, "parallelism.dp", "differs from n_gpus 64"),
        ({"parallelism": {"zero_stage": 4}}, "parallelism.zero_stage", "out of range"),
        ({"parallelism": {"pp": 1, "vp": 2}}, "parallelism.vp", "need a pipeline"),
        ({"parallelism": {"tp": True}}, "parallelism.tp", "true is not a whole number"),
        ({"parallelism": {"tp": "8"}}, "parallelism.tp", "'8' is not a whole number"),
        ({"model": {**SHAPE, "hidden_size": 4097}}, "model.hidden_size", "not a multiple"),
        ({"model": {**SHAPE, "num_key_value_heads": 5}}, "model.num_key_value_heads", "does not divide"),
        ({"model": {**SHAPE, "num_experts": 8}}, "model.num_experts_per_tok", "experts per token"),
        ({"model": {**SHAPE, "num_experts_per_tok": 2}}, "model.num_experts", "no experts"),
        ({"model": {**SHAPE, "position_embedding": "learned"}}, "model.position_embedding", "max_position"),
        ({"goodput": 1.5}, "goodput", "out of range"),
        ({"goodput": "150 %"}, "goodput", "out of range"),
        ({"budget": {"time": "-3 days"}}, "budget.time", "out of range"),
        ({"budget": {"cost": "$0"}}, "budget.cost", "out of range"),
        ({"hardware": []}, "hardware", "has 0 entries"),
        ({"hardware": 3}, "hardware", "no accelerator named '3'"),
        ({"hardware": {"accelerator": 3, "n_gpus": 8}}, "hardware.accelerator", "no accelerator named '3'"),
        ({"hardware": True}, "hardware", "where fields were expected"),
        ({"parallelism": {"ep": 4}}, "parallelism.ep", "ep needs a mixture of experts; this model has none"),
        ({"model": "no-such-model"}, "model", "no model named"),
        ({"model": "nowhere/config.json"}, "model", ""),
        ({"scenarios": {"a": ["b"]}}, "scenarios.a", "no override named 'b'"),
        ({"growth": {"max_stages": 0}}, "growth.max_stages", "out of range"),
        ({"seed": -1}, "seed", "out of range"),
        ({"price": "$3/GPU-h"}, "price", "unknown field"),
    ],
)
def test_each_contradiction_has_its_own_sentence(change: dict[str, Any], path: str, words: str) -> None:
    found = problems({k: v for k, v in {**PLAN, **change}.items() if v is not None})
    assert len(found) == 1, found
    assert found[0][0] == path
    assert words in found[0][1]


@pytest.mark.parametrize(
    ("change", "paths"),
    [
        (
            {
                "parallelism": {"tp": 16, "pp": 3, "dp": 5},
                "training": {"tokens": "1B", "global_batch_size": 7},
            },
            {"parallelism", "parallelism.dp", "training.global_batch_size"},
        ),
        (
            {
                "model": {**SHAPE, "num_attention_heads": 36, "head_dim": 128},
                "parallelism": {"tp": 8, "ep": 2},
            },
            {"parallelism.ep", "parallelism.tp"},
        ),
        ({"parallelism": {"pp": 64, "dp": 2}}, {"parallelism.dp", "parallelism.pp"}),
    ],
)
def test_contradictions_of_a_layout_are_named_together(change: dict[str, Any], paths: set[str]) -> None:
    assert {path for path, _, _ in problems({**PLAN, **change})} == paths


def test_a_batch_that_does_not_divide_is_an_answer_and_no_mistake() -> None:
    changed = {**PLAN, "training": {"global_batch_size": 7}, "parallelism": {"tp": 1, "dp": 64}}
    assert Scenario.model_validate(changed).training.global_batch_size == 7


def test_experts_are_spread_where_there_are_some() -> None:
    mixture = {**SHAPE, "num_experts": 8, "num_experts_per_tok": 2}
    assert Scenario.model_validate({**PLAN, "model": mixture, "parallelism": {"ep": 4}}).parallelism.ep == 4
    searched = {"find": "architecture", "budget": {"time": "1 day"}, "hardware": PLAN["hardware"]}
    assert "no model is given" in problems({**searched, "parallelism": {"ep": 4}})[0][1]


def test_a_name_that_yaml_reads_as_a_number_is_a_name() -> None:
    asked = Scenario.model_validate({**PLAN, "hardware": {"accelerator": 3090, "n_gpus": 8}})
    assert asked.hardware[0].accelerator.id == "rtx-3090-24gb"
    ((_, reason, hint),) = problems({**PLAN, "hardware": {"accelerator": 309, "n_gpus": 8}})
    assert reason == "no accelerator named '309'"
    assert "rtx-3090-24gb" in hint


def test_torch_is_answered_as_pytorch_is() -> None:
    assert problems({**PLAN, "software": "torch"})[0][2] == "`torch` is called `fsdp` here"


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"find": "architecture", "budget": {"time": "1 day"}}, "find"),
        ({"require": {"loss": 2.0}}, "require"),
        ({"objective": ["cost", "loss"]}, "objective"),
        ({"growth": {}}, "growth"),
        ({"find": "hardware", "model": None, "budget": {"time": "1 day"}}, "training.trainable"),
    ],
)
def test_a_fine_tune_is_not_asked_what_rests_on_a_law_of_loss(change: dict[str, Any], path: str) -> None:
    asked = {**PLAN, "training": {"tokens": "1B", "trainable": "lora"}, **change}
    assert [each[0] for each in problems({k: v for k, v in asked.items() if v is not None})] == [path]


def test_a_field_of_another_block_is_sent_there() -> None:
    assert problems({**PLAN, "price": "$3/GPU-h"})[0][2] == "`price` belongs under `hardware`"
    assert problems({**PLAN, "tokens": "1T"})[0][2] == "`tokens` belongs under `training`"


def test_a_broken_file_that_a_scenario_names_is_shown_itself(tmp_path: Path) -> None:
    (tmp_path / "card.yaml").write_text("name: Card\nmemory: 80\n")
    found = mistakes(tmp_path, "model: {}\nhardware: {accelerator: ./card.yaml, n_gpus: 8}\n")
    assert any(line == 2 and reason == "80 has no unit" for line, _, reason, _ in found)


def test_the_id_is_the_file_name(tmp_path: Path) -> None:
    path = tmp_path / "card.yaml"
    path.write_text(json.dumps({**CARD, "id": "other"}))
    with pytest.raises(SpecError, match="differs from the file name"):
        load_accelerator(str(path))


# --- prices ----------------------------------------------------------------------------------------


def test_a_rent_per_node_is_divided_by_the_node() -> None:
    hardware = Hardware.model_validate(
        {"accelerator": CARD, "price": "$24/node-h", "accelerators_per_node": 4}
    )
    found = quote(hardware)
    assert found is not None
    assert found.usd_per_gpu_hour == 6


def test_a_purchase_is_no_rent() -> None:
    found = quote(Hardware.model_validate({"accelerator": CARD, "price": "$25k/GPU"}))
    assert found is not None
    assert (found.usd_per_gpu_hour, found.usd_per_gpu) == (None, 25_000)


def test_prices_come_from_the_books_with_provider_terms_and_date() -> None:
    offers = quotes("h100-sxm-80gb", terms="on_demand")
    rents = [q.usd_per_gpu_hour for q in offers]
    assert rents == sorted(rents)  # type: ignore[type-var]
    assert all(q.provider and q.date and q.source for q in offers)
    found = quote(Hardware.model_validate({"accelerator": "h100-sxm-80gb"}))
    assert found in offers
    chosen = {"accelerator": "h100-sxm-80gb", "price": {"provider": offers[0].provider}}
    hardware = Hardware.model_validate(chosen)
    assert isinstance(hardware.price, PriceChoice)
    own = [q for q in offers if q.provider == offers[0].provider]
    newest = max(q.newest for q in own if q.newest)
    assert quote(hardware) == next(q for q in own if q.newest == newest)  # of that day the cheapest


def test_an_accelerator_without_prices_has_no_quote() -> None:
    assert quote(Hardware.model_validate({"accelerator": CARD})) is None


# --- what ships ------------------------------------------------------------------------------------

SHIPPED = [
    (kind, name) for kind in ("accelerators", "clusters", "prices", "models") for name in library.names(kind)
]


@pytest.mark.parametrize(("kind", "name"), SHIPPED)
def test_every_shipped_specification_is_valid(kind: str, name: str) -> None:
    assert load_spec(kind, name).id == name


@pytest.mark.parametrize("name", library.names("scenarios"))
def test_every_shipped_scenario_is_valid(name: str) -> None:
    scenario = load_scenario(name)
    for variant in scenario.scenarios:
        load_scenario(name, scenario=variant)


FILES = [path for kind in CLASSES for path in library.files(kind)]


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_every_shipped_file_points_to_its_schema(path: Path) -> None:
    first = path.read_text(encoding="utf-8").splitlines()[0]
    match = re.fullmatch(r"# yaml-language-server: \$schema=(\S+)", first)
    assert match, first
    target = (path.parent / match.group(1)).resolve()
    assert target.is_file(), target
    assert target.parent == ROOT / "schemas"


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_json_schemas_are_fresh(name: str) -> None:
    path = ROOT / "schemas" / f"{name}.json"
    assert path.read_text(encoding="utf-8") == text_of(name), "run make schemas"


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_field_is_described_and_every_quantity_has_examples(name: str) -> None:
    schema = json.loads(text_of(name))
    for owner in (schema, *schema.get("$defs", {}).values()):
        for field, described in owner.get("properties", {}).items():
            assert described.get("description") or "usd" in field or field == "per", f"{name}: {field}"


def test_defaults_are_those_that_the_documentation_states() -> None:
    training = Training()
    assert (training.seq_length, training.precision, training.optimizer) == (4096, "bf16", "adamw")
    assert training.flash_attention


def test_a_count_of_tokens_without_its_billions_is_noticed() -> None:
    with pytest.raises(SpecError) as caught:
        load_scenario(
            {"model": "llama-2-7b", "hardware": "h100-sxm-80gb:8", "training": {"tokens": 100}}, ["seed=1"]
        )
    assert "less than one sequence of 4096" in str(caught.value)
    assert "write 100B" in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ("training.framework=fsdp", "`framework` is called `software` here, and belongs at the top level"),
        ("hardware.find=estimate", "`find` belongs at the top level"),
        ("training.global_batch_size=4M tokens", "it counts sequences; write global_batch_tokens: 4M"),
        ("training.seq_length=8k", "write 8192"),
    ],
)
def test_what_people_write_first_is_led_to_its_place(changes: str, told: str) -> None:
    question = {"model": "llama-2-7b", "hardware": {"accelerator": "h100-sxm-80gb", "n_gpus": 8}}
    with pytest.raises(SpecError) as caught:
        load_scenario({**question, "training": {"tokens": "1B"}}, [changes])
    assert told in str(caught.value)


TWO = [{"accelerator": "h100-sxm-80gb", "n_gpus": 8}, {"accelerator": "a100-sxm-80gb", "n_gpus": 8}]


@pytest.mark.parametrize(
    ("hardware", "setting", "counts"),
    [
        (TWO, "hardware[1].n_gpus=32", [8, 32]),
        (TWO[0], "hardware[0].n_gpus=32", [32]),
        (TWO[0], "hardware.0.n_gpus=32", [32]),
        (TWO[:1], "hardware[0].n_gpus=32", [32]),
        (TWO[0], "hardware.n_gpus=1e3", [1000]),
        (TWO[0], "hardware.0={accelerator: h100-sxm-80gb, n_gpus: 16}", [16]),
    ],
)
def test_entries_and_counts_as_people_write_them(hardware: Any, setting: str, counts: list[int]) -> None:
    question = {"model": "llama-2-7b", "hardware": hardware, "training": {"tokens": "1B"}}
    assert [each.n_gpus for each in load_scenario(question, [setting]).hardware] == counts


@pytest.mark.parametrize(
    ("hardware", "setting", "told"),
    [
        (TWO, "hardware[2].n_gpus=32", ("hardware has 2 entries, none is number 2", "counted from 0 to 1")),
        (TWO[0], "hardware[1].n_gpus=32", ("hardware has 1 entry, none is number 1", "is hardware.0")),
        (TWO[:1], "hardware.7.n_gpus=32", ("hardware has 1 entry, none is number 7", "is hardware.0")),
        (TWO, "hardware.n_gpus=32", ("hardware has 2 entries", "counted from 0 to 1")),
        (TWO[0], "hardware.n_gpus=1000.0", ("1000.0 is read as a number with a point", "write 1000")),
        (TWO[0], "hardware.n_gpus=1.5", ("1.5 is not a whole number",)),
    ],
)
def test_an_entry_that_is_not_there(hardware: Any, setting: str, told: tuple[str, ...]) -> None:
    question = {"model": "llama-2-7b", "hardware": hardware, "training": {"tokens": "1B"}}
    with pytest.raises(SpecError) as caught:
        load_scenario(question, [setting])
    for words in told:
        assert words in str(caught.value)
