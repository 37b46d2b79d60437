"""Mutated specifications: the only thing that may come out is a clear error, in under a second.

``make fuzz`` runs 10,000 mutations; `TRAINSIM_FUZZ_EXAMPLES` sets another number.
"""

from __future__ import annotations

import copy
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from simulator import library
from simulator.errors import SpecError, UnknownNameError
from simulator.schema import load_scenario, load_spec
from simulator.schema.synonyms import FIELDS
from simulator.yamlio import walk

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = int(os.environ.get("TRAINSIM_FUZZ_EXAMPLES", "300"))
SECONDS = 1.0

# A scenario that uses every block, so that mutations reach every validator.
FULL = """\
name: Everything
description: Every block of a scenario
find: growth
model: {num_hidden_layers: 32, hidden_size: 4096, num_attention_heads: 32, num_experts: 8,
        num_experts_per_tok: 2, vocab_size: 128256, norm: rmsnorm, exact: {qk_norm_size: 256}}
training: {tokens: 1T, seq_length: 4096, global_batch_tokens: 4M, precision: bf16, unique_tokens: 400B}
parallelism: {tp: 8, pp: 2, vp: 2, zero_stage: 1, schedule: interleaved}
hardware:
  - {accelerator: h100-sxm-80gb, n_gpus: 64, cluster: dgx-h100, price: $2.99/GPU-h}
  - accelerator: {extends: h200-sxm-141gb, memory: 140 GB}
    n_gpus: 32
    price: {provider: Lambda, terms: on_demand}
budget: {time: 10 days, cost: $60k, energy: 500 MWh, max_gpus: 128}
inference: {tokens: 2T}
growth: {operator: hypercloning, max_stages: 2, kappa: 0.5, source_tokens: 100B}
search: {hidden_size: [2048, 4096], num_hidden_layers: 24, max_alternatives: 3}
goodput: 90 %
seed: 7
overrides:
  more: {training.tokens: 2T}
scenarios:
  next: [more]
"""


def seeds() -> dict[str, list[str]]:
    """Texts by kind; without the id, which would differ from the name of every mutated file."""
    found: dict[str, list[str]] = {}
    for kind in ("accelerators", "clusters", "prices", "calibrations", "models", "scenarios"):
        texts = [path.read_text(encoding="utf-8") for path in library.files(kind)]
        found[kind] = [
            re.sub(r"^id:.*\n", "", text, flags=re.MULTILINE) for text in texts if len(text) < 8000
        ]
    # The full scenario is drawn as often as all shipped ones together.
    found["full"] = [FULL]
    return {kind: texts for kind, texts in found.items() if texts}


SEEDS = seeds()
PIECES = [
    *("\n", "  ", "\t", ":", ": ", "- ", "[", "]", "{", "}", "&a ", "*a", "!!python/object:x ", "---\n"),
    *("...\n", "? ", "| ", ">", "'", '"', "#", "%YAML 3.0\n", "@", "`", "\0", "\x07", "\x85", "\u2028"),
    *("é", "\U0001f600", "\ufeff", "1e9", "1e999", "-1", "0", "9" * 400, ".inf", ".nan", "0x1F", "~"),
    *("true", "null", "80 GB", "80", "$3", "$3/h", "$2.99/GPU-h", "10 days", "<<: ", "extends: ", "x" * 2000),
    *("extends: ../h100-sxm-80gb.yaml\n", "extends: h100-sxm-80gb\n", "extends: /dev/zero\n", "extends: .\n"),
    *("a: " * 50, "[" * 500, "{a: " * 200, "- " * 300, "../" * 200),
]
VALUES: list[Any] = [
    *(
        None,
        True,
        False,
        0,
        1,
        -1,
        3,
        64,
        10**9,
        10**30,
        2**63,
        0.5,
        -0.5,
        1e308,
        float("inf"),
        float("nan"),
        "",
        " ",
    ),
    *(
        "80 GB",
        "80",
        "1e9",
        "15T",
        "3 TB/s",
        "989 TFLOP/s",
        "$2.99/GPU-h",
        "$3/h",
        "10 days",
        "90 %",
        "bf16",
        "none",
    ),
    *(
        "h100-sxm-80gb",
        "H100:8",
        "h100:999999999999",
        ":",
        "dgx-h100",
        "no-such-thing",
        "./none.yaml",
        "x" * 5000,
    ),
    *(
        "config.json",
        "/",
        ".",
        "..",
        "/dev/null",
        "\0",
        "\u0663",
        "h100-sxm-80gb.yaml",
        "2026-02-31",
        "2026-11-21",
    ),
    *(
        [],
        [[]],
        [None],
        ["a", 1],
        {},
        {"a": 1},
        {"extends": "h100-sxm-80gb"},
        {"extends": None},
        {"extends": [1]},
    ),
    *({"extends": "nothing"}, {"provider": "Lambda"}, {"usd": 1, "per": "GPU"}, {"usd": "x"}, [{}] * 200),
]


