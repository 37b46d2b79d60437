"""Cells of a table of measurements: empty or not, and the number they hold."""

from __future__ import annotations

from typing import Any

import numpy as np


class SkipError(Exception):
    """A row that cannot be predicted, with its reason.

    Rows of one ``kind`` are counted together, under the reason of the first: a column of words where numbers are meant is one
    mistake, however many words it holds.
    """

    def __init__(self, reason: str, *, kind: str = "") -> None:
        super().__init__(reason)
        self.kind = kind or reason


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


def shown(value: Any) -> str:
    """The beginning of a cell, without what cannot be printed."""
    return "".join(each if each.isprintable() else "?" for each in str(value)[:40])


def number(value: Any, default: float, name: str = "") -> float:
    """Read a cell as a number; the default if it is empty. The reason names the column, if it is given.

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
        raise _no_number("not a number", value, name) from None
    if not np.isfinite(read):
        raise _no_number("not a finite number", value, name)
    return read


def _no_number(what: str, value: Any, name: str) -> SkipError:
    said = f"{name}: {what}" if name else what
    return SkipError(f"{said}: {shown(value)}", kind=said if name else "")


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
