"""Figures on parts of the model: kernels and collectives, memory, laws of loss, the processor that was measured."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from figures_of_runs import (
    ends,
    middle,
    percent,
)

from simulator import calibrations, kernels, library, scaling, simulate
from simulator.calibrate import gemm, links
from simulator.growth import published
from simulator.memory.constants import MEMORY_PROFILES
from simulator.memory_fit import fit_memory
from simulator.report.text import number
from simulator.validate import cases as tables
from simulator.validate import growth, memory
from simulator.validate.slices import FEW

if TYPE_CHECKING:
    import pandas as pd

ROOT = Path(__file__).resolve().parent.parent
GIB = 2**30


# --- kernels ------------------------------------------------------------------------------------------------------------

MICRO = library.find("measurements", "micro")
NAMES = (
    ("A100", "a100-sxm-80gb"),
    ("H100", "h100-sxm-80gb"),
    ("H200", "h200-sxm-141gb"),
    ("B200", "b200-sxm-180gb"),
    ("B300", "b300-sxm-288gb"),
    ("GB200", "gb200-186gb"),
    ("GB300", "gb300-288gb"),
    ("V100 (mesh)", "v100-sxm2-32gb"),
    ("RTX PRO 6000 (PCIe)", "rtx-pro-6000-blackwell-96gb"),
    ("L40S (PCIe)", "l40s-48gb"),
)
SWITCHED = [name for _, name in NAMES[:7]]


@functools.cache
def fitted_links() -> dict[str, dict[str, float]]:
    """Shares of links and fills fitted to collectives."""
    return links.fit_links(MICRO)


def link_table() -> list[str]:
    """Share of the link, fill and error by machine."""
    lines = ["| machine | share of the link | fill | median error |", "|---|---|---|---|"]
    for shown, name in NAMES:
        found = fitted_links()[name]
        lines.append(
            f"| {shown} | {found['link_efficiency']:.2f} | {1e6 * found['link_fill_s']:.1f} us | "
            f"{percent(found['median_error'])} % |"
        )
    return lines


def switches() -> tuple[str, ...]:
    """Collectives behind a switch, and the least and largest median error of the fits to them."""
    found = [fitted_links()[name] for name in SWITCHED]
    return f"{sum(each['rows'] for each in found):.0f}", *ends([each["median_error"] for each in found])


def link_shares() -> tuple[str, str]:
    """Share of the link in training steps, and in isolated collectives."""
    shipped = calibrations.shipped_values()["fabric", "link_efficiency"]
    return f"{shipped:.2f}", f"{links.centre(MICRO)['link_efficiency']:.2f}"


def mesh_rates() -> tuple[str, ...]:
    """Best all-reduces of V100s: over 2, 4 and 8, and the least and largest over 3, 5, 6, 7. [GB/s]"""
    rows = tables.read_frame(MICRO, required=links.COLUMNS)
    rows = rows[(rows.gpu == "V100-SXM2") & (rows.op == "allreduce") & (rows.unit == "GB/s busbw")]
    best = rows.groupby("n_gpus").measured_value.max()
    odd = best.loc[[3, 5, 6, 7]]
    return tuple(f"{each:.0f}" for each in (*best.loc[[2, 4, 8]], odd.min(), odd.max()))


def power() -> tuple[str, ...]:
    """Efficiency of 16-bit tiles by architecture, and with what the board's power leaves of the peak."""
    from simulator.schema import load_accelerator

    found = []
    for name in ("a100-sxm-80gb", "h100-sxm-80gb", "b200-sxm-180gb", "mi300x-oam-192gb"):
        accelerator = load_accelerator(name)
        constants, _ = calibrations.constants_of(accelerator)
        share = kernels.tile_share(calibrations.device_of(accelerator), constants)
        found.append((float(constants.tile_efficiency), float(share)))
    return tuple(f"{end:.2f}" for column in zip(*found, strict=True) for end in (min(column), max(column)))


def a100_matmuls() -> tuple[str, str]:
    """Share of the peak that an A100's tiles reach in isolated matmuls, and in training steps."""
    isolated = gemm.fit_gemms(MICRO)["a100-sxm-80gb"]["tile_efficiency"]
    return f"{isolated:.2f}", f"{calibrations.shipped_values()['ampere', 'tile_efficiency_16']:.2f}"


def scenario(name: str, **changes: Any) -> dict[str, Any]:
    """Answer of a shipped scenario."""
    answer: dict[str, Any] = simulate.run(
        ROOT / "scenarios" / f"{name}.yaml",
        set=[f"{path.replace('__', '.')}={value}" for path, value in changes.items()],
    ).to_dict()["answer"]
    return answer


def mesh_steps() -> tuple[str, ...]:
    """Tensor-parallel traffic of a step over two and over eight accelerators of a mesh. [s]"""
    found = (scenario("mesh-links", parallelism__tp=tp)["breakdown"]["tensor_parallel"] for tp in (2, 8))
    return tuple(f"{each:.1f}" for each in found)


def hybrid() -> tuple[str]:
    """How many times faster groups of eight are than one of all."""
    whole, groups = (scenario("hybrid-sharding", parallelism__shard_group=n)["step_time_s"] for n in (64, 8))
    return (f"{whole / groups:.1f}",)


# --- memory -------------------------------------------------------------------------------------------------------------


@functools.cache
def memory_fit() -> dict[str, Any]:
    """Errors of the memory, fitted to all rows and to all models but one."""
    return fit_memory(MEMORY)


MEMORY = library.find("measurements", "memory")


