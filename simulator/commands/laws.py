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
    from simulator.report import laws as report
    from simulator.report import output
    from simulator.scaling import own, reference

    output.one_of(json=as_json, csv=as_csv)
    found = {
        name: law
        for name, law in {**reference.everything(), **own.every()}.items()
        if all(word.lower() in _text(name, law) for word in words)
    }
    records = [{**reference.record(law), "name": name} for name, law in found.items()]
    if as_json:
        output.emit(output.json_text(records))
    elif as_csv:
        output.emit(output.csv_text(records))
    else:
        output.emit(report.listed(records))


@command.command("show")
@click.argument("name", shell_complete=laws)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def show(name: str, as_json: bool) -> None:
    """Show one law: equation, constants with their errors, range, corpus, source. NAME may be a file of your own."""
    from simulator.report import laws as report
    from simulator.report import output
    from simulator.scaling import reference

    known = reference.everything()
    # The pages print a batch law without its prefix: that is enough where no other law is called so.
    same = [each for each in known if each.rpartition("/")[2] == name]
    name = same[0] if name not in known and len(same) == 1 else name
    law = known[name] if name in known else _own(name, known)
    name = name if name in known else law.name
    if as_json:
        output.emit(output.json_text({**reference.record(law), "name": name}))
        return
    output.emit(report.shown(name, law))


def _own(name: str, known: Mapping[str, Law]) -> Law:
    from simulator import library
    from simulator.errors import UnknownNameError
    from simulator.scaling import own

    try:
        return own.get(name)
    except UnknownNameError:
        raise UnknownNameError(name, kind="scaling law", names=[*known, *library.names("laws")]) from None


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
@click.option(
    "--out", type=click.Path(path_type=Path), help="Write the law to this YAML file, for law: in a scenario."
)
@click.option("--force", is_flag=True, help="Write over a file that exists.")
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
    out: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Fit a law to RUNS, a CSV with columns params (or N), tokens (or D), loss and what else the law needs.

    With --out, `law: ./mylaw.yaml` in a scenario predicts its loss by the law, and `law: mylaw` where the file lies in a folder
    laws/ of $TRAINSIM_PATH or of ~/.config/trainsim.

    With fewer than about ten runs, or runs at one ratio of tokens to parameters, use --from: the published law is then
    held as far as the runs leave it open.
    """
    from simulator import scaling
    from simulator.report import laws as report
    from simulator.report import output

    if out is not None:
        _check_writable(out, force=force)
    table = _read(runs, dataset)
    found: Fit | Transfer
    if origin is not None:
        found = scaling.transfer(origin, table)
        record, page = report.moved_record(found), report.moved_page(found)
    else:
        options: dict[str, Any] = {"n_bootstrap": bootstrap, "seed": seed, "fixed": _pairs(fix)}
        found = scaling.fit(table, law, leave_one_out=leave_one_out, target=target, **options)
        record, page = report.fit_record(found), report.fit_page(found)
    output.emit(output.json_text(record) if as_json else page)
    if out is not None:
        _write(found, out, origin=origin or law, source=f"{runs}, {dataset}" if dataset else str(runs))


def _check_writable(out: Path, *, force: bool) -> None:
    """See that a law can be written to a path, and found by its name."""
    import re

    from simulator.errors import SpecError
    from simulator.library import normalise
    from simulator.scaling import laws as registered

    if out.suffix != ".yaml":
        raise SpecError(f"{out}: a law is a YAML file; write {out.stem or 'mylaw'}.yaml")
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,99}", out.stem):
        raise SpecError(
            f"{out}: its name is that of the law; write lower-case letters, digits, dots and dashes"
        )
    if normalise(out.stem) in map(normalise, registered):
        raise SpecError(f"{out}: {out.stem} is the name of a published law; write my-{out.stem}.yaml")
    if not out.parent.is_dir():
        raise SpecError(f"{out}: there is no folder {out.parent}")
    if out.exists() and not force:
        raise SpecError(f"{out}: exists already; --force writes over it")


def _write(found: Fit | Transfer, out: Path, *, origin: str, source: str) -> None:
    """Write a law of one's own, and see that it is read again as it is."""
    import yaml

    from simulator import yamlio
    from simulator.report import output
    from simulator.scaling import own
    from simulator.schema import OwnLaw
    from simulator.schema.load import validate

    data = own.data_of(found, origin=origin, source=source)
    body = yaml.safe_dump(data, sort_keys=False, default_flow_style=None, width=110, allow_unicode=True)
    head = f"# A law of one's own, by `trainsim laws fit`; `trainsim laws show {out}` prints what is understood.\n"
    own.law_of(validate(OwnLaw, yamlio.loads(head + body, str(out))))
    output.emit(head + body, out)
    click.echo(f"use it with: law: ./{out.name} in a scenario beside it", err=True)


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
    from simulator.report import laws as report
    from simulator.report import output

    output.one_of(json=as_json, csv=as_csv)
    given: dict[str, Any] = {"params": params, "tokens": tokens, "unique_tokens": unique_tokens}
    given |= {"hidden_size": hidden_size, "num_hidden_layers": layers}
    given = {k: v for k, v in given.items() if v is not None}
    rows = _compared(given, every=every)
    if as_json:
        output.emit(output.json_text(rows))
    elif as_csv:
        output.emit(output.csv_text(rows))
    else:
        output.emit(report.compared(rows, params, tokens))
    if plot is not None:
        report.plot(rows, given, plot)


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


def _text(name: str, law: Law) -> str:
    about = f"{law.quantity} {law.corpus} {law.tokenizer} {law.notes} {law.source} {law.equation}"
    return f"{name} {about}".lower()
