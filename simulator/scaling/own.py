"""Laws of one's own: the equation of a registered law with other constants, from a file of ``laws/`` or a scenario.

`fit` and `transfer` give such constants; `data_of` is what is written of them, `law_of` what is read. The file states the runs that
they were fitted to, so that an answer can say where its loss comes from and whether the plan lies inside of the runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from simulator import library
from simulator.errors import Problem, SimulatorError, SpecError, UnknownNameError, nearest

from .evaluate import REFERENCE_ASPECT
from .fitting import Fit
from .law import OWN, Form, Law, Spread
from .moving import Transfer, moved_form
from .overtraining import chinchilla_terms
from .registry import forms, laws

if TYPE_CHECKING:
    from simulator.schema.law import OwnLaw

TERMS: dict[str, Callable[..., dict[str, float]]] = {
    "chinchilla": lambda **constants: constants,
    "gadre": chinchilla_terms,
    "muennighoff": lambda RD, RN, **terms: terms,
    "moved": lambda embedding_weight, shape_weight, **terms: terms,
}
"""Form, to what turns its constants into ``E A B alpha beta``; other forms have no such terms."""

TYPICAL = {
    "params": 1e9,
    "non_embedding_params": 9e8,
    "tokens": 2e10,
    "unique_tokens": 2e10,
    "compute_flop": 1.2e20,
    "hidden_size": 2048.0,
    "num_hidden_layers": 16.0,
}
"""Where a law without a range must give a loss."""


def get(law: str | OwnLaw) -> Law:
    """A law of one's own, by the name of its file or as read from it.

    Raises
    ------
    UnknownNameError
        With the nearest names, registered ones among them.
    SpecError
        If its constants are not those of its equation.
    """
    from simulator.schema.law import own_law

    if not isinstance(law, str):
        return law_of(law)
    found = own_law(law)
    if found is None:
        raise UnknownNameError(law, kind="scaling law", names=[*laws, *library.names("laws")])
    return law_of(found)


def every() -> dict[str, Law]:
    """Laws of one's own by name: each file of ``laws/`` that can be read.

    Examples
    --------
    >>> set(every()) & set(laws)
    set()
    """
    found = {}
    for name in library.names("laws"):
        try:
            found[name] = get(name)
        except SimulatorError:
            continue
    return found


def law_of(own: OwnLaw) -> Law:
    """The law that a specification means.

    Parameters
    ----------
    own : OwnLaw
        Equation, constants, range, errors.

    Returns
    -------
    Law
        Counting parameters and discounting repeats as the law whose equation it takes. Where the specification has no errors of the
        constants, they are those of that law, in proportion.

    Raises
    ------
    SpecError
        If the constants are not those of the equation, or give no loss.

    Examples
    --------
    >>> from simulator.schema import OwnLaw
    >>> own = OwnLaw(law="Hoffmann2022", constants={"E": 1.8, "A": 406, "B": 411, "alpha": 0.34, "beta": 0.285})
    >>> round(float(law_of(own)(params=1e9, tokens=2e10)), 3)
    2.63
    """
    base, form = _base(own.law)
    if own.id and library.normalise(own.id) in map(library.normalise, laws):
        raise _wrong("id", f"{own.id} is the name of a published law", "rename the file")
    constants = _constants(own, base, form)
    _check_keys("range", own.range, {*form.inputs, "params", "tokens"})
    _check_keys("uncertainty", own.uncertainty, form.parameters)
    given = Law(
        name=own.label,
        form=form,
        constants=constants,
        corpus=own.corpus,
        tokenizer=own.tokenizer,
        source=own.source or "constants of the scenario",
        n_convention="that of the runs",
        loss_unit="unit of the runs",
        range=own.range,
        uncertainty=own.uncertainty,
        error=own.error,
        provenance=OWN,
        notes=own.notes or "",
        terms=TERMS[form.name](**constants) if form.name in TERMS else {},
        discount_params=True if own.discount_params is None else own.discount_params,
    )
    law = given if base is None else _like(base, given, own)
    _check_gives_a_loss(law)
    return law


def _base(name: str) -> tuple[Law | None, Form]:
    """The law, where it is one, and the form whose equation is taken."""
    if name in laws:
        return laws[name], laws[name].form
    known = {**forms, "moved": moved_form("Gemstones2025")}
    if name not in known:
        near = nearest(name, [*laws, *known])
        hint = f"did you mean {' or '.join(near)}?" if near else "trainsim laws list has them"
        raise _wrong("law", f"no scaling law named {name[:80]!r}", hint)
    return None, known[name]


def _like(base: Law, law: Law, own: OwnLaw) -> Law:
    """What a law takes over from the one whose equation it has."""
    uncertainty = law.uncertainty or {
        key: _scaled(spread, law.constants[key] / base.constants[key])
        for key, spread in base.uncertainty.items()
        if base.constants[key]
    }
    return replace(
        law,
        quantity=base.quantity,
        loss_unit=base.loss_unit,
        n_convention=base.n_convention,
        chooses_tokens=base.chooses_tokens,
        uncertainty=uncertainty,
        discount_params=base.discount_params if own.discount_params is None else own.discount_params,
    )


def _scaled(spread: Spread, ratio: float) -> Spread:
    """An error in proportion to another value of its constant."""
    if isinstance(spread, tuple):
        low, high = sorted(end * ratio for end in spread)
        return low, high
    return spread * abs(ratio)


def _constants(own: OwnLaw, base: Law | None, form: Form) -> dict[str, float]:
    """The constants in the order of the form: all of them, no other, and none that turns a power around."""
    _check_keys("constants", own.constants, form.parameters)
    missing = [key for key in form.parameters if key not in own.constants]
    if missing:
        has = {} if base is None else base.constants
        hint = ", ".join(f"{key}: {has[key]:.6g}" for key in missing if key in has)
        verb = "is" if len(missing) == 1 else "are"
        raise _wrong(
            "constants", f"{', '.join(missing)} {verb} missing", f"{own.law} has {hint}" if hint else ""
        )
    signs = {term.scale: 1 for term in form.powers} | {term.exponent: term.sign for term in form.powers}
    for key, sign in signs.items():
        if not own.constants[key] * sign > 0:
            reason = f"{own.constants[key]:g} would make the loss rise with size or data"
            raise _wrong(f"constants.{key}", reason, f"it must be {'above' if sign > 0 else 'below'} zero")
    return {key: own.constants[key] for key in form.parameters}


def _check_keys(field: str, given: Mapping[str, Any], known: Any) -> None:
    for key in given:
        if key not in known:
            raise _wrong(f"{field}.{key}", "is not in the equation", "it has " + ", ".join(sorted(known)))


def _check_gives_a_loss(law: Law) -> None:
    """See that the loss is a positive number in the middle of the range, or at a model of a billion parameters."""
    middle = {key: float(np.sqrt(low * high)) for key, (low, high) in law.range.items()}
    point = {**TYPICAL, **middle}
    if not set(law.inputs) <= set(point):
        return
    with np.errstate(all="ignore"):
        value = float(law(**{key: point[key] for key in law.inputs}))
    if not 0 < value < float("inf"):
        where = ", ".join(f"{key} {point[key]:.3g}" for key in law.inputs)
        raise _wrong("constants", f"they give a loss of {value:.3g} at {where}", "check their units")


def _wrong(path: str, reason: str, hint: str = "") -> SpecError:
    return SpecError(Problem(reason, path=f"law.{path}", hint=hint))


def _error(found: Fit | Transfer) -> list[list[Any]]:
    """Compute and half the 80 % interval at 1 to 1,000 times the largest runs, size and tokens growing alike."""
    ends = found.law.range
    if not {"params", "tokens"} <= set(ends) or (isinstance(found, Fit) and not len(found.draws)):
        return []
    n, d = (float(ends[key][1]) for key in ("params", "tokens"))
    out = []
    for factor in (1, 10, 100, 1000):
        point = {"params": n * factor**0.5, "tokens": d * factor**0.5}
        point |= typical_shape(point["params"]) if found.law.sees_shape else {}
        if not set(found.law.inputs) <= set(point):
            return []
        low, high = found.interval(0.8, **point)
        share = float(np.log(high / low)) / 2 if low > 0 else float("nan")
        if np.isfinite(share) and share > 0:
            out.append([f"{6 * n * d * factor:.4g} FLOP", float(f"{min(share, 1.0):.3g}")])
    return out


def typical_shape(params: float) -> dict[str, float]:
    """Width and depth of a model whose width is 70 times its depth.

    Examples
    --------
    >>> {k: round(v) for k, v in typical_shape(1e9).items()}
    {'hidden_size': 1800, 'num_hidden_layers': 26}
    """
    width = float(np.cbrt(REFERENCE_ASPECT * params / 12))
    return {"hidden_size": width, "num_hidden_layers": width / REFERENCE_ASPECT}


def data_of(found: Fit | Transfer, *, origin: str, source: str) -> dict[str, Any]:
    """What is written of a fit, or of a law that was moved.

    Parameters
    ----------
    found : Fit or Transfer
        The constants with their errors.
    origin : str
        Law or form that was fitted.
    source : str
        Where the runs are from.

    Returns
    -------
    dict
        Fields of `simulator.schema.OwnLaw`: 95 % intervals are those of the bootstraps, or of the posterior.

    Raises
    ------
    SimulatorError
        If the law was moved by ``affine``, which is no equation with constants.

    Examples
    --------
    >>> n = np.geomspace(1e8, 1e9, 4); d = 20 * n
    >>> runs = {"params": n, "tokens": d, "loss": 1.1 * laws["Besiroglu2024"](params=n, tokens=d)}
    >>> from simulator.scaling import transfer
    >>> data_of(transfer("Besiroglu2024", runs), origin="Besiroglu2024", source="mine.csv")["range"]
    {'params': [100000000.0, 1000000000.0], 'tokens': [2000000000.0, 20000000000.0]}
    """
    data: dict[str, Any] = {"law": origin}
    if isinstance(found, Transfer):
        if found.method == "affine":
            raise SimulatorError(
                "a law moved by an affine map has no constants of its own: use method='posterior'"
            )
        data["law"] = found.law.form.name
    data["constants"] = {key: float(f"{value:.6g}") for key, value in found.law.constants.items()}
    data["range"] = {k: [low, high] for k, (low, high) in found.law.range.items() if low > 0}
    intervals = {
        key: [float(f"{end:.4g}") for end in ends]
        for key, ends in found.intervals.items()
        if np.all(np.isfinite(ends)) and ends[0] < ends[1]
    }
    if intervals:
        data["uncertainty"] = intervals
    if error := _error(found):
        data["error"] = error
    data |= {"corpus": found.law.corpus, "tokenizer": found.law.tokenizer}
    if isinstance(found, Transfer):
        data["discount_params"] = found.law.discount_params
    return {**data, "source": f"{found.law.source}: {source}"}
