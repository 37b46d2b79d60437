"""Check predicted memory against measured peaks and against runs that ran out of memory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from simulator.layout import Layout
from simulator.memory import MEMORY_PROFILES, MemoryConstants, peak
from simulator.transformer import Shape, decoder

if TYPE_CHECKING:
    import pandas as pd

GIB = float(2**30)

H100_CAPACITY = 81559 * 2.0**20
"""What nvidia-smi reports for an H100 SXM 80 GB. [B]"""


def read_rows(path: str | Path) -> pd.DataFrame:
    """Read a table of measured memory (columns in measurements/memory.md), types settled and blanks filled."""
    import pandas as pd

    rows = pd.read_csv(path, low_memory=False)
    blank = rows["tied_embeddings"].isna()
    small = rows["d_ff"] < 10_000
    rows["tied"] = np.where(blank, small, rows["tied_embeddings"].astype(str).str.lower() == "true").astype(float)
    rows["n_kv_heads"] = rows["n_kv_heads"].fillna(rows["n_heads"])
    rows["grad_accum"] = rows["grad_accum"].fillna(1)
    rows["ran"] = rows["status"].astype(str).str.lower() == "success"
    return rows


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


def predict(rows: pd.DataFrame, *, constants: MemoryConstants) -> dict[str, Any]:
    """Predict ``reserved`` (what the allocator of the first pipeline stage reports) and ``total`` of the fullest stage. [B]"""
    first = peak(shapes(rows), layouts(rows), constants=constants, stages=("first",))
    worst = peak(shapes(rows), layouts(rows), constants=constants)
    return {"reserved": first["total"] - first["context"] - first["communication"], "total": worst["total"]}


def scores(rows: pd.DataFrame, predicted: dict[str, Any], *, capacity: float = H100_CAPACITY) -> dict[str, Any]:
    """Score predictions: errors of the peak over rows that ran, precision and recall of *fits* over all rows."""
    ran = rows["ran"].to_numpy() & rows["peak_reserved_gb"].notna().to_numpy()
    error = predicted["reserved"][ran] / GIB / rows["peak_reserved_gb"].to_numpy(float)[ran] - 1
    fits, truth = predicted["total"] <= capacity, rows["ran"].to_numpy()
    both = float((fits & truth).sum())
    return {
        "n": int(ran.sum()),
        "median_ape": float(np.median(np.abs(error))),
        "mape": float(np.mean(np.abs(error))),
        "bias": float(np.mean(error)),
        "fits": {
            "precision": both / max(float(fits.sum()), 1.0),
            "recall": both / max(float(truth.sum()), 1.0),
            "accuracy": float((fits == truth).mean()),
        },
    }


def validate_memory(path: str | Path, *, profile: str = "nanotron") -> dict[str, Any]:
    """Predict every row of a table of measured memory and compare.

    Parameters
    ----------
    path : str or Path
        CSV with the columns of ``measurements/memory.md``.
    profile : str, optional
        Framework profile that the rows ran with.

    Returns
    -------
    dict
        ``n``, ``median_ape``, ``mape``, ``bias`` (shares) of the reserved peak over rows that ran, and
        ``fits: {precision, recall, accuracy}`` over all rows, where a row is positive if it ran.
    """
    rows = read_rows(path)
    return scores(rows, predict(rows, constants=MEMORY_PROFILES[profile]))
