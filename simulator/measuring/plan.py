"""What is measured, decided before anything is: operations, training steps, and which steps the fit does not see."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Tier = Literal["quick", "default", "full"]

TIERS: tuple[Tier, ...] = ("quick", "default", "full")
"""Plans, shortest first."""

MINUTES = {"quick": 1.0, "default": 5.0, "full": 20.0}
"""Time that a plan is given unless asked otherwise; what repeats may take, not a bound. [min]"""


ROUNDS = {"quick": 1, "default": 3, "full": 5}
"""Times that everything is measured, one round after the other: what disturbs a machine for minutes then disturbs a part of
the rows of every shape, not all rows of a few. [-]"""


@dataclass(frozen=True)
class Micro:
    """One operation of one size."""

    op: str
    """Name in `operations.OPERATIONS` and in the column ``op`` of the table."""
    sizes: tuple[tuple[str, int], ...]
    """Sizes by name, in the order in which they are written."""
    dtype: str
    """``fp32``, ``fp16`` or ``bf16``."""

    def __getitem__(self, name: str) -> int:
        return dict(self.sizes)[name]

    @property
    def text(self) -> str:
        """Sizes as the table writes them.

        Examples
        --------
        >>> micro("gemm", "bf16", m=128, n=256, k=512).text
        'm=128,n=256,k=512'
        """
        return ",".join(f"{name}={value}" for name, value in self.sizes)


@dataclass(frozen=True)
class Step:
    """One optimizer step of a small transformer."""

    num_hidden_layers: int
    hidden_size: int
    num_attention_heads: int
    intermediate_size: int
    vocab_size: int
    seq_length: int
    micro_batch_size: int
    held_out: str = ""
    """Why the fit does not see it; empty for a step of the fit."""

    @property
    def id(self) -> str:
        """Name that states every size.

        Examples
        --------
        >>> step(4, 256, seq=512, batch=2).id
        'l4-h256-a4-f768-v4096-s512-b2'
        """
        return (
            f"l{self.num_hidden_layers}-h{self.hidden_size}-a{self.num_attention_heads}-f{self.intermediate_size}"
            f"-v{self.vocab_size}-s{self.seq_length}-b{self.micro_batch_size}"
        )

    @property
    def parameters(self) -> int:
        """Parameters: attention, gated feed-forward, two norms per layer, one at the end, embedding and output. [-]"""
        h, f = self.hidden_size, self.intermediate_size
        return self.num_hidden_layers * (4 * h * h + 3 * h * f + 2 * h) + h + 2 * self.vocab_size * h

    @property
    def memory_bytes(self) -> float:
        """Rough memory of a step, to leave out what cannot fit. [B]

        States 16 B per parameter; 34 B per token, layer and unit of width kept for the backward pass (arXiv:2205.05198,
        without the attention matrix), twice that for gates and 32-bit norms; 12 B per logit.
        """
        tokens = self.seq_length * self.micro_batch_size
        kept = 68.0 * tokens * self.hidden_size * self.num_hidden_layers
        return 16.0 * self.parameters + kept + 12.0 * tokens * self.vocab_size


@dataclass(frozen=True)
class Plan:
    """Everything that is measured, in order."""

    micro: tuple[Micro, ...]
    steps: tuple[Step, ...]


def micro(op: str, dtype: str, **sizes: int) -> Micro:
    """An operation from its sizes."""
    return Micro(op, tuple(sizes.items()), dtype)


def step(
    layers: int,
    width: int,
    *,
    seq: int,
    batch: int,
    vocab: int = 4096,
    ffn: int | None = None,
    head: int = 64,
    held_out: str = "",
) -> Step:
    """A Llama-style step from the few sizes that vary; the feed-forward block is near 8/3 of the width, in 128s."""
    f = ffn or 128 * round(width * 8 / 3 / 128 + 0.49)
    return Step(layers, width, width // head, f, vocab, seq, batch, held_out)


def plan(kind: str, precision: str, tier: Tier = "default", *, memory: float = float("inf")) -> Plan:
    """The plan for a kind of machine.

    Parameters
    ----------
    kind : {"cpu", "cuda"}
        Kind of machine; it decides the sizes.
    precision : str
        Format of the matmuls.
    tier : {"quick", "default", "full"}, optional
        How much is measured.
    memory : float, optional
        Memory that a step may take; larger steps are left out. [B]
    """
    small = kind == "cpu"
    steps: tuple[Step, ...] = (CPU_STEPS if small else CUDA_STEPS)[: None if tier != "quick" else 6]
    held: tuple[Step, ...] = CPU_HELD_OUT if small else CUDA_HELD_OUT
    if tier == "quick":
        held = held[:3]
    elif tier == "full":
        steps += CPU_MORE if small else CUDA_MORE
    every = [each for each in (*steps, *held) if each.memory_bytes <= memory]
    return Plan(_micro(small, precision, tier), tuple(every))


def _micro(small: bool, precision: str, tier: Tier) -> tuple[Micro, ...]:
    quick = tier == "quick"
    megabytes = (1, 8, 64, 256) if small else (1, 16, 128, 1024)
    found = [micro("copy", "fp32", bytes=size << 20) for size in megabytes]
    rows: tuple[int, ...] = (128, 512, 2048) if small else (512, 2048, 8192, 16384)
    widths: tuple[int, ...] = (256, 512, 1024, 2048) if small else (1024, 2048, 4096, 5120, 8192)
    if quick:
        rows, widths = rows[-2:], widths[1:3]
    found += [micro("gemm", precision, m=m, n=n, k=k) for m in rows for n in widths for k in widths]
    for m, n, k in ODD_PRODUCTS[small]:
        found.append(micro("gemm", precision, m=m, n=n, k=k))
    lengths = (256, 1024) if quick else (256, 512, 1024, 2048)
    tokens, heads = (2048, 8) if small else (32768, 16)
    for s in lengths if small else tuple(8 * each for each in lengths):
        sizes = {"b": max(tokens // s, 1), "s": s, "h": heads, "kv": heads, "hd": 64 if small else 128}
        found += [micro(op, precision, **sizes) for op in ("attention_fwd_causal", "attention_fwd_bwd")]
    found += [
        micro("launch", precision, elements=1),
        micro("launch_layer", precision, layers=8, hidden=64, s=8, b=1),
    ]
    sizes_m = (1, 8) if quick else (1, 4, 16)
    scale = 1 if small else 16
    found += [micro("adam_step", "fp32", params=scale * each * 1_000_000) for each in sizes_m]
    return tuple(found)


ODD_PRODUCTS = {True: ((600, 870, 320), (640, 896, 384)), False: ((4500, 3590, 1344), (4608, 3584, 1408))}
"""A matrix product of the step of odd sizes on a processor and on a GPU, and what it becomes in whole tiles."""

CPU_STEPS = (
    step(4, 256, seq=256, batch=4),
    step(2, 128, seq=128, batch=4, vocab=2048),
    step(8, 256, seq=128, batch=4),
    step(2, 384, seq=512, batch=2),
    step(4, 512, seq=256, batch=2, vocab=8192),
    step(8, 128, seq=128, batch=2, vocab=2048),
    step(4, 256, seq=1024, batch=1),
    step(4, 256, seq=256, batch=1),
    step(6, 384, seq=256, batch=4),
    step(2, 512, seq=512, batch=2),
    step(12, 128, seq=256, batch=4),
    step(6, 512, seq=128, batch=2),
)
"""Steps of the fit on a processor: two to twelve layers, width 128 to 512, up to 1,536 tokens."""

CPU_HELD_OUT = (
    step(16, 256, seq=128, batch=4, held_out="deepest"),
    step(4, 768, seq=256, batch=2, held_out="widest"),
    step(4, 256, seq=2048, batch=1, held_out="longest"),
    step(6, 256, seq=512, batch=2, held_out="inside the fit"),
    step(4, 384, seq=256, batch=2, vocab=16384, held_out="largest vocabulary"),
    step(4, 384, seq=256, batch=12, held_out="largest batch"),
    step(6, 320, seq=200, batch=3, vocab=5003, ffn=870, held_out="odd sizes"),
)
"""Steps that the fit on a processor does not see, and why these."""

CPU_MORE = (
    step(8, 512, seq=256, batch=4),
    step(3, 640, seq=512, batch=1),
    step(10, 384, seq=512, batch=1),
    step(2, 256, seq=512, batch=8, vocab=8192),
)
"""Further steps of the full fit on a processor."""

CUDA_STEPS = (
    step(8, 1024, seq=2048, batch=4, vocab=32768, head=128),
    step(4, 512, seq=1024, batch=8, vocab=32768),
    step(24, 1024, seq=2048, batch=2, vocab=32768, head=128),
    step(4, 2048, seq=2048, batch=4, vocab=32768, head=128),
    step(8, 1024, seq=1024, batch=1, vocab=32768, head=128),
    step(4, 4096, seq=2048, batch=1, vocab=32768, head=128),
    step(16, 512, seq=1024, batch=8, vocab=32768),
    step(12, 2048, seq=2048, batch=2, vocab=32768, head=128),
    step(8, 1024, seq=4096, batch=2, vocab=32768, head=128),
    step(16, 1536, seq=2048, batch=4, vocab=32768, head=128),
    step(8, 2048, seq=4096, batch=1, vocab=32768, head=128),
    step(2, 4096, seq=4096, batch=2, vocab=32768, head=128),
)
"""Steps of the fit on a GPU: two to 24 layers, width 512 to 4,096, up to 8,192 tokens."""

CUDA_HELD_OUT = (
    step(32, 1024, seq=2048, batch=2, vocab=32768, head=128, held_out="deepest"),
    step(4, 5120, seq=2048, batch=2, vocab=32768, head=128, held_out="widest"),
    step(8, 1024, seq=16384, batch=1, vocab=32768, head=128, held_out="longest"),
    step(12, 1024, seq=2048, batch=4, vocab=32768, head=128, held_out="inside the fit"),
    step(8, 1024, seq=2048, batch=4, vocab=131072, head=128, held_out="largest vocabulary"),
    step(8, 1024, seq=1024, batch=32, vocab=32768, head=128, held_out="largest batch"),
    step(12, 1344, seq=1500, batch=3, vocab=50257, ffn=3590, held_out="odd sizes"),
)
"""Steps that the fit on a GPU does not see, and why these."""

CUDA_MORE = (
    step(24, 2048, seq=2048, batch=4, vocab=32768, head=128),
    step(16, 2560, seq=4096, batch=1, vocab=32768, head=128),
    step(28, 768, seq=1024, batch=16, vocab=32768),
    step(8, 4096, seq=4096, batch=1, vocab=32768, head=128),
)
"""Further steps of the full fit on a GPU."""
