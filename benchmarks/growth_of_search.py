"""Time and memory of the planner's inner loop from 10^4 to 10^8 plans: ``python benchmarks/growth_of_search.py``.

Plans are streamed through divisibility, memory and the clock in chunks, on processes; each part keeps its fastest plan and its counts,
nothing else. Prints a table in Markdown: wall and processor time, plans per second of processor time (other work on the machine does
not count), and the largest resident memory of any process and of all together.
"""

from __future__ import annotations

import argparse
import itertools
import math
import multiprocessing
import os
import resource
import sys
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from simulator import calibrations, clocks
from simulator.schema import load_accelerator
from simulator.search import evaluate, lattice, shapes
from simulator.search.evaluate import Counts, Setting
from simulator.search.lattice import Axes, Pins

N_GPUS = tuple(2**i for i in range(14, 5, -1))
"""Accelerators; nine lattices of 15 million plans each. [-]"""

PART = 400_000
"""Plans that a process is handed at a time. [-]"""

LINKED = 8
"""Accelerators of a node. [-]"""


@dataclass(frozen=True)
class Part:
    """Some shapes in every layout of one number of accelerators."""

    n_gpus: int
    start: int
    stop: int


@dataclass(frozen=True)
class Outcome:
    """What is kept of a part."""

    plans: int
    feasible: int
    step_time_s: float
    process: int
    peak_bytes: int


@cache
def setting() -> Setting:
    accelerator = load_accelerator("h100-sxm-80gb")
    constants, _ = calibrations.constants_of(accelerator)
    return Setting(calibrations.device_of(accelerator), constants, clocks.CLOCKS["memory_copies"])


@cache
def axes(n_gpus: int) -> Axes:
    batches = [float(n_gpus * 2**i) for i in range(4)]
    return lattice.layout_axes(
        n_gpus=n_gpus,
        link_domain=LINKED,
        shape=shapes.candidates(),
        seq_length=4096,
        batches=batches,
        pins=Pins(),
    )


def parts(plans: int) -> Iterator[Part]:
    """Parts that hold a number of plans or a little more, made one by one."""
    number = lattice.count(shapes.candidates())
    left = plans
    for n_gpus in N_GPUS:
        layouts = axes(n_gpus).layouts
        step = max(1, PART // layouts)
        for start in range(0, number, step):
            if left <= 0:
                return
            stop = min(start + step, number, start + math.ceil(left / layouts))
            left -= (stop - start) * layouts
            yield Part(n_gpus, start, stop)
    if left > 0:
        raise SystemExit(f"the lattices hold {plans - left} plans, not {plans}")


def work(part: Part) -> Outcome:
    counts = Counts()
    some = lattice.take(shapes.candidates(), slice(part.start, part.stop))
    found = evaluate.fastest(some, axes(part.n_gpus), setting(), counts)
    least = float(np.min(found.step_time_s))
    return Outcome(counts.considered, counts.feasible, least, os.getpid(), peak_bytes())


def peak_bytes() -> int:
    """Largest resident memory that this process ever had. [B]"""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def cpu_s() -> float:
    """Processor time of this process and of those that it ended. [s]"""
    own, gone = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + gone.ru_utime + gone.ru_stime


def stream(plans: int, workers: int) -> Iterator[Outcome]:
    """Outcomes as they come, two parts per process ahead."""
    if workers == 1:
        yield from map(work, parts(plans))
        return
    todo = parts(plans)
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        running: set[Future[Outcome]] = set()
        while True:
            running |= {
                pool.submit(work, part) for part in itertools.islice(todo, 2 * workers - len(running))
            }
            if not running:
                return
            done, running = wait(running, return_when=FIRST_COMPLETED)
            yield from (future.result() for future in done)


def measure(plans: int, workers: int) -> dict[str, Any]:
    """One line of the table."""
    peaks: dict[int, int] = {}
    seen = feasible = 0
    wall, cpu = time.perf_counter(), cpu_s()
    for one in stream(plans, workers):
        seen, feasible = seen + one.plans, feasible + one.feasible
        peaks[one.process] = max(peaks.get(one.process, 0), one.peak_bytes)
    peaks[os.getpid()] = peak_bytes()
    wall, cpu = time.perf_counter() - wall, cpu_s() - cpu
    return {
        "plans": seen,
        "feasible": feasible,
        "wall_s": wall,
        "cpu_s": cpu,
        "per_cpu_s": seen / cpu,
        "peak_mb": max(peaks.values()) / 1e6,
        "all_mb": sum(peaks.values()) / 1e6,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--plans", type=float, nargs="*", default=[1e4, 1e5, 1e6, 1e7, 1e8])
    options = parser.parse_args()
    heads = ("plans", "can run", "wall", "processor time", "plans per processor second", "largest process", "all processes")  # fmt: skip
    print("| " + " | ".join(heads) + " |\n|" + "---:|" * len(heads))
    for plans in options.plans:
        row = measure(int(plans), options.workers)
        cells = (
            f"{row['plans']:,}",
            f"{row['feasible']:,}",
            f"{row['wall_s']:.1f} s",
            f"{row['cpu_s']:.1f} s",
            f"{row['per_cpu_s']:,.0f}",
            f"{row['peak_mb']:.0f} MB",
            f"{row['all_mb']:.0f} MB",
        )
        print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
