"""Fused causal attention, forward alone and with its backward pass."""

from __future__ import annotations

from typing import Any

from simulator.kernels import FLASH_BACKWARD
from simulator.measuring.gemm import formats
from simulator.measuring.plan import Micro
from simulator.measuring.timing import Work


def prepare(torch: Any, device: str, item: Micro) -> Work:
    """Attention over ``b`` sequences of ``s`` tokens with ``h`` heads of width ``hd``, as torch chooses the kernel."""
    dtype = formats(torch)[item.dtype]
    backward = item.op == "attention_fwd_bwd"
    size = (item["b"], item["h"], item["s"], item["hd"])
    q, k, v = (torch.randn(size, device=device).to(dtype).requires_grad_(backward) for _ in range(3))
    attend = torch.nn.functional.scaled_dot_product_attention
    if not backward:
        return lambda: attend(q, k, v, is_causal=True)
    gradient = torch.randn(size, device=device).to(dtype)
    return lambda: torch.autograd.grad(attend(q, k, v, is_causal=True), (q, k, v), gradient)


def value(item: Micro, seconds: float) -> float:
    """FLOP of the unmasked half over time, the backward pass 2.5 times the forward one. [TFLOP/s]"""
    forward = 2.0 * item["b"] * item["h"] * item["s"] ** 2 * item["hd"]
    passes = 1.0 + FLASH_BACKWARD if item.op == "attention_fwd_bwd" else 1.0
    return forward * passes / seconds / 1e12
