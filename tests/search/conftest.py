"""A made-up machine: round numbers, so that tests do not move with calibrations."""

from __future__ import annotations

import pytest

from simulator.clocks import CLOCKS
from simulator.device import Constants, Device
from simulator.search.evaluate import Setting
from simulator.search.question import Machine

DEVICE = Device(
    peak_flops=300e12,
    memory_bandwidth=2e12,
    memory_capacity=80e9,
    sm_count=108,
    attention_peak_flops=300e12,
    link_bandwidth=300e9,
    link_domain=8,
    network_bandwidth=25e9,
    tdp_w=400.0,
)
CONSTANTS = Constants(
    tile_efficiency=0.75,
    tile_fill=200.0,
    attention_efficiency=0.5,
    hbm_efficiency=0.85,
    link_efficiency=0.75,
    link_latency_s=6e-6,
    network_efficiency=0.75,
    network_latency_s=3e-5,
    network_slowdown=0.1,
    host_blocking=0.0,
    launch_s=5e-6,
    dp_overlap=0.5,
    step_overhead_s=0.01,
)


def make_setting(*, clock="memory_copies", memory_gib=80.0):
    device = DEVICE.with_(memory_capacity=memory_gib * 2**30)
    return Setting(device=device, constants=CONSTANTS, clock=CLOCKS[clock])


def make_machine(*, counts=(8,), price=2.0, power=500.0, label="made-up", **how):
    about = {"evidence": {"grade": "measured", "sets": ["made-up"], "text": "made up"}}
    return Machine(
        label=label,
        setting=make_setting(**how),
        counts=counts,
        usd_per_gpu_hour=price,
        power_per_gpu_w=power,
        bf16_peak=DEVICE.peak_flops,
        about=about,
    )


@pytest.fixture(scope="session")
def setting():
    return make_setting


@pytest.fixture(scope="session")
def machine():
    return make_machine
