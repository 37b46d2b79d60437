"""Published growth experiments as they are printed, and what they leave unsaid.

A `Case` is a row of ``measurements/growth.csv``: sizes, tokens, the published saving, and the three facts without
which savings cannot be compared: what was matched (loss, tokens, a metric), in what they are counted (FLOP, tokens,
wall-clock), and whether the source model was charged.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from simulator.errors import SpecError

FACTOR = 2.0
"""Growth in parameters where none is stated."""

NAMED_SIZES = {
    "bert": {"small": 35e6, "base": 110e6, "large": 335e6},
    "roberta": {"small": 45e6, "base": 125e6, "large": 355e6},
    "gpt": {"base": 117e6, "medium": 345e6, "large": 774e6},
    "deit": {"s": 22e6, "b": 86e6},
    "cait": {"xs": 26.6e6, "s": 46.9e6},
}
"""Parameters of models that tables name by size: BERT (arXiv:1810.04805; small is LiGO's 6 layers of 512), RoBERTa
(arXiv:1907.11692), GPT-2, DeiT (arXiv:2012.12877), CaiT (arXiv:2103.17239)."""


@dataclass(frozen=True)
class Case:
    """One published experiment: a row of ``measurements/growth.csv``; ``nan`` where a number is not stated."""

    id: str
    method: str
    family: str
    source_params: float
    source_width: float
    source_layers: float
    params: float
    width: float
    layers: float
    source_tokens: float
    tokens: float
    """The column ``tgt_tokens``: tokens of the scratch run or after growth, as `metric` says."""
    metric: str
    scratch_value: str
    grown_value: str
    saving: float
    """Published saving as a share; ``nan`` if none was published. [-]"""
    match: str
    basis: str
    charged: str
    """``yes``, ``no`` or ``unknown``."""
    notes: str
    source: str

    @property
    def paper(self) -> str:
        """Key of the paper: its arXiv id, or the start of its citation."""
        found = re.search(r"\d{4}\.\d{4,5}", self.source)
        return found.group() if found else re.split(r"[;(]", self.source)[0].strip()

    @property
    def text(self) -> str:
        """Method and metric in lower case."""
        return f"{self.method} | {self.metric}".lower()


LARGEST = 1e25
"""Number above which a cell cannot be meant; it is read as missing."""


def number(text: str | None) -> float:
    """Read a number, ``nan`` if there is none.

    Examples
    --------
    >>> number("2.0e12"), number("5099 steps"), number("")
    (2000000000000.0, nan, nan)
    """
    try:
        read = float(text or "nan")
    except ValueError:
        return float("nan")
    return read if abs(read) < LARGEST else float("nan")


def case(row: Mapping[str, str]) -> Case:
    """Build a `Case` from a row of the table (every cell text)."""
    notes = row.get("notes") or ""
    facts = {key: value.strip() for key, value in re.findall(r"\b(match|basis|src_charged)=([^;]*)", notes)}
    saving, speedup = number(row.get("saving_pct")) / 100, number(row.get("speedup"))
    if np.isnan(saving) and speedup > 0:
        saving = 1 - 1 / speedup
    return Case(
        id=row.get("id") or "",
        method=row.get("method") or "",
        family=row.get("family") or "",
        source_params=number(row.get("src_params")),
        source_width=number(row.get("src_d_model")),
        source_layers=number(row.get("src_layers")),
        params=number(row.get("tgt_params")),
        width=number(row.get("tgt_d_model")),
        layers=number(row.get("tgt_layers")),
        source_tokens=number(row.get("src_tokens")),
        tokens=number(row.get("tgt_tokens")),
        metric=row.get("metric") or "",
        scratch_value=row.get("scratch_value") or "",
        grown_value=row.get("grown_value") or "",
        saving=saving,
        match=facts.get("match", "none"),
        basis=facts.get("basis", "flops"),
        charged=facts.get("src_charged", "unknown"),
        notes=row.get("notes") or "",
        source=row.get("source") or "",
    )


NEEDED = ("id", "method", "saving_pct", "notes")
"""Columns without which a table is not one of growth experiments."""


def read_cases(path: str | Path) -> list[Case]:
    """Read a table of published growth experiments.

    Raises
    ------
    SpecError
        If the file is missing, is not CSV, or lacks `NEEDED` columns.
    """
    try:
        with Path(path).open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            missing = [name for name in NEEDED if name not in (reader.fieldnames or ())]
            if missing:
                raise SpecError(
                    f"{path}: missing columns {', '.join(missing)}; see docs/validation.md for the format"
                )
            return [case(row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SpecError(f"{path}: cannot be read as CSV ({error})") from None


# --- what a case leaves unsaid --------------------------------------------------------------------------------------


def is_encoder(one: Case) -> bool:
    """Whether the case is an encoder or a vision model trained to a metric."""
    return bool(re.search(r"bert|vit|deit|cait|t5|electra|swin|resnet", one.family.lower()))


def sizes(one: Case) -> tuple[float, float]:
    """Parameters of source and target, completed from layers and width, from names, or from a factor in the text.

    Examples
    --------
    >>> bert = case({"method": "LiGO (Base->Large)", "family": "BERT"})
    >>> sizes(bert)
    (110000000.0, 335000000.0)
    """
    small, large = one.source_params, one.params
    named = _named_sizes(one)
    small = named[0] if np.isnan(small) else small
    large = named[1] if np.isnan(large) else large
    shapes = (_blocks(one.source_layers, one.source_width), _blocks(one.layers, one.width))
    if np.isnan(large) and not np.isnan(small):
        large = small * _stated_factor(one, shapes)
    if np.isnan(small) and not np.isnan(large):
        small = large / _stated_factor(one, shapes)
    return small, large


def _blocks(layers: float, width: float) -> float:
    """Parameters of the blocks of a transformer, ``12 L d^2``."""
    return 12 * layers * width**2


def _named_sizes(one: Case) -> tuple[float, float]:
    family = one.family.lower()
    key = next((name for name in ("roberta", "bert", "gpt", "deit", "cait") if name in family), "")
    arrow = re.search(r"\b(\w+)\s*->\s*(\w+)\b", one.method.lower())
    table = NAMED_SIZES.get(key, {})
    if arrow:
        return table.get(arrow.group(1), float("nan")), table.get(arrow.group(2), float("nan"))
    if key == "deit":
        return table["s"], table["b"]
    small = 35e6 if key == "bert" and one.source_width == 512 and one.source_layers == 6 else float("nan")
    large = next((value for name, value in table.items() if name in family.split()), float("nan"))
    return small, large


def _stated_factor(one: Case, shapes: tuple[float, float]) -> float:
    """Growth in parameters: from layers and widths, else from ``x4`` in the text, else `FACTOR`."""
    if shapes[1] > shapes[0] > 0:
        embedding = 30_000.0
        small, large = (
            blocks + embedding * width
            for blocks, width in zip(shapes, (one.source_width, one.width), strict=True)
        )
        return large / small
    if one.layers > one.source_layers > 0:
        return one.layers / one.source_layers
    found = re.search(r"\bx\s?(\d+(?:\.\d+)?)|(\d+(?:\.\d+)?)x\b", one.method.lower())
    if not found:
        return FACTOR
    factor = float(found.group(1) or found.group(2))
    return factor**2 if "width" in one.text and "depth" not in one.text else factor
