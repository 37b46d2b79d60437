"""Logs of training programs beside their prediction."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from simulator.cli import main
from simulator.errors import SpecError
from simulator.monitoring import Log, Point, judge, read_log
from simulator.monitoring.verdict import PARTS, TIMERS

QUESTION = """\
name: watched
model: llama-3.1-8b
training: {steps: 1000, seq_length: 8192, global_batch_size: 128, micro_batch_size: 1}
parallelism: {tp: 2, pp: 1, zero_stage: 1}
hardware: {accelerator: h100-sxm-80gb, n_gpus: 64}
"""

# Lines as the programs print them (see the references of simulator/monitoring/logs.py).
MEGATRON = (
    " [2025-04-13 23:41:12] iteration {step:8d}/    1000 | consumed samples: {done:12d} | elapsed time per iteration (ms): "
    "{ms:.1f} | throughput per GPU (TFLOP/s/GPU): 400.1 | learning rate: 1.342E-04 | global batch size: {batch:5d} | "
    "lm loss: 7.399415E+00 | loss scale: 1.0 | grad norm: 2.918 | number of skipped iterations:   0 |"
)
TITAN = (
    "[rank0]:\x1b[31mstep: {step:2d}  \x1b[32mloss:  5.95356  \x1b[38;2;180;60;0mgrad_norm:  3.4653  "
    "\x1b[38;2;54;234;195mmemory: 41.50GiB(52.37%)  \x1b[34mtps: {tps:,}  \x1b[36mtflops: 413.90  \x1b[35mmfu: 41.85%\x1b[39m"
)
NANOTRON = (
    "[default0]:11/20/2025 10:00:01 [INFO|DP=0|PP=0|TP=0|ip-1]: iteration: {step} / 15 | consumed_tokens: 1.54K | "
    "elapsed_time_per_iteration_ms: {ms} | tokens_per_sec: 15.3K | tokens_per_sec_per_gpu: 1.9K | global_batch_size: 4 | "
    "lm_loss: 5.5 | lr: 0.0003 | model_tflops_per_gpu: 1.2 | grad_norm: 0.5"
)


@pytest.fixture
def question(tmp_path: Path) -> str:
    path = tmp_path / "watched.yaml"
    path.write_text(QUESTION)
    return str(path)


def predicted(question: str, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    assert main(["run", question, "--json"]) == 0
    answer: dict[str, Any] = json.loads(capsys.readouterr().out)["answer"]
    return answer


def megatron_log(times_s: Sequence[float], batch: int = 128) -> str:
    lines = [
        MEGATRON.format(step=step, done=step * batch, ms=each * 1e3, batch=batch)
        for step, each in enumerate(times_s, 1)
    ]
    return "using world size: 64, data-parallel size: 32\n" + "\n".join(lines) + "\n"


# --- reading --------------------------------------------------------------------------------------------------------


def test_megatron_lines() -> None:
    log = read_log(megatron_log([2.0, 1.5, 1.5]))
    assert (log.kind, [p.step_time_s for p in log.points]) == ("megatron", [2.0, 1.5, 1.5])
    assert (log.points[0].loss, log.points[0].global_batch_size) == (7.399415, 128)


def test_megatron_timers_of_the_slowest_rank() -> None:
    timers = (
        "(min, max) time across ranks (ms):\n"
        "    forward-compute ................................: (350.10, 352.50)\n"
        "    all-grads-sync .................................: (0.10, 900.00)\n"
    )
    assert read_log(megatron_log([1.5]) + timers).timers_s == {
        "forward-compute": 0.3525,
        "all-grads-sync": 0.9,
    }


def test_torchtitan_lines_with_colors() -> None:
    log = read_log(TITAN.format(step=30, tps=8192), tokens_per_step=128 * 8192, n_gpus=64)
    assert log.kind == "torchtitan"
    assert log.points == [Point(30, 2.0, loss=5.95356, memory_gib=41.5)]


@pytest.mark.parametrize(("text", "seconds"), [("1.2K", 1.2), ("334", 0.334), ("33.4K", 33.4)])
def test_nanotron_lines(text: str, seconds: float) -> None:
    log = read_log(NANOTRON.format(step=3, ms=text))
    assert log.kind == "nanotron"
    assert log.points[0].step_time_s == pytest.approx(seconds)
    assert log.points[0].global_batch_size == 4


def test_hugging_face_progress_and_state() -> None:
    bar = "\r  1%|          | 10/1000 [00:20<33:00,  2.00s/it]\r  2%|    | 20/1000 [00:30<33:00,  4.00it/s]"
    assert [p.step_time_s for p in read_log(bar).points] == [2.0, 0.25]
    state = {
        "global_step": 500,
        "log_history": [
            {"epoch": 0.1, "loss": 2.1, "step": 10},
            {"step": 500, "train_runtime": 620.5, "train_steps_per_second": 0.806, "train_loss": 1.9},
        ],
    }
    log = read_log(json.dumps(state))
    assert (log.kind, log.points) == ("huggingface", [Point(500, 1.241, loss=1.9)])


@pytest.mark.parametrize(
    ("text", "times"),
    [
        (
            '"Step","run-1 - iteration-time","run-1 - iteration-time__MIN"\n"1","1.5","9"\n"2","1.25","9"\n',
            [1.5, 1.25],
        ),
        ("Wall time,Step,Value\n1700000000,10,9.0\n1700000030,20,8.0\n1700000050,30,7.0\n", [3.0, 2.0]),
        ("_step,_runtime,train/loss\n5,10.0,3\n10,20.0,2\n", [2.0]),
        ("step,elapsed_time_per_iteration_ms\n1,1500\n2,\n3,1250\n", [1.5, 1.25]),
        ("step,perf/iteration_time_ms\n1,1500\n", [1.5]),
        ("step,throughput(tps)\n1,8192\n2,4096\n", [2.0, 4.0]),
    ],
)
def test_tables(text: str, times: list[float]) -> None:
    log = read_log(text, tokens_per_step=128 * 8192, n_gpus=64)
    assert log.kind == "csv"
    assert [p.step_time_s for p in log.points] == pytest.approx(times)


@pytest.mark.parametrize(
    "text", ["", "hello\n", "step,color\n1,red\n", '{"log_history": [}', "step: 1 loss: . tps: ,"]
)
def test_a_file_without_steps_is_one_clear_error(text: str) -> None:
    with pytest.raises(SpecError):
        read_log(text, tokens_per_step=1.0)


def test_a_restarted_run_counts_each_step_once() -> None:
    log = read_log(megatron_log([2.0, 2.0]) + megatron_log([1.0]))
    assert [(p.step, p.step_time_s) for p in log.points] == [(1, 1.0), (2, 2.0)]


LOGS = Path(__file__).parent / "data" / "logs"


def real(name: str, **plan: float) -> Log:
    """Lines of a log that its owner has published; see the folder's README."""
    return read_log((LOGS / name).read_text(encoding="utf-8"), **plan)


