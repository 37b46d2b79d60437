r"""Published growth experiments, each under its own accounting.

Savings are comparable only with three facts beside them: what was matched (loss, tokens, accuracy), in what they are
counted (FLOP, tokens, wall-clock), and whether the source model was charged. `saving` says what the credit model predicts for it given a token efficiency :math:`\kappa`, and
`implied_kappa` is its inverse.

With :math:`c = c_n / c_N` the cost of a source token in target tokens and `D` the tokens of the run from scratch,

.. math:: 1 - \text{saving} = \frac{[\text{charged}]\, c\, d + D_2}{D}, \qquad D_{eff} + \kappa D_2 = D

A speed-up is the ratio of costs, so ``saving = 1 - 1 / speedup``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from simulator.growth import warm_start
from simulator.growth.published import FACTOR, Case, is_encoder, number, sizes

LAW = {"E": 1.8172, "A": 482.01, "alpha": 0.3478, "B": 2085.43, "beta": 0.3658}
"""Besiroglu et al. 2024, arXiv:2404.10102: the law in which the evidence is read."""
TIME_EXPONENT = 0.886
"""Seconds per token as a power of parameters: seven MPT models on A100s (mosaicml/llm-foundry@8c8dd48)."""
OPTIMAL_TOKENS_PER_PARAM = 20.0
"""Tokens of a run from scratch where none are stated and both sides are tuned (arXiv:2203.15556)."""
METRIC_TOKENS_PER_PARAM = 100.0
"""The same for encoders and runs to a metric, trained far past that point."""
RAMP_TOKENS_PER_PARAM = 5.0
"""Source tokens per source parameter at which the whole of kappa is granted; a modelling choice."""
GRADUAL_STAGES = 4
"""Stages of a gradual schedule where none are stated; each as long as its depth, as MIDAS does (arXiv:2409.19044)."""
CREDIT_CAP = 0.8
"""A source is never credited with more of the run than this: corpora differ, and the cap of HyperCloning's OLMo."""


def states_scratch_tokens(one: Case) -> bool:
    """Whether `Case.tokens` counts the run from scratch rather than the tokens after growth."""
    return bool(re.search(r"scratch token|@|at this|accuracy|mean acc", one.metric.lower())) or (
        one.match == "equal_accuracy"
    )


@dataclass(frozen=True)
class Accounts:
    """What the credit model needs of a case, in tokens of the target."""

    cost_ratio: float
    """Cost of a source token in target tokens, in the basis of the case. [-]"""
    source_tokens: float
    credit: float
    """Effective target tokens the source is worth."""
    scratch_tokens: float
    """Tokens from scratch; ``nan`` if `grown_tokens` is what is stated."""
    grown_tokens: float
    """Tokens after growth; ``nan`` if `scratch_tokens` is what is stated."""
    charged: bool
    ramp: float
    """Share of ``kappa - 1`` that the source's training grants. [-]"""


def accounts(one: Case) -> Accounts:
    """Complete the numbers of a case. Missing ones get the defaults above."""
    small, large = sizes(one)
    if np.isnan(small):
        small, large = 5e8, 5e8 * FACTOR
    if not large > small:
        large = small * FACTOR
    per_param = METRIC_TOKENS_PER_PARAM if is_encoder(one) else OPTIMAL_TOKENS_PER_PARAM
    stated = one.tokens
    scratch = stated if states_scratch_tokens(one) else float("nan")
    grown = float("nan") if states_scratch_tokens(one) else stated
    source_tokens = one.source_tokens
    if np.isnan(scratch) and np.isnan(grown):
        scratch = per_param * large
        if source_tokens > 0:
            scratch = max(scratch, source_tokens * small / large)
    if np.isnan(source_tokens):
        # a free source was trained to its end; a charged one until it is best to grow
        source_tokens = per_param * small if one.charged != "yes" else _best_source_tokens(small, large)
    credit = float(
        warm_start.credit(params=large, source_params=small, source_tokens=max(source_tokens, 1.0), **LAW)
    )
    if scratch > 0:
        credit = min(credit, CREDIT_CAP * scratch)
    ratio = small / large
    if one.basis == "wall":
        ratio = ratio**TIME_EXPONENT
    if one.basis == "tokens":
        ratio = 1.0
    return Accounts(
        cost_ratio=ratio,
        source_tokens=source_tokens,
        credit=credit,
        scratch_tokens=scratch,
        grown_tokens=grown,
        charged=one.charged == "yes",
        ramp=min(1.0, source_tokens / (RAMP_TOKENS_PER_PARAM * small)),
    )


