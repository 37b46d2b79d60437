"""The dynamic programme against brute force, its limits, and its speed."""

from __future__ import annotations

import itertools
import time

import numpy as np
import pytest

from simulator.errors import InfeasibleError, UnknownNameError
from simulator.growth import SunkSource, best_schedule, plan, warm_start
from simulator.growth.problem import Problem, follow
from simulator.growth.schedule import best_scratch, best_under_budget, cheapest_to_loss
from simulator.transformer import decoder, parameters

LAW = {"E": 1.8172, "A": 482.01, "alpha": 0.3478, "B": 2085.43, "beta": 0.3658}


def problem(params, costs, **more):
    params = np.asarray(params, dtype=float)
    floors = np.asarray(warm_start.floor(E=LAW["E"], A=LAW["A"], alpha=LAW["alpha"], params=params))
    return Problem(
        params=params,
        floors=floors,
        cost_per_token=np.asarray(costs, float),
        B=LAW["B"],
        beta=LAW["beta"],
        **more,
    )


def brute_force(p, budget, stages, points=160):
    """Every path and every grid of switch losses, with `follow` alone."""
    best = np.inf
    for path in itertools.combinations(range(p.count), stages):
        grid = np.linspace(p.floors[path[0]] + 0.02, p.floors[path[0]] + 2.0, points)
        for switches in itertools.combinations(grid[::-1], stages - 1):
            end = follow(p, sizes=list(path), switch_losses=[float(s) for s in switches], budget=budget)
            best = min(best, end.loss if end else np.inf)
    return best


@pytest.mark.parametrize("kappa", [0.9, 1.0, 1.3])
@pytest.mark.parametrize(("stages", "points"), [(2, 400), (3, 60)])
def test_equals_brute_force(kappa, stages, points):
    sizes = np.array([1e8, 3e8, 1e9, 2.5e9])
    p = problem(sizes, 6 * sizes**0.9, kappa=kappa, switch_cost=1e16)
    got = best_under_budget(p, budget=2e19, stages=stages)
    searched = brute_force(p, 2e19, stages, points)
    assert got.loss <= searched + 1e-9
    assert got.loss == pytest.approx(searched, abs=4e-4)
    assert got.cost == pytest.approx(2e19)


def test_ramp_equals_brute_force():
    sizes = np.array([2e8, 1e9, 2e9])
    p = problem(sizes, 6 * sizes, kappa=1.5, ramp_tokens=np.full(3, 10e9))
    got = best_under_budget(p, budget=1e20, stages=2, levels=800)
    assert got.loss == pytest.approx(brute_force(p, 1e20, 2, 2000), abs=2e-5)
    assert 1 < got.stages[1].kappa <= 1.5
    flat = best_under_budget(problem(sizes, 6 * sizes, kappa=1.5), budget=1e20, stages=2)
    assert flat.loss < got.loss


def test_ramp_that_is_always_full_changes_nothing():
    sizes = np.geomspace(1e8, 1e10, 8)
    flat = problem(sizes, 6 * sizes, kappa=1.2)
    full = problem(sizes, 6 * sizes, kappa=1.2, ramp_tokens=np.full(8, 1.0))
    for stages in (2, 3):
        a = cheapest_to_loss(flat, final_loss=2.3, stages=stages, budget=1e22)
        b = cheapest_to_loss(full, final_loss=2.3, stages=stages, budget=1e22, levels=400)
        assert a.cost == pytest.approx(b.cost, rel=1e-3)


def test_budget_and_target_loss_are_each_others_inverse():
    sizes = np.geomspace(1e8, 1e10, 20)
    p = problem(sizes, 6 * sizes, kappa=1.1)
    for stages in (2, 3, 4):
        by_budget = best_under_budget(p, budget=1e21, stages=stages)
        back = cheapest_to_loss(p, final_loss=by_budget.loss, stages=stages, budget=1e21)
        assert back.cost == pytest.approx(1e21, rel=1e-3)


