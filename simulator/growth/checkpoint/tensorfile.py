"""The safetensors format: a length, a JSON header, raw tensors. Read in parts, written in parts, without torch.

A file is 8 bytes (little-endian length of the header), the header, and the data. The header maps each tensor's name to
``dtype``, ``shape`` and ``data_offsets``; ``__metadata__`` maps text to text. Format and limits:
https://github.com/huggingface/safetensors (README, "Format"). Headers come from strangers: every offset is checked
before a byte of data is read.
"""

from __future__ import annotations

import json
import math
import os
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeGuard

import numpy as np
from numpy.typing import NDArray

from simulator.errors import Problem, SpecError

STORAGE: dict[str, str] = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2",
    "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "<i1",
    "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "<u1", "BOOL": "<u1",
    "F8_E4M3": "<u1", "F8_E5M2": "<u1", "F8_E8M0": "<u1",
}  # fmt: skip
"""How each dtype of the format lies in a file; bfloat16 and float8 as plain bits."""
COMPUTABLE = frozenset({"F64", "F32", "F16", "BF16"})
"""Dtypes that arithmetic is done on."""
MAX_HEADER = 100_000_000
"""Largest header that the format allows. [bytes]"""

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a tensor lies."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    path: Path
    offset: int
    """From the start of the file. [bytes]"""
    nbytes: int

    @property
    def rows(self) -> int:
        """Length of the first axis; 1 for a scalar."""
        return self.shape[0] if self.shape else 1

    @property
    def size(self) -> int:
        """Elements."""
        return math.prod(self.shape)


# --- numbers --------------------------------------------------------------------------------------------------------


def to_float(raw: Array, dtype: str) -> NDArray[np.floating[Any]]:
    """Widen stored bits to float32 (float64 stays); exact.

    Examples
    --------
    >>> to_float(np.array([0x3FC0], dtype=np.uint16), "BF16").tolist()
    [1.5]
    """
    if dtype == "BF16":
        return (raw.astype(np.uint32) << np.uint32(16)).view(np.float32)
    return raw if dtype in {"F32", "F64"} else raw.astype(np.float32)


def from_float(values: NDArray[np.floating[Any]], dtype: str) -> Array:
    """Round to a stored dtype, to nearest, ties to even.

    Examples
    --------
    1 + 2**-8 lies halfway between two bfloat16 numbers: the even one is 1.

    >>> from_float(np.array([1 + 2**-8, 1 + 3 * 2**-8], dtype=np.float32), "BF16").tolist() == [0x3F80, 0x3F82]
    True
    """
    if dtype != "BF16":
        with np.errstate(over="ignore"):
            return np.ascontiguousarray(values, dtype=STORAGE[dtype])
    bits = np.ascontiguousarray(values, dtype=np.float32).view(np.uint32)
    rounded = (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) >> np.uint32(16)
    quiet = (bits >> np.uint32(16)) | np.uint32(0x40)
    return np.where(np.isnan(values), quiet, rounded).astype(np.uint16)


# --- reading --------------------------------------------------------------------------------------------------------


def _pairs(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"{key[:80]!r} stands twice in the header")
        found[key] = value
    return found


def _header(file: BinaryIO, total: int) -> tuple[dict[str, Any], int]:
    """The parsed header and the offset of the data; `ValueError` says what is wrong."""
    prefix = file.read(8)
    if len(prefix) < 8:
        raise ValueError(f"{total} bytes are too few for a safetensors file")
    (length,) = struct.unpack("<Q", prefix)
    if length > MAX_HEADER:
        raise ValueError(f"its header claims {length:,} bytes; the format allows {MAX_HEADER:,}")
    if length + 8 > total:
        raise ValueError(f"truncated: its header claims {length:,} bytes, the file has {total:,}")
    text = file.read(length)
    try:
        header = json.loads(text.decode("utf-8"), object_pairs_hook=_pairs)
    except UnicodeDecodeError:
        raise ValueError("its header is not UTF-8 text") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"its header is not JSON: {error.msg}") from None
    except RecursionError:
        raise ValueError("its header is nested too deep") from None
    if not isinstance(header, dict):
        raise ValueError("its header is not a JSON object")
    return header, 8 + length


def _whole(values: object) -> TypeGuard[list[int]]:
    return isinstance(values, list) and all(
        isinstance(v, int) and not isinstance(v, bool) and 0 <= v < 2**63 for v in values
    )


def _entry(name: str, value: object, path: Path, start: int) -> Entry:
    if not isinstance(value, dict):
        raise ValueError(f"tensor {name[:80]!r} has no description")
    dtype, shape, offsets = value.get("dtype"), value.get("shape"), value.get("data_offsets")
    if not isinstance(dtype, str) or dtype not in STORAGE:
        raise ValueError(f"tensor {name[:80]!r}: unknown dtype {str(dtype)[:40]!r}")
    if not _whole(shape):
        raise ValueError(f"tensor {name[:80]!r}: shape is not a list of whole numbers")
    if not (_whole(offsets) and len(offsets) == 2 and offsets[0] <= offsets[1]):
        raise ValueError(f"tensor {name[:80]!r}: data_offsets are not two rising whole numbers")
    begin, end = offsets
    needed = math.prod(shape) * np.dtype(STORAGE[dtype]).itemsize
    if end - begin != needed:
        raise ValueError(
            f"tensor {name[:80]!r}: {end - begin:,} bytes at its offsets, its shape needs {needed:,}"
        )
    return Entry(name, dtype, tuple(shape), path, start + begin, needed)


