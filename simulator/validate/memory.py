"""Check predicted memory against measured peaks and against runs that ran out of memory."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from simulator.errors import Problem, SpecError, UnknownNameError
from simulator.layout import Layout
from simulator.memory import MEMORY_PROFILES, STAGES, MemoryConstants, peak
from simulator.schema import load_accelerator
from simulator.transformer import Shape, decoder
from simulator.validate.headers import read_table

if TYPE_CHECKING:
    import pandas as pd

GIB = float(2**30)

REQUIRED = (
    *("gpu", "n_layers", "d_model", "n_heads", "d_ff", "vocab", "seq_len", "micro_batch", "tp", "pp", "dp"),
    *("zero_stage", "status", "peak_reserved_gb"),
)
"""Columns without which a table cannot be judged."""


LARGEST = 1e9
"""Number above which a cell cannot be meant; a row with one is left out."""

RAN = frozenset(("success", "succeeded", "ok", "ran", "fits", "done", "completed"))
"""Words of ``status`` for a run that ran."""

ENDED = frozenset(
    ("oom", "out of memory", "out_of_memory", "outofmemory", "cuda out of memory", "outofmemoryerror")
)
"""Words for one that ended for want of memory."""


def read_rows(path: str | Path) -> pd.DataFrame:
    """Read a table of measured memory (columns in measurements/memory.md), types settled and blanks filled.

    Blanks get what the sweep's script does: as many key and value heads as heads, one micro-batch, tied embeddings below
    an FFN width of 10,000, and the repaired pipeline engine. Rows that cannot be judged are left out and counted by reason in
    ``attrs["skipped"]``.
    """
    import pandas as pd

    rows = read_table(Path(path))
    missing = [name for name in REQUIRED if name not in rows]
    if missing:
        raise SpecError(
            [Problem(f"no column {name!r}", file=str(path), line=1, column=1) for name in missing]
        )
    for name, usual in (("n_kv_heads", rows["n_heads"]), ("grad_accum", 1), ("after_pp_fix", True)):
        rows[name] = rows[name].astype(object).fillna(usual) if name in rows else usual
    said = (
        rows["tied_embeddings"].astype(str).str.lower()
        if "tied_embeddings" in rows
        else pd.Series("", rows.index)
    )
    small = pd.to_numeric(rows["d_ff"], errors="coerce") < 10_000
    rows["tied"] = np.where(
        said.isin(["true", "1", "1.0"]), 1.0, np.where(said.isin(["false", "0", "0.0"]), 0.0, small)
    )
    status = rows["status"].fillna("").astype(str).str.strip().str.lower()
    rows["ran"] = status.isin(RAN)
    for name in (*REQUIRED[1:-2], "n_kv_heads", "grad_accum", "peak_reserved_gb"):
        rows[name] = pd.to_numeric(rows[name], errors="coerce")
        least = {"zero_stage": 0.0, "peak_reserved_gb": 1e-6}.get(name, 1.0)
        rows[name] = rows[name].where(rows[name].between(least, LARGEST))
    return _judged(rows, status)


def _judged(rows: pd.DataFrame, status: pd.Series[Any]) -> pd.DataFrame:
    """Rows that can be judged; the others are counted by their first reason."""
    reasons = np.full(len(rows), "", dtype=object)

    def leave(wrong: Any, text: Any) -> None:
        reasons[(reasons == "") & np.asarray(wrong)] = text

    for name in REQUIRED[1:-2]:
        leave(rows[name].isna(), f"{name}: no number that can be meant")
    parts = rows["gpu"].fillna("").astype(str)
    for name in parts.unique():
        if _usable(name) is None:
            leave(parts == name, f"accelerator not known: {name[:40]}" if name else "gpu not stated")
    for word in status.unique():
        if word not in RAN | ENDED:
            leave(status == word, f"status not known: {word[:40]}" if word else "status not stated")
    kept: pd.DataFrame = rows[reasons == ""].reset_index(drop=True)
    if not len(kept):
        left = [
            Problem(f"{number} row{'' if number == 1 else 's'} skipped: {text}")
            for text, number in Counter(reasons.tolist()).items()
        ]
        raise SpecError([Problem("no row can be judged"), *left])
    kept.attrs["skipped"] = dict(Counter(reasons[reasons != ""].tolist()))
    return kept


def _usable(name: str) -> float | None:
    """Memory that a program can use on an accelerator; nothing if it is not known. [B]"""
    try:
        spec = load_accelerator(name)
    except (UnknownNameError, SpecError):
        return None
    return float(spec.memory_usable or spec.memory)


def capacities(rows: pd.DataFrame) -> Any:
    """Memory that a program can use on each row's accelerator. [B]"""
    usable = {name: _usable(name) for name in rows["gpu"].astype(str).unique()}
    return rows["gpu"].astype(str).map(usable).to_numpy(float)


