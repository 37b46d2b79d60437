"""``trainsim new``: a scenario file to start from."""

from __future__ import annotations

import re
from pathlib import Path

import click

from simulator.commands.completion import templates


@click.command("new")
@click.argument("path", type=click.Path(path_type=Path), required=False)
@click.option(
    "--template",
    default="quickstart",
    shell_complete=templates,
    show_default=True,
    metavar="NAME",
    help="Id of a shipped scenario.",
)
@click.option("--list", "list_", is_flag=True, help="List the templates.")
@click.option("--force", is_flag=True, help="Write over a file that exists.")
def command(path: Path | None, template: str, list_: bool, force: bool) -> None:
    """Write a scenario to PATH, copied from one that ships; `trainsim run PATH` answers it."""
    from simulator import library, yamlio
    from simulator.errors import SpecError, UnknownNameError
    from simulator.report import output

    if list_:
        output.emit(_templates())
        return
    if path is None:
        raise click.UsageError("name the file to write, such as: trainsim new plan.yaml")
    known = library.names("scenarios")
    by_name = {library.normalise(name): name for name in known}
    if library.normalise(template) not in by_name:
        raise UnknownNameError(template, kind="template", names=known)
    if path.is_dir():
        path = path / f"{by_name[library.normalise(template)]}.yaml"
    if path.suffix not in (".yaml", ".yml"):
        raise SpecError(f"{path}: a scenario is a YAML file; write {path}.yaml")
    if path.exists() and not force:
        raise SpecError(f"{path}: exists already; --force writes over it")
    text = yamlio.read_text(library.find("scenarios", by_name[library.normalise(template)]))
    # The schema beside the shipped file is not beside the copy.
    text = re.sub(r"\A# yaml-language-server:[^\n]*\n(#\n)?", "", text)
    text = re.sub(r"(trainsim \w+ )[\w-]+\.yaml", lambda match: match[1] + path.name, text)
    output.emit(text, path)
    click.echo(f"answer it with: trainsim run {path}", err=True)


def _templates() -> str:
    """Ids and what each scenario is about."""
    from simulator import library
    from simulator.report.text import table
    from simulator.schema.load import open_scenario

    rows = []
    for name in library.names("scenarios"):
        data = open_scenario(name)[0].data
        rows.append((name, str(data.get("description") or data.get("name") or "")))
    return "\n".join(table(("template", "what it asks"), rows, left=(0, 1))) + "\n"
