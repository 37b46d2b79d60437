"""Arguments of a launch script, without running it.

Assignments of plain text (``TP=8``, ``X=${X:-8}``, ``N=$((A*B))``) are followed, and arrays (``ARGS=(--a 1)``, on one line or
several) are opened; everything else of the shell is not followed. An argument inside ``if``, ``for``, ``case`` or a function
depends on what the script does and is returned apart.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field

_ASSIGN = re.compile(r"^(?:export\s+|local\s+|declare\s+)?([A-Za-z_]\w*)=(?!\()(.*)$")
_VARIABLE = re.compile(r"\$\{(\w+)(?::?-([^}]*))?\}|\$(\w+)")
_ARITHMETIC = re.compile(r"\$\(\(([^()$]*)\)\)")
_OPEN = re.compile(r"^(if|for|while|until|case)\b|^(function\s+\w+|\w+\s*\(\))\s*\{?$")
_ARRAY = re.compile(r"^(?:export\s+|local\s+|declare\s+(?:-\w+\s+)*)?[A-Za-z_]\w*\+?=\((.*)$")
_CLOSE = re.compile(r"^(fi|done|esac|\})\b|^(fi|done|esac|\})$")


@dataclass
class Arguments:
    """Options of a script: name without dashes in front, to its values."""

    options: dict[str, list[str]] = field(default_factory=dict)
    conditional: dict[str, list[str]] = field(default_factory=dict)
    """Options that stand inside a condition, a loop or a function."""


def arguments(text: str) -> Arguments:
    """Options of a command line or a script.

    Examples
    --------
    >>> found = arguments('TP=8' + chr(10) + 'run --tensor-model-parallel-size $TP --bf16 # --fp16')
    >>> found.options
    {'tensor-model-parallel-size': ['8'], 'bf16': []}
    """
    known: dict[str, str] = {}
    out = Arguments()
    depth = 0
    current: list[str] | None = None
    for line in _opened(_lines(text)):
        stripped = line.strip()
        if _CLOSE.match(stripped):
            depth = max(0, depth - 1)
            current = None
            continue
        if _OPEN.match(stripped) and not re.search(r"\b(fi|done|esac)\s*$", stripped):
            depth += 1
            current = None
        assigned = _ASSIGN.match(stripped)
        if assigned and not assigned[2].lstrip("\"'").startswith("-"):
            value = _expand(assigned[2].split(";")[0].strip().strip("\"'"), known)
            if depth == 0:
                known[assigned[1]] = value
            else:
                known.setdefault(assigned[1], value)
            current = None
            continue
        target = out.conditional if depth else out.options
        for word in _words(_expand(stripped, known)):
            if word.startswith("--") and len(word) > 2:
                name, equals, value = word[2:].partition("=")
                current = target[name.replace("_", "-")] = [value] if equals else []
            elif word in (")", "(", "\\") or word.endswith(("=(", "+=(")):
                current = None
            elif current is not None:
                current.append(word)
    return out


def _opened(lines: list[str]) -> list[str]:
    """Lines without the brackets of arrays: what stands in one, and what follows it, are lines of their own."""
    out: list[str] = []
    inside, waiting = False, lines[::-1]
    while waiting:
        line = waiting.pop()
        found = None if inside else _ARRAY.match(line.strip())
        if found is None and not inside:
            out.append(line)
            continue
        # The brackets on lines of their own keep the options in the array apart from the words around it.
        body = line if found is None else found[1]
        out += [] if found is None else ["("]
        end = _end(body)
        inside = end < 0
        out += [body] if inside else [body[:end], ")"]
        waiting += [] if inside else [body[end + 1 :].lstrip(" ;")]
    return out


def _end(body: str) -> int:
    """Place of the bracket that closes an array, not one in quotes or of a pair; -1 if it is not there."""
    quote, depth = "", 0
    for place, letter in enumerate(body):
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "\"'":
            quote = letter
        elif letter in "()":
            depth += 1 if letter == "(" else -1
            if depth < 0:
                return place
    return -1


def _lines(text: str) -> list[str]:
    """Lines without comments, those that end in a backslash joined to the next."""
    out, joined = [], ""
    for line in text.splitlines():
        bare = _without_comment(line).rstrip()
        if bare.endswith("\\"):
            joined += bare[:-1] + " "
            continue
        out.append(joined + bare)
        joined = ""
    return [*out, joined]


def _without_comment(line: str) -> str:
    quote = ""
    for index, letter in enumerate(line):
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "\"'":
            quote = letter
        elif letter == "#" and (index == 0 or line[index - 1].isspace()):
            return line[:index]
    return line


def _expand(text: str, known: dict[str, str]) -> str:
    def variable(match: re.Match[str]) -> str:
        name = match[1] or match[3]
        if name in known:
            return known[name]
        return match[2] if match[2] is not None else match[0]

    text = _VARIABLE.sub(variable, text)
    # Inside $(( )) a variable may stand without its dollar sign.
    return _ARITHMETIC.sub(
        lambda m: _calculate(re.sub(r"[A-Za-z_]\w*", lambda n: known.get(n[0], n[0]), m[1]), m[0]), text
    )


def _calculate(text: str, otherwise: str) -> str:
    """Products and quotients of whole numbers; anything else stays as it is."""
    parts = re.split(r"\s*([*/])\s*", text.strip())
    if len(parts) > 21 or not all(part.isdecimal() and len(part) < 10 for part in parts[::2]):
        return otherwise
    result = int(parts[0])
    for sign, part in zip(parts[1::2], parts[2::2], strict=True):
        if sign == "/" and not int(part):
            return otherwise
        result = result * int(part) if sign == "*" else result // int(part)
    return str(result)


def _words(line: str) -> list[str]:
    """Words of a line; a quoted word that holds an option and its value is opened."""
    try:
        words = shlex.split(line.replace("`", ""), comments=False)
    except ValueError:
        words = line.replace('"', " ").replace("'", " ").split()
    out: list[str] = []
    for word in words:
        # MODEL_ARGS="--a 1 --b 2" and "--a 1" both hold options inside one word.
        inner = re.sub(r"^[A-Za-z_]\w*\+?=\(?", "", word)
        if inner.lstrip("(").startswith("--") and " " in inner.strip():
            out += inner.lstrip("(").split()
        else:
            out.append(inner if inner.startswith("--") else word)
    return out
