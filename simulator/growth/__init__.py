"""Growing a small model into a larger one: what it does to the shape, what it is worth, and when to do it.

`operators`
    Functions from a shape to a larger shape, by name, with what they preserve.
`effects`
    What they do to parameters, FLOP and copies.
`weights`
    The same operators on arrays of weights.
`warm_start`
    What a trained source is worth to its target: credit, token efficiency, optimal switch loss.
`rules`
    Published rules of when and how far to grow, under their authors' names.
`schedule`
    The exact optimum of several stages under a budget, by dynamic programming.
`evidence`
    What token efficiency the published cases imply.

>>> from simulator import growth
>>> sorted(growth.OPERATORS)[:3]
['bert2bert_aki', 'bert2bert_fpi', 'compound']
"""

from __future__ import annotations

from simulator.growth.effects import Effect, effect
from simulator.growth.operators import OPERATORS, Operator, links
from simulator.growth.planning import KAPPA, LEAST_SOURCE_SHARE, GrowthAnswer, GrowthPlan, best_schedule, plan
from simulator.growth.problem import Schedule, Stage, SunkSource
from simulator.growth.rules import RULES

__all__ = [
    "KAPPA",
    "LEAST_SOURCE_SHARE",
    "OPERATORS",
    "RULES",
    "Effect",
    "GrowthAnswer",
    "GrowthPlan",
    "Operator",
    "Schedule",
    "Stage",
    "SunkSource",
    "best_schedule",
    "effect",
    "links",
    "plan",
]
