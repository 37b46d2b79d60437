"""What the shell offers after TAB: ids of scenarios, accelerators and models beside the files that are there.

``eval "$(_TRAINSIM_COMPLETE=bash_source trainsim)"`` (or ``zsh_source``, ``fish_source``) switches it on.
"""

from __future__ import annotations

import click
from click.shell_completion import CompletionItem


def scenarios(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Ids of shipped scenarios, then files."""
    from simulator import library

    found = [CompletionItem(name) for name in library.names("scenarios") if name.startswith(incomplete)]
    # The shell itself lists the files where an item of this type is returned.
    return [*found, CompletionItem(incomplete, type="file")]


def accelerators(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Ids of accelerators; after a comma, the next one of a list."""
    from simulator import library

    before, comma, last = incomplete.rpartition(",")
    return [
        CompletionItem(f"{before}{comma}{name}")
        for name in library.names("accelerators")
        if name.startswith(last.lower())
    ]


def templates(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Ids of shipped scenarios."""
    from simulator import library

    return [CompletionItem(name) for name in library.names("scenarios") if name.startswith(incomplete)]
