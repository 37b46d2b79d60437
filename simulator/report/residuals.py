"""Tables on what the error depends on, and pictures of predicted against measured step times, by source."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simulator.report.accuracy import error, signed
from simulator.report.tables import Table
from simulator.report.text import number
from simulator.validate import effects as effect_pairs
from simulator.validate import residuals
from simulator.validate.effects import RIVALS, Tracked

if TYPE_CHECKING:
    import numpy as np

    from simulator.validate.cases import Cases

LEAST = 10
"""Rows of a source that gets a picture. [-]"""

SHOWN = 5
"""Quantities that are shown part by part. [-]"""

SHORT = 1e4
"""Values below are written whole. [-]"""

SHORT_NAMES = {"constant_mfu": "MFU"}
"""Heads of clocks in a wide table."""

FOLDER = "plots"
"""Folder of the pictures, beside the page."""


def trends(cases: Cases, predicted: np.ndarray) -> Table:
    """What the error moves with, the strongest first."""
    found = residuals.trends(cases, predicted)
    rows = [
        (each.quantity, f"{each.rows:,}", signed(each.per_doubling), error(each.explained), each.source)
        for each in found
    ]
    heads = ("quantity", "rows", "per doubling", "of the squared error", "most of it in")
    return Table("What the error depends on", heads, rows, left=(0, 4), note=_reading(found))


def _reading(found: Sequence[residuals.Trend]) -> str:
    text = (
        "Complete configurations; trends within sources, where the quantity varies. Per doubling: how much slower (above 0) or "
        "faster the prediction becomes against the measurement. "
    )
    if found:
        first = found[0]
        share = sum(each.explained for each in found)
        text += (
            f"The strongest is {first.quantity}: {signed(first.per_doubling)} with each doubling, {error(first.explained)} of the "
            f"squared error within sources. All of them one by one explain {error(share)}, so what is left is not one effect "
            "of scale that the clock misses, but differences between single configurations and runs."
            if share < 0.5
            else f"The strongest is {first.quantity}: {signed(first.per_doubling)} with each doubling; an effect is missing there."
        )
    return text


def parts(cases: Cases, predicted: np.ndarray) -> Table:
    """Error by part along the quantities with the strongest trends."""
    rows = []
    for trend in residuals.trends(cases, predicted)[:SHOWN]:
        for each in residuals.parts(cases, predicted, trend.quantity):
            values = [f"{v:g}" if v < SHORT else number(v, 3) for v in (each.low, each.high)]
            between = values[0] if each.low == each.high else f"{values[0]} to {values[1]}"
            cells = (f"{each.rows:,}", error(each.median_error), signed(each.bias))
            rows.append((trend.quantity, between, *cells))
    heads = ("quantity", "from to", "rows", "median", "bias")
    return Table("Error along the strongest of them", heads, rows, left=(0, 1))


def effects(found: Sequence[Tracked], missing: Sequence[str] = ()) -> Table:
    """Whether ratios of runs that differ in one thing are known."""
    rows = [
        (
            each.effect,
            f"{each.pairs:,}",
            f"{each.sources:,}",
            error(each.measured),
            error(each.error),
            *(error(each.rivals[name]) for name in RIVALS),
            error(each.direction),
        )
        for each in found
    ]
    others = tuple(SHORT_NAMES.get(name, name) for name in RIVALS)
    heads = ("", "pairs", "sources", "effect", "error", *others, "sign")
    note = (
        "Runs of one source (kernels of one accelerator) that differ in nothing else, neighbours in pairs; time per token and "
        "accelerator. Effect: median size of the logarithm of the measured ratio; error: median distance of the predicted from "
        "the measured logarithm, beside it that of the clocks flops and constant mfu (MFU), which for kernels know FLOP or bytes alone; "
        "sign: share of the pairs that differ by more than 5 % whose direction is right. An error as large as the effect is no knowledge of it."
    )
    if missing:
        note += f" No published pair isolates: {', '.join(missing)}."
    return Table("One effect at a time", heads, rows, note=note)


def shipped_effects(frame: Any, columns: Cases) -> Table:
    """The table of effects from the tables that ship."""
    from simulator import library
    from simulator.validate import kernels

    found = effect_pairs.tracked(frame, columns)
    seen = {each.effect for each in found}
    missing = [each.name for each in effect_pairs.EFFECTS if each.name not in seen]
    return effects([*found, *kernels.tracked(library.find("measurements", "micro"), frame, columns)], missing)


def pictured(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    """Rows by source, of sources that get a picture, most rows first."""
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault(str(row["source"]), []).append(row)
    kept = {name: some for name, some in groups.items() if len(some) >= LEAST}
    return dict(sorted(kept.items(), key=lambda item: -len(item[1])))


def file_name(source: str) -> str:
    """Name of a source's picture.

    Examples
    --------
    >>> file_name("NVIDIA-papers-2021-22")
    'accuracy-nvidia-papers-2021-22.png'
    """
    return f"accuracy-{re.sub('[^a-z0-9]+', '-', source.lower()).strip('-')}.png"


def gallery(rows: Sequence[Mapping[str, Any]], errors: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Pictures of the page, worst median first, with what they show in words."""
    shown = sorted(pictured(rows), key=lambda name: -errors[name]["median_ape"])
    lines = ["## Predicted against measured, worst first", ""]
    lines += [
        f"Sources of {LEAST} rows or more. On the line the prediction is right; dotted: 0.8 and 1.25 times; bars: 80 % interval.",
        "Drawn by `python docs/refresh.py pictures`.",
        "",
    ]
    for name in shown:
        each = errors[name]
        words = f"{name}: {each['n']:,} rows, median error {error(each['median_ape'])}, bias {signed(each['bias'])}"
        lines.append(f"![{words}]({FOLDER}/{file_name(name)})")
    return lines


def draw(rows: Sequence[Mapping[str, Any]], folder: Path) -> list[Path]:
    """Draw predicted against measured for every source with enough rows; pictures of other sources are removed.

    Parameters
    ----------
    rows : sequence of mapping
        ``source gpu predicted_step_time_s measured_step_time_s low high``.
    folder : Path
        Where the pictures go.

    Raises
    ------
    SimulatorError
        If matplotlib is not installed.
    """
    from simulator.report import plots
    from simulator.report.plots import style

    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, some in pictured(rows).items():
        ax = style.axes(None, (4.6, 4.6))
        plots.predicted(some, ax)
        ax.set_title(f"{name}, {len(some):,} rows", fontsize="medium")
        ax.legend(frameon=False, fontsize="x-small", loc="upper left")
        written.append(_save(ax.figure, folder / file_name(name)))
    for old in set(folder.glob("accuracy-*.png")) - set(written):
        old.unlink()
    return written


def _save(figure: Any, path: Path) -> Path:
    """Write a picture and close it."""
    import matplotlib.pyplot as plt

    figure.savefig(path, dpi=90)
    plt.close(figure)
    return path
