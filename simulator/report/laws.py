"""Pages, records and the plot of ``trainsim laws``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simulator.report.tables import Table
from simulator.report.text import number, page_width, quantity, span, wrap
from simulator.scaling.reference import short

if TYPE_CHECKING:
    from simulator.scaling import Fit, Law, Transfer

WIDE = 92
"""Columns of a terminal from which on the corpus has room. [columns]"""


def listed(records: Sequence[Mapping[str, Any]]) -> str:
    """Laws as a table; the corpus where the terminal has room."""
    rows = [
        (r["name"], r["quantity"], r["provenance"], _short_source(r["source"]), _cut(r["corpus"], 26))
        for r in records
    ]
    note = (
        "printed: constants as published. refit: fitted from public data. form: no public constants, fit it. "
        "own: a file of yours."
    )
    heads = ("law", "gives", "constants", "source", "corpus")
    shown = len(heads) if page_width() >= WIDE else len(heads) - 1
    table = Table("", heads[:shown], [row[:shown] for row in rows], left=tuple(range(shown)), note=note)
    return "\n".join(table.text()) + "\n"


def shown(name: str, law: Law) -> str:
    """One law: equation, constants with their errors, range, corpus, source."""
    lines = [name, f"  {law.equation}", f"  gives       {law.quantity} [{law.loss_unit}]"]
    lines.append(f"  inputs      {', '.join(law.inputs)}")
    for i, key in enumerate(law.form.parameters):
        lines.append(f"  {'constants' if not i else '':<11} {_constant(law, key)}")
    for i, (key, (low, high)) in enumerate(law.range.items()):
        lines.append(f"  {'range' if not i else '':<11} {key} {short(low)} to {short(high)}")
    lines += [
        f"  corpus      {law.corpus}",
        f"  tokenizer   {law.tokenizer}",
        f"  N counts    {law.n_convention}",
    ]
    lines += [f"  source      {law.source} ({law.provenance})", *wrap(law.notes, indent=2, hang=2)]
    return "\n".join(lines) + "\n"


def compared(rows: list[dict[str, Any]], params: float, tokens: float) -> str:
    """What each law says of one plan, as a table."""
    title = f"{quantity(params, 'parameter')} parameters, {quantity(tokens, 'token')} tokens"
    if not rows:
        return f"{title}\n  no law covers this point; --all shows those outside their range\n"
    cells = [
        (
            row["law"] if row["in_range"] else f"{row['law']} *",
            number(row["loss"], 4),
            number(row["gain_of_10x_tokens"], 2),
            quantity(row["best_params"], "parameter", 2),
            quantity(row["best_tokens"], "token", 2),
            number(row["loss_above_best"], 2),
            _cut(row["corpus"], 24),
        )
        for row in rows
    ]
    gains = [row["gain_of_10x_tokens"] for row in rows]
    note = f"Ten times the tokens lower the loss by {number(min(gains), 2)} to {number(max(gains), 2)}. "
    note += "Best: size and tokens of least loss for the same 6ND. The losses are of different corpora and tokenizers: "
    note += "read differences down a column of gains, not of losses."
    if not all(row["in_range"] for row in rows):
        note += " *: outside the range of the law's data, or of unknown range."
    heads = ("law", "loss", "10x tokens", "best N", "best D", "above best", "corpus")
    return "\n".join(Table(title, heads, cells, left=(0, 6), note=note).text()) + "\n"


def plot(rows: list[dict[str, Any]], given: Mapping[str, float], path: Path) -> None:
    """Loss of each law against tokens, relative to its own loss at the point.

    Raises
    ------
    SimulatorError
        If no law covers the point, so that there is nothing to draw; without matplotlib; or if the file cannot be written.
    """
    from simulator import scaling
    from simulator.errors import SimulatorError
    from simulator.report.plots import fields, style

    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise SimulatorError("plots need matplotlib: pip install 'trainsim[plot]'") from None
    import numpy as np

    if not rows:
        raise SimulatorError(f"{path} is not written: no law covers this point; add --all")
    across = given["tokens"] * np.geomspace(0.1, 10, 81)
    figure = Figure(figsize=(7.0, 4.5), layout="constrained")
    axes = figure.add_subplot()
    turn = len(style.COLORS)
    for place, row in enumerate(rows):
        inputs: dict[str, Any] = {**given, "tokens": across}
        curve = np.broadcast_to(scaling.loss(law=row["law"], **inputs), across.shape)
        axes.plot(
            across,
            curve - row["loss"],
            label=row["law"],
            ls="-" if row["in_range"] else ":",
            color=style.COLORS[place % turn],
            marker=style.MARKERS[(place + place // turn) % turn],
            markevery=(3 * place % 20, 20),
            markersize=5,
            markeredgecolor=style.INK,
            markeredgewidth=0.4,
        )
    axes.axvline(given["tokens"], color="0.7", lw=0.8)
    axes.set_xscale("log")
    fields.plain_ticks(axes, "x", fields.count)
    axes.set(
        xlabel="tokens [-]",
        ylabel="loss minus loss at the point [nats/token]",
        title=f"{quantity(given['params'], 'parameter')} parameters; dotted: outside the law's range",
    )
    axes.legend(fontsize="x-small")
    try:
        figure.savefig(path, dpi=150)
    except (OSError, ValueError) as error:
        raise SimulatorError(f"{path}: cannot be written ({error})") from None


def fit_record(found: Fit) -> dict[str, Any]:
    """A fitted law as plain data."""
    return {
        "form": found.law.form.name,
        "equation": found.law.equation,
        "n": found.n,
        "constants": {k: _finite(v) for k, v in found.constants.items()},
        "intervals_95": {k: [_finite(end) for end in ends] for k, ends in found.intervals.items()},
        "standard_errors": {k: _finite(v) for k, v in found.standard_errors.items()},
        "r2": _finite(found.r2),
        "mae": _finite(found.mae),
        "leave_one_out_mae": _finite(found.leave_one_out),
        "bootstraps": len(found.draws),
        "warnings": list(found.warnings),
    }


def fit_page(found: Fit) -> str:
    """A fitted law: its constants with their intervals, and what is left of the runs."""
    rows = [
        (name, _short(value), " to ".join(_short(v) for v in found.intervals.get(name, ())) or "-")
        for name, value in found.constants.items()
    ]
    title = f"{found.law.equation}   {found.n} runs"
    lines = Table(title, ("constant", "value", "95 % interval"), rows, left=(0, 2)).text()
    lines.append(f"  mean absolute residual {number(found.mae)}, R2 {number(found.r2, 4)}")
    if found.leave_one_out == found.leave_one_out:
        lines.append(f"  left out in turn: mean absolute error {number(found.leave_one_out)}")
    for warning in found.warnings:
        lines += wrap(f"warning: {warning}", indent=2, hang=4)
    return "\n".join(lines) + "\n"


def moved_record(moved: Transfer) -> dict[str, Any]:
    """A published law moved to the reader's runs, as plain data."""
    return {
        "from": moved.base,
        "equation": moved.law.equation,
        "n": moved.n,
        "constants": {k: _finite(v) for k, v in moved.law.constants.items()},
        "intervals_95": {k: [_finite(end) for end in ends] for k, ends in moved.intervals.items()},
        "mae": _finite(moved.mae),
        "largest_compute_flop": moved.largest_compute_flop,
        "ahead": _ahead(moved),
        "warnings": list(moved.warnings),
    }


