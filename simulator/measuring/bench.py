"""The bench: how work of a plan is prepared, timed and cleared away on one machine."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from simulator.errors import Problem, SpecError
from simulator.measuring import machine as machines
from simulator.measuring import steps, timing
from simulator.measuring.machine import Machine
from simulator.measuring.operations import OPERATIONS
from simulator.measuring.plan import Micro, Step, micro
from simulator.measuring.timing import Sampler, Work

TIMERS = ("wall", "process")
"""Ways of timing on a processor."""

WAKE_S = 2.0
"""Work before the first measurement, so that clocks have left their idle state. [s]"""


class TooLargeError(Exception):
    """Work that does not fit into the memory of the device."""


@dataclass(frozen=True)
class Bench:
    """What measuring needs of a machine; a test brings its own."""

    prepare: Callable[[Micro | Step], Work]
    """From an item of the plan to the work that is timed. Raises `TooLargeError`."""
    sample: Sampler
    """How work is timed."""
    clear: Callable[[], None]
    """Gives memory back between items."""
    state: Callable[[], dict[str, str]]
    """Clocks and power under load, where they are known."""
    now: Callable[[], float] = time.monotonic
    """Clock of the budget. [s]"""


def bench(torch: Any, machine: Machine, timer: str = "wall") -> Bench:
    """The bench of a machine.

    Raises
    ------
    SpecError
        If the timer cannot time this machine.
    """
    if timer == "process" and machine.kind == "cpu" and machine.threads > 1:
        reason = f"process time counts {machine.threads} threads together"
        raise SpecError(Problem(reason, file="--timer process", hint="add --threads 1, or --timer wall"))
    if timer == "process" and machine.kind != "cpu":
        raise SpecError(Problem("a GPU is timed by its events", file="--timer process", hint="leave it out"))
    cuda = machine.kind == "cuda"
    if cuda:
        torch.cuda.set_device(machine.device)
    sample = timing.cuda_events(torch) if cuda else getattr(timing, timer)

    def prepare(item: Micro | Step) -> Work:
        try:
            if isinstance(item, Step):
                work = steps.training_step(torch, machine.device, item, machine.precision)
            else:
                work = OPERATIONS[item.op].prepare(torch, machine.device, item)
            work()
        except (torch.OutOfMemoryError, MemoryError):
            raise TooLargeError from None
        return work

    def clear() -> None:
        gc.collect()
        if cuda:
            torch.cuda.empty_cache()

    def state() -> dict[str, str]:
        return under_load(torch, machine, prepare) if cuda else {}

    return Bench(prepare=prepare, sample=sample, clear=clear, state=state)


def under_load(torch: Any, machine: Machine, prepare: Callable[[Micro], Work]) -> dict[str, str]:
    """Clocks and power while large matrix products run: an idle device tells nothing about its clocks."""
    work = prepare(micro("gemm", machine.precision, m=8192, n=8192, k=8192))
    torch.cuda.synchronize()
    start, done = time.monotonic(), 0
    while time.monotonic() - start < WAKE_S:
        work()
        torch.cuda.synchronize()
        done += 1
    for _ in range(min(done, 500)):  # issued ahead: the device works while the driver is asked
        work()
    uuid = str(getattr(torch.cuda.get_device_properties(machine.device), "uuid", ""))
    found = machines.driver_state(uuid)
    torch.cuda.synchronize()
    return found
