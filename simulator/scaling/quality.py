"""From loss to quality: error and accuracy on tasks.

A loss becomes an accuracy by a sigmoid (OLMo ladder, Llama 3) or an error by an exponential (Gadre). Each curve belongs to its own
evaluation loss; feed it no other.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulator.errors import UnknownNameError

from .chinchilla import CHINCHILLA, chinchilla
from .law import Form, Law, Numeric


def gadre_error(*, loss: Numeric, eps: Numeric, k: Numeric, gamma: Numeric) -> Numeric:
    r"""Mean top-1 error over a suite of tasks, :math:`\varepsilon - k e^{-\gamma L}`.

    Parameters
    ----------
    loss : numeric
        Loss on C4. [nats/token]
    eps, k, gamma : numeric
        Constants; `eps` is the error of an untrained model.

    Returns
    -------
    numeric
        Error. [-]

    Notes
    -----
    Good for the average of many tasks (about 4 % off at 300 times the compute), not for one.

    References
    ----------
    .. [1] S. Y. Gadre et al., "Language models scale reliably with over-training and on downstream tasks", arXiv:2403.08540, 2024.

    Examples
    --------
    >>> round(float(gadre_error(loss=2.5, eps=0.8570, k=2.206, gamma=0.7146)), 3)
    0.487
    """
    return eps - k * np.exp(-gamma * np.asarray(loss, dtype=float))


def sigmoid_accuracy(*, loss: Numeric, a: Numeric, k: Numeric, L0: Numeric, b: Numeric) -> Numeric:
    r"""Accuracy on a task from its loss, :math:`a / (1 + e^{-k (L - L_0)}) + b`.

    Parameters
    ----------
    loss : numeric
        Loss on the right answers. [bit/byte]
    a, k, L0, b : numeric
        Constants; a is negative and k positive, so that a high loss gives ``a + b``, chance.

    Returns
    -------
    numeric
        Accuracy. [-]

    Examples
    --------
    >>> round(float(sigmoid_accuracy(loss=0.6, a=-0.74, k=4.83, L0=0.62, b=1.0)), 3)
    0.648
    """
    return a / (1 + np.exp(-k * (np.asarray(loss, dtype=float) - L0))) + b


@dataclass(frozen=True)
class Task:
    """A task of the OLMo ladder: its loss against size and tokens, and its accuracy against that loss."""

    name: str
    terms: dict[str, float]
    sigmoid: dict[str, float]


def _task(name: str, A: float, alpha: float, B: float, beta: float, E: float, *curve: float) -> Task:
    sigmoid = dict(zip(("a", "k", "L0", "b"), curve, strict=True))
    return Task(name, {"E": E, "A": A, "B": B, "alpha": alpha, "beta": beta}, sigmoid)


tasks: dict[str, Task] = {
    task.name: task
    for task in (
        _task("mmlu", 38.07, 0.23, 100.09, 0.24, 0.45, -0.74, 4.83, 0.62, 1.00),
        _task("hellaswag", 11.23, 0.20, 60.37, 0.26, 0.50, -0.73, 12.74, 0.77, 0.99),
        _task("arc_challenge", 702974.78, 0.79, 38.45, 0.20, 0.65, -0.78, 5.91, 0.71, 1.00),
        _task("arc_easy", 79412.0, 0.66, 3957.5, 0.42, 0.56, -0.65, 4.13, 0.74, 1.00),
        _task("piqa", 405.66, 0.40, 10.16, 0.15, 0.72, -0.46, 5.03, 0.96, 1.00),
        _task("csqa", 56.86, 0.23, 10.91, 0.11, 0.00, -0.86, 2.21, 1.13, 1.00),
        _task("socialiqa", 1200.94, 0.45, 7897.0, 0.48, 0.95, -0.60, 7.16, 0.89, 1.00),
        _task("openbookqa", 86346.0, 0.69, 137.35, 0.26, 1.20, -0.79, 4.31, 1.08, 1.00),
    )
}
"""Tasks of the OLMo ladder (arXiv:2412.04403) by name, five-shot; constants as printed, to two digits."""


def get_task(task: str) -> Task:
    """A task by name.

    Examples
    --------
    >>> get_task("mmlu").sigmoid["k"]
    4.83
    """
    if task not in tasks:
        raise UnknownNameError(task, kind="task", names=list(tasks))
    return tasks[task]


def ladder_loss(*, task: str, params: Numeric, tokens: Numeric) -> Numeric:
    """Loss of a task, first step of the OLMo ladder [bit/byte].

    `params` counts the blocks and one vocabulary matrix.

    Examples
    --------
    >>> round(float(ladder_loss(task="mmlu", params=13.2e9, tokens=5e12)), 3)
    0.719
    """
    return chinchilla(params=params, tokens=tokens, **get_task(task).terms)


def ladder_accuracy(*, task: str, params: Numeric, tokens: Numeric) -> Numeric:
    r"""Accuracy on a task from size and tokens, both steps of the OLMo ladder.

    Parameters
    ----------
    task : str
        A key of `tasks`.
    params, tokens : numeric
        Size (blocks and one vocabulary matrix) and tokens. [-], [tokens]

    Returns
    -------
    numeric
        Accuracy. [-]

    Notes
    -----
    Fitted on 190M to 1.3B parameters at one to ten times the Chinchilla tokens, on one data mix. At 13B and 5T the two-digit constants
    are within 0.035 of the published predictions, and those within 0.11 of the truth.

    References
    ----------
    .. [1] A. Bhagia et al., "Establishing task scaling laws via compute-efficient model ladders", arXiv:2412.04403, 2024.

    Examples
    --------
    >>> round(float(ladder_accuracy(task="hellaswag", params=13_202_396_160, tokens=5e12)), 3)
    0.877
    """
    return sigmoid_accuracy(
        loss=ladder_loss(task=task, params=params, tokens=tokens), **get_task(task).sigmoid
    )


def performance_law_mmlu(
    *,
    num_hidden_layers: Numeric,
    hidden_size: Numeric,
    intermediate_size: Numeric,
    tokens: Numeric,
    params: Numeric | None = None,
    instability: Numeric = 1.0,
) -> Numeric:
    r"""MMLU of a dense model from its shape and tokens (Performance Law).

    Parameters
    ----------
    num_hidden_layers, hidden_size, intermediate_size : numeric
        Shape; the intermediate size is that of one gated matrix. [-]
    tokens : numeric
        Training tokens. [tokens]
    params : numeric, optional
        Size, which caps the tokens that count; that of the authors' planner if absent. [-]
    instability : numeric, optional
        One for bf16, more for lower precision. [-]

    Returns
    -------
    numeric
        MMLU, five-shot. [points of 100]

    Notes
    -----
    .. math:: 13.95 \ln(u N) + 0.231 \ln(u h) - 0.485 \ln(u d) + 5.398 \ln(u T') + 9.195, \quad
              u = e^{-((10/d + 20/h) \gamma N)^2}, \quad T' = \min(T, S)

    N layers, h hidden, d intermediate, T in trillions, S in billions. A ranking aid: mean error 6 points on public models, two standard
    deviations about 14. It pushes depth hard, against every wall-clock measurement: bound the depth, or join it with a clock. Experts
    are not covered: that equation is not public.

    References
    ----------
    .. [1] C. Wu and R. Tang, "Performance law of large language models", arXiv:2408.09895, 2024.

    Examples
    --------
    >>> round(float(performance_law_mmlu(
    ...     num_hidden_layers=32, hidden_size=4096, intermediate_size=11008, tokens=2e12, params=6.74e9)), 2)
    58.03
    """
    layers, h = np.asarray(num_hidden_layers, dtype=float), np.asarray(hidden_size, dtype=float)
    d = np.asarray(intermediate_size, dtype=float)
    size = (
        performance_law_params(num_hidden_layers=layers, hidden_size=h, intermediate_size=d)
        if params is None
        else params
    )
    billions, trillions = np.asarray(size, dtype=float) / 1e9, np.asarray(tokens, dtype=float) / 1e12
    log_u = -(((10 / d + 20 / h) * instability * layers) ** 2)
    fed = np.minimum(trillions, billions)
    score = (
        13.95018192 * (log_u + np.log(layers))
        + 0.23072027 * (log_u + np.log(h))
        - 0.48523402 * (log_u + np.log(d))
        + 5.39801689 * (log_u + np.log(fed))
        + 9.195410648934768
    )
    return np.where(score > 90, 90 + 10 * np.tanh(0.1 * score - 9), np.maximum(score, 25.0))[()]


def performance_law_params(
    *, num_hidden_layers: Numeric, hidden_size: Numeric, intermediate_size: Numeric
) -> Numeric:
    """Size as the authors' planner counts it: eight key-value heads of 128, a vocabulary of 150,000 in and out [-].

    Examples
    --------
    >>> round(float(performance_law_params(num_hidden_layers=32, hidden_size=4096, intermediate_size=14336)) / 1e9, 2)
    8.21
    """
    h = np.asarray(hidden_size, dtype=float)
    block = 2 * 128 * 8 * h + 2 * h**2 + 3 * h * np.asarray(intermediate_size, dtype=float)
    return block * num_hidden_layers + 2 * 150_000 * h


def performance_law_best_depth(
    *, hidden_size: Numeric, intermediate_size: Numeric, instability: Numeric = 1.0
) -> Numeric:
    """Depth at which the Performance Law peaks, ``0.6044 / (gamma (10/d + 20/h))`` layers [-].

    Examples
    --------
    >>> round(float(performance_law_best_depth(hidden_size=4096, intermediate_size=14336)))
    108
    """
    weight = 13.95018192 + 0.23072027 - 0.48523402 + 5.39801689
    slope = 10 / np.asarray(intermediate_size, dtype=float) + 20 / np.asarray(hidden_size, dtype=float)
    return np.sqrt(13.95018192 / (2 * weight)) / (instability * slope)


GADRE_ERROR = Form(
    "gadre_error",
    gadre_error,
    ("loss",),
    ("eps", "k", "gamma"),
    "error = eps - k exp(-gamma L)",
    starts={"eps": (0.5, 1.0), "k": (0.3, 5.0), "gamma": (0.3, 1.5)},
    linear=True,
)


def _error(corpus: str, suite: int, eps: float, k: float, gamma: float) -> Law:
    return Law(
        name=f"Gadre2024Error{suite}{corpus}",
        form=GADRE_ERROR,
        constants={"eps": eps, "k": k, "gamma": gamma},
        corpus=f"{corpus}; input is the loss on C4",
        tokenizer="GPT-NeoX-20B, 50432",
        n_convention="none",
        loss_unit="-",
        source="arXiv:2403.08540",
        quantity="error",
        notes=f"Mean top-1 error over {suite} tasks.",
    )


_LADDER_C4 = {"E": 0.93, "A": 12.48, "B": 33.48, "alpha": 0.10, "beta": 0.16}
LAWS = (
    _error("C4", 17, 0.8497, 2.079, 0.7561),
    _error("RedPajama", 17, 0.8570, 2.206, 0.7146),
    _error("RefinedWeb", 17, 0.8653, 2.215, 0.7070),
    _error("C4", 46, 0.7589, 1.2885, 0.9722),
    _error("RedPajama", 46, 0.7608, 1.3229, 0.8907),
    _error("RefinedWeb", 46, 0.7677, 1.1281, 0.8215),
    Law(
        name="OlmoLadder2024C4",
        form=CHINCHILLA,
        constants=_LADDER_C4,
        corpus="that of OLMo 2, evaluated on C4",
        tokenizer="dolma2, 100278",
        n_convention="blocks and one vocabulary matrix",
        source="arXiv:2412.04403",
        range={"params": (190e6, 1.28e9), "tokens": (3.8e9, 2.6e11)},
        terms=_LADDER_C4,
        notes="Exponents printed to two digits.",
    ),
)
