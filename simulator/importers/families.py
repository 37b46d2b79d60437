"""Every ``model_type`` that can be read, and the function that reads it.

Each function was checked against the parameters that the family's own class in transformers 4.57.1 creates [1]_, and
against totals that the authors published (``docs/models.md``).

References
----------
.. [1] https://github.com/huggingface/transformers/tree/v4.57.1/src/transformers/models
"""

from __future__ import annotations

from collections.abc import Callable

from simulator.importers import gated, plain
from simulator.importers.reader import Reader

FAMILIES: dict[str, Callable[[Reader], dict[str, int]]] = {
    "Yi": gated.llama,
    "arcee": plain.arcee,
    "baichuan": gated.llama,
    "bloom": plain.bloom,
    "codegen": plain.gptj,
    "cohere": gated.cohere,
    "cohere2": gated.cohere,
    "dbrx": plain.dbrx,
    "deepseek": gated.deepseek_moe,
    "deepseek_v2": gated.deepseek_v2,
    "deepseek_v3": gated.deepseek_v3,
    "ernie4_5": gated.ernie4_5,
    "falcon": plain.falcon,
    "RefinedWeb": plain.falcon,
    "RefinedWebModel": plain.falcon,
    "gemma": gated.gemma,
    "gemma2": gated.gemma2,
    "gemma3": gated.gemma3,
    "gemma3_text": gated.gemma3,
    "glm": gated.glm,
    "glm4": gated.glm4,
    "glm4_moe": gated.glm4_moe,
    "gpt2": plain.gpt2,
    "gpt_bigcode": plain.gpt_bigcode,
    "gpt_neo": plain.gpt_neo,
    "gpt_neox": plain.gpt_neox,
    "gpt_oss": gated.gpt_oss,
    "gptj": plain.gptj,
    "granite": gated.llama,
    "granitemoe": gated.granitemoe,
    "grok-1": gated.grok1,
    "hf_olmo": gated.old_olmo,
    "internlm": gated.internlm,
    "internlm2": gated.internlm2,
    "kimi_k2": gated.deepseek_v3,
    "llama": gated.llama,
    "llama4_text": gated.llama4,
    "ministral3": gated.mistral,
    "mistral": gated.mistral,
    "mixtral": gated.mixtral,
    "mpt": plain.mpt,
    "nemotron": plain.nemotron,
    "olmo": gated.olmo,
    "olmo2": gated.olmo2,
    "olmo3": gated.olmo2,
    "olmoe": gated.olmoe,
    "opt": plain.opt,
    "phi": plain.phi,
    "phi-msft": plain.phi,
    "phi3": gated.phi3,
    "phimoe": gated.phimoe,
    "qwen": gated.qwen,
    "qwen2": gated.qwen2,
    "qwen2_moe": gated.qwen2_moe,
    "qwen3": gated.qwen3,
    "qwen3_moe": gated.qwen3_moe,
    "seed_oss": gated.seed_oss,
    "smollm3": gated.smollm3,
    "stablelm": gated.stablelm,
    "starcoder2": plain.starcoder2,
}
"""``model_type`` to the function that turns a `Reader` into fields of a `Shape`."""
