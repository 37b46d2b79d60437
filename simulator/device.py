"""One accelerator in its node and network as SI numbers, and the physical constants of a calibration set."""

from __future__ import annotations

import math
from dataclasses import dataclass

from simulator.columns import Columns, Numeric


@dataclass(frozen=True)
class Device(Columns):
    """An accelerator as the clock sees it (scalars, or arrays that broadcast)."""

    peak_flops: Numeric
    """Dense peak of the matmul precision. [FLOP/s]"""
    memory_bandwidth: Numeric
    """Peak device-memory bandwidth. [B/s]"""
    memory_capacity: Numeric
    """Device memory that a program can use. [B]"""
    sm_count: Numeric
    """Processors over which matmul tiles are spread (SMs, CUs, tensor cores of a TPU chip)."""
    attention_peak_flops: Numeric
    """Dense peak of the precision in which attention runs (16 bits even under FP8). [FLOP/s]"""
    operand_bytes: Numeric = 2
    """Bytes per matmul operand. [B]"""
    link_bandwidth: Numeric = 0.0
    """Scale-up link, per direction. [B/s]"""
    link_domain: Numeric = 1
    """Accelerators that one scale-up domain joins."""
    link_pair_bandwidth: Numeric = math.inf
    """Scale-up link between two accelerators of a domain, per direction, where no switch joins them. [B/s]"""
    network_bandwidth: Numeric = 0.0
    """Scale-out network per accelerator, per direction. [B/s]"""
    collective_bandwidth: Numeric = math.inf
    """Most that one ring of all its ranks gets out of a domain, however many ports it has there. [B/s]"""
    vector_lanes: Numeric = 1
    """Width to whose multiples the heads of attention are padded. [-]"""
    tdp_w: Numeric = 0.0
    """Thermal design power. [W]"""