def test_stages_hand_over_their_loss():
    sizes = np.geomspace(1e8, 1e10, 20)
    schedule = best_under_budget(
        problem(sizes, 6 * sizes, kappa=1.2, switch_cost=1e17), budget=1e21, stages=4
    )
    assert len(schedule.stages) == 4
    for before, after in itertools.pairwise(schedule.stages):
        assert after.loss_start == before.loss_end
        assert after.params > before.params
        assert after.switch_cost == 1e17
    assert sum(stage.cost for stage in schedule.stages) == pytest.approx(1e21)
    assert schedule.stages[-1].loss_end == schedule.loss


def test_forty_sizes_four_stages_two_hundred_levels_take_under_two_seconds():
    sizes = np.geomspace(1e8, 5e10, 40)
    for ramp in (None, np.full(40, 10e9)):
        p = problem(sizes, 6 * sizes**0.9, kappa=1.3, ramp_tokens=ramp)
        best_under_budget(p, budget=1e19, stages=2)
        start = time.process_time()
        schedule = best_under_budget(p, budget=1e20, stages=4, levels=200)
        assert time.process_time() - start < 2.0
        assert schedule is not None
        assert len(schedule.stages) == 4


def test_growth_that_does_not_pay_says_so():
    sizes = np.geomspace(1e8, 1e10, 20)
    common = {"params": sizes, "seconds_per_token": 6 * sizes / 1e17, "budget_s": 1e4, **LAW}
    answer = best_schedule(kappa=0.7, **common)
    assert not answer.pays
    assert answer.saving < 0
    assert answer.best is answer.scratch
    assert "does not pay" in answer.verdict
    edge = answer.break_even_kappa
    assert best_schedule(kappa=edge + 0.01, **common).pays
    assert not best_schedule(kappa=edge - 0.01, **common).pays


def test_a_dear_switch_spoils_growth():
    sizes = np.geomspace(1e8, 1e10, 20)
    common = {"params": sizes, "seconds_per_token": 6 * sizes / 1e17, "budget_s": 1e4, "kappa": 1.1, **LAW}
    free = best_schedule(**common)
    dear = best_schedule(reload_s=2500.0, **common)
    assert free.pays
    assert not dear.pays
    assert dear.break_even_kappa > free.break_even_kappa
    warm = best_schedule(rewarm_tokens=1e9, **common)
    assert free.saving > warm.saving


def test_costs_may_be_seconds_or_dollars_or_both():
    sizes = np.geomspace(1e8, 1e10, 12)
    seconds = 6 * sizes / 1e17
    by_time = best_schedule(params=sizes, seconds_per_token=seconds, budget_s=1e4, **LAW)
    by_money = best_schedule(params=sizes, usd_per_token=seconds * 0.5, budget_usd=5e3, **LAW)
    both = best_schedule(
        params=sizes,
        seconds_per_token=seconds,
        usd_per_token=seconds * 0.5,
        budget_s=2e4,
        budget_usd=5e3,
        **LAW,
    )
    assert by_money.unit == "USD"
    assert both.unit == "s"
    assert by_time.grown.loss == pytest.approx(by_money.grown.loss) == pytest.approx(both.grown.loss)
    with pytest.raises(InfeasibleError, match="budget"):
        best_schedule(params=sizes, seconds_per_token=seconds, **LAW)
    with pytest.raises(InfeasibleError, match="max_stages"):
        best_schedule(params=sizes, seconds_per_token=seconds, budget_s=1.0, max_stages=5, **LAW)


def test_a_sunk_source_is_worth_its_credit():
    sizes = np.array([4e8, 1.2e9, 3e9])
    common = {"params": sizes, "seconds_per_token": 6 * sizes / 1e17, "budget_s": 5e3, "kappa": 1.0, **LAW}
    without = best_schedule(**common)
    sunk = best_schedule(sunk_source=SunkSource(size=0, tokens=300e9), **common)
    assert sunk.grown.loss < without.grown.loss
    first = sunk.grown.stages[0]
    assert first.size == 0
    assert first.tokens == 0
    assert first.cost == 0
    worthless = best_schedule(sunk_source=SunkSource(size=0, tokens=1e6), **common)
    assert worthless.grown.loss == pytest.approx(without.grown.loss, abs=1e-4)


