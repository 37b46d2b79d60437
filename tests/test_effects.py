"""Each physical effect against data in which it varies alone: the predicted ratio has to track the measured one.

A bound is the present error of the logarithm of the ratio, rounded up with a tenth and a half of room for the next calibration.
A clock without the effect would miss by the whole of it, so a bound says something only where it is far below the
measured effect; where it is not, the effect is in `UNKNOWN`, which may only shrink.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from simulator import kernels as clock_kernels
from simulator import library
from simulator.cli import main
from simulator.validate import cases as tables
from simulator.validate import effects, kernels
from simulator.validate.effects import RIVALS, Tracked

BOUNDS = {
    "small micro-batches: the host's pace": 0.09,
    "large micro-batches": 0.12,
    "micro-batches per step: bubble, fixed times": 0.025,
    "sequence length up to 64k": 0.03,
    "sequences to 128k and more, context parallel": 0.10,
    "context parallelism": 0.13,
    "8 bits against 16": 0.08,
    "4 bits against 8": 0.14,
    "tensor parallelism in the node": 0.09,
    "tensor parallelism across nodes": 0.10,
    "pipeline stages": 0.03,
    "expert parallelism": 0.07,
    "ZeRO stage": 0.06,
    "ZeRO 3 over more accelerators": 0.03,
    "recomputation: none, selective, full": 0.04,
    "heads of attention that is not fused": 0.045,
    "compiler": 0.13,
    "adapters against all weights": 0.11,
    "CUDA graphs, fused experts, overlap of experts, FP8 attention": 0.2,
    "more accelerators": 0.025,
    "from 512 to 11,000 accelerators": 0.015,
    "accelerator, same configuration": 0.09,
    "V100, P100, RTX 4090, A100: Languini": 0.10,
    "A100 40 GB, A100, H100: MosaicML": 0.08,
    "MLPerf adapters: H100 to GB200, MI325X": 0.16,
    "TPU generations": 0.16,
    "model size": 0.03,
    "matmul rows: tiles and waves": 0.11,
    "rows of small matmuls": 0.37,
    "contraction of a matmul: filling a tile": 0.07,
    "width of a head, fused attention": 0.02,
    "message size in a node": 0.07,
    "ranks in a node, messages from 16 MB": 0.16,
    "ranks in a node, smaller messages": 0.16,
    "all-reduce over more nodes": 0.12,
}
"""Median distance of the logarithms of predicted and measured ratio. [-]"""

UNKNOWN = {
    "micro-batches per step: bubble, fixed times",  # nearly all of it is the bubble, which constant_mfu has too
    "ZeRO stage",  # the measured difference is as small as its scatter
    "ZeRO 3 over more accelerators",  # as above
    "recomputation: none, selective, full",  # 8 against 6 FLOP is right there; the clock is as good
    "more accelerators",  # mostly a bubble, which constant_mfu has too
    "all-reduce over more nodes",  # the healthy fabric is predicted to be limited by the node, not by the network
}
"""Effects on which a rival is as good, or nearly."""

NO_PAIRS = {"interleaved stages", "attention fused or not"}
"""Effects that no two published runs isolate."""


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    frame = tables.read_frame(library.find("measurements", "throughput"))
    return effects.columns(frame, tables.of_frame(frame))


@pytest.fixture(scope="module")
def found(rows: pd.DataFrame) -> dict[str, Tracked]:
    frame = tables.read_frame(library.find("measurements", "throughput"))
    every = [effects.track(each.name, effects.pairs(rows, each)) for each in effects.EFFECTS]
    every += kernels.tracked(library.find("measurements", "micro"), frame, tables.of_frame(frame))
    return {each.effect: each for each in every if each is not None}


@pytest.mark.parametrize("name", BOUNDS)
def test_the_predicted_ratio_tracks_the_measured_one(name: str, found: dict[str, Tracked]) -> None:
    each = found[name]
    assert each.error <= BOUNDS[name], each
    if name not in UNKNOWN:
        assert each.error < min(each.rivals.values()), each
        assert each.error < each.measured, each


@pytest.mark.parametrize("name", sorted(set(BOUNDS) - UNKNOWN - {"expert parallelism"}))
def test_the_sign_is_right(name: str, found: dict[str, Tracked]) -> None:
    """Of pairs that differ by more than 5 %; fewer than seven of ten would be little more than a coin."""
    assert found[name].direction >= 0.7, found[name]


def test_every_effect_is_bounded_or_without_pairs(found: dict[str, Tracked]) -> None:
    assert set(found) == set(BOUNDS)
    assert {each.name for each in effects.EFFECTS} - set(found) == NO_PAIRS
    assert set(BOUNDS) >= UNKNOWN


def test_pairs_differ_in_nothing_else(rows: pd.DataFrame) -> None:
    by_id = rows.set_index("id", drop=False)
    for effect in effects.EFFECTS:
        same = [n for n in effects.CONFIGURATION if n != effect.column and n not in effect.free]
        for pair in effects.pairs(rows, effect)[:50]:
            first, second = (by_id.loc[each] for each in pair["ids"])
            for name in same:
                assert first[name] == second[name] or (pd.isna(first[name]) and pd.isna(second[name])), pair
            assert first[effect.column] != second[effect.column], pair


def test_every_generation_of_accelerator_is_in_a_pair(rows: pd.DataFrame) -> None:
    ids = {i for each in effects.EFFECTS if each.column == "gpu" for pair in effects.pairs(rows, each) for i in pair["ids"]}  # fmt: skip
    seen = set(rows[rows["id"].isin(ids)]["gpu"])
    for name in ("V100-SXM2-32GB", "A100-SXM-80GB", "H100-SXM-80GB", "H200-SXM-141GB", "B200-SXM-180GB", "GB200",
                 "GB300", "MI300X", "MI325X", "TPU v6e", "RTX 4090"):  # fmt: skip
        assert name in seen, name


def test_a_clock_that_misses_an_effect_is_caught(rows: pd.DataFrame) -> None:
    """Predictions without the effect: the error is the effect itself."""
    effect = next(each for each in effects.EFFECTS if each.name == "tensor parallelism across nodes")
    blind = rows.assign(memory_copies=rows["flops"])
    each = effects.track(effect.name, effects.pairs(blind, effect))
    assert each is not None
    assert each.error > 5 * BOUNDS[effect.name]
    perfect = rows.assign(memory_copies=rows["measured"])
    each = effects.track(effect.name, effects.pairs(perfect, effect))
    assert each is not None
    assert each.error == pytest.approx(0.0, abs=1e-12)
    assert each.direction == 1.0


def test_waves_are_seen_in_measured_matmuls() -> None:
    """One row of tiles more than whole waves costs a wave: the clock knows when, FLOP alone do not."""
    frame = kernels.matmuls(library.find("measurements", "micro"))
    frame = frame[(frame.dtype == "bf16") & (frame.m >= kernels.SMALL)]
    rate = {name: np.log(frame.flop / frame[name]) for name in ("s", "clock")}
    spread = {name: float(values.groupby(frame.gpu).std().mean()) for name, values in rate.items()}
    kept = np.corrcoef(*(values - values.groupby(frame.gpu).transform("mean") for values in rate.values()))
    assert spread["s"] > 0.02
    assert kept[0, 1] > 0.3


def test_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", "--effects"]) == 0
    page = capsys.readouterr().out
    assert "tensor parallelism across nodes" in page
    assert "No published pair isolates" in " ".join(page.split())
    assert all(name.replace("_", " ") in page for name in RIVALS)
    assert main(["validate", "--effects", "--cases", "x.csv"]) == 2


def test_kernels_are_timed_by_the_clock_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """An effect that is taken out of the clock is missing here too."""
    micro = library.find("measurements", "micro")
    heads, products = kernels.attentions(micro), kernels.matmuls(micro)
    monkeypatch.setattr(clock_kernels, "HEAD_FILL", 0.0)
    share = clock_kernels.tile_share
    monkeypatch.setattr(clock_kernels, "tile_share", lambda device, c: 0.5 * share(device, c))
    flat, slower = kernels.attentions(micro), kernels.matmuls(micro)
    assert heads.clock.groupby([heads.gpu, heads.length]).agg(np.ptp).max() > 0
    for rows, fill in ((heads, 22.0), (flat, 0.0)):
        per_head = rows.clock / (rows.width + fill)
        for _, same in per_head.groupby([rows.gpu, rows.length]):
            assert same.to_numpy() == pytest.approx(same.iloc[0])
    assert (slower.clock / products.clock).max() == pytest.approx(2.0)
