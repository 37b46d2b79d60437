"""Does it fit, and if not: what is the smallest change that does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from simulator.layout import Layout, n_gpus
from simulator.memory.peak import peak
from simulator.transformer import Shape, decoder  # noqa: F401 (decoder is used by the doctests)

Numeric = Any
GIB = float(2**30)

TIGHT_SHARE = 0.08
"""Margin below which a fit is called tight: the median error of the predicted peak (docs/memory.md). [-]"""

FITS, TIGHT, DOES_NOT_FIT = "FITS", "TIGHT", "DOES NOT FIT"


@dataclass(frozen=True)
class Advice:
    """One change of a layout, what it does to memory, and why."""

    change: str
    layout: Layout
    total: float
    """Peak after the change. [B]"""
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
    >>> [str(verdict(x, 80e9)[0]) for x in (60e9, 78e9, 81e9)]
    ['FITS', 'TIGHT', 'DOES NOT FIT']
    """
    margin = np.asarray(capacity) - total
    name = np.where(margin < 0, DOES_NOT_FIT, np.where(margin < TIGHT_SHARE * np.asarray(capacity), TIGHT, FITS))
    return (name if name.ndim else str(name)), (margin if margin.ndim else float(margin))


def largest_micro_batch(s: Shape, layout: Layout, *, capacity: float, largest: int = 1024, **how: Any) -> Advice:
    """Largest micro-batch that fits, at an unchanged number of micro-batches.

    Examples
    --------
    >>> llama = decoder(num_hidden_layers=32, hidden_size=4096, intermediate_size=11008,
    ...                             num_attention_heads=32, vocab_size=32000)
    >>> largest_micro_batch(llama, Layout(tp=2, dp=4, zero_stage=1, sequence_parallel=1), capacity=80e9).change
    'micro_batch_size 1 -> 4'
    """
    sizes = np.arange(1, largest + 1, dtype=float)
    totals = peak(s, layout.with_(micro_batch_size=sizes), **how)["total"]
    fitting = sizes[totals <= capacity]
    best = int(fitting[-1]) if fitting.size else 0
    changed = layout.with_(micro_batch_size=max(best, 1))
    total = float(totals[max(best, 1) - 1])
    reason = (
        f"{best + 1} would need {float(totals[best]) / GIB:.1f} GiB of {capacity / GIB:.1f} GiB"
        if best < largest
        else f"all sizes up to {largest} fit"
    )
    if not best:
        reason = f"one sequence needs {total / GIB:.1f} GiB of {capacity / GIB:.1f} GiB"
    return Advice(f"micro_batch_size {layout.micro_batch_size} -> {best}", changed, total, reason)


