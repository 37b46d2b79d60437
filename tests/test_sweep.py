"""``trainsim sweep``: every point once, in order, whatever happens on the way."""

from __future__ import annotations

import csv
import importlib.util
import json
import os
import random
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import simulator as sim
from simulator.cli import main
from simulator.commands.sweep import line
from simulator.errors import SimulatorError, SpecError
from simulator.sweeping import Progress, axis_of, sweep
from simulator.sweeping.points import Axis, Grid
from simulator.sweeping.store import Store, write_csv

KILLS = int(os.environ.get("TRAINSIM_SWEEP_KILLS", "5"))
"""Random moments at which a sweep is killed."""

QUESTION: dict[str, Any] = {
    "model": {"num_hidden_layers": 24, "hidden_size": 2048, "num_attention_heads": 16},
    "training": {"tokens": "20B", "seq_length": 2048, "global_batch_size": 128},
    "hardware": {"accelerator": "a100-sxm-80gb", "n_gpus": 8, "price": {"provider": "crusoe"}},
}
TEXT = """\
name: small run
model: {num_hidden_layers: 24, hidden_size: 2048, num_attention_heads: 16}
training: {tokens: 20B, seq_length: 2048, global_batch_size: 128}
hardware: {accelerator: a100-sxm-80gb, n_gpus: 8, price: {provider: crusoe}}
"""


@pytest.fixture
def question(tmp_path: Path) -> str:
    path = tmp_path / "question.yaml"
    path.write_text(TEXT)
    return str(path)


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "results.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_a_row_per_combination_equals_a_run_of_its_own(tmp_path: Path) -> None:
    vary = {"hardware.n_gpus": [8, 16], "training.tokens": ["10B", "20B"]}
    found = sweep(QUESTION, vary, out=tmp_path / "out")
    table = rows(tmp_path / "out")
    assert found.points == len(table) == 4
    assert [(r["vary.hardware.n_gpus"], r["vary.training.tokens"]) for r in table] == [
        ("8", "10B"),
        ("8", "20B"),
        ("16", "10B"),
        ("16", "20B"),
    ]
    alone = sim.run(
        {**QUESTION, "training": {**QUESTION["training"], "tokens": "10B"}}, set=["hardware.n_gpus=16"]
    )
    for name in ("step_time_s", "cost_usd", "loss", "tp", "memory_gib"):
        assert float(table[2][name]) == alone.answer[name], name
    assert float(table[2]["cost_usd_p90"]) == alone.answer["interval"]["cost_usd"][1]
    assert list(found.frame["point"]) == [0, 1, 2, 3]


def test_side_by_side(tmp_path: Path) -> None:
    axes = [Axis("hardware.n_gpus", (8, 16)), Axis("training.tokens", ("10B", "20B"))]
    sweep(QUESTION, axes, out=tmp_path, zipped=True)
    assert [(r["n_gpus"], float(r["tokens"])) for r in rows(tmp_path)] == [("8", 10e9), ("16", 20e9)]
    with pytest.raises(SpecError, match="one length"):
        sweep(QUESTION, {"hardware.n_gpus": [8], "seed": [1, 2]}, out=tmp_path, zipped=True)


def test_what_does_not_run_is_a_row_with_its_reason(tmp_path: Path) -> None:
    vary = {"parallelism.tp": [1, 16], "hardware.n_gpus": [8, 16], "training.micro_batch_size": [1, 100_000]}
    found = sweep(QUESTION, {**vary, "training.micro_batch_size": [1, 128]}, out=tmp_path)
    table = rows(tmp_path)
    by_point = {
        (r["vary.parallelism.tp"], r["vary.hardware.n_gpus"], r["vary.training.micro_batch_size"]): r
        for r in table
    }
    assert by_point["1", "8", "1"]["feasible"] == "True"
    refused = by_point["16", "8", "1"]
    assert (refused["feasible"], refused["reason"]) == ("False", "scenario")
    assert "does not divide n_gpus 8" in refused["why"]
    assert found.infeasible == sum(r["feasible"] == "False" for r in table) >= 2
    assert all(r["why"] for r in table if r["feasible"] == "False")


