"""Batch size: what a large batch costs in tokens, and the batch each published law recommends.

Two kinds of law must not be mixed. A *critical* batch is where doubling the batch stops halving the steps; an *optimal* batch is the
one that gave the lowest loss for its tokens. The laws fitted jointly agree that either grows with tokens (exponent 0.4 to 0.6) and
hardly with size.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from simulator.errors import SimulatorError, UnknownNameError

from .kaplan import critical_batch as _kaplan
from .law import FORM, Form, Law, Numeric

TOKENS_PER_PARAM = 20.0
"""Tokens per parameter of the runs behind laws that were fitted at a fixed ratio. [-]"""


def min_steps(*, steps: Numeric, batch_tokens: Numeric, critical_batch_tokens: Numeric) -> Numeric:
    """Steps the same loss would take at an unlimited batch, ``S / (1 + B_crit/B)`` [-].

    Examples
    --------
    >>> float(min_steps(steps=1000, batch_tokens=1e6, critical_batch_tokens=1e6))
    500.0
    """
    return steps / (1 + np.asarray(critical_batch_tokens, dtype=float) / batch_tokens)


def steps(*, min_steps: Numeric, batch_tokens: Numeric, critical_batch_tokens: Numeric) -> Numeric:
    r"""Steps to a loss at a given batch.

    Parameters
    ----------
    min_steps : numeric
        Steps at an unlimited batch. [-]
    batch_tokens, critical_batch_tokens : numeric
        Batch and critical batch. [tokens]

    Returns
    -------
    numeric
        Steps. [-]

    Notes
    -----
    .. math:: S = S_{min} (1 + B_{crit}/B)

    With :math:`E = E_{min} (1 + B/B_{crit})` tokens, :math:`(S/S_{min} - 1)(E/E_{min} - 1) = 1`. The critical batch grows during
    training; one number stands for the run. Source: arXiv:1812.06162, arXiv:2001.08361.

    Examples
    --------
    >>> float(steps(min_steps=500, batch_tokens=1e6, critical_batch_tokens=1e6))
    1000.0
    """
    return min_steps * (1 + np.asarray(critical_batch_tokens, dtype=float) / batch_tokens)


def tokens_needed(*, min_tokens: Numeric, batch_tokens: Numeric, critical_batch_tokens: Numeric) -> Numeric:
    """Tokens to a loss at a given batch, ``E_min (1 + B/B_crit)`` [tokens].

    Examples
    --------
    >>> float(tokens_needed(min_tokens=1e9, batch_tokens=1e6, critical_batch_tokens=1e6))
    2000000000.0
    """
    return min_tokens * (1 + np.asarray(batch_tokens, dtype=float) / critical_batch_tokens)


def effective_tokens(
    tokens: Numeric,
    batch_tokens: Numeric,
    critical_batch_tokens: Numeric,
    *,
    reference_batch_tokens: Numeric = 0.0,
) -> Numeric:
    r"""Tokens at the reference batch that teach as much as `tokens` at this batch.

    Parameters
    ----------
    tokens : numeric
        Tokens processed. [tokens]
    batch_tokens, critical_batch_tokens : numeric
        Batch and critical batch. [tokens]
    reference_batch_tokens : numeric, optional
        Batch of the runs behind the law of loss that will be used; zero for a very small one. [tokens]

    Returns
    -------
    numeric
        Effective tokens. [tokens]

    Notes
    -----
    .. math:: D' = D \frac{1 + B_{ref}/B_{crit}}{1 + B/B_{crit}}

    A run at the critical batch learns as much as half its tokens at a very small one.

    Examples
    --------
    >>> float(effective_tokens(1e9, 1e6, 1e6))
    500000000.0
    """
    critical = np.asarray(critical_batch_tokens, dtype=float)
    return (
        tokens
        * (1 + reference_batch_tokens / critical)
        / (1 + np.asarray(batch_tokens, dtype=float) / critical)
    )


def steps_in_time(
    *, seconds: Numeric, tokens_per_s: Numeric, batch_size: Numeric, seq_length: Numeric
) -> Numeric:
    """Optimizer steps that fit a time, the compute class of Languini Kitchen (arXiv:2309.11197) [-].

    Models are compared at equal hours on a reference accelerator, so that throughput is the unit of compute.

    Examples
    --------
    >>> round(float(steps_in_time(seconds=6 * 3600, tokens_per_s=55_416, batch_size=128, seq_length=512)))
    18265
    """
    return (
        np.asarray(seconds, dtype=float) * tokens_per_s / (np.asarray(batch_size, dtype=float) * seq_length)
    )


def _power(x: Numeric, coefficient: Numeric, exponent: Numeric) -> Numeric:
    return coefficient * np.asarray(x, dtype=float) ** exponent


def zhang(*, tokens: Numeric, c: Numeric = 93.20, p: Numeric = 0.47, seq_length: Numeric = 512.0) -> Numeric:
    """Critical batch of Zhang et al. 2024, ``93.20 (D / 20e6)^0.47`` sequences of 512 [tokens].

    Fitted as a law of parameters (millions) at 20 tokens per parameter; at fixed size the same exponent holds in tokens, at fixed
    tokens the size hardly matters, so it is written in tokens here.

    Examples
    --------
    >>> round(float(zhang(tokens=24e9)) / 512)
    2610
    """
    return _power(np.asarray(tokens, dtype=float) / (TOKENS_PER_PARAM * 1e6), c, p) * seq_length


def zhang_fixed_tokens(
    *, params: Numeric, c: Numeric = 621.341, p: Numeric = 0.087, seq_length: Numeric = 512.0
) -> Numeric:
    """Critical batch of Zhang et al. 2024 at 3.07B tokens against parameters [tokens].

    Examples
    --------
    >>> round(float(zhang_fixed_tokens(params=1.2e9)) / 512)
    1151
    """
    return _power(np.asarray(params, dtype=float) / 1e6, c, p) * seq_length


def step_law(*, tokens: Numeric, c: Numeric = 0.58, p: Numeric = 0.571) -> Numeric:
    """Optimal batch of StepLaw 2025, ``0.58 D^0.571`` [tokens].

    Examples
    --------
    >>> round(float(step_law(tokens=1e11)) / 1e6, 2)
    1.11
    """
    return _power(tokens, c, p)


def deepseek(*, compute_flop: Numeric, c: Numeric = 0.2920, p: Numeric = 0.3271) -> Numeric:
    """Optimal batch of DeepSeek 2024, ``0.2920 C^0.3271``, C the non-embedding FLOP [tokens].

    Examples
    --------
    >>> round(float(deepseek(compute_flop=1e20)) / 1e6, 3)
    1.017
    """
    return _power(compute_flop, c, p)


def porian(
    *, params: Numeric, c: Numeric = 0.00037, p: Numeric = 0.703, seq_length: Numeric = 2048.0
) -> Numeric:
    """Optimal batch of Porian et al. 2024 near 20 tokens per parameter, ``0.00037 N^0.703`` sequences of 2048 [tokens].

    Examples
    --------
    >>> round(float(porian(params=108e6)) / 2048)
    164
    """
    return _power(params, c, p) * seq_length


def olmo(*, params: Numeric, c: Numeric = 160.0, p: Numeric = 2 / 3, seq_length: Numeric = 2048.0) -> Numeric:
    """Batch of the OLMo ladder's recipe, ``160 (N/108e6)^(2/3)`` sequences of 2048 [tokens].

    Examples
    --------
    >>> round(float(olmo(params=1.2e9)) / 2048)
    797
    """
    return _power(np.asarray(params, dtype=float) / 108e6, c, p) * seq_length


def minicpm(*, loss: Numeric, c: Numeric = 1.21e9, p: Numeric = 6.24) -> Numeric:
    """Optimal batch of MiniCPM 2024 at a loss, ``1.21e9 / L^6.24`` [tokens].

    Examples
    --------
    >>> round(float(minicpm(loss=3.0)) / 1e6, 2)
    1.28
    """
    return _power(loss, c, -p)


def _law(
    name: str,
    function: Any,
    inputs: tuple[str, ...],
    constants: dict[str, float],
    equation: str,
    source: str,
    quantity: str,
    starts: Mapping[str, tuple[float, float]] | None = None,
    **about: Any,
) -> Law:
    parameters = tuple(constants) or tuple(starts or {})
    return Law(
        name=name,
        form=Form(f"batch_{name}", function, inputs, parameters, equation, starts=starts or {}),
        constants=constants,
        corpus=about.pop("corpus", "not stated"),
        tokenizer=about.pop("tokenizer", "not stated"),
        source=source,
        loss_unit="tokens",
        quantity=quantity,
        **about,
    )


CRITICAL = "critical batch"
OPTIMAL = "optimal batch"

LAWS = (
    _law(
        "Zhang2024",
        zhang,
        ("tokens",),
        {"c": 93.20, "p": 0.47, "seq_length": 512.0},
        "B = 93.20 (D/20e6)^0.47 x 512",
        "arXiv:2410.21676",
        CRITICAL,
        corpus="C4",
        range={"tokens": (1.7e9, 24e9)},
        notes="Where a doubled batch needs 20 % more tokens than linear scaling; 85M to 1.2B parameters.",
    ),
    _law(
        "Kaplan2020",
        _kaplan,
        ("loss",),
        {"B_star": 2.1e8, "aB": 0.21},
        "B = 2.1e8 / L^(1/0.21)",
        "arXiv:2001.08361",
        CRITICAL,
        corpus="WebText2",
        tokenizer="BPE, 50257",
        notes="In the loss of WebText2 with its tokenizer; do not feed it another corpus's loss.",
    ),
    _law(
        "StepLaw2025",
        step_law,
        ("tokens",),
        {"c": 0.58, "p": 0.571},
        "B = 0.58 D^0.571",
        "arXiv:2503.04715",
        OPTIMAL,
        range={"tokens": (2e9, 1e11)},
        notes="60M to 1B parameters.",
    ),
    _law(
        "DeepSeek2024",
        deepseek,
        ("compute_flop",),
        {"c": 0.2920, "p": 0.3271},
        "B = 0.2920 C^0.3271",
        "arXiv:2401.02954",
        OPTIMAL,
        notes="C counts non-embedding FLOP.",
    ),
    _law(
        "Porian2024",
        porian,
        ("params",),
        {"c": 0.00037, "p": 0.703, "seq_length": 2048.0},
        "B = 0.00037 N^0.703 x 2048",
        "arXiv:2406.19146",
        OPTIMAL,
        corpus="RefinedWeb",
        range={"params": (5e6, 9.01e8)},
        notes="Near 20 tokens per parameter; batches of 128 and less need beta2 of 0.99 to 0.999.",
    ),
    _law(
        "OLMo2024",
        olmo,
        ("params",),
        {"c": 160.0, "p": 2 / 3, "seq_length": 2048.0},
        "B = 160 (N/108e6)^(2/3) x 2048",
        "arXiv:2412.04403",
        OPTIMAL,
        corpus="that of OLMo 2",
        tokenizer="dolma2, 100278",
        range={"params": (190e6, 1.28e9)},
        notes="A recipe, after Porian 2024; halved at a sequence length of 4096.",
    ),
    _law(
        "MiniCPM2024",
        minicpm,
        ("loss",),
        {"c": 1.21e9, "p": 6.24},
        "B = 1.21e9 / L^6.24",
        "arXiv:2404.06395",
        OPTIMAL,
        notes="In the loss of its own corpus and tokenizer.",
    ),
    _law(
        "PowerLines2025",
        step_law,
        ("tokens",),
        {},
        "B_crit ~ D^0.462, B_opt ~ D^0.383",
        "arXiv:2505.13738",
        CRITICAL,
        starts={"c": (1e-3, 1e4), "p": (0.2, 0.8)},
        provenance=FORM,
        notes="Exponents are published, factors are not known here: fit c and p of B = c D^p.",
    ),
)

laws: dict[str, Law] = {law.name: law for law in LAWS}
"""Batch laws by name."""

DEFAULT = "Zhang2024"
"""Critical batch used when none is named: it depends on tokens, neither on loss nor on size."""


def recommended_batch_tokens(
    *,
    law: str | Law = DEFAULT,
    params: Numeric | None = None,
    tokens: Numeric | None = None,
    loss: Numeric | None = None,
    compute_flop: Numeric | None = None,
) -> Numeric:
    """Critical or optimal batch by a named law.

    Parameters
    ----------
    law : str or Law, optional
        A key of `laws`.
    params, tokens, loss, compute_flop : numeric, optional
        What is known of the run. Tokens default to 20 per parameter, parameters to tokens over 20, compute to ``6 N D``.

    Returns
    -------
    numeric
        Batch. [tokens]

    Examples
    --------
    >>> round(float(recommended_batch_tokens(law="StepLaw2025", tokens=1e11)) / 1e6, 2)
    1.11
    """
    found = law if isinstance(law, Law) else laws.get(law)
    if found is None:
        raise UnknownNameError(str(law), kind="batch law", names=list(laws))
    if tokens is None and params is not None:
        tokens = TOKENS_PER_PARAM * np.asarray(params, dtype=float)
    if params is None and tokens is not None:
        params = np.asarray(tokens, dtype=float) / TOKENS_PER_PARAM
    if compute_flop is None and params is not None and tokens is not None:
        compute_flop = 6 * np.asarray(params, dtype=float) * tokens
    known = {"params": params, "tokens": tokens, "loss": loss, "compute_flop": compute_flop}
    missing = [name for name in found.inputs if known[name] is None]
    if missing:
        raise SimulatorError(f"the batch law {found.name} needs {', '.join(missing)}")
    return found(**known)


critical_batch_tokens = recommended_batch_tokens
"""`recommended_batch_tokens` under the name that fits the critical laws."""
