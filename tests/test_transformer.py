"""Parameters and FLOP of decoders: published figures, limits, and properties."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.flop import (
    FLOP_CONVENTIONS,
    attention_flop_per_token,
    forward_flop_per_token,
    model_flop_per_token,
)
from simulator.schema.load import load_spec
from simulator.transformer import (
    Shape,
    active_parameters,
    decoder,
    dense_layers,
    embedding_parameters,
    head_parameters,
    layer_matrix_parameters,
    moe_layers,
    multi_token_prediction_parameters,
    non_embedding_parameters,
    parameters,
    shape_of,
)

NUMBERS = {
    "parameters": parameters,
    "active": active_parameters,
    "non_embedding": non_embedding_parameters,
    "layer_matrices": layer_matrix_parameters,
    "multi_token_prediction": multi_token_prediction_parameters,
    "attention_flop": lambda s: attention_flop_per_token(s, seq_length=2048),
    "forward_flop": lambda s: forward_flop_per_token(s, seq_length=2048),
    **{c: lambda s, c=c: model_flop_per_token(s, seq_length=2048, convention=c) for c in FLOP_CONVENTIONS},
}


def named(name: str) -> Shape:
    return shape_of(load_spec("models", name))


# --- parameters -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "published"),  # github:mosaicml/llm-foundry@8c8dd48 scripts/train/benchmarking/README.md
    [
        ("mpt-125m", 125_311_488),
        ("mpt-350m", 355_985_408),
        ("mpt-760m", 760_470_528),
        ("mpt-1b", 1_315_950_592),
        ("mpt-3b", 2_651_837_440),
        ("mpt-7b", 6_658_859_008),
        ("mpt-13b", 12_853_954_560),
        ("mpt-30b", 29_975_214_080),
        ("mpt-70b", 64_862_437_376),
    ],
)
def test_mpt_of_llm_foundry(model: str, published: int) -> None:
    assert int(parameters(named(model))) == published


def test_width_doubling_of_hypercloning() -> None:
    # arXiv:2409.12903: Pythia 410M to 1.4B, and MobileLLM-R1 140M with its feed-forward width kept and its head untied.
    small = named("pythia-410m")
    large = small.with_(
        hidden_size=2048, intermediate_size=8192, num_attention_heads=32, num_key_value_heads=32
    )
    assert int(parameters(small)) == 405_334_016
    assert int(parameters(large)) == 1_414_647_808 == int(parameters(named("pythia-1.4b")))
    mobile = decoder(
        num_hidden_layers=15,
        hidden_size=576,
        intermediate_size=2048,
        num_attention_heads=9,
        num_key_value_heads=3,
        head_dim=64,
        vocab_size=128_256,
        tie_word_embeddings=1,
    )
    assert int(parameters(mobile)) == 140_248_512
    twice = mobile.with_(
        hidden_size=1152, num_attention_heads=18, num_key_value_heads=6, tie_word_embeddings=0
    )
    assert int(parameters(twice)) == 454_790_016


@pytest.mark.parametrize(
    ("model", "total", "non_embedding"),  # billions, as the model cards print them
    [
        ("qwen2.5-0.5b", 0.49, 0.36),
        ("qwen2.5-7b", 7.61, 6.53),
        ("qwen2.5-72b", 72.7, 70.0),
        ("qwen3-30b-a3b", 30.5, 29.9),
        ("nemotron-4-340b", 341.0, 331.6),  # arXiv:2406.11704, section 2.1: 9.4 B of embeddings beside these
    ],
)
def test_total_and_non_embedding(model: str, total: float, non_embedding: float) -> None:
    shape = named(model)
    assert float(parameters(shape)) / 1e9 == pytest.approx(total, rel=0.01)
    assert float(non_embedding_parameters(shape)) / 1e9 == pytest.approx(non_embedding, rel=0.01)


@pytest.mark.parametrize(
    (
        "model",
        "mlp",
        "attention",
        "tables",
        "active",
    ),  # arXiv:2508.10925, table 1, billions; active without the table
    [("gpt-oss-120b", 114.71, 0.96, 1.16, 5.13), ("gpt-oss-20b", 19.12, 0.64, 1.16, 3.61)],
)
def test_parts_of_gpt_oss(model: str, mlp: float, attention: float, tables: float, active: float) -> None:
    shape = named(model)
    table = float(embedding_parameters(shape))
    both = table + float(head_parameters(shape))
    dense = shape.with_(
        num_experts=0, num_experts_per_tok=0, intermediate_size=0, moe_intermediate_size=0, mlp_bias=0
    )
    rest = float(non_embedding_parameters(dense))
    assert both / 1e9 == pytest.approx(tables, abs=0.005)
    assert rest / 1e9 == pytest.approx(attention, abs=0.005)
    assert (float(parameters(shape)) - both - rest) / 1e9 == pytest.approx(mlp, abs=0.005)
    assert (float(active_parameters(shape)) - table) / 1e9 == pytest.approx(active, abs=0.005)


def test_layers_that_route() -> None:
    shape = named("deepseek-v3")
    assert (int(dense_layers(shape)), int(moe_layers(shape))) == (3, 58)
    every_other = shape.with_(first_k_dense_replace=0, moe_layer_freq=2, num_hidden_layers=48)
    assert int(moe_layers(every_other)) == 24
    assert int(moe_layers(shape.with_(num_experts=0))) == 0


def test_latent_attention_by_hand() -> None:
    # DeepSeek-V2-Lite: q 2048 x 16 x 192, kv down 2048 x 576, kv up 512 x 16 x 256, out 2048 x 2048.
    lite = named("deepseek-v2-lite")
    by_hand = 2048 * 16 * 192 + 2048 * 576 + 512 * 16 * 256 + 2048 * 2048
    one = lite.with_(num_hidden_layers=1, first_k_dense_replace=1, intermediate_size=0)
    assert int(layer_matrix_parameters(one)) == by_hand


# --- FLOP -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("billions", "layers", "width", "ffw", "heads", "head_dim", "ratio"),  # arXiv:2203.15556, table A4
    [
        (0.073, 10, 640, 2560, 10, 64, 1.03),
        (0.305, 20, 1024, 4096, 16, 64, 1.10),
        (0.552, 24, 1280, 5120, 10, 128, 1.08),
        (1.10, 26, 1792, 7168, 14, 128, 1.04),
        (1.60, 28, 2048, 8192, 16, 128, 1.03),
        (6.80, 40, 3584, 14336, 28, 128, 0.99),
    ],
)
def test_flop_over_6nd_of_hoffmann(
    billions: float, layers: int, width: int, ffw: int, heads: int, head_dim: int, ratio: float
) -> None:
    # The printed counts hold a d x d matrix per layer for Transformer-XL positions (arXiv:2112.11446), whose FLOP
    # the paper leaves out, as it leaves out embedding and logits; it counts three FLOP per score for the softmax.
    shape = decoder(
        num_hidden_layers=layers,
        hidden_size=width,
        intermediate_size=ffw,
        num_attention_heads=heads,
        head_dim=head_dim,
        vocab_size=32_000,
        gated=0,
        tie_word_embeddings=1,
        extra_parameters=layers * width**2,
    )
    assert float(parameters(shape)) / 1e9 == pytest.approx(billions, rel=0.04)
    softmax = 3 * heads * 2048 * layers
    flop = 3 * (float(forward_flop_per_token(shape, seq_length=2048, logits=False)) + softmax)
    assert flop / (6 * float(parameters(shape))) == pytest.approx(ratio, abs=0.01)


@pytest.mark.parametrize(
    ("model", "gflop"),  # llm-foundry: 3 (2 N + 4 L d s), N with tables, s = 2048
    [("mpt-125m", 0.9784), ("mpt-350m", 2.7399), ("mpt-760m", 5.4688), ("mpt-1b", 9.1037), ("mpt-3b", 17.924),
     ("mpt-7b", 43.174), ("mpt-13b", 82.157)],
)  # fmt: skip
def test_flop_of_llm_foundry(model: str, gflop: float) -> None:
    shape = named(model)
    whole = 6 * parameters(shape) + 3 * attention_flop_per_token(shape, seq_length=2048)
    assert float(whole) / 1e9 == pytest.approx(gflop, rel=1e-4)
    palm = model_flop_per_token(shape, seq_length=2048, convention="palm")
    assert float(whole - palm) == 6 * 2048 * shape.hidden_size  # PaLM leaves the learned positions out


@pytest.mark.parametrize("model", ["megatron-22b", "megatron-175b", "megatron-530b", "megatron-1t"])
@pytest.mark.parametrize("s", [1024, 2048, 8192])
def test_flop_of_megatron(model: str, s: int) -> None:
    # arXiv:2104.04473 (3): 96 B s L h^2 (1 + s/6h + V/16Lh) with full recomputation; arXiv:2205.05198: 72 without.
    shape = named(model)
    layers, h, v = shape.num_hidden_layers, shape.hidden_size, shape.vocab_size
    recomputed = forward_flop_per_token(shape, seq_length=s, logits=False)
    once = model_flop_per_token(shape, seq_length=s, convention="megatron")
    assert float(once + recomputed) == pytest.approx(
        96 * layers * h**2 * (1 + s / (6 * h) + v / (16 * layers * h))
    )
    assert float(once) == pytest.approx(72 * layers * h**2 * (1 + s / (6 * h) + v / (12 * layers * h)))


@pytest.mark.parametrize(
    ("model", "tokens", "total"),
    [
        ("gpt-3-175b", 300e9, 3.14e23),  # arXiv:2005.14165, table D.1
        ("llama-3.1-405b", 15.6e12, 3.8e25),  # arXiv:2407.21783, section 3.2.1
        ("bloom-176b", 366e9, 3.87e23),  # 6 x 176,247 M x 366 B
    ],
)
def test_compute_of_published_runs(model: str, tokens: float, total: float) -> None:
    assert float(
        model_flop_per_token(named(model), seq_length=2048, convention="6N")
    ) * tokens == pytest.approx(total, rel=0.01)


def test_conventions_differ_as_they_say() -> None:
    shape = named("llama-2-7b")
    attention = float(attention_flop_per_token(shape, seq_length=4096))
    flop = {c: float(model_flop_per_token(shape, seq_length=4096, convention=c)) for c in FLOP_CONVENTIONS}
    assert flop["megatron"] - flop["maxtext"] == pytest.approx(1.5 * attention)
    norms = 65 * 4096
    assert flop["palm"] - flop["megatron"] == pytest.approx(6 * norms)  # PaLM's N counts the norms
    assert flop["6N"] == 6 * 6_738_415_616
    frozen = float(model_flop_per_token(shape, seq_length=4096, convention="6N", trainable_share=0.0))
    assert frozen == 4 * 6_738_415_616


# --- properties -----------------------------------------------------------------------------------------------------


@st.composite
def shapes(draw: st.DrawFn) -> Shape:
    heads = draw(st.sampled_from([1, 2, 8, 24]))
    flags: dict[str, Any] = {
        name: draw(st.sampled_from([0, 1]))
        for name in ("gated", "tie_word_embeddings", "attention_bias", "attention_output_bias", "mlp_bias", "final_norm",
                     "embedding_norm", "router_bias", "shared_expert_gate", "lm_head_bias", "attention_sinks")
    }  # fmt: skip
    layers = draw(st.integers(1, 100))
    if draw(st.booleans()):
        experts = draw(st.integers(1, 256))
        flags |= {
            "num_experts": experts,
            "num_experts_per_tok": draw(st.integers(1, experts)),
            "moe_intermediate_size": draw(st.integers(1, 4096)),
            "shared_expert_intermediate_size": draw(st.integers(0, 4096)),
            "first_k_dense_replace": draw(st.integers(0, layers)),
            "moe_layer_freq": draw(st.integers(1, 3)),
            "num_nextn_predict_layers": draw(st.integers(0, 2)),
        }
    if draw(st.booleans()):
        flags |= {
            "q_lora_rank": draw(st.sampled_from([0, 768])),
            "kv_lora_rank": draw(st.integers(1, 512)),
            "qk_nope_head_dim": 128,
            "qk_rope_head_dim": 64,
            "v_head_dim": 128,
        }
    return decoder(
        num_hidden_layers=layers,
        hidden_size=draw(st.integers(1, 16384)),
        intermediate_size=draw(st.integers(1, 65536)),
        num_attention_heads=heads,
        num_key_value_heads=draw(st.sampled_from([1, heads])),
        head_dim=draw(st.integers(1, 256)),
        vocab_size=draw(st.integers(1, 300_000)),
        learned_positions=draw(st.sampled_from([0, 2048])),
        norm_parameters=draw(st.sampled_from([0, 1, 2])),
        norms_per_layer=draw(st.sampled_from([1, 2, 4])),
        qk_norm_size=draw(st.sampled_from([0, 256])),
        embedding_proj_dim=draw(st.sampled_from([0, 512])),
        **flags,
    )


SIZES = [f.name for f in fields(Shape) if f.name not in {
    "gated", "tie_word_embeddings", "rotary", "first_k_dense_replace", "moe_layer_freq", "kv_lora_rank", "q_lora_rank",
    "num_experts", "num_experts_per_tok", "embedding_proj_dim", "num_key_value_heads",
    "sliding_window", "sliding_window_pattern", "attention_chunk_size"}]  # fmt: skip


@given(shape=shapes(), size=st.sampled_from(SIZES), by=st.integers(1, 64))
def test_no_size_makes_a_model_smaller(shape: Shape, size: str, by: int) -> None:
    larger = shape.with_(**{size: getattr(shape, size) + by})
    if size == "num_hidden_layers":
        larger = larger.with_(moe_layer_freq=1)
        shape = shape.with_(moe_layer_freq=1)
    for name, formula in NUMBERS.items():
        assert formula(larger) >= formula(shape), name


@given(shape=shapes())
def test_active_is_part_of_the_whole(shape: Shape) -> None:
    assert 0 < active_parameters(shape) <= parameters(shape)
    assert non_embedding_parameters(shape) <= parameters(shape)
    dense = shape.with_(num_experts=0, num_experts_per_tok=0)
    assert active_parameters(dense) == parameters(dense)
    everyone = shape.with_(num_experts_per_tok=shape.num_experts)
    assert active_parameters(everyone) == parameters(everyone)
    assert int(dense_layers(shape) + moe_layers(shape)) == shape.num_hidden_layers


@given(rows=st.lists(shapes(), min_size=1, max_size=5))
def test_array_equals_scalar(rows: list[Shape]) -> None:
    columns = {f.name: np.array([getattr(row, f.name) for row in rows]) for f in fields(Shape)}
    lattice = Shape(**columns)
    for name, formula in NUMBERS.items():
        np.testing.assert_array_equal(formula(lattice), [formula(row) for row in rows], err_msg=name)
        for index, row in enumerate(rows):
            assert formula(lattice.take(index)) == formula(row), name


def test_scalars_and_arrays_broadcast() -> None:
    width = np.array([512, 1024, 2048])
    shape = decoder(
        num_hidden_layers=12, hidden_size=width, num_attention_heads=width // 64, vocab_size=32_000
    )
    deep = shape.with_(num_hidden_layers=np.array([[12], [24]]))
    assert parameters(shape).shape == (3,)
    assert parameters(deep).shape == (2, 3)
    np.testing.assert_array_equal(parameters(deep)[0], parameters(shape))


def test_a_hundred_thousand_shapes(benchmark: Any) -> None:
    width = np.random.default_rng(0).integers(4, 64, 100_000) * 128
    lattice = decoder(
        num_hidden_layers=width // 128,
        hidden_size=width,
        num_attention_heads=width // 128,
        vocab_size=32_000,
        head_dim=128,
    )
    counts = benchmark(parameters, lattice)
    assert counts.shape == width.shape
    assert (counts > 0).all()
