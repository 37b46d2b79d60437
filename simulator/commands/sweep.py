"""``trainsim sweep``: answer a scenario over a grid of values."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from simulator.commands.completion import scenarios, settings, variants

if TYPE_CHECKING:
    from simulator.sweeping import Axis, Progress, Sweep

EVERY_S = {True: 0.2, False: 10.0}
"""Time between two lines of progress, on a terminal and elsewhere. [s]"""


@click.command("sweep")
@click.argument("file", shell_complete=scenarios)
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder of the results.")
@click.option(
    "--vary",
    "varied",
    multiple=True,
    required=True,
    metavar="PATH=V1,V2,...",
    shell_complete=settings,
    help="A field and its values, such as hardware.n_gpus=8,16,32.",
)
@click.option("--zip", "zipped", is_flag=True, help="Take the values side by side, not every combination.")
@click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="PATH=VALUE",
    shell_complete=settings,
    help="Change a field of the scenario.",
)
@click.option(
    "--scenario", "variant", metavar="NAME", shell_complete=variants, help="A variant that the file declares."
)
@click.option("--workers", type=click.IntRange(1, 1024), help="Processes on this machine. [default: 1]")
@click.option("--scheduler", metavar="ADDRESS", help="A dask.distributed scheduler, such as tcp://host:8786.")
@click.option(
    "--chunk", default=16, show_default=True, type=click.IntRange(1, 100_000), help="Points per chunk."
)
@click.option("--quiet", is_flag=True, help="No progress on stderr.")
def command(
    file: str,
    out: Path,
    varied: tuple[str, ...],
    zipped: bool,
    changes: tuple[str, ...],
    variant: str | None,
    workers: int | None,
    scheduler: str | None,
    chunk: int,
    quiet: bool,
) -> None:
    """Answer the scenario FILE at every combination of values, into OUT/results.csv.

    Interrupted or killed, the same command goes on where it stopped. A point at which nothing runs is a row with its
    reason. With the extra `store` also Parquet and DuckDB.
    """
    from simulator.sweeping.points import axes_of_texts

    if workers is not None and scheduler is not None:
        raise click.UsageError("--workers and --scheduler cannot be given together")
    axes = axes_of_texts(varied)
    tell: Callable[[Progress], None] = (lambda progress: None) if quiet else _Line()
    how: dict[str, Any] = {"out": out, "zipped": zipped, "set": changes, "scenario": variant}
    how |= {"chunk_points": chunk, "tell": tell}
    try:
        found = _sweep(file, axes, scheduler, workers or 1, how)
    except KeyboardInterrupt:
        click.echo(f"\nwhat is finished is kept in {out}; the same command goes on from there", err=True)
        raise
    click.echo(
        f"{found.points} points, {found.infeasible} infeasible, {found.kept} from an earlier run", err=True
    )
    for path in found.files:
        click.echo(str(path))


def _sweep(file: str, axes: list[Axis], scheduler: str | None, workers: int, how: dict[str, Any]) -> Sweep:
    """Answer here, in processes, or on a cluster."""
    from simulator.errors import Problem, SpecError
    from simulator.sweeping import sweep

    if scheduler is None:
        return sweep(file, axes, workers=workers, **how)
    client = _client(scheduler)
    try:
        return sweep(file, axes, executor=client.get_executor(pure=False), **how)
    except TimeoutError:
        problem = Problem("the scheduler does not answer", file=f"--scheduler {scheduler}")
        raise SpecError(problem) from None
    finally:
        client.close()


def _client(address: str) -> Any:
    """A client of a dask.distributed scheduler."""
    from simulator.errors import Problem, SpecError

    try:
        from distributed import Client
    except ImportError:
        hint = "pip install 'trainsim[cluster]'"
        raise SpecError(Problem("dask.distributed is not installed", file="--scheduler", hint=hint)) from None
    try:
        return Client(address, timeout=10)
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise SpecError(Problem(f"no scheduler answers: {reason}", file=f"--scheduler {address}")) from None


class _Line:
    """Progress as one line on stderr: rewritten on a terminal, now and then elsewhere."""

    def __init__(self) -> None:
        self.terminal = sys.stderr is not None and sys.stderr.isatty()
        self.last = -1e9

    def __call__(self, progress: Progress) -> None:
        ended = progress.done >= progress.total
        now = time.monotonic()
        if not ended and now - self.last < EVERY_S[self.terminal]:
            return
        self.last = now
        text = line(progress)
        if self.terminal:
            click.echo(f"\r\x1b[K{bar(progress)} {text}", err=True, nl=ended)
        else:
            click.echo(text, err=True)


def bar(progress: Progress, width: int = 20) -> str:
    """Draw the share of points that is done.

    Examples
    --------
    >>> from simulator.sweeping import Progress
    >>> bar(Progress(done=60, kept=10, total=100, elapsed_s=25.0), width=10)
    '[######....]'
    """
    full = width * progress.done // max(progress.total, 1)
    return f"[{'#' * full}{'.' * (width - full)}]"


def line(progress: Progress) -> str:
    """One line on how far a sweep is.

    Examples
    --------
    >>> from simulator.sweeping import Progress
    >>> line(Progress(done=60, kept=10, total=100, elapsed_s=25.0))
    '60 of 100 points, 60 %, 10 kept, 2.0 points/s, 0:20 left'
    """
    parts = [
        f"{progress.done} of {progress.total} points",
        f"{100 * progress.done // max(progress.total, 1)} %",
    ]
    if progress.kept:
        parts.append(f"{progress.kept} kept")
    parts.append(f"{progress.rate:.1f} points/s")
    if progress.left_s is not None and progress.done < progress.total:
        minutes, seconds = divmod(round(progress.left_s), 60)
        hours, minutes = divmod(minutes, 60)
        parts.append((f"{hours}:{minutes:02d}" if hours else f"{minutes}") + f":{seconds:02d} left")
    return ", ".join(parts)
