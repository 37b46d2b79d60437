"""What is backed by measurements: rows and error by accelerator, kind of model, precision, software, scale and layout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from simulator import library, uncertainty
from simulator.schema import load_accelerator
from simulator.validate import cases as tables
from simulator.validate import intervals
from simulator.validate.metrics import by_group
from simulator.validate.regimes import formats, regimes

GROUPS = ("accelerator", "kind", "precision", "software", "scale", "layout")
"""What rows are grouped by."""

BITS = {"4": "4 bits", "8": "8 bits (fp8)", "16": "16 bits (bf16, fp16)", "32": "32 bits (fp32, tf32)"}
"""End of the name of the matmul constant, to the precision it belongs to."""

FEW = uncertainty.ENOUGH
"""Fewer rows than this do not make an interval of their own. [-]"""


def support(path: str | Path | None = None, *, clock: str = "memory_copies") -> dict[str, Any]:
    """Measured backing of each accelerator, kind of model, precision, software, scale and layout.

    Parameters
    ----------
    path : str or Path, optional
        Table in the format of ``measurements/throughput.csv``; the shipped one if absent.
    clock : str, optional
        Name of the clock.

    Returns
    -------
    dict
        ``rows`` in all; for each of `GROUPS` a list of ``name rows median_error p90_error coverage_80 sources``, most rows
        first; ``regimes``, the intervals by regime; accelerators without a row are listed with 0 and their evidence.
    """
    cases = tables.read(library.find("measurements", "throughput") if path is None else path)
    values = intervals.around(
        cases,
        intervals.step_times(cases, clock),
        regimes=regimes(cases),
        exposed=intervals.exposed_shares(cases, clock),
    )
    report: dict[str, Any] = {"clock": clock, "rows": len(cases)}
    names = _names(cases)
    for group in GROUPS[:-1]:
        report[group] = _lines(names[group], values, cases.source)
    report["layout"] = _layouts(cases, values)
    report["accelerator"] += _unmeasured({line["name"] for line in report["accelerator"]})
    report["regimes"] = [
        {"name": name, **{key: float(value) for key, value in row.items()}}
        for name, row in uncertainty.table().regimes.items()
    ]
    return report


def _names(cases: tables.Cases) -> dict[str, np.ndarray]:
    known = regimes(cases)
    labels = {name: load_accelerator(name).label for name in set(cases.gpu.tolist())}
    lists: dict[str, list[str]] = {
        "accelerator": [labels[name] for name in cases.gpu],
        "kind": [each.kind for each in known],
        "precision": [BITS.get(each, each) for each in formats(cases).tolist()],
        "software": [keys["launch_s"][0] for keys in cases.keys],
        "scale": [each.scale for each in known],
    }
    return {name: np.array(values, dtype=object) for name, values in lists.items()}


def _lines(names: np.ndarray, values: dict[str, np.ndarray], source: np.ndarray) -> list[dict[str, Any]]:
    lines = []
    for name, found in by_group(names, values).items():
        own = names.astype(str) == name
        lines.append(_line(name, found, len(set(source[own].tolist()))))
    return sorted(lines, key=lambda line: -int(line["rows"]))


def _line(name: str, found: dict[str, Any], sources: int) -> dict[str, Any]:
    return {
        "name": name,
        "rows": int(found["n"]),
        "sources": sources,
        "median_error": found.get("median_ape"),
        "p90_error": found.get("p90_ape"),
        "coverage_80": found.get("coverage_80"),
    }


def _layouts(cases: tables.Cases, values: dict[str, np.ndarray]) -> list[dict[str, Any]]:
    """Rows that use a dimension of parallelism; a row may use several."""
    x = cases.layout
    uses = {
        "tensor parallel": np.asarray(x.tp) > 1,
        "pipeline parallel": np.asarray(x.pp) > 1,
        "interleaved pipeline": np.asarray(x.vp) > 1,
        "context parallel": np.asarray(x.cp) > 1,
        "expert parallel": np.asarray(x.ep) > 1,
        "ZeRO 1": np.asarray(x.zero_stage) == 1,
        "ZeRO 2": np.asarray(x.zero_stage) == 2,
        "ZeRO 3 (FSDP)": np.asarray(x.zero_stage) == 3,
        "full recomputation": np.asarray(x.recompute) == 2,
        "selective recomputation": np.asarray(x.recompute) == 1,
    }
    lines = []
    for name, own in uses.items():
        part = {key: value[own] for key, value in values.items()}
        found = by_group(np.full(int(own.sum()), name, dtype=object), part).get(name, {"n": 0})
        lines.append(_line(name, found, len(set(cases.source[own].tolist()))))
    return sorted(lines, key=lambda line: -int(line["rows"]))


def _unmeasured(seen: set[str]) -> list[dict[str, Any]]:
    """Accelerators of the library without a row."""
    return [_line(name, {"n": 0}, 0) for name in library.names("accelerators") if name not in seen]
