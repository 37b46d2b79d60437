"""What may be spent, and what the trained model must serve."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from simulator.schema.base import Bytes, Carbon, Fraction, Joules, Seconds, Spec, Tokens, Usd, Whole, fail


class Budget(Spec):
    """Limits that an answer must keep."""

    time: Seconds | None = None
    """Wall-clock time."""
    cost: Usd | None = None
    """Money."""
    energy: Joules | None = None
    """Energy at the meter."""
    carbon: Carbon | None = None
    """Emissions of the electricity; needs a grid, the cluster's or `hardware.grid_intensity`."""
    max_gpus: Whole | None = None
    """Accelerators."""
    memory: Bytes | None = None
    """Memory of one accelerator that the run may use; all of it if absent."""

    @property
    def bounds_a_run(self) -> bool:
        """True if something in it ends a run."""
        return any(each is not None for each in (self.time, self.cost, self.energy, self.carbon))


class Inference(Spec):
    """Use of the model after training: how much it serves, how fast, on what."""

    tokens: Tokens | None = None
    """Tokens that the model serves in its life; their cost then counts."""
    utilisation: Fraction | None = None
    """Share of the accelerators' 16-bit peak that serving reaches over whole requests; 1.3 % if absent, what arXiv:2401.00448 assumes of
    single requests. Batches of many reach more."""
    latency: Seconds | None = None
    """Time between two tokens of an answer, at most."""
    batch_size: Whole = 1
    """Answers that are written at once."""
    context_length: Whole | None = None
    """Tokens that an answer looks back on; the sequence of training if absent."""
    n_gpus: Whole = 1
    """Accelerators that share one copy of the model."""
    precision: Literal["bf16", "fp16", "fp8", "int8", "fp4", "int4"] = "bf16"
    """Number format of weights and cache when serving."""

    @model_validator(mode="after")
    def _asks_something(self) -> Inference:
        if self.tokens is None and self.latency is None:
            raise fail("says neither how much nor how fast", "write tokens: 100B, or latency: 30 ms")
        return self
