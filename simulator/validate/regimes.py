"""Regime of each measured row, which decides its interval."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from simulator.uncertainty import Regime, regime_of

if TYPE_CHECKING:
    from simulator.validate.cases import Cases


def formats(cases: Cases) -> np.ndarray:
    """Width class of the format of every row's matmuls: ``32``, ``16``, ``8`` or ``4``."""
    return np.array([keys["tile_efficiency"][1].rpartition("_")[2] for keys in cases.keys], dtype=str)


def regimes(cases: Cases, grade: str | np.ndarray | None = None, *, seen: bool | None = None) -> list[Regime]:
    """Regime of every row.

    Parameters
    ----------
    cases : Cases
        The rows.
    grade : str or array, optional
        Grade of evidence, of all rows or of each; that of its accelerator if absent.
    seen : bool, optional
        Whether the constants were fitted to other runs of the same organisation; as the sets say if absent.
    """
    gpus = cases.layout.tp * cases.layout.pp * cases.layout.dp * cases.layout.cp
    grades = np.broadcast_to(np.asarray(cases.grade if grade is None else grade, dtype=object), len(cases))
    known = np.broadcast_to(cases.seen if seen is None else np.asarray(seen), len(cases))
    found, widths = [], formats(cases)
    for i, keys in enumerate(cases.keys):
        sets = tuple(keys[name][0] for name in ("hbm_efficiency", "link_latency_s", "launch_s"))
        found.append(
            regime_of(
                grade=str(grades[i]),
                sets=sets,
                seen=bool(known[i]),
                num_experts=cases.shape.num_experts[i],
                frozen=cases.layout.frozen[i],
                n_gpus=gpus[i],
                link_domain=cases.device.link_domain[i],
                complete=bool(cases.complete[i]),
                bits=str(widths[i]),
            )
        )
    return found
