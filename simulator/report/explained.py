"""The page of warnings, read by the program: what an id means."""

from __future__ import annotations

import re
from functools import cache

PAGE = "docs/warnings.md"

HINT = "trainsim warnings ID explains each."
"""What stands under the warnings of a page."""


@cache
def warnings() -> dict[str, str]:
    """Every id of ``docs/warnings.md`` with its text, in the order of the page."""
    from simulator import library

    text = (library.packaged_root() / PAGE).read_text(encoding="utf-8")
    text = text.partition("\n# Reasons")[0]
    parts = re.split(r"^## +(\S+) *$", text, flags=re.MULTILINE)[1:]
    return {name: body.strip() for name, body in zip(parts[::2], parts[1::2], strict=True)}


def paragraphs(text: str) -> list[str]:
    r"""Paragraphs of a text in Markdown without the marks of code and links, each in one line.

    Examples
    --------
    >>> paragraphs("Three `runs` end it\n([page](x.md)).\n\nOr two.")
    ['Three runs end it (page, docs/x.md).', 'Or two.']
    """
    plain = re.sub(r"\[([^\]]+)\]\(([\w.-]+)(?:#[\w-]+)?\)", r"\1, docs/\2", text).replace("`", "")
    plain = re.sub(r"([\w.-]+), docs/\1", r"docs/\1", plain)
    plain = re.sub(r"\*(\w+)\*", r"\1", plain)
    return [" ".join(each.split()) for each in re.split(r"\n\s*\n", plain)]