def _splits(s: Shape, *, gpus: int, gpus_per_node: int) -> list[Layout]:
    """All (tp, pp) that divide heads and layers, for one number of accelerators."""
    out = []
    for tp in (1, 2, 4, 8):
        if tp > min(gpus, gpus_per_node) or s.num_attention_heads % tp:
            continue
        for pp in range(1, int(min(gpus // tp, s.num_hidden_layers)) + 1):
            if s.num_hidden_layers % pp == 0 and gpus % (tp * pp) == 0:
                out.append(Layout(tp=tp, pp=pp, dp=gpus // (tp * pp)))
    return out


def fewest_gpus(
    s: Shape, layout: Layout, *, capacity: float, gpus_per_node: int = 8, largest: int = 65536, **how: Any
) -> Advice | None:
    """Fewest accelerators on which the model trains, over tensor, pipeline and data parallelism.

    Micro-batch, sequence length, ZeRO stage and recomputation are those of `layout`. ``None`` if even `largest` are too few.
    """
    gpus = 1
    while gpus <= largest:
        trials = _splits(s, gpus=gpus, gpus_per_node=gpus_per_node)
        if trials:
            column = {n: np.array([float(getattr(t, n)) for t in trials]) for n in ("tp", "pp", "dp")}
            keep = np.maximum(column["pp"], np.asarray(layout.num_microbatches, dtype=float))
            batch = layout.with_(**column, num_microbatches=keep, sequence_parallel=(column["tp"] > 1) * 1)
            totals = peak(s, batch, **how)["total"]
            best = int(np.argmin(totals))
            if totals[best] <= capacity:
                t = trials[best]
                chosen = layout.with_(tp=t.tp, pp=t.pp, dp=t.dp, num_microbatches=float(keep[best]))
                return Advice(
                    f"{gpus} accelerators: tp {t.tp}, pp {t.pp}, dp {t.dp}",
                    chosen,
                    float(totals[best]),
                    f"needs {float(totals[best]) / GIB:.1f} of {capacity / GIB:.1f} GiB; half as many do not fit",
                )
        gpus = gpus * 2
    return None


def _doubled(name: str, *, take: str = "") -> Callable[[Shape, Layout], Layout | None]:
    """Return the change that doubles degree `name`, taken from degree `take` if it is even, else with more devices."""

    def change(s: Shape, layout: Layout) -> Layout | None:
        new = int(getattr(layout, name)) * 2
        limit = {"tp": s.num_attention_heads, "pp": s.num_hidden_layers}.get(name, np.inf)
        if new > limit or limit % new:
            return None
        other = int(getattr(layout, take)) if take else 1
        split: dict[str, Any] = {name: new}
        if take:
            if other % 2:
                return None
            split[take] = other // 2
            split["num_microbatches"] = int(layout.num_microbatches) * 2
        if name == "tp":
            split["sequence_parallel"] = 1
        return layout.with_(**split)

    return change


CHANGES: dict[str, tuple[float, Callable[[Shape, Layout], Layout | None]]] = {
    "zero_stage 0 -> 1": (1, lambda s, x: x.with_(zero_stage=1) if x.zero_stage < 1 and x.dp * x.cp > 1 else None),
    "sequence_parallel on": (
        1,
        lambda s, x: x.with_(sequence_parallel=1) if not x.sequence_parallel and x.tp > 1 else None,
    ),
    "flash_attention on": (1, lambda s, x: x.with_(flash_attention=1) if not x.flash_attention else None),
    "recompute selective": (2, lambda s, x: x.with_(recompute=1) if x.recompute < 1 else None),
    "micro_batch_size halved": (
        2,
        lambda s, x: (
            x.with_(micro_batch_size=x.micro_batch_size // 2, num_microbatches=x.num_microbatches * 2)
            if x.micro_batch_size >= 2
            else None
        ),
    ),
    "micro_batch_size 1": (
        2.5,
        lambda s, x: (
            x.with_(micro_batch_size=1, num_microbatches=x.num_microbatches * x.micro_batch_size)
            if x.micro_batch_size > 2
            else None
        ),
    ),
    "zero_stage 2": (3, lambda s, x: x.with_(zero_stage=2) if x.zero_stage < 2 and x.pp == 1 and x.dp > 1 else None),
    "tp doubled from dp": (4, _doubled("tp", take="dp")),
    "zero_stage 3": (5, lambda s, x: x.with_(zero_stage=3) if x.zero_stage < 3 and x.pp == 1 and x.dp > 1 else None),
    "pp doubled from dp": (6, _doubled("pp", take="dp")),
    "recompute full": (7, lambda s, x: x.with_(recompute=2) if x.recompute < 2 else None),
    "tp doubled": (8, _doubled("tp")),
    "pp doubled": (9, _doubled("pp")),
    "dp doubled": (10, _doubled("dp")),
}
"""Single changes by name with their rank: those that cost no time first, then communication, recompute, more devices."""


def smallest_change(s: Shape, layout: Layout, *, capacity: float, **how: Any) -> Advice | None:
    """Smallest single change of a layout that fits; ``None`` if none does.

    Parameters
    ----------
    s, layout : Shape, Layout
        One model and one layout (scalars).
    capacity : float
        Memory of the accelerator. [B]
    **how
        Passed on to `peak`: optimizer, precision, constants.

    Examples
    --------
    >>> llama = decoder(num_hidden_layers=32, hidden_size=4096, intermediate_size=11008,
    ...                             num_attention_heads=32, vocab_size=32000)
    >>> smallest_change(llama, Layout(dp=8), capacity=80e9).change
    'zero_stage 0 -> 1'
    """
    before = float(peak(s, layout, **how)["total"])
    for name, (_, change) in sorted(CHANGES.items(), key=lambda item: item[1][0]):
        changed = change(s, layout)
        if changed is None:
            continue
        total = float(peak(s, changed, **how)["total"])
        if total <= capacity:
            extra = float(n_gpus(changed) / n_gpus(layout))
            more = "" if extra == 1 else f" on {extra:g} times the accelerators"
            reason = f"from {before / GIB:.1f} to {total / GIB:.1f} of {capacity / GIB:.1f} GiB{more}"
            return Advice(name, changed, total, reason)
    return None
