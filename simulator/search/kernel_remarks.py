"""Warnings of what slows the kernels of a plan, or is known of them from longer steps only."""

from __future__ import annotations

import numpy as np

from simulator import clock, transformer
from simulator.kernels import ALIGNED, unfused_softmax
from simulator.layout import CUDA_GRAPHS
from simulator.search.notes import Notes
from simulator.search.question import Question
from simulator.search.table import Plan

PADDED = 128
"""Multiple to which Megatron-LM pads a vocabulary by default. [-]"""

MOST_FIXED = 0.2
"""Share of a step that its fixed time may take before it is warned of: a choice. [-]"""


MOST_ISSUED = 0.15
"""Share of a step that issuing its kernels may cost before it is warned of: a choice. [-]"""


def annotate(question: Question, notes: Notes, best: Plan) -> None:
    """Warn of ragged widths, of a softmax that is not fused, and of steps that a fixed time or the host rules."""
    _vocabulary(notes, best)
    _heads(notes, best)
    _softmax(question, notes, best)
    _fixed(question, notes, best)
    _issued(question, notes, best)


def _fixed(question: Question, notes: Notes, best: Plan) -> None:
    """Say where the time per step that no work explains, fitted to longer steps, is much of the step."""
    setting = question.machines[best.machine].setting
    if setting.clock is not clock.memory_copies:
        return
    fixed, step = float(setting.constants.step_overhead_s), best.step_time_s
    if fixed > MOST_FIXED * step:
        notes.warn(
            "fixed-time",
            f"{100 * fixed / step:.0f} % of the step is the fixed time of a step with this software, {1e3 * fixed:.0f} ms, "
            "which was fitted to longer steps; a short one may take less",
        )


def _issued(question: Question, notes: Notes, best: Plan) -> None:
    """Say what CUDA graphs would save where the device waits for the host. XLA issues whole programs; a TPU is left out."""
    setting = question.machines[best.machine].setting
    if setting.clock is not clock.memory_copies or float(np.max(setting.device.vector_lanes)) > 1:
        return
    captured = float(
        np.max(setting.step_time(best.shape, best.layout.with_(cuda_graphs=CUDA_GRAPHS["full"])))
    )
    step = best.step_time_s
    if step - captured > MOST_ISSUED * step:
        notes.warn(
            "host-bound",
            f"the host issues kernels more slowly than the device runs them: with training.cuda_graphs: full a step would take "
            f"{captured:.2g} instead of {step:.2g} s; larger micro-batches help too, as far as memory allows",
        )


def _vocabulary(notes: Notes, best: Plan) -> None:
    """Say what a vocabulary costs whose rows tensor cores cannot load whole."""
    size = int(best.shape.vocab_size)
    if size % ALIGNED and int(best.layout.tp) < 2 and not best.layout.pads_vocabulary:
        better = PADDED * -(-size // PADDED)
        notes.warn(
            "ragged-vocabulary",
            f"a vocabulary of {size:,} is no multiple of {ALIGNED}; padded to {better:,} the output matmul runs up to twice as fast",
        )


def _heads(notes: Notes, best: Plan) -> None:
    """Say what heads cost whose products tensor cores cannot load, where attention is not fused."""
    width = float(transformer.query_width(best.shape) / best.shape.num_attention_heads)
    if width % ALIGNED and not best.layout.flash_attention:
        notes.warn(
            "ragged-heads",
            f"heads of {width:g} are no multiple of {ALIGNED}; attention that is not fused then leaves the tensor cores, and whole steps were measured a third slower",
        )


def _softmax(question: Question, notes: Notes, best: Plan) -> None:
    """Say where the stack's fused softmax does not take the plan's score matrices."""
    c = question.machines[best.machine].setting.constants
    if np.any(unfused_softmax(best.shape, best.layout, c)):
        heads = float(best.shape.num_attention_heads / best.layout.tp)
        notes.warn(
            "unfused-softmax",
            f"{heads:g} heads of a rank times a micro-batch of {best.layout.micro_batch_size:g} are no multiple of {c.softmax_multiple:g}; the stack's softmax is then five operations instead of one",
        )
