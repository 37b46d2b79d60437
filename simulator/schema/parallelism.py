"""How the work is laid over the devices."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from simulator.schema.base import Flag, Spec, Whole

Dispatcher = Literal["alltoall", "deepep", "hybridep"]
Schedule = Literal["1f1b", "interleaved", "gpipe", "zero_bubble", "dualpipe"]


class Parallelism(Spec):
    """Degrees of parallelism. A degree written here is pinned; the planner chooses the others."""

    tp: Whole | None = None
    """Tensor parallel."""
    pp: Whole | None = None
    """Pipeline parallel."""
    dp: Whole | None = None
    """Data parallel; what is left of the devices if absent."""
    cp: Whole | None = None
    """Context parallel."""
    ep: Whole | None = None
    """Expert parallel; lies inside the data-parallel dimension."""
    vp: Whole | None = None
    """Virtual pipeline stages per device."""
    etp: Whole | None = None
    """Tensor parallel inside experts."""
    zero_stage: Annotated[int, Field(ge=0, le=3, strict=True)] | None = None
    """State sharded over data parallel: 1 optimizer, 2 and gradients, 3 and weights (FSDP)."""
    shard_group: Whole | None = None
    """Accelerators of one group of hybrid sharding: ZeRO shards inside it, and groups are replicas of each other; all of
    `dp` x `cp` if absent."""
    sequence_parallel: Flag | None = None
    """Norms and dropout split over the tensor-parallel group."""
    dispatcher: Dispatcher | None = None
    """How tokens reach their experts: ``alltoall`` sends a copy to every expert, ``deepep`` and ``hybridep`` one to every node that
    holds some; the first if absent."""
    expert_overlap: Flag | None = None
    """The exchange between experts goes on beside the work of another micro-batch, as under DualPipe; no if absent."""
    schedule: Schedule | None = None
    """Pipeline schedule: 1F1B if absent, interleaved where `vp` is above 1. ``dualpipe`` needs an even `pp` and an even number of
    micro-batches, at least twice as many."""
