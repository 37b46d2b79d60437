"""Small pieces of a page: numbers, ranges, bars, aligned tables, wrapped lines."""

from __future__ import annotations

import math
import os
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from simulator.units import DIMENSIONS, format_quantity

WIDTH = 100
"""Columns of a page, where the terminal has as many. [columns]"""

PAPER: ContextVar[bool] = ContextVar("paper", default=False)
"""Whether a page goes into a file."""

NARROWEST = 60
"""No page is set narrower. [columns]"""

LARGEST = 1e300
"""What is larger is not shown as a number."""

STYLES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33"}
"""Style to the number of its terminal code."""


def number(value: float | None, digits: int = 3) -> str:
    """A number with few significant digits; thousands are grouped, nothing is written as a power of ten.

    Examples
    --------
    >>> number(41.2345), number(184320), number(0.03456), number(None)
    ('41.2', '184,000', '0.0346', '-')
    """
    if value is None or not abs(value) < LARGEST:
        return "-"
    if value == 0:
        return "0"
    rounded = float(f"{value:.{digits - 1}e}")
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(rounded))))
    return f"{rounded:,.{decimals}f}"


def quantity(value: float | None, dimension: str, digits: int = 3, *, top: str | None = None) -> str:
    """A quantity in the largest unit of which there is one, up to `top`; a dash if there is none.

    Examples
    --------
    >>> quantity(86400, "second"), quantity(41.2 * 86400, "second", 2), quantity(None, "USD"), quantity(14.4, "USD")
    ('1 day', '41 days', '-', '$14.40')
    >>> quantity(101.2, "second"), quantity(101.2, "second", top="s")
    ('1.69 min', '101 s')
    """
    if value is None or not abs(value) < LARGEST:
        return "-"
    if dimension == "USD" and 1 <= abs(value) < 99.995:
        return f"${value:.2f}"
    # Rounded in the unit that is shown: two digits of seconds are not two digits of days.
    unit = _rung(value, dimension, digits, top)[0] if value else None
    text = format_quantity(value, dimension, unit=unit, digits=digits)
    return text[:-1] if text in ("1 days", "1 years") else text


def duration(seconds: float | None, digits: int = 3) -> str:
    """How long a run takes; nothing is longer than days.

    Examples
    --------
    >>> duration(4e7), duration(5000)
    ('463 days', '1.39 h')
    """
    return quantity(seconds, "second", digits, top="days")


def span(bounds: Sequence[float] | None, dimension: str, *, top: str | None = None) -> str:
    """An interval, with as many digits as tell its ends apart (two or three).

    Examples
    --------
    >>> span([41.2 * 86400, 51.7 * 86400], "second")
    '41 to 52 days'
    >>> span([2.103, 2.168], "")
    '2.10 to 2.17'
    >>> span([61234, 148000], "USD")
    '$61k to $150k'
    """
    if not bounds or not all(value is not None and abs(value) < LARGEST for value in bounds):
        return "-"
    low, high = bounds
    if not dimension:
        return f"{number(low)} to {number(high)}" if number(low) != number(high) else number(low)
    digits = 2 if f"{low:.1e}" != f"{high:.1e}" else 3
    if f"{low:.2e}" == f"{high:.2e}":
        return quantity(high, dimension, top=top)
    (one, unit), (other, last) = (_parts(value, dimension, digits, top) for value in (low, high))
    sign = "$" if dimension.startswith("USD") else ""
    joint = "" if dimension in ("USD", "count", "token", "parameter") else " "
    first = f"{sign}{one}" if unit == last and joint else f"{sign}{one}{joint}{unit}"
    return f"{first} to {sign}{other}{joint}{last}"


def _parts(value: float, dimension: str, digits: int, top: str | None) -> tuple[str, str]:
    """Number and unit, trailing zeros kept."""
    unit, size = _rung(value, dimension, digits, top)
    return number(value / size, digits), unit


def _rung(value: float, dimension: str, digits: int, top: str | None) -> tuple[str, float]:
    """Largest unit of which there is one, after rounding."""
    ladder = DIMENSIONS[dimension].ladder
    if top is not None:
        ladder = ladder[: 1 + [unit for unit, _ in ladder].index(top)]
    fitting = [rung for rung in ladder if abs(value) >= rung[1] * (1 - 0.5 * 10.0**-digits)]
    return fitting[-1] if fitting else ladder[0]


def percent(share: float | None, digits: int = 2) -> str:
    """A share in percent.

    Examples
    --------
    >>> percent(0.4234), percent(0.00123), percent(1.0)
    ('42 %', '0.12 %', '100 %')
    """
    if share is None:
        return "-"
    text = number(100 * share, digits)
    return text if text == "-" else f"{text} %"


def bar(share: float | None, width: int = 24) -> str:
    """A bar of eighths of a character.

    Examples
    --------
    >>> bar(0.5, 4), bar(1.2, 4), bar(0.0, 4)
    ('██', '████', '')
    """
    if share is None or not math.isfinite(share):
        return ""
    eighths = round(min(max(share, 0.0), 1.0) * width * 8)
    whole, rest = divmod(eighths, 8)
    return "█" * whole + " ▏▎▍▌▋▊▉"[rest].strip()


def plural(count: float, noun: str) -> str:
    """A count with its noun.

    Examples
    --------
    >>> plural(1, "row"), plural(2500, "row")
    ('1 row', '2,500 rows')
    """
    return f"{count:,.0f} {noun}" + ("" if count == 1 else "s")


