"""The rows of one chunk of points. Runs in the process of a worker: everything here can be sent to one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simulator.errors import SimulatorError, SpecError
from simulator.result import Result, plain
from simulator.simulate import run
from simulator.sweeping.points import scenario_at, shown
from simulator.yamlio import Document


@dataclass(frozen=True)
class Chunk:
    """Neighboring points of a sweep with all that a worker needs to answer them."""

    data: dict[str, Any]
    """The scenario that varies, as plain data."""
    folder: str | None
    """Where paths in the scenario start."""
    paths: tuple[str, ...]
    start: int
    """Number of the first point, from 0."""
    points: tuple[tuple[Any, ...], ...]


DATED = ("old-price",)
"""Warnings that depend on the day; a table that is resumed tomorrow is the same to the byte, so it leaves them out."""


def answer(chunk: Chunk) -> list[dict[str, Any]]:
    """Answer the points of a chunk, in order; what cannot run is a row with its reason."""
    return [_row(chunk, chunk.start + place, point) for place, point in enumerate(chunk.points)]


def _row(chunk: Chunk, number: int, point: Sequence[Any]) -> dict[str, Any]:
    row: dict[str, Any] = {"point": number}
    row |= {f"vary.{path}": shown(value) for path, value in zip(chunk.paths, point, strict=True)}
    folder = None if chunk.folder is None else Path(chunk.folder)
    try:
        result = run(scenario_at(Document(data=chunk.data, file=""), folder, chunk.paths, point))
    except SimulatorError as error:
        reason = "scenario" if isinstance(error, SpecError) else "question"
        text = (
            "; ".join(str(p.reason) for p in error.problems) if isinstance(error, SpecError) else str(error)
        )
        return row | {"feasible": False, "reason": reason, "why": " ".join(text.split())}
    return row | figures(result)


def figures(result: Result) -> dict[str, Any]:
    """A result as one flat row: the figures of the answer, what binds it, which warnings it carries."""
    refused = result.infeasible
    row: dict[str, Any] = {
        "feasible": result.feasible,
        "reason": str(refused.get("reason", "")),
        "why": str(refused.get("text", "")),
        "binding": str(result.binding.get("constraint", "")),
        "warnings": " ".join(dict.fromkeys(w["id"] for w in result.warnings if w["id"] not in DATED)),
    }
    return row | flat(plain(result.answer))


def flat(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record without nesting: intervals become ``name_p10`` and ``name_p90``, the rest dotted names.

    Examples
    --------
    >>> flat({"a": 1, "interval": {"cost_usd": [2.0, 3.0]}, "memory": {"weights": 4.0}})
    {'a': 1, 'cost_usd_p10': 2.0, 'cost_usd_p90': 3.0, 'memory.weights': 4.0}
    """
    out: dict[str, Any] = {}
    for name, value in record.items():
        if name == "interval" and isinstance(value, Mapping):
            for key, bounds in value.items():
                out[f"{key}_p10"], out[f"{key}_p90"] = bounds if bounds else (None, None)
        elif isinstance(value, Mapping):
            out |= {f"{name}.{key}": each for key, each in flat(value).items()}
        elif isinstance(value, list):
            out[name] = " ".join(map(str, value))
        else:
            out[name] = value
    return out
