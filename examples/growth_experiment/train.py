"""Train a small decoder, grow it, go on; train the large one and the small one from scratch; time everything.

    python train.py --preset cpu --out results/cpu

Needs torch (examples/growth_experiment/README.md). Every run of a seed has the same budget of seconds. A run's clock is
its tokens times the seconds per token measured before the first run, so that other programs on the machine shift nothing.
"""

from __future__ import annotations

import argparse
import csv
import json
import platform
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from model import Decoder, Size, batches, text

from simulator.growth.weights import WidthGrowth, hyperclone


@dataclass(frozen=True)
class Recipe:
    """What all runs share."""

    small: Size
    length: int
    batch: int
    budget_s: float
    """Seconds of training of each run, its source included. [s]"""
    learning_rate: dict[int, float]
    """Of each hidden size, from `--scan`."""
    shares: tuple[float, ...] = (0.125, 0.25, 0.5, 0.75)
    """Switch points: shares of the budget spent on the small model. [-]"""
    factor: int = 2
    snr_db: float = 10.0
    decay: float = 0.15
    """Last share of the budget, in which the learning rate falls to zero. [-]"""
    warmup_steps: int = 30
    eval_windows: int = 128
    evals: int = 28
    seeds: int = 2

    @property
    def large(self) -> Size:
        return self.small.wider(self.factor)


PRESETS = {
    "cpu": Recipe(Size(4, 64), length=128, batch=8, budget_s=150.0, learning_rate={64: 4e-3, 128: 2e-3}),
    "gpu": Recipe(
        Size(12, 512, 64), length=1024, batch=64, budget_s=600.0, learning_rate={512: 1e-3, 1024: 7e-4}
    ),
}


class Trainer:
    """One model in training; its steps and seconds."""

    def __init__(self, size: Size, recipe: Recipe, device: str, learning_rate: float, seed: int) -> None:
        torch.manual_seed(seed)
        self.recipe, self.size, self.device, self.peak = recipe, size, device, learning_rate
        self.model = Decoder(size, recipe.length).to(device)
        matrices = [p for p in self.model.parameters() if p.dim() == 2]
        vectors = [p for p in self.model.parameters() if p.dim() < 2]
        groups = [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=learning_rate, betas=(0.9, 0.95), fused=True)
        self.cpu_s, self.wall_s = [], []

    def step(self, tokens: torch.Tensor, scale: float) -> None:
        begun = time.perf_counter(), _busy(self.device)
        for group in self.optimizer.param_groups:
            group["lr"] = self.peak * scale
        with torch.autocast(self.device, torch.bfloat16, enabled=self.device == "cuda"):
            loss = self.model(tokens.to(self.device))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        done = time.perf_counter(), _busy(self.device)
        self.wall_s.append(done[0] - begun[0])
        self.cpu_s.append(done[1] - begun[1])

    @torch.no_grad()
    def loss(self, windows: torch.Tensor) -> float:
        parts = windows.split(self.recipe.batch * 4)
        return sum(self.model(p.to(self.device)).item() * len(p) for p in parts) / len(windows)

    def tensors(self) -> dict[str, np.ndarray]:
        return {k: v.detach().float().cpu().numpy().copy() for k, v in self.model.state_dict().items()}


def _busy(device: str) -> float:
    """Seconds this process worked: of its processor, or of the accelerator. [s]"""
    if device == "cuda":
        torch.cuda.synchronize()
        return time.perf_counter()
    return time.process_time()


