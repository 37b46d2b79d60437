r"""What a trained small model is worth to a larger one: credit, token efficiency and the optimal moment to switch.

Notation, as everywhere in this room: a loss law of the form

.. math:: l(N, D) = E + A N^{-\alpha} + B D^{-\beta} = a_N + B D^{-\beta}

with :math:`a_N` the *floor* of a model of `N` parameters: the loss it reaches on endless data. Kaplan's law in steps,
:math:`(N_c/N)^{\alpha_N} + (2 S_c/S)^{\alpha_S}`, has the same form with ``E = 0``, ``A = Nc**alpha_N``,
``B = (2 Sc)**alpha_S`` and steps in the place of tokens, so every function below serves it too.

A growth operator hands the larger model `N` a loss `l` that the smaller model `n` paid for. Three statements follow:

1. *Credit*: the tokens that `N` would have needed to reach `l` by itself.
2. *After growth*: each further token counts as :math:`\kappa` tokens of a run from scratch. :math:`\kappa` is an
   assumption with published evidence (`simulator.growth.evidence`), never a result.
3. *Switch*: the cheapest moment is where lowering the loss costs the same in both models.
"""

from __future__ import annotations

import numpy as np

from simulator.columns import Numeric


def floor(*, E: Numeric, A: Numeric, alpha: Numeric, params: Numeric) -> Numeric:
    r"""Loss of a model on endless data, :math:`a_N = E + A N^{-\alpha}`. [nats/token]

    Parameters
    ----------
    E, A, alpha : numeric
        Constants of the law. [nats, nats, -]
    params : numeric
        Parameters `N`, counted as the law counts them. [parameters]

    Examples
    --------
    >>> round(float(floor(E=1.8172, A=482.01, alpha=.3478, params=1e9)), 4)
    2.1744
    """
    return E + A * np.asarray(params, dtype=float) ** -np.asarray(alpha)


def loss_from_tokens(*, floor: Numeric, B: Numeric, beta: Numeric, tokens: Numeric) -> Numeric:
    r"""Loss after `tokens` of training from scratch, :math:`a_N + B D^{-\beta}` (infinite at 0 tokens). [nats/token]"""
    tokens = np.asarray(tokens, dtype=float)
    with np.errstate(divide="ignore"):
        return floor + B * np.maximum(tokens, 0.0) ** -np.asarray(beta)


def tokens_for_loss(*, floor: Numeric, B: Numeric, beta: Numeric, loss: Numeric) -> Numeric:
    r"""Tokens at which a model trained from scratch reaches `loss`: :math:`[B / (l - a_N)]^{1/\beta}`. [tokens]

    Infinite where the loss is at or below the floor.
    """
    gap = np.asarray(loss, dtype=float) - floor
    reachable = gap > 0
    return np.where(reachable, (B / np.where(reachable, gap, 1.0)) ** (1 / np.asarray(beta)), np.inf)


def credit(
    *,
    params: Numeric,
    source_params: Numeric,
    source_tokens: Numeric,
    E: Numeric,
    A: Numeric,
    alpha: Numeric,
    B: Numeric,
    beta: Numeric,
) -> Numeric:
    r"""Effective target tokens a function-preserving growth starts with. [tokens]

    .. math:: D_{eff} = \left[\frac{B}{l_{src} - a_N}\right]^{1/\beta}, \qquad l_{src} = a_n + B d^{-\beta}

    Parameters
    ----------
    params, source_params : numeric
        Parameters of the grown model `N` and of its source `n`. [parameters]
    source_tokens : numeric
        Tokens `d` the source was trained on. [tokens]
    E, A, alpha, B, beta : numeric
        Constants of the law.

    Notes
    -----
    Never more than `source_tokens` when the target is larger. It has no saturation: for sources trained far past
    their optimum, and across corpora, it is an upper bound (HyperCloning's OLMo pair reports a quarter less).

    Examples
    --------
    OPT 331M trained on 30B tokens and cloned to 1.316B (arXiv:2409.12903) starts with 7.6B tokens of credit.

    >>> law = dict(E=1.8172, A=482.01, alpha=.3478, B=2085.43, beta=.3658)
    >>> round(float(credit(params=1.316e9, source_params=331e6, source_tokens=30e9, **law)) / 1e9, 1)
    7.6
    """
    source_floor = floor(E=E, A=A, alpha=alpha, params=source_params)
    source_loss = loss_from_tokens(floor=source_floor, B=B, beta=beta, tokens=source_tokens)
    return tokens_for_loss(
        floor=floor(E=E, A=A, alpha=alpha, params=params), B=B, beta=beta, loss=source_loss
    )


