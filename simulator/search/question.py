"""A question to the planner in numbers: machines, limits, what is pinned, and how loss is predicted."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator import energy, goodput, money, serving, transformer
from simulator.search import quality
from simulator.search.evaluate import Setting
from simulator.search.failures import Failures
from simulator.search.lattice import Pins
from simulator.search.learning import BATCH_LAW, REFERENCE_BATCH_LAW, Learning, columns_of
from simulator.search.quality import Quality
from simulator.transformer import Shape

__all__ = [
    "BATCH_LAW",
    "ENOUGH_DATA",
    "ENOUGH_QUALITY",
    "ONE_STEP",
    "REFERENCE_BATCH_LAW",
    "RESOLUTION_NATS",
    "Learning",
    "Limits",
    "Machine",
    "Question",
    "Service",
    "columns_of",
    "latency_s",
    "outcome",
    "serving_s",
    "wall_limit_s",
]

Array = NDArray[np.float64]

RESOLUTION_NATS = 0.014
"""Difference of losses below which the laws cannot tell two plans apart: the mean error of the best fit of a law of shape
on its own runs (Gemstones, arXiv:2502.06857, 199 annealed runs). [nats/token]"""

ENOUGH_DATA = -2
"""In place of the index of a limit: more tokens would only repeat the data and raise the loss."""

ENOUGH_QUALITY = -3
"""In place of the index of a limit: the run ends when the model is as good as required."""

ONE_STEP = 1.0 - 1e-9
"""Fewer optimizer steps are no run. [-]"""


@dataclass(frozen=True)
class Machine:
    """Accelerators of one kind at one price."""

    label: str
    setting: Setting
    counts: tuple[int, ...]
    """Numbers of accelerators that may be used."""
    node_size: int = 8
    usd_per_gpu_hour: float | None = None
    power_per_gpu_w: float | None = None
    """At the meter. [W]"""
    grid_g_per_kwh: float | None = None
    """Carbon intensity of the electricity. [g/kWh]"""
    failures: Failures | None = None
    """Interruptions, where they are known."""
    bf16_peak: float = 0.0
    """Dense 16-bit peak. [FLOP/s]"""
    matmul_precision: str = "bf16"
    """Precision that the peak of `setting` belongs to."""
    about: dict[str, Any] = field(default_factory=dict)
    """Words for the answer: evidence, price, sources."""


@dataclass(frozen=True)
class Limits:
    """What may be spent; ``None`` is no limit."""

    time_s: float | None = None
    cost_usd: float | None = None
    energy_j: float | None = None
    co2e_kg: float | None = None

    def scaled(self, **factors: float) -> Limits:
        """Return a copy with some limits multiplied."""
        return replace(self, **{name: getattr(self, name) * factors.get(name, 1.0) for name in self.given})

    @property
    def given(self) -> tuple[str, ...]:
        """Names of the limits that are set."""
        return tuple(f.name for f in fields(self) if getattr(self, f.name) is not None)


@dataclass(frozen=True)
class Service:
    """How the trained model answers, and how fast it must."""

    context_length: int
    batch_size: int = 1
    n_gpus: int = 1
    precision: str = "bf16"
    latency_s: float | None = None
    """Time between two tokens of an answer, at most. [s]"""


@dataclass(frozen=True)
class Question:
    """Everything the planner needs, without the files it came from."""

    machines: tuple[Machine, ...]
    limits: Limits
    learning: Learning
    seq_length: int
    pins: Pins
    tokens: float | None = None
    steps: float | None = None
    goodput: float | None = None
    """Share of wall-clock time that is useful; scaled from a published run if ``None``."""
    inference_tokens: float | None = None
    serving_utilisation: float | None = None
    """Share of the 16-bit peak that serving reaches; that of a published request if ``None``. [-]"""
    zero_stages: tuple[int, ...] = (1, 3)
    interleave: bool = True
    flash_attention: bool = True
    max_alternatives: int = 5
    batch_in_tokens: bool = False
    """The pinned batch was written in tokens and may be rounded."""
    qualities: tuple[Quality, ...] = ()
    """What the trained model must reach."""
    objectives: tuple[str, ...] = ()
    """Columns of `outcome` that are to be low; the usual one if empty (`choice.objective_of`)."""
    service: Service | None = None
    """How the trained model answers."""
    pretrained: bool = False
    """The run goes on from trained weights."""
    dispatcher: str = "alltoall"
    """How tokens reach experts of other devices, under the scenario's name for it."""
    spend_all: bool = False
    """Train to the end of the limits, even where repeated data then raise the loss."""
    counts_batch: bool = False
    """Limits hold for the time that a run would take if it also made up for the tokens that its batch costs: else the fewest
    accelerators end in time by the largest batch, which teaches least."""

    def goodput_of(self, n_gpus: int, machine: Machine | None = None) -> float:
        """Useful share of wall-clock time. [-]"""
        if self.goodput is not None:
            return self.goodput
        failures = None if machine is None else machine.failures
        if failures is None:
            return float(goodput.scaled(n_gpus=n_gpus))
        node = 8 if machine is None else machine.node_size
        return failures.goodput(n_gpus=n_gpus, accelerators_per_node=node)

    @property
    def fixed(self) -> bool:
        """Whether the question says how long to train."""
        return self.tokens is not None or self.steps is not None

    @property
    def batch_matters(self) -> bool:
        """Whether runs of the same tokens may differ in what their batch teaches: tokens are given, and no batch and no quality."""
        return self.tokens is not None and not self.qualities and self.pins.global_batch_size is None

    @property
    def from_scratch(self) -> bool:
        """Whether all weights start anew; laws of loss say nothing of a model that was trained before."""
        return not (self.pins.frozen or self.pretrained)

    @property
    def shortest(self) -> bool:
        """Whether a run ends as soon as it is good enough."""
        return (
            not self.fixed
            and bool(self.qualities)
            and bool(self.objectives)
            and not quality.BETTER_WITH_TOKENS & set(self.objectives)
        )

    @property
    def bounded(self) -> bool:
        """Whether something in the question ends a run."""
        return bool(self.fixed or self.limits.given or self.shortest)


