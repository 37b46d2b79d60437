"""The lattice, feasibility and the fastest layout, against plain loops over plain numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator import clocks
from simulator.layout import n_gpus
from simulator.memory import MEMORY_PROFILES
from simulator.schema import Model
from simulator.search import choice, evaluate, feasibility, lattice, planner, shapes
from simulator.search.evaluate import Counts
from simulator.search.lattice import Pins
from simulator.search.question import Learning, Limits, Question
from simulator.search.table import scalar_shape
from simulator.transformer import Shape


def small_axes(n=8, seq_length=2048, pins=None, batches=(16.0, 64.0), **how):
    shape = shapes.candidates(hidden_size=(1024,), num_hidden_layers=(8, 12))
    return shape, lattice.layout_axes(
        n_gpus=n,
        link_domain=8,
        shape=shape,
        seq_length=seq_length,
        batches=list(batches),
        pins=pins or Pins(),
        **how,
    )


def test_every_layout_uses_all_accelerators(setting):
    shape, axes = small_axes()
    found = evaluate.fastest(shape, axes, setting(), Counts())
    for s in range(lattice.count(shape)):
        for g in range(axes.batches):
            if np.isfinite(found.step_time_s[s, g]):
                layout = evaluate.layout_at(axes, int(found.kernel[s, g]), int(found.spread[s, g]), g)
                assert n_gpus(layout) == 8
                assert (
                    layout.micro_batch_size * layout.num_microbatches * layout.dp == axes.global_batch_size[g]
                )


@pytest.mark.parametrize("name", list(clocks.CLOCKS))
def test_fastest_equals_a_loop_over_single_plans(setting, name):
    """Every clock: the table's minimum is the minimum of scalar evaluations, and its time is that plan's time."""
    here = setting(clock=name, memory_gib=6.0)
    shape, axes = small_axes(n=4, batches=(8.0, 16.0))
    found = evaluate.fastest(shape, axes, here, Counts())
    for s in range(lattice.count(shape)):
        one = scalar_shape(shape, s)
        for g in range(axes.batches):
            best = np.inf
            for k in range(axes.kernels):
                for p in range(axes.spreads):
                    layout = evaluate.layout_at(axes, k, p, g)
                    if runs_alone(one, layout, here, axes.n_gpus):
                        best = min(best, float(here.step_time(one, layout)))
            assert found.step_time_s[s, g] == pytest.approx(best, rel=1e-12)


def runs_alone(shape, x, here, number):
    """Megatron's rules and memory, written once more for one plan."""
    whole = all(float(v).is_integer() and v >= 1 for v in (x.dp, x.num_microbatches))
    if not whole or x.tp * x.pp * x.cp * x.dp != number:
        return False
    if shape.num_attention_heads % x.tp or shape.intermediate_size % x.tp:
        return False
    if shape.num_key_value_heads % x.tp and x.tp % shape.num_key_value_heads:
        return False
    if shape.num_hidden_layers % (x.pp * x.vp) or (x.vp > 1 and (x.pp == 1 or x.num_microbatches % x.pp)):
        return False
    if x.num_microbatches < x.pp:
        return False
    return float(here.memory(shape, x)["total"]) <= here.memory_limit


def test_chunk_size_does_not_change_the_answer(setting):
    shape, axes = small_axes(n=8)
    one, other = (evaluate.fastest(shape, axes, setting(), Counts(), rows=rows) for rows in (65_536, 37))
    assert np.array_equal(one.step_time_s, other.step_time_s)
    assert np.array_equal(one.kernel, other.kernel)
    assert np.array_equal(one.spread, other.spread)


def test_counts_add_up_and_name_their_reasons(setting):
    shape, axes = small_axes(n=8)
    counts = Counts()
    evaluate.fastest(shape, axes, setting(memory_gib=3.0), counts)
    assert counts.considered == lattice.count(shape) * axes.layouts
    assert 0 <= counts.feasible <= counts.considered
    assert counts.refused["memory"] > 0
    assert set(counts.refused) <= {"devices", "degree", "heads", "layers", "batch", "memory"}


@settings(max_examples=25, deadline=None)
@given(
    n=st.sampled_from([1, 2, 6, 8, 16]),
    tp=st.sampled_from([None, 1, 2]),
    pp=st.sampled_from([None, 1, 2]),
    micro=st.sampled_from([None, 1, 2]),
    mode=st.sampled_from([None, 0, 2]),
    zero=st.sampled_from([None, 0, 1, 3]),
)
def test_pins_are_respected(machine, n, tp, pp, micro, mode, zero):
    pins = Pins(tp=tp, pp=pp, micro_batch_size=micro, recompute=mode, zero_stage=zero)
    question = Question(
        machines=(machine(counts=(n,)),),
        limits=Limits(time_s=86400.0),
        learning=Learning(),
        seq_length=1024,
        pins=pins,
    )
    one = shapes.candidates(hidden_size=(1024,), num_hidden_layers=(8,))
    plans, _ = choice.layouts(question, 0, n, scalar_shape(one, 0))
    for plan in plans:
        x = plan.layout
        assert tp in (None, x.tp)
        assert pp in (None, x.pp)
        assert micro in (None, x.micro_batch_size)
        assert mode in (None, x.recompute)
        assert zero in (None, x.zero_stage) or x.dp * x.cp == 1
    if n % ((tp or 1) * (pp or 1)) == 0:
        assert plans


