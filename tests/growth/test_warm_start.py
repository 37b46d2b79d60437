"""Credit, token efficiency and optimal switch against published and derived numbers."""

from __future__ import annotations

import numpy as np
import pytest

from simulator.growth import rules, warm_start
from simulator.growth.problem import Problem, follow
from simulator.growth.schedule import best_scratch, best_under_budget, cheapest_to_loss

LAW = {"E": 1.8172, "A": 482.01, "alpha": 0.3478}
DATA = {"B": 2085.43, "beta": 0.3658}
MPT = {"350m": (355_985_408, 58_782), "1b": (1_315_950_592, 20_513), "7b": (6_658_859_008, 4_641)}
"""Parameters and measured tokens/s per A100 (mosaicml/llm-foundry@8c8dd48)."""


def floors(params):
    return np.asarray(warm_start.floor(params=params, **LAW))


def problem(params, costs, **more):
    params = np.asarray(params, dtype=float)
    return Problem(
        params=params, floors=floors(params), cost_per_token=np.asarray(costs, float), **DATA, **more
    )


@pytest.mark.parametrize(
    ("source", "tokens", "target", "expected"),
    [
        (331e6, 30e9, 1.316e9, 7.6e9),
        (331e6, 16e9, 1.316e9, 5.1e9),
        (331e6, 32e9, 1.316e9, 7.9e9),
        (331e6, 64e9, 1.316e9, 11.7e9),
        (405e6, 250e9, 1.414e9, 28.2e9),
        (405e6, 300e9, 1.414e9, 30.6e9),
        (1.177e9, 2.4e12, 2.9e9, 202e9),
        (331e6, 30e9, 5.3e9, 4.2e9),
        (1.316e9, 30e9, 5.3e9, 11.8e9),
    ],
)
def test_credit_of_hypercloning_pairs(source, tokens, target, expected):
    """The pairs of arXiv:2409.12903, with the ordering of its base-quality and size ablations."""
    got = warm_start.credit(params=target, source_params=source, source_tokens=tokens, **LAW, **DATA)
    assert got == pytest.approx(expected, rel=0.01)


def test_better_bases_help_less_and_less():
    tokens = np.array([16e9, 32e9, 64e9])
    credit = warm_start.credit(params=1.316e9, source_params=331e6, source_tokens=tokens, **LAW, **DATA)
    assert np.all(np.diff(credit) > 0)
    later = warm_start.loss_after_growth(
        floor=floors(1.316e9), credit_tokens=credit, tokens=100e9, kappa=1, **DATA
    )
    start = warm_start.loss_after_growth(
        floor=floors(1.316e9), credit_tokens=credit, tokens=0, kappa=1, **DATA
    )
    assert np.all(np.diff(start) < 0)
    assert np.all(np.diff(later) < 0)
    assert np.ptp(later) < 0.2 * np.ptp(start)


@pytest.mark.parametrize(
    ("small", "large", "ratio", "r", "switch", "source_tokens", "credit", "net"),
    [
        ("350m", "1b", "flop", 0.7046, 2.7745, 10.79e9, 4.14e9, 1.22e9),
        ("350m", "1b", None, 0.7543, 2.9025, 5.41e9, 2.50e9, 0.62e9),
        ("1b", "7b", "flop", None, 2.3991, 48.5e9, None, 5.21e9),
        ("1b", "7b", None, None, 2.4280, 36.2e9, None, 4.01e9),
    ],
)
def test_switch_by_flop_and_by_seconds(small, large, ratio, r, switch, source_tokens, credit, net):
    """FLOP costs and measured seconds per token on A100s; ``None`` takes the measured ratio."""
    (n, fast), (big, slow) = MPT[small], MPT[large]
    ratio = fast / slow if ratio is None else big / n
    a, b = floors(n), floors(big)
    loss = warm_start.optimal_switch_loss(
        floor_source=a, floor_target=b, cost_source=1, cost_target=ratio, kappa=1, beta=DATA["beta"]
    )
    assert loss == pytest.approx(switch, abs=2e-4)
    spent = warm_start.tokens_for_loss(floor=a, loss=loss, **DATA)
    worth = warm_start.tokens_for_loss(floor=b, loss=loss, **DATA)
    assert spent == pytest.approx(source_tokens, rel=2e-3)
    assert worth - spent / ratio == pytest.approx(net, abs=0.006e9)
    if credit:
        assert worth == pytest.approx(credit, rel=3e-3)
    if r:
        got = warm_start.switch_ratio(cost_source=1, cost_target=ratio, kappa=1, beta=DATA["beta"])
        assert got == pytest.approx(r, abs=1e-4)


