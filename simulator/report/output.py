"""Where text goes: standard output, or a file that is written whole or not at all."""

from __future__ import annotations

import csv
import errno
import io
import json
import os
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import click

from simulator.errors import SpecError
from simulator.report.text import printable, wants_color

__all__ = ["csv_text", "emit", "json_text", "one_of", "wants_color", "write_whole"]


def one_of(**given: bool) -> None:
    """Refuse options that ask for two forms of output at once."""
    asked = [f"--{name}" for name, value in given.items() if value]
    if len(asked) > 1:
        raise click.UsageError(f"{' and '.join(asked)} cannot be given together")


def json_text(data: Any) -> str:
    """One JSON document, with a final line end."""
    return json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """A record for one line of a table: intervals become ``name_p10`` and ``name_p90``, nested records their dotted names.

    Examples
    --------
    >>> flat({"a": 1, "interval": {"cost_usd": [2.0, 3.0]}, "memory": {"weights": 4.0}})
    {'a': 1, 'cost_usd_p10': 2.0, 'cost_usd_p90': 3.0, 'memory.weights': 4.0}
    """
    out: dict[str, Any] = {}
    for name, value in row.items():
        if name == "interval" and isinstance(value, Mapping):
            for key, bounds in value.items():
                out[f"{key}_p10"], out[f"{key}_p90"] = bounds if bounds else (None, None)
        elif isinstance(value, Mapping):
            out |= {f"{name}.{key}": each for key, each in value.items()}
        else:
            out[name] = value
    return out


def csv_text(rows: Iterable[Mapping[str, Any]]) -> str:
    """Rows as CSV with a head line; a field that a row lacks is empty."""
    from simulator.result import plain

    records = [flat(plain(row)) for row in rows]
    names = list(dict.fromkeys(name for record in records for name in record))
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, fieldnames=names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(
        {k: (" ".join(map(str, v)) if isinstance(v, list) else v) for k, v in r.items()} for r in records
    )
    return buffer.getvalue()


def emit(text: str, out: Path | None = None) -> None:
    """Print text, or write it to a file and say so on stderr."""
    if out is None:
        if sys.stdout is None:
            raise SpecError("the output cannot be written: standard output is closed")
        click.echo(printable(text, getattr(sys.stdout, "encoding", None)), nl=False, color=wants_color())
        return
    write_whole(out, text)
    click.echo(f"written to {out}", err=True)


def write_whole(path: Path, text: str) -> None:
    """Write a file so that nobody ever sees half of it.

    A link is followed: what it points to is written, and it stays a link. What is there and no file (a pipe, a device) is
    written to as it is, for nothing can take its place.

    Raises
    ------
    SpecError
        If the place cannot be written to.
    """
    try:
        if path.exists() and not path.is_file():
            with path.open("w", encoding="utf-8", newline="\n") as file:
                file.write(text)
        else:
            _replace(Path(os.path.realpath(path)), text)
    except OSError as error:
        raise SpecError(f"{path}: cannot be written ({error.strerror or error})") from None


def _replace(path: Path, text: str) -> None:
    """A file written beside its place, then put there."""
    if path.is_symlink():  # what is still a link now leads in a circle
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o666 & ~_umask()
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
        Path(name).chmod(mode)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
