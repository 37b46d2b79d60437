"""What is believed of the constants before a row is read, and how a stack nobody has measured is known.

Every constant has a prior with a source. Half of its variance is common to all sets of a kind: the launch time of one
framework says something of the launch time of the next. So the logarithm of a constant is that of a mean, which the rows
move too, plus its own deviation,

    log c = mu + d,    mu ~ (log prior, rho s^2),    d ~ (0, (1 - rho) s^2),

and a set that no row describes takes the mean of those that rows do describe. A constant with a prior of its own
(`priors.OVERRIDES`, a measured centre, a shipped set) has no part in the mean.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from simulator.calibrate.priors import OVERRIDES, Key, prior_of

SHARED = 0.5
"""Share of a prior's variance that all sets have in common: a choice, neither all nor nothing. [-]"""

HOLD = 1e3
"""How much surer of a constant a fit is that holds it. [-]"""

INSIDE = 1e-6
"""Distance from a bound at which an optimiser starts. [-]"""


@dataclass(frozen=True)
class Belief:
    """Prior of the unknowns: the logarithms of the constants `keys`, followed by those of the means `shared`."""

    keys: tuple[Key, ...]
    shared: tuple[str, ...]
    """Names of the constants that have a mean over sets."""
    slopes: np.ndarray
    """Derivatives of the prior's residuals by the unknowns; one residual per unknown."""
    offsets: np.ndarray
    """Prior's residuals are ``slopes @ x - offsets``. [-]"""
    spread: np.ndarray
    """Prior standard deviation of each unknown. [-]"""
    own: np.ndarray
    """The part of it that is left once the mean is known: what rows of the set itself can narrow. [-]"""
    centre: np.ndarray
    low: np.ndarray
    high: np.ndarray

    def residuals(self, x: np.ndarray) -> np.ndarray:
        """How far the unknowns are from what was believed, in standard deviations."""
        return np.asarray(self.slopes @ x - self.offsets)

    def settled(self, x: np.ndarray, held: np.ndarray) -> np.ndarray:
        """The unknowns, those that are held at what they are drawn to: their mean over sets, or their own centre."""
        drawn = (self.offsets - self.slopes @ x) / np.diag(self.slopes) + x
        return np.asarray(np.where(held, drawn, x))

    def holding(self, held: np.ndarray) -> Belief:
        """The same belief with some constants held at what they are drawn to, a thousand times as sure of it."""
        factor = np.where(held, HOLD, 1.0)
        return replace(self, slopes=self.slopes * factor[:, None], offsets=self.offsets * factor)

    def inside(self, x: np.ndarray) -> np.ndarray:
        """The unknowns, moved between their bounds."""
        return np.asarray(np.clip(x, self.low + INSIDE, self.high - INSIDE))

    def means(self, x: np.ndarray) -> dict[str, float]:
        """Mean of each shared constant."""
        return dict(zip(self.shared, np.exp(x[len(self.keys) :]).tolist(), strict=True))


def has_mean(key: Key) -> bool:
    """Whether a constant takes part in the mean over sets."""
    return key not in OVERRIDES


def belief_of(keys: tuple[Key, ...], base: dict[Key, float], known: frozenset[Key]) -> Belief:
    """Prior of some constants.

    Parameters
    ----------
    keys : tuple
        Constants that the rows use.
    base : dict
        Centre of each prior.
    known : frozenset
        Constants whose centre was measured or shipped: they are not drawn to a mean.
    """
    alone = [key in known or not has_mean(key) for key in keys]
    shared = tuple(sorted({key[1] for key, own in zip(keys, alone, strict=True) if not own}))
    place = {name: len(keys) + i for i, name in enumerate(shared)}
    size = len(keys) + len(shared)
    slopes, offsets = np.zeros((size, size)), np.zeros(size)
    spread, deviation, centre, low, high = (np.zeros(size) for _ in range(5))
    for i, (key, own) in enumerate(zip(keys, alone, strict=True)):
        prior = prior_of(key)
        spread[i], centre[i] = prior.spread, np.log(base[key])
        low[i], high[i] = np.log(prior.low), np.log(prior.high)
        deviation[i] = prior.spread * (1.0 if own else np.sqrt(1.0 - SHARED))
        slopes[i, i] = scale = 1.0 / deviation[i]
        if own:
            offsets[i] = centre[i] * scale
        else:
            slopes[i, place[key[1]]] = -scale
    for name, i in place.items():
        prior = prior_of(("", name))
        spread[i] = deviation[i] = prior.spread * np.sqrt(SHARED)
        centre[i] = np.log(prior.value)
        low[i], high[i] = np.log(prior.low), np.log(prior.high)
        slopes[i, i] = 1.0 / spread[i]
        offsets[i] = centre[i] / spread[i]
    return Belief(keys, shared, slopes, offsets, spread, deviation, centre, low, high)
