"""``trainsim compare``: answer a scenario on several accelerators, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from simulator.commands.completion import accelerators, providers, scenarios, settings, terms_of_prices

if TYPE_CHECKING:
    from simulator.schema import Scenario


@click.command("compare")
@click.argument("file", shell_complete=scenarios)
@click.option(
    "--hardware",
    multiple=True,
    metavar="NAME[:COUNT],...",
    shell_complete=accelerators,
    help="Accelerators; the scenario's own if absent.",
)
@click.option(
    "--providers",
    multiple=True,
    metavar="NAME,...",
    shell_complete=providers,
    help="Price each accelerator at each of these providers that sells it.",
)
@click.option(
    "--terms",
    shell_complete=terms_of_prices,
    default="on_demand",
    show_default=True,
    help="Terms of the prices of --providers.",
)
@click.option(
    "--vary",
    "varied",
    multiple=True,
    metavar="PATH=V1,V2,...",
    shell_complete=settings,
    help="A field and its values, such as budget.time=5 days,10 days; several make every combination.",
)
@click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="PATH=VALUE",
    shell_complete=settings,
    help="Change a field of the scenario.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.option("--csv", "as_csv", is_flag=True, help="Print the rows as CSV.")
@click.option("--out", type=click.Path(path_type=Path), help="Write to this file, whole or not at all.")
def command(
    file: str,
    hardware: tuple[str, ...],
    providers: tuple[str, ...],
    terms: str,
    varied: tuple[str, ...],
    changes: tuple[str, ...],
    as_json: bool,
    as_csv: bool,
    out: Path | None,
) -> None:
    """Answer the scenario FILE on several accelerators and for several values, ranked, with the reason why each lost.

    Without a number an accelerator is taken as many times as the scenario's first. Exits with 1 if nothing runs.
    """
    from simulator.comparison import compare, scenario_asked
    from simulator.report import comparison, output
    from simulator.sweeping.points import axes_of_texts

    output.one_of(json=as_json, csv=as_csv)
    axes = axes_of_texts(varied)
    asked = scenario_asked(file, changes, None, axes)
    entries = entries_of(hardware, asked, providers=providers, terms=terms)
    document = compare(file, entries, vary=axes, set=changes).to_dict()
    if as_json:
        text = output.json_text(document)
    elif as_csv:
        text = output.csv_text(document["rows"])
    else:
        text = comparison.page(document, color=out is None and output.wants_color())
    output.emit(text, out)
    if not any(row["feasible"] for row in document["rows"]):
        raise click.exceptions.Exit(1)


def entries_of(
    options: Sequence[str], asked: Scenario, *, providers: Sequence[str] = (), terms: str = "on_demand"
) -> list[dict[str, Any]]:
    """Entries of hardware that the options name, given once or several times; none if the scenario's own are meant."""
    hardware = ",".join(options)
    counted = _counted(hardware, asked)
    if providers:
        named = [provider.strip() for provider in ",".join(providers).split(",") if provider.strip()]
        return _priced(counted, named, terms)
    return [_entry(name, number) for name, number in counted] if hardware else []


def _entry(name: str, number: int | None) -> dict[str, Any]:
    return {"accelerator": name} | ({} if number is None else {"n_gpus": number})


def _counted(hardware: str, asked: Scenario) -> list[tuple[str, int | None]]:
    """Names and numbers of accelerators: those of the option, or the scenario's own."""
    if not hardware:
        return [(each.accelerator.label, each.n_gpus) for each in asked.hardware]
    counted: list[tuple[str, int | None]] = []
    for part in filter(None, (piece.strip() for piece in hardware.split(","))):
        name, colon, count = part.partition(":")
        if colon and not (count.isdecimal() and 0 < len(count) < 9 and int(count)):
            raise click.UsageError(
                f"--hardware {part}: {count!r} is no number of accelerators; write {name}:64"
            )
        counted.append((name, int(count) if colon else asked.hardware[0].n_gpus))
    return counted


def _priced(counted: list[tuple[str, int | None]], providers: list[str], terms: str) -> list[dict[str, Any]]:
    """Every accelerator at every provider that sells it on these terms."""
    from simulator.errors import InfeasibleError
    from simulator.schema import load_accelerator
    from simulator.schema.quotes import book_of, quotes

    books = [book_of(provider) for provider in providers]
    entries, missing = [], []
    for name, number in counted:
        label = load_accelerator(name).label
        for book in books:
            if quotes(label, provider=book.provider, terms=terms):
                price = {"provider": book.provider, "terms": terms}
                entries.append(_entry(name, number) | {"price": price})
            else:
                missing.append(f"{book.provider} asks no {terms.replace('_', ' ')} price for {label}")
    if not entries:
        raise InfeasibleError(
            "no provider that was named sells any of these accelerators", details=tuple(missing)
        )
    for line in missing:
        click.echo(line, err=True)
    return entries
