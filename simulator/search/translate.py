"""From a scenario to a `Question`: limits, laws, requirements, and what is pinned. Its machines: `simulator.search.machines`."""

from __future__ import annotations

from dataclasses import replace

from simulator import scaling
from simulator.clocks import CLOCKS
from simulator.errors import UnknownNameError
from simulator.layout import CUDA_GRAPHS, DISPATCHERS, NF4_BYTES, RECOMPUTE, SCHEDULES
from simulator.memory import states
from simulator.scaling import Law
from simulator.schema import Scenario
from simulator.search import goal, lacking, quality, software
from simulator.search.lattice import Pins
from simulator.search.machines import machine_of
from simulator.search.notes import Notes
from simulator.search.quality import Quality
from simulator.search.question import Learning, Limits, Question, Service

LONGEST_DAYS = 90.0
"""Length of a run where neither time nor the number of accelerators is given. [days]"""

DEFAULT_SHAPE_LAW = "Gemstones2025"
"""Law of depth and width for a search over shapes that names none: without one only speed would choose the shape."""

NO_SHAPE_LAW = "none"
"""What a scenario writes in place of a law of depth and width so that none corrects the loss."""

USUAL_DISPATCHER = "alltoall"
"""How tokens reach their experts where a scenario does not say."""


def question_of(scenario: Scenario, notes: Notes) -> Question:
    """Numbers of a scenario; what was assumed on the way goes into `notes`."""
    if scenario.clock not in CLOCKS:
        raise UnknownNameError(scenario.clock, kind="clock", names=CLOCKS)
    open_count = any(h.n_gpus is None for h in scenario.hardware)
    budget, training = scenario.budget, scenario.training
    time_s = budget.time
    if time_s is None and open_count:
        time_s = LONGEST_DAYS * 86400.0
        notes.assumptions.append(
            f"a run of at most {LONGEST_DAYS:g} days, since neither time nor n_gpus is given"
        )
    shape_law = _shape_law(scenario, notes)
    _template(scenario, notes)
    _stack(scenario, notes)
    _quantized(scenario, notes)
    machines = tuple(
        machine_of(scenario, choice, notes) for hardware in scenario.hardware for choice in hardware.choices
    )
    question = Question(
        machines=machines,
        limits=Limits(time_s, budget.cost, budget.energy, budget.carbon),
        learning=Learning(_law(scenario), shape_law, training.unique_tokens),
        seq_length=training.seq_length,
        pins=pins_of(scenario),
        tokens=training.tokens,
        steps=training.steps,
        goodput=scenario.goodput,
        inference_tokens=scenario.inference.tokens if scenario.inference else None,
        serving_utilisation=scenario.inference.utilisation if scenario.inference else None,
        zero_stages=software.ZERO_OF.get(scenario.software, (1, 3)),
        interleave=scenario.software in software.INTERLEAVES,
        flash_attention=training.flash_attention,
        max_alternatives=scenario.search.max_alternatives,
        batch_in_tokens=training.global_batch_tokens is not None,
        qualities=qualities_of(scenario, notes),
        objectives=tuple(goal.COLUMNS[name] for name in scenario.objective),
        service=service_of(scenario),
        pretrained=training.fine_tunes,
        dispatcher=scenario.parallelism.dispatcher or USUAL_DISPATCHER,
    )
    lacking.annotate(question, notes)
    _tasks(question, notes)
    return replace(question, counts_batch="n_gpus" in scenario.objective and question.batch_matters)


def _template(scenario: Scenario, notes: Notes) -> None:
    """Say what becomes of a model that is given to a search over shapes."""
    if scenario.model is None or not scenario.searches_shapes:
        return
    notes.assumptions.append(
        f"{scenario.model.label} is a template: vocabulary, kind and relative width of the feed-forward block, size of heads "
        "and share of key and value heads are kept, width and depth are searched for; for exactly this model leave out find, "
        "or write find: estimate"
    )


def _stack(scenario: Scenario, notes: Notes) -> None:
    """Say which software is taken where none is named, and where the scenario fixes a way to split a model that it lacks."""
    if "software" not in scenario.model_fields_set:
        notes.assumptions.append(
            f"the software is {scenario.software}, since none is named (software: ...): each stack has its own layouts, overlap and "
            "fixed times"
        )
    for name, reason in software.LACKS.get(scenario.software, {}).items():
        fixed, usual = getattr(scenario.parallelism, name), 0 if name == "sequence_parallel" else 1
        if fixed is not None and fixed > usual:
            value = f" {fixed}" if usual else ""
            notes.warn(
                "software",
                f"{software.SPLITS[name]} is not chosen for {scenario.software} ({reason}); parallelism.{name}{value} is taken as it "
                "is written",
            )


def _quantized(scenario: Scenario, notes: Notes) -> None:
    """Say how weights in 4 bits are counted."""
    if scenario.training.trainable == "qlora":
        notes.assumptions.append(
            f"frozen weights of layers are kept in {8 * NF4_BYTES:.3f} bits (NF4, double quantization, arXiv:2305.14314), tables and "
            "head in 16, and layers are written out in 16 bits for every pass; no measured run backs the time of that"
        )


