"""Effects that measured kernels isolate: tiles and waves of matmuls, message size and ranks of collectives.

As in `effects`, neighbours of a series make a pair whose ratio is compared. The constants are those of the shipped
calibration, which saw training steps, not these kernels (of the matmuls only the fill of a tile is taken as a prior).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from simulator import calibrations, collectives, kernels
from simulator.errors import SpecError, UnknownNameError
from simulator.layout import Layout
from simulator.traffic import link_bandwidth
from simulator.transformer import decoder
from simulator.validate.cases import read_frame
from simulator.validate.effects import RIVALS, Tracked, track

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from simulator.device import Constants, Device

COLUMNS = ("gpu", "op", "shape_or_size", "dtype", "n_gpus", "measured_value", "unit")
FORMATS = {"bf16": "bf16", "fp16": "fp16", "fp8": "fp8", "nvfp4": "fp4"}
"""Format of a measured kernel to the precision of the calibration."""

SMALL = 1024
"""Rows of a matmul up to which it is small. [-]"""

ATTENDED = 16384
"""Tokens that a measured attention works on. [-]"""

LARGE = 16e6
"""Message from which on bandwidth, not latency, decides. [B]"""

Pair = dict[str, Any]


def _machine(name: str, precision: str) -> tuple[Device, Constants] | None:
    from simulator.schema import load_accelerator

    try:
        spec = load_accelerator(name)
    except (UnknownNameError, SpecError):
        return None
    if not spec.sm_count:
        return None
    constants, _ = calibrations.constants_of(spec, precision=precision)
    return calibrations.device_of(spec, precision=precision), constants


def matmul_s(m: Any, n: Any, k: Any, device: Device, c: Constants) -> Any:
    """Time of one matmul by the clock: its forward pass. [s]"""
    return kernels.matmul(m, n, k, device, c)[0]


def attention_s(length: float, width: float, device: Device, c: Constants) -> float:
    """Time of one head's fused attention on `ATTENDED` tokens by the clock, forward and backward. [s]"""
    head = decoder(num_hidden_layers=1, hidden_size=int(width), num_attention_heads=1, vocab_size=1)
    layout = Layout(micro_batch_size=ATTENDED / length, seq_length=length)
    return float(sum(kernels.attention_time(head, layout, device, c)))


def matmuls(path: str | Path) -> pd.DataFrame:
    """Measured matmuls with the time that the clock predicts and that their FLOP alone predict: ``m n k s clock flop``."""
    frame = read_frame(path, required=COLUMNS)
    frame = frame[(frame.op == "gemm") & (frame.unit == "TFLOP/s") & frame.dtype.isin(list(FORMATS))]
    sizes = frame.shape_or_size.astype(str).str.extract(r"m=(?P<m>\d+).*?n=(?P<n>\d+).*?k=(?P<k>\d+)")
    frame = frame.join(sizes.astype(float)).dropna(subset=["m", "n", "k", "measured_value"])
    frame = frame.assign(flop=2.0 * frame.m * frame.n * frame.k)
    frame = frame.assign(s=frame.flop / (frame.measured_value * 1e12), clock=np.nan)
    for (name, dtype), rows in frame.groupby(["gpu", "dtype"]):
        machine = _machine(str(name), FORMATS[str(dtype)])
        if machine:
            frame.loc[rows.index, "clock"] = matmul_s(
                rows.m.to_numpy(), rows.n.to_numpy(), rows.k.to_numpy(), *machine
            )
    return frame.dropna(subset=["clock"])


def _neighbours(rows: pd.DataFrame, keys: list[str], along: str) -> list[Pair]:
    """Ratios of neighbours along a column, everything else the same; columns ``s clock flop``."""
    names = ["s", "clock", "flop"]
    logs = rows[[*keys, along]].join(rows[names].apply(np.log))
    series = logs.groupby([*keys, along], dropna=False)[names].median().reset_index()
    gpu, same = series["gpu"].tolist(), series.groupby(keys, dropna=False).ngroup().to_numpy()
    at, values = series[along].tolist(), series[names].to_numpy()
    found = []
    for i in np.flatnonzero(np.diff(same) == 0):
        measured, clock, flop = (float(each) for each in values[i + 1] - values[i])
        pair = {"source": gpu[i], "low": at[i], "high": at[i + 1], "measured": measured}
        found.append({**pair, "memory_copies": clock, **dict.fromkeys(RIVALS, flop)})
    return found


def attentions(path: str | Path) -> pd.DataFrame:
    """Measured fused attention, forward and backward, with the clock's time: ``length width causal s clock flop``.

    Rows print the heads' width and 16k tokens; their FLOP rate is turned into seconds of one head, up to a factor that heads of one
    length share. The clock's time is of the same head.
    """
    frame = read_frame(path, required=COLUMNS)
    frame = frame[(frame.op == "attention_fwd_bwd") & (frame.unit == "TFLOP/s")]
    read = frame.shape_or_size.astype(str).str.extract(
        r"s=(?P<length>\d+),hd=(?P<width>\d+),causal=(?P<causal>\w+)"
    )
    frame = frame.join(read).dropna(subset=["length", "width", "measured_value"])
    frame = frame.astype({"length": float, "width": float})
    frame = frame.assign(flop=frame.width, s=frame.width / frame.measured_value)
    found = {name: _machine(str(name), "bf16") for name in frame.gpu.unique()}
    machines = {name: machine for name, machine in found.items() if machine is not None}
    frame = frame[frame.gpu.isin(list(machines))]
    rows = zip(frame.gpu, frame.length, frame.width, strict=True)
    return frame.assign(clock=[attention_s(length, width, *machines[name]) for name, length, width in rows])


