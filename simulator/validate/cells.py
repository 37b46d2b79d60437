"""Cells of a table of measurements: empty or not, and the number they hold."""

from __future__ import annotations

from typing import Any

import numpy as np


class SkipError(Exception):
    """A row that cannot be predicted, with its reason."""


def empty(value: Any) -> bool:
    """Whether a cell holds nothing."""
    return value is None or value == "" or (isinstance(value, float) and np.isnan(value))


def number(value: Any, default: float) -> float:
    """Read a cell as a number; the default if it is empty.

    Raises
    ------
    SkipError
        If it holds something else.
    """
    if empty(value):
        return float(default)
    try:
        read = float(value)
    except (TypeError, ValueError):
        raise SkipError(f"not a number: {str(value)[:40]}") from None
    if not np.isfinite(read):
        raise SkipError(f"not a finite number: {str(value)[:40]}")
    return read


def flag(value: Any, default: int) -> int:
    """Read a cell as yes (1) or no (0); the default if it is empty."""
    if empty(value):
        return default
    return int(str(value).strip().lower() in ("true", "1", "1.0", "yes"))
