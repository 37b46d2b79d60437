"""Loss of a plan under a named law, and the laws that claim to know it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from simulator.errors import SimulatorError, UnknownNameError

from . import chinchilla, data
from .law import Law, Numeric, Power
from .registry import DEFAULT, get, laws

REFERENCE_ASPECT = 70.0
"""Width over depth that a law without shape stands for: Chinchilla's models have 51 to 90 (arXiv:2203.15556, Table A4). [-]"""

REFERENCE_MLP_ATTENTION = 2.0
"""Feed-forward over attention parameters of the same models: 8 w^2 over 4 w^2. [-]"""


def shape_correction(
    *,
    shape_law: str | Law,
    params: Numeric,
    tokens: Numeric | None = None,
    hidden_size: Numeric,
    num_hidden_layers: Numeric,
    non_embedding_params: Numeric | None = None,
    mlp_attention_ratio: Numeric | None = None,
) -> Numeric:
    """Loss of a shape over the loss of a typical shape of the same size, by a law that sees shape.

    Parameters
    ----------
    shape_law : str or Law
        ``Gemstones2025``, ``Bian2025a``, ``Bian2025b`` or a relative.
    params : numeric
        Parameters. [-]
    tokens : numeric, optional
        Tokens; not used by ``Bian2025b``. [tokens]
    hidden_size, num_hidden_layers : numeric
        Width and depth. [-]
    non_embedding_params : numeric, optional
        Parameters without embeddings; twelve width^2 depth if absent. [-]
    mlp_attention_ratio : numeric, optional
        Feed-forward over attention parameters, for ``Bian2025b``. [-]

    Returns
    -------
    numeric
        Factor on the loss, below one for a shape better than the typical. [-]

    Notes
    -----
    The typical shape has a width of 70 times its depth and as many parameters outside the embeddings.

    Examples
    --------
    >>> round(float(shape_correction(shape_law="Bian2025a", params=1e9, tokens=2e10, hidden_size=2048, num_hidden_layers=16)), 4)
    1.0069
    """
    law = get(shape_law)
    if not law.sees_shape:
        sees = [name for name, other in laws.items() if other.sees_shape]
        raise UnknownNameError(law.name, kind="law of shape", names=sees, suggestions=sees[:3])
    width, depth = np.asarray(hidden_size, dtype=float), np.asarray(num_hidden_layers, dtype=float)
    inside = (
        12 * depth * width**2
        if non_embedding_params is None
        else np.asarray(non_embedding_params, dtype=float)
    )
    typical_width = np.cbrt(REFERENCE_ASPECT * inside / 12)
    ratio = REFERENCE_MLP_ATTENTION if mlp_attention_ratio is None else mlp_attention_ratio
    both: dict[str, Any] = {"params": params, "tokens": tokens, "non_embedding_params": inside}
    here = law(**both, hidden_size=width, num_hidden_layers=depth, mlp_attention_ratio=ratio)
    typical = law(
        **both,
        hidden_size=typical_width,
        num_hidden_layers=typical_width / REFERENCE_ASPECT,
        mlp_attention_ratio=REFERENCE_MLP_ATTENTION,
    )
    return here / typical


SIZES = {"hidden_size": 1 / 3, "num_hidden_layers": 1 / 3, "params": 1.0, "non_embedding_params": 1.0}
"""Inputs of a law that grow with the size of a model of unchanged shape, to the power with which they do."""

NEWTON = 12
"""Steps at most, far more than are needed: the exponents of a law lie within a factor of a few of each other. [-]"""


