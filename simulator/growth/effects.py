"""What growing does to a shape: the ratios of parameters, FLOP and copies, target over source."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simulator import flop, transformer
from simulator.columns import Numeric
from simulator.growth.operators import Operator, get
from simulator.transformer import Shape


def activation_elements_per_token(shape: Shape) -> Numeric:
    """Elements a forward pass reads and writes per token in its layers, kernels unfused except attention. [elements]

    Per layer ``18 d + 4 k + 2 (d + k) + (4 or 6) f`` with `k` the key width and the third term for rotary positions:
    38 d for MPT, 47 d for Gemstones. Dense feed-forward blocks.

    Examples
    --------
    >>> mpt = transformer.decoder(num_hidden_layers=1, hidden_size=100, num_attention_heads=4, vocab_size=1, gated=0,
    ...                           rotary=0)
    >>> float(activation_elements_per_token(mpt))
    3800.0
    """
    d = np.asarray(shape.hidden_size, dtype=float)
    k = np.asarray(shape.num_key_value_heads) * np.asarray(shape.head_dim)
    mlp = (4 + 2 * np.asarray(shape.gated)) * shape.intermediate_size
    return np.asarray(shape.num_hidden_layers) * (
        18 * d + 4 * k + 2 * np.asarray(shape.rotary) * (d + k) + mlp
    )


def parameter_groups(shape: Shape) -> dict[str, Numeric]:
    """Parameters by what an operator does to them; the groups sum to `transformer.parameters`. [parameters]"""
    layers = np.asarray(shape.num_hidden_layers)
    groups = {
        "embeddings": transformer.embedding_parameters(shape),
        "attention": layers * transformer.attention_matrix_parameters(shape),
        "head": transformer.head_parameters(shape),
        "norms and biases": layers * transformer.small_layer_parameters(shape)
        + shape.final_norm * np.asarray(shape.hidden_size) * shape.norm_parameters,
    }
    groups["feed-forward"] = transformer.parameters(shape) - sum(groups.values())
    return groups


@dataclass(frozen=True)
class Effect:
    """What one growth does: the two shapes and the ratios target / source."""

    operator: Operator
    source: Shape
    target: Shape
    params: Numeric
    """Ratio of all parameters. [-]"""
    params_by_group: dict[str, Numeric]
    """Ratio per group of `parameter_groups`; a group that the source lacks is left out. [-]"""
    flop_per_token: Numeric
    """Ratio of model FLOP per token at `seq_length`. [-]"""
    copies_per_token: Numeric
    """Ratio of activation elements moved per token. [-]"""


def effect(shape: Shape, *, operator: str, seq_length: Numeric = 2048, **factors: Numeric) -> Effect:
    """Grow a shape and say what changed.

    Parameters
    ----------
    shape : Shape
        The source.
    operator : str
        A name of `simulator.growth.operators.OPERATORS`.
    seq_length : numeric, optional
        Sequence length of the FLOP count. [tokens]
    **factors : numeric
        `factor`, and what else the operator takes. [-]

    Examples
    --------
    MPT 350m to 1b: 3.7 times the parameters, twice the copies.

    >>> mpt = transformer.decoder(num_hidden_layers=24, hidden_size=1024, num_attention_heads=16, vocab_size=50368,
    ...                           gated=0, rotary=0, tie_word_embeddings=1, learned_positions=2048)
    >>> e = effect(mpt, operator="hypercloning", factor=2)
    >>> round(float(e.params), 2), float(e.copies_per_token)
    (3.7, 2.0)
    """
    chosen = get(operator)
    target = chosen.grow(shape, **factors)
    before, after = parameter_groups(shape), parameter_groups(target)
    return Effect(
        operator=chosen,
        source=shape,
        target=target,
        params=transformer.parameters(target) / transformer.parameters(shape),
        params_by_group={k: after[k] / before[k] for k in before if np.all(np.asarray(before[k]) > 0)},
        flop_per_token=flop.model_flop_per_token(target, seq_length=seq_length)
        / flop.model_flop_per_token(shape, seq_length=seq_length),
        copies_per_token=activation_elements_per_token(target) / activation_elements_per_token(shape),
    )
