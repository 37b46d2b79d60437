"""Sizes that a growth schedule is chosen from: what a run may start from, what that grows into, what it may end in."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from simulator.growth import operators
from simulator.search import evaluate, lattice, shapes
from simulator.transformer import Shape

Array = NDArray[np.float64]

FACTOR = 2
"""Growth factor of one switch. [-]"""

SMALLEST_SOURCE = 1 / 64
"""Smallest source relative to the largest model that is considered. [-]"""


@dataclass(frozen=True)
class Pins:
    """Widths and depths that the last model must have; absent: any."""

    hidden_size: tuple[int, ...] | None = None
    num_hidden_layers: tuple[int, ...] | None = None

    @property
    def given(self) -> bool:
        """Whether anything is pinned."""
        return self.hidden_size is not None or self.num_hidden_layers is not None

    def keep(self, sizes: Shape) -> NDArray[np.bool_]:
        """Whether each size has one of the widths and one of the depths; what is not pinned stays in the aspects that are tried.

        A run from scratch is looked for in the same aspects, so that neither has shapes which the other lacks.
        """
        kept = np.ones(lattice.count(sizes), dtype=bool)
        if self.hidden_size is None or self.num_hidden_layers is None:
            aspect = np.asarray(sizes.hidden_size, dtype=float) / sizes.num_hidden_layers
            kept &= (aspect >= lattice.ASPECTS[0]) & (aspect <= lattice.ASPECTS[1])
        for name in ("hidden_size", "num_hidden_layers"):
            wanted = getattr(self, name)
            if wanted is not None:
                kept &= np.isin(np.asarray(getattr(sizes, name), dtype=float), np.array(wanted, dtype=float))
        return kept


def starts(candidates: Shape, pins: Pins, *, template: Shape | None, operator: str, stages: int) -> Shape:
    """Shapes that a run may start from: the candidates, or what the operator grows into the pinned widths and depths.

    Parameters
    ----------
    candidates : Shape
        Shapes that a search without growth tries.
    pins : Pins
        What the last model must have.
    template : Shape, optional
        The family of the models.
    operator : str
        Name of a growth operator.
    stages : int
        Models trained in turn at most.
    """
    if not pins.given:
        return candidates
    axis = operators.get(operator).axis
    grown = "hidden_size" if axis == "width" else "num_hidden_layers"
    wanted = {"hidden_size": pins.hidden_size, "num_hidden_layers": pins.num_hidden_layers}
    ends = wanted[grown]
    if ends is not None:
        factors = [FACTOR**switches for switches in range(1, stages)]
        wanted[grown] = tuple(
            sorted({end // factor for end in ends for factor in factors if end % factor == 0})
        )
    if wanted[grown] == ():
        return lattice.take(as_columns(lattice.take(candidates, np.array([0]))), np.array([], dtype=np.intp))
    return shapes.candidates(template=template, **wanted)


def linked(first: Shape, *, operator: str, stages: int, around: Array) -> Shape:
    """Sources, and what the operator makes of them in up to `stages` - 1 switches, as one lattice.

    Parameters
    ----------
    first : Shape
        Shapes that a run may start from.
    operator : str
        Name of a growth operator.
    stages : int
        Models trained in turn at most.
    around : array
        Smallest and largest size wanted. [parameters]
    """
    union = concatenate([first, *descendants(first, operator=operator, switches=stages - 1)])
    size = evaluate.parameters(union)
    keep = (size >= around[0] * SMALLEST_SOURCE) & (size <= around[1])
    return unique(lattice.take(union, np.flatnonzero(keep)))


def descendants(shape: Shape, *, operator: str, switches: int) -> list[Shape]:
    """What the operator makes of shapes in one switch, two switches, and so on."""
    found: list[Shape] = []
    for _ in range(switches):
        shape = operators.get(operator).grow(shape, factor=FACTOR)
        found.append(shape)
    return found


def family(shape: Shape, operator: str, switches: int) -> Shape:
    """A shape, and what the operator makes of it, as one lattice."""
    grown = descendants(shape, operator=operator, switches=switches)
    return concatenate([as_columns(one) for one in (shape, *grown)])


def concatenate(parts: list[Shape]) -> Shape:
    """Several lattices of shapes as one."""
    values = {}
    for f in fields(Shape):
        columns = [np.asarray(getattr(part, f.name), dtype=float) for part in parts]
        if all(c.ndim == 0 for c in columns) and len({float(c) for c in columns}) == 1:
            values[f.name] = getattr(parts[0], f.name)
        else:
            sizes = [lattice.count(part) for part in parts]
            values[f.name] = np.concatenate(
                [np.broadcast_to(c, (n,)) for c, n in zip(columns, sizes, strict=True)]
            )
    return Shape(**values)


def unique(shape: Shape) -> Shape:
    """Shapes without repetition, in order of first appearance."""
    _, first = np.unique(_rows(shape), axis=0, return_index=True)
    return lattice.take(shape, np.sort(first))


def as_columns(shape: Shape) -> Shape:
    """A shape as a lattice of at least one, every field an array."""
    number = lattice.count(shape)
    return Shape(
        **{
            f.name: np.broadcast_to(np.asarray(getattr(shape, f.name), dtype=float), (number,))
            for f in fields(shape)
        }
    )


def index_of(sizes: Shape, one: Shape) -> int | None:
    """Place of a shape in a lattice; ``None`` if it is not there."""
    found = np.flatnonzero(np.all(_rows(sizes) == _rows(one), axis=1))
    return int(found[0]) if found.size else None


def _rows(shape: Shape) -> Array:
    number = lattice.count(shape)
    columns = [
        np.broadcast_to(np.asarray(getattr(shape, f.name), dtype=float), (number,)) for f in fields(shape)
    ]
    return np.stack(columns, axis=1)
