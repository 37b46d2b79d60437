"""Links without a switch, and networks whose collectives do not get what the ports have together."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

import simulator
from simulator import calibrations, clock, collectives, library, traffic
from simulator.layout import Layout
from simulator.schema import load_accelerator, load_cluster
from simulator.transformer import decoder
from simulator.validate import cases as tables
from simulator.validate.kernels import collective_rows
from simulator.validate.machines import DEGRADED_NODE_PROBE, network_bandwidth

MI300X = load_accelerator("mi300x-oam-192gb")
DEVICE = calibrations.device_of(MI300X)
CONSTANTS, _ = calibrations.constants_of(MI300X)
SHAPE = decoder(
    num_hidden_layers=32, hidden_size=4096, intermediate_size=14336, num_attention_heads=32, vocab_size=32000
)
MICRO = library.find("measurements", "micro")
ALL_REDUCE = pd.read_csv(MICRO, low_memory=False).query("op == 'allreduce' and unit == 'GB/s busbw'")


@pytest.mark.parametrize(("ranks", "within"), [(2, 1.5), (4, 2.0), (8, 1.5)])
def test_all_reduces_over_part_of_a_mesh(ranks: int, within: float) -> None:
    """vTrain's nccl-tests on V100 (micro.csv): 22, 85 and 134 GB/s. Four of a DGX-1 share more links than an even mesh has."""
    rows = collective_rows(MICRO)
    rows = rows[(rows.gpu == "V100-SXM2") & (rows.n_gpus == ranks) & (rows.nbytes >= 2**28)]
    assert len(rows) >= 3
    ratio = float(np.median(rows.clock / rows.s))
    assert 1.0 / within < ratio < within
    if ranks == 2:  # behind a switch
        assert float(np.median(rows.flop / (0.8 * 150e9) / rows.s)) < 0.2


@pytest.mark.parametrize(
    ("name", "per_node", "pair"),
    [
        ("mi300x-oam-192gb", None, 64e9),  # seven links of 64 GB/s (github:stas00/ml-engineering)
        ("mi355x-oam-288gb", None, 76.8e9),
        ("gaudi2-96gb", None, 37.5e9),  # 21 ports of 100 Gb/s to seven others
        ("v100-sxm2-32gb", 4, 50e9),  # a board of four: two links of 25 GB/s to each
        ("h200-nvl-141gb", None, 150e9),
        ("h100-sxm-80gb", None, math.inf),
        ("tpu-v5p", None, math.inf),
    ],
)
def test_bandwidth_of_a_pair(name: str, per_node: int | None, pair: float) -> None:
    device = calibrations.device_of(load_accelerator(name), accelerators_per_node=per_node)
    assert device.link_pair_bandwidth == pytest.approx(pair)


def test_a_small_group_of_a_mesh_has_few_links() -> None:
    switch = DEVICE.with_(link_pair_bandwidth=math.inf)
    layout = Layout(micro_batch_size=4, num_microbatches=8, seq_length=4096, sequence_parallel=1.0)
    moved = {}
    for tp in (2, 8):
        for name, device in (("mesh", DEVICE), ("switch", switch)):
            both = traffic.tensor_parallel_time(SHAPE, layout.with_(tp=tp), device, CONSTANTS)
            moved[name, tp] = float(both[0])
    assert moved["mesh", 8] == pytest.approx(moved["switch", 8])
    assert (
        5.0 < moved["mesh", 2] / moved["switch", 2] < 7.0
    )  # a seventh of the links, and a start that is the same
    pipeline = layout.with_(pp=8)
    sent = [float(traffic.send_time(SHAPE, pipeline, each, CONSTANTS)) for each in (DEVICE, switch)]
    assert sent[0] > sent[1]


def test_experts_exchange_over_the_links_of_their_group() -> None:
    mixture = SHAPE.with_(num_experts=8, num_experts_per_tok=2, moe_intermediate_size=14336)
    layout = Layout(dp=8, micro_batch_size=4, seq_length=4096)
    switch = DEVICE.with_(link_pair_bandwidth=math.inf)
    for ep, slower in ((2, True), (8, False)):
        mesh, whole = (
            float(traffic.expert_parallel_time(mixture, layout.with_(ep=ep), each, CONSTANTS))
            for each in (DEVICE, switch)
        )
        assert (mesh > 3.0 * whole) is slower
        assert slower or mesh == pytest.approx(whole)


