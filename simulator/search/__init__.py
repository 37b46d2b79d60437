"""The planner: every shape with every layout as arrays, under limits of time, money, energy and memory.

`lattice`, `shapes`
    What may be chosen, as arrays on four axes.
`feasibility`, `evaluate`
    What cannot run and why; step time and memory in chunks of bounded size; the lower bound that prunes.
`question`, `translate`, `machines`, `software`, `notes`
    A scenario in numbers, and what was assumed on the way; what a run comes to.
`planner`, `choice`
    The search; ranking, alternatives, layouts of one model.
`answer`, `explain`, `remarks`, `estimate`
    The record of a plan, its reasons, what stands beside it, what to do when nothing fits.
`growing`, `growth_answers`
    The search over schedules that grow a model; their plans and records.
"""