def shape_size(
    *,
    shape_law: str | Law,
    params: Numeric,
    hidden_size: Numeric,
    num_hidden_layers: Numeric,
    non_embedding_params: Numeric | None = None,
) -> Numeric:
    r"""Size of the usual shape that is as good as a shape, over the size of that shape. [-]

    For laws that see size only: a model that is too wide or too deep counts as a smaller one of `REFERENCE_ASPECT`.

    Parameters
    ----------
    shape_law : str or Law
        A law whose loss is a sum of powers of width, depth, size and tokens. [-]
    params, hidden_size, num_hidden_layers, non_embedding_params : numeric
        As of `shape_correction`.

    Returns
    -------
    numeric
        One where the law is of another form, whose terms do not part shape from tokens.

    Notes
    -----
    The s that solves, with :math:`w_0 = 70\,d_0` of the same size,

    .. math:: c_w w^{-a_w} + c_d d^{-a_d} + c_p N^{-a_p} = c_w (s^{1/3} w_0)^{-a_w} + c_d (s^{1/3} d_0)^{-a_d} + c_p (s N)^{-a_p}

    by Newton's method in the logarithms, in which the right side is convex. Tokens drop out, so s is a number of the shape alone.
    It is as uncertain as the difference that the law sees between shapes, and an extrapolation beyond 2B parameters.

    Examples
    --------
    >>> sizes = {"params": 14.3e9, "non_embedding_params": 13.9e9}
    >>> [round(float(shape_size(shape_law="Gemstones2025", hidden_size=w, num_hidden_layers=d, **sizes)), 2)
    ...  for w, d in ((6656, 26), (4352, 62), (2048, 276))]
    [0.68, 1.01, 0.84]
    """
    law = get(shape_law)
    powers = [power for power in law.form.powers if power.input in SIZES and not power.point]
    if not law.sees_shape or not powers:
        return np.ones(np.broadcast_shapes(np.shape(params), np.shape(hidden_size)))[()]
    width, depth = np.asarray(hidden_size, dtype=float), np.asarray(num_hidden_layers, dtype=float)
    inside = 12 * depth * width**2 if non_embedding_params is None else np.asarray(non_embedding_params)
    usual = np.cbrt(REFERENCE_ASPECT * inside / 12)
    both: dict[str, Any] = {"params": params, "non_embedding_params": inside}
    here = both | {"hidden_size": width, "num_hidden_layers": depth}
    there = both | {"hidden_size": usual, "num_hidden_layers": usual / REFERENCE_ASPECT}
    return np.exp(_same_sum(law, powers, here, there))


def _same_sum(law: Law, powers: Sequence[Power], here: dict[str, Any], there: dict[str, Any]) -> Numeric:
    """Logarithm of the size at which terms of a law there sum to what they are here."""

    def terms(values: dict[str, Any]) -> list[Any]:
        rates = [power.sign * law.constants[power.exponent] for power in powers]
        return [
            law.constants[power.scale] * np.asarray(values[power.input], dtype=float) ** -rate
            for power, rate in zip(powers, rates, strict=True)
        ]

    slopes = [SIZES[power.input] * power.sign * law.constants[power.exponent] for power in powers]
    wanted, parts = np.log(sum(terms(here))), terms(there)
    size = 0.0 * wanted
    for _ in range(NEWTON):
        now = [part * np.exp(-slope * size) for part, slope in zip(parts, slopes, strict=True)]
        slope_now = sum(slope * each for slope, each in zip(slopes, now, strict=True)) / sum(now)
        size = size + (np.log(sum(now)) - wanted) / slope_now
    return size


def _check_names(law: Law, given: dict[str, Any]) -> None:
    """See that every input is one that this law or another has."""
    known = sorted({name for other in (law, *laws.values()) for name in other.inputs})
    for name in given:
        if name not in known:
            raise UnknownNameError(name, kind="input of a law", names=known)


def _check_sizes(**given: Any) -> None:
    """See that sizes are numbers and none of them is negative; at zero a law says what it tends to."""
    for name, value in given.items():
        try:
            wrong = value is not None and np.any(np.asarray(value, dtype=float) < 0)
        except (TypeError, ValueError):
            raise SimulatorError(f"{name}: expected numbers such as 7e9, not {value!r}") from None
        if wrong:
            raise SimulatorError(f"{name}: expected numbers of at least zero")


