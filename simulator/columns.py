"""Records whose fields are numbers or arrays: one plan, or a table of plans with one entry per row."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any, Self

import numpy as np

Numeric = Any
"""A Python number or a numpy array of numbers."""


class Columns:
    """What all such records can do; they are frozen dataclasses, so a change is a new copy."""

    def with_(self, **changes: Numeric) -> Self:
        """Return a copy with some fields changed."""
        return replace(self, **changes)  # type: ignore[type-var]

    def take(self, index: Any) -> Self:
        """Return the rows `index` of every array field (scalars stay)."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}  # type: ignore[arg-type]
        return type(self)(
            **{k: (v[index] if isinstance(v, np.ndarray) and v.ndim else v) for k, v in values.items()}
        )
