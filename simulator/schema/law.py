"""A law of one's own: the equation of a registered law with other constants."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

from pydantic import Discriminator, Field, Tag, ValidationInfo, model_validator

from simulator import library
from simulator.errors import UnknownNameError
from simulator.schema.base import (
    Count,
    Flag,
    Fraction,
    Identifier,
    Named,
    Quantity,
    Spec,
    Text,
    fail,
    fail_all,
    folder_of,
)

Flop = Annotated[float, Field(gt=0, lt=1e40), Quantity("FLOP")]
Number = Annotated[float, Quantity("count")]
Spread = Annotated[
    Annotated[tuple[Number, Number], Tag("ends")] | Annotated[Count, Tag("error")],
    Discriminator(lambda value: "ends" if isinstance(value, (list, tuple)) else "error"),
]
"""The two ends of a 95 % interval, or a standard error."""


class OwnLaw(Spec):
    """An equation of a registered law, with constants of one's own: a file of ``laws/``, or inline in a scenario."""

    id: Identifier | None = None
    """Name of the file."""
    law: Text
    """Registered law, or form, whose equation is taken."""
    constants: Annotated[dict[Text, Number], Field(min_length=1)]
    """Value of every constant of the equation."""
    range: dict[Text, tuple[Count, Count]] = Field(default_factory=dict)
    """Lowest and highest value of each input in the runs behind it."""
    uncertainty: dict[Text, Spread] = Field(default_factory=dict)
    """Of a constant: the two ends of its 95 % interval, or a standard error; that of the law named, in proportion, if absent."""
    error: tuple[tuple[Flop, Fraction], ...] = ()
    """Compute, and half the 80 % interval of the loss there as a share of it, by rising compute; 4 % if absent."""
    corpus: Text = "not stated"
    """What the loss was measured on."""
    tokenizer: Text = "not stated"
    """Whose tokens are counted."""
    discount_params: Flag | None = None
    """Whether repeated data discount parameters in excess as well as tokens; as the law named if absent."""
    source: Text | None = None
    """Where the constants come from."""
    notes: Text | None = None
    """Anything a reader should know."""

    @model_validator(mode="after")
    def _ends_in_order(self) -> OwnLaw:
        pairs = {("range", key): ends for key, ends in self.range.items()}
        pairs |= {("uncertainty", k): v for k, v in self.uncertainty.items() if isinstance(v, tuple)}
        found: list[tuple[tuple[str | int, ...], str, str]] = [
            ((*at, 0), f"{low:g} is above {high:g}", "write the lower end first")
            for at, (low, high) in pairs.items()
            if low > high
        ]
        if any(high[0] <= low[0] for low, high in pairwise(self.error)):
            found.append((("error", 0), "the compute does not rise", "write the smallest first"))
        if found:
            raise fail_all(found)
        return self

    @property
    def label(self) -> str:
        """What the law is called."""
        return self.id or f"{self.law} with own constants"


def own_law(name: str, folder: Path | None = None) -> OwnLaw | None:
    """A law of one's own by id or path, with its file named as its source; None where there is no such file.

    Raises
    ------
    SpecError
        If the file is wrong, or the name is a path and there is no such file.
    """
    from simulator.schema import load

    try:
        path = library.find("laws", name, folder)
    except UnknownNameError:
        return None
    law: OwnLaw = load.load_spec("laws", str(path))
    return law.model_copy(update={"source": _stated(library.shown(path), law.source)})


def _stated(file: str, source: str | None) -> str:
    return f"{file} ({source})" if source else file


class OwnFile(Named):
    """Marks a law that may be named: a file of one's own is read, any other name is left to the registry of laws."""

    def resolve(self, value: Any, info: ValidationInfo) -> Any:
        """A name to the law of its file; a mapping may start from one with ``extends``."""
        name = value.get("extends") if isinstance(value, dict) else value
        if not isinstance(name, str):
            return value
        own = self._guard(lambda: own_law(name, folder_of(info)))
        if isinstance(value, str):
            return own or value
        if own is None:
            hint = f"write law: {name[:80]}, with all of its constants"
            raise fail(f"no file of laws/ is named {name[:80]!r}", hint, at=("extends",))
        return super().resolve(value, info) | {"source": value.get("source", f"{own.source}, changed")}


def _kind(value: Any) -> str:
    return "own" if isinstance(value, (dict, OwnLaw)) else "name"


LossLaw = Annotated[
    Annotated[Text, Tag("name")] | Annotated[OwnLaw, Tag("own")], Discriminator(_kind), OwnFile("laws")
]
"""A law by name, or one's own."""
