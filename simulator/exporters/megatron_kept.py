"""Settings of a model beside its sizes as Megatron-LM's arguments: rotary positions, norms, the choice of experts.

Names and defaults are those of ``megatron/training/arguments.py``; the scaling of Llama 3 that ``--use-rope-scaling`` means
stands in ``megatron/core/models/common/embeddings/rotary_pos_embedding.py``, YaRN's constants in ``MLATransformerConfig`` [1]_.

References
----------
.. [1] https://github.com/NVIDIA/Megatron-LM at 000c4ac24f61159c138b0975def722c65245983c.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from simulator.exporters.kept import EPSILON, PARTIAL, THETA, first, note_absent, note_lost
from simulator.exporters.plan import TrainingPlan

LLAMA3 = {"low_freq_factor": 1, "high_freq_factor": 4, "original_max_position_embeddings": 8192}
"""Constants of Llama 3's scaling that Megatron-LM has no argument for."""

YARN = {"original_max_position_embeddings": 4096, "beta_fast": 32, "beta_slow": 1}
"""Constants of YaRN that Megatron-LM has no argument for."""

GROUPS = ("n_group", "topk_group")
"""Groups of experts, and how many of them a token may choose from: Megatron-LM takes both or none."""


def positions(plan: TrainingPlan) -> list[str]:
    """Arguments of rotary positions and norms."""
    config, lines = plan.config, []
    if plan.sizes.get("rotary", 1):
        theta, part = first(config, THETA), first(config, PARTIAL)
        lines += [f"--rotary-base {_number(theta)}"] if theta is not None else []
        lines += [f"--rotary-percent {part}"] if part not in (None, 1) else []
        lines += scaling(config.get("rope_scaling"), latent=bool(plan.sizes.get("kv_lora_rank"))) or []
    epsilon = first(config, EPSILON)
    return lines + ([f"--norm-epsilon {epsilon}"] if epsilon is not None else [])


def scaling(config: Any, *, latent: bool) -> list[str] | None:
    """Arguments of a stretched rotation; ``None`` where there are none for it.

    Examples
    --------
    >>> scaling({"rope_type": "linear", "factor": 4.0}, latent=False)
    ['--rotary-seq-len-interpolation-factor 4']
    >>> scaling({"rope_type": "dynamic", "factor": 2.0}, latent=False) is None
    True
    """
    # Latent attention rotates by YaRN with a factor of one by default: not at all stretched.
    kind = (
        config.get("rope_type", config.get("type", "default")) if isinstance(config, Mapping) else "default"
    )
    if kind == "default":
        return []
    factor = config.get("factor", 1)
    if kind == "llama3" and not latent and _are(config, LLAMA3):
        return ["--use-rope-scaling", f"--rope-scaling-factor {factor}"]
    if kind == "linear" and not latent and float(factor).is_integer():
        return [f"--rotary-seq-len-interpolation-factor {int(factor)}"]
    if kind == "yarn" and latent and _are(config, YARN):
        names = {"factor": "rotary-scaling-factor", "mscale": "mscale", "mscale_all_dim": "mscale-all-dim"}
        return [f"--{flag} {config[name]}" for name, flag in names.items() if name in config]
    return None


def routing(plan: TrainingPlan) -> list[str]:
    """Arguments of how experts are chosen."""
    s, config = plan.sizes, plan.config
    if not s.get("num_experts"):
        return []
    lines = []
    # Megatron-LM has the bias that corrects a router for sigmoid scores only (transformer_config.py).
    if s.get("router_bias") or config.get("scoring_func") == "sigmoid":
        lines.append("--moe-router-score-function sigmoid")
    elif config.get("norm_topk_prob") is False or s["num_experts_per_tok"] == 1:
        lines.append("--moe-router-pre-softmax")
    groups, chosen = (first(config, (name,)) for name in GROUPS)
    if groups and groups > 1 and chosen:
        lines += [f"--moe-router-num-groups {groups}", f"--moe-router-group-topk {chosen}"]
    factor = first(config, ("routed_scaling_factor",))
    return lines + ([f"--moe-router-topk-scaling-factor {factor}"] if factor not in (None, 1) else [])


def notes(plan: TrainingPlan) -> list[str]:
    """What the script does not hold of these settings, and what the model's file does not say."""
    held = [*THETA, *PARTIAL, *EPSILON, "routed_scaling_factor", "scoring_func", "norm_topk_prob"]
    if all(first(plan.config, (name,)) for name in GROUPS):
        held += GROUPS
    if scaling(plan.config.get("rope_scaling"), latent=bool(plan.sizes.get("kv_lora_rank"))) is not None:
        held.append("rope_scaling")
    return [
        *note_absent(plan.absent, "Megatron-LM"),
        *note_lost(plan.config, held, "Megatron-LM", gated=bool(plan.sizes.get("gated", 1))),
    ]


def _are(config: Mapping[str, Any], constants: Mapping[str, int]) -> bool:
    return all(config.get(name, value) == value for name, value in constants.items())


def _number(value: Any) -> str:
    """A base as ``--rotary-base`` reads it: a whole number."""
    return str(int(value)) if float(value).is_integer() else str(value)
