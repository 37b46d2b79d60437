"""The timeline of a step: the right passes, in an order that can run, as long as the prediction."""

from __future__ import annotations

import itertools
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from simulator.cli import main
from simulator.errors import InfeasibleError
from simulator.pipeline import pipeline_time
from simulator.simulate import run
from simulator.tracing import Event, chrome_trace, order, passes, timeline


def answer(pp: int, vp: int, m: int, **more: Any) -> dict[str, Any]:
    levels = {"tiles": 3.0 * m, "data_parallel": 0.5, "optimizer": 0.25}
    return {"pp": pp, "vp": vp, "num_microbatches": m, "recompute": "none", "breakdown": levels, **more}


SHAPES = [
    (1, 1, 4),
    (2, 1, 2),
    (4, 1, 8),
    (8, 1, 64),
    (4, 1, 3),
    (2, 2, 4),
    (4, 2, 8),
    (4, 3, 16),
    (8, 4, 8),
    (8, 2, 32),
]


@pytest.mark.parametrize(("pp", "vp", "m"), SHAPES)
def test_every_stage_does_every_pass_once(pp: int, vp: int, m: int) -> None:
    for stage in range(pp):
        done = order(stage=stage, pp=pp, num_microbatches=m, vp=vp)
        assert len(done) == len(set(done)) == 2 * m * vp
        assert {(b, c) for kind, b, c in done if kind == "forward"} == {
            (b, c) for b in range(m) for c in range(vp)
        }


@pytest.mark.parametrize(("pp", "vp", "m"), SHAPES)
def test_nothing_overlaps_and_nothing_starts_before_its_input(pp: int, vp: int, m: int) -> None:
    events = [e for e in timeline(answer(pp, vp, m)) if e.micro_batch >= 0]
    by_stage: dict[int, list[Event]] = defaultdict(list)
    ends = {}
    for event in events:
        by_stage[event.stage].append(event)
        ends[event.level, event.micro_batch, event.chunk * pp + event.stage] = (
            event.start_s + event.duration_s
        )
    for own in by_stage.values():
        own.sort(key=lambda e: e.start_s)
        for one, other in itertools.pairwise(own):
            assert other.start_s >= one.start_s + one.duration_s - 1e-9
    for event in events:
        place = event.chunk * pp + event.stage
        if event.level == "forward" and place:
            assert event.start_s >= ends["forward", event.micro_batch, place - 1] - 1e-9
        if event.level == "backward" and place < pp * vp - 1:
            assert event.start_s >= ends["backward", event.micro_batch, place + 1] - 1e-9


@pytest.mark.parametrize(("pp", "vp", "m"), [s for s in SHAPES if s[2] >= s[0] and s[2] % s[0] == 0])
def test_length_is_that_of_the_closed_formula(pp: int, vp: int, m: int) -> None:
    events = [e for e in timeline(answer(pp, vp, m)) if e.micro_batch >= 0]
    end = max(e.start_s + e.duration_s for e in events)
    closed = float(pipeline_time(middle_s=3.0, last_s=3.0, pp=pp, num_microbatches=m, vp=vp))
    assert end == pytest.approx(closed, rel=1e-6)


def test_the_tail_follows_the_last_backward() -> None:
    events = timeline(answer(2, 1, 4))
    last = max(e.start_s + e.duration_s for e in events if e.micro_batch >= 0)
    tail = [e for e in events if e.micro_batch < 0]
    assert {e.name for e in tail} == {"data parallel", "optimizer"}
    assert min(e.start_s for e in tail) == last
    assert max(e.start_s + e.duration_s for e in tail) == pytest.approx(last + 0.75)


def test_recomputation_lengthens_the_backward_pass() -> None:
    assert passes(answer(1, 1, 1))["chunk"] == pytest.approx((1.0, 2.0))
    assert passes(answer(1, 1, 1, recompute="full"))["chunk"] == pytest.approx((0.75, 2.25))


@pytest.mark.parametrize(
    ("given", "schedule", "reason"),
    [
        (answer(4, 1, 8), "gpipe", "not gpipe"),
        (answer(4, 2, 6), "interleaved", "groups of pp"),
        (answer(64, 1, 100_000), "1f1b", "too many"),
    ],
)
def test_what_cannot_be_shown_is_refused(given: dict[str, Any], schedule: str, reason: str) -> None:
    with pytest.raises(InfeasibleError, match=reason):
        timeline(given, schedule=schedule)


PIPELINED = {
    "model": "gpt-3-175b",
    "training": {
        "steps": 10,
        "seq_length": 2048,
        "global_batch_size": 512,
        "micro_batch_size": 1,
        "recompute": "full",
    },
    "hardware": {"accelerator": "a100-sxm-80gb", "n_gpus": 512},
    "parallelism": {"tp": 8, "pp": 8, "zero_stage": 1, "sequence_parallel": True},
}


@pytest.mark.parametrize("vp", [1, 3])
def test_a_real_plan_is_as_long_as_its_prediction(vp: int) -> None:
    parallel = {**PIPELINED["parallelism"], "vp": vp}  # type: ignore[dict-item]
    result = run({**PIPELINED, "parallelism": parallel})
    assert result.feasible
    events = timeline(result.answer)
    end = max(e.start_s + e.duration_s for e in events)
    # The logits lengthen the last stage only; the closed formula lets them set the beat.
    assert end == pytest.approx(result.answer["step_time_s"], rel=0.03)


def test_a_stage_of_a_grown_plan(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lengths = []
    for arguments, told in (
        (("--stage", "1"), "stage 1 of 2 of a grown plan; --stage 2 for the next"),
        ((), "stage 2 of 2 of a grown plan; --stage 1 for the first"),
    ):
        out = tmp_path / f"step{len(lengths)}.json"
        assert main(["trace", "quickstart", *arguments, "--out", str(out)]) == 0
        assert told in capsys.readouterr().err
        trace = json.loads(out.read_text())["traceEvents"]
        assert told[:7] in trace[0]["args"]["name"]
        lengths.append(max(e["ts"] + e["dur"] for e in trace if e["ph"] == "X") / 1e6)
    steps = [stage["step_time_s"] for stage in run("quickstart").stages]
    assert lengths == pytest.approx(steps, rel=0.03)
    assert main(["trace", "quickstart", "--stage", "3"]) == 2


def test_command_writes_what_perfetto_reads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "step.json"
    scenario = tmp_path / "plan.json.yaml"
    scenario.write_text(json.dumps(PIPELINED))
    assert main(["trace", str(scenario), "--out", str(out)]) == 0
    assert "timeline" in capsys.readouterr().err
    trace = json.loads(out.read_text())
    bars = [e for e in trace["traceEvents"] if e["ph"] == "X"]
    assert len({e["tid"] for e in bars}) == 8
    assert all(e["dur"] > 0 and e["ts"] >= 0 for e in bars)
    assert chrome_trace([])["traceEvents"][0]["name"] == "process_name"
