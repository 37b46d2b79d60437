"""How a model is trained: tokens, batch, precision, optimizer, recompute."""

from __future__ import annotations

from typing import Literal

from pydantic import model_validator

from simulator.schema.accelerator import Precision
from simulator.schema.base import Count, Flag, Spec, Tokens, Whole, fail_all

Optimizer = Literal["adamw", "adamw_bf16", "adamw_8bit", "adafactor", "muon", "lion", "sgd", "sgd_momentum"]
WRITTEN_OUT = ("bf16", "fp16")
"""Precisions in which weights that are kept in 4 bits are written out."""

Graphs = Literal["none", "partial", "full"]
Recompute = Literal["none", "selective", "full"]


class Training(Spec):
    """The run. What is left out, the planner may choose; batch names are Megatron's."""

    tokens: Tokens | None = None
    """Tokens to train on."""
    steps: Count | None = None
    """Optimizer steps; an alternative to `tokens`."""
    seq_length: Whole = 4096
    """Tokens in one sequence."""
    global_batch_size: Whole | None = None
    """Sequences per optimizer step."""
    global_batch_tokens: Tokens | None = None
    """Tokens per optimizer step; an alternative to `global_batch_size`."""
    micro_batch_size: Whole | None = None
    """Sequences per device and forward pass."""
    precision: Precision = "bf16"
    """Number format of the matrix multiplications."""
    optimizer: Optimizer = "adamw"
    """Optimizer."""
    recompute: Recompute | None = None
    """Activations computed again in the backward pass."""
    flash_attention: Flag = True
    """Attention never writes its scores to memory."""
    autocast: Flag | None = None
    """Weights and residuals are kept in 32 bits and cast for every matmul; the framework's usual if absent."""
    compile: Flag | None = None
    """A graph compiler fuses the small operations; the framework's usual if absent."""
    cuda_graphs: Graphs | None = None
    """Kernels captured in CUDA graphs, which are issued as one: ``partial`` those of layers without their experts, ``full`` all;
    none if absent."""
    fused_experts: Flag | None = None
    """One kernel carries out the matmuls of all experts of a device, with the activation inside; no if absent."""
    fp8_attention: Flag | None = None
    """Fused attention multiplies in 8 bits; no if absent."""
    unique_tokens: Tokens | None = None
    """Distinct tokens available; more training than this repeats data."""
    trainable: Literal["full", "lora", "qlora"] = "full"
    """Which weights are trained: all, or adapters on frozen ones, which ``qlora`` keeps in 4 bits."""
    lora_rank: Whole | None = None
    """Rank of the adapters, with ``trainable: lora`` or ``qlora``."""
    from_pretrained: Flag | None = None
    """The run goes on from trained weights, all of which it trains (a full fine-tune); no loss is predicted then."""

    @model_validator(mode="after")
    def _consistent(self) -> Training:
        found: list[tuple[tuple[str | int, ...], str, str]] = []
        if self.tokens is not None and self.steps is not None:
            found.append((("steps",), "tokens and steps are both given", "write one of them"))
        if self.global_batch_size is not None and self.global_batch_tokens is not None:
            reason = "global_batch_size and global_batch_tokens are both given"
            found.append((("global_batch_tokens",), reason, "write one of them"))
        if self.global_batch_tokens is not None and self.global_batch_tokens < self.seq_length:
            reason = f"fewer tokens than one sequence of {self.seq_length}"
            found.append((("global_batch_tokens",), reason, "it counts tokens, global_batch_size sequences"))
        for name in ("tokens", "unique_tokens"):
            value = getattr(self, name)
            if value is not None and value < self.seq_length:
                reason = f"{value:g} tokens are less than one sequence of {self.seq_length}"
                found.append(((name,), reason, f"write {value:g}B for {value:g} billion"))
        if self.lora_rank is not None and not self.adapts:
            found.append((("lora_rank",), "lora_rank without `trainable: lora`", ""))
        if self.fp8_attention and not self.flash_attention:
            reason = "attention that is not fused has no 8 bits"
            found.append((("fp8_attention",), reason, "leave it out, or write flash_attention: true"))
        if self.trainable == "qlora" and (self.precision not in WRITTEN_OUT or self.autocast):
            reason = "weights in 4 bits are written out in 16 bits for every matmul"
            at = ("autocast",) if self.precision in WRITTEN_OUT else ("precision",)
            found.append((at, reason, "write precision: bf16, and no autocast"))
        if self.from_pretrained is False and self.adapts:
            reason = "adapters are trained on a model that exists"
            found.append((("from_pretrained",), reason, "leave it out, or write trainable: full"))
        if found:
            raise fail_all(found)
        return self

    @property
    def fine_tunes(self) -> bool:
        """Whether a trained model is trained on, of which laws of loss say nothing."""
        return self.adapts or bool(self.from_pretrained)

    @property
    def adapts(self) -> bool:
        """Whether adapters are trained on frozen weights."""
        return self.trainable != "full"

    @property
    def batch_sequences(self) -> float | None:
        """Sequences per optimizer step, if pinned. [sequences]"""
        if self.global_batch_tokens is not None:
            return max(1.0, float(round(self.global_batch_tokens / self.seq_length)))
        return None if self.global_batch_size is None else float(self.global_batch_size)