def test_a_real_log_of_megatron() -> None:
    log = real("megatron_llm.log")
    assert log.kind == "megatron"
    assert [(p.step, p.step_time_s, p.global_batch_size) for p in log.points] == [
        (122, 86.5452, 1024),
        (123, 87.8716, 1024),
        (124, 89.4748, 1024),
        (125, 89.0752, 1024),
    ]
    assert log.points[0].loss == 2.50422


def test_real_logs_of_torchtitan_agree_with_their_own_clock() -> None:
    """tps is of one rank: with the tokens of a step it gives the time between the stamps of the lines."""
    # 5,868 tokens/s per rank and 13.964 s between ten steps: 8,192 tokens per rank and step.
    log = real("torchtitan_llama.log", tokens_per_step=8192, n_gpus=1)
    assert [p.step for p in log.points] == [200, 210, 220, 230, 240, 250]
    assert log.points[2].step_time_s == pytest.approx(1.3964, rel=2e-3)
    assert log.points[2].memory_gib == 49.66
    each = real("torchtitan_every_step.log", tokens_per_step=8192, n_gpus=1)
    assert [p.step_time_s for p in each.points] == pytest.approx([1.122] * 5, rel=6e-3)
    ranks = real("torchtitan_every_rank.log", tokens_per_step=16384, n_gpus=1)
    assert [p.step for p in ranks.points] == [4, 5]
    assert ranks.points[1].step_time_s == pytest.approx(1.637, rel=2e-3)


def test_real_logs_of_nanotron() -> None:
    log = real("nanotron_pretraining.log")
    assert (log.kind, len(log.points)) == ("nanotron", 4)
    assert {p.step_time_s for p in log.points} == {11.5}
    assert log.points[-1].step == 327284
    assert [p.step_time_s for p in real("nanotron_small.log").points] == pytest.approx(
        [0.045, 0.0412, 0.0394]
    )


def test_real_progress_of_the_hugging_face_trainer() -> None:
    log = real("trainer_axolotl.log")
    assert log.kind == "huggingface"
    assert [(p.step, p.step_time_s) for p in log.points] == [(258, 4.24), (260, 4.21)]
    swift = real("trainer_swift.log")
    assert [p.step for p in swift.points] == [145, 146, 147, 148, 149, 150]
    assert [p.step_time_s for p in swift.points] == [1.81, 1.8, 1.82, 1.81, 1.81, 2.25]


def test_a_real_table_of_tensorboard() -> None:
    log = real("tensorboard.csv")
    assert [p.step for p in log.points] == [5, 10, 15, 20, 25, 30]
    assert [p.step_time_s for p in log.points] == pytest.approx([19.1] * 6, abs=0.2)


