"""On which offer and in which place a plan stands, in words: what tells apart rows of the same accelerator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from simulator.report.text import number, quantity

Document = Mapping[str, Any]


def offer_words(answer: Document) -> str:
    """How the accelerators of a plan are had; empty at a rent that the scenario wrote itself.

    Examples
    --------
    >>> offer_words({"offer": "Crusoe, spot, 2026-08-19", "terms": "spot"}), offer_words({"terms": ""})
    ('Crusoe, spot, 2026-08-19', '')
    >>> offer_words({"offer": "the scenario", "terms": "owned", "outlay_usd": 16384000.0})
    "bought: the run's share of an outlay of $16.4M"
    """
    if answer.get("outlay_usd") is not None:
        return f"bought: the run's share of an outlay of {quantity(answer['outlay_usd'], 'USD')}"
    return str(answer.get("offer") or "")


def outlay_words(answer: Document) -> str:
    """What is paid at once for accelerators that are bought, and what of it counts; empty for rented ones."""
    if answer.get("outlay_usd") is None:
        return ""
    outlay = quantity(answer["outlay_usd"], "USD")
    return (
        f"the outlay for {answer['n_gpus']:,} accelerators is {outlay} at once; only the run's share of it counts as cost and "
        "against budget.cost"
    )


def labels(rows: Sequence[Document], names: Sequence[str]) -> list[str]:
    """Names of rows; where machines are compared, their accelerator with what tells it apart: the network, else the price."""
    if not any(row.get("kind") == "hardware" for row in rows):
        return list(names)
    machines = [row for row in rows if _is_place(row)]
    out = []
    for row, name in zip(rows, names, strict=True):
        alike = [each for each in machines if each["accelerator"] == row["accelerator"]]
        told = [text(row) for text in (_network, _price) if len({text(each) for each in alike}) > 1]
        out.append(" ".join([row["accelerator"], *told[:1]]) if _is_place(row) else name)
    return out


def _is_place(row: Document) -> bool:
    """Whether a row is the answer, or its rival on another machine."""
    return bool(row.get("kind", "hardware") == "hardware")


def answer_words(answer: Document, others: Sequence[Document]) -> str:
    """The answer as a row of its own, with network and price as far as its rivals on the same accelerator differ in them."""
    rivals = [row for row in others if _is_place(row) and row["accelerator"] == answer["accelerator"]]
    differs = [text for text in (_place, _offer) if any(text(row) != text(answer) for row in rivals)]
    return "; ".join(["the answer", *filter(None, (text(answer) for text in differs))])


def _network(row: Document) -> str:
    return f"{number(row.get('network_gbit_per_s'))} Gb/s"


def _place(row: Document) -> str:
    cluster = f" (cluster {row['cluster']})" if row.get("cluster") else ""
    return f"network {_network(row)}{cluster}"


def _price(row: Document) -> str:
    rent = row.get("usd_per_gpu_hour")
    return "" if rent is None else f"${rent:.2f}/h"


def _offer(row: Document) -> str:
    rent = row.get("usd_per_gpu_hour")
    told = (row.get("offer"), "" if rent is None else f"${rent:.2f}/GPU-h")
    text = ", ".join(filter(None, told))
    return f"price: {text}" if text else ""
