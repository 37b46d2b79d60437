"""One question on several kinds of hardware, and for several values of its fields, side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from simulator import documents
from simulator.errors import Problem, SpecError, UnknownNameError
from simulator.result import Result, plain
from simulator.schema import Ownership, Scenario, load_scenario, places, quote
from simulator.schema.hardware import Shorthand
from simulator.schema.load import open_scenario, validate
from simulator.simulate import run
from simulator.sweeping.points import Axis, Grid, axes_of, shown

FIGURES = (
    "accelerator n_gpus params tokens loss time_to_train_days gpu_hours cost_usd usd_per_gpu_hour usd_per_m_tokens "
    "energy_mwh co2e_t step_time_s tokens_per_s_per_gpu model_tflops_per_gpu mfu memory_gib memory_capacity_gib "
    "memory_verdict tp pp dp cp ep vp micro_batch_size global_batch_size recompute zero_stage interval"
).split()
"""Figures of a row, as in the answer of a result."""

PARETO = ("loss", "time_to_train_days", "cost_usd")
"""Figures in which a row may be beaten; smaller is better in each."""

MOST_ROWS = 200
"""Rows of one comparison; more than that is a sweep. [-]"""

WRITTEN_RENT = "the scenario"
"""Label of a price that the scenario states itself; an answer at such a price names no offer."""

CHANGES_LOSS = ("model", "training", "law", "shape_law", "find", "growth")
"""Fields that move the loss also where model and tokens are written."""


@dataclass(frozen=True)
class Comparison:
    """One row per kind of hardware, best first."""

    scenario: dict[str, Any]
    rows: tuple[dict[str, Any], ...]
    """Figures of each, with ``rank``, ``label``, ``vary``, ``provider``, ``terms``, ``price_date``, ``feasible``, ``pareto``
    and ``why``."""
    results: tuple[Result, ...]
    """The whole answers, in the order of the rows."""
    carried: tuple[str, ...] = ()
    """What other accelerators take over from the scenario's own hardware, and what they do not."""

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain data; equal for equal questions on the same day."""
        warnings = [w for result in self.results for w in result.warnings]
        sources = [s for result in self.results for s in result.sources]
        return {
            "scenario": plain(self.scenario),
            "version": next((one.version for one in self.results if one.version), ""),
            "rows": plain(self.rows),
            "warnings": plain(_once(warnings)),
            "sources": plain(_once(sources)),
            "assumptions": plain(
                list(dict.fromkeys([*self.carried, *(a for r in self.results for a in r.assumptions)]))
            ),
            "excluded": plain(list(dict.fromkeys(e for r in self.results for e in r.excluded))),
        }

    @property
    def frame(self) -> Any:
        """The rows as a `pandas.DataFrame`."""
        import pandas as pd

        return pd.DataFrame([_flat(row) for row in plain(self.rows)])

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

        return compare_bars(plain(self.rows), figure=figure, ax=ax)

    def explain(self, rank: int, key: str) -> str:
        """How a figure of the row of this rank came about; see `Result.explain`."""
        if not 1 <= rank <= len(self.results):
            raise UnknownNameError(str(rank), kind="rank", names=map(str, range(1, len(self.results) + 1)))
        return self.results[rank - 1].explain(key)

    def __repr__(self) -> str:
        return f"Comparison({' > '.join(str(row['label']) for row in self.rows)})"

    def _repr_html_(self) -> str:
        """Table for notebooks, of the same columns as the terminal's."""
        from simulator.report.html import comparison

        return comparison(self.to_dict())


def _once(items: list[dict[str, str]]) -> list[dict[str, str]]:
    return [dict(pairs) for pairs in dict.fromkeys(tuple(item.items()) for item in items)]


