"""From a set of measurements to a calibration, and to predictions of the steps that the fit did not see.

Operations centre the constants that they measure directly; training steps then move everything that they bear on, by the
fit of `trainsim calibrate --start shipped`.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from simulator import calibrations
from simulator.calibrate import fit, gemm, predict, priors, write
from simulator.calibrate.fit import Fit
from simulator.errors import SpecError
from simulator.flop import model_flop_per_token
from simulator.layout import tokens_per_step
from simulator.measuring import accelerator as accelerators
from simulator.measuring.plan import ODD_PRODUCTS
from simulator.measuring.tables import HELD_OUT, MICRO_COLUMNS, Table
from simulator.validate import cases as tables
from simulator.validate import intervals
from simulator.validate.metrics import summary, with_coverage
from simulator.validate.regimes import regimes

if TYPE_CHECKING:
    from simulator.calibrate.priors import Key
    from simulator.schema import Accelerator
    from simulator.schema.calibration import Calibration
    from simulator.validate.cases import Cases

SOFTWARE = "pytorch"
"""Software set of plain PyTorch, which the steps are."""

FEWEST = 3
"""Steps without which nothing is fitted. [-]"""


@dataclass(frozen=True)
class Calibrated:
    """A machine's calibration and what it predicts."""

    accelerator: str
    result: Fit
    centres: dict[Key, float]
    """Constants that operations measured directly."""
    rows: list[dict[str, Any]]
    """Every step once, with the median over the rounds: ``id held_out predicted_step_time_s before_s measured_step_time_s low high``; ``before_s`` is the
    prediction without any measured step."""
    fitted: dict[str, float]
    """Error on the steps of the fit."""
    unseen: dict[str, float]
    """Error and coverage on the steps that the fit did not see."""
    unseen_before: dict[str, float]
    """The same with the shipped constants, before the machine was measured."""
    unseen_flop: dict[str, float]
    """The same by FLOP at one rate, the median of the steps of the fit: what any clock has to beat."""


@contextlib.contextmanager
def searched(first: Path | None, *, without: Path | None = None) -> Iterator[None]:
    """Search a folder before all others, or leave one out, for as long as the block runs."""
    old = os.environ.get("TRAINSIM_PATH")
    parts = [part for part in (old or "").split(os.pathsep) if part.strip()]
    hidden = without.resolve() if without is not None else None
    parts = [part for part in parts if hidden is None or Path(part).expanduser().resolve() != hidden]
    os.environ["TRAINSIM_PATH"] = os.pathsep.join(([str(first)] if first is not None else []) + parts)
    try:
        yield
    finally:
        if old is None:
            del os.environ["TRAINSIM_PATH"]
        else:
            os.environ["TRAINSIM_PATH"] = old


def centres(accelerator: Accelerator, precision: str, rows: Sequence[dict[str, str]]) -> dict[str, float]:
    """Constants that operations measure directly, by name.

    ``attention_efficiency``: median rate of attention's forward and backward pass over the peak; ``hbm_efficiency``: the
    largest copy over the bandwidth; ``launch_s``: a tiny layer's time per kernel; ``unaligned_rate``: a matrix product of odd
    sizes over one of rounded ones; ``optimizer_bytes``: AdamW's time on its largest states, as bytes per parameter at the rate of
    the largest copy. Each within the bounds that the fit allows.
    (``tile_fill`` comes from `simulator.calibrate.gemm`, which wants a hundred matrix products in bf16.)
    """
    found: dict[str, float] = {}
    device = calibrations.device_of(accelerator, precision=precision)
    rates = [rate for _, _, rate in accelerators.values(rows, "attention_fwd_bwd")]
    if rates:
        found["attention_efficiency"] = float(np.median(rates)) * 1e12 / float(device.attention_peak_flops)
    with contextlib.suppress(SpecError):
        bandwidth = accelerators.measured_bandwidth(rows)
        found["hbm_efficiency"] = bandwidth / float(device.memory_bandwidth)
        steps = accelerators.values(rows, "adam_step")
        if steps:
            sizes, _, micros = max(steps, key=lambda each: each[0]["params"])
            found["optimizer_bytes"] = micros * 1e-6 * bandwidth / sizes["params"]
    layers = accelerators.values(rows, "launch_layer")
    if layers:
        found["launch_s"] = layers[0][2] * 1e-6
    ragged = _unaligned_rate(rows)
    if ragged is not None:
        found["unaligned_rate"] = ragged
    bounds = {name: priors.prior_of((SOFTWARE, name)) for name in found}
    return {name: float(np.clip(value, bounds[name].low, bounds[name].high)) for name, value in found.items()}


