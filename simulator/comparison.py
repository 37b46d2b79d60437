"""One question on several kinds of hardware, and for several values of its fields, side by side."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simulator import documents, ranking
from simulator.errors import Problem, SpecError, UnknownNameError
from simulator.result import Result, plain
from simulator.schema import Scenario, load_scenario, places
from simulator.schema.hardware import Shorthand
from simulator.schema.load import open_scenario, validate
from simulator.simulate import run
from simulator.sweeping.points import TRIED, Axis, Grid, axes_of, shown

MOST_ROWS = 200
"""Rows of one comparison; more than that is a sweep. [-]"""

CHANGES_LOSS = ("model", "training", "law", "shape_law", "find", "growth")
"""Fields that move the loss also where model and tokens are written."""

ACCELERATOR = ("hardware.accelerator", "hardware.0.accelerator", "hardware[0].accelerator")
"""Paths by which the accelerator varies: another one takes what holds for it, as with a name of its own."""

Asked = tuple[Mapping[str, Any], dict[str, str], Scenario | SpecError]
"""Hardware, values and scenario of a row; the mistake where they do not go together."""


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
        Ranked by loss, then cost, then time; with tokens and model fixed by cost, then time. Rows of different laws stand law
        by law, for their losses cannot be compared. Where nothing runs, and where values do not go together, the row comes
        last, with the reason.

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
    base = _Base(scenario, set, variant, axes)
    named = [dict(Shorthand.spread(one)) for one in hardware]
    entries = [base.entry(one) for one in named] if named else base.entries
    grid = Grid(axes)
    if len(entries) * len(grid) > MOST_ROWS:
        text = f"{len(entries) * len(grid):,} rows are more than {MOST_ROWS}"
        raise SpecError(Problem(text, hint="trainsim sweep answers large grids"))
    asked, results = _answers(list(_questions(base, entries, axes, grid)), varied=bool(axes))
    fixed = _fixed(base.asked) and not any(axis.path.split(".")[0] in CHANGES_LOSS for axis in axes)
    found = [ranking.row_of(result, *one) for result, one in zip(results, asked, strict=True)]
    laws = list(ranking.by_law([row for row in found if row["loss"] is not None]))
    of = [laws.index(ranking.law_of(row)) if row["loss"] is not None else len(laws) for row in found]
    order = sorted(
        range(len(results)), key=lambda i: (*ranking.key(results[i], fixed, of[i] if len(laws) > 1 else 0), i)
    )
    rows = [{"rank": rank, **found[i]} for rank, i in enumerate(order, 1)]
    ranking.label(rows)
    ranking.mark(rows)
    ranked = tuple(results[i] for i in order)
    first = next((one.scenario for one in ranked if one.answer), ranked[0].scenario)
    named += [{"accelerator": value} for axis in axes if axis.path in ACCELERATOR for value in axis.values]
    return Comparison(first, tuple(rows), ranked, base.told(named))


def scenario_asked(
    source: str | Path | Mapping[str, Any] | Scenario,
    changes: Sequence[str],
    variant: str | None,
    axes: Sequence[Axis],
) -> Scenario:
    """The scenario as written; where it lacks what `axes` bring, with the first of their values that make it whole.

    Raises
    ------
    SpecError
        If neither the scenario nor one of the first `TRIED` points is one; of the first point, if there is any.
    """
    try:
        return load_scenario(source, changes, variant)
    except SpecError as error:
        first: SpecError | None = None
        paths = [axis.path for axis in axes]
        for point in itertools.islice(Grid(tuple(axes)).points(), TRIED) if axes else ():
            try:
                document, folder = open_scenario(source)
                document = document if variant is None else documents.choose_scenario(document, variant)
                document = documents.apply_settings(document, changes)
                for path, value in zip(paths, point, strict=True):
                    document = documents.put(document, path, value, origin="--vary")
                return validate(
                    Scenario, document, folder, written=not isinstance(source, Scenario | Mapping)
                )
            except SpecError as wrong:
                first = first or wrong
        raise (first or error) from None


class _Base:
    """The question before hardware and values are put in."""

    def __init__(
        self,
        source: str | Path | Mapping[str, Any] | Scenario,
        changes: Sequence[str],
        variant: str | None,
        axes: Sequence[Axis],
    ) -> None:
        # From Python bare numbers are SI, in a file they need their unit.
        self.written = not isinstance(source, Scenario | Mapping)
        self.asked = scenario_asked(source, changes, variant, axes)
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

    def moved(
        self, entry: Mapping[str, Any], paths: Sequence[str], point: Sequence[Any]
    ) -> Mapping[str, Any]:
        """An entry on the accelerator of a point, if the accelerator varies: with what holds for that one."""
        named = [value for path, value in zip(paths, point, strict=True) if path in ACCELERATOR]
        count = {"n_gpus": entry["n_gpus"]} if "n_gpus" in entry else {}
        return self.entry({**count, "accelerator": named[-1]}) if named else entry

    def told(self, asked: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
        """What the entries took from those of the scenario, and what not."""
        return places.told(asked, self.entries, self.asked.hardware)

    def at(self, entry: Mapping[str, Any], paths: Sequence[str], point: Sequence[Any]) -> Scenario:
        """The question on this hardware with these values."""
        document = documents.put(self.document, "hardware", dict(entry))
        for path, value in zip(paths, point, strict=True):
            if path not in ACCELERATOR:
                document = documents.put(document, path, value, origin="--vary")
        return validate(Scenario, document, self.folder, written=self.written)


def _questions(
    base: _Base, entries: Sequence[Mapping[str, Any]], axes: tuple[Axis, ...], grid: Grid
) -> Iterator[Asked]:
    """Hardware, values and scenario of each row; the mistake where the values do not go together."""
    paths = [axis.path for axis in axes]
    found: list[Asked] = []
    for own in entries:
        for point in grid.points():
            entry = base.moved(own, paths, point)
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


def _answers(asked: list[Asked], *, varied: bool) -> tuple[list[Asked], list[Result]]:
    """The rows' questions and answers; where values vary, one that turns out wrong (a price that nobody asks) is a row too."""
    ends: list[Asked] = []
    results: list[Result] = []
    for entry, named, one in asked:
        end = one
        try:
            results.append(run(one) if isinstance(one, Scenario) else _cannot(one, entry))
        except SpecError as error:
            if not varied:
                raise
            end = error
            results.append(_cannot(error, entry))
        ends.append((entry, named, end))
    wrong = [end for _, _, end in ends if isinstance(end, SpecError)]
    if wrong and len(wrong) == len(ends):
        raise wrong[0]
    return ends, results


def _cannot(error: SpecError, entry: Mapping[str, Any]) -> Result:
    """The result of values that do not go together."""
    text = "; ".join(str(problem.reason) for problem in error.problems)
    scenario = {"name": "", "hardware": [plain(dict(entry))]}
    return Result(scenario, "", {}, infeasible={"reason": "scenario", "text": text})


def _fixed(asked: Scenario) -> bool:
    return asked.model is not None and (asked.training.tokens is not None or asked.training.steps is not None)


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row without nesting: ``vary.<path>``, and intervals as ``<figure>_p10`` and ``<figure>_p90``."""
    out = {name: value for name, value in row.items() if name not in ("vary", "interval")}
    out |= {f"vary.{path}": value for path, value in row["vary"].items()}
    for name, bounds in (row["interval"] or {}).items():
        out[f"{name}_p10"], out[f"{name}_p90"] = bounds or (None, None)
    return out
