"""Peak learning rates that published laws recommend. All belong to AdamW with a warm-up; none knows your data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from simulator.errors import SimulatorError, UnknownNameError

from .law import Numeric


def step_law(*, params: Numeric, tokens: Numeric) -> Numeric:
    """StepLaw 2025, ``1.79 N^-0.713 D^0.307``, N without embeddings (arXiv:2503.04715) [-].

    Examples
    --------
    >>> round(float(step_law(params=1e9, tokens=1e11)), 5)
    0.00163
    """
    return 1.79 * np.asarray(params, dtype=float) ** -0.713 * np.asarray(tokens, dtype=float) ** 0.307


def deepseek(*, compute_flop: Numeric) -> Numeric:
    """DeepSeek 2024, ``0.3118 C^-0.125``, C the non-embedding FLOP (arXiv:2401.02954) [-].

    Examples
    --------
    >>> round(float(deepseek(compute_flop=1e20)), 6)
    0.000986
    """
    return 0.3118 * np.asarray(compute_flop, dtype=float) ** -0.125


def porian(*, params: Numeric) -> Numeric:
    """Porian et al. 2024, ``3.7 N^-0.36`` near 20 tokens per parameter (arXiv:2406.19146) [-].

    Examples
    --------
    >>> round(float(porian(params=108e6)), 5)
    0.00474
    """
    return 3.7 * np.asarray(params, dtype=float) ** -0.36


def olmo(*, params: Numeric) -> Numeric:
    """OLMo ladder, ``0.0047 (N/108e6)^(-1/3)`` (arXiv:2412.04403) [-].

    Examples
    --------
    >>> float(olmo(params=108e6))
    0.0047
    """
    return 0.0047 * (np.asarray(params, dtype=float) / 108e6) ** (-1 / 3)


STEP_LAW_RANGE = {"params": (60e6, 1e9), "tokens": (2e9, 1e11)}
"""Parameters and tokens that StepLaw was fitted on (arXiv:2503.04715). [-], [tokens]"""

laws: dict[str, tuple[Callable[..., Any], tuple[str, ...]]] = {
    "StepLaw2025": (step_law, ("params", "tokens")),
    "DeepSeek2024": (deepseek, ("compute_flop",)),
    "Porian2024": (porian, ("params",)),
    "OLMo2024": (olmo, ("params",)),
}
"""Learning-rate laws by name, with their inputs."""


def recommended_learning_rate(
    *,
    law: str = "StepLaw2025",
    params: Numeric | None = None,
    tokens: Numeric | None = None,
    compute_flop: Numeric | None = None,
) -> Numeric:
    """Peak learning rate by a named law; compute defaults to ``6 N D`` [-].

    Examples
    --------
    >>> round(float(recommended_learning_rate(law="Porian2024", params=108e6)), 5)
    0.00474
    """
    if law not in laws:
        raise UnknownNameError(law, kind="learning-rate law", names=list(laws))
    if compute_flop is None and params is not None and tokens is not None:
        compute_flop = 6 * np.asarray(params, dtype=float) * tokens
    known = {"params": params, "tokens": tokens, "compute_flop": compute_flop}
    function, inputs = laws[law]
    missing = [name for name in inputs if known[name] is None]
    if missing:
        raise SimulatorError(f"the learning-rate law {law} needs {', '.join(missing)}")
    return function(**{name: known[name] for name in inputs})
