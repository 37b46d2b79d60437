"""Calibration sets as YAML: from a fit to files that the rest of the program reads."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from simulator.calibrate.belief import has_mean
from simulator.calibrate.fit import Fit
from simulator.calibrate.priors import CONSTANTS_OF, SETS, Key, prior_of, prior_values
from simulator.errors import SpecError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from simulator.schema.calibration import Calibration


MEASURED_CENTRE = "small measurements"
"""What a fit is centred on beside its priors, in words."""

SAME = 1e-3
"""Relative difference from which on a value is no longer that of its prior. [-]"""


def planned_sets() -> dict[str, Calibration]:
    """Every set with its priors, before any row is read: what `cases.read` needs to name the constants of a row."""
    from simulator.schema.calibration import Calibration

    nothing = Fit(prior_values(), {}, {}, {})
    made = {name: set_document(name, nothing, command="-", data="-", date=None) for name in SETS}
    return {name: Calibration.model_validate(document) for name, document in made.items()}


def significant(value: float, digits: int = 4) -> float:
    """Round to significant digits, so that written sets are stable."""
    return float(f"{value:.{digits}g}")


def bounds(key: Key, value: float, spread: float | None = None) -> tuple[float, float]:
    """80 % range of a constant, within the bounds of its prior: a share is never above 1.

    Examples
    --------
    >>> low, high = bounds(("hopper", "tile_efficiency_32"), 0.75)
    >>> print(round(low, 3), high)
    0.511 1.0
    """
    prior = prior_of(key)
    width = float(np.exp(1.2816 * (prior.spread if spread is None else spread)))
    return max(value / width, min(prior.low, value)), min(value * width, max(prior.high, value))


def set_document(
    name: str,
    result: Fit,
    *,
    command: str,
    data: str,
    date: str | None,
    applies_to: Sequence[str] = (),
    centre: str = MEASURED_CENTRE,
    kept: Calibration | None = None,
) -> dict[str, Any]:
    """One calibration set as plain data, ready to be written as YAML.

    Parameters
    ----------
    name : str
        Its id: one of `SETS`, or that of an accelerator's own set, of which `applies_to` says what it belongs to.
    result : Fit
        The constants.
    command, data, date : str
        How the set came about.
    applies_to : sequence of str, optional
        Of a set that is none of `SETS`.
    centre : str, optional
        What the fit was centred on, in words.
    kept : Calibration, optional
        The set that the fit started from: what the rows do not identify stays as it has it, with its range and its source.
    """
    kind, applies = SETS.get(name, ("accelerator", tuple(applies_to)))
    written = {}
    for constant in CONSTANTS_OF[kind]:
        key = (name, constant)
        value, spread, known = result.values[key], result.spread.get(key), result.identified.get(key, False)
        if not known and kept is not None and constant in kept.constants:
            written[constant] = kept.constants[constant].model_dump(mode="json", exclude_none=True)
            continue
        prior = prior_of(key)
        low, high = bounds(key, value, spread)
        entry: dict[str, Any] = {
            "value": significant(value),
            "low": significant(low, 3),
            "high": significant(high, 3),
            "status": "fitted" if known else "prior",
        }
        if not known:
            moved = abs(value / prior.value - 1.0) > SAME and (has_mean(key) or key in result.centred)
            middle = centre if key in result.centred else "mean of the sets that rows describe"
            entry["source"] = f"{middle}; {prior.source}" if moved else prior.source
        written[constant] = entry
    provenance: dict[str, Any] = {"command": command, "data": data, "rows": result.rows.get(name, 0)}
    provenance["groups"] = list(result.groups.get(name, ()))
    if date:
        provenance["date"] = date
    return {
        "id": name,
        "kind": kind,
        "applies_to": list(applies),
        "constants": written,
        "provenance": provenance,
    }


def write_sets(
    result: Fit,
    folder: Path,
    *,
    command: str,
    data: str,
    date: str | None = None,
    names: Sequence[str] | None = None,
    own: Mapping[str, Sequence[str]] | None = None,
    centre: str = MEASURED_CENTRE,
    kept: Mapping[str, Calibration] | None = None,
) -> list[Path]:
    """Write sets as YAML into a folder, all of them unless some are named; all files are replaced whole, or none is.

    `own` holds what the sets of accelerators that are none of `SETS` apply to; `centre` is what the fit was centred on, in words,
    and `kept` the sets that it started from.
    """
    head = "# yaml-language-server: $schema=../../schemas/calibration.json\n"
    documents = {}
    for name in SETS if names is None else names:
        documents[folder / f"{name}.yaml"] = set_document(
            name,
            result,
            command=command,
            data=data,
            date=date,
            applies_to=(own or {}).get(name, ()),
            centre=centre,
            kept=(kept or {}).get(name),
        )
    return _write_all({path: _text(document, head) for path, document in documents.items()})


def write_yaml(path: Path, document: dict[str, Any], head: str = "") -> Path:
    """Write plain data as a YAML file, whole or not at all."""
    return _write_all({path: _text(document, head)})[0]


def _text(document: dict[str, Any], head: str) -> str:
    import yaml

    text = head + "# Written by the command below; edit the data or the priors, not this file.\n"
    return text + yaml.safe_dump(
        document, sort_keys=False, default_flow_style=None, width=110, allow_unicode=True
    )


def _write_all(texts: Mapping[Path, str]) -> list[Path]:
    """Write files beside their places, and move them there once all are on the disk.

    Raises
    ------
    SpecError
        If one cannot be written; then none is.
    """
    parts: dict[Path, Path] = {}
    try:
        for path, text in texts.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.is_dir():
                raise SpecError(f"{path}: a folder is in the place of the file")
            parts[path] = path.with_suffix(".tmp")
            parts[path].write_text(text, encoding="utf-8")
        for path, part in parts.items():
            part.replace(path)
    except OSError as error:
        raise SpecError(
            f"{error.filename or path.parent}: cannot be made ({error.strerror or error})"
        ) from None
    finally:
        for part in parts.values():
            part.unlink(missing_ok=True)
    return list(texts)