def serving_s(question: Question, machine: Machine, active_params: Any) -> Any:
    """Accelerator seconds that the demanded inference takes. [s]"""
    if not question.inference_tokens:
        return 0.0 * np.asarray(active_params)
    return money.serving_gpu_seconds(
        active_params=active_params,
        tokens=question.inference_tokens,
        peak_flops=machine.bf16_peak or machine.setting.device.peak_flops,
        utilisation=question.serving_utilisation or money.request_utilisation(),
    )


def wall_limit_s(
    question: Question, machine: Machine, n_gpus: int, active_params: Any, limits: Limits
) -> tuple[Any, Any]:
    """Wall-clock time that every limit allows, and which limit is the tightest (an index into `Limits.given`). [s]

    A limit on cost covers serving as well, if the question demands it.
    """
    serving = np.asarray(serving_s(question, machine, active_params), dtype=float)
    caps = []
    for name in limits.given:
        if name == "time_s":
            caps.append(np.full_like(serving, limits.time_s))
        elif name == "cost_usd":
            price = machine.usd_per_gpu_hour
            if price is None:
                caps.append(np.full_like(serving, np.nan))
            else:
                wall = money.affordable_s(usd=limits.cost_usd, n_gpus=n_gpus, usd_per_gpu_hour=price)
                caps.append(np.maximum(wall - serving / n_gpus, 0.0))
        else:
            joules = limits.energy_j if name == "energy_j" else _joules(limits.co2e_kg, machine)
            power = machine.power_per_gpu_w or np.nan
            wall = energy.affordable_s(joules=joules, n_gpus=n_gpus, power_per_gpu_w=power)
            caps.append(np.full_like(serving, wall))
    if not caps:
        return np.full_like(serving, np.inf), np.full(serving.shape, -1)
    stacked = np.stack(caps)
    return np.min(stacked, axis=0), np.argmin(stacked, axis=0)


def _joules(co2e_kg: float | None, machine: Machine) -> float:
    """Energy that emissions allow on a machine's grid. [J]"""
    grid = machine.grid_g_per_kwh
    if grid is None or co2e_kg is None:
        return float("nan")
    return float(energy.joules_for(co2e_kg=co2e_kg, grid_g_per_kwh=grid))


def latency_s(question: Question, machine: Machine, shape: Shape) -> Any:
    """Least time between two tokens of an answer; zero where nothing is asked about it. [s]"""
    service = question.service
    if service is None:
        return 0.0
    device = machine.setting.device
    return serving.least_latency_s(
        shape,
        n_gpus=service.n_gpus,
        memory_bandwidth=float(device.memory_bandwidth),
        memory_capacity=float(device.memory_capacity),
        batch_size=service.batch_size,
        context_length=service.context_length,
        bytes_per_number=serving.BYTES[service.precision],
    )


def quick_enough(question: Question, latency: Any) -> Any:
    """Whether models answer as fast as they must."""
    service = question.service
    if service is None:
        return np.ones(np.shape(latency), dtype=bool)
    most = np.inf if service.latency_s is None else service.latency_s
    return np.isfinite(latency) & (np.asarray(latency) <= most)


