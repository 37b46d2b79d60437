"""Published runs against reality: accelerator-hours and cost of whole trainings, predicted from what their authors state.

A row of ``measurements/published_runs.csv`` pins what is published: model, tokens, batch, accelerators, and the layout where one is
stated. What a row leaves empty the planner chooses. Nothing is fitted to these hours.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from simulator import clocks
from simulator.errors import SimulatorError, SpecError, UnknownNameError
from simulator.simulate import run
from simulator.validate import cases as tables
from simulator.validate.cells import empty

UNSTATED_GPUS = 2048
"""Accelerators of a run that states none: those of LLaMA 65B (arXiv:2302.13971, section 2.4). [-]"""

REQUIRED = ("id", "model", "tokens", "seq_length", "accelerator", "gpu_hours")
"""Columns that every row must fill."""

DEGREES = ("tp", "pp", "cp", "ep", "vp", "zero_stage")
"""Columns that are whole numbers of ``parallelism``."""

BATCH = ("global_batch_size", "micro_batch_size")
"""Columns that are whole numbers of ``training``."""

HOURS = {
    "steps": "time of a step times steps",
    "elapsed": "from start to end, with what went wrong",
    "stated": "as the authors count",
    "assumed": "as others read it off a logbook, without restarts",
}
"""What the published hours are, by the word in ``hours_kind``."""

WITHOUT_LOSSES = ("steps", "assumed")
"""Kinds of hours in which no lost time is counted."""


def validate_published(path: str | Path, *, clock: str = "memory_copies") -> dict[str, Any]:
    """Accelerator-hours and cost of published runs, predicted and published.

    Parameters
    ----------
    path : str or Path
        Table in the format of ``measurements/published_runs.csv``.
    clock : str, optional
        Name of the clock.

    Returns
    -------
    dict
        ``n median_ape p90_ape bias coverage_80``; the same in ``by_layout`` (``stated``: tensor and pipeline degree published, ``chosen``:
        by the planner) and ``by_hours`` (see `HOURS`); ``cost`` of runs that publish one; ``skipped`` and ``rows`` with ``id
        model n_gpus layout published_gpu_hours predicted_gpu_hours interval_gpu_hours error assumed fits includes source``. [-]

    Raises
    ------
    SpecError
        If the file is no such table.
    UnknownNameError
        If there is no clock of that name.

    Notes
    -----
    Lost time is the planner's default (see `simulator.goodput.scaled`), none where the hours count none. A layout that was
    run but does not fit by the predicted memory is predicted all the same and marked. Published hours contain what
    ``includes`` names; a prediction is of the steps alone, so it tends to be low, and its 80 % interval, that of step times,
    holds less than 80 % of them.
    """
    if clock not in clocks.CLOCKS:
        raise UnknownNameError(clock, kind="clock", names=clocks.CLOCKS)
    frame = tables.read_frame(path, required=REQUIRED)
    rows: list[dict[str, Any]] = []
    skipped: dict[str, str] = {}
    for record in frame.to_dict("records"):
        each = {str(key): value for key, value in record.items()}
        try:
            rows.append(predicted(each, clock=clock))
        except (SimulatorError, ValueError, KeyError, TypeError, OverflowError) as error:
            skipped[str(each.get("id"))] = " ".join(str(error).split())[:160]
    stated = {"stated": True, "chosen": False}
    return {
        "clock": clock,
        **_errors(rows),
        "by_layout": {
            word: _errors([r for r in rows if r["layout_stated"] is is_it]) for word, is_it in stated.items()
        },
        "by_hours": {
            kind: _errors([r for r in rows if r["hours_kind"] == kind])
            for kind in sorted({str(r["hours_kind"]) for r in rows})
        },
        "cost": _errors([r for r in rows if r["published_cost_usd"] is not None]),
        "skipped": skipped,
        "rows": rows,
    }


def _errors(rows: list[dict[str, Any]]) -> dict[str, float]:
    if not rows:
        return {"n": 0}
    ratio = np.array([row["predicted_gpu_hours"] / row["published_gpu_hours"] for row in rows])
    return {
        "n": len(rows),
        "median_ape": round(float(np.median(np.abs(ratio - 1))), 4),
        "p90_ape": round(float(np.quantile(np.abs(ratio - 1), 0.9)), 4),
        "bias": round(float(np.log(ratio).mean()), 4),
        "coverage_80": round(float(np.mean([_inside(row) for row in rows])), 4),
    }


def _inside(row: Mapping[str, Any]) -> bool:
    """Whether the published hours lie in the interval of the predicted ones."""
    low, high = row["interval_gpu_hours"]
    return bool(low <= row["published_gpu_hours"] <= high)


def scenario_of(record: Mapping[str, Any]) -> dict[str, Any]:
    """The question that a row asks: everything published is pinned, the rest is open.

    Examples
    --------
    >>> row = {"model": "llama-2-7b", "tokens": 2e12, "seq_length": 4096, "accelerator": "A100-80GB", "tp": 1.0}
    >>> scenario_of(row)["parallelism"], scenario_of(row)["hardware"]["n_gpus"]
    ({'tp': 1}, 2048)
    """
    training: dict[str, Any] = {
        "tokens": float(record["tokens"]),
        "seq_length": int(record["seq_length"]),
        **{name: int(record[name]) for name in BATCH if not empty(record.get(name))},
        **{name: str(record[name]) for name in ("precision", "recompute") if not empty(record.get(name))},
    }
    if not empty(record.get("flash_attention")):
        training["flash_attention"] = str(record["flash_attention"]).lower() == "true"
    n_gpus = record.get("n_gpus")
    hardware: dict[str, Any] = {
        "accelerator": str(record["accelerator"]),
        "n_gpus": UNSTATED_GPUS if empty(n_gpus) else int(float(str(n_gpus))),
    }
    if not empty(record.get("cluster")):
        hardware["cluster"] = str(record["cluster"])
    if not empty(record.get("usd_per_gpu_hour")):
        hardware["price"] = f"${float(record['usd_per_gpu_hour'])}/GPU-h"
    asked: dict[str, Any] = {
        "model": str(record["model"]),
        "hardware": hardware,
        "training": training,
        "parallelism": {name: int(record[name]) for name in DEGREES if not empty(record.get(name))},
        "search": {"max_alternatives": 0},
    }
    if not empty(record.get("schedule")):
        asked["parallelism"]["schedule"] = str(record["schedule"])
    if not empty(record.get("dispatcher")):
        asked["parallelism"]["dispatcher"] = str(record["dispatcher"])
    if not empty(record.get("software")):
        asked["software"] = str(record["software"])
    if record.get("hours_kind") in WITHOUT_LOSSES:
        asked["goodput"] = 1.0
    return asked


def predicted(record: Mapping[str, Any], *, clock: str = "memory_copies") -> dict[str, Any]:
    """One published run with its prediction.

    Raises
    ------
    SpecError
        If a field that every row needs is empty, or nothing can be predicted.
    """
    missing = [name for name in REQUIRED if empty(record.get(name))]
    if missing:
        raise SpecError(f"{', '.join(missing)} not stated")
    asked = scenario_of(record)
    found = run({**asked, "clock": clock})
    answer = found.answer
    if not found.feasible and (found.infeasible.get("reason") != "memory" or "gpu_hours" not in answer):
        raise SpecError(str(found.infeasible.get("text")))
    hours, published = float(answer["gpu_hours"]), float(record["gpu_hours"])
    if not published > 0:
        raise SpecError("gpu_hours is not positive")
    cost = record.get("cost_usd")
    open_ = [word for word, names in _OPEN.items() if all(empty(record.get(name)) for name in names)]
    layout = ("tp", "pp", "dp", "ep", "vp", "micro_batch_size", "zero_stage")
    return {
        "id": str(record["id"]),
        "model": str(record["model"]),
        "n_gpus": int(answer["n_gpus"]),
        "layout": {name: int(answer[name]) for name in layout} | {"recompute": str(answer["recompute"])},
        "layout_stated": "layout" not in open_,
        "hours_kind": "stated" if empty(record.get("hours_kind")) else str(record["hours_kind"]),
        "published_gpu_hours": published,
        "predicted_gpu_hours": hours,
        "interval_gpu_hours": [float(each) for each in answer["interval"]["gpu_hours"]],
        "error": hours / published - 1,
        "published_cost_usd": None if empty(cost) else float(str(cost)),
        "predicted_cost_usd": None if "price" not in asked["hardware"] else float(answer["cost_usd"]),
        "assumed": ", ".join(
            open_ if "layout" not in open_ else [word for word in open_ if word not in _PART]
        ),
        "fits": bool(found.feasible),
        "includes": _text(record.get("includes")),
        "source": _text(record.get("source")),
    }


_OPEN = {
    "layout": ("tp", "pp"),
    "micro-batch": ("micro_batch_size",),
    "recomputation": ("recompute",),
    "batch": ("global_batch_size",),
    "n_gpus": ("n_gpus",),
    "software": ("software",),
}
"""What the planner chooses or takes by default, to the columns that would state it."""

_PART = ("micro-batch", "recomputation")
"""What is chosen with a layout."""


def _text(value: Any) -> str:
    return "" if empty(value) else str(value)
