"""The operations by name: how each is prepared, what is reported of its time, and in which unit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from simulator.measuring import adam, attention, copy, gemm, launches
from simulator.measuring.plan import Micro
from simulator.measuring.timing import Work


@dataclass(frozen=True)
class Operation:
    """One kind of measurement."""

    prepare: Callable[[Any, str, Micro], Work]
    """From torch, the device and the sizes to the work that is timed."""
    value: Callable[[Micro, float], float]
    """From seconds to the value that the table holds."""
    unit: str
    """Unit of the value."""
    meaning: str
    """What the value counts."""


OPERATIONS: dict[str, Operation] = {
    "copy": Operation(copy.prepare, copy.value, "GB/s", "read and written bytes both counted"),
    "gemm": Operation(gemm.prepare, gemm.value, "TFLOP/s", "the same matrices each time"),
    "attention_fwd_causal": Operation(
        attention.prepare, attention.value, "TFLOP/s", "FLOP of the unmasked half"
    ),
    "attention_fwd_bwd": Operation(
        attention.prepare,
        attention.value,
        "TFLOP/s",
        "causal; FLOP of the unmasked half, backward 2.5 x forward",
    ),
    "launch": Operation(launches.prepare, launches.value, "us", "one addition to one element"),
    "launch_layer": Operation(
        launches.prepare, launches.value, "us", "forward and backward pass over the clock's count of kernels"
    ),
    "adam_step": Operation(adam.prepare, adam.value, "us", "fused AdamW, 32-bit states"),
}
"""Operations by the name in column ``op``."""
