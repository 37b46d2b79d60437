"""Figures in the sentences of hand-written pages: where each stands, and how it is computed.

A sentence is written here as on its page, with # for each figure. `python docs/refresh.py sentences` writes the figures, and
tests/test_docs.py compares them. Errors are of the predicted step time, by the constants that ship.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from simulator import calibrations, clock, library, scaling, simulate, uncertainty
from simulator.calibrate import gemm, links
from simulator.growth import published
from simulator.memory.constants import MEMORY_PROFILES
from simulator.memory_fit import fit_memory
from simulator.report.text import number
from simulator.search.robust import OWN_SHARE, OWN_SPREAD
from simulator.validate import cases as tables
from simulator.validate import conformal, folds, growth, intervals, kernels, left_out, memory, regimes
from simulator.validate.slices import FEW, SWEEP

if TYPE_CHECKING:
    import pandas as pd

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
GIB = 2**30
FIGURE = r"(-?\d(?:[\d,.]*\d)?)"


@dataclass(frozen=True)
class Sentence:
    """Words of a page and the figures in them."""

    page: str
    words: str
    """With # for each figure; a blank stands for any blanks and line ends."""
    figures: Callable[[], Sequence[str]]

    def found(self) -> re.Match[str]:
        """Where it stands."""
        text = (DOCS / self.page).read_text(encoding="utf-8")
        words = r"\s+".join(re.escape(word).replace(r"\#", FIGURE) for word in self.words.split())
        every = list(re.finditer(words, text))
        assert len(every) == 1, f"docs/{self.page} has {len(every)} times: {self.words}"
        return every[0]

    def written(self) -> str:
        """The page with fresh figures."""
        match = self.found()
        text = match.string
        for place, figure in reversed(list(enumerate(self.figures(), start=1))):
            text = text[: match.start(place)] + figure + text[match.end(place) :]
        return text

    def stale(self) -> list[tuple[str, str]]:
        """Figures (printed, fresh) that differ by more than a tenth and more than one and a half of the last digit."""
        pairs = list(zip(self.found().groups(), self.figures(), strict=True))
        return [pair for pair in pairs if _apart(*pair)]


def _apart(printed: str, fresh: str) -> bool:
    now = float(fresh.replace(",", ""))
    digit = 10.0 ** -len(fresh.partition(".")[2])
    return abs(float(printed.replace(",", "")) - now) > max(1.5 * digit, 0.1 * abs(now))


def percent(share: Any) -> str:
    """A share in whole percent."""
    return f"{100.0 * float(share):.0f}"


def ends(values: Any) -> tuple[str, str]:
    """Least and largest of some shares, in whole percent."""
    return percent(np.min(values)), percent(np.max(values))


def middle(values: Any) -> float:
    """Median."""
    return float(np.median(values))


# --- measured runs ------------------------------------------------------------------------------------------------------


@functools.cache
def runs() -> tuple[pd.DataFrame, tables.Cases]:
    """Rows that can be predicted: columns of the table, what was read out of them, and ``error``."""
    frame = tables.read_frame(library.find("measurements", "throughput"))
    cases = tables.of_frame(frame)
    rows = frame.set_index("id").loc[cases.id]
    read = cases.layout
    return rows.assign(
        error=intervals.step_times(cases) / cases.measured_s - 1.0,
        measured_s=cases.measured_s,
        complete=cases.complete,
        software=[each["launch_s"][0] for each in cases.keys],
        fabric=[each["link_latency_s"][0] for each in cases.keys],
        recompute=read.recompute,
        micro=read.micro_batch_size,
        zero=read.zero_stage,
        slots=(read.num_microbatches + read.pp - 1) * cases.shape.num_hidden_layers / read.pp,
    ), cases


def errors(rule: Callable[[pd.DataFrame], Any]) -> np.ndarray:
    """Errors of the rows that a rule keeps."""
    rows = runs()[0]
    found = rows.error[rule(rows)].to_numpy(dtype=float)
    assert len(found)
    return found


def with_constants(rule: Callable[[pd.DataFrame], Any], **changes: float) -> np.ndarray:
    """The same with some constants set to a number."""
    rows, every = runs()
    cases = every.take(np.flatnonzero(rule(rows)))
    constants = tables.constants(cases, calibrations.shipped_values())
    constants = constants.with_(**{name: np.full(len(cases), value) for name, value in changes.items()})
    levels = clock.memory_copies(cases.shape, cases.layout, cases.device, constants)
    return np.asarray(sum(levels.values()) / cases.measured_s - 1.0)


