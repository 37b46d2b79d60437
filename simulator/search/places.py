"""What tells apart machines of the same accelerators: their network, their price, their grid."""

from __future__ import annotations

from typing import Any

from simulator.search.question import Machine, Question
from simulator.search.table import Plan

BIT_PER_S = 8.0 / 1e9
"""Bytes per second to gigabits per second."""


def network_gbit_per_s(machine: Machine) -> float:
    """Network of one accelerator in one direction that the clock counts with. [Gb/s]"""
    return float(machine.setting.device.network_bandwidth) * BIT_PER_S


def offer_of(machine: Machine) -> dict[str, Any]:
    """Terms of the price, and the price of one accelerator where it is bought; empty where no price is known."""
    return machine.about.get("offer") or {}


def record(machine: Machine, n_gpus: int) -> dict[str, Any]:
    """Place and offer of a plan as figures of its answer.

    Returns
    -------
    dict
        ``network_gbit_per_s``; ``cluster`` where one is named; ``offer`` and ``terms`` where the price is not simply a written
        rent; ``outlay_usd`` where accelerators are bought.
    """
    out: dict[str, Any] = {"network_gbit_per_s": network_gbit_per_s(machine)}
    if machine.about.get("cluster"):
        out["cluster"] = machine.about["cluster"]
    offer = offer_of(machine)
    if offer.get("text") and offer["text"] != "the scenario":
        out["offer"] = offer["text"]
    if offer.get("terms"):
        out["terms"] = offer["terms"]
    if (outlay := outlay_usd(machine, n_gpus)) is not None:
        out["outlay_usd"] = outlay
    return out


def outlay_usd(machine: Machine, n_gpus: int) -> float | None:
    """What is paid at once for accelerators that are bought; ``None`` for rented ones. [USD]"""
    owned = offer_of(machine).get("owned")
    return float(owned["usd_per_gpu"]) * n_gpus if owned else None


def words(question: Question, plan: Plan, best: Plan) -> list[str]:
    """Network, price and grid of a plan, as far as machines of its accelerator differ in them."""
    here, there = question.machines[plan.machine], question.machines[best.machine]
    alike = [machine for machine in question.machines if machine.label == here.label]
    if here is there or len(alike) < 2:
        return []
    out = [_network(here)] if len({_network(each) for each in alike}) > 1 else []
    if len({(each.usd_per_gpu_hour, offer_of(each).get("text")) for each in alike}) > 1 and _price(here):
        out.append(f"price: {_price(here)}")
    grids = {each.grid_g_per_kwh for each in alike}
    if here.grid_g_per_kwh is not None and len(grids) > 1:
        out.append(f"grid of {here.grid_g_per_kwh:g} gCO2e/kWh")
    return out


def _network(machine: Machine) -> str:
    cluster = machine.about.get("cluster")
    text = f"network {network_gbit_per_s(machine):.4g} Gb/s"
    return f"{text} (cluster {cluster})" if cluster else text


def _price(machine: Machine) -> str:
    """The price with who asks it and on which terms."""
    text = offer_of(machine).get("text")
    rent = "" if machine.usd_per_gpu_hour is None else f"${machine.usd_per_gpu_hour:.2f}/GPU-h"
    return ", ".join(filter(None, (text if text != "the scenario" else "", rent)))
