"""From pydantic's errors to ours: a position, a reason in plain words, and what to write."""

from __future__ import annotations

import re
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from simulator.errors import Problem, nearest
from simulator.schema.synonyms import ABSENT, FIELDS, VALUES
from simulator.schema.texts import texts_of
from simulator.yamlio import Document, Path_

# Fields that belong to another block are looked for here, block by block.
_BLOCKS = (
    "training",
    "parallelism",
    "hardware",
    "model",
    "budget",
    "growth",
    "search",
    "inference",
    "require",
    "reliability",
)


_BOUNDS = {
    "greater_than": "greater than {gt:g}",
    "greater_than_equal": "at least {ge:g}",
    "less_than": "less than {lt:g}",
    "less_than_equal": "at most {le:g}",
}
"""pydantic's complaints about a number, as what it must be."""


def translate(cls: type[BaseModel], error: ValidationError, document: Document) -> list[Problem]:
    """Every mistake in a validation error, at its place in the document, in reading order."""
    found: dict[tuple[str | None, int | None, str, str], Problem] = {}
    judged: set[Path_] = set()
    items = error.errors(include_url=False)
    numbers = _numbers(items, document)
    meant = {(*i["loc"][:-1], _meant(cls, i["loc"])) for i in items if i["type"] == "extra_forbidden"}
    for item in items:
        raw = tuple(item["loc"])
        path = data_path(document.data, raw)
        if item["type"] == "too_short" and item["input"]:
            continue  # entries were written, and each has its own complaint
        if item["type"] == "missing" and raw in meant:
            continue  # it was written under another name, which has its own complaint
        # Members of a union complain one by one about one value: the first complaint is kept.
        member = any(isinstance(part, str) and part not in path for part in raw)
        if member and path in judged:
            continue
        judged.add(path)
        if path in numbers and item["type"] == "literal_error":
            item = numbers[path]
        for problem in _problems(cls, item, raw, path, document):
            found.setdefault((problem.file, problem.line, problem.path, problem.reason), problem)
    order = {name: index for index, name in enumerate(document.lines)}
    return sorted(found.values(), key=lambda p: (order.get(p.file or "", -1), p.line or 0, p.column or 0))


def _numbers(items: list[Any], document: Document) -> dict[Path_, Any]:
    """Complaints about fields that hold a word or a number, by path: of a number its own, of a word that it is neither."""
    words: dict[Path_, Any] = {}
    out: dict[Path_, Any] = {}
    for item in items:
        path = data_path(document.data, tuple(item["loc"]))
        if item["type"] == "literal_error":
            words.setdefault(path, item)
        elif path in words and item["type"] in _BOUNDS:
            out[path] = item
        elif path in words and item["type"].startswith("float_"):
            expected = str(words[path]["ctx"]["expected"])
            out[path] = {**words[path], "ctx": {"expected": expected, "number": True}}
    return out


def data_path(data: Any, loc: tuple[int | str, ...]) -> Path_:
    """Location as pydantic gives it, without the parts that name union members or lists of one.

    Examples
    --------
    >>> data_path({"hardware": {"n_gpus": "x"}}, ("hardware", 0, "n_gpus"))
    ('hardware', 'n_gpus')
    """
    path: list[int | str] = []
    at = data
    for index, part in enumerate(loc):
        last = index == len(loc) - 1
        if isinstance(at, dict) and part in at:
            path.append(part)
            at = at[part]
        elif isinstance(at, (list, tuple)) and isinstance(part, int) and part < len(at):
            path.append(part)
            at = at[part]
        elif last and isinstance(at, dict) and isinstance(part, str) and part.isidentifier():
            path.append(part)
    return tuple(path)


