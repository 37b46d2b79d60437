"""Move a law to another corpus with a handful of runs.

Absolute losses do not carry over between corpora, tokenizers and recipes; the shape of the law nearly does. So the published law is
taken as what is believed before the runs are seen (a prior), the runs as evidence, and the moved law is the most probable one given
both. With one run only the scale moves; with twenty spread over size and tokens the runs decide. Runs far below the largest count
for less, and so do runs that repeated their data many times, since that is where the form of the law is wrong.

What is believed before the runs are seen, and how the runs are weighed against it, is in `simulator.scaling.posterior`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Any

import numpy as np

from simulator.errors import SimulatorError, UnknownNameError

from .chinchilla import CHINCHILLA, chinchilla
from .evaluate import loss as evaluate
from .evaluate import shape_correction
from .law import REFIT, Array, Form, Law
from .posterior import AHEAD, STEP, TERM_WIDTH, Posterior, fresh_tokens, most_probable, noise, prior
from .registry import DEFAULT, get
from .runs import columns, implausible, left_out, need

METHODS = ("posterior", "affine")


def moved(
    *,
    params: Any,
    tokens: Any,
    hidden_size: Any,
    num_hidden_layers: Any,
    E: Any,
    A: Any,
    B: Any,
    alpha: Any,
    beta: Any,
    embedding_weight: Any,
    shape_weight: Any,
    shape_law: str = "Gemstones2025",
) -> Any:
    r"""Chinchilla's form with embeddings at a weight of their own, times a power of a shape correction [nats/token].

    Notes
    -----
    .. math:: L = \left( E + A N_w^{-\alpha} + B D^{-\beta} \right) r^{s}, \quad N_w = N_b + w (N - N_b)

    N_b are the parameters of the blocks, twelve width^2 depth; r is `simulator.scaling.shape_correction`.

    Examples
    --------
    >>> terms = get("Besiroglu2024").terms
    >>> shape = {"hidden_size": 2048, "num_hidden_layers": 18}
    >>> round(float(moved(params=1e9, tokens=2e10, **shape, **terms, embedding_weight=1.0, shape_weight=0.0)), 3)
    2.529
    """
    width, depth = np.asarray(hidden_size, dtype=float), np.asarray(num_hidden_layers, dtype=float)
    n = np.asarray(params, dtype=float)
    blocks = np.minimum(12 * depth * width**2, n)
    ratio = shape_correction(
        shape_law=shape_law,
        params=n,
        tokens=tokens,
        hidden_size=width,
        num_hidden_layers=depth,
        non_embedding_params=blocks,
    )
    weighted = blocks + embedding_weight * (n - blocks)
    base = chinchilla(params=weighted, tokens=tokens, E=E, A=A, B=B, alpha=alpha, beta=beta)
    return base * np.asarray(ratio) ** shape_weight


@dataclass(frozen=True)
class Transfer:
    """A law moved to the user's corpus, with what remains uncertain.

    Attributes
    ----------
    law : Law
        The moved law; `simulator.scaling.loss` takes it as it is.
    base : str
        Name of the law it was moved from.
    method : str
        ``posterior`` or ``affine``.
    n : int
        Runs used.
    mae : float
        Mean absolute residual on those runs, in the unit of the loss.
    largest_compute_flop : float
        Compute of the largest run; predictions above it grow less certain. [FLOP]
    covariance : array
        Of the coordinates of the fit.
    coordinates, center, inflation
        The fit itself: its end, the means of ln N and ln D that its scales refer to, and the factor on standard deviations.
    warnings : tuple of str
        What is odd about the runs: rows left out, columns of another magnitude.
    """

    law: Law
    base: str
    method: str
    n: int
    mae: float
    largest_compute_flop: float
    covariance: Array
    coordinates: Array
    center: tuple[float, float]
    inflation: float
    warnings: tuple[str, ...] = ()

    def loss(self, **numbers: Any) -> Any:
        """Loss at new inputs, as `simulator.scaling.loss` with this law."""
        return evaluate(law=self.law, **numbers)

    def standard_deviation(self, **numbers: Any) -> Any:
        """Standard deviation of a new run's loss: constants, form and run-to-run noise together.

        Notes
        -----
        The constants contribute through their posterior covariance, the form 1 % per e-fold of compute away from the largest run and
        5 % per e-fold of epochs, the run 0.5 %.
        """
        n, d = np.asarray(numbers["params"], dtype=float), np.asarray(numbers["tokens"], dtype=float)
        unique = numbers.get("unique_tokens")
        epochs = np.ones_like(d) if unique is None else np.fmax(d / np.asarray(unique, dtype=float), 1.0)
        spread = noise(n * d, epochs, self.largest_compute_flop / 6, share=AHEAD) ** 2
        value = np.asarray(self.loss(**numbers), dtype=float)
        slope = np.stack(
            [
                (self._shifted(step, **numbers) - self._shifted(-step, **numbers)) / (2 * STEP)
                for step in np.eye(len(self.coordinates)) * STEP
            ],
            axis=-1,
        )
        spread = spread + np.einsum("...i,ij,...j->...", slope, self.covariance, slope)
        return (value * np.sqrt(spread) * self.inflation)[()]

    def _shifted(self, step: Array, **numbers: Any) -> Any:
        constants = _constants(self.coordinates + step, self.center, self.method)
        # By its terms a law that sees unique tokens is evaluated on unlimited data.
        terms = self._terms(constants)
        return np.log(evaluate(law=replace(self.law, constants=constants, terms=terms), **numbers))

    def _terms(self, constants: Mapping[str, Any]) -> dict[str, Any]:
        """Terms of the law at other constants."""
        if self.method != "affine":
            return {k: constants[k] for k in self.law.terms}
        ratio = constants["scale"] / self.law.constants["scale"]
        return _rescaled(self.law.terms, ratio, constants["offset"] - ratio * self.law.constants["offset"])

    @property
    def intervals(self) -> dict[str, tuple[float, float]]:
        """95 % interval of each constant, the others free; together they are known better than one by one."""
        if self.method == "affine":
            spread = np.sqrt(np.diag(self.covariance)) * np.array([self.law.constants["scale"], 1.0])
        else:
            slope = np.eye(len(self.coordinates))
            slope[1, 3], slope[2, 4] = self.center
            spread = np.sqrt(np.diag(slope @ self.covariance @ slope.T))
        reach = NormalDist().inv_cdf(0.975) * self.inflation * spread
        return {
            key: (value * float(np.exp(-r)), value * float(np.exp(r)))
            if key in ("E", "A", "B")
            else (value - float(r), value + float(r))
            for (key, value), r in zip(self.law.constants.items(), reach, strict=True)
        }

    def interval(self, level: float = 0.8, **numbers: Any) -> tuple[Any, Any]:
        """Interval that should hold a new run's loss with probability `level`."""
        reach = (
            NormalDist().inv_cdf(0.5 + level / 2) * self.standard_deviation(**numbers) / self.loss(**numbers)
        )
        return self.loss(**numbers) * np.exp(-reach), self.loss(**numbers) * np.exp(reach)


