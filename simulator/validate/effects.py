"""One effect at a time: published runs that differ in nothing else, and whether the clock knows the ratio of their times.

Rows of one source with the same configuration but for one column make a series; neighbours in it make a pair. The ratio of
their times cancels what the source and the model have of their own, so a clock that is right on average for the wrong
reason fails here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from simulator import calibrations, clocks
from simulator.validate import cases as tables
from simulator.validate.recipes import launch_of
from simulator.validate.rows import with_all_columns

if TYPE_CHECKING:
    import pandas as pd

    from simulator.validate.cases import Cases

CONFIGURATION = (
    "source gpu n_gpus precision n_layers d_model n_heads n_kv_heads d_ff vocab moe_experts moe_topk moe_d_ff seq_len "
    "global_batch_seqs micro_batch tp pp vpp cp ep zero_stage act_ckpt flash_attn seq_parallel compile framework fabric lora "
    "graphs fused_matmuls dispatch overlap narrow_attention"
).split()
"""Columns of a configuration. Data parallelism and accumulation follow from the others."""

RIVALS = ("flops", "constant_mfu")
"""Clocks that are asked for the same ratios."""

FEWEST = 1
"""Pairs that an effect needs to be shown; few say little. [-]"""

Rule = Callable[["pd.DataFrame"], Any]


@dataclass(frozen=True)
class Effect:
    """A column that varies alone."""

    name: str
    column: str
    """What varies, and is ordered."""
    free: tuple[str, ...] = ()
    """Columns that may vary with it, because they must (the batch with the accelerators) or do not matter."""
    rule: Rule | None = None
    """Rows that are looked at; all if absent."""
    complete: bool = True
    """Whether only complete configurations are looked at."""


def _formats(*names: str) -> Rule:
    return lambda f: f["format"].isin(names)


def _starts(column: str, *words: str) -> Rule:
    return lambda f: f[column].fillna("").astype(str).str.startswith(words)


NODE = 8
"""Accelerators of a node in the rows about tensor parallelism. [-]"""

LAYOUT = ("tp", "pp", "vpp", "cp", "ep", "micro_batch", "act_ckpt", "zero_stage", "seq_parallel")
"""Columns that a source may choose anew for another machine, format or kind of training."""

SCALE = ("n_gpus", "global_batch_seqs")

LAUNCH = ("graphs", "fused_matmuls", "overlap", "narrow_attention")
"""Settings that came with releases of a stack, several of them at once."""

EFFECTS: tuple[Effect, ...] = (
    Effect("small micro-batches: the host's pace", "micro_batch", rule=lambda f: f["micro_batch"] <= 4),
    Effect("large micro-batches", "micro_batch", rule=lambda f: f["micro_batch"] >= 4),
    Effect("micro-batches per step: bubble, fixed times", "global_batch_seqs"),
    Effect("sequence length up to 64k", "seq_len", ("global_batch_seqs", "micro_batch")),
    Effect("sequences to 128k and more, context parallel", "seq_len", ("micro_batch", *LAYOUT, *SCALE), lambda f: f["cp_max"] > 1, complete=False),
    Effect("context parallelism", "cp", ("tp", "pp", "vpp", "micro_batch", "act_ckpt", "precision", *SCALE)),
    Effect("8 bits against 16", "format", ("precision",), _formats("16", "8")),
    Effect("4 bits against 8", "format", ("precision", *LAYOUT, *SCALE), _formats("8", "4")),
    Effect("tensor parallelism in the node", "tp", (), lambda f: f["tp"] <= NODE),
    Effect("tensor parallelism across nodes", "tp", (), lambda f: f["tp"] >= NODE),
    Effect("pipeline stages", "pp"),
    Effect("interleaved stages", "vpp"),
    Effect("attention fused or not", "flash_attn"),
    Effect("expert parallelism", "ep", ("tp", "pp", "micro_batch")),
    Effect("CUDA graphs, fused experts, overlap of experts, FP8 attention", "launched", LAUNCH, lambda f: f["moe_experts"] > 0),
    Effect("ZeRO stage", "zero_stage"),
    Effect("ZeRO 3 over more accelerators", "n_gpus", ("global_batch_seqs",), lambda f: f["zero_stage"] == 3),
    Effect("recomputation: none, selective, full", "act_ckpt", ("seq_parallel",)),
    Effect("heads of attention that is not fused", "n_heads", ("n_kv_heads",), lambda f: f["fused"] == 0),
    Effect("compiler", "compile", ("micro_batch", *SCALE)),
    Effect("adapters against all weights", "lora", ("seq_len", *LAYOUT, *SCALE, *LAUNCH), complete=False),
    Effect("more accelerators", "n_gpus", ("global_batch_seqs",)),
    Effect("from 512 to 11,000 accelerators", "n_gpus", ("global_batch_seqs",), lambda f: f["n_gpus"] >= 512, complete=False),
    Effect("accelerator, same configuration", "gpu", ("interconnect", "framework", "micro_batch", "vpp")),
    Effect("V100, P100, RTX 4090, A100: Languini", "gpu", (), _starts("source", "Languini")),
    Effect("A100 40 GB, A100, H100: MosaicML", "gpu", ("micro_batch",), _starts("source", "llm-foundry")),
    Effect("MLPerf adapters: H100 to GB200, MI325X", "gpu", ("source", "framework", "precision", "fabric", *LAYOUT, "flash_attn", "n_layers", "d_model", "n_heads", "n_kv_heads", "d_ff", "vocab"), lambda f: _starts("source", "MLPerf")(f) & (f["lora"] == 1), complete=False),
    Effect("TPU generations", "gpu", ("interconnect", *LAYOUT, *SCALE, "precision"), _starts("gpu", "TPU"), complete=False),
    Effect("model size", "size", ("n_layers", "d_model", "n_heads", "n_kv_heads", "d_ff", "micro_batch")),
)  # fmt: skip
"""Effects that published runs isolate."""


@dataclass(frozen=True)
class Tracked:
    """How well the ratios of an effect are known."""

    effect: str
    pairs: int
    sources: int
    measured: float
    """Median size of the measured effect, as the logarithm of the ratio. [-]"""
    error: float
    """Median distance of the logarithms of predicted and measured ratio. [-]"""
    rivals: dict[str, float]
    """The same of other clocks. [-]"""
    direction: float
    """Share of pairs with the right sign, of those that differ by more than 5 %. [-]"""


def columns(frame: pd.DataFrame, cases: Cases) -> pd.DataFrame:
    """Rows of the cases with what pairs are made of.

    Added to the table: ``format`` (bits of the matmuls), ``fused`` (attention), ``complete``, ``fabric`` (calibration set of the network and engine), ``lora``,
    ``graphs``, ``fused_matmuls``, ``dispatch``, ``overlap`` and ``narrow_attention`` (settings of the launch; ``launched`` counts those that came with
    releases), ``size`` (parameters), ``cp_max`` (largest context-parallel degree of the model's rows), and for each clock the
    accelerator-seconds per token.
    """
    frame = with_all_columns(frame)
    rows = frame.assign(id=frame["id"].astype(str)).set_index("id", drop=False).loc[list(cases.id)].copy()
    rows["format"] = [keys["tile_efficiency"][1].rpartition("_")[2] for keys in cases.keys]
    rows["fabric"] = [f"{keys['link_latency_s'][0]} {keys['launch_s'][0]}" for keys in cases.keys]
    rows["lora"] = np.asarray(cases.layout.frozen, dtype=int)
    rows["size"] = rows["params_B"].astype(float).round(2)
    rows["cp"] = np.asarray(cases.layout.cp, dtype=float)
    rows["complete"] = cases.complete
    rows["fused"] = np.asarray(cases.layout.flash_attention, dtype=int)
    rows["graphs"] = np.asarray(cases.layout.cuda_graphs, dtype=int)
    rows["fused_matmuls"] = np.asarray(cases.layout.fused_experts, dtype=int)
    rows["dispatch"] = np.asarray(cases.layout.plain_dispatch, dtype=int)
    rows["overlap"] = np.asarray(cases.layout.expert_overlap, dtype=int)
    rows["narrow_attention"] = [
        launch_of({str(key): value for key, value in row.items()}).fp8_attention
        for row in rows.to_dict("records")
    ]
    rows["launched"] = rows[[*LAUNCH]].sum(axis=1)
    rows["cp_max"] = rows.groupby(["source", "model_name"], dropna=False)["cp"].transform("max")
    tokens = (
        np.asarray(cases.layout.seq_length) * cases.layout.micro_batch_size * cases.layout.num_microbatches
    )
    tokens = tokens * cases.layout.dp
    used = np.asarray(cases.layout.tp * cases.layout.pp * cases.layout.dp * cases.layout.cp, dtype=float)
    constants = tables.constants(cases, calibrations.shipped_values())
    rows["measured"] = cases.measured_s * used / tokens
    for name in ("memory_copies", *RIVALS):
        seconds = sum(clocks.CLOCKS[name](cases.shape, cases.layout, cases.device, constants).values())
        rows[name] = np.asarray(seconds, dtype=float) * used / tokens
    return rows


def pairs(rows: pd.DataFrame, effect: Effect) -> list[dict[str, Any]]:
    """Neighbours of one effect: its two values, the ids, and for each clock the logarithm of the ratio.

    Parameters
    ----------
    rows : DataFrame
        From `columns`.
    effect : Effect
        What varies.
    """
    kept = rows[rows["complete"]] if effect.complete else rows
    kept = kept if effect.rule is None else kept[np.asarray(effect.rule(kept), dtype=bool)]
    kept = kept[kept[effect.column].notna()]
    same = [name for name in CONFIGURATION if name != effect.column and name not in effect.free]
    names = ["measured", "memory_copies", *RIVALS]
    logs = (
        kept[[*same, "id", "source_group"]]
        .join(kept[names].apply(np.log))
        .assign(_at=_order(kept[effect.column]))
    )
    # Repeated measurements of one configuration count once, with their median.
    grouped = logs.groupby([*same, "_at"], dropna=False)
    series = grouped.agg(
        {**dict.fromkeys(names, "median"), "id": "first", "source_group": "first"}
    ).reset_index()
    if len(series) < 2:
        return []
    alike = series.groupby(same, dropna=False).ngroup().to_numpy()
    values, ids = series[names].to_numpy(), series["id"].tolist()
    at, source = series["_at"].tolist(), series["source_group"].tolist()
    return [
        {"source": source[i], "low": at[i], "high": at[i + 1], "ids": (ids[i], ids[i + 1])}
        | dict(zip(names, (values[i + 1] - values[i]).tolist(), strict=True))
        for i in np.flatnonzero(np.diff(alike) == 0)
    ]


RANK = {"none": 0, "selective": 1, "full": 2, "16": 0, "8": 1, "4": 2, "True": 1, "False": 0}
"""Order of words that are no numbers."""


def _order(values: pd.Series[Any]) -> pd.Series[Any]:
    words = values.astype(str)
    return words.map(RANK) if set(words) <= set(RANK) else values


def track(name: str, found: list[dict[str, Any]]) -> Tracked | None:
    """Compare the ratios of an effect; None if too few rows isolate it."""
    if len(found) < FEWEST:
        return None
    measured = np.array([each["measured"] for each in found])

    def error(clock: str) -> float:
        return float(np.median(np.abs(np.array([each[clock] for each in found]) - measured)))

    predicted = np.array([each["memory_copies"] for each in found])
    clear = np.abs(measured) > CLEAR
    right = np.sign(predicted) == np.sign(measured)
    return Tracked(
        effect=name,
        pairs=len(found),
        sources=len({each["source"] for each in found}),
        measured=float(np.median(np.abs(measured))),
        error=error("memory_copies"),
        rivals={rival: error(rival) for rival in RIVALS},
        direction=float(right[clear].mean()) if clear.any() else 1.0,
    )


def tracked(frame: pd.DataFrame, cases: Cases) -> list[Tracked]:
    """Every effect that the rows of a table isolate, in the order of `EFFECTS`."""
    rows = columns(frame, cases)
    found = [track(effect.name, pairs(rows, effect)) for effect in EFFECTS]
    return [each for each in found if each is not None]


CLEAR = 0.05
"""Logarithm of a ratio above which its sign is not noise. [-]"""
