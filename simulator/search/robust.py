"""How sure the choice is: the answer against the plans beside it, when predicted step times are wrong.

The clock's error has a part that all plans on one machine share, which moves every plan alike, and a part of each layout,
which may turn the order around.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.search.question import Question
from simulator.search.spread import step_factors
from simulator.search.table import Basis, Plan

Array = NDArray[np.float64]

DRAWS = 2000
"""Draws from the intervals; the probability is then known to a hundredth. [-]"""

P90 = 1.2815515594
"""90th percentile of the normal distribution, in standard deviations. [-]"""

OWN_SHARE = 0.92
"""Share of the variance of the logarithm of measured over predicted step time that differs between layouts of the same model,
batch and number of accelerators; the rest they share. From the layout sweep in ``measurements/throughput.csv``: ``trainsim
validate --layouts`` prints it. The constants were fitted to that sweep, which takes away from what layouts share: high, so that
the probability is rather too low. [-]"""

OWN_SPREAD = 0.10
"""Standard deviation of that part, from the same command: where an interval is wider because the next organisation, accelerator or
kind of model is not known, the rest moves all layouts alike. [-]"""

SAME = 1e-9
"""Relative difference below which two plans are equally good. [-]"""


def robustness(
    basis: Basis, *, draws: int = DRAWS, seed: int = 0, own_share: float = OWN_SHARE
) -> dict[str, Any]:
    r"""Probability that the answer is the best of the plans shown.

    Parameters
    ----------
    basis : Basis
        Question, answer and the plans beside it.
    draws, seed : int, optional
        Draws of the errors of step times. [-]
    own_share : float, optional
        Share of the error's variance that layouts do not share. [-]

    Returns
    -------
    dict
        ``probability_best``, ``plans``, ``figure``, ``regret`` (mean of the figure at the answer over the best of the plans,
        minus one for times and costs; the difference for losses) and ``text``. Empty with nothing beside the answer, and where serving decides
        among equal losses.

    Notes
    -----
    The logarithm of the error of a plan is drawn from a normal distribution on each side of the median, with the interval's
    width: :math:`\sqrt{1-s}\,z_{machine} + \sqrt{s}\,z_{layout}`, with s the `OWN_SHARE`, or less where the layouts' part would exceed
    `OWN_SPREAD`. The laws' own error is not drawn (see the family).
    """
    plans = [basis.plan, *basis.others]
    held = ("n_gpus", "tokens", "params", "latency_s", "accuracy_loss")
    if len(plans) < 2 or basis.question.inference_tokens or basis.objective in held:
        return {}
    if basis.objective == "loss" and not basis.question.fixed and not basis.question.from_scratch:
        return {}
    factors = _factors(basis.question, plans, draws, seed, own_share)
    figure, values = _values(basis, plans, factors)
    best = np.min(values, axis=0)
    mine = values[0]
    if not np.all(np.isfinite(mine)):
        return {}
    probability = float(np.mean(mine <= best + SAME * np.abs(best)))
    regret = float(np.mean(mine - best if figure == "loss" else mine / best - 1))
    cost = f"{regret:.4f} nats" if figure == "loss" else f"{100 * regret:.1f} % of the {WORDS[figure]}"
    text = (
        f"with step times drawn from their intervals, the answer is the best of the {len(plans)} plans shown in "
        f"{100 * probability:.0f} % of draws; choosing it loses {cost} on average"
    )
    return {
        "probability_best": probability,
        "plans": len(plans),
        "figure": figure,
        "regret": regret,
        "text": text,
    }


WORDS = {
    "wall_s": "time",
    "energy_j": "energy",
    "co2e_kg": "emissions",
    "cost_usd": "cost",
    "gpu_hours": "accelerator time",
    "step_time_s": "time per token",
}


def _factors(question: Question, plans: list[Plan], draws: int, seed: int, own_share: float) -> Array:
    """Measured over predicted step time of every plan in every draw, of shape (plans, draws). [-]"""
    source = np.random.default_rng(seed)
    shared: dict[Any, Array] = {}
    own: dict[Any, Array] = {}
    rows = []
    for plan in plans:
        low, high = (np.log(each) for each in step_factors(question, plan))
        machine = question.machines[plan.machine].label
        x = plan.layout
        layout = (
            machine,
            plan.n_gpus,
            x.tp,
            x.pp,
            x.cp,
            x.ep,
            x.vp,
            x.zero_stage,
            x.recompute,
            x.micro_batch_size,
        )
        key = (*layout, plan.shape.hidden_size, plan.shape.num_hidden_layers)
        for table, name in ((shared, machine), (own, key)):
            if name not in table:
                table[name] = source.standard_normal(draws)
        sigma = (high - low) / (2 * P90)
        part = min(own_share, (OWN_SPREAD / sigma) ** 2) if sigma > 0 else own_share
        score = np.sqrt(1 - part) * shared[machine] + np.sqrt(part) * own[key]
        rows.append(np.exp(np.where(score < 0, -low, high) * score / P90))
    return np.stack(rows)


def _values(basis: Basis, plans: list[Plan], factors: Array) -> tuple[str, Array]:
    """The figure that decides, smaller is better, of every plan in every draw."""
    question = basis.question
    if not question.bounded:
        times = np.array([plan.step_time_s / plan.batch_sequences for plan in plans])
        return "step_time_s", times[:, None] * factors
    if basis.objective == "loss" and not question.fixed:
        rows = [
            question.learning.loss(
                plan.shape,
                tokens=plan.columns["tokens"] / row,
                batch_tokens=plan.batch_tokens,
            )
            for plan, row in zip(plans, factors, strict=True)
        ]
        return "loss", np.stack([np.asarray(row, dtype=float) for row in rows])
    costs = np.array([plan.columns["cost_usd"] for plan in plans])
    name = "cost_usd" if np.all(np.isfinite(costs)) else "gpu_hours"
    if basis.objective in ("wall_s", "energy_j", "co2e_kg"):
        name = basis.objective
    worth = [1.0 if question.shortest else plan.columns["batch_factor"] for plan in plans]
    base = np.array([plan.columns[name] for plan in plans]) / np.array(worth)
    return name, base[:, None] * factors
