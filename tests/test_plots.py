"""Every figure is drawn on the axes given, labelled with units, and readable without color."""

from __future__ import annotations

import functools
import io
import sys
from collections.abc import Callable, Iterator
from typing import Any

import matplotlib as mpl
import pytest

import simulator as sim
from simulator import curves
from simulator.errors import SimulatorError, UnknownNameError

mpl.use("Agg")

import matplotlib.pyplot as plt

from simulator.report import plots

MEASURED = [
    {"id": str(i), "predicted_step_time_s": p, "measured_step_time_s": m, "low": 0.8 * p, "high": 1.3 * p, "gpu": g}
    for i, (p, m, g) in enumerate([(1.0, 1.1, "a"), (2.0, 1.7, "b"), (30.0, 29.0, "a")])
]  # fmt: skip


@functools.cache
def answered() -> tuple[sim.Result, dict[str, Any]]:
    scenario = sim.load_scenario("growth")
    result = sim.run(scenario)
    return result, curves.around(scenario, result)


@functools.cache
def compared() -> sim.Comparison:
    return sim.compare("compare-hardware")


def drawings() -> dict[str, Callable[[Any], Any]]:
    def of(name: str, function: Callable[..., Any], **extra: Any) -> Callable[[Any], Any]:
        return lambda ax: function(answered()[1][name], ax=ax, **{k: v() for k, v in extra.items()})

    answer = lambda: answered()[0].answer  # noqa: E731
    return {
        **{
            kind: (lambda ax, kind=kind: answered()[0].plot(kind, ax))
            for kind in ("breakdown", "memory", "growth", "alternatives")
        },
        "frontier": of("frontier", plots.frontier, answer=answer),
        "frontier-cost": of("frontier", plots.frontier, answer=answer, against=lambda: "cost_usd"),
        "sizes": of("sizes", plots.sizes, answer=answer),
        "contours": of("sizes", plots.contours, law=lambda: answer()["loss_law"], answer=answer),
        "growth-curves": of("growth", plots.growth),
        "tornado": of("sensitivity", plots.tornado),
        "roofline": of("matmuls", plots.roofline, answer=answer),
        "predicted": lambda ax: plots.predicted(MEASURED, ax),
        "compare": lambda ax: compared().plot(ax=ax),
        "compare-loss": lambda ax: compared().plot("loss", ax),
    }


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    plt.close("all")
    yield
    plt.close("all")


@pytest.mark.parametrize("name", drawings())
def test_a_figure_goes_onto_the_axes_given_and_has_units(name: str) -> None:
    figure, ax = plt.subplots(layout="constrained")
    assert drawings()[name](ax) is ax
    assert len(plt.get_fignums()) == 1
    labels = f"{ax.get_xlabel()} {ax.get_ylabel()}"
    assert "[" in labels, labels
    assert ax.get_title()
    figure.savefig(io.BytesIO(), dpi=60)


@pytest.mark.parametrize("name", drawings())
def test_a_figure_makes_its_own_axes(name: str) -> None:
    ax = drawings()[name](None)
    ax.figure.savefig(io.BytesIO(), dpi=60)


@pytest.mark.parametrize("name", ["breakdown", "memory", "compare"])
def test_bars_differ_without_color(name: str) -> None:
    ax = drawings()[name](None)
    bars = [bar for bar in ax.patches if bar.get_width() > 0]
    looks = [bar.get_hatch() for bar in bars]
    assert len(bars) >= 4
    assert len(set(looks)) == min(len(looks), 8)


def test_the_bars_of_a_step_add_up_to_it() -> None:
    result, _ = answered()
    ax = result.plot()
    assert sum(bar.get_width() for bar in ax.patches) == pytest.approx(result.answer["step_time_s"])


def test_the_bar_of_memory_reaches_the_peak_and_marks_the_capacity() -> None:
    result, _ = answered()
    ax = result.plot("memory")
    assert max(bar.get_x() + bar.get_width() for bar in ax.patches) == pytest.approx(
        result.answer["memory_gib"], rel=0.01
    )
    assert ax.lines[0].get_xdata()[0] == result.answer["memory_capacity_gib"]


def test_the_answer_is_marked_where_it_is() -> None:
    result, around = answered()
    ax = plots.frontier(around["frontier"], answer=result.answer)
    mark = next(line for line in ax.lines if line.get_label() == "the answer")
    assert (mark.get_xdata()[0], mark.get_ydata()[0]) == (
        result.answer["time_to_train_days"],
        result.answer["loss"],
    )


def test_points_of_the_check_are_the_rows() -> None:
    ax = plots.predicted(MEASURED)
    points = [line for line in ax.lines if line.get_marker() in ("o", "s")]
    assert sorted(x for line in points for x in line.get_xdata()) == [1.1, 1.7, 29.0]


