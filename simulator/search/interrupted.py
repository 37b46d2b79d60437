"""What interruptions do to an answer: its goodput, where it comes from, and the curve over rates that are not known."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from simulator import goodput
from simulator.search import held as held_plans
from simulator.search.failures import Failures
from simulator.search.held import Held
from simulator.search.question import Question
from simulator.search.table import Plan, plan_of
from simulator.search.uncertain import Case

HOUR, DAY = 3600.0, 86400.0

RATES = (3e3, 1e4, 3e4, 1e5, 3e5, 1e6)
"""Accelerator-hours between interruptions of the curve. [h]"""

OFTEN = min(run.gpu_hours_per_interruption[0] for run in goodput.PUBLISHED) / 10.0
"""Accelerator-hours between interruptions ten times as frequent as in the worst published run. [h]"""


def report(question: Question, plan: Plan, held: Held | None = None) -> dict[str, Any]:
    """Goodput of a plan, and what other rates of interruptions would do.

    Parameters
    ----------
    question, plan
        What was asked, and the plan.
    held : Held, optional
        The models trained in turn, where the plan grows one into the next: all stages but the last keep their tokens.

    Returns
    -------
    dict
        ``value source job_mtbf_h checkpoint_interval_s curve published break_even text``. The curve is over accelerator-hours
        between interruptions; ``break_even`` is the rate at which a run with an end just keeps its limit on time.
    """
    machine = question.machines[plan.machine]
    failures, share = machine.failures or Failures(), question.goodput_of(plan.n_gpus, machine)
    out: dict[str, Any] = {"value": share, "source": _source(question, failures)}
    if question.goodput is None and failures.rated:
        mtbf = failures.mtbf_s(n_gpus=plan.n_gpus, accelerators_per_node=machine.node_size)
        out["job_mtbf_h"] = mtbf / HOUR
        out["checkpoint_interval_s"] = _interval(failures, mtbf)
    if np.isfinite(plan.columns["tokens"]):
        out["curve"] = [_at(question, plan, failures, hours, held) for hours in RATES]
        out["break_even"] = _break_even(question, plan, failures)
    out["published"] = [
        {
            "run": each.name,
            "gpu_hours_per_interruption": list(each.gpu_hours_per_interruption),
            "source": each.source,
        }
        for each in goodput.PUBLISHED
    ]
    out["text"] = _text(question, plan, out)
    return out


def formulas(question: Question, plan: Plan) -> dict[str, str]:
    """The goodput of a plan as its terms in numbers, where it follows from rates and times; else as the answer's formulas say."""
    machine = question.machines[plan.machine]
    failures = machine.failures or Failures()
    if question.goodput is not None:
        return {"goodput": "as the scenario says"}
    if not failures.rated:
        return {}
    mtbf = failures.mtbf_s(n_gpus=plan.n_gpus, accelerators_per_node=machine.node_size)
    terms = " + ".join(f"{share:.3g} {name}" for name, share in failures.lost(mtbf).items())
    text = f"(1 - {failures.stragglers:g} stragglers) / (1 + {terms}): an interruption every {_hours(mtbf / HOUR)} h"
    if every := _interval(failures, mtbf):
        text += f", a checkpoint every {every / 60:.3g} min"
    if failures.gpu_mtbf_s is None:
        text += f"; times {float(goodput.scaled(n_gpus=plan.n_gpus)):.4g} for failures of accelerators, as of Llama 3"
    return {"goodput": text}


def _source(question: Question, failures: Failures) -> str:
    if question.goodput is not None:
        return "scenario"
    return "modelled" if failures.rated else "scaled from Llama 3"


def _interval(failures: Failures, mtbf_s: float) -> float | None:
    if failures.interval_s is not None or failures.checkpoint_s is None:
        return failures.interval_s
    return float(goodput.checkpoint_interval_s(checkpoint_s=failures.checkpoint_s, mtbf_s=mtbf_s))