def _law(scenario: Scenario) -> str | Law:
    """The name of a registered law; one's own as the law that it is."""
    return scenario.law if isinstance(scenario.law, str) else scaling.get(scenario.law)


def _shape_law(scenario: Scenario, notes: Notes) -> str | None:
    """The law of shape that corrects the loss; a law that sees width and depth itself takes none."""
    law = scaling.get(scenario.law)
    if scenario.shape_law == NO_SHAPE_LAW:
        if scenario.searches_shapes and not law.sees_shape:
            notes.assumptions.append(f"depth and width do not move the loss (shape_law: {NO_SHAPE_LAW})")
        return None
    if law.sees_shape:
        if scenario.shape_law is not None:
            notes.assumptions.append(
                f"shape_law {scenario.shape_law} is left out: {law.name} sees width and depth itself"
            )
        return None
    if scenario.shape_law is None and scenario.searches_shapes:
        notes.assumptions.append(f"depth and width move the loss as in {DEFAULT_SHAPE_LAW}")
        return DEFAULT_SHAPE_LAW
    return scenario.shape_law


def qualities_of(scenario: Scenario, notes: Notes) -> tuple[Quality, ...]:
    """Requirements on the trained model as losses; those that no model meets are said."""
    asked = scenario.require
    if asked is None:
        return ()
    found = [] if asked.loss is None else [Quality("loss", asked.loss, asked.loss)]
    found += [quality.of_accuracy(task, share) for task, share in asked.accuracy.items()]
    if asked.error is not None:
        found.append(quality.of_error(scaling.get(scenario.law).name, asked.error))
    if asked.accuracy:
        notes.source(
            "accuracy of tasks",
            "OLMo ladder, arXiv:2412.04403, five-shot, constants as printed to two digits",
        )
    if asked.error is not None:
        notes.source("error over 46 tasks", f"{found[-1].curve}, arXiv:2403.08540")
    return tuple(found)


def _tasks(question: Question, notes: Notes) -> None:
    """Say what accuracies see of width and depth: the laws of tasks see size and tokens only."""
    law = question.learning.shape_worth
    if law is None or all(each.task is None for each in question.qualities):
        return
    found = scaling.get(law)
    seen = (
        f"for accuracies width and depth count as the size that they are worth to the loss under {found.name}"
        if found.form.powers
        else f"accuracies see size and tokens, not width and depth: {found.name} does not part shape from tokens"
    )
    notes.assumptions.append(seen)


def service_of(scenario: Scenario) -> Service | None:
    """How the trained model answers, where the scenario asks about its speed."""
    asked = scenario.inference
    if asked is None or (asked.latency is None and "latency" not in scenario.objective):
        return None
    return Service(
        context_length=asked.context_length or scenario.training.seq_length,
        batch_size=asked.batch_size,
        n_gpus=asked.n_gpus,
        precision=asked.precision,
        latency_s=asked.latency,
    )


def pins_of(scenario: Scenario) -> Pins:
    """Choices that the scenario fixes."""
    p, training = scenario.parallelism, scenario.training
    return Pins(
        tp=p.tp,
        pp=p.pp,
        dp=p.dp,
        cp=p.cp,
        ep=p.ep,
        vp=p.vp,
        etp=p.etp,
        zero_stage=p.zero_stage,
        shard_group=p.shard_group,
        sequence_parallel=p.sequence_parallel,
        without=software.not_tried(scenario.software),
        zero_with_tp=software.ZERO_WITH_TP.get(scenario.software, 3),
        schedule=SCHEDULES[p.schedule] if p.schedule else SCHEDULES["1f1b"],
        micro_batch_size=training.micro_batch_size,
        recompute=None if training.recompute is None else RECOMPUTE[training.recompute],
        global_batch_size=training.batch_sequences,
        frozen=int(training.adapts),
        quantized=int(training.trainable == "qlora"),
        autocast=int(autocasts(scenario)),
        autocast_frozen=int(autocasts(scenario) and training.autocast is True),
        update_share=states.update_share(precision=training.precision, optimizer=training.optimizer),
        pads_vocabulary=int(scenario.software in software.PADS_VOCABULARY),
        cuda_graphs=CUDA_GRAPHS[training.cuda_graphs or "none"],
        fused_experts=int(training.fused_experts or 0),
        plain_dispatch=DISPATCHERS[p.dispatcher or USUAL_DISPATCHER],
        expert_overlap=int(p.expert_overlap or 0),
    )


def autocasts(scenario: Scenario) -> bool:
    """Whether 32-bit weights are cast for every matmul: as the scenario says, else as its software usually does.

    Frozen weights are loaded in 16 bits, so that nothing is cast: only adapters, which are small, have 32.
    """
    asked, narrow = scenario.training.autocast, scenario.training.precision not in states.WHOLE
    usual = scenario.software in software.AUTOCASTS and scenario.training.trainable == "full"
    return narrow and (usual if asked is None else asked)