def loss(
    *,
    law: str | Law = DEFAULT,
    params: Numeric,
    tokens: Numeric,
    unique_tokens: Numeric | None = None,
    non_embedding_params: Numeric | None = None,
    hidden_size: Numeric | None = None,
    num_hidden_layers: Numeric | None = None,
    mlp_attention_ratio: Numeric | None = None,
    shape_law: str | Law | None = None,
    **other: Any,
) -> Numeric:
    """Loss of a model of `params` after `tokens` tokens, under a named law.

    Parameters
    ----------
    law : str or Law, optional
        A key of `laws`.
    params : numeric
        Parameters, embeddings included. [-]
    tokens : numeric
        Tokens processed. [tokens]
    unique_tokens : numeric, optional
        Distinct tokens in the corpus; tokens beyond them are repeats and worth less. Not-a-number for unlimited. [tokens]
    non_embedding_params : numeric, optional
        For laws that count so; estimated from `params` by `data.non_embedding_params` if absent. [-]
    hidden_size, num_hidden_layers, mlp_attention_ratio : numeric, optional
        Shape, for `shape_law` and for laws that see shape. [-]
    shape_law : str or Law, optional
        A law of shape whose ratio multiplies the loss (see `shape_correction`).
    **other
        Further inputs of the law, such as ``granularity``; inputs of other laws are ignored.

    Returns
    -------
    numeric
        Loss in the law's own unit. [nats/token]

    Raises
    ------
    UnknownNameError
        If there is no such law, or if no law has an input of that name.
    SimulatorError
        If the law gives something else than a loss, or sees shape and is given a law of shape too; if a size is negative.

    Notes
    -----
    Losses of two laws are losses on two corpora with two tokenizers: compare plans under one law, never laws on one plan.

    Examples
    --------
    >>> round(float(loss(params=7e9, tokens=2e12)), 3)
    2.065
    >>> float(loss(params=7e9, tokens=2e12, unique_tokens=2e12)) == float(loss(params=7e9, tokens=2e12))
    True
    """
    found = get(law)
    if found.quantity != "loss":
        raise SimulatorError(f"{found.name} gives {found.quantity}, not a loss")
    _check_names(found, other)
    _check_sizes(params=params, tokens=tokens, unique_tokens=unique_tokens)
    found, n, d, unique = _repeats(found, params, tokens, unique_tokens)
    inside = non_embedding_params
    if inside is None and "non_embedding_params" in found.inputs:
        inside = data.non_embedding_params(params=n)
    if "compute_flop" in found.inputs:
        other = {"compute_flop": 6 * np.asarray(n, dtype=float) * d, **other}
    value = found(
        params=n,
        tokens=d,
        unique_tokens=unique,
        non_embedding_params=inside,
        hidden_size=hidden_size,
        num_hidden_layers=num_hidden_layers,
        **other,
    )
    if shape_law is None:
        return value
    if found.sees_shape:
        raise SimulatorError(f"{found.name} sees width and depth itself; leave shape_law out")
    if hidden_size is None or num_hidden_layers is None:
        raise SimulatorError("a law of shape needs hidden_size and num_hidden_layers")
    factor = shape_correction(
        shape_law=shape_law,
        params=params,
        tokens=tokens,
        hidden_size=hidden_size,
        num_hidden_layers=num_hidden_layers,
        non_embedding_params=non_embedding_params,
        mlp_attention_ratio=mlp_attention_ratio,
    )
    return value * factor


def _repeats(
    law: Law, params: Numeric, tokens: Numeric, unique_tokens: Numeric | None
) -> tuple[Law, Numeric, Numeric, Numeric | None]:
    """The law, and what it is given for parameters, tokens and unique tokens where data repeat.

    A law that sees unique tokens counts repeats itself, and is Chinchilla's form on unlimited data; for any other, repeated tokens
    (and what parameters make of them) are discounted before.
    """
    if "unique_tokens" not in law.inputs:
        if unique_tokens is None:
            return law, params, tokens, None
        terms = law.terms if law.discount_params else None
        n, d = data.repeated(params=params, tokens=tokens, unique_tokens=unique_tokens, terms=terms)
        return law, n, d, unique_tokens
    unique = np.asarray(tokens if unique_tokens is None else unique_tokens, dtype=float)
    if unique_tokens is None:
        law = replace(law, form=chinchilla.CHINCHILLA, constants=law.terms)
    return law, params, tokens, np.where(np.isnan(unique), np.inf, unique)


def methods(
    params: Numeric | None = None, tokens: Numeric | None = None, *, check_range: bool = True, **numbers: Any
) -> list[str]:
    """Names of the laws of loss that apply to a point.

    Parameters
    ----------
    params, tokens : numeric, optional
        Size and tokens; with arrays, a law must cover every point. [-], [tokens]
    check_range : bool, optional
        Keep only laws whose data cover the point; otherwise every law that these inputs suffice for.
    **numbers
        Further inputs at hand: ``unique_tokens``, ``hidden_size``, ``num_hidden_layers`` and so on.

    Returns
    -------
    list of str
        Names, in the order of the registry.

    Examples
    --------
    >>> "Besiroglu2024" in methods(1e9, 2e10)
    True
    >>> methods(1e13, 1e15)
    []
    """
    given = {"params": params, "tokens": tokens, **numbers}
    if params is not None:
        given.setdefault("non_embedding_params", data.non_embedding_params(params=params))
        if tokens is not None:
            given.setdefault("compute_flop", 6 * np.asarray(params, dtype=float) * tokens)
            given.setdefault("unique_tokens", tokens)
    known = {name for name, value in given.items() if value is not None}
    found = []
    for name, law in laws.items():
        if law.quantity != "loss" or not law.has_constants or not set(law.inputs) <= known:
            continue
        if check_range and (not law.range or not np.all(law.in_range(**given))):
            continue
        found.append(name)
    return found
