"""The tables of a set of measurements: appended to row by row, so that a run that was killed goes on."""

from __future__ import annotations

import csv
import io
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from simulator.errors import Problem, SpecError
from simulator.measuring.machine import Machine
from simulator.measuring.operations import OPERATIONS
from simulator.measuring.plan import Micro, Step
from simulator.measuring.timing import Timing

MICRO_COLUMNS = tuple("gpu op shape_or_size dtype n_gpus measured_value unit source notes".split())
"""Columns of ``measurements/micro.csv``."""

STEP_COLUMNS = tuple(
    """id source source_ref framework gpu n_gpus gpus_per_node interconnect precision model_name params_B n_layers d_model
    n_heads n_kv_heads d_ff mlp_type vocab moe_experts moe_topk moe_d_ff seq_len global_batch_seqs micro_batch grad_accum
    tp pp vpp cp ep etp dp zero_stage shard_group act_ckpt flash_attn seq_parallel compile cuda_graphs fused_experts dispatcher
    expert_overlap fp8_attention measured_quantity measured_value total_tokens
    notes quality flops_convention config_group source_group""".split()
)
"""Columns of ``measurements/throughput.csv``."""

SOURCE = "trainsim measure"
"""Who measured, and the word by which `simulator.validate.profiles` knows the framework."""

HELD_OUT = "held out of the fit: "
"""Start of the notes of a step that the fit does not see."""


def micro_key(item: Micro) -> tuple[str, ...]:
    """What names one operation in the table."""
    return (item.op, item.text, item.dtype)


def micro_key_of(row: dict[str, str]) -> tuple[str, ...]:
    """The same of a row that was read."""
    return (row["op"], row["shape_or_size"], row["dtype"])


def micro_row(item: Micro, timing: Timing, machine: Machine) -> dict[str, Any]:
    """One row of ``micro.csv``."""
    operation = OPERATIONS[item.op]
    return {
        "gpu": machine.id,
        "op": item.op,
        "shape_or_size": item.text,
        "dtype": item.dtype,
        "n_gpus": 1,
        "measured_value": significant(operation.value(item, timing.median_s)),
        "unit": operation.unit,
        "source": SOURCE,
        "notes": f"{operation.meaning}; {timing.sentence}",
    }


def step_row(item: Step, timing: Timing, machine: Machine, number: int = 1) -> dict[str, Any]:
    """One row of ``steps.csv``: a complete configuration on one device, nothing left to a default.

    The rows of all rounds of a step share their ``config_group``.
    """
    torch = machine.software.get("torch", "")
    split = f"{HELD_OUT}{item.held_out}; " if item.held_out else "fit; "
    return dict.fromkeys(STEP_COLUMNS, "") | {
        "id": f"{item.id}.{number}",
        "config_group": item.id,
        "source": SOURCE,
        "framework": f"{SOURCE} (PyTorch {torch}, eager)",
        "gpu": machine.id,
        "n_gpus": 1,
        "gpus_per_node": 1,
        "precision": machine.precision,
        "model_name": item.id,
        "params_B": significant(item.parameters / 1e9),
        "n_layers": item.num_hidden_layers,
        "d_model": item.hidden_size,
        "n_heads": item.num_attention_heads,
        "n_kv_heads": item.num_attention_heads,
        "d_ff": item.intermediate_size,
        "mlp_type": "swiglu",
        "vocab": item.vocab_size,
        "seq_len": item.seq_length,
        "global_batch_seqs": item.micro_batch_size,
        "micro_batch": item.micro_batch_size,
        "grad_accum": 1,
        **dict.fromkeys(("tp", "pp", "vpp", "cp", "ep", "dp"), 1),
        "zero_stage": 0,
        "act_ckpt": "none",
        "flash_attn": True,
        "seq_parallel": False,
        "compile": False,
        "measured_quantity": "step_time_s",
        "measured_value": significant(timing.median_s),
        "notes": f"{split}{timing.sentence}",
        "quality": "A",
        "source_group": machine.id,
    }


