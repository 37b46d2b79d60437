"""The model in Megatron-LM's arguments: sizes, feed-forward block, positions, biases, experts, windows, latent attention."""

from __future__ import annotations

import re
from typing import Any

from simulator.importers.ledger import ArgumentLedger
from simulator.importers.megatron_kept import read_kept

MODEL = {
    "num_hidden_layers": ("num-layers", "encoder-num-layers"),
    "hidden_size": ("hidden-size",),
    "num_attention_heads": ("num-attention-heads",),
}


ADDING = "NullTokenizer"
"""The tokenizer that adds a token to ``--vocab-size``: ``megatron/core/tokenizers/text/libraries/null_tokenizer.py`` of
Megatron-LM at 0df088079f8902d7bca07df94ff4109787214b42."""


def read_model(book: ArgumentLedger) -> None:
    """Read the model into the ledger of a scenario."""
    found = {name: book.whole(f"model.{name}", *theirs) for name, theirs in MODEL.items()}
    missing = [MODEL[name][0] for name, value in found.items() if value is None]
    if missing:
        book.lack("the model: the file has no " + ", ".join(f"--{name}" for name in missing))
    width, heads = found["hidden_size"], found["num_attention_heads"]
    gated = book.on("swiglu") or book.on("gated-linear-unit") or book.raw("activation-func") == "swiglu"
    source = "--swiglu" if gated else "no --swiglu"
    book.put("model.mlp_type", "swiglu" if gated else "gelu", source)
    if book.whole("model.intermediate_size", "ffn-hidden-size") is None and width is not None:
        size = int(4 * width * 2 / 3) // 64 * 64 if gated else 4 * width
        book.assume("model.intermediate_size", size, "the default of --ffn-hidden-size")
    head_dim = book.whole("model.head_dim", "kv-channels")
    if head_dim is None and width and heads:
        head_dim = width // heads
    _groups(book)
    _vocabulary(book)
    untied = book.on("untie-embeddings-and-output-weights")
    book.put("model.tie_word_embeddings", not untied, "untied" if untied else "no --untie-embeddings-...")
    _positions(book)
    layernorm = str(book.raw("normalization") or "LayerNorm").lower() != "rmsnorm"
    book.put("model.norm", "layernorm" if layernorm else "rmsnorm", "--normalization")
    _biases(book)
    if book.on("qk-layernorm") and head_dim and not book.on("multi-latent-attention"):
        book.put("model.exact.qk_norm_size", 2 * head_dim * (1 + layernorm), "--qk-layernorm")
    _experts(book)
    _windows(book, found["num_hidden_layers"])
    _latent(book)
    read_kept(book)


def _groups(book: ArgumentLedger) -> None:
    """Key and value heads: their number counts only beside ``--group-query-attention`` (`core_transformer_config_from_args`)."""
    if book.on("group-query-attention"):
        if book.whole("model.num_key_value_heads", "num-query-groups") is None:
            book.assume("model.num_key_value_heads", 1, "the default of --num-query-groups")
    elif groups := book.number("num-query-groups"):
        book.doubt(
            f"--num-query-groups {groups}: without --group-query-attention Megatron-LM does not read it, and every query head "
            "has its own key and value"
        )


def _vocabulary(book: ArgumentLedger) -> None:
    size = book.number("vocab-size")
    if size and size > 0 and book.flat.get("tokenizer-type") in (ADDING, [ADDING]):
        book.raw("tokenizer-type")
        book.put("model.vocab_size", size + 1, f"--vocab-size {size}, to which {ADDING} adds one")
    else:
        size = book.whole("model.vocab_size", "vocab-size", "padded-vocab-size")
    book.raw("make-vocab-size-divisible-by")
    if size is None:
        book.lack(
            "model.vocab_size: it comes from the tokenizer, which is not read; "
            "32,000 holds until you write it (--set model.vocab_size=...)"
        )


def _positions(book: ArgumentLedger) -> None:
    kind = book.raw("position-embedding-type") or "learned_absolute"
    if book.on("use-rotary-position-embeddings"):
        kind = "rope"
    if book.on("no-position-embedding") and kind == "learned_absolute":
        kind = "none"
    ours = {"rope": "rope", "yarn": "rope", "learned_absolute": "learned", "none": "none", "mrope": "rope"}
    if kind not in ours:
        book.doubt(f"--position-embedding-type {kind}")
        return
    book.put("model.position_embedding", ours[kind], f"position embedding {kind}")
    book.whole("model.max_position_embeddings", "max-position-embeddings")


