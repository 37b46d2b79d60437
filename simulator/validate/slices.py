"""The slices of the published runs whose accuracy the project promises, and what it promises.

A slice is a rule on the columns of the table, so a row joins it by what was run and never by how it came out. Targets are
upper bounds of errors and lower bounds of rank correlations; the 80 % interval has to cover 70 to 90 % of every slice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from simulator.errors import SpecError
from simulator.validate import left_out
from simulator.validate.metrics import by_group, with_coverage
from simulator.validate.rows import with_all_columns

if TYPE_CHECKING:
    import pandas as pd

    from simulator.validate.cases import Cases

SWEEP = "HF Ultra-Scale Playbook sweep (nanotron)"
"""Source of the layout sweep on H100s: a thousand layouts, most of them slow on purpose."""

COVERAGE = (0.70, 0.90)
"""Share of measured values that the 80 % interval of a slice should hold. [-]"""

COVERAGE_ALL = (0.75, 0.85)
"""The same over all rows. [-]"""

FEW = 20
"""Rows from which on a coverage says something: below, chance alone moves it by more than a tenth. [-]"""

Rule = Callable[["pd.DataFrame"], "pd.Series[bool]"]


@dataclass(frozen=True)
class Slice:
    """Rows that a promise is about."""

    name: str
    rule: Rule
    """From the columns of the table (with ``complete`` added) to its rows."""
    targets: Mapping[str, float]
    """Figure of `metrics.summary` to its bound: below for errors, above for ``spearman``."""
    seen: str = "any"
    """``left_out_accelerator``: promised only for accelerators that the constants were not fitted to."""
    over_sources: bool = False
    """Whether the figures are means over sources of each source's figures."""
    text: str = ""
    """What it is."""


def _starts(frame: pd.DataFrame, column: str, *words: str) -> pd.Series[bool]:
    return frame[column].fillna("").astype(str).str.startswith(words)


def _dense(frame: pd.DataFrame) -> pd.Series[bool]:
    lora = frame["model_name"].fillna("").astype(str).str.lower().str.contains("lora")
    return ~(frame["moe_experts"].fillna(0).astype(float) > 0) & ~lora


def _sixteen(frame: pd.DataFrame) -> pd.Series[bool]:
    return frame["precision"].isin(["bf16", "fp16"])


SLICES: tuple[Slice, ...] = (
    Slice(
        "dense 16-bit A100, H100",
        lambda f: f["complete"] & (f["quality"] == "A") & _sixteen(f) & _dense(f)
        & _starts(f, "gpu", "A100", "H100") & (f["source"] != SWEEP),
        {"median_ape": 0.05, "mape": 0.08},
        text="dense models in bf16 or fp16, complete configuration, quality A, without the layout sweep",
    ),
    Slice(
        "vTrain, one node",
        lambda f: (f["source"] == "vTrain") & (f["n_gpus"] <= f["gpus_per_node"].fillna(8)),
        {"mape": 0.06},
        text="KAIST vTrain on up to eight A100s",
    ),
    Slice(
        "vTrain, several nodes",
        lambda f: (f["source"] == "vTrain") & (f["n_gpus"] > f["gpus_per_node"].fillna(8)),
        {"mape": 0.10},
        text="KAIST vTrain on more than eight A100s",
    ),
    Slice(
        "Korthikanti 2022",
        lambda f: _starts(f, "id", "korthikanti"),
        {"mape": 0.04},
        text="arXiv:2205.05198, table 5: 22B to 1T on A100s",
    ),
    Slice(
        "Narayanan 2021",
        lambda f: _starts(f, "id", "megatron21"),
        {"mape": 0.05},
        text="arXiv:2104.04473, table 1: 1.7B to 1T on A100s",
    ),
    Slice(
        "Megatron README, H100",
        lambda f: f["source"] == "Megatron-LM README H100 scaling",
        {"mape": 0.05},
        text="2B to 462B on 96 to 6,144 H100s",
    ),
    Slice(
        "layout sweep, H100",
        lambda f: f["source"] == SWEEP,
        {"median_ape": 0.15, "spearman": 0.95},
        text="nanotron on 8 to 512 H100s",
    ),
    Slice(
        "NVIDIA FP8 and MoE",
        lambda f: (f["source_group"] == "NVIDIA") & _starts(f, "gpu", "H100", "B200", "GB200")
        & (f["precision"].isin(["fp8", "mxfp8"]) | (f["moe_experts"].fillna(0).astype(float) > 0)),
        {"median_ape": 0.12},
        text="NVIDIA's tables for H100, B200 and GB200 in 8 bits or with a mixture of experts",
    ),
    Slice(
        "unseen accelerators",
        lambda f: f["complete"],
        {"median_ape": 0.15},
        seen="left_out_accelerator",
        text="complete configurations, all rows of the accelerator left out of the fit",
    ),
    Slice(
        "mean of sources, dense",
        lambda f: f["complete"] & _dense(f),
        {"mape": 0.08},
        over_sources=True,
        text="complete dense configurations; figures are means over the organisations that measured",
    ),
    Slice(
        "all rows",
        lambda f: f["n_gpus"].notna(),
        {},
        text="everything that can be predicted",
    ),
)  # fmt: skip
"""The promises, in the order in which they are shown."""


