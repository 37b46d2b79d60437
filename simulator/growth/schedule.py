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
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from simulator.growth import warm_start
from simulator.transformer import Numeric

Array = NDArray[np.float64]
LEVELS = 200
"""Loss levels of the grid."""


@dataclass(frozen=True)
class SunkSource:
    """A model that is already trained and costs nothing: an index into the sizes, and its tokens."""

    size: int
    tokens: float


@dataclass(frozen=True)
class Stage:
    """One stage of a schedule: a model trained from a start loss to an end loss."""

    size: int
    """Index into the sizes given."""
    params: float
    tokens: float
    """Tokens trained in this stage."""
    cost: float
    """Seconds or USD of this stage, its switch included."""
    switch_cost: float
    """Part of `cost` that reload and re-warm-up take."""
    loss_start: float
    loss_end: float
    credit_tokens: float
    """Effective tokens the stage starts with: what the earlier stages, or a sunk source, are worth."""
    kappa: float
    """Token efficiency of this stage."""


@dataclass(frozen=True)
class Schedule:
    """Stages in order, their total cost and their final loss."""

    stages: tuple[Stage, ...]
    loss: float
    cost: float

    @property
    def tokens(self) -> float:
        """Tokens of all stages."""
        return float(sum(stage.tokens for stage in self.stages))


