"""config.json of published models: exact counts, defaults, and errors without a traceback."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from simulator import library
from simulator.errors import SpecError
from simulator.importers.families import FAMILIES
from simulator.importers.huggingface import MAX_PARAMETERS, model_type, read_config, supported
from simulator.schema.load import load_spec
from simulator.schema.model import Model
from simulator.transformer import (
    Shape,
    active_parameters,
    embedding_parameters,
    head_parameters,
    multi_token_prediction_parameters,
    non_embedding_parameters,
    parameters,
    shape_of,
)

FOLDER = Path(__file__).parent / "data" / "hf"
CONFIGS = {path.stem: json.loads(path.read_text()) for path in sorted(FOLDER.glob("*.json"))}
COUNTS = list(csv.DictReader((FOLDER / "counts.csv").read_text().splitlines()))
LLAMA = CONFIGS["llama-2-7b"]


def counted(name: str) -> int:
    return int(parameters(Shape(**read_config(FOLDER / f"{name}.json"))))


@pytest.mark.parametrize(
    "row", COUNTS, ids=[f"{r['model']}{'+' + r['includes'] if r['includes'] else ''}" for r in COUNTS]
)
def test_count_is_exact(row: dict[str, str]) -> None:
    shape = Shape(**read_config(FOLDER / f"{row['model']}.json"))
    total = int(parameters(shape))
    if row["includes"] == "mtp":
        # Files on the Hub hold the block for multi-token prediction with its own copy of embedding and head.
        total += int(
            multi_token_prediction_parameters(shape) + embedding_parameters(shape) + head_parameters(shape)
        )
    assert total == int(row["parameters"]), row["source"]


def test_every_file_has_a_count_and_enough_are_published() -> None:
    assert {row["model"] for row in COUNTS} == set(CONFIGS)
    assert all(row["source"] for row in COUNTS)
    assert sum(not row["source"].startswith("transformers") for row in COUNTS) >= 60


@pytest.mark.parametrize(
    (
        "name",
        "published",
    ),  # table "total params / non-embedding params" of the EleutherAI model cards; arXiv:2304.01373
    [
        ("pythia-70m", 18915328),
        ("pythia-160m", 85056000),
        ("pythia-410m", 302311424),
        ("pythia-1b", 805736448),
        ("pythia-1.4b", 1208602624),
        ("pythia-2.8b", 2517652480),
        ("pythia-6.9b", 6444163072),
        ("pythia-12b", 11327027200),
    ],
)
def test_non_embedding_count(name: str, published: int) -> None:
    assert int(non_embedding_parameters(Shape(**read_config(CONFIGS[name])))) == published


@pytest.mark.parametrize(
    ("name", "billions"),
    [
        ("mixtral-8x7b", 12.9),  # arXiv:2401.04088: 47B and 13B active
        ("mixtral-8x22b", 39.2),  # mistral.ai/news/mixtral-8x22b: 39B active
        ("deepseek-v3", 37.6),  # arXiv:2412.19437: 37B activated
        ("deepseek-v2", 21.4),  # arXiv:2405.04434: 21B activated
        ("qwen3-30b-a3b", 3.4),  # model card: 3.3B activated (without the embedding's rows)
        ("qwen3-235b-a22b", 22.2),  # model card: 22B activated
        ("dbrx-132b", 36.5),  # model card: 36B active
        ("phi-3.5-moe", 6.6),  # model card: 6.6B active
        ("olmoe-1b-7b", 1.3),  # arXiv:2409.02060: 1.3B active
    ],
)
def test_active_count(name: str, billions: float) -> None:
    assert float(active_parameters(Shape(**read_config(CONFIGS[name])))) / 1e9 == pytest.approx(
        billions, abs=0.05
    )


def test_multi_token_prediction_is_counted_apart() -> None:
    shape = Shape(**read_config(CONFIGS["deepseek-v3"]))
    # README_WEIGHTS.md of DeepSeek-V3 states 11.5 B of its own, without the shared embedding and head.
    assert float(multi_token_prediction_parameters(shape)) == pytest.approx(11.5e9, rel=0.02)
    without = {**CONFIGS["deepseek-v3"], "num_nextn_predict_layers": 0}
    assert int(parameters(Shape(**read_config(without)))) == int(parameters(shape))
    assert int(multi_token_prediction_parameters(Shape(**read_config(without)))) == 0


@pytest.mark.parametrize(
    ("config", "field", "value"),
    [
        ({**LLAMA, "num_key_value_heads": None}, "num_key_value_heads", 32),
        (
            {k: v for k, v in CONFIGS["mistral-7b"].items() if k != "num_key_value_heads"},
            "num_key_value_heads",
            8,
        ),
        ({**CONFIGS["mistral-7b"], "num_key_value_heads": None}, "num_key_value_heads", 32),
        ({**CONFIGS["qwen2.5-7b"], "tie_word_embeddings": None}, "tie_word_embeddings", 0),
        (CONFIGS["gemma-2b"], "tie_word_embeddings", 1),
        (CONFIGS["gemma-3-4b"], "vocab_size", 262208),
        (CONFIGS["gemma-3-4b"], "num_attention_heads", 8),
        (CONFIGS["deepseek-v2-lite"], "q_lora_rank", 0),
        ({k: v for k, v in CONFIGS["deepseek-v2"].items() if k != "q_lora_rank"}, "q_lora_rank", 1536),
        (CONFIGS["bloom-176b"], "intermediate_size", 4 * 14336),
        (CONFIGS["opt-350m"], "learned_positions", 2050),
        (CONFIGS["olmo-7b-old"], "intermediate_size", 11008),
    ],
)
def test_absent_and_null_keys_take_the_default_of_the_family(config: dict, field: str, value: int) -> None:
    assert read_config(config)[field] == value


def test_folder_path_and_mapping_read_alike(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(LLAMA))
    assert read_config(tmp_path) == read_config(tmp_path / "config.json") == read_config(LLAMA)
    assert model_type(CONFIGS["llama-4-scout"]) == "llama4_text"


def test_old_falcon_and_kimi_and_other_names_of_the_same_family() -> None:
    old = {
        "model_type": "RefinedWeb",
        "hidden_size": 8192,
        "n_head": 128,
        "n_head_kv": 8,
        "n_layer": 60,
        "vocab_size": 65024,
    }
    assert int(parameters(Shape(**read_config(old)))) == counted("falcon-40b")
    assert set(supported()) == set(FAMILIES)
    kimi = {**CONFIGS["deepseek-v3"], "model_type": "kimi_k2"}
    assert read_config(kimi) == read_config(CONFIGS["deepseek-v3"])


def test_internlm_is_llama_with_four_biases() -> None:
    internlm = {**LLAMA, "model_type": "internlm", "bias": True}
    assert int(parameters(Shape(**read_config(internlm)))) == counted("llama-2-7b") + 32 * 4 * 4096


# --- errors ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model_type": "lama"}, "did you mean llama or"),
        ({"model_type": "bert"}, "supported: "),
        ({"model_type": None}, "names its model_type"),
        ({"model_type": ["llama"]}, "names its model_type"),
        ({"hidden_size": None}, "hidden_size: missing"),
        ({"hidden_size": "4096"}, "hidden_size: '4096' is not a whole number"),
        ({"hidden_size": 4096.0}, "hidden_size: 4096.0 is not a whole number"),
        ({"hidden_size": float("nan")}, "hidden_size: nan is not a whole number"),
        ({"hidden_size": True}, "hidden_size: True is not a whole number"),
        ({"hidden_size": -4096}, "hidden_size: -4096 is outside 1 to"),
        ({"num_hidden_layers": 0}, "num_hidden_layers: 0 is outside"),
        ({"vocab_size": 10**5000}, "vocab_size: a number of more than 18 digits is outside"),
        ({"hidden_size": 10**8, "head_dim": 128, "intermediate_size": 10**8}, "the sizes make more than"),
        ({"hidden_size": 4097}, "does not divide into 32 heads"),
        ({"num_key_value_heads": 5}, "do not divide into 5 groups"),
        ({"tie_word_embeddings": "yes"}, "tie_word_embeddings: 'yes' is neither true nor false"),
    ],
)
def test_a_mistake_is_named(change: dict, said: str) -> None:
    with pytest.raises(SpecError) as caught:
        read_config({**LLAMA, **change})
    assert said in str(caught.value)


def test_all_mistakes_at_once_with_their_lines(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**LLAMA, "hidden_size": -1, "vocab_size": "many"}, indent=2))
    with pytest.raises(SpecError) as caught:
        read_config(path)
    problems = caught.value.problems
    assert [p.path for p in problems] == ["hidden_size", "vocab_size"]
    lines = path.read_text().splitlines()
    for problem in problems:
        assert problem.line is not None
        assert problem.column is not None
        assert lines[problem.line - 1][problem.column - 1 :].startswith(f'"{problem.path}"')
        assert f"{path}:{problem.line}:{problem.column}" in str(caught.value)


def test_contradictions_of_experts() -> None:
    with pytest.raises(SpecError, match="9 experts per token of 8"):
        read_config({**CONFIGS["mixtral-8x7b"], "num_experts_per_tok": 9})
    with pytest.raises(SpecError, match="62 dense layers of 61"):
        read_config({**CONFIGS["deepseek-v3"], "first_k_dense_replace": 62})
    with pytest.raises(SpecError, match=r"text_config\.hidden_size"):
        read_config(
            {**CONFIGS["llama-4-scout"], "text_config": {"model_type": "llama4_text", "hidden_size": -1}}
        )


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b'{"model_type": "llama",}', "not JSON"),
        (b"[1, 2]", "an object in braces is expected"),
        (b"\xff\xfe\x00binary", "not a text file"),
        (b"[" * 100_000, "nested too deep"),
        (b'{"vocab_size": ' + b"9" * 10_000 + b"}", "a number too long"),
        (b" " * 5_000_000, "larger than 4 MB"),
    ],
)
def test_a_file_that_is_not_a_config(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(content)
    with pytest.raises(SpecError, match=said):
        read_config(path)


def test_missing_files(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="no such file"):
        read_config(tmp_path / "nothing.json")
    with pytest.raises(SpecError, match=r"holds no config\.json"):
        read_config(tmp_path)
    with pytest.raises(SpecError, match=r"not a path|no such file"):
        read_config("con\0fig.json")


hostile = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 200),
    st.integers(-(10**30), 10**30),
    st.floats(),
    st.text(max_size=8),
    st.lists(st.integers(0, 3), max_size=3),
    st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)


@given(name=st.sampled_from(sorted(CONFIGS)), data=st.data(), value=hostile)
@example(name="llama-2-7b", data=None, value=None)
def test_any_value_anywhere_is_read_or_refused(name: str, data: st.DataObject | None, value: object) -> None:
    config = dict(CONFIGS[name])
    key = data.draw(st.sampled_from(sorted(config))) if data else "model_type"
    config[key] = value
    inner = config.get("text_config")
    if data and isinstance(inner, dict) and data.draw(st.booleans()):
        config["text_config"] = {**inner, data.draw(st.sampled_from(sorted(inner))): value}
    try:
        shape = Shape(**read_config(config))
    except SpecError:
        return
    assert 0 < int(active_parameters(shape)) <= int(parameters(shape)) <= 2 * MAX_PARAMETERS


# --- named models ---------------------------------------------------------------------------------------------------

NAMES = library.names("models")


@pytest.mark.parametrize("name", NAMES)
def test_named_model_has_its_published_count(name: str) -> None:
    model = load_spec("models", name)
    count = float(parameters(shape_of(model)))
    assert model.source
    assert model.retrieved
    if model.parameters is not None:
        digits = int(model.parameters)
        # A count that is printed in full must match in full; "529.6 billion" to its last digit.
        unit = 1
        while digits % (10 * unit) == 0 and unit < 1e9:
            unit *= 10
        assert abs(count - digits) <= (unit / 2 if unit >= 1e6 else 0)


@pytest.mark.parametrize("name", sorted(set(NAMES) & set(CONFIGS)))
def test_named_model_is_the_config_of_that_name(name: str) -> None:
    assert shape_of(load_spec("models", name)) == shape_of(read_config(CONFIGS[name]))


def test_names_that_scenarios_use_are_there() -> None:
    wanted = """llama-2-7b llama-2-13b llama-2-70b llama-3.1-8b llama-3.1-70b llama-3.1-405b gpt-3-175b megatron-22b
    megatron-175b megatron-530b megatron-1t mistral-7b mixtral-8x7b mixtral-8x22b qwen2.5-0.5b qwen2.5-72b qwen3-8b
    qwen3-30b-a3b qwen3-235b-a22b gemma-2b gemma-7b gemma-2-9b pythia-70m pythia-12b opt-125m opt-66b mpt-125m mpt-70b
    bloom-176b gpt2 gpt2-xl olmo-2-7b olmo-2-13b deepseek-v2-lite deepseek-v3 gpt-oss-20b gpt-oss-120b gpt-neox-20b
    nemotron-4-15b nemotron-4-340b""".split()
    assert set(wanted) <= set(NAMES)


def test_aliases_belong_to_one_model() -> None:
    owners: dict[str, str] = {}
    for name in NAMES:
        for alias in (name, *load_spec("models", name).aliases):
            assert owners.setdefault(library.normalise(alias), name) == name, alias


@pytest.mark.parametrize("name", sorted(CONFIGS))
def test_model_carries_everything_that_a_shape_needs(name: str) -> None:
    sizes = read_config(CONFIGS[name])
    assert shape_of(Model.from_sizes(sizes)) == Shape(**sizes)


def test_config_loads_as_a_model_by_path() -> None:
    model = load_spec("models", str(FOLDER / "opt-350m.json"))
    assert int(parameters(shape_of(model))) == 331196416


def test_exact_field_that_no_shape_has() -> None:
    model = Model(num_hidden_layers=2, hidden_size=64, num_attention_heads=4, exact={"qk_norm": 8})
    with pytest.raises(SpecError, match=r"exact\.qk_norm: no such size"):
        shape_of(model)


def test_the_manual_names_every_family_and_field() -> None:
    page = (Path(__file__).parent.parent / "docs" / "models.md").read_text()
    table = page.split("## Families that are read")[1].split("## Fields of `exact`")[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    assert {name for row in rows for name in row.replace("`", "").split()} - {"model_type"} == set(FAMILIES)
    used = {field for name in NAMES for field in load_spec("models", name).exact}
    assert all(f"`{field}`" in page.split("## Fields of `exact`")[1] for field in used)