def test_a_sunk_source_takes_up_no_stage():
    """Two stages of training after it; or one before the switch and one after."""
    sizes = np.array([4e8, 1.2e9, 3e9])
    pairs = {"sources": np.array([0, 1]), "targets": np.array([1, 2])}
    p = problem(sizes, 6 * sizes, kappa=1.2, sunk=SunkSource(size=0, tokens=300e9), **pairs)
    one, two = (best_under_budget(p, budget=5e20, stages=k) for k in (1, 2))
    assert [stage.size for stage in one.stages] == [0, 1]
    assert [stage.size for stage in two.stages] == [0, 1, 2]
    assert two.loss < one.loss
    for schedule in (one, two):
        assert schedule.stages[0].tokens == schedule.stages[0].cost == 0
        assert schedule.stages[0].loss_end == p.sunk_state()[2]
    switches = np.linspace(p.floors[1] + 0.01, p.sunk_state()[2] - 1e-9, 4000)
    start = p.sunk_state()[2]
    ends = (follow(p, sizes=[0, 1, 2], switch_losses=[start, float(loss)], budget=5e20) for loss in switches)
    assert two.loss == pytest.approx(min(end.loss for end in ends if end), abs=1e-5)


def test_a_young_source_is_trained_on_before_it_is_grown():
    sizes = np.array([4e8, 1.2e9])
    young = problem(sizes, 6 * sizes, kappa=1.2, sunk=SunkSource(size=0, tokens=1e9))
    schedule = best_under_budget(young, budget=5e20, stages=2)
    assert [stage.size for stage in schedule.stages] == [0, 1]
    assert schedule.stages[0].tokens > 0
    assert len(best_under_budget(young, budget=5e20, stages=1).stages) in (1, 2)


def test_every_schedule_starts_from_the_sunk_source():
    """Also where another size would be the better start."""
    sizes = np.geomspace(1e8, 1e10, 12)
    p = problem(sizes, 6 * sizes, kappa=1.1, sunk=SunkSource(size=5, tokens=1e6))
    for stages in (1, 2, 3):
        assert best_under_budget(p, budget=1e21, stages=stages).stages[0].size == 5


def test_a_source_better_than_asked_for_costs_its_switch():
    sizes = np.array([4e8, 1.2e9])
    sunk, only = SunkSource(size=0, tokens=1e13), np.array([False, True])
    p = problem(sizes, 6 * sizes, kappa=1.2, sunk=sunk, switch_cost=1e15, ends=only)
    assert cheapest_to_loss(p, final_loss=3.0, stages=1, budget=1e18).cost == 1e15


def test_schedules_end_where_they_may():
    sizes = np.geomspace(1e8, 1e10, 12)
    free, tied = (problem(sizes, 6 * sizes, kappa=1.2, ends=ends) for ends in (None, np.arange(12) == 4))
    for stages in (2, 3):
        assert best_under_budget(free, budget=1e21, stages=stages).stages[-1].size != 4
        held = best_under_budget(tied, budget=1e21, stages=stages)
        assert held.stages[-1].size == 4
        back = cheapest_to_loss(tied, final_loss=held.loss, stages=stages, budget=1e21)
        assert back.stages[-1].size == 4
        assert back.cost == pytest.approx(1e21, rel=1e-3)
    ramped = problem(sizes, 6 * sizes, kappa=1.2, ends=np.arange(12) == 4, ramp_tokens=np.full(12, 1.0))
    assert best_under_budget(ramped, budget=1e21, stages=2).stages[-1].size == 4


def test_scratch_is_the_size_that_is_named():
    sizes = np.geomspace(1e8, 1e10, 12)
    common = {"params": sizes, "seconds_per_token": 6 * sizes / 1e17, "budget_s": 1e4, **LAW}
    free, named = best_schedule(**common), best_schedule(alone=0, **common)
    assert named.scratch.stages[0].size == 0
    assert named.scratch.loss > free.scratch.loss
    assert named.grown.loss == free.grown.loss