def _at(
    question: Question, plan: Plan, failures: Failures, gpu_hours: float, held: Held | None
) -> dict[str, float | None]:
    """The same plan, interrupted once in so many accelerator-hours."""
    share = failures.at(gpu_hours * HOUR / plan.n_gpus) * (1.0 - failures.stragglers)
    changed = replace(question, goodput=share)
    if held is None:
        c = plan_of(changed, plan.machine, plan.n_gpus, plan.shape, plan.layout, plan.step_time_s).columns
    else:
        again = held_plans.outcome(held, Case(changed, question.machines[plan.machine]))
        c = {**again, "wall_s": again["time_to_train_days"] * DAY, "runs": float(np.isfinite(again["loss"]))}
    return {
        "gpu_hours_per_interruption": gpu_hours,
        "job_mtbf_h": gpu_hours / plan.n_gpus,
        "goodput": share,
        "time_to_train_days": c["wall_s"] / DAY,
        "tokens": c["tokens"] if np.isfinite(c["tokens"]) else None,
        "cost_usd": c["cost_usd"] if np.isfinite(c["cost_usd"]) else None,
        "loss": c["loss"] if question.from_scratch and np.isfinite(c["loss"]) else None,
        "keeps_the_limits": bool(c["runs"]),
    }


def _break_even(question: Question, plan: Plan, failures: Failures) -> dict[str, Any] | None:
    """The most interruptions with which a run that has an end still ends in time."""
    limit = question.limits.time_s
    if limit is None or not (question.fixed or question.shortest):
        return None
    least = plan.columns["useful_s"] / limit / (1.0 - failures.stragglers)
    if least >= 1:
        return {"goodput": least, "gpu_hours_per_interruption": None, "job_mtbf_h": None}
    checkpoint, restart = failures.times
    mtbf = float(
        goodput.mtbf_for(
            goodput=least, checkpoint_s=checkpoint, restart_s=restart, interval_s=failures.interval_s
        )
    )
    return {
        "goodput": least,
        "gpu_hours_per_interruption": mtbf / HOUR * plan.n_gpus,
        "job_mtbf_h": mtbf / HOUR,
    }


def _hours(value: float) -> str:
    """Hours with three digits, thousands grouped.

    Examples
    --------
    >>> _hours(2604.0), _hours(1234567.0), _hours(40.69), _hours(0.51)
    ('2,600', '1,230,000', '40.7', '0.51')
    """
    rounded = float(f"{value:.3g}")
    return f"{rounded:,.0f}" if rounded >= 100 else f"{rounded:g}"


def _text(question: Question, plan: Plan, out: dict[str, Any]) -> str:
    share = f"{100 * out['value']:.4g} % of the time is useful"
    if out["source"] == "scenario":
        text = f"{share}, as the scenario says"
    elif out["source"] == "modelled":
        every = out["checkpoint_interval_s"]
        text = f"{share}: an interruption every {_hours(out['job_mtbf_h'])} h"
        text += f", checkpoints every {every / 60:.3g} min" if every else ""
    else:
        text = f"no rate of failures is known; {share} if interruptions cost what they cost Llama 3 per accelerator"
    worst = (out.get("curve") or [None])[0]
    end = out.get("break_even")
    if end and end["gpu_hours_per_interruption"] is not None and end["gpu_hours_per_interruption"] < OFTEN:
        text += "; ten times as many interruptions as in any of the published runs would not make it late"
    elif end and end["gpu_hours_per_interruption"] is not None:
        text += (
            f"; the run ends in time with up to one interruption per {_hours(end['gpu_hours_per_interruption'])} "
            f"accelerator-hours (every {_hours(end['job_mtbf_h'])} h)"
        )
    elif worst is not None and out["source"] != "scenario" and plan.n_gpus > 1:
        text += f"; at one in {worst['gpu_hours_per_interruption']:,.0f} accelerator-hours it would be {100 * worst['goodput']:.3g} %"
        if not (question.fixed or question.shortest) and worst["loss"] is not None:
            text += f", and the loss {worst['loss'] - plan.columns['loss']:+.4f}"
    published = ", ".join(
        f"{p['run']} {p['gpu_hours_per_interruption'][0]:,.0f} to {p['gpu_hours_per_interruption'][1]:,.0f}"
        for p in out["published"]
    )
    return f"{text} (published, in accelerator-hours: {published})"
