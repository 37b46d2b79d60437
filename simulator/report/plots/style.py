"""Colors, hatches, markers, axes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from simulator.errors import SimulatorError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLORS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442", "#999999")
"""Okabe and Ito's palette."""

HATCHES = ("", "//", "..", "xx", "\\\\", "--", "oo", "++")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
LINES = ("-", "--", "-.", ":")
INK = "#222222"

LABELS = {
    "cost_usd": "cost [USD]",
    "lifetime_cost_usd": "cost with serving [USD]",
    "time_to_train_days": "time [days]",
    "gpu_hours": "accelerator time [h]",
    "energy_mwh": "energy [MWh]",
    "co2e_t": "emissions [t CO2e]",
    "latency_s": "latency of a token [s]",
    "accuracy": "accuracy [-]",
    "n_gpus": "accelerators [-]",
    "loss": "loss [nats/token]",
    "step_time_s": "step time [s]",
    "tokens_per_s_per_gpu": "tokens per second and accelerator [1/s]",
    "mfu": "MFU [-]",
    "usd_per_m_tokens": "cost per million tokens [USD]",
    "memory_gib": "memory [GiB]",
    "params": "parameters [-]",
    "tokens": "tokens [-]",
}
"""Figure of an answer, to the label of its axis."""


def axes(ax: Axes | None, size: tuple[float, float] = (7.0, 4.0)) -> Axes:
    """The axes given, or those of a new figure.

    Raises
    ------
    SimulatorError
        If matplotlib is not installed.
    """
    try:
        import matplotlib.pyplot as plt
    except ImportError:
        raise SimulatorError("plots need matplotlib: pip install trainsim[plot]") from None
    if ax is None:
        _, ax = plt.subplots(figsize=size, layout="constrained")
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def dress(place: int) -> dict[str, Any]:
    """Color and hatch of the bar at a place."""
    turn = len(COLORS)
    return {
        "color": COLORS[place % turn],
        "hatch": HATCHES[(place + place // turn) % turn],
        "edgecolor": INK,
        "linewidth": 0.6,
    }


def label(figure: str) -> str:
    """Label of an axis.

    Examples
    --------
    >>> label("cost_usd"), label("hfu")
    ('cost [USD]', 'hfu')
    """
    return LABELS.get(figure, figure.replace("_", " "))


def nothing(ax: Axes, text: str) -> Axes:
    """Axes that say why they are empty."""
    ax.set_axis_off()
    ax.text(0.5, 0.5, text, ha="center", va="center", transform=ax.transAxes)
    return ax
