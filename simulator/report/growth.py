"""The growth section: models trained in turn, beside training from scratch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def section(document: Mapping[str, Any]) -> list[str]:
    """Stages, and growth against scratch for each token efficiency."""
    return []
