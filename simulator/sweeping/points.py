"""Axes and points: which fields of a scenario take which values."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from simulator import documents, scaling, yamlio
from simulator.errors import Problem, SimulatorError, SpecError, UnknownNameError
from simulator.schema import Scenario
from simulator.schema.load import validate
from simulator.search.notes import Notes
from simulator.search.translate import NO_SHAPE_LAW, question_of
from simulator.yamlio import Document

TRIED = 256
"""Points that are tried at most to find one in which a value can be used. [-]"""


@dataclass(frozen=True)
class Axis:
    """A field and the values that it takes."""

    path: str
    """Dotted path of the field, such as ``budget.time``."""
    values: tuple[Any, ...]
    """Values as in a file: numbers in SI, text with a unit, names, mappings."""


def axis_of(text: str) -> Axis:
    """An axis as the command line writes it.

    Raises
    ------
    SpecError
        If the text is not ``path=value,value,...``.

    Examples
    --------
    >>> axis_of("hardware.n_gpus=8,16")
    Axis(path='hardware.n_gpus', values=(8, 16))
    >>> axis_of("budget.time=10 days, 20 days").values
    ('10 days', '20 days')
    """
    path, equals, listed = text.partition("=")
    path, where = path.strip(), f"--vary {text.partition('=')[0].strip()[:80]}"
    if not equals or not path:
        hint = "for example --vary hardware.n_gpus=8,16,32"
        raise SpecError(Problem("expected path=value,value,...", file=f"--vary {text[:80]}", hint=hint))
    if wrong := _leading_zero(listed):
        raise SpecError(Problem(wrong[0], file=where, hint=wrong[1]))
    try:
        values = yamlio.loads(f"value: [{listed}]", where).data["value"]
    except SpecError as error:
        problem = error.problems[0]
        raise SpecError(Problem(problem.reason, file=where, hint=problem.hint)) from None
    return Axis(path, tuple(values))


def _leading_zero(listed: str) -> tuple[str, str] | None:
    """Reason and hint for the first item that starts with a zero, as the rest of ``1,024`` does.

    Examples
    --------
    >>> _leading_zero("8, 1,024")
    ('024 looks like a thousands separator', 'write 1024')
    >>> _leading_zero("8, {n: 010}, 0.5, 0")
    """
    items = [item.strip() for item in _items(listed)]
    for place, item in enumerate(items):
        if not re.fullmatch(r"0\d+", item, re.ASCII):
            continue
        before = items[place - 1] if place else ""
        if len(item) != 3 or not re.fullmatch(r"[1-9]\d{0,2}", before, re.ASCII):
            return f"{item[:40]} starts with a zero", f"write {item.lstrip('0')[:40] or '0'}"
        thousands = itertools.takewhile(
            lambda each: re.fullmatch(r"0\d\d", each, re.ASCII) is not None, items[place:]
        )
        return f"{item} looks like a thousands separator", f"write {before}{''.join(thousands)[:40]}"
    return None


def _items(listed: str) -> list[str]:
    """Text between the commas that stand outside brackets and quotes."""
    items, depth, quote = [""], 0, ""
    for letter in listed:
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "\"'" and not items[-1].strip():
            quote = letter
        else:
            depth += (letter in "[{") - (letter in "]}")
        if letter == "," and not quote and depth <= 0:
            items.append("")
        else:
            items[-1] += letter
    return items


def axes_of_texts(texts: Sequence[str]) -> list[Axis]:
    """Axes as the command line writes them; every mistake is reported at once.

    Raises
    ------
    SpecError
        With every text that is no axis.
    """
    axes, wrong = [], []
    for text in texts:
        try:
            axes.append(axis_of(text))
        except SpecError as error:
            wrong += list(error.problems)
    if wrong:
        raise SpecError(wrong)
    return axes


def axes_of(vary: Mapping[str, Sequence[Any]] | Sequence[Axis]) -> tuple[Axis, ...]:
    """Check axes; every mistake is reported at once.

    Raises
    ------
    SpecError
        If there is no axis, an axis is empty, or a field or a value is named twice.
    """
    axes = (
        tuple(Axis(path, tuple(values)) for path, values in vary.items())
        if isinstance(vary, Mapping)
        else tuple(vary)
    )
    wrong = [] if axes else [Problem("nothing varies", hint="name a field: hardware.n_gpus=8,16,32")]
    for place, axis in enumerate(axes):
        if not axis.values:
            wrong.append(Problem("no value", path=axis.path))
        if axis.path in [other.path for other in axes[:place]]:
            wrong.append(Problem("varies twice", path=axis.path, hint="put all values into one list"))
        texts = [shown(value) for value in axis.values]
        twice = sorted({text for text in texts if texts.count(text) > 1})
        if twice:
            wrong.append(Problem(f"holds {', '.join(twice[:5])} more than once", path=axis.path))
    if wrong:
        raise SpecError(wrong)
    return axes


@dataclass(frozen=True)
class Grid:
    """All points of a sweep: the product of the axes, the last fastest, or their values side by side."""

    axes: tuple[Axis, ...]
    zipped: bool = False

    def __post_init__(self) -> None:
        sizes = {len(axis.values) for axis in self.axes}
        if self.zipped and len(sizes) > 1:
            text = ", ".join(f"{axis.path} {len(axis.values)}" for axis in self.axes)
            raise SpecError(Problem(f"values side by side need lists of one length: {text}"))

    def __len__(self) -> int:
        if self.zipped:
            return len(self.axes[0].values)
        number = 1
        for axis in self.axes:
            number *= len(axis.values)
        return number

    def points(self, start: int = 0, stop: int | None = None) -> Iterator[tuple[Any, ...]]:
        """Values of the points from `start` to before `stop`, one per axis."""
        for number in range(start, len(self) if stop is None else min(stop, len(self))):
            yield self._point(number)

    def _point(self, number: int) -> tuple[Any, ...]:
        if self.zipped:
            return tuple(axis.values[number] for axis in self.axes)
        point: list[Any] = []
        for axis in reversed(self.axes):
            number, place = divmod(number, len(axis.values))
            point.append(axis.values[place])
        return tuple(reversed(point))

    def with_value(self, axis: int, place: int) -> Iterator[tuple[Any, ...]]:
        """Points that use one value of one axis."""
        if self.zipped:
            return self.points(place, place + 1)
        only = replace(self.axes[axis], values=(self.axes[axis].values[place],))
        return Grid((*self.axes[:axis], only, *self.axes[axis + 1 :])).points()


def shown(value: Any) -> str:
    """A value in a cell of a table: text as it is, the rest as JSON."""
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True, ensure_ascii=False)


def scenario_at(
    document: Document, folder: Path | None, paths: Sequence[str], point: Sequence[Any]
) -> Scenario:
    """The scenario of one point; one without a folder is from Python, where bare numbers are SI.

    Raises
    ------
    SpecError
        If the values do not make a scenario.
    """
    for path, value in zip(paths, point, strict=True):
        document = documents.put(document, path, value, origin="sweep")
    return validate(Scenario, document, folder, written=folder is not None)


def check(document: Document, folder: Path | None, grid: Grid) -> list[list[Scenario]]:
    """A scenario for every value of every axis.

    A value that no point can use is a mistake of the question. Values that are right but do not go together (degrees that
    do not multiply out) make a row with its reason.

    Raises
    ------
    SpecError
        With every value that cannot be used.
    """
    paths = [axis.path for axis in grid.axes]
    wrong: list[Problem] = []
    found: list[list[Scenario]] = []
    seen: set[str] = set()
    for place, axis in enumerate(grid.axes):
        found.append([])
        for index in range(len(axis.values)):
            points = itertools.islice(grid.with_value(place, index), TRIED)
            first: SimulatorError | None = None
            for point in points:
                try:
                    scenario = scenario_at(document, folder, paths, point)
                    _names(scenario, seen)
                    found[-1].append(scenario)
                    break
                except SimulatorError as error:
                    first = first or error
            else:
                wrong += _problems(first, axis, index)
    if wrong:
        raise SpecError(list(dict.fromkeys(wrong)))
    return found


def _names(scenario: Scenario, seen: set[str]) -> None:
    """Look up the names that validation does not, once for every combination of them."""
    names = {"clock", "software", "law", "shape_law", "hardware"}
    key = scenario.model_dump_json(include=names) + scenario.training.precision
    if key in seen:
        return
    question_of(scenario, Notes())
    scaling.get(scenario.law)
    if scenario.shape_law not in (None, NO_SHAPE_LAW):
        scaling.get(scenario.shape_law)
    seen.add(key)


def _problems(error: SimulatorError | None, axis: Axis, index: int) -> list[Problem]:
    if isinstance(error, SpecError):
        return list(error.problems)
    text = error.reason if isinstance(error, UnknownNameError) else str(error)
    hint = error.hint if isinstance(error, UnknownNameError) else ""
    return [Problem(f"{shown(axis.values[index])[:80]}: {text}", path=axis.path, file="sweep", hint=hint)]