def _best_source_tokens(small: float, large: float) -> float:
    floors = [warm_start.floor(E=LAW["E"], A=LAW["A"], alpha=LAW["alpha"], params=n) for n in (small, large)]
    loss = warm_start.optimal_switch_loss(
        floor_source=floors[0],
        floor_target=floors[1],
        cost_source=small,
        cost_target=large,
        kappa=1,
        beta=LAW["beta"],
    )
    return float(warm_start.tokens_for_loss(floor=floors[0], B=LAW["B"], beta=LAW["beta"], loss=loss))


# --- predicted saving and its inverse -------------------------------------------------------------------------------


def equal_loss_saving(a: Accounts, *, kappa: float) -> float:
    r"""Saving at equal loss for one :math:`\kappa`, from a case's accounts. [-]

    Examples
    --------
    G_stack's 1.1B from 400M at 10B tokens, equal loss at 100B: kappa 1.5 saves a third.

    >>> a = Accounts(cost_ratio=4/11, source_tokens=10e9, credit=4.3e9, scratch_tokens=100e9,
    ...              grown_tokens=float("nan"), charged=True, ramp=1.0)
    >>> round(equal_loss_saving(a, kappa=1.5), 2)
    0.33
    """
    granted = 1 + (kappa - 1) * a.ramp
    if np.isnan(a.scratch_tokens):
        after = a.grown_tokens
        scratch = a.credit + granted * after
    else:
        scratch = a.scratch_tokens
        after = max(scratch - a.credit, 0.0) / granted
    paid = a.cost_ratio * a.source_tokens if a.charged else 0.0
    return 1 - (paid + after) / scratch


def equal_tokens_saving(stages: Iterable[tuple[float, float]]) -> float:
    """Saving of training the same tokens with smaller models first: arithmetic, no loss law. [-]

    Parameters
    ----------
    stages : iterable of (float, float)
        Cost per token and tokens of each stage; the last is the full model.

    Examples
    --------
    >>> round(equal_tokens_saving([(0.45, 100e9), (0.9, 100e9)]), 3)
    0.25
    """
    listed = list(stages)
    total = sum(tokens for _, tokens in listed)
    return 1 - sum(cost * tokens for cost, tokens in listed) / (listed[-1][0] * total)


def chain(one: Case, cases: Iterable[Case]) -> list[tuple[float, float]]:
    """Stages (parameters, tokens) of a case, its earlier stages found among `cases` of the same paper.

    A stage precedes another if it ends at the parameters and at the tokens that the other starts from.
    """
    small, large = sizes(one)
    before = one.source_tokens if one.source_tokens > 0 else 0.0
    stages = [(large, one.tokens)]
    for other in cases:
        same = other.paper == one.paper and other.id != one.id
        if same and before and np.isclose(other.params, small, rtol=1e-3):
            start = other.source_tokens if other.source_tokens > 0 else 0.0
            if np.isclose(start + other.tokens, before, rtol=1e-3):
                return chain(other, cases) + stages
    return [(small, before), *stages] if before else stages


def gradual_saving() -> float:
    """Equal-token saving of gradual growth in `GRADUAL_STAGES`, each stage as long as its depth. [-]"""
    depths = [k / GRADUAL_STAGES for k in range(1, GRADUAL_STAGES + 1)]
    return equal_tokens_saving([(depth, depth) for depth in depths])


def family_saving(members: Iterable[float], *, kappa: float) -> float:
    """Saving over a whole family of models, each grown from the one before, all of them wanted. [-]

    Every member is trained to the loss of its own compute-optimal run.
    """
    listed = sorted(members)
    paid = scratch = 0.0
    for k, size in enumerate(listed):
        tokens = OPTIMAL_TOKENS_PER_PARAM * size
        worth = 0.0
        if k:
            small = listed[k - 1]
            worth = float(
                warm_start.credit(
                    params=size, source_params=small, source_tokens=OPTIMAL_TOKENS_PER_PARAM * small, **LAW
                )
            )
        paid += size * (tokens - worth) / (kappa if k else 1.0)
        scratch += size * tokens
    return 1 - paid / scratch


@lru_cache(maxsize=4096)
def tuned_multiplier(kappa: float, factor: float = FACTOR) -> float:
    r"""Compute from scratch over compute with one growth, at equal loss, sizes and switch both optimal. [-]

    Scale-free under a power law; costs are FLOP.

    Examples
    --------
    >>> [round(tuned_multiplier(kappa), 2) for kappa in (1.0, 1.1, 1.5)]
    [1.05, 1.13, 1.5]
    """
    e, a, alpha, b, beta = (LAW[key] for key in ("E", "A", "alpha", "B", "beta"))
    params, loss = np.geomspace(3e8, 3e10, 600), 2.3

    def tokens(size: Any, at: Any) -> Any:
        return warm_start.tokens_for_loss(
            floor=warm_start.floor(E=e, A=a, alpha=alpha, params=size), B=b, beta=beta, loss=at
        )

    scratch = np.min(params * tokens(params, loss))
    small = params / factor
    switch = warm_start.optimal_switch_loss(
        floor_source=warm_start.floor(E=e, A=a, alpha=alpha, params=small),
        floor_target=warm_start.floor(E=e, A=a, alpha=alpha, params=params),
        cost_source=small,
        cost_target=params,
        kappa=kappa,
        beta=beta,
    )
    reached = np.isfinite(switch) & (switch > loss) & np.isfinite(tokens(params, loss))
    if not reached.any():
        return kappa
    params, small, switch = params[reached], small[reached], switch[reached]
    grown = small * tokens(small, switch) + params * (tokens(params, loss) - tokens(params, switch)) / kappa
    return float(scratch / np.min(grown))


