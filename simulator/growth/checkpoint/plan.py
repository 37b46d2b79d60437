"""What becomes of each tensor of a checkpoint when it is grown: one `Step` per tensor of the larger model."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.errors import InfeasibleError, Problem, SpecError
from simulator.growth import operators
from simulator.growth.checkpoint.families import Model
from simulator.growth.checkpoint.tensorfile import COMPUTABLE, Entry, Source, from_float
from simulator.growth.weights import NOISE_DB, WidthGrowth, add_paired_noise, layer_sources

BLOCK = 4_000_000
"""Elements of the larger tensor that are in memory at once; fixed, for noise is drawn block by block."""
MAX_FACTOR = 64

WIDTH, DEPTH = {"hypercloning", "compound"}, {"g_stack", "interposition", "staged_depth", "compound"}
SUPPORTED = ("hypercloning", "stacking", "interposition", "staged_depth", "compound")
"""Operators that checkpoints can be grown with."""


@dataclass(frozen=True)
class How:
    """How to grow a checkpoint."""

    operator: str = "hypercloning"
    factor: int = 2
    """Repetitions of the width, or of the layers."""
    ffn_factor: int | None = None
    """Repetitions of the feed-forward width; `factor` if absent."""
    depth_factor: int = 2
    """Repetitions of the layers with ``compound``."""
    noise_db: float | None = None
    """Signal over noise of paired noise on the linear weights; none if absent. [dB]"""
    seed: int = 0
    untie: bool = False
    """Give a tied model an output head of its own."""

    @property
    def name(self) -> str:
        """Name of the operator in `simulator.growth.operators`."""
        return operators.get(self.operator).name

    @property
    def width(self) -> int:
        """Repetitions of hidden vectors."""
        return self.factor if self.name in WIDTH else 1

    @property
    def ffn(self) -> int:
        """Repetitions of the feed-forward width."""
        return 1 if self.name not in WIDTH else self.factor if self.ffn_factor is None else self.ffn_factor

    @property
    def depth(self) -> int:
        """Repetitions of the layers."""
        return 1 if self.name not in DEPTH else self.depth_factor if self.name == "compound" else self.factor

    @property
    def order(self) -> str:
        """Order of repeated layers."""
        return "stack" if self.name in {"g_stack", "compound"} else "interpose"

    def check(self) -> None:
        """Refuse what cannot be done, every mistake at once."""
        problems = []
        name = self.name
        if name not in WIDTH | DEPTH:
            problems.append(
                Problem(
                    f"checkpoints cannot be grown by {name}; supported: {', '.join(SUPPORTED)}",
                    path="operator",
                )
            )
        for field, value, low in (
            ("factor", self.factor, 2), ("depth_factor", self.depth_factor, 2), ("ffn_factor", self.ffn_factor, 1)
        ):  # fmt: skip
            if value is not None and not low <= value <= MAX_FACTOR:
                problems.append(Problem(f"{value} is not between {low} and {MAX_FACTOR}", path=field))
        if self.ffn_factor is not None and name not in WIDTH:
            problems.append(Problem(f"{name} leaves the width as it is", path="ffn_factor"))
        if self.noise_db is not None and name not in WIDTH:
            problems.append(Problem(f"{name} copies layers and adds no noise", path="noise_db"))
        low_db, high_db = NOISE_DB
        if self.noise_db is not None and not low_db <= self.noise_db <= high_db:
            problems.append(
                Problem(f"{self.noise_db:g} is not between {low_db:g} and {high_db:g} dB", path="noise_db")
            )
        if problems:
            raise SpecError(problems)


@dataclass(frozen=True)
class Step:
    """One tensor of the larger model: its source, repeated along rows and columns and divided."""

    name: str
    source: Entry
    shape: tuple[int, ...]
    dtype: str
    n_out: int = 1
    n_in: int = 1
    divisor: int = 1
    noise_db: float | None = None
    noise_key: tuple[int, int] = (0, 0)
    """Beginning of the noise's random numbers: the seed, and a checksum of the tensor's name."""
    zero: bool = False
    """Filled with zeros: a layer that is the identity."""

    @property
    def plain(self) -> bool:
        """The source's bytes, unchanged."""
        return (
            not self.zero
            and (self.n_out, self.n_in, self.divisor, self.noise_db) == (1, 1, 1, None)
            and self.dtype == self.source.dtype
        )

    @property
    def rounds(self) -> bool:
        """The stored numbers carry rounding beyond float32's."""
        if self.zero or self.dtype not in {"F16", "BF16"}:
            return False
        power_of_two = self.divisor & (self.divisor - 1) == 0
        return self.noise_db is not None or not power_of_two or self.source.dtype != self.dtype


