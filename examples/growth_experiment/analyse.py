"""What the growth experiment found, beside what the simulator says: the tables and the plot of docs/experiment.md.

    python examples/growth_experiment/analyse.py results/cpu [--plot curves.png]

The law is fitted to the runs from scratch, before the learning rate falls: one floor per size, `B` and `beta` shared.
"""

from __future__ import annotations

import argparse
import csv
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from simulator import growth
from simulator.growth import warm_start
from simulator.growth.evidence import kappa_table

HERE = Path(__file__).parent
EARLIEST = 0.125
"""Share of the budget before which points are left out of the fit: nothing is grown earlier. [-]"""
LATE = 0.5
"""Kappa is read off the last part of a grown run, after the learning rate has settled. [-]"""


@dataclass(frozen=True)
class Law:
    """``l = floor + B D**-beta`` with a floor for each size."""

    floors: dict[int, float]
    B: float
    beta: float
    error: float
    """Root mean square of the residuals. [nats]"""

    def loss(self, size: int, tokens: np.ndarray | float) -> np.ndarray:
        return warm_start.loss_from_tokens(floor=self.floors[size], B=self.B, beta=self.beta, tokens=tokens)

    def tokens(self, size: int, loss: float) -> float:
        return float(warm_start.tokens_for_loss(floor=self.floors[size], B=self.B, beta=self.beta, loss=loss))


@dataclass(frozen=True)
class Run:
    """One curve."""

    name: str
    seed: int
    size: int
    tokens: np.ndarray
    clock_s: np.ndarray
    loss: np.ndarray
    stable: np.ndarray
    """Where the learning rate has not begun to fall."""
    cpu_s: float
    wall_s: float

    @property
    def share(self) -> float:
        """Share of the budget spent on the small model before growing."""
        return float(self.name.split()[-1]) if self.was_grown else float("nan")

    @property
    def was_grown(self) -> bool:
        """Whether the run began from a grown model."""
        return self.name.startswith(("grown", "no noise", "half rate"))


