"""Function preservation on a tiny decoder: every attention, norm, feed-forward and head of the operators' tables."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from simulator.errors import InfeasibleError
from simulator.growth import OPERATORS
from simulator.growth import weights as w
from simulator.growth.reference import Decoder, logits
from simulator.transformer import decoder, parameters

VOCAB, LAYERS, HEADS, HEAD_DIM, FFN, TOKENS = 61, 3, 4, 6, 40, 11
HIDDEN = HEADS * HEAD_DIM
IDS = np.random.default_rng(1).integers(0, VOCAB, TOKENS)


def tiny(
    *, kv_heads=HEADS, gated=True, bias=False, norm="rms", learned_norm=True, tied=False, positions=False
):
    """Random weights with scales that make every part matter."""
    rng = np.random.default_rng(3)

    def matrix(rows, columns):
        return rng.standard_normal((rows, columns)) / np.sqrt(columns)

    tensors = {"model.embed_tokens.weight": matrix(VOCAB, HIDDEN) * 3}
    if positions:
        tensors["model.embed_positions.weight"] = matrix(32, HIDDEN) * 3
    parts = {
        "self_attn.q_proj": (HIDDEN, HIDDEN), "self_attn.k_proj": (kv_heads * HEAD_DIM, HIDDEN),
        "self_attn.v_proj": (kv_heads * HEAD_DIM, HIDDEN), "self_attn.o_proj": (HIDDEN, HIDDEN),
        "mlp.up_proj": (FFN, HIDDEN), "mlp.down_proj": (HIDDEN, FFN),
    }  # fmt: skip
    if gated:
        parts["mlp.gate_proj"] = (FFN, HIDDEN)
    for layer in range(LAYERS):
        for name, (rows, columns) in parts.items():
            tensors[f"model.layers.{layer}.{name}.weight"] = matrix(rows, columns)
            if bias:
                tensors[f"model.layers.{layer}.{name}.bias"] = rng.standard_normal(rows) * 0.3
    norms = [
        f"model.layers.{i}.{n}"
        for i in range(LAYERS)
        for n in ("input_layernorm", "post_attention_layernorm")
    ]
    for name in [*norms, "model.norm"] if learned_norm else []:
        tensors[f"{name}.weight"] = 1 + 0.2 * rng.standard_normal(HIDDEN)
        if norm == "layer":
            tensors[f"{name}.bias"] = 0.2 * rng.standard_normal(HIDDEN)
    if not tied:
        tensors["lm_head.weight"] = matrix(VOCAB, HIDDEN) * 2
    how = Decoder(HEADS, kv_heads, norm=norm, rotary=not positions)
    return tensors, how


def wider(how, factor):
    kv = 1 if how.num_key_value_heads == 1 else how.num_key_value_heads * factor
    return replace(how, num_attention_heads=how.num_attention_heads * factor, num_key_value_heads=kv)


ARCHITECTURES = {
    "llama (MHA, gated, RMSNorm)": {},
    "GQA": {"kv_heads": 2},
    "MQA": {"kv_heads": 1},
    "OPT (biases, LayerNorm, learned positions, plain FFN, tied)": {
        "gated": False, "bias": True, "norm": "layer", "tied": True, "positions": True,
    },
    "Pythia (biases, LayerNorm, untied)": {"gated": False, "bias": True, "norm": "layer"},
    "tied GQA": {"kv_heads": 2, "tied": True},
    "OLMo (no learned norm)": {"norm": "layer", "learned_norm": False},
}  # fmt: skip


@pytest.mark.parametrize("factor", [2, 3])
@pytest.mark.parametrize("variant", ["symmetric", "noisy", "diagonal", "noisy_diagonal"])
@pytest.mark.parametrize("options", ARCHITECTURES.values(), ids=ARCHITECTURES.keys())
def test_hypercloning_preserves_the_function(options, variant, factor):
    tensors, how = tiny(**options)
    growth = w.WidthGrowth(
        factor=factor,
        variant=variant,
        tied="norm" if options.get("tied") else "no",
        multi_query=options.get("kv_heads") == 1,
    )
    grown = w.hyperclone(tensors, growth)
    assert grown["model.embed_tokens.weight"].shape == (VOCAB, factor * HIDDEN)
    np.testing.assert_allclose(logits(grown, IDS, wider(how, factor)), logits(tensors, IDS, how), atol=1e-5)


@pytest.mark.parametrize("up_project_factor", [1, 2, 4])
def test_feed_forward_may_grow_by_its_own_factor(up_project_factor):
    tensors, how = tiny()
    grown = w.hyperclone(tensors, w.WidthGrowth(factor=2, up_project_factor=up_project_factor))
    assert grown["model.layers.0.mlp.up_proj.weight"].shape == (up_project_factor * FFN, 2 * HIDDEN)
    np.testing.assert_allclose(logits(grown, IDS, wider(how, 2)), logits(tensors, IDS, how), atol=1e-5)


def test_a_tied_head_may_be_untied():
    tensors, how = tiny(tied=True)
    grown = w.hyperclone(tensors, w.WidthGrowth(factor=2, tied="untie"))
    assert "lm_head.weight" in grown
    np.testing.assert_allclose(logits(grown, IDS, wider(how, 2)), logits(tensors, IDS, how), atol=1e-5)


def test_a_tie_that_is_not_said_is_refused():
    """The logits would be twice as large, without a word."""
    tied, _ = tiny(tied=True)
    with pytest.raises(InfeasibleError, match=r"tied='norm'.*tied='untie'"):
        w.hyperclone(tied, w.WidthGrowth())
    with pytest.raises(InfeasibleError, match="head of its own"):
        w.hyperclone(tiny()[0], w.WidthGrowth(tied="norm"))
    bare, _ = tiny(tied=True, norm="layer", learned_norm=False)
    with pytest.raises(InfeasibleError, match="final norm"):
        w.hyperclone(bare, w.WidthGrowth(tied="norm"))
    with pytest.raises(InfeasibleError, match="final norm"):
        w.staged_width(bare)


def test_single_precision_stays_single_and_close():
    tensors, how = tiny(kv_heads=2)
    single = {name: value.astype(np.float32) for name, value in tensors.items()}
    grown = w.hyperclone(single, w.WidthGrowth(factor=2, variant="noisy"))
    assert {value.dtype for value in grown.values()} == {np.dtype("float32")}
    np.testing.assert_allclose(logits(grown, IDS, wider(how, 2)), logits(single, IDS, how), atol=1e-4)


def test_noise_breaks_the_symmetry_that_copies_have():
    tensors, _ = tiny()
    name = "model.layers.0.mlp.up_proj.weight"
    for variant, equal in (("symmetric", True), ("noisy", False)):
        grown = w.hyperclone(tensors, w.WidthGrowth(factor=2, variant=variant))[name]
        upper, lower = grown[:FFN], grown[FFN:]
        assert np.array_equal(upper, lower) == equal
    noise = grown - w.tile_linear(tensors[name], n_out=2, n_in=2)
    assert np.mean(tensors[name] ** 2) / np.mean(noise**2) == pytest.approx(10, rel=0.15)


@pytest.mark.parametrize("options", ARCHITECTURES.values(), ids=ARCHITECTURES.keys())
def test_staged_width_preserves_the_function(options):
    """With MQA the block diagonal gives each half its own key-value head."""
    tensors, how = tiny(**options)
    grown = w.staged_width(tensors, factor=2)
    wide = replace(how, num_attention_heads=2 * HEADS, num_key_value_heads=2 * how.num_key_value_heads)
    np.testing.assert_allclose(logits(grown, IDS, wide), logits(tensors, IDS, how), atol=1e-5)


def shape_of(how, **more):
    return decoder(
        num_hidden_layers=LAYERS, hidden_size=HIDDEN, intermediate_size=FFN, vocab_size=VOCAB,
        num_attention_heads=HEADS, num_key_value_heads=how.num_key_value_heads, **more,
    )  # fmt: skip


@pytest.mark.parametrize("kv_heads", [1, 2, HEADS])
@pytest.mark.parametrize("norms", ["none", "head", "whole"])
@pytest.mark.parametrize("operator", ["staged_width", "hypercloning"])
def test_shape_and_weights_agree(operator, norms, kv_heads):
    """Parameters of the grown shape are those of the grown weights, and the function is kept."""
    tensors, how = tiny(kv_heads=kv_heads)
    sizes = {"none": (0, 0), "head": (HEAD_DIM, HEAD_DIM), "whole": (HIDDEN, kv_heads * HEAD_DIM)}[norms]
    rng = np.random.default_rng(5)
    for layer in range(LAYERS if norms != "none" else 0):
        for name, size in zip(("q_norm", "k_norm"), sizes, strict=True):
            tensors[f"model.layers.{layer}.self_attn.{name}.weight"] = 1 + 0.2 * rng.standard_normal(size)
    shape = shape_of(how, qk_norm_size=sum(sizes))
    assert parameters(shape) == sum(value.size for value in tensors.values())
    large = OPERATORS[operator].grow(shape, factor=2)
    if operator == "staged_width":
        grown = w.staged_width(tensors, factor=2)
    else:
        grown = w.hyperclone(tensors, w.WidthGrowth(factor=2, multi_query=kv_heads == 1))
    assert parameters(large) == sum(value.size for value in grown.values())
    wide = replace(how, num_attention_heads=2 * HEADS, num_key_value_heads=int(large.num_key_value_heads))
    np.testing.assert_allclose(logits(grown, IDS, wide), logits(tensors, IDS, how), atol=1e-5)


def test_heads_with_normed_queries_are_not_widened():
    tensors, _ = tiny()
    tensors["model.layers.0.self_attn.q_norm.weight"] = np.ones(HEAD_DIM)
    with pytest.raises(InfeasibleError, match="normed"):
        w.widen_heads(tensors, heads=HEADS, kv_heads=HEADS)


@pytest.mark.parametrize("options", ARCHITECTURES.values(), ids=ARCHITECTURES.keys())
def test_identity_layers_preserve_the_function_and_stacking_does_not(options):
    tensors, how = tiny(**options)
    before = logits(tensors, IDS, how)
    same = w.deepen(tensors, factor=2, order="interpose", identity=True)
    assert w.layer_count(same) == 2 * LAYERS
    np.testing.assert_allclose(logits(same, IDS, how), before, atol=1e-10)
    for order in ("stack", "interpose"):
        assert np.abs(logits(w.deepen(tensors, factor=2, order=order), IDS, how) - before).max() > 0.1


def test_stacking_repeats_the_stack():
    tensors, _ = tiny()
    name = "model.layers.{}.mlp.up_proj.weight"
    stacked = w.deepen(tensors, factor=4)
    for layer in range(4 * LAYERS):
        assert stacked[name.format(layer)] is tensors[name.format(layer % LAYERS)]
    assert stacked["lm_head.weight"] is tensors["lm_head.weight"]


def test_growing_wide_then_deep_equals_deep_then_wide():
    tensors, _ = tiny(kv_heads=2)
    growth = w.WidthGrowth(factor=2)
    one, other = w.deepen(w.hyperclone(tensors, growth)), w.hyperclone(w.deepen(tensors), growth)
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_array_equal(one[name], other[name])


def test_fused_rows_of_neox_grow_like_separate_ones():
    """Query, key and value fused head by head."""
    tensors, _how = tiny(gated=False, bias=True, norm="layer")
    fused = {}
    for layer in range(LAYERS):
        name = f"model.layers.{layer}.self_attn"
        for kind in ("weight", "bias"):
            parts = [
                tensors[f"{name}.{p}.{kind}"].reshape(HEADS, 1, HEAD_DIM, -1)
                for p in ("q_proj", "k_proj", "v_proj")
            ]
            rows = np.concatenate(parts, axis=1).reshape(3 * HIDDEN, -1)
            fused[f"gpt_neox.layers.{layer}.attention.query_key_value.{kind}"] = (
                rows if kind == "weight" else rows[:, 0]
            )
    grown = w.hyperclone(fused, w.WidthGrowth(factor=2))
    expected = w.hyperclone(tensors, w.WidthGrowth(factor=2))
    for layer in range(LAYERS):
        for kind in ("weight", "bias"):
            rows = grown[f"gpt_neox.layers.{layer}.attention.query_key_value.{kind}"].reshape(
                2 * HEADS, 3, HEAD_DIM, -1
            )
            for index, part in enumerate(("q_proj", "k_proj", "v_proj")):
                want = expected[f"model.layers.{layer}.self_attn.{part}.{kind}"]
                np.testing.assert_array_equal(rows[:, index].reshape(want.shape), want)


def test_fused_rows_of_phi3_grow_part_by_part():
    tensors, _ = tiny(kv_heads=2)
    kv = 2 * HEAD_DIM
    qkv = np.concatenate(
        [tensors[f"model.layers.0.self_attn.{p}.weight"] for p in ("q_proj", "k_proj", "v_proj")]
    )
    name = "model.layers.0.self_attn.qkv_proj.weight"
    growth = w.WidthGrowth(factor=2, parts={"heads": HIDDEN, "kv": kv, "ffn": FFN})
    grown = w.hyperclone({name: qkv}, growth)[name]
    separate = w.hyperclone(tensors, w.WidthGrowth(factor=2))
    want = [separate[f"model.layers.0.self_attn.{p}.weight"] for p in ("q_proj", "k_proj", "v_proj")]
    np.testing.assert_array_equal(grown, np.concatenate(want))
    with pytest.raises(InfeasibleError, match="fused"):
        w.hyperclone({name: qkv}, w.WidthGrowth(factor=2))


@pytest.mark.parametrize("kv_heads", [HEADS, 2])
@pytest.mark.parametrize("factor", [2, 3])
def test_head_width_growth_scales_queries_and_keys(factor, kv_heads):
    """Wider heads, learned positions: OPT's other way of growing."""
    tensors, how = tiny(kv_heads=kv_heads, gated=False, bias=True, norm="layer", positions=True, tied=True)
    grown = w.widen_heads(tensors, factor=factor, heads=HEADS, kv_heads=kv_heads, tied="norm")
    np.testing.assert_allclose(logits(grown, IDS, how), logits(tensors, IDS, how), atol=1e-5)


