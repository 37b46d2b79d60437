"""Leaving out what cannot win never loses the winner; more of anything never hurts; order does not matter."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.search import choice, lattice, planner, shapes
from simulator.search.lattice import Pins
from simulator.search.question import RESOLUTION_NATS, Learning, Limits, Question


def lattice_of(rng, number):
    """A random handful of shapes."""
    whole = shapes.candidates()
    size = whole.hidden_size**2 * whole.num_hidden_layers
    near = np.flatnonzero((size > 2e6) & (size < 4e10))
    return lattice.take(whole, np.sort(rng.choice(near, size=number, replace=False)))


def ask(machines, limits, **how):
    learning = how.pop("learning", Learning(shape_law="Gemstones2025"))
    return Question(
        machines=tuple(machines), limits=limits, learning=learning, seq_length=2048, pins=Pins(), **how
    )


def winner(question, candidates, **how):
    found = planner.search(question, candidates, **how)
    choices = choice.pool(question, found)
    return (choices.plan(question, found, 0), choices, found) if len(choices) else (None, choices, found)


@settings(max_examples=20, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    clock=st.sampled_from(["memory_copies", "constant_mfu", "hbm_copies", "roofline"]),
    counts=st.sampled_from([(1,), (8,), (4, 16), (2, 6)]),
    days=st.sampled_from([0.05, 1.0, 30.0]),
    usd=st.sampled_from([None, 300.0]),
    memory=st.sampled_from([8.0, 80.0]),
    unique=st.sampled_from([None, 1e9]),
    tokens=st.sampled_from([None, 2e9]),
    demand=st.sampled_from([None, 1e10]),
)
def test_pruning_never_loses_the_optimum(
    machine, seed, clock, counts, days, usd, memory, unique, tokens, demand
):
    candidates = lattice_of(np.random.default_rng(seed), 60)
    question = ask(
        [machine(clock=clock, counts=counts, memory_gib=memory)],
        Limits(time_s=days * 86400, cost_usd=usd),
        learning=Learning(shape_law="Gemstones2025", unique_tokens=unique),
        tokens=tokens,
        inference_tokens=demand,
    )
    pruned, _, _ = winner(question, candidates)
    whole, _, _ = winner(question, candidates, prune=False)
    if whole is None:
        assert pruned is None
        return
    assert pruned.columns["loss"] == whole.columns["loss"]
    assert pruned.shape == whole.shape
    assert pruned.layout == whole.layout


def test_pruned_family_is_the_whole_family(machine):
    """Every plan within the margin on the winning number of accelerators is kept."""
    candidates = lattice_of(np.random.default_rng(3), 200)
    question = ask([machine(counts=(8,))], Limits(time_s=3 * 86400.0))
    best, kept, _ = winner(question, candidates)
    _, every, _ = winner(question, candidates, prune=False)
    near = best.columns["loss"] + RESOLUTION_NATS

    def shapes_near(choices):
        c, keep = choices.columns, choices.columns["loss"] <= near
        return set(zip(c["params"][keep], c["num_hidden_layers"][keep], strict=True))

    assert shapes_near(kept) == shapes_near(every)


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    days=st.floats(0.05, 20),
    more=st.floats(1.0, 3.0),
    unique=st.sampled_from([None, 5e8, 1e10]),
)
def test_more_time_or_money_never_raises_the_loss(machine, seed, days, more, unique):
    candidates = lattice_of(np.random.default_rng(seed), 40)
    rich = machine(counts=(8,))
    usd = days * 24 * 8 * 2.0
    for little, much in (
        (Limits(time_s=days * 86400), Limits(time_s=more * days * 86400)),
        (Limits(cost_usd=usd), Limits(cost_usd=more * usd)),
        (Limits(time_s=days * 86400, cost_usd=usd), Limits(time_s=days * 86400, cost_usd=usd * more)),
    ):
        learning = Learning(shape_law="Gemstones2025", unique_tokens=unique)
        before, _, _ = winner(ask([rich], little, learning=learning), candidates)
        after, _, _ = winner(ask([rich], much, learning=learning), candidates)
        # With repeated data the best place to stop is found on a grid.
        assert after.columns["loss"] <= before.columns["loss"] + (1e-12 if unique is None else 1e-4)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_order_of_shapes_and_of_counts_does_not_matter(machine, seed):
    rng = np.random.default_rng(seed)
    candidates = lattice_of(rng, 40)
    question = ask([machine(counts=(2, 8))], Limits(time_s=86400.0))
    turned = ask([machine(counts=(8, 2))], Limits(time_s=86400.0))
    first, _, _ = winner(question, candidates)
    other, _, _ = winner(turned, lattice.take(candidates, rng.permutation(40)))
    assert (first.shape, first.layout, first.n_gpus) == (other.shape, other.layout, other.n_gpus)
    assert first.columns["loss"] == pytest.approx(other.columns["loss"], rel=1e-12)


def test_a_limit_on_cost_is_kept_with_serving(machine):
    candidates = lattice_of(np.random.default_rng(1), 60)
    plain_question = ask([machine(counts=(8,))], Limits(cost_usd=2_000.0))
    asked = ask([machine(counts=(8,))], Limits(cost_usd=2_000.0), inference_tokens=3e9)
    alone, _, _ = winner(plain_question, candidates)
    found = planner.search(asked, candidates)
    choices = choice.pool(asked, found)
    served = choices.plan(asked, found, choice.lifetime_first(asked, choices))
    assert served.params < alone.params
    lifetime = served.columns["cost_usd"] + served.columns["serving_s"] / 3600 * 2.0
    assert lifetime <= 2_000.0 * (1 + 1e-9)


def test_alternatives_differ_and_come_in_order(machine):
    candidates = lattice_of(np.random.default_rng(5), 200)
    question = ask([machine(counts=(8,))], Limits(time_s=5 * 86400.0))
    _, choices, found = winner(question, candidates)
    places = choice.distinct(choices, 5)
    plans = [choices.plan(question, found, place) for place in places]
    assert [p.columns["loss"] for p in plans] == sorted(p.columns["loss"] for p in plans)
    for a, b in itertools.combinations(plans, 2):
        aspects = [p.shape.hidden_size / p.shape.num_hidden_layers for p in (a, b)]
        alike = max(a.params, b.params) / min(a.params, b.params) < choice.ALIKE_SIZE
        assert not (alike and max(aspects) / min(aspects) < choice.ALIKE_ASPECT)


def test_columns_of_a_plan_equal_the_table(machine):
    """A single plan computed as numbers is the cell of the table it was taken from."""
    candidates = lattice_of(np.random.default_rng(8), 60)
    question = ask([machine(counts=(8,))], Limits(time_s=86400.0, cost_usd=100.0))
    best, choices, _ = winner(question, candidates)
    for name in ("tokens", "wall_s", "cost_usd", "loss", "energy_j", "batch_factor"):
        assert best.columns[name] == pytest.approx(choices.columns[name][0], rel=1e-12), name
    where = question.machines[0].setting
    assert best.step_time_s == pytest.approx(float(where.step_time(best.shape, best.layout)), rel=1e-12)


def test_a_large_batch_costs_tokens_and_a_small_one_is_free():
    learning = Learning()
    factor = learning.batch_factor(tokens=1e11, batch_tokens=np.array([1e4, 1e6, 1e7, 1e9]))
    assert factor[0] == 1.0
    assert np.all(np.diff(factor) <= 0)
    assert factor[-1] < 0.01
    more = learning.batch_factor(tokens=np.geomspace(1e9, 1e13, 30), batch_tokens=4e6) * np.geomspace(
        1e9, 1e13, 30
    )
    assert np.all(np.diff(more) > 0)


def test_training_stops_where_repetition_would_hurt():
    """A model with parameters to spare is not trained to the end of the budget; a small one is."""
    from simulator.search import question as questions

    learning = Learning(unique_tokens=1e9)
    large = lattice.take(shapes.candidates(hidden_size=(4096,), num_hidden_layers=(32,)), np.array([0]))
    small = lattice.take(shapes.candidates(hidden_size=(512,), num_hidden_layers=(8,)), np.array([0]))
    most = np.array([[3e9]])
    stopped = learning.best_tokens(questions.columns_of(large), most=most, batch_tokens=np.array([1e5]))
    onward = learning.best_tokens(questions.columns_of(small), most=most, batch_tokens=np.array([1e5]))
    assert 1e9 <= stopped[0, 0] < 2.5e9
    assert onward[0, 0] == 3e9
    grid = np.linspace(1e9, 3e9, 400)
    everywhere = learning.loss(questions.columns_of(large), tokens=grid, batch_tokens=1e5)
    there = learning.loss(questions.columns_of(large), tokens=stopped, batch_tokens=1e5)
    assert there[0, 0] <= everywhere.min() + 1e-4
