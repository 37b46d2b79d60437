"""When nothing fits: the plan that comes closest, the reason, and the smallest change that helps."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from simulator import memory, transformer
from simulator.layout import Layout
from simulator.schema.training import WRITTEN_OUT
from simulator.search import choice, evaluate, feasibility, lattice, planner, shortfalls, undivided
from simulator.search.evaluate import Counts
from simulator.search.machines import LORA_RANK
from simulator.search.question import ONE_STEP, Question
from simulator.search.table import Plan, plan_of, scalar_shape, single
from simulator.transformer import Shape
from simulator.units import format_quantity

GIB = float(2**30)

MOST_DOUBLINGS = 6
"""More accelerators are looked at up to this many doublings, as far as single changes of a layout go."""

SEEN = 8
"""Layouts that are looked at for one that shards the states."""


def closest(question: Question, machine: int, n_gpus: int, shape: Shape) -> Plan | None:
    """The layout that needs least memory among those that divide, though it does not fit; ``None`` if none divides."""
    where = question.machines[machine]
    one = single(shape)
    axes = planner.axes_for(question, where, n_gpus, one)
    some, layout = lattice.shapes_on_axis(one), axes.layout()
    runs = np.ones(axes.size(1), dtype=bool)
    for _, mask in feasibility.refusals(some, layout, axes):
        runs = runs & ~mask
    if not np.any(runs):
        return None
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        total = np.where(runs, where.setting.memory(some, layout)["total"], np.inf)
    total = np.moveaxis(total, lattice.BATCH, -1)[
        0
    ]  # of equal ones the first kernel and spread, then the smallest batch
    kernel, spread, batch = (int(i) for i in np.unravel_index(int(np.argmin(total)), total.shape))
    chosen = evaluate.layout_at(axes, kernel, spread, batch)
    seconds = float(where.setting.step_time(shape, chosen))
    return plan_of(question, machine, n_gpus, shape, chosen, seconds)


def why_nothing(
    question: Question, machine: int, n_gpus: int, shape: Shape, plan: Plan | None, counts: Counts
) -> dict[str, Any]:
    """Why no layout of a model runs, by how much, and the smallest change that fits."""
    if plan is None:
        return undivided.why(question, machine, n_gpus, shape, counts)
    setting = question.machines[machine].setting
    capacity = float(setting.device.memory_capacity)
    total = float(setting.memory(shape, plan.layout)["total"])
    advice = remedies(question, machine, n_gpus, shape, plan)
    return {
        "reason": "memory",
        "needed": total / GIB,
        "available": capacity / GIB,
        "unit": "GiB",
        "text": f"memory: needs {_bytes(total)} of {_bytes(capacity)} per accelerator",
        "smallest_change": advice,
    }


def _bytes(value: float) -> str:
    """Memory in GiB, or in what is left readable of it."""
    if value >= 0.1 * GIB:
        return f"{value / GIB:.1f} GiB"
    return format_quantity(value, "byte", unit="MiB" if value >= 2**20 else "KiB")


def remedies(
    question: Question, machine: int, n_gpus: int, shape: Shape, plan: Plan, *, smallest: bool = False
) -> str:
    """The smallest change of a layout that fits, in words; where it takes more accelerators, what else would fit.

    Each of them is a plan that was looked for and found. Below the `smallest` model there is none to advise.
    """
    setting = question.machines[machine].setting
    first = smallest_change(
        setting,
        shape,
        plan.layout,
        most_zero=max(question.zero_stages),
        pins=question.pins,
    )
    if "accelerators" not in first and "no single change" not in first:
        return first
    if "no single change" in first:
        length = shorter(question, machine, n_gpus, shape)
        if length or smallest:
            first = f"no single change of the layout fits; {length or 'accelerators with more memory would'}"
    others = [
        "" if first.startswith("dp ") else sharded(question, machine, n_gpus, shape),
        adapters(question, machine, n_gpus, shape),
    ]
    return "; or ".join([first, *(each for each in others if each)])


def shorter(question: Question, machine: int, n_gpus: int, shape: Shape) -> str:
    """The longest sequences, halved again and again, that fit, in words; empty if none do."""
    halvings, length = 1, question.seq_length // 2
    while length >= 1:
        pinned = question.pins.global_batch_size
        if pinned is not None and question.batch_in_tokens:
            pinned = pinned * 2**halvings
        asked = replace(question, seq_length=length, pins=replace(question.pins, global_batch_size=pinned))
        if choice.layouts(asked, machine, n_gpus, shape, number=1)[0]:
            return f"a shorter training.seq_length would: {length:,} fits (1/{2**halvings} of it)"
        halvings, length = halvings + 1, length // 2
    return ""


def sharded(question: Question, machine: int, n_gpus: int, shape: Shape) -> str:
    """The fewest accelerators (doublings of `n_gpus`) on which a layout that shards the states fits, in words."""
    for doublings in range(1, MOST_DOUBLINGS + 1):
        many = n_gpus * 2**doublings
        plans, _ = choice.layouts(question, machine, many, shape, number=SEEN)
        for plan in plans:
            x = plan.layout
            if x.zero_stage and x.dp > 1:
                degrees = "".join(f"{n} {getattr(x, n):g}, " for n in ("tp", "cp", "pp") if getattr(x, n) > 1)
                return f"{many:,} accelerators with ZeRO {x.zero_stage:g} ({degrees}dp {x.dp:g})"
        if plans:
            return ""
    return ""


def adapters(question: Question, machine: int, n_gpus: int, shape: Shape) -> str:
    """Adapters in place of all weights, or 4 bits under adapters, in words, where they fit on the accelerators that there are."""
    where = question.machines[machine]
    now = where.setting.trainable
    if question.qualities or question.learning.shape_law is not None:
        return ""
    packs = where.setting.precision in WRITTEN_OUT and not question.pins.autocast_frozen
    lighter = {"full": ("lora", "qlora"), "lora": ("qlora",)}.get(now, ())
    for trainable in (each for each in lighter if packs or each != "qlora"):
        setting = replace(where.setting, trainable=trainable)
        if now == "full":
            setting = replace(setting, lora_rank=LORA_RANK)
        pins = replace(
            question.pins,
            frozen=1,
            quantized=int(trainable == "qlora"),
            autocast=question.pins.autocast_frozen,
        )
        machines = tuple(
            replace(each, setting=setting) if place == machine else each
            for place, each in enumerate(question.machines)
        )
        frozen = replace(question, machines=machines, pins=pins)
        if choice.layouts(frozen, machine, n_gpus, shape, number=1)[0]:
            return f"training.trainable: {trainable}" + (", for a fine-tune" if now == "full" else "")
    return ""


def smallest_change(
    setting: evaluate.Setting, shape: Shape, layout: Layout, *, most_zero: int, pins: lattice.Pins
) -> str:
    """The smallest change of a layout that fits, in words; nothing that the software lacks."""
    capacity, domain = float(setting.device.memory_capacity), int(setting.device.link_domain)
    how: dict[str, Any] = {
        "optimizer": setting.optimizer,
        "precision": setting.precision,
        "trainable": setting.trainable,
        "lora_rank": setting.lora_rank,
        "constants": setting.profile,
        "without": pins.without,
    }
    whole = replace(
        layout,
        **{
            k: int(getattr(layout, k))
            for k in ("tp", "pp", "dp", "cp", "micro_batch_size", "num_microbatches")
        },
    )
    change = memory.smallest_change(
        shape,
        whole,
        capacity=capacity,
        gpus_per_node=domain,
        most_zero=most_zero,
        zero_with_tp=pins.zero_with_tp,
        **how,
    )
    if change is not None:
        return f"{change.change}: {change.reason}"
    fewest = memory.fewest_gpus(shape, whole, capacity=capacity, gpus_per_node=domain, **how)
    return (
        f"{fewest.change}; {fewest.reason}"
        if fewest is not None
        else "no single change fits; a smaller model would"
    )


def _too_short(question: Question, candidates: Shape) -> dict[str, Any]:
    """Why even the shortest step of the smallest model is more than a run has; empty if it is not."""
    shape = scalar_shape(candidates, int(np.argmin(evaluate.parameters(candidates))))
    plans = [
        plan
        for place, machine in enumerate(question.machines)
        for n_gpus in machine.counts
        for plan in choice.layouts(question, place, n_gpus, shape)[0]
        if np.isfinite(plan.columns["tokens"])
    ]
    if not plans or question.steps is not None:
        return {}
    longest = max(plans, key=lambda plan: plan.columns["steps"])
    return shortfalls.too_short(question, longest) if longest.columns["steps"] < ONE_STEP else {}


def why_no_plan(question: Question, candidates: Shape, counts: Counts) -> dict[str, Any]:
    """Why a search over shapes found nothing."""
    refused = counts.refused
    short = _too_short(question, candidates)
    if short:
        return {**short, **({"refused": dict(sorted(refused.items()))} if refused else {})}
    if counts.considered == 0 or (not refused and question.limits.given):
        tight = "cost" if question.limits.cost_usd is not None else "time"
        text = f"no plan ends within the limits ({', '.join(question.limits.given)})"
        change = "raise the limit, or lower tokens" if question.fixed else "raise the limit"
        return {"reason": tight, "text": text, "smallest_change": change}
    reason = undivided.furthest(counts)
    if refused.get("memory"):
        reason = "memory"
    if refused.get("time"):
        reason = "time"
    out: dict[str, Any] = {
        "reason": reason,
        "text": feasibility.REASONS[reason],
        "refused": dict(sorted(refused.items())),
    }
    smallest = int(np.argmin(evaluate.parameters(candidates)))
    shape = scalar_shape(candidates, smallest)
    machine = next(i for i, m in enumerate(question.machines) if m.counts)
    plan = closest(question, machine, max(question.machines[machine].counts), shape)
    if reason == "memory" and plan is not None:
        setting = question.machines[machine].setting
        capacity, n_gpus = float(setting.device.memory_capacity), max(question.machines[machine].counts)
        total = float(setting.memory(shape, plan.layout)["total"])
        size = float(transformer.parameters(shape))
        out |= {"needed": total / GIB, "available": capacity / GIB, "unit": "GiB"}
        out["text"] = (
            f"memory: even {format_quantity(size, 'parameter')} parameters need {_bytes(total)} of {_bytes(capacity)}"
        )
        out["smallest_change"] = remedies(question, machine, n_gpus, shape, plan, smallest=True)
    elif reason == "time" and plan is not None:
        out |= shortfalls.shortfall(question, plan)
    elif plan is None:
        out = undivided.why(question, machine, max(question.machines[machine].counts), shape, counts)
    return out
