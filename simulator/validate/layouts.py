"""Choices against reality: the layout that the clock ranks first, and accelerator-hours of published runs.

A prediction may be wrong by a factor that all layouts share and still rank them rightly; what a planner loses is the regret of
its choice: the measured time of the layout that it ranks first over that of the best one measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from simulator import calibrations, clocks
from simulator.errors import SimulatorError, SpecError, UnknownNameError
from simulator.simulate import run
from simulator.validate import cases as tables
from simulator.validate.rows import empty, number

if TYPE_CHECKING:
    import pandas as pd

    from simulator.validate.cases import Cases

FRAMEWORK = "nanotron"
"""Framework of the rows that sweep layouts at one model, batch and scale."""

FEWEST = 3
"""Layouts that a group needs to be a choice. [-]"""

CLOSE = 1.5
"""Layouts within this factor of the fastest predicted one are those a planner may choose. [-]"""

UNSTATED_GPUS = 2048
"""Accelerators of a model card that states none: those of Llama 1 65B (arXiv:2302.13971, section 2.4). [-]"""

STATED: dict[str, dict[str, Any]] = {
    "Llama-2": {"batch_tokens": 2.0**22, "source": "arXiv:2307.09288, section 2.2"},
    "LLaMA-": {"batch_tokens": 2.0**22, "source": "arXiv:2302.13971, table 2"},
    "Llama-3.1-405B": {"batch_tokens": 2.0**24, "n_gpus": 16384, "source": "arXiv:2407.21783, section 3.4.1"},
}
"""What papers state beside their accelerator-hours, by the start of the name of the model."""


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
        first, that differs between layouts of a group); ``hours`` (see `validate_hours`) and ``rows`` if asked. [-]

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
    sweep = frame[frame["framework"].fillna("").str.startswith(FRAMEWORK)]
    cases = tables.of_frame(sweep)
    constants = tables.constants(cases, calibrations.shipped_values())
    levels = clocks.CLOCKS[clock](cases.shape, cases.layout, cases.device, constants)
    predicted = np.asarray(sum(levels.values()) + np.zeros(len(cases)), dtype=float)
    found = groups(cases, predicted)
    apart = groups(cases, predicted, states=_states(sweep, cases))
    report: dict[str, Any] = {
        "clock": clock,
        "regret": _summary(found),
        "regret_same_fabric": _summary(apart),
        "own_share": own_share(apart),
        "hours": validate_hours(frame, clock=clock),
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
    """Share of the variance of log measured over predicted that differs between the layouts of a group. [-]

    Of layouts predicted within `CLOSE` of the first; variance components of a one-way layout.
    """
    logs = []
    for one in found:
        near = one["predicted"] <= CLOSE * np.min(one["predicted"])
        if np.count_nonzero(near) >= 2:
            logs.append(np.log(one["measured"][near] / one["predicted"][near]))
    if len(logs) < 2:
        return float("nan")
    sizes = np.array([len(each) for each in logs], dtype=float)
    within = sum(float(((each - each.mean()) ** 2).sum()) for each in logs) / float((sizes - 1).sum())
    everything = np.concatenate(logs)
    among = float((sizes * np.array([(e.mean() - everything.mean()) ** 2 for e in logs])).sum())
    typical = (sizes.sum() - (sizes**2).sum() / sizes.sum()) / (len(logs) - 1)
    shared = max((among / (len(logs) - 1) - within) / typical, 0.0)
    return round(float(within / (within + shared)), 3)


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


# --- published accelerator-hours ------------------------------------------------------------------------------------


def validate_hours(frame: pd.DataFrame, *, clock: str = "memory_copies") -> dict[str, Any]:
    """Accelerator-hours that the planner predicts for runs whose card states nothing else.

    Returns
    -------
    dict
        ``n median_ape p90_ape bias skipped`` and ``rows`` with ``id model n_gpus published_gpu_hours predicted_gpu_hours error
        assumed``. [-]

    Notes
    -----
    The planner chooses what a card leaves open: layout and batch on `UNSTATED_GPUS`. Published hours contain restarts,
    evaluation, long-context stages and the software of their year; the prediction is of a healthy run in the best layout and
    so tends to be low.
    """
    rows: list[dict[str, Any]] = []
    skipped: dict[str, str] = {}
    hours = frame[(frame["measured_quantity"] == "gpu_hours_total") & frame["global_batch_seqs"].isna()]
    for record in hours.to_dict("records"):
        try:
            rows.append(_hours({str(key): value for key, value in record.items()}, clock))
        except (SimulatorError, ValueError, KeyError, TypeError) as error:
            skipped[str(record.get("id"))] = " ".join(str(error).split())[:160]
    if not rows:
        return {"n": 0, "skipped": skipped, "rows": []}
    ratio = np.array([row["predicted_gpu_hours"] / row["published_gpu_hours"] for row in rows])
    return {
        "n": len(rows),
        "median_ape": round(float(np.median(np.abs(ratio - 1))), 4),
        "p90_ape": round(float(np.quantile(np.abs(ratio - 1), 0.9)), 4),
        "bias": round(float(np.log(ratio).mean()), 4),
        "skipped": skipped,
        "rows": rows,
    }


def _hours(record: Mapping[str, Any], clock: str) -> dict[str, Any]:
    name = str(record["model_name"])
    stated = next((about for start, about in STATED.items() if name.startswith(start)), {})
    needed = ("n_layers", "d_model", "n_heads", "d_ff", "vocab", "total_tokens", "seq_len")
    missing = [key for key in needed if empty(record.get(key))]
    if missing:
        raise SpecError(f"{', '.join(missing)} not stated")
    gpus = int(number(record.get("n_gpus"), stated.get("n_gpus", UNSTATED_GPUS)))
    training: dict[str, Any] = {"tokens": float(record["total_tokens"]), "seq_length": int(record["seq_len"])}
    if "batch_tokens" in stated:
        training["global_batch_tokens"] = float(stated["batch_tokens"])
    found = run(
        {
            "model": _model(record),
            "hardware": {"accelerator": str(record["gpu"]), "n_gpus": gpus},
            "training": training,
            "clock": clock,
            "search": {"max_alternatives": 0},
        }
    )
    if not found.feasible:
        raise SpecError(str(found.infeasible.get("text")))
    predicted, published = float(found.answer["gpu_hours"]), float(record["measured_value"])
    open_ = "layout" if "batch_tokens" in stated else "layout, batch"
    return {
        "id": str(record["id"]),
        "model": name,
        "n_gpus": gpus,
        "published_gpu_hours": published,
        "predicted_gpu_hours": predicted,
        "error": predicted / published - 1,
        "assumed": open_ if not empty(record.get("n_gpus")) or "n_gpus" in stated else f"{open_}, n_gpus",
    }


def _model(record: Mapping[str, Any]) -> dict[str, Any]:
    heads = int(record["n_heads"])
    gated = str(record.get("mlp_type")).lower() in ("swiglu", "geglu")
    model = {
        "num_hidden_layers": int(record["n_layers"]),
        "hidden_size": int(record["d_model"]),
        "num_attention_heads": heads,
        "num_key_value_heads": int(number(record.get("n_kv_heads"), heads)),
        "intermediate_size": int(record["d_ff"]),
        "vocab_size": int(record["vocab"]),
    }
    if not empty(record.get("moe_experts")):
        model |= {
            "num_experts": int(record["moe_experts"]),
            "num_experts_per_tok": int(record["moe_topk"]),
            "moe_intermediate_size": int(number(record.get("moe_d_ff"), record["d_ff"])),
        }
    return model | ({} if gated else {"mlp_type": "gelu"})
