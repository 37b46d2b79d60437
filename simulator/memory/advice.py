"""Does it fit, and if not: what is the smallest change that does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from simulator.layout import Layout
from simulator.memory.constants import GIB
from simulator.memory.peak import peak
from simulator.transformer import Shape, decoder  # noqa: F401 (decoder is used by the doctests)

Numeric = Any

FITS, TIGHT, DOES_NOT_FIT = "FITS", "TIGHT", "DOES NOT FIT"

TIGHT_SHARE = 0.08
"""Margin, as a share of capacity, below which a fit is called tight: the mean error of the predicted peak on models that
were left out of the fit (docs/memory.md). [-]"""

MOST_UNEVEN = 1.1
"""Layers of the fullest pipeline stage over their mean that are proposed where the stages do not divide the layers: a step waits
for the fullest. Llama 3's 126 layers on 16 stages are 1.016. [-]"""


@dataclass(frozen=True)
class Advice:
    """One layout, how it was reached, what it needs, and why it was chosen."""

    change: str
    layout: Layout
    total: float
    """Peak. [B]"""
    reason: str


def verdict(total: Numeric, capacity: Numeric) -> tuple[Any, Any]:
    """Judge whether a peak fits a capacity.

    Parameters
    ----------
    total, capacity : numeric
        Predicted peak, memory of the accelerator. [B]

    Returns
    -------
    tuple
        ``FITS``, ``TIGHT`` (margin below 8 % of the capacity) or ``DOES NOT FIT``; and the margin, negative where
        memory is missing. [B]

    Examples
    --------
    >>> [verdict(x, 80e9)[0] for x in (60e9, 78e9, 81e9)]
    ['FITS', 'TIGHT', 'DOES NOT FIT']
    """
    margin = np.asarray(capacity - np.asarray(total, dtype=float))
    name = np.where(
        margin < 0, DOES_NOT_FIT, np.where(margin < TIGHT_SHARE * np.asarray(capacity), TIGHT, FITS)
    )
    return (name, margin) if name.ndim else (str(name), float(margin))


def largest_micro_batch(
    s: Shape, layout: Layout, *, capacity: float, largest: int = 1024, **how: Any
) -> Advice | None:
    """Largest micro-batch that fits, at an unchanged number of micro-batches; ``None`` if not one sequence fits.

    Parameters
    ----------
    s, layout : Shape, Layout
        One model and one layout (scalars).
    capacity : float
        Memory of the accelerator. [B]
    largest : int, optional
        Largest micro-batch to try. [sequences]
    **how
        Passed on to `peak`: optimizer, precision, constants.

    Examples
    --------
    >>> llama = decoder(num_hidden_layers=32, hidden_size=4096, intermediate_size=11008, num_attention_heads=32,
    ...                 vocab_size=32000)
    >>> found = largest_micro_batch(llama, Layout(tp=2, dp=4, zero_stage=1, sequence_parallel=1), capacity=80e9)
    >>> print(found.change, "|", found.reason)
    micro_batch_size 4 | 5 would need 80.8 of 74.5 GiB
    """
    sizes = np.arange(1, largest + 1, dtype=float)
    totals = peak(s, layout.with_(micro_batch_size=sizes), **how)["total"]
    best = int(np.count_nonzero(totals <= capacity))
    if best == 0:
        return None
    reason = f"all sizes up to {largest} fit"
    if best < largest:
        reason = f"{best + 1} would need {totals[best] / GIB:.1f} of {capacity / GIB:.1f} GiB"
    changed = layout.with_(micro_batch_size=best)
    return Advice(f"micro_batch_size {best}", changed, float(totals[best - 1]), reason)


def divided(s: Shape, tp: int) -> bool:
    """Whether a tensor-parallel degree divides the heads, the groups of keys (or is a multiple of them) and the width of the block."""
    heads, groups, width = (
        int(n) for n in (s.num_attention_heads, s.num_key_value_heads, s.intermediate_size)
    )
    return heads % tp == 0 and width % tp == 0 and (groups % tp == 0 or tp % groups == 0)


