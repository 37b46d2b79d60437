"""Fastest layouts as tables, and single plans taken out of them."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from simulator import transformer
from simulator.layout import Layout
from simulator.search import evaluate
from simulator.search import question as questions
from simulator.search.evaluate import Counts, Fastest
from simulator.search.lattice import Axes
from simulator.search.question import Limits, Question
from simulator.transformer import Shape

if TYPE_CHECKING:
    from simulator.search.held import Held

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Table:
    """Fastest layouts of some shapes on one number of accelerators of one machine."""

    machine: int
    axes: Axes
    shape: Shape
    fastest: Fastest

    def outcome(self, question: Question, limits: Limits | None = None) -> dict[str, Any]:
        """Columns of `question.outcome`, of shape (S, G)."""
        return questions.outcome(
            question,
            question.machines[self.machine],
            n_gpus=self.axes.n_gpus,
            shape=self.shape,
            batch_sequences=self.axes.global_batch_size,
            step_time_s=self.fastest.step_time_s,
            limits=limits,
        )

    def figures(self, columns: dict[str, Any]) -> dict[str, Any]:
        """Columns of an outcome with what does not depend on its limits, of shape (S, G)."""
        size = np.shape(self.fastest.step_time_s)
        params = np.atleast_1d(np.asarray(transformer.parameters(self.shape), dtype=float))
        return {
            **columns,
            "params": np.broadcast_to(params[:, None], size),
            "n_gpus": np.full(size, float(self.axes.n_gpus)),
        }


@dataclass(frozen=True)
class Plan:
    """One shape in one layout on one machine, with what it comes to."""

    machine: int
    n_gpus: int
    shape: Shape
    layout: Layout
    step_time_s: float
    columns: dict[str, float]

    @property
    def params(self) -> float:
        """Parameters. [-]"""
        return float(transformer.parameters(self.shape))

    @property
    def figures(self) -> dict[str, float]:
        """Columns with size and number of accelerators."""
        return {**self.columns, "params": self.params, "n_gpus": float(self.n_gpus)}

    @property
    def batch_sequences(self) -> float:
        """Global batch. [sequences]"""
        return float(self.layout.micro_batch_size * self.layout.num_microbatches * self.layout.dp)

    @property
    def batch_tokens(self) -> float:
        """Tokens of one step. [tokens]"""
        return self.batch_sequences * float(self.layout.seq_length)

    @property
    def worth_s(self) -> float:
        """Time per token that counts: a large batch runs faster and teaches less. [s]"""
        return self.step_time_s / (self.batch_tokens * self.columns["batch_factor"])


@dataclass(frozen=True)
class Basis:
    """The numbers behind a result, for questions that are asked of it later."""

    question: Question
    plan: Plan
    """The best plan from scratch."""
    others: tuple[Plan, ...] = ()
    """The plans shown beside it."""
    objective: str = "loss"
    """What the plans were ordered by."""
    held: Held | None = None
    """The models trained in turn, if the answer grows one into the next."""

    @property
    def shown(self) -> Plan:
        """The plan whose step and layout the answer shows: of models trained in turn the last."""
        return self.plan if self.held is None else self.held.plans[-1]


@dataclass
class Found:
    """All that a search saw."""

    tables: list[Table] = field(default_factory=list)
    counts: Counts = field(default_factory=Counts)
    shapes_considered: int = 0
    shapes_pruned: int = 0
    """Shapes that a bound excluded; their plans are not in `counts`."""

    def merge(self, other: Found) -> None:
        """Add the tallies of another search, not its tables."""
        self.counts.merge(other.counts)
        self.shapes_considered += other.shapes_considered
        self.shapes_pruned += other.shapes_pruned


def scalar_shape(shape: Shape, index: int) -> Shape:
    """One shape of arrays as plain numbers."""
    values: dict[str, float] = {}
    for f in fields(shape):
        column = np.asarray(getattr(shape, f.name)).reshape(-1)
        number = float(column[index if column.size > 1 else 0])
        values[f.name] = int(number) if number.is_integer() else number
    return Shape(**values)


def single(shape: Shape) -> Shape:
    """A model as arrays of length one."""
    changes = {
        name: np.atleast_1d(np.asarray(getattr(shape, name), dtype=float))
        for name in ("hidden_size", "num_hidden_layers")
    }
    return replace(shape, **changes)


def plan_at(question: Question, table: Table, shape: int, batch: int) -> Plan:
    """The plan in one cell of a table, its columns computed as numbers."""
    fastest, axes = table.fastest, table.axes
    chosen = scalar_shape(table.shape, shape)
    layout = evaluate.layout_at(
        axes, int(fastest.kernel[shape, batch]), int(fastest.spread[shape, batch]), batch
    )
    return plan_of(
        question, table.machine, axes.n_gpus, chosen, layout, float(fastest.step_time_s[shape, batch])
    )


def plan_of(
    question: Question, machine: int, n_gpus: int, shape: Shape, layout: Layout, step_time_s: float
) -> Plan:
    """A plan from a shape and a layout."""
    columns = questions.outcome(
        question,
        question.machines[machine],
        n_gpus=n_gpus,
        shape=shape,
        batch_sequences=layout.micro_batch_size * layout.num_microbatches * layout.dp,
        step_time_s=step_time_s,
    )
    return Plan(machine, n_gpus, shape, layout, step_time_s, {k: float(v) for k, v in columns.items()})
