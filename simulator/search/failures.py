"""What is known about the interruptions of a job, and the goodput that follows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulator import goodput


@dataclass(frozen=True)
class Failures:
    """Rates and times of interruptions; ``None`` is not known."""

    gpu_mtbf_s: float | None = None
    """Of one accelerator with its share of the node. [s]"""
    node_interruption_s: float | None = None
    """Until a provider takes a node away. [s]"""
    checkpoint_s: float | None = None
    restart_s: float | None = None
    interval_s: float | None = None
    """Between checkpoints; Young's if absent. [s]"""
    stragglers: float = 0.0
    """Share of the time lost to the slowest. [-]"""

    @property
    def rated(self) -> bool:
        """Whether any rate is known."""
        return self.gpu_mtbf_s is not None or self.node_interruption_s is not None

    @property
    def times(self) -> tuple[float, float]:
        """Time of a checkpoint and of a restart; what one interruption of Llama 3's run cost where nothing is known. [s]"""
        if self.checkpoint_s is None or self.restart_s is None:
            return 0.0, goodput.LLAMA3_LOST_S
        return self.checkpoint_s, self.restart_s

    def mtbf_s(self, *, n_gpus: float, accelerators_per_node: float) -> float:
        """Mean time between interruptions of a job; a rate that is not known counts as none. [s]"""
        return float(
            goodput.job_mtbf_s(
                n_gpus=n_gpus,
                gpu_mtbf_s=np.inf if self.gpu_mtbf_s is None else self.gpu_mtbf_s,
                node_interruption_s=np.inf if self.node_interruption_s is None else self.node_interruption_s,
                accelerators_per_node=accelerators_per_node,
            )
        )

    def goodput(self, *, n_gpus: float, accelerators_per_node: float) -> float:
        """Useful share of wall-clock time. [-]

        With no failure rate of accelerators, Llama 3's losses per accelerator stand for them.
        """
        share = 1.0 - self.stragglers
        if self.gpu_mtbf_s is None:
            share *= float(goodput.scaled(n_gpus=n_gpus))
        if not self.rated:
            return share
        mtbf = self.mtbf_s(n_gpus=n_gpus, accelerators_per_node=accelerators_per_node)
        return share * self.at(mtbf)

    def lost(self, mtbf_s: float) -> dict[str, float]:
        """What is lost beside an hour of useful steps of a job that is interrupted this often, by cause. [-]

        Examples
        --------
        >>> lost = Failures(checkpoint_s=30.0, restart_s=600.0, interval_s=900.0).lost(9000.0)
        >>> {name: round(share, 4) for name, share in lost.items()}
        {'checkpoints': 0.0333, 'lost work': 0.05, 'restarts': 0.0667}
        """
        checkpoint, restart = self.times
        interval = self.interval_s
        if interval is None:
            interval = float(goodput.checkpoint_interval_s(checkpoint_s=checkpoint, mtbf_s=mtbf_s))
        return {
            "checkpoints": checkpoint / interval if checkpoint else 0.0,
            "lost work": interval / 2.0 / mtbf_s if np.isfinite(mtbf_s) else 0.0,
            "restarts": restart / mtbf_s,
        }

    def at(self, mtbf_s: float) -> float:
        """Goodput of a job that is interrupted this often, without stragglers. [-]"""
        checkpoint, restart = self.times
        if self.interval_s is None and checkpoint == 0.0:
            return float(1.0 / (1.0 + restart / mtbf_s))
        return float(
            goodput.modelled(
                mtbf_s=mtbf_s, checkpoint_s=checkpoint, restart_s=restart, interval_s=self.interval_s
            )
        )
