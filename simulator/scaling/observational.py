"""Capability from public benchmarks, and emergence by fine-tuning.

Ruan et al. 2024 (arXiv:2405.10938): the benchmarks of many models lie near a few principal components; within a family these grow with
the logarithm of compute, and a task's metric is a sigmoid of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .law import FORM, Array, Form, Law, Numeric


@dataclass(frozen=True)
class Components:
    """Principal components of a table of benchmarks.

    Attributes
    ----------
    scores : array
        Capability of each model, shape (models, components).
    loadings : array
        Weight of each benchmark, shape (components, benchmarks).
    explained : array
        Share of the variance of each component.
    mean : array
        Mean of each benchmark.
    """

    scores: Array
    loadings: Array
    explained: Array
    mean: Array


def principal_components(table: Array, count: int = 3, *, rounds: int = 50) -> Components:
    """Principal components of models by benchmarks, with missing entries filled by the components themselves.

    Parameters
    ----------
    table : array
        Metric of each model (row) on each benchmark (column); not-a-number where missing.
    count : int, optional
        Components kept.
    rounds : int, optional
        Rounds of filling in.

    Returns
    -------
    Components
        Signs chosen so that most loadings are positive.

    Examples
    --------
    >>> skill = np.array([0.1, 0.4, 0.7, 0.9])[:, None]
    >>> principal_components(skill * np.array([[1.0, 0.5, 0.2]]), 1).explained.round(6).tolist()
    [1.0]
    """
    values = np.array(table, dtype=float)
    gaps = np.isnan(values)
    values = np.where(gaps, np.nanmean(values, axis=0), values)
    for _ in range(rounds if np.any(gaps) else 1):
        mean = np.mean(values, axis=0)
        left, sizes, right = np.linalg.svd(values - mean, full_matrices=False)
        signs = np.where(np.sum(right, axis=1) < 0, -1.0, 1.0)
        scores, loadings = (left * sizes * signs)[:, :count], (right * signs[:, None])[:count]
        values = np.where(gaps, mean + scores @ loadings, values)
    explained = sizes**2 / np.sum(sizes**2)
    return Components(scores, loadings, explained[:count], mean)


def family_capability(*, compute_flop: Numeric, theta: Numeric, nu: Numeric) -> Numeric:
    r"""Capability within a family of models, :math:`\theta \log C + \nu` [-].

    Examples
    --------
    >>> round(float(family_capability(compute_flop=1e22, theta=0.1, nu=-4.0)), 2)
    1.07
    """
    return theta * np.log(np.asarray(compute_flop, dtype=float)) + nu


def observational_metric(*, capability: Numeric, w: Numeric, b: Numeric, h: Numeric) -> Numeric:
    r"""Metric of a task from capability, :math:`h \sigma(w S + b)`; a form to fit [-].

    Parameters
    ----------
    capability : numeric
        One component, or their weighted sum with ``w`` of one. [-]
    w, b, h : numeric
        Slope, shift and ceiling; the paper fixes h to one minus chance.

    Returns
    -------
    numeric
        Metric above chance. [-]

    Examples
    --------
    >>> float(observational_metric(capability=0.0, w=1.0, b=0.0, h=0.75))
    0.375
    """
    return h / (1 + np.exp(-(w * np.asarray(capability, dtype=float) + b)))


def emergence(
    *, loss: Numeric, examples: Numeric, chance: Numeric, slope: Numeric, elbow: Numeric, shift: Numeric
) -> Numeric:
    r"""Accuracy that leaves chance at a loss which fine-tuning moves; a form to fit.

    Parameters
    ----------
    loss : numeric
        Pre-training loss. [nats/token]
    examples : numeric
        Fine-tuning examples; zero for few-shot prompting. [-]
    chance, slope, elbow, shift : numeric
        Constants; without fine-tuning the task emerges below `elbow`.

    Returns
    -------
    numeric
        Accuracy. [-]

    Notes
    -----
    .. math:: a = c + s \max(0,\; e + f \ln(1 + D) - L)

    The shape follows the description in the abstract of Snell et al.; its exact equation was not read.

    References
    ----------
    .. [1] C. Snell et al., "Predicting emergent capabilities by finetuning", arXiv:2411.16035, 2024.

    Examples
    --------
    >>> float(emergence(loss=2.0, examples=0, chance=0.25, slope=1.0, elbow=2.1, shift=0.05))
    0.35
    """
    point = elbow + shift * np.log1p(np.asarray(examples, dtype=float))
    return chance + slope * np.maximum(0.0, point - np.asarray(loss, dtype=float))


OBSERVATIONAL = Form(
    "observational",
    observational_metric,
    ("capability",),
    ("w", "b", "h"),
    "E = h / (1 + exp(-(w S + b)))",
    starts={"w": (0.2, 20.0), "b": (-8.0, 4.0), "h": (0.5, 1.0)},
    linear=True,
)
EMERGENCE = Form(
    "emergence",
    emergence,
    ("loss", "examples"),
    ("chance", "slope", "elbow", "shift"),
    "a = chance + slope max(0, elbow + shift ln(1 + D) - L)",
    starts={"chance": (0.01, 0.5), "slope": (0.1, 3.0), "elbow": (1.5, 3.5), "shift": (0.001, 0.2)},
    linear=True,
)

LAWS = (
    Law(
        name="Ruan2024",
        form=OBSERVATIONAL,
        constants={},
        corpus="public benchmarks",
        tokenizer="none",
        n_convention="none",
        loss_unit="-",
        source="arXiv:2405.10938",
        provenance=FORM,
        quantity="accuracy",
        notes="Take the capability from principal_components of your table of models and benchmarks.",
    ),
    Law(
        name="Snell2024",
        form=EMERGENCE,
        constants={},
        corpus="MMLU, GSM8K, CommonsenseQA, CoLA",
        tokenizer="not stated",
        n_convention="none",
        loss_unit="-",
        source="arXiv:2411.16035",
        provenance=FORM,
        quantity="accuracy",
        notes="Fit on few-shot and fine-tuned checkpoints, then set examples to zero.",
    ),
)
