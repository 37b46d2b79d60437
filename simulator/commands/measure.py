"""``trainsim measure``: measure the machine that this runs on, and calibrate the clock to it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from simulator.measuring.run import Done


@click.command("measure")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Folder of the measurements.")
@click.option("--device", metavar="NAME", help="cpu, cuda or cuda:1. [default: a GPU where there is one]")
@click.option("--quick", "tier", flag_value="quick", help="A plan of a minute or two.")
@click.option("--full", "tier", flag_value="full", help="More steps and repeats.")
@click.option("--time", "limit", metavar="TIME", help="What repeats may take, such as '5 min'.")
@click.option(
    "--rounds",
    type=click.IntRange(1, 100),
    help="Times that everything is measured. [default: 3; quick 1, full 5]",
)
@click.option(
    "--precision", type=click.Choice(["fp32", "fp16", "bf16"]), help="Matmuls. [default: bf16; fp32 on a CPU]"
)
@click.option("--threads", type=click.IntRange(1, 4096), help="Threads of torch. [default: torch's own]")
@click.option(
    "--timer",
    type=click.Choice(["wall", "process"]),
    default="wall",
    show_default=True,
    help="process: processor time, for one thread on a machine that others use too.",
)
@click.option("--name", default="", metavar="ID", help="Id of the accelerator that is written.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.option("--quiet", is_flag=True, help="No progress on stderr.")
def command(
    out: Path,
    device: str | None,
    tier: str | None,
    limit: str | None,
    rounds: int | None,
    precision: str | None,
    threads: int | None,
    timer: str,
    name: str,
    as_json: bool,
    quiet: bool,
) -> None:
    """Measure this machine: copies, matrix products, attention, launches, and training steps of small transformers.

    Writes micro.csv, steps.csv, an accelerator and a calibration fitted to part of the steps, and shows predicted against
    measured for the steps that the fit did not see. Interrupted or killed, the same command goes on where it stopped.
    Needs PyTorch: pip install 'trainsim[torch]'.
    """
    from simulator.measuring import chain, machine, plan
    from simulator.measuring.bench import bench
    from simulator.report import measuring as pages
    from simulator.report import output
    from simulator.units import parse_quantity

    chosen: Any = tier or "default"
    budget = _seconds(limit, parse_quantity) if limit else plan.MINUTES[chosen] * 60.0
    torch = machine.torch_module()
    if threads:
        torch.set_num_threads(threads)
    here = machine.describe(torch, device, precision=precision, name=name)
    what = plan.plan(here.kind, here.precision, chosen, memory=0.8 * here.memory_bytes)
    try:
        found = chain.measure(
            here,
            bench(torch, here, timer),
            what,
            out,
            timer=timer,
            tier=chosen,
            rounds=rounds or plan.ROUNDS[chosen],
            budget_s=budget,
            command=_written(device, tier, limit, rounds, precision, threads, timer, name),
            tell=(lambda done: None) if quiet else _Line(),
        )
    except KeyboardInterrupt:
        click.echo(f"\nwhat is measured is kept in {out}; the same command goes on from there", err=True)
        raise
    if as_json:
        output.emit(output.json_text(pages.document(found)))
        return
    output.emit(pages.page(found))
    for path in found.files:
        click.echo(f"written to {path}", err=True)


def _seconds(text: str, parse: Any) -> float:
    from simulator.errors import Problem, SpecError
    from simulator.units import QuantityError

    try:
        seconds = float(parse(text, "second"))
    except QuantityError as error:
        raise SpecError(Problem(str(error), file="--time")) from None
    if not seconds > 0:
        raise SpecError(Problem("no time is left to measure in", file="--time", hint="write 5 min"))
    return seconds


def _written(
    device: str | None,
    tier: str | None,
    limit: str | None,
    rounds: int | None,
    precision: str | None,
    threads: int | None,
    timer: str,
    name: str,
) -> str:
    """The command as it would be typed again, without the folder."""
    parts = ["trainsim measure"]
    parts += [f"--{tier}"] if tier else []
    given = {
        "device": device,
        "time": limit,
        "rounds": rounds,
        "precision": precision,
        "threads": threads,
        "name": name,
    }
    given["timer"] = timer if timer != "wall" else None
    parts += [
        f"--{key} '{value}'" if " " in str(value) else f"--{key} {value}"
        for key, value in given.items()
        if value
    ]
    return " ".join([*parts, "--out DIR"])


class _Line:
    """Progress: one line per finished item on stderr."""

    def __init__(self) -> None:
        self.start = time.monotonic()

    def __call__(self, done: Done) -> None:
        minutes, seconds = divmod(int(time.monotonic() - self.start), 60)
        click.echo(
            f"{minutes}:{seconds:02d}  {done.number}/{done.total}  {done.name}: {done.text}",
            err=True,
        )
