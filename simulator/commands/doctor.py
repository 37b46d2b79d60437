"""``trainsim doctor``: whether the installation is whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

EXTRAS = {
    "plot": ("matplotlib",),
    "web": ("jinja2",),
    "prices": ("gpuhunt",),
    "hf": ("huggingface_hub",),
    "heavy (make heavy)": ("torch", "transformers"),
}
"""Optional parts, and the modules by which each is recognized."""


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(as_json: bool) -> None:
    """Check the installation: versions, data, extras, the folders that are searched, and that a scenario is answered.

    Exits with 1 if something is broken; a missing extra is no fault.
    """
    from simulator.report import output
    from simulator.report.text import table

    checks = [*_versions(), *_data(), *_extras(), *_search_path(), _user_folder(), _answers()]
    if as_json:
        output.emit(output.json_text({"ok": all(c["state"] != "broken" for c in checks), "checks": checks}))
    else:
        rows = [(c["state"], c["check"], c["text"]) for c in checks]
        output.emit("\n".join(table(("", "", ""), rows, left=(0, 1, 2))) + "\n")
    if any(check["state"] == "broken" for check in checks):
        raise click.exceptions.Exit(1)


def _check(state: str, check: str, text: str) -> dict[str, str]:
    return {"state": state, "check": check, "text": text}


def _versions() -> list[dict[str, str]]:
    """Python, the program, and what it needs, against the lower bounds of the package."""
    import sys
    from importlib.metadata import PackageNotFoundError, requires, version

    python = ".".join(map(str, sys.version_info[:3]))
    state = "ok" if sys.version_info >= (3, 11) else "broken"
    out = [_check(state, "python", f"{python} ({sys.executable})")]
    try:
        out.append(_check("ok", "trainsim", version("trainsim")))
        needed = [line for line in requires("trainsim") or [] if "extra ==" not in line]
    except PackageNotFoundError:
        return [*out, _check("note", "trainsim", "run from a checkout that is not installed")]
    return [*out, *(_requirement(line) for line in needed)]


def _requirement(line: str) -> dict[str, str]:
    """A line such as ``numpy>=1.26`` against what is installed."""
    import re
    from importlib.metadata import PackageNotFoundError, version

    match = re.match(r"([\w.-]+)\s*(?:>=\s*([\d.]+))?", line)
    name, least = (match[1], match[2] or "0") if match else (line, "0")
    try:
        found = version(name)
    except PackageNotFoundError:
        return _check("broken", name, f"missing; pip install '{line}'")
    parts = [[int(n) for n in re.findall(r"\d+", text)[:3]] for text in (found, least)]
    enough = parts[0] >= parts[1]
    return _check("ok" if enough else "broken", name, found if enough else f"{found}, needed {line}")


def _data() -> list[dict[str, str]]:
    """Files of every kind, and that each can be read."""
    from simulator import library
    from simulator.errors import SimulatorError
    from simulator.schema.load import CLASSES, load_spec

    out = []
    for kind in library.KINDS:
        names = library.names(kind)
        broken = []
        for name in names if kind in CLASSES and kind != "scenarios" else []:
            try:
                load_spec(kind, name)
            except SimulatorError as error:
                broken.append(f"{name}: {str(error).splitlines()[0]}")
        none = "your own only; no folder yet" if kind in library.OWN else "no folder found"
        where = ", ".join(str(folder) for folder in library.folders(kind)) or none
        state = "broken" if broken or not (names or kind in library.OWN) else "ok"
        out.append(_check(state, kind, "; ".join(broken[:3]) or f"{len(names)} in {where}"))
    return out


def _extras() -> list[dict[str, str]]:
    from importlib.util import find_spec

    out = []
    for extra, modules in EXTRAS.items():
        absent = [module for module in modules if find_spec(module) is None]
        text = "present" if not absent else f"not installed ({', '.join(absent)})"
        out.append(_check("note" if absent else "ok", f"extra {extra}", text))
    return out


def _search_path() -> list[dict[str, str]]:
    """The folders of ``$TRAINSIM_PATH``: whether each exists, and what it holds."""
    from simulator import library

    out = []
    for folder in library.search_path():
        reason = library.missing(folder)
        text = f"{folder} {reason}; it is passed over" if reason else f"{folder} holds {_held(folder)}"
        out.append(_check("note" if reason else "ok", "TRAINSIM_PATH", text))
    return out or [_check("ok", "TRAINSIM_PATH", "not set; it may name folders to search first")]


def _held(root: Path) -> str:
    """Numbers of files by kind in a folder that is searched."""
    from simulator import library

    found = []
    for kind, (inside, ending) in library.KINDS.items():
        folders = dict.fromkeys([root / kind, root / inside])
        count = sum(len(library.files_in(folder, ending)) for folder in folders if folder.is_dir())
        found += [f"{count} {kind}"] if count else []
    return ", ".join(found) or "nothing that is searched"


def _user_folder() -> dict[str, str]:
    """The folder of a user's own accelerators and models can be written, now or once it is made."""
    import os

    from simulator import library

    folder = library.user_folder()
    if not folder.is_absolute() and not os.environ.get("XDG_CONFIG_HOME"):
        return _check("note", "user folder", "no home folder is known")
    nearest: Any = folder
    while not nearest.exists() and nearest != nearest.parent:
        nearest = nearest.parent
    if not os.access(nearest, os.W_OK):
        return _check("note", "user folder", f"{folder} cannot be written; $TRAINSIM_PATH names others")
    text = f"holds {_held(folder)}" if folder.is_dir() else "does not exist; it is made when you need it"
    return _check("ok", "user folder", f"{folder} {text}")


def _answers() -> dict[str, str]:
    """A small scenario is answered."""
    from simulator.errors import SimulatorError
    from simulator.simulate import run

    try:
        result = run(
            {
                "model": {"num_hidden_layers": 32, "hidden_size": 4096, "num_attention_heads": 32},
                "training": {"tokens": "1B", "global_batch_size": 64},
                "hardware": "h100-sxm-80gb:8",
            }
        )
    except SimulatorError as error:
        return _check("broken", "an answer", str(error).splitlines()[0])
    return _check("ok" if result.feasible else "broken", "an answer", repr(result))
