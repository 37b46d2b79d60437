"""Import cost and surface of the package."""

from __future__ import annotations

import subprocess
import sys

import simulator
from simulator.cli import main, verbs
from simulator.commands import SUMMARIES

HEAVY = ("pandas", "scipy", "rich", "matplotlib")


def loaded_by(code: str) -> set[str]:
    """Top-level modules in a fresh interpreter after running the code."""
    script = f"{code}\nimport sys; print('\\n'.join({{m.partition('.')[0] for m in sys.modules}}), file=sys.stderr)"
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(result.stderr.split())


def test_importing_the_package_loads_no_heavy_part() -> None:
    assert not loaded_by("import simulator") & {*HEAVY, "numpy", "pydantic"}


def test_the_schema_loads_no_heavy_part() -> None:
    assert not loaded_by("import simulator.schema") & {*HEAVY, "numpy"}


def test_the_help_page_loads_no_verb() -> None:
    loaded = loaded_by("from simulator.cli import main; main(['--help'])")
    assert not loaded & {*HEAVY, "numpy", "pydantic", "yaml"}


def test_every_public_name_exists_and_no_other_is_listed() -> None:
    for name in simulator.__all__:
        assert getattr(simulator, name) is not None
    assert list(simulator.__all__) == sorted(simulator.__all__)
    assert dir(simulator) == sorted(simulator.__all__)
    assert set(simulator._HOMES) <= set(simulator.__all__)


def test_an_unknown_attribute_is_an_attribute_error() -> None:
    assert not hasattr(simulator, "nothing_of_this_name")


def test_every_verb_loads_and_says_what_the_table_says() -> None:
    from simulator.cli import cli

    for verb in verbs():
        command = cli.get_command(None, verb)  # type: ignore[arg-type]
        assert command is not None, verb
        assert command.name == verb, verb
        assert SUMMARIES[verb].endswith(".")
        assert command.help, verb


def test_every_verb_has_a_help_page(capsys) -> None:  # type: ignore[no-untyped-def]
    for verb in verbs():
        assert main([verb, "--help"]) == 0
        assert "Usage: trainsim " + verb in capsys.readouterr().out
