"""When no layout divides, whatever its memory: which choice is in the way, and what would run in its place."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from simulator.search import choice, feasibility, lattice
from simulator.search.evaluate import Counts
from simulator.search.question import Question
from simulator.transformer import Shape

RELEASED = "micro_batch_size global_batch_size vp zero_stage shard_group dp pp tp cp ep recompute".split()
"""Pinned choices in the order in which they are left out, one at a time."""

REASON_OF = {"micro_batch_size": "batch", "global_batch_size": "batch", "vp": "layers"}
"""Choices to the one reason of `feasibility.REASONS` that they can be refused for."""

NEAREST = 24
"""Batches, or numbers of accelerators, that are tried at most on either side of what is written. [-]"""


def why(question: Question, machine: int, n_gpus: int, shape: Shape, counts: Counts) -> dict[str, Any]:
    """Why no layout of a model divides, and the smallest change with which one runs: each of them was looked for and found."""
    name, change = _released(question, machine, n_gpus, shape)
    last = furthest(counts)
    reason = last if last == "schedule" else REASON_OF.get(name, last)
    written = (
        f"{batch_words(question, question.pins.global_batch_size)}: " if name == "global_batch_size" else ""
    )
    return {
        "reason": reason,
        "text": f"no layout: {written}{feasibility.REASONS[reason]}",
        "refused": dict(counts.refused),
        "smallest_change": change or _other_number(question, machine, n_gpus, shape),
    }


def furthest(counts: Counts) -> str:
    """The last reason that refused a plan: what was refused for it passed all others.

    Examples
    --------
    >>> furthest(Counts(refused={"layers": 900, "batch": 12, "devices": 40}))
    'batch'
    """
    return next((name for name in reversed(feasibility.REASONS) if counts.refused.get(name)), "devices")


def batch_words(question: Question, sequences: float | None) -> str:
    """A batch as the scenario writes it: in tokens or in sequences."""
    if question.batch_in_tokens:
        return f"global_batch_tokens {(sequences or 0.0) * question.seq_length:,.0f}"
    return f"global_batch_size {sequences or 0.0:,.0f}"


def _released(question: Question, machine: int, n_gpus: int, shape: Shape) -> tuple[str, str]:
    """The pinned choice without which a layout runs, and what to write in its place; both empty if there is none."""
    for name in RELEASED:
        if getattr(question.pins, name) is None:
            continue
        free: dict[str, Any] = {name: None}
        freed = replace(question, pins=replace(question.pins, **free))
        plans, _ = choice.layouts(freed, machine, n_gpus, shape)
        if not plans:
            continue
        near = _near_batches(question, machine, n_gpus, shape) if name == "global_batch_size" else ""
        value = int(getattr(plans[0].layout, name, 0)) or "another value"
        return name, near or f"leave out {name}; {value} would run"
    return "", ""


def _near_batches(question: Question, machine: int, n_gpus: int, shape: Shape) -> str:
    """The nearest batches that run, on both sides of the one that is written, in words; empty if none was found.

    Each is asked for as it would be written: one in tokens may be rounded again.
    """
    pinned = int(question.pins.global_batch_size or 0)
    divisors = lattice.divisors(n_gpus)
    smaller = {pinned // d * d for d in divisors} - {0, pinned}
    larger = {-(-pinned // d) * d for d in divisors} - {pinned}

    def first(batches: Iterable[int]) -> list[int]:
        for batch in list(batches)[:NEAREST]:
            pins = replace(question.pins, global_batch_size=float(batch))
            if choice.layouts(replace(question, pins=pins), machine, n_gpus, shape, number=1)[0]:
                return [batch]
        return []

    found = [*first(sorted(smaller, reverse=True)), *first(sorted(larger))]
    return " or ".join(batch_words(question, float(b)) for b in found) + " would run" if found else ""


def _other_number(question: Question, machine: int, n_gpus: int, shape: Shape) -> str:
    """The nearest numbers of accelerators, whole nodes or powers of two, on which a layout runs, in words."""
    node = question.machines[machine].node_size
    near = {n_gpus // node * node + side * node for side in range(-NEAREST, NEAREST)}
    near |= {*lattice.powers_of_two(2 * n_gpus)}
    for other in sorted(near - {n_gpus}, key=lambda n: abs(n - n_gpus))[: 2 * NEAREST]:
        if other > 0 and choice.layouts(question, machine, other, shape, number=1)[0]:
            return f"use {other:,} accelerators"
    return (
        _other_software(question, machine, n_gpus, shape) or f"another number of accelerators than {n_gpus:,}"
    )


def _other_software(question: Question, machine: int, n_gpus: int, shape: Shape) -> str:
    """The ways to split the model that its software lacks and that would help, in words; empty if none would."""
    whole = replace(question, pins=replace(question.pins, without=()))
    plans, _ = (
        choice.layouts(whole, machine, n_gpus, shape, number=1) if question.pins.without else ([], None)
    )
    degrees = [
        f"{name} {getattr(plan.layout, name):g}"
        for plan in plans
        for name in question.pins.without
        if name != "sequence_parallel" and getattr(plan.layout, name) > 1
    ]
    return f"take software that has {' and '.join(degrees)}" if degrees else ""
