"""What a ``config.json`` says that changes neither size nor time, kept in ``Model.config`` so that an export gives it back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from simulator.importers.reader import MAX_SIZE

KEPT = """
model_type hidden_act hidden_activation activation_function rms_norm_eps layer_norm_eps layer_norm_epsilon norm_epsilon
rope_theta rope_scaling rope_local_base_freq partial_rotary_factor rotary_pct rotary_emb_base
n_group topk_group routed_scaling_factor norm_topk_prob scoring_func topk_method
attn_logit_softcapping final_logit_softcapping query_pre_attn_scalar logit_scale
embedding_multiplier attention_multiplier residual_multiplier logits_scaling swiglu_limit
bos_token_id eos_token_id pad_token_id
""".split()
"""Keys that are kept: they decide what the model computes, not how much."""

WORDS = frozenset(
    "model_type hidden_act hidden_activation activation_function rope_scaling norm_topk_prob scoring_func topk_method "
    "bos_token_id eos_token_id pad_token_id".split()
)
"""Those of them that are no numbers, or lists of them."""

POSITIONS = ("max_position_embeddings", "n_positions", "max_seq_len")
"""Keys of the longest sequence."""

LONGEST = 2_000
"""Longer texts are no setting. [characters]"""


def kept(config: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of a ``config.json`` (of its language model) that a `Model` carries along.

    Examples
    --------
    >>> kept({"model_type": "llama", "rope_theta": 500000.0, "rope_scaling": None, "hidden_size": 64})
    {'model_type': 'llama', 'rope_theta': 500000.0}
    >>> kept({"rope_parameters": {"rope_type": "default", "rope_theta": 10000.0}})
    {'rope_theta': 10000.0}
    """
    found = {name: config[name] for name in KEPT if config.get(name) is not None}
    newer = config.get("rope_parameters")
    if isinstance(newer, Mapping) and "rope_theta" in newer:
        found = {"rope_theta": newer["rope_theta"], **found}
        scaling = {name: value for name, value in newer.items() if name != "rope_theta"}
        if scaling.get("rope_type", "default") != "default":
            found.setdefault("rope_scaling", scaling)
    unreadable = no_numbers(found)
    return {name: value for name, value in found.items() if _plain(value) and name not in unreadable}


def no_numbers(config: Mapping[str, Any]) -> list[str]:
    """Kept keys that hold a number, or a stretched rotation with its factor, and are written as something else.

    Examples
    --------
    >>> no_numbers({"rope_theta": "10k", "rms_norm_eps": 1e-5, "n_group": None, "rope_scaling": {"factor": "2"}})
    ['rope_theta', 'rope_scaling']
    """
    found = []
    for name in KEPT:
        value = config.get(name)
        if name == "rope_scaling" and value is not None:
            fine = isinstance(value, Mapping) and _is_number(value.get("factor", 1))
            found += [] if fine else [name]
        elif name not in WORDS and value is not None and not _is_number(value):
            found.append(name)
    return found


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def longest(config: Mapping[str, Any], sizes: Mapping[str, int]) -> int | None:
    """The longest sequence of a model without a table of positions, where the file says it. [tokens]"""
    value = next((config[name] for name in POSITIONS if config.get(name) is not None), None)
    whole = isinstance(value, int) and not isinstance(value, bool) and 0 < value <= MAX_SIZE
    return value if whole and not sizes.get("learned_positions") else None


def _plain(value: Any) -> bool:
    """Whether a value can stand in a YAML of a model."""
    try:
        return len(json.dumps(value, allow_nan=False)) <= LONGEST
    except (TypeError, ValueError, RecursionError):
        return False
