"""Seconds of what a training step sends: tensor, context and expert parallelism, pipelines, gradients, ZeRO.

Each function gives the time of the traffic itself; `simulator.clock` decides what of it hides behind which computation.
They take a `Shape`, a `Layout`, a `Device` and `Constants` (numbers or arrays) and return seconds.
"""

from __future__ import annotations

import numpy as np

from simulator import collectives
from simulator import transformer as tf
from simulator.columns import Numeric
from simulator.device import Constants, Device
from simulator.layout import (
    NF4_BYTES,
    Layout,
    expert_shard_degree,
    expert_tp,
    shard_degree,
    stages_held,
    tokens_per_microbatch,
)
from simulator.transformer import Shape


def _group(ranks: Numeric, stride: Numeric, device: Device) -> tuple[Numeric, Numeric]:
    return collectives.group_extent(ranks=ranks, stride=stride, domain=device.link_domain)


def link_bandwidth(device: Device, *, local: Numeric) -> Numeric:
    """Link bandwidth of each of `local` ranks of a domain. [B/s]"""
    return collectives.group_bandwidth(
        bandwidth=device.link_bandwidth, pair_bandwidth=device.link_pair_bandwidth, local=local
    )


def _collective_bandwidth(device: Device, c: Constants, *, local: Numeric) -> Numeric:
    """Most that one of the groups with `local` ranks in a domain gets out of it while the others do the same. [B/s]

    All of it where nothing but its own ring limits a group (`crowding` 0); its part where all share one bottleneck (1).
    """
    share = np.minimum(local / np.asarray(device.link_domain, dtype=float), 1.0)
    return np.asarray(device.collective_bandwidth) * share ** np.asarray(c.crowding)


def _collective(
    wire: Numeric,
    ranks: Numeric,
    stride: Numeric,
    device: Device,
    c: Constants,
    rings: Numeric = 1.0,
    starts: Numeric = 1.0,
    whole: Numeric = 0.0,
) -> Numeric:
    """Time of traffic that goes `rings` times around its group, in `starts` collectives. [s]

    A ring takes a step less than its ranks. Where `whole` is 1 two rings are an all-reduce, which may run as a tree if the
    fabric's all-reduces do. Inside a domain each collective fills its pipeline once, whatever the number of ranks, as measured
    ones do.
    """
    local, nodes = _group(ranks, stride, device)
    ranks = np.asarray(ranks, dtype=float)
    steps = ranks - 1.0
    time = collectives.collective_time(
        wire_bytes=wire,
        local=local,
        nodes=nodes,
        link_bandwidth=link_bandwidth(device, local=local) * c.link_efficiency,
        network_bandwidth=np.asarray(device.network_bandwidth) * c.network_efficiency,
        collective_bandwidth=_collective_bandwidth(device, c, local=local) * c.network_efficiency,
        link_latency_s=c.link_latency_s,
        network_latency_s=c.network_latency_s,
        network_slowdown=c.network_slowdown,
        steps=steps * rings,
        trees=rings * whole * np.round(c.tree_all_reduce),
        link_fill_s=c.link_fill_s,
        starts=starts,
    )
    return np.where(ranks > 1, time, 0.0)


def tensor_parallel_time(
    shape: Shape, layout: Layout, device: Device, c: Constants
) -> tuple[Numeric, Numeric]:
    """Time of one all-reduce of a micro-batch's activations over the tensor-parallel group: (moving, waiting). [s]

    Moving is the bytes with the pipelines they fill, waiting the latency of steps. Sequence parallelism splits the
    all-reduce into a reduce-scatter and an all-gather of the same bytes (arXiv:2205.05198), which run as rings.
    """
    nbytes = 2.0 * tokens_per_microbatch(layout) * shape.hidden_size
    wire = collectives.all_reduce_bytes(nbytes=nbytes, ranks=layout.tp)
    split = np.asarray(layout.sequence_parallel) > 0
    moving = _collective(wire, layout.tp, 1, device, c, rings=0.0, starts=1.0 + split)
    time = _collective(wire, layout.tp, 1, device, c, rings=2.0, starts=1.0 + split, whole=~split)
    return moving, time - moving


def context_parallel_time(shape: Shape, layout: Layout, device: Device, c: Constants) -> Numeric:
    """Forward time of passing keys and values around the context-parallel group. [s]"""
    nbytes = 2.0 * tokens_per_microbatch(layout) * tf.key_value_width(shape) / layout.tp * layout.cp
    wire = collectives.gather_bytes(nbytes=nbytes, ranks=layout.cp)
    return _collective(wire, layout.cp, layout.tp, device, c)