WIRE = {"allreduce": 2.0, "allgather": 1.0, "reducescatter": 1.0, "alltoall": 1.0}
"""Bytes sent per byte of the buffer in a large group. [-]"""


def collective_rows(path: str | Path) -> pd.DataFrame:
    """Measured collectives inside a node with the time that the clock predicts: ``nbytes s clock flop`` (``flop``: bytes)."""
    frame = read_frame(path, required=COLUMNS)
    size = np.array([message_bytes(str(text)) for text in frame.shape_or_size])
    frame = frame.assign(nbytes=size)
    keep = frame.op.isin(list(WIRE)) & (frame.unit == "GB/s busbw") & (frame.n_gpus <= 8) & (size > 0)
    frame = frame[keep & frame.gpu.notna()].copy()
    frame["flop"] = frame.nbytes * frame.op.map(WIRE) * (frame.n_gpus - 1.0) / frame.n_gpus
    frame["s"] = frame.flop / (frame.measured_value * 1e9)
    frame["clock"] = np.nan
    for (name, op), rows in frame.groupby(["gpu", "op"]):
        machine = _machine(str(name), "bf16")
        if machine is None or float(machine[0].link_bandwidth) <= 0:
            continue
        device, c = machine
        ranks = rows.n_gpus.to_numpy()
        frame.loc[rows.index, "clock"] = collectives.collective_time(
            wire_bytes=rows.flop.to_numpy(), local=ranks, nodes=1.0,
            link_bandwidth=link_bandwidth(device, local=ranks) * c.link_efficiency, network_bandwidth=1.0,
            link_latency_s=c.link_latency_s, network_latency_s=c.network_latency_s,
            steps=WIRE[str(op)] * (ranks - 1.0), link_fill_s=c.link_fill_s,
        )  # fmt: skip
    return frame.dropna(subset=["clock"])


def message_bytes(text: str) -> float:
    """Bytes of a message whose size is printed as a whole number; 0 for any other text. [B]"""
    return float(text) if re.fullmatch(r"\d+", text) else 0.0


PROBE = re.compile(r"probe ([\d.]+) GB/s world, ([\d.]+) GB/s in node")


def over_nodes(frame: pd.DataFrame, cases: Any) -> list[Pair]:
    """All-reduce over more nodes: probes that nanotron's rows print, healthy fabric, median by number of accelerators.

    The size is not stated, so it is taken as large: bandwidth and its slowdown, no latency. The rival knows no slowdown.
    """
    from simulator.validate.machines import DEGRADED_NODE_PROBE

    found = frame.notes.fillna("").astype(str).str.extract(PROBE).astype(float)
    rows = frame.assign(world=found[0], node=found[1]).dropna(subset=["world"])
    rows = rows[(rows.node >= DEGRADED_NODE_PROBE) & (rows.n_gpus > rows.gpus_per_node.fillna(8))]
    median = rows.groupby("n_gpus").world.median()
    machine = _machine("h100-sxm-80gb", "bf16")
    assert machine is not None
    device, c = machine
    seconds = {}
    for ranks in median.index:
        local, nodes = collectives.group_extent(ranks=ranks, stride=1, domain=device.link_domain)
        seconds[ranks] = float(
            collectives.collective_time(
                wire_bytes=1e9, local=local, nodes=nodes,
                link_bandwidth=link_bandwidth(device, local=local) * c.link_efficiency,
                network_bandwidth=np.asarray(device.network_bandwidth) * c.network_efficiency,
                link_latency_s=0.0, network_latency_s=0.0, network_slowdown=c.network_slowdown,
            )
        )  # fmt: skip
    pairs = []
    for low, high in zip(median.index[:-1], median.index[1:], strict=True):
        pair = {"source": "HuggingFace", "low": low, "high": high}
        measured = float(np.log(median[low] / median[high]))
        predicted = float(np.log(seconds[high] / seconds[low]))
        pairs.append({**pair, "measured": measured, "memory_copies": predicted, **dict.fromkeys(RIVALS, 0.0)})
    return pairs


def tracked(path: str | Path, frame: pd.DataFrame, cases: Any) -> list[Tracked]:
    """Every effect that measured kernels isolate."""
    gemms, messages = matmuls(path), collective_rows(path)
    small = gemms[gemms.m <= SMALL]
    kernel, call = ["gpu", "dtype"], ["gpu", "op", "dtype"]
    found = (
        track("matmul rows: tiles and waves", _neighbours(gemms, [*kernel, "n", "k"], "m")),
        track("rows of small matmuls", _neighbours(small, [*kernel, "n", "k"], "m")),
        track("contraction of a matmul: filling a tile", _neighbours(gemms, [*kernel, "m", "n"], "k")),
        track(
            "width of a head, fused attention",
            _neighbours(attentions(path), ["gpu", "length", "causal"], "width"),
        ),
        track("message size in a node", _neighbours(messages, [*call, "n_gpus"], "nbytes")),
        track(
            "ranks in a node, messages from 16 MB",
            _neighbours(messages[messages.nbytes >= LARGE], [*call, "nbytes"], "n_gpus"),
        ),
        track(
            "ranks in a node, smaller messages",
            _neighbours(messages[messages.nbytes < LARGE], [*call, "nbytes"], "n_gpus"),
        ),
        track("all-reduce over more nodes", over_nodes(frame, cases)),
    )
    return [each for each in found if each is not None]