def pieces(step: Step, source: Source) -> Iterator[tuple[int, NDArray[Any]]]:
    """The larger tensor as it is stored, by blocks of rows: the first row of each, and the block.

    Bounded memory: no more than `BLOCK` elements at once, or what one row needs.
    """
    entry = step.source
    if step.zero:
        for start, stop in source.blocks(entry, BLOCK):
            yield start, from_float(np.zeros((stop - start, *entry.shape[1:]), dtype=np.float32), step.dtype)
        return
    noise = _Noise(step, source) if step.noise_db is not None else None
    for start, stop in source.blocks(entry, max(1, BLOCK // (step.n_out * step.n_in))):
        values = source.values(entry.name, start, stop)
        columns = (1,) if values.ndim == 1 else (1, step.n_in)
        if noise is not None:
            tiled = np.tile(values, (step.n_out, step.n_in)) / values.dtype.type(step.divisor)
            parts = np.split(from_float(noise.add(tiled), step.dtype), step.n_out)
        else:
            # Rounding before repeating gives the same bits for less work.
            scaled = values / values.dtype.type(step.divisor) if step.divisor > 1 else values
            parts = [np.tile(from_float(scaled, step.dtype), columns)] * step.n_out
        for i, part in enumerate(parts):
            yield i * entry.rows + start, part


class _Noise:
    """Paired noise of one tensor, drawn block by block."""

    def __init__(self, step: Step, source: Source) -> None:
        self.step = step
        self.rng = np.random.default_rng(step.noise_key)
        total = 0.0
        for start, stop in source.blocks(step.source, BLOCK):
            values = source.values(step.source.name, start, stop)
            total += float(np.sum(np.square(values, dtype=float)))
        self.power = total / max(1, step.source.size) / (step.divisor / step.n_in) ** 2

    def add(self, tiled: NDArray[Any]) -> NDArray[Any]:
        step = self.step
        assert step.noise_db is not None
        return add_paired_noise(
            tiled, n_out=step.n_out, n_in=step.n_in, snr_db=step.noise_db, power=self.power, rng=self.rng
        )


# --- the plan -------------------------------------------------------------------------------------------------------

_LAYER = re.compile(r"(.*\blayers\.)(\d+)(\..*)")


def steps(model: Model, entries: Mapping[str, Entry], how: How, *, dtype: str | None = None) -> list[Step]:
    """The larger model's tensors, in the order of the source's.

    Parameters
    ----------
    model : Model
        The source's configuration.
    entries : mapping
        The source's tensors.
    how : How
        Operator, factors, noise.
    dtype : str, optional
        Storage of grown floats (``F32``, ``BF16``, ``F16``); as in the source if absent.

    Raises
    ------
    SpecError
        Every tensor that is missing, unknown, or not of the shape that ``config.json`` says.
    """
    entries = _without_spare_head(model, entries)
    check_tensors(model, entries)
    growth = WidthGrowth(factor=how.width, up_project_factor=how.ffn, multi_query=model.multi_query)
    untie = unties(model, entries, how)
    copies = _copies(model, how)
    found: list[Step] = []
    for entry in entries.values():
        match = _LAYER.fullmatch(entry.name)
        names = [entry.name]
        if match:
            names = [f"{match.group(1)}{target}{match.group(3)}" for target in copies[int(match.group(2))]]
        for copy, name in enumerate(names):
            found.append(_step(model, entry, name, how, growth, dtype, silent=copy > 0, untie=untie))
        if untie and entry.name.endswith("." + model.family.embedding):
            found.append(_head_of_its_own(model, found[-1]))
    return found


def unties(model: Model, entries: Mapping[str, Entry], how: How) -> bool:
    """Whether a tied model gets a head of its own: on request, or if nothing before the head can be scaled."""
    scalable = any(name.endswith(_logit_scale(model)) for name in entries)
    return model.tied and (how.untie or (how.width > 1 and not scalable))


def _copies(model: Model, how: How) -> dict[int, list[int]]:
    """Target layers of each source layer."""
    copies: dict[int, list[int]] = {}
    sources = layer_sources(model.sizes["num_hidden_layers"], factor=how.depth, order=how.order)
    for target, source in enumerate(sources):
        copies.setdefault(source, []).append(target)
    return copies


def _without_spare_head(model: Model, entries: Mapping[str, Entry]) -> dict[str, Entry]:
    """A tied model's stored copy of the head is left out, as ``save_pretrained`` leaves it out."""
    return {k: v for k, v in entries.items() if not (model.tied and k == model.family.head)}


def _step(
    model: Model, entry: Entry, name: str, how: How, growth: WidthGrowth, dtype: str | None,
    *, silent: bool, untie: bool,
) -> Step:  # fmt: skip
    rule = model.family.rule(entry.name)
    kept = dtype is None or rule.kind == "fixed" or entry.dtype not in COMPUTABLE
    stored = entry.dtype if kept or dtype is None else dtype
    zero = silent and how.name == "staged_depth" and rule.writes_residual
    n = how.width
    if rule.kind == "fixed" or n == how.ffn == 1:
        return Step(name, entry, entry.shape, stored, zero=zero)
    repeats = {axis: growth.repeats(axis) for axis in ("hidden", "heads", "kv", "ffn", "vocab")} | {
        "embedding": n
    }
    n_out = repeats[rule.out[0]] if rule.out else 1
    n_in = repeats[rule.into] if rule.into else 1
    divisor = 1 if rule.kind in {"embedding", "vector"} else n_in
    if model.tied and not untie and entry.name.endswith(_logit_scale(model)):
        divisor *= n
    shape = (entry.shape[0] * n_out, *(size * n_in for size in entry.shape[1:]))
    noisy = rule.kind == "linear" and n_in > 1 and not zero
    key = zlib.crc32(f"{name}/{rule.out[0] if rule.out else ''}".encode())
    return Step(
        name, entry, shape, stored, n_out, n_in, divisor,
        noise_db=how.noise_db if noisy else None, noise_key=(how.seed, key), zero=zero,
    )  # fmt: skip


def _logit_scale(model: Model) -> tuple[str, ...]:
    """Endings of the tensors that are divided once more so that a tied head keeps its logits."""
    if model.kind == "opt" and model.sizes.get("embedding_proj_dim"):
        return ("project_out.weight",)
    norm = model.family.final_norm.removesuffix("weight")
    return tuple(prefix + norm + part for prefix in model.family.prefixes for part in ("weight", "bias"))


def _head_of_its_own(model: Model, embedding: Step) -> Step:
    return Step(
        model.family.head, embedding.source, embedding.shape, embedding.dtype,
        n_in=embedding.n_in, divisor=embedding.n_in,
    )  # fmt: skip


# --- checks ---------------------------------------------------------------------------------------------------------


def check_tensors(model: Model, entries: Mapping[str, Entry]) -> None:
    """Compare the tensors of a checkpoint with its configuration; raises with every mistake found."""
    problems: list[str] = []
    layers = model.sizes["num_hidden_layers"]
    if layers > len(entries):
        reason = f"config.json says {layers} layers, the weights are {len(entries)} tensors"
        raise SpecError(Problem(reason, file=str(model.folder)))
    per_layer: dict[int, set[str]] = {i: set() for i in range(layers)}
    for entry in entries.values():
        try:
            wrong = _wrong_shape(model, entry)
        except InfeasibleError as error:
            wrong = error.reason
        if wrong:
            problems.append(wrong)
        match = _LAYER.fullmatch(entry.name)
        if match and int(match.group(2)) >= layers:
            problems.append(f"tensor {entry.name!r} lies beyond the {layers} layers of config.json")
        elif match:
            per_layer[int(match.group(2))].add(match.group(3))
    everything = set().union(*per_layer.values()) | {f".{name}.weight" for name in model.family.needed}
    for layer, names in per_layer.items():
        lacking = sorted(everything - names)
        if lacking or not names:
            problems.append(f"layer {layer} lacks {', '.join(lacking) or 'its tensors'}")
    needed = [model.family.embedding] if model.tied else [model.family.embedding, model.family.head]
    problems += [
        f"no tensor named ...{ending}"
        for ending in needed
        if not any(name == ending or name.endswith("." + ending) for name in entries)
    ]
    if problems:
        raise SpecError([Problem(text, file=str(model.folder)) for text in problems])


def _wrong_shape(model: Model, entry: Entry) -> str:
    family = model.family
    if entry.name != family.head and not entry.name.startswith(family.prefixes):
        return f"tensor {entry.name!r} does not begin with {' or '.join(family.prefixes)}"
    rule = family.rule(entry.name)
    if rule.kind == "fixed":
        return ""
    if entry.dtype not in COMPUTABLE:
        return f"tensor {entry.name!r} holds {entry.dtype}, which cannot be grown"
    expected = _expected(model, entry, rule.kind, rule.out, rule.into)
    if expected is not None and entry.shape != expected:
        return f"tensor {entry.name!r} is {list(entry.shape)}, config.json says {list(expected)}"
    return ""


def _expected(
    model: Model, entry: Entry, kind: str, out: tuple[str, ...], into: str
) -> tuple[int, ...] | None:
    axes = model.axes
    if kind == "embedding":
        positions = entry.name.endswith("embed_positions.weight")
        rows = model.sizes.get("learned_positions", 0) if positions else axes["vocab"]
        return (rows, axes["hidden" if positions else "embedding"])
    fused = 3 if ".query_key_value." in entry.name else 1
    rows = axes[out[0]] * fused
    if kind == "vector":
        return (rows,)
    return (rows, axes["embedding"] if kind == "head" else axes[into])
