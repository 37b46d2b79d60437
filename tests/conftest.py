"""Pages stay the same as time goes by, and in every terminal."""

from __future__ import annotations

import os

os.environ["TRAINSIM_TODAY"] = "2026-11-21"
# Pages are as wide as on paper, whatever terminal the tests run in.
os.environ["COLUMNS"] = "100"
