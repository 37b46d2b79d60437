"""What measured matmuls say of tiles: their efficiency, and the contraction steps lost to filling one.

    t = max(tile copies of (k + fill) at the efficient rate, memory copies) per matmul

is fitted to the matmuls of ``measurements/micro.csv`` by accelerator. The fill becomes the prior of the architecture in
the fit to training steps; the efficiency does not, because a training step is not a loop over one matmul.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from simulator import calibrations, copies
from simulator.errors import SpecError, UnknownNameError
from simulator.validate.cases import read_frame

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

FEWEST = 100
"""Matmuls that an accelerator needs for a fit. [-]"""

PRECISION = "bf16"
"""Format whose matmuls are used."""


def fit_gemms(path: str | Path) -> dict[str, dict[str, float]]:
    """Efficiency and fill of tiles by accelerator id.

    Returns
    -------
    dict
        For each accelerator with enough matmuls: ``tile_efficiency``, ``tile_fill``, ``hbm_efficiency``, ``rows`` and
        ``median_error`` of the fitted times. [-]
    """
    from simulator.schema import load_accelerator

    frame = read_frame(path, required=("gpu", "op", "shape_or_size", "dtype", "measured_value", "unit"))
    keep = (frame.op == "gemm") & (frame.dtype == PRECISION) & (frame.unit == "TFLOP/s")
    found: dict[str, dict[str, float]] = {}
    for name, rows in frame[keep & frame.measured_value.notna()].groupby("gpu"):
        try:
            accelerator = load_accelerator(str(name))
        except (UnknownNameError, SpecError):
            continue
        table = _shapes(rows)
        if len(table) >= FEWEST and accelerator.sm_count:
            found[str(accelerator.id)] = _fit(table, calibrations.device_of(accelerator, precision=PRECISION))
    return found


def fill_by_architecture(path: str | Path) -> dict[str, float]:
    """Median fill of the measured accelerators of each architecture. [-]"""
    from simulator.schema import load_accelerator

    fills: dict[str, list[float]] = {}
    for name, constants in fit_gemms(path).items():
        fills.setdefault(str(load_accelerator(name).architecture), []).append(constants["tile_fill"])
    return {name: float(np.median(values)) for name, values in fills.items()}


def _shapes(rows: pd.DataFrame) -> np.ndarray:
    """Columns m, n, k and seconds of rows that print one shape each; single records and shapes searched for are left out."""
    table = []
    for text, rate in zip(rows.shape_or_size, rows.measured_value, strict=True):
        sizes = [float(value) for value in re.findall(r"[mnk]=(\d+)", str(text))]
        if len(sizes) == 3 and rate > 0:
            table.append([*sizes, 2.0 * np.prod(sizes) / (rate * 1e12)])
    return np.array(table).reshape(-1, 4)


def _fit(table: np.ndarray, device: Any) -> dict[str, float]:
    from scipy.optimize import least_squares

    m, n, k, seconds = table.T

    def error(x: np.ndarray) -> np.ndarray:
        efficiency, memory_efficiency, fill = np.exp(x)
        rate = copies.operand_bandwidth(peak_flops=device.peak_flops) * efficiency
        tile = copies.quantized_tile_bytes(m=m, n=n, k=k, sm_count=device.sm_count, fill=fill) / rate
        memory = copies.matmul_memory_bytes(m=m, n=n, k=k) / (device.memory_bandwidth * memory_efficiency)
        return np.asarray(np.log(np.maximum(tile, memory) / seconds))

    solution = least_squares(error, np.log([0.8, 0.8, 200.0]), loss="soft_l1", f_scale=0.05)
    efficiency, memory_efficiency, fill = np.exp(solution.x)
    return {
        "tile_efficiency": float(efficiency),
        "hbm_efficiency": float(memory_efficiency),
        "tile_fill": float(fill),
        "rows": float(len(table)),
        "median_error": float(np.median(np.abs(np.expm1(error(solution.x))))),
    }
