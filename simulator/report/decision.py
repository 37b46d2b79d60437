"""The answer in one sentence: what to do, with the interval before the point."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

from simulator.report import growth, places
from simulator.report.text import duration, plural, quantity, span
from simulator.schema.requirement import Task

DAY = 86400.0

TASKS = get_args(Task)
"""Names of tasks, which a sentence leaves as they are."""

Document = Mapping[str, Any]
"""A result as plain data: `simulator.result.Result.to_dict`."""


def days(bounds: Any) -> str:
    """An interval of days as time.

    Examples
    --------
    >>> days([41.2, 51.7]), days([0.31, 0.42])
    ('41 to 52 days', '7.4 to 10 h')
    """
    return span([DAY * value for value in bounds], "second", top="days") if bounds else "-"


def where(answer: Document) -> str:
    """Number and kind of accelerators.

    Examples
    --------
    >>> where({"n_gpus": 1024, "accelerator": "a100-sxm-80gb"})
    '1,024 x a100-sxm-80gb'
    """
    return f"{answer['n_gpus']:,} x {answer['accelerator']}"


def model_words(document: Document) -> str:
    """Name of the model that was asked about, or the size of the one that was found."""
    answer = document["answer"]
    asked = document["scenario"].get("model") or {}
    found = document["scenario"]["find"] in ("architecture", "growth")
    name = None if found else asked.get("id") or asked.get("name")
    size = quantity(answer["params"], "parameter")
    return f"{name} ({size} parameters)" if name else f"a model of {size} parameters"


def decision(document: Document) -> str:
    """The decision in one or two sentences."""
    if not document["answer"]:
        return _nothing(document["infeasible"])
    if document.get("infeasible"):
        return f"{_doing(document)} does not run. {_reason(document['infeasible'])}"
    return _answered(document)


def ranges(document: Document) -> str:
    """What the intervals are of, what is held, and what of it was assumed, in one line.

    Examples
    --------
    >>> ranges({"answer": {"interval": {"loss": None, "cost_usd": None}, "tokens": None}, "assumptions": [], "scenario": {}})
    'Ranges are 80 % intervals of step time.'
    """
    answer = document["answer"]
    bounds = answer["interval"]
    of = "step time and loss law" if bounds.get("loss") else "step time"
    if answer["tokens"] is None:
        return f"Ranges are 80 % intervals of {of}."
    assumed = {"goodput": any(text.startswith("goodput ") for text in document["assumptions"])}
    if bounds.get("cost_usd"):
        assumed = {"price": _price_is_assumed(document), **assumed}
    groups = [[name for name, guess in assumed.items() if guess is kind] for kind in (False, True)]
    held = [
        f"the {' and '.join(names)} {kind}"
        for names, kind in zip(groups, ("given", "assumed"), strict=True)
        if names
    ]
    return f"Ranges are 80 % intervals of {of}, at {' and '.join(held)}."


def _price_is_assumed(document: Document) -> bool:
    """Whether the price of the answer's accelerator is one from the price books that nobody asked for."""
    label = document["answer"]["accelerator"]
    entries = [each for each in document["scenario"]["hardware"] if each["accelerator"] == label]
    return not any(each.get("price") or each.get("offers") for each in entries)


def _nothing(infeasible: Document) -> str:
    return f"No plan keeps all limits. {_reason(infeasible)}"


def _reason(infeasible: Document) -> str:
    text = _sentence(infeasible["text"])
    change = infeasible.get("smallest_change")
    return f"{text} Smallest change: {change}." if change else text


def _sentence(text: str) -> str:
    """A text as a sentence; a name as it is written in a scenario keeps its letters.

    Examples
    --------
    >>> _sentence("memory: 3 GiB are missing"), _sentence("n_gpus exceeds budget.max_gpus"), _sentence("mmlu 60 % is required")
    ('Memory: 3 GiB are missing.', 'n_gpus exceeds budget.max_gpus.', 'mmlu 60 % is required.')
    """
    first = text.split(" ", 1)[0].rstrip(":")
    written = "_" in first or "." in first or first in TASKS
    head = text if written else text[:1].upper() + text[1:]
    return head + ("" if head.endswith(".") else ".")


def _doing(document: Document) -> str:
    return f"Training {model_words(document)} on {where(document['answer'])}"


SUPERLATIVES = {
    "accuracy": "Most accurate run",
    "cost": "Cheapest run",
    "time": "Fastest run",
    "energy": "Run of least energy",
    "carbon": "Run of least emissions",
    "n_gpus": "Fewest accelerators",
    "tokens": "Fewest tokens",
    "params": "Smallest model",
    "latency": "Quickest to answer",
}
"""Objectives of a scenario, as the start of a sentence."""