@functools.cache
def peaks() -> pd.DataFrame:
    """Runs that ran, with the ``error`` of the reserved peak and of what is ``static``."""
    rows = memory.read_rows(MEMORY)
    rows = rows[rows["ran"]]
    found = memory.predict(rows)
    return rows.assign(
        error=found["reserved"] / GIB / rows.peak_reserved_gb.to_numpy(float) - 1.0,
        static=found["static"] / GIB / rows.peak_alloc_gb.to_numpy(float) - 1.0,
    )


def memory_table() -> list[str]:
    """Errors of the memory on all rows and on models left out, and by the model that is left out."""
    fit = memory_fit()
    lines = ["| quantity | all rows | left out | target |", "|---|---|---|---|"]
    for words, key, target in (
        ("reserved peak, median error", "median_ape", "8 %"),
        ("reserved peak, mean error", "mape", ""),
        ("reserved peak, bias", "bias", ""),
        ("*fits*, precision", "precision", "95 %"),
        ("*fits*, recall", "recall", "95 %"),
        ("*fits*, accuracy", "accuracy", ""),
    ):
        shares = [(fit[kind] | fit[kind]["fits"])[key] for kind in ("in_sample", "left_out")]
        sign = "+" if key == "bias" else ""
        cells = (f"{100 * share:{sign}.1f} %" for share in shares)
        lines.append(f"| {words} | {' | '.join(cells)} | {target} |")
    static = f"{100 * middle(np.abs(peaks().static)):.1f} %"
    lines.append(f"| static memory, median error (nothing fitted) | {static} | | |")
    models = []
    for name, each in fit["by_model"].items():
        few = f" ({each['n']} runs)" if each["n"] < FEW else ""
        models.append(f"{name} {100 * each['median_ape']:.1f} %{few}")
    return [*lines, "", f"By model left out, median error of the reserved peak: {', '.join(models)}."]


def by_version() -> tuple[str, ...]:
    """Median error before and after the repair of the engine, and median and mean of one stage."""
    rows = peaks()
    repaired, size = rows.after_pp_fix.astype(bool), rows.error.abs()
    one = rows.pp == 1
    medians = (size[~one & ~repaired].median(), size[~one & repaired].median(), size[one].median())
    return *(percent(each) for each in medians), percent(size[one].mean())


def worst_peaks() -> tuple[tuple[str], tuple[str]]:
    """Largest error of one unrepaired stage on 512 accelerators, and least of two stages."""
    rows = peaks()
    wide = rows.tp.between(16, 32) & (rows.n_gpus == 512) & (rows.pp == 1)
    return (percent(rows.error[wide].max()),), (percent(rows.error[rows.pp == 2].min()),)


def profile(*names: str) -> Callable[[], tuple[str, ...]]:
    """Shipped constants of nanotron's memory; bytes in GiB."""
    shipped = vars(MEMORY_PROFILES["nanotron"]) | {
        "kept_gathers": MEMORY_PROFILES["nanotron_unrepaired"].kept_gathers
    }
    return lambda: tuple(number(shipped[n] / (GIB if n == "reserve_bytes" else 1), 3) for n in names)


# --- loss ---------------------------------------------------------------------------------------------------------------


@functools.cache
def losses() -> pd.DataFrame:
    """Published runs with a number of parameters, and their loss ``by_law``, Besiroglu's."""
    rows = tables.read_frame(
        library.find("measurements", "loss_runs"), required=("dataset", "N", "D", "loss")
    )
    rows = rows[rows.N.notna()]
    unique = np.minimum(rows.U_unique.fillna(rows.D), rows.D)
    columns = (column.to_numpy(dtype=float) for column in (rows.N, rows.D, unique))
    params, tokens, unique_tokens = columns
    return rows.assign(
        epochs=tokens / unique_tokens,
        by_law=scaling.loss(params=params, tokens=tokens, unique_tokens=unique_tokens),
    )


def missed() -> tuple[str, str]:
    """Least and largest mean distance from Gadre's sets. [nats]"""
    rows = losses()[losses().dataset.str.startswith("gadre2024")]
    found = (rows.by_law - rows.loss).abs().groupby(rows.dataset).mean()
    assert len(found) == 3
    return f"{found.min():.2f}", f"{found.max():.2f}"


def few_epochs() -> tuple[str, ...]:
    """Datablations runs of at most twenty epochs, and the rank correlation of the law on them."""
    rows = losses()[(losses().dataset == "datablations_c4") & (losses().epochs <= 20)]
    return str(len(rows)), f"{rows.by_law.corr(rows.loss, method='spearman'):.3f}"


def stacked() -> tuple[str, str]:
    """Saving that G_stack published by stacking, and its prediction without the paper."""
    cases = published.read_cases(library.find("measurements", "growth"))
    one = next(each for each in cases if each.id == "gstack-1.1b-depth-stack")
    rows = tables.read_frame(library.find("measurements", "growth"), required=("id", "saving_pct"))
    saving = float(rows.set_index("id").saving_pct[one.id])
    return f"{saving:.0f}", percent(growth.predict_case(one, cases=cases, leave="paper"))


# --- the measured processor ---------------------------------------------------------------------------------------------


def rounds() -> tuple[str, str]:
    """Least and largest distance between the rounds of a step."""
    rows = tables.read_frame(ROOT / "examples" / "measured_cpu" / "steps.csv")
    groups = rows.groupby("config_group").measured_value
    return ends(groups.max() / groups.min() - 1.0)


def odd_sizes() -> tuple[str, ...]:
    """Rates of a matmul of odd and of rounded sizes, and the share that is lost. [GFLOP/s]"""
    rows = tables.read_frame(ROOT / "examples" / "measured_cpu" / "micro.csv", required=links.COLUMNS)
    odd, even = (
        1e3 * rows[rows.shape_or_size == text].measured_value.median()
        for text in ("m=600,n=870,k=320", "m=640,n=896,k=384")
    )
    return f"{odd:.0f}", f"{even:.0f}", percent(1.0 - odd / even)
