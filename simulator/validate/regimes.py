"""Regime of each measured row, which decides its interval."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulator import calibrations
from simulator.uncertainty import Regime, regime_of

if TYPE_CHECKING:
    from simulator.validate.cases import Cases


def regimes(cases: Cases, grade: str | None = None) -> list[Regime]:
    """Regime of every row."""
    gpus = cases.layout.tp * cases.layout.pp * cases.layout.dp * cases.layout.cp
    found = []
    for i, keys in enumerate(cases.keys):
        fabric, software = keys["link_latency_s"][0], keys["launch_s"][0]
        found.append(
            regime_of(
                grade=grade or str(cases.grade[i]),
                num_experts=cases.shape.num_experts[i],
                frozen=cases.layout.frozen[i],
                n_gpus=gpus[i],
                link_domain=cases.device.link_domain[i],
                complete=bool(cases.complete[i]),
                software=software if fabric == calibrations.FABRIC else f"{software}+{fabric}",
            )
        )
    return found
