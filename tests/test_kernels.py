"""Attention's kernels against measured ones: narrow heads, fused and not."""

from __future__ import annotations

import numpy as np
import pytest

from simulator import calibrations, kernels, library, transformer
from simulator.device import Constants, Device
from simulator.kernels import attention_time, score_matmuls
from simulator.layout import Layout
from simulator.schema import load_accelerator
from simulator.transformer import Shape
from simulator.validate.kernels import attentions

A100: tuple[Device, Constants] = (
    calibrations.device_of(load_accelerator("a100-sxm-80gb")),
    calibrations.constants_of(load_accelerator("a100-sxm-80gb"))[0],
)


def model(*, heads: int, width: int) -> Shape:
    return transformer.decoder(
        num_hidden_layers=1, hidden_size=heads * width, num_attention_heads=heads, vocab_size=32000, gated=0
    )


def test_a_head_costs_its_width_and_what_each_score_costs() -> None:
    """The middle of FlashAttention-2's pairs, heads of 64 against 128: ``r = (1 + f/128) / (1 + f/64)`` solved for f."""
    rows = attentions(library.find("measurements", "micro"))
    rates = rows.pivot_table(index=["gpu", "causal", "length"], columns="width", values="measured_value")
    assert len(rates) == 24
    ratio = float((rates[64.0] / rates[128.0]).median())
    assert pytest.approx((1.0 - ratio) / (ratio / 64.0 - 1.0 / 128.0), rel=0.03) == kernels.HEAD_FILL


def test_narrow_heads_are_slower_by_what_was_measured() -> None:
    layout = Layout(micro_batch_size=4, seq_length=4096)
    wide, _ = attention_time(model(heads=16, width=128), layout, *A100)
    narrow, _ = attention_time(model(heads=32, width=64), layout, *A100)
    assert wide / narrow == pytest.approx(0.873, abs=0.005)
    device, c = A100
    flop = 4 * 4096 * 4096 * 2048 * 2  # the unmasked half of 2 s (q + v) per token
    peak = float(device.attention_peak_flops) * float(c.attention_efficiency) * float(c.attention_factor)
    assert wide == pytest.approx(flop / peak)


def test_plain_attention_is_matmuls_as_narrow_as_a_head() -> None:
    """Half the width is nearly as long: neither does the contraction fill a tile's pipeline, nor the result a tile."""
    layout = Layout(micro_batch_size=4, seq_length=1024, flash_attention=0)
    times = {width: score_matmuls(model(heads=16, width=width), layout, *A100) for width in (64, 128)}
    (keys64, values64), (keys128, values128) = times[64], times[128]
    assert 0.7 < float(keys64 / keys128) < 0.9
    assert float(values64 / values128) == 1.0
    tile = 1.0 + float(A100[1].tile_fill) / 128.0
    flop_s = 4 * 1024 * 1024 * 2048 * 2 / (float(A100[0].peak_flops) * float(kernels.tile_share(*A100)))
    assert float(keys128) == pytest.approx(flop_s * tile, rel=0.1)


def test_a_layout_without_plain_attention_computes_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "score_matmuls", None)
    assert np.all(np.asarray(attention_time(model(heads=16, width=64), Layout(), *A100)) > 0)
