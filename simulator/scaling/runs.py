"""Runs as columns: what a user hands to `fit` and `transfer`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from simulator.errors import SimulatorError, nearest
from simulator.units import parse_quantity

from .law import Array

ALIASES = {
    "N": "params",
    "D": "tokens",
    "C": "compute_flop",
    "U_unique": "unique_tokens",
    "U": "unique_tokens",
    "layers": "num_hidden_layers",
    "d_model": "hidden_size",
    "L": "loss",
}
"""Other spellings of the columns."""


DIMENSIONS = {
    "params": "parameter",
    "non_embedding_params": "parameter",
    "tokens": "token",
    "unique_tokens": "token",
    "compute_flop": "FLOP",
    "hidden_size": "count",
    "num_hidden_layers": "count",
}
"""Columns whose cells may carry a suffix, such as ``50M``, with the dimension that reads it."""

PLAUSIBLE = {
    "params": (1e5, 1e14),
    "non_embedding_params": (500.0, 1e14),
    "tokens": (1e6, 1e16),
    "unique_tokens": (1e5, 1e16),
    "compute_flop": (1e12, 1e30),
    "loss": (0.01, 20.0),
}
"""Ends between which the largest value of a column is expected: a table in billions, or of perplexities, lies outside."""


def columns(runs: Any, numbers: Sequence[str] = ()) -> dict[str, Array]:
    """Columns of floats under the names of this package.

    Parameters
    ----------
    runs : DataFrame, mapping of columns, or sequence of mappings
        One run per row. Other columns than `numbers` that hold no numbers are left out; a missing value is not-a-number.
    numbers : sequence of str, optional
        Columns that must hold numbers where they are there.

    Returns
    -------
    dict of arrays
        All of one length.

    Raises
    ------
    SimulatorError
        If a cell of one of `numbers` is no number; if columns differ in length; if there are no runs.

    Examples
    --------
    >>> {k: v.tolist() for k, v in columns([{"N": "1B", "loss": 3.0}, {"N": 2e9, "loss": 2.8}]).items()}
    {'params': [1000000000.0, 2000000000.0], 'loss': [3.0, 2.8]}
    """
    if isinstance(runs, Sequence) and not isinstance(runs, str):
        names = list(dict.fromkeys(name for row in runs for name in row))
        raw: dict[str, Any] = {name: [row.get(name) for row in runs] for name in names}
    elif isinstance(runs, Mapping):
        raw = dict(runs)
    elif hasattr(runs, "columns"):
        raw = {str(name): runs[name].to_numpy() for name in runs.columns}
    else:
        raise SimulatorError("runs must be a DataFrame, a mapping of columns or a list of rows")
    out = {}
    for name, values in raw.items():
        ours = ALIASES.get(name, name)
        column, wrong = _floats(values, DIMENSIONS.get(ours, "count"))
        if wrong and ours in numbers:
            raise SimulatorError(f"column {name}, {wrong}")
        if column is not None:
            out[ours] = column
    sizes = {len(column) for column in out.values()}
    if len(sizes) > 1:
        raise SimulatorError(
            f"columns differ in length: {', '.join(f'{k} {len(v)}' for k, v in out.items())}"
        )
    if not out or 0 in sizes:
        raise SimulatorError("there are no runs")
    return out


def _floats(values: Any, dimension: str) -> tuple[Array | None, str]:
    """A column as floats; without one, why: the first cell that is no number."""
    if isinstance(values, (str, bytes)):
        return None, "is text"
    listed = np.asarray(values, dtype=object).ravel()
    out = np.empty(len(listed))
    for row, value in enumerate(listed):
        try:
            out[row] = _float(value, dimension)
        except (TypeError, ValueError) as error:
            return None, f"row {row + 1}: {error}"
    return out, ""


def _float(value: Any, dimension: str) -> float:
    """A cell: a number, text with a suffix, or nothing."""
    if value is None or (isinstance(value, str) and value.strip().lower() in ("", "nan")):
        return float("nan")
    if isinstance(value, str):
        return parse_quantity(value, dimension, bare=True)
    return float(value)


def left_out(
    table: Mapping[str, Array], names: Sequence[str], *, positive: bool = False
) -> tuple[Array, str]:
    """Which runs are complete, and a sentence on those that are not.

    Parameters
    ----------
    table : mapping of arrays
        The runs.
    names : sequence of str
        Columns that a complete run has a finite number in.
    positive : bool, optional
        Whether the number must be above zero.

    Returns
    -------
    array of bool, str
        True for each complete run; nothing to say if all are.

    Examples
    --------
    >>> left_out({"loss": np.array([3.0, np.nan, 2.9])}, ["loss"])[1]
    '1 of 3 runs is left out: no loss in row 2'
    """
    good = {k: np.isfinite(table[k]) & ((table[k] > 0) | (not positive)) for k in names}
    kept = np.all(list(good.values()), axis=0)
    lost = int(np.sum(~kept))
    if not lost:
        return kept, ""
    parts = [
        f"no {name} in {_rows(np.flatnonzero(~fine))}" for name, fine in good.items() if not np.all(fine)
    ]
    verb = "is" if lost == 1 else "are"
    return kept, f"{lost} of {len(kept)} runs {verb} left out: {'; '.join(parts)}"


def _rows(places: Any, shown: int = 5) -> str:
    """Numbers of rows, counted from 1."""
    text = ", ".join(str(int(place) + 1) for place in places[:shown])
    if len(places) > shown:
        text += f" and {len(places) - shown} more"
    return f"row {text}" if len(places) == 1 else f"rows {text}"


def implausible(table: Mapping[str, Array]) -> list[str]:
    """Columns of another magnitude than training runs have, each as a sentence.

    Examples
    --------
    >>> implausible({"params": np.array([0.05, 7.0]), "tokens": np.array([1e9, 1e11])})
    ['params are 0.05 to 7: in millions or billions? A count is expected, such as 50e6 or 50M']
    """
    found = []
    for name, (low, high) in PLAUSIBLE.items():
        most = float(np.max(table[name])) if name in table and len(table[name]) else low
        if low <= most <= high or not np.isfinite(most):
            continue
        if name == "loss":
            guess = (
                "perplexities? The logarithm is expected" if most > high else "nats per token are expected"
            )
        else:
            guess = "in millions or billions?" if most < low else "too large for a training run?"
            guess = f"{guess} A count is expected, such as 50e6 or 50M"
        found.append(
            f"{name} {'is' if name == 'loss' else 'are'} {np.min(table[name]):g} to {most:g}: {guess}"
        )
    return found


def need(table: Mapping[str, Array], names: Sequence[str], *, what: str) -> dict[str, Array]:
    """Pick columns, with one error that lists every missing one.

    Examples
    --------
    >>> need({"loss": np.ones(2)}, ["loss"], what="this law")["loss"].tolist()
    [1.0, 1.0]
    """
    missing = [name for name in names if name not in table]
    if missing:
        hints = [
            f"{name} (nearest column: {near[0]})" if (near := nearest(name, table)) else name
            for name in missing
        ]
        raise SimulatorError(f"{what} needs the columns {', '.join(hints)}; there are {', '.join(table)}")
    return {name: table[name] for name in names}
