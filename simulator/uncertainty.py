"""How far off a predicted step time may be: factors from cross-validated residuals, by regime.

The residuals of measured rows that the constants were *not* fitted to (split conformal prediction) give the 10th and 90th
percentile of measured over predicted. They are kept by regime; a plan takes the most specific regime that holds enough
rows, so an extrapolation says so by its width. A plan is the run of somebody whose runs nobody has fitted: its regime is
made of whole organisations left out (``seen=false``). In every regime an organisation of ten runs weighs as much as one of a
thousand (pooled distributions of a two-layer model: Dunn, Wasserman and Ramdas, arXiv:1809.07441).

Inside a regime a step is known the worse, the more of it is communication that nothing hides: networks differ more from
cluster to cluster than matmuls do. So the percentiles are those of a step without any, and a step of which a share x is
exposed communication gets their logarithms times 1 + (r - 1) x (locally weighted conformal prediction).
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from simulator import evidence
from simulator.columns import Numeric

COMMUNICATION = ("tensor_parallel", "context_parallel", "expert_parallel", "data_parallel", "pipeline_send")
"""Levels of a step that are communication nothing hides."""

ENOUGH = 25
"""Rows that a regime must hold to be used. [-]"""

ENOUGH_SOURCES = 3
"""Organisations that a regime must hold to say how far the next one may be: a choice, more than a pair. [-]"""

LEVELS = (
    ("grade", "seen", "kind", "scale", "complete", "bits", "software", "fabric", "architecture"),
    ("grade", "seen", "kind", "scale", "complete", "bits", "software", "fabric"),
    ("grade", "seen", "kind", "scale", "complete", "bits", "fabric", "architecture"),
    ("grade", "seen", "kind", "scale", "complete", "bits", "fabric"),
    ("grade", "seen", "kind", "complete", "bits", "software", "fabric"),
    ("grade", "seen", "kind", "complete", "bits", "fabric"),
    ("grade", "seen", "kind", "fabric"),
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
    bits: str = "16"
    """Width class of the format of the matmuls: ``32``, ``16``, ``8`` or ``4``."""
    software: str = "megatron"
    """Calibration set of the software."""
    fabric: str = "fabric"
    """Calibration set of links and network: what is known of healthy ones says nothing of a degraded one."""
    architecture: str = "hopper"
    """Calibration set of the accelerator."""


@dataclass(frozen=True)
class Table:
    """Percentiles of measured over predicted by regime."""

    regimes: Mapping[str, Mapping[str, float]]
    """By name of the regime, of a step without exposed communication: ``rows sources low high``; and ``median_error``. The same
    of the rows whose matmuls are in a format of so many bits: ``rows_16 median_error_16``."""
    communication: float = 1.0
    """Width of the interval of a step that is nothing but exposed communication over that of one without any. [-]"""


@dataclass(frozen=True)
class Factors:
    """Percentiles of measured over predicted, and where they come from."""

    low: float
    """10th percentile. [-]"""
    high: float
    """90th percentile. [-]"""
    median_error: float
    """Median absolute relative error of the rows of the regime, its organisations weighted as in the interval. [-]"""
    rows: int
    """Rows of the regime. [-]"""
    regime: str
    """The regime in words."""


def regime_of(
    *,
    grade: str,
    sets: Sequence[str] = (),
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
    sets : sequence of str, optional
        Calibration sets of the accelerator, of links and network, and of the software.
    num_experts, frozen : float, optional
        Experts of the model; 1 where base weights are frozen. [-]
    n_gpus, link_domain : float, optional
        Accelerators, and accelerators per scale-up domain. [-]
    **more
        ``seen``, ``complete`` and ``bits`` of `Regime`.
    """
    more |= dict(zip(("architecture", "fabric", "software"), sets, strict=False))
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
def table() -> Table:
    """Shipped residual percentiles."""
    data = evidence.intervals()
    return Table(data["regimes"], float(data["communication"]))


def exposed_share(levels: Mapping[str, Numeric]) -> Numeric:
    """Share of a step that is communication nothing hides. [-]

    Parameters
    ----------
    levels : mapping
        Step time by level, of any shape. [s]

    Examples
    --------
    >>> exposed_share({"tiles": 3.0, "tensor_parallel": 0.5, "data_parallel": 0.5})
    0.25
    """
    exposed = sum(levels[name] for name in COMMUNICATION if name in levels)
    return exposed / sum(levels.values())


