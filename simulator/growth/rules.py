"""Published rules of when and how far to grow, under their authors' names.

They are rivals of the credit model of `simulator.growth.warm_start`: each was fitted on its own runs, and each says
how far it holds. `RULES` lists them.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from simulator.columns import Numeric

KAPLAN_NC = 8.8e13
KAPLAN_ALPHA_N = 0.076
KAPLAN_SC = 2.1e3
KAPLAN_ALPHA_S = 0.76
KAPLAN_ALPHA_B = 0.21
"""Exponent of the critical batch, B_crit = 2.1e8 tokens / L**(1/0.21)."""
KAPLAN_BATCH = 2.1e8
"""Critical batch at a loss of 1. [tokens]"""
SHEN_STOP_SLOPE = -0.052
"""Slope d log10 L / d log10 C at which a run is compute-optimal under Kaplan's law."""
SHEN_GROW_SLOPE = {"depth": -0.0575, "width": -0.0475, "both": -0.03}
"""Slopes at which Shen et al. grow (x2 layers, x2 width, both)."""


def kaplan_loss(*, params: Numeric, steps: Numeric) -> Numeric:
    r"""Kaplan's law at the critical batch, :math:`(N_c/N)^{.076} + (2 S_c/S)^{.76}`. [nats/token]

    Constants as staged training uses them (arXiv:2203.06211). `params` exclude embeddings.
    """
    return (KAPLAN_NC / np.asarray(params, dtype=float)) ** KAPLAN_ALPHA_N + (
        2 * KAPLAN_SC / np.asarray(steps, dtype=float)
    ) ** KAPLAN_ALPHA_S


def shen_effective_steps(*, params: Numeric, source_loss: Numeric) -> Numeric:
    r"""Steps a grown model is credited with: :math:`S_{eff} = 2 S_c / (l_{src} - (N_c/N)^{.076})^{1/.76}`. [steps]

    Source: Shen et al., arXiv:2203.06211. Infinite where the source's loss is below the target's floor.

    Examples
    --------
    >>> float(shen_effective_steps(params=1e8, source_loss=kaplan_loss(params=1e8, steps=5000.0))).__round__(6)
    5000.0
    """
    gap = (
        np.asarray(source_loss, dtype=float) - (KAPLAN_NC / np.asarray(params, dtype=float)) ** KAPLAN_ALPHA_N
    )
    return np.where(gap > 0, 2 * KAPLAN_SC / np.where(gap > 0, gap, 1.0) ** (1 / KAPLAN_ALPHA_S), np.inf)


def kaplan_slope(*, params: Numeric, steps: Numeric) -> Numeric:
    r"""Slope :math:`m = d\log L / d\log C` of a run that keeps the critical batch, :math:`B \propto L^{-1/.21}`. [-]

    .. math:: m = \frac{m_S}{1 - m_S/.21}, \qquad m_S = \frac{d\log L}{d\log S} = -\alpha_S (2S_c/S)^{\alpha_S} / L

    Staged training (arXiv:2203.06211) stops and grows by this slope (`SHEN_STOP_SLOPE`, `SHEN_GROW_SLOPE`).

    Examples
    --------
    A compute-optimal run ends where the step term is a tenth of the size term; its slope is -0.052 at every size.

    >>> sizes = np.array([1e7, 1e8, 1e9])
    >>> end = 2 * KAPLAN_SC / (0.1 * (KAPLAN_NC / sizes) ** KAPLAN_ALPHA_N) ** (1 / KAPLAN_ALPHA_S)
    >>> kaplan_slope(params=sizes, steps=end).round(4).tolist()
    [-0.052, -0.052, -0.052]
    """
    step_term = (2 * KAPLAN_SC / np.asarray(steps, dtype=float)) ** KAPLAN_ALPHA_S
    slope = -KAPLAN_ALPHA_S * step_term / kaplan_loss(params=params, steps=steps)
    return slope / (1 - slope / KAPLAN_ALPHA_B)


def critical_batch_tokens(*, loss: Numeric) -> Numeric:
    r"""Batch beyond which more tokens per step stop helping: :math:`2.1\cdot10^8 / L^{1/0.21}`. [tokens]

    Kaplan et al., arXiv:2001.08361, as staged training uses it. It grows as the loss falls, so a grown model may take
    a larger batch than its source did.

    Examples
    --------
    >>> [round(float(critical_batch_tokens(loss=loss)) / 1e6, 2) for loss in (3.5, 3.0, 2.5)]
    [0.54, 1.12, 2.67]
    """
    return KAPLAN_BATCH * np.asarray(loss, dtype=float) ** (-1 / KAPLAN_ALPHA_B)


