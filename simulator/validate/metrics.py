"""Errors of predicted against measured step times."""

from __future__ import annotations

from typing import Any

import numpy as np

FEWEST_RANKED = 3
"""Rows from which on an order says something: two agree or disagree by the toss of a coin. [-]"""


def summary(predicted: np.ndarray, measured: np.ndarray) -> dict[str, Any]:
    """Size and direction of the relative error.

    Parameters
    ----------
    predicted, measured : array
        Step times. [s]

    Returns
    -------
    dict
        ``n``, ``median_ape``, ``mape``, ``p90_ape``, ``bias`` (mean of the logarithm of predicted over measured) and
        ``spearman``, None where there is no order to compare. [-]

    Examples
    --------
    >>> summary(np.array([1.1, 2.0, 2.7]), np.array([1.0, 2.0, 3.0]))["median_ape"]
    0.1
    """
    keep = np.isfinite(predicted) & np.isfinite(measured)
    predicted, measured = predicted[keep], measured[keep]
    if not len(measured):
        return {"n": 0}
    error = np.abs(predicted / measured - 1.0)
    rank = spearman(predicted, measured) if len(measured) >= FEWEST_RANKED else np.nan
    return {
        "n": len(measured),
        "median_ape": round(float(np.median(error)), 4),
        "mape": round(float(error.mean()), 4),
        "p90_ape": round(float(np.quantile(error, 0.9)), 4),
        "bias": round(float(np.log(predicted / measured).mean()), 4),
        "spearman": round(rank, 4) if np.isfinite(rank) else None,
    }


def in_words(figures: dict[str, Any]) -> str:
    """Figures of `summary` as a sentence.

    Examples
    --------
    >>> in_words(summary(np.array([1.1, 2.0, 2.7]), np.array([1.0, 2.0, 3.0])))
    'median error 10.0 %, mean 6.7 %, 90th percentile 10.0 %, bias -0.003'
    """
    if not figures["n"]:
        return "no row"
    median, mean, high = (100 * figures[name] for name in ("median_ape", "mape", "p90_ape"))
    return f"median error {median:.1f} %, mean {mean:.1f} %, 90th percentile {high:.1f} %, bias {figures['bias']:+.3f}"


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Rank correlation; nan for fewer than two rows, and where all rows of one side are alike. [-]"""
    x, y = _ranks(a), _ranks(b)
    if len(a) < 2 or x.std() == 0 or y.std() == 0:
        return float("nan")
    return float(np.corrcoef(x, y)[0, 1])


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks, ties sharing their mean."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return np.asarray(((ends - counts + ends - 1) / 2.0)[inverse])


def by_group(names: np.ndarray, values: dict[str, np.ndarray]) -> dict[str, Any]:
    """`summary` and coverage for each name."""
    found = {}
    for name in sorted(set(names.astype(str).tolist())):
        own = names.astype(str) == name
        part = {key: value[own] for key, value in values.items()}
        found[name] = with_coverage(part)
    return found


def with_coverage(values: dict[str, np.ndarray]) -> dict[str, Any]:
    """`summary`, with the share of measured values inside their interval, of which no rows have none."""
    result = summary(values["predicted"], values["measured"])
    inside = (values["measured"] >= values["low"]) & (values["measured"] <= values["high"])
    return {**result, "coverage_80": round(float(inside.mean()), 4)} if len(inside) else result
