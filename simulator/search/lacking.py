"""What is not known of a machine though a limit or an objective needs it: a price, the accelerator's power, the grid."""

from __future__ import annotations

from typing import Any

from simulator.search.notes import Notes
from simulator.search.question import Machine, Question

NEEDS = {"cost_usd": ("price",), "energy_j": ("power",), "co2e_kg": ("power", "grid")}
"""Limits and objectives to what they need to know of a machine."""

COUNTED = ("energy_j", "co2e_kg")
"""Limits and objectives that follow from power. An objective without a price takes accelerator-hours instead."""

REASONS = {
    "price": (
        "a limit on cost needs hardware.price: no price is known for {labels}",
        "write hardware.price, such as $2.50/GPU-h",
    ),
    "power": (
        "energy and carbon need the accelerator's power: no tdp is known for {labels}",
        "write its tdp, such as accelerator: {{extends: {first}, tdp: 700 W}}",
    ),
    "grid": (
        "carbon needs hardware.grid_intensity: no grid is known for {labels}",
        "write hardware.grid_intensity, such as 380 gCO2e/kWh",
    ),
}
"""Why nothing can be judged, and what to write, by what is not known."""


def lacks(question: Question, machine: Machine) -> str:
    """What is not known of a machine, a key of `REASONS`; empty where everything that is asked can be judged."""
    known = {
        "price": machine.usd_per_gpu_hour,
        "power": machine.power_per_gpu_w,
        "grid": machine.grid_g_per_kwh,
    }
    asked = [*question.limits.given, *(name for name in question.objectives if name in COUNTED)]
    missing = (what for name in asked for what in NEEDS.get(name, ()) if known[what] is None)
    return next(missing, "")


def reason(question: Question) -> dict[str, Any]:
    """Why no machine can be judged, and what to write; empty if one can."""
    tried = [machine for machine in question.machines if machine.counts]
    found = [(lacks(question, machine), machine.label) for machine in tried]
    if not found or not all(what for what, _ in found):
        return {}
    what = found[0][0]
    labels = list(dict.fromkeys(label for each, label in found if each == what))
    text, change = (words.format(labels=", ".join(labels), first=labels[0]) for words in REASONS[what])
    return {"reason": what, "text": text, "smallest_change": change}


def annotate(question: Question, notes: Notes) -> None:
    """Say which machines take no part for want of a figure, and where those that do count energy unlike."""
    bare: dict[str, list[str]] = {}
    for machine in question.machines:
        if what := lacks(question, machine):
            bare.setdefault(what, []).append(machine.label)
    labels = {what: ", ".join(dict.fromkeys(each)) for what, each in bare.items()}
    if "price" in labels:
        notes.warn(
            "no-price",
            f"no price is known for {labels['price']}; write hardware.price, such as $2.50/GPU-h",
        )
    if "power" in labels:
        notes.warn(
            "no-power",
            f"no tdp is known for {labels['power']}, so neither energy nor carbon: left out; write its tdp, such as 700 W",
        )
    if set(COUNTED) & {*question.limits.given, *question.objectives}:
        _unequal(question, notes)


def _unequal(question: Question, notes: Notes) -> None:
    """Say where the energy of some machines contains hosts or cooling and that of others does not."""
    counted = {
        machine.label: tuple(machine.about.get("power_without", ()))
        for machine in question.machines
        if machine.power_per_gpu_w is not None
    }
    if len(set(counted.values())) < 2:
        return
    told = "; ".join(
        f"{label} {'without ' + ' and '.join(left) if left else 'with hosts and cooling'}"
        for label, left in counted.items()
    )
    notes.warn(
        "energy-boundary",
        f"energy does not contain the same of every machine: {told}; name a cluster, or write hardware.pue, for each of them",
    )
