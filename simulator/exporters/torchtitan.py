"""A plan as torchtitan's TOML. The sizes of a model that torchtitan does not name are given as an entry of its program.

The keys are those of torchtitan 0.2, the last whose jobs are TOML [1]_; its models stand in ``torchtitan/models``.

References
----------
.. [1] https://pypi.org/project/torchtitan/0.2.2/, ``torchtitan/config/job_config.py``, ``torchtitan/models/llama3/__init__.py``
   and ``torchtitan/distributed/pipeline_parallel.py`` (github.com/pytorch/torchtitan at 02ef790c79614758f85880e173d2338d7de502a3).
"""

from __future__ import annotations

from typing import Any

from simulator.errors import SpecError, UnknownNameError
from simulator.exporters import demands, launch, weights
from simulator.exporters.kept import EPSILON, THETA, first, note_lost
from simulator.exporters.plan import TrainingPlan
from simulator.importers.torchtitan import FLAVORS
from simulator.schema import load_model

SINGLE = {"1f1b": "1F1B", "gpipe": "GPipe"}
"""Schedules of one stage per rank."""

LOOPED = {"1f1b": "Interleaved1F1B", "interleaved": "Interleaved1F1B", "zero_bubble": "InterleavedZeroBubble"}
"""Schedules of two stages per rank or more."""

GONE = ("llama2",)
"""Models of torchtitan that left it before the keys that are written here came (``local_batch_size``, in 0.1)."""

LOAD = {
    "enable": True,
    "initial_load_path": weights.FOLDER,
    "initial_load_model_only": True,
    "initial_load_in_hf": True,
}
"""Keys of ``[checkpoint]`` that load given weights of Hugging Face's format before the first step, and nothing else."""

ROPE = {"rope_theta": 500_000, "rope_scaling": 8}
"""Base and factor of the flavors of llama3 and of Llama 3.1."""


def write(plan: TrainingPlan) -> tuple[str, list[str]]:
    """Return the TOML and what it does not hold."""
    _check(plan)
    name, flavor = flavor_of(plan)
    notes = ["data, tokenizer and learning rate are placeholders"]
    lines = plan.head
    if not flavor:
        name, flavor = "llama3", "planned"
        lines += [f"# {line}" for line in entry(plan)]
        notes.append("the model is no flavor of torchtitan: add the entry in the comment to its llama3_args")
        notes += note_lost(
            plan.config, [*THETA, *EPSILON, *(["rope_scaling"] if _scaling(plan) else [])], "torchtitan"
        )
    elif name != "llama3" and plan.config:
        notes.append(f"rotary positions, norms and routing are those of torchtitan's {name} {flavor}")
    optimizer = plan.training["optimizer"]
    if optimizer != "adamw":
        notes.append(f"optimizer {optimizer}: torchtitan trains with AdamW here")
    load = {"checkpoint": LOAD} if weights.is_given(plan) else {}
    for title, values in {**_blocks(plan, name, flavor), **load}.items():
        lines += ["", f"[{title}]", *(f"{key} = {_toml(value)}" for key, value in values.items())]
    return "\n".join(lines) + "\n", notes


def _check(plan: TrainingPlan) -> None:
    """See that torchtitan has what a layout asks for."""
    x = plan.layout
    wrong = [*(_pipeline(plan) if x["pp"] > 1 else []), *demands.torchtitan(plan)]
    if x["zero_stage"] not in (0, 3) and x["dp"] * x["cp"] > 1:
        wrong.append(f"it shards with FSDP, not with ZeRO {x['zero_stage']} (--set parallelism.zero_stage=3)")
    if x["ep"] > 1 and (x["etp"] or x["tp"]) not in (1, x["tp"]):
        remedy = f"--set parallelism.etp={x['tp']}"
        wrong.append(f"its experts take all of tensor parallelism or none, not etp {x['etp']} ({remedy})")
    if wrong:
        raise SpecError("torchtitan cannot hold this plan: " + "; ".join(wrong))