@pytest.mark.parametrize(
    ("factor", "gain", "share"), [(1.5, 0.036, 0.55), (2, 0.049, 0.56), (4, 0.049, 0.62), (8, 0.035, 0.69)]
)
@pytest.mark.parametrize("final_loss", [3.0, 2.5, 2.2])
def test_compute_optimal_gain_is_small_and_scale_free(factor, gain, share, final_loss):
    """Growing by one factor at FLOP cost, both sides free in size."""
    small = np.geomspace(3e6, 3e10, 1200)
    sizes = np.concatenate([small, factor * small])
    index = np.arange(len(small))
    flop = problem(sizes, sizes, sources=index, targets=index + len(small))
    scratch = cheapest_to_loss(flop, final_loss=final_loss, stages=1, budget=1e22)
    grown = cheapest_to_loss(flop, final_loss=final_loss, stages=2, budget=2 * scratch.cost)
    assert scratch.cost / grown.cost - 1 == pytest.approx(gain, abs=7e-4)
    assert grown.stages[1].tokens / grown.tokens == pytest.approx(share, abs=0.01)
    assert 1.11 < grown.stages[1].params / scratch.stages[0].params < 1.20


def test_token_share_of_plain_depth_growth():
    """Chen et al. 2026 measure .516 to .559 of all tokens after a tuned x2 depth growth."""
    small = np.geomspace(3e7, 3e9, 600)
    sizes, index = np.concatenate([small, 2 * small]), np.arange(600)
    flop = problem(sizes, sizes, sources=index, targets=index + 600)
    grown = best_under_budget(flop, budget=1e20 / 6, stages=2)
    share = grown.stages[1].tokens / grown.tokens
    assert 0.516 - 0.04 < share < 0.559 + 0.04


@pytest.mark.parametrize(
    ("factor", "tokens_per_parameter", "saving"),
    [
        (4, 5, 0.185), (2, 10, 0.091), (4, 10, 0.093), (2, 20, 0.046), (4, 20, 0.046),
        (2, 50, 0.018), (4, 50, 0.019), (2, 100, 0.009), (2, 300, 0.003),
    ],
)  # fmt: skip
def test_fixed_target_size(factor, tokens_per_parameter, saving):
    """A target of 1e9 parameters at FLOP cost: the source's tokens do not depend on the final loss."""
    tokens = tokens_per_parameter * 1e9
    flop = problem([1e9 / factor, 1e9], [1 / factor, 1.0])
    final = float(warm_start.loss_from_tokens(floor=floors(1e9), tokens=tokens, **DATA))
    grown = cheapest_to_loss(flop, final_loss=final, stages=2, budget=tokens)
    assert 1 - grown.cost / tokens == pytest.approx(saving, abs=6e-4)
    assert grown.stages[0].tokens == pytest.approx({2: 9.0e9, 4: 8.2e9}[factor], rel=0.01)
    assert grown.stages[1].credit_tokens == pytest.approx({2: 5.39e9, 4: 2.98e9}[factor], rel=0.01)


def test_kaplan_multistage_gain():
    """Staged training's law in steps: C/C1 = .829, .792, .779 for two, three and four stages."""
    sizes = np.geomspace(2e6, 6e8, 160)
    kaplan = Problem(
        params=sizes,
        floors=(rules.KAPLAN_NC / sizes) ** rules.KAPLAN_ALPHA_N,
        cost_per_token=sizes,
        B=(2 * rules.KAPLAN_SC) ** rules.KAPLAN_ALPHA_S,
        beta=rules.KAPLAN_ALPHA_S,
    )
    costs = [cheapest_to_loss(kaplan, final_loss=3.0, stages=k, budget=1e13) for k in (1, 2, 3, 4)]
    ratios = [schedule.cost / costs[0].cost for schedule in costs]
    assert ratios[1:] == pytest.approx([0.829, 0.792, 0.779], abs=1e-3)
    first, second = costs[1].stages
    assert (first.params, second.params) == pytest.approx((28.2e6, 230e6), rel=0.06)
    assert (first.tokens, second.tokens) == pytest.approx((19_482, 11_229), rel=0.03)


