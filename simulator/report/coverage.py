"""Whether intervals mean the same everywhere: their coverage along what widens them."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from simulator.report.accuracy import error
from simulator.report.tables import Table
from simulator.report.text import number, percent
from simulator.validate import intervals, left_out
from simulator.validate.regimes import regimes

if TYPE_CHECKING:
    from simulator.validate.cases import Cases

EDGES = (0.0, 0.02, 0.1, 0.25, 0.5, 1.0)
"""Shares of a step that is exposed communication, at which its rows are cut. [-]"""

FEWEST = 15
"""Rows of a regime that is worth a line of its own. [-]"""

HEADS = {"source": "organisation out", "model": "models out", "accelerator": "accelerator out"}
"""What the fit did not see, as heads of columns."""


def by_communication(cases: Cases, left: Mapping[str, np.ndarray], widest: float) -> Table:
    """Error and coverage by the share of the step that is exposed communication.

    Parameters
    ----------
    cases : Cases
        Measured rows.
    left : mapping
        Step times by constants that never saw the row, by what was left out. [s]
    widest : float
        Width of the interval at nothing but exposed communication over that without any. [-]
    """
    share = intervals.exposed_shares(cases)
    values = {kind: left_out.with_interval(cases, left[kind], kind) for kind in HEADS}
    rows = []
    for low, high in pairwise(EDGES):
        own = (share >= low) & ((share < high) | (high == EDGES[-1]))
        cells = [f"{100 * low:g} to {100 * high:g} %", f"{own.sum():,}"]
        for each in values.values():
            kept = own & np.isfinite(each["predicted"])
            measured = each["measured"][kept]
            inside = (measured >= each["low"][kept]) & (measured <= each["high"][kept])
            cells.append(error(float(np.median(np.abs(each["predicted"][kept] / measured - 1.0)))))
            cells.append(percent(float(inside.mean())))
        rows.append(tuple(cells))
    note = (
        "Rows by the share of their step that is communication nothing hides; median error and share of the measured values "
        f"inside the 80 % interval, on rows left out of the fit. With that share the interval widens: {number(widest, 2)} "
        "times as wide, in the logarithm, for nothing but communication as for none."
    )
    heads = ("exposed", "rows", *(head for name in HEADS.values() for head in (name, "in 80 %")))
    return Table("The interval and communication", heads, rows, note=note)


def by_regime(cases: Cases, predicted: np.ndarray) -> Table:
    """Error, width and coverage where the whole organisation is left out, by what was run, least covered first.

    Parameters
    ----------
    cases : Cases
        Measured rows.
    predicted : array
        Step times by constants fitted without the organisation of the row. [s]
    """
    values = left_out.with_interval(cases, predicted, "source")
    inside = (values["measured"] >= values["low"]) & (values["measured"] <= values["high"])
    half = np.sqrt(values["high"] / values["low"]) - 1.0
    wrong = np.abs(predicted / cases.measured_s - 1.0)
    names = np.array(
        [
            (each.software, each.architecture, each.kind, each.scale, each.bits)
            for each in regimes(cases, seen=False)
        ]
    )
    rows = []
    for name in np.unique(names, axis=0):
        own = (names == name).all(axis=1) & np.isfinite(predicted)
        if own.sum() >= FEWEST:
            cells = (*name.tolist(), f"{own.sum():,}", f"{len(np.unique(cases.source[own]))}")
            figures = (float(np.median(wrong[own])), float(np.median(half[own])), float(inside[own].mean()))
            rows.append((figures[-1], (*cells, error(figures[0]), percent(figures[1]), percent(figures[2]))))
    rows.sort(key=lambda row: row[0])
    note = (
        f"Regimes of {FEWEST} rows or more, as a plan of somebody new is judged: median error of the rows, half the width of their "
        "80 % interval, and the share of them inside it. Where one organisation made most of the runs, the interval without it rests "
        "on what others ran, and holds nearly all of its rows or few."
    )
    heads = (
        "software",
        "accelerator",
        "kind",
        "scale",
        "bits",
        "rows",
        "sources",
        "median",
        "half-width",
        "in 80 %",
    )
    return Table(
        "The interval by what was run", heads, [cells for _, cells in rows], left=(0, 1, 2, 3), note=note
    )
