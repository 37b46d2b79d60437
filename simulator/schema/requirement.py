"""How good the trained model must be."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from simulator.schema.base import Quantity, Spec, fail

Share = Annotated[float, Field(gt=0, lt=1), Quantity("fraction")]

Task = Literal["mmlu", "hellaswag", "arc_challenge", "arc_easy", "piqa", "csqa", "socialiqa", "openbookqa"]
"""Tasks with a published law from size and tokens to accuracy (OLMo ladder, arXiv:2412.04403)."""

Objective = Literal[
    "loss",
    "accuracy",
    "cost",
    "time",
    "energy",
    "carbon",
    "n_gpus",
    "tokens",
    "params",
    "latency",
]
"""What can be asked to be best: the highest accuracy (of the first task of `require`), the lowest of everything else."""


class Require(Spec):
    """The least quality that an answer must reach."""

    loss: Annotated[float, Field(gt=0, lt=20)] | None = None
    """Loss, at most, in the unit of the scenario's law. [nat/token]"""
    accuracy: Annotated[dict[Task, Share], Field(max_length=8)] = Field(default_factory=dict)
    """Accuracy of tasks, at least, such as ``{mmlu: 60 %}``, by the laws of the OLMo ladder."""
    error: Share | None = None
    """Mean error over 46 tasks, at most; needs a law of Gadre et al., whose loss the curve belongs to."""

    @property
    def given(self) -> bool:
        """True if something is required."""
        return self.loss is not None or self.error is not None or bool(self.accuracy)

    @model_validator(mode="after")
    def _asks_something(self) -> Require:
        if not self.given:
            raise fail("requires nothing", "write loss: 2.0, or accuracy: {mmlu: 60 %}")
        return self
