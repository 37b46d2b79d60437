"""Predicting a wide model from narrow ones under muP: nanoLM (arXiv:2304.06875)."""

from __future__ import annotations

import numpy as np

from .law import REFIT, Form, Law, Numeric, Power


def nanolm(*, million_params: Numeric, a: Numeric, b: Numeric, c: Numeric) -> Numeric:
    """Loss against width at fixed steps and batch under muP, ``a N^b + c`` with N in millions [nats/token].

    Only widths differ between the runs it was fitted on and the run it predicts; depth, steps and batch stay.

    Examples
    --------
    >>> round(float(nanolm(million_params=202.67, a=2.07, b=-0.5176, c=3.8469)), 2)
    3.98
    """
    return a * np.asarray(million_params, dtype=float) ** b + c


NANOLM = Form(
    "nanolm",
    nanolm,
    ("million_params",),
    ("a", "b", "c"),
    "L = a N^b + c, N in millions",
    powers=(Power("a", "million_params", "b", sign=-1),),
    floor="c",
)


def _law(name: str, a: float, b: float, c: float, notes: str) -> Law:
    return Law(
        name=name,
        form=NANOLM,
        constants={"a": a, "b": b, "c": c},
        corpus="not stated",
        tokenizer="not stated",
        n_convention="non_embedding",
        source="arXiv:2304.06875, https://github.com/cofe-ai/nanoLM",
        provenance=REFIT,
        notes=f"Fitted to the first seven widths in the authors' script; {notes}",
    )


LAWS = (
    _law(
        "NanoLM2023Gpt7k",
        2.07,
        -0.5176,
        3.8469,
        "7,000 steps; the last width is predicted 3.979, measured 3.98.",
    ),
    _law("NanoLM2023Gpt20k", 2.126, -0.3803, 3.5272, "20,000 steps; 3.809 against 3.84."),
    _law("NanoLM2023Llama20k", 1.33, -0.4603, 4.0179, "20,000 steps; 4.122 against 4.10."),
)
