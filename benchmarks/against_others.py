"""Plans per second beside llm-analysis on the same 96 layouts: ``python benchmarks/against_others.py``.

llm-analysis (``pip install llm-analysis``, Apache-2.0) is optional and is skipped where it is missing. Calculon is not on PyPI: the
package of that name is another program. A 32-layer GPT of width 4,096 on 64 A100s, tp and pp of 1 to 8, micro-batches of 1 to 4, with
and without full recomputation; least processor time of five passes, step time and memory of every layout.
"""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Callable

import numpy as np

from simulator import calibrations, clocks
from simulator.layout import Layout
from simulator.schema import load_accelerator
from simulator.search.evaluate import Setting
from simulator.transformer import Shape

LAYOUTS = list(itertools.product((1, 2, 4, 8), (1, 2, 4, 8), (1, 2, 4), (0, 1)))
"""tp, pp, micro-batch, full recomputation."""

N_GPUS, BATCH, SEQ_LENGTH = 64, 768, 4096
SHAPE = {
    "num_hidden_layers": 32.0,
    "hidden_size": 4096.0,
    "num_attention_heads": 32.0,
    "intermediate_size": 16384.0,
}


def setting() -> Setting:
    accelerator = load_accelerator("a100-sxm-80gb")
    constants, _ = calibrations.constants_of(accelerator)
    return Setting(calibrations.device_of(accelerator), constants, clocks.CLOCKS["memory_copies"])


def shape() -> Shape:
    from simulator.schema import Model

    return Shape(**Model(**{key: int(value) for key, value in SHAPE.items()}, mlp_type="gelu").sizes())


def layout(columns: np.ndarray) -> Layout:
    tp, pp, micro, full = columns
    dp = N_GPUS / (tp * pp)
    return Layout(
        tp=tp,
        pp=pp,
        dp=dp,
        micro_batch_size=micro,
        num_microbatches=BATCH / (micro * dp),
        seq_length=float(SEQ_LENGTH),
        zero_stage=1.0,
        sequence_parallel=(tp > 1) * 1.0,
        recompute=2.0 * full,
    )


def one_by_one(at: Setting, model: Shape) -> None:
    for row in LAYOUTS:
        plan = layout(np.array(row, dtype=float))
        at.step_time(model, plan)
        at.memory(model, plan)


def at_once(at: Setting, model: Shape) -> None:
    plan = layout(np.array(LAYOUTS * 100, dtype=float).T)
    at.step_time(model, plan)
    at.memory(model, plan)


def llm_analysis() -> Callable[[], None] | None:
    """The same layouts by llm-analysis, if it is installed."""
    logging.disable(logging.CRITICAL)
    try:
        from llm_analysis.analysis import ActivationRecomputation, DSZeRO, LLMAnalysis
        from llm_analysis.config import (
            ModelConfig,
            ParallelismConfig,
            get_dtype_config_by_name,
            get_gpu_config_by_name,
        )
    except ImportError:
        return None
    model = ModelConfig(
        name="gpt",
        num_layers=32,
        hidden_dim=4096,
        n_head=32,
        max_seq_len=SEQ_LENGTH,
        vocab_size=32000,
        ffn_embed_dim=16384,
    )
    gpu, dtype = get_gpu_config_by_name("a100-sxm-80gb"), get_dtype_config_by_name("w16a16e16")

    def go() -> None:
        for tp, pp, micro, full in LAYOUTS:
            split = ParallelismConfig(tp_size=tp, pp_size=pp, dp_size=N_GPUS // (tp * pp), sp_size=tp)
            LLMAnalysis(model, gpu, dtype, split, flops_efficiency=0.5).training(
                batch_size_per_gpu=micro,
                global_batch_size=BATCH,
                seq_len=SEQ_LENGTH,
                total_num_tokens=int(1e12),
                activation_recomputation=ActivationRecomputation.FULL
                if full
                else ActivationRecomputation.NONE,
                ds_zero=DSZeRO(1),
            )

    return go


def least(work: Callable[[], None], passes: int = 5) -> float:
    found = []
    for _ in range(passes):
        start = time.process_time()
        work()
        found.append(time.process_time() - start)
    return min(found)


def main() -> None:
    at, model = setting(), shape()
    print("| program | plans per processor second |\n|---|---:|")
    print(
        f"| trainsim, 9,600 plans as arrays | {100 * len(LAYOUTS) / least(lambda: at_once(at, model)):,.0f} |"
    )
    print(f"| trainsim, one plan at a time | {len(LAYOUTS) / least(lambda: one_by_one(at, model)):,.0f} |")
    other = llm_analysis()
    if other is None:
        print("| llm-analysis | not installed |")
    else:
        print(f"| llm-analysis, one plan at a time | {len(LAYOUTS) / least(other):,.0f} |")


if __name__ == "__main__":
    main()
