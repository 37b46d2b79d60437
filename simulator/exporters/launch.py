"""Launch settings of a plan as Megatron-LM's arguments, what it demands of them, and what other programs' files leave out.

Read in Megatron-LM's ``transformer_config.py`` and ``cuda_graph_config.py`` [1]_ and ``arguments.py`` [2]_, the flexible
dispatcher's demands in ``moe/token_dispatcher.py``; torchtitan's in ``parallelize.py`` of its models [3]_.

References
----------
.. [1] https://github.com/NVIDIA/Megatron-LM, ``megatron/core/transformer`` at 002526d81b81f6ab534e93844f9a228709887494.
.. [2] The same, ``megatron/training/arguments.py`` at 000c4ac24f61159c138b0975def722c65245983c.
.. [3] https://pypi.org/project/torchtitan/0.2.2/, ``torchtitan/models/deepseek_v3/infra/parallelize.py``.
"""

from __future__ import annotations

from typing import Any

from simulator.exporters.plan import TrainingPlan

USUAL: dict[str, Any] = {
    "dispatcher": "alltoall",
    "expert_overlap": False,
    "cuda_graphs": "none",
    "fused_experts": False,
    "fp8_attention": False,
}
"""Launch settings of a plan where its scenario says nothing."""

HELD: dict[str, dict[str, tuple[Any, ...]]] = {
    "megatron": {
        "dispatcher": ("deepep", "hybridep"),
        "expert_overlap": (True,),
        "cuda_graphs": ("partial", "full"),
        "fused_experts": (True,),
        "fp8_attention": (True,),
    },
    "torchtitan": {"dispatcher": ("deepep",)},
}
"""Launch settings that a program's file holds, each with the values beside the usual one."""

ROOM = 1.5
"""Tokens of a rank's experts for which graphs of a whole mixture keep room, over their mean; more are dropped. That of NVIDIA's runs
of DeepSeek-V3 (github.com/NVIDIA-NeMo/Megatron-Bridge, ``_enable_deepseek_full_iteration_mxfp8``). [-]"""

WHOLE = [
    "--cuda-graph-impl local",
    "--cuda-graph-scope full_iteration",
    "--no-check-for-nan-in-loss-and-grad",
    "--te-rng-tracker",
]
"""Arguments of one graph of the passes; later versions read the first two as ``--cuda-graph-impl full_iteration``."""


def asked(plan: TrainingPlan) -> dict[str, Any]:
    """The launch settings of a plan that are not the usual ones; without expert parallelism nothing is exchanged."""
    found = {**plan.layout, **plan.training}
    found |= {"dispatcher": None, "expert_overlap": None} if plan.layout["ep"] == 1 else {}
    return {name: found[name] for name, usual in USUAL.items() if found.get(name) not in (None, usual)}


def held(plan: TrainingPlan, program: str) -> dict[str, Any]:
    """Those of them that a program's file holds."""
    kept = HELD.get(program, {})
    return {name: value for name, value in asked(plan).items() if value in kept.get(name, ())}


def exchange(plan: TrainingPlan) -> list[str]:
    """Arguments of the exchange between experts; the flexible dispatcher asserts that there is something to exchange."""
    found = asked(plan)
    if "dispatcher" in found:
        lines = ["--moe-token-dispatcher-type flex", f"--moe-flex-dispatcher-backend {found['dispatcher']}"]
    else:
        lines = ["--moe-token-dispatcher-type alltoall"]
    return lines + (["--overlap-moe-expert-parallel-comm"] if "expert_overlap" in found else [])


def kernels(plan: TrainingPlan) -> list[str]:
    """Arguments of CUDA graphs, of fused experts and of attention in 8 bits."""
    t = plan.training
    lines = ["--use-transformer-engine-op-fuser"] if t.get("fused_experts") else []
    lines += ["--fp8-dot-product-attention"] if t.get("fp8_attention") else []
    return lines + graphs(plan)


def graphs(plan: TrainingPlan) -> list[str]:
    """Arguments of CUDA graphs: of the passes, or of layers without their experts."""
    kind, s = plan.training.get("cuda_graphs"), plan.sizes
    if kind not in ("partial", "full"):
        return []
    if kind == "full":
        padded = [f"--moe-expert-rank-capacity-factor {ROOM}", "--moe-paged-stash"]
        return WHOLE + (padded if s.get("num_experts") else [])
    scope = ["attn"]
    if s.get("num_experts"):
        dense = s.get("first_k_dense_replace") or s.get("moe_layer_freq", 1) > 1
        scope += ["mlp"] if dense and "expert_overlap" not in asked(plan) else []
        scope += ["moe_router", "moe_preprocess"]
    return [
        "--cuda-graph-impl transformer_engine",
        f"--cuda-graph-scope {' '.join(scope)}",
        "--te-rng-tracker",
    ]


