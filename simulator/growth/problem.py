"""A growth problem, and what following one of its paths costs.

`Problem` holds the sizes on offer with their floors and costs; `follow` runs a given path of sizes and switch losses
through it and returns a `Schedule`. Finding the best path is `simulator.growth.schedule`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simulator.columns import Numeric
from simulator.errors import InfeasibleError
from simulator.growth import warm_start

Array = NDArray[np.float64]


@dataclass(frozen=True)
class SunkSource:
    """A model that is already trained and costs nothing: its size, and its tokens or its loss.

    Every grown schedule starts from it. Grown at once it takes up no stage of training.
    """

    size: int
    """Index into the sizes given."""
    tokens: float = float("nan")
    loss: float = float("nan")
    """Measured loss, which goes before `tokens`; on the corpus and tokenizer of the law. [nats/token]"""


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
    ends: NDArray[np.bool_] | None = None
    """Sizes that a grown schedule may end in; absent: all."""
    alone: int | None = None
    """Size of the run from scratch that growth is compared with; absent: the best of all."""

    @property
    def count(self) -> int:
        """Sizes on offer."""
        return len(self.params)

    def links(self) -> tuple[NDArray[np.intp], NDArray[np.intp]] | None:
        """Pairs (source, target) ordered by target that lower the floor; ``None`` if every larger size may follow."""
        if self.sources is None or self.targets is None:
            return None
        source, target = np.asarray(self.sources), np.asarray(self.targets)
        keep = self.floors[target] < self.floors[source]
        source, target = source[keep], target[keep]
        order = np.argsort(target, kind="stable")
        return source[order], target[order]

    def may_end(self) -> NDArray[np.bool_]:
        """Whether a grown schedule may end in each size."""
        return np.ones(self.count, dtype=bool) if self.ends is None else np.asarray(self.ends, dtype=bool)

    def sources_of(self, size: int) -> NDArray[np.intp]:
        """Sizes that may grow into `size`."""
        if self.sources is None or self.targets is None:
            smaller = self.params < self.params[size]
            return np.flatnonzero(smaller & (self.floors > self.floors[size]))
        into = np.asarray(self.sources)[np.asarray(self.targets) == size]
        return np.unique(into[self.floors[into] > self.floors[size]])

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

    def tokens_of(self, size: int, loss: float) -> float:
        """Tokens that bring one size from scratch to one loss; 0 at infinite loss. [tokens]"""
        if not loss < np.inf:
            return 0.0
        found = warm_start.tokens_for_loss(floor=self.floors[size], B=self.B, beta=self.beta, loss=loss)
        return float(found)

    def sunk_state(self) -> tuple[int, float, float] | None:
        """Size, effective tokens and loss of the sunk source."""
        if self.sunk is None:
            return None
        size, tokens, loss = self.sunk.size, self.sunk.tokens, self.sunk.loss
        if np.isfinite(loss):
            return size, self.tokens_of(size, loss), loss
        reached = warm_start.loss_from_tokens(
            floor=self.floors[size], B=self.B, beta=self.beta, tokens=tokens
        )
        return size, tokens, float(reached)


def _costs(
    seconds_per_token: ArrayLike | None,
    usd_per_token: ArrayLike | None,
    budget_s: float | None,
    budget_usd: float | None,
) -> tuple[NDArray[np.float64], float, str]:
    """Cost per token, budget and unit: the one budget given, or the one that binds."""
    if (budget_usd is not None and usd_per_token is None) or (
        budget_s is not None and seconds_per_token is None
    ):
        raise InfeasibleError("a budget needs the cost per token in its own unit (seconds or USD)")
    if budget_s is not None and budget_usd is not None:
        seconds = np.asarray(seconds_per_token, dtype=float)
        price = np.asarray(usd_per_token, dtype=float) / seconds
        if np.ptp(price) > 1e-9 * price.max():
            raise InfeasibleError("two budgets at once need one price per second for all sizes")
        return seconds, min(budget_s, budget_usd / float(price.flat[0])), "s"
    if budget_s is not None:
        return np.asarray(seconds_per_token, dtype=float), float(budget_s), "s"
    if budget_usd is not None:
        return np.asarray(usd_per_token, dtype=float), float(budget_usd), "USD"
    raise InfeasibleError("a schedule needs a budget: budget_s or budget_usd")


def build_problem(
    *,
    params: ArrayLike,
    E: float,
    A: float,
    alpha: float,
    B: float,
    beta: float,
    kappa: float = 1.0,
    seconds_per_token: ArrayLike | None = None,
    usd_per_token: ArrayLike | None = None,
    budget_s: float | None = None,
    budget_usd: float | None = None,
    reload_s: float = 0.0,
    reload_usd: float = 0.0,
    rewarm_tokens: float = 0.0,
    floors: ArrayLike | None = None,
    sources: ArrayLike | None = None,
    targets: ArrayLike | None = None,
    sunk_source: SunkSource | None = None,
    ramp_tokens: ArrayLike | None = None,
    ends: ArrayLike | None = None,
    alone: int | None = None,
) -> tuple[Problem, float, str]:
    """Turn the arguments of `planning.best_schedule` into a `Problem`, its budget and the unit of its costs."""
    cost, budget, unit = _costs(seconds_per_token, usd_per_token, budget_s, budget_usd)
    size = np.atleast_1d(np.asarray(params, dtype=float))
    cost = np.broadcast_to(np.atleast_1d(cost), size.shape).astype(float)
    law_floors = warm_start.floor(E=E, A=A, alpha=alpha, params=size) if floors is None else floors
    if not (budget > 0 and np.all(cost > 0) and np.all(size > 0) and kappa > 0):
        raise InfeasibleError("a schedule needs a positive budget, costs, sizes and kappa")
    problem = Problem(
        params=size,
        floors=np.asarray(law_floors, dtype=float),
        cost_per_token=cost,
        B=float(B),
        beta=float(beta),
        kappa=float(kappa),
        switch_cost=(reload_s if unit == "s" else reload_usd) + rewarm_tokens * cost,
        sources=None if sources is None else np.asarray(sources, dtype=np.intp),
        targets=None if targets is None else np.asarray(targets, dtype=np.intp),
        sunk=sunk_source,
        ramp_tokens=_per_size(ramp_tokens, size.shape, float),
        ends=_per_size(ends, size.shape, bool),
        alone=alone,
    )
    _check_sunk(problem)
    return problem, budget, unit


def _per_size(values: ArrayLike | None, shape: tuple[int, ...], dtype: type) -> NDArray[Any] | None:
    """One value for each size, or ``None``."""
    return None if values is None else np.broadcast_to(np.asarray(values, dtype=dtype), shape)


def _check_sunk(problem: Problem) -> None:
    """See that an existing model stands somewhere on the law."""
    sunk = problem.sunk_state()
    if sunk is not None and not (np.isfinite(sunk[1]) and sunk[1] > 0):
        raise InfeasibleError(
            "the existing model's loss is below what the law allows for its size; calibrate the law on its corpus"
            if np.isfinite(sunk[2])
            else "an existing model needs its tokens or its loss"
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

    Returns ``None`` if the budget ends before the last stage, or a stage would have to lose ground. A sunk source, and
    what it is grown into at the end, may be better than asked for.
    """
    stages: list[Stage] = []
    spent, at = 0.0, np.inf
    sunk = problem.sunk_state()
    for k, i in enumerate(sizes):
        started = sunk is not None and k == 0 and sunk[0] == i
        at = sunk[2] if started and sunk is not None else at
        have = problem.tokens_of(i, at)
        kappa = float(problem.stage_kappa(i, problem.tokens_of(sizes[k - 1], at))) if k else 1.0
        switch = float(problem.switching()[i]) if k else 0.0
        cost_per_token = float(problem.cost_per_token[i])
        last = k == len(sizes) - 1
        goal = final_loss if last else switch_losses[k]
        if goal is None:
            tokens = ((budget or 0.0) - spent - switch) / cost_per_token
        else:
            tokens = (problem.tokens_of(i, goal) - have) / kappa
            tokens = max(tokens, 0.0) if started or (last and sunk is not None) else tokens
        if not (tokens >= 0 and np.isfinite(tokens) and np.isfinite(have)):
            return None
        end = warm_start.loss_after_growth(
            floor=problem.floors[i],
            B=problem.B,
            beta=problem.beta,
            credit_tokens=have,
            tokens=tokens,
            kappa=kappa,
        )
        cost = switch + cost_per_token * tokens
        stages.append(
            Stage(i, float(problem.params[i]), tokens, cost, switch, float(at), float(end), have, kappa)
        )
        spent, at = spent + cost, float(end)
    if budget is not None and spent > budget * (1 + 1e-9):
        return None
    return Schedule(tuple(stages), at, spent)