def vtrain(f: pd.DataFrame) -> Any:
    """Rows of one node."""
    return (f.source == "vTrain") & (f.n_gpus <= 8)


def vtrain_nodes(f: pd.DataFrame) -> Any:
    """Rows of several nodes."""
    return (f.source == "vTrain") & (f.n_gpus > 8)


def starts(word: str) -> Callable[[pd.DataFrame], Any]:
    """Rows whose id starts so."""
    return lambda f: f.index.str.startswith(word)


def widths(*wanted: int) -> Callable[[pd.DataFrame], Any]:
    """Rows of Megatron's README by the width of the model."""
    return lambda f: (f.source == "Megatron-LM README H100 scaling") & f.d_model.isin(wanted)


def settings() -> tuple[str, str]:
    """Share of the variance of the residual between vTrain's measured layers, and the mean error of their means."""
    rows = runs()[0]
    rows = rows[vtrain(rows)]
    groups = rows.groupby(["d_model", "tp", "micro_batch"])
    logs = np.log1p(rows.error)
    within = logs - logs.groupby([rows.d_model, rows.tp, rows.micro_batch]).transform("mean")
    return percent(1.0 - within.var() / logs.var()), percent(groups.error.mean().abs().mean())


def slow_rows() -> tuple[str, ...]:
    """Of vTrain's rows on several nodes with tensor parallelism 8: how many are predicted slow, of how many, by how much."""
    found = errors(lambda f: vtrain_nodes(f) & (f.tp == 8))
    slow = found[found > 0.05]
    return str(len(slow)), str(len(found)), *ends(slow)


def fast_rows() -> tuple[str, ...]:
    """Of vTrain's rows on several nodes, those that are predicted more than 15 % fast."""
    found = errors(vtrain_nodes)
    return str(len(found)), *ends(-found[found < -0.15])


def korthikanti() -> tuple[str, ...]:
    """Largest error below a trillion parameters, and the two of the trillion."""
    found = errors(starts("korthikanti"))
    return percent(np.abs(found[:6]).max()), *ends(found[6:])


def layer_ms(micro_batch: int) -> float:
    """Time of one layer of vTrain with tensor parallelism 8, mean over its two widths: slope of the step along micro-batches times layers. [ms]"""
    rows = runs()[0]
    rows = rows[vtrain(rows) & (rows.tp == 8) & (rows.micro_batch == micro_batch)]
    found = []
    for _, own in rows.groupby(["d_model"]):
        m = own.global_batch_seqs / (own.dp * own.micro_batch)
        terms = np.stack([m * own.n_layers, m, own.n_layers, np.ones(len(own))], axis=1)
        weighed = terms / own.measured_s.to_numpy()[:, None]
        found.append(np.linalg.lstsq(weighed, np.ones(len(own)), rcond=None)[0][0])
    return 1e3 * float(np.mean(found))


def pipelined(f: pd.DataFrame) -> Any:
    """Pipelined rows of the sweep after the repair of the engine."""
    return (f.source == SWEEP) & f.notes.astype(str).str.contains("after_pp_fix=True") & (f.pp > 1)


def recomputed(software: str) -> Callable[[pd.DataFrame], Any]:
    """Rows of a stack with full recomputation."""
    return lambda f: (f.software == software) & (f.recompute == 2)


def degraded_layers() -> tuple[str, str]:
    """Least and largest median time of a layer over micro-batches of 1 to 16 sequences, degraded fabric, tensor parallelism 8. [ms]"""
    rows = runs()[0]
    own = rows[(rows.fabric == "fabric-degraded") & (rows.software == "nanotron") & (rows.tp == 8)]
    own = own[(own.d_model == 2048) & (own.pp == 2) & (own.micro <= 16)]
    found = (1e3 * own.measured_s / own.slots).groupby(own.micro).median()
    return f"{found.min():.0f}", f"{found.max():.0f}"


def largest_share() -> str:
    """Share of the complete rows that the two largest organisations measured."""
    rows = runs()[0]
    counts = rows[rows.complete].source_group.value_counts(normalize=True)
    return percent(counts.iloc[:2].sum())


