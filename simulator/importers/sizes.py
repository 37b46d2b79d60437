"""What the families of decoders share: the sizes under their several spellings, and two common builds.

`llama_like` is a decoder with RMS norms, rotary positions and a gated feed-forward block, `gpt_like` one with
LayerNorms, biases and a plain block. The families state what differs.
"""

from __future__ import annotations

from simulator.importers.reader import REQUIRED, Reader

Fields = dict[str, int]

LAYERS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers")
WIDTH = ("hidden_size", "n_embd", "n_embed", "d_model")
HEADS = ("num_attention_heads", "n_head", "n_heads", "num_heads")


def base(c: Reader, *, head_dim: int | None = None, tied: int = 0, **flags: int) -> Fields:
    """Layers, width, heads and vocabulary, whose names differ only in spelling."""
    heads = c.size(*HEADS)
    width = c.size(*WIDTH)
    if head_dim is None:
        if not c.has("head_dim") and width % heads and not c.problems:
            c.fail("num_attention_heads", f"hidden_size {width} does not divide into {heads} heads")
        head_dim = c.size("head_dim", default=max(1, width // heads))
    fields = {
        "num_hidden_layers": c.size(*LAYERS),
        "hidden_size": width,
        "num_attention_heads": heads,
        "num_key_value_heads": heads,
        "head_dim": head_dim,
        "vocab_size": c.size("vocab_size"),
        "tie_word_embeddings": c.flag("tie_word_embeddings", bool(tied)),
        "attention_bias": 0,
        "attention_output_bias": 0,
        "mlp_bias": 0,
    }
    return fields | flags


def biases(c: Reader, name: str, default: bool) -> Fields:
    """Biases on all four projections of attention, under the family's name for them."""
    flag = c.flag(name, default)
    return {"attention_bias": flag, "attention_output_bias": flag}


def llama_like(
    c: Reader, *, kv_heads: int | None = None, intermediate_size: int = REQUIRED, **flags: int
) -> Fields:
    """Read a decoder with RMS norms, rotary positions and a gated feed-forward block.

    `kv_heads` and `intermediate_size` are the family's defaults, `flags` what the family fixes.
    """
    fields = base(c, **flags)
    heads = fields["num_attention_heads"]
    # An explicit null means as many as query heads; `kv_heads` is the family's default for a key that is not there.
    absent = heads if kv_heads is None or c.null("num_key_value_heads") else kv_heads
    fields["num_key_value_heads"] = c.size("num_key_value_heads", default=absent)
    fields["intermediate_size"] = c.size("intermediate_size", default=intermediate_size)
    return {"gated": 1, "rotary": 1, "norm_parameters": 1} | fields


def gpt_like(
    c: Reader, *, positions: int = 0, head_dim: int | None = None, tied: bool = True, **flags: int
) -> Fields:
    """Read a decoder with LayerNorms, biases everywhere and a plain feed-forward block of four times the width.

    `positions` is the number of rows of a learned position table (0 for rotary), `flags` what the family fixes.
    """
    fields = base(c, head_dim=head_dim, tied=tied)
    width = fields["hidden_size"]
    plain = {
        "intermediate_size": c.size("n_inner", "intermediate_size", "ffn_dim", default=4 * width),
        "gated": 0,
        "rotary": int(positions == 0),
        "learned_positions": positions,
        "attention_bias": 1,
        "attention_output_bias": 1,
        "mlp_bias": 1,
        "norm_parameters": 2,
    }
    return fields | plain | flags


def experts(
    c: Reader, fields: Fields, count: tuple[str, ...], *, width: int, default: int, top_k: int
) -> Fields:
    """Routed experts under their several names."""
    return fields | {
        "num_experts": c.size(*count, default=default),
        "num_experts_per_tok": c.size("num_experts_per_tok", default=top_k),
        "moe_intermediate_size": width,
    }


def filled_reader(c: Reader, defaults: Fields) -> Reader:
    """Reader of the same mapping with absent keys filled in."""
    present = {key: value for key, value in c.config.items() if value is not None}
    filled = Reader({**defaults, **present}, c.path)
    filled.problems = c.problems
    return filled
