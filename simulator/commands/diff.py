"""``trainsim diff``: two plans side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from simulator.commands.completion import scenarios, settings


@click.command("diff")
@click.argument("first", shell_complete=scenarios)
@click.argument("second", shell_complete=scenarios)
@click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="PATH=VALUE",
    shell_complete=settings,
    help="Change a field of both scenarios.",
)
@click.option(
    "--set-second",
    "more",
    multiple=True,
    metavar="PATH=VALUE",
    shell_complete=settings,
    help="Change a field of the second only.",
)
@click.option("--all", "every", is_flag=True, help="Also figures that are equal.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.option("--csv", "as_csv", is_flag=True, help="Print the rows as CSV.")
@click.option("--out", type=click.Path(path_type=Path), help="Write to this file, whole or not at all.")
def command(
    first: str,
    second: str,
    changes: tuple[str, ...],
    more: tuple[str, ...],
    every: bool,
    as_json: bool,
    as_csv: bool,
    out: Path | None,
) -> None:
    """Answer the scenarios FIRST and SECOND and show where their plans differ.

    One scenario twice with --set-second asks what a change does. Exits with 1 if one of them has no plan that runs.
    """
    from simulator.report import difference, output
    from simulator.simulate import run

    output.one_of(json=as_json, csv=as_csv)
    results = [run(first, set=changes), run(second, set=(*changes, *more))]
    documents: list[dict[str, Any]] = [result.to_dict() for result in results]
    names = (first, second if second != first else ", ".join(more) or second)
    compared = difference.difference(*documents, names=names, every=every)
    if as_json:
        text = output.json_text(compared)
    elif as_csv:
        text = output.csv_text(compared["rows"])
    else:
        text = difference.page(compared, color=out is None and output.wants_color())
    output.emit(text, out)
    if not all(result.feasible for result in results):
        raise click.exceptions.Exit(1)