def _no_holes(entries: Iterable[Entry], start: int, total: int) -> None:
    at = start
    for entry in sorted(entries, key=lambda one: (one.offset, one.nbytes)):
        if entry.offset < at:
            raise ValueError(f"tensor {entry.name[:80]!r} overlaps the one before it")
        if entry.offset > at:
            raise ValueError(f"{entry.offset - at:,} bytes before tensor {entry.name[:80]!r} belong to none")
        at += entry.nbytes
    if at > total:
        raise ValueError(f"truncated: its tensors end at byte {at:,}, the file has {total:,}")
    if at < total:
        raise ValueError(f"{total - at:,} bytes after the last tensor belong to none")


def read_header(path: str | Path) -> tuple[dict[str, Entry], dict[str, str]]:
    """Read which tensors a file holds, and its metadata.

    Raises
    ------
    SpecError
        If the file is missing, truncated, or its header breaks the format: too long, not JSON, a name twice,
        offsets that overlap, leave holes or disagree with the shape.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            total = os.fstat(file.fileno()).st_size
            header, start = _header(file, total)
        metadata = header.pop("__metadata__", None) or {}
        entries = {name: _entry(name, value, path, start) for name, value in header.items()}
        _no_holes(entries.values(), start, total)
    except OSError as error:
        raise SpecError(Problem(f"cannot be read: {error.strerror}", file=str(path))) from None
    except ValueError as error:
        raise SpecError(Problem(str(error), file=str(path))) from None
    if not isinstance(metadata, dict):
        metadata = {}
    return entries, {k: v for k, v in metadata.items() if isinstance(v, str)}


class Source:
    """Tensors of one or several files, read by rows.

    Use as a context: files stay open until it ends.
    """

    def __init__(self, entries: Mapping[str, Entry]) -> None:
        self.entries = dict(entries)
        self._files: dict[Path, BinaryIO] = {}

    def __enter__(self) -> Source:
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._files.values():
            file.close()
        self._files.clear()

    def __contains__(self, name: str) -> bool:
        return name in self.entries

    def raw(self, entry: Entry, start: int = 0, stop: int | None = None) -> Array:
        """Rows `start` to `stop` as stored; all if absent."""
        rows = entry.rows
        stop = rows if stop is None else min(stop, rows)
        per_row = entry.nbytes // rows if rows else 0
        file = self._files.get(entry.path)
        if file is None:
            file = self._files[entry.path] = entry.path.open("rb")
        file.seek(entry.offset + start * per_row)
        data = bytearray(max(0, stop - start) * per_row)
        if file.readinto(data) != len(data):  # type: ignore[attr-defined]
            raise SpecError(Problem("became shorter while it was read", file=str(entry.path)))
        shape = (stop - start, *entry.shape[1:]) if entry.shape else ()
        return np.frombuffer(data, dtype=STORAGE[entry.dtype]).reshape(shape)

    def values(self, name: str, start: int = 0, stop: int | None = None) -> NDArray[np.floating[Any]]:
        """Rows of a tensor as float32 (float64 stays)."""
        entry = self.entries[name]
        return to_float(self.raw(entry, start, stop), entry.dtype)

    def blocks(self, entry: Entry, elements: int) -> Iterator[tuple[int, int]]:
        """Ranges of rows with at most `elements` elements each (one row at least)."""
        step = max(1, elements * entry.rows // max(1, entry.size))
        for start in range(0, entry.rows, step):
            yield start, min(start + step, entry.rows)


# --- writing --------------------------------------------------------------------------------------------------------


def layout(
    tensors: Mapping[str, tuple[str, tuple[int, ...]]], *, path: Path, metadata: Mapping[str, str]
) -> tuple[bytes, dict[str, Entry]]:
    """The first bytes of a file that will hold `tensors` (name to dtype and shape), and where each will lie."""
    described: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    sizes = {}
    at = 0
    for name, (dtype, shape) in tensors.items():
        sizes[name] = math.prod(shape) * np.dtype(STORAGE[dtype]).itemsize
        described[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [at, at + sizes[name]]}
        at += sizes[name]
    text = json.dumps(described, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    head = struct.pack("<Q", len(text)) + text
    entries = {
        name: Entry(name, dtype, shape, path, len(head) + described[name]["data_offsets"][0], sizes[name])
        for name, (dtype, shape) in tensors.items()
    }
    return head, entries


def save(path: str | Path, tensors: Mapping[str, Array], *, bfloat16: bool = False) -> None:
    """Write arrays that fit into memory to one file; with `bfloat16`, floats are rounded to it.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(f"{folder}/a.safetensors", {"w": np.arange(4, dtype=np.float32)})
    ...     with Source(read_header(f"{folder}/a.safetensors")[0]) as source:
    ...         source.values("w").tolist()
    [0.0, 1.0, 2.0, 3.0]
    """
    names = {np.dtype(code): dtype for dtype, code in reversed(STORAGE.items()) if dtype != "BF16"}
    described = {}
    for name, array in tensors.items():
        floating = np.issubdtype(array.dtype, np.floating)
        described[name] = ("BF16" if bfloat16 and floating else names[array.dtype], array.shape)
    head, entries = layout(described, path=Path(path), metadata={"format": "pt"})
    with Path(path).open("wb") as file:
        file.write(head)
        for name, array in tensors.items():
            stored = from_float(array, entries[name].dtype) if entries[name].dtype in COMPUTABLE else array
            file.write(np.ascontiguousarray(stored).tobytes())
