"""A Hugging Face ``config.json`` as sizes and flags of a decoder.

`read_config` takes a file, a folder that holds a ``config.json``, or a dictionary, and returns the fields of
`simulator.transformer.Shape` as plain integers::

    Shape(**read_config("Llama-2-7b-hf/config.json"))

Only the language model is read: of a multi-modal file the ``text_config``. Weights for multi-token prediction
(``num_nextn_predict_layers``) are carried as a number of layers and stand outside the parameter count, as their
authors publish it. Each mistake in the file is reported with its line; nothing in a file can cause a traceback.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from simulator.errors import Problem, SpecError, nearest
from simulator.importers.families import FAMILIES
from simulator.importers.reader import Reader
from simulator.importers.windows import windows

MAX_BYTES = 4_000_000
"""A ``config.json`` is a few kilobytes; a larger file is not one. [B]"""

MAX_PARAMETERS = 10**17
"""Beyond this the sizes are a mistake, and 64-bit integers would overflow. [parameters]"""


def supported() -> list[str]:
    """Values of ``model_type`` that can be read.

    Examples
    --------
    >>> "llama" in supported(), "bert" in supported()
    (True, False)
    """
    return sorted(FAMILIES)


def read_config(source: str | Path | Mapping[str, Any]) -> dict[str, int]:
    """Read a ``config.json`` into the fields of a `Shape`.

    Parameters
    ----------
    source : path or mapping
        A ``config.json``, a folder that holds one, or its content.

    Returns
    -------
    dict
        Field of `simulator.transformer.Shape` to integer; a flag is 0 or 1.

    Raises
    ------
    SpecError
        With every mistake found: not JSON, unknown ``model_type``, a size that is missing or out of range.

    Notes
    -----
    A key that the file leaves out takes the default of its ``model_type`` in transformers 4.57 [1]_, as
    ``from_pretrained`` would, except the sizes without which a file says nothing (layers, width, heads, vocabulary,
    and the feed-forward width of most families): these are required.

    References
    ----------
    .. [1] https://github.com/huggingface/transformers/tree/v4.57.1/src/transformers/models

    Examples
    --------
    >>> fields = read_config({"model_type": "llama", "hidden_size": 4096, "intermediate_size": 11008, "vocab_size": 32000,
    ...                       "num_hidden_layers": 32, "num_attention_heads": 32})
    >>> fields["head_dim"], fields["num_key_value_heads"], fields["gated"]
    (128, 32, 1)
    """
    if isinstance(source, Mapping):
        return _fields(source, file=None, text="")
    path = Path(source)
    text = _read_text(path)
    path = path / "config.json" if path.is_dir() else path
    return _fields(_parse(text, str(path)), file=str(path), text=text)


def model_type(config: Mapping[str, Any]) -> str:
    """Value of ``model_type`` of the language model in `config`, or an empty string."""
    kind = language_part(config)[0].get("model_type")
    return kind if isinstance(kind, str) else ""


def _read_text(path: Path) -> str:
    name = str(path)[:300]
    try:
        if path.is_dir():
            path = path / "config.json"
            if not path.is_file():
                raise SpecError(Problem("this folder holds no config.json", file=name))
        if not path.is_file():
            raise SpecError(Problem("no such file", file=name))
        if path.stat().st_size > MAX_BYTES:
            raise SpecError(Problem(f"larger than {MAX_BYTES // 1_000_000} MB: not a config.json", file=name))
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise SpecError(Problem("not a text file (UTF-8)", file=name)) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a path"
        raise SpecError(Problem(f"cannot be read: {reason}", file=name)) from None


def _parse(text: str, file: str) -> Mapping[str, Any]:
    try:
        content = json.loads(text)
    except json.JSONDecodeError as error:
        lines = text.splitlines() or [""]
        line = lines[min(error.lineno, len(lines)) - 1]
        raise SpecError(
            Problem(f"not JSON: {error.msg}", file=file, line=error.lineno, column=error.colno, text=line)
        ) from None
    except (ValueError, RecursionError):
        raise SpecError(
            Problem("not JSON that can be read: nested too deep or a number too long", file=file)
        ) from None
    if not isinstance(content, Mapping):
        raise SpecError(Problem("not a config.json: an object in braces is expected", file=file))
    return content


def language_part(config: Mapping[str, Any]) -> tuple[Mapping[str, Any], str]:
    """The mapping that describes the language model, and the path to it."""
    for key in ("text_config", "llm_config", "language_config"):
        inner = config.get(key)
        if isinstance(inner, Mapping) and inner:
            # The outer file decides on tying where the inner one is silent.
            return inner, key + "."
    return config, ""


def _fields(config: Mapping[str, Any], *, file: str | None, text: str) -> dict[str, int]:
    language, prefix = language_part(config)
    kind = language.get("model_type")
    if kind is None and prefix:
        kind = config.get("model_type")
    if not isinstance(kind, str) or kind not in FAMILIES:
        raise _locate([_unknown(kind, prefix)], file, text)
    reader = Reader(language)
    fields = FAMILIES[kind](reader)
    fields |= windows(kind, reader, fields["num_hidden_layers"])
    problems = list(dict.fromkeys(reader.problems))
    if not problems:
        problems = _contradictions(fields)
    if problems:
        raise _locate([Problem(p.reason, path=prefix + p.path, hint=p.hint) for p in problems], file, text)
    return fields


def _unknown(kind: object, prefix: str) -> Problem:
    known = ", ".join(supported())
    if not isinstance(kind, str):
        return Problem(
            "a config.json of a language model names its model_type",
            path=prefix + "model_type",
            hint=f"supported: {known}",
        )
    near = nearest(kind, FAMILIES)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    return Problem(
        f"model_type {kind[:60]!r} is not supported",
        path=prefix + "model_type",
        hint=f"{hint}supported: {known}",
    )


def _contradictions(f: Mapping[str, int]) -> list[Problem]:
    """Sizes that are each possible but not together."""
    found = []
    if f["num_attention_heads"] % f["num_key_value_heads"]:
        found.append(
            Problem(
                f"{f['num_attention_heads']} query heads do not divide into "
                f"{f['num_key_value_heads']} groups",
                path="num_key_value_heads",
            )
        )
    if f.get("num_experts_per_tok", 0) > f.get("num_experts", 0):
        found.append(
            Problem(
                f"{f['num_experts_per_tok']} experts per token of {f.get('num_experts', 0)} experts",
                path="num_experts_per_tok",
            )
        )
    if f.get("first_k_dense_replace", 0) > f["num_hidden_layers"]:
        found.append(
            Problem(
                f"{f['first_k_dense_replace']} dense layers of {f['num_hidden_layers']} layers",
                path="first_k_dense_replace",
            )
        )
    widest = max(
        f["intermediate_size"],
        f.get("shared_expert_intermediate_size", 0),
        f["num_attention_heads"] * max(f["head_dim"], f.get("qk_nope_head_dim", 0), f.get("v_head_dim", 0)),
    )
    per_layer = f["hidden_size"] * (
        6 * widest + 3 * f.get("num_experts", 0) * f.get("moe_intermediate_size", 0)
    )
    if f["num_hidden_layers"] * per_layer + 2 * f["vocab_size"] * f["hidden_size"] > MAX_PARAMETERS:
        found.append(Problem(f"the sizes make more than {MAX_PARAMETERS:.0e} parameters", path="hidden_size"))
    return found


def _locate(problems: list[Problem], file: str | None, text: str) -> SpecError:
    """Give each problem the line on which its key stands."""
    lines = text.splitlines()
    placed = []
    for problem in problems:
        at = _position(problem.path, text) if text else None
        if at is None:
            placed.append(Problem(problem.reason, path=problem.path, file=file, hint=problem.hint))
        else:
            line = text.count("\n", 0, at)
            column = at - (text.rfind("\n", 0, at) + 1) + 1
            placed.append(
                Problem(
                    problem.reason,
                    path=problem.path,
                    file=file,
                    line=line + 1,
                    column=column,
                    text=lines[line],
                    before=lines[line - 1] if line else "",
                    hint=problem.hint,
                )
            )
    return SpecError(placed)


def _position(path: str, text: str) -> int | None:
    at = 0
    for key in path.split("."):
        match = re.compile(r'"' + re.escape(key) + r'"\s*:').search(text, at)
        if match is None:
            return None
        at = match.start()
    return at
