"""Sizes that growth is planned over, each in its own fastest layout, with the loss that each would reach from scratch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator import transformer
from simulator.search import evaluate, lattice, planner
from simulator.search import question as questions
from simulator.search.evaluate import Counts
from simulator.search.growing_sizes import Pins
from simulator.search.lattice import Axes
from simulator.search.question import Machine, Question
from simulator.search.table import Plan, plan_of, scalar_shape
from simulator.transformer import Shape

Array = NDArray[np.float64]

SAME = 1e-9
"""Relative difference below which two limits, or two losses, are one. [-]"""


@dataclass(frozen=True)
class Laid:
    """Sizes that run, each in its own fastest layout."""

    shapes: Shape
    axes: Axes
    fastest: evaluate.Fastest
    batch: NDArray[np.intp]
    """Best batch of every size, as an index."""
    seconds: Array
    """Time of a token that is worth one at the law's own batch, for every size. [s]"""
    tokens: Array
    """Tokens that every size sees from scratch in the whole time, up to the distinct ones: what its floor and the worth of its
    batch were taken at. [tokens]"""

    @property
    def batch_tokens(self) -> Array:
        """Tokens of a step of every size. [tokens]"""
        return np.asarray(self.axes.global_batch_size * self.axes.seq_length, dtype=float)[self.batch]

    @property
    def step_time_s(self) -> Array:
        """Time of a step of every size. [s]"""
        return np.asarray(np.take_along_axis(self.fastest.step_time_s, self.batch[:, None], axis=1)[:, 0])


def lay(question: Question, machine: Machine, n_gpus: int, sizes: Shape, budget_s: float) -> Laid:
    """The sizes that run on a number of accelerators of a machine.

    Parameters
    ----------
    question, machine, n_gpus
        What is asked, and where it runs.
    sizes : Shape
        Sizes, as arrays of one length.
    budget_s : float
        Useful time of the run. [s]
    """
    axes = planner.axes_for(question, machine, n_gpus, sizes)
    fastest = evaluate.fastest(sizes, axes, machine.setting, Counts())
    batch_tokens = np.asarray(axes.global_batch_size * axes.seq_length, dtype=float)
    unique = np.inf if question.learning.unique_tokens is None else question.learning.unique_tokens
    seen = np.minimum(budget_s / fastest.step_time_s * batch_tokens, unique)
    factor = question.learning.batch_factor(tokens=np.maximum(seen, 1.0), batch_tokens=batch_tokens)
    worth = fastest.step_time_s / (batch_tokens * factor)
    runs = np.isfinite(np.min(worth, axis=1))
    kept = evaluate.Fastest(*(getattr(fastest, f.name)[runs] for f in fields(fastest)))
    worth, batch = worth[runs], np.argmin(worth[runs], axis=1)
    tokens = np.take_along_axis(seen[runs], batch[:, None], axis=1)[:, 0]
    return Laid(lattice.take(sizes, np.flatnonzero(runs)), axes, kept, batch, np.min(worth, axis=1), tokens)


def plan_at(question: Question, laid: Laid, machine: int, size: int) -> Plan:
    """One size in its own fastest layout, as a run from scratch to the end of the limits."""
    batch = int(laid.batch[size])
    layout = evaluate.layout_at(
        laid.axes, int(laid.fastest.kernel[size, batch]), int(laid.fastest.spread[size, batch]), batch
    )
    seconds = float(laid.fastest.step_time_s[size, batch])
    return plan_of(question, machine, laid.axes.n_gpus, scalar_shape(laid.shapes, size), layout, seconds)


def floor(
    question: Question, shape: Shape, *, terms: Mapping[str, Any], tokens: Any, batch_tokens: Any
) -> Any:
    """Loss of sizes on endless data: what the question's laws say after these tokens, less the law's term in tokens. [nats/token]

    Taken at the tokens that a size sees from scratch, so that a schedule of one stage ends at the loss that the search predicts
    for the same run.
    """
    counted = tokens * question.learning.batch_factor(tokens=tokens, batch_tokens=batch_tokens)
    loss = question.learning.loss(shape, tokens=tokens, batch_tokens=batch_tokens)
    return loss - terms["B"] * counted ** -terms["beta"]


def floors(question: Question, laid: Laid, terms: Mapping[str, Any]) -> Array:
    """`floor` of every size. [nats/token]"""
    found = floor(question, laid.shapes, terms=terms, tokens=laid.tokens, batch_tokens=laid.batch_tokens)
    return np.asarray(found, dtype=float)


def servable(
    question: Question, machine: Machine, n_gpus: int, sizes: Shape, cap: float, most: float = np.inf
) -> NDArray[np.bool_]:
    """Sizes whose own serving leaves the run at least this much time, and takes no more parameters per token than `most`.

    A limit on cost covers serving. A larger model, which serves at a higher cost, would have to train for less; it is left out
    rather than planned for.
    """
    active = evaluate.active_parameters(sizes)
    own, _ = questions.wall_limit_s(question, machine, n_gpus, active, question.limits)
    return np.asarray((own >= cap * (1 - SAME)) & (active <= most * (1 + SAME)))


def best_alone(
    question: Question, laid: Laid, machine: int, allowed: NDArray[np.bool_], known: Plan
) -> Plan | None:
    """The run from scratch in one of the sizes that growth may end in that beats a known one; ``None`` if none does.

    An operator makes shapes that a search from scratch does not try, and growth must not be praised for the shape.
    """
    where = question.machines[machine]
    columns = questions.outcome(
        question,
        where,
        n_gpus=laid.axes.n_gpus,
        shape=laid.shapes,
        batch_sequences=laid.batch_tokens / question.seq_length,
        step_time_s=laid.step_time_s,
    )
    loss = np.where(allowed & columns["runs"], columns["loss"], np.inf)
    if not loss.size or not np.min(loss) < known.columns["loss"] * (1 - SAME):
        return None
    return plan_at(question, laid, machine, int(np.argmin(loss)))


def active(shape: Shape) -> float:
    """Parameters that a token passes through. [-]"""
    return float(transformer.active_parameters(shape))


def ends(
    question: Question,
    laid: Laid,
    machine: Machine,
    pins: Pins,
    *,
    cap: float,
    most: float,
) -> NDArray[np.bool_]:
    """Sizes that growth may end in: as asked, servable, as quick as required, and with distinct tokens to the end."""
    quick = questions.quick_enough(question, questions.latency_s(question, machine, laid.shapes))
    kept = (
        quick & pins.keep(laid.shapes) & servable(question, machine, laid.axes.n_gpus, laid.shapes, cap, most)
    )
    unique = question.learning.unique_tokens
    return np.asarray(kept if unique is None else kept & (laid.tokens < unique))
