r"""Growth operators on arrays of weights: pure functions, one tensor at a time.

A tensor's *rule* names what its axes count: ``hidden``, ``heads`` (query heads times head width), ``kv``, ``ffn``,
``vocab``, or nothing that grows. `simulator.growth.tensor_rules` holds the rules of the Hugging Face families by the ending of a tensor's name.
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
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from simulator.errors import InfeasibleError
from simulator.growth.tensor_rules import TOKEN_EMBEDDINGS, WHOLE_NORMS, rule_of

Array = NDArray[np.floating]
Tensors = Mapping[str, Array]


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


NOISE_DB = (-60.0, 200.0)
"""Range of the signal over the noise: noise a thousand times the weights, and noise below what float32 resolves. [dB]"""


def add_paired_noise(
    tiled: Array, *, n_out: int, n_in: int, snr_db: float, power: float, rng: np.random.Generator
) -> Array:
    """Add noise that cancels on repeated inputs: plus in one column block, minus in the next.

    Each row block has its own noise; the last block of an odd number gets none. Noise power is `power` (the mean
    square of the source's weight) over ``10**(snr_db / 10)``; the published ablation uses 10 dB.

    Raises
    ------
    InfeasibleError
        If `snr_db` is outside `NOISE_DB`.
    """
    if not NOISE_DB[0] <= snr_db <= NOISE_DB[1]:
        raise InfeasibleError(f"{snr_db:g} dB is not between {NOISE_DB[0]:g} and {NOISE_DB[1]:g} dB")
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
    whole_norms: bool = False
    """Norms of queries and keys span all heads (OLMo 2) and are repeated with them; those of one head stay."""
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
    if growth.whole_norms:
        rule = WHOLE_NORMS.get(".".join(name.split(".")[-2:]), rule)
    n = growth.factor
    if rule.kind == "fixed":
        yield name, tensor
    elif rule.kind == "embedding":
        tiled = np.tile(tensor, (1, n))
        yield name, tiled
        if growth.tied == "untie" and name.endswith(TOKEN_EMBEDDINGS):
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
    """Grow all tensors of a model in width (HyperCloning; with ``diagonal``, the published diagonal variant).

    Norms of queries and keys that are as long as the queries are taken to span all heads.

    Raises
    ------
    InfeasibleError
        If `WidthGrowth.tied` does not fit the tensors, so that the logits would be multiplied or divided by the factor.
    """
    _check_head(tensors, growth)
    return _widen_all(tensors, growth)


def _widen_all(tensors: Tensors, growth: WidthGrowth) -> dict[str, Array]:
    growth = replace(growth, whole_norms=growth.whole_norms or spans_all_heads(tensors))
    return {
        key: value for name, tensor in tensors.items() for key, value in widen_tensor(name, tensor, growth)
    }


def _has_norm_before_head(tensors: Tensors) -> bool:
    return any(rule_of(name).final_norm for name in tensors)


def _check_head(tensors: Tensors, growth: WidthGrowth) -> None:
    """Refuse a tie that is not said, and one that is said and is not there."""
    embedded = any(name.endswith(TOKEN_EMBEDDINGS) for name in tensors)
    headed = any(rule_of(name).kind == "head" for name in tensors)
    if growth.factor == 1:
        return
    if growth.tied == "no" and embedded and not headed:
        raise InfeasibleError(
            f"no head among the tensors: it is tied to the embedding, and logits would be {growth.factor} times as large; "
            "say tied='norm' (the final norm is divided) or tied='untie' (the model gets a head of its own)"
        )
    if growth.tied != "no" and headed:
        raise InfeasibleError(f"tied={growth.tied!r}, but the model has a head of its own; say tied='no'")
    if growth.tied == "norm" and embedded and not _has_norm_before_head(tensors):
        raise InfeasibleError("tied='norm' needs a learned final norm to divide; say tied='untie'")


def spans_all_heads(tensors: Tensors) -> bool:
    """Whether norms of queries span all heads: they are then as long as the queries."""
    for name, tensor in tensors.items():
        queries = tensors.get(name.removesuffix("q_norm.weight") + "q_proj.weight")
        if name.endswith("q_norm.weight") and queries is not None:
            return len(tensor) == len(queries)
    return False


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

    Raises
    ------
    InfeasibleError
        If queries and keys are normed, which undoes their scaling.
    """
    if any(name.endswith(("q_norm.weight", "k_norm.weight")) for name in tensors):
        raise InfeasibleError("heads whose queries and keys are normed cannot be widened; grow by more heads")
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

    The head, tied or not, is repeated without scaling; without a learned final norm a head of its own is divided instead.
    A single key-value head becomes `factor` of them, one for each block (`operators.widen_blocks`).

    Raises
    ------
    InfeasibleError
        If a tied model has no learned final norm to divide.
    """
    growth = WidthGrowth(factor=factor, variant="diagonal", tied="norm")
    scaled = _has_norm_before_head(tensors)
    if not any(rule_of(name).kind == "head" for name in tensors):
        _check_head(tensors, growth)
    grown = _widen_all(tensors, growth)
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
