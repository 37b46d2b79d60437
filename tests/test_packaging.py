"""What is installed: metadata, data, entry point. `tests/check_wheel.py` does the same for a built wheel."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import simulator
from simulator import library

ROOT = Path(__file__).resolve().parent.parent


def project() -> dict:  # type: ignore[type-arg]
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_the_version_is_that_of_the_distribution() -> None:
    assert simulator.__version__ == importlib.metadata.version("trainsim")
    assert simulator.__version__ == project()["project"]["version"]


def test_the_command_is_installed() -> None:
    (entry,) = importlib.metadata.entry_points(group="console_scripts", name="trainsim")
    assert entry.value == "simulator.cli:main"


def test_the_dependencies_are_those_that_the_code_imports() -> None:
    core, extras = project()["project"]["dependencies"], project()["project"]["optional-dependencies"]
    offered = [name for extra, names in extras.items() if extra != "dev" for name in names]
    declared = {re.split(r"[><=]", name)[0].lower() for name in [*core, *offered]}
    imported = set()
    for path in (ROOT / "simulator").rglob("*.py"):
        found = re.findall(
            r"^\s*(?:from|import) (\w+)(?=[\w.]* import |[\w., ]*(?:#.*)?$)",
            path.read_text(encoding="utf-8"),
            flags=re.MULTILINE,
        )
        imported |= set(found) - set(sys.stdlib_module_names) - {"simulator"}
    names = {"yaml": "pyyaml", "pydantic_core": "pydantic"}
    assert {names.get(name, name) for name in imported} <= declared


@pytest.mark.parametrize("folder", ["hardware_specs", "scenarios", "measurements", "schemas"])
def test_the_wheel_takes_every_data_folder(folder: str) -> None:
    wheel = project()["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel["packages"] == ["simulator"]
    assert wheel["force-include"][folder] == f"simulator/_data/{folder}"
    assert f"/{folder}" in project()["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
    assert (library.packaged_root() / folder).is_dir()


def test_the_shim_runs_from_a_checkout() -> None:
    result = subprocess.run(
        [sys.executable, "cli.py", "--version"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.stdout == f"trainsim {simulator.__version__}\n"


def test_ci_runs_the_tests() -> None:
    text = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "make test" in text
    assert "set -euo pipefail" in text


def test_the_changelog_has_a_place_for_the_next_change() -> None:
    assert "## [Unreleased]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
