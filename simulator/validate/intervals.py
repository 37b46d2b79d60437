"""Step times of measured rows by a clock, and the interval around each."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from simulator import calibrations, clocks, uncertainty
from simulator.validate import cases as tables

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from simulator.columns import Numeric
    from simulator.uncertainty import Regime, Table
    from simulator.validate.cases import Cases

Values = dict[str, np.ndarray]


def levels_of(
    cases: Cases, clock: str = "memory_copies", values: Mapping[tuple[str, str], float] | None = None
) -> dict[str, Numeric]:
    """Step time of every row by level, by the shipped constants or others. [s]"""
    constants = tables.constants(cases, calibrations.shipped_values() if values is None else dict(values))
    return clocks.CLOCKS[clock](cases.shape, cases.layout, cases.device, constants)


def step_times(
    cases: Cases, clock: str = "memory_copies", values: Mapping[tuple[str, str], float] | None = None
) -> np.ndarray:
    """Step time of every row. [s]"""
    return np.asarray(sum(levels_of(cases, clock, values).values()) + np.zeros(len(cases)), dtype=float)


def exposed_shares(
    cases: Cases, clock: str = "memory_copies", values: Mapping[tuple[str, str], float] | None = None
) -> np.ndarray:
    """Share of every row's step that is communication nothing hides. [-]"""
    share = uncertainty.exposed_share(levels_of(cases, clock, values))
    return np.asarray(share + np.zeros(len(cases)), dtype=float)


def around(
    cases: Cases,
    predicted: np.ndarray,
    *,
    regimes: Sequence[Regime],
    exposed: np.ndarray,
    known: Sequence[Table] | None = None,
) -> Values:
    """Predicted and measured step times with the 80 % interval of each row: ``predicted measured low high``. [s]

    Parameters
    ----------
    cases : Cases
        The rows.
    predicted : array
        Their step times. [s]
    regimes : sequence of Regime
        The regime of each row.
    exposed : array
        Share of each step that is communication nothing hides. [-]
    known : sequence of Table, optional
        Percentiles of each row; the shipped ones if absent.
    """
    rows = zip(regimes, exposed, known or [uncertainty.table()] * len(cases), strict=True)
    found = [uncertainty.step_time_factors(each, table, exposed=float(x)) for each, x, table in rows]
    return {
        "predicted": predicted,
        "measured": cases.measured_s,
        "low": predicted * np.array([each.low for each in found]),
        "high": predicted * np.array([each.high for each in found]),
    }