def _pipeline(plan: TrainingPlan) -> list[str]:
    """What torchtitan's pipelines do not have: its schedules take one stage per rank, or two and more."""
    x, layers = plan.layout, plan.sizes["num_hidden_layers"]
    schedule, vp = x["schedule"], x["vp"]
    if schedule not in {**SINGLE, **LOOPED}:
        return [f"it has no {schedule} (--set parallelism.schedule=1f1b)"]
    if vp == 1 and schedule not in SINGLE:
        remedy = "--set parallelism.vp=2, or --set parallelism.schedule=1f1b"
        return [f"its {LOOPED[schedule]} needs two stages per rank or more ({remedy})"]
    if vp > 1 and schedule not in LOOPED:
        return [f"its {SINGLE[schedule]} has one stage per rank (--set parallelism.vp=1)"]
    each = -(-layers // (x["pp"] * vp))
    if vp > 2 and -(-layers // each) != x["pp"] * vp:
        return [
            f"it makes {-(-layers // each)} stages of {each} layers, not pp x vp = {x['pp'] * vp} (--set parallelism.vp=1)"
        ]
    return []


def _blocks(plan: TrainingPlan, name: str, flavor: str) -> dict[str, dict[str, Any]]:
    """The tables of the TOML."""
    x, t = plan.layout, plan.training
    fp8 = t["precision"] == "fp8"
    shard = 1 if x["zero_stage"] != 3 else max(1, (x.get("shard_group") or x["dp"] * x["cp"]) // x["cp"])
    blocks: dict[str, dict[str, Any]] = {
        "job": {"dump_folder": "./outputs"},
        "model": {"name": name, "flavor": flavor, "converters": ["float8"] if fp8 else []},
        "optimizer": {"name": "AdamW", "lr": weights.learning_rate(plan)},
        "training": {
            "local_batch_size": t["micro_batch_size"] if x["pp"] == 1 else t["global_batch_size"] // x["dp"],
            "global_batch_size": t["global_batch_size"],
            "seq_len": t["seq_length"],
            "steps": t["steps"] or 100,
            "dataset": "c4_test",
        },
        "parallelism": {
            "data_parallel_replicate_degree": x["dp"] // shard,
            "data_parallel_shard_degree": shard,
            "tensor_parallel_degree": x["tp"],
            "pipeline_parallel_degree": x["pp"],
            "context_parallel_degree": x["cp"],
            "expert_parallel_degree": x["ep"],
            # It is 1 by default, which leaves experts whole; the plan splits them over tensor parallelism unless it says not.
            **({"expert_tensor_parallel_degree": x["etp"] or x["tp"]} if x["ep"] > 1 else {}),
            **(
                {"expert_parallel_comm_backend": "deepep"}
                if "dispatcher" in launch.held(plan, "torchtitan")
                else {}
            ),
        },
        "activation_checkpoint": {"mode": t["recompute"]},
        "compile": {"enable": t["compile"]},
    }
    if x["pp"] > 1:
        blocks["parallelism"] |= {
            "pipeline_parallel_schedule": (SINGLE if x["vp"] == 1 else LOOPED)[x["schedule"]],
            "pipeline_parallel_microbatch_size": t["micro_batch_size"],
            # Both are 1 by default, which fills the stages in between beyond what the plan counts.
            "pipeline_parallel_first_stage_less_layers": 0,
            "pipeline_parallel_last_stage_less_layers": 0,
        }
        if x["vp"] > 2:
            each = -(-plan.sizes["num_hidden_layers"] // (x["pp"] * x["vp"]))
            blocks["parallelism"]["pipeline_parallel_layers_per_stage"] = each
    return blocks


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return "[" + ", ".join(_toml(each) for each in value) + "]"
    return f'"{value}"' if isinstance(value, str) else str(value)


def flavor_of(plan: TrainingPlan) -> tuple[str, str]:
    """Name and flavor of the same sizes in torchtitan's program, or two empty strings."""
    for (name, flavor), known in FLAVORS.items():
        if name in GONE or (name == "llama3" and not _as_llama3(plan)):
            continue
        try:
            sizes = load_model(known).sizes()
        except (UnknownNameError, SpecError):
            continue
        if sizes == plan.sizes:
            return name, flavor
    return "", ""


def _as_llama3(plan: TrainingPlan) -> bool:
    """Whether the rotary positions are those of the flavors, or not known."""
    theta = first(plan.config, THETA)
    return theta is None or (theta == ROPE["rope_theta"] and _scaling(plan) in (None, ROPE["rope_scaling"]))


def _scaling(plan: TrainingPlan) -> float | None:
    """Factor of Llama 3's scaling, which torchtitan always applies; 1 for none, ``None`` for another kind."""
    config = plan.config.get("rope_scaling")
    if not config:
        return 1
    kind = config.get("rope_type", config.get("type")) if isinstance(config, dict) else None
    return config.get("factor") if kind == "llama3" else None


def entry(plan: TrainingPlan) -> list[str]:
    """The entry of ``llama3_args`` that makes a model of these sizes."""
    s = plan.sizes
    llama = s.get("gated", 1) and not (
        s.get("num_experts") or s.get("kv_lora_rank") or s.get("attention_bias")
    )
    plain = llama and not (
        s.get("tie_word_embeddings") or s.get("qk_norm_size") or s.get("learned_positions")
    )
    if (
        not plain
        or s["head_dim"] * s["num_attention_heads"] != s["hidden_size"]
        or s.get("norm_parameters", 1) != 1
    ):
        raise SpecError(
            "torchtitan cannot hold this plan: its llama3 has no place for the sizes of this model"
        )
    multiple, factor = feed_forward(s["hidden_size"], s["intermediate_size"])
    sizes = {
        "dim": s["hidden_size"],
        "n_layers": s["num_hidden_layers"],
        "n_heads": s["num_attention_heads"],
        "n_kv_heads": s["num_key_value_heads"],
        "vocab_size": s["vocab_size"],
        "multiple_of": multiple,
        "ffn_dim_multiplier": factor,
        "norm_eps": first(plan.config, EPSILON) or 1e-5,
        "rope_theta": first(plan.config, THETA) or 10_000,
        "rope_scaling_args": f"RoPEScalingArgs(scaling_factor={float(_scaling(plan) or 1)})",
    }
    arguments = ", ".join(f"{name}={value}" for name, value in sizes.items())
    return [
        "Add to torchtitan/models/llama3/__init__.py, in llama3_args:",
        f'    "planned": TransformerModelArgs({arguments}),',
        "and import RoPEScalingArgs from .model.args, where TransformerModelArgs stands.",
    ]


def feed_forward(hidden_size: int, intermediate_size: int) -> tuple[int, float]:
    """``multiple_of`` and ``ffn_dim_multiplier`` with which torchtitan arrives at a feed-forward width.

    Its rule: ``int(2/3 x 4 x dim)``, times the factor, rounded up to the multiple.

    Examples
    --------
    >>> feed_forward(4096, 14336)[0]
    2048
    """
    multiple = intermediate_size & -intermediate_size
    start = int(2 * 4 * hidden_size / 3)
    factor = round((intermediate_size - multiple // 2 + 0.5) / start, 6)
    if rounded(start, factor, multiple) != intermediate_size:
        raise SpecError("torchtitan cannot hold this plan: no factor leads to this feed-forward width")
    return multiple, factor


def rounded(start: int, factor: float, multiple: int) -> int:
    """Feed-forward width by the rule of torchtitan."""
    return multiple * ((int(factor * start) + multiple - 1) // multiple)
