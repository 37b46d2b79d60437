"""Quantities as people write them, to SI floats and back.

Each field declares its *dimension*, so a letter means one thing in one place: `T` is a trillion
in a count field and tera in front of a unit; `b` is a bit and `B` a byte; `GB` is 10^9 bytes and
`GiB` is 2^30. The parser never guesses: what it cannot read it refuses, with what to write.

>>> parse_quantity("80 GB", "byte")
80000000000.0
>>> parse_quantity("400 Gb/s", "byte/second")
50000000000.0
>>> parse_quantity("15T", "count")
15000000000000.0
>>> format_quantity(8e10, "byte")
'80 GB'

Values are SI (byte, second, FLOP, watt, joule), with these stated exceptions: money is USD, a rent
is USD per accelerator-hour, and a grid's carbon intensity is gram CO2e per kWh.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal

DECIMAL = {"": 1.0, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18, "Z": 1e21}
BINARY = {"Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40, "Pi": 2.0**50}
SMALL = {"n": 1e-9, "u": 1e-6, "µ": 1e-6, "μ": 1e-6, "m": 1e-3}

HOUR = 3600.0
DAY = 86400.0
YEAR = 365.25 * DAY

_NUMBER = re.compile(r"\s*([-+]?(?:\d[\d_,]*(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?)\s*(.*?)\s*$", re.DOTALL)
_MONEY = re.compile(r"\s*(?:\$|USD|US\$)\s*(.*)$", re.DOTALL)


def _prefixed(names: list[str], prefixes: dict[str, float], factor: float = 1.0) -> dict[str, float]:
    return {prefix + name: scale * factor for name in names for prefix, scale in prefixes.items()}


def _bytes() -> dict[str, float]:
    prefixes = DECIMAL | BINARY
    units = _prefixed(["B"], prefixes) | _prefixed(["b", "bit"], prefixes, 1 / 8)
    return units | {"byte": 1.0, "bytes": 1.0, "bits": 1 / 8}


def _rates() -> dict[str, float]:
    units = {f"{unit}/s": scale for unit, scale in _bytes().items()}
    prefixes = DECIMAL | BINARY
    return units | _prefixed(["Bps"], prefixes) | _prefixed(["bps"], prefixes, 1 / 8)


def _times() -> dict[str, float]:
    units = _prefixed(["s"], {"": 1.0} | SMALL) | {"sec": 1.0, "second": 1.0, "seconds": 1.0}
    units |= dict.fromkeys(("min", "minute", "minutes"), 60.0)
    units |= dict.fromkeys(("h", "hr", "hour", "hours"), HOUR)
    units |= dict.fromkeys(("d", "day", "days"), DAY)
    units |= dict.fromkeys(("week", "weeks"), 7 * DAY)
    return units | dict.fromkeys(("year", "years"), YEAR)


def _counts(nouns: tuple[str, ...] = ()) -> dict[str, float]:
    scales = {"": 1.0, "k": 1e3, "K": 1e3, "M": 1e6, "B": 1e9, "T": 1e12, "Q": 1e15}
    scales |= {"thousand": 1e3, "million": 1e6, "billion": 1e9, "trillion": 1e12}
    return scales | {f"{scale} {noun}".strip(): value for noun in nouns for scale, value in scales.items()}


_FLOP_PREFIXES = {k: v for k, v in DECIMAL.items() if k != "k" and k != "K"}
_MONEY_SCALES = {"": 1.0, "k": 1e3, "K": 1e3, "M": 1e6, "B": 1e9}
_ONE_ACCELERATOR = ("GPU", "gpu", "accelerator", "chip", "TPU", "device")
_ONE_NODE = ("node", "instance", "host", "machine")
_HOURS = ("h", "hr", "hour")


def _per(things: tuple[str, ...], hours: tuple[str, ...] = ()) -> dict[str, float]:
    ends = [f"/{thing}" for thing in things]
    if hours:
        ends = [f"{end}{mark}{hour}" for end in ends for mark in "-/" for hour in hours]
    return {scale + end: value for end in ends for scale, value in _MONEY_SCALES.items()}


@dataclass(frozen=True, slots=True)
class Dimension:
    """What a field measures: the units it accepts, and how it is written back."""

    name: str
    """Name that a field declares."""
    units: dict[str, float]
    """Accepted unit, to its size in the base unit."""
    ladder: tuple[tuple[str, float], ...]
    """Units used for display, small to large."""
    examples: tuple[str, ...]
    """What to write, shown in errors and in the JSON schema."""
    bare: bool = False
    """A number without a unit is complete (counts, fractions)."""
    money: bool = False
    """The value starts with ``$``."""
    choices: tuple[str, ...] = ()
    """Units offered for a number that was written without one."""


def _ladder(units: str, table: dict[str, float]) -> tuple[tuple[str, float], ...]:
    return tuple((unit, table[unit]) for unit in units.split())


def _dimensions() -> dict[str, Dimension]:
    size, rate, time = _bytes(), _rates(), _times()
    flop = _prefixed(["FLOP", "FLOPs", "OP", "OPs"], _FLOP_PREFIXES)
    speed = _prefixed(["FLOP/s", "FLOPs/s", "FLOPS", "flops", "OPS", "OP/s"], _FLOP_PREFIXES)
    watt = _prefixed(["W"], DECIMAL | {"m": 1e-3})
    joule = _prefixed(["J"], DECIMAL) | _prefixed(["Wh"], DECIMAL, HOUR)
    carbon = {
        f"{mass}{gas}/kWh": scale
        for mass, scale in (("g", 1.0), ("kg", 1e3))
        for gas in ("", "CO2e", "CO2eq", "CO2", " CO2e", " CO2eq", " CO2")
    }
    mass = {
        f"{unit}{gas}": scale
        for unit, scale in (
            ("g", 1e-3),
            ("kg", 1.0),
            ("t", 1e3),
            ("tonne", 1e3),
            ("tonnes", 1e3),
            ("kt", 1e6),
        )
        for gas in ("", "CO2e", "CO2eq", "CO2", " CO2e", " CO2eq", " CO2")
    }
    count_ladder = (("", 1.0), ("k", 1e3), ("M", 1e6), ("B", 1e9), ("T", 1e12), ("Q", 1e15))
    money_ladder = tuple((k, v) for k, v in _MONEY_SCALES.items() if k != "K")
    table = [
        Dimension("byte", size, _ladder("B kB MB GB TB PB EB", size), ("80 GB", "80 GiB")),
        Dimension(
            "byte/second",
            rate,
            _ladder("B/s kB/s MB/s GB/s TB/s PB/s EB/s", rate),
            ("3.35 TB/s", "400 Gb/s"),
            choices=("GB/s", "Gb/s"),
        ),
        Dimension(
            "FLOP",
            flop,
            _ladder("FLOP MFLOP GFLOP TFLOP PFLOP EFLOP ZFLOP", flop),
            ("10 EFLOP",),
            choices=("EFLOP", "ZFLOP"),
        ),
        Dimension(
            "FLOP/second",
            speed,
            _ladder("FLOP/s MFLOP/s GFLOP/s TFLOP/s PFLOP/s EFLOP/s ZFLOP/s", speed),
            ("989 TFLOP/s",),
            choices=("TFLOP/s", "PFLOP/s"),
        ),
        Dimension(
            "second",
            time,
            _ladder("ns us ms s min h days years", time),
            ("10 days", "36 h", "20 us"),
            choices=("min", "h", "days"),
        ),
        Dimension(
            "watt", watt, _ladder("mW W kW MW GW", watt), ("700 W", "10.2 kW"), choices=("W", "kW", "MW")
        ),
        Dimension(
            "joule",
            joule,
            _ladder("J Wh kWh MWh GWh TWh", joule),
            ("500 MWh", "3.6 MJ"),
            choices=("kWh", "MWh"),
        ),
        Dimension(
            "kgCO2e",
            mass,
            (("kg", 1.0), ("t", 1e3), ("kt", 1e6)),
            ("10 t", "500 kg CO2e"),
            choices=("kg", "t"),
        ),
        Dimension("gCO2e/kWh", carbon, (("gCO2e/kWh", 1.0),), ("380 gCO2e/kWh",)),
        Dimension("count", _counts(), count_ladder, ("15T", "400B", "1.5e9"), bare=True),
        Dimension(
            "token", _counts(("tokens", "token")), count_ladder, ("15T", "400B tokens", "1.5e9"), bare=True
        ),
        Dimension(
            "parameter",
            _counts(("parameters", "params")),
            count_ladder,
            ("7B", "175B parameters", "1.3e9"),
            bare=True,
        ),
        Dimension("fraction", {"": 1.0, "%": 0.01}, (("", 1.0),), ("0.9", "90 %"), bare=True),
        Dimension("USD", dict(_MONEY_SCALES), money_ladder, ("$60k", "$1.5M"), money=True),
        Dimension(
            "USD/GPU-hour",
            _per(_ONE_ACCELERATOR, _HOURS),
            (("/GPU-h", 1.0), ("k/GPU-h", 1e3)),
            ("$2.99/GPU-h",),
            money=True,
        ),
        Dimension(
            "USD/node-hour",
            _per(_ONE_NODE, _HOURS),
            (("/node-h", 1.0), ("k/node-h", 1e3)),
            ("$24/node-h",),
            money=True,
        ),
        Dimension(
            "USD/GPU",
            _per(_ONE_ACCELERATOR),
            (("/GPU", 1.0), ("k/GPU", 1e3), ("M/GPU", 1e6)),
            ("$25000/GPU", "$25k/GPU"),
            money=True,
        ),
        Dimension(
            "USD/kWh",
            {"/kWh": 1.0, "/MWh": 1e-3},
            (("/MWh", 1e-3), ("/kWh", 1.0)),
            ("$0.08/kWh",),
            money=True,
        ),
    ]
    return {dimension.name: dimension for dimension in table}


DIMENSIONS: dict[str, Dimension] = _dimensions()


class QuantityError(ValueError):
    """A quantity could not be read. `reason` says why, `hint` says what to write."""

    def __init__(self, reason: str, hint: str = "") -> None:
        self.reason = reason
        self.hint = hint
        super().__init__(f"{reason}; {hint}" if hint else reason)


def _dimension(name: str) -> Dimension:
    try:
        return DIMENSIONS[name]
    except KeyError:
        raise ValueError(f"no dimension {name!r}; known: {', '.join(DIMENSIONS)}") from None


def parse_quantity(value: str | float, dimension: str, *, bare: bool = False) -> float:
    """Read a quantity such as ``80 GB`` in the dimension that a field declares.

    Parameters
    ----------
    value : str or float
        What was written.
    dimension : str
        One of `DIMENSIONS`, for example ``byte/second``.
    bare : bool, optional
        Take a number without a unit as already in the base unit (SI). Counts and fractions
        are complete without a unit anyway.

    Returns
    -------
    float
        The value in the base unit of the dimension: byte, byte/s, FLOP/s, s, W, J, USD, ...

    Raises
    ------
    QuantityError
        With the reason and what to write.

    Examples
    --------
    >>> parse_quantity("$2.99/GPU-h", "USD/GPU-hour")
    2.99
    >>> parse_quantity("10 days", "second")
    864000.0
    >>> parse_quantity(80, "byte")
    Traceback (most recent call last):
        ...
    simulator.units.QuantityError: 80 has no unit; write 80 GB (10^9 bytes) or 80 GiB (2^30 bytes)
    """
    target = _dimension(dimension)
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise QuantityError(f"{_shown(value)} is not a quantity", _write(target))
    if not isinstance(value, str):
        if not (bare or target.bare):
            raise QuantityError(f"{_shown(value)} has no unit", _with_unit(_shown(value), target))
        return _finite(value, value)
    text = value[:200]
    amount = _MONEY.match(text)
    if target.money:
        if not amount:
            text = _trailing_usd(text, target, bare=bare)
        else:
            text = amount.group(1)
    elif amount:
        raise QuantityError(f"{_shown(value)} is money, expected {target.name}", _write(target))
    parts = _NUMBER.match(text)
    if not parts:
        raise QuantityError(f"{_shown(value)} does not start with a number", _write(target))
    number = _finite(_number(parts.group(1), value), value)
    unit = " ".join(re.sub(r"\bper\b", "/", parts.group(2)).split())
    unit = re.sub(r"\s*/\s*", "/", unit)
    if unit in target.units:
        if not unit and not (target.bare or bare or target.name == "USD"):
            raise QuantityError(f"{_shown(value)} has no unit", _with_unit(parts.group(1), target))
        return _finite(number * target.units[unit], value)
    if not unit and bare:
        return number
    raise _wrong_unit(value, parts.group(1), unit, target)


def _trailing_usd(text: str, target: Dimension, *, bare: bool) -> str:
    """`60k USD` and `2.99 USD/GPU-h` to what follows a dollar sign."""
    changed = re.sub(r"\s*USD\b", "", text, count=1)
    if changed == text and not bare:
        raise QuantityError(f"{_shown(text)} has no currency", _write(target))
    return changed


def _number(digits: str, value: object) -> float:
    """Digits with optional thousands separators."""
    if "," in digits and not re.fullmatch(r"[-+]?\d{1,3}(,\d{3})+(\.\d*)?([eE][-+]?\d+)?", digits):
        raise QuantityError(f"{_shown(value)}: a comma separates thousands only", "write 1.5 or 1,500")
    try:
        return float(digits.replace(",", "").replace("_", ""))
    except ValueError:
        raise QuantityError(f"{_shown(value)} does not start with a number") from None


def _finite(number: float, value: object) -> float:
    try:
        result = float(number)
    except OverflowError:
        result = math.inf
    if not math.isfinite(result):
        raise QuantityError(f"{_shown(value)} is not a finite number")
    return result


def _shown(value: object) -> str:
    try:
        text = f"{value:g}" if isinstance(value, float) else str(value)
    except (ValueError, RecursionError):
        text = f"a {type(value).__name__}"
    text = "".join(c if c.isprintable() else "?" for c in text[:64])
    return text if not isinstance(value, str) else f"'{text}'"


def _write(target: Dimension) -> str:
    return "write " + " or ".join(target.examples)


def _with_unit(number: str, target: Dimension) -> str:
    if target.name == "byte":
        return f"write {number} GB (10^9 bytes) or {number} GiB (2^30 bytes)"
    if target.name.startswith("USD/"):
        return f"say per what: write {' or '.join(target.examples)}"
    if target.name == "USD":
        return f"write ${number}"
    *others, last = [f"{number} {unit}" for unit in target.choices or (target.ladder[0][0],)]
    return f"write {', '.join(others)} or {last}" if others else f"write {last}"


def _wrong_unit(value: object, number: str, unit: str, target: Dimension) -> QuantityError:
    if target.name.startswith("USD/") and unit in ("/h", "/hr", "/hour"):
        return QuantityError(
            f"{_shown(value)} does not say per what", f"write ${number}/GPU-h or ${number}/node-h"
        )
    if unit in ("month", "months"):
        return QuantityError(f"{_shown(value)}: months differ in length", "write days or weeks")
    for other in DIMENSIONS.values():
        if other.name != target.name and unit and unit in other.units and other.money == target.money:
            return QuantityError(
                f"{_shown(value)} is {'a' if other.bare else 'in'} {other.name}, expected {target.name}",
                _write(target),
            )
    for known in target.units:
        if known.lower() == unit.lower():
            return QuantityError(f"unknown unit '{unit[:40]}'", f"write {number} {known}".replace(" /", "/"))
    if not unit:
        return QuantityError(f"{_shown(value)} has no unit", _with_unit(number, target))
    return QuantityError(f"unknown unit {_shown(unit)} for {target.name}", _write(target))


def format_quantity(value: float, dimension: str, *, unit: str | None = None, digits: int = 3) -> str:
    """Write a number of the base unit as people read it; the inverse of `parse_quantity`.

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
    target = _dimension(dimension)
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


Per = Literal["GPU-hour", "node-hour", "GPU"]


def parse_price(value: str | float) -> tuple[float, Per]:
    """Read a price that says per what: a rent per accelerator or node and hour, or a purchase.

    Returns
    -------
    tuple of float and str
        USD, and ``GPU-hour``, ``node-hour`` or ``GPU``.

    Examples
    --------
    >>> parse_price("$2.99/GPU-h"), parse_price("$24/node-h"), parse_price("$25k/GPU")
    ((2.99, 'GPU-hour'), (24.0, 'node-hour'), (25000.0, 'GPU'))
    """
    first: QuantityError | None = None
    kinds: tuple[Per, ...] = ("GPU-hour", "node-hour", "GPU")
    for per in kinds:
        try:
            return parse_quantity(value, f"USD/{per}"), per
        except QuantityError as error:
            first = first or error
    hint = first.hint if first and "per what" in first.reason else ""
    reason = first.reason if first else ""
    if not hint:
        hint = "write $2.99/GPU-h, $24/node-h or $25000/GPU"
        reason = re.sub(r" for USD/GPU-hour$", " for a price", reason)
    raise QuantityError(reason, hint)
