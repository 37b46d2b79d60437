"""Time of collective communication inside a scale-up domain and across a network.

A collective is described by the bytes that one rank must move (its *wire bytes*) and by where its ranks sit: ``local``
ranks of the group share a scale-up domain (a node, a rack), and ``nodes`` domains take part. Inside a domain the bytes
cross the link; across domains each rank brings its own network port, so a group with more local ranks has more ports.
"""

from __future__ import annotations

import math

import numpy as np

from simulator.columns import Numeric


def all_reduce_bytes(*, nbytes: Numeric, ranks: Numeric) -> Numeric:
    """Bytes that each rank sends in an all-reduce of a buffer of `nbytes`. [B]

    ``2 b (n - 1) / n``: a reduce-scatter and an all-gather (Patarasuk and Yuan 2009).

    Examples
    --------
    >>> print(all_reduce_bytes(nbytes=8e9, ranks=8) / 1e9)
    14.0
    """
    return 2.0 * np.asarray(nbytes) * (np.asarray(ranks) - 1) / ranks


def gather_bytes(*, nbytes: Numeric, ranks: Numeric) -> Numeric:
    """Bytes that each rank sends in an all-gather or reduce-scatter of a full buffer of `nbytes`. [B]

    Also the bytes of an all-to-all in which each rank holds `nbytes`.
    """
    return np.asarray(nbytes) * (np.asarray(ranks) - 1.0) / ranks