def shapes(rows: pd.DataFrame) -> Shape:
    """Return the models of the rows as one `Shape` of arrays."""

    def column(name: str) -> Any:
        return rows[name].to_numpy(float)

    return decoder(
        num_hidden_layers=column("n_layers"),
        hidden_size=column("d_model"),
        intermediate_size=column("d_ff"),
        num_attention_heads=column("n_heads"),
        num_key_value_heads=column("n_kv_heads"),
        vocab_size=column("vocab"),
        tie_word_embeddings=column("tied"),
    )


def layouts(rows: pd.DataFrame) -> Layout:
    """Return the layouts of the rows as one `Layout` of arrays."""

    def column(name: str) -> Any:
        return rows[name].to_numpy(float)

    return Layout(
        tp=column("tp"),
        pp=column("pp"),
        dp=column("dp"),
        micro_batch_size=column("micro_batch"),
        num_microbatches=column("grad_accum"),
        seq_length=column("seq_len"),
        zero_stage=column("zero_stage"),
        sequence_parallel=1.0,
    )


def predict(
    rows: pd.DataFrame,
    *,
    repaired: MemoryConstants = MEMORY_PROFILES["nanotron"],
    unrepaired: MemoryConstants = MEMORY_PROFILES["nanotron_unrepaired"],
    capacity: Any = None,
) -> dict[str, Any]:
    """Predict the measured quantities of each row from its configuration alone.

    Parameters
    ----------
    rows : DataFrame
        As `read_rows` returns it.
    repaired, unrepaired : MemoryConstants, optional
        Profiles of rows after and before the repair of the pipeline engine (column ``after_pp_fix``). Gathered inputs are
        kept only by unrepaired runs of one stage.
    capacity : numeric, optional
        Memory of the accelerators, from their specifications by default; no run reports more. [B]

    Returns
    -------
    dict
        ``static``: allocated without activations; ``reserved``: what the allocator of the first pipeline stage reports;
        ``total``: peak of the fullest stage with everything outside the allocator, as a verdict needs it: tensors count as
        freed late in every run, since a run that ends for want of memory does not tell; ``capacity``. [B]
    """
    capacity = capacities(rows) if capacity is None else capacity
    old = ~rows["after_pp_fix"].astype(str).str.lower().eq("true").to_numpy()
    single = rows["pp"].to_numpy() == 1
    shape, layout = shapes(rows), layouts(rows)
    staged = unrepaired.with_(kept_gathers=0.0)
    late = staged.with_(late_tensors=repaired.late_tensors)

    def by_version(stages: tuple[str, ...], *versions: MemoryConstants) -> Any:
        new, many, one = (peak(shape, layout, constants=c, stages=stages) for c in versions)
        outside = new["context"] + new["communication"]
        return np.where(old, np.where(single, one["total"], many["total"]), new["total"]), outside

    reserved, outside = by_version(("first",), repaired, staged, unrepaired)
    total, _ = by_version(STAGES, repaired, late, unrepaired)
    return {
        "static": static_bytes(shape, layout, repaired=repaired, unrepaired=staged, old=old),
        "reserved": np.minimum(reserved, capacity) - outside,
        "total": total,
        "capacity": capacity,
    }


