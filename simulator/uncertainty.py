"""How far off a predicted step time may be: factors from cross-validated residuals, by regime.

The residuals of measured rows that the constants were *not* fitted to (split conformal prediction) give the 10th and 90th
percentile of measured over predicted. They are kept by regime; a plan takes the most specific regime that holds enough
rows, so an extrapolation says so by its width. A plan is the run of somebody whose runs nobody has fitted: its regime is
made of whole organisations left out (``seen=false``).
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from typing import Any

from simulator import library, yamlio

ENOUGH = 25
"""Rows that a regime must hold to be used. [-]"""

ENOUGH_SOURCES = 3
"""Organisations that a regime must hold to say how far the next one may be: a choice, more than a pair. [-]"""

LEVELS = (
    ("grade", "seen", "kind", "scale", "complete", "software"),
    ("grade", "seen", "kind", "complete", "software"),
    ("grade", "seen", "kind", "scale", "complete"),
    ("grade", "seen", "kind", "complete"),
    ("grade", "seen", "kind"),
    ("grade", "seen"),
    ("seen",),
    (),
)
"""Descriptions of a regime, most specific first."""


@dataclass(frozen=True)
class Regime:
    """What a prediction is about, as far as its error depends on it."""

    grade: str = "measured"
    """``measured``, ``transferred`` or ``datasheet``."""
    seen: bool = False
    """Whether the constants were fitted to other runs of the same organisation."""
    kind: str = "dense"
    """``dense``, ``moe`` or ``lora``."""
    scale: str = "cluster"
    """``node`` (one scale-up domain) or ``cluster``."""
    complete: bool = True
    """Whether every setting of the layout is known."""
    software: str = "megatron"
    """Software set; a degraded fabric is appended with a plus sign."""


@dataclass(frozen=True)
class Factors:
    """Percentiles of measured over predicted, and where they come from."""

    low: float
    """10th percentile. [-]"""
    high: float
    """90th percentile. [-]"""
    median_error: float
    """Median absolute relative error of the rows of the regime. [-]"""
    rows: int
    """Rows of the regime. [-]"""
    regime: str
    """The regime in words."""


def regime_of(
    *,
    grade: str,
    num_experts: float = 0,
    frozen: float = 0,
    n_gpus: float = 1,
    link_domain: float = 8,
    **more: Any,
) -> Regime:
    """Regime of a plan.

    Parameters
    ----------
    grade : str
        Evidence of the accelerator's constants.
    num_experts, frozen : float, optional
        Experts of the model; 1 where base weights are frozen. [-]
    n_gpus, link_domain : float, optional
        Accelerators, and accelerators per scale-up domain. [-]
    **more
        ``seen``, ``complete`` and ``software`` of `Regime`.
    """
    kind = "lora" if frozen else "moe" if num_experts > 0 else "dense"
    return Regime(
        grade=grade, kind=kind, scale="node" if n_gpus <= min(link_domain, 8) else "cluster", **more
    )


def name_of(regime: Regime, level: tuple[str, ...]) -> str:
    """Key of a regime at a level.

    Examples
    --------
    >>> name_of(Regime(), ("grade", "seen", "kind"))
    'grade=measured seen=false kind=dense'
    """
    return " ".join(f"{each}={str(getattr(regime, each)).lower()}" for each in level) or "all"


@functools.lru_cache(maxsize=1)
def table() -> dict[str, dict[str, float]]:
    """Shipped residual percentiles by regime."""
    path = library.packaged_root() / "hardware_specs" / "intervals" / "step_time.yaml"
    regimes: dict[str, dict[str, float]] = yamlio.loads(yamlio.read_text(path), path.name).data["regimes"]
    return regimes


def step_time_factors(regime: Regime, known: dict[str, dict[str, float]] | None = None) -> Factors:
    """Percentiles of measured over predicted step time for a regime.

    Examples
    --------
    >>> factors = step_time_factors(Regime())
    >>> factors.low < 1.0 < factors.high
    True
    """
    known = table() if known is None else known
    found = _most_specific(regime, known)
    if regime.seen:
        return found
    # An organisation nobody has seen is never known better than one that was.
    own = _most_specific(replace(regime, seen=True), known)
    return replace(found, low=min(found.low, own.low), high=max(found.high, own.high))


def _most_specific(regime: Regime, known: dict[str, dict[str, float]]) -> Factors:
    """Percentiles of the most specific regime that holds enough rows, and enough organisations where those are in doubt."""
    for level in LEVELS:
        name = name_of(regime, level)
        row = known.get(name)
        if row is None or row["rows"] < ENOUGH:
            continue
        if regime.seen or row["sources"] >= ENOUGH_SOURCES:
            return Factors(row["low"], row["high"], row["median_error"], int(row["rows"]), name)
    row = known["all"]
    return Factors(row["low"], row["high"], row["median_error"], int(row["rows"]), "all")
