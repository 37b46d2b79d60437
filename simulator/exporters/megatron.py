"""A plan as a launch script of Megatron-LM (``pretrain_gpt.py``), with mock data so that it runs as it stands.

What the program demands was read in its ``megatron/training/arguments.py`` [1]_.

References
----------
.. [1] https://github.com/NVIDIA/Megatron-LM at 000c4ac24f61159c138b0975def722c65245983c.
"""

from __future__ import annotations

from simulator.errors import SpecError
from simulator.exporters import demands, launch, megatron_kept, weights
from simulator.exporters.plan import TrainingPlan
from simulator.exporters.stages import dealt, layout

OPTIMIZERS: dict[str, list[str]] = {
    "adamw": [],
    "muon": ["--optimizer muon"],
    "sgd": ["--optimizer sgd", "--sgd-momentum 0.0"],
    "sgd_momentum": ["--optimizer sgd", "--sgd-momentum 0.9"],
}
"""Optimizers of a plan as arguments; SGD has a momentum of 0.9 by default, and with it a state."""

LOAD = ["--pretrained-checkpoint $PRETRAINED", "--exit-on-missing-checkpoint"]
"""Arguments that load given weights, and neither an optimizer nor a step; without the second a missing folder means new weights."""

FOLDER_OF = "the folder of the given weights, a checkpoint of Megatron-LM"


def write(plan: TrainingPlan) -> tuple[str, list[str]]:
    """Return the script and what it does not hold."""
    _check(plan)
    blocks = {
        "MODEL_ARGS": model(plan),
        "TRAINING_ARGS": training(plan),
        "PARALLEL_ARGS": parallel(plan),
        "DATA_ARGS": data(plan),
        **({"LOAD_ARGS": LOAD} if weights.is_given(plan) else {}),
    }
    node = plan.layout["node_size"]
    nodes = plan.layout["n_gpus"] // node
    about = "\n".join(plan.head)
    given = f"PRETRAINED=${{PRETRAINED:?{FOLDER_OF}}}\n" if weights.is_given(plan) else ""
    head = f"""\
#!/bin/bash
{about}
# The data are Megatron's mock data, whose tokenizer adds a token to --vocab-size; the learning rate is a placeholder.
# Megatron pads the vocabulary to 128 x tp.
{connections(plan)}
{given}LR=${{LR:-{weights.learning_rate(plan):.1e}}}
DISTRIBUTED_ARGS=(
    --nproc_per_node {node}
    --nnodes {nodes}
    --node_rank ${{NODE_RANK:-0}}
    --master_addr ${{MASTER_ADDR:-localhost}}
    --master_port ${{MASTER_PORT:-6000}}
)
"""
    body = "".join(
        f"{name}=(\n" + "".join(f"    {line}\n" for line in lines) + ")\n" for name, lines in blocks.items()
    )
    use = " ".join(f'"${{{name}[@]}}"' for name in blocks)
    tail = f'torchrun "${{DISTRIBUTED_ARGS[@]}}" pretrain_gpt.py {use} --lr $LR --min-lr 0 --log-throughput --log-interval 1\n'
    notes = ["data and learning rate are placeholders", *megatron_kept.notes(plan)]
    if plan.training["optimizer"] not in OPTIMIZERS:
        notes.append(f"optimizer {plan.training['optimizer']}: Megatron-LM trains with Adam here")
    if plan.training["optimizer"] == "muon":
        notes.append("gradients are not reduced behind the backward pass, as the plan counts: not with Muon")
    return head + body + tail, notes


def _check(plan: TrainingPlan) -> None:
    """See that Megatron-LM has what a plan asks for."""
    if wrong := demands.megatron(plan):
        raise SpecError("Megatron-LM cannot hold this plan: " + "; ".join(wrong))


def data(plan: TrainingPlan) -> list[str]:
    """Arguments of mock data; their tokenizer has a token more than ``--vocab-size``."""
    size = plan.sizes["vocab_size"] - 1
    return ["--mock-data", "--tokenizer-type NullTokenizer", f"--vocab-size {size}", "--split 99,1,0"]


