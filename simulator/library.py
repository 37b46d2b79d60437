"""Find a specification by path, id or alias.

Searched in this order, the first hit wins: the path itself, the folders of ``$TRAINSIM_PATH``,
``~/.config/trainsim``, and what ships with the package. In each folder a kind has its own
sub-folder, so a user's accelerator is ``~/.config/trainsim/accelerators/my-gpu.yaml``.

Case and separators do not matter: `H100-SXM-80GB`, `h100 sxm 80gb` and `h100sxm80gb` are one name. Between two digits
they do: `opt-1.3b` is not `opt-13b`, and `gemma-2-2b` is not `gemma-22b`.
"""

from __future__ import annotations

import contextlib
import importlib.resources
import os
import re
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from pathlib import Path

from simulator import documents, yamlio
from simulator.errors import SpecError, UnknownNameError, nearest

# Kind, to its folder inside the package (or the repository) and the ending of its files.
KINDS: dict[str, tuple[str, str]] = {
    "accelerators": ("hardware_specs/accelerators", ".yaml"),
    "clusters": ("hardware_specs/clusters", ".yaml"),
    "prices": ("hardware_specs/prices", ".yaml"),
    "calibrations": ("hardware_specs/calibrations", ".yaml"),
    "models": ("scenarios/models", ".yaml"),
    "scenarios": ("scenarios", ".yaml"),
    "measurements": ("measurements", ".csv"),
    "laws": ("laws", ".yaml"),
}

SINGULAR = {
    "accelerators": "accelerator",
    "clusters": "cluster",
    "prices": "price book",
    "calibrations": "calibration",
    "models": "model",
    "scenarios": "scenario",
    "measurements": "table of measurements",
    "laws": "law of one's own",
}

OWN = ("laws",)
"""Kinds of which the package ships none: the registry of laws is code."""


_NAMES_ONLY: ContextVar[bool] = ContextVar("names_only", default=False)


@contextlib.contextmanager
def names_only() -> Iterator[None]:
    """Refuse every path within: only ids and aliases of the folders that are searched are found.

    For text that came from elsewhere: nothing in it makes this process open a file of its choice.

    Examples
    --------
    >>> with names_only():
    ...     find("accelerators", "/etc/passwd")
    Traceback (most recent call last):
    ...
    simulator.errors.SpecError: a path is not accepted here; write the id of an accelerator
    """
    before = _NAMES_ONLY.set(True)
    try:
        yield
    finally:
        _NAMES_ONLY.reset(before)


def paths_allowed() -> bool:
    """Whether a name may be a path: not within `names_only`."""
    return not _NAMES_ONLY.get()


def normalise(name: str) -> str:
    """Letters and digits in lower case; between two digits a dot stays, and any other separator is a dash.

    Examples
    --------
    >>> normalise("A100-80GB SXM"), normalise("a100_80gb_sxm")
    ('a100-80gbsxm', 'a100-80gbsxm')
    >>> normalise("Qwen/Qwen2.5-7B"), normalise("qwen2-57b")
    ('qwenqwen2.5-7b', 'qwen2-57b')
    """
    return re.sub(r"[^a-z0-9]+", _separator, name.lower())


def _separator(match: re.Match[str]) -> str:
    """What a run of separators becomes: nothing, unless digits stand on both sides."""
    before, after = match.start() - 1, match.end()
    text = match.string
    if before < 0 or after >= len(text) or not (text[before].isdigit() and text[after].isdigit()):
        return ""
    return "." if match[0] == "." else "-"


def _characters(text: str) -> str:
    """Letters and digits in lower case, and nothing else."""
    return re.sub(r"[^a-z0-9]", "", text.lower())


def _without_tuning(name: str) -> str:
    """The name of a model without the ending of its tuned or base version, which has the same sizes.

    Examples
    --------
    >>> _without_tuning("Qwen/Qwen2.5-7B-Instruct"), _without_tuning("Llama-2-7b-chat-hf")
    ('Qwen/Qwen2.5-7B', 'Llama-2-7b-hf')
    >>> _without_tuning("Mixtral-8x7B-Instruct-v0.1")
    'Mixtral-8x7B-v0.1'
    """
    return re.sub(
        r"[-_ ](?:instruct|chat|base|it|pt)(?=(?:[-_ ](?:hf|v?\d+(?:\.\d+)?))?$)",
        "",
        name.strip(),
        flags=re.IGNORECASE,
    )


