"""Figures on measured runs: errors of the predicted step time by the constants that ship, and of rows left out of the fit."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from simulator import calibrations, clock, library, pipeline, uncertainty
from simulator.validate import cases as tables
from simulator.validate import conformal, folds, intervals, left_out, regimes
from simulator.validate.slices import SWEEP

if TYPE_CHECKING:
    import pandas as pd


def percent(share: Any) -> str:
    """A share in whole percent."""
    return f"{100.0 * float(share):.0f}"


def ends(values: Any) -> tuple[str, str]:
    """Least and largest of some shares, in whole percent."""
    return percent(np.min(values)), percent(np.max(values))


def middle(values: Any) -> float:
    """Median."""
    return float(np.median(values))


# --- measured runs ------------------------------------------------------------------------------------------------------


@functools.cache
def runs() -> tuple[pd.DataFrame, tables.Cases]:
    """Rows that can be predicted: columns of the table, what was read out of them, and ``error``."""
    frame = tables.read_frame(library.find("measurements", "throughput"))
    cases = tables.of_frame(frame)
    rows = frame.set_index("id").loc[cases.id]
    read = cases.layout
    return rows.assign(
        error=intervals.step_times(cases) / cases.measured_s - 1.0,
        measured_s=cases.measured_s,
        complete=cases.complete,
        software=[each["launch_s"][0] for each in cases.keys],
        fabric=[each["link_latency_s"][0] for each in cases.keys],
        recompute=read.recompute,
        micro=read.micro_batch_size,
        zero=read.zero_stage,
        slots=(read.num_microbatches + read.pp - 1) * cases.shape.num_hidden_layers / read.pp,
    ), cases


def errors(rule: Callable[[pd.DataFrame], Any]) -> np.ndarray:
    """Errors of the rows that a rule keeps."""
    rows = runs()[0]
    found = rows.error[rule(rows)].to_numpy(dtype=float)
    assert len(found)
    return found


def with_constants(rule: Callable[[pd.DataFrame], Any], **changes: float) -> np.ndarray:
    """The same with some constants set to a number."""
    rows, every = runs()
    cases = every.take(np.flatnonzero(rule(rows)))
    constants = tables.constants(cases, calibrations.shipped_values())
    constants = constants.with_(**{name: np.full(len(cases), value) for name, value in changes.items()})
    levels = clock.memory_copies(cases.shape, cases.layout, cases.device, constants)
    return np.asarray(sum(levels.values()) / cases.measured_s - 1.0)


def vtrain(f: pd.DataFrame) -> Any:
    """Rows of one node."""
    return (f.source == "vTrain") & (f.n_gpus <= 8)


def vtrain_nodes(f: pd.DataFrame) -> Any:
    """Rows of several nodes."""
    return (f.source == "vTrain") & (f.n_gpus > 8)


def starts(word: str) -> Callable[[pd.DataFrame], Any]:
    """Rows whose id starts so."""
    return lambda f: f.index.str.startswith(word)


def widths(*wanted: int) -> Callable[[pd.DataFrame], Any]:
    """Rows of Megatron's README by the width of the model."""
    return lambda f: (f.source == "Megatron-LM README H100 scaling") & f.d_model.isin(wanted)


def settings() -> tuple[str, str]:
    """Share of the variance of the residual between vTrain's measured layers, and the mean error of their means."""
    rows = runs()[0]
    rows = rows[vtrain(rows)]
    groups = rows.groupby(["d_model", "tp", "micro_batch"])
    logs = np.log1p(rows.error)
    within = logs - logs.groupby([rows.d_model, rows.tp, rows.micro_batch]).transform("mean")
    return percent(1.0 - within.var() / logs.var()), percent(groups.error.mean().abs().mean())


def slow_rows() -> tuple[str, ...]:
    """Of vTrain's rows on several nodes with tensor parallelism 8: how many are predicted slow, of how many, by how much."""
    found = errors(lambda f: vtrain_nodes(f) & (f.tp == 8))
    slow = found[found > 0.05]
    return str(len(slow)), str(len(found)), *ends(slow)


