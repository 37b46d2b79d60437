"""Numbers of accelerators that are tried, to find the fewest among."""

from __future__ import annotations

import math

MOST_BETWEEN = 32
"""Numbers tried at most between one that is too small and one that is enough. [-]"""

LEAST_SCALING = 0.6
"""Numbers below this share of what perfect scaling asks for are no candidates: no layout gains so much. [-]"""


def counts(limit: int, node_size: int) -> list[int]:
    """Numbers of accelerators to find the fewest among: powers of two in a node, then four steps of nodes per doubling.

    Examples
    --------
    >>> counts(100, 8)
    [1, 2, 4, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96]
    """
    inside = [2**k for k in range(node_size.bit_length()) if 2**k <= min(limit, node_size)]
    steps = {
        node_size * 2**k * quarter // 4
        for k in range(max(1, limit // node_size).bit_length())
        for quarter in (4, 5, 6, 7)
        if 2**k * quarter % 4 == 0
    }
    return sorted({*inside, *(n for n in steps if n <= limit)})


def between(few: int, enough: int, node_size: int) -> list[int]:
    """Whole nodes between two numbers, every one of them up to `MOST_BETWEEN`, else multiples of as many nodes as it takes.

    Examples
    --------
    >>> between(64, 96, 8), between(4, 8, 8), between(512, 1024, 8)[:3]
    ([72, 80, 88], [], [528, 544, 560])
    """
    step = step_between(few, enough, node_size)
    return list(range((few // step + 1) * step, enough, step))


def passed_over(few: int, enough: int, node_size: int) -> list[int]:
    """Whole nodes below a number that is too small, which `counts` leaves out: another may divide the batch better.

    Examples
    --------
    >>> passed_over(80, 96, 8), passed_over(32, 40, 8)
    ([72], [])
    """
    tried = counts(few, node_size)
    return [n for n in between(int(LEAST_SCALING * enough), few, node_size) if n not in tried]


def step_between(few: int, enough: int, node_size: int) -> int:
    """Accelerators from one number of `between` to the next: a power of two of nodes, which layouts divide well. [-]"""
    nodes = (enough - few) / node_size
    return int(node_size * 2 ** max(0, math.ceil(math.log2(max(nodes, 1.0) / MOST_BETWEEN))))
