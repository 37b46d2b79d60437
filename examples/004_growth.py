# %% [markdown]
# # Grow, or train from scratch
#
# Train a small model, double its width without changing what it computes, train on. Whether that pays depends on kappa:
# what a token is worth after the switch, relative to a model trained from scratch. Published experiments disagree, so the
# answer is given for three values.

# %%
import simulator as sim
from simulator import curves
from simulator.report import plots

result = sim.run("growth")
for name, case in result.growth["cases"].items():
    print(
        f"{name:12} kappa {case['kappa']:.2f}: loss {case['loss']:.4f} against {case['loss_scratch']:.4f}; {case['verdict']}"
    )

# %% [markdown]
# The stages of the answer, each in its own fastest layout, above training from scratch.

# %%
result.plot("growth")
for stage in result.stages:
    print(
        f"stage {stage['stage']}: {stage['params'] / 1e9:.2f}B, {stage['tokens'] / 1e9:.1f}B tokens, {stage['time_days']:.2f} days"
    )

# %% [markdown]
# Loss in time. The grown model is ahead from the switch on; the gap at the end is the gain.

# %%
plots.growth(curves.growth("growth", result))

# %% [markdown]
# The break-even: growth pays above this kappa.

# %%
central = result.growth["cases"]["central"]
print(
    f"break-even kappa {central['break_even_kappa']:.3f}; at {central['kappa']} it saves {central['saving']:.1%} of the budget"
)

# %% [markdown]
# With more time the large model is no longer short of tokens, and what growth saves changes.

# %%
for days in (2, 5, 20):
    case = sim.run("growth", set=[f"budget.time={days} days"]).growth["cases"]["central"]
    print(f"{days:2} days: gain {case['loss_gain']:+.4f} nats/token, saving {case['saving']:.1%}")
