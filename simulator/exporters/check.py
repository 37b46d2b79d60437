"""The exporters by name, and the reading back that every file must pass."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from simulator import yamlio
from simulator.errors import Problem, SpecError, UnknownNameError
from simulator.exporters import deepspeed, huggingface, launch, megatron, nanotron, torchtitan, weights
from simulator.exporters.plan import TrainingPlan, unequal
from simulator.importers import deepspeed as deepspeed_in
from simulator.importers import huggingface as huggingface_in
from simulator.importers import megatron as megatron_in
from simulator.importers import nanotron as nanotron_in
from simulator.importers import torchtitan as torchtitan_in
from simulator.schema import Model, load_model


@dataclass(frozen=True)
class Exported:
    """A file, and what it does not hold."""

    text: str
    notes: tuple[str, ...] = ()
    filename: str = ""


Writer = Callable[[TrainingPlan], tuple[str, list[str]]]

EXPORTERS: dict[str, tuple[Writer, str]] = {
    "megatron": (megatron.write, "train.sh"),
    "torchtitan": (torchtitan.write, "train.toml"),
    "nanotron": (nanotron.write, "config.yaml"),
    "deepspeed": (deepspeed.write, "ds_config.json"),
    "hf": (huggingface.write, "config.json"),
}
"""Program to its writer and the usual name of its file."""

LAYOUT = "tp pp cp ep vp zero_stage shard_group sequence_parallel".split()
TRAINING = "micro_batch_size global_batch_size seq_length recompute precision steps from_pretrained".split()

NOT_HELD: dict[str, frozenset[str]] = {
    "deepspeed": frozenset(
        {
            "model",
            "pp",
            "cp",
            "ep",
            "vp",
            "sequence_parallel",
            "seq_length",
            "recompute",
            "steps",
            "from_pretrained",
        }
    ),
    "torchtitan": frozenset({"model"}),
}
"""What a program's file has no place for; the writer says so in a note where it matters."""

NARROW = {
    "megatron": ("Megatron-LM", ("fp8",)),
    "torchtitan": ("torchtitan", ("fp8",)),
    "nanotron": ("nanotron", ()),
    "deepspeed": ("DeepSpeed", ()),
}
"""What messages call a program, and the formats below 16 bits that its file holds."""

LATER = "num_nextn_predict_layers"
"""Blocks for multi-token prediction."""

DEFAULTS = {"tp": 1, "pp": 1, "cp": 1, "ep": 1, "vp": 1, "sequence_parallel": False, "from_pretrained": False}


def export(plan: TrainingPlan, program: str) -> Exported:
    """A plan as the file of a program.

    Parameters
    ----------
    plan : TrainingPlan
        From `plan_of`.
    program : str
        Key of `EXPORTERS`.

    Raises
    ------
    SpecError
        If the program's file cannot hold the plan; every setting that it cannot hold is named.
    """
    if program not in EXPORTERS:
        raise UnknownNameError(program, kind="program", names=EXPORTERS)
    writer, filename = EXPORTERS[program]
    wrong = [*_adapters(plan), *_narrow(plan, program)]
    try:
        text, notes = writer(_held(plan, program) if wrong else plan)
    except SpecError as error:
        raise SpecError([*wrong, *error.problems]) from None
    if wrong:
        raise SpecError(wrong)
    notes = [
        *weights.note(plan, program),
        *_other_precision(plan, program),
        *_later_tokens(plan, program),
        *launch.notes(plan, program),
        *notes,
    ]
    lost = differences(plan, program, text)
    if lost:
        raise SpecError(f"{program} cannot hold this plan: " + "; ".join(lost))
    return Exported(text, tuple([plan.origin, *notes] if plan.origin else notes), filename)


def _adapters(plan: TrainingPlan) -> list[Problem]:
    """A plan that trains adapters: every program's file here trains all weights."""
    if plan.training.get("trainable", "full") == "full":
        return []
    rank = plan.training.get("lora_rank")
    name = "QLoRA" if plan.training["trainable"] == "qlora" else "LoRA"
    reason = (
        f"the plan trains adapters{f' of rank {rank}' if rank else ''} ({name}), which no exported file holds"
    )
    pinned = " --set training.lora_rank=null" if rank else ""
    hint = f"--set training.trainable=full{pinned} plans the training of all weights"
    return [Problem(reason, path="training.trainable", hint=hint)]


