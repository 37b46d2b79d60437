"""Any file of a training program as a scenario: which program it is, its reader, and the YAML to write."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

from simulator import yamlio
from simulator.errors import Problem, SpecError, UnknownNameError
from simulator.importers import (
    accelerate,
    deepspeed,
    hub,
    huggingface,
    llmfoundry,
    megatron,
    nanotron,
    torchtitan,
)
from simulator.importers.kept import kept, longest
from simulator.importers.ledger import Imported, shown
from simulator.importers.sizedmodel import model_data

READERS: dict[str, Callable[..., Imported]] = {
    "megatron": megatron.read_mapping,
    "torchtitan": torchtitan.read_mapping,
    "nanotron": nanotron.read_mapping,
    "deepspeed": deepspeed.read_mapping,
    "llm-foundry": llmfoundry.read_mapping,
    "accelerate": accelerate.read_mapping,
}
"""Program to the reader of its mapping; Megatron's scripts have a reader of their own."""

KINDS = ("huggingface", *READERS)

MARKS: dict[str, tuple[str, ...]] = {
    "huggingface": ("model_type", "text_config"),
    "deepspeed": ("zero_optimization", "train_micro_batch_size_per_gpu", "train_batch_size"),
    "accelerate": ("distributed_type", "compute_environment"),
    "llm-foundry": (
        "global_train_batch_size",
        "device_train_microbatch_size",
        "train_loader",
        "max_duration",
        "max_seq_len",
    ),
    "nanotron": ("data_stages", "tokens", "checkpoints"),
    "megatron": ("MODEL_ARGS", "num_layers", "--num-layers", "num-layers", "language_model"),
    "torchtitan": ("activation_checkpoint", "parallelism", "training"),
}
"""Top-level keys by which a program's file is known, most telling first. ``fsdp_config`` tells nothing: several have one."""

UNREAD: dict[str, tuple[str, ...]] = {
    "Axolotl": ("base_model", "sequence_len"),
    "LLaMA-Factory": ("model_name_or_path", "finetuning_type"),
    "the Hugging Face Trainer": ("per_device_train_batch_size", "gradient_accumulation_steps"),
}
"""Programs whose files are known by these top-level keys together, and not read."""


def kind_of(data: Mapping[str, Any]) -> str:
    """The program that a mapping belongs to, or an empty string.

    Examples
    --------
    >>> kind_of({"model": {}, "tokens": {}, "parallelism": {}}), kind_of({"bf16": {}, "zero_optimization": {}}), kind_of({})
    ('nanotron', 'deepspeed', '')
    """
    for kind, marks in MARKS.items():
        if any(mark in data for mark in marks):
            return kind
    return ""


def unread(data: Mapping[str, Any]) -> str:
    """The program that a mapping belongs to whose files are known but not read, or an empty string.

    Examples
    --------
    >>> unread({"base_model": "llama", "sequence_len": 4096, "fsdp_config": {}}), unread({"sequence_len": 4096})
    ('Axolotl', '')
    """
    return next((name for name, keys in UNREAD.items() if all(key in data for key in keys)), "")


def read_file(path: str | Path, *, kind: str | None = None, n_gpus: int | None = None) -> Imported:
    """Read a file of another program.

    Parameters
    ----------
    path : str or Path
        A ``config.json`` (or its folder), Megatron's script or YAML, torchtitan's TOML, nanotron's, llm-foundry's or
        Accelerate's YAML, DeepSpeed's JSON.
    kind : str, optional
        Program, where the file does not tell.
    n_gpus : int, optional
        Accelerators, where the file does not tell. [-]

    Raises
    ------
    SpecError
        If the file cannot be read, or holds mistakes; all of them are named.
    """
    if kind is not None and kind not in KINDS:
        raise UnknownNameError(kind, kind="program", names=KINDS)
    place = Path(path)
    if place.is_dir():
        place = place / "config.json"
    text = yamlio.read_text(place, str(path))
    data = _parsed(place, text)
    if data is None:
        if kind not in (None, "megatron") or "--" not in text:
            raise SpecError(Problem("not a file that can be imported", file=str(path), hint=_known()))
        return megatron.read_script(text, file=str(path), n_gpus=n_gpus)
    kind = kind or _recognized(data, str(path))
    if kind == "huggingface":
        name = place.resolve().parent.name if place.name == "config.json" else place.stem
        return _model(data, sizes=huggingface.read_config(place), name=name, source="")
    return READERS[kind](data, file=str(path), n_gpus=n_gpus)


