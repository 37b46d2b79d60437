"""The planner: every shape with every layout as arrays, under limits of time, money, energy and memory.

`lattice`, `shapes`
    What may be chosen, as arrays on four axes.
`feasibility`, `evaluate`
    What cannot run and why; step time and memory in chunks of bounded size; the lower bound that prunes.
`question`, `translate`
    A scenario in numbers; what a run comes to.
`planner`, `choice`
    The search; ranking, alternatives, layouts of one model.
`answer`, `explain`, `estimate`, `growing`
    The record of a plan, its reasons, what to do when nothing fits, growth.
"""