def static_bytes(
    shape: Shape, layout: Layout, *, repaired: MemoryConstants, unrepaired: MemoryConstants, old: Any
) -> Any:
    """Weights, gradients, optimizer states, the copy of gathered weights and the two buffers for gathers. [B]

    nanotron keeps two whole-width buffers for its gathers (`MemoryBuffer` "allgather" and "allgather2"), which is why its
    allocated memory grows slightly with the micro-batch.
    """
    whole = np.where(
        layout.tp > 1, 2 * 2.0 * layout.micro_batch_size * layout.seq_length * shape.hidden_size, 0.0
    )
    parts = []
    for constants in (repaired, unrepaired):
        idle = constants.with_(
            fragmentation=0.0, reserve_bytes=0.0, gathered_tensors=0.0, late_tensors=0.0, late_logit_bytes=0.0
        )
        out = peak(shape, layout.with_(micro_batch_size=0.0), constants=idle, stages=("first",))
        parts.append(out["weights"] + out["gradients"] + out["optimizer"] + out["gathered"])
    return np.where(old, parts[1], parts[0]) + whole


def scores(rows: pd.DataFrame, predicted: dict[str, Any]) -> dict[str, Any]:
    """Score predictions: errors of the peak over rows that ran, precision and recall of *fits* over all rows."""
    nothing = float("nan")
    ran = rows["ran"].to_numpy() & rows["peak_reserved_gb"].notna().to_numpy()
    error = predicted["reserved"][ran] / GIB / rows["peak_reserved_gb"].to_numpy(float)[ran] - 1
    fits, truth = predicted["total"] <= predicted["capacity"], rows["ran"].to_numpy()
    both = float((fits & truth).sum())
    return {
        "n": int(ran.sum()),
        "median_ape": float(np.median(np.abs(error))) if error.size else nothing,
        "mape": float(np.mean(np.abs(error))) if error.size else nothing,
        "bias": float(np.mean(error)) if error.size else nothing,
        "fits": {
            "precision": both / max(float(fits.sum()), 1.0),
            "recall": both / max(float(truth.sum()), 1.0),
            "accuracy": float((fits == truth).mean()),
        },
    }


def validate_memory(path: str | Path) -> dict[str, Any]:
    """Predict every row of a table of measured memory and compare.

    Parameters
    ----------
    path : str or Path
        CSV with the columns of ``measurements/memory.md``.

    Returns
    -------
    dict
        ``n``, ``median_ape``, ``mape``, ``bias`` (shares) of the reserved peak over rows that ran, and
        ``fits: {precision, recall, accuracy}`` over all rows, where a row is positive if it ran; ``n_skipped`` and ``skipped``
        by reason; ``rows``.
    """
    rows = read_rows(path)
    skipped = rows.attrs["skipped"]
    found = predict(rows)
    return {
        **scores(rows, found),
        "n_skipped": sum(skipped.values()),
        "skipped": skipped,
        "rows": _documents(rows, found),
    }


def _documents(rows: pd.DataFrame, predicted: dict[str, Any]) -> list[dict[str, Any]]:
    """Every row with what was measured and predicted."""
    ids = rows["id"].astype(str) if "id" in rows else rows.index.astype(str)
    measured = rows["peak_reserved_gb"].where(rows["ran"])
    columns = {
        "id": list(ids),
        "ran": rows["ran"].tolist(),
        "predicted_fits": (predicted["total"] <= predicted["capacity"]).tolist(),
        "measured_reserved_gib": [None if np.isnan(value) else value for value in measured],
        **{
            f"predicted_{name}_gib": (np.asarray(predicted[name], dtype=float) / GIB).tolist()
            for name in ("reserved", "total")
        },
        "capacity_gib": (np.asarray(predicted["capacity"], dtype=float) / GIB).tolist(),
    }
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
