"""From what a page sends to a scenario: its text, what the controls change in it, and bounds on how much may be asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field

from simulator import documents, library, yamlio
from simulator.errors import SpecError
from simulator.schema import Scenario
from simulator.schema.hardware import Hardware, Shorthand
from simulator.schema.load import validate
from simulator.units import format_quantity
from simulator.yamlio import Document

NAME = "the scenario"
"""What errors call the text that was sent."""

MAX_TEXT = 100_000
"""Length of a scenario that is read. [characters]"""

MAX_MACHINES = 6
"""Entries of ``hardware`` that are answered; each is a search of its own."""

MAX_SHAPES = 5_000
"""Pairs of a width and a depth that a scenario may list."""

MAX_ALTERNATIVES = 20
"""Alternatives that a scenario may ask for."""

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Name = Annotated[str, Field(min_length=1, max_length=80)]


class Strict(BaseModel):
    """Data of a request: no unknown field, no conversion."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Machine(Strict):
    """One row of accelerators; what is absent stays as it is."""

    entry: Annotated[int, Field(ge=0, lt=100)] | None = None
    """Place in the scenario's ``hardware`` that the row began as."""
    accelerator: Name | None = None
    n_gpus: Annotated[int, Field(gt=0, lt=10**7)] | None = None
    usd_per_gpu_hour: Annotated[Positive, Field(lt=1e6)] | None = None


class Changes(Strict):
    """Controls that were touched; ``None`` removes a limit."""

    time_days: Annotated[Positive, Field(lt=1e5)] | None = None
    cost_usd: Annotated[Positive, Field(lt=1e15)] | None = None
    tokens: Annotated[Positive, Field(lt=1e18)] | None = None
    unique_tokens: Annotated[Positive, Field(lt=1e18)] | None = None
    serving_tokens: Annotated[Positive, Field(lt=1e21)] | None = None
    growth: bool | None = None
    hardware: Annotated[list[Machine], Field(min_length=1, max_length=MAX_MACHINES)] | None = None


class Ask(Strict):
    """A request for an answer."""

    client: Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,64}$")]
    """A page: its newer questions replace its older ones."""
    effort: Literal["preview", "full"]
    scenario: Annotated[str, Field(max_length=MAX_TEXT)]
    changes: Changes = Changes()


class Open(Strict):
    """A request to read a scenario: its text, or the id of one in the library."""

    name: Name | None = None
    scenario: Annotated[str, Field(max_length=MAX_TEXT)] | None = None
    changes: Changes = Changes()


# --- reading --------------------------------------------------------------------------------------------------------


def library_text(name: str) -> str:
    """The text of a scenario of the library, by its id."""
    with library.names_only():
        return yamlio.read_text(library.find("scenarios", name), name)


def document_of(text: str) -> Document:
    """Text as a document, with what it extends; only ids of the library are followed.

    Raises
    ------
    SpecError, UnknownNameError
        If it is no YAML, is too large, or names a path.
    """
    document = yamlio.loads(text, NAME)
    reference = document.data.get("extends")
    if reference is None:
        return document
    if not isinstance(reference, str) or not reference.strip():
        raise SpecError(document.problem(("extends",), "expected the id of another scenario"))
    with library.names_only():
        return documents.merge(library.load("scenarios", reference), document)


def scenario_of(document: Document) -> Scenario:
    """The scenario of a document, if it is not too large a question.

    Raises
    ------
    SpecError
        With every mistake; a path instead of an id is one.
    """
    with library.names_only():
        scenario = validate(Scenario, document)
    problems = []
    if len(scenario.hardware) > MAX_MACHINES:
        problems.append(document.problem(("hardware",), f"more than {MAX_MACHINES} entries; {_SHELL}"))
    sizes = len(scenario.search.hidden_size or ()) * len(scenario.search.num_hidden_layers or ())
    longest = max(len(scenario.search.hidden_size or ()), len(scenario.search.num_hidden_layers or ()))
    if sizes > MAX_SHAPES or longest > MAX_SHAPES // 10:
        problems.append(document.problem(("search",), f"more than {MAX_SHAPES} shapes; {_SHELL}"))
    if scenario.search.max_alternatives > MAX_ALTERNATIVES:
        reason = f"more than {MAX_ALTERNATIVES} alternatives; {_SHELL}"
        problems.append(document.problem(("search", "max_alternatives"), reason))
    if problems:
        raise SpecError(problems)
    return scenario


_SHELL = "`trainsim run` takes it"


def asked(text: str, changes: Changes) -> tuple[Document, Scenario]:
    """The document and the scenario that a page asks."""
    document = changed(document_of(text), changes)
    return document, scenario_of(document)


# --- what the controls change ---------------------------------------------------------------------------------------