def _unaligned_rate(rows: Sequence[dict[str, str]]) -> float | None:
    """Rate of the plan's matrix product of odd sizes relative to that of rounded ones; None where they were not measured. [-]"""
    rates: dict[tuple[int, ...], list[float]] = {}
    for sizes, _, rate in accelerators.values(rows, "gemm"):
        rates.setdefault(tuple(int(sizes.get(name, 0)) for name in "mnk"), []).append(rate)
    for odd, rounded in ODD_PRODUCTS.values():
        if odd in rates and rounded in rates:
            return float(np.median(rates[odd]) / np.median(rates[rounded]))
    return None


def calibrate(folder: Path, accelerator_id: str, precision: str) -> Calibrated:
    """Fit a machine's constants to its steps and predict those that were held out.

    Parameters
    ----------
    folder : Path
        Set of measurements, with its accelerator.
    accelerator_id : str
        Id of that accelerator.
    precision : str
        Format of the matmuls.

    Raises
    ------
    SpecError
        If too few steps are there.
    """
    from simulator.schema import load_accelerator

    frame = tables.read_frame(folder / "steps.csv")
    split = np.asarray(frame.notes.astype(str).str.startswith(HELD_OUT), dtype=np.bool_)
    micro = Table(folder / "micro.csv", MICRO_COLUMNS).rows()
    with searched(folder):
        accelerator = load_accelerator(accelerator_id)
        with searched(None, without=folder):
            shipped = calibrations.sets()
            base = calibrations.accelerator_set(accelerator, shipped)
        known, start = own_sets(accelerator_id, shipped, base)
        rows = tables.of_frame(frame, known)
    if rows.skipped or int((~split).sum()) < FEWEST:
        reasons = ", ".join(rows.skipped) or f"{int((~split).sum())} steps of the fit, {FEWEST} are needed"
        raise SpecError(f"{folder / 'steps.csv'}: no calibration ({reasons})")
    with searched(folder):
        direct = centres(accelerator, precision, micro)
        fills = gemm.fit_gemms(folder / "micro.csv").get(accelerator_id)
    if fills:
        direct["tile_fill"] = fills["tile_fill"]
    middle = {(_set_of(name, accelerator_id), name): value for name, value in direct.items()}
    result = fit(rows.take(~split), start=start | middle)
    after, before = predict(rows, result.values), predict(rows, start)
    groups = rows.config_group.astype(str)
    names = list(dict.fromkeys(groups.tolist()))
    first = np.array([int(np.flatnonzero(groups == name)[0]) for name in names])
    once, held = rows.take(first), split[first]
    measured = np.array([float(np.median(rows.measured_s[groups == name])) for name in names])
    now = _values(once, measured, after[first], "measured")
    unmeasured = _values(once, measured, before[first], "datasheet")
    return Calibrated(
        accelerator=accelerator_id,
        result=result,
        centres=middle,
        rows=_rows(names, held, now, before[first]),
        fitted=_part(now, ~held),
        unseen=_part(now, held),
        unseen_before=_part(unmeasured, held),
        unseen_flop=summary(at_one_rate(once, measured, ~held)[held], measured[held]),
    )


