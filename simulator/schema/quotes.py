"""What an accelerator costs: the price a scenario states, or one from the shipped books."""

from __future__ import annotations

import calendar
import datetime
import functools
import os
import re
from dataclasses import dataclass
from pathlib import Path

from simulator import library
from simulator.errors import Problem, SpecError, UnknownNameError
from simulator.schema.base import Rent
from simulator.schema.hardware import Hardware
from simulator.schema.load import load_file
from simulator.schema.ownership import Ownership
from simulator.schema.price import PriceBook, PriceChoice, PriceEntry

MAX_AGE_DAYS = 180
"""A price older than this is said to be old: list prices change in steps of up to half (AWS took 44 % off an H100 at once
in mid-2025, hardware_specs/prices/aws.yaml), and most of the shipped ones were read again within half a year. [days]"""

USUAL = 5.0
"""A written price this many times above or below the middle of the shipped ones of the part is questioned: these themselves lie
within a quarter and 3.5 times the middle, and a price per node of eight written as one per accelerator does not. [-]"""

TODAY = "TRAINSIM_TODAY"
"""Environment variable with the day that prices are aged against, such as 2026-11-21; the clock's day if unset."""


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
    newest: datetime.date | None = None
    """Last day that the date can mean; None for a price written in the scenario."""

    @property
    def label(self) -> str:
        """Provider, terms and date in one line."""
        return ", ".join(filter(None, (self.provider, self.terms.replace("_", " "), self.region, self.date)))


def today() -> datetime.date:
    """The day that prices are aged against: `TODAY`, or the clock's (UTC).

    Raises
    ------
    SpecError
        If `TODAY` is set to what is no date.
    """
    written = os.environ.get(TODAY)
    if not written:
        return datetime.datetime.now(tz=datetime.UTC).date()
    try:
        return datetime.date.fromisoformat(written)
    except ValueError:
        raise SpecError(f"{TODAY}: {written[:80]!r} is not a date; write it as 2026-11-21") from None


def newest_day(date: datetime.date | str | None, retrieved: datetime.date) -> datetime.date:
    """Last day that the date of a price can mean: a year is its last day; nothing is later than the day it was read.

    Examples
    --------
    >>> read = datetime.date(2026, 11, 21)
    >>> [str(newest_day(each, read)) for each in ("2026-08", "2024-2025", "2026 early", "2025-03-01", None)]
    ['2026-08-31', '2025-12-31', '2026-11-21', '2025-03-01', '2026-11-21']
    """
    if isinstance(date, datetime.date):
        return min(date, retrieved)
    days = []
    for year, month, day in re.findall(
        r"(20\d\d)(?:-(0[1-9]|1[0-2])(?!\d)(?:-([0-2]\d|3[01])(?!\d))?)?", date or ""
    ):
        y, m = int(year), int(month or 12)
        last = calendar.monthrange(y, m)[1]
        days.append(datetime.date(y, m, min(int(day or last), last) or 1))
    return min(max(days), retrieved) if days else retrieved


def age_days(newest: datetime.date, on: datetime.date | None = None) -> int:
    """Age of a price on a day, `today` by default; never negative. [days]"""
    return max((on or today()).toordinal() - newest.toordinal(), 0)


def books() -> list[PriceBook]:
    """Every price book of the library, in the order of their ids; read again when a file has changed."""
    stamped = [(path, path.stat().st_mtime_ns, path.stat().st_size) for path in library.files("prices")]
    return list(_books(tuple(sorted(stamped, key=lambda one: one[0].stem))))


@functools.lru_cache(maxsize=4)
def _books(stamped: tuple[tuple[Path, int, int], ...]) -> tuple[PriceBook, ...]:
    return tuple(load_file("prices", path) for path, _, _ in stamped)


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
    chosen, wanted = books() if provider is None else [book_of(provider)], library.normalise(accelerator)
    found = [
        _quote(book, entry)
        for book in chosen
        for entry in book.prices
        if library.normalise(entry.accelerator) == wanted and (terms is None or entry.terms == terms)
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
        newest=newest_day(entry.date, entry.retrieved),
    )


