"""Training far past the compute-optimal point: Gadre et al. 2024 (arXiv:2403.08540)."""

from __future__ import annotations

from typing import Any

import numpy as np

from .law import Form, Law, Numeric


def gadre(*, params: Numeric, tokens: Numeric, E: Numeric, a: Numeric, b: Numeric, eta: Numeric) -> Numeric:
    r"""Loss at a compute budget and a ratio of tokens to parameters.

    Parameters
    ----------
    params, tokens : numeric
        Size (with embeddings) and tokens. [-], [tokens]
    E : numeric
        Irreducible loss. [nats/token]
    a, b, eta : numeric
        Constants.

    Returns
    -------
    numeric
        Loss on C4. [nats/token]

    Notes
    -----
    .. math:: L = E + (a M^{\eta} + b M^{-\eta}) C^{-\eta}, \quad C = 6ND, \quad M = D/N

    The same as a Chinchilla law with :math:`\alpha = \beta = 2\eta`. Use it to extrapolate in compute at a given M; its own optimum
    (M of 3 to 7) is an artefact of equal exponents and of a fit at M >= 20.

    References
    ----------
    .. [1] S. Y. Gadre et al., "Language models scale reliably with over-training and on downstream tasks", arXiv:2403.08540, 2024.

    Examples
    --------
    >>> round(float(gadre(params=1.4e9, tokens=28e9, E=1.837, a=212.2, b=366.7, eta=0.1364)), 2)
    2.77
    """
    n, d = np.asarray(params, dtype=float), np.asarray(tokens, dtype=float)
    ratio, compute = d / n, 6 * n * d
    return E + (a * ratio**eta + b * ratio**-eta) * compute**-eta


def chinchilla_terms(*, E: float, a: float, b: float, eta: float) -> dict[str, float]:
    """Rewrite the constants as those of a Chinchilla law.

    Examples
    --------
    >>> round(chinchilla_terms(E=1.837, a=212.2, b=366.7, eta=0.1364)["alpha"], 4)
    0.2728
    """
    return {"E": E, "A": a * 6**-eta, "B": b * 6**-eta, "alpha": 2 * eta, "beta": 2 * eta}


GADRE = Form(
    "gadre",
    gadre,
    ("params", "tokens"),
    ("E", "a", "b", "eta"),
    "L = E + (a M^eta + b M^-eta) C^-eta, C = 6ND, M = D/N",
    starts={"E": (0.5, 2.5), "a": (20.0, 500.0), "b": (20.0, 500.0), "eta": (0.08, 0.2)},
)


def _law(name: str, corpus: str, constants: dict[str, float]) -> Law:
    about: dict[str, Any] = {"tokenizer": "GPT-NeoX-20B, 50432", "source": "arXiv:2403.08540"}
    return Law(
        name=name,
        form=GADRE,
        constants=constants,
        corpus=f"{corpus}, evaluated on C4",
        range={"params": (11e6, 6.9e9), "tokens": (5e7, 9e11)},
        notes="For over-training at a given number of tokens per parameter; not for choosing that number.",
        terms=chinchilla_terms(**constants),
        chooses_tokens=False,
        **about,
    )


LAWS = (
    _law("Gadre2024C4", "C4", {"E": 1.508, "a": 141.3, "b": 189.5, "eta": 0.1212}),
    _law("Gadre2024RedPajama", "RedPajama", {"E": 1.837, "a": 212.2, "b": 366.7, "eta": 0.1364}),
    _law("Gadre2024RefinedWeb", "RefinedWeb", {"E": 1.734, "a": 157.1, "b": 246.2, "eta": 0.1272}),
)
