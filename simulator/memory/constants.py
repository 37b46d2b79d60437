"""What differs between training frameworks in what they keep in memory: small named sets of numbers."""

from __future__ import annotations

from dataclasses import dataclass, replace

GIB = float(2**30)


@dataclass(frozen=True)
class MemoryConstants:
    """Habits of one training framework and of the allocator below it (all numbers per accelerator).

    Bytes per element are what the framework's source allocates. The allocator's shares are fitted by
    `simulator.memory_fit.fit_memory` from ``measurements/memory.csv``.
    """

    name: str
    source: str
    gradient_bytes: float = 4.0
    """Gradient kept across micro-batches. [B/parameter]"""
    bucket_bytes: float = 0.0
    """Second copy of the gradient in data-parallel buckets, where there is data parallelism. [B/parameter]"""
    optimizer_gather_bytes: float = 0.0
    """Copy made when ZeRO-1 gathers updated weights after the optimizer step, while no activation lives. [B/parameter]"""
    sharded_master: int = 0
    """1 where the sharded weights themselves are the fp32 master (FSDP), 0 where a master copy is apart."""
    gathered_layers: float = 2.0
    """Layers whose whole weights are present at a time under ZeRO-3: the running one and the prefetched one. [-]"""
    hidden_tensors: float = 4.0
    """Tensors of width h kept per layer outside the tensor-parallel region: inputs and outputs of both norms. [-]"""
    gathered_tensors: float = 0.0
    """Whole-width tensors at work at the worst moment because sequence parallelism gathers and scatters them. [-]"""
    kept_gathers: float = 0.0
    """Whole-width gathered inputs kept for the backward pass per layer, instead of gathered again. [-]"""
    late_tensors: float = 0.0
    """Whole-width tensors per layer that are freed but not reusable, because the host has enqueued the next forward pass
    while the device still communicates them (PyTorch's ``record_stream``). [-]"""
    gated_tensors: float = 3.0
    """Tensors of FFN width kept by a gated block: gate, up, product (3) and silu(gate) if not fused (4). [-]"""
    plain_tensors: float = 2.0
    """Tensors of FFN width kept by a plain block: before and after the activation. [-]"""
    attention_copies: float = 0.0
    """Further copies of queries, keys and values that autograd keeps (casts, transposes, rotary). [-]"""
    selective_keeps: float = 1.0
    """Share of the matmuls' results that selective recomputation keeps; 1 where it repeats the attention core alone. [-]"""
    dropout: int = 0
    """1 where dropout masks are kept (1 B per element), as in models of 2019-2022."""
    logit_bytes: float = 8.0
    """Bytes per logit at the worst moment: half-precision logits, their fp32 copy, softmax or its gradient. [B]"""
    late_logit_bytes: float = 0.0
    """Bytes per logit of the previous micro-batch that are not reusable yet, where there is one. [B]"""
    stage_balance: int = 0
    """0 deals layers evenly to pipeline stages; 1 and 2 by cost with the output head counted, a stage closing when it
    reaches its share (1) or passes it (2)."""
    fragmentation: float = 0.197
    """Allocator's unusable share of what comes and goes: activations, logits, gathered weights. [-]"""
    reserve_bytes: float = 0.1822 * GIB
    """Allocator's rounding and small tensors: position tables, masks, workspaces of GEMM libraries. [B]"""
    context_bytes: float = 0.6 * GIB
    """CUDA context and loaded kernels, outside the allocator. [B]"""
    communicator_bytes: float = 0.2 * GIB
    """Buffers of one NCCL communicator, outside the allocator. [B]"""

    def with_(self, **changes: float) -> MemoryConstants:
        """Return a copy with some constants changed."""
        return replace(self, **changes)  # type: ignore[arg-type]


MEMORY_PROFILES: dict[str, MemoryConstants] = {
    "megatron": MemoryConstants(
        name="megatron",
        source="NVIDIA/Megatron-LM megatron/training/theoretical_memory_usage.py: 18 B per parameter, 6 + 12 / dp with "
        "the distributed optimizer; fused SwiGLU; core/tensor_parallel: fp32 cross-entropy, one gathered input and one "
        "output before its scatter; allocator's share transferred from the fit on nanotron",
        gathered_tensors=2.0,
    ),
    "nanotron": MemoryConstants(
        name="nanotron",
        source="huggingface/nanotron src/nanotron: optim/gradient_accumulator.py (fp32 gradients beside DDP's bf16 "
        "buckets), optim/zero.py (all-gather of updated weights into a copy), models/llama.py (SwiGLU not fused), "
        "parallel/tensor_parallel/functional.py (gathers, fp32 cross-entropy); fitted by simulator.memory_fit",
        bucket_bytes=2.0,
        optimizer_gather_bytes=2.0,
        gated_tensors=4.0,
        gathered_tensors=2.222,
        late_tensors=1.871,
        logit_bytes=6.318,
        late_logit_bytes=3.838,
        stage_balance=1,
    ),
    "nanotron_unrepaired": MemoryConstants(
        name="nanotron_unrepaired",
        source="the same before the repair of its pipeline engine: each transfer between stages was waited for, a stage "
        "closed when it passed its share of layers, and runs of one stage kept the gathered inputs",
        bucket_bytes=2.0,
        optimizer_gather_bytes=2.0,
        gated_tensors=4.0,
        gathered_tensors=2.222,
        kept_gathers=1.362,
        logit_bytes=6.318,
        late_logit_bytes=3.838,
        stage_balance=2,
    ),
    "fsdp": MemoryConstants(
        name="fsdp",
        source="PyTorch FSDP2 MixedPrecisionPolicy(param_dtype=bfloat16, reduce_dtype=float32), pytorch/torchtitan: "
        "sharded parameters, gradients and Adam moments in fp32, bf16 weights gathered layer by layer; SwiGLU not "
        "fused; logits in bf16, fp32, log-softmax and gradient; torchtitan/distributed/activation_checkpoint.py: selective "
        "recomputation keeps every second matmul and fused attention; allocator's share as megatron",
        sharded_master=1,
        selective_keeps=0.5,
        gated_tensors=4.0,
        logit_bytes=14.0,
        gathered_tensors=2.0,
    ),
    "deepspeed": MemoryConstants(
        name="deepspeed",
        source="Rajbhandari et al., arXiv:1910.02054, section 3: 2 + 2 + 12 B per parameter, gradients in half "
        "precision; logits and SwiGLU as Hugging Face transformers; allocator's share as megatron",
        gradient_bytes=2.0,
        gated_tensors=4.0,
        logit_bytes=14.0,
        gathered_tensors=2.0,
    ),
}
"""Named sets; ``megatron`` is the one plans are made with."""

MEMORY_PROFILES["llm-foundry"] = replace(
    MEMORY_PROFILES["fsdp"],
    name="llm-foundry",
    source=MEMORY_PROFILES["fsdp"].source
    + "; mosaicml/llm-foundry: selective recomputation repeats attention modules",
    selective_keeps=1.0,
)

KORTHIKANTI = MemoryConstants(
    name="korthikanti",
    source="Korthikanti et al., arXiv:2205.05198, section 4: GELU, dropout, activations only",
    dropout=1,
    gathered_tensors=0.0,
    fragmentation=0.0,
    reserve_bytes=0.0,
)
"""What the activation table of Korthikanti et al. counts (not a framework profile)."""
