"""How much of a run would do: where data repeat, its last part costs as much as the rest and teaches next to nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from simulator.search import choice, quality
from simulator.search.question import Question
from simulator.search.table import Plan
from simulator.units import format_quantity

NEXT_TO_NOTHING = 0.002
"""Loss that the last part of a run may be worth and still be called nothing: a choice, a seventh of `RESOLUTION_NATS`, so that no
plan that the laws can tell apart hides behind it. [nats/token]"""

MOST_OF_IT = 0.75
"""Share of a run above which nothing is said: little would be saved. [-]"""

HALVINGS = 5
"""Batches that are tried, each half of the one before: a shorter run wants a smaller one. [-]"""


def report(question: Question, plan: Plan) -> dict[str, Any]:
    """The least part of a run's time and money in which its model comes within `NEXT_TO_NOTHING` of its loss.

    Returns
    -------
    dict
        ``share tokens global_batch_size time_to_train_days cost_usd loss_difference text``; empty where the run has an end of its
        own, does not repeat its data, or where more than `MOST_OF_IT` of it is needed.
    """
    unique, c = question.learning.unique_tokens, plan.columns
    if question.fixed or question.shortest or not question.from_scratch or unique is None:
        return {}
    if c["runs"] < 1 or not c["tokens"] > unique:
        return {}
    share, tokens, batch = min(_shorter(question, plan, each) for each in _batches(question, plan))
    if not share <= MOST_OF_IT:
        return {}
    cost = c["cost_usd"] * share if np.isfinite(c["cost_usd"]) else None
    days = c["wall_s"] * share / 86400.0
    return {
        "share": share,
        "tokens": tokens,
        "global_batch_size": batch,
        "time_to_train_days": days,
        "cost_usd": cost,
        "loss_difference": NEXT_TO_NOTHING,
        "text": _words(share, tokens, cost, days),
    }


def _batches(question: Question, plan: Plan) -> Iterator[Plan]:
    """The plan, and the fastest layouts of its model at smaller batches, unless the scenario fixes the batch."""
    yield plan
    if question.pins.global_batch_size is not None:
        return
    for halvings in range(1, HALVINGS + 1):
        size = plan.batch_sequences / 2**halvings
        if not size.is_integer():
            return
        yield from choice.layouts(question, plan.machine, plan.n_gpus, plan.shape, batch=size, number=1)[0]


def _shorter(question: Question, plan: Plan, other: Plan) -> tuple[float, float, float]:
    """Share of a plan's time in which another batch nearly reaches its loss, the tokens that it takes, and the batch."""

    def loss(tokens: Any) -> Any:
        return question.learning.loss(plan.shape, tokens=tokens, batch_tokens=other.batch_tokens)

    most, limit = plan.columns["tokens"], plan.columns["loss"] + NEXT_TO_NOTHING
    tokens = float(quality.crossing(loss, limit, np.asarray(most)))
    slower = (other.step_time_s / other.batch_tokens) / (plan.step_time_s / plan.batch_tokens)
    return tokens / most * slower, tokens, other.batch_sequences


def _words(share: float, tokens: float, cost: float | None, days: float) -> str:
    """What part of the run would do, in words.

    Examples
    --------
    >>> _words(0.173, 8.06e12, 586e3, 10.4)
    '17 % of the time and money (8.06T tokens, 10.4 days, $586k) already comes within 0.002 nats of this loss; the rest repeats data'
    """
    told = [f"{format_quantity(tokens, 'token')} tokens", format_quantity(days * 86400.0, "second")]
    told += [] if cost is None else [format_quantity(cost, "USD")]
    spent = "time" if cost is None else "time and money"
    return (
        f"{100 * share:.2g} % of the {spent} ({', '.join(told)}) already comes within {NEXT_TO_NOTHING:g} nats of this loss; "
        "the rest repeats data"
    )
