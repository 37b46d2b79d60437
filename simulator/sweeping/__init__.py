"""One scenario over a grid of values: answered in chunks, on any executor, and resumable at any moment.

`points` turns axes into points, `answers` answers them, `store` keeps what is finished, `running` hands chunks out.
"""

from __future__ import annotations

from simulator.sweeping.points import Axis, axis_of
from simulator.sweeping.running import Progress, Sweep, sweep

__all__ = ["Axis", "Progress", "Sweep", "axis_of", "sweep"]
