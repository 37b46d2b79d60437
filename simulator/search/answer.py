"""A plan as the flat record that users and other programs read."""

from __future__ import annotations

from typing import Any

import numpy as np

from simulator import energy, flop, memory, money, scaling, transformer
from simulator.layout import CUDA_GRAPHS, RECOMPUTE, is_hybrid
from simulator.memory import CATEGORIES
from simulator.search import places, quality
from simulator.search.breakdown import breakdown
from simulator.search.question import ENOUGH_DATA, Machine, Question
from simulator.search.spread import rows_like_this
from simulator.search.table import Plan
from simulator.transformer import Shape

GIB = float(2**30)
DAY = 86400.0
CONVENTION = "megatron"
"""FLOP convention of `mfu` and `model_tflops_per_gpu`, unless sequences are so long that the half of attention which a causal mask
leaves out is more than `MASKED_SHARE` of what it counts: it could pass the peak then."""

CAUSAL_CONVENTION = "maxtext"
"""The convention then: without that half."""

MASKED_SHARE = 0.2
"""Share of the counted FLOP that nobody computes, up to which the usual convention is kept: a choice. No stack reaches 0.8 of the
peak, so what is counted stays below it. [-]"""

LAW_ERROR = 0.04
"""Relative error of a loss that a scaling law extrapolates: the spread between seeds and fits that
arXiv:2410.11840 finds at best. [-]"""

MODES = {code: name for name, code in RECOMPUTE.items()}
GRAPHS = {code: name for name, code in CUDA_GRAPHS.items()}

FORMULAS = {
    "step_time_s": "sum of the rows of breakdown: copies per level over achieved bandwidths, pipeline and exposed traffic",
    "tokens_per_s": "global_batch_size x seq_length / step_time_s",
    "tokens_per_s_per_gpu": "global_batch_size x seq_length / step_time_s / n_gpus",
    "model_tflops_per_gpu": "model FLOP per token (flop_convention, no recomputation) x tokens_per_s_per_gpu",
    "mfu": "model_tflops_per_gpu over the dense peak of the precision (peak_tflops)",
    "hfu": "as mfu, with the FLOP that recomputation adds",
    "memory_gib": "sum of the categories in memory, on the fullest pipeline stage",
    "steps": "tokens / (global_batch_size x seq_length)",
    "goodput": "1 / (1 + 0.111 x n_gpus / 16,384), from 90 % on 16,384 accelerators of Llama 3's run, times 1 - stragglers; with rates in "
    "reliability (1 - stragglers) / (1 + checkpoint_time / interval + (interval / 2 + restart_time) / time between interruptions)",
    "time_to_train_days": "tokens / (global_batch_size x seq_length) x step_time_s / goodput",
    "gpu_hours": "n_gpus x time_to_train_days x 24",
    "cost_usd": "gpu_hours x usd_per_gpu_hour",
    "usd_per_m_tokens": "cost_usd / tokens x 1e6",
    "energy_mwh": "gpu_hours x power_per_gpu_w: board limit, share of the node, building (PUE)",
    "loss": "loss_law at (params, tokens x batch_factor, unique_tokens), times the law of shape if one is named",
    "batch_factor": "min(1, (1 + B_ref/B_crit) / (1 + B/B_crit))",
    "tokens": "goodput x time / step_time_s x global_batch_size x seq_length, or the scenario's",
    "params": "closed formula of the shape, embeddings included",
}
"""How each figure is computed."""


def whole(value: Any) -> int | float:
    """A number as an integer where it is one."""
    number = float(value)
    return int(number) if number.is_integer() else number


def optional(value: float) -> float | None:
    """A number, or ``None`` where there is none."""
    return float(value) if np.isfinite(value) else None


def flop_rates(plan: Plan, machine: Machine, *, convention: str = CONVENTION) -> dict[str, float]:
    """Model and hardware FLOP rates of one accelerator, with and without recomputation. [FLOP/s]"""
    s, layout = plan.shape, plan.layout
    learns = 0.0 if layout.frozen else 1.0
    per_token = float(
        flop.model_flop_per_token(
            s, seq_length=layout.seq_length, convention=convention, trainable_share=learns
        )
    )
    causal = "halved" if convention == "maxtext" else "full"
    core = float(flop.attention_flop_per_token(s, seq_length=layout.seq_length, causal=causal))
    forward = float(flop.forward_flop_per_token(s, seq_length=layout.seq_length, causal=causal, logits=False))
    setting = machine.setting
    share = float(np.min(setting.constants.selective_share)) if setting.selective_drops else 0.0
    again = {
        0: 0.0,
        1: core * (1 - layout.flash_attention * (share > 0)) + share * (forward - core),
        2: forward,
    }[int(layout.recompute)]
    rate = plan.batch_tokens / plan.step_time_s / plan.n_gpus
    return {"model": per_token * rate, "hardware": (per_token + again) * rate, "per_token": per_token}


