"""Pipeline schedules: how long a step takes when stages work on micro-batches in turn."""

from __future__ import annotations

import numpy as np

from simulator.columns import Numeric
from simulator.layout import SCHEDULES, Layout, is_dualpipe
from simulator.transformer import Shape


def bubble_fraction(*, pp: Numeric, num_microbatches: Numeric, vp: Numeric = 1) -> Numeric:
    r"""Idle share of 1F1B relative to the useful work. [-]

    .. math:: \frac{p - 1}{v\,m}

    Narayanan et al., arXiv:2104.04473, section 2.2. GPipe has the same bubble with v = 1.

    Examples
    --------
    >>> print(bubble_fraction(pp=8, num_microbatches=64))
    0.109375
    """
    return (np.asarray(pp) - 1.0) / (np.asarray(vp) * num_microbatches)


def head_cost(shape: Shape) -> Numeric:
    """Compute of the output head in units of one layer, as nanotron's `get_block_compute_costs` counts it. [layers]"""
    h, heads = np.asarray(shape.hidden_size, dtype=float), np.asarray(shape.num_attention_heads)
    return (
        h * shape.vocab_size / (4 * h * heads * shape.head_dim + 3 * h * np.asarray(shape.intermediate_size))
    )


def stage_layers(
    *, num_hidden_layers: Numeric, pp: Numeric, balance: Numeric = 0, head: Numeric = 0.0
) -> tuple[Numeric, Numeric]:
    """Layers of the fullest stage and of the last one: a pair. [-]

    Parameters
    ----------
    num_hidden_layers, pp : numeric
        Layers of the model, and stages. [-]
    balance : numeric, optional
        0: every stage takes the same number; where the stages do not divide the layers, the fullest hold a layer more than
        the others, and the last stage, which also computes the logits, is one of the others. Else stages take layers in turn
        until they reach their part of all layers and of the output head (1), or pass it (2); the first is the fullest. So
        does nanotron (src/nanotron/models/base.py): the first of these since the repair of its pipeline engine.
    head : numeric, optional
        Cost of the output head, which counts where `balance` is not 0. [layers]

    Examples
    --------
    Llama 3 405B: 126 layers on 16 stages, eight on most, seven on the last (arXiv:2407.21783, section 3.3.2).

    >>> [int(n) for n in stage_layers(num_hidden_layers=126, pp=16)]
    [8, 7]
    >>> [int(n) for n in stage_layers(num_hidden_layers=96, pp=8)]
    [12, 12]

    Sixteen layers and a head that weighs as much as four: 5, 5, 5 and 1, or 6, 5, 5 and none.

    >>> [[int(n) for n in stage_layers(num_hidden_layers=16, pp=4, head=4, balance=b)] for b in (1, 2)]
    [[5, 1], [6, 0]]
    """
    layers, pp = np.asarray(num_hidden_layers, dtype=float), np.asarray(pp)
    most = np.ceil(layers / pp)
    last = most - (most * pp > layers)
    part = (layers + head) / pp

    def closed(reached: Numeric) -> Numeric:
        return np.where(np.asarray(balance) > 1.5, np.floor(reached) + 1.0, np.ceil(reached - 1e-9))

    counted = (np.asarray(balance) > 0.5) & (pp > 1)
    first, rest = np.minimum(closed(part), layers), np.maximum(layers - closed(part * (pp - 1.0)), 0.0)
    return np.where(counted, first, most), np.where(counted, rest, last)


def zero_bubble_idle(*, recomputed: Numeric = 0.0) -> Numeric:
    """Bubble of ZB-H1 over that of 1F1B: ``(F + B - W) / (F + B + W)``. [-]

    Forward F, input gradients B and weight gradients W take equally long; a forward that is repeated, in whole (1) or in part,
    belongs to B. Source: Qi et al., arXiv:2401.10241, table 2.

    Examples
    --------
    >>> print(round(zero_bubble_idle(), 3), zero_bubble_idle(recomputed=1.0))
    0.333 0.5
    """
    return (1.0 + np.asarray(recomputed)) / (3.0 + np.asarray(recomputed))


def dualpipe_idle(*, pp: Numeric, recomputed: Numeric = 0.0) -> Numeric:
    """Bubble of DualPipe over that of 1F1B: ``(p/2 - 1) (F&B + B - 3 W) / ((p - 1) (F + B))``. [-]

    Here B is a whole backward pass, input and weight gradients W, and F&B a forward pass beside a backward one, which takes as
    long as both; `recomputed` as in `zero_bubble_idle`. Source: DeepSeek-AI, arXiv:2412.19437, table 2.

    Examples
    --------
    >>> print(round(float(dualpipe_idle(pp=16)), 3), dualpipe_idle(pp=2))
    0.311 0.0
    """
    pp, again = np.asarray(pp, dtype=float), np.asarray(recomputed)
    return np.maximum(pp / 2.0 - 1.0, 0.0) * (2.0 + 2.0 * again) / (np.maximum(pp - 1.0, 1.0) * (3.0 + again))