def is_tuned(one: Case) -> bool:
    """Whether both sides were compute-optimal and tuned, and no sizes are stated that say otherwise."""
    return "tuned" in f"{one.text} {one.notes.lower()}" and "compute" in one.text


def predicted_saving(one: Case, *, kappa: float, cases: Iterable[Case] = ()) -> float:
    """Saving the credit model predicts for a case under the case's own accounting. [-]

    Parameters
    ----------
    one : Case
        The experiment; its published saving is not looked at.
    kappa : float
        Token efficiency after growth.
    cases : iterable of Case, optional
        Other experiments, searched for earlier stages of this one.
    """
    members = [float(size) * 1e9 for size in re.findall(r"(\d+(?:\.\d+)?)b\b", one.method.lower())]
    if "family" in one.text and len(members) > 1:
        return family_saving(members, kappa=kappa)
    if one.match.startswith("equal_tokens") and one.charged != "no":
        stages = chain(one, cases)
        if len(stages) < 2 or not np.isfinite(stages).all():
            return gradual_saving()
        power = TIME_EXPONENT if one.basis == "wall" else 1.0
        return equal_tokens_saving((size**power, tokens) for size, tokens in stages)
    if is_tuned(one):
        small, large = sizes(one)
        factor = large / small if large > small and one.source_layers > 0 else FACTOR
        return 1 - 1 / tuned_multiplier(round(kappa, 4), factor)
    return equal_loss_saving(accounts(one), kappa=kappa)


KAPPA_RANGE = (0.2, 6.0)


def implied_kappa(one: Case, *, saving: float | None = None) -> float:
    """Token efficiency at which `predicted_saving` equals the published saving; ``nan`` if none does. [-]

    Examples
    --------
    >>> from simulator.growth.published import case
    >>> stack = case({"src_params": "4e8", "tgt_params": "1.1e9", "src_tokens": "1e10", "tgt_tokens": "1e11",
    ...               "speedup": "1.491", "metric": "at this scratch token count",
    ...               "notes": "match=equal_loss;basis=flops;src_charged=yes"})
    >>> round(implied_kappa(stack), 2)
    1.5
    """
    wanted = one.saving if saving is None else saving
    low, high = KAPPA_RANGE
    at_low, at_high = (predicted_saving(one, kappa=kappa) for kappa in (low, high))
    if not (np.isfinite(wanted) and at_low <= wanted <= at_high and at_high > at_low):
        return float("nan")
    for _ in range(60):
        middle = float(np.sqrt(low * high))
        low, high = (middle, high) if predicted_saving(one, kappa=middle) < wanted else (low, middle)
    return high


def kappa_from_losses(one: Case, cases: Iterable[Case] = ()) -> float:
    r"""Token efficiency of an equal-token case that publishes its final losses. [-]

    Only the data term of the law is used, so corpus and tokenizer drop out:

    .. math:: D_{eff} = [B / (g + B d^{-\beta})]^{1/\beta}, \quad
              \kappa = ([B / (l_{grown} - l_{scratch} + B D^{-\beta})]^{1/\beta} - D_{eff}) / D_2

    with `g` the final loss of the source alone, minus that of the target from scratch, at equal tokens
    ``D = d + D2``. ``nan`` where neither the notes nor those of a sister case (same paper, same scratch run) give
    the source's own loss.
    """
    sisters = [c for c in cases if c.paper == one.paper and c.scratch_value == one.scratch_value]
    notes = " ".join(c.notes for c in [one, *sisters])
    found = re.search(r"small model alone (\d+\.\d+)", notes)
    scratch, grown = number(one.scratch_value), number(one.grown_value)
    alone = float(found.group(1)) if found else float("nan")
    if not np.isfinite([scratch, grown, alone, one.source_tokens, one.tokens]).all():
        return float("nan")
    b, beta = LAW["B"], LAW["beta"]
    gap = alone - scratch + b * one.source_tokens**-beta
    credit = (b / gap) ** (1 / beta)
    total = one.source_tokens + one.tokens
    effective = (b / (grown - scratch + b * total**-beta)) ** (1 / beta)
    return float((effective - credit) / one.tokens)
