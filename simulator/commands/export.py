"""``trainsim export``: the chosen plan as a file of a training program."""

from __future__ import annotations

from pathlib import Path

import click

from simulator.commands.completion import scenarios, settings, variants

PROGRAMS = ("megatron", "torchtitan", "nanotron", "deepspeed", "hf")


@click.command("export")
@click.argument("file", shell_complete=scenarios)
@click.option("--to", "program", type=click.Choice(PROGRAMS), required=True, help="Program.")
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
@click.option(
    "--stage", type=click.IntRange(1), metavar="N", help="Of a plan that grows a model: the stage to write."
)
@click.option("--out", type=click.Path(path_type=Path), help="Write to this file, whole or not at all.")
def command(
    file: str,
    program: str,
    changes: tuple[str, ...],
    variant: str | None,
    stage: int | None,
    out: Path | None,
) -> None:
    """Answer the scenario FILE and write the chosen plan for a training program.

    The file is read back before it is written; what the program cannot hold is an error or a note on stderr. A plan that
    grows a model is a file for each of its stages, named by --stage.
    """
    from simulator.exporters import export, plan_of
    from simulator.report import output
    from simulator.schema import load_scenario
    from simulator.simulate import run

    scenario = load_scenario(file, changes, variant)
    exported = export(plan_of(scenario, run(scenario), stage=stage), program)
    for note in exported.notes:
        click.echo(f"{program}: {note}", err=True)
    output.emit(exported.text, out)
