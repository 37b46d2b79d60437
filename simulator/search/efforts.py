"""How finely a search looks: everything, or a coarser lattice whose answer comes at once."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from simulator.errors import UnknownNameError
from simulator.growth.schedule import LEVELS
from simulator.search import lattice
from simulator.search.question import Question
from simulator.transformer import Shape

GROWTH_TARGETS = 120
"""Models that growth may end in; those with the lowest bound on their loss from scratch."""

PREVIEW_WIDTHS = np.outer(2.0 ** np.arange(8, 15), (1.0, 1.25, 1.5)).ravel()
"""Widths of a preview: a power of two, or that and a quarter or a half more. [-]"""

PREVIEW_DEPTHS = np.array([4, 6, 8, 12, 16, 20, 24, 32, 40, 48, 64, 80, 96, 128, 160], dtype=float)
"""Depths of a preview. [layers]"""


@dataclass(frozen=True)
class Effort:
    """What a search tries, and what it tells beside the answer."""

    name: str
    all_shapes: bool = True
    """Every shape of `shapes.candidates`; else those of `PREVIEW_WIDTHS` and `PREVIEW_DEPTHS` with grouped heads."""
    interleave: bool = True
    """Virtual pipeline stages, where the software has them."""
    growth_targets: int = GROWTH_TARGETS
    growth_levels: int = LEVELS
    """Losses at which a switch may be made."""
    beside: bool = True
    """Alternatives, family and robustness."""

    @property
    def coarse(self) -> bool:
        """Whether something is left out that could be the answer."""
        return not (self.all_shapes and self.interleave)

    def shapes(self, candidates: Shape) -> Shape:
        """Of these shapes the ones that are tried."""
        if self.all_shapes or lattice.count(candidates) < 2:
            return candidates
        keep = np.isin(candidates.hidden_size, PREVIEW_WIDTHS)
        keep &= np.isin(candidates.num_hidden_layers, PREVIEW_DEPTHS)
        grouped = np.asarray(candidates.num_key_value_heads) < np.asarray(candidates.num_attention_heads)
        if np.any(grouped & keep):
            keep = keep & grouped
        # A scenario that lists sizes of its own has few of them: all are tried.
        return candidates.take(np.flatnonzero(keep)) if np.any(keep) else candidates

    def told(self, plans: int) -> str:
        """What has to be said about an answer that is not the whole search's."""
        return (
            f"the best of {plans:,} plans on a coarse lattice; the search over all of them may find one of another size, "
            "as a rule within the resolution of the laws of loss"
        )

    def question(self, question: Question) -> Question:
        """The question with the layouts that are tried."""
        if self.beside and self.interleave:
            return question
        alternatives = question.max_alternatives if self.beside else 0
        return replace(
            question, interleave=question.interleave and self.interleave, max_alternatives=alternatives
        )


EFFORTS: dict[str, Effort] = {
    "full": Effort("full"),
    "preview": Effort(
        "preview", all_shapes=False, interleave=False, growth_targets=8, growth_levels=40, beside=False
    ),
}
"""By name. ``preview`` is for sliders: docs/serve.md says how far it is from ``full``."""


def get(name: str) -> Effort:
    """An effort by name.

    Raises
    ------
    UnknownNameError
        If there is none.
    """
    if name not in EFFORTS:
        raise UnknownNameError(name, kind="effort", names=EFFORTS)
    return EFFORTS[name]