def test_on_a_mesh_data_parallelism_over_two_is_slower_than_over_eight() -> None:
    """The one machine on which a step gets shorter when data parallelism grows: more links take part."""
    layout = Layout(micro_batch_size=1, num_microbatches=1, seq_length=512, zero_stage=1)
    two, eight = (
        float(traffic.data_parallel_time(SHAPE, layout.with_(dp=dp), DEVICE, CONSTANTS)) for dp in (2, 8)
    )
    assert eight < 0.5 * two


@pytest.mark.parametrize(
    ("gpu", "cluster", "n_gpus"),
    [
        ("V100-SXM2-32GB", "jean-zay-v100", 16),
        ("V100-SXM2-32GB", "jean-zay-v100", 64),
        ("A100-SXM-80GB", "jean-zay-a100", 32),
    ],
)
def test_measured_all_reduces_between_nodes(gpu: str, cluster: str, n_gpus: int) -> None:
    """BigScience's network notes: 10.6, 6.8 and 5.1 GB/s, where the ports of a node have 50 together."""
    row = ALL_REDUCE[(ALL_REDUCE.gpu == gpu) & (ALL_REDUCE.n_gpus == n_gpus)].iloc[0]
    machine, nodes = load_cluster(cluster), n_gpus // load_cluster(cluster).accelerators_per_node
    values = calibrations.shipped_values()
    wire = float(collectives.all_reduce_bytes(nbytes=float(row.shape_or_size), ranks=n_gpus))
    assert machine.network_per_accelerator is not None
    assert machine.collective_bandwidth is not None
    together = machine.network_per_accelerator * machine.accelerators_per_node
    found = {}
    for name, most in (("ports", math.inf), ("collective", machine.collective_bandwidth)):
        seconds = collectives.collective_time(
            wire_bytes=wire,
            local=machine.accelerators_per_node,
            nodes=nodes,
            link_bandwidth=120e9,
            network_bandwidth=machine.network_per_accelerator,
            collective_bandwidth=most,
            link_latency_s=0.0,
            network_latency_s=values["fabric", "network_latency_s"],
            network_slowdown=values["fabric", "network_slowdown"],
        )
        found[name] = wire / float(seconds) / 1e9
    assert found["collective"] == pytest.approx(row.measured_value, rel=0.45)
    assert found["ports"] > 3.5 * row.measured_value
    assert together == pytest.approx(50e9)


def test_the_bound_of_a_collective_counts_where_several_ranks_of_a_node_take_part() -> None:
    device = DEVICE.with_(network_bandwidth=50e9)
    bound = device.with_(collective_bandwidth=50e9)
    layout = Layout(dp=64, zero_stage=3, seq_length=2048, micro_batch_size=1)
    free, held = (
        sum(float(t) for t in traffic.gather_time(SHAPE, layout, each, CONSTANTS)) for each in (device, bound)
    )
    assert held > 3.0 * free


@pytest.mark.parametrize(("crowding", "together"), [(0.0, 8.0), (2 / 3, 2.0), (1.0, 1.0)])
def test_groups_that_leave_a_node_together_share_what_one_of_them_gets(
    crowding: float, together: float
) -> None:
    """Eight groups of one rank in a node: each all of the bound, or a part, or an eighth, as their crowding says."""
    layout = Layout(tp=8, dp=64, zero_stage=1, seq_length=2048, micro_batch_size=1)
    silent = CONSTANTS.with_(network_latency_s=0.0, network_slowdown=0.0, link_fill_s=0.0, crowding=crowding)
    dense, _ = traffic.device_parameters(SHAPE, layout)
    sent = float(dense) * (float(silent.gradient_bytes) + 2.0) * 63 / 64
    rates = {}
    for bound in (8e9, 80e9, math.inf):
        device = DEVICE.with_(network_bandwidth=10e9, collective_bandwidth=bound)
        seconds = float(traffic.data_parallel_time(SHAPE, layout, device, silent))
        rates[bound] = 8 * sent / seconds / float(silent.network_efficiency)
    assert rates[8e9] == pytest.approx(together * 8e9, rel=1e-6)
    assert rates[80e9] == rates[math.inf] == pytest.approx(80e9, rel=1e-6)


