"""Curves around an answer: loss against size, time and money; growth in time; what would move the answer.

A curve asks the planner the question of the scenario again, with one thing changed, on the accelerators of the answer.
Rows are plain data with units in their names; `simulator.report` draws them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator import copies, transformer
from simulator.result import Result, plain
from simulator.schema import Scenario, load_scenario
from simulator.search import choice, lattice, planner, shapes
from simulator.search.answer import DAY
from simulator.search.notes import Notes
from simulator.search.question import Limits, Question
from simulator.search.table import Found, single
from simulator.search.translate import question_of
from simulator.transformer import Shape

SPAN = 8.0
"""Curves reach this factor below and above the answer. [-]"""

SIZES = 25
"""Sizes on a curve."""

BUDGETS = 13
"""Budgets on a frontier."""

ASPECT_WEIGHT = 0.3
"""Worth of a wrong width over depth against a wrong size, when shapes for a curve are picked. [-]"""

INPUTS = 12
"""Inputs that `sensitivity` lists."""

LEAST = 0.01
"""Effect below which an input is not listed, relative to the largest. [-]"""

Source = str | Path | Mapping[str, Any] | Scenario


@dataclass(frozen=True)
class Asked:
    """A question on the accelerators of its answer."""

    question: Question
    machine: int
    model: Shape | None
    """The model, if the question fixes it."""
    answer: Mapping[str, Any]


def asked(source: Source, result: Result) -> Asked | None:
    """The question behind a result; ``None`` where nothing ends a run or nothing runs."""
    scenario = load_scenario(source)
    question = question_of(scenario, Notes())
    answer = result.answer
    if not answer or not result.feasible or not question.bounded:
        return None
    fixed = scenario.model is not None and scenario.find in ("hardware", "estimate")
    if answer.get("num_experts") and not fixed:
        return None
    named = [i for i, m in enumerate(question.machines) if m.label == answer["accelerator"]]
    place = next(i for i in named if answer["n_gpus"] in question.machines[i].counts)
    one = replace(question.machines[place], counts=(answer["n_gpus"],))
    machines = tuple(one if i == place else m for i, m in enumerate(question.machines))
    model = transformer.shape_of(scenario.model) if fixed and scenario.model is not None else None
    return Asked(replace(question, machines=machines), place, model, answer)


def sizes(source: Source, result: Result) -> list[dict[str, Any]]:
    """Loss against size within the limits of the scenario: the U-curve.

    Parameters
    ----------
    source : str, Path, mapping or Scenario
        The question.
    result : Result
        Its answer.

    Returns
    -------
    list of dict
        A row per size, each trained from scratch in its best layout and batch until the limits end the run: ``params
        tokens loss time_to_train_days cost_usd step_time_s global_batch_size``. Empty where the model is fixed or nothing
        ends the run. Shapes keep the width over depth of the answer as nearly as the planner's shapes allow.

    Examples
    --------
    >>> import simulator as sim
    >>> question = {"hardware": {"accelerator": "a100-sxm-80gb", "n_gpus": 8}, "budget": {"time": "1 day"},
    ...             "find": "architecture"}
    >>> rows = sizes(question, sim.run(question))
    >>> losses = [row["loss"] for row in rows]
    >>> losses[0] > min(losses) < losses[-1]
    True
    """
    where = asked(source, result)
    if where is None or where.model is not None:
        return []
    found = _found(where)
    return _per_size(where, found)


def frontier(source: Source, result: Result) -> list[dict[str, Any]]:
    """Lowest loss for a smaller or larger budget.

    Parameters
    ----------
    source, result
        As in `sizes`.

    Returns
    -------
    list of dict
        A row per budget, from an eighth to eight times that of the scenario: ``factor params tokens loss
        time_to_train_days cost_usd``. With tokens fixed they are scaled in place of the limits. Growth is left out, and so are rows that
        another beats in time and loss.
    """
    where = asked(source, result)
    return [] if where is None else _per_budget(where, _found(where))


def around(source: Source, result: Result) -> dict[str, Any]:
    """`sizes`, `frontier`, `growth`, `matmuls` and `sensitivity` of one answer, sharing their work."""
    where = asked(source, result)
    if where is None:
        return {"sizes": [], "frontier": [], "growth": {}, "matmuls": [], "sensitivity": sensitivity(result)}
    found = Found() if _elsewhere(where) else _found(where)
    return {
        "sizes": [] if where.model is not None else _per_size(where, found),
        "frontier": _per_budget(where, found),
        "growth": growth(source, result),
        "matmuls": matmuls(source, result),
        "sensitivity": sensitivity(result),
    }


# --- the planner, asked again ---------------------------------------------------------------------------------------


def _elsewhere(where: Asked) -> bool:
    """Whether something other than the loss is asked for: the curves of the loss over what is spent then say nothing."""
    return where.question.objectives not in ((), ("loss",))


def _found(where: Asked) -> Found:
    """Fastest layouts of the shapes on a curve, none left out."""
    candidates = _on_curve(where) if where.model is None else single(where.model)
    return planner.search(where.question, candidates, machine=where.machine, prune=False)


def _on_curve(where: Asked) -> Shape:
    """A shape per size, of the family and about the aspect of the answer."""
    answer = where.answer
    every = shapes.candidates(template=_template(answer))
    if not lattice.count(every):  # no other width takes heads of the answer's size
        return single(_template(answer))
    size = np.asarray(transformer.parameters(every), dtype=float)
    aspect = np.asarray(every.hidden_size, dtype=float) / np.asarray(every.num_hidden_layers, dtype=float)
    off = ASPECT_WEIGHT * np.abs(np.log(aspect * answer["num_hidden_layers"] / answer["hidden_size"]))
    wanted = answer["params"] * np.geomspace(1 / SPAN, SPAN, SIZES)
    picked = {int(np.argmin(np.abs(np.log(size / each)) + off)) for each in wanted}
    return lattice.take(every, np.array(sorted(picked, key=lambda i: size[i])))


def _template(answer: Mapping[str, Any]) -> Shape:
    """The family of an answer: its share of key and value heads, feed-forward width, vocabulary."""
    names = "num_hidden_layers hidden_size num_attention_heads vocab_size intermediate_size num_key_value_heads head_dim"
    shape = transformer.decoder(**{name: answer[name] for name in names.split()})
    for flags in ({}, {"tie_word_embeddings": 1}, {"gated": 0}, {"gated": 0, "tie_word_embeddings": 1}):
        one = replace(shape, **flags)
        if float(transformer.parameters(one)) == answer["params"]:
            return one
    return shape


def _per_size(where: Asked, found: Found) -> list[dict[str, Any]]:
    if _elsewhere(where):
        return []
    pool = choice.pool(where.question, found)
    best: dict[tuple[int, int], int] = {}
    for place in range(len(pool)):
        best.setdefault((int(pool.table[place]), int(pool.shape[place])), place)
    rows = [_row(pool.columns, place) for place in best.values()]
    return sorted(rows, key=lambda row: float(row["params"]))


def _row(columns: Mapping[str, NDArray[np.float64]], place: int) -> dict[str, Any]:
    c = {name: float(values[place]) for name, values in columns.items()}
    row = {
        "params": c["params"],
        "tokens": c["tokens"],
        "loss": c["loss"],
        "time_to_train_days": c["wall_s"] / DAY,
        "cost_usd": c["cost_usd"],
        "step_time_s": c["step_time_s"],
        "global_batch_size": c["global_batch_size"],
    }
    return dict(plain(row))


def _per_budget(where: Asked, found: Found) -> list[dict[str, Any]]:
    if _elsewhere(where):
        return []
    objective = choice.objective_of(where.question, fixed=where.model is not None)
    rows = []
    for factor in np.geomspace(1 / SPAN, SPAN, BUDGETS):
        question = _scaled(where.question, float(factor))
        pool = choice.pool(question, found, objective=objective)
        if len(pool):
            row = {"factor": float(factor), **_row(pool.columns, choice.lifetime_first(question, pool))}
            rows.append(row if question.from_scratch else {**row, "loss": None})
    return [row for row in rows if not any(_beats(other, row) for other in rows)]


def _beats(other: Mapping[str, Any], row: Mapping[str, Any]) -> bool:
    """Whether another budget comes to a lower loss in less time: a row that is only the step to another batch."""
    if row["loss"] is None or other["loss"] is None:
        return False
    return bool(other["loss"] < row["loss"] and other["time_to_train_days"] <= row["time_to_train_days"])


def _scaled(question: Question, factor: float) -> Question:
    """The same question with more or less to spend; with tokens given, more or fewer of them and no limits."""
    if question.tokens is not None or question.steps is not None:
        tokens = None if question.tokens is None else question.tokens * factor
        steps = None if question.steps is None else question.steps * factor
        return replace(question, tokens=tokens, steps=steps, limits=Limits())
    limits = question.limits
    return replace(question, limits=limits.scaled(**dict.fromkeys(limits.given, factor)))


# --- growth in time -------------------------------------------------------------------------------------------------


def growth(source: Source, result: Result, *, points: int = 60) -> dict[str, Any]:
    """Loss in time of a model that is grown, and of the best one from scratch.

    Parameters
    ----------
    source, result
        As in `sizes`.
    points : int, optional
        Points of each stage. [-]

    Returns
    -------
    dict
        ``kappa``, ``follows``, ``pays``, and ``stages``, ``scratch``: lists of curves with ``params``, ``days`` and
        ``loss``. The learning rate of both is taken as decayed at every point, so that the curves can be read at any time.
        Empty where no growth was planned.
    """
    where = asked(source, result)
    if where is None or not result.growth:
        return {}
    case = result.growth["cases"][result.growth["follows"]]
    if not case["stages"]:
        return {}
    plans = (dict(each) for each in result.alternatives if each.get("kind") == "scratch")
    scratch = next(plans, None) or dict(result.answer)
    start, lines = 0.0, []
    for stage in case["stages"]:
        if not stage["tokens"]:  # a given model, which is not trained
            continue
        lines.append(_line(where, stage, start + stage["switch_days"], points))
        start += stage["time_days"]
    one = scratch | {"time_days": scratch["time_to_train_days"], "switch_days": 0.0, "kappa": 1.0}
    return {
        "follows": result.growth["follows"],
        "kappa": case["kappa"],
        "pays": case["pays"],
        "stages": lines,
        "scratch": [_line(where, one, 0.0, points)],
    }


def _line(where: Asked, stage: Mapping[str, Any], start: float, points: int) -> dict[str, Any]:
    """Loss of one stage against time, through the losses that the plan states; the first starts after a hundredth of its tokens."""
    answer = where.answer
    shape = replace(
        _template(answer),
        **{
            name: stage[name]
            for name in "num_hidden_layers hidden_size intermediate_size num_attention_heads".split()
        },
        num_key_value_heads=stage["num_key_value_heads"],
    )
    share = np.linspace(0.0 if stage.get("credit_tokens") else 0.01, 1.0, points)
    seen = (
        stage.get("credit_tokens", 0.0)
        + stage["kappa"] * stage.get("batch_factor", 1.0) * stage["tokens"] * share
    )
    batch = stage["global_batch_size"] * where.question.seq_length
    loss = np.asarray(where.question.learning.loss(single(shape), tokens=seen, batch_tokens=batch)).reshape(
        -1
    )
    end, start_loss = stage.get("loss_end", stage.get("loss")), stage.get("loss_start")
    steep = 1.0 if start_loss is None else (start_loss - end) / (loss[0] - loss[-1])
    loss = end + steep * (loss - loss[-1])
    days = start + (stage["time_days"] - stage["switch_days"]) * share
    return {"params": stage["params"], "days": days.tolist(), "loss": loss.tolist()}


# --- copies of the matrix products ----------------------------------------------------------------------------------


def matmuls(source: Source, result: Result) -> list[dict[str, Any]]:
    """The matrix products of a layer on one device: FLOP per byte of device memory, and the rate that this allows.

    Returns
    -------
    list of dict
        ``name``, ``m n k`` (rows, columns, contraction), ``intensity`` [FLOP/B], ``attainable_tflops`` (the lower of the
        peak and intensity times memory bandwidth), and the same ``peak_tflops`` and ``memory_bandwidth`` [B/s] in each row.
        Empty for mixtures of experts, whose products differ from expert to expert.
    """
    where = asked(source, result)
    answer = result.answer
    if where is None or answer.get("num_experts"):
        return []
    device = where.question.machines[where.machine].setting.device
    shape = _template(answer)
    m = answer["micro_batch_size"] * answer["seq_length"] / answer["cp"]
    tp, h, f = answer["tp"], answer["hidden_size"], answer["intermediate_size"]
    qkv = float(transformer.query_width(shape)) + float(transformer.key_value_width(shape))
    up = (1 + float(shape.gated)) * f
    products = {
        "queries, keys, values": (m, qkv / tp, h),
        "attention output": (m, h, float(transformer.value_width(shape)) / tp),
        "feed-forward, in": (m, up / tp, h),
        "feed-forward, out": (m, h, f / tp),
        "output layer": (m, answer["vocab_size"] / tp, h),
    }
    peak, width = float(device.peak_flops), float(device.memory_bandwidth)
    rows = []
    for name, (rows_, columns, inner) in products.items():
        moved = copies.matmul_memory_bytes(
            m=rows_, n=columns, k=inner, operand_bytes=float(device.operand_bytes)
        )
        intensity = 2.0 * rows_ * columns * inner / float(moved)
        rows.append(
            {
                "name": name,
                "m": rows_,
                "n": columns,
                "k": inner,
                "intensity": intensity,
                "attainable_tflops": min(peak, intensity * width) / 1e12,
                "peak_tflops": peak / 1e12,
                "memory_bandwidth": width,
            }
        )
    return rows


# --- sensitivity ----------------------------------------------------------------------------------------------------


def sensitivity(result: Result, *, most: int = INPUTS) -> list[dict[str, Any]]:
    """What moves the main figure of the answer, largest first: rows of `Result.sensitivity` for a tornado.

    Returns
    -------
    list of dict
        ``name``, ``source``, ``low`` and ``high`` (the 80 % range of the input), ``figure``, ``base``, and ``worse`` and
        ``better``: the figure at the unfavorable and at the favorable end.
    """
    if not result.feasible or result.basis is None:
        return []
    found = result.sensitivity()
    figure = found["figure"]
    base = found["base"][figure]
    rows = [
        {
            **{name: row[name] for name in ("name", "source", "low", "high")},
            "figure": figure,
            "base": base,
            "worse": max(row[figure]),
            "better": min(row[figure]),
        }
        for row in found["rows"]
        if figure in row and np.all(np.isfinite(row[figure])) and np.ptp(row[figure]) > 0
    ]
    rows.sort(key=lambda row: row["better"] - row["worse"])
    least = LEAST * (rows[0]["worse"] - rows[0]["better"]) if rows else 0.0
    return [row for row in rows if row["worse"] - row["better"] >= least][:most]
