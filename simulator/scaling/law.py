"""What a scaling law is: an equation, its constants, and where both came from.

A *form* is an equation with letters for constants. A *law* is a form with numbers for the letters, fitted by somebody on some
corpus with some tokenizer over some range. A law whose numbers are not public is kept as a form to fit, and says so when called.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from simulator.errors import SimulatorError

Numeric: TypeAlias = Any
"""A scalar or an array of floats; every formula of this package takes either."""

Array: TypeAlias = "NDArray[np.float64]"
"""An array of floats."""

Spread: TypeAlias = "float | tuple[float, float]"
"""A standard error, or the two ends of a 95 % interval."""

PRINTED = "printed"
REFIT = "refit"
FORM = "form"
OWN = "own"


def _no_numbers() -> Mapping[str, Any]:
    return MappingProxyType({})


@dataclass(frozen=True)
class Power:
    """One term of a sum of powers: ``scale * input^-exponent``, or ``(scale / input)^exponent``.

    Parameters
    ----------
    scale, input, exponent : str
        Names of the factor, of the input and of the exponent.
    point : bool, optional
        Whether the scale is a value of the input, as in ``(scale / input)^exponent``.
    sign : int, optional
        Minus one where the exponent is printed with its sign, as in ``a N^b`` with negative b.
    """

    scale: str
    input: str
    exponent: str
    point: bool = False
    sign: int = 1


@dataclass(frozen=True)
class Form:
    """An equation whose constants have no values yet.

    Parameters
    ----------
    name : str
        The name by which `fit` knows it.
    function : callable
        A pure function of keyword numbers: the inputs and the constants.
    inputs : tuple of str
        Names of the inputs, each an argument of `function`.
    parameters : tuple of str
        Names of the constants, each an argument of `function`.
    equation : str
        The equation as one line of text.
    powers : tuple of Power, optional
        The terms, where the form is a floor plus a sum of powers; such forms are fitted with exact gradients.
    floor : str, optional
        Name of the floor of such a form.
    starts : mapping, optional
        Lowest and highest value from which a fit starts, for every other form.
    linear : bool, optional
        Whether residuals are differences rather than differences of logarithms, as for accuracies.
    """

    name: str
    function: Callable[..., Any]
    inputs: tuple[str, ...]
    parameters: tuple[str, ...]
    equation: str
    powers: tuple[Power, ...] = ()
    floor: str = ""
    starts: Mapping[str, tuple[float, float]] = field(default_factory=_no_numbers)
    linear: bool = False


@dataclass(frozen=True)
class Law:
    """A form with its constants, its corpus, its range and its source.

    Parameters
    ----------
    name : str
        Author and year, for instance ``Besiroglu2024``.
    form : Form
        The equation.
    constants : mapping
        Value of each constant; empty for a form to fit.
    corpus, tokenizer : str
        What the loss was measured on. Losses of two laws with different entries here are not comparable.
    n_convention : str
        ``total``, ``non_embedding`` or ``none``: which parameters the law counts.
    loss_unit : str
        Unit of what the law returns, ``nats/token`` for most.
    range : mapping
        Lowest and highest value of each input in the data behind the law.
    source : str
        arXiv identifier or URL.
    uncertainty : mapping
        Standard error, or 95 % interval, of a constant where published.
    provenance : str
        ``printed`` (as published), ``refit`` (fitted from public data), ``form`` (no public constants) or ``own`` (from a
        file of one's own, or a scenario).
    notes : str
        What a user must know before trusting it.
    quantity : str
        What is returned: ``loss``, ``correction``, ``batch``, ``accuracy`` and so on.
    terms : mapping
        ``E A B alpha beta`` where the law is of the Chinchilla form in parameters and tokens; empty otherwise, as of laws that
        see width and depth.
    chooses_tokens : bool
        Whether the law may say how many tokens a parameter should get, or only what a given number of them yields.
    discount_params : bool
        Whether repeated data discount parameters in excess as well as tokens (see `simulator.scaling.data`).
    error : tuple of pairs
        Compute, and half the 80 % interval of the loss there as a share of it, where a fit states them. [FLOP], [-]
    """

    name: str
    form: Form
    constants: Mapping[str, float]
    corpus: str
    tokenizer: str
    source: str
    n_convention: str = "total"
    loss_unit: str = "nats/token"
    range: Mapping[str, tuple[float, float]] = field(default_factory=_no_numbers)
    uncertainty: Mapping[str, Spread] = field(default_factory=_no_numbers)
    provenance: str = PRINTED
    notes: str = ""
    quantity: str = "loss"
    terms: Mapping[str, float] = field(default_factory=_no_numbers)
    discount_params: bool = True
    chooses_tokens: bool = True
    error: tuple[tuple[float, float], ...] = ()

    def __post_init__(self) -> None:
        for name in ("constants", "range", "uncertainty", "terms"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the inputs."""
        return self.form.inputs

    @property
    def sees_shape(self) -> bool:
        """Whether width and depth are inputs."""
        return "hidden_size" in self.inputs

    @property
    def equation(self) -> str:
        """The equation as one line of text."""
        return self.form.equation

    @property
    def has_constants(self) -> bool:
        """Whether the law can be evaluated, or must be fitted first."""
        return self.provenance != FORM

    def __call__(self, **numbers: Any) -> Any:
        """Evaluate the law at its inputs, scalars or arrays."""
        if not self.has_constants:
            raise SimulatorError(
                f"{self.name} has no public constants: fit it to your runs with "
                f"simulator.scaling.fit(runs, law={self.name!r}, target=...) (columns {', '.join(self.inputs)} and the "
                f"target, what it predicts). {self.notes}".rstrip()
            )
        missing = [name for name in self.inputs if numbers.get(name) is None]
        if missing:
            raise SimulatorError(f"{self.name} needs {', '.join(missing)}")
        return self.form.function(**{name: numbers[name] for name in self.inputs}, **self.constants)

    def loss(self, **numbers: Any) -> Any:
        """Evaluate the law; the name used for laws of the loss."""
        return self(**numbers)

    def error_at(self, compute_flop: Numeric) -> Numeric:
        """Half the 80 % interval of the loss as a share of it, between the compute that the law states; zero if it states none.

        Parameters
        ----------
        compute_flop : numeric
            Compute of the run, ``6 N D``. [FLOP]

        Returns
        -------
        numeric
            Share; beyond the last stated compute it grows as between the last two. [-]

        Examples
        --------
        >>> form = Form("flat", lambda *, E: E, (), ("E",), "L = E")
        >>> law = Law("mine", form, {"E": 2.0}, "c", "t", "s", error=((1e20, 0.01), (1e21, 0.02)))
        >>> [round(float(law.error_at(c)), 3) for c in (1e19, 10**20.5, 1e22)]
        [0.01, 0.015, 0.03]
        """
        x = np.asarray(compute_flop, dtype=float)
        if not self.error:
            return np.zeros_like(x)[()]
        compute, share = np.log(np.array(self.error).T[0]), np.array(self.error).T[1]
        inside = np.interp(np.log(x), compute, share)
        if len(share) < 2:
            return inside
        rise = max((share[-1] - share[-2]) / (compute[-1] - compute[-2]), 0.0)
        return inside + rise * np.maximum(np.log(x) - compute[-1], 0.0)

    def in_range(self, **numbers: Any) -> Any:
        """Whether each point lies inside the range of every input that the law states.

        Returns
        -------
        bool or array of bool
            True where all given inputs are inside.
        """
        inside: Any = True
        for name, (low, high) in self.range.items():
            if numbers.get(name) is not None:
                value = np.asarray(numbers[name], dtype=float)
                inside = inside & ((value >= low) & (value <= high))
        return inside if isinstance(inside, bool) or np.ndim(inside) else bool(inside)
