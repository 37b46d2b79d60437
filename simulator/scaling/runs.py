"""Runs as columns: what a user hands to `fit` and `transfer`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from simulator.errors import SimulatorError, nearest

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


def columns(runs: Any) -> dict[str, Array]:
    """Columns of floats under the names of this package.

    Parameters
    ----------
    runs : DataFrame, mapping of columns, or sequence of mappings
        One run per row. Columns that hold no numbers are left out; a missing value is not-a-number.

    Returns
    -------
    dict of arrays
        All of one length.

    Examples
    --------
    >>> {k: v.tolist() for k, v in columns([{"N": 1e9, "loss": 3.0}, {"N": 2e9, "loss": 2.8}]).items()}
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
        column = _floats(values)
        if column is not None:
            out[ALIASES.get(name, name)] = column
    sizes = {len(column) for column in out.values()}
    if len(sizes) > 1:
        raise SimulatorError(
            f"columns differ in length: {', '.join(f'{k} {len(v)}' for k, v in out.items())}"
        )
    if not out or 0 in sizes:
        raise SimulatorError("there are no runs")
    return out


def _floats(values: Any) -> Array | None:
    if isinstance(values, (str, bytes)):
        return None
    listed = [
        np.nan if value is None or value == "" else value
        for value in np.asarray(values, dtype=object).ravel()
    ]
    try:
        return np.array(listed, dtype=float)
    except (TypeError, ValueError):
        return None


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