def packaged_root() -> Path:
    """Folder that holds ``hardware_specs``, ``scenarios``, ``measurements`` and ``schemas``.

    Inside an installed wheel it is ``simulator/_data``; in a checkout, the repository.
    """
    package = Path(str(importlib.resources.files("simulator")))
    inside = package / "_data"
    return inside if inside.is_dir() else package.parent


def folders(kind: str) -> list[Path]:
    """Existing folders that are searched for a kind, in order."""
    inside, _ = _kind(kind)
    candidates: list[Path] = []
    for root in search_path():
        candidates += [root / kind, root / inside]
        _tell_missing(root)
    candidates.append(user_folder() / kind)
    candidates.append(packaged_root() / inside)
    return [folder for folder in dict.fromkeys(candidates) if folder.is_dir()]


def search_path() -> list[Path]:
    """Folders that ``$TRAINSIM_PATH`` names, in order; they need not exist."""
    entries = os.environ.get("TRAINSIM_PATH", "").split(os.pathsep)
    return [_expanded(entry) for entry in entries if entry.strip()]


def _expanded(entry: str) -> Path:
    try:
        return Path(entry).expanduser()
    except RuntimeError:  # no home folder is known
        return Path(entry)


_TOLD: set[Path] = set()
"""Folders of ``$TRAINSIM_PATH`` that were said to be missing."""


def missing(root: Path) -> str:
    """Why a folder of ``$TRAINSIM_PATH`` cannot be searched; nothing if it can."""
    try:
        return "" if root.is_dir() else "is no folder" if root.exists() else "does not exist"
    except (OSError, ValueError) as error:
        return f"cannot be read ({getattr(error, 'strerror', None) or error})"


def _tell_missing(root: Path) -> None:
    """Log that a folder cannot be searched: a line on stderr, once, from neither a worker process nor a shell's TAB."""
    reason = "" if root in _TOLD else missing(root)
    if not reason:
        return
    import logging
    import multiprocessing

    _TOLD.add(root)
    if multiprocessing.parent_process() is None and "_TRAINSIM_COMPLETE" not in os.environ:
        logging.getLogger("trainsim").warning("TRAINSIM_PATH: %s %s", root, reason)


def user_folder() -> Path:
    """Folder of a user's own specifications; it need not exist."""
    base = os.environ.get("XDG_CONFIG_HOME")
    if base:
        return Path(base) / "trainsim"
    try:
        return Path.home() / ".config" / "trainsim"
    except RuntimeError:  # no home folder is known
        return Path("trainsim")


def _kind(kind: str) -> tuple[str, str]:
    if kind not in KINDS:
        raise UnknownNameError(kind, kind="kind of specification", names=KINDS)
    return KINDS[kind]


def files(kind: str) -> list[Path]:
    """Every file of a kind; a file of a folder searched earlier hides later ones of the same id."""
    _, ending = _kind(kind)
    found: dict[str, Path] = {}
    for folder in folders(kind):
        for path in files_in(folder, ending):
            found.setdefault(normalise(path.stem), path)
    return list(found.values())


def files_in(folder: Path, ending: str) -> list[Path]:
    """Files of a folder with an ending, sorted, hidden ones apart."""
    return [
        path
        for path in sorted(folder.iterdir())
        if path.suffix == ending and path.is_file() and not path.name.startswith(".")
    ]


def names(kind: str) -> list[str]:
    """Ids of everything of a kind, sorted."""
    return sorted(path.stem for path in files(kind))


def aliases(kind: str) -> dict[str, str]:
    """Every alias of a kind, to the id that owns it. Files that cannot be read are passed over."""
    owners: dict[str, str] = {}
    for path in files(kind):
        for alias in _aliases_of(path):
            owners.setdefault(alias, path.stem)
    return owners


def _aliases_of(path: Path) -> list[str]:
    if path.suffix != ".yaml":
        return []
    try:
        listed = yamlio.loads(yamlio.read_text(path), str(path)).data.get("aliases")
    except SpecError:
        return []
    return [item for item in listed if isinstance(item, str)] if isinstance(listed, list) else []


