"""Pieces of a page of HTML: escaped text, tables with captions and scopes, links."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

LINKS = re.compile(
    r"(?P<url>https?://[^\s<>\"'|;,)\]]+[^\s<>\"'|;,)\].:])"
    r"|arXiv:(?P<arxiv>\d{4}\.\d{4,5})"
    r"|github:(?P<repo>[\w.-]+/[\w.-]+)(?:@(?P<commit>[0-9a-f]{7,40})|#(?P<issue>\d+))?"
)
"""What becomes a link in a source."""


class Raw(str):
    """Text that is HTML already."""

    __slots__ = ()


def esc(value: Any) -> str:
    """Escape a value, unless it is HTML already.

    Examples
    --------
    >>> esc("<b>"), esc(Raw("<b>"))
    ('&lt;b&gt;', '<b>')
    """
    return str(value) if isinstance(value, Raw) else html.escape(str(value))


def join(parts: Iterable[str]) -> Raw:
    """Pieces of HTML one after another."""
    return Raw("".join(parts))


def para(text: str, kind: str = "") -> Raw:
    """A paragraph; its direction follows its first letter."""
    return (
        Raw(f'<p dir="auto"{f" class={kind!r}" if kind else ""}>{_whole(esc(text))}</p>') if text else Raw("")
    )


WHOLE = re.compile(r"(?<![^\s(])(?=[\w-]{5,24}(?![\w-]))(?:--[a-z][a-z-]*|[a-z0-9]+(?:-[a-z0-9]+){2,})")
"""What no line may break: an option of the command line, the id of an accelerator."""


def _whole(text: str) -> str:
    """Escaped text whose options and ids are not broken at their dashes.

    Examples
    --------
    >>> _whole("validate --growth).")
    'validate <span class="whole">--growth</span>).'
    >>> _whole("64 x h100-sxm-80gb; a micro-batch")
    '64 x <span class="whole">h100-sxm-80gb</span>; a micro-batch'
    """
    return WHOLE.sub(r'<span class="whole">\g<0></span>', text)


def items(texts: Iterable[str]) -> Raw:
    """A list, links made."""
    inner = "".join(f'<li dir="auto">{linked(text)}</li>' for text in texts)
    return Raw(f"<ul>{inner}</ul>") if inner else Raw("")


def pairs(rows: Iterable[tuple[str, str]]) -> Raw:
    """Terms and what they stand for."""
    inner = "".join(f'<dt>{esc(term)}</dt><dd dir="auto">{linked(text)}</dd>' for term, text in rows if text)
    return Raw(f"<dl>{inner}</dl>") if inner else Raw("")


def linked(text: str) -> Raw:
    """Escaped text in which addresses, arXiv numbers and repositories are links.

    Examples
    --------
    >>> linked("see arXiv:2404.10102 <x>")
    'see <a href="https://arxiv.org/abs/2404.10102">arXiv:2404.10102</a> &lt;x&gt;'
    >>> linked("javascript:alert(1)")
    'javascript:alert(1)'
    """
    out, end = [], 0
    for found in LINKS.finditer(text):
        out.append(html.escape(text[end : found.start()]))
        out.append(f'<a href="{html.escape(_address(found))}">{html.escape(found[0])}</a>')
        end = found.end()
    return Raw("".join([*out, html.escape(text[end:])]))


def _address(found: re.Match[str]) -> str:
    if found["url"]:
        return found["url"]
    if found["arxiv"]:
        return f"https://arxiv.org/abs/{found['arxiv']}"
    base = f"https://github.com/{found['repo']}"
    if found["commit"]:
        return f"{base}/tree/{found['commit']}"
    return f"{base}/issues/{found['issue']}" if found["issue"] else base


def cells(
    caption: str,
    heads: Sequence[str],
    rows: Iterable[Sequence[Any]],
    *,
    numbers: Sequence[int] | None = None,
    bars: Sequence[int] = (),
    words: Sequence[int] = (),
    first: bool = False,
    wide: bool = False,
) -> Raw:
    """A table that a keyboard can scroll.

    Parameters
    ----------
    caption : str
        What the table shows.
    heads : sequence of str
        Heads of the columns.
    rows : iterable of sequences
        Cells; the first of each row is its head.
    numbers : sequence of int, optional
        Columns of numbers, aligned right; all but the first and those of `bars` and `words` if absent.
    bars, words : sequence of int, optional
        Columns of bars, and of sentences.
    first : bool, optional
        Whether the first row stands out.
    wide : bool, optional
        Whether the letters are small.
    """
    right = set(range(1, len(heads))) - set(bars) - set(words) if numbers is None else set(numbers)

    def kind(column: int) -> str:
        name = "n" if column in right else "c" if column in bars else "w" if column in words else ""
        return f' class="{name}"' if name else ""

    head = "".join(_head(text, kind(i)) for i, text in enumerate(heads))
    body = []
    for number, row in enumerate(rows):
        inside = f'<th scope="row" dir="auto">{esc(row[0])}</th>' + "".join(
            f"<td{kind(i)}>{esc(cell)}</td>" for i, cell in enumerate(row) if i
        )
        body.append(f"<tr{' class=first' if first and number == 0 else ''}>{inside}</tr>")
    return Raw(
        f'<div class="scroll" tabindex="0" role="region" aria-label="{html.escape(caption)}">'
        f"<table{' class=wide' if wide else ''}><caption>{esc(caption)}</caption>"
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table></div>"
    )


def _head(text: str, kind: str) -> str:
    return f'<th scope="col"{kind}>{esc(text)}</th>' if text else f"<td{kind}></td>"


def label_pairs(lines: Sequence[str], width: int) -> list[tuple[str, str]]:
    """Lines of a terminal page with labels of a width, as terms and texts.

    Examples
    --------
    >>> label_pairs(["Model  a", "       b", "Run    c"], 7)
    [('Model', 'a b'), ('Run', 'c')]
    """
    out: list[tuple[str, str]] = []
    for line in lines:
        label, text = line[:width].strip(), line[width:].strip()
        if label:
            out.append((label, text))
        elif out and text:
            out[-1] = (out[-1][0], f"{out[-1][1]} {text}")
    return out


def yaml_of(data: Mapping[str, Any]) -> str:
    """Plain data as YAML, in the order given."""
    import yaml

    # The C library writes the same text in a tenth of the time.
    dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    return str(yaml.dump(dict(data), Dumper=dumper, sort_keys=False, allow_unicode=True, width=100))
