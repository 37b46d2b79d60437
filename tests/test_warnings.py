"""Every warning that the program can give is explained, in the documentation and in the terminal."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import simulator as sim
from simulator.cli import main
from simulator.report import explained, terminal
from simulator.search import feasibility
from simulator.search.shortfalls import LIMIT_NAMES

ROOT = Path(__file__).resolve().parent.parent
CALL = re.compile(r"\.warn\(\s*(?:\"([^\"]+)\"|(?!name)(\w+))")


def ids_in_the_source() -> set[str]:
    found = set()
    for path in (ROOT / "simulator").rglob("*.py"):
        for literal, variable in CALL.findall(path.read_text(encoding="utf-8")):
            assert not variable or variable == "DeprecationWarning", f"{path}: an id that is not written out"
            found.add(literal)
    return found - {""}


def test_the_page_and_the_source_hold_the_same_ids() -> None:
    ids = ids_in_the_source()
    assert len(ids) >= 12
    assert set(explained.warnings()) == ids


def test_no_id_is_explained_twice_and_they_are_sorted() -> None:
    text = (ROOT / "docs" / "warnings.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## (.+)$", text, flags=re.MULTILINE)
    assert headings == sorted(set(headings))
    assert all(len(body) > 60 for body in explained.warnings().values())


def test_every_reason_is_in_the_table() -> None:
    table = (ROOT / "docs" / "warnings.md").read_text(encoding="utf-8").partition("# Reasons")[2]
    listed = set(re.findall(r"^\| `(\w+)` \|", table, flags=re.MULTILINE))
    assert set(feasibility.REASONS) | set(LIMIT_NAMES.values()) | {"price", "max_gpus"} <= listed


@pytest.mark.parametrize("name", ["quickstart", "datasheet-accelerator", "mixture-of-experts"])
def test_warnings_of_answers_are_explained_and_the_page_says_where(name: str) -> None:
    result = sim.run(name)
    assert result.warnings
    assert {warning["id"] for warning in result.warnings} <= set(explained.warnings())
    assert explained.HINT in terminal.page(result.to_dict())


def test_the_command_lists_and_explains(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["warnings"]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in explained.warnings())
    assert max(map(len, listed.splitlines())) <= 100
    assert main(["warnings", "old-price"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("old-price\n")
    assert "docs/hardware.md" in shown
    assert "`" not in shown
    assert main(["warnings", "evidence", "--json"]) == 0
    assert list(json.loads(capsys.readouterr().out)) == ["evidence"]


def test_a_misspelled_id_gets_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["warnings", "old-prices"]) == 2
    assert "old-price" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("software", "vocab_size", "tp", "warned"),
    [
        ("deepspeed", 50257, 1, True),
        ("deepspeed", 50257, 2, False),
        ("deepspeed", 50304, 1, False),
        ("megatron", 50257, 1, False),  # it pads the vocabulary by itself
    ],
)
def test_a_vocabulary_that_starves_tensor_cores_is_told(
    software: str, vocab_size: int, tp: int, *, warned: bool
) -> None:
    answer = sim.run(
        {
            "find": "estimate",
            "software": software,
            "model": {
                "num_hidden_layers": 12,
                "hidden_size": 768,
                "num_attention_heads": 12,
                "vocab_size": vocab_size,
            },
            "hardware": {"accelerator": "a100-sxm-80gb", "n_gpus": 8},
            "training": {"seq_length": 1024, "global_batch_size": 64, "micro_batch_size": 8, "tokens": "10B"},
            "parallelism": {"tp": tp},
        }
    )
    assert ("ragged-vocabulary" in {each["id"] for each in answer.warnings}) == warned


def warned_of(
    *, software: str, model: dict[str, int], parallelism: dict[str, int], **training: object
) -> set[str]:
    """Ids of the warnings of a small model on a node of A100s."""
    answer = sim.run(
        {
            "find": "estimate",
            "software": software,
            "model": {"num_hidden_layers": 12, "vocab_size": 50304, **model},
            "hardware": {"accelerator": "a100-sxm-80gb", "n_gpus": 8},
            "training": {"seq_length": 1024, "global_batch_size": 64, "tokens": "10B", **training},
            "parallelism": parallelism,
        }
    )
    return {each["id"] for each in answer.warnings}


@pytest.mark.parametrize(
    ("heads", "software", "warned"),
    [(16, "deepspeed", True), (24, "deepspeed", False), (16, "megatron", False)],
)
def test_heads_that_are_no_multiple_of_eight_are_named_where_attention_is_not_fused(
    heads: int, software: str, warned: bool
) -> None:
    """Heads of 108 and of 72."""
    found = warned_of(
        software=software,
        model={"hidden_size": 1728, "num_attention_heads": heads},
        parallelism={},
        micro_batch_size=8,
        flash_attention=software != "deepspeed",
    )
    assert ("ragged-heads" in found) == warned


@pytest.mark.parametrize(
    ("micro_batch_size", "software", "flash", "warned"),
    [
        (1, "megatron", False, True),
        (2, "megatron", False, False),
        (1, "megatron", True, False),
        (1, "hf", False, False),
    ],
)
def test_a_softmax_that_is_not_fused_is_named(
    micro_batch_size: int, software: str, flash: bool, warned: bool
) -> None:
    """Two heads of a rank: one sequence makes two score matrices, Megatron's fused softmax takes four at a time."""
    found = warned_of(
        software=software,
        model={"hidden_size": 1024, "num_attention_heads": 16},
        parallelism={"tp": 8, "pp": 1},
        micro_batch_size=micro_batch_size,
        flash_attention=flash,
    )
    assert ("unfused-softmax" in found) == warned


