"""All clocks by name, and the simple ones that `memory_copies` has to beat.

Each takes a `Shape`, a `Layout`, a `Device` and `Constants` and returns seconds by level, like the default clock. They are
here to be compared with: a model that cannot beat `constant_mfu` is not worth its parameters. Their own constants are one
or two efficiencies each, fitted by ``trainsim calibrate`` to the same rows.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from simulator import clock, copies, pipeline, traffic
from simulator import transformer as tf
from simulator.columns import Numeric
from simulator.device import Constants, Device
from simulator.flop import model_flop_per_token
from simulator.layout import Layout, n_gpus, tokens_per_microbatch, tokens_per_step
from simulator.transformer import Shape

Clock = Callable[[Shape, Layout, Device, Constants], dict[str, Numeric]]
"""From numbers to seconds by level."""

HALF_OF_PEAK = 0.5
"""Model FLOP utilisation of the rule of thumb. [-]"""


def _bubble(layout: Layout) -> Numeric:
    return pipeline.bubble_fraction(pp=layout.pp, num_microbatches=layout.num_microbatches, vp=layout.vp)


def _model_flop_s(shape: Shape, layout: Layout, device: Device, convention: str) -> Numeric:
    """Model FLOP of a step over the peak of all devices. [s]"""
    flop = model_flop_per_token(shape, seq_length=layout.seq_length, convention=convention)
    return flop * tokens_per_step(layout) / (n_gpus(layout) * np.asarray(device.peak_flops))


def constant_mfu(shape: Shape, layout: Layout, device: Device, constants: Constants) -> dict[str, Numeric]:
    """Half of the dense peak on model FLOP, plus the 1F1B bubble. [s]

    No parameter is fitted. On mixed published data no other tool beats it; recomputation, networks and small work are
    left out.
    """
    work = _model_flop_s(shape, layout, device, "megatron") / HALF_OF_PEAK
    return {"compute": work, "pipeline_bubble": work * _bubble(layout)}


def flops(shape: Shape, layout: Layout, device: Device, constants: Constants) -> dict[str, Numeric]:
    """``6 N D`` (8 with full recomputation) over a fitted utilisation, as planning spreadsheets do. [s]"""
    factor = np.where(np.asarray(layout.recompute) == 2, 4.0 / 3.0, 1.0)
    return {"compute": _model_flop_s(shape, layout, device, "6N") * factor / constants.flops_mfu}


def _copied_bytes(shape: Shape, layout: Layout) -> Numeric:
    """Device-memory bytes of one step and device, one read or write per element, only attention fused. [B]"""
    elements = copies.layer_elements(
        hidden_size=shape.hidden_size,
        key_value_width=tf.key_value_width(shape) / 2,
        intermediate_size=shape.intermediate_size,
        gated=shape.gated,
        rotary=shape.rotary,
    )
    full = (np.asarray(layout.recompute) == 2).astype(float)
    layers = np.asarray(shape.num_hidden_layers, dtype=float) / layout.pp
    tokens = tokens_per_microbatch(layout)
    scores = copies.score_bytes(
        num_attention_heads=shape.num_attention_heads, seq_length=layout.seq_length, passes=2.5
    )
    plain = np.where(np.asarray(layout.flash_attention) > 0, 0.0, scores)
    activations = tokens * layers * (2.0 * elements + plain) * (3.0 + full) / layout.tp
    logits = tokens * copies.logit_bytes(vocab_size=shape.vocab_size) / layout.tp
    dense, experts = traffic.device_parameters(shape, layout)
    weights = 2.0 * (dense + experts) * (3.0 + full)
    return np.asarray(layout.num_microbatches) * (activations + logits + weights)


def hbm_copies(shape: Shape, layout: Layout, device: Device, constants: Constants) -> dict[str, Numeric]:
    """Device-memory copies over a fitted share of the memory bandwidth, plus the bubble: a single-level proxy. [s]

    Blind to matrix work: it misses most where matmuls are large.
    """
    rate = np.asarray(device.memory_bandwidth) * constants.hbm_copies_efficiency
    work = _copied_bytes(shape, layout) / rate
    return {"memory": work, "pipeline_bubble": work * _bubble(layout)}


def roofline(shape: Shape, layout: Layout, device: Device, constants: Constants) -> dict[str, Numeric]:
    """The slower of matmuls at a fitted share of peak and copies at full bandwidth, plus the bubble. [s]

    Optimistic: it assumes that the two overlap perfectly, and knows no network.
    """
    factor = np.where(np.asarray(layout.recompute) == 2, 4.0 / 3.0, 1.0)
    work = _model_flop_s(shape, layout, device, "megatron") * factor
    moved = _copied_bytes(shape, layout) / np.asarray(device.memory_bandwidth)
    busy = np.maximum(work, moved) / constants.roofline_efficiency
    return {"roofline": busy, "pipeline_bubble": busy * _bubble(layout)}


def linear_copies(shape: Shape, layout: Layout, device: Device, constants: Constants) -> dict[str, Numeric]:
    """Seconds as a linear function of tile copies and device-memory copies, fitted by regression, plus the bubble. [s]

    The method of *Time Matters* (Inbar and Sernau, arXiv:2406.18922); the paper's own constants are not public to us,
    so the coefficients are fitted to the measurements here.
    """
    factor = np.where(np.asarray(layout.recompute) == 2, 4.0 / 3.0, 1.0)
    tiles = _model_flop_s(shape, layout, device, "megatron") * factor * constants.linear_tile_slope
    memory = (
        _copied_bytes(shape, layout) / np.asarray(device.memory_bandwidth) * constants.linear_memory_slope
    )
    fixed = np.asarray(constants.linear_intercept_s) + 0.0 * tiles
    return {
        "tiles": tiles,
        "memory": memory,
        "pipeline_bubble": (tiles + memory) * _bubble(layout),
        "overhead": fixed,
    }


RIVALS: dict[str, Clock] = {
    "hbm_copies": hbm_copies,
    "flops": flops,
    "roofline": roofline,
    "constant_mfu": constant_mfu,
    "linear_copies": linear_copies,
}
"""Clocks to compare with, by name."""

CLOCKS: dict[str, Clock] = {"memory_copies": clock.memory_copies, **RIVALS}
"""All clocks by name; the first is the default."""


def step_time(
    shape: Shape, layout: Layout, device: Device, constants: Constants, *, name: str = "memory_copies"
) -> Numeric:
    """Seconds of one optimizer step by a named clock. [s]

    Raises
    ------
    UnknownNameError
        If there is no such clock.
    """
    from simulator.errors import UnknownNameError

    if name not in CLOCKS:
        raise UnknownNameError(name, kind="clock", names=CLOCKS)
    return sum(CLOCKS[name](shape, layout, device, constants).values())
