"""Sizes and flags of a configuration, read one by one, with every mistake kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from simulator.errors import Problem

REQUIRED = -1
"""Default of a size that must be given."""

MAX_SIZE = 10**8
"""No size of a decoder is larger. [-]"""


class Reader:
    """A mapping whose values are read with a check; mistakes gather in `problems`.

    Examples
    --------
    >>> reader = Reader({"n_layer": 12, "n_head": "many", "bias": True})
    >>> reader.size("num_hidden_layers", "n_layer"), reader.flag("bias", False), reader.size("n_head")
    (12, 1, 1)
    >>> print(reader.problems[0])
    n_head: 'many' is not a whole number
    """

    def __init__(self, config: Mapping[str, Any], path: str = "") -> None:
        self.config = config
        self.path = path
        self.problems: list[Problem] = []

    def has(self, *names: str) -> bool:
        """Return whether one of the keys is there with a value."""
        return any(self.config.get(name) is not None for name in names)

    def null(self, name: str) -> bool:
        """Return whether the key is there and empty."""
        return name in self.config and self.config[name] is None

    def value(self, *names: str) -> tuple[str, Any]:
        """Return the first of the keys that has a value, and the value."""
        for name in names:
            if self.config.get(name) is not None:
                return name, self.config[name]
        return names[0], None

    def size(self, *names: str, default: int = REQUIRED, low: int = 1) -> int:
        """Read a whole number under the first of `names` that is there."""
        name, value = self.value(*names)
        if value is None:
            if default == REQUIRED:
                self.fail(name, "missing")
                return 1
            return default
        if isinstance(value, bool) or not isinstance(value, int):
            self.fail(name, f"{_short(value)} is not a whole number")
            return 1
        if not low <= value <= MAX_SIZE:
            self.fail(name, f"{_short(value)} is outside {low} to {MAX_SIZE}")
            return 1
        return value

    def flag(self, name: str, default: bool) -> int:
        """Read a true or false as 1 or 0."""
        value = self.config.get(name)
        if value is None:
            return int(default)
        if not isinstance(value, bool):
            self.fail(name, f"{_short(value)} is neither true nor false")
            return 0
        return int(value)

    def count(self, name: str) -> int:
        """Length of a list; 0 if it is absent."""
        value = self.config.get(name)
        if value is None:
            return 0
        if not isinstance(value, list):
            self.fail(name, f"{_short(value)} is not a list")
            return 0
        return len(value)

    def inner(self, name: str) -> Reader:
        """Reader of a mapping inside this one; its mistakes gather here."""
        value = self.config.get(name)
        if value is not None and not isinstance(value, Mapping):
            self.fail(name, f"{_short(value)} is not an object")
        inside = Reader(value if isinstance(value, Mapping) else {}, f"{self.path}{name}.")
        inside.problems = self.problems
        return inside

    def fail(self, name: str, reason: str) -> None:
        """Note a mistake under a key."""
        self.problems.append(Problem(reason, path=self.path + name))


def _short(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 10**18:
        return "a number of more than 18 digits" if value > 0 else "a negative number of more than 18 digits"
    if isinstance(value, (list, dict)):
        return "a list" if isinstance(value, list) else "an object"
    shown = repr(value)
    return shown if len(shown) <= 40 else shown[:37] + "..."