def convention_of(plan: Plan) -> str:
    """FLOP convention in which a plan is described: the same for all plans of a model and a sequence length."""
    whole, causal = (
        float(flop.model_flop_per_token(plan.shape, seq_length=plan.layout.seq_length, convention=each))
        for each in (CONVENTION, CAUSAL_CONVENTION)
    )
    return CAUSAL_CONVENTION if causal < (1 - MASKED_SHARE) * whole else CONVENTION


def describe(question: Question, plan: Plan, *, factors: tuple[float, float] = (1.0, 1.0)) -> dict[str, Any]:
    """The record of a plan.

    Parameters
    ----------
    question, plan
        What was asked, and a plan.
    factors : (float, float), optional
        10th and 90th percentile of the step time relative to the prediction. [-]
    """
    machine = question.machines[plan.machine]
    return {
        **_layout(question, plan, machine),
        **_shape(plan.shape),
        **_speed(plan, machine),
        **_memory(plan, machine),
        **_run(question, plan, machine),
        "interval": interval(question, plan, factors),
        "evidence": {**machine.about.get("evidence", {}), **rows_like_this(question, plan)},
    }


def _layout(question: Question, plan: Plan, machine: Machine) -> dict[str, Any]:
    x = plan.layout
    sequences = x.micro_batch_size * x.num_microbatches * x.dp
    return {
        "accelerator": machine.label,
        "n_gpus": plan.n_gpus,
        **{
            name: whole(getattr(x, name)) for name in ("tp", "pp", "dp", "cp", "ep", "vp", "micro_batch_size")
        },
        "num_microbatches": whole(x.num_microbatches),
        "global_batch_size": whole(sequences),
        "global_batch_tokens": whole(sequences * x.seq_length),
        "seq_length": whole(x.seq_length),
        "zero_stage": whole(x.zero_stage),
        **({"shard_group": whole(x.shard_group)} if is_hybrid(x) else {}),
        "sequence_parallel": bool(x.sequence_parallel),
        "recompute": MODES[int(x.recompute)],
        "flash_attention": bool(x.flash_attention),
        **_launch(question, plan, machine),
        "precision": machine.matmul_precision,
        "optimizer": machine.setting.optimizer,
    }


def _launch(question: Question, plan: Plan, machine: Machine) -> dict[str, Any]:
    """Launch settings, each only where it is asked for and does something."""
    x = plan.layout
    found: dict[str, Any] = {}
    if x.cuda_graphs:
        found["cuda_graphs"] = GRAPHS[int(x.cuda_graphs)]
    if machine.about.get("fp8_attention"):
        found["fp8_attention"] = True
    if plan.shape.num_experts and x.fused_experts:
        found["fused_experts"] = True
    if x.ep > 1:
        found["dispatcher"] = question.dispatcher
        found |= {"expert_overlap": True} if x.expert_overlap else {}
    return found


def _shape(s: Shape) -> dict[str, Any]:
    names = "num_hidden_layers hidden_size intermediate_size num_attention_heads num_key_value_heads head_dim vocab_size".split()
    out: dict[str, Any] = {name: whole(getattr(s, name)) for name in names}
    if s.num_experts:
        out |= {
            n: whole(getattr(s, n)) for n in ("num_experts", "num_experts_per_tok", "moe_intermediate_size")
        }
    spans = ("sliding_window", "attention_chunk_size", "sliding_window_pattern")
    out |= {n: whole(getattr(s, n)) for n in spans if getattr(s, n)}
    out["params"] = whole(transformer.parameters(s))
    out["active_params"] = whole(transformer.active_parameters(s))
    out["non_embedding_params"] = whole(transformer.non_embedding_parameters(s))
    return out


def _speed(plan: Plan, machine: Machine) -> dict[str, Any]:
    convention, peak = convention_of(plan), float(machine.setting.device.peak_flops)
    rates = flop_rates(plan, machine, convention=convention)
    per_gpu = plan.batch_tokens / plan.step_time_s / plan.n_gpus
    return {
        "step_time_s": plan.step_time_s,
        "tokens_per_s": per_gpu * plan.n_gpus,
        "tokens_per_s_per_gpu": per_gpu,
        "model_tflops_per_gpu": rates["model"] / 1e12,
        "mfu": rates["model"] / peak,
        "hfu": rates["hardware"] / peak,
        "mfu_of_bf16_peak": rates["model"] / machine.bf16_peak if machine.bf16_peak else None,
        "mfu_by_convention": {
            c: flop_rates(plan, machine, convention=c)["model"] / peak for c in flop.FLOP_CONVENTIONS
        },
        "flop_convention": convention,
        "peak_tflops": peak / 1e12,
        "peak_precision": machine.matmul_precision,
        "breakdown": breakdown(plan, machine),
    }


def _memory(plan: Plan, machine: Machine) -> dict[str, Any]:
    held = machine.setting.memory(plan.shape, plan.layout)
    capacity = float(machine.setting.device.memory_capacity)
    total = float(held["total"])
    judged, margin = memory.verdict(total, capacity)
    return {
        "memory_gib": total / GIB,
        "memory_capacity_gib": capacity / GIB,
        "memory_margin_gib": float(margin) / GIB,
        "memory_verdict": str(judged),
        "memory": {name: float(held[name]) / GIB for name in CATEGORIES},
    }


