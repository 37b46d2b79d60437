"""YAML text to plain data, with the position of everything in it.

Differences from a stock loader, each for a reason:

- scalars follow the YAML 1.2 core schema, as editors do: `1e9` is a number, `no` and `30:00` are text;
- a duplicate key is an error, as are anchors, aliases, tags and a second document;
- the file is bounded (`MAX_BYTES`, `MAX_NODES`, `MAX_DEPTH`), so hostile input ends quickly;
- every mistake is a `SpecError` with file, line and column.

A file may start from another with `extends`, declare named `overrides` with dotted keys, and
`scenarios` that combine them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from simulator.errors import Problem, SpecError, UnknownNameError, nearest

MAX_BYTES = 1_000_000
MAX_NODES = 20_000
MAX_DEPTH = 32
MAX_EXTENDS = 16

# Keys that identify one file and never pass to a file that extends it.
OWN_KEYS = ("id", "name", "aliases", "measured", "extends")

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
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
Resolve = Callable[[str, Path | None], Path]


@dataclass(frozen=True, slots=True)
class Mark:
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
    if len(text) > 64:
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
    >>> document = loads("training:\\n  tokens: 15T\\n")
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
        if isinstance(event, yaml.DocumentStartEvent):
            self.documents += 1
            if self.documents > 1:
                self._stop(event, "a second document starts here; one file holds one")
        elif isinstance(event, yaml.AliasEvent):
            self._stop(
                event, f"aliases (*{event.anchor}) are not used here; write the value again or use extends"
            )
        elif isinstance(event, yaml.ScalarEvent):
            self._check(event)
            plain = event.style in (None, "") and (event.implicit[0] or event.tag is None)
            self._add(event, scalar(event.value) if plain else event.value, event.value)
        elif isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            self._check(event)
            if len(self.stack) >= MAX_DEPTH:
                self._stop(event, f"nested more than {MAX_DEPTH} deep")
            container: Any = {} if isinstance(event, yaml.MappingStartEvent) else []
            path = self._add(event, container, None)
            self.stack.append(_Frame(path, container))
        elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            self.stack.pop()

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
        return Mark(self.document.file, event.start_mark.line + 1, event.start_mark.column + 1)

    def _problem(self, event: Any, reason: str, hint: str = "") -> None:
        self.problems.append(self.document.problem_at(self._mark(event), reason, hint))
        if len(self.problems) > 100:
            raise SpecError(self.problems)

    def _stop(self, event: Any, reason: str) -> None:
        self.problems.append(self.document.problem_at(self._mark(event), reason))
        raise SpecError(self.problems)


# --- files that extend files -------------------------------------------------------------------


def load(path: str | Path, *, resolve: Resolve | None = None, name: str | None = None) -> Document:
    """Read a YAML file and everything it `extends`.

    Parameters
    ----------
    path : str or Path
        File to read.
    resolve : callable, optional
        ``resolve(reference, folder) -> Path`` finds what `extends` names when it is not a path;
        `simulator.library` supplies one per kind. Without it only paths are accepted.
    name : str, optional
        Name of the file in error messages.

    Returns
    -------
    Document
        Data of the file merged over the data of what it extends.
    """
    return _load(Path(path), resolve, name, ())


def _load(path: Path, resolve: Resolve | None, name: str | None, above: tuple[Path, ...]) -> Document:
    shown = name or str(path)
    document = loads(read_text(path, shown), shown)
    here = _absolute(path)
    document.files = [here]
    if "extends" not in document.data:
        return document
    reference = document.data["extends"]
    if not isinstance(reference, str) or not reference.strip():
        raise SpecError(document.problem(("extends",), "expected the id or the path of another file"))
    chain = (*above, here)
    try:
        parent_path = find_reference(reference, path.parent, resolve)
    except UnknownNameError as error:
        raise SpecError(document.problem(("extends",), error.reason, error.hint)) from None
    if _absolute(parent_path) in chain:
        names = " -> ".join(p.name for p in (*chain, parent_path))
        raise SpecError(document.problem(("extends",), f"the files extend each other in a circle: {names}"))
    if len(chain) > MAX_EXTENDS:
        raise SpecError(document.problem(("extends",), f"more than {MAX_EXTENDS} files extend each other"))
    try:
        parent = _load(parent_path, resolve, None, chain)
    except SpecError as error:
        missing = len(error.problems) == 1 and error.problems[0].reason == "no such file"
        if missing:
            hint = error.problems[0].hint
            raise SpecError(
                document.problem(("extends",), f"no such file: {reference[:200]}", hint)
            ) from None
        raise
    return merge(parent, document)


def _absolute(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, ValueError, RuntimeError):
        return path


def looks_like_path(reference: str) -> bool:
    """True if the reference names a file rather than an id."""
    return "/" in reference or "\\" in reference or reference.endswith((".yaml", ".yml", ".json"))


def find_reference(reference: str, folder: Path, resolve: Resolve | None) -> Path:
    """The file behind a path (relative to `folder`) or an id."""
    if looks_like_path(reference) or resolve is None:
        return folder / Path(reference)
    return resolve(reference, folder)


def merge(parent: Document, child: Document) -> Document:
    """`child` over `parent`: mappings merge by key, everything else is replaced.

    The keys that identify a file (`OWN_KEYS`) stay behind. Positions keep pointing into the file
    that each value came from.
    """
    kept = {key: value for key, value in parent.data.items() if key not in OWN_KEYS}
    result = Document(
        data=merge_data(kept, child.data),
        file=child.file,
        keys={**parent.keys, **child.keys},
        values={**parent.values, **child.values},
        lines={**parent.lines, **child.lines},
        files=[*child.files, *parent.files],
    )
    result.data.pop("extends", None)
    return result


def merge_data(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Deep merge of plain data; `above` wins.

    Examples
    --------
    >>> merge_data({"a": {"x": 1, "y": 2}}, {"a": {"y": 3}})
    {'a': {'x': 1, 'y': 3}}
    """
    result = dict(below)
    for key, value in above.items():
        old = result.get(key)
        result[key] = merge_data(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return result


# --- overrides and settings --------------------------------------------------------------------


def choose(document: Document, names: Iterable[str]) -> Document:
    """Apply named blocks of ``overrides:`` in the order given.

    Raises
    ------
    UnknownNameError
        If the file declares no override of that name.
    """
    blocks = document.data.get("overrides")
    blocks = blocks if isinstance(blocks, dict) else {}
    for name in names:
        if name not in blocks:
            raise UnknownNameError(str(name), kind="override", names=blocks)
        block = blocks[name]
        if not isinstance(block, dict):
            problem = document.problem(("overrides", name), "expected `dotted.key: value` lines")
            raise SpecError(problem)
        for key, value in block.items():
            document = put(document, key, value, source=("overrides", name, key))
    return document


def choose_scenario(document: Document, name: str) -> Document:
    """Apply the overrides that ``scenarios:`` lists under `name`."""
    listed = document.data.get("scenarios")
    listed = listed if isinstance(listed, dict) else {}
    if name not in listed:
        raise UnknownNameError(name, kind="scenario in " + document.file, names=listed)
    chosen = listed[name]
    chosen = [chosen] if isinstance(chosen, str) else chosen
    if not isinstance(chosen, list) or not all(isinstance(item, str) for item in chosen):
        raise SpecError(document.problem(("scenarios", name), "expected a list of names of overrides"))
    try:
        return choose(document, chosen)
    except UnknownNameError as error:
        raise SpecError(document.problem(("scenarios", name), error.reason, error.hint)) from None


def put(document: Document, key: str, value: Any, *, source: Path_ | None = None) -> Document:
    """A copy of the document with one dotted key set.

    A reference on the way (``model: llama-3-8b`` before ``model.num_hidden_layers``) becomes
    a mapping that extends it.
    """
    parts = tuple(part for part in key.split(".") if part)
    mark = _source_mark(document, source, key)
    if not parts or len(parts) > MAX_DEPTH:
        raise SpecError(
            document.problem_at(mark, "expected a dotted key such as training.tokens", path=key[:80])
        )
    data = plain(document.data)
    keys, values = dict(document.keys), dict(document.values)
    at: Any = data
    path: Path_ = ()
    for part in parts[:-1]:
        at, path = _only(at, part, path)
        step = _step(at, part)
        if step is None:
            raise SpecError(
                document.problem_at(mark, f"nothing can be set under {dotted(path)}", path=key[:80])
            )
        path = (*path, step)
        below = at.get(step) if isinstance(at, dict) else at[int(step)]
        if isinstance(below, str):
            below = {"extends": below}
        elif below is None:
            below = {}
        at[step] = below
        at = below
    at, path = _only(at, parts[-1], path)
    last = _step(at, parts[-1])
    if last is None:
        raise SpecError(document.problem_at(mark, f"nothing can be set under {dotted(path)}", path=key[:80]))
    path = (*path, last)
    at[last] = plain(value)
    _move_marks(document, path, source, mark, keys, values)
    return replace(document, data=data, keys=keys, values=values)


def _source_mark(document: Document, source: Path_ | None, key: str) -> Mark:
    if source is not None and source in document.values:
        return document.values[source]
    return Mark(f"--set {key[:80]}", 0, 0)


def _only(at: Any, part: str, path: Path_) -> tuple[Any, Path_]:
    """A list of one stands for what it holds, unless the key is an index."""
    if isinstance(at, list) and len(at) == 1 and not part.isdecimal():
        return at[0], (*path, 0)
    return at, path


def _step(at: Any, part: str) -> str | int | None:
    if isinstance(at, dict):
        return part
    if isinstance(at, list) and part.isascii() and part.isdigit() and len(part) < 6 and int(part) < len(at):
        return int(part)
    return None


def _move_marks(
    document: Document,
    path: Path_,
    source: Path_ | None,
    mark: Mark,
    keys: dict[Path_, Mark],
    values: dict[Path_, Mark],
) -> None:
    """Point the new value at the place it came from."""
    for marks in (keys, values):
        for old in [p for p in marks if p[: len(path)] == path]:
            del marks[old]
    keys[path] = values[path] = mark
    if source is not None:
        for old, where in document.values.items():
            if old[: len(source)] == source:
                values[path + old[len(source) :]] = where
        for old, where in document.keys.items():
            if old[: len(source)] == source:
                keys[path + old[len(source) :]] = where


def plain(value: Any) -> Any:
    """A deep copy of plain data, tuples as lists."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def apply_settings(document: Document, settings: Sequence[str]) -> Document:
    """Apply ``path=value`` settings from the command line; the value is read as YAML.

    Examples
    --------
    >>> apply_settings(loads("training: {tokens: 1T}"), ["training.tokens=15T"]).data
    {'training': {'tokens': '15T'}}
    """
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals or not key.strip():
            raise SpecError(
                Problem(
                    "expected path=value",
                    file=f"--set {setting[:80]}",
                    hint="for example --set training.tokens=15T",
                )
            )
        document = put(document, key.strip(), _setting_value(key.strip(), text))
    return document


def _setting_value(key: str, text: str) -> Any:
    try:
        return loads(f"value: {text.strip()}", f"--set {key[:80]}").data["value"]
    except SpecError as error:
        problem = error.problems[0]
        raise SpecError(Problem(problem.reason, file=f"--set {key[:80]}", hint=problem.hint)) from None


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
