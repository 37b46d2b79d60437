"""From measurements to an accelerator: a specification that the rest of the program reads."""

from __future__ import annotations

import datetime
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from simulator.errors import SpecError
from simulator.measuring.machine import Machine
from simulator.measuring.tables import write_file
from simulator.units import format_quantity

PRECISIONS = ("fp32", "tf32", "fp16", "bf16")
"""Formats whose measured rate can stand for a peak."""


def values(rows: Sequence[dict[str, str]], op: str) -> list[tuple[dict[str, int], str, float]]:
    """Sizes, format and value of every size of an operation, the median over the rounds."""
    found: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        if row["op"] == op:
            found.setdefault((row["shape_or_size"], row["dtype"]), []).append(float(row["measured_value"]))
    return [(sizes_of(text), dtype, statistics.median(each)) for (text, dtype), each in found.items()]


def sizes_of(text: str) -> dict[str, int]:
    """Sizes by name.

    Examples
    --------
    >>> sizes_of("m=128,n=256,k=512")
    {'m': 128, 'n': 256, 'k': 512}
    """
    return {name: int(number) for name, number in (part.split("=") for part in text.split(","))}


def measured_bandwidth(rows: Sequence[dict[str, str]]) -> float:
    """Rate of the largest copy, which no cache holds. [B/s]"""
    copies = values(rows, "copy")
    if not copies:
        raise SpecError("no copy was measured: the memory bandwidth is not known")
    return max(copies, key=lambda each: each[0]["bytes"])[2] * 1e9


def measured_peaks(rows: Sequence[dict[str, str]]) -> dict[str, float]:
    """Best rate of the matrix products of each format. [FLOP/s]"""
    best: dict[str, float] = {}
    for _, dtype, rate in values(rows, "gemm"):
        best[dtype] = max(best.get(dtype, 0.0), rate * 1e12)
    if not best:
        raise SpecError("no matrix product was measured: the peak rate is not known")
    return best


def document(machine: Machine, rows: Sequence[dict[str, str]], date: str) -> dict[str, Any]:
    """An accelerator as plain data.

    A machine of the library keeps the rates of its datasheet, so that efficiencies mean what they mean elsewhere, and
    takes over what the driver told. Of any other machine the best measured matrix product is the peak and the largest
    copy the bandwidth: its efficiencies are relative to those, and its MFU reads high.
    """
    source = f"measured by trainsim measure on {date}"
    torch = f"PyTorch {machine.software.get('torch', '')}"
    state = ", ".join(f"{key} {value}" for key, value in machine.state.items())
    notes = f"{torch}, {machine.threads} host threads" + (f"; {state}" if state else "")
    common: dict[str, Any] = {"id": machine.id, "name": f"{machine.name} (measured)", "aliases": []}
    seen = {
        "memory_usable": format_quantity(machine.memory_bytes, "byte", unit="GiB", digits=6),
        "sm_count": machine.processors,
    }
    end = {"source": source, "retrieved": date, "measured": True}
    if machine.library_id:
        return {"extends": machine.library_id, **common, **seen, **end, "notes": notes}
    peaks = measured_peaks(rows)
    out: dict[str, Any] = {
        **common,
        "architecture": machine.architecture,
        "memory": seen["memory_usable"],
        "memory_bandwidth": format_quantity(measured_bandwidth(rows), "byte/second", digits=4),
        "peak_flops": {
            name: format_quantity(peaks[name], "FLOP/second", digits=4)
            for name in PRECISIONS
            if name in peaks
        },
        "sm_count": machine.processors,
    }
    if machine.l2_bytes:
        out["l2_cache"] = format_quantity(machine.l2_bytes, "byte", unit="MiB", digits=4)
    said = (
        "Rates are not a datasheet's: the peak is the best measured matrix product, the bandwidth the largest measured "
        "copy (read and written bytes), so shares of the peak read high. "
    )
    return {**out, **end, "notes": said + notes}


def write(folder: Path, spec: dict[str, Any]) -> Path:
    """Write an accelerator into ``accelerators/`` of a folder."""
    import yaml

    text = "# Written by trainsim measure; measure again rather than edit.\n"
    plain = spec | {"retrieved": datetime.date.fromisoformat(spec["retrieved"])}
    text += yaml.safe_dump(plain, sort_keys=False, default_flow_style=None, width=110, allow_unicode=True)
    path = folder / "accelerators" / f"{spec['id']}.yaml"
    write_file(path, text)
    return path
