"""How a run was launched where its row does not say: CUDA graphs, exchange between experts, kernels of experts.

Megatron-Bridge prints speeds release by release, and its launch configurations [1]_ changed with them: whole layers are captured
where experts are padded (25.09) or stashed in pages (26.06 and later, in MXFP8), layers without their experts in between, and
on H100 nothing. Single models differ; rows whose own configuration was read state it.

References
----------
.. [1] https://github.com/NVIDIA-NeMo/Megatron-Bridge, ``scripts/performance/configs``, read from October 2025 to October 2026.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from simulator.layout import CUDA_GRAPHS, DISPATCHERS
from simulator.validate.cells import NO, YES, SkipError, empty, flag, number, text


@dataclass(frozen=True)
class Launch:
    """Settings of a launch, as codes of the layout."""

    cuda_graphs: str = "none"
    dispatcher: str = "alltoall"
    fused_experts: int = 0
    expert_overlap: int = 0
    fp8_attention: int = 0


PADDED = Launch(cuda_graphs="full")
"""Experts of fixed size: tokens above it are dropped, and what is missing is padded."""

PARTIAL = Launch(cuda_graphs="partial", dispatcher="hybridep")

WHOLE = Launch("full", "hybridep", fused_experts=1, expert_overlap=1, fp8_attention=1)

BRIDGE = "megatron-bridge"
"""Word in the name of the framework whose releases are told apart."""

NEMO = "nemo"
"""Word in the name of the framework that Megatron-Bridge replaced."""

FIRST, LATEST = (25, 9), (26, 6)
"""Releases (year, month) before and from which whole layers of experts were captured."""

ALWAYS = ((0, 0), (99, 99))
BETWEEN = ((25, 11), (26, 5))

MODELS: tuple[
    tuple[str, tuple[str, ...], tuple[tuple[int, int], tuple[int, int]], Launch], ...
] = (
    ("grok", ("gb",), ALWAYS, PADDED),
    ("qwen3 30b", ("b200",), ((25, 9), (25, 9)), PADDED),
    ("qwen3 30b", ("b200", "b300"), BETWEEN, PARTIAL),
    ("qwen3 30b", ("h100",), ((25, 11), (26, 3)), Launch(expert_overlap=1)),
    ("qwen3 30b", ("h100",), ((26, 4), (99, 99)), Launch(dispatcher="hybridep")),
    ("qwen3 235b", ("h100",), ((25, 11), (99, 99)), Launch(expert_overlap=1)),
    ("qwen3 235b", ("b300",), ((26, 2), (26, 3)), Launch(expert_overlap=1)),
    ("deepseek", ("gb",), ((25, 9), (25, 9)), Launch()),
    ("deepseek", ("gb300",), ((26, 2), (26, 5)), Launch(dispatcher="hybridep")),
    ("deepseek", ("h100",), ALWAYS, Launch(dispatcher="deepep", expert_overlap=1)),
    ("gpt oss", ("gb200",), BETWEEN, Launch()),
    ("gpt oss", ("gb300",), BETWEEN, Launch(cuda_graphs="partial")),
    ("gpt oss", ("b300",), ((26, 2), (99, 99)), PARTIAL),
)  # fmt: skip
"""Models whose configurations differ from the others of their release: words of the name, accelerators, first and last release."""


def launch_of(row: dict[str, Any], dispatcher: str = "alltoall") -> Launch:
    """Settings of a row: those it states, else the usual ones of its framework's release.

    Parameters
    ----------
    row : dict
        A row of the table.
    dispatcher : str, optional
        How the framework usually sends tokens to their experts.

    Examples
    --------
    >>> row = {"framework": "Megatron-Bridge (Megatron-Core)", "gpu": "GB200", "precision": "mxfp8", "moe_experts": 128,
    ...        "source_ref": "docs/performance-summary.md (NeMo 26.08, Qwen3)", "cuda_graphs": "", "dispatcher": "",
    ...        "fused_experts": "", "expert_overlap": "", "fp8_attention": ""}
    >>> launch_of(row).cuda_graphs, launch_of({**row, "gpu": "H100"}).cuda_graphs
    ('full', 'none')
    """
    usual = _usual(row, dispatcher)
    return Launch(
        cuda_graphs=_graphs(row["cuda_graphs"]) or usual.cuda_graphs,
        dispatcher=_named(row, "dispatcher", DISPATCHERS) or usual.dispatcher,
        fused_experts=flag(row["fused_experts"], usual.fused_experts),
        expert_overlap=flag(row["expert_overlap"], usual.expert_overlap),
        fp8_attention=flag(row["fp8_attention"], usual.fp8_attention),
    )


def _usual(row: dict[str, Any], dispatcher: str) -> Launch:
    gpu, release = text(row["gpu"]), _release(row["source_ref"])
    bridge = BRIDGE in text(row["framework"])
    if number(row["moe_experts"], 0) < 1 or not (bridge or NEMO in text(row["framework"])):
        return Launch(dispatcher=dispatcher)
    whole = bridge and (release or FIRST) >= LATEST and text(row["precision"]) == "mxfp8"
    for words, accelerators, (first, last), launch in MODELS:
        in_time = first <= release <= last if release else (first, last) == ALWAYS
        if words in _name(row) and gpu.startswith(accelerators) and in_time and not whole:
            return launch
    if not bridge or release is None:
        return Launch(dispatcher=dispatcher)
    racks, blackwell = gpu.startswith("gb"), gpu.startswith(("gb", "b"))
    if whole and blackwell:
        return WHOLE
    if not racks:
        return Launch(dispatcher=dispatcher)
    return PADDED if release <= FIRST else PARTIAL


def _name(row: dict[str, Any]) -> str:
    """Name of a row's model in small letters, words apart."""
    return re.sub(r"[^a-z0-9]+", " ", text(row.get("model_name")))


def _release(source_ref: Any) -> tuple[int, int] | None:
    """Year and month of a release of NeMo's container in a text."""
    found = re.search(r"NeMo (\d\d)\.(\d\d)", str(source_ref))
    return (int(found[1]), int(found[2])) if found else None


def _graphs(value: Any) -> str:
    """A plain yes or no about CUDA graphs means all kernels or none."""
    word = text(value)
    if word in YES:
        return "full"
    return "none" if word in NO else _named({"cuda_graphs": value}, "cuda_graphs", CUDA_GRAPHS)


def _named(row: dict[str, Any], column: str, known: dict[str, int]) -> str:
    if empty(row[column]):
        return ""
    if text(row[column]) not in known:
        raise SkipError(f"{column} not known: {str(row[column])[:40]}", kind=f"{column} not known")
    return text(row[column])
