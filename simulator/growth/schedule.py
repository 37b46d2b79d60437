r"""When to grow, from which size to which: the exact optimum of one to four stages under a budget.

A schedule trains model 1 from scratch, grows it to model 2, and so on. With credit and token efficiency
(`simulator.growth.warm_start`) the cost of reaching loss `l` with model `i` as the `k`-th stage is

.. math:: V_k(i, l) = \min_{j \to i,\; l' \ge l} \left[ V_{k-1}(j, l') + s_i
          + \frac{c_i}{\kappa}\,(D_i(l) - D_i(l')) \right], \qquad V_1(i, l) = c_i D_i(l)

`c` is the cost of a token (seconds from the clock, or USD), `s` the cost of a switch, `D_i(l)` the tokens that bring
model `i` from scratch to `l`. The second term splits into one part in `l` and one in `l'`, so a stage costs
one pass over pairs of sizes and a running minimum over loss levels. The last stage is solved on continuous tokens and
the switch losses are polished with the closed form, so the grid only selects the path.
"""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from simulator.columns import Numeric
from simulator.growth import warm_start
from simulator.growth.problem import Array, Problem, Schedule, follow

LEVELS = 200
"""Loss levels of the grid."""
WIDE = 20_000_000
"""Pairs times levels above which pairs are taken target by target, to bound memory."""


# --- the grid -------------------------------------------------------------------------------------------------------


def loss_levels(problem: Problem, *, budget: float, levels: int = LEVELS) -> Array:
    """Descending losses at which a switch may happen, dense near the best attainable. [nats/token]"""
    affordable = budget / problem.cost_per_token
    low_tokens = 4 * max(problem.kappa, 1.0) * affordable
    sunk = problem.sunk_state()
    if sunk is not None:
        credit = warm_start.tokens_for_loss(
            floor=problem.floors, B=problem.B, beta=problem.beta, loss=sunk[2]
        )
        low_tokens = low_tokens + np.where(np.isfinite(credit), credit, 0.0)
    low = float(np.min(problem.floors + problem.B * low_tokens**-problem.beta))
    high = float(np.max(problem.floors + problem.B * (1e-4 * affordable) ** -problem.beta))
    base = float(problem.floors.min())
    grid = base + np.geomspace(high - base, low - base, levels)
    if sunk is not None:
        grid = np.sort(np.append(grid, sunk[2]))[::-1]
    return np.asarray(grid, dtype=float)


def first_costs(problem: Problem, losses: Array, *, frozen: bool = False) -> Array:
    """`V_1`: cost of reaching each loss with each size, from scratch, or with the sunk source alone.

    A source that is `frozen` is not trained on: no loss below its own can be reached.
    """
    tokens = problem.tokens_at(losses)
    sunk = problem.sunk_state()
    if sunk is None:
        return np.asarray(problem.cost_per_token[:, None] * tokens)
    i, done, reached = sunk
    more = np.maximum(tokens[i] - done * (1 + 1e-12), 0.0)
    costs = np.full_like(tokens, np.inf)
    costs[i] = np.where(losses < reached, np.inf, 0.0) if frozen else problem.cost_per_token[i] * more
    return costs


def _routes(problem: Problem, stages: int) -> list[tuple[int, bool]]:
    """Models in turn, and whether the first is frozen, that make this many stages of training."""
    return [(stages, False)] if problem.sunk is None else [(stages, False), (stages + 1, True)]


def _entry_costs(problem: Problem, values: Array) -> Array:
    """Cheapest source of each size at each loss: the minimum of `values` over the sizes that grow into it."""
    entry = np.full_like(values, np.inf)
    links = problem.links()
    if links is not None and len(links[0]) * values.shape[1] <= WIDE:
        source, target = links
        if len(source):
            present, starts = np.unique(target, return_index=True)
            entry[present] = np.minimum.reduceat(values[source], starts, axis=0)
        return entry
    order = np.argsort(problem.params, kind="stable")
    distinct = bool(np.all(np.diff(problem.params[order]) > 0) and np.all(np.diff(problem.floors[order]) < 0))
    if links is None and distinct:
        entry[order[1:]] = np.minimum.accumulate(values[order], axis=0)[:-1]
        return entry
    for size in range(problem.count):
        into = problem.sources_of(size)
        if len(into):
            entry[size] = values[into].min(axis=0)
    return entry


def _minus(a: Array, b: Array) -> Array:
    """``a - b``, infinite where either is."""
    finite = np.isfinite(a) & np.isfinite(b)
    return np.where(finite, np.where(finite, a, 0.0) - np.where(finite, b, 0.0), np.inf)


