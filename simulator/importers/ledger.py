"""What was read from another program's file, line by line: taken, assumed, ignored, not understood, missing.

An importer reads a flat mapping through a `Ledger`. Nothing leaves the file silently: a key that no importer asked for is
either on its list of keys that change neither time nor memory (ignored), or reported as not understood.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from simulator.errors import Problem, SpecError


@dataclass(frozen=True)
class Imported:
    """A scenario read from another program's file, and how every line of it was treated."""

    kind: str
    """Program: ``megatron``, ``torchtitan``, ``nanotron``, ``deepspeed``, ``llm-foundry``, ``accelerate`` or ``huggingface``."""
    data: dict[str, Any]
    """Fields of a scenario (of a model, for ``huggingface`` without options), as they are written in YAML."""
    taken: tuple[str, ...] = ()
    """Lines ``theirs -> ours``."""
    assumed: tuple[str, ...] = ()
    """Defaults of the program that the file leaves unsaid; and, as ``not modelled``, settings that time or memory depends on with
    what is assumed whatever they say."""
    ignored: tuple[str, ...] = ()
    """Keys that change neither time nor memory here."""
    not_understood: tuple[str, ...] = ()
    """Keys of which nothing is known, and settings that a scenario cannot hold."""
    missing: tuple[str, ...] = ()
    """What the file does not say and a scenario needs."""


