"""Bytes of activations that one layer keeps for the backward pass, on one accelerator and for one micro-batch.

The formulas are those of Korthikanti et al. (arXiv:2205.05198, section 4), term by term, with the widths of grouped-query
and latent attention, gated feed-forward blocks, mixtures of experts, flash attention and context parallelism.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from simulator import transformer
from simulator.layout import Layout, expert_tp, is_dualpipe
from simulator.memory.constants import MemoryConstants
from simulator.transformer import Shape

Numeric = Any


def tokens_per_microbatch(layout: Layout) -> Numeric:
    """Tokens of one micro-batch that one context-parallel rank holds. [tokens]"""
    return np.asarray(layout.micro_batch_size) * layout.seq_length / layout.cp


def sequence_split(layout: Layout) -> Numeric:
    """Ranks over which norms and residuals are sharded: ``tp`` under sequence parallelism, else 1. [-]"""
    return np.where(np.asarray(layout.sequence_parallel) > 0, layout.tp, 1)


def hidden_bytes(s: Shape, layout: Layout, *, constants: MemoryConstants, element: float = 2.0) -> Numeric:
    """Norm inputs and outputs and dropout masks of one layer, per token. [B/token]

    ``(4 e + 2 d) h`` with element size e and one-byte dropout masks d: Korthikanti's ``10 s b h``. Under autocast the two
    inputs of the norms have 32 bits.
    """
    per_width = constants.hidden_tensors * element + 2 * constants.dropout
    per_width = per_width + 2.0 * np.maximum(4.0 - element, 0.0) * np.asarray(layout.autocast)
    return per_width * np.asarray(s.hidden_size) / sequence_split(layout)


def score_bytes(s: Shape, layout: Layout, *, constants: MemoryConstants, element: float = 2.0) -> Numeric:
    """Attention probabilities of one layer, per token. [B/token]

    Plain attention keeps the softmax output and, with dropout, the mask and the dropped output: ``5 a s``.
    Flash attention keeps one fp32 log-sum-exp per head.
    """
    heads = np.asarray(s.num_attention_heads) / layout.tp
    plain = (element + constants.dropout * (1 + element)) * np.asarray(layout.seq_length)
    return heads * np.where(np.asarray(layout.flash_attention) > 0, 4.0, plain)


def attention_bytes(s: Shape, layout: Layout, *, constants: MemoryConstants, element: float = 2.0) -> Numeric:
    """Queries, keys, values and attention output of one layer, per token, without the scores. [B/token]"""
    widths = transformer.query_width(s) + transformer.key_value_width(s)
    parallel = widths * (1 + constants.attention_copies) + transformer.value_width(s)
    low_rank = np.where(
        transformer.is_latent(s), np.asarray(s.q_lora_rank) + s.kv_lora_rank + s.qk_rope_head_dim, 0
    )
    return element * (parallel / layout.tp + 2 * low_rank / sequence_split(layout))


def ffn_tensors(s: Shape, *, constants: MemoryConstants) -> Numeric:
    """Tensors of FFN width that one feed-forward block keeps. [-]"""
    return np.where(np.asarray(s.gated) > 0, constants.gated_tensors, constants.plain_tensors)


def dense_ffn_bytes(s: Shape, layout: Layout, *, constants: MemoryConstants, element: float = 2.0) -> Numeric:
    """Inner activations of one dense feed-forward block, per token. [B/token]"""
    return element * ffn_tensors(s, constants=constants) * np.asarray(s.intermediate_size) / layout.tp


def expert_ffn_bytes(
    s: Shape, layout: Layout, *, constants: MemoryConstants, element: float = 2.0
) -> Numeric:
    """Router, routed and shared experts of one layer, per token, with balanced routing. [B/token]

    Each of the ``k`` copies of a token is kept as expert input and output (h) and inside the expert. Tokens leave for
    other ranks under expert parallelism and as many come in, so the degree ``ep`` itself does not appear.
    """
    inner = ffn_tensors(s, constants=constants)
    etp = expert_tp(layout)
    routed = np.asarray(s.num_experts_per_tok) * (
        2 * np.asarray(s.hidden_size) * etp / layout.tp
        + inner * np.asarray(s.moe_intermediate_size) / layout.tp
    )
    shared = inner * np.asarray(s.shared_expert_intermediate_size) / layout.tp
    router = 2 * 4.0 * np.asarray(s.num_experts) / sequence_split(layout)
    return element * (routed + shared) + router


def selected_bytes(
    s: Shape, layout: Layout, *, sparse: bool, constants: MemoryConstants, element: float = 2.0
) -> Numeric:
    """Kept of one layer, per token, where selective recomputation keeps results of matmuls alone. [B/token]

    The layer's input, the attention output with its log-sum-exp, and `selective_keeps` of queries, attention's output, keys and
    values, both results of width h and the feed-forward block's inner results. Of that a half is what torchtitan keeps of a gated
    block, which are the results of every second matmul: queries, values, gate, and the block's output.
    """
    h, f = np.asarray(s.hidden_size), np.asarray(s.intermediate_size)
    if sparse:
        f = np.asarray(s.num_experts_per_tok) * s.moe_intermediate_size + s.shared_expert_intermediate_size
    inner = (1 + np.asarray(s.gated)) * f + transformer.query_width(s) + transformer.key_value_width(s)
    results = (inner + transformer.value_width(s)) / layout.tp + 2 * h / sequence_split(layout)
    core = (
        element * transformer.value_width(s) / layout.tp + 4.0 * np.asarray(s.num_attention_heads) / layout.tp
    )
    return element * (h / sequence_split(layout) + constants.selective_keeps * results) + core


def layer_bytes(
    s: Shape, layout: Layout, *, sparse: bool = False, constants: MemoryConstants, element: float = 2.0
) -> Numeric:
    """Activations of one layer for one micro-batch on one accelerator, after the recomputation mode. [B]

    Parameters
    ----------
    s, layout : Shape, Layout
        Model and layout.
    sparse : bool, optional
        Whether the feed-forward block is a mixture of experts.
    constants : MemoryConstants
        What the framework keeps.
    element : float, optional
        Bytes of one activation. [B]

    Notes
    -----
    Selective recomputation drops the attention scores, or keeps what `selected_bytes` says; full recomputation keeps the
    layer's input only.

    Examples
    --------
    The 22-billion-parameter model of Korthikanti et al., section 4: ``s b h (10 + 24/t + 5 a s/(h t))`` per layer.

    >>> from simulator.memory.constants import KORTHIKANTI
    >>> m = transformer.decoder(num_hidden_layers=48, hidden_size=6144, num_attention_heads=64, vocab_size=51200, gated=0)
    >>> plain = Layout(tp=8, micro_batch_size=4, seq_length=2048, flash_attention=0)
    >>> print(48 * layer_bytes(m, plain, constants=KORTHIKANTI) / 2**30)
    59.25
    """
    kept = hidden_bytes(s, layout, constants=constants, element=element)
    kept = kept + attention_bytes(s, layout, constants=constants, element=element)
    ffn = expert_ffn_bytes if sparse else dense_ffn_bytes
    kept = kept + ffn(s, layout, constants=constants, element=element)
    scores = score_bytes(s, layout, constants=constants, element=element)
    mode = np.asarray(layout.recompute)
    layer_input = element * np.asarray(s.hidden_size) / sequence_split(layout)
    if constants.selective_keeps < 1.0:
        chosen = selected_bytes(s, layout, sparse=sparse, constants=constants, element=element)
        chosen = np.minimum(chosen, kept)
    else:
        chosen = kept
    per_token = np.where(mode >= 2, layer_input, np.where(mode == 1, chosen, kept + scores))
    return tokens_per_microbatch(layout) * per_token


def inflight_microbatches(layout: Layout, *, stage: Numeric = 0) -> Numeric:
    """Micro-batches whose activations pipeline stage `stage` (0 is the first) keeps at once. [-]

    1F1B keeps ``min(pp - stage, M)``; GPipe keeps all M; serial stages keep one; interleaving with v chunks per
    accelerator keeps ``(pp - 1)/v`` more (Korthikanti et al., section 4.2.3), never more than M; DualPipe keeps ``pp + 1`` on
    every device (DeepSeek-AI, arXiv:2412.19437, table 2).
    """
    pp, vp = np.asarray(layout.pp), np.asarray(layout.vp)
    extra = np.where(vp > 1, (pp - 1) / vp, 0.0)
    steady = np.minimum(pp - stage + extra, layout.num_microbatches)
    schedule = np.asarray(layout.schedule)
    steady = np.where(is_dualpipe(layout), np.minimum(pp + 1, layout.num_microbatches), steady)
    return np.where(schedule == 0, layout.num_microbatches, np.where(schedule == 3, 1, steady))
