"""One optimizer step as a timeline that Perfetto and Chrome's tracing page open: which stage works on what, when.

The events are laid out from the same ledger as the predicted step time. Every micro-batch of a stage takes the time that the
breakdown gives it, forward a third and backward two thirds of it (a fourth and three fourths with full recomputation, which
repeats the forward pass in the backward); messages between stages are spread evenly over the passes. Each stage follows the
order of 1F1B or interleaved 1F1B [1]_; what waits for another stage waits. Data-parallel traffic that nothing hides (ZeRO-3
gathers too), the optimizer and the overhead follow.

References
----------
.. [1] Narayanan et al., "Efficient Large-Scale Language Model Training on GPU Clusters", arXiv:2104.04473, section 2.2.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from simulator.errors import InfeasibleError

MOST_EVENTS = 200_000
"""A timeline with more passes is refused. [-]"""

SHARED = (
    "tiles",
    "attention",
    "memory",
    "host",
    "tensor_parallel",
    "context_parallel",
    "expert_parallel",
)
"""Levels that every micro-batch of every stage pays."""

Pass = tuple[str, int, int]
"""``forward`` or ``backward``, micro-batch, chunk of layers on this stage."""


@dataclass(frozen=True)
class Event:
    """One bar of the timeline."""

    name: str
    stage: int
    start_s: float
    duration_s: float
    level: str
    micro_batch: int = -1
    chunk: int = 0


def order(*, stage: int, pp: int, num_microbatches: int, vp: int = 1) -> list[Pass]:
    """Passes of one stage in the order in which 1F1B, or interleaved 1F1B, runs them.

    Examples
    --------
    >>> [f"{kind[0]}{batch}" for kind, batch, _ in order(stage=0, pp=2, num_microbatches=3)]
    ['f0', 'f1', 'b0', 'f2', 'b1', 'b2']
    >>> len(order(stage=1, pp=4, num_microbatches=8, vp=2))
    32
    """
    total = num_microbatches * vp
    if vp == 1:
        warmup = min(pp - stage - 1, total)
    else:
        warmup = total if num_microbatches == pp else min((pp - stage - 1) * 2 + (vp - 1) * pp, total)
    forward = [("forward", *_place(i, pp, vp)) for i in range(total)]
    backward = [
        ("backward", batch, vp - 1 - chunk) for batch, chunk in (_place(i, pp, vp) for i in range(total))
    ]
    out: list[Pass] = list(forward[:warmup])
    for i in range(total - warmup):
        out += [forward[warmup + i], backward[i]]
    return out + list(backward[total - warmup :])


def _place(index: int, pp: int, vp: int) -> tuple[int, int]:
    """Micro-batch and chunk of a stage's pass: groups of `pp` micro-batches go through one chunk after the other."""
    group, inside = divmod(index, pp * vp)
    chunk, member = divmod(inside, pp)
    return (group * pp + member, chunk) if vp > 1 else (index, 0)


def timeline(answer: Mapping[str, Any], *, schedule: str = "1f1b") -> list[Event]:
    """The passes of one step of a plan, stage by stage.

    Parameters
    ----------
    answer : mapping
        ``answer`` of a `Result`, or one of its stages (`Result.stage`).
    schedule : str, optional
        ``1f1b`` or ``interleaved``; others are refused.

    Raises
    ------
    InfeasibleError
        If the plan follows another schedule, or the timeline would be too long.
    """
    pp, vp, m = int(answer["pp"]), int(answer["vp"]), int(answer["num_microbatches"])
    if schedule not in ("1f1b", "interleaved"):
        raise InfeasibleError(f"a timeline shows 1F1B, plain and interleaved, not {schedule}")
    if vp > 1 and m % pp:
        raise InfeasibleError(f"interleaving needs micro-batches in groups of pp = {pp}, not {m}")
    if 2 * pp * vp * m > MOST_EVENTS:
        raise InfeasibleError(
            f"{2 * pp * vp * m:,} passes are too many for a timeline; at most {MOST_EVENTS:,}"
        )
    lengths = passes(answer)
    events = _run(pp, vp, m, lengths)
    return events + _after(answer, pp, max(event.start_s + event.duration_s for event in events))