def test_kaplan_switch_loss_equals_direct_search():
    """l* = 3.428 for growing 28.2M into 230M."""
    a, b = ((rules.KAPLAN_NC / n) ** rules.KAPLAN_ALPHA_N for n in (28.2e6, 230e6))
    closed = warm_start.optimal_switch_loss(
        floor_source=a, floor_target=b, cost_source=28.2, cost_target=230, kappa=1, beta=rules.KAPLAN_ALPHA_S
    )
    grid = np.linspace(3.1, 4.0, 90_001)
    B, beta = (2 * rules.KAPLAN_SC) ** rules.KAPLAN_ALPHA_S, rules.KAPLAN_ALPHA_S
    cost = 28.2 * warm_start.tokens_for_loss(
        floor=a, B=B, beta=beta, loss=grid
    ) - 230 * warm_start.tokens_for_loss(floor=b, B=B, beta=beta, loss=grid)
    assert closed == pytest.approx(3.428, abs=2e-3)
    assert grid[np.argmin(cost)] == pytest.approx(float(closed), abs=1e-4)


@pytest.mark.parametrize(
    ("scratch", "naive", "predicted", "credit"),
    [(2.3096, 2.3276, 2.3268, 49.6e9), (2.2795, 2.3082, 2.3024, 36.6e9), (2.2225, 2.2615, 2.2527, 22.2e9)],
)
def test_sparkling_naive_copies(scratch, naive, predicted, credit):
    """arXiv:2602.02472: grown at 100B of 200B tokens; the source alone ends at 2.3673. Only the data term is used."""
    half = float(warm_start.loss_from_tokens(floor=0.0, tokens=100e9, **DATA))
    full = float(warm_start.loss_from_tokens(floor=0.0, tokens=200e9, **DATA))
    gap = 2.3673 - scratch
    worth = warm_start.tokens_for_loss(floor=0.0, loss=gap + half, **DATA)
    assert worth == pytest.approx(credit, rel=5e-3)
    end = (
        scratch
        - full
        + warm_start.loss_after_growth(floor=0.0, credit_tokens=worth, tokens=100e9, kappa=1, **DATA)
    )
    assert end == pytest.approx(predicted, abs=2e-4)
    assert end == pytest.approx(naive, abs=0.01)


def test_fixed_total_tokens_have_an_interior_optimum():
    """With source and target sharing one compute budget, growing at once and never are both worse."""
    flop = problem([0.5e9, 1e9], [0.5, 1.0])
    budget = 10e9
    switch_losses = np.linspace(2.6, 3.6, 80)
    ends = [follow(flop, sizes=[0, 1], switch_losses=[float(s)], budget=budget) for s in switch_losses]
    losses = np.array([e.loss if e else np.inf for e in ends])
    assert 0 < np.argmin(losses) < len(losses) - 1
    assert losses.min() < best_scratch(flop, budget=budget).loss


@pytest.mark.parametrize(
    ("params", "tokens", "expected"),
    [
        (8e9, 15e12, 6.58), (7e9, 2e12, 11.11), (13e9, 2e12, 15.84), (70e9, 2e12, 42.48),
        (1.1e9, 100e9, 11.44), (3e9, 240e9, 14.00), (410e6, 700e9, 3.37),
    ],
)  # fmt: skip
def test_gstack_timing(params, tokens, expected):
    got = rules.gstack_source_tokens(params=params, flop=6 * params * tokens) / 1e9
    assert got == pytest.approx(expected, abs=0.006)


@pytest.mark.parametrize(("params", "tokens", "expected"), [(8e9, 15e12, 24), (70e9, 2e12, 221)])
def test_gstack_factor_explodes(params, tokens, expected):
    assert rules.gstack_growth_factor(params=params, flop=6 * params * tokens) == pytest.approx(
        expected, abs=0.6
    )


