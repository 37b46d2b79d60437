"""What measured collectives say of links: the share of their bandwidth, and the time to fill a pipeline of chunks.

    t = (sqrt(fill) + sqrt(bytes on the wire / (link bandwidth x efficiency)))^2

(`collectives.filled_time`) is fitted to the collectives inside a node of ``measurements/micro.csv``, for each accelerator
with a link of its own. With a latency per ring step instead of the fill, the median error is about twice as large: the
start-up hardly depends on the number of ranks. The medians over accelerators are the centre of the fabric's constants in the
fit to training steps, where they can hardly be told from what software adds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from simulator import calibrations, collectives
from simulator.errors import SpecError, UnknownNameError
from simulator.traffic import link_bandwidth
from simulator.validate.cases import read_frame
from simulator.validate.kernels import COLUMNS, WIRE, message_bytes

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from simulator.device import Device

FEWEST = 30
"""Collectives that an accelerator needs for a fit. [-]"""

SMALLEST = 1e6
"""Messages below are not those of training steps. [B]"""

OPERATIONS = ("allreduce", "allgather", "reducescatter")
"""Collectives that run as rings."""


def fit_links(path: str | Path) -> dict[str, dict[str, float]]:
    """Efficiency of links and time to fill them, by accelerator id.

    Returns
    -------
    dict
        For each accelerator with a link and enough collectives: ``link_efficiency`` [-], ``link_fill_s`` [s], ``rows``
        and ``median_error`` of the fitted times. [-]
    """
    from simulator.schema import load_accelerator

    frame = read_frame(path, required=COLUMNS)
    frame = frame.assign(nbytes=[message_bytes(str(text)) for text in frame.shape_or_size])
    keep = frame.op.isin(OPERATIONS) & (frame.unit == "GB/s busbw") & (frame.nbytes >= SMALLEST)
    found: dict[str, dict[str, float]] = {}
    for name, rows in frame[keep & (frame.n_gpus > 1) & (frame.n_gpus <= 8)].groupby("gpu"):
        try:
            accelerator = load_accelerator(str(name))
        except (UnknownNameError, SpecError):
            continue
        if accelerator.link and len(rows) >= FEWEST:
            found[str(accelerator.id)] = _fit(rows, calibrations.device_of(accelerator))
    return found


def centre(path: str | Path) -> dict[str, float]:
    """Medians over accelerators: ``link_efficiency`` [-] and ``link_fill_s`` [s]; empty without measurements."""
    every = fit_links(path).values()
    names = ("link_efficiency", "link_fill_s") if every else ()
    return {name: float(np.median([each[name] for each in every])) for name in names}


def _fit(rows: pd.DataFrame, device: Device) -> dict[str, float]:
    from scipy.optimize import least_squares

    ranks = rows.n_gpus.to_numpy(dtype=float)
    factor = rows.op.map(WIRE).to_numpy(dtype=float)
    wire = rows.nbytes.to_numpy(dtype=float) * factor * (ranks - 1.0) / ranks
    bandwidth = link_bandwidth(device, local=ranks)
    seconds = wire / (rows.measured_value.to_numpy(dtype=float) * 1e9)

    def error(x: np.ndarray) -> np.ndarray:
        efficiency, fill = np.exp(x)
        time = collectives.collective_time(
            wire_bytes=wire, local=ranks, nodes=1.0, link_bandwidth=bandwidth * efficiency, network_bandwidth=1.0,
            link_latency_s=0.0, network_latency_s=0.0, steps=0.0, link_fill_s=fill,
        )  # fmt: skip
        return np.asarray(np.log(time / seconds))

    solution = least_squares(error, np.log([0.8, 8e-6]), loss="soft_l1", f_scale=0.1)
    efficiency, fill = np.exp(solution.x)
    return {
        "link_efficiency": float(efficiency),
        "link_fill_s": float(fill),
        "rows": float(len(rows)),
        "median_error": float(np.median(np.abs(np.expm1(error(solution.x))))),
    }
