r"""Growth operators on arrays of weights: pure functions, one tensor at a time.

A tensor's *rule* names what its axes count: ``hidden``, ``heads`` (query heads times head width), ``kv``, ``ffn``,
``vocab``, or nothing that grows. `RULES` holds the rules of the Hugging Face families by the ending of a tensor's name.
With repetitions :math:`n_{in}, n_{out}` of the two axes, HyperCloning (arXiv:2409.12903) is

.. math:: W' = \mathrm{tile}(W, n_{out}, n_{in}) / n_{in}, \quad b' = \mathrm{tile}(b, n_{out}), \quad
          E' = \mathrm{tile}(E, 1, n)

so that every hidden vector of the grown model is the source's, repeated. Norms keep their output because mean and mean
square of a repeated vector are those of the vector. Results equal the source's to rounding, not bit for bit.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulator.errors import InfeasibleError

Array = NDArray[np.floating]
Tensors = Mapping[str, Array]


@dataclass(frozen=True)
class Rule:
    """What the axes of a tensor count, and what kind of tensor it is."""

    kind: str
    """``linear`` (out x in), ``embedding`` (rows x hidden), ``vector``, ``head`` or ``fixed``."""
    out: tuple[str, ...] = ()
    """Axis of the rows; several if the rows are fused parts, such as query, key and value."""
    into: str = ""
    """Axis of the columns."""
    final_norm: bool = False
    writes_residual: bool = False
    """The tensor's output is added to the residual stream: zero it and its layer is the identity."""


def _linear(out: str | tuple[str, ...], into: str, writes_residual: bool = False) -> Rule:
    return Rule("linear", (out,) if isinstance(out, str) else out, into, writes_residual=writes_residual)


_EMBEDDING, _NORM = Rule("embedding", (), "hidden"), Rule("vector", ("hidden",))

RULES: dict[str, Rule] = {
    # Llama, Mistral, Qwen, Gemma, OLMo
    "embed_tokens.weight": _EMBEDDING,
    "q_proj.weight": _linear("heads", "hidden"),
    "k_proj.weight": _linear("kv", "hidden"),
    "v_proj.weight": _linear("kv", "hidden"),
    "o_proj.weight": _linear("hidden", "heads", True),
    "gate_proj.weight": _linear("ffn", "hidden"),
    "up_proj.weight": _linear("ffn", "hidden"),
    "down_proj.weight": _linear("hidden", "ffn", True),
    "input_layernorm.weight": _NORM,
    "post_attention_layernorm.weight": _NORM,
    "q_norm.weight": Rule("fixed"),
    "k_norm.weight": Rule("fixed"),
    "model.norm.weight": Rule("vector", ("hidden",), final_norm=True),
    "lm_head.weight": Rule("head", ("vocab",), "hidden"),
    # Phi-3: fused rows
    "self_attn.qkv_proj.weight": _linear(("heads", "kv", "kv"), "hidden"),
    "mlp.gate_up_proj.weight": _linear(("ffn", "ffn"), "hidden"),
    # GPT-NeoX and Pythia: query, key and value fused head by head, so that rows repeat like heads
    "embed_in.weight": _EMBEDDING,
    "attention.query_key_value.weight": _linear("heads", "hidden"),
    "attention.dense.weight": _linear("hidden", "heads", True),
    "dense_h_to_4h.weight": _linear("ffn", "hidden"),
    "dense_4h_to_h.weight": _linear("hidden", "ffn", True),
    "gpt_neox.final_layer_norm.weight": Rule("vector", ("hidden",), final_norm=True),
    "embed_out.weight": Rule("head", ("vocab",), "hidden"),
    # OPT
    "embed_positions.weight": _EMBEDDING,
    "self_attn.out_proj.weight": _linear("hidden", "heads", True),
    "fc1.weight": _linear("ffn", "hidden"),
    "fc2.weight": _linear("hidden", "ffn", True),
    "self_attn_layer_norm.weight": _NORM,
    "decoder.final_layer_norm.weight": Rule("vector", ("hidden",), final_norm=True),
    "final_layer_norm.weight": _NORM,
    # buffers
    "inv_freq": Rule("fixed"),
    "attention.bias": Rule("fixed"),
    "masked_bias": Rule("fixed"),
}
"""Rules by the ending of a tensor's name; the longest ending that matches holds. A bias follows its weight."""