def grown_costs(problem: Problem, values: Array, losses: Array) -> Array:
    """`V_k` from `V_{k-1}`: cost of reaching each loss with each size, having grown into it."""
    if problem.ramp_tokens is not None:
        return _grown_costs_ramped(problem, values, losses)
    tokens = problem.tokens_at(losses)
    rate = (problem.cost_per_token / problem.kappa)[:, None]
    entry = _minus(_entry_costs(problem, values), rate * tokens)
    return np.minimum.accumulate(entry, axis=1) + rate * tokens + problem.switching()[:, None]


def _grown_costs_ramped(problem: Problem, values: Array, losses: Array) -> Array:
    """Like `grown_costs` where the efficiency depends on the source's tokens: a search over pairs of levels."""
    tokens = problem.tokens_at(losses)
    result = np.full_like(values, np.inf)
    later = np.arange(len(losses))[:, None] <= np.arange(len(losses))
    for i in range(problem.count):
        into = problem.sources_of(i)
        rate = problem.cost_per_token[i] / np.asarray(problem.stage_kappa(i, tokens[into]))
        entry = _minus(values[into], rate * tokens[i])
        for one_entry, one_rate in zip(entry, rate, strict=True):
            usable = np.flatnonzero(np.isfinite(one_entry))
            cost = one_entry[usable, None] + one_rate[usable, None] * tokens[i]
            cost = np.where(later[usable], cost, np.inf)
            if len(usable):
                result[i] = np.minimum(result[i], cost.min(axis=0))
    return result + problem.switching()[:, None]


# --- from grid to schedule ------------------------------------------------------------------------------------------


def _path(
    problem: Problem, values: list[Array], losses: Array, *, size: int, level: int
) -> list[tuple[int, float]]:
    """Sizes and the losses at which they are left, ending with `size` left at ``losses[level]``."""
    tokens = problem.tokens_at(losses)
    path = [(size, float(losses[level]))]
    for earlier in reversed(values[:-1]):
        into = problem.sources_of(size)
        kappa = np.asarray(problem.stage_kappa(size, tokens[into]))
        rate = problem.cost_per_token[size] / kappa
        open_levels = slice(0, level + 1)
        entry = (
            _minus(earlier[into], rate * tokens[size])[:, open_levels]
            + rate[:, open_levels] * tokens[size, level]
        )
        best, level = (int(index) for index in np.unravel_index(int(np.argmin(entry)), entry.shape))
        size = int(into[best])
        path.insert(0, (size, float(losses[level])))
    return path


def _polish(
    problem: Problem, sizes: list[int], switch_losses: list[float], *, frozen: bool = False
) -> list[float]:
    """Switch losses by the closed form, where it applies and keeps the order; else those of the grid."""
    if problem.ramp_tokens is not None or not switch_losses:
        return switch_losses
    polished = []
    for m, (small, large) in enumerate(itertools.pairwise(sizes)):
        exact = warm_start.optimal_switch_loss(
            floor_source=problem.floors[small],
            floor_target=problem.floors[large],
            cost_source=problem.cost_per_token[small],
            cost_target=problem.cost_per_token[large],
            kappa=problem.kappa if m == 0 else 1.0,
            beta=problem.beta,
        )
        polished.append(float(exact))
    sunk = problem.sunk_state()
    if sunk is not None and sizes[0] == sunk[0]:
        polished[0] = sunk[2] if frozen else min(polished[0], sunk[2])
    ordered = all(a > b for a, b in itertools.pairwise(polished))
    return polished if ordered and np.isfinite(polished).all() else switch_losses


def best_scratch(problem: Problem, *, budget: float) -> Schedule:
    """Best single size trained from scratch with the whole budget; the one that is named, if one is."""
    losses = problem.floors + problem.B * (budget / problem.cost_per_token) ** -problem.beta
    size = int(np.argmin(losses)) if problem.alone is None else problem.alone
    schedule = follow(replace(problem, sunk=None), sizes=[size], switch_losses=[], budget=budget)
    assert schedule is not None
    return schedule


def best_under_budget(
    problem: Problem, *, budget: float, stages: int, levels: int = LEVELS
) -> Schedule | None:
    """Lowest loss with exactly `stages` stages of training, or ``None`` if no such schedule fits the budget."""
    found = [
        _best_of_models(problem, budget=budget, models=models, frozen=frozen, levels=levels)
        for models, frozen in _routes(problem, stages)
    ]
    return min((one for one in found if one is not None), key=lambda one: one.loss, default=None)


def _best_of_models(
    problem: Problem, *, budget: float, models: int, frozen: bool, levels: int
) -> Schedule | None:
    """Lowest loss with exactly `models` models in turn."""
    if models == 1:
        return _best_single(problem, budget=budget)
    losses = loss_levels(problem, budget=budget, levels=levels)
    values = [first_costs(problem, losses, frozen=frozen)]
    for _ in range(models - 2):
        values.append(grown_costs(problem, values[-1], losses))
    last = _last_step(problem, values[-1], losses, budget)
    if last is None:
        return None
    size, source, level = last
    path = _path(problem, values, losses, size=source, level=level)
    return _better(problem, [*path, (size, -np.inf)], budget=budget, frozen=frozen)


