"""Figures with matplotlib (``pip install trainsim[plot]``): every function takes axes, or makes them, and returns them.

Colors are those of Okabe and Ito (https://jfly.uni-koeln.de/color), which color-blind readers can tell apart; hatches,
markers and line styles repeat what colors say, so that the figures can be read in grey.

`breakdown`, `memory`, `compare_bars`, `sweep_lines`, `growth`, `tornado`
    Of an answer, a comparison or a sweep.
`frontier`, `sizes`, `contours`, `roofline`, `predicted`
    Of rows from `simulator.curves` and ``trainsim validate --rows``.
"""

from __future__ import annotations

from simulator.report.plots.answers import (
    breakdown,
    compare_bars,
    growth,
    memory,
    plot_result,
    sweep_lines,
    tornado,
)
from simulator.report.plots.fields import contours, frontier, predicted, roofline, sizes

__all__ = [
    "breakdown",
    "compare_bars",
    "contours",
    "frontier",
    "growth",
    "memory",
    "plot_result",
    "predicted",
    "roofline",
    "sizes",
    "sweep_lines",
    "tornado",
]
