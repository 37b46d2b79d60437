"""The text below each field of a specification, which describes it in schemas, messages and pages.

It is read from the source when it is asked for: most commands never do, and reading it takes longer than making the classes.
"""

from __future__ import annotations

import ast
import functools
import inspect
import textwrap
from itertools import pairwise


@functools.cache
def texts_of(cls: type) -> dict[str, str]:
    """Text below each field of a class and of those that it extends, by name.

    Examples
    --------
    >>> from simulator.schema.base import Rent
    >>> texts_of(Rent)["usd"]
    'Amount. [USD]'
    """
    found: dict[str, str] = {}
    for each in reversed(cls.__mro__):
        if each.__module__.startswith(__name__.partition(".")[0]):
            found |= _own(each)
    return found


def _own(cls: type) -> dict[str, str]:
    """Texts that stand in the body of a class itself."""
    (written,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
    body = written.body if isinstance(written, ast.ClassDef) else []
    return {
        field.target.id: inspect.cleandoc(below.value.value)
        for field, below in pairwise(body)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant)
        if isinstance(below.value.value, str)
    }
