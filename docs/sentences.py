"""Figures in the sentences of hand-written pages: where each stands, and what computes it (`figures_of_runs`, `figures_of_parts`).

A sentence is written here as on its page, with # for each figure. `python docs/refresh.py sentences` writes the figures, and
tests/test_docs.py compares them. Errors are of the predicted step time, by the constants that ship.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from figures_of_parts import (
    a100_matmuls,
    by_version,
    few_epochs,
    hybrid,
    link_shares,
    link_table,
    memory_table,
    mesh_rates,
    mesh_steps,
    missed,
    odd_sizes,
    power,
    profile,
    rounds,
    stacked,
    switches,
    worst_peaks,
)
from figures_of_runs import (
    across_nodes,
    as_recomputed,
    coverage,
    crowding,
    degraded_layers,
    ends,
    errors,
    fast_rows,
    fitted,
    gains,
    inside,
    korthikanti,
    largest_share,
    layer_ms,
    message_scatter,
    middle,
    percent,
    pipelined,
    probes,
    recomputed,
    runs,
    settings,
    slow_rows,
    vtrain,
    widenings,
    widths,
    with_constants,
)

from simulator import calibrations
from simulator.search.robust import OWN_SHARE, OWN_SPREAD
from simulator.validate.slices import SWEEP

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


BLOCKS: dict[tuple[str, str], Callable[[], list[str]]] = {
    ("clock.md", "<!-- links: written by docs/refresh.py -->"): link_table,
    ("memory.md", "<!-- memory: written by docs/refresh.py -->"): memory_table,
}
"""Tables between such a mark and `<!-- end -->`."""

RESIDUALS = (
    ("Which of the 32 it is explains # % of the variance of the residual", lambda: settings()[:1]),
    ("a fit with few constants stays # % off in the mean over the 32", lambda: settings()[1:]),
    ("With tensor parallelism 8, # of # rows are predicted # to # % too slow", slow_rows),
    ("those of one node are predicted # % too fast", lambda: (percent(-errors(lambda f: vtrain(f) & (f.tp == 8)).mean()),)),
    ("Of the # rows, the three farthest off on the other side are predicted # to # % too fast", fast_rows),
    ("six of the eight rows are within # %; both rows of the trillion-parameter model are predicted # to # % too slow", korthikanti),
    ("Isolated matmuls on an A100 reach # of the peak before that fill (`micro.csv`), those in training rows #", a100_matmuls),
    ("Widths of 2,048, 10,240 and 12,288 are predicted # to # % too fast", lambda: ends(-errors(widths(2048, 10240, 12288)))),
    ("7,168 and 8,192 # to # % too slow", lambda: ends(errors(widths(7168, 8192)))),
    (
        "is predicted # % too fast in the median with micro-batches above two",
        lambda: (percent(-middle(errors(lambda f: (f.source == SWEEP) & (f.fabric == "fabric") & (f.tp > 8) & (f.micro > 2)))),),
    ),
    (
        "On the degraded one, tensor parallelism 8 is predicted # % too slow in the median",
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
        "DeepSeek-V3 and Qwen3 on the same machine and with the same recipe are off by # % at most",
        lambda: (percent(np.abs(errors(lambda f: f.gpu.str.contains("v7x") & f.model_name.str.contains("deepseek|qwen3", na=False))).max()),),
    ),
    (
        "as slow as 16 bits and is predicted # to # % too fast",
        lambda: ends(-errors(lambda f: f.notes.astype(str).str.contains("fp8 rowwise"))),
    ),
    (
        "Asynchronous tensor parallelism in torchtitan is not distinguished from the plain kind (# to # % too slow)",
        lambda: ends(
            errors(
                lambda f: (f.source == "torchtitan")
                & f.notes.astype(str).str.contains("async tp|asynctp", case=False)
                & ~f.notes.astype(str).str.contains("rowwise")
            )
        ),
    ),
    (
        "ZeRO 3 on V100 is predicted # % too fast",
        lambda: (percent(-middle(errors(lambda f: (f.source_group == "BigScience") & f.gpu.str.contains("V100") & (f.zero == 3)))),),
    ),
    (
        "tensor parallelism 8 is predicted # % too fast with micro-batches of one or four, # % with two",
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
    Sentence("validation.md", "Rows of left-out organisations lie inside their interval # times in a hundred", lambda: (percent(inside().mean()),)),
    Sentence(
        "validation.md",
        "rows that exposed more than two fifths of their step were inside # times in a hundred, rows that exposed less than a tenth # times; "
        "with the widening, # and # times",
        coverage,
    ),
    Sentence("validation.md", "r is # to # if one of the eight largest organisations is left out", widenings),
    Sentence(
        "clock.md",
        "vTrain's runs with tensor parallelism across nodes would be predicted # % too slow instead of #",
        lambda: [percent(middle(with_constants(across_nodes, tree_all_reduce=trees))) for trees in (0.0, 1.0)],
    ),
    Sentence(
        "clock.md",
        "one time per message describes them with a scatter of # %, where paying for a whole micro-batch's messages at every stage that "
        "fills the pipeline would scatter by # %",
        message_scatter,
    ),
    Sentence(
        "clock.md",
        "IBM's runs gain # % from the compiler at 7B and # % at 70B on A100, and are predicted to gain # and # %",
        gains,
    ),
    Sentence("clock.md", "BigScience's runs tell the power, #: eight groups together get # times what one of them would get alone", crowding),
    Sentence("clock.md", "from # GB/s on 64 GPUs to # on 512, while that of the healthy cluster stays at #", probes),
    Sentence("clock.md", "Of the # constants in the files # are fitted", fitted),
    Sentence(
        "clock.md",
        "with even stages, its pipelined runs in the sweep would be off by # % in the median instead of #",
        lambda: [percent(middle(np.abs(with_constants(pipelined, stage_balance=how)))) for how in (0.0, 1.0)],
    ),
    Sentence(
        "clock.md",
        "with it, llm-foundry's rows with recomputation would be predicted # % too slow instead of #; without it, DeepSpeed's # % too fast instead of #",
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
    Sentence("clock.md", "with tensor parallelism 8 a layer took # to # ms whether a micro-batch had one sequence or sixteen", degraded_layers),
    Sentence("clock.md", "blocked for about # s on every message", lambda: (f"{calibrations.shipped_values()['nanotron-early', 'send_latency_s']:.1f}",)),
    Sentence("planner.md", "They make `trainsim run hybrid-sharding` # times faster on a slow network", hybrid),
    Sentence("planner.md", "a part of each layout: # % of the variance on the measured sweep, with a standard deviation of # %", lambda: (percent(OWN_SHARE), percent(OWN_SPREAD))),
    Sentence("scaling.md", "Besiroglu's law misses Gadre's three sets of runs by # to # nats", missed),
    Sentence("growth.md", "when it is left out, its saving of # % is predicted as # %", stacked),
    Sentence("scaling.md", "On the # Datablations runs with at most twenty epochs, the rank correlation is #", few_epochs),
    Sentence("memory.md", "(fit: #; nanotron has two named buffers", profile("gathered_tensors")),
    Sentence("memory.md", "8 B; nanotron # B (fit)", profile("logit_bytes")),
    Sentence("memory.md", "| `fragmentation` | # of activations and logits |", profile("fragmentation")),
    Sentence("memory.md", "| `late_tensors` | # whole tensors", profile("late_tensors")),
    Sentence("memory.md", "| `late_logit_bytes` | # B per logit |", profile("late_logit_bytes")),
    Sentence("memory.md", "| `kept_gathers` | # whole tensors per layer |", profile("kept_gathers")),
    Sentence("memory.md", "| `reserve_bytes` | # GiB |", profile("reserve_bytes")),
    Sentence(
        "memory.md",
        "The median error is # % for runs of several stages before the repair of the engine and # % after it; runs of one stage are off by # % in the median "
        "and # % in the mean",
        by_version,
    ),
    Sentence("memory.md", "One stage on 512 accelerators, tp 16-32, unrepaired: up to +# %", lambda: worst_peaks()[0]),
    Sentence("memory.md", "Two stages, tp 4-16 and a large micro-batch: down to # %", lambda: worst_peaks()[1]),
    Sentence("measure.md", "between rounds a step moves by # to # %", rounds),
    Sentence("measure.md", "600 x 870 x 320 runs at # GFLOP/s and 640 x 896 x 384 at #, a loss of # %", odd_sizes),
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
