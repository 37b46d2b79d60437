"""Measuring with PyTorch on a processor: the work is what the plan says it is, and the tables can be used."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from simulator.cli import main
from simulator.measuring import adam, attention, chain, machine, steps, tables
from simulator.measuring.bench import bench
from simulator.measuring.operations import OPERATIONS
from simulator.measuring.plan import Plan, micro, plan, step
from simulator.validate import usual

torch = pytest.importorskip("torch", reason="torch is not installed")

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

TINY = step(2, 64, seq=32, batch=2, vocab=128, ffn=128, head=16)

PLAN = Plan(
    micro=(
        micro("copy", "fp32", bytes=1 << 20),
        micro("gemm", "fp32", m=64, n=128, k=64),
        micro("gemm", "fp32", m=128, n=128, k=128),
        micro("attention_fwd_causal", "fp32", b=1, s=64, h=2, kv=2, hd=16),
        micro("attention_fwd_bwd", "fp32", b=1, s=64, h=2, kv=2, hd=16),
        micro("launch", "fp32", elements=1),
        micro("launch_layer", "fp32", layers=2, hidden=32, s=8, b=1),
        micro("adam_step", "fp32", params=1_000_000),
    ),
    steps=(
        TINY,
        step(4, 64, seq=32, batch=2, vocab=128, ffn=128, head=16),
        step(2, 128, seq=32, batch=2, vocab=128, ffn=256, head=16),
        step(2, 64, seq=64, batch=2, vocab=128, ffn=128, head=16),
        step(6, 64, seq=32, batch=2, vocab=128, ffn=128, head=16, held_out="deepest"),
    ),
)


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(usual, "_ACCELERATORS", {})
    monkeypatch.delenv("TRAINSIM_PATH", raising=False)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_every_operation_of_every_plan_can_be_prepared_where_it_is_small() -> None:
    for item in PLAN.micro:
        OPERATIONS[item.op].prepare(torch, "cpu", item)()
    assert {item.op for item in PLAN.micro} == {item.op for item in plan("cuda", "bf16").micro}


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_training_step_trains(precision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    losses: list[float] = []
    inner = steps._loss

    def watched(*arguments: Any) -> Any:
        loss = inner(*arguments)
        losses.append(float(loss.detach()))
        return loss

    monkeypatch.setattr(steps, "_loss", watched)
    kept: list[Any] = []
    real = adam.optimizer
    monkeypatch.setattr(adam, "optimizer", lambda torch, leaves: kept.append(leaves) or real(torch, leaves))
    work = steps.training_step(torch, "cpu", TINY, precision)
    for _ in range(100):
        work()
    assert losses[0] == pytest.approx(4.85, abs=0.15), "log of the vocabulary before anything is learned"
    assert losses[-1] < losses[0] - 0.3
    assert sum(each.numel() for each in kept[0]) == TINY.parameters
    assert all(each.grad is not None and each.dtype == torch.float32 for each in kept[0])


def test_no_token_sees_the_next_one() -> None:
    generator = torch.Generator().manual_seed(1)
    weights = steps._weights(torch, "cpu", TINY, generator)
    rotation = steps._rotation(torch, "cpu", TINY)
    tokens = torch.randint(TINY.vocab_size, (2, TINY.seq_length + 1), generator=generator)
    other = tokens.clone()
    other[:, -2] = (other[:, -2] + 1) % TINY.vocab_size  # the last input: only the last prediction may change
    seen: list[Any] = []
    cross = torch.nn.functional.cross_entropy

    def keep(logits: Any, targets: Any) -> Any:
        seen.append(logits.detach().view(2, TINY.seq_length, -1))
        return cross(logits, targets)

    torch.nn.functional.cross_entropy = keep
    try:
        for each in (tokens, other):
            steps._loss(torch, TINY, weights, rotation, each)
    finally:
        torch.nn.functional.cross_entropy = cross
    assert torch.equal(seen[0][:, :-1], seen[1][:, :-1])
    assert not torch.equal(seen[0][:, -1], seen[1][:, -1])


def test_attention_counts_the_unmasked_half() -> None:
    item = micro("attention_fwd_causal", "fp32", b=2, s=512, h=4, kv=4, hd=64)
    scores = (
        2 * 2 * 512 * 512 * 64 * 2 * 4
    )  # two products, two FLOP each, of s x s x hd per sequence and head
    assert attention.value(item, 1.0) * 1e12 == pytest.approx(scores / 2)


def test_a_small_plan_from_end_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    here = machine.describe(torch, "cpu", name="this-machine")
    assert (here.threads, here.processors, here.precision) == (1, 1, "fp32")
    found = chain.measure(
        here,
        bench(torch, here, "process"),
        PLAN,
        tmp_path,
        timer="process",
        tier="quick",
        rounds=1,
        budget_s=3.0,
        command="trainsim measure --out DIR",
        tell=lambda done: None,
    )
    assert found.calibrated.unseen["n"] == 1
    rows = tables.Table(tmp_path / "micro.csv", tables.MICRO_COLUMNS).rows()
    assert len(rows) == len(PLAN.micro)
    assert all(float(row["measured_value"]) > 0 for row in rows)
    monkeypatch.setenv("TRAINSIM_PATH", str(tmp_path))
    assert main(["validate", "--cases", str(tmp_path / "steps.csv"), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["n"], report["n_skipped"]) == (5, 0)
    assert report["mape"] < 2.0


def test_the_command_refuses_a_gpu_that_is_not_here(tmp_path: Path, capsys: Any) -> None:
    if torch.cuda.is_available():
        pytest.skip("a GPU is here")
    assert main(["measure", "--out", str(tmp_path / "new"), "--device", "cuda"]) == 2
    assert "no device 'cuda'" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU is here")
def test_a_gpu_is_measured_with_events(tmp_path: Path) -> None:
    here = machine.describe(torch, "cuda")
    cuda = bench(torch, here)
    work = cuda.prepare(micro("gemm", here.precision, m=1024, n=1024, k=1024))
    assert 0 < cuda.sample(work, 10) < 1.0
    assert here.processors == torch.cuda.get_device_properties(0).multi_processor_count
