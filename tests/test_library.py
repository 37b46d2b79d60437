"""The library: where specifications are looked for, and by which names."""

from __future__ import annotations

from pathlib import Path

import pytest

from simulator import library
from simulator.errors import SpecError, UnknownNameError
from simulator.schema import load_accelerator

CARD = """
name: My card
aliases: [MyCard 5000]
memory: 24 GB
memory_bandwidth: 1 TB/s
peak_flops: {bf16: 100 TFLOP/s}
source: its datasheet, page 2
retrieved: 2026-11-21
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty user folder, search path and working folder."""
    for name in ("user", "extra", "cwd"):
        (tmp_path / name / "accelerators").mkdir(parents=True)
    (tmp_path / "user" / "trainsim" / "accelerators").mkdir(parents=True)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "user"))
    monkeypatch.setenv("TRAINSIM_PATH", str(tmp_path / "extra"))
    monkeypatch.chdir(tmp_path / "cwd")
    return tmp_path


@pytest.mark.parametrize(
    "name",
    ["h100-sxm-80gb", "H100-SXM-80GB", "h100 sxm 80gb", "H100_SXM_80GB", "H100", "NVIDIA H100 80GB HBM3"],
)
def test_ids_and_aliases_ignore_case_and_separators(name: str) -> None:
    assert library.find("accelerators", name).stem == "h100-sxm-80gb"


@pytest.mark.parametrize("kind", [k for k in library.KINDS if k != "measurements"])
def test_no_two_files_of_a_kind_answer_to_one_name(kind: str) -> None:
    owners: dict[str, str] = {library.normalise(path.stem): path.stem for path in library.files(kind)}
    for path in library.files(kind):
        for alias in library._aliases_of(path):
            owner = owners.setdefault(library.normalise(alias), path.stem)
            assert owner == path.stem, f"{alias} belongs to {owner} and {path.stem}"


def test_an_unknown_name_suggests_ids() -> None:
    with pytest.raises(UnknownNameError) as caught:
        library.find("accelerators", "h10-sxm-80gb")
    assert caught.value.suggestions[0] == "h100-sxm-80gb"
    assert set(caught.value.suggestions) <= set(library.names("accelerators"))


@pytest.mark.parametrize("name", ["", "---", "\0", "x" * 100_000, "..", "~", "%s", "h100\n"])
def test_odd_names_are_unknown_not_a_crash(name: str) -> None:
    if library.normalise(name) == "h100":
        assert library.find("accelerators", name).stem == "h100-sxm-80gb"
        return
    with pytest.raises((UnknownNameError, SpecError)):
        library.find("accelerators", name)


def test_an_unknown_kind() -> None:
    with pytest.raises(UnknownNameError, match="accelerators"):
        library.find("accelerator", "h100")


def test_the_users_file_hides_the_shipped_one(home: Path) -> None:
    (home / "user/trainsim/accelerators/h100-sxm-80gb.yaml").write_text(CARD)
    assert load_accelerator("h100-sxm-80gb").name == "My card"
    (home / "extra/accelerators/h100-sxm-80gb.yaml").write_text(CARD.replace("My card", "On the path"))
    assert load_accelerator("h100-sxm-80gb").name == "On the path"


def test_a_card_of_ones_own_is_found_by_id_alias_and_path(home: Path) -> None:
    path = home / "extra/accelerators/my-card.yaml"
    path.write_text(CARD)
    for name in ("my-card", "mycard5000", str(path), "../extra/accelerators/my-card.yaml"):
        card = load_accelerator(name)
        assert card.id == "my-card"
        assert card.memory == 24e9
        assert not card.measured


def test_a_card_may_extend_a_shipped_one(home: Path) -> None:
    path = home / "cwd/h100-96.yaml"
    path.write_text("extends: h100-sxm-80gb\nname: H100 96\nmemory: 96 GB\nmemory_bandwidth: 2.4 TB/s\n")
    card = load_accelerator("h100-96.yaml")
    parent = load_accelerator("h100-sxm-80gb")
    assert (card.id, card.memory, card.aliases, card.measured) == ("h100-96", 96e9, (), False)
    assert card.peak_flops == parent.peak_flops


def test_a_path_that_does_not_exist(home: Path) -> None:
    with pytest.raises(SpecError, match=r"no such file|there is no folder"):
        library.find("accelerators", "./nowhere/card.yaml")


def test_a_broken_file_does_not_hide_the_others(home: Path) -> None:
    (home / "extra/accelerators/broken.yaml").write_text("a: [1")
    (home / "extra/accelerators/binary.yaml").write_bytes(b"\xff\x00H100")
    assert load_accelerator("H100").id == "h100-sxm-80gb"
    with pytest.raises(SpecError, match="not valid YAML"):
        load_accelerator("broken")


def test_measurements_are_found_by_name() -> None:
    for name in library.names("measurements"):
        assert library.find("measurements", name).suffix == ".csv"


def test_what_ships_is_found_from_any_folder(home: Path) -> None:
    assert "h100-sxm-80gb" in library.names("accelerators")
    assert (library.packaged_root() / "hardware_specs").is_dir()


def test_an_alias_with_a_slash_is_no_path() -> None:
    assert library.find("models", "meta-llama/Llama-2-7b-hf").stem == "llama-2-7b"
    with pytest.raises(UnknownNameError):
        library.find("models", "meta-llama/Llama-2-9000b")


def test_a_missing_parent_is_shown_where_a_user_names_it(home: Path) -> None:
    path = home / "cwd/card.yaml"
    path.write_text("name: Card\nextends: ./nothing.yaml\n")
    with pytest.raises(SpecError) as caught:
        load_accelerator("card.yaml")
    (problem,) = caught.value.problems
    assert (problem.line, problem.column) == (2, 10)
    assert "no such file" in problem.reason
    path.write_text("name: Card\nextends: h10-sxm-80gb\n")
    with pytest.raises(SpecError, match="did you mean h100-sxm-80gb"):
        load_accelerator("card.yaml")