def test_slower_small_models_pay_less():
    """A clock on which small models run at lower utilisation switches earlier and saves less."""
    sizes = np.geomspace(1e8, 1e10, 40)
    linear = problem(sizes, sizes)
    clock = problem(sizes, sizes**0.886 * 1e10**0.114)
    savings = []
    for p in (linear, clock):
        budget = 2e20 / 6
        scratch = best_scratch(p, budget=budget)
        savings.append(
            1 - cheapest_to_loss(p, final_loss=scratch.loss, stages=2, budget=budget).cost / budget
        )
    assert savings[0] > savings[1] > 0


def test_plan_links_shapes_and_orders_assumptions():
    width = np.array([1024, 1536, 2048, 3072, 4096])
    lattice = decoder(
        num_hidden_layers=24, hidden_size=width, num_attention_heads=width // 64, vocab_size=32000
    )
    seconds = 6 * parameters(lattice) / 4e15
    answer = plan(
        shapes=lattice, seconds_per_token=seconds, budget_s=864_000.0, operator="hypercloning", **LAW
    )
    losses = [answer.answers[name].grown.loss for name in ("pessimistic", "central", "optimistic")]
    assert losses == sorted(losses, reverse=True)
    for one in answer.answers.values():
        widths = [int(width[stage.size]) for stage in one.grown.stages]
        assert widths[1] / widths[0] in (2, 3, 4)
    with pytest.raises(UnknownNameError, match="hypercloning"):
        plan(shapes=lattice, seconds_per_token=seconds, budget_s=1.0, operator="hyperclonning", **LAW)
    with pytest.raises(InfeasibleError, match="candidates"):
        plan(seconds_per_token=seconds, budget_s=1.0, **LAW)


def test_nothing_to_grow_from():
    answer = best_schedule(params=[1e9], seconds_per_token=[6e9 / 1e17], budget_s=1e4, **LAW)
    assert answer.grown is None
    assert not answer.pays
    assert answer.best is answer.scratch
    assert answer.break_even_kappa == np.inf


def test_a_sunk_source_may_be_known_by_its_loss():
    sizes = np.array([4e8, 1.2e9, 3e9])
    common = {"params": sizes, "seconds_per_token": 6 * sizes / 1e17, "budget_s": 5e3, "kappa": 1.0, **LAW}
    by_tokens = best_schedule(sunk_source=SunkSource(size=0, tokens=300e9), **common)
    loss = (
        float(warm_start.floor(E=LAW["E"], A=LAW["A"], alpha=LAW["alpha"], params=4e8))
        + LAW["B"] * 300e9 ** -LAW["beta"]
    )
    by_loss = best_schedule(sunk_source=SunkSource(size=0, loss=loss), **common)
    assert by_loss.grown.loss == pytest.approx(by_tokens.grown.loss)
    with pytest.raises(InfeasibleError, match="below what the law allows"):
        best_schedule(sunk_source=SunkSource(size=0, loss=1.9), **common)
    with pytest.raises(InfeasibleError, match="tokens or its loss"):
        best_schedule(sunk_source=SunkSource(size=0), **common)


def test_all_pairs_named_equal_all_pairs_unnamed():
    sizes = np.geomspace(1e8, 1e10, 15)
    pairs = np.array([(i, j) for j in range(15) for i in range(j)])
    free = problem(sizes, 6 * sizes, kappa=1.1)
    named = problem(sizes, 6 * sizes, kappa=1.1, sources=pairs[:, 0], targets=pairs[:, 1])
    shuffled = np.random.default_rng(0).permutation(15)
    mixed = problem(sizes[shuffled], 6 * sizes[shuffled], kappa=1.1)
    for stages in (2, 3, 4):
        losses = [best_under_budget(p, budget=1e21, stages=stages).loss for p in (free, named, mixed)]
        assert losses[0] == losses[1] == losses[2]


def test_two_thousand_sizes_stay_within_memory_and_seconds():
    sizes = np.geomspace(1e8, 5e10, 2000)
    start = time.process_time()
    schedule = best_under_budget(problem(sizes, 6 * sizes, kappa=1.1), budget=1e21, stages=3)
    assert time.process_time() - start < 5
    assert len(schedule.stages) == 3