def _last_step(problem: Problem, values: Array, losses: Array, budget: float) -> tuple[int, int, int] | None:
    """Last size, the size it grows from, and the level at which it does, for the lowest loss."""
    entry, tokens = _entry_costs(problem, values), problem.tokens_at(losses)
    ends = problem.may_end()
    if problem.ramp_tokens is None:
        final = _final_loss(problem, np.arange(problem.count), entry, tokens, problem.kappa, budget)
        final[~ends] = np.inf
        size, level = (int(index) for index in np.unravel_index(int(np.argmin(final)), final.shape))
        if not np.isfinite(final[size, level]):
            return None
        into = problem.sources_of(size)
        return size, int(into[np.argmin(values[into, level])]), level
    best: tuple[float, int, int, int] | None = None
    for size in np.flatnonzero(ends).tolist():
        into = problem.sources_of(size)
        if not len(into):
            continue
        kappa = problem.stage_kappa(size, np.where(np.isfinite(tokens[into]), tokens[into], 0.0))
        final = _final_loss(problem, np.full(len(into), size), values[into], tokens, kappa, budget)
        source, level = (int(index) for index in np.unravel_index(int(np.argmin(final)), final.shape))
        if best is None or final[source, level] < best[0]:
            best = (float(final[source, level]), size, int(into[source]), level)
    return None if best is None or not np.isfinite(best[0]) else best[1:]


def _best_single(problem: Problem, *, budget: float) -> Schedule | None:
    """Best single size; the sunk source continued, if there is one and the run may end in it."""
    sunk = problem.sunk_state()
    if sunk is None:
        return best_scratch(problem, budget=budget)
    if not problem.may_end()[sunk[0]]:
        return None
    return follow(problem, sizes=[sunk[0]], switch_losses=[], budget=budget)


def _final_loss(
    problem: Problem, sizes: NDArray[np.intp], entry: Array, tokens: Array, kappa: Numeric, budget: float
) -> Array:
    """Loss at the end of the budget for each way into the last stage, ways x levels; infinite if it cannot be."""
    left = budget - entry - problem.switching()[sizes][:, None]
    have = tokens[sizes]
    usable = (left > 0) & np.isfinite(have)
    gained = kappa * np.where(usable, left, 0.0) / problem.cost_per_token[sizes][:, None]
    effective = np.where(usable, np.where(usable, have, 0.0) + gained, 1.0)
    loss = problem.floors[sizes][:, None] + problem.B * effective**-problem.beta
    return np.where(usable, loss, np.inf)


def _better(
    problem: Problem,
    path: list[tuple[int, float]],
    *,
    budget: float | None = None,
    final_loss: float | None = None,
    frozen: bool = False,
) -> Schedule | None:
    """The better of a path as the grid found it and as the closed form polishes it."""
    sizes, grid = [size for size, _ in path], [loss for _, loss in path[:-1]]
    found = [
        schedule
        for switches in (grid, _polish(problem, sizes, grid, frozen=frozen))
        if (
            schedule := follow(
                problem, sizes=sizes, switch_losses=switches, budget=budget, final_loss=final_loss
            )
        )
    ]
    if not found:
        return None
    return min(found, key=lambda schedule: schedule.loss if final_loss is None else schedule.cost)


def cheapest_to_loss(
    problem: Problem, *, final_loss: float, stages: int, budget: float, levels: int = LEVELS
) -> Schedule | None:
    """Least cost with exactly `stages` stages of training to reach `final_loss`; `budget` only sets the grid's range."""
    losses = loss_levels(problem, budget=budget, levels=levels)
    losses = np.append(losses[losses > final_loss], final_loss)
    found = [
        _cheapest_of_models(problem, losses, models=models, frozen=frozen)
        for models, frozen in _routes(problem, stages)
    ]
    return min((one for one in found if one is not None), key=lambda one: one.cost, default=None)


def _cheapest_of_models(problem: Problem, losses: Array, *, models: int, frozen: bool) -> Schedule | None:
    """Least cost with exactly `models` models in turn to reach the last of the losses."""
    values = [first_costs(problem, losses, frozen=frozen)]
    for _ in range(models - 1):
        values.append(grown_costs(problem, values[-1], losses))
    costs = np.where(problem.may_end(), values[-1][:, -1], np.inf)
    size = int(np.argmin(costs))
    if not np.isfinite(costs[size]):
        return None
    path = _path(problem, values, losses, size=size, level=len(losses) - 1)
    return _better(problem, path, final_loss=float(losses[-1]), frozen=frozen)
