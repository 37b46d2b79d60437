r"""What attention sees where some layers look back on a window only.

Most layers of Gemma 2 and 3, gpt-oss, OLMo 3 and Command R see the last ``sliding_window`` tokens, every
``sliding_window_pattern``-th sees the whole sequence; in Mistral 7B no layer does. Llama 4 cuts the sequence into chunks of
``attention_chunk_size`` instead. A window saves attention and cache, nothing else: matmuls and weights are those of any decoder.
"""

from __future__ import annotations

import numpy as np

from simulator.columns import Numeric
from simulator.transformer import Shape

KERNEL_BLOCK = 128
"""Keys and queries that a fused attention kernel handles together; a masked part of a block costs as much as a whole one.
[tokens] (FlashAttention-2, arXiv:2307.08691, section 3.3: blocks of 64 or 128.)"""


def has_windows(s: Shape) -> Numeric:
    """Return 1 where some layers do not see the whole sequence."""
    return (np.asarray(s.sliding_window) > 0) | (np.asarray(s.attention_chunk_size) > 0)


def windowed_layers(s: Shape) -> Numeric:
    """Layers that see a window or a chunk of the sequence only. [layers]

    Examples
    --------
    Gemma 3 27B: ten of 62 layers are global (arXiv:2503.19786, section 2).

    >>> from simulator.schema import load_model
    >>> from simulator.transformer import shape_of
    >>> int(windowed_layers(shape_of(load_model("gemma-3-27b"))))
    52
    """
    layers, pattern = np.asarray(s.num_hidden_layers), np.asarray(s.sliding_window_pattern)
    whole = np.where(pattern > 0, layers // np.maximum(pattern, 1), 0)
    return np.where(has_windows(s), layers - whole, 0)


def attended_share(s: Shape, *, seq_length: Numeric, block: Numeric = 0) -> Numeric:
    r"""Part of the causal half of the attention matrix that a model computes, over all its layers. [-]

    Parameters
    ----------
    s : Shape
        Models.
    seq_length : numeric
        Sequence length. [tokens]
    block : numeric, optional
        Tokens by which a kernel's blocks lengthen a window, `KERNEL_BLOCK` for fused ones; 0 counts what the mask
        leaves. [tokens]

    Notes
    -----
    Of s tokens the last look back on w, the first on those before them, so a windowed layer computes

    .. math:: \frac{w s - w^2 / 2}{s^2 / 2} = 1 - \left(1 - \frac{w}{s}\right)^2

    of the causal half, a layer of chunks ``c / s``. Exact but for terms of ``1 / s``. Wrong for attention that is not
    fused: it computes the matrix whole and masks it.

    Examples
    --------
    >>> from simulator.transformer import decoder
    >>> mistral = decoder(num_hidden_layers=32, hidden_size=4096, num_attention_heads=32, vocab_size=32000,
    ...                   sliding_window=4096)
    >>> print(attended_share(mistral, seq_length=4096), attended_share(mistral, seq_length=32768))
    1.0 0.234375
    """
    if not np.any(has_windows(s)):
        return 1.0
    length = np.asarray(seq_length, dtype=float)
    window, chunk = np.asarray(s.sliding_window), np.asarray(s.attention_chunk_size)
    reach = np.where(window > 0, np.minimum((window + block) / length, 1.0), 1.0)
    part = np.where(chunk > 0, np.minimum((chunk + block) / length, 1.0), 1.0)
    share = windowed_layers(s) / np.asarray(s.num_hidden_layers)
    return 1.0 - share * (1.0 - np.minimum(1.0 - np.square(1.0 - reach), part))


def cached_tokens(s: Shape, *, context_length: Numeric) -> Numeric:
    """Tokens whose keys and values a layer keeps for an answer, the mean over its layers. [tokens]

    A windowed layer keeps its window, a layer of chunks at most one chunk.

    Examples
    --------
    >>> from simulator.schema import load_model
    >>> from simulator.transformer import shape_of
    >>> print(cached_tokens(shape_of(load_model("gpt-oss-20b")), context_length=131072))  # half of 131,072 and half of 128
    65600.0
    """
    context = np.asarray(context_length, dtype=float)
    if not np.any(has_windows(s)):
        return context[()]
    window, chunk = np.asarray(s.sliding_window), np.asarray(s.attention_chunk_size)
    kept = np.minimum(context, np.where(window > 0, window, np.where(chunk > 0, chunk, np.inf)))
    share = windowed_layers(s) / np.asarray(s.num_hidden_layers)
    return (share * kept + (1.0 - share) * context)[()]
