"""A calibration set: the physical constants of an accelerator architecture, a fabric or a software stack."""

from __future__ import annotations

import datetime
from typing import Annotated, Literal

from pydantic import Field

from simulator.schema.base import Identifier, Spec, Text

Number = Annotated[float, Field(ge=0, lt=1e30)]


class Constant(Spec):
    """One physical constant with its uncertainty."""

    value: Number
    """Central value."""
    low: Number | None = None
    """10th percentile."""
    high: Number | None = None
    """90th percentile."""
    status: Literal["fitted", "prior", "cited"] = "fitted"
    """``fitted`` to measurements, ``prior`` where the measurements do not identify it, ``cited`` from a source."""
    source: Text | None = None
    """Where a prior or cited value comes from."""


class Provenance(Spec):
    """How a set came about."""

    command: Text
    """Command that writes the set."""
    data: Text
    """Measurements that were used."""
    rows: int = Field(ge=0, default=0)
    """Rows that bear on this set."""
    groups: tuple[Text, ...] = ()
    """Organisations that measured them."""
    date: Annotated[datetime.date, Field(strict=False)] | None = None
    """Newest date of the data or of the run."""


class Calibration(Spec):
    """A named set of constants. One set of each kind makes the constants of a run."""

    id: Identifier | None = None
    """Name of the file."""
    kind: Literal["accelerator", "fabric", "software", "clocks"]
    """What the constants belong to."""
    applies_to: tuple[Text, ...]
    """Architectures or accelerator ids, fabrics, or software names."""
    constants: dict[Text, Constant]
    """Constant by name."""
    provenance: Provenance
    """Where the set comes from."""
    notes: Text | None = None
    """Anything a reader should know."""
