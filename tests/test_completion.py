"""What the shell offers after TAB."""

from __future__ import annotations

import pytest
from click.shell_completion import ShellComplete

from simulator import cli, library


def offered(*words: str) -> list[str]:
    completer = ShellComplete(cli.cli, {}, "trainsim", "_TRAINSIM_COMPLETE")
    return [item.value for item in completer.get_completions(list(words[:-1]), words[-1])]


def test_verbs() -> None:
    assert set(offered("")) >= {"run", "import", "export", "watch", "support", "new", "doctor"}
    assert "import" in offered("im")


@pytest.mark.parametrize("verb", ["run", "compare", "export"])
def test_scenarios_and_files(verb: str) -> None:
    assert offered(verb, "quick")[0] == "quickstart"
    completer = ShellComplete(cli.cli, {}, "trainsim", "_TRAINSIM_COMPLETE")
    assert completer.get_completions([verb], "./")[-1].type == "file"


def test_accelerators_alone_and_in_a_list() -> None:
    assert offered("hardware", "show", "h200") == [
        n for n in library.names("accelerators") if n.startswith("h200")
    ]
    assert "h100-sxm-80gb:8,b200-sxm-180gb" in offered(
        "compare", "quickstart", "--hardware", "h100-sxm-80gb:8,b2"
    )
    assert offered("import", "x.toml", "--hardware", "mi300") == ["mi300x-oam-192gb"]


def test_templates() -> None:
    assert offered("new", "--template", "gro") == ["growth"]


def test_the_verb_completion_is_no_command() -> None:
    assert "completion" not in cli.verbs()
