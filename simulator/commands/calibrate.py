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
    type=click.Choice(["prior", "shipped"]),
    default="prior",
    show_default=True,
    help="Centre of the fit.",
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
def command(cases: Path, out: Path, start: str, intervals: Path | None, micro: Path | None) -> None:
    """Fit the physical constants of accelerators, fabrics and software to measured step times.

    Constants that the rows do not identify keep their prior and say so. With --start shipped the shipped sets are the
    prior: three runs of your own are enough to move them.
    """
    from simulator.calibrate import chain

    chain.run(
        cases,
        out,
        shipped=start == "shipped",
        intervals=intervals,
        micro=micro,
        tell=lambda text: click.echo(text, err=True),
    )
