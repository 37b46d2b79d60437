"""The sections of an answer, each a list of lines from plain data."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from simulator.energy import CARBON, ENERGY, rung
from simulator.report import goals, places
from simulator.report.decision import DAY, batch_words, days, layout_words, shape_words
from simulator.report.explained import HINT
from simulator.report.text import (
    bar,
    duration,
    number,
    page_width,
    percent,
    plural,
    quantity,
    span,
    table,
    wrap,
)

Document = Mapping[str, Any]

LEAST = 0.005
"""Levels below this share of a step are added up. [-]"""

LABEL = 11
"""Width of the labels of a line. [columns]"""

LEVELS = {
    "tiles": "matrix products: operands into the units",
    "compute": "arithmetic at a share of the peak",
    "roofline": "arithmetic or memory, the slower",
    "attention": "attention",
    "memory": "device memory: norms, activations",
    "tensor_parallel": "links: tensor parallelism",
    "context_parallel": "links: context parallelism",
    "expert_parallel": "links: tokens to experts and back",
    "host": "kernel launches that are not hidden, gaps",
    "logits": "output layer and loss",
    "pipeline_bubble": "waiting for other pipeline stages",
    "pipeline_send": "network: between pipeline stages",
    "data_parallel": "network: gradients, weights, not hidden",
    "optimizer": "optimizer step",
    "overhead": "fixed cost of a step",
}
"""Level of the clock, to what is copied there."""

CATEGORIES = {
    "weights": "weights",
    "gradients": "gradients",
    "optimizer": "optimizer states and master weights",
    "activations": "activations kept for the backward pass",
    "logits": "logits and their gradient",
    "gathered": "weights gathered for use",
    "communication": "communication buffers",
    "fragmentation": "allocator: fragmentation and reserve",
    "context": "driver and libraries",
}
"""Category of memory, in words."""

CONVENTIONS = {
    "megatron": "attention whole, logits in",
    "maxtext": "causal attention halved",
    "palm": "12 L H T attention, as in PaLM",
    "6N": "6 x parameters, no attention",
}
"""FLOP convention, in words."""


def labelled(label: str, text: str) -> list[str]:
    """A label and a paragraph beside it."""
    lines = wrap(text, indent=LABEL, hang=LABEL)
    return [f"{label:<{LABEL}}{lines[0][LABEL:]}", *lines[1:]] if lines else []


def plan(answer: Document) -> list[str]:
    """Model, run and layout."""
    size = f"{quantity(answer['params'], 'parameter')} parameters"
    if answer["active_params"] != answer["params"]:
        size += f", {quantity(answer['active_params'], 'parameter')} active per token"
    size += f", {quantity(answer['non_embedding_params'], 'parameter')} without embeddings"
    out = labelled("Model", f"{shape_words(answer)}; {size}")
    run = f"{batch_words(answer)}, {answer['precision']}, {answer['optimizer']}"
    if answer["tokens"] is not None:
        each = number(answer["tokens_per_param"], 2)
        kind = "active parameter" if answer["active_params"] != answer["params"] else "parameter"
        run = f"{quantity(answer['tokens'], 'token')} tokens ({each} per {kind}), {number(answer['steps'])} steps; {run}"
    if answer.get("unique_tokens"):
        run += f"; {quantity(answer['unique_tokens'], 'token')} distinct tokens, {number(answer['epochs'], 2)} epochs"
    out += labelled("Run", run)
    return out + labelled("Layout", layout_words(answer))


def spending(answer: Document) -> list[str]:
    """Time, cost, energy: interval first, then the point."""
    bounds = answer["interval"]
    point = f"{span(bounds['step_time_s'], 'second', top='s')} per step (point {quantity(answer['step_time_s'], 'second', top='s')})"
    speed = f"{number(answer['tokens_per_s_per_gpu'])} tokens/s per accelerator, {number(answer['tokens_per_s'])} in all"
    out = labelled("Step", f"{point}; {speed}")
    if answer["time_to_train_days"] is None:
        return out
    took = duration(answer["time_to_train_days"] * DAY)
    shown = days(bounds["time_to_train_days"])
    hours = f"{number(answer['gpu_hours'])} accelerator-hours"
    useful = f"{percent(answer['goodput'], 4)} of it useful steps"
    out += labelled(
        "Time",
        f"{shown} (point {took}); {hours}; {useful}" if shown != took else f"{took}; {hours}; {useful}",
    )
    return out + labelled("Cost", cost(answer)) + labelled("Energy", energy(answer))


def cost(answer: Document) -> str:
    """Money in one line."""
    if answer["cost_usd"] is None:
        return "no price is known; write hardware.price, such as $2.50/GPU-h"
    shown, point = span(answer["interval"]["cost_usd"], "USD"), quantity(answer["cost_usd"], "USD")
    text = f"{shown} (point {point})" if " to " in shown else point
    text += f"; ${answer['usd_per_gpu_hour']:.2f} per accelerator-hour"
    text += f" ({answer['offer']})" if answer.get("offer") else ""
    text += f", {quantity(answer['usd_per_m_tokens'], 'USD', 2)} per million tokens"
    if answer.get("inference_tokens"):
        served = quantity(answer["inference_tokens"], "token")
        text += f"; serving {served} tokens {quantity(answer['serving_cost_usd'], 'USD')}"
        text += f", in all {quantity(answer['lifetime_cost_usd'], 'USD')}"
    return "; ".join(filter(None, (text, places.outlay_words(answer))))


def energy(answer: Document) -> str:
    """Energy in one line; empty where the run has no end that would tell it."""
    if answer["energy_mwh"] is None:
        powerless = answer["power_per_gpu_w"] is None and answer["gpu_hours"] is not None
        return "no power is known; write the accelerator's tdp, such as 700 W" if powerless else ""
    mwh, tons = answer["energy_mwh"], answer.get("co2e_t")
    unit, size = rung(mwh, ENERGY)
    text = f"{number(mwh / size)} {unit} at {number(answer['power_per_gpu_w'])} W per accelerator"
    if tons is None:
        return text
    unit, size = rung(tons, CARBON)
    return f"{text}, {number(tons / size)} {unit} CO2e"


def utilisation(answer: Document) -> list[str]:
    """MFU with its convention and the peak below it; HFU apart."""
    peak = f"{number(answer['peak_tflops'])} TFLOP/s, the dense {answer['peak_precision']} peak"
    counted = CONVENTIONS.get(answer["flop_convention"], "")
    text = f"{percent(answer['mfu'], 3)} of {peak}: {number(answer['model_tflops_per_gpu'])} TFLOP/s per accelerator, "
    text += f"{answer['flop_convention']} convention ({counted})"
    others = answer.get("mfu_by_convention") or {}
    rest = ", ".join(
        f"{percent(v, 3)} {name}" for name, v in others.items() if name != answer["flop_convention"]
    )
    out = labelled("MFU", text + (f"; other conventions: {rest}" if rest else ""))
    return out + labelled("HFU", f"{percent(answer['hfu'], 3)}, recomputed work counted")


def gib(value: float) -> str:
    """Memory to a tenth; what is smaller with three digits.

    Examples
    --------
    >>> gib(146.73), gib(59.06), gib(0.03456)
    ('146.7', '59.1', '0.0346')
    """
    return f"{value:,.1f}" if value >= 10 else number(value)


def memory_head(answer: Document) -> tuple[str, str, str]:
    """Peak, verdict and margin."""
    used = f"{gib(answer['memory_gib'])} of {gib(answer['memory_capacity_gib'])} GiB"
    margin = f"margin {number(answer['memory_margin_gib'], 2)} GiB"
    return used, answer["memory_verdict"], margin


def memory(answer: Document) -> list[str]:
    """Categories of the peak, with bars over the capacity."""
    parts, capacity = answer.get("memory") or {}, answer["memory_capacity_gib"]
    full = max(capacity, answer["memory_gib"])
    names = {name: CATEGORIES.get(name, name) for name in parts}
    wide = _bar_room(max(map(len, names.values()), default=0) + NUMBERS, 30)
    rows = [
        (names[name], f"{gib:.1f}", percent(gib / answer["memory_gib"]), bar(gib / full, wide))
        for name, gib in parts.items()
        if gib >= 0.05
    ]
    rest = sum(gib for gib in parts.values() if gib < 0.05)
    if rest >= 0.05:
        rows.append(("other", f"{rest:.1f}", percent(rest / answer["memory_gib"]), ""))
    rows.append(("total", f"{answer['memory_gib']:.1f}", "100 %", ""))
    return table(("on the fullest device", "GiB", "", ""), rows, left=(0, 3))


def breakdown(answer: Document) -> list[str]:
    """Step time by level of the copies; the rows sum to the step time."""
    levels, total = answer.get("breakdown") or {}, answer["step_time_s"]
    shown = {name: value for name, value in levels.items() if value >= LEAST * total}
    decimals = max(1, 2 - math.floor(math.log10(total)))
    words = max((len(LEVELS.get(name, "")) for name in shown), default=0)
    wide = _bar_room(max(map(len, shown), default=0) + NUMBERS + words + 2, 20)
    rows = [
        (
            name,
            f"{value:.{decimals}f}",
            percent(value / total),
            bar(value / total, wide),
            LEVELS.get(name, ""),
        )
        for name, value in sorted(shown.items(), key=lambda item: -item[1])
    ]
    rest = total - sum(shown.values())
    if len(shown) < len(levels) and rest > 0:
        rows.append(
            ("other", f"{rest:.{decimals}f}", percent(rest / total), "", "levels below half a percent")
        )
    rows.append(("total", f"{total:.{decimals}f}", "100 %", "", ""))
    if not wide:
        return table(("level", "s", "", ""), [(*row[:3], row[4]) for row in rows], left=(0, 3))
    return table(("level", "s", "", "", ""), rows, left=(0, 3, 4))


NUMBERS = 20
"""Margin, gaps, a number and a share of a line with a bar. [columns]"""

SHORTEST_BAR = 5
"""No bar is drawn where there is less room. [columns]"""


def _bar_room(taken: int, most: int) -> int:
    """Columns of a bar beside what a line holds already; none where it would wrap."""
    room = min(most, page_width() - taken)
    return room if room >= SHORTEST_BAR else 0


def loss(document: Document) -> list[str]:
    """Loss: differences first, then the absolute value with its law, corpus and error."""
    answer = document["answer"]
    if answer["loss"] is None:
        return []
    out = []
    # Layouts of the answer's own model end at its loss but for the tokens that their speed is worth.
    others = [
        row for row in document["alternatives"] if row.get("loss") is not None and row.get("kind") != "layout"
    ]
    gaps = [row["loss"] - answer["loss"] for row in others]
    gaps = [gap for gap in gaps if abs(gap) > 1e-6]
    # Where some lost in spite of a lower loss, another figure decides and the next loss says nothing.
    if gaps and min(gaps) > 0:
        gap = f"{min(gaps):.4f}" if min(gaps) >= 5e-5 else "less than 0.0001"
        out += wrap(f"The next best plan that differs is {gap} nats/token worse.", indent=2, hang=2)
    family = document.get("family") or {}
    if family.get("text") and "layouts" not in family:
        out += wrap(family["text"][:1].upper() + family["text"][1:] + ".", indent=2, hang=2)
    law = next((s["source"] for s in document["sources"] if s["what"].startswith("law of loss")), "")
    shape = f" with {answer['shape_law']} for depth and width" if answer.get("shape_law") else ""
    text = f"{span(answer['interval']['loss'], '')} nats/token (point {answer['loss']:.3f}) by {answer['loss_law']}{shape}"
    out += wrap(text + (f": {law}." if law else "."), indent=2, hang=2)
    if answer.get("batch_factor") is not None and answer["batch_factor"] < 0.995:
        text = f"The batch costs {percent(1 - answer['batch_factor'])} of the tokens: it is above the critical batch."
        out += wrap(text, indent=2, hang=2)
    return out


ALTERNATIVE_HEADS = (
    *("model", "GPUs", "GBS", "MBS", "seq", "TP", "PP", "CP", "EP", "VP"),
    *("step s", "TFLOP/s", "tok/s", "cost", "loss"),
)
"""The column order of NVIDIA's performance pages; TFLOP/s and tokens/s per accelerator."""


