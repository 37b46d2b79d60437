"""What stands beside the numbers: assumptions, sources and warnings."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from simulator import goodput, growth, library, money, pipeline, scaling, transformer
from simulator.scaling.reference import range_text
from simulator.schema import Scenario
from simulator.search import answer as answers
from simulator.search import growing, kernel_remarks, offers, uneven
from simulator.search.notes import Notes
from simulator.search.question import BATCH_LAW, REFERENCE_BATCH_LAW, Machine, Question
from simulator.search.table import Plan
from simulator.transformer import Shape
from simulator.units import format_quantity

EXCLUDED = (
    "evaluation, data preparation and staff",
    "storage and network traffic charges",
    "time in a queue",
)
"""What no answer contains."""

FEW_TOKENS = 1.0
"""Fewer tokens are those of a fine-tune rather than of a run from scratch: a choice, GPT-3 saw 1.7. [tokens/parameter]"""

FADING_EPOCHS = 4.0
"""Repetitions from which on data are worth clearly less than fresh ones (Muennighoff et al., arXiv:2305.16264). [-]"""


def annotate(scenario: Scenario, question: Question, notes: Notes, best: Plan) -> None:
    """Say what was assumed, where laws are outside their range, and where numbers come from."""
    machine = question.machines[best.machine]
    notes.source("clock and calibration", str(machine.about["evidence"]["text"]))
    convention = answers.convention_of(best)
    attention = "whole" if convention == answers.CONVENTION else "without what the causal mask leaves out"
    notes.assumptions.append(
        f"FLOP by the {convention} convention (attention counted {attention}, logits in, recomputation apart)"
    )
    notes.excluded.extend(EXCLUDED)
    _annotate_goodput(question, notes, best)
    _annotate_cluster(scenario, notes)
    _annotate_links(notes, machine, best)
    offers.annotate(question, notes, best)
    uneven.annotate(question, notes, best)
    _annotate_positions(scenario, notes)
    _annotate_batch(question, notes, best)
    _annotate_stages(question, notes, best)
    kernel_remarks.annotate(question, notes, best)
    _annotate_simplified(question, notes, best)
    if question.inference_tokens:
        use = question.serving_utilisation or float(money.request_utilisation())
        given = question.serving_utilisation is not None
        of = (
            "the scenario's"
            if given
            else "requests and utilisation of arXiv:2401.00448; inference.utilisation sets it"
        )
        notes.assumptions.append(
            f"serving on the same accelerators at {100 * use:.1f} % of their 16-bit peak ({of})"
        )
        if question.limits.cost_usd is not None:
            notes.assumptions.append("the limit on cost covers training and serving")
    if np.isfinite(best.columns["tokens"]):
        if question.from_scratch:
            _annotate_loss(question, notes, best)
        else:
            _annotate_fine_tune(question, notes)
    else:
        notes.warn(
            "no-tokens", "neither tokens nor a limit is given, so time to train, cost and loss are unknown"
        )


def _annotate_cluster(scenario: Scenario, notes: Notes) -> None:
    """Say where a cluster is named after other accelerators than the ones that are in it here."""
    for hardware in scenario.hardware:
        accelerator, cluster = hardware.accelerator, hardware.cluster
        if cluster is None:
            continue
        held = chips_in(cluster.id or "", cluster.name, *cluster.aliases)
        own = chips_in(accelerator.id or "", accelerator.name, *accelerator.aliases)
        if held and own and not held & own:
            label = cluster.label
            notes.warn(
                "cluster",
                f"{label} is named after {' and '.join(sorted(held))}, the accelerators are {accelerator.label}: nodes, "
                f"network and power are taken from {label} nevertheless",
            )


def chips_in(*texts: str) -> set[str]:
    """Accelerators that are named in texts, without form and memory.

    Examples
    --------
    >>> sorted(chips_in("dgx-h100", "DGX H100 or H200, 8x NDR InfiniBand")), chips_in("aws-p5", "AWS p5 and p5e, EFA v2")
    (['h100', 'h200'], set())
    """
    words = ["-" + re.sub(r"[^a-z0-9]+", "-", text.lower()) + "-" for text in texts]
    known = {re.split(r"-(?:sxm|pcie|oam|nvl|gcd|\d+gb)", each)[0] for each in library.names("accelerators")}
    return {chip for chip in known if any(f"-{chip}-" in text for text in words)}


def _annotate_positions(scenario: Scenario, notes: Notes) -> None:
    """Say where sequences are longer than the model's positions; a template's are not those of the answer."""
    model, length = scenario.model, scenario.training.seq_length
    longest = None if model is None or scenario.searches_shapes else model.max_position_embeddings
    if model is not None and longest is not None and length > longest:
        notes.warn(
            "sequence-length",
            f"sequences of {length:,} are longer than the {longest:,} positions of {model.label} (max_position_embeddings)",
        )


def _annotate_batch(question: Question, notes: Notes, best: Plan) -> None:
    """Say which whole batch stands for one that was written in tokens, where the devices do not divide that."""
    pinned = question.pins.global_batch_size
    if question.batch_in_tokens and pinned is not None and best.batch_sequences != pinned:
        sequences, tokens = best.batch_sequences, format_quantity(best.batch_tokens, "token")
        notes.assumptions.append(
            f"global_batch_tokens is rounded to {sequences:,.0f} sequences ({tokens} tokens), which the devices divide; "
            f"{pinned:,.0f} come nearest to what was written"
        )


def _annotate_stages(question: Question, notes: Notes, best: Plan) -> None:
    """Say how layers are dealt to pipeline stages that do not divide them."""
    depth, stages = int(best.shape.num_hidden_layers), int(best.layout.pp)
    if depth % stages:
        balance = question.machines[best.machine].setting.constants.stage_balance
        notes.assumptions.append(dealt_words(best.shape, stages=stages, balance=float(np.min(balance))))


def dealt_words(shape: Shape, *, stages: int, balance: float = 0.0) -> str:
    """How many layers each of several pipeline stages holds, in words.

    Examples
    --------
    >>> llama = transformer.decoder(num_hidden_layers=126, hidden_size=16384, num_attention_heads=128, vocab_size=128256)
    >>> dealt_words(llama, stages=16)
    '126 layers on 16 stages: 8 on 14 of them, 7 on the other 2, the last among these; a step takes as long as the fullest'
    """
    depth = int(shape.num_hidden_layers)
    most, last = (
        int(n)
        for n in pipeline.stage_layers(
            num_hidden_layers=depth, pp=stages, balance=balance, head=pipeline.head_cost(shape)
        )
    )
    full = depth - (most - 1) * stages
    dealt = f"{most} on {full} of them, {most - 1} on the other {stages - full}, the last among these"
    if balance > 0.5:
        dealt = f"dealt by their work with the output head counted, {most} on the first, {last} on the last"
    return f"{depth:,} layers on {stages} stages: {dealt}; a step takes as long as the fullest"


NARROW = ("fp8", "fp4")
"""Formats of matmuls in which not all of a step runs."""


def _annotate_simplified(question: Question, notes: Notes, best: Plan) -> None:
    """Say what the clock takes for granted of routing to experts, and what runs in a format below 16 bits."""
    if best.shape.num_experts:
        notes.assumptions.append(
            "every expert gets the same number of tokens and none is dropped, as in NVIDIA's published runs of mixtures, "
            "which balance routing by force; uneven routing is slower"
        )
    used = question.machines[best.machine].matmul_precision
    if used not in NARROW:
        return
    products = "both products" if best.layout.frozen else "all three products"
    text = (
        f"{used} for {products} of every linear layer, experts and logits included (forward, gradients); attention's core "
        "and what lies between matmuls do not run in it"
    )
    if question.from_scratch and np.isfinite(best.columns["tokens"]):
        text += f"; the law of loss does not know of {used}"
    notes.assumptions.append(text)


def _annotate_goodput(question: Question, notes: Notes, best: Plan) -> None:
    """Where the useful share of the time comes from."""
    machine = question.machines[best.machine]
    failures, share = machine.failures, question.goodput_of(best.n_gpus, machine)
    if question.goodput is not None:
        notes.excluded.append("failures and stalls beyond the goodput of the scenario")
        return
    at = f"goodput {share:.4f} at {best.n_gpus} accelerator{'' if best.n_gpus == 1 else 's'}"
    slow = (
        f", less {100 * failures.stragglers:g} % for stragglers" if failures and failures.stragglers else ""
    )
    if failures is None or not failures.rated:
        notes.assumptions.append(f"{at}, scaled from Llama 3's published run{slow}")
        notes.source("goodput", goodput.SOURCE)
    elif failures.gpu_mtbf_s is None:
        alone = float(goodput.scaled(n_gpus=best.n_gpus))
        notes.assumptions.append(
            f"{at}: nodes are taken away as the scenario says; for failures, of which no rate is given, {100 * (1 - alone):.2g} % of the "
            f"time is taken off, scaled from Llama 3's published run{slow}"
        )
        notes.source("failures of accelerators", goodput.SOURCE)
    if failures is not None and failures.rated:
        half = "" if failures.checkpoint_s is None else "; half an interval of work is lost each time"
        notes.source("interruptions", f"rates and times in the scenario{half}")
        if failures.checkpoint_s is None:
            lost = goodput.LLAMA3_LOST_S / 60
            notes.assumptions.append(
                f"an interruption costs {lost:.0f} minutes, what one cost Llama 3's run at most"
            )
    notes.excluded.append("stalls of the input pipeline, and failures beyond those in the goodput")


def _annotate_fine_tune(question: Question, notes: Notes) -> None:
    """A fine-tune has time, memory and cost, and no loss."""
    notes.warn(
        "fine-tuning", "the laws of loss are for training from scratch: no loss is predicted for a fine-tune"
    )
    if question.pins.global_batch_size is None:
        notes.assumptions.append(
            "the batch is one that suits training from scratch; write training.global_batch_size"
        )


def _annotate_links(notes: Notes, machine: Machine, best: Plan) -> None:
    """Say where the plan sends over a link or a network of which nothing is known."""
    device = machine.setting.device
    if machine.about.get("no_link") and best.n_gpus > 1:
        speed = float(device.link_bandwidth) / 1e9
        notes.warn(
            "no-link",
            f"no link of {machine.label} is known; {speed:.3g} GB/s are assumed, half of its host link",
        )
    if machine.about.get("no_network") and best.n_gpus > float(device.link_domain):
        speed = float(device.network_bandwidth) / 1e9
        cluster = machine.about.get("cluster")
        where = f"neither {machine.label} nor cluster {cluster} states a network"
        notes.warn(
            "no-network",
            f"{where if cluster else f'no network of {machine.label} is known'}; {speed:.3g} GB/s per accelerator are assumed, half of "
            f"PCIe 4.0 x16; write hardware.network_bandwidth{'' if cluster else ', or name a cluster'}",
        )


def _annotate_loss(question: Question, notes: Notes, best: Plan) -> None:
    """Say where the loss comes from, and where it may be wrong."""
    law, tokens = scaling.get(question.learning.law), best.columns["tokens"]
    about = f"{law.source}, {law.corpus}, tokenizer {law.tokenizer}"
    if law.provenance == "own":
        covered = range_text(law) or "a range that is not stated"
        about = f"{law.source}; fitted on {covered}; corpus {law.corpus}"
    notes.source(f"law of loss {law.name}", about)
    if question.learning.shape_law:
        notes.source(
            f"law of shape {question.learning.shape_law}", scaling.get(question.learning.shape_law).source
        )
    _annotate_law(question, notes, best)
    notes.assumptions.append(
        f"a batch costs tokens by the critical batch of {BATCH_LAW}, from the batch of {REFERENCE_BATCH_LAW} on"
    )
    error = answers.law_error(question, best)
    whose = "arXiv:2410.11840" if error == answers.LAW_ERROR else f"as {law.name} states for this compute"
    notes.assumptions.append(
        f"the interval of the loss joins that of the step time with the {100 * error:.2g} % error of an extrapolated loss "
        f"({whose}); differences between plans under one law are much smaller"
    )
    _annotate_shape(question, notes, best)
    unique = question.learning.unique_tokens
    if unique and tokens > FADING_EPOCHS * unique:
        notes.warn(
            "repeated-data",
            f"the data are repeated {tokens / unique:.1f} times; beyond about {FADING_EPOCHS:g} the gain fades (arXiv:2305.16264)",
        )
    if best.shape.num_experts:
        notes.warn(
            "moe-loss",
            "laws of dense models see the active parameters only: the loss of a mixture is pessimistic",
        )


RANGE_WORDS = {"params": "parameters", "num_hidden_layers": "layers", "hidden_size": "wide"}
"""Inputs of laws in the words of answers, where they have others."""


def _covered(name: str, low: float, high: float) -> str:
    """Range of one input of a law in words."""
    if name in ("params", "tokens"):
        ends = [format_quantity(end, "token") for end in (low, high)]
    else:
        ends = [f"{end:,g}" for end in (low, high)]
    return f"{ends[0]} to {ends[1]} {RANGE_WORDS.get(name, name)}"


def _annotate_law(question: Question, notes: Notes, best: Plan) -> None:
    """Say where the law is asked of a run that it was not made for."""
    law, tokens = scaling.get(question.learning.law), best.columns["tokens"]
    if law.range and not law.in_range(params=best.params, tokens=tokens):
        covered = ", ".join(_covered(name, *ends) for name, ends in law.range.items())
        notes.warn("law-range", f"{law.name} was fitted on {covered}; this plan lies outside")
    guessing = float(np.log(best.shape.vocab_size)) if best.shape.vocab_size > 1 else float("inf")
    if best.columns["loss"] > guessing:
        notes.warn(
            "law-range",
            f"a loss of {best.columns['loss']:.4g} is above ln({best.shape.vocab_size:,}) = {guessing:.3g}, that of guessing: "
            f"{law.name} says nothing of so short a run",
        )
    each = tokens / float(transformer.active_parameters(best.shape))
    if question.fixed and each < FEW_TOKENS:
        notes.warn(
            "few-tokens",
            f"{each:.2g} tokens per parameter are few to train a model from scratch, as the loss takes for granted; for a fine-tune "
            "write training.from_pretrained: true, or trainable: lora",
        )
    by_error = any(each.name == "error" for each in question.qualities)
    if not law.chooses_tokens and not by_error and question.tokens is None and question.steps is None:
        notes.warn(
            "law-choice",
            f"{law.name} says what a given number of tokens per parameter yields and is not for choosing that number, as this "
            "answer does; take another law, such as Besiroglu2024",
        )


def _annotate_shape(question: Question, notes: Notes, best: Plan) -> None:
    if question.learning.shape_law is None:
        return
    law = scaling.get(question.learning.shape_law)
    sizes = {"hidden_size": best.shape.hidden_size, "num_hidden_layers": best.shape.num_hidden_layers}
    if law.range and not law.in_range(**sizes):
        limits = [_covered(name, *ends) for name, ends in law.range.items() if name in sizes]
        notes.warn(
            "shape-law-range",
            f"{law.name} was fitted on {', '.join(limits)}; beyond, the choice of depth against width is an extrapolation",
        )


def annotate_growth(
    question: Question, notes: Notes, grown: growing.Grown, by_size: Mapping[str, Any]
) -> None:
    """Say what a schedule rests on, and whether it rests on the law of shape (`held.by_size`)."""
    notes.assumptions.append(
        f"growth: credit for the source's loss, then {grown.answer.kappa:g} times the progress per token (kappa, an "
        "assumption with published cases on both sides); costs are seconds of each stage's own fastest layout"
    )
    usual = grown.switch_s == growing.SWITCH_S
    stop = format_quantity(grown.switch_s, "second", digits=2)
    source = "what one interruption of Llama 3's run cost" if usual else "growth.switch_time"
    share = f"; {100 * grown.switch_s / grown.budget_s:.2g} % of the run each" if grown.switch_s else ""
    notes.assumptions.append(f"a switch stops training for {stop}, {source}{share}")
    early = earliest_switch(grown.answer.best)
    if grown.given is None and early < growth.LEAST_SOURCE_SHARE:
        notes.warn(
            "growth-early",
            f"a model is grown after {100 * early:.2g} % of the compute up to the end of the next one; no published case grew before "
            f"{100 * growth.LEAST_SOURCE_SHARE:.2g} % (arXiv:2405.15319), and kappa is read from those: with kappa above 1 any small "
            "model would seem to help, however briefly it is trained",
        )
    if by_size.get("decides"):
        notes.warn(
            "growth-shape",
            f"{by_size['shape_law']} decides between the schedule and the run from scratch: by {question.learning.law_name} alone they end "
            f"at {by_size['loss']:.4f} and {by_size['loss_scratch']:.4f} nats/token; shape_law: none plans both without it",
        )


def earliest_switch(schedule: growth.Schedule) -> float:
    """Least share of compute (parameters times tokens) before a switch, of that up to the end of the model it leads to. [-]

    Examples
    --------
    >>> from dataclasses import replace
    >>> stage = growth.Stage(size=0, params=1e9, tokens=1e10, cost=1.0, switch_cost=0.0, loss_start=3.0, loss_end=2.5,
    ...                      credit_tokens=0.0, kappa=1.0)
    >>> earliest_switch(growth.Schedule((stage, replace(stage, params=2e9, tokens=4.95e11)), 2.2, 2.0))
    0.01
    """
    spent = np.cumsum([stage.params * stage.tokens for stage in schedule.stages])
    shares = spent[:-1] / spent[1:]
    return round(float(np.min(shares)), 12) if len(shares) else 1.0
