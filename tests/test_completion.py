"""What the shell offers after TAB."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete

from simulator import cli, library
from simulator.cli import main


def offered(*words: str) -> list[str]:
    completer = ShellComplete(cli.cli, {}, "trainsim", "_TRAINSIM_COMPLETE")
    return [item.value for item in completer.get_completions(list(words[:-1]), words[-1])]


def test_verbs() -> None:
    assert set(offered("")) >= {"run", "import", "export", "watch", "support", "new", "doctor"}
    assert "import" in offered("im")


@pytest.mark.parametrize("verb", ["run", "compare", "export"])
def test_scenarios_and_files(verb: str) -> None:
    assert offered(verb, "quick")[-1] == "quickstart"
    completer = ShellComplete(cli.cli, {}, "trainsim", "_TRAINSIM_COMPLETE")
    assert completer.get_completions([verb], "./")[0].type == "file"


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


def test_fields_of_a_scenario_and_what_they_may_hold() -> None:
    assert "budget.time=" in offered("run", "quickstart", "--set", "budget.t")
    assert offered("sweep", "quickstart", "--vary", "hardware.n_g") == ["hardware.n_gpus="]
    assert offered("run", "quickstart", "--set", "training.precision=bf") == ["training.precision=bf16"]
    assert offered("run", "quickstart", "--set", "law=besi") == ["law=Besiroglu2024"]
    assert "hardware.accelerator=h200-sxm-141gb" in offered("run", "x", "--set", "hardware.accelerator=h2")
    listed = offered("sweep", "quickstart", "--vary", "hardware.accelerator=a100-sxm-80gb,h200-n")
    assert listed == ["hardware.accelerator=a100-sxm-80gb,h200-nvl-141gb"]
    assert offered("run", "quickstart", "--set", "no.such=") == []


def test_every_field_that_is_offered_can_be_set() -> None:
    """A path of the list is a path of the schema: its mistake, if any, is about the value."""
    from simulator.commands.completion import fields
    from simulator.errors import SpecError
    from simulator.schema import load_scenario

    paths = [path for path, _ in fields()]
    assert len(paths) > 80
    assert len(set(paths)) == len(paths)
    for path in paths:
        said = ""
        try:
            load_scenario("llama-2-7b-a100", [f"{path}={{}}"])
        except SpecError as error:
            said = str(error)
        assert "unknown" not in said, path


def test_names_of_laws_providers_terms_clocks_warnings_and_variants(tmp_path: Path) -> None:
    assert "Besiroglu2024" in offered("laws", "show", "Besi")
    assert offered("prices", "refresh", "--provider", "cru") == ["crusoe"]
    assert offered("compare", "quickstart", "--providers", "aws,cru") == ["aws,crusoe"]
    assert offered("prices", "list", "--terms", "on") == ["on_demand"]
    assert offered("warnings", "old") == ["old-price"]
    path = tmp_path / "own.yaml"
    path.write_text(
        "model: llama-2-7b\nhardware: h100-sxm-80gb:8\ntraining: {tokens: 1B}\n"
        "overrides: {long: {training.tokens: 2B}}\nscenarios: {longer: [long]}\n"
    )
    assert offered("run", str(path), "--scenario", "lo") == ["longer"]
    assert offered("run", str(tmp_path / "none.yaml"), "--scenario", "lo") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_a_shell(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    streams = capsys.readouterr()
    assert f"_TRAINSIM_COMPLETE={shell}_complete" in streams.out
    assert "trainsim" in streams.err


def test_bash_itself_completes() -> None:
    """The script in a real bash: the words that it would offer after TAB."""
    bash = shutil.which("bash")
    program = Path(sys.executable).with_name("trainsim")
    if bash is None or not program.is_file():
        pytest.skip("needs bash and the installed program")
    script = (
        f'export PATH="{program.parent}:$PATH"; eval "$(trainsim completion bash 2>/dev/null)"; '
        "compopt() { :; }; COMP_WORDS=(trainsim run quick); COMP_CWORD=2; _trainsim_completion trainsim; "
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )
    found = subprocess.run([bash, "-c", script], capture_output=True, text=True, check=False, timeout=60)
    assert "quickstart" in found.stdout.split(), found.stderr


def test_an_unknown_shell_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "csh"]) == 2
    assert "bash" in capsys.readouterr().err


def test_the_help_has_a_line_per_shell(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "--help"]) == 0
    page = capsys.readouterr().out
    lines = [line.strip() for line in page.splitlines()]
    assert "\\b" not in page
    assert "\b" not in page
    assert [line.split()[0] for line in lines if "trainsim completion" in line and "Usage" not in line] == [
        "bash",
        "zsh",
        "fish",
    ]