@dataclass(frozen=True)
class Scored:
    """A slice with its figures."""

    part: Slice
    figures: dict[str, Any]
    missed: tuple[str, ...] = field(default=())
    """Figures that do not meet their bound; ``coverage_80`` among them."""
    n_sources: int = 0

    @property
    def met(self) -> bool | None:
        """Whether all targets are met; None if there is nothing to judge."""
        return None if not self.figures.get("n") else not self.missed


def members(frame: pd.DataFrame, cases: Cases) -> dict[str, np.ndarray]:
    """Rows of each slice, in the order of the cases.

    Raises
    ------
    SpecError
        If ids are missing or repeated, so that rows of the table and of the cases cannot be told apart.
    """
    frame = with_all_columns(frame)
    if frame["id"].isna().any() or frame["id"].duplicated().any():
        raise SpecError("slices need an id in every row of the table, each only once")
    rows = frame.assign(id=frame["id"].astype(str)).set_index("id", drop=False).loc[list(cases.id)]
    rows = rows.assign(complete=cases.complete)
    return {each.name: np.asarray(each.rule(rows), dtype=bool) for each in SLICES}


def score(frame: pd.DataFrame, cases: Cases, predicted: np.ndarray, kind: str | None = None) -> list[Scored]:
    """Figures of every slice and whether they keep the promise.

    Parameters
    ----------
    frame : DataFrame
        The table.
    cases : Cases
        Its rows as columns.
    predicted : array
        Step time of each case; nan where there is none. [s]
    kind : str, optional
        Of `left_out.KINDS` if the predictions come from constants that never saw the row; in sample if absent.
    """
    values = left_out.with_interval(cases, predicted, kind)
    known = np.isfinite(predicted)
    return [
        _scored(
            part,
            {name: value[own & known] for name, value in values.items()},
            cases.source[own & known],
            kind,
        )
        for part, own in (
            (each, own) for each, own in zip(SLICES, members(frame, cases).values(), strict=True)
        )
        if part.seen == "any" or kind == "accelerator"
    ]


def _scored(part: Slice, values: dict[str, np.ndarray], sources: np.ndarray, kind: str | None) -> Scored:
    if not len(sources):
        return Scored(part, {"n": 0})
    figures = with_coverage(values)
    if part.over_sources:
        groups = list(by_group(sources, values).values())
        for name in ("median_ape", "mape", "p90_ape", "bias", "spearman"):
            each_has = [each[name] for each in groups if each[name] is not None]
            figures[name] = round(float(np.mean(each_has)), 4) if each_has else None
    missed = [name for name, bound in part.targets.items() if not _keeps(name, figures[name], bound)]
    low, high = COVERAGE if part.name != "all rows" else COVERAGE_ALL
    if figures["n"] >= FEW and not low <= figures["coverage_80"] <= high:
        missed.append("coverage_80")
    return Scored(part, figures, tuple(missed), len(set(sources.tolist())))


def _keeps(name: str, value: float | None, bound: float) -> bool:
    if value is None:
        return False
    return value >= bound if name == "spearman" else value <= bound


def documents(found: list[Scored]) -> list[dict[str, Any]]:
    """The scores as plain data."""
    return [
        {
            "slice": each.part.name,
            "what": each.part.text,
            **each.figures,
            "targets": dict(each.part.targets),
            "missed": list(each.missed),
            "met": each.met,
        }
        for each in found
    ]
