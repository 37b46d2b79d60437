"""How well the constants of a prediction are known: by whose runs, on which parts, with which software.

A part counts as measured if published runs on it are among the calibration data, its architecture has a handful of them, some
were made with the software of the plan, and a handful in a format as wide as the plan's: that a TPU was measured with one
framework says little of another, and rates in 16 bits say little of those in 32. Sets of a user's own, found before those that
ship, are runs of that user.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simulator import library, yamlio

if TYPE_CHECKING:
    from simulator.schema import Accelerator
    from simulator.schema.calibration import Calibration

GENERIC = "generic"
"""Set of an accelerator whose architecture nobody has calibrated."""

FEWEST_ROWS = 5
"""Rows of an architecture below which it counts as unmeasured: a choice, one row says more of its own run than of the part. [-]"""

FEWEST_OWN = 3
"""Rows of one's own from which on a prediction is one of a known organisation. [-]"""

RATE = "tile_efficiency_"
"""Beginning of the name of a constant that tells the rate of matmuls; their width follows."""

MEANING = {
    "measured": "measured on this accelerator",
    "transferred": "transferred from accelerators of the same architecture",
    "datasheet": "from datasheet: no measurement of this architecture",
}
"""Grades of evidence, best first, in words."""


@dataclass(frozen=True)
class Own:
    """A set that a user's own runs wrote."""

    set: str
    """Its id."""
    file: str
    """Where it lies."""
    data: str
    """Table that it was fitted to."""
    rows: int
    """Rows of the table that bear on it. [-]"""
    groups: tuple[str, ...]
    """Organisations that measured them."""


@dataclass(frozen=True)
class Evidence:
    """How well the constants of a prediction are known."""

    grade: str
    """``measured`` (this accelerator), ``transferred`` (its architecture), ``datasheet`` (neither)."""
    sets: tuple[str, ...]
    """Ids of the calibration sets: accelerator, fabric, software."""
    why: str = ""
    """What the grade is for, where `MEANING` does not say it."""
    own: tuple[Own, ...] = ()
    """Those of the sets that are a user's own."""

    @property
    def sentence(self) -> str:
        """One line for people."""
        text = f"{self.why or MEANING[self.grade]} ({', '.join(self.sets)})"
        return f"{text}; {own_words(self.own)}" if self.own else text


def own_words(own: Iterable[Own]) -> str:
    """Own sets by the table that they were fitted to.

    Examples
    --------
    >>> own_words([Own("ampere", "a.yaml", "runs.csv", 3, ("us",)), Own("fsdp", "b.yaml", "runs.csv", 3, ("us",))])
    'ampere, fsdp are your own sets, fitted to runs.csv (3 rows of us)'
    """
    by_table: dict[str, list[Own]] = {}
    for each in own:
        by_table.setdefault(each.data, []).append(each)
    said = []
    for table, found in by_table.items():
        names = ", ".join(each.set for each in found)
        rows = max(each.rows for each in found)
        named = [name for each in found for name in each.groups if not name.startswith("(")]
        groups = ", ".join(dict.fromkeys(named))
        what = "is your own set" if len(found) == 1 else "are your own sets"
        counted = f"{rows:,} row{'' if rows == 1 else 's'}" + (f" of {groups}" if groups else "")
        said.append(f"{names} {what}, fitted to {table} ({counted})")
    return "; ".join(said)


def grade_of(accelerator: Accelerator, chip: str, applies_to: Iterable[str] = ()) -> str:
    """Grade of an accelerator by its set, whatever the software.

    Parameters
    ----------
    accelerator : Accelerator
        The part.
    chip : str
        Id of its set.
    applies_to : iterable of str, optional
        What the set applies to, if it is a user's own: one that names the part was fitted to runs on it.
    """
    if accelerator.id and accelerator.id in applies_to:
        return "measured"
    if chip == GENERIC:
        return "datasheet"
    return "measured" if accelerator.measured else "transferred"


def evidence_of(
    accelerator: Accelerator, sets: tuple[str, str, str], bits: str, known: dict[str, Calibration]
) -> Evidence:
    """Evidence behind the constants of an accelerator with a software stack, in a format of some width.

    Parameters
    ----------
    accelerator : Accelerator
        The part.
    sets : (str, str, str)
        Ids of the sets of the accelerator, of the fabric and of the software.
    bits : str
        Width class of the matmuls' format: ``32``, ``16``, ``8`` or ``4``.
    known : dict
        Every set by id.
    """
    chip, _, stack = sets
    own = own_of(sets, known)
    mine = {each.set for each in own}
    rows, why = known[chip].provenance.rows, ""
    enough = chip in mine and rows >= FEWEST_OWN
    grade = grade_of(accelerator, chip, known[chip].applies_to if enough else ())
    counted = "one row" if rows == 1 else f"{rows} rows"
    if chip not in mine and chip != GENERIC and rows < FEWEST_ROWS:
        grade = "datasheet"
        why = f"from datasheet: {counted} of this architecture, fewer than {FEWEST_ROWS}"
    elif chip in mine and rows < FEWEST_OWN and not _is_shipped(accelerator, known):
        grade = "datasheet"
        why = f"from datasheet: {counted} of your own, fewer than {FEWEST_OWN}"
    elif grade != "datasheet" and (lacking := _lacking(chip, stack, bits, known, mine)):
        grade = "transferred"
        why = f"transferred: {chip} was measured, {' and '.join(lacking)}"
    return Evidence(grade, sets, why, own)


