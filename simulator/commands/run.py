"""``trainsim run``: answer a scenario."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from simulator.commands.completion import scenarios, settings, variants

if TYPE_CHECKING:
    from simulator.result import Result


@click.command("run")
@click.argument("file", shell_complete=scenarios)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.option("--csv", "as_csv", is_flag=True, help="Print the answer and its alternatives as CSV.")
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
    "--explain", "keys", multiple=True, metavar="KEY", help="How a figure came about, such as cost_usd."
)
@click.option(
    "--sensitivity", is_flag=True, help="Print what moves the answer, each input over its 80 % range."
)
@click.option("--out", type=click.Path(path_type=Path), help="Write to this file, whole or not at all.")
def command(
    file: str,
    as_json: bool,
    as_csv: bool,
    changes: tuple[str, ...],
    variant: str | None,
    keys: tuple[str, ...],
    sensitivity: bool,
    out: Path | None,
) -> None:
    """Answer the scenario FILE: a path, or the id of one that ships (quickstart).

    Exits with 0 if a plan runs, 1 if none does (the page says why), 2 if the file is wrong or
    the output cannot be written.
    """
    from simulator.report import output
    from simulator.simulate import run

    output.one_of(json=as_json, csv=as_csv, explain=bool(keys))
    output.one_of(explain=bool(keys), sensitivity=sensitivity)
    result = run(file, set=changes, scenario=variant)
    if sensitivity:
        text = _sensitivity(result, as_json=as_json, as_csv=as_csv)
    elif keys:
        text = "\n\n".join(result.explain(key) for key in keys) + "\n"
    elif as_json:
        text = output.json_text(result.to_dict())
    elif as_csv:
        text = output.csv_text(
            [{"rank": 0, **result.answer}, *({"rank": i, **r} for i, r in enumerate(result.alternatives, 1))]
        )
    else:
        from simulator.report.terminal import page

        text = page(result.to_dict(), color=out is None and output.wants_color())
    output.emit(text, out)
    if not result.feasible:
        raise click.exceptions.Exit(1)


def _sensitivity(result: Result, *, as_json: bool, as_csv: bool) -> str:
    """The tornado of an answer as a page, JSON or CSV."""
    from simulator.report import output, sensitivity
    from simulator.result import plain

    found = result.sensitivity()
    if as_json:
        return output.json_text(plain(found))
    return output.csv_text(sensitivity.records(found)) if as_csv else sensitivity.page(found)
