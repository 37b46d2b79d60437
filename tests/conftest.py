"""Prices are aged against one day, so that pages stay the same as time goes by."""

from __future__ import annotations

import os

os.environ["TRAINSIM_TODAY"] = "2026-11-21"