def model(plan: TrainingPlan) -> list[str]:
    """Arguments of the sizes."""
    s = plan.sizes
    lines = [
        "--use-mcore-models",
        f"--num-layers {s['num_hidden_layers']}",
        f"--hidden-size {s['hidden_size']}",
        f"--ffn-hidden-size {s['intermediate_size']}",
        f"--num-attention-heads {s['num_attention_heads']}",
        f"--normalization {'LayerNorm' if s.get('norm_parameters', 1) == 2 else 'RMSNorm'}",
        "--position-embedding-type "
        + ("learned_absolute" if s.get("learned_positions") else "rope" if s.get("rotary", 1) else "none"),
        f"--max-position-embeddings {s.get('learned_positions') or plan.max_position_embeddings}",
    ]
    if not s.get("kv_lora_rank"):
        lines.append(f"--kv-channels {s['head_dim']}")
        if s["num_key_value_heads"] != s["num_attention_heads"]:
            lines += ["--group-query-attention", f"--num-query-groups {s['num_key_value_heads']}"]
    lines += ["--swiglu"] if s.get("gated", 1) else []
    lines += [] if s.get("tie_word_embeddings") else ["--untie-embeddings-and-output-weights"]
    lines += [] if s.get("mlp_bias") else ["--disable-bias-linear"]
    lines += ["--add-qkv-bias"] if s.get("attention_bias") and not s.get("mlp_bias") else []
    lines += ["--qk-layernorm"] if s.get("qk_norm_size") else []
    return (
        lines
        + megatron_kept.positions(plan)
        + windows(s)
        + latent(s)
        + experts(s, grouped=plan.training["precision"] in demands.GROUPED)
        + megatron_kept.routing(plan)
    )


def connections(plan: TrainingPlan) -> str:
    """The line of ``CUDA_DEVICE_MAX_CONNECTIONS``: tensor and context parallelism demand one, FSDP refuses one, overlap wants many."""
    x = plan.layout
    if x["zero_stage"] > 1:
        return "unset CUDA_DEVICE_MAX_CONNECTIONS"
    many = "expert_overlap" in launch.asked(plan) and x["tp"] * x["cp"] == 1
    return f"export CUDA_DEVICE_MAX_CONNECTIONS={32 if many else 1}"


def windows(s: dict[str, int]) -> list[str]:
    """Arguments of windowed layers; Megatron counts the tokens before the token itself."""
    if not s.get("sliding_window"):
        return []
    pattern = s.get("sliding_window_pattern", 0)
    return [f"--window-size {s['sliding_window'] - 1},0"] + (
        [f"--window-attn-skip-freq {pattern}"] if pattern else []
    )


def latent(s: dict[str, int]) -> list[str]:
    """Arguments of multi-head latent attention."""
    if not s.get("kv_lora_rank"):
        return []
    lines = [
        "--multi-latent-attention",
        "--qk-layernorm",
        f"--kv-lora-rank {s['kv_lora_rank']}",
        f"--qk-head-dim {s['qk_nope_head_dim']}",
        f"--qk-pos-emb-head-dim {s['qk_rope_head_dim']}",
        f"--v-head-dim {s['v_head_dim']}",
    ]
    return lines + ([f"--q-lora-rank {s['q_lora_rank']}"] if s.get("q_lora_rank") else [])


def experts(s: dict[str, int], *, grouped: bool = True) -> list[str]:
    """Arguments of a mixture of experts."""
    if not s.get("num_experts"):
        return []
    lines = [
        f"--num-experts {s['num_experts']}",
        f"--moe-router-topk {s['num_experts_per_tok']}",
        f"--moe-ffn-hidden-size {s['moe_intermediate_size']}",
    ]
    lines += ["--moe-grouped-gemm"] if grouped else []
    if s.get("shared_expert_intermediate_size"):
        lines.append(f"--moe-shared-expert-intermediate-size {s['shared_expert_intermediate_size']}")
    lines += ["--moe-shared-expert-gate"] if s.get("shared_expert_gate") else []
    lines += ["--moe-router-enable-expert-bias"] if s.get("router_bias") else []
    dense = s.get("first_k_dense_replace", 0)
    if dense:
        lines.append(
            f"--moe-layer-freq ([0]*{dense}+[1]*{s['num_hidden_layers'] - dense})".replace("(", "'(") + "'"
        )
    elif s.get("moe_layer_freq", 1) > 1:
        lines.append(f"--moe-layer-freq {s['moe_layer_freq']}")
    return lines