def step_time_factors(regime: Regime, known: Table | None = None, *, exposed: float = 0.0) -> Factors:
    """Percentiles of measured over predicted step time for a regime.

    Parameters
    ----------
    regime : Regime
        What the prediction is about.
    known : Table, optional
        Percentiles by regime; the shipped ones if absent.
    exposed : float, optional
        Share of the step that is communication nothing hides. [-]

    Examples
    --------
    >>> factors = step_time_factors(Regime())
    >>> factors.low < 1.0 < factors.high
    True
    >>> step_time_factors(Regime(), exposed=0.5).high > factors.high
    True
    """
    known = table() if known is None else known
    found = _most_specific(regime, known.regimes)
    if not regime.seen:
        # An organisation nobody has seen is never known better than one that was, nor evidence of a grade or a fabric better than
        # the few organisations that had it.
        least = [_most_specific(replace(regime, seen=True), known.regimes)]
        if "grade=" not in found.regime or "fabric=" not in found.regime:
            least.append(_most_specific(regime, known.regimes, sources=1))
        low, high = min(each.low for each in least), max(each.high for each in least)
        found = replace(found, low=min(found.low, low), high=max(found.high, high))
    wider = float(widening(exposed, known.communication))
    return replace(found, low=found.low**wider, high=found.high**wider)


def in_format(regime: Regime, known: Table | None = None) -> Factors:
    """As `step_time_factors`, with error and count of the nearest rows whose format is as wide.

    Of the regimes that may make an interval, the most specific one that has a handful of such rows; ``bits=`` is in its name.
    Where none has, error and count are those of the regime, whatever the width of its rows.

    Parameters
    ----------
    regime : Regime
        What the prediction is about.
    known : Table, optional
        Percentiles by regime; the shipped ones if absent.

    Examples
    --------
    >>> "bits=16" in in_format(Regime()).regime, "bits=" in in_format(Regime(bits="32")).regime
    (True, False)
    """
    known = table() if known is None else known
    found = step_time_factors(regime, known)
    for name in _usable(regime, known.regimes):
        row, bits = known.regimes[name], regime.bits
        if row.get(f"rows_{bits}", 0) >= evidence.FEWEST_ROWS:
            rows, error = int(row[f"rows_{bits}"]), float(row[f"median_error_{bits}"])
            told = name if "bits=" in name else f"{name} bits={bits}"
            return replace(found, median_error=error, rows=rows, regime=told)
    return found


def centred(factors: Factors) -> Factors:
    """Percentiles of the same width about the prediction: those of a plan whose constants its own organisation's runs moved.

    That the organisations of a regime are all a little faster or slower than the shared constants is their bias; a fit to
    one's own runs takes one's own away, and theirs says nothing of what is left.

    Examples
    --------
    >>> found = centred(Factors(0.9, 1.0, 0.05, 100, "all"))
    >>> round(found.low * found.high, 6), round(found.high / found.low, 3)
    (1.0, 1.111)
    """
    half = float(np.sqrt(factors.high / factors.low))
    return replace(factors, low=1.0 / half, high=half)


def widening(exposed: Numeric, communication: float) -> Numeric:
    """Width of an interval over that of a step without exposed communication, both in logarithms. [-]

    Parameters
    ----------
    exposed : float or array
        Share of the step that is communication nothing hides. [-]
    communication : float
        What it is where that share is 1. [-]
    """
    return 1.0 + (communication - 1.0) * np.asarray(exposed)


def _most_specific(
    regime: Regime, known: Mapping[str, Mapping[str, float]], *, sources: int = ENOUGH_SOURCES
) -> Factors:
    """Percentiles of the most specific regime that holds enough rows, and enough organisations where those are in doubt."""
    name = next(_usable(regime, known, sources=sources), "all")
    row = known[name]
    return Factors(row["low"], row["high"], row["median_error"], int(row["rows"]), name)


def _usable(
    regime: Regime, known: Mapping[str, Mapping[str, float]], *, sources: int = ENOUGH_SOURCES
) -> Iterator[str]:
    """Names of the regimes that hold enough, most specific first."""
    for name in (name_of(regime, level) for level in LEVELS):
        row = known.get(name)
        if row is not None and row["rows"] >= ENOUGH and (regime.seen or row["sources"] >= sources):
            yield name
