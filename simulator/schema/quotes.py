"""What an accelerator costs: the price a scenario states, or one from the shipped books."""

from __future__ import annotations

from dataclasses import dataclass

from simulator import library
from simulator.errors import UnknownNameError
from simulator.schema.base import Rent
from simulator.schema.hardware import Hardware
from simulator.schema.load import load_price_book
from simulator.schema.price import PriceBook, PriceChoice, PriceEntry


@dataclass(frozen=True, slots=True)
class Quote:
    """One price, per accelerator, with who asks it, on which terms, and when."""

    usd_per_gpu_hour: float | None
    """Rent. [USD/h]"""
    usd_per_gpu: float | None
    """Purchase. [USD]"""
    provider: str
    terms: str
    date: str
    region: str
    source: str

    @property
    def label(self) -> str:
        """Provider, terms and date in one line."""
        return ", ".join(filter(None, (self.provider, self.terms.replace("_", " "), self.region, self.date)))


def books() -> list[PriceBook]:
    """Every price book of the library."""
    return [load_price_book(name) for name in library.names("prices")]


def book_of(provider: str) -> PriceBook:
    """The book of a provider by id, name or alias."""
    wanted = library.normalise(provider)
    known = books()
    for book in known:
        if wanted in map(library.normalise, (book.id or "", book.provider, *book.aliases)):
            return book
    raise UnknownNameError(provider, kind="provider", names=[book.provider for book in known])


def quotes(accelerator: str, *, provider: str | None = None, terms: str | None = None) -> list[Quote]:
    """Prices of an accelerator by id, cheapest rent first.

    Parameters
    ----------
    accelerator : str
        Id of the accelerator.
    provider : str, optional
        Id, name or alias of one provider; all by default.
    terms : str, optional
        Kind of contract; all by default.
    """
    chosen = books() if provider is None else [book_of(provider)]
    found = [
        _quote(book, entry)
        for book in chosen
        for entry in book.prices
        if library.normalise(entry.accelerator) == library.normalise(accelerator)
        and (terms is None or entry.terms == terms)
    ]
    return sorted(
        found, key=lambda q: (q.usd_per_gpu_hour is None, q.usd_per_gpu_hour or q.usd_per_gpu or 0.0)
    )


def _quote(book: PriceBook, entry: PriceEntry) -> Quote:
    return Quote(
        usd_per_gpu_hour=entry.usd_per_gpu_hour,
        usd_per_gpu=entry.price.usd if entry.price.per == "GPU" else None,
        provider=book.provider,
        terms=entry.terms,
        date=str(entry.date or entry.retrieved),
        region=entry.region or "",
        source=entry.source,
    )


def quote(hardware: Hardware) -> Quote | None:
    """The price that holds for a scenario's hardware.

    The price written in the scenario; else the provider and terms it names; else the middle of the
    shipped on-demand rents of the accelerator (of an even number, the cheaper of the middle two);
    None if nobody's rent is known.

    Raises
    ------
    UnknownNameError
        If the named provider does not offer the accelerator on the named terms.
    """
    written = hardware.price
    if isinstance(written, Rent):
        rent = written.usd_per_gpu_hour(hardware.node_size)
        bought = written.usd if rent is None else None
        return Quote(rent, bought, "the scenario", "", "", "", "price in the scenario")
    name = hardware.accelerator.id or ""
    if isinstance(written, PriceChoice):
        offers = quotes(name, provider=written.provider, terms=written.terms)
        offers = [q for q in offers if written.region is None or q.region == written.region]
        if not offers:
            sold = sorted({q.terms for q in quotes(name, provider=written.provider)})
            raise UnknownNameError(f"{written.provider} {written.terms} {name}", kind="price", names=sold)
        return offers[0]
    rents = [q for q in quotes(name, terms="on_demand") if q.usd_per_gpu_hour is not None] if name else []
    return rents[(len(rents) - 1) // 2] if rents else None
