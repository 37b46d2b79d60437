"""Logs of training programs as steps with their times.

Understood are the console lines of Megatron-LM [1]_ (with its timers), torchtitan [2]_ and nanotron [3]_, the progress and
``trainer_state.json`` of the Hugging Face Trainer, and tables (CSV) as Weights & Biases and TensorBoard export them.

References
----------
.. [1] https://github.com/NVIDIA/Megatron-LM, ``megatron/training/training.py`` (``training_log``), read 2026-11.
.. [2] https://github.com/pytorch/torchtitan, ``torchtitan/components/metrics.py``, read 2026-11.
.. [3] https://github.com/huggingface/nanotron, ``src/nanotron/trainer.py`` (``train_step_logs``), read 2026-11.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from simulator.errors import Problem, SpecError

MAX_BYTES = 200_000_000
"""Larger logs are not read. [B]"""


@dataclass(frozen=True)
class Point:
    """One logged step."""

    step: int
    step_time_s: float
    """Time of one step; the mean of the steps since the last line. [s]"""
    loss: float | None = None
    memory_gib: float | None = None
    global_batch_size: int | None = None
    """Sequences per step, where the log says so."""
    total_steps: int | None = None
    """Steps of the whole run, where the log says so."""


@dataclass
class Log:
    """A log, read."""

    kind: str
    points: list[Point] = field(default_factory=list)
    timers_s: dict[str, float] = field(default_factory=dict)
    """Megatron's timers, the slowest rank, last seen. [s]"""
    data_share: float | None = None
    """Share of a step spent waiting for data, where the log says so. [-]"""


NUMBER = r"([\d.,]+(?:[eE][-+]?\d+)?)"
_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_MEGATRON = re.compile(
    r"iteration\s+(\d+)/\s*(\d+|infinity)\s*\|.*?elapsed time per iteration \(ms\):\s*" + NUMBER
)
_TITAN = re.compile(r"step:\s*(\d+)\s+loss:\s*" + NUMBER + r".*?\btps:\s*" + NUMBER)
_NANOTRON = re.compile(
    r"iteration:\s*(\d+)\s*/\s*(\d+)\s*\|.*?elapsed_time_per_iteration_ms:\s*([\d.]+)([KMB]?)"
)
_TQDM = re.compile(r"(\d+)/(\d+) \[[\d:]+<[\d:?]+,\s*([\d.]+)\s*(s/it|it/s)")
_TOTAL = re.compile(r"\btotal (?:optimization )?steps (?:= )?([\d,]+)", re.IGNORECASE)
"""What torchtitan and the Trainer say of a run before its first step."""
_TIMER = re.compile(r"^\s+([a-z][a-z-]+) \.*:\s*\(([\d.]+),\s*([\d.]+)\)")
_SCALE = {"": 1.0, "K": 1e3, "M": 1e6, "B": 1e9}


def read_log(text: str, *, name: str = "log", tokens_per_step: float = 0.0, n_gpus: float = 1.0) -> Log:
    """Read a log.

    Parameters
    ----------
    text : str
        Content of the file.
    name : str, optional
        Shown in errors.
    tokens_per_step, n_gpus : float, optional
        Of the plan: turn a throughput per accelerator into the time of a step. [tokens], [-]

    Raises
    ------
    SpecError
        If no step with a time is found.

    Examples
    --------
    >>> line = " iteration  10/ 1000 | consumed samples: 160 | elapsed time per iteration (ms): 1147.6 | lm loss: 9.1E+00 |"
    >>> log = read_log(line)
    >>> log.kind, log.points[0].step_time_s, log.points[0].loss
    ('megatron', 1.1476, 9.1)
    """
    text = _ANSI.sub("", text)
    stripped = text.lstrip()
    per_gpu = tokens_per_step / n_gpus
    if stripped.startswith("{") and '"log_history"' in stripped:
        log = _trainer_state(stripped, name)
    else:
        log = _console(text, per_gpu)
        if not log.points:
            log = _table(text, per_gpu)
    if not log.points:
        raise SpecError(_unreadable(text, name))
    by_step = {point.step: point for point in log.points}
    log.points = [by_step[step] for step in sorted(by_step)]
    return log


def _unreadable(text: str, name: str) -> Problem:
    """Why no step was found: in a table the columns that are wanted, else the logs that are read."""
    reason = "no step with its time was found"
    heads = next(csv.reader(io.StringIO(text[:10_000])), [])
    if len(heads) < 2:
        kinds = (
            "Megatron-LM, torchtitan, nanotron, Hugging Face Trainer, or CSV with a step and a time per step"
        )
        return Problem(reason, file=name, hint=f"logs that are read: {kinds}")
    steps = f"the step is read from a column {', '.join(STEPS[:4])}"
    times = f"its time from {', '.join(TIMES)}, a rate from {', '.join(RATES)}, or a clock from {', '.join(CLOCKS)}"
    return Problem(f"{reason} in columns {', '.join(heads)[:200]}", file=name, hint=f"{steps}; {times}")


