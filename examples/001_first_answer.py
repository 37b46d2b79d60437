# %% [markdown]
# # A first answer
#
# Ten days on 64 H100s: which model, how many tokens, which layout, what does it cost, what loss?
# Needs `pip install trainsim[plot]` for the figures.

# %%
import simulator as sim

result = sim.run("quickstart")
result  # one line; in a notebook, tables

# %% [markdown]
# Every figure has an interval. The budget is fixed here, so tokens and loss are uncertain, not the time.

# %%
answer = result.answer
for figure in ("step_time_s", "tokens", "loss", "cost_usd"):
    low, high = answer["interval"][figure]
    print(f"{figure:12} {low:12,.4g} to {high:12,.4g}   point {answer[figure]:,.4g}")

# %% [markdown]
# Each figure says how it came about and where its numbers are from.

# %%
print(result.explain("cost_usd"))
print(result.explain("binding"))

# %% [markdown]
# Where the time of a step goes, and what fills the memory.

# %%
result.plot("breakdown")
result.plot("memory")

# %% [markdown]
# The plans that lost, and why.

# %%
result.frame[["rank", "params", "tokens", "tp", "pp", "step_time_s", "loss", "why"]]

# %% [markdown]
# The same question with another budget. `set` takes what `--set` takes on the command line.

# %%
for days in (5, 10, 20):
    longer = sim.run("quickstart", set=[f"budget.time={days} days"]).answer
    print(
        f"{days:2} days: {longer['params'] / 1e9:5.1f}B on {longer['tokens'] / 1e9:4.0f}B tokens, loss {longer['loss']:.3f}"
    )
