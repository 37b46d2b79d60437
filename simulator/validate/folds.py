"""Which rows are left out together, and what is still known of them once they are."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import numpy as np

from simulator.layout import n_gpus

if TYPE_CHECKING:
    from simulator.validate.cases import Cases

KINDS = ("source", "model", "accelerator", "architecture")
"""What a fold leaves out: all rows of an organisation, of a fifth of the models, of an accelerator, of an architecture."""

FEWEST = 5
"""Sources of fewer rows are left out together, as a stricter test than one at a time. [-]"""

FEWEST_OF_ACCELERATOR = 30
"""The same for accelerators. [-]"""

PARTS = 5
"""Parts into which models are split. [-]"""

GROUP_WEIGHT = 100.0
"""Rows that a group of measurements may count as, at most. A group: one organisation, on one scale-up domain or on
several, which test different constants. [-]"""

ONE_NODE = 8
"""Accelerators of the usual node. [-]"""


def _few_together(names: np.ndarray, fewest: int, together: str) -> np.ndarray:
    """Groups of few rows as one; each on its own where all are of few rows, lest nothing be left outside."""
    found, inverse, counts = np.unique(names.astype(str), return_inverse=True, return_counts=True)
    own = (counts >= fewest) | (counts < fewest).all()
    return np.where(own, found, together)[inverse]


def source_groups(cases: Cases) -> np.ndarray:
    """Source of each row; those with few rows are held out together."""
    return _few_together(cases.source, FEWEST, "(few)")


def model_groups(cases: Cases) -> np.ndarray:
    """Number of the part a row belongs to; all rows of one model of one source share it."""
    names = zip(cases.source, cases.shape.num_hidden_layers, cases.shape.hidden_size, strict=True)
    return np.array([str(zlib.crc32(f"{s}/{int(n)}/{int(h)}".encode()) % PARTS) for s, n, h in names])


def accelerator_groups(cases: Cases) -> np.ndarray:
    """Accelerator of each row; those with few rows are held out together."""
    return _few_together(cases.gpu, FEWEST_OF_ACCELERATOR, "(rare)")


def architecture_groups(cases: Cases) -> np.ndarray:
    """Calibration set of each row's accelerator."""
    return np.array([str(keys["hbm_efficiency"][0]) for keys in cases.keys])


def groups_of(cases: Cases, kind: str) -> np.ndarray:
    """Fold of each row: rows of one fold are left out together.

    Raises
    ------
    KeyError
        If `kind` is none of `KINDS`.
    """
    return {
        "source": source_groups,
        "model": model_groups,
        "accelerator": accelerator_groups,
        "architecture": architecture_groups,
    }[kind](cases)


def grades(cases: Cases, kind: str) -> np.ndarray:
    """Grade of evidence that each row's accelerator has left when its fold is out.

    ``measured`` where other rows of the accelerator remain, ``transferred`` where only its architecture does,
    ``datasheet`` where nothing does.
    """
    groups, chips = groups_of(cases, kind), architecture_groups(cases)
    left = np.array(cases.grade, dtype=object)
    for name in np.unique(groups):
        out = groups == name
        seen = np.isin(cases.gpu[out].astype(str), cases.gpu[~out].astype(str))
        near = np.isin(chips[out], chips[~out])
        left[out] = np.where(near, np.where(seen, left[out], "transferred"), "datasheet")
    return left


def row_weights(cases: Cases) -> np.ndarray:
    """Weight of each row: configurations count once, groups at most `GROUP_WEIGHT` rows, doubtful rows less."""
    weight = np.where(cases.quality == "C", 0.3, 1.0)
    named = cases.config_group != ""
    _, inverse, counts = np.unique(cases.config_group.astype(str), return_inverse=True, return_counts=True)
    weight = weight / np.where(named, counts[inverse], 1)
    weight = weight * np.where(cases.complete, 1.0, 0.3)
    several = n_gpus(cases.layout) > np.maximum(cases.device.link_domain, ONE_NODE)
    groups = np.char.add(cases.source.astype(str), np.where(several, "/several", "/one"))
    for group in np.unique(groups):
        own = groups == group
        weight[own] *= min(1.0, GROUP_WEIGHT / weight[own].sum())
    return np.asarray(np.sqrt(weight))
