"""Records whose fields are numbers or arrays: one plan, or a table of plans with one entry per row."""

from __future__ import annotations

import functools
from dataclasses import fields, replace
from typing import Any, Self

import numpy as np

Numeric = Any
"""A Python number or a numpy array of numbers."""


KEPT_BYTES = 32_000_000
"""Arrays up to this size keep their memory when they are freed: just below the largest that glibc lets its threshold grow to. [B]"""


@functools.cache
def keep_freed_memory() -> None:
    """Let the allocator keep freed arrays for the next ones, once per process.

    glibc hands every array above 128 KiB back to the system when it is freed and asks for it anew, page by page, for the next one;
    formulas on columns do little else. Freeing one large array raises that threshold to its size (mallopt(3), M_MMAP_THRESHOLD).
    The array is never touched, so it costs no memory. Other allocators ignore it.
    """
    large = np.empty(KEPT_BYTES, dtype=np.uint8)
    del large


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
