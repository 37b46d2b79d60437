"""Growth operators: from a shape to a larger shape, and what each of them preserves.

An operator is a function from a `simulator.transformer.Shape` and factors to a larger `Shape`; arrays stay arrays.
`OPERATORS` holds each under its name with what it keeps: the function (loss is continuous at growth), the training
dynamics (loss falls as in a run from scratch at the same loss), and the optimizer's state. What it does to parameters,
FLOP and copies is in `simulator.growth.effects`; to weights, in `simulator.growth.weights`; what it is worth, in
`simulator.growth.warm_start`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from simulator.columns import Numeric
from simulator.errors import UnknownNameError
from simulator.transformer import Shape


def _plain(value: Numeric) -> Numeric:
    """Return a Python number for a scalar, the array otherwise."""
    array = np.asarray(value)
    return array if array.ndim else array.item()


# --- shapes ---------------------------------------------------------------------------------------------------------


def widen(
    shape: Shape, *, factor: Numeric = 2, up_project_factor: Numeric | None = None, untie: bool = False
) -> Shape:
    """Repeat every hidden vector `factor` times by duplicating heads (HyperCloning's preferred form).

    Parameters
    ----------
    shape : Shape
        The source.
    factor : numeric, optional
        Repetitions of the hidden width, of query and of key-value heads; a single key-value head (MQA) stays one. [-]
    up_project_factor : numeric, optional
        Repetitions of the feed-forward width; `factor` if absent. [-]
    untie : bool, optional
        Give the target its own output head. The published code does so for Llama; otherwise a tied head stays tied
        and divides its logits by `factor`.

    Notes
    -----
    Non-embedding parameters and FLOP grow by `factor` squared, embeddings and copies per token by `factor`.

    Samragh et al., arXiv:2409.12903; apple/ml-hypercloning@7c4e80b.

    Examples
    --------
    Pythia 410M becomes 1.4B.

    >>> from simulator import transformer
    >>> pythia = transformer.decoder(num_hidden_layers=24, hidden_size=1024, num_attention_heads=16, vocab_size=50304,
    ...                              gated=0, attention_bias=1, attention_output_bias=1, mlp_bias=1, norm_parameters=2)
    >>> int(transformer.parameters(pythia)), int(transformer.parameters(widen(pythia)))
    (405334016, 1414647808)
    """
    n = factor
    m = n if up_project_factor is None else up_project_factor
    kv_heads = np.asarray(shape.num_key_value_heads)
    single = (kv_heads == 1) & (np.asarray(shape.num_attention_heads) > 1)
    per_head_norm = np.asarray(shape.qk_norm_size) <= 2 * np.asarray(shape.head_dim)
    whole_norm = np.asarray(shape.qk_norm_size) * n - np.where(
        single, (n - 1) * np.asarray(shape.head_dim), 0
    )
    return shape.with_(
        hidden_size=shape.hidden_size * n,
        intermediate_size=shape.intermediate_size * m,
        num_attention_heads=shape.num_attention_heads * n,
        num_key_value_heads=_plain(np.where(single, kv_heads, kv_heads * n)),
        moe_intermediate_size=shape.moe_intermediate_size * m,
        shared_expert_intermediate_size=shape.shared_expert_intermediate_size * m,
        q_lora_rank=shape.q_lora_rank * n,
        kv_lora_rank=shape.kv_lora_rank * n,
        qk_norm_size=_plain(np.where(per_head_norm, shape.qk_norm_size, whole_norm)),
        embedding_proj_dim=shape.embedding_proj_dim * n,
        extra_parameters=shape.extra_parameters * n * n,
        tie_word_embeddings=0 if untie else shape.tie_word_embeddings,
    )


def widen_blocks(shape: Shape, *, factor: Numeric = 2) -> Shape:
    """Repeat every hidden vector with block-diagonal weights (staged training).

    Like `widen`, but a single key-value head becomes `factor` of them: each block keeps its own.

    Examples
    --------
    >>> from simulator import transformer
    >>> mqa = transformer.decoder(num_hidden_layers=2, hidden_size=64, num_attention_heads=4, num_key_value_heads=1,
    ...                           vocab_size=100)
    >>> widen(mqa).num_key_value_heads, widen_blocks(mqa).num_key_value_heads
    (1, 2)
    """
    per_head_norm = np.asarray(shape.qk_norm_size) <= 2 * np.asarray(shape.head_dim)
    return widen(shape, factor=factor).with_(
        num_key_value_heads=shape.num_key_value_heads * factor,
        qk_norm_size=_plain(np.where(per_head_norm, shape.qk_norm_size, shape.qk_norm_size * factor)),
    )


def widen_head_dim(shape: Shape, *, factor: Numeric = 2, up_project_factor: Numeric | None = None) -> Shape:
    """Widen by larger heads instead of more heads (HyperCloning, OPT and OLMo only).

    Attention logits would grow by the root of `factor`, so queries and keys are each scaled by ``factor**-0.25``.

    Examples
    --------
    >>> from simulator import transformer
    >>> small = transformer.decoder(num_hidden_layers=2, hidden_size=64, num_attention_heads=4, vocab_size=100)
    >>> wide = widen_head_dim(small)
    >>> wide.num_attention_heads, wide.head_dim, wide.hidden_size
    (4, 32.0, 128)
    """
    wide = widen(shape, factor=factor, up_project_factor=up_project_factor)
    return wide.with_(
        num_attention_heads=shape.num_attention_heads,
        num_key_value_heads=shape.num_key_value_heads,
        head_dim=shape.head_dim * factor,
        qk_norm_size=shape.qk_norm_size * factor,
    )


def deepen(shape: Shape, *, factor: Numeric = 2) -> Shape:
    """Repeat the layers `factor` times; embeddings, widths and final norm stay.

    Dense first layers of a mixture of experts stay at the front and are not repeated.

    Examples
    --------
    >>> from simulator import transformer
    >>> small = transformer.decoder(num_hidden_layers=6, hidden_size=64, num_attention_heads=4, vocab_size=100)
    >>> deepen(small, factor=4).num_hidden_layers
    24
    """
    front = np.asarray(shape.first_k_dense_replace)
    layers = front + (np.asarray(shape.num_hidden_layers) - front) * factor
    return shape.with_(num_hidden_layers=_plain(layers))


def compound(shape: Shape, *, factor: Numeric = 2, depth_factor: Numeric = 2) -> Shape:
    """Widen by `factor`, then deepen by `depth_factor`."""
    return deepen(widen(shape, factor=factor), factor=depth_factor)


# --- the registry ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Operator:
    """One way of growing, and what it keeps."""

    name: str
    grow: Callable[..., Shape]
    """From a shape and factors to the larger shape."""
    axis: str
    """``width``, ``depth`` or ``both``."""
    preserves_function: bool
    """The grown model computes what its source computes, to rounding, with the norms of today's decoders."""
    preserves_dynamics: bool
    """Designed so that the loss goes on falling as in a run from scratch; a claim of its authors."""
    optimizer_state: str
    """``fresh`` (reset) or how the moments are carried over."""
    description: str
    source: str
    variants: tuple[str, ...] = ()
    """Ways of filling the new weights."""


OPERATORS: dict[str, Operator] = {
    operator.name: operator
    for operator in (
        Operator(
            name="hypercloning",
            grow=widen,
            axis="width",
            preserves_function=True,
            preserves_dynamics=False,
            optimizer_state="fresh",
            description="Every hidden vector repeated; weights tiled and divided by the input repetition; heads duplicated.",
            source="arXiv:2409.12903; github.com/apple/ml-hypercloning@7c4e80b",
            variants=("symmetric", "noisy", "diagonal", "noisy_diagonal"),
        ),
        Operator(
            name="head_dim_growth",
            grow=widen_head_dim,
            axis="width",
            preserves_function=True,
            preserves_dynamics=False,
            optimizer_state="fresh",
            description="HyperCloning with wider heads instead of more heads; without rotary positions only.",
            source="arXiv:2409.12903; github.com/apple/ml-hypercloning@7c4e80b",
            variants=("symmetric",),
        ),
        Operator(
            name="bert2bert_fpi",
            grow=widen,
            axis="width",
            preserves_function=False,
            preserves_dynamics=False,
            optimizer_state="fresh",
            description="New neurons copy old ones drawn at random; weights out of a copied neuron divided by its copies. "
            "Keeps the function without a norm, or if every hidden neuron is copied equally often: a norm over uneven "
            "copies has another mean and mean square.",
            source="arXiv:2110.07143",
            variants=("symmetric",),
        ),
        Operator(
            name="bert2bert_aki",
            grow=widen,
            axis="width",
            preserves_function=False,
            preserves_dynamics=False,
            optimizer_state="fresh",
            description="Like FPI, with the new rows taken from the layer above to break the symmetry.",
            source="arXiv:2110.07143",
        ),
        Operator(
            name="g_stack",
            grow=deepen,
            axis="depth",
            preserves_function=False,
            preserves_dynamics=False,
            optimizer_state="fresh",
            description="The whole block stack repeated: layers 0..k-1, 0..k-1, ...",
            source="arXiv:2405.15319; github.com/tongxuluo/prts@bf6f774",
        ),
        Operator(
            name="interposition",
            grow=deepen,
            axis="depth",
            preserves_function=False,
            preserves_dynamics=False,
            optimizer_state="fresh",
            description="Each layer repeated in place: layers 0, 0, 1, 1, ...",
            source="arXiv:2405.15319 (compared with stacking)",
        ),
        Operator(
            name="staged_width",
            grow=widen_blocks,
            axis="width",
            preserves_function=True,
            preserves_dynamics=True,
            optimizer_state="first moment / 2, second moment / 4, step and rate of the target at its effective step",
            description="Block-diagonal weights [[W, 0], [0, W]], embeddings and norms repeated, final norm halved.",
            source="arXiv:2203.06211; github.com/allenai/staged-training@fd27dfe",
            variants=("diagonal",),
        ),
        Operator(
            name="staged_depth",
            grow=deepen,
            axis="depth",
            preserves_function=True,
            preserves_dynamics=True,
            optimizer_state="copied with the layers; new layers start at zero",
            description="Identity layers interleaved: copies whose output projections are zero.",
            source="arXiv:2203.06211; github.com/allenai/staged-training@fd27dfe",
        ),
        Operator(
            name="compound",
            grow=compound,
            axis="both",
            preserves_function=False,
            preserves_dynamics=False,
            optimizer_state="fresh",
            description="HyperCloning, then stacking.",
            source="arXiv:2010.12562 (growing several dimensions at once); arXiv:2409.12903; arXiv:2405.15319",
        ),
    )
}
"""Growth operators by name."""

ALIASES = {
    "stacking": "g_stack",
    "depth_stacking": "g_stack",
    "compoundgrow": "compound",
    "width": "hypercloning",
}
"""Other names under which scenarios may ask for an operator."""


def get(name: str) -> Operator:
    """Return the operator `name`.

    Raises
    ------
    UnknownNameError
        If there is none; the nearest names are suggested.

    Examples
    --------
    >>> get("stacking").name
    'g_stack'
    """
    name = ALIASES.get(name, name)
    if name not in OPERATORS:
        raise UnknownNameError(name, kind="growth operator", names=OPERATORS)
    return OPERATORS[name]


# --- linked sizes ---------------------------------------------------------------------------------------------------


def links(
    shapes: Shape, *, operator: str, factors: Sequence[float] = (2, 3, 4)
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Pairs (source, target) of a lattice of shapes that an operator links. [indices]

    Parameters
    ----------
    shapes : Shape
        Arrays of equal length (scalars are shared).
    operator : str
        A name of `OPERATORS`.
    factors : sequence of float, optional
        Factors tried. [-]

    Examples
    --------
    >>> from simulator import transformer
    >>> width = np.array([512, 768, 1024, 2048])
    >>> lattice = transformer.decoder(num_hidden_layers=12, hidden_size=width, num_attention_heads=width // 64,
    ...                               vocab_size=32000)
    >>> source, target = links(lattice, operator="hypercloning", factors=(2, 4))
    >>> [(int(width[i]), int(width[j])) for i, j in zip(source, target)]
    [(512, 1024), (1024, 2048), (512, 2048)]
    """
    names = [f.name for f in fields(Shape) if f.name != "extra_parameters"]
    count = int(np.prod(np.broadcast_shapes(*(np.shape(getattr(shapes, name)) for name in names))))
    known: dict[tuple[float, ...], list[int]] = {}
    for index, row in enumerate(_rows(shapes, names, count)):
        known.setdefault(row, []).append(index)
    sources, targets = [], []
    for factor in factors:
        for index, row in enumerate(_rows(get(operator).grow(shapes, factor=factor), names, count)):
            for target in known.get(row, ()):
                sources.append(index)
                targets.append(target)
    return np.array(sources, dtype=np.intp), np.array(targets, dtype=np.intp)


def _rows(shapes: Shape, names: Sequence[str], count: int) -> list[tuple[float, ...]]:
    columns = [np.broadcast_to(np.asarray(getattr(shapes, name), dtype=float), (count,)) for name in names]
    return [tuple(row) for row in np.stack(columns, axis=1).tolist()]
