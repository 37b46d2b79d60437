"""Sliding windows and chunks of attention as ``config.json`` spells them.

Three spellings are in use: ``layer_types``, a word per layer; a pattern, one whole layer in so many; and Qwen's
``max_window_layers``, the first layers whole. All become a pattern with the same number of whole layers (where none has it,
the nearest below).
"""

from __future__ import annotations

from simulator.importers.reader import Reader
from simulator.importers.sizes import Fields

WINDOWS = {
    "cohere2": (4096, 4),
    "gemma2": (4096, 2),
    "gemma3": (4096, 6),
    "gemma3_text": (4096, 6),
    "gpt_oss": (128, 2),
    "mistral": (4096, 0),
    "mixtral": (0, 0),
    "olmo3": (4096, 4),
    "phi3": (0, 0),
    "phimoe": (0, 0),
    "starcoder2": (0, 0),
}
"""Families whose layers may be windowed: the window that holds where a file says nothing, and the pattern. [tokens], [layers]
(transformers 4.57.1.)"""

ON_REQUEST = ("qwen2", "qwen2_moe", "qwen3", "qwen3_moe", "smollm3")
"""Families that window layers only where ``use_sliding_window`` says so."""

CHUNK, CHUNK_PATTERN = 8192, 4
"""Of Llama 4 where a file says nothing. [tokens], [layers]"""


def windows(kind: str, c: Reader, layers: int) -> Fields:
    """Window, chunk and pattern of a configuration; empty where every layer sees the whole sequence.

    Examples
    --------
    >>> windows("gpt_oss", Reader({"sliding_window": 128}), 24)
    {'sliding_window': 128, 'sliding_window_pattern': 2}
    >>> windows("mistral", Reader({"sliding_window": None}), 32)
    {}
    """
    if kind == "llama4_text":
        return _chunks(c, layers)
    if kind in ON_REQUEST:
        if not c.flag("use_sliding_window", False) or c.null("sliding_window"):
            return {}
        first = min(c.size("max_window_layers", default=28, low=0), layers)
        return _fields(c, "sliding_window", c.size("sliding_window", default=4096), layers, first)
    if kind not in WINDOWS or c.null("sliding_window"):
        return {}
    default, pattern = WINDOWS[kind]
    window = c.size("sliding_window", default=default, low=0)
    pattern = c.size("sliding_window_pattern", "_sliding_window_pattern", default=pattern, low=0)
    return _fields(c, "sliding_window", window, layers, layers // pattern if pattern else 0)


def _chunks(c: Reader, layers: int) -> Fields:
    """Llama 4: the layers without rotary positions see the whole sequence."""
    if c.null("attention_chunk_size"):
        return {}
    size = c.size("attention_chunk_size", default=CHUNK)
    flags = c.config.get("no_rope_layers")
    pattern = c.size("no_rope_layer_interval", default=CHUNK_PATTERN)
    whole = sum(not flag for flag in flags) if isinstance(flags, list) and flags else layers // pattern
    return _fields(c, "attention_chunk_size", size, layers, whole)


def _fields(c: Reader, name: str, size: int, layers: int, whole: int) -> Fields:
    """The fields of a `Shape`, given the number of layers that see everything; ``layer_types`` outvotes it."""
    words = c.config.get("layer_types")
    if isinstance(words, list) and words:
        whole = sum(word == "full_attention" for word in words)
    if not size or whole >= layers:
        return {}
    fields = {name: size}
    return fields | ({"sliding_window_pattern": layers // whole} if whole else {})
