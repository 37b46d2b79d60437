"""What frameworks do unless a row says otherwise."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Profile:
    """What a framework does unless a row says otherwise."""

    software: str
    flash_attention: int = 1
    sequence_parallel: int = 1
    zero_stage: int = 1
    recompute: str = "none"
    """Where nothing is stated and the activations would not fit without."""
    autocast: int = 0
    """1 where weights are kept in 32 bits and cast for every 16-bit matmul."""
    states: tuple[str, str] = ("bf16", "adamw")
    """Recipe of the weights and optimizer, as in `simulator.memory.states`."""
    compiled: int = 0
    """1 where small operations are fused by a compiler or by hand."""
    whole_share: bool = False
    """Whether a device takes its whole share of the batch at once where nothing is stated."""
    pads_vocabulary: int = 0
    """1 where the vocabulary is padded to a multiple of 128."""
    dispatcher: str = "alltoall"
    """How tokens reach their experts."""


PROFILES: dict[str, Profile] = {
    "trainsim measure": Profile("pytorch", autocast=1, zero_stage=0, sequence_parallel=0),
    "nanotron": Profile("nanotron", zero_stage=0),
    "llm-foundry": Profile("llm-foundry", zero_stage=3, sequence_parallel=0),
    "composer": Profile("llm-foundry", zero_stage=3, sequence_parallel=0),
    "automodel": Profile("fsdp", zero_stage=3, compiled=1, whole_share=True, dispatcher="deepep"),
    "torchtune": Profile("pytorch", states=("bf16_pure", "adamw_bf16"), zero_stage=0, sequence_parallel=0),
    "litgpt": Profile("fsdp", states=("bf16_pure", "adamw_bf16"), zero_stage=2, whole_share=True),
    "internevo": Profile("pytorch", compiled=1, zero_stage=1),
    "paddle": Profile("pytorch", compiled=1, zero_stage=1),
    "ddp": Profile("pytorch", autocast=1, zero_stage=0, sequence_parallel=0),
    "torchtitan": Profile("torchtitan", zero_stage=3, whole_share=True),
    "fsdp": Profile("fsdp", zero_stage=3, whole_share=True),
    "languini": Profile("pytorch", autocast=1, flash_attention=0, zero_stage=0, sequence_parallel=0),
    "torchao": Profile("pytorch", zero_stage=0, sequence_parallel=0),
    "llm.c": Profile("pytorch", compiled=1, zero_stage=1, sequence_parallel=0),
    "thunder": Profile("pytorch", states=("bf16_pure", "adamw_bf16"), zero_stage=0, sequence_parallel=0),
    "lightning": Profile("fsdp", zero_stage=3, sequence_parallel=0),
    "hf trainer": Profile("deepspeed", zero_stage=3, sequence_parallel=0, flash_attention=0),
    "megatron-deepspeed": Profile(
        "deepspeed", flash_attention=0, sequence_parallel=0, zero_stage=0, pads_vocabulary=1
    ),
    "deepspeed": Profile("deepspeed", flash_attention=0, sequence_parallel=0, zero_stage=1),
    "megatron-bridge": Profile("megatron", pads_vocabulary=1),
    "megatron-core": Profile("megatron", pads_vocabulary=1),
    "megatron-lm 0.": Profile("megatron", pads_vocabulary=1),
    "nemo": Profile("megatron", pads_vocabulary=1),
    "megatron-lm 2022": Profile(
        "megatron", flash_attention=0, sequence_parallel=0, zero_stage=0, pads_vocabulary=1
    ),
    "megatron-lm": Profile(
        "megatron-2021", flash_attention=0, sequence_parallel=0, zero_stage=0, pads_vocabulary=1
    ),
    "maxtext": Profile("maxtext", zero_stage=3, sequence_parallel=0, recompute="full", whole_share=True),
    "pax": Profile("maxtext", zero_stage=3, sequence_parallel=0, recompute="full", whole_share=True),
    "jax": Profile("maxtext", zero_stage=3, sequence_parallel=0, recompute="full", whole_share=True),
    "colossalai": Profile("deepspeed", zero_stage=3, sequence_parallel=0),
    "transformers": Profile("pytorch", autocast=1, zero_stage=0, sequence_parallel=0),
    "hf": Profile("pytorch", autocast=1, zero_stage=0, sequence_parallel=0),
    "generic": Profile("pytorch", autocast=1, zero_stage=0, sequence_parallel=0),
    "pytorch": Profile("pytorch", autocast=1, zero_stage=0, sequence_parallel=0),
}
"""First word of the framework column that matches, to its usual settings. Sources: the frameworks' example configurations;
Megatron-LM pads the vocabulary (github:NVIDIA/Megatron-LM megatron/training/arguments.py, ``--make-vocab-size-divisible-by`` 128);
for autocast and states the programs that made the rows (github:languini-kitchen/languini-kitchen throughput_utils.py;
github:Lightning-AI/lightning-thunder benchmark_litgpt.py turns the whole model into bf16); llm.c fuses by hand; ``hf`` and ``generic``, also
words of ``software`` in a scenario, are what they are there; MaxText repeats everything by default
(github:AI-Hypercomputer/maxtext@000e935 MaxText/configs/base.yml, ``remat_policy: 'full'``); NeMo AutoModel takes the fused kernels
of Transformer Engine, InternEvo and PaddleNLP those of their own libraries (github:InternLM/InternEvo configs/7B_sft.py,
github:PaddlePaddle/PaddleNLP llm/config)."""

SUBMITTED = "mlcommons"
"""Word in the source of submissions to MLPerf, whose ``PyTorch`` is the container below a Megatron-Core stack."""

SOFTMAX_MULTIPLE: dict[str, float] = {"megatron": 4.0, "megatron-2021": 4.0, "deepspeed": 4.0}
"""Score matrices (heads of a rank times sequences) by which a stack's fused softmax takes them: ``attn_batch_size % 4 == 0``
(github:NVIDIA/Megatron-LM megatron/model/fused_softmax.py), which Megatron-DeepSpeed has too. [-]"""

USUAL = Profile("megatron", pads_vocabulary=1)
"""Framework not named, or not known: a current Megatron-Core stack."""


SEQUENCE_PARALLELISM = 2022
"""Year whose papers on runs of Megatron-LM are of its code with sequence parallelism (arXiv:2205.05198)."""


KNOWN = ("megatron",)
"""Words of which `USUAL` is the profile."""


def is_known(framework: Any) -> bool:
    """Whether the name of a framework holds a word that decides its usual settings.

    Examples
    --------
    >>> is_known("NeMo 24.09"), is_known("Megatron"), is_known("PyTorch 2.6")
    (True, True, True)
    """
    name = str(framework).lower()
    return any(word in name for word in (*PROFILES, *KNOWN))


def profile_of(framework: Any, source_ref: Any = None, *, current: bool = False) -> Profile:
    """Usual settings of a framework, by the first known word in its name.

    Parameters
    ----------
    framework : str
        As the table has it.
    source_ref : str, optional
        Where the row is from: a paper's number dates a Megatron-LM that states no version.
    current : bool, optional
        Whether the run needs code of 2023 or later: fused attention, or an accelerator of Hopper's time.

    Examples
    --------
    >>> profile_of("NeMo (Megatron-Core)").software
    'megatron'
    >>> profile_of("Megatron-LM", "arXiv:2104.04473 Table 1").software
    'megatron-2021'
    >>> profile_of("Megatron-LM", "arXiv:2205.05198 Table 5").software
    'megatron'
    """
    name = "" if framework is None or framework != framework else str(framework).lower()
    word = next((word for word in PROFILES if word in name), None)
    if word == "pytorch" and SUBMITTED in str(source_ref):
        word = None
    if word == "megatron-lm" and current:
        word = "megatron-core"
    if word == "megatron-lm" and _paper_year(source_ref) >= SEQUENCE_PARALLELISM:
        word = "megatron-lm 2022"
    return USUAL if word is None else PROFILES[word]


def _paper_year(source_ref: Any) -> int:
    """Year in the first number of arXiv in a text; 0 without one."""
    found = re.search(r"arXiv:(\d\d)\d\d\.", str(source_ref))
    return 2000 + int(found[1]) if found else 0
