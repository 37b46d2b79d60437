"""How many layers each stage of a pipeline holds, where the stages do not divide the layers."""

from __future__ import annotations


def dealt(layers: int, pp: int, vp: int = 1) -> list[int]:
    """Layers of every stage in the order of the layers: the fullest as the planner has them, the others one less. [layers]

    With `vp` above 1 the first `pp` stages are the first chunks of all ranks, and so on. The last rank, which also computes the
    logits, holds less first, then the first one, which holds the embedding.

    Examples
    --------
    Llama 3 405B (arXiv:2407.21783, section 3.3.2).

    >>> dealt(126, 16)
    [7, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8, 7]
    >>> dealt(14, 4, 2)
    [1, 2, 2, 2, 2, 2, 2, 1]
    """
    chunk = -(-layers // (pp * vp))
    stages = [chunk] * (pp * vp)
    order = [len(stages) - 1, 0, *range(len(stages) - 2, 0, -1)]
    for place in order[: chunk * len(stages) - layers]:
        stages[place] -= 1
    return stages


def layout(stages: list[int]) -> str:
    """Stages as Megatron-LM's ``--pipeline-model-parallel-layout`` spells them.

    E is the embedding, t a layer, L the loss [1]_.

    References
    ----------
    .. [1] https://github.com/NVIDIA/Megatron-LM, ``megatron/core/transformer/pipeline_parallel_layer_layout.py`` at
       b1030e9ddf05d9b3de7a48dcc8e0e8ee7ed31af5.

    Examples
    --------
    >>> layout([1, 2, 2, 1])
    'Et*1|(t*2|)*2t*1L'
    """
    parts, place = ["E" + f"t*{stages[0]}|"], 1
    while place < len(stages) - 1:
        run = place
        while run < len(stages) - 1 and stages[run] == stages[place]:
            run += 1
        parts.append(f"(t*{stages[place]}|)*{run - place}")
        place = run
    return "".join([*parts, f"t*{stages[-1]}L"])