def at_one_rate(cases: Cases, measured: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Step times by FLOP, attention halved for its mask, at the median rate of the steps that were seen. [s]"""
    layout = cases.layout
    flop = model_flop_per_token(cases.shape, seq_length=layout.seq_length, convention="maxtext")
    flop = np.asarray(flop * tokens_per_step(layout), dtype=float)
    return np.asarray(flop / np.median((flop / measured)[seen]))


def _values(cases: Cases, measured: np.ndarray, predicted: np.ndarray, grade: str) -> dict[str, np.ndarray]:
    """Predicted and measured steps with the interval that the evidence of a grade allows."""
    alone = np.zeros(len(cases))  # one accelerator exchanges nothing
    values = intervals.around(cases, predicted, regimes=regimes(cases, grade), exposed=alone)
    return {**values, "measured": measured}


def _part(values: dict[str, np.ndarray], keep: np.ndarray) -> dict[str, float]:
    return with_coverage({key: value[keep] for key, value in values.items()})


def _rows(
    names: list[str], held: np.ndarray, values: dict[str, np.ndarray], before: np.ndarray
) -> list[dict[str, Any]]:
    return [
        {
            "id": name,
            "held_out": bool(held[i]),
            "predicted_step_time_s": float(values["predicted"][i]),
            "before_s": float(before[i]),
            "measured_step_time_s": float(values["measured"][i]),
            "low": float(values["low"][i]),
            "high": float(values["high"][i]),
        }
        for i, name in enumerate(names)
    ]


def own_sets(
    accelerator_id: str, shipped: dict[str, Calibration], base: str
) -> tuple[dict[str, Calibration], dict[Key, float]]:
    """The sets with one more for this accelerator alone, and where every constant starts.

    The new set starts from the accelerator's architecture (or the generic one) and applies to the id only, so that it
    leaves other machines of the architecture as they are.
    """
    own = shipped[base].model_copy(update={"id": accelerator_id, "applies_to": (accelerator_id,)})
    known = {accelerator_id: own, **shipped}
    start = {(name, key): c.value for name, one in known.items() for key, c in one.constants.items()}
    for key in priors.CONSTANTS_OF["accelerator"]:
        start.setdefault((accelerator_id, key), priors.prior_of((base, key)).value)
    return known, start


def _set_of(constant: str, accelerator_id: str) -> str:
    return accelerator_id if constant in priors.CONSTANTS_OF["accelerator"] else SOFTWARE


def write_sets(found: Calibrated, folder: Path, *, command: str, data: str, date: str) -> list[Path]:
    """Write the accelerator's set and that of plain PyTorch into ``calibrations/`` of the folder."""
    name, result = found.accelerator, found.result
    as_generic = _renamed(result, name, calibrations.GENERIC)
    documents = {
        name: write.set_document(calibrations.GENERIC, as_generic, command=command, data=data, date=date)
        | {"id": name, "applies_to": [name]},
        SOFTWARE: write.set_document(SOFTWARE, result, command=command, data=data, date=date),
    }
    paths = []
    for key, document in documents.items():
        for constant, entry in document["constants"].items():
            if (key, constant) in found.centres and entry["status"] == "prior":
                entry |= {"status": "cited", "source": "measured directly: micro.csv beside this folder"}
        paths.append(write.write_yaml(folder / "calibrations" / f"{key}.yaml", document))
    return paths


def _renamed(result: Fit, name: str, other: str) -> Fit:
    """The constants of one set under the name of another."""

    def pick(table: dict[Any, Any]) -> dict[Any, Any]:
        kept = {key: value for key, value in table.items() if key[0] != other}
        return kept | {(other, key[1]): value for key, value in table.items() if key[0] == name}

    def pick_names(table: dict[str, Any]) -> dict[str, Any]:
        return {**table, other: table[name]} if name in table else table

    return Fit(
        values=pick(result.values),
        spread=pick(result.spread),
        rows=pick_names(result.rows),
        groups=pick_names(result.groups),
        identified=pick(result.identified),
    )
