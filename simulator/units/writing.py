"""From a float in the base unit to a quantity as people read it."""

from __future__ import annotations

import math

from simulator.units.dimensions import Dimension, dimension_of


def format_quantity(value: float, dimension: str, *, unit: str | None = None, digits: int = 3) -> str:
    """Write a number of the base unit as people read it; the inverse of `simulator.units.parse_quantity`.

    Parameters
    ----------
    value : float
        Number in the base unit of the dimension.
    dimension : str
        One of `DIMENSIONS`.
    unit : str, optional
        Unit to use, such as ``GiB``; the best fitting one by default.
    digits : int, optional
        Significant digits.

    Examples
    --------
    >>> format_quantity(3.35e12, "byte/second")
    '3.35 TB/s'
    >>> format_quantity(864000, "second")
    '10 days'
    >>> format_quantity(61234, "USD")
    '$61.2k'
    >>> format_quantity(8 * 2**30, "byte", unit="GiB")
    '8 GiB'
    """
    target = dimension_of(dimension)
    if not math.isfinite(value):
        return "-" if math.isnan(value) else ("-" if value < 0 else "") + "infinite"
    chosen, size = _rung(abs(value), target, unit)
    if unit is None:  # what rounds up to the next unit is written in it
        rounded = float(f"{value / size:.{digits - 1}e}") * size
        chosen, size = _rung(abs(rounded), target, unit)
    number = _plain(value / size, digits)
    if target.money:
        sign, number = ("-", number[1:]) if number.startswith("-") else ("", number)
        return f"{sign}${number}{chosen}"
    joint = "" if dimension in ("count", "token", "parameter") else " "
    return f"{number}{joint}{chosen}".strip()


def _rung(magnitude: float, target: Dimension, unit: str | None) -> tuple[str, float]:
    if unit is not None:
        if unit not in target.units:
            raise ValueError(f"unit {unit!r} is not one of {target.name}")
        return unit, target.units[unit]
    if magnitude == 0:
        return next(rung for rung in target.ladder if rung[1] == 1.0)
    fitting = [rung for rung in target.ladder if magnitude >= rung[1] * (1 - 1e-12)]
    return fitting[-1] if fitting else target.ladder[0]


def _plain(number: float, digits: int) -> str:
    rounded = float(f"{number:.{digits - 1}e}") if number else 0.0
    if rounded and not 1e-4 <= abs(rounded) < 1e7:
        return f"{rounded:.{digits}g}"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(rounded)))) if rounded else 0
    text = f"{rounded:.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
