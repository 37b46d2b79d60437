"""One sweep on a Dask cluster of this machine with one worker and with two: ``python benchmarks/sweep_workers.py``.

Prints the wall time of each and their ratio, the lowest of several turns, and checks that the tables are the same to the byte. Where
other work keeps the cores busy wall times say little: processor times of the workers (W) and of this process, which schedules and
writes (C), bound what two cores can give to 2 W / (W + C).
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import Any

from distributed import Client, LocalCluster

from simulator.sweeping import sweep

QUESTION: dict[str, Any] = {
    "model": {"num_hidden_layers": 24, "hidden_size": 2048, "num_attention_heads": 16},
    "training": {"tokens": "20B", "seq_length": 2048, "global_batch_size": 128},
    "hardware": {"accelerator": "a100-sxm-80gb", "n_gpus": 8},
}


def once(workers: int, points: int, folder: Path) -> tuple[float, float, float]:
    """Wall time of the sweep on so many workers, their start and imports apart; processor time of workers, and here. [s]"""
    vary: dict[str, list[Any]] = {"hardware.n_gpus": [8, 16, 32, 64], "seed": list(range(points // 4))}
    with (
        LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        executor = client.get_executor(pure=False)
        sweep(
            QUESTION,
            {"hardware.n_gpus": [8, 16], "seed": list(range(4))},
            out=folder / "warm",
            executor=executor,
            chunk_points=1,
        )
        busy = sum(client.run(time.process_time).values())
        begun, here = time.perf_counter(), time.process_time()
        sweep(QUESTION, vary, out=folder / "table", executor=executor)
        wall, here = time.perf_counter() - begun, time.process_time() - here
        return wall, sum(client.run(time.process_time).values()) - busy, here


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, default=320)
    parser.add_argument("--turns", type=int, default=2)
    options = parser.parse_args()
    best: dict[int, float] = {}
    tables, bounds = set(), []
    for _ in range(options.turns):
        for workers in (1, 2):
            with tempfile.TemporaryDirectory() as folder:
                seconds, busy, here = once(workers, options.points, Path(folder))
                tables.add((Path(folder) / "table" / "results.csv").read_bytes())
            best[workers] = min(best.get(workers, float("inf")), seconds)
            load = os.getloadavg()[0]
            bounds += [2 * busy / (busy + here)] if workers == 2 else []
            print(
                f"{workers} workers: {options.points} points in {seconds:.1f} s; processor time {busy:.1f} s in workers, "
                f"{here:.1f} s here; load {load:.1f}",
                flush=True,
            )
    print(
        f"two workers are {best[1] / best[2]:.2f} times as fast as one by the wall, at most {max(bounds):.2f} by work"
    )
    print(f"tables equal: {len(tables) == 1}")


if __name__ == "__main__":
    main()