def transfer(
    law: str | Law = DEFAULT,
    runs: Any = None,
    *,
    method: str = "posterior",
    shape_law: str | None = "Gemstones2025",
    name: str = "moved",
) -> Transfer:
    """Move a law to the corpus of some runs.

    Parameters
    ----------
    law : str or Law, optional
        The law to start from. ``posterior`` needs one of the Chinchilla form.
    runs : DataFrame, mapping of columns, or list of rows
        Columns ``params``, ``tokens``, ``loss``, and where known ``unique_tokens``, ``hidden_size``, ``num_hidden_layers``.
    method : str, optional
        ``posterior`` (all constants, held near the law as far as the runs leave them open) or ``affine`` (``L' = s L + o``, for laws of
        any form).
    shape_law : str or None, optional
        With shapes for every run, a law of shape whose effect is fitted along; None to ignore shapes.
    name : str, optional
        Name of the moved law.

    Returns
    -------
    Transfer
        The moved law and its uncertainty.

    Examples
    --------
    >>> n = np.array([1e8, 2e8, 4e8]); d = 20 * n
    >>> runs = {"params": n, "tokens": d, "loss": 1.1 * evaluate(params=n, tokens=d)}
    >>> moved_law = transfer("Besiroglu2024", runs)
    >>> round(float(moved_law.loss(params=4e9, tokens=8e10) / evaluate(params=4e9, tokens=8e10)), 2)
    1.1
    """
    if method not in METHODS:
        raise UnknownNameError(method, kind="method of transfer", names=METHODS)
    found = get(law)
    needed = ("params", "tokens", "loss")
    table = columns(runs, (*needed, "unique_tokens", "hidden_size", "num_hidden_layers"))
    need(table, needed, what="transfer")
    good, lost = left_out(table, needed, positive=True)
    if not np.any(good):
        raise SimulatorError("no run has params, tokens and loss")
    table = {key: column[good] for key, column in table.items()}
    said = (*([lost] if lost else []), *implausible({key: table[key] for key in needed}))
    if not np.any(np.isfinite(table.get("unique_tokens", np.array([np.nan])))):
        table.pop("unique_tokens", None)
    if method == "affine":
        return replace(_affine(found, table, name), warnings=said)
    if not found.terms:
        raise SimulatorError(f"{found.name} is not of the form E + A/N^alpha + B/D^beta: use method='affine'")
    shapes = ("hidden_size", "num_hidden_layers")
    shaped = shape_law is not None and all(k in table and np.all(table[k] > 0) for k in shapes)
    return replace(_posterior(found, table, shape_law if shaped else None, name), warnings=said)


