"""Small figures as inline SVG: no script, no font, colors from the page's style sheet.

Every figure has a title and a description for screen readers; texts are escaped here.
"""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 420.0, 320.0
"""Size of a chart in its own units; it scales with the page."""

LEFT, RIGHT, TOP, BOTTOM = 52.0, 18.0, 76.0, 46.0
"""Margins."""

DASHES = ("", "7 4", "2 3", "9 3 2 3")


@dataclass(frozen=True)
class Line:
    """One line of a chart."""

    label: str
    x: Sequence[float]
    y: Sequence[float]
    place: int = 0
    """Which color and dash."""
    dots: bool = False


@dataclass(frozen=True)
class Chart:
    """Axes and words of a line chart."""

    key: str
    """Unique on a page."""
    title: str
    text: str
    """What the figure shows, for those who cannot see it."""
    x_label: str
    y_label: str
    x_words: Callable[[float], str]
    y_words: Callable[[float], str]
    log: bool = False
    y_range: tuple[float, float] | None = None
    x_ticks: Callable[[float, float], Sequence[Sequence[float]]] | None = None
    """Sets of ticks between two numbers, the densest first, in place of round numbers."""


def frame(key: str, title: str, text: str, body: str, *, height: float = HEIGHT) -> str:
    """An SVG image that a screen reader can announce."""
    return (
        f'<svg class="chart" viewBox="0 0 {WIDTH:g} {height:g}" role="img" aria-labelledby="{key}-t {key}-d">'
        f'<title id="{key}-t">{html.escape(title)}</title><desc id="{key}-d">{html.escape(text)}</desc>{body}</svg>'
    )


def text(x: float, y: float, words: str, *, kind: str = "", anchor: str = "start") -> str:
    """A line of text.

    Examples
    --------
    >>> text(1, 2, "a < b")
    '<text x="1.0" y="2.0" text-anchor="start">a &lt; b</text>'
    """
    style = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{style}>{html.escape(words)}</text>'


def log_ticks(low: float, high: float) -> list[list[float]]:
    """Ones, twos and fives between two numbers; ones and threes; only ones.

    Examples
    --------
    >>> log_ticks(0.6, 40)
    [[1.0, 2.0, 5.0, 10.0, 20.0], [1.0, 3.0, 10.0, 30.0], [1.0, 10.0]]
    """
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [
        within([s * 10.0**p for p in powers for s in steps], low, high)
        for steps in ((1.0, 2.0, 5.0), (1.0, 3.0), (1.0,))
    ]


def within(some: Sequence[float], low: float, high: float) -> list[float]:
    """Those of some numbers that lie between two."""
    return [each for each in some if low * 0.999 <= each <= high * 1.001]


