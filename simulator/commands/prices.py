"""``trainsim prices``: list prices by accelerator, provider, terms and date, and take a new snapshot of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from simulator.commands.completion import accelerator_words, providers, terms_of_prices

if TYPE_CHECKING:
    from simulator.importers.catalog import Refreshed


class DefaultList(click.Group):
    """A group whose first word may be left out: ``prices h100`` is ``prices list h100``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the word in where it is missing."""
        known = (*self.commands, *ctx.help_option_names)
        return super().parse_args(ctx, args if args and args[0] in known else ["list", *args])


@click.group("prices", cls=DefaultList)
def command() -> None:
    """List dated prices, or take a new snapshot of them. Without a verb: list."""


@command.command("list")
@click.argument("words", nargs=-1, shell_complete=accelerator_words)
@click.option("--provider", shell_complete=providers, help="Only this provider, by id, name or alias.")
@click.option("--terms", shell_complete=terms_of_prices, help="Only these terms, such as on_demand or spot.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV.")
def list_(
    words: tuple[str, ...], provider: str | None, terms: str | None, as_json: bool, as_csv: bool
) -> None:
    """List prices, cheapest first; WORDS keep the accelerators whose id holds every word, or name a provider.

    Prices are dated list prices; what you pay is for you to write into the scenario (hardware.price).
    """
    from typing import get_args

    from simulator.errors import UnknownNameError
    from simulator.report import output
    from simulator.schema.price import Terms

    output.one_of(json=as_json, csv=as_csv)
    if terms is not None and terms not in get_args(Terms):
        raise UnknownNameError(terms, kind="terms", names=get_args(Terms))
    words, provider = _provider_of(words, provider)
    _known(words)
    rows = _rows(words, provider, terms)
    if as_json:
        output.emit(output.json_text(rows))
    elif as_csv:
        output.emit(output.csv_text(rows) if rows else "")
    elif rows:
        output.emit(_page(rows))
    else:
        asked = ", ".join(filter(None, (" ".join(words), provider, terms)))
        output.emit(f"no price: {asked}; with fewer words or options trainsim prices lists more\n")


def _provider_of(words: tuple[str, ...], provider: str | None) -> tuple[tuple[str, ...], str | None]:
    """The words without the first that names a provider, and that provider, where the option names none."""
    from simulator.errors import UnknownNameError
    from simulator.schema.quotes import book_of

    for place, word in enumerate(words if provider is None else ()):
        try:
            return (*words[:place], *words[place + 1 :]), book_of(word).provider
        except UnknownNameError:
            continue
    return words, provider


def _known(words: tuple[str, ...]) -> None:
    """Refuse words that no accelerator with a price holds."""
    from simulator.errors import UnknownNameError
    from simulator.schema.quotes import books

    sold = sorted({entry.accelerator for book in books() for entry in book.prices})
    if not any(all(word.lower() in name.lower() for word in words) for name in sold):
        names = [*sold, *(book.provider for book in books())]
        raise UnknownNameError(" ".join(words), kind="priced accelerator or provider", names=names)


def _rows(words: tuple[str, ...], provider: str | None, terms: str | None) -> list[dict[str, Any]]:
    """Prices as records, by accelerator and price."""
    from simulator.schema.quotes import MAX_AGE_DAYS, age_days, book_of, books, newest_day, today

    rows, on = [], today()
    for book in books() if provider is None else [book_of(provider)]:
        for entry in book.prices:
            held = all(word.lower() in entry.accelerator.lower() for word in words)
            if not held or terms not in (None, entry.terms):
                continue
            rent = entry.usd_per_gpu_hour
            age = age_days(newest_day(entry.date, entry.retrieved), on)
            rows.append(
                {
                    "accelerator": entry.accelerator,
                    "provider": book.provider,
                    "terms": entry.terms,
                    "currency": book.currency,
                    "usd_per_gpu_hour": None if rent is None else round(rent, 6),
                    "usd_per_gpu": entry.price.usd if entry.price.per == "GPU" else None,
                    "instance": entry.instance,
                    "accelerators_per_instance": entry.accelerators_per_instance,
                    "region": entry.region,
                    "date": str(entry.date or entry.retrieved),
                    "age_days": age,
                    "old": age > MAX_AGE_DAYS,
                    "source": entry.source,
                    "retrieved": str(entry.retrieved),
                }
            )
    bare = ("usd_per_gpu_hour", "usd_per_gpu")
    rows.sort(key=lambda r: (r["accelerator"], r[bare[0]] is None, r[bare[0]] or r[bare[1]]))
    return rows


def _page(rows: list[dict[str, Any]]) -> str:
    """Prices as a table for a terminal."""
    from simulator.report.tables import Table
    from simulator.schema.quotes import MAX_AGE_DAYS

    cells = [
        (
            row["accelerator"],
            f"${row['usd_per_gpu_hour']:.2f}/GPU-h"
            if row["usd_per_gpu_hour"]
            else f"${row['usd_per_gpu']:,.0f}/GPU",
            str(row["accelerators_per_instance"] or "-"),
            row["provider"],
            str(row["terms"]).replace("_", " "),
            "! " * row["old"] + ", ".join(filter(None, (row["date"].split(" (")[0], row["region"]))),
        )
        for row in rows
    ]
    heads = ("accelerator", "price", "GPUs", "provider", "terms", "date, region")
    note = "US dollars, without tax. GPUs: in the machine that is sold."
    if any(row["old"] for row in rows):
        note += f" !: older than {MAX_AGE_DAYS} days; trainsim prices refresh takes new ones (docs/warnings.md, old-price)."
    return "\n".join(Table("", heads, cells, left=(0, 3, 4, 5), note=note).text()) + "\n"


@command.command("refresh")
@click.option(
    "--provider",
    "named",
    multiple=True,
    shell_complete=providers,
    help="Only this provider; may be given several times.",
)
@click.option(
    "--out", type=click.Path(path_type=Path), help="Folder of the files; your folder of prices if absent."
)
@click.option("--force", is_flag=True, help="Replace files that were not written by a refresh.")
@click.option("--json", "as_json", is_flag=True, help="Print what was written and what was left out as JSON.")
def refresh(named: tuple[str, ...], out: Path | None, force: bool, as_json: bool) -> None:
    """Take a new snapshot of prices through gpuhunt (extra `prices`), one dated file per provider.

    This is the one command that reaches the network for prices; run and compare read files only. A file in your folder
    takes the place of the shipped one of the same provider.
    """
    from simulator import library
    from simulator.importers import catalog
    from simulator.report import output
    from simulator.schema.quotes import today

    wanted = [catalog.theirs(name) for name in named] or list(catalog.PROVIDERS)
    folder = out or library.user_folder() / "prices"
    found, failed, version = catalog.offers(list(dict.fromkeys(wanted)))
    on = today()
    books = [
        book
        for provider, offers in found.items()
        if (book := catalog.book_of_offers(provider, offers, date=on, version=version))
    ]
    written = _write([book for book in books if book.data], folder, force=force)
    if as_json:
        document = {
            "date": str(on),
            "version": f"gpuhunt {version}",
            "written": [str(path) for path in written],
            "left_out": {book.id: list(book.left_out) for book in books if book.left_out},
            "failed": failed,
        }
        output.emit(output.json_text(document))
    else:
        _tell(books, written, failed)


def _write(books: list[Refreshed], folder: Path, *, force: bool) -> list[Path]:
    """Write the books, each whole; nothing if one of them would replace a file of somebody's own."""
    from simulator.errors import Problem, SpecError
    from simulator.importers import catalog
    from simulator.report import output
    from simulator.schema.quotes import today

    try:
        folder.mkdir(parents=True, exist_ok=True)
        own = [
            path
            for path in (folder / book.file for book in books)
            if path.exists()
            and not path.read_text(encoding="utf-8", errors="replace").startswith(catalog.MARK)
        ]
    except OSError as error:
        raise SpecError(Problem(f"cannot be written: {error.strerror}", file=str(folder))) from None
    if own and not force:
        hint = "move it away, or give --force"
        raise SpecError([Problem("was not written by a refresh", file=str(path), hint=hint) for path in own])
    texts = [(folder / book.file, catalog.to_yaml(book, date=today())) for book in books]
    for path, text in texts:
        output.write_whole(path, text)
    return [path for path, _ in texts]


def _tell(books: list[Refreshed], written: list[Path], failed: dict[str, str]) -> None:
    """What was written on stdout; what was left out and what failed on stderr."""
    from simulator.importers import catalog

    for book in books:
        for line in book.left_out:
            click.echo(f"left out  {book.id}: {line}", err=True)
    for provider, reason in failed.items():
        click.echo(f"failed    {catalog.PROVIDERS[provider][0]}: {reason}", err=True)
    for path in written:
        click.echo(str(path))