def _lacking(chip: str, stack: str, bits: str, known: dict[str, Calibration], mine: set[str]) -> list[str]:
    """What of a plan the runs behind an accelerator's set lack, in words: its software, its format."""
    found = []
    if not ({chip, stack} <= mine or (chip, stack) in measured_pairs()):
        found.append(f"never with {stack}")
    rows = measured_formats().get((chip, bits), 0)
    if _format_is_known(known[chip], bits, rows, own=chip in mine):
        return found
    if not rows:
        return [*found, f"never in {bits} bits"]
    if rows < FEWEST_ROWS:
        return [*found, f"in {bits} bits by {'one row' if rows == 1 else f'{rows} rows'} only"]
    return [*found, f"by {rows} rows in {bits} bits that do not tell the rate of its matmuls"]


def _format_is_known(chip: Calibration, bits: str, rows: int, *, own: bool) -> bool:
    """Whether the rate of matmuls of a width was measured: by a handful of shipped rows that tell it, or by runs of one's own.

    A set of one's own does not say in which formats its runs were: a rate that they tell was measured, and where they tell none
    of any width, every width is taken to be theirs.
    """
    told = {name for name, one in chip.constants.items() if name.startswith(RATE) and one.status != "prior"}
    if own:
        return rows >= FEWEST_ROWS or RATE + bits in told or not told
    return rows >= FEWEST_ROWS and RATE + bits in told


def _is_shipped(accelerator: Accelerator, known: dict[str, Calibration]) -> bool:
    """Whether a set that ships, or the user's own in its place, was fitted to other runs on the architecture."""
    names = {accelerator.id, (accelerator.architecture or "").lower()}
    fitted = {chip for chip, _ in measured_pairs()} | (known.keys() - own_files().keys())
    return any(
        name in fitted and one.kind == "accelerator" and not names.isdisjoint(one.applies_to)
        for name, one in known.items()
    )


def own_of(sets: Iterable[str], known: dict[str, Calibration]) -> tuple[Own, ...]:
    """Those of some sets that are a user's own."""
    files = own_files()
    return tuple(
        Own(name, str(files[name]), about.data, about.rows, tuple(about.groups))
        for name in sets
        if name in files and name in known
        for about in (known[name].provenance,)
    )


def own_files() -> dict[str, Path]:
    """Files of a user's own sets by id: those that the library finds before the ones that ship."""
    return _own_files(tuple(library.folders("calibrations")))


@functools.lru_cache(maxsize=1)
def _own_files(folders: tuple[Path, ...]) -> dict[str, Path]:
    shipped = (library.packaged_root() / "hardware_specs" / "calibrations").resolve()
    found: dict[str, Path] = {}
    for folder in folders:
        if folder.resolve() == shipped:
            break
        for path in sorted(folder.glob("*.yaml")):
            found.setdefault(path.stem, path)
    return found


@functools.lru_cache(maxsize=1)
def intervals() -> dict[str, Any]:
    """The shipped percentiles of measured over predicted step times, as they stand in their file."""
    path = library.packaged_root() / "hardware_specs" / "intervals" / "step_time.yaml"
    return dict(yamlio.loads(yamlio.read_text(path), path.name).data)


@functools.lru_cache(maxsize=1)
def measured_pairs() -> frozenset[tuple[str, str]]:
    """Sets of accelerator and software that rows of the shipped table have together, by the regimes of their errors."""
    found = set()
    for name in intervals()["regimes"]:
        pairs = dict(pair.split("=", 1) for pair in name.split() if "=" in pair)
        if "architecture" in pairs and "software" in pairs:
            found.add((pairs["architecture"], pairs["software"]))
    return frozenset(found)


@functools.lru_cache(maxsize=1)
def measured_formats() -> dict[tuple[str, str], int]:
    """Rows of the shipped table by the accelerator's set and the width of the format, by the regimes of their errors. [-]

    Each row stands once in the regimes of its architecture whose organisation was left out.
    """
    found: dict[tuple[str, str], int] = {}
    for name, row in intervals()["regimes"].items():
        pairs = dict(pair.split("=", 1) for pair in name.split() if "=" in pair)
        if {"architecture", "software"} <= pairs.keys() and pairs["seen"] == "false":
            for key in (key for key in row if key.startswith("rows_")):
                place = (pairs["architecture"], key.removeprefix("rows_"))
                found[place] = found.get(place, 0) + int(row[key])
    return found


def is_measured_in(chip: str, bits: str) -> bool:
    """Whether the shipped table has a handful of rows of an accelerator's set in a format of this width."""
    return measured_formats().get((chip, bits), 0) >= FEWEST_ROWS