def compare(
    scenario: str | Path | Mapping[str, Any] | Scenario,
    hardware: Sequence[str | Mapping[str, Any]] = (),
    *,
    vary: Mapping[str, Sequence[Any]] | Sequence[Axis] = (),
    set: Sequence[str] = (),  # noqa: A002 - named as on the command line
    variant: str | None = None,
) -> Comparison:
    """Answer a scenario on several kinds of hardware and for several values of its fields.

    Parameters
    ----------
    scenario : str, Path, mapping or Scenario
        The question. Its own hardware is compared if `hardware` is empty.
    hardware : sequence of str or mapping, optional
        Accelerators by name (as many as the scenario's first entry has), ``name:count``, or entries as in a scenario. An
        accelerator of the scenario keeps its entry: cluster, network, price. Others take the network and the grid that the
        first entry states, and its provider where that one sells them on the same terms.
    vary : mapping of str to sequence, optional
        Dotted fields with their values, such as ``{"budget.time": ["5 days", "10 days"]}``; every combination is answered
        on each kind of hardware, at most `MOST_ROWS`.
    set : sequence of str, optional
        Changes such as ``training.tokens=15T``.
    variant : str, optional
        Name of a variant that the file declares.

    Returns
    -------
    Comparison
        Ranked by loss, then cost, then time; with tokens and model fixed by cost, then time. Where nothing runs, and where
        values do not go together, the row comes last, with the reason.

    Raises
    ------
    SpecError
        If the scenario is wrong, or a value that no row can use.

    Examples
    --------
    >>> question = {"model": {"num_hidden_layers": 24, "hidden_size": 2048, "num_attention_heads": 16},
    ...             "hardware": {"accelerator": "a100-sxm-80gb", "n_gpus": 8}, "training": {"tokens": "20B"}}
    >>> [row["accelerator"] for row in compare(question, ["a100-sxm-80gb", "h100-sxm-80gb"]).rows]
    ['h100-sxm-80gb', 'a100-sxm-80gb']
    >>> [row["vary"] for row in compare(question, vary={"training.tokens": ["10B", "20B"]}).rows]
    [{'training.tokens': '20B'}, {'training.tokens': '10B'}]
    """
    axes = axes_of(vary) if vary else ()
    base = _Base(scenario, set, variant)
    named = [dict(Shorthand.spread(one)) for one in hardware]
    entries = [base.entry(one) for one in named] if named else base.entries
    grid = Grid(axes)
    if len(entries) * len(grid) > MOST_ROWS:
        text = f"{len(entries) * len(grid):,} rows are more than {MOST_ROWS}"
        raise SpecError(Problem(text, hint="trainsim sweep answers large grids"))
    asked = list(_questions(base, entries, axes, grid))
    results = [run(one) if isinstance(one, Scenario) else _cannot(one, entry) for entry, _, one in asked]
    fixed = _fixed(base.asked) and not any(axis.path.split(".")[0] in CHANGES_LOSS for axis in axes)
    order = sorted(range(len(results)), key=lambda i: (*_key(results[i], fixed), i))
    rows = [_row(results[i], rank, *asked[i]) for rank, i in enumerate(order, 1)]
    _label(rows)
    _mark(rows)
    ranked = tuple(results[i] for i in order)
    first = next((one.scenario for one in ranked if one.answer), ranked[0].scenario)
    return Comparison(first, tuple(rows), ranked, base.told(named))