# --- judging --------------------------------------------------------------------------------------------------------


def answer(**more: Any) -> dict[str, Any]:
    levels = {"tiles": 0.6, "tensor_parallel": 0.3, "data_parallel": 0.08, "optimizer": 0.02}
    return {"step_time_s": 1.0, "interval": {"step_time_s": [0.9, 1.15]}, "breakdown": levels, **more}


def points(times: Any) -> Log:
    return Log("megatron", [Point(i, float(t)) for i, t in enumerate(times, 1)])


@pytest.mark.parametrize(
    ("seconds", "verdict"), [(1.0, "on track"), (1.14, "on track"), (1.2, "slow"), (0.8, "fast")]
)
def test_verdict_by_the_interval(seconds: float, verdict: str) -> None:
    found = judge(points([seconds] * 30), answer())
    assert found["verdict"] == verdict
    assert bool(found["blame"]) == (verdict == "slow")


def test_warm_up_does_not_count() -> None:
    assert judge(points([60.0] * 5 + [1.0] * 20), answer())["mean_step_time_s"] == 1.0
    assert judge(points([60.0] * 5 + [1.0] * 20), answer(), skip=0)["mean_step_time_s"] > 10


def test_shares_explain_exactly_the_excess() -> None:
    found = judge(points([1.3] * 30), answer())
    for each in found["blame"]:
        level = answer()["breakdown"][each["level"]]
        assert level * each["factor"] + (1.0 - level) == pytest.approx(1.3, rel=1e-3)
    # data_parallel would have to be 4.75 times slower, which is not offered.
    assert [each["level"] for each in found["blame"]] == ["tiles", "tensor_parallel"]


def test_timers_name_the_part_that_is_slow() -> None:
    log = points([1.5] * 30)
    log.timers_s = {
        "all-grads-sync": 0.55,
        "forward-compute": 0.3,
        "backward-compute": 0.6,
        "optimizer": 0.02,
    }
    first = judge(log, answer())["blame"][0]
    assert (first["level"], first["evidence"]) == ("data_parallel", "measured")
    assert first["excess_s"] == pytest.approx(0.47)


def test_stalls_move_the_mean_and_not_the_verdict() -> None:
    times = np.where(np.arange(100) % 20 == 19, 8.0, 1.0)
    found = judge(points(times), answer())
    assert found["verdict"] == "on track"
    assert found["stalled_share"] == pytest.approx(5 * 7 / (90 + 5 * 8), rel=0.01)
    assert any("checkpoints" in note for note in found["notes"])


def test_drift_is_seen_and_named_before_the_shares() -> None:
    found = judge(points(np.linspace(1.1, 1.5, 60)), answer())
    assert found["drift"] > 0.2
    assert found["blame"][0]["level"] == "drift"
    assert judge(points([1.3] * 60), answer())["drift"] == 0.0


def test_another_batch_is_another_plan() -> None:
    log = Log("megatron", [Point(i, 1.0, global_batch_size=64) for i in range(1, 30)])
    found = judge(log, answer(global_batch_size=128))
    assert found["verdict"] == "another plan"
    assert "64 sequences" in found["notes"][0]


def test_another_number_of_steps_is_another_plan() -> None:
    log = Log("megatron", [Point(i, 1.0, total_steps=873) for i in range(1, 30)])
    found = judge(log, answer(steps=23842.0))
    assert found["verdict"] == "another plan"
    assert "873 steps" in found["notes"][0]
    assert "23,842" in found["notes"][0]
    assert found["share_done"] == pytest.approx(29 / 873, abs=1e-4)
    for same in (answer(steps=873.0), answer(steps=900.0), answer(), answer(steps=float("nan"))):
        assert judge(log, same)["verdict"] == "on track"


def test_the_steps_of_the_whole_run_are_read() -> None:
    assert {p.total_steps for p in read_log(megatron_log([1.0, 1.0])).points} == {1000}
    endless = megatron_log([1.0]).replace("/    1000", "/infinity")
    assert read_log(endless).points[0].total_steps is None
    assert {p.total_steps for p in real("megatron_llm.log").points} == {250000}
    assert {p.total_steps for p in real("nanotron_small.log").points} == {1000}
    assert {p.total_steps for p in real("trainer_axolotl.log").points} == {873}
    assert {p.total_steps for p in real("trainer_swift.log").points} == {250250}
    begin = "[rank0]:Training starts at step 1, with local batch size 8, global batch size 64, total steps 1000 (warmup 200)\n"
    titan = read_log(begin + TITAN.format(step=30, tps=8192), tokens_per_step=128 * 8192, n_gpus=64)
    assert titan.points[0].total_steps == 1000
    state = {
        "max_steps": 500,
        "log_history": [{"step": 500, "train_runtime": 500.0, "train_steps_per_second": 1.0}],
    }
    assert read_log(json.dumps(state)).points[0].total_steps == 500


