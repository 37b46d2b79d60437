"""The page of names: every field that a user writes, every figure that an answer holds, with its unit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

from simulator.report.tables import Table

EVIDENCE = (
    "grade (measured, transferred, datasheet), calibration sets, error on rows like this one (in formats of as many `bits`, if "
    "`regime` says so), rows and regime of the interval, exposed share; `own`: sets of one's own, each with its file, table, rows and organisations"
)

RESULT: dict[str, tuple[str, str]] = {
    "accelerator": ("-", "id of the accelerator"),
    "n_gpus": ("-", "accelerators"),
    "tp": ("-", "degree of tensor parallelism"),
    "pp": ("-", "degree of pipeline parallelism"),
    "dp": ("-", "degree of data parallelism"),
    "cp": ("-", "degree of context parallelism"),
    "ep": ("-", "degree of expert parallelism, inside the data-parallel dimension"),
    "vp": ("-", "virtual pipeline stages per device"),
    "micro_batch_size": ("sequences", "per device and forward pass"),
    "num_microbatches": ("-", "micro-batches per step and pipeline"),
    "global_batch_size": ("sequences", "per optimizer step"),
    "global_batch_tokens": ("tokens", "per optimizer step"),
    "seq_length": ("tokens", "in a sequence"),
    "zero_stage": ("-", "states sharded over data parallelism; 3 is FSDP"),
    "shard_group": ("-", "accelerators of a group of hybrid sharding, absent where there is one group"),
    "sequence_parallel": ("-", "norms and dropout split over the tensor-parallel group"),
    "recompute": ("-", "none, selective (attention) or full (layers)"),
    "flash_attention": ("-", "attention without scores in memory"),
    "cuda_graphs": (
        "-",
        "kernels issued as one: partial (layers without experts) or full; absent where none are",
    ),
    "fp8_attention": ("-", "attention multiplies in 8 bits; absent where it does not"),
    "fused_experts": ("-", "one kernel for all experts of a device; absent where there is one for each part"),
    "dispatcher": ("-", "how tokens reach experts of other devices; absent where ep is 1"),
    "expert_overlap": (
        "-",
        "exchange between experts beside the work of another micro-batch; absent where not",
    ),
    "precision": ("-", "number format of the matrix products"),
    "optimizer": ("-", "optimizer"),
    "num_hidden_layers": ("-", "layers"),
    "hidden_size": ("-", "width of the residual stream"),
    "intermediate_size": ("-", "width of the feed-forward block"),
    "num_attention_heads": ("-", "query heads"),
    "num_key_value_heads": ("-", "key and value heads"),
    "head_dim": ("-", "size of a head"),
    "vocab_size": ("tokens", "in the vocabulary"),
    "num_experts": ("-", "routed experts per layer"),
    "num_experts_per_tok": ("-", "routed experts that a token visits"),
    "sliding_window": ("tokens", "last tokens that a token sees in a windowed layer"),
    "attention_chunk_size": ("tokens", "of a chunk, where a token sees its own chunk only"),
    "sliding_window_pattern": ("-", "one layer in this many sees the whole sequence"),
    "moe_intermediate_size": ("-", "width of an expert"),
    "params": ("-", "parameters, embeddings included"),
    "active_params": ("-", "parameters that a token passes through"),
    "non_embedding_params": ("-", "parameters without embeddings"),
    "step_time_s": ("s", "time of an optimizer step"),
    "tokens_per_s": ("tokens/s", "of all accelerators"),
    "tokens_per_s_per_gpu": ("tokens/s", "of one accelerator"),
    "model_tflops_per_gpu": ("TFLOP/s", "model FLOP rate of one accelerator, recomputation not counted"),
    "mfu": ("-", "model_tflops_per_gpu over peak_tflops"),
    "hfu": ("-", "the same with recomputation counted"),
    "mfu_of_bf16_peak": ("-", "MFU over the dense 16-bit peak, where another precision is used"),
    "mfu_by_convention": ("-", "MFU under each FLOP convention (docs/assumptions.md)"),
    "flop_convention": ("-", "convention of mfu and model_tflops_per_gpu"),
    "peak_tflops": ("TFLOP/s", "dense peak that MFU is divided by"),
    "peak_precision": ("-", "number format of that peak"),
    "breakdown": ("s", "step time by level; the rows sum to step_time_s"),
    "memory_gib": ("GiB", "peak on the fullest device; 2^30 bytes"),
    "memory_capacity_gib": ("GiB", "memory that a program can use"),
    "memory_margin_gib": ("GiB", "capacity less peak"),
    "memory_verdict": ("-", "FITS, TIGHT (margin below 8 %) or DOES NOT FIT"),
    "memory": ("GiB", "peak by category; the rows sum to memory_gib"),
    "tokens": ("tokens", "trained on"),
    "steps": ("-", "optimizer steps"),
    "goodput": ("-", "share of wall-clock time spent on steps that count"),
    "time_to_train_days": ("days", "wall-clock time of the run"),
    "gpu_hours": ("h", "accelerator-hours of the run"),
    "cost_usd": ("USD", "rent of the accelerators during the run"),
    "usd_per_gpu_hour": ("USD/h", "rent of one accelerator"),
    "usd_per_m_tokens": ("USD", "cost of a million trained tokens"),
    "energy_mwh": ("MWh", "energy of the run"),
    "power_per_gpu_w": ("W", "power of one accelerator with its share of the building"),
    "co2e_t": ("t", "emissions of the run, if the grid is known"),
    "loss": ("nats/token", "predicted final loss; null for a fine-tune"),
    "quality": ("-", "predicted accuracy or error, where one is required"),
    "latency_s": ("s", "least time between two tokens of an answer, a bound"),
    "offer": ("-", "who asks the price, on which terms, and when"),
    "terms": ("-", "terms of the price: on_demand, spot, reserved_1y, owned (bought, in the scenario), ..."),
    "outlay_usd": (
        "USD",
        "what all accelerators cost at once where they are bought; cost_usd is the run's share",
    ),
    "cluster": ("-", "cluster that the accelerators stand in, where one is named"),
    "network_gbit_per_s": ("Gb/s", "network of one accelerator in one direction"),
    "mark": ("-", "what a plan of a front is best in"),
    "loss_law": ("-", "law of loss"),
    "shape_law": ("-", "law of depth and width on top of it"),
    "batch_factor": (
        "-",
        "tokens at the law's own batch that one token at this batch is worth; null for a fine-tune",
    ),
    "tokens_per_param": ("-", "tokens over active parameters"),
    "unique_tokens": ("tokens", "distinct tokens available"),
    "epochs": ("-", "tokens over distinct tokens"),
    "inference_tokens": ("tokens", "served after training"),
    "serving_gpu_hours": ("h", "accelerator-hours of serving"),
    "serving_cost_usd": ("USD", "cost of serving"),
    "lifetime_gpu_hours": ("h", "accelerator-hours of training and serving"),
    "lifetime_cost_usd": ("USD", "cost of training and serving"),
    "interval": ("as the figure", "10th and 90th percentile of some figures"),
    "evidence": ("-", EVIDENCE),
    "kind": ("-", "of an alternative: architecture, hardware, layout, scratch or growth"),
    "why": ("-", "of an alternative: why it lost"),
    "rank": ("-", "place in a list; 0 is the answer"),
}
"""Figure of an answer, to its unit and meaning."""

STAGE: dict[str, tuple[str, str]] = {
    "stage": ("-", "number of the stage; 0 is a given model"),
    "time_days": ("days", "wall-clock time of the stage"),
    "switch_days": ("days", "of it, spent on the switch"),
    "loss_start": ("nats/token", "loss at the start, after the switch"),
    "loss_end": ("nats/token", "loss at the end"),
    "peak_learning_rate": ("-", "peak learning rate of AdamW that StepLaw recommends for the stage"),
    "recommended_batch_tokens": ("tokens", "batch that StepLaw recommends for the stage"),
    "credit_tokens": ("tokens", "tokens from scratch that the inherited loss is worth to the grown model"),
    "kappa": ("-", "what a token is worth after the switch, relative to training from scratch"),
}
"""Figures that only a growth stage has."""

SECTIONS: dict[str, str] = {
    "feasible": "whether a plan keeps all limits",
    "scenario": "the question as it was understood",
    "version": "version of the program",
    "answer": "the chosen plan",
    "alternatives": "the next best plans, each with why it lost",
    "warnings": "what to be careful with: id (docs/warnings.md) and message",
    "sources": "where the numbers come from",
    "assumptions": "what was assumed",
    "excluded": "what the numbers do not contain",
    "binding": "the limit that decides, and what a little more of it would buy",
    "family": "the plans that the law of loss cannot tell from the answer",
    "search": "how many plans were looked at, and why others were refused",
    "stages": "models trained in turn, if the answer grows one into the next",
    "growth": "growth against training from scratch, for each kappa",
    "infeasible": "why nothing runs, by how much, and the smallest change that helps",
    "requirements": "what was required of the trained model beside what is predicted, with its interval",
    "interruptions": "useful share of the time, where it comes from, and the answer under other rates of interruptions",
    "offers": "when spot stops paying, from which use on buying pays",
    "fewest_gpus": "the fewest accelerators on which the plan's model ends in time",
    "frontier": "with several objectives the plans that no other beats in all of them",
}
"""Top level of the JSON document."""

UNITS = {
    "byte": "bytes",
    "byte/second": "bytes/s",
    "FLOP/second": "FLOP/s",
    "second": "time",
    "watt": "power",
    "joule": "energy",
    "token": "tokens",
    "parameter": "parameters",
    "count": "count",
    "fraction": "share",
    "USD": "USD",
    "USD/GPU": "USD per accelerator",
    "gCO2e/kWh": "gCO2e/kWh",
}
"""Dimension of a quantity, to how the page names it; values in files carry their unit."""


def fields_of(spec: Any) -> Iterator[tuple[str, str, str, str]]:
    """Name, unit, default and description of every field of a specification."""
    from simulator.schema.texts import texts_of

    texts = texts_of(spec)
    for name, each in spec.model_fields.items():
        if each.is_required():
            default = "required"
        else:
            value = each.get_default(call_default_factory=True)
            plain = isinstance(value, (str, int, float, bool)) or value is None
            default = (
                ("" if value is None else str(value).lower() if isinstance(value, bool) else str(value))
                if plain
                else ""
            )
        yield name, _unit(each), default, " ".join(texts.get(name, "").split())


def _unit(each: Any) -> str:
    """Dimension of a field, wherever its annotation holds it."""
    from simulator.schema.base import Quantity

    def search(kind: Any) -> str:
        for mark in getattr(kind, "__metadata__", ()):
            if isinstance(mark, Quantity):
                return UNITS.get(mark.dimension.name, mark.dimension.name)
        return next((found for part in get_args(kind) if (found := search(part))), "")

    own = next((m for m in each.metadata if isinstance(m, Quantity)), None)
    return UNITS.get(own.dimension.name, own.dimension.name) if own else search(each.annotation)


def specifications() -> dict[str, Any]:
    """Heading to the specification below it, in the order of the page."""
    from simulator import schema
    from simulator.schema import (
        accelerator,
        budget,
        calibration,
        growth,
        hardware,
        parallelism,
        price,
        training,
    )
    from simulator.schema import scenario as scenarios

    return {
        "Scenario": schema.Scenario,
        "Scenario: `training`": training.Training,
        "Scenario: `parallelism`": parallelism.Parallelism,
        "Scenario: `hardware`": hardware.Hardware,
        "Scenario: `budget`": budget.Budget,
        "Scenario: `require`": schema.Require,
        "Scenario: `inference`": budget.Inference,
        "Scenario: `reliability`": schema.Reliability,
        "Scenario: `growth`": growth.Growth,
        "Scenario: `search`": scenarios.Search,
        "Model": schema.Model,
        "Accelerator": schema.Accelerator,
        "Accelerator: `peak_flops`": accelerator.PeakFlops,
        "Accelerator: `link`": accelerator.Link,
        "Accelerator: `network`": accelerator.Network,
        "Accelerator: `host_link`": accelerator.HostLink,
        "Cluster": schema.Cluster,
        "Price book": price.PriceBook,
        "Price book: `prices`": price.PriceEntry,
        "Hardware: `price` from a book": price.PriceChoice,
        "Hardware: `price` of a purchase": schema.Ownership,
        "Calibration": calibration.Calibration,
        "Calibration: `constants`": calibration.Constant,
        "Calibration: `provenance`": calibration.Provenance,
    }


def page() -> str:
    """The page docs/nomenclature.md."""
    lines = [
        "<!-- Written by `python docs/refresh.py`; do not edit. -->",
        "# Names and units",
        "",
        *INTRODUCTION,
        "",
    ]
    for title, spec in specifications().items():
        rows = [(f"`{name}`", unit, default, _once(text)) for name, unit, default, text in fields_of(spec)]
        lines += [
            *Table(title, ("field", "quantity", "default", "meaning"), rows, left=(0, 1, 2, 3)).markdown(),
            "",
        ]
    lines += [
        *Table(
            "Result", ("key", "meaning"), [(f"`{k}`", v) for k, v in SECTIONS.items()], left=(0, 1)
        ).markdown(),
        "",
    ]
    for title, names in (("Result: `answer` and `alternatives`", RESULT), ("Result: `stages`", STAGE)):
        figures = [(f"`{name}`", unit, text) for name, (unit, text) in names.items()]
        lines += [*Table(title, ("figure", "unit", "meaning"), figures, left=(0, 1, 2)).markdown(), ""]
    return "\n".join(lines).rstrip() + "\n"


INTRODUCTION = (
    "Inputs are written with their unit (`80 GB`, `10 days`, `$2.99/GPU-h`); outputs are plain numbers whose names end in it.",
    "`GB` is 10^9 bytes, `GiB` 2^30; `Gb/s` counts bits, `GB/s` bytes. Model names are those of Hugging Face's",
    "`config.json`, batch names those of Megatron-LM.",
)


def _once(text: str) -> str:
    return text.replace("``", "`")
