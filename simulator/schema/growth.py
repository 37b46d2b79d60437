"""Growing a small trained model into a large one during the run."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from simulator.schema.base import Named, Quantity, Spec, Tokens
from simulator.schema.model import Model

Kappa = Literal["pessimistic", "central", "optimistic"]


class Growth(Spec):
    """How growth may be used."""

    operator: Literal["hypercloning", "stacking", "none"] = "hypercloning"
    """``hypercloning`` doubles widths, ``stacking`` doubles depth, ``none`` forbids growth."""
    max_stages: Annotated[int, Field(ge=1, le=8, strict=True)] = 2
    """Models trained in turn; 2 is one switch."""
    kappa: Kappa | Annotated[float, Field(gt=0, le=10)] | None = None
    """Efficiency of tokens after growth; all three published values if absent. [-]"""
    switch_time: Annotated[float, Field(ge=0, lt=1e30), Quantity("second")] | None = None
    """Time that a switch to the larger model stops training; what one interruption of Llama 3's run cost, 17 min, if absent."""
    source_model: Annotated[Model, Named("models")] | None = None
    """A model that already exists; its training is sunk cost."""
    source_tokens: Tokens | None = None
    """Tokens that the existing model was trained on."""
    source_loss: Annotated[float, Field(gt=0, lt=20)] | None = None
    """Loss that the existing model reached. [nat/token]"""
