"""What training software does where a scenario does not say: one table per habit."""

from __future__ import annotations

MEMORY_OF = {"maxtext": "fsdp", "hf": "deepspeed", "generic": "megatron"}
"""Memory profile of software without one of its own."""

ZERO_OF = {"fsdp": (3,), "llm-foundry": (3,), "maxtext": (3,), "nanotron": (1,)}
"""ZeRO stages tried for software that does not offer both 1 and 3."""

INTERLEAVES = ("megatron", "generic")
"""Software with virtual pipeline stages."""

AUTOCASTS = ("generic", "hf")
"""Software that keeps 32-bit weights and casts them for every matmul by default, as plain PyTorch does (``torch.autocast``)."""

PADS_VOCABULARY = ("megatron",)
"""Software that pads the vocabulary to a multiple of 128 (``--make-vocab-size-divisible-by``)."""

COMPILES = ("maxtext",)
"""Software that compiles its graph by default."""
