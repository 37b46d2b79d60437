"""Published training runs: rank them by a law fitted elsewhere, and predict the large ones from the small ones.

`validate_losses` reads a table in the format of ``measurements/loss_runs.csv``. Two numbers matter per data set. *spearman*: how well a
shipped law that was not fitted on that set ranks its runs, nothing being fitted. *mae_transfer*: the law is moved to the set with the
runs at or below a tenth of its largest compute (`simulator.scaling.transfer`); the error is on the runs above.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from simulator import scaling
from simulator.errors import SimulatorError, SpecError

if TYPE_CHECKING:
    import pandas as pd

SHARE = 0.1
"""Runs above this share of the largest compute are predicted; the rest move the law."""

VOCABULARY = 50_304
"""Vocabulary assumed where a row has a shape but no number of parameters; input and output embedding apart."""

FITTED_ON: dict[str, tuple[str, ...]] = {
    "chinchilla": ("Besiroglu2024", "Hoffmann2022", "Hoffmann2022Rounded", "Sardana2024"),
    "massivetext": ("Besiroglu2024", "Hoffmann2022", "Hoffmann2022Rounded", "Sardana2024"),
    "datablations": ("Muennighoff2023",),
    "gadre": ("Gadre2024C4", "Gadre2024RedPajama", "Gadre2024RefinedWeb"),
    "mlfoundations/scaling": ("Gadre2024C4", "Gadre2024RedPajama", "Gadre2024RefinedWeb"),
    "gemstone": (
        "Gemstones2025",
        "Gemstones2025Hot",
        "Gemstones2025HotOver100B",
        "Gemstones2025ParamsTokens",
    ),
    "morph": ("Bian2025a",),
    "bian": ("Bian2025a", "Bian2025b"),
}
"""Words in a data set's name or source, and the laws that were fitted on it."""

RANKING = ("Besiroglu2024", "Muennighoff2023")
"""Laws that rank runs and from which the move starts, the first that was fitted elsewhere."""

SHAPE_LAWS = ("Gemstones2025", "Bian2025a")
"""The same for laws of shape, where every run has a width and a depth."""

NEEDED = ("dataset", "loss")


def validate_losses(path: str | Path, *, rows: bool = False) -> dict[str, Any]:
    """Check the laws of loss against published runs.

    Parameters
    ----------
    path : str or Path
        CSV in the format of ``measurements/loss_runs.csv``.
    rows : bool, optional
        Whether to add every predicted run.

    Returns
    -------
    dict
        ``by_dataset``, each with ``n``, ``n_skipped``, ``law``, ``spearman``, ``mae_transfer`` [nats, or the unit of the set],
        ``n_fitted``, ``n_predicted``, ``coverage_80`` (share of predicted runs inside the 80 % interval); and over all sets ``n``,
        ``n_skipped``, ``median_spearman``, ``median_mae_transfer``. A number that a set does not allow is None.
    """
    import pandas as pd

    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise SpecError(f"{path}: cannot be read as CSV ({error})") from None
    missing = [name for name in NEEDED if name not in table.columns]
    if missing:
        raise SpecError(
            f"{path}: no column {', '.join(missing)}; there are {', '.join(map(str, table.columns))}"
        )
    by_dataset = {
        str(name): _one(str(name), group, rows=rows) for name, group in table.groupby("dataset", sort=True)
    }
    return {
        "n": sum(entry["n"] for entry in by_dataset.values()),
        "n_skipped": sum(entry["n_skipped"] for entry in by_dataset.values()),
        "median_spearman": _median(entry["spearman"] for entry in by_dataset.values()),
        "median_mae_transfer": _median(entry["mae_transfer"] for entry in by_dataset.values()),
        "by_dataset": by_dataset,
    }


def fitted_elsewhere(text: str, names: Iterable[str]) -> str:
    """The first law of `names` that was not fitted on a set described by `text`.

    Examples
    --------
    >>> fitted_elsewhere("chinchilla_extracted, epoch-research", RANKING)
    'Muennighoff2023'
    """
    used = {law for word, laws in FITTED_ON.items() if word in text.lower() for law in laws}
    return next((name for name in names if name not in used), "")


