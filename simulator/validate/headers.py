"""The head of a table of measurements: what separates its cells, which columns are read, and what others were meant to be.

A column that nothing reads is no mistake (a table may hold more than is needed), but a misspelt one changes what is predicted,
so each is named once, with the column that was meant.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from simulator.errors import nearest
from simulator.schema.synonyms import FIELDS
from simulator.validate.rows import OPTIONAL, REQUIRED

KNOWN = (*REQUIRED, "measured_value", *OPTIONAL)
"""Columns of a table of step times."""

COLUMN_OF = {
    "num_hidden_layers": "n_layers",
    "hidden_size": "d_model",
    "intermediate_size": "d_ff",
    "num_attention_heads": "n_heads",
    "num_key_value_heads": "n_kv_heads",
    "vocab_size": "vocab",
    "num_experts": "moe_experts",
    "num_experts_per_tok": "moe_topk",
    "moe_intermediate_size": "moe_d_ff",
    "seq_length": "seq_len",
    "micro_batch_size": "micro_batch",
    "global_batch_size": "global_batch_seqs",
    "gradient_accumulation_steps": "grad_accum",
    "tokens": "total_tokens",
    "recompute": "act_ckpt",
    "flash_attention": "flash_attn",
    "sequence_parallel": "seq_parallel",
    "vp": "vpp",
    "accelerator": "gpu",
    "accelerators_per_node": "gpus_per_node",
    "network_bandwidth": "interconnect",
    "parameters": "params_B",
    "software": "framework",
    "model": "model_name",
    "step_time": "measured_value",
}
"""Field of a scenario, to the column of the same meaning."""

LONGEST_HEAD = 100_000
"""Characters of a first line that are looked at. [-]"""


def dialect(path: Path) -> dict[str, Any]:
    """How a table is written, as arguments of ``pandas.read_csv``; nothing for plain CSV.

    Semicolons and tabs are recognised by the first line, or named by Excel's leading ``sep=;``. Where semicolons separate
    cells, a comma is the decimal mark.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            first = file.readline(LONGEST_HEAD)
    except (OSError, UnicodeDecodeError):
        return {}
    named = re.fullmatch(r'"?sep=(.)"?\s*', first, re.IGNORECASE | re.DOTALL)
    if named:
        return {"sep": named[1], "skiprows": 1, **_decimal(named[1])}
    mark = max(",;\t", key=first.count)
    return {} if mark == "," else {"sep": mark, **_decimal(mark)}


def _decimal(mark: str) -> dict[str, str]:
    return {"decimal": ","} if mark == ";" else {}


def meant(name: str, names: Sequence[str] = KNOWN) -> str | None:
    """The column that a name stands for elsewhere, or that it resembles; none if nothing is near.

    Examples
    --------
    >>> meant("num_hidden_layers"), meant("zero"), meant("micro_batch_size"), meant("colour")
    ('n_layers', 'zero_stage', 'micro_batch', None)
    """
    plain = re.sub(r"[\s-]+", "_", name.strip().lower())
    field = FIELDS.get(plain, plain)
    for each in (plain, COLUMN_OF.get(plain), field, COLUMN_OF.get(field)):
        if each in names:
            return each
    near = nearest(name, names, count=1)
    return near[0] if near else None


def missing(columns: Iterable[str], required: Sequence[str]) -> str:
    """Required columns that a table lacks, each with the column that seems to be meant; empty if it has all."""
    present = [str(name) for name in columns]
    known = set(required) | set(KNOWN)
    spelt = {meant(name, required): name for name in reversed(present) if name not in known}
    lacking = [name for name in required if name not in present]
    return ", ".join(f"{name} (is it {spelt[name]}?)" if name in spelt else name for name in lacking)


def unread(columns: Iterable[str]) -> list[str]:
    """Columns of a table of step times that nothing reads, each with the one that seems to be meant.

    Examples
    --------
    >>> unread(["gpu", "micro_batch_size", "colour"])
    ['micro_batch_size (did you mean micro_batch?)', 'colour']
    """
    present = [str(name) for name in columns]
    found = []
    for name in present:
        if name in KNOWN or name.startswith("Unnamed: "):
            continue
        likely = meant(name)
        hint = f" (did you mean {likely}?)" if likely and likely not in present else ""
        found.append(f"{name}{hint}")
    return found


def remark(path: Path) -> str:
    """One sentence on the columns of a table that nothing reads; empty if there are none, or if it is no table."""
    import pandas as pd

    try:
        columns = pd.read_csv(path, nrows=0, **dialect(path)).columns
    except (OSError, ValueError):
        return ""
    found = unread(columns)
    return f"{path}: not read: {', '.join(found)}" if found else ""
