"""A run that goes on from trained weights: the learning rate to begin with, and where each program is told to load from."""

from __future__ import annotations

from simulator.exporters.plan import TrainingPlan

FOLDER = "./weights"
"""Where the file expects the given weights; programs that find nothing there stop."""

FROM_SCRATCH = 3e-4
"""Placeholder of a learning rate for new weights: that of Llama 1 and 2 at 7 billion parameters (arXiv:2307.09288, section 2.2)."""

FINE_TUNING = 2e-5
"""Placeholder of a learning rate for given weights: that of Llama 2's supervised fine-tuning (arXiv:2307.09288, section 3.1)."""

WAYS = {
    "megatron": "set PRETRAINED to their folder as a checkpoint of Megatron-LM in the script's --ckpt-format "
    "(tools/checkpoint/convert.py converts one of Hugging Face); the script stops without it",
    "torchtitan": f"put their folder (Hugging Face safetensors) at checkpoint.initial_load_path, {FOLDER}",
    "nanotron": f"put them at model.init_method.path, {FOLDER}, as a checkpoint of nanotron (examples/llama/"
    "convert_hf_to_nanotron.py converts one of Hugging Face)",
    "deepspeed": "the training program loads them (model_name_or_path, from_pretrained); nothing in this file does",
    "hf": "load them with --model_name_or_path FOLDER or from_pretrained(FOLDER); this file alone, --config_name or from_config, "
    "makes a new model",
}
"""How each program is given the weights that a plan goes on from."""


def is_given(plan: TrainingPlan) -> bool:
    """Whether the plan goes on from trained weights."""
    return bool(plan.training.get("from_pretrained"))


def learning_rate(plan: TrainingPlan) -> float:
    """A learning rate to begin with; no plan decides it. [-]"""
    return FINE_TUNING if is_given(plan) else FROM_SCRATCH


def note(plan: TrainingPlan, program: str) -> list[str]:
    """What must be done so that the program loads the given weights, if the plan goes on from some."""
    if not is_given(plan):
        return []
    name = f" of {plan.model_id}" if plan.model_id else ""
    return [f"a fine-tune of the given weights{name}: {WAYS[program]}"]
