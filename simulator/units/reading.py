"""From a quantity as people write it to a float in the base unit; what cannot be read is refused, with what to write."""

from __future__ import annotations

import math
import re
from typing import Literal

from simulator.units.dimensions import DIMENSIONS, Dimension, dimension_of

_NUMBER = re.compile(r"\s*([-+]?(?:\d[\d_,]*(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?)\s*(.*?)\s*$", re.DOTALL)
_MONEY = re.compile(r"\s*(?:\$|USD|US\$)\s*(.*)$", re.DOTALL)

_FOREIGN = re.compile(r"[€£¥₹₩]|\b(?:EUR|GBP|CNY|RMB|JPY|INR|CHF|KRW|CAD|AUD)\b")
"""Currencies that are not read."""

_HOURLY = ("/h", "/hr", "/hour")
"""Units of a rent that do not say of what."""

MAX_LENGTH = 200
"""Longest text that is read as a quantity. [characters]"""

Per = Literal["GPU-hour", "node-hour", "GPU"]


class QuantityError(ValueError):
    """A quantity could not be read. `reason` says why, `hint` says what to write."""

    def __init__(self, reason: str, hint: str = "") -> None:
        self.reason = reason
        self.hint = hint
        super().__init__(f"{reason}; {hint}" if hint else reason)


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
    simulator.units.reading.QuantityError: 80 has no unit; write 80 GB (10^9 bytes) or 80 GiB (2^30 bytes)
    """
    target = dimension_of(dimension)
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise QuantityError(f"{_shown(value)} is not a quantity", _write(target))
    if not isinstance(value, str):
        if not (bare or target.bare):
            raise QuantityError(f"{_shown(value)} has no unit", _with_unit(_shown(value), target))
        return _finite(value, value)
    if len(value) > MAX_LENGTH:
        raise QuantityError(f"{_shown(value)}, with {len(value)} characters, is no quantity", _write(target))
    text = value
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
    if _FOREIGN.search(text):
        raise QuantityError(
            f"{_shown(text)} is not in US dollars, the only currency", _in_dollars(text, target)
        )
    if re.match(r"\s*-\s*\$", text):
        raise QuantityError(f"{_shown(text)} is below zero", _write(target))
    if changed == text and not bare:
        raise QuantityError(f"{_shown(text)} has no currency", _in_dollars(text, target))
    return changed


def _in_dollars(text: str, target: Dimension) -> str:
    """What to write in place of an amount without dollars: the same one, where only they are lacking."""
    found = re.fullmatch(r"\s*([\d.,]+)\s*([kM]?)\s*(/\s*\S+)?\s*", text)
    if found is None:
        return ("convert it, and " if _FOREIGN.search(text) else "") + _write(target)
    per = (found[3] or "").replace(" ", "")
    if per in _HOURLY:
        return f"write ${dollars(found[1])}/GPU-h or ${dollars(found[1])}/node-h"
    return f"write ${dollars(found[1])}{found[2]}{per}" if per or target.name == "USD" else _write(target)


def dollars(digits: str) -> str:
    """An amount as dollars are written: cents have two digits.

    Examples
    --------
    >>> dollars("2.5"), dollars("24"), dollars("0.125")
    ('2.50', '24', '0.125')
    """
    return f"{digits}0" if re.fullmatch(r"\d+\.\d", digits) else digits


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
    if target.name.startswith("USD/") and unit in _HOURLY:
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
    if amount := re.fullmatch(r"\s*\$?\s*(\d[\d.,]*)\s*", str(value)):
        text = dollars(amount[1])
        reason = f"{_shown(value)} does not say per what"
        hint = f"write ${text}/GPU-h, ${text}/node-h or ${text}/GPU"
    elif reason.endswith((" has no currency", " the only currency")) and "/" in str(value):
        hint = first.hint if first else ""
    if not hint:
        hint = "write $2.99/GPU-h, $24/node-h or $25000/GPU"
        reason = re.sub(r" for USD/GPU-hour$", " for a price", reason)
    raise QuantityError(reason, hint)