def _run(question: Question, plan: Plan, machine: Machine) -> dict[str, Any]:
    c = plan.columns
    mwh = c["energy_j"] / energy.JOULE_PER_MWH
    grid = machine.grid_g_per_kwh
    out: dict[str, Any] = {
        "tokens": optional(c["tokens"]),
        "steps": optional(c["steps"]),
        "goodput": question.goodput_of(plan.n_gpus, machine),
        "time_to_train_days": optional(c["wall_s"] / DAY),
        "gpu_hours": optional(c["gpu_hours"]),
        "cost_usd": optional(c["cost_usd"]),
        "usd_per_gpu_hour": machine.usd_per_gpu_hour,
        "usd_per_m_tokens": optional(
            float(money.usd_per_m_tokens(cost_usd=c["cost_usd"], tokens=c["tokens"]))
        ),
        "energy_mwh": optional(mwh),
        "power_per_gpu_w": machine.power_per_gpu_w,
        "co2e_t": optional(float(energy.co2e_t(energy_mwh=mwh, grid_g_per_kwh=grid))) if grid else None,
        "loss": optional(c["loss"]) if question.from_scratch else None,
        "loss_law": question.learning.law_name,
        "shape_law": question.learning.shape_law,
        "batch_factor": optional(c["batch_factor"]) if question.from_scratch else None,
        "tokens_per_param": optional(c["tokens"] / float(transformer.active_parameters(plan.shape))),
    }
    out |= places.record(machine, plan.n_gpus)
    if question.service is not None:
        out["latency_s"] = optional(c["latency_s"])
    tasks = {
        q.name: float(q.shown(quality.of_plan(q, question.learning, plan)))
        for q in question.qualities
        if q.name != "loss" and np.isfinite(c["tokens"])
    }
    if tasks:
        out["quality"] = tasks
    unique = question.learning.unique_tokens
    if unique:
        out["unique_tokens"] = unique
        out["epochs"] = optional(c["tokens"] / unique)
    return out | _serving(question, plan, machine)


def _serving(question: Question, plan: Plan, machine: Machine) -> dict[str, Any]:
    """What the demanded inference takes, and training and serving together."""
    if not question.inference_tokens:
        return {}
    c, price = plan.columns, machine.usd_per_gpu_hour
    hours = c["serving_s"] / 3600.0
    return {
        "inference_tokens": question.inference_tokens,
        "serving_gpu_hours": hours,
        "serving_cost_usd": None if price is None else hours * price,
        "lifetime_gpu_hours": optional(c["gpu_hours"] + hours),
        "lifetime_cost_usd": None if price is None else optional(c["cost_usd"] + hours * price),
    }


def interval(question: Question, plan: Plan, factors: tuple[float, float]) -> dict[str, list[float] | None]:
    """80 % intervals: 10th and 90th percentile.

    With tokens fixed, time and cost move with the step time. With a limit on time or money, the run ends when it is
    spent, so tokens and loss move instead. The loss adds the law's own error, in quadrature.
    """
    low, high = factors
    c = plan.columns
    step = [plan.step_time_s * low, plan.step_time_s * high]
    fixed = question.fixed or question.shortest or c["binding"] == ENOUGH_DATA
    scale = (low, high) if fixed else (1.0, 1.0)

    def both(value: float) -> list[float] | None:
        return [value * scale[0], value * scale[1]] if np.isfinite(value) else None

    tokens = [c["tokens"]] * 2 if fixed else [c["tokens"] / high, c["tokens"] / low]
    return {
        "step_time_s": step,
        "time_to_train_days": both(c["wall_s"] / DAY),
        "gpu_hours": both(c["gpu_hours"]),
        "cost_usd": both(c["cost_usd"]),
        "tokens": tokens if np.isfinite(c["tokens"]) else None,
        "loss": _loss_interval(question, plan, tokens),
    }


def law_error(question: Question, plan: Plan) -> float:
    """Half the 80 % interval of the loss as a share of it: what the law states for this compute, but not less than `LAW_ERROR`. [-]"""
    tokens = plan.columns["tokens"]
    stated = scaling.get(question.learning.law).error_at(6 * plan.params * tokens) if tokens > 0 else 0.0
    return max(LAW_ERROR, float(stated))


def _loss_interval(question: Question, plan: Plan, tokens: list[float]) -> list[float] | None:
    loss = plan.columns["loss"]
    if not question.from_scratch or not np.isfinite(loss):
        return None
    batch = plan.batch_tokens
    few, many = (float(question.learning.loss(plan.shape, tokens=t, batch_tokens=batch)) for t in tokens)
    error = law_error(question, plan)
    down = float(np.hypot(max(loss - many, 0.0), error * loss))
    up = float(np.hypot(max(few - loss, 0.0), error * loss))
    return [loss - down, loss + up]