def _ahead(moved: Transfer) -> list[dict[str, float]]:
    """Best size, loss and 80 % interval at 1, 10, 100 and 1000 times the largest compute of the runs."""
    from simulator import scaling

    rows = []
    for factor in (1, 10, 100, 1000):
        compute = factor * moved.largest_compute_flop
        n, d = (float(v) for v in scaling.optimal(moved.law, compute))
        point: dict[str, Any] = {"params": n, "tokens": d}
        if "hidden_size" in moved.law.inputs:
            width = (70 * n / 12) ** (1 / 3)
            point |= {"hidden_size": width, "num_hidden_layers": width / 70}
        low, high = moved.interval(0.8, **point)
        rows.append(
            {"compute_flop": compute, "params": n, "tokens": d, "loss": float(moved.loss(**point))}
            | {"loss_p10": float(low), "loss_p90": float(high)}
        )
    return rows


def moved_page(moved: Transfer) -> str:
    """A published law moved to the reader's runs, and what it says of larger ones."""
    lines = [f"{moved.base} moved with {moved.n} runs: {moved.law.equation}"]
    lines.append("  " + ", ".join(f"{k} {short(v)}" for k, v in moved.law.constants.items()))
    lines.append(f"  mean absolute residual {number(moved.mae)}")
    for warning in moved.warnings:
        lines += wrap(f"warning: {warning}", indent=2, hang=4)
    rows = [
        (
            quantity(row["compute_flop"], "FLOP"),
            quantity(row["params"], "parameter", 2),
            quantity(row["tokens"], "token", 2),
            number(row["loss"], 4),
            span([row["loss_p10"], row["loss_p90"]], ""),
        )
        for row in _ahead(moved)
    ]
    note = "At 1, 10, 100 and 1000 times the compute of the largest run, with the best size for it."
    heads = ("compute", "params", "tokens", "loss", "80 % interval")
    return "\n".join([*lines, *Table("", heads, rows, left=(4,), note=note).text()]) + "\n"


def _constant(law: Law, key: str) -> str:
    if key not in law.constants:
        return f"{key:<8} to be fitted"
    text = f"{key:<8} {short(law.constants[key])}"
    spread = law.uncertainty.get(key)
    if spread is None:
        return text
    if isinstance(spread, tuple):
        return f"{text}  95 % {short(spread[0])} to {short(spread[1])}"
    return f"{text}  +- {short(spread)}"


def _short_source(source: str) -> str:
    """Number of a paper, or the site of a page."""
    first = source.split(",")[0]
    return first.partition("://")[2].partition("/")[0] or first


def _short(value: float) -> str:
    return "-" if _finite(value) is None else short(value)


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 3] + "..."


def _finite(value: float) -> float | None:
    return value if value == value and abs(value) != float("inf") else None