def apart(places: Sequence[tuple[float, str]]) -> bool:
    """Whether words centered at places of a line neither touch nor run over its end.

    Examples
    --------
    >>> apart([(100, "50 days"), (155, "100 days")]), apart([(100, "30 days"), (196, "100 days")])
    (False, True)
    """
    ends = -math.inf
    for x, words in places:
        wide = DIGIT * len(words)
        left = min(x - wide / 2, WIDTH - 2 - wide)
        if left < ends + DIGIT:
            return False
        ends = left + wide
    return True


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Round numbers between two numbers.

    Examples
    --------
    >>> ticks(2.17, 2.61)
    [2.2, 2.3, 2.4, 2.5, 2.6]
    """
    raw = max(high - low, 1e-12) / most
    unit = 10.0 ** math.floor(math.log10(raw))
    step = next(unit * each for each in (1, 2, 5, 10) if unit * each >= raw)
    first = math.ceil(low / step - 1e-9)
    return [round(k * step, 10) for k in range(first, math.floor(high / step + 1e-9) + 1)]


def lines(chart: Chart, some: Sequence[Line], mark: tuple[float, float, str] | None = None) -> str:
    """A chart of lines, with one point marked.

    Parameters
    ----------
    chart : Chart
        Axes and words.
    some : sequence of Line
        At least one, with finite numbers.
    mark : (float, float, str), optional
        A point and its label.
    """
    xs = [x for one in some for x in one.x] + ([mark[0]] if mark else [])
    ys = [y for one in some for y in one.y] + ([mark[1]] if mark else [])
    x0, x1 = min(xs), max(xs)
    if chart.log:
        x0, x1 = x0 / 1.08, x1 * 1.08
    low, high = chart.y_range or (min(ys), max(ys))
    pad = 0.07 * max(high - low, 1e-6)
    y0, y1 = low - pad, high + pad
    scale: Callable[[float], float] = math.log if chart.log else float

    def px(x: float) -> float:
        return LEFT + (scale(x) - scale(x0)) / max(scale(x1) - scale(x0), 1e-12) * (WIDTH - LEFT - RIGHT)

    def py(y: float) -> float:
        return TOP + (y1 - min(max(y, y0), y1)) / (y1 - y0) * (HEIGHT - TOP - BOTTOM)

    parts = [_axes(chart, (x0, x1), (y0, y1), px, py)]
    for one in some:
        inside = [(x, y) for x, y in zip(one.x, one.y, strict=True) if y <= y1]
        path = " ".join(f"{px(x):.1f},{py(y):.1f}" for x, y in inside)
        dash = DASHES[one.place % len(DASHES)]
        parts.append(
            f'<polyline class="line s{one.place}" points="{path}"'
            + (f' stroke-dasharray="{dash}"/>' if dash else "/>")
        )
        if one.dots:
            parts += [
                f'<circle class="dot s{one.place}" cx="{px(x):.1f}" cy="{py(y):.1f}" r="3.5"/>'
                for x, y in inside
            ]
    if mark:
        parts.append(f'<circle class="mark" cx="{px(mark[0]):.1f}" cy="{py(mark[1]):.1f}" r="7"/>')
    parts.append(_legend(some, mark[2] if mark else ""))
    return frame(chart.key, chart.title, chart.text, "".join(parts))


def _axes(
    chart: Chart,
    x: tuple[float, float],
    y: tuple[float, float],
    px: Callable[[float], float],
    py: Callable[[float], float],
) -> str:
    bottom = HEIGHT - BOTTOM
    parts = []
    for each in ticks(*y):
        parts.append(
            f'<line class="grid" x1="{LEFT:g}" x2="{WIDTH - RIGHT:g}" y1="{py(each):.1f}" y2="{py(each):.1f}"/>'
        )
        parts.append(text(LEFT - 6, py(each) + 4.5, chart.y_words(each), anchor="end"))
    for each in _x_ticks(chart, x, px):
        parts.append(
            f'<line class="tick" x1="{px(each):.1f}" x2="{px(each):.1f}" y1="{bottom:g}" y2="{bottom + 5:g}"/>'
        )
        near = px(each) + DIGIT * len(chart.x_words(each)) / 2 > WIDTH - 2
        parts.append(
            text(
                WIDTH - 2 if near else px(each),
                bottom + 19,
                chart.x_words(each),
                anchor="end" if near else "middle",
            )
        )
    parts.append(f'<line class="axis" x1="{LEFT:g}" x2="{WIDTH - RIGHT:g}" y1="{bottom:g}" y2="{bottom:g}"/>')
    parts.append(text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, chart.x_label, kind="name", anchor="middle"))
    parts.append(text(4, 16, chart.y_label, kind="name"))
    return "".join(parts)


def _x_ticks(chart: Chart, x: tuple[float, float], px: Callable[[float], float]) -> Sequence[float]:
    """The densest ticks whose words stand apart; the sparsest if none do."""
    sets = chart.x_ticks(*x) if chart.x_ticks else log_ticks(*x) if chart.log else [ticks(*x)]
    fitting = (some for some in sets if apart([(px(each), chart.x_words(each)) for each in some]))
    return next(fitting, sets[-1])


LETTER = 6.9
"""About the width of a letter."""

DIGIT = 7.6
"""The width of a letter of a tick, most of which are digits, in a wide font."""


def _legend(some: Sequence[Line], mark: str) -> str:
    """Names of the lines in a row above the chart."""
    parts, x, y = [], 4.0, 40.0
    for one in some:
        wide = 31 + LETTER * len(one.label)
        if x + wide > WIDTH:
            x, y = 4.0, y + 17
        dash = DASHES[one.place % len(DASHES)]
        extra = f' stroke-dasharray="{dash}"' if dash else ""
        parts.append(
            f'<line class="line s{one.place}" x1="{x:g}" x2="{x + 26:g}" y1="{y - 4:g}" y2="{y - 4:g}"{extra}/>'
        )
        parts.append(text(x + 31, y, one.label))
        x += wide + 12
    if mark:
        parts.append(f'<circle class="mark" cx="{x + 8:g}" cy="{y - 4:g}" r="6"/>')
        parts.append(text(x + 20, y, mark))
    return "".join(parts)


def bar(share: float, place: int = 0) -> str:
    """A bar for a table cell; the number stands beside it, so it is hidden from screen readers."""
    width = 100 * min(max(share, 0.0), 1.0)
    return (
        '<svg class="bar" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true" focusable="false">'
        f'<rect class="b{place}" width="{width:.2f}" height="10"/></svg>'
    )


def between(low: float, high: float, base: float, ends: tuple[float, float]) -> str:
    """A bar from `low` to `high` with a line at `base`, on an axis that ends at `ends`."""
    span = max(ends[1] - ends[0], 1e-12)
    a, b, c = (100 * (each - ends[0]) / span for each in (low, high, base))
    return (
        '<svg class="bar" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true" focusable="false">'
        f'<rect class="b0" x="{min(a, c):.2f}" width="{abs(c - a):.2f}" height="10"/>'
        f'<rect class="b1" x="{min(b, c):.2f}" width="{abs(b - c):.2f}" height="10"/>'
        f'<rect class="b9" x="{c - 0.3:.2f}" width="0.6" height="10"/></svg>'
    )


def stacked(
    key: str, title: str, words: str, parts: Sequence[tuple[str, float]], capacity: float, capacity_words: str
) -> str:
    """Parts in a row against a capacity; each part carries its letter where there is room."""
    full = 1.02 * max(capacity, sum(value for _, value in parts))
    room, left, out = WIDTH - 8, 4.0, []
    for place, (letter, value) in enumerate(parts):
        wide = room * value / full
        out.append(f'<rect class="b{place % 8} part" x="{left:.1f}" y="26" width="{wide:.1f}" height="44"/>')
        if wide > 13:
            out.append(text(left + wide / 2, 53, letter, kind=f"on{place % 8}", anchor="middle"))
        left += wide
    at = 4 + room * capacity / full
    out.append(f'<line class="limit" x1="{at:.1f}" x2="{at:.1f}" y1="18" y2="78"/>')
    out.append(text(at, 13, capacity_words, kind="name", anchor="end"))
    return frame(key, title, words, "".join(out), height=84)


def timeline(
    key: str,
    title: str,
    words: str,
    rows: Sequence[tuple[str, Sequence[tuple[str, float]]]],
    axis: Callable[[float], str],
) -> str:
    """Rows of spans one after another on one axis of time."""
    total = max(sum(value for _, value in spans) for _, spans in rows)
    room, out, y = WIDTH - 16, [], 22.0
    for label, spans in rows:
        out.append(text(8, y - 6, label, kind="name"))
        left = 8.0
        for place, (name, value) in enumerate(spans):
            wide = room * value / total
            kind = place if len(spans) > 1 else 8
            out.append(
                f'<rect class="b{kind} part" x="{left:.1f}" y="{y:g}" width="{wide:.1f}" height="34"/>'
            )
            if wide > 8.2 * len(name):
                out.append(text(left + wide / 2, y + 22, name, kind=f"on{kind}", anchor="middle"))
            left += wide
        y += 64
    bottom = y - 24
    for each in ticks(0.0, total):
        x = 8 + room * each / total
        out.append(f'<line class="tick" x1="{x:.1f}" x2="{x:.1f}" y1="{bottom:g}" y2="{bottom + 5:g}"/>')
        end = "end" if each > 0.95 * total else "start" if each == 0 else "middle"
        out.append(text(x, bottom + 20, axis(each), anchor=end))
    out.append(f'<line class="axis" x1="8" x2="{WIDTH - 8:g}" y1="{bottom:g}" y2="{bottom:g}"/>')
    return frame(key, title, words, "".join(out), height=bottom + 26)
