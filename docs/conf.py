"""Sphinx over the Markdown pages of this folder: `make docs`."""

from __future__ import annotations

import importlib.metadata
import re
from typing import Any

try:
    release = importlib.metadata.version("trainsim")
except importlib.metadata.PackageNotFoundError:
    release = "0"

project = "trainsim"
extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"trainsim {release}"
html_show_copyright = False
html_copy_source = False
html_show_sourcelink = False
html_static_path = ["_static"]
html_css_files = ["tables.css"]
myst_heading_anchors = 3
highlight_language = "none"

INDEX = "index"


def contents(text: str) -> str:
    """The tables of the index as the sidebar: a heading for each, the pages in the order of its rows."""
    trees = []
    for part in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        title, _, body = part.partition("\n")
        pages = re.findall(r"^\| \[[^\]]+\]\(([\w-]+)\.md\)", body, flags=re.MULTILINE)
        if pages:
            lines = "\n".join(pages)
            trees.append(
                f"```{{toctree}}\n:hidden:\n:caption: {title.strip()}\n:titlesonly:\n\n{lines}\n```\n"
            )
    return "\n".join(trees)


def on_read(app: Any, name: str, source: list[str]) -> None:
    """Links to files that are no pages stay as words, links named by their file get its title, the index its sidebar."""
    text = re.sub(r"\[([^\]]+)\]\(\.\./[^)]*\)", r"\1", source[0])
    text = text if name == INDEX else re.sub(r"\[([\w-]+\.md)\]\(\1\)", r"[](\1)", text)
    source[0] = f"{text}\n\n{contents(text)}" if name == INDEX else text


def setup(app: Any) -> dict[str, bool]:
    """Connect the reader."""
    app.connect("source-read", on_read)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
