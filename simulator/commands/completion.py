"""``trainsim completion``: what the shell offers after TAB, and the script that switches it on.

The functions below are given to click as ``shell_complete``: ids and names beside the files that are there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import click
from click.shell_completion import CompletionItem, get_completion_class

SHELLS = {
    "bash": 'eval "$(trainsim completion bash)" in ~/.bashrc',
    "zsh": 'eval "$(trainsim completion zsh)" in ~/.zshrc, after compinit',
    "fish": "trainsim completion fish > ~/.config/fish/completions/trainsim.fish",
}
"""Shell, to where its script goes."""


@click.command("completion")
@click.argument("shell", type=click.Choice(list(SHELLS)))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print the script that completes commands, ids, fields and files in a SHELL.

    \b
    bash  eval "$(trainsim completion bash)"  in ~/.bashrc (bash 4.4 or newer)
    zsh   eval "$(trainsim completion zsh)"   in ~/.zshrc, after compinit
    fish  trainsim completion fish > ~/.config/fish/completions/trainsim.fish
    """  # noqa: D301 - click reads the escape
    found = get_completion_class(shell)
    assert found is not None
    click.echo(found(ctx.find_root().command, {}, "trainsim", "_TRAINSIM_COMPLETE").source())
    click.echo(f"# {SHELLS[shell]}", err=True)


def _starting(names: Iterable[str], incomplete: str, lead: str = "") -> list[CompletionItem]:
    """Names that start with what was typed, case aside, each behind `lead`."""
    low = incomplete.lower()
    return [CompletionItem(f"{lead}{name}") for name in names if name.lower().startswith(low)]


def scenarios(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Files, and ids of shipped scenarios."""
    from simulator import library

    # The shell itself lists the files where an item of this type is returned; bash forgets what came before it.
    return [CompletionItem(incomplete, type="file"), *_starting(library.names("scenarios"), incomplete)]


def templates(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Ids of shipped scenarios."""
    from simulator import library

    return _starting(library.names("scenarios"), incomplete)


def accelerators(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Ids of accelerators; after a comma, the next one of a list."""
    from simulator import library

    before, comma, last = incomplete.rpartition(",")
    return _starting(library.names("accelerators"), last, before + comma)


def accelerator_words(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Ids of accelerators that a price is known for."""
    from simulator.schema.quotes import books

    sold = {entry.accelerator for book in books() for entry in book.prices}
    return _starting(sorted(sold), incomplete)


def providers(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Ids of price books; after a comma, the next one of a list."""
    from simulator import library

    before, comma, last = incomplete.rpartition(",")
    return _starting(library.names("prices"), last, before + comma)


def terms_of_prices(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Kinds of contract."""
    from typing import get_args

    from simulator.schema.price import Terms

    return _starting(get_args(Terms), incomplete)


def laws(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of scaling laws, registered or of one's own."""
    from simulator import library
    from simulator.scaling import reference

    return _starting([*reference.everything(), *library.names("laws")], incomplete)


def clocks(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of clocks."""
    from simulator.clocks import CLOCKS

    return _starting(CLOCKS, incomplete)


def warnings(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Ids of warnings."""
    from simulator.report.explained import warnings as explained

    return _starting(explained(), incomplete)


def variants(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Variants that the scenario on the command line declares."""
    from simulator.errors import SimulatorError
    from simulator.schema.load import open_scenario

    # Behind an option that lacks its value, click has not yet told the arguments apart.
    named = [ctx.params.get("file"), *ctx.args]
    try:
        data = open_scenario(str(next(filter(None, named), "")))[0].data
    except SimulatorError:
        return []
    declared = data.get("scenarios")
    return _starting(declared, incomplete) if isinstance(declared, dict) else []


def settings(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Dotted fields of a scenario; after ``=``, what the field may hold, where that is a list of names."""
    path, equals, value = incomplete.partition("=")
    known = dict(fields())
    if not equals:
        return _starting([f"{name}=" for name in known], incomplete)
    before, comma, last = value.rpartition(",")
    return _starting(_values(path, known.get(path, ())), last, f"{path}={before}{comma}")


def _values(path: str, written: tuple[str, ...]) -> Iterable[str]:
    """Names that a field may hold."""
    from simulator import library

    named = {"hardware.accelerator": "accelerators", "hardware.cluster": "clusters", "model": "models"}
    if path in named:
        return library.names(named[path])
    if path in ("hardware.price.provider",):
        return library.names("prices")
    if path in ("law", "shape_law"):
        from simulator.scaling import reference

        none = ["none"] if path == "shape_law" else []
        return [*none, *reference.everything(), *library.names("laws")]
    if path == "clock":
        from simulator.clocks import CLOCKS

        return CLOCKS
    return written


def fields() -> Iterator[tuple[str, tuple[str, ...]]]:
    """Every field of a scenario by its dotted path, with the words that it may hold."""
    from simulator.schema import Budget, Growth, Hardware, Inference, Model, Parallelism, PriceChoice
    from simulator.schema.scenario import Scenario, Search
    from simulator.schema.training import Training

    parts: dict[str, Any] = {
        "model": Model,
        "training": Training,
        "parallelism": Parallelism,
        "hardware": Hardware,
        "hardware.price": PriceChoice,
        "budget": Budget,
        "inference": Inference,
        "growth": Growth,
        "search": Search,
    }
    for lead, cls in (("", Scenario), *parts.items()):
        for name, field in cls.model_fields.items():
            yield f"{lead}.{name}".lstrip("."), tuple(_words(field.annotation))


def _words(annotation: object) -> Iterator[str]:
    """The words of a ``Literal``, also inside of ``| None``."""
    from typing import Literal, get_args, get_origin

    if annotation is bool:
        yield from ("true", "false")
    if get_origin(annotation) is Literal:
        yield from map(str, get_args(annotation))
        return
    for part in get_args(annotation):
        yield from _words(part)