def test_points_by_number_equal_the_product() -> None:
    import itertools

    lists: tuple[tuple[Any, ...], ...] = ((1, 2, 3), ("a", "b"), (None,), (0.5, 1.5, 2.5))
    grid = Grid(tuple(Axis(str(i), values) for i, values in enumerate(lists)))
    assert list(grid.points()) == list(itertools.product(*lists))
    assert list(grid.points(7, 11)) == list(itertools.product(*lists))[7:11]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--vary", "hardware.n_gpus"], "expected path=value"),
        (["--vary", "hardware.n_gpus="], "no value"),
        (["--vary", "hardware.n_gpus=8,8"], "more than once"),
        (["--vary", "hardware.n_gpus=8", "--vary", "hardware.n_gpus=16"], "varies twice"),
        (["--vary", "training.tokens=abc,20B"], "does not start with a number"),
        (["--vary", "parallelism.tq=1"], "unknown field"),
        (["--vary", "hardware.accelerator=h10"], "h10"),
        (["--vary", "clock=foo"], "no clock named 'foo'"),
        (["--vary", "law=Hofmann2022"], "did you mean Hoffmann2022"),
        (["--vary", "parallelism.tp=3"], "does not divide"),
        (["--vary", "seed=[1"], "--vary seed"),
        (["--vary", "hardware.n_gpus=1,024"], "024 looks like a thousands separator\n  write 1024"),
        (["--vary", "hardware.n_gpus=8, 2,000,000"], "000 looks like a thousands separator\n  write 2000000"),
        (["--vary", "hardware.n_gpus=8,016,32"], "016 looks like a thousands separator\n  write 8016"),
        (["--vary", "hardware.n_gpus=08"], "08 starts with a zero\n  write 8"),
        (["--vary", "seed=1", "--workers", "2", "--scheduler", "x"], "cannot be given together"),
    ],
)
def test_bad_input_is_one_clear_error(
    question: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], words: str
) -> None:
    out = tmp_path / "out"
    assert main(["sweep", question, "--out", str(out), *arguments]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert "Traceback" not in error
    assert "internal" not in error
    assert not out.exists()


def test_a_folder_that_cannot_be_made(
    question: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert main(["sweep", question, "--out", str(tmp_path / "file" / "x"), "--vary", "seed=1"]) == 2
    assert "no folder can be made here" in capsys.readouterr().err


def test_finished_chunks_are_not_answered_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    vary: dict[str, list[Any]] = {"seed": list(range(6))}
    first = sweep(QUESTION, vary, out=tmp_path, chunk_points=2)
    before = (tmp_path / "results.csv").read_bytes()
    lost = sorted((tmp_path / "chunks").iterdir())[1]
    lost.write_bytes(lost.read_bytes()[:-5])  # half a chunk, as a broken disk leaves it
    (tmp_path / "chunks" / ".x.jsonl.1.part").write_text("half")
    (tmp_path / "results.csv").unlink()
    seen: list[Progress] = []
    again = sweep(QUESTION, vary, out=tmp_path, chunk_points=2, tell=seen.append)
    assert (first.kept, again.kept) == (0, 4)
    assert [(p.done, p.kept) for p in seen] == [(4, 4), (6, 4)]
    assert (tmp_path / "results.csv").read_bytes() == before
    assert not list(tmp_path.rglob("*.part"))
    monkeypatch.setattr("simulator.sweeping.running.version", lambda: "another")
    assert sweep(QUESTION, vary, out=tmp_path, chunk_points=2).kept == 0


def test_a_changed_file_behind_a_name_starts_afresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = tmp_path / "accelerators" / "mine.yaml"
    spec.parent.mkdir()
    spec.write_text("extends: a100-sxm-80gb\nid: mine\nname: Mine\nsource: mine\nretrieved: 2025-01-01\n")
    monkeypatch.setenv("TRAINSIM_PATH", str(tmp_path))
    vary = {"hardware.accelerator": ["mine", "a100-sxm-80gb"]}
    bare = {**QUESTION, "hardware": {"accelerator": "a100-sxm-80gb", "n_gpus": 8}}
    sweep(bare, vary, out=tmp_path / "out", chunk_points=1)
    slow = rows(tmp_path / "out")
    spec.write_text(spec.read_text() + "peak_flops: {bf16: 100 TFLOP/s}\n")
    again = sweep(bare, vary, out=tmp_path / "out", chunk_points=1)
    assert again.kept == 1  # the shipped one did not change
    assert float(rows(tmp_path / "out")[0]["step_time_s"]) > float(slow[0]["step_time_s"])


def test_any_executor_gives_the_same_bytes(tmp_path: Path) -> None:
    vary: dict[str, list[Any]] = {"hardware.n_gpus": [8, 16, 32], "training.tokens": ["10B", "20B", "30B"]}
    sweep(QUESTION, vary, out=tmp_path / "a", chunk_points=2)
    with ThreadPoolExecutor(3) as threads:
        sweep(QUESTION, vary, out=tmp_path / "b", chunk_points=2, executor=threads)
    sweep(QUESTION, vary, out=tmp_path / "c", chunk_points=2, workers=2)
    texts = {(tmp_path / name / "results.csv").read_bytes() for name in "abc"}
    assert len(texts) == 1


def test_a_worker_that_dies_is_said_so(tmp_path: Path) -> None:
    from concurrent.futures import Future
    from concurrent.futures.process import BrokenProcessPool

    class Dying(ThreadPoolExecutor):
        def submit(self, *args: Any, **kwargs: Any) -> Future[Any]:
            future: Future[Any] = Future()
            future.set_exception(BrokenProcessPool("gone"))
            return future

    with Dying(1) as executor, pytest.raises(SimulatorError, match="a worker ended unexpectedly"):
        sweep(QUESTION, {"seed": [1, 2]}, out=tmp_path, executor=executor)


def test_progress() -> None:
    assert Progress(0, 0, 10, 0.0).left_s is None
    assert Progress(10, 4, 10, 3.0).left_s == 0.0
    assert (
        line(Progress(7210, 10, 100_000, 720.0))
        == "7210 of 100000 points, 7 %, 10 kept, 10.0 points/s, 2:34:39 left"
    )


def test_axis_of_reads_yaml() -> None:
    price = axis_of("hardware.price={provider: crusoe, terms: on_demand}, $2.50/GPU-h")
    assert price.values == ({"provider": "crusoe", "terms": "on_demand"}, "$2.50/GPU-h")
    assert axis_of("budget.money='$1,024', {a: 010, b: [1,024]}, 0, 0.5").values[2:] == (0, 0.5)


def test_columns_of_all_rows_in_order_of_appearance(tmp_path: Path) -> None:
    columns = write_csv(tmp_path / "t.csv", lambda: iter([{"a": 1}, {"a": 2, "b": None}, {"c": "x,y"}]))
    assert columns == ["a", "b", "c"]
    assert (tmp_path / "t.csv").read_text() == 'a,b,c\n1,,\n2,,\n,,"x,y"\n'


def test_half_a_chunk_is_no_chunk(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.put("k", [{"point": 0}, {"point": 1}])
    whole = store.path("k").read_bytes()
    assert store.get("k") == [{"point": 0}, {"point": 1}]
    for length in range(len(whole)):
        store.path("k").write_bytes(whole[:length])
        assert store.get("k") is None


def test_without_the_extra_cluster(
    question: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert (
        main(["sweep", question, "--out", str(tmp_path), "--vary", "seed=1", "--scheduler", "tcp://x:1"]) == 2
    )
    assert "pip install 'trainsim[cluster]'" in capsys.readouterr().err


# --- killed at any moment -------------------------------------------------------------------------------------------

GRID = [
    "--vary",
    "hardware.n_gpus=8,16,32,64",
    "--vary",
    "training.tokens=10B,20B,30B,40B,50B,60B",
    "--chunk",
    "2",
]


def _start(question: str, out: Path, workers: int) -> subprocess.Popen[bytes]:
    arguments = ["sweep", question, "--out", str(out), *GRID, "--workers", str(workers)]
    return subprocess.Popen(
        [sys.executable, "-m", "simulator.cli", *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_killed_at_random_moments_ends_in_the_same_bytes(question: str, tmp_path: Path) -> None:
    begun = time.monotonic()
    whole = tmp_path / "whole"
    assert _start(question, whole, 1).wait(timeout=300) == 0
    takes = time.monotonic() - begun
    expected = (whole / "results.csv").read_bytes()
    draw = random.Random(os.environ.get("TRAINSIM_SWEEP_SEED", "7"))
    kept = []
    for number in range(KILLS):
        out = tmp_path / f"killed-{number}"
        workers = 1 + number % 2
        process = _start(question, out, workers)
        time.sleep(draw.uniform(0.3, 1.1) * takes)
        process.send_signal(signal.SIGKILL)
        process.wait(timeout=60)
        kept.append(len(list((out / "chunks").glob("*.jsonl"))) if out.exists() else 0)
        assert _start(question, out, workers).wait(timeout=300) == 0
        assert (out / "results.csv").read_bytes() == expected
        points = [row["point"] for row in rows(out)]
        assert points == [str(i) for i in range(24)]
        assert len(list((out / "chunks").iterdir())) == 12
        assert json.loads((out / "sweep.json").read_text())["points"] == 24
    print(f"killed {KILLS} times; chunks kept of 12: {kept}; a whole sweep took {takes:.1f} s")


@pytest.mark.skipif(os.name == "nt", reason="signals of Unix")
def test_interrupted_it_says_what_to_do_and_leaves_no_process(question: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = [
        "sweep",
        question,
        "--out",
        str(out),
        "--vary",
        f"seed={','.join(map(str, range(400)))}",
        "--chunk",
        "1",
    ]
    process = subprocess.Popen(
        [sys.executable, "-m", "simulator.cli", *arguments, "--workers", "2"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
        # A job in the background is born deaf to it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    begun = time.monotonic()
    while not list(out.glob("chunks/*.jsonl")) and time.monotonic() - begun < 60:
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    error = process.communicate(timeout=60)[1].decode()
    assert process.returncode == 130
    assert "is kept" in error
    assert "Traceback" not in error
    for _ in range(100):
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            break
        time.sleep(0.1)
    else:
        pytest.fail("processes of the sweep are left")


# --- optional parts -------------------------------------------------------------------------------------------------


def absent(module: str) -> bool:
    """Whether an optional part may be missed: never in CI."""
    return importlib.util.find_spec(module) is None and not os.environ.get("CI")


@pytest.mark.skipif(absent("duckdb"), reason="needs the extra store (duckdb)")
def test_parquet_and_duckdb_hold_the_same_rows(tmp_path: Path) -> None:
    import duckdb

    found = sweep(QUESTION, {"hardware.n_gpus": [8, 16, 32]}, out=tmp_path)
    assert {path.name for path in found.files} >= {"results.csv", "results.parquet", "results.duckdb"}
    wanted = [(int(r["point"]), float(r["cost_usd"])) for r in rows(tmp_path)]
    with duckdb.connect(str(tmp_path / "results.duckdb")) as connection:
        assert connection.sql("SELECT point, cost_usd FROM results").fetchall() == wanted
    parquet = str(tmp_path / "results.parquet")
    assert duckdb.sql(f"SELECT point, cost_usd FROM '{parquet}'").fetchall() == wanted


@pytest.mark.skipif(absent("distributed"), reason="needs the extra cluster (dask.distributed)")
@pytest.mark.filterwarnings("default")
def test_a_local_dask_cluster_with_a_worker_killed(question: str, tmp_path: Path) -> None:
    from distributed import Client, LocalCluster

    vary: dict[str, list[Any]] = {"hardware.n_gpus": [8, 16, 32, 64], "seed": list(range(30))}
    sweep(question, vary, out=tmp_path / "a", chunk_points=4)
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        pids = list(client.run(os.getpid).values())

        def kill(progress: Progress) -> None:
            if progress.done and pids:
                os.kill(pids.pop(), signal.SIGKILL)
                pids.clear()

        sweep(
            question,
            vary,
            out=tmp_path / "b",
            chunk_points=4,
            executor=client.get_executor(pure=False),
            tell=kill,
        )
        assert not pids
    assert (tmp_path / "a" / "results.csv").read_bytes() == (tmp_path / "b" / "results.csv").read_bytes()


@pytest.mark.skipif(absent("distributed"), reason="needs the extra cluster (dask.distributed)")
@pytest.mark.filterwarnings("default")
def test_the_command_takes_a_scheduler(question: str, tmp_path: Path) -> None:
    from distributed import LocalCluster

    grid = ["--vary", "hardware.n_gpus=8,16", "--vary", "seed=1,2", "--chunk", "1", "--quiet"]
    assert main(["sweep", question, "--out", str(tmp_path / "a"), *grid]) == 0
    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster:
        address = ["--scheduler", cluster.scheduler_address]
        assert main(["sweep", question, "--out", str(tmp_path / "b"), *grid, *address]) == 0
    assert (tmp_path / "a" / "results.csv").read_bytes() == (tmp_path / "b" / "results.csv").read_bytes()
