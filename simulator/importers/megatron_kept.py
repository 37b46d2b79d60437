"""Settings of Megatron-LM's arguments that change neither size nor time, kept so that an export gives them back."""

from __future__ import annotations

import math
from typing import Any

from simulator.importers.ledger import ArgumentLedger

PLAIN = {
    "rotary-base": "rope_theta",
    "rotary-percent": "partial_rotary_factor",
    "moe-router-num-groups": "n_group",
    "moe-router-group-topk": "topk_group",
    "moe-router-topk-scaling-factor": "routed_scaling_factor",
}
"""Argument to its key in a ``config.json``."""


def read_kept(book: ArgumentLedger) -> None:
    """Read rotary positions, the norms' epsilon and the choice of experts into ``model.config``."""
    for theirs, ours in PLAIN.items():
        _take(book, ours, theirs)
    rms = book.at("model.norm") == "rmsnorm"
    for name in ("norm-epsilon", "layernorm-epsilon"):
        _take(book, "rms_norm_eps" if rms else "layer_norm_eps", name)
    if book.flat.get("moe-router-score-function") in (["sigmoid"], "sigmoid"):
        book.raw("moe-router-score-function")
        book.put("model.config.scoring_func", "sigmoid", "--moe-router-score-function sigmoid")
    if book.flat.get("moe-router-pre-softmax") is not None and book.on("moe-router-pre-softmax"):
        book.put("model.config.norm_topk_prob", False, "--moe-router-pre-softmax")
    _stretched(book)


def _stretched(book: ArgumentLedger) -> None:
    """A rotation stretched beyond the length it was trained for."""
    scaling: dict[str, Any] = {}
    if book.flat.get("use-rope-scaling") is not None and book.on("use-rope-scaling"):
        factor = _number(book, "rope-scaling-factor") or 8
        scaling = {"rope_type": "llama3", "factor": factor, "low_freq_factor": 1, "high_freq_factor": 4}
        scaling["original_max_position_embeddings"] = 8192
    elif linear := _number(book, "rotary-seq-len-interpolation-factor"):
        scaling = {"rope_type": "linear", "factor": linear}
    elif (yarn := _number(book, "rotary-scaling-factor")) and yarn != 1:
        scaling = {"rope_type": "yarn", "factor": yarn, "original_max_position_embeddings": 4096}
        more = {name.replace("-", "_"): _number(book, name) for name in ("mscale", "mscale-all-dim")}
        scaling |= {name: value for name, value in more.items() if value is not None}
    if scaling:
        book.put("model.config.rope_scaling", scaling, f"a rotation stretched {scaling['factor']} times")


def _take(book: ArgumentLedger, ours: str, theirs: str) -> None:
    value = _number(book, theirs)
    if value is not None:
        book.put(f"model.config.{ours}", value, f"--{theirs} {value}")


def _number(book: ArgumentLedger, name: str) -> int | float | None:
    """A number, or ``None`` where there is none that can be read; the argument then stays ignored."""
    value = book.flat.get(name)
    word = value[0] if isinstance(value, list) and value else value
    if isinstance(word, bool) or not isinstance(word, str | int | float):
        return None
    try:
        number = float(word)
    except (ValueError, OverflowError):
        return None
    if not math.isfinite(number):
        return None
    book.raw(name)
    return int(number) if number.is_integer() else number