def _problems(
    cls: type[BaseModel], item: Any, raw: tuple[int | str, ...], path: Path_, document: Document
) -> list[Problem]:
    kind, context = item["type"], item.get("ctx", {})
    if kind == "nested":
        return list(context["problems"])
    if kind == "spec":
        return [
            document.problem(
                data_path(document.data, raw + context["at"]) or path, context["reason"], context["hint"]
            )
        ]
    if kind == "specs":
        return [
            document.problem(_deepest(document.data, (*path, *at)), reason, hint, at_key=True)
            for at, reason, hint in context["found"]
        ]
    if kind == "extra_forbidden":
        reason, hint = _unknown(cls, raw)
        return [document.problem(path, reason, hint, at_key=True)]
    if kind == "missing":
        return [document.problem(path, "is missing", _example(cls, raw), at_key=True)]
    return [document.problem(path, *_plain(item, path))]


def _deepest(data: Any, path: Path_) -> Path_:
    """The path with indexes into lists of one removed."""
    return data_path(data, path)


def _meant(cls: type[BaseModel], raw: tuple[int | str, ...]) -> str:
    """The field that an unknown one at this location stands for, or an empty string."""
    key, known = str(raw[-1]), list(fields_at(cls, raw[:-1]))
    ours = _ours(key)
    return ours if ours in known else next(iter(nearest(key, known, count=1)), "")


def _ours(key: str) -> str:
    """Our name of a field that another tool calls `key`, or an empty string."""
    return FIELDS.get(key) or FIELDS.get(key.lower().replace("-", "_")) or ""


def _unknown(cls: type[BaseModel], raw: tuple[int | str, ...]) -> tuple[str, str]:
    """An unknown field: a foreign spelling, a field of another block, or a typing mistake."""
    key, ours, reason = str(raw[-1]), _ours(str(raw[-1])), "unknown field"
    if absent := ABSENT.get(key.lower().replace("-", "_")):
        return reason, absent
    meant = _meant(cls, raw)
    if ours and ours == meant:
        return reason, f"`{key}` is called `{ours}` here"
    block = _block_of(cls, ours or key, raw)
    if block:
        called = f"`{key}` is called `{ours}` here, and" if ours and ours != key else f"`{key}`"
        return reason, f"{called} belongs under `{block}`"
    if len(raw) > 1 and (ours or key) in cls.model_fields:
        called = f"`{key}` is called `{ours}` here, and" if ours and ours != key else f"`{key}`"
        return reason, f"{called} belongs at the top level"
    if meant:
        return reason, f"did you mean {meant}?"
    known = list(fields_at(cls, raw[:-1]))
    return reason, "fields here: " + ", ".join(known[:12]) + (", ..." if len(known) > 12 else "")


def _count_hint(path: Path_, value: Any) -> str:
    """What to write for a count that was written as people say it: ``8k`` for a length, tokens for a batch."""
    text = value.strip() if isinstance(value, str) else ""
    if (
        path
        and path[-1] == "global_batch_size"
        and re.match(r"[\d.]+\s*[kMB]?\s*tokens?$|[\d.]+\s*[MB]$", text)
    ):
        amount = re.sub(r"\s*tokens?$", "", text)
        return f"it counts sequences; write global_batch_tokens: {amount}"
    if found := re.fullmatch(r"(\d{1,4})\s*[kK]", text):
        return f"write {int(found[1]) * 1024}"
    return ""


def _block_of(cls: type[BaseModel], key: str, raw: tuple[int | str, ...]) -> str:
    for block in _BLOCKS:
        if block in cls.model_fields and block not in raw[:-1] and key in fields_at(cls, (block,)):
            return block
    return ""


def fields_at(cls: type[BaseModel], loc: tuple[int | str, ...]) -> dict[str, Any]:
    """Fields that may be written at a location of a specification."""
    return {name: field for model in _models_at(cls, loc) for name, field in model.model_fields.items()}


def _models_at(cls: type[BaseModel], loc: tuple[int | str, ...]) -> list[type[BaseModel]]:
    models: list[type[BaseModel]] = [cls]
    for part in loc:
        below: list[type[BaseModel]] = []
        for model in models:
            if part in model.model_fields:
                below += _models_in(model.model_fields[str(part)].annotation)
        models = below or models
    return models


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for inner in get_args(annotation) for model in _models_in(inner)]