def expert_parallel_time(shape: Shape, layout: Layout, device: Device, c: Constants) -> Numeric:
    """Forward time of one layer's dispatch and combine between expert-parallel ranks. [s]

    Every copy of a token crosses the link. A token that several experts of another domain need crosses the network once
    and is copied there, as in DeepEP and HybridEP: with k experts drawn from m domains it visits
    ``(m - 1) (1 - (1 - 1/m)^k)`` others. A plain all-to-all (`Layout.plain_dispatch`) sends all ``k (m - 1) / m`` copies.
    """
    ep, tp = np.maximum(np.asarray(layout.ep, dtype=float), 1.0), np.asarray(layout.tp, dtype=float)
    chosen = np.maximum(np.asarray(shape.num_experts_per_tok, dtype=float), 1.0)
    local, domains = _group(ep, expert_tp(layout), device)
    both_ways = 2.0 * 2.0 * tokens_per_microbatch(layout) * shape.hidden_size / tp
    alpha = np.where(domains > 1, c.network_latency_s, c.link_latency_s)
    visited = collectives.domains_visited(domains=domains, choices=chosen)
    copies = collectives.gather_bytes(nbytes=chosen, ranks=domains)
    time = collectives.all_to_all_time(
        link_bytes=collectives.gather_bytes(nbytes=both_ways * chosen, ranks=ep),
        network_bytes=both_ways * np.where(np.asarray(layout.plain_dispatch) > 0, copies, visited),
        nodes=domains,
        link_bandwidth=link_bandwidth(device, local=local) * c.link_efficiency,
        network_bandwidth=np.asarray(device.network_bandwidth) * c.network_efficiency,
        latency_s=alpha * (2.0 * np.log2(np.maximum(ep, 2.0))),
        link_fill_s=2.0 * np.asarray(c.link_fill_s),
        network_slowdown=c.network_slowdown,
    )
    return np.where(ep > 1, time, 0.0) * (1.0 - np.asarray(c.ep_overlap))


def device_parameters(shape: Shape, layout: Layout) -> tuple[Numeric, Numeric]:
    """Parameters that one device of the heaviest stage holds before ZeRO: (dense part, routed experts). [parameters]"""
    layers = np.ceil(np.asarray(shape.num_hidden_layers) / layout.pp)
    share = layers / shape.num_hidden_layers
    experts = tf.moe_layers(shape) * np.asarray(shape.num_experts) * tf.expert_parameters(shape)
    embedding = tf.embedding_parameters(shape) + tf.head_parameters(shape)
    blocks = tf.parameters(shape) - experts - embedding
    table = np.where(np.asarray(layout.pp) > 1, tf.embedding_parameters(shape), embedding)
    dense = (blocks * share + table) / layout.tp
    return dense, experts * share / (expert_tp(layout) * np.maximum(layout.ep, 1))


Held = tuple[Numeric, Numeric]
"""What `device_parameters` gives; a caller that has it hands it on. [parameters]"""


def data_parallel_time(
    shape: Shape, layout: Layout, device: Device, c: Constants, held: Held | None = None
) -> Numeric:
    """Time of the gradient (and, with ZeRO, parameter) traffic of one step, if nothing hid it. [s]

    Replicated states: an all-reduce of the gradients. ZeRO-1 and 2: a reduce-scatter of gradients and an all-gather of
    16-bit parameters. Under DualPipe a device has the gradients of two stages, and another device has them too. ZeRO-3 is counted per micro-batch by `gather_time`. Hybrid sharding does so inside its groups and adds
    `replica_time` between them.
    """
    stages = stages_held(layout)
    dense, experts = (stages * each for each in held or device_parameters(shape, layout))
    zero = np.asarray(layout.zero_stage)
    ranks = np.asarray(layout.dp, dtype=float) * layout.cp * stages
    between: Numeric = 0.0
    if np.any(np.asarray(layout.shard_group) > 0):
        between = replica_time(shape, layout, device, c, held=(dense, experts))
        ranks = np.where(zero >= 1, shard_degree(layout) * stages, ranks)
    stride = np.asarray(layout.tp)
    per_parameter = np.where(
        zero >= 1, np.asarray(c.gradient_bytes) + 2.0, 2.0 * np.asarray(c.gradient_bytes)
    )
    rings = 2.0 * np.asarray(c.gradient_buckets)
    wire = collectives.gather_bytes(nbytes=dense * per_parameter, ranks=ranks)
    time = _collective(wire, ranks, stride, device, c, rings, starts=rings, whole=zero == 0)
    if np.any(np.asarray(shape.num_experts) > 0):
        same = expert_shard_degree(layout, ranks=ranks)
        wire = collectives.gather_bytes(nbytes=experts * per_parameter, ranks=same)
        between_experts = _collective(wire, same, stride * np.maximum(layout.ep, 1), device, c)
        time = time + np.where(np.asarray(shape.num_experts) > 0, between_experts, 0.0)
    return (np.where(zero < 3, time, 0.0) + between) * (1.0 - np.asarray(layout.frozen))