@contextmanager
def on_paper() -> Iterator[None]:
    """Pages are `WIDTH` columns wide whatever the terminal: what goes into a file is the same everywhere.

    Examples
    --------
    >>> with on_paper():
    ...     page_width()
    100
    """
    token = PAPER.set(True)
    try:
        yield
    finally:
        PAPER.reset(token)


def page_width() -> int:
    """Columns of a page: `WIDTH`, or those of a terminal that has fewer (``$COLUMNS`` if it is set). [columns]"""
    if PAPER.get():
        return WIDTH
    written = os.environ.get("COLUMNS", "")
    if written.isdecimal():
        return max(NARROWEST, min(int(written), WIDTH))
    try:
        found = os.get_terminal_size(sys.__stdout__.fileno()).columns if sys.__stdout__ else WIDTH
    except (OSError, ValueError):
        return WIDTH
    return max(NARROWEST, min(found or WIDTH, WIDTH))


def wrap(text: str, *, indent: int = 0, hang: int | None = None, width: int | None = None) -> list[str]:
    """Lines of a paragraph; the first is indented by `indent`, the others by `hang`."""
    width = page_width() if width is None else width
    rest = indent if hang is None else hang
    return textwrap.wrap(
        text,
        width,
        initial_indent=" " * indent,
        subsequent_indent=" " * rest,
        break_long_words=True,
        break_on_hyphens=False,
    )


def table(
    heads: Sequence[str],
    rows: Iterable[Sequence[Any]],
    *,
    left: Iterable[int] = (0,),
    indent: int = 2,
    gap: int = 2,
    width: int | None = None,
) -> list[str]:
    r"""Aligned columns; the last column wraps if the line would be too long.

    Parameters
    ----------
    heads : sequence of str
        Column heads; all empty for no head line.
    rows : iterable of sequences
        Cells.
    left : iterable of int, optional
        Columns that are aligned left; the others are numbers and aligned right.
    indent, gap, width : int, optional
        Before a line, between columns, of a line (`page_width` if absent). [columns]

    Examples
    --------
    >>> print("\n".join(table(("level", "s"), [("tile", "1.25"), ("memory", "0.5")])))
      level      s
      tile    1.25
      memory   0.5
    """
    width = page_width() if width is None else width
    cells = [[str(cell) for cell in row] for row in rows]
    lines = [list(heads), *cells] if any(heads) else cells
    if not lines:
        return []
    left = set(left)
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    last = len(widths) - 1
    widths = _fitting(
        widths, {i for i in left if i < last}, width - indent - gap * last, min(widths[last], 8)
    )
    lines = [[_cut(cell, widths[i]) if i < last else cell for i, cell in enumerate(line)] for line in lines]
    used = indent + sum(widths[:last]) + gap * last
    widths[last] = max(min(widths[last], width - used), min(widths[last], 8))
    out = []
    for line in lines:
        tail = (
            textwrap.wrap(line[last], widths[last], break_on_hyphens=False)
            if len(line[last]) > widths[last]
            else [line[last]]
        )
        shown = [
            c.ljust(widths[i]) if i in left else c.rjust(widths[i])
            for i, c in enumerate([*line[:last], tail[0]])
        ]
        out.append((" " * indent + (" " * gap).join(shown)).rstrip())
        out += [" " * used + more for more in tail[1:]]
    return out


def _fitting(widths: list[int], texts: set[int], room: int, tail: int) -> list[int]:
    """Widths of columns that are narrower where a line would be too long: columns of text, the first one last.

    Numbers are never cut, so that a line may still be too long.
    """
    out, last = list(widths), len(widths) - 1
    for place in sorted(texts, key=lambda i: (i == 0, -widths[i])):
        excess = sum(out[:last]) + tail - room
        if excess > 0:
            out[place] = max(min(out[place], LEAST_TEXT), out[place] - excess)
    return out


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 3].rstrip() + "..."


LEAST_TEXT = 14
"""A column of text is not cut shorter. [columns]"""


def style(text: str, *names: str, color: bool) -> str:
    """Text in a style, if color is wanted."""
    if not color or not text:
        return text
    return f"\x1b[{';'.join(STYLES[name] for name in names)}m{text}\x1b[0m"


def wants_color(stream: Any = None) -> bool:
    """Whether a stream is a terminal that may be colored (https://no-color.org); one that is closed is none."""
    stream = sys.stdout if stream is None else stream
    return (
        stream is not None
        and bool(stream.isatty())
        and not os.environ.get("NO_COLOR")
        and os.environ.get("TERM") != "dumb"
    )


def clean(value: Any) -> Any:
    r"""Plain data without control characters, which a file could smuggle into a terminal.

    Examples
    --------
    >>> clean({"name": "a\x1b[31mb", "n": [1, "c\n"]})
    {'name': 'a[31mb', 'n': [1, 'c ']}
    """
    if isinstance(value, str):
        return "".join(c if c.isprintable() else " " if c.isspace() else "" for c in value)
    if isinstance(value, Mapping):
        return {key: clean(each) for key, each in value.items()}
    return [clean(each) for each in value] if isinstance(value, (list, tuple)) else value


def printable(text: str, encoding: str | None) -> str:
    """Text for a stream that may lack block characters.

    Examples
    --------
    >>> printable("██▌ κ", "ascii"), printable("██▌", "utf-8")
    ('##  ?', '██▌')
    """
    try:
        text.encode(encoding or "utf-8")
    except (UnicodeEncodeError, LookupError):
        plain = text.translate(str.maketrans("█▉▊▋▌▍▎▏×", "####    x"))
        return plain.encode("ascii", "replace").decode("ascii")
    return text
