"""The Performance Law on published models: its values, and how far off it is."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from simulator.scaling import quality

TABLE = Path(__file__).parents[2] / "measurements" / "mmlu.csv"


def columns() -> dict[str, np.ndarray]:
    with TABLE.open(newline="") as file:
        rows = list(csv.DictReader(file))
    names = ("layers", "hidden", "ffn", "params_B", "tokens_T", "real_mmlu", "formula_mmlu_computed_here")
    return {name: np.array([float(row[name] or "nan") for row in rows]) for name in names}


def test_published_models() -> None:
    table = columns()
    found = quality.performance_law_mmlu(
        num_hidden_layers=table["layers"],
        hidden_size=table["hidden"],
        intermediate_size=table["ffn"],
        tokens=table["tokens_T"] * 1e12,
        params=table["params_B"] * 1e9,
    )
    known = np.isfinite(table["formula_mmlu_computed_here"])
    assert np.sum(known) == 91
    assert np.allclose(found[known], table["formula_mmlu_computed_here"][known], atol=0.01)
    capable = known & (table["real_mmlu"] >= 40)
    miss = found[capable] - table["real_mmlu"][capable]
    assert np.isclose(np.mean(np.abs(miss)), 5.8, atol=0.1)
    assert abs(np.mean(miss)) < 1.5
