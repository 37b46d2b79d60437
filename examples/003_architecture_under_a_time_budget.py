# %% [markdown]
# # An architecture for a time budget
#
# The best model for a budget of FLOP is not the best for a budget of days: shapes differ in the speed that they reach.
# The planner tries shapes, layouts and batches together.

# %%
import simulator as sim
from simulator import curves
from simulator.report import plots

question = {
    "name": "Five days on eight A100s",
    "find": "architecture",
    "hardware": {"accelerator": "a100-sxm-80gb", "n_gpus": 8, "price": "$2/GPU-h"},
    "budget": {"time": "5 days"},
    "training": {"seq_length": 2048},
}
result = sim.run(question)
result

# %% [markdown]
# The U-curve: every size in its own fastest layout until the five days are over. It is flat near its lowest point: laws of
# loss cannot tell the shaded sizes apart, so that other reasons (serving, memory) may decide among them.

# %%
around = curves.around(question, result)
plots.sizes(around["sizes"], answer=result.answer)
print(result.family["text"])

# %% [markdown]
# Lines of equal loss and of equal time. On each line of equal time the best point is where it touches the lowest loss.

# %%
plots.contours(around["sizes"], result.answer["loss_law"], answer=result.answer)

# %% [markdown]
# More days, or fewer.

# %%
plots.frontier(around["frontier"], answer=result.answer)
print(result.explain("binding"))

# %% [markdown]
# What would move the answer, each input over its own 80 % range, and what the matrix products of a layer could reach.

# %%
plots.tornado(around["sensitivity"])
plots.roofline(around["matmuls"], answer=result.answer)

# %% [markdown]
# A model that will serve many tokens should be smaller: the cost of serving joins the budget.

# %%
lifetime = sim.run("inference-heavy").answer
print(f"{lifetime['params'] / 1e9:.1f}B parameters, {lifetime['tokens_per_param']:.0f} tokens per parameter")
