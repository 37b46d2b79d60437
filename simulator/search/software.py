"""What training software does where a scenario does not say: one table per habit."""

from __future__ import annotations

MEMORY_OF = {"torchtitan": "fsdp", "maxtext": "fsdp", "hf": "deepspeed", "generic": "megatron"}
"""Memory profile of software without one of its own."""

ZERO_OF = {"fsdp": (3,), "torchtitan": (3,), "llm-foundry": (3,), "maxtext": (3,), "nanotron": (1,)}
"""ZeRO stages tried for software that does not offer both 1 and 3."""

ZERO_WITH_TP = {"deepspeed": 2}
"""Largest ZeRO stage that is chosen beside tensor parallelism, where that is not 3 (AutoTP: deepspeed.ai/tutorials/autotp-training)."""

INTERLEAVES = ("megatron", "generic")
"""Software with virtual pipeline stages."""

AUTOCASTS = ("generic", "hf")
"""Software that keeps 32-bit weights and casts them for every matmul by default, as plain PyTorch does (``torch.autocast``)."""

PADS_VOCABULARY = ("megatron",)
"""Software that pads the vocabulary to a multiple of 128 (``--make-vocab-size-divisible-by``)."""

COMPILES = ("maxtext",)
"""Software that compiles its graph by default."""

SPLITS = {
    "tp": "tensor parallelism",
    "sequence_parallel": "sequence parallelism beside it",
    "pp": "pipeline parallelism",
    "cp": "context parallelism",
    "ep": "expert parallelism",
}
"""Ways to split a model that a stack may lack, as `parallelism` names them."""

LACKS: dict[str, dict[str, str]] = {
    "deepspeed": {
        "sequence_parallel": "its tensor parallelism (Megatron-DeepSpeed, AutoTP) leaves norms and residuals whole on every rank",
    },
    "nanotron": {
        "cp": "ring attention is on its list of plans",
    },
    "llm-foundry": {
        "tp": "FSDP splits everything; newer releases split feed-forward blocks only",
        "sequence_parallel": "it needs tensor parallelism",
        "pp": "FSDP splits everything",
        "cp": "FSDP splits everything",
    },
    "hf": {
        "tp": "only newer releases of accelerate or DeepSpeed bring it to the Trainer, for some models",
        "sequence_parallel": "it needs tensor parallelism",
        "pp": "the Trainer has no pipeline",
        "cp": "only newer releases of accelerate bring it to the Trainer",
        "ep": "the Trainer keeps all experts together",
    },
}
"""Ways to split a model that a public stack lacks, or has in part only, each with the reason; what is not here it has.

Read in 2026: deepspeed.ai/tutorials/autotp-training (ZeRO 0 to 2, norms not split); README of github:huggingface/nanotron (TP with
reduce-scatter, 1F1B, experts; ring attention planned); github:mosaicml/llm-foundry llmfoundry/tp (the one strategy is `ffn`) and its
`moe_world_size`; huggingface.co/docs/accelerate, ParallelismConfig. Megatron-Core, torchtitan (and `fsdp`, which stands for
any other PyTorch FSDP) and MaxText have all of them.
"""


def not_tried(software: str) -> tuple[str, ...]:
    """Ways to split a model that the planner does not choose for a stack.

    Examples
    --------
    >>> not_tried("megatron"), not_tried("deepspeed"), not_tried("nanotron")
    ((), ('sequence_parallel',), ('cp',))
    """
    return tuple(name for name in SPLITS if name in LACKS.get(software, {}))
