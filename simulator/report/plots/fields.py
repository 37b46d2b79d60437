"""Figures of rows: frontier, sizes, contours, roofline, predicted against measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from simulator.report.plots import style
from simulator.report.text import duration, number, quantity

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Document = Mapping[str, Any]

DAY = 86400.0


def frontier(
    rows: Sequence[Document],
    ax: Axes | None = None,
    *,
    against: str = "time_to_train_days",
    answer: Document | None = None,
) -> Axes:
    """Lowest loss against time, with money on a second axis where it is proportional.

    Parameters
    ----------
    rows : sequence of mapping
        `simulator.curves.frontier`.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure if absent.
    against : str, optional
        ``time_to_train_days`` or ``cost_usd``.
    answer : mapping, optional
        A plan to mark.
    """
    ax = style.axes(ax)
    for name in ("loss", against):
        rows = [row for row in rows if row.get(name) is not None]
        if not rows:
            return style.nothing(ax, f"no row has {style.label(name)}")
    kept = rows
    x, y = [row[against] for row in kept], [row["loss"] for row in kept]
    ax.plot(x, y, color=style.COLORS[0], marker="o", label="best plan from scratch")
    for row in kept[:: max(1, len(kept) // 4)]:
        ax.annotate(
            quantity(row["params"], "parameter", 2),
            (row[against], row["loss"]),
            xytext=(5, 6),
            textcoords="offset points",
            fontsize="small",
        )
    if answer is not None and answer.get(against) is not None and answer.get("loss") is not None:
        ax.plot(answer[against], answer["loss"], **MARK)
    ax.set_xscale("log")
    ax.margins(y=0.12)
    plain_ticks(ax, "x", duration_of if against == "time_to_train_days" else dollars)
    ax.set_xlabel(style.label(against))
    ax.set_ylabel("loss [nats/token]")
    ax.set_title("Lowest loss for a budget")
    other = "cost_usd" if against == "time_to_train_days" else "time_to_train_days"
    _second(ax, kept, against, other)
    ax.legend(frameon=False)
    return ax


MARK: dict[str, Any] = {
    "color": style.COLORS[5],
    "marker": "*",
    "markersize": 14,
    "markeredgecolor": style.INK,
    "linestyle": "none",
    "label": "the answer",
}


def _second(ax: Axes, rows: Sequence[Document], one: str, other: str) -> None:
    """An axis of the other figure on top, if it is proportional to the first."""
    ratios = [row[other] / row[one] for row in rows if row.get(other)]
    if len(ratios) == len(rows) and max(ratios) < 1.01 * min(ratios):
        ratio = ratios[0]
        top = ax.secondary_xaxis("top", functions=(lambda x: x * ratio, lambda x: x / ratio))
        top.set_xlabel(style.label(other))
        plain_ticks(top, "x", dollars if other == "cost_usd" else duration_of)


def sizes(rows: Sequence[Document], ax: Axes | None = None, *, answer: Document | None = None) -> Axes:
    """Loss over size within the limits: the U-curve (`simulator.curves.sizes`)."""
    ax = style.axes(ax)
    if not rows:
        return style.nothing(ax, "the model is fixed")
    ax.plot(
        [row["params"] for row in rows],
        [row["loss"] for row in rows],
        color=style.COLORS[0],
        marker="o",
        label="best layout of a size, from scratch",
    )
    best = min(rows, key=lambda row: float(row["loss"]))
    near = [row["params"] for row in rows if row["loss"] <= best["loss"] + RESOLUTION]
    ax.axvspan(
        min(near), max(near), color=style.COLORS[4], alpha=0.25, label=f"within {RESOLUTION} nats of the best"
    )
    if answer is not None and answer.get("loss") is not None:
        ax.plot(answer["params"], answer["loss"], **MARK)
    ax.set_xscale("log")
    plain_ticks(ax, "x", count)
    ax.set_xlabel("parameters [-]")
    ax.set_ylabel("loss [nats/token]")
    days = [row["time_to_train_days"] for row in rows]
    ax.set_title(
        f"Loss over size in {duration(max(days) * DAY)}" if max(days) < 1.01 * min(days) else "Loss over size"
    )
    ax.legend(frameon=False)
    return ax


RESOLUTION = 0.014
"""Losses closer than this cannot be told apart (`simulator.search.question.RESOLUTION_NATS`). [nats/token]"""


def contours(
    rows: Sequence[Document], law: str, ax: Axes | None = None, *, answer: Document | None = None
) -> Axes:
    """Lines of equal loss and of equal time over parameters and tokens.

    Parameters
    ----------
    rows : sequence of mapping
        `simulator.curves.sizes`: the tokens that each size sees in its time give the lines of equal time.
    law : str
        Name of a law of loss in ``simulator.laws``, without a correction for shape.
    ax, answer
        As in `frontier`.
    """
    import numpy as np

    from simulator import scaling

    ax = style.axes(ax, (7.0, 5.0))
    if not rows:
        return style.nothing(ax, "the model is fixed")
    params = np.array([row["params"] for row in rows])
    rate = np.array([row["tokens"] / row["time_to_train_days"] for row in rows])
    days = float(np.median([row["time_to_train_days"] for row in rows]))
    tokens = np.geomspace(np.min(rate) * days / 4, np.max(rate) * days, 60)
    grid = scaling.loss(law=law, params=params[None, :], tokens=tokens[:, None])
    lines = ax.contour(params, tokens, grid, levels=12, colors=style.COLORS[0], linewidths=0.9)
    ax.clabel(lines, fmt="%.2f", fontsize="small")
    _time_lines(ax, params, rate * days, days)
    ax.plot([], [], color=style.COLORS[0], label="equal loss [nats/token]")
    ax.plot([], [], color=style.COLORS[5], label="equal time, best layout of each size")
    if answer is not None and answer.get("tokens") is not None:
        ax.plot(answer["params"], answer["tokens"], **MARK)
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_ylim(tokens[0], tokens[-1])
    plain_ticks(ax, "x", count)
    plain_ticks(ax, "y", count)
    ax.set_xlabel("parameters [-]")
    ax.set_ylabel("tokens [-]")
    ax.set_title(f"Equal loss ({law}) and equal time")
    ax.legend(frameon=True, loc="lower left")
    return ax


INK_TIME = "#8A3B00"
TIME_LINES = {0.25: ":", 0.5: "--", 1.0: "-", 2.0: "--", 4.0: ":"}
"""Times the median time of the rows, to the style of its line."""


def _time_lines(ax: Axes, params: Any, tokens: Any, days: float) -> None:
    """Lines of equal time: multiples of the tokens that each size sees in `days`."""
    place = len(params) // 6
    for factor, line in TIME_LINES.items():
        ax.plot(
            params,
            tokens * factor,
            color=style.COLORS[5],
            linestyle=line,
            linewidth=2.2 if factor == 1 else 1.2,
        )
        ax.annotate(
            duration(days * factor * DAY),
            (params[place], tokens[place] * factor),
            fontsize="small",
            color=INK_TIME,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5},
            ha="center",
        )


def roofline(rows: Sequence[Document], ax: Axes | None = None, *, answer: Document | None = None) -> Axes:
    """Matrix products of a layer under the roof of peak and device memory (`simulator.curves.matmuls`)."""
    import numpy as np

    ax = style.axes(ax)
    if not rows:
        return style.nothing(ax, "no matrix products")
    peak, width = rows[0]["peak_tflops"], rows[0]["memory_bandwidth"]
    ridge = peak * 1e12 / width
    x = np.geomspace(
        min(ridge, min(row["intensity"] for row in rows)) / 16, 4 * max(row["intensity"] for row in rows)
    )
    roof = np.minimum(peak, x * width / 1e12)
    ax.plot(x, roof, color=style.INK, label=f"roof: {number(peak)} TFLOP/s, {quantity(width, 'byte/second')}")
    for place, row in enumerate(rows):
        ax.plot(
            row["intensity"],
            row["attainable_tflops"],
            marker=style.MARKERS[place % len(style.MARKERS)],
            color=style.COLORS[place % len(style.COLORS)],
            markeredgecolor=style.INK,
            linestyle="none",
            label=f"{row['name']}, {number(row['intensity'])} FLOP/B",
        )
    if answer is not None:
        rate = answer["model_tflops_per_gpu"]
        ax.axhline(rate, color=style.COLORS[5], linestyle="--", label=f"whole step: {number(rate)} TFLOP/s")
    ax.set_xscale("log")
    ax.set_yscale("log")
    plain_ticks(ax, "x", count)
    plain_ticks(ax, "y", count)
    ax.set_xlabel("FLOP per byte of device memory [FLOP/B]")
    ax.set_ylabel("rate of one accelerator [TFLOP/s]")
    ax.set_title("Matrix products of a layer under the roof")
    ax.legend(frameon=False, fontsize="small")
    return ax


def predicted(rows: Sequence[Document], ax: Axes | None = None, *, by: str = "gpu") -> Axes:
    """Predicted against measured step time, with the 80 % interval.

    Parameters
    ----------
    rows : sequence of mapping
        ``rows`` of ``trainsim validate --rows --json``: ``predicted_step_time_s measured_step_time_s low high``.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure if absent.
    by : str, optional
        Field whose values get a marker each, if the rows have it.
    """
    ax = style.axes(ax, (6.0, 6.0))
    if not rows:
        return style.nothing(ax, "no rows")
    from matplotlib.lines import Line2D

    groups: dict[str, list[Document]] = {}
    for row in rows:
        groups.setdefault(str(row.get(by, "step time")), []).append(row)
    order = sorted(groups, key=lambda name: -len(groups[name]))
    shown = order[: len(style.MARKERS) - 1]
    merged = {name: groups[name] for name in shown}
    rest = [row for name in order[len(shown) :] for row in groups[name]]
    if rest:
        merged["other"] = rest
    crowded = len(rows) > CROWD
    look: dict[str, Any] = {"markersize": 2 if crowded else 4, "alpha": 0.35 if crowded else 0.8}
    look |= {"markeredgewidth": 0.0 if crowded else 0.4, "elinewidth": 0.2 if crowded else 0.4}
    for place, (name, some) in enumerate(merged.items()):
        x, y = ([row[f"{kind}_step_time_s"] for row in some] for kind in ("measured", "predicted"))
        low = [max(row["predicted_step_time_s"] - row["low"], 0) for row in some]
        high = [max(row["high"] - row["predicted_step_time_s"], 0) for row in some]
        ax.errorbar(
            x, y, yerr=[low, high], fmt=style.MARKERS[place], color=style.COLORS[place],
            markeredgecolor=style.INK, label=f"{name} ({len(some):,})", **look,
        )  # fmt: skip
    every = [row[f"{kind}_step_time_s"] for row in rows for kind in ("measured", "predicted")]
    ends = [0.7 * min(every), 1.4 * max(every)]
    ax.plot(
        ends, ends, color=style.INK, linewidth=1, zorder=3, label="as measured; dotted: 0.8 and 1.25 times"
    )
    for factor in (0.8, 1.25):
        around = [factor * end for end in ends]
        ax.plot(ends, around, color=style.INK, linewidth=0.9, linestyle=":", zorder=3)
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlim(*ends)
    ax.set_ylim(*ends)
    plain_ticks(ax, "x", count)
    plain_ticks(ax, "y", count)
    ax.set_xlabel("measured step time [s]")
    ax.set_ylabel("predicted step time [s], lines: 80 % interval")
    ax.set_title(f"Predicted against measured, {len(rows):,} rows")
    found = ax.legend(frameon=False, fontsize="small")
    for handle in found.findobj(Line2D):
        handle.set_alpha(1.0)
        handle.set_markersize(4)
    return ax


CROWD = 300
"""Rows from which on markers are small and let others through. [-]"""

WIDE = 3000.0
"""Span of an axis from which on only powers of ten get a tick. [-]"""


def plain_ticks(ax: Any, which: str, words: Callable[[float], str]) -> None:
    """Ticks of a logarithmic axis as words, a handful."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

    axis = getattr(ax, f"{which}axis")
    low, high = getattr(ax, f"get_{which}lim")()
    wide = low > 0 and high / low > WIDE
    axis.set_major_locator(LogLocator(subs=(1.0,) if wide else (1.0, 2.0, 5.0), numticks=9))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: words(value)))
    axis.set_minor_formatter(NullFormatter())


def count(value: float) -> str:
    """A tick of a count.

    Examples
    --------
    >>> count(2e9), count(0.05), count(500)
    ('2B', '0.05', '500')
    """
    return quantity(value, "parameter", 2) if value >= 1000 else number(value, 2)


def dollars(value: float) -> str:
    """A tick of money.

    Examples
    --------
    >>> dollars(20000)
    '$20k'
    """
    return quantity(value, "USD", 2)


def duration_of(days: float) -> str:
    """A tick of time.

    Examples
    --------
    >>> duration_of(0.5), duration_of(2)
    ('12 h', '2 days')
    """
    return duration(days * DAY, 2)
