r"""How fast a trained model can answer: a lower bound from the bytes that one generated token must read.

Generating a token reads every weight that the batch visits and the whole cache of keys and values. At the batches of an
interactive service that copy, not arithmetic, sets the pace (Pope et al., "Efficiently scaling transformer inference",
arXiv:2211.05102, section 2).
"""

from __future__ import annotations

import numpy as np

from simulator import transformer, windows
from simulator.columns import Numeric
from simulator.transformer import Shape

BYTES = {"bf16": 2.0, "fp16": 2.0, "fp8": 1.0, "int8": 1.0, "fp4": 0.5, "int4": 0.5}
"""Bytes of a number, without the scales of block formats. [B]"""


def visited_parameters(shape: Shape, *, batch_size: Numeric) -> Numeric:
    r"""Weights that one step of a batch reads: one vocabulary matrix, all layers, and the experts that are drawn. [-]

    Notes
    -----
    Of E experts with k per token, :math:`E (1 - (1 - k/E)^b)` are drawn by b tokens that choose independently.

    Examples
    --------
    >>> llama2 = transformer.decoder(num_hidden_layers=32, hidden_size=4096, intermediate_size=11008,
    ...                              num_attention_heads=32, vocab_size=32000)
    >>> print(int(visited_parameters(llama2, batch_size=1)))
    6607343616
    """
    matrix = np.asarray(shape.vocab_size) * np.asarray(shape.hidden_size)
    inside = transformer.non_embedding_parameters(shape) + matrix
    idle = transformer.parameters(shape) - transformer.active_parameters(shape)
    experts = np.maximum(np.asarray(shape.num_experts, dtype=float), 1.0)
    drawn = np.minimum(np.asarray(shape.num_experts_per_tok) / experts, 1.0)
    # Of the experts that the first token leaves idle, those that the rest of the batch does not draw either.
    return inside - idle * (1.0 - drawn) ** (np.asarray(batch_size, dtype=float) - 1.0)


def cache_bytes(shape: Shape, *, tokens: Numeric, bytes_per_number: Numeric = 2.0) -> Numeric:
    """Keys and values of one answer of some tokens; with latent attention (DeepSeek) the compressed ones. [B]

    Layers that see a window keep no more than that.

    Examples
    --------
    >>> llama2 = transformer.decoder(num_hidden_layers=32, hidden_size=4096, intermediate_size=11008,
    ...                              num_attention_heads=32, vocab_size=32000)
    >>> print(cache_bytes(llama2, tokens=1) / 1024)
    512.0
    """
    latent = np.asarray(shape.kv_lora_rank) + shape.qk_rope_head_dim
    width = np.where(
        transformer.is_latent(shape), latent, 2 * np.asarray(shape.num_key_value_heads) * shape.head_dim
    )
    kept = windows.cached_tokens(shape, context_length=tokens)
    return (np.asarray(shape.num_hidden_layers) * width * kept * bytes_per_number)[()]


def least_latency_s(
    shape: Shape,
    *,
    n_gpus: Numeric,
    memory_bandwidth: Numeric,
    memory_capacity: Numeric = np.inf,
    batch_size: Numeric = 1,
    context_length: Numeric = 2048,
    bytes_per_number: Numeric = 2.0,
) -> Numeric:
    r"""Least time between two tokens of an answer; infinite where the model does not fit. [s]

    Parameters
    ----------
    shape : Shape
        Models.
    n_gpus : numeric
        Accelerators that share one copy, each with its part of weights and cache. [-]
    memory_bandwidth, memory_capacity : numeric
        Of one accelerator. [B/s], [B]
    batch_size, context_length : numeric, optional
        Answers written at once; tokens that each looks back on. [-], [tokens]
    bytes_per_number : numeric, optional
        Of weights and cache. [B]

    Notes
    -----
    .. math:: t \ge \frac{w\,N_{visited} + b\,c\,k}{n\,W}

    w bytes per weight, k bytes of cache per token, W bandwidth. A bound, optimistic: peak bandwidth, no communication
    between the accelerators, no scheduling. PaLM 540B in int8 on 64 TPU v4 took 29 ms per token at a small batch
    (arXiv:2211.05102, abstract), four times the bound.

    References
    ----------
    .. [1] R. Pope et al., "Efficiently scaling transformer inference", arXiv:2211.05102, 2022.

    Examples
    --------
    Llama-2 7B on one A100 of 2.039 TB/s, without cache:

    >>> llama2 = transformer.decoder(num_hidden_layers=32, hidden_size=4096, intermediate_size=11008,
    ...                              num_attention_heads=32, vocab_size=32000)
    >>> print(round(1e3 * least_latency_s(llama2, n_gpus=1, memory_bandwidth=2.039e12, context_length=0), 2))
    6.48
    """
    one = cache_bytes(shape, tokens=context_length, bytes_per_number=bytes_per_number)
    cache = np.asarray(batch_size) * one
    read = visited_parameters(shape, batch_size=batch_size) * bytes_per_number + cache
    held = transformer.parameters(shape) * bytes_per_number + cache
    share = np.asarray(n_gpus, dtype=float)
    return np.where(held / share <= memory_capacity, read / share / memory_bandwidth, np.inf)[()]