def alternative_heads(document: Document) -> tuple[str, ...]:
    """Heads of a table of alternatives: what was to be low stands before the cost."""
    return (*ALTERNATIVE_HEADS[:-2], *(head for head, _ in goals.aims(document)), *ALTERNATIVE_HEADS[-2:])


def alternative_row(row: Document, name: str, aims: Sequence[tuple[str, Any]] = ()) -> tuple[str, ...]:
    """One plan as cells; `aims` as of `simulator.report.goals.aims`."""
    loss_text = "-" if row.get("loss") is None else f"{row['loss']:.3f}"
    cost_text = quantity(row["cost_usd"], "USD") if row.get("cost_usd") is not None else "-"
    return (
        name,
        *(str(row[k]) for k in ("n_gpus", "global_batch_size", "micro_batch_size", "seq_length")),
        *(str(row[k]) for k in ("tp", "pp", "cp", "ep", "vp")),
        number(row["step_time_s"]),
        number(row["model_tflops_per_gpu"]),
        number(row["tokens_per_s_per_gpu"]),
        *(cell(row) for _, cell in aims),
        cost_text,
        loss_text,
    )


def plan_name(row: Document, answer: Document) -> str:
    """What tells a plan apart: its accelerator if that differs, else its model."""
    if row["accelerator"] != answer["accelerator"]:
        return str(row["accelerator"])
    return f"{quantity(row['params'], 'parameter')} {row['num_hidden_layers']}x{row['hidden_size']}"


