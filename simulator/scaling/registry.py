"""Every law under its name."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain
from typing import TYPE_CHECKING

from simulator.errors import UnknownNameError

from . import (
    chinchilla,
    compute,
    data,
    domains,
    finetuning,
    kaplan,
    moe,
    observational,
    overtraining,
    precision,
    quality,
    samples,
    schedule,
    shape,
    width,
)
from .law import Form, Law

if TYPE_CHECKING:
    from simulator.schema.law import OwnLaw

DEFAULT = "Besiroglu2024"
"""Law used when none is named."""


class Laws(dict[str, Law]):
    """Laws by name; a name that is not there is answered with the nearest ones."""

    def __missing__(self, name: str) -> Law:
        raise UnknownNameError(str(name), kind="scaling law", names=list(self))


def _by_name(groups: Iterable[Iterable[Law]]) -> Laws:
    return Laws((law.name, law) for law in chain.from_iterable(groups))


laws: dict[str, Law] = _by_name(
    family.LAWS
    for family in (
        chinchilla,
        data,
        overtraining,
        kaplan,
        shape,
        compute,
        domains,
        width,
        moe,
        precision,
        schedule,
        finetuning,
        quality,
        samples,
        observational,
    )
)
"""Every law under its name."""

forms: dict[str, Form] = {law.form.name: law.form for law in laws.values()}
"""Every form that can be fitted, under its name."""


def get(name: str | Law | OwnLaw) -> Law:
    """A law by name, registered or of one's own (see `simulator.scaling.own`); a `Law` is returned as it is.

    Raises
    ------
    UnknownNameError
        With the nearest names.

    Examples
    --------
    >>> get("Hoffmann2022").constants["alpha"]
    0.33917
    """
    if isinstance(name, Law):
        return name
    if isinstance(name, str) and name in laws:
        return laws[name]
    from . import own

    return own.get(name)
