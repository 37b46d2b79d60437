"""``trainsim warnings``: what each warning means, as on the page of the documentation."""

from __future__ import annotations

import click

from simulator.commands.completion import warnings


@click.command("warnings")
@click.argument("name", metavar="ID", required=False, shell_complete=warnings)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(name: str | None, as_json: bool) -> None:
    """Explain the warning ID of an answer, and what to do about it; list all of them without one."""
    from simulator.errors import UnknownNameError
    from simulator.report import output
    from simulator.report.explained import paragraphs
    from simulator.report.explained import warnings as explained
    from simulator.report.text import table

    known = explained()
    if name is not None and name not in known:
        raise UnknownNameError(name, kind="warning", names=list(known))
    if as_json:
        output.emit(output.json_text(known if name is None else {name: known[name]}))
    elif name is None:
        rows = [(each, paragraphs(text)[0].split(". ")[0].rstrip(".")) for each, text in known.items()]
        output.emit("\n".join(table(("", ""), rows, left=(0, 1))) + "\n")
    else:
        lines = [name, *(line for each in paragraphs(known[name]) for line in ("", *_filled(each)))]
        output.emit("\n".join(lines) + "\n")


def _filled(paragraph: str) -> list[str]:
    from simulator.report.text import wrap

    return wrap(paragraph, indent=2, hang=2)
