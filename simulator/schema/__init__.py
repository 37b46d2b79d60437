"""What a user writes: one frozen class per noun, and the functions that load them."""

from __future__ import annotations

from simulator.schema.accelerator import Accelerator, HostLink, Link, Network, PeakFlops
from simulator.schema.base import Rent, Spec
from simulator.schema.budget import Budget, Inference
from simulator.schema.cluster import Cluster
from simulator.schema.growth import Growth
from simulator.schema.hardware import Hardware
from simulator.schema.law import OwnLaw
from simulator.schema.load import (
    load_accelerator,
    load_cluster,
    load_model,
    load_price_book,
    load_scenario,
    load_spec,
)
from simulator.schema.model import Model
from simulator.schema.ownership import Ownership
from simulator.schema.parallelism import Parallelism
from simulator.schema.price import PriceBook, PriceChoice, PriceEntry
from simulator.schema.quotes import Quote, quote, quotes
from simulator.schema.reliability import Reliability
from simulator.schema.requirement import Require
from simulator.schema.scenario import Scenario, Search
from simulator.schema.training import Training

__all__ = [
    "Accelerator",
    "Budget",
    "Cluster",
    "Growth",
    "Hardware",
    "HostLink",
    "Inference",
    "Link",
    "Model",
    "Network",
    "OwnLaw",
    "Ownership",
    "Parallelism",
    "PeakFlops",
    "PriceBook",
    "PriceChoice",
    "PriceEntry",
    "Quote",
    "Reliability",
    "Rent",
    "Require",
    "Scenario",
    "Search",
    "Spec",
    "Training",
    "load_accelerator",
    "load_cluster",
    "load_model",
    "load_price_book",
    "load_scenario",
    "load_spec",
    "quote",
    "quotes",
]
