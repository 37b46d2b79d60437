"""A sweep from start to end: what is there already, what is left, and the table at the end."""

from __future__ import annotations

import itertools
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from simulator import documents
from simulator.assembly import version
from simulator.errors import SimulatorError
from simulator.result import plain
from simulator.schema import Scenario
from simulator.schema.load import open_scenario
from simulator.sweeping import store
from simulator.sweeping.answers import Chunk, answer
from simulator.sweeping.points import Axis, Grid, axes_of, check
from simulator.sweeping.store import Store

POINTS = 16
"""Points per chunk: lost at most when a worker is killed, and answered in a second or a few. [-]"""

WAITING = 256
"""Chunks handed to an executor at a time, so that a sweep of any size needs bounded memory. [-]"""


@dataclass(frozen=True)
class Progress:
    """How far a sweep is."""

    done: int
    """Points that are answered. [-]"""
    kept: int
    """Points of `done` that an earlier run had answered. [-]"""
    total: int
    """Points. [-]"""
    elapsed_s: float
    """Time since the start. [s]"""

    @property
    def rate(self) -> float:
        """Points answered in a second of this run. [1/s]"""
        return (self.done - self.kept) / self.elapsed_s if self.elapsed_s > 0 else 0.0

    @property
    def left_s(self) -> float | None:
        """Time to the end at this rate; ``None`` before the first answer. [s]"""
        if self.done >= self.total:
            return 0.0
        return (self.total - self.done) / self.rate if self.rate > 0 else None


@dataclass(frozen=True)
class Sweep:
    """A finished sweep."""

    folder: Path
    points: int
    """Rows of the table. [-]"""
    infeasible: int
    """Rows whose plan does not run. [-]"""
    kept: int
    """Points that an earlier run had answered. [-]"""
    files: tuple[Path, ...]
    """The table, first as CSV."""

    @property
    def frame(self) -> Any:
        """The table as a `pandas.DataFrame`."""
        import pandas as pd

        return pd.read_csv(self.files[0], low_memory=False)

    def plot(self, figure: str = "cost_usd", ax: Any = None) -> Any:
        """Draw a figure over the first field that varies, a line for every combination of the others.

        Parameters
        ----------
        figure : str, optional
            A column of the table.
        ax : matplotlib.axes.Axes, optional
            Where to draw; a new figure if absent.
        """
        from simulator.report.plots import sweep_lines

        return sweep_lines(self.frame, figure=figure, ax=ax)

    def _repr_html_(self) -> str:
        """Head of the table for notebooks: what varies, and the figures that matter."""
        from simulator.report.html import sweep

        return sweep(self.frame, repr(self))

    def __repr__(self) -> str:
        return f"Sweep({self.points} points, {self.infeasible} infeasible, {self.files[0]})"


def sweep(
    source: str | Path | Mapping[str, Any] | Scenario,
    vary: Mapping[str, Sequence[Any]] | Sequence[Axis],
    *,
    out: str | Path,
    zipped: bool = False,
    set: Sequence[str] = (),  # noqa: A002 - named as on the command line
    scenario: str | None = None,
    executor: Executor | None = None,
    workers: int = 1,
    chunk_points: int = POINTS,
    tell: Callable[[Progress], None] = lambda progress: None,
) -> Sweep:
    """Answer a scenario at every point of a grid.

    Finished chunks are kept in `out` under the hash of what they answer, so that a sweep that was interrupted or killed
    goes on where it stopped when it is called again, and ends in the same table to the byte.

    Parameters
    ----------
    source : str, Path, mapping or Scenario
        A file, the id of a shipped scenario, its fields, or a scenario already loaded.
    vary : mapping, or sequence of Axis
        Dotted field to the values that it takes, as in a file: ``{"hardware.n_gpus": [8, 16]}``.
    out : str or Path
        Folder of the results; it is made.
    zipped : bool, optional
        Take the values of all fields side by side, not their product.
    set, scenario
        As for `run`.
    executor : concurrent.futures.Executor, optional
        Where chunks are answered: threads, processes, ``distributed.Client.get_executor()``. This process if absent.
    workers : int, optional
        Processes to start where no executor is given. [-]
    chunk_points : int, optional
        Points per chunk. Another number starts afresh. [-]
    tell : callable, optional
        Called with a `Progress` after every chunk.

    Returns
    -------
    Sweep
        Its ``frame`` is the table: a row per point, with ``feasible``, ``reason`` and the figures of the answer.

    Raises
    ------
    SpecError
        If the scenario is wrong, or a value can be used at no point.
    SimulatorError
        If a worker ended unexpectedly; what is finished is kept.

    Examples
    --------
    >>> import tempfile
    >>> question = {"model": {"num_hidden_layers": 24, "hidden_size": 2048, "num_attention_heads": 16},
    ...             "hardware": {"accelerator": "a100-sxm-80gb", "n_gpus": 8}, "training": {"tokens": "20B"}}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     found = sweep(question, {"hardware.n_gpus": [8, 16]}, out=folder)
    ...     list(found.frame["n_gpus"])
    [8, 16]
    """
    document, folder = open_scenario(source)
    if scenario is not None:
        document = documents.choose_scenario(document, scenario)
    document = documents.apply_settings(document, set)
    grid = Grid(axes_of(vary), zipped)
    specs = [
        [store.digest(one.model_dump(mode="json")) for one in column]
        for column in check(document, folder, grid)
    ]
    base = Chunk(
        document.data, None if folder is None else str(folder), tuple(a.path for a in grid.axes), 0, ()
    )
    kept = Store(Path(out))
    job = _Job(base, grid, specs, kept, max(1, chunk_points))
    if executor is None and workers > 1:
        with pool(workers) as own:
            return job.run(own, tell)
    return job.run(executor, tell)