# --- rows left out of the fit -------------------------------------------------------------------------------------------


@functools.cache
def unseen() -> dict[str, np.ndarray]:
    """Step times by constants that never saw the row, by what was left out. [s]"""
    return left_out.columns(runs()[1], left_out.read()[1])


def as_recomputed(width: int) -> tuple[str, str]:
    """vTrain's rows of one node without tensor parallelism, left out of the fit: median error without and with recomputation, whose cost is the shipped clock's."""
    rows, every = runs()
    own = np.flatnonzero(vtrain(rows) & (rows.tp == 1) & (rows.d_model == width))
    cases, without = every.take(own), unseen()["source"][own] / every.measured_s[own]
    constants = tables.constants(cases, calibrations.shipped_values())
    none, full = (
        sum(clock.memory_copies(cases.shape, layout, cases.device, constants).values())
        for layout in (cases.layout, cases.layout.with_(recompute=np.full(len(cases), 2.0)))
    )
    return percent(1.0 - middle(without)), percent(middle(without * full / none) - 1.0)


@functools.cache
def inside(communication: float | None = None) -> np.ndarray:
    """Whether rows of left-out organisations lie in their interval; with another widening by communication if one is named."""
    cases, predicted, exposed = runs()[1], unseen()["source"], intervals.exposed_shares(runs()[1])
    shipped = uncertainty.table()
    used = uncertainty.Table(shipped.regimes, communication or shipped.communication)
    found = intervals.around(
        cases,
        predicted,
        regimes=regimes.regimes(cases, folds.grades(cases, "source"), seen=False),
        exposed=exposed,
        known=conformal.without_own_source(cases, predicted, exposed, used),
    )
    return np.asarray((found["low"] <= cases.measured_s) & (cases.measured_s <= found["high"]))


def coverage() -> tuple[str, ...]:
    """Coverage of left-out organisations: much and little exposed communication, without its widening and with it."""
    exposed = intervals.exposed_shares(runs()[1])
    much, little = exposed > 0.4, exposed < 0.1
    without, shipped = inside(1.0), inside()
    return tuple(percent(found[rows].mean()) for found in (without, shipped) for rows in (much, little))


def widenings() -> tuple[str, str]:
    """Least and largest widening by communication where one of the eight largest organisations is left out."""
    cases = runs()[1]
    exposed = intervals.exposed_shares(cases)
    parts = [conformal.part(cases, kind, predicted, exposed) for kind, predicted in unseen().items()]
    names, counts = np.unique(cases.source.astype(str), return_counts=True)
    found = []
    for name in names[np.argsort(-counts)][:8]:
        others = np.flatnonzero(cases.source != name)
        found.append(conformal.percentiles([each.take(others) for each in parts]).communication)
    return f"{min(found):.1f}", f"{max(found):.1f}"


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


# --- what stands on the pages -------------------------------------------------------------------------------------------

BLOCKS: dict[tuple[str, str], Callable[[], list[str]]] = {
    ("clock.md", "<!-- links: written by docs/refresh.py -->"): link_table,
    ("memory.md", "<!-- memory: written by docs/refresh.py -->"): memory_table,
}
"""Tables between such a mark and `<!-- end -->`."""

