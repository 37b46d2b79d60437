"""Success against samples and size: sampling until success, and the best of k samples."""

from __future__ import annotations

import numpy as np

from simulator.errors import SimulatorError

from .law import FORM, Form, Law, Numeric


def pass_until_estimate(*, successes: Numeric, draws: Numeric) -> Numeric:
    """Unbiased success rate when sampling stops at a number of successes, ``(r - 1) / (K - 1)`` [-].

    Examples
    --------
    >>> float(pass_until_estimate(successes=2, draws=101))
    0.01
    """
    return (np.asarray(successes, dtype=float) - 1) / (np.asarray(draws, dtype=float) - 1)


def pass_until(*, params: Numeric, c: Numeric, alpha: Numeric) -> Numeric:
    r"""Success rate of one instance against size, :math:`e^{-c N^{-\alpha}}`; a form to fit (arXiv:2310.03262) [-].

    Straight in (ln N, ln(-ln PU)); a curve bent downwards there is emergence faster than any such law.

    Examples
    --------
    >>> round(float(pass_until(params=100.0, c=10.0, alpha=0.5)), 3)
    0.368
    """
    return np.exp(-c * np.asarray(params, dtype=float) ** -alpha)


def pass_at_k(*, samples: Numeric, alpha: Numeric, beta: Numeric) -> Numeric:
    r"""Share of problems solved by at least one of k samples, when failure rates follow a Beta distribution.

    Parameters
    ----------
    samples : numeric
        Samples per problem, k. [-]
    alpha, beta : numeric
        Of the Beta distribution of a problem's failure probability. [-]

    Returns
    -------
    numeric
        pass@k. [-]

    Notes
    -----
    .. math:: 1 - E[p^k] = 1 - \frac{\Gamma(\alpha+k)\,\Gamma(\alpha+\beta)}{\Gamma(\alpha)\,\Gamma(\alpha+\beta+k)}

    Falls short of one as :math:`k^{-\beta}`. Samples are independent; correlated ones help less.

    References
    ----------
    .. [1] N. Levi, "A simple model of inference scaling laws", arXiv:2410.16377, 2024.

    Examples
    --------
    >>> round(float(pass_at_k(samples=1, alpha=3.0, beta=1.0)), 6)
    0.25
    """
    from scipy.special import gammaln

    k, a = np.asarray(samples, dtype=float), np.asarray(alpha, dtype=float)
    return -np.expm1(gammaln(a + k) + gammaln(a + beta) - gammaln(a) - gammaln(a + beta + k))


def fit_pass_at_k(*, samples: tuple[float, float], passed: tuple[float, float]) -> dict[str, float]:
    """Beta parameters from two measured pass@k, the first at one sample.

    Parameters
    ----------
    samples : tuple of float
        One and a larger k. [-]
    passed : tuple of float
        Share of problems solved at each. [-]

    Returns
    -------
    dict
        ``alpha`` and ``beta`` for `pass_at_k`.

    Examples
    --------
    >>> found = fit_pass_at_k(samples=(1, 100), passed=(0.25, float(pass_at_k(samples=100, alpha=3.0, beta=1.0))))
    >>> round(found["alpha"], 6), round(found["beta"], 6)
    (3.0, 1.0)
    """
    from scipy.optimize import brentq

    (one, many), (mean, later) = samples, passed
    independent = 1 - (1 - mean) ** many
    if one != 1 or not 0 < mean < later < independent:
        raise SimulatorError(
            f"pass@1 must lie between 0 and pass@{many:g}, and pass@{many:g} below {independent:.4g}, its value for problems all alike"
        )

    def missed(log_total: float) -> float:
        total = float(np.exp(log_total))
        return float(pass_at_k(samples=many, alpha=(1 - mean) * total, beta=mean * total)) - later

    total = float(np.exp(brentq(missed, -20.0, 25.0, xtol=1e-13)))
    return {"alpha": (1 - mean) * total, "beta": mean * total}


PASS_UNTIL = Form(
    "pass_until",
    pass_until,
    ("params",),
    ("c", "alpha"),
    "PU = exp(-c N^-alpha)",
    starts={"c": (1.0, 1e4), "alpha": (0.05, 0.8)},
)
LEVI = Form(
    "levi",
    pass_at_k,
    ("samples",),
    ("alpha", "beta"),
    "pass@k = 1 - Gamma(a+k) Gamma(a+b) / (Gamma(a) Gamma(a+b+k))",
    starts={"alpha": (0.1, 50.0), "beta": (0.02, 5.0)},
    linear=True,
)


LAWS = (
    Law(
        name="PassUntil2023",
        form=PASS_UNTIL,
        constants={},
        corpus="one task instance",
        tokenizer="not stated",
        source="arXiv:2310.03262",
        provenance=FORM,
        quantity="accuracy",
        loss_unit="-",
        notes="Fit per instance, or per task.",
    ),
    Law(
        name="Levi2024",
        form=LEVI,
        constants={},
        corpus="any set of problems",
        tokenizer="none",
        n_convention="none",
        source="arXiv:2410.16377",
        provenance=FORM,
        quantity="accuracy",
        loss_unit="-",
        notes="Two measured pass@k give both constants: simulator.scaling.samples.fit_pass_at_k.",
    ),
)
