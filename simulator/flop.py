"""Floating-point operations of a decoder: per token, forward and training, by every convention in use."""

from __future__ import annotations

import numpy as np

from simulator.columns import Numeric
from simulator.transformer import (
    Shape,
    active_parameters,
    embedding_width,
    layer_matrix_parameters,
    query_width,
    value_width,
)
from simulator.windows import attended_share

CAUSAL_FACTOR = {"full": 1.0, "halved": 0.5}
"""Share of the attention matrix that a FLOP convention counts."""


def attention_flop_per_token(s: Shape, *, seq_length: Numeric, causal: str = "full") -> Numeric:
    """FLOP of the attention scores and their application in one forward pass, all layers. [FLOP/token]

    Per token and layer ``2 s (q + v)`` with q and v the summed head widths; half of it if the causal mask is counted. Layers
    that see a window count what they see of it (Megatron-Bridge, ``flop_utils.py``).
    """
    seen = np.asarray(seq_length) * attended_share(s, seq_length=seq_length)
    per_layer = 2 * seen * (query_width(s) + value_width(s))
    return np.asarray(s.num_hidden_layers) * per_layer * CAUSAL_FACTOR[causal]


def forward_flop_per_token(
    s: Shape, *, seq_length: Numeric, causal: str = "full", logits: bool = True
) -> Numeric:
    """FLOP of one forward pass. [FLOP/token]

    Matmuls take ``2`` FLOP per weight and token; the embedding look-up takes none; softmax, norms and activations
    are left out, as all published conventions do.
    """
    projections = np.where(np.asarray(s.embedding_proj_dim) > 0, 2 * np.asarray(s.hidden_size), 0)
    head = 2 * (np.asarray(s.vocab_size) + projections) * embedding_width(s) if logits else 0
    return (
        2 * layer_matrix_parameters(s)
        + head
        + attention_flop_per_token(s, seq_length=seq_length, causal=causal)
    )


def model_flop_per_token(
    s: Shape, *, seq_length: Numeric, convention: str = "megatron", trainable_share: Numeric = 1.0
) -> Numeric:
    """FLOP of forward and backward pass, without recomputation: the numerator of MFU. [FLOP/token]

    Parameters
    ----------
    s : Shape
        The model.
    seq_length : numeric
        Sequence length. [tokens]
    convention : {"megatron", "palm", "maxtext", "6N"}
        ``megatron``: matmuls and logits, attention counted whole (Korthikanti et al., arXiv:2205.05198, appendix A).
        ``maxtext``: the same with attention halved for the causal mask (MaxText and Megatron-Bridge since 2025).
        ``palm``: ``6 N + 12 L h s``, N without the position and token tables' look-up (arXiv:2204.02311, appendix B).
        ``6N``: six per parameter, no attention.
    trainable_share : numeric, optional
        Share of weights that receive gradients (1 for full training, about 0 for adapters): the weight-gradient third
        of the work is scaled by it. [-]

    Examples
    --------
    >>> from simulator.transformer import decoder
    >>> gpt3 = decoder(num_hidden_layers=96, hidden_size=12288, num_attention_heads=96, vocab_size=51200, gated=0,
    ...                tie_word_embeddings=1, learned_positions=2048)
    >>> for c in FLOP_CONVENTIONS:
    ...     print(c, round(model_flop_per_token(gpt3, seq_length=2048, convention=c) / 1e12, 3))
    megatron 1.076
    maxtext 1.062
    palm 1.076
    6N 1.048
    """
    if convention == "6N":
        return (4 + 2 * trainable_share) * active_parameters(s)
    if convention == "palm":
        attention = 3 * attention_flop_per_token(s, seq_length=seq_length)
        learned = np.asarray(s.learned_positions) * s.hidden_size
        tables = learned + np.asarray(1 - np.asarray(s.tie_word_embeddings)) * s.vocab_size * s.hidden_size
        return (4 + 2 * trainable_share) * (active_parameters(s) - tables) + attention
    causal = {"megatron": "full", "maxtext": "halved"}[convention]
    attention = attention_flop_per_token(s, seq_length=seq_length, causal=causal)
    matmul = forward_flop_per_token(s, seq_length=seq_length, causal=causal) - attention
    return (2 + np.asarray(trainable_share)) * matmul + 3 * attention


FLOP_CONVENTIONS = ("megatron", "maxtext", "palm", "6N")
"""Ways of counting the FLOP of a training step that are in use."""
