"""The optimizer's sweep over its states."""

from __future__ import annotations

from typing import Any

from simulator.measuring.plan import Micro
from simulator.measuring.timing import Work

PIECE = 1_000_000
"""Parameters of one tensor. [-]"""


def prepare(torch: Any, device: str, item: Micro) -> Work:
    """One fused AdamW step over tensors of a million 32-bit parameters."""
    tensors = [torch.randn(PIECE, device=device).requires_grad_() for _ in range(item["params"] // PIECE)]
    for each in tensors:
        each.grad = torch.randn_like(each)
    return optimizer(torch, tensors).step  # type: ignore[no-any-return]


def optimizer(torch: Any, parameters: list[Any]) -> Any:
    """AdamW as the training steps use it."""
    return torch.optim.AdamW(parameters, lr=1e-4, betas=(0.9, 0.95), weight_decay=0.1, fused=True)


def value(item: Micro, seconds: float) -> float:
    """Time of one step. [us]"""
    return seconds * 1e6