def values() -> st.SearchStrategy[Any]:
    """One of `VALUES`, copied, because later mutations may change it."""
    return st.sampled_from(VALUES).map(copy.deepcopy)


def seed() -> st.SearchStrategy[tuple[str, str]]:
    """A kind, then one of its files, so that a kind with few files is drawn as often as others."""
    return st.sampled_from(sorted(SEEDS)).flatmap(
        lambda kind: st.tuples(st.just("scenarios" if kind == "full" else kind), st.sampled_from(SEEDS[kind]))
    )


@st.composite
def mutated_text(draw: st.DrawFn) -> tuple[str, str]:
    """A shipped file with a few pieces inserted, cut, doubled or replaced."""
    kind, text = draw(seed())
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(text)))
        span = draw(st.sampled_from([0, 1, 1, 2, 8, 40, 200]))
        change = draw(st.sampled_from(["insert", "cut", "double", "replace", "swap"]))
        if change == "insert":
            text = text[:at] + draw(st.sampled_from(PIECES)) + text[at:]
        elif change == "cut":
            text = text[:at] + text[at + span :]
        elif change == "double":
            text = text[:at] + text[at : at + span] + text[at:]
        elif change == "replace":
            text = text[:at] + draw(st.text(max_size=8)) + text[at + span :]
        else:
            lines = text.split("\n")
            i, j = (draw(st.integers(0, len(lines) - 1)) for _ in range(2))
            lines[i], lines[j] = lines[j], lines[i]
            text = "\n".join(lines)
    return kind, text


@st.composite
def mutated_structure(draw: st.DrawFn) -> tuple[str, str]:
    """A shipped file with a few values or keys replaced, still well-formed YAML."""
    kind, text = draw(seed())
    data: Any = yaml.load(text, Loader=yaml.CSafeLoader)
    for _ in range(draw(st.integers(1, 4))):
        paths = [path for path, _ in walk(data) if path]
        if not paths:
            break
        path = draw(st.sampled_from(paths))
        path = path[: draw(st.integers(1, len(path)))]
        at = data
        for part in path[:-1]:
            at = at[part]
        change = draw(st.sampled_from(["value", "value", "remove", "rename", "add"]))
        if change == "value":
            at[path[-1]] = draw(values() | st.text(max_size=12) | st.integers() | st.floats())
        elif change == "remove" or not isinstance(at, dict):
            del at[path[-1]]
        elif change == "rename":
            at[draw(st.sampled_from(sorted(FIELDS)) | st.text(max_size=12))] = at.pop(path[-1])
        else:
            at[draw(st.sampled_from(["extends", "id", "overrides", "scenarios", *FIELDS.values()]))] = draw(
                values()
            )
    return kind, yaml.dump(data, Dumper=yaml.CSafeDumper, allow_unicode=True, sort_keys=False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("fuzz")
    before = Path.cwd()
    os.chdir(path)
    yield path
    os.chdir(before)


def load(folder: Path, kind: str, content: bytes) -> None:
    """Load the content as a user would; anything but a clear and quick answer fails."""
    path = folder / "case.yaml"
    path.write_bytes(content)
    start = time.process_time()
    try:
        if kind == "scenarios":
            scenario = load_scenario(path)
            for name in scenario.scenarios:
                load_scenario(path, scenario=name, set=["hardware.n_gpus=64"])
        else:
            load_spec(kind, str(path))
    except (SpecError, UnknownNameError) as error:
        text = str(error)
        assert text.strip()
        assert len(text) < 50_000
        assert "Traceback" not in text
        assert all(line.isprintable() for line in text.splitlines())
    assert time.process_time() - start < SECONDS


COMMON = settings(
    max_examples=EXAMPLES // 2,
    deadline=None,
    derandomize=EXAMPLES <= 300,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@COMMON
@given(case=mutated_text())
def test_mutated_text_ends_in_an_answer_or_a_clear_error(folder: Path, case: tuple[str, str]) -> None:
    kind, text = case
    load(folder, kind, text.encode("utf-8", errors="surrogatepass"))


@COMMON
@given(case=mutated_structure())
def test_mutated_structure_ends_in_an_answer_or_a_clear_error(folder: Path, case: tuple[str, str]) -> None:
    kind, text = case
    load(folder, kind, text.encode("utf-8", errors="surrogatepass"))


def test_the_seeds_themselves_load(folder: Path) -> None:
    load(folder, "scenarios", FULL.encode())
    (folder / "full.yaml").write_text(FULL)
    assert load_scenario(folder / "full.yaml", scenario="next").training.tokens == 2e12
