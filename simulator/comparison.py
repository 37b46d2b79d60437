"""One question on several kinds of hardware, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from simulator.result import Result, plain
from simulator.schema import Scenario, load_scenario
from simulator.simulate import run

FIGURES = (
    "accelerator n_gpus params tokens loss time_to_train_days gpu_hours cost_usd usd_per_gpu_hour usd_per_m_tokens "
    "energy_mwh step_time_s tokens_per_s_per_gpu model_tflops_per_gpu mfu memory_gib memory_capacity_gib memory_verdict "
    "tp pp dp cp ep vp micro_batch_size global_batch_size recompute zero_stage"
).split()
"""Figures of a row, as in the answer of a result."""

PARETO = ("loss", "time_to_train_days", "cost_usd")
"""Figures in which a row may be beaten; smaller is better in each."""


@dataclass(frozen=True)
class Comparison:
    """One row per kind of hardware, best first."""

    scenario: dict[str, Any]
    rows: tuple[dict[str, Any], ...]
    """Figures of each, with ``rank``, ``feasible``, ``pareto`` and ``why``."""
    results: tuple[Result, ...]
    """The whole answers, in the order of the rows."""

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain data."""
        warnings = [w for result in self.results for w in result.warnings]
        sources = [s for result in self.results for s in result.sources]
        return {
            "scenario": plain(self.scenario),
            "version": self.results[0].version if self.results else "",
            "rows": plain(self.rows),
            "warnings": plain(_once(warnings)),
            "sources": plain(_once(sources)),
            "assumptions": plain(list(dict.fromkeys(a for r in self.results for a in r.assumptions))),
            "excluded": plain(list(dict.fromkeys(e for r in self.results for e in r.excluded))),
        }

    @property
    def frame(self) -> Any:
        """The rows as a `pandas.DataFrame`."""
        import pandas as pd

        return pd.DataFrame(plain(self.rows))

    def plot(self, figure: str = "cost_usd", ax: Any = None) -> Any:
        """Draw a figure of every row as bars with matplotlib (``pip install trainsim[plot]``).

        Parameters
        ----------
        figure : str, optional
            ``cost_usd``, ``time_to_train_days``, ``loss``, ``energy_mwh`` or another figure of a row.
        ax : matplotlib.axes.Axes, optional
            Where to draw; a new figure if absent.
        """
        from simulator.report.plots import compare_bars

        rows = [
            {**row, "interval": one.answer.get("interval")}
            for row, one in zip(self.rows, self.results, strict=True)
        ]
        return compare_bars(plain(rows), figure=figure, ax=ax)

    def __repr__(self) -> str:
        order = " > ".join(str(row["accelerator"]) for row in self.rows)
        return f"Comparison({order})"

    def _repr_html_(self) -> str:
        """Table for notebooks."""
        return str(self.frame.to_html(index=False))


def _once(items: list[dict[str, str]]) -> list[dict[str, str]]:
    return [dict(pairs) for pairs in dict.fromkeys(tuple(item.items()) for item in items)]