def rule_of(name: str) -> Rule:
    """Return the rule of a tensor, from the ending of its name.

    Examples
    --------
    >>> rule_of("model.layers.3.self_attn.o_proj.weight").into
    'heads'
    >>> rule_of("model.layers.3.self_attn.q_proj.bias")
    Rule(kind='vector', out=('heads',), into='', final_norm=False, writes_residual=False)
    """
    known = [ending for ending in RULES if name == ending or name.endswith("." + ending)]
    if known:
        return RULES[max(known, key=len)]
    if name.endswith(".bias"):
        weight = rule_of(name.removesuffix("bias") + "weight")
        if weight.kind in {"linear", "vector"}:
            return Rule("vector", weight.out, "", weight.final_norm, weight.writes_residual)
        return Rule("fixed")
    raise InfeasibleError(f"no growth rule for a tensor named {name!r}")


# --- one tensor -----------------------------------------------------------------------------------------------------


def tile_linear(weight: Array, *, n_out: int, n_in: int) -> Array:
    """Repeat a weight matrix and divide by the repetition of its input: ``tile(W, n_out, n_in) / n_in``.

    Examples
    --------
    >>> tile_linear(np.array([[2.0]]), n_out=2, n_in=2).tolist()
    [[1.0, 1.0], [1.0, 1.0]]
    """
    return np.tile(weight, (n_out, n_in)) / weight.dtype.type(n_in)


def block_diagonal(weight: Array, *, factor: int) -> Array:
    """Repeat a weight matrix along the diagonal, zeros elsewhere (staged training, arXiv:2203.06211).

    Examples
    --------
    >>> block_diagonal(np.array([[2.0]]), factor=2).tolist()
    [[2.0, 0.0], [0.0, 2.0]]
    """
    return np.kron(np.eye(factor, dtype=weight.dtype), weight)


def add_paired_noise(
    tiled: Array, *, n_out: int, n_in: int, snr_db: float, power: float, rng: np.random.Generator
) -> Array:
    """Add noise that cancels on repeated inputs: plus in one column block, minus in the next.

    Each row block has its own noise; the last block of an odd number gets none. Noise power is `power` (the mean
    square of the source's weight) over ``10**(snr_db / 10)``; the published ablation uses 10 dB.
    """
    noisy = tiled.copy()
    rows, columns = tiled.shape[0] // n_out, tiled.shape[1] // n_in
    scale = np.sqrt(power / 10 ** (snr_db / 10))
    for i in range(n_out):
        for j in range(0, n_in - 1, 2):
            noise = (scale * rng.standard_normal((rows, columns))).astype(tiled.dtype)
            noisy[i * rows : (i + 1) * rows, j * columns : (j + 1) * columns] += noise
            noisy[i * rows : (i + 1) * rows, (j + 1) * columns : (j + 2) * columns] -= noise
    return noisy


# --- width ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class WidthGrowth:
    """How widths grow: repetitions per axis, and how new weights are filled."""

    factor: int = 2
    """Repetitions of hidden vectors and heads."""
    up_project_factor: int | None = None
    """Repetitions of the feed-forward width; `factor` if absent."""
    variant: str = "symmetric"
    """``symmetric``, ``noisy``, ``diagonal`` or ``noisy_diagonal``."""
    snr_db: float = 10.0
    """Signal over noise of the noisy variants. [dB]"""
    tied: str = "no"
    """``no``: the head is its own tensor. ``norm``: tied, and the final norm is divided by the factor, which keeps
    the tie. ``untie``: tied, and the target gets a head of its own, as the published code does for Llama."""
    multi_query: bool = False
    """One key-value head for all queries; it stays one."""
    parts: Mapping[str, int] | None = None
    """Rows of each axis in the source; needed for fused rows only."""
    seed: int = 0

    def repeats(self, axis: str) -> int:
        """Repetitions of an axis."""
        single = axis in {"vocab", ""} or (axis == "kv" and self.multi_query)
        wide = self.factor if self.up_project_factor is None else self.up_project_factor
        return 1 if single else wide if axis == "ffn" else self.factor


