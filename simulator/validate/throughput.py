"""Predict every row of a throughput table and report the error."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from simulator import clocks
from simulator.errors import UnknownNameError
from simulator.validate import cases as tables
from simulator.validate import intervals
from simulator.validate.metrics import by_group, with_coverage
from simulator.validate.regimes import formats, regimes

if TYPE_CHECKING:
    from simulator.uncertainty import Regime


def validate_throughput(
    path: str | Path, *, clock: str = "memory_copies", rows: bool = False
) -> dict[str, Any]:
    """Predict the step time of every row from its configuration.

    Parameters
    ----------
    path : str or Path
        Table in the format of ``measurements/throughput.csv``.
    clock : str, optional
        Name of the clock.
    rows : bool, optional
        Also list every row with its prediction and interval.

    Returns
    -------
    dict
        ``n n_skipped skipped median_ape mape p90_ape bias spearman coverage_80 by_source by_gpu by_regime``, the same figures
        on ``complete`` configurations with ``mean_over_sources``, and ``rows`` if asked.

    Raises
    ------
    SpecError
        If the file is not such a table.
    UnknownNameError
        If the clock is not known.
    """
    return validate_cases(tables.read(path), clock=clock, rows=rows)


def validate_cases(
    cases: tables.Cases, *, clock: str = "memory_copies", rows: bool = False
) -> dict[str, Any]:
    """Do as `validate_throughput` for a table that has been read, so that several clocks share it."""
    if clock not in clocks.CLOCKS:
        raise UnknownNameError(clock, kind="clock", names=clocks.CLOCKS)
    known = regimes(cases)
    values = intervals.around(
        cases,
        intervals.step_times(cases, clock),
        regimes=known,
        exposed=intervals.exposed_shares(cases, clock),
    )
    report: dict[str, Any] = {
        "clock": clock,
        **with_coverage(values),
        "n_skipped": sum(cases.skipped.values()),
    }
    report["skipped"] = cases.skipped
    whole = {key: value[cases.complete] for key, value in values.items()}
    report["complete"] = {**with_coverage(whole), **means_over(cases.source[cases.complete], whole)}
    report["by_source"] = by_group(cases.source, values)
    report["by_gpu"] = by_group(cases.gpu, values)
    report["by_regime"] = by_regime(cases, known, values)
    if rows:
        report["rows"] = _rows(cases, values)
    return report


KINDS = {"dense": "dense", "moe": "mixture", "lora": "adapters"}
"""Kinds of training of a regime, in words."""

SCALES = {"node": "one node", "cluster": "several nodes"}
"""Scales of a regime, in words."""


def by_regime(
    cases: tables.Cases, known: Sequence[Regime], values: dict[str, np.ndarray]
) -> dict[str, dict[str, Any]]:
    """Figures by kind of training, width of the matmuls' format, scale and completeness of the configuration.

    Parameters
    ----------
    cases : Cases
        The rows.
    known : sequence of Regime
        The regime of each row.
    values : dict
        ``predicted measured low high`` of each row. [s]
    """
    parts = {
        "kind": [KINDS[each.kind] for each in known],
        "format": [f"{width} bits" for width in formats(cases)],
        "scale": [SCALES[each.scale] for each in known],
        "configuration": ["complete" if each.complete else "incomplete" for each in known],
    }
    return {part: by_group(np.array(names, dtype=str), values) for part, names in parts.items()}


def means_over(names: np.ndarray, values: dict[str, np.ndarray]) -> dict[str, float]:
    """Means over groups of the median and the mean error, so that no large table decides alone."""
    groups = by_group(names, values).values()
    if not groups:
        return {}
    return {
        "n_sources": len(groups),
        "mean_over_sources_median_ape": round(float(np.mean([g["median_ape"] for g in groups])), 4),
        "mean_over_sources_mape": round(float(np.mean([g["mape"] for g in groups])), 4),
    }


def _rows(cases: tables.Cases, values: dict[str, np.ndarray]) -> list[dict[str, Any]]:
    return [
        {
            "id": str(cases.id[i]),
            "predicted_step_time_s": float(values["predicted"][i]),
            "measured_step_time_s": float(values["measured"][i]),
            "low": float(values["low"][i]),
            "high": float(values["high"][i]),
        }
        for i in range(len(cases))
    ]
