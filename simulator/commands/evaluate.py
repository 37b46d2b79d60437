"""``trainsim evaluate``: every plan of a table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from simulator.commands.completion import scenarios, settings

if TYPE_CHECKING:
    from simulator.schema import Scenario

MOST_ROWS = 10_000
"""A table with more plans is refused; `trainsim sweep` is for grids. [-]"""

SHORT = {
    **{
        name: f"parallelism.{name}"
        for name in "tp pp dp cp ep vp etp zero_stage shard_group sequence_parallel schedule".split()
    },
    **{
        name: f"training.{name}"
        for name in "tokens steps seq_length global_batch_size global_batch_tokens micro_batch_size precision optimizer "
        "recompute".split()
    },
    "accelerator": "hardware.accelerator",
    "n_gpus": "hardware.n_gpus",
}
"""Heads that need no path."""


@click.command("evaluate")
@click.argument("file", shell_complete=scenarios)
@click.option("--plans", required=True, type=click.Path(path_type=Path), help="CSV with one plan per line.")
@click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="PATH=VALUE",
    shell_complete=settings,
    help="Change a field of the scenario.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of CSV.")
@click.option("--out", type=click.Path(path_type=Path), help="Write to this file, whole or not at all.")
def command(file: str, plans: Path, changes: tuple[str, ...], as_json: bool, out: Path | None) -> None:
    """Answer the scenario FILE once for each line of a CSV of plans; the answers are CSV again.

    A head is the path of a field (training.micro_batch_size) or its short name (tp, micro_batch_size, n_gpus); an empty cell
    leaves the field as the scenario has it; a column ``id`` is carried along. All mistakes of the table are reported before
    anything is answered. Exits with 1 if no plan runs.
    """
    from simulator.report import output
    from simulator.simulate import run

    rows = []
    for line, names, scenario in _scenarios(file, plans, changes):
        result = run(scenario)
        row: dict[str, Any] = {"line": line, **names, "feasible": result.feasible}
        if result.feasible:
            row |= {
                k: v
                for k, v in result.to_dict()["answer"].items()
                if k not in ("evidence", "mfu_by_convention")
            }
        else:
            row["why"] = str(result.infeasible.get("text", ""))
        rows.append(row)
    output.emit(output.json_text({"rows": rows}) if as_json else output.csv_text(rows), out)
    if not any(row["feasible"] for row in rows):
        raise click.exceptions.Exit(1)


def _scenarios(
    file: str, plans: Path, changes: tuple[str, ...]
) -> list[tuple[int, dict[str, str], Scenario]]:
    """Line of the table, its ``id``, and the scenario it makes; every mistake at once."""
    from simulator.errors import Problem, SimulatorError, SpecError
    from simulator.schema import load_scenario

    found, problems = [], []
    for line, cells in _table(plans):
        names = {"id": cells.pop("id")} if "id" in cells else {}
        own = [f"{SHORT.get(head, head)}={cell}" for head, cell in cells.items() if cell]
        try:
            found.append((line, names, load_scenario(file, (*changes, *own))))
        except SpecError as error:
            problems += [Problem(f"{p.path}: {p.reason}" if p.path else p.reason, file=str(plans), line=line, hint=p.hint)
                         for p in error.problems]  # fmt: skip
        except SimulatorError as error:
            problems.append(Problem(str(error), file=str(plans), line=line))
    if problems:
        raise SpecError(problems)
    return found


def _table(path: Path) -> list[tuple[int, dict[str, str]]]:
    """Lines of a CSV with their numbers."""
    import csv
    import io

    from simulator import yamlio
    from simulator.errors import Problem, SpecError

    name = str(path)
    reader = csv.reader(io.StringIO(yamlio.read_text(path, name)))
    try:
        heads = [head.strip() for head in next(reader, [])]
        rows = []
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != len(heads):
                reason = f"{len(cells)} cells under {len(heads)} heads"
                raise SpecError(Problem(reason, file=name, line=reader.line_num))
            rows.append((reader.line_num, {h: c.strip() for h, c in zip(heads, cells, strict=True)}))
    except csv.Error as error:
        raise SpecError(Problem(f"not CSV: {error}", file=name)) from None
    if not rows or len(set(heads)) != len(heads) or not all(heads):
        reason = "no line with a plan" if not rows else "a head is empty or stands twice"
        raise SpecError(Problem(reason, file=name, hint="such as: id,tp,pp,micro_batch_size"))
    if len(rows) > MOST_ROWS:
        raise SpecError(
            Problem(f"{len(rows):,} plans; at most {MOST_ROWS:,}", file=name, hint="trainsim sweep")
        )
    return rows
