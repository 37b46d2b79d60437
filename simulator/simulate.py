"""The chain from a scenario to a result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from simulator import transformer
from simulator.errors import InfeasibleError
from simulator.result import Result
from simulator.schema import Scenario, load_scenario
from simulator.search import answer as answers
from simulator.search import estimate, explain, planner, shapes
from simulator.search.planner import Found, Plan
from simulator.search.question import BATCH_LAW, REFERENCE_BATCH_LAW, Question
from simulator.search.translate import Notes, question_of

EXCLUDED = (
    "evaluation, data preparation and staff",
    "storage and network traffic charges",
    "time in a queue",
)
"""What no answer contains."""


def run(
    source: str | Path | Mapping[str, Any] | Scenario,
    *,
    set: Sequence[str] = (),  # noqa: A002 - named as on the command line
    scenario: str | None = None,
) -> Result:
    """Answer a scenario.

    Parameters
    ----------
    source : str, Path, mapping or Scenario
        A file, the id of a shipped scenario, its fields, or a scenario already loaded.
    set : sequence of str, optional
        Changes such as ``training.tokens=15T``.
    scenario : str, optional
        Name of a variant that the file declares.

    Returns
    -------
    Result
        Where nothing runs, ``feasible`` is false and ``infeasible`` says why.

    Examples
    --------
    >>> result = run({"model": {"num_hidden_layers": 32, "hidden_size": 4096, "num_attention_heads": 32,
    ...                         "intermediate_size": 11008},
    ...               "hardware": {"accelerator": "h100-sxm-80gb", "n_gpus": 64}, "training": {"tokens": "100B"}})
    >>> result.feasible, result.answer["params"]
    (True, 6738415616)
    """
    asked = source if isinstance(source, Scenario) else load_scenario(source, set, scenario)
    notes = Notes()
    question = question_of(asked, notes)
    if not any(machine.counts for machine in question.machines):
        return _nothing(asked, question, notes, {"reason": "max_gpus", "text": "n_gpus exceeds budget.max_gpus"})
    if asked.find == "estimate":
        return _estimate(asked, question, notes)
    return _search(asked, question, notes)


def _shape(scenario: Scenario) -> transformer.Shape | None:
    return None if scenario.model is None else transformer.shape_of(scenario.model)


# --- estimate -------------------------------------------------------------------------------------------------------


def _estimate(scenario: Scenario, question: Question, notes: Notes) -> Result:
    """One model on given hardware: the fastest layout that fits, or the one that is pinned."""
    shape = _shape(scenario)
    if shape is None:
        raise InfeasibleError("an estimate needs a model")
    machine, n_gpus = 0, question.machines[0].counts[0]
    plans, counts = planner.layouts(question, machine, n_gpus, shape)
    infeasible: dict[str, Any] = {}
    if not plans:
        closest = estimate.closest(question, machine, n_gpus, shape)
        infeasible = estimate.why_nothing(question, machine, n_gpus, shape, closest, counts)
        if closest is None:
            return _nothing(scenario, question, notes, infeasible, counts)
        plans = [closest]
    best = plans[0]
    if not infeasible and question.limits.given and best.columns["runs"] < 1:
        infeasible = explain.shortfall(question, best)
    others = [{"kind": "layout", **_brief(question, plan), "why": explain.why_layout_lost(question, plan, best)} for plan in plans[1:]]
    found = Found(counts=counts, shapes_considered=1)
    return _result(scenario, question, notes, best, others[: question.max_alternatives], found, infeasible=infeasible)


# --- search ---------------------------------------------------------------------------------------------------------


def _search(scenario: Scenario, question: Question, notes: Notes) -> Result:
    """Best plan over shapes, layouts, batches and machines."""
    model = _shape(scenario)
    fixed = scenario.find == "hardware" and model is not None
    if fixed and model is not None:
        candidates = planner.single(model)
    else:
        candidates = shapes.candidates(
            template=model, hidden_size=scenario.search.hidden_size, num_hidden_layers=scenario.search.num_hidden_layers
        )
    has_tokens = question.tokens is not None or question.steps is not None
    objective = "cost" if fixed and has_tokens else "loss"
    per_machine: list[tuple[Plan, Found, planner.Pool]] = []
    total = Found()
    for index, machine in enumerate(question.machines):
        if not machine.counts:
            continue
        found = planner.search(question, candidates, machine=index)
        total.counts.merge(found.counts)
        total.shapes_considered += found.shapes_considered
        total.shapes_pruned += found.shapes_pruned
        choices = planner.pool(question, found, objective=objective)
        if len(choices):
            first = planner.lifetime_first(question, choices)
            per_machine.append((planner.select(question, found, choices, first), found, choices))
    if not per_machine:
        return _nothing(scenario, question, notes, estimate.why_no_plan(question, candidates, total.counts), total.counts)
    per_machine.sort(key=lambda item: planner.rank_key(question, item[0], objective))
    best, found, choices = per_machine[0]
    total.tables = found.tables
    others = [
        {"kind": "hardware", **_brief(question, plan), "why": explain.why_shape_lost(question, plan, best)}
        for plan, _, _ in per_machine[1:]
    ]
    if not fixed:
        for place in planner.distinct(choices, question.max_alternatives, start=planner.lifetime_first(question, choices))[1:]:
            plan = planner.select(question, found, choices, place)
            others.append(
                {"kind": "architecture", **_brief(question, plan), "why": explain.why_shape_lost(question, plan, best)}
            )
    batch = best.layout.micro_batch_size * best.layout.num_microbatches * best.layout.dp
    runners, _ = planner.layouts(question, best.machine, best.n_gpus, best.shape, batch=batch)
    others += [
        {"kind": "layout", **_brief(question, plan), "why": explain.why_layout_lost(question, plan, best)} for plan in runners[1:3]
    ]
    return _result(scenario, question, notes, best, others, total, choices=choices)


# --- results --------------------------------------------------------------------------------------------------------


def _factors(question: Question, plan: Plan) -> tuple[float, float]:
    """10th and 90th percentile of the step time over the prediction. [-]"""
    from simulator.search.spread import step_factors

    return step_factors(question, plan)


def _brief(question: Question, plan: Plan) -> dict[str, Any]:
    """An alternative: the answer's figures without the nested ones."""
    record = answers.describe(question, plan, factors=_factors(question, plan))
    return {k: v for k, v in record.items() if not isinstance(v, dict)} | {"interval": record["interval"]}


