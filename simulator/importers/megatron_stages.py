"""Uneven pipelines in Megatron-LM's arguments: by the first and last stage, or by a layout of all stages.

The layout is read as ``megatron/core/transformer/pipeline_parallel_layer_layout.py`` reads it [1]_.

References
----------
.. [1] https://github.com/NVIDIA/Megatron-LM at b1030e9ddf05d9b3de7a48dcc8e0e8ee7ed31af5.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from simulator.importers.ledger import ArgumentLedger

LONGEST = 100_000
"""A layout is never so long. [characters]"""


def read_stages(book: ArgumentLedger, pp: int | None) -> bool:
    """Read how layers are dealt to stages, and compare with how the planner deals them; True where ``vp`` was set."""
    text = book.raw("pipeline-model-parallel-layout")
    layers = book.at("model.num_hidden_layers")
    if text is not None:
        return _by_layout(book, str(text), pp or 1, layers)
    first, last = (
        book.number("decoder-first-pipeline-num-layers"),
        book.number("decoder-last-pipeline-num-layers"),
    )
    ends = [size for size in (first, last) if size]
    if not ends or not layers or not pp or pp < 2:
        return False
    between = pp - len(ends)
    rest = layers - sum(ends)
    if rest < 0 or (between and rest % between) or (not between and rest):
        book.fail(
            "--decoder-first-pipeline-num-layers",
            f"{rest} layers are left for {between} stages of {layers} layers",
        )
        return False
    _compare(book, [*ends, *([rest // between] if between else [])], layers, pp)
    return False


def _by_layout(book: ArgumentLedger, text: str, pp: int, layers: int | None) -> bool:
    stages = layers_of(text)
    if stages is None or len(stages) % pp:
        book.doubt(
            f"--pipeline-model-parallel-layout {text[:60]}: it names no whole number of stages for pp {pp}"
        )
        return False
    if layers and sum(stages) != layers:
        book.fail(
            "--pipeline-model-parallel-layout", f"it holds {sum(stages)} layers, --num-layers is {layers}"
        )
    vp = len(stages) // pp
    book.put("parallelism.vp", vp, "stages of --pipeline-model-parallel-layout per rank")
    _compare(book, [sum(stages[rank::pp]) for rank in range(pp)], sum(stages), pp)
    return True


def _compare(book: ArgumentLedger, ranks: Sequence[int], layers: int, pp: int) -> None:
    """Say where a stage holds more than the fullest that the planner counts."""
    fullest = -(-layers // pp)
    told = f"{layers} layers on {pp} stages, {max(ranks)} on the fullest"
    if max(ranks) == fullest:
        book.taken.append(f"{told} -> as the planner deals them")
    else:
        book.doubt(f"{told}: the planner deals them evenly, {fullest} on the fullest")


def layers_of(text: str) -> list[int] | None:
    """Layers of every stage of a layout; ``None`` where it cannot be read. [layers]

    Examples
    --------
    >>> layers_of("Ettt|(tt|)*3,m|L"), layers_of("Et*7|(t*8|)*2t*7L"), layers_of("E|x|L") is None
    ([3, 2, 2, 2, 0, 0], [7, 8, 8, 7], True)
    """
    text = text.replace(",", "")
    for pattern in (r"\(([^()]+)\)\*(\d{1,4})", r"(.)\*(\d{1,4})"):
        grown = sum(len(found[1]) * int(found[2]) for found in re.finditer(pattern, text[:LONGEST]))
        if len(text) + grown > LONGEST:
            return None
        text = re.sub(pattern, lambda found: found[1] * int(found[2]), text)
    if not re.fullmatch(r"E[Etm|]*L", text):
        return None
    return [stage.count("t") for stage in text.split("|")]
