"""What a field may measure: the units of each dimension, their sizes, and the ladder in which values are shown."""

from __future__ import annotations

from dataclasses import dataclass

DECIMAL = {"": 1.0, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18, "Z": 1e21}
BINARY = {"Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40, "Pi": 2.0**50}
SMALL = {"n": 1e-9, "u": 1e-6, "µ": 1e-6, "μ": 1e-6, "m": 1e-3}

HOUR = 3600.0
DAY = 86400.0
YEAR = 365.25 * DAY


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
_GASES = ("", "CO2e", "CO2eq", "CO2", " CO2e", " CO2eq", " CO2")
_MASSES = {"g": 1e-3, "kg": 1.0, "t": 1e3, "tonne": 1e3, "tonnes": 1e3, "kt": 1e6}


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


def _machine() -> list[Dimension]:
    """What a machine holds, moves and computes, and how long it takes."""
    size, rate, time = _bytes(), _rates(), _times()
    flop = _prefixed(["FLOP", "FLOPs", "OP", "OPs"], _FLOP_PREFIXES)
    speed = _prefixed(["FLOP/s", "FLOPs/s", "FLOPS", "flops", "OPS", "OP/s"], _FLOP_PREFIXES)
    return [
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
    ]


def _energy() -> list[Dimension]:
    """Power, energy and what the electricity emits."""
    watt = _prefixed(["W"], DECIMAL | {"m": 1e-3})
    joule = _prefixed(["J"], DECIMAL) | _prefixed(["Wh"], DECIMAL, HOUR)
    carbon = {f"{mass}{gas}/kWh": scale for mass, scale in (("g", 1.0), ("kg", 1e3)) for gas in _GASES}
    mass = {f"{unit}{gas}": scale for unit, scale in _MASSES.items() for gas in _GASES}
    return [
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
    ]


def _counted() -> list[Dimension]:
    """Numbers that are complete without a unit."""
    ladder = (("", 1.0), ("k", 1e3), ("M", 1e6), ("B", 1e9), ("T", 1e12), ("Q", 1e15))
    return [
        Dimension("count", _counts(), ladder, ("15T", "400B", "1.5e9"), bare=True),
        Dimension("token", _counts(("tokens", "token")), ladder, ("15T", "400B tokens", "1.5e9"), bare=True),
        Dimension(
            "parameter",
            _counts(("parameters", "params")),
            ladder,
            ("7B", "175B parameters", "1.3e9"),
            bare=True,
        ),
        Dimension("fraction", {"": 1.0, "%": 0.01}, (("", 1.0),), ("0.9", "90 %"), bare=True),
    ]


def _money() -> list[Dimension]:
    """Amounts, rents, purchases and the price of electricity."""
    ladder = tuple((k, v) for k, v in _MONEY_SCALES.items() if k != "K")
    return [
        Dimension("USD", dict(_MONEY_SCALES), ladder, ("$60k", "$1.5M"), money=True),
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


DIMENSIONS: dict[str, Dimension] = {
    dimension.name: dimension for dimension in (*_machine(), *_energy(), *_counted(), *_money())
}
"""Dimensions by the name that a field declares."""


def dimension_of(name: str) -> Dimension:
    """Return the dimension `name`."""
    try:
        return DIMENSIONS[name]
    except KeyError:
        raise ValueError(f"no dimension {name!r}; known: {', '.join(DIMENSIONS)}") from None
