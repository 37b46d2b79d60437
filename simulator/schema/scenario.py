"""A question: find something, for this model, on this hardware, within these limits."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from simulator.schema.base import Fraction, Named, OneOrMany, Spec, Text, Whole, fail_all
from simulator.schema.budget import Budget, Inference
from simulator.schema.growth import Growth
from simulator.schema.hardware import Hardware, Shorthand
from simulator.schema.model import Model
from simulator.schema.parallelism import Parallelism
from simulator.schema.training import Training

Find = Literal["estimate", "architecture", "hardware", "growth"]
Software = Literal["megatron", "fsdp", "deepspeed", "nanotron", "llm-foundry", "hf", "maxtext", "generic"]

Found = list[tuple[tuple[str | int, ...], str, str]]


class Search(Spec):
    """What the planner may try; everything it knows if absent."""

    hidden_size: Annotated[tuple[Whole, ...], OneOrMany()] | None = None
    """Widths."""
    num_hidden_layers: Annotated[tuple[Whole, ...], OneOrMany()] | None = None
    """Depths."""
    max_alternatives: Annotated[int, Field(ge=0, le=1000, strict=True)] = 5
    """Next best answers to show."""


class Scenario(Spec):
    """One question to the simulator."""

    name: Text = "scenario"
    """Title of the answer."""
    description: Text | None = None
    """What the scenario teaches."""
    extends: Text | None = None
    """Path or id of a scenario that this one changes."""
    find: Find = "estimate"
    """What is asked: ``estimate`` one run, or find the best ``architecture``, ``hardware`` or ``growth``."""
    model: Annotated[Model, Named("models")] | None = None
    """Id, path (also to a Hugging Face ``config.json``), or the fields of a model inline."""
    training: Training = Field(default_factory=Training)
    """The run."""
    parallelism: Parallelism = Field(default_factory=Parallelism)
    """Degrees that are pinned."""
    hardware: Annotated[
        tuple[Annotated[Hardware, Shorthand()], ...], Field(min_length=1, max_length=100), OneOrMany()
    ]
    """What it runs on; one, or a list to choose from."""
    budget: Budget = Field(default_factory=Budget)
    """Limits."""
    inference: Inference | None = None
    """Use after training, if its cost counts."""
    growth: Growth | None = None
    """Whether and how the model may grow during the run."""
    law: Text = "Besiroglu2024"
    """Scaling law that predicts the loss."""
    shape_law: Text | None = None
    """Law of depth and width on top of it."""
    clock: Text = "memory_copies"
    """Clock that predicts the time of a step."""
    software: Software = "megatron"
    """Training framework, for its defaults and overheads."""
    search: Search = Field(default_factory=Search)
    """What the planner may try."""
    goodput: Fraction | None = None
    """Share of wall-clock time spent on useful steps; the documented default if absent."""
    seed: Annotated[int, Field(ge=0, lt=2**63, strict=True)] = 0
    """Seed of everything random."""
    overrides: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Named blocks of ``dotted.key: value`` that change this scenario."""
    scenarios: dict[str, Annotated[tuple[str, ...], OneOrMany()]] = Field(default_factory=dict)
    """Named lists of overrides, each a variant of this scenario."""

    @model_validator(mode="after")
    def _answerable(self) -> Scenario:
        found = [*self._needs(), *self._layout(), *self._variants()]
        if found:
            raise fail_all(found)
        return self

    def _needs(self) -> Found:
        found: Found = []
        if self.find == "estimate" and self.model is None:
            found.append((("find",), "an estimate needs a model", "write model: <id>, or find: architecture"))
        if self.find == "estimate":
            for index, hardware in enumerate(self.hardware):
                if hardware.n_gpus is None:
                    reason = "an estimate needs the number of accelerators"
                    found.append((("hardware", index), reason, "write n_gpus: 64"))
        if self.find in ("architecture", "growth") and not self.budget.bounds_a_run:
            article = "an" if self.find == "architecture" else "a"
            reason = f"{article} {self.find} search needs a budget of time, cost or energy"
            found.append((("find",), reason, "write budget: {time: 10 days}"))
        if self.find == "hardware" and self.model is None and not self.budget.bounds_a_run:
            found.append((("find",), "a hardware search needs a model or a budget", "write model: <id>"))
        if self.find == "growth" and self.growth is not None and self.growth.operator == "none":
            reason = "find: growth, but growth.operator is none"
            found.append((("growth", "operator"), reason, "write hypercloning or stacking"))
        return found

    def _layout(self) -> Found:
        p = self.parallelism
        found: Found = []
        degrees = {"tp": p.tp or 1, "pp": p.pp or 1, "cp": p.cp or 1}
        product = degrees["tp"] * degrees["pp"] * degrees["cp"]
        text = " x ".join(name for name in degrees if degrees[name] > 1) or "tp"
        for hardware in self.hardware:
            n = hardware.n_gpus
            if n is None:
                continue
            if n % product:
                found.append((("parallelism",), f"{text} = {product} does not divide n_gpus {n}", ""))
            elif p.dp is not None and product * p.dp != n:
                reason = f"{text} x dp = {product * p.dp} differs from n_gpus {n}"
                found.append((("parallelism", "dp"), reason, "leave dp out; it follows from the others"))
        if p.vp is not None and p.vp > 1 and p.pp == 1:
            found.append((("parallelism", "vp"), "virtual stages need a pipeline", "write pp: 2 or more"))
        return found

    def _variants(self) -> Found:
        found: Found = []
        for name, used in self.scenarios.items():
            for override in used:
                if override not in self.overrides:
                    known = ", ".join(self.overrides) or "none is declared"
                    found.append((("scenarios", name), f"no override named {override!r}", f"known: {known}"))
        return found
