"""Choices against reality: the layout that the clock ranks first, against the best one measured.

A prediction may be wrong by a factor that all layouts share and still rank them rightly; what a planner loses is the regret of
its choice: the measured time of the layout that it ranks first over that of the best one measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from simulator import clocks, library
from simulator.errors import SpecError, UnknownNameError
from simulator.validate import cases as tables
from simulator.validate import intervals
from simulator.validate.published import validate_published
from simulator.validate.rows import with_all_columns

if TYPE_CHECKING:
    import pandas as pd

    from simulator.validate.cases import Cases

FRAMEWORK = "nanotron"
"""Framework of the rows that sweep layouts at one model, batch and scale."""

FEWEST = 3
"""Layouts that a group needs to be a choice. [-]"""

P90 = 1.2815515594
"""90th percentile of the normal distribution, in standard deviations. [-]"""

CLOSE = 1.5
"""Layouts within this factor of the fastest predicted one are those a planner may choose. [-]"""


def validate_layouts(path: str | Path, *, clock: str = "memory_copies", rows: bool = False) -> dict[str, Any]:
    """Regret of the layout that a clock ranks first, on a sweep of layouts.

    Parameters
    ----------
    path : str or Path
        Table in the format of ``measurements/throughput.csv``; rows of `FRAMEWORK` are used.
    clock : str, optional
        Name of the clock.
    rows : bool, optional
        Also list every group.

    Returns
    -------
    dict
        ``regret`` (groups of one model, batch and number of accelerators), ``regret_same_fabric`` (the same, with runs on a
        degraded fabric or of another version of the engine apart), each with ``n layouts median p90 best_first``;
        ``own_share`` (share of the variance of log measured over predicted, among layouts predicted within `CLOSE` of the
        first, that differs between layouts of a group) and ``own_spread`` (standard deviation of that part); ``hours`` (see `simulator.validate.published`) and ``rows`` if
        asked. [-]

    Notes
    -----
    The clock's constants are fitted to these rows among others, all layouts of a group with the same few constants: a good
    ranking is evidence for the form of the clock, not for another framework.
    """
    if clock not in clocks.CLOCKS:
        raise UnknownNameError(clock, kind="clock", names=clocks.CLOCKS)
    frame = tables.read_frame(path)
    if "framework" not in frame.columns or "id" not in frame.columns:
        raise SpecError(f"{path}: missing columns framework, id; see docs/validation.md for the format")
    frame = with_all_columns(frame)
    sweep = frame[frame["framework"].fillna("").str.startswith(FRAMEWORK)]
    cases = tables.of_frame(sweep)
    predicted = intervals.step_times(cases, clock)
    found = groups(cases, predicted)
    apart = groups(cases, predicted, states=_states(sweep, cases))
    report: dict[str, Any] = {
        "clock": clock,
        "regret": _summary(found),
        "regret_same_fabric": _summary(apart),
        "own_share": own_share(apart),
        "own_spread": round(spreads(apart)[0], 3),
        "hours": validate_published(library.find("measurements", "published_runs"), clock=clock),
    }
    if rows:
        report["rows"] = [_shown(one) for one in found]
    return report


def groups(cases: Cases, predicted: np.ndarray, states: list[Any] | None = None) -> list[dict[str, Any]]:
    """Rows that differ in their layout only: keys, median predicted and measured step time of each layout.

    Parameters
    ----------
    cases : Cases
        Rows.
    predicted : array
        Step time of each. [s]
    states : list, optional
        What else must be equal inside a group.
    """
    s, x = cases.shape, cases.layout
    gpus, batch = x.tp * x.pp * x.dp * x.cp, x.micro_batch_size * x.num_microbatches * x.dp
    model = (
        s.num_hidden_layers,
        s.hidden_size,
        s.num_attention_heads,
        s.num_key_value_heads,
        s.intermediate_size,
        s.vocab_size,
        x.seq_length,
        gpus,
        batch,
    )
    layout = (x.tp, x.pp, x.cp, x.micro_batch_size, x.zero_stage, x.recompute)
    found: dict[Any, dict[Any, list[int]]] = {}
    for row in range(len(cases)):
        key = (str(cases.gpu[row]), *(float(np.asarray(column)[row]) for column in model))
        key = key if states is None else (*key, states[row])
        choice = tuple(float(np.asarray(column)[row]) for column in layout)
        found.setdefault(key, {}).setdefault(choice, []).append(row)
    out = []
    for key, choices in found.items():
        if len(choices) < FEWEST:
            continue
        measured = np.array([np.median(cases.measured_s[rows]) for rows in choices.values()])
        times = np.array([np.median(predicted[rows]) for rows in choices.values()])
        out.append({"key": key, "layouts": list(choices), "measured": measured, "predicted": times})
    return out


def regret(predicted: np.ndarray, measured: np.ndarray) -> float:
    """Measured time of the layout predicted fastest, over the fastest measured, minus one. [-]

    Examples
    --------
    >>> print(regret(np.array([1.0, 1.1, 1.2]), np.array([2.2, 2.0, 2.4])))
    0.1
    """
    return round(float(measured[np.argmin(predicted)]) / float(np.min(measured)) - 1.0, 12)


def own_share(found: list[dict[str, Any]]) -> float:
    """Share of the variance of log measured over predicted that differs between the layouts of a group. [-]"""
    own, whole = spreads(found)
    return round(min((own / whole) ** 2, 1.0), 3) if whole > 0 else float("nan")


def spreads(found: list[dict[str, Any]]) -> tuple[float, float]:
    """Spread of log measured over predicted between the layouts of a group, and over all layouts: a pair. [-]

    Standard deviations of a normal distribution with the same 10th and 90th percentile: three runs of the sweep took 6 to 22 times
    as long as their neighbours, which says nothing of layouts. Of layouts predicted within `CLOSE` of the first; what a
    group's own median takes away is given back.
    """
    logs = []
    for one in found:
        near = one["predicted"] <= CLOSE * np.min(one["predicted"])
        if np.count_nonzero(near) >= 2:
            logs.append(np.log(one["measured"][near] / one["predicted"][near]))
    if len(logs) < 2:
        return float("nan"), float("nan")
    apart = [(each - np.median(each)) * np.sqrt(len(each) / (len(each) - 1)) for each in logs]
    own, whole = (np.quantile(np.concatenate(parts), [0.1, 0.9]) for parts in (apart, logs))
    return float((own[1] - own[0]) / (2 * P90)), float((whole[1] - whole[0]) / (2 * P90))


def _states(frame: pd.DataFrame, cases: Cases) -> list[Any]:
    """Fabric and version of the engine of every row."""
    notes = dict(zip(frame["id"].astype(str), frame["notes"].astype(str), strict=True))
    return [
        (keys["link_latency_s"][0], keys["launch_s"][0], "after_pp_fix=True" in notes.get(str(name), ""))
        for name, keys in zip(cases.id, cases.keys, strict=True)
    ]


def _summary(found: list[dict[str, Any]]) -> dict[str, float]:
    if not found:
        return {"n": 0}
    values = np.array([regret(one["predicted"], one["measured"]) for one in found])
    return {
        "n": len(found),
        "layouts": sum(len(one["layouts"]) for one in found),
        "median": round(float(np.median(values)), 4),
        "p90": round(float(np.quantile(values, 0.9)), 4),
        "best_first": round(float(np.mean(values <= 0)), 4),
    }


def _shown(one: Mapping[str, Any]) -> dict[str, Any]:
    first, best = int(np.argmin(one["predicted"])), int(np.argmin(one["measured"]))
    names = ("tp", "pp", "cp", "micro_batch_size", "zero_stage", "recompute")
    gpu, layers, width, *_, gpus, batch = one["key"][:10]
    row = {"gpu": gpu, "num_hidden_layers": layers, "hidden_size": width, "n_gpus": gpus, "batch": batch}
    for word, place in (("first", first), ("best", best)):
        row |= {f"{word}_{name}": value for name, value in zip(names, one["layouts"][place], strict=True)}
    return row | {"layouts": len(one["layouts"]), "regret": regret(one["predicted"], one["measured"])}