def test_an_all_reduce_between_nodes_is_a_tree_where_that_is_sooner() -> None:
    """NCCL's own estimate of both, for a message without bytes; reduce-scatters and all-gathers have no trees."""

    def latency(local: int, nodes: int, trees: float, link_latency_s: float = 1e-6) -> float:
        return float(
            collectives.collective_time(
                wire_bytes=0.0,
                local=local,
                nodes=nodes,
                link_bandwidth=1e11,
                network_bandwidth=1e10,
                steps=2.0 * (local * nodes - 1),
                trees=trees,
                link_latency_s=link_latency_s,
                network_latency_s=2e-5,
            )
        )

    assert latency(8, 32, 0.0) == pytest.approx(2 * 255 * 2e-5)
    assert latency(8, 32, 2.0) == pytest.approx(2 * (7 * 1e-6 + 5 * 2e-5))
    assert latency(1, 2, 2.0) == latency(1, 2, 0.0)  # two ranks: the tree is the ring
    assert latency(8, 2, 2.0, 1e-3) == latency(8, 2, 0.0, 1e-3)  # the ring is sooner


PROBE = r"all-reduce probe ([\d.]+) GB/s world, ([\d.]+) GB/s in node"


def test_all_reduces_of_a_degraded_fabric_take_as_long_as_rings() -> None:
    """Probes that 980 rows of the layout sweep print: where a fabric is degraded their bandwidth falls as one over the ranks."""
    frame = pd.read_csv(library.find("measurements", "throughput"), low_memory=False)
    probe = frame.notes.astype(str).str.extract(PROBE).astype(float)
    frame = frame.assign(world=probe[0], node=probe[1])[probe[0].notna() & (frame.n_gpus >= 64)]
    sound = frame.node >= DEGRADED_NODE_PROBE
    shares = {
        fabric: rows.groupby("n_gpus").world.median() / rows[rows.n_gpus == 64].world.median()
        for fabric, rows in (("fabric", frame[sound]), ("fabric-degraded", frame[~sound]))
    }
    for ranks in (128, 256, 512):
        assert shares["fabric"][ranks] == pytest.approx(1.0, abs=0.1)
        assert shares["fabric-degraded"][ranks] == pytest.approx(64 / ranks, rel=0.2)
    values = calibrations.shipped_values()
    assert round(values["fabric", "tree_all_reduce"]) == 1
    assert round(values["fabric-degraded", "tree_all_reduce"]) == 0


def test_only_whole_all_reduces_run_as_trees() -> None:
    """Gradients of replicated states are reduced whole, those of ZeRO-1 scattered; sequence parallelism splits all-reduces."""
    many = Layout(dp=512, zero_stage=0, seq_length=2048)
    ringed = CONSTANTS.with_(tree_all_reduce=0.0)
    for layout, alike in ((many, False), (many.with_(zero_stage=1), True)):
        tree, ring = (
            float(traffic.data_parallel_time(SHAPE, layout, DEVICE, c)) for c in (CONSTANTS, ringed)
        )
        assert (tree == ring) is alike
        assert tree <= ring
    wide = Layout(tp=16, seq_length=2048)
    for layout, alike in ((wide, False), (wide.with_(sequence_parallel=1), True)):
        tree, ring = (traffic.tensor_parallel_time(SHAPE, layout, DEVICE, c)[1] for c in (CONSTANTS, ringed))
        assert (float(tree) == float(ring)) is alike


SCENARIO: dict[str, Any] = {
    "model": "llama-2-7b",
    "hardware": {"accelerator": "h100-sxm-80gb", "n_gpus": 64, "cluster": "dgx-h100", "price": "$2/GPU-h"},
    "software": "fsdp",
    "training": {"tokens": "20B", "seq_length": 4096, "global_batch_size": 128, "micro_batch_size": 1},
    "parallelism": {"tp": 1, "pp": 1, "zero_stage": 3},
}


def seconds(**changes: Any) -> float:
    """Step time of the scenario with some entries changed."""
    scenario = {
        key: {**value, **changes.pop(key, {})} if isinstance(value, dict) else value
        for key, value in SCENARIO.items()
    }
    return float(simulator.run(scenario).to_dict()["answer"]["step_time_s"])