def test_batches_divide_by_the_odd_part():
    assert all(b % 3 == 0 for b in lattice.batch_sizes(n_gpus=48, low=5, high=500))
    assert planner.near_batches(977, 1024)[-1] == 1024
    assert 1536.0 in planner.near_batches(1536, 1024)


def test_candidates_are_whole_and_inside_the_aspects():
    made = shapes.candidates()
    ratio = made.hidden_size / made.num_hidden_layers
    assert ratio.min() >= lattice.ASPECTS[0]
    assert ratio.max() <= lattice.ASPECTS[1]
    assert np.all(made.num_attention_heads * made.head_dim == made.hidden_size)
    assert np.all(made.num_attention_heads % made.num_key_value_heads == 0)
    assert np.all(made.intermediate_size % 256 == 0)


def test_template_keeps_its_family():
    llama = shapes.candidates(hidden_size=(4096,), num_hidden_layers=(32,))
    template = scalar_shape(llama, 0).with_(
        vocab_size=50_304, gated=0, intermediate_size=16_384, num_key_value_heads=32
    )
    made = shapes.candidates(template=template, hidden_size=(2048,), num_hidden_layers=(16,))
    assert lattice.count(made) == 1
    assert made.vocab_size == 50_304
    assert made.intermediate_size[0] == 4 * 2048
    assert made.num_key_value_heads[0] == made.num_attention_heads[0]


def test_bound_is_never_above_a_plan(setting):
    """Accelerator seconds per token of every plan are at least the bound of its shape and kernel, for every clock."""
    shape, axes = small_axes(n=8, batches=(32.0, 128.0))
    for name in clocks.CLOCKS:
        here = setting(clock=name)
        bound = evaluate.least_gpu_seconds_per_token(shape, axes, here)
        times = evaluate.chunk(lattice.shapes_on_axis(shape), axes, here, Counts())
        batches = lattice.on_axis(axes.global_batch_size, lattice.BATCH)
        per_token = times * axes.n_gpus / (batches * axes.seq_length)
        assert np.all(np.min(per_token, axis=(lattice.BATCH, lattice.SPREAD)) >= bound * (1 - 1e-9)), name


@pytest.mark.parametrize(("profile", "memory_gib"), [("megatron", 4.0), ("nanotron", 4.0), ("nanotron", 6.0)])
def test_memory_of_a_full_pipeline_stands_for_all_batches(setting, profile, memory_gib):
    """Masks with several batches equal those with each batch alone, where there are as many micro-batches as stages.

    A single micro-batch on one stage has no logits of one before it, which nanotron frees late.
    """
    shape, axes = small_axes(n=8, batches=(32.0, 64.0, 128.0))
    here = replace(setting(memory_gib=memory_gib), profile=MEMORY_PROFILES[profile])
    several = evaluate.chunk(lattice.shapes_on_axis(shape), axes, here, Counts())
    for g, batch in enumerate(axes.global_batch_size):
        _, alone = small_axes(n=8, batches=(float(batch),))
        kernels = [k for k in range(axes.kernels) if axes.micro_batch_size[k] <= batch]
        one = evaluate.chunk(lattice.shapes_on_axis(shape), alone, here, Counts())[:, 0]
        layout = alone.layout()
        enough = np.broadcast_to((layout.num_microbatches >= layout.pp)[:, 0], one.shape)
        both = several[:, g][:, kernels]
        assert np.array_equal(np.isfinite(both)[enough], np.isfinite(one)[enough])


def test_a_pipeline_deals_layers_unevenly_and_interleaves_what_the_fullest_stage_holds():
    """Llama 3: 126 layers on 16 stages, eight on most, in chunks of one layer (arXiv:2407.21783, section 3.3.2)."""
    shape = Shape(
        **Model(
            num_hidden_layers=126, hidden_size=1024, num_attention_heads=8, intermediate_size=4096
        ).sizes()
    )

    def refused(**pins):
        axes = lattice.layout_axes(
            n_gpus=16, link_domain=8, shape=shape, seq_length=1024, batches=[64.0], pins=Pins(**pins)
        )
        masks = dict(feasibility.refusals(shape, axes.layout(), axes))
        return bool(np.all(masks["layers"]))

    assert not refused(pp=16, vp=8)
    assert refused(pp=16, vp=3)
    assert refused(pp=1, vp=8)
    assert not refused(pp=16)


@pytest.mark.parametrize("width", [2000, 2500, 3000, 4000, 5000])
def test_a_width_that_neither_64_nor_128_divides_has_more_than_one_head(width: int) -> None:
    found = shapes.candidates(hidden_size=(width,), num_hidden_layers=(32,))
    heads, size = found.num_attention_heads, found.head_dim
    assert np.all(heads * size == width)
    assert np.all((size >= 80) & (size <= 256))