def megatron(plan: TrainingPlan) -> list[str]:
    """What Megatron-LM refuses of launch settings, or leaves out without a word."""
    found, t, wrong = asked(plan), plan.training, []
    if t.get("cuda_graphs") in ("partial", "full") and t["recompute"] == "full":
        wrong.append("its CUDA graphs take no full recomputation (--set training.recompute=selective)")
    if t.get("fp8_attention") and t["precision"] != "fp8":
        remedy = "--set training.precision=fp8, or --set training.fp8_attention=false"
        wrong.append(f"its attention in 8 bits needs matmuls in 8 bits ({remedy})")
    if not plan.sizes.get("num_experts"):
        return wrong
    static = found.get("dispatcher") == "hybridep" and t.get("fused_experts")
    if t.get("cuda_graphs") == "full" and not static:
        remedy = "--set parallelism.dispatcher=hybridep and training.fused_experts=true, or training.cuda_graphs=partial"
        wrong.append(
            f"its CUDA graphs of a whole mixture need expert parallelism by HybridEP and fused experts ({remedy})"
        )
    if t.get("fused_experts") and t["precision"] not in ("bf16", "fp8"):
        wrong.append("its fused experts are grouped matmuls in bf16 (--set training.precision=bf16)")
    return wrong + (_overlap(plan) if "expert_overlap" in found else [])


def _overlap(plan: TrainingPlan) -> list[str]:
    """What Megatron-LM asserts of an exchange behind the computation."""
    x, t, wrong = plan.layout, plan.training, []
    if x["pp"] > 1 and x["vp"] == 1:
        remedy = "--set parallelism.vp=2, or --set parallelism.expert_overlap=false"
        wrong.append(f"its overlap of experts needs virtual stages in a pipeline ({remedy})")
    if t["recompute"] == "full":
        remedy = "--set training.recompute=selective"
        wrong.append(f"its overlap of experts takes no recomputation of single layers ({remedy})")
    if t["precision"] not in ("bf16", "fp16", "fp8"):
        wrong.append("its overlap of experts is for 16 bits (--set training.precision=bf16)")
    return wrong


def torchtitan(plan: TrainingPlan) -> list[str]:
    """What torchtitan refuses of launch settings."""
    x = plan.layout
    if asked(plan).get("dispatcher") != "deepep" or (x["etp"] or x["tp"]) == 1:
        return []
    return ["its DeepEP takes whole experts only (--set parallelism.etp=1)"]


def notes(plan: TrainingPlan, program: str) -> list[str]:
    """What a program's file does not hold of the launch settings, and what Megatron-LM's asks for beside it."""
    kept = held(plan, program)
    lost = {name: value for name, value in asked(plan).items() if name not in kept}
    if program == "megatron":
        return _wide(plan) + _beside(kept, mixture=bool(plan.sizes.get("num_experts")))
    if program == "hf" or not lost:
        return []
    told = ", ".join(f"{name} {'true' if value is True else value}" for name, value in lost.items())
    return [f"not written, although the plan's time counts on it: {told}"]


def _wide(plan: TrainingPlan) -> list[str]:
    """A note where the accelerator's attention is wider than was asked for."""
    if plan.training.get("fp8_attention") or not plan.training.get("asked_fp8_attention"):
        return []
    return ["attention in 16 bits: the accelerator has no fp8 matrix units"]


def _beside(found: dict[str, Any], *, mixture: bool) -> list[str]:
    """What a launch script needs that its arguments do not say."""
    out = []
    if found.get("fused_experts"):
        out.append(
            "fused experts: one kernel does all with NVTE_CUTEDSL_FUSED_GROUPED_MLP=1 and MXFP8 on Blackwell"
        )
    if found.get("cuda_graphs") == "full" and mixture:
        out.append(f"CUDA graphs of the mixture keep room for {ROOM} times the mean; more tokens are dropped")
    if found.get("cuda_graphs") == "partial" and mixture:
        out.append("CUDA graphs of routers need a Megatron-LM whose --cuda-graph-scope takes moe_router")
    return out
