"""Sets of accelerators that nobody has measured, made when a user's own table holds runs on them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from simulator import calibrations
from simulator.calibrate.priors import CONSTANTS_OF, prior_of
from simulator.validate.usual import accelerator_of

if TYPE_CHECKING:
    from simulator.schema import Accelerator
    from simulator.schema.calibration import Calibration
    from simulator.validate.cases import Cases


def own_sets(cases: Cases, known: dict[str, Calibration]) -> dict[str, Calibration]:
    """A set for every accelerator of the rows that no published run was made on.

    It starts from the set that the accelerator would take, its architecture's or the generic one, and leaves that as it is
    for all other parts. An architecture without a set gets one of its own name, which its other parts take too; a part of
    a measured architecture gets one of its id.

    Parameters
    ----------
    cases : Cases
        Rows, read with the sets that ship.
    known : dict
        The sets that ship.

    Returns
    -------
    dict
        New sets by id, each named after what it applies to.
    """
    found: dict[str, Calibration] = {}
    for gpu in sorted(set(cases.gpu.tolist())):
        accelerator = accelerator_of({"gpu": gpu})
        base = calibrations.accelerator_set(accelerator, known)
        if accelerator.id is None or (accelerator.measured and base != calibrations.GENERIC):
            continue
        name, applies = _name(accelerator, base)
        earlier = found[name].applies_to if name in found else ()
        applies_to = tuple(dict.fromkeys((*earlier, *applies)))
        found[name] = _started(known[base], base).with_(id=name, applies_to=applies_to)
    return found


def _name(accelerator: Accelerator, base: str) -> tuple[str, tuple[str, ...]]:
    """Id of the set of an unmeasured accelerator, and what it applies to."""
    part, architecture = str(accelerator.id), (accelerator.architecture or "").lower()
    name = re.sub(r"[^a-z0-9._-]+", "-", architecture).strip("._-")
    if base == calibrations.GENERIC and name:
        return name, (architecture, part)
    return part, (part,)


def _started(base: Calibration, name: str) -> Calibration:
    """A set with every constant of an accelerator, the prior's where it lacks one."""
    from simulator.schema.calibration import Constant

    lacking = {
        each: Constant(value=prior_of((name, each)).value)
        for each in CONSTANTS_OF["accelerator"]
        if each not in base.constants
    }
    return base.with_(constants={**base.constants, **lacking})