@dataclass(frozen=True)
class Constants(Columns):
    """Physical constants of one accelerator and one software stack (scalars, or arrays that broadcast).

    The first block belongs to the hardware, the second to the software. The values live in
    ``hardware_specs/calibrations``, each with the data and the command it was fitted by.
    """

    tile_efficiency: Numeric
    """Share of the peak operand rate that a full wave of matmul tiles reaches. [-]"""
    tile_fill: Numeric
    """Contraction steps that a matmul tile loses to filling and draining. [-]"""
    attention_efficiency: Numeric
    """Share of the peak that a fused attention kernel reaches on the unmasked half. [-]"""
    hbm_efficiency: Numeric
    """Share of the peak memory bandwidth that streaming kernels reach. [-]"""
    link_efficiency: Numeric
    """Share of the link bandwidth that large collectives reach. [-]"""
    link_latency_s: Numeric
    """Latency of one ring step inside the scale-up domain, beyond what filling its pipeline takes. [s]"""
    network_efficiency: Numeric
    """Share of the network bandwidth that large collectives between two nodes reach. [-]"""
    network_latency_s: Numeric
    """Latency of one ring step of a collective that crosses domains. [s]"""
    network_slowdown: Numeric
    """Relative growth of network time with each doubling of nodes. [-]"""
    host_blocking: Numeric
    """Share of the waiting of tensor-parallel collectives during which the host cannot launch ahead. [-]"""
    launch_s: Numeric
    """Time the host needs to issue one kernel. [s]"""
    tree_all_reduce: Numeric = 1.0
    """1 where an all-reduce between domains may run as a tree, 0 where it always runs as rings. [-]"""
    crowding: Numeric = 1.0
    """Power with which what a group gets out of a domain falls with the groups that leave it together: 0 alone, 1 shared. [-]"""
    power_exponent: Numeric = 0.0
    """Power of a board's watts per peak FLOP with which its sustained matmul rate falls. [-]"""
    link_fill_s: Numeric = 0.0
    """Time to fill the pipeline of one collective inside the scale-up domain. [s]"""
    unaligned_rate: Numeric = 0.6
    """Rate of a matmul with a width that is no multiple of 16 bytes, relative to one without. [-]"""
    unaligned_heads_rate: Numeric = 0.1
    """Rate of attention that is not fused with heads whose width is no multiple of 16 bytes, relative to others. [-]"""

    compiled_factor: Numeric = 1.0
    """Small operations left by a graph compiler, relative to eager execution. [-]"""
    selective_share: Numeric = 0.0
    """Share of the forward matmuls that selective recomputation repeats. [-]"""
    last_matmul_share: Numeric = 1.0
    """Share of a layer's last matmul that full recomputation repeats, though no backward pass needs its result. [-]"""
    softmax_multiple: Numeric = 1.0
    """Number of score matrices of which the fused softmax of plain attention takes only multiples. [-]"""
    unfused_kernels: Numeric = 0.0
    """Kernels that a softmax in single operations adds to a layer's forward pass, in kernels of usual issuing time. [-]"""
    kernel_gap_s: Numeric = 0.0
    """Time the device needs to end one kernel and start the next. [s]"""
    stage_balance: Numeric = 0.0
    """How the stack deals layers to the stages of a pipeline: 0 evenly, 1 and 2 by the cost of layers and logits. [-]"""
    kernels_per_layer: Numeric = 30.0
    """Kernels of one layer's forward pass. [-]"""
    attention_factor: Numeric = 1.0
    """Rate of the software's fused attention kernel relative to the accelerator's usual one. [-]"""
    moe_kernel_factor: Numeric = 3.0
    """Kernels of a mixture-of-experts layer relative to a dense one: routing, permutation, exchange. [-]"""
    expert_kernels: Numeric = 0.0
    """Kernels of one local expert in a pass: its matmuls, and what brings their operands into 8 bits. [-]"""
    overlap_kernels: Numeric = 1.0
    """Time to issue a layer whose exchange between experts goes on beside another micro-batch, relative to one without. [-]"""
    eager_share: Numeric = 0.4
    """Kernels of a mixture-of-experts layer that stay outside of partial CUDA graphs, beside those of each expert. [-]"""
    grouped_rate: Numeric = 1.0
    """Rate of the matmuls of a group of experts relative to one matmul of their sizes. [-]"""
    fused_rate: Numeric = 1.0
    """The same where one kernel carries out all of them. [-]"""
    collective_kernels: Numeric = 5.0
    """Kernels in whose time the host issues one tensor-parallel collective. [-]"""
    elementwise_factor: Numeric = 1.0
    """Bytes of unfused norms, activations, residuals relative to the textbook count. [-]"""
    softmax_passes: Numeric = 4.0
    """Times that plain (not flash) attention moves the score matrix in a forward pass. [-]"""
    tp_overlap: Numeric = 0.0
    """Share of the matmul time behind which tensor-parallel communication may hide. [-]"""
    dp_overlap: Numeric = 0.0
    """Share of one micro-batch behind which gradient and parameter traffic may hide. [-]"""
    gather_overlap: Numeric = 0.0
    """Share of a pass behind which ZeRO-3 gathers may hide. [-]"""
    stolen_share: Numeric = 0.0
    """Share of the time of hidden traffic that its kernels take from those that hide it. [-]"""
    ep_overlap: Numeric = 0.0
    """Share of expert all-to-all hidden. [-]"""
    send_overlap: Numeric = 0.0
    """Share of a stage behind which an interleaved pipeline hides what it sends. [-]"""
    send_latency_s: Numeric = 1e-4
    """Start-up time of handing a micro-batch to the next stage. [s]"""
    gradient_buckets: Numeric = 1.0
    """Buckets into which the gradients are split before they are reduced. [-]"""
    gradient_bytes: Numeric = 4.0
    """Bytes per gradient element that data parallelism moves. [B]"""
    optimizer_bytes: Numeric = 30.0
    """Bytes that the optimizer step moves per parameter. [B]"""
    step_overhead_s: Numeric = 0.0
    """Fixed time per optimizer step: data, logging, clipping. [s]"""
    # of the simple clocks
    hbm_copies_efficiency: Numeric = 0.2
    """Share of the memory bandwidth in `hbm_copies`. [-]"""
    flops_mfu: Numeric = 0.4
    """Utilisation in `flops`. [-]"""
    roofline_efficiency: Numeric = 0.5
    """Share of both roofs in `roofline`. [-]"""
    linear_tile_slope: Numeric = 1.5
    """Seconds per second of peak matrix work in `linear_copies`. [-]"""
    linear_memory_slope: Numeric = 1.5
    """Seconds per second of peak memory traffic in `linear_copies`. [-]"""
    linear_intercept_s: Numeric = 0.0
    """Seconds per step in `linear_copies`. [s]"""
