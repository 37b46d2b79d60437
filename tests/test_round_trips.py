"""Published configurations: in, answered, out again to the same program, and in once more."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from simulator import documents
from simulator.exporters import export, plan_of
from simulator.importers.read import read_file
from simulator.schema import load_scenario
from simulator.simulate import run
from simulator.yamlio import Document

DATA = Path(__file__).parent / "data" / "importers"

ALONE = {"parallelism.tp": 1, "parallelism.pp": 1}
"""DeepSpeed's file holds no pipeline; the planner might choose one."""

PUBLISHED: list[tuple[str, int | None, dict[str, Any]]] = [
    ("megatron_gpt3_175b.sh", 1024, {"model.vocab_size": 51200}),
    ("megatron_mixtral.sh", None, {}),
    ("megatron_tp2_pp2.yaml", 8, {"model.vocab_size": 51200}),
    ("megatron_llama3_8b_fp8.sh", 8, {}),
    ("torchtitan_llama3_70b.toml", 64, {}),
    ("torchtitan_llama3_405b.toml", 512, {}),
    ("torchtitan_llama3_8b_2024.toml", 8, {}),
    ("nanotron_tiny_llama.yaml", None, {}),
    ("nanotron_llama3.2_3b.yaml", None, {}),
    ("nanotron_moe.yaml", None, {}),
    ("deepspeed_zero3.json", 16, {"model": "llama-2-7b", "training.seq_length": 2048}),
    ("deepspeed_llama_70b.json", None, {"model": "llama-2-70b", "training.seq_length": 2048, **ALONE}),
    ("deepspeed_offload.json", None, {"model": "gpt2", "training.seq_length": 1024}),
]
"""File, accelerators where it does not say, and what else it leaves to its user."""

PROGRAM = {
    "megatron": "megatron",
    "torchtitan": "torchtitan",
    "nanotron": "nanotron",
    "deepspeed": "deepspeed",
}
NAMES = "tp pp cp ep".split()


def answered(name: str, n_gpus: int | None, more: dict[str, Any]) -> tuple[Any, Any]:
    read = read_file(DATA / name, n_gpus=n_gpus)
    data: dict[str, Any] = {**read.data, "name": name}
    # Memory is no matter here: a machine on which every published layout fits.
    roomy = {"extends": "b300-sxm-288gb", "name": "roomy", "memory": "4000 GB", "memory_usable": "4000 GB"}
    data["hardware"] = {**data.get("hardware", {}), "accelerator": roomy}
    document = Document(data=data)
    for path, value in more.items():
        document = documents.put(document, path, value)
    if not document.data["training"].get("steps"):
        document = documents.put(document, "training.tokens", "1B")
    scenario = load_scenario(document.data)
    return scenario, run(scenario)


@pytest.mark.parametrize(("name", "n_gpus", "more"), PUBLISHED, ids=[name for name, _, _ in PUBLISHED])
def test_a_published_layout_comes_back(
    name: str, n_gpus: int | None, more: dict[str, Any], tmp_path: Path
) -> None:
    scenario, result = answered(name, n_gpus, more)
    assert result.feasible, result.infeasible
    program = PROGRAM[name.split("_")[0]]
    written = export(plan_of(scenario, result), program)
    path = tmp_path / (written.filename or name)
    path.write_text(written.text)
    again = read_file(path, n_gpus=result.answer["n_gpus"], kind=None if path.suffix == ".sh" else program)
    for degree in NAMES:
        asked = getattr(scenario.parallelism, degree)
        back = (again.data.get("parallelism") or {}).get(degree) or 1
        if asked is not None and not (program == "deepspeed" and degree != "tp"):
            assert back == asked, degree
    training = again.data["training"]
    for figure in ("micro_batch_size", "global_batch_size"):
        assert training[figure] == result.answer[figure]
    if scenario.training.batch_sequences is not None:
        assert training["global_batch_size"] == scenario.training.batch_sequences


def test_every_program_has_three() -> None:
    for program in PROGRAM:
        assert sum(name.startswith(program) for name, _, _ in PUBLISHED) >= 3
