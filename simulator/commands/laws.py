"""``trainsim laws``: every scaling law by name, fitted to your runs, and side by side at a point."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from simulator.commands.completion import laws

if TYPE_CHECKING:
    from simulator.scaling import Fit, Law, Transfer


@click.group("laws")
def command() -> None:
    """List the scaling laws, show one, fit one to your runs, or compare them at a point."""


@command.command("list")
@click.argument("words", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV.")
def list_(words: tuple[str, ...], as_json: bool, as_csv: bool) -> None:
    """List laws; WORDS keep those whose name, corpus, notes or source holds every word."""
    from simulator.report import output
    from simulator.report.tables import Table
    from simulator.report.text import page_width
    from simulator.scaling import reference

    output.one_of(json=as_json, csv=as_csv)
    found = {
        name: law
        for name, law in reference.everything().items()
        if all(word.lower() in _text(name, law) for word in words)
    }
    records = [{**reference.record(law), "name": name} for name, law in found.items()]
    if as_json:
        output.emit(output.json_text(records))
    elif as_csv:
        output.emit(output.csv_text(records))
    else:
        rows = [
            (r["name"], r["quantity"], r["provenance"], _short_source(r["source"]), _cut(r["corpus"], 26))
            for r in records
        ]
        note = "printed: constants as published. refit: fitted from public data. form: no public constants, fit it."
        heads = ("law", "gives", "constants", "source", "corpus")
        shown = len(heads) if page_width() >= WIDE else len(heads) - 1
        table = Table("", heads[:shown], [row[:shown] for row in rows], left=tuple(range(shown)), note=note)
        output.emit("\n".join(table.text()) + "\n")


@command.command("show")
@click.argument("name", shell_complete=laws)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show(name: str, as_json: bool) -> None:
    """Show one law: equation, constants with their errors, range, corpus, source."""
    from simulator.errors import UnknownNameError
    from simulator.report import output
    from simulator.report.text import wrap
    from simulator.scaling import reference

    known = reference.everything()
    if name not in known:
        raise UnknownNameError(name, kind="scaling law", names=list(known))
    law = known[name]
    if as_json:
        output.emit(output.json_text({**reference.record(law), "name": name}))
        return
    lines = [name, f"  {law.equation}", f"  gives       {law.quantity} [{law.loss_unit}]"]
    lines.append(f"  inputs      {', '.join(law.inputs)}")
    for i, key in enumerate(law.form.parameters):
        lines.append(f"  {'constants' if not i else '':<11} {_constant(law, key)}")
    for i, (key, (low, high)) in enumerate(law.range.items()):
        lines.append(
            f"  {'range' if not i else '':<11} {key} {reference.short(low)} to {reference.short(high)}"
        )
    lines += [
        f"  corpus      {law.corpus}",
        f"  tokenizer   {law.tokenizer}",
        f"  N counts    {law.n_convention}",
    ]
    lines += [f"  source      {law.source} ({law.provenance})", *wrap(law.notes, indent=2, hang=2)]
    output.emit("\n".join(lines) + "\n")


@command.command("fit")
@click.argument("runs", type=click.Path(path_type=Path))
@click.option(
    "--law",
    shell_complete=laws,
    default="chinchilla",
    show_default=True,
    help="Form, or law whose form is taken.",
)
@click.option(
    "--from", "origin", shell_complete=laws, help="Move this law to the runs instead of fitting from nothing."
)
@click.option("--dataset", help="Keep rows with this value in the column dataset.")
@click.option("--target", default="loss", show_default=True, help="Column to fit.")
@click.option("--fix", multiple=True, metavar="NAME=VALUE", help="Hold a constant; repeat for more.")
@click.option(
    "--bootstrap", default=1000, show_default=True, type=click.IntRange(0, 100_000), help="Bootstraps."
)
@click.option("--leave-one-out", is_flag=True, help="Refit without each run in turn.")
@click.option("--seed", default=0, show_default=True, type=int, help="Of starts and bootstraps.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def fit(
    runs: Path,
    law: str,
    origin: str | None,
    dataset: str | None,
    target: str,
    fix: tuple[str, ...],
    bootstrap: int,
    leave_one_out: bool,
    seed: int,
    as_json: bool,
) -> None:
    """Fit a law to RUNS, a CSV with columns params (or N), tokens (or D), loss and what else the law needs.

    With fewer than about ten runs, or runs at one ratio of tokens to parameters, use --from: the published law is then
    held as far as the runs leave it open.
    """
    from simulator import scaling
    from simulator.report import output

    table = _read(runs, dataset)
    if origin is not None:
        moved = scaling.transfer(origin, table)
        output.emit(output.json_text(_moved_record(moved)) if as_json else _moved_page(moved))
        return
    found = scaling.fit(
        table,
        law,
        n_bootstrap=bootstrap,
        seed=seed,
        fixed=_pairs(fix),
        leave_one_out=leave_one_out,
        target=target,
    )
    output.emit(output.json_text(_fit_record(found)) if as_json else _fit_page(found))


def _quantity(dimension: str) -> Callable[[click.Context, click.Parameter, str | None], float | None]:
    """Callback that reads ``7B`` or ``2T`` as the rest of the command line does."""

    def read(_: click.Context, parameter: click.Parameter, value: str | None) -> float | None:
        from simulator.units import parse_quantity

        if value is None:
            return None
        try:
            number = parse_quantity(value, dimension, bare=True)
        except ValueError as error:
            raise click.BadParameter(str(error), param=parameter) from None
        if not number > 0:
            raise click.BadParameter("must be above zero", param=parameter)
        return number

    return read


@command.command("compare")
@click.option("--params", required=True, callback=_quantity("parameter"), help="Parameters, such as 7B.")
@click.option("--tokens", required=True, callback=_quantity("token"), help="Tokens, such as 2T.")
@click.option("--unique-tokens", callback=_quantity("token"), help="Distinct tokens in the corpus.")
@click.option("--hidden-size", callback=_quantity("count"), help="Width, for laws that see shape.")
@click.option("--layers", callback=_quantity("count"), help="Depth, for laws that see shape.")
@click.option("--all", "every", is_flag=True, help="Also laws outside their range.")
@click.option(
    "--plot", type=click.Path(path_type=Path), help="Write the curves against tokens to a PNG or SVG."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV.")
def compare(
    params: float,
    tokens: float,
    unique_tokens: float | None,
    hidden_size: float | None,
    layers: float | None,
    every: bool,
    plot: Path | None,
    as_json: bool,
    as_csv: bool,
) -> None:
    """Show what each law says of one plan, and which claim to cover it.

    Losses belong to different corpora and tokenizers, so they are not compared. What is: the gain of ten times the tokens
    in each law, the best size for the same compute, and the loss against that best.
    """
    from simulator.report import output

    output.one_of(json=as_json, csv=as_csv)
    given: dict[str, Any] = {"params": params, "tokens": tokens, "unique_tokens": unique_tokens}
    given |= {"hidden_size": hidden_size, "num_hidden_layers": layers}
    rows = _compared({k: v for k, v in given.items() if v is not None}, every=every)
    if plot is not None:
        _plot(rows, params, tokens, plot)
    if as_json:
        output.emit(output.json_text(rows))
    elif as_csv:
        output.emit(output.csv_text(rows))
    else:
        output.emit(_compared_page(rows, params, tokens))


def _compared(given: Mapping[str, Any], *, every: bool) -> list[dict[str, Any]]:
    """One record per law of size and tokens that these inputs suffice for; Gadre's is not for choosing sizes."""
    from simulator import scaling

    inside = set(scaling.methods(**given))
    names = scaling.methods(**given, check_range=not every)
    rows = []
    for name in names:
        law = scaling.get(name)
        if "tokens" not in law.inputs or not {"params", "non_embedding_params"} & set(law.inputs):
            continue
        here = float(scaling.loss(law=name, **given))
        more = float(scaling.loss(law=name, **{**given, "tokens": 10 * given["tokens"]}))
        row: dict[str, Any] = {"law": name, "in_range": name in inside, "loss": here, "unit": law.loss_unit}
        row |= {
            "corpus": law.corpus,
            "gain_of_10x_tokens": here - more,
            "best_params": None,
            "best_tokens": None,
        }
        row["loss_above_best"] = None
        if law.terms and law.form.name in ("chinchilla", "muennighoff"):
            best = scaling.optimal(law, 6 * given["params"] * given["tokens"])
            row["best_params"], row["best_tokens"] = (float(v) for v in best)
            row["loss_above_best"] = here - float(scaling.loss(law=name, params=best[0], tokens=best[1]))
        rows.append(row)
    return rows


