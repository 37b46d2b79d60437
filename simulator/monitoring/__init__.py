"""A run in progress beside its prediction: logs of training programs, and whether they are on track."""

from __future__ import annotations

from simulator.monitoring.logs import Log, Point, read_log
from simulator.monitoring.verdict import judge

__all__ = ["Log", "Point", "judge", "read_log"]
