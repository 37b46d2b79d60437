# %% [markdown]
# # Comparing hardware
#
# One model, one number of tokens, several accelerators: what each takes, costs, and how sure that is.

# %%
import simulator as sim

comparison = sim.compare("compare-hardware")
comparison.frame[
    ["rank", "accelerator", "n_gpus", "time_to_train_days", "cost_usd", "mfu", "pareto", "evidence", "why"]
]

# %% [markdown]
# Cheapest is not fastest. `pareto` marks the rows that no other beats in loss, time and cost at once; the lines on the bars
# are 80 % intervals, wide where the evidence is a datasheet.

# %%
comparison.plot("cost_usd")
comparison.plot("time_to_train_days")

# %% [markdown]
# Other numbers of accelerators, by name or as entries of a scenario with their own price.

# %%
sizes = sim.compare("compare-hardware", ["h100-sxm-80gb:32", "h100-sxm-80gb:64", "h100-sxm-80gb:128"])
for row in sizes.rows:
    print(
        f"{row['n_gpus']:4} x {row['accelerator']}: {row['time_to_train_days']:.2f} days, MFU {row['mfu']:.3f}"
    )

# %% [markdown]
# Any field can vary beside the hardware. Every row has its intervals, its price with provider and date, and the reason why
# it lost.

# %%
budgets = sim.compare(
    "quickstart", ["h100-sxm-80gb:64", "b200-sxm-180gb:64"], vary={"budget.time": ["5 days", "10 days"]}
)
budgets.plot("loss")
budgets

# %% [markdown]
# Why they differ: the step by level of the copies, for the first and the last.

# %%
first, last = comparison.results[0], comparison.results[-1]
first.plot("breakdown").set_title(first.answer["accelerator"])
last.plot("breakdown").set_title(last.answer["accelerator"])

# %% [markdown]
# A price of your own changes the ranking, not the times.

# %%
ours = sim.compare(
    "compare-hardware",
    [
        {"accelerator": "h100-sxm-80gb", "n_gpus": 64, "price": "$1.40/GPU-h"},
        {"accelerator": "mi300x-oam-192gb", "n_gpus": 64, "price": "$2.00/GPU-h"},
    ],
)
print(ours)
