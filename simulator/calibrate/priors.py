"""What is known of each physical constant before any row is read, and which constants make up a set."""

from __future__ import annotations

from dataclasses import dataclass

from simulator import calibrations
from simulator.validate.profiles import SOFTMAX_MULTIPLE

Key = tuple[str, str]
"""A constant of a set: (set id, constant)."""


@dataclass(frozen=True)
class Prior:
    """What is known of a constant before any row is read."""

    value: float
    spread: float
    """Standard deviation of the logarithm. [-]"""
    low: float
    high: float
    source: str


_MATMUL = "best measured matmuls reach 0.71-0.87 of peak (github:stas00/ml-engineering@744d01e, MAMF table)"
_FLASH = "FlashAttention-2 on A100 and H100 (arXiv:2307.08691, figures 4-7)"
_NCCL = "NCCL collectives in a node on A100, H100, H200, B200, GB200, GB300 (micro.csv)"
_NETWORK = "NCCL all-reduce on 8 x A100 and 8 x H200 (github:stas00/ml-engineering@744d01e); github:NVIDIA/nccl tuning.cc"
_BALANCED = (
    "stages are dealt by the weights of layers and output matmul (github:huggingface/nanotron models/base.py)"
)
_FUSED = "attn_batch_size % 4 == 0 (github:NVIDIA/Megatron-LM megatron/model/fused_softmax.py)"
_EAGER = (
    "counted: 3.4 times the textbook's bytes where norms are computed in 32 bits and every operation is a kernel "
    "(github:foundation-model-stack/foundation-model-stack fms/modules/layernorm.py, github:meta-llama/llama model.py)"
)
_COMPILED = (
    "counted: 0.27 of the eager bytes where norms, residuals, rotary embedding and activation are fused"
)
_OWN = "order of magnitude, wide; moved by the data"

