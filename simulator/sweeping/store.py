"""What a sweep keeps on disk: finished chunks under the hash of what they answer, and the table made of them.

A file appears under its name only when it is complete and on the disk, so that a process may end at any moment.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from simulator import library
from simulator.errors import SpecError

FORMAT = 1
"""Version of the files of a sweep."""

TABLES = ("calibrations", "prices")
"""Kinds of files that answers rest on without the scenario holding their content."""


def digest(data: Any) -> str:
    """SHA-256 of plain data, in hexadecimal digits.

    Examples
    --------
    >>> digest({"b": 1, "a": 2}) == digest({"a": 2, "b": 1})
    True
    """
    text = json.dumps(data, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def tables_digest() -> str:
    """Hash of the calibration sets, prices and intervals that are found."""
    files = [path for kind in TABLES for path in library.files(kind)]
    files += sorted((library.packaged_root() / "hardware_specs" / "intervals").glob("*.yaml"))
    return digest([[path.name, hashlib.sha256(path.read_bytes()).hexdigest()] for path in files])


class Store:
    """The folder of a sweep."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.chunks = folder / "chunks"
        try:
            self.chunks.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SpecError(f"{folder}: no folder can be made here ({error.strerror or error})") from None

    def path(self, key: str) -> Path:
        """File of a chunk."""
        return self.chunks / f"{key}.jsonl"

    def put(self, key: str, rows: Sequence[dict[str, Any]]) -> None:
        """Keep the rows of a chunk: all of them or nothing."""
        body = "".join(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows)
        head = {"format": FORMAT, "rows": len(rows), "sha256": hashlib.sha256(body.encode()).hexdigest()}

        def write(path: Path) -> None:
            with path.open("w", encoding="utf-8", newline="\n") as file:
                file.write(json.dumps(head) + "\n" + body)
                file.flush()
                os.fsync(file.fileno())

        whole(self.path(key), write)

    def get(self, key: str) -> list[dict[str, Any]] | None:
        """Rows of a chunk; ``None`` if it is not there, or not as it was written."""
        try:
            head, _, body = self.path(key).read_bytes().partition(b"\n")
            about = json.loads(head)
            if about["format"] != FORMAT or hashlib.sha256(body).hexdigest() != about["sha256"]:
                return None
            return [json.loads(line) for line in body.splitlines()]
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def tidy(self) -> None:
        """Remove what processes that were killed left half written."""
        for folder in (self.folder, self.chunks):
            for path in folder.glob(".*.part"):
                path.unlink(missing_ok=True)


def whole(path: Path, write: Callable[[Path], None]) -> None:
    """Write a file under another name in the same folder, then rename it.

    Raises
    ------
    SpecError
        If the place cannot be written to.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        try:
            write(part)
            part.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise SpecError(f"{path}: cannot be written ({error.strerror or error})") from None


def write_text(path: Path, text: str) -> None:
    """Write a text whole."""

    def write(part: Path) -> None:
        part.write_bytes(text.encode())

    whole(path, write)


def write_csv(path: Path, rows: Callable[[], Iterator[dict[str, Any]]]) -> list[str]:
    """Write rows as CSV in bounded memory and return its columns.

    Parameters
    ----------
    path : Path
        The table.
    rows : callable
        Gives an iterator over the rows each time: once for the columns, in order of appearance, once for the cells.
    """
    columns = list(dict.fromkeys(name for row in rows() for name in row))

    def write(part: Path) -> None:
        with part.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, columns, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows())

    whole(path, write)
    return columns


def write_database(csv_path: Path) -> list[Path]:
    """Write a CSV table also as Parquet and as a DuckDB database; nothing without the extra ``store``."""
    try:
        import duckdb
    except ImportError:
        return []
    parquet, database = csv_path.with_suffix(".parquet"), csv_path.with_suffix(".duckdb")
    source = str(csv_path).replace("'", "''")
    read = f"read_csv('{source}', header = true, sample_size = -1)"

    def make(part: Path) -> None:
        with duckdb.connect(str(part)) as connection:
            connection.execute(f"CREATE TABLE results AS SELECT * FROM {read} ORDER BY point")  # noqa: S608

    def copy(part: Path) -> None:
        target = str(part).replace("'", "''")
        with duckdb.connect() as connection:
            connection.execute(f"COPY (SELECT * FROM {read} ORDER BY point) TO '{target}' (FORMAT parquet)")  # noqa: S608

    whole(parquet, copy)
    whole(database, make)
    return [parquet, database]
