"""``trainsim measure`` from end to end: describe, measure, write the accelerator, calibrate, predict what was held out."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simulator.measuring import accelerator, fitting, run, tables
from simulator.measuring.bench import Bench
from simulator.measuring.fitting import Calibrated
from simulator.measuring.machine import Machine
from simulator.measuring.plan import Plan
from simulator.measuring.run import Done


@dataclass(frozen=True)
class Measured:
    """A finished set of measurements."""

    folder: Path
    about: dict[str, Any]
    """Machine, command, date, timer and plan as they were when the set was started."""
    micro: list[dict[str, str]]
    """Rows of ``micro.csv``."""
    left_out: list[str]
    """Items that did not fit into memory."""
    calibrated: Calibrated
    files: list[Path]


def measure(
    machine: Machine,
    bench: Bench,
    plan: Plan,
    folder: Path,
    *,
    timer: str,
    tier: str,
    rounds: int,
    budget_s: float,
    command: str,
    tell: Callable[[Done], None],
    today: datetime.date | None = None,
) -> Measured:
    """Measure a machine into a folder; see `run.measure` for the parameters.

    Raises
    ------
    SpecError
        If the folder holds another machine's measurements, or cannot be written to.
    """
    day = (today or datetime.datetime.now(tz=datetime.UTC).date()).isoformat()
    about = tables.open_folder(
        folder, machine, {"command": command, "date": day, "timer": timer, "plan": tier, "rounds": rounds}
    )
    state = bench.state()
    if state:
        tables.add_state(folder, about, state)
    left_out = run.measure(plan, machine, bench, folder, rounds=rounds, budget_s=budget_s, tell=tell)
    return _finish(folder, machine, about, left_out)


def finished(folder: Path) -> Measured:
    """A set of measurements that is there: fitted again, nothing measured, without PyTorch.

    Raises
    ------
    SpecError
        If the folder holds no such set.
    """
    about = tables.read_about(folder / "about.json")
    return _finish(folder, Machine(**about["machine"]), about, [])


def _finish(folder: Path, machine: Machine, about: dict[str, Any], left_out: list[str]) -> Measured:
    """Write the accelerator and its calibration, and predict."""
    rows = tables.Table(folder / "micro.csv", tables.MICRO_COLUMNS).rows()
    date = str(about["date"])
    files = [folder / "micro.csv", folder / "steps.csv"]
    files.append(accelerator.write(folder, accelerator.document(machine, rows, date)))
    found = fitting.calibrate(folder, machine.id, machine.precision)
    files += fitting.write_sets(found, folder, command=str(about["command"]), data="steps.csv", date=date)
    return Measured(folder, about, rows, left_out, found, files)