class _Base:
    """The question before hardware and values are put in."""

    def __init__(
        self, source: str | Path | Mapping[str, Any] | Scenario, changes: Sequence[str], variant: str | None
    ) -> None:
        # From Python bare numbers are SI, in a file they need their unit.
        self.written = not isinstance(source, Scenario | Mapping)
        self.asked = load_scenario(source, changes, variant)
        document, self.folder = open_scenario(source)
        if variant is not None:
            document = documents.choose_scenario(document, variant)
        self.document = documents.apply_settings(document, changes)
        written = self.document.data["hardware"]
        self.entries = [
            dict(Shorthand.spread(one)) for one in (written if isinstance(written, list) else [written])
        ]

    def entry(self, own: Mapping[str, Any]) -> dict[str, Any]:
        """An entry of hardware, with what it takes from those of the scenario."""
        return places.entry_at(own, self.entries, self.asked.hardware)

    def told(self, asked: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
        """What the entries took from those of the scenario, and what not."""
        return places.told(asked, self.entries, self.asked.hardware)

    def at(self, entry: Mapping[str, Any], paths: Sequence[str], point: Sequence[Any]) -> Scenario:
        """The question on this hardware with these values."""
        document = documents.put(self.document, "hardware", dict(entry))
        for path, value in zip(paths, point, strict=True):
            document = documents.put(document, path, value, origin="--vary")
        return validate(Scenario, document, self.folder, written=self.written)


def _questions(
    base: _Base, entries: Sequence[Mapping[str, Any]], axes: tuple[Axis, ...], grid: Grid
) -> Iterator[tuple[Mapping[str, Any], dict[str, str], Scenario | SpecError]]:
    """Hardware, values and scenario of each row; the mistake where the values do not go together."""
    paths = [axis.path for axis in axes]
    found: list[tuple[Mapping[str, Any], dict[str, str], Scenario | SpecError]] = []
    for entry in entries:
        for point in grid.points():
            named = {path: shown(value) for path, value in zip(paths, point, strict=True)}
            try:
                found.append((entry, named, base.at(entry, paths, point)))
            except SpecError as error:
                if not axes:
                    raise
                found.append((entry, named, error))
    wrong = [
        problem for axis in axes for value in axis.values for problem in _unusable(found, axis.path, value)
    ]
    if wrong:
        raise SpecError(list(dict.fromkeys(wrong)))
    yield from found


def _unusable(found: Sequence[tuple[Any, dict[str, str], Any]], path: str, value: Any) -> tuple[Problem, ...]:
    """What is wrong with a value that no row can use."""
    ends = [one for _, named, one in found if named[path] == shown(value)]
    bad = [one for one in ends if isinstance(one, SpecError)]
    return bad[0].problems if len(bad) == len(ends) else ()


def _cannot(error: SpecError, entry: Mapping[str, Any]) -> Result:
    """The result of values that do not go together."""
    text = "; ".join(str(problem.reason) for problem in error.problems)
    scenario = {"name": "", "hardware": [plain(dict(entry))]}
    return Result(scenario, "", {}, infeasible={"reason": "scenario", "text": text})


def _fixed(asked: Scenario) -> bool:
    return asked.model is not None and (asked.training.tokens is not None or asked.training.steps is not None)


def _key(result: Result, fixed: bool) -> tuple[float, ...]:
    figures = {
        name: result.answer.get(name) for name in ("loss", "cost_usd", "time_to_train_days", "step_time_s")
    }
    big = {name: (np.inf if value is None else float(value)) for name, value in figures.items()}
    last = (big["cost_usd"], big["time_to_train_days"], big["step_time_s"])
    return (not result.feasible, *(last if fixed else (big["loss"], *last)))


def _row(
    result: Result, rank: int, entry: Mapping[str, Any], named: Mapping[str, str], asked: Scenario | SpecError
) -> dict[str, Any]:
    answer = result.answer
    row: dict[str, Any] = {"rank": rank, "label": "", "vary": dict(named), "feasible": result.feasible}
    row |= {"pareto": False, "why": ""}
    row |= {figure: answer.get(figure) for figure in FIGURES}
    row["n_gpus"] = answer.get("n_gpus", entry.get("n_gpus"))
    row["accelerator"] = (
        asked.hardware[0].accelerator.label if isinstance(asked, Scenario) else _text(entry["accelerator"])
    )
    row |= _price(asked, answer.get("offer", WRITTEN_RENT) if answer else None)
    row["evidence"] = (answer.get("evidence") or {}).get("grade")
    if not result.feasible:
        row["why"] = str(result.infeasible.get("text", "nothing runs"))
    return row


def _text(accelerator: Any) -> str:
    return str(accelerator.get("name", "")) if isinstance(accelerator, Mapping) else str(accelerator)


def _price(asked: Scenario | SpecError, offer: str | None) -> dict[str, str]:
    """Who asks the price of a row, on which terms, where and when; empty texts if nobody's is known."""
    choices = asked.hardware[0].choices if isinstance(asked, Scenario) else ()
    priced = [(choice, found) for choice in choices if (found := quote(choice)) is not None]
    if len(choices) > 1:
        bought = [found for choice, found in priced if isinstance(choice.price, Ownership)]
        named = [found for _, found in priced if found.label == offer] or (bought if offer else [])
    else:
        named = [found for _, found in priced]
    found = named[0] if named else None
    if found is None:
        return {"provider": "", "terms": "", "region": "", "price_date": ""}
    return {
        "provider": found.provider,
        "terms": found.terms,
        "region": found.region,
        "price_date": found.date,
    }


def _label(rows: Sequence[dict[str, Any]]) -> None:
    """Name the rows: hardware, then what varies; the provider where that alone tells them apart."""
    for row in rows:
        number = f"{row['n_gpus']:,} x " if row["n_gpus"] else ""
        own = ("hardware.n_gpus", "hardware.accelerator")
        values = [
            f"{path.rpartition('.')[2]} {value}" for path, value in row["vary"].items() if path not in own
        ]
        row["label"] = ", ".join([f"{number}{row['accelerator']}", *values])
    labels = [row["label"] for row in rows]
    for row, label in zip(rows, labels, strict=True):
        if labels.count(label) > 1 and row["provider"]:
            row["label"] = f"{label} ({row['provider']})"


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row without nesting: ``vary.<path>``, and intervals as ``<figure>_p10`` and ``<figure>_p90``."""
    out = {name: value for name, value in row.items() if name not in ("vary", "interval")}
    out |= {f"vary.{path}": value for path, value in row["vary"].items()}
    for name, bounds in (row["interval"] or {}).items():
        out[f"{name}_p10"], out[f"{name}_p90"] = bounds or (None, None)
    return out


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
    """Whether a row is as good in every figure and better in one; a figure that is not known is the worst."""
    pairs = [[np.inf if one[name] is None else one[name] for one in (other, row)] for name in PARETO]
    return all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)