def outcome(
    question: Question,
    machine: Machine,
    *,
    n_gpus: int,
    shape: Shape,
    batch_sequences: Any,
    step_time_s: Any,
    limits: Limits | None = None,
) -> dict[str, Any]:
    """What a run comes to: tokens, days, money, energy, loss.

    Parameters
    ----------
    question, machine
        What is asked, and where it runs.
    n_gpus : int
        Accelerators.
    shape : Shape
        Shapes, arrays of one length S (or scalars).
    batch_sequences : array
        Batches of length G (or a scalar). [sequences]
    step_time_s : array
        Of shape (S, G) (or a scalar). [s]
    limits : Limits, optional
        In place of the question's.

    Returns
    -------
    dict
        ``tokens steps wall_s useful_s gpu_hours cost_usd energy_j co2e_kg loss batch_factor serving_s latency_s binding good
        quick runs``, and ``accuracy_loss`` with a requirement on quality, each of shape (S, G). What runs takes at least
        one step, ends within the limits, is as good and answers as quickly as required.
    """
    limits = question.limits if limits is None else limits
    column = np.ndim(step_time_s) == 2
    active = np.asarray(transformer.active_parameters(shape), dtype=float)
    active = active.reshape(-1, 1) if column else active
    useful_share = question.goodput_of(n_gpus, machine)
    batch_tokens = np.asarray(batch_sequences, dtype=float) * question.seq_length
    step = np.asarray(step_time_s, dtype=float)
    shaped = columns_of(shape) if column else shape
    cap, binding = wall_limit_s(question, machine, n_gpus, active, limits)
    latency = latency_s(question, machine, shaped)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        tokens, binding = _tokens(question, shaped, batch_tokens, cap * useful_share / step, binding)
        steps = tokens / batch_tokens
        useful = steps * step
        wall = useful / useful_share
        factor = question.learning.batch_factor(tokens=tokens, batch_tokens=batch_tokens)
        held = question.fixed or question.shortest
        counted = wall / factor if question.counts_batch else wall
        runs = np.isfinite(step) & ((counted <= cap) if held else np.ones_like(step, dtype=bool))
        runs = runs & ~np.isnan(cap) & (cap > 0) & ~(steps < ONE_STEP)
        quick = quick_enough(question, latency) & np.ones(np.shape(step), dtype=bool)
        good = np.ones(np.shape(step), dtype=bool)
        loss = question.learning.loss(shaped, tokens=tokens, batch_tokens=batch_tokens)
        extra = {}
        if question.qualities:
            good, extra["accuracy_loss"] = _judged(question, shaped, tokens, batch_tokens, runs)
    return {
        "tokens": tokens,
        "steps": steps,
        "wall_s": wall,
        "useful_s": useful,
        **_spent(machine, n_gpus, wall),
        "loss": loss,
        "batch_factor": factor,
        "serving_s": np.broadcast_to(serving_s(question, machine, active), np.shape(step)),
        "latency_s": np.broadcast_to(latency, np.shape(step)),
        "binding": binding + np.zeros(np.shape(step), dtype=int),
        "good": good,
        "quick": quick,
        "runs": runs & good & quick,
        **extra,
    }


def _judged(question: Question, shape: Shape, tokens: Any, batch_tokens: Any, runs: Any) -> tuple[Any, Any]:
    """Whether models are as good as required, and the loss that the first task is judged by."""
    judged = {q.name: q.loss(question.learning, shape, tokens, batch_tokens) for q in question.qualities}
    enough = [judged[q.name] <= q.limit * (1 + quality.ROUNDING) for q in question.qualities]
    good = np.all(np.broadcast_arrays(*enough, runs)[:-1], axis=0)
    return good, judged[quality.first_task(question.qualities)]


def _spent(machine: Machine, n_gpus: int, wall_s: Any) -> dict[str, Any]:
    """Accelerator-hours, money, energy and emissions of a run; not-a-number where the machine does not say."""
    hours = money.gpu_hours(n_gpus=n_gpus, seconds=wall_s)
    price = np.nan if machine.usd_per_gpu_hour is None else machine.usd_per_gpu_hour
    power = np.nan if machine.power_per_gpu_w is None else machine.power_per_gpu_w
    joules = energy.energy_j(n_gpus=n_gpus, seconds=wall_s, power_per_gpu_w=power)
    grid = np.nan if machine.grid_g_per_kwh is None else machine.grid_g_per_kwh
    return {
        "gpu_hours": hours,
        "cost_usd": money.cost_usd(gpu_hours=hours, usd_per_gpu_hour=price),
        "energy_j": joules,
        "co2e_kg": energy.co2e_t(energy_mwh=joules / energy.JOULE_PER_MWH, grid_g_per_kwh=grid) * 1e3,
    }


def _tokens(
    question: Question, shape: Shape, batch_tokens: Any, steps_allowed: Any, binding: Any
) -> tuple[Any, Any]:
    """Tokens of a run, and what ends it. [tokens]"""
    nothing = 0.0 * steps_allowed
    if question.steps is not None:
        return question.steps * batch_tokens + np.where(np.isnan(nothing), 0.0, nothing), binding
    if question.tokens is not None:
        return question.tokens + np.where(np.isnan(nothing), 0.0, nothing), binding
    if question.shortest:
        needed = quality.required_tokens(question.learning, question.qualities, shape, batch_tokens)
        needed = np.maximum(needed, batch_tokens)  # a run takes at least one step
        return needed + np.zeros(np.shape(steps_allowed)), np.full(np.shape(binding), ENOUGH_QUALITY)
    most = np.where(np.isfinite(steps_allowed), steps_allowed * batch_tokens, np.nan)
    if question.spend_all:
        return most, binding
    tokens = question.learning.best_tokens(shape, most=most, batch_tokens=batch_tokens)
    return tokens, np.where(tokens < most, ENOUGH_DATA, binding)
