"""What cannot run, and why: masks over a lattice, each with the name of its reason."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from simulator.layout import SCHEDULES, Layout
from simulator.memory.advice import MOST_UNEVEN
from simulator.search.lattice import SPREAD, Axes, on_axis
from simulator.transformer import Shape

REASONS = {
    "devices": "tp x cp x pp does not divide the number of accelerators",
    "degree": "dp, ep or a sharding stage does not fit the other degrees",
    "heads": "tp does not divide the heads or the feed-forward width",
    "layers": "vp does not divide the layers of a stage, the fullest holds over a tenth more than the mean, or there are more stages than layers",
    "batch": "micro_batch_size x dp does not divide the batch, or a free batch has fewer micro-batches than pipeline stages",
    "schedule": "DualPipe needs an even pp and an even number of micro-batches, at least twice as many, and vp 1",
    "memory": "the peak memory exceeds the accelerator's",
    "latency": "the trained model would not fit the accelerators that serve it, or not answer fast enough",
    "quality": "the trained model would not be good enough",
    "time": "the run would not end within the limits",
}
"""Reasons for which a plan is refused, in the order in which they are looked at."""

Mask = Any


def divides(a: Any, b: Any) -> Mask:
    """Whether `a` divides `b`, elementwise."""
    return np.mod(b, a) == 0


def refusals(shape: Shape, layout: Layout, axes: Axes) -> Iterator[tuple[str, Mask]]:
    """Masks of plans that no machine can run, by reason; each has length one where it does not vary.

    Divisibility rules are Megatron's, but that stages need not hold equally many layers.
    """
    pins = axes.pins
    yield "devices", ~divides(layout.tp * layout.cp * layout.pp, float(axes.n_gpus))
    yield "degree", _degree(layout, axes)
    tp = layout.tp
    groups = np.asarray(shape.num_key_value_heads)
    heads = divides(tp, shape.num_attention_heads) & (divides(tp, groups) | divides(groups, tp))
    yield "heads", ~(heads & divides(tp, shape.intermediate_size))
    yield "layers", ~_dealt(shape, layout, pinned=pins.pp is not None)
    m = layout.num_microbatches
    batch = (m >= 1) & (np.floor(m) == m)
    if axes.fills_pipelines:
        batch = batch & (m >= layout.pp)
    yield "batch", ~(batch & ((layout.vp == 1) | divides(layout.pp, m)))
    if pins.schedule == SCHEDULES["dualpipe"]:
        yield (
            "schedule",
            ~(divides(2.0, layout.pp) & divides(2.0, m) & (m >= 2 * layout.pp) & (layout.vp == 1)),
        )


def _dealt(shape: Shape, layout: Layout, *, pinned: bool) -> Mask:
    """Whether the layers can be dealt to the stages: the fullest decides, and vp divides what it holds.

    Llama 3's 126 layers on 16 stages are 8 on most and 7 on the last. Very uneven stages are only for those who write ``pp``.
    """
    depth = np.asarray(shape.num_hidden_layers)
    fullest = np.ceil(depth / layout.pp)
    dealt = divides(layout.vp, fullest) & (layout.pp <= depth)
    return dealt if pinned else dealt & (fullest * layout.pp <= MOST_UNEVEN * depth)


def _degree(layout: Layout, axes: Axes) -> Mask:
    pins = axes.pins
    ranks = layout.dp * layout.cp
    bad = (layout.ep > 1) & ~divides(layout.ep, ranks)
    bad = bad | ~divides(layout.cp, layout.seq_length)
    bad = bad | ((layout.vp > 1) & (layout.pp == 1))
    if pins.dp is not None:
        bad = bad | (layout.dp != pins.dp)
    if pins.shard_group is not None:
        bad = bad | ~divides(float(pins.shard_group), ranks)
    if pins.zero_with_tp < 3 and (pins.zero_stage is None or pins.tp is None):
        bad = bad | ((layout.tp > 1) & (layout.zero_stage > pins.zero_with_tp))
    if pins.shards_over_some(axes.n_gpus):
        bad = bad | (ranks == 1)
    if pins.zero_stage is None and len(set(axes.zero_stage.tolist())) > 1:
        first = axes.zero_stage[0]
        bad = bad | ((ranks == 1) & (on_axis(axes.zero_stage, SPREAD) != first))
    return bad