def replica_time(
    shape: Shape, layout: Layout, device: Device, c: Constants, held: Held | None = None
) -> Numeric:
    """Time of the all-reduce of sharded gradients between the groups of hybrid sharding, once per step. [s]

    Every rank holds one part in ``shard_group`` of the gradients and meets the ranks that hold the same part elsewhere
    (Zhao et al., arXiv:2304.11277, section 3.2.2). Zero without ZeRO, which replicates everything.
    """
    dense, experts = held or device_parameters(shape, layout)
    group = shard_degree(layout)
    replicas = np.maximum(np.asarray(layout.dp, dtype=float) * layout.cp / group, 1.0)
    nbytes = (dense + experts) * np.asarray(c.gradient_bytes) / group
    rings = 2.0 * np.asarray(c.gradient_buckets)
    wire = collectives.all_reduce_bytes(nbytes=nbytes, ranks=replicas)
    time = _collective(
        wire, replicas, np.asarray(layout.tp) * group, device, c, rings, starts=rings, whole=1.0
    )
    return np.where(np.asarray(layout.zero_stage) >= 1, time, 0.0)


def gather_time(
    shape: Shape, layout: Layout, device: Device, c: Constants, held: Held | None = None
) -> tuple[Numeric, Numeric]:
    """ZeRO-3 traffic of one micro-batch, if nothing hid it: (forward gather, backward gather and scatter). [s]

    Experts are whole on `ep` ranks, so theirs are gathered from the ranks alone that hold the same ones.
    """
    if not np.any(np.asarray(layout.zero_stage) >= 3):
        return 0.0, 0.0
    dense, experts = held or device_parameters(shape, layout)
    blocks = np.ceil(np.asarray(shape.num_hidden_layers) / layout.pp)
    ranks, ep, tp = shard_degree(layout), np.maximum(np.asarray(layout.ep), 1), np.asarray(layout.tp)
    apart = ep > 1

    def moved(amount: Numeric, ranks: Numeric, stride: Numeric) -> Numeric:
        wire = collectives.gather_bytes(nbytes=amount, ranks=ranks)
        return _collective(wire, ranks, stride, device, c, starts=blocks)

    def over(element: Numeric) -> Numeric:
        time = moved(element * (dense + np.where(apart, 0.0, experts)), ranks, tp)
        if not np.any(apart):
            return time
        same = expert_shard_degree(layout, ranks=ranks)
        return time + np.where(apart, moved(element * experts, same, tp * ep), 0.0)

    width = np.where(np.asarray(layout.quantized) > 0, NF4_BYTES, 2.0)
    gather, scatter = over(width), over(np.asarray(c.gradient_bytes))
    on, learns = np.asarray(layout.zero_stage) >= 3, 1.0 - np.asarray(layout.frozen)
    return np.where(on, gather, 0.0), np.where(on, gather + learns * scatter, 0.0)


def send_time(shape: Shape, layout: Layout, device: Device, c: Constants) -> Numeric:
    """Exposed time of handing one micro-batch's activations and gradients to the next stage. [s]

    A stage exchanges two messages with each neighbour, activations and gradients, once per virtual stage; the message is
    split over the tensor-parallel ranks. Stages follow each other in the outermost order of ranks, as in Megatron-LM,
    DeepSpeed and nanotron: where a domain holds all of them no message leaves it, where it holds several the slowest stage
    has one neighbour inside and one outside.
    """
    nbytes = 2.0 * tokens_per_microbatch(layout) * shape.hidden_size / np.asarray(layout.tp)
    link, network = (
        collectives.send_time(nbytes=nbytes, bandwidth=bandwidth, latency_s=c.send_latency_s)
        for bandwidth in (
            link_bandwidth(device, local=2.0) * c.link_efficiency,
            np.asarray(device.network_bandwidth) * c.network_efficiency,
        )
    )
    pp = np.asarray(layout.pp, dtype=float)
    together = np.asarray(device.link_domain) // (np.asarray(layout.tp) * layout.cp * layout.dp)
    neighbours = np.minimum(pp - 1.0, 2.0)
    outside = np.where(together >= pp, 0.0, np.where(together >= 2.0, 1.0, neighbours))
    return 2.0 * np.asarray(layout.vp) * ((neighbours - outside) * link + outside * network)
