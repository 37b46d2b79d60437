"""Scaling laws: loss and quality of a model before it is trained.

`laws` holds every law under its name; `loss` evaluates one; `optimal` and its relatives answer budget questions in closed form;
`fit` and `transfer` bring a law to the user's own runs.
"""

from __future__ import annotations

from . import batch, data, inference, kaplan, learning_rate, quality, samples, schedule, shape
from .evaluate import loss, methods, shape_correction, shape_size
from .fitting import Fit, fit
from .frontier import (
    asymptote,
    compute_for_loss,
    compute_for_size,
    compute_multiplier,
    optimal,
    optimal_repeated,
    optimal_tokens_for_size,
    params_for_loss,
    terms_of,
    time_exponent,
    time_optimal_size,
    tokens_for_loss,
)
from .law import Form, Law
from .moving import Transfer, transfer
from .published import frontiers
from .registry import DEFAULT, forms, get, laws

__all__ = [
    "DEFAULT",
    "Fit",
    "Form",
    "Law",
    "Transfer",
    "asymptote",
    "batch",
    "compute_for_loss",
    "compute_for_size",
    "compute_multiplier",
    "data",
    "fit",
    "forms",
    "frontiers",
    "get",
    "inference",
    "kaplan",
    "laws",
    "learning_rate",
    "loss",
    "methods",
    "optimal",
    "optimal_repeated",
    "optimal_tokens_for_size",
    "params_for_loss",
    "quality",
    "samples",
    "schedule",
    "shape",
    "shape_correction",
    "shape_size",
    "terms_of",
    "time_exponent",
    "time_optimal_size",
    "tokens_for_loss",
    "transfer",
]