def idle_share(layout: Layout) -> Numeric:
    """Share of the bubble of 1F1B that the schedule of a layout leaves. [-]"""
    schedule, again = np.asarray(layout.schedule), np.asarray(layout.recompute) == 2
    filled = np.where(schedule == SCHEDULES["zero_bubble"], zero_bubble_idle(recomputed=again), 1.0)
    return np.where(is_dualpipe(layout), dualpipe_idle(pp=layout.pp, recomputed=again), filled)


def pipeline_time(
    *,
    middle_s: Numeric,
    last_s: Numeric,
    pp: Numeric,
    num_microbatches: Numeric,
    vp: Numeric = 1,
    serial: Numeric = 0,
    mean_s: Numeric | None = None,
    idle: Numeric = 1.0,
) -> Numeric:
    r"""Time from the first forward to the last backward of one step.

    Parameters
    ----------
    middle_s : numeric
        Forward and backward of one micro-batch on the fullest of the stages before the last. [s]
    last_s : numeric
        The same on the last stage, which also computes the logits and the loss. [s]
    pp, vp : numeric
        Pipeline stages and virtual stages per device. [-]
    num_microbatches : numeric
        Micro-batches per step. [-]
    serial : numeric, optional
        1 where stages wait for each other, so that every micro-batch passes all stages alone. [-]
    idle : numeric, optional
        Share of the bubble that remains: `idle_share` of the schedule. [-]
    mean_s : numeric, optional
        Mean over the stages before the last; `middle_s` if they are alike. [s]

    Notes
    -----
    .. math:: T = m \max(t, t_l) + \frac{(p - 1)\,\bar t + t_l - \max(t, t_l)}{v}\,i

    The slowest stage sets the beat; the other stages are paid once, to fill and drain. With one stage it is ``m t_l``.

    Examples
    --------
    >>> print(pipeline_time(middle_s=1.0, last_s=1.0, pp=8, num_microbatches=64))
    71.0
    >>> print(pipeline_time(middle_s=1.0, last_s=2.0, pp=1, num_microbatches=4))
    8.0
    """
    slowest = np.where(np.asarray(pp) > 1, np.maximum(middle_s, last_s), last_s)
    through = (np.asarray(pp) - 1.0) * (middle_s if mean_s is None else mean_s) + last_s
    overlapped = num_microbatches * slowest + (through - slowest) / vp * idle
    alone = np.asarray(serial) > 0
    return np.where(alone, num_microbatches * through, overlapped) if np.any(alone) else overlapped


def handing_time(
    *,
    send_s: Numeric,
    pp: Numeric,
    num_microbatches: Numeric,
    vp: Numeric = 1,
    serial: Numeric = 0,
    idle: Numeric = 1.0,
) -> Numeric:
    r"""Time of the messages on the longest path through one step.

    Parameters
    ----------
    send_s : numeric
        What a stage exchanges with its neighbours for one micro-batch: with each of the ``n = min(p - 1, 2)`` of them, once per
        virtual stage, activations one way and gradients the other. [s]
    pp, vp, num_microbatches, serial, idle : numeric
        As in `pipeline_time`.

    Notes
    -----
    .. math:: T = (m - 1)\,s + \frac{(p - 1)\,s}{n\,v}\,i

    The first micro-batch crosses each of the ``p - 1`` boundaries once forward and, at the end, once backward; for every other
    one the slowest stage waits for all of its messages. Serial stages let every micro-batch cross all boundaries alone.
    Optimistic on two stages: of runs that waited for nothing else, those of one micro-batch took a sixth longer, those of four
    a twelfth, while on 4 to 32 stages the formula holds within a few hundredths.

    Examples
    --------
    >>> print(handing_time(send_s=0.4, pp=2, num_microbatches=1), handing_time(send_s=0.4, pp=4, num_microbatches=8))
    0.4 3.4
    """
    boundaries = np.maximum(np.asarray(pp, dtype=float) - 1.0, 0.0)
    across = boundaries * send_s / (np.clip(boundaries, 1.0, 2.0) * vp)
    m = np.asarray(num_microbatches)
    steady = (m - 1.0) * send_s * (boundaries > 0.0) + across * idle
    alone = np.asarray(serial) > 0
    return np.where(alone, m * across, steady) if np.any(alone) else steady
