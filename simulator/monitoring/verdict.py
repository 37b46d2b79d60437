"""Whether a run is on track, and what is probably to blame if it is slow.

On track means that the median step lies in the 80 % interval of the prediction. The blame is graded by what the log shows:
timers and waiting for data are measured; stalls and drift are patterns of the step times; without any of these the log only
has one number per step, and what is said is how much slower each level would have to be to explain it alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from simulator.monitoring.logs import Log, Point

WARMUP = 5
"""Logged steps that are left out at the start: compilation, allocation, filling of queues. [-]"""

STALL = 1.5
"""A step that takes this many medians is a stall (checkpoint, evaluation, data, a straggler). [-]"""

DRIFT = 0.05
"""A last quarter slower than the first by more is a drift. [-]"""

SAME_TOTAL = 0.05
"""A run whose logged number of steps differs from the plan's by more is another run; less comes of rounding. [-]"""

PLAUSIBLE = 3.0
"""A level that would have to be slower by more is not offered as the only cause. [-]"""

TIMERS: dict[str, tuple[str, ...]] = {
    "data": ("batch-generator",),
    "data_parallel": ("all-grads-sync", "params-all-gather", "layernorm-grads-all-reduce"),
    "pipeline": (
        "forward-recv",
        "backward-recv",
        "forward-send-backward-recv",
        "backward-send-forward-recv",
        "forward-send",
        "backward-send",
    ),
    "optimizer": ("optimizer",),
    "compute": ("forward-compute", "backward-compute"),
}
"""Part of a step, to Megatron's timers of it."""

PARTS: dict[str, tuple[str, ...]] = {
    "data": (),
    "data_parallel": ("data_parallel",),
    "pipeline": ("pipeline_bubble", "pipeline_send"),
    "optimizer": ("optimizer",),
    "compute": (
        "tiles",
        "attention",
        "memory",
        "host",
        "logits",
        "tensor_parallel",
        "context_parallel",
        "expert_parallel",
    ),
}
"""Part of a step, to the levels of the prediction that it contains."""


def judge(log: Log, answer: Mapping[str, Any], *, skip: int | None = None) -> dict[str, Any]:
    """Compare a log with the answer of a scenario.

    Parameters
    ----------
    log : Log
        Steps of the run.
    answer : mapping
        ``answer`` of a `Result`, or one of its stages (`Result.stage`).
    skip : int, optional
        Logged steps to leave out at the start; `WARMUP`, or a third of a short log, if absent. [-]

    Returns
    -------
    dict
        ``verdict`` (``on track``, ``slow``, ``fast`` or ``another plan``), the measured and predicted step times with the
        interval, ``blame`` (most probable first), and what is left of the run; ``stage`` and ``stages`` where that is one stage of
        a plan that grows a model.

    Examples
    --------
    >>> log = Log("megatron", [Point(i, 1.3) for i in range(20)])
    >>> answer = {"step_time_s": 1.0, "interval": {"step_time_s": [0.9, 1.1]}, "breakdown": {"tiles": 0.8, "memory": 0.2}}
    >>> found = judge(log, answer)
    >>> found["verdict"], found["ratio"], found["blame"][0]["level"]
    ('slow', 1.3, 'tiles')
    """
    points = kept(log.points, skip)
    times = np.array([point.step_time_s for point in points])
    median = float(np.median(times))
    predicted = float(answer["step_time_s"])
    low, high = (float(each) for each in answer["interval"]["step_time_s"])
    stalls = stalled(times)
    report: dict[str, Any] = {
        "verdict": "slow" if median > high else "fast" if median < low else "on track",
        "kind": log.kind,
        "steps_read": len(log.points),
        "steps_used": len(points),
        "last_step": points[-1].step,
        "step_time_s": median,
        "step_time_p10_p90_s": [float(each) for each in np.quantile(times, [0.1, 0.9])],
        "predicted_step_time_s": predicted,
        "predicted_interval_s": [low, high],
        "ratio": round(median / predicted, 4),
        "stalled_share": stalls["share"],
        "drift": drift(times),
        "mean_step_time_s": float(np.mean(times)),
        "blame": blame(log, times, answer) if median > high else [],
        "notes": notes(points, answer, stalls),
    }
    wrong = [text for text in (batch_differs(points, answer), total_differs(points, answer)) if text]
    if wrong:
        report["verdict"] = "another plan"
        report["notes"] = [*wrong, *report["notes"]]
    stage = {name: answer[name] for name in ("stage", "stages") if name in answer}
    return report | stage | remaining(points[-1], float(np.mean(times)), answer)


