"""What `trainsim measure` shows: the held-out steps first, then the calibration and the operations."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from simulator.calibrate.write import bounds
from simulator.measuring.accelerator import values
from simulator.measuring.tables import HELD_OUT, STEP_COLUMNS, restlessness
from simulator.measuring.tables import Table as Csv
from simulator.report import accuracy
from simulator.report.tables import Table
from simulator.report.text import number, percent, quantity, span, wrap

if TYPE_CHECKING:
    from simulator.calibrate.fit import Fit
    from simulator.measuring.chain import Measured

NOTE = (
    f"{accuracy.NOTE} Before measuring: with the constants that ship and this accelerator's rates. FLOP at one rate: the rate "
    "is the median of the steps of the fit."
)

RESTLESS = 0.2
"""Variation of a step above which the page warns: the 80 % interval of a measured machine is about as wide. [-]"""

SHOWN = {
    "copy": "copy, read and written",
    "gemm": "matrix product",
    "attention_fwd_causal": "causal attention, forward",
    "attention_fwd_bwd": "causal attention, with backward",
    "launch": "one operation on one element",
    "launch_layer": "one kernel of a tiny layer",
    "adam_step": "AdamW, one step",
}
"""Operation, in words."""


def document(found: Measured) -> dict[str, Any]:
    """The same as plain data."""
    one = found.calibrated
    constants = {
        f"{name}.{key}": {"value": value, "identified": one.result.identified.get((name, key), False)}
        for (name, key), value in sorted(one.result.values.items())
        if name in (one.accelerator, "pytorch")
    }
    return {
        "accelerator": one.accelerator,
        "about": found.about,
        "held_out": one.unseen,
        "held_out_before": one.unseen_before,
        "held_out_flop": one.unseen_flop,
        "fit": one.fitted,
        "variation": restlessness(Csv(found.folder / "steps.csv", STEP_COLUMNS).rows()),
        "steps": one.rows,
        "constants": constants,
        "micro": found.micro,
        "left_out": found.left_out,
        "files": [str(path) for path in found.files],
    }


def page(found: Measured) -> str:
    """Text of a finished set of measurements."""
    parts = [_head(found), _steps(found).text(), _errors(found).text(), _constants(found).text()]
    parts += [_micro(found).text(), _use(found)]
    return "\n\n".join("\n".join(lines) for lines in parts) + "\n"


def markdown(found: Measured) -> list[str]:
    """The tables as lines of a document: steps, errors, operations."""
    steps = _steps(found)
    named = replace(steps, rows=[(f"`{row[0]}`", *row[1:]) for row in steps.rows])
    parts = [replace(each, title="").markdown() for each in (named, _errors(found), _micro(found))]
    return [line for part in parts for line in (*part, "")][:-1]


def _head(found: Measured) -> list[str]:
    one = found.calibrated
    unseen, before = one.unseen, one.unseen_before
    machine = found.about["machine"]
    said = f"{machine['name']}, PyTorch {machine['software'].get('torch', '')}, {machine['precision']}, timer {found.about['timer']}"
    lines = [one.accelerator, said, ""]
    if not unseen.get("n"):
        return [*lines, *wrap("No step was held out: nothing is known of shapes that were not measured.")]
    text = (
        f"On {unseen['n']} steps that the fit did not see the median error is {percent(unseen['median_ape'])} and the "
        f"largest tenth starts at {percent(unseen['p90_ape'])}; {percent(unseen['coverage_80'])} lie in their 80 % "
        f"interval. With the constants that ship, this machine not measured: {percent(before['median_ape'])}."
    )
    lines += wrap(text)
    rest = restlessness(Csv(found.folder / "steps.csv", STEP_COLUMNS).rows())
    said = f"Between the 10th and the 90th percentile of its samples a step varies by {percent(rest)}."
    if rest > RESTLESS:
        said += (
            " The machine was not at rest: leave it alone, add rounds, or use one thread and --timer process."
        )
    lines += wrap(said)
    if found.left_out:
        lines += wrap(f"Left out, too large for the memory: {', '.join(found.left_out)}.")
    return lines


def _steps(found: Measured) -> Table:
    why = _reasons(found)
    rows = [
        (
            row["id"],
            why.get(row["id"], ""),
            quantity(row["measured_step_time_s"], "second"),
            span((row["low"], row["high"]), "second"),
            quantity(row["predicted_step_time_s"], "second"),
            accuracy.signed(math.log(row["predicted_step_time_s"] / row["measured_step_time_s"])),
        )
        for row in sorted(found.calibrated.rows, key=lambda row: not row["held_out"])
    ]
    note = (
        "l layers, h width, a heads, f feed-forward, v vocabulary, s tokens per sequence, b sequences. "
        "Above 0 the prediction is too slow."
    )
    heads = ("step", "held out", "measured", "80 % interval", "predicted", "off by")
    return Table("Training steps, held out ones first", heads, rows, left=(0, 1), note=note)


def _reasons(found: Measured) -> dict[str, str]:
    """Why a step was held out, by its name."""
    rows = Csv(found.folder / "steps.csv", STEP_COLUMNS).rows()
    return {
        row["config_group"]: row["notes"].removeprefix(HELD_OUT).partition(";")[0]
        for row in rows
        if row["notes"].startswith(HELD_OUT)
    }


def _errors(found: Measured) -> Table:
    one = found.calibrated
    rows = [
        accuracy.error_row("held out", one.unseen),
        accuracy.error_row("held out, before measuring", one.unseen_before),
        accuracy.error_row("held out, FLOP at one rate", one.unseen_flop),
        accuracy.error_row("seen by the fit", one.fitted),
    ]
    return Table("Errors", accuracy.HEADS, rows, note=NOTE)


def _constants(found: Measured) -> Table:
    one = found.calibrated
    rows = []
    for (name, key), value in sorted(one.result.values.items()):
        if name not in (one.accelerator, "pytorch"):
            continue
        if (name, key) in one.centres or one.result.identified.get((name, key)):
            how = "moved by the steps" if one.result.identified.get((name, key)) else "as measured directly"
            rows.append((key, number(value), _low_high(one.result, (name, key)), how))
    return Table("Constants that were measured", ("", "value", "80 % range", ""), rows, left=(0, 3))


def _low_high(result: Fit, key: tuple[str, str]) -> str:
    if not result.identified.get(key):
        return "-"
    low, high = bounds(key, result.values[key], result.spread[key])
    return f"{number(low, 2)} to {number(high, 2)}"


def _micro(found: Measured) -> Table:
    rows = []
    for op, words in SHOWN.items():
        own = values(found.micro, op)
        if not own:
            continue
        unit = next(row["unit"] for row in found.micro if row["op"] == op)
        rates = [value for _, _, value in own]
        best = min(own, key=lambda each: each[2]) if unit == "us" else max(own, key=lambda each: each[2])
        where = " ".join(f"{name}={value}" for name, value in best[0].items())
        low, high = number(min(rates)), number(max(rates))
        rows.append((words, len(own), f"{low} to {high} {unit}" if low != high else f"{low} {unit}", where))
    heads = ("", "sizes", "range", "best at")
    return Table("Operations", heads, rows, left=(0, 3))


def _use(found: Measured) -> list[str]:
    folder, name = found.folder, found.calibrated.accelerator
    return [
        "Use it",
        f"  export TRAINSIM_PATH={folder}",
        f"  trainsim run SCENARIO --set hardware.accelerator={name} --set software=generic",
        f"  trainsim validate --cases {folder / 'steps.csv'} --rows",
    ]