PRIORS: dict[str, Prior] = {
    "tile_efficiency_32": Prior(0.75, 0.3, 0.2, 1.0, _MATMUL),
    "tile_efficiency_16": Prior(0.75, 0.25, 0.2, 1.0, _MATMUL),
    "tile_efficiency_8": Prior(0.68, 0.25, 0.15, 1.0, _MATMUL),
    "tile_efficiency_4": Prior(0.50, 0.4, 0.1, 1.0, _MATMUL),
    "tile_fill": Prior(
        200.0, 0.4, 10.0, 1000.0, "measured matmuls on A100, H100, H200, B200, GB200, GB300 (micro.csv)"
    ),
    "power_exponent": Prior(
        0.5,
        0.4,
        0.1,
        1.0,
        "a third where the voltage follows the clock, one where it does not: dynamic power is C V^2 f",
    ),
    "unaligned_rate": Prior(
        0.45,
        0.5,
        0.05,
        1.0,
        "padding GPT-2's vocabulary to 50,304 gained about a quarter (github:karpathy/nanoGPT)",
    ),
    "unaligned_heads_rate": Prior(
        0.1,
        0.8,
        0.01,
        1.0,
        "without tensor cores an A100 has a quarter of its fp16 and an eighth of its bf16 peak (datasheet); such matmuls reach less",
    ),
    "attention_efficiency": Prior(0.45, 0.25, 0.1, 0.9, _FLASH),
    "hbm_efficiency": Prior(0.85, 0.1, 0.5, 1.0, "device copies and long streams reach 0.72-0.92 of peak"),
    "link_efficiency": Prior(0.8, 0.05, 0.2, 1.0, _NCCL),
    "link_latency_s": Prior(1e-6, 1.0, 1e-8, 1e-3, _OWN),
    "link_fill_s": Prior(8e-6, 0.1, 1e-7, 1e-3, _NCCL),
    "network_efficiency": Prior(0.75, 0.2, 0.1, 1.0, _NETWORK),
    "network_latency_s": Prior(3e-5, 0.7, 1e-6, 5e-3, _NETWORK),
    "network_slowdown": Prior(0.1, 0.7, 0.005, 1.0, _OWN),
    "host_blocking": Prior(1e-3, 0.01, 1e-4, 1.0, "collectives are queued on the device"),
    "tree_all_reduce": Prior(
        1.0, 0.01, 1e-6, 1.0, "NCCL chooses the sooner of both (github:NVIDIA/nccl src/graph/tuning.cc)"
    ),
    "crowding": Prior(
        0.7,
        0.5,
        0.01,
        1.0,
        "0 where nothing is shared, 1 where all groups of a node share one bottleneck; " + _OWN,
    ),
    "launch_s": Prior(1.5e-5, 0.8, 1e-6, 3e-4, _OWN),
    "kernel_gap_s": Prior(
        1e-6,
        1.0,
        1e-7,
        3e-5,
        "kernels of 2.9 us took 3.8 us each one behind the other (developer.nvidia.com/blog/cuda-graphs)",
    ),
    "compiled_factor": Prior(0.6, 0.3, 0.1, 1.0, _OWN),
    "attention_factor": Prior(
        1.0, 0.25, 0.4, 2.0, "1 is FlashAttention-2; cuDNN and FlashAttention-3 are faster"
    ),
    "selective_share": Prior(1e-3, 0.01, 1e-4, 1.0, "none: only the attention core (arXiv:2205.05198)"),
    "last_matmul_share": Prior(
        1.0,
        0.01,
        1e-4,
        1.0,
        "a checkpointed layer runs to its end (Megatron-LM, DeepSpeed: reentrant checkpoints)",
    ),
    "stage_balance": Prior(1e-6, 0.01, 1e-9, 2.0, "none: stages take the same number of layers"),
    "moe_kernel_factor": Prior(3.0, 0.6, 1.0, 20.0, _OWN),
    "expert_kernels": Prior(
        3.0,
        0.5,
        0.05,
        30.0,
        "counted: two matmuls forward and four backward in three passes, and as many again to bring operands into 8 bits "
        "(github:NVIDIA/TransformerEngine transformer_engine/pytorch/module/grouped_linear.py)",
    ),
    "overlap_kernels": Prior(
        1.5,
        0.3,
        1.0,
        5.0,
        "layers of two micro-batches are issued in pieces: the overlap was switched off for its CPU overhead "
        "(github:NVIDIA-NeMo/Megatron-Bridge pull 1760)",
    ),
    "eager_share": Prior(
        0.4,
        0.3,
        0.05,
        1.0,
        "attention, router and preprocessing are captured, dispatch and combination are not; " + _OWN,
    ),
    "grouped_rate": Prior(0.8, 0.3, 0.1, 1.0, _OWN),
    "fused_rate": Prior(0.85, 0.2, 0.1, 1.0, _OWN),
    "collective_kernels": Prior(5.0, 0.7, 0.1, 100.0, _OWN),
    "elementwise_factor": Prior(1.2, 0.4, 0.2, 5.0, "1 is the textbook count of unfused kernels"),
    "softmax_passes": Prior(4.0, 0.3, 1.0, 20.0, "mask and softmax in and out, dropout in and out"),
    "softmax_multiple": Prior(1.0, 0.01, 0.9, 8.0, "none"),
    "unfused_kernels": Prior(
        3.0,
        0.8,
        0.1,
        100.0,
        "four kernels more forward, as many backward, over three passes (github:NVIDIA/Megatron-LM megatron/model/fused_softmax.py)",
    ),
    "tp_overlap": Prior(0.1, 0.8, 0.001, 1.0, _OWN),
    "dp_overlap": Prior(0.5, 0.6, 0.001, 1.0, _OWN),
    "gather_overlap": Prior(0.8, 0.3, 0.01, 1.0, "FSDP prefetches the next layer (arXiv:2304.11277)"),
    "stolen_share": Prior(
        0.15,
        0.3,
        0.001,
        1.0,
        "20 of 132 processors carry the traffic that hides in DeepSeek-V3 (arXiv:2412.19437)",
    ),
    "ep_overlap": Prior(0.1, 0.8, 0.001, 0.95, _OWN),
    "send_overlap": Prior(0.05, 1.0, 0.0005, 1.0, _OWN),
    "send_latency_s": Prior(1e-4, 1.0, 1e-6, 2.0, _OWN),
    "gradient_buckets": Prior(3.0, 0.8, 1.0, 200.0, _OWN),
    "gradient_bytes": Prior(4.0, 0.01, 2.0, 4.0, "fp32 gradient reduction, the frameworks' default"),
    "optimizer_bytes": Prior(
        30.0, 0.2, 10.0, 120.0, "read and write of fp32 weight and two moments, gradient read"
    ),
    "step_overhead_s": Prior(0.01, 1.0, 1e-5, 2.0, _OWN),
    "hbm_copies_efficiency": Prior(0.2, 2.0, 1e-3, 1.0, _OWN),
    "flops_mfu": Prior(0.4, 2.0, 1e-2, 1.0, _OWN),
    "roofline_efficiency": Prior(0.5, 2.0, 1e-2, 1.0, _OWN),
    "linear_tile_slope": Prior(1.5, 2.0, 1e-2, 1e2, _OWN),
    "linear_memory_slope": Prior(1.5, 2.0, 1e-2, 1e2, _OWN),
    "linear_intercept_s": Prior(0.01, 2.0, 1e-6, 1e2, _OWN),
}
"""Priors by constant."""