def _result(
    scenario: Scenario,
    question: Question,
    notes: Notes,
    best: Plan,
    others: list[dict[str, Any]],
    found: Found,
    *,
    choices: planner.Pool | None = None,
    infeasible: dict[str, Any] | None = None,
) -> Result:
    _annotate(scenario, question, notes, best)
    record = answers.describe(question, best, factors=_factors(question, best))
    return Result(
        scenario=_asked(scenario),
        version=_version(),
        answer=record,
        alternatives=tuple(others),
        warnings=tuple(notes.warnings),
        sources=tuple(notes.sources),
        assumptions=tuple(notes.assumptions),
        excluded=tuple([*EXCLUDED, *notes.excluded]),
        binding=explain.binding(question, best, found if choices is not None else None),
        family=explain.family(question, choices, best) if choices is not None and not question.inference_tokens else {},
        search=_searched(found),
        infeasible=infeasible or {},
        formulas=answers.FORMULAS,
    )


def _searched(found: Found) -> dict[str, Any]:
    return {
        "plans_considered": found.counts.considered,
        "plans_feasible": found.counts.feasible,
        "refused": dict(sorted(found.counts.refused.items())),
        "shapes_considered": found.shapes_considered,
        "shapes_excluded_by_bound": found.shapes_pruned,
    }


