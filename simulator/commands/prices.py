"""``trainsim prices``: list prices by accelerator, provider, terms and date."""

from __future__ import annotations

import click


@click.command("prices")
@click.argument("words", nargs=-1)
@click.option("--provider", help="Only this provider, by id, name or alias.")
@click.option("--terms", help="Only these terms, such as on_demand or spot.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV.")
def command(
    words: tuple[str, ...], provider: str | None, terms: str | None, as_json: bool, as_csv: bool
) -> None:
    """List prices, cheapest first; WORDS keep the accelerators whose id holds every word.

    Prices are dated list prices; what you pay is for you to write into the scenario (hardware.price).
    """
    from typing import get_args

    from simulator.errors import UnknownNameError
    from simulator.report import output
    from simulator.report.tables import Table
    from simulator.schema.price import Terms
    from simulator.schema.quotes import book_of, books

    output.one_of(json=as_json, csv=as_csv)
    if terms is not None and terms not in get_args(Terms):
        raise UnknownNameError(terms, kind="terms", names=get_args(Terms))
    rows = []
    for book in books() if provider is None else [book_of(provider)]:
        for entry in book.prices:
            if not all(word.lower() in entry.accelerator.lower() for word in words) or terms not in (
                None,
                entry.terms,
            ):
                continue
            rent = entry.usd_per_gpu_hour
            rows.append(
                {
                    "accelerator": entry.accelerator,
                    "provider": book.provider,
                    "terms": entry.terms,
                    "usd_per_gpu_hour": None if rent is None else round(rent, 6),
                    "usd_per_gpu": entry.price.usd if entry.price.per == "GPU" else None,
                    "region": entry.region,
                    "date": str(entry.date or entry.retrieved),
                    "source": entry.source,
                    "retrieved": str(entry.retrieved),
                }
            )
    rows.sort(
        key=lambda r: (
            r["accelerator"],
            r["usd_per_gpu_hour"] is None,
            r["usd_per_gpu_hour"] or r["usd_per_gpu"],
        )
    )
    if as_json:
        output.emit(output.json_text(rows))
    elif as_csv:
        output.emit(output.csv_text(rows) if rows else "")
    else:
        cells = [
            (
                row["accelerator"],
                f"${row['usd_per_gpu_hour']:.2f}/GPU-h"
                if row["usd_per_gpu_hour"]
                else f"${row['usd_per_gpu']:,.0f}/GPU",
                row["provider"],
                str(row["terms"]).replace("_", " "),
                row["date"],
                row["region"] or "",
            )
            for row in rows
        ]
        heads = ("accelerator", "price", "provider", "terms", "date", "region")
        output.emit(
            "\n".join(Table("", heads, cells, left=(0, 2, 3, 4, 5)).text()) + "\n" if cells else "no price\n"
        )