def shen_learning_rate(*, params: Numeric) -> Numeric:
    r"""Peak learning rate of AdamW for a size: :math:`0.003239 - 0.0001395 \ln N`. [-]

    Staged training (arXiv:2203.06211) restarts the schedule of the grown model at its effective step, with 150 to 200
    steps of warm-up. `params` exclude embeddings; fitted below 1.5e9, and zero near 1.2e10.

    Examples
    --------
    >>> [round(float(shen_learning_rate(params=n)), 5) for n in (84.9e6, 679.5e6)]
    [0.00069, 0.0004]
    """
    return 0.003239 - 0.0001395 * np.log(np.asarray(params, dtype=float))


def gstack_source_tokens(*, params: Numeric, flop: Numeric) -> Numeric:
    r"""Tokens to train the source on before stacking. [tokens]

    .. math:: \log_{10} d = 0.88 \log_{10} N + \frac{163.27}{\log_{10} C} - 5.74

    Parameters
    ----------
    params : numeric
        Parameters of the target, without embeddings. [parameters]
    flop : numeric
        Training compute of the target, ``6 N D``. [FLOP]

    Notes
    -----
    Du et al., arXiv:2405.15319 (G_stack). Fitted up to 3B parameters, sources of 0 to 50B tokens and 1e19 to 1e21
    FLOP; the authors extrapolate it to Llama.

    Examples
    --------
    Llama-3 8B on 15T tokens and Llama-2 7B, 13B, 70B on 2T, as published.

    >>> for n, tokens in ((8e9, 15e12), (7e9, 2e12), (13e9, 2e12), (70e9, 2e12)):
    ...     print(round(float(gstack_source_tokens(params=n, flop=6 * n * tokens)) / 1e9, 2))
    6.58
    11.11
    15.84
    42.48
    """
    log_params, log_flop = np.log10(np.asarray(params, dtype=float)), np.log10(np.asarray(flop, dtype=float))
    return 10 ** (0.88 * log_params + 163.27 / log_flop - 5.74)


def gstack_growth_factor(*, params: Numeric, flop: Numeric) -> Numeric:
    r"""Growth factor in layers: :math:`\log_{10} g = 1.01 \log_{10} N - 29.88/\log_{10} C - 7.36`. [-]

    Du et al., arXiv:2405.15319. A weak fit: it explodes for large models (24 for 8B, 221 for 70B); the paper itself
    recommends 4 and measures an optimum between 2 and 4.
    """
    log_params, log_flop = np.log10(np.asarray(params, dtype=float)), np.log10(np.asarray(flop, dtype=float))
    return 10 ** (1.01 * log_params - 29.88 / log_flop - 7.36)


def liew_kato_loss(
    *,
    source_tokens: Numeric,
    tokens: Numeric,
    A: Numeric,
    E: Numeric,
    alpha_1: Numeric,
    alpha_2: Numeric,
    alpha_3: Numeric,
) -> Numeric:
    r"""Loss of a grown model with saturation: :math:`A D_1^{-\alpha_1} D_2^{-\alpha_2 + \alpha_3 \ln D_1} + E`. [nats]

    The longer the source was trained, the less each token after growth brings. Liew and Kato, arXiv:2510.06548
    (stacking, 0.1 to 1.1B); the same form holds for upcycling to experts (arXiv:2502.03009). The published
    coefficients are not public to us: fit them on your own runs.

    Parameters
    ----------
    source_tokens, tokens : numeric
        Tokens before (`D1`) and after (`D2`) growth. [tokens]
    A, E, alpha_1, alpha_2, alpha_3 : numeric
        The user's coefficients.
    """
    d1, d2 = np.asarray(source_tokens, dtype=float), np.asarray(tokens, dtype=float)
    return A * d1 ** -np.asarray(alpha_1) * d2 ** (-np.asarray(alpha_2) + alpha_3 * np.log(d1)) + E


RULES: dict[str, Callable[..., Numeric]] = {
    "Shen2022": shen_effective_steps,
    "Du2024": gstack_source_tokens,
    "LiewKato2025": liew_kato_loss,
}
"""Published warm-start rules by AuthorYear; the default is the credit model of `simulator.growth.warm_start`."""
