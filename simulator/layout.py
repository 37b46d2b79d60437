"""How a model is laid out over accelerators: degrees, batch, recomputation; numbers or arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulator.columns import Columns, Numeric

RECOMPUTE = {"none": 0, "selective": 1, "full": 2}
"""Codes of the recomputation modes: nothing, the attention core, every layer from its input."""

CUDA_GRAPHS = {"none": 0, "partial": 1, "full": 2}
"""Codes of what is captured and issued as one: nothing; layers without their experts, whose sizes change with the routing; all of it."""

DISPATCHERS = {"deepep": 0, "hybridep": 0, "alltoall": 1}
"""Codes of how tokens reach their experts: one copy for all experts of a domain, or every copy by itself."""

SCHEDULES = {"gpipe": 0, "1f1b": 1, "interleaved": 1, "zero_bubble": 2, "serial": 3, "dualpipe": 4}
"""Codes of the pipeline schedules; interleaving is 1F1B with ``vp > 1``; zero bubble is ZB-H1 (arXiv:2401.10241), which keeps as
much as 1F1B; serial stages never work side by side; DualPipe (arXiv:2412.19437) feeds the pipeline from both ends, so that every
device holds two stages and hides the traffic of one direction behind the work of the other."""

NF4_BYTES = (4.0 + 8.0 / 64 + 32.0 / (64 * 256)) / 8.0
"""Frozen weight in 4-bit NormalFloat with double quantization: 4 bits, an 8-bit constant per block of 64, and a 32-bit one per
256 of those; 4.127 bits (Dettmers et al., arXiv:2305.14314, section 3). [B/parameter]"""


@dataclass(frozen=True)
class Layout(Columns):
    """Layout of one training step (scalars, or arrays that broadcast)."""

    tp: Numeric = 1
    """Tensor-parallel degree."""
    pp: Numeric = 1
    """Pipeline-parallel degree."""
    dp: Numeric = 1
    """Data-parallel degree."""
    cp: Numeric = 1
    """Context-parallel degree."""
    ep: Numeric = 1
    """Expert-parallel degree (inside ``dp * cp``)."""
    etp: Numeric = 0
    """Tensor-parallel degree of the experts; 0 means the same as ``tp``."""
    vp: Numeric = 1
    """Virtual pipeline stages per accelerator."""
    micro_batch_size: Numeric = 1
    """Sequences that one model replica takes at a time."""
    num_microbatches: Numeric = 1
    """Micro-batches per step and replica (gradient accumulation)."""
    seq_length: Numeric = 4096
    """Tokens per sequence."""
    zero_stage: Numeric = 0
    """0 replicates all states, 1 shards the optimizer, 2 also gradients, 3 also weights (FSDP)."""
    shard_group: Numeric = 0
    """Ranks over which ZeRO shards; 0 means all ``dp * cp`` (hybrid sharding uses fewer)."""
    sequence_parallel: Numeric = 0
    """1 where norms and residuals are sharded over the tensor-parallel group (arXiv:2205.05198)."""
    recompute: Numeric = 0
    """0 none, 1 selective, 2 full."""
    flash_attention: Numeric = 1
    """1 where attention never writes its score matrix to memory."""
    autocast: Numeric = 0
    """1 where weights and residuals are kept in 32 bits and cast for every 16-bit matmul."""
    update_share: Numeric = 1
    """Bytes that the optimizer's sweep moves, relative to AdamW with a 32-bit master copy and 32-bit moments."""
    frozen: Numeric = 0
    """1 where the base weights are frozen and only small adapters learn (LoRA)."""
    quantized: Numeric = 0
    """1 where the frozen weights of layers are kept in 4 bits, and written out in 16 for every matmul (QLoRA)."""
    schedule: Numeric = 1
    """0 GPipe, 1 1F1B (interleaved if ``vp > 1``), 2 zero bubble, 3 serial, 4 DualPipe."""
    pads_vocabulary: Numeric = 0
    """1 where the stack pads the vocabulary to a multiple of 128, so that tensor cores load its rows whole."""
    cuda_graphs: Numeric = 0
    """0 every kernel is issued, 1 those of a layer but not of its experts are one graph, 2 all are."""
    fused_experts: Numeric = 0
    """1 where one kernel carries out the matmuls of all local experts, with the activation and its way into 8 bits inside."""
    plain_dispatch: Numeric = 0
    """1 where every copy of a token crosses the network by itself, 0 where one does for all experts of a domain."""
    expert_overlap: Numeric = 0
    """1 where the exchange between experts goes on beside the work of another micro-batch."""


def is_dualpipe(layout: Layout) -> Numeric:
    """Whether micro-batches enter the pipeline from both ends (arXiv:2412.19437, section 3.2.1)."""
    return np.asarray(layout.schedule) == SCHEDULES["dualpipe"]


def hides_exchange(layout: Layout) -> Numeric:
    """Whether the exchange between experts goes on beside the work of another micro-batch."""
    return is_dualpipe(layout) | (np.asarray(layout.expert_overlap) > 0)


def stages_held(layout: Layout) -> Numeric:
    """Pipeline stages whose weights a device holds: two under DualPipe, else one. [-]"""
    return np.where(is_dualpipe(layout) & (np.asarray(layout.pp) > 1), 2.0, 1.0)


def n_gpus(layout: Layout) -> Numeric:
    """Accelerators that the layout occupies. [-]"""
    return np.asarray(layout.tp) * layout.pp * layout.dp * layout.cp


def global_batch_size(layout: Layout) -> Numeric:
    """Sequences per optimizer step. [sequences]"""
    return np.asarray(layout.micro_batch_size) * layout.num_microbatches * layout.dp


def tokens_per_step(layout: Layout) -> Numeric:
    """Tokens per optimizer step. [tokens]"""
    return global_batch_size(layout) * layout.seq_length


def tokens_per_microbatch(layout: Layout) -> Numeric:
    """Tokens of one micro-batch that one device sees. [tokens]"""
    return np.asarray(layout.micro_batch_size, dtype=float) * layout.seq_length / layout.cp


def shard_degree(layout: Layout) -> Numeric:
    """Ranks over which ZeRO shards the states it shards. [-]"""
    return np.where(np.asarray(layout.shard_group) > 0, layout.shard_group, np.asarray(layout.dp) * layout.cp)


def is_hybrid(layout: Layout) -> Numeric:
    """Whether ZeRO shards inside groups that are replicas of each other (hybrid sharding)."""
    ranks = np.asarray(layout.dp) * layout.cp
    group = np.asarray(layout.shard_group)
    return (np.asarray(layout.zero_stage) >= 1) & (group > 0) & (group < ranks)


def expert_tp(layout: Layout) -> Numeric:
    """Tensor-parallel degree of the experts. [-]"""
    return np.where(np.asarray(layout.etp) > 0, layout.etp, layout.tp)


def expert_shard_degree(layout: Layout, *, ranks: Numeric | None = None) -> Numeric:
    """Ranks that hold the same experts: of `ranks` data-parallel ones (all of them), ``ranks tp / (ep etp)``. [-]"""
    ranks = np.asarray(layout.dp) * layout.cp if ranks is None else np.asarray(ranks)
    return np.maximum(ranks * layout.tp / (np.maximum(layout.ep, 1) * expert_tp(layout)), 1)