def group_extent(*, ranks: Numeric, stride: Numeric, domain: Numeric) -> tuple[Numeric, Numeric]:
    """Ranks of a group that share a domain, and the number of domains it spans.

    Parameters
    ----------
    ranks : numeric
        Ranks of the group. [-]
    stride : numeric
        Distance between neighbouring ranks of the group (product of the faster-varying degrees). [-]
    domain : numeric
        Accelerators per scale-up domain. [-]

    Returns
    -------
    local, nodes : numeric
        Both at least 1; ``local * nodes >= ranks``.

    Examples
    --------
    Data parallelism of 16 with tensor parallelism of 4 on nodes of eight: two ranks per node, eight nodes.

    >>> [int(v) for v in group_extent(ranks=16, stride=4, domain=8)]
    [2, 8]
    """
    local = np.minimum(np.maximum(np.asarray(domain) // stride, 1), ranks)
    return local, np.ceil(np.asarray(ranks) / local)


def group_bandwidth(*, bandwidth: Numeric, pair_bandwidth: Numeric, local: Numeric) -> Numeric:
    """Link bandwidth of one rank of a group of `local` ranks in a domain. [B/s]

    Behind a switch all of it; in a mesh, whose links join pairs, what leads to the other ranks of the group:
    ``min(B, (n - 1) B_pair)``. NCCL's rings over 2, 4 and 8 V100s reach 23, 85 and 135 GB/s (``micro.csv``).

    Examples
    --------
    Two of the eight accelerators that links of 64 GB/s join, and all of them:

    >>> [float(group_bandwidth(bandwidth=448e9, pair_bandwidth=64e9, local=n) / 1e9) for n in (2, 8)]
    [64.0, 448.0]
    """
    others = np.maximum(np.asarray(local, dtype=float) - 1.0, 1.0)
    return np.minimum(bandwidth, others * np.asarray(pair_bandwidth))


def collective_time(
    *,
    wire_bytes: Numeric,
    local: Numeric,
    nodes: Numeric,
    link_bandwidth: Numeric,
    network_bandwidth: Numeric,
    link_latency_s: Numeric,
    network_latency_s: Numeric,
    network_slowdown: Numeric = 0.0,
    steps: Numeric | None = None,
    trees: Numeric = 0.0,
    link_fill_s: Numeric = 0.0,
    starts: Numeric = 1.0,
    collective_bandwidth: Numeric = math.inf,
) -> Numeric:
    r"""Time of one collective over a two-level machine.

    Parameters
    ----------
    wire_bytes : numeric
        Bytes that one rank must send in all. [B]
    local, nodes : numeric
        Extent of the group, from `group_extent`. [-]
    link_bandwidth, network_bandwidth : numeric
        Achieved rates per rank and direction. [B/s]
    link_latency_s, network_latency_s : numeric
        Latency of one step of a ring inside a domain, and of one that crosses domains. [s]
    network_slowdown : numeric, optional
        Relative growth of network time per doubling of domains: contention, stragglers. [-]
    steps : numeric, optional
        Messages that follow each other; one ring if absent (a rank less than the group). An all-reduce has two rings
        per bucket, an all-to-all about ``log2`` of the ranks. [-]
    trees : numeric, optional
        Passes, up or down, over the trees of all-reduces that may run as trees where that is sooner; 0 where none may. [-]
    link_fill_s : numeric, optional
        Time to fill the pipeline of a collective inside a domain (`filled_time`). [s]
    starts : numeric, optional
        Collectives into which the bytes are divided, each with a pipeline to fill. [-]
    collective_bandwidth : numeric, optional
        Most that this collective gets out of a domain, where its ports have more. [B/s]

    Returns
    -------
    numeric
        Time; zero for a group of one rank. [s]

    Notes
    -----
    .. math:: t = k\,\alpha + \max\left(\left(\sqrt{a} + \sqrt{b / B_l}\right)^2,
              \frac{b}{\min(g\,B_n, B_c)}\,(1 + \sigma \log_2 m)\right)

    where trees may be used with ``k alpha`` at most q passes of `tree_latency`; with k steps, q passes, a the time to fill the pipelines of the link (or of the network, where every hop crosses it), g local
    ranks (ports) per domain, m domains and B_c the `collective_bandwidth`: a pipelined hierarchical ring is limited by its
    slower level, and the network only carries one g-th of the bytes per port. A ring of n ranks takes n - 1 steps, each as
    slow as its slowest hop.
    Optimistic for fabrics with oversubscription, pessimistic for small messages on tree algorithms.

    Examples
    --------
    >>> print(round(collective_time(wire_bytes=14e9, local=8, nodes=1, link_bandwidth=400e9, network_bandwidth=40e9,
    ...       link_latency_s=2e-5, network_latency_s=2e-5) * 1e3, 2))
    35.14
    """
    doublings = np.log2(nodes)
    inside = np.where(np.asarray(local) > 1, wire_bytes / np.maximum(link_bandwidth, 1.0), 0.0)
    ports = np.minimum(local * np.maximum(network_bandwidth, 1.0), collective_bandwidth)
    across = wire_bytes / ports * (1.0 + network_slowdown * doublings)
    across = np.where(np.asarray(nodes) > 1, across, 0.0)
    steps = local * nodes - 1.0 if steps is None else steps
    latency = np.where(np.asarray(nodes) > 1, network_latency_s, link_latency_s) * steps
    passes = np.asarray(trees) * tree_latency(
        local=local, nodes=nodes, link_latency_s=link_latency_s, network_latency_s=network_latency_s
    )
    latency = np.where(np.asarray(trees) > 0, np.minimum(latency, passes), latency)
    fill = starts * np.asarray(link_fill_s)
    alone = np.where(np.asarray(local) > 1, 0.0, fill)  # every hop crosses the network
    return latency + np.maximum(
        filled_time(fill_s=np.where(inside > 0, fill, 0.0), stream_s=inside),
        filled_time(fill_s=np.where(across > 0, alone, 0.0), stream_s=across),
    )


def tree_latency(
    *, local: Numeric, nodes: Numeric, link_latency_s: Numeric, network_latency_s: Numeric
) -> Numeric:
    r"""Latency of one pass, up or down, over the tree of an all-reduce. [s]

    Parameters
    ----------
    local, nodes : numeric
        Extent of the group, from `group_extent`. [-]
    link_latency_s, network_latency_s : numeric
        Latency of a step inside a domain, and of one between domains. [s]

    Notes
    -----
    .. math:: (g - 1)\,\alpha_l + \log_2 m\;\alpha_n

    The g ranks of a domain form a chain, the m domains a binary tree: so NCCL estimates its own trees
    (github:NVIDIA/nccl src/graph/tuning.cc). Reduce-scatters and all-gathers have none.

    Examples
    --------
    >>> print(round(tree_latency(local=8, nodes=16, link_latency_s=1e-6, network_latency_s=2e-5) * 1e6, 1))
    87.0
    """
    return (np.asarray(local) - 1.0) * link_latency_s + np.log2(nodes) * network_latency_s


def filled_time(*, fill_s: Numeric, stream_s: Numeric) -> Numeric:
    r"""Time of a transfer that goes through a pipeline in chunks of the best size. [s]

    Parameters
    ----------
    fill_s : numeric
        Time of an empty message from end to end. [s]
    stream_s : numeric
        Time of all bytes at full bandwidth. [s]

    Notes
    -----
    Large chunks fill the pipeline slowly, small ones pay their start-up often: p stages and c chunks take
    ``(p - 1 + c) (alpha + b / c)``. The best number of chunks gives

    .. math:: t = \left(\sqrt{a} + \sqrt{b}\right)^2, \qquad a = (p - 1)\,\alpha

    (Sanders, Speck and Traeff 2009, doi:10.1016/j.parco.2009.09.001, for pipelined collectives). So the bandwidth that is
    reached rises over four decades of size, as it does in measured collectives: on machines with a switch, A100 to GB300,
    the two constants are nearly the same (`simulator.calibrate.links`). Fitted from a megabyte on: below 256 kB it is about a
    fifth too fast on them (a tenth too slow on A100), and it does not describe GPUs without a switch (V100, PCIe cards).

    Examples
    --------
    A message that takes 100 us at full bandwidth, with 8 us to fill the pipeline, takes 164.6 us.

    >>> print(round(filled_time(fill_s=8e-6, stream_s=1e-4) * 1e6, 1))
    164.6
    """
    return np.square(np.sqrt(fill_s) + np.sqrt(stream_s))


def domains_visited(*, domains: Numeric, choices: Numeric) -> Numeric:
    r"""Return how many other domains a token visits whose experts are drawn evenly over all domains. [-]

    .. math:: (m - 1)\left(1 - (1 - 1/m)^k\right)

    Examples
    --------
    Eight experts out of four nodes need 2.7 of the three other nodes.

    >>> print(round(domains_visited(domains=4, choices=8), 2))
    2.7
    """
    domains = np.asarray(domains, dtype=float)
    return (domains - 1.0) * (1.0 - (1.0 - 1.0 / domains) ** np.asarray(choices))


def all_to_all_time(
    *,
    link_bytes: Numeric,
    network_bytes: Numeric,
    nodes: Numeric,
    link_bandwidth: Numeric,
    network_bandwidth: Numeric,
    latency_s: Numeric,
    network_slowdown: Numeric = 0.0,
    link_fill_s: Numeric = 0.0,
) -> Numeric:
    r"""Time of an all-to-all in which each rank sends its own bytes over its own port.

    Unlike a ring, which crosses between two domains once per port, every rank sends to every other domain, so the
    network carries all of `network_bytes`.

    Parameters
    ----------
    link_bytes, network_bytes : numeric
        Bytes that one rank sends over the link and over the network. [B]
    nodes : numeric
        Domains that take part. [-]
    link_bandwidth, network_bandwidth : numeric
        Achieved rates per rank and direction. [B/s]
    latency_s : numeric
        Start-up time of the exchange. [s]
    network_slowdown : numeric, optional
        Relative growth of network time per doubling of domains. [-]
    link_fill_s : numeric, optional
        Time to fill the pipeline (`filled_time`). [s]

    Returns
    -------
    numeric
        ``latency + (sqrt(fill) + sqrt(max(link_bytes / B_l, network_bytes (1 + sigma log2 m) / B_n)))^2``. [s]

    Examples
    --------
    >>> print(round(all_to_all_time(link_bytes=4e9, network_bytes=1e9, nodes=4, link_bandwidth=400e9,
    ...       network_bandwidth=40e9, latency_s=1e-5) * 1e3, 2))
    25.01
    """
    inside = np.asarray(link_bytes) / np.maximum(link_bandwidth, 1.0)
    slower = 1.0 + np.asarray(network_slowdown) * np.log2(nodes)
    across = np.asarray(network_bytes) * slower / np.maximum(network_bandwidth, 1.0)
    return latency_s + filled_time(fill_s=link_fill_s, stream_s=np.maximum(inside, across))


def send_time(*, nbytes: Numeric, bandwidth: Numeric, latency_s: Numeric) -> Numeric:
    """Time of one point-to-point message. [s]

    Examples
    --------
    >>> print(send_time(nbytes=50e6, bandwidth=50e9, latency_s=1e-5) * 1e3)
    1.01
    """
    return latency_s + np.asarray(nbytes) / np.maximum(bandwidth, 1.0)
