"""How long a piece of work takes: repeat until the median is sure, and report it with its quantiles.

A sampler runs the work some number of times and says how long one run took. Three are known: the wall clock, the
processor time of this process (for a machine that others use too), and CUDA events on the device.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Work = Callable[[], object]
Sampler = Callable[[Work, int], float]
"""Runs the work a number of times, in one go, and returns the seconds of one run."""

NOTCH = 1.57
"""Interquartile ranges over the root of the sample size that make half of a 95 % notch about a median (McGill, Tukey
and Larsen, "Variations of box plots", The American Statistician 32(1), 1978). [-]"""

SURE = 0.01
"""Half-width of the notch over the median at which repeating stops. [-]"""

SAMPLE_S = 0.01
"""Shortest sample: shorter work is repeated within it, far above the resolution of every sampler. [s]"""

LEAST, MOST = 5, 200
"""Samples taken at least and at most. [-]"""


@dataclass(frozen=True)
class Timing:
    """Seconds of one run of the work, over repeated samples."""

    median_s: float
    p10_s: float
    p90_s: float
    samples: int
    """Samples taken. [-]"""
    calls: int
    """Runs within one sample. [-]"""

    @property
    def sentence(self) -> str:
        """One line for the notes of a table."""
        return (
            f"median of {self.samples} samples of {self.calls}; "
            f"p10 {self.p10_s:.4g} s, p90 {self.p90_s:.4g} s"
        )


def uncertainty(samples: Sequence[float]) -> float:
    """Half-width of the 95 % notch about the median, over the median. [-]

    Examples
    --------
    >>> uncertainty([1.0] * 9)
    0.0
    >>> round(uncertainty([0.9, 1.0, 1.1, 1.0]), 3)
    0.039
    """
    low, median, high = np.quantile(samples, (0.25, 0.5, 0.75))
    return float(NOTCH * (high - low) / math.sqrt(len(samples)) / median)


def time_work(
    work: Work,
    sampler: Sampler,
    *,
    budget_s: float,
    sure: float = SURE,
    least: int = LEAST,
    most: int = MOST,
    sample_s: float = SAMPLE_S,
    now: Callable[[], float] = time.monotonic,
) -> Timing:
    """Time work until its median is sure, or the budget is spent.

    Parameters
    ----------
    work : callable
        What is timed.
    sampler : callable
        How it is timed.
    budget_s : float
        Time after which no further sample starts, once `least` are there. Warm-up counts. [s]
    sure : float, optional
        Uncertainty of the median at which to stop. [-]
    least, most : int, optional
        Bounds on the number of samples. [-]
    sample_s : float, optional
        Shortest sample. [s]
    now : callable, optional
        Clock of the budget. [s]

    Notes
    -----
    The work runs twice before anything is kept: the first run pays for memory, code and plans that later runs reuse, the
    second sizes a sample. The median is not moved by the few samples that another program disturbs; the mean would be.
    """
    start = now()
    sampler(work, 1)
    calls = max(1, math.ceil(sample_s / max(sampler(work, 1), 1e-9)))
    samples: list[float] = []
    while len(samples) < most:
        samples.append(sampler(work, calls))
        if len(samples) >= least and (uncertainty(samples) <= sure or now() - start >= budget_s):
            break
    low, median, high = np.quantile(samples, (0.1, 0.5, 0.9))
    return Timing(float(median), float(low), float(high), len(samples), calls)


def wall(work: Work, calls: int) -> float:
    """Wall time of one run on this processor. [s]"""
    start = time.perf_counter()
    for _ in range(calls):
        work()
    return (time.perf_counter() - start) / calls


def process(work: Work, calls: int) -> float:
    """Processor time of one run, of all threads together: right for one thread on a machine that others use too. [s]"""
    start = time.process_time()
    for _ in range(calls):
        work()
    return (time.process_time() - start) / calls


def cuda_events(torch: Any) -> Sampler:
    """Sampler of a CUDA device: time between two events on its stream. [s]

    The device is idle before the first event, and the host waits for the last one, so that neither work issued before nor
    work still under way is counted. Several runs are issued between the events: what the host cannot issue in time is part
    of the step, as in training.
    """

    def sample(work: Work, calls: int) -> float:
        first = torch.cuda.Event(enable_timing=True)
        last = torch.cuda.Event(enable_timing=True)
        torch.cuda.synchronize()
        first.record()
        for _ in range(calls):
            work()
        last.record()
        last.synchronize()
        return float(first.elapsed_time(last)) * 1e-3 / calls

    return sample