def passes(answer: Mapping[str, Any]) -> dict[str, tuple[float, float]]:
    """Forward and backward of one micro-batch on one chunk, and of the logits on the last. [s]"""
    levels, m, vp = answer["breakdown"], float(answer["num_microbatches"]), float(answer["vp"])
    turns = (
        m + (float(answer["pp"]) - 1.0) / vp
    )  # of the longest path: what fills the pipeline, and every micro-batch
    sent = levels.get("pipeline_send", 0.0) / turns
    chunk = (sum(levels.get(name, 0.0) for name in SHARED) / m + sent) / vp
    logits = levels.get("logits", 0.0) / m
    share = 1.0 / 4.0 if answer["recompute"] == "full" else 1.0 / 3.0
    return {
        "chunk": (chunk * share, chunk * (1.0 - share)),
        # The logits are never computed again.
        "logits": (logits / 3.0, logits * 2.0 / 3.0),
    }


def _run(pp: int, vp: int, m: int, lengths: Mapping[str, tuple[float, float]]) -> list[Event]:
    """Each stage does its passes in its order; a pass starts when the stage is free and what it needs is there."""
    todo = [order(stage=stage, pp=pp, num_microbatches=m, vp=vp) for stage in range(pp)]
    at, free = [0] * pp, [0.0] * pp
    done: dict[tuple[str, int, int], float] = {}
    events: list[Event] = []
    while any(at[stage] < len(todo[stage]) for stage in range(pp)):
        moved = False
        for stage in range(pp):
            while at[stage] < len(todo[stage]):
                kind, batch, chunk = todo[stage][at[stage]]
                place = chunk * pp + stage
                ready = _ready(kind, batch, place, pp * vp, done)
                if ready is None:
                    break
                start = max(free[stage], ready)
                which = 0 if kind == "forward" else 1
                length = lengths["chunk"][which]
                length += lengths["logits"][which] if place == pp * vp - 1 else 0.0
                done[kind, batch, place] = free[stage] = start + length
                events.append(Event(f"{kind[0].upper()}{batch}", stage, start, length, kind, batch, chunk))
                at[stage] += 1
                moved = True
        if not moved:
            raise InfeasibleError("the schedule waits for itself")  # pragma: no cover - the orders never do
    return events


def _ready(
    kind: str, batch: int, place: int, places: int, done: Mapping[tuple[str, int, int], float]
) -> float | None:
    """When the input of a pass is there; ``None`` if what makes it has not run."""
    if kind == "forward":
        return 0.0 if place == 0 else done.get(("forward", batch, place - 1))
    needed = ("forward", batch, place) if place == places - 1 else ("backward", batch, place + 1)
    return done.get(needed)


def _after(answer: Mapping[str, Any], pp: int, end_s: float) -> list[Event]:
    """What follows the last backward pass, on every stage."""
    events = []
    for name in ("data_parallel", "optimizer", "overhead"):
        length = float(answer["breakdown"].get(name, 0.0))
        if length > 0:
            events += [Event(name.replace("_", " "), stage, end_s, length, name) for stage in range(pp)]
            end_s += length
    return events


def chrome_trace(events: list[Event], *, name: str = "step") -> dict[str, Any]:
    """Events in the JSON of Chrome's trace viewer, which Perfetto reads too; its times are in microseconds.

    Examples
    --------
    >>> trace = chrome_trace([Event("F0", 0, 0.0, 1.5, "forward", 0)])
    >>> trace["traceEvents"][-1]["dur"], trace["traceEvents"][0]["args"]
    (1500000.0, {'name': 'step'})
    """
    stages = sorted({event.stage for event in events})
    head: list[dict[str, Any]] = [{"ph": "M", "pid": 0, "name": "process_name", "args": {"name": name}}]
    head += [
        {"ph": "M", "pid": 0, "tid": stage, "name": "thread_name", "args": {"name": f"stage {stage}"}}
        for stage in stages
    ]
    bars = [
        {
            "ph": "X",
            "pid": 0,
            "tid": event.stage,
            "name": event.name,
            "cat": event.level,
            "ts": event.start_s * 1e6,
            "dur": event.duration_s * 1e6,
            "args": {"micro_batch": event.micro_batch, "chunk": event.chunk}
            if event.micro_batch >= 0
            else {},
        }
        for event in events
    ]
    return {"displayTimeUnit": "ms", "traceEvents": head + bars}
