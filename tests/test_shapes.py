"""The model of a published row: what it states, and what the published architecture of the same sizes adds."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from simulator import library
from simulator import transformer as tf
from simulator.transformer import Shape
from simulator.validate import cases as tables
from simulator.validate.shapes import shape_of_row

TABLE = pd.read_csv(library.find("measurements", "throughput"), low_memory=False).set_index("id", drop=False)


def shape_of(name: str, **changes: object) -> Shape:
    return shape_of_row({**{str(key): value for key, value in TABLE.loc[name].items()}, **changes})


def first(model: str) -> str:
    """Id of the first row of a model."""
    return str(TABLE.index[TABLE.model_name == model][0])


def test_latent_attention_comes_from_the_published_architecture() -> None:
    deepseek = shape_of(first("DeepSeekV3"))
    assert float(tf.query_width(deepseek)) == 128 * 192
    assert float(tf.parameters(deepseek)) == pytest.approx(671e9, rel=0.001)
    assert float(deepseek.shared_expert_intermediate_size) == 2048


def test_fewer_layers_than_published_keep_the_rest_of_the_architecture() -> None:
    short = shape_of(first("DeepSeek-V3 4L"))  # its notes say dense_layers=1; the whole model has three
    assert float(short.num_hidden_layers) == 4
    assert float(tf.moe_layers(short)) == 3
    assert float(tf.moe_layers(shape_of(first("DeepSeek-V3 4L"), notes=""))) == 1


def test_every_second_layer_of_maverick_is_a_mixture() -> None:
    maverick = shape_of(first("Llama-4-Maverick"))
    assert float(tf.moe_layers(maverick)) == 24
    assert float(tf.parameters(maverick)) == pytest.approx(400.7e9, rel=0.001)


def test_a_stated_width_of_heads_is_read() -> None:
    assert float(shape_of(first("Languini GPT-mini")).head_dim) == 32
    assert float(shape_of(first("Languini GPT-mini"), notes="").head_dim) == 64


def test_embeddings_are_shared_where_the_stated_parameters_say_so() -> None:
    assert shape_of("vtrain-0001").tie_word_embeddings == 1.0
    assert shape_of("vtrain-0001", params_B=None).tie_word_embeddings == 0.0
    twice = float(tf.parameters(shape_of("vtrain-0001", params_B=None))) / 1e9
    assert shape_of("vtrain-0001", params_B=twice).tie_word_embeddings == 0.0


def test_models_that_nobody_published_are_read_as_they_are_stated() -> None:
    row = shape_of("korthikanti-0007", d_model=25600.0, n_heads=160.0)
    assert float(row.head_dim) == 160
    assert float(row.intermediate_size) == 102400


def test_models_of_all_rows_have_the_parameters_they_state() -> None:
    """Within 5 % on 98 of 100 rows that state a number; the others round a small one or count without a vocabulary."""
    rows = tables.of_frame(TABLE)
    stated = TABLE.loc[list(rows.id)].params_B.to_numpy(dtype=float) * 1e9
    known = np.isfinite(stated)
    off = np.abs(tf.parameters(rows.shape)[known] / stated[known] - 1.0)
    assert known.sum() > 3000
    assert (off < 0.05).mean() > 0.98