def _text(value: Any) -> str:
    return json.dumps(plain(value), sort_keys=True)


def pool(workers: int) -> ProcessPoolExecutor:
    """Processes that end when this one does, however it ends.

    They are born deaf to Ctrl-C, which this process answers for all: one that is interrupted while it imports would print
    a traceback.
    """
    import multiprocessing

    executor = ProcessPoolExecutor(
        workers, mp_context=multiprocessing.get_context("spawn"), initializer=_end_with_parent
    )
    if threading.current_thread() is not threading.main_thread():
        return executor
    heard = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        for _ in range(workers):
            executor.submit(int)  # a process is started for each task that finds none idle
    finally:
        signal.signal(signal.SIGINT, heard)
    return executor


def _end_with_parent() -> None:
    """Leave with the parent process: a killed sweep must not go on computing beside the one that resumes it."""
    import multiprocessing
    from multiprocessing.connection import wait as ready

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    sentinel = parent.sentinel

    def watch() -> None:
        ready([sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


class _Job:
    """One sweep: its chunks, their keys, and what is done."""

    def __init__(
        self, base: Chunk, grid: Grid, specs: list[list[str]], kept: Store, chunk_points: int
    ) -> None:
        self.base, self.grid, self.specs, self.store, self.size = base, grid, specs, kept, chunk_points
        common = {"data": base.data, "paths": base.paths, "version": version(), "format": store.FORMAT}
        self.common = store.digest({**plain(common), "tables": store.tables_digest()})
        self.place = [{_text(value): i for i, value in enumerate(axis.values)} for axis in grid.axes]

    def chunks(self, starts: Iterable[int]) -> Iterator[tuple[str, Chunk]]:
        """Chunks by the number of their first point, each with its key."""
        for start in starts:
            points = tuple(self.grid.points(start, start + self.size))
            chunk = replace(self.base, start=start, points=points)
            yield self._key(chunk), chunk

    def _key(self, chunk: Chunk) -> str:
        """Hash of the scenario, of all that its names stand for in this chunk, of the program and of the points."""
        specs = [
            [self.specs[axis][self.place[axis][_text(value)]] for axis, value in enumerate(point)]
            for point in chunk.points
        ]
        return store.digest([self.common, chunk.start, plain(chunk.points), specs])

    def run(self, executor: Executor | None, tell: Callable[[Progress], None]) -> Sweep:
        """Answer what is left, then write the table."""
        start, total = time.monotonic(), len(self.grid)
        keys, left, kept = [], [], 0
        for key, chunk in self.chunks(range(0, total, self.size)):
            keys.append(key)
            if self.store.get(key) is None:
                left.append(chunk.start)
            else:
                kept += len(chunk.points)
        done = kept
        tell(Progress(done, kept, total, 0.0))
        for key, rows in self._answers(left, executor):
            self.store.put(key, rows)
            done += len(rows)
            tell(Progress(done, kept, total, time.monotonic() - start))
        return self._finish(keys, kept)

    def _answers(
        self, left: list[int], executor: Executor | None
    ) -> Iterator[tuple[str, list[dict[str, Any]]]]:
        """Answered chunks as they come, at most `WAITING` ahead."""
        wanted = self.chunks(left)
        if executor is None:
            yield from ((key, answer(chunk)) for key, chunk in wanted)
            return
        running: dict[Future[list[dict[str, Any]]], str] = {}
        try:
            while True:
                for key, chunk in itertools.islice(wanted, WAITING - len(running)):
                    running[executor.submit(answer, chunk)] = key
                if not running:
                    return
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    yield running.pop(future), _rows(future)
        finally:
            for future in running:
                future.cancel()

    def _finish(self, keys: list[str], kept: int) -> Sweep:
        infeasible = 0

        def rows() -> Iterator[dict[str, Any]]:
            nonlocal infeasible
            infeasible = 0
            for key in keys:
                for row in self.store.get(key) or _gone(self.store.path(key)):
                    infeasible += not row["feasible"]
                    yield row

        table = self.store.folder / "results.csv"
        store.write_csv(table, rows)
        about = {
            "version": version(),
            "scenario": plain(self.base.data),
            "vary": [{"path": a.path, "values": plain(a.values)} for a in self.grid.axes],
            "zip": self.grid.zipped,
            "points": len(self.grid),
            "infeasible": infeasible,
            "chunks": keys,
        }
        record = self.store.folder / "sweep.json"
        store.write_text(record, json.dumps(about, indent=2, ensure_ascii=False, default=str) + "\n")
        files = (table, *store.write_database(table), record)
        self.store.tidy()
        return Sweep(self.store.folder, len(self.grid), infeasible, kept, files)


def _rows(future: Future[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    try:
        return future.result()
    except Exception as error:
        # distributed names it KilledWorker; it is not imported for that.
        if not isinstance(error, BrokenExecutor) and type(error).__name__ != "KilledWorker":
            raise
        raise SimulatorError(
            "a worker ended unexpectedly (out of memory?); what is finished is kept, the same command goes on from there"
        ) from None


def _gone(path: Path) -> list[dict[str, Any]]:
    raise SimulatorError(f"{path}: gone or damaged while the sweep ran; the same command answers it again")
