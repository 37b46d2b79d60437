"""``trainsim hardware``: the accelerators that are known, and where each number comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from simulator.commands.completion import accelerators

if TYPE_CHECKING:
    from rich.table import Table

    from simulator.schema import Accelerator

# Column of the list, to the unit of the same number in JSON and CSV.
_COLUMNS = (
    "id",
    "architecture",
    "memory_gb",
    "memory_bandwidth_tbps",
    "bf16_tflops",
    "fp8_tflops",
    "link_one_way_gbps",
    "tdp_w",
    "evidence",
)


@click.group("hardware")
def command() -> None:
    """List the accelerators, or show one with its sources."""


@command.command("list")
@click.argument("words", nargs=-1, shell_complete=accelerators)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV.")
def list_(words: tuple[str, ...], as_json: bool, as_csv: bool) -> None:
    """List accelerators; WORDS keep those whose id, name or architecture holds every word."""
    from simulator import library
    from simulator.errors import UnknownNameError
    from simulator.report import output
    from simulator.schema import load_accelerator

    known = [load_accelerator(name) for name in library.names("accelerators")]
    rows = [_row(a) for a in known if all(word.lower() in _text(a) for word in words)]
    if not rows:
        names = dict.fromkeys(name for a in known for name in (a.label, a.vendor, a.architecture) if name)
        raise UnknownNameError(" ".join(words), kind="accelerator", names=names)
    if as_json:
        output.emit(output.json_text(rows))
    elif as_csv:
        _print_csv(rows)
    else:
        output.emit(_list_page(rows))
        click.echo(
            "Dense rates in TFLOP/s. Link: GB/s in one direction. Evidence: measured, or known from a datasheet only.",
            err=True,
        )


@command.command("show")
@click.argument("name", shell_complete=accelerators)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV.")
def show(name: str, as_json: bool, as_csv: bool) -> None:
    """Show one accelerator: every number, its source, and what is doubtful."""
    from simulator.report import output
    from simulator.schema import load_accelerator
    from simulator.schema.plausible import implausible
    from simulator.schema.quotes import today

    accelerator = load_accelerator(name)
    rows, odd = fields(accelerator), implausible(accelerator, today())
    if as_json:
        output.emit(accelerator.model_dump_json(indent=2, exclude_none=True) + "\n")
    elif as_csv:
        _print_csv([{"field": f, "value": v, "sources": s, "doubt": d} for f, v, s, d in rows])
    else:
        _print(_show_table(accelerator, rows))
    for text in odd:
        click.echo(f"implausible: {text}", err=True)


def _text(a: Accelerator) -> str:
    return " ".join(filter(None, (a.id, a.name, a.vendor, a.architecture, *a.aliases))).lower()


def _row(a: Accelerator) -> dict[str, Any]:
    """One accelerator as plain numbers whose names carry the unit."""

    def scaled(value: float | None, size: float) -> float | None:
        return None if value is None else round(value / size, 6)

    return {
        "id": a.label,
        "architecture": a.architecture,
        "memory_gb": scaled(a.memory, 1e9),
        "memory_bandwidth_tbps": scaled(a.memory_bandwidth, 1e12),
        "bf16_tflops": scaled(a.peak_flops.bf16, 1e12),
        "fp8_tflops": scaled(a.peak_flops.fp8, 1e12),
        "link_one_way_gbps": scaled(a.link.one_way if a.link else None, 1e9),
        "tdp_w": scaled(a.tdp, 1),
        "evidence": "measured" if a.measured else "datasheet",
    }


def fields(a: Accelerator) -> list[tuple[str, str, str, str]]:
    """Every number of an accelerator: field, value with unit, sources, doubt."""
    from simulator.schema.display import quantities

    rows = []
    for path, shown in quantities(a):
        parents = [path.rpartition(".")[0], path]
        sources = [source for parent in parents for source in a.sources.get(parent, ())]
        doubt = "; ".join(a.doubtful[parent] for parent in parents if parent in a.doubtful)
        rows.append((path, shown, "; ".join(sources), doubt))
    return rows


def _list_page(rows: list[dict[str, Any]]) -> str:
    from simulator.report.text import page_width, table

    heads = ["id", "architecture", "GB", "TB/s", "bf16", "fp8", "link", "W", "evidence"]
    shown = [place for place in range(len(heads)) if page_width() >= WIDE or heads[place] != "architecture"]
    cells = [[_cell(row[_COLUMNS[place]]) for place in shown] for row in rows]
    left = [at for at, place in enumerate(shown) if heads[place] in ("id", "architecture", "evidence")]
    return "\n".join(table([heads[place] for place in shown], cells, left=left, indent=0)) + "\n"


WIDE = 95
"""Columns of a terminal from which on the architecture has room. [columns]"""


def _show_table(a: Accelerator, rows: list[tuple[str, str, str, str]]) -> Table:
    from rich.table import Table

    evidence = "measured" if a.measured else "from datasheet"
    table = Table(box=None, pad_edge=False, header_style="bold", title=f"{a.label}  {a.name}, {evidence}")
    table.title_justify = "left"
    table.add_column("field", no_wrap=True)
    table.add_column("value", no_wrap=True)
    table.add_column("further sources", overflow="fold")
    for path, value, sources, doubt in rows:
        table.add_row(path, value, "\n".join(filter(None, (sources, f"doubtful: {doubt}" if doubt else ""))))
    table.add_row("aliases", "", ", ".join(a.aliases))
    table.add_row("source", "", f"{a.source} (retrieved {a.retrieved})")
    if a.notes:
        table.add_row("notes", "", a.notes)
    return table


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:,.4g}" if isinstance(value, float) and value < 1000 else str(value).removesuffix(".0")


def _print(table: Table) -> None:
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=100)
    console.print(table)


def _print_csv(rows: list[dict[str, Any]]) -> None:
    from simulator.report import output

    if rows:
        output.emit(output.csv_text(rows))
