"""What `trainsim calibrate` shows: the error before and after, constants that moved, rows it cannot explain, sets."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from simulator.report import accuracy
from simulator.report.tables import Table
from simulator.report.text import number, percent, quantity

if TYPE_CHECKING:
    from simulator.calibrate.outcome import Far, Outcome

SHOWN = 20
"""Lines of a table; the JSON document has all of them. [-]"""


def document(found: Outcome) -> dict[str, Any]:
    """The outcome as plain data."""
    return {
        "rows": len(found.ids),
        "skipped": found.skipped,
        "before": found.before,
        "after": found.after,
        "sets": [
            {"set": name, **_provenance(found, name), "file": str(path)}
            for name, path in zip(found.sets, found.files, strict=True)
        ],
        "constants": [asdict(each) for each in found.moved()],
        "far": [{**asdict(each), "ratio": each.predicted_s / each.measured_s} for each in found.far()],
    }


def page(found: Outcome) -> str:
    """Text of a finished calibration."""
    tables = [_errors(found), _moved(found), _sets(found)]
    if found.far():
        tables.append(_far(found.far()))
    return "\n\n".join("\n".join(table.text()) for table in tables) + "\n"


def _provenance(found: Outcome, name: str) -> dict[str, Any]:
    return {"rows": found.fit.rows.get(name, 0), "groups": list(found.fit.groups.get(name, ()))}


def _errors(found: Outcome) -> Table:
    rows = [
        accuracy.error_row(name, figures)[:-1]
        for name, figures in (("before", found.before), ("after", found.after))
    ]
    note = (
        "Errors of the step times that the fit has seen: what it does to others is told by trainsim validate on runs that were "
        "left out. Bias: above 0 the prediction is too slow."
    )
    return Table("Error on the rows of the table", accuracy.HEADS[:-1], rows, note=note)


def _moved(found: Outcome) -> Table:
    moved = found.moved()
    rows = [
        (
            each.name,
            each.set,
            number(each.before),
            number(each.after),
            f"{'+' if each.after > each.before else '-'}{percent(abs(each.after / each.before - 1.0))}",
        )
        for each in moved[:SHOWN]
    ]
    note = "What the rows do not identify is as it was."
    heads = ("constant", "set", "before", "after", "")
    left = (0, 1)
    return Table("Constants that moved", heads, rows, left=left, note=note, hidden=len(moved) - len(rows))


def _sets(found: Outcome) -> Table:
    rows = [
        (name, f"{about['rows']:,}", ", ".join(about["groups"]) or "-", str(path))
        for name, path in zip(found.sets, found.files, strict=True)
        for about in (_provenance(found, name),)
    ]
    return Table("Sets", ("set", "rows", "of", "written to"), rows, left=(0, 2, 3))


def _far(rows: list[Far]) -> Table:
    cells = [
        (
            each.id,
            quantity(each.measured_s, "second", top="s"),
            quantity(each.predicted_s, "second", top="s"),
            number(each.predicted_s / each.measured_s),
        )
        for each in rows[:SHOWN]
    ]
    note = (
        "More than 30 % off after the fit: look at their units and settings before the sets are used. trainsim validate "
        "--contradictions finds figures that disagree."
    )
    title = f"Rows that the fit does not explain: {len(rows):,}"
    heads = ("id", "measured", "predicted", "ratio")
    return Table(title, heads, cells, note=note, hidden=len(rows) - len(cells))