def test_what_is_left_follows_the_mean_pace() -> None:
    found = judge(points([2.0] * 100), answer(steps=1000.0))
    assert found["days_left"] == pytest.approx(900 * 2.0 / 86400)
    assert found["days_left_predicted"] == pytest.approx(900 / 86400)


def test_every_timed_part_has_its_levels() -> None:
    from simulator.report.sections import LEVELS

    assert set(TIMERS) == set(PARTS)
    assert {level for levels in PARTS.values() for level in levels} <= set(LEVELS)


# --- command --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("factor", "code", "word"), [(1.0, 0, "ON TRACK"), (1.8, 1, "SLOW"), (0.4, 0, "FAST")]
)
def test_command(
    question: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], factor: float, code: int, word: str
) -> None:
    seconds = predicted(question, capsys)["step_time_s"] * factor
    log = tmp_path / "train.log"
    log.write_text(megatron_log([seconds] * 40))
    assert main(["watch", str(log), "--scenario", question]) == code
    page = capsys.readouterr().out
    assert page.startswith(word)
    assert "4.0% done" in page
    assert ("Probably to blame" in page) == (word == "SLOW")


def test_command_watches_a_stage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from simulator.simulate import run

    result = run("quickstart")
    first = result.stage(1)
    batch = first["global_batch_size"]
    # The plan's own length, as the program prints it.
    text = megatron_log([first["step_time_s"]] * 40, batch=batch)
    log = tmp_path / "train.log"
    log.write_text(re.sub(r"/ +1000 ", f"/ {math.ceil(first['steps'])} ", text))
    assert main(["watch", str(log), "--scenario", "quickstart", "--stage", "1"]) == 0
    page = capsys.readouterr().out
    assert page.startswith("ON TRACK")
    assert "stage 1 of 2 of a grown plan; --stage 2 for the next" in page
    main(["watch", str(log), "--scenario", "quickstart", "--stage", "1", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert (found["stage"], found["stages"]) == (1, 2)
    assert found["share_done"] == pytest.approx(40 / first["steps"], abs=1e-4)
    switch_days = result.stages[0]["switch_days"]
    left = (
        (result.stages[0]["time_days"] - switch_days) * result.answer["goodput"] * (1 - 40 / first["steps"])
    )
    assert found["days_left"] == pytest.approx(left, rel=1e-3)
    main(["watch", str(log), "--scenario", "quickstart"])
    assert "stage 2 of 2 of a grown plan; --stage 1 for the first" in capsys.readouterr().out
    assert main(["watch", str(log), "--scenario", "quickstart", "--stage", "3"]) == 2


def test_command_reads_bytes_that_are_no_text(
    question: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "train.log"
    log.write_bytes(b"\xff\xfe\x00 noise\n" + megatron_log([1.0] * 10, batch=64).encode())
    assert main(["watch", str(log), "--scenario", question, "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["verdict"] == "another plan"


def test_command_sees_a_log_of_another_length(question: str, capsys: pytest.CaptureFixture[str]) -> None:
    log = str(LOGS / "trainer_axolotl.log")
    assert main(["watch", log, "--scenario", question, "--set", "training.steps=23842"]) == 1
    page = capsys.readouterr().out
    assert page.startswith("ANOTHER PLAN")
    assert "873 steps in all, the plan's 23,842" in " ".join(page.split())
    assert "29.8% done" in page


@pytest.mark.parametrize("every", ["nan", "inf", "0", "1e9"])
def test_command_refuses_a_pause_that_is_none(
    question: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], every: str
) -> None:
    log = tmp_path / "train.log"
    log.write_text(megatron_log([1.0] * 40))
    assert main(["watch", str(log), "--scenario", question, "--follow", "--every", every]) == 2
    assert "0.1<=x<=86400" in capsys.readouterr().err


def test_command_without_a_log(question: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["watch", str(tmp_path / "none.log"), "--scenario", question]) == 2
    assert "no such file" in capsys.readouterr().err


def test_a_table_without_times_says_which_columns_are_read() -> None:
    with pytest.raises(SpecError) as caught:
        read_log("step,time_per_step\n1,2.0\n2,2.0\n", name="run.csv")
    (problem,) = caught.value.problems
    assert problem.reason == "no step with its time was found in columns step, time_per_step"
    assert all(
        name in problem.hint for name in ("step_time_s", "step_time_ms", "tokens_per_s_per_gpu", "_runtime")
    )
    with pytest.raises(SpecError, match=r"logs that are read: Megatron-LM"):
        read_log("nothing of the kind\n")
