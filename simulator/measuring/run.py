"""The measuring itself: what of a plan is missing in the tables is measured and appended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simulator.measuring import tables
from simulator.measuring.bench import Bench, TooLargeError
from simulator.measuring.machine import Machine
from simulator.measuring.plan import Micro, Plan, Step
from simulator.measuring.timing import time_work

STEP_WEIGHT = 4.0
"""Time that a training step is given, relative to an operation. [-]"""


@dataclass(frozen=True)
class Done:
    """One finished item."""

    number: int
    total: int
    name: str
    text: str
    """Value with its unit, or why there is none."""
    kept: bool = False
    """True if an earlier run measured it."""


def name_of(item: Micro | Step) -> str:
    """What a person calls an item."""
    return item.id if isinstance(item, Step) else f"{item.op} {item.text} {item.dtype}"


def measure(
    plan: Plan,
    machine: Machine,
    bench: Bench,
    folder: Path,
    *,
    rounds: int,
    budget_s: float,
    tell: Callable[[Done], None],
) -> list[str]:
    """Measure what is missing and append it to ``micro.csv`` and ``steps.csv``.

    Parameters
    ----------
    plan : Plan
        Everything that is wanted.
    machine : Machine
        Whose measurements these are.
    bench : Bench
        How they are taken.
    folder : Path
        Where the tables live.
    rounds : int
        Rows wanted of every item. [-]
    budget_s : float
        Time that is shared out among the missing items; each takes its five samples even if its share is over. [s]
    tell : callable
        Receives progress.

    Returns
    -------
    list of str
        Items that do not fit into the memory of the device.
    """
    micro = tables.Table(folder / "micro.csv", tables.MICRO_COLUMNS)
    steps = tables.Table(folder / "steps.csv", tables.STEP_COLUMNS)
    have = Counter(tables.micro_key_of(row) for row in micro.rows())
    have += Counter((row["config_group"],) for row in steps.rows())
    items: list[Micro | Step] = [*plan.micro, *plan.steps]
    missing = [
        (item, number) for number in range(1, rounds + 1) for item in items if number > have[key_of(item)]
    ]
    total, left_out, start = rounds * len(items), [], bench.now()
    if len(missing) < total:
        tell(Done(total - len(missing), total, "measured before", "kept", kept=True))
    for done, (item, number) in enumerate(missing):
        at = total - len(missing) + done + 1
        if name_of(item) in left_out:
            continue
        left = max(budget_s - (bench.now() - start), 0.0)
        share = left * _weight(item) / sum(_weight(each) for each, _ in missing[done:])
        try:
            row = _one(item, number, machine, bench, share)
        except TooLargeError:
            left_out.append(name_of(item))
            tell(Done(at, total, name_of(item), "does not fit, left out"))
            continue
        (steps if isinstance(item, Step) else micro).append(row)
        tell(Done(at, total, name_of(item), f"{row['measured_value']:.4g} {unit_of(row)}"))
    return left_out


def key_of(item: Micro | Step) -> tuple[str, ...]:
    """What names an item in its table."""
    return (item.id,) if isinstance(item, Step) else tables.micro_key(item)


def unit_of(row: dict[str, Any]) -> str:
    """Unit of the value of a row."""
    return str(row.get("unit", "s"))


def _weight(item: Micro | Step) -> float:
    return STEP_WEIGHT if isinstance(item, Step) else 1.0


def _one(item: Micro | Step, number: int, machine: Machine, bench: Bench, share_s: float) -> dict[str, Any]:
    """Prepare, time and clear away one item."""
    bench.clear()
    work = bench.prepare(item)
    try:
        timing = time_work(work, bench.sample, budget_s=share_s, now=bench.now)
    finally:
        del work
        bench.clear()
    if isinstance(item, Step):
        return tables.step_row(item, timing, machine, number)
    return tables.micro_row(item, timing, machine)
