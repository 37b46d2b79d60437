"""Shapes of decoders that are tried: widths, depths, heads, feed-forward widths."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from simulator.search.lattice import ASPECTS
from simulator.transformer import Shape

Array = NDArray[np.float64]

DEFAULT_VOCABULARY = 32_000
"""Vocabulary of a model nobody described. [tokens]"""

KEY_VALUE_SHARES = (1.0, 0.25)
"""Key and value heads per query head that are tried: multi-head, and groups of four as in Llama 3. [-]"""


def widths(largest: int = 20_480) -> Array:
    """Widths tried: multiples of 128, coarser where models are large. [-]"""
    fine = np.arange(256, 4096, 128)
    middle = np.arange(4096, 8192, 256)
    wide = np.arange(8192, largest + 1, 512)
    return np.concatenate([fine, middle, wide]).astype(float)


def depths() -> Array:
    """Depths tried: even from 4 to 64, then multiples of 4 and 8; laws of shape have no data below 3. [layers]"""
    return np.concatenate([np.arange(4, 64, 2), np.arange(64, 97, 4), np.arange(104, 161, 8)]).astype(float)


def head_size(width: Array) -> Array:
    """Size of a head: 128 from a width of 1024 on where it divides the width, else 64; else the divisor nearest to 128. [-]

    Of the divisors up to 256 those that are multiples of eight come first: others leave the tensor cores where attention is not fused.

    Examples
    --------
    >>> head_size(np.array([512.0, 1024.0, 1600.0, 4000.0, 2500.0, 17.0]))
    array([ 64., 128.,  64., 160., 125.,  17.])
    """
    usual = np.where((width >= 1024) & (width % 128 == 0), 128.0, np.where(width % 64 == 0, 64.0, 0.0))
    odd = np.array([0.0 if found else _odd_head(int(one)) for one, found in zip(width, usual, strict=True)])
    return np.where(usual > 0, usual, odd)


def _odd_head(width: int) -> float:
    """Size of a head of a width that neither 128 nor 64 divides. [-]"""
    fitting = [size for size in range(min(width, 256), 0, -1) if width % size == 0]
    return float(min(fitting, key=lambda size: (size % 8 > 0, abs(size - 128))))


def feed_forward(width: Array, *, gated: bool, ratio: float | None = None, multiple: int = 256) -> Array:
    """Feed-forward width: 8/3 of the width (gated, rounded up to 256) or four times it (plain). [-]

    Examples
    --------
    >>> feed_forward(np.array([4096.0]), gated=True)
    array([11008.])
    """
    if ratio is None:
        ratio = 8 / 3 if gated else 4.0
    if not gated:
        return np.asarray(np.round(ratio * width), dtype=float)
    return np.asarray(multiple * np.ceil(ratio * width / multiple - 1e-9), dtype=float)


def candidates(
    *,
    template: Shape | None = None,
    hidden_size: tuple[int, ...] | None = None,
    num_hidden_layers: tuple[int, ...] | None = None,
) -> Shape:
    """Build the shapes that a search tries, as arrays of one length.

    Parameters
    ----------
    template : Shape, optional
        A model whose family is kept: vocabulary, kind and relative width of the feed-forward block, head size, share of
        key and value heads, flags. Without it a Llama-like family with 32,000 tokens.
    hidden_size, num_hidden_layers : tuple of int, optional
        Widths and depths to try; everything between the limits of `ASPECTS` if absent.

    Examples
    --------
    >>> some = candidates(hidden_size=(1024, 2048), num_hidden_layers=(16, 24))
    >>> sorted(set(some.intermediate_size.tolist()))
    [2816.0, 5632.0]
    """
    wide = widths() if hidden_size is None else np.array(hidden_size, dtype=float)
    deep = depths() if num_hidden_layers is None else np.array(num_hidden_layers, dtype=float)
    shares = (
        KEY_VALUE_SHARES
        if template is None
        else (float(template.num_key_value_heads / template.num_attention_heads),)
    )
    width, depth, share = (a.ravel() for a in np.meshgrid(wide, deep, np.array(shares), indexing="ij"))
    if hidden_size is None or num_hidden_layers is None:
        keep = (width / depth >= ASPECTS[0]) & (width / depth <= ASPECTS[1])
        width, depth, share = width[keep], depth[keep], share[keep]
    if template is None:
        template = Shape(1, 1, 1, 1, 1, 1, DEFAULT_VOCABULARY)
        size = head_size(width)
        ffn = feed_forward(width, gated=True)
    else:
        size = np.full_like(width, float(template.head_dim))
        ffn = feed_forward(
            width,
            gated=bool(template.gated),
            ratio=float(template.intermediate_size / template.hidden_size),
            multiple=128,
        )
    heads = np.maximum(1.0, np.round(width / size))
    groups = np.maximum(1.0, np.round(heads * share))
    keep = (heads * size == width) & (heads % groups == 0)
    keep &= ~((share < 1) & (groups == heads)) if len(shares) > 1 else True
    scaled = _scaled(template, width)
    return replace(
        template,
        num_hidden_layers=depth[keep],
        hidden_size=width[keep],
        intermediate_size=ffn[keep],
        num_attention_heads=heads[keep],
        num_key_value_heads=groups[keep],
        head_dim=size[keep],
        **{name: column[keep] for name, column in scaled.items()},
    )


def _scaled(template: Shape, width: Array) -> dict[str, Array]:
    """Widths of a template that grow with the model: experts and latent ranks."""
    names = ("moe_intermediate_size", "shared_expert_intermediate_size", "q_lora_rank", "kv_lora_rank")
    out = {}
    for name in names:
        value = float(getattr(template, name))
        if value:
            out[name] = 64 * np.ceil(value / float(template.hidden_size) * width / 64 - 1e-9)
    return out