@dataclass(frozen=True)
class Problem:
    """Everything a schedule is chosen from, as arrays over sizes; costs in one unit (seconds or USD)."""

    params: Array
    floors: Array
    cost_per_token: Array
    B: float
    beta: float
    kappa: float = 1.0
    switch_cost: Array | float = 0.0
    """Cost of entering each size by growth."""
    sources: NDArray[np.intp] | None = None
    """With `targets`: the pairs that an operator links. Absent: any smaller size grows into any larger one."""
    targets: NDArray[np.intp] | None = None
    sunk: SunkSource | None = None
    ramp_tokens: Array | None = None
    """Tokens per target at which the whole of `kappa` is granted; absent: at once."""

    @property
    def count(self) -> int:
        """Sizes on offer."""
        return len(self.params)

    def edges(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Pairs (source, target), ordered by target; only pairs that lower the floor."""
        if self.sources is None or self.targets is None:
            source, target = (index.ravel() for index in np.indices((self.count, self.count)))
            keep = self.params[source] < self.params[target]
            source, target = source[keep], target[keep]
        else:
            source, target = np.asarray(self.sources), np.asarray(self.targets)
        keep = self.floors[target] < self.floors[source]
        source, target = source[keep], target[keep]
        order = np.argsort(target, kind="stable")
        return source[order], target[order]

    def tokens_at(self, losses: Array) -> Array:
        """Tokens from scratch to each loss, sizes x losses; infinite below the floor."""
        tokens = warm_start.tokens_for_loss(floor=self.floors[:, None], B=self.B, beta=self.beta, loss=losses)
        return np.asarray(tokens, dtype=float)

    def switching(self) -> Array:
        """Switch cost of each size."""
        return np.broadcast_to(np.asarray(self.switch_cost, dtype=float), (self.count,))

    def stage_kappa(self, target: int | NDArray[np.intp], source_tokens: Numeric) -> Numeric:
        """Token efficiency of a growth, after the ramp if there is one."""
        if self.ramp_tokens is None:
            return np.full(np.shape(source_tokens), self.kappa)
        full = self.ramp_tokens[target]
        return warm_start.ramped_kappa(kappa=self.kappa, source_tokens=source_tokens, full_tokens=full)


# --- the grid -------------------------------------------------------------------------------------------------------


def loss_levels(problem: Problem, *, budget: float, levels: int = LEVELS) -> Array:
    """Descending losses at which a switch may happen, dense near the best attainable. [nats/token]"""
    with np.errstate(divide="ignore"):
        affordable = budget / problem.cost_per_token
    low_tokens = 4 * max(problem.kappa, 1.0) * affordable
    if problem.sunk is not None:
        start = warm_start.loss_from_tokens(
            floor=problem.floors[problem.sunk.size],
            B=problem.B,
            beta=problem.beta,
            tokens=problem.sunk.tokens,
        )
        credit = warm_start.tokens_for_loss(floor=problem.floors, B=problem.B, beta=problem.beta, loss=start)
        low_tokens = low_tokens + np.where(np.isfinite(credit), credit, 0.0)
    low = float(np.min(problem.floors + problem.B * low_tokens**-problem.beta))
    high = float(np.max(problem.floors + problem.B * (1e-4 * affordable) ** -problem.beta))
    base = float(problem.floors.min())
    grid = base + np.geomspace(high - base, low - base, levels)
    if problem.sunk is not None:
        grid = np.sort(np.append(grid, float(start)))[::-1]
    return np.asarray(grid, dtype=float)


def scratch_costs(problem: Problem, losses: Array) -> Array:
    """`V_1`: cost of reaching each loss with each size, from scratch or from the sunk source."""
    tokens = problem.tokens_at(losses)
    costs = problem.cost_per_token[:, None] * tokens
    if problem.sunk is not None:
        i, done = problem.sunk.size, problem.sunk.tokens
        costs[i] = problem.cost_per_token[i] * np.maximum(tokens[i] - done * (1 + 1e-12), 0.0)
    return costs


def _entry_costs(problem: Problem, values: Array) -> Array:
    """Cheapest source of each size at each loss: the minimum of `values` over the pairs into it."""
    source, target = problem.edges()
    entry = np.full_like(values, np.inf)
    if len(source):
        present, starts = np.unique(target, return_index=True)
        entry[present] = np.minimum.reduceat(values[source], starts, axis=0)
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
    source, target = problem.edges()
    result = np.full_like(values, np.inf)
    later = np.arange(len(losses))[:, None] <= np.arange(len(losses))
    for i in np.unique(target):
        seen = tokens[source[target == i]]
        rate = problem.cost_per_token[i] / np.asarray(problem.stage_kappa(int(i), seen))
        entry = _minus(values[source[target == i]], rate * tokens[i])
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
    source, target = problem.edges()
    path = [(size, float(losses[level]))]
    for earlier in reversed(values[:-1]):
        into = source[target == size]
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


def _polish(problem: Problem, sizes: list[int], switch_losses: list[float]) -> list[float]:
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
    if problem.sunk is not None and sizes[0] == problem.sunk.size:
        polished[0] = min(polished[0], _sunk_loss(problem))
    ordered = all(a > b for a, b in itertools.pairwise(polished))
    return polished if ordered and np.isfinite(polished).all() else switch_losses


def _sunk_loss(problem: Problem) -> float:
    assert problem.sunk is not None
    return float(
        warm_start.loss_from_tokens(
            floor=problem.floors[problem.sunk.size],
            B=problem.B,
            beta=problem.beta,
            tokens=problem.sunk.tokens,
        )
    )


def follow(
    problem: Problem,
    *,
    sizes: list[int],
    switch_losses: list[float],
    budget: float | None = None,
    final_loss: float | None = None,
) -> Schedule | None:
    """Run a path: each size to its switch loss, the last to the end of `budget` or to `final_loss`.

    Returns ``None`` if the budget ends before the last stage, or a stage would have to lose ground.
    """
    stages: list[Stage] = []
    spent, at = 0.0, np.inf
    for k, i in enumerate(sizes):
        last = k == len(sizes) - 1
        floor, c = float(problem.floors[i]), float(problem.cost_per_token[i])
        sunk = problem.sunk is not None and k == 0 and problem.sunk.size == i
        if sunk:
            at = _sunk_loss(problem)
        have = (
            float(warm_start.tokens_for_loss(floor=floor, B=problem.B, beta=problem.beta, loss=at))
            if at < np.inf
            else 0.0
        )
        grown = k > 0
        kappa = float(problem.stage_kappa(i, _source_tokens(problem, sizes[k - 1], at))) if grown else 1.0
        switch = float(problem.switching()[i]) if grown else 0.0
        if last and final_loss is None:
            assert budget is not None
            tokens = (budget - spent - switch) / c
        else:
            goal = final_loss if last and final_loss is not None else switch_losses[k]
            need = float(warm_start.tokens_for_loss(floor=floor, B=problem.B, beta=problem.beta, loss=goal))
            tokens = (need - have) / kappa
            tokens = max(tokens, 0.0) if sunk else tokens
        if not (tokens >= 0 and np.isfinite(tokens) and np.isfinite(have)):
            return None
        end = float(
            warm_start.loss_after_growth(
                floor=floor, B=problem.B, beta=problem.beta, credit_tokens=have, tokens=tokens, kappa=kappa
            )
        )
        cost = switch + c * tokens
        stages.append(Stage(i, float(problem.params[i]), tokens, cost, switch, float(at), end, have, kappa))
        spent, at = spent + cost, end
    if budget is not None and spent > budget * (1 + 1e-9):
        return None
    return Schedule(tuple(stages), at, spent)


def _source_tokens(problem: Problem, size: int, loss: float) -> float:
    floor = float(problem.floors[size])
    return float(warm_start.tokens_for_loss(floor=floor, B=problem.B, beta=problem.beta, loss=loss))


def best_scratch(problem: Problem, *, budget: float) -> Schedule:
    """Best single size trained from scratch with the whole budget."""
    losses = problem.floors + problem.B * (budget / problem.cost_per_token) ** -problem.beta
    schedule = follow(
        replace(problem, sunk=None), sizes=[int(np.argmin(losses))], switch_losses=[], budget=budget
    )
    assert schedule is not None
    return schedule


def best_under_budget(
    problem: Problem, *, budget: float, stages: int, levels: int = LEVELS
) -> Schedule | None:
    """Lowest loss with exactly `stages` stages, or ``None`` if no such schedule fits the budget."""
    losses = loss_levels(problem, budget=budget, levels=levels)
    values = [scratch_costs(problem, losses)]
    for _ in range(stages - 2):
        values.append(grown_costs(problem, values[-1], losses))
    if stages == 1:
        rate = budget / problem.cost_per_token
        if problem.sunk is not None:
            rate = rate + np.where(np.arange(problem.count) == problem.sunk.size, problem.sunk.tokens, 0.0)
        size = int(np.argmin(problem.floors + problem.B * rate**-problem.beta))
        return follow(problem, sizes=[size], switch_losses=[], budget=budget)
    tokens = problem.tokens_at(losses)
    source, target = problem.edges()
    if not len(source):
        return None
    left = budget - values[-1][source] - problem.switching()[target][:, None]
    kappa = np.asarray(problem.stage_kappa(target[:, None], tokens[source]))
    usable = (left > 0) & np.isfinite(tokens[target])
    gained = kappa * np.where(usable, left, 0.0) / problem.cost_per_token[target][:, None]
    effective = np.where(usable, tokens[target] + gained, 0.0)
    with np.errstate(divide="ignore"):
        final = problem.floors[target][:, None] + problem.B * effective**-problem.beta
    if not np.isfinite(final).any():
        return None
    edge, level = np.unravel_index(int(np.argmin(final)), final.shape)
    path = _path(problem, values, losses, size=int(source[edge]), level=int(level))
    return _better(problem, [*path, (int(target[edge]), -np.inf)], budget=budget)


def _better(
    problem: Problem,
    path: list[tuple[int, float]],
    *,
    budget: float | None = None,
    final_loss: float | None = None,
) -> Schedule | None:
    """The better of a path as the grid found it and as the closed form polishes it."""
    sizes, grid = [size for size, _ in path], [loss for _, loss in path[:-1]]
    found = [
        schedule
        for switches in (grid, _polish(problem, sizes, grid))
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
    """Least cost with exactly `stages` stages to reach `final_loss`; `budget` only sets the range of the grid."""
    losses = loss_levels(problem, budget=budget, levels=levels)
    losses = np.append(losses[losses > final_loss], final_loss)
    values = [scratch_costs(problem, losses)]
    for _ in range(stages - 1):
        values.append(grown_costs(problem, values[-1], losses))
    size = int(np.argmin(values[-1][:, -1]))
    if not np.isfinite(values[-1][size, -1]):
        return None
    path = _path(problem, values, losses, size=size, level=len(losses) - 1)
    return _better(problem, path, final_loss=final_loss)
