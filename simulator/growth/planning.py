r"""The growth answer: the best schedule for each assumption about token efficiency, beside training from scratch.

`best_schedule` answers for one :math:`\kappa`; `plan` for the pessimistic, the central and the optimistic one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from simulator.errors import InfeasibleError
from simulator.growth import operators
from simulator.growth.problem import Problem, Schedule, SunkSource, build_problem
from simulator.growth.schedule import (
    LEVELS,
    best_scratch,
    best_under_budget,
    cheapest_to_loss,
)
from simulator.transformer import Shape

KAPPA: dict[str, float] = {"pessimistic": 0.85, "central": 1.10, "optimistic": 1.50}
"""Token efficiency after growth that answers are given for. [-]

Compared with the published cases by `simulator.growth.evidence.kappa_quantiles`: about their 5th, 50th and 90th
percentile. An assumption, always shown.
"""
MAX_STAGES = 4
LEAST_SOURCE_SHARE = 0.008
"""Least share of a published run's compute (parameters times tokens) that its small model had before it was grown: 10B tokens of
1.7B before 300B of 7B (arXiv:2405.15319). [-]"""
WORTH = 0.01
"""Saving below which growth is said not to pay: less than what a second configuration costs in care. [-]"""
BREAK_EVEN_RANGE = (0.1, 5.0)


@dataclass(frozen=True)
class GrowthAnswer:
    r"""The best schedule under one :math:`\kappa`, and what it is worth against the best run from scratch."""

    kappa: float
    unit: str
    """Unit of every cost here: ``s`` or ``USD``."""
    budget: float
    best: Schedule
    """The better of growth and scratch."""
    grown: Schedule | None
    """Best schedule of two stages or more (one, if it starts from a sunk source)."""
    scratch: Schedule
    """Best single size with the same budget."""
    by_stages: dict[int, Schedule]
    """Best schedule of each number of stages that fits the budget; a sunk source that is grown at once is no stage."""
    pays: bool
    """Whether growth reaches the loss of `scratch` with a `saving` above `WORTH`."""
    loss_gain: float
    """Loss from scratch minus loss grown; negative if growth loses. [nats/token]"""
    cheapest: Schedule | None
    """Cheapest grown schedule that reaches the loss of `scratch`."""
    saving: float
    """Share of the budget that growth saves on the way to the same loss; negative if it costs more. [-]"""
    break_even_kappa: float
    """Growth pays above this token efficiency; infinite if it never does. [-]"""
    verdict: str


def best_schedule(
    *,
    params: ArrayLike,
    E: float,
    A: float,
    alpha: float,
    B: float,
    beta: float,
    kappa: float = KAPPA["central"],
    seconds_per_token: ArrayLike | None = None,
    usd_per_token: ArrayLike | None = None,
    budget_s: float | None = None,
    budget_usd: float | None = None,
    max_stages: int = 2,
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
    levels: int = LEVELS,
) -> GrowthAnswer:
    r"""Find the schedule of one to four stages with the lowest loss under a budget.

    Parameters
    ----------
    params : array_like
        Parameters of each size on offer, counted as the law counts them. [parameters]
    E, A, alpha, B, beta : float
        Constants of the loss law.
    kappa : float, optional
        Token efficiency after growth. [-]
    seconds_per_token, usd_per_token : array_like, optional
        Cost of a token for each size, in its own best layout. [s/token, USD/token]
    budget_s, budget_usd : float, optional
        One of them; or both at one price per second, where the tighter one binds. [s, USD]
    max_stages : int, optional
        Stages at most, 1 to 4.
    reload_s, reload_usd : float, optional
        Cost of each switch that is not training: checkpoint, expansion, new layout. [s, USD]
    rewarm_tokens : float, optional
        Tokens of the larger model lost to each re-warm-up. [tokens]
    floors : array_like, optional
        Floors of a law that looks at more than `params` (depth and width); in place of ``E + A params**-alpha``.
    sources, targets : array_like, optional
        Pairs that an operator links (`operators.links`); absent, any smaller size grows into any larger one.
    sunk_source : SunkSource, optional
        A model that is already trained and costs nothing; every grown schedule then starts from it.
    ramp_tokens : array_like, optional
        Source tokens at which the whole of `kappa` is granted, per target (`warm_start.ramped_kappa`). [tokens]
    ends : array_like of bool, optional
        Sizes that a grown schedule may end in; all if absent.
    alone : int, optional
        Index of the size that is trained from scratch for comparison; the best of all if absent.
    levels : int, optional
        Loss levels of the grid.

    Returns
    -------
    GrowthAnswer
        Costs in seconds if a time budget was given, else in USD.

    Notes
    -----
    Exact for the model it is given; wrong where the model is: :math:`\kappa` is one number for all switches, though
    one hop beat gradual stacking in G_stack's ablation; the credit has no saturation for over-trained sources; unique
    data is taken as unlimited.

    Examples
    --------
    Forty sizes, costs proportional to parameters: at kappa 1 two stages save 5 % under this law.

    >>> n = np.geomspace(1e8, 2e10, 40)
    >>> answer = best_schedule(params=n, seconds_per_token=6 * n / 1e17, budget_s=1e4, kappa=1.0,
    ...                        E=1.8172, A=482.01, alpha=.3478, B=2085.43, beta=.3658)
    >>> answer.pays, round(answer.saving, 3), round(answer.break_even_kappa, 2)
    (True, 0.051, 0.9)
    """
    problem, budget, unit = build_problem(
        params=params, E=E, A=A, alpha=alpha, B=B, beta=beta, kappa=kappa,
        seconds_per_token=seconds_per_token, usd_per_token=usd_per_token, budget_s=budget_s, budget_usd=budget_usd,
        reload_s=reload_s, reload_usd=reload_usd, rewarm_tokens=rewarm_tokens, floors=floors,
        sources=sources, targets=targets, sunk_source=sunk_source, ramp_tokens=ramp_tokens, ends=ends, alone=alone,
    )  # fmt: skip
    return answer_problem(problem, budget=budget, unit=unit, max_stages=max_stages, levels=levels)


def answer_problem(
    problem: Problem,
    *,
    budget: float,
    unit: str,
    max_stages: int,
    levels: int = LEVELS,
    edge: float | None = None,
) -> GrowthAnswer:
    """Solve a `Problem` for every number of stages and compare with scratch; `edge` is the break-even if known."""
    if not 1 <= max_stages <= MAX_STAGES:
        raise InfeasibleError(f"max_stages must be 1 to {MAX_STAGES}, not {max_stages}")
    scratch = best_scratch(problem, budget=budget)
    counts = _stage_counts(problem, max_stages)
    found = {k: best_under_budget(problem, budget=budget, stages=k, levels=levels) for k in counts}
    by_stages = {k: schedule for k, schedule in found.items() if schedule is not None}
    grown = min(by_stages.values(), key=lambda schedule: schedule.loss, default=None)
    cheapest = _cheapest(problem, scratch.loss, budget, max_stages, levels)
    saving = 1 - cheapest.cost / budget if cheapest is not None else float("nan")
    pays = grown is not None and grown.loss < scratch.loss and saving > WORTH
    if edge is None:
        edge = break_even_kappa(problem, budget=budget, max_stages=max_stages, levels=min(levels, 80))
    return GrowthAnswer(
        kappa=problem.kappa,
        unit=unit,
        budget=budget,
        best=grown if pays and grown is not None else scratch,
        grown=grown,
        scratch=scratch,
        by_stages={**({1: scratch} if problem.sunk is None else {}), **by_stages},
        pays=pays,
        loss_gain=scratch.loss - grown.loss if grown is not None else float("-inf"),
        cheapest=cheapest,
        saving=saving,
        break_even_kappa=edge,
        verdict=_verdict(pays, saving, edge, problem.kappa),
    )


def _stage_counts(problem: Problem, max_stages: int) -> range:
    """Numbers of stages of training that count as growth; with a sunk source one is enough."""
    return range(1 if problem.sunk is not None else 2, max_stages + 1)


def _cheapest(
    problem: Problem, final_loss: float, budget: float, max_stages: int, levels: int
) -> Schedule | None:
    """Cheapest grown schedule to a loss, over all numbers of stages."""
    routes = (
        cheapest_to_loss(problem, final_loss=final_loss, stages=k, budget=budget, levels=levels)
        for k in _stage_counts(problem, max_stages)
    )
    return min((route for route in routes if route is not None), key=lambda route: route.cost, default=None)


def break_even_kappa(
    problem: Problem, *, budget: float, max_stages: int, levels: int = 80, tolerance: float = 1e-3
) -> float:
    """Token efficiency above which some grown schedule saves `WORTH` against the best run from scratch. [-]

    Infinite if none does up to `BREAK_EVEN_RANGE`; the lower end of it if growth pays even there (a sunk source).
    """
    target = best_scratch(problem, budget=budget).loss

    def pays(kappa: float) -> bool:
        route = _cheapest(replace(problem, kappa=kappa), target, budget, max_stages, levels)
        return route is not None and route.cost < (1 - WORTH) * budget

    low, high = BREAK_EVEN_RANGE
    if not pays(high):
        return float("inf")
    if pays(low):
        return low
    while high - low > tolerance:
        middle = 0.5 * (low + high)
        low, high = (low, middle) if pays(middle) else (middle, high)
    return high


def _bound(edge: float) -> str:
    if not np.isfinite(edge):
        return f"no kappa up to {BREAK_EVEN_RANGE[1]:g} makes it pay"
    return f"growth pays if kappa > {edge:.2f}"


def _verdict(pays: bool, saving: float, edge: float, kappa: float) -> str:
    if not pays:
        return f"growth does not pay at kappa {kappa:.2f}; {_bound(edge)}"
    return f"growth saves {100 * saving:.0f} % at kappa {kappa:.2f}; {_bound(edge)}"


@dataclass(frozen=True)
class GrowthPlan:
    """Answers for each assumption about token efficiency, on one set of candidates."""

    operator: str
    answers: dict[str, GrowthAnswer]
    """By name of the assumption: ``pessimistic``, ``central``, ``optimistic``."""
    scratch: Schedule
    """Best single size with the same budget; the same for all."""
    verdict: str

    @property
    def central(self) -> GrowthAnswer:
        """The answer under the central assumption."""
        return self.answers["central"]


def plan(
    *,
    shapes: Shape | None = None,
    params: ArrayLike | None = None,
    operator: str = "hypercloning",
    factors: tuple[float, ...] = (2, 3, 4),
    kappas: Mapping[str, float] = KAPPA,
    max_stages: int = 2,
    levels: int = LEVELS,
    **problem: Any,
) -> GrowthPlan:
    """Answer whether, when and into what to grow, for every assumption about token efficiency.

    Parameters
    ----------
    shapes : Shape, optional
        Candidates as arrays. The operator links those that it can turn into one another.
    params : array_like, optional
        Parameters of the candidates as the law counts them; total parameters of `shapes` if absent. [parameters]
    operator : str, optional
        A name of `operators.OPERATORS`.
    factors : tuple of float, optional
        Growth factors tried. [-]
    kappas : mapping, optional
        Token efficiencies by name.
    max_stages, levels : int, optional
        As in `best_schedule`.
    **problem
        Everything else that `best_schedule` takes: costs per token, budgets, law constants, a sunk source.

    Returns
    -------
    GrowthPlan

    Examples
    --------
    >>> width = np.array([1024, 1536, 2048, 3072, 4096])
    >>> from simulator.transformer import decoder, parameters
    >>> lattice = decoder(num_hidden_layers=24, hidden_size=width, num_attention_heads=width // 64, vocab_size=32000)
    >>> answer = plan(shapes=lattice, seconds_per_token=6 * parameters(lattice) / 4e15, budget_s=10 * 86400,
    ...               E=1.8172, A=482.01, alpha=.3478, B=2085.43, beta=.3658)
    >>> {name: one.pays for name, one in answer.answers.items()}
    {'pessimistic': False, 'central': True, 'optimistic': True}
    """
    if shapes is not None:
        from simulator.transformer import parameters

        params = parameters(shapes) if params is None else params
        problem["sources"], problem["targets"] = operators.links(shapes, operator=operator, factors=factors)
    if params is None:
        raise InfeasibleError("growth needs candidates: shapes, or their parameters")
    built, budget, unit = build_problem(params=params, **problem)
    answers: dict[str, GrowthAnswer] = {}
    edge: float | None = None
    for name, kappa in kappas.items():
        answers[name] = answer_problem(
            replace(built, kappa=float(kappa)),
            budget=budget,
            unit=unit,
            max_stages=max_stages,
            levels=levels,
            edge=edge,
        )
        edge = answers[name].break_even_kappa
    some = next(iter(answers.values()))
    return GrowthPlan(operators.get(operator).name, answers, some.scratch, _plan_verdict(answers))


def _plan_verdict(answers: Mapping[str, GrowthAnswer]) -> str:
    paying = [name for name, answer in answers.items() if answer.pays]
    bound = _bound(next(iter(answers.values())).break_even_kappa)
    if not paying:
        return f"growth does not pay under any assumption ({bound})"
    if len(paying) == len(answers):
        return f"growth pays under every assumption ({bound})"
    return f"growth pays under: {', '.join(paying)} ({bound})"