PLURAL = ("n_gpus", "tokens")
"""Objectives whose sentence starts with several things."""

AIMED = {
    "energy": ("energy", "energy_mwh", 3.6e9, "joule", ""),
    "carbon": ("emissions", "co2e_t", 1e3, "kgCO2e", " CO2e"),
    "latency": ("latency", "latency_s", 1.0, "second", ""),
}
"""Objectives whose figure no other part of the sentence holds: word, figure, its unit in SI, dimension, and what follows."""


def aimed(document: Document) -> str:
    """What the answer comes to in the objectives of `AIMED`, in words; empty if none is asked for.

    Energy and emissions grow with the accelerator-hours, so they have their interval.
    """
    answer, parts = document["answer"], []
    hours = answer["interval"].get("gpu_hours")
    for name in document["scenario"].get("objective") or []:
        word, key, scale, dimension, gas = AIMED.get(name, ("", "", 1.0, "", ""))
        value = answer.get(key)
        if value is None:
            continue
        bounds = [1.0, 1.0]
        if hours and answer["gpu_hours"] and name != "latency":
            bounds = [each / answer["gpu_hours"] for each in hours]
        parts.append(f"{word} {span([value * scale * each for each in bounds], dimension)}{gas}")
    return ", ".join(parts)


def required_words(document: Document) -> str:
    """The quality that is required, in words; empty if none."""
    asked = document["scenario"].get("require") or {}
    parts = [f"loss {asked['loss']:.4g}"] if asked.get("loss") is not None else []
    parts += [f"{task} {100 * share:.3g} %" for task, share in (asked.get("accuracy") or {}).items()]
    if asked.get("error") is not None:
        parts.append(f"an error of {100 * asked['error']:.3g} %")
    return " and ".join(parts)


def _aim(document: Document) -> str:
    """Start of the sentence of a search for something other than the loss."""
    front, asked = document.get("frontier") or [], document["scenario"].get("objective") or []
    doing = _doing(document)
    doing = f"{doing[:1].lower()}{doing[1:]}"
    if len(asked) > 1 and front:
        several = plural(len(front), "plan")
        return (
            f"Of {several} that no other beats in {' and '.join(asked)}, the one that gives up least: {doing}"
        )
    if not asked or asked[0] not in SUPERLATIVES:
        return ""
    wanted = required_words(document)
    verb = "reach" if asked[0] in PLURAL else "reaches"
    return f"{SUPERLATIVES[asked[0]]}{f' that {verb} {wanted}' if wanted else ''}: {doing}"


def _chosen(document: Document) -> str:
    """Start of the sentence of a search over hardware."""
    aim = _aim(document)
    if aim:
        return aim
    others = sum(row.get("kind") == "hardware" for row in document["alternatives"])
    if document["scenario"]["find"] != "hardware" or not others:
        return ""
    doing = _doing(document)
    return f"Cheapest of {others + 1}: {doing[:1].lower()}{doing[1:]}"


def _answered(document: Document) -> str:
    """Sentence for a plan that runs."""
    answer = document["answer"]
    bounds = answer["interval"]
    fixed = not bounds.get("tokens") or bounds["tokens"][0] == bounds["tokens"][1]
    if answer["tokens"] is None:
        step = span(bounds["step_time_s"], "second", top="s")
        return f"{_doing(document)} takes about {step} per step of {quantity(answer['global_batch_tokens'], 'token')} tokens."
    loss = f", loss {span(bounds['loss'], '')}" if bounds.get("loss") else ", no loss is predicted"
    training = document["scenario"]["training"]
    if training.get("trainable", "full") != "full" or training.get("from_pretrained"):
        loss = ""  # laws of loss are for training from scratch; the warning says so
    cost = f"cost {span(bounds['cost_usd'], 'USD')}" if bounds.get("cost_usd") else "no price is known"
    if bounds.get("cost_usd") and not _price_is_assumed(document) and (had := places.offer_words(answer)):
        cost += f" ({had})"
    if answer.get("lifetime_cost_usd"):
        cost += f" and with serving {quantity(answer['lifetime_cost_usd'], 'USD')}"
    comes = ", ".join(filter(None, [aimed(document), cost]))
    if fixed:
        tokens = quantity(answer["tokens"], "token")
        took = days(bounds["time_to_train_days"])
        text = (
            f"{_chosen(document) or _doing(document)} on {tokens} tokens takes about {took}; {comes}{loss}."
        )
    else:
        tokens = span(bounds["tokens"], "token")
        took = duration(answer["time_to_train_days"] * DAY)
        text = f"Train {model_words(document)} on about {tokens} tokens, {took} on {where(answer)}; {comes}{loss}."
    return " ".join(filter(None, [text, growth.words(document), _enough(document)]))


