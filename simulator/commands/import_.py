"""``trainsim import``: a file of another program as a scenario or a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from simulator.commands.completion import accelerators, settings

if TYPE_CHECKING:
    from simulator.importers.ledger import Imported


@click.command("import")
@click.argument("file", metavar="FILE|OWNER/MODEL", type=click.Path(path_type=Path))
@click.option("--revision", help="Branch, tag or commit of OWNER/MODEL.")
@click.option("--from", "kind", metavar="PROGRAM", help="Program, if the file does not tell.")
@click.option(
    "--hardware",
    metavar="NAME[:COUNT]",
    shell_complete=accelerators,
    help="Accelerator, and how many if the file does not say.",
)
@click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="PATH=VALUE",
    shell_complete=settings,
    help="Change or add a field.",
)
@click.option("--json", "as_json", is_flag=True, help="Print what was read, and how, as one JSON document.")
@click.option("--out", type=click.Path(path_type=Path), help="Write to this file, whole or not at all.")
def command(
    file: Path,
    revision: str | None,
    kind: str | None,
    hardware: str | None,
    changes: tuple[str, ...],
    as_json: bool,
    out: Path | None,
) -> None:
    """Turn FILE of another training program into a scenario (a config.json alone into a model).

    Reads a Hugging Face config.json, Megatron-LM scripts and YAML, torchtitan TOML, nanotron YAML, DeepSpeed JSON,
    llm-foundry YAML and Accelerate YAML. Every setting taken, assumed, ignored and not understood is listed on stderr. OWNER/MODEL is fetched
    from the Hugging Face hub (extra `hf`): its config.json only.
    """
    from simulator.importers import hub, read
    from simulator.report import output

    name, count = _named(hardware)
    if kind in (None, "huggingface") and hub.is_hub_name(file.as_posix()):
        imported = read.read_hub(file.as_posix(), revision=revision)
    elif revision is not None:
        raise click.UsageError(f"--revision needs a model of the hub, OWNER/MODEL; {file} is none")
    else:
        imported = read.read_file(file, kind=kind, n_gpus=count)
    if imported.kind == "huggingface":
        imported = _of_model(imported, name, count, changes)
    else:
        imported = _completed(imported, name, changes)
    if as_json:
        output.emit(output.json_text(_document(imported)), out)
        return
    for line in account(imported):
        click.echo(line, err=True)
    output.emit(read.to_yaml(imported, str(file)), out)


def _named(hardware: str | None) -> tuple[str | None, int | None]:
    """Name and number of accelerators of the option."""
    if hardware is None:
        return None, None
    name, colon, count = hardware.partition(":")
    if colon and not (count.isdecimal() and 0 < len(count) < 9 and int(count)):
        raise click.UsageError(
            f"--hardware {hardware}: {count!r} is no number of accelerators; write {name}:64"
        )
    from simulator.schema import load_accelerator

    return load_accelerator(name).label, int(count) if colon else None


def _completed(imported: Imported, accelerator: str | None, changes: tuple[str, ...]) -> Imported:
    """What the file lacks, from the options; the result is checked if nothing is missing."""
    from dataclasses import replace

    from simulator import documents
    from simulator.schema import load_scenario
    from simulator.yamlio import Document

    data: dict[str, Any] = dict(imported.data)
    if accelerator is not None:
        data["hardware"] = {"accelerator": accelerator, **data.get("hardware", {})}
    document = documents.apply_settings(Document(data=data), changes)
    missing = [line for line in imported.missing if not _given(line.split(":")[0], changes)]
    if not isinstance(document.data.get("hardware"), dict | str):
        missing.append("hardware: the accelerator is not in the file; name --hardware NAME:COUNT")
    elif isinstance(document.data["hardware"], dict) and "accelerator" not in document.data["hardware"]:
        missing.append("hardware.accelerator: it is not in the file; name --hardware NAME:COUNT")
    if not any(line.startswith(("model:", "hardware")) for line in missing):
        load_scenario(document.data)
    return replace(imported, data=document.data, missing=tuple(missing))


def _of_model(
    imported: Imported, accelerator: str | None, count: int | None, changes: tuple[str, ...]
) -> Imported:
    """A ``config.json`` as a model; as a scenario that holds it where an option names more than the model."""
    from dataclasses import replace

    from simulator import documents
    from simulator.schema import Model
    from simulator.schema.load import validate
    from simulator.yamlio import Document

    of_run = tuple(change for change in changes if _names_run(change))
    of_model = [change.strip().removeprefix("model.") for change in changes if change not in of_run]
    model = documents.apply_settings(Document(data=dict(imported.data)), of_model)
    if of_model:
        validate(Model, model)
    if accelerator is None and not of_run:
        return replace(imported, data=model.data)
    data = {"model": model.data} | ({} if count is None else {"hardware": {"n_gpus": count}})
    lacks = accelerator is not None and count is None and not _given("hardware.n_gpus", of_run)
    missing = ("hardware.n_gpus: it is not in the file; name --hardware NAME:COUNT",) if lacks else ()
    return _completed(replace(imported, data=data, missing=missing), accelerator, of_run)


def _names_run(change: str) -> bool:
    """Whether a change is of a scenario rather than of the model in it."""
    from simulator.schema import Model, Scenario

    path = change.partition("=")[0].strip()
    head = path.partition(".")[0]
    inside = path.startswith("model.") or head in Model.model_fields
    return head in Scenario.model_fields and not inside


def _given(path: str, changes: tuple[str, ...]) -> bool:
    """Whether an option has filled a gap of the file."""
    return any(change.partition("=")[0].strip() == path for change in changes)


def account(imported: Imported) -> list[str]:
    """Every setting and what became of it, one per line."""
    lines = [f"{imported.kind}: {len(imported.taken)} settings taken"]
    lines += [f"  taken           {line}" for line in imported.taken]
    lines += [f"  assumed         {line}" for line in imported.assumed]
    if imported.ignored:
        lines.append(
            f"  ignored         {', '.join(imported.ignored)} (neither time nor memory depends on them)"
        )
    lines += [f"  not understood  {line}" for line in imported.not_understood]
    return [*lines, *(f"  missing         {line}" for line in imported.missing)]


def _document(imported: Imported) -> dict[str, Any]:
    from dataclasses import asdict

    from simulator.result import plain

    document: dict[str, Any] = plain(asdict(imported))
    return document