def training(plan: TrainingPlan) -> list[str]:
    """Arguments of the batch, the precision and recomputation."""
    t = plan.training
    lines = [
        f"--seq-length {t['seq_length']}",
        f"--micro-batch-size {t['micro_batch_size']}",
        f"--global-batch-size {t['global_batch_size']}",
        f"--train-iters {t['steps'] or 100}",
        f"--attention-backend {'flash' if t['flash_attention'] else 'unfused'}",
        # Both are 0.1 by default; the memory model keeps no masks of dropout.
        "--attention-dropout 0.0",
        "--hidden-dropout 0.0",
    ]
    lines += {"bf16": ["--bf16"], "fp16": ["--fp16"], "fp8": ["--bf16", "--fp8-format hybrid"]}.get(
        t["precision"], []
    )
    lines += OPTIMIZERS.get(t["optimizer"], [])
    if t["recompute"] == "full":
        lines += ["--recompute-granularity full", "--recompute-method uniform", "--recompute-num-layers 1"]
    elif t["recompute"] == "selective":
        lines.append("--recompute-granularity selective")
    return lines + launch.kernels(plan)


def parallel(plan: TrainingPlan) -> list[str]:
    """Arguments of the layout."""
    x = plan.layout
    lines = [f"--tensor-model-parallel-size {x['tp']}", f"--pipeline-model-parallel-size {x['pp']}"]
    lines += [f"--context-parallel-size {x['cp']}"] if x["cp"] > 1 else []
    lines += ["--sequence-parallel"] if x["sequence_parallel"] and x["tp"] > 1 else []
    if plan.sizes.get("num_experts"):
        lines.append(f"--expert-model-parallel-size {x['ep']}")
        lines += [f"--expert-tensor-parallel-size {x['etp']}"] if x["etp"] else []
        lines += launch.exchange(plan)
    lines += pipeline(plan)
    # The clock hides gradients behind the backward pass, and gathered weights behind the passes that use them. With Muon
    # later versions assert that nothing is hidden, earlier ones that checkpoints have the old format.
    muon = plan.training["optimizer"] == "muon"
    lines.append("--ckpt-format torch" if muon else "--overlap-grad-reduce")
    if x["zero_stage"] == 1:
        lines += ["--use-distributed-optimizer", "--overlap-param-gather"]
        if x.get("shard_group"):
            lines.append(f"--num-distributed-optimizer-instances {x['dp'] * x['cp'] // x['shard_group']}")
    elif x["zero_stage"] > 1:
        kind = {2: "optim_grads", 3: "optim_grads_params"}[x["zero_stage"]]
        lines += [
            "--use-megatron-fsdp",
            f"--data-parallel-sharding-strategy {kind}",
            "--use-distributed-optimizer",
            "--overlap-param-gather",
            "--ckpt-format fsdp_dtensor",
        ]
    return lines


def pipeline(plan: TrainingPlan) -> list[str]:
    """Arguments of the stages: by number where they divide the layers, else by what each holds."""
    x, layers = plan.layout, plan.sizes["num_hidden_layers"]
    if layers % (x["pp"] * x["vp"]) == 0:
        return (
            [f"--num-layers-per-virtual-pipeline-stage {layers // x['pp'] // x['vp']}"] if x["vp"] > 1 else []
        )
    stages = dealt(layers, x["pp"], x["vp"])
    first, *middle, last = stages
    if x["vp"] > 1 or len(set(middle)) > 1:
        return [f"--pipeline-model-parallel-layout '{layout(stages)}'"]
    lines = [f"--decoder-first-pipeline-num-layers {first}"] if middle and first != middle[0] else []
    return [*lines, f"--decoder-last-pipeline-num-layers {last}"]
