"""The catalog of gpuhunt (https://github.com/dstackai/gpuhunt, MPL-2.0) as price books.

The only place that reaches the network for prices, and only for ``trainsim prices refresh``. gpuhunt is imported inside
`offers`; the rest works on anything with the fields of its ``CatalogItem``.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from simulator.errors import Problem, SpecError, UnknownNameError
from simulator.schema.load import load_accelerator
from simulator.schema.price import PriceBook
from simulator.schema.quotes import books, quotes

PROVIDERS: dict[str, tuple[str, str]] = {
    "aws": ("aws", "AWS"),
    "azure": ("azure", "Azure"),
    "gcp": ("gcp", "GCP"),
    "lambdalabs": ("lambda", "Lambda"),
    "nebius": ("nebius", "Nebius"),
    "oci": ("oci", "OCI"),
    "runpod": ("runpod", "RunPod"),
    "verda": ("verda", "Verda"),
    "cloudrift": ("cloudrift", "CloudRift"),
    "crusoe": ("crusoe", "Crusoe"),
    "digitalocean": ("digitalocean", "DigitalOcean"),
    "hotaisle": ("hotaisle", "Hot Aisle"),
    "jarvislabs": ("jarvislabs", "JarvisLabs"),
    "lium": ("lium", "Lium"),
    "seeweb": ("seeweb", "Seeweb"),
    "vastai": ("vast", "Vast.ai"),
    "vultr": ("vultr", "Vultr"),
}
"""Provider as gpuhunt calls it, to the id and the name of our book."""

MARKETPLACES = ("vastai", "lium")
"""Providers whose hosts set the price: what is not spot there is ``marketplace``."""

GPUS: dict[str, tuple[str, ...]] = {
    "A10": ("a10-pcie-24gb",),
    "A10G": ("a10g-24gb",),
    "A40": ("a40-pcie-48gb",),
    "A6000": ("a6000-pcie-48gb",),
    "A100": ("a100-sxm-40gb", "a100-sxm-80gb", "a100-pcie-40gb", "a100-pcie-80gb"),
    "H100": ("h100-sxm-80gb", "h100-pcie-80gb"),
    "H100NVL": ("h100-nvl-94gb",),
    "H200": ("h200-sxm-141gb",),
    "H200NVL": ("h200-nvl-141gb",),
    "B200": ("b200-sxm-180gb",),
    "B300": ("b300-sxm-288gb",),
    "GB200": ("gb200-186gb",),
    "GB300": ("gb300-288gb",),
    "GH200": ("gh200-96gb",),
    "L4": ("l4-24gb",),
    "L40": ("l40-48gb",),
    "L40S": ("l40s-48gb",),
    "P100": ("p100-sxm2-16gb", "p100-pcie-16gb"),
    "RTX3080": ("rtx-3080-10gb",),
    "RTX3090": ("rtx-3090-24gb",),
    "RTX4070TiSUPER": ("rtx-4070-ti-super-16gb",),
    "RTX4090": ("rtx-4090-24gb",),
    "RTX5090": ("rtx-5090-32gb",),
    "RTXPRO6000": ("rtx-pro-6000-blackwell-96gb",),
    "T4": ("t4-16gb",),
    "V100": ("v100-sxm2-16gb", "v100-sxm2-32gb", "v100-pcie-32gb"),
    "MI100": ("mi100-pcie-32gb",),
    "MI210": ("mi210-pcie-64gb",),
    "MI250": ("mi250-oam-128gb",),
    "MI250X": ("mi250x-oam-128gb",),
    "MI300X": ("mi300x-oam-192gb",),
    "MI325X": ("mi325x-oam-256gb",),
    "MI350X": ("mi350x-oam-288gb",),
    "MI355X": ("mi355x-oam-288gb",),
    "Gaudi2": ("gaudi2-96gb",),
    "Gaudi3": ("gaudi3-128gb",),
}
"""Name in gpuhunt, to the accelerators it may mean. Memory and form factor decide between several."""

MEMORY_TOLERANCE = 0.15
"""Memory may differ so much: a B300 is 270 GB in gpuhunt and 288 GB in its name, an RTX 3080 has 10 or 12 GB. [-]"""

FORMS: tuple[tuple[str, str, str], ...] = (
    ("*", r"pcie", "pcie"),
    ("*", r"sxm|hbm3\b", "sxm"),
    ("aws", r"p3dn?\.|p3\.|p4d?e?\.|p5", "sxm"),
    ("azure", r"NC\d+ads_A100_v4", "pcie"),
    ("azure", r"ND\d+(am)?sr_(A100_)?v4|ND\d+isr_H100_v5|ND40rs_v2", "sxm"),
    ("gcp", r"a2-(high|mega|ultra)gpu|a3-(high|mega|edge)gpu", "sxm"),
    ("lambdalabs", r"gpu_8x_(a100|v100)", "sxm"),
    ("oci", r"BM\.GPU4\.8|BM\.GPU\.(A100-v2|H100)\.8|(BM|VM)\.GPU3\.", "sxm"),
    ("digitalocean", r"gpu-h100x8", "sxm"),
    ("verda", r"\d+(A100|H100|V100)\.", "sxm"),
)
"""Form factor of parts sold in two, by provider and machine type (the providers' own pages of their machine types)."""

PLAUSIBLE = 10.0
"""A price that is so many times above or below the middle of the known rents of a part comes from a wrong field. [-]"""

MARK = "# Written by trainsim prices refresh"
"""Start of a file that a later refresh may replace."""


class Offer(Protocol):
    """Fields of gpuhunt's ``CatalogItem`` that are read."""

    provider: str
    instance_name: str
    location: str
    price: float
    gpu_count: int
    gpu_name: str | None
    gpu_memory: float | None
    spot: bool


@dataclass(frozen=True)
class Refreshed:
    """The book of one provider, and the offers that are not in it."""

    id: str
    data: dict[str, Any]
    left_out: tuple[str, ...]

    @property
    def file(self) -> str:
        """Name of its file."""
        return f"{self.id}.yaml"


def accelerator_of(offer: Offer) -> tuple[str | None, str]:
    """The id of an offer's accelerator, or why there is none."""
    named = {name.lower(): ids for name, ids in GPUS.items()}.get((offer.gpu_name or "").lower(), ())
    if not named:
        return None, "no accelerator of that name is known"
    fitting = [name for name in named if _memory_fits(name, offer.gpu_memory)]
    if not fitting:
        return None, f"{offer.gpu_memory or 0:g} GB is not the memory of {' or '.join(named)}"
    if len(fitting) > 1 or len(named) > 1:
        form = _form(offer)
        if form is None:
            return None, "its machine type does not tell PCIe from SXM"
        fitting = [name for name in fitting if f"-{form}" in name]
    return (fitting[0], "") if len(fitting) == 1 else (None, "no accelerator of that form is known")


def _memory_fits(name: str, memory_gb: float | None) -> bool:
    own = load_accelerator(name).memory / 1e9
    return memory_gb is not None and abs(memory_gb / own - 1) <= MEMORY_TOLERANCE


def _form(offer: Offer) -> str | None:
    for provider, pattern, form in FORMS:
        if provider in ("*", offer.provider) and re.search(pattern, offer.instance_name, re.IGNORECASE):
            return form
    return None


def book_of_offers(
    provider: str, found: Iterable[Offer], *, date: datetime.date, version: str
) -> Refreshed | None:
    """The offers of one provider as a price book; None if nothing of it can be used.

    Of one accelerator, terms and number per machine the cheapest region is kept, and stated. Prices are per accelerator:
    the machine's divided by its accelerators.

    Parameters
    ----------
    provider : str
        As gpuhunt calls it.
    found : iterable of Offer
        Its offers.
    date : datetime.date
        Day of the catalog.
    version : str
        Version of gpuhunt.
    """
    identity, name = PROVIDERS[provider]
    cheapest: dict[tuple[str, str, int], tuple[float, Offer]] = {}
    refused: dict[str, int] = {}
    for offer in found:
        if offer.gpu_count < 1:
            continue
        accelerator, reason = accelerator_of(offer)
        price = offer.price / offer.gpu_count
        if accelerator is not None and not plausible(accelerator, price):
            accelerator, reason = None, f"${price:.4g}/GPU-h is not plausible"
        if accelerator is None:
            shown = f"{offer.gpu_name or 'unnamed'} {offer.gpu_memory or 0:g} GB: {reason}"
            refused[shown] = refused.get(shown, 0) + 1
            continue
        key = (accelerator, _terms(provider, offer), offer.gpu_count)
        if key not in cheapest or price < cheapest[key][0]:
            cheapest[key] = (price, offer)
    left_out = tuple(f"{text} ({count} offers)" for text, count in sorted(refused.items()))
    if not cheapest:
        return None if not refused else Refreshed(identity, {}, left_out)
    source = f"gpuhunt {version} catalog, {date}"
    entries = [_entry(key, *cheapest[key], date=date, source=source) for key in sorted(cheapest)]
    notes = "Of each accelerator, terms and number per machine the cheapest region. Without tax, storage and traffic."
    data: dict[str, Any] = {"id": identity, "provider": name}
    known = next((book for book in books() if book.id == identity), None)
    if known is not None:
        data["provider"] = known.provider
        data |= {"aliases": list(known.aliases)} if known.aliases else {}
    data |= {"currency": "USD", "notes": notes, "prices": entries}
    PriceBook.model_validate(data)
    return Refreshed(identity, data, left_out)


def _terms(provider: str, offer: Offer) -> str:
    if offer.spot:
        return "spot"
    return "marketplace" if provider in MARKETPLACES else "on_demand"


def _entry(
    key: tuple[str, str, int], price: float, offer: Offer, *, date: datetime.date, source: str
) -> dict[str, Any]:
    accelerator, terms, count = key
    whole = {"notes": f"${offer.price:.6g}/instance-hour"} if count > 1 else {}
    return {
        "accelerator": accelerator,
        "price": f"${price:.6g}/GPU-h",
        "terms": terms,
        "instance": offer.instance_name,
        "accelerators_per_instance": count,
        "date": date,
        "region": offer.location,
        "source": source,
        "retrieved": date,
        **whole,
    }


def plausible(accelerator: str, usd_per_gpu_hour: float) -> bool:
    """Whether a price is above zero and within `PLAUSIBLE` times the middle of the known rents of the part.

    Examples
    --------
    >>> plausible("h100-sxm-80gb", 2.5), plausible("h100-sxm-80gb", 0.01), plausible("h100-sxm-80gb", 0.0)
    (True, False, False)
    """
    rents = sorted(q.usd_per_gpu_hour for q in quotes(accelerator) if q.usd_per_gpu_hour)
    if usd_per_gpu_hour <= 0:
        return False
    middle = rents[len(rents) // 2] if rents else usd_per_gpu_hour
    return middle / PLAUSIBLE <= usd_per_gpu_hour <= middle * PLAUSIBLE


def to_yaml(book: Refreshed, *, date: datetime.date) -> str:
    """A price book as the text of its file."""
    import yaml

    # The same date in every entry would become an anchor.
    class Plain(yaml.SafeDumper):
        def ignore_aliases(self, data: Any) -> bool:
            return True

    body = yaml.dump(book.data, Dumper=Plain, sort_keys=False, allow_unicode=True, width=110)
    return f"{MARK}, {date}.\n{body}"


def theirs(provider: str) -> str:
    """A provider as gpuhunt calls it, from either spelling.

    Raises
    ------
    UnknownNameError
        With the nearest names.
    """
    wanted = re.sub(r"[^a-z0-9]", "", provider.lower())
    for name, ours in PROVIDERS.items():
        if wanted in {re.sub(r"[^a-z0-9]", "", each.lower()) for each in (name, *ours)}:
            return name
    raise UnknownNameError(
        provider, kind="provider of gpuhunt", names=[ours[0] for ours in PROVIDERS.values()]
    )


def offers(providers: Sequence[str]) -> tuple[dict[str, list[Offer]], dict[str, str], str]:
    """Offers with accelerators by provider, what could not be asked with its reason, and gpuhunt's version.

    ``$GPUHUNT_CATALOG_DIR``, a folder of recorded catalogs, is read instead of the network, as gpuhunt does.

    Raises
    ------
    SpecError
        If gpuhunt is not installed, or nothing could be asked.
    """
    import logging
    import os
    from importlib.metadata import version

    try:
        import gpuhunt
    except ImportError:
        raise SpecError(Problem("gpuhunt is not installed", hint="pip install 'trainsim[prices]'")) from None
    # gpuhunt logs a traceback for everything that it cannot reach; the reasons are told here in a line each.
    logging.getLogger("gpuhunt").setLevel(logging.CRITICAL + 1)
    found: dict[str, list[Offer]] = {}
    failed: dict[str, str] = {}
    try:
        recorded = os.environ.get("GPUHUNT_CATALOG_DIR")
        catalog = gpuhunt.Catalog(auto_reload=False) if recorded else gpuhunt.default_catalog()
    except Exception as error:  # noqa: BLE001 - whatever a network raises
        hint = "nothing was written; check the connection, or set GPUHUNT_CATALOG_DIR to a recorded catalog"
        raise SpecError(
            Problem(f"the catalog of gpuhunt cannot be reached: {_reason(error)}", hint=hint)
        ) from None
    for provider in providers:
        try:
            found[provider] = list(catalog.query(provider=provider, min_gpu_count=1))
        except Exception as error:  # noqa: BLE001 - each provider fails in its own way
            reason = _reason(error)
            failed[provider] = (
                "gpuhunt asks it only with its credentials set" if "not loaded" in reason else reason
            )
    if not any(found.values()):
        reasons = "; ".join(f"{name}: {reason}" for name, reason in failed.items()) or "no offers"
        raise SpecError(Problem(f"no provider could be asked: {reasons}"[:500], hint="nothing was written"))
    return found, failed, version("gpuhunt")


def _reason(error: BaseException) -> str:
    """The innermost cause, in one line."""
    while error.__cause__ is not None:
        error = error.__cause__
    return " ".join(str(error).split())[:160] or type(error).__name__