def compare(
    scenario: str | Path | Mapping[str, Any] | Scenario,
    hardware: Sequence[str | Mapping[str, Any]] = (),
    *,
    set: Sequence[str] = (),  # noqa: A002 - named as on the command line
) -> Comparison:
    """Answer a scenario on several kinds of hardware.

    Parameters
    ----------
    scenario : str, Path, mapping or Scenario
        The question. Its own hardware is compared if `hardware` is empty.
    hardware : sequence of str or mapping, optional
        Accelerators by name (as many as the scenario's first entry has), ``name:count``, or entries as in a scenario.
    set : sequence of str, optional
        Changes such as ``training.tokens=15T``.

    Returns
    -------
    Comparison
        Ranked by loss, then cost, then time; with tokens and model fixed by cost, then time. Hardware on which nothing
        runs comes last, with the reason.

    Examples
    --------
    >>> question = {"model": {"num_hidden_layers": 24, "hidden_size": 2048, "num_attention_heads": 16},
    ...             "hardware": {"accelerator": "a100-sxm-80gb", "n_gpus": 8}, "training": {"tokens": "20B"}}
    >>> [row["accelerator"] for row in compare(question, ["a100-sxm-80gb", "h100-sxm-80gb"]).rows]
    ['h100-sxm-80gb', 'a100-sxm-80gb']
    """
    asked = scenario if isinstance(scenario, Scenario) else load_scenario(scenario, set)
    entries = [entry.model_dump(exclude_unset=True) for entry in asked.hardware]
    if hardware:
        entries = [_entry(one, asked.hardware[0].n_gpus) for one in hardware]
    results = [run(asked.with_(hardware=[entry])) for entry in entries]
    names = [_name(one) for one in results]
    fixed = asked.model is not None and (
        asked.training.tokens is not None or asked.training.steps is not None
    )
    order = sorted(range(len(results)), key=lambda i: (*_key(results[i], fixed), i))
    ranked = [results[i] for i in order]
    rows = [
        _row(result, rank, names[i]) for rank, (i, result) in enumerate(zip(order, ranked, strict=True), 1)
    ]
    _mark(rows)
    return Comparison(ranked[0].scenario if ranked else {}, tuple(rows), tuple(ranked))


def _entry(one: str | Mapping[str, Any], n_gpus: int | None) -> dict[str, Any]:
    if isinstance(one, Mapping):
        return {"n_gpus": n_gpus, **one} if n_gpus is not None else dict(one)
    name, _, count = one.partition(":")
    number = int(count) if count.isdecimal() and len(count) < 9 else n_gpus
    return {"accelerator": name} | ({} if number is None else {"n_gpus": number})


def _name(result: Result) -> str:
    return str(result.scenario["hardware"][0]["accelerator"])


def _key(result: Result, fixed: bool) -> tuple[float, ...]:
    figures = {
        name: result.answer.get(name) for name in ("loss", "cost_usd", "time_to_train_days", "step_time_s")
    }
    big = {name: (np.inf if value is None else float(value)) for name, value in figures.items()}
    last = (big["cost_usd"], big["time_to_train_days"], big["step_time_s"])
    return (not result.feasible, *(last if fixed else (big["loss"], *last)))


def _row(result: Result, rank: int, name: str) -> dict[str, Any]:
    answer = result.answer
    row: dict[str, Any] = {"rank": rank, "feasible": result.feasible, "pareto": False, "why": ""}
    row |= {figure: answer.get(figure) for figure in FIGURES}
    row["accelerator"] = name
    row["evidence"] = (answer.get("evidence") or {}).get("grade")
    if not result.feasible:
        row["why"] = str(result.infeasible.get("text", "nothing runs"))
    return row


def _mark(rows: list[dict[str, Any]]) -> None:
    """Mark the rows that no other beats in every figure of `PARETO`, and say why the others lost."""
    running = [row for row in rows if row["feasible"]]
    for row in running:
        row["pareto"] = not any(_beats(other, row) for other in running if other is not row)
    for row in running[1:]:
        best, parts = running[0], []
        if row["loss"] is not None and best["loss"] is not None and abs(row["loss"] - best["loss"]) > 1e-9:
            parts.append(f"loss {row['loss'] - best['loss']:+.4f}")
        for figure, words in (
            ("cost_usd", "the cost"),
            ("time_to_train_days", "the time"),
            ("step_time_s", "the step time"),
        ):
            mine, other = row[figure], best[figure]
            if mine is not None and other and abs(mine / other - 1) > 5e-4 and len(parts) < 3:
                parts.append(f"{mine / other:.3g} x {words}")
        row["why"] = ", ".join(parts) or "as good, named later"


def _beats(other: dict[str, Any], row: dict[str, Any]) -> bool:
    pairs = [(other[name], row[name]) for name in PARETO if other[name] is not None and row[name] is not None]
    return bool(pairs) and all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)
