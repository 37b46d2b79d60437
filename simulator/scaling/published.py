"""Published power laws of the best size against compute, under their names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from simulator.errors import UnknownNameError

from .kaplan import PF_DAY
from .law import Numeric


@dataclass(frozen=True)
class Frontier:
    """A published power law of the best size against compute.

    Parameters
    ----------
    name : str
        Author and year.
    coefficient, exponent : float
        ``N = coefficient C^exponent``, compute in FLOP.
    tokens_coefficient, tokens_exponent : float
        The same for tokens.
    n_convention : str
        What is counted as N.
    range_flop : tuple of float or None
        Range of the fit, None where not confirmed. [FLOP]
    source, notes : str
        Where it is from and what to know.
    """

    name: str
    coefficient: float
    exponent: float
    tokens_coefficient: float
    tokens_exponent: float
    n_convention: str
    range_flop: tuple[float, float] | None
    source: str
    notes: str = ""

    def params(self, compute_flop: Numeric) -> Any:
        """Best size for a budget. [-]"""
        return self.coefficient * np.asarray(compute_flop, dtype=float) ** self.exponent

    def tokens(self, compute_flop: Numeric) -> Any:
        """Best number of tokens for a budget. [tokens]"""
        return self.tokens_coefficient * np.asarray(compute_flop, dtype=float) ** self.tokens_exponent


def _matched(name: str, coefficient: float, exponent: float, *about: Any) -> Frontier:
    return Frontier(name, coefficient, exponent, 1 / (6 * coefficient), 1 - exponent, *about)


def _through(name: str, table: Mapping[float, float], *about: Any) -> Frontier:
    """Power law through a published table of size against compute (least squares in logarithms)."""
    compute, params = np.log(list(table.values())), np.log(list(table))
    exponent = float(np.polyfit(compute, params, 1)[0])
    coefficient = float(np.exp(np.mean(params) - exponent * np.mean(compute)))
    return _matched(name, coefficient, exponent, *about)


APPROACH_1 = {
    400e6: 1.92e19,
    1e9: 1.21e20,
    10e9: 1.23e22,
    67e9: 5.76e23,
    175e9: 3.85e24,
    280e9: 9.90e24,
    520e9: 3.43e25,
    1e12: 1.27e26,
    10e12: 1.30e28,
}
"""Hoffmann et al. 2022, Table 3: compute at which a size is optimal, from the minima of training curves. [FLOP]"""

APPROACH_2 = {
    400e6: 1.84e19,
    1e9: 1.20e20,
    10e9: 1.32e22,
    67e9: 6.88e23,
    175e9: 4.54e24,
    280e9: 1.18e25,
    520e9: 4.19e25,
    1e12: 1.59e26,
    10e12: 1.75e28,
}
"""Hoffmann et al. 2022, Table A3: the same from profiles of equal compute. [FLOP]"""

_HALF = 0.5 / PF_DAY
frontiers: dict[str, Frontier] = {
    f.name: f
    for f in (
        _through("Hoffmann2022Approach1", APPROACH_1, "total", None, "arXiv:2203.15556 Table 3"),
        _through("Hoffmann2022Approach2", APPROACH_2, "total", None, "arXiv:2203.15556 Table A3"),
        Frontier(
            "Kaplan2020",
            1.3e9 * _HALF**0.73,
            0.73,
            2e10 * _HALF**0.27,
            0.27,
            "non_embedding",
            None,
            "arXiv:2001.08361",
            "At the critical batch, where C_min = C/2.",
        ),
        Frontier(
            "DeepSeek2024",
            0.1715 / 6,
            0.5243,
            5.8316,
            0.4757,
            "non-embedding FLOP per token over six",
            None,
            "arXiv:2401.02954",
            "Published for M, the non-embedding FLOP per token: C = M D.",
        ),
        Frontier(
            "Porian2024",
            0.1189,
            0.4969,
            1.4014,
            0.5031,
            "head in, embedding out",
            (1.25e16, 8e19),
            "arXiv:2406.19146",
            "RefinedWeb, constant learning rate, tuned.",
        ),
    )
}
"""Published frontiers by name."""


def get_frontier(name: str) -> Frontier:
    """A published frontier by name.

    Examples
    --------
    >>> get_frontier("DeepSeek2024").exponent
    0.5243
    """
    if name not in frontiers:
        raise UnknownNameError(name, kind="frontier", names=list(frontiers))
    return frontiers[name]
