"""A plan as DeepSpeed's JSON: batch, ZeRO stage and precision. The model and its own parallelism stand elsewhere."""

from __future__ import annotations

import json
from typing import Any

from simulator.errors import SpecError
from simulator.exporters.plan import TrainingPlan


def write(plan: TrainingPlan) -> tuple[str, list[str]]:
    """Return the JSON and what it does not hold."""
    x, t = plan.layout, plan.training
    if t["precision"] not in ("bf16", "fp16", "fp32", "tf32"):
        raise SpecError(f"DeepSpeed's file cannot hold this plan: precision {t['precision']}")
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
    if t["optimizer"] in ("adamw", "sgd"):
        data["optimizer"] = {"type": {"adamw": "AdamW", "sgd": "SGD"}[t["optimizer"]], "params": {"lr": 3e-4}}
    if x.get("shard_group"):
        data["zero_optimization"]["mics_shard_size"] = x["shard_group"]
    if x["tp"] > 1:
        data["tensor_parallel"] = {"autotp_size": x["tp"]}
    notes = [
        "the model and the sequence length are given in the training program; the learning rate is a placeholder"
    ]
    other = {name: x[name] for name in ("pp", "cp", "ep") if x[name] > 1}
    if other:
        degrees = ", ".join(f"{name} = {value}" for name, value in other.items())
        raise SpecError(f"DeepSpeed's file cannot hold this plan: {degrees} belong to the training program")
    if t["recompute"] != "none":
        notes.append(f"recompute: {t['recompute']} is switched on in the model (gradient checkpointing)")
    return json.dumps(data, indent=2) + "\n", notes
