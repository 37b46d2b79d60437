"""The command line: ``trainsim VERB ...``.

Each verb is a module of `simulator.commands`, imported when it is called. Mistakes of a user end in
one clear text on stderr; exit codes are 0 answered, 1 infeasible or failed check, 2 bad input or an output that cannot be written.
"""

from __future__ import annotations

import errno
import importlib
import keyword
import os
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import click

from simulator.commands import SUMMARIES
from simulator.errors import InfeasibleError, SimulatorError


def module_name(verb: str) -> str:
    """Module that holds a verb.

    Examples
    --------
    >>> module_name("run"), module_name("import")
    ('simulator.commands.run', 'simulator.commands.import_')
    """
    stem = verb.replace("-", "_")
    return f"simulator.commands.{stem}_" if keyword.iskeyword(stem) else f"simulator.commands.{stem}"


def verbs() -> list[str]:
    """Verbs whose module exists, in the order of `SUMMARIES`."""
    folder = Path(__file__).parent / "commands"
    present = {path.stem for path in folder.iterdir() if path.suffix == ".py" or path.is_dir()}
    return [verb for verb in SUMMARIES if module_name(verb).rpartition(".")[2] in present]


class CleanError(click.ClickException):
    """A user's mistake, ready to print."""

    exit_code = 2

    def show(self, file: Any = None) -> None:
        """Print the text on stderr."""
        click.echo(self.message, file=file, err=file is None)


class NoPlanError(CleanError):
    """The input is right, but no plan can run."""

    exit_code = 1


class LazyGroup(click.Group):
    """A group that imports a verb's module when the verb is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Verbs, in the order of the help page."""
        return verbs()

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module of a verb."""
        if cmd_name not in verbs():
            return None
        command = importlib.import_module(module_name(cmd_name)).command
        return command if isinstance(command, click.Command) else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the verbs without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(verb, SUMMARIES[verb]) for verb in verbs()])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the verb, or say which one is near."""
        if args and args[0] not in verbs() and not args[0].startswith("-"):
            from simulator.errors import nearest

            near = nearest(args[0], verbs(), count=1)
            hint = f"did you mean {near[0]}?" if near else "commands: " + ", ".join(verbs())
            raise click.UsageError(f"no command {args[0][:80]!r}; {hint}", ctx)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the verb; a user's mistake becomes a clean message unless ``--debug`` is given."""
        try:
            return super().invoke(ctx)
        except SimulatorError as error:
            if ctx.params.get("debug"):
                raise
            clean = NoPlanError if isinstance(error, InfeasibleError) else CleanError
            raise clean(str(error)) from None


def _version(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        from simulator import __version__

        click.echo(f"trainsim {__version__}")
        ctx.exit()


@click.group(
    cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.option("--debug", is_flag=True, help="Show where in the program an error arose.")
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Print the version."
)
def cli(debug: bool) -> None:
    """What training a language model costs in time, memory, money and energy."""


FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
"""Errors of a disk that takes nothing more: neither a fault of the program nor of a scenario."""


def _drop_output() -> None:
    """Send what is left to nowhere, so that the flush at exit does not fail as well."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _width(arguments: Sequence[str]) -> AbstractContextManager[None]:
    """A page that is written to a file is as wide on every machine."""
    if not any(each == "--out" or each.startswith("--out=") for each in arguments):
        return nullcontext()
    from simulator.report.text import on_paper

    return on_paper()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if "--debug" in arguments and "--" not in arguments:
        arguments = ["--debug", *(a for a in arguments if a != "--debug")]
    debug = arguments[:1] == ["--debug"]
    try:
        with _width(arguments):
            result = cli.main(args=arguments, prog_name="trainsim", standalone_mode=False)
        if sys.stdout is not None:
            sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return 0 if not arguments else 2
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        if debug:
            raise
        click.echo("interrupted", err=True)
        return 130
    except BrokenPipeError:
        _drop_output()  # the reader (head, less) has gone
        return 0
    except Exception as error:
        if debug:
            raise
        if isinstance(error, OSError) and error.errno in FULL:
            _drop_output()
            click.echo(f"the output cannot be written: {error.strerror}", err=True)
            return 2
        click.echo(f"internal error: {type(error).__name__}: {error}", err=True)
        click.echo("This is a fault of trainsim, not of your input; --debug shows where it arose.", err=True)
        return 1


if __name__ == "__main__":
    raise SystemExit(main())