@pytest.mark.parametrize(
    ("draw", "words"),
    [
        (lambda: plots.frontier([]), "no row"),
        (lambda: plots.sizes([]), "fixed"),
        (lambda: plots.growth({}), "no growth"),
        (lambda: plots.tornado([]), "nothing"),
        (lambda: plots.roofline([]), "no matrix"),
        (lambda: plots.predicted([]), "no rows"),
        (lambda: plots.contours([], "Besiroglu2024"), "fixed"),
        (lambda: plots.compare_bars([]), "no row"),
    ],
)
def test_nothing_to_draw_is_said(draw: Callable[[], Any], words: str) -> None:
    assert words in draw().texts[0].get_text()


def test_an_unknown_figure_of_a_comparison_names_those_there_are() -> None:
    for name in ("nope", "accelerator", "feasible"):
        with pytest.raises(UnknownNameError, match="cost_usd"):
            compared().plot(name)
    assert (
        "no row" in plots.compare_bars(compared().to_dict()["rows"], figure="latency_s").texts[0].get_text()
    )


FRONT = [
    {"mark": mark, "n_gpus": 8, "params": 1e9, "loss": loss, "time_to_train_days": days, "cost_usd": cost, "energy_mwh": mwh}
    for mark, loss, days, cost, mwh in (
        ("least time", 2.6, 1.0, 500.0, 1.0), ("", 2.4, 3.0, 400.0, 2.0), ("least loss", 2.2, 9.0, 600.0, 5.0),
    )
]  # fmt: skip


@pytest.mark.parametrize(
    ("asked", "x", "y", "third"),
    [
        (["time", "loss", "energy"], "time_to_train_days", "loss", "energy_mwh"),
        (["loss", "cost"], "cost_usd", "loss", None),
        (["time", "energy"], "time_to_train_days", "energy_mwh", None),
        (["loss", "energy", "carbon"], "energy_mwh", "loss", None),  # nothing is known of carbon
    ],
)
def test_a_front_shows_the_objectives_that_were_asked_for(
    asked: list[str], x: str, y: str, third: str | None
) -> None:
    from simulator.report.plots.style import label

    document = {
        "answer": {**FRONT[1], "gpu_hours": 576.0},
        "frontier": FRONT,
        "scenario": {"objective": asked},
    }
    ax = plots.plot_result(document, "frontier")
    assert (ax.get_xlabel(), ax.get_ylabel()) == (label(x), label(y))
    star = next(line for line in ax.lines if line.get_marker() == "*")
    assert (star.get_xdata()[0], star.get_ydata()[0]) == (FRONT[1][x], FRONT[1][y])
    bars = [each for each in ax.figure.axes if each is not ax]
    assert [bar.get_ylabel() for bar in bars] == ([label(third)] if third else [])


def test_alternatives_on_several_accelerators_are_named_by_them() -> None:
    result = sim.run("compare-hardware")
    labels = [each.get_text() for each in result.plot("alternatives").get_yticklabels()]
    assert labels[0].startswith(f"0: {result.answer['accelerator']},")


def test_a_front_without_prices_shows_accelerator_time() -> None:
    rows = [{**row, "cost_usd": None} for row in FRONT]
    document = {
        "answer": {**rows[1], "gpu_hours": 576.0},
        "frontier": rows,
        "scenario": {"objective": ["cost", "loss"]},
    }
    ax = plots.plot_result(document, "frontier")
    assert ax.get_xlabel() == "accelerator time [h]"
    document["scenario"] = {"objective": ["carbon", "loss"]}
    assert "emissions" in plots.plot_result(document, "frontier").texts[0].get_text()


def test_an_unknown_kind_names_those_there_are() -> None:
    with pytest.raises(UnknownNameError, match="breakdown"):
        answered()[0].plot("brekdown")


def test_a_result_without_an_answer_says_why() -> None:
    question = {
        "model": {"num_hidden_layers": 4, "hidden_size": 64, "num_attention_heads": 4},
        "hardware": {"accelerator": "a100-sxm-80gb", "n_gpus": 8},
        "budget": {"max_gpus": 1},
    }
    with pytest.raises(SimulatorError, match="max_gpus"):
        sim.run(question).plot()


def test_without_matplotlib_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(SimulatorError, match=r"pip install trainsim\[plot\]"):
        answered()[0].plot()


def test_the_resolution_on_the_figure_is_that_of_the_planner() -> None:
    from simulator.report.plots.fields import RESOLUTION
    from simulator.search.question import RESOLUTION_NATS

    assert RESOLUTION == RESOLUTION_NATS