def changed(document: Document, changes: Changes) -> Document:
    """The document with the touched controls in it.

    Examples
    --------
    >>> base = yamlio.loads("budget: {time: 10 days, cost: $60k}")
    >>> changed(base, Changes(time_days=20.0, cost_usd=None)).data
    {'budget': {'time': '20 days'}}
    """
    given = changes.model_fields_set
    if not given:
        return document
    data = yamlio.plain(document.data)
    for name, section, field, text in (
        ("time_days", "budget", "time", _days),
        ("cost_usd", "budget", "cost", _usd),
        ("tokens", "training", "tokens", _tokens),
        ("unique_tokens", "training", "unique_tokens", _tokens),
        ("serving_tokens", "inference", "tokens", _tokens),
    ):
        if name in given:
            _put(data, section, field, getattr(changes, name), text)
    if changes.growth is not None:
        _grow(data, changes.growth)
    if changes.hardware is not None:
        _machines(data, changes.hardware)
    return replace(document, data=data)


def _days(value: float) -> str:
    return f"{value:.6g} days"


def _usd(value: float) -> str:
    return f"${value:.0f}" if value >= 1000 else f"${value:.6g}"


def _tokens(value: float) -> str:
    return format_quantity(value, "token", digits=6)


def _put(data: dict[str, Any], section: str, field: str, value: float | None, text: Any) -> None:
    """Set a quantity, or take it out; a section left empty goes too."""
    inside = data.get(section)
    inside = dict(inside) if isinstance(inside, dict) else {}
    if value is None:
        inside.pop(field, None)
    else:
        inside[field] = text(value)
        if field == "tokens" and section == "training":
            inside.pop("steps", None)
    if inside:
        data[section] = inside
    else:
        data.pop(section, None)


def _grow(data: dict[str, Any], wanted: bool) -> None:
    """Ask about growth, or not; a question about a given model keeps its kind."""
    if data.get("find") not in ("architecture", "growth"):
        return
    data["find"] = "growth" if wanted else "architecture"
    inside = data.get("growth")
    if not wanted:
        data.pop("growth", None)
    elif isinstance(inside, dict) and inside.get("operator") == "none":
        data["growth"] = {k: v for k, v in inside.items() if k != "operator"}


def _machines(data: dict[str, Any], rows: list[Machine]) -> None:
    """Rows of accelerators over the entries of ``hardware``; another accelerator drops price and cluster of the old one."""
    before = data.get("hardware")
    before = before if isinstance(before, list) else [before]
    entries = []
    for row in rows:
        place = len(before) if row.entry is None else row.entry
        old = Shorthand.spread(before[place]) if place < len(before) else None
        entry = dict(old) if isinstance(old, Mapping) else {}
        if row.accelerator is not None and row.accelerator != entry.get("accelerator"):
            entry = {"accelerator": row.accelerator, **{k: entry[k] for k in ("n_gpus",) if k in entry}}
        if row.n_gpus is not None:
            entry["n_gpus"] = row.n_gpus
        if row.usd_per_gpu_hour is not None:
            entry["price"] = f"${row.usd_per_gpu_hour:.6g}/GPU-h"
        entries.append(entry)
    data["hardware"] = entries[0] if len(entries) == 1 else entries


# --- what the controls show, and the file ---------------------------------------------------------------------------


def controls(scenario: Scenario) -> dict[str, Any]:
    """Where the controls stand for a scenario."""
    fixed = scenario.model is not None and scenario.find in ("estimate", "hardware")
    budget, training = scenario.budget, scenario.training
    return {
        "name": scenario.name,
        "find": scenario.find,
        "model": (scenario.model.id or scenario.model.name or "the model of the file")
        if scenario.model is not None and fixed
        else None,
        "time_days": None if budget.time is None else budget.time / 86400.0,
        "cost_usd": budget.cost,
        "tokens": training.tokens,
        "unique_tokens": training.unique_tokens,
        "serving_tokens": None if scenario.inference is None else scenario.inference.tokens,
        "growth": scenario.find == "growth" if scenario.find in ("architecture", "growth") else None,
        "hardware": [_row(one) for one in scenario.hardware],
    }


def _row(hardware: Hardware) -> dict[str, Any]:
    return {
        "accelerator": hardware.accelerator.id,
        "label": hardware.accelerator.label,
        "n_gpus": hardware.n_gpus,
        "usd_per_gpu_hour": hardware.written_usd_per_gpu_hour,
    }


_Dumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


class _Plain(_Dumper):  # type: ignore[misc]
    """Writes text in quotes where a reader of YAML 1.2 would take it for a number or a word like ``true``."""


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    quoted = yamlio.scalar(value) != value
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="'" if quoted else None)


_Plain.add_representer(str, _text)
_Plain.ignore_aliases = lambda self, data: True


def file_of(document: Document) -> str:
    r"""The scenario as a file that `trainsim run` answers alike.

    Examples
    --------
    >>> print(file_of(yamlio.loads("name: '1e9'\nhardware: h100-sxm-80gb:64")), end="")
    name: '1e9'
    hardware: h100-sxm-80gb:64
    """
    return yaml.dump(document.data, Dumper=_Plain, sort_keys=False, allow_unicode=True, width=110)
