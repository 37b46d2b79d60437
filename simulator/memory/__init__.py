"""Bytes that live on one accelerator during a training step, by category."""

from __future__ import annotations

from simulator.memory.activations import inflight_microbatches, layer_bytes
from simulator.memory.advice import Advice, fewest_gpus, largest_micro_batch, smallest_change, verdict
from simulator.memory.constants import KORTHIKANTI, MEMORY_PROFILES, MemoryConstants
from simulator.memory.held import STAGES
from simulator.memory.peak import CATEGORIES, peak, peak_total
from simulator.memory.states import OPTIMIZERS, PRECISIONS

__all__ = [
    "CATEGORIES",
    "KORTHIKANTI",
    "MEMORY_PROFILES",
    "OPTIMIZERS",
    "PRECISIONS",
    "STAGES",
    "Advice",
    "MemoryConstants",
    "fewest_gpus",
    "inflight_microbatches",
    "largest_micro_batch",
    "layer_bytes",
    "peak",
    "peak_total",
    "smallest_change",
    "verdict",
]
