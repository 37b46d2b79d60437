"""The library: where specifications are looked for, and by which names."""

from __future__ import annotations

import json
import os
import subprocess
import sys
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


@pytest.mark.parametrize(
    ("kind", "names", "expected"),
    [
        ("accelerators", ["h100-80gb", "h100_80gb", "H100 80GB", "h100.80gb", "h10080gb"], "h100-sxm-80gb"),
        ("accelerators", ["a100-40gb", "A100_40GB", "a10040gb", "A100-SXM4-40GB"], "a100-sxm-40gb"),
        ("accelerators", ["RTX4090", "rtx-4090", "NVIDIA GeForce RTX 4090", "rtx409024gb"], "rtx-4090-24gb"),
        ("accelerators", ["TPU v4", "tpuv4", "TPU_V4"], "tpu-v4"),
        ("accelerators", ["MI300X", "mi300x 192gb", "AMD Instinct MI300X"], "mi300x-oam-192gb"),
        ("accelerators", ["L4", "l4-24gb", "NVIDIA L4"], "l4-24gb"),
        ("accelerators", ["L40", "L40 48GB", "l4048gb"], "l40-48gb"),
        ("clusters", ["p5.48xlarge", "P5-48xlarge", "aws p5", "AWS_P5"], "aws-p5"),
        ("clusters", ["NVL72", "gb200-nvl72", "GB200 NVL72", "gb200nvl72"], "gb200-nvl72"),
        ("clusters", ["ND96isr_H100_v5", "nd96isr-h100-v5"], "azure-nd-h100-v5"),
        ("models", ["opt-1.3b", "OPT 1.3B", "facebook/opt-1.3b", "opt-1-3b", "opt_1_3b"], "opt-1.3b"),
        ("models", ["opt-13b", "OPT 13B", "facebook/opt-13b", "opt13b"], "opt-13b"),
        (
            "models",
            ["llama-3.1-8b", "llama 3.1 8b", "Llama3.1-8B", "llama-3-1-8b", "llama3-8b"],
            "llama-3.1-8b",
        ),
        ("models", ["llama-2-7b", "Llama 2 7B", "llama_2_7b", "llama2-7b", "llama-7b"], "llama-2-7b"),
        ("models", ["qwen2.5-7b", "Qwen2.5 7B", "qwen-2.5-7b", "qwen2-5-7b"], "qwen2.5-7b"),
        ("models", ["gemma-2-2b", "Gemma 2 2B", "gemma2-2b", "google/gemma-2-2b-it"], "gemma-2-2b"),
        ("models", ["gemma-2b", "gemma2b", "google/gemma-2b-it"], "gemma-2b"),
        ("models", ["mixtral-8x7b", "Mixtral 8x7B", "mistralai/Mixtral-8x7B-Instruct-v0.1"], "mixtral-8x7b"),
        ("models", ["gpt-3-175b", "gpt3-175b", "GPT-3", "gpt3"], "gpt-3-175b"),
        (
            "models",
            ["meta-llama/Llama-3.1-8B-Instruct", "Meta-Llama/Meta-Llama-3-8B-Instruct"],
            "llama-3.1-8b",
        ),
        ("models", ["meta-llama/Llama-2-13b-chat-hf", "huggyllama/llama-13b"], "llama-2-13b"),
        ("models", ["deepseek-ai/deepseek-moe-16b-chat"], "deepseek-moe-16b"),
        ("models", ["google/gemma-3-12b-it", "gemma-3-12b-it"], "gemma-3-12b"),
    ],
)
def test_spellings_of_a_name(kind: str, names: list[str], expected: str) -> None:
    assert {name: library.find(kind, name).stem for name in names} == dict.fromkeys(names, expected)


@pytest.mark.parametrize(
    "name",
    [
        "qwen2-57b",
        "gemma-22b",
        "pythia-14b",
        "qwen2.5-15b",
        "olmo-27b",
        "llama27b",
        "llama-2.7b",
        "-instruct",
        "it",
    ],
)
def test_the_size_of_a_model_is_read_exactly(name: str) -> None:
    with pytest.raises(UnknownNameError):
        library.find("models", name)


def test_a_loose_spelling_of_two_machines_is_refused(home: Path) -> None:
    for number, alias in enumerate(["Zeta 10-24", "Zeta 102-4"]):
        (home / f"extra/accelerators/card-{number}.yaml").write_text(CARD.replace("MyCard 5000", alias))
    assert library.find("accelerators", "zeta-102-4").stem == "card-1"
    with pytest.raises(UnknownNameError) as caught:
        library.find("accelerators", "zeta1024")
    assert {"card-0", "card-1"} <= set(caught.value.suggestions)


@pytest.mark.parametrize("kind", [k for k in library.KINDS if k != "measurements"])
def test_every_id_and_alias_finds_its_own_file(kind: str) -> None:
    for path in library.files(kind):
        for text in [path.stem, *library._aliases_of(path)]:
            if text.endswith((".yaml", ".json")):
                continue
            for spelling in (text, text.upper(), text.replace("-", "_"), text.replace("-", " ")):
                assert library.find(kind, spelling) == path, spelling


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


def test_a_missing_folder_of_the_search_path_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    missing, file = tmp_path / "missing", tmp_path / "file"
    file.write_text("")
    monkeypatch.setattr(library, "_TOLD", set())
    monkeypatch.setenv("TRAINSIM_PATH", f"{missing}:{file}:{tmp_path}")
    assert library.search_path() == [missing, file, tmp_path]
    for _ in range(2):
        library.names("accelerators")
        library.names("models")
    assert caplog.messages == [
        f"TRAINSIM_PATH: {missing} does not exist",
        f"TRAINSIM_PATH: {file} is no folder",
    ]


def test_a_shell_that_completes_is_not_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(library, "_TOLD", set())
    monkeypatch.setenv("TRAINSIM_PATH", str(tmp_path / "missing"))
    monkeypatch.setenv("_TRAINSIM_COMPLETE", "bash_complete")
    library.names("models")
    assert not caplog.messages


def test_the_line_goes_to_stderr_and_json_stays_clean(tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    found = subprocess.run(
        [sys.executable, "-m", "simulator.cli", "hardware", "show", "h100-sxm-80gb", "--json"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "TRAINSIM_PATH": str(missing)},
    )
    assert found.stderr == f"TRAINSIM_PATH: {missing} does not exist\n"
    json.loads(found.stdout)
