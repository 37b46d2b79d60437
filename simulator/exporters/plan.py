"""The answer to a scenario as what a training program needs to know."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from simulator import transformer
from simulator.errors import InfeasibleError, Problem, SpecError
from simulator.exporters.kept import absent
from simulator.result import Result
from simulator.schema import Model, Scenario
from simulator.search import held

GIVEN = ("estimate", "hardware")
"""Questions whose model is the scenario's own."""


@dataclass(frozen=True)
class TrainingPlan:
    """One model, its layout and its batch."""

    name: str
    sizes: dict[str, int]
    """Fields of `simulator.transformer.Shape`."""
    layout: dict[str, Any]
    """Degrees under their names in a scenario's ``parallelism``, and ``n_gpus``, ``node_size``."""
    training: dict[str, Any]
    """Fields of a scenario's ``training``; its ``precision`` is the one that was priced, beside ``asked_precision``."""
    max_position_embeddings: int
    model_id: str | None = None
    origin: str = ""
    """Where the weights of a stage come from, if the plan grows a model."""
    config: dict[str, Any] = field(default_factory=dict)
    """Settings of a given model's ``config.json`` that its sizes do not show."""
    absent: tuple[str, ...] = ()
    """Such settings that the file of a given model does not say."""

    @property
    def head(self) -> list[str]:
        """First lines of a file that takes comments."""
        name = " ".join(self.name.split())[:100]
        lines = [f"{name}: {self.layout['n_gpus']} accelerators, written by trainsim export."]
        return [f"# {line}" for line in [*lines, *([self.origin] if self.origin else [])]]

    @property
    def accumulation(self) -> int:
        """Micro-batches per step and replica. [-]"""
        ranks: int = self.training["micro_batch_size"] * self.layout["dp"]
        total: int = self.training["global_batch_size"]
        return total // ranks


def plan_of(scenario: Scenario, result: Result, *, stage: int | None = None) -> TrainingPlan:
    """The chosen plan of a result, or one stage of a plan that grows a model.

    Parameters
    ----------
    scenario, result
        What was asked, and its answer.
    stage : int, optional
        Number of a stage, as in ``stages`` of the result; needed where several models are trained in turn.

    Raises
    ------
    InfeasibleError
        If nothing runs.
    SpecError
        If there is no such stage, or none is named among several.
    """
    if not result.feasible or not result.answer:
        raise InfeasibleError(
            "no plan runs, so there is nothing to export", details=(str(result.infeasible.get("text", "")),)
        )
    answer, origin, name = _stage(scenario, result, stage)
    sizes, model_id = _sizes(scenario, answer)
    p = scenario.parallelism
    layout = {name: answer[name] for name in "tp pp dp cp ep vp zero_stage sequence_parallel n_gpus".split()}
    layout |= {"etp": p.etp, "schedule": p.schedule or "1f1b", "shard_group": answer.get("shard_group")}
    machine = next(
        (h for h in scenario.hardware if h.accelerator.label == answer["accelerator"]), scenario.hardware[0]
    )
    layout |= {"dispatcher": answer.get("dispatcher"), "expert_overlap": bool(answer.get("expert_overlap"))}
    layout["node_size"] = min(machine.node_size, answer["n_gpus"])
    model = scenario.model if scenario.find != "architecture" else None
    longest = model.max_position_embeddings if model is not None else None
    return TrainingPlan(
        name=name,
        sizes=sizes,
        layout=layout,
        training=_training(scenario, answer),
        max_position_embeddings=max(longest or 0, answer["seq_length"]),
        model_id=model_id,
        origin=origin,
        config=dict(model.config) if model is not None else {},
        absent=absent(model) if model is not None else (),
    )


def _training(scenario: Scenario, answer: dict[str, Any]) -> dict[str, Any]:
    """The batch, the numbers and the optimizer of a record, and what was asked beside them."""
    names = (
        "micro_batch_size global_batch_size seq_length recompute flash_attention precision optimizer".split()
    )
    asked, steps = scenario.training, answer.get("steps")
    return {name: answer[name] for name in names} | {
        "steps": None if steps is None else max(1, math.ceil(steps)),
        "asked_precision": asked.precision,
        "compile": bool(asked.compile),
        "cuda_graphs": answer.get("cuda_graphs", "none"),
        "fused_experts": bool(answer.get("fused_experts")),
        "fp8_attention": bool(answer.get("fp8_attention")),
        "asked_fp8_attention": bool(asked.fp8_attention),
        "trainable": asked.trainable,
        "lora_rank": asked.lora_rank,
        "from_pretrained": bool(asked.from_pretrained),
    }


def _stage(scenario: Scenario, result: Result, stage: int | None) -> tuple[dict[str, Any], str, str]:
    """The record of what is trained, where its weights come from, and its name."""
    trained = [s for s in result.stages if s["stage"]]
    if stage is None and len(trained) > 1:
        raise SpecError(
            Problem(
                f"the plan trains {len(trained)} models in turn, each a file of its own: {held.words(trained)}",
                path="stage",
                hint="--stage N writes one of them",
            )
        )
    answer = result.stage(stage)
    if not trained:
        return answer, "", scenario.name
    number = answer.get("stage", trained[-1]["stage"])
    origin = held.origin(result.stages, result.growth, number)
    many = len(trained) > 1
    return answer, origin, f"stage {number} of {len(trained)}, {scenario.name}" if many else scenario.name


def _sizes(scenario: Scenario, answer: dict[str, Any]) -> tuple[dict[str, int], str | None]:
    """Sizes of the chosen model: the scenario's, or those that the planner found."""
    given = scenario.model
    if given is not None and scenario.find in GIVEN:
        return {name: int(value) for name, value in given.sizes().items()}, given.id
    fields = {name: answer[name] for name in Model.model_fields if name in answer}
    for tied in (False, True):
        sizes = Model.model_validate({**fields, "tie_word_embeddings": tied}).sizes()
        if int(transformer.parameters(transformer.Shape(**sizes))) == answer["params"]:
            return {name: int(value) for name, value in sizes.items()}, None
    raise SpecError(
        "the sizes of the model that was found cannot be written; export an estimate of a model with all its fields"
    )


def unequal(wanted: Mapping[str, Any], got: Mapping[str, Any]) -> list[str]:
    """Sizes that differ; one that is absent has the value of a plain decoder.

    Examples
    --------
    >>> unequal({"hidden_size": 64, "rotary": 1}, {"hidden_size": 32})
    ['model.hidden_size = 64 would be read as 32']
    """
    skipped = set()
    if (
        wanted.get("num_experts")
        and not wanted.get("first_k_dense_replace")
        and wanted.get("moe_layer_freq", 1) == 1
    ):
        skipped.add("intermediate_size")  # the width of dense layers, of which there are none
    pairs = {
        name: (wanted.get(name, PLAIN.get(name, 0)), got.get(name, PLAIN.get(name, 0)))
        for name in dict.fromkeys([*wanted, *got])
        if name not in skipped
    }
    return [f"model.{name} = {a} would be read as {b}" for name, (a, b) in pairs.items() if a != b]


PLAIN = {
    "norms_per_layer": 2,
    "norm_parameters": 1,
    "final_norm": 1,
    "rotary": 1,
    "moe_layer_freq": 1,
    "gated": 1,
}
"""Defaults of `simulator.transformer.Shape` that are not zero."""
