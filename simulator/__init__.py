"""trainsim: what training a language model costs, before the money is spent.

>>> import simulator as sim
>>> sim.parse_quantity("80 GB", "byte")
80000000000.0

Names are loaded when first used, so that importing the package stays quick.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from simulator.errors import InfeasibleError, SimulatorError, SpecError, UnknownNameError

if TYPE_CHECKING:
    from simulator.comparison import Comparison, compare
    from simulator.report.calls import diff, validated, watch
    from simulator.result import Result
    from simulator.scaling import laws
    from simulator.schema import (
        Accelerator,
        Cluster,
        Model,
        Scenario,
        load_accelerator,
        load_model,
        load_scenario,
    )
    from simulator.simulate import run, step_time
    from simulator.sweeping import sweep
    from simulator.units import format_quantity, parse_quantity

# Public name to the module that holds it.
_HOMES = {
    "Accelerator": "simulator.schema",
    "Cluster": "simulator.schema",
    "Comparison": "simulator.comparison",
    "Model": "simulator.schema",
    "Result": "simulator.result",
    "Scenario": "simulator.schema",
    "compare": "simulator.comparison",
    "diff": "simulator.report.calls",
    "format_quantity": "simulator.units",
    "laws": "simulator.scaling",
    "load_accelerator": "simulator.schema",
    "load_model": "simulator.schema",
    "load_scenario": "simulator.schema",
    "parse_quantity": "simulator.units",
    "run": "simulator.simulate",
    "step_time": "simulator.simulate",
    "sweep": "simulator.sweeping",
    "validated": "simulator.report.calls",
    "watch": "simulator.report.calls",
}

__all__ = [
    "Accelerator",
    "Cluster",
    "Comparison",
    "InfeasibleError",
    "Model",
    "Result",
    "Scenario",
    "SimulatorError",
    "SpecError",
    "UnknownNameError",
    "__version__",
    "compare",
    "diff",
    "format_quantity",
    "laws",
    "load_accelerator",
    "load_model",
    "load_scenario",
    "parse_quantity",
    "run",
    "step_time",
    "sweep",
    "validated",
    "watch",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import PackageNotFoundError, version

        try:
            return version("trainsim")
        except PackageNotFoundError:
            return "0+unknown"
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'simulator' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