# --- console lines --------------------------------------------------------------------------------------------------


def _console(text: str, tokens_per_gpu: float) -> Log:
    readers: dict[str, Callable[[str], Point | None]] = {
        "megatron": _megatron,
        "torchtitan": lambda line: _titan(line, tokens_per_gpu),
        "nanotron": _nanotron,
        "huggingface": _progress,
    }
    log, total = Log(""), None
    for line in re.split(r"[\r\n]+", text):
        for kind, reader in readers.items():
            point = reader(line) if log.kind in ("", kind) else None
            if point is not None:
                log.kind = kind
                log.points.append(point if point.total_steps else replace(point, total_steps=total))
                break
        stated = _TOTAL.search(line)
        total = total if stated is None else _whole(stated[1])
        timer = _TIMER.match(line)
        if timer:
            log.timers_s[timer[1]] = float(timer[3]) / 1e3
    return log


def _after(line: str, label: str) -> float | None:
    match = re.search(re.escape(label) + r":?\s*" + NUMBER, line)
    return None if match is None else _float(match[1])


def _float(text: str) -> float | None:
    try:
        return float(text.replace(",", "").rstrip("."))
    except ValueError:
        return None


def _whole(text: str) -> int | None:
    """A number of steps; none for ``infinity``."""
    digits = text.replace(",", "")
    return int(digits) or None if digits.isdigit() and len(digits) <= 12 else None


def _point(step: str, time_s: float | None, **more: Any) -> Point | None:
    if time_s is None or not 0 < time_s < 1e6 or len(step) > 12:
        return None
    return Point(int(step), time_s, **more)


def _megatron(line: str) -> Point | None:
    match = _MEGATRON.search(line)
    if match is None:
        return None
    milliseconds, batch = _float(match[3]), _after(line, "global batch size")
    return _point(
        match[1],
        None if milliseconds is None else milliseconds / 1e3,
        loss=_after(line, "lm loss"),
        global_batch_size=None if batch is None else int(batch),
        total_steps=_whole(match[2]),
    )


def _titan(line: str, tokens_per_gpu: float) -> Point | None:
    match = _TITAN.search(line)
    rate = _float(match[3]) if match else None
    if match is None or not rate or not tokens_per_gpu:
        return None
    return _point(match[1], tokens_per_gpu / rate, loss=_float(match[2]), memory_gib=_after(line, "memory"))


def _nanotron(line: str) -> Point | None:
    match = _NANOTRON.search(line)
    if match is None:
        return None
    batch = re.search(r"global_batch_size:\s*([\d.]+)([KMB]?)", line)
    sequences = int(float(batch[1]) * _SCALE[batch[2]]) if batch and not batch[2] else None
    return _point(
        match[1],
        float(match[3].rstrip(".")) * _SCALE[match[4]] / 1e3,
        loss=_after(line, "lm_loss"),
        global_batch_size=sequences,
        total_steps=_whole(match[2]),
    )


def _progress(line: str) -> Point | None:
    match = _TQDM.search(line)
    rate = _float(match[3]) if match else None
    if match is None or not rate or int(match[1]) == 0:
        return None
    return _point(match[1], rate if match[4] == "s/it" else 1.0 / rate, total_steps=_whole(match[2]))


# --- files ----------------------------------------------------------------------------------------------------------


