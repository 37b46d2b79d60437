"""Step time of one plan by level; asked for often, computed once."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from simulator.device import Constants, Device
    from simulator.layout import Layout
    from simulator.search.question import Machine
    from simulator.search.table import Plan
    from simulator.transformer import Shape


def breakdown(plan: Plan, machine: Machine) -> dict[str, float]:
    """Step time by level; the rows sum to the step time. [s]"""
    setting = machine.setting
    return dict(_levels(setting.clock, plan.shape, plan.layout, setting.device, setting.constants))


@functools.lru_cache(maxsize=256)
def _levels(
    clock: Callable[..., dict[str, float]], shape: Shape, layout: Layout, device: Device, constants: Constants
) -> tuple[tuple[str, float], ...]:
    levels = clock(shape, layout, device, constants)
    return tuple((name, float(value)) for name, value in levels.items())


forget = _levels.cache_clear
"""Forget every plan: what a timing of whole questions calls first."""
