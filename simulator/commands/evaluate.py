"""``trainsim evaluate``: every plan of a table."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from simulator.commands.completion import scenarios, settings

if TYPE_CHECKING:
    from simulator.errors import Problem
    from simulator.schema import Scenario

SUCH_AS = "such as: id,tp,pp,micro_batch_size"
"""A line of heads, for hints."""

MOST_ROWS = 10_000
"""A table with more plans is refused; `trainsim sweep` is for grids. [-]"""

SHORT = {
    **{
        name: f"parallelism.{name}"
        for name in "tp pp dp cp ep vp etp zero_stage shard_group sequence_parallel schedule dispatcher expert_overlap".split()
    },
    **{
        name: f"training.{name}"
        for name in "tokens steps seq_length global_batch_size global_batch_tokens micro_batch_size precision optimizer "
        "recompute cuda_graphs fused_experts fp8_attention".split()
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

    found: list[tuple[int, dict[str, str], Scenario]] = []
    problems: list[Problem] = []
    alone = _mistakes(file, changes)
    for row in _table(plans):
        cells = dict(row.cells)
        names = {"id": cells.pop("id")} if "id" in cells else {}
        own = [f"{SHORT.get(head, head)}={cell}" for head, cell in cells.items() if cell]
        try:
            found.append((row.line, names, load_scenario(file, (*changes, *own))))
        except SpecError as error:
            problems += [p if p in alone else row.problem(p, str(plans)) for p in error.problems]
        except SimulatorError as error:
            problems.append(Problem(str(error), file=str(plans), line=row.line, text=row.text))
    if problems:
        raise SpecError(list(dict.fromkeys(problems)))
    return found


def _mistakes(file: str, changes: tuple[str, ...]) -> tuple[Problem, ...]:
    """Mistakes of the scenario itself, which are told once and not at every line."""
    from simulator.errors import SpecError
    from simulator.schema import load_scenario

    try:
        load_scenario(file, changes)
    except SpecError as error:
        return error.problems
    return ()


@dataclass(frozen=True)
class Row:
    """A line of the table."""

    line: int
    text: str
    """As it was written."""
    cells: dict[str, str]
    """By head."""

    def problem(self, found: Problem, file: str) -> Problem:
        """A mistake of the scenario that this line makes, shown at its cell."""
        places = [i for i, head in enumerate(self.cells, 1) if found.path.startswith(SHORT.get(head, head))]
        reason = f"{found.path}: {found.reason}" if found.path else found.reason
        column = _column(self.text, places[0] if places else 1)
        return replace(
            found, reason=reason, path="", file=file, line=self.line, column=column, text=self.text, before=""
        )


def _column(text: str, place: int) -> int:
    """Where the cell of a place, from 1, starts in a line without quotes; the first column where it has some."""
    return 1 if '"' in text else 1 + sum(len(cell) + 1 for cell in text.split(",")[: place - 1])


def _table(path: Path) -> list[Row]:
    """Lines of a CSV with their numbers."""
    import csv
    import io

    from simulator import yamlio
    from simulator.errors import Problem, SpecError

    name = str(path)
    text = yamlio.read_text(path, name)
    lines, reader = text.split("\n"), csv.reader(io.StringIO(text))
    try:
        heads = [head.strip() for head in next(reader, [])]
        _check_heads(heads, lines, name)
        rows = []
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            line = reader.line_num
            if len(cells) != len(heads):
                reason = f"{len(cells)} cells under {len(heads)} heads"
                raise SpecError(Problem(reason, file=name, line=line, text=lines[line - 1]))
            named = {h: c.strip() for h, c in zip(heads, cells, strict=True)}
            rows.append(Row(line, lines[line - 1], named))
    except csv.Error as error:
        raise SpecError(Problem(f"not CSV: {error}", file=name)) from None
    if not rows:
        raise SpecError(Problem("no line with a plan", file=name, hint=SUCH_AS))
    if len(rows) > MOST_ROWS:
        raise SpecError(
            Problem(f"{len(rows):,} plans; at most {MOST_ROWS:,}", file=name, hint="trainsim sweep")
        )
    return rows


def _check_heads(heads: list[str], lines: list[str], file: str) -> None:
    """Refuse heads that name no field, with the nearest that does; another separator is named."""
    from simulator.errors import Problem, SpecError

    if len(set(heads)) != len(heads) or not all(heads):
        reason = "a head is empty or stands twice"
        raise SpecError(Problem(reason, file=file, line=1, text=lines[0], hint=SUCH_AS))
    other = next((mark for mark in (";", "\t", "|") if len(heads) == 1 and mark in heads[0]), "")
    if other:
        shown = "a tab" if other == "\t" else f"`{other}`"
        reason = f"the cells are separated by {shown}, not by a comma"
        column = lines[0].index(other) + 1
        raise SpecError(
            Problem(reason, file=file, line=1, column=column, text=lines[0].replace("\t", " "), hint=SUCH_AS)
        )
    problems = [
        Problem(
            f"{head}: no such field",
            file=file,
            line=1,
            column=_column(lines[0], place),
            text=lines[0],
            hint=_meant(head),
        )
        for place, head in enumerate(heads, 1)
        if not _is_field(head)
    ]
    if problems:
        raise SpecError(problems)


def _is_field(head: str) -> bool:
    """Whether a head may be carried along or set; what a dotted path leads to is checked with its line."""
    from simulator.schema import Scenario

    return head == "id" or head in SHORT or "." in head or "[" in head or head in Scenario.model_fields


def _meant(head: str) -> str:
    """What to write in place of a head."""
    from simulator.errors import nearest
    from simulator.schema.synonyms import FIELDS

    ours = FIELDS.get(head.lower())
    if ours in SHORT:
        return f"`{head}` is called `{ours}` here"
    near = nearest(head, SHORT, count=1)
    return f"did you mean {near[0]}?" if near else f"heads: {', '.join(SHORT)}, or a path such as budget.time"
