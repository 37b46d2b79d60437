"""Matrix products: the sweep whose best rate is a machine's measured peak."""

from __future__ import annotations

from typing import Any

from simulator.measuring.plan import Micro
from simulator.measuring.timing import Work


def prepare(torch: Any, device: str, item: Micro) -> Work:
    """``[m, k] x [k, n]`` in the layout of a linear layer, with the weight as ``[n, k]``."""
    dtype = formats(torch)[item.dtype]
    left = torch.randn(item["m"], item["k"], device=device).to(dtype)
    weight = torch.randn(item["n"], item["k"], device=device).to(dtype)
    result = torch.empty(item["m"], item["n"], dtype=dtype, device=device)
    return lambda: torch.mm(left, weight.t(), out=result)


def value(item: Micro, seconds: float) -> float:
    """FLOP over time; a multiply-add is two. [TFLOP/s]"""
    return 2.0 * item["m"] * item["n"] * item["k"] / seconds / 1e12


def formats(torch: Any) -> dict[str, Any]:
    """Torch's number formats by our names."""
    return {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
