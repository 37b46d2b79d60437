"""``trainsim report``: an answer as one page of HTML."""

from __future__ import annotations

from pathlib import Path

import click

from simulator.commands.completion import accelerators, scenarios, settings, variants


@click.command("report")
@click.argument("file", shell_complete=scenarios)
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), help="Page to write, whole or not at all."
)
@click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="PATH=VALUE",
    shell_complete=settings,
    help="Change a field, such as training.tokens=15T.",
)
@click.option(
    "--scenario", "variant", metavar="NAME", shell_complete=variants, help="A variant that the file declares."
)
@click.option(
    "--hardware",
    multiple=True,
    metavar="NAME[:COUNT],...",
    shell_complete=accelerators,
    help="Also compare these accelerators, as trainsim compare does.",
)
@click.option(
    "--vary",
    "varied",
    multiple=True,
    metavar="PATH=V1,V2,...",
    shell_complete=settings,
    help="Also compare these values of a field.",
)
def command(
    file: str,
    out: Path,
    changes: tuple[str, ...],
    variant: str | None,
    hardware: tuple[str, ...],
    varied: tuple[str, ...],
) -> None:
    """Answer the scenario FILE as one page of HTML that needs no network and no script.

    Exits with 0 if a plan runs, 1 if none does (the page says why), 2 if the file is wrong.
    """
    from simulator import curves
    from simulator.commands.compare import entries_of
    from simulator.comparison import compare
    from simulator.report import output
    from simulator.report.page import page
    from simulator.schema import load_scenario
    from simulator.simulate import run
    from simulator.sweeping.points import axes_of_texts

    axes = axes_of_texts(varied)
    asked = load_scenario(file, changes, variant)
    result = run(asked)
    compared = None
    if hardware or axes:
        compared = compare(
            file, entries_of(hardware, asked), vary=axes, set=changes, variant=variant
        ).to_dict()
    output.emit(page(result.to_dict(), curves.around(asked, result), compared), out)
    if not result.feasible:
        raise click.exceptions.Exit(1)
