"""Quantities: what is read, what is refused and why, and the round trip."""

from __future__ import annotations

import contextlib
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.units import DIMENSIONS, QuantityError, format_quantity, parse_price, parse_quantity


@pytest.mark.parametrize(
    ("text", "dimension", "value"),
    [
        ("80 GB", "byte", 80e9),
        ("80GB", "byte", 80e9),
        ("80 GiB", "byte", 80 * 2**30),
        ("50 MiB", "byte", 50 * 2**20),
        ("3.35 TB/s", "byte/second", 3.35e12),
        ("400 Gb/s", "byte/second", 50e9),
        ("400 Gbps", "byte/second", 50e9),
        ("400 Gbit/s", "byte/second", 50e9),
        ("450 GBps", "byte/second", 450e9),
        ("989 TFLOP/s", "FLOP/second", 989e12),
        ("989 TFLOPS", "FLOP/second", 989e12),
        ("1979 TOPS", "FLOP/second", 1979e12),
        ("10 EFLOP", "FLOP", 1e19),
        ("10 days", "second", 864000),
        ("36 h", "second", 129600),
        ("36h", "second", 129600),
        ("1 year", "second", 365.25 * 86400),
        ("20 us", "second", 20e-6),
        ("20 µs", "second", 20e-6),
        ("700 W", "watt", 700),
        ("10.2 kW", "watt", 10200),
        ("500 MWh", "joule", 500e6 * 3600),
        ("380 gCO2e/kWh", "gCO2e/kWh", 380),
        ("0.38 kg/kWh", "gCO2e/kWh", 380),
        ("15T", "token", 15e12),
        ("400B tokens", "token", 400e9),
        ("400 billion tokens", "token", 400e9),
        ("1.5e9", "count", 1.5e9),
        ("1,000,000", "count", 1e6),
        ("1_000_000", "count", 1e6),
        (15e12, "token", 15e12),
        ("7B parameters", "parameter", 7e9),
        ("90 %", "fraction", 0.9),
        (0.9, "fraction", 0.9),
        ("$60k", "USD", 60e3),
        ("$1.5M", "USD", 1.5e6),
        ("60k USD", "USD", 60e3),
        ("USD 1,500", "USD", 1500),
        ("$2.99/GPU-h", "USD/GPU-hour", 2.99),
        ("$2.99 / GPU-hour", "USD/GPU-hour", 2.99),
        ("$2.99 per GPU-h", "USD/GPU-hour", 2.99),
        ("2.99 USD/GPU-h", "USD/GPU-hour", 2.99),
        ("$1.2/chip-h", "USD/GPU-hour", 1.2),
        ("$24/node-h", "USD/node-hour", 24),
        ("$25000/GPU", "USD/GPU", 25000),
        ("$25k/GPU", "USD/GPU", 25000),
        ("$80/MWh", "USD/kWh", 0.08),
    ],
)
def test_what_people_write_is_read(text: str | float, dimension: str, value: float) -> None:
    assert parse_quantity(text, dimension) == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize(
    ("text", "dimension", "words"),
    [
        (80, "byte", "80 has no unit; write 80 GB (10^9 bytes) or 80 GiB (2^30 bytes)"),
        ("80", "byte", "no unit"),
        (10, "second", "write 10 min, 10 h or 10 days"),
        ("25", "byte/second", "write 25 GB/s or 25 Gb/s"),
        (700, "watt", "write 700 W, 700 kW or 700 MW"),
        (380, "gCO2e/kWh", "write 380 gCO2e/kWh"),
        ("80 W", "byte", "is in watt, expected byte"),
        ("80 GB", "byte/second", "is in byte, expected byte/second"),
        ("3 TB/s", "byte", "is in byte/second, expected byte"),
        ("80 gb", "byte", "write 80 GB"),
        ("80 XB", "byte", "unknown unit"),
        ("ten days", "second", "does not start with a number"),
        ("3 months", "second", "months differ in length"),
        ("60k", "USD", "no currency"),
        ("$60k", "byte", "is money"),
        ("$2.99/h", "USD/GPU-hour", "does not say per what; write $2.99/GPU-h or $2.99/node-h"),
        ("$2.99", "USD/GPU-hour", "say per what"),
        ("1,5 GB", "byte", "comma separates thousands"),
        (True, "count", "is not a quantity"),
        (None, "count", "is not a quantity"),
        ([1], "count", "is not a quantity"),
        (math.inf, "count", "finite"),
        (math.nan, "count", "finite"),
        ("1e999", "count", "finite"),
        (10**400, "count", "finite"),
        ("", "byte", "does not start with a number"),
        ("15T", "byte", "is a count, expected byte"),
        ("989 TFLOPs", "FLOP/second", "is in FLOP, expected FLOP/second"),
    ],
)
def test_what_cannot_be_read_is_refused_with_what_to_write(text: object, dimension: str, words: str) -> None:
    with pytest.raises(QuantityError) as caught:
        parse_quantity(text, dimension)  # type: ignore[arg-type]
    assert words in str(caught.value)


