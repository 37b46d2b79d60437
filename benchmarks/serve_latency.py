"""Time from a moved slider to its answer on the page of ``trainsim serve``, over HTTP: ``python benchmarks/serve_latency.py``.

Each move is another question (nothing comes from the memory of answers). Prints the median and the 90th percentile of
previews and of whole searches, and how far previews are from the whole answer.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import itertools
import json
import os
import random
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

HOST = "127.0.0.1"


@contextlib.contextmanager
def server() -> Iterator[int]:
    """A server on a free port."""
    code = "from simulator.cli import main; raise SystemExit(main(['serve', '--port', '0']))"
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        line = process.stderr.readline()
        found = re.search(r":(\d+)/", line)
        if found is None:
            raise SystemExit(line + process.stderr.read())
        port = int(found[1])
        deadline = time.monotonic() + 30
        while True:
            with contextlib.suppress(OSError):
                page(port)
                break
            if time.monotonic() > deadline:
                raise SystemExit("the server did not start")
            time.sleep(0.1)
        yield port
    finally:
        process.terminate()
        process.wait(10)


def page(port: int) -> str:
    """The token of the page."""
    connection = http.client.HTTPConnection(HOST, port, timeout=60)
    connection.request("GET", "/")
    text = connection.getresponse().read().decode()
    connection.close()
    return text.partition('name="trainsim-token" content="')[2].partition('"')[0]


def ask(
    connection: http.client.HTTPConnection, token: str, data: dict[str, Any]
) -> tuple[dict[str, Any], float]:
    start = time.perf_counter()
    headers = {"content-type": "application/json", "x-trainsim-token": token}
    connection.request("POST", "/api/answer", json.dumps(data), headers)
    reply = connection.getresponse()
    answer = json.loads(reply.read())
    if reply.status != 200:
        raise SystemExit(f"{reply.status}: {answer}")
    return answer, time.perf_counter() - start


def moves(number: int) -> list[dict[str, Any]]:
    """One control after the other, dragged over its range, all other controls where they were left."""
    draw = random.Random(1)
    state: dict[str, Any] = {}
    out = []
    for key in itertools.islice(
        itertools.cycle(("time_days", "hardware", "cost_usd", "unique_tokens", "serving_tokens")), number
    ):
        if key == "hardware":
            name = draw.choice(("h100-sxm-80gb", "a100-sxm-80gb", "h100-sxm-80gb", "h200-sxm-141gb"))
            state[key] = [{"entry": 0, "accelerator": name, "n_gpus": 2 ** draw.randint(3, 11)}]
        else:
            low, high = {
                "time_days": (1, 100),
                "cost_usd": (1e4, 1e8),
                "unique_tokens": (2e10, 1e13),
                "serving_tokens": (1e10, 1e15),
            }[key]
            value = low * (high / low) ** draw.random()
            state[key] = None if key != "time_days" and draw.random() < 0.4 else float(f"{value:.3g}")
        state["growth"] = draw.random() < 0.7
        out.append(dict(state))
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--moves", type=int, default=60)
    parser.add_argument(
        "--full", type=int, default=12, help="moves whose whole search is timed and compared too"
    )
    options = parser.parse_args()
    with server() as port:
        token = page(port)
        connection = http.client.HTTPConnection(HOST, port, timeout=300)
        connection.request("GET", "/api/start")
        text = json.loads(connection.getresponse().read())["yaml"]
        base = {"client": "bench", "scenario": text}
        ask(connection, token, {**base, "effort": "preview"})
        every = moves(options.moves)
        quick = [ask(connection, token, {**base, "effort": "preview", "changes": one}) for one in every]
        times = sorted(seconds for _, seconds in quick)
        if hasattr(os, "getloadavg"):
            print(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
        print(
            f"previews: {len(times)} moves, median {1e3 * statistics.median(times):.0f} ms, "
            f"90th percentile {1e3 * times[int(0.9 * len(times))]:.0f} ms, most {1e3 * times[-1]:.0f} ms"
        )
        ask(connection, token, {**base, "effort": "full"})
        slow, loss, size, cost = [], [], [], []
        for one, (first, _) in list(zip(every, quick, strict=True))[
            :: max(1, options.moves // max(1, options.full))
        ]:
            answer, seconds = ask(connection, token, {**base, "effort": "full", "changes": one})
            slow.append(seconds)
            if answer["feasible"] != first["feasible"]:
                print("one of the two answers has no plan", one)
                continue
            if answer["feasible"]:
                a, b = answer["figures"], first["figures"]
                loss.append(abs(a["loss"] - b["loss"]))
                size.append(abs(b["params"] / a["params"] - 1))
                cost.append(abs(b["cost_usd"] / a["cost_usd"] - 1))
        print(
            f"whole searches with their curves: {len(slow)}, median {statistics.median(slow):.2f} s, most {max(slow):.2f} s"
        )
        if loss:
            print(
                f"preview against whole search, {len(loss)} questions, median and most: loss {statistics.median(loss):.4f} and "
                f"{max(loss):.4f} nats/token, size {100 * statistics.median(size):.0f} and {100 * max(size):.0f} %, "
                f"cost {100 * statistics.median(cost):.1f} and {100 * max(cost):.1f} %"
            )


if __name__ == "__main__":
    main()
