"""Figures of an answer, of a comparison, of growth, of what moves the answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from simulator.errors import SimulatorError, UnknownNameError
from simulator.report import sections
from simulator.report.growth import trained
from simulator.report.plots import fields, style
from simulator.report.text import number, percent, quantity

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Document = Mapping[str, Any]

DAY = 86400.0


def breakdown(answer: Document, ax: Axes | None = None) -> Axes:
    """Step time by level of the copies, largest first.

    Parameters
    ----------
    answer : mapping
        ``answer`` of a result, with ``breakdown`` [s] and ``step_time_s``.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure if absent.
    """
    ax = style.axes(ax)
    total = answer["step_time_s"]
    order = sorted(answer["breakdown"].items(), key=lambda item: -item[1])
    rows = [(name, value) for name, value in order if value >= sections.LEAST * total]
    rest = total - sum(value for _, value in rows)
    if rest > 1e-9 * total:
        rows.append(("other", rest))
    names = [sections.LEVELS.get(name, "levels below half a percent") for name, _ in rows]
    for place, (_, value) in enumerate(rows):
        ax.barh(place, value, **style.dress(place))
        ax.text(value, place, f"  {number(value)} s, {percent(value / total)}", va="center", fontsize="small")
    ax.set_yticks(range(len(rows)), names)
    ax.invert_yaxis()
    ax.set_xlim(0, 1.28 * max(value for _, value in rows))
    ax.set_xlabel("time of a step [s]")
    ax.set_title(f"Where the {number(total)} s of a step go")
    return ax


def memory(answer: Document, ax: Axes | None = None) -> Axes:
    """Memory of the fullest device by category, against its capacity."""
    ax = style.axes(ax, (8.0, 3.0))
    left = 0.0
    shown = {
        name: gib for name, gib in answer["memory"].items() if gib >= sections.LEAST * answer["memory_gib"]
    }
    for place, (name, gib) in enumerate(shown.items()):
        words = f"{sections.CATEGORIES.get(name, name)}, {number(gib)} GiB"
        ax.barh(0, gib, left=left, height=0.6, label=words, **style.dress(place))
        left += gib
    capacity = answer["memory_capacity_gib"]
    ax.axvline(capacity, color=style.INK, linestyle="--", linewidth=1.5)
    ax.text(capacity, 0.42, f"capacity {number(capacity)} GiB ", ha="right", va="bottom", fontsize="small")
    ax.set_xlim(0, 1.06 * max(left, capacity))
    ax.set_ylim(-0.4, 0.62)
    ax.set_yticks([])
    ax.set_xlabel("memory of the fullest device [GiB]")
    ax.set_title(f"{number(answer['memory_gib'])} of {number(capacity)} GiB: {answer['memory_verdict']}")
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.28), ncols=2, frameon=False, fontsize="small")
    return ax


def compare_bars(rows: Sequence[Document], *, figure: str = "cost_usd", ax: Axes | None = None) -> Axes:
    """One figure of every row of a comparison, with its 80 % interval where it is known.

    Parameters
    ----------
    rows : sequence of mapping
        ``rows`` of a comparison, or an answer and its alternatives.
    figure : str, optional
        Name of the figure.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure if absent.

    Raises
    ------
    UnknownNameError
        If there is no such figure; one that no row has is said on the axes.
    """
    known = _figures(rows)
    if figure not in known:
        raise UnknownNameError(figure, kind="figure", names=known)
    ax = style.axes(ax)
    kept = [row for row in rows if row.get("feasible", True) and row.get(figure) is not None]
    if not kept:
        return style.nothing(ax, f"no row has {style.label(figure)}")
    for place, row in enumerate(kept):
        bounds = (row.get("interval") or {}).get(figure)
        if figure == "loss":
            ax.plot(row[figure], place, color=style.COLORS[0], marker="o", markeredgecolor=style.INK)
        else:
            ax.barh(place, row[figure], **style.dress(place))
        if bounds:
            ax.plot(bounds, [place, place], color=style.INK, linewidth=1.5, marker="|", markersize=9)
        end = max([row[figure], *(bounds or [])])
        ax.text(end, place, f"  {_value(row[figure], figure)}", va="center", fontsize="small")
    names = [row.get("label") or f"{row['n_gpus']:,} x {row['accelerator']}" for row in kept]
    ax.set_yticks(range(len(kept)), names)
    ax.invert_yaxis()
    ax.margins(x=0.15)
    if figure != "loss":
        ax.set_xlim(left=0)
    if figure.endswith("_usd"):
        ax.xaxis.set_major_formatter(lambda value, _: quantity(value, "USD") if value else "0")
    ax.set_xlabel(style.label(figure))
    ax.set_title(style.label(figure).partition(" [")[0].capitalize() + ", lines: 80 % interval")
    return ax


def _figures(rows: Sequence[Document]) -> list[str]:
    """Figures that bars can be drawn of: those of `style.LABELS`, and the numbers of the rows."""
    numbers = (
        name
        for row in rows
        for name, value in row.items()
        if isinstance(value, (int, float)) and not isinstance(value, bool)
    )
    return list(dict.fromkeys([*style.LABELS, *numbers]))


def sweep_lines(frame: Any, *, figure: str = "cost_usd", ax: Axes | None = None) -> Axes:
    """One figure of a sweep over the first field that varies, a line for every combination of the others.

    Parameters
    ----------
    frame : pandas.DataFrame
        `simulator.sweeping.Sweep.frame`. Where nothing runs, the line has a gap.
    figure : str, optional
        A column of it.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure if absent.
    """
    ax = style.axes(ax)
    if figure not in frame.columns:
        raise UnknownNameError(
            figure, kind="column of the sweep", names=[str(name) for name in frame.columns]
        )
    first, *others = [name for name in frame.columns if str(name).startswith("vary.")]
    kept = frame[frame["feasible"] & frame[figure].notna()]
    if kept.empty:
        return style.nothing(ax, f"no point has {style.label(figure)}")
    values = list(dict.fromkeys(frame[first]))
    groups = [("", kept)] if not others else list(kept.groupby(others, sort=False))
    for place, (named, rows) in enumerate(groups):
        words = named if isinstance(named, tuple) else (named,)
        pairs = zip(others, words, strict=False)
        name = ", ".join(f"{path.rpartition('.')[2]} {word}" for path, word in pairs)
        found = dict(zip(rows[first], rows[figure], strict=True))
        ax.plot(
            range(len(values)),
            [found.get(value, float("nan")) for value in values],
            color=style.COLORS[place % len(style.COLORS)],
            marker=style.MARKERS[place % len(style.MARKERS)],
            linestyle=style.LINES[place % len(style.LINES)],
            label=name,
        )
    ax.set_xticks(range(len(values)), [str(value) for value in values])
    ax.set_xlabel(str(first).removeprefix("vary."))
    ax.set_ylabel(style.label(figure))
    ax.set_title(
        style.label(figure).partition(" [")[0].capitalize() + f" over {str(first).removeprefix('vary.')}"
    )
    if others:
        ax.legend(frameon=False, fontsize="small")
    return ax


BOX = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1.0}


def _value(value: float, figure: str) -> str:
    if figure.endswith("_usd"):
        return quantity(value, "USD")
    return f"{value:.3f}" if figure == "loss" else number(value)


def growth(curves: Document, ax: Axes | None = None) -> Axes:
    """Loss in time of a model that is grown, beside the best one from scratch.

    Parameters
    ----------
    curves : mapping
        `simulator.curves.growth`: ``stages`` and ``scratch``, each a list of ``params``, ``days``, ``loss``.
    ax : matplotlib.axes.Axes, optional
        Where to draw; a new figure if absent.
    """
    ax = style.axes(ax)
    if not curves:
        return style.nothing(ax, "no growth was planned")
    for line in curves["scratch"]:
        words = f"{quantity(line['params'], 'parameter')} from scratch"
        ax.plot(line["days"], line["loss"], color=style.INK, linestyle="--", label=words)
    for place, line in enumerate(curves["stages"]):
        words = f"stage {place + 1}: {quantity(line['params'], 'parameter')}"
        every = max(1, len(line["days"]) // 6)
        mark = style.MARKERS[place % len(style.MARKERS)]
        ax.plot(
            line["days"], line["loss"], color=style.COLORS[place], marker=mark, markevery=every, label=words
        )
    lines = [*curves["scratch"], *curves["stages"]]
    last = [line["loss"][-1] for line in lines]
    first = max(line["loss"][len(line["loss"]) // 8] for line in lines)
    ax.set_ylim(min(last) - 0.05 * (first - min(last)), first)
    ax.set_xlim(left=0)
    ax.set_xlabel("time [days]")
    ax.set_ylabel("loss [nats/token]")
    ax.set_title(f"Growth against scratch, kappa {curves['kappa']:g} ({curves['follows']})")
    ax.legend(frameon=False)
    return ax


def tornado(rows: Sequence[Document], ax: Axes | None = None) -> Axes:
    """What moves the answer, largest first (`simulator.curves.sensitivity`)."""
    ax = style.axes(ax)
    if not rows:
        return style.nothing(ax, "nothing was varied")
    order = sorted(rows, key=lambda row: -abs(row["worse"] - row["better"]))
    figure, base = order[0]["figure"], order[0]["base"]
    for side, words, place in (("worse", "unfavorable end", 5), ("better", "favorable end", 0)):
        widths = [row[side] - base for row in order]
        ax.barh(range(len(order)), widths, left=base, label=words, **(style.dress(place) | HATCH[side]))
    ax.axvline(base, color=style.INK, linewidth=1)
    ax.set_yticks(range(len(order)), [row["name"] for row in order])
    ax.invert_yaxis()
    ax.set_xlabel(style.label(figure))
    name, _, unit = style.label(figure).partition(" [")
    value = _value(base, figure) if figure.endswith("_usd") else f"{_value(base, figure)} {unit.rstrip(']-')}"
    ax.set_title(f"What moves the {name}, {value.strip()}")
    ax.legend(frameon=False, loc="lower right")
    return ax


HATCH: dict[str, dict[str, Any]] = {"worse": {"hatch": "//"}, "better": {"hatch": ""}}


def _alternatives(document: Document, ax: Axes | None) -> Axes:
    """The figure that decides, of the answer and its alternatives."""
    rows = [document["answer"], *document["alternatives"]]
    answer = document["answer"]
    fixed = answer.get("loss") is None or len({row.get("loss") for row in rows}) == 1
    figure = "loss" if not fixed else "step_time_s"
    several = len({row["accelerator"] for row in rows}) > 1
    names = [sections.plan_name(row, answer) for row in rows]
    names[0] = answer["accelerator"] if several else names[0]
    named = [
        {**row, "label": f"{place}: {name}, tp {row['tp']} pp {row['pp']}"}
        for place, (row, name) in enumerate(zip(rows, names, strict=True))
    ]
    return compare_bars(named, figure=figure, ax=ax)


def _stages(document: Document, ax: Axes | None) -> Axes:
    """Stages of growth as bars in time, above training from scratch."""
    ax = style.axes(ax, (8.0, 2.6))
    found = document.get("growth")
    if not found:
        return style.nothing(ax, "no growth was planned")
    case = found["cases"][found["follows"]]
    start = 0.0
    for place, stage in enumerate(trained(case["stages"])):
        ax.barh(0, stage["time_days"], left=start, **style.dress(place))
        words = f"{quantity(stage['params'], 'parameter')}\nloss {stage['loss_end']:.3f}"
        ax.text(
            start + stage["time_days"] / 2, 0, words, ha="center", va="center", fontsize="small", bbox=BOX
        )
        start += stage["time_days"]
    ax.barh(1, start, color="white", edgecolor=style.INK)
    ax.text(start / 2, 1, f"loss {case['loss_scratch']:.3f}", ha="center", va="center", fontsize="small")
    ax.set_yticks([0, 1], ["grown", "from scratch"])
    ax.invert_yaxis()
    ax.set_xlabel("time [days]")
    ax.set_title(f"Growth against scratch, kappa {case['kappa']:g} ({found['follows']})")
    return ax


FIGURE_OF = {
    "loss": "loss",
    "accuracy": "accuracy",
    "cost": "cost_usd",
    "time": "time_to_train_days",
    "energy": "energy_mwh",
    "carbon": "co2e_t",
    "n_gpus": "n_gpus",
    "tokens": "tokens",
    "params": "params",
    "latency": "latency_s",
}
"""Objective of a scenario, to the figure of a row of the front."""

QUALITIES = ("loss", "accuracy")
"""Objectives that stand on the upright axis, against what is spent."""


def _front(document: Document, ax: Axes | None) -> Axes:
    """The plans that no other beats: the first objective against the second, the third by color."""
    ax = style.axes(ax)
    rows, answer = document.get("frontier") or [], document["answer"]
    if not rows:
        return style.nothing(ax, "one objective was asked for: write several")
    rows = [{**row, "gpu_hours": 24.0 * row["n_gpus"] * row["time_to_train_days"]} for row in rows]
    priced = all(row["cost_usd"] is not None for row in rows)
    served = all(row.get("lifetime_cost_usd") is not None for row in rows)
    # What the planner takes: the cost with serving where that counts, hours without a price.
    cost = "lifetime_cost_usd" if served else "cost_usd" if priced else "gpu_hours"
    figures = FIGURE_OF | {"cost": cost}
    asked = [figures[name] for name in document["scenario"]["objective"]]
    lacking = [style.label(name) for name in asked[:2] if any(row.get(name) is None for row in rows)]
    if lacking:
        return style.nothing(ax, f"the plans have no {' and no '.join(lacking)}")
    x, y, *more = asked
    x, y = (y, x) if x in QUALITIES else (x, y)
    ordered = sorted(rows, key=lambda row: row[x])
    across, up = [row[x] for row in ordered], [row[y] for row in ordered]
    if not more or any(row.get(more[0]) is None for row in rows):
        ax.plot(across, up, color=style.COLORS[0], marker="o")
    else:
        third = [row[more[0]] for row in ordered]
        points = ax.scatter(across, up, c=third, cmap="cividis", edgecolors=style.INK, zorder=2)
        ax.figure.colorbar(points, ax=ax, label=style.label(more[0]))
    if answer.get(x) is not None and answer.get(y) is not None:
        ax.plot([answer[x]], [answer[y]], marker="*", markersize=14, linestyle="", color=style.INK)
    for row in ordered:
        if row["mark"]:
            words = f"{row['mark']}\n{quantity(row['params'], 'parameter')}"
            ax.annotate(words, (row[x], row[y]), xytext=(6, 6), textcoords="offset points", fontsize="small")
    ax.set_xscale("log")
    ax.margins(0.15)
    low, high = ax.get_xlim()
    if high > 4 * low:  # else powers of ten, twos and fives are too few
        ticks = {cost: fields.dollars if priced else fields.count, "time_to_train_days": fields.duration_of}
        fields.plain_ticks(ax, "x", ticks.get(x, fields.count))
    ax.set_xlabel(style.label(x))
    ax.set_ylabel(style.label(y))
    ax.set_title(f"{len(rows)} plans that no other beats")
    return ax


KINDS: dict[str, Callable[[Document, Any], Axes]] = {
    "breakdown": lambda document, ax: breakdown(document["answer"], ax),
    "memory": lambda document, ax: memory(document["answer"], ax),
    "alternatives": _alternatives,
    "growth": _stages,
    "frontier": _front,
}
"""What `simulator.result.Result.plot` draws."""


def plot_result(document: Document, kind: str, ax: Axes | None = None) -> Axes:
    """Draw a result as plain data.

    Raises
    ------
    UnknownNameError
        If there is no such kind of figure.
    SimulatorError
        If there is no answer to draw.
    """
    if kind not in KINDS:
        raise UnknownNameError(kind, kind="plot", names=KINDS)
    if not document["answer"]:
        raise SimulatorError(f"nothing to draw: {document['infeasible'].get('text', 'no plan runs')}")
    return KINDS[kind](document, ax)