class Experiment:
    """A folder of results."""

    def __init__(self, folder: Path, earliest: float = EARLIEST) -> None:
        self.earliest = earliest
        self.about = json.loads((folder / "about.json").read_text())
        with (folder / "curves.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        keys = dict.fromkeys((row["run"], int(row["seed"])) for row in rows)
        self.runs = [_run(k, [r for r in rows if (r["run"], int(r["seed"])) == k]) for k in keys]
        self.tau = {int(k): float(v) for k, v in self.about["seconds_per_token"].items()}
        self.small, self.large = sorted(self.tau)
        self.params = {int(k): int(v) for k, v in self.about["params"].items()}
        recipe = self.about["recipe"]
        self.budget_s, self.shares = float(recipe["budget_s"]), [float(s) for s in recipe["shares"]]
        self.stable_s = self.budget_s * (1 - float(recipe["decay"]))
        self.law = self.fit()

    def named(self, name: str) -> list[Run]:
        return [run for run in self.runs if run.name == name]

    def grown(self) -> list[Run]:
        """Runs grown with noise by the common recipe."""
        return [run for run in self.runs if run.name.startswith("grown")]

    def fit(self) -> Law:
        """Least squares on the logarithm of the loss, scratch runs only."""
        from scipy.optimize import least_squares

        points = [
            (run.size, d, loss)
            for run in self.named("small") + self.named("large")
            for d, loss in zip(run.tokens[run.stable], run.loss[run.stable], strict=True)
            if d * self.tau[run.size] >= self.earliest * self.budget_s
        ]
        size, tokens, loss = (np.array(column, dtype=float) for column in zip(*points, strict=True))

        def predict(x: np.ndarray) -> np.ndarray:
            return np.where(size == self.small, x[0], x[1]) + np.exp(x[2] - x[3] * np.log(tokens / 1e6))

        found = least_squares(lambda x: np.log(predict(x) / loss), [1.2, 1.1, -0.7, 0.4], x_scale=0.1)
        floors = {self.small: float(found.x[0]), self.large: float(found.x[1])}
        beta = float(found.x[3])
        error = float(np.sqrt(np.mean((predict(found.x) - loss) ** 2)))
        return Law(floors, float(np.exp(found.x[2]) * 1e6**beta), beta, error)

    def switch_loss(self, run: Run) -> float:
        """Loss of the source where a grown run begins (growing keeps it)."""
        return float(run.loss[0])

    def kappa(self, run: Run) -> float:
        """Token efficiency that makes the law pass through the late part of a grown run."""
        from scipy.optimize import minimize_scalar

        credit = self.law.tokens(self.large, self.switch_loss(run))
        end = run.tokens[run.stable][-1]
        late = run.stable & (run.tokens >= LATE * end)
        d, loss = run.tokens[late], run.loss[late]

        def misfit(kappa: float) -> float:
            return float(np.sum((self.law.loss(self.large, credit + kappa * d) - loss) ** 2))

        return float(minimize_scalar(misfit, bounds=(0.05, 5.0), method="bounded").x)

    def large_alone_s(self, loss: float) -> float:
        """Budget with which the large model, from scratch, ends at a loss; a line in the logarithm of time. [s]"""
        runs = [r for r in self.runs if r.seed == 0 and (r.name == "large" or r.name.startswith("short"))]
        seconds = np.log([run.clock_s[-1] for run in runs])
        slope, start = np.polyfit(seconds, [run.loss[-1] for run in runs], 1)
        return float(np.exp((loss - start) / slope))

    def simulated(self, share: float, kappa: float) -> float:
        """Loss at the end of the stable phase after growing at `share` of the budget."""
        source_s = share * self.budget_s
        source = self.law.loss(self.small, source_s / self.tau[self.small])
        credit = self.law.tokens(self.large, float(source))
        return float(
            self.law.loss(self.large, credit + kappa * (self.stable_s - source_s) / self.tau[self.large])
        )

    def plan(self, kappas: dict[str, float]) -> growth.GrowthPlan:
        """The simulator's answer for the two sizes, before the learning rate falls."""
        return growth.plan(
            params=[self.params[self.small], self.params[self.large]],
            floors=[self.law.floors[self.small], self.law.floors[self.large]],
            E=0.0, A=0.0, alpha=0.0, B=self.law.B, beta=self.law.beta, kappas=kappas,
            seconds_per_token=[self.tau[self.small], self.tau[self.large]], budget_s=self.stable_s,
        )  # fmt: skip

    def measured_kappa(self) -> tuple[float, float, float]:
        """Median, lowest and highest over the grown runs with noise."""
        found = [self.kappa(run) for run in self.grown()]
        return float(np.median(found)), min(found), max(found)


def _run(key: tuple[str, int], rows: list[dict[str, str]]) -> Run:
    def column(name: str) -> np.ndarray:
        return np.array([float(row[name]) for row in rows])

    return Run(
        *key, int(rows[0]["hidden_size"]), column("tokens"), column("clock_s"), column("loss"),
        np.array([row["phase"] == "stable" for row in rows]), column("cpu_s")[-1], column("wall_s")[-1],
    )  # fmt: skip


# --- tables ---------------------------------------------------------------------------------------------------------


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _both(values: list[float], digits: int = 3) -> str:
    return ", ".join(f"{value:.{digits}f}" for value in values)


def setup_table(e: Experiment) -> str:
    rows = []
    for name, size in (("small", e.small), ("large", e.large)):
        runs = e.named(name)
        rows.append(
            [
                name, str(size), f"{e.params[size]:,}", f"{1e6 * e.tau[size]:.1f}",
                f"{runs[0].tokens[-1] / 1e6:.2f}", _both([r.cpu_s for r in runs], 0), _both([r.wall_s for r in runs], 0),
            ]
        )  # fmt: skip
    head = [
        "model",
        "width",
        "parameters",
        "µs per token",
        "M tokens in the budget",
        "work, s",
        "wall clock, s",
    ]
    return _table(head, rows)


def result_table(e: Experiment) -> str:
    rows = []
    kappa = e.measured_kappa()[0]
    names = ["large", *(f"grown {s:g}" for s in e.shares), "small", "no noise 0.5", "half rate 0.25"]
    for name in names:
        runs = e.named(name)
        if not runs:
            continue
        stable = [float(r.loss[r.stable][-1]) for r in runs]
        simulated = [_simulated(e, name, k) for k in (1.1, kappa)]
        rows.append(
            [
                name, _both([float(r.loss[0]) for r in runs]) if runs[0].was_grown else "",
                _both(stable), *(f"{s:.3f}" for s in simulated), _both([float(r.loss[-1]) for r in runs]),
                _both([float(r.loss[r.stable][-1] - r.loss[-1]) for r in runs]),
                _both([e.kappa(r) for r in runs], 2) if runs[0].was_grown else "",
            ]
        )  # fmt: skip
    head = [
        "run", "loss at the switch", "loss before decay", "simulated, kappa 1.10", f"simulated, kappa {kappa:.2f}",
        "loss at the end", "fall in the decay", "kappa measured",
    ]  # fmt: skip
    return _table(head, rows)


def _simulated(e: Experiment, name: str, kappa: float) -> float:
    if name in {"small", "large"}:
        size = e.small if name == "small" else e.large
        return float(e.law.loss(size, e.stable_s / e.tau[size]))
    return e.simulated(float(name.split()[-1]), kappa)


def saving_table(e: Experiment) -> str:
    """Seconds that growing saved on the way to its own last loss."""
    rows = []
    for name in (*(f"grown {s:g}" for s in e.shares), "half rate 0.25", "small"):
        ends = [float(run.loss[-1]) for run in e.named(name)]
        alone = [e.large_alone_s(loss) for loss in ends]
        if ends:
            saved = ", ".join(f"{100 * (1 - e.budget_s / s):+.0f} %" for s in alone)
            rows.append([name, _both(ends), _both(alone, 0), saved])
    return _table(["run", "loss at the end", "the large model alone needs, s", "saved against it"], rows)


def answer_table(e: Experiment) -> str:
    middle, *_ = e.measured_kappa()
    published = next(r for r in kappa_table() if (r["kind"], r["regime"]) == ("width", "loss"))
    assumptions = growth.KAPPA | {
        "published width growth, by loss": float(str(published["kappa"])),
        "measured here": middle,
    }
    plan = e.plan(assumptions)
    rows = []
    for name, answer in plan.answers.items():
        grown = answer.grown
        share = grown.stages[0].cost / e.budget_s if grown is not None else float("nan")
        rows.append(
            [
                name, f"{answer.kappa:.2f}", f"{share:.2f}", f"{grown.loss:.3f}" if grown is not None else "",
                f"{answer.scratch.loss:.3f} ({'small' if answer.scratch.stages[0].size == 0 else 'large'})",
                "yes" if answer.pays else "no",
            ]
        )  # fmt: skip
    head = [
        "assumption",
        "kappa",
        "best switch, share of the budget",
        "its loss",
        "best single model",
        "growth pays",
    ]
    return _table(head, rows)


def facts(e: Experiment, early: Experiment) -> str:
    law, (middle, low, high) = e.law, e.measured_kappa()
    ratio = e.tau[e.large] / e.tau[e.small]
    scratch = [r for name in ("small", "large") for r in e.named(name)]
    work = sum(run.cpu_s for run in e.runs)
    early_edge = early.plan({"central": 1.1}).central.break_even_kappa
    other = (
        f"residuals {early.law.error:.3f} nats, kappa {early.measured_kappa()[0]:.2f}, "
        f"break-even kappa {early_edge:.2f}"
    )
    lines = [
        f"law: {law.floors[e.small]:.3f} (small) or {law.floors[e.large]:.3f} (large) + {law.B:.4g} D^-{law.beta:.3f}",
        f"its residuals: {law.error:.3f} nats (root mean square, {len(scratch)} runs from scratch)",
        f"time per token, large over small: {ratio:.2f} (parameters: {e.params[e.large] / e.params[e.small]:.2f})",
        f"kappa: {middle:.2f} (median of {len(e.grown())} grown runs; lowest {low:.2f}, highest {high:.2f})",
        f"break-even kappa of the plan: {e.plan({'central': 1.1}).central.break_even_kappa:.2f}",
        f"with points from {early.earliest:.0%} of the budget on: {other}",
        f"work of all runs: {work / 60:.0f} minutes of one core, evaluations apart",
    ]
    return "\n".join(f"- {line}" for line in lines)


def report(folder: Path) -> str:
    """Everything that docs/experiment.md quotes."""
    e = Experiment(folder)
    return "\n\n".join(
        [
            setup_table(e),
            facts(e, Experiment(folder, earliest=0.02)),
            result_table(e),
            saving_table(e),
            answer_table(e),
        ]
    )


# --- plot -----------------------------------------------------------------------------------------------------------


def plot(folder: Path, path: Path) -> None:
    """Measured curves (dots) beside simulated ones (lines)."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    e = Experiment(folder)
    kappa = e.measured_kappa()[0]
    figure, axes = pyplot.subplots(1, 2, figsize=(12, 5), gridspec_kw={"width_ratios": [3, 2]})
    colors = dict(zip(["small", "large", *(f"grown {s:g}" for s in e.shares)], "#777 #000 #1b9e77 #d95f02 #7570b3 #e7298a".split(), strict=False))  # fmt: skip
    for name, color in colors.items():
        for i, run in enumerate(e.named(name)):
            late = run.stable & (run.clock_s >= 4)
            axes[0].plot(run.clock_s[late], run.loss[late], ".o"[i > 0], ms=5 if i == 0 else 3, mfc="none" if i else color,
                         color=color, label=name if i == 0 else None)  # fmt: skip
            axes[0].plot(run.clock_s[-1:], run.loss[-1:], "*", ms=9, color=color, mfc="none" if i else color)
        start = 0.0 if name in {"small", "large"} else float(name.split()[1]) * e.budget_s
        seconds = (
            np.geomspace(max(4.0, start), e.stable_s, 200)
            if start == 0
            else np.linspace(start, e.stable_s, 200)
        )
        size = e.small if name == "small" else e.large
        credit = 0.0
        if start:
            credit = e.law.tokens(e.large, float(e.law.loss(e.small, start / e.tau[e.small])))
        worth = kappa if start else 1.0
        axes[0].plot(
            seconds, e.law.loss(size, credit + worth * (seconds - start) / e.tau[size]), color=color, lw=1
        )
    axes[0].set(
        xlabel="seconds of work, source included", ylabel="held-out loss, nats per byte", ylim=(1.28, 2.4)
    )
    axes[0].set_title(
        f"measured (dots; stars: after the decay) and simulated (lines, kappa {kappa:.2f})", fontsize=10
    )
    axes[0].legend(frameon=False)
    _plot_shares(e, axes[1], kappa)
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def _plot_shares(e: Experiment, axis: object, kappa: float) -> None:
    shares = np.linspace(0.02, 0.84, 100)
    for k, style in ((kappa, "-"), (1.1, "--"), (0.85, ":")):
        axis.plot(
            shares, [e.simulated(s, k) for s in shares], "k" + style, lw=1, label=f"simulated, kappa {k:.2f}"
        )
    for which, mark, label in ((-2, "o", "measured before the decay"), (-1, "*", "measured at the end")):
        xs, ys = [], []
        for run in e.runs:
            if run.name.startswith(("no noise", "half rate", "short")):
                continue
            xs.append({"large": 0.0, "small": 1.0}.get(run.name, run.share))
            ys.append(run.loss[run.stable][-1] if which == -2 else run.loss[-1])
        axis.plot(xs, ys, mark, color="#d95f02" if which == -2 else "#1b9e77", label=label)
    axis.set(xlabel="switch, share of the budget (0: large only, 1: small only)", ylabel="nats per byte")
    axis.legend(frameon=False, fontsize=8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path)
    parser.add_argument("--plot", type=Path)
    given = parser.parse_args()
    folder = given.results if given.results.is_dir() else HERE / given.results
    print(report(folder))
    if given.plot:
        plot(folder, given.plot)


if __name__ == "__main__":
    main()