def _differs(row: Document, answer: Document) -> str:
    """Settings that the columns do not show."""
    parts = [f"recompute {row['recompute']}"] if row["recompute"] != answer["recompute"] else []
    if row["zero_stage"] != answer["zero_stage"]:
        parts.append(f"ZeRO {row['zero_stage']}")
    if row["memory_verdict"] != answer["memory_verdict"]:
        parts.append(str(row["memory_verdict"]))
    return ", ".join(parts)


def reason(row: Document, answer: Document) -> str:
    """Why a plan lost, and what its columns do not show."""
    kind = "from scratch" if row.get("kind") == "scratch" else ""
    return "; ".join(filter(None, (kind, row.get("why", ""), _differs(row, answer))))


def alternatives(document: Document) -> list[str]:
    """The answer and the next best plans, each with the reason it lost."""
    answer, others = document["answer"], document["alternatives"]
    if not others:
        return []
    shown = [answer, *others]
    names = places.labels(shown, [plan_name(row, answer) for row in shown])
    aims = goals.aims(document)
    rows = [alternative_row(row, name, aims) for row, name in zip(shown, names, strict=True)]
    lines = table(alternative_heads(document), rows, gap=1)
    out = [*lines[:2], *wrap(places.answer_words(answer, others), indent=4, hang=4)]
    for line, row in zip(lines[2:], others, strict=True):
        out.append(line)
        out += wrap(reason(row, answer), indent=4, hang=4)
    family = document.get("family") or {}
    if "layouts" in family:
        out += wrap(family["text"][:1].upper() + family["text"][1:] + ".", indent=2, hang=2)
    return out