def _narrow(plan: TrainingPlan, program: str) -> list[Problem]:
    """A format below 16 bits that a program's file has no word for."""
    precision: str = plan.training["precision"]
    name, instead = _instead(plan, program)
    if precision == instead:
        return []
    return [Problem(f"{name} has no {precision} here (--set training.precision={instead})")]


def _instead(plan: TrainingPlan, program: str) -> tuple[str, str]:
    """What messages call a program, and the precision of a plan or the nearest that its file holds."""
    precision: str = plan.training["precision"]
    name, held = NARROW.get(program, (program, ("fp8", "fp4")))
    if precision not in ("fp8", "fp4") or precision in held:
        return name, precision
    return name, held[0] if held else "bf16"


def _held(plan: TrainingPlan, program: str) -> TrainingPlan:
    """The plan without what is refused already, so that everything else that is wrong is found too."""
    return replace(plan, training={**plan.training, "precision": _instead(plan, program)[1]})


def _other_precision(plan: TrainingPlan, program: str) -> list[str]:
    """A note where the accelerator runs in another precision than was asked for."""
    used, asked = plan.training["precision"], plan.training.get("asked_precision")
    if program == "hf" or asked in (None, used):
        return []
    return [f"precision {used}: the accelerator has no {asked} matrix units"]


def _later_tokens(plan: TrainingPlan, program: str) -> list[str]:
    """A note on blocks for multi-token prediction, of which a plan counts nothing."""
    blocks = plan.sizes.get(LATER, 0)
    if program == "hf" or not blocks:
        return []
    return [
        f"multi-token prediction ({LATER} = {blocks}) is not written: the plan counts neither its time nor its memory"
    ]


def differences(plan: TrainingPlan, program: str, text: str) -> list[str]:
    """What reading a file back gives otherwise than the plan has it."""
    silent = NOT_HELD.get(program, frozenset())
    if program == "hf":
        return unequal(plan.sizes, huggingface_in.read_config(json.loads(text)))
    n_gpus = plan.layout["n_gpus"]
    data = _read(program, text, n_gpus, plan.sizes["num_hidden_layers"])
    found: dict[str, Any] = {**DEFAULTS, **data.get("parallelism", {}), **data.get("training", {})}
    wanted = {
        **{name: plan.layout[name] for name in LAYOUT},
        **{name: plan.training[name] for name in TRAINING},
        **launch.held(plan, program),
    }
    if plan.training["precision"] == "tf32":
        silent = silent | {"precision"}
    if wanted["tp"] == 1:
        wanted["sequence_parallel"] = False
    out = [
        f"{name} = {value} would be read as {found.get(name)}"
        for name, value in wanted.items()
        if name not in silent and value is not None and found.get(name) != value
    ]
    if data.get("hardware", {}).get("n_gpus", n_gpus) != n_gpus:
        out.append(f"n_gpus = {n_gpus} would be read as {data['hardware']['n_gpus']}")
    model = data.get("model")
    if model is not None:
        spec = load_model(model) if isinstance(model, str) else Model.model_validate(model)
        out += unequal({**plan.sizes, LATER: 0}, {**spec.sizes(), LATER: 0})
    elif "model" not in silent:
        out.append("the model")
    return out


def _read(program: str, text: str, n_gpus: int, layers: int) -> dict[str, Any]:
    if program == "megatron":
        return megatron_in.read_script(text, n_gpus=n_gpus).data
    if program == "torchtitan":
        return torchtitan_in.read_mapping(tomllib.loads(text), n_gpus=n_gpus, layers=layers).data
    if program == "nanotron":
        return nanotron_in.read_mapping(yamlio.loads(text).data, n_gpus=n_gpus).data
    return deepspeed_in.read_mapping(json.loads(text), n_gpus=n_gpus).data