def test_fpi_preserves_a_feed_forward_block_and_aki_starts_from_two_layers():
    rng = np.random.default_rng(0)
    up, down, above = rng.standard_normal((8, 5)), rng.standard_normal((5, 8)), rng.standard_normal((8, 5))
    hidden, inner = w.neuron_map(5, 9, rng), w.neuron_map(8, 13, rng)
    x = rng.standard_normal((3, 5))
    wide_up = w.fpi_linear(up, out_map=inner, in_map=hidden)
    wide_down = w.fpi_linear(down, out_map=hidden, in_map=inner)
    before = np.maximum(x @ up.T, 0) @ down.T
    after = np.maximum(x[:, hidden] @ wide_up.T, 0) @ wide_down.T
    np.testing.assert_allclose(after, before[:, hidden], atol=1e-12)
    advanced = w.aki_linear(up, above, out_map=inner, in_map=hidden)
    np.testing.assert_array_equal(advanced[:8], wide_up[:8])
    assert not np.allclose(advanced[8:], wide_up[8:])
    np.testing.assert_allclose(x[:, hidden] @ advanced[8:].T, (x @ above.T)[:, inner[8:]], atol=1e-12)


def fpi_decoder(tensors, hidden, inner):
    """All of a decoder by FPI: hidden and feed-forward neurons by their maps, every head twice."""
    heads = np.tile(np.arange(HIDDEN), 2)
    maps = {"hidden": hidden, "heads": heads, "kv": heads, "ffn": inner}
    grown = {}
    for name, value in tensors.items():
        rule = w.rule_of(name)
        if rule.kind == "embedding":
            grown[name] = value[:, hidden]
        elif rule.kind == "vector":
            grown[name] = value[hidden]
        else:
            rows = np.arange(VOCAB) if rule.kind == "head" else maps[rule.out[0]]
            grown[name] = w.fpi_linear(value, out_map=rows, in_map=maps[rule.into])
    return grown


def test_fpi_keeps_the_function_of_a_normed_decoder_with_equal_copies_only():
    tensors, how = tiny()
    rng = np.random.default_rng(0)
    inner = w.neuron_map(FFN, 2 * FFN, rng)
    before = logits(tensors, IDS, how)
    equal = fpi_decoder(tensors, np.tile(np.arange(HIDDEN), 2), inner)
    np.testing.assert_allclose(logits(equal, IDS, wider(how, 2)), before, atol=1e-5)
    uneven = fpi_decoder(tensors, w.neuron_map(HIDDEN, 2 * HIDDEN, rng), inner)
    assert np.abs(logits(uneven, IDS, wider(how, 2)) - before).max() > 0.5
    assert not OPERATORS["bert2bert_fpi"].preserves_function


def test_unknown_tensors_are_refused():
    with pytest.raises(InfeasibleError, match=r"no growth rule for a tensor named 'model.mystery.weight'"):
        w.rule_of("model.mystery.weight")