def loss_after_growth(
    *, floor: Numeric, B: Numeric, beta: Numeric, credit_tokens: Numeric, tokens: Numeric, kappa: Numeric
) -> Numeric:
    r"""Loss of the grown model after `tokens` more: :math:`a_N + B (D_{eff} + \kappa D_2)^{-\beta}`. [nats/token]

    Parameters
    ----------
    floor : numeric
        Floor of the grown model. [nats/token]
    B, beta : numeric
        Data term of the law.
    credit_tokens, tokens : numeric
        Credit :math:`D_{eff}` and tokens since growth :math:`D_2`. [tokens]
    kappa : numeric
        Token efficiency after growth; 1 is training as if the credit had been earned from scratch. [-]
    """
    effective = np.asarray(credit_tokens, dtype=float) + np.asarray(kappa) * np.asarray(tokens, dtype=float)
    return loss_from_tokens(floor=floor, B=B, beta=beta, tokens=effective)


def switch_ratio(*, cost_source: Numeric, cost_target: Numeric, kappa: Numeric, beta: Numeric) -> Numeric:
    r"""Ratio :math:`r = (\kappa c_n / c_N)^{\beta/(1+\beta)}` that fixes the optimal switch. [-]

    Costs are per token (or per step) in any unit: FLOP, joule, USD or seconds.
    """
    return (np.asarray(kappa) * cost_source / cost_target) ** (np.asarray(beta) / (1 + np.asarray(beta)))


def optimal_switch_loss(
    *,
    floor_source: Numeric,
    floor_target: Numeric,
    cost_source: Numeric,
    cost_target: Numeric,
    kappa: Numeric,
    beta: Numeric,
) -> Numeric:
    r"""Loss at which growing costs least, whatever the final loss. [nats/token]

    .. math:: l^* = \frac{a_n - r a_N}{1 - r}, \qquad r = (\kappa c_n / c_N)^{\beta/(1+\beta)}

    From :math:`c_n\, dD_n/dl = (c_N/\kappa)\, dD_N/dl`: grow when a nat costs the same in both models. It is the
    closed form of the slope criterion of staged training (arXiv:2203.06211). Do not grow if `l*` is at or below
    the final loss.

    Returns infinity where ``r >= 1``: the larger model is the cheaper learner from the first token on.

    Parameters
    ----------
    floor_source, floor_target : numeric
        Floors of the source and of the target. [nats/token]
    cost_source, cost_target : numeric
        Cost of a token in each, same unit.
    kappa : numeric
        Token efficiency after growth (divided by the source's own, if the source was itself grown). [-]
    beta : numeric
        Data exponent of the law. [-]

    Examples
    --------
    MPT 350m to 1b on A100s, by FLOP and by measured seconds: in seconds the switch comes earlier.

    >>> law = dict(E=1.8172, A=482.01, alpha=.3478)
    >>> small, large = (floor(params=n, **law) for n in (355_985_408, 1_315_950_592))
    >>> for ratio in (3.70, 58_782 / 20_513):
    ...     l = optimal_switch_loss(floor_source=small, floor_target=large, cost_source=1, cost_target=ratio,
    ...                             kappa=1, beta=.3658)
    ...     print(round(float(l), 3))
    2.774
    2.903
    """
    r = switch_ratio(cost_source=cost_source, cost_target=cost_target, kappa=kappa, beta=beta)
    finite = r < 1
    return np.where(
        finite, (floor_source - r * np.asarray(floor_target)) / np.where(finite, 1 - r, 1.0), np.inf
    )


def ramped_kappa(*, kappa: Numeric, source_tokens: Numeric, full_tokens: Numeric) -> Numeric:
    r"""Token efficiency of a source that has seen little: :math:`1 + (\kappa_0 - 1)\min(1, d/d^*)`. [-]

    An untrained source gives no benefit beyond its credit (G_stack with ``d = 0`` equals training from scratch,
    arXiv:2405.15319). The linear ramp between is a modelling choice, not a measurement; `full_tokens` is the source
    training at which the whole of `kappa` is granted (`gstack_source_tokens`, say).

    Examples
    --------
    >>> [float(ramped_kappa(kappa=1.5, source_tokens=d, full_tokens=10e9)) for d in (0, 5e9, 20e9)]
    [1.0, 1.25, 1.5]
    """
    return 1 + (np.asarray(kappa) - 1) * np.minimum(1.0, np.asarray(source_tokens, dtype=float) / full_tokens)


def recovery_offset(*, jump: Numeric, recovery_tokens: Numeric, tokens: Numeric) -> Numeric:
    r"""Extra loss `tokens` after an operator that does not preserve the function: :math:`\Delta e^{-D_2/D_j}`. [nats]

    `jump` is the loss step at growth, `recovery_tokens` its decay length; both the user's, from a short trial.
    """
    return jump * np.exp(-np.asarray(tokens, dtype=float) / recovery_tokens)