OVERRIDES: dict[Key, Prior] = {
    ("fabric-degraded", "link_latency_s"): Prior(3e-4, 1.0, 1e-6, 1e-2, _OWN),
    ("fabric-degraded", "network_latency_s"): Prior(3e-4, 1.0, 1e-6, 1e-2, _OWN),
    ("fabric-degraded", "tree_all_reduce"): Prior(
        1e-5,
        0.01,
        1e-6,
        1.0,
        "the all-reduces of its probes take as long as rings: their bandwidth falls as one over the ranks",
    ),
    ("fabric-degraded", "host_blocking"): Prior(0.9, 0.5, 1e-4, 1.0, _OWN),
    ("deepspeed", "tp_overlap"): Prior(0.01, 0.5, 0.001, 1.0, "Megatron-DeepSpeed waits for its all-reduces"),
    ("deepspeed", "gather_overlap"): Prior(
        0.5,
        1.0,
        0.01,
        1.0,
        "ZeRO 3 prefetches by buckets of parameters, which FSDP's figure says nothing of; " + _OWN,
    ),
    ("megatron", "gradient_bytes"): Prior(
        3.0, 0.3, 2.0, 4.0, "16 or 32 bits (grad_reduce_in_fp32) by recipe"
    ),
    **{
        (name, "elementwise_factor"): Prior(3.4, 0.4, 0.2, 10.0, _EAGER)
        for name in ("fsdp", "torchtitan", "pytorch")
    },
    **{
        (name, "compiled_factor"): Prior(0.27, 0.3, 0.1, 1.0, _COMPILED)
        for name in ("fsdp", "torchtitan", "pytorch")
    },
    **{
        (name, "gradient_bytes"): Prior(
            3.0,
            0.3,
            2.0,
            4.0,
            "16 or 32 bits: the compute format under FSDP (reduce_dtype) and InternEvo, 32 in DDP",
        )
        for name in ("fsdp", "pytorch")
    },
    **{
        (name, "softmax_multiple"): Prior(multiple, 0.01, 0.9, 8.0, _FUSED)
        for name, multiple in SOFTMAX_MULTIPLE.items()
    },
    **{
        (name, "expert_kernels"): Prior(
            0.1,
            0.5,
            0.01,
            30.0,
            "one kernel for all experts (github:pytorch/torchtitan torch._grouped_mm, github:AI-Hypercomputer/maxtext megablox)",
        )
        for name in ("torchtitan", "maxtext", "llm-foundry")
    },
    **{
        (name, "softmax_passes"): Prior(
            4.0,
            0.3,
            1.0,
            20.0,
            "counted: scale, mask and softmax in and out as one kernel, dropout in and out",
        )
        for name in ("megatron", "megatron-2021")
    },
    ("pytorch", "softmax_passes"): Prior(
        8.0,
        0.3,
        1.0,
        20.0,
        "counted: mask in and out in 16 bits; under autocast softmax reads 16 bits, works in 32 and is cast back",
    ),
    ("maxtext", "softmax_passes"): Prior(
        3.0, 0.3, 1.0, 20.0, "counted: XLA reads scores for maximum and sum at once, then reads and writes"
    ),
    ("nanotron-early", "send_latency_s"): Prior(0.3, 1.0, 1e-4, 3.0, "every message blocked; " + _OWN),
    ("nanotron", "stage_balance"): Prior(1.0, 0.01, 1e-9, 2.0, _BALANCED),
    ("nanotron-early", "stage_balance"): Prior(2.0, 0.01, 1e-9, 2.0, _BALANCED),
    ("llm-foundry", "gradient_bytes"): Prior(
        2.0, 0.01, 2.0, 4.0, "FSDP reduces in 16 bits under mixed precision"
    ),
    ("maxtext", "selective_share"): Prior(
        0.55,
        0.01,
        1e-4,
        1.0,
        "MaxText's recipes keep queries, keys, values and often out_proj: 54 to 63 % of Llama 3.1's matmuls are repeated (github:AI-Hypercomputer/tpu-recipes)",
    ),
    ("maxtext", "last_matmul_share"): Prior(1e-3, 0.01, 1e-4, 1.0, "XLA drops what nothing reads"),
    ("llm-foundry", "last_matmul_share"): Prior(
        1e-3,
        0.01,
        1e-4,
        1.0,
        "activation_checkpointing_reentrant: false, and PyTorch stops early then (torch.utils.checkpoint.set_checkpoint_early_stop)",
    ),
    **{
        (name, "selective_share"): Prior(
            0.5,
            0.01,
            1e-4,
            1.0,
            "torchtitan's policy keeps every second matmul (github:pytorch/torchtitan, activation_checkpoint)",
        )
        for name in ("fsdp", "torchtitan")
    },
}
"""Priors of single sets that differ from the general one."""

