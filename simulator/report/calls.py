"""Answers of ``diff``, ``watch`` and ``validate`` in one call from Python, each shown as a table in a notebook."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simulator.report import difference as differences
from simulator.report import html, monitoring, validation
from simulator.result import Result, plain
from simulator.schema import Scenario

Source = str | Path | Mapping[str, Any] | Scenario | Result


@dataclass(frozen=True)
class Page:
    """An answer as plain data and as the page that the command line prints."""

    document: dict[str, Any]
    title: str

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain data, as with ``--json``."""
        return dict(plain(self.document))

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The rows of the answer."""
        return list(self.document.get("rows", []))

    @property
    def frame(self) -> Any:
        """The rows as a `pandas.DataFrame`."""
        import pandas as pd

        return pd.DataFrame(plain(self.rows))

    def __str__(self) -> str:
        return self._text()

    def _text(self) -> str:
        return ""

    def _repr_html_(self) -> str:
        """The page of the command line, for notebooks."""
        return html.preformatted(self.title, self._text())


@dataclass(frozen=True)
class Difference(Page):
    """Where two plans differ."""

    def _text(self) -> str:
        return differences.page(self.document)

    def __repr__(self) -> str:
        return f"Difference({' against '.join(self.document['names'])}, {len(self.rows)} figures differ)"

    def _repr_html_(self) -> str:
        """The rows as one table."""
        heads = ("", "figure", *self.document["names"], "ratio", "")
        return html.rows(self.title, heads, differences.cells(self.document["rows"]))


@dataclass(frozen=True)
class Watched(Page):
    """A run beside its prediction."""

    @property
    def verdict(self) -> str:
        """``on track``, ``slow``, ``fast`` or ``another plan``."""
        return str(self.document["verdict"])

    @property
    def rows(self) -> list[dict[str, Any]]:
        """What is probably to blame."""
        return list(self.document["blame"])

    def _text(self) -> str:
        return monitoring.page(self.document)

    def __repr__(self) -> str:
        return f"Watched({self.verdict}, {self.document['ratio']:.3g} times the predicted step)"


@dataclass(frozen=True)
class Validated(Page):
    """Predictions beside measurements."""

    checked: tuple[validation.Checked, ...]

    @property
    def rows(self) -> list[dict[str, Any]]:
        """Every measured row with its prediction."""
        return [row for one in self.checked for row in validation.rows_of(one)]

    def plot(self, ax: Any = None) -> Any:
        """Draw predicted against measured step times with matplotlib (``pip install trainsim[plot]``)."""
        from simulator.report.plots import predicted

        rows = [row for one in self.checked if one.kind == "cases" for row in validation.rows_of(one)]
        return predicted(plain(rows), ax)

    def _text(self) -> str:
        return validation.page({one.kind: one for one in self.checked})

    def __repr__(self) -> str:
        parts = [
            f"{one.name}: median error {100 * one.report['median_ape']:.3g} %"
            for one in self.checked
            if one.report.get("median_ape") is not None
        ]
        return f"Validated({'; '.join(parts) or ', '.join(one.name for one in self.checked)})"


def diff(
    first: Source,
    second: Source,
    *,
    set: Sequence[str] = (),  # noqa: A002 - named as on the command line
    set_second: Sequence[str] = (),
    every: bool = False,
) -> Difference:
    """Where two plans differ, with what their intervals cannot tell apart.

    Parameters
    ----------
    first, second : str, Path, mapping, Scenario or Result
        Questions, or answers that are at hand.
    set : sequence of str, optional
        Changes of both; an answer at hand is asked again.
    set_second : sequence of str, optional
        Changes of the second only.
    every : bool, optional
        Also figures that are equal.

    Examples
    --------
    >>> hardware = {"accelerator": "h100-sxm-80gb", "n_gpus": 64}
    >>> question = {"model": "llama-2-7b", "training": {"tokens": "10B"}, "hardware": hardware}
    >>> found = diff(question, question, set_second=["hardware.n_gpus=128"])
    >>> next(row["second"] for row in found.rows if row["figure"] == "n_gpus")
    128
    """
    results = [_answered(first, set), _answered(second, (*set, *set_second))]
    names = (_name(first, "first"), _name(second, "second"))
    if names[0] == names[1]:
        names = (names[0], ", ".join(set_second) or f"{names[1]} (second)")
    one, other = (result.to_dict() for result in results)
    found = differences.difference(one, other, names=names, every=every)
    return Difference(found, f"{names[0]} against {names[1]}")


def watch(
    log: str | Path,
    scenario: Source,
    *,
    set: Sequence[str] = (),  # noqa: A002 - named as on the command line
    skip: int | None = None,
    stage: int | None = None,
) -> Watched:
    """A training log beside its prediction.

    Parameters
    ----------
    log : str or Path
        File of Megatron-LM, torchtitan, nanotron or the Hugging Face Trainer, or a table of Weights & Biases or
        TensorBoard.
    scenario : str, Path, mapping, Scenario or Result
        The plan that the run follows.
    set : sequence of str, optional
        Changes of the scenario.
    skip : int, optional
        Logged steps to leave out at the start.
    stage : int, optional
        Of a plan that grows a model: the stage that the log is of; its last if absent.

    Raises
    ------
    InfeasibleError
        If the scenario has no plan that runs.
    SpecError
        If the log holds no steps, or the plan has no such stage.
    """
    from simulator.errors import InfeasibleError
    from simulator.monitoring import judge, read_log
    from simulator.monitoring.logs import read_text

    result = _answered(scenario, set)
    if not result.feasible:
        text = str(result.infeasible.get("text", ""))
        raise InfeasibleError("the scenario has no plan that runs", details=(text,))
    answer = plain(result.stage(stage))
    read = read_log(
        read_text(Path(log)),
        name=str(log),
        tokens_per_step=answer["global_batch_tokens"],
        n_gpus=answer["n_gpus"],
    )
    return Watched(judge(read, answer, skip=skip), f"{log} beside its prediction")


def validated(
    cases: str | Path | None = None,
    *,
    memory: str | Path | None = None,
    losses: str | Path | None = None,
    growth: str | Path | None = None,
    clock: str = "memory_copies",
) -> Validated:
    """Predict measurements from their configurations and report the error; all tables that ship if none is named.

    Parameters
    ----------
    cases, memory, losses, growth : str or Path, optional
        Tables of step times, peaks of memory, losses and growth (docs/validation.md).
    clock : str, optional
        Clock that predicts step times; ``all`` compares them.
    """
    named = {"cases": cases, "memory": memory, "losses": losses, "growth": growth}
    tables = {kind: Path(path) for kind, path in named.items() if path is not None} or validation.shipped()
    found = validation.collect(tables, clock=clock)
    document = {kind: validation.plain_report(one, rows=False) for kind, one in found.items()}
    return Validated(document, "Predicted beside measured", tuple(found.values()))


def _answered(source: Source, changes: Sequence[str]) -> Result:
    """The answer to a question with changes; an answer at hand is asked again where something changes."""
    from simulator.simulate import run

    if isinstance(source, Result):
        return run(source.scenario, set=changes) if changes else source
    return run(source, set=changes)


def _name(source: Source, other: str) -> str:
    if isinstance(source, Scenario):
        return source.name or other
    if isinstance(source, Result):
        return str(source.scenario.get("name") or other)
    return str(source.get("name") or other) if isinstance(source, Mapping) else str(source)
