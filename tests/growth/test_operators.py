"""What operators do to shapes, against published parameter counts."""

from __future__ import annotations

import numpy as np
import pytest

from simulator import transformer
from simulator.errors import UnknownNameError
from simulator.growth import OPERATORS, effect, effects, links, operators
from simulator.transformer import decoder, parameters


def pythia_410m():
    return decoder(
        num_hidden_layers=24, hidden_size=1024, num_attention_heads=16, vocab_size=50304, gated=0,
        attention_bias=1, attention_output_bias=1, mlp_bias=1, norm_parameters=2,
    )  # fmt: skip


def mobilellm_r1_140m():
    return decoder(
        num_hidden_layers=15, hidden_size=576, intermediate_size=2048, num_attention_heads=9,
        num_key_value_heads=3, vocab_size=128256, tie_word_embeddings=1,
    )  # fmt: skip


def olmo_1b():
    return decoder(
        num_hidden_layers=16, hidden_size=2048, intermediate_size=8192, num_attention_heads=16, vocab_size=50304,
        tie_word_embeddings=1, norm_parameters=0,
    )  # fmt: skip


def test_hypercloning_parameter_counts_are_exact():
    """Pythia 410M -> 1.4B; MobileLLM-R1 140M with its feed-forward width kept and its head untied."""
    assert parameters(pythia_410m()) == 405_334_016
    assert parameters(operators.widen(pythia_410m(), factor=2)) == 1_414_647_808
    assert parameters(mobilellm_r1_140m()) == 140_248_512 - 0
    grown = operators.widen(mobilellm_r1_140m(), factor=2, up_project_factor=1, untie=True)
    assert (grown.num_attention_heads, grown.num_key_value_heads) == (18, 6)
    assert parameters(grown) == 454_790_016


def test_olmo_keeps_its_feed_forward_width():
    """1.177B -> 2.89B: with m = 1 the non-embedding parameters grow by 2.5, not 4."""
    small, large = olmo_1b(), operators.widen(olmo_1b(), factor=2, up_project_factor=1)
    assert parameters(small) == pytest.approx(1.177e9, rel=1e-3)
    assert parameters(large) == pytest.approx(2.89e9, rel=1e-3)
    ratio = transformer.non_embedding_parameters(large) / transformer.non_embedding_parameters(small)
    assert ratio == pytest.approx(2.5, abs=0.01)


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_width_growth_by_group(factor):
    """Matrices by the square, embeddings, head and copies by the factor."""
    e = effect(pythia_410m(), operator="hypercloning", factor=factor)
    assert e.params_by_group["attention"] == e.params_by_group["feed-forward"] == factor**2
    assert e.params_by_group["embeddings"] == e.params_by_group["head"] == factor
    assert e.params_by_group["norms and biases"] == factor
    assert e.copies_per_token == factor
    assert factor < e.flop_per_token < factor**2


@pytest.mark.parametrize("factor", [2, 4])
def test_depth_growth_by_group(factor):
    e = effect(pythia_410m(), operator="g_stack", factor=factor)
    assert e.params_by_group["attention"] == e.params_by_group["feed-forward"] == factor
    assert e.params_by_group["embeddings"] == e.params_by_group["head"] == 1
    assert e.copies_per_token == factor


def test_groups_sum_to_all_parameters():
    for shape in (pythia_410m(), mobilellm_r1_140m(), olmo_1b()):
        assert sum(effects.parameter_groups(shape).values()) == parameters(shape)


def test_mqa_keeps_one_key_value_head():
    mqa = decoder(
        num_hidden_layers=2, hidden_size=64, num_attention_heads=8, num_key_value_heads=1, vocab_size=10
    )
    assert operators.widen(mqa, factor=4).num_key_value_heads == 1
    assert operators.widen(mqa, factor=4).num_attention_heads == 32


def test_head_dim_growth_has_the_same_size():
    shape = pythia_410m()
    assert parameters(operators.widen_head_dim(shape)) == parameters(operators.widen(shape))


def test_arrays_equal_scalars():
    width = np.array([512, 1024, 2048])
    lattice = decoder(
        num_hidden_layers=12, hidden_size=width, num_attention_heads=width // 64, vocab_size=32000
    )
    for operator in OPERATORS.values():
        grown = parameters(operator.grow(lattice, factor=2))
        for i, w in enumerate(width.tolist()):
            one = decoder(num_hidden_layers=12, hidden_size=w, num_attention_heads=w // 64, vocab_size=32000)
            assert parameters(operator.grow(one, factor=2)) == grown[i]


def test_dense_first_layers_are_not_stacked():
    moe = decoder(
        num_hidden_layers=27, hidden_size=2048, num_attention_heads=16, vocab_size=1000, num_experts=64,
        num_experts_per_tok=6, moe_intermediate_size=1408, first_k_dense_replace=1,
    )  # fmt: skip
    deeper = operators.deepen(moe, factor=2)
    assert deeper.num_hidden_layers == 53
    assert transformer.moe_layers(deeper) == 2 * transformer.moe_layers(moe)


def test_links_are_exactly_the_operator():
    layers = np.array([6, 12, 24, 12])
    width = np.array([512, 512, 512, 1024])
    lattice = decoder(
        num_hidden_layers=layers, hidden_size=width, num_attention_heads=width // 64, vocab_size=32000
    )
    pairs = {
        (int(i), int(j)) for i, j in zip(*links(lattice, operator="g_stack", factors=(2, 4)), strict=True)
    }
    assert pairs == {(0, 1), (1, 2), (0, 2)}
    pairs = {
        (int(i), int(j)) for i, j in zip(*links(lattice, operator="hypercloning", factors=(2,)), strict=True)
    }
    assert pairs == {(1, 3)}
    pairs = {
        (int(i), int(j)) for i, j in zip(*links(lattice, operator="compound", factors=(2,)), strict=True)
    }
    assert pairs == {(0, 3)}


def test_every_operator_says_what_it_keeps():
    for name, operator in OPERATORS.items():
        assert operator.name == name
        assert operator.axis in {"width", "depth", "both"}
        assert operator.source
        assert operator.optimizer_state
        assert operator.description
    with pytest.raises(UnknownNameError, match="g_stack"):
        operators.get("gstack")