SETS: dict[str, tuple[str, tuple[str, ...]]] = {
    "maxwell": ("accelerator", ("maxwell",)),
    "pascal": ("accelerator", ("pascal",)),
    "volta": ("accelerator", ("volta", "turing")),
    "ampere": ("accelerator", ("ampere",)),
    "ada": ("accelerator", ("ada",)),
    "hopper": ("accelerator", ("hopper",)),
    "blackwell": ("accelerator", ("blackwell", "blackwell-ultra")),
    "cdna": ("accelerator", ("cdna1", "cdna2", "cdna3", "cdna4")),
    "tpu": ("accelerator", ("tpu-v2", "tpu-v3", "tpu-v4", "tpu-v5", "tpu-v5e", "tpu-v5p")),
    "tpu-256": ("accelerator", ("tpu-v6", "tpu-v6e", "tpu-v7", "tpu-v7x")),
    "gaudi": ("accelerator", ("gaudi2", "gaudi3")),
    "generic": ("accelerator", ("generic",)),
    "fabric": ("fabric", ("fabric",)),
    "fabric-degraded": ("fabric", ("fabric-degraded",)),
    "megatron": ("software", ("megatron",)),
    "megatron-2021": ("software", ("megatron-2021",)),
    "deepspeed": ("software", ("deepspeed",)),
    "nanotron": ("software", ("nanotron",)),
    "nanotron-early": ("software", ("nanotron-early",)),
    "fsdp": ("software", ("fsdp",)),
    "torchtitan": ("software", ("torchtitan",)),
    "llm-foundry": ("software", ("llm-foundry",)),
    "pytorch": ("software", ("pytorch", "hf")),
    "maxtext": ("software", ("maxtext",)),
    "simple-clocks": ("clocks", ("all",)),
}
"""Calibration sets: kind, and the architectures, fabrics or software names they apply to."""

CONSTANTS_OF = calibrations.CONSTANTS_OF


def prior_of(key: Key) -> Prior:
    """Prior of a constant in a set."""
    return OVERRIDES.get(key, PRIORS[key[1]])


def all_keys() -> list[Key]:
    """Every constant of every set."""
    return [(name, constant) for name, (kind, _) in SETS.items() for constant in CONSTANTS_OF[kind]]


def prior_values() -> dict[Key, float]:
    """Value of every constant before any row is read."""
    return {key: prior_of(key).value for key in all_keys()}