def fast_rows() -> tuple[str, ...]:
    """Of vTrain's rows on several nodes, those that are predicted more than 15 % fast."""
    found = errors(vtrain_nodes)
    return str(len(found)), *ends(-found[found < -0.15])


def korthikanti() -> tuple[str, ...]:
    """Largest error below a trillion parameters, and the two of the trillion."""
    found = errors(starts("korthikanti"))
    return percent(np.abs(found[:6]).max()), *ends(found[6:])


def layer_ms(micro_batch: int) -> float:
    """Time of one layer of vTrain with tensor parallelism 8, mean over its two widths: slope of the step along micro-batches times layers. [ms]"""
    rows = runs()[0]
    rows = rows[vtrain(rows) & (rows.tp == 8) & (rows.micro_batch == micro_batch)]
    found = []
    for _, own in rows.groupby(["d_model"]):
        m = own.global_batch_seqs / (own.dp * own.micro_batch)
        terms = np.stack([m * own.n_layers, m, own.n_layers, np.ones(len(own))], axis=1)
        weighed = terms / own.measured_s.to_numpy()[:, None]
        found.append(np.linalg.lstsq(weighed, np.ones(len(own)), rcond=None)[0][0])
    return 1e3 * float(np.mean(found))


def pipelined(f: pd.DataFrame) -> Any:
    """Pipelined rows of the sweep after the repair of the engine."""
    return (f.source == SWEEP) & f.notes.astype(str).str.contains("after_pp_fix=True") & (f.pp > 1)


def recomputed(software: str) -> Callable[[pd.DataFrame], Any]:
    """Rows of a stack with full recomputation."""
    return lambda f: (f.software == software) & (f.recompute == 2)


def degraded_layers() -> tuple[str, str]:
    """Least and largest median time of a layer over micro-batches of 1 to 16 sequences, degraded fabric, tensor parallelism 8. [ms]"""
    rows = runs()[0]
    own = rows[(rows.fabric == "fabric-degraded") & (rows.software == "nanotron") & (rows.tp == 8)]
    own = own[(own.d_model == 2048) & (own.pp == 2) & (own.micro <= 16)]
    found = (1e3 * own.measured_s / own.slots).groupby(own.micro).median()
    return f"{found.min():.0f}", f"{found.max():.0f}"


def across_nodes(f: pd.DataFrame) -> Any:
    """vTrain's rows with a tensor-parallel group of more than a node."""
    return (f.source == "vTrain") & (f.tp > 8)


def message_scatter() -> tuple[str, str]:
    """Scatter of measured steps that wait for messages, per message on the longest path and per turn of a pipeline."""
    rows, every = runs()
    levels = intervals.levels_of(every)
    waiting = levels["pipeline_send"] > 0.8 * sum(levels.values())
    own = np.asarray(waiting & (rows.software == "nanotron-early") & (rows.pp >= 4), dtype=bool)
    cases = every.take(np.flatnonzero(own))
    pp, m = cases.layout.pp, cases.layout.num_microbatches
    paths = (pipeline.handing_time(send_s=1.0, pp=pp, num_microbatches=m), np.asarray(m) + pp - 1.0)
    by_message, by_turn = (percent(np.std(np.log(cases.measured_s / path))) for path in paths)
    return by_message, by_turn


def probes() -> tuple[str, ...]:
    """Median all-reduce probes of the sweep: of the degraded fabric on 64 and 512 GPUs, of the other on 512. [GB/s]"""
    rows = runs()[0]
    world = rows.notes.astype(str).str.extract(r"probe ([\d.]+) GB/s world")[0].astype(float)
    found = world.groupby([rows.fabric, rows.n_gpus]).median()
    return tuple(
        f"{found[fabric, n]:.0f}"
        for fabric, n in (("fabric-degraded", 64), ("fabric-degraded", 512), ("fabric", 512))
    )


def fitted() -> tuple[str, str]:
    """Constants in the files, and those that rows identify."""
    entries = [each for one in calibrations.packaged_sets().values() for each in one.constants.values()]
    return str(len(entries)), str(sum(each.status == "fitted" for each in entries))