def splits(s: Shape, *, gpus: int, gpus_per_node: int) -> list[tuple[int, int, int]]:
    """All (tp, pp, dp) over `gpus` accelerators that divide heads and, or nearly, layers; tensor parallelism within a node."""
    tps = [t for t in (1, 2, 4, 8, 16) if t <= gpus_per_node and divided(s, t)]
    depth = int(s.num_hidden_layers)
    pps = [p for p in range(1, depth + 1) if -(-depth // p) * p <= MOST_UNEVEN * depth]
    return [(t, p, gpus // (t * p)) for t in tps for p in pps if gpus % (t * p) == 0]


def fewest_gpus(
    s: Shape,
    layout: Layout,
    *,
    capacity: float,
    gpus_per_node: int = 8,
    largest: int = 65536,
    without: tuple[str, ...] = (),
    **how: Any,
) -> Advice | None:
    """Fewest accelerators (a power of two) on which the model trains, over tensor, pipeline and data parallelism.

    Micro-batch, sequence length, ZeRO stage and recomputation are those of `layout`; the pipeline is kept full. Among
    splits that fit, the one that communicates least is taken: smallest tp times pp. ``None`` if `largest` are too few. Nothing is
    split in ways that the software is `without`.

    Examples
    --------
    >>> llama = decoder(num_hidden_layers=32, hidden_size=4096, intermediate_size=11008, num_attention_heads=32,
    ...                 vocab_size=32000)
    >>> fewest_gpus(llama, Layout(zero_stage=1), capacity=80e9).change
    '2 accelerators: tp 2, pp 1, dp 1'
    """
    gpus = 1
    while gpus <= largest:
        found = splits(s, gpus=gpus, gpus_per_node=gpus_per_node)
        found = [
            t for t in found if ("tp" not in without or t[0] == 1) and ("pp" not in without or t[1] == 1)
        ]
        trials = sorted(found, key=lambda t: (t[0] * t[1], t[1]))
        if trials:
            tp, pp, dp = (np.array(column, dtype=float) for column in zip(*trials, strict=True))
            filled = np.maximum(pp, np.asarray(layout.num_microbatches, dtype=float))
            split = (tp > 1) * int("sequence_parallel" not in without)
            tried = layout.with_(tp=tp, pp=pp, dp=dp, num_microbatches=filled, sequence_parallel=split)
            totals = peak(s, tried, **how)["total"]
            if np.any(totals <= capacity):
                i = int(np.argmax(totals <= capacity))
                t, p, d = trials[i]
                chosen = layout.with_(
                    tp=t, pp=p, dp=d, num_microbatches=filled[i], sequence_parallel=int(split[i])
                )
                reason = f"{totals[i] / GIB:.1f} of {capacity / GIB:.1f} GiB; half as many do not fit"
                return Advice(
                    f"{gpus} accelerators: tp {t}, pp {p}, dp {d}", chosen, float(totals[i]), reason
                )
        gpus *= 2
    return None


def changes(
    s: Shape, layout: Layout, *, gpus_per_node: int = 8, most_zero: int = 3
) -> Iterator[tuple[str, Layout]]:
    """All single changes of a layout, the cheapest in time first.

    First what costs no time, then smaller micro-batches, communication (ZeRO, tensor and pipeline parallelism taken from
    data parallelism), recomputation of everything, ZeRO and tensor parallelism together, and last more accelerators. The
    global batch stays.
    """
    limits = {"tp": int(s.num_attention_heads), "pp": int(s.num_hidden_layers)}
    x, micro, steps = layout, int(layout.micro_batch_size), int(layout.num_microbatches)
    ranks, whole = int(x.dp * x.cp), int(x.pp) == 1
    if not x.flash_attention:
        yield "flash_attention off -> on", x.with_(flash_attention=1)
    if x.tp > 1 and not x.sequence_parallel:
        yield "sequence_parallel off -> on", x.with_(sequence_parallel=1)
    if x.zero_stage < 1 and ranks > 1:
        yield "zero_stage 0 -> 1", x.with_(zero_stage=1)
    if x.recompute < 1:
        yield "recompute none -> selective", x.with_(recompute=1)
    smaller = micro // 2
    while smaller >= 1:
        if micro % smaller == 0:
            bigger = steps * micro // smaller
            yield (
                f"micro_batch_size {micro} -> {smaller}",
                x.with_(micro_batch_size=smaller, num_microbatches=bigger),
            )
        smaller //= 2
    for stage in (2, 3):
        if x.zero_stage < stage <= most_zero and ranks > 1 and whole:
            yield f"zero_stage {x.zero_stage:g} -> {stage}", x.with_(zero_stage=stage)
    for name, limit in limits.items():
        yield from more_parallel(x, name=name, limit=limit, from_dp=True, gpus_per_node=gpus_per_node)
    if x.recompute < 2:
        yield f"recompute {('none', 'selective')[int(x.recompute)]} -> full", x.with_(recompute=2)
    yield from split_and_sharded(s, x, gpus_per_node=gpus_per_node, most_zero=most_zero)
    yield from more_gpus(s, x, gpus_per_node=gpus_per_node, most_zero=most_zero)


def split_and_sharded(
    s: Shape, x: Layout, *, gpus_per_node: int = 8, most_zero: int = 3
) -> Iterator[tuple[str, Layout]]:
    """Tensor parallelism taken from data parallelism, with the states sharded over the replicas that are left."""
    zero = most_zero if int(x.pp) == 1 else min(most_zero, 1)
    wider = more_parallel(
        x, name="tp", limit=int(s.num_attention_heads), from_dp=True, gpus_per_node=gpus_per_node
    )
    for change, split in wider:
        if x.zero_stage < zero and int(split.dp) > 1:
            yield f"{change}, zero_stage {x.zero_stage:g} -> {zero}", split.with_(zero_stage=zero)


def more_gpus(
    s: Shape, x: Layout, *, gpus_per_node: int = 8, most_zero: int = 3
) -> Iterator[tuple[str, Layout]]:
    """Changes that take more accelerators, fewest first: of as many tensor parallelism, then stages, then sharded replicas."""
    limits = {"tp": int(s.num_attention_heads), "pp": int(s.num_hidden_layers)}
    found: list[tuple[str, Layout]] = []
    for name, limit in limits.items():
        found += more_parallel(x, name=name, limit=limit, from_dp=False, gpus_per_node=gpus_per_node)
    zero = max(int(x.zero_stage), most_zero if int(x.pp) == 1 else min(most_zero, 1))
    more = f", zero_stage {x.zero_stage:g} -> {zero}" if zero > x.zero_stage else ""
    for change, wider in more_parallel(x, name="dp", limit=2**40, from_dp=False):
        found.append((change + more, wider.with_(zero_stage=zero)))
    yield from sorted(found, key=lambda each: int(each[1].tp) * int(each[1].pp) * int(each[1].dp))


def more_parallel(
    x: Layout, *, name: str, limit: int, from_dp: bool, gpus_per_node: int = 8
) -> Iterator[tuple[str, Layout]]:
    """Doublings of one degree, taken from data parallelism or with more accelerators.

    Tensor parallelism stays within a scale-up domain and divides the heads (`limit`); stages divide the layers, or nearly.
    """
    old = int(getattr(x, name))
    new = 2 * old
    while new <= min(limit, 64 * old, gpus_per_node if name == "tp" else limit):
        factor = new // old
        edit: dict[str, Any] = {name: new}
        if name == "tp":
            edit["sequence_parallel"] = 1
        fits_dp = int(x.dp) % factor == 0
        if from_dp:
            edit |= {"dp": int(x.dp) // factor, "num_microbatches": int(x.num_microbatches) * factor}
        if name == "dp":
            edit["num_microbatches"] = max(1, int(x.num_microbatches) // factor)
        fullest = -(-limit // new) * new / limit
        divides = name == "dp" or fullest <= (MOST_UNEVEN if name == "pp" else 1.0)
        if divides and (fits_dp or not from_dp):
            more = "" if from_dp else f", {factor} times the accelerators"
            yield f"{name} {old} -> {new}{more}", x.with_(**edit)
        new *= 2


def possible(
    changed: Layout, layout: Layout, without: tuple[str, ...], zero_with_tp: int = 3
) -> Layout | None:
    """A change of a layout as software makes it that lacks some ways to split a model; ``None`` where it cannot.

    Examples
    --------
    >>> whole = Layout(dp=8)
    >>> split = whole.with_(tp=2, dp=4, sequence_parallel=1)
    >>> possible(split, whole, ("tp",)), possible(split, whole, ("sequence_parallel",)).sequence_parallel
    (None, 0)
    """
    if any(getattr(changed, name) > getattr(layout, name) for name in without if name != "sequence_parallel"):
        return None
    if changed.tp > 1 and changed.zero_stage > max(
        zero_with_tp, int(layout.zero_stage) if layout.tp > 1 else 0
    ):
        return None
    if "sequence_parallel" not in without or changed.sequence_parallel == layout.sequence_parallel:
        return changed
    return changed.with_(sequence_parallel=layout.sequence_parallel) if changed.tp > layout.tp else None


def smallest_change(
    s: Shape,
    layout: Layout,
    *,
    capacity: float,
    gpus_per_node: int = 8,
    most_zero: int = 3,
    without: tuple[str, ...] = (),
    zero_with_tp: int = 3,
    **how: Any,
) -> Advice | None:
    """Smallest single change of a layout that fits; ``None`` if none does.

    Parameters
    ----------
    s, layout : Shape, Layout
        One model and one layout (scalars).
    capacity : float
        Memory of the accelerator. [B]
    gpus_per_node : int, optional
        Accelerators of a scale-up domain, within which tensor parallelism stays. [-]
    most_zero : int, optional
        Largest ZeRO stage that the software has. [-]
    without : tuple of str, optional
        Ways to split a model that the software lacks, by the names of a layout's fields.
    zero_with_tp : int, optional
        Largest ZeRO stage that the software has beside tensor parallelism. [-]
    **how
        Passed on to `peak`: optimizer, precision, constants.

    Examples
    --------
    >>> llama = decoder(num_hidden_layers=32, hidden_size=4096, intermediate_size=11008, num_attention_heads=32,
    ...                 vocab_size=32000)
    >>> found = smallest_change(llama, Layout(dp=8), capacity=80e9)
    >>> print(found.change, "|", found.reason)
    zero_stage 0 -> 1 | from 134.4 to 68.5 of 74.5 GiB
    """
    before = float(peak(s, layout, **how)["total"])
    for name, change in changes(s, layout, gpus_per_node=gpus_per_node, most_zero=most_zero):
        changed = possible(change, layout, without, zero_with_tp)
        if changed is None or (changed.tp > layout.tp and not divided(s, int(changed.tp))):
            continue
        total = float(peak(s, changed, **how)["total"])
        if total <= capacity:
            reason = f"from {before / GIB:.1f} to {total / GIB:.1f} of {capacity / GIB:.1f} GiB"
            return Advice(name, changed, total, reason)
    return None
