"""YAML text to plain data, with the position of everything in it.

Differences from a stock loader, each for a reason:

- scalars follow the YAML 1.2 core schema, as editors do: `1e9` is a number, `no` and `30:00` are text;
- a duplicate key is an error, as are anchors, aliases, tags and a second document;
- the file is bounded (`MAX_BYTES`, `MAX_NODES`, `MAX_DEPTH`), so hostile input ends quickly;
- every mistake is a `SpecError` with file, line and column.

`simulator.documents` puts files together: `extends`, overrides, and settings.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from simulator.errors import Problem, SpecError, nearest

MAX_BYTES = 1_000_000
MAX_NODES = 20_000
MAX_DEPTH = 32

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_STARTS = (yaml.MappingStartEvent, yaml.SequenceStartEvent)
_ENDS = (yaml.MappingEndEvent, yaml.SequenceEndEvent)
_DIGITS = frozenset("+-.0123456789")
"""First characters of all numbers."""

_INT = re.compile(r"[-+]?[0-9]+")
_OCTAL = re.compile(r"0o([0-7]+)")
_HEX = re.compile(r"0x([0-9a-fA-F]+)")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_INF = re.compile(r"[-+]?\.(inf|Inf|INF)")
_WORDS: dict[str, Any] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL"), None),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}

Path_ = tuple[str | int, ...]


class Mark(NamedTuple):
    """Position of a node: file, line and column, both counted from 1."""

    file: str
    line: int
    column: int


@dataclass
class Document:
    """Plain data and the positions of its keys and values."""

    data: dict[str, Any]
    """The content; always a mapping."""
    file: str = "<text>"
    """Name shown in errors."""
    keys: dict[Path_, Mark] = field(default_factory=dict)
    """Path of an entry, to where its key stands."""
    values: dict[Path_, Mark] = field(default_factory=dict)
    """Path of an entry, to where its value starts."""
    lines: dict[str, list[str]] = field(default_factory=dict)
    """File name, to its lines, for excerpts."""
    files: list[Path] = field(default_factory=list)
    """Every file read, the file itself first, then what it extends."""

    def problem(self, path: Path_, reason: str, hint: str = "", *, at_key: bool = False) -> Problem:
        """A mistake at `path`, placed at its nearest known position."""
        marks = self.keys if at_key else self.values
        mark = marks.get(path) or self.keys.get(path) or self.values.get(path)
        parent = path
        while mark is None and parent:
            parent = parent[:-1]
            mark = self.keys.get(parent) or self.values.get(parent)
        return self.problem_at(mark, reason, hint, path=dotted(path))

    def problem_at(self, mark: Mark | None, reason: str, hint: str = "", *, path: str = "") -> Problem:
        """A mistake at a position of one of the files read."""
        if mark is None or mark.line < 1:
            file = mark.file if mark else self.file
            return Problem(reason, path=path, file=file, hint=hint)
        lines = self.lines.get(mark.file, [])
        text = lines[mark.line - 1] if mark.line <= len(lines) else ""
        before = lines[mark.line - 2] if 2 <= mark.line <= len(lines) + 1 else ""
        return Problem(
            reason,
            path=path,
            file=mark.file,
            line=mark.line,
            column=mark.column,
            text=text[:2000],
            before=before[:2000],
            hint=hint,
        )


def dotted(path: Path_) -> str:
    """``("hardware", 0, "n_gpus")`` to ``hardware.0.n_gpus``."""
    return ".".join(str(part) for part in path)


# --- reading -----------------------------------------------------------------------------------


def scalar(text: str) -> Any:
    """A plain YAML scalar by the 1.2 core schema.

    Examples
    --------
    >>> [scalar(text) for text in ("1e9", "no", "30:00", "010", "1f1b", "true", "~")]
    [1000000000.0, 'no', '30:00', 10, '1f1b', True, None]
    """
    if text in _WORDS:
        return _WORDS[text]
    if len(text) > 64 or text[0] not in _DIGITS:
        return text
    if _INT.fullmatch(text):
        return int(text)
    if match := _OCTAL.fullmatch(text):
        return int(match.group(1), 8)
    if match := _HEX.fullmatch(text):
        return int(match.group(1), 16)
    if _FLOAT.fullmatch(text):
        return float(text)
    if _INF.fullmatch(text):
        return float(text.replace(".", "").lower())
    return text


def read_text(path: Path, name: str | None = None) -> str:
    """The text of a file, or a `SpecError` if it is missing, too large, or not text."""
    shown = name or str(path)
    try:
        if path.is_dir():
            raise SpecError(Problem("is a folder, expected a YAML file", file=shown))
        if not path.is_file():
            raise SpecError(Problem("no such file", file=shown, hint=_neighbour(path)))
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise SpecError(
                Problem(
                    f"has {size / 1e6:.1f} MB; a specification has at most {MAX_BYTES / 1e6:g} MB", file=shown
                )
            )
        raw = path.read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise SpecError(Problem(f"cannot be read: {reason}", file=shown[:300])) from None
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise SpecError(
            Problem("is not text: it holds bytes that are not UTF-8", file=shown, line=line)
        ) from None
    if "\0" in text:
        raise SpecError(Problem("is not text: it holds a NUL byte", file=shown))
    return text


def _neighbour(path: Path) -> str:
    """The nearest file name in the same folder."""
    try:
        if not path.parent.is_dir():
            return f"there is no folder {path.parent}"
        near = nearest(path.name, [p.name for p in path.parent.iterdir() if p.is_file()][:2000], count=1)
    except OSError:
        return ""
    return f"did you mean {near[0]}?" if near else ""


def loads(text: str, name: str = "<text>") -> Document:
    r"""Parse one YAML document whose top level is a mapping.

    Examples
    --------
    >>> document = loads("training:\n  tokens: 15T\n")
    >>> document.data, document.values["training", "tokens"].line
    ({'training': {'tokens': '15T'}}, 2)
    """
    document = Document(data={}, file=name, lines={name: re.split(r"\r\n|\r|\n", text)})
    if len(text) > MAX_BYTES:
        raise SpecError(Problem(f"has more than {MAX_BYTES / 1e6:g} MB", file=name))
    builder = _Builder(document)
    try:
        for event in yaml.parse(text, Loader=_Loader):
            builder.take(event)
    except yaml.MarkedYAMLError as error:
        raise SpecError([*builder.problems, _syntax(document, error)]) from None
    except yaml.YAMLError as error:
        first = str(error).splitlines()[0] if str(error) else "unreadable"
        raise SpecError(Problem(f"not valid YAML: {first}", file=name)) from None
    except (ValueError, UnicodeError) as error:
        raise SpecError(Problem(f"not valid YAML: {error}", file=name)) from None
    if builder.problems:
        raise SpecError(builder.problems)
    if builder.root is _NOTHING or builder.root is None:
        raise SpecError(Problem("is empty", file=name))
    if not isinstance(builder.root, dict):
        raise SpecError(
            document.problem_at(Mark(name, 1, 1), "the file must hold `key: value` lines at its top level")
        )
    document.data = builder.root
    return document


def _syntax(document: Document, error: yaml.MarkedYAMLError) -> Problem:
    mark = error.problem_mark or error.context_mark
    reason = "not valid YAML: " + (error.problem or error.context or "unreadable")
    if (
        "nesting depth" in reason
    ):  # PyYAML from 6.0.4 on has a limit of its own, in the reader that runs ahead
        reason = f"nested more than {MAX_DEPTH} deep"
    hint = ""
    text = ""
    if mark is not None and 0 <= mark.line < len(document.lines[document.file]):
        text = document.lines[document.file][mark.line]
    if "\t" in text[: len(text) - len(text.lstrip())] or ("token" in reason and "\t" in text):
        hint = "YAML indents with spaces, not tabs"
    elif "mapping values are not allowed" in reason:
        hint = "put a value that holds ': ' in quotes, or check the indentation"
    elif "found character that cannot start any token" in reason:
        hint = "put the value in quotes"
    elif "did not find expected key" in reason or "block end" in reason:
        hint = "check the indentation"
    position = None if mark is None else Mark(document.file, mark.line + 1, mark.column + 1)
    return document.problem_at(position, reason, hint)


class _Nothing:
    pass


_NOTHING = _Nothing()


class _Stop(yaml.MarkedYAMLError):
    """Ends parsing at a limit."""


@dataclass
class _Frame:
    path: Path_
    container: dict[str, Any] | list[Any]
    key: Any = _NOTHING
    key_mark: Mark | None = None


class _Builder:
    """Builds data from the event stream without recursion, so depth cannot exhaust the stack."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.problems: list[Problem] = []
        self.root: Any = _NOTHING
        self.stack: list[_Frame] = []
        self.nodes = 0
        self.documents = 0

    def take(self, event: Any) -> None:
        if isinstance(event, yaml.ScalarEvent):
            self._check(event)
            plain = event.style in (None, "") and (event.implicit[0] or event.tag is None)
            self._add(event, scalar(event.value) if plain else event.value, event.value)
        elif isinstance(event, _STARTS):
            self._check(event)
            if len(self.stack) >= MAX_DEPTH:
                self._stop(event, f"nested more than {MAX_DEPTH} deep")
            container: Any = {} if isinstance(event, yaml.MappingStartEvent) else []
            path = self._add(event, container, None)
            self.stack.append(_Frame(path, container))
        elif isinstance(event, _ENDS):
            self.stack.pop()
        elif isinstance(event, yaml.AliasEvent):
            self._stop(
                event, f"aliases (*{event.anchor}) are not used here; write the value again or use extends"
            )
        elif isinstance(event, yaml.DocumentStartEvent):
            self.documents += 1
            if self.documents > 1:
                self._stop(event, "a second document starts here; one file holds one")

    def _check(self, event: Any) -> None:
        self.nodes += 1
        if self.nodes > MAX_NODES:
            self._stop(event, f"more than {MAX_NODES} values in one file")
        if event.anchor is not None:
            self._stop(
                event, f"anchors (&{event.anchor}) are not used here; write the value again or use extends"
            )
        if event.tag is not None and event.tag != "!":
            self._problem(event, f"tags ({event.tag}) are not used here", "write the plain value")

    def _add(self, event: Any, value: Any, text: str | None) -> Path_:
        mark = self._mark(event)
        if not self.stack:
            self.root = value
            self.document.values[()] = mark
            return ()
        frame = self.stack[-1]
        if isinstance(frame.container, list):
            path: Path_ = (*frame.path, len(frame.container))
            frame.container.append(value)
            self.document.values[path] = mark
            return path
        if frame.key is _NOTHING:
            if text is None:
                self._stop(event, "a key must be a single word")
            frame.key, frame.key_mark = str(text), mark
            if not frame.key:
                self._problem(event, "a key is missing before the colon")
            elif frame.key in frame.container:
                first = self.document.keys[(*frame.path, frame.key)]
                path = (*frame.path, frame.key)
                self.problems.append(
                    self.document.problem_at(
                        mark, "duplicate key", f"first written in line {first.line}", path=dotted(path)
                    )
                )
            return frame.path
        path = (*frame.path, frame.key)
        if frame.key not in frame.container:
            frame.container[frame.key] = value
            self.document.values[path] = mark
            if frame.key_mark:
                self.document.keys[path] = frame.key_mark
        frame.key = _NOTHING
        return path

    def _mark(self, event: Any) -> Mark:
        start = event.start_mark
        return Mark(self.document.file, start.line + 1, start.column + 1)

    def _problem(self, event: Any, reason: str, hint: str = "") -> None:
        self.problems.append(self.document.problem_at(self._mark(event), reason, hint))
        if len(self.problems) > 100:
            raise SpecError(self.problems)

    def _stop(self, event: Any, reason: str) -> None:
        self.problems.append(self.document.problem_at(self._mark(event), reason))
        raise SpecError(self.problems)


# --- plain data ------------------------------------------------------------------------------


def plain(value: Any) -> Any:
    """A deep copy of plain data, tuples as lists."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def walk(data: Any, path: Path_ = ()) -> Iterator[tuple[Path_, Any]]:
    """Every leaf of plain data with its path."""
    if isinstance(data, dict):
        for key, value in data.items():
            yield from walk(value, (*path, key))
    elif isinstance(data, list):
        for index, value in enumerate(data):
            yield from walk(value, (*path, index))
    else:
        yield path, data
