"""Which effect is missing: the error against what was run, within each source.

Sources differ in how they measure, so a comparison across them says little about physics. Every trend here is taken within
sources: the logarithm of predicted over measured and that of the quantity, both less their mean over the source.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from simulator import transformer
from simulator.layout import n_gpus

if TYPE_CHECKING:
    from simulator.validate.cases import Cases

QUANTITIES: dict[str, Callable[[Cases], np.ndarray]] = {
    "accelerators": lambda c: np.asarray(n_gpus(c.layout), dtype=float),
    "parameters": lambda c: np.asarray(transformer.parameters(c.shape), dtype=float),
    "hidden size": lambda c: np.asarray(c.shape.hidden_size, dtype=float),
    "sequence length": lambda c: np.asarray(c.layout.seq_length, dtype=float),
    "micro-batch": lambda c: np.asarray(c.layout.micro_batch_size, dtype=float),
    "micro-batches per step": lambda c: np.asarray(c.layout.num_microbatches, dtype=float),
    "tensor parallel": lambda c: np.asarray(c.layout.tp, dtype=float),
    "pipeline parallel": lambda c: np.asarray(c.layout.pp, dtype=float),
    "context parallel": lambda c: np.asarray(c.layout.cp, dtype=float),
    "expert parallel": lambda c: np.maximum(np.asarray(c.layout.ep, dtype=float), 1.0),
    "data parallel": lambda c: np.asarray(c.layout.dp, dtype=float),
}
"""What the error is set against, by name."""

FEWEST = 30
"""Rows that a trend needs. [-]"""

CUT = 2.0
"""Factor beyond the usual one of its source from which on a row counts as broken. [-]"""

PARTS = 4
"""Parts of about equal size into which the rows are cut along a quantity. [-]"""


@dataclass(frozen=True)
class Trend:
    """How the error moves with a quantity."""

    quantity: str
    rows: int
    """Rows of sources in which the quantity varies. [-]"""
    per_doubling: float
    """Change of the logarithm of predicted over measured with each doubling; above 0 the prediction becomes too slow. [-]"""
    explained: float
    """Share of the squared error within sources that the trend explains. [-]"""
    source: str
    """Source whose squared error it explains most of, in absolute terms."""


def trends(cases: Cases, predicted: np.ndarray) -> list[Trend]:
    """Trend of the error along each of `QUANTITIES`, the strongest first.

    Parameters
    ----------
    cases : Cases
        Measured rows.
    predicted : array
        Their step times. [s]

    Notes
    -----
    Errors of more than a factor of `CUT` count as that factor, so that a few broken runs do not make a trend. A trend is
    not a cause: quantities move together (large models run on many accelerators).
    """
    error = np.log(predicted / cases.measured_s)
    for source in set(cases.source.tolist()):
        own = cases.source == source
        error[own] = np.clip(error[own] - np.median(error[own]), -np.log(CUT), np.log(CUT))
    found = [_trend(name, cases, error, rule(cases)) for name, rule in QUANTITIES.items()]
    kept = [each for each in found if each is not None]
    return sorted(kept, key=lambda each: -each.explained)


def _trend(name: str, cases: Cases, error: np.ndarray, values: np.ndarray) -> Trend | None:
    x, y = np.zeros(len(error)), np.zeros(len(error))
    varies = np.zeros(len(error), dtype=bool)
    for source in set(cases.source.tolist()):
        own = cases.source == source
        logs = np.log2(values[own])
        if np.ptp(logs) > 0:
            x[own], y[own], varies[own] = logs - logs.mean(), error[own] - error[own].mean(), True
    if varies.sum() < FEWEST:
        return None
    slope = float(x @ y / (x @ x))
    gain = y**2 - (y - slope * x) ** 2
    by_source = {str(s): float(gain[cases.source == s].sum()) for s in set(cases.source[varies].tolist())}
    return Trend(
        name,
        int(varies.sum()),
        slope,
        float(gain.sum() / (y @ y)),
        max(by_source, key=lambda s: by_source[s]),
    )


@dataclass(frozen=True)
class Part:
    """Rows with about the same value of a quantity."""

    low: float
    high: float
    rows: int
    median_error: float
    """Median of the relative error. [-]"""
    bias: float
    """Mean of the logarithm of predicted over measured. [-]"""


def parts(cases: Cases, predicted: np.ndarray, quantity: str) -> list[Part]:
    """Rows cut into parts of about equal size along a quantity, without splitting equal values."""
    values = QUANTITIES[quantity](cases)
    ratio = predicted / cases.measured_s
    inner = np.unique(np.quantile(values, np.arange(1, PARTS) / PARTS, method="nearest"))
    place = np.searchsorted(inner, values, side="left")
    found = []
    for each in np.unique(place):
        own = place == each
        found.append(
            Part(
                float(values[own].min()),
                float(values[own].max()),
                int(own.sum()),
                float(np.median(np.abs(ratio[own] - 1.0))),
                float(np.log(ratio[own]).mean()),
            )
        )
    return found