def bullets(items: Iterable[str]) -> list[str]:
    """A list of sentences."""
    return [line for item in items for line in wrap(f"- {item}", indent=2, hang=4)]


def warnings(items: Sequence[Document]) -> list[str]:
    """Warnings, each with its id."""
    out = [line for item in items for line in wrap(f"{item['id']}: {item['message']}", indent=2, hang=4)]
    return [*out, *wrap(HINT, indent=2)] if out else out


def sources(items: Sequence[Document]) -> list[str]:
    """Where each number comes from."""
    return [line for item in items for line in wrap(f"{item['what']}: {item['source']}", indent=2, hang=4)]


def binds(document: Document) -> str:
    """What limits a plan, as a sentence; nothing where no plan runs and no limit of the run is why."""
    found = document.get("binding") or {}
    text = found.get("text", "")
    if not text or (document.get("infeasible") and found.get("constraint") in ("tokens", "none")):
        return ""
    return f"{text[:1].upper()}{text[1:]}."


def search(document: Document) -> list[str]:
    """How much was searched."""
    found = document.get("search") or {}
    if not found:
        return []
    text = f"{plural(found['plans_considered'], 'plan')} looked at, {found['plans_feasible']:,} can run"
    if found.get("shapes_considered", 1) > 1:
        text += f", of {plural(found['shapes_considered'], 'shape')}"
        if found.get("shapes_excluded_by_bound"):
            text += f" ({found['shapes_excluded_by_bound']:,} shapes excluded by a bound)"
    refused = ", ".join(f"{reason} {count:,}" for reason, count in (found.get("refused") or {}).items())
    return wrap(text + (f"; refused for {refused}." if refused else "."), indent=2, hang=2)
