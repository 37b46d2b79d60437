"""``trainsim schema``: the JSON schemas of the YAML files, for editors and other programs."""

from __future__ import annotations

import json

import click


@click.command("schema")
@click.argument("name", required=False)
@click.option("--write", is_flag=True, help="Write all schemas to the folder schemas/ of the checkout.")
@click.option("--check", is_flag=True, help="Fail if a file of schemas/ is not what the program would write.")
def command(name: str | None, write: bool, check: bool) -> None:
    """Print the JSON schema NAME (scenario by default), or write or check all of them."""
    from simulator.errors import UnknownNameError
    from simulator.library import packaged_root
    from simulator.schema.jsonschema import SCHEMAS, json_schema, text_of

    folder = packaged_root() / "schemas"
    if not (write or check):
        name = (name or "scenario").removesuffix(".json")
        if name not in SCHEMAS:
            raise UnknownNameError(name, kind="schema", names=SCHEMAS)
        click.echo(json.dumps(json_schema(name), indent=2, ensure_ascii=False))
        return
    stale = []
    for each in SCHEMAS:
        path, text = folder / f"{each}.json", text_of(each)
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(path.name)
        if write:
            folder.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
    if write:
        click.echo(f"{len(stale)} of {len(SCHEMAS)} schemas written to {folder}", err=True)
    elif stale:
        click.echo(f"not fresh: {', '.join(stale)}; run trainsim schema --write", err=True)
        raise click.exceptions.Exit(1)
