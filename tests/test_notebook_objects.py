"""Every object that Python hands back: one line, a table for notebooks, a frame, plain data."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

import simulator as sim
from simulator.errors import InfeasibleError, SimulatorError, SpecError, UnknownNameError

QUESTION: dict[str, Any] = {
    "name": "a <b> & c",
    "model": {"num_hidden_layers": 24, "hidden_size": 2048, "num_attention_heads": 16},
    "training": {"tokens": "20B", "global_batch_size": 128},
    "hardware": {"accelerator": "h100-sxm-80gb", "n_gpus": 8},
}
LOGS = Path(__file__).parent / "data" / "logs"


class Tags(HTMLParser):
    """Whether every tag that opens closes."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.seen.add(tag)
        if tag != "br":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("sweep")
    cases = folder / "cases.csv"
    shipped = (Path(__file__).resolve().parent.parent / "measurements" / "throughput.csv").read_text()
    cases.write_text("\n".join(shipped.splitlines()[:30]) + "\n")
    result = sim.run(QUESTION)
    return {
        "result": result,
        "comparison": sim.compare(QUESTION, vary={"hardware.n_gpus": [8, 16]}),
        "sweep": sim.sweep(
            QUESTION, {"training.tokens": ["10B", "20B"], "hardware.n_gpus": [8, 16]}, out=folder / "out"
        ),
        "difference": sim.diff(result, QUESTION, set_second=["hardware.n_gpus=16"]),
        "watched": sim.watch(LOGS / "megatron_llm.log", result),
        "validated": sim.validated(cases),
    }


KINDS = ["result", "comparison", "sweep", "difference", "watched", "validated"]


@pytest.mark.parametrize("kind", KINDS)
def test_one_line_and_a_table_without_script(objects: dict[str, Any], kind: str) -> None:
    shown = objects[kind]
    assert "\n" not in repr(shown)
    assert 10 < len(repr(shown)) < 300
    page = shown._repr_html_()
    tags = Tags()
    tags.feed(page)
    assert tags.open == []
    assert tags.seen & {"table", "pre"}
    assert "script" not in tags.seen
    assert "b" not in tags.seen or "<b> & c" not in page


@pytest.mark.parametrize("kind", KINDS)
def test_a_frame(objects: dict[str, Any], kind: str) -> None:
    frame = objects[kind].frame
    assert len(frame) >= (0 if kind == "watched" else 1)


@pytest.mark.parametrize("kind", ["result", "comparison", "difference", "watched", "validated"])
def test_plain_data(objects: dict[str, Any], kind: str) -> None:
    assert json.loads(json.dumps(objects[kind].to_dict(), allow_nan=False))


def test_figures_are_explained(objects: dict[str, Any]) -> None:
    for key in ("cost_usd", "step_time_s", "loss", "memory_gib", "mfu", "binding"):
        assert len(objects["result"].explain(key)) > 10
    with pytest.raises(UnknownNameError):
        objects["result"].explain("price")


def test_a_difference_names_what_differs(objects: dict[str, Any]) -> None:
    found = objects["difference"]
    assert {row["figure"] for row in found.rows} >= {"n_gpus", "step_time_s", "cost_usd"}
    assert "x 2" in str(found)
    same = sim.diff(objects["result"], objects["result"])
    assert same.rows == []
    assert "equal" in str(same)


def test_a_run_is_watched(objects: dict[str, Any]) -> None:
    found = objects["watched"]
    assert found.verdict == "another plan"
    assert "1,024" in found._repr_html_() or "1024" in found._repr_html_()
    with pytest.raises(InfeasibleError):
        sim.watch(LOGS / "megatron_llm.log", "does-not-fit")
    with pytest.raises(SimulatorError):
        sim.watch(LOGS / "none.log", objects["result"])


def test_a_validation_has_its_rows(objects: dict[str, Any]) -> None:
    found = objects["validated"]
    assert {"predicted_step_time_s", "measured_step_time_s"} <= set(found.frame.columns)
    assert found.to_dict()["cases"]["n"] == len(found.frame)


def test_a_sweep_is_drawn(objects: dict[str, Any]) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    ax = objects["sweep"].plot("cost_usd")
    assert len(ax.lines) == 2
    assert ax.get_ylabel() == "cost [USD]"
    with pytest.raises(UnknownNameError):
        objects["sweep"].plot("costs")
    plt.close("all")


def test_changes_apply_to_a_scenario_that_is_loaded_and_to_an_answer_at_hand() -> None:
    loaded = sim.load_scenario("llama-2-7b-a100")
    assert sim.run(loaded, set=["training.tokens=1T"]).answer["tokens"] == 1e12
    assert sim.load_scenario(loaded) is loaded
    with pytest.raises(SpecError, match="nonsense"):
        sim.run(loaded, set=["nonsense.field=3"])
    with pytest.raises(UnknownNameError, match="nope"):
        sim.run(loaded, scenario="nope")
    compared = sim.compare(loaded, ["h100-sxm-80gb:64"], set=["training.tokens=1T"])
    assert compared.results[0].answer["tokens"] == 1e12
    answer = sim.run(loaded)
    for one in (loaded, answer):
        found = sim.diff(one, one, set_second=["hardware.n_gpus=128"])
        assert next(row["second"] for row in found.rows if row["figure"] == "n_gpus") == 128
    assert not sim.diff(answer, answer).rows


def test_bare_numbers_of_a_mapping_stay_si_when_something_is_set(tmp_path: Path) -> None:
    question = {
        "model": "llama-2-7b",
        "hardware": {"accelerator": "a100-sxm-80gb", "n_gpus": 64},
        "training": {"tokens": 1e12},
        "budget": {"time": 90 * 86400.0},
    }
    assert sim.run(question, set=["training.seq_length=2048"]).answer["tokens"] == 1e12
    swept = sim.sweep(question, {"hardware.n_gpus": [32, 64]}, out=tmp_path)
    assert list(swept.frame["n_gpus"]) == [32, 64]
    loaded = sim.sweep(sim.load_scenario(question), {"hardware.n_gpus": [32]}, out=tmp_path / "loaded")
    assert list(loaded.frame["n_gpus"]) == [32]


def test_an_answer_on_an_accelerator_of_ones_own_is_asked_again_on_it() -> None:
    """The echo of a scenario once reduced accelerators to their name."""
    slow = {"extends": "h100-sxm-80gb", "memory_bandwidth": "1 TB/s"}
    question = {**QUESTION, "hardware": {"accelerator": slow, "n_gpus": 8}}
    answer = sim.run(question)
    assert not sim.diff(answer, answer, set_second=["seed=0"]).rows
    assert sim.run(answer.scenario).answer == answer.answer
    named = sim.run("datasheet-accelerator")
    assert sim.run(named.scenario, set=["seed=0"]).answer == named.answer
    assert sim.run(QUESTION).scenario["hardware"][0]["accelerator"] == "h100-sxm-80gb"