def _example(cls: type[BaseModel], raw: tuple[int | str, ...]) -> str:
    field = fields_at(cls, raw[:-1]).get(str(raw[-1]))
    if field is None:
        return f"add {raw[-1]}:" if raw else ""
    for mark in field.metadata:
        examples = getattr(getattr(mark, "dimension", None), "examples", ())
        if examples:
            return f"add {raw[-1]}: {examples[0]}"
    texts = {name: text for model in _models_at(cls, raw[:-1]) for name, text in texts_of(model).items()}
    description = texts.get(str(raw[-1]), "").split("\n")[0].rstrip(".")
    return (
        f"add `{raw[-1]}:` ({description[:1].lower()}{description[1:]})" if description else f"add {raw[-1]}:"
    )


def _plain(item: Any, path: Path_) -> tuple[str, str]:
    """Reason and hint for pydantic's own error types."""
    kind, context, value = item["type"], item.get("ctx", {}), item.get("input")
    shown = _shown(value)
    if kind in ("literal_error", "enum"):
        allowed = re.findall(r"'([^']*)'", str(context.get("expected", "")))
        number = ", and no number" if context.get("number") else ""
        return f"{shown} is not one of {', '.join(allowed)}{number}", _value_hint(path, value, allowed)
    if kind in ("int_type", "int_from_float", "int_parsing"):
        if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
            return f"{value} is read as a number with a point", f"write {int(value)}"
        return f"{shown} is not a whole number", _count_hint(path, value)
    if kind in ("bool_type", "bool_parsing"):
        return f"{shown} is not true or false", ""
    if kind == "string_type":
        return f"{shown} is not text", f'write "{value}"' if isinstance(value, (int, float)) else ""
    if kind.startswith(("model_type", "model_attributes", "dict_type", "mapping_type")):
        return f"{shown} where fields were expected", "write `key: value` lines below it"
    if kind in ("tuple_type", "list_type"):
        return f"{shown} where a list was expected", "write [a, b]"
    if kind == "string_too_short":
        return "is empty", ""
    if kind in ("too_short", "too_long"):
        limit = "at least {min_length}" if kind == "too_short" else "at most {max_length}"
        return f"has {context.get('actual_length')} entries", "it needs " + limit.format(**context)
    if kind.startswith("date"):
        return f"{shown} is not a date", "write it as 2026-11-21"
    if kind in _BOUNDS:
        return f"{shown} is out of range", "it must be " + _BOUNDS[kind].format(**context)
    if kind in ("float_type", "float_parsing"):
        return f"{shown} is not a number", _number_hint(value)
    if kind == "string_pattern_mismatch" and path and path[-1] == "id":
        return f"{shown} is not an id", "lower-case letters, digits, dots and dashes"
    message = str(item.get("msg", "is not valid"))
    return (message[:1].lower() + message[1:])[:300], f"found {shown}" if value is not None else ""


def _number_hint(value: Any) -> str:
    """What to write for a plain number that was written as a share.

    Examples
    --------
    >>> _number_hint("115 %"), _number_hint("much")
    ('write 1.15', '')
    """
    found = re.fullmatch(r"\s*(\d{1,6}(?:\.\d{1,6})?)\s*%\s*", value) if isinstance(value, str) else None
    return f"write {float(found[1]) / 100:.6g}" if found else ""


def _value_hint(path: Path_, value: Any, allowed: list[str]) -> str:
    text = str(value)[:100]
    field = next((str(part) for part in reversed(path) if isinstance(part, str)), "")
    foreign = {key.lower(): ours for key, ours in VALUES.get(field, {}).items()}
    if text.lower() in foreign:
        return f"`{text}` is called `{foreign[text.lower()]}` here"
    if (value is True and "both" in allowed) or value is None or isinstance(value, (dict, list)):
        return ""
    near = nearest(text, allowed, count=1)
    return f"did you mean {near[0]}?" if near else ""


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, (list, tuple)):
        return "a list"
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return f"{value:.15g}" if abs(value) < 1e300 else "a huge number"
    text = "".join(c if c.isprintable() else "?" for c in str(value)[:61])
    return f"'{text[:60]}...'" if len(text) > 60 else f"'{text}'"
