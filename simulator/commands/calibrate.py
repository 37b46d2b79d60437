"""``trainsim calibrate``: fit the constants of the clock to measured runs."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("calibrate")
@click.option(
    "--cases",
    required=True,
    type=click.Path(path_type=Path),
    help="CSV of measured runs (docs/validation.md).",
)
@click.option(
    "--out", required=True, type=click.Path(path_type=Path), help="Folder for the calibration sets."
)
@click.option(
    "--start",
    type=click.Choice(["shipped", "prior"]),
    default="shipped",
    show_default=True,
    help="Centre of the fit: the sets that ship, of which those are written that the rows describe; or the priors, of "
    "which every set is written.",
)
@click.option(
    "--intervals",
    type=click.Path(path_type=Path),
    help="Also cross-validate, and write the error percentiles here.",
)
@click.option(
    "--micro",
    type=click.Path(path_type=Path),
    help="CSV of measured matmuls and collectives, which centre the fill of a tile and the links.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def command(
    cases: Path, out: Path, start: str, intervals: Path | None, micro: Path | None, as_json: bool
) -> None:
    """Fit the physical constants of accelerators, fabrics and software to measured step times.

    The sets that ship are the prior: three runs of your own are enough to move what they bear on, and a constant that they do
    not identify keeps its value and says so. An accelerator that nobody has measured gets a set of its own.
    """
    from simulator.calibrate import chain
    from simulator.report import calibrating, output

    found = chain.run(
        cases,
        out,
        shipped=start == "shipped",
        intervals=intervals,
        micro=micro,
        tell=lambda text: click.echo(text, err=True),
    )
    output.emit(output.json_text(calibrating.document(found)) if as_json else calibrating.page(found))