def _compared_page(rows: list[dict[str, Any]], params: float, tokens: float) -> str:
    from simulator.report.tables import Table
    from simulator.report.text import number, quantity

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


def _plot(rows: list[dict[str, Any]], params: float, tokens: float, path: Path) -> None:
    """Loss of each law against tokens, relative to its own loss at the point."""
    from simulator import scaling
    from simulator.errors import SimulatorError

    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise SimulatorError("plots need matplotlib: pip install 'trainsim[plot]'") from None
    import numpy as np

    across = tokens * np.geomspace(0.1, 10, 81)
    figure = Figure(figsize=(7.0, 4.5), layout="constrained")
    axes = figure.add_subplot()
    for row in rows:
        law = scaling.get(row["law"])
        if set(law.inputs) <= {"params", "tokens", "unique_tokens"}:
            curve = np.broadcast_to(scaling.loss(law=law, params=params, tokens=across), across.shape)
            axes.plot(across, curve - row["loss"], label=row["law"], ls="-" if row["in_range"] else ":")
    axes.axvline(tokens, color="0.7", lw=0.8)
    axes.set(xscale="log", xlabel="tokens", ylabel="loss minus loss at the point", title=f"N = {params:.3g}")
    axes.legend(fontsize="x-small")
    try:
        figure.savefig(path, dpi=150)
    except (OSError, ValueError) as error:
        raise SimulatorError(f"{path}: cannot be written ({error})") from None


