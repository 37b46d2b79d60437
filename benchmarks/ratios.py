"""Speed as ratios, so that machines do not matter: ``python benchmarks/ratios.py [--write]``.

Each piece of work is timed beside a reference in the same process: a fixed chain of numpy operations on columns of the planner's
length; for start-up, an interpreter that imports numpy. Both take turns; the ratio is least processor time over least processor
time, so that other work on the machine counts as little as it can. ``baseline.json`` holds the accepted ratios; ``make bench``
fails where one grew by more than `ALLOWED`.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import simulator as sim
from simulator import calibrations, clocks
from simulator.columns import keep_freed_memory
from simulator.schema import load_accelerator
from simulator.search import breakdown, evaluate, lattice, shapes
from simulator.search.evaluate import Counts, Setting
from simulator.search.lattice import Axes, Pins
from simulator.transformer import Shape

BASELINE = Path(__file__).with_name("baseline.json")
ALLOWED = 0.3
"""Growth of a ratio that is a failure. [-]"""

ROUNDS = 9
"""Turns of each piece of work and its reference. [-]"""

TEN_DAYS = {
    "find": "architecture",
    "budget": {"time": "10 days", "cost": "$60k"},
    "hardware": {"accelerator": "h100-sxm-80gb", "n_gpus": 64, "price": "$2.99/GPU-h"},
    "training": {"seq_length": 4096, "unique_tokens": "400B"},
}
MODEL = {"num_hidden_layers": 32, "hidden_size": 4096, "num_attention_heads": 32, "intermediate_size": 11008}

LONG_S = 0.5
"""Work that takes longer gets three turns only. [s]"""

ATTEMPTS = 3
"""Measurements before something counts as slower: the machine may have been busy. [-]"""

Work = Callable[[], object]


def h100(clock: str = "memory_copies") -> Setting:
    accelerator = load_accelerator("h100-sxm-80gb")
    constants, _ = calibrations.constants_of(accelerator)
    return Setting(calibrations.device_of(accelerator), constants, clocks.CLOCKS[clock])


def axes_of(
    shape: Shape, n_gpus: int = 64, batches: tuple[float, ...] = (256.0, 512.0, 1024.0, 2048.0)
) -> Axes:
    return lattice.layout_axes(
        n_gpus=n_gpus, link_domain=8, shape=shape, seq_length=4096, batches=list(batches), pins=Pins()
    )


def dense_shapes(number: int) -> Shape:
    whole = shapes.candidates()
    keep = np.flatnonzero(
        (whole.hidden_size >= 2048) & (whole.hidden_size <= 6144) & (whole.num_hidden_layers % 8 == 0)
    )
    return lattice.take(whole, keep[:number])


def expert_shapes(number: int) -> Shape:
    dense = dense_shapes(number)
    return dense.with_(num_experts=8, num_experts_per_tok=2, moe_intermediate_size=dense.intermediate_size)


def kernel() -> float:
    """The reference: 60 passes over columns of 65,536 numbers, of the kinds that the planner makes."""
    a = np.linspace(1.0, 2.0, 65_536)
    b = np.linspace(3.0, 1.0, 65_536)
    total = 0.0
    for _ in range(10):
        c = a * b + b
        d = np.ceil(c / 0.37)
        e = np.maximum(c, d) - np.minimum(a, d)
        f = np.where(e > 1.0, c, d)
        total += float(f.sum())
    return total


def plans(kind: str) -> Callable[[], Work]:
    """Plans through divisibility, memory and the clock."""

    def prepare() -> Work:
        shape = dense_shapes(96) if kind == "dense" else expert_shapes(24)
        axes, setting = axes_of(shape), h100()
        return lambda: evaluate.fastest(shape, axes, setting, Counts())

    return prepare


def bound() -> Work:
    shape = shapes.candidates()
    axes, setting = axes_of(shape), h100()
    return lambda: evaluate.least_gpu_seconds_per_token(shape, axes, setting)


def question(asked: dict[str, object]) -> Callable[[], Work]:
    """A question from end to end."""

    def prepare() -> Work:
        scenario = sim.load_scenario(asked)
        return lambda: answered(scenario)

    return prepare


def answered(scenario: Any) -> Any:
    """Answer a question of which nothing is known from the last time."""
    breakdown.forget()
    return sim.run(scenario)


def child(*arguments: str) -> Work:
    """A Python process from start to end."""

    def go() -> None:
        subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)

    return go


ESTIMATE = {"model": MODEL, "hardware": TEN_DAYS["hardware"], "training": {"tokens": "1T"}}
GROWTH = {**TEN_DAYS, "find": "growth", "growth": {"max_stages": 2}}

INSIDE: dict[str, Callable[[], Work]] = {
    "dense plans": plans("dense"),
    "plans with experts": plans("experts"),
    "bound": lambda: bound(),
    "question: estimate": question(ESTIMATE),
    "question: architecture": question(TEN_DAYS),
    "question: growth": question(GROWTH),
}
"""Timed in this process, beside `kernel`."""

OUTSIDE: dict[str, Work] = {
    "import simulator": child("-c", "import simulator"),
    "trainsim --help": child("-m", "simulator.cli", "--help"),
    "trainsim run quickstart": child("-m", "simulator.cli", "run", "quickstart"),
}
"""Processes, timed beside one that imports numpy."""


def own_s() -> float:
    return time.process_time()


def children_s() -> float:
    """Processor time of ended child processes. [s]"""
    gone = resource.getrusage(resource.RUSAGE_CHILDREN)
    return gone.ru_utime + gone.ru_stime


def ratio(
    work: Work, reference: Work, clock: Callable[[], float], rounds: int = ROUNDS
) -> tuple[float, float]:
    """Least time of some work over that of a reference, taking turns; and the least time itself. [-], [s]"""
    best = {0: float("inf"), 1: float("inf")}
    begun = time.perf_counter()
    work(), reference()
    slow = time.perf_counter() - begun > LONG_S
    for _ in range(min(rounds, 3) if slow else rounds):
        for place, each in enumerate((work, reference)):
            start = clock()
            each()
            best[place] = min(best[place], clock() - start)
    return best[0] / best[1], best[0]


def measure(name: str, rounds: int = ROUNDS) -> tuple[float, float]:
    """Ratio and processor time of one piece of work. [-], [s]"""
    if name in INSIDE:
        return ratio(INSIDE[name](), kernel, own_s, rounds)
    return ratio(OUTSIDE[name], child("-c", "import numpy"), children_s, rounds)


def settled(name: str, allowed: float) -> tuple[float, float]:
    """The first measurement that is not above what is allowed, or the lowest of `ATTEMPTS`. [-], [s]"""
    found = measure(name)
    for _ in range(ATTEMPTS - 1):
        if found[0] <= allowed:
            break
        found = min(found, measure(name))
    return found


def names() -> list[str]:
    return [*INSIDE, *OUTSIDE]


def baseline() -> dict[str, float]:
    return dict(json.loads(BASELINE.read_text(encoding="utf-8")))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="accept these ratios as the baseline")
    options = parser.parse_args()
    accepted = {} if options.write else baseline()
    keep_freed_memory()  # for the reference too, or its time would depend on what ran before it
    found, slow = {}, []
    print("| work | processor time | ratio to the reference | accepted |\n|---|---:|---:|---:|")
    for name in names():
        then = accepted.get(name)
        now, seconds = settled(name, float("inf") if then is None else (1 + ALLOWED) * then)
        found[name] = round(now, 3)
        print(f"| {name} | {1e3 * seconds:.0f} ms | {now:.3g} | {'-' if then is None else f'{then:.3g}'} |")
        if then is not None and now > (1 + ALLOWED) * then:
            slow.append(name)
    if options.write:
        BASELINE.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    for name in slow:
        print(f"slower than accepted by more than {100 * ALLOWED:.0f} %: {name}", file=sys.stderr)
    return 1 if slow else 0


if __name__ == "__main__":
    sys.exit(main())
