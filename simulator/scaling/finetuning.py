"""Fine-tuning: loss against the number of examples, and choosing a model by it."""

from __future__ import annotations

from typing import Any

import numpy as np

from .law import FORM, REFIT, Array, Form, Law, Numeric, Power


def rectified(*, examples: Numeric, B: Numeric, Dl: Numeric, beta: Numeric, E: Numeric) -> Numeric:
    r"""Loss after fine-tuning on a number of examples.

    Parameters
    ----------
    examples : numeric
        Fine-tuning examples. [-]
    B, Dl, beta, E : numeric
        Constants; `Dl` is what pre-training already knows of the task, in powers of examples.

    Returns
    -------
    numeric
        Loss. [nats/token]

    Notes
    -----
    .. math:: L = \frac{B}{D_l + D^{\beta}} + E

    Flat while :math:`D^\beta \ll D_l` (before the power law sets in), a power law after.

    References
    ----------
    .. [1] H. Lin et al., "Selecting large language model to fine-tune via rectified scaling law", arXiv:2402.02314, 2024.

    Examples
    --------
    >>> round(float(rectified(examples=0, B=563.8, Dl=166.1, beta=0.455, E=1.069)), 2)
    4.46
    """
    return B / (Dl + np.asarray(examples, dtype=float) ** beta) + E


def ivgi(*, params: Numeric, a: Numeric, b: Numeric, c: Numeric) -> Numeric:
    """Loss or error of a fine-tuned task against pre-trained size, ``a N^-b + c``; a form to fit (arXiv:2202.06387).

    Examples
    --------
    >>> float(ivgi(params=100.0, a=10.0, b=0.5, c=1.0))
    2.0
    """
    return a * np.asarray(params, dtype=float) ** -b + c


def accept_then_stop(
    *, examples: Array, losses: Array, target_examples: float, window: int, tolerance: float
) -> dict[str, Any]:
    """Predict the loss at many examples from runs on few, dropping the flat phase.

    Parameters
    ----------
    examples, losses : array
        Runs on subsets; any order. [-], [nats/token]
    target_examples : float
        Where to predict. [-]
    window : int
        Largest runs that are accepted without a test.
    tolerance : float
        A smaller run is accepted while it lies within this many standard deviations of the line through those accepted.

    Returns
    -------
    dict
        ``loss`` at the target [nats/token], ``slope`` of log loss against log examples [-], ``accepted`` runs [-].

    Notes
    -----
    The line through the runs after the transition is extrapolated in logarithms. Rank models by the predicted loss.

    Examples
    --------
    >>> d = 200.0 * 2 ** np.arange(8); l = rectified(examples=d, B=563.8, Dl=166.1, beta=0.455, E=0.0)
    >>> out = accept_then_stop(examples=d, losses=l, target_examples=1e6, window=3, tolerance=5.0)
    >>> out["accepted"] < 8
    True
    """
    order = np.argsort(np.asarray(examples, dtype=float))[::-1]
    x, y = np.log(np.asarray(examples, dtype=float)[order]), np.log(np.asarray(losses, dtype=float)[order])
    accepted = min(max(window, 2), len(x))
    while accepted < len(x):
        line = np.polyfit(x[:accepted], y[:accepted], 1)
        spread = np.std(np.polyval(line, x[:accepted]) - y[:accepted])
        if abs(np.polyval(line, x[accepted]) - y[accepted]) > tolerance * spread:
            break
        accepted += 1
    line = np.polyfit(x[:accepted], y[:accepted], 1)
    return {
        "loss": float(np.exp(np.polyval(line, np.log(target_examples)))),
        "slope": float(line[0]),
        "accepted": accepted,
    }


RECTIFIED = Form(
    "rectified",
    rectified,
    ("examples",),
    ("B", "Dl", "beta", "E"),
    "L = B/(Dl + D^beta) + E",
    starts={"B": (1.0, 1e4), "Dl": (1.0, 1e4), "beta": (0.1, 1.0), "E": (0.2, 2.0)},
)
IVGI = Form(
    "ivgi",
    ivgi,
    ("params",),
    ("a", "b", "c"),
    "y = a N^-b + c",
    powers=(Power("a", "params", "b"),),
    floor="c",
)


def _lin(name: str, values: tuple[float, float, float, float], corpus: str) -> Law:
    return Law(
        name=name,
        form=RECTIFIED,
        constants=dict(zip(RECTIFIED.parameters, values, strict=True)),
        corpus=corpus,
        tokenizer="that of the model",
        n_convention="none",
        source="arXiv:2402.02314, https://github.com/linhaowei1/Fine-tuning-Scaling-Law",
        range={"examples": (0, 1_638_400)},
        provenance=REFIT,
        notes="Fitted to the authors' public results; one model on one task.",
    )


LAWS = (
    _lin("Lin2024LaMiniFlan", (563.8, 166.1, 0.455, 1.069), "FLAN, LaMini-GPT-124M"),
    _lin("Lin2024LaMiniGigaword", (36.2, 16.8, 0.278, 0.919), "Gigaword, LaMini-GPT-124M"),
    _lin("Lin2024LaMiniWmt19", (4263.0, 1845.0, 0.707, 0.806), "WMT19, LaMini-GPT-124M"),
    _lin("Lin2024Gpt2Flan", (856.0, 260.7, 0.50, 1.242), "FLAN, GPT-2"),
    Law(
        name="Ivgi2022",
        form=IVGI,
        constants={},
        corpus="nine fine-tuning tasks",
        tokenizer="not stated",
        source="arXiv:2202.06387",
        provenance=FORM,
        notes="From models of 10,000 parameters; useful where the fit is good.",
    ),
)
