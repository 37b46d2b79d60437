"""Time to issue an operation: alone, and within the forward and backward pass of layers too small to compute anything."""

from __future__ import annotations

from typing import Any

from simulator.device import Constants
from simulator.measuring import steps
from simulator.measuring.plan import Micro, step
from simulator.measuring.timing import Work

PASSES = 3.0
"""Kernels of a forward and a backward pass over those of a forward pass, as the clock counts them. [-]"""


def prepare(torch: Any, device: str, item: Micro) -> Work:
    """One element plus one; or a forward and a backward pass of tiny layers, without the optimizer."""
    if item.op == "launch":
        one = torch.zeros(item["elements"], device=device)
        return lambda: one.add_(1.0)
    tiny = step(item["layers"], item["hidden"], seq=item["s"], batch=item["b"], vocab=64, ffn=128, head=16)
    return steps.training_step(torch, device, tiny, item.dtype, optimizer=False)


def value(item: Micro, seconds: float) -> float:
    """Time of one operation; within layers, time over the kernels that the clock counts. [us]"""
    if item.op == "launch":
        return seconds * 1e6
    return seconds * 1e6 / (item["layers"] * PASSES * float(Constants.kernels_per_layer))
