"""JSON schemas of the YAML files, from the classes that validate them."""

from __future__ import annotations

import json
from typing import Any

from simulator.schema.base import Spec


def _classes() -> dict[str, type[Spec]]:
    from simulator.schema.load import CLASSES

    singular = {"accelerators": "accelerator", "clusters": "cluster", "calibrations": "calibration"}
    singular |= {"prices": "prices", "models": "model", "scenarios": "scenario", "laws": "law"}
    return {singular[kind]: cls for kind, cls in CLASSES.items()}


SCHEMAS: dict[str, type[Spec]] = _classes()


def json_schema(name: str) -> dict[str, Any]:
    """JSON schema of one kind of file (draft 2020-12).

    Examples
    --------
    >>> json_schema("accelerator")["then"]["required"][:3]
    ['name', 'memory', 'memory_bandwidth']
    """
    schema = SCHEMAS[name].model_json_schema()
    _trim(schema)
    for node in (schema, *schema.get("$defs", {}).values()):
        if "extends" in node.get("properties", {}) and "required" in node:
            # What extends another needs only the differences.
            node["if"] = {"not": {"required": ["extends"]}}
            node["then"] = {"required": node.pop("required")}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def text_of(name: str) -> str:
    """The schema as it is written to its file."""
    return json.dumps(json_schema(name), indent=2, ensure_ascii=False) + "\n"


def _trim(node: Any) -> None:
    """Drop generated titles and the null that stands for a field left out."""
    if isinstance(node, list):
        for item in node:
            _trim(item)
    if not isinstance(node, dict):
        return
    if isinstance(node.get("title"), str) and ("type" in node or "anyOf" in node or "$ref" in node):
        del node["title"]
    if isinstance(node.get("description"), str):
        node["description"] = " ".join(node["description"].split())
    options = node.get("anyOf")
    if isinstance(options, list) and {"type": "null"} in options and node.get("default", 0) is None:
        rest = [option for option in options if option != {"type": "null"}]
        del node["default"], node["anyOf"]
        node.update(rest[0] if len(rest) == 1 else {"anyOf": rest})
    for value in list(node.values()):
        _trim(value)
