"""The model of a published row: the sizes it states, and what the published architecture of the same sizes adds.

A row states layers, widths, heads and experts. It seldom states the width of a head, latent attention, shared experts
or which layers are dense; a model of the library (``scenarios/models``) with the same sizes does.
"""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from simulator import transformer
from simulator.transformer import Shape
from simulator.validate.cells import SkipError, empty, number, shown, text

if TYPE_CHECKING:
    from collections.abc import Mapping

HEAD_DIM = re.compile(r"head_dim (\d+)")
DENSE_LAYERS = re.compile(r"dense_layers=(\d+)")
NO_WINDOW = "no sliding window"

GATED = dict.fromkeys(("swiglu", "geglu", "reglu", "glu", "gated", "silu"), 1)
PLAIN = dict.fromkeys(("gelu", "gelu_new", "relu", "relu2", "squared_relu", "mlp"), 0)
BLOCKS = {**GATED, **PLAIN}
"""Words for the feed-forward block, to 1 with a gate, a third matrix, or 0 without. Hugging Face calls the gated one ``silu``."""

SAME = ("hidden_size", "num_attention_heads", "num_key_value_heads", "num_experts")
"""Sizes in which a row and its twin must agree, beside those of the feed-forward block."""

DENSE = ("intermediate_size",)
PADDING = 5e-4
"""Part by which the vocabularies of a dense row and its twin may differ: tables are padded to a multiple of 64 or 128. [-]"""
SPARSE = ("num_experts_per_tok", "moe_intermediate_size")


def shape_of_row(row: Mapping[str, Any]) -> Shape:
    """Sizes of a row's model.

    A missing feed-forward width is four times the hidden size, a missing vocabulary 50,304. Where a model of the library
    has the same sizes, the row's is taken as that one with the row's layers and vocabulary; else embeddings are shared
    where the stated number of parameters is nearer to that.

    Parameters
    ----------
    row : mapping
        A row of a throughput table. Beside its columns, its notes may say ``head_dim N``, ``dense_layers=N`` and ``no
        sliding window``, where a program runs a model of windows without them.
    """
    stated = _stated(row)
    twin = twin_of(**{name: float(stated[name]) for name in (*SAME, *DENSE, *SPARSE, "vocab_size")})
    notes = str(row["notes"])
    if twin is not None and (empty(row["mlp_type"]) or float(twin.gated) == stated["gated"]):
        dense = DENSE_LAYERS.search(notes)
        first = float(dense.group(1)) if dense else twin.first_k_dense_replace
        own = {name: stated[name] for name in ("num_hidden_layers", "vocab_size")}
        if NO_WINDOW in notes:
            own |= {"sliding_window": 0.0, "sliding_window_pattern": 0.0}
        return twin.with_(**own, first_k_dense_replace=np.minimum(first, stated["num_hidden_layers"]))
    head = HEAD_DIM.search(notes)
    shape = transformer.decoder(**stated, head_dim=float(head.group(1)) if head else None)
    return shape.with_(tie_word_embeddings=_shares_embeddings(row, shape))


def _stated(row: Mapping[str, Any]) -> dict[str, float]:
    heads, width = number(row["n_heads"], 1), number(row["d_model"], 1)
    gated = _gated(row["mlp_type"])
    experts = number(row["moe_experts"], 0)
    feed_forward = number(row["d_ff"], 4 * width)
    return {
        "num_hidden_layers": number(row["n_layers"], 1),
        "hidden_size": width,
        "intermediate_size": feed_forward,
        "num_attention_heads": heads,
        "num_key_value_heads": number(row["n_kv_heads"], heads),
        "vocab_size": number(row["vocab"], 50304),
        "gated": gated,
        "rotary": gated,
        "num_experts": experts,
        "num_experts_per_tok": number(row["moe_topk"], 0) if experts else 0.0,
        "moe_intermediate_size": number(row["moe_d_ff"], feed_forward) if experts else 0.0,
    }


def _gated(value: Any) -> int:
    """1 where the feed-forward block has a gate; a row that states nothing has none."""
    word = re.sub(r"[\s-]+", "_", text(value)) or "gelu"
    if word not in BLOCKS:
        raise SkipError(f"mlp_type not known: {shown(value)} (gelu or swiglu)")
    return BLOCKS[word]


def _shares_embeddings(row: Mapping[str, Any], shape: Shape) -> float:
    """1 where the stated number of parameters is nearer to that of shared input and output embeddings."""
    if empty(row["params_B"]):
        return 0.0
    stated = number(row["params_B"], 1.0) * 1e9
    apart = float(transformer.parameters(shape))
    return float(
        abs(float(transformer.parameters(shape.with_(tie_word_embeddings=1))) - stated) < abs(apart - stated)
    )


@cache
def _library() -> tuple[Shape, ...]:
    """Shapes of the models that ship, in the order of their names."""
    from simulator import library
    from simulator.schema import load_model

    shipped = library.packaged_root() / "scenarios" / "models"
    return tuple(transformer.shape_of(load_model(str(path))) for path in sorted(shipped.glob("*.yaml")))


@cache
def twin_of(**sizes: float) -> Shape | None:
    """Published architecture with these sizes; None where there is none.

    Examples
    --------
    DeepSeek-V3 by its sizes: its latent attention has 192 elements per query head.

    >>> twin = twin_of(hidden_size=7168, num_attention_heads=128, num_key_value_heads=128, num_experts=256,
    ...                intermediate_size=18432, vocab_size=129280, num_experts_per_tok=8, moe_intermediate_size=2048)
    >>> twin.qk_nope_head_dim + twin.qk_rope_head_dim
    192
    """
    names = (*SAME, *(SPARSE if sizes["num_experts"] else DENSE))

    def same(each: Shape) -> bool:
        near = abs(float(each.vocab_size) / sizes["vocab_size"] - 1.0) <= PADDING
        return (near or sizes["num_experts"] > 0) and all(getattr(each, n) == sizes[n] for n in names)

    return next((each for each in _library() if same(each)), None)