def crowding() -> tuple[str, str]:
    """Fitted power with which groups that leave a node together share a bound, and what eight get of it."""
    power = calibrations.packaged_sets()[calibrations.FABRIC].constants["crowding"].value
    return f"{power:.2f}", f"{8.0 ** (1.0 - power):.1f}"


COMPILED = {"7B": ("ibm-0005", "ibm-0013"), "70B": ("ibm-0011", "ibm-0022")}
"""IBM's runs on A100 without and with a compiler."""


def gains() -> tuple[str, ...]:
    """What the compiler gains in these pairs: measured, then predicted."""
    rows = runs()[0]
    measured, predicted = rows.measured_s, rows.measured_s * (1.0 + rows.error)
    return tuple(
        percent(times[eager] / times[compiled] - 1.0)
        for times in (measured, predicted)
        for eager, compiled in COMPILED.values()
    )


def largest_share() -> str:
    """Share of the complete rows that the two largest organisations measured."""
    rows = runs()[0]
    counts = rows[rows.complete].source_group.value_counts(normalize=True)
    return percent(counts.iloc[:2].sum())


# --- rows left out of the fit -------------------------------------------------------------------------------------------


@functools.cache
def unseen() -> dict[str, np.ndarray]:
    """Step times by constants that never saw the row, by what was left out. [s]"""
    return left_out.columns(runs()[1], left_out.read()[1])


def as_recomputed(width: int) -> tuple[str, str]:
    """vTrain's rows of one node without tensor parallelism, left out of the fit: median error without and with recomputation, whose cost is the shipped clock's."""
    rows, every = runs()
    own = np.flatnonzero(vtrain(rows) & (rows.tp == 1) & (rows.d_model == width))
    cases, without = every.take(own), unseen()["source"][own] / every.measured_s[own]
    constants = tables.constants(cases, calibrations.shipped_values())
    none, full = (
        sum(clock.memory_copies(cases.shape, layout, cases.device, constants).values())
        for layout in (cases.layout, cases.layout.with_(recompute=np.full(len(cases), 2.0)))
    )
    return percent(1.0 - middle(without)), percent(middle(without * full / none) - 1.0)


@functools.cache
def inside(communication: float | None = None) -> np.ndarray:
    """Whether rows of left-out organisations lie in their interval; with another widening by communication if one is named."""
    cases, predicted, exposed = runs()[1], unseen()["source"], intervals.exposed_shares(runs()[1])
    shipped = uncertainty.table()
    used = uncertainty.Table(shipped.regimes, communication or shipped.communication)
    found = intervals.around(
        cases,
        predicted,
        regimes=regimes.regimes(cases, folds.grades(cases, "source"), seen=False),
        exposed=exposed,
        known=conformal.without_own_source(cases, predicted, exposed, used),
    )
    return np.asarray((found["low"] <= cases.measured_s) & (cases.measured_s <= found["high"]))


def coverage() -> tuple[str, ...]:
    """Coverage of left-out organisations: much and little exposed communication, without its widening and with it."""
    exposed = intervals.exposed_shares(runs()[1])
    much, little = exposed > 0.4, exposed < 0.1
    without, shipped = inside(1.0), inside()
    return tuple(percent(found[rows].mean()) for found in (without, shipped) for rows in (much, little))


def widenings() -> tuple[str, str]:
    """Least and largest widening by communication where one of the eight largest organisations is left out."""
    cases = runs()[1]
    exposed = intervals.exposed_shares(cases)
    parts = [conformal.part(cases, kind, predicted, exposed) for kind, predicted in unseen().items()]
    names, counts = np.unique(cases.source.astype(str), return_counts=True)
    found = []
    for name in names[np.argsort(-counts)][:8]:
        others = np.flatnonzero(cases.source != name)
        found.append(conformal.percentiles([each.take(others) for each in parts]).communication)
    return f"{min(found):.1f}", f"{max(found):.1f}"