def find(kind: str, name: str, folder: Path | None = None) -> Path:
    """The file of a kind that a name refers to.

    Parameters
    ----------
    kind : str
        One of `KINDS`.
    name : str
        Path, id, or alias.
    folder : Path, optional
        Folder that relative paths start from; the working folder by default.

    Raises
    ------
    UnknownNameError
        With the nearest names.
    SpecError
        If the name is a path and there is no such file, or paths are refused (`names_only`).
    """
    _, ending = _kind(kind)
    reference = str(name)
    as_path = documents.looks_like_path(reference) or reference.endswith(ending)
    if as_path and not paths_allowed():
        noun = SINGULAR[kind]
        article = "an" if noun[0] in "aeiou" else "a"
        raise SpecError(f"a path is not accepted here; write the id of {article} {noun}")
    if as_path:
        path = _existing(kind, reference, folder)
        if path is not None:
            return path
        if reference.endswith((ending, ".yml", ".json")) or reference.startswith((".", "/", "~")):
            yamlio.read_text((folder or Path()) / reference, reference[:300])
    wanted = normalise(reference)
    here = files(kind)
    for path in here:
        if path.stem == reference:
            return path
    for path in here:
        if wanted and normalise(path.stem) == wanted:
            return path
    for path in here:
        if wanted and _mentions(path, wanted) and wanted in map(normalise, _aliases_of(path)):
            return path
    found = _loosely(kind, reference, here)
    if found is None:
        raise _unknown(kind, reference, here)
    return found


def _loosely(kind: str, reference: str, here: list[Path]) -> Path | None:
    """The only file that a looser reading of a name means; None if there is none, or more than one.

    A dash may stand for a dot (``llama-3-1-8b``), and a model may carry the ending of its tuned version. What is no
    model may also be written without separators (``h10080gb``); the digits of a model are its size and stay apart.
    """
    strict = normalise(reference)
    readings: list[Callable[[str], str]] = []
    if kind != "models":
        readings.append(lambda text: normalise(text).replace(".", "-"))
        if not re.search(r"[-.]", strict):
            readings.append(_characters)
    else:
        readings.append(lambda text: normalise(_without_tuning(text)))
        if "." not in strict:
            readings.append(lambda text: normalise(_without_tuning(text)).replace(".", "-"))
    core = _characters(_without_tuning(reference) if kind == "models" else reference)
    likely = [path for path in here if core and (core in _characters(path.stem) or _mentions(path, core))]
    written = {path: [path.stem, *_aliases_of(path)] for path in likely}
    for reading in readings:
        wanted = reading(reference)
        found = [path for path, texts in written.items() if wanted in map(reading, texts)]
        if found:
            return found[0] if len(found) == 1 else None
    return None


def _existing(kind: str, reference: str, folder: Path | None) -> Path | None:
    """The file at a path, or of that name in a folder that is searched."""
    plain = "/" not in reference and "\\" not in reference
    try:
        bases = [folder or Path(), *(folders(kind) if plain else [])]
        candidates = [base / Path(reference).expanduser() for base in bases]
        return next((path for path in candidates if path.is_file()), None)
    except (OSError, ValueError, RuntimeError):
        return None


def _mentions(path: Path, wanted: str) -> bool:
    """Cheap test before parsing: the text holds the letters and digits of the name."""
    try:
        return path.suffix == ".yaml" and _characters(wanted) in _characters(
            path.read_text(encoding="utf-8", errors="replace")
        )
    except OSError:
        return False


def _unknown(kind: str, name: str, here: list[Path]) -> UnknownNameError:
    """Suggest ids, also where what was typed resembles an alias."""
    ids = sorted(path.stem for path in here)
    owners = {**aliases(kind), **{each: each for each in ids}}
    near = list(dict.fromkeys(owners[each] for each in nearest(name, owners, count=12)))
    return UnknownNameError(name, kind=SINGULAR[kind], names=ids, suggestions=near[:3])


def load(kind: str, name: str, folder: Path | None = None) -> yamlio.Document:
    """Read a specification and everything it extends, as plain data with positions."""
    path = find(kind, name, folder)
    return documents.load(path, resolve=resolver(kind), name=shown(path))


def resolver(kind: str) -> documents.Resolve:
    """How `extends` finds its file when it names an id of this kind."""
    return lambda reference, folder: find(kind, reference, folder)


def shown(path: Path) -> str:
    """A path as short as it is clear: relative to the working folder where it lies below it."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except (ValueError, OSError, RuntimeError):
        return str(path)