def test_a_scenario_may_state_what_its_collectives_reach() -> None:
    plain = seconds()
    assert seconds(hardware={"collective_bandwidth": "20 GB/s"}) > 1.5 * plain
    assert seconds(hardware={"collective_bandwidth": "900 GB/s"}) == pytest.approx(plain)
    old: dict[str, Any] = {
        "training": {"precision": "fp16"},
        "hardware": {"accelerator": "v100-sxm2-32gb", "cluster": "jean-zay-v100"},
    }
    jean_zay = seconds(**old)
    replaced = seconds(**{**old, "hardware": {**old["hardware"], "collective_bandwidth": "50 GB/s"}})
    assert jean_zay > 1.2 * replaced
    ports = seconds(**{**old, "hardware": {**old["hardware"], "network_bandwidth": "12.5 GB/s"}})
    assert ports == pytest.approx(
        replaced
    )  # a stated network is not bound by what the cluster's own one reached


@pytest.mark.parametrize(
    ("text", "per_node", "gigabytes"),
    [
        ("NVLink; 400 Gbps OmniPath per node", 4, 12.5),
        ("NVLink; 4x OmniPath per node", 8, 6.25),
        ("2 x 200Gbe Ethernet | Gig Ethernet", 8, 6.25),
        ("8x 4th Gen NVLink, 900GB/s | Infiniband, Ethernet", 8, None),
        ("NVLINK 4.0 | 1x Ethernet 100Gb/Sec, 8x NVIDIA Quantum-2 CX7 InfiniBand (400Gb/s)", 8, 50.0),
        (
            "Storage: 2x ConnectX-7 IB NDR 400Gb/s, Compute: 8x BlueField-3 200Gb/s, Management: 9x 800Gb/s",
            8,
            25.0,
        ),
        ("Grand Teton: 8x H100 96GB HBM2e (2.4 TB/s, 500 W) NVLink", 8, None),
    ],
)
def test_ports_in_words(text: str, per_node: int, gigabytes: float | None) -> None:
    found = network_bandwidth(text, per_node)
    assert found == (None if gigabytes is None else pytest.approx(gigabytes * 1e9))


ROW = {
    "id": "ours",
    "framework": "torchtitan",
    "gpu": "h100-sxm-80gb",
    "n_gpus": 64,
    "interconnect": "2x 25 Gb/s",
    "n_layers": 32,
    "d_model": 4096,
    "n_heads": 32,
    "d_ff": 11008,
    "mlp_type": "swiglu",
    "vocab": 32000,
    "seq_len": 4096,
    "global_batch_seqs": 512,
    "micro_batch": 1,
    "tp": 1,
    "pp": 1,
    "zero_stage": 3,
    "measured_quantity": "step_time_s",
    "measured_value": 1.5,
}


def test_a_row_may_state_the_group_that_holds_a_copy() -> None:
    rows = pd.DataFrame([ROW, {**ROW, "id": "hybrid", "shard_group": 8}])
    cases = tables.of_frame(rows)
    assert list(cases.layout.shard_group) == [0, 8]
    assert list(cases.device.network_bandwidth) == pytest.approx([25e9 / 8 * 2 / 8] * 2)
    constants = tables.constants(cases, calibrations.shipped_values())
    whole, hybrid = sum(clock.memory_copies(cases.shape, cases.layout, cases.device, constants).values())
    assert hybrid < 0.7 * whole
    odd = tables.of_frame(pd.DataFrame([{**ROW, "shard_group": 3}]))
    assert list(odd.skipped) == ["shard_group 3 does not divide dp x cp = 64"]


@pytest.mark.parametrize(
    ("dp", "pp", "inside", "outside"),
    [
        (1, 8, 2, 0),  # a node of eight holds all stages
        (8, 2, 0, 1),  # a stage is a node
        (4, 8, 1, 1),  # two stages in each node
        (4, 2, 1, 0),
        (8, 8, 0, 2),
    ],
)
def test_neighbours_of_a_stage_are_in_its_node_or_not(dp: int, pp: int, inside: int, outside: int) -> None:
    device = calibrations.device_of(load_accelerator("h100-sxm-80gb"))
    layout = Layout(dp=dp, pp=pp, seq_length=4096)
    nbytes = 2.0 * 4096 * SHAPE.hidden_size
    link = float(device.link_bandwidth) * CONSTANTS.link_efficiency
    network = float(device.network_bandwidth) * CONSTANTS.network_efficiency
    expected = 2.0 * sum(
        count * (CONSTANTS.send_latency_s + nbytes / bandwidth)
        for count, bandwidth in ((inside, link), (outside, network))
    )
    assert float(traffic.send_time(SHAPE, layout, device, CONSTANTS)) == pytest.approx(expected)
