"""``trainsim support``: what is backed by measurements, and the error there."""

from __future__ import annotations

from typing import Any

import click

HEADS = ("rows", "sources", "median", "90th", "in 80 %")
TITLES = {
    "accelerator": "Accelerators",
    "kind": "Kinds of model",
    "precision": "Precision of the matrix units",
    "software": "Software",
    "scale": "Scale (one scale-up domain, or several)",
    "layout": "Layouts (a row may use several)",
}


@click.command("support")
@click.argument("words", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@click.option("--csv", "as_csv", is_flag=True, help="Print one table of all groups as CSV.")
def command(words: tuple[str, ...], as_json: bool, as_csv: bool) -> None:
    """Say which accelerators, models, precisions, software and layouts have measured backing, and the error there.

    WORDS keep the lines whose name holds one of them. Each measured run is predicted from its configuration.
    """
    from simulator.errors import SpecError
    from simulator.report import output
    from simulator.validate.support import GROUPS, support

    output.one_of(json=as_json, csv=as_csv)
    report = support()
    for group in GROUPS:
        report[group] = [line for line in report[group] if _kept(str(line["name"]), words)]
    if not any(report[group] for group in GROUPS):
        raise SpecError(f"nothing that was measured or could be is called {' or '.join(words)}")
    if as_json:
        output.emit(output.json_text(report))
    elif as_csv:
        output.emit(output.csv_text([{"group": group, **line} for group in GROUPS for line in report[group]]))
    else:
        output.emit(_page(report))


def _kept(name: str, words: tuple[str, ...]) -> bool:
    return not words or any(word.lower() in name.lower() for word in words)


def _page(report: dict[str, Any]) -> str:
    from simulator.report.text import percent, table, wrap
    from simulator.validate.support import FEW, GROUPS

    lines = [f"{report['rows']:,} measured runs, each predicted by {report['clock']} from its configuration"]
    for group in GROUPS:
        rows = [
            (
                line["name"],
                f"{line['rows']:,}",
                line["sources"],
                *(percent(line[key]) if line[key] is not None else "-" for key in KEYS),
            )
            for line in report[group]
            if line["rows"]
        ]
        if rows:
            lines += [TITLES[group], *table(("", *HEADS), rows)]
        bare = [str(line["name"]) for line in report[group] if not line["rows"]]
        if bare:
            lines += wrap("no measured run: " + ", ".join(bare), indent=2, hang=4)
    lines += wrap(
        f"median, 90th: percentiles of the relative error of the step time; in 80 %: share inside the interval. Fewer than "
        f"{FEW} rows of a regime share the interval of a wider one. Without a measured run the constants come from the same "
        "architecture or from the datasheet, and the interval is that of parts left out of the fit."
    )
    return "\n".join(lines) + "\n"


KEYS = ("median_error", "p90_error", "coverage_80")
