"""Copies per level, collectives and pipelines: hand values, published values, limits."""

from __future__ import annotations

import numpy as np
import pytest

from simulator import collectives, copies, pipeline


def wave_efficiency(m: int, n: int, sm_count: int) -> float:
    """Useful share of the waves, large tiles only."""
    shape = {"m": m, "n": n, "k": 1024}
    waves = copies.quantized_tile_bytes(**shape, sm_count=sm_count, small_tile_rate=1e-6, splits=())
    return float(copies.tile_bytes(**shape) / waves)


@pytest.mark.parametrize(
    ("m", "n", "sm_count", "expected"),
    [
        (8192, 4096, 108, 0.948),
        (8192, 4096, 132, 0.970),
        (2048, 2048, 132, 0.970),
        (4096, 11008, 132, 0.948),
        (2048, 6912, 108, 1.0),
    ],
)
def test_wave_quantisation(m: int, n: int, sm_count: int, expected: float) -> None:
    # ceil(m / 128) ceil(n / 256) tiles in whole waves of the processors; 2048 x 2048 fills 128 of 132.
    assert wave_efficiency(m, n, sm_count) == pytest.approx(expected, abs=0.0015)


def test_the_small_tile_saves_a_half_empty_wave() -> None:
    shape = {"m": 1024, "n": 2048, "k": 4096, "sm_count": 132, "splits": ()}
    large = copies.quantized_tile_bytes(**shape, small_tile_rate=1e-6)
    assert copies.quantized_tile_bytes(**shape) < 0.6 * large


def test_a_split_contraction_fills_the_last_wave() -> None:
    # 128 large tiles on 108 processors take two waves, the second nearly empty; their 512 quarters take five of a quarter.
    shape = {"m": 8192, "n": 512, "k": 16384, "sm_count": 108}
    whole = copies.quantized_tile_bytes(**shape, splits=())
    assert copies.quantized_tile_bytes(**shape, splits=(4,)) == pytest.approx(whole * 5 / 4 / 2, rel=0.2)
    assert copies.quantized_tile_bytes(**shape) <= whole


def test_tile_copies_at_the_operand_rate_are_flop_at_the_peak() -> None:
    seconds = copies.tile_bytes(m=4096, n=8192, k=2048) / copies.operand_bandwidth(peak_flops=312e12)
    assert seconds == pytest.approx(2 * 4096 * 8192 * 2048 / 312e12)


def test_textbook_copies_per_layer() -> None:
    d = 1024
    assert copies.layer_elements(hidden_size=d, key_value_width=d, intermediate_size=4 * d, gated=0) == 38 * d
    gemstones = copies.layer_elements(
        hidden_size=d, key_value_width=d // 2, intermediate_size=4 * d, gated=1, rotary=1
    )
    assert gemstones == 47 * d


def test_arrays_and_scalars_agree() -> None:
    m = np.array([100, 2048, 4097])
    together = copies.quantized_tile_bytes(m=m, n=512, k=64, sm_count=108)
    assert together == pytest.approx(
        [float(copies.quantized_tile_bytes(m=v, n=512, k=64, sm_count=108)) for v in m]
    )


RING = {"link_bandwidth": 300e9, "network_bandwidth": 25e9, "link_latency_s": 1e-5, "network_latency_s": 3e-5}


def test_a_group_of_one_moves_nothing() -> None:
    assert float(collectives.all_reduce_bytes(nbytes=1e9, ranks=1)) == 0.0
    local, nodes = collectives.group_extent(ranks=1, stride=8, domain=8)
    assert float(collectives.collective_time(wire_bytes=0.0, local=local, nodes=nodes, **RING)) == 0.0


def test_more_ports_per_node_are_faster() -> None:
    times = []
    for stride in (1, 2, 4, 8):
        local, nodes = collectives.group_extent(ranks=16, stride=stride, domain=8)
        times.append(float(collectives.collective_time(wire_bytes=1e9, local=local, nodes=nodes, **RING)))
    assert times == sorted(times)


def test_measured_all_reduce_of_eight_a100() -> None:
    # 1 GiB in 8.204 ms and 16 GiB in 127.997 ms on 8 x A100 with NVSwitch (github:stas00/ml-engineering@744d01e)
    for nbytes, measured in ((2**30, 8.204e-3), (2**34, 127.997e-3)):
        wire = collectives.all_reduce_bytes(nbytes=nbytes, ranks=8)
        seconds = collectives.collective_time(
            wire_bytes=wire, local=8, nodes=1, **{**RING, "link_bandwidth": 235e9}
        )
        assert float(seconds) == pytest.approx(measured, rel=0.05)


def test_pipelines() -> None:
    # Narayanan et al., arXiv:2104.04473: the bubble is (p - 1) / m, divided by the virtual stages
    assert float(pipeline.bubble_fraction(pp=8, num_microbatches=8, vp=2)) == pytest.approx(7 / 16)
    plain = pipeline.pipeline_time(middle_s=1.0, last_s=1.0, pp=8, num_microbatches=8)
    interleaved = pipeline.pipeline_time(middle_s=1.0, last_s=1.0, pp=8, num_microbatches=8, vp=4)
    serial = pipeline.pipeline_time(middle_s=1.0, last_s=1.0, pp=8, num_microbatches=8, serial=1)
    assert (float(plain), float(interleaved), float(serial)) == pytest.approx((15.0, 9.75, 64.0))
    assert float(
        pipeline.pipeline_time(middle_s=1.0, last_s=1.5, pp=4, num_microbatches=100)
    ) == pytest.approx(153.0)


def test_filling_a_tile_is_a_time_so_narrow_operands_lose_more_steps() -> None:
    sizes = {"m": 4096, "n": 4096, "k": 4096, "sm_count": 128, "splits": ()}
    lost = {
        b: copies.quantized_tile_bytes(**sizes, operand_bytes=b, fill=256)
        / copies.quantized_tile_bytes(**sizes, operand_bytes=b, fill=0)
        - 1
        for b in (4, 2, 1, 0.5)
    }
    assert lost == pytest.approx({4: 1 / 32, 2: 1 / 16, 1: 1 / 8, 0.5: 1 / 4})
