"""Choices and whole trainings against reality, as the page docs/reality.md."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from simulator.report.layouts import KINDS, kinds
from simulator.report.text import number, quantity

HEAD = """\
<!-- Written by `python docs/refresh.py reality`; do not edit. -->
# Against reality

Errors of single steps leave two questions open. Does the layout that is ranked first also win when all are measured? And does a
whole training take the accelerator-hours, and cost the money, that its authors published?

    trainsim validate --layouts --rows                  # regret of layouts, group by group
    trainsim validate --published published_runs --rows # published trainings, with sources

"""

REGRET = """\
## The layout that is ranked first

Rows of nanotron's sweep on H100s with the same model, batch and number of accelerators make a group. Regret is the measured step
time of the layout predicted to be fastest, divided by the fastest measured one, minus one. A layout is written as `tp pp micro-batch
ZeRO`. The clock's constants are fitted to these rows among others, with the same few constants for all layouts of a group. Left out are
18 rows whose own probe, taken before training, shows a broken node: an all-reduce inside it reaches 45 GB/s, where others reach 424 to 459.

"""

PUBLISHED = """\
## Published trainings

`measurements/published_runs.csv` holds what authors published about whole trainings, each with its source and the quoted figure
([columns](../measurements/published_runs.md)). What is published is pinned: layout, batch, software, cluster. The planner chooses the
rest. If no number of accelerators is stated, 2,048 is taken, that of LLaMA 65B (on fewer a run takes fewer accelerator-hours). Nothing is
fitted to these hours. Lost time is the planner's default, taken from Llama 3's published goodput, or none where the hours include none.

"""

NOTES = """

`steps`: step time multiplied by the number of steps. `elapsed`: from start to end, including what went wrong. `stated`: as the authors
count. `assumed`: read off a logbook by others. A run marked * would not fit according to the predicted memory, although it ran. `in 80 %`:
runs whose published hours lie in the predicted interval.

"""

WHY = """\
## Why they are off

- Besides the steps, the hours contain what `includes` names: restarts, evaluation, ramps of the batch, later stages with long
  sequences. The prediction covers steps alone, so a bias below zero is expected. The 80 % interval covers step times and nothing else:
  far fewer than 80 of a hundred trainings end inside it. Read it as what a cluster needs that runs like the measured ones; the rest
  depends on you.
- Where the authors state no layout, the planner takes the best one. The clock's constants come mostly from runs of 2023 to 2025.
- Pythia: its configurations ask GPT-NeoX to synchronise after every layer and to gather split activations; neither is modelled. The
  runs marked * appear not to fit because the memory of `deepspeed` assumes Hugging Face's loss, 14 B per logit; with the 8 B of
  Megatron's loss, which GPT-NeoX uses, all of them fit.
- Llama 3 8B and 70B: the stated hours come to 154 and 273 TFLOP/s per accelerator at 15T tokens (6 N D), against 400 that the
  paper prints for 405B. The cards do not say why.
- DeepSeek-V3: scheduled as its report says (DualPipe). The block that predicts a second token is left out. The run appears not to
  fit because no recipe here has 8-bit activations, or recomputes the norms and up-projections alone.
- OLMo 7B and MPT-30B are absent: for the first, energy is published; for the second, no single stage has its days published.

"""

COST = """\
## Published costs

Costs are at the price per accelerator-hour that the authors used, so an error of the cost is an error of the hours. The other runs
publish no price.

"""


def page(layouts: Mapping[str, Any]) -> str:
    """Write the page.

    Parameters
    ----------
    layouts : mapping
        As of `simulator.validate.layouts.validate_layouts` with its rows.
    """
    parts = [HEAD, REGRET, _regret(layouts), "\n\n", _groups(layouts["rows"]), "\n\n"]
    hours = layouts["hours"]
    parts += [
        PUBLISHED,
        _table(KINDS, kinds(hours)),
        "\n\n",
        _runs(hours["rows"]),
        NOTES,
        WHY,
        COST,
        _costs(hours["rows"]),
    ]
    return "".join(parts) + "\n"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]], left: Sequence[int] = (0,)) -> str:
    """A table in Markdown, with some columns to the left."""
    rule = [":---" if place in left else "---:" for place in range(len(heads))]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (heads, rule, *rows)).replace(
        "| :--- |", "|:---|"
    )


def _percent(value: float) -> str:
    return f"{100 * value:.1f} %"


def _regret(found: Mapping[str, Any]) -> str:
    named = (
        ("model, batch, accelerators", found["regret"]),
        ("and fabric, version of the engine", found["regret_same_fabric"]),
    )
    rows = [
        (
            words,
            str(one["n"]),
            str(one["layouts"]),
            *(_percent(one[name]) for name in ("median", "p90", "best_first")),
        )
        for words, one in named
    ]
    return _table(
        ("groups of the same", "groups", "layouts", "median regret", "90th", "best ranked first"), rows
    )


def _groups(groups: Sequence[Mapping[str, Any]]) -> str:
    names = ("tp", "pp", "micro_batch_size", "zero_stage")
    order = sorted(groups, key=lambda row: (row["hidden_size"], row["n_gpus"], row["batch"]))
    rows = [
        (
            f"{row['num_hidden_layers']:.0f} x {row['hidden_size']:.0f}",
            f"{row['n_gpus']:.0f}",
            f"{row['batch']:.0f}",
            str(row["layouts"]),
            *(" ".join(f"{row[f'{word}_{name}']:.0f}" for name in names) for word in ("first", "best")),
            _percent(row["regret"]),
        )
        for row in order
    ]
    return _table(
        ("layers x width", "GPUs", "batch", "layouts", "ranked first", "measured best", "regret"), rows
    )


def _runs(runs: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        (
            row["id"] + ("" if row["fits"] else " *"),
            str(row["n_gpus"]),
            row["hours_kind"],
            number(row["published_gpu_hours"], 4),
            number(row["predicted_gpu_hours"], 3),
            " to ".join(number(each, 3) for each in row["interval_gpu_hours"]),
            f"{100 * row['error']:+.0f} %",
            row["assumed"] or "nothing",
        )
        for row in runs
    ]
    heads = ("run", "GPUs", "hours are", "published", "predicted", "80 % interval", "error", "chosen here")
    return _table(heads, rows, left=(0, 2, 7))


def _costs(runs: Sequence[Mapping[str, Any]]) -> str:
    rows = [
        (
            row["id"],
            quantity(row["published_cost_usd"], "USD"),
            quantity(row["predicted_cost_usd"], "USD"),
            f"{100 * (row['predicted_cost_usd'] / row['published_cost_usd'] - 1):+.0f} %",
        )
        for row in runs
        if row["published_cost_usd"] is not None and row["predicted_cost_usd"] is not None
    ]
    return _table(("run", "published", "predicted", "error"), rows)