def moved_form(shape_law: str | None) -> Form:
    """Chinchilla's form; with a law of shape, that of `moved`."""
    if shape_law is None:
        return CHINCHILLA
    return Form(
        "moved",
        lambda **numbers: moved(shape_law=shape_law, **numbers),
        ("params", "tokens", "hidden_size", "num_hidden_layers"),
        ("E", "A", "B", "alpha", "beta", "embedding_weight", "shape_weight"),
        f"L = (E + A/Nw^alpha + B/D^beta) r^s, r of {shape_law}",
    )


def _affine_form(law: Law) -> Form:
    return Form(
        f"affine of {law.name}",
        lambda *, scale, offset, **inputs: scale * law(**inputs) + offset,
        law.inputs,
        ("scale", "offset"),
        f"L = scale x {law.name} + offset",
    )


def _constants(theta: Array, center: tuple[float, float], method: str) -> dict[str, Any]:
    """Constants of coordinates, which are along the last axis."""
    part = [theta[..., i] for i in range(theta.shape[-1])]
    if method == "affine":
        return {"scale": np.exp(part[0]), "offset": part[1]}
    out = {
        "E": np.exp(part[0]),
        "A": np.exp(part[1] + part[3] * center[0]),
        "B": np.exp(part[2] + part[4] * center[1]),
        "alpha": part[3],
        "beta": part[4],
    }
    if len(part) > 5:
        out |= {"embedding_weight": part[5], "shape_weight": part[6]}
    return out


def _rescaled(terms: Mapping[str, Any], scale: Any, offset: Any) -> dict[str, Any]:
    """Terms of ``scale x L + offset``; none where the law has none."""
    if not terms:
        return {}
    return dict(terms) | {k: scale * terms[k] for k in "AB"} | {"E": scale * terms["E"] + offset}


def _posterior(law: Law, table: Mapping[str, Array], shape_law: str | None, name: str) -> Transfer:
    terms, form = law.terms, moved_form(shape_law)
    inputs = {k: table[k] for k in form.inputs}
    inputs["tokens"] = fresh_tokens(table)
    center = (float(np.mean(np.log(table["params"]))), float(np.mean(np.log(table["tokens"]))))
    mean, spread = prior(terms, table, center, shaped=shape_law is not None)

    def predicted(theta: Array) -> Array:
        constants = {k: v[..., None] for k, v in _constants(theta, center, "posterior").items()}
        return np.asarray(np.log(form.function(**inputs, **constants)))

    fitted = most_probable(predicted, table, mean, spread)
    constants = {k: float(v) for k, v in _constants(fitted.theta, center, "posterior").items()}
    terms = {k: constants[k] for k in ("E", "A", "B", "alpha", "beta")}
    return _result(law, form, constants, terms, table, fitted, center, name, "posterior")


def _affine(law: Law, table: Mapping[str, Array], name: str) -> Transfer:
    given: dict[str, Any] = {
        k: table[k] for k in (*law.inputs, "params", "tokens", "unique_tokens") if k in table
    }
    base: Array = np.asarray(evaluate(law=law, **given), dtype=np.float64)
    pairs = table["params"] * table["tokens"]
    level = float(np.average(table["loss"] / base, weights=np.sqrt(pairs / np.max(pairs))))
    mean = np.array([np.log(level), 0.0])
    spread = np.array([TERM_WIDTH, TERM_WIDTH * level * float(np.mean(base))])

    def predicted(theta: Array) -> Array:
        return np.log(np.exp(theta[..., :1]) * base + theta[..., 1:2])

    fitted = most_probable(predicted, table, mean, spread)
    constants = {k: float(v) for k, v in _constants(fitted.theta, (0.0, 0.0), "affine").items()}
    terms = _rescaled(law.terms, constants["scale"], constants["offset"])
    return _result(law, _affine_form(law), constants, terms, table, fitted, (0.0, 0.0), name, "affine")


def _result(
    law: Law,
    form: Form,
    constants: dict[str, float],
    terms: dict[str, float],
    table: Mapping[str, Array],
    fitted: Posterior,
    center: tuple[float, float],
    name: str,
    method: str,
) -> Transfer:
    ranges = {k: (float(np.min(table[k])), float(np.max(table[k]))) for k in ("params", "tokens")}
    count = len(table["loss"])
    new = Law(
        name=name,
        form=form,
        constants=constants,
        corpus="that of the runs",
        tokenizer="that of the runs",
        source=f"{law.name} ({law.source}) moved with {count} runs",
        n_convention="that of the runs",
        loss_unit="unit of the runs",
        range=ranges,
        provenance=REFIT,
        terms=terms,
        # The affine fit kept the law's own discount of parameters; the posterior left their worth to the runs.
        discount_params=law.discount_params if method == "affine" else False,
        notes=f"{method}; loss predictions carry the uncertainty that Transfer.interval states",
    )
    return Transfer(
        law=new,
        base=law.name,
        method=method,
        n=count,
        mae=float(np.mean(np.abs(np.exp(fitted.log_predicted) - table["loss"]))),
        largest_compute_flop=6 * float(np.max(table["params"] * table["tokens"])),
        covariance=fitted.covariance,
        coordinates=fitted.theta,
        center=center,
        inflation=fitted.inflation,
    )