def significant(value: float, digits: int = 5) -> float:
    """Round to significant digits: no table holds more than was measured."""
    return float(f"{value:.{digits}g}")


def restlessness(rows: Sequence[dict[str, str]]) -> float:
    """How much one step differs from the next on this machine: 90th over 10th percentile, less one, the median of all rows. [-]"""
    found = [re.search(r"p10 (\S+) s, p90 (\S+) s", row["notes"]) for row in rows]
    return float(np.median([float(each[2]) / float(each[1]) - 1.0 for each in found if each]))


class Table:
    """A CSV file that grows by one whole line at a time; one of an older release keeps the columns it has."""

    def __init__(self, path: Path, columns: tuple[str, ...]) -> None:
        self.path, self.columns = path, columns
        self._mend()

    def _mend(self) -> None:
        """Write the head of a new table; drop a line that a killed run left half written."""
        head = ",".join(self.columns) + "\n"
        text = self.path.read_text(encoding="utf-8") if self.path.exists() else ""
        whole = text[: text.rfind("\n") + 1]
        if whole:
            self.columns = tuple(whole.split("\n", 1)[0].split(","))
        if not {"notes", "source"} <= set(self.columns) <= set(head.strip().split(",")):
            reason = "is not a table that trainsim measure wrote"
            raise SpecError(Problem(reason, file=str(self.path), hint="choose another folder for --out"))
        if not whole or whole != text:
            write_file(self.path, whole or head)

    def rows(self) -> list[dict[str, str]]:
        """Everything that the table holds."""
        return list(csv.DictReader(io.StringIO(self.path.read_text(encoding="utf-8"))))

    def append(self, row: dict[str, Any]) -> None:
        """Add one row, on the disk before this returns."""
        line = io.StringIO()
        csv.DictWriter(line, self.columns, extrasaction="ignore", lineterminator="\n").writerow(row)
        try:
            with self.path.open("a", encoding="utf-8", newline="") as file:
                file.write(line.getvalue())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise SpecError(f"{self.path}: cannot be written ({error.strerror or error})") from None


def write_file(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise SpecError(f"{path}: cannot be written ({error.strerror or error})") from None


def open_folder(folder: Path, machine: Machine, about: dict[str, Any]) -> dict[str, Any]:
    """Start a set of measurements, or go on with one of the same machine.

    Parameters
    ----------
    folder : Path
        Where the set lives.
    machine : Machine
        The machine as it is now.
    about : dict
        Command, date, timer and plan of this run.

    Returns
    -------
    dict
        What was written when the set was started: a run that goes on keeps its date and its machine.

    Raises
    ------
    SpecError
        If the folder holds measurements of another machine, or cannot be written to.
    """
    path = folder / "about.json"
    new = {**about, "identity": {**machine.identity, "timer": about["timer"]}, "machine": machine.document()}
    if not path.exists():
        write_file(path, json.dumps(new, indent=2) + "\n")
        return new
    old = read_about(path)
    before = old["identity"]
    differ = [
        Problem(
            f"was {before.get(key)!r}, is {value!r}", path=key, file=str(path), hint="choose another --out"
        )
        for key, value in new["identity"].items()
        if before.get(key) != value
    ]
    if differ:
        raise SpecError(differ)
    return old


def read_about(path: Path) -> dict[str, Any]:
    """What was written when a set of measurements was started.

    Raises
    ------
    SpecError
        If it is not there, or not what was written.
    """
    try:
        about: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        dict(about["identity"]), Machine(**about["machine"]), str(about["date"])
    except (OSError, ValueError, KeyError, TypeError):
        reason = "is not what trainsim measure wrote"
        raise SpecError(Problem(reason, file=str(path), hint="choose another folder for --out")) from None
    return about


def add_state(folder: Path, about: dict[str, Any], state: dict[str, str]) -> None:
    """Keep the clocks and the power that the device had under load at the start of this run."""
    about.setdefault("under_load", []).append(state)
    write_file(folder / "about.json", json.dumps(about, indent=2) + "\n")
