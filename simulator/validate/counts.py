"""Counts of a row that cannot be: parts of accelerators, degrees that do not fit them, batches that nothing divides.

Nothing can have run so, whatever was timed: `cases.of_frame` leaves such a row out with its reason, and
``trainsim validate --contradictions`` lists it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from simulator.validate.cells import empty, number
from simulator.validate.rows import BOUNDS

if TYPE_CHECKING:
    from simulator.validate.rows import Row

EXACT = 0.01
"""Relative difference of two counts from which on they contradict each other. [-]"""

MEASURES = ("params_B", "measured_value", "total_tokens")
"""Columns of numbers that count nothing."""

WHOLE = tuple(name for name in BOUNDS if name not in MEASURES)
"""Columns of whole numbers."""

MOST_TOKENS = 2.5e8
"""Tokens of a step above which the batch was written in tokens: the largest published one has 1.0e8, and a batch of half a million
tokens times sequences of 512 has more. [tokens]"""

PARTS = "a count is not whole"
DIVISOR = "tp, pp and cp do not divide n_gpus"
DEGREES = "tp, pp, cp and dp do not multiply to n_gpus"
BATCH = "micro_batch, grad_accum and dp do not multiply to the batch"
MICRO = "micro_batch and dp do not divide the batch"
TOKENS = "global_batch_seqs counts tokens, not sequences"
WIDTH = "n_heads does not divide d_model, and no head_dim is stated"
GROUPS = "n_kv_heads does not divide n_heads"
CHOSEN = "moe_topk is larger than moe_experts"
SPLIT = "a degree is larger than what it splits"

SPLITS = (("tp", "n_heads"), ("pp", "n_layers"), ("ep", "moe_experts"))
"""Degrees, and what each divides among its ranks."""


def impossible(row: Row) -> Iterator[tuple[str, str]]:
    """Counts of a row that cannot all be true: (reason, figures), the plainest first."""
    raw = row.raw
    for name in WHOLE:
        value = number(raw[name], 0.0)
        if value % 1.0:
            yield PARTS, f"{name} {value:g}"
    tokens = number(raw["global_batch_seqs"], 1) * number(raw["seq_len"], 1)
    if tokens > MOST_TOKENS:
        yield TOKENS, f"{number(raw['global_batch_seqs'], 1):,.0f} sequences are {tokens:.2g} tokens a step"
    yield from _degrees(raw)
    yield from _batch(row)
    yield from _model(row)


def _model(row: Row) -> Iterator[tuple[str, str]]:
    """Sizes of the model against each other, and degrees against what they split."""
    raw = row.raw
    heads, groups = number(raw["n_heads"], 1), number(raw["n_kv_heads"], 1)
    if float(row.shape.head_dim) % 1.0:
        yield WIDTH, f"{number(raw['d_model'], 1):.0f} over {heads:.0f}"
    if heads % groups:
        yield GROUPS, f"{groups:.0f} of {heads:.0f}"
    experts, chosen = number(raw["moe_experts"], 0), number(raw["moe_topk"], 0)
    if experts and chosen > experts:
        yield CHOSEN, f"{chosen:.0f} of {experts:.0f}"
    for degree, of in SPLITS:
        parts, whole = number(raw[degree], 1), number(raw[of], 0)
        if whole and parts > whole:
            yield SPLIT, f"{degree} {parts:.0f} of {whole:.0f} {of}"


def _degrees(raw: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Degrees of parallelism against the accelerators; `DEGREES` where all are stated."""
    gpus = number(raw["n_gpus"], 1)
    names = ("tp", "pp", "cp", "dp") if not empty(raw["dp"]) else ("tp", "pp", "cp")
    degrees = [number(raw[name], 1) for name in names]
    product = float(np.prod(degrees))
    text = f"{' x '.join(f'{each:.0f}' for each in degrees)} = {product:.0f}"
    if empty(raw["dp"]):
        if gpus % product:
            yield DIVISOR, f"{text}, of {gpus:g}"
    elif not (empty(raw["tp"]) or empty(raw["pp"])) and abs(product / gpus - 1.0) > EXACT:
        yield DEGREES, f"{text}, not {gpus:.0f}"


def _batch(row: Row) -> Iterator[tuple[str, str]]:
    """Micro-batches against the batch, where the row states them and nothing about the replicas was guessed."""
    raw, batch = row.raw, number(row.raw["global_batch_seqs"], 1)
    if empty(raw["micro_batch"]):
        return
    if not (empty(raw["grad_accum"]) or empty(raw["dp"])):
        product = float(np.prod([number(raw[name], 1) for name in ("micro_batch", "grad_accum", "dp")]))
        if abs(product / batch - 1.0) > EXACT:
            yield BATCH, f"{product:.0f}, not {batch:.0f} sequences"
        return
    stated = not (empty(raw["tp"]) and empty(raw["pp"]) and empty(raw["dp"]))
    if not stated and float(row.layout.tp * row.layout.pp) > 1:
        return
    micro, replicas = number(raw["micro_batch"], 1), float(row.layout.dp)
    steps = batch / (micro * replicas)
    if steps < 1.0 - EXACT or abs(steps - round(steps)) > EXACT:
        yield MICRO, f"{micro:g} x {replicas:g} = {micro * replicas:g}, of {batch:g} sequences"
