"""What can go wrong, as three situations a user can be in.

`SpecError`: a file (or a dictionary) is wrong; it holds every mistake found, each with its position.
`InfeasibleError`: the input is right, but the plan cannot run.
`UnknownNameError`: no accelerator, model, law or other thing has this name.

All three descend from `SimulatorError`:

>>> try:
...     raise UnknownNameError("h10", kind="accelerator", names=["h100-sxm-80gb", "v100-sxm-32gb"])
... except SimulatorError as error:
...     print(error)
no accelerator named 'h10'; did you mean h100-sxm-80gb?
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

SHOWN = 20
WIDTH = 100


def nearest(name: str, names: Iterable[str], count: int = 3) -> list[str]:
    """Names that resemble `name`, nearest first.

    Case and separators are ignored, and a name that starts with or holds what was typed counts as near.

    Examples
    --------
    >>> nearest("global_batch_sise", ["micro_batch_size", "global_batch_size", "tokens"], count=1)
    ['global_batch_size']
    >>> nearest("H100", ["a100-sxm-80gb", "h100-sxm-80gb"], count=1)
    ['h100-sxm-80gb']
    """
    plain = _plain(name[:200])
    if not plain:
        return []
    scored = []
    for candidate in dict.fromkeys(names):
        other = _plain(candidate)
        ratio = difflib.SequenceMatcher(None, plain, other).ratio()
        if len(plain) >= 2 and (other.startswith(plain) or (plain.startswith(other) and len(other) > 2)):
            ratio = max(ratio, 0.8) + 0.1
        elif len(plain) >= 3 and plain in other:
            ratio = max(ratio, 0.8)
        if ratio >= 0.6:
            scored.append((-ratio, candidate))
    return [candidate for _, candidate in sorted(scored)[:count]]


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


class SimulatorError(Exception):
    """Root of every error that a user of the simulator can cause.

    ``try: sim.run(...)`` with ``except sim.SimulatorError as error: print(error)`` handles them all.
    """


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in a specification: where it is, what is wrong, what to write instead."""

    reason: str
    """What is wrong, without a trailing full stop."""
    path: str = ""
    """Dotted path of the field, such as ``training.tokens``."""
    file: str | None = None
    """File that holds the mistake, if it came from one."""
    line: int | None = None
    """Line, counted from 1."""
    column: int | None = None
    """Column, counted from 1."""
    text: str = ""
    """That line of the file."""
    before: str = ""
    """The line above it."""
    hint: str = ""
    """What to do, such as ``did you mean tp?``."""

    def __str__(self) -> str:
        return "\n".join(_printable(line) for line in (self._head(), *self._excerpt()))

    def _head(self) -> str:
        where = self.file or ""
        if self.file and self.line is not None:
            where += f":{self.line}" + (f":{self.column}" if self.column is not None else "")
        what = self.reason if not self.path else f"{self.path}: {self.reason}"
        return f"{where}  {what}" if where else what

    def _excerpt(self) -> list[str]:
        if self.line is None or not self.file:
            return [f"  {self.hint}"] if self.hint else []
        width = max(4, len(str(self.line)) + 2)
        column = max(1, self.column or 1)
        # A long line is cut to the part around the mistake.
        start = max(0, column - WIDTH // 2) if column > WIDTH - 20 else 0
        lines = []
        if self.before.strip() and not start:
            lines.append(f"{self.line - 1:>{width}} | {_printable(self.before)[:WIDTH]}")
        lines.append(f"{self.line:>{width}} | {_printable(self.text)[start : start + WIDTH]}")
        caret = " " * (column - 1 - start) + "^"
        lines.append(f"{'':>{width}} | {caret}{' ' + self.hint if self.hint else ''}".rstrip())
        return lines


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text[:10_000].replace("\t", " "))


class SpecError(SimulatorError):
    """A specification is wrong: a file, a dictionary, or a ``--set`` on the command line.

    All mistakes found are in `problems`; ``str()`` prints each with its position and what to write.
    """

    def __init__(self, problems: Sequence[Problem] | Problem | str) -> None:
        if isinstance(problems, str):
            problems = Problem(problems)
        self.problems: tuple[Problem, ...] = (problems,) if isinstance(problems, Problem) else tuple(problems)
        super().__init__(self.problems)

    def __str__(self) -> str:
        shown = [str(problem) for problem in self.problems[:SHOWN]]
        more = len(self.problems) - len(shown)
        if more > 0:
            shown.append(f"and {more} more")
        if len(self.problems) > 1:
            shown.append(f"{len(self.problems)} errors")
        return "\n".join(shown)


@dataclass
class InfeasibleError(SimulatorError):
    """The plan is well written but cannot run: it does not fit, or no plan meets the budgets."""

    reason: str
    """What cannot be met, and by how much."""
    details: tuple[str, ...] = ()
    """Lines that break the reason down, such as bytes per category."""
    remedies: tuple[str, ...] = ()
    """The smallest changes that would make it feasible."""
    figures: dict[str, float] = field(default_factory=dict)
    """The numbers of the reason, keys with units."""

    def __str__(self) -> str:
        lines = [self.reason, *(f"  {line}" for line in self.details)]
        return "\n".join(lines + [f"  smallest change: {remedy}" for remedy in self.remedies])


class UnknownNameError(SimulatorError):
    """No accelerator, model, law or other thing has this name; the nearest names are suggested."""

    def __init__(
        self,
        name: str,
        kind: str = "thing",
        names: Iterable[str] = (),
        suggestions: Sequence[str] | None = None,
    ) -> None:
        known = list(names)
        self.name = name
        self.kind = kind
        self.names: tuple[str, ...] = tuple(known)
        self.suggestions: tuple[str, ...] = tuple(
            suggestions if suggestions is not None else nearest(name, known)
        )
        super().__init__(name, kind)

    @property
    def hint(self) -> str:
        """What to write instead, or the names that exist when none is near."""
        if self.suggestions:
            return "did you mean " + " or ".join(self.suggestions) + "?"
        if self.names:
            listed = ", ".join(sorted(self.names)[:12])
            return "known: " + listed + (", ..." if len(self.names) > 12 else "")
        return ""

    @property
    def reason(self) -> str:
        """The sentence without the hint."""
        shown = self.name if len(self.name) <= 80 else self.name[:77] + "..."
        return f"no {self.kind} named {shown!r}"

    def __str__(self) -> str:
        return f"{self.reason}; {self.hint}" if self.hint else self.reason
