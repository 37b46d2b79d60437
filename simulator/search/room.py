"""How much of its memory a machine's plans may use: 8 % stay free, unless more memory would then make an answer worse."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np

from simulator.memory.advice import TIGHT_SHARE
from simulator.search import choice
from simulator.search.evaluate import Counts, Setting
from simulator.search.question import ONE_STEP, Question
from simulator.search.table import Plan
from simulator.transformer import Shape

KEPT = 1.0 - TIGHT_SHARE
"""Share of the memory that plans use where the rest stays free. [-]"""

STEP = 1.01
"""Ratio of one size of memory to the next among those on which it is tried whether anything runs. [-]"""


@dataclass(frozen=True)
class Tried:
    """What a search found on one machine with a part of its memory."""

    question: Question
    plans: list[Plan]
    """Some of the plans, those first that decide whether any `runs`."""
    runs: bool
    """Whether a plan keeps the limits of the question."""
    rest: Any = None
    """All that the search returned."""


def within(question: Question, machine: int, allowed: float) -> Question:
    """A question whose plans on one machine use no more than some memory. [B]"""
    machines = list(question.machines)
    setting = replace(machines[machine].setting, memory_allowed=allowed)
    machines[machine] = replace(machines[machine], setting=setting)
    return replace(question, machines=tuple(machines))


def joined(question: Question, tried: list[tuple[int, Tried]]) -> Question:
    """A question whose plans use on every machine what was found right for it alone."""
    for machine, each in tried:
        question = within(question, machine, each.question.machines[machine].setting.memory_allowed)
    return question


def search(question: Question, machine: int, attempt: Callable[[Question], Tried]) -> Tried:
    """Search one machine with as much of its memory as plans may use.

    Parameters
    ----------
    question : Question
        What is asked.
    machine : int
        Index into the question's machines.
    attempt : callable
        Searches a question on that machine.

    Notes
    -----
    Plans leave a share of 8 % free, and use all memory `c` only if nothing runs otherwise. That alone would make larger memories
    worse: once a slow layout leaves its 8 % free, faster ones that the smaller memory was filled with would be lost. So whatever a
    smaller memory may hold, a larger one may hold too, and plans use up to

        max(0.92 c, min(c, m / 0.92))

    where m is the least memory in which anything runs, rounded up to a fixed ladder (`STEP`). This never falls as c grows, so
    neither does what is allowed. Where nothing keeps the limits, m is the least in which anything fits.

    Examples
    --------
    Something runs from 32 GB on: 31 GB and 34 GB are used whole, 36 GB up to 35 GB (32 GB on the ladder, over 0.92), and 50 GB but
    for the 8 %.

    >>> [round(allowed(c, lambda size: size >= 32), 1) for c in (31, 34, 36, 50)]
    [31, 34, 35.0, 46.0]
    """
    capacity = float(question.machines[machine].setting.device.memory_capacity)

    @cache
    def at(size: float) -> Tried:
        return attempt(within(question, machine, size))

    def runs(size: float) -> bool:
        return at(size).runs

    def fits(size: float) -> bool:
        return bool(at(size).plans)

    tried = at(allowed(capacity, runs, lambda size: _surely(at(KEPT * capacity), machine, size)))
    return tried if tried.runs or not tried.plans else at(allowed(capacity, fits))


def allowed(
    capacity: float, runs: Callable[[float], bool], surely: Callable[[float], bool] = lambda _: False
) -> float:
    """Memory that plans may use, from whether anything runs in a size of it; `surely` may say so sooner. [B]"""
    kept = KEPT * capacity
    if not runs(kept):
        return capacity
    low, high = int(np.floor(_rung(KEPT * kept))), int(np.ceil(_rung(kept)))
    if surely(STEP**low) or runs(STEP**low):
        return kept
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if runs(STEP**middle) else (middle, high)
    return min(capacity, max(kept, STEP**high / KEPT))


def _rung(size: float) -> float:
    """Where a size is on the ladder of those that are tried."""
    return float(np.log(size) / np.log(STEP))


def _surely(tried: Tried, machine: int, size: float) -> bool:
    """Whether a plan that was found would be found in less memory too."""
    setting = tried.question.machines[machine].setting
    return any(_most(setting, plan) <= size for plan in tried.plans)


def _most(setting: Setting, plan: Plan) -> float:
    """Memory of a plan with a full pipeline, for which a free batch is judged. [B]"""
    full = max(float(plan.layout.num_microbatches), 2.0 * float(plan.layout.pp))
    return float(setting.memory(plan.shape, plan.layout.with_(num_microbatches=full))["total"])


def layouts(
    question: Question, machine: int, n_gpus: int, shape: Shape, *, number: int
) -> tuple[Question, list[Plan], Counts]:
    """Layouts of one model, as `choice.layouts`, in the memory that they may use, and the question for them."""

    def attempt(asked: Question) -> Tried:
        plans, counts = choice.layouts(asked, machine, n_gpus, shape, number=number)
        return Tried(asked, plans[:1], bool(plans) and not falls_short(question, plans[0]), (plans, counts))

    tried = search(question, machine, attempt)
    return tried.question, *tried.rest


def falls_short(question: Question, plan: Plan) -> bool:
    """Whether a plan that fits breaks a limit, is not good enough, or ends before its first step."""
    c = plan.columns
    if c["steps"] < ONE_STEP:
        return True
    return bool((c["runs"] < 1 and (question.limits.given or not c["good"])) or not c["quick"])