def kept(points: Sequence[Point], skip: int | None) -> list[Point]:
    """Points without the warm-up; at least one stays."""
    first = min(WARMUP, len(points) // 3) if skip is None else skip
    return list(points[min(first, len(points) - 1) :])


def stalled(times: np.ndarray) -> dict[str, float]:
    """Share of the time that steps far above the median lose over it. [-]"""
    median = float(np.median(times))
    lost = np.where(times > STALL * median, times - median, 0.0)
    return {"share": round(float(lost.sum() / times.sum()), 4), "steps": float((lost > 0).sum())}


def drift(times: np.ndarray) -> float:
    """Relative difference between the medians of the last and the first quarter; 0 for fewer than 12 steps. [-]"""
    if len(times) < 12:
        return 0.0
    quarter = len(times) // 4
    first, last = float(np.median(times[:quarter])), float(np.median(times[-quarter:]))
    return round(last / first - 1.0, 4)


def blame(log: Log, times: np.ndarray, answer: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What probably makes a run slow, most probable first; measured causes stand before patterns and patterns before shares."""
    found = [*_measured(log, answer), *_patterns(times)]
    return [*found, *_shares(float(np.median(times)), answer)]


def _measured(log: Log, answer: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Parts of a step whose timers exceed the prediction."""
    levels = answer["breakdown"]
    found = []
    for part, timers in TIMERS.items():
        seen = [log.timers_s[name] for name in timers if name in log.timers_s]
        if not seen:
            continue
        measured, predicted = sum(seen), sum(levels.get(name, 0.0) for name in PARTS[part])
        excess = measured - predicted
        if excess > 0.02 * float(answer["step_time_s"]):
            text = f"timers {', '.join(t for t in timers if t in log.timers_s)}: {measured:.3g} s, predicted {predicted:.3g} s"
            found.append({"level": part, "evidence": "measured", "excess_s": excess, "text": text})
    return sorted(found, key=lambda each: -float(each["excess_s"]))


def _patterns(times: np.ndarray) -> list[dict[str, Any]]:
    """A slow drift, which no constant level makes."""
    change = drift(times)
    if change <= DRIFT:
        return []
    text = (
        f"the last quarter is {change:.0%} slower than the first: power or heat limits, growing fragmentation, "
        "or a neighbor on the network; a level that is slow from the start does not drift"
    )
    return [{"level": "drift", "evidence": "pattern", "text": text}]


def _shares(median: float, answer: Mapping[str, Any]) -> list[dict[str, Any]]:
    """How much slower each level would have to be to explain the excess alone."""
    excess = median - float(answer["step_time_s"])
    found = []
    for name, value in answer["breakdown"].items():
        if value <= 0:
            continue
        factor = 1.0 + excess / value
        if math.isfinite(factor) and factor <= PLAUSIBLE:
            text = f"would have to be {factor:.2f} times slower to explain it alone"
            found.append({"level": name, "evidence": "share only", "factor": round(factor, 3), "text": text})
    return sorted(found, key=lambda each: float(each["factor"]))


def batch_differs(points: Sequence[Point], answer: Mapping[str, Any]) -> str:
    """A sentence if the log states another batch than the plan, else nothing."""
    batch, planned = points[-1].global_batch_size, answer.get("global_batch_size")
    if batch is None or planned is None or batch == planned:
        return ""
    return f"the log's global batch is {batch} sequences, the plan's {planned}: the step times do not compare"


def total_differs(points: Sequence[Point], answer: Mapping[str, Any]) -> str:
    """A sentence if the log states another number of steps in all than the plan, else nothing."""
    total, planned = points[-1].total_steps, answer.get("steps")
    if not total or not planned or not math.isfinite(planned) or abs(total / planned - 1) <= SAME_TOTAL:
        return ""
    return (
        f"the log's run has {total:,} steps in all, the plan's {planned:,.0f}: another run, or other tokens"
    )


def notes(points: Sequence[Point], answer: Mapping[str, Any], stalls: Mapping[str, float]) -> list[str]:
    """What else the log shows."""
    out = []
    if stalls["share"] > 0.02:
        out.append(
            f"{stalls['steps']:.0f} of {len(points)} logged steps take over {STALL:g} medians and lose "
            f"{stalls['share']:.1%} of the time: checkpoints, evaluation, data or a straggler"
        )
    memory = [point.memory_gib for point in points if point.memory_gib is not None]
    planned = answer.get("memory_gib")
    if memory and planned:
        out.append(f"memory {max(memory):.1f} GiB, predicted {planned:.1f} GiB")
    if len(points) < 10:
        out.append(f"only {len(points)} logged steps after the warm-up")
    return out


def remaining(last: Point, mean_s: float, answer: Mapping[str, Any]) -> dict[str, Any]:
    """What is left of the run at the measured pace, if its length is known: as logged, else as planned. [days]"""
    steps = last.total_steps or answer.get("steps")
    if not steps or not math.isfinite(steps) or last.step > steps:
        return {}
    return {
        "steps": float(steps),
        "share_done": round(last.step / steps, 4),
        "days_left": (steps - last.step) * mean_s / 86400.0,
        "days_left_predicted": (steps - last.step) * float(answer["step_time_s"]) / 86400.0,
    }