def test_a_bare_number_is_si_when_asked_for() -> None:
    assert parse_quantity(8e10, "byte", bare=True) == 8e10
    assert parse_quantity("8e10", "byte", bare=True) == 8e10


def test_a_bit_is_an_eighth_of_a_byte() -> None:
    assert 8 * parse_quantity("1 Gb/s", "byte/second") == parse_quantity("1 GB/s", "byte/second")


@pytest.mark.parametrize("dimension", DIMENSIONS)
def test_every_example_that_errors_show_can_be_read(dimension: str) -> None:
    for example in DIMENSIONS[dimension].examples:
        assert parse_quantity(example, dimension) > 0


@pytest.mark.parametrize(
    ("value", "dimension", "text"),
    [
        (80e9, "byte", "80 GB"),
        (3.35e12, "byte/second", "3.35 TB/s"),
        (989.5e12, "FLOP/second", "990 TFLOP/s"),
        (999.9e9, "byte", "1 TB"),
        (61234, "USD", "$61.2k"),
        (0, "byte", "0 B"),
        (864000, "second", "10 days"),
        (15e12, "token", "15T"),
        (2.99, "USD/GPU-hour", "$2.99/GPU-h"),
        (25000, "USD/GPU", "$25k/GPU"),
        (0.9, "fraction", "0.9"),
        (-3e9, "byte", "-3 GB"),
        (math.inf, "second", "infinite"),
        (math.nan, "second", "-"),
    ],
)
def test_how_a_number_is_written(value: float, dimension: str, text: str) -> None:
    assert format_quantity(value, dimension) == text


@given(st.sampled_from(sorted(DIMENSIONS)), st.floats(min_value=1e-9, max_value=1e24))
def test_what_is_written_reads_back_to_three_digits(dimension: str, value: float) -> None:
    text = format_quantity(value, dimension)
    assert parse_quantity(text, dimension) == pytest.approx(value, rel=5.1e-3)
    assert format_quantity(parse_quantity(text, dimension), dimension) == text


@given(st.text(max_size=40), st.sampled_from(sorted(DIMENSIONS)))
def test_no_text_causes_anything_but_a_quantity_error(text: str, dimension: str) -> None:
    with contextlib.suppress(QuantityError):
        assert math.isfinite(parse_quantity(text, dimension))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$2.99/GPU-h", (2.99, "GPU-hour")),
        ("$24/node-h", (24.0, "node-hour")),
        ("$25000/GPU", (25000.0, "GPU")),
    ],
)
def test_a_price_says_per_what(text: str, expected: tuple[float, str]) -> None:
    assert parse_price(text) == expected


@pytest.mark.parametrize("text", ["$2.99/h", "$2.99", "2.99", "free", "80 GB", 2.99])
def test_a_price_that_does_not_is_refused(text: str | float) -> None:
    with pytest.raises(QuantityError) as caught:
        parse_price(text)
    assert "write $" in str(caught.value)


@pytest.mark.parametrize("text", ["80 GB" + " " * 300 + "nonsense", "1" + "0" * 250, "9" * 100_000])
def test_text_too_long_for_a_quantity_is_refused_whole(text: str) -> None:
    with pytest.raises(QuantityError, match="characters"):
        parse_quantity(text, "byte", bare=True)
