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

from simulator.units.dimensions import DIMENSIONS, Dimension
from simulator.units.reading import Per, QuantityError, parse_price, parse_quantity
from simulator.units.writing import format_quantity

__all__ = [
    "DIMENSIONS",
    "Dimension",
    "Per",
    "QuantityError",
    "format_quantity",
    "parse_price",
    "parse_quantity",
]
