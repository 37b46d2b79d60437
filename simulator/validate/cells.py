"""Cells of a table of measurements: empty or not, and the number they hold."""

from __future__ import annotations

from typing import Any

import numpy as np


class SkipError(Exception):
    """A row that cannot be predicted, with its reason."""


NOTHING = frozenset(("", "-", "?", "n/a", "na", "nan", "null", "unknown"))
"""What people write into a cell of which they know nothing."""

YES = frozenset(("true", "t", "yes", "y", "on", "1", "1.0"))
NO = frozenset(("false", "f", "no", "n", "off", "0", "0.0", "none"))


def empty(value: Any) -> bool:
    """Whether a cell holds nothing."""
    if isinstance(value, str):
        return value.strip().lower() in NOTHING
    return value is None or (isinstance(value, float) and np.isnan(value))


def text(value: Any) -> str:
    """A cell as text in lower case, without space around it."""
    return "" if empty(value) else str(value).strip().lower()


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


def flag(value: Any, default: int, *, yes: frozenset[str] = frozenset()) -> int:
    """Read a cell as yes (1) or no (0); the default if it is empty. `yes` are more words that mean yes.

    Raises
    ------
    SkipError
        If it holds neither.
    """
    if empty(value):
        return default
    word = text(value)
    if word not in YES | NO | yes:
        raise SkipError(f"neither yes nor no: {str(value)[:40]}")
    return int(word not in NO)