def _enough(document: Document) -> str:
    """That a part of the run would nearly do; of a plan that grows a model nothing is known."""
    found = (document.get("binding") or {}).get("enough")
    return f"{found['text']}." if found and not document.get("stages") else ""


def shape_words(answer: Document) -> str:
    """The sizes of a decoder.

    Examples
    --------
    >>> shape_words({"num_hidden_layers": 2, "hidden_size": 64, "intermediate_size": 256, "num_attention_heads": 4,
    ...              "num_key_value_heads": 4, "vocab_size": 32000})
    '2 layers x 64, feed-forward 256, 4 heads, vocabulary 32,000'
    """
    heads, groups = answer["num_attention_heads"], answer["num_key_value_heads"]
    shared = f" ({groups} for keys and values)" if groups != heads else ""
    text = f"{plural(answer['num_hidden_layers'], 'layer')} x {answer['hidden_size']:,}"
    if answer.get("num_experts"):
        experts = f"{answer['num_experts']} experts of {answer['moe_intermediate_size']:,}"
        text += f", {experts}, {answer['num_experts_per_tok']} per token"
    else:
        text += f", feed-forward {answer['intermediate_size']:,}"
    seen = answer.get("sliding_window") or answer.get("attention_chunk_size")
    if seen:
        layers, pattern = answer["num_hidden_layers"], answer.get("sliding_window_pattern")
        windowed = layers - (layers // pattern if pattern else 0)
        kind = "windows" if answer.get("sliding_window") else "chunks"
        text += f", {kind} of {seen:,} tokens in {windowed} layers"
    return f"{text}, {plural(heads, 'head')}{shared}, vocabulary {answer['vocab_size']:,}"


def zero_words(answer: Document) -> str:
    """How states are sharded; empty where they are not.

    Examples
    --------
    >>> zero_words({"zero_stage": 3, "shard_group": 8})
    'ZeRO 3 in groups of 8'
    """
    groups = f" in groups of {answer['shard_group']}" if answer.get("shard_group") else ""
    return f"ZeRO {answer['zero_stage']}{groups}" if answer["zero_stage"] else ""


def layout_words(answer: Document) -> str:
    """Degrees and recipe of a layout."""
    degrees = ", ".join(
        f"{name} {answer[name]}" for name in ("tp", "pp", "dp", "cp", "ep", "vp") if answer[name] > 1
    )
    micro = f"micro-batch {answer['micro_batch_size']} x {answer['num_microbatches']} per step"
    extra = [
        zero_words(answer),
        micro,
        "sequence parallel" if answer["sequence_parallel"] and answer["tp"] > 1 else "",
        f"recompute {answer['recompute']}",
        "flash attention" if answer["flash_attention"] else "plain attention",
        launch_words(answer),
    ]
    return ", ".join(filter(None, [degrees or "one device, no parallelism", *extra]))


DISPATCHERS = {"deepep": "DeepEP", "hybridep": "HybridEP"}
"""Ways of tokens to their experts that are worth a word, beside the plain all-to-all."""


def launch_words(answer: Document) -> str:
    """How kernels are launched and fused, and how tokens reach their experts; empty where all of it is as usual.

    Examples
    --------
    >>> launch_words({"cuda_graphs": "partial", "dispatcher": "deepep", "expert_overlap": True})
    'CUDA graphs partial, DeepEP behind the computation'
    >>> launch_words({"dispatcher": "alltoall"})
    ''
    """
    graphs = answer.get("cuda_graphs")
    way = DISPATCHERS.get(answer.get("dispatcher", ""), "")
    behind = f"{way or 'exchange of experts'} behind the computation" if answer.get("expert_overlap") else way
    parts = [
        f"CUDA graphs {graphs}" if graphs else "",
        "attention in 8 bits" if answer.get("fp8_attention") else "",
        "fused experts" if answer.get("fused_experts") else "",
        behind,
    ]
    return ", ".join(filter(None, parts))


def batch_words(answer: Document) -> str:
    """Size of a step."""
    tokens = quantity(answer["global_batch_tokens"], "token")
    sequences = plural(answer["global_batch_size"], "sequence")
    return f"{sequences} of {answer['seq_length']:,} = {tokens} tokens per step"
