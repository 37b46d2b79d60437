"""What may be spent, and what the trained model must serve."""

from __future__ import annotations

from simulator.schema.base import Joules, Seconds, Spec, Tokens, Usd, Whole


class Budget(Spec):
    """Limits that an answer must keep."""

    time: Seconds | None = None
    """Wall-clock time."""
    cost: Usd | None = None
    """Money."""
    energy: Joules | None = None
    """Energy at the meter."""
    max_gpus: Whole | None = None
    """Accelerators."""

    @property
    def bounds_a_run(self) -> bool:
        """True if something in it ends a run."""
        return self.time is not None or self.cost is not None or self.energy is not None


class Inference(Spec):
    """Use of the model after training."""

    tokens: Tokens
    """Tokens that the model serves in its life."""