RESIDUALS = (
    ("Which of the 32 it is explains # % of the variance of the residual", lambda: settings()[:1]),
    ("a fit of few constants stays # % off in the mean over the 32", lambda: settings()[1:]),
    ("With tensor parallelism 8, # of # rows are predicted # to # % slow", slow_rows),
    ("those of one node are predicted # % fast", lambda: (percent(-errors(lambda f: vtrain(f) & (f.tp == 8)).mean()),)),
    ("Of the # rows the fastest three are predicted # to # % fast", fast_rows),
    ("Six of the eight are within # %; both rows of the trillion are predicted # to # % slow", korthikanti),
    ("Isolated matmuls of an A100 reach # of the peak before that fill (`micro.csv`), training rows #", a100_matmuls),
    ("Widths of 2,048, 10,240 and 12,288 are predicted # to # % fast", lambda: ends(-errors(widths(2048, 10240, 12288)))),
    ("7,168 and 8,192 # to # % slow", lambda: ends(errors(widths(7168, 8192)))),
    (
        "is predicted # % fast in the middle with micro-batches above two",
        lambda: (percent(-middle(errors(lambda f: (f.source == SWEEP) & (f.fabric == "fabric") & (f.tp > 8) & (f.micro > 2)))),),
    ),
    (
        "On the degraded one tensor parallelism 8 is predicted # % slow in the middle",
        lambda: (percent(middle(errors(lambda f: (f.source == SWEEP) & (f.fabric == "fabric-degraded") & (f.tp == 8)))),),
    ),
    (
        "One configuration took # s in one release of the same software and # s in the next",
        lambda: [f"{runs()[0].measured_s[name]:.0f}" for name in ("nvbridge-0210", "nvbridge-0173")],
    ),
    (
        "DeepSeek-V3 on GB200 in NeMo of early 2025 took # times what is predicted",
        lambda: (f"{1 / (1 + middle(errors(lambda f: f.index.isin(['dgxc-0292', 'dgxc-0293', 'dgxc-0294'])))):.1f}",),
    ),
    (
        "*gpt-oss on TPU v7x* took # times what is predicted",
        lambda: (f"{1 / (1 + middle(errors(lambda f: f.gpu.str.contains('v7x') & f.model_name.str.contains('gpt-oss', na=False)))):.1f}",),
    ),
    (
        "DeepSeek-V3 and Qwen3 of the same machine and recipe are # % off at most",
        lambda: (percent(np.abs(errors(lambda f: f.gpu.str.contains("v7x") & f.model_name.str.contains("deepseek|qwen3", na=False))).max()),),
    ),
    (
        "as slow as 16 bits and is predicted # to # % fast",
        lambda: ends(-errors(lambda f: f.notes.astype(str).str.contains("fp8 rowwise"))),
    ),
    (
        "Its asynchronous tensor parallelism is not told from the plain one (# to # % slow)",
        lambda: ends(
            errors(
                lambda f: (f.source == "torchtitan")
                & f.notes.astype(str).str.contains("async tp|asynctp", case=False)
                & ~f.notes.astype(str).str.contains("rowwise")
            )
        ),
    ),
    (
        "ZeRO 3 on V100 is predicted # % fast",
        lambda: (percent(-middle(errors(lambda f: (f.source_group == "BigScience") & f.gpu.str.contains("V100") & (f.zero == 3)))),),
    ),
    (
        "tensor parallelism 8 is predicted # % fast with micro-batches of one or four, # % with two",
        lambda: [
            percent(-middle(errors(lambda f, m=m: (f.source_group == "BigScience") & f.gpu.str.contains("A100") & (f.tp == 8) & f.micro.isin(m))))
            for m in ((1, 4), (2,))
        ],
    ),
)  # fmt: skip

