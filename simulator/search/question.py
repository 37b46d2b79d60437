"""A question to the planner in numbers: machines, limits, what is pinned, and how loss is predicted."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator import energy, goodput, money, scaling, transformer
from simulator.scaling import batch
from simulator.search.evaluate import Setting
from simulator.search.lattice import Pins
from simulator.transformer import Shape

Array = NDArray[np.float64]

BATCH_LAW = "Zhang2024"
"""Critical batch: where a doubled batch stops halving the steps. Depends on tokens."""

REFERENCE_BATCH_LAW = "StepLaw2025"
"""Batch that the laws of loss are taken to hold at: the one that gave the lowest loss for its tokens."""

RESOLUTION_NATS = 0.014
"""Difference of losses below which the laws cannot tell two plans apart: the mean error of the best fit of a law of shape
on its own runs (Gemstones, arXiv:2502.06857, 199 annealed runs). [nats/token]"""

ENOUGH_DATA = -2
"""In place of the index of a limit: more tokens would only repeat the data and raise the loss."""


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

    def scaled(self, **factors: float) -> Limits:
        """Return a copy with some limits multiplied."""
        values = {name: getattr(self, name) for name in ("time_s", "cost_usd", "energy_j")}
        return Limits(**{k: (v * factors.get(k, 1.0) if v is not None else None) for k, v in values.items()})

    @property
    def given(self) -> tuple[str, ...]:
        """Names of the limits that are set."""
        return tuple(n for n in ("time_s", "cost_usd", "energy_j") if getattr(self, n) is not None)


@dataclass(frozen=True)
class Learning:
    """How the loss of a plan is predicted."""

    law: str = scaling.DEFAULT
    shape_law: str | None = None
    unique_tokens: float | None = None

    def batch_factor(self, *, tokens: Any, batch_tokens: Any) -> Any:
        r"""Tokens at the law's own batch that one token at this batch is worth. [-]

        .. math:: \min\left(1, \frac{1 + B_{ref}/B_{crit}}{1 + B/B_{crit}}\right)

        A batch below the reference costs no tokens and, to be careful, gains none.
        """
        with np.errstate(divide="ignore", invalid="ignore"):
            critical = batch.critical_batch_tokens(law=BATCH_LAW, tokens=tokens)
            reference = batch.recommended_batch_tokens(law=REFERENCE_BATCH_LAW, tokens=tokens)
            one = batch.effective_tokens(1.0, batch_tokens, critical, reference_batch_tokens=reference)
        return np.minimum(1.0, one)

    def loss(self, shape: Shape, *, tokens: Any, batch_tokens: Any = 0.0) -> Any:
        """Loss of shapes on the first axis after tokens on all axes. [nats/token]

        A batch that costs tokens costs distinct ones in proportion: repetition stays what it is.
        """
        factor = self.batch_factor(tokens=tokens, batch_tokens=batch_tokens)
        unique = None if self.unique_tokens is None else self.unique_tokens * factor
        return self._evaluate(shape, tokens * factor, unique)

    def loss_bound(self, shape: Shape, *, tokens: Any) -> Any:
        """Lowest loss of shapes after at most these tokens, in any batch. [nats/token]

        Repetition makes tokens worth less here, not the parameters: the loss then falls with tokens.
        """
        if self.unique_tokens is not None:
            tokens = scaling.data.effective_tokens(tokens=tokens, unique_tokens=self.unique_tokens)
        return self._evaluate(shape, tokens, None)

    def _evaluate(self, shape: Shape, tokens: Any, unique_tokens: Any) -> Any:
        width = np.asarray(shape.hidden_size, dtype=float)
        depth = np.asarray(shape.num_hidden_layers, dtype=float)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            inside = np.maximum(transformer.non_embedding_parameters(shape), 1.0)
            attention = transformer.attention_matrix_parameters(shape)
            mlp = (transformer.layer_matrix_parameters(shape) - depth * attention) / depth
            return scaling.loss(
                law=self.law,
                params=transformer.active_parameters(shape),
                tokens=tokens,
                unique_tokens=unique_tokens,
                non_embedding_params=inside,
                hidden_size=width,
                num_hidden_layers=depth,
                mlp_attention_ratio=mlp / attention,
                shape_law=self.shape_law,
            )

    def best_tokens(self, shape: Shape, *, most: Any, batch_tokens: Any) -> Any:
        """Tokens of least loss up to `most`: a model with parameters to spare gets worse on repeated data. [tokens]

        Looked for on a grid of multiples of the distinct tokens, 4 % apart; `most` itself where more is better.
        """
        if self.unique_tokens is None or not np.any(most > self.unique_tokens):
            return most
        epochs = np.geomspace(1.0, 64.0, 107)
        most = np.asarray(most, dtype=float)
        tried = np.minimum(self.unique_tokens * epochs, most[..., None])
        tried = np.concatenate([tried, most[..., None]], axis=-1)
        spread = Shape(**{f.name: _deeper(getattr(shape, f.name)) for f in fields(shape)})
        batch_tokens = np.asarray(batch_tokens, dtype=float)[..., None]
        losses = self.loss(spread, tokens=tried, batch_tokens=batch_tokens)
        losses = np.where(np.isnan(losses), np.inf, losses)
        best = np.argmin(losses, axis=-1)[..., None]
        enough = np.min(losses, axis=-1) < losses[..., -1] * (1 - 1e-9)
        return np.where(enough, np.take_along_axis(tried, best, axis=-1)[..., 0], most)


def _deeper(value: Any) -> Any:
    return np.asarray(value)[..., None] if np.ndim(value) else value


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
    zero_stages: tuple[int, ...] = (1, 3)
    interleave: bool = True
    flash_attention: bool = True
    max_alternatives: int = 5
    batch_in_tokens: bool = False
    """The pinned batch was written in tokens and may be rounded."""

    def goodput_of(self, n_gpus: int) -> float:
        """Useful share of wall-clock time. [-]"""
        return self.goodput if self.goodput is not None else float(goodput.scaled(n_gpus=n_gpus))

    @property
    def bounded(self) -> bool:
        """Whether something in the question ends a run."""
        return bool(self.tokens or self.steps or self.limits.given)


def serving_s(question: Question, machine: Machine, active_params: Any) -> Any:
    """Accelerator seconds that the demanded inference takes. [s]"""
    if not question.inference_tokens:
        return 0.0 * np.asarray(active_params)
    return money.serving_gpu_seconds(
        active_params=active_params,
        tokens=question.inference_tokens,
        peak_flops=machine.bf16_peak or machine.setting.device.peak_flops,
        utilisation=money.request_utilisation(),
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
        elif machine.power_per_gpu_w:
            wall = energy.affordable_s(
                joules=limits.energy_j, n_gpus=n_gpus, power_per_gpu_w=machine.power_per_gpu_w
            )
            caps.append(np.full_like(serving, wall))
        else:
            caps.append(np.full_like(serving, np.nan))
    if not caps:
        return np.full_like(serving, np.inf), np.full(serving.shape, -1)
    stacked = np.stack(caps)
    return np.min(stacked, axis=0), np.argmin(stacked, axis=0)


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
        ``tokens steps wall_s useful_s gpu_hours cost_usd energy_j loss batch_factor serving_s binding runs``, each of
        shape (S, G).
    """
    limits = question.limits if limits is None else limits
    column = np.ndim(step_time_s) == 2
    active = np.asarray(transformer.active_parameters(shape), dtype=float)
    active = active.reshape(-1, 1) if column else active
    useful_share = question.goodput_of(n_gpus)
    batch_tokens = np.asarray(batch_sequences, dtype=float) * question.seq_length
    step = np.asarray(step_time_s, dtype=float)
    shaped = columns_of(shape) if column else shape
    cap, binding = wall_limit_s(question, machine, n_gpus, active, limits)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        if question.steps is not None:
            tokens = question.steps * batch_tokens + 0.0 * step
        elif question.tokens is not None:
            tokens = question.tokens + 0.0 * step
        else:
            most = np.where(np.isfinite(cap), cap * useful_share / step * batch_tokens, np.nan)
            tokens = question.learning.best_tokens(shaped, most=most, batch_tokens=batch_tokens)
            binding = np.where(tokens < most, ENOUGH_DATA, binding)
        steps = tokens / batch_tokens
        useful = steps * step
        wall = useful / useful_share
        fixed = question.tokens is not None or question.steps is not None
        runs = np.isfinite(step) & ((wall <= cap) if fixed else np.ones_like(step, dtype=bool))
        runs = runs & ~np.isnan(cap) & (cap > 0)
        loss = question.learning.loss(shaped, tokens=tokens, batch_tokens=batch_tokens)
        factor = question.learning.batch_factor(tokens=tokens, batch_tokens=batch_tokens)
    hours = money.gpu_hours(n_gpus=n_gpus, seconds=wall)
    price = np.nan if machine.usd_per_gpu_hour is None else machine.usd_per_gpu_hour
    power = np.nan if machine.power_per_gpu_w is None else machine.power_per_gpu_w
    return {
        "tokens": tokens,
        "steps": steps,
        "wall_s": wall,
        "useful_s": useful,
        "gpu_hours": hours,
        "cost_usd": money.cost_usd(gpu_hours=hours, usd_per_gpu_hour=price),
        "energy_j": energy.energy_j(n_gpus=n_gpus, seconds=wall, power_per_gpu_w=power),
        "loss": loss,
        "batch_factor": factor,
        "serving_s": np.broadcast_to(serving_s(question, machine, active), np.shape(step)),
        "binding": binding + np.zeros(np.shape(step), dtype=int),
        "runs": runs,
    }


def columns_of(shape: Shape) -> Shape:
    """Arrays of a `Shape` as columns (S, 1)."""
    values = {f.name: getattr(shape, f.name) for f in fields(shape)}
    return Shape(**{k: (np.asarray(v).reshape(-1, 1) if np.ndim(v) else v) for k, v in values.items()})