@dataclass
class Experiment:
    """All runs of a preset, and the table they fill."""

    recipe: Recipe
    device: str
    train: np.ndarray
    windows: torch.Tensor
    out: Path
    tau: dict[int, float]
    """Seconds per token of each hidden size. [s/token]"""

    def batch(self, seed: int, index: int) -> torch.Tensor:
        rng = np.random.default_rng([seed, index])
        return batches(self.train, count=self.recipe.batch, length=self.recipe.length, rng=rng)

    def steps(self, size: Size, seconds: float) -> int:
        return round(seconds / self.tau[size.hidden_size] / (self.recipe.batch * self.recipe.length))

    def run(
        self,
        name: str,
        *,
        seed: int,
        size: Size,
        start: dict[str, np.ndarray] | None = None,
        spent_s: float = 0.0,
        keep_at_s: Iterable[float] = (),
        rate: float = 1.0,
        until_s: float | None = None,
    ) -> dict[float, dict[str, np.ndarray]]:
        """Train to the end of the budget; returns the weights at `keep_at_s`.

        `rate` multiplies the learning rate. With `until_s` the run stops there and leaves no rows.
        """
        recipe = self.recipe
        one = Trainer(size, recipe, self.device, rate * recipe.learning_rate[size.hidden_size], seed)
        if start is not None:
            one.model.load_state_dict({k: torch.from_numpy(v) for k, v in start.items()})
        total = self.steps(size, recipe.budget_s - spent_s)
        decay = self.steps(size, recipe.decay * recipe.budget_s)
        first = self.steps(recipe.small, spent_s)
        keep = {self.steps(size, s): s for s in keep_at_s}
        look = set(np.geomspace(max(20, total // 100), total - decay, recipe.evals).astype(int).tolist())
        look |= {0, total} | set(keep)
        kept: dict[float, dict[str, np.ndarray]] = {}
        rows = []
        last = total if until_s is None else self.steps(size, until_s)
        for index in range(last + 1):
            if index in look and until_s is None:
                rows.append(self.row(name, seed, one, index, spent_s, index > total - decay))
            if index in keep:
                kept[keep[index]] = one.tensors()
            if index < last:
                scale = min(1.0, (index + 1) / recipe.warmup_steps, (total - index) / decay)
                one.step(self.batch(seed, first + index), scale)
        if rows:
            self.write(rows)
            end = rows[-1]
            print(
                f"{name} seed {seed}: loss {end['loss']}, {end['cpu_s']} s of work, {end['wall_s']} s",
                flush=True,
            )
        return kept

    def row(
        self, name: str, seed: int, one: Trainer, index: int, spent_s: float, decays: bool
    ) -> dict[str, object]:
        tokens = index * self.recipe.batch * self.recipe.length
        return {
            "run": name,
            "seed": seed,
            "hidden_size": one.size.hidden_size,
            "tokens": tokens,
            "clock_s": round(spent_s + tokens * self.tau[one.size.hidden_size], 3),
            "loss": round(one.loss(self.windows), 5),
            "phase": "decay" if decays else "stable",
            "cpu_s": round(sum(one.cpu_s), 2),
            "wall_s": round(sum(one.wall_s), 2),
            "median_step_cpu_ms": round(1e3 * float(np.median(one.cpu_s)), 2) if one.cpu_s else "",
        }

    def write(self, rows: list[dict[str, object]]) -> None:
        path = self.out / "curves.csv"
        new = not path.exists()
        with path.open("a", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
            if new:
                writer.writeheader()
            writer.writerows(rows)

    def grow(self, tensors: dict[str, np.ndarray], *, noisy: bool = True, seed: int) -> dict[str, np.ndarray]:
        variant = "noisy" if noisy else "symmetric"
        growth = WidthGrowth(factor=self.recipe.factor, variant=variant, snr_db=self.recipe.snr_db, seed=seed)
        return hyperclone(tensors, growth)


def seconds_per_token(recipe: Recipe, device: str, train: np.ndarray, steps: int) -> dict[int, float]:
    """Median seconds per token of both sizes, their steps interleaved. [s/token]"""
    rng = np.random.default_rng(0)
    both = [Trainer(size, recipe, device, 1e-3, 0) for size in (recipe.small, recipe.large)]
    for _ in range(steps):
        for one in both:
            one.step(batches(train, count=recipe.batch, length=recipe.length, rng=rng), 1.0)
    per_batch = recipe.batch * recipe.length
    return {one.size.hidden_size: float(np.median(one.cpu_s[3:])) / per_batch for one in both}


def scan(recipe: Recipe, device: str, train: np.ndarray, windows: torch.Tensor, seconds: float) -> None:
    """Loss of both sizes after `seconds` of work at several learning rates."""
    for size in (recipe.small, recipe.large):
        for rate in (1e-3, 2e-3, 4e-3, 8e-3):
            one = Trainer(size, recipe, device, rate, 0)
            rng = np.random.default_rng(0)
            while sum(one.cpu_s) < seconds:
                scale = min(1.0, (len(one.cpu_s) + 1) / recipe.warmup_steps)
                one.step(batches(train, count=recipe.batch, length=recipe.length, rng=rng), scale)
            print(f"{size.hidden_size} {rate:g} {len(one.cpu_s)} steps {one.loss(windows):.4f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", choices=sorted(PRESETS), default="cpu")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--scan", type=float, help="only compare learning rates, this many seconds each")
    parser.add_argument(
        "--more", choices=["half_rate", "shorter"], help="add these runs to the results in --out"
    )
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    recipe = PRESETS[given.preset]
    train, held_out, files = text()
    rng = np.random.default_rng(12345)
    windows = batches(held_out, count=recipe.eval_windows, length=recipe.length, rng=rng)
    if given.scan:
        return scan(recipe, given.device, train, windows, given.scan)
    if given.more:
        path = given.out / "about.json"
        about = json.loads(path.read_text())
        tau = {int(size): seconds for size, seconds in about["seconds_per_token"].items()}
        experiment = Experiment(recipe, given.device, train, windows, given.out, tau)
        {"half_rate": half_rate, "shorter": shorter}[given.more](experiment)
        about.setdefault("more", []).append(" ".join(["python", *sys.argv]))
        path.write_text(json.dumps(about, indent=1) + "\n")
        return None
    given.out.mkdir(parents=True, exist_ok=False)
    tau = seconds_per_token(recipe, given.device, train, 40)
    experiment = Experiment(recipe, given.device, train, windows, given.out, tau)
    about = {
        "command": " ".join(["python", *sys.argv]),
        "date": datetime.now(UTC).date().isoformat(),
        "machine": f"{_processor()}, {given.threads} thread(s), {given.device}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "files": files,
        "train_bytes": len(train),
        "held_out_bytes": len(held_out),
        "seconds_per_token": tau,
        "params": {s.hidden_size: _count(s, recipe) for s in (recipe.small, recipe.large)},
        "recipe": asdict(recipe),
    }
    (given.out / "about.json").write_text(json.dumps(about, indent=1) + "\n")
    for seed in range(recipe.seeds):
        one_seed(experiment, seed)
    return None


def one_seed(experiment: Experiment, seed: int) -> None:
    """The large and the small model from scratch, and the small one grown at each share of the budget."""
    recipe = experiment.recipe
    switches = [share * recipe.budget_s for share in recipe.shares]
    kept = experiment.run("small", seed=seed, size=recipe.small, keep_at_s=switches)
    experiment.run("large", seed=seed, size=recipe.large)
    for share, switch in zip(recipe.shares, switches, strict=True):
        begun = time.process_time()
        grown = experiment.grow(kept[switch], seed=seed)
        print(f"growing took {1e3 * (time.process_time() - begun):.1f} ms", flush=True)
        experiment.run(f"grown {share:g}", seed=seed, size=recipe.large, start=grown, spent_s=switch)
    if seed == 0:
        switch = switches[len(switches) // 2]
        plain = experiment.grow(kept[switch], noisy=False, seed=seed)
        share = recipe.shares[len(switches) // 2]
        experiment.run(f"no noise {share:g}", seed=seed, size=recipe.large, start=plain, spent_s=switch)


def half_rate(experiment: Experiment) -> None:
    """Growing at a quarter of the budget, then half the learning rate: does the recipe decide?"""
    recipe = experiment.recipe
    switch = 0.25 * recipe.budget_s
    small = experiment.run("small", seed=0, size=recipe.small, keep_at_s=[switch], until_s=switch)
    grown = experiment.grow(small[switch], seed=0)
    experiment.run("half rate 0.25", seed=0, size=recipe.large, start=grown, spent_s=switch, rate=0.5)


def shorter(experiment: Experiment) -> None:
    """The large model from scratch with less time: when does it reach what the grown ones reached?"""
    recipe = experiment.recipe
    for share in (0.65, 0.8):
        less = replace(recipe, budget_s=share * recipe.budget_s, decay=recipe.decay / share)
        replace(experiment, recipe=less).run(f"short {share:g}", seed=0, size=recipe.large)


def _count(size: Size, recipe: Recipe) -> int:
    return sum(p.numel() for p in Decoder(size, recipe.length).parameters())


def _processor() -> str:
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