def widen_tensor(name: str, tensor: Array, growth: WidthGrowth) -> Iterator[tuple[str, Array]]:
    """Grow one tensor in width; yields its new value, and a head of its own where a tie is cut.

    Parameters
    ----------
    name : str
        Name in the checkpoint.
    tensor : array
        Value in the source.
    growth : WidthGrowth
        How to grow.

    Yields
    ------
    (str, array)
        Name and value in the target.
    """
    rule = rule_of(name)
    n = growth.factor
    if rule.kind == "fixed":
        yield name, tensor
    elif rule.kind == "embedding":
        tiled = np.tile(tensor, (1, n))
        yield name, tiled
        if growth.tied == "untie" and name.endswith(("embed_tokens.weight", "embed_in.weight")):
            yield "lm_head.weight", tiled / tensor.dtype.type(n)
    elif rule.kind == "vector":
        halves = _parts(tensor, rule.out, growth)
        grown = np.concatenate([np.tile(part, growth.repeats(axis)) for axis, part in halves])
        yield name, grown / tensor.dtype.type(n) if rule.final_norm and growth.tied == "norm" else grown
    elif rule.kind == "head":
        yield name, tile_linear(tensor, n_out=1, n_in=n)
    else:
        parts = [
            _widen_linear(name, part, axis, rule.into, growth)
            for axis, part in _parts(tensor, rule.out, growth)
        ]
        yield name, np.concatenate(parts)


def _parts(tensor: Array, axes: tuple[str, ...], growth: WidthGrowth) -> list[tuple[str, Array]]:
    if len(axes) == 1:
        return [(axes[0], tensor)]
    if growth.parts is None:
        raise InfeasibleError("fused rows can only be grown with the sizes of their parts")
    ends = np.cumsum([growth.parts[axis] for axis in axes])[:-1]
    return list(zip(axes, np.split(tensor, ends), strict=True))


def _widen_linear(name: str, part: Array, out: str, into: str, growth: WidthGrowth) -> Array:
    n_out, n_in = growth.repeats(out), growth.repeats(into)
    diagonal = growth.variant in {"diagonal", "noisy_diagonal"} and n_out == n_in
    tiled = block_diagonal(part, factor=n_in) if diagonal else tile_linear(part, n_out=n_out, n_in=n_in)
    if growth.variant not in {"noisy", "noisy_diagonal"}:
        return tiled
    rng = np.random.default_rng([growth.seed, zlib.crc32(f"{name}/{out}".encode())])
    power = float(np.mean(np.square(part, dtype=float)))
    return add_paired_noise(tiled, n_out=n_out, n_in=n_in, snr_db=growth.snr_db, power=power, rng=rng)


def hyperclone(tensors: Tensors, growth: WidthGrowth) -> dict[str, Array]:
    """Grow all tensors of a model in width (HyperCloning; with ``diagonal``, the published diagonal variant)."""
    return {
        key: value for name, tensor in tensors.items() for key, value in widen_tensor(name, tensor, growth)
    }


def widen_heads(
    tensors: Tensors,
    *,
    factor: int = 2,
    heads: int,
    kv_heads: int,
    up_project_factor: int | None = None,
    tied: str = "no",
) -> dict[str, Array]:
    """Grow in width by wider heads instead of more heads; for models without rotary positions.

    Repeated heads are reordered into heads repeated along their width. Attention logits would grow by the root of
    `factor`, so queries and keys are each scaled by ``factor**-0.25`` (as the published code does).

    Parameters
    ----------
    tensors : mapping
        Weights by their Llama or OPT names.
    factor : int, optional
        Repetitions of the hidden width and of every head's width. [-]
    heads, kv_heads : int
        Query and key-value heads, before and after. [-]
    up_project_factor : int, optional
        Repetitions of the feed-forward width; `factor` if absent. [-]
    tied : str, optional
        See `WidthGrowth.tied`.
    """
    grown = hyperclone(tensors, WidthGrowth(factor=factor, up_project_factor=up_project_factor, tied=tied))
    for name, value in grown.items():
        found = re.search(r"\.([qkv]|o|out)_proj\.(weight|bias)$", name)
        if not found or (found.group(1) in {"o", "out"} and found.group(2) == "bias"):
            continue
        count = heads if found.group(1) in {"q", "o", "out"} else kv_heads
        if found.group(1) in {"o", "out"}:
            grown[name] = _interleave(value.T, factor, count).T
        else:
            scale = 1.0 if found.group(1) == "v" else factor**-0.25
            grown[name] = _interleave(value, factor, count) * value.dtype.type(scale)
    return grown


def _interleave(rows: Array, factor: int, heads: int) -> Array:
    """Reorder repeated heads (``1 2 1 2``) into heads repeated along their width (``1 1 2 2``)."""
    blocks = rows.reshape(factor, heads, -1, *rows.shape[1:])
    return blocks.swapaxes(0, 1).reshape(rows.shape)


