"""A table that is written as text or as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from simulator.report.text import table, wrap


@dataclass(frozen=True)
class Table:
    """A title, heads, cells, and a note below."""

    title: str
    heads: Sequence[str]
    rows: Sequence[Sequence[Any]]
    left: tuple[int, ...] = (0,)
    """Columns that are aligned left."""
    note: str = ""
    hidden: int = field(default=0)
    """Rows that were left out."""

    def text(self) -> list[str]:
        """Lines for a terminal."""
        lines = [self.title] if self.title else []
        lines += table(self.heads, self.rows, left=self.left)
        if self.hidden:
            lines.append(f"  and {self.hidden} more")
        return lines + (wrap(self.note, indent=2, hang=2) if self.note else [])

    def markdown(self, level: int = 2) -> list[str]:
        r"""Lines for a document.

        Examples
        --------
        >>> print("\n".join(Table("Sizes", ("name", "n"), [("a|b", 1)]).markdown()))
        ## Sizes
        <BLANKLINE>
        | name | n |
        |:---|---:|
        | a\|b | 1 |
        """
        lines = [f"{'#' * level} {self.title}", ""] if self.title else []
        marks = "|".join(":---" if i in self.left else "---:" for i in range(len(self.heads)))
        lines += [_line(self.heads), f"|{marks}|", *(_line(row) for row in self.rows)]
        if self.hidden:
            lines += ["", f"And {self.hidden} more."]
        return [*lines, "", self.note] if self.note else lines


def _line(cells: Sequence[Any]) -> str:
    return "| " + " | ".join(str(cell).replace("|", "\\|") for cell in cells) + " |"