def _one(name: str, group: pd.DataFrame, *, rows: bool) -> dict[str, Any]:
    runs, labels = _runs(group)
    text = " ".join(
        [name, *(str(v) for c in ("source", "metric") if c in group for v in group[c].unique()[:3])]
    )
    base, shape_law = fitted_elsewhere(text, RANKING), fitted_elsewhere(text, SHAPE_LAWS)
    count = len(runs.get("loss", ()))
    entry: dict[str, Any] = {"n": count, "n_skipped": len(group) - count, "law": base, "spearman": None}
    entry |= {"mae_transfer": None, "n_fitted": 0, "n_predicted": 0, "coverage_80": None}
    if count < 2:
        return entry
    shaped = "hidden_size" in runs and bool(shape_law)
    entry["law"], ranked = _ranking(runs, base, shape_law if shaped else "")
    entry["spearman"] = _rank_correlation(ranked, runs["loss"])
    compute = runs["params"] * runs["tokens"]
    large = compute > SHARE * np.max(compute)
    entry |= {"n_fitted": int(np.sum(~large)), "n_predicted": int(np.sum(large))}
    if not entry["n_fitted"]:
        return entry
    try:
        move = scaling.transfer(
            base, {k: v[~large] for k, v in runs.items()}, shape_law=shape_law if shaped else None
        )
    except SimulatorError:
        return entry
    ahead = {k: v[large] for k, v in runs.items() if k != "loss"}
    predicted, (low, high) = move.loss(**ahead), move.interval(0.8, **ahead)
    measured = runs["loss"][large]
    entry["mae_transfer"] = float(np.mean(np.abs(predicted - measured)))
    entry["coverage_80"] = float(np.mean((measured >= low) & (measured <= high)))
    if rows:
        entry["rows"] = [
            {"run": label, "measured": float(m), "predicted": float(p), "low": float(lo), "high": float(hi)}
            for label, m, p, lo, hi in zip(labels[large], measured, predicted, low, high, strict=True)
        ]
    return entry


def _runs(group: pd.DataFrame) -> tuple[dict[str, Any], Any]:
    """Columns of the runs that can be used, and their names; a missing size is counted from the shape, missing tokens from compute."""
    import pandas as pd

    def column(name: str) -> Any:
        if name not in group:
            return np.full(len(group), np.nan)
        values = pd.to_numeric(group[name], errors="coerce").to_numpy(dtype=float)
        return np.where(np.isfinite(values) & (values > 0), values, np.nan)

    width, depth = column("d_model"), column("layers")
    from_shape = 12 * depth * width**2 + 2 * VOCABULARY * width
    params = np.where(np.isnan(column("N")), from_shape, column("N"))
    tokens = np.where(np.isnan(column("D")), _compute(group) / (6 * params), column("D"))
    runs = {"params": params, "tokens": tokens, "loss": column("loss")}
    good = np.all([np.isfinite(v) for v in runs.values()], axis=0)
    unique = column("U_unique")
    if np.any(np.isfinite(unique[good])):
        runs["unique_tokens"] = unique
    if np.any(good) and np.all(np.isfinite(width[good]) & np.isfinite(depth[good])):
        runs |= {"hidden_size": width, "num_hidden_layers": depth}
    labels = group["run"].to_numpy() if "run" in group else np.arange(len(group)).astype(str)
    return {k: v[good] for k, v in runs.items()}, labels[good]


def _compute(group: pd.DataFrame) -> Any:
    """Training compute that a row states beside its columns, as ``{"C": ...}``, where it does [FLOP]."""

    def one(text: str) -> float:
        try:
            value = float(json.loads(text)["C"])
        except (ValueError, TypeError, KeyError):
            return float("nan")
        return value if value > 0 else float("nan")

    return (
        np.array([one(text) for text in group["extra"]]) if "extra" in group else np.full(len(group), np.nan)
    )


def _ranking(runs: Mapping[str, Any], base: str, shape_law: str) -> tuple[str, Any]:
    """Name and values of the law that ranks: one that sees shape where the runs have one."""
    name = SHAPE_LAWS[0] if shape_law == SHAPE_LAWS[0] else base
    return name, scaling.loss(law=name, **{k: v for k, v in runs.items() if k != "loss"})


def _rank_correlation(one: Any, other: Any) -> float | None:
    """Spearman's rank correlation, ties sharing their mean rank."""
    ranks = [_ranks(np.asarray(v, dtype=float)) for v in (one, other)]
    if any(np.ptp(r) == 0 for r in ranks):
        return None
    return float(np.corrcoef(*ranks)[0, 1])


def _ranks(values: Any) -> Any:
    _, index, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[index]


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.median(known)) if known else None
