"""A plan as DeepSpeed's JSON: batch, ZeRO stage and precision. The model and its own parallelism stand elsewhere."""

from __future__ import annotations

import json
from typing import Any

from simulator.errors import SpecError
from simulator.exporters import demands, weights
from simulator.exporters.plan import TrainingPlan

OPTIMIZERS: dict[str, tuple[str, dict[str, float]]] = {
    "adamw": ("AdamW", {}),
    "lion": ("Lion", {}),
    "sgd": ("SGD", {}),
    "sgd_momentum": ("SGD", {"momentum": 0.9}),
}
"""Optimizers of a plan that DeepSpeed makes itself, with their parameters; the others come from the training program."""


def write(plan: TrainingPlan) -> tuple[str, list[str]]:
    """Return the JSON and what it does not hold."""
    x, t = plan.layout, plan.training
    if t["precision"] not in ("bf16", "fp16", "fp32", "tf32"):
        raise SpecError(f"DeepSpeed's file cannot hold this plan: precision {t['precision']}")
    if wrong := [*demands.deepspeed(plan), *_elsewhere(plan)]:
        raise SpecError("DeepSpeed's file cannot hold this plan: " + "; ".join(wrong))
    data: dict[str, Any] = {
        "train_batch_size": t["global_batch_size"],
        "train_micro_batch_size_per_gpu": t["micro_batch_size"],
        "gradient_accumulation_steps": plan.accumulation,
        "zero_optimization": {"stage": x["zero_stage"], "overlap_comm": True, "contiguous_gradients": True},
        "bf16": {"enabled": t["precision"] == "bf16"},
        "fp16": {"enabled": t["precision"] == "fp16"},
        "gradient_clipping": 1.0,
        "steps_per_print": 1,
    }
    if t["optimizer"] in OPTIMIZERS:
        kind, params = OPTIMIZERS[t["optimizer"]]
        data["optimizer"] = {"type": kind, "params": {"lr": weights.learning_rate(plan), **params}}
    if x["zero_stage"] and t["optimizer"] not in demands.TESTED_BY_ZERO:
        data["zero_allow_untested_optimizer"] = True
    if x.get("shard_group"):
        data["zero_optimization"]["mics_shard_size"] = x["shard_group"]
    if x["tp"] > 1:
        data["tensor_parallel"] = {"autotp_size": x["tp"]}
    notes = [
        "the model and the sequence length are given in the training program; the learning rate is a placeholder"
    ]
    if t["recompute"] != "none":
        notes.append(f"recompute: {t['recompute']} is switched on in the model (gradient checkpointing)")
    return json.dumps(data, indent=2) + "\n", notes


def _elsewhere(plan: TrainingPlan) -> list[str]:
    """Degrees that the file has no place for."""
    other = {name: plan.layout[name] for name in ("pp", "cp", "ep") if plan.layout[name] > 1}
    degrees = ", ".join(f"{name} = {value}" for name, value in other.items())
    return [f"{degrees} belong to the training program"] if other else []
