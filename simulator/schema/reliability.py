"""How often a run is interrupted, and what an interruption costs."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from simulator.schema.base import Quantity, Seconds, Spec, fail


class Reliability(Spec):
    """Failures, checkpoints, restarts and stragglers. What is not written is not known, and not invented."""

    gpu_mtbf: Seconds | None = None
    """Mean time between failures of one accelerator with its share of the node; a job of n fails n times as often."""
    node_interruption: Seconds | None = None
    """Mean time until a provider takes a node away, on spot or marketplace terms; a job stops when it loses any of its nodes."""
    checkpoint_time: Annotated[float, Field(ge=0, lt=1e30), Quantity("second")] | None = None
    """Time that writing a checkpoint stops training; 0 where it is written beside training, which needs `checkpoint_interval`."""
    checkpoint_interval: Seconds | None = None
    """Time between checkpoints; the one that loses least if absent."""
    restart_time: Seconds | None = None
    """From an interruption to the first new step: noticing, replacing, loading."""
    stragglers: Annotated[float, Field(ge=0, lt=1), Quantity("fraction")] = 0.0
    """Share of the time lost to the slowest accelerator."""

    @property
    def rated(self) -> bool:
        """True if a rate of interruptions is known."""
        return self.gpu_mtbf is not None or self.node_interruption is not None

    @model_validator(mode="after")
    def _whole(self) -> Reliability:
        if (self.checkpoint_time is None) != (self.restart_time is None):
            missing = "checkpoint_time" if self.checkpoint_time is None else "restart_time"
            raise fail(f"{missing} is missing", "checkpoint_time and restart_time belong together")
        if self.checkpoint_interval is not None and self.checkpoint_time is None:
            raise fail(
                "checkpoint_interval needs checkpoint_time",
                "write checkpoint_time: 30 s, restart_time: 10 min",
            )
        if self.checkpoint_time == 0 and self.checkpoint_interval is None:
            raise fail(
                "checkpoint_time 0 needs checkpoint_interval",
                "checkpoints that cost nothing have no best interval; write checkpoint_interval: 10 min, or a time above 0 s",
            )
        return self