def quote(hardware: Hardware) -> Quote | None:
    """The price that holds for a scenario's hardware.

    The price written in the scenario; else the newest of the provider and terms it names (of the same
    day, the cheapest); else the middle of the shipped on-demand rents of the accelerator (of an even
    number, the cheaper of the middle two); None if nobody's rent is known.

    Raises
    ------
    UnknownNameError
        If no provider has the name.
    SpecError
        If the named provider does not offer the accelerator on the named terms.
    """
    written = hardware.price
    if isinstance(written, Rent):
        rent = written.usd_per_gpu_hour(hardware.node_size)
        bought = written.usd if rent is None else None
        return Quote(rent, bought, "the scenario", "", "", "", "price in the scenario")
    if isinstance(written, Ownership):
        return Quote(None, written.buy, "the scenario", "purchase", "", "", "price in the scenario")
    if isinstance(written, PriceChoice):
        return _chosen(hardware.accelerator.label, written)
    name = hardware.accelerator.id or ""
    rents = [q for q in quotes(name, terms="on_demand") if q.usd_per_gpu_hour is not None] if name else []
    return rents[(len(rents) - 1) // 2] if rents else None


def _chosen(accelerator: str, choice: PriceChoice) -> Quote:
    """The newest price of a provider on its terms; of one day, the cheapest."""
    sold = quotes(accelerator, provider=choice.provider, terms=choice.terms)
    offers = [q for q in sold if choice.region is None or q.region == choice.region]
    if offers:
        return max(offers, key=lambda q: q.newest or datetime.date.min)
    terms = choice.terms.replace("_", " ")
    reason = f"{book_of(choice.provider).provider} asks no {terms} price for {accelerator}"
    if sold:
        regions = " or ".join(sorted({q.region for q in sold if q.region}))
        hint = f"its regions are {regions}; write one, or leave region out" if regions else "leave region out"
        raise SpecError(
            Problem(f"{reason} in region {choice.region!r}", path="hardware.price.region", hint=hint)
        )
    raise SpecError(Problem(reason, path="hardware.price", hint=_sellers(accelerator, choice)))


def _sellers(accelerator: str, choice: PriceChoice) -> str:
    """Who sells an accelerator, and what to write: the same provider on other terms, else others on the same terms."""
    every = quotes(accelerator)
    own = [q for q in every if q.provider == book_of(choice.provider).provider]
    sold = own or [q for q in every if q.terms == choice.terms] or every
    rent = "a rent such as $2.50/GPU-h"
    if not sold:
        return f"no price book has it; write {rent}"
    offers = dict.fromkeys(f"{q.provider} ({q.terms.replace('_', ' ')}, {_amount(q)})" for q in sold)
    first = sold[0]
    terms = "" if first.terms == "on_demand" else f", terms: {first.terms}"
    written = f"{{provider: {first.provider}{terms}}}"
    others = dict.fromkeys(f"{q.provider} ({_amount(q)})" for q in every if own and q.terms == choice.terms)
    alike = f"; on the same terms by {', '.join(list(others)[:4])}" if others else ""
    return f"sold by {', '.join(list(offers)[:4])}{alike}; write price: {written}, or {rent}"


def _amount(found: Quote) -> str:
    if found.usd_per_gpu_hour is not None:
        return f"${found.usd_per_gpu_hour:.2f}/GPU-h"
    return f"${found.usd_per_gpu:,.0f}/GPU"


def unusual(accelerator: str, found: Quote) -> str:
    """What is odd about a price: that it is more than `USUAL` times above or below the shipped ones of the part.

    Parameters
    ----------
    accelerator : str
        Id of the accelerator.
    found : Quote
        Its price.

    Returns
    -------
    str
        A sentence; empty where nothing is odd, and where no price of the part is known.

    Examples
    --------
    >>> unusual("h100-sxm-80gb", Quote(25.0, None, "the scenario", "", "", "", ""))
    '$25.00/GPU-h is 6.5 times the middle of 26 known ones ($3.84/GPU-h)'
    >>> unusual("h100-sxm-80gb", Quote(2.5, None, "the scenario", "", "", "", ""))
    ''
    """
    figure = "usd_per_gpu_hour" if found.usd_per_gpu_hour is not None else "usd_per_gpu"
    listed = [q for q in quotes(accelerator) if getattr(q, figure) is not None]
    if not listed:
        return ""
    middle = listed[(len(listed) - 1) // 2]
    ratio = getattr(found, figure) / getattr(middle, figure)
    if 1 / USUAL <= ratio <= USUAL:
        return ""
    of = f"the middle of {len(listed)} known ones" if len(listed) > 1 else "the one known"
    return f"{_amount(found)} is {ratio:.2g} times {of} ({_amount(middle)})"
