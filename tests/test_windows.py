"""Sliding windows and chunks: what layers see, against masks counted one by one and against published figures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import simulator as sim
from simulator import clock, kernels, library, serving
from simulator.calibrations import constants_of, device_of
from simulator.errors import SpecError
from simulator.exporters.huggingface import config_of
from simulator.flop import model_flop_per_token
from simulator.importers.huggingface import read_config
from simulator.importers.megatron import read_script
from simulator.layout import Layout
from simulator.schema import load_accelerator, load_model
from simulator.transformer import Shape, decoder, non_embedding_parameters, shape_of
from simulator.validate.shapes import shape_of_row
from simulator.windows import attended_share, cached_tokens, has_windows, windowed_layers

CONFIGS = Path(__file__).parent / "data" / "hf"


def named(name: str) -> Shape:
    return shape_of(load_model(name))


def small(**fields: int) -> Shape:
    return decoder(num_hidden_layers=12, hidden_size=256, num_attention_heads=4, vocab_size=1000, **fields)


def seen(s: int, *, window: int = 0, chunk: int = 0) -> int:
    """Pairs of tokens that a causal mask leaves."""
    query, key = np.arange(s)[:, None], np.arange(s)[None, :]
    mask = key <= query
    if window:
        mask &= query - key < window
    if chunk:
        mask &= query // chunk == key // chunk
    return int(mask.sum())


# --- what layers see ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("window", [1, 7, 64, 300, 511, 512, 4096])
def test_share_of_a_window_is_that_of_the_mask(window: int) -> None:
    share = attended_share(small(sliding_window=window), seq_length=512)
    assert share == pytest.approx(seen(512, window=window) / seen(512), abs=2 / 512)


@pytest.mark.parametrize("chunk", [1, 32, 128, 512, 8192])
def test_share_of_chunks_is_that_of_the_mask(chunk: int) -> None:
    share = attended_share(small(attention_chunk_size=chunk), seq_length=512)
    assert share == pytest.approx(seen(512, chunk=chunk) / seen(512), abs=2 / 512)


@pytest.mark.parametrize(
    ("model", "windowed"),
    [
        ("gemma-3-27b", 52),  # arXiv:2503.19786: five local layers for each global one
        ("gemma-3-12b", 40),
        ("gemma-3-4b", 29),
        ("gemma-2-9b", 21),  # arXiv:2408.00118: every other layer
        ("gpt-oss-120b", 18),  # model card: banded and dense layers alternate
        ("olmo-3-32b", 48),  # arXiv:2512.13961: three of four
        ("mistral-7b", 32),  # arXiv:2310.06825: every layer
        ("llama-4-scout", 36),  # three of four see their chunk
        ("llama-3.1-8b", 0),
    ],
)
def test_layers_of_published_models(model: str, windowed: int) -> None:
    assert int(windowed_layers(named(model))) == windowed


@given(
    window=st.integers(1, 5000),
    wider=st.integers(0, 5000),
    length=st.integers(1, 9000),
    pattern=st.integers(0, 5),
)
def test_a_wider_window_never_sees_less(window: int, wider: int, length: int, pattern: int) -> None:
    shape = small(sliding_window=window, sliding_window_pattern=pattern)
    share = attended_share(shape, seq_length=length)
    assert 0 < share <= 1
    assert share <= attended_share(shape.with_(sliding_window=window + wider), seq_length=length)
    assert attended_share(shape, seq_length=length, block=128) >= share
    assert attended_share(shape.with_(sliding_window=length), seq_length=length) == 1


def test_models_of_an_array_keep_their_own_windows() -> None:
    both = small(sliding_window=np.array([0, 128]))
    np.testing.assert_allclose(attended_share(both, seq_length=1024), [1.0, 1 - (1 - 128 / 1024) ** 2])
    np.testing.assert_allclose(cached_tokens(both, context_length=1024), [1024, 128])
    assert list(has_windows(both)) == [False, True]


# --- published figures ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "length", "tflops", "tokens", "convention", "within"),
    [  # rates per chip that MaxText prints: github:AI-Hypercomputer/tpu-recipes@c8cfe2f training/
        ("gpt-oss-120b", 8192, 330.25, 9581.66, "maxtext", 0.005),
        ("gemma-3-12b", 32768, 328.139, 4204.799, "maxtext", 0.015),
        ("mistral-7b", 8192, 431.981, 7776.813, "megatron", 0.001),  # counted without its window
    ],
)
def test_flop_per_token_that_maxtext_counts(
    model: str, length: int, tflops: float, tokens: float, convention: str, within: float
) -> None:
    shape = named(model)
    whole = shape.with_(sliding_window=0, sliding_window_pattern=0)
    printed = tflops * 1e12 / tokens
    counted, other = (
        float(model_flop_per_token(each, seq_length=length, convention=convention)) for each in (shape, whole)
    )
    if model == "mistral-7b":
        counted, other = other, counted
    assert counted == pytest.approx(printed, rel=within)
    assert abs(other / printed - 1) > 0.05


@pytest.mark.parametrize(("model", "millions"), [("4b", 3209), ("12b", 10759), ("27b", 25600)])
def test_gemma_3_counts_as_its_report_does(model: str, millions: int) -> None:
    """arXiv:2503.19786, table 1: parameters outside the embedding."""
    assert float(non_embedding_parameters(named(f"gemma-3-{model}"))) / 1e6 == pytest.approx(
        millions, abs=0.8
    )


def test_measured_rows_take_the_windows_of_their_model_unless_they_say_no() -> None:
    table = pd.read_csv(library.packaged_root() / "measurements" / "throughput.csv", low_memory=False)
    rows = table[table.model_name.isin(["Gemma3-12B", "Mistral-7B"])].set_index("model_name")
    assert float(windowed_layers(shape_of_row(rows.loc["Gemma3-12B"].iloc[0].to_dict()))) == 40
    assert float(windowed_layers(shape_of_row(rows.loc["Mistral-7B"].to_dict()))) == 0


# --- time and cache -------------------------------------------------------------------------------------------------


def test_only_attention_gets_faster_and_only_at_length() -> None:
    accelerator = load_accelerator("h100-sxm-80gb")
    device, (constants, _) = device_of(accelerator), constants_of(accelerator, software="megatron")
    shape = named("gemma-3-27b")
    whole = shape.with_(sliding_window=0, sliding_window_pattern=0)
    for length in (1024, 32768):
        layout = Layout(tp=8, seq_length=length, micro_batch_size=1)
        one, other = (clock.memory_copies(s, layout, device, constants) for s in (shape, whole))
        same = [name for name in one if name not in ("attention", "host")]
        assert [one[name] for name in same] == pytest.approx([other[name] for name in same], rel=1e-6)
        ratio = one["attention"] / other["attention"]
        assert ratio == (1.0 if length == 1024 else pytest.approx(10 / 62 + 52 / 62 * 0.069, abs=0.001))


def test_attention_that_is_not_fused_computes_the_matrix_whole() -> None:
    accelerator = load_accelerator("a100-sxm-80gb")
    device, (constants, _) = device_of(accelerator), constants_of(accelerator, software="megatron")
    layout = Layout(seq_length=8192, flash_attention=0)
    shape = named("mistral-7b")
    times = [
        kernels.attention_time(s, layout, device, constants) for s in (shape, shape.with_(sliding_window=0))
    ]
    assert times[0] == times[1]


def test_cache_keeps_windows_only() -> None:
    shape = named("gpt-oss-20b")
    per_layer = 2 * 8 * 64 * 2  # keys and values of eight heads of 64, two bytes each
    assert serving.cache_bytes(shape, tokens=131072) == per_layer * 12 * (131072 + 128)
    assert serving.cache_bytes(shape, tokens=100) == per_layer * 24 * 100
    assert cached_tokens(named("llama-4-scout"), context_length=1_000_000) == 0.25 * 1_000_000 + 0.75 * 8192


def test_long_answers_are_cheaper_to_serve() -> None:
    how: dict[str, Any] = {
        "n_gpus": 1,
        "memory_bandwidth": 3.35e12,
        "batch_size": 16,
        "context_length": 65536,
    }
    shape = named("gemma-3-12b")
    whole = shape.with_(sliding_window=0, sliding_window_pattern=0)
    assert serving.least_latency_s(shape, **how) < 0.6 * serving.least_latency_s(whole, **how)


# --- files ----------------------------------------------------------------------------------------------------------


def config(name: str, **change: Any) -> dict[str, Any]:
    content = json.loads((CONFIGS / f"{name}.json").read_text())
    return {**content.get("text_config", content), **change}


@pytest.mark.parametrize(
    ("content", "fields"),
    [
        (config("gpt-oss-120b"), (128, 0, 2)),
        (config("gemma-2-2b"), (4096, 0, 2)),
        (config("gemma-3-27b"), (1024, 0, 6)),
        (config("mistral-7b"), (4096, 0, 0)),
        (config("mistral-7b", sliding_window=None), (0, 0, 0)),
        (config("llama-4-scout"), (0, 8192, 4)),
        (config("llama-4-scout", attention_chunk_size=None), (0, 0, 0)),
        (config("llama-4-scout", no_rope_layers=[1, 0] * 24), (0, 8192, 2)),
        (config("qwen2.5-7b"), (0, 0, 0)),
        (
            config("qwen2.5-7b", use_sliding_window=True, sliding_window=32768),
            (0, 0, 0),
        ),  # all 28 layers are whole
        (config("qwen2.5-7b", use_sliding_window=True, sliding_window=512, max_window_layers=7), (512, 0, 4)),
        (config("qwen2.5-7b", use_sliding_window=True, sliding_window=512, max_window_layers=0), (512, 0, 0)),
        (config("gemma-2-2b", layer_types=["full_attention"] * 26), (0, 0, 0)),
        (
            config("gemma-2-2b", layer_types=["sliding_attention"] * 13 + ["full_attention"] * 13),
            (4096, 0, 2),
        ),
    ],
)
def test_config_json(content: dict[str, Any], fields: tuple[int, int, int]) -> None:
    read = read_config(content)
    names = ("sliding_window", "attention_chunk_size", "sliding_window_pattern")
    assert tuple(read.get(name, 0) for name in names) == fields


def test_a_window_that_is_no_number_is_one_error() -> None:
    with pytest.raises(SpecError, match="sliding_window: 'wide' is not a whole number"):
        read_config(config("gemma-2-2b", sliding_window="wide"))


@pytest.mark.parametrize(
    ("words", "fields"),
    [
        ("--window-size 127,0 --window-attn-skip-freq 2", (128, 2)),
        ("--window-size '(1023,0)' --window-attn-skip-freq '([1]*5+[0])*2'", (1024, 6)),
        ("--window-size 4095,0", (4096, 0)),
        ("", (0, 0)),
    ],
)
def test_megatron_counts_the_tokens_before(words: str, fields: tuple[int, int]) -> None:
    script = (
        "pretrain_gpt.py --num-layers 12 --hidden-size 64 --num-attention-heads 4 --vocab-size 512 --bf16 "
        f"--max-position-embeddings 128 --micro-batch-size 1 {words}"
    )
    read = read_script(script)
    model = read.data["model"]
    assert (model.get("sliding_window", 0), model.get("sliding_window_pattern", 0)) == fields


@pytest.mark.parametrize(
    ("model", "kind"),
    [("mistral-7b", "mistral"), ("gemma-2-9b", "gemma2"), ("gemma-3-4b", "gemma3_text"), ("gpt-oss-20b", "gpt_oss"),
     ("starcoder2-7b", "starcoder2")],
)  # fmt: skip
def test_written_config_reads_back(model: str, kind: str) -> None:
    sizes = {name: int(value) for name, value in load_model(model).sizes().items()}
    written = config_of(sizes)
    assert written["model_type"] == kind
    assert written["sliding_window"] == sizes["sliding_window"]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"sliding_window": 128, "attention_chunk_size": 512}, "a window and chunks at once"),
        ({"sliding_window_pattern": 2}, "no layer sees less"),
    ],
)
def test_contradictions_are_named(fields: dict[str, int], said: str) -> None:
    scenario = {
        "model": {"num_hidden_layers": 2, "hidden_size": 64, "num_attention_heads": 4, **fields},
        "hardware": {"accelerator": "h100-sxm-80gb", "n_gpus": 8},
        "training": {"tokens": 1e9},
    }
    with pytest.raises(SpecError, match=said):
        sim.run(scenario)


def test_a_scenario_may_state_a_window() -> None:
    long = {
        "model": {"num_hidden_layers": 8, "hidden_size": 1024, "num_attention_heads": 8},
        "hardware": {"accelerator": "h100-sxm-80gb", "n_gpus": 8},
        "training": {"tokens": 1e9, "seq_length": 65536, "global_batch_size": 16},
    }
    windowed = {**long, "model": {**long["model"], "sliding_window": 1024, "sliding_window_pattern": 4}}
    assert sim.run(windowed).answer["step_time_s"] < 0.8 * sim.run(long).answer["step_time_s"]
