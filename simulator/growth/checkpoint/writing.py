"""Write the folder of a grown model: planned first, then tensor by tensor, then checked, then given its name."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from simulator.errors import InfeasibleError, Problem, SpecError
from simulator.growth import operators
from simulator.growth.checkpoint.families import Model, grown_config, read_model
from simulator.growth.checkpoint.forward import Forward
from simulator.growth.checkpoint.plan import How, Step, pieces, steps, unties
from simulator.growth.checkpoint.tensorfile import Entry, Source, layout, read_header

INDEX = "model.safetensors.index.json"
DTYPES = {"float32": "F32", "bfloat16": "BF16", "float16": "F16"}
SHARD_BYTES = 5_000_000_000
"""Largest file of weights, as ``save_pretrained`` has it. [bytes]"""
COPY_BYTES = 1 << 24
TOLERANCE = 1e-4
"""Largest difference of logits between a model and its grown self, stored without rounding. [nats]"""
ROUNDED_TOLERANCE = 0.1
"""Where 16-bit storage rounds the grown weights: largest difference over the spread of the logits. [-]"""
PROMPT = 16
"""Tokens of the prompt that both models answer. [tokens]"""
WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".h5", ".msgpack", ".onnx", ".gguf", ".ckpt", ".npz")

Tell = Callable[[str], None]


def _quiet(_: str) -> None:
    pass


@dataclass(frozen=True)
class Grown:
    """What `grow` wrote."""

    folder: Path
    source_parameters: int
    parameters: int
    files: tuple[str, ...]
    untied: bool
    """The model was given a head of its own."""
    rounded: bool
    """16-bit storage rounded the grown weights."""
    max_logit_difference: float | None
    """Largest difference between the logits of both models; absent if not checked. [nats]"""
    preserves_function: bool


def grow(
    checkpoint: str | Path,
    out: str | Path,
    how: How | None = None,
    *,
    dtype: str | None = None,
    shard_bytes: int = SHARD_BYTES,
    verify: bool = True,
    tell: Tell = _quiet,
) -> Grown:
    """Grow the checkpoint in a Hugging Face folder into a larger model in a new folder.

    Parameters
    ----------
    checkpoint : path
        Folder with ``config.json`` and ``*.safetensors``.
    out : path
        Folder to create; must not exist. It appears whole or not at all.
    how : How, optional
        Operator, factors, noise; HyperCloning by 2 if absent.
    dtype : str, optional
        ``float32``, ``bfloat16`` or ``float16`` for the grown weights; as in the source if absent.
    shard_bytes : int, optional
        Largest file of weights. [bytes]
    verify : bool, optional
        Compute logits of a random prompt with both models and compare.
    tell : callable, optional
        Called with lines of progress.

    Returns
    -------
    Grown

    Raises
    ------
    SpecError
        If the checkpoint, the operator or `out` is wrong.
    InfeasibleError
        If the disk is full, or the grown model does not compute what its source computes.

    Notes
    -----
    Memory does not depend on the model: blocks of `plan.BLOCK` elements are read, repeated and written one by one.
    """
    how, out = how or How(), Path(out)
    how.check()
    if dtype is not None and dtype not in DTYPES:
        raise SpecError(Problem(f"{dtype!r} is not one of {', '.join(DTYPES)}", path="dtype"))
    model = read_model(checkpoint)
    entries = read_entries(model.folder)
    planned = steps(model, entries, how, dtype=DTYPES[dtype] if dtype else None)
    preserves = _preserves(model, how)
    _check_out(out, needed=_bytes(planned))
    with Source(entries) as source, _arrives_whole(out) as folder:
        files = _write_weights(planned, source, folder, shard_bytes, tell)
        untied = unties(model, entries, how)
        config = grown_config(
            model, factor=how.width, ffn_factor=how.ffn, depth_factor=how.depth, order=how.order, untie=untied,
            dtype=dtype,
        )  # fmt: skip
        _write_text(folder / "config.json", json.dumps(config, indent=2) + "\n")
        _copy_others(model.folder, folder)
        rounded = any(step.rounds for step in planned)
        difference = None
        if verify:
            tell("comparing logits")
            difference = _compare(model, source, folder, must_agree=preserves, rounded=rounded)
        grown = Grown(
            out, _count(entries.values()), _count(planned), files, untied, rounded, difference, preserves
        )
        _write_text(folder / "growth.json", json.dumps(_record(how, grown), indent=2) + "\n")
    return grown


# --- reading --------------------------------------------------------------------------------------------------------


def read_entries(folder: Path) -> dict[str, Entry]:
    """Tensors of a checkpoint: of ``model.safetensors``, of its index, or of its only ``*.safetensors``.

    In the order of ``from_pretrained``, should a folder hold several.

    Raises
    ------
    SpecError
        If there is none, a file of the index is missing, or file and index disagree.
    """
    single = folder / "model.safetensors"
    if (folder / INDEX).is_file() and not single.is_file():
        return _indexed(folder)
    found = [single] if single.is_file() else sorted(folder.glob("*.safetensors"))
    if len(found) != 1:
        other = sorted(p.name for p in folder.iterdir() if p.suffix in {".bin", ".pt", ".pth"})
        reason = (
            f"{len(found)} files *.safetensors without {INDEX}"
            if found
            else "this folder holds no *.safetensors"
            + (f", only {', '.join(other[:3])}: save it again with safe_serialization=True" if other else "")
        )
        raise SpecError(Problem(reason, file=str(folder)))
    entries, _ = read_header(found[0])
    return entries


def _indexed(folder: Path) -> dict[str, Entry]:
    path = folder / INDEX
    try:
        weight_map = json.loads(path.read_text(encoding="utf-8"))["weight_map"]
        pairs = {str(name): str(file) for name, file in weight_map.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise SpecError(
            Problem("not an index of safetensors: no weight_map of names to files", file=str(path))
        ) from None
    problems: list[Problem] = []
    entries: dict[str, Entry] = {}
    for file in sorted(set(pairs.values())):
        if Path(file).name != file or not (folder / file).is_file():
            problems.append(
                Problem(f"names {file[:80]!r}, which is not a file of this folder", file=str(path))
            )
            continue
        held, _ = read_header(folder / file)
        listed = {name for name, where in pairs.items() if where == file}
        problems += [
            Problem(f"says {name[:80]!r} is in {file}; it is not", file=str(path))
            for name in sorted(listed - set(held))
        ]
        problems += [
            Problem(f"{file} holds {name[:80]!r}, which the index does not list", file=str(path))
            for name in sorted(set(held) - listed)
        ]
        entries |= held
    if problems:
        raise SpecError(problems)
    return entries


# --- writing --------------------------------------------------------------------------------------------------------


def _check_out(out: Path, needed: int) -> None:
    if out.exists() or out.is_symlink():
        raise SpecError(Problem("exists already; nothing is overwritten", path="out", file=str(out)))
    if not out.absolute().parent.is_dir():
        raise SpecError(Problem("its parent folder does not exist", path="out", file=str(out)))
    free = shutil.disk_usage(out.absolute().parent).free
    if needed > free:
        raise InfeasibleError(f"the disk is full: {needed / 1e9:.1f} GB needed, {free / 1e9:.1f} GB free")


@contextlib.contextmanager
def _arrives_whole(out: Path) -> Iterator[Path]:
    """A temporary folder beside `out` that takes its name at the end, or vanishes."""
    parent = out.absolute().parent
    try:
        folder = Path(tempfile.mkdtemp(prefix=f".{out.name}.partial-", dir=parent))
    except OSError as error:
        raise SpecError(Problem(f"cannot be written: {error.strerror}", path="out", file=str(out))) from None
    try:
        yield folder
        mask = os.umask(0)
        os.umask(mask)
        folder.chmod(0o777 & ~mask)
        if out.exists():
            raise SpecError(Problem("came into being meanwhile; nothing is overwritten", file=str(out)))
        folder.rename(out)
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise InfeasibleError("the disk is full; nothing was left behind") from None
        reason = error.strerror or str(error)
        raise InfeasibleError(f"writing {out} failed: {reason}; nothing was left behind") from None
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _shards(planned: list[Step], shard_bytes: int) -> list[list[Step]]:
    shards: list[list[Step]] = [[]]
    filled = 0
    for step in planned:
        size = _bytes([step])
        if shards[-1] and filled + size > shard_bytes:
            shards.append([])
            filled = 0
        shards[-1].append(step)
        filled += size
    return shards


def _write_weights(
    planned: list[Step], source: Source, folder: Path, shard_bytes: int, tell: Tell
) -> tuple[str, ...]:
    shards = _shards(planned, shard_bytes)
    count = len(shards)
    names = [f"model-{i + 1:05d}-of-{count:05d}.safetensors" for i in range(count)]
    if count == 1:
        names = ["model.safetensors"]
    done, total, said = 0, _bytes(planned), 0
    for name, shard in zip(names, shards, strict=True):
        described = {step.name: (step.dtype, step.shape) for step in shard}
        head, places = layout(described, path=folder / name, metadata={"format": "pt"})
        with (folder / name).open("wb") as file:
            file.write(head)
            for step in shard:
                _write_tensor(step, source, file, places[step.name])
                done += places[step.name].nbytes
                if 10 * done // max(1, total) > said:
                    said = 10 * done // max(1, total)
                    tell(f"{10 * said} % of {total / 1e9:.2f} GB written")
            file.truncate(max((p.offset + p.nbytes for p in places.values()), default=len(head)))
            file.flush()
            os.fsync(file.fileno())
    if count > 1:
        weight_map = {step.name: name for name, shard in zip(names, shards, strict=True) for step in shard}
        index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(weight_map.items()))}
        _write_text(folder / INDEX, json.dumps(index, indent=2) + "\n")
    return tuple(names)


def _write_tensor(step: Step, source: Source, file: BinaryIO, place: Entry) -> None:
    if step.plain:
        entry = step.source
        for start, stop in source.blocks(entry, COPY_BYTES):
            rows = source.raw(entry, start, stop)
            file.seek(place.offset + start * (entry.nbytes // max(1, entry.rows)))
            file.write(rows.tobytes())
        return
    per_row = place.nbytes // max(1, place.rows)
    for row, block in pieces(step, source):
        file.seek(place.offset + row * per_row)
        file.write(block.data)


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _copy_others(source: Path, target: Path) -> None:
    """Tokenizer and whatever else lies beside the weights; no weights, no hidden files, no folders."""
    for path in sorted(source.iterdir()):
        weights = path.suffix in WEIGHTS or path.name.endswith(".index.json")
        if (
            path.is_file()
            and not weights
            and not path.name.startswith(".")
            and not (target / path.name).exists()
        ):
            shutil.copyfile(path, target / path.name)


def _bytes(planned: list[Step]) -> int:
    sizes = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}
    return sum(
        int(np.prod(step.shape, dtype=object)) * sizes[step.dtype]
        if step.dtype in sizes
        else step.source.nbytes
        for step in planned
    )


def _count(tensors: Any) -> int:
    return sum(
        int(np.prod(one.shape, dtype=object)) for one in tensors if one.dtype in {"F64", "F32", "F16", "BF16"}
    )


def _record(how: How, grown: Grown) -> Mapping[str, Any]:
    """Content of ``growth.json``: where the grown model comes from."""
    from importlib.metadata import version

    return {
        "operator": how.name,
        "width_factor": how.width,
        "ffn_factor": how.ffn,
        "depth_factor": how.depth,
        "noise_db": how.noise_db,
        "seed": how.seed,
        "untied": grown.untied,
        "source_parameters": grown.source_parameters,
        "parameters": grown.parameters,
        "max_logit_difference": grown.max_logit_difference,
        "trainsim": version("trainsim"),
    }


# --- checking -------------------------------------------------------------------------------------------------------


def _preserves(model: Model, how: How) -> bool:
    """Whether the grown model computes what its source computes."""
    if (
        how.name == "staged_depth"
        and model.kind == "opt"
        and not model.config.get("do_layer_norm_before", True)
    ):
        raise SpecError(
            Problem(
                "layers that norm their sum (do_layer_norm_before: false) cannot be made the identity",
                path="operator",
            )
        )
    return operators.get(how.name).preserves_function


def _compare(model: Model, source: Source, folder: Path, *, must_agree: bool, rounded: bool) -> float:
    """Largest difference between the logits of both models on a random prompt."""
    ids = np.random.default_rng(0).integers(0, model.sizes["vocab_size"], PROMPT)
    positions = model.sizes.get("learned_positions", 0)
    ids = ids[: positions - 2] if positions else ids
    try:
        before = Forward(model, source).logits(ids)
        with Source(read_entries(folder)) as target:
            after = Forward(read_model(folder), target).logits(ids)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InfeasibleError(
            f"the check cannot follow this model: {type(error).__name__} {str(error)[:80]}",
            remedies=("grow without the check: --no-verify",),
        ) from None
    if not np.all(np.isfinite(before)):
        raise InfeasibleError("the source's own logits are not finite: its weights are damaged")
    difference = float(np.max(np.abs(after - before)))
    allowed = ROUNDED_TOLERANCE * float(np.std(before)) if rounded else TOLERANCE
    if not np.isfinite(difference) or (must_agree and difference > allowed):
        raise InfeasibleError(
            f"the grown model's logits differ by {difference:.3g}, more than {allowed:.3g}; nothing was written",
            remedies=("--dtype float32 keeps what 16-bit storage rounds away",) if rounded else (),
        )
    return difference
