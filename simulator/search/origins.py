"""What each figure of an answer rests on: kinds of sources, and what to write where it is not known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

SPEED = ("accelerator", "cluster", "clock and calibration")
USEFUL = ("goodput", "failures of accelerators", "interruptions")
LENGTH = (*SPEED, *USEFUL)
"""What the length of a run rests on, and the tokens that fit into a limit."""
DRAW = ("accelerator", "cluster")
"""What power, cooling and the grid rest on."""
PRICE = ("price",)
LAW = ("law of loss", "law of shape")
TASKS = ("accuracy of tasks", "error over 46 tasks")

_OF_A_STEP = (
    "step_time_s tokens_per_s tokens_per_s_per_gpu model_tflops_per_gpu mfu hfu mfu_of_bf16_peak mfu_by_convention "
    "breakdown"
)
_OF_THE_DEVICE = "accelerator peak_tflops peak_precision memory_capacity_gib memory_margin_gib memory_verdict latency_s serving_gpu_hours"

SOURCES: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(_OF_A_STEP.split(), SPEED),
    **dict.fromkeys(_OF_THE_DEVICE.split(), ("accelerator",)),
    "power_per_gpu_w": DRAW,
    "goodput": USEFUL,
    **dict.fromkeys("tokens steps tokens_per_param epochs".split(), LENGTH),
    **dict.fromkeys("time_to_train_days gpu_hours lifetime_gpu_hours energy_mwh co2e_t".split(), LENGTH),
    **dict.fromkeys("usd_per_gpu_hour offer".split(), PRICE),
    "serving_cost_usd": (*PRICE, "accelerator"),
    **dict.fromkeys("cost_usd usd_per_m_tokens lifetime_cost_usd".split(), (*PRICE, *LENGTH)),
    **dict.fromkeys("loss loss_law shape_law".split(), LAW),
    "quality": (*TASKS, *LAW),
    "evidence": ("clock and calibration",),
}
"""Figure of an answer, to the kinds of sources that it rests on; a figure that is not here is written or counted."""

ENDS = "tokens steps time_to_train_days gpu_hours cost_usd usd_per_m_tokens energy_mwh co2e_t loss".split()
"""Figures that a run without an end does not have."""

MISSING = {
    **dict.fromkeys(
        "cost_usd usd_per_gpu_hour usd_per_m_tokens serving_cost_usd lifetime_cost_usd".split(),
        "no price is known; write hardware.price, such as $2.50/GPU-h",
    ),
    **dict.fromkeys(
        ("energy_mwh", "power_per_gpu_w"),
        "the accelerator's power is not known; write its tdp, such as 700 W",
    ),
    "co2e_t": "write hardware.grid_intensity, such as 380 gCO2e/kWh",
    "loss": "no loss is predicted; the warnings say why",
    "batch_factor": "laws of loss are for training from scratch",
}
"""What to write for a figure that an answer does not know."""


def unknown(answer: Mapping[str, Any], key: str) -> str:
    """Why an answer does not know a figure, and what to write; empty if nothing is to be said.

    Examples
    --------
    >>> unknown({"tokens": 1e12, "co2e_t": None, "energy_mwh": 3.0}, "co2e_t")
    'write hardware.grid_intensity, such as 380 gCO2e/kWh'
    """
    if key in ENDS and answer.get("tokens") is None:
        return "nothing ends the run; write training.tokens, or a limit such as budget.time"
    if key == "co2e_t" and answer.get("energy_mwh") is None:
        return MISSING["energy_mwh"]
    return MISSING.get(key, "")


def interval_words(bounds: Sequence[float] | None) -> str:
    """An interval in words; nothing where both of its ends are one, as of what is given or limited.

    Examples
    --------
    >>> interval_words([3.5165, 4.5002]), interval_words([2e12, 2e12])
    ('80 % interval: 3.5165 to 4.5002', '')
    """
    if not bounds:
        return ""
    low, high = (f"{value:.6g}" for value in bounds)
    return "" if low == high else f"80 % interval: {low} to {high}"


def sources(
    answer: Mapping[str, Any], listed: Sequence[Mapping[str, str]], asked: Mapping[str, Any], key: str
) -> list[Mapping[str, str]]:
    """The sources that a figure of an answer rests on, most telling first.

    Parameters
    ----------
    answer, listed, asked
        ``answer``, ``sources`` and ``scenario`` of a result.
    key : str
        Figure of the answer.
    """
    out = []
    for kind in _kinds(answer, asked, key):
        found = [each for each in listed if each["what"] == kind or each["what"].startswith(f"{kind} ")]
        out += _own(answer, asked, kind, found)
    return out


def _kinds(answer: Mapping[str, Any], asked: Mapping[str, Any], key: str) -> tuple[str, ...]:
    """Kinds of sources of a figure, without those of a run's length where it is not predicted."""
    kinds = SOURCES.get(key, ())
    spans = answer.get("interval") or {}
    if key in ("tokens", "steps", "tokens_per_param", "epochs"):
        training = asked.get("training") or {}
        if training.get("tokens") or training.get("steps"):
            return ()
        return kinds if interval_words(spans.get("tokens")) else LAW
    if "goodput" in kinds and key != "goodput" and not interval_words(spans.get("time_to_train_days")):
        kept = DRAW if key in ("energy_mwh", "co2e_t") else ()
        return tuple(kind for kind in kinds if kind in kept or kind not in LENGTH)
    return kinds


def _own(
    answer: Mapping[str, Any], asked: Mapping[str, Any], kind: str, found: list[Mapping[str, str]]
) -> list[Mapping[str, str]]:
    """Of sources of one kind those of the answer's accelerator: its own, its offer's price, the clusters that it stands in."""
    label = answer["accelerator"]
    if kind == "cluster":
        own = [each for each in asked.get("hardware") or [] if _label(each["accelerator"]) == label]
        racks = {_label(each["cluster"]) for each in own if each.get("cluster")}
        return [each for each in found if each["what"].removeprefix("cluster ") in racks]
    if kind not in ("accelerator", "price"):
        return found
    found = [each for each in found if each["what"].endswith(f" {label}")]
    offer = answer.get("offer")
    offered = [each for each in found if offer and each["source"].startswith(str(offer))]
    return offered or found


def _label(spec: Any) -> Any:
    """Id or name of a specification in the echo of a scenario."""
    return (spec.get("id") or spec.get("name")) if isinstance(spec, Mapping) else spec
