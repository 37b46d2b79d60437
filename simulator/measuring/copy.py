"""Copy bandwidth: one buffer to another on the device."""

from __future__ import annotations

from typing import Any

from simulator.measuring.plan import Micro
from simulator.measuring.timing import Work


def prepare(torch: Any, device: str, item: Micro) -> Work:
    """A copy of ``bytes`` bytes between two buffers that have been touched."""
    source = torch.ones(item["bytes"] // 4, dtype=torch.float32, device=device)
    target = torch.zeros_like(source)
    return lambda: target.copy_(source)


def value(item: Micro, seconds: float) -> float:
    """Read and written bytes over time. [GB/s]"""
    return 2.0 * item["bytes"] / seconds / 1e9