def _trainer_state(text: str, name: str) -> Log:
    """``trainer_state.json``: only its last entry has a time."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        raise SpecError(Problem("not JSON", file=name)) from None
    history, total = data.get("log_history"), data.get("max_steps")
    total = total if isinstance(total, int) and total > 0 else None
    log = Log("huggingface")
    for entry in history if isinstance(history, list) else []:
        if not isinstance(entry, Mapping):
            continue
        rate, step = entry.get("train_steps_per_second"), entry.get("step")
        if isinstance(rate, (int, float)) and rate > 0 and isinstance(step, int):
            # Rounded to three places by the Trainer; the runtime over the steps has more of them.
            runtime = entry.get("train_runtime")
            time_s = 1.0 / rate
            if isinstance(runtime, (int, float)) and runtime > 0 and step > 0:
                time_s = runtime / step
            log.points.append(Point(step, time_s, loss=entry.get("train_loss"), total_steps=total))
    return log


STEPS = ("step", "_step", "global_step", "iteration", "trainer/global_step", "train/global_step")
TIMES: dict[str, float] = {
    "step_time_s": 1.0,
    "step_time": 1.0,
    "iteration-time": 1.0,
    "iteration_time": 1.0,
    "time_metrics/end_to_end(s)": 1.0,
    "elapsed_time_per_iteration_ms": 1e-3,
    "step_time_ms": 1e-3,
    "iteration_time_ms": 1e-3,
}
"""Columns that hold the time of a step, and their unit. [s]"""
RATES = ("throughput(tps)", "tokens_per_sec_per_gpu", "tokens_per_s_per_gpu", "tokens_per_second_per_gpu")
CLOCKS = {"_runtime": 1.0, "relative time (process)": 1.0, "_timestamp": 1.0, "wall time": 1.0}
"""Columns of a running clock; the time of a step is the difference of two rows over the steps between them. [s]"""


def _table(text: str, tokens_per_gpu: float) -> Log:
    """A CSV of Weights & Biases, of TensorBoard, or one's own."""
    try:
        rows = list(csv.DictReader(io.StringIO(text)))
    except csv.Error:
        return Log("csv")
    if not rows:
        return Log("csv")
    heads = [head for head in rows[0] if head and not head.endswith(("__MIN", "__MAX"))]
    step = _column(heads, STEPS)
    if step is None:
        return Log("csv")
    loss = _column(heads, ("lm loss", "lm_loss", "train/loss", "loss", "loss_metrics/global_avg_loss"))
    times = _column(heads, TIMES)
    if times is not None:
        unit = next(unit for name, unit in TIMES.items() if _is(times, name))
        return Log("csv", _rows(rows, step, loss, lambda row: _scaled(row.get(times), unit)))
    rates = _column(heads, RATES)
    if rates is not None and tokens_per_gpu:
        return Log("csv", _rows(rows, step, loss, lambda row: _inverse(row.get(rates), tokens_per_gpu)))
    clock = _column(heads, CLOCKS)
    return Log("csv", [] if clock is None else _differences(rows, step, clock, loss))


def _short(head: str) -> str:
    """The metric of a column; Weights & Biases writes ``run - metric``."""
    return head.rsplit(" - ", 1)[-1].strip().lower()


def _is(head: str, name: str) -> bool:
    return _short(head) == name or _short(head).endswith("/" + name)


def _column(heads: Iterable[str], names: Iterable[str]) -> str | None:
    """The first column that bears one of the names, with or without a group in front (``perf/step_time``)."""
    heads = list(heads)
    return next((head for name in names for head in heads if _is(head, name)), None)


def _scaled(value: Any, unit: float) -> float | None:
    number = _float(str(value or ""))
    return None if number is None else number * unit


def _inverse(value: Any, tokens: float) -> float | None:
    rate = _float(str(value or ""))
    return tokens / rate if rate else None


def _rows(
    rows: list[dict[str, Any]], step: str, loss: str | None, time_s: Callable[[dict[str, Any]], float | None]
) -> list[Point]:
    points = []
    for row in rows:
        at = _float(str(row.get(step) or ""))
        if at is None:
            continue
        point = _point(str(int(at)), time_s(row), loss=_float(str(row.get(loss) or "")) if loss else None)
        points += [point] if point else []
    return points


def _differences(rows: list[dict[str, Any]], step: str, clock: str, loss: str | None) -> list[Point]:
    points, before = [], None
    for row in rows:
        at, now = _float(str(row.get(step) or "")), _float(str(row.get(clock) or ""))
        if at is None or now is None:
            continue
        if before is not None and at > before[0]:
            point = _point(
                str(int(at)),
                (now - before[1]) / (at - before[0]),
                loss=_float(str(row.get(loss) or "")) if loss else None,
            )
            points += [point] if point else []
        before = (at, now)
    return points


def read_text(path: Path) -> str:
    """A log as text; bytes that are no text are replaced, as they come from many ranks at once.

    Raises
    ------
    SpecError
        If it cannot be read, or is larger than `MAX_BYTES`.
    """
    name = str(path)[:300]
    try:
        if not path.is_file():
            raise SpecError(Problem("no such file", file=name))
        if path.stat().st_size > MAX_BYTES:
            raise SpecError(
                Problem(f"larger than {MAX_BYTES // 10**6} MB", file=name, hint="give its last part")
            )
        return path.read_text(encoding="utf-8", errors="replace")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a path"
        raise SpecError(Problem(f"cannot be read: {reason}", file=name)) from None