def staged_width(tensors: Tensors, *, factor: int = 2) -> dict[str, Array]:
    """Grow in width as staged training does: block-diagonal weights, final norm divided by `factor`.

    The head, tied or not, is repeated without scaling; without a learned final norm the head is divided instead.
    """
    growth = WidthGrowth(factor=factor, variant="diagonal", tied="norm")
    scaled = any(rule_of(name).final_norm for name in tensors)
    grown = hyperclone(tensors, growth)
    for name, tensor in tensors.items():
        if rule_of(name).kind == "head":
            grown[name] = np.tile(tensor, (1, factor)) / tensor.dtype.type(1 if scaled else factor)
    return grown


# --- bert2BERT ------------------------------------------------------------------------------------------------------


def neuron_map(size: int, target: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Source neuron of each target neuron: the first `size` themselves, the others drawn at random."""
    return np.concatenate([np.arange(size), rng.integers(0, size, target - size)])


def fpi_linear(weight: Array, *, out_map: NDArray[np.intp], in_map: NDArray[np.intp]) -> Array:
    """Expand a matrix by copying neurons: columns divided by how often their neuron is copied (arXiv:2110.07143).

    Examples
    --------
    >>> fpi_linear(np.array([[2.0, 4.0]]), out_map=np.array([0, 0]), in_map=np.array([0, 1, 1])).tolist()
    [[2.0, 2.0, 2.0], [2.0, 2.0, 2.0]]
    """
    counts = np.bincount(in_map, minlength=weight.shape[1])
    return weight[out_map][:, in_map] / counts[in_map].astype(weight.dtype)


def aki_linear(weight: Array, above: Array, *, out_map: NDArray[np.intp], in_map: NDArray[np.intp]) -> Array:
    """Expand a matrix as FPI does, with its new rows taken from the layer above, which breaks the symmetry."""
    old = weight.shape[0]
    lower = fpi_linear(weight, out_map=out_map[:old], in_map=in_map)
    upper = fpi_linear(above, out_map=out_map[old:], in_map=in_map)
    return np.concatenate([lower, upper])


# --- depth ----------------------------------------------------------------------------------------------------------

_LAYER = re.compile(r"(.*\blayers\.)(\d+)(\..*)")


def layer_count(names: Iterator[str] | Mapping[str, Array]) -> int:
    """Layers that the names of a checkpoint show."""
    return 1 + max(int(found.group(2)) for name in names if (found := _LAYER.fullmatch(name)))


def layer_sources(layers: int, *, factor: int, order: str) -> list[int]:
    """Source layer of each target layer.

    Parameters
    ----------
    layers, factor : int
        Layers of the source; repetitions.
    order : {"stack", "interpose"}
        The whole stack repeated (G_stack), or each layer in place.

    Examples
    --------
    >>> layer_sources(2, factor=2, order="stack"), layer_sources(2, factor=2, order="interpose")
    ([0, 1, 0, 1], [0, 0, 1, 1])
    """
    if order == "stack":
        return [i % layers for i in range(layers * factor)]
    return [i // factor for i in range(layers * factor)]


def deepen(
    tensors: Tensors, *, factor: int = 2, order: str = "stack", identity: bool = False
) -> dict[str, Array]:
    """Repeat the layers of a model; embeddings, final norm and head stay.

    Parameters
    ----------
    tensors : mapping
        Weights by name.
    factor : int, optional
        Repetitions. [-]
    order : {"stack", "interpose"}, optional
        See `layer_sources`.
    identity : bool, optional
        Make the copies the identity by zeroing what they write to the residual stream; the function is preserved
        (staged training's depth operator, with ``interpose``).
    """
    sources = layer_sources(layer_count(tensors), factor=factor, order=order)
    targets: dict[int, list[int]] = {}
    for target, source in enumerate(sources):
        targets.setdefault(source, []).append(target)
    grown: dict[str, Array] = {}
    for name, tensor in tensors.items():
        found = _LAYER.fullmatch(name)
        if not found:
            grown[name] = tensor
            continue
        for copy, target in enumerate(targets[int(found.group(2))]):
            silent = identity and copy > 0 and rule_of(name).writes_residual
            value = np.zeros_like(tensor) if silent else tensor
            grown[f"{found.group(1)}{target}{found.group(3)}"] = value
    return grown
