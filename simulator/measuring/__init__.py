"""Measuring the machine that this program runs on: bandwidth, matrix products, attention, launches, training steps.

`chain.run` is what ``trainsim measure`` calls. PyTorch is loaded there and nowhere else; everything that does not touch a
device works and is tested without it.
"""

from __future__ import annotations
