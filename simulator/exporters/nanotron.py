"""A plan as nanotron's YAML."""

from __future__ import annotations

from typing import Any

import yaml

from simulator.errors import SpecError
from simulator.exporters import demands, weights
from simulator.exporters.kept import EPSILON, THETA, first, note_absent, note_lost
from simulator.exporters.plan import TrainingPlan

DTYPES = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32"}

# Blocks that nanotron requires and a plan says nothing about: placeholders.
CHECKPOINTS = {
    "checkpoint_interval": 1000,
    "checkpoints_path": "checkpoints",
    "checkpoints_path_is_shared_file_system": False,
    "resume_checkpoint_path": None,
    "save_initial_state": False,
}
DATA_STAGES = [
    {
        "data": {"dataset": None, "num_loading_workers": 1, "seed": 42},
        "name": "all",
        "start_training_step": 1,
    }
]
GENERAL = {"project": "trainsim", "run": "plan", "seed": 42, "ignore_sanity_checks": True}
LOGGING = {"iteration_step_info_interval": 1, "log_level": "info", "log_level_replica": "info"}
TOKENIZER = {"tokenizer_max_length": None, "tokenizer_name_or_path": "gpt2", "tokenizer_revision": None}


def write(plan: TrainingPlan) -> tuple[str, list[str]]:
    """Return the YAML and what it does not hold."""
    _check(plan)
    steps = plan.training["steps"] or 100
    data: dict[str, Any] = {
        "checkpoints": CHECKPOINTS,
        "data_stages": DATA_STAGES,
        "general": GENERAL,
        "logging": LOGGING,
        "model": {
            "ddp_bucket_cap_mb": 25,
            "dtype": DTYPES[plan.training["precision"]],
            "init_method": {"path": weights.FOLDER} if weights.is_given(plan) else {"std": 0.02},
            "make_vocab_size_divisible_by": 1,
            "model_config": model_config(plan),
        },
        "optimizer": _optimizer(plan, steps),
        "parallelism": _parallelism(plan),
        "tokenizer": TOKENIZER,
        "tokens": {
            "batch_accumulation_per_replica": plan.accumulation,
            "micro_batch_size": plan.training["micro_batch_size"],
            "sequence_length": plan.training["seq_length"],
            "train_steps": steps,
            "limit_test_batches": 0,
            "limit_val_batches": 0,
            "val_check_interval": -1,
        },
    }
    head = "".join(f"{line}\n" for line in plan.head)
    notes = ["data (null: random tokens), tokenizer and learning rate are placeholders"]
    notes += note_absent(plan.absent, "nanotron")
    notes += note_lost(plan.config, [*THETA, *EPSILON], "nanotron")
    return head + yaml.safe_dump(data, sort_keys=False), notes


def _check(plan: TrainingPlan) -> None:
    """See that nanotron has what a plan asks for."""
    x, t = plan.layout, plan.training
    wrong = demands.nanotron(plan)
    if x["zero_stage"] > 1:
        wrong.append(f"it has ZeRO 0 and 1, not {x['zero_stage']} (--set parallelism.zero_stage=1)")
    if t["precision"] not in DTYPES:
        wrong.append(f"precision {t['precision']}")
    if t["recompute"] == "selective":
        wrong.append("it recomputes whole layers or none (--set training.recompute=full)")
    if x["vp"] > 1:
        wrong.append("it has no interleaved schedule (--set parallelism.vp=1)")
    if x["schedule"] not in ("1f1b", "gpipe", "interleaved"):
        wrong.append(f"it has no {x['schedule']} schedule (--set parallelism.schedule=1f1b)")
    if wrong:
        raise SpecError("nanotron cannot hold this plan: " + "; ".join(wrong))


def _optimizer(plan: TrainingPlan, steps: int) -> dict[str, Any]:
    return {
        "accumulate_grad_in_fp32": True,
        "clip_grad": 1.0,
        "learning_rate_scheduler": {
            "learning_rate": weights.learning_rate(plan),
            "lr_decay_steps": max(1, steps - 1),
            "lr_decay_style": "cosine",
            "lr_warmup_steps": 1,
            "lr_warmup_style": "linear",
            "min_decay_lr": float(f"{weights.learning_rate(plan) / 10:.3g}"),
        },
        "optimizer_factory": _factory(plan.training["optimizer"]),
        "weight_decay": 0.1,
        "zero_stage": plan.layout["zero_stage"],
    }


def _parallelism(plan: TrainingPlan) -> dict[str, Any]:
    x = plan.layout
    return {
        "dp": x["dp"],
        "pp": x["pp"],
        "tp": x["tp"],
        "context_parallel_size": x["cp"],
        "expert_parallel_size": x["ep"],
        "pp_engine": "afab" if x["schedule"] == "gpipe" else "1f1b",
        "recompute_layer": plan.training["recompute"] == "full",
        "tp_linear_async_communication": x["sequence_parallel"] and x["tp"] > 1,
        "tp_mode": "REDUCE_SCATTER" if x["sequence_parallel"] else "ALL_REDUCE",
    }


def _factory(optimizer: str) -> dict[str, Any]:
    if optimizer == "sgd":
        return {"name": "sgd"}
    if optimizer != "adamw":
        raise SpecError(f"nanotron cannot hold this plan: optimizer {optimizer}")
    return {
        "name": "adamW",
        "adam_beta1": 0.9,
        "adam_beta2": 0.95,
        "adam_eps": 1e-8,
        "torch_adam_is_fused": True,
    }


def model_config(plan: TrainingPlan) -> dict[str, Any]:
    """Return the sizes of its Llama, or of its Qwen where there are experts or biases on queries and keys."""
    s = plan.sizes
    qwen = bool(s.get("num_experts") or s.get("attention_bias"))
    config: dict[str, Any] = {
        "is_qwen2_config" if qwen else "is_llama_config": True,
        "hidden_act": "silu",
        "hidden_size": s["hidden_size"],
        "initializer_range": 0.02,
        "intermediate_size": s["intermediate_size"],
        "max_position_embeddings": plan.max_position_embeddings,
        "num_attention_heads": s["num_attention_heads"],
        "num_hidden_layers": s["num_hidden_layers"],
        "num_key_value_heads": s["num_key_value_heads"],
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": None,
        "rms_norm_eps": first(plan.config, EPSILON) or 1e-5,
        "rope_theta": float(first(plan.config, THETA) or 10_000),
        "tie_word_embeddings": bool(s.get("tie_word_embeddings")),
        "use_cache": True,
        "vocab_size": s["vocab_size"],
    }
    if qwen:
        config["attention_bias"] = bool(s.get("attention_bias"))
    if s.get("num_experts"):
        shared = s.get("shared_expert_intermediate_size", 0)
        config["moe_config"] = {
            "num_experts": s["num_experts"],
            "top_k": s["num_experts_per_tok"],
            "moe_intermediate_size": s["moe_intermediate_size"],
            "enable_shared_expert": bool(shared),
            "token_dispatcher_type": "alltoall",
        } | ({"shared_expert_intermediate_size": shared} if shared else {})
    return config