def _biases(book: ArgumentLedger) -> None:
    without = book.on("disable-bias-linear") or str(book.raw("add-bias-linear")).lower() == "false"
    queries = book.on("add-qkv-bias")
    source = "--disable-bias-linear" if without else "no --disable-bias-linear"
    book.put("model.mlp_bias", not without, source)
    book.put("model.attention_bias", queries or not without, "--add-qkv-bias" if queries else source)
    if queries and without:
        book.put("model.exact.attention_output_bias", 0, source)


def _experts(book: ArgumentLedger) -> None:
    if not book.whole("model.num_experts", "num-experts", "num-moe-experts"):
        return
    book.whole("model.num_experts_per_tok", "moe-router-topk", default=2)
    if book.whole("model.moe_intermediate_size", "moe-ffn-hidden-size") is None:
        book.assume(
            "model.moe_intermediate_size", book.at("model.intermediate_size"), "as wide as --ffn-hidden-size"
        )
    book.whole(
        "model.shared_expert_intermediate_size", "moe-shared-expert-intermediate-size", default=0, low=0
    )
    if book.on("moe-shared-expert-gate"):
        book.put("model.exact.shared_expert_gate", 1, "--moe-shared-expert-gate")
    if book.on("moe-router-enable-expert-bias"):
        book.put("model.exact.router_bias", 1, "--moe-router-enable-expert-bias")
    pattern = layer_pattern(book.raw("moe-layer-freq"))
    if isinstance(pattern, int) and pattern > 1:
        book.put("model.moe_layer_freq", pattern, "--moe-layer-freq")
    elif isinstance(pattern, list):
        dense = pattern.index(1) if 1 in pattern else len(pattern)
        if all(pattern[dense:]):
            book.put("model.first_k_dense_replace", dense, "--moe-layer-freq")
        else:
            book.doubt(f"--moe-layer-freq {book.raw('moe-layer-freq')}: dense layers between mixtures")


def _windows(book: ArgumentLedger, layers: int | None) -> None:
    """``--window-size left,right``: the tokens before and after, the token itself not counted."""
    text, skip = book.raw("window-size"), book.raw("window-attn-skip-freq")
    if text is None:
        return
    sides = re.findall(r"-?\d{1,9}", str(text))
    if len(sides) != 2 or int(sides[0]) < 0:
        book.doubt(f"--window-size {text}")
        return
    book.put("model.sliding_window", int(sides[0]) + 1, "--window-size and the token itself")
    pattern = layer_pattern(skip) if skip is not None else 0
    if isinstance(pattern, list):
        whole = pattern.count(0)
        pattern = (layers or len(pattern)) // whole if whole else 0
    if pattern is None:
        book.doubt(f"--window-attn-skip-freq {skip}")
    elif pattern:
        book.put("model.sliding_window_pattern", pattern, "--window-attn-skip-freq")


def layer_pattern(value: Any) -> int | list[int] | None:
    """Megatron's ``--moe-layer-freq``: a number, or a list written as ``([0]*3+[1]*58)``.

    Examples
    --------
    >>> layer_pattern("([0]*1+[1]*3)"), layer_pattern("2"), layer_pattern("os.getcwd()") is None
    ([0, 1, 1, 1], 2, True)
    """
    text = str(value).strip("'\"() ").replace(" ", "")
    if text.isdecimal() and len(text) < 6:
        return int(text)
    out: list[int] = []
    for term in text.split("+"):
        match = re.fullmatch(r"\(?\[([01](?:,[01])*)\]\)?(?:\*(\d{1,4}))?\)?", term)
        if match is None:
            return None
        out += [int(bit) for bit in match[1].split(",")] * int(match[2] or 1)
    return out


def _latent(book: ArgumentLedger) -> None:
    if not book.on("multi-latent-attention"):
        return
    book.whole("model.q_lora_rank", "q-lora-rank", default=0, low=0)
    book.whole("model.kv_lora_rank", "kv-lora-rank", default=32)
    nope = book.whole("model.qk_nope_head_dim", "qk-head-dim", default=128) or 0
    rope = book.whole("model.qk_rope_head_dim", "qk-pos-emb-head-dim", default=64, low=0) or 0
    book.whole("model.v_head_dim", "v-head-dim", default=128)
    book.put("model.head_dim", nope + rope, "--qk-head-dim + --qk-pos-emb-head-dim")
    book.on("qk-layernorm")