def flatten(data: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Nested mappings as dotted keys; lists stay whole.

    Examples
    --------
    >>> flatten({"a": {"b": 1}, "c": [2]})
    {'a.b': 1, 'c': [2]}
    """
    out: dict[str, Any] = {}
    for key, value in data.items():
        name = f"{above}{key}"
        if isinstance(value, Mapping) and value:
            out |= flatten(value, f"{name}.")
        else:
            out[name] = value
    return out


class Ledger:
    """Reads a flat mapping and keeps account of it.

    Examples
    --------
    >>> book = Ledger("toy", {"layers": "12", "seed": 1, "color": "red"}, ignorable=("seed",))
    >>> book.whole("model.num_hidden_layers", "layers")
    12
    >>> read = book.close()
    >>> read.data, read.ignored, read.not_understood
    ({'model': {'num_hidden_layers': 12}}, ('seed',), ('color = red',))
    """

    def __init__(
        self,
        kind: str,
        flat: Mapping[str, Any],
        *,
        file: str = "",
        ignorable: Iterable[str] = (),
        unmodelled: Mapping[str, str] | None = None,
    ) -> None:
        self.kind = kind
        self.flat = flat
        self.file = file
        self.ignorable = tuple(ignorable)
        self.unmodelled = [
            (pattern, why) for names, why in (unmodelled or {}).items() for pattern in names.split()
        ]
        self.data: dict[str, Any] = {}
        self.used: set[str] = set()
        self.taken: list[str] = []
        self.assumed: list[str] = []
        self.unsure: list[str] = []
        self.missing: list[str] = []
        self.problems: list[Problem] = []

    # --- reading ------------------------------------------------------------------------------------------------

    def find(self, *names: str) -> tuple[str, Any]:
        """The first of the keys that has a value, and the value; all of them count as read."""
        self.used.update(name for name in names if name in self.flat)
        for name in names:
            if self.flat.get(name) is not None:
                return name, self.flat[name]
        return names[0], None

    def raw(self, *names: str) -> Any:
        """The value of the first of the keys that has one."""
        return self.find(*names)[1]

    def number(self, *names: str) -> int | None:
        """A whole number, or ``None`` where the file has none; what is wrong is noted."""
        name, value = self.find(*names)
        if value is None or unresolved(value):
            if value is not None:
                self.lack(f"{name}: {value} is not set in the file")
            return None
        if isinstance(value, bool):
            self.fail(name, f"{value} is not a whole number")
            return None
        try:
            number = float(value)
        except (TypeError, ValueError):
            self.fail(name, f"{str(value)[:40]!r} is not a whole number")
            return None
        if not number.is_integer() or abs(number) >= 1e15:
            self.fail(name, f"{value} is not a whole number")
            return None
        return int(number)

    def flag(self, *names: str) -> bool | None:
        """A true or false, or ``None`` where the file has none."""
        name, value = self.find(*names)
        if value is None:
            return None
        if isinstance(value, str) and value.lower() in ("true", "false"):
            return value.lower() == "true"
        if not isinstance(value, bool):
            self.fail(name, f"{str(value)[:40]!r} is neither true nor false")
            return None
        return value

    # --- writing ------------------------------------------------------------------------------------------------

    def put(self, path: str, value: Any, source: str) -> None:
        """Set a field of the scenario and say from where."""
        self._set(path, value)
        self.taken.append(f"{source} -> {path} = {shown(value)}")

    def assume(self, path: str, value: Any, why: str) -> None:
        """Set a field to a default of the program, and say so."""
        self._set(path, value)
        self.assumed.append(f"{path} = {shown(value)}: {why}")

    def whole(self, path: str, *names: str, default: int | None = None, low: int = 1) -> int | None:
        """Read a whole number into a field; `default` is the program's, if it has one."""
        name, value = self.find(*names)
        number = self.number(*names)
        if number is None:
            if default is not None and value is None:
                self.assume(path, default, f"the default of {self.kind}")
                return default
            return None
        if number < low:
            self.fail(name, f"{number} is below {low}")
            return None
        self.put(path, number, f"{name} {value}")
        return number

    def lack(self, what: str) -> None:
        """Note something that a scenario needs and the file does not say."""
        self.missing.append(what)

    def doubt(self, what: str) -> None:
        """Note a setting that a scenario cannot hold."""
        self.unsure.append(what)

    def against(self, what: str) -> None:
        """Note a setting that contradicts what the clock or the memory model assumes."""
        self.unsure.append(f"not modelled: {what}")

    def fail(self, name: str, reason: str) -> None:
        """Note a mistake in the file."""
        self.problems.append(Problem(reason, path=name, file=self.file or None))

    def _set(self, path: str, value: Any) -> None:
        *above, last = path.split(".")
        at = self.data
        for part in above:
            at = at.setdefault(part, {})
        at[last] = value

    def at(self, path: str) -> Any:
        """A field that was set, or ``None``."""
        found: Any = self.data
        for part in path.split("."):
            if not isinstance(found, Mapping) or part not in found:
                return None
            found = found[part]
        return found

    # --- closing ------------------------------------------------------------------------------------------------

    def close(self) -> Imported:
        """The account; raises every mistake at once."""
        if self.problems:
            raise SpecError(self.problems)
        ignored, unknown, aside = [], list(self.unsure), self._aside()
        for name, value in self.flat.items():
            if name in self.used or value is None or any(name in names for names in aside.values()):
                continue
            if any(fnmatch.fnmatchcase(name, pattern) for pattern in self.ignorable):
                ignored.append(name)
            else:
                unknown.append(f"{name} = {shown(value)}")
        return Imported(
            kind=self.kind,
            data=self.data,
            taken=tuple(self.taken),
            assumed=(
                *self.assumed,
                *(f"not modelled: {', '.join(names)}: {why}" for why, names in aside.items()),
            ),
            ignored=tuple(ignored),
            not_understood=tuple(unknown),
            missing=tuple(dict.fromkeys(self.missing)),
        )

    def _aside(self) -> dict[str, list[str]]:
        """What is assumed whatever settings that are not modelled say, and these settings."""
        out: dict[str, list[str]] = {}
        for name, value in self.flat.items():
            found = (why for pattern, why in self.unmodelled if fnmatch.fnmatchcase(name, pattern))
            if name not in self.used and value is not None and (why := next(found, "")):
                out.setdefault(why, []).append(name)
        return out


class ArgumentLedger(Ledger):
    """A ledger of ``--name words``: values may be lists of words, as a command line has them."""

    def find(self, *names: str) -> tuple[str, Any]:
        """As `Ledger.find`, with the name as it is typed and the first word of a list."""
        name, value = super().find(*names)
        return f"--{name}", value[0] if isinstance(value, list) and value else value

    def on(self, name: str) -> bool:
        """Whether a switch is given."""
        value = self.raw(name)
        return value is not None and str(value).lower() != "false"


def unresolved(value: Any) -> bool:
    """Whether a value is a shell variable or an interpolation that the file does not define."""
    return isinstance(value, str) and "$" in value


def shown(value: Any) -> str:
    """A value in a message, short."""
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value).replace("\n", " ")
    return text if len(text) <= 60 else text[:57] + "..."


def check_gpus(book: Ledger, stated: int | None, *, given: int | None) -> int | None:
    """Accelerators: those of the file, or those the user names; a contradiction is a mistake. [-]"""
    if stated is not None and given is not None and stated != given:
        book.fail("hardware", f"the file runs on {stated} accelerators, --hardware names {given}")
    return stated if stated is not None else given


def data_parallel(book: Ledger, n_gpus: int | None) -> int | None:
    """Data-parallel ranks: what tp, pp and cp leave of the accelerators. [-]"""
    if n_gpus is None:
        return None
    product = 1
    for name in ("tp", "pp", "cp"):
        product *= book.at(f"parallelism.{name}") or 1
    if n_gpus % product:
        book.fail("parallelism", f"tp x pp x cp = {product} does not divide {n_gpus} accelerators")
        return None
    return n_gpus // product
