"""Documents put together: `extends`, named overrides, scenarios that combine them, and settings.

Positions are kept throughout, so a mistake is shown where it was written: in the file that extends,
in the file that is extended, in an override, or on the command line.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from simulator.errors import Problem, SpecError, UnknownNameError
from simulator.yamlio import MAX_DEPTH, Document, Mark, Path_, dotted, loads, plain, read_text

MAX_EXTENDS = 16

# Keys that identify one file and never pass to a file that extends it.
OWN_KEYS = ("id", "name", "aliases", "measured", "extends")

LISTS: tuple[Path_, ...] = (("hardware",),)
"""Lists in which one entry may be written without the list."""

Resolve = Callable[[str, Path | None], Path]


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
    except SpecError as error:
        first = error.problems[0]
        raise SpecError(
            document.problem(("extends",), f"{reference[:200]}: {first.reason}", first.hint)
        ) from None
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
    if resolve is None:
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


def put(
    document: Document, key: str, value: Any, *, source: Path_ | None = None, origin: str = ""
) -> Document:
    """A copy of the document with one dotted key set.

    Mistakes in the value are shown at the path `source` of the document, else under the name `origin`.

    An entry of a list is named by its number, from 0: ``hardware.1.n_gpus`` or ``hardware[1].n_gpus``.

    A reference on the way (``model: llama-3-8b`` before ``model.num_hidden_layers``) becomes
    a mapping that extends it.
    """
    parts = tuple(part for part in re.sub(r"\[\s*(\d+)\s*\]", r".\1", key).split(".") if part)
    mark = document.values.get(source, Mark(origin, 0, 0)) if source else Mark(origin, 0, 0)
    if not parts or len(parts) > MAX_DEPTH:
        raise SpecError(
            document.problem_at(mark, "expected a dotted key such as training.tokens", path=key[:80])
        )
    data = plain(document.data)
    keys, values = dict(document.keys), dict(document.values)
    at: Any = data
    path: Path_ = ()
    for part in parts[:-1]:
        if _is_alone(at, part, path):
            continue
        at, path = _only(at, part, path)
        step = _step(at, part, path)
        if step is None:
            raise SpecError(document.problem_at(mark, *_no_step(at, part, path), path=key[:80]))
        path = (*path, step)
        below = at.get(step) if isinstance(at, dict) else at[int(step)]
        if isinstance(below, str):
            below = {"extends": below}
        elif below is None:
            below = {}
        at[step] = below
        at = below
    if _is_alone(at, parts[-1], path):
        return put(document, dotted(path), value, source=source, origin=origin)
    at, path = _only(at, parts[-1], path)
    last = _step(at, parts[-1], path)
    if last is None:
        raise SpecError(document.problem_at(mark, *_no_step(at, parts[-1], path), path=key[:80]))
    path = (*path, last)
    at[last] = plain(value)
    _move_marks(document, path, source, mark, keys, values)
    return replace(document, data=data, keys=keys, values=values)


def _only(at: Any, part: str, path: Path_) -> tuple[Any, Path_]:
    """A list of one stands for what it holds, unless the key is an index."""
    if isinstance(at, list) and len(at) == 1 and not part.isdecimal():
        return at[0], (*path, 0)
    return at, path


def _is_alone(at: Any, part: str, path: Path_) -> bool:
    """True if the index 0 stands for a mapping that was written without a list around it."""
    return path in LISTS and isinstance(at, dict) and part == "0"


def _no_step(at: Any, part: str, path: Path_) -> tuple[str, str]:
    """Reason and hint for a part of a key that leads nowhere."""
    listed = at if isinstance(at, list) else [at] if path in LISTS and isinstance(at, dict) else []
    if not listed:
        return f"nothing can be set under {dotted(path)}", ""
    count = "1 entry" if len(listed) == 1 else f"{len(listed)} entries"
    reason = f"{dotted(path)} has {count}" + (f", none is number {part[:40]}" if part.isdecimal() else "")
    last = len(listed) - 1
    return reason, f"they are counted from 0 to {last}" if last else f"the only one is {dotted((*path, 0))}"


def _step(at: Any, part: str, path: Path_ = ()) -> str | int | None:
    if isinstance(at, dict):
        return None if path in LISTS and part.isdecimal() else part
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


def apply_settings(document: Document, settings: Sequence[str]) -> Document:
    """Apply ``path=value`` settings from the command line; the value is read as YAML.

    A value that is the path of a file is one from where the user stands, whatever folder the document lies in; a path that
    leads nowhere from there starts from the document, as what is written in it.

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
        value = _from_here(_setting_value(key.strip(), text))
        document = put(document, key.strip(), value, origin="--set")
    return document


def _from_here(value: Any) -> Any:
    """A value with every path that exists from the working folder made whole, at any depth."""
    if isinstance(value, dict):
        return {key: _from_here(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_from_here(item) for item in value]
    if not isinstance(value, str) or not looks_like_path(value):
        return value
    try:
        path = Path(value).expanduser()
        there = path.is_file() or (path / "config.json").is_file()
        return str(Path.cwd() / path) if there else value
    except (OSError, ValueError, RuntimeError):
        return value


def _setting_value(key: str, text: str) -> Any:
    try:
        value = loads(f"value: {text.strip()}", f"--set {key[:80]}").data["value"]
    except SpecError as error:
        problem = error.problems[0]
        raise SpecError(Problem(problem.reason, file=f"--set {key[:80]}", hint=problem.hint)) from None
    # 1e3 is a whole number here: counts can be written so.
    whole = isinstance(value, float) and "e" in text.lower() and abs(value) < 1e15 and value.is_integer()
    return int(value) if whole else value
