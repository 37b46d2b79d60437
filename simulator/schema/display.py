"""Specifications back to text: every quantity with its unit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from simulator.schema.base import Quantity
from simulator.units import format_quantity

# Sizes that vendors count in powers of two.
_UNITS = {"memory_usable": "GiB", "l2_cache": "MiB"}


def dimension_of(annotation: Any, metadata: list[Any]) -> str | None:
    """Dimension of a field, if it is a quantity."""
    from typing import get_args

    marks = [*metadata, *(getattr(annotation, "__metadata__", ()))]
    for inner in get_args(annotation):
        marks += getattr(inner, "__metadata__", ())
    return next((mark.dimension.name for mark in marks if isinstance(mark, Quantity)), None)


def quantities(spec: BaseModel, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Dotted field and text of every number of a specification that is given.

    Examples
    --------
    >>> from simulator.schema import Link
    >>> dict(quantities(Link(bandwidth=450e9, directions="one", domain_size=8)))["bandwidth"]
    '450 GB/s'
    """
    for name, field in type(spec).model_fields.items():
        value = getattr(spec, name)
        if isinstance(value, BaseModel):
            yield from quantities(value, f"{prefix}{name}.")
        elif value is None or isinstance(value, (dict, tuple, bool)):
            continue
        elif isinstance(value, (int, float)):
            dimension = dimension_of(field.annotation, field.metadata)
            unit = _UNITS.get(name)
            shown = format_quantity(value, dimension, unit=unit, digits=4) if dimension else f"{value:g}"
            yield prefix + name, shown
        elif prefix or name in ("memory_type", "architecture", "vendor", "topology"):
            yield prefix + name, str(value)
