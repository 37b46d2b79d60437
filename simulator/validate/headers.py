"""The head of a table of measurements: what separates its cells, which columns are read, and what others were meant to be.

A column that nothing reads is no mistake (a table may hold more than is needed), but a misspelt one changes what is predicted,
so each is named once, with the column that was meant.
"""

from __future__ import annotations

import codecs
import re
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simulator.errors import SpecError, nearest
from simulator.schema.synonyms import FIELDS
from simulator.validate.profiles import is_known
from simulator.validate.rows import OPTIONAL, REQUIRED

if TYPE_CHECKING:
    import pandas as pd

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

NAMED_FRAMEWORKS = 5
"""Unknown frameworks that are named one by one. [-]"""


def dialect(path: Path) -> dict[str, Any]:
    """How a table is written, as arguments of ``pandas.read_csv``; nothing for plain CSV.

    Semicolons and tabs are recognised by the first line, or named by Excel's leading ``sep=;``. Where semicolons separate
    cells, a comma is the decimal mark. UTF-16, Excel's *Unicode text*, is recognised by its first two bytes.
    """
    try:
        with path.open("rb") as file:
            wide = file.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
        encoding = {"encoding": "utf-16"} if wide else {}
        with path.open(encoding=encoding.get("encoding", "utf-8-sig"), newline="") as file:
            first = file.readline(LONGEST_HEAD)
    except (OSError, UnicodeError):
        return {}
    named = re.fullmatch(r'"?sep=(.)"?\s*', first, re.IGNORECASE | re.DOTALL)
    if named:
        return {"sep": named[1], "skiprows": 1, **_decimal(named[1]), **encoding}
    mark = max(",;\t", key=first.count)
    return encoding if mark == "," else {"sep": mark, **_decimal(mark), **encoding}


def read_table(path: Path, **options: Any) -> pd.DataFrame:
    """A table of measurements in any of the ways of writing that `dialect` knows; spaces around the names of columns are dropped.

    Parameters
    ----------
    path : Path
        The file.
    **options
        More arguments of ``pandas.read_csv``.

    Raises
    ------
    SpecError
        If there is no such file, or it is no table; one sentence says why.
    """
    import pandas as pd

    if not path.is_file():
        raise SpecError(f"{path}: {'a folder' if path.is_dir() else 'no such file'}")
    if said := _no_text(path):
        raise SpecError(f"{path}: not a CSV table: {said}")
    how = {"low_memory": False, **dialect(path), **options}
    try:
        frame: pd.DataFrame = pd.read_csv(path, **how)
        if len(frame) and not isinstance(frame.index, pd.RangeIndex):
            frame = _with_longer_rows(path, frame, how)
    except UnicodeError:
        raise SpecError(f"{path}: not a CSV table: its text is not in UTF-8; save it as CSV UTF-8") from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError, ValueError) as error:
        raise SpecError(f"{path}: not a CSV table: {str(error).splitlines()[0]}") from None
    frame.columns = _plain(frame.columns)
    return frame


def _with_longer_rows(path: Path, frame: pd.DataFrame, how: dict[str, Any]) -> pd.DataFrame:
    """A table whose rows have more cells than its first line: read again if nothing is in them, as where each ends in a comma."""
    import pandas as pd

    if frame.index.nlevels > 1 or not frame.iloc[:, -1].isna().all():
        raise SpecError(
            f"{path}: not a CSV table: its rows have more cells than its first line names columns"
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pd.errors.ParserWarning)
        again: pd.DataFrame = pd.read_csv(path, index_col=False, **how)
    return again


def _no_text(path: Path) -> str:
    """Why a file cannot hold a table, by its first bytes; empty if it may."""
    with path.open("rb") as file:
        start = file.read(LONGEST_HEAD)
    if start.startswith(b"PK\x03\x04"):
        return "an Excel workbook or an archive; save the sheet as CSV UTF-8"
    if b"\0" in start and not start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "it holds bytes that are no text; save it as CSV UTF-8"
    return ""


def _plain(columns: Iterable[Any]) -> list[str]:
    """Names of columns without space around them, unless that would make two of one name."""
    names = [str(name) for name in columns]
    plain = [name.strip() for name in names]
    return plain if len(set(plain)) == len(set(names)) else names


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
    try:
        columns = read_table(path, nrows=0).columns
    except SpecError:
        return ""
    found = unread(columns)
    return f"{path}: not read: {', '.join(found)}" if found else ""


def remark_on_frameworks(path: Path) -> str:
    """One sentence on the frameworks of a table that nobody knows; empty if all are known, or if it is no table."""
    try:
        frame = read_table(path)
    except SpecError:
        return ""
    if "framework" not in frame.columns:
        return ""
    counted = frame["framework"].dropna().astype(str).str.strip().value_counts()
    unknown = {str(name)[:40]: int(rows) for name, rows in counted.items() if not is_known(name)}
    if not unknown:
        return ""
    said = [f"{name} ({rows:,} row{'' if rows == 1 else 's'})" for name, rows in unknown.items()]
    more = len(said) - NAMED_FRAMEWORKS
    listed = ", ".join(said[:NAMED_FRAMEWORKS]) + (f" and {more:,} more" if more > 0 else "")
    return f"{path}: no known word in framework, taken for a current Megatron-Core stack: {listed}"
