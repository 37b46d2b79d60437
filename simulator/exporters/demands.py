"""Combinations that a program refuses, or leaves out without a word, each with the setting of the scenario that avoids it.

Read in the programs: Megatron-LM's ``arguments.py``, ``transformer_config.py`` and ``moe_layer.py`` [1]_; DeepSpeed's
``engine.py`` (MiCS is looked at under ZeRO 3 alone) and ``zero/utils.py`` [2]_; torchtitan's ``parallelize.py`` and
``parallel_dims.py`` [3]_, whose attention views each rank's keys in whole heads; nanotron's ``llama.py`` [4]_.

References
----------
.. [1] https://github.com/NVIDIA/Megatron-LM, ``megatron/training/arguments.py`` at 000c4ac24f61159c138b0975def722c65245983c and
   ``megatron/core/transformer``.
.. [2] https://github.com/deepspeedai/DeepSpeed, ``deepspeed/runtime/engine.py``, ``_configure_tensor_parallel_states``.
.. [3] https://pypi.org/project/torchtitan/0.2.2/, ``torchtitan/models/llama3/infra/parallelize.py``.
.. [4] https://github.com/huggingface/nanotron, ``src/nanotron/models/llama.py``, ``CausalSelfAttention``.
"""

from __future__ import annotations

from simulator.exporters import launch
from simulator.exporters.plan import TrainingPlan

AUTOTP_ZERO = 2
"""Highest ZeRO stage that DeepSpeed's engine takes beside automatic tensor parallelism (up to 0.19.3). [-]"""

MICS_ZERO = 3
"""ZeRO stage under which DeepSpeed reads ``mics_shard_size``. [-]"""

GROUPED = ("bf16", "fp8")
"""Precisions of a plan in which Megatron-LM takes ``--moe-grouped-gemm``, which it asserts to be in bf16."""

TESTED_BY_ZERO = ("adamw", "lion")
"""Optimizers of a plan that DeepSpeed's ZeRO takes without ``zero_allow_untested_optimizer``."""


def megatron(plan: TrainingPlan) -> list[str]:
    """What Megatron-LM refuses."""
    x, t, wrong = plan.layout, plan.training, []
    if x["pp"] > 1 and x["schedule"] not in ("1f1b", "interleaved"):
        wrong.append(f"its pipelines are 1F1B, not {x['schedule']} (--set parallelism.schedule=1f1b)")
    if t["optimizer"] == "muon" and x["zero_stage"] > 0:
        wrong.append("its Muon works with no sharded optimizer (--set parallelism.zero_stage=0)")
    if plan.sizes.get("num_experts"):
        if t["precision"] == "fp16" and x["ep"] > 1:
            wrong.append("its expert parallelism has no fp16 (--set training.precision=bf16)")
        if x["tp"] > 1 and not x["sequence_parallel"]:
            remedy = "--set parallelism.sequence_parallel=true, or --set parallelism.tp=1"
            wrong.append(f"experts and tensor parallelism need sequence parallelism ({remedy})")
    return wrong + launch.megatron(plan) + _groups(plan) + _context(plan)


def _groups(plan: TrainingPlan) -> list[str]:
    """Heads of keys and values that tensor parallelism does not divide; latent attention has none."""
    groups, tp = plan.sizes["num_key_value_heads"], plan.layout["tp"]
    if plan.sizes.get("kv_lora_rank") or groups % tp == 0:
        return []
    return [
        f"tp {tp} must divide the {groups} heads of keys and values (--set parallelism.tp={_divisor(groups, tp)})"
    ]


def _divisor(number: int, most: int) -> int:
    """The largest divisor of a number that is not above `most`."""
    return max(each for each in range(1, min(number, most) + 1) if number % each == 0)


def _context(plan: TrainingPlan) -> list[str]:
    """Sequences that context parallelism does not divide: every rank takes two pieces, an early and a late one."""
    cp, length = plan.layout["cp"], plan.training["seq_length"]
    if cp == 1 or length % (2 * cp) == 0:
        return []
    return [f"2 x cp = {2 * cp} must divide the sequence length {length} (--set parallelism.cp=1)"]


def deepspeed(plan: TrainingPlan) -> list[str]:
    """What DeepSpeed refuses."""
    x, zero, wrong = plan.layout, plan.layout["zero_stage"], []
    if x["tp"] > 1 and zero > AUTOTP_ZERO:
        remedy = "--set parallelism.tp=1, or --set parallelism.zero_stage=1"
        wrong.append(
            f"its automatic tensor parallelism (tp {x['tp']}) takes ZeRO up to {AUTOTP_ZERO}, not {zero} ({remedy})"
        )
    if x.get("shard_group") and zero < MICS_ZERO:
        remedy = "--set parallelism.zero_stage=3, or --set parallelism.shard_group=null"
        wrong.append(f"it shards inside groups under ZeRO {MICS_ZERO} only, not {zero} ({remedy})")
    return wrong


def torchtitan(plan: TrainingPlan) -> list[str]:
    """What torchtitan refuses beside the schedules of its pipelines."""
    x, wrong = plan.layout, []
    if x["zero_stage"] == 0 and x["dp"] > 1 and x["tp"] * x["pp"] > 1:
        remedy = "--set parallelism.zero_stage=3, or parallelism.tp=1 and parallelism.pp=1"
        wrong.append(f"without sharding it has data parallelism alone, no tp or pp beside it ({remedy})")
    pieces, length = x["tp"] * 2 * x["cp"], plan.training["seq_length"]
    if length % pieces:
        wrong.append(
            f"tp x 2 x cp = {pieces} must divide the sequence length {length} (--set training.seq_length={-(-length // pieces) * pieces})"
        )
    return wrong + launch.torchtitan(plan) + _groups(plan)


def nanotron(plan: TrainingPlan) -> list[str]:
    """What nanotron refuses beside what its file has no place for."""
    return _groups(plan)