SENTENCES: tuple[Sentence, ...] = (
    *(Sentence("validation.md", words, figures) for words, figures in RESIDUALS),
    Sentence("validation.md", "two organisations hold # % of them", lambda: (largest_share(),)),
    Sentence(
        "validation.md",
        "predict its wider model without tensor parallelism, where nothing but matmuls counts, # % too fast without recomputation and # % too slow "
        "with it; its narrower model # % too fast and # % too slow",
        lambda: (*as_recomputed(2048), *as_recomputed(1024)),
    ),
    Sentence("validation.md", "Rows of left-out organisations lie inside # times in a hundred", lambda: (percent(inside().mean()),)),
    Sentence(
        "validation.md",
        "rows that exposed more than two fifths of their step were in it # times in a hundred, rows that exposed less than a tenth # times; "
        "with it # and # times",
        coverage,
    ),
    Sentence("validation.md", "r is # to # where one of the eight largest organisations is left out", widenings),
    Sentence(
        "clock.md",
        "dealt evenly, its pipelined runs in the sweep would be # % off in the middle, and not #",
        lambda: [percent(middle(np.abs(with_constants(pipelined, stage_balance=how)))) for how in (0.0, 1.0)],
    ),
    Sentence(
        "clock.md",
        "with it, llm-foundry's rows with recomputation would be predicted # % too slow, and not #; without it, DeepSpeed's # % too fast, and not #",
        lambda: [
            percent(sign * middle(with_constants(recomputed(software), last_matmul_share=share)))
            for software, sign, shares in (("llm-foundry", 1, (1.0, 0.0)), ("deepspeed", -1, (0.0, 1.0)))
            for share in shares
        ],
    ),
    Sentence("clock.md", "one sequence, vTrain's host-bound layer takes # ms longer than with two sequences", lambda: (f"{layer_ms(1) - layer_ms(2):.1f}",)),
    Sentence("warnings.md", "one sequence a layer of vTrain's took # ms, with two sequences #", lambda: [f"{layer_ms(n):.1f}" for n in (1, 2)]),
    Sentence("clock.md", "(# to # for Ampere, Hopper, Blackwell and CDNA, where # to # of the datasheet's peak are reached)", power),
    Sentence("clock.md", "meet # collectives with median errors of # to # %", switches),
    Sentence("clock.md", "below that of the isolated collectives (# against #)", link_shares),
    Sentence("clock.md", "all-reduces over 2, 4 and 8 V100s reach #, # and # GB/s; groups of 3, 5, 6 and 7, for which its rings fit the mesh badly, # to #", mesh_rates),
    Sentence("clock.md", "over two as over eight (# s and # s in scenario `mesh-links`)", mesh_steps),
    Sentence("clock.md", "whose collectives took # ms per ring step", lambda: (f"{1e3 * calibrations.shipped_values()['fabric-degraded', 'link_latency_s']:.1f}",)),
    Sentence("clock.md", "with tensor parallelism 8 a layer took # to # ms with one sequence of a micro-batch as with sixteen", degraded_layers),
    Sentence("clock.md", "blocked for about # s on every message", lambda: (f"{calibrations.shipped_values()['nanotron-early', 'send_latency_s']:.1f}",)),
    Sentence("planner.md", "`trainsim run hybrid-sharding` is # times faster by them", hybrid),
    Sentence("planner.md", "a part of each layout: # % of the variance on the measured sweep, with a standard deviation of # %", lambda: (percent(OWN_SHARE), percent(OWN_SPREAD))),
    Sentence("scaling.md", "Besiroglu's law misses Gadre's three sets of runs by # to # nats", missed),
    Sentence("growth.md", "without it, its # % are predicted as # %", stacked),
    Sentence("scaling.md", "the # with at most twenty epochs rank at #", few_epochs),
    Sentence("memory.md", "(fit: #; nanotron has two named buffers", profile("gathered_tensors")),
    Sentence("memory.md", "8 B; nanotron # B (fit)", profile("logit_bytes")),
    Sentence("memory.md", "| `fragmentation` | # of activations and logits |", profile("fragmentation")),
    Sentence("memory.md", "| `late_tensors` | # whole tensors", profile("late_tensors")),
    Sentence("memory.md", "| `late_logit_bytes` | # B per logit |", profile("late_logit_bytes")),
    Sentence("memory.md", "| `kept_gathers` | # whole tensors per layer |", profile("kept_gathers")),
    Sentence("memory.md", "| `reserve_bytes` | # GiB |", profile("reserve_bytes")),
    Sentence(
        "memory.md",
        "Runs of several stages before the repair of the engine: # %; after it: # %; runs of one stage: # % in the median and # % in the mean",
        by_version,
    ),
    Sentence("memory.md", "One stage on 512 accelerators, tp 16-32, unrepaired: up to +# %", lambda: worst_peaks()[0]),
    Sentence("memory.md", "Two stages, tp 4-16 and a large micro-batch: down to # %", lambda: worst_peaks()[1]),
    Sentence("measure.md", "between rounds a step moves by # to # %", rounds),
    Sentence("measure.md", "600 x 870 x 320 runs at # GFLOP/s, 640 x 896 x 384 at #, which is # %", odd_sizes),
)  # fmt: skip
"""Every sentence whose figures are computed."""


def block(page: str, mark: str) -> re.Match[str]:
    """A mark of a page, and the lines up to the end."""
    text = (DOCS / page).read_text(encoding="utf-8")
    found = re.search(rf"(?<={re.escape(mark)}\n).*?(?=<!-- end -->)", text, re.DOTALL)
    assert found, f"docs/{page} has no part between {mark} and the end"
    return found


def write() -> None:
    """Write all figures."""
    for (page, mark), lines in BLOCKS.items():
        found = block(page, mark)
        text = found.string[: found.start()] + "\n".join(lines()) + "\n" + found.string[found.end() :]
        (DOCS / page).write_text(text, encoding="utf-8")
    for sentence in SENTENCES:
        (DOCS / sentence.page).write_text(sentence.written(), encoding="utf-8")