def _read(path: Path, dataset: str | None) -> Any:
    """The runs as a table of columns."""
    import pandas as pd

    from simulator.errors import SpecError

    try:
        table = pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise SpecError(f"{path}: cannot be read as CSV ({error})") from None
    if dataset is not None:
        if "dataset" not in table.columns:
            raise SpecError(f"{path}: there is no column dataset")
        table = table[table["dataset"] == dataset]
        if table.empty:
            raise SpecError(f"{path}: no row has the dataset {dataset!r}")
    return table


def _pairs(texts: tuple[str, ...]) -> dict[str, float]:
    out = {}
    for text in texts:
        name, mark, value = text.partition("=")
        try:
            out[name.strip()] = float(value)
        except ValueError:
            mark = ""
        if not mark:
            raise click.BadParameter(f"{text!r}: write NAME=VALUE, such as alpha=0.34", param_hint="--fix")
    return out


def _fit_record(found: Fit) -> dict[str, Any]:
    return {
        "form": found.law.form.name,
        "equation": found.law.equation,
        "n": found.n,
        "constants": found.constants,
        "intervals_95": {k: list(v) for k, v in found.intervals.items()},
        "standard_errors": found.standard_errors,
        "r2": _finite(found.r2),
        "mae": found.mae,
        "leave_one_out_mae": _finite(found.leave_one_out),
        "bootstraps": len(found.draws),
        "warnings": list(found.warnings),
    }


def _fit_page(found: Fit) -> str:
    from simulator.report.tables import Table
    from simulator.report.text import number, wrap
    from simulator.scaling.reference import short

    rows = [
        (name, short(value), " to ".join(short(v) for v in found.intervals[name]) if found.intervals else "-")
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


def _moved_record(moved: Transfer) -> dict[str, Any]:
    return {
        "from": moved.base,
        "equation": moved.law.equation,
        "n": moved.n,
        "constants": dict(moved.law.constants),
        "mae": moved.mae,
        "largest_compute_flop": moved.largest_compute_flop,
        "ahead": _ahead(moved),
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


def _moved_page(moved: Transfer) -> str:
    from simulator.report.tables import Table
    from simulator.report.text import number, quantity, span
    from simulator.scaling.reference import short

    lines = [f"{moved.base} moved with {moved.n} runs: {moved.law.equation}"]
    lines.append("  " + ", ".join(f"{k} {short(v)}" for k, v in moved.law.constants.items()))
    lines.append(f"  mean absolute residual {number(moved.mae)}")
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
    from simulator.scaling.reference import short

    if key not in law.constants:
        return f"{key:<8} to be fitted"
    text = f"{key:<8} {short(law.constants[key])}"
    spread = law.uncertainty.get(key)
    if spread is None:
        return text
    if isinstance(spread, tuple):
        return f"{text}  95 % {short(spread[0])} to {short(spread[1])}"
    return f"{text}  +- {short(spread)}"


def _text(name: str, law: Law) -> str:
    about = f"{law.quantity} {law.corpus} {law.tokenizer} {law.notes} {law.source} {law.equation}"
    return f"{name} {about}".lower()


WIDE = 92
"""Columns of a terminal from which on the corpus has room. [columns]"""


def _short_source(source: str) -> str:
    """Number of a paper, or the site of a page."""
    first = source.split(",")[0]
    return first.partition("://")[2].partition("/")[0] or first


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 3] + "..."


def _finite(value: float) -> float | None:
    return value if value == value and abs(value) != float("inf") else None