@pytest.mark.parametrize(
    ("axis", "factor", "constant", "saving"), [("width", 4, 2.718, 0.078), ("depth", 2, 1.618, 0.066)]
)
def test_staged_training_by_its_slopes(axis, factor, constant, saving):
    """Steps of the source per effective step, and the modelled saving of one doubling (arXiv:2203.06211)."""
    target, steps = 84.9e6, np.geomspace(1e2, 1e6, 400_001)

    def steps_at(params, slope):
        return steps[np.argmin(np.abs(rules.kaplan_slope(params=params, steps=steps) - slope))]

    trained = steps_at(target / factor, rules.SHEN_GROW_SLOPE[axis])
    loss = rules.kaplan_loss(params=target / factor, steps=trained)
    effective = float(rules.shen_effective_steps(params=target, source_loss=loss))
    scratch = steps_at(target, rules.SHEN_STOP_SLOPE)
    assert trained / effective == pytest.approx(constant, abs=0.01)
    # Compute so far is 6 N S B with the critical batch of the loss reached, B ~ L**(-1/.21).
    batch = (loss / rules.kaplan_loss(params=target, steps=scratch)) ** (-1 / rules.KAPLAN_ALPHA_B)
    assert (effective - trained / factor) * batch / scratch == pytest.approx(saving, abs=1e-3)


STAGED = {
    "12x768": [(1999, 3.8847), (4999, 3.5117), (9999, 3.3765), (19999, 3.2864)],
    "24x1536": [(1999, 3.6295), (4999, 3.2091), (7749, 3.0911), (9999, 3.0366)],
}
"""Validation losses of scratch runs at steps (allenai/staged-training@fd27dfe)."""


@pytest.mark.parametrize(
    ("target", "source_loss", "source_steps", "scratch_steps", "cost", "effective", "saving"),
    [
        ("12x768", 3.8501, 2949, 5099, 1 / 2, 2149, 0.132),
        ("12x768", 3.8730, 3799, 5099, 1 / 4, 2049, 0.216),
        ("24x1536", 3.2411, 6799, 7749, 1 / 2, 4549, 0.148),
        ("24x1536", 3.3412, 6299, 7749, 1 / 4, 3549, 0.255),
    ],
)
def test_staged_training_on_its_measured_curves(
    target, source_loss, source_steps, scratch_steps, cost, effective, saving
):
    """Reading the source's loss off the target's own curve gives the credited steps, and kappa 1 the saving."""
    steps, losses = np.array(STAGED[target]).T
    credit = np.exp(np.interp(source_loss, losses[::-1], np.log(steps)[::-1]))
    assert credit == pytest.approx(effective, rel=0.06)
    got = 1 - (cost * source_steps + scratch_steps - credit) / scratch_steps
    assert got == pytest.approx(saving, abs=0.04)


def test_deeper_and_grown_in_the_limits():
    """No credit and kappa 1 is scratch; a source as large as its target keeps all its tokens."""
    same = warm_start.credit(params=1e9, source_params=1e9, source_tokens=5e9, **LAW, **DATA)
    assert same == pytest.approx(5e9)
    grown = warm_start.loss_after_growth(floor=2.0, credit_tokens=0, tokens=1e10, kappa=1, **DATA)
    assert grown == warm_start.loss_from_tokens(floor=2.0, tokens=1e10, **DATA)
    assert (
        warm_start.optimal_switch_loss(
            floor_source=2.2, floor_target=2.0, cost_source=1, cost_target=1, kappa=1.5, beta=0.4
        )
        == np.inf
    )


def test_flm_101b_days_and_estimate():
    """192 A800s: 6 N D over the published rate gives each stage within 15 %; 76.74 days is arithmetic."""
    stages = ((16e9, 245.37e9, 162e12, 9.63), (51e9, 39.64e9, 160e12, 5.37), (101e9, 26.54e9, 165e12, 6.54))
    for params, tokens, rate, days in stages:
        assert 6 * params * tokens / (192 * rate) / 86400 == pytest.approx(days, rel=0.15)
    total = sum(tokens for _, tokens, _, _ in stages)
    assert total / (26.54e9 / 6.54) == pytest.approx(76.74, rel=1e-3)
