"""What comes back: one answer with its interval, its reasons, its runners-up and its sources."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from simulator.errors import Problem, SpecError, UnknownNameError
from simulator.search import origins
from simulator.search.table import Basis


def plain(value: Any) -> Any:
    """A value as JSON knows it: numpy unwrapped, tuples as lists, what is not a finite number as ``None``.

    Examples
    --------
    >>> plain({"a": np.float64(1.5), "b": (np.int64(2), float("nan"))})
    {'a': 1.5, 'b': [2, None]}
    """
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (bool, int, str)):
        return value
    return str(value)


TOLD = ("family", "requirements", "offers", "fewest_gpus", "interruptions")
"""Parts of a result that `Result.explain` tells, beside figures and ``binding``."""


@dataclass(frozen=True)
class Result:
    """The answer to a scenario.

    ``str`` and ``repr`` are one line; `to_dict` is everything, ready for JSON; `frame` is a table of the answer and its
    alternatives.
    """

    scenario: dict[str, Any]
    """The question as it was understood."""
    version: str
    answer: dict[str, Any]
    """The chosen plan; names as in the documentation, units in the names."""
    alternatives: tuple[dict[str, Any], ...] = ()
    """Next best plans, each with ``why``: the reason it lost."""
    warnings: tuple[dict[str, str], ...] = ()
    """What to be careful with: ``id`` and ``message``."""
    sources: tuple[dict[str, str], ...] = ()
    """Where the numbers come from: ``what`` and ``source``."""
    assumptions: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    """What the numbers do not contain."""
    binding: dict[str, Any] = field(default_factory=dict)
    """The limit that decides, and what a little more of it would buy."""
    family: dict[str, Any] = field(default_factory=dict)
    """The plans that the evidence cannot tell from the answer."""
    stages: tuple[dict[str, Any], ...] = ()
    """Models trained in turn, if the answer grows one into the next."""
    growth: dict[str, Any] = field(default_factory=dict)
    """Growth against training from scratch, for each assumption."""
    search: dict[str, Any] = field(default_factory=dict)
    """How many plans were looked at, and why others were refused."""
    infeasible: dict[str, Any] = field(default_factory=dict)
    """Why nothing runs, by how much, and the smallest change that helps; empty if something does."""
    requirements: dict[str, Any] = field(default_factory=dict)
    """What was required of the trained model beside what is predicted, with its interval."""
    interruptions: dict[str, Any] = field(default_factory=dict)
    """Useful share of the time, where it comes from, and the curve over rates of interruptions."""
    offers: tuple[dict[str, Any], ...] = ()
    """When spot stops paying, from which use on buying pays."""
    fewest_gpus: dict[str, Any] = field(default_factory=dict)
    """The fewest accelerators on which the plan's model ends in time."""
    frontier: tuple[dict[str, Any], ...] = ()
    """With several objectives the plans that no other beats in all of them."""
    formulas: dict[str, str] = field(default_factory=dict)
    """How a figure of the answer was computed, by its name."""
    basis: Basis | None = field(default=None, repr=False, compare=False)
    """The numbers behind the answer, for `sensitivity` and `sobol`."""

    @property
    def feasible(self) -> bool:
        """Whether a plan keeps all limits."""
        return not self.infeasible

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain data; equal for equal scenarios."""
        names = "scenario version answer alternatives warnings sources assumptions excluded binding family search".split()
        out = {"feasible": self.feasible, **{name: plain(getattr(self, name)) for name in names}}
        later = "stages growth infeasible requirements interruptions offers fewest_gpus frontier"
        for name in later.split():
            if getattr(self, name):
                out[name] = plain(getattr(self, name))
        return out

    @property
    def frame(self) -> Any:
        """The answer and its alternatives as a `pandas.DataFrame`, best first."""
        import pandas as pd

        rows = [
            {"rank": 0, **self.answer},
            *({"rank": i, **row} for i, row in enumerate(self.alternatives, 1)),
        ]
        flat = [{k: v for k, v in plain(row).items() if not isinstance(v, (dict, list))} for row in rows]
        return pd.DataFrame(flat)

    def explain(self, key: str) -> str:
        """How a figure of the answer came about.

        Raises
        ------
        UnknownNameError
            If the answer has no such figure.
        """
        if key == "binding":
            return str(self.binding.get("text", "nothing limits this plan"))
        if key in TOLD:
            found = plain(getattr(self, key))
            rows = found if isinstance(found, list) else [found]
            if key == "requirements":
                rows = list(found.values())
            texts = [str(row["text"]) for row in rows if row.get("text")]
            return "\n".join(texts) or f"{key}: nothing to say about this answer"
        if key not in self.answer:
            raise UnknownNameError(key, kind="figure of the answer", names=[*self.answer, "binding", *TOLD])
        value = plain(self.answer[key])
        if value is None and (why := origins.unknown(self.answer, key)):
            return f"{key} is not known: {why}"
        bounds = self.answer.get("interval", {}).get(key)
        found = origins.sources(self.answer, self.sources, self.scenario, key)
        lines = [self.formulas.get(key, ""), origins.interval_words(bounds)]
        lines += [f"source of {each['what']}: {each['source']}" for each in found]
        return "\n".join([f"{key} = {value}", *(f"  {line}" for line in lines if line)])

    def stage(self, number: int | None = None) -> dict[str, Any]:
        """One model that is trained, as the record of an answer; of a plan that grows a model its own steps, time and layout.

        Parameters
        ----------
        number : int, optional
            As in `stages`, from 1; the last if absent. A run from scratch has one.

        Returns
        -------
        dict
            The answer where one model is trained, else as of `simulator.search.held.record`: ``stage`` and ``stages`` with it.

        Raises
        ------
        SpecError
            If no such stage is trained.
        """
        from simulator.search import held

        trained = [stage["stage"] for stage in self.stages if stage["stage"]] or [1]
        if number is not None and number not in trained:
            known = held.words(self.stages) or "one model in one stage"
            raise SpecError(Problem(f"no stage {number}; the plan trains {known}", path="stage"))
        basis = self.basis
        if len(trained) < 2 or basis is None or basis.held is None:
            return self.answer
        return held.record(basis.question, basis.held, trained[-1] if number is None else number)

    def sensitivity(self) -> dict[str, Any]:
        """What moves the answer most: every input over its own 80 % range.

        Returns
        -------
        dict
            As of `simulator.sensitivity.tornado`: ``held figure base most rows``.

        Raises
        ------
        InfeasibleError
            If there is no plan.
        """
        from simulator.sensitivity import tornado

        return tornado(self.basis, self.scenario, self.growth)

    def sobol(self, **settings: Any) -> dict[str, Any]:
        """Shares of a figure's variance by input: `simulator.sensitivity.sobol`, whose settings these are."""
        from simulator.sensitivity import sobol

        return sobol(self.basis, self.scenario, **settings)

    def plot(self, kind: str = "breakdown", ax: Any = None) -> Any:
        """Draw the answer with matplotlib (``pip install trainsim[plot]``).

        Parameters
        ----------
        kind : str, optional
            ``breakdown`` of a step, ``memory``, ``growth``, ``alternatives``, ``frontier``.
        ax : matplotlib.axes.Axes, optional
            Where to draw; a new figure if absent.

        Returns
        -------
        matplotlib.axes.Axes
        """
        from simulator.report.plots import plot_result

        return plot_result(self.to_dict(), kind, ax)

    def __repr__(self) -> str:
        a = self.answer
        if not a:
            return f"Result(infeasible: {self.infeasible.get('reason', 'no plan')})"
        parts = [
            f"{a['params'] / 1e9:.3g}B on {a['n_gpus']} x {a['accelerator']}",
            f"{a['step_time_s']:.3g} s/step",
        ]
        if a.get("time_to_train_days") is not None:
            parts.append(f"{a['time_to_train_days']:.3g} days")
        if a.get("cost_usd") is not None:
            parts.append(f"${a['cost_usd']:,.0f}")
        if a.get("loss") is not None:
            parts.append(f"loss {a['loss']:.3f}")
        lead = "" if self.feasible else f"infeasible: {self.infeasible.get('reason')}; "
        return f"Result({lead}{', '.join(parts)})"

    def _repr_html_(self) -> str:
        """Tables for notebooks, of the same figures as the terminal's page."""
        from simulator.report.html import fragment

        return fragment(self.to_dict())
