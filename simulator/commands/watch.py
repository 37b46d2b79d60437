"""``trainsim watch``: a training log beside its prediction."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from simulator.commands.completion import scenarios, settings

EVERY = (0.1, 86400.0)
"""Shortest and longest time between looks: a day. [s]"""


@click.command("watch")
@click.argument("log", type=click.Path(path_type=Path))
@click.option(
    "--scenario",
    "file",
    required=True,
    metavar="FILE",
    shell_complete=scenarios,
    help="The scenario that the run follows.",
)
@click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="PATH=VALUE",
    shell_complete=settings,
    help="Change a field of the scenario.",
)
@click.option(
    "--stage",
    type=click.IntRange(1),
    metavar="N",
    help="Of a plan that grows a model: the stage that LOG is of; its last if absent.",
)
@click.option("--skip", type=click.IntRange(0), help="Logged steps to leave out at the start.")
@click.option("--follow", is_flag=True, help="Read again when the log grows, until interrupted.")
@click.option(
    "--every",
    type=click.FloatRange(*EVERY),
    default=30.0,
    show_default=True,
    help="Seconds between looks.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document per look.")
def command(
    log: Path,
    file: str,
    changes: tuple[str, ...],
    stage: int | None,
    skip: int | None,
    follow: bool,
    every: float,
    as_json: bool,
) -> None:
    """Say whether the run that writes LOG is on track, slow or fast, and what is probably to blame.

    Reads logs of Megatron-LM, torchtitan, nanotron and the Hugging Face Trainer, and tables of Weights & Biases or
    TensorBoard. Exits with 1 if the run is slow or follows another plan.
    """
    from simulator.errors import InfeasibleError, Problem, SpecError
    from simulator.result import plain
    from simulator.simulate import run

    if not EVERY[0] <= every <= EVERY[1]:  # click lets nan through
        raise SpecError(
            Problem(f"{every:g} is not in the range {EVERY[0]:g}<=x<={EVERY[1]:g} seconds", path="every")
        )
    result = run(file, set=changes)
    if not result.feasible:
        raise InfeasibleError(
            "the scenario has no plan that runs", details=(str(result.infeasible.get("text", "")),)
        )
    answer = plain(result.stage(stage))
    found = _look(log, answer, skip=skip, as_json=as_json)
    if follow:
        import time

        size = log.stat().st_size
        while True:
            time.sleep(every)
            if log.stat().st_size != size:
                size = log.stat().st_size
                found = _look(log, answer, skip=skip, as_json=as_json)
    if found["verdict"] in ("slow", "another plan"):
        raise click.exceptions.Exit(1)


def _look(log: Path, answer: dict[str, Any], *, skip: int | None, as_json: bool) -> dict[str, Any]:
    """Read the log once and print what it says."""
    from simulator.monitoring import judge, read_log
    from simulator.monitoring.logs import read_text
    from simulator.report import monitoring, output

    read = read_log(
        read_text(log), name=str(log), tokens_per_step=answer["global_batch_tokens"], n_gpus=answer["n_gpus"]
    )
    found = judge(read, answer, skip=skip)
    text = output.json_text(found) if as_json else monitoring.page(found, color=output.wants_color())
    output.emit(text)
    return found
