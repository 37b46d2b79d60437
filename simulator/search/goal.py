"""What a question asks to be low: values of objectives, and bounds on them before a layout is looked at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from simulator import scaling
from simulator.errors import SimulatorError
from simulator.search.question import RESOLUTION_NATS, Question

COLUMNS = {
    "loss": "loss",
    "accuracy": "accuracy_loss",
    "cost": "cost_usd",
    "time": "wall_s",
    "energy": "energy_j",
    "carbon": "co2e_kg",
    "n_gpus": "n_gpus",
    "tokens": "tokens",
    "params": "params",
    "latency": "latency_s",
}
"""Objective of a scenario to the column that is to be low; an accuracy is a loss of its task."""

WORDS = {
    "loss": "loss",
    "accuracy_loss": "loss on the task",
    "cost_usd": "cost",
    "wall_s": "time",
    "energy_j": "energy",
    "co2e_kg": "emissions",
    "n_gpus": "number of accelerators",
    "tokens": "tokens",
    "params": "size",
    "latency_s": "latency",
}
"""Columns in words."""

SPENT = ("cost_usd", "wall_s", "energy_j", "co2e_kg")
"""Columns in proportion to the time of a run."""

MARGIN = 0.05
"""Relative difference of what is spent up to which plans are kept beside the best, where the law has no form that turns the
resolution of a loss into compute. [-]"""


def words(question: Question, name: str) -> str:
    """An objective in words; cost says where it covers serving."""
    served = name == "cost_usd" and question.inference_tokens
    return f"{WORDS[name]} with serving" if served else WORDS[name]


def value(question: Question, columns: Mapping[str, Any], name: str) -> Any:
    """An objective of plans, lower is better; the parameters are columns of `question.outcome` with ``n_gpus params``.

    Where the tokens are given and no quality is required, a batch that teaches less per token counts as taking longer.
    Cost covers serving, where the question demands it; without a price it is accelerator time.
    """
    found = columns[name]
    if name == "cost_usd":
        with np.errstate(divide="ignore", invalid="ignore"):
            rent = np.where(np.isnan(found), 1.0, found / columns["gpu_hours"])
        found = np.where(np.isnan(found), columns["gpu_hours"], found)
        if question.inference_tokens:
            return _useful(question, columns, found) + columns["serving_s"] / 3600.0 * rent
    return _useful(question, columns, found) if name in SPENT else found


def _useful(question: Question, columns: Mapping[str, Any], found: Any) -> Any:
    return found / columns["batch_factor"] if question.fixed and not question.qualities else found


def score(question: Question, columns: Mapping[str, Any], name: str) -> Any:
    """An objective on the scale on which margins are added: losses as they are, logarithms of everything else."""
    found = value(question, columns, name)
    if name in ("loss", "accuracy_loss"):
        return found
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.log(found)


def margin(question: Question) -> float:
    """Difference of scores within which plans cannot be told apart by the law of loss."""
    name = main(question)
    if name in ("loss", "accuracy_loss"):
        return RESOLUTION_NATS
    wanted = [q.limit for q in question.qualities if q.task is None and np.isfinite(q.limit)]
    if name in SPENT and wanted:
        try:
            with np.errstate(divide="ignore", invalid="ignore"):
                more = scaling.compute_multiplier(
                    law=question.learning.law, loss=min(wanted) - RESOLUTION_NATS, reference_loss=min(wanted)
                )
            if np.isfinite(more) and more > 1:
                return float(np.log(more))
        except SimulatorError:
            pass
    return MARGIN


def main(question: Question) -> str:
    """The first objective of a search over shapes."""
    return question.objectives[0] if question.objectives else "loss"