@pytest.mark.parametrize(("layers", "tokens_per_step", "warned"), [(2, 8, True), (32, 512, False)])
def test_a_step_that_its_fixed_time_rules_is_told(layers: int, tokens_per_step: int, *, warned: bool) -> None:
    answer = sim.run(
        {
            "find": "estimate",
            "software": "torchtitan",
            "model": {
                "num_hidden_layers": layers,
                "hidden_size": 2048,
                "num_attention_heads": 16,
                "vocab_size": 32000,
            },
            "hardware": {"accelerator": "h100-sxm-80gb", "n_gpus": 8},
            "training": {
                "seq_length": 2048,
                "global_batch_size": tokens_per_step,
                "micro_batch_size": 1,
                "tokens": "10B",
            },
        }
    )
    assert ("fixed-time" in {each["id"] for each in answer.warnings}) == warned


@pytest.mark.parametrize(
    ("micro_batch_size", "graphs", "accelerator", "warned"),
    [
        (1, "none", "h100-sxm-80gb", True),
        (1, "full", "h100-sxm-80gb", False),
        (16, "none", "h100-sxm-80gb", False),
        (1, "none", "tpu-v5p", False),
    ],
)
def test_a_host_that_holds_up_the_device_is_told_with_what_graphs_would_save(
    micro_batch_size: int, graphs: str, accelerator: str, *, warned: bool
) -> None:
    answer = sim.run(
        {
            "find": "estimate",
            "software": "maxtext" if accelerator.startswith("tpu") else "megatron",
            "model": {
                "num_hidden_layers": 24,
                "hidden_size": 1024,
                "num_attention_heads": 16,
                "vocab_size": 32000,
            },
            "hardware": {"accelerator": accelerator, "n_gpus": 8},
            "training": {
                "seq_length": 2048,
                "global_batch_size": 128,
                "micro_batch_size": micro_batch_size,
                "recompute": "none",
                "tokens": "10B",
                "cuda_graphs": graphs,
            },
            "parallelism": {"tp": 1, "pp": 1},
        }
    )
    told = [each["message"] for each in answer.warnings if each["id"] == "host-bound"]
    assert bool(told) == warned
    if told:
        step = answer.answer["step_time_s"]
        assert f"instead of {step:.2g} s" in told[0]
