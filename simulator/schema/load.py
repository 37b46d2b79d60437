"""From a name or a file to a validated specification."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from simulator import documents, library
from simulator.errors import Problem, SpecError, UnknownNameError
from simulator.schema.accelerator import Accelerator
from simulator.schema.base import WRITTEN, Spec
from simulator.schema.calibration import Calibration
from simulator.schema.cluster import Cluster
from simulator.schema.law import OwnLaw
from simulator.schema.model import Model
from simulator.schema.price import PriceBook
from simulator.schema.problems import translate
from simulator.schema.scenario import Scenario
from simulator.yamlio import Document, plain

S = TypeVar("S", bound=Spec)

CLASSES: dict[str, type[Spec]] = {
    "accelerators": Accelerator,
    "clusters": Cluster,
    "prices": PriceBook,
    "calibrations": Calibration,
    "models": Model,
    "scenarios": Scenario,
    "laws": OwnLaw,
}


def validate(cls: type[S], document: Document, folder: Path | None = None, *, written: bool = True) -> S:
    """A document as a specification; every mistake is reported in one `SpecError`.

    What is `written` in a file needs units; bare numbers from Python are SI.
    """
    try:
        return cls.__pydantic_validator__.validate_python(  # type: ignore[no-any-return]
            document.data, context={**(WRITTEN if written else {}), "folder": folder}
        )
    except ValidationError as error:
        raise SpecError(translate(cls, error, document)) from None


def load_spec(kind: str, name: str, *, folder: Path | None = None) -> Any:
    """A specification of a kind by id, alias or path."""
    if kind == "models" and (config := _config_file(name, folder)):
        from simulator.importers import huggingface

        whole = config.resolve()
        title = whole.parent.name if whole.name == "config.json" else whole.stem
        return Model.from_sizes(huggingface.read_config(config), name=title or None)
    return load_file(kind, library.find(kind, name, folder))


def load_file(kind: str, path: Path) -> Any:
    """The specification of a kind in a file of the library, with what it extends."""
    document = documents.load(path, resolve=library.resolver(kind), name=library.shown(path))
    return _with_id(kind, document, path)


def _config_file(name: str, folder: Path | None) -> Path | None:
    """The Hugging Face ``config.json`` that a name means: the file, or the folder that holds it."""
    if name.endswith(".json"):
        return library.find("models", name, folder)
    if not library.paths_allowed():
        return None
    try:
        inside = (folder or Path()) / Path(name).expanduser() / "config.json"
        return inside if inside.is_file() else None
    except (OSError, ValueError, RuntimeError):
        return None


def _with_id(kind: str, document: Document, path: Path) -> Any:
    """Validate, with the file name as the id."""
    cls = CLASSES[kind]
    wrong: list[Problem] = []
    if "id" in cls.model_fields:
        stem = path.stem.lower()
        if document.data.setdefault("id", stem) != stem:
            reason = f"differs from the file name {path.name}"
            wrong.append(document.problem(("id",), reason, f"write id: {stem}"))
    try:
        spec = validate(cls, document, path.parent)
    except SpecError as error:
        raise SpecError([*wrong, *error.problems]) from None
    if wrong:
        raise SpecError(wrong)
    return spec


def extended(kind: str, data: Mapping[str, Any], *, folder: Path | None = None) -> Any:
    """An inline mapping that starts from a named specification (``extends``)."""
    reference = data["extends"]
    if not isinstance(reference, str):
        raise SpecError("extends: expected the id or the path of another file")
    if kind == "models" and _config_file(reference, folder):
        below = load_spec(kind, reference, folder=folder).model_dump(exclude_unset=True)
    else:
        below = library.load(kind, reference, folder).data
    kept = {key: value for key, value in below.items() if key not in documents.OWN_KEYS}
    own = {key: value for key, value in data.items() if key != "extends"}
    merged = documents.merge_data(kept, own)
    if "name" in CLASSES[kind].model_fields and "name" not in own:
        merged["name"] = f"{reference}, changed"
    return merged


def load_accelerator(name: str) -> Accelerator:
    """An accelerator by id, alias or path.

    Raises
    ------
    UnknownNameError
        With the nearest names.
    SpecError
        If its file is wrong.
    """
    result: Accelerator = load_spec("accelerators", name)
    return result


def load_cluster(name: str) -> Cluster:
    """A cluster by id, alias or path."""
    result: Cluster = load_spec("clusters", name)
    return result


def load_model(name: str) -> Model:
    """A model by id, alias, path, or path of a Hugging Face ``config.json``."""
    result: Model = load_spec("models", name)
    return result


def load_price_book(name: str) -> PriceBook:
    """The prices of a provider."""
    result: PriceBook = load_spec("prices", name)
    return result


def load_scenario(
    source: str | Path | Mapping[str, Any] | Scenario,
    set: Sequence[str] = (),  # noqa: A002 - named as on the command line
    scenario: str | None = None,
) -> Scenario:
    """Read a scenario.

    Parameters
    ----------
    source : str, Path, mapping or Scenario
        A file, the id of a shipped scenario, the fields themselves, or a scenario to change. In a mapping, as in a file,
        quantities may be text with a unit; there, and in changes of it, bare numbers are SI.
    set : sequence of str, optional
        Changes such as ``training.tokens=15T``, applied last.
    scenario : str, optional
        Name of a variant that the file declares under ``scenarios:``.

    Returns
    -------
    Scenario
        Frozen and checked.
    """
    if isinstance(source, Scenario) and not set and scenario is None:
        return source
    document, folder = open_scenario(source)
    if scenario is not None:
        document = documents.choose_scenario(document, scenario)
    document = documents.apply_settings(document, set)
    return validate(Scenario, document, folder, written=not isinstance(source, Mapping | Scenario))


def open_scenario(source: str | Path | Mapping[str, Any] | Scenario) -> tuple[Document, Path | None]:
    """The data of a scenario before validation, and the folder its paths start from."""
    if isinstance(source, Scenario):
        return Document(data=plain(source.model_dump(exclude_unset=True))), None
    if isinstance(source, Mapping):
        return Document(data=dict(source), file=""), None
    name = str(source)
    try:
        path = library.find("scenarios", name)
    except UnknownNameError as error:
        raise SpecError(
            Problem("no such file or shipped scenario", file=name[:200], hint=error.hint)
        ) from None
    document = documents.load(path, resolve=library.resolver("scenarios"), name=library.shown(path))
    document.data.setdefault("name", path.stem)
    return document, path.parent