def _recognized(data: Mapping[str, Any], path: str) -> str:
    """The program of a file by its keys."""
    if name := unread(data):
        hint = (
            "write a scenario: model, training.seq_length, micro_batch_size, global_batch_size (trainsim new)"
        )
        raise SpecError(Problem(f"a file of {name}, which is not read here", file=path, hint=hint))
    if not (kind := kind_of(data)):
        raise SpecError(Problem("no program's file is recognized by its keys", file=path, hint=_known()))
    return kind


def read_hub(name: str, *, revision: str | None = None) -> Imported:
    """Read the model ``owner/name`` from the Hugging Face hub; its commit is written into the source.

    Raises
    ------
    SpecError
        As in `simulator.importers.hub.fetch`; or if the file holds mistakes.
    """
    path, commit = hub.fetch(name, revision=revision)
    data = _parsed(path, yamlio.read_text(path, name))
    model = name.partition("@")[0]
    at = f"https://huggingface.co/{model}/blob/{commit or revision or 'main'}/config.json"
    return _model(data or {}, sizes=huggingface.read_config(path), name=model.rpartition("/")[2], source=at)


def _known() -> str:
    return "--from names the program: " + ", ".join(KINDS)


def _parsed(path: Path, text: str) -> Mapping[str, Any] | None:
    """The mapping in a JSON, TOML or YAML file; ``None`` for a script."""
    name, ending = str(path), path.suffix.lower()
    try:
        if ending == ".json":
            data = json.loads(text)
        elif ending == ".toml":
            data = tomllib.loads(text)
        elif ending in (".yaml", ".yml"):
            data = yamlio.loads(text, name).data
        else:
            return None
    except json.JSONDecodeError as error:
        raise SpecError(
            Problem(f"not JSON: {error.msg}", file=name, line=error.lineno, column=error.colno)
        ) from None
    except tomllib.TOMLDecodeError as error:
        raise SpecError(Problem(f"not TOML: {error}", file=name)) from None
    except RecursionError:
        raise SpecError(Problem("nested too deep", file=name)) from None
    except ValueError:
        raise SpecError(Problem("a number is too long", file=name)) from None
    if not isinstance(data, Mapping):
        raise SpecError(Problem("a mapping of names to values is expected", file=name))
    return data


def _model(data: Mapping[str, Any], *, sizes: Mapping[str, int], name: str, source: str) -> Imported:
    kind = huggingface.model_type(data) or str(data.get("model_type"))
    config, _ = huggingface.language_part(data)
    more = {"config": {"model_type": kind, **kept(config)}, "max_position_embeddings": longest(config, sizes)}
    names = {"name": name or kind, "source": source or f"config.json ({kind})"}
    model = model_data(sizes, **names, **{key: value for key, value in more.items() if value is not None})
    written = {**model, **model.get("exact", {})}
    taken = [f"{name} = {value}" for name, value in written.items() if not isinstance(value, dict)]
    taken += [
        f"config.{name} = {shown(value)}, for exports" for name, value in model.get("config", {}).items()
    ]
    note = f"{len(data)} keys were offered to the reader of {kind}; what it does not use changes no size"
    return Imported("huggingface", model, taken=tuple(taken), assumed=(note,))


def to_yaml(imported: Imported, source: str) -> str:
    """The scenario (or model) as YAML, with what it lacks as comments.

    Examples
    --------
    >>> print(to_yaml(Imported("toy", {"name": "run"}, missing=("model: none",)), "a.toml"))
    # Read from a.toml (toy) by trainsim import.
    # Missing: model: none
    name: run
    <BLANKLINE>
    """
    safe = re.sub(r"[\x00-\x1f\x7f]", "?", source)
    lines = [f"# Read from {safe} ({imported.kind}) by trainsim import."]
    lines += [f"# Missing: {line}" for line in imported.missing]
    lines += [f"# Not held by a scenario: {line}" for line in imported.not_understood]
    order = {
        name: place for place, name in enumerate(("name", "model", "training", "parallelism", "hardware"))
    }
    data = imported.data
    if imported.kind != "huggingface" or "model" in data:
        data = dict(sorted(data.items(), key=lambda item: order.get(item[0], len(order))))
    body = yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=110)
    return "\n".join(re.sub(r"[\r\n]", " ", line) for line in lines) + "\n" + body
