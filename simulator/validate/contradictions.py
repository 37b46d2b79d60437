"""Rows that contradict themselves: printed figures of one run that cannot all be true.

Such a row says nothing about the clock, so `cases.of_frame` leaves it out and counts it. Which rows they are stands in
``measurements/quarantine.csv`` with the figures that disagree; ``trainsim validate --contradictions`` finds them again, and
finds them in a table of your own, where it only reports; rows whose counts cannot be (`counts`), and rows faster than the
peak of their accelerator, are left out of any table.
A row is never listed because its prediction is far off.
"""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from simulator.flop import model_flop_per_token
from simulator.validate.cells import SkipError, number
from simulator.validate.counts import impossible
from simulator.validate.rows import Row, with_all_columns

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd

TOLERANCE = 0.10
"""Relative difference of two printed figures of one run from which on they contradict each other. [-]"""

SIBLINGS = 3
"""Rows of one model that show what a source counts as FLOP where no convention fits. [-]"""

CONVENTIONS = ("6N", "megatron", "maxtext")
"""Ways to count model FLOP that a printed rate may follow."""

REPEATED = (1.0, 4.0 / 3.0, 2.0 / 3.0)
"""Factors on them: nothing, full recomputation counted, frozen weights. [-]"""

_RATE = re.compile(r"reported (?:model )?~?([\d.,]*\d)\s*TFLOP/s")
_TOKENS = (
    (re.compile(r"printed ([\d.,]*\d) tok/s"), "tokens/s"),
    (re.compile(r"([\d.,]*\d) (?:tok|tokens)/s/chip"), "tokens/s and accelerator"),
    (re.compile(r"printed (?:as )?([\d.,]*\d) sequences/s"), "sequences/s"),
)

PEAK = "more model FLOP per second than the dense peak"
RATE = "step time and printed FLOP rate disagree"
TOKENS = "measured value and printed token rate disagree"


def find(frame: pd.DataFrame) -> list[dict[str, str]]:
    """Rows of a table whose own figures disagree.

    Parameters
    ----------
    frame : DataFrame
        Table in the format of ``measurements/throughput.csv``.

    Returns
    -------
    list of dict
        ``id``, ``reason``, ``figures``; a row may have several. Rows that cannot be read are left to `cases.of_frame`.
    """
    read = list(_read(frame))
    usual = _usual_ratio(read)
    found = []
    for row, ratio in read:
        for reason, figures in (
            *impossible(row),
            *beyond_peak(row),
            *_token_rate(row.raw),
            *_flop_rate(row, ratio, usual.get(_family(row))),
        ):
            found.append({"id": str(row.raw["id"]), "reason": reason, "figures": figures})
    return found


def _read(frame: pd.DataFrame) -> Iterator[tuple[Row, float]]:
    """Rows with the ratio of the printed FLOP rate to the one counted by Megatron's convention, nan if none is printed."""
    for raw in with_all_columns(frame).to_dict("records"):
        try:
            row = Row({str(key): value for key, value in raw.items()})
            printed = _RATE.search(str(row.raw["notes"]))
            yield (
                row,
                float(printed[1].replace(",", "")) * 1e12 / _rate(row, "megatron") if printed else np.nan,
            )
        except SkipError:
            continue


def _tokens_per_s(row: dict[str, Any]) -> float:
    """Tokens per second that the measured value says, nan if it says something else."""
    value, quantity = number(row["measured_value"], np.nan), row["measured_quantity"]
    if quantity == "tokens_per_s":
        return value
    if quantity == "tokens_per_s_per_gpu":
        return value * number(row["n_gpus"], 1)
    if quantity == "step_time_s":
        return number(row["global_batch_seqs"], 1) * number(row["seq_len"], 1) / value
    return float("nan")


def _rate(row: Row, convention: str) -> float:
    """Model FLOP per second and accelerator by a convention. [FLOP/s]"""
    flop = float(model_flop_per_token(row.shape, seq_length=row.layout.seq_length, convention=convention))
    tokens = number(row.raw["global_batch_seqs"], 1) * number(row.raw["seq_len"], 1)
    return flop * tokens / (row.measured_s * number(row.raw["n_gpus"], 1))


def beyond_peak(row: Row, margin: float = 0.0) -> Iterator[tuple[str, str]]:
    """A step faster than the tensor units can be, as milliseconds read as seconds are: (reason, figures).

    Frozen weights need no weight gradients, a third of the FLOP; causal attention is counted by its unmasked half. `margin` is what
    a step may exceed the peak by: that of a machine which was measured is its best matrix product. [-]
    """
    share = _rate(row, "maxtext") / float(row.device.peak_flops) * (2.0 / 3.0 if row.layout.frozen else 1.0)
    if share > 1.0 + margin:
        yield PEAK, f"{100 * share:.0f} % of the peak of {float(row.device.peak_flops) / 1e12:.0f} TFLOP/s"


def _token_rate(row: dict[str, Any]) -> Iterator[tuple[str, str]]:
    rate = _tokens_per_s(row)
    per = {
        "tokens/s": 1.0,
        "tokens/s and accelerator": number(row["n_gpus"], 1),
        "sequences/s": number(row["seq_len"], 1),
    }
    for pattern, unit in _TOKENS:
        printed = pattern.search(str(row["notes"]))
        if printed and np.isfinite(rate):
            value = float(printed[1].replace(",", ""))
            if abs(rate / per[unit] / value - 1.0) > TOLERANCE:
                yield TOKENS, f"{value:g} {unit} printed, {rate / per[unit]:.4g} from the measured value"


def _family(row: Row) -> tuple[str, ...]:
    """Rows that count FLOP alike: one model of one source, with the same recomputation and sequence."""
    return tuple(str(row.raw[name]) for name in ("source", "model_name", "act_ckpt", "seq_len"))


def _usual_ratio(read: list[tuple[Row, float]]) -> dict[tuple[str, ...], float]:
    ratios: dict[tuple[str, ...], list[float]] = {}
    for row, ratio in read:
        if np.isfinite(ratio):
            ratios.setdefault(_family(row), []).append(ratio)
    return {name: float(np.median(each)) for name, each in ratios.items() if len(each) >= SIBLINGS}


def _flop_rate(row: Row, ratio: float, usual: float | None) -> Iterator[tuple[str, str]]:
    """No way to count explains the printed rate, and the source's other rows of the model show no way of its own."""
    if not np.isfinite(ratio) or usual is None or abs(ratio / usual - 1.0) <= TOLERANCE:
        return
    printed = ratio * _rate(row, "megatron")
    counted = [_rate(row, name) * factor for name in CONVENTIONS for factor in REPEATED]
    nearest = min(counted, key=lambda each: abs(float(np.log(printed / each))))
    if abs(printed / nearest - 1.0) > TOLERANCE:
        yield RATE, f"{printed / 1e12:.1f} TFLOP/s printed, {nearest / 1e12:.1f} by the nearest convention"


@functools.lru_cache(maxsize=1)
def quarantined() -> dict[str, str]:
    """Reason by id of the rows that are left out of fits and scores."""
    import csv

    from simulator import library

    path = library.packaged_root() / "measurements" / "quarantine.csv"
    with path.open(encoding="utf-8", newline="") as file:
        return {row["id"]: row["reason"] for row in csv.DictReader(file)}
