"""A question: find something, for this model, on this hardware, within these limits."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from simulator.schema.base import Fraction, Named, OneOrMany, Spec, Text, Whole, fail_all
from simulator.schema.budget import Budget, Inference
from simulator.schema.growth import Growth
from simulator.schema.hardware import Hardware, Shorthand
from simulator.schema.law import LossLaw
from simulator.schema.model import Model
from simulator.schema.parallelism import Parallelism
from simulator.schema.reliability import Reliability
from simulator.schema.requirement import Objective, Require
from simulator.schema.training import Training

Find = Literal["estimate", "architecture", "hardware", "growth"]
Software = Literal[
    "megatron", "fsdp", "torchtitan", "deepspeed", "nanotron", "llm-foundry", "hf", "maxtext", "generic"
]

Found = list[tuple[tuple[str | int, ...], str, str]]


class Search(Spec):
    """What the planner may try; everything it knows if absent."""

    hidden_size: Annotated[tuple[Whole, ...], OneOrMany()] | None = None
    """Widths."""
    num_hidden_layers: Annotated[tuple[Whole, ...], OneOrMany()] | None = None
    """Depths."""
    max_alternatives: Annotated[int, Field(ge=0, le=1000, strict=True)] = 5
    """Next best answers to show."""


class Scenario(Spec):
    """One question to the simulator."""

    name: Text = "scenario"
    """Title of the answer."""
    description: Text | None = None
    """What the scenario teaches."""
    extends: Text | None = None
    """Path or id of a scenario that this one changes."""
    find: Find = "estimate"
    """What is asked: ``estimate`` one run, or find the best ``architecture``, ``hardware`` or ``growth``."""
    model: Annotated[Model, Named("models")] | None = None
    """Id, path (also to a Hugging Face ``config.json``), or the fields of a model inline."""
    training: Training = Field(default_factory=Training)
    """The run."""
    parallelism: Parallelism = Field(default_factory=Parallelism)
    """Degrees that are pinned."""
    hardware: Annotated[
        tuple[Annotated[Hardware, Shorthand()], ...], Field(min_length=1, max_length=100), OneOrMany()
    ]
    """What it runs on; one, or a list to choose from."""
    budget: Budget = Field(default_factory=Budget)
    """Limits."""
    require: Require | None = None
    """Quality that the trained model must reach."""
    objective: Annotated[tuple[Objective, ...], Field(max_length=4), OneOrMany()] = ()
    """What is to be best: one figure, or several for the plans that no other beats in all of them; the loss if absent,
    with model and tokens given the cost."""
    inference: Inference | None = None
    """Use after training, if its cost counts."""
    growth: Growth | None = None
    """Whether and how the model may grow during the run."""
    law: LossLaw = "Besiroglu2024"
    """Scaling law that predicts the loss: a name, a file of your own, or its constants inline."""
    shape_law: Text | None = None
    """Law of depth and width on top of it; ``none`` for no correction, which a search over shapes otherwise has."""
    clock: Text = "memory_copies"
    """Clock that predicts the time of a step."""
    software: Software = "megatron"
    """Training framework, for its defaults and overheads."""
    search: Search = Field(default_factory=Search)
    """What the planner may try."""
    goodput: Fraction | None = None
    """Share of wall-clock time spent on useful steps; the documented default if absent."""
    reliability: Reliability | None = None
    """Interruptions from which the goodput follows, in place of it."""
    seed: Annotated[int, Field(ge=0, lt=2**63, strict=True)] = 0
    """Seed of everything random."""
    overrides: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """Named blocks of ``dotted.key: value`` that change this scenario."""
    scenarios: dict[str, Annotated[tuple[str, ...], OneOrMany()]] = Field(default_factory=dict)
    """Named lists of overrides, each a variant of this scenario."""

    @model_validator(mode="before")
    @classmethod
    def _left_out(cls, data: Any) -> Any:
        """Nothing under the name of a field that may be left out is as if it were left out."""
        if not isinstance(data, dict):
            return data
        free = {name for name, field in cls.model_fields.items() if not field.is_required()}
        return {name: value for name, value in data.items() if value is not None or name not in free}

    @model_validator(mode="after")
    def _answerable(self) -> Scenario:
        found = [*self._needs(), *self._goals(), *self._fine_tune(), *self._layout(), *self._variants()]
        if found:
            raise fail_all(found)
        return self

    @property
    def searches_shapes(self) -> bool:
        """Whether the shape is searched for, so that a model given is a template."""
        return self.find in ("architecture", "growth") or self.model is None

    def _needs(self) -> Found:
        found: Found = []
        if self.find == "estimate" and self.model is None:
            found.append((("find",), "an estimate needs a model", "write model: <id>, or find: architecture"))
        if self.find == "estimate":
            for index, hardware in enumerate(self.hardware):
                if hardware.n_gpus is None:
                    reason = "an estimate needs the number of accelerators"
                    hint = "write n_gpus: 64, or find: hardware to have it chosen"
                    found.append((("hardware", index), reason, hint))
        bounded = self.budget.bounds_a_run or self._ends_at_quality
        if self.find in ("architecture", "growth") and not bounded:
            article = "an" if self.find == "architecture" else "a"
            reason = f"{article} {self.find} search needs a budget of time, cost, energy or carbon"
            found.append((("find",), reason, "write budget: {time: 10 days}"))
        if self.find == "hardware" and self.model is None and not bounded:
            found.append((("find",), "a hardware search needs a model or a budget", "write model: <id>"))
        if self.find == "growth" and self.growth is not None and self.growth.operator == "none":
            reason = "find: growth, but growth.operator is none"
            found.append((("growth", "operator"), reason, "write hypercloning or stacking"))
        return found

    @property
    def _ends_at_quality(self) -> bool:
        """Whether a run ends when it is good enough."""
        return (
            self.require is not None and bool(self.objective) and not {"loss", "accuracy"} & {*self.objective}
        )

    def _goals(self) -> Found:
        found: Found = []
        asked, at = set(self.objective), ("objective",)
        fixed = self.training.tokens is not None or self.training.steps is not None
        if len(asked) < len(self.objective):
            found.append((at, "names a figure twice", "write each once"))
        if asked and not {"loss", "accuracy"} & asked and not fixed and self.require is None:
            reason = f"{self.objective[0]} alone is least where nothing is trained"
            found.append((at, reason, "write require: {loss: 2.0}, or training.tokens"))
        if "accuracy" in asked and not (self.require and self.require.accuracy):
            found.append((at, "accuracy of which task?", "write require: {accuracy: {mmlu: 30 %}}"))
        if "tokens" in asked and (fixed or {"loss", "accuracy"} & asked):
            found.append((at, "tokens are asked to be few, but they are given or the more the better", ""))
        if "latency" in asked and self.inference is None:
            found.append((at, "latency of what?", "write inference: {latency: 1 s, n_gpus: 1}"))
        if "carbon" in asked or self.budget.carbon is not None:
            for index, hardware in enumerate(self.hardware):
                if hardware.grid_g_per_kwh is None:
                    reason = "carbon needs the grid of this hardware"
                    found.append((("hardware", index), reason, "write grid_intensity: 380 gCO2e/kWh"))
        if len(self.objective) > 1 and self.find == "growth":
            found.append((at, "growth is planned for one objective", "write find: architecture"))
        if self.find == "growth" and self.objective not in ((), ("loss",)):
            found.append((at, "growth is planned for the lowest loss", "write find: architecture"))
        if self.goodput is not None and self.reliability is not None:
            found.append((("reliability",), "goodput is given as well", "leave one of them out"))
        if (
            self.require is not None
            and self.require.error is not None
            and not (isinstance(self.law, str) and self.law.startswith("Gadre2024"))
        ):
            named = self.law if isinstance(self.law, str) else self.law.label
            reason = f"an error is a curve over Gadre's loss, not over that of {named}"
            found.append((("require", "error"), reason, "write law: Gadre2024RedPajama"))
        return found

    def _fine_tune(self) -> Found:
        """What cannot be asked of a fine-tune: anything that rests on a law of loss."""
        if not self.training.fine_tunes:
            return []
        found: Found = []
        trainable = self.training.trainable
        written = f"trainable: {trainable}" if self.training.adapts else "from_pretrained: true"
        why, hint = "is for training from scratch", f"leave out {written}"
        if self.find in ("architecture", "growth"):
            found.append((("find",), f"find: {self.find} {why}", hint))
        elif self.model is None and self.find == "hardware":
            at = "trainable" if self.training.adapts else "from_pretrained"
            found.append((("training", at), "a fine-tune needs a model", "write model: <id>"))
        if self.require is not None:
            found.append((("require",), f"a law of loss {why}", hint))
        if {"loss", "accuracy"} & {*self.objective}:
            found.append((("objective",), f"a law of loss {why}", hint))
        if self.growth is not None and self.growth.operator != "none":
            found.append((("growth",), f"growth {why}", hint))
        return found

    def _layout(self) -> Found:
        p = self.parallelism
        found: Found = []
        degrees = {"tp": p.tp or 1, "pp": p.pp or 1, "cp": p.cp or 1}
        product = degrees["tp"] * degrees["pp"] * degrees["cp"]
        text = " x ".join(name for name in degrees if degrees[name] > 1) or "tp"
        for hardware in self.hardware:
            n = hardware.n_gpus
            if n is None:
                continue
            if n % product:
                found.append((("parallelism",), f"{text} = {product} does not divide n_gpus {n}", ""))
            whole = product * (p.dp or 1)
            chosen = (p.tp is None or p.pp is None) and n % whole == 0  # the planner makes up for the rest
            if p.dp is not None and whole != n and not chosen:
                reason = f"{text} x dp = {whole} differs from n_gpus {n}"
                hint = "" if n % product else "leave dp out; it follows from the others"
                found.append((("parallelism", "dp"), reason, hint))
        if p.vp is not None and p.vp > 1 and p.pp == 1:
            found.append((("parallelism", "vp"), "virtual stages need a pipeline", "write pp: 2 or more"))
        if (p.ep or 1) > 1 and not (self.model and self.model.num_experts):
            has = "this model has none" if self.model else "no model is given"
            found.append((("parallelism", "ep"), f"ep needs a mixture of experts; {has}", "leave ep out"))
        found += self._of_experts()
        return [*found, *self._indivisible()] if found else []

    def _of_experts(self) -> Found:
        """Launch settings of experts where there are none, or where none is on another device."""
        p, asked = self.parallelism, {}
        asked["parallelism", "dispatcher"] = p.dispatcher is not None
        asked["parallelism", "expert_overlap"] = bool(p.expert_overlap)
        asked["training", "fused_experts"] = bool(self.training.fused_experts)
        if not (self.model and self.model.num_experts):
            has = "this model has none" if self.model else "no model is given"
            return [
                ((place, name), f"{name} needs a mixture of experts; {has}", f"leave {name} out")
                for (place, name), given in asked.items()
                if given
            ]
        if p.expert_overlap and p.ep == 1:
            reason = "with ep 1 experts exchange nothing"
            return [(("parallelism", "expert_overlap"), reason, "write ep: 2 or more, or leave it out")]
        return []

    def _indivisible(self) -> Found:
        """Degrees that the model or the batch does not divide into.

        Alone they are an answer with its reason, which a sweep keeps; beside a contradiction they are named with it.
        """
        p, training, model = self.parallelism, self.training, self.model
        found: Found = []
        counts = [hardware.n_gpus for hardware in self.hardware if hardware.n_gpus is not None]
        if model is not None and p.tp is not None and not any(n % p.tp for n in counts):
            heads = model.num_attention_heads
            if heads % p.tp:
                found.append((("parallelism", "tp"), f"tp {p.tp} does not divide {heads} heads", ""))
        if model is not None and p.pp is not None and p.pp > model.num_hidden_layers:
            reason = f"pp {p.pp} is more than {model.num_hidden_layers} layers"
            found.append((("parallelism", "pp"), reason, ""))
        batch, micro, dp = training.global_batch_size, training.micro_batch_size, p.dp
        if batch is not None and batch % ((micro or 1) * (dp or 1)):
            ranks = {"micro_batch_size": micro, "dp": dp}
            text = " x ".join(f"{name} {value}" for name, value in ranks.items() if value is not None)
            reason = f"{text} does not divide global_batch_size {batch}"
            found.append((("training", "global_batch_size"), reason, ""))
        return found

    def _variants(self) -> Found:
        found: Found = []
        for name, used in self.scenarios.items():
            for override in used:
                if override not in self.overrides:
                    known = ", ".join(self.overrides) or "none is declared"
                    found.append((("scenarios", name), f"no override named {override!r}", f"known: {known}"))
        return found
