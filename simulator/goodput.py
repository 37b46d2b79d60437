r"""From step time to days: what failures, restarts and checkpoints take.

Goodput is the share of wall-clock time spent on steps that count. Without a failure rate of the user's own, the default
takes the time that one published large run lost and scales it with the number of accelerators.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulator.columns import Numeric

LLAMA3_GPUS = 16_384
LLAMA3_DAYS = 54.0
LLAMA3_INTERRUPTIONS = 466
LLAMA3_GOODPUT = 0.90
"""Llama 3 405B, section 3.3.4 (arXiv:2407.21783): 466 interruptions, 419 of them unexpected, in 54 days on 16,384 H100s,
and an effective training time above 90 %. [-]"""

SOURCE = (
    "Llama 3 405B, arXiv:2407.21783, section 3.3.4: 466 interruptions in 54 days on 16,384 GPUs, more than 90 % of the time "
    "effective; lost time taken in proportion to the number of accelerators"
)


def mtbf_s(*, n_gpus: Numeric, gpu_hours_per_failure: Numeric) -> Numeric:
    """Mean time between failures of a job. [s]

    Examples
    --------
    >>> print(mtbf_s(n_gpus=16384, gpu_hours_per_failure=50_000) / 3600)
    3.0517578125
    """
    return np.asarray(gpu_hours_per_failure) * 3600.0 / n_gpus


LLAMA3_GPU_HOURS_PER_INTERRUPTION = LLAMA3_GPUS * LLAMA3_DAYS * 24 / LLAMA3_INTERRUPTIONS
"""Accelerator hours between two interruptions of that run. [h]"""

LLAMA3_LOST_S = (1 - LLAMA3_GOODPUT) * LLAMA3_DAYS * 86400 / LLAMA3_INTERRUPTIONS
"""Time that one interruption of that run cost, at most: detection, restart, lost work and checkpoints. [s]"""


def scaled(*, n_gpus: Numeric) -> Numeric:
    r"""Goodput of a run like Llama 3's on another number of accelerators. [-]

    Parameters
    ----------
    n_gpus : numeric
        Accelerators that fail together. [-]

    Notes
    -----
    .. math:: g = \frac{1}{1 + n / n_0 \cdot (1 - g_0) / g_0}

    with the published :math:`n_0 = 16384, g_0 = 0.9`: failures per useful hour grow with n, each costs the same time.
    Optimistic for a first run on new machines: OPT-175B kept 59 % on 992 A100s with manual restarts
    (https://glennklockwood.com/garden/job-reliability).

    Examples
    --------
    >>> [round(float(scaled(n_gpus=n)), 4) for n in (8, 1024, 16384, 100_000)]
    [0.9999, 0.9931, 0.9, 0.5959]
    """
    lost = (1 - LLAMA3_GOODPUT) / LLAMA3_GOODPUT / LLAMA3_GPUS
    return 1.0 / (1.0 + lost * np.asarray(n_gpus, dtype=float))


def checkpoint_interval_s(*, checkpoint_s: Numeric, mtbf_s: Numeric) -> Numeric:
    r"""Interval between checkpoints that loses least time. [s]

    .. math:: \tau = \sqrt{2\,\delta M}

    Young, CACM 17(9), 1974; holds while writing is much shorter than the time between failures.

    Examples
    --------
    >>> print(checkpoint_interval_s(checkpoint_s=60, mtbf_s=12_000))
    1200.0
    """
    return np.sqrt(2.0 * np.asarray(checkpoint_s, dtype=float) * mtbf_s)


def modelled(
    *, mtbf_s: Numeric, checkpoint_s: Numeric, restart_s: Numeric, interval_s: Numeric | None = None
) -> Numeric:
    r"""Goodput from a failure rate and the times of writing and restarting. [-]

    Parameters
    ----------
    mtbf_s : numeric
        Mean time between failures of the job. [s]
    checkpoint_s : numeric
        Time that a checkpoint stops training. [s]
    restart_s : numeric
        From a failure to the first new step: detection, replacement, loading. [s]
    interval_s : numeric, optional
        Time between checkpoints; Young's if absent. [s]

    Notes
    -----
    .. math:: g = \frac{1}{1 + \delta/\tau + (\tau/2 + R) / M}

    Half an interval of work is lost per failure. Pessimistic for asynchronous checkpoints, whose delta is near zero.

    Examples
    --------
    >>> print(round(float(modelled(mtbf_s=3 * 3600, checkpoint_s=30, restart_s=600)), 3))
    0.885
    """
    tau = (
        checkpoint_interval_s(checkpoint_s=checkpoint_s, mtbf_s=mtbf_s)
        if interval_s is None
        else np.asarray(interval_s)
    )
    return 1.0 / (1.0 + checkpoint_s / tau + (tau / 2.0 + restart_s) / np.asarray(mtbf_s, dtype=float))


def job_mtbf_s(
    *,
    n_gpus: Numeric,
    gpu_mtbf_s: Numeric = np.inf,
    node_interruption_s: Numeric = np.inf,
    accelerators_per_node: Numeric = 8,
) -> Numeric:
    r"""Mean time between interruptions of a job that stops when any of its parts does. [s]

    Parameters
    ----------
    n_gpus, accelerators_per_node : numeric
        Accelerators of the job and of one node. [-]
    gpu_mtbf_s : numeric, optional
        Mean time between failures of one accelerator with its share of the node. [s]
    node_interruption_s : numeric, optional
        Mean time until a provider takes one node away. [s]

    Notes
    -----
    .. math:: M = \left(\frac{n}{M_{gpu}} + \frac{\lceil n / m \rceil}{M_{node}}\right)^{-1}

    Independent parts with constant rates. Pessimistic where a provider takes many nodes at once; a rack that fails
    whole counts once.

    Examples
    --------
    >>> print(job_mtbf_s(n_gpus=64, node_interruption_s=80 * 3600.0) / 3600)
    10.0
    """
    nodes = np.ceil(np.asarray(n_gpus, dtype=float) / accelerators_per_node)
    with np.errstate(divide="ignore"):
        return 1.0 / (np.asarray(n_gpus, dtype=float) / gpu_mtbf_s + nodes / np.asarray(node_interruption_s))


def mtbf_for(
    *,
    goodput: Numeric,
    checkpoint_s: Numeric,
    restart_s: Numeric,
    interval_s: Numeric | None = None,
) -> Numeric:
    r"""Mean time between interruptions at which a run keeps a goodput: `modelled` turned around. [s]

    Parameters
    ----------
    goodput : numeric
        Share of wall-clock time that must be useful. [-]
    checkpoint_s, restart_s : numeric
        As for `modelled`. [s]
    interval_s : numeric, optional
        Time between checkpoints; Young's for the interruptions found, if absent. [s]

    Returns
    -------
    numeric
        Infinite where checkpoints alone take more than is left.

    Notes
    -----
    With Young's interval :math:`1/g - 1 = \sqrt{2 \delta x^2} + R x^2` in :math:`x = M^{-1/2}`.

    Examples
    --------
    >>> print(round(float(mtbf_for(goodput=0.885, checkpoint_s=30, restart_s=600)) / 3600, 2))
    3.0
    """
    lost = 1.0 / np.asarray(goodput, dtype=float) - 1.0
    delta, restart = np.asarray(checkpoint_s, dtype=float), np.asarray(restart_s, dtype=float)
    with np.errstate(divide="ignore", invalid="ignore"):
        if interval_s is not None:
            left = lost - delta / interval_s
            return np.where(left > 0, (np.asarray(interval_s) / 2.0 + restart) / left, np.inf)[()]
        half = np.sqrt(delta / 2.0)
        # The positive root, in the form that also holds for restart = 0 and for checkpoints that cost nothing.
        root = lost / (half + np.sqrt(half**2 + restart * lost))
        return np.where(root > 0, root**-2.0, np.inf)[()]


@dataclass(frozen=True)
class Interruptions:
    """What was published about the interruptions of one run."""

    name: str
    n_gpus: int
    days: float
    interruptions: tuple[float, float]
    """Least and most."""
    source: str
    goodput: float | None = None
    """Share of the time that was useful, where it was published. [-]"""

    @property
    def gpu_hours_per_interruption(self) -> tuple[float, float]:
        """Accelerator-hours between two interruptions, least and most. [h]"""
        hours = self.n_gpus * self.days * 24
        return hours / self.interruptions[1], hours / self.interruptions[0]


PUBLISHED = (
    Interruptions(
        "Llama 3 405B", LLAMA3_GPUS, LLAMA3_DAYS, (419, 466), "arXiv:2407.21783, section 3.3.4", 0.90
    ),
    Interruptions("OPT-175B", 992, 60.0, (35, 105), "arXiv:2205.01068, sections 2.4 and 2.5", 0.59),
    Interruptions("BLOOM", 384, 7.0, (1, 2), "arXiv:2211.05100, section 3.4.4"),
)
"""Llama 3: 466 interruptions, 419 of them unexpected. OPT: two months on 992 A100s, at least 35 manual restarts and an
estimated 70 automatic ones; its goodput from https://glennklockwood.com/garden/job-reliability. BLOOM: one to two
accelerators failed in a week on 384 A100s, checkpoints every three hours."""