def _nothing(
    scenario: Scenario, question: Question, notes: Notes, reason: dict[str, Any], counts: Any = None
) -> Result:
    """A result without an answer."""
    return Result(
        scenario=_asked(scenario),
        version=_version(),
        answer={},
        warnings=tuple(notes.warnings),
        sources=tuple(notes.sources),
        assumptions=tuple(notes.assumptions),
        excluded=tuple([*EXCLUDED, *notes.excluded]),
        search=_searched(Found(counts=counts)) if counts is not None else {},
        infeasible=reason,
        formulas=answers.FORMULAS,
    )


def _asked(scenario: Scenario) -> dict[str, Any]:
    data = scenario.model_dump(mode="json", exclude_none=True, exclude={"overrides", "scenarios"})
    data["hardware"] = [
        {**{k: v for k, v in entry.items() if k != "accelerator"}, "accelerator": spec.accelerator.label}
        for entry, spec in zip(data["hardware"], scenario.hardware, strict=True)
    ]
    return data


def _version() -> str:
    import simulator

    return str(simulator.__version__)


def _annotate(scenario: Scenario, question: Question, notes: Notes, best: Plan) -> None:
    """Say what was assumed, where laws are outside their range, and where numbers come from."""
    from simulator import goodput, scaling

    law = scaling.get(question.learning.law)
    notes.source(f"law of loss {law.name}", f"{law.source}, {law.corpus}, tokenizer {law.tokenizer}")
    notes.source("clock and calibration", best_evidence(question, best))
    if question.learning.shape_law:
        notes.source(f"law of shape {question.learning.shape_law}", scaling.get(question.learning.shape_law).source)
    if question.goodput is None:
        notes.assumptions.append(f"goodput {question.goodput_of(best.n_gpus):.4f} at {best.n_gpus} accelerators")
        notes.source("goodput", goodput.SOURCE)
        notes.excluded.append("stalls of the input pipeline and stragglers beyond those in the goodput")
    else:
        notes.excluded.append("failures and restarts beyond the goodput of the scenario")
    tokens = best.columns["tokens"]
    if np.isfinite(tokens):
        if law.range and not law.in_range(params=best.params, tokens=tokens):
            notes.warn("law-range", f"{law.name} was fitted on {_range(law)}; this plan lies outside")
        notes.assumptions.append(
            f"a batch costs tokens by the critical batch of {BATCH_LAW}, from the batch of {REFERENCE_BATCH_LAW} on"
        )
        notes.assumptions.append(
            "the interval of the loss joins that of the step time with the 4 % error of an extrapolated loss "
            "(arXiv:2410.11840); differences between plans under one law are much smaller"
        )
        if question.learning.unique_tokens and tokens > 4 * question.learning.unique_tokens:
            epochs = tokens / question.learning.unique_tokens
            notes.warn("repeated-data", f"the data are repeated {epochs:.1f} times; beyond about 4 the gain fades (arXiv:2305.16264)")
    else:
        notes.warn("no-tokens", "neither tokens nor a limit is given, so time to train, cost and loss are unknown")
    if best.shape.num_experts:
        notes.warn("moe-loss", "laws of dense models see the active parameters only: the loss of a mixture is pessimistic")
    if scenario.training.trainable == "lora":
        notes.warn("fine-tuning", "the laws of loss are for training from scratch; the loss of a fine-tune is not predicted")
    notes.assumptions.append(
        f"FLOP by the {answers.CONVENTION} convention (attention counted whole, logits in, recomputation apart)"
    )


def best_evidence(question: Question, plan: Plan) -> str:
    """How well the clock is known for a plan."""
    return str(question.machines[plan.machine].about["evidence"]["text"])


def _range(law: Any) -> str:
    return ", ".join(f"{name} {low:.3g} to {high:.3g}" for name, (low, high) in law.range.items())


def with_limits(question: Question, **changes: Any) -> Question:
    """A question with other limits."""
    return replace(question, limits=replace(question.limits, **changes))
