"""Every objective with limits and requirements: the search finds what plain loops over single plans find."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.search import choice, evaluate, frontier, goal, lattice, planner, quality, relax, shapes
from simulator.search.lattice import Pins
from simulator.search.quality import Quality
from simulator.search.question import Learning, Limits, Question, Service
from simulator.search.table import plan_of, scalar_shape

NAMES = list(goal.WORDS)


def some_shapes(seed, number=24):
    whole = shapes.candidates()
    size = whole.hidden_size**2 * whole.num_hidden_layers
    near = np.flatnonzero((size > 2e6) & (size < 2e9))
    return lattice.take(whole, np.sort(np.random.default_rng(seed).choice(near, size=number, replace=False)))


def ask(machine, **how):
    settings_of = {
        "limits": Limits(time_s=20 * 86400.0),
        "learning": Learning(shape_law="Gemstones2025"),
        "seq_length": 2048,
        "pins": Pins(zero_stage=1, cp=1, vp=1, recompute=0),
        "interleave": False,
    }
    counts = how.pop("counts", (4, 8))
    place = replace(machine(counts=counts), grid_g_per_kwh=400.0)
    return Question(machines=(place,), **{**settings_of, **how})


def every_plan(question, candidates):
    """All plans that run, one by one: plain numbers through the same physics, no table, no bound."""
    where, plans = question.machines[0], []
    for n_gpus in where.counts:
        axes = planner.axes_for(question, where, n_gpus, candidates)
        for s in range(lattice.count(candidates)):
            one = scalar_shape(candidates, s)
            some = lattice.shapes_on_axis(lattice.take(candidates, np.array([s])))
            times = evaluate.chunk(some, axes, where.setting, evaluate.Counts())[0]
            for g, k, p in zip(*np.nonzero(np.isfinite(times)), strict=True):
                layout = evaluate.layout_at(axes, int(k), int(p), int(g))
                plan = plan_of(question, 0, n_gpus, one, layout, float(times[g, k, p]))
                if plan.columns["runs"]:
                    plans.append(plan)
    return plans


def found_best(question, candidates, **how):
    found = planner.search(question, candidates, **how)
    choices = choice.pool(question, found, objective=choice.objective_of(question, fixed=False))
    return choices.plan(question, found, 0) if len(choices) else None


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", ["loss", "task", "tokens"])
def test_search_finds_what_a_loop_over_single_plans_finds(machine, name, kind):
    required = {
        "loss": (Quality("loss", 2.9, 2.9),),
        "task": (quality.of_accuracy("hellaswag", 0.36),),
        "tokens": (quality.of_accuracy("hellaswag", 0.28),),
    }[kind]
    question = ask(
        machine,
        counts=(4,),
        pins=Pins(zero_stage=1, cp=1, vp=1, recompute=0, tp=1, micro_batch_size=4),
        qualities=() if kind == "tokens" and name != "accuracy_loss" else required,
        tokens=3e9 if kind == "tokens" else None,
        objectives=(name,),
        service=Service(context_length=2048, latency_s=0.01),
    )
    candidates = some_shapes(3, 2)
    plans = every_plan(question, candidates)
    best = found_best(question, candidates)
    assert plans
    least = min(float(goal.value(question, plan.figures, name)) for plan in plans)
    assert float(goal.value(question, best.figures, name)) == pytest.approx(least, rel=1e-9)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    name=st.sampled_from(NAMES),
    counts=st.sampled_from([(1,), (8,), (4, 16), (2, 6)]),
    days=st.sampled_from([0.3, 3.0, 30.0]),
    usd=st.sampled_from([None, 300.0]),
    loss=st.sampled_from([None, 2.6, 3.2]),
    task=st.sampled_from([None, ("mmlu", 0.28), ("hellaswag", 0.4)]),
    unique=st.sampled_from([None, 2e9]),
    tokens=st.sampled_from([None, 2e9]),
    demand=st.sampled_from([None, 1e10]),
    latency=st.sampled_from([None, 5e-4]),
    memory=st.sampled_from([8.0, 80.0]),
)
def test_pruning_never_loses_the_best_under_any_objective(
    machine, seed, name, counts, days, usd, loss, task, unique, tokens, demand, latency, memory
):
    required = () if loss is None else (Quality("loss", loss, loss),)
    required += () if task is None else (quality.of_accuracy(*task),)
    if (name == "accuracy_loss" and not required) or (
        name not in quality.BETTER_WITH_TOKENS and not required and not tokens
    ):
        required = (*required, Quality("loss", 3.0, 3.0))
    question = ask(
        lambda **how: machine(memory_gib=memory, **how),
        counts=counts,
        limits=Limits(time_s=days * 86400, cost_usd=usd),
        learning=Learning(shape_law="Gemstones2025", unique_tokens=unique),
        qualities=required,
        objectives=(name,),
        tokens=tokens,
        inference_tokens=demand,
        service=None if latency is None and name != "latency_s" else Service(2048, latency_s=latency),
    )
    candidates = some_shapes(seed, 30)
    pruned, whole = found_best(question, candidates), found_best(question, candidates, prune=False)
    if whole is None:
        assert pruned is None
        return
    a, b = (float(goal.value(question, plan.figures, name)) for plan in (pruned, whole))
    assert a == pytest.approx(b, rel=1e-9)


def test_fewest_tokens_meet_the_requirement_and_no_fewer_do():
    candidates = some_shapes(1, 12)
    from simulator.search.learning import columns_of

    batch = np.array([1e5, 1e6, 1e7])
    for unique in (None, 3e9):
        learning = Learning(shape_law="Gemstones2025", unique_tokens=unique)
        for q in (Quality("loss", 2.9, 2.9), quality.of_accuracy("arc_easy", 0.4)):
            tokens = quality.required_tokens(learning, (q,), columns_of(candidates), batch)
            known = np.isfinite(tokens)
            assert known.any()
            there = q.loss(learning, columns_of(candidates), tokens, batch)
            short = q.loss(learning, columns_of(candidates), tokens * 0.999, batch)
            assert there[known] == pytest.approx(q.limit, rel=1e-9)
            assert np.all(short[known] > q.limit)
            alone = quality.least_tokens(learning, (q,), columns_of(candidates))
            assert np.all(alone <= tokens * (1 + 1e-9))


def test_a_requirement_above_every_law_is_out_of_reach():
    candidates = some_shapes(1, 5)
    from simulator.search.learning import columns_of

    for q in (Quality("loss", 1.0, 1.0), quality.of_accuracy("mmlu", 0.95)):
        assert np.all(np.isinf(quality.required_tokens(Learning(), (q,), columns_of(candidates), 1e6)))
    chance = quality.of_accuracy("mmlu", 0.2)
    assert np.all(np.isfinite(quality.required_tokens(Learning(), (chance,), columns_of(candidates), 1e6)))


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10_000), loss=st.sampled_from([2.8, 3.1]))
def test_asking_for_less_never_costs_more(machine, seed, loss):
    candidates = some_shapes(seed, 30)
    strict = ask(machine, qualities=(Quality("loss", loss, loss),), objectives=("cost_usd",))
    loose = replace(strict, qualities=(Quality("loss", loss + 0.1, loss + 0.1),))
    dear, cheap = found_best(strict, candidates), found_best(loose, candidates)
    if dear is not None:
        assert cheap.columns["cost_usd"] <= dear.columns["cost_usd"] * (1 + 1e-9)


def test_fewest_accelerators_are_the_fewest_that_end_in_time(machine):
    candidates = some_shapes(2, 20)
    question = ask(
        machine,
        counts=(1, 2, 4, 8, 16),
        limits=Limits(time_s=2 * 86400.0),
        qualities=(Quality("loss", 2.9, 2.9),),
        objectives=("n_gpus",),
    )
    best = found_best(question, candidates)
    assert best.columns["wall_s"] <= 2 * 86400.0
    for fewer in [n for n in (1, 2, 4, 8, 16) if n < best.n_gpus]:
        small = replace(question, machines=(replace(question.machines[0], counts=(fewer,)),))
        assert found_best(small, candidates, prune=False) is None


# --- several objectives ---------------------------------------------------------------------------------------------


def scores(question, plans):
    return {
        tuple(round(float(goal.score(question, plan.figures, name)), 9) for name in question.objectives)
        for plan in plans
    }


def beaten(points):
    """Points that another beats, by comparing all pairs."""
    every = sorted(points)
    return {
        one
        for one in every
        if any(all(x <= y for x, y in zip(o, one, strict=True)) and o != one for o in every)
    }


@pytest.mark.parametrize(
    "names",
    [
        ("cost_usd", "loss"),
        ("wall_s", "loss", "n_gpus"),
        ("cost_usd", "wall_s"),
        ("params", "energy_j", "loss"),
    ],
)
def test_the_front_is_what_comparing_all_pairs_leaves(machine, names, monkeypatch):
    monkeypatch.setattr(frontier, "SHARES", np.array([1.0, 0.4]))
    held = "loss" not in names
    question = ask(
        machine,
        counts=(2, 4),
        limits=Limits(time_s=2 * 86400.0),
        objectives=names,
        qualities=(Quality("loss", 3.0, 3.0),) if held else (),
        pins=Pins(zero_stage=1, cp=1, vp=1, recompute=0, tp=1, micro_batch_size=4),
    )
    candidates = some_shapes(5, 2)
    _, front = frontier.search(question, candidates)
    every = [plan for level in frontier.questions_of(question) for plan in every_plan(level, candidates)]
    points = scores(question, every)
    assert front
    assert scores(question, front) == points - beaten(points)


@settings(max_examples=6, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    names=st.sampled_from(
        [("cost_usd", "loss"), ("loss", "latency_s"), ("wall_s", "cost_usd", "n_gpus"), ("co2e_kg", "params")]
    ),
    unique=st.sampled_from([None, 2e9]),
    demand=st.sampled_from([None, 1e9]),
)
def test_pruning_never_loses_a_plan_of_the_front(machine, seed, names, unique, demand, monkeypatch_block):
    question = ask(
        machine,
        counts=(2, 8),
        limits=Limits(time_s=3 * 86400.0, cost_usd=800.0),
        learning=Learning(shape_law="Gemstones2025", unique_tokens=unique),
        objectives=names,
        qualities=() if "loss" in names else (Quality("loss", 3.0, 3.0),),
        service=Service(2048),
        inference_tokens=demand,
    )
    candidates = some_shapes(seed, 40)
    seen, pruned = frontier.search(question, candidates)
    _, whole = frontier.search(question, candidates, prune=False)
    assert scores(question, pruned) == scores(question, whole)
    assert seen.shapes_pruned >= 0


@pytest.fixture(scope="module")
def monkeypatch_block():
    """Few shapes between two looks, so that there is something to leave out."""
    before, frontier.BLOCK = frontier.BLOCK, 5
    yield
    frontier.BLOCK = before


# --- nothing found --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reason", "how"),
    [
        ("time", {"limits": Limits(time_s=3600.0)}),
        ("money", {"limits": Limits(cost_usd=5.0)}),
        ("energy", {"limits": Limits(energy_j=1e7)}),
        ("carbon", {"limits": Limits(co2e_kg=1.0)}),
        ("loss", {"qualities": (Quality("loss", 2.1, 2.1),), "limits": Limits(time_s=10 * 86400.0)}),
        ("hellaswag", {"qualities": (quality.of_accuracy("hellaswag", 0.75),)}),
        ("latency", {"service": Service(2048, latency_s=1e-6)}),
    ],
)
def test_nothing_found_names_the_limit_and_the_least_change_works(machine, reason, how):
    asked = {"qualities": (Quality("loss", 2.9, 2.9),), "objectives": ("cost_usd",), **how}
    question = ask(machine, counts=(8,), **asked)
    candidates = some_shapes(4, 30)
    assert found_best(question, candidates, prune=False) is None
    told = {change["reason"]: change for change in relax.changes(question, candidates)}
    assert reason in told
    need = told[reason]["needed"]
    for factor, works in ((1.0 + 1e-6, True), (0.97, False)):
        assert (found_best(eased(question, reason, need, factor), candidates) is not None) is works
    why = relax.why(question, candidates, evaluate.Counts())
    assert why["reason"] in told
    assert why["text"]
    assert why["smallest_change"]


def eased(question, reason, need, factor):
    """The question with a limit at a multiple of what was said to be needed."""
    limits = {
        "time": ("time_s", 86400.0),
        "money": ("cost_usd", 1.0),
        "energy": ("energy_j", 3.6e9),
        "carbon": ("co2e_kg", 1e3),
    }
    if reason in limits:
        name, unit = limits[reason]
        return replace(question, limits=replace(question.limits, **{name: need * unit * factor}))
    if reason == "latency":
        return replace(question, service=replace(question.service, latency_s=need * 1e-3 * factor))
    if reason == "loss":
        return replace(question, qualities=(Quality("loss", need, need * factor),))
    return replace(question, qualities=(quality.of_accuracy(reason, need / factor),))


def test_two_limits_that_bind_together_are_both_named(machine):
    question = ask(
        machine,
        counts=(8,),
        limits=Limits(time_s=3600.0, cost_usd=5.0),
        qualities=(Quality("loss", 2.9, 2.9),),
        objectives=("cost_usd",),
    )
    why = relax.why(question, some_shapes(4, 30), evaluate.Counts())
    assert set(why.get("binding_together", ())) == {"time", "money"} or why["reason"] == "loss"
    only = relax._together(question, some_shapes(4, 30))
    assert set(only["binding_together"]) == {"time", "money"}
    assert "time and money" in only["smallest_change"] or "money and time" in only["smallest_change"]
